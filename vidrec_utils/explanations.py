"""Why a model recommends what it recommends: one `explain` for every model, and one result.

A score can be explained exactly if it is a sum, over the videos of a history, the terms of a text,
groups of features or the members of an ensemble. `Explainable.explain` then returns the summands;
every other model raises `NotExplainable`. `contrasting_users` chooses people whose lists are worth
looking at, and `explained_list` shows such a list next to the history that it comes from.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.top_k import position

__all__ = [
    "UNEXPLAINED",
    "Explainable",
    "Explanation",
    "HistoryExplainable",
    "NotExplainable",
    "contrasting_users",
    "explained_list",
]


UNEXPLAINED = ""
"""What a history does not explain, in `Explainable.history_contributions`; no video has this id."""


class NotExplainable(ValueError):
    """The score of this model, for this user and video, cannot be split into reasons."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The summands of one score, each with its reason.

    Attributes
    ----------
    user_id, video_id : str
        Whose score of which video is explained.
    table : DataFrame
        One row a reason, the largest contribution first: `kind` ("history", "term", "member", ...),
        `reason` (the id of a video, a term, the name of a member, ...), `contribution`, and further
        columns that depend on the model. The contributions add up to `total`.
    total_name : {"score", "logit"}
        What the contributions add up to: the score itself, or the logit of a score that is a
        probability.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"kind": "history", "reason": ["a", "b"], "contribution": [0.5, -0.1]})
    >>> reasons = Explanation("ann", "c", table)
    >>> print(f"{reasons.total_name} {reasons.total:.1f}")
    score 0.4
    """

    user_id: str
    video_id: str
    table: pd.DataFrame
    total_name: Literal["score", "logit"] = "score"

    @property
    def total(self) -> float:
        """The sum of all contributions."""
        return float(self.table["contribution"].sum())

    @classmethod
    def from_rows(
        cls,
        user_id: str,
        video_id: str,
        rows: pd.DataFrame,
        total_name: Literal["score", "logit"] = "score",
    ) -> Explanation:
        """Sort rows of `kind`, `reason`, `contribution`; equal contributions keep their order."""
        ordered = rows.sort_values("contribution", ascending=False, kind="stable")
        return cls(str(user_id), str(video_id), ordered.reset_index(drop=True), total_name)


class Explainable:
    """Something that scores videos for users, and may be able to explain its scores."""

    video_ids: pd.Index
    user_ids: pd.Index

    def explain(self, user_id: str, video_id: str) -> Explanation:
        """Split a score exactly into its reasons.

        Raises
        ------
        KeyError
            If the user or the video is unknown.
        NotExplainable
            If the score cannot be split: by a model that has no additive form, for a user who got
            the popularity answer, or for a video that the model knows nothing about.
        """
        raise NotExplainable(
            f"{type(self).__name__} has no way to split its scores exactly into reasons. Explain "
            "with a model whose scores are sums over a history, such as ItemKNN, EASE, ALS or "
            "ContentRecommender, or over its members, such as Stacked."
        )

    def history_contributions(self, user_id: str, video_id: str) -> pd.Series:
        """What each video of the user's history contributes to a score.

        Returns
        -------
        Series of float
            By the id of the video; empty if the reasons are not videos of a history. An ensemble
            puts what its members cannot explain by the history under `UNEXPLAINED`.

        Raises
        ------
        KeyError, NotExplainable
            As `explain`.
        """
        table = self.explain(user_id, video_id).table
        return table[table["kind"] == "history"].set_index("reason")["contribution"]

    def _explained_positions(self, user_id: str, video_id: str) -> tuple[int, int]:
        """Row of a user and column of a video; raises if their score cannot be explained."""
        user = position(self.user_ids, user_id, "user")
        return user, position(self.video_ids, video_id, "video")


class HistoryExplainable(Explainable):
    """A score that is the sum, over the videos of a user's history, of weight times influence."""

    matrix: sparse.csr_array

    @property
    def history(self) -> sparse.csr_array:
        """Weight of each video in the history of each user, `(n_users, n_videos)`."""
        return self.matrix

    @property
    def history_lengths(self) -> np.ndarray:
        """Number of videos in the history of each user, `(n_users,)`."""
        return np.diff(self.history.indptr)

    def explain(self, user_id: str, video_id: str) -> Explanation:
        """Split a score exactly into what each video of the user's history contributes.

        Returns
        -------
        Explanation
            Its kind is "history": `reason` is the id of a video of the history, `contribution` the
            product of the further columns `weight` (of that video in the history) and `similarity`
            (its influence on the video that is explained; 0 if it has none).

        Raises
        ------
        KeyError
            If the user or the video is unknown.
        NotExplainable
            If the user got the popularity answer, or the video is ranked last without a score.
        """
        user, video = self._explained_positions(user_id, video_id)
        row = self.history[[user]].tocoo()
        weight = self._history_weights(row.data)
        similarity = self._influence(user, video, row.col)
        columns = {"contribution": weight * similarity, "weight": weight, "similarity": similarity}
        rows = pd.DataFrame({"kind": "history", "reason": self.video_ids[row.col], **columns})
        return Explanation.from_rows(user_id, video_id, rows)

    def _explained_positions(self, user_id: str, video_id: str) -> tuple[int, int]:
        user, video = super()._explained_positions(user_id, video_id)
        if self.history.indptr[user] == self.history.indptr[user + 1]:
            raise NotExplainable(
                f"User {user_id!r} has no history that {type(self).__name__} can use, so the "
                "answer is what is popular: it is the same for everybody and has no reasons."
            )
        return user, video

    def _history_weights(self, values: np.ndarray) -> np.ndarray:
        """Weights of a history as the score counts them; default: as they are."""
        return values

    @abstractmethod
    def _influence(self, user: int, video: int, columns: np.ndarray) -> np.ndarray:
        """Contribution to the score of one video by a unit of weight of each of `columns`."""


