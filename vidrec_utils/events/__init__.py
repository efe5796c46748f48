"""Events as numbers: who was shown what, when, how long, and how much preference it expresses.

`weights` turns the signals of an event into one number, with which models are trained; `labels`
says which events count as a success, by which lists are judged; `durations` groups videos of like
duration, so that a label need not follow it. `matrices` makes matrices of ids and values, and
`publication` says which videos could have been shown when.
"""

from vidrec_utils.events.durations import (
    DurationGroups,
    durations_vary,
    exposure_durations,
    shorter_first,
)
from vidrec_utils.events.labels import (
    LABELS,
    Label,
    fit_label,
    positives,
)
from vidrec_utils.events.matrices import as_ids, interaction_matrix, unpack
from vidrec_utils.events.publication import (
    PublicationOrder,
    publication_order,
    published_by,
    times_of,
)
from vidrec_utils.events.rules import LabelRule, ended_well, success
from vidrec_utils.events.weights import (
    NO_SIGNAL,
    SIGNALS,
    WATCH_SIGNALS,
    disliked_events,
    event_weights,
    signals,
    warn_once,
)

__all__ = [
    "LABELS",
    "NO_SIGNAL",
    "SIGNALS",
    "WATCH_SIGNALS",
    "DurationGroups",
    "Label",
    "LabelRule",
    "PublicationOrder",
    "as_ids",
    "disliked_events",
    "durations_vary",
    "ended_well",
    "event_weights",
    "exposure_durations",
    "fit_label",
    "interaction_matrix",
    "positives",
    "publication_order",
    "published_by",
    "shorter_first",
    "signals",
    "success",
    "times_of",
    "unpack",
    "warn_once",
]
