"""Render a world into a folder: once, on all cores, resumable, never half."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from filelock import FileLock
from joblib import Parallel, delayed
from tqdm import tqdm

from vidrec_utils import cache, settings
from vidrec_utils.files import sweep
from vidrec_utils.minitube import behavior, dirt, media, metadata, truth
from vidrec_utils.minitube.config import WorldConfig, world_config
from vidrec_utils.minitube.plan import plan_shots, plan_videos

MANIFEST = "world.json"
"""Written last: a folder without it is not a world."""


def build(
    size: str = "small",
    seed: int = settings.SEED,
    root: Path | str | None = None,
    progress: bool = True,
) -> Path:
    """Return the library folder of an embedded world, rendering it first where it is missing.

    Two processes may ask for the same world at once: one renders, the other waits. The work happens
    in a folder beside the final one, which takes its name in one step when everything is there.
    After an interruption, clips that are complete are kept.

    Parameters
    ----------
    size : {"small", "large"}
        `small` holds a few hundred clips, `large` ten times as many.
    seed : int
        The same seed gives the same tables, byte for byte, and the same decoded frames. On another
        processor the last digits of the truth's numbers may differ.
    root : path, optional
        Where worlds lie; `minitube/` in `settings.data_dir()` by default.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pathlib.Path
        Folder in the layout of `datasets.load_folder`; the ground truth lies beside it.

    Raises
    ------
    ValueError
        If the size or the seed is not one that a world can have.
    RuntimeError
        If a process that renders is ended from outside, or has too little memory.
    """
    home = Path(root) if root else settings.data_dir() / "minitube"
    return build_world(world_config(size, seed), home, progress)


def build_world(config: WorldConfig, home: Path, progress: bool = True) -> Path:
    """Do the same as `build` for any configuration, such as a tiny one in a test."""
    world = home / config.name
    if _is_complete(world, config):
        cache.record(cache.Lookup("world", 0, 1, 0.0))
        return world / "library"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(str(home / f"{config.name}.lock")):
        if not _is_complete(world, config):
            with cache.recorded("world"):
                _render(world, config, progress)
    return world / "library"


def _is_complete(world: Path, config: WorldConfig) -> bool:
    """Tell whether a world was finished by this version, and nobody deleted from it since."""
    manifest = _read_json(world / MANIFEST)
    if not isinstance(manifest, dict):
        return False
    files = manifest.pop("files", None)
    return manifest == config.to_dict() and files == _count_files(world)


def _count_files(world: Path) -> dict[str, int]:
    folders = ("library", "library/clips", "library/thumbnails", "library/extras", "truth")
    return {
        folder: sum(path.is_file() for path in (world / folder).glob("[!.]*")) for folder in folders
    }


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _render(world: Path, config: WorldConfig, progress: bool) -> None:
    partial = world.with_name(f".{config.name}.partial")
    if _read_json(partial / "plan.json") != config.to_dict():
        shutil.rmtree(partial, ignore_errors=True)
    for folder in ("library/clips", "library/thumbnails", "truth/boxes"):
        (partial / folder).mkdir(parents=True, exist_ok=True)
        sweep(partial / folder, "*")  # what a killed process was writing
    (partial / "plan.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    plan, spoiled = _plan(config)
    rendering = _start_rendering(plan, config, partial)
    tables = _tables(plan, spoiled, config)  # while other processes start and render
    _follow(rendering, plan, config, progress)
    _write_tables(plan, tables, _collect_boxes(plan, partial / "truth" / "boxes"), config, partial)
    shutil.rmtree(partial / "truth" / "boxes")
    manifest = json.dumps(config.to_dict() | {"files": _count_files(partial)})
    (partial / MANIFEST).write_text(manifest, encoding="utf-8")
    (partial / "plan.json").unlink()
    if world.exists():
        # An older version of the world: out of the way first, so that the name is free.
        old = world.with_name(f".{config.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        world.replace(old)
        shutil.rmtree(old, ignore_errors=True)
    partial.replace(world)


def _start_rendering(plan: pd.DataFrame, config: WorldConfig, target: Path) -> Iterator[int]:
    """Start to render; what comes back yields how many clips each finished part has."""
    # Long chunks keep the cost of sending the plan to another process small.
    chunks = [list(plan.index[first : first + 8]) for first in range(0, len(plan), 8)]
    jobs = [delayed(_make_many)(chunk, plan, config, target, os.getpid()) for chunk in chunks]
    workers = Parallel(
        n_jobs=settings.threads(),
        return_as="generator_unordered",
        initializer=_end_with,
        initargs=(os.getpid(),),
    )
    return workers(jobs)


def _end_with(builder: int) -> None:
    """End this process soon after the builder that started it, which may be killed."""

    def watch() -> None:
        while not _is_gone(builder):
            time.sleep(0.5)
        os._exit(1)

    if builder != os.getpid():
        threading.Thread(target=watch, name="end with the builder", daemon=True).start()


def _is_gone(builder: int) -> bool:
    """Tell whether the process that builds has ended; a worker is a child of it."""
    if sys.platform == "win32":
        return not psutil.pid_exists(builder)
    # its number may be of a zombie, or of another process by now
    return builder not in (os.getpid(), os.getppid())


def _follow(
    rendering: Iterator[int], plan: pd.DataFrame, config: WorldConfig, progress: bool
) -> None:
    with tqdm(
        total=len(plan), desc=f"Rendering MiniTube {config.name}", unit="clip", disable=not progress
    ) as bar:
        try:
            for done in rendering:
                bar.update(done)
        except (BrokenProcessPool, MemoryError) as error:
            raise RuntimeError(
                "A process that renders MiniTube was ended; too little memory is the usual reason. "
                "What was rendered is kept. Close other programs, or set VIDREC_THREADS=1, which "
                "needs less memory, and try again."
            ) from error


def _make_many(
    video_ids: list[str], plan: pd.DataFrame, config: WorldConfig, target: Path, builder: int
) -> int:
    for video_id in video_ids:
        if _is_gone(builder):
            break  # the builder was killed: another may be at work in the same folder
        media.make_media(video_id, plan, config, target)
    return len(video_ids)


def make_tables(config: WorldConfig) -> tuple[pd.DataFrame, dict[str, pd.DataFrame | object]]:
    """Compute all tables of a world in memory, without rendering a frame.

    Returns
    -------
    plan : pandas.DataFrame
        Latent facts of all uploads, re-uploads included.
    tables : dict
        `videos`, `interactions`, `users`, `annotations`, `first_slots` (public), `shots`,
        `exposures`, `dirt`, `tastes` (truth).

    Examples
    --------
    >>> from dataclasses import replace
    >>> config = replace(world_config(), n_videos=40, n_users=10, n_uploaders=5)
    >>> plan, tables = make_tables(config)
    >>> len(tables["videos"]) == len(plan) > 40  # with the re-uploads
    True
    """
    plan, spoiled = _plan(config)
    return plan, _tables(plan, spoiled, config)


def build_tables(config: WorldConfig, home: Path) -> Path:
    """Write a world's tables into a folder without rendering a frame, for what needs no clips.

    Returns
    -------
    pathlib.Path
        The library's folder, whose clips are absent; the ground truth without boxes lies beside it.
        `build_world` does not take such a folder for a world.
    """
    world = home / config.name
    for folder in ("library", "truth"):
        (world / folder).mkdir(parents=True)
    plan, tables = make_tables(config)
    no_boxes = _box_table([], [])
    _write_tables(plan, tables, no_boxes, config, world)
    (world / MANIFEST).write_text(json.dumps(config.to_dict()), encoding="utf-8")
    return world / "library"


def _plan(config: WorldConfig) -> tuple[pd.DataFrame, list[dict]]:
    """All uploads, and what is wrong with the files of some."""
    return dirt.plant_media(plan_videos(config), config)


def _tables(
    plan: pd.DataFrame, spoiled: list[dict], config: WorldConfig
) -> dict[str, pd.DataFrame | object]:
    complete = metadata.write_metadata(plan, config)
    videos, field_dirt = metadata.spoil_metadata(complete, config)
    videos.loc[plan["media"].isin(media.NOT_A_VIDEO), "thumbnail"] = None
    shots = plan_shots(plan, config)
    tastes = behavior.draw_tastes(config)
    log, exposures = behavior.simulate(plan, shots, tastes, config)
    log, exposures, users, log_dirt = dirt.plant_log(
        log, exposures, plan, tastes.users[["language"]], config
    )
    return {
        # The public order must not tell originals from copies.
        "videos": videos.sort_index(),
        "interactions": log,
        "users": users,
        "annotations": metadata.annotate(plan, config),
        "first_slots": behavior.first_slots(log, exposures, config),
        "shots": shots,
        "exposures": exposures,
        "dirt": pd.DataFrame([*spoiled, *field_dirt, *log_dirt]),
        "tastes": tastes,
    }


def _write_tables(
    plan: pd.DataFrame, tables: dict, boxes: pd.DataFrame, config: WorldConfig, target: Path
) -> None:
    library = target / "library"
    (library / "extras").mkdir(exist_ok=True)
    for name in ("annotations", "first_slots"):
        tables[name].to_parquet(library / "extras" / f"{name}.parquet", index=False)
    tables["videos"].to_csv(library / "videos.csv", encoding="utf-8", lineterminator="\n")
    tables["users"].to_csv(library / "users.csv", encoding="utf-8", lineterminator="\n")
    tables["interactions"].to_parquet(library / "interactions.parquet", index=False)
    name = json.dumps({"name": f"minitube-{config.name}"})
    (library / "library.json").write_text(f"{name}\n", encoding="utf-8")
    world_truth = truth.Truth(
        videos=plan,
        shots=tables["shots"],
        boxes=boxes,
        exposures=tables["exposures"],
        dirt=tables["dirt"],
        tastes=tables["tastes"],
    )
    truth.save(world_truth, target / "truth")


def _collect_boxes(plan: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Gather the boxes of all clips whose pixels are where the boxes say."""
    keep = plan.index[plan["media"].isin(["clip", "exact_duplicate", "noisy"])]
    boxes = [np.load(folder / f"{video_id}.npy", allow_pickle=False) for video_id in keep]
    return _box_table(list(keep), boxes)


def _box_table(video_ids: list[str], boxes: list[np.ndarray]) -> pd.DataFrame:
    """Lay the boxes of clips, each (frames, 4), out as one table."""
    corners = np.concatenate([np.zeros((0, 4), dtype=np.float32), *boxes])
    table = pd.DataFrame(corners, columns=["left", "top", "right", "bottom"])
    lengths = [len(one) for one in boxes]
    table.insert(0, "video_id", np.repeat(np.array(video_ids, dtype=object), lengths))
    table.insert(1, "frame", np.concatenate([np.arange(n) for n in [0, *lengths]]))
    return table
