"""Ranking metrics of one user in plain loops, straight from their definitions.

`metric_agreement.py` and a test compare `evaluation.evaluate` with them. Nothing here is shared
with the package, and nothing is fast.
"""

from __future__ import annotations

from math import comb, log2

import numpy as np


def divisors(n: int, k: int) -> dict[str, int]:
    """What a metric may divide by, by the names of the options of `evaluate`."""
    return {"n": n, "min(n, k)": min(n, k), "k": k}


def finished(
    hit_rate: float,
    hits: float,
    gain: float,
    reciprocal_rank: float,
    precisions: float,
    divided_by: tuple[int, int, int],
) -> dict[str, float]:
    """Divide by the ideal, by what recall counts as all, and by the length of the list."""
    ideal, recalled, k = divided_by
    precision, recall = hits / k, hits / recalled
    return {
        "hit_rate": hit_rate,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "ndcg": gain / sum(1 / log2(rank + 1) for rank in range(1, ideal + 1)),
        "mrr": reciprocal_rank,
        "map": precisions / ideal,
    }


def in_order(
    scores: np.ndarray, relevant: np.ndarray, k: int, ideal: str, recall: str
) -> dict[str, float]:
    """Metrics of one user whose equal scores stay in the order of the candidates."""
    order = sorted(range(len(scores)), key=lambda column: (-scores[column], column))[:k]
    hits, gain, precisions, first = 0, 0.0, 0.0, 0.0
    for rank, column in enumerate(order, start=1):
        if relevant[column]:
            hits += 1
            gain += 1 / log2(rank + 1)
            precisions += hits / rank
            first = first or 1 / rank
    choices = divisors(int(sum(relevant)), k)
    divided_by = choices[ideal], choices[recall], k
    return finished(float(hits > 0), hits, gain, first, precisions, divided_by)


def expected(
    scores: np.ndarray, relevant: np.ndarray, k: int, ideal: str, recall: str
) -> dict[str, float]:
    """Expected metrics of one user if equal scores are put into a random order.

    Each position belongs to a group of m candidates with one score, r of them relevant. Two
    positions of one group are both hits with probability r (r - 1) / (m (m - 1)); positions of two
    groups are independent. The first j positions of a group hold no hit in C(m - j, r) of C(m, r)
    cases.
    """
    positions: list[tuple[int, int, int, int]] = []  # group, m, r, number within the group
    for group, value in enumerate(sorted(set(scores), reverse=True)):
        tied = scores == value
        m, r = int(tied.sum()), int((tied & relevant).sum())
        positions += [(group, m, r, j) for j in range(1, m + 1)]
    positions = positions[:k]
    hits = gain = precisions = reciprocal_rank = 0.0
    no_hit_before = 1.0
    for rank, (group, m, r, j) in enumerate(positions, start=1):
        hits += r / m
        gain += r / m / log2(rank + 1)
        both = r / m  # the hit itself, and each hit above it
        for other, size, of_it, _ in positions[: rank - 1]:
            same = other == group
            both += r * (r - 1) / (m * (m - 1)) if same else (of_it / size) * (r / m)
        precisions += both / rank
        earlier = [(s, q) for g, s, q, number in positions[:rank] if g != group and number == s]
        no_hit = 0.0 if any(q for _, q in earlier) else comb(m - j, r) / comb(m, r)
        reciprocal_rank += (no_hit_before - no_hit) / rank
        no_hit_before = no_hit
    choices = divisors(int(relevant.sum()), k)
    divided_by = choices[ideal], choices[recall], k
    return finished(1 - no_hit_before, hits, gain, reciprocal_rank, precisions, divided_by)


LOOPS = {"catalogue": in_order, "mid-rank": expected}
"""The loop for each way to rank equal scores."""
