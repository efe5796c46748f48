"""How hard MiniTube is: what each modality gives, against chance and against knowing every taste.

`python benchmarks/minitube_difficulty.py --seeds 5 6 7` renders the worlds that are missing, prints
three tables and checks the promises that the course builds on: of the packaged encoders, or, with
`--tables-only`, of perfect readers. Each modality has to add to all others on average over the
seeds, by an interval clear of zero; the thousand users of one world are too few to show that on
every seed. `--write` puts the tables into `data/README.md`. Some minutes a seed on two cores;
vectors are computed once and kept. With `--tables-only` no frame is rendered, and only the perfect
readers are measured, in a minute a seed. `--size large` measures the large worlds: some twenty
minutes of processor time a seed and 9 GB of memory; two promises do not hold there. `--signal` says
which watch signal of `event_weights` trains the recommenders; by default it is the label that
judges them.

Categories and motions are predicted for subjects never seen in training (five folds, grouped by
subject), motions from clips of one shot, and moods for uploaders never heard in training.
Preference is NDCG@10 over all videos that were online by the user's last event of the fourth week
and that the user was not shown in the first three. The default label, learned from the first three
weeks, judges: watched at least as long as three quarters of the views of videos of like duration,
or liked. "Perfect reader" rows use the latent labels themselves, so they show what a modality could
give to a flawless encoder. Two references know every taste, one of them also the odds with which
the platform shows a video; neither is a ceiling. Truth serves as measure here, never as a model of
the course.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import WRITE, Option, as_table, not_kept, options, report
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vidrec_utils import (
    audio_encoders,
    datasets,
    image_encoders,
    minitube,
    text_encoders,
    video_encoders,
    video_io,
)
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.embeddings import embed, join
from vidrec_utils.encoders import Windows
from vidrec_utils.evaluation import Comparison, Result, compare, evaluate
from vidrec_utils.events import WATCH_SIGNALS, event_weights, fit_label
from vidrec_utils.hybrid import WeightedFusion
from vidrec_utils.linear_probe import Probe, linear_probe, probe_pairs, probe_scores
from vidrec_utils.minitube import truth, world
from vidrec_utils.minitube.behavior import video_factors
from vidrec_utils.minitube.vocabulary import REVERSED
from vidrec_utils.preprocessing import split_by_time
from vidrec_utils.recommender import FixedScores, Popularity, Random, Recommender
from vidrec_utils.reporting import interval
from vidrec_utils.transfer_learning import over_worlds

Reader = Callable[..., pd.DataFrame]
"""Returns the vectors of the modalities that are named."""

READERS = {
    "text": ("topic", "category"),
    "images": ("category", "scene"),
    "motion": ("motion", "pace"),
    "sound": ("mood",),
}
"""What a flawless encoder of each modality would know."""

BEHAVIOR = "behaviour: item-knn"
PERFECT, PACKAGED = "perfect readers", "packaged encoders"
ENCODERS = {
    "text": "text: TF-IDF of titles and tags, MiniLM of titles",
    "images": "images: EfficientNet-Lite0, head for categories",
    "motion": "motion: lite0_correlation, head for motions",
    "sound": "sound: log-mel statistics, head for moods",
}
"""What reads each modality without the truth: heads are learned from public labels."""

STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Of a head's penalty; chosen by log loss on held-out labels."""

RAW = "packaged encoders, cosines as they are"
"""Third kind of readers, of which nothing is promised."""


def share(probe: Probe) -> str:
    """Accuracy with half of its 95% interval, which resamples subjects with all their clips."""
    accuracy, low, high = probe.interval()
    return f"{accuracy:.2f} ± {(high - low) / 2:.2f}"


def senses(library: datasets.VideoLibrary, known: truth.Truth) -> dict[str, str]:
    """Predict category, direction of motion and mood from features of every kind."""
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
    return out | mood(library, usable)


def motion(
    library: datasets.VideoLibrary, usable: pd.DataFrame, images: image_encoders.ImageEncoder
) -> dict[str, str]:
    """Predict the motion from frames without their order, and with a model of time."""
    usable = usable[usable["n_shots"] == 1]
    clips = middles(library, usable)
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


def middles(library: datasets.VideoLibrary, usable: pd.DataFrame) -> list[np.ndarray]:
    """Read 16 frames from the middle two seconds of each clip, or from all of a shorter one."""
    windows = Windows(2.0, short="stretch", at="centre")
    read = partial(windows.times, frames=16)
    return [
        video_io.frames_at(library.file(v), read).reshape(16, 128, 128, 3) for v in usable.index
    ]


