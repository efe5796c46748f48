"""Stacking: a ranker that learns from what happened next how far to trust each recommender.

References
----------
Wolpert: Stacked generalization. Neural Networks 5, 1992.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from vidrec_utils import arguments, settings
from vidrec_utils.events import (
    as_ids,
    event_weights,
    fit_label,
    interaction_matrix,
    published_by,
    times_of,
    unpack,
    warn_once,
)
from vidrec_utils.explanations import Explanation, NotExplainable, explained_list
from vidrec_utils.hybrid.cold_start import drawn_users
from vidrec_utils.hybrid.ensemble import Ensemble, fitted, stacked_scores
from vidrec_utils.hybrid.normalization import normalized, reciprocal_ranks, smallest
from vidrec_utils.recommender import EventWeights, Recommender, TrainingData, blocks, position
from vidrec_utils.saving import Array

RANKERS = ("linear", "network")


class Stacked(Ensemble):
    """A classifier that predicts from the members' scores whether a user will like a video.

    `fit` cuts the training data in time. The members learn from the earlier share and score the
    videos of the later one; the videos that a user liked there, and others drawn at random from
    those that had been published by the user's last event there, are the examples that the ranker
    learns from. Then the members are fitted anew on everything. Had they scored events that they
    were fitted on, the ranker would learn to trust whoever remembers best. If no event has a
    timestamp, the later share is one drawn at random, which teaches less about what is new: pass
    times, or `ordered`, where there are any.

    For each member the ranker sees the normalised score, the reciprocal rank, and the score times
    the video's rarity, `1 / (1 + events)`, so that it can trust content more where behaviour has
    little information; and of the video the rarity, and, if `log_events`, the logarithm of the
    number of events. Members of behaviour hold popularity already, so by default the ranker gets
    that feature only where there is none; try both on validation. Where a member knows
    videos by their events alone and another does not, its scores of cold videos say nothing, and
    stand for the mean; as lowest scores they would be a second, louder sign that a video is cold.

    The ranker learns how far to trust content about videos that the members do not know from those
    that came after their last event. There are more of them the longer ago that was: so the
    examples should lie as far after the members' last event as the questions will, by a `gap`.

    If the later share teaches nothing (no video that is new to its user and liked, or no user whom
    the members know), the score is the mean of the normalised scores, and `learned` is False.
    Unknown users get the members' own answers for unknown users, ranked likewise.

    Parameters
    ----------
    models : sequence of Recommender
        What to stack, each with a name of its own.
    ranker : {"linear", "network"}
        Logistic regression, or a network with one hidden layer of 16.
    share : float
        Share of the events, the latest, that the ranker learns from.
    ordered : bool
        The rows are in the order in which things happened: cut them by row, not by timestamp.
    negatives : int
        Videos drawn for each liked one.
    threshold : float, optional
        Least watch ratio of a liked event, for the label `ratio` (default .8).
    regularization : float
        Inverse of the logistic regression's C; weight decay of the network.
    log_events : bool, optional
        Whether the logarithm of a video's number of events is a feature of its own. Default: only
        if no member learns from events alone (`knows_cold_videos` is True for all).
    gap : float
        Share of the events, before the later ones, that neither the members nor the ranker learn
        from at first. If validation lies between train and test, the number of its events over that
        of train.
    max_users : int
        The ranker has few coefficients to learn: if more users have examples, this many are drawn.
    seed : int
        Users and videos are drawn, and the network starts, with this seed.
    name : str
        Shown in tables.
    label : str, optional
        The label that trains the ranker: which of the later events count as liked; see
        `events.fit_label`, also for the default. Its rule is fitted to all events that the model is
        fitted on. An event that it calls NA is no example. The members are trained with the weights
        of `fit`, not with the label, and `evaluation.evaluate` judges by a label of its own: give
        both the same one, or say why not.

    Attributes
    ----------
    learned : bool
        Whether there was something to learn from.
    feature_names : list of str
        Names of the features that the ranker sees.

    Examples
    --------
    Everybody watches what an oracle knows they like, from the best video down:

    >>> from vidrec_utils.recommender import FixedScores
    >>> rng = np.random.default_rng(0)
    >>> users, videos = [f"u{n}" for n in range(20)], [f"v{n}" for n in range(12)]
    >>> oracle, noise = (
    ...     FixedScores(pd.DataFrame(rng.normal(size=(20, 12)), users, videos), name)
    ...     for name in ("oracle", "noise")
    ... )
    >>> best = np.argsort(-oracle.scores.to_numpy(), axis=1)
    >>> log = pd.DataFrame(
    ...     [(user, videos[best[n, rank]]) for rank in range(5) for n, user in enumerate(users)],
    ...     columns=["user_id", "video_id"],
    ... )
    >>> log["timestamp"] = pd.date_range("2025-01-01", periods=len(log), freq="h")
    >>> model = Stacked([oracle, noise]).fit(log)
    >>> bool(model.coefficients()["oracle score"] > 2 * abs(model.coefficients()["noise score"]))
    True
    """

    _learned: ClassVar = ("events", "mean", "scale")
    leaves_cold = True
    """Whether members that know events alone are silent about cold videos."""

    def __init__(
        self,
        models: Sequence[Recommender],
        ranker: str = "linear",
        share: float = 0.25,
        negatives: int = 20,
        threshold: float | None = None,
        regularization: float = 1.0,
        gap: float = 0.0,
        max_users: int = 3000,
        seed: int = 0,
        name: str = "stacked",
        ordered: bool = False,
        log_events: bool | None = None,
        label: str | None = None,
    ):
        arguments.one_of(RANKERS, ranker=ranker)
        if not 0 < share < 1:
            raise ValueError(f"share is {share}; it must be between 0 and 1.")
        if not 0 <= gap < 1 - share:
            raise ValueError(f"gap is {gap}; it must be from 0 to below 1 - share, {1 - share:g}.")
        arguments.at_least(1, max_users=max_users, negatives=negatives)
        arguments.positive(regularization=regularization)
        self._set_arguments(locals())
        super().__init__(models)

    @property
    def feature_names(self) -> list[str]:
        """Names of the features of a user and a video, in the order of `features`."""
        names = [model.name for model in self.models]
        kinds = ("{} score", "{} rank", "{} score, rare videos")
        of_video = ["log events", "rarity"] if self.counts_events else ["rarity"]
        return [kind.format(name) for kind in kinds for name in names] + of_video

    @property
    def counts_events(self) -> bool:
        """Whether the logarithm of the number of events is a feature."""
        if hasattr(self, "layers"):  # also of a model that an older version saved
            return bool(self.layers[0][0].shape[0] == 3 * len(self.models) + 2)
        return self._counts_events()

    def _counts_events(self) -> bool:
        if self.log_events is not None:
            return self.log_events
        return all(model.knows_cold_videos for model in self.models)

    def _features(self, scores: np.ndarray, events: np.ndarray) -> np.ndarray:
        """`features` of this ranker, `(n_users, n_videos, n_features)`."""
        blind = np.array([not model.knows_cold_videos for model in self.models])  # (n_members,)
        unknown = None
        if self.leaves_cold and not blind.all():
            unknown = blind[:, None] & (events == 0)  # (n_members, n_videos)
        return features(scores, events, self.counts_events, unknown)

    def coefficients(self) -> pd.Series:
        """Coefficients of the linear ranker: what each standardised feature adds to the log odds.

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

    def explain(self, user_id: str, video_id: str) -> Explanation:
        """Split a score of the linear ranker into what each member contributes.

        Parameters
        ----------
        user_id : str
            An unknown user is scored, and explained, by the members' answers for unknown users.
        video_id : str
            A video of the catalogue.

        Returns
        -------
        Explanation
            A row of kind "member" for each member, by its name, and one of kind "video" for what
            the number of events contributes alone ("events"): how far they lift the video above the
            user's average video. The score of that one is the row of kind "average".

        Raises
        ------
        KeyError
            If the video is unknown.
        NotExplainable
            If the ranker is a network, or no member has a score for the video.
        RuntimeError
            If the model is not fitted.
        """
        self._require_fit()
        column = position(self.video_ids, video_id, "video")
        if len(self.layers) > 1:
            raise NotExplainable(
                "The score of a network is not a sum over its members; use ranker='linear'."
            )
        scores = self.member_scores(as_ids([user_id]))  # (n_members, 1, n_videos)
        if np.isnan(scores[:, 0, column]).all():
            raise NotExplainable(f"No member has a score for the video {video_id!r}.")
        # w . (x_i - mean) / scale + b = w . (x_i - x_u) / scale + w . (x_u - mean) / scale + b,
        # where x_u is the mean over the user's videos
        x = self._features(scores, self.events)[0]  # (n_videos, n_features)
        x_u = x.mean(axis=0)  # (n_features,)
        coefficients = self.coefficients().to_numpy()  # w, (n_features,)
        lifts = (x[column] - x_u) / self.scale * coefficients
        average = (x_u - self.mean) / self.scale @ coefficients + self.layers[0][1][0]
        names = [model.name for model in self.models]
        n = len(names)
        by_member = lifts[: 3 * n].reshape(3, n).sum(axis=0)  # (n_members,)
        rows = pd.DataFrame(
            {
                "kind": [*["member"] * n, "video", "average"],
                "reason": [*names, "events", "average video"],
                "contribution": [*by_member, lifts[3 * n :].sum(), average],
            }
        )
        return Explanation.from_rows(user_id, video_id, rows)

    def fit(self, data: TrainingData, weights: EventWeights | None = None) -> Self:
        """Fit the ranker on the later events, then all members on all; see `Recommender.fit`.

        Raises
        ------
        ValueError
            As `Recommender.fit`; or if there is a gap, the events have no timestamp and are not
            `ordered`.

        Warns
        -----
        UserWarning
            If the events have no timestamp and are not `ordered`.
        """
        interactions, _ = unpack(data)
        self.leaves_cold = True
        if hasattr(self, "layers"):
            del self.layers  # of an earlier fit, whose features may have been others
        weights = event_weights(interactions) if weights is None else weights
        self._learn(*self.lessons(data, weights))
        super().fit(data, weights)
        self.events = event_counts(self.seen)
        return self

    def lessons(
        self, data: TrainingData, weights: EventWeights | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Make the examples that the ranker learns from, out of what `fit` is given.

        The members are fitted on the earlier events, and score the videos of the later ones.

        Parameters
        ----------
        data, weights
            As for `fit`.

        Returns
        -------
        x : ndarray of float32, shape (n, n_features)
            Features, in the order of `feature_names`, not standardised.
        y : ndarray of bool, shape (n,)
            Whether the user liked the video later; all others were drawn.

        Examples
        --------
        Ann and Bob watch what the oracle says; for each the last event is a lesson, and what they
        never watched is drawn beside it:

        >>> from vidrec_utils.recommender import FixedScores
        >>> log = pd.DataFrame({"user_id": ["ann", "bob"] * 4, "video_id": list("abbacddc")})
        >>> log["timestamp"] = pd.date_range("2025-01-01", periods=8, freq="h")
        >>> videos = pd.DataFrame([[5, 4, 3, 2, 1], [4, 5, 2, 3, 1]], ["ann", "bob"], list("abcde"))
        >>> x, y = Stacked([FixedScores(videos, "oracle")]).lessons(log.assign(watch_ratio=1.0))
        >>> x.shape, y.tolist()
        ((2, 5), [True, True])
        """
        interactions, video_ids = unpack(data)
        early, late = self._cut(interactions)
        # what a signal says is decided in the whole log: a share of it may lack the signal
        videos = getattr(data, "videos", None)
        rule = fit_label(interactions, videos, self.label, threshold=self.threshold)
        liked = rule.positives(interactions)
        weights = event_weights(interactions) if weights is None else weights
        if not callable(weights):
            weights = pd.Series(np.asarray(weights)[early], interactions.index[early])
        videos = pd.DataFrame(index=video_ids) if videos is None else videos
        return self._examples(interactions[early], interactions[late], liked[late], videos, weights)

    def _cut(self, interactions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the events that the members learn from, and of those that the ranker does."""
        untimed = "timestamp" not in interactions or interactions["timestamp"].isna().all()
        if self.ordered or not untimed or not len(interactions):
            _, late = in_time(interactions, self.share, self.ordered)
            early, _ = in_time(interactions, self.share + self.gap, self.ordered)
            return early, late
        if self.gap:
            raise ValueError(
                f"The interactions have no timestamp, so nothing lies a gap of {self.gap:g} after "
                "anything. Use gap=0, or ordered=True if the rows are in the order in which things "
                "happened."
            )
        warn_once(
            "The events have no timestamps, so the ranker learns from a random share of them, not "
            "from the latest: it sees few videos that are new to the members. Give the times, or "
            "ordered=True if the rows are in the order in which things happened."
        )
        rng = np.random.default_rng(self.seed)
        late = np.zeros(len(interactions), dtype=bool)
        late[rng.permutation(len(late))[: round(self.share * len(late))]] = True
        return ~late, late

    def _examples(
        self,
        before: pd.DataFrame,
        after: pd.DataFrame,
        liked: pd.Series,
        videos: pd.DataFrame,
        weights: EventWeights,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features `(n, n_features)` and whether liked `(n,)`, out of the later liked events.

        Parameters
        ----------
        before, after : DataFrame
            The earlier events, which the members learn from, and the later ones.
        liked : Series of bool or "boolean", shape (n_after,)
            Which of the later ones ended well; NA for those that say neither.
        videos : DataFrame
            The catalogue, with `published_at` if it is known.
        weights : Series or callable
            Weights of the earlier events.
        """
        video_ids = as_ids(videos.index)
        online = after
        unjudged = after[liked.isna().to_numpy()]
        after = after[liked.fillna(False).to_numpy(dtype=bool)]
        x = [np.empty((0, len(self.feature_names)), dtype=np.float32)]
        y = [np.empty(0, dtype=bool)]
        users = as_ids(before["user_id"]).unique().intersection(as_ids(after["user_id"]))
        if not len(users):
            return x[0], y[0]
        rng = np.random.default_rng(self.seed)
        users = drawn_users(users, self.max_users, rng)
        # the members know the earlier events only
        library = SimpleNamespace(interactions=before, videos=videos)
        members = fitted(self.models, library, weights)
        everybody = as_ids(before["user_id"]).unique()
        events = event_counts(interaction_matrix(before, 1, everybody, video_ids))
        seen, targets, neither = (
            interaction_matrix(log[as_ids(log["user_id"]).isin(users)], 1, users, video_ids)
            for log in (before, after, unjudged)
        )
        # the last event of each of them in the lessons: what came later could not be shown
        until = last_times(online, users)
        # liked later and new to the user: 1; drawn at random from what could be shown: 0
        for block in blocks(len(users), len(video_ids) * len(self.feature_names)):
            published = published_by(videos, until.iloc[block])  # (users, n_videos)
            published[neither[block].nonzero()] = False
            row, column, label = drawn(seen[block], targets[block], self.negatives, rng, published)
            scores = stacked_scores(members, users[block], video_ids)
            x.append(self._features(scores, events)[row, column])  # (pairs, n_features)
            y.append(label)  # (pairs,)
        return np.concatenate(x), np.concatenate(y)

    def _learn(self, x: np.ndarray, y: np.ndarray) -> None:
        """Fit the ranker to examples `(n, n_features)` and whether liked `(n,)`."""
        self.learned = bool(y.any() and not y.all())
        n_features = x.shape[1]
        n_members = len(self.models)
        if not self.learned:
            mean_score = np.zeros((n_features, 1), dtype=np.float32)
            mean_score[:n_members] = 1 / n_members
            self.layers = [(mean_score, np.zeros(1, dtype=np.float32))]
            self.mean = np.zeros(n_features, dtype=np.float32)
            self.scale = np.ones(n_features, dtype=np.float32)
            return
        scaler = StandardScaler().fit(x)
        self.mean = scaler.mean_.astype(np.float32)
        self.scale = scaler.scale_.astype(np.float32)
        with settings.threads_for(x.size):
            self.layers = self._layers(scaler.transform(x), y)

    def _layers(self, x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and biases of the ranker, one pair a layer: a linear one has one."""
        if self.ranker == "linear":
            # min over w, b of  sum_i ln(1 + exp(-y_i (w . x_i + b))) + regularization / 2 |w|^2,
            # with y_i = 1 for a liked video and -1 for another
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
        return [(weight.astype(np.float32), bias.astype(np.float32)) for weight, bias in pairs]

    def _join(self, user_ids: pd.Index) -> np.ndarray:
        result = np.empty((len(user_ids), len(self.video_ids)), dtype=np.float32)
        for block in blocks(len(user_ids), len(self.video_ids) * len(self.feature_names)):
            member_scores = self.member_scores(user_ids[block])  # (n_members, users, n_videos)
            # standardised features, (users, n_videos, n_features)
            x = (self._features(member_scores, self.events) - self.mean) / self.scale
            # hidden layers, if any: x <- max(0, x W + b)
            for weight, bias in self.layers[:-1]:
                x = np.maximum(x @ weight + bias, 0)
            # log odds: x w + b, (users, n_videos)
            weight, bias = self.layers[-1]
            scores = (x @ weight + bias)[..., 0]
            result[block] = np.where(np.isnan(member_scores).all(axis=0), np.nan, scores)
        return result

    def _state(self) -> dict[str, Array]:
        flags = {"learned": self.learned, "leaves_cold": self.leaves_cold}
        state = {**super()._state(), **{name: np.array(flag) for name, flag in flags.items()}}
        for number, (weight, bias) in enumerate(self.layers):
            state |= {f"layer{number}.weight": weight, f"layer{number}.bias": bias}
        return state

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        self.learned = bool(state["learned"])
        # rankers of older versions have learned what the lowest scores of cold videos are worth
        self.leaves_cold = bool(state.get("leaves_cold", False))
        count = sum(name.startswith("layer") and name.endswith(".bias") for name in state)
        self.layers = [(state[f"layer{n}.weight"], state[f"layer{n}.bias"]) for n in range(count)]


def explained_lists(
    model: Ensemble, user_ids: Iterable[str], k: int = 4, reasons: int = 3
) -> pd.DataFrame:
    """Lists of some users by an ensemble, each next to the videos of the history that speak for it.

    The reasons are those of **this** list: each member explains its own score of each video, and
    counts by its share in the ensemble's (`Ensemble.history_contributions`). A member without
    reasons in the history, such as popularity, has its share and no video.

    Parameters
    ----------
    model : Stacked or Fusion
        Fitted; a stacked one has to be linear.
    user_ids : iterable of str
        Known, with a history.
    k, reasons : int
        Recommendations and reasons of each.

    Returns
    -------
    DataFrame
        `user_id, video_id, caption`: "because of" with the share of all that lifts the list above
        the user's average video; or the two members with the largest shares in what lifts a
        recommendation, such as "EASE 60%, content 30%".

    Raises
    ------
    KeyError
        If a user is unknown.
    NotExplainable
        If the ranker is a network, or no member can explain a user's list by a history.

    Examples
    --------
    Ann watched cats and a dog, and is shown the third cat: because of the cats, say the contents.

    >>> from vidrec_utils.content_based import ContentRecommender
    >>> from vidrec_utils.hybrid import WeightedFusion
    >>> from vidrec_utils.recommender import Popularity
    >>> topic = pd.DataFrame({"cat": [1, 1, 1, 0, 0], "dog": [0, 0, 0, 1, 1]}, index=list("abcde"))
    >>> log = pd.DataFrame(
    ...     [("ann", "a"), ("ann", "b"), ("ann", "d"), ("bob", "c"), ("cem", "e")],
    ...     columns=["user_id", "video_id"],
    ... ).assign(watch_ratio=1.0)
    >>> fused = WeightedFusion([ContentRecommender(topic), Popularity()], blind=()).fit(log)
    >>> print(explained_lists(fused, ["ann"], k=1, reasons=2).to_string(index=False))
    user_id video_id                     caption
        ann        a              because of 50%
        ann        b              because of 50%
        ann        c content 100%, popularity 0%
    """
    rows = []
    for user in user_ids:
        listed = explained_list(model, user, k, reasons)
        for video, kind, share in listed[["video_id", "kind", "share"]].itertuples(index=False):
            caption = f"{kind} {share:.0%}"
            if kind == "recommended":
                largest = model.member_shares(user, video).head(2)
                caption = ", ".join(f"{name} {part:.0%}" for name, part in largest.items())
            rows.append((user, video, caption))
    return pd.DataFrame(rows, columns=["user_id", "video_id", "caption"])


def features(
    scores: np.ndarray,
    events: np.ndarray,
    log_events: bool = True,
    unknown: np.ndarray | None = None,
) -> np.ndarray:
    """Features of each user and video, for a ranker.

    Parameters
    ----------
    scores : ndarray of float32, shape (n_members, n_users, n_videos)
        The members' scores, NaN where one has none: it then counts as its row's lowest.
    events : ndarray, shape (n_videos,)
        Events of each video.
    log_events : bool
        Whether `log(1 + events)` is among the features.
    unknown : ndarray of bool, shape (n_members, n_videos), optional
        Which videos a member knows nothing about, whatever score it gives them. They are left out
        of its normalisation and its ranks, and get the mean of both: nothing is said of them.

    Returns
    -------
    ndarray of float32, shape (n_users, n_videos, 3 * n_members + 1 + log_events)
        Normalised scores, reciprocal ranks (`60 / (60 + rank)`), normalised scores times
        `1 / (1 + events)`, `log(1 + events)` if it is asked for, and `1 / (1 + events)`.
    """
    if unknown is not None:
        unknown = np.broadcast_to(unknown[:, None], scores.shape)
        scores = np.where(unknown, np.float32(np.nan), scores)
    values = normalized(scores)  # (n_members, n_users, n_videos)
    ranks = 60 * reciprocal_ranks(scores)
    # a gap counts as the lowest value of its row
    for table in (values, ranks):
        finite = np.isfinite(table)
        if unknown is not None:
            count = np.maximum(finite.sum(axis=-1, keepdims=True), 1)
            mean = np.where(finite, table, 0).sum(axis=-1, keepdims=True) / count
            np.copyto(table, mean.astype(np.float32), where=unknown)
            finite = finite | unknown
        lowest = smallest(table, finite)
        lowest = np.where(np.isfinite(lowest), lowest, 0)
        np.copyto(table, lowest, where=~finite)
    # features of a video alone, the same for all users: (1 or 2, n_users, n_videos)
    rarity = (1 / (1 + events)).astype(np.float32)
    alone = [np.log1p(events).astype(np.float32), rarity] if log_events else [rarity]
    of_video = np.broadcast_to(np.stack(alone)[:, None], (len(alone), *scores.shape[1:]))
    return np.moveaxis(np.concatenate([values, ranks, values * rarity, of_video]), 0, -1)


def in_time(
    interactions: pd.DataFrame, share: float, ordered: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Which events are earlier and which are the latest `share`, as masks; equal times stay united.

    Parameters
    ----------
    interactions : DataFrame
        One row per event.
    share : float
        Share of the events that are the latest.
    ordered : bool
        Cut by row: the rows are in the order in which things happened.

    Raises
    ------
    ValueError
        If no event has a timestamp, and the rows are not `ordered`.

    Examples
    --------
    >>> log = pd.DataFrame({"timestamp": pd.date_range("2025-01-01", periods=4)})
    >>> [mask.tolist() for mask in in_time(log, share=0.5)]
    [[True, True, False, False], [False, False, True, True]]
    """
    n = len(interactions)
    if ordered:
        late = np.arange(n) >= n - round(share * n)
        return ~late, late
    times = times_of(
        interactions,
        "so nothing shows which events came later. Stacking needs times, or ordered=True if the "
        "rows are in the order in which things happened",
    )
    if not n:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    cut = times.quantile(1 - share, interpolation="higher")
    late = (times >= cut).to_numpy(dtype=bool)
    return ~late, late


def drawn(
    seen: sparse.csr_array,
    targets: sparse.csr_array,
    negatives: int,
    rng: np.random.Generator,
    published: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Liked videos that are new to their user, and others drawn without replacement.

    Parameters
    ----------
    seen, targets : csr_array, shape (n_users, n_videos)
        What each user was shown before, and liked later.
    negatives : int
        Videos drawn for each liked one, if there are as many.
    rng : Generator
        Draws them.
    published : ndarray of bool, shape (n_users, n_videos), optional
        What could have been shown to each user: only such videos are drawn. Default: all.

    Returns
    -------
    row, column : ndarray of int
        Pairs.
    label : ndarray of bool
        Whether liked.
    """
    rows, columns, labels = [], [], []
    for row in range(seen.shape[0]):
        target = targets.indices[targets.indptr[row] : targets.indptr[row + 1]]
        known = seen.indices[seen.indptr[row] : seen.indptr[row + 1]]
        good = np.setdiff1d(target, known)
        available = np.arange(seen.shape[1])
        available = available if published is None else available[published[row]]
        candidates = np.setdiff1d(available, np.union1d(target, known))
        count = min(negatives * len(good), len(candidates))
        chosen = candidates[:0]
        if count:
            chosen = np.sort(rng.choice(candidates, count, replace=False))
        columns.append(np.concatenate([good, chosen]))
        rows.append(np.full(len(columns[-1]), row))
        labels.append(np.arange(len(columns[-1])) < len(good))
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(labels)


def last_times(interactions: pd.DataFrame, user_ids: pd.Index) -> pd.Series:
    """Time of the last event of each user, by user; NaT where no time is known."""
    if "timestamp" not in interactions or interactions["timestamp"].isna().all():
        return pd.Series(pd.NaT, index=user_ids, dtype="datetime64[ns, UTC]")
    times = times_of(interactions, "so nothing shows what could have been shown")
    return times.groupby(as_ids(interactions["user_id"]).to_numpy()).max().reindex(user_ids)


def event_counts(seen: sparse.csr_array) -> np.ndarray:
    """Number of events of each video, float32."""
    return np.asarray(seen.sum(axis=0), dtype=np.float32).ravel()
