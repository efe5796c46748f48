"""What a store hands out is what was computed: changed bytes are refused, and nothing else is."""

import json
import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from vidrec_utils import files
from vidrec_utils.embeddings import StoreError, store
from vidrec_utils.embeddings.store import Store

PROVENANCE = {
    "of": "title",
    "encoder": "minilm",
    "fingerprint": "f0",
    "dim": 2,
    "frames": None,
    "batch_size": 2,
}
VECTORS = np.array([[1, 2], [3, 4], [5, 6], [np.nan, np.nan], [7, 8]], dtype="f4")
KEYS = ["a1", "b2", "c3", "d4", "e5"]
REASONS = [None, None, None, "the file is missing", None]


def filled(folder: Path) -> Store:
    made = Store(folder, PROVENANCE)
    for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
        made.append(KEYS[rows], VECTORS[rows], REASONS[rows])
    return made


def without_checksums(folder: Path) -> None:
    """Make the files what the version before checksums wrote."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    kept = [{"keys": batch["keys"], "reasons": batch["reasons"]} for batch in log]
    (folder / "log.jsonl").write_text("".join(json.dumps(batch) + "\n" for batch in kept))
    provenance = json.loads((folder / "provenance.json").read_text())
    del provenance["crc32"]
    text = json.dumps(provenance, indent=1, sort_keys=True)
    (folder / "provenance.json").write_text(text)


def content(opened: Store) -> tuple:
    return opened.rows, opened.reasons, opened.vectors().tobytes(), opened.provenance


def test_the_checksum_is_that_of_the_rows_and_of_the_line(tmp_path: Path) -> None:
    filled(tmp_path)
    first = (tmp_path / "log.jsonl").read_bytes().splitlines()[0]
    covered = (
        VECTORS[:2].astype("<f4").tobytes() + b'{"keys": ["a1", "b2"], "reasons": [null, null]'
    )
    assert first == covered[16:] + b', "crc32": "%08x"}' % zlib.crc32(covered)


@pytest.mark.parametrize("name", ["vectors.f32", "log.jsonl", "provenance.json"])
def test_no_changed_bit_is_passed_on(name: str, tmp_path: Path) -> None:
    rows, reasons, vectors, provenance = content(filled(tmp_path))
    file = tmp_path / name
    data = file.read_bytes()
    refused = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            opened = Store(tmp_path, PROVENANCE)
        except StoreError:
            refused += 1
            continue
        # A line that lost its end does not count, as after a kill: its keys are computed again.
        n = opened.n
        assert opened.rows == dict(list(rows.items())[:n]), bit
        assert opened.reasons.items() <= reasons.items(), bit
        assert opened.vectors().tobytes() == vectors[: 8 * n], bit
        assert opened.provenance == provenance, bit
    assert refused > 0.97 * 8 * len(data)
    file.write_bytes(data)
    assert content(Store(tmp_path, PROVENANCE)) == (rows, reasons, vectors, provenance)


def test_the_error_names_the_rows_and_the_remedy(tmp_path: Path) -> None:
    filled(tmp_path)
    vectors = np.fromfile(tmp_path / "vectors.f32", dtype="<f4")
    vectors[5] = 5.5  # in row 2
    vectors.tofile(tmp_path / "vectors.f32")
    with pytest.raises(StoreError, match=rf"{tmp_path}.* rows 2 to 3 .* changed\. Delete the"):
        Store(tmp_path, PROVENANCE)


@pytest.mark.parametrize(
    "line",
    [
        b"[1]\n",
        b'"keys"\n',
        b'{"keys": ["f6"]}\n',
        b'{"keys": ["f6"], "reasons": []}\n',
        b'{"keys": "f6", "reasons": [null]}\n',
        b'{"keys": [6], "reasons": [null]}\n',
        b'{"keys": ["f6"], "reasons": [6]}\n',
        b'{"keys": ["f6"], "reasons": "6"}\n',
        b'{"keys": "f", "reasons": [null]}\n',
        b'{"keys": 6, "reasons": 6}\n',
        b'{"keys": ["f6"], "reasons": [null], "crc33": "00000000"}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\n",
    ],
)
def test_a_line_of_another_form_is_refused(line: bytes, tmp_path: Path) -> None:
    filled(tmp_path)
    with (tmp_path / "log.jsonl").open("ab") as log:
        log.write(line)
    with (tmp_path / "vectors.f32").open("ab") as rows:
        rows.write(bytes(8))
    with pytest.raises(StoreError, match=r"line 4 of log\.jsonl is not its own\. Delete the"):
        Store(tmp_path, PROVENANCE)


def test_a_key_twice_would_shift_all_rows_after_it(tmp_path: Path) -> None:
    filled(tmp_path)
    without_checksums(tmp_path)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"keys": ["b2"], "reasons": [null]}\n')
    (tmp_path / "vectors.f32").write_bytes(bytes(48))
    with pytest.raises(StoreError, match="names a key twice"):
        Store(tmp_path, PROVENANCE)


@pytest.mark.parametrize("text", ["[]", "null", "7", '"format"'])
def test_a_provenance_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "provenance.json").write_text(text)
    with pytest.raises(StoreError, match="does not describe vectors"):
        Store(tmp_path, PROVENANCE)


def test_a_store_of_before_is_read_and_gets_checksums_when_it_is_written(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    expected = content(filled(new))
    filled(old)
    without_checksums(old)
    before = {file.name: file.read_bytes() for file in old.iterdir()}
    opened = Store(old, PROVENANCE)
    assert content(opened) == expected
    assert {file.name: file.read_bytes() for file in old.iterdir()} == before  # reading is no write
    for each in (opened, Store(new, PROVENANCE)):
        each.append(["f6"], np.array([[9, 10]]), [None])
    for name in before:
        assert (old / name).read_bytes() == (new / name).read_bytes()
    assert content(Store(old, PROVENANCE)) == content(opened)


def unchecked_line(line: bytes, **entries: object) -> bytes:
    """A line of the log without its checksum, and with other entries."""
    batch = json.loads(line) | entries
    del batch["crc32"]
    return json.dumps(batch).encode() + b"\n"


def test_a_line_that_lost_its_checksum_is_no_line_of_an_earlier_version(tmp_path: Path) -> None:
    filled(tmp_path)
    log = tmp_path / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    edited = unchecked_line(lines[1], reasons=["another", None])
    log.write_bytes(lines[0] + edited + lines[2])
    with pytest.raises(
        StoreError, match=rf"{tmp_path}.*line 2 of log\.jsonl lost its checksum\. Delete the"
    ):
        Store(tmp_path, PROVENANCE)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_last_lines_without_checksums_do_not_count_and_are_computed_again(
    first: int, tmp_path: Path
) -> None:
    """An earlier version can add them to any store, so they need not be damage."""
    expected = content(filled(tmp_path))
    log = tmp_path / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    edited = [unchecked_line(line, reasons=["another"] * 2) for line in lines[first:2]]
    edited += [unchecked_line(line, reasons=["another"]) for line in lines[max(first, 2) :]]
    log.write_bytes(b"".join([*lines[:first], *edited]))
    numbers = "line 3 has" if first == 2 else f"lines {first + 1} to 3 have"
    with pytest.warns(RuntimeWarning, match=rf"log\.jsonl: {numbers} no checksum.* computed again"):
        opened = Store(tmp_path, PROVENANCE)
    assert list(opened.rows) == KEYS[: 2 * first]
    assert "another" not in opened.reasons.values()
    for start in range(2 * first, 5, 2):
        rows = slice(start, start + 2)
        opened.append(KEYS[rows], VECTORS[rows], REASONS[rows])
    assert content(opened) == content(Store(tmp_path, PROVENANCE)) == expected


def test_a_provenance_that_lost_its_checksum_is_none_of_an_earlier_version(tmp_path: Path) -> None:
    filled(tmp_path)
    file = tmp_path / "provenance.json"
    entries = json.loads(file.read_text()) | {"batch_size": 3}
    del entries["crc32"]
    file.write_text(json.dumps(entries))
    with pytest.raises(StoreError, match=r"provenance\.json lost its checksum\. Delete the"):
        Store(tmp_path, PROVENANCE)


@pytest.mark.parametrize("size", [True, 0, "2", None, 2.0])
def test_a_batch_size_of_an_earlier_version_is_a_number(size: object, tmp_path: Path) -> None:
    filled(tmp_path)
    without_checksums(tmp_path)
    file = tmp_path / "provenance.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"batch_size": size}))
    with pytest.raises(StoreError, match=r"provenance\.json was changed"):
        Store(tmp_path, PROVENANCE)


def test_a_store_that_an_earlier_version_only_began_is_sealed_by_the_first_batch(
    tmp_path: Path,
) -> None:
    Store(tmp_path, PROVENANCE)
    (tmp_path / "log.jsonl").write_bytes(b"")
    without_checksums(tmp_path)
    (tmp_path / "log.jsonl").unlink()
    expected = content(filled(tmp_path))
    assert "crc32" in json.loads((tmp_path / "provenance.json").read_text())
    assert content(Store(tmp_path, PROVENANCE)) == expected


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_kill_while_checksums_are_added_costs_nothing(
    writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each of the three files that are put in place, and after the last."""
    expected = content(filled(tmp_path))
    without_checksums(tmp_path)
    with (tmp_path / "log.jsonl").open("ab") as log:
        log.write(b'{"keys": ["f6')  # a kill before that one
    opened = Store(tmp_path, PROVENANCE)
    left = [writes]

    class Killed(BaseException):
        pass

    def counted(path: Path, data: bytes) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        files.replace_whole(path, data)

    monkeypatch.setattr(store, "replace_whole", counted)
    monkeypatch.setattr(store, "write_atomically", lambda path, text: counted(path, text.encode()))
    monkeypatch.setattr(store, "_write_at", lambda *_, **__: counted(tmp_path, b""))
    with pytest.raises(Killed):
        opened.append(["f6"], np.array([[9, 10]]), [None])
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert content(Store(tmp_path, PROVENANCE)) == expected
        again = Store(tmp_path, PROVENANCE)
        again.append(["f6"], np.array([[9, 10]]), [None])
        assert content(Store(tmp_path, PROVENANCE)) == content(again)
    assert list(again.rows) == [*KEYS, "f6"]
    assert "unchecked_log" not in json.loads((tmp_path / "provenance.json").read_text())
    assert all(b"crc32" in line for line in (tmp_path / "log.jsonl").read_bytes().splitlines())


