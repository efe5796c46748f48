"""Labels: which exposures count as a success, by rules that are learned from training exposures.

Four fifths of ten seconds are cheaper than four fifths of five minutes. So "watched to four fifths"
follows duration: on KuaiRand-Pure, "the shorter video first" alone predicts it with an AUC of .68,
and a recommender that is trained or judged by it may win by preferring short videos. Each label
here is a rule about the watch time, or a like; a dislike overrules both.

============= =====================================================================================
label         an exposure is positive if it was liked, or
============= =====================================================================================
`quantile`    watched for at least the 75% quantile of the watch times of videos of like duration
              (the default where durations vary; D2Q, arXiv:2206.06003)
`ratio`       watched to at least four fifths (the default elsewhere)
`seconds`     watched for at least the 75% quantile of all watch times
`gain`        its watch time, standardised among those of videos of like duration, is at or above
              the 75% quantile of all such values (DVR, arXiv:2208.05190)
`censored`    watched for at least the 75% quantile of its group of like duration, where views that
              ended with the video were cut short by its end (Kaplan-Meier); such a view below the
              quantile counts neither way, and is NA (CWM, arXiv:2406.07932)
`own_history` watched for at least the 75% quantile of the user's own views of like duration
============= =====================================================================================

A quantile is the smallest observed value that at least so many values do not exceed. So where all
videos last equally long, `quantile`, `seconds` and `gain` agree exactly, and agree with `ratio` at
the threshold that the quantile means. `censored` agrees, too, unless views were cut short by the
end; `own_history` compares with other views, those of one user, and may always differ.

Where more than a quarter of the views of equally long videos end exactly with them, all of these
are at the quantile, so that short videos get more positives than a quarter. `censored` calls such
views NA instead, and `leaks.duration_bias` measures whether it matters.
"""

from __future__ import annotations

from typing import TypeAlias

import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.events.durations import LEAST_EXPOSURES, MOST_GROUPS, durations_vary
from vidrec_utils.events.rules import (
    Censored,
    Gain,
    LabelRule,
    OwnHistory,
    Quantile,
    Ratio,
    Seconds,
    read_views,
    require_watch_times,
)
from vidrec_utils.events.weights import NO_SIGNAL, signals, warn_once

THRESHOLD = 0.8
"""Watch ratio of a success by the label `ratio`."""
QUANTILE = 0.75

FEWEST_EXPOSURES = 5 * LEAST_EXPOSURES
"""Training exposures that `quantile` needs to be the default: with fewer than five groups those of
one group do not last alike."""
KNOWN_SHARE = 0.8
"""Share of the watched training exposures whose duration has to be known for that."""

Label: TypeAlias = "str | LabelRule | None"
"""The name of a label, a rule that was fitted before, or None for the default."""


RULES: dict[str, type[LabelRule]] = {
    rule.label: rule for rule in (Quantile, Ratio, Seconds, Gain, Censored, OwnHistory)
}
LABELS = tuple(RULES)
"""Names of the labels; the module says what each means."""


