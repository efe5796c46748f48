"""Negatives drawn by popularity: how often, and with which correction."""

from __future__ import annotations

import numpy as np

from vidrec_utils import arguments


def popularity_negatives(
    counts: np.ndarray, n: int, power: float = 0.75, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw negatives in proportion to a power of how often each video was shown or watched.

    Parameters
    ----------
    counts : ndarray, shape (videos,)
        Events of each video, from 0.
    n : int
        Negatives to draw, with replacement.
    power : float
        0: all videos alike (also those without an event); 1: in proportion to the counts; between
        them, the head is drawn less than its share (3/4 in word2vec).
    seed : int
        Seed of the draw.

    Returns
    -------
    ndarray of int64, shape (n,); ndarray of float64, shape (videos,)
        Positions of the videos drawn, and the log-probability of each video, -inf where it is never
        drawn, as `behavior_based.softmax.sampled_softmax` takes it for its correction.

    Raises
    ------
    ValueError
        If a count is negative or not finite, all of them are 0, or the power is negative.

    References
    ----------
    Mikolov, Sutskever, Chen, Corrado, Dean: Distributed Representations of Words and Phrases and
    their Compositionality. NIPS 2013, section 2.2.

    Examples
    --------
    >>> drawn, log_q = popularity_negatives(np.array([16.0, 0.0, 1.0]), 1000, power=0.5)
    >>> np.exp(log_q).round(2).tolist(), sorted(set(drawn.tolist()))
    ([0.8, 0.0, 0.2], [0, 2])
    """
    arguments.at_least(0, power=power)
    counts = np.asarray(counts, dtype=np.float64)
    wrong = np.flatnonzero(~(np.isfinite(counts) & (counts >= 0)))
    if len(wrong):
        raise ValueError(f"The count of video {wrong[0]} is {counts[wrong[0]]}; it is from 0 up.")
    weights = counts**power  # 0^0 is 1
    total = weights.sum()
    if not total > 0:
        raise ValueError(
            f"The {len(counts)} weights sum to zero, so that no video can be drawn: nothing was "
            "ever watched. Use power=0, which draws all videos alike."
        )
    q = weights / total
    drawn = np.random.default_rng(seed).choice(len(q), n, p=q)
    with np.errstate(divide="ignore"):
        return drawn, np.log(q)
