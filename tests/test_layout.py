"""The tests mirror the package: knowing the name of a room, a reader knows where its tests are.

A room that is a folder has a folder of tests, a room that is one module has `test_<room>.py`. There
are also the tests of `scripts/` and `benchmarks/`, what tests share (`helpers/`, and models that an
earlier version saved), the runs of `long/`, which take too long for every day, and the tests of
`WHOLE`, which look at the package as a whole.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "vidrec_utils"
WHOLE = {"contracts", "examples", "floors", "layout", "names", "types"}
SHARED = {"helpers", "long", "saved_models"}


def misplaced(tests: Path, package: Path) -> list[str]:
    """List what in a folder of tests names no room of a package."""
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    folders |= {"scripts", "benchmarks", *SHARED}
    modules = {path.stem for path in package.glob("[a-z]*.py")} | WHOLE
    allowed = {f"{name}/" for name in folders} | {f"test_{name}.py" for name in modules}
    entries = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in tests.iterdir()
        if path.name[0] not in "._" and (path.is_dir() or path.suffix == ".py")
    }
    return sorted(entries - allowed - {"conftest.py"})


def test_every_folder_and_file_of_tests_names_a_room():
    names = misplaced(TESTS, PACKAGE)
    assert not names, (
        f"{names} name no room of vidrec_utils: tests of a folder stand in tests/<room>/test_*.py, "
        "those of a module in tests/test_<room>.py"
    )


def test_every_folder_of_tests_holds_some():
    folders = (path for path in TESTS.iterdir() if path.is_dir() and path.name[0] not in "._")
    empty = [path.name for path in folders if not any(path.glob("test_*.py"))]
    assert not {*empty} - SHARED


@pytest.mark.parametrize("name", ["test_plots.py", "shapes/", "test_shapes.py", "plots_test.py"])
def test_what_names_no_room_is_found(name, tmp_path):
    for path in (tmp_path / "package/plots/__init__.py", tmp_path / "tests/plots/test_charts.py"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert misplaced(tmp_path / "tests", tmp_path / "package") == []
    path = tmp_path / "tests" / name
    path.mkdir() if name.endswith("/") else path.touch()
    assert misplaced(tmp_path / "tests", tmp_path / "package") == [name]
