"""How hard MiniTube is: what each modality gives, against chance and against knowing every taste.

`python benchmarks/minitube_difficulty.py --seeds 0 1 2` renders the worlds that are missing, prints
two tables and checks the promises that the course builds on. `--write` puts the tables into
`data/README.md`. Some minutes a seed on two cores; thumbnails are embedded once and kept.

Categories and motions are predicted for subjects never seen in training (five folds, grouped by
subject).
Preference is NDCG@10 over all videos that were online by the user's last event of the fourth week
and that the user was not shown in the first three, against what the user watched to four fifths or
liked in the fourth. "Perfect reader" rows use the latent labels themselves, so they show what a
modality could give to a flawless encoder. Two references know every taste, one of them also the
odds with which the platform shows a video; neither is a ceiling. Truth serves as measure here,
never as a model of the course.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from side_by_side import WRITE, as_table, not_kept, options, report
from sklearn.feature_extraction.text import TfidfVectorizer

from vidrec_utils import datasets, image_encoders, minitube, video_encoders, video_io
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.embeddings import embed, join
from vidrec_utils.evaluation import Result, compare, evaluate
from vidrec_utils.hybrid import WeightedFusion
from vidrec_utils.linear_probe import Probe, linear_probe, probe_pairs
from vidrec_utils.minitube import truth
from vidrec_utils.minitube.behavior import video_factors
from vidrec_utils.minitube.vocabulary import REVERSED
from vidrec_utils.preprocessing import split_by_time
from vidrec_utils.recommender import FixedScores, Popularity, Random, Recommender
from vidrec_utils.reporting import interval

ALL = "perfect readers and behaviour"
READERS = {
    "text": ("topic", "category"),
    "images": ("category", "scene"),
    "motion": ("motion", "pace"),
}
"""What a flawless encoder of each modality would know."""


def share(probe: Probe) -> str:
    """Accuracy with half of its 95% interval, which resamples subjects with all their clips."""
    accuracy, low, high = probe.interval()
    return f"{accuracy:.2f} ± {(high - low) / 2:.2f}"


def vision(library: datasets.VideoLibrary, known: truth.Truth) -> dict[str, str]:
    """Predict category and direction of motion from features of every kind."""
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
        vectors = encoder.encode(thumbnails)
        probe = linear_probe(vectors, usable["category"], usable["subject"])
        out[f"category, thumbnails, {name}"] = share(probe)
    out |= motion(library, usable, encoders["packaged EfficientNet-Lite0"])
    return out


def motion(
    library: datasets.VideoLibrary, usable: pd.DataFrame, images: image_encoders.ImageEncoder
) -> dict[str, str]:
    """Predict the motion from frames without their order, and with a model of time."""
    clips = [video_io.sample_frames(library.file(v), n=16) for v in usable.index]
    averaged = video_encoders.FrameAverage(images, frames=4)
    temporal = video_encoders.load("lite0_correlation")
    out = {}
    for name, encoder in (("mean over frames", averaged), ("lite0_correlation", temporal)):
        vectors = pd.DataFrame(encoder.encode(clips), index=usable.index)
        motions, subjects = usable["motion"], usable["subject"]
        pairs = probe_pairs(vectors, motions, REVERSED, subjects)
        out[f"motion (12 kinds), {name}"] = share(linear_probe(vectors, motions, subjects))
        out[f"direction in time-reversed pairs, {name}"] = share(pairs)
    return out


def title_words(videos: pd.DataFrame) -> pd.DataFrame:
    """Weigh the words of titles and tags by TF-IDF."""
    text = (videos["title"].fillna("") + " " + videos["tags"].fillna("")).str.replace("|", " ")
    table = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(text)
    return pd.DataFrame(table.toarray(), index=videos.index)


def preference(library: datasets.VideoLibrary, known: truth.Truth, seed: int) -> dict[str, Result]:
    """Rank the fourth week's videos for every user."""
    bots, log = known.planted("bot"), library.interactions
    possible = log["timestamp"].between("2025-03-03", "2025-04-01", inclusive="left")
    human = log[possible & ~log["user_id"].isin(bots)].reset_index(drop=True)
    library = library.subset(interactions=human)
    fourth = pd.Timestamp("2025-03-24", tz="UTC")
    split = split_by_time(human, library.videos, validation=fourth, test=fourth)
    models = [Random(seed=seed), Popularity(), *real_models(library), *perfect_models(known)]
    times = split.test["timestamp"]
    references = known.references(times.min(), times.max())
    models += [FixedScores(scores, name) for name, scores in references.items()]
    return {
        model.name: evaluate(model.fit(split.train), split, on="test", seed=seed, slices=False)
        for model in models
    }


