"""Shapley values: a fair share of a prediction for each feature, or group of features.

References
----------
Shapley: A Value for n-Person Games. 1953.
Lundberg, Lee: A Unified Approach to Interpreting Model Predictions. NeurIPS 2017
(arXiv:1705.07874).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import factorial

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import roc_auc_score

from vidrec_utils import arguments
from vidrec_utils.hybrid import Stacked
from vidrec_utils.recommender import as_ids
from vidrec_utils.top_k import position

MOST_PLAYERS = 14
"""Features or groups up to which all subsets are tried: 2 to this power."""


def coalitions(n: int) -> np.ndarray:
    """All subsets of n players, bool `(2^n, n)`; row r holds player i if bit i of r is set.

    Examples
    --------
    >>> coalitions(2).astype(int).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def shapley_from_values(values: np.ndarray) -> np.ndarray:
    """Shapley values from what every coalition is worth.

    Parameters
    ----------
    values : ndarray, shape (2^n,) or (2^n, m)
        Worth of each subset, in the order of `coalitions`.

    Returns
    -------
    ndarray of float64, shape (n,) or (n, m)
        They add up to the worth of all players minus that of none.

    Raises
    ------
    ValueError
        If the number of values is no power of two.

    Examples
    --------
    Two players are worth something only together, so they share alike:

    >>> shapley_from_values(np.array([0.0, 0.0, 0.0, 1.0])).tolist()
    [0.5, 0.5]
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values).bit_length() - 1
    if len(values) != 2**n:
        raise ValueError(f"{len(values)} subsets are not all subsets of some players.")
    members = coalitions(n)
    size = members.sum(axis=1)
    result = np.zeros((n, *values.shape[1:]))
    # phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S with i) - v(S))
    weight = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    for player in range(n):
        without = np.flatnonzero(~members[:, player])
        gain = values[without | 1 << player] - values[without]
        shares = weight[size[without]].reshape(-1, *[1] * (values.ndim - 1))
        result[player] = (shares * gain).sum(axis=0)
    return result


def shapley_values(
    function: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    background: np.ndarray,
    groups: Mapping[str, Sequence[int]] | None = None,
) -> pd.Series:
    """Exact Shapley values of one prediction.

    A subset of the features is worth the mean prediction where they have their values, and the
    others those of the rows of the background.

    Parameters
    ----------
    function : callable
        From rows `(n, n_features)` to predictions `(n,)`.
    x : ndarray, shape (n_features,)
        What is explained.
    background : ndarray, shape (m, n_features)
        What it is compared with.
    groups : mapping of str to sequence of int, optional
        Features that are present or absent together, by the name of the group; default: each for
        itself, named by its number. All features must be in a group.

    Returns
    -------
    Series of float
        By name; they add up to the prediction minus the mean prediction of the background.

    Raises
    ------
    ValueError
        If there are too many groups to try all subsets, a feature is in none or in two, or the
        background is empty.

    Examples
    --------
    >>> product = lambda rows: rows[:, 0] * rows[:, 1]
    >>> shapley_values(product, np.array([2.0, 3.0]), np.zeros((1, 2))).tolist()
    [3.0, 3.0]
    """
    x, background = np.asarray(x, dtype=float), np.atleast_2d(np.asarray(background, dtype=float))
    if groups is None:
        groups = {str(n): [n] for n in range(len(x))}
    if sorted(f for own in groups.values() for f in own) != list(range(len(x))):
        raise ValueError("Every feature has to be in exactly one group.")
    if len(groups) > MOST_PLAYERS:
        raise ValueError(
            f"{len(groups)} groups have {2 ** len(groups):,} subsets; put features into at most "
            f"{MOST_PLAYERS} groups, or sample with captum.attr.ShapleyValueSampling."
        )
    if not len(background):
        raise ValueError("The background has no row, so there is nothing to compare with.")
    worth = []
    for coalition in coalitions(len(groups)):
        rows = background.copy()
        for present, own in zip(coalition, groups.values(), strict=True):
            if present:
                rows[:, list(own)] = x[list(own)]
        worth.append(float(np.mean(function(rows))))
    return pd.Series(shapley_from_values(np.array(worth)), index=list(groups), name="shapley")


class Ranker(RegressorMixin, BaseEstimator):
    """The learned ranker of a stacked recommender, as an estimator of scikit-learn.

    Parameters
    ----------
    stacked : Stacked
        Fitted.

    Examples
    --------
    >>> from vidrec_utils.recommender import Popularity, Random
    >>> log = pd.DataFrame({"user_id": ["ann", "ann", "bob", "bob"], "video_id": list("abac")})
    >>> log["timestamp"] = pd.date_range("2025-01-01", periods=4, freq="h")
    >>> stacked = Stacked([Random(), Popularity()]).fit(log.assign(watch_ratio=1.0))
    >>> Ranker(stacked).predict(np.zeros((2, len(stacked.feature_names)))).shape
    (2,)
    """

    def __init__(self, stacked: Stacked):
        self.stacked = stacked

    def fit(self, x: np.ndarray, y: np.ndarray) -> Ranker:
        """Do nothing: the ranker was fitted with its recommender."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Log odds `(n,)` of rows of features `(n, n_features)`."""
        hidden = (np.asarray(x, dtype=np.float64) - self.stacked.mean) / self.stacked.scale
        for weight, bias in self.stacked.layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0)
        weight, bias = self.stacked.layers[-1]
        return (hidden @ weight + bias)[:, 0]


