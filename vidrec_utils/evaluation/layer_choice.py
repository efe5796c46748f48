"""Choosing the layer, pooling and geometry of an encoder whose vector recommends best.

A pretrained network offers many vectors other than the one that `encode` returns. `audit_layers`
tries them on one library, chooses on validation, and looks at the test only for the chosen one.
`audit_vectors` does the same with ready-made vectors, and needs neither an encoder nor media.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import sparse
from tqdm import tqdm

from vidrec_utils import arguments, plots
from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.embeddings.batches import windows_of
from vidrec_utils.embeddings.embedding import Embeddings, embed
from vidrec_utils.embeddings.geometry import (
    GEOMETRIES,
    Geometry,
    GeometryKind,
    effective_rank,
    mean_cosine,
    unit_rows,
)
from vidrec_utils.embeddings.pooling import POOLINGS, pool
from vidrec_utils.encoders import (
    ClipEncoder,
    Encoder,
    Layered,
    LayeredInOnePass,
    SoundEncoder,
)
from vidrec_utils.evaluation.metrics import bootstrap_means, list_metrics
from vidrec_utils.evaluation.results import percentile_interval
from vidrec_utils.evaluation.task import prepare
from vidrec_utils.events import Label
from vidrec_utils.recommender import as_ids, blocks, hide, interaction_matrix, top_k

Vectors: TypeAlias = Embeddings | pd.DataFrame

VECTOR = "vector"  # name of the "layer" that `encode` returns
DIRECTIONS = (16, 32, 64)
"""Numbers of directions that are whitened in an audit, besides all of them."""
RESAMPLES = 1000
FEW = 50
"""Users or queries below which an audit warns that few of them decide."""


@dataclass(frozen=True, eq=False)
class LayerAudit:
    """The choices that an audit of layers compared; see `audit_layers`.

    Attributes
    ----------
    table : DataFrame
        One row a choice: `layer, pooling, geometry, dim` (width after the geometry; of a whitened
        row the directions that were kept)`, mean_cosine, effective_rank` (both of the training
        videos, after the geometry), `recall_validation, low, high` (95 % bootstrap
        interval), `recall_test, test_low, test_high` (NaN but for the chosen row and the baseline),
        `chosen`. The layer `"vector"` is what `encode` returns; where there is nothing to pool over
        the pooling is `"none"`.
    best : Series
        The chosen row.
    baseline : Series
        The row of `encode`'s vector as it is; of ready-made vectors that of the first ones.
    vectors : DataFrame
        The chosen vectors of all videos, float32, indexed by `video_id`; NaN rows for failures.
    failures : DataFrame
        `video_id, reason`.
    gain : Series
        `mean, low, high`: recall on test of the chosen row minus that of the baseline, of the same
        users (or queries), with the 95 % interval of a paired bootstrap.
    k : int
        Length of the lists.
    n_validation, n_test : int
        Users (or queries) measured.
    caution : str
        What to think of if they are few, for so many choices; empty if they are not. They are few
        if validation or test has less than 50, or validation has less than there are choices. The
        audit warns of it.
    """

    table: pd.DataFrame
    best: pd.Series
    baseline: pd.Series
    vectors: pd.DataFrame
    failures: pd.DataFrame
    gain: pd.Series
    k: int
    n_validation: int
    n_test: int
    caution: str = ""

    def plot(self, most: int = 15) -> Figure:
        """Recall on validation of the best choices with intervals, the chosen one marked.

        Parameters
        ----------
        most : int
            How many choices to draw.
        """
        rows = self.table.sort_values("recall_validation", ascending=False, kind="stable")
        rows = rows.head(most)
        turned = rows["geometry"].isin(["whitened", "pca"])
        kept = (" (" + rows["dim"].astype(str) + ")").where(turned, "")
        names = rows["layer"] + ", " + rows["pooling"] + ", " + rows["geometry"] + kept
        rows = rows.assign(label=np.where(rows["chosen"], "chosen: " + names, names))
        return plots.bars_with_intervals(
            rows,
            "recall_validation",
            "low",
            "high",
            "label",
            xlabel=f"recall@{self.k} on validation, 95% interval",
            title="Recall by layer, pooling and geometry",
            reference=self.baseline["recall_validation"],
            reference_label=f"{self.baseline['layer']}, {self.baseline['geometry']}",
        )


def audit_layers(
    encoder: Encoder,
    library: VideoLibrary,
    of: Literal["title", "thumbnail", "clip", "sound"] = "thumbnail",
    *,
    split: Split | None = None,
    relevant: pd.Series | None = None,
    layers: Sequence[str] | None = None,
    poolings: Sequence[str] = POOLINGS,
    geometries: Sequence[GeometryKind] = GEOMETRIES,
    directions: Sequence[int] = DIRECTIONS,
    k: int = 10,
    seed: int = 0,
    threshold: float | None = None,
    label: Label = None,
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
    of : {"title", "thumbnail", "clip", "sound"}
        Column of the library that is encoded.
    split : Split, optional
        Interactions in three parts; this or `relevant`.
    relevant : Series, optional
        A label of each video, indexed by `video_id`; NA is left out.
    layers : sequence of str, optional
        Default: `"vector"` and all of `encoder.layers`.
    poolings, geometries : sequence of str
        Some of `pooling.POOLINGS` and of `geometry.GEOMETRIES`.
    directions : sequence of int
        If whitening is among the geometries, all directions are whitened, and then only the first
        so many; numbers that are not below those that the training vectors span are left out.
    k : int
        Length of the lists.
    seed : int
        Seed of the bootstrap over users, and of the halves of `relevant`.
    threshold : float, optional
        Least watch ratio of a liked exposure (or one with `liked` true), for the label `ratio`.
    label : str or LabelRule, optional
        Which exposures count as liked: those of training, which make the profiles, and those of the
        measured part, which judge; see `evaluation.evaluate`. One rule, fitted to the training
        part, serves both.
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

    Warns
    -----
    UserWarning
        If fewer than 50 users (or queries) of validation or test decide, or fewer than there are
        choices; see `LayerAudit.caution`.

    Examples
    --------
    An encoder of titles without layers, whose vectors are tried as they are and centred:

    >>> from tempfile import TemporaryDirectory
    >>> from vidrec_utils.datasets import VideoLibrary
    >>> from vidrec_utils.text_encoders import TfidfEncoder
    >>> titles = ["green tea", "iced tea", "hot tea", "heavy rain", "light rain", "no rain"] * 4
    >>> videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(24)], "title": titles})
    >>> views = pd.DataFrame({"user_id": ["u"], "video_id": ["v0"]})
    >>> topics = pd.Series([t.split()[1] for t in titles], index=videos["video_id"])
    >>> folder = TemporaryDirectory(ignore_cleanup_errors=True)  # Windows keeps mapped files
    >>> audit = audit_layers(
    ...     TfidfEncoder().fit(titles),
    ...     VideoLibrary(videos, views),
    ...     "title",
    ...     relevant=topics,
    ...     geometries=("raw", "centred"),
    ...     k=3,
    ...     root=Path(folder.name),
    ...     progress=False,
    ... )
    >>> audit.table[["layer", "geometry", "recall_validation"]]
        layer geometry  recall_validation
    0  vector      raw                1.0
    1  vector  centred                1.0
    >>> folder.cleanup()
    """
    _known(poolings, POOLINGS, "pooling")
    options = _Options(split, relevant, geometries, directions, k, seed, threshold, label, progress)
    pooled = _Pooled(encoder, _layers(encoder, layers), poolings, of)
    embeddings = embed(library, pooled, of, root, batch_size, progress)
    matrices = {name: embeddings.vectors[:, columns] for name, columns in pooled.blocks}
    return _audited(matrices, embeddings.ids, embeddings.failures, options)