def real_models(library: datasets.VideoLibrary) -> list[Recommender]:
    """Recommenders on what encoders and the log really give."""
    words = title_words(library.videos)
    looks = embed(library, image_encoders.load("efficientnet_lite0", size=128), "thumbnail")
    moves = embed(library, video_encoders.load("lite0_correlation"), "clip")
    content = ContentRecommender(join(words, looks, moves), name="text, images and motion")
    return [
        ContentRecommender(words, name="text: TF-IDF of titles and tags"),
        ContentRecommender(looks, name="images: packaged EfficientNet-Lite0"),
        ContentRecommender(join(moves), name="motion: lite0_correlation, untrained"),
        content,
        ItemKNN(name="behaviour: item-knn"),
        WeightedFusion([content, ItemKNN()], name="text, images, motion and behaviour"),
    ]


def perfect_models(known: truth.Truth) -> list[Recommender]:
    """Recommenders on the true labels: each modality alone, all, and all but one."""
    factors = video_factors(known.videos)

    def reader(*modalities: str, name: str) -> ContentRecommender:
        of = dict.fromkeys(factor for one in modalities for factor in READERS[one])
        table = np.hstack([factors[factor] for factor in of])
        return ContentRecommender(pd.DataFrame(table, index=known.videos.index), name=name)

    alone = [reader(one, name=f"perfect reader of {one}") for one in READERS]
    three = reader(*READERS, name=f"{ALL}, without behaviour")
    less = [
        WeightedFusion(
            [reader(*[m for m in READERS if m != one], name="the rest"), ItemKNN()],
            name=f"{ALL}, without {one}",
        )
        for one in READERS
    ]
    return [*alone, WeightedFusion([three, ItemKNN()], name=ALL), three, *less]


def promises(seed: int, seen: dict[str, str], liked: dict[str, Result]) -> list[str]:
    """Name what the course builds on and this seed does not keep."""
    accuracy = {name: float(text.split()[0]) for name, text in seen.items()}
    half = {name: float(text.split()[-1]) for name, text in seen.items()}
    ndcg = {name: result.interval("ndcg")[0] for name, result in liked.items()}
    packaged = "category, thumbnails, packaged EfficientNet-Lite0"
    averaged = "direction in time-reversed pairs, mean over frames"
    temporal = "direction in time-reversed pairs, lite0_correlation"
    reference = ndcg["knows every taste"]
    single = [f"perfect reader of {one}" for one in READERS] + ["behaviour: item-knn"]

    def leads(a: str, b: str) -> bool:
        return compare(liked[a], liked[b], seed=seed).low > 0

    kept = {
        "packaged weights beat random ones and pixels": all(
            accuracy[packaged] - half[packaged] > accuracy[n]
            for n in accuracy
            if n.startswith("category") and n != packaged
        ),
        "frame averages are at chance on reversed pairs": abs(accuracy[averaged] - 0.5)
        < 1.5 * half[averaged],
        "a model of time is not": accuracy[temporal] > 0.8,
        "no single modality reaches half of what knowing every taste gives": all(
            ndcg[n] < 0.5 * reference for n in single
        ),
        "each modality beats popularity": all(leads(n, "popularity") for n in single),
        "each modality and behaviour add to the others": all(
            leads(ALL, f"{ALL}, without {one}") for one in (*READERS, "behaviour")
        ),
        "real content beats popularity": leads("text, images and motion", "popularity"),
    }
    return not_kept(seed, kept)


def ranks(results: dict[str, Result]) -> dict[str, str]:
    """NDCG@10 with its interval, as text."""
    return {name: interval(*result.interval("ndcg")) for name, result in results.items()}


def main() -> int:
    """Measure, print, and say which promises are broken."""
    arguments = options(__doc__, seeds=[0, 1, 2], write=WRITE)
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
            as_table(
                {k: ranks(v) for k, v in liked.items()}, "NDCG@10 in the fourth week [95% interval]"
            ),
        ]
    )
    return report(text, broken, "difficulty", arguments.write)


if __name__ == "__main__":
    raise SystemExit(main())
