"""Exercises of `05_transfer_learning`: learning rates by depth, and a temperature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def rates_by_depth(blocks: int, top: float, decay: float) -> list[float]:
    """Return the learning rate of each block of a network, from the input to the output.

    The last block has the rate `top`; each block before it has that of the next one times `decay`.
    For example, 3 blocks, `top` 0.8 and `decay` 0.5 give `[0.2, 0.4, 0.8]`.
    """
    # solution
    return [top * decay ** (blocks - 1 - depth) for depth in range(blocks)]
    # end solution


def check_rates_by_depth(function: Callable[[int, float, float], list[float]]) -> str:
    """Check an attempt at `rates_by_depth`."""
    rates = [float(rate) for rate in function(3, 0.8, 0.5)]
    assert len(rates) == 3, f"3 blocks have 3 rates, yours are {len(rates)}."
    assert not np.allclose(rates, [0.8, 0.4, 0.2]), (
        "the first block is the one at the input, and it is the slowest: turn the order round."
    )
    assert not np.allclose(rates, [0.1, 0.2, 0.4]), (
        "the last block has the rate `top` itself: the power of `decay` begins at 0."
    )
    assert np.allclose(rates, [0.2, 0.4, 0.8]), (
        f"the rates are [0.2, 0.4, 0.8], yours are {rates}: multiply by `decay` once for each "
        "block between this one and the last."
    )
    assert np.allclose(function(1, 0.3, 0.1), [0.3]), "a single block is the last one: rate `top`."
    return "general features near the input change least, special ones near the head most."


WRONG_RATES_BY_DEPTH = [
    (lambda blocks, top, decay: [top * decay**i for i in range(blocks)], "turn the order round"),
    (
        lambda blocks, top, decay: [top * decay ** (blocks - i) for i in range(blocks)],
        "begins at 0",
    ),
    (lambda blocks, top, decay: [top] * blocks, "once for each"),
    (lambda blocks, top, decay: print(top), "returns nothing"),
]


def tempered(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities of logits that are first divided by a temperature.

    `logits` has shape `(n, classes)`; each row of the result is a softmax and sums to 1.
    For example, `[[0, ln 9]]` gives `[[0.1, 0.9]]` at temperature 1, `[[0.25, 0.75]]` at 2.
    """
    # solution
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
    # end solution


def check_tempered(function: Callable[[np.ndarray, float], np.ndarray]) -> str:
    """Check an attempt at `tempered`."""
    logits = np.array([[0.0, np.log(9.0)], [np.log(4.0), 0.0]])
    shares = np.asarray(function(logits, 2.0), dtype=float)
    assert shares.shape == (2, 2), f"two rows of two classes have shape (2, 2), not {shares.shape}."
    target = np.array([[0.25, 0.75], [2 / 3, 1 / 3]])
    assert not np.allclose(shares, [[0.1, 0.9], [0.8, 0.2]]), (
        "these are the probabilities at temperature 1; divide the logits by it first."
    )
    assert not np.allclose(shares, [[1 / 82, 81 / 82], [16 / 17, 1 / 17]]), (
        "a higher temperature lowers the confidence; divide by it, do not multiply."
    )
    assert np.allclose(shares.sum(axis=1), 1), "each row sums to 1: sum over the classes, axis=1."
    assert np.allclose(shares, target), f"the answer is {target.round(3).tolist()}."
    large = np.asarray(function(np.array([[1000.0, 0.0]]), 1.0), dtype=float)
    assert np.allclose(large, [[1.0, 0.0]]), (
        "exp(1000) is infinite: subtract each row's largest value first, which changes nothing."
    )
    assert np.array_equal(shares.argmax(axis=1), logits.argmax(axis=1)), "the order must stay."
    return "the predictions stay the same; only their confidence changes."


def _plain_softmax(logits: np.ndarray, scale: float) -> np.ndarray:
    powers = np.exp(logits * scale - (logits * scale).max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _careless(logits: np.ndarray, temperature: float) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.exp(logits / temperature)
        return powers / powers.sum(axis=1, keepdims=True)


WRONG_TEMPERED = [
    (lambda logits, temperature: _plain_softmax(logits, 1.0), "divide the logits by it first"),
    (lambda logits, temperature: _plain_softmax(logits, temperature), "do not multiply"),
    (lambda logits, temperature: _careless(logits, temperature), "subtract each row's largest"),
    (
        lambda logits, temperature: (
            np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        ),
        "sum over the classes",
    ),
]
