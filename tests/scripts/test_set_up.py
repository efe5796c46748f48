"""The set-up script, and the lock against the requirements."""

import ast
import functools
import hashlib
import http.server
import importlib.util
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
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


@pytest.mark.parametrize(
    "file", ["requirements.lock", "requirements-weights.txt", "scripts/requirements-uv.txt"]
)
def test_every_locked_package_is_exact_and_hashed(file: str) -> None:
    text = (REPO / file).read_text("utf-8")
    for name, entry in set_up.blocks(text).items():
        assert re.match(rf"{re.escape(name)}==\S+", entry, re.IGNORECASE), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\s", entry), name
    assert "://" not in text


def test_whatever_make_fetches_is_compared_with_a_hash() -> None:
    commands = re.findall(r"pip install(?:.*\\\n)*.*", (REPO / "Makefile").read_text("utf-8"))
    assert commands
    assert all("--require-hashes" in command for command in commands)


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

    def install(self: object, environment: Path, python: Path) -> None:
        asked.append(["cpu builds", self.index, *self.keys])
        self.record = {key: {"file": "f", "sha256": "0" * 64} for key in self.keys.values()}
        self.keep(environment)

    def pip_install(
        python: Path, *arguments: str, index: str = "default", command: str = "install"
    ) -> None:
        asked.append([*arguments, f"index={index}"])
        if command == "download":
            folder = Path(arguments[arguments.index("--dest") + 1])
            with zipfile.ZipFile(folder / "mediapipe-1-py3-none-any.whl", "w") as archive:
                for name in set_up.MEDIAPIPE_FILES:
                    archive.writestr(name, name)

    monkeypatch.setattr(set_up, "site_packages", lambda python: python.parent.parent / "packages")
    monkeypatch.setattr(set_up, "create", create)
    monkeypatch.setattr(set_up, "pip_install", pip_install)
    monkeypatch.setattr(set_up, "python_tag", lambda python: ("cp311", "cp311"))
    monkeypatch.setattr(set_up, "trusted_wheels", lambda pin, *_: [set_up.Wheel("f", "0" * 64)])
    monkeypatch.setattr(set_up.CpuBuilds, "install", install)
    return asked


def test_set_up_runs_once(tmp_path: Path, calls: list[list[str]]) -> None:
    arguments = ["--environment", str(tmp_path / "env")]
    assert set_up.main(arguments) == 0
    first = len(calls)
    assert calls[0] == ["create"]
    assert all("--require-hashes" in call for call in calls[1:-1])
    assert {call[-1] for call in calls[1:-1]} == {"index=default"}
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
    (from_cpu,) = [call for call in calls if call[0] == "cpu builds"]
    assert from_cpu[1] == set_up.CPU_WHEELS
    assert from_cpu[2].startswith("torch==")
    assert from_cpu[3].startswith("torchvision==")
    assert len(from_cpu) == 4
    before = len(calls)
    set_up.main(arguments)
    assert len(calls) == before
    set_up.main([*arguments, "--torch", "default"])
    assert calls[before] == ["create"]


