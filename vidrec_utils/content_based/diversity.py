"""Lists whose videos differ from each other: maximal marginal relevance (MMR).

References
----------
Carbonell, Goldstein: The Use of MMR, Diversity-Based Reranking for Reordering Documents and
Producing Summaries. SIGIR 1998.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.content_based.vectors import VectorModel
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.events import event_weights, unpack
from vidrec_utils.recommender import (
    Description,
    EventWeights,
    Recommender,
    TrainingData,
    blocks,
    hide,
    top_k,
)
from vidrec_utils.saving import Array, below


def mmr(relevance: np.ndarray, similarity: np.ndarray, k: int, balance: float = 0.7) -> np.ndarray:
    """Pick candidates one by one, each relevant and different from those picked before.

    The next pick maximises `balance rel_i - (1 - balance) max_j sim_ij` over the picks j so far
    (Carbonell and Goldstein 1998, with lambda for balance). The first is the most relevant; equal
    values go to the earlier candidate.

    Parameters
    ----------
    relevance : ndarray, shape (n,) or (users, n)
        -inf: never picked while anything else is left.
    similarity : ndarray, shape (n, n) or (users, n, n)
        On the scale of the relevance.
    k : int
        At most n are picked.
    balance : float
        From 1 (relevance alone) to 0 (novelty alone, after the first).

    Returns
    -------
    ndarray of int64, shape (min(k, n),) or (users, min(k, n))
        Candidates in the order of picking.

    Raises
    ------
    ValueError
        If balance is outside 0..1, or k below 1.

    Examples
    --------
    Candidate 1 is more relevant than 2, but almost a copy of 0, which is picked first:

    >>> import numpy as np
    >>> similarity = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> mmr(np.array([1.0, 0.9, 0.5]), similarity, k=2, balance=0.5).tolist()
    [0, 2]
    """
    arguments.share(balance=balance)
    arguments.at_least(1, k=k)
    if relevance.ndim == 1:
        return mmr(relevance[None], similarity[None], k, balance)[0]
    users = np.arange(len(relevance))
    k = min(k, relevance.shape[1])
    picks = np.empty((len(users), k), dtype=np.int64)
    left = np.ones(relevance.shape, dtype=bool)
    possible = relevance > -np.inf
    value = np.where(possible, relevance, -np.finfo(np.float32).max)
    nearest = np.full(relevance.shape, -np.inf)  # max_j sim_ij over the picks (users, n)
    gain = value  # with nothing picked, relevance alone decides
    for step in range(k):
        # the candidate of the largest gain among those that are left  (users,)
        picks[:, step] = np.where(left, gain, -np.inf).argmax(axis=1)
        left[users, picks[:, step]] = False
        # balance rel_i - (1 - balance) max_j sim_ij  (users, n)
        nearest = np.maximum(nearest, similarity[users, picks[:, step]])
        gain = np.where(possible, balance * value - (1 - balance) * nearest, value)
    return picks


class Diversified(VectorModel):
    """The lists of another recommender, re-ranked so that they repeat themselves less.

    Of the `depth` best videos that a user was not shown, `k` are picked by `mmr`. Relevance is the
    other's score, scaled to 0..1 over these candidates; similarity is the cosine of the centred
    vectors (a video without a vector resembles nothing). Then come all others in the old order. A
    score is minus the position in that order, so it means nothing beyond it.

    Unknown users and cold videos are treated as by the other recommender.

    Parameters
    ----------
    base : Recommender
        The other recommender, which is fitted together with this one.
    vectors : Embeddings or DataFrame
        One row a video, indexed by `video_id`; rows with NaN are missing.
    balance : float
        From 1 (the other's order) to 0 (as unlike as can be).
    k, depth : int
        How many are picked, of how many candidates.
    name : str, optional
        Shown in tables; default: the other's, with ", diverse".

    Raises
    ------
    ValueError
        If balance is outside 0..1, k below 1, or depth below k.

    Examples
    --------
    The second best of the list looks like the best; with MMR another video follows:

    >>> import pandas as pd
    >>> from vidrec_utils.recommender import Popularity
    >>> log = pd.DataFrame({"user_id": list("uvwuvu"), "video_id": list("aaabbc")})
    >>> log["watch_ratio"] = 1.0
    >>> vectors = pd.DataFrame({"x": [1, 1, 0], "y": [0, 0, 1]}, index=list("abc"))
    >>> model = Diversified(Popularity(), vectors, balance=0.3, k=2, depth=3).fit(log)
    >>> model.recommend("new", k=3)["video_id"].tolist()
    ['a', 'c', 'b']
    """

    _learned: ClassVar = ("unit",)

    def __init__(
        self,
        base: Recommender,
        vectors: Embeddings | pd.DataFrame,
        balance: float = 0.7,
        k: int = 10,
        depth: int = 50,
        name: str | None = None,
    ):
        arguments.share(balance=balance)
        if not 1 <= k <= depth:
            raise ValueError(
                f"k is {k} and depth {depth}; pick at least 1, and no more than depth."
            )
        name = name or f"{base.name}, diverse"
        self._set_arguments(locals())
        self.knows_cold_videos = base.knows_cold_videos

    def fit(self, data: TrainingData, weights: EventWeights | None = None) -> Self:
        """Fit the other recommender and this one; arguments as for `Recommender.fit`."""
        if weights is None:  # once for both: a log without signals is then told once
            weights = event_weights(unpack(data)[0])
        self.base.fit(data, weights)
        return super().fit(data, weights)

    def parameters(self) -> dict[str, object]:
        """Arguments of the constructor, without the vectors; the base by its description."""
        return {**super().parameters(), "base": self.base.description()}

    def _fit(self, matrix: sparse.csr_array) -> None:
        self._unit_vectors()

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self._rerank(self.base._score(users), users)

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        scores = self.base._score_unknown(user_ids)
        shape = (len(user_ids), len(self.video_ids))
        return self._rerank(np.broadcast_to(scores, shape), np.full(len(user_ids), -1))

    def _rerank(self, scores: np.ndarray, users: np.ndarray) -> np.ndarray:
        """Minus the position of every video, `(n_users, n_videos)`; -inf stays -inf."""
        out = np.array(scores, dtype=np.float32)
        depth = min(self.depth, out.shape[1])
        for block in blocks(len(out), max(depth * depth, out.shape[1])):
            out[block] = self._rerank_block(out[block], users[block], depth)
        return out

    def _rerank_block(self, scores: np.ndarray, users: np.ndarray, depth: int) -> np.ndarray:
        """What `_rerank` returns, for a block of users."""
        # the best `depth` videos that each user was not shown  (users, depth)
        n = scores.shape[1]
        scores = np.where(np.isnan(scores), -np.inf, scores)
        unseen = scores.copy()
        hide(unseen, self.seen, users)
        candidates = top_k(unseen, depth)
        # MMR over relevance in 0..1 and the cosines of the candidates
        value = _to_unit_range(np.take_along_axis(unseen, candidates, axis=1))
        rows = self.unit[candidates]  # (users, depth, dim)
        picks = mmr(value, rows @ rows.transpose(0, 2, 1), self.k, self.balance)
        picks = np.take_along_axis(candidates, picks, axis=1)
        # the old position of every video, behind all picks; then the picks, in front of them
        listed = np.take_along_axis(unseen, picks, axis=1) > -np.inf
        order = np.full(scores.shape, n, dtype=np.int64)
        np.put_along_axis(order, top_k(scores, n), np.arange(n)[None], axis=1)
        order += n
        behind = np.take_along_axis(order, picks, axis=1)
        np.put_along_axis(order, picks, np.where(listed, np.arange(picks.shape[1]), behind), axis=1)
        # minus the rank in this order  (users, n_videos)
        position = np.argsort(np.argsort(order, axis=1), axis=1)
        return np.where(scores > -np.inf, -position, -np.inf).astype(np.float32)

    def _state(self) -> dict[str, Array]:
        return {**super()._state(), **self.base.packed("base.")}

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Self:
        source = f"the base of {parameters['name']!r}"
        base = Recommender.unpacked(parameters["base"], below(state, "base."), source)
        return super()._rebuild({**parameters, "base": base}, state)

    @classmethod
    def _upgraded(
        cls, description: Description, arrays: Mapping[str, Array]
    ) -> tuple[Description, Mapping[str, Array]]:
        description, arrays = super()._upgraded(description, arrays)
        base = cast(Description, description["parameters"]["base"])
        if "ids_sha256" in base:
            return description, arrays
        # older files have the ids and the history once, for both
        base = {**base, "ids_sha256": description["ids_sha256"]}
        state = {f"state.base.state.{n}": a for n, a in below(arrays, "state.base.").items()}
        shared = {f"state.base.{n}": a for n, a in arrays.items() if not n.startswith("state.")}
        parameters = {**description["parameters"], "base": base}
        return {**description, "parameters": parameters}, {**arrays, **shared, **state}


def _to_unit_range(values: np.ndarray) -> np.ndarray:
    """Rows scaled to 0..1 over their finite values; a constant row becomes 0, -inf stays."""
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(axis=1, keepdims=True)
    high = np.where(finite, values, -np.inf).max(axis=1, keepdims=True)
    span = np.where(high > low, high - low, 1)
    low = np.where(np.isfinite(low), low, 0)
    return np.where(finite, (values - low) / span, -np.inf)