def audit_vectors(
    vectors: Vectors | Mapping[str, Vectors],
    *,
    split: Split | None = None,
    relevant: pd.Series | None = None,
    geometries: Sequence[GeometryKind] = GEOMETRIES,
    directions: Sequence[int] = DIRECTIONS,
    k: int = 10,
    seed: int = 0,
    threshold: float | None = None,
    label: Label = None,
    progress: bool = True,
) -> LayerAudit:
    """Try geometries of ready-made vectors; choose by recall on validation.

    It asks the questions of `audit_layers` and answers them alike, without an encoder and media.

    Parameters
    ----------
    vectors : Embeddings, DataFrame, or mapping of str to one of these
        A row for each video, indexed by `video_id`; several kinds of vectors, such as layers or
        encoders, by name. A video without a vector (no row, or one with NaN) is never recommended,
        but counts as relevant.
    split, relevant, geometries, directions, k, seed, threshold, label, progress
        As in `audit_layers`.

    Returns
    -------
    LayerAudit
        The names of `vectors` stand in the column `layer` (`"vector"` if there is only one); every
        pooling is `"none"`.

    Raises
    ------
    ValueError
        As `audit_layers`, and if vectors name a video twice or are no numbers.

    Warns
    -----
    UserWarning
        As `audit_layers`.

    Examples
    --------
    The topic is the second number; the first is larger, and says nothing of it. The third follows
    the first, so that the vectors span two directions:

    >>> rows = np.tile([[9, 1, 0.1], [9, -1, 0.1], [3, 1, -0.1], [3, -1, -0.1]], (6, 1))
    >>> ids = [f"v{i}" for i in range(24)]
    >>> topics = pd.Series(["tea", "rain"] * 12, index=ids)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # so few queries decide nothing
    ...     audit = audit_vectors(
    ...         pd.DataFrame(rows, index=ids), relevant=topics, directions=(1,), k=3, progress=False
    ...     )
    >>> audit.table[["geometry", "dim"]].to_numpy().tolist()
    [['raw', 3], ['centred', 3], ['whitened', 2], ['whitened', 1], ['pca', 2]]
    """
    options = _Options(split, relevant, geometries, directions, k, seed, threshold, label, progress)
    named = vectors if isinstance(vectors, Mapping) else {VECTOR: vectors}
    if not named:
        raise ValueError("vectors is empty; give at least one frame or Embeddings.")
    frames = {str(name): _numeric_frame(str(name), one) for name, one in named.items()}
    ids = pd.Index([], dtype="str")
    for frame in frames.values():
        ids = ids.union(frame.index, sort=False)
    ids = ids.rename("video_id")
    matrices = {(name, "none"): frame.reindex(ids).to_numpy() for name, frame in frames.items()}
    failures = pd.DataFrame(
        [
            (video_id, "there is no vector" if len(frames) == 1 else f"{name}: there is no vector")
            for (name, _), matrix in matrices.items()
            for video_id in ids[~np.isfinite(matrix).all(axis=1)]
        ],
        columns=["video_id", "reason"],
        dtype="str",
    )
    return _audited(matrices, ids, failures, options)


