"""Draw the image of the README: what the platform looks like, and what the first notebook finds.

    python scripts/readme_image.py      # writes .github/picture.jpg, about a minute

Everything in it is computed here; nothing is drawn by hand.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vidrec_utils import (
    datasets,
    embeddings,
    image_encoders,
    plots,
    preprocessing,
    settings,
    video_encoders,
    video_io,
)
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.evaluation import evaluate
from vidrec_utils.recommender import Popularity, Random

TARGET = Path(__file__).resolve().parent.parent / ".github" / "picture.jpg"
ROWS, COLUMNS = 3, 4


def measure(library: datasets.VideoLibrary) -> pd.DataFrame:
    """Measure NDCG@10 of five recommenders on the future, with intervals."""
    split = preprocessing.split_by_time(
        library.interactions, library.videos, validation=0.1, test=0.2
    )
    thumbnails = embeddings.embed(
        library, image_encoders.load("efficientnet_lite0", size=128), of="thumbnail"
    )
    motion = embeddings.embed(library, video_encoders.load("lite0_correlation"), of="clip")
    models = [
        Random(seed=settings.SEED),
        Popularity(),
        ContentRecommender(thumbnails, name="thumbnails"),
        ContentRecommender(embeddings.join(thumbnails, motion), name="thumbnails and motion"),
        ItemKNN(name="behaviour"),
    ]
    results = {m.name: evaluate(m.fit(split), split, on="test", seed=settings.SEED) for m in models}
    return pd.DataFrame({name: result.table().loc["ndcg"] for name, result in results.items()}).T


def draw(library: datasets.VideoLibrary, table: pd.DataFrame) -> None:
    """Draw clips on the left and bars on the right, and write the image."""
    from matplotlib import pyplot

    plots.use_style()
    figure = pyplot.figure(figsize=(10.5, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.1])
    shown = library.videos.sample(ROWS * COLUMNS, random_state=settings.SEED)
    for axes, video_id in zip(left.subplots(ROWS, COLUMNS).flat, shown.index, strict=True):
        axes.imshow(video_io.sample_frames(library.file(video_id), n=1)[0])
        axes.set_axis_off()
    bars = right.subplots()
    table = table.iloc[::-1]
    bars.barh(table.index, table["mean"], color=plots.PALETTE[0])
    errors = [table["mean"] - table["low"], table["high"] - table["mean"]]
    bars.errorbar(table["mean"], table.index, xerr=errors, fmt="none", ecolor="black", capsize=4)
    bars.set_xlabel("NDCG@10 on the future, 95% intervals")
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=100, pil_kwargs={"quality": 88, "optimize": True})


def main() -> None:
    """Clean the embedded platform, measure, draw."""
    cleaned, _ = preprocessing.clean(datasets.load("minitube-small"))
    table = measure(cleaned)
    print(table.round(3))
    draw(cleaned, table)


if __name__ == "__main__":
    main()
