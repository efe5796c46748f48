"""Saved models whose files were damaged, or edited with new hashes: refused, or sound."""

from __future__ import annotations

import json
import shutil
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from tests.helpers.damage import damaged_array, damaged_bytes, damaged_json
from vidrec_utils import recommender, saving

USERS = ["u0", "u3", "nobody"]


def try_damaged(models: list[Path], count: int, seed: int, folder: Path) -> Counter[str]:
    """Damage files of models byte by byte: each is refused, or scores as before.

    Parameters
    ----------
    models : list of Path
        Folders of saved models of format 2, with the users u0 to u5.
    count, seed : int
        Number of damaged models, and what decides how.
    folder : Path
        Where they are written.

    Returns
    -------
    Counter
        How many were refused, and how many not.

    Raises
    ------
    AssertionError
        If a damaged model loads and scores otherwise.
    """
    rng = np.random.default_rng(seed)
    expected = {model: recommender.load(model).score(USERS) for model in models}
    outcomes: Counter[str] = Counter()
    for number in range(count):
        model = models[number % len(models)]
        copied = _copy(model, folder)
        files = sorted(copied.iterdir())
        file = files[int(rng.integers(len(files)))]
        file.write_bytes(damaged_bytes(file.read_bytes(), rng))
        ending = outcome(copied, expected[model])
        assert ending != "changed", f"seed {seed}, case {number}: {model.name}, {file.name}"
        outcomes[ending] += 1
    return outcomes


def try_edited(models: list[Path], count: int, seed: int, folder: Path) -> Counter[str]:
    """Edit arrays or description of models and renew the hashes, as an attacker can.

    Each is refused when it is loaded, or can score and recommend; parameters as above.

    Raises
    ------
    Exception
        What a model raises that was loaded and cannot score. A fault in native code ends the
        process.
    """
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        model = models[number % len(models)]
        copied = _copy(model, folder)
        edit(copied, rng)
        try:
            outcomes[outcome(copied, None)] += 1
        except Exception as error:
            error.add_note(f"seed {seed}, case {number}: {model.name}")
            raise
    return outcomes


def _copy(model: Path, folder: Path) -> Path:
    copied = folder / "model"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(model, copied)
    return copied


def edit(folder: Path, rng: np.random.Generator) -> None:
    """Change an array or the description of a saved model, and renew the hashes."""
    description = json.loads((folder / saving.DESCRIPTION).read_text(encoding="utf-8"))
    file = folder / description["arrays"]
    arrays = load_file(file)
    if rng.random() < 0.7:
        name = sorted(arrays)[int(rng.integers(len(arrays)))]
        if name.endswith("ids"):  # the digest of the ids is checked elsewhere
            name = sorted(arrays)[int(rng.integers(len(arrays)))]
        arrays[name] = np.ascontiguousarray(damaged_array(arrays[name], rng))
    else:
        kept = {k: description[k] for k in ("format", "arrays", "arrays_sha256", "class")}
        others = {k: v for k, v in description.items() if k not in (*kept, saving.SEAL)}
        edited = damaged_json(others, rng)
        description = {**kept, **edited} if isinstance(edited, dict) else {**kept, "x": edited}
    file.unlink()
    renewed = ("arrays", "arrays_sha256", saving.SEAL)
    own = {k: v for k, v in description.items() if k not in renewed}
    data = save(arrays)
    digest = saving.hashlib.sha256(data).hexdigest()
    name = f"arrays-{digest[:16]}.safetensors"
    (folder / name).write_bytes(data)
    whole = {**own, "arrays": name, "arrays_sha256": digest}
    text = json.dumps({**whole, saving.SEAL: saving._digest(whole)})
    (folder / saving.DESCRIPTION).write_text(text, encoding="utf-8")


def outcome(folder: Path, expected: np.ndarray | None) -> str:
    """How loading a model ends: refused, same or changed; "scores" if nothing is expected."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of arithmetic with NaN and inf
            model = recommender.load(folder)
    except saving.SavedModelError:
        return "refused"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        scores = model.score(USERS)
        if expected is None:
            model.recommend([*model.user_ids, "nobody"], k=3)
            return "scores"
    return "same" if np.array_equal(scores, expected, equal_nan=True) else "changed"
