"""Pretrained networks compared with the same networks with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np
import pandas as pd

from vidrec_utils.linear_probe import linear_probe
from vidrec_utils.text_encoders.catalogue import load
from vidrec_utils.text_encoders.encoder import TextEncoder
from vidrec_utils.text_encoders.tfidf import TfidfEncoder


def against_random(
    networks: Sequence[TextEncoder], texts: pd.Series, labels: pd.Series, groups: pd.Series,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Probe networks, the same networks untrained, and TF-IDF, on groups held out from training.

    Parameters
    ----------
    networks : sequence of TextEncoder
        Encoders of the catalogue.
    texts, labels, groups : Series
        Three columns with the same index; see `linear_probe.linear_probe`.
    seed : int
        Seed of the random weights.

    Returns
    -------
    right : DataFrame of bool
        Whether the probe is right, a row for each text; columns `"TF-IDF"`, and `"<name>"` and
        `"<name>, random"` of each network. `linear_probe.shares` and `compare_shares` make
        intervals of it, with the same groups.
    cost : DataFrame
        Indexed by name: `ms` (milliseconds a text, encoded in batches) and `megabytes` (size of the
        weights in memory, float32).

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> texts = pd.Series(["a cat", "a car"] * 5)
    >>> labels, groups = texts.str[-3:], pd.Series([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    >>> right, cost = against_random([text_encoders.load("minilm")], texts, labels, groups, 0)
    >>> right.columns.tolist()
    ['TF-IDF', 'minilm', 'minilm, random']
    """

    def hits(vectors: np.ndarray) -> np.ndarray:
        return linear_probe(vectors, labels, groups).right

    right = {"TF-IDF": hits(TfidfEncoder().fit(texts).encode(texts))}
    cost = {}
    for network in networks:
        start = perf_counter()
        vectors = network.encode(texts)
        cost[network.name] = {
            "ms": (perf_counter() - start) / len(texts) * 1000,
            "megabytes": network.parameters * 4 / 1e6,
        }
        right[network.name] = hits(vectors)
        untrained = load(network.name, "random", network.device, seed=seed)
        right[f"{network.name}, random"] = hits(untrained.encode(texts))
    costs = pd.DataFrame.from_dict(cost, orient="index", columns=["ms", "megabytes"])
    return pd.DataFrame(right, index=labels.index), costs
