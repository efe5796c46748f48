"""The tags that a small GPT writes for MiniTube's titles: the record of notebook 02.

No claim about speed. After two examples in its prompt, SmolLM2 goes on with the tags of each title
that an uploader wrote, always by the most probable token.

    python benchmarks/written_tags.py

writes `vidrec_utils/text_encoders/written_tags.json`. It takes about ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json

import torch
from tqdm import tqdm

from vidrec_utils import datasets, preprocessing, text_encoders
from vidrec_utils.files import replace_whole
from vidrec_utils.text_encoders import writing


def main() -> None:
    """Let the GPT write tags for all titles, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--titles", type=int, default=None, help="only the first so many")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    library = datasets.load("minitube")
    cleaned, _ = preprocessing.clean(library)
    original = library.videos.reindex(cleaned.videos.index)
    titles = cleaned.videos["title"][original["title"].notna()].drop_duplicates()
    titles = titles.iloc[: arguments.titles]
    gpt = text_encoders.load("smollm2", device="cpu")
    record = {
        title: list(text_encoders.write_tags([title], gpt)[0])
        for title in tqdm(titles, desc="titles")
    }
    rows = [
        f"{json.dumps(title, ensure_ascii=False)}: {json.dumps(tags, ensure_ascii=False)}"
        for title, tags in record.items()
    ]
    replace_whole(writing.RECORD, ("{\n" + ",\n".join(rows) + "\n}\n").encode())


if __name__ == "__main__":
    main()
