"""Choosing the layer, pooling and geometry of an encoder whose vector recommends best.

A pretrained network offers many vectors besides the one that `encode` returns. `audit_layers`
tries them on one library, chooses on validation, and looks at the test only for the chosen one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from vidrec_utils import plots
from vidrec_utils.embeddings.embedding import embed
from vidrec_utils.embeddings.geometry import (
    GEOMETRIES,
    Geometry,
    GeometryKind,
    effective_rank,
    mean_cosine,
    unit_rows,
)
from vidrec_utils.embeddings.pooling import POOLINGS, pool
from vidrec_utils.encoders.protocol import ClipEncoder, Encoder, Layered, LayeredInOnePass
from vidrec_utils.evaluation.metrics import bootstrap_means, list_metrics
from vidrec_utils.evaluation.ranking import top_lists
from vidrec_utils.evaluation.results import percentile_interval
from vidrec_utils.evaluation.task import Task, positives, prepare
from vidrec_utils.recommender import as_ids, interaction_matrix, top_k

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vidrec_utils.datasets import Split, VideoLibrary

VECTOR = "vector"  # the layer that stands for what `encode` returns
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class LayerAudit:
    """The choices that an audit of layers compared; see `audit_layers`.

    Attributes
    ----------
    table : DataFrame
        One row a choice: `layer, pooling, geometry, dim, mean_cosine, effective_rank` (both of the
        training videos, after the geometry), `recall_validation, low, high` (95 % bootstrap
        interval), `recall_test, test_low, test_high` (NaN but for the chosen row and the baseline),
        `chosen`. The layer `"vector"` is what `encode` returns; where there is nothing to pool over
        the pooling is `"none"`.
    best : Series
        The chosen row.
    baseline : Series
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
    best: pd.Series
    baseline: pd.Series
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


