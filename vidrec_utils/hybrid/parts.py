"""Recommenders made of recommenders: fitting the parts, asking them, keeping them on disk."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import recommender, saving
from vidrec_utils.recommender import Recommender

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split, VideoLibrary


class OfParts(Recommender):
    """A recommender that asks several others.

    `fit` fits a copy of each part, so that the parts given stay as they are; with `refit=False` the
    parts are used as they were fitted, and only the catalogue and what was seen come from the data.

    Parameters
    ----------
    models : sequence of Recommender
        The parts, each with its own name.
    refit : bool
        Whether `fit` fits the parts, too.

    Attributes
    ----------
    parts : list of Recommender
        The fitted ones. Set by `fit`.
    """

    parts: list[Recommender]

    def __init__(self, models: Sequence[Recommender], refit: bool = True):
        self.models, self.refit = list(models), bool(refit)
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

    def fit(
        self,
        data: VideoLibrary | Split | pd.DataFrame,
        weights: pd.Series | Callable[[pd.DataFrame], pd.Series] | None = None,
    ) -> OfParts:
        """Fit every part, and what joins them; see `Recommender.fit`."""
        self.parts = fitted(self.models, data, weights) if self.refit else list(self.models)
        super().fit(data, weights)
        return self

    def part_scores(self, user_ids: pd.Index) -> np.ndarray:
        """What each part says, in the order of this catalogue.

        Returns
        -------
        ndarray of float32, shape (n_parts, n_users, n_videos)
            NaN where a part has nothing to say: -inf, NaN, or a video outside its catalogue.
        """
        return np.stack([aligned(part, user_ids, self.video_ids) for part in self.parts])

    def parameters(self) -> dict[str, Any]:
        """What the constructor was given; the parts by class, name and parameters."""
        own = {name: value for name, value in super().parameters().items() if name != "models"}
        models = self.parts if hasattr(self, "parts") else self.models
        return {**own, "models": [describe(model) for model in models]}

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        kept = dict(super()._state())
        for number, part in enumerate(self.parts):
            kept |= {f"part{number}.{name}": array for name, array in arrays_of(part).items()}
        return kept

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> OfParts:
        models = [
            restored(description, _below(state, f"part{number}."))
            for number, description in enumerate(parameters.pop("models"))
        ]
        return cls(models, **parameters)

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.parts = list(self.models)

    def _fit(self, matrix: sparse.csr_array) -> None:
        pass

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self._join(self.user_ids[users])

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        return self._join(user_ids)

    def _join(self, user_ids: pd.Index) -> np.ndarray:
        """Scores `(n_users, n_videos)` out of the parts'."""
        raise NotImplementedError


def fitted(
    models: Sequence[Recommender],
    data: Any,
    weights: pd.Series | Callable[[pd.DataFrame], pd.Series] | None = None,
) -> list[Recommender]:
    """Copies of recommenders, fitted on the same data; the ones given stay as they are."""
    return [copy.copy(model).fit(data, weights) for model in models]


def aligned(model: Recommender, user_ids: pd.Index, video_ids: pd.Index) -> np.ndarray:
    """A model's scores in the order of another catalogue; NaN where it has nothing to say."""
    scores = model.score(user_ids)
    scores = np.where(np.isfinite(scores), scores, np.float32(np.nan))
    if model.video_ids.equals(video_ids):
        return scores
    columns = model.video_ids.get_indexer(video_ids)
    out = np.full((len(scores), len(video_ids)), np.nan, dtype=np.float32)
    out[:, columns >= 0] = scores[:, columns[columns >= 0]]
    return out


def describe(model: Recommender) -> dict[str, Any]:
    """A model without what it learned, as JSON can say it."""
    found = {
        "class": recommender.class_key(type(model)),
        "name": model.name,
        "parameters": model.parameters(),
    }
    if hasattr(model, "video_ids"):
        found["ids_sha256"] = saving.ids_digest(model.video_ids, model.user_ids)
    return found


def arrays_of(model: Recommender) -> dict[str, np.ndarray | sparse.csr_array]:
    """What a fitted model learned, ids included."""
    state = {f"state.{name}": array for name, array in model._state().items()}
    return {
        "video_ids": saving.encode_ids(model.video_ids),
        "user_ids": saving.encode_ids(model.user_ids),
        "seen": model.seen,
        "popularity": model.popularity,
        **state,
    }


def restored(description: dict[str, Any], arrays: Mapping[str, Any]) -> Recommender:
    """The model that `describe` and `arrays_of` took apart.

    Raises
    ------
    SavedModelError
        If its class is unknown, or its ids were changed.
    """
    where = f"part {description.get('name')!r}"
    return recommender.restored(Recommender, description, arrays, where)


def _below(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: a for name, a in state.items() if name.startswith(prefix)}
