"""Finding which layer, pooling and geometry make the vector that recommends best.

A pretrained network offers many vectors besides the one that `encode` returns. `audit` tries them
all on one library, chooses on validation, and looks at the test only for the chosen one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from vidrec_utils.embeddings.embedding import embed
from vidrec_utils.embeddings.geometry import GEOMETRIES, Geometry, effective_rank, mean_cosine
from vidrec_utils.embeddings.pooling import POOLINGS, pool
from vidrec_utils.encoders.protocol import ClipEncoder, Encoder, Layered, LayeredInOnePass
from vidrec_utils.recommender import top_k

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vidrec_utils.datasets import Split, VideoLibrary

VECTOR = "vector"  # the layer that stands for what `encode` returns
BOOTSTRAPS = 1000
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class AuditResult:
    """What an audit found.

    Attributes
    ----------
    table : DataFrame
        One row a choice: `layer, pooling, geometry, dim, mean_cosine, effective_rank` (both of the
        training videos, after the geometry), `recall_validation, low, high` (95 % bootstrap
        interval), `recall_test, test_low, test_high` (NaN but for the chosen row and the baseline),
        `chosen`. The layer `"vector"` is what `encode` returns; where there is nothing to pool over
        the pooling is `"none"`.
    best : dict
        The chosen row.
    baseline : dict
        The row of `encode`'s vector as it is.
    vectors : DataFrame
        The chosen vectors of all videos, float32, indexed by `video_id`; NaN rows for failures.
    failures : DataFrame
        `video_id, reason`.
    k : int
        Length of the lists.
    n_validation, n_test : int
        Users (or queries) measured.
    """

    table: pd.DataFrame
    best: dict[str, Any]
    baseline: dict[str, Any]
    vectors: pd.DataFrame
    failures: pd.DataFrame
    k: int
    n_validation: int
    n_test: int

    def plot(self, most: int = 15) -> Figure:
        """Recall on validation of the best choices with intervals, the chosen one marked.

        Parameters
        ----------
        most : int
            How many choices to draw.
        """
        from vidrec_utils import plots

        rows = self.table.sort_values("recall_validation", ascending=False, kind="stable")
        rows = rows.head(most)
        names = rows["layer"] + ", " + rows["pooling"] + ", " + rows["geometry"]
        rows = rows.assign(label=np.where(rows["chosen"], "chosen: " + names, names))
        return plots.bars_with_intervals(
            rows,
            "recall_validation",
            "low",
            "high",
            "label",
            xlabel=f"recall@{self.k} on validation, 95% interval",
            title="Layer, pooling and geometry decide",
            reference=self.baseline["recall_validation"],
            reference_label="encode, as it is",
        )


def audit(
    encoder: Encoder,
    library: VideoLibrary,
    of: Literal["title", "thumbnail", "clip"] = "thumbnail",
    *,
    split: Split | None = None,
    relevant: pd.Series | None = None,
    layers: Sequence[str] | None = None,
    poolings: Sequence[str] = POOLINGS,
    geometries: Sequence[str] = GEOMETRIES,
    k: int = 10,
    seed: int = 0,
    threshold: float = 0.8,
    root: Path | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> AuditResult:
    """Try layers, poolings and geometries of an encoder; choose by recall on validation.

    **Recommendation** (`split`): a user's profile is the mean of the unit vectors of what the user
    liked in training; all videos that the user was not shown before the measured part are ranked by
    their cosine with it. For one user with `n` liked videos in the part, `h` of them among the
    first `k`, recall is `h / n`, as in `evaluation.evaluate`; users without a liked video in
    training, or in the part, are left out. Geometries learn from the videos shown in training.

    **Retrieval** (`relevant`): half of the labelled videos are a gallery, from which geometries
    learn; a quarter each are the queries of validation and of test. Recall is `h / min(n, k)` with
    `n` the gallery's videos of the query's label.

    An encoder offers `layers` and `activations(batch, layer)`, a float32 tensor `(n, channels,
    *places)` or `(n, channels)`, and, to compute all layers in one pass, `all_activations(batch,
    layers)`, a mapping of such tensors. One that offers neither is tried as the single layer
    `"vector"`. Activations are pooled at once, and the pooled vectors kept as `embed` keeps them.

    Parameters
    ----------
    encoder : Encoder
        Of the modality of `of`.
    library : VideoLibrary
        The videos.
    of : {"title", "thumbnail", "clip"}
        What to encode.
    split : Split, optional
        Interactions in three parts; this or `relevant`.
    relevant : Series, optional
        A label of each video, indexed by `video_id`; NA is left out.
    layers : sequence of str, optional
        Default: `"vector"` and all of `encoder.layers`.
    poolings, geometries : sequence of str
        Of `pooling.POOLINGS` and `geometry.GEOMETRIES`.
    k : int
        Length of the lists.
    seed : int
        Of the bootstrap over users, and of the halves of `relevant`.
    threshold : float
        Least watch ratio of a liked exposure (or one with `liked` true).
    root, batch_size, progress
        As in `embed`.

    Returns
    -------
    AuditResult

    Raises
    ------
    ValueError
        If not exactly one of `split` and `relevant` is given, a layer, pooling or geometry is
        unknown, or nothing can be measured.
    """
    if (split is None) == (relevant is None):
        raise ValueError("Give either split=..., to recommend, or relevant=..., to retrieve.")
    _known(poolings, POOLINGS, "pooling")
    _known(geometries, GEOMETRIES, "geometry")
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1.")
    pooled = _Pooled(encoder, _layers(encoder, layers), poolings, of)
    embeddings = embed(library, pooled, of, root, batch_size, progress)
    task = (
        _Recommendation(split, embeddings.ids, k, threshold)
        if split is not None
        else _Retrieval(relevant, embeddings.ids, k, seed)
    )
    rows, scores = [], []
    choices = [(block, kind) for block in pooled.blocks for kind in geometries]
    for block, kind in tqdm(choices, desc="audit", unit="choice", disable=not progress):
        vectors = _vectors(embeddings.vectors, block, kind, task.fit_on)
        rows.append(
            {
                "layer": block.layer,
                "pooling": block.pooling,
                "geometry": kind,
                "dim": vectors.shape[1],
                "mean_cosine": mean_cosine(vectors[task.fit_on]),
                "effective_rank": effective_rank(vectors[task.fit_on]),
            }
        )
        scores.append(task.recall(vectors, "validation"))
    table = pd.DataFrame(rows)
    table[["recall_validation", "low", "high"]] = _intervals(np.stack(scores), seed)
    best = int(table["recall_validation"].argmax())
    plain = ((table["layer"] == VECTOR) & (table["geometry"] == "raw")).to_numpy()
    baseline = int(plain.argmax()) if plain.any() else 0
    table[["recall_test", "test_low", "test_high"]] = np.nan
    for place in {best, baseline}:
        block, kind = choices[place]
        vectors = _vectors(embeddings.vectors, block, kind, task.fit_on)
        tested = _intervals(task.recall(vectors, "test")[None], seed)[0]
        table.loc[place, ["recall_test", "test_low", "test_high"]] = tested
    table["chosen"] = np.arange(len(table)) == best
    block, kind = choices[best]
    chosen = _vectors(embeddings.vectors, block, kind, task.fit_on)
    return AuditResult(
        table=table,
        best=table.loc[best].to_dict(),
        baseline=table.loc[baseline].to_dict(),
        vectors=pd.DataFrame(chosen, index=embeddings.ids),
        failures=embeddings.failures,
        k=k,
        n_validation=task.count("validation"),
        n_test=task.count("test"),
    )


@dataclass(frozen=True)
class _Block:
    """Where one layer's pooled vector stands among all columns."""

    layer: str
    pooling: str
    start: int
    stop: int


