"""The rules behind the labels: what each learns from training exposures, and how it judges others.

`labels.fit_label` makes them, and the module `labels` says what each means.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import ndtr

from vidrec_utils import arguments
from vidrec_utils.events.durations import DurationGroups, exposure_durations
from vidrec_utils.events.matrices import as_ids
from vidrec_utils.events.quantiles import (
    completed_views,
    kaplan_meier_quantile,
    percentile_among,
    smallest_quantile,
)
from vidrec_utils.events.weights import as_numbers, disliked_events, event_weights, signals

OWN_VIEWS = 10
"""Views of like duration that a user's own quantile needs; with fewer it is everybody's."""
OWN_FACTOR = 1.5
"""A user's own views are of like duration if neither video lasts more than so many times longer."""

NOT_DISLIKED = ", and not disliked"


def ended_well(interactions: pd.DataFrame, threshold: float = 0.8) -> pd.Series:
    """Which exposures were watched to a threshold or liked, and not disliked, as a Series of bool.

    Without watch ratios and likes, those that were shared or commented on; without any signal, all.
    """
    available = signals(interactions)
    if not available:
        good = pd.Series(True, index=interactions.index)
    elif not {"watch_ratio", "liked"} & set(available):
        good = event_weights(interactions) > 0
    else:
        absent = pd.Series(np.nan, index=interactions.index)
        watched = pd.to_numeric(interactions.get("watch_ratio", absent)).astype("Float64")
        liked = interactions.get("liked", absent).astype("boolean")
        good = ((watched >= threshold).fillna(False) | liked.fillna(False)).astype(bool)
    return (good & ~disliked_events(interactions)).rename("positive")


def success(interactions: pd.DataFrame, threshold: float = 0.8) -> str:
    """What `ended_well` takes for an exposure that ended well, in words.

    Examples
    --------
    >>> success(pd.DataFrame({"user_id": ["u"], "video_id": ["a"]}))
    'every exposure, since no signal says how it ended'
    """
    available = signals(interactions)
    if {"watch_ratio", "liked"} & set(available):
        words = f"watch ratio >= {threshold:g} or liked"
    elif available:
        words = "shared or commented on"
    else:
        words = "every exposure, since no signal says how it ended"
    return words + (NOT_DISLIKED if disliked_events(interactions).any() else "")


@dataclass(frozen=True, eq=False)
class Views:
    """Exposures as arrays of shape (n,): `users` (ids), and `ratios`, `durations`, `seconds`.

    The latter three are float64, NaN where unknown; seconds are to the microsecond, so that equal
    watch times stay equal whatever they were divided by.
    """

    users: pd.Index
    ratios: np.ndarray
    durations: np.ndarray
    seconds: np.ndarray

    @property
    def rated(self) -> np.ndarray:
        """Exposures with a watch ratio, bool `(n,)`."""
        return np.isfinite(self.ratios)

    @property
    def known(self) -> np.ndarray:
        """Exposures with a watch time, bool `(n,)`."""
        return np.isfinite(self.seconds)


def read_views(interactions: pd.DataFrame, durations: pd.DataFrame | pd.Series | None) -> Views:
    """Exposures as arrays; see `Views` and `durations.exposure_durations`."""
    absent = pd.Series(np.nan, index=interactions.index)
    column = pd.to_numeric(interactions.get("watch_ratio", absent)).astype("Float64")
    ratios = column.to_numpy(dtype="float64", na_value=np.nan)
    known = exposure_durations(interactions, durations)
    users = interactions.get("user_id", absent)
    return Views(as_ids(users), ratios, known, np.round(ratios * known, 6))


