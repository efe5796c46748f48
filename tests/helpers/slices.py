"""The statements of a notebook on which the calls of a function depend, to be run without the rest.

This is a slice of a program in the sense of Weiser (Program Slicing, ICSE 1981), for code as it is
in notebooks: what a name holds is decided by the last statement that binds it, and by those that
change it afterwards.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def slice_for(codes: Sequence[str], called: str) -> list[ast.stmt]:
    """List the calls of a function in code cells, and the statements that they need, in order.

    Parameters
    ----------
    codes : sequence of str
        The code cells. The body of an `if claims.has(...)` counts as if it stood alone, since a
        notebook asks there whether the library has what the cell needs; other `if` are kept whole.
    called : str
        The function as it is written, such as `"embeddings.embed"`. Functions that are defined in
        the cells and call it count, too.

    Returns
    -------
    list of ast.stmt
        Each can be compiled. Of a statement that calls the function only the call is kept, with the
        comprehension or the loop around it.
    """
    statements = [one for code in codes for one in _flat(ast.parse(code).body)]
    names = {called}
    names |= {one.name for one in statements if _is_def(one) and _calls(one, names)}
    chosen: dict[int, list[ast.stmt]] = {}
    work: list[tuple[int, ast.AST]] = []
    for number, statement in enumerate(statements):
        for unit in () if _is_def(statement) else _units(statement, names):
            chosen.setdefault(number, []).append(unit)
            work.append((number, unit))
    whole: set[int] = set()
    while work:
        number, unit = work.pop()
        for name in _loaded(unit):
            for before in _binding(statements, name, number):
                if before not in whole:
                    whole.add(before)
                    work.append((before, statements[before]))
    order = sorted(whole | {*chosen})
    return [
        one for n in order for one in ([statements[n]] if n in whole else []) + chosen.get(n, [])
    ]


def run(statements: Sequence[ast.stmt], names: dict[str, object]) -> dict[str, object]:
    """Run statements one after the other with these names, which are changed and returned."""
    for statement in statements:
        module = ast.fix_missing_locations(ast.Module([statement], []))
        exec(compile(module, "slice of a notebook", "exec"), names)
    return names


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test).startswith("claims."):
            yield from _flat(statement.body)
        else:
            yield statement


def _is_def(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def _calls(node: ast.AST, names: set[str]) -> list[ast.Call]:
    calls = (one for one in ast.walk(node) if isinstance(one, ast.Call))
    return [call for call in calls if ast.unparse(call.func) in names]


def _units(statement: ast.stmt, names: set[str]) -> Iterator[ast.stmt]:
    """The parts of a statement that hold its calls: itself if it is a block, else expressions."""
    if not _calls(statement, names):
        return
    if isinstance(statement, _BLOCKS):
        yield statement
        return
    covered: set[int] = set()
    for part in ast.walk(statement):  # from the outside to the inside
        is_call = isinstance(part, ast.Call) and ast.unparse(part.func) in names
        is_around = isinstance(part, _COMPREHENSIONS) and bool(_calls(part, names))
        if (is_call or is_around) and id(part) not in covered:
            covered |= {id(one) for one in ast.walk(part)}
            yield ast.copy_location(ast.Expr(part), statement)


def _loaded(node: ast.AST) -> set[str]:
    """Names that a statement reads and does not bind for itself alone."""
    own = {
        one.id
        for part in ast.walk(node)
        if isinstance(part, ast.comprehension)
        for one in ast.walk(part.target)
        if isinstance(one, ast.Name)
    }
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.Lambda):
            own |= {argument.arg for argument in part.args.args}
    if isinstance(node, ast.FunctionDef):
        own |= {one.id for one in ast.walk(node) if _is_stored(one)}
    read = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and not _is_stored(one)}
    changed = (one.target for one in ast.walk(node) if isinstance(one, ast.AugAssign))
    return (read | {one.id for one in changed if isinstance(one, ast.Name)}) - own


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _binding(statements: Sequence[ast.stmt], name: str, before: int) -> Iterator[int]:
    """Backwards from a statement: what changes what a name holds, up to what binds it anew."""
    for number in range(before - 1, -1, -1):
        statement = statements[number]
        if name in _bound(statement):
            yield number
            if not isinstance(statement, (*_BLOCKS, ast.AugAssign)):  # they may leave it as it is
                return
        elif name in _changed(statement):
            yield number


def _bound(statement: ast.stmt) -> set[str]:
    if _is_def(statement):
        return {statement.name}
    names = {one.id for one in ast.walk(statement) if _is_stored(one)}
    for one in ast.walk(statement):
        if isinstance(one, ast.comprehension):
            names -= {inner.id for inner in ast.walk(one.target) if isinstance(inner, ast.Name)}
    imported = (one for one in ast.walk(statement) if isinstance(one, ast.Import | ast.ImportFrom))
    for one in imported:
        names |= {alias.asname or alias.name.partition(".")[0] for alias in one.names}
    return names


def _changed(statement: ast.stmt) -> set[str]:
    """Names of which a part is set: an entry or an attribute."""
    parts = (
        one
        for one in ast.walk(statement)
        if isinstance(one, ast.Subscript | ast.Attribute) and isinstance(one.ctx, ast.Store)
    )
    return {one.value.id for one in parts if isinstance(one.value, ast.Name)}
