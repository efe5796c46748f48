"""One way to print a number with its interval, and one to print a difference.

A number without an interval invites conclusions that it does not bear, so results are printed as
`mean [low, high]` everywhere, and comparisons as `A minus B: difference [low, high]`, where a
negative sign means that A is smaller.
"""

from __future__ import annotations

import pandas as pd


def interval(mean: float, low: float, high: float, form: str = ".3f") -> str:
    """Write a number and the ends of its interval as `mean [low, high]`.

    Parameters
    ----------
    mean, low, high : float
        The number, and the ends of its interval.
    form : str
        Format of each of the three: `".3f"`, `".0%"`, or `"+.4f"` for differences.

    Examples
    --------
    >>> interval(0.1312, 0.12, 0.1425)
    '0.131 [0.120, 0.142]'
    >>> interval(0.31, 0.27, 0.36, ".0%")
    '31% [27%, 36%]'
    """
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def sentences(table: pd.DataFrame, what: str = "", form: str = ".3f") -> str:
    """Write each row of a table with the columns `mean, low, high` as one line.

    Parameters
    ----------
    table : DataFrame
        One row for each thing measured, indexed by its name.
    what : str
        Words after the numbers, such as `"of the titles are right"`.
    form : str
        See `interval`.

    Examples
    --------
    >>> table = pd.DataFrame({"mean": [0.5], "low": [0.25], "high": [0.75]}, index=["BERT"])
    >>> print(sentences(table, "are right", ".0%"))
    BERT: 50% [25%, 75%] are right.
    """
    end = f" {what}." if what else "."
    return "\n".join(
        f"{name}: {interval(row['mean'], row['low'], row['high'], form)}{end}"
        for name, row in table.iterrows()
    )


def difference(a: str, b: str, mean: float, low: float, high: float, form: str = "+.4f") -> str:
    """Write by how much one thing exceeds another as `A minus B: mean [low, high]`.

    Parameters
    ----------
    a, b : str
        Names of the two.
    mean, low, high : float
        The difference `a - b`, and the ends of its interval.
    form : str
        See `interval`.

    Examples
    --------
    >>> difference("titles", "popularity", -0.0204, -0.0301, -0.0107)
    'titles minus popularity: -0.0204 [-0.0301, -0.0107]'
    """
    return f"{a} minus {b}: {interval(mean, low, high, form)}"