def ranker_features(stacked: Stacked, user_ids: Sequence[str]) -> np.ndarray:
    """Features that a stacked recommender's ranker sees.

    Parameters
    ----------
    stacked : Stacked
        Fitted.
    user_ids : sequence of str
        Users.

    Returns
    -------
    ndarray of float32, shape (n_users, n_videos, n_features)
        In the order of `stacked.feature_names`.

    Examples
    --------
    >>> from vidrec_utils.recommender import Popularity, Random
    >>> log = pd.DataFrame({"user_id": ["ann", "ann", "bob", "bob"], "video_id": list("abac")})
    >>> log["timestamp"] = pd.date_range("2025-01-01", periods=4, freq="h")
    >>> stacked = Stacked([Random(), Popularity()]).fit(log.assign(watch_ratio=1.0))
    >>> x = ranker_features(stacked, ["ann"])
    >>> x.shape == (1, 3, len(stacked.feature_names))
    True
    """
    scores = stacked.member_scores(as_ids(list(user_ids)))
    return stacked._features(scores, stacked.events)


def member_groups(stacked: Stacked) -> dict[str, list[int]]:
    """Features of each member, and of the video's events, by name.

    Examples
    --------
    >>> from vidrec_utils.recommender import Popularity, Random
    >>> member_groups(Stacked([Random(), Popularity()], log_events=False))
    {'random': [0, 2, 4], 'popularity': [1, 3, 5], 'events': [6]}
    """
    names = [model.name for model in stacked.models]
    n = len(names)
    groups = {name: [n * kind + i for kind in range(3)] for i, name in enumerate(names)}
    return groups | {"events": list(range(3 * n, len(stacked.feature_names)))}


def ranker_shapley(stacked: Stacked, user_id: str, video_id: str, rows: int = 64) -> pd.Series:
    """Shapley value of each member in the score of a video, compared with the user's other videos.

    Parameters
    ----------
    stacked : Stacked
        Fitted; its ranker may be linear or a network.
    user_id, video_id : str
        Whose score of which video.
    rows : int
        Most videos of the background, evenly spaced over the catalogue; 0: all.

    Returns
    -------
    Series of float
        By member, and `events`. They add up to the score minus the mean score of the background.

    Raises
    ------
    KeyError
        If the user or the video is unknown.
    """
    arguments.at_least(0, rows=rows)
    position(stacked.user_ids, user_id, "user")
    column = position(stacked.video_ids, video_id, "video")
    x = ranker_features(stacked, [user_id])[0]
    count = len(x) if not rows else min(rows, len(x))
    chosen = np.linspace(0, len(x) - 1, count).round().astype(int)
    return shapley_values(Ranker(stacked).predict, x[column], x[chosen], member_groups(stacked))


def feature_importances(
    stacked: Stacked, x: np.ndarray, y: np.ndarray, repeats: int = 10, seed: int = 0
) -> pd.DataFrame:
    """How far the ranker's AUC falls when the values of a feature are shuffled.

    Parameters
    ----------
    stacked : Stacked
        Fitted.
    x : ndarray, shape (n, n_features)
        Rows of `ranker_features`, of examples that the ranker was not fitted on.
    y : ndarray of bool, shape (n,)
        Whether each was a success.
    repeats : int
        Shuffles of each feature.
    seed : int
        They are drawn with this seed.

    Returns
    -------
    DataFrame
        Indexed by feature: `mean` and `std` of the fall over the shuffles, largest first.

    Raises
    ------
    ValueError
        If all examples are alike.

    References
    ----------
    Breiman: Random Forests. Machine Learning 45, 2001.

    Examples
    --------
    >>> from vidrec_utils.recommender import Popularity, Random
    >>> log = pd.DataFrame({"user_id": ["ann", "ann", "bob", "bob"], "video_id": list("abac")})
    >>> log["timestamp"] = pd.date_range("2025-01-01", periods=4, freq="h")
    >>> stacked = Stacked([Random(), Popularity()]).fit(log.assign(watch_ratio=1.0))
    >>> x = ranker_features(stacked, ["ann", "bob"]).reshape(6, -1)
    >>> table = feature_importances(stacked, x, [True, False] * 3, repeats=2)
    >>> list(table.columns), len(table) == len(stacked.feature_names)
    (['mean', 'std'], True)
    """
    y = np.asarray(y, dtype=bool)
    if y.all() or not y.any():
        raise ValueError("An AUC needs successes and others; all examples are alike.")
    result = permutation_importance(
        Ranker(stacked),
        np.asarray(x, dtype=np.float64),
        y,
        scoring=lambda model, rows, truth: roc_auc_score(truth, model.predict(rows)),
        n_repeats=repeats,
        random_state=seed,
    )
    table = pd.DataFrame(
        {"mean": result.importances_mean, "std": result.importances_std},
        index=pd.Index(stacked.feature_names, name="feature"),
    )
    return table.sort_values("mean", ascending=False, kind="stable")


def dependence(stacked: Stacked, x: np.ndarray, feature: str, points: int = 20) -> pd.DataFrame:
    """Mean prediction of the ranker if a feature had the same value in all rows.

    Parameters
    ----------
    stacked : Stacked
        Fitted.
    x : ndarray, shape (n, n_features)
        Rows of `ranker_features`.
    feature : str
        One of `stacked.feature_names`.
    points : int
        Values that are tried, between the 5th and the 95th percentile.

    Returns
    -------
    DataFrame
        `value` of the feature and mean `prediction`.

    Raises
    ------
    ValueError
        If there is no such feature.

    References
    ----------
    Friedman: Greedy Function Approximation: A Gradient Boosting Machine. Annals of Statistics 29,
    2001.
    """
    arguments.one_of(stacked.feature_names, feature=feature)
    column = stacked.feature_names.index(feature)
    result = partial_dependence(
        Ranker(stacked),
        np.asarray(x, dtype=np.float64),
        [column],
        grid_resolution=points,
        kind="average",
    )
    return pd.DataFrame({"value": result["grid_values"][0], "prediction": result["average"][0]})
