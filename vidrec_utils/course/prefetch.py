"""Vectors of the embedded world that notebooks will ask for, computed ahead with all cores.

    python -m vidrec_utils.course.prefetch               # for all notebooks
    python -m vidrec_utils.course.prefetch 06_ 07_       # for those whose names begin so

What is computed lies in the caches, by content: a notebook that asks for the same finds it, and one
that runs alone computes what it needs by itself. Killed at any moment, the next call goes on.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from vidrec_utils import settings
from vidrec_utils.cache import code_version

if TYPE_CHECKING:
    from vidrec_utils.datasets import VideoLibrary
    from vidrec_utils.encoders import Encoder

_PACKAGE = Path(__file__).resolve().parents[1]
_LITE0 = ("lite0_correlation", "frame_average", "lite0_appearance_motion")
_SMALL = ("two_stream_mini", "slowfast_mini")


@dataclass(frozen=True)
class Task:
    """Vectors of one modality by some encoders.

    Attributes
    ----------
    name : str
        For the progress and for the command line.
    notebooks : tuple of str
        Numbers of the notebooks that ask for these vectors.
    compute : callable
        Computes them for the cleaned library.
    """

    name: str
    notebooks: tuple[str, ...]
    compute: Callable[[VideoLibrary], None]


def _embed(library: VideoLibrary, encoder: Encoder, of: str) -> None:
    from vidrec_utils import embeddings

    embeddings.embed(library, encoder, of=of, progress=False)  # type: ignore[arg-type]  # the tasks below name one of the four


def _labelled(library: VideoLibrary) -> VideoLibrary:
    """The clips with a label of their motion, as notebook 04 takes them."""
    from vidrec_utils import preprocessing

    return library.subset(video_ids=preprocessing.clip_labels(library).dropna().index)


def _titles(library: VideoLibrary) -> None:
    from vidrec_utils import text_encoders

    _embed(library, text_encoders.load("minilm", device="cpu"), "title")


def _thumbnails(library: VideoLibrary) -> None:
    from vidrec_utils import image_encoders

    _embed(library, image_encoders.load("efficientnet_lite0", size=128), "thumbnail")


def _thumbnails_by_pretraining(library: VideoLibrary) -> None:
    from vidrec_utils import datasets, image_encoders, preprocessing

    # Notebook 03 leaves out videos without a category of their own: the control is calibrated on
    # the others' thumbnails, so that other videos would give other weights.
    category = datasets.load().videos["category"].reindex(library.videos.index)
    shown = category.notna() & library.videos["thumbnail"].notna()
    library = library.subset(video_ids=library.videos.index[shown])
    thumbnails = preprocessing.thumbnails(library, library.videos.index)
    for name, size in {"efficientnet_lite0": 128, "dinov2_small": 126}.items():
        control = image_encoders.load(name, "random", size=size, seed=settings.SEED)
        if not control.calibrated:
            control.calibrate(thumbnails)
        _embed(library, control, "thumbnail")
        if "packaged" in image_encoders.available().at[name, "available"]:
            _embed(library, image_encoders.load(name, size=size), "thumbnail")


def _frames(library: VideoLibrary) -> None:
    from vidrec_utils import image_encoders, video_encoders

    eye = image_encoders.load("efficientnet_lite0", size=128)
    _embed(library, video_encoders.FrameAverage(eye, frames=3), "clip")


def _clips(name: str, library: VideoLibrary) -> None:
    from vidrec_utils import video_encoders

    _embed(library, video_encoders.load(name), "clip")


def _trainable_stages(library: VideoLibrary) -> None:
    from vidrec_utils import hybrid

    hybrid.source_models(hybrid.read_clips(library), ("frozen",))


def _sounds(library: VideoLibrary) -> None:
    from vidrec_utils import audio_encoders

    _embed(library, audio_encoders.load("log_mel"), "sound")


def _clips_by_pretraining(names: tuple[str, ...], library: VideoLibrary) -> None:
    from vidrec_utils import preprocessing, video_encoders
    from vidrec_utils.hybrid import read_clips

    labelled = library.subset(video_ids=preprocessing.clip_labels(library).dropna().index)
    few = labelled.subset(video_ids=labelled.videos.index[:16])
    sample = list(read_clips(few, size=128, short="stretch").values())
    networks: dict = video_encoders.by_pretraining(sample, seed=settings.SEED)
    networks["lite0_appearance_motion", "ImageNet"] = None  # loaded where it is needed
    for (name, _), encoder in networks.items():
        if name in names:
            encoder = encoder or video_encoders.load(name)
            window = video_encoders.Windows(at="centre")
            _embed(labelled, encoder.with_windows(window) if encoder.windows else encoder, "clip")


TASKS = (
    Task("clips by I3D", ("04",), partial(_clips_by_pretraining, ("i3d_mini",))),
    Task("clips of a library by I3D", ("06", "07", "10"), partial(_clips, "i3d_mini")),
    Task("clips by Lite0", ("04",), partial(_clips_by_pretraining, _LITE0)),
    Task("clips by the small networks", ("04",), partial(_clips_by_pretraining, _SMALL)),
    Task("thumbnails by pretraining", ("03",), _thumbnails_by_pretraining),
    Task("clips of a library by Two-Stream", ("09",), partial(_clips, "two_stream_mini")),
    Task("frames", ("03",), _frames),
    Task("inputs of trainable stages", ("09",), _trainable_stages),
    Task("thumbnails", ("00", "03", "06", "07", "09"), _thumbnails),
    Task("titles", ("02", "06", "07", "09"), _titles),
    Task("sounds", ("04", "07", "09"), _sounds),
)
"""What notebooks ask for, the longest first. A task whose files or weights are absent is said and
left to the notebook, which knows what to say about it."""


def tasks_for(notebooks: Iterable[str]) -> list[Task]:
    """The tasks that serve some notebooks, given by name; all of them if none is given.

    Examples
    --------
    >>> [task.name for task in tasks_for(["08_behavior_based", "02_text_encoders"])]
    ['titles']
    """
    chosen = {name[:2] for name in notebooks}
    return [task for task in TASKS if not chosen or chosen & set(task.notebooks)]


def prefetch(notebooks: Iterable[str] = (), *, progress: bool = True) -> None:
    """Render the embedded world, clean it, and compute what some notebooks will ask for.

    Parameters
    ----------
    notebooks : iterable of str
        Their names; empty for all.
    progress : bool
        Show a bar.

    Warns
    -----
    RuntimeWarning
        If a task failed; the others are done nevertheless.
    """
    from vidrec_utils import datasets, preprocessing

    if settings.dataset_name() not in datasets.WORLDS:
        return  # what one's own library has, and lacks, its notebooks know best
    preprocessing.clean(datasets.load(), progress=progress)
    marks = {task: _mark(task) for task in tasks_for(notebooks)}
    missing = [task for task, mark in marks.items() if not mark.exists()]
    bar = tqdm(total=len(missing), desc="Computing vectors", disable=not progress or not missing)
    with bar:
        for name, reason in _outcomes(missing):
            bar.update()
            if reason:
                warnings.warn(
                    f"{name} were not computed ahead ({reason}); the notebook that needs them "
                    "will try again and say more.",
                    RuntimeWarning,
                    stacklevel=2,
                )


def _mark(task: Task) -> Path:
    """The empty file that says that a task was done with this code and these packages.

    It saves starting the processes. Where vectors were removed since, notebooks compute them.
    """
    packages = sorted((one.name, one.version) for one in metadata.distributions())
    code = code_version(*(path.parent for path in _PACKAGE.rglob("__init__.py")))
    key = repr((task.name, settings.dataset_name(), packages, code))
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return settings.cache_dir() / "computed-ahead" / name


def _outcomes(tasks: list[Task]) -> Iterator[tuple[str, str]]:
    """Do tasks in several processes; yield the name of each as it ends, and what was wrong."""
    workers = min(settings.threads(), len(tasks))
    if workers < 2:
        yield from (_outcome(TASKS.index(task)) for task in tasks)
        return
    # Processes are started afresh everywhere, as on macOS and Windows: a forked PyTorch can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
        names = {pool.submit(_outcome, TASKS.index(task)): task.name for task in tasks}
        for future in as_completed(names):
            try:
                yield future.result()
            except BrokenProcessPool:  # too little memory is the usual reason
                yield names[future], "a process was ended from outside"


def _end_with_parent() -> None:
    """Let this process end when the one that started it has been killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def end() -> None:
            multiprocessing.connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=end, daemon=True).start()


def _outcome(number: int) -> tuple[str, str]:
    """Do one task in this process; return its name, and what was wrong or nothing."""
    task = TASKS[number]
    try:
        task.compute(_cleaned())
        mark = _mark(task)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except Exception as error:  # one task must not end the others
        return task.name, f"{type(error).__name__}: {error}"
    finally:
        settings.release_memory()  # before the next task loads its network
    return task.name, ""


@cache
def _cleaned() -> VideoLibrary:
    """The cleaned library of this process."""
    from vidrec_utils import datasets, preprocessing

    return preprocessing.clean(datasets.load(), progress=False)[0]


if __name__ == "__main__":
    # One thread for each process, as in the notebooks; set before PyTorch is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # By its own name, under which the other processes find the module, too
    from vidrec_utils.course.prefetch import prefetch as run

    run(sys.argv[1:])
