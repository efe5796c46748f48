"""Compare what a notebook prints now with what is committed, so that stale outputs are found."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping
from typing import Any

RELATIVE, ABSOLUTE = 0.02, 0.01
"""Largest differences of two numbers that count as equal: of their size, or in absolute terms."""
TIMES = "times"
"""The tag of cells that print times, memory or speeds: their numbers are not compared."""
_NUMBER = re.compile(
    r"(?<![A-Za-z_\d.#])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:e[-+]?\d+)?(?P<share>\s?%)?"
)
_UNIT = re.compile(r"#\s?(ns|µs|ms|s|seconds?|min|minutes?|h|hours?|[kMG]B|x|×)(?!\w)")
_NOISE = re.compile(r"\x1b\[[0-9;]*m|0x[0-9a-f]+")


def printed_text(outputs: Iterable[Mapping[str, Any]]) -> str:
    """Return the text that a cell prints, then that of what it shows, without the error stream.

    Where in between something was shown does not count: nbval puts all that was printed together.

    Parameters
    ----------
    outputs : iterable of mappings
        Outputs of a code cell as they stand in a notebook.
    """
    printed, shown = [], []
    for output in outputs:
        if output.get("output_type") != "stream":
            shown.append("".join(output.get("data", {}).get("text/plain", "")))
        elif output.get("name") != "stderr":
            printed.append("".join(output.get("text", "")))
    return "\n".join(printed + shown)


def _numbers(text: str) -> list[tuple[float, float]]:
    """List the numbers in a text, each with the smallest difference that counts: .01, or 1%."""
    return [
        (
            float(re.sub(r"[,\s%]", "", match[0]).replace("−", "-")),
            100 * ABSOLUTE if match["share"] else ABSOLUTE,
        )
        for match in _NUMBER.finditer(text)
    ]


def _words(text: str, times: bool) -> list[str]:
    """Split a text into words, `#` for each number; lines and columns of a table do not count."""
    words = _NUMBER.sub("#", text)
    if times:
        words = _UNIT.sub("#", words)
    return re.sub(r"[-=─━]{2,}|\s+", " ", words).split()


def text_difference(
    committed: str, executed: str, *, numbers: bool = True, times: bool = False
) -> str | None:
    """Say how a printed text differs from the committed one.

    Parameters
    ----------
    committed, executed : str
        The text in the notebook, and that of the run.
    numbers : bool
        Whether numbers are compared, too: they are equal within 2% or .01 (a share written in
        percent: within one point).
    times : bool
        Whether the text tells times or memory; then its numbers and their units are left out.

    Returns
    -------
    str or None
        A sentence with the first difference, None if there is none.

    Examples
    --------
    >>> text_difference("NDCG is 0.412 for 1,200 users", "NDCG is 0.415 for 1,201 users")
    >>> text_difference("NDCG is 0.412", "NDCG is 0.442")
    'The number 0.412 is 0.442 now.'
    >>> text_difference("It helps.", "It does not help.")
    "'helps.' is 'does' now, after 'It'."
    """
    before, now = (_NOISE.sub(" ", text) for text in (committed, executed))
    was, new = _words(before, times), _words(now, times)
    if was != new:
        same = next(
            (i for i, pair in enumerate(zip(was, new, strict=False)) if pair[0] != pair[1]),
            min(len(was), len(new)),
        )
        after = f", after {' '.join(was[max(same - 4, 0) : same])!r}" if same else ""
        old, other = (repr(words[same]) if same < len(words) else "nothing" for words in (was, new))
        return f"{old} is {other} now{after}."
    if not numbers or times:
        return None
    for (old_value, least), (value, _) in zip(_numbers(before), _numbers(now), strict=True):
        if abs(old_value - value) > max(least, RELATIVE * abs(old_value)) + 1e-12:
            return f"The number {old_value:g} is {value:g} now."
    return None


def writes_the_numbers() -> bool:
    """Tell whether this is a platform like that on which the outputs were committed."""
    return platform.system() == "Linux" and platform.machine() in ("x86_64", "AMD64")
