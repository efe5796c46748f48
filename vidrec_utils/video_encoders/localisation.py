"""Temporal localisation: what happens in a video, and from when to when.

Candidate spans of a video (windows of several lengths, or its shots) are scored for each class.
Greedy non-maximum suppression keeps the best of those that overlap, and average precision judges
what is left against annotated spans.

References
----------
Caba Heilbron, Escorcia, Ghanem, Niebles: ActivityNet. CVPR 2015, for the task and its measure.
Everingham et al.: The Pascal Visual Object Classes Challenge. IJCV 88, 2010, for average precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from vidrec_utils import arguments, video_io
from vidrec_utils.encoders import Encoder

SPAN = ["start_s", "end_s"]


class Head(Protocol):
    """A fitted classifier, as scikit-learn has it."""

    classes_: np.ndarray

    def predict_proba(self, vectors: np.ndarray) -> np.ndarray:
        """Probabilities of the classes, `(n, classes)`."""
        ...


def temporal_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute the overlap of spans: the length of their intersection over that of their union.

    Parameters
    ----------
    one, other : array-like, shapes (n, 2) and (m, 2)
        Start and end of each span, in seconds.

    Returns
    -------
    ndarray of float, shape (n, m)
        From 0 (apart) to 1 (equal).

    Raises
    ------
    ValueError
        If a shape is another one, or a span does not end after its start.

    Examples
    --------
    >>> temporal_iou([[0, 2]], [[1, 3], [0, 2], [5, 6]]).round(2).tolist()
    [[0.33, 1.0, 0.0]]
    """
    first, second = _spans(one), _spans(other)
    starts = np.maximum(first[:, None, 0], second[:, 0])  # (n, m)
    ends = np.minimum(first[:, None, 1], second[:, 1])
    shared = np.clip(ends - starts, 0, None)  # length of the intersection
    lengths = np.diff(first), np.diff(second)[:, 0]  # (n, 1) and (m,)
    return shared / (lengths[0] + lengths[1] - shared)


def suppress(spans: np.ndarray, scores: np.ndarray, most: float = 0.5) -> np.ndarray:
    """Keep the best of spans that overlap: greedy non-maximum suppression.

    The span with the highest score is kept, all that overlap with it by more than `most` are
    dropped, and so on with what is left.

    Parameters
    ----------
    spans : array-like, shape (n, 2)
        Start and end in seconds.
    scores : array-like, shape (n,)
        How sure each one is; among equal ones the first wins.
    most : float
        Largest temporal IoU of two spans that are both kept.

    Returns
    -------
    ndarray of int
        Positions of the spans that are kept, the best first.

    Raises
    ------
    ValueError
        If there is not one score for each span, or a score is not finite.

    Examples
    --------
    >>> suppress([[0, 2], [0.2, 2.2], [3, 5]], [0.6, 0.9, 0.5]).tolist()
    [1, 2]
    """
    spans, scores = _spans(spans), np.asarray(scores, dtype=float)
    if scores.shape != (len(spans),) or not np.isfinite(scores).all():
        raise ValueError(f"Give one finite score for each of {len(spans)} spans.")
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        kept.append(left[0])
        overlap = temporal_iou(spans[left[:1]], spans[left])[0]
        overlap[0] = np.inf  # the span itself
        left = left[overlap <= most]
    return np.array(kept, dtype=np.int64)


