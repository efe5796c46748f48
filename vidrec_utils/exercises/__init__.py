"""Exercises whose solution and stub are one source, and checks that answer in a sentence.

Each notebook's exercises are ordinary functions in the module of the same name in this folder
(`01_preprocessing` has `exercises/preprocessing.py`; `exercises/example.py` shows the form). The
part that a learner writes stands between two comment lines:

    def double(values: list[float]) -> list[float]:
        \"\"\"Return every value times two.\"\"\"
        # solution
        return [2 * value for value in values]
        # end solution

Next to it stand `check_double(function)`, which raises AssertionError with a hint or returns a
sentence on what a right answer has shown, and `WRONG_DOUBLE`, a list of `(function, part of the
hint)`: the mistakes that learners typically make. `stub` derives the notebook's cell from the
solution, so that the two cannot drift apart.

A notebook needs two of the functions: `check` after each exercise, and `solution` for those who
want to compare.
"""

from vidrec_utils.exercises._checking import (
    Grade,
    available,
    check,
    grade,
    load,
    names,
    solution,
    stub,
    unsolved,
)

__all__ = [
    "Grade",
    "available",
    "check",
    "grade",
    "load",
    "names",
    "solution",
    "stub",
    "unsolved",
]
