"""Recommenders made of recommenders: fitting the members, asking them, keeping them on disk."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from vidrec_utils.events import event_weights, unpack
from vidrec_utils.explanations import UNEXPLAINED, Explanation, NotExplainable
from vidrec_utils.hybrid.normalization import all_finite
from vidrec_utils.recommender import EventWeights, Recommender, TrainingData
from vidrec_utils.saving import Array, below


class Ensemble(Recommender):
    """A recommender that asks several others.

    `fit` fits a copy of each model, so that the caller's models stay as they are; with
    `refit=False` they are used as they were fitted, and only the catalogue and what was seen come
    from the data.

    Parameters
    ----------
    models : sequence of Recommender
        What to combine, each with its own name.
    refit : bool
        Whether `fit` fits the models, too.

    Attributes
    ----------
    members : list of Recommender
        The fitted models. Set by `fit`.
    """

    members: list[Recommender]

    def __init__(self, models: Sequence[Recommender], refit: bool = True):
        self.models = list(models)
        self.refit = bool(refit)
        if not self.models:
            raise ValueError("There is nothing to combine: give at least one recommender.")
        for model in self.models:
            if not isinstance(model, Recommender):
                raise TypeError(f"{model!r} is no Recommender; only those can be combined.")
        names = [model.name for model in self.models]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(
                f"Several recommenders are named {sorted(twice)[0]!r}; give each a name of its own."
            )
        if not self.refit:
            for model in self.models:
                model._require_fit()

    @property
    def knows_cold_videos(self) -> bool:
        """Whether any member knows something about videos without events."""
        return any(model.knows_cold_videos for model in self.models)

    def fit(self, data: TrainingData, weights: EventWeights | None = None) -> Self:
        """Fit every member, and what joins them; see `Recommender.fit`."""
        if weights is None:  # once for all: a log without signals is then told once
            weights = event_weights(unpack(data)[0])
        self.members = fitted(self.models, data, weights) if self.refit else list(self.models)
        return super().fit(data, weights)

    def member_scores(self, user_ids: pd.Index) -> np.ndarray:
        """Scores of each member, in the order of this catalogue.

        Returns
        -------
        ndarray of float32, shape (n_members, n_users, n_videos)
            NaN where a member has no score: -inf, NaN, or a video outside its catalogue.
        """
        return stacked_scores(self.members, user_ids, self.video_ids)

    def member_shares(self, user_id: str, video_id: str) -> pd.Series:
        """Share that each member has in what lifts a video above the user's average video.

        Returns
        -------
        Series of float
            By the name of the member, the largest first; the shares add up to 1. Members that push
            the video down have 0, and so has every member if none lifts it.

        Raises
        ------
        KeyError, NotExplainable
            As `explain`.
        """
        table = self.explain(user_id, video_id).table
        lifts = table[table["kind"] == "member"].set_index("reason")["contribution"].clip(lower=0)
        shares = lifts / lifts.sum() if lifts.any() else lifts
        return shares.rename("share").rename_axis("member")

    def history_contributions(self, user_id: str, video_id: str) -> pd.Series:
        """What each video of the user's history contributes, by way of the members.

        A member's share in the score (`member_shares`) is divided among the videos of the history
        as the member itself explains its own score. What a member cannot explain by the history
        stands under `explanations.UNEXPLAINED`.
        """
        total = pd.Series(dtype=float)
        for name, share in self.member_shares(user_id, video_id).items():
            if share <= 0:
                continue
            member = self.members[[model.name for model in self.members].index(name)]
            try:
                own = member.history_contributions(user_id, video_id).clip(lower=0)
            except (NotExplainable, KeyError):  # a member with a catalogue of its own
                own = pd.Series(dtype=float)
            if not own.any():
                own = pd.Series({UNEXPLAINED: 1.0})
            total = total.add(share * own / own.sum(), fill_value=0.0)
        return total

    def reasons(self, user_id: str, video_id: str, n: int = 3) -> pd.DataFrame:
        """Why this ensemble scores a video as it does: each member's share, and its own reasons.

        Parameters
        ----------
        user_id, video_id : str
            Whose score of which video.
        n : int
            Largest number of reasons of each member.

        Returns
        -------
        DataFrame
            `member`, its `share` in what lifts the video (`member_shares`), and of its own
            explanation `kind`, `reason` and `reason_share`, a reason's share of the member's
            positive contributions. A member that has no explanation has one row, whose kind is
            "none" and whose reason is NA.

        Raises
        ------
        KeyError, NotExplainable
            As `explain`.
        """
        rows = []
        members = {member.name: member for member in self.members}
        for name, share in self.member_shares(user_id, video_id).items():
            try:
                table = members[name].explain(user_id, video_id).table
            except (NotExplainable, KeyError):
                table = pd.DataFrame({"kind": [], "reason": [], "contribution": []})
            positive = table[(table["contribution"] > 0) & (table["kind"] != "average")]
            whole = positive["contribution"].sum()
            largest = positive[["kind", "reason", "contribution"]].head(n)
            for kind, reason, value in largest.itertuples(index=False):
                rows.append((name, share, kind, reason, value / whole))
            if positive.empty:
                rows.append((name, share, "none", pd.NA, 0.0))
        columns = ["member", "share", "kind", "reason", "reason_share"]
        return pd.DataFrame(rows, columns=columns)

    def _explained(
        self, user_id: str, video_id: str, contributions: np.ndarray, column: int
    ) -> Explanation:
        """Each member's part of a score, and the user's average video.

        Parameters
        ----------
        user_id, video_id : str
            Whose score of which video.
        contributions : ndarray, shape (n_members, n_videos)
            What each member adds to the score of each video; NaN where no member has one.
        column : int
            The video's.
        """
        means = np.nanmean(contributions, axis=1, dtype=np.float64)  # (n_members,)
        rows = pd.DataFrame(
            {
                "kind": [*["member"] * len(self.models), "average"],
                "reason": [*[model.name for model in self.models], "average video"],
                "contribution": [*(contributions[:, column] - means), means.sum()],
            }
        )
        return Explanation.from_rows(user_id, video_id, rows)

    def parameters(self) -> dict[str, object]:
        """Arguments of the constructor; the models by class, name and parameters."""
        own = {name: value for name, value in super().parameters().items() if name != "models"}
        models = self.members if hasattr(self, "members") else self.models
        return {**own, "models": [model.description() for model in models]}

    def _state(self) -> dict[str, Array]:
        state = dict(super()._state())
        for number, member in enumerate(self.members):
            state |= member.packed(f"part{number}.")  # files call the members parts
        return state

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Self:
        models = [
            Recommender.unpacked(model, below(state, f"part{n}."), f"the member {model['name']!r}")
            for n, model in enumerate(parameters.pop("models"))
        ]
        return cls(models, **parameters)

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        self.members = list(self.models)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self._join(self.user_ids[users])

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        return self._join(user_ids)

    @abstractmethod
    def _join(self, user_ids: pd.Index) -> np.ndarray:
        """Scores `(n_users, n_videos)` out of the members'."""


def fitted(
    models: Sequence[Recommender], data: TrainingData, weights: EventWeights | None = None
) -> list[Recommender]:
    """Copies of recommenders, fitted on the same data; the originals stay as they are."""
    return [copy.copy(model).fit(data, weights) for model in models]


def stacked_scores(
    models: Sequence[Recommender], user_ids: pd.Index, video_ids: pd.Index
) -> np.ndarray:
    """Scores of several models in the order of one catalogue, NaN where a model has none.

    Returns
    -------
    ndarray of float32, shape (n_models, n_users, n_videos)
    """
    stack = np.empty((len(models), len(user_ids), len(video_ids)), dtype=np.float32)
    for scores, model in zip(stack, models, strict=True):
        if model.video_ids.equals(video_ids):
            scores[:] = model.score(user_ids)
        else:
            scores[:] = np.nan
            columns = model.video_ids.get_indexer(video_ids)  # -1: not in its catalogue
            scores[:, columns >= 0] = model.score(user_ids)[:, columns[columns >= 0]]
        if not all_finite(scores):
            scores[~np.isfinite(scores)] = np.nan
    return stack