class _Pooled:
    """An encoder whose vector is all layers, pooled in all ways, side by side."""

    parameters = 0

    def __init__(
        self, encoder: Encoder, layers: Sequence[str], poolings: Sequence[str], of: str
    ) -> None:
        self.encoder = encoder
        self.name = f"{encoder.name}-layers"
        self.modality = encoder.modality
        self.weights = encoder.weights
        self.preprocessing = encoder.preprocessing
        self.values_per_item = encoder.values_per_item
        if of == "clip":
            self.frame_contract = cast(ClipEncoder, encoder).frame_contract
        self.layers = tuple(layers)
        self.poolings = tuple(poolings)
        self.blocks: list[_Block] = []
        stop = 0
        for layer, pooling, part in self._parts([_probe(encoder, of)]):  # how wide each one is
            self.blocks.append(_Block(layer, pooling, stop, stop + part.shape[1]))
            stop += part.shape[1]
        self.dim = stop

    @property
    def fingerprint(self) -> str:
        told = json.dumps([self.encoder.fingerprint, self.layers, self.poolings, 1])
        return hashlib.sha256(told.encode()).hexdigest()

    def encode(self, batch: list) -> np.ndarray:
        return np.concatenate([part for _, _, part in self._parts(batch)], axis=1)

    def _parts(self, batch: list) -> Iterator[tuple[str, str, np.ndarray]]:
        inner = [layer for layer in self.layers if layer != VECTOR]
        found = {}
        if isinstance(self.encoder, LayeredInOnePass) and inner:
            found = self.encoder.all_activations(batch, inner)
        layered = cast(Layered, self.encoder)
        for layer in self.layers:
            if layer == VECTOR:
                yield layer, "none", np.asarray(self.encoder.encode(batch), dtype=np.float32)
                continue
            out = found[layer] if found else layered.activations(batch, layer)
            if out.ndim == 2:
                yield layer, "none", out.float().numpy()
                continue
            for pooling in self.poolings:
                yield layer, pooling, pool(out, pooling).numpy()


