"""Cases that once failed: small files, or what makes them, named by what they are.

Each is examined as the damaged files of its kind are, before them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

Writer = Callable[[Path], str]
"""Writes the files of a case into an empty folder, and returns how reading them has to end."""

CASES: dict[str, dict[str, Writer]] = {}
NEW_TABLES = {
    "videos.csv": "video_id,title\nv1,one\nv2,two\n",
    "interactions.csv": "user_id,video_id,timestamp\nann,v1,2025-01-01\n",
}


def case(kind: str) -> Callable[[Writer], Writer]:
    """Enter a case into the corpus under the words of its function's name."""

    def enter(writer: Writer) -> Writer:
        CASES.setdefault(kind, {})[writer.__name__.replace("_", " ")] = writer
        return writer

    return enter


def names(kind: str) -> list[str]:
    """The names of a kind's cases."""
    return list(CASES.get(kind, {}))


def write(kind: str, name: str, folder: Path) -> str:
    """Write a case, and return how it has to end."""
    return CASES[kind][name](folder)


# --- sounds --------------------------------------------------------------------------------------


@case("sounds")
def eight_channels_in_planes(folder: Path) -> str:
    """PyAV 18.1 reads one plane too many of such frames, and died of it."""
    from tests.helpers.sounds import notes, write_sound

    write_sound(folder / "sound.m4a", notes(3.0, 48_000), 48_000, "aac", "7.1")
    return "read"


# --- media ---------------------------------------------------------------------------------------


def _tagged(folder: Path, tag: str) -> str:
    """A video whose tag of its duration is another text of the same length."""
    from tests.video_io.test_odd_files import write as write_video

    path = write_video(folder / "video.mkv")
    content, old = path.read_bytes(), b"00:00:01.200000000"
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, tag.encode().ljust(len(old), b"\0")))
    return "decoded"


@case("media")
def a_duration_with_an_endless_exponent(folder: Path) -> str:
    return _tagged(folder, "0:0:1e999999999999")


@case("media")
def a_duration_divided_by_zero(folder: Path) -> str:
    return _tagged(folder, "00:00:4/0")


@case("media")
def a_tick_of_hours_before_frames_that_do_not_decode(folder: Path) -> str:
    from tests.video_io.test_odd_files import write as write_video

    path = write_video(folder / "video.avi", codec="mjpeg")
    content = bytearray(path.read_bytes())
    at = content.index(b"vids") + 20
    content[at : at + 8] = (16_634).to_bytes(4, "little") + (1).to_bytes(4, "little")
    start = content.index(b"movi") + 4
    for number in range(30):
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        if number < 29:
            content[start + 8 : start + 8 + size] = bytes(size)
        start += 8 + size + size % 2
    path.write_bytes(content)
    return "decoded"


# --- tables --------------------------------------------------------------------------------------


def _library(folder: Path, **files: str | bytes) -> None:
    """A small library, some of whose files are others."""
    for name, text in (NEW_TABLES | files).items():
        data = text if isinstance(text, bytes) else text.encode()
        (folder / name).write_bytes(data)


@case("tables")
def a_lone_carriage_return_within_a_row(folder: Path) -> str:
    _library(folder, **{"videos.csv": b"video_id,title\nv1,on\re\nv2,two\n"})
    return "refused"


@case("tables")
def a_quotation_mark_that_nothing_closes(folder: Path) -> str:
    _library(folder, **{"videos.csv": 'video_id,title\nv1,"one\nv2,two\n'})
    return "refused"


@case("tables")
def a_parquet_file_without_its_end(folder: Path) -> str:
    import pandas as pd

    _library(folder)
    (folder / "videos.csv").unlink()
    file = folder / "videos.parquet"
    pd.DataFrame({"video_id": ["v1", "v2"], "title": ["one", "two"]}).to_parquet(file)
    file.write_bytes(file.read_bytes()[:-9])
    return "refused"


@case("tables")
def types_of_columns_that_are_a_text(folder: Path) -> str:
    _library(folder, **{"library.json": json.dumps({"dtypes": {"videos": "str"}})})
    return "refused"


@case("tables")
def an_earliest_time_that_is_none(folder: Path) -> str:
    _library(folder, **{"library.json": json.dumps({"earliest": "yesterday evening"})})
    return "refused"


@case("tables")
def an_earliest_time_without_a_zone(folder: Path) -> str:
    _library(folder, **{"library.json": json.dumps({"earliest": "2005-01-01"})})
    return "read as it was"


@case("tables")
def a_manifest_that_is_a_list(folder: Path) -> str:
    _library(folder, **{"library.json": "[]"})
    return "refused"


