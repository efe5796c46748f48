"""Exercises of `02_text_encoders`: attention, its causal mask, nucleus sampling, unread titles."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets, text_encoders


def attend_by_hand() -> float:
    """Return the output of attention for one query and two tokens, computed on paper.

    The scores of the query with the two keys, already divided by the root of d, are 0 and ln 3.
    The values of the two tokens are the numbers 4 and 8.
    """
    # solution
    return 1 / 4 * 4 + 3 / 4 * 8
    # end solution


def check_attend_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `attend_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 6), "that is the plain mean; weigh the values by the softmax."
    assert not math.isclose(answer, 8), (
        "that is the value of the best key alone; a softmax leaves the other one a part."
    )
    assert not math.isclose(answer, 28), "divide e^0 and e^(ln 3) by their sum, which is 4."
    assert math.isclose(answer, 7), (
        f"the weights are 1/4 and 3/4, the output is 4/4 + 24/4, which is not {answer}."
    )
    return "the weights of a query sum to 1, so its output lies between the values."


WRONG_ATTEND_BY_HAND = [
    (lambda: 6.0, "plain mean"),
    (lambda: 8.0, "the best key alone"),
    (lambda: 28.0, "divide"),
    (lambda: 4.0, "the weights are"),
]


def causal_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the output of one attention head in which no token sees a later one.

    `q`, `k` and `v` have one row for each token: `(tokens, d)`. Scores are divided by the root of
    d; those of later tokens get a weight of 0, and the weights of each row sum to 1.
    For example, whatever `q` and `k` are, the first row of the output is the first row of `v`.
    """
    # solution
    scores = q @ k.T / np.sqrt(q.shape[1])  # (tokens, tokens)
    scores[np.triu_indices(len(q), k=1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v
    # end solution


def check_causal_attention(
    function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> str:
    """Check an attempt at `causal_attention`."""
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 4, 6))
    expected = _masked_softmax(q @ k.T / np.sqrt(6)) @ v
    output = np.asarray(function(q.copy(), k.copy(), v.copy()))
    assert output.shape == (4, 6), f"there is one row a token: (4, 6), yours is {output.shape}."
    plain = np.exp(q @ k.T / np.sqrt(6))
    assert not np.allclose(output, plain / plain.sum(axis=1, keepdims=True) @ v), (
        "your tokens see later ones; set those scores to minus infinity before the softmax."
    )
    assert not np.allclose(output[-1], _masked_softmax(q @ k.T)[-1] @ v), (
        "divide the scores by the root of d, the number of columns."
    )
    cut = np.tril(plain / plain.sum(axis=1, keepdims=True))
    assert not np.allclose(output, cut @ v), (
        "your weights do not sum to 1 any more: mask the scores before the softmax, not after."
    )
    assert not np.allclose(output[0], 0), "a token sees itself: mask only what comes after it."
    assert np.allclose(output, expected), "mask, softmax over the keys, then weigh the rows of v."
    return "one pass now trains a GPT at all positions at once."


def _masked_softmax(scores: np.ndarray, diagonal: int = 0) -> np.ndarray:
    weights = np.tril(np.exp(scores), k=diagonal)
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)


WRONG_CAUSAL_ATTENTION = [
    (
        lambda q, k, v: _masked_softmax(q @ k.T / np.sqrt(q.shape[1]), diagonal=len(q)) @ v,
        "see later ones",
    ),
    (lambda q, k, v: _masked_softmax(q @ k.T) @ v, "root of d"),
    (
        lambda q, k, v: np.tril(_masked_softmax(q @ k.T / np.sqrt(q.shape[1]), len(q))) @ v,
        "do not sum to 1",
    ),
    (lambda q, k, v: _masked_softmax(q @ k.T / np.sqrt(q.shape[1]), -1) @ v, "sees itself"),
    (lambda q, k, v: v.mean(axis=0), "one row a token"),
]


def nucleus(probabilities: list[float], share: float) -> list[int]:
    """Return the fewest tokens that hold a share of the probability, the most probable first.

    Sampling among these alone ("nucleus" or "top-p" sampling) leaves out the long tail of unlikely
    tokens. Tokens are given by their position in the list.
    For example, probabilities `[0.1, 0.6, 0.3]` with a share of 0.8 give `[1, 2]`.
    """
    # solution
    kept, total = [], 0.0
    for token in sorted(range(len(probabilities)), key=lambda i: -probabilities[i]):
        kept.append(token)
        total += probabilities[token]
        if total >= share:
            break
    return kept
    # end solution


