"""The audio encoders that there are, and how each is loaded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from vidrec_utils.audio_encoders.log_mel_statistics import ENTRY, LogMelEncoder
from vidrec_utils.encoders import Catalogue, LoadRequest

CATALOGUE: Catalogue[LogMelEncoder] = Catalogue("audio", [ENTRY])


def available() -> pd.DataFrame:
    """List the audio encoders, and which weights are available now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters, dim, rate` (samples a second of what it
        reads)`, available` (comma-separated values for `load`'s `weights`).

    Examples
    --------
    >>> from vidrec_utils import audio_encoders
    >>> audio_encoders.available().loc["log_mel", ["dim", "available"]].to_dict()
    {'dim': 177, 'available': 'none'}
    """
    return CATALOGUE.available()


def load(
    name: str = "log_mel",
    weights: str | Path = "packaged",
    device: torch.device | str | None = None,
    *,
    seed: int = 0,
    download: bool = False,
) -> LogMelEncoder:
    """Load an audio encoder by its name in the catalogue.

    Parameters
    ----------
    name : str
        A name of `available()`.
    weights : {"packaged", "published", "random"} or path
        `log_mel` has no weights: leave it and what follows out.
    device : torch.device or str, optional
        Default: `settings.device()`.
    seed : int
        Seed of random weights.
    download : bool
        Whether published weights may be fetched from the network when they are not available.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it has no weights of this kind.

    Examples
    --------
    >>> import numpy as np
    >>> from vidrec_utils import audio_encoders
    >>> silence = np.zeros(16_000, np.float32)  # one second
    >>> audio_encoders.load("log_mel").encode([silence]).shape
    (1, 177)
    """
    return CATALOGUE.load(LoadRequest(name, weights, device, seed=seed, download=download))
