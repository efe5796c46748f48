"""Videos that lack a title, a thumbnail or a clip: five ways to go on, and how they compare.

References
----------
Malitesta, Rossi, Pomo, Di Noia, Malliaros: Do We Really Need to Drop Items with Missing Modalities
in Multimodal Recommendation? CIKM 2024 (arXiv:2408.11767).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from vidrec_utils import arguments
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import evaluate
from vidrec_utils.events import Label
from vidrec_utils.hybrid.cold_start import all_and_cold
from vidrec_utils.hybrid.features import Modalities
from vidrec_utils.recommender import Recommender, as_ids

HOWS = ("drop", "zero", "mean", "predicted", "learned")
HIDDEN_SHARE = 0.4
"""Share of the videos that each modality loses in `compare_missing`, if no other is named."""


class FillMissing:
    """Tables of features, one for each modality, made into one frame without (or with) gaps.

    Every column is standardised over the videos that `fit` saw and that have it, so that no
    modality drowns another. A video that lacks a row of a modality, or has NaN in it, lacks the
    whole modality. Then:

    - `"drop"`: a video that lacks any modality has only NaN, as if it had no features at all;
    - `"zero"`: it has 0 in the units that the features came in, as if zero were a measurement;
    - `"mean"`: it has the mean of the modality;
    - `"predicted"`: it has what a ridge regression predicts from the modalities that it has (the
      mean, if it has none);
    - `"learned"`: it has NaN, for a model that learns what to put there (`TwoTower` does).

    Parameters
    ----------
    how : {"drop", "zero", "mean", "predicted", "learned"}
        What to do.
    ridge : float
        Penalty of the regression, on standardised columns, per video.

    Attributes
    ----------
    columns : Index of str
        Columns of the result: `"title 0"`, `"title 1"` and so on. Set by `fit`.

    Examples
    --------
    The third video has no clip and gets the mean of the clips: 0, as columns are standardised.

    >>> title = pd.DataFrame([[1.0], [3.0], [5.0]], index=["1", "2", "3"])
    >>> clip = pd.DataFrame([[2.0], [4.0]], index=["1", "2"])
    >>> table = FillMissing("mean").fit_transform({"title": title, "clip": clip})
    >>> print(table.round(1).to_string(index_names=False))
       title 0  clip 0
    1     -1.2    -1.0
    2      0.0     1.0
    3      1.2     0.0
    """

    def __init__(self, how: str = "mean", ridge: float = 0.1):
        arguments.one_of(HOWS, how=how)
        arguments.positive(ridge=ridge)
        self.how = how
        self.ridge = float(ridge)

    def fit(self, modalities: Modalities) -> Self:
        """Learn means, deviations and, for `"predicted"`, how modalities depend on each other.

        Parameters
        ----------
        modalities : mapping of str to Embeddings or DataFrame
            Features by the name of the modality, one row a video.

        Raises
        ------
        ValueError
            If there is no modality, one names a video twice, or none of its videos has it.
        """
        frames = _frames(modalities)
        self.widths = {name: frame.shape[1] for name, frame in frames.items()}
        self.columns = pd.Index(
            [f"{m} {n}" for m, width in self.widths.items() for n in range(width)]
        )
        raw = _side_by_side(frames)  # (n_videos, all columns)
        for name, frame in frames.items():
            if not np.isfinite(frame.to_numpy()).any():
                raise ValueError(f"No video has the modality {name!r}; leave it out.")
        self.mean = np.nanmean(raw, axis=0)
        deviation = np.nanstd(raw, axis=0)
        self.deviation = np.where(deviation > 1e-12, deviation, 1)
        x = np.nan_to_num((raw - self.mean) / self.deviation)  # a gap is at the mean, which is 0
        self.covariance = x.T @ x / len(x)  # C, (all columns, all columns)
        return self

    def transform(self, modalities: Modalities) -> pd.DataFrame:
        """One frame of all modalities, float32, indexed by `video_id`.

        All videos that any modality names, in the order of the first.

        Raises
        ------
        ValueError
            If these are not the modalities that `fit` saw, or of another width.
        """
        frames = _frames(modalities)
        widths = {name: frame.shape[1] for name, frame in frames.items()}
        if list(widths.items()) != list(self.widths.items()):
            raise ValueError(
                f"These modalities are {widths}, those fitted on were {self.widths} (name and "
                "number of columns, in this order)."
            )
        raw = _side_by_side(frames)
        x = (raw - self.mean) / self.deviation  # (n_videos, all columns)
        gaps = np.isnan(x)
        if self.how == "drop":
            x[gaps.any(axis=1)] = np.nan
        elif self.how == "zero":
            x = np.where(gaps, -self.mean / self.deviation, x)
        elif self.how == "mean":
            x = np.where(gaps, 0, x)
        elif self.how == "predicted":
            x = self._predicted(x, gaps)
        videos = next(iter(frames.values())).index
        return pd.DataFrame(x.astype(np.float32), index=videos, columns=self.columns)

    def fit_transform(self, modalities: Modalities) -> pd.DataFrame:
        """Fit to tables and transform them."""
        return self.fit(modalities).transform(modalities)

    def _predicted(self, x: np.ndarray, gaps: np.ndarray) -> np.ndarray:
        """Fill gaps by a ridge regression from the known columns, one for each pattern of gaps."""
        filled = np.nan_to_num(x)
        patterns, pattern_of = np.unique(gaps, axis=0, return_inverse=True)
        for number, missing in enumerate(patterns):
            if not missing.any() or missing.all():
                continue
            known = ~missing
            # W = (C_kk + ridge I)^-1 C_km, from the known columns k to the missing ones m
            gram = self.covariance[np.ix_(known, known)]  # C_kk, (k, k)
            gram = gram + self.ridge * np.eye(len(gram))
            weights = np.linalg.solve(gram, self.covariance[np.ix_(known, missing)])  # W, (k, m)
            rows = np.flatnonzero(pattern_of.ravel() == number)
            # x_m = x_k W, (rows, m)
            filled[np.ix_(rows, missing)] = filled[np.ix_(rows, known)] @ weights
        return filled


def lose(
    modalities: Modalities, share: float, seed: int = 0, keep_one: bool = True
) -> dict[str, pd.DataFrame]:
    """Copies of the tables, from each of which a share of the videos is taken out at random.

    Parameters
    ----------
    modalities : mapping of str to Embeddings or DataFrame
        Not changed.
    share : float
        Share of the videos that each modality loses, from 0 to 1.
    seed : int
        The videos are drawn with this seed.
    keep_one : bool
        Whether a video that would lose everything keeps one modality, drawn at random.

    Raises
    ------
    ValueError
        If the share is impossible.

    Examples
    --------
    >>> title = pd.DataFrame(np.ones((4, 2)), index=list("abcd"))
    >>> tables = lose({"title": title, "clip": title}, share=0.5)
    >>> {name: int(table.isna().all(axis=1).sum()) for name, table in tables.items()}
    {'title': 2, 'clip': 1}
    """
    arguments.share(share=share)
    frames = _frames(modalities)
    rng = np.random.default_rng(seed)
    n = len(next(iter(frames.values())))
    lost = rng.random((n, len(frames))).argsort(axis=0) < round(share * n)  # exactly that many
    if keep_one:
        nothing = np.flatnonzero(lost.all(axis=1))
        lost[nothing, rng.integers(0, len(frames), len(nothing))] = False
    return {
        name: frame.mask(pd.Series(gone, index=frame.index), axis=0)
        for (name, frame), gone in zip(frames.items(), lost.T, strict=True)
    }


def compare_missing(
    modalities: Modalities,
    split: Split,
    make: Callable[[pd.DataFrame, int], Recommender],
    hows: Sequence[str] = HOWS,
    share: float = HIDDEN_SHARE,
    seeds: Iterable[int] = (0,),
    k: int = 10,
    on: str = "validation",
    metric: str = "ndcg",
    progress: bool = True,
    label: Label = None,
) -> pd.DataFrame:
    """Take modalities away and measure how well each way to go on still recommends.

    Parameters
    ----------
    modalities : mapping of str to Embeddings or DataFrame
        Features of videos.
    split : Split
        Models are fitted on `train`.
    make : callable
        From a frame of features and a seed to an unfitted recommender, for example
        `lambda vectors, seed: TwoTower(vectors, seed=seed)`. A recommender that cannot learn what
        to put for NaN treats "learned" like videos without features.
    hows : sequence of str
        Ways to go on; see `FillMissing`.
    share : float
        Share of the videos that each modality loses. The losses add up: of m modalities each of
        which loses a share s, `1 - (1 - s)^m` of the videos lack at least one, 87% of them for 40%
        of each of four. "drop" does without all of these.
    seeds : iterable of int
        Each draws other gaps, the same for all ways.
    k, on, metric, label
        See `evaluation.evaluate`.
    progress : bool
        Show a bar when it takes longer than two seconds.

    Returns
    -------
    DataFrame
        `how, seed, all, cold`: means of the metric over all users, and on cold videos (NaN where no
        user has one). `how` is `"nothing missing"` once for each seed. `.attrs["hidden"]` is the
        share that each modality lost, `.attrs["incomplete"]` the share of the videos that lacked at
        least one modality, on average over the seeds.

    Examples
    --------
    >>> from vidrec_utils.content_based import ContentRecommender
    >>> from vidrec_utils.datasets import Split
    >>> clip = pd.DataFrame([[1.0], [0.9], [-1.0], [-0.9]], index=list("abcd"))
    >>> train = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["a", "c"]})
    >>> later = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["b", "d"]})
    >>> train["watch_ratio"] = later["watch_ratio"] = 1.0
    >>> split = Split(train, later, later, pd.DataFrame(index=clip.index), "by hand")
    >>> make = lambda vectors, seed: ContentRecommender(vectors)
    >>> options = {"share": 0.0, "k": 1, "on": "validation"}
    >>> table = compare_missing({"clip": clip}, split, make, ["mean"], **options)
    >>> table[["how", "all"]].to_numpy().tolist()
    [['nothing missing', 1.0], ['mean', 1.0]]
    >>> table.attrs
    {'hidden': 0.0, 'incomplete': 0.0}
    """
    seeds = list(seeds)
    tasks = [(how, seed) for seed in seeds for how in ("nothing missing", *hows)]
    rows = []
    for how, seed in tqdm(tasks, desc="missing", delay=2, leave=False, disable=not progress):
        complete = how == "nothing missing"
        tables = modalities if complete else lose(modalities, share, seed)
        vectors = FillMissing("mean" if complete else how).fit_transform(tables)
        model = make(vectors, seed).fit(split)
        result = evaluate(model, split, k, on, seed=seed, progress=False, label=label)
        rows.append([how, seed, *all_and_cold(result, metric)])
    table = pd.DataFrame(rows, columns=["how", "seed", "all", "cold"])
    gaps = [_incomplete(lose(modalities, share, seed)) for seed in seeds]
    table.attrs |= {"hidden": float(share), "incomplete": float(np.mean(gaps))}
    return table


def _incomplete(tables: Modalities) -> float:
    """Share of the videos that lack at least one modality."""
    lacking = [frame.isna().any(axis=1) for frame in _frames(tables).values()]
    return float(np.any(lacking, axis=0).mean())


def _frames(modalities: Modalities) -> dict[str, pd.DataFrame]:
    """Tables over the same videos; a row with a gap is all NaN."""
    if not modalities:
        raise ValueError("There is no modality: give at least one table of features.")
    tables = {}
    for name, table in modalities.items():
        frame = table if isinstance(table, pd.DataFrame) else table.frame()
        frame = frame.astype(np.float64).set_axis(as_ids(frame.index), axis=0)
        if frame.index.has_duplicates:
            twice = frame.index[frame.index.duplicated()][0]
            raise ValueError(f"The modality {name!r} has video {twice!r} twice; keep one row.")
        tables[name] = frame.where(np.isfinite(frame).all(axis=1), np.nan)
    ids = next(iter(tables.values())).index
    for frame in tables.values():
        ids = ids.append(frame.index.difference(ids, sort=False))
    return {name: frame.reindex(ids.rename("video_id")) for name, frame in tables.items()}


def _side_by_side(frames: Mapping[str, pd.DataFrame]) -> np.ndarray:
    return np.hstack([frame.to_numpy(dtype=np.float64) for frame in frames.values()])