def sliding_spans(duration_s: float, lengths_s: tuple[float, ...], hop: float = 0.5) -> np.ndarray:
    """List windows of several lengths over a video, as candidates for what happens in it.

    Parameters
    ----------
    duration_s : float
        Length of the video in seconds.
    lengths_s : tuple of float
        Lengths of the windows; a longer one than the video is the video as a whole.
    hop : float
        Distance of neighbouring windows as a share of their length, at most; they are evenly spread
        so that the last one ends with the video.

    Returns
    -------
    ndarray of float, shape (n, 2)
        Start and end of each, without repetitions.

    Examples
    --------
    >>> sliding_spans(3.0, (2.0, 4.0)).tolist()
    [[0.0, 2.0], [1.0, 3.0], [0.0, 3.0]]
    """
    arguments.positive(duration_s=duration_s, hop=hop)
    spans: list[tuple[float, float]] = []
    for length in lengths_s:
        length = min(length, duration_s)
        count = int(np.ceil((duration_s - length) / (hop * length) - 1e-9)) + 1
        starts = np.linspace(0, duration_s - length, count)
        spans += [(float(start), float(start + length)) for start in starts]
    return np.array(list(dict.fromkeys(spans)))


def span_vectors(path: str | PathLike[str], spans: np.ndarray, encoder: Encoder) -> np.ndarray:
    """Encode spans of one video, each as if it were a clip of its own.

    An encoder that was trained at a known rate sees one window in the middle of each span, and of a
    short span what its windows do with a short clip (see `encoders.Windows`). One without is given
    frames that are spread over the span.

    Parameters
    ----------
    path : path
        The file; it is read once.
    spans : array-like, shape (n, 2)
        Start and end in seconds.
    encoder : Encoder
        A video encoder.

    Returns
    -------
    ndarray of float32, shape (n, dim)

    Raises
    ------
    VideoError
        If the file cannot be read, or a span begins after its end.

    Examples
    --------
    A film is dark for two seconds, then light for two. Two spans of dark frames get the same
    vector, one of light frames another:

    >>> import tempfile
    >>> from vidrec_utils import video_encoders
    >>> film = np.zeros((16, 64, 64, 3), dtype=np.uint8)
    >>> film[8:] = 250
    >>> encoder = video_encoders.load("frame_average", frames=2, size=64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = video_io.write_clip(Path(folder, "film.mp4"), film, fps=4)
    ...     vectors = span_vectors(path, [[0, 1], [0.5, 2], [2, 4]], encoder)
    >>> vectors.shape == (3, encoder.dim)
    True
    >>> [np.allclose(vectors[0], other, atol=1e-3) for other in vectors[1:]]
    [True, False]
    """
    spans, contract = _spans(spans), encoder.frame_contract
    windows = replace(encoder.windows, at="centre") if encoder.windows else None
    if windows:
        times = [windows.times(end - start, contract.frames)[0] + start for start, end in spans]
    else:
        middles = (np.arange(contract.frames) + 0.5) / contract.frames
        times = spans[:, :1] + np.diff(spans) * middles
    size = (contract.read_size,) * 2 if contract.read_size else None

    def within(duration_s: float) -> np.ndarray:
        late = spans[spans[:, 0] >= duration_s]
        if len(late):
            raise video_io.VideoError(
                path,
                "out_of_range",
                f"it ends at {duration_s:g} s, before the span at {late[0, 0]:g} s.",
            )
        return np.minimum(np.array(times), np.nextafter(duration_s, 0))

    return encoder.encode(list(video_io.frames_at(path, within, size=size)))


def localise(
    path: str | PathLike[str],
    spans: np.ndarray,
    encoder: Encoder,
    head: Head,
    most: float = 0.5,
) -> pd.DataFrame:
    """Find what happens in a video, and from when to when.

    Parameters
    ----------
    path : path
        The file.
    spans : array-like, shape (n, 2)
        Candidates: start and end in seconds.
    encoder : Encoder
        A video encoder; see `span_vectors`.
    head : classifier
        Fitted on vectors of this encoder; has `predict_proba` and `classes_`, as in scikit-learn.
    most : float
        See `suppress`; the likeliest class of a span is its score.

    Returns
    -------
    DataFrame
        `start_s, end_s, label, score`, the surest first.
    """
    chances = head.predict_proba(span_vectors(path, spans, encoder))  # (n, classes)
    best = chances.max(axis=1)
    kept = suppress(spans, best, most)
    rows = pd.DataFrame(_spans(spans)[kept], columns=SPAN)
    return rows.assign(label=np.asarray(head.classes_)[chances.argmax(axis=1)[kept]]).assign(
        score=best[kept]
    )


