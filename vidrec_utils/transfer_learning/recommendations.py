"""From labels to recommendations: how much fine-tuned vectors improve a recommender.

References
----------
Zou, Donner: Construction of confidence intervals for the sum of parameters (MOVER). Statistics in
Medicine 27 (2008), equation 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from vidrec_utils.content_based.vectors import unit_vectors
from vidrec_utils.datasets import Split
from vidrec_utils.encoders import Tunable
from vidrec_utils.evaluation import Comparison, Result, compare, evaluate
from vidrec_utils.events import Label, fit_label
from vidrec_utils.recommender import Recommender
from vidrec_utils.reporting import interval
from vidrec_utils.transfer_learning.backbone import Backbone, Inputs, prepare_once, vectors


def mean_watch_ratio(interactions: pd.DataFrame, least: int = 5) -> pd.Series:
    """Mean watch ratio of each video with at least so many exposures, as labels for a regression.

    Pass only the training part of a split: later exposures would reveal what is to be predicted.
    Where durations vary, the ratio follows them (see `events.labels`), so what is trained on it may
    learn how long a video lasts; the label by which lists are judged is another one.

    Examples
    --------
    >>> log = pd.DataFrame({"video_id": ["a", "a", "b"], "watch_ratio": [0.25, 0.75, 1.0]})
    >>> mean_watch_ratio(log, least=2).to_dict()
    {'a': 0.5}
    """
    ratios = interactions.groupby("video_id")["watch_ratio"].agg(["mean", "count"])
    return ratios.loc[ratios["count"] >= least, "mean"].astype(float)


def mean_percentile(interactions: pd.DataFrame, videos: pd.DataFrame, least: int = 5) -> pd.Series:
    """Mean percentile of each video's watch times among exposures of like duration.

    The percentile of an exposure is the share of all given exposures to videos of like duration
    that were watched less long (the strength of the label `quantile`; see `events.labels`). Unlike
    the watch ratio it does not follow how long a video lasts.

    Parameters
    ----------
    interactions : DataFrame
        Pass only the training part of a split, as for `mean_watch_ratio`.
    videos : DataFrame
        The catalogue, with `duration_s`.
    least : int
        Videos with fewer exposures are left out.

    Examples
    --------
    Of two videos of ten seconds and two of forty, one each is watched longer:

    >>> videos = pd.DataFrame({"duration_s": [10, 10, 40, 40]}, index=list("abcd"))
    >>> log = pd.DataFrame({"user_id": "u", "video_id": list("abcd") * 200})
    >>> log["watch_ratio"] = [0.2, 0.6, 0.1, 0.3] * 200
    >>> mean_percentile(log, videos).to_dict()
    {'a': 0.25, 'b': 0.75, 'c': 0.25, 'd': 0.75}
    """
    strength = fit_label(interactions, videos, "quantile").strength(interactions)
    shares = strength.groupby(interactions["video_id"]).agg(["mean", "count"])
    return shares.loc[shares["count"] >= least, "mean"].astype(float)


def vectors_of(encoder: Tunable, items: Mapping[str, Any]) -> pd.DataFrame:
    """Vectors of an encoder, one row for each id; prepared items are not prepared again."""
    backbone = Backbone(encoder)
    inputs = Inputs(backbone.prepare, list(items.values()))
    table = vectors(backbone.to(encoder.device), inputs, encoder.device)
    return pd.DataFrame(table.numpy(), index=list(items))


def side_by_side(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Append vectors to others, each centred and of length 1, so that both have the same say.

    Parameters
    ----------
    one, other : DataFrame
        Vectors of the same ids, one row for each.

    Returns
    -------
    DataFrame
        The columns of both, numbered from 0, in the order of the first's ids.

    Raises
    ------
    ValueError
        If the ids differ.

    Examples
    --------
    >>> looks = pd.DataFrame([[0.0], [4.0]], index=["a", "b"])
    >>> moves = pd.DataFrame([[9.0], [7.0]], index=["b", "a"])
    >>> side_by_side(looks, moves).to_numpy().tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """
    if set(one.index) != set(other.index) or len(one) != len(other):
        raise ValueError("The two tables have different ids; compute both for the same videos.")
    complete = np.zeros(len(one), dtype=bool)
    tables = (one, other.reindex(one.index))
    units = [unit_vectors(table.to_numpy(), complete) for table in tables]
    return pd.DataFrame(np.hstack(units), index=one.index)


def recommendation_gains(
    encoders: Mapping[str, Tunable],
    clips: Mapping[str, np.ndarray],
    recommender: Callable[[pd.DataFrame], Recommender],
    split: Split,
    k: int = 10,
    seed: int = 0,
    on: str = "validation",
    label: Label = None,
) -> tuple[dict[str, Result], list[Comparison]]:
    """Recommend with the vectors of each encoder, and compare with the first, user by user.

    Encoders that prepare clips alike (a fine-tuned one and its original) share prepared clips.

    Parameters
    ----------
    encoders : mapping
        Encoders by name; the others are compared with the first.
    clips : mapping
        Clips by video id.
    recommender : callable
        Takes vectors and returns a recommender.
    split : Split
        Recommenders are fitted on its training part.
    k, seed : int
        Length of the lists; seed of the bootstrap.
    on : {"validation", "test"}
        The part on which they are compared, by NDCG; see `evaluation.evaluate`.
    label : str or LabelRule, optional
        The label that judges; see `evaluation.evaluate`.

    Returns
    -------
    results : dict of str to Result
        Results by name.
    comparisons : list of Comparison
        One for each encoder but the first.

    Examples
    --------
    Vectors gain nothing over themselves:

    >>> from vidrec_utils import video_encoders
    >>> from vidrec_utils.content_based import ContentRecommender
    >>> from vidrec_utils.datasets import Split
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> later = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, later, later[:0], pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> shades = {"a": 10, "b": 20, "c": 250}
    >>> clips = {name: np.full((4, 32, 32, 3), s, np.uint8) for name, s in shades.items()}
    >>> encoder = video_encoders.load("slowfast_mini", device="cpu")
    >>> encoders = {"as it came": encoder, "again": encoder}
    >>> results, gains = recommendation_gains(encoders, clips, ContentRecommender, split, k=1)
    >>> list(results), gains[0].difference
    (['as it came', 'again'], 0.0)
    """
    ready = prepare_once(next(iter(encoders.values())), clips, progress=False)
    results = {}
    for name, encoder in encoders.items():
        model = recommender(vectors_of(encoder, ready))
        model.name = name
        results[name] = evaluate(model.fit(split), split, k, on, seed, label=label)
    first, *others = results.values()
    return results, [compare(other, first, seed=seed) for other in others]


