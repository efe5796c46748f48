"""Rules on the file: its form, its name, its size, and nothing written twice."""

from __future__ import annotations

import ast
import re
import statistics
import warnings
from collections.abc import Iterator

import nbformat

from vidrec_utils.notebooks.reading import Breach, Cell, Notebook, unparsed, words

CELLS = (30, 80)
WORDS = (1500, 4500)
MEDIAN_LINES, MOST_LINES, TOTAL_LINES = 6, 25, 400
NOT_YET_DEEPENED: frozenset[str] = frozenset()
"""Notebooks whose explanations are still short: for them the lower bounds are `SHORT`."""
SHORT = (15, 600)
"""Fewest cells and words of a notebook of `NOT_YET_DEEPENED`."""


def rule_format(notebook: Notebook) -> Iterator[Breach]:
    """Valid nbformat 4.5 with a unique id for each cell."""
    raw = notebook.raw
    version = (raw.get("nbformat"), raw.get("nbformat_minor"))
    if version != (4, 5) or not all(isinstance(number, int) for number in version):
        yield None, f"the format is {version[0]}.{version[1]}, not 4.5; refresh the notebook"
        return
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        if cell.id in seen:
            yield cell.number, f"the id {cell.id!r} is that of cell {seen[cell.id]} too"
        seen[cell.id] = cell.number
    if len(seen) == len(notebook.cells):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                nbformat.validate(raw)
        except nbformat.ValidationError as error:
            yield None, f"not a valid notebook: {str(error).splitlines()[0]}"


def rule_name(notebook: Notebook) -> Iterator[Breach]:
    """NN_subject, backed by the module and the tests of the same name."""
    if not re.fullmatch(r"\d\d_[a-z][a-z0-9_]*", notebook.name):
        yield None, f"{notebook.name!r} is not two digits, an underscore and a subject"
        return
    if notebook.subject == "tour":
        return
    package = notebook.root / "vidrec_utils"
    modules = [package / f"{notebook.subject}.py", package / notebook.subject / "__init__.py"]
    if not any(module.is_file() for module in modules):
        yield None, f"there is no module vidrec_utils/{notebook.subject}"
    tests = notebook.root / "tests"
    folder = tests / notebook.subject  # of a module that is a folder itself
    if not ((tests / f"test_{notebook.subject}.py").is_file() or any(folder.glob("test_*.py"))):
        yield None, f"there is no tests/test_{notebook.subject}.py"


def _counts(notebook: Notebook) -> tuple[int, int]:
    """Count the cells and the words by which the length of a notebook is judged."""
    cells = sum(not (cell.aside or cell.exercise) for cell in notebook.cells)
    return cells, sum(words(cell.source) for cell in notebook.cells if not cell.is_code)


def _least(notebook: Notebook) -> tuple[int, int]:
    """Return the fewest cells and words that a notebook may have."""
    return SHORT if notebook.name in NOT_YET_DEEPENED else (CELLS[0], WORDS[0])


def rule_cells(notebook: Notebook) -> Iterator[Breach]:
    """30 to 80 cells; check, exercise and quiz cells are not counted."""
    n, least = _counts(notebook)[0], _least(notebook)[0]
    if not least <= n <= CELLS[1]:
        yield (
            None,
            f"{n} cells without checks, exercises and quiz; allowed are {least} to {CELLS[1]}",
        )


def rule_cell_length(notebook: Notebook) -> Iterator[Breach]:
    """Code cells of at most 6 lines in the median, none over 25."""
    for cell in notebook.code:
        if len(cell.lines) > MOST_LINES:
            yield (
                cell.number,
                f"{len(cell.lines)} lines; move code to vidrec_utils (most: {MOST_LINES})",
            )
    if notebook.code:
        median = statistics.median(len(cell.lines) for cell in notebook.code)
        if median > MEDIAN_LINES:
            yield None, f"half of the code cells have over {median:g} lines (most: {MEDIAN_LINES})"


def rule_code_runs(notebook: Notebook) -> Iterator[Breach]:
    """Never more than two code cells in a row without text; check cells are not counted."""
    run = 0
    for cell in (cell for cell in notebook.cells if "check" not in cell.tags):
        run = run + 1 if cell.is_code else 0
        if run == 3:
            yield cell.number, "the third code cell in a row; say what the last two showed"


