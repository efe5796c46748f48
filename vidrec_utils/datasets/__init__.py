"""Reading and writing libraries of videos: the course's own, yours, and public data sets.

Every notebook begins with `library = datasets.load()`. The result is a `VideoLibrary`, three
frames of one shape whatever the source, so that the same code runs on the embedded world, on a
public data set in its authors' own form (see `READERS`; `fetch` downloads some), and on a folder of
your own (see `load_folder` for its layout). A notebook whose subject is a signal that some sets
lack names it, `library = datasets.load(needs="path")`: on such a set it says so and goes on with
MiniTube.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

REAL_CLIPS = "real_clips"
"""Name, and folder beside this module, of the real clips that come with the package."""

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
    name: str | Path | None = None,
    *,
    needs: str | Sequence[str] = (),
    **options: bool | int | float | str | Path | None,
) -> VideoLibrary:
    r"""Load a library by name or folder.

    With `needs`, the library has these signals, or it is another one, and a sentence says so: where
    nobody named a library here and the one that `VIDREC_DATASET` chooses lacks a signal, MiniTube
    takes its place. A notebook about video files runs like this after
    `VIDREC_DATASET=ml-latest-small`, too, which has none. What only some cells of a notebook use
    does not belong in `needs`; such a cell asks `claims.has(library, ...)`.

    Parameters
    ----------
    name : str or path, optional
        "minitube" (the embedded world in the size that `VIDREC_PROFILE` names), "minitube-small",
        "minitube-large", "real_clips" (ten short real clips that come with the package, without
        interactions; who made them stands in `ATTRIBUTION.md` in the library's `root`, and in
        the columns `author`, `license` and `source`), or a folder: one that `load_folder` reads,
        or a public data set in its authors' own form (one of `READERS`). By default the value of
        `VIDREC_DATASET`, else "minitube". A relative folder is looked for in the current folder,
        then in the repository.
    needs : str or sequence of str
        Signals without which the caller has no subject, as columns of the tables: `"path"` (video
        files), `"thumbnail"`, `"title"`, `"comment"`, ..., or `"interactions"` for the table of
        exposures; see `VideoLibrary.lacking`. Where the library that `VIDREC_DATASET` names lacks
        one of them, one sentence is printed, and MiniTube is loaded in the size that
        `VIDREC_PROFILE` names.
    **options
        Passed to `minitube.build` or to the reader; not to MiniTube when it takes another
        library's place.

    Raises
    ------
    LibraryError
        If there is no such library, or if it is unusable; if a library that is named here lacks a
        signal of `needs`, or MiniTube does.

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
    chosen = settings.dataset_name() if name is None else name
    needs = (needs,) if isinstance(needs, str) else tuple(needs)
    library = _load(chosen, options)
    lacking = library.lacking(*needs)
    if not lacking:
        return library
    if name is not None or str(chosen) in WORLDS:
        raise LibraryError(
            f"The library {library.name} has {_listed(lacking)}, which the caller needs (needs: "
            f"{', '.join(needs)}). Load a library that has them."
        )
    embedded = load("minitube", needs=needs)
    print(
        f"The library {library.name} ({chosen}) has {_listed(lacking)}, which this notebook is "
        "about: it goes on with MiniTube, the embedded platform."
    )
    return embedded


def _listed(lacking: list[str]) -> str:
    """Join what a library lacks: 'no titles', 'no titles and no video files'."""
    return " and ".join([", ".join(lacking[:-1]), lacking[-1]] if lacking[1:] else lacking)


def _load(
    name: str | Path, options: dict[str, bool | int | float | str | Path | None]
) -> VideoLibrary:
    """Load a library by name or folder, whatever signals it has."""
    if str(name) in WORLDS:
        from vidrec_utils import minitube

        size = str(name).partition("-")[2] or settings.profile()
        world = {"size": size, "seed": settings.SEED, **options}
        return load_folder(minitube.build(**world))  # type: ignore[arg-type]  # build checks them
    if str(name) == REAL_CLIPS:
        packaged = Path(__file__).with_name(REAL_CLIPS)
        return load_folder(packaged, **options)  # type: ignore[arg-type]  # load_folder checks them
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
        f"There is no library {str(name)!r}. Name one of {', '.join((*WORLDS, REAL_CLIPS))}, or a "
        "folder that exists (with "
        + ", ".join(f"{table}.csv or .parquet" for table in TABLES[:2])
        + f", or {' or '.join(reader.name for reader in READERS)} in their own form, or videos "
        "alone), here or in VIDREC_DATASET."
    )
