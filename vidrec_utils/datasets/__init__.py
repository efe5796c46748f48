"""Reading and writing libraries of videos: the course's own, yours, and public data sets.

Every notebook begins with `library = datasets.load()`. The result is a `VideoLibrary`, three
frames of one shape whatever the source, so that the same code runs on the embedded world, on a
public data set in its authors' own form (see `READERS`; `fetch` downloads some), and on a folder of
your own (see `load_folder` for its layout).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vidrec_utils import settings
from vidrec_utils.datasets._folder import TABLES, load_folder
from vidrec_utils.datasets._kuairand import is_kuairand, load_kuairand
from vidrec_utils.datasets._kuairec import is_kuairec, load_kuairec
from vidrec_utils.datasets._library import Split, VideoLibrary, split_tags
from vidrec_utils.datasets._microlens import is_microlens, load_microlens
from vidrec_utils.datasets._movielens import is_movielens, load_movielens
from vidrec_utils.datasets._problems import LibraryError
from vidrec_utils.datasets._reader import Reader
from vidrec_utils.datasets._sources import SOURCES, fetch, public_sets
from vidrec_utils.datasets._vk_lsvd import is_vk_lsvd, load_vk_lsvd

READERS = (
    Reader("MovieLens", is_movielens, load_movielens),
    Reader("KuaiRand", is_kuairand, load_kuairand),
    Reader("KuaiRec", is_kuairec, load_kuairec),
    Reader("MicroLens", is_microlens, load_microlens),
    Reader("VK-LSVD", is_vk_lsvd, load_vk_lsvd),
)
"""Public data sets that `load` recognizes. A new reader is imported above and listed here."""

WORLDS = ("minitube", "minitube-small", "minitube-large")
"""Names of the embedded world in its sizes."""

__all__ = [
    "READERS",
    "LibraryError",
    "Split",
    "VideoLibrary",
    "fetch",
    "load",
    "load_folder",
    "public_sets",
    "split_tags",
    *(reader.load.__name__ for reader in READERS),
]


def load(
    name: str | Path | None = None, **options: bool | int | float | str | Path | None
) -> VideoLibrary:
    r"""Load a library by name or folder.

    Parameters
    ----------
    name : str or path, optional
        "minitube" (the embedded world in the size that `VIDREC_PROFILE` names), "minitube-small",
        "minitube-large", or a folder: one that `load_folder` reads, or a public data set in its
        authors' own form (one of `READERS`). By default the value of `VIDREC_DATASET`, else
        "minitube". A relative folder is looked for in the current folder, then in the repository.
    **options
        Passed to `minitube.build` or to the reader.

    Raises
    ------
    LibraryError
        If there is no such library, or if it is unusable.

    Examples
    --------
    A folder of one's own, here with two small tables:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "videos.csv").write_text("video_id,title\nv1,Cats\nv2,Dogs\n")
    ...     log = "user_id,video_id,timestamp,watch_ratio\nanna,v1,2025-03-03T12:00:00Z,0.5\n"
    ...     _ = Path(folder, "interactions.csv").write_text(log)
    ...     library = load(folder)
    >>> list(library.videos["title"]), library.has("watch_ratio"), library.has("liked")
    (['Cats', 'Dogs'], True, False)
    """
    name = settings.dataset_name() if name is None else name
    if str(name) in WORLDS:
        from vidrec_utils import minitube

        size = str(name).partition("-")[2] or settings.profile()
        world = {"size": size, "seed": settings.SEED, **options}
        return load_folder(minitube.build(**world))  # type: ignore[arg-type]  # build checks them
    folder = _find_folder(name)
    known = [reader.load for reader in READERS if reader.recognizes(folder)]
    read: Callable[..., VideoLibrary] = known[0] if known else load_folder
    return read(folder, **options)


def _find_folder(name: str | Path) -> Path:
    bases = [Path.cwd(), settings.repository()]
    candidates = [base / Path(name).expanduser() for base in bases if base is not None]
    for folder in candidates:
        # A library may be absent for an instant while it is replaced; load_folder restores it.
        if folder.is_dir() or folder.with_name(f".{folder.name}.previous").is_dir():
            return folder
    if str(name) in SOURCES:
        raise LibraryError(
            f"There is no folder {str(name)!r} here. datasets.fetch({str(name)!r}) gets this "
            "public data set, or says how to; load the folder that it returns."
        )
    raise LibraryError(
        f"There is no library {str(name)!r}. Name one of {', '.join(WORLDS)}, or a folder that "
        "exists (with "
        + ", ".join(f"{table}.csv or .parquet" for table in TABLES[:2])
        + f", or {' or '.join(reader.name for reader in READERS)} in their own form, or videos "
        "alone), here or in VIDREC_DATASET."
    )
