"""How hard MiniTube is: what each modality gives, against chance and against the ceiling.

`python benchmarks/minitube_difficulty.py --seeds 0 1 2` renders the worlds that are missing, prints
two tables and checks the promises that the course builds on. `--write` puts the tables into
`data/README.md`. Some minutes a seed on two cores; thumbnails are embedded once and kept.

Categories and motions are told on subjects never seen in training (five folds grouped by subject).
Preference is NDCG@10 over all videos that a user was not shown in the first three weeks, against
what the user watched to four fifths or liked in the fourth. "Perfect reader" rows use the latent
labels themselves, so they show what a modality could give to a flawless encoder; the oracle knows
the tastes. Truth serves as measure here, never as a model of the course.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vidrec_utils import datasets, image_encoders, minitube, video_encoders, video_io
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.embeddings import embed
from vidrec_utils.evaluation import evaluate
from vidrec_utils.minitube import truth
from vidrec_utils.minitube.behavior import video_factors
from vidrec_utils.minitube.vocabulary import REVERSED
from vidrec_utils.preprocessing import split_by_time
from vidrec_utils.recommender import Popularity, Random, Recommender

README = Path(__file__).resolve().parent.parent / "data" / "README.md"
MARKS = ("<!-- difficulty: begin -->", "<!-- difficulty: end -->")
READERS = {
    "perfect reader of text": ("topic", "category"),
    "perfect reader of images": ("category", "scene"),
    "perfect reader of motion": ("motion", "pace"),
    "perfect reader of all three": ("topic", "category", "scene", "motion", "pace"),
}


class Scored(Recommender):
    """A recommender that was given its scores, such as the oracle's."""

    def __init__(self, scores: pd.DataFrame, name: str) -> None:
        self.scores, self.name = scores, name

    def _fit(self, matrix: object) -> None:
        self.table = self.scores.reindex(index=self.user_ids, columns=self.video_ids)
        self.table = self.table.fillna(self.table.min().min()).to_numpy(np.float32)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self.table[users]


class Mixed(Recommender):
    """The mean of several recommenders' scores, each standardised within a user."""

    def __init__(self, parts: list[Recommender], name: str) -> None:
        self.parts, self.name = parts, name

    def fit(self, library: object) -> Recommender:
        """Fit all parts, then this."""
        for part in self.parts:
            part.fit(library)
        return super().fit(library)

    def _fit(self, matrix: object) -> None:
        """Nothing of its own to learn."""

    def _score(self, users: np.ndarray) -> np.ndarray:
        scores = [part.score(self.user_ids[users]) for part in self.parts]
        return np.mean([(s - s.mean(1, keepdims=True)) / (s.std(1, keepdims=True) + 1e-9)
                        for s in scores], axis=0)  # fmt: skip


def told(features: np.ndarray, labels: pd.Series, groups: pd.Series) -> np.ndarray:
    """Tell which labels a linear probe gets right on subjects that it was not trained on."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    folds = GroupKFold(5, shuffle=True, random_state=0)
    guess = cross_val_predict(probe, features, labels, groups=groups, cv=folds)
    return guess == labels.to_numpy()


def share(right: np.ndarray) -> str:
    """Accuracy with the half width of its 95% interval."""
    p = right.mean()
    return f"{p:.2f} ± {1.96 * np.sqrt(p * (1 - p) / len(right)):.2f}"


def vision(library: datasets.VideoLibrary, known: truth.Truth) -> dict[str, str]:
    """Tell category and direction of motion, by features of every kind."""
    usable = known.videos[known.videos["media"] == "clip"]
    thumbnails = [video_io.read_image(library.file(v, "thumbnail")) for v in usable.index]
    encoders = {
        "pixels": image_encoders.load("pixels"),
        "random EfficientNet-Lite0": image_encoders.load(
            "efficientnet_lite0", weights="random", size=128
        ).calibrate(thumbnails),
        "packaged EfficientNet-Lite0": image_encoders.load("efficientnet_lite0", size=128),
    }
    out = {}
    for name, encoder in encoders.items():
        right = told(encoder.encode(thumbnails), usable["category"], usable["subject"])
        out[f"category, thumbnails, {name}"] = share(right)
    out |= motion(library, usable, encoders["packaged EfficientNet-Lite0"])
    return out


def motion(
    library: datasets.VideoLibrary, usable: pd.DataFrame, images: image_encoders.ImageEncoder
) -> dict[str, str]:
    """Tell the motion from frames without their order, and from a model of time."""
    clips = [video_io.sample_frames(library.file(v), n=16) for v in usable.index]
    averaged = video_encoders.FrameAverage(images, frames=4)
    temporal = video_encoders.load("lite0_correlation")
    out = {}
    for name, encoder in (("mean over frames", averaged), ("lite0_correlation", temporal)):
        features = encoder.encode(clips)
        right = told(features, usable["motion"], usable["subject"])
        out[f"motion (12 kinds), {name}"] = share(right)
        out[f"direction in time-reversed pairs, {name}"] = share(directions(features, usable))
    return out


def directions(features: np.ndarray, videos: pd.DataFrame) -> np.ndarray:
    """Tell, within each pair of motions that are each other's reversal, which of the two it is."""
    right = []
    for forward, backward in REVERSED.items():
        pair = videos["motion"].isin([forward, backward]).to_numpy()
        labels = (videos.loc[pair, "motion"] == forward).astype(int)
        right.append(told(features[pair], labels, videos.loc[pair, "subject"]))
    return np.concatenate(right)


