"""Which reading of titles recommends best: counted words, an English encoder, a multilingual one.

    python benchmarks/title_encoders.py

No claim about speed. On MiniTube's validation part, as in notebook 07: NDCG@10 over all titles, and
for Chinese titles and all others among themselves; paired differences; and the modalities of the
notebook joined with each reading. The multilingual encoder is packaged for Linux on x86-64 only and
takes 2 GB of memory, so the notebook does not load it. The command fails if over the Chinese titles
the multilingual encoder is not better than both others, by intervals clear of zero.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pandas as pd

from vidrec_utils import (
    audio_encoders,
    claims,
    datasets,
    embeddings,
    image_encoders,
    preprocessing,
    settings,
    text_encoders,
    video_encoders,
)
from vidrec_utils.content_based import (
    ContentRecommender,
    TermRecommender,
    documents,
    term_vectors,
)
from vidrec_utils.evaluation import Result, compare, evaluate

READINGS = {"MiniLM": "minilm", "multilingual E5": "multilingual-e5-small"}
PAIRS = (
    ("counted words", "MiniLM"),
    ("multilingual E5", "MiniLM"),
    ("multilingual E5", "counted words"),
)


def modalities(library: datasets.VideoLibrary) -> dict[str, pd.DataFrame]:
    """The other modalities of notebook 07: tags, thumbnails, clips and sound."""
    tags = documents(library.videos, ["tags", "category"], text_encoders.words)
    encoders = {
        "thumbnail": image_encoders.load("efficientnet_lite0", size=128),
        "clip": video_encoders.load("i3d_mini"),
        "sound": audio_encoders.load("log_mel"),
    }
    tables = {"tags": term_vectors(tags)}
    return tables | {
        of: embeddings.embed(library, encoder, of=of, progress=False).frame()
        for of, encoder in encoders.items()
    }


def report(title: str, results: dict[str, Result], which: str) -> dict[tuple[str, str], float]:
    """Print one group of titles; the lower end of each paired difference."""
    lows = {}
    for name, result in results.items():
        print(f"{title}: {name}, {result.table(which).loc['ndcg', 'mean']:.3f}.")
    for a, b in PAIRS:
        difference = compare(results[a], results[b], seed=settings.SEED, which=which)
        print(f"{title}: {difference.sentence()}.")
        lows[a, b] = difference.low
    return lows


def main() -> int:
    """Measure and print; 1 if the multilingual encoder does not read Chinese titles best."""
    cleaned, _ = preprocessing.clean(datasets.load("minitube"))
    parts = {"validation": 0.1, "test": 0.2}
    split = preprocessing.split_by_time(cleaned.interactions, cleaned.videos, **parts)
    titles = cleaned.videos["title"].dropna()
    script = titles.str.contains(r"[\u3400-\u9fff]").map({True: "Chinese", False: "other"})
    split = replace(split, videos=split.videos.assign(script=script))
    vectors = {
        name: embeddings.embed(
            cleaned, text_encoders.load(encoder), of="title", progress=False
        ).frame()
        for name, encoder in READINGS.items()
    }
    words = documents(cleaned.videos, ["title"], text_encoders.words)
    models: dict[str, ContentRecommender | TermRecommender] = {
        name: ContentRecommender(table, name=name) for name, table in vectors.items()
    }
    models["counted words"] = TermRecommender(words, "tfidf", name="counted words")
    asked = {"k": 10, "seed": settings.SEED, "progress": False}
    results = {n: evaluate(m.fit(split), split, by="script", **asked) for n, m in models.items()}
    report("all titles", results, "all")
    report("other titles", results, "script: other")
    lows = report("Chinese titles", results, "script: Chinese")
    others = modalities(cleaned)
    tables = vectors | {"counted words": term_vectors(words)}
    joined = {}
    for name, table in tables.items():
        whole = embeddings.join(*others.values(), table, balance=True)
        joined[name] = evaluate(ContentRecommender(whole, name=name).fit(split), split, **asked)
    report("joined with the other modalities", joined, "all")
    read = lows["multilingual E5", "MiniLM"] > 0 and lows["multilingual E5", "counted words"] > 0
    claims.check(read, "the multilingual encoder should read Chinese titles best")
    return 0


if __name__ == "__main__":
    sys.exit(main())
