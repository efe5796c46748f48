"""Examples in docstrings: they run, and what the notebooks call has one."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from vidrec_utils.notebooks.reading import Notebook

REPO = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((REPO / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MODULES = [
    ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((REPO / "vidrec_utils").rglob("*.py"))
    if re.search(r"(?m)^ *>>> ", path.read_text(encoding="utf-8"))
]
WITHOUT: dict[str, str] = {}
"""What the notebooks call and has no example, each with the reason."""


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried, f"{name} holds >>>, but not in a docstring that doctest reads"
    assert not failed, capsys.readouterr().out


def called() -> dict[str, tuple[str, str]]:
    """Map what the notebooks call to its docstring and to the first notebook that calls it."""
    documented: dict[str, tuple[str, str]] = {}
    for path in NOTEBOOKS:
        for _, _, name in Notebook.read(path).calls():
            if name.startswith("vidrec_utils."):
                package, _, own = name.rpartition(".")
                target = getattr(pkgutil.resolve_name(package), own)
                where = f"{target.__module__}.{target.__qualname__}"
                if where.startswith("vidrec_utils."):  # and no method of a dict or a frame
                    documented.setdefault(where, (target.__doc__ or "", path.stem))
    return documented


def test_everything_that_a_notebook_calls_has_an_example():
    has = re.compile(r"(?ms)^ *Examples\n *-{8}\n.*>>> ")
    lacking = {where: nb for where, (text, nb) in called().items() if not has.search(text)}
    missing = [
        f"{where} ({notebook})" for where, notebook in lacking.items() if where not in WITHOUT
    ]
    assert not missing, "write an Examples section for " + ", ".join(missing)
    assert lacking.keys() >= WITHOUT.keys(), "these have an example now, or are not called"
    assert len(WITHOUT) <= 5
    assert all(len(reason.split()) > 3 for reason in WITHOUT.values())