class LabelRule(ABC):
    """A label as a rule that was fitted to training exposures, and holds for any others.

    Made by `fit_label`, which documents the arguments. What a rule learns (groups of like duration,
    quantiles) comes from the training exposures alone.

    Attributes
    ----------
    label : str
        Its name.
    groups : DurationGroups
        Groups of like duration of the training exposures.
    n_train : int
        Training exposures with a known watch time.
    n_unknown : int
        Training exposures without one: their video has no usable duration, or nobody knows how far
        it was watched. Such exposures are positive only if they were liked.
    """

    label: ClassVar[str]
    judges_all: ClassVar[bool] = True
    """Whether every exposure is positive or negative; else some are NA, and count neither way."""

    def __init__(
        self,
        exposures: pd.DataFrame,
        durations: pd.Series | None,
        threshold: float,
        quantile: float,
        most_groups: int,
        least_exposures: int,
    ) -> None:
        self.threshold = threshold
        self.quantile = quantile
        self._durations = durations
        self._train = views = read_views(exposures, durations)
        self._dislikes = bool(disliked_events(exposures).any())
        self.groups = DurationGroups(views.durations[views.known], most_groups, least_exposures)
        self._group = self.groups.of(views.durations)  # of each training exposure, (n,)
        self.n_train = int(views.known.sum())
        self.n_unknown = len(exposures) - self.n_train
        self._fit(views)

    # -- what a label defines ----------------------------------------------------------------------

    @abstractmethod
    def _fit(self, views: Views) -> None:
        """Learn thresholds from the training exposures."""

    @abstractmethod
    def _strength(self, views: Views) -> np.ndarray:
        """What is compared with a threshold, float64 `(n,)`; NaN where unknown."""

    @abstractmethod
    def _watched(self, views: Views) -> np.ndarray:
        """Which exposures were watched long enough, bool `(n,)`."""

    def _neither(self, views: Views) -> np.ndarray:
        """Which exposures the rule cannot judge, bool `(n,)`."""
        return np.zeros(len(views.seconds), dtype=bool)

    @abstractmethod
    def _rule_in_words(self) -> str:
        """What is compared with what."""

    # -- what callers use --------------------------------------------------------------------------

    def positives(self, exposures: pd.DataFrame) -> pd.Series:
        """Which exposures are positive.

        Parameters
        ----------
        exposures : DataFrame
            Those that the rule was fitted to, or later ones; columns `user_id, video_id,
            watch_ratio, liked, disliked`, as far as there are any.

        Returns
        -------
        Series of bool, or of "boolean" where the label is `censored`
            Aligned with `exposures`, named `"positive"`. NA counts neither way.
        """
        views = read_views(exposures, self._durations)
        liked = as_numbers(exposures["liked"]) > 0 if "liked" in exposures else False
        disliked = disliked_events(exposures)
        good = (self._watched(views) | np.asarray(liked)) & ~disliked
        result = pd.Series(good, index=exposures.index, name="positive", dtype=bool)
        if not self.judges_all:
            return result.astype("boolean").mask(self._neither(views) & ~good & ~disliked)
        return result

    def strength(self, exposures: pd.DataFrame) -> pd.Series:
        """What the rule compares with its threshold, as a number; likes and dislikes apart.

        The watch ratio, the seconds, the standardised watch time, or the share of the training
        exposures (of like duration, or of the user's own) that were watched less long; of ties half
        counts.

        Returns
        -------
        Series of float64
            NaN where the watch time is unknown.
        """
        values = self._strength(read_views(exposures, self._durations))
        return pd.Series(values, index=exposures.index, name=self.label, dtype="float64")

    def least_s(self, durations: np.ndarray | float) -> np.ndarray:
        """Least watch time of a positive that was not liked, in seconds, for videos of some length.

        Parameters
        ----------
        durations : ndarray or float
            In seconds.

        Returns
        -------
        ndarray of float64, the shape of `durations`
            NaN where the duration is unknown; infinite where no watch time is enough.

        Raises
        ------
        ValueError
            If the label's threshold is not one of seconds, but differs from user to user.
        """
        durations = np.asarray(durations, dtype=float)
        values = self._least_s(np.atleast_1d(durations))
        unknown = np.isnan(np.atleast_1d(durations))
        return np.where(unknown, np.nan, values).reshape(durations.shape)

    def _least_s(self, durations: np.ndarray) -> np.ndarray:
        raise ValueError(f"The label {self.label!r} has no threshold in seconds for everybody.")

    def watched(self, exposures: pd.DataFrame, signal: str) -> pd.Series:
        """How much an exposure was watched, from 0 to 1, for `event_weights`.

        Parameters
        ----------
        exposures : DataFrame
            Any exposures.
        signal : {"percentile", "gain", "label"}
            See `event_weights`. What is unknown, or NA, is 0.

        Raises
        ------
        ValueError
            If there is no such signal, or the training exposures have no watch times.
        """
        arguments.one_of(("percentile", "gain", "label"), signal=signal)
        if signal == "label":
            values = self.positives(exposures).fillna(False).to_numpy(dtype=float)
            return pd.Series(values, index=exposures.index, dtype="float64")
        require_watch_times(f"The signal {signal!r}", self._train, ratio_is_enough=False)
        views = read_views(exposures, self._durations)
        if signal == "percentile":
            values = self._percentile(views)
        else:
            mean, deviation = self._mean_and_deviation()
            values = ndtr(_standardised(views, self.groups, mean, deviation))
        return pd.Series(values, index=exposures.index, dtype="float64").fillna(0.0)

    @property
    def words(self) -> str:
        """What counts as a success, in words."""
        return self._in_words(self._dislikes)

    def _in_words(self, dislikes: bool) -> str:
        text = f"{self._rule_in_words()}, or liked{NOT_DISLIKED if dislikes else ''}"
        if self.n_unknown:
            text += (
                f"; exposures of unknown watch time ({self.n_unknown:,} in training) only if liked"
            )
        return text + self._neither_in_words()

    def describe(self, exposures: pd.DataFrame) -> str:
        """`words`, for some exposures, which may have dislikes or lack signals.

        Parameters
        ----------
        exposures : DataFrame
            Those that the rule is applied to.
        """
        return self._in_words(self._dislikes or bool(disliked_events(exposures).any()))

    def _neither_in_words(self) -> str:
        return ""

    def _from_training(self) -> str:
        return f"learned from {self.n_train:,} training exposures"

    def by_duration(self) -> pd.DataFrame:
        """One row for each group of like duration of the training exposures.

        Returns
        -------
        DataFrame
            `longest_s` (infinite for the last group), `exposures`, `least_s` (least watch time of a
            positive at the group's median duration; NaN where the threshold is not one of seconds),
            indexed by `group`, the shortest first.
        """
        known = self._train.known
        durations = pd.Series(self._train.durations[known]).groupby(self._group[known]).median()
        middle = durations.reindex(range(len(self.groups))).to_numpy()
        try:
            least = self.least_s(middle)
        except ValueError:
            least = np.full(len(middle), np.nan)
        columns = {
            "longest_s": np.append(self.groups.edges, np.inf),
            "exposures": self.groups.sizes,
            "least_s": least,
        }
        return pd.DataFrame(columns).rename_axis("group")

    # -- what labels share -------------------------------------------------------------------------

    def _by_group(self) -> list[np.ndarray]:
        """Sorted watch times of the training exposures of each group."""
        group = np.where(self._train.known, self._group, -1)
        return [np.sort(self._train.seconds[group == g]) for g in range(len(self.groups))]

    def _percentile(self, views: Views) -> np.ndarray:
        """Share of the training exposures of like duration that were watched less long."""
        return _group_percentiles(views, self.groups, self._by_group())

    def _mean_and_deviation(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the watch times of each group, `(n_groups,)`."""
        times = self._by_group()
        mean = np.array([t.mean() if len(t) else np.nan for t in times])
        return mean, np.array([t.std() if len(t) else np.nan for t in times])


class Quantile(LabelRule):
    """The label `quantile`: long for a video of its duration."""

    label = "quantile"

    def _fit(self, views: Views) -> None:
        self._least = np.array([smallest_quantile(t, self.quantile) for t in self._by_group()])

    def _strength(self, views: Views) -> np.ndarray:
        return self._percentile(views)

    def _watched(self, views: Views) -> np.ndarray:
        return views.seconds >= self._least_s(views.durations)

    def _least_s(self, durations: np.ndarray) -> np.ndarray:
        return _looked_up(self._least, self.groups.of(durations))

    def _rule_in_words(self) -> str:
        return (
            f"watch time at or above the {self.quantile:.0%} quantile of videos of like duration "
            f"({self.groups.words()}, {self._from_training()})"
        )


class Seconds(LabelRule):
    """The label `seconds`: long, whatever the video's duration."""

    label = "seconds"

    def _fit(self, views: Views) -> None:
        self._times = np.sort(views.seconds[views.known])
        self._least = smallest_quantile(self._times, self.quantile)

    def _strength(self, views: Views) -> np.ndarray:
        return views.seconds

    def _watched(self, views: Views) -> np.ndarray:
        return views.seconds >= self._least

    def _least_s(self, durations: np.ndarray) -> np.ndarray:
        return np.full(durations.shape, self._least)

    def _rule_in_words(self) -> str:
        return (
            f"watch time of at least {self._least:.4g} s (the {self.quantile:.0%} quantile, "
            f"{self._from_training()})"
        )


class Gain(LabelRule):
    """The label `gain`: long for a video of its duration, in standard deviations."""

    label = "gain"

    def _fit(self, views: Views) -> None:
        self._mean, self._deviation = self._mean_and_deviation()
        gains = self._strength(views)
        self._least = smallest_quantile(np.sort(gains[views.known]), self.quantile)

    def _strength(self, views: Views) -> np.ndarray:
        return _standardised(views, self.groups, self._mean, self._deviation)

    def _watched(self, views: Views) -> np.ndarray:
        return self._strength(views) >= self._least

    def _least_s(self, durations: np.ndarray) -> np.ndarray:
        group = self.groups.of(durations)
        # (s - mean) / deviation >= z, solved for s
        return _looked_up(self._mean, group) + self._least * _looked_up(self._deviation, group)

    def _rule_in_words(self) -> str:
        return (
            "watch time, standardised among videos of like duration, at or above its "
            f"{self.quantile:.0%} quantile ({self.groups.words()}, {self._from_training()})"
        )


class Censored(LabelRule):
    """The label `censored`: long for its duration, had the video not ended."""

    label = "censored"
    judges_all = False

    def _fit(self, views: Views) -> None:
        completed = completed_views(views.ratios)
        group = np.where(views.known, self._group, -1)
        self._least = np.array(
            [
                kaplan_meier_quantile(
                    views.seconds[group == g], completed[group == g], self.quantile
                )
                for g in range(len(self.groups))
            ]
        )

    def _strength(self, views: Views) -> np.ndarray:
        return self._percentile(views)

    def _watched(self, views: Views) -> np.ndarray:
        return views.seconds >= self._least_s(views.durations)

    def _neither(self, views: Views) -> np.ndarray:
        return completed_views(views.ratios) & ~self._watched(views)

    def _least_s(self, durations: np.ndarray) -> np.ndarray:
        return _looked_up(self._least, self.groups.of(durations))

    def _rule_in_words(self) -> str:
        return (
            f"watch time at or above the {self.quantile:.0%} Kaplan-Meier quantile of videos of "
            f"like duration ({self.groups.words()}, {self._from_training()})"
        )

    def _neither_in_words(self) -> str:
        unreached = int(np.isinf(self._least).sum())
        text = "; a completed view below it counts neither way"
        if unreached:
            text += f", which in {unreached} groups, whose views mostly end with the video, is all"
        return text


class OwnHistory(Quantile):
    """The label `own_history`: long for this user and a video of its duration."""

    label = "own_history"

    def _fit(self, views: Views) -> None:
        super()._fit(views)
        order = np.argsort(views.users.to_numpy(dtype=object)[views.known].astype(str))
        ids = views.users[views.known][order]
        names, starts = np.unique(ids.to_numpy(dtype=object).astype(str), return_index=True)
        bounds = [*starts, len(ids)]
        seconds, durations = (a[views.known][order] for a in (views.seconds, views.durations))
        self._own = {
            name: (seconds[a:b], durations[a:b])
            for name, a, b in zip(names, bounds, bounds[1:], strict=False)
            if b - a >= OWN_VIEWS
        }

    def _compared(self, views: Views) -> tuple[np.ndarray, np.ndarray]:
        """Own threshold and own percentile of each exposure, `(n,)`; NaN for too few own views."""
        least, share = (np.full(len(views.seconds), np.nan) for _ in range(2))
        rows_of = pd.Series(np.arange(len(views.seconds))).groupby(views.users.to_numpy()).indices
        for user, rows in rows_of.items():
            if str(user) not in self._own:
                continue
            seconds, durations = self._own[str(user)]
            times = views.durations[rows, None]  # (rows, 1)
            alike = (durations <= OWN_FACTOR * times) & (times <= OWN_FACTOR * durations)
            for row, own in zip(rows, alike, strict=True):
                if own.sum() >= OWN_VIEWS:
                    values = np.sort(seconds[own])
                    least[row] = smallest_quantile(values, self.quantile)
                    share[row] = percentile_among(values, views.seconds[[row]])[0]
        return least, share

    def _strength(self, views: Views) -> np.ndarray:
        _, share = self._compared(views)
        return np.where(np.isnan(share), self._percentile(views), share)

    def _watched(self, views: Views) -> np.ndarray:
        least, _ = self._compared(views)
        everybody = super()._least_s(views.durations)
        return views.seconds >= np.where(np.isnan(least), everybody, least)

    def _least_s(self, durations: np.ndarray) -> np.ndarray:
        raise ValueError(
            "The label 'own_history' compares with the user's own views, so it has no threshold in "
            "seconds for everybody."
        )

    def _rule_in_words(self) -> str:
        return (
            f"watch time at or above the {self.quantile:.0%} quantile of the user's own views of "
            f"like duration (within a factor of {OWN_FACTOR:g}; with fewer than {OWN_VIEWS} of "
            f"everybody's, {self.groups.words()}; {self._from_training()})"
        )


class Ratio(LabelRule):
    """The label `ratio`, and what takes its place in logs without watch ratios (`ended_well`)."""

    label = "ratio"

    def _fit(self, views: Views) -> None:
        pass

    def positives(self, exposures: pd.DataFrame) -> pd.Series:
        """Which exposures are positive; see `LabelRule.positives` and `ended_well`."""
        return ended_well(exposures, self.threshold)

    def _strength(self, views: Views) -> np.ndarray:
        return views.ratios

    def _watched(self, views: Views) -> np.ndarray:
        return views.ratios >= self.threshold

    def _least_s(self, durations: np.ndarray) -> np.ndarray:
        return self.threshold * durations

    def _rule_in_words(self) -> str:
        return f"watch ratio >= {self.threshold:g}"

    @property
    def words(self) -> str:
        """What counts as a success, in words."""
        return f"{self._rule_in_words()} or liked" + (NOT_DISLIKED if self._dislikes else "")

    def describe(self, exposures: pd.DataFrame) -> str:
        """`words`, for some exposures, which may have dislikes or lack signals."""
        return success(exposures, self.threshold)


def require_watch_times(owner: str, views: Views, ratio_is_enough: bool) -> None:
    """Refuse to compare watch times that nobody knows, in a sentence."""
    if not views.rated.any():
        raise ValueError(
            f"{owner} compares how long videos were watched, and no training exposure has a "
            "watch_ratio. Without a label, likes, shares and comments decide."
        )
    if not ratio_is_enough and not views.known.any():
        raise ValueError(
            f"{owner} compares seconds watched, and no training exposure with a watch_ratio has a "
            "usable duration: give videos with duration_s (in seconds, above 0), or a column "
            'duration_s of the log. label="ratio" needs none.'
        )


def _looked_up(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """A value of each exposure's group, `(n,)`; NaN without a group."""
    return np.where(group >= 0, values[group], np.nan)


def _standardised(
    views: Views, groups: DurationGroups, mean: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    """Watch times in standard deviations from the mean of their group; 0 where none deviates."""
    group = groups.of(views.durations)
    spread = _looked_up(deviation, group)
    distance = views.seconds - _looked_up(mean, group)
    gain = distance / np.where(spread > 0, spread, 1)
    return np.where(spread > 0, gain, np.where(np.isnan(distance), np.nan, 0.0))


def _group_percentiles(views: Views, groups: DurationGroups, times: list[np.ndarray]) -> np.ndarray:
    """Share of the sorted times of each exposure's group that are shorter; of ties half counts."""
    group = np.where(views.known, groups.of(views.durations), -1)
    result = np.full(len(group), np.nan)
    for number, values in enumerate(times):
        inside = group == number
        result[inside] = percentile_among(values, views.seconds[inside])
    return result
