"""The machinery of the exercises: stubs from solutions, and grades in sentences."""

from __future__ import annotations

import dis
import functools
import importlib
import inspect
import linecache
import pkgutil
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

START, END = "# solution", "# end solution"
PLACEHOLDER = "...  # your code here"
NO_HINT = "the result is not the expected one; work the example in the docstring by hand"


@dataclass(frozen=True)
class Grade:
    """The answer to one attempt; it counts as true if the attempt is right.

    Attributes
    ----------
    correct : bool
        Whether the attempt passed the check.
    message : str
        One sentence or more: what the right answer showed, or a hint.
    """

    correct: bool
    message: str

    def __bool__(self) -> bool:
        return self.correct

    def _ipython_display_(self) -> None:
        """Show nothing below a cell that ends in `check`, which has printed the answer."""

    def __str__(self) -> str:
        start = "Correct" if self.correct else "Not yet"
        return f"{start}: {self.message}" if self.message else f"{start}."


def available() -> list[str]:
    """Name the modules of exercises in this package, in alphabetical order."""
    folder = str(Path(__file__).parent)
    modules = (module.name for module in pkgutil.iter_modules([folder]))
    return sorted(name for name in modules if not name.startswith("_"))


def load(notebook: str | ModuleType) -> ModuleType:
    """Return the module with the exercises of a notebook.

    Parameters
    ----------
    notebook : str or module
        `"tour"`, `"00_tour"`, or a module that is already imported.

    Raises
    ------
    KeyError
        If there is no such module; the message lists those that exist.
    """
    if isinstance(notebook, ModuleType):
        return notebook
    subject = re.sub(r"^\d+_", "", notebook)
    if subject not in available():
        known = ", ".join(available())
        raise KeyError(f"There are no exercises for {notebook!r}; there are some for: {known}.")
    return importlib.import_module(f"vidrec_utils.exercises.{subject}")


def names(notebook: str | ModuleType) -> list[str]:
    """Name the exercises of a notebook in the order in which they are written."""
    module = load(notebook)
    return [
        name
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and START in map(str.strip, inspect.getsource(function).splitlines())
    ]


def _holding(notebook: str | ModuleType, name: str) -> ModuleType:
    module = load(notebook)
    known = names(module)
    if name not in known:
        raise KeyError(
            f"{module.__name__} has no exercise {name!r}; it has: {', '.join(known) or 'none'}."
        )
    return module


def _block(notebook: str | ModuleType, name: str) -> tuple[list[str], int, int]:
    lines = inspect.getsource(getattr(_holding(notebook, name), name)).splitlines()
    marks = [line.strip() for line in lines]
    if marks.count(START) != 1 or marks.count(END) != 1 or marks.index(END) < marks.index(START):
        raise ValueError(
            f"The exercise {name!r} needs one line {START!r} and, after it, one line {END!r}."
        )
    return lines, marks.index(START), marks.index(END)


def stub(notebook: str | ModuleType, name: str) -> str:
    """Derive the learner's cell from a solution.

    Parameters
    ----------
    notebook : str or module
        The notebook's name or its module of exercises.
    name : str
        The function's name.

    Returns
    -------
    str
        Signature, docstring and whatever surrounds the solution, which is replaced by a
        placeholder.

    Raises
    ------
    KeyError
        If there is no such exercise.
    ValueError
        If the two marker lines are missing, doubled or in the wrong order.
    """
    lines, start, end = _block(notebook, name)
    indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
    return "\n".join([*lines[:start], indent + PLACEHOLDER, *lines[end + 1 :]])


def solution(notebook: str | ModuleType, name: str) -> str:
    """Return one right answer as source, to be printed and compared with one's own.

    Raises
    ------
    KeyError, ValueError
        As `stub`.

    Examples
    --------
    >>> print(solution("example", "share_watched").splitlines()[-1].strip())
    return sum(ratio >= threshold for ratio in known) / len(known) if known else math.nan
    """
    lines, start, end = _block(notebook, name)
    return "\n".join(line for i, line in enumerate(lines) if i not in (start, end))