def test_mirrors_are_remembered(tmp_path: Path, calls: list[list[str]], monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    environment = tmp_path / "env"
    arguments = ["--environment", str(environment)]
    mirrors = ["--index", "https://me:secret@MIRROR/simple/", "--torch-index", "https://MIRROR/cpu"]
    set_up.main([*arguments, "--torch", "cpu", *mirrors])
    assert {call[-1] for call in calls if "--require-hashes" in call} == {
        "index=https://me:secret@MIRROR/simple"
    }
    assert [call[1] for call in calls if call[0] == "cpu builds"] == ["https://MIRROR/cpu"]
    if os.name != "nt":  # where folders of a person are closed to others anyway
        assert stat.S_IMODE((environment / ".index").stat().st_mode) == 0o600
    calls.clear()
    set_up.main([*arguments, "--this-python", "--index", "default"])
    assert calls == []  # another mirror of the same packages changes no package
    (environment / ".installed-0").unlink(missing_ok=True)
    for mark in environment.glob(".installed-*"):
        mark.unlink()
    set_up.main(arguments)
    assert {call[-1] for call in calls if "--require-hashes" in call} == {"index=default"}
    assert [call[1] for call in calls if call[0] == "cpu builds"] == ["https://MIRROR/cpu"]


def test_pip_hears_of_a_mirror_by_its_variable(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens at port 9: pip names the address that it asked, unless it is told to be quiet.
    monkeypatch.delenv("PIP_QUIET", raising=False)
    arguments = ("--retries=0", "--no-deps", "--no-cache-dir", "no-such-package-anywhere")
    with pytest.raises(SystemExit):
        set_up.pip_install(Path(sys.executable), *arguments, index="http://127.0.0.1:9/simple")
    printed = capfd.readouterr()
    assert "127.0.0.1:9/simple" in printed.out + printed.err or "port=9" in printed.err
    assert "--index https://MIRROR/simple" in printed.err


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
    mirrors = ["INDEX=https://MIRROR/simple", "TORCH_INDEX=https://MIRROR/a b"]
    subprocess.run([*make, *mirrors], cwd=REPO, check=True)
    script = f"scripts/set_up.py --environment {tmp_path / 'env'}"
    assert told.read_text("utf-8").splitlines() == [
        f"{fakes[0]} {script}",
        f"{fakes[1]} {script} --torch=cpu --this-python",
        f"{fakes[0]} {script} --index=https://MIRROR/simple --torch-index=https://MIRROR/a b",
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


PIN = "torch==9.9.1"
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has builds of its own")


def wheel_name(version: str = "9.9.1+cpu") -> str:
    """A file name of PyTorch for this Python."""
    python, abi = set_up.python_tag(Path(sys.executable))
    return f"torch-{version}-{python}-{abi}-linux_{platform.machine()}.whl"


def write_wheel(path: Path, answer: int) -> str:
    """Write a wheel with one module, and return its hash."""
    version = path.name.split("-")[1]
    info = f"torch-{version}.dist-info"
    texts = {
        "torch.py": f"ANSWER = {answer}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: "
        + path.stem.split("-", 2)[2],
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Index:
    """A package index on this machine, with one project.

    Parameters
    ----------
    folder : Path
        Its files.

    Attributes
    ----------
    address : str
        What pip is given.
    asked : list of str
        Paths that were asked for, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.project = folder / "torch"
        self.project.mkdir(parents=True)
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def offer(self, answer: int = 42, *, sha256: str | None = None, name: str = "") -> str:
        """Publish one wheel, with a link that states a hash: its own unless another is given."""
        file = self.project / (name or wheel_name())
        own = write_wheel(file, answer)
        fragment = f"#sha256={own if sha256 is None else sha256}" if sha256 != "" else ""
        link = f'<a href="{file.name.replace("+", "%2B")}{fragment}">{file.name}</a>'
        (self.project / "index.html").write_text(f"<html><body>{link}</body></html>", "utf-8")
        return own

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index on this machine, asked by a pip without settings and without a memory."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    server = Index(tmp_path / "index")
    yield server
    server.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but pip."""
    environment = tmp_path_factory.mktemp("bare") / "env"
    venv.create(environment, symlinks=os.name != "nt", with_pip=True)
    return environment


@pytest.fixture
def environment(bare: Path) -> Path:
    """The same, without a PyTorch and without a record."""
    python = str(set_up.interpreter(bare))
    done = [python, "-m", "pip", "uninstall", "--yes", "torch"]
    subprocess.run(done, check=True, capture_output=True)
    set_up.wheels_record(bare).unlink(missing_ok=True)
    return bare


def set_torch_up(environment: Path, address: str) -> None:
    """What a set-up does about PyTorch alone."""
    python = set_up.interpreter(environment)
    set_up.CpuBuilds(environment, python, [PIN], address).install(environment, python)


def interrupted(record: Path) -> None:
    """Make an environment anew, and be interrupted at the worst moment."""
    with set_up.kept(record):
        record.unlink()
        raise KeyboardInterrupt


def installed_answer(environment: Path) -> str:
    """What the installed PyTorch says; empty without one."""
    program = [str(set_up.interpreter(environment)), "-c", "import torch; print(torch.ANSWER)"]
    return subprocess.run(program, capture_output=True, text=True, check=False).stdout.strip()


@needs_linux
def test_what_was_installed_is_written_down_and_must_stay(
    environment: Path, index: Index, tmp_path: Path
) -> None:
    digest = index.offer(42)
    set_torch_up(environment, index.address)
    assert installed_answer(environment) == "42"
    record = json.loads(set_up.wheels_record(environment).read_text("utf-8"))
    assert list(record.values()) == [{"file": wheel_name(), "sha256": digest}]
    (key,) = record
    assert key.startswith(f"{PIN} cp3")
    # The same again: nothing is fetched, and the record stays.
    index.asked.clear()
    set_torch_up(environment, index.address)
    assert not [path for path in index.asked if path.endswith(".whl")]
    assert json.loads(set_up.wheels_record(environment).read_text("utf-8")) == record
    # Made anew: the record outlives the environment, also when making it is interrupted.
    with pytest.raises(KeyboardInterrupt):
        interrupted(set_up.wheels_record(environment))
    assert json.loads(set_up.wheels_record(environment).read_text("utf-8")) == record
    # The index has another file under the same name.
    other = index.offer(666)
    with pytest.raises(SystemExit, match="offers another file") as refusal:
        set_torch_up(environment, index.address)
    assert digest[:16] in str(refusal.value)
    assert other[:16] in str(refusal.value)
    assert installed_answer(environment) == "42"
    # ... or the old link, and another file behind it.
    index.offer(666, sha256=digest)
    python = str(set_up.interpreter(environment))
    gone = [python, "-m", "pip", "uninstall", "--yes", "torch"]
    subprocess.run(gone, check=True, capture_output=True)
    with pytest.raises(SystemExit):
        set_torch_up(environment, index.address)
    assert installed_answer(environment) == ""


@needs_linux
def test_a_build_without_a_record_is_installed_again(environment: Path, index: Index) -> None:
    index.offer(42)
    set_torch_up(environment, index.address)
    set_up.wheels_record(environment).unlink()  # as older set-ups left it
    digest = index.offer(43)
    set_torch_up(environment, index.address)
    assert installed_answer(environment) == "43"
    assert digest in set_up.wheels_record(environment).read_text("utf-8")


@needs_linux
def test_a_link_without_a_hash_is_refused(environment: Path, index: Index) -> None:
    for bad in ("", "abc"):
        index.offer(sha256=bad)
        with pytest.raises(SystemExit, match=r"states no SHA-256 of torch-9\.9\.1\+cpu.* refused"):
            set_torch_up(environment, index.address)
    assert installed_answer(environment) == ""
    assert not [path for path in index.asked if path.endswith(".whl")]
    assert not set_up.wheels_record(environment).exists()


@needs_linux
def test_a_file_that_is_not_what_its_link_says_is_refused(
    environment: Path, index: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    index.offer(sha256="0" * 64)
    with pytest.raises(SystemExit):
        set_torch_up(environment, index.address)
    printed = capfd.readouterr()
    assert "DO NOT MATCH THE HASHES" in printed.out + printed.err
    assert installed_answer(environment) == ""
    assert not set_up.wheels_record(environment).exists()


@needs_linux
def test_another_index_of_the_user_cannot_slip_a_build_in(
    environment: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.offer(42)
    other = Index(tmp_path / "other")
    other.offer(666, name=wheel_name("9.9.1+zzz"))  # a later version, to pip
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", other.address)
    set_torch_up(environment, index.address)
    assert installed_answer(environment) == "42"
    assert "/torch/" in other.asked  # pip did look there
    other.close()


@needs_linux
def test_no_such_build_and_no_such_index_are_said(
    environment: Path, index: Index, tmp_path: Path
) -> None:
    index.offer(name="torch-9.9.1+cpu-cp27-cp27mu-linux_pdp11.whl")
    with pytest.raises(SystemExit, match=r"has no torch==9\.9\.1 for cp3.*TORCH=default"):
        set_torch_up(environment, index.address)
    with pytest.raises(SystemExit, match=r"127\.0\.0\.1:9 cannot be read: .*TORCH_INDEX") as said:
        set_torch_up(environment, "http://me:secret@127.0.0.1:9")
    assert "secret" not in str(said.value)
    set_up.wheels_record(environment).write_text('{"torch": []}', "utf-8")
    with pytest.raises(SystemExit, match=r"cpu-wheels.json is damaged"):
        set_torch_up(environment, index.address)


def test_refusal_comes_before_any_change(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    arguments = ["--environment", str(tmp_path / "env")]
    set_up.main(arguments)
    calls.clear()

    def refuse(*_: object) -> None:
        raise SystemExit("refused")

    monkeypatch.setattr(set_up, "trusted_wheels", refuse)
    with pytest.raises(SystemExit):
        set_up.main([*arguments, "--torch", "cpu"])
    assert calls == []
    assert set_up.main(arguments) == 0  # still complete, and still with the usual PyTorch
    assert calls == []


def test_record_outlives_an_environment_that_is_made_anew(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    environment = tmp_path / "env"
    arguments = ["--environment", str(environment), "--torch", "cpu"]
    set_up.main(arguments)
    record = set_up.read_record(environment)
    assert len(record) == 2
    made = set_up.create

    def create(folder: Path) -> Path:
        shutil.rmtree(folder)
        return made(folder)

    monkeypatch.setattr(set_up, "create", create)
    monkeypatch.setattr(set_up.CpuBuilds, "install", lambda *_: None)
    monkeypatch.setattr(sys, "version", "3.99.0 (another one)")
    set_up.main([*arguments, "--this-python"])
    assert set_up.read_record(environment) == record


def test_wheels_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    fit = [
        "torch-2.14.1+cpu-cp313-cp313-manylinux_2_28_aarch64.whl",
        "torch-2.14.1-cp313-cp313-linux_aarch64.whl",
        "torch-2.14.1-1-cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
    ]
    others = [
        "torch-2.14.1+cpu-cp313-cp313t-manylinux_2_28_aarch64.whl",  # without the lock
        "torch-2.14.1+cpu-cp312-cp312-manylinux_2_28_aarch64.whl",
        "torch-2.14.1+cpu-cp313-cp313-linux_x86_64.whl",
        "torch-2.14.1-cp313-none-macosx_11_0_arm64.whl",
        "torch-2.14.10+cpu-cp313-cp313-linux_aarch64.whl",
        "torch-2.14-cp313-cp313-linux_aarch64.whl",
        "torchvision-2.14.1-cp313-cp313-linux_aarch64.whl",
        "torch-2.14.1.tar.gz",
        "",
    ]
    wheels = [set_up.Wheel(name, "") for name in [*fit, *others]]
    chosen = set_up.fitting(wheels, "torch==2.14.1", ("cp313", "cp313"))
    assert [wheel.file for wheel in chosen] == fit


def test_links_of_an_index_page() -> None:
    page = (
        "<!DOCTYPE html><html><body><h1>Links</h1>"
        f'<a href="/whl/cpu/a-1%2Bcpu.whl#sha256={"AB" * 32}" data-x="y">a-1+cpu.whl</a><br>'
        f'<a href="https://HOST/b-1.whl?token=1#sha256={"0" * 64}&egg=b">b</a>'
        f'<a href="../c-1.whl#md5={"0" * 32}">c</a><a href="d-1.whl">d</a><a>e</a></body>'
    )
    assert set_up.linked(page) == [
        set_up.Wheel("a-1+cpu.whl", "ab" * 32),
        set_up.Wheel("b-1.whl", "0" * 64),
        set_up.Wheel("c-1.whl", ""),
        set_up.Wheel("d-1.whl", ""),
    ]


def test_an_index_behind_a_password(tmp_path: Path) -> None:
    heads: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heads.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<a href='torch.whl'>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        port = server.server_port
        assert "torch.whl" in set_up.read_page(f"http://me:p%40ss@127.0.0.1:{port}", "torch")
        server.shutdown()
    assert heads == ["Basic bWU6cEBzcw=="]  # me:p@ss


def test_networks_are_kept_out_of_a_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "mediapipe-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (*set_up.MEDIAPIPE_FILES, "mediapipe/__init__.py"):
            archive.writestr(name, name)
    folder = tmp_path / "site" / set_up.MEDIAPIPE_FOLDER
    set_up.keep_files(wheel, set_up.MEDIAPIPE_FILES, folder)
    kept = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert kept == {name.rpartition("/")[2]: name for name in set_up.MEDIAPIPE_FILES}


def test_mediapipe_is_fetched_as_one_known_file(tmp_path: Path, calls: list[list[str]]) -> None:
    python = tmp_path / "env" / "bin" / "python"
    set_up.install_mediapipe_models(python, "https://mirror.test/simple")
    (command,) = calls
    assert command[-1] == "index=https://mirror.test/simple"
    assert {"--require-hashes", "--no-deps", "3.12", "manylinux_2_28_x86_64"} <= set(command)
    assert set_up.MEDIAPIPE.count("--hash=sha256:") == 1
    assert (tmp_path / "env/packages/mediapipe_models/pose_detection.tflite").is_file()