def explained(
    facts: pd.DataFrame,
    numbers: pd.Series,
    groups: pd.Series | None = None,
    folds: int = 10,
    seed: int = 0,
) -> float:
    """Share of the variance of numbers that a linear model of categorical facts predicts.

    Parameters
    ----------
    facts : DataFrame
        Categories, one row for each id.
    numbers : Series
        A number for each id.
    groups : Series, optional
        Group of each id, such as its subject: ids of one group are predicted together, from
        other groups.
    folds, seed : int
        Number of folds, each of which is predicted from the others; they are drawn with the seed.

    Returns
    -------
    float
        R squared; below 0: worse than predicting the mean.

    Examples
    --------
    >>> facts = pd.DataFrame({"motion": ["spin", "rise"] * 20})
    >>> numbers = pd.Series([0.25, 0.75] * 20)
    >>> round(explained(facts, numbers), 2)
    1.0
    """
    columns = pd.get_dummies(facts.reindex(numbers.index).astype("str"))
    together = None if groups is None else groups.reindex(numbers.index).to_numpy()
    cv = (KFold if groups is None else GroupKFold)(folds, shuffle=True, random_state=seed)
    predicted = cross_val_predict(RidgeCV(), columns, numbers, groups=together, cv=cv)
    return float(r2_score(numbers, predicted))


def over_worlds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean gain over several platforms, with an interval, for each way to fine-tune.

    Platforms and trained networks are fixed, and only users are drawn: the interval says nothing
    about other platforms or another training. From the intervals `l_i, u_i` of the
    gains `d_i` of n platforms, which are independent, the mean's interval goes from
    `mean - sqrt(sum (d_i - l_i)^2) / n` to `mean + sqrt(sum (u_i - d_i)^2) / n` (Zou and Donner).

    Parameters
    ----------
    table : DataFrame
        `target, strategy, vectors`, and `more, low, high` on one platform; one row for each.

    Returns
    -------
    DataFrame
        One row for each way, as `"motion, full, both"`: `mean, low, high`, on how many platforms
        the gain's own interval is above zero (`better`) or below (`worse`), of how many (`worlds`).

    Raises
    ------
    ValueError
        If the table lacks a column.

    Examples
    --------
    >>> way = {"target": "motion", "strategy": "full", "vectors": "both"}
    >>> rows = [way | {"more": 1, "low": -2, "high": 7}, way | {"more": 3, "low": -1, "high": 11}]
    >>> over_worlds(pd.DataFrame(rows)).loc["motion, full, both", ["mean", "low", "high"]].tolist()
    [2.0, -0.5, 7.0]
    """
    required = {"target", "strategy", "vectors", "more", "low", "high"}
    lacking = sorted(required - set(table.columns))
    if lacking:
        raise ValueError(f"The table of gains lacks the column {', '.join(lacking)}.")
    rows = {}
    for names, gains in table.groupby(["target", "strategy", "vectors"], sort=False):
        mean, n = gains["more"].mean(), len(gains)
        rows[", ".join(names)] = {
            "mean": mean,
            "low": mean - np.sqrt(np.square(gains["more"] - gains["low"]).sum()) / n,
            "high": mean + np.sqrt(np.square(gains["high"] - gains["more"]).sum()) / n,
            "better": int((gains["low"] > 0).sum()),
            "worse": int((gains["high"] < 0).sum()),
            "worlds": n,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def print_gains(table: pd.DataFrame) -> None:
    """Print gains whose intervals exclude zero, one line each, and how many do not.

    Parameters
    ----------
    table : DataFrame
        See `over_worlds`.

    Examples
    --------
    >>> columns = ["mean", "low", "high", "better", "worse", "worlds"]
    >>> rows = [(0.02, 0.01, 0.03, 4, 0, 5), (0.01, -0.01, 0.03, 1, 0, 5)]
    >>> print_gains(pd.DataFrame(rows, ["motion, full", "tags, full"], columns))
    motion, full: +0.0200 [+0.0100, +0.0300]; the interval excludes zero on 4 of 5 platforms.
    The other 1 of 2 intervals contain zero.
    """
    clear = table[(table["low"] > 0) | (table["high"] < 0)]
    for way, row in clear.iterrows():
        which = row["better"] if row["mean"] > 0 else row["worse"]
        numbers = interval(row["mean"], row["low"], row["high"], "+.4f")
        platforms = f"{which:.0f} of {row['worlds']:.0f} platforms"
        print(f"{way}: {numbers}; the interval excludes zero on {platforms}.")
    print(f"The other {len(table) - len(clear)} of {len(table)} intervals contain zero.")
