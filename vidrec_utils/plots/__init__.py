"""Figures that read well in a notebook: labelled, light, described, safe for colour blindness.

The drawing functions take data and return a `matplotlib.figure.Figure`; nothing appears until
`show(figure, alt="...")` puts it under a cell, with a description for readers who cannot see it and
below a size limit. `playing_sheet` shows moving clips in the same way, `list_table` lists of
videos; `architecture` draws a network from its own modules, and `pipeline` the steps of a
computation.
"""

from vidrec_utils.plots._architecture import architecture
from vidrec_utils.plots._charts import (
    alarms,
    bars_with_intervals,
    class_balance,
    confusion,
    maps,
    scatter,
    split_spans,
    split_timelines,
    watch_time,
)
from vidrec_utils.plots._comparisons import (
    before_after,
    curves,
    forest,
    grouped_points,
    pair_scores,
    points,
)
from vidrec_utils.plots._images import boxed, contact_sheet, filmstrip, time_slices
from vidrec_utils.plots._insides import activations, attention, filters, flow, pieces
from vidrec_utils.plots._output import MAX_BYTES, encode_figure, playing_sheet, show
from vidrec_utils.plots._pipeline import pipeline
from vidrec_utils.plots._style import PALETTE, safe_text, use_style
from vidrec_utils.plots._tables import list_table

__all__ = [
    "MAX_BYTES",
    "PALETTE",
    "activations",
    "alarms",
    "architecture",
    "attention",
    "bars_with_intervals",
    "before_after",
    "boxed",
    "class_balance",
    "confusion",
    "contact_sheet",
    "curves",
    "encode_figure",
    "filmstrip",
    "filters",
    "flow",
    "forest",
    "grouped_points",
    "list_table",
    "maps",
    "pair_scores",
    "pieces",
    "pipeline",
    "playing_sheet",
    "points",
    "safe_text",
    "scatter",
    "show",
    "split_spans",
    "split_timelines",
    "time_slices",
    "use_style",
    "watch_time",
]
