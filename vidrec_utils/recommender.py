"""The interface that every recommender of the course has, and the two that no table may lack.

A recommender is fitted on interactions, scores all videos of a catalogue for a user, and ranks
them. `Popularity` and `Random` are what any other must beat. `event_weights` (of `events`) turns
watching, liking, sharing and commenting into one number per event, and `top_k` (of `top_k`) is
the one place where ties are broken: by the order of the videos in the catalogue.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
import warnings
from abc import ABC, abstractmethod
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NotRequired, Self, TypeAlias, TypedDict, cast

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm.auto import tqdm

from vidrec_utils import arguments, saving
from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.events import (
    PublicationOrder,
    as_ids,
    event_weights,
    interaction_matrix,
    publication_order,
    unpack,
)
from vidrec_utils.explanations import Explainable
from vidrec_utils.saving import Array
from vidrec_utils.top_k import hide, position, top_k

__all__ = [
    "DrawsNegatives",
    "FixedScores",
    "Popularity",
    "Random",
    "Recommender",
    "as_ids",
    "blocks",
    "event_weights",
    "hide",
    "interaction_matrix",
    "load",
    "position",
    "top_k",
]

PACKAGE = __name__.rpartition(".")[0] + "."

BLOCK_VALUES = 2**23
"""Scores held at once while ranking (32 MB of float32): memory does not grow with the users."""

NOTHING_TO_LEARN = (
    "No event weighs more than 0, so there is nothing to learn from, and popularity is the order "
    "of the catalogue. Look at the weights, and at the signals that they come from (watch_ratio, "
    "liked, shared, comment)."
)
REWEIGHED_TO_NOTHING = (
    "after its own weighting (by time, or against the mean) no event has a weight left, so it has "
    "nothing to learn from. Look at the timestamps and at the model's settings."
)

RENAMED_CLASSES = {
    "recommender.Given": "recommender.FixedScores",
    "hybrid.FeatureFactorisation": "hybrid.FeatureFactorization",
}
"""Classes of older files, and what they are called now: their keys (see `class_key`), without the
name of the package."""

RENAMED_PARAMETERS = {
    "content_based.LearnedRanker": {"parts": "modalities"},
    "hybrid.WeightedFusion": {"normalise": "normalize"},
}
"""By class, with the keys of today: names of parameters in older files, and their names now.

A subclass inherits them.
"""

RENAMED_ARRAYS: dict[str, dict[str, str]] = {
    "behavior_based.SASRec": {
        "mix": "qkv",
        "network": "feed_forward",
        "norm_network": "norm_feed_forward",
        "place": "position",
    },
    "recommender.FixedScores": {"rows": "ids"},
    "content_based.TermRecommender": {"asks": "queries", "tells": "term_weights"},
}
"""By class, with the keys of today: words of array names in older files, and these words now.

