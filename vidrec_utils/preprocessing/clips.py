"""Clips as a PyTorch dataset: a few frames of each are decoded on access, in any worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from vidrec_utils import arguments, video_io
from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.preprocessing.augmentation import ClipAugmentation

OnError = Literal["raise", "skip", "blank"]


class VideoClips(Dataset):
    """The clips of a library as items `{"clip", "label", "video_id"}`.

    Opening the dataset reads nothing; each item seeks to its frames and decodes those only. It
    holds paths and labels, no open files, so it pickles into the workers of a `DataLoader` however
    they are started.

    Parameters
    ----------
    library : VideoLibrary
        The library that holds the clips.
    video_ids : iterable of str, optional
        The clips, in this order; by default all that have a path.
    n_frames : int
        Frames per clip.
    size : int or (int, int)
        Frames are scaled to (size, size), or to (height, width).
    mode : {"uniform", "random"}
        Frames from the middle of `n_frames` equal stretches, or from a random position in each,
        drawn anew in each epoch.
    transform : callable, optional
        A `ClipAugmentation` is called as `transform(clip, label, generator)` and may rename the
        label; anything else as `transform(clip)`, such as a `torchvision.transforms.v2` pipeline
        (which draws from torch's global state, seeded per worker by the `DataLoader`).
    labels : Series, mapping or str, optional
        Label of each video id, or the name of a column of the videos. Text labels become numbers
        in sorted order, see `classes`.
    seed : int
        Seed of all draws: an item depends on `(seed, epoch, video id)` alone, not on the worker
        or the order of access.
    on_error : {"raise", "skip", "blank"}
        What happens to a clip that cannot be read, or that the library has no file for: its
        `VideoError` is raised; it is left out (each file is opened once, when the dataset is
        created); or it gives black frames and `"ok": False`.
    budget : video_io.Budget, optional
        What reading one clip may cost.

    Attributes
    ----------
    classes : list
        Names of the labels, in the order of their numbers; empty unless labels are texts.
    failures : DataFrame
        `video_id` and `reason` of the clips that `on_error="skip"` left out.

    Raises
    ------
    ValueError
        If an argument is invalid, or a clip has no label.

    Examples
    --------
    >>> import tempfile
    >>> videos = pd.DataFrame({"video_id": ["v1"], "category": ["cats"], "path": ["v1.mp4"]})
    >>> log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     frames = np.zeros((4, 48, 64, 3), dtype=np.uint8)
    ...     _ = video_io.write_clip(Path(folder, "v1.mp4"), frames, fps=4)
    ...     library = VideoLibrary(videos, log, root=folder)
    ...     clips = VideoClips(library, labels="category", n_frames=3, size=32)
    ...     item = clips[0]
    >>> item["clip"].shape  # (frames, channels, height, width)
    torch.Size([3, 3, 32, 32])
    >>> item["video_id"], item["label"], clips.classes
    ('v1', 0, ['cats'])
    """

    def __init__(
        self,
        library: VideoLibrary,
        video_ids: Iterable[str] | None = None,
        n_frames: int = 8,
        size: int | tuple[int, int] = 112,
        mode: Literal["uniform", "random"] = "uniform",
        transform: Callable[..., Any] | None = None,
        labels: pd.Series | Mapping[str, object] | str | None = None,
        seed: int = 0,
        on_error: OnError = "raise",
        budget: video_io.Budget | None = None,
    ) -> None:
        arguments.one_of(("uniform", "random"), mode=mode)
        arguments.one_of(("raise", "skip", "blank"), on_error=on_error)
        arguments.at_least(1, n_frames=n_frames)
        library.require("path")
        has_path = library.videos["path"].notna()
        ids = list(library.videos.index[has_path] if video_ids is None else video_ids)
        self.paths, lacking = _files(library, ids, on_error)
        self.n_frames, self.mode, self.transform = n_frames, mode, transform
        self.size = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.seed, self.on_error, self.epoch, self.budget = seed, on_error, 0, budget
        self.failures = pd.DataFrame({"video_id": [], "reason": []}, dtype="str")
        if on_error == "skip":
            ids = self._readable(ids, lacking)
        self.video_ids = ids
        self.classes, self._labels = _number_labels(labels, ids, library)

    def _readable(self, ids: list[str], lacking: dict[str, str]) -> list[str]:
        failures = dict(lacking)
        for video_id in ids:
            if video_id in lacking:
                continue
            try:
                video_io.sample_frames(self.paths[video_id], 1, size=self.size, budget=self.budget)
            except video_io.VideoError as error:
                failures[video_id] = error.reason
        self.failures = pd.DataFrame(failures.items(), columns=["video_id", "reason"], dtype="str")
        return [video_id for video_id in ids if video_id not in failures]

    def __len__(self) -> int:
        return len(self.video_ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Decode one clip.

        Returns
        -------
        dict
            `clip` (Tensor uint8 of shape (n_frames, 3, height, width), or what the transform
            returns), `video_id`, with labels `label`, and with `on_error="blank"` `ok` (bool).

        Raises
        ------
        vidrec_utils.video_io.VideoError
            If the file cannot be read, for whatever reason, and `on_error` is not `"blank"`.
        """
        video_id = self.video_ids[index]
        rng = np.random.default_rng([self.seed, self.epoch, *video_id.encode("utf-8")])
        item: dict[str, Any] = {"video_id": video_id}
        try:
            frames, ok = self._frames(video_id, rng), True
        except video_io.VideoError:
            if self.on_error != "blank":
                raise
            frames, ok = np.zeros((self.n_frames, *self.size, 3), np.uint8), False
        clip = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()  # (t, c, h, w)
        label = self._labels[index] if self._labels is not None else None
        item["clip"], label = self._transformed(clip, label, rng)
        if label is not None:
            item["label"] = label
        if self.on_error == "blank":
            item["ok"] = ok
        return item

    def _frames(self, video_id: str, rng: np.random.Generator) -> np.ndarray:
        if video_id not in self.paths:
            raise video_io.VideoError(video_id, "missing", "the library has no file for this clip.")
        return video_io.sample_frames(
            self.paths[video_id],
            self.n_frames,
            self.mode,
            rng=rng,
            size=self.size,
            budget=self.budget,
        )

    def _transformed(
        self, clip: torch.Tensor, label: Any, rng: np.random.Generator
    ) -> tuple[Any, Any]:
        if self.transform is None:
            return clip, label
        if not isinstance(self.transform, ClipAugmentation):
            return self.transform(clip), label
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        if not self.classes or label is None:
            return self.transform(clip, label, generator)
        # Flips are written in the names of labels; items carry numbers.
        clip, name = self.transform(clip, self.classes[label], generator)
        if name not in self.classes:
            raise ValueError(
                f"The augmentation turns label {self.classes[label]!r} into {name!r}, which no "
                "clip has; leave that flip out or add the class."
            )
        return clip, self.classes.index(name)

    def set_epoch(self, epoch: int) -> None:
        """Change the draws for a new epoch; call it before each one, as with distributed samplers.

        Workers get the epoch with the dataset, so make the `DataLoader` with
        `persistent_workers=False` (the default) if you call this.
        """
        self.epoch = int(epoch)


def _files(
    library: VideoLibrary, ids: list[str], on_error: OnError
) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the clips' files, and for those that have none the reason.

    Raises
    ------
    vidrec_utils.datasets.LibraryError
        If a clip is unknown; with `on_error="raise"` also if it has no file in the library.
    """
    paths, lacking = {}, {}
    for video_id in ids:
        try:
            paths[video_id] = Path(library.file(video_id))
        except LibraryError as error:
            if on_error == "raise" or video_id not in library.videos.index:
                raise
            lacking[video_id] = str(error)
    return paths, lacking


def clip_labels(library: VideoLibrary, name: str = "motion") -> pd.Series:
    """Return labels of the clips: annotations by people, or else the categories.

    Parameters
    ----------
    library : VideoLibrary
        Annotations lie in `library.extras["annotations"]`: `video_id` and columns of labels.
    name : str
        The column of the annotations. Without it, the categories are returned.

    Returns
    -------
    Series of str
        Indexed by all video ids; NA for a clip without a label.

    Examples
    --------
    >>> videos = pd.DataFrame({"video_id": ["v1", "v2"], "category": ["cats", "dogs"]})
    >>> log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    >>> clip_labels(VideoLibrary(videos, log)).to_dict()
    {'v1': 'cats', 'v2': 'dogs'}
    >>> motions = pd.DataFrame({"video_id": ["v2"], "motion": ["rise"]})
    >>> library = VideoLibrary(videos, log, extras={"annotations": motions})
    >>> clip_labels(library, "motion")["v2"]
    'rise'
    """
    annotations = library.extras.get("annotations")
    if annotations is None or name not in annotations:
        return library.videos["category"]
    return annotations.set_index("video_id")[name].reindex(library.videos.index)


def clip_groups(library: VideoLibrary, subjects: pd.Series | None = None) -> pd.Series:
    """Return the group of each clip, for folds and intervals: its subject, or else its uploader.

    Clips of one group resemble each other, so a group is held out as a whole, and resampled as a
    whole. A sentence says which groups there are, or that there are none.

    Parameters
    ----------
    library : VideoLibrary
    subjects : Series, optional
        What each clip shows, by video id, if somebody knows it.

    Returns
    -------
    Series of str
        Indexed by all video ids. A clip of which neither is known is a group of its own.

    Examples
    --------
    >>> videos = pd.DataFrame({"video_id": ["v1", "v2", "v3"], "uploader": ["ann", "ann", None]})
    >>> log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    >>> clip_groups(VideoLibrary(videos, log, name="mine")).tolist()
    The library mine names no subjects: the 3 clips are grouped by uploader, 2 groups.
    ['uploader ann', 'uploader ann', 'video v3']
    >>> videos = videos.drop(columns="uploader")
    >>> clip_groups(VideoLibrary(videos, log, name="mine")).tolist()
    The library mine names neither subjects nor uploaders: each of 3 clips counts as independent.
    If some resemble each other, intervals are too narrow, and accuracies too high.
    ['video v1', 'video v2', 'video v3']
    """
    ids = library.videos.index
    alone = pd.Series([f"video {v}" for v in ids], ids)
    if subjects is not None:
        return subjects.reindex(ids).astype("str").where(subjects.reindex(ids).notna(), alone)
    uploaders = library.videos["uploader"]
    groups = ("uploader " + uploaders.astype("str")).where(uploaders.notna(), alone)
    who = f"The library {library.name} names"
    if uploaders.notna().any():
        print(
            f"{who} no subjects: the {len(ids):,} clips are grouped by uploader, "
            f"{groups.nunique():,} groups."
        )
    else:
        print(
            f"{who} neither subjects nor uploaders: each of {len(ids):,} clips counts as "
            "independent.\nIf some resemble each other, intervals are too narrow, and accuracies "
            "too high."
        )
    return groups


def _number_labels(
    labels: pd.Series | Mapping[str, object] | str | None, ids: list[str], library: VideoLibrary
) -> tuple[list[str], list | None]:
    """Return the names of classes, and one number per clip (numeric labels stay as they are)."""
    if labels is None:
        return [], None
    if isinstance(labels, str):
        if labels not in library.videos:
            raise ValueError(f"The videos have no column {labels!r} to take labels from.")
        labels = library.videos[labels]
    table = dict(labels.items())
    lacking = [v for v in ids if v not in table or pd.isna(table[v])]
    if lacking:
        raise ValueError(
            f"{len(lacking)} clips have no label, such as {lacking[0]!r}; fill the labels in "
            "(fill_missing) or pass only the ids that have one as video_ids."
        )
    values = [table[v] for v in ids]
    if any(isinstance(value, str) for value in values):
        classes = sorted(set(map(str, values)))
        number = {name: k for k, name in enumerate(classes)}
        return classes, [number[str(value)] for value in values]
    return [], [value.item() if hasattr(value, "item") else value for value in values]
