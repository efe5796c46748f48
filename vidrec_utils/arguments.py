"""Checks of arguments that many functions share, with one wording for each kind of error.

Arguments are given by keyword, so that the message names them:
`at_least(1, epochs=epochs, factors=factors)`. None is no number: where it stands for a default, ask
for it before.
"""

from __future__ import annotations

from collections.abc import Collection


def at_least(least: float, /, **values: float) -> None:
    """Refuse numbers that are too small.

    Raises
    ------
    ValueError
        If a value is below `least` or NaN; it names the first such argument.

    Examples
    --------
    >>> at_least(1, epochs=1, factors=8)
    >>> at_least(1, k=0)
    Traceback (most recent call last):
    ValueError: k is 0; it must be at least 1.
    """
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name} is {value}; it must be at least {least:g}.")


def positive(**values: float) -> None:
    """Refuse numbers that are not above 0.

    Raises
    ------
    ValueError
        If a value is 0, negative or NaN; it names the first such argument.

    Examples
    --------
    >>> positive(learning_rate=0.1, half_life_days=7)
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be positive.")


def share(**values: float) -> None:
    """Refuse numbers that are no share of a whole.

    Raises
    ------
    ValueError
        If a value is not between 0 and 1; it names the first such argument.

    Examples
    --------
    >>> share(balance=1.5)
    Traceback (most recent call last):
    ValueError: balance is 1.5; it must be between 0 and 1.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; it must be between 0 and 1.")


def one_of(choices: Collection[str], **values: str) -> None:
    """Refuse words that are not among the choices.

    Raises
    ------
    ValueError
        If a value is another one; it names the first such argument and all choices.

    Examples
    --------
    >>> one_of(("uniform", "popular"), negatives="hard")
    Traceback (most recent call last):
    ValueError: negatives is 'hard'; choose from 'uniform', 'popular'.
    """
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{name} is {value!r}; choose from {', '.join(map(repr, choices))}.")
