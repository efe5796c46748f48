"""What a platform sees of somebody's taste, one signal at a time.

`recommender.event_weights` adds all signals up. Here each stands alone, so that its value can be
measured: fit the same model on the weights of one signal, and compare. Signals train; the label by
which the lists are judged is another choice (`events.labels`), and where the two are made from the
same watch ratio, both may follow duration and agree for the wrong reason.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from vidrec_utils import events
from vidrec_utils.events import LabelRule, disliked_events, event_weights

SIGNALS = {
    "shown": "an exposure, whatever came of it: the watch history",
    "watch ratio": "the share of the video that was watched, cut to 0..1",
    "finished": "watched to at least four fifths",
    "watch percentile": "the share of views of like duration that were shorter",
    "watch gain": "the watch time, standardised among views of like duration, from 0 to 1",
    "success": "positive by the label of the rule",
    "liked": "a like",
    "shared": "a share",
    "comment": "any comment, friendly or not",
    "sentiment": "a comment's sentiment, from -1 to 1",
}
"""Signals, and what an event tells by each of them."""

COLUMNS = {
    "watch ratio": "watch_ratio",
    "finished": "watch_ratio",
    "liked": "liked",
    "shared": "shared",
    "comment": "comment",
    "sentiment": "comment",
}
"""Column of the interactions that a signal is read from; being shown needs none."""

OF_RULE = {"watch percentile": "percentile", "watch gain": "gain", "success": "label"}
"""Signals that need a rule of `events.fit_label`, and what `event_weights` calls them."""

OFF = {"watch": 0.0, "like": 0.0, "share": 0.0, "comment": 0.0}


def signal_weights(
    interactions: pd.DataFrame,
    signal: str,
    sentiment: pd.Series | None = None,
    finished_at: float = 0.8,
    rule: LabelRule | None = None,
) -> pd.Series:
    """Weight of each event by one signal alone.

    An event that lacks the signal (NA) weighs 0: not knowing is not disliking. A disliked event
    weighs 0, too, but by being shown.

    Parameters
    ----------
    interactions : DataFrame
        One row per exposure.
    signal : str
        A key of `SIGNALS`.
    sentiment : Series of float, optional
        Sentiment of each comment in -1..1, aligned with `interactions`; for `"sentiment"` only.
    finished_at : float
        Watch ratio from which a video counts as finished.
    rule : LabelRule, optional
        For the signals of `OF_RULE`: a rule of `events.fit_label`, fitted to the training
        exposures. The percentile and the gain are the same whatever its label.

    Returns
    -------
    Series of float64
        Aligned with `interactions`, named like the signal. All 0..1 but the sentiment.

    Raises
    ------
    ValueError
        If there is no such signal, no event has it (a model fitted on nothing is no baseline), or
        it needs a rule and there is none.

    Examples
    --------
    >>> import pandas as pd
    >>> log = pd.DataFrame({"watch_ratio": [0.3, 0.9, 1.5], "liked": [False, True, None]})
    >>> signal_weights(log, "watch ratio").tolist()
    [0.3, 0.9, 1.0]
    >>> signal_weights(log, "finished").tolist()
    [0.0, 1.0, 1.0]
    >>> signal_weights(log, "liked").tolist()
    [0.0, 1.0, 0.0]
    """
    if signal not in SIGNALS:
        raise ValueError(f"There is no signal {signal!r}; choose from {', '.join(SIGNALS)}.")
    column = COLUMNS.get(signal)
    if column and column not in events.signals(interactions):
        raise ValueError(f"No event has a {column}, so {signal!r} says nothing about these data.")
    if signal in OF_RULE:
        if rule is None:
            raise ValueError(
                f"The signal {signal!r} compares with training exposures; give a rule of "
                "events.fit_label, fitted to them."
            )
        on = {**OFF, "watch": 1.0}
        return event_weights(interactions, **on, signal=OF_RULE[signal], rule=rule).rename(signal)
    if signal == "sentiment" and sentiment is None:
        raise ValueError("Give the sentiment of each comment, a number from -1 to 1.")
    return _WEIGHTS[signal](interactions, sentiment, finished_at).rename(signal)


def available_signals(interactions: pd.DataFrame, rule: LabelRule | None = None) -> list[str]:
    """Signals that at least one event has, in the order of `SIGNALS`.

    Parameters
    ----------
    interactions : DataFrame
        One row per exposure.
    rule : LabelRule, optional
        With a rule of `events.fit_label`, the signals that need one are available, too: its label,
        and where it knows durations the watch time among views of like duration.

    Examples
    --------
    >>> import pandas as pd
    >>> available_signals(pd.DataFrame({"watch_ratio": [0.3, None], "liked": [None, None]}))
    ['shown', 'watch ratio', 'finished']
    """
    columns = events.signals(interactions)
    named = {name for name in SIGNALS if name not in COLUMNS or COLUMNS[name] in columns}
    if rule is None:
        named -= OF_RULE.keys()
    elif not rule.n_train or "watch_ratio" not in columns:
        named -= {"watch percentile", "watch gain"}
    return [name for name in SIGNALS if name in named]


def _by(**on: float) -> Callable[..., pd.Series]:
    """`event_weights` with every signal off except those that are named."""
    return lambda interactions, sentiment, finished_at: event_weights(interactions, **{**OFF, **on})


def _finished(interactions: pd.DataFrame, _: object, finished_at: float) -> pd.Series:
    ratio = pd.to_numeric(interactions["watch_ratio"]).astype("Float64")
    finished = (ratio >= finished_at).fillna(False).astype("float64")
    return finished.mask(disliked_events(interactions), 0.0)


_WEIGHTS: dict[str, Callable[..., pd.Series]] = {
    "shown": lambda frame, *_: pd.Series(np.ones(len(frame)), index=frame.index),
    "watch ratio": _by(watch=1.0),
    "finished": _finished,
    "liked": _by(like=1.0),
    "shared": _by(share=1.0),
    "comment": _by(comment=1.0),
    "sentiment": lambda frame, sentiment, _: event_weights(
        frame, **{**OFF, "comment": 1.0}, sentiment=sentiment
    ),
}