def mood(library: datasets.VideoLibrary, usable: pd.DataFrame) -> dict[str, str]:
    """Predict the mood from the sound, for uploaders that were not heard in training."""
    usable = usable[usable["has_sound"]]
    vectors = embed(library, audio_encoders.load("log_mel"), of="sound").frame()
    vectors = vectors.reindex(usable.index)
    probe = linear_probe(vectors, usable["mood"], usable["uploader"])
    return {"mood (6 kinds), log-mel statistics": share(probe)}


def title_words(videos: pd.DataFrame) -> pd.DataFrame:
    """Weigh the words of titles and tags by TF-IDF."""
    text = (videos["title"].fillna("") + " " + videos["tags"].fillna("")).str.replace("|", " ")
    table = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(text)
    return pd.DataFrame(table.toarray(), index=videos.index)


def preference(
    library: datasets.VideoLibrary,
    known: truth.Truth,
    seed: int,
    readers: Mapping[str, Reader],
    signal: str,
) -> dict[str, Result]:
    """Rank the fourth week's videos for every user.

    Parameters
    ----------
    library, known
        A world.
    seed : int
        Of what is drawn.
    readers : mapping of str to callable
        `PERFECT`, and perhaps `PACKAGED` and `RAW` -> function that returns the vectors of some
        modalities.
    signal : str
        Watch signal of `event_weights` that trains.
    """
    bots, log = known.planted("bot"), library.interactions
    possible = log["timestamp"].between("2025-03-03", "2025-04-01", inclusive="left")
    human = log[possible & ~log["user_id"].isin(bots)].reset_index(drop=True)
    fourth = pd.Timestamp("2025-03-24", tz="UTC")
    videos = true_durations(library.videos, known)
    split = split_by_time(human, videos, validation=fourth, test=fourth)
    rule = fit_label(split.train, videos)
    weights = partial(event_weights, signal=signal, rule=rule)
    behavior = ItemKNN(name=BEHAVIOR)
    models = [Random(seed=seed), Popularity(), behavior]
    for kind, read in readers.items():
        models += recommenders(kind, read)
    results = {
        model.name: evaluate(
            model.fit(split.train, weights), split, on="test", seed=seed, slices=False, label=rule
        )
        for model in models
    }
    least_s = pd.Series(rule.least_s(videos["duration_s"].to_numpy(dtype=float)), videos.index)
    times = split.test["timestamp"]
    for name, scores in known.references(times.min(), times.max(), least_s).items():
        model = FixedScores(scores, name).fit(split.train)
        results[name] = evaluate(model, split, on="test", seed=seed, slices=False, label=rule)
    return results


def recommenders(kind: str, read: Reader) -> list[Recommender]:
    """Each modality alone, all, all with behaviour, and all with behaviour but one."""
    alone = [
        ContentRecommender(read(one), name=f"{kind}, {label_of(kind, one)}") for one in READERS
    ]
    together = ContentRecommender(read(*READERS), name=f"{kind}, all")
    fused = WeightedFusion([together, ItemKNN()], name=f"{kind} and behaviour")
    less = []
    for one in READERS:
        rest = ContentRecommender(read(*(m for m in READERS if m != one)), name="the rest")
        less.append(WeightedFusion([rest, ItemKNN()], name=f"{fused.name}, without {one}"))
    return [*alone, together, fused, *less]


def label_of(kind: str, modality: str) -> str:
    """How a row of the table names a modality."""
    return ENCODERS[modality] if kind == PACKAGED else modality


def perfect_readers(known: truth.Truth) -> Reader:
    """Give the true labels of some modalities as vectors: means over shots, each label once."""
    factors = video_factors(known.videos, known.shots)

    def read(*modalities: str) -> pd.DataFrame:
        names = dict.fromkeys(factor for one in modalities for factor in READERS[one])
        return pd.DataFrame(np.hstack([factors[name] for name in names]), known.videos.index)

    return read


