"""Claims that the text of a notebook makes, checked in the cell next to it.

On the embedded world, whose truth is known, a claim that fails is an error of the course. On
somebody's own data it may well be false, and that is worth a sentence, not an end.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidrec_utils.datasets import VideoLibrary


def embedded(library: VideoLibrary) -> bool:
    """Tell whether a library is MiniTube in the folder where it was rendered, with its truth.

    Examples
    --------
    >>> import pandas as pd
    >>> from vidrec_utils.datasets import VideoLibrary
    >>> views = pd.DataFrame({"user_id": ["u"], "video_id": ["a"]})
    >>> embedded(VideoLibrary(pd.DataFrame({"video_id": ["a"]}), views))
    False
    """
    if library.root is None:
        return False
    world = Path(library.root).parent
    return (world / "world.json").is_file() and (world / "truth").is_dir()


def has(library: VideoLibrary, *signals: str) -> bool:
    """Tell whether a library has what a cell needs, and print a sentence if it does not.

    Parameters
    ----------
    library : VideoLibrary
        The library that the notebook works on.
    *signals : str
        Columns such as `"path"` or `"watch_ratio"`.

    Returns
    -------
    bool
        False if one of them is empty throughout; the sentence is printed then.

    Examples
    --------
    >>> import pandas as pd
    >>> from vidrec_utils.datasets import VideoLibrary
    >>> videos = pd.DataFrame({"video_id": ["a", "b"], "title": ["Tea", "Rain"]})
    >>> views = pd.DataFrame({"user_id": ["u"], "video_id": ["a"]})
    >>> library = VideoLibrary(videos, views, name="mine")
    >>> has(library, "title")
    True
    >>> has(library, "title", "thumbnail")
    The library mine has no thumbnail, so there is nothing to show here.
    False
    """
    lacking = [signal for signal in signals if not library.has(signal)]
    if lacking:
        names = " and ".join(lacking)
        print(f"The library {library.name} has no {names}, so there is nothing to show here.")
    return not lacking


def check(condition: object, message: str, library: VideoLibrary | None = None) -> None:
    """Assert a claim about the data.

    Parameters
    ----------
    condition : bool
        Whether the claim holds, tolerance included.
    message : str
        Explanation of a failure: what it means if the claim does not hold.
    library : VideoLibrary, optional
        The data that the claim is about. On any library but MiniTube a failing claim is printed
        instead of raised. Without a library the claim must hold always.

    Raises
    ------
    AssertionError
        If the claim does not hold, and should.

    Examples
    --------
    >>> check(2 > 1, "two is more than one")
    >>> check(1 > 2, "one is more than two")
    Traceback (most recent call last):
        ...
    AssertionError: one is more than two
    """
    if condition:
        return
    if library is None or embedded(library):
        raise AssertionError(message)
    print(f"This does not hold on {library.name!r}: {message}")