def _probe(encoder: Encoder, of: str) -> Any:
    """An item that shows how wide the layers are."""
    if of == "title":
        return "a title of some words"
    if of == "thumbnail":
        return np.zeros((64, 64, 3), dtype=np.uint8)
    contract = cast(ClipEncoder, encoder).frame_contract
    size = contract.read_size or contract.size
    return np.zeros((contract.frames, size, size, 3), dtype=np.uint8)


class _Recommendation:
    """Recall of what users go on to like, from what they liked in training."""

    def __init__(self, split: Split, videos: pd.Index, k: int, threshold: float):
        self.k = k
        self.videos = videos
        self.split = split
        self.threshold = threshold
        catalogue = pd.Index(split.videos.index).astype("str")
        # Videos outside the split's catalogue are not to be recommended.
        self.offered = videos.isin(catalogue)
        self.fit_on = np.asarray(videos.isin(split.train["video_id"].astype("str")))
        if not self.fit_on.any():
            raise ValueError("No video of the library was shown in the training part.")
        self.parts = {
            "validation": self._part(split.validation, [split.train]),
            "test": self._part(split.test, [split.train, split.validation]),
        }

    def _part(self, target: pd.DataFrame, known: list[pd.DataFrame]) -> dict[str, Any]:
        users = pd.Index(target["user_id"].astype("str").unique()).sort_values()
        shown = self._matrix(pd.concat(known, ignore_index=True), users)
        history = self._matrix(self._liked(self.split.train), users)
        wanted = self._matrix(self._liked(target), users)
        wanted = (wanted - wanted.multiply(shown)).tocsr()  # only what is new to the user
        wanted.eliminate_zeros()
        rows = np.flatnonzero((np.diff(wanted.indptr) > 0) & (np.diff(history.indptr) > 0))
        if not len(rows):
            raise ValueError(
                "No user liked something in training and something new later; nothing to measure."
            )
        return {"shown": shown[rows], "history": history[rows], "wanted": wanted[rows]}

    def _liked(self, frame: pd.DataFrame) -> pd.DataFrame:
        none = pd.Series(np.nan, index=frame.index)
        watched = pd.to_numeric(frame.get("watch_ratio", none)).astype("Float64")
        liked = frame.get("liked", none).astype("boolean")
        good = (watched >= self.threshold).fillna(False) | liked.fillna(False)
        return frame[good.to_numpy(dtype=bool)]

    def _matrix(self, frame: pd.DataFrame, users: pd.Index) -> sparse.csr_array:
        """1 for each user and video in a log, once."""
        rows = users.get_indexer(frame["user_id"].astype("str"))
        columns = self.videos.get_indexer(frame["video_id"].astype("str"))
        inside = (rows >= 0) & (columns >= 0)
        ones = np.ones(inside.sum(), dtype=np.float32)
        shape = (len(users), len(self.videos))
        matrix = sparse.csr_array((ones, (rows[inside], columns[inside])), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix

    def count(self, on: str) -> int:
        return self.parts[on]["wanted"].shape[0]

    def recall(self, vectors: np.ndarray, on: str) -> np.ndarray:
        """Recall of each user, `h / n`."""
        unit, missing = _unit(vectors)
        part = self.parts[on]
        hidden = missing | ~self.offered
        out = []
        for start in range(0, self.count(on), _BLOCK):
            rows = slice(start, start + _BLOCK)
            profiles = part["history"][rows] @ unit  # its length does not change the order
            scores = profiles @ unit.T
            scores[part["shown"][rows].toarray() > 0] = -np.inf
            scores[:, hidden] = -np.inf
            scores[~profiles.any(axis=1)] = -np.inf  # nothing is known of what they liked
            out.append(_share(scores, part["wanted"][rows].toarray() > 0, self.k, capped=False))
        return np.concatenate(out)


class _Retrieval:
    """Recall of a gallery's videos of the same label."""

    def __init__(self, labels: pd.Series, videos: pd.Index, k: int, seed: int):
        self.k = k
        codes, _ = pd.factorize(labels.reindex(videos))
        self.codes = codes
        labelled = np.random.default_rng(seed).permutation(np.flatnonzero(codes >= 0))
        half, three = len(labelled) // 2, len(labelled) * 3 // 4
        self.gallery = np.sort(labelled[:half])
        self.fit_on = np.isin(np.arange(len(videos)), self.gallery)
        there = set(codes[self.gallery])
        self.queries = {
            on: np.array([i for i in places if codes[i] in there], dtype=int)
            for on, places in {
                "validation": labelled[half:three],
                "test": labelled[three:],
            }.items()
        }
        if not all(len(queries) for queries in self.queries.values()):
            raise ValueError(
                f"{len(labelled)} labelled videos are too few: no query shares its label with the "
                "gallery. The index of relevant must be the video ids."
            )

    def count(self, on: str) -> int:
        return len(self.queries[on])

    def recall(self, vectors: np.ndarray, on: str) -> np.ndarray:
        """Recall of each query, `h / min(n, k)`."""
        unit, missing = _unit(vectors)
        queries = self.queries[on]
        scores = unit[queries] @ unit[self.gallery].T
        scores[:, missing[self.gallery]] = -np.inf
        scores[missing[queries]] = -np.inf
        same = self.codes[queries][:, None] == self.codes[self.gallery][None]
        return _share(scores, same, self.k, capped=True)


def _share(scores: np.ndarray, wanted: np.ndarray, k: int, capped: bool) -> np.ndarray:
    """Share of the wanted columns among the k highest of each row."""
    top = top_k(scores, k)
    found = np.take_along_axis(wanted & (scores > -np.inf), top, axis=1).sum(axis=1)
    n = wanted.sum(axis=1)
    return found / (np.minimum(n, k) if capped else n)


def _unit(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of length 1, missing ones as zeros, and which are missing."""
    missing = ~np.isfinite(vectors).all(axis=1)
    rows = np.where(missing[:, None], 0, vectors).astype(np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0), missing


def _vectors(stored: np.ndarray, block: _Block, kind: str, fit_on: np.ndarray) -> np.ndarray:
    """One layer's pooled vectors in one geometry, learned on the training videos."""
    part = stored[:, block.start : block.stop]
    return Geometry(kind).fit(part[fit_on]).transform(part)


def _intervals(scores: np.ndarray, seed: int) -> np.ndarray:
    """Mean and 95 % percentile bootstrap interval of each row, the same users for all rows."""
    n = scores.shape[1]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS) / n  # (bootstraps, n)
    means = scores @ drawn.T
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return np.stack([scores.mean(axis=1), low, high], axis=1)


def _layers(encoder: Encoder, chosen: Sequence[str] | None) -> tuple[str, ...]:
    offered = (VECTOR, *(encoder.layers if isinstance(encoder, Layered) else ()))
    if chosen is None:
        return offered
    _known(chosen, offered, "layer")
    return tuple(dict.fromkeys(chosen))


def _known(chosen: Sequence[str], possible: Sequence[str], what: str) -> None:
    unknown = [one for one in chosen if one not in possible]
    if unknown or not chosen:
        raise ValueError(f"{what} is {unknown or 'empty'}; choose from {', '.join(possible)}.")
