"""Position bias: what comes late is looked at less, whatever it is.

The position-based model says that a success at position k of a session needs that the user looks
there, with the probability `theta_k`, and likes what is there: `P(success) = theta_k gamma_v`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vidrec_utils import arguments


@dataclass(frozen=True, eq=False)
class Examination:
    """What a position-based model has learned.

    Attributes
    ----------
    theta : Series
        By position: chance to be looked at, relative to the first position, which has 1.
    gamma : Series
        By video: share of successes among the views that were looked at.
    """

    theta: pd.Series
    gamma: pd.Series


def success_by_position(log: pd.DataFrame, success: pd.Series, most: int = 20) -> pd.Series:
    """Share of successes at each position, relative to the first.

    It is the chance to be looked at only where what is shown does not depend on the position, as in
    a log whose lists are shuffled.

    Parameters
    ----------
    log : DataFrame
        With `position`, from 1.
    success : Series
        0 and 1 by row; rows with NaN are left out.
    most : int
        Last position.

    Returns
    -------
    Series of float, indexed by position

    Raises
    ------
    ValueError
        If no row at position 1 is a success.

    Examples
    --------
    >>> log = pd.DataFrame({"position": [1, 1, 2, 2]})
    >>> success_by_position(log, pd.Series([1.0, 1.0, 1.0, 0.0])).tolist()
    [1.0, 0.5]
    """
    arguments.at_least(1, most=most)
    shares = success.groupby(log["position"]).mean().loc[lambda s: s.index <= most]
    if not shares.get(1, 0.0) > 0:
        raise ValueError("No row at position 1 is a success, so there is nothing to relate to.")
    return shares / shares[1]


def fit_examination(
    log: pd.DataFrame, success: pd.Series, most: int = 20, rounds: int = 100
) -> Examination:
    """Fit the position-based model by expectation-maximisation.

    Videos that were shown at several positions tell apart what is theirs and what is the
    position's. It assumes that users like a video equally wherever it is shown; a platform that
    sorts by each user's taste breaks this assumption.

    Parameters
    ----------
    log : DataFrame
        `video_id, position`.
    success : Series
        0 and 1 by row; rows with NaN are left out.
    most : int
        Rows of later positions are left out.
    rounds : int
        Rounds of the algorithm.

    Returns
    -------
    Examination

    Raises
    ------
    ValueError
        If no row is left, or none at position 1 is a success.

    References
    ----------
    Wang, Golbandi, Bendersky, Metzler, Najork: Position Bias Estimation for Unbiased Learning to
    Rank in Personal Search. WSDM 2018.

    Examples
    --------
    Both videos were shown at both positions, and succeed half as often at the second:

    >>> log = pd.DataFrame({"video_id": list("aabb") * 2, "position": [1, 1, 1, 1, 2, 2, 2, 2]})
    >>> success = pd.Series([1, 1, 1, 0, 1, 0, 1, 0])
    >>> model = fit_examination(log, success, rounds=500)
    >>> bool(model.theta[2] < 0.75 and model.gamma["a"] > model.gamma["b"])
    True
    """
    arguments.at_least(1, most=most, rounds=rounds)
    used = success.notna() & log["position"].le(most)
    if not used.any():
        raise ValueError(f"No row has a success that is known and a position up to {most}.")
    c = success[used].to_numpy(dtype=float)
    positions, k = np.unique(log.loc[used, "position"].to_numpy(int), return_inverse=True)
    videos, v = np.unique(log.loc[used, "video_id"].to_numpy(object), return_inverse=True)
    if not (c[positions[k] == 1] > 0).any():
        raise ValueError("No row at position 1 is a success, so there is nothing to relate to.")
    theta, gamma = np.full(len(positions), 0.5), np.full(len(videos), c.mean().clip(0.01, 0.99))
    n_k, n_v = np.bincount(k), np.bincount(v)
    for _ in range(rounds):
        t, g = theta[k], gamma[v]  # (rows,)
        # without a success: looked at and not liked, liked and not looked at, or neither
        neither = 1 - t * g
        looked_at = np.where(c > 0, 1.0, t * (1 - g) / np.maximum(neither, 1e-12))
        liked = np.where(c > 0, 1.0, g * (1 - t) / np.maximum(neither, 1e-12))
        theta = np.bincount(k, weights=looked_at) / n_k
        gamma = np.bincount(v, weights=liked) / n_v
    first = float(theta[positions == 1][0])  # only products are known: position 1 is the unit
    return Examination(pd.Series(theta / first, positions), pd.Series(gamma * first, videos))


def position_weights(positions: pd.Series, theta: pd.Series, limit: float = 10.0) -> pd.Series:
    """Weights of successes that undo the position: `1 / theta_k`, at most `limit`.

    Parameters
    ----------
    positions : Series
        Position of each row.
    theta : Series
        By position, above 0; later positions count as the last one.
    limit : float
        Largest weight.

    Returns
    -------
    Series of float

    Raises
    ------
    ValueError
        If a propensity is zero or less, or the limit is not positive.

    References
    ----------
    Joachims, Swaminathan, Schnabel: Unbiased Learning-to-Rank with Biased Feedback. WSDM 2017.

    Examples
    --------
    >>> position_weights(pd.Series([1, 2, 9]), pd.Series([1.0, 0.5], [1, 2])).tolist()
    [1.0, 2.0, 2.0]
    """
    arguments.positive(limit=limit)
    wrong = theta[~(theta > 0)]
    if len(wrong):
        raise ValueError(
            f"The propensity of position {wrong.index[0]} is {wrong.iloc[0]}: what is never looked "
            "at cannot be weighted up. Leave such positions out."
        )
    own = theta.sort_index()
    index = np.searchsorted(own.index.to_numpy(), positions.to_numpy(), side="right") - 1
    values = own.to_numpy()[index.clip(0, len(own) - 1)]
    return pd.Series(np.minimum(1 / values, limit), positions.index)
