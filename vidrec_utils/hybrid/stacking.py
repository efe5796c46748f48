"""Stacking: a ranker that learns from what happened next how far to trust each recommender.

References
----------
Wolpert: Stacked generalization. Neural Networks 5, 1992.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from vidrec_utils import settings
from vidrec_utils.evaluation import positives
from vidrec_utils.hybrid.ensemble import Ensemble, fitted, stacked_scores
from vidrec_utils.hybrid.normalization import normalized, reciprocal_ranks
from vidrec_utils.recommender import (
    Recommender,
    as_ids,
    blocks,
    interaction_matrix,
    position,
    unpack,
)

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split, VideoLibrary

RANKERS = ("linear", "network")


class Stacked(Ensemble):
    """Ask a classifier, which sees what the parts say, whether a user will like a video.

    `fit` cuts the training data in time. The parts learn from the earlier share and are asked about
    the later one; the videos that a user liked there, and others drawn at random, teach the ranker.
    Then the parts are fitted anew on everything. Had they been asked about events that they were
    fitted on, the ranker would learn to trust whoever remembers best.

    For each part the ranker sees the normalised score, the reciprocal rank, and the score times
    the video's rarity, `1 / (1 + events)`, so that it can trust content more where behaviour has
    little to say; and of the video the logarithm of the number of events, and the rarity.

    The ranker learns how far to trust content about videos that the parts do not know from those
    that came after their last event. There are more of them the longer ago that was: so let the
    lessons lie as far after the parts' last event as the questions will, by a `gap`.

    If the later share teaches nothing (no video that is new to its user and liked, or no user whom
    the parts know), the answer is the mean of the normalised scores, and `learned` is False.
    Unknown users get the parts' own answers for unknown users, ranked likewise.

    Parameters
    ----------
    models : sequence of Recommender
        The parts, each with a name of its own.
    ranker : {"linear", "network"}
        Logistic regression, or a network with one hidden layer of 16.
    share : float
        Share of the events, the latest, that the ranker learns from.
    negatives : int
        Videos drawn for each liked one.
    threshold : float
        Watch ratio from which an event is liked; see `evaluation.positives`. In data without any
        signal every event is.
    regularization : float
        Inverse of the logistic regression's C; weight decay of the network.
    gap : float
        Share of the events, before the later ones, that neither the parts nor the ranker learn from
        at first. If validation lies between train and test, the number of its events over that of
        train.
    max_users : int
        The ranker has few numbers to learn: of more users with lessons, this many are drawn.
    seed : int
        For draws and the network.
    name : str
        Shown in tables.

    Attributes
    ----------
    learned : bool
        Whether there was something to learn from.
    feature_names : list of str
        What the ranker sees.
    """

    _learned: ClassVar = ("events", "mean", "scale")

    def __init__(
        self,
        models: Sequence[Recommender],
        ranker: str = "linear",
        share: float = 0.25,
        negatives: int = 20,
        threshold: float = 0.8,
        regularization: float = 1.0,
        gap: float = 0.0,
        max_users: int = 3000,
        seed: int = 0,
        name: str = "stacked",
    ):
        super().__init__(models)
        if ranker not in RANKERS:
            raise ValueError(f"ranker is {ranker!r}; choose from {', '.join(map(repr, RANKERS))}.")
        if not 0 < share < 1:
            raise ValueError(f"share is {share}; it must be between 0 and 1.")
        if not 0 <= gap < 1 - share:
            raise ValueError(f"gap is {gap}; it must be from 0 to below 1 - share, {1 - share:g}.")
        if max_users < 1:
            raise ValueError(f"max_users is {max_users}; it must be at least 1.")
        if negatives < 1:
            raise ValueError(f"negatives is {negatives}; it must be at least 1.")
        if not regularization > 0:
            raise ValueError(f"regularization is {regularization}; it must be positive.")
        self.ranker, self.share, self.negatives = ranker, float(share), int(negatives)
        self.gap, self.max_users = float(gap), int(max_users)
        self.threshold, self.regularization = float(threshold), float(regularization)
        self.seed, self.name = int(seed), name

    @property
    def feature_names(self) -> list[str]:
        """What the ranker sees of a user and a video."""
        names = [model.name for model in self.models]
        kinds = ("{} score", "{} rank", "{} score, rare videos")
        return [kind.format(name) for kind in kinds for name in names] + ["log events", "rarity"]

    def coefficients(self) -> pd.Series:
        """Of the linear ranker, for standardised features: what each adds to the log odds.

        Raises
        ------
        RuntimeError
            If it is not fitted.
        ValueError
            If the ranker is a network.
        """
        self._require_fit()
        if len(self.layers) > 1:
            raise ValueError("A network has no coefficients; use ranker='linear'.")
        return pd.Series(self.layers[0][0][:, 0], index=self.feature_names, name="coefficient")

    def explain(self, user_id: str, video_ids: Iterable[str]) -> pd.DataFrame:
        """How far each part lifts videos above the user's average video, by the linear ranker.

        Parameters
        ----------
        user_id : str
            May be unknown.
        video_ids : iterable of str
            Of the catalogue.

        Returns
        -------
        DataFrame
            One row a video, indexed by `video_id`, one column a part, and `"events"` for what the
            number of events does alone. The columns add up to the video's score minus the user's
            mean score.

        Raises
        ------
        KeyError
            If a video is unknown.
        RuntimeError, ValueError
            As `coefficients`.
        """
        weights = self.coefficients().to_numpy()
        places = [position(self.video_ids, video, "video") for video in as_ids(video_ids)]
        scores = self.member_scores(as_ids([user_id]))  # (n_members, 1, n_videos)
        x = features(scores, self.events)[0]  # (n_videos, n_features)
        x = (x - x.mean(axis=0)) / self.scale * weights
        names = [model.name for model in self.models]
        n = len(names)
        lifts = x[places, : 3 * n].reshape(len(places), 3, n).sum(axis=1)  # (videos, n_parts)
        table = pd.DataFrame(lifts, index=self.video_ids[places], columns=names)
        return table.assign(events=x[places, 3 * n :].sum(axis=1))

    def fit(
        self,
        data: VideoLibrary | Split | pd.DataFrame,
        weights: pd.Series | Callable[[pd.DataFrame], pd.Series] | None = None,
    ) -> Stacked:
        """Fit the ranker on the later events, then all parts on all; see `Recommender.fit`.

        Raises
        ------
        ValueError
            As `Recommender.fit`; or if the events have no timestamp.
        """
        interactions, video_ids = unpack(data)
        _, late = in_time(interactions, self.share)
        early, _ = in_time(interactions, self.share + self.gap)
        rows = self._lessons(interactions, early, late, video_ids, weights)
        self._learn(*rows)
        super().fit(data, weights)
        self.events = events_of(self.seen)
        return self

    def _lessons(
        self,
        interactions: pd.DataFrame,
        early: np.ndarray,
        late: np.ndarray,
        video_ids: pd.Index,
        weights: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features `(n, n_features)` and whether liked `(n,)`, out of the later events."""
        nothing = np.empty((0, len(self.feature_names)), "f4"), np.empty(0, dtype=bool)
        before, after = interactions[early], interactions[late]
        after = after[liked(after, self.threshold)]
        users = as_ids(before["user_id"]).unique().intersection(as_ids(after["user_id"]))
        if not len(users):
            return nothing
        rng = np.random.default_rng(self.seed)
        if len(users) > self.max_users:
            users = users[np.sort(rng.choice(len(users), self.max_users, replace=False))]
        if not (weights is None or callable(weights)):
            weights = pd.Series(np.asarray(weights)[early], before.index)
        library = SimpleNamespace(interactions=before, videos=pd.DataFrame(index=video_ids))
        parts = fitted(self.models, library, weights)
        events = events_of(_counts(before, as_ids(before["user_id"]).unique(), video_ids))
        seen = _counts(before[as_ids(before["user_id"]).isin(users)], users, video_ids)
        right = _counts(after[as_ids(after["user_id"]).isin(users)], users, video_ids)
        found = [nothing]
        for block in blocks(len(users), len(video_ids) * len(self.feature_names)):
            row, column, label = drawn(seen[block], right[block], self.negatives, rng)
            said = stacked_scores(parts, users[block], video_ids)
            found.append((features(said, events)[row, column], label))
        return tuple(np.concatenate(kind) for kind in zip(*found, strict=True))

    def _learn(self, x: np.ndarray, y: np.ndarray) -> None:
        self.learned = bool(y.any() and not y.all())
        n_features, n_parts = x.shape[1], len(self.models)
        if not self.learned:
            mean_score = np.zeros((n_features, 1), dtype=np.float32)
            mean_score[:n_parts] = 1 / n_parts
            self.layers = [(mean_score, np.zeros(1, dtype=np.float32))]
            self.mean, self.scale = np.zeros(n_features, "f4"), np.ones(n_features, "f4")
            return
        scaler = StandardScaler().fit(x)
        self.mean, self.scale = scaler.mean_.astype("f4"), scaler.scale_.astype("f4")
        with settings.threads_for(x.size):
            self.layers = self._layers(scaler.transform(x), y)

    def _layers(self, x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and biases of the ranker, one pair a layer: a linear one has one."""
        if self.ranker == "linear":
            model = LogisticRegression(C=1 / self.regularization, max_iter=1000).fit(x, y)
            pairs = [(model.coef_.T, model.intercept_)]
        else:
            model = MLPClassifier(
                (16,), alpha=self.regularization, max_iter=60, random_state=self.seed
            )
            with warnings.catch_warnings():  # sixty passes are a choice, not an accident
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(x, y)
            pairs = zip(model.coefs_, model.intercepts_, strict=True)
        return [(weight.astype("f4"), bias.astype("f4")) for weight, bias in pairs]

    def _join(self, user_ids: pd.Index) -> np.ndarray:
        out = np.empty((len(user_ids), len(self.video_ids)), dtype=np.float32)
        for block in blocks(len(user_ids), len(self.video_ids) * len(self.feature_names)):
            said = self.member_scores(user_ids[block])
            x = (features(said, self.events) - self.mean) / self.scale
            for weight, bias in self.layers[:-1]:
                x = np.maximum(x @ weight + bias, 0)
            weight, bias = self.layers[-1]
            scores = (x @ weight + bias)[..., 0]
            out[block] = np.where(np.isnan(said).all(axis=0), np.nan, scores)
        return out

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        kept = {"learned": np.array(self.learned)}
        for number, (weight, bias) in enumerate(self.layers):
            kept |= {f"layer{number}.weight": weight, f"layer{number}.bias": bias}
        return {**super()._state(), **kept}

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.learned = bool(state["learned"])
        count = sum(name.startswith("layer") and name.endswith(".bias") for name in state)
        self.layers = [(state[f"layer{n}.weight"], state[f"layer{n}.bias"]) for n in range(count)]


def features(said: np.ndarray, events: np.ndarray) -> np.ndarray:
    """What a ranker sees of each user and video.

    Parameters
    ----------
    said : ndarray of float32, shape (n_parts, n_users, n_videos)
        The parts' scores, NaN where one has nothing to say: it then counts as its row's lowest.
    events : ndarray, shape (n_videos,)
        Events of each video.

    Returns
    -------
    ndarray of float32, shape (n_users, n_videos, 3 * n_parts + 2)
        Normalised scores, reciprocal ranks (`60 / (60 + rank)`), normalised scores times
        `1 / (1 + events)`, `log(1 + events)`, and `1 / (1 + events)`.
    """
    scores, ranks = normalized(said), 60 * reciprocal_ranks(said)
    for values in (scores, ranks):
        there = np.isfinite(values)
        lowest = np.where(there, values, np.inf).min(axis=-1, keepdims=True)
        lowest = np.where(np.isfinite(lowest), lowest, 0)
        np.copyto(values, lowest, where=~there)
    rare = (1 / (1 + events)).astype(np.float32)
    of_video = np.stack([np.log1p(events).astype(np.float32), rare])[:, None]
    of_video = np.broadcast_to(of_video, (2, *said.shape[1:]))
    return np.moveaxis(np.concatenate([scores, ranks, scores * rare, of_video]), 0, -1)


def in_time(interactions: pd.DataFrame, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Which events are earlier and which are the latest `share`, as masks; equal times stay united.

    Raises
    ------
    ValueError
        If no event has a timestamp.
    """
    none = pd.Series(pd.NaT, index=interactions.index)
    times = interactions.get("timestamp", none)
    if len(times) and times.isna().all():
        raise ValueError(
            "The events have no timestamp, so nothing tells which came later. Stacking needs one."
        )
    if not len(times):
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    cut = times.quantile(1 - share, interpolation="higher")
    late = (times >= cut).to_numpy(dtype=bool)
    return ~late, late


def liked(interactions: pd.DataFrame, threshold: float) -> np.ndarray:
    """Events that ended well; all of them where no signal tells."""
    try:
        return positives(interactions, threshold).to_numpy()
    except ValueError:  # neither watch ratios nor likes
        return np.ones(len(interactions), dtype=bool)


def drawn(
    seen: sparse.csr_array, right: sparse.csr_array, negatives: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Liked videos that are new to their user, and others drawn without replacement.

    Returns
    -------
    row, column : ndarray of int
        Pairs.
    label : ndarray of bool
        Whether liked.
    """
    rows, columns, labels = [], [], []
    for row in range(seen.shape[0]):
        mine = right.indices[right.indptr[row] : right.indptr[row + 1]]
        known = seen.indices[seen.indptr[row] : seen.indptr[row + 1]]
        good = np.setdiff1d(mine, known)
        rest = np.setdiff1d(np.arange(seen.shape[1]), np.union1d(mine, known))
        count = min(negatives * len(good), len(rest))
        chosen = np.sort(rng.choice(rest, count, replace=False)) if count else rest[:0]
        columns.append(np.concatenate([good, chosen]))
        rows.append(np.full(len(columns[-1]), row))
        labels.append(np.arange(len(columns[-1])) < len(good))
    return tuple(np.concatenate(part) for part in (rows, columns, labels))


def events_of(seen: sparse.csr_array) -> np.ndarray:
    """Events of each video, float32."""
    return np.asarray(seen.sum(axis=0), dtype=np.float32).ravel()


def _counts(events: pd.DataFrame, users: pd.Index, videos: pd.Index) -> sparse.csr_array:
    return interaction_matrix(events, np.ones(len(events)), users, videos)
