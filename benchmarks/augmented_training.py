"""What augmentation does to one head on a frozen video encoder: the record of notebook 01.

No claim about speed. The clips of MiniTube whose motion annotators named are cut into folds by
subject. In each fold a head is trained on the others without augmentation, with one draw per clip,
with one draw per frame, and with mirrored clips that keep their old label.

    python benchmarks/augmented_training.py

writes `vidrec_utils/preprocessing/augmented_training.csv`. It takes about ten minutes on one core.
"""

from __future__ import annotations

import argparse

import pandas as pd
import torch
from tqdm import tqdm

from vidrec_utils import datasets, preprocessing
from vidrec_utils.hybrid import read_clips
from vidrec_utils.minitube import truth, vocabulary
from vidrec_utils.preprocessing import augmented_training


def main() -> None:
    """Train all heads and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--copies", type=int, default=augmented_training.COPIES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    library = datasets.load("minitube")
    cleaned, _ = preprocessing.clean(library)
    labels = preprocessing.clip_labels(cleaned).dropna()
    subjects = truth.load(library.root).videos["subject"]
    clips = read_clips(cleaned.subset(labels.index), frames=16, size=128, seconds=2.0)
    labels, subjects = labels[list(clips)], subjects[list(clips)]
    tables = []
    for variant in tqdm(augmented_training.VARIANTS, desc="variants"):
        maps, names = augmented_training.training_maps(
            list(clips.values()),
            list(labels),
            variant,
            vocabulary.MIRRORED,
            copies=arguments.copies,
        )
        for seed in arguments.seeds:
            table = augmented_training.predictions(maps, names, subjects, seed=seed)
            tables.append(table.assign(seed=seed, variant=variant, subject=subjects[table.index]))
            print(variant, seed, (table["label"] == table["predicted"]).mean(), flush=True)
    record = pd.concat(tables).reset_index()
    columns = ["seed", "variant", "video_id", "subject", "fold", "label", "predicted"]
    text = record[columns].to_csv(index=False, lineterminator="\n")
    augmented_training.RECORD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
