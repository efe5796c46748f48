"""The set-up script, and the lock against the requirements."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vidrec_utils import doctor

REPO = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("set_up", REPO / "scripts" / "set_up.py")
set_up = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(set_up)

LOCK = (REPO / "requirements.lock").read_text("utf-8")


def test_lock_fits_the_requirements() -> None:
    entries = set_up.blocks(LOCK)
    for line in doctor.requirement_lines():
        requirement = Requirement(line)
        name, version = set_up.pinned(entries[canonicalize_name(requirement.name)]).split("==")
        assert canonicalize_name(name) == canonicalize_name(requirement.name)
        assert requirement.specifier.contains(version), f"{line}: the lock has {version}"


def test_every_locked_package_is_exact_and_hashed() -> None:
    for name, entry in set_up.blocks(LOCK).items():
        assert re.match(rf"{re.escape(name)}==\S+", entry, re.IGNORECASE), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\s", entry), name
    assert "://" not in LOCK


def test_requirements_have_bounds_and_say_what_for() -> None:
    for line in (REPO / "requirements.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement, what_for = line.split("#")
            assert Requirement(requirement.strip()).specifier, line
            assert what_for.strip(), line


def test_requirements_name_every_package_that_we_import() -> None:
    imported: dict[str, str] = {}
    for path in (REPO / "vidrec_utils").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            imported |= {name.partition(".")[0]: path.name for name in names}
    required = {canonicalize_name(Requirement(line).name) for line in doctor.requirement_lines()}
    weights = set_up.blocks((REPO / "requirements-weights.txt").read_text("utf-8"))
    required |= {canonicalize_name(name) for name in weights}
    from_where = packages_distributions()
    for name in imported.keys() - sys.stdlib_module_names - {"vidrec_utils"}:
        projects = {canonicalize_name(project) for project in from_where.get(name, [])}
        assert projects & required, f"{imported[name]} imports {name}; requirements.txt lacks it"


def test_entries_keep_both_versions_of_a_name() -> None:
    text = (
        "# made by hand\nnumpy==1 ; python_version < '3.12' \\\n    --hash=sha256:aa\n    # via x\n"
        "numpy==2 ; python_version >= '3.12' \\\n    --hash=sha256:bb\n"
        "Six==1 \\\n    --hash=sha256:cc\n"
    )
    entries = set_up.blocks(text)
    assert list(entries) == ["numpy", "six"]
    assert entries["numpy"].count("--hash") == 2
    assert "via" not in entries["numpy"]
    assert set_up.pinned(entries["six"]) == "Six==1"


def test_cpu_choice_takes_torch_elsewhere_and_no_cuda() -> None:
    entries = set_up.blocks(LOCK)
    left = set_up.without_cuda(entries)
    gone = set(entries) - set(left)
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit"} <= gone
    assert all(name.startswith(("torch", "triton", "nvidia-", "cuda-")) for name in gone)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record what pip would be asked for, instead of asking it."""
    asked: list[list[str]] = []

    def create(environment: Path) -> Path:
        python = set_up.interpreter(environment)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        asked.append(["create"])
        return python

    monkeypatch.setattr(set_up, "create", create)
    monkeypatch.setattr(set_up, "pip_install", lambda python, *arguments: asked.append(arguments))
    return asked


def test_set_up_runs_once(tmp_path: Path, calls: list[list[str]]) -> None:
    arguments = ["--environment", str(tmp_path / "env")]
    assert set_up.main(arguments) == 0
    first = len(calls)
    assert calls[0] == ["create"]
    assert all("--require-hashes" in call for call in calls[1:-1])
    assert "--editable" in calls[-1]
    assert "--no-build-isolation" in calls[-1]
    assert set_up.main(arguments) == 0
    assert len(calls) == first