def fit_label(
    exposures: pd.DataFrame,
    videos: pd.DataFrame | None = None,
    label: Label = None,
    *,
    threshold: float | None = None,
    quantile: float = QUANTILE,
    most_groups: int = MOST_GROUPS,
    least_exposures: int = LEAST_EXPOSURES,
) -> LabelRule:
    """Fit the rule of a label to training exposures, to be applied to them and to later ones.

    Parameters
    ----------
    exposures : DataFrame
        The training exposures; columns `user_id, video_id, watch_ratio, liked`, and `duration_s` if
        the log has it.
    videos : DataFrame, optional
        The catalogue, whose `duration_s` says how long each video lasts. A duration that is zero,
        negative or missing is unknown: such exposures are positive only if they were liked.
    label : {"quantile", "ratio", "seconds", "gain", "censored", "own_history"}, optional
        See the module. By default `quantile` where durations vary: where the 90% quantile of the
        training exposures' durations exceeds the 10% quantile by more than a fifth (so that a few
        wrong durations do not decide), at least 1,000 of them have a watch time, and the duration
        of at least four fifths of those with a watch ratio is known. Elsewhere `ratio`, which in
        logs without watch ratios judges by likes, without these by shares and comments, and
        without any signal takes every exposure for a success. A rule that was fitted before is
        returned as it is.
    threshold : float, optional
        Least watch ratio of `ratio`, .8 by default. Given without a label, it means `ratio`.
    quantile : float
        Quantile of the watch times from which on an exposure is positive.
    most_groups, least_exposures : int
        Groups of like duration are quantiles of the training exposures' durations: so many if each
        gets at least so many exposures, else fewer. A group of one exposure has that one as its
        quantile, and a standardised watch time of 0.

    Returns
    -------
    LabelRule

    Raises
    ------
    ValueError
        If there is no such label, the training exposures lack what it compares, a threshold is
        given to another label than `ratio`, or the quantile is not between 0 and 1.

    Examples
    --------
    Twice as many seconds are the same success for a video twice as long:

    >>> import numpy as np
    >>> videos = pd.DataFrame({"duration_s": [10.0, 20.0]}, index=["short", "long"])
    >>> train = pd.DataFrame({"user_id": "ann", "video_id": ["short", "long"] * 4})
    >>> train["watch_ratio"] = [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4]
    >>> rule = fit_label(train, videos, "quantile", least_exposures=4)
    >>> print(rule.least_s(np.array([10.0, 20.0])))
    [3. 6.]
    >>> later = pd.DataFrame({"user_id": "bob", "video_id": ["short", "long"], "watch_ratio": 0.3})
    >>> rule.positives(later).tolist()
    [True, True]
    >>> fit_label(train, videos, "seconds").positives(later).tolist()
    [False, True]
    """
    if isinstance(label, LabelRule):
        return label
    if label is not None:
        arguments.one_of(LABELS, label=label)
    if threshold is not None and label not in (None, "ratio"):
        raise ValueError(
            f"threshold is a watch ratio, which the label {label!r} does not compare; leave it "
            'out, or say label="ratio".'
        )
    arguments.share(quantile=quantile)
    durations = videos["duration_s"] if videos is not None and "duration_s" in videos else None
    if label is None:
        by_ratio = threshold is not None or not _is_quantile_better(exposures, durations)
        label = "ratio" if by_ratio else "quantile"
    else:
        views = read_views(exposures, durations)
        require_watch_times(f"The label {label!r}", views, label == "ratio")
        if label == "own_history" and "user_id" not in exposures:
            raise ValueError(
                "The label 'own_history' compares a view with others of its user, and the training "
                "exposures have no column user_id."
            )
    return RULES[label](
        exposures,
        durations,
        THRESHOLD if threshold is None else threshold,
        quantile,
        most_groups,
        least_exposures,
    )


def positives(
    interactions: pd.DataFrame,
    videos: pd.DataFrame | None = None,
    label: Label = None,
    train: pd.DataFrame | None = None,
    *,
    threshold: float | None = None,
) -> pd.Series:
    """Which exposures are a success, by a label that is fitted to training exposures.

    Parameters
    ----------
    interactions : DataFrame
        Columns `watch_ratio`, `liked`, `disliked`, `shared`, `comment`, each optional. An NA signal
        says nothing, so it never makes a positive; a disliked exposure is never one.
    videos : DataFrame, optional
        The catalogue, with `duration_s` if it is known.
    label : str or LabelRule, optional
        See `fit_label`, also for the default.
    train : DataFrame, optional
        The exposures that quantiles are learned from; by default `interactions` themselves, which
        describes a log but must not judge anything that was fitted to a part of it.
    threshold : float, optional
        Least watch ratio of `ratio`.

    Returns
    -------
    Series of bool, or of "boolean" where the label is `censored`
        Aligned with `interactions`; NA counts neither way.

    Warns
    -----
    UserWarning
        Once, if no event has any signal, so that all of them are taken for successes.

    Examples
    --------
    >>> views = pd.DataFrame({"watch_ratio": [0.9, 0.2, 0.2], "liked": [None, True, False]})
    >>> positives(views).tolist()
    [True, True, False]
    """
    if len(interactions) and not signals(interactions):
        warn_once(NO_SIGNAL)
    rule = fit_label(interactions if train is None else train, videos, label, threshold=threshold)
    return rule.positives(interactions)


def _is_quantile_better(exposures: pd.DataFrame, durations: pd.Series | None) -> bool:
    """Whether `quantile` is the default for a log; see `fit_label`."""
    views = read_views(exposures, durations)
    watched = views.rated
    if views.known.sum() < max(FEWEST_EXPOSURES, KNOWN_SHARE * watched.sum()):
        return False
    return durations_vary(views.durations[views.known])
