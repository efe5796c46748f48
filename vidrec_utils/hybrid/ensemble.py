"""Recommenders made of recommenders: fitting the members, asking them, keeping them on disk."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from vidrec_utils.events import event_weights, unpack
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
    stack = np.full((len(models), len(user_ids), len(video_ids)), np.nan, dtype=np.float32)
    for scores, model in zip(stack, models, strict=True):
        if model.video_ids.equals(video_ids):
            scores[:] = model.score(user_ids)
        else:
            columns = model.video_ids.get_indexer(video_ids)  # -1: not in its catalogue
            scores[:, columns >= 0] = model.score(user_ids)[:, columns[columns >= 0]]
    return np.where(np.isfinite(stack), stack, np.float32(np.nan))
