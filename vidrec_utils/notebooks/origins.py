"""Where the values in a notebook come from: typed in by hand, or computed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from vidrec_utils.notebooks.reading import Cell, Notebook

_BUILDERS_LIST = """
    abs all any bool dict enumerate float int len list max min print range reversed round set
    sorted str sum tuple zip"""
BUILDERS = frozenset(_BUILDERS_LIST.split())
"""Built-in functions, whose results are as typed in as their arguments."""
_ARRAY_BUILDERS_LIST = """
    arange array asarray atleast_1d atleast_2d concatenate eye full full_like linspace meshgrid
    ones ones_like repeat stack tensor tile zeros zeros_like"""
ARRAY_BUILDERS = frozenset(_ARRAY_BUILDERS_LIST.split())
"""Functions of NumPy and PyTorch that only arrange what they are given."""
_COMPARATORS_LIST = """
    allclose array_equal assert_allclose assert_almost_equal assert_array_almost_equal
    assert_array_equal assert_close assert_frame_equal assert_series_equal approx equal
    isclose isfinite better check not_worse"""
COMPARATORS = frozenset(_COMPARATORS_LIST.split())
"""Functions that compare two results."""
_ARRAY_METHODS_LIST = """
    abs all any argmax argmin astype clone copy cpu detach double eval flatten float items
    item keys long max mean median min ndim no_grad norm numpy permute ravel reshape round
    size sort squeeze std sum tolist to_numpy transpose unsqueeze values view"""
ARRAY_METHODS = frozenset(_ARRAY_METHODS_LIST.split())
"""Methods that arrange or summarise a result, and are nobody's technique."""
_DRAWING = ("matplotlib", "vidrec_utils.plots")


def _inner(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    return (part for node in nodes for part in ast.walk(node))


def names_of(target: ast.AST) -> list[str]:
    """List the names that an assignment to this target binds."""
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]


def bindings(tree: ast.AST) -> Iterator[tuple[list[str], list[ast.AST]]]:
    """Go through everything that binds names, as (names, expressions that they come from)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield [name for target in node.targets for name in names_of(target)], [node.value]
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value:
            yield names_of(node.target), [node.value]
        elif isinstance(node, ast.For | ast.comprehension):
            yield names_of(node.target), [node.iter]
        elif isinstance(node, ast.withitem) and node.optional_vars:
            yield names_of(node.optional_vars), [node.context_expr]
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield [node.name], list(node.body)


def assigned(cell: Cell) -> set[str]:
    """Return the names that a cell binds at its top level, functions and classes included."""
    names: set[str] = set()
    for node in cell.tree.body if cell.tree else ():
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(name for target in node.targets for name in names_of(target))
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            names.update(names_of(node.target))
        elif isinstance(node, ast.For | ast.With):
            inner = ast.Module([node], [])
            names.update(name for bound, _ in bindings(inner) for name in bound)
    return names


def loaded(tree: ast.AST | None) -> set[str]:
    """Return the names that are read somewhere in a tree."""
    return {
        node.id
        for node in (ast.walk(tree) if tree else ())
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def root_of(node: ast.AST) -> str:
    """Return the name at the root of `a.b(c)[d].e`, or ""."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _computes(call: ast.Call, notebook: Notebook) -> bool:
    """Tell whether a call brings something that nobody typed into the notebook."""
    root = root_of(call.func)
    if root not in notebook.aliases:
        return False  # a builder, or a method or function whose own origin decides
    name = notebook.full_name(call.func)
    last = name.rpartition(".")[2]
    return not (name.startswith(_DRAWING) or last in ARRAY_BUILDERS or last == "dedent")


def is_computed(nodes: Iterable[ast.AST], computed: set[str], notebook: Notebook) -> bool:
    """Tell whether expressions read a computed name, or compute something themselves."""
    return any(
        (isinstance(node, ast.Name) and node.id in computed)
        or (isinstance(node, ast.Call) and _computes(node, notebook))
        for node in _inner(nodes)
    )


def computed_names(notebook: Notebook, until: int) -> set[str]:
    """Return the names whose values are computed rather than typed in.

    A number, a list of texts, or an array made from them is typed in. What a package other than the
    drawing library returns is computed, and so is what is derived from it. A parameter of a
    function is computed if the function is called with something computed.

    Parameters
    ----------
    notebook : Notebook
        The notebook.
    until : int
        Number of the last cell that is looked at.
    """
    trees = [cell.tree for cell in notebook.code if cell.tree and cell.number <= until]
    whole = ast.Module([node for tree in trees for node in tree.body], [])
    bound = list(bindings(whole))
    functions = {n.name: n for n in ast.walk(whole) if isinstance(n, ast.FunctionDef)}
    for call in (node for node in ast.walk(whole) if isinstance(node, ast.Call)):
        function = functions.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if function is not None:
            parameters = [argument.arg for argument in function.args.args]
            bound += [([name], [value]) for name, value in zip(parameters, call.args, strict=False)]
            bound += [([word.arg], [word.value]) for word in call.keywords if word.arg]
    computed: set[str] = set()
    while True:
        new = {
            name
            for names, sources in bound
            if is_computed(sources, computed, notebook)
            for name in names
        }
        if new <= computed:
            return computed
        computed |= new
