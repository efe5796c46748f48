"""Claims that the text of a notebook makes, checked in the cell beside it.

On the embedded world, whose truth is known, a claim that fails is an error of the course. On
somebody's own data it may well be false, and that is worth a sentence, not an end.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidrec_utils.datasets import VideoLibrary


def embedded(library: VideoLibrary) -> bool:
    """Tell whether a library is MiniTube where it was rendered, its truth beside it."""
    root = getattr(library, "root", None)
    if root is None:
        return False
    world = Path(root).parent
    return (world / "world.json").is_file() and (world / "truth").is_dir()


def given(library: VideoLibrary, *signals: str) -> bool:
    """Tell whether a library has what a cell needs, and say in a sentence what it lacks.

    Parameters
    ----------
    library : VideoLibrary
        The data at hand.
    *signals : str
        Columns such as `"path"` or `"watch_ratio"`.

    Returns
    -------
    bool
        False if one of them is empty throughout; the sentence is printed then.
    """
    lacking = [signal for signal in signals if not library.has(signal)]
    if lacking:
        names = " and ".join(lacking)
        print(f"The library {library.name} has no {names}, so there is nothing to show here.")
    return not lacking


def check(condition: object, message: str, library: VideoLibrary | None = None) -> None:
    """Assert a claim about the data at hand.

    Parameters
    ----------
    condition : bool
        Whether the claim holds, tolerance included.
    message : str
        What it means when the claim fails, so that the failure teaches.
    library : VideoLibrary, optional
        The data that the claim is about. On any library but MiniTube a failing claim is printed
        instead of raised. Without a library the claim must hold always.

    Raises
    ------
    AssertionError
        If the claim does not hold, and should.
    """
    if condition:
        return
    if library is None or embedded(library):
        raise AssertionError(message)
    print(f"This does not hold on {library.name!r}: {message}")
