"""Types of the shared rooms: what mypy leaves open, read from the source."""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
MYPY = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
ROOMS = [REPO / name for name in MYPY["files"]]
SHARED = [
    file for room in ROOMS for file in ([room] if room.suffix else sorted(room.rglob("*.py")))
]
ALL = [*sorted((REPO / "vidrec_utils").rglob("*.py"))]
IGNORE = re.compile(r"#\s*type:\s*ignore(\[[\w-]+(, ?[\w-]+)*\]\s+#\s*\w+ \w+ \w+)?")


def public(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign]:
    """Go through what a public name of a module or class asks for and gives back."""
    for node in ast.iter_child_nodes(tree):
        name = getattr(node, "name", "") or getattr(getattr(node, "target", None), "id", "")
        if name.startswith("_") and not name.startswith("__"):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from public(node)


def annotations(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign) -> list[ast.expr]:
    if isinstance(node, ast.AnnAssign):
        return [node.annotation]
    arguments = [child for child in ast.walk(node.args) if isinstance(child, ast.arg)]
    hints = [*(argument.annotation for argument in arguments), node.returns]
    return [hint for hint in hints if hint]


def anything(source: str) -> list[int]:
    """List the lines of a module whose public signatures hold `Any`."""
    return [
        node.lineno
        for node in public(ast.parse(source))
        for annotation in annotations(node)
        if re.search(r"\bAny\b", ast.unparse(annotation))
    ]


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.relative_to(REPO).as_posix())
def test_no_public_signature_of_a_shared_room_holds_any(path: Path) -> None:
    lines = anything(path.read_text(encoding="utf-8"))
    assert not lines, f"{path}: name the type, or a protocol, instead of Any in lines {lines}"


def test_any_is_found_in_parameters_results_fields_and_strings() -> None:
    source = """
class Found:
    field: dict[str, Any]
    _hidden: Any
    def method(self, *, key: "list[Any]") -> None: ...
def result() -> typing.Any: ...
def _hidden(x: Any) -> Any: ...
def fine(x: object) -> int: ...
"""
    assert anything(source) == [3, 5, 6]


def comments(path: Path) -> Iterator[tuple[int, str]]:
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def bare(comment: str) -> bool:
    """Whether a comment ignores a type error without naming its code and a reason."""
    match = IGNORE.match(comment)
    return match is not None and not match.group(1)


def test_every_ignored_type_error_has_its_code_and_a_reason() -> None:
    bad = [
        f"{path.relative_to(REPO).as_posix()}:{line}"
        for path in ALL
        for line, text in comments(path)
        if bare(text)
    ]
    assert not bad, f"write `# type: ignore[code]  # why it is right` in {bad}"


@pytest.mark.parametrize(
    ("comment", "found"),
    [
        ("# type: ignore", True),
        ("# type: ignore[arg-type]", True),
        ("# type: ignore[arg-type]  # why", True),
        ("# type: ignore  # a reason without a code", True),
        ("# type: ignore[arg-type, misc]  # the caller checks both", False),
        ("# an ordinary comment", False),
    ],
)
def test_an_ignored_type_error_without_code_or_reason_is_found(comment: str, found: bool) -> None:
    assert bare(comment) == found


def test_no_error_is_ignored_by_the_configuration() -> None:
    text = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    assert "ignore_errors" not in text
    assert MYPY["disallow_untyped_defs"]
    assert MYPY["warn_unused_ignores"]
