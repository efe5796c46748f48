"""Leaks that lie in the data: parts that overlap, copies, features that know the future."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from vidrec_utils.evaluation.leaks.finding import Finding
from vidrec_utils.recommender import as_ids, blocks

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split
    from vidrec_utils.embeddings import Embeddings


def overlap(split: Split) -> Finding:
    """Rows of a later part that stand in an earlier one, too.

    Where rows have a timestamp, the same user and video at the same time; else the same user and
    video, which may be somebody's second look and is still an answer given away.
    """
    number, example = 0, ""
    for earlier, later in _pairs(split):
        a, b = getattr(split, earlier), getattr(split, later)
        keys = [c for c in ("user_id", "video_id", "timestamp") if c in a and c in b]
        one, other = (pd.MultiIndex.from_frame(_as_text(part[keys])) for part in (a, b))
        twice = other.isin(one)
        if twice.any() and not example:
            example = f", such as {'/'.join(map(str, other[twice][0]))} in {earlier} and {later}"
        number += int(twice.sum())
    return Finding(
        "overlap of parts",
        number > 0,
        number,
        f"{number:,} rows stand in two parts{example}.",
        "Drop them from training: a model need only remember.",
    )


def time_travel(split: Split) -> Finding:
    """Rows that train although they are not older than the first row that is asked for."""
    number, example = 0, ""
    for earlier, later in _pairs(split):
        a, b = getattr(split, earlier)["timestamp"], getattr(split, later)["timestamp"]
        late = a >= b.min()
        if late.any() and not example:
            example = f", such as {a[late].max()} in {earlier}; {later} begins at {b.min()}"
        number += int(late.sum())
    return Finding(
        "time travel",
        number > 0,
        number,
        f"{number:,} rows are not older than what is to be predicted{example}.",
        "Split at one moment for everybody: preprocessing.split_by_time.",
    )


def near_duplicates(
    split: Split,
    hashes: pd.Series | pd.DataFrame | None = None,
    vectors: Embeddings | pd.DataFrame | None = None,
    max_bits: float = 4,
    min_cosine: float = 0.995,
) -> Finding:
    """Videos of a later part that look like another video of training, under another name.

    Parameters
    ----------
    split : Split
        Of a log, or of videos (parts indexed by `video_id`).
    hashes : Series or DataFrame of int, optional
        Perceptual hashes by `video_id`, as many columns as frames were hashed.
    vectors : Embeddings or DataFrame, optional
        Embeddings by `video_id`. Give hashes, vectors, or both (then both must agree).
    max_bits : float
        Largest mean number of differing bits of a frame's hash.
    min_cosine : float
        Least cosine, without centring.

    Raises
    ------
    ValueError
        If neither hashes nor vectors are given.
    """
    if hashes is None and vectors is None:
        raise ValueError("Give hashes or vectors of the videos: names alone do not tell copies.")
    alike, rows = [], None
    for given in (hashes, vectors):
        if given is not None:
            frame = pd.DataFrame(
                given if isinstance(given, pd.Series | pd.DataFrame) else given.frame()
            )
            frame = frame.set_axis(as_ids(frame.index)).dropna()
            rows = frame.index if rows is None else rows.intersection(frame.index)
            alike.append((given is hashes, frame))
    known = rows[rows.isin(_videos(split.train))]
    number, example = 0, ""
    for part in ("validation", "test"):
        new = rows[rows.isin(_videos(getattr(split, part)).difference(_videos(split.train)))]
        for video, copies in _copies(alike, known, new, max_bits, min_cosine):
            number += 1
            example = example or f", such as {video} of {part}, which resembles {copies} of train"
    return Finding(
        "near-duplicate videos",
        number > 0,
        number,
        f"{number:,} videos that training lacks have a likeness in it{example}.",
        "Merge copies before splitting: preprocessing.clean does.",
    )


def future_features(
    features: pd.DataFrame,
    interactions: pd.DataFrame,
    cut: pd.Timestamp,
    as_of: pd.Series | None = None,
    least: float = 0.3,
) -> Finding:
    """Counts that know what happened after the cut, such as the views of the whole period.

    A count made before the cut says nothing about later views that earlier views do not say. So a
    column is accused if, earlier views held fixed, it still goes with later ones (partial rank
    correlation of at least `least`), and is closer to the views of the whole period than to the
    earlier ones.

    Parameters
    ----------
    features : DataFrame
        Numeric columns by `video_id`: counts and rates that grow with time.
    interactions : DataFrame
        The log before and after the cut: `video_id, timestamp`.
    cut : Timestamp
        Begin of what is to be predicted.
    as_of : Series of Timestamp, optional
        When each row (by `video_id`), or each column (by its name), was computed: later than the
        cut needs no statistics.
    least : float
        Partial rank correlation that raises the alarm.
    """
    past = interactions["timestamp"] < cut
    ids = as_ids(features.index)
    counts = [
        as_ids(part["video_id"]).value_counts()
        for part in (interactions[past], interactions[~past])
    ]
    before, after = (count.reindex(ids, fill_value=0).to_numpy(float) for count in counts)
    accused = []
    for name in features.select_dtypes("number"):
        values = features[name].to_numpy(float)
        there = ~np.isnan(values)
        partial = _partial_spearman(values[there], after[there], before[there])
        closer = _spearman(values[there], (before + after)[there]) > _spearman(
            values[there], before[there]
        )
        if partial >= least and closer:
            accused.append(f"{name} (partial rank correlation {partial:.2f})")
    if as_of is not None:
        late = as_of[as_of > cut]
        accused += [f"{name} (as of {moment})" for name, moment in late.items()]
    listed = ", ".join(accused[:3]) or "none of the columns knows later views"
    return Finding(
        "features from the future",
        bool(accused),
        len(accused),
        f"of {features.shape[1]} columns: {listed}.",
        "Compute them from events before the cut.",
    )


def popularity_drift(
    split: Split, part: str = "test", least: float = 0.5, draws: int = 20, seed: int = 0
) -> Finding:
    """Whether what was popular before is popular in the part, by Spearman's rank correlation.

    How high it should be depends on the number of events, and on how fast tastes move, so it is
    compared with what is usual here. Where all rows of training (for the test, of validation, too)
    lie before the part, the last of them, as many as the part has, are compared with it, and with
    as many before them. Else, as in a random split, training and the part are compared, and random
    parts of the same sizes. A sound split comes near to what is usual; one that a script has mixed
    up, or one after which everything changed, does not.

    Parameters
    ----------
    split : Split
    part : str
        `"validation"` or `"test"`.
    least : float
        Share of the usual correlation below which there is an alarm.
    draws, seed : int
        Random parts to compare with.

    References
    ----------
    Rank correlations of .97 in a sound and .34 in a faulty split of MovieLens-1M are reported for a
    published comparison that the fault had decided.
    """
    known, later = split.train, getattr(split, part)
    if part == "test" and len(split.validation):
        known = pd.concat([known, split.validation])
    if _precedes(known, later):
        recent, earlier, later = _windows(known, later)
        seen, usual = _agreement(recent, later), _agreement(earlier, recent)
        against = "one period earlier"
    else:
        both = pd.concat([split.train["video_id"], later["video_id"]], ignore_index=True)
        seen, usual = _agreement(split.train["video_id"], later["video_id"]), 0.0
        rng, n = np.random.default_rng(seed), len(split.train)
        for _ in range(draws):
            mixed = both.iloc[rng.permutation(len(both))]
            usual += _agreement(mixed.iloc[:n], mixed.iloc[n:]) / draws
        against = "in random parts of these sizes"
    alarm = bool(usual > 0.1 and seen < least * usual)
    return Finding(
        "popularity drift",
        alarm,
        int(alarm),
        f"what was popular before the {part} and what is in it have a rank correlation of "
        f"{seen:.2f}; {against} it is {usual:.2f}.",
        "Look at how the parts were made, and at what changed between them.",
    )


def _pairs(split: Split) -> list[tuple[str, str]]:
    """Pairs of parts that both have rows, the earlier first."""
    pairs = (("train", "validation"), ("train", "test"), ("validation", "test"))
    return [pair for pair in pairs if all(len(getattr(split, part)) for part in pair)]


def _as_text(keys: pd.DataFrame) -> pd.DataFrame:
    """Ids as text, so that 7 and "7" are the same; times stay times."""
    ids = [name for name in keys if name != "timestamp"]
    return keys.assign(**{name: as_ids(keys[name]) for name in ids})


def _videos(part: pd.DataFrame) -> pd.Index:
    """Ids of the videos in a part of a log, or of a table of videos."""
    return as_ids(part.get("video_id", part.index)).unique()


def _copies(
    alike: list[tuple[bool, pd.DataFrame]],
    known: pd.Index,
    new: pd.Index,
    max_bits: float,
    min_cosine: float,
) -> Iterator[tuple[str, str]]:
    """Each new video that resembles a known one by all given frames, with the first such one."""
    if not len(known):
        return
    widest = max(frame.shape[1] if hashed else 1 for hashed, frame in alike)
    for block in blocks(len(new), len(known) * widest):
        same = np.ones((len(new[block]), len(known)), dtype=bool)
        for hashed, frame in alike:
            one, other = frame.loc[new[block]].to_numpy(), frame.loc[known].to_numpy()
            same &= _near_hashes(one, other, max_bits) if hashed else _near(one, other, min_cosine)
        for row in np.flatnonzero(same.any(axis=1)):
            yield new[block][row], known[same[row].argmax()]


def _near_hashes(one: np.ndarray, other: np.ndarray, max_bits: float) -> np.ndarray:
    one, other = one.astype(np.uint64), other.astype(np.uint64)
    return np.bitwise_count(one[:, None] ^ other[None]).mean(axis=-1) <= max_bits


def _near(one: np.ndarray, other: np.ndarray, min_cosine: float) -> np.ndarray:
    units = [
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        for rows in (one, other)
    ]
    return units[0] @ units[1].T >= min_cosine


def _precedes(known: pd.DataFrame, later: pd.DataFrame) -> bool:
    """Whether there are times, and all that is known lies before the later part."""
    if not len(later) or "timestamp" not in known or "timestamp" not in later:
        return False
    return bool(known["timestamp"].max() <= later["timestamp"].min())


def _windows(known: pd.DataFrame, later: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Videos of the last known rows, of as many before them, and of as many of the later part."""
    size = min(len(later), len(known) // 2)
    known, later = (rows.sort_values("timestamp", kind="stable") for rows in (known, later))
    videos = known["video_id"].iloc[len(known) - 2 * size :]
    return videos.iloc[size:], videos.iloc[:size], later["video_id"].iloc[:size]


def _agreement(before: pd.Series, after: pd.Series) -> float:
    """Rank correlation of how often each video that occurs before occurs before and after."""
    one, other = (pd.Series(as_ids(ids)).value_counts() for ids in (before, after))
    return _spearman(one.to_numpy(), other.reindex(one.index, fill_value=0).to_numpy())


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; 0 where one of the two does not vary."""
    return _pearson(rankdata(a), rankdata(b)) if len(a) > 2 else 0.0


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 1e-9 * len(a) else 0.0


def _partial_spearman(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> float:
    """Rank correlation of what a third variable does not explain, linearly in the ranks."""
    if len(a) < 4:
        return 0.0
    a, b, given = (rankdata(values) for values in (a, b, given))
    basis = np.column_stack([np.ones(len(given)), given])
    left = [v - basis @ np.linalg.lstsq(basis, v, rcond=None)[0] for v in (a, b)]
    return _pearson(*left)