def test_a_reader_in_the_midst_of_added_checksums_sees_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process adds checksums between the reader's two files."""
    expected = content(filled(tmp_path))
    without_checksums(tmp_path)
    writer = Store(tmp_path, PROVENANCE)
    pending = [lambda: writer.append(["f6"], np.array([[9, 10]]), [None])]
    read_bytes = Path.read_bytes

    def interrupted(path: Path) -> bytes:
        data = read_bytes(path)
        if path.name == "provenance.json" and pending:
            pending.pop()()
        return data

    monkeypatch.setattr(Path, "read_bytes", interrupted)
    reader = Store(tmp_path, PROVENANCE)
    assert list(reader.rows) == [*KEYS, "f6"]
    assert reader.provenance == expected[3]


def test_what_an_earlier_version_adds_is_computed_again(tmp_path: Path) -> None:
    """Its `append` as it was: rows at their place, and a line without a checksum."""
    expected = content(filled(tmp_path))
    line = b'{"keys": ["f6"], "reasons": [null]}\n'
    with (tmp_path / "log.jsonl").open("ab") as log:
        log.write(line)
    with (tmp_path / "vectors.f32").open("ab") as rows:
        rows.write(np.array([9, 10], "<f4").tobytes())
    with pytest.warns(RuntimeWarning, match="line 4 has no checksum"):
        opened = Store(tmp_path, PROVENANCE)
    assert content(opened) == expected
    opened.append(["g7"], np.array([[11, 12]]), [None])
    assert list(Store(tmp_path, PROVENANCE).rows) == [*KEYS, "g7"]