def average_precision(
    detected: pd.DataFrame, annotated: pd.DataFrame, least: float = 0.5
) -> pd.Series:
    """Judge detected spans by average precision for each label, at one temporal IoU.

    Found spans are gone through by falling score. One is right if it overlaps enough with an
    annotated span of its label and video that no better one has taken; a second hit of the same
    span is an error. Average precision is the mean, over all annotated spans, of the precision at
    the rank at which each was hit; one that was never hit adds 0.

    Parameters
    ----------
    detected : DataFrame
        `video_id, start_s, end_s, label, score`.
    annotated : DataFrame
        `video_id, start_s, end_s, label`.
    least : float
        Temporal IoU from which on a span counts as hit.

    Returns
    -------
    Series of float
        One value for each label of `annotated`; their mean is the *mean average precision*.

    Examples
    --------
    >>> annotated = pd.DataFrame({"video_id": ["v", "v"], "start_s": [0, 2], "end_s": [2, 4]})
    >>> annotated["label"] = "rise"
    >>> detected = annotated.assign(end_s=[2, 3.9], score=[0.9, 0.2])
    >>> wrong = pd.DataFrame([["v", 6, 7, "rise", 0.5]], columns=detected.columns[[0, 1, 2, 3, 4]])
    >>> float(average_precision(pd.concat([detected, wrong]), annotated)["rise"].round(3))
    0.833
    """
    counts = annotated.groupby("label").size()
    hits = _precisions(detected, annotated, least)
    results = {label: float(np.sum(hits[label]) / counts[label]) for label in counts.index}
    return pd.Series(results, dtype=float)


def candidate_kinds(
    annotated: pd.DataFrame, lengths_s: tuple[float, ...]
) -> dict[str, dict[str, np.ndarray]]:
    """Collect three kinds of candidate spans for each annotated video.

    Parameters
    ----------
    annotated : DataFrame
        `video_id, start_s, end_s`; a video is taken to end with its last span.
    lengths_s : tuple of float
        See `sliding_spans`.

    Returns
    -------
    dict of str to dict of video id to ndarray, shape (n, 2)
        `"whole clip"`: one span for all of it. `"sliding windows"`: those of `sliding_spans`.
        `"true shots"`: the annotated spans themselves, which nobody has who needs them.

    Examples
    --------
    >>> annotated = pd.DataFrame({"video_id": ["v", "v"], "start_s": [0, 1], "end_s": [1, 2]})
    >>> kinds = candidate_kinds(annotated, (1.0,))
    >>> {kind: spans["v"].tolist() for kind, spans in kinds.items() if kind != "sliding windows"}
    {'whole clip': [[0.0, 2.0]], 'true shots': [[0.0, 1.0], [1.0, 2.0]]}
    >>> kinds["sliding windows"]["v"].tolist()
    [[0.0, 1.0], [0.5, 1.5], [1.0, 2.0]]
    """
    spans = {str(v): rows[SPAN].to_numpy(float) for v, rows in annotated.groupby("video_id")}
    ends = {video: float(rows[:, 1].max()) for video, rows in spans.items()}
    return {
        "whole clip": {video: np.array([[0.0, end]]) for video, end in ends.items()},
        "sliding windows": {video: sliding_spans(end, lengths_s) for video, end in ends.items()},
        "true shots": spans,
    }


