"""Claims that the text of a notebook makes, checked in the cell next to it.

On the embedded world, whose truth is known, a claim that fails is an error of the course. On
somebody's own data it may well be false, and that is worth a sentence, not an end.

Claims about a difference have functions of their own. `better` wants an interval above zero;
`not_worse` wants a margin, and an interval above minus that margin. An interval that merely
includes zero supports neither: it is the third case of `outcome`, *we cannot tell*.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vidrec_utils import arguments, reporting

if TYPE_CHECKING:
    from vidrec_utils.datasets import VideoLibrary


class Difference(Protocol):
    """A difference `a - b` with its interval, where more is better; see `evaluation.compare`."""

    @property
    def a(self) -> str:
        """Name of the first."""
        ...

    @property
    def b(self) -> str:
        """Name of the second."""
        ...

    @property
    def difference(self) -> float:
        """The difference itself."""
        ...

    @property
    def low(self) -> float:
        """Lower end of its interval."""
        ...

    @property
    def high(self) -> float:
        """Upper end of its interval."""
        ...


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


def outcome(difference: Difference, margin: float | None = None, form: str = "+.4f") -> str:
    """Write what a difference shows: better, not worse by more than a margin, or cannot tell.

    Parameters
    ----------
    difference : Comparison
        What `evaluation.compare` returns, or anything with `a, b, difference, low, high`.
    margin : float, optional
        The largest loss that would not matter; by default that of the comparison, if it has one.
    form : str
        See `reporting.interval`.

    Returns
    -------
    str
        One sentence; see `reporting.verdict`. If the whole interval lies below zero, and below
        minus the margin at its lower end, the sentence says that `a` is worse.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> gain = SimpleNamespace(a="tags", b="titles", difference=0.002, low=-0.004, high=0.008)
    >>> print(outcome(gain, margin=0.005))
    tags minus titles: +0.0020 [-0.0040, +0.0080]: not worse by more than 0.005.
    >>> print(outcome(gain))
    tags minus titles: +0.0020 [-0.0040, +0.0080]: we cannot tell, as the interval includes zero.
    """
    margin = getattr(difference, "margin", None) if margin is None else margin
    return reporting.outcome(
        difference.a, difference.b, difference.difference, difference.low, difference.high, margin,
        form,
    )  # fmt: skip


def better(difference: Difference, library: VideoLibrary | None = None) -> None:
    """Assert that the first of two is better: that the whole interval lies above zero.

    Parameters
    ----------
    difference : Comparison
        See `outcome`.
    library : VideoLibrary, optional
        See `check`.

    Raises
    ------
    AssertionError
        If the interval includes zero or lies below it, on the embedded world.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> better(SimpleNamespace(a="tags", b="titles", difference=0.02, low=0.01, high=0.03))
    """
    case = reporting.verdict(difference.low, difference.high)
    advice = (
        f"The text must say that {difference.a} is worse."
        if case == "worse"
        else f"These data do not show that {difference.a} is better, nor that it is not. More "
        "users make the interval narrower; the text must say that we cannot tell."
    )
    check(case == "better", f"{outcome(difference)} {advice}", library)


def not_worse(
    difference: Difference, margin: float | None = None, library: VideoLibrary | None = None
) -> None:
    """Assert that the first of two is not worse by more than a margin, or better.

    Parameters
    ----------
    difference : Comparison
        See `outcome`.
    margin : float
        The largest loss that would not matter, chosen before looking at the numbers; by default
        that of the comparison.
    library : VideoLibrary, optional
        See `check`.

    Raises
    ------
    AssertionError
        If the interval reaches down to minus the margin, on the embedded world.
    ValueError
        If there is no margin, or it is not positive.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> gain = SimpleNamespace(a="tags", b="titles", difference=0.002, low=-0.004, high=0.008)
    >>> not_worse(gain, margin=0.005)
    """
    margin = getattr(difference, "margin", None) if margin is None else margin
    if margin is None:
        raise ValueError(
            f"Say by how much {difference.a} may be worse than {difference.b}: margin=0.005, for "
            "example. Without a margin no number of users can show that nothing is lost."
        )
    arguments.positive(margin=margin)
    case = reporting.verdict(difference.low, difference.high, margin)
    advice = (
        f"The text must say that {difference.a} is worse."
        if case == "worse"
        else f"That an interval includes zero does not show that nothing is lost: a loss of "
        f"{-difference.low:.4f} would fit these data as well. The text must say that we cannot "
        "tell."
    )
    holds = case in ("better", "not worse")
    check(holds, f"{outcome(difference, margin)} {advice}", library)