def _numeric_frame(name: str, vectors: Vectors) -> pd.DataFrame:
    """Ready-made vectors as float32, indexed by ids that are strings."""
    frame = vectors.frame() if isinstance(vectors, Embeddings) else vectors
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"{name!r} is {type(frame).__name__}; give Embeddings or a DataFrame.")
    ids = as_ids(frame.index)
    if not ids.is_unique:
        raise ValueError(f"The vectors {name!r} name {ids[ids.duplicated()][0]!r} twice.")
    try:
        values = frame.to_numpy(dtype=np.float32, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The vectors {name!r} are no numbers: {error}.") from error
    return pd.DataFrame(values, index=ids)


@dataclass(frozen=True, eq=False)
class _Options:
    """What an audit asks, and the geometries that it tries."""

    split: Split | None
    relevant: pd.Series | None
    geometries: Sequence[GeometryKind]
    directions: Sequence[int]
    k: int
    seed: int
    threshold: float | None
    label: Label
    progress: bool

    def __post_init__(self) -> None:
        if (self.split is None) == (self.relevant is None):
            raise ValueError("Give either split=..., to recommend, or relevant=..., to retrieve.")
        _known(self.geometries, GEOMETRIES, "geometry")
        arguments.at_least(1, k=self.k)
        for number in self.directions:
            arguments.at_least(1, directions=number)

    def questions(self, ids: pd.Index) -> tuple[pd.Index, pd.Index, dict[str, _Questions]]:
        """The candidates, the videos that geometries learn from, and the questions of each part."""
        if self.split is not None:
            videos = as_ids(self.split.videos.index)
            learn_from = videos[videos.isin(as_ids(self.split.train["video_id"]))]
            questions = {
                on: _recommendation(self.split, on, self.k, self.threshold, self.label)
                for on in ("validation", "test")
            }
            return videos, learn_from, questions
        labels = cast(pd.Series, self.relevant)
        labels = labels.set_axis(as_ids(labels.index)).reindex(ids)
        learn_from, questions = _retrieval(labels, self.k, self.seed)
        return ids, learn_from, questions

    def fitted(self, rows: np.ndarray) -> Iterator[Geometry]:
        """Learn each geometry from training vectors, the whitening of fewer directions included."""
        for kind in dict.fromkeys(self.geometries):
            geometry = Geometry(kind).fit(rows)
            yield geometry
            if kind == "whitened" and geometry.directions is not None:
                for number in dict.fromkeys(self.directions):
                    if number < len(geometry.directions):
                        yield geometry.truncated(number)


def _audited(
    matrices: Mapping[tuple[str, str], np.ndarray],
    ids: pd.Index,
    failures: pd.DataFrame,
    options: _Options,
) -> LayerAudit:
    """Measure every geometry of every matrix on validation, and the best one on test.

    The matrices, by layer and pooling, have the shape (ids, width).
    """
    videos, learn_from, questions = options.questions(ids)
    aligned = ids.get_indexer(videos)  # -1: the library lacks the video
    fit_on = np.asarray(ids.isin(learn_from))
    if not fit_on.any():
        raise ValueError("No video that has a vector was shown in the training part.")

    def recall(vectors: np.ndarray, on: str) -> np.ndarray:
        catalogue = vectors[aligned]  # (videos, dim)
        catalogue[aligned < 0] = np.nan
        return questions[on].recall(catalogue, options.k)

    rows, recalls, choices = [], [], []
    for name, matrix in tqdm(
        matrices.items(), desc="audit", unit="layer", disable=not options.progress
    ):
        for geometry in options.fitted(matrix[fit_on]):
            vectors = geometry.transform(matrix)
            rows.append(_row(name, geometry, vectors[fit_on]))
            recalls.append(recall(vectors, "validation"))
            choices.append((name, geometry.kind, geometry.dim))
    table, measured = pd.DataFrame(rows), np.column_stack(recalls)  # (questions, choices)
    table[["recall_validation", "low", "high"]] = _intervals(measured, options.seed)
    best = int(table["recall_validation"].argmax())
    baseline = _baseline(table)
    table[["recall_test", "test_low", "test_high"]] = np.nan
    tested = {}
    for row in (baseline, best):
        name, kind, dim = choices[row]
        geometry = Geometry(kind, dim).fit(matrices[name][fit_on])
        vectors = geometry.transform(matrices[name])  # in the end those of the best
        tested[row] = recall(vectors, "test")[:, None]  # (questions, 1)
        interval = _intervals(tested[row], options.seed)[0]
        table.loc[row, ["recall_test", "test_low", "test_high"]] = interval
    gain = _intervals(tested[best] - tested[baseline], options.seed, 10 * RESAMPLES)[0]
    table["chosen"] = np.arange(len(table)) == best
    caution = _caution(measured, best, baseline, len(questions["test"].n))
    if caution:
        warnings.warn(caution, UserWarning, stacklevel=3)
    return LayerAudit(
        table=table,
        best=table.loc[best],
        baseline=table.loc[baseline],
        vectors=pd.DataFrame(vectors, index=ids),
        failures=failures,
        gain=pd.Series(gain, index=["mean", "low", "high"]),
        k=options.k,
        n_validation=len(questions["validation"].n),
        n_test=len(questions["test"].n),
        caution=caution,
    )


def _row(name: tuple[str, str], geometry: Geometry, trained: np.ndarray) -> dict[str, object]:
    """What a choice is, and how narrow the space of the training videos is under it."""
    return {
        "layer": name[0],
        "pooling": name[1],
        "geometry": geometry.kind,
        "dim": trained.shape[1],
        "mean_cosine": mean_cosine(trained),
        "effective_rank": effective_rank(trained),
    }


def _baseline(table: pd.DataFrame) -> int:
    """Row of `encode`'s vector as it is, else of the first vectors as they are, else the first."""
    raw = (table["geometry"] == "raw").to_numpy()
    plain = raw & (table["layer"] == VECTOR).to_numpy()
    return int(plain.argmax()) if plain.any() else int(raw.argmax())


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
            self.windows = windows_of(encoder)
        if of == "sound":
            self.sound_contract = cast(SoundEncoder, encoder).sound_contract
        self.layers = tuple(layers)
        self.poolings = tuple(poolings)
        self.blocks: list[tuple[tuple[str, str], slice]] = []  # layer and pooling; their columns
        self.dim = 0
        for name, rows in self._pooled([_blank_item(encoder, of)]):  # to see the width of each
            self.blocks.append((name, slice(self.dim, self.dim + rows.shape[1])))
            self.dim += rows.shape[1]

    @property
    def fingerprint(self) -> str:
        key = json.dumps([self.encoder.fingerprint, self.layers, self.poolings, 1])
        return hashlib.sha256(key.encode()).hexdigest()

    def encode(self, batch: list) -> np.ndarray:
        return np.concatenate([rows for _, rows in self._pooled(batch)], axis=1)

    def _pooled(self, batch: list) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
        inner = [layer for layer in self.layers if layer != VECTOR]
        outputs = {}
        if isinstance(self.encoder, LayeredInOnePass) and inner:
            outputs = self.encoder.all_activations(batch, inner)
        layered = cast(Layered, self.encoder)
        for layer in self.layers:
            if layer == VECTOR:
                yield (layer, "none"), np.asarray(self.encoder.encode(batch), dtype=np.float32)
                continue
            output = outputs[layer] if outputs else layered.activations(batch, layer)
            if output.ndim == 2:
                yield (layer, "none"), output.float().numpy()
                continue
            for pooling in self.poolings:
                yield (layer, pooling), pool(output, pooling).numpy()


def _blank_item(encoder: Encoder, of: str) -> str | np.ndarray:
    """An item without content, which shows how wide the layers are."""
    if of == "title":
        return "a title of some words"
    if of == "thumbnail":
        return np.zeros((64, 64, 3), dtype=np.uint8)
    if of == "sound":  # one second
        return np.zeros(cast(SoundEncoder, encoder).sound_contract.rate, dtype=np.float32)
    contract = cast(ClipEncoder, encoder).frame_contract
    size = contract.read_size or contract.size
    return np.zeros((contract.frames, size, size, 3), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class _Questions:
    """One question for each user, or each query, as matrices of shape (questions, videos).

    `history` has ones at the videos whose mean is the profile, `hidden` entries at what is no
    candidate, `relevant` entries at the right answers; recall divides the hits by `n`.
    """

    history: sparse.csr_array
    hidden: sparse.csr_array
    relevant: sparse.csr_array
    n: np.ndarray

    def recall(self, vectors: np.ndarray, k: int) -> np.ndarray:
        """Rank by cosine with the profile; recall of each question, `(questions,)`."""
        missing = ~np.isfinite(vectors).all(axis=1)
        units = unit_rows(np.where(missing[:, None], 0, vectors).astype(np.float32))
        hits = []
        for block in blocks(len(self.n), len(units)):
            # The sum does for the mean: a profile's length does not change the order of cosines.
            profiles = self.history[block] @ units  # (questions, dim)
            scores = profiles @ units.T  # (questions, videos)
            hide(scores, self.hidden, np.arange(block.start, block.stop))
            scores[:, missing] = -np.inf
            scores[~profiles.any(axis=1)] = -np.inf  # nothing in the history has a vector
            answers = (self.relevant[block].toarray() > 0) & (scores > -np.inf)
            hits.append(np.take_along_axis(answers, top_k(scores, k), axis=1))
        return list_metrics(np.concatenate(hits), self.n, k)["recall"].to_numpy()


def _recommendation(
    split: Split, on: str, k: int, threshold: float | None, label: Label
) -> _Questions:
    """The questions of `evaluate`, for the users who liked something in training."""
    task = prepare(split, k, on, threshold, label=label)
    liked = task.rule.positives(split.train).fillna(False).to_numpy(dtype=bool)
    liked = split.train[liked]
    liked = liked[as_ids(liked["user_id"]).isin(task.users)]
    history = interaction_matrix(liked, 1, task.users, task.videos)
    history.data[:] = 1  # liked once or often
    kept = np.flatnonzero(np.diff(history.indptr))
    if not len(kept):
        raise ValueError(
            f"No user of {on} liked something in training; there is nothing to measure."
        )
    hidden = task.hidden()
    return _Questions(history[kept], hidden[kept], task.relevant[kept], task.n_relevant[kept])


def _retrieval(labels: pd.Series, k: int, seed: int) -> tuple[pd.Index, dict[str, _Questions]]:
    """A gallery, and queries whose right answers are the gallery's videos of the same label."""
    codes, _ = pd.factorize(labels)
    labelled = np.random.default_rng(seed).permutation(np.flatnonzero(codes >= 0))
    half, three_quarters = len(labelled) // 2, len(labelled) * 3 // 4
    in_gallery = np.isin(np.arange(len(codes)), labelled[:half])
    answerable = np.isin(codes, codes[in_gallery])
    rows = {"validation": labelled[half:three_quarters], "test": labelled[three_quarters:]}
    questions = {}
    for on, queries in rows.items():
        queries = queries[answerable[queries]]
        if not len(queries):
            raise ValueError(
                f"{len(labelled)} labelled videos are too few: no query shares its label with the "
                "gallery. The index of relevant must be the video ids."
            )
        same = (codes[queries][:, None] == codes[None]) & in_gallery  # (queries, videos)
        questions[on] = _Questions(
            history=sparse.eye_array(len(codes), format="csr", dtype=np.float32)[queries],
            hidden=sparse.csr_array(np.tile(~in_gallery, (len(queries), 1))),
            relevant=sparse.csr_array(same),
            n=np.minimum(same.sum(axis=1), k),
        )
    return labels.index[in_gallery], questions


def _intervals(recalls: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Mean and 95% percentile interval of each column, over the same resampled users, `(m, 3)`."""
    low, high = percentile_interval(bootstrap_means(recalls, resamples, seed), 0.95)
    return np.column_stack([recalls.mean(axis=0), low, high])


def _caution(recalls: np.ndarray, best: int, baseline: int, n_test: int) -> str:
    """What to say if few questions decide between many choices, `recalls` being (questions, m).

    If all choices were alike, the best of m would lead the baseline by about `s sqrt(2 ln m)`, with
    `s` the standard error of a difference.
    """
    n, m = recalls.shape
    if m < 2 or (min(n, n_test) >= FEW and n >= m):
        return ""
    text = f"{n:,} questions of validation decide between {m:,} choices, and {n_test:,} of test "
    text += "measure the chosen one, which is few."
    if n < 2:
        return f"{text} Nothing can be concluded from one question."
    errors = (recalls - recalls[:, [baseline]]).std(axis=0, ddof=1) / np.sqrt(n)  # (m,)
    varying = errors[errors > 0]
    chance = float(np.median(varying)) * np.sqrt(2 * np.log(m)) if len(varying) else 0.0
    lead = recalls[:, best].mean() - recalls[:, baseline].mean()
    return (
        f"{text} If all choices were equally good, the best of them would still lead the baseline "
        f"by about {chance:.3f} of recall on validation; it leads by {lead:.3f}. Take more "
        "questions, or fewer choices, before you trust it."
    )


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
