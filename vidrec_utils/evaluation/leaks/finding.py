"""What a leak detector answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What one detector says; true if it raises an alarm.

    Attributes
    ----------
    leak : str
        What was looked for.
    alarm : bool
    n : int
        How many rows, videos or trials show it.
    detail : str
        What was seen, with an example.
    remedy : str
        What to do about it.
    """

    leak: str
    alarm: bool
    n: int
    detail: str
    remedy: str = ""

    def __bool__(self) -> bool:
        return self.alarm

    def __str__(self) -> str:
        if not self.alarm:
            return f"{self.leak}: no alarm; {self.detail}"
        return f"{self.leak}: ALARM; {self.detail} {self.remedy}".rstrip()
