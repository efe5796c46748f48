"""Equal scores: the expected metrics if they are ranked in an order drawn by chance.

A recommender that gives ten videos one score does not say which of them comes first. Any fixed
order makes the metric depend on something that the recommender never said. The alternative is the
mean over all orders, which can be computed without drawing any. For NDCG it is what scikit-learn's
`ndcg_score` computes (McSherry, Najork: Computing Information Retrieval Performance Measures
Efficiently in the Presence of Tied Scores. ECIR 2008).

Take the group of equal scores that position i of the list falls into: m videos, of which r are
relevant; i is position j of the group, from 1. Of one random order of the group:

- position i is a hit with probability r / m;
- if it is, (j - 1) (r - 1) / (m - 1) hits are expected before it in the group;
- if no position of the group before it was a hit, it is one with probability r / (m - j + 1).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.evaluation.metrics import ListSums, normalized


class TieGroups(NamedTuple):
    """For each position of each list, the group of equal scores there; each `(n_users, k)`.

    `position` is j, the position within the group, from 1; `size` is m, the number of candidates of
    the group, on the list or not; `relevant` is r, the number of relevant ones among them.
    """

    position: np.ndarray
    size: np.ndarray
    relevant: np.ndarray


def tie_groups(
    scores: np.ndarray, relevant: sparse.csr_array, best: np.ndarray, hits: np.ndarray
) -> TieGroups:
    """Groups of equal scores along lists.

    Parameters
    ----------
    scores : ndarray, shape (n_users, m)
        Scores of the candidates; -inf elsewhere.
    relevant : csr_array, shape (n_users, m)
        Entries at relevant candidates.
    best : ndarray of int, shape (n_users, k)
        Columns of each list, the best first.
    hits : ndarray of bool, shape (n_users, k)
        Which of them are relevant; False where the score is -inf.
    """
    n, k = best.shape
    if not best.size:
        return TieGroups(*[np.ones((n, k), dtype=int)] * 3)
    values = np.take_along_axis(scores, best, axis=1)  # (users, k)
    begins = np.ones((n, k), dtype=bool)  # where a group begins
    begins[:, 1:] = values[:, 1:] != values[:, :-1]
    group = np.cumsum(begins, axis=1) - 1 + k * np.arange(n)[:, None]  # a number for each group
    size = np.bincount(group.ravel(), minlength=n * k)[group]
    n_hits = np.bincount(group.ravel(), hits.ravel(), minlength=n * k)[group].astype(int)
    first = np.maximum.accumulate(np.where(begins, np.arange(k), 0), axis=1)
    # The last group may go on beyond the list, so it is counted among all candidates.
    last = values[:, -1]
    in_last = (values == last[:, None]) & (values > -np.inf)
    whole = (scores == last[:, None]).sum(axis=1)
    pairs = relevant.tocoo()
    tied = scores[pairs.row, pairs.col] == last[pairs.row]
    whole_relevant = np.bincount(pairs.row[tied], minlength=n)
    size = np.where(in_last, whole[:, None], size)
    n_hits = np.where(in_last, whole_relevant[:, None], n_hits)
    return TieGroups(np.arange(1, k + 1) - first, size, n_hits)


def expected_metrics(
    groups: TieGroups, n_relevant: np.ndarray, k: int, ideal: str = "min(n, k)", recall: str = "n"
) -> pd.DataFrame:
    """Expected ranking metrics of lists whose ties fall in a random order; see `list_metrics`.

    Parameters
    ----------
    groups : TieGroups, each of shape (n_users, up to k)
    n_relevant, k, ideal, recall
        See `metrics.list_metrics`.

    Examples
    --------
    Two videos share the highest score, and one of them is relevant. In one order it is first, in
    the other it is not on the list of one:

    >>> groups = TieGroups(np.array([[1]]), np.array([[2]]), np.array([[1]]))
    >>> expected_metrics(groups, np.array([1]), k=1)[["recall", "ndcg"]].to_numpy().tolist()
    [[0.5, 0.5]]
    """
    j, m, r = groups
    ranks = np.arange(1, j.shape[1] + 1)  # (k,)
    chance = r / m  # probability of a hit at each position, (users, k)
    # Hits before the position: all of the groups before, and their share of its own group.
    before = np.cumsum(chance, axis=1) - chance * j
    within = (j - 1) * np.maximum(r - 1, 0) / np.maximum(m - 1, 1)
    # Probability that no position up to this one is a hit; 1 before the first: (users, k + 1).
    no_hit = np.cumprod(1 - r / (m - j + 1), axis=1)
    no_hit = np.column_stack([np.ones(len(no_hit)), np.maximum(no_hit, 0)])
    sums = ListSums(
        hit_rate=1 - no_hit[:, -1],
        hits=chance.sum(axis=1),
        gain=chance @ (1 / np.log2(ranks + 1)),
        reciprocal_rank=((no_hit[:, :-1] - no_hit[:, 1:]) / ranks).sum(axis=1),
        precisions=(chance * (before + 1 + within) / ranks).sum(axis=1),
    )
    return normalized(sums, n_relevant, k, ideal, recall)


def expected_hits(groups: TieGroups) -> np.ndarray:
    """Expected number of hits on each list, `(n_users,)`."""
    return (groups.relevant / groups.size).sum(axis=1)
