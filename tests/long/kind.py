"""What the runner has to know of a kind of file that is damaged and read again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np


class Kind(ABC):
    """A kind of file: how it is damaged, and how it may be read afterwards.

    Parameters
    ----------
    folder : Path
        An empty folder for files that are intact, which cases are copied from.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """Write the intact files."""

    @abstractmethod
    def damage(self, number: int, rng: np.random.Generator, folder: Path) -> None:
        """Write the damaged files of a case into an empty folder."""

    @abstractmethod
    def examine(self, folder: Path) -> str:
        """Read the files of a case through the public functions.

        Returns
        -------
        str
            How it ended, in a word or two: refused with the documented error, read as it was, ...

        Raises
        ------
        AssertionError
            If what was read is not what was written.
        Exception
            Whatever the functions raise and do not document.
        """