def packaged_readers(library: datasets.VideoLibrary) -> dict[str, Reader]:
    """Give what the packaged encoders read, see and hear of some modalities, joined.

    Once with a linear head for what annotators and uploaders labelled in public (motions of clips
    of one shot, moods, categories), and with words reduced to their leading directions; once as
    the encoders gave it. Both are balanced, so that each modality has an equal say.
    """
    thumbnails = image_encoders.load("efficientnet_lite0", size=128)
    raw = {
        "text": title_words(library.videos),
        "images": embed(library, thumbnails, "thumbnail").frame(),
        "motion": embed(library, video_encoders.load("lite0_correlation"), "clip").frame(),
        "sound": embed(library, audio_encoders.load("log_mel"), "sound").frame(),
    }
    titles = embed(library, text_encoders.load("minilm"), "title").frame()
    labels = library.extras["annotations"].set_index("video_id")
    head = partial(probe_scores, strength=STRENGTHS)
    heard = partial(head, groups=library.videos["uploader"])  # who has a style of music
    categories = head(raw["images"], library.videos["category"])
    read = {
        "text": join(leading(raw["text"], 12), leading(titles, 12), balance=True),
        "images": join(categories, leading(raw["images"], 16), balance=True),
        "motion": head(raw["motion"], labels["motion"]),
        "sound": heard(raw["sound"], labels["mood"]),
    }
    return {
        PACKAGED: lambda *modalities: join(*(read[one] for one in modalities), balance=True),
        RAW: lambda *modalities: join(*(raw[one] for one in modalities), balance=True),
    }


def leading(vectors: pd.DataFrame, dim: int) -> pd.DataFrame:
    """Reduce standardised vectors to their leading directions, each of the same variance."""
    usable = vectors[vectors.notna().all(axis=1)]
    reduced = make_pipeline(StandardScaler(), PCA(dim, whiten=True, random_state=0))
    return pd.DataFrame(reduced.fit_transform(usable), usable.index).reindex(vectors.index)


def promises_of_senses(seed: int, seen: dict[str, str]) -> list[str]:
    """Name what the course builds on and the encoders of this seed do not keep."""
    accuracy = {name: float(text.split()[0]) for name, text in seen.items()}
    half = {name: float(text.split()[-1]) for name, text in seen.items()}
    packaged = "category, thumbnails, packaged EfficientNet-Lite0"
    averaged = "direction in time-reversed pairs, mean over frames"
    temporal = "direction in time-reversed pairs, lite0_correlation"
    heard = "mood (6 kinds), log-mel statistics"
    kept = {
        "packaged weights beat random ones and pixels": all(
            accuracy[packaged] - half[packaged] > accuracy[n]
            for n in accuracy
            if n.startswith("category") and n != packaged
        ),
        "frame averages are at chance on reversed pairs": abs(accuracy[averaged] - 0.5)
        < 1.5 * half[averaged],
        "a model of time is not": accuracy[temporal] > 0.8,
        "the sound tells moods, and not perfectly": 0.4 < accuracy[heard] < 0.9,
    }
    return not_kept(seed, kept)


def promises(seed: int, liked: dict[str, Result], kinds: list[str]) -> list[str]:
    """Name what the course builds on and the recommenders of this seed do not keep."""
    ndcg = {name: result.interval("ndcg")[0] for name, result in liked.items()}
    reference = ndcg["knows every taste"]

    def leads(a: str, b: str) -> bool:
        return compare(liked[a], liked[b], seed=seed).low > 0

    kept = {"behaviour beats popularity": leads(BEHAVIOR, "popularity")}
    for kind in kinds:
        for one in READERS:
            alone = f"{kind}, {label_of(kind, one)}"
            kept[f"{alone}, beats popularity"] = leads(alone, "popularity")
        single = [f"{kind}, {label_of(kind, one)}" for one in READERS]
        kept |= {
            f"{kind}: none alone reaches half of what knowing every taste gives": all(
                ndcg[n] < 0.5 * reference for n in (*single, BEHAVIOR)
            ),
        }
    return not_kept(seed, kept)


def additions(seed: int, liked: dict[str, Result], kinds: list[str]) -> dict[str, Comparison]:
    """What each modality, all of them, and behaviour add, on the same users."""
    pairs = {}
    for kind in kinds:
        fused = f"{kind} and behaviour"
        pairs |= {f"{kind}: {one}": (fused, f"{fused}, without {one}") for one in READERS}
        pairs |= {
            f"{kind}: behaviour": (fused, f"{kind}, all"),
            f"{kind}: all modalities, to behaviour": (fused, BEHAVIOR),
        }
    return {name: compare(liked[a], liked[b], seed=seed) for name, (a, b) in pairs.items()}


