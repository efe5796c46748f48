"""One way to print a number with its interval, and one to print a difference.

A number without an interval invites conclusions that it does not bear, so results are printed as
`mean [low, high]` everywhere, and comparisons as `A minus B: difference [low, high]`, where a
negative sign means that A is smaller.

What a difference shows is one of four things (`verdict`), and an interval that includes zero shows
neither a difference nor its absence. To say that A is *not worse* than B one has to name a margin,
the largest loss that would not matter, and to find the whole interval above minus that margin.

References
----------
Piaggio, Elbourne, Pocock, Evans, Altman: Reporting of Noninferiority and Equivalence Randomized
Trials. JAMA 308(24), 2012; figure 1.
"""

from __future__ import annotations

import pandas as pd

from vidrec_utils import arguments


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


def verdict(low: float, high: float, margin: float | None = None) -> str:
    """Tell what the interval of a difference `A minus B` shows about A, where more is better.

    Parameters
    ----------
    low, high : float
        The ends of the interval.
    margin : float, optional
        The largest loss that would not matter, above 0; by default no loss is that small.

    Returns
    -------
    str
        `"better"` if the whole interval lies above zero; else `"not worse"` if it lies above minus
        the margin, `"worse"` if it lies below zero, and `"cannot tell"` in all other cases.

    Raises
    ------
    ValueError
        If the margin is not positive.

    Examples
    --------
    >>> verdict(0.002, 0.018)
    'better'
    >>> verdict(-0.002, 0.015), verdict(-0.002, 0.015, margin=0.005)
    ('cannot tell', 'not worse')
    >>> verdict(-0.011, 0.016, margin=0.005), verdict(-0.02, -0.01, margin=0.005)
    ('cannot tell', 'worse')
    """
    if margin is not None:
        arguments.positive(margin=margin)
    if low > 0:
        return "better"
    if margin is not None and low > -margin:
        return "not worse"
    return "worse" if high < 0 else "cannot tell"


def outcome(
    a: str,
    b: str,
    mean: float,
    low: float,
    high: float,
    margin: float | None = None,
    form: str = "+.4f",
) -> str:
    """Write a difference and what it shows, one of the four cases of `verdict`, as a sentence.

    Parameters
    ----------
    a, b, mean, low, high, form
        See `difference`.
    margin : float, optional
        See `verdict`.

    Examples
    --------
    >>> outcome("tags", "titles", 0.01, 0.002, 0.018)
    'tags minus titles: +0.0100 [+0.0020, +0.0180]: better, as the interval lies above zero.'
    >>> print(outcome("tags", "titles", 0.002, -0.004, 0.008, margin=0.005))
    tags minus titles: +0.0020 [-0.0040, +0.0080]: not worse by more than 0.005.
    >>> outcome("tags", "titles", 0.002, -0.011, 0.015, margin=0.005).partition("]: ")[2]
    'we cannot tell, as the interval includes zero and reaches below -0.005.'
    """
    case = verdict(low, high, margin)
    words = {
        "better": "better, as the interval lies above zero",
        "worse": "worse, as the interval lies below zero",
    }
    if margin is not None:
        words["not worse"] = f"not worse by more than {margin:g}"
        words["not worse"] += ", though below zero" * (high < 0)
    reaches = "" if margin is None else f" and reaches below {-margin:g}"
    words["cannot tell"] = f"we cannot tell, as the interval includes zero{reaches}"
    return f"{difference(a, b, mean, low, high, form)}: {words[case]}."