def compare_candidates(
    files: Mapping[str, Path],
    candidates: Mapping[str, Mapping[str, np.ndarray]],
    annotated: pd.DataFrame,
    encoder: Encoder,
    head: Head,
) -> pd.DataFrame:
    """Judge localisation with several kinds of candidate spans, at a temporal IoU of one half.

    Parameters
    ----------
    files : mapping of video id to path
        The videos.
    candidates : mapping of str to mapping of video id to array
        By kind, the candidate spans of every video.
    annotated : DataFrame
        See `average_precision`.
    encoder, head
        See `localise`.

    Returns
    -------
    DataFrame
        By kind: `precision` (the mean of the average precision over the labels), `answers` (spans
        that are left after suppression) and `hits` (annotated spans that one of them hit with the
        right label).

    Examples
    --------
    A film is dark for two seconds, then light for two, and brightness alone tells which. The shots
    hit both events. The film as a whole overlaps with each by half, but has only one label:

    >>> import tempfile
    >>> from vidrec_utils.encoders import FrameContract
    >>> class Brightness:
    ...     frame_contract, windows = FrameContract(frames=2, size=16), None
    ...     classes_ = np.array(["light", "dark"])
    ...     def encode(self, clips):
    ...         return np.array([[clip.mean() / 255] for clip in clips])
    ...     def predict_proba(self, vectors):
    ...         return np.hstack([vectors, 1 - vectors])
    >>> film = np.zeros((16, 16, 16, 3), dtype=np.uint8)
    >>> film[8:] = 250
    >>> annotated = pd.DataFrame({"video_id": "v", "start_s": [0, 2], "end_s": [2, 4]})
    >>> annotated["label"] = ["dark", "light"]
    >>> candidates = {"shots": {"v": [[0, 2], [2, 4]]}, "whole": {"v": [[0, 4]]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = video_io.write_clip(Path(folder, "film.mp4"), film, fps=4)
    ...     both = Brightness()
    ...     compare_candidates({"v": path}, candidates, annotated, both, both)
           precision  answers  hits
    shots        1.0        2     2
    whole        0.5        1     1
    """
    rows = {}
    for kind, spans in candidates.items():
        detected = pd.concat(
            [
                localise(path, spans[video], encoder, head).assign(video_id=video)
                for video, path in files.items()
            ]
        )
        by_label = _precisions(detected, annotated, 0.5)
        rows[kind] = {
            "precision": float(average_precision(detected, annotated).mean()),
            "answers": len(detected),
            "hits": sum(len(precisions) for precisions in by_label.values()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _precisions(
    detected: pd.DataFrame, annotated: pd.DataFrame, least: float
) -> dict[object, list[float]]:
    """For each label the precisions at which annotated spans were hit; none for one never hit."""
    hits = {}
    for label, targets_of_label in annotated.groupby("label"):
        guesses = detected[detected["label"] == label].sort_values(
            "score", ascending=False, kind="stable"
        )
        hits[label] = _precisions_of_one(guesses, targets_of_label, least)
    return hits


def _precisions_of_one(
    guesses: pd.DataFrame, targets_of_label: pd.DataFrame, least: float
) -> list[float]:
    """Precision at each rank where a span of one label is hit; the guesses come best first."""
    taken: set[tuple[object, int]] = set()
    precisions = []
    by_video = {
        video: rows[SPAN].to_numpy(float) for video, rows in targets_of_label.groupby("video_id")
    }
    columns = (guesses["video_id"], guesses["start_s"], guesses["end_s"])
    for rank, (video, start, end) in enumerate(zip(*columns, strict=True), start=1):
        targets = by_video.get(video)
        if targets is None:
            continue
        overlaps = temporal_iou([[start, end]], targets)[0]
        for target in np.argsort(-overlaps, kind="stable"):
            if overlaps[target] >= least and (video, target) not in taken:
                taken.add((video, target))
                precisions.append(len(taken) / rank)
                break
    return precisions


def _spans(values: np.ndarray) -> np.ndarray:
    spans = np.asarray(values, dtype=float)
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise ValueError(f"Spans have shape (n, 2), start and end, not {spans.shape}.")
    if not (spans[:, 1] > spans[:, 0]).all():
        wrong = spans[~(spans[:, 1] > spans[:, 0])][0]
        raise ValueError(f"A span ends after its start, not {wrong[0]:g} to {wrong[1]:g} s.")
    return spans