class Lister(Protocol):
    """What `explained_list` needs: a model that recommends, and explains what it recommends."""

    video_ids: pd.Index

    def recommend(self, user_ids: list[str], k: int) -> pd.DataFrame:
        """Return `user_id, video_id, rank, score` of the k best videos of each user."""

    def explain(self, user_id: str, video_id: str) -> Explanation:
        """Return the summands of a score."""

    def history_contributions(self, user_id: str, video_id: str) -> pd.Series:
        """Return what each video of the history contributes to a score."""


def contrasting_users(
    vectors: np.ndarray,
    ids: pd.Index,
    n: int = 3,
    counts: np.ndarray | None = None,
    least: int = 10,
    center: bool = True,
) -> list[str]:
    """Users whose vectors point in directions as different as possible.

    The first is the one furthest from the average; each next one is the one whose largest cosine
    with those chosen before is smallest.

    Parameters
    ----------
    vectors : ndarray, shape (n_users, dim)
        Profiles or factors of users; users whose vector is zero are left out.
    ids : Index of str
        The ids of the rows.
    n : int
        How many; fewer are returned if there are fewer users.
    counts : ndarray of int, shape (n_users,), optional
        Length of each user's history.
    least : int
        Users with shorter histories are left out, unless nobody has as many.
    center : bool
        Whether to measure directions from the average vector. False: from zero, with all vectors
        scaled to length 1.

    Returns
    -------
    list of str
        User ids.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> tastes = np.array([[1.0, 0.0], [0.9, 0.5], [0.0, 1.0], [0.0, 3.0]])
    >>> contrasting_users(tastes, pd.Index(["ann", "bob", "cat", "dan"]), n=2)
    ['dan', 'ann']
    """
    usable = vectors.any(axis=1)
    if counts is not None and (usable & (counts >= least)).any():
        usable &= counts >= least
    rows = np.flatnonzero(usable)
    if not len(rows):
        return []
    directions = vectors[rows] - vectors[rows].mean(axis=0) if center else vectors[rows]
    lengths = np.linalg.norm(directions, axis=1)
    unit = directions / np.maximum(lengths, 1e-12)[:, None]
    similarity = -lengths if center else unit @ unit.mean(axis=0)  # with the average
    chosen = [int(np.argmin(similarity))]
    while len(chosen) < min(n, len(rows)):
        similarity = (unit @ unit[chosen].T).max(axis=1)
        similarity[chosen] = np.inf
        chosen.append(int(np.argmin(similarity)))
    return list(ids[rows[chosen]])


def explained_list(model: Lister, user_id: str, k: int = 4, reasons: int = 3) -> pd.DataFrame:
    """A user's recommendations, and the videos of the history that contribute most to them.

    Parameters
    ----------
    model : Recommender
        Fitted, with scores that are sums over a history, or an ensemble with such members: then the
        reasons are those of the members, each counting as it does in the ensemble's own list.
    user_id : str
        Known, with a history.
    k, reasons : int
        How many recommendations, and how many videos of the history.

    Returns
    -------
    DataFrame
        `video_id`, `kind` ("because of", then "recommended"), `share`: for a video of the history,
        its share of all positive contributions to the list; for a recommendation, the share of its
        positive contributions that comes from the videos above. What the members of an ensemble
        cannot explain by the history counts among all contributions.

    Raises
    ------
    KeyError
        If the user is unknown.
    NotExplainable
        If the scores of this user are not sums over a history.

    Examples
    --------
    >>> import pandas as pd
    >>> from vidrec_utils.behavior_based import ItemKNN
    >>> log = pd.DataFrame(
    ...     [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "c"), ("cat", "b"), ("cat", "c")],
    ...     columns=["user_id", "video_id"],
    ... ).assign(watch_ratio=1.0)
    >>> listed = explained_list(ItemKNN().fit(log), "ann", k=1)
    >>> print(listed.round(2).to_string(index=False))
    video_id        kind  share
           a  because of    0.5
           b  because of    0.5
           c recommended    1.0
    """
    contributions = {}
    problem = "its reasons are not videos of a history; read `explain(user_id, video_id)` instead."
    for video in model.recommend([user_id], k=k)["video_id"]:
        contributions[video] = pd.Series(dtype=float)
        try:
            history = model.history_contributions(user_id, video)
        except NotExplainable as error:  # of one video, or of all
            problem = str(error)
            continue
        contributions[video] = history.clip(lower=0)
    support = pd.DataFrame(contributions).fillna(0.0)  # (history, list)
    if contributions and support.drop(index=UNEXPLAINED, errors="ignore").empty:
        raise NotExplainable(f"The list of {user_id!r} by {type(model).__name__}: {problem}")
    total = support.sum(axis=1).sort_values(ascending=False, kind="stable")
    top = total.drop(index=UNEXPLAINED, errors="ignore").head(reasons)
    shares = top / max(total.sum(), 1e-12)
    covered = support.loc[top.index].sum() / support.sum().clip(lower=1e-12)
    rows = [(video, "because of", share) for video, share in shares.items()]
    rows += [(video, "recommended", share) for video, share in covered.items()]
    return pd.DataFrame(rows, columns=["video_id", "kind", "share"])