def code_lines(notebook: Notebook) -> int:
    """Count the lines of code that a reader goes through: no imports, checks and exercises."""
    setup = notebook.section("Set-up")
    imports = sum(
        node.end_lineno - node.lineno + 1
        for cell in (setup.code if setup else ())
        for node in ast.walk(cell.tree or ast.Module([], []))
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    read = (cell for cell in notebook.code if not (cell.aside or cell.exercise))
    return sum(len(cell.lines) for cell in read) - imports


def rule_code_total(notebook: Notebook) -> Iterator[Breach]:
    """At most 400 lines of code; imports of the set-up, checks and exercises are not counted."""
    total = code_lines(notebook)
    if total > TOTAL_LINES:
        yield None, f"{total} lines of code; move some to vidrec_utils (most: {TOTAL_LINES})"


def rule_words(notebook: Notebook) -> Iterator[Breach]:
    """1,500 to 4,500 words of text."""
    (cells, n), least = _counts(notebook), _least(notebook)[1]
    if not least <= n <= WORDS[1]:
        yield None, f"{n} words of text; allowed are {least} to {WORDS[1]}"
    if least < WORDS[0] <= n and cells >= CELLS[0]:
        yield None, f"{notebook.name} is long enough now: take it out of NOT_YET_DEEPENED"


def rule_load(notebook: Notebook) -> Iterator[Breach]:
    """The set-up begins with `library = datasets.load()`; only real clips may come beside it."""
    calls = [
        call
        for _, call, _ in notebook.calls(r".*datasets\.load")
        if [ast.unparse(argument) for argument in call.args] != ["datasets.REAL_CLIPS"]
    ]
    target = "library = datasets.load()"
    lines = [
        cell
        for cell, node in notebook.nodes(ast.Assign)
        if node in cell.tree.body and _without_needs(node) == target
    ]
    if len(calls) != 1 or len(lines) != 1 or lines[0] not in notebook.code[:2]:
        yield None, f"begin with `{target}`, so that the notebook runs on anybody's data; once only"


def _without_needs(assignment: ast.Assign) -> str:
    """Return the source of an assignment, without the argument `needs` of a call that it names."""
    call = assignment.value
    if not isinstance(call, ast.Call):
        return ast.unparse(assignment)
    others = [keyword for keyword in call.keywords if keyword.arg != "needs"]
    bare = ast.Call(call.func, call.args, others)
    return ast.unparse(ast.Assign(assignment.targets, bare, lineno=assignment.lineno))


def repeated(cells: list[tuple[str, Cell]]) -> Iterator[tuple[str, Cell, str, Cell, str]]:
    """Find what is written twice among cells that are given with their notebook's name.

    Yields
    ------
    tuple
        Notebook and cell of the first occurrence, those of the second, and what it is.
    """
    seen: dict[str, tuple[str, Cell]] = {}
    for name, cell in cells:
        keys = [
            f"{'class' if isinstance(node, ast.ClassDef) else 'function'} {node.name}"
            for node in ast.walk(cell.tree or ast.Module([], []))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("__")
        ]
        if len(cell.lines) >= 4:
            keys.append(f"code\n{unparsed(cell)}")
        for key in dict.fromkeys(keys):
            if key in seen and (name, cell.number) != (seen[key][0], seen[key][1].number):
                yield *seen[key], name, cell, key.partition("\n")[0]
                break
        for key in keys:
            seen.setdefault(key, (name, cell))


def own_code(notebook: Notebook) -> list[tuple[str, Cell]]:
    """List the cells that should not be repeated: no set-up, no exercises."""
    setup = notebook.section("Set-up")
    apart = {cell.number for cell in setup.code} if setup else set()
    return [
        (notebook.name, cell)
        for cell in notebook.code
        if not cell.exercise and cell.number not in apart
    ]


def rule_repeats(notebook: Notebook) -> Iterator[Breach]:
    """Nothing is written twice."""
    return (
        (cell.number, f"{what} stands in cell {first.number} already; move it to vidrec_utils")
        for _, first, _, cell, what in repeated(own_code(notebook))
    )
