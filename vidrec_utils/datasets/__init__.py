"""Reading and writing libraries of videos: the course's own, yours, and public data sets.

Every notebook begins with `library = datasets.load()`. What comes back is a `VideoLibrary`, three
frames of one shape whatever the source, so that the same code runs on the embedded world, on
MovieLens or KuaiRand, and on a folder of your own (see `load_folder` for its layout).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidrec_utils import settings
from vidrec_utils.datasets._folder import TABLES, load_folder
from vidrec_utils.datasets._kuairand import is_kuairand, load_kuairand
from vidrec_utils.datasets._library import Split, VideoLibrary, split_tags
from vidrec_utils.datasets._movielens import is_movielens, load_movielens
from vidrec_utils.datasets._problems import LibraryError

__all__ = [
    "LibraryError",
    "Split",
    "VideoLibrary",
    "load",
    "load_folder",
    "load_kuairand",
    "load_movielens",
    "split_tags",
]


def load(name: str | Path | None = None, **options: Any) -> VideoLibrary:
    """Load a library by name or folder.

    Parameters
    ----------
    name : str or path, optional
        "minitube" (the embedded world in the size that `VIDREC_PROFILE` names), "minitube-small",
        "minitube-large", or a folder: one that `load_folder` reads, or MovieLens or KuaiRand in
        their own form. By default what `VIDREC_DATASET` says, else "minitube". A relative folder
        is looked for in the current folder, then in the repository.
    **options
        Handed on to `minitube.build` or to the reader.

    Raises
    ------
    LibraryError
        If there is no such library, or if it is unusable.
    """
    name = settings.dataset_name() if name is None else name
    if str(name) in ("minitube", "minitube-small", "minitube-large"):
        from vidrec_utils import minitube

        size = str(name).partition("-")[2] or settings.profile()
        return load_folder(minitube.build(**{"size": size, "seed": settings.SEED, **options}))
    folder = _find_folder(name)
    if is_movielens(folder):
        return load_movielens(folder, **options)
    if is_kuairand(folder):
        return load_kuairand(folder, **options)
    return load_folder(folder, **options)


def _find_folder(name: str | Path) -> Path:
    given = Path(name).expanduser()
    bases = [Path.cwd(), settings.repository()]
    places = [base / given for base in bases if base is not None]
    for place in places:
        # A library may be away for a moment while it is replaced; load_folder brings it back.
        if place.is_dir() or place.with_name(f".{place.name}.previous").is_dir():
            return place
    raise LibraryError(
        f"There is no library {str(name)!r}. Name one of minitube, minitube-small, "
        "minitube-large, or a folder that exists (with "
        + ", ".join(f"{table}.csv or .parquet" for table in TABLES[:2])
        + ", or MovieLens or KuaiRand in their own form), here or in VIDREC_DATASET."
    )
