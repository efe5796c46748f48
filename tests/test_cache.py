"""Results kept by content: computed once, found again, computed anew where the file is damaged."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidrec_utils import cache
from vidrec_utils.cache import Lookup


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record of lookups; caches lie in an empty folder."""
    monkeypatch.setenv("VIDREC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv(cache.LOG_VARIABLE, str(tmp_path / "lookups.jsonl"))
    return tmp_path / "lookups.jsonl"


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "frames": rng.integers(0, 256, (2, 3, 4, 3), dtype=np.uint8),
        "a vector": np.array([1, np.nan, -0.0], dtype=np.float32),
        "nothing": np.zeros((0, 5), dtype=np.int64),
        "turned": np.arange(6.0).reshape(2, 3).T,  # not contiguous
        "one number": np.array(7, dtype=np.uint64),
    }


def kept_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "data" / "cache").rglob("*.safetensors")
    return path


def outcomes(log: Path) -> list[tuple[str, int, int]]:
    return [(one.what, one.computed, one.reused) for one in cache.read_log(log)[0]]


def test_second_call_finds_equal_arrays(log: Path, tmp_path: Path) -> None:
    cache.load_or_build("some clips", ("a", 1), arrays, "x")
    found = cache.load_or_build("some clips", ("a", 1), lambda: pytest.fail("built again"), "x")
    expected = arrays()
    assert list(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert np.signbit(found["a vector"][2])
    assert kept_file(tmp_path).parent.name == "some-clips"
    assert outcomes(log) == [("some clips, x", 1, 0), ("some clips, x", 0, 1)]


@pytest.mark.parametrize("other", [("a", 2), ("a", 1.0), ("a", "1"), ["a", 1], ("a", 1, None)])
def test_another_key_is_another_result(log: Path, other: object) -> None:
    cache.load_or_build("n", ("a", 1), lambda: {"n": np.array([1])})
    assert cache.load_or_build("n", other, lambda: {"n": np.array([2])})["n"][0] == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "another"])
def test_damaged_file_is_computed_again(log: Path, tmp_path: Path, damage: str) -> None:
    cache.load_or_build("n", "key", arrays)
    path = kept_file(tmp_path)
    data = path.read_bytes()
    changed = {
        "cut": data[:-3],
        "flipped": data[:-3] + bytes([data[-3] ^ 4]) + data[-2:],
        "emptied": b"",
        "another": b"no such format",
    }[damage]
    path.write_bytes(changed)
    again = cache.load_or_build("n", "key", arrays)
    np.testing.assert_array_equal(again["turned"], arrays()["turned"])
    assert path.read_bytes() == data
    assert [computed for _, computed, _ in outcomes(log)] == [1, 1]


def test_what_cannot_be_kept_is_given_with_a_warning(log: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="n could not be kept in .*VIDREC_DATA"):
        assert cache.load_or_build("n", "key", lambda: {"n": np.array([3])})["n"][0] == 3


def test_objects_are_refused_by_name(log: Path) -> None:
    with pytest.raises(TypeError, match="n: the array 'words' holds Python objects"):
        cache.load_or_build("n", "key", lambda: {"words": np.array(["a", None], dtype=object)})


def test_failing_build_leaves_nothing(log: Path, tmp_path: Path) -> None:
    def fail() -> dict[str, np.ndarray]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.load_or_build("n", "key", fail)
    assert list((tmp_path / "data").rglob("*.safetensors")) == []
    assert cache.load_or_build("n", "key", lambda: {"n": np.array([3])})["n"][0] == 3


AT_ONCE = """
import time, numpy as np
from vidrec_utils import cache
def build():
    time.sleep(1)
    return {"n": np.arange(5)}
print(cache.load_or_build("slow", "key", build)["n"].sum())
"""


def test_of_several_processes_one_computes(log: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", AT_ONCE], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=120)[0] for process in running] == ["10\n"] * 3
    assert sorted(outcomes(log)) == [("slow", 0, 1), ("slow", 0, 1), ("slow", 1, 0)]


def test_log_is_read_in_pieces(log: Path) -> None:
    assert cache.read_log(log) == ([], 0)
    first, second = Lookup("a", 1, 2, 0.5), Lookup("b|`", 0, 3, 0.25)
    cache.record(first)
    seen, end = cache.read_log(log)
    cache.record(second)
    with log.open("a") as stream:
        stream.write('{"what": "half a li')
    assert (seen, cache.read_log(log, end)[0]) == ([first], [second])


def test_nothing_is_recorded_unless_asked_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.LOG_VARIABLE)
    cache.record(Lookup("a", 1, 2, 0.5))
    assert not log.exists()


def test_code_version_follows_the_sources(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = cache.code_version(tmp_path)
    (tmp_path / "notes.txt").write_text("no code")
    assert cache.code_version(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2")
    assert cache.code_version(tmp_path) != before
    assert os.fspath(tmp_path) not in before
