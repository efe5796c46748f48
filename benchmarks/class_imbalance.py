"""Remedies for rare classes on MiniTube's motions and on MovieLens' genres: one table.

    python benchmarks/class_imbalance.py --movielens FOLDER --abstracts FILE --clips FOLDER

trains the same linear head with each remedy of `vidrec_utils.imbalance.comparison`: on motions of
MiniTube from frozen vectors of clips, with classes of equal size and 10 to 1, five seeds, subjects
held out; and on genres of MovieLens from vectors of the movies' abstracts, 100 to 1, three seeds,
where a movie's class is the rarest of its genres. Everything is written to
`vidrec_utils/imbalance/class_imbalance.csv`. `--size large` renders MiniTube's large world, which
takes long, and adds 30 to 1 and 100 to 1. `--clips` names a folder with clips of birds and of sign
language (`clips.csv` with `path, label`): with 20 to 2, each is left out once. That checks the
plumbing; two birds rank no methods.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from side_by_side import Option, options

from vidrec_utils import (
    datasets,
    embeddings,
    preprocessing,
    settings,
    text_encoders,
    video_encoders,
    video_io,
)
from vidrec_utils.hybrid import read_clips
from vidrec_utils.imbalance import comparison
from vidrec_utils.minitube import truth

ENCODER = "i3d_mini"
SIZE = 64
LEAST = 30
"""Movies that a genre has at least."""


def motions(size: str, seeds: list[int]) -> list[pd.DataFrame]:
    """Motions of MiniTube's clips from frozen vectors, subjects held out."""
    library = datasets.load("minitube" if size == "small" else f"minitube-{size}")
    cleaned, _ = preprocessing.clean(library)
    labels = preprocessing.clip_labels(cleaned).dropna().astype(object)
    subjects = truth.load(library.root).videos["subject"]
    groups = preprocessing.clip_groups(cleaned, subjects)
    encoder = video_encoders.load(ENCODER)
    vectors = embeddings.embed(cleaned, encoder, of="clip", progress=False).frame()
    clips = read_clips(cleaned.subset(labels.index), size=SIZE)
    # the motion has to survive: no flips, and a light crop
    augment = preprocessing.build_augmentation(size=SIZE, scale=(0.8, 1.0), seed=0)
    changed = [
        augment(torch.from_numpy(clip).permute(0, 3, 1, 2))[0].permute(0, 2, 3, 1).numpy()
        for clip in clips.values()
    ]
    views = pd.DataFrame(encoder.encode(changed), index=list(clips), columns=vectors.columns)
    views = views.reindex(vectors.index).fillna(vectors)
    ratios = (1, 10) if size == "small" else (1, 10, 30, 100)
    return [
        table(f"motions, {size}", ratio, vectors, labels, groups, seeds, views=views)
        for ratio in ratios
    ]


def genres(folder: Path, abstracts: Path) -> pd.DataFrame:
    """Genres of MovieLens' movies from vectors of their abstracts."""
    movies = pd.read_csv(folder / "movies.csv", dtype={"movieId": str}).set_index("movieId")
    texts = pd.Series(json.loads(abstracts.read_text(encoding="utf-8")), dtype=str)
    movies = movies.loc[movies.index.intersection(texts.index)]
    own = movies["genres"].str.split("|").explode()
    counts = own.value_counts()
    counts = counts[(counts >= LEAST) & ~counts.index.isin(["IMAX", "(no genres listed)"])]
    known = own[own.isin(counts.index)]
    labels = known.groupby(level=0).agg(lambda names: min(names, key=counts.get))
    sizes = labels.value_counts()
    labels = labels[labels.isin(sizes.index[sizes >= LEAST])]
    encoder = text_encoders.load("minilm", max_tokens=128)
    vectors = pd.DataFrame(encoder.encode(texts[labels.index].tolist()), index=labels.index)
    order = labels.value_counts().index.tolist()
    print(f"{len(labels)} movies: {labels.value_counts().to_dict()}")
    return table("genres, MovieLens", 100, vectors, labels, None, [0, 1, 2], order=order)


def table(
    data: str,
    ratio: float,
    vectors: pd.DataFrame,
    labels: pd.Series,
    groups: pd.Series | None,
    seeds: list[int],
    **arguments: object,
) -> pd.DataFrame:
    """The table of one data set and ratio."""
    start = time.perf_counter()
    predictions = comparison.compare_remedies(
        vectors, labels, ratio, groups, seeds=seeds, **arguments
    )
    summary = comparison.remedy_table(predictions)
    print(f"\n{data}, {ratio} to 1, {time.perf_counter() - start:.0f} s:")
    print(summary.round(3).to_string(), flush=True)
    return summary.rename_axis("remedy").reset_index().assign(data=data, ratio=ratio)


def leave_one_out(folder: Path, n_rare: int = 2) -> None:
    """Sign language against two birds, each clip left out once."""
    clips = pd.read_csv(folder / "clips.csv")
    birds = clips[clips["label"] == "bird"].head(n_rare)
    clips = pd.concat([clips[clips["label"] == "sign_language"], birds])
    encoder = video_encoders.load(ENCODER)
    frames = [video_io.sample_frames(folder / p, n=16, size=(SIZE, SIZE)) for p in clips["path"]]
    x, y = encoder.encode(frames).astype(np.float64), (clips["label"] == "bird").to_numpy(int)
    for name, remedy in comparison.REMEDIES.items():
        right = []
        try:
            for row in range(len(y)):
                rest = np.arange(len(y)) != row
                project = comparison._projection(x[rest])
                logits = remedy(comparison.Training(project(x[rest]), y[rest], 2))
                right.append(int(logits(project(x[[row]])).argmax()) == y[row])
        except ValueError as error:
            print(f"{name}: {error}")
            continue
        right = np.array(right)
        print(f"{name}: {right[y == 0].sum()} of {(y == 0).sum()} signs, "
              f"{right[y == 1].sum()} of {(y == 1).sum()} birds")  # fmt: skip


def main() -> int:
    """Measure, print and record."""
    arguments = options(
        __doc__,
        seeds=[0, 1, 2, 3, 4],
        size=Option("small", "world of MiniTube", ("small", "large")),
        movielens=Option(None, "folder of MovieLens with movies.csv"),
        abstracts=Option(None, "JSON file of abstracts by movieId"),
        clips=Option(None, "folder with clips.csv"),
    )
    torch.set_num_threads(1)
    settings.release_memory()
    tables = motions(arguments.size, arguments.seeds)
    if arguments.movielens and arguments.abstracts:
        tables.append(genres(Path(arguments.movielens), Path(arguments.abstracts)))
    record = pd.concat(tables)
    columns = ["data", "ratio", "remedy"]
    record = record[[*columns, *record.columns.difference(columns, sort=False)]]
    text = record.to_csv(index=False, float_format="%.4g", lineterminator="\n")
    comparison.RECORD.write_text(text, encoding="utf-8")
    if arguments.clips:
        leave_one_out(Path(arguments.clips))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
