"""Settings to try for each model of behaviour, on dense and on sparse logs.

Dense logs, such as MovieLens, have hundreds of events a user and a video; on sparse ones, such as
those of short videos, most users and videos have a handful. What is right for one fails on the
other, so the lists span both, and `evaluation.search` goes beyond their ends where it has to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

GRIDS: Mapping[str, Mapping[str, Sequence[int | float | str]]] = {
    "ALS": {
        "unobserved": (1.0, 0.3, 0.1, 0.03, 0.01),
        "regularization": (0.1, 0.03, 0.01, 0.003, 0.001),
        "factors": (16, 32, 64),
        "iterations": (4, 8, 16),
    },
    "BPR": {
        "regularization": (0.1, 0.03, 0.01, 0.003),
        "learning_rate": (0.02, 0.05, 0.1),
        "epochs": (10, 30, 100),
        "factors": (16, 32, 64),
    },
    "DecayedPopularity": {"half_life_days": (30.0, 7.0, 2.0, 0.5)},
    "EASE": {"l2": (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0)},
    "ItemKNN": {
        "shrinkage": (1000.0, 100.0, 10.0, 0.0),
        "neighbours": (20, 100, 500),
        "neighbours_of": ("scored", "watched"),
    },
}
"""By name of the class: values of its settings, the simplest, strongest or cheapest first."""