# --- stores --------------------------------------------------------------------------------------


def _store(folder: Path) -> None:
    from tests.long.stores import Stores

    Stores(folder / "made")
    for file in (folder / "made" / "store").iterdir():
        file.rename(folder / file.name)


@case("stores")
def one_flipped_bit_of_a_vector(folder: Path) -> str:
    _store(folder)
    file = folder / "vectors.f32"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    return "refused"


@case("stores")
def a_line_of_the_log_that_is_a_number(folder: Path) -> str:
    _store(folder)
    file = folder / "log.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b"7\n", *lines[4:]]))
    return "refused"


def _unchecked_line(folder: Path, index: int, **entries: object) -> None:
    """A store one of whose lines lost its checksum and has other entries."""
    _store(folder)
    file = folder / "log.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    batch = json.loads(lines[index]) | entries
    del batch["crc32"]
    lines[index] = json.dumps(batch)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@case("stores")
def reasons_that_are_a_text_in_a_line_without_checksum(folder: Path) -> str:
    _unchecked_line(folder, 1, reasons="../x")
    return "refused"


@case("stores")
def an_edited_last_line_without_checksum(folder: Path) -> str:
    _unchecked_line(folder, 8, reasons=[None, None, "../x", None])
    return "first batches"


@case("stores")
def a_provenance_without_checksum_and_with_another_batch_size(folder: Path) -> str:
    _store(folder)
    file = folder / "provenance.json"
    entries = json.loads(file.read_text(encoding="utf-8")) | {"batch_size": True}
    del entries["crc32"]
    file.write_text(json.dumps(entries), encoding="utf-8")
    return "refused"


# --- models --------------------------------------------------------------------------------------


def _edited_model(folder: Path, name: str, change: Callable[[dict], dict]) -> str:
    """A model of `tests/saved_models` with other arrays and a fitting hash."""
    from safetensors.numpy import load_file, save

    from tests.long.models import SAVED
    from vidrec_utils import saving

    target = folder / "edited" / name
    target.mkdir(parents=True)
    description = json.loads((SAVED / name / saving.DESCRIPTION).read_text(encoding="utf-8"))
    data = save(change(load_file(SAVED / name / description["arrays"])))
    digest = saving.hashlib.sha256(data).hexdigest()
    description |= {"arrays": f"arrays-{digest[:16]}.safetensors", "arrays_sha256": digest}
    (target / description["arrays"]).write_bytes(data)
    (target / saving.DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
    return "edited: refused"


def _outside(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    indices = arrays[name].copy()
    indices[0] = 2**30
    return {**arrays, name: indices}


@case("models")
def a_neighbor_outside_of_a_sparse_matrix(folder: Path) -> str:
    name = "state.similarity/indices"
    return _edited_model(folder, "item_knn", lambda arrays: _outside(arrays, name))


@case("models")
def a_watched_video_outside_of_the_catalogue(folder: Path) -> str:
    return _edited_model(folder, "popularity", lambda arrays: _outside(arrays, "seen/indices"))


# --- checkpoints ---------------------------------------------------------------------------------


def _checkpoint(folder: Path, header: dict[str, str]) -> str:
    import torch
    from safetensors.torch import save_file

    (folder / "damaged").mkdir()
    save_file({"a": torch.zeros(1)}, folder / "damaged" / "state.safetensors", header)
    return "refused"


@case("checkpoints")
def a_description_that_is_no_json(folder: Path) -> str:
    return _checkpoint(folder, {"format": "2", "metadata": "{"})


@case("checkpoints")
def a_description_that_is_null(folder: Path) -> str:
    return _checkpoint(folder, {"format": "2", "metadata": "null"})


# --- notebooks -----------------------------------------------------------------------------------


def _notebook(folder: Path, **entries: object) -> str:
    """A notebook of one cell with odd entries."""
    cell = {"cell_type": "code", "source": "x = 1", "metadata": {}, "outputs": [], "id": "cell-00"}
    whole = {"cells": [cell | entries], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "07_example.ipynb").write_text(json.dumps(whole), encoding="utf-8")
    return "refused"


@case("notebooks")
def a_cell_without_metadata(folder: Path) -> str:
    return _notebook(folder, metadata=None)


@case("notebooks")
def an_output_whose_data_are_a_list(folder: Path) -> str:
    return _notebook(folder, outputs=[{"output_type": "display_data", "data": []}])


@case("notebooks")
def a_minor_version_that_is_null(folder: Path) -> str:
    _notebook(folder)
    file = folder / "07_example.ipynb"
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | {"nbformat_minor": None}), encoding="utf-8")
    return "judged, not run"
