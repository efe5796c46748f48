"""Training by epochs: a validation part, early stopping, and a hook after each epoch.

`EpochRecommender` gives these to every model that learns in epochs, with the same words: some
events are held out of training, NDCG@10 on them is computed after each epoch, and training ends
once it has not risen for a while. The model then is that of the best epoch.

References
----------
Prechelt: Early Stopping - But When? In: Neural Networks: Tricks of the Trade, LNCS 1524, 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.behavior_based.sessions import in_order
from vidrec_utils.events import published_by
from vidrec_utils.recommender import (
    EventWeights,
    Recommender,
    TrainingData,
    as_ids,
    blocks,
    event_weights,
    hide,
    interaction_matrix,
    top_k,
)
from vidrec_utils.saving import Array

K = 10
"""Length of the lists whose NDCG is computed on the validation part."""

Hook = Callable[["EpochRecommender", int, dict[str, float]], bool | None]
"""Called after each epoch with the model, the number of the epoch (from 1) and its metrics
(`loss`, and `ndcg` with a validation part). Training ends if it returns True."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A validation part: which videos are to be found, for whom, and what need not be found.

    Attributes
    ----------
    users : ndarray of int64, shape (n,)
        Positions of the users who are asked for.
    relevant : csr_array of float32, shape (n, n_videos)
        An entry for each video that was held out for the user and is not among `seen`.
    seen : csr_array of float32, shape (n, n_videos)
        What the user was shown in the part that is trained on; these videos are not ranked.
    videos : DataFrame, optional
        The catalogue. With `until`, only what was published by then is ranked (`published_by`).
    until : Series of times, length n, optional
        When the last of each user's events was that are asked for.
    """

    users: np.ndarray
    relevant: sparse.csr_array
    seen: sparse.csr_array
    videos: pd.DataFrame | None = None
    until: pd.Series | None = None

    def ndcg(self, score: Callable[[np.ndarray], np.ndarray]) -> float:
        """Compute the mean NDCG@10 over the users.

        Parameters
        ----------
        score : callable
            From positions of users `(m,)` to the scores of all videos `(m, n_videos)`.

        Examples
        --------
        The video that was held out is second in the list: 1 / log2(3).

        >>> relevant, seen = sparse.csr_array([[0, 1.0, 0]]), sparse.csr_array([[0, 0, 1.0]])
        >>> held_out = HeldOut(np.array([0]), relevant, seen)
        >>> print(f"{held_out.ndcg(lambda users: np.array([[3.0, 2.0, 9.0]])):.4f}")
        0.6309
        """
        discount = 1 / np.log2(np.arange(2, K + 2))  # 1 / log2(rank + 1)  (K,)
        ideal = np.cumsum(discount)  # DCG of the best list with 1, 2, ... hits  (K,)
        total = 0.0
        for block in blocks(len(self.users), self.relevant.shape[1]):
            scores = np.array(score(self.users[block]))  # (m, n_videos)
            seen, relevant = self.seen[block], self.relevant[block]
            hide(scores, seen, np.arange(len(scores)))
            if self.videos is not None and self.until is not None:
                scores[~published_by(self.videos, self.until[block])] = -np.inf
            lists = top_k(scores, K)  # (m, K)
            hits = relevant.toarray()[np.arange(len(lists))[:, None], lists] > 0
            hits &= np.take_along_axis(scores, lists, axis=1) > -np.inf
            count = np.minimum(np.diff(relevant.indptr), K)  # hits of the best list  (m,)
            total += float((hits @ discount[: hits.shape[1]] / ideal[count - 1]).sum())
        return total / len(self.users)


class EpochRecommender(Recommender):
    """A recommender that learns in epochs, and may stop early.

    A subclass has `held_out` and `patience` among the arguments of its constructor. In
    `_fit_events` it asks `_split_events` what to train on, and gives `_train_epochs` a function
    that trains one epoch. `_snapshot` and `_put_back` keep the best weights.

    Attributes
    ----------
    training_history : DataFrame
        A row for each epoch, from 1: `loss`, and `ndcg` on the validation part if there is one.
    best_epoch : int
        The epoch whose weights the model has: the best on the validation part, else the last one.
        0 if nothing was trained.
    """

    held_out: float
    patience: int

    def fit(
        self,
        data: TrainingData,
        weights: EventWeights | None = None,
        *,
        validation: pd.DataFrame | None = None,
        on_epoch: Hook | None = None,
    ) -> Self:
        """Learn from interactions, epoch by epoch; returns itself.

        Parameters
        ----------
        data : VideoLibrary, Split or DataFrame
            See `Recommender.fit`.
        weights : Series or callable, optional
            See `Recommender.fit`.
        validation : DataFrame, optional
            Events that are not among the data, `split.validation` for instance, on which training
            stops early. Those of unknown users and videos are ignored, and so are those that weigh
            nothing and those whose video the user was shown before. Only videos that were
            published by the user's last one compete. Default: the last event of a share `held_out`
            of the users is held out of the data.
        on_epoch : callable, optional
            Called as `on_epoch(model, epoch, metrics)` after each epoch, counted from 1; `metrics`
            holds `loss`, and `ndcg` if there is a validation part. Training ends if it returns
            True.

        Raises
        ------
        ValueError
            See `Recommender.fit`; or if nothing is left to ask for in the validation part, or both
            a validation part and `held_out` are given.
        FloatingPointError
            If training diverges.

        Examples
        --------
        >>> from vidrec_utils.behavior_based import BPR
        >>> rows = [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("bob", "c")]
        >>> log = pd.DataFrame(rows, columns=["user_id", "video_id"]).assign(watch_ratio=1.0)
        >>> later = pd.DataFrame({"user_id": ["ann"], "video_id": ["c"], "watch_ratio": [1.0]})
        >>> model = BPR(factors=2, epochs=50, patience=3, progress=False)
        >>> model.fit(log, validation=later).best_epoch
        1
        >>> len(model.training_history)
        4
        """
        if validation is not None and self.held_out:
            raise ValueError(
                f"{self.name}: validation is given, and held_out={self.held_out:g} would cut "
                "another one from the data. Give one of the two."
            )
        self._validation, self._hook = validation, on_epoch
        self._catalogue = None if isinstance(data, pd.DataFrame) else data.videos
        self._weigh = weights if callable(weights) else event_weights
        self.training_history = pd.DataFrame(
            {"loss": np.empty(0)}, index=pd.RangeIndex(1, 1, name="epoch")
        )
        self.best_epoch = 0
        try:
            return self._fit_data(data, weights)
        finally:
            del self._validation, self._hook, self._catalogue, self._weigh

    def _split_events(
        self, interactions: pd.DataFrame, weights: pd.Series, least: float = 0.0
    ) -> tuple[np.ndarray, HeldOut | None]:
        """Which events to train on, `(n,)`, and the validation part, if there is one.

        Parameters
        ----------
        interactions : DataFrame
            One row per event.
        weights : Series
            Weight of each event.
        least : float
            Only events that weigh at least this, and more than 0, are held out.
        """
        all_events = np.ones(len(interactions), dtype=bool)
        if self._validation is not None:
            asked = self._validation[as_ids(self._validation["user_id"]).isin(self.user_ids)]
            asked = asked[as_ids(asked["video_id"]).isin(self.video_ids)]
            good = np.asarray(self._weigh(asked), dtype=float)
            return all_events, self._part(asked[(good > 0) & (good >= least)], interactions)
        if not self.held_out:
            return all_events, None
        liked = (weights > 0) & (weights >= least)
        rows = last_rows(interactions, liked.to_numpy(), self.held_out, self.seed)
        kept = all_events.copy()
        kept[rows] = False
        return kept, self._part(interactions.iloc[rows], interactions[kept])

    def _part(self, asked: pd.DataFrame, known: pd.DataFrame) -> HeldOut:
        """The validation part of the events `asked`, of people whose other events are `known`."""
        users = as_ids(asked["user_id"]).unique().sort_values()
        known = known[as_ids(known["user_id"]).isin(users)]
        seen = interaction_matrix(known, 1, users, self.video_ids)
        relevant = interaction_matrix(asked, 1, users, self.video_ids).minimum(1)
        relevant = sparse.csr_array(relevant - relevant.multiply(seen.minimum(1)))
        relevant.eliminate_zeros()
        rows = np.flatnonzero(np.diff(relevant.indptr))
        if not len(rows):
            raise ValueError(
                f"{self.name}: nobody can be asked in the validation part: it has no event of a "
                "known user with a video that is new to them and that they liked. Give other "
                "events, or a larger held_out."
            )
        until = None
        if "timestamp" in asked:
            until = asked["timestamp"].groupby(as_ids(asked["user_id"])).max()
            until = until.reindex(users[rows]).reset_index(drop=True)
        positions = self.user_ids.get_indexer(users[rows])
        return HeldOut(positions, relevant[rows], seen[rows], self._catalogue, until)

    def _train_epochs(
        self, epochs: int, train: Callable[[], float | None], held_out: HeldOut | None
    ) -> None:
        """Train epoch by epoch, until all are done, validation or the hook says stop.

        Parameters
        ----------
        epochs : int
            How many at most.
        train : callable
            Trains one epoch and returns its mean loss, or None if that was not computed.
        held_out : HeldOut, optional
            The validation part.
        """
        rows: list[dict[str, float]] = []
        best, weights = -np.inf, None
        for epoch in self._rounds(epochs):
            loss = train()
            metrics = {"loss": np.nan if loss is None else float(loss)}
            if loss is not None and not np.isfinite(loss):
                raise FloatingPointError(
                    f"{self.name}: training diverged: the loss is NaN or infinite in epoch "
                    f"{epoch + 1}. Take a smaller learning_rate."
                )
            if held_out is not None:
                metrics["ndcg"] = held_out.ndcg(self._score_held_out)
                if metrics["ndcg"] > best:
                    best, weights, self.best_epoch = metrics["ndcg"], self._snapshot(), epoch + 1
            else:
                self.best_epoch = epoch + 1
            rows.append(metrics)
            index = pd.RangeIndex(1, len(rows) + 1, name="epoch")
            self.training_history = pd.DataFrame(rows, index=index)
            stopped = self._hook is not None and self._hook(self, epoch + 1, dict(metrics))
            waited = held_out is not None and epoch + 1 - self.best_epoch >= self.patience
            if stopped or waited:
                break
        if weights is not None:
            self._put_back(weights)

    def _score_held_out(self, users: np.ndarray) -> np.ndarray:
        """Scores `(n, n_videos)` of users by position, from the events that are trained on."""
        return self._score(users)

    def _snapshot(self) -> Any:
        """A copy of the weights."""
        raise NotImplementedError

    def _put_back(self, weights: Any) -> None:
        """Take the weights of a snapshot."""
        raise NotImplementedError

    def _state(self) -> dict[str, Array]:
        table = self.training_history
        history = {f"history.{name}": table[name].to_numpy(dtype="f8") for name in table}
        return {**super()._state(), **history, "best_epoch": np.array([self.best_epoch])}

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        # a model that was saved by an older version has no history
        names = [name for name in ("loss", "ndcg") if f"history.{name}" in state]
        columns = {name: np.asarray(state[f"history.{name}"]) for name in names or ()}
        columns = columns or {"loss": np.empty(0)}
        index = pd.RangeIndex(1, len(columns["loss"]) + 1, name="epoch")
        self.training_history = pd.DataFrame(columns, index=index)
        self.best_epoch = int(state["best_epoch"][0]) if "best_epoch" in state else 0


def check_stopping(held_out: float, patience: int) -> None:
    """Refuse impossible values of these two arguments.

    Raises
    ------
    ValueError
        If `held_out` is no share, or `patience` is below 1.
    """
    arguments.share(held_out=held_out)
    arguments.at_least(1, patience=patience)


def last_rows(interactions: pd.DataFrame, liked: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Rows of the last liked events of a share of the users who have at least two such events.

    Parameters
    ----------
    interactions : DataFrame
        One row per event.
    liked : ndarray of bool, shape (n,)
        Which events can be held out.
    share : float
        Share of these users, drawn at random; 1: all of them.
    seed : int
        The users are drawn with this seed.

    Returns
    -------
    ndarray of int64, shape (users drawn,)

    Examples
    --------
    Bob liked a single video, which he keeps:

    >>> log = pd.DataFrame({"user_id": ["ann", "bob", "ann"], "video_id": ["a", "b", "c"]})
    >>> log["timestamp"] = pd.to_datetime([3, 2, 1], unit="s", utc=True)
    >>> last_rows(log, np.array([True, True, True]), share=1.0, seed=0).tolist()
    [0]
    """
    order = in_order(interactions)
    order = order[liked[order]]
    users = pd.factorize(as_ids(interactions["user_id"]))[0][order]
    ends = np.append(np.flatnonzero(np.diff(users)), len(users) - 1) if len(users) else users
    several = np.flatnonzero(np.bincount(users)[users[ends]] > 1)
    n = int(np.ceil(share * len(several)))
    drawn = np.random.default_rng(seed).permutation(len(several))[:n]
    return order[ends[several[np.sort(drawn)]]]
