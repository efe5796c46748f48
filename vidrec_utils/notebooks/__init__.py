"""The contract that every notebook keeps, and the form in which notebooks are committed.

    python -m vidrec_utils.notebooks --check                    # judge all notebooks
    python -m vidrec_utils.notebooks --check notebooks/00_tour.ipynb
    python -m vidrec_utils.notebooks --refresh notebooks/00_tour.ipynb
    python -m vidrec_utils.notebooks --from-script tour.py notebooks/00_tour.ipynb [--refresh]
    python -m vidrec_utils.notebooks --rules                    # what is asked for

A rule is a small function `rule_<name>` that takes a `Notebook` and yields the cell and a sentence
for each way in which it is broken; `RULES` holds those of all modules by name, `TEACHING_RULES` the
names of those that do not judge the notebooks of `techniques.NOT_YET_REWRITTEN`. nbval runs the
notebooks; the rules see what nbval passes over: a swallowed exception, a skipped cell, a number
typed into the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from vidrec_utils.notebooks import (
    box_rules,
    code_rules,
    form_rules,
    lesson_rules,
    output_rules,
    teaching_rules,
    techniques,
)
from vidrec_utils.notebooks.form_rules import own_code, repeated
from vidrec_utils.notebooks.reading import Breach, Notebook, Violation
from vidrec_utils.notebooks.writing import from_script, normalise, refresh, with_stubs, write

__all__ = [
    "RULES",
    "TEACHING_RULES",
    "Notebook",
    "Violation",
    "check_course",
    "check_notebook",
    "from_script",
    "normalise",
    "refresh",
    "with_stubs",
    "write",
]

RULES: dict[str, Callable[[Notebook], Iterator[Breach]]] = {
    name.removeprefix("rule_"): rule
    for module in (form_rules, lesson_rules, teaching_rules, box_rules, code_rules, output_rules)
    for name, rule in vars(module).items()
    if name.startswith("rule_")
}

TEACHING_RULES = frozenset(
    name
    for name, rule in RULES.items()
    if rule.__module__.endswith((".teaching_rules", "box_rules"))
)
"""The rules that do not judge the notebooks of `techniques.NOT_YET_REWRITTEN` yet."""


def _judge(notebook: Notebook) -> list[Violation]:
    violations = [
        Violation(name, cell, message)
        for name, rule in RULES.items()
        for cell, message in rule(notebook)
    ]
    if notebook.name not in techniques.NOT_YET_REWRITTEN:
        return violations
    others = [each for each in violations if each.rule not in TEACHING_RULES]
    if notebook.section("Quiz") and len(others) == len(violations):
        advice = f"{notebook.name} keeps all rules: take it out of NOT_YET_REWRITTEN"
        return [*others, Violation("boxes", None, advice)]
    return others


def check_notebook(
    path: Path | str, *, name: str | None = None, root: Path | None = None
) -> list[Violation]:
    """Judge one notebook by all rules.

    Parameters
    ----------
    path : path
        The notebook; it is not run.
    name : str, optional
        The name under which it is judged; the file's own if not given.
    root : Path, optional
        The folder that holds `vidrec_utils/`, `tests/` and `notebooks/`; the repository if not
        given.

    Returns
    -------
    list of Violation
        Empty if it keeps the contract.

    Raises
    ------
    ValueError
        If the file is not a notebook.
    """
    return _judge(Notebook.read(Path(path), name, root))


def check_course(
    paths: Iterable[Path | str], *, root: Path | None = None
) -> dict[Path, list[Violation]]:
    """Judge several notebooks, each alone and all together: nothing is written in two of them.

    Parameters
    ----------
    paths : iterable of paths
        The notebooks.
    root : Path, optional
        As for `check_notebook`.

    Returns
    -------
    dict of Path to list of Violation
        One entry for each notebook, in the order given.
    """
    notebooks = [Notebook.read(Path(path), root=root) for path in paths]
    violations = {notebook.path: _judge(notebook) for notebook in notebooks}
    for notebook, violation in _shared(notebooks):
        violations[notebook.path].append(violation)
    return violations


def _shared(notebooks: Sequence[Notebook]) -> Iterator[tuple[Notebook, Violation]]:
    by_name = {notebook.name: notebook for notebook in notebooks}
    cells = [pair for notebook in notebooks for pair in own_code(notebook)]
    for name, first, other, cell, what in repeated(cells):
        if name != other:
            message = f"{what} stands in {name}, cell {first.number}, too; move it to vidrec_utils"
            yield by_name[other], Violation("repeats", cell.number, message)
