"""Signals as numbers: what an event says, and how much preference it expresses."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vidrec_utils import arguments

if TYPE_CHECKING:
    from vidrec_utils.events.labels import LabelRule

SIGNALS = ("watch_ratio", "liked", "shared", "comment")
"""Columns in which an event can say how it ended, and that it ended well."""

WATCH_SIGNALS = ("ratio", "percentile", "gain", "label")
"""What `event_weights` can make of how long somebody watched."""

NO_SIGNAL = (
    "No event says how it ended (no watch_ratio, liked, shared or comment), so all events count "
    "alike: each weighs 1 when models are fitted, and is a success when they are measured. Give "
    "one of these columns, or weights of your own, if that is not what you mean."
)


def signals(interactions: pd.DataFrame) -> list[str]:
    """Signals that at least one event has, of `SIGNALS`; a blank comment is none.

    Examples
    --------
    >>> log = pd.DataFrame({"watch_ratio": [0.3, None], "liked": [None, None], "comment": " "})
    >>> signals(log)
    ['watch_ratio']
    """
    return [column for column in SIGNALS if has_signal(interactions, column).any()]


WARNED: set[str] = set()
"""Warnings that this process has given, see `warn_once`."""


def warn_once(message: str) -> None:
    """Warn once in a process, where Python is asked to show a warning once at all.

    Python's own memory does not do for this: it is lost whenever a library changes the filters of
    warnings for a while, as NumPy, SciPy and PyTorch do. Where a filter asks for errors, or to show
    every warning (as `pytest.warns` does), each call warns.
    """
    actions = [
        action
        for action, pattern, category, *_ in warnings.filters
        if issubclass(UserWarning, category) and (pattern is None or pattern.match(message))
    ]
    each = bool(actions) and actions[0] in ("always", "all", "error")
    if each or message not in WARNED:
        WARNED.add(message)
        warnings.warn(message, UserWarning, stacklevel=3)


def event_weights(
    interactions: pd.DataFrame,
    watch: float = 1.0,
    like: float = 1.0,
    share: float = 1.0,
    comment: float = 0.5,
    sentiment: pd.Series | None = None,
    *,
    dislike: float = 0.0,
    signal: str = "ratio",
    rule: LabelRule | None = None,
) -> pd.Series:
    """Preference that each event expresses, as one number.

    `weight = watch * watched + like * liked + share * shared + comment * (has a comment)`, where
    `watched` is the watch ratio, cut to 0..1 (a loop played twice is not twice the taste), or
    another `signal` of the watch time. A signal that is NA, or a column that is absent, contributes
    nothing: not knowing is not disliking. A disliked event weighs `-dislike`, whatever else it
    says: 0 takes it out. In a log without any signal, which holds only who was shown what, each
    event that was not disliked weighs 1, and a warning says so once.

    Weights train models; a label judges their lists (see `events.labels`). The two need not agree:
    a model that is trained on the watch ratio and judged by a label that is free of duration learns
    to prefer short videos for nothing.

    Parameters
    ----------
    interactions : DataFrame
        One row per exposure; columns `watch_ratio, liked, shared, comment, disliked`, each
        optional.
    watch, like, share, comment : float
        How much each signal counts.
    sentiment : Series of float, optional
        Sentiment of each comment in -1..1, aligned with `interactions`. With it, a comment
        counts `comment * sentiment` (NA: nothing); without, any comment counts as interest.
    dislike : float
        How much a dislike counts against a video, at least 0. Above 0 it makes negative weights,
        which not every model can be fitted to.
    signal : {"ratio", "percentile", "gain", "label"}
        What the watch time says: the watch ratio; the share of training exposures of like duration
        that were watched less long; the standardised watch time among them, through the normal
        distribution, so that an average view weighs one half; or 1 for what `rule` calls positive
        and 0 for all else.
    rule : LabelRule, optional
        For all signals but the ratio: a rule of `events.fit_label`, which knows the durations and
        how long training exposures were watched.

    Returns
    -------
    Series of float64
        Aligned with `interactions`, named `"weight"`.

    Raises
    ------
    ValueError
        If there is no such signal, it needs a rule and there is none, or `dislike` is negative.

    Examples
    --------
    >>> log = pd.DataFrame({"watch_ratio": [0.25, 1.0, 3.0], "liked": [False, True, None]})
    >>> event_weights(log).tolist()
    [0.25, 2.0, 1.0]
    >>> event_weights(log, watch=2, like=0).tolist()
    [0.5, 2.0, 2.0]
    >>> event_weights(log.assign(disliked=[None, False, True]), dislike=0.5).tolist()
    [0.25, 2.0, -0.5]
    """
    arguments.at_least(0, dislike=dislike)
    arguments.one_of(WATCH_SIGNALS, signal=signal)
    if signal != "ratio" and rule is None:
        raise ValueError(
            f"The signal {signal!r} compares with training exposures; give a rule of "
            "events.fit_label, fitted to them."
        )
    judged = sentiment is not None and bool(sentiment.notna().any())
    if len(interactions) and not judged and not signals(interactions):
        warn_once(NO_SIGNAL)
        total = pd.Series(1.0, index=interactions.index, name="weight")
        return _without_dislikes(total, interactions, dislike)
    total = pd.Series(0.0, index=interactions.index, name="weight")
    if rule is not None and signal != "ratio":
        total += watch * rule.watched(interactions, signal)
    elif "watch_ratio" in interactions:
        total += watch * as_numbers(interactions["watch_ratio"]).clip(0, 1)
    if "liked" in interactions:
        total += like * as_numbers(interactions["liked"])
    if "shared" in interactions:
        total += share * as_numbers(interactions["shared"])
    if sentiment is not None:
        total += comment * as_numbers(sentiment.reindex(interactions.index)).clip(-1, 1)
    elif "comment" in interactions:
        total += comment * _has_text(interactions["comment"]).astype(float)
    return _without_dislikes(total, interactions, dislike)


def disliked_events(interactions: pd.DataFrame) -> np.ndarray:
    """Which events were disliked, bool `(n,)`; an NA, or an absent column, is no dislike.

    Examples
    --------
    >>> disliked_events(pd.DataFrame({"disliked": [True, False, None]})).tolist()
    [True, False, False]
    """
    if "disliked" not in interactions:
        return np.zeros(len(interactions), dtype=bool)
    return (as_numbers(interactions["disliked"]) > 0).to_numpy()


def _without_dislikes(total: pd.Series, interactions: pd.DataFrame, dislike: float) -> pd.Series:
    """Weights in which a disliked event has minus the weight of a dislike."""
    disliked = disliked_events(interactions)
    return total.mask(disliked, -dislike if dislike else 0.0) if disliked.any() else total


def has_signal(interactions: pd.DataFrame, column: str) -> pd.Series:
    """Whether each event has the signal of a column."""
    if column not in interactions:
        return pd.Series(False, index=interactions.index)
    values = interactions[column]
    return _has_text(values) if column == "comment" else values.notna()


def _has_text(comments: pd.Series) -> pd.Series:
    """Whether there is a comment that is not blank."""
    return comments.notna() & (comments.astype("str").str.strip() != "")


def as_numbers(signal: pd.Series) -> pd.Series:
    """A numeric or boolean signal as float64, NA as 0."""
    return pd.to_numeric(signal).astype("Float64").fillna(0.0).astype("float64")