def over_seeds(gains: Sequence[Comparison]) -> tuple[float, float, float]:
    """Mean gain over independent worlds, with its interval (see `tl.over_worlds`)."""
    table = pd.DataFrame({"more": [gain.difference for gain in gains]})
    table = table.assign(low=[gain.low for gain in gains], high=[gain.high for gain in gains])
    one = table.assign(target="", strategy="", vectors="")
    return tuple(over_worlds(one).iloc[0][["mean", "low", "high"]])


def promises_of_gains(gains: Mapping[int, Mapping[str, Comparison]], kind: str) -> list[str]:
    """Name what does not add on average over the seeds, or clearly takes away on one of them."""
    broken = []
    for name in (name for name in next(iter(gains.values())) if name.startswith(f"{kind}:")):
        if over_seeds([of_seed[name] for of_seed in gains.values()])[1] <= 0:
            broken.append(f"on average over the seeds: not clear that it adds: {name}")
        broken += [f"seed {s}: takes away: {name}" for s, of in gains.items() if of[name].high < 0]
    return broken


def gains_table(gains: Mapping[int, Mapping[str, Comparison]]) -> str:
    """Write what each modality adds, on each seed and on average over them."""
    head = "what it adds to all others, paired over users [95% interval]"
    written = {
        seed: {n: interval(g.difference, g.low, g.high, "+.4f") for n, g in of_seed.items()}
        for seed, of_seed in gains.items()
    }
    lines = as_table(written, head).splitlines()
    means = ["mean of the seeds", "---"]
    for name in next(iter(gains.values())):
        means.append(interval(*over_seeds([of_seed[name] for of_seed in gains.values()]), "+.4f"))
    ends = [f" {mean} |" if mean != "---" else "---|" for mean in means]
    return "\n".join(line + end for line, end in zip(lines, ends, strict=True))


def ranks(results: dict[str, Result]) -> dict[str, str]:
    """NDCG@10 with its interval, as text."""
    return {name: interval(*result.interval("ndcg")) for name, result in results.items()}


def true_durations(videos: pd.DataFrame, known: truth.Truth) -> pd.DataFrame:
    """The catalogue with all durations in seconds, as cleaning restores them."""
    fps = minitube.world_config().fps
    return videos.assign(duration_s=(known.videos["n_frames"] / fps).reindex(videos.index))


def read_world(
    seed: int, home: Path | None, size: str = "small"
) -> tuple[datasets.VideoLibrary, truth.Truth]:
    """A world with its truth: its tables alone in a folder, or rendered where it is missing."""
    if home is None:
        root = minitube.build(size, seed=seed)
    else:
        root = world.build_tables(minitube.world_config(size, seed=seed), home)
    return datasets.load_folder(root), truth.load(root)


def main() -> int:
    """Measure, print, and say which promises are broken."""
    arguments = options(
        __doc__,
        seeds=[5, 6, 7],
        signal=Option("label", "watch signal that trains", WATCH_SIGNALS),
        size=Option("small", "size of the worlds", ("small", "large")),
        tables_only=Option(False, "perfect readers alone, without rendering a frame"),
        write=WRITE,
    )
    seen, liked, gains, broken, besides = {}, {}, {}, [], []
    promised = PERFECT if arguments.tables_only else PACKAGED  # the course teaches the latter
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) if arguments.tables_only else None
        for seed in arguments.seeds:
            library, known = read_world(seed, home, arguments.size)
            readers = {PERFECT: perfect_readers(known)}
            if home is None:
                seen[seed] = senses(library, known)
                broken += promises_of_senses(seed, seen[seed])
                readers |= packaged_readers(library)
            liked[seed] = preference(library, known, seed, readers, arguments.signal)
            gains[seed] = additions(seed, liked[seed], list(readers))
            broken += promises(seed, liked[seed], [promised])
    broken += promises_of_gains(gains, promised)
    if home is None:
        besides = promises_of_gains(gains, PERFECT)
    title = "NDCG@10 in the fourth week [95% interval]"
    tables = [as_table({seed: ranks(results) for seed, results in liked.items()}, title)]
    tables.append(gains_table(gains))
    if seen:
        tables.insert(0, as_table(seen, "accuracy on unseen groups ± half of the 95% interval"))
    failed = report("\n\n".join(tables), broken, "difficulty", arguments.write)
    if besides:
        print("Of perfect readers nothing is promised:")
        print("\n".join(besides))
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