def test_rows_are_compared_once_in_a_process_unless_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    file = tmp_path / "vectors.f32"
    data = file.read_bytes()
    long_ago = file.stat().st_mtime_ns - 10**10
    os.utime(file, ns=(long_ago, long_ago))
    compared = []
    original = Store._changed
    monkeypatch.setattr(Store, "_changed", lambda s, b: compared.append(1) or original(s, b))
    for _ in range(3):
        Store(tmp_path, PROVENANCE)
    assert compared == [1]
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreError, match="rows 4 to 4"):
        Store(tmp_path, PROVENANCE)
    # A file that has only just changed may change again within the same tick of its clock.
    file.write_bytes(data)
    status = file.stat()
    Store(tmp_path, PROVENANCE)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
    with pytest.raises(StoreError, match="rows 4 to 4"):
        Store(tmp_path, PROVENANCE)


def test_blocks_of_batches_are_all_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches longer and shorter than a block, an empty one, and a changed byte in each."""
    monkeypatch.setattr(store, "BLOCK_BYTES", 3 * 8)
    made = Store(tmp_path, PROVENANCE)
    for number, n in enumerate([1, 1, 7, 0, 2, 1, 4]):
        made.append([f"{number}/{i}" for i in range(n)], np.full((n, 2), number), [None] * n)
    Store(tmp_path, PROVENANCE)
    data = (tmp_path / "vectors.f32").read_bytes()
    for row in range(16):
        (tmp_path / "vectors.f32").write_bytes(data[: 8 * row] + b"!" + data[8 * row + 1 :])
        with pytest.raises(StoreError, match="changed"):
            Store(tmp_path, PROVENANCE)


FULL = """
import json, resource, signal, sys
from pathlib import Path
import numpy as np
from vidrec_utils.embeddings.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
made = Store(Path(sys.argv[1]), json.loads(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))
try:
    for number in range(1000):
        made.append([str(number)], np.full((1, 2), number), [None])
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE exists on POSIX systems only")
def test_when_no_more_can_be_written_the_file_is_named_and_what_is_there_counts(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path), json.dumps(PROVENANCE)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.endswith(f"File too large: '{tmp_path / 'log.jsonl'}'\n")
    kept = Store(tmp_path, PROVENANCE)
    assert kept.n > 5
    np.testing.assert_array_equal(kept.vectors()[:, 0], np.arange(kept.n))
