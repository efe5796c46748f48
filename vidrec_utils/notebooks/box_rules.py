"""Rules on boxes: each technique has its idea, formula, drawing, core step, check and look inside.

The cells of a box carry two tags: `box-<name>` and one of `ROLES`. `techniques.py` says which boxes
a notebook owes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from vidrec_utils.notebooks import origins
from vidrec_utils.notebooks.formulas import display_formulas, legend, symbols
from vidrec_utils.notebooks.reading import Breach, Cell, Notebook, literal_text
from vidrec_utils.notebooks.techniques import OWED, Owed

ROLES = ("idea", "drawing", "scratch", "check", "look", "read")
"""The parts of a full box, in order. Each may have several cells."""
TEXT_ROLES = frozenset(["idea", "read"])
SCRATCH_LINES = (5, 15)
BARS = re.compile(r"(vidrec_utils\.plots\.|(.*\.)?plots\.)bars\w*|.*\.barh?|barh?")
_SHAPES_LIST = """
    Arrow Circle Ellipse FancyArrow FancyArrowPatch FancyBboxPatch PathPatch Polygon Rectangle
    RegularPolygon Wedge arrow broken_barh ellipse polygon rectangle rounded_rectangle"""
SHAPES = frozenset(_SHAPES_LIST.split())
"""Functions that draw one shape where they are told to."""
_PACKAGE = "vidrec_utils."
_ALLOWED = ("vidrec_utils.settings", "vidrec_utils.plots")
"""Rooms that a core step from scratch may use: they hold no technique."""
_NO_REFERENCE = re.compile(
    r"vidrec_utils\.(settings|plots|claims|datasets|exercises)\b|(numpy|torch)\.random\b"
    r"|torch\.(manual_seed|rand|randn|randint|Generator)\b"
)
"""What is imported, but is nothing that a result could be compared with."""


def boxes(notebook: Notebook) -> dict[str, list[tuple[str, Cell]]]:
    """Return the cells of each box in order, each with its part; "" where the tag is missing."""
    by_box: dict[str, list[tuple[str, Cell]]] = {}
    for cell in notebook.cells:
        roles = [tag for tag in cell.tags if tag in ROLES]
        for tag in cell.tags:
            if tag.startswith("box-"):
                part = roles[0] if len(roles) == 1 else ""
                by_box.setdefault(tag.removeprefix("box-"), []).append((part, cell))
    return by_box


def _cells(notebook: Notebook, *roles: str, full: bool = False) -> Iterator[tuple[str, str, Cell]]:
    """Go through the cells of given parts, as (box, part, cell); `full`: of full boxes only."""
    owed = OWED.get(notebook.subject, Owed()).full
    for name, cells in boxes(notebook).items():
        for part, cell in cells:
            if part in roles and (name in owed or not full):
                yield name, part, cell


def _joined(roles: list[str]) -> list[str]:
    """Drop the repetitions of a part that follow one another."""
    return [part for index, part in enumerate(roles) if index == 0 or roles[index - 1] != part]


def rule_boxes(notebook: Notebook) -> Iterator[Breach]:
    """Every technique that is owed has its box, with its parts in order."""
    owed = OWED.get(notebook.subject)
    if owed is None:
        yield None, f"enter {notebook.subject!r} in OWED of vidrec_utils/notebooks/techniques.py"
        return
    present = boxes(notebook)
    for name in (*owed.full, *owed.short):
        if name not in present:
            yield None, f"there is no box of {name}: tag its cells box-{name}"
    for name, cells in present.items():
        start = cells[0][1].number
        if name not in owed.full + owed.short:
            yield start, f"enter the box {name!r} in OWED of vidrec_utils/notebooks/techniques.py"
            continue
        for part, cell in cells:
            if not part:
                yield cell.number, f"a cell of box-{name} has one more tag: {', '.join(ROLES)}"
            elif cell.is_code == (part in TEXT_ROLES):
                kind = "text" if part in TEXT_ROLES else "code"
                yield cell.number, f"the part {part} of box-{name} is a {kind} cell"
        order = _joined([part for part, _ in cells if part])
        if name in owed.full and order != list(ROLES):
            yield start, f"box-{name} goes {', '.join(order)}; the order is {', '.join(ROLES)}"
        elif name in owed.short and (
            order != [part for part in ROLES if part in order] or not {"idea", "check"} <= {*order}
        ):
            yield start, f"the short box-{name} goes {', '.join(order)}; it is idea, then check"


def rule_box_formula(notebook: Notebook) -> Iterator[Breach]:
    """The idea of a box has a formula, and a legend with a row for each of its symbols."""
    ideas: dict[str, list[Cell]] = {}
    for name, _, cell in _cells(notebook, "idea"):
        ideas.setdefault(name, []).append(cell)
    for name, cells in ideas.items():
        text = "\n\n".join(cell.source for cell in cells)
        formulas = display_formulas(text)
        if not any(symbols(formula) for formula in formulas):
            yield cells[0].number, f"the idea of box-{name} has no formula between $$ and $$"
            continue
        unexplained = {s for formula in formulas for s in symbols(formula)} - legend(text)
        if unexplained:
            yield (
                cells[0].number,
                f"the legend of box-{name} has no row for {', '.join(sorted(unexplained))}",
            )


def draws_bars(cell: Cell, notebook: Notebook) -> bool:
    """Tell whether a cell draws bars, itself or through a function that the notebook defines."""
    own = {
        node.name
        for _, node in notebook.nodes(ast.FunctionDef)
        if any(_is_bar(call, notebook) for call in ast.walk(node))
    }
    return any(
        _is_bar(node, notebook) or (isinstance(node, ast.Call) and origins.root_of(node) in own)
        for node in (ast.walk(cell.tree) if cell.tree else ())
    )


def _is_bar(node: ast.AST, notebook: Notebook) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = notebook.full_name(node.func)
    if not name and isinstance(node.func, ast.Attribute):
        name = f".{node.func.attr}"
    kinds = [literal_text(word.value) for word in node.keywords if word.arg == "kind"]
    return bool(BARS.fullmatch(name)) or bool({"bar", "barh"} & set(kinds))


def rule_box_images(notebook: Notebook) -> Iterator[Breach]:
    """The drawing and the look inside of a box are pictures, and no bar charts."""
    shown = {image.cell.number for image in notebook.images}
    groups: dict[tuple[str, str], list[Cell]] = {}
    for name, part, cell in _cells(notebook, "drawing", "look"):
        groups.setdefault((name, part), []).append(cell)
    for (name, part), cells in groups.items():
        if not any(cell.number in shown for cell in cells):
            yield cells[0].number, f"the {part} of box-{name} shows no picture"
        for cell in cells:
            if draws_bars(cell, notebook):
                yield cell.number, f"the {part} of box-{name} is a bar chart; show what is inside"


def rule_box_drawing(notebook: Notebook) -> Iterator[Breach]:
    """A drawing shows the real network or its data: no shape is typed in by hand."""
    for name, _, cell in _cells(notebook, "drawing", "look"):
        if cell.tree is None:
            continue
        computed = origins.computed_names(notebook, cell.number)
        if not origins.is_computed([cell.tree], computed, notebook):
            yield (
                cell.number,
                f"a picture of box-{name} reads nothing computed; draw the network or its data",
            )
        for call in (node for node in ast.walk(cell.tree) if isinstance(node, ast.Call)):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            called = called or notebook.full_name(call.func).rpartition(".")[2]
            values = [*call.args, *(word.value for word in call.keywords)]
            framed = {"bbox", "arrowprops"} & {word.arg for word in call.keywords}
            if (called in SHAPES or framed) and not origins.is_computed(values, computed, notebook):
                yield (
                    cell.number,
                    f"{called}() in box-{name} draws a shape that was typed in; compute it",
                )
                break


def _lines(cell: Cell) -> list[str]:
    """Return the lines of a cell without comments and docstrings."""
    texts = {
        number
        for node in (ast.walk(cell.tree) if cell.tree else ())
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for number in range(node.lineno, node.end_lineno + 1)
    }
    return [
        line
        for number, line in enumerate(cell.source.splitlines(), start=1)
        if number not in texts and line.strip() and not line.lstrip().startswith("#")
    ]


def _dotted(tree: ast.AST | None, notebook: Notebook) -> set[str]:
    """Return the full names of everything imported that a tree mentions, called or not."""
    nodes = (node for node in (ast.walk(tree) if tree else ()) if not isinstance(node, ast.alias))
    names = (
        notebook.full_name(node)
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute) and origins.root_of(node) in notebook.aliases
    )
    return {name for name in names if name}


def _calls(tree: ast.AST | None) -> Iterator[ast.Call]:
    return (node for node in (ast.walk(tree) if tree else ()) if isinstance(node, ast.Call))


def _last(call: ast.Call, notebook: Notebook) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return notebook.full_name(call.func).rpartition(".")[2]


def _references(
    tree: ast.AST, own: set[str], computed: set[str], notebook: Notebook
) -> Iterator[tuple[str, str]]:
    """Go through the calls that `own` results are compared with, as (root, last part of the name).

    Such a call is of something imported, or of an object that a package made: no function of
    `own`, none that compares, none that only arranges what it is given.
    """
    for call in _calls(tree):
        root, last = origins.root_of(call.func), _last(call, notebook)
        plain = origins.COMPARATORS | origins.ARRAY_BUILDERS | origins.ARRAY_METHODS
        dotted = notebook.full_name(call.func)
        if root in own or last in plain or (root == last and last in origins.BUILDERS):
            continue
        if _NO_REFERENCE.match(dotted) or root in ("rng", "generator"):
            continue
        if root in notebook.aliases or root in computed:
            yield root, last


def _scratch(notebook: Notebook) -> Iterator[tuple[str, list[Cell], list[Cell]]]:
    """Go through the full boxes, as (name, scratch cells, check cells)."""
    owed = OWED.get(notebook.subject, Owed()).full
    for name, cells in boxes(notebook).items():
        by_part = {part: [cell for p, cell in cells if p == part] for part in ("scratch", "check")}
        if name in owed and all(by_part.values()):
            yield name, by_part["scratch"], by_part["check"]


def rule_box_scratch(notebook: Notebook) -> Iterator[Breach]:
    """The core step takes 5 to 15 lines, and does not call what it is compared with."""
    written = {node.name for _, node in notebook.nodes(ast.FunctionDef, ast.ClassDef)}
    for name, scratch, checks in _scratch(notebook):
        first = scratch[0].number
        n = sum(len(_lines(cell)) for cell in scratch)
        if not SCRATCH_LINES[0] <= n <= SCRATCH_LINES[1]:
            allowed = f"{SCRATCH_LINES[0]} to {SCRATCH_LINES[1]}"
            yield first, f"the scratch of box-{name} has {n} lines of code; allowed are {allowed}"
        own = {bound for cell in scratch for bound in origins.assigned(cell)}
        computed = origins.computed_names(notebook, first - 1) - own
        compared = {
            last
            for cell in checks
            if cell.tree
            for _, last in _references(cell.tree, own, computed, notebook)
        }
        for cell in scratch:
            mentioned = _dotted(cell.tree, notebook)
            wrapped = {
                dotted
                for dotted in mentioned
                if dotted.startswith(_PACKAGE) and not dotted.startswith(_ALLOWED)
            }
            wrapped |= {dotted for dotted in mentioned if dotted.rpartition(".")[2] in compared}
            for call in _calls(cell.tree):
                root, last = origins.root_of(call.func), _last(call, notebook)
                made = isinstance(call.func, ast.Name) and root in computed - written
                if root not in own and (made or (root in computed and last in compared)):
                    wrapped.add(ast.unparse(call.func))
            if wrapped:
                yield (
                    cell.number,
                    f"the scratch of box-{name} uses {', '.join(sorted(wrapped))}, with which it "
                    "is compared; write the step itself",
                )


def assertions(tree: ast.AST | None, notebook: Notebook) -> list[ast.AST]:
    """List what is asserted in a tree: assertions, and calls that raise where results differ."""
    kinds = ("claims.check", "claims.better", "claims.not_worse")
    return [
        node.test if isinstance(node, ast.Assert) else node
        for node in (ast.walk(tree) if tree else ())
        if isinstance(node, ast.Assert)
        or (
            isinstance(node, ast.Call)
            and (
                notebook.full_name(node.func).endswith(kinds)
                or _last(node, notebook).startswith("assert_")
            )
        )
    ]


def compares_itself(asserted: ast.AST, notebook: Notebook) -> bool:
    """Tell whether something is compared with itself."""
    for node in ast.walk(asserted):
        sides: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and _last(node, notebook) in origins.COMPARATORS:
            sides = node.args[:2]
        spelled = [ast.unparse(side) for side in sides]
        if len(spelled) > len({*spelled}):
            return True
    return False


def _expanded(asserted: ast.AST, cell: Cell) -> ast.Module:
    """Return an assertion together with what the cell's own names in it stand for."""
    nodes, known = [asserted], set()
    bound = list(origins.bindings(cell.tree)) if cell.tree else []
    while True:
        names = {name for node in nodes for name in origins.loaded(node)} - known
        if not names:
            return ast.Module(list(nodes), [])
        known |= names
        for targets, sources in bound:
            if names & {*targets}:
                nodes += sources