def check_nucleus(function: Callable[[list[float], float], list[int]]) -> str:
    """Check an attempt at `nucleus`."""
    kept = list(function([0.125, 0.5, 0.25, 0.125], 0.7))
    assert kept != [1], "the last token that is needed belongs to it: 0.5 alone is less than 0.7."
    assert kept != [0, 1, 2], "take the most probable first, not the first of the list."
    assert kept == [1, 2], f"0.5 and 0.25 hold 0.7 of the probability; expected [1, 2], not {kept}."
    edge = list(function([0.25, 0.5, 0.25], 0.5))
    assert edge == [1], f"0.5 is enough for a share of 0.5; expected [1], yours is {edge}."
    all_kept = list(function([0.25, 0.75], 1.0))
    assert all_kept == [1, 0], f"a share of 1 keeps all tokens, yours is {all_kept}."
    return "the sharper the distribution, the fewer tokens are left to choose from."


def _least_probable_last(p: list[float], share: float, below: bool) -> list[int]:
    order = sorted(range(len(p)), key=lambda i: -p[i])
    totals = np.cumsum([p[i] for i in order])
    n = int((totals <= share).sum()) if below else int((totals < share).sum()) + 1
    return order[: max(n, 1)]


WRONG_NUCLEUS = [
    (lambda p, share: _least_probable_last(p, share, below=True), "belongs to it"),
    (
        lambda p, share: list(range(int((np.cumsum(p) < share).sum()) + 1)),
        "not the first of the list",
    ),
    (lambda p, share: [i for i, x in enumerate(p) if x >= share], "hold 0.7"),
    (
        lambda p, share: (
            _least_probable_last(p, share, below=False)
            if share != 0.5
            else [*_least_probable_last(p, share, below=False), 0]
        ),
        "is enough for",
    ),
]


def hardly_read(library: datasets.VideoLibrary) -> list[str]:
    """Return the ids of the videos whose title MiniLM hardly reads, the least readable first.

    Hardly: more than half of the title's tokens are unknown to it. A video without a title is left
    out. `text_encoders.load("minilm").reading(titles)` has a column `unknown`. Try another encoder
    on your own library afterwards.
    """
    # solution
    titles = library.videos["title"].dropna()
    unknown = text_encoders.load("minilm").reading(titles)["unknown"]
    return unknown[unknown > 0.5].sort_values(ascending=False).index.tolist()
    # end solution


def _five_titles(folder: Path) -> datasets.VideoLibrary:
    """Write a library of five videos: readable, half readable, unreadable, and without title."""
    titles = ["my cat", "\u732b\u997c cat", "\u732b\u997c\u7b14", None, "\u732b cat"]
    videos = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in range(5)],
            "title": titles,
            "published_at": "2026-01-01T00:00:00Z",
            "duration_s": 2.0,
        }
    )
    interactions = pd.DataFrame({"user_id": ["u0"], "video_id": ["v0"]})
    interactions["timestamp"] = "2026-02-01T00:00:00Z"
    videos.to_csv(folder / "videos.csv", index=False)
    interactions.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_hardly_read(function: Callable[[datasets.VideoLibrary], list[str]]) -> str:
    """Check an attempt at `hardly_read` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        ids = [str(video) for video in function(_five_titles(Path(folder)))]
    assert "v3" not in ids, "v3 has no title; leave it out."
    assert "v4" not in ids, "in v4 half of the tokens are unknown, which is not more than half."
    assert ids != ["v1", "v2"], "put the least readable first."
    assert ids == ["v2", "v1"], f"v2 and v1 are mostly unknown to MiniLM, yours says {ids}."
    return "these titles need another encoder before you trust their vectors."


def _by_unknown(library: datasets.VideoLibrary, least: float) -> pd.Series:
    titles = library.videos["title"].fillna("\u732b")
    unknown = text_encoders.load("minilm").reading(titles)["unknown"]
    return unknown[unknown >= least]


WRONG_HARDLY_READ = [
    (lambda library: _by_unknown(library, 0.6).index.tolist(), "has no title"),
    (lambda library: ["v2", "v1", "v4"], "not more than half"),
    (lambda library: ["v1", "v2"], "least readable first"),
    (lambda library: ["v2"], "mostly unknown"),
]