def _code_of(source: str, name: str) -> CodeType:
    module = compile(source, "<exercise>", "exec", dont_inherit=True)
    return next(
        c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == name
    )  # annotations are evaluated outside the body, so that it compiles without its imports


def _steps(code: CodeType) -> list[tuple[str, Any]]:
    """What a function does, apart from its docstring, names and line numbers."""
    return [
        (step.opname, _steps(step.argval) if isinstance(step.argval, CodeType) else step.argval)
        for step in dis.get_instructions(code)
        if step.opname != "RESUME"
    ]


def unsolved(notebook: str | ModuleType, name: str, function: Callable[..., Any]) -> bool:
    """Tell whether a function is still the stub, however its comments and hints are written."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and _steps(code) == _steps(_code_of(stub(notebook, name), name))


def _where(error: BaseException, function: Callable[..., Any]) -> str:
    """Say which line of the learner's cell an error came from; empty if from none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    frames = list(traceback.walk_tb(error.__traceback__))
    entry = next((i for i, (frame, _) in enumerate(frames) if frame.f_code is code), None)
    if code is None or entry is None:
        return ""
    at = [n for frame, n in frames[entry:] if frame.f_code.co_filename == code.co_filename][-1]
    line = linecache.getline(code.co_filename, at).strip()
    number = at - code.co_firstlineno + 1
    return f"line {number} of your function" + (f" (`{line}`)" if line else "")


def _returning(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that forgets its `return` fail with the hint that it does."""

    @functools.wraps(function)
    def call(*values: Any, **options: Any) -> Any:
        result = function(*values, **options)
        assert result is not None, "your function returns nothing; end it with `return`."
        return result

    return call


def grade(notebook: str | ModuleType, name: str, function: Callable[..., Any]) -> Grade:
    """Judge one attempt, without printing.

    Parameters
    ----------
    notebook : str or module
        The notebook's name or its module of exercises.
    name : str
        The exercise's name.
    function : callable
        The learner's function. Whatever it raises becomes part of the answer.

    Raises
    ------
    KeyError
        If there is no such exercise.
    """
    module = _holding(notebook, name)
    if not callable(function):
        return Grade(False, f"pass the function itself, `{name}`, not what it returns.")
    if unsolved(module, name, function):
        return Grade(False, f"replace the line `{PLACEHOLDER}` by your own code, then run again.")
    try:
        shown = getattr(module, f"check_{name}")(_returning(function))
    except (Exception, SystemExit) as error:
        line = _where(error, function)
        what = type(error).__name__ + (f": {error}" if str(error) else "")
        if isinstance(error, AssertionError) and not line:
            return Grade(False, str(error) or NO_HINT)
        if line:
            return Grade(False, f"your function stopped with {what}, in {line}.")
        return Grade(False, f"the check could not use what your function returned ({what}).")
    return Grade(True, shown or "")


def check(notebook: str | ModuleType, name: str, function: Callable[..., Any]) -> Grade:
    """Judge one attempt and print the answer.

    Parameters
    ----------
    notebook : str or module
        The notebook's name, for example `"tour"`.
    name : str
        The exercise's name.
    function : callable
        The learner's function.

    Returns
    -------
    Grade
        True if it is right. Nothing that the learner's function does makes this raise, so that a
        notebook with open exercises still runs to its end.

    Raises
    ------
    KeyError
        If there is no such exercise.

    Examples
    --------
    >>> def mean_watch(ratios):
    ...     return sum(ratios)
    >>> answer = check("example", "mean_watch", mean_watch)
    Not yet: for [0.5, 1.0] the mean is 0.75, yours is 1.5.
    >>> answer.correct
    False
    """
    answer = grade(notebook, name, function)
    print(answer)
    return answer