def rule_box_check(notebook: Notebook) -> Iterator[Breach]:
    """A check compares what was written from scratch with a package, and nothing with itself."""
    for name, _, cell in _cells(notebook, "check"):
        asserted = assertions(cell.tree, notebook)
        if any(compares_itself(each, notebook) for each in asserted):
            yield cell.number, f"the check of box-{name} compares something with itself"
    for name, cells in _short(notebook):
        if not any(
            origins.loaded(_expanded(each, cell))
            for cell in cells
            for each in assertions(cell.tree, notebook)
        ):
            yield cells[0].number, f"the check of box-{name} asserts nothing about its example"
    for name, scratch, checks in _scratch(notebook):
        own = {bound for cell in scratch for bound in origins.assigned(cell)}
        computed = origins.computed_names(notebook, scratch[0].number - 1) - own
        if not any(
            own & origins.loaded(whole) and any(_references(whole, own, computed, notebook))
            for cell in checks
            for each in assertions(cell.tree, notebook)
            for whole in [_expanded(each, cell)]
        ):
            yield (
                checks[0].number,
                f"the check of box-{name} compares no name of its scratch with an imported one",
            )


def _short(notebook: Notebook) -> Iterator[tuple[str, list[Cell]]]:
    """Go through the short boxes, as (name, check cells)."""
    owed = OWED.get(notebook.subject, Owed()).short
    for name, cells in boxes(notebook).items():
        checks = [cell for part, cell in cells if part == "check"]
        if name in owed and checks:
            yield name, checks
