"""Getting one file from the web: from a mirror if one is named, and in words if it fails.

`VIDREC_MIRROR=http://host:port` lets a server in the room stand for the internet: the address
`https://example.org/a/b.pth` then becomes `<mirror>/example.org/a/b.pth`. Nothing is fetched
without being asked for, and whoever asks compares the hash.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import requests

CHUNK = 1 << 20


class DownloadError(OSError):
    """A file could not be fetched; the message names the server and says what happened."""


def mirror() -> str | None:
    """Address of the server that stands for the internet: `VIDREC_MIRROR`, or None."""
    return (os.environ.get("VIDREC_MIRROR") or "").rstrip("/") or None


def mirrored(url: str) -> str:
    """Address that a web address has on the mirror; the address itself if there is no mirror."""
    address = urlsplit(url)
    query = f"?{address.query}" if address.query else ""
    server = mirror()
    host = address.netloc.rpartition("@")[2]
    return f"{server}/{host}{address.path}{query}" if server else url


def shown(url: str) -> str:
    """Web address as far as a person needs it; what follows `?` may be a secret.

    Examples
    --------
    >>> shown("https://example.org/models/net.pth?token=secret")
    'example.org/models/net.pth'
    """
    address = urlsplit(url)
    return f"{address.hostname}{address.path}"


def server_of(url: str) -> str:
    """Name of the server that is asked for a web address, in words."""
    server = mirror()
    host = str(urlsplit(url).hostname)
    return f"{urlsplit(server).netloc} (VIDREC_MIRROR, for {host})" if server else host


def failure(error: Exception, timeout_s: float) -> str:
    """What went wrong on the network, in words that follow the server's name.

    Examples
    --------
    >>> failure(requests.ConnectTimeout(), 30)
    'sent nothing for 30 s'
    """
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return "has no such file (404)" if status == 404 else f"answered with error {status}"
    if isinstance(error, requests.ConnectTimeout | requests.ReadTimeout) or "timed out" in str(
        error
    ):
        return f"sent nothing for {timeout_s:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "broke off before the end of the file"
    return "cannot be reached"


def download(url: str, file: Path, timeout_s: float = 30.0, progress: bool = True) -> None:
    """Fetch a file, through the mirror if there is one; its hash is left to the caller.

    Parameters
    ----------
    url : str
        Its web address.
    file : Path
        Where it is written. An interrupted download leaves a part there, so give a draft.
    timeout_s : float
        Seconds in which the server must connect, and send more.
    progress : bool
        Show a bar while fetching.

    Raises
    ------
    DownloadError
        If there is no network, no such file, a server that is too slow, or one that breaks off.
    """
    from pooch import HTTPDownloader

    get = HTTPDownloader(progressbar=progress, chunk_size=CHUNK, timeout=timeout_s)
    try:
        get(mirrored(url), str(file), None)
    except requests.RequestException as error:
        raise DownloadError(f"{server_of(url)} {failure(error, timeout_s)}") from error