def audit_layers(
    encoder: Encoder,
    library: VideoLibrary,
    of: Literal["title", "thumbnail", "clip"] = "thumbnail",
    *,
    split: Split | None = None,
    relevant: pd.Series | None = None,
    layers: Sequence[str] | None = None,
    poolings: Sequence[str] = POOLINGS,
    geometries: Sequence[GeometryKind] = GEOMETRIES,
    k: int = 10,
    seed: int = 0,
    threshold: float = 0.8,
    root: Path | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> LayerAudit:
    """Try layers, poolings and geometries of an encoder; choose by recall on validation.

    **Recommendation** (`split`): a user's profile is the mean of the unit vectors of what the user
    liked in training; all videos that the user was not shown before the measured part are ranked by
    their cosine with it. For one user with `n` liked videos in the part, `h` of them among the
    first `k`, recall is `h / n`, as in `evaluation.evaluate`; users without a liked video in
    training, or in the part, are left out. Geometries learn from the videos shown in training.

    **Retrieval** (`relevant`): half of the labelled videos are a gallery, from which geometries
    learn; a quarter each are the queries of validation and of test. Recall is `h / min(n, k)` with
    `n` the gallery's videos of the query's label.

    An encoder that is `Layered` (see `encoders.protocol`) is tried with each of its layers; any
    other one with the single layer `"vector"`. Activations are pooled at once, and the pooled
    vectors are kept as `embed` keeps them.

    Parameters
    ----------
    encoder : Encoder
        It must be of the modality that `of` names.
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
        Some of `pooling.POOLINGS` and of `geometry.GEOMETRIES`.
    k : int
        Length of the lists.
    seed : int
        Seed of the bootstrap over users, and of the halves of `relevant`.
    threshold : float
        Least watch ratio of a liked exposure (or one with `liked` true).
    root, batch_size, progress
        As in `embed`.

    Returns
    -------
    LayerAudit

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
    task: _Recommendation | _Retrieval
    if split is not None:
        task = _Recommendation(split, embeddings.ids, k, threshold)
    elif relevant is not None:
        task = _Retrieval(relevant, embeddings.ids, k, seed)
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
    table[["recall_validation", "low", "high"]] = _intervals(np.column_stack(scores), seed)
    best = int(table["recall_validation"].argmax())
    plain = ((table["layer"] == VECTOR) & (table["geometry"] == "raw")).to_numpy()
    baseline = int(plain.argmax()) if plain.any() else 0
    table[["recall_test", "test_low", "test_high"]] = np.nan
    for row in (baseline, best):
        vectors = _vectors(embeddings.vectors, *choices[row], task.fit_on)
        tested = _intervals(task.recall(vectors, "test")[:, None], seed)[0]
        table.loc[row, ["recall_test", "test_low", "test_high"]] = tested  # `vectors`: the best's
    table["chosen"] = np.arange(len(table)) == best
    return LayerAudit(
        table=table,
        best=table.loc[best],
        baseline=table.loc[baseline],
        vectors=pd.DataFrame(vectors, index=embeddings.ids),
        failures=embeddings.failures,
        k=k,
        n_validation=task.count("validation"),
        n_test=task.count("test"),
    )


@dataclass(frozen=True)
class _Block:
    """The columns that hold one layer's pooled vector."""

    layer: str
    pooling: str
    start: int
    stop: int


class _Pooled:
    """An encoder whose vector is the concatenation of all layers, each pooled in all ways."""

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
        for layer, pooling, rows in self._pooled([_blank_item(encoder, of)]):  # to see each width
            self.blocks.append(_Block(layer, pooling, stop, stop + rows.shape[1]))
            stop += rows.shape[1]
        self.dim = stop

    @property
    def fingerprint(self) -> str:
        key = json.dumps([self.encoder.fingerprint, self.layers, self.poolings, 1])
        return hashlib.sha256(key.encode()).hexdigest()

    def encode(self, batch: list) -> np.ndarray:
        return np.concatenate([rows for _, _, rows in self._pooled(batch)], axis=1)

    def _pooled(self, batch: list) -> Iterator[tuple[str, str, np.ndarray]]:
        inner = [layer for layer in self.layers if layer != VECTOR]
        outputs = {}
        if isinstance(self.encoder, LayeredInOnePass) and inner:
            outputs = self.encoder.all_activations(batch, inner)
        layered = cast(Layered, self.encoder)
        for layer in self.layers:
            if layer == VECTOR:
                yield layer, "none", np.asarray(self.encoder.encode(batch), dtype=np.float32)
                continue
            out = outputs[layer] if outputs else layered.activations(batch, layer)
            if out.ndim == 2:
                yield layer, "none", out.float().numpy()
                continue
            for pooling in self.poolings:
                yield layer, pooling, pool(out, pooling).numpy()


def _blank_item(encoder: Encoder, of: str) -> str | np.ndarray:
    """An item without content, which shows how wide the layers are."""
    if of == "title":
        return "a title of some words"
    if of == "thumbnail":
        return np.zeros((64, 64, 3), dtype=np.uint8)
    contract = cast(ClipEncoder, encoder).frame_contract
    size = contract.read_size or contract.size
    return np.zeros((contract.frames, size, size, 3), dtype=np.uint8)


class _Recommendation:
    """Recall of what users go on to like, by cosine with the mean of what they liked in training.

    Candidates, masks and relevance are those of `evaluate`; users who liked nothing in training are
    left out.
    """

    def __init__(self, split: Split, ids: pd.Index, k: int, threshold: float) -> None:
        self.rows = ids.get_indexer(as_ids(split.videos.index))  # -1: the library lacks the video
        self.fit_on = np.asarray(ids.isin(as_ids(split.train["video_id"])))
        if not self.fit_on.any():
            raise ValueError("No video of the library was shown in the training part.")
        liked = split.train[positives(split.train, threshold).to_numpy()]
        self.tasks: dict[str, Task] = {}
        self.histories: dict[str, sparse.csr_array] = {}
        for on in ("validation", "test"):
            task = prepare(split, k, on, threshold)
            mine = liked[as_ids(liked["user_id"]).isin(task.users)]
            history = interaction_matrix(mine, np.ones(len(mine)), task.users, task.videos)
            history.data[:] = 1  # liked once or often
            kept = np.flatnonzero(np.diff(history.indptr))
            if not len(kept):
                raise ValueError(
                    f"No user of the {on} part liked something in training; nothing to measure."
                )
            self.histories[on] = history[kept]
            self.tasks[on] = replace(
                task, users=task.users[kept], seen=task.seen[kept], relevant=task.relevant[kept]
            )

    def count(self, on: str) -> int:
        return len(self.tasks[on].users)

    def recall(self, vectors: np.ndarray, on: str) -> np.ndarray:
        """Recall of each user, `h / n`, `(n_users,)`."""
        task = self.tasks[on]
        catalogue = vectors[self.rows]  # (n_videos, dim)
        catalogue[self.rows < 0] = np.nan
        _, hits = top_lists(_ByProfile(task, self.histories[on], catalogue), task, None, False)
        return list_metrics(hits, task.n_relevant, task.protocol.k)["recall"].to_numpy()


class _ByProfile:
    """Scores of all videos: their cosines with the mean vector of what a user liked."""

    def __init__(self, task: Task, history: sparse.csr_array, vectors: np.ndarray) -> None:
        self.video_ids = task.videos
        self.user_ids = task.users
        self.history = history  # (n_users, n_videos), ones
        self.units, self.missing = _units(vectors)  # (n_videos, dim), (n_videos,)

    def score(self, user_ids: pd.Index) -> np.ndarray:
        # A profile's length does not change the order of its cosines, so the sum does for the mean.
        profiles = self.history[self.user_ids.get_indexer(user_ids)] @ self.units  # (users, dim)
        scores = profiles @ self.units.T  # (users, n_videos)
        scores[:, self.missing] = -np.inf
        scores[~profiles.any(axis=1)] = -np.inf  # nothing that they liked has a vector
        return scores


class _Retrieval:
    """Recall of a gallery's videos of the same label."""

    def __init__(self, labels: pd.Series, videos: pd.Index, k: int, seed: int) -> None:
        self.k = k
        self.codes, _ = pd.factorize(labels.reindex(videos))
        labelled = np.random.default_rng(seed).permutation(np.flatnonzero(self.codes >= 0))
        half, three_quarters = len(labelled) // 2, len(labelled) * 3 // 4
        self.gallery = np.sort(labelled[:half])
        self.fit_on = np.isin(np.arange(len(videos)), self.gallery)
        answerable = np.isin(self.codes, self.codes[self.gallery])  # the gallery has their label
        self.queries = {
            on: rows[answerable[rows]]
            for on, rows in {
                "validation": labelled[half:three_quarters],
                "test": labelled[three_quarters:],
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
        """Recall of each query, `h / min(n, k)`, `(n_queries,)`."""
        units, missing = _units(vectors)
        queries = self.queries[on]
        scores = units[queries] @ units[self.gallery].T  # (n_queries, n_gallery)
        scores[:, missing[self.gallery]] = -np.inf
        scores[missing[queries]] = -np.inf
        same = self.codes[queries][:, None] == self.codes[self.gallery][None]
        hits = np.take_along_axis(same & (scores > -np.inf), top_k(scores, self.k), axis=1)
        return hits.sum(axis=1) / np.minimum(same.sum(axis=1), self.k)


def _units(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of length 1, missing ones as zeros, and which are missing."""
    missing = ~np.isfinite(vectors).all(axis=1)
    return unit_rows(np.where(missing[:, None], 0, vectors).astype(np.float32)), missing


def _vectors(
    stored: np.ndarray, block: _Block, kind: GeometryKind, fit_on: np.ndarray
) -> np.ndarray:
    """One layer's pooled vectors in one geometry, learned on the training videos."""
    columns = stored[:, block.start : block.stop]
    return Geometry(kind).fit(columns[fit_on]).transform(columns)


def _intervals(recalls: np.ndarray, seed: int) -> np.ndarray:
    """Mean and 95% percentile interval of each column, over the same resampled users, `(m, 3)`."""
    low, high = percentile_interval(bootstrap_means(recalls, RESAMPLES, seed), 0.95)
    return np.column_stack([recalls.mean(axis=0), low, high])


def _layers(encoder: Encoder, chosen: Sequence[str] | None) -> tuple[str, ...]:
    offered = (VECTOR, *encoder.layers) if isinstance(encoder, Layered) else (VECTOR,)
    if chosen is None:
        return offered
    _known(chosen, offered, "layer")
    return tuple(dict.fromkeys(chosen))


def _known(chosen: Sequence[str], possible: Sequence[str], what: str) -> None:
    unknown = [one for one in chosen if one not in possible]
    if unknown or not chosen:
        raise ValueError(f"{what} is {unknown or 'empty'}; choose from {', '.join(possible)}.")