The name of an array consists of words with dots between them. A subclass inherits the table.
"""

TrainingData: TypeAlias = VideoLibrary | Split | pd.DataFrame
EventWeights: TypeAlias = pd.Series | Callable[[pd.DataFrame], pd.Series]

Description = TypedDict(
    "Description",
    {"class": str, "name": str, "parameters": dict[str, object], "ids_sha256": NotRequired[str]},
)
"""A model without its arrays; `ids_sha256` comes with a fitted one."""


def class_key(cls: type) -> str:
    """Name of a class on disk: stays when a module of the package becomes a folder."""
    return ".".join([*cls.__module__.split(".")[:2], cls.__name__])


class Recommender(Explainable, ABC):
    """Fit on interactions, score all videos for a user, rank them.

    A subclass defines `_score`, and `_fit` if it learns from the sums of the event weights, or
    `_fit_events` if it learns from the events themselves. Everything else is the same for all:

    - an **unknown user** (not in the data fitted on) gets the popularity answer;
    - a **cold video** (in the catalogue, without events) has a score, and can be recommended;
    - **ties** fall in the order of the catalogue; a score of NaN or -inf is never recommended;
    - **k** beyond the catalogue gives what there is; a user who saw everything gets no rows;
    - a **log without signals** counts every event alike (see `event_weights`), and one in which no
      event weighs more than 0 is fitted with a warning: there is nothing to learn from it.

    A constructor checks its arguments and keeps them by `self._set_arguments(locals())`. `save` and
    `load` need to know which attributes `_fit` has set: a subclass lists those that are arrays in
    `_learned`, or defines `_state` and `_restore`. Arguments of the constructor that JSON cannot
    hold are named in `_array_arguments`; `_state` has to keep them, and `_rebuild` to use them.
    Every subclass is registered when it is defined, so that `load` knows it.

    Attributes
    ----------
    video_ids, user_ids : Index of str
        The catalogue, which gives `score` its columns, and the known users. Set by `fit`.
    seen : csr_array of float32, shape (n_users, n_videos)
        How often each known user was shown each video.
    popularity : ndarray of float32, shape (n_videos,)
        Sum of the event weights of each video; 0 for cold videos.

    Examples
    --------
    A subclass that ranks videos by how often they were shown:

    >>> class MostShown(Recommender):
    ...     def _fit(self, matrix):
    ...         self.counts = self.seen.sum(axis=0)
    ...
    ...     def _score(self, users):
    ...         return np.tile(self.counts, (len(users), 1))
    >>> log = pd.DataFrame({"user_id": ["ann", "bob", "bob"], "video_id": ["cat", "cat", "dog"]})
    >>> MostShown().fit(log).score(["ann"]).tolist()
    [[2.0, 1.0]]
    """

    name = "recommender"
    progress = True
    same_for_all: ClassVar[bool] = False
    """Whether everybody gets the same list by design, so that a small coverage is no surprise."""

    knows_cold_videos: bool = True
    """Whether the score of a video without events says something about it.

    False for models that know videos by their events alone: what they give a cold video is no
    judgement, and an ensemble can leave such a video to its other members.
    """

    _learned: ClassVar[tuple[str, ...]] = ()
    _array_arguments: ClassVar[tuple[str, ...]] = ()
    _classes: ClassVar[dict[str, type[Recommender]]] = {}

    video_ids: pd.Index
    user_ids: pd.Index
    seen: sparse.csr_array
    popularity: np.ndarray

    def __init_subclass__(cls, **keywords: object) -> None:
        super().__init_subclass__(**keywords)
        hooks = ("fit", "_fit", "_fit_events")
        learns = any(getattr(cls, hook) is not getattr(Recommender, hook) for hook in hooks)
        if cls._learned and not learns:
            raise TypeError(
                f"{cls.__name__} lists what it learns in _learned, but has neither _fit nor "
                "_fit_events to learn it in."
            )
        Recommender._classes[class_key(cls)] = cls

    def fit(self, data: TrainingData, weights: EventWeights | None = None) -> Self:
        """Learn from interactions; returns itself.

        Parameters
        ----------
        data : VideoLibrary, Split or DataFrame
            A library gives its interactions and its whole catalogue; a split its training part and
            its catalogue; a frame of interactions only knows the videos that occur in it.
        weights : Series or callable, optional
            Preference of each event, aligned with the interactions, or a function that computes it;
            default `event_weights`.

        Raises
        ------
        ValueError
            If there is no video at all, an event names an unknown one or lacks its user or video,
            or weights are not finite.
        TypeError
            If `data` is none of the three.

        Warns
        -----
        UserWarning
            If there are events and none weighs more than 0.
        """
        return self._fit_data(data, weights)

    def _fit_data(self, data: TrainingData, weights: EventWeights | None) -> Self:
        """What `fit` does; its warnings name the line that called `fit`."""
        interactions, self.video_ids = unpack(data)
        self.user_ids = as_ids(interactions["user_id"]).unique().sort_values()
        if weights is None:
            weights = event_weights
        if callable(weights):
            weights = weights(interactions)
        values = np.asarray(weights, dtype=np.float64)
        if len(values) != len(interactions) or not np.isfinite(values).all():
            raise ValueError("weights must hold one finite number for each event.")
        self.seen = interaction_matrix(interactions, 1, self.user_ids, self.video_ids)
        matrix = interaction_matrix(interactions, weights, self.user_ids, self.video_ids)
        self.popularity = np.asarray(matrix.sum(axis=0), dtype=np.float32).ravel()
        if len(values) and not (values > 0).any():
            warnings.warn(NOTHING_TO_LEARN, UserWarning, stacklevel=3)
        reweighed = self._reweigh(pd.Series(np.asarray(weights), interactions.index), interactions)
        if values.any() and not reweighed.any():
            warnings.warn(f"{self.name}: {REWEIGHED_TO_NOTHING}", UserWarning, stacklevel=3)
        matrix = interaction_matrix(interactions, reweighed, self.user_ids, self.video_ids)
        self._look_at(interactions, getattr(data, "videos", None))
        self._fit_events(matrix, interactions, reweighed)
        return self

    def score(self, user_ids: Iterable[str] | str | int) -> np.ndarray:
        """Score of every video for each user; only comparable within a row.

        Parameters
        ----------
        user_ids : iterable of str
            Known or unknown, in any order. One id alone may be given as it is.

        Returns
        -------
        ndarray of float32, shape (n_users, n_videos)
            Columns in the order of `video_ids`.
        """
        asked = self._ids(user_ids)
        positions = self.user_ids.get_indexer(asked)
        known = positions >= 0
        scores = np.empty((len(asked), len(self.video_ids)), dtype=np.float32)
        if known.any():
            scores[known] = self._score(positions[known])
        if not known.all():
            scores[~known] = self._score_unknown(asked[~known])
        return scores

    def recommend(
        self, user_ids: Iterable[str] | str | int, k: int = 10, exclude_seen: bool = True
    ) -> pd.DataFrame:
        """Recommend the k best videos to each user.

        Parameters
        ----------
        user_ids : iterable of str
            One id alone may be given as it is.
        k : int
            Length of each list.
        exclude_seen : bool
            Leave out what the user was shown in the data fitted on.

        Returns
        -------
        DataFrame
            `user_id, video_id, rank` (from 1)`, score`; users in the order asked for.

        Raises
        ------
        ValueError
            If k is not positive, or an id is missing.
        """
        asked = self._ids(user_ids)
        best, scores = self.best(asked, k, exclude_seen)
        listed = best >= 0
        ranks = np.broadcast_to(np.arange(1, best.shape[1] + 1), best.shape)
        return pd.DataFrame(
            {
                "user_id": asked.repeat(listed.sum(axis=1)),
                "video_id": self.video_ids[best[listed]],
                "rank": ranks[listed],
                "score": scores[listed],
            }
        )

    def best(
        self, user_ids: Iterable[str] | str | int, k: int = 10, exclude_seen: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """The lists of `recommend` as arrays.

        Returns
        -------
        positions : ndarray of int64, shape (n_users, min(k, n_videos))
            Positions in `video_ids`, the best first; -1 where no video is left.
        scores : ndarray of float32, of the same shape
            -inf where no video is left.

        Raises
        ------
        ValueError
            If k is not positive, or an id is missing.
        """
        arguments.at_least(1, k=k)
        asked = self._ids(user_ids)
        shape = (len(asked), min(int(k), len(self.video_ids)))
        best = np.empty(shape, dtype=np.int64)
        best_scores = np.empty(shape, dtype=np.float32)
        for block in blocks(len(asked), len(self.video_ids)):
            scores = self.score(asked[block])
            if exclude_seen:
                hide(scores, self.seen, self.user_ids.get_indexer(asked[block]))
            columns = top_k(scores, k)
            values = np.take_along_axis(scores, columns, axis=1)
            best[block] = np.where(values > -np.inf, columns, -1)
            best_scores[block] = np.where(values > -np.inf, values, -np.inf)
        return best, best_scores

    def _set_arguments(self, values: Mapping[str, object]) -> None:
        """Set the arguments of the constructor as attributes, where `parameters` reads them.

        What has a whole number, a float or a truth value as its default becomes one of that type,
        so that JSON can hold it, whatever NumPy made of it.

        Parameters
        ----------
        values : mapping
            `locals()` of the constructor; what is no argument of the class or a base is left out.
        """
        constructors = (dict(inspect.signature(base).parameters) for base in type(self).__mro__)
        for name, parameter in ChainMap(*constructors).items():
            if name in values:
                kind = type(parameter.default)
                number = kind in (bool, int, float)
                setattr(self, name, kind(values[name]) if number else values[name])

    def parameters(self) -> dict[str, object]:
        """Arguments of the constructor by name, without those of `_array_arguments`."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names if name not in self._array_arguments}

    def save(self, folder: Path | str) -> Path:
        """Keep a fitted model in a folder: JSON and safetensors, no pickle. Returns the folder.

        A model that the folder holds is replaced, at once: a kill leaves the old or the new one.

        Raises
        ------
        RuntimeError
            If the model is not fitted.

        Examples
        --------
        >>> import tempfile
        >>> log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["cat", "dog"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = load(Random(seed=1).fit(log).save(folder))
        >>> model.name, model.seed, model.video_ids.tolist()
        ('random', 1, ['cat', 'dog'])
        """
        self._require_fit()
        return saving.write(folder, self.description(), self.packed())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a model that `save` wrote; it scores as the saved one did.

        Raises
        ------
        SavedModelError
            If the folder holds no model, an incomplete or changed one, one of an unknown class, one
            that is no `cls`, or one that cannot score. Nothing that the files hold is ever
            executed.
        OSError
            If a file cannot be read, or the model needs weights that are not available.
        """
        description, arrays = saving.read(folder)
        try:
            model = cls.unpacked(cast(Description, description), arrays, str(folder))
            model._try_out()
            return model
        except (saving.SavedModelError, OSError):
            raise
        except Exception as error:  # whatever a changed file can cause has one meaning
            raise saving.SavedModelError(
                f"The model in {folder} does not fit its class: {type(error).__name__}: {error}. "
                "It was saved by another version, or changed; fit it again."
            ) from error

    def description(self) -> Description:
        """Class, name, parameters and, once fitted, the digest of the ids; JSON can hold them.

        A recommender that is made of others puts their descriptions among its parameters.
        """
        description: Description = {
            "class": class_key(type(self)),
            "name": self.name,
            "parameters": self.parameters(),
        }
        if hasattr(self, "video_ids"):
            description["ids_sha256"] = saving.ids_digest(self.video_ids, self.user_ids)
        return description

    def packed(self, prefix: str = "") -> dict[str, Array]:
        """Everything that a fitted model has learned, as arrays.

        A recommender that is made of others adds theirs to its state, each with another prefix;
        `unpacked(description, saving.below(state, prefix))` is the way back.

        Parameters
        ----------
        prefix : str
            Put before the name of each array.
        """
        arrays: dict[str, Array] = {
            "video_ids": saving.encode_ids(self.video_ids),
            "user_ids": saving.encode_ids(self.user_ids),
            "seen": self.seen,
            "popularity": self.popularity,
            **{f"state.{name}": array for name, array in self._state().items()},
        }
        return {prefix + name: array for name, array in arrays.items()}

    @classmethod
    def unpacked(cls, description: Description, arrays: Mapping[str, Array], source: str) -> Self:
        """Put the model together again that `description` and `packed` took apart.

        Parameters
        ----------
        description : mapping
            `class`, `name`, `parameters` and `ids_sha256`; names of older versions are known.
        arrays : mapping of str to array
            See `packed`.
        source : str
            Where they come from, for messages.

        Raises
        ------
        SavedModelError
            If the class is unknown or is no `cls`, or the ids were changed.
        """
        model_class = _class_of(str(description["class"]))
        if model_class is None or not issubclass(model_class, cls):
            raise saving.SavedModelError(
                f"The model in {source} is a {description['class']}, which is no {cls.__name__} "
                "known here. A class of your own has to be defined (or its module imported) before "
                "its models are loaded."
            )
        description, arrays = model_class._upgraded(description, arrays)
        state = saving.below(arrays, "state.")
        model = model_class._rebuild(dict(description["parameters"]), state)
        model.name = description["name"]
        model.video_ids, model.user_ids = (
            pd.Index(saving.decode_ids(arrays[f"{name}s"]), dtype="str", name=name)
            for name in ("video_id", "user_id")
        )
        if not (model.video_ids.is_unique and model.user_ids.is_unique):
            raise saving.SavedModelError(f"The model in {source} names a video or a user twice.")
        if saving.ids_digest(model.video_ids, model.user_ids) != description["ids_sha256"]:
            raise saving.SavedModelError(
                f"The ids of the model in {source} are not those that it was saved with: they were "
                "changed, and every recommendation would name the wrong video. Fit it again."
            )
        n_users, n_videos = len(model.user_ids), len(model.video_ids)
        model.seen = cast(sparse.csr_array, _shaped(arrays, "seen", (n_users, n_videos)))
        model.popularity = cast(np.ndarray, _shaped(arrays, "popularity", (n_videos,)))
        model._restore(state)
        return model

    def _state(self) -> dict[str, Array]:
        """What `_fit` learned, as arrays; default: the attributes named in `_learned`."""
        return {name: getattr(self, name) for name in self._learned}

    def _restore(self, state: Mapping[str, Array]) -> None:
        """Set what `_state` gave; ids, `seen` and `popularity` are set already."""
        for name in self._learned:
            setattr(self, name, state[name])

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Self:
        """An unfitted model from its parameters; for classes whose constructor needs arrays."""
        return cls(**parameters)

    @classmethod
    def _upgraded(
        cls, description: Description, arrays: Mapping[str, Array]
    ) -> tuple[Description, Mapping[str, Array]]:
        """What an older version saved, under the names of this one."""
        names = _renamed(cls, RENAMED_PARAMETERS)
        words = _renamed(cls, RENAMED_ARRAYS)
        old = dict(description["parameters"])
        parameters = {names.get(name, name): value for name, value in old.items()}
        arrays = {
            ".".join(words.get(word, word) for word in name.split(".")): array
            for name, array in arrays.items()
        }
        return {**description, "parameters": parameters}, arrays

    def _try_out(self) -> None:
        """Score a known and an unknown user: arrays that do not fit the catalogue show here.

        Raises
        ------
        Exception
            Whatever a score raises that cannot be computed.
        """
        users = [*self.user_ids[:1], *self.user_ids[-1:], ""]
        scores = np.concatenate([self.score(users), self.score([])])
        if scores.shape != (len(users), len(self.video_ids)):
            raise ValueError(f"its scores have the shape {scores.shape}")

    def _require_fit(self) -> None:
        if not hasattr(self, "video_ids"):
            raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(...) first.")

    def _ids(self, user_ids: Iterable[str] | str | int) -> pd.Index:
        self._require_fit()
        if isinstance(user_ids, str) or not isinstance(user_ids, Iterable):
            asked = as_ids([user_ids])
        else:
            asked = as_ids(user_ids)
        if asked.hasnans:
            raise ValueError(f"{asked.isna().sum()} of the user ids asked for are missing (NA).")
        return asked

    def _rounds(self, n: int) -> Iterable[int]:
        """Count rounds of training, with a bar if `progress` and they take over two seconds."""
        return tqdm(range(n), desc=self.name, delay=2, leave=False, disable=not self.progress)

    def _best_of(self, values: np.ndarray, k: int, column: str) -> pd.DataFrame:
        """The k videos of the highest values: `video_id` and the values; -inf is left out."""
        best = top_k(values[None], k)[0]
        best = best[values[best] > -np.inf]
        return pd.DataFrame({"video_id": self.video_ids[best], column: values[best]})

    def _reweigh(self, weights: pd.Series, interactions: pd.DataFrame) -> pd.Series:
        """Change the event weights before they reach `_fit` (recency, say); default: leave them."""
        return weights

    def _look_at(self, interactions: pd.DataFrame, videos: pd.DataFrame | None) -> None:
        """Take from events and catalogue what `_fit_events` does not get; default: nothing.

        Parameters
        ----------
        interactions : DataFrame
            One row per event.
        videos : DataFrame, optional
            The catalogue, one row for each of `video_ids`; None if only events are known.
        """

    def _fit_events(
        self, matrix: sparse.csr_array, interactions: pd.DataFrame, weights: pd.Series
    ) -> None:
        """Learn from the events (their order, say) and the sums of their weights.

        Parameters
        ----------
        matrix : csr_array of float32, shape (n_users, n_videos)
            Sums of the event weights; the default learns from them alone, by `_fit`.
        interactions : DataFrame
            One row per event.
        weights : Series
            Weight of each event.
        """
        self._fit(matrix)

    def _fit(self, matrix: sparse.csr_array) -> None:
        """Learn from summed event weights, `(n_users, n_videos)`; default: learn nothing more."""

    @abstractmethod
    def _score(self, users: np.ndarray) -> np.ndarray:
        """Scores `(len(users), n_videos)` of users given by position in `user_ids`."""

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        """Scores for users without history, broadcastable to `(len(user_ids), n_videos)`."""
        return self.popularity


class DrawsNegatives(Recommender):
    """A recommender that learns from drawn videos, too: from those that could have been shown.

    A video that was not published by a user's last event was not rejected: nobody could have shown
    it. Where publication or event times are unknown, all videos could have been shown.
    """

    online: PublicationOrder | None
    """Which videos could have been shown to whom; None: all to everybody. Set by `fit`."""

    def _look_at(self, interactions: pd.DataFrame, videos: pd.DataFrame | None) -> None:
        super()._look_at(interactions, videos)
        self.online = publication_order(interactions, videos, self.user_ids)


class Popularity(Recommender):
    """The same list for everyone: videos by the sum of their event weights, cold ones last.

    Examples
    --------
    >>> log = pd.DataFrame(
    ...     {
    ...         "user_id": ["ann", "bob", "cem"],
    ...         "video_id": ["cat", "cat", "dog"],
    ...         "watch_ratio": [0.5, 1.0, 0.75],
    ...     }
    ... )
    >>> Popularity().fit(log).recommend(["cem", "ann"], k=1)
      user_id video_id  rank  score
    0     cem      cat     1   1.50
    1     ann      dog     1   0.75
    """

    name = "popularity"
    same_for_all = True
    knows_cold_videos = False

    def _score(self, users: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.popularity, (len(users), len(self.popularity)))


class Random(Recommender):
    """A list drawn for each user, the floor of any table.

    A score is a hash of seed, user id and position of the video: the same user gets the same list
    in any batch, known or not.

    Parameters
    ----------
    seed : int
        Another seed, other lists.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["cat", "dog"]})
    >>> model = Random(seed=0).fit(log)
    >>> alone = model.score(["bob"])
    >>> bool((alone == model.score(["ann", "bob"])[1]).all())
    True
    """

    name = "random"

    def __init__(self, seed: int = 0):
        self.seed = int(seed)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self._score_unknown(self.user_ids[users])

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        digests = (hashlib.blake2b(f"{self.seed}/{u}".encode(), digest_size=8) for u in user_ids)
        keys = np.array([int.from_bytes(d.digest(), "little") for d in digests], dtype=np.uint64)
        videos = np.arange(1, len(self.video_ids) + 1, dtype=np.uint64)
        hashes = _splitmix64(keys[:, None], videos[None, :])  # (n_users, n_videos)
        return (hashes >> np.uint64(40)).astype(np.float32) / 2**24  # 24 bits: uniform in [0, 1)


class FixedScores(Recommender):
    """Scores that are known beforehand: of somebody who knows every taste, say, as a reference.

    Parameters
    ----------
    scores : DataFrame
        Users x videos. Whoever and whatever it lacks (or is NA) has the lowest of all scores.
    name : str
        Shown in tables.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["cat", "dog"]})
    >>> tastes = pd.DataFrame({"cat": [0.9, 0.2], "dog": [0.1, 0.8]}, index=["ann", "bob"])
    >>> reference = FixedScores(tastes, name="knows every taste").fit(log)
    >>> reference.recommend("bob", k=1, exclude_seen=False)["video_id"].tolist()
    ['dog']
    """

    _array_arguments: ClassVar = ("scores",)

    def __init__(self, scores: pd.DataFrame, name: str = "fixed scores"):
        self.scores = scores.set_axis(as_ids(scores.index), axis=0)
        self.scores = self.scores.set_axis(as_ids(scores.columns), axis=1)
        self.name = name

    def _state(self) -> dict[str, Array]:
        return saving.encode_frame(self.scores)

    @classmethod
    def _rebuild(cls, parameters: dict[str, Any], state: Mapping[str, Any]) -> Self:
        return cls(saving.decode_frame(state), **parameters)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self._score_unknown(self.user_ids[users])

    def _score_unknown(self, user_ids: pd.Index) -> np.ndarray:
        scores = self.scores.reindex(index=user_ids, columns=self.video_ids)
        lowest = np.nan_to_num(np.nanmin(self.scores.to_numpy()) if self.scores.size else 0.0)
        return scores.fillna(lowest).to_numpy(dtype=np.float32)


def load(folder: Path | str) -> Recommender:
    """Read a model of any class of the course from the folder that `Recommender.save` wrote.

    Raises
    ------
    SavedModelError
        See `Recommender.load`.
    """
    return Recommender.load(folder)


def blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows that keep a dense block near `BLOCK_VALUES` values."""
    size = max(1, BLOCK_VALUES // max(n_columns, 1))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def _shaped(arrays: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    """An array of a saved model.

    Raises
    ------
    ValueError
        If its shape is not that of the ids.
    """
    array = arrays[name]
    sparse_or_not = sparse.issparse(array) == (len(shape) == 2)
    if array.shape != shape or array.dtype.kind not in "fiub" or not sparse_or_not:
        raise ValueError(f"{name} is of {array.dtype} and shape {array.shape}, not {shape}")
    return array


def _class_of(key: str) -> type[Recommender] | None:
    """The class of a key, if it is known here or the package has it.

    Of the package's own modules, found by listing its folder, the one of the key is imported; no
    other name that a file holds ever is.
    """
    short = key.removeprefix(PACKAGE)
    key = key.removesuffix(short) + RENAMED_CLASSES.get(short, short)
    if key not in Recommender._classes:
        for module in pkgutil.iter_modules([str(Path(__file__).parent)], PACKAGE):
            if key.rpartition(".")[0] == module.name:
                importlib.import_module(module.name)
    return Recommender._classes.get(key)


def _renamed(model_class: type[Recommender], table: dict[str, dict[str, str]]) -> dict[str, str]:
    """Old names and new ones that hold for a class and those that it inherits from."""
    keys = [class_key(base).removeprefix(PACKAGE) for base in reversed(model_class.__mro__)]
    return {old: new for key in keys for old, new in table.get(key, {}).items()}


def _splitmix64(keys: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Uniform uint64 from keys and counters (SplitMix64; Steele et al., OOPSLA 2014)."""
    z = keys + counters * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
