"""Rules on the file: its form, its name, its size, and nothing written twice."""

from __future__ import annotations

import ast
import re
import statistics
import warnings
from collections.abc import Iterator

import nbformat

from vidrec_utils.notebooks.reading import Cell, Notebook, Violation, unparsed, words

CELLS = (15, 40)
MEDIAN_LINES, MOST_LINES, TOTAL_LINES = 6, 25, 160
WORDS = (600, 1400)


def rule_format(notebook: Notebook) -> Iterator[Violation]:
    """Valid nbformat 4.5 with a unique id for each cell."""
    raw = notebook.raw
    version = (raw.get("nbformat"), raw.get("nbformat_minor"))
    if version != (4, 5):
        message = f"the format is {version[0]}.{version[1]}, not 4.5; refresh the notebook"
        yield Violation("format", None, message)
        return
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        if cell.id in seen:
            message = f"the id {cell.id!r} is that of cell {seen[cell.id]} too"
            yield Violation("format", cell.number, message)
        seen[cell.id] = cell.number
    if len(seen) == len(notebook.cells):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                nbformat.validate(raw)
        except nbformat.ValidationError as error:
            yield Violation("format", None, f"not a valid notebook: {str(error).splitlines()[0]}")


def rule_name(notebook: Notebook) -> Iterator[Violation]:
    """NN_subject, backed by the module and the tests of the same name."""
    if not re.fullmatch(r"\d\d_[a-z][a-z0-9_]*", notebook.name):
        message = f"{notebook.name!r} is not two digits, an underscore and a subject"
        yield Violation("name", None, message)
        return
    if notebook.subject == "tour":
        return
    package = notebook.root / "vidrec_utils"
    places = [package / f"{notebook.subject}.py", package / notebook.subject / "__init__.py"]
    if not any(place.is_file() for place in places):
        yield Violation("name", None, f"there is no module vidrec_utils/{notebook.subject}")
    tests = notebook.root / "tests"
    folder = tests / notebook.subject  # of a module that is a folder itself
    if not ((tests / f"test_{notebook.subject}.py").is_file() or any(folder.glob("test_*.py"))):
        yield Violation("name", None, f"there is no tests/test_{notebook.subject}.py")


def rule_cells(notebook: Notebook) -> Iterator[Violation]:
    """15 to 40 cells."""
    n = len(notebook.cells)
    if not CELLS[0] <= n <= CELLS[1]:
        yield Violation("cells", None, f"{n} cells; a notebook has {CELLS[0]} to {CELLS[1]}")


def rule_cell_length(notebook: Notebook) -> Iterator[Violation]:
    """Code cells of at most 6 lines in the median, none over 25."""
    for cell in notebook.code:
        if len(cell.lines) > MOST_LINES:
            message = f"{len(cell.lines)} lines; move code to vidrec_utils (most: {MOST_LINES})"
            yield Violation("cell_length", cell.number, message)
    if notebook.code:
        median = statistics.median(len(cell.lines) for cell in notebook.code)
        if median > MEDIAN_LINES:
            message = f"half of the code cells have over {median:g} lines (most: {MEDIAN_LINES})"
            yield Violation("cell_length", None, message)


def rule_code_runs(notebook: Notebook) -> Iterator[Violation]:
    """Never more than two code cells in a row without text."""
    run = 0
    for cell in notebook.cells:
        run = run + 1 if cell.is_code else 0
        if run == 3:
            message = "the third code cell in a row; say what the last two showed"
            yield Violation("code_runs", cell.number, message)


def rule_code_total(notebook: Notebook) -> Iterator[Violation]:
    """At most 160 lines of code."""
    total = sum(len(cell.lines) for cell in notebook.code)
    if total > TOTAL_LINES:
        message = f"{total} lines of code; move some to vidrec_utils (most: {TOTAL_LINES})"
        yield Violation("code_total", None, message)


def rule_words(notebook: Notebook) -> Iterator[Violation]:
    """600 to 1,400 words of text."""
    n = sum(words(cell.source) for cell in notebook.cells if not cell.is_code)
    if not WORDS[0] <= n <= WORDS[1]:
        yield Violation("words", None, f"{n} words of text; wanted are {WORDS[0]} to {WORDS[1]}")


def rule_load(notebook: Notebook) -> Iterator[Violation]:
    """The set-up has `library = datasets.load()`, once, in its first two code cells."""
    calls = [cell for cell, _, name in notebook.calls() if name.endswith("datasets.load")]
    wanted = "library = datasets.load()"
    lines = [
        cell
        for cell, node in notebook.nodes(ast.Assign)
        if ast.unparse(node) == wanted and node in cell.tree.body
    ]
    if len(calls) != 1 or len(lines) != 1 or lines[0] not in notebook.code[:2]:
        message = f"begin with `{wanted}`, so that the notebook runs on anybody's data; once only"
        yield Violation("load", None, message)


def repeated(cells: list[tuple[str, Cell]]) -> Iterator[tuple[str, Cell, str, Cell, str]]:
    """Find what is written twice among cells that are given with their notebook's name.

    Yields
    ------
    tuple
        Notebook and cell of the first place, notebook and cell of the second, and what it is.
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


def rule_repeats(notebook: Notebook) -> Iterator[Violation]:
    """Nothing is written twice."""
    for _, first, _, cell, what in repeated(own_code(notebook)):
        message = f"{what} stands in cell {first.number} already; move it to vidrec_utils"
        yield Violation("repeats", cell.number, message)


RULES = [
    rule_format,
    rule_name,
    rule_cells,
    rule_cell_length,
    rule_code_runs,
    rule_code_total,
    rule_words,
    rule_load,
    rule_repeats,
]
