"""Names of the package: a submodule and an attribute of its package never share one."""

import importlib
import pkgutil
import types

import vidrec_utils


def hidden_submodules(package):
    """Submodules that an attribute of the same name hides, as dotted names."""
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        attribute = getattr(package, info.name.rpartition(".")[2])
        if attribute is not module:
            yield info.name
        if info.ispkg:
            yield from hidden_submodules(module)


def test_no_attribute_of_a_package_hides_a_submodule():
    assert list(hidden_submodules(vidrec_utils)) == []


def test_a_hidden_submodule_would_be_found(monkeypatch):
    monkeypatch.setattr(vidrec_utils.evaluation, "metrics", lambda hits: hits)
    assert isinstance(importlib.import_module("vidrec_utils.evaluation.metrics"), types.ModuleType)
    assert list(hidden_submodules(vidrec_utils.evaluation)) == ["vidrec_utils.evaluation.metrics"]
