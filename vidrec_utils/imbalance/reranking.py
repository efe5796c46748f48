"""Lists re-ranked so that their categories, or their head and tail, have the shares they should."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vidrec_utils import arguments

SMOOTHING = 0.01
"""Share of the history's distribution that is mixed into the list's, so that no share is 0."""


def category_shares(membership: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Compute the shares of categories among some videos.

    Parameters
    ----------
    membership : ndarray, shape (n, categories)
        Share of each category in each video; rows sum to 1.
    weights : ndarray, shape (n,), optional
        Weight of each video, such as how recently it was watched; 1 by default.

    Returns
    -------
    ndarray of float64, shape (categories,)
        They sum to 1.

    Raises
    ------
    ValueError
        If there is no video, or the weights sum to zero.

    Examples
    --------
    >>> category_shares(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).round(2).tolist()
    [0.67, 0.33]
    """
    membership = np.asarray(membership, dtype=np.float64)
    weights = np.ones(len(membership)) if weights is None else np.asarray(weights, dtype=float)
    total = weights.sum()
    if not len(membership) or not total > 0:
        raise ValueError(
            f"The weights of {len(membership)} videos sum to {total:g}: shares need one video with "
            "a weight above 0."
        )
    return weights @ membership / total


def miscalibration(target: np.ndarray, shares: np.ndarray, smoothing: float = SMOOTHING) -> float:
    """Kullback-Leibler divergence of a list's categories from those of the history.

    `KL(p || q) = sum_g p_g log(p_g / q_g)`, with `q = (1 - a) shares + a p`.

    Parameters
    ----------
    target : ndarray, shape (categories,)
        p: shares in the history.
    shares : ndarray, shape (categories,)
        Shares in the list.
    smoothing : float
        a.

    Returns
    -------
    float
        0: the same shares.

    Raises
    ------
    ValueError
        If the smoothing is not between 0 and 1.

    References
    ----------
    Steck: Calibrated Recommendations. RecSys 2018, equations 4 and 5.

    Examples
    --------
    >>> round(miscalibration(np.array([0.7, 0.3]), np.array([1.0, 0.0])), 2)
    1.13
    """
    arguments.share(smoothing=smoothing)
    p, own = np.asarray(target, dtype=float), np.asarray(shares, dtype=float)
    q = (1 - smoothing) * own + smoothing * p
    used = p > 0
    with np.errstate(divide="ignore"):
        return float((p[used] * np.log(p[used] / q[used])).sum())