def title_words(videos: pd.DataFrame) -> pd.DataFrame:
    """Weigh the words of titles and tags by TF-IDF."""
    text = (videos["title"].fillna("") + " " + videos["tags"].fillna("")).str.replace("|", " ")
    table = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(text)
    return pd.DataFrame(table.toarray(), index=videos.index)


def unit(vectors: pd.DataFrame) -> np.ndarray:
    """Centre vectors and scale them to length 1; what is missing stays missing."""
    centred = vectors.to_numpy() - np.nanmean(vectors.to_numpy(), axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-9)


def preference(library: datasets.VideoLibrary, known: truth.Truth, seed: int) -> dict[str, str]:
    """Rank the fourth week's videos for every user."""
    bots, log = known.planted("bot"), library.interactions
    possible = log["timestamp"].between("2025-03-03", "2025-04-01", inclusive="left")
    human = log[possible & ~log["user_id"].isin(bots)].reset_index(drop=True)
    library = library.subset(interactions=human)
    fourth = pd.Timestamp("2025-03-24", tz="UTC")
    split = split_by_time(human, library.videos, validation=fourth, test=fourth)
    factors = video_factors(known.videos)
    readers = {
        name: pd.DataFrame(np.hstack([factors[f] for f in of]), index=known.videos.index)
        for name, of in READERS.items()
    }
    words = title_words(library.videos)
    encoder = image_encoders.load("efficientnet_lite0", size=128)
    thumbnails = embed(library, encoder, "thumbnail").frame()
    both = pd.DataFrame(np.hstack([unit(words), unit(thumbnails)]), index=words.index)
    models: list[Recommender] = [
        Random(seed=seed),
        Popularity(),
        ContentRecommender(words, name="text: TF-IDF of titles and tags"),
        ContentRecommender(thumbnails, name="images: packaged EfficientNet-Lite0"),
        ContentRecommender(both, name="text and images"),
    ]
    content = [ContentRecommender(v, name=name) for name, v in readers.items()]
    behavior = ItemKNN()
    models += [
        *content,
        behavior,
        Mixed([ContentRecommender(both), behavior], "text, images and item-knn"),
        Mixed([content[-1], behavior], "perfect reader and item-knn"),
    ]
    models.append(Scored(known.preferences(), "oracle of tastes (ceiling)"))
    out = {}
    for model in models:
        result = evaluate(model.fit(split.train), split, k=10, seed=seed, slices=False)
        mean, low, high = result.interval("ndcg")
        out[model.name] = f"{mean:.3f} [{low:.3f}, {high:.3f}]"
    return out


def promises(seed: int, seen: dict[str, str], liked: dict[str, str]) -> list[str]:
    """Name what the course builds on and this seed does not keep."""
    accuracy = {name: float(text.split()[0]) for name, text in seen.items()}
    half = {name: float(text.split()[-1]) for name, text in seen.items()}
    ndcg = {name: float(text.split()[0]) for name, text in liked.items()}
    packaged = "category, thumbnails, packaged EfficientNet-Lite0"
    averaged = "direction in time-reversed pairs, mean over frames"
    ceiling, whole = ndcg["oracle of tastes (ceiling)"], ndcg["perfect reader of all three"]
    single = [n for n in ndcg if n.startswith("perfect reader of") and "three" not in n]
    single += ["text: TF-IDF of titles and tags", "images: packaged EfficientNet-Lite0"]
    kept = {
        "packaged weights beat random ones and pixels": all(
            accuracy[packaged] - half[packaged] > accuracy[n]
            for n in accuracy
            if n.startswith("category") and n != packaged
        ),
        "frame averages are at chance on reversed pairs": abs(accuracy[averaged] - 0.5)
        < 1.5 * half[averaged],
        "a model of time is not": accuracy["direction in time-reversed pairs, lite0_correlation"]
        > 0.8,
        "no single modality comes close to the ceiling": all(
            ndcg[n] < 0.5 * ceiling for n in single
        ),
        "each modality beats popularity": all(ndcg[n] > ndcg["popularity"] for n in single),
        "together they beat each alone": all(ndcg[n] < 0.8 * whole for n in single),
        "real features and behaviour do not hurt each other": ndcg["text, images and item-knn"]
        > max(ndcg["text and images"], ndcg["item-knn"]),
    }
    return [f"seed {seed}: not true that {promise}" for promise, holds in kept.items() if not holds]


def as_table(columns: dict[int, dict[str, str]], head: str) -> str:
    """Write results as a Markdown table, a column per seed."""
    lines = [f"| {head} | " + " | ".join(f"seed {seed}" for seed in columns) + " |"]
    lines.append("|---|" + "---|" * len(columns))
    for name in next(iter(columns.values())):
        lines.append(f"| {name} | " + " | ".join(columns[seed][name] for seed in columns) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and say which promises are broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--write", action="store_true", help="put the tables into data/README.md")
    arguments = parser.parse_args()
    seen, liked, broken = {}, {}, []
    for seed in arguments.seeds:
        root = minitube.build(seed=seed)
        library, known = datasets.load_folder(root), truth.load(root)
        seen[seed] = vision(library, known)
        liked[seed] = preference(library, known, seed)
        broken += promises(seed, seen[seed], liked[seed])
    text = "\n\n".join(
        [
            as_table(seen, "accuracy on unseen subjects ± half of the 95% interval"),
            as_table(liked, "NDCG@10 in the fourth week [95% interval]"),
        ]
    )
    print(text)
    print("\n".join(broken) or "All promises hold on all seeds.")
    if arguments.write:
        page = README.read_text(encoding="utf-8")
        before, rest = page.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        page = f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}"
        README.write_text(page, encoding="utf-8")
    return bool(broken)


if __name__ == "__main__":
    raise SystemExit(main())