def test_changed_requirements_bring_a_whole_environment_up_to_date(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--environment", str(tmp_path / "env")]
    set_up.main(arguments)
    changed = tmp_path / "requirements.lock"
    changed.write_text(LOCK + "\n", "utf-8")
    monkeypatch.setattr(set_up, "LOCK", changed)
    calls.clear()
    set_up.main(arguments)
    assert len(calls) >= 3
    assert ["create"] not in calls


def test_interrupted_set_up_begins_anew(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--environment", str(tmp_path / "env")]
    with monkeypatch.context() as patch:
        patch.setattr(set_up, "install_locked", lambda *_: (_ for _ in ()).throw(SystemExit(1)))
        with pytest.raises(SystemExit):
            set_up.main(arguments)
    calls.clear()
    set_up.main(arguments)
    assert calls[0] == ["create"]


def test_cpu_choice_is_remembered(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    arguments = ["--environment", str(tmp_path / "env")]
    set_up.main([*arguments, "--torch", "cpu"])
    (from_cpu,) = [call for call in calls if "--index-url" in call]
    assert from_cpu[-2].startswith("torch==")
    assert from_cpu[-1].startswith("torchvision==")
    before = len(calls)
    set_up.main(arguments)
    assert len(calls) == before
    set_up.main([*arguments, "--torch", "default"])
    assert calls[before] == ["create"]


def test_another_python_changes_nothing_unless_asked_to(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--environment", str(tmp_path / "env")]
    set_up.main(arguments)
    (stamp,) = (tmp_path / "env").glob(".installed-*")
    before = stamp.read_text("utf-8")
    calls.clear()
    monkeypatch.setattr(sys, "version", "3.99.0 (another one)")
    set_up.main(arguments)
    assert calls == []
    # Changed requirements: brought up to date, by the Python that the environment has.
    changed = tmp_path / "requirements.lock"
    changed.write_text(LOCK + "\n", "utf-8")
    monkeypatch.setattr(set_up, "LOCK", changed)
    set_up.main(arguments)
    assert calls
    assert ["create"] not in calls
    (stamp,) = (tmp_path / "env").glob(".installed-*")
    assert stamp.read_text("utf-8") == before
    calls.clear()
    set_up.main([*arguments, "--this-python"])
    assert calls[0] == ["create"]
    calls.clear()
    set_up.main([*arguments, "--this-python"])
    assert calls == []


def test_replaced_python_of_the_environment_is_noticed(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "env"
    set_up.main(["--environment", str(environment)])
    calls.clear()
    monkeypatch.setattr(sys, "prefix", str(environment))
    set_up.main(["--environment", str(environment)])
    assert calls == []
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    set_up.main(["--environment", str(environment)])
    assert calls[0] == ["create"]


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses to delete a running program")
def test_environment_makes_itself_anew(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, symlinks=True)
    (environment / "rest").touch()
    program = (
        f"import runpy; m = runpy.run_path({str(REPO / 'scripts' / 'set_up.py')!r}); "
        f"import pathlib; print(m['create'](pathlib.Path({str(environment)!r})))"
    )
    own = str(set_up.interpreter(environment))
    done = subprocess.run([own, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == own
    assert not (environment / "rest").exists()
    subprocess.run([own, "-m", "pip", "--version"], check=True, capture_output=True)
    home = (environment / "pyvenv.cfg").read_text("utf-8").splitlines()[0]
    assert not Path(home.partition("=")[2].strip()).is_relative_to(environment)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_prefers_the_python_of_the_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    fakes = [tmp_path / "env" / "bin" / "python", tmp_path / "other"]
    for fake in fakes:
        fake.parent.mkdir(parents=True, exist_ok=True)
        fake.write_text(f'#!/bin/sh\ntest "$1" = -c || echo "$0" "$@" >> "{told}"\n', "utf-8")
        fake.chmod(0o755)
    make = ["make", "setup", f"VENV={tmp_path / 'env'}"]
    subprocess.run(make, cwd=REPO, check=True)
    subprocess.run([*make, f"PYTHON={fakes[1]}", "TORCH=cpu"], cwd=REPO, check=True)
    script = f"scripts/set_up.py --environment {tmp_path / 'env'}"
    assert told.read_text("utf-8").splitlines() == [
        f"{fakes[0]} {script}",
        f"{fakes[1]} {script} --torch=cpu --this-python",
    ]


def test_failed_pip_stops_with_advice(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        set_up.pip_install(Path(sys.executable), "--no-index", "no-such-package-anywhere")
    assert "nothing counts as installed" in capfd.readouterr().err


def test_old_python_is_refused_in_words() -> None:
    program = (
        "import sys, runpy; sys.version_info = (3, 9, 1); "
        f"runpy.run_path({str(REPO / 'scripts' / 'set_up.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer; this is Python 3.9" in done.stderr
