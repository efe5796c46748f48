"""What is wrong with a module of exercises: the self-test that each of them has to pass."""

import __future__

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from vidrec_utils import exercises
from vidrec_utils.exercises._checking import PLACEHOLDER


def defined(source: str, module: ModuleType, name: str) -> Callable[..., Any]:
    namespace = dict(vars(module))
    future = __future__.annotations.compiler_flag
    exec(compile(source, f"<stub of {name}>", "exec", flags=future), namespace)
    return namespace[name]


def problems(notebook: str | ModuleType) -> list[str]:
    """Say what is wrong with a module of exercises; an empty list means nothing.

    Every solution has to pass its check, the printed solution too, every stub has to fail it, and
    every typical wrong answer has to get the hint that it is listed with.
    """
    module = exercises.load(notebook)
    faults = [] if exercises.names(module) else [f"{module.__name__} holds no exercise"]
    for name in exercises.names(module):
        function = getattr(module, name)
        wrong = getattr(module, f"WRONG_{name.upper()}", [])
        if not callable(getattr(module, f"check_{name}", None)):
            faults.append(f"{name}: check_{name} is missing")
            continue
        if not inspect.getdoc(function):
            faults.append(f"{name}: the docstring, which is the task, is missing")
        if not wrong:
            faults.append(f"{name}: WRONG_{name.upper()}, a list of typical mistakes, is missing")
        for label, answer in (
            ("solution", function),
            ("printed solution", defined(exercises.solution(module, name), module, name)),
        ):
            result = exercises.grade(module, name, answer)
            if not result.correct:
                faults.append(f"{name}: the {label} fails: {result.message}")
            elif not result.message:
                faults.append(f"{name}: check_{name} does not return what a right answer showed")
        result = exercises.grade(module, name, defined(exercises.stub(module, name), module, name))
        if result.correct or PLACEHOLDER not in result.message:
            faults.append(f"{name}: the stub is not recognised as open")
        for number, (mistake, hint) in enumerate(wrong, start=1):
            result = exercises.grade(module, name, mistake)
            if result.correct:
                faults.append(f"{name}: wrong answer {number} passes")
            elif hint.casefold() not in result.message.casefold():
                faults.append(
                    f"{name}: wrong answer {number} should get {hint!r}, got {result.message!r}"
                )
    return faults
