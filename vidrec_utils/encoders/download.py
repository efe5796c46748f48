"""Fetching published weights: once, by hash, and never without being asked.

`fetch` gets one file from a web address, `hub_folder` several files of a model-hub repository. A
file that was fetched before is hashed again at every call, since a disk or a person may have
changed it meanwhile.

`VIDREC_MIRROR` names a server that stands for the internet, see `downloads`. The folder of fetched
weights has the layout of a mirror, so serving the folder of one machine makes a mirror for the
others.
`HF_ENDPOINT=https://host`, the variable of the hub's own client, names a mirror of the model hub
alone, and goes before `VIDREC_MIRROR` there. Hashes are compared all the same.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast
from urllib.parse import unquote, urlsplit

import requests

from vidrec_utils import settings
from vidrec_utils.downloads import DownloadError, download, failure, mirror, server_of, shown
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.encoders.weights import (
    WeightsError,
    WeightsNotAvailable,
    file_info,
    read_settings,
    verify,
)
from vidrec_utils.files import draft_folder, write_atomically
from vidrec_utils.files import sha256 as digest_of

if TYPE_CHECKING:
    from vidrec_utils.encoders.catalogue import LoadRequest
    from vidrec_utils.encoders.torchvision_models import TorchvisionWeights

HUB = "https://huggingface.co"
_HASH = re.compile(r"[0-9a-f]{8,64}")


def kept_file(url: str, folder: Path | None = None) -> Path | None:
    """Where `fetch` keeps the file of an address, or None if it is absent; nothing is hashed."""
    file = _kept_at(url, folder)
    return file if file.is_file() else None


def fetch(
    url: str,
    *,
    sha256: str | None,
    folder: Path | None = None,
    timeout_s: float = 30.0,
    progress: bool = True,
    download: bool = True,
) -> Path:
    """Return the file of a web address, fetched at the first call and hashed at every call.

    Parameters
    ----------
    url : str
        An `http` or `https` address that ends in a file name.
    sha256 : str or None
        The file's SHA-256, or its first 8 hexadecimal digits or more (torchvision writes them into
        its file names). None is *trust on first use*: the hash of the first download is written to
        `<file>.sha256` next to it and compared from then on.
    folder : Path, optional
        Where the file is kept; default `settings.cache_dir() / "weights" / <host> / <path>`.
    timeout_s : float
        Seconds in which the server must connect, and send more.
    progress : bool
        Show a bar while fetching.
    download : bool
        False: only look for a file that was fetched before.

    Returns
    -------
    Path

    Raises
    ------
    WeightsNotAvailable
        If it cannot be downloaded: no network, not found, too slow, broken off; names the remedy.
    WeightsError
        If the hash differs. A wrong download is removed, a wrong file of before is left.
    ValueError
        If the address or the hash is malformed.
    """
    file = _kept_at(url, folder)
    expected = _checked_hash(sha256) or _remembered(file)
    if file.is_file():
        again = f"Remove {file} and fetch it again, from {shown(url)}."
        verify(file, expected, remedy=again)
    elif download:
        file.parent.mkdir(parents=True, exist_ok=True)
        _download(url, file, expected, timeout_s, progress)
    else:
        raise WeightsNotAvailable(
            f"{file.name} is not available, and downloading it was not allowed. With a network, "
            f"say download=True; or put the file from {shown(url)} at {file}."
        )
    if expected is None:
        write_atomically(_record(file), f"{digest_of(file)}\n")
    return file


def hub_folder(
    repo: str,
    files: Sequence[str],
    *,
    revision: str,
    sha256: Mapping[str, str] | None = None,
    download: bool,
    timeout_s: float = 30.0,
) -> Path | None:
    """Return the folder that holds files of a model-hub repository, in the hub's own cache.

    The cache names a file by its hash (large ones by SHA-256, small ones by Git's SHA-1), so every
    file is compared with `sha256` or, where that is not given, with its own name.

    Parameters
    ----------
    repo : str
        `owner/name`.
    files : sequence of str
        All files that are needed.
    revision : str
        A commit (which can never change), or a branch or tag.
    sha256 : mapping of str to str, optional
        SHA-256 of files for which it is known, or its first 8 digits or more.
    download : bool
        Whether files that are not in the cache may be fetched.
    timeout_s : float
        Seconds in which the hub must answer at all.

    Returns
    -------
    Path or None
        None if a file is not in the cache and `download` is False.

    Raises
    ------
    WeightsNotAvailable
        If a file cannot be downloaded; names the remedy.
    WeightsError
        If the hash differs. A wrong download is removed, a wrong file of before is left.
    """
    expected = {name: _checked_hash(value) for name, value in (sha256 or {}).items()}
    paths = []
    for name in files:
        file, fresh = _in_hub_cache(repo, name, revision), False
        if file is None and not download:
            return None
        if file is None:
            file, fresh = _from_hub(repo, name, revision, timeout_s), True
        _compare_in_hub(file, expected.get(name), fresh, repo)
        paths.append((name, file))
    name, file = paths[0]
    return file.parents[len(Path(name).parts) - 1]


@dataclass(frozen=True)
class PublishedFile:
    """A checkpoint that its authors published as one file.

    Attributes
    ----------
    url : str
        Its address.
    sha256 : str or None
        First digits of its hash; None where the authors state none: trust on first use.
    licence : str
        Licence of the weights.
    """

    url: str
    sha256: str | None
    licence: str

    @classmethod
    def of_torchvision(cls, weights: TorchvisionWeights) -> Self:
        """The file of one of torchvision's entries, whose name ends in digits of its hash."""
        return cls(weights.url, Path(weights.url).stem.rpartition("-")[2], "BSD-3-Clause")

    def is_available(self) -> bool:
        """Whether the file lies where `fetch` keeps it; nothing is hashed."""
        return kept_file(self.url) is not None

    def located(self, request: LoadRequest) -> tuple[Path, WeightsInfo]:
        """Path of this file, or of the one that a caller names, and where it came from.

        Raises
        ------
        WeightsNotAvailable, WeightsError
            As in `fetch`, and if there is no file where the caller says.
        """
        if request.weights == "published":
            path = fetch(self.url, sha256=request.sha256 or self.sha256, download=request.download)
            return path, WeightsInfo("published", path.name, digest_of(path), self.licence)
        path = Path(request.weights)
        if not path.is_file():
            raise WeightsNotAvailable(
                f"There is no weights file {path} for {request.name}. Give the path of a "
                "checkpoint, or weights='published' with download=True."
            )
        return path, file_info(path, request.sha256)


@dataclass(frozen=True)
class HubCheckpoint:
    """A checkpoint that its authors published on the model hub, at one commit.

    Attributes
    ----------
    repo, revision : str
        `owner/name`, and the commit.
    settings : tuple of str
        The small files that are needed: configuration, tokenizer, preprocessing.
    weights : tuple of str
        File of the weights; where there are several names, the first that the repository has.
    sha256 : str or None
        Hash of the weights, or its first digits.
    licence : str
        Licence of the weights.
    """

    repo: str
    revision: str
    settings: tuple[str, ...]
    licence: str
    weights: tuple[str, ...] = ("model.safetensors",)
    sha256: str | None = None

    def is_available(self) -> bool:
        """Whether all files are in the hub's cache; nothing is hashed."""
        return any(
            all(_in_hub_cache(self.repo, file, self.revision) for file in (*self.settings, name))
            for name in self.weights
        )

    def folder(self, call: str, download: bool, tensors: bool = True, instead: str = "") -> Path:
        """Folder that holds all files, or only the small ones without `tensors`.

        Parameters
        ----------
        call : str
            The call that downloads the files, for the remedy.
        download : bool
            Whether files may be fetched from the network.
        tensors : bool
            Whether the weights are needed.
        instead : str
            What works without a network, for the remedy.

        Raises
        ------
        WeightsNotAvailable, WeightsError
            As in `hub_folder`, and if files are absent and `download` is False.
        """
        choices = self.weights if tensors else ("",)
        for name in choices:
            if (folder := self._folder(name, download=False)) is not None:
                return folder
        if not download:
            raise WeightsNotAvailable(
                f"The published files of {self.repo} are not available, and downloading them was "
                f"not allowed. With a network, run once: {call}; or give the path of a folder that "
                f"holds them.{instead and ' Without a network: '}{instead}"
            )
        for name in choices[:-1]:
            try:
                return cast(Path, self._folder(name, download=True))
            except WeightsNotAvailable as error:
                if "(404)" not in str(error) or name not in str(error):
                    raise
        return cast(Path, self._folder(choices[-1], download=True))

    def opened(
        self, request: LoadRequest, room: str, kind: str
    ) -> tuple[dict[str, object], Path, WeightsInfo]:
        """Settings and weights file of this checkpoint, or of one in a folder that a caller names.

        Parameters
        ----------
        request : LoadRequest
            What the caller asks for.
        room : str
            Whose `load` was called, for the remedy.
        kind : str
            What `model_type` must be in `config.json`.

        Returns
        -------
        (dict, Path, WeightsInfo)
            What stands in `config.json`, the file, and where it came from.

        Raises
        ------
        WeightsNotAvailable, WeightsError
            As in `folder`, if a file is absent, and if the checkpoint is of another model.
        """
        published = request.weights == "published"
        call = f"{room}.load({request.name!r}, 'published', download=True)"
        folder = self.folder(call, request.download) if published else Path(request.weights)
        config = read_settings(self.required(folder / "config.json").parent, kind=kind)
        file = self.required(self.file(folder))
        info = file_info(file, request.sha256)
        if published:
            info = replace(info, source="published", licence=self.licence)
        return config, file, info

    def required(self, file: Path) -> Path:
        """Return a file of a folder with a checkpoint; `WeightsNotAvailable` if it is absent."""
        if not file.is_file():
            raise WeightsNotAvailable(
                f"There is no {file.name} in {file.parent}: give a folder with config.json and "
                f"{self.weights[0]}, as in the repository {self.repo}."
            )
        return file

    def file(self, folder: Path) -> Path:
        """Path of the weights in a folder with these files; it may be absent."""
        files = [folder / name for name in (*self.weights, "model.safetensors")]
        return next((file for file in files if file.is_file()), files[0])

    def _folder(self, weights: str, download: bool) -> Path | None:
        files = (*self.settings, weights) if weights else self.settings
        known = {weights: self.sha256} if weights and self.sha256 else None
        return hub_folder(self.repo, files, revision=self.revision, sha256=known, download=download)


def _kept_at(url: str, folder: Path | None) -> Path:
    address = urlsplit(url)
    path = [unquote(part) for part in address.path.split("/") if part]
    if address.scheme not in ("http", "https") or not address.hostname or not path:
        raise ValueError(f"{url!r} is not an http address of a file, as https://host/folder/file.")
    if any(part in (".", "..") or set(part) & set('\\/:*?"<>|\0') for part in path):
        raise ValueError(f"The path of {url!r} cannot be a file's path; give an address without.")
    if folder is not None:
        return Path(folder) / path[-1]
    return settings.cache_dir().joinpath("weights", address.hostname, *path)


def _checked_hash(value: str | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _HASH.fullmatch(value.lower()):
        raise ValueError(f"{value!r} is no SHA-256: give 8 to 64 hexadecimal digits, or None.")
    return value.lower()


def _record(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _remembered(file: Path) -> str | None:
    """The hash written at the first download, or None."""
    record = _record(file)
    if not (file.is_file() and record.is_file()):
        return None  # a file that was removed is fetched, and trusted, anew
    text = record.read_text(encoding="utf-8").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise WeightsError(
            f"{record} holds no SHA-256; remove it and {file.name}, and fetch again."
        )
    return text


def _download(url: str, file: Path, expected: str | None, timeout_s: float, bar: bool) -> None:
    """Fetch into a draft, compare its hash, and only then move it to its path."""
    remedy = f"or put the file from {shown(url)} at {file}."
    again = "The download was removed; try again, and if it stays so, do not use the file."
    try:
        with draft_folder(file) as folder:
            part = folder / file.name
            download(url, part, timeout_s, bar)
            verify(part, expected, f"{file.name} from {server_of(url)}", again)
            part.replace(file)
    except DownloadError as error:
        raise WeightsNotAvailable(
            f"{file.name} cannot be downloaded: {error}. Check the network and try again, {remedy}"
        ) from error


def _in_hub_cache(repo: str, name: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, name, revision=revision)
    return Path(path) if isinstance(path, str) else None


def _from_hub(repo: str, name: str, revision: str, timeout_s: float) -> Path:
    """Fetch a file into the hub's cache."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    own = (os.environ.get("HF_ENDPOINT") or "").rstrip("/")
    base = None if own else mirror()
    endpoint = f"{base}/{urlsplit(HUB).netloc}" if base else own or constants.ENDPOINT
    remedy = (
        f"Check the network and try again; or copy the folder of {repo} in the hub's cache "
        "(HF_HOME) from a machine that has it."
    )
    if constants.is_offline_mode():
        raise WeightsNotAvailable(
            f"{name} of {repo} is not available, and HF_HUB_OFFLINE forbids the network. Unset it "
            "and try again."
        )
    failures: tuple[type[Exception], ...] = (
        OSError, ValueError, RuntimeError, OfflineModeIsEnabled, *_client_errors(),
    )  # fmt: skip
    server = server_of(HUB) if base else str(urlsplit(endpoint).hostname)
    try:
        # Asked first, because the hub's client tries for a minute where nobody answers
        requests.head(
            f"{endpoint}/{repo}/resolve/{revision}/{name}", timeout=timeout_s, allow_redirects=True
        ).raise_for_status()
        file = hf_hub_download(repo, name, revision=revision, endpoint=endpoint)
    except requests.RequestException as error:
        raise WeightsNotAvailable(
            f"{name} of {repo} cannot be downloaded: {server} {failure(error, timeout_s)}. {remedy}"
        ) from error
    except failures as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
        raise WeightsNotAvailable(
            f"{name} of {repo} could not be fetched whole from {server} "
            f"({type(error).__name__}: {first}). {remedy}"
        ) from error
    return Path(file)


def _client_errors() -> tuple[type[Exception], ...]:
    """Errors of the HTTP library that the hub's client was built on, whichever it is."""
    from huggingface_hub.utils import get_session

    module = sys.modules[type(get_session()).__module__.partition(".")[0]]
    return tuple(
        error
        for name in ("HTTPError", "TransportError", "RequestException")
        if isinstance(error := getattr(module, name, None), type)
    )


def _compare_in_hub(file: Path, expected: str | None, fresh: bool, repo: str) -> None:
    """Compare a cached file with its name in the cache and with what is known of it."""
    blob = file.resolve()
    digest = digest_of(file)
    own = blob.name if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name) else None
    if expected is None:  # what is known of a file weighs more than the name it was given
        expected = own
    if expected is None or digest.startswith(expected) or expected == _git_sha1(file):
        return
    if fresh:
        file.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
    remedy = "The download was removed; try again." if fresh else f"Remove {blob}, fetch it again."
    raise WeightsError(
        f"{file.name} of {repo} has SHA-256 {digest[:12]}..., expected "
        f"{expected[:12]}...: it is damaged or is another file. {remedy}"
    )


def _git_sha1(file: Path) -> str:
    """The name that Git gives to a file's content."""
    digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: digest).hexdigest()
