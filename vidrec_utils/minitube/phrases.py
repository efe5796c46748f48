"""Titles and comments as people write them, from a small grammar."""

from __future__ import annotations

import numpy as np

from vidrec_utils.minitube.vocabulary import COMMENTS


def write_comment(language: str, kind: str, rng: np.random.Generator) -> str:
    """Write a comment of a kind."""
    return str(rng.choice(COMMENTS[language][kind]))
