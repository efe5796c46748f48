"""What a long run did, and what it brought to light."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """What a run did.

    Attributes
    ----------
    cases : int
        Cases that were tried.
    failures : list of str
        A sentence for each case that did not end as it has to, with its number.
    outcomes : Counter of str
        How the other cases ended.
    slowest_s : float
        Processor time of the case that took most, in seconds.
    peak_bytes : int
        The most memory that a case took above what the process held after its imports.
    interrupted : bool
        Whether somebody ended the run before its last case.
    """

    cases: int = 0
    failures: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    peak_bytes: int = 0
    interrupted: bool = False
