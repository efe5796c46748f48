"""The registration of a public data set: how `datasets.load` recognizes and reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vidrec_utils.datasets._library import VideoLibrary


@dataclass(frozen=True)
class Reader:
    """A public data set in its authors' own form.

    Attributes
    ----------
    name : str
        Name of the data set, for messages.
    recognizes : callable
        Whether a folder holds this data set; it may look at file names only.
    load : callable
        Reads such a folder; exported by `datasets` under its own name.
    """

    name: str
    recognizes: Callable[[Path], bool]
    load: Callable[..., VideoLibrary]