def calibrated_list(
    scores: np.ndarray,
    membership: np.ndarray,
    target: np.ndarray,
    k: int = 10,
    balance: float = 0.5,
) -> np.ndarray:
    """Pick k candidates that are relevant, and whose categories have the shares of the history.

    One by one, the next pick maximises `(1 - balance) sum of scores - balance KL(p || q)` of the
    list with it (Steck 2018, equation 6, with lambda for balance).

    With two columns of membership, head and tail, and a target of one's choice, the same function
    gives the tail its share.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Relevance; -inf is never picked. Bring them to a scale of 0 to 1.
    membership : ndarray, shape (n, categories)
        Share of each category in each candidate.
    target : ndarray, shape (categories,)
        p: shares that the list should have, such as `category_shares` of the history.
    k : int
        Length of the list; as many as there are candidates, if they are fewer.
    balance : float
        0: relevance alone; 1: calibration alone.

    Returns
    -------
    ndarray of int64
        Positions in the order of picking.

    Raises
    ------
    ValueError
        If shapes do not match, the target does not sum to 1, or the balance is not between 0 and 1.

    References
    ----------
    Steck: Calibrated Recommendations. RecSys 2018.

    Examples
    --------
    The history is of two kinds in shares of 2 to 1; the three best candidates are of the first.

    >>> membership = np.eye(2)[[0, 0, 0, 1]]
    >>> scores, target = np.array([0.9, 0.8, 0.7, 0.6]), np.array([2 / 3, 1 / 3])
    >>> calibrated_list(scores, membership, target, k=3, balance=0.5).tolist()
    [0, 3, 1]
    """
    arguments.share(balance=balance)
    arguments.at_least(1, k=k)
    scores, membership = np.asarray(scores, dtype=float), np.asarray(membership, dtype=float)
    target = np.asarray(target, dtype=float)
    if membership.shape != (len(scores), len(target)):
        raise ValueError(
            f"membership has shape {membership.shape}; {len(scores)} scores and {len(target)} "
            f"shares ask for {(len(scores), len(target))}."
        )
    if not np.isclose(target.sum(), 1, atol=1e-6) or (target < 0).any():
        raise ValueError(f"The target's shares sum to {target.sum():g}; shares sum to 1.")
    left = np.isfinite(scores)
    used = target > 0
    picks: list[int] = []
    total, members = 0.0, np.zeros(len(target))
    for size in range(1, min(k, int(left.sum())) + 1):
        own = (members + membership) / size  # shares of the list with each candidate
        q = (1 - SMOOTHING) * own + SMOOTHING * target  # (n, categories)
        with np.errstate(divide="ignore"):
            divergence = (target[used] * np.log(target[used] / q[:, used])).sum(axis=1)
        value = (1 - balance) * (total + scores) - balance * divergence
        best = int(np.where(left, value, -np.inf).argmax())
        picks.append(best)
        left[best] = False
        total, members = total + scores[best], members + membership[best]
    return np.array(picks, dtype=np.int64)


def trade_off(
    scores: pd.DataFrame,
    membership: pd.DataFrame,
    histories: pd.Series,
    worth: pd.DataFrame,
    balances: Sequence[float] = (0.0, 0.3, 0.6, 0.9, 0.97),
    k: int = 10,
    candidates: int = 40,
) -> pd.DataFrame:
    """Measure what calibrated lists cost: their miscalibration and their worth, by the balance.

    Parameters
    ----------
    scores : DataFrame
        Users x videos.
    membership : DataFrame
        Videos x categories; rows sum to 1.
    histories : Series of list
        By user, the videos that were watched, which are not listed again. Users without one are
        left out.
    worth : DataFrame
        Users x videos: what a video is worth to a user, such as the true liking.
    balances : sequence of float
        See `calibrated_list`.
    k, candidates : int
        Length of the lists, and number of the best videos that are re-ranked.

    Returns
    -------
    DataFrame
        By balance, means over the users: `miscalibration` and `worth`.

    Examples
    --------
    >>> videos = ["a", "b", "c", "d"]
    >>> scores = pd.DataFrame([[0.9, 0.8, 0.1, 0.0]], ["ann"], videos)
    >>> kinds = pd.DataFrame(np.eye(2)[[0, 0, 1, 1]], videos)
    >>> histories = pd.Series({"ann": ["a", "d"]})
    >>> table = trade_off(scores, kinds, histories, scores, (0.0, 0.9), k=1)
    >>> table["worth"].tolist()
    [0.8, 0.8]
    """
    scores = scores[scores.columns.intersection(membership.index)]
    rows = []
    for user in scores.index.intersection(histories.index):
        own = [video for video in histories[user] if video in membership.index]
        best = scores.loc[user].drop(histories[user], errors="ignore").nlargest(candidates)
        spread = best.iloc[0] - best.iloc[-1]
        relevance = ((best - best.iloc[-1]) / (spread or 1.0)).to_numpy()
        kinds, target = membership.loc[best.index].to_numpy(), category_shares(membership.loc[own])
        for balance in balances:
            picks = calibrated_list(relevance, kinds, target, k, balance)
            rows.append(
                {
                    "balance": balance,
                    "miscalibration": miscalibration(target, category_shares(kinds[picks])),
                    "worth": worth.loc[user, best.index[picks]].mean(),
                }
            )
    return pd.DataFrame(rows).groupby("balance").mean()
