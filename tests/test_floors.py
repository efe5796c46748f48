"""The floors of the package: rooms import downwards, and no two import each other.

A room is a module or a folder directly inside `vidrec_utils/`. It may import rooms of lower floors,
and rooms of its own floor as long as they do not import it in turn. A new room is written
into the table of CONTRIBUTING.md. Imports inside functions and under TYPE_CHECKING count, as do
names that are given to `import_module`, `find_spec` or `__import__` as strings.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "vidrec_utils"
GUIDE = PACKAGE.parent / "CONTRIBUTING.md"


def table(guide: str) -> dict[str, list[str]]:
    """Read the floors, the lowest first, from their table in CONTRIBUTING.md."""
    lines = guide.partition("| floor | rooms |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    cells = [line.strip("| ").split(" | ") for line in reversed(lines)]
    return {floor: re.findall(r"`(\w+)`", named) for floor, named in cells}


FLOORS = table(GUIDE.read_text(encoding="utf-8"))
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS.values()) for room in rooms}
FLOOR["__init__"] = -1  # `import vidrec_utils` loads no room
ANYWHERE = "any room"
"""What a name that is put together at run time may import."""
ALLOWED = {
    ("recommender", ANYWHERE): "a saved model is loaded by the room of its class",
}
"""Imports that may point upwards, as (importing room, imported room), each with the reason."""

Import = tuple[str, str, str]
"""Importing room, imported room, and the file and line."""


def rooms(package: Path) -> set[str]:
    """Names of the modules and folders directly inside a package."""
    return {
        path.stem
        for path in package.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").is_file())
        and not path.stem.startswith("__")
    }


def strings(node: ast.AST) -> Iterator[str]:
    """Go through the string constants in a piece of code; `{}` stands for what is computed."""
    for child in ast.walk(node):
        if isinstance(child, ast.JoinedStr):
            pieces = (v.value if isinstance(v, ast.Constant) else "{}" for v in child.values)
            yield "".join(map(str, pieces))
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value


def imported(tree: ast.Module, folder: str) -> Iterator[tuple[int, str]]:
    """Go through the dotted names that a module imports, each with its line.

    Parameters
    ----------
    tree : ast.Module
        Its syntax tree.
    folder : str
        The package that holds the module: relative imports start from it.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder.split(".")[: folder.count(".") + 2 - node.level] if node.level else []
            start = [*above, node.module] if node.module else above
            yield from ((node.lineno, ".".join([*start, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and re.search(
            r"\b(import_module|find_spec|__import__)$", ast.unparse(node.func)
        ):
            name = [*node.args, *(keyword.value for keyword in node.keywords)][0]
            literal = isinstance(name, ast.Constant | ast.JoinedStr)
            for text in strings(name if literal else tree):  # a variable: all that it may hold
                if re.fullmatch(r"vidrec_utils\.[\w.{}]+", text):
                    yield node.lineno, text
            if not literal and "find_spec" not in ast.unparse(node.func):
                yield node.lineno, "vidrec_utils.{}"


def imports(package: Path) -> list[Import]:
    """List the imports from one room of a package into another."""
    known, result = rooms(package), []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        folder = ".".join(["vidrec_utils", *parts[:-1]])
        for line, name in imported(ast.parse(path.read_text(encoding="utf-8")), folder):
            top, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            target = ANYWHERE if "{" in room else room
            if top == "vidrec_utils" and target in {*known, ANYWHERE} - {parts[0]}:
                result.append((parts[0], target, f"{'/'.join(path.parts[-2:])}:{line}"))
    return result


def upward(edges: Iterable[Import]) -> dict[tuple[str, str], str]:
    """Pick the imports that point to a higher floor, with the line of one of each."""
    top = len(FLOORS)
    return {
        (room, target): where
        for room, target, where in edges
        if FLOOR.get(target, top) > FLOOR.get(room, top)
    }


def circle(edges: Iterable[Import]) -> list[str]:
    """Return rooms that import each other in a circle; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for room, target, _ in edges:
        graph.setdefault(room, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_room_has_its_floor():
    here = rooms(PACKAGE)
    unknown, gone = sorted(here - FLOOR.keys()), sorted(FLOOR.keys() - here - {"__init__"})
    assert not unknown, f"write the rooms {unknown} into the table of floors in CONTRIBUTING.md"
    assert not gone, f"the rooms {gone} of the table of floors do not exist"


def test_the_floors_of_the_table_are_read_from_the_ground_up():
    assert [*FLOORS] == [
        "ground",
        "worlds and media",
        "vectors and models",
        "subjects",
        "the course",
    ]
    assert FLOOR["settings"] < FLOOR["datasets"] < FLOOR["encoders"] < FLOOR["hybrid"]


def test_imports_point_downwards_only():
    climbs = upward(imports(PACKAGE))
    new = {pair: where for pair, where in climbs.items() if pair not in ALLOWED}
    assert not new, f"imports point upwards; move what is shared to a lower floor: {new}"
    assert climbs.keys() == ALLOWED.keys(), "these imports are gone: take them out of ALLOWED"


def test_no_rooms_import_each_other_in_a_circle():
    assert circle(edge for edge in imports(PACKAGE) if edge[:2] not in ALLOWED) == []


# --- what the rules find ------------------------------------------------------------------------

PLANTED = {
    "plain": "from vidrec_utils.hybrid import fusion",
    "whole module": "import vidrec_utils.hybrid.fusion as fusion",
    "from the package": "from vidrec_utils import hybrid",
    "relative": "from . import hybrid",
    "lazy": "def f():\n    from vidrec_utils.hybrid import fusion",
    "for types": "if TYPE_CHECKING:\n    from vidrec_utils.hybrid import fusion",
    "by string": "importlib.import_module('vidrec_utils.hybrid.fusion')",
    "by formatted string": "importlib.import_module(f'vidrec_utils.hybrid.{x}')",
    "asked for": "find_spec(name='vidrec_utils.hybrid')",
    "built in": "__import__('vidrec_utils.hybrid')",
    "by variable": "NAME = 'vidrec_utils.hybrid'\nimport_module(NAME)",
}


def plant(folder: Path, sources: dict[str, str]) -> Path:
    """Copy the file of each room's door into a package, with lines added to some of them."""
    for room in FLOOR:
        path = next(
            p for p in (PACKAGE / f"{room}.py", PACKAGE / room / "__init__.py") if p.exists()
        )
        copied = folder / path.relative_to(PACKAGE)
        copied.parent.mkdir(exist_ok=True)
        lines = sources.get(room, "")
        copied.write_text(f"{path.read_text(encoding='utf-8')}\n{lines}\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("lines", PLANTED.values(), ids=PLANTED)
def test_a_planted_upward_import_is_found(lines, tmp_path):
    climbs = upward(imports(plant(tmp_path, {"files": lines}))).keys() - ALLOWED.keys()
    assert climbs - {("files", ANYWHERE)} == {("files", "hybrid")}


def test_a_name_that_is_computed_may_import_any_room(tmp_path):
    computed = ("f'vidrec_utils.{x}'", "'vidrec_utils.' + x")
    lines = "\n".join(f"importlib.import_module({name})" for name in computed)
    assert ("top_k", ANYWHERE) in upward(imports(plant(tmp_path, {"top_k": lines})))


def test_a_module_in_a_folder_is_found_with_its_line(tmp_path):
    (plant(tmp_path, {}) / "plots" / "new.py").write_text("\nfrom ..encoders import load\n")
    assert upward(imports(tmp_path))["plots", "encoders"] == "plots/new.py:2"


def test_downward_imports_and_other_packages_are_allowed(tmp_path):
    lines = "import numpy\nfrom vidrec_utils import __version__, files\nfrom .top_k import top_k"
    before, after = (
        upward(imports(plant(tmp_path, {}))),
        upward(imports(plant(tmp_path, {"hybrid": lines}))),
    )
    assert before == after


def test_a_planted_circle_on_one_floor_is_found(tmp_path):
    lines = "def f():\n    from vidrec_utils import video_encoders"
    other = "from vidrec_utils.image_encoders import load"
    planted = plant(tmp_path, {"image_encoders": lines, "video_encoders": other})
    assert {"image_encoders", "video_encoders"} <= {*circle(imports(planted))}
