"""Where public data sets come from: their pages, licences and hashes, and how they are fetched."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vidrec_utils import arguments, settings
from vidrec_utils.datasets._archives import unpack
from vidrec_utils.datasets._kuairand import is_kuairand
from vidrec_utils.datasets._kuairec import is_kuairec
from vidrec_utils.datasets._microlens import is_microlens
from vidrec_utils.datasets._movielens import is_movielens
from vidrec_utils.datasets._problems import LibraryError
from vidrec_utils.datasets._vk_lsvd import is_vk_lsvd
from vidrec_utils.downloads import DownloadError, download, server_of, shown
from vidrec_utils.files import draft_folder, exclusive

_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_ZENODO = "https://zenodo.org/records"
_GROUPLENS_LICENCE = "research and teaching; no redistribution without permission (README)"
_CC_BY_SA = "CC BY-SA 4.0"


@dataclass(frozen=True)
class Source:
    """One public data set, as its authors offer it.

    Attributes
    ----------
    recognizes : callable
        Whether a folder holds a data set of this kind; looks at file names only.
    page : str
        The authors' page, with the licence and the hash.
    licence : str
        Under which terms it may be used.
    url : str or None
        The archive; None where it has to be fetched by hand.
    md5 : str or None
        The archive's MD5 as `page` states it. None: the provider changes the archive from time to
        time, and publishes the hash of the present one beside it, at `url` + ".md5".
    limit_gb : float
        Gigabytes that the unpacked archive may have; about twice of what it has.
    by_hand : str
        Which files to fetch where there is no archive, and why.
    """

    recognizes: Callable[[Path], bool]
    page: str
    licence: str
    url: str | None = None
    md5: str | None = None
    limit_gb: float = 0.1
    by_hand: str = ""


def _movielens(name: str, page: str, md5: str | None, limit_gb: float) -> Source:
    page = f"https://grouplens.org/datasets/movielens/{page}"
    url = f"{_GROUPLENS}/{name}.zip"
    return Source(is_movielens, page, _GROUPLENS_LICENCE, url, md5, limit_gb)


def _kuairand(name: str, md5: str, limit_gb: float) -> Source:
    url = f"{_ZENODO}/10439422/files/{name}.tar.gz"
    return Source(is_kuairand, f"{_ZENODO}/10439422", _CC_BY_SA, url, md5, limit_gb)


def _microlens(size: str, titles: str) -> Source:
    page = f"https://recsys.westlake.edu.cn/MicroLens-{size}-Dataset/"
    files = f"MicroLens-{size}_pairs.csv and {titles}, and what else you want to use"
    return Source(
        is_microlens,
        page,
        "see github.com/westlake-repl/MicroLens; no redistribution of changed copies",
        by_hand=f"{files}; the authors publish no hashes",
    )


SOURCES = {
    "ml-latest-small": _movielens("ml-latest-small", "latest/", None, 0.1),
    "ml-latest": _movielens("ml-latest", "latest/", None, 4),
    "ml-100k": _movielens("ml-100k", "100k/", "0e33842e24a9c977be4e0107933c0723", 0.1),
    "ml-1m": _movielens("ml-1m", "1m/", "c4d9eecfca2ab87c1945afe126590906", 0.1),
    "ml-10m": _movielens("ml-10m", "10m/", "ce571fd55effeba0271552578f2648bd", 0.6),
    "ml-20m": _movielens("ml-20m", "20m/", "cd245b17a1ae2cc31bb14903e1204af3", 2),
    "ml-25m": _movielens("ml-25m", "25m/", "6b51fb2759a8657d3bfcbfc42b592ada", 2.5),
    "ml-32m": _movielens("ml-32m", "32m/", "d472be332d4daa821edc399621853b57", 2),
    "kuairand-pure": _kuairand("KuaiRand-Pure", "0820331067a3784d9691136f772b35a7", 0.5),
    "kuairand-1k": _kuairand("KuaiRand-1K", "6b0b9c8222d67fcd4c676218edca3f1f", 9),
    "kuairec": Source(
        is_kuairec,
        f"{_ZENODO}/18164998",
        _CC_BY_SA,
        f"{_ZENODO}/18164998/files/KuaiRec.zip",
        "261550d472c48eff4990fb13c0e5bcf7",
        5,
    ),
    "microlens-50k": _microlens("50k", "MicroLens-50k_titles.csv"),
    "microlens-100k": _microlens("100k", "MicroLens-100k_title_en.csv"),
    "microlens-1m": _microlens("1M", "MicroLens-1M_title.csv"),
    "vk-lsvd": Source(
        is_vk_lsvd,
        "https://huggingface.co/datasets/deepvk/VK-LSVD",
        "Apache 2.0",
        by_hand="the folders metadata and subsamples/up0.001_ip0.001 (or another subsample); the "
        "authors publish no hashes outside of the hub",
    ),
}
"""Data sets that `fetch` knows, by name."""


def public_sets() -> pd.DataFrame:
    """List the public data sets that `fetch` knows.

    Returns
    -------
    pandas.DataFrame
        Indexed by `name`: `fetched` ("automatically" or "by hand"), `page` (where the licence
        and the hash stand), `licence`.

    Examples
    --------
    >>> sets = public_sets()
    >>> sets.loc[["ml-25m", "vk-lsvd"], "fetched"].to_dict()
    {'ml-25m': 'automatically', 'vk-lsvd': 'by hand'}
    """
    rows = {
        name: {
            "fetched": "automatically" if source.url else "by hand",
            "page": source.page,
            "licence": source.licence,
        }
        for name, source in SOURCES.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def fetch(name: str, *, timeout_s: float = 30.0, progress: bool = True) -> Path:
    """Download a public data set once, and return the folder that `load` reads.

    The archive is compared with the MD5 that the provider publishes, unpacked into
    `public/NAME` of `settings.data_dir()`, and removed. A data set that is there already is not
    fetched again. Read the licence on the data set's page (`public_sets` lists them) before you use
    it; no data set is part of this course.

    Without a network, put the archive into the folder `public` under its own name, and call `fetch`
    again: it is compared and unpacked in the same way, and left where it is. `VIDREC_MIRROR` names
    a server that stands for the internet; the two sets that GroupLens renews ("ml-latest" and
    "ml-latest-small") have their hash beside the archive, so that a mirror is trusted with both.

    Parameters
    ----------
    name : str
        One of the names that `public_sets` lists, such as "ml-latest-small".
    timeout_s : float
        Seconds in which the server must connect, and send more.
    progress : bool
        Show a bar while fetching.

    Returns
    -------
    pathlib.Path
        The folder, for `load`.

    Raises
    ------
    ValueError
        If there is no such name.
    LibraryError
        If the data set has to be fetched by hand, cannot be downloaded, has another hash, or its
        archive is damaged or refused; says which file to put where.

    Examples
    --------
    >>> from vidrec_utils import datasets
    >>> library = datasets.load(datasets.fetch("ml-latest-small"))  # doctest: +SKIP
    """
    arguments.one_of(SOURCES, name=name)
    source, home = SOURCES[name], settings.data_dir() / "public" / name
    home.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(home.parent):
        folder = _present(home, source)
        if folder is not None:
            return folder
        if home.is_dir() and any(home.iterdir()):
            raise LibraryError(
                f"{home} is there, and holds no {name} that can be read: files of it are missing. "
                f"Complete it from {source.page}, or remove the folder and fetch it again."
            )
        if source.url is None:
            raise LibraryError(
                f"{name} is not fetched automatically. Get {source.by_hand}. They are on "
                f"{source.page}. Put them into {home}, and call fetch again."
            )
        with draft_folder(home) as draft:
            archive = _archive(source.url, source, home.parent, draft, timeout_s, progress)
            content = draft / "content"
            content.mkdir()
            unpack(archive, content, int(source.limit_gb * 1e9))
            if _present(content, source) is None:
                raise LibraryError(
                    f"{archive.name} holds no {name} that can be read. See {source.page}."
                )
            if home.is_dir():
                home.rmdir()  # empty
            content.rename(home)
    folder = _present(home, source)
    assert folder is not None
    return folder


def _present(home: Path, source: Source) -> Path | None:
    """Return the folder that holds the data set: this one, or the one that the archive brought."""
    if not home.is_dir():
        return None
    folders = [home, *sorted(path for path in home.iterdir() if path.is_dir())]
    return next((folder for folder in folders if source.recognizes(folder)), None)


def _archive(
    url: str, source: Source, folder: Path, draft: Path, timeout_s: float, progress: bool
) -> Path:
    """Return the archive, put there by hand or downloaded into the draft, with its hash checked."""
    name = url.rpartition("/")[2]
    by_hand = folder / name
    both = "" if source.md5 else f" and {name}.md5"
    remedy = (
        f"Check the network and try again; or get {name}{both} from {source.page}, put {name} at "
        f"{by_hand}{both and ', the other beside it'}, and call fetch again."
    )
    try:
        md5 = source.md5 or _published_md5(url, folder, draft, timeout_s)
        if by_hand.is_file():
            archive, origin = by_hand, str(by_hand)
        else:
            archive, origin = draft / name, f"{name} from {server_of(url)}"
            download(url, archive, timeout_s, progress)
    except DownloadError as error:
        raise LibraryError(f"{name} cannot be downloaded: {error}. {remedy}") from error
    _compare(archive, md5, origin, source)
    return archive


def _published_md5(url: str, folder: Path, draft: Path, timeout_s: float) -> str:
    """Return the MD5 that the provider publishes beside an archive."""
    name = f"{url.rpartition('/')[2]}.md5"
    file = folder / name
    if not file.is_file():
        file = draft / name
        download(f"{url}.md5", file, timeout_s, progress=False)
    with file.open("rb") as stream:
        hashes = re.findall(rb"\b[0-9a-fA-F]{32}\b", stream.read(10_000))
    if len(hashes) != 1:
        raise LibraryError(
            f"{shown(url)}.md5 holds no MD5. Try again later, or look at it in a browser."
        )
    return hashes[0].decode().lower()


def _compare(archive: Path, md5: str, origin: str, source: Source) -> None:
    from pooch import file_hash

    digest = file_hash(str(archive), alg="md5")
    if digest != md5:
        raise LibraryError(
            f"{origin} has the MD5 {digest}, expected {md5}: it is damaged or is another file. "
            f"Remove it if it is still there, and get it again; the hash stands on {source.page}."
        )
