r"""The symbols of a formula in TeX, and the legend that explains them.

>>> sorted(symbols(r"y_t = \sum_{i} \alpha_i \hat{x}_i + \text{noise}"))
['\\alpha', '\\hat{x}', 'i', 't', 'y']
"""

from __future__ import annotations

import re

_GREEK_LIST = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi
    pi varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta
    Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell"""
GREEK = frozenset(_GREEK_LIST.split())
ACCENTS = "hat|bar|tilde|vec|dot|ddot|widehat|widetilde|overline|check|breve"
ALPHABETS = "mathcal|mathbf|boldsymbol|bm|mathbb|mathfrak|mathscr"
_UPRIGHT = re.compile(
    r"\\(?:text|textrm|textbf|textit|operatorname\*?|mathrm|mathsf|mathtt|begin|end|label|tag)"
    r"\s*\{[^{}]*\}(?:\{[lcr|]*\})?"
)
_ATOM = re.compile(
    rf"\\(?:{ACCENTS}|{ALPHABETS})\s*(?:\{{\s*(?:\\[A-Za-z]+|[A-Za-z0-9])\s*\}}"
    r"|\\[A-Za-z]+|\s[A-Za-z0-9]|(?<![A-Za-z])[A-Za-z0-9])"
    r"|\\[A-Za-z]+|\\.|[A-Za-z]"
)
_FUNCTIONS = frozenset("PEO")
"""Probability, expectation and order are no symbols where a bracket follows."""
_SETS = frozenset("REZNP1")
_PLAIN = re.compile(r"\s|\{|\}")


def display_formulas(markdown: str) -> list[str]:
    """List the formulas that stand on lines of their own, `$$...$$`."""
    text = re.sub(r"(?ms)^(```|~~~).*?^\1", " ", markdown)
    return [formula.strip() for formula in re.findall(r"(?s)\$\$(.+?)\$\$", text)]


def symbols(formula: str) -> set[str]:
    r"""Return the symbols of a formula, each without its indices: letters, Greek, `\hat{x}`.

    No symbols are: upright names such as `\operatorname{softmax}`, operators, a transposing
    `^T`, the number `e` before an exponent, `P`, `E` and `O` before a bracket, the sets of numbers,
    and the `\mathrm{d}` of an integral. An index counts on its own.
    """
    text = _UPRIGHT.sub(" ", formula)
    text = re.sub(r"\^\s*(?:T(?![A-Za-z])|\{\s*T\s*\})", " ", text)
    text = re.sub(r"(?<![A-Za-z\\])e\s*(?=\^)", " ", text)
    names: set[str] = set()
    for match in _ATOM.finditer(text):
        atom, after = match[0], text[match.end() :]
        command = re.match(r"\\([A-Za-z]+)", atom)
        if command is None:
            opens = re.match(r"\s*(?:\\left|\\bigl?|\\Bigl?)?\s*(?:\(|\[|\\\{)", after)
            if atom.startswith("\\") or (atom in _FUNCTIONS and opens):
                continue
            names.add(atom)
        elif re.fullmatch(f"{ACCENTS}|{ALPHABETS}", command[1]):
            inner = _PLAIN.sub("", atom[command.end() :])
            if not inner:
                continue  # an accent over several letters: they come on their own
            if command[1] != "mathbb" or inner not in _SETS:
                names.add(f"\\{command[1]}{{{inner}}}")
        elif command[1] in GREEK:
            names.add(atom)
    return names


def legend(markdown: str) -> set[str]:
    """Return the symbols that tables explain: a formula in the first column, words in the next."""
    explained: set[str] = set()
    for line in markdown.splitlines():
        if not line.strip().startswith("|"):
            continue
        row = re.split(r"(?<!\\)\|", line.strip().strip("|"))
        meaning = re.sub(r"\$[^$]*\$", " ", " ".join(row[1:]))
        if re.search(r"[^\W\d_]{2,}", meaning):
            for formula in re.findall(r"\$([^$]+)\$", row[0]):
                explained |= symbols(formula)
    return explained
