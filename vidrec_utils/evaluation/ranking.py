"""Ranking every candidate for every user, against what the users then liked."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from vidrec_utils.datasets import Split
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.evaluation.metrics import accuracy, diversity, list_means, list_metrics
from vidrec_utils.evaluation.results import Result
from vidrec_utils.evaluation.slices import user_slices, video_groups, video_slice
from vidrec_utils.evaluation.task import Task, prepare
from vidrec_utils.recommender import Recommender, blocks, hide, top_k


def evaluate(
    recommender: Recommender,
    split: Split,
    k: int = 10,
    on: str = "test",
    seed: int = 0,
    slices: bool = True,
    threshold: float = 0.8,
    by: str | None = None,
    vectors: Embeddings | pd.DataFrame | None = None,
    ties: str = "catalogue",
    progress: bool = True,
) -> Result:
    """Rank all videos for each user of the evaluated part, and measure the first k.

    Candidates of a user are all videos of `split.videos` that the user was not shown before the
    evaluated part: in train, and for `on="test"` in validation too. The masks come from the split,
    so they are the same for every recommender. Users without a relevant video among their
    candidates are left out, and counted. Memory is bounded: users are scored in blocks, and of each
    block only the lists are kept.

    Parameters
    ----------
    recommender : Recommender
        Fitted, on the training part (or for a final test on train and validation). Videos outside
        its catalogue are never recommended, but count as relevant.
    split : Split
        `train, validation, test` (frames of interactions) and `videos`.
    k : int
        Length of the lists; more than the catalogue is cut to it only in `top`.
    on : {"test", "validation"}
        The part to predict. Choose models on validation; look at test once.
    seed : int
        For the bootstrap, and for shuffled ties.
    slices : bool
        Also keep light, heavy and new users, and cold, head and tail videos.
    threshold : float
        See `positives`.
    by : str, optional
        Column of `split.videos`, such as `"category"`, whose values become slices, too.
    vectors : Embeddings or DataFrame, optional
        One row a video; adds the metric `diversity` of the lists.
    ties : {"catalogue", "shuffled"}
        Whether equal scores are ranked in the order of the catalogue or in one random order.
    progress : bool
        Show a bar when it takes more than ten seconds.

    Raises
    ------
    ValueError
        If the part is empty, or no user in it has a relevant candidate (as when the recommender's
        training data hold the test), or an option is impossible.
    KeyError
        If the videos have no column `by`.

    Warns
    -----
    UserWarning
        If the lists of users whom the recommender knows come from a sliver of the catalogue, unless
        it gives everybody the same list by design; see `Result.sliver`.

    Examples
    --------
    Three users watched `a`. Later two of them watch `b`, and one `c`; popularity, which has seen
    neither, lists them in the order of the catalogue:

    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> test = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, train[:0], test, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> result = evaluate(Popularity().fit(split), split, k=1)
    >>> result.per_user["recall"].to_dict()
    {'u': 1.0, 'v': 1.0, 'w': 0.0}
    """
    task = prepare(split, k, on, threshold, ties, seed)
    groups = video_groups(task, split.videos, by) if slices or by else {}
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(task.videos)) if ties == "shuffled" else None
    top, hits = _lists(recommender, task, order, progress)
    per_user, history = _measure(task, top, hits)
    if vectors is not None:
        per_user["diversity"] = diversity(vectors, task.videos, top)
    tables = user_slices(per_user) if slices else {}
    tables |= {name: video_slice(task, g, top, hits, per_user) for name, g in groups.items()}
    result = Result(
        name=recommender.name,
        k=k,
        on=on,
        seed=seed,
        protocol=task.protocol,
        per_user=per_user,
        history=history,
        coverage=len(np.unique(top[top >= 0])) / len(task.videos),
        top=_top_frame(top, task.videos, per_user.index),
        slices=tables,
    )
    # Whom a model does not know gets its one answer for unknown users, by design.
    sliver = "" if recommender.same_for_all else result.sliver(recommender.user_ids)
    if sliver:
        warnings.warn(sliver, UserWarning, stacklevel=2)
    return result


def ranks(
    recommender: Recommender,
    split: Split,
    on: str = "test",
    threshold: float = 0.8,
    progress: bool = True,
) -> pd.DataFrame:
    """Rank of every relevant video among all candidates of its user that are not relevant.

    Other relevant videos of the user are taken out, so that each has the same negatives whether
    candidates are sampled or not (see `evaluation.sampled`). Of equal scores those earlier in the
    catalogue rank higher; videos outside the recommender's catalogue rank last.

    Returns
    -------
    DataFrame
        `user_id, video_id, rank` (from 1)`, n_candidates` (the video itself included).

    Examples
    --------
    Three users watched `a`. Later two of them watch `b`, and one `c`; popularity, which has seen
    neither, lists them in the order of the catalogue:

    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> users = ["u", "v", "w"]
    >>> train = pd.DataFrame({"user_id": users, "video_id": "a", "watch_ratio": 1.0})
    >>> test = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, train[:0], test, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> ranks(Popularity().fit(split), split)
      user_id video_id  rank  n_candidates
    0       u        b     1             2
    1       v        b     1             2
    2       w        c     2             2
    """
    task = prepare(split, 1, on, threshold)
    rows = []
    for block, scores in _scored(recommender, task, None, progress):
        for user, row in zip(range(block.start, block.stop), scores, strict=True):
            relevant = _columns(task.relevant, user)
            rank, n = _ranks(row, relevant, _columns(task.seen, user))
            rows.append((np.full(len(rank), user), relevant, rank, np.full(len(rank), n)))
    users, videos, rank, n_candidates = map(np.concatenate, zip(*rows, strict=True))
    return pd.DataFrame(
        {
            "user_id": task.users[users],
            "video_id": task.videos[videos],
            "rank": rank,
            "n_candidates": n_candidates,
        }
    )


def _ranks(row: np.ndarray, relevant: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, int]:
    """Rank of each relevant column among the negatives, and the number of candidates of each."""
    is_negative = np.ones(len(row), dtype=bool)  # (n_videos,)
    is_negative[relevant] = False
    is_negative[seen] = False
    negatives = np.flatnonzero(is_negative)
    own = row[relevant, None]  # (relevant, 1)
    other = row[negatives]  # (negatives,)
    # A negative ranks above with a higher score, or with an equal one earlier in the catalogue.
    above = (other > own) | ((other == own) & (negatives < relevant[:, None]))
    last = len(negatives) + 1
    return np.where(own[:, 0] > -np.inf, 1 + above.sum(axis=1), last), last


def _scored(
    recommender: Recommender, task: Task, order: np.ndarray | None, progress: bool
) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of users with their scores over the task's catalogue; -inf: cannot be recommended.

    With an `order`, the columns come in that order instead of the catalogue's.
    """
    columns = task.videos.get_indexer(recommender.video_ids)
    same = order is None and np.array_equal(columns, np.arange(len(task.videos)))
    n = len(task.videos)
    bar = tqdm(total=len(task.users), desc="ranking", unit="user", delay=10, disable=not progress)
    with bar:
        for block in blocks(len(task.users), n):
            scores = recommender.score(task.users[block])
            if not same:  # a catalogue of its own: what it lacks is never recommended
                whole = np.full((len(scores), n), -np.inf, dtype=np.float32)
                whole[:, columns[columns >= 0]] = scores[:, columns >= 0]
                scores = whole
            scores[np.isnan(scores)] = -np.inf
            hide(scores, task.seen, np.arange(block.start, block.stop))
            yield block, scores if order is None else scores[:, order]
            bar.update(len(scores))


def _lists(
    recommender: Recommender, task: Task, order: np.ndarray | None, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the catalogue on each list (-1: none left), and which are hits."""
    n = len(task.videos)
    top = np.full((len(task.users), min(task.protocol.k, n)), -1, dtype=np.int32)
    hits = np.zeros(top.shape, dtype=bool)
    for block, scores in _scored(recommender, task, order, progress):
        best = top_k(scores, top.shape[1])  # (users, k)
        valid = np.take_along_axis(scores, best, axis=1) > -np.inf  # neither seen nor unknown
        best = best if order is None else order[best]  # back to the catalogue's columns
        top[block] = np.where(valid, best, -1)
        hits[block] = _among(best, task.relevant[block]) & valid
    return top, hits


def _among(best: np.ndarray, relevant: sparse.csr_array) -> np.ndarray:
    """Whether each column of a list is an entry of its row, without making the rows dense."""
    n = relevant.shape[1]
    rows = np.arange(len(best), dtype=np.int64)[:, None]  # (users, 1)
    pairs = relevant.tocoo()
    # One number for each pair of row and column; the relevant ones sorted, to be searched.
    keys = np.sort(pairs.row.astype(np.int64) * n + pairs.col)
    asked = rows * n + best  # (users, k)
    nearest = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return keys[nearest] == asked


def _columns(matrix: sparse.csr_array, row: int) -> np.ndarray:
    return matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]


def _measure(task: Task, top: np.ndarray, hits: np.ndarray) -> tuple[pd.DataFrame, pd.Series]:
    """Metrics of each user, and the mean popularity of what each was shown before."""
    per_user = list_metrics(hits, task.n_relevant, task.protocol.k)
    candidates = len(task.videos) - np.diff(task.seen.indptr)  # (users,)
    listed = (top >= 0).sum(axis=1)
    per_user["accuracy"] = accuracy(hits, task.n_relevant, candidates, listed)
    # Self-information of each video, in bits: (n_videos,)
    surprise = -np.log2((task.audience + 1) / (task.n_crowd + 1))
    per_user["novelty"] = list_means(surprise, top)
    per_user["popularity"] = list_means(task.exposures, top)
    n_known = np.asarray(task.seen.sum(axis=1)).astype(int)
    per_user["n_relevant"], per_user["n_known"] = task.n_relevant, n_known
    per_user.index = task.users.rename("user_id")
    history = (task.seen @ task.exposures) / np.maximum(n_known, 1)
    return per_user, pd.Series(np.where(n_known > 0, history, np.nan), index=per_user.index)


def _top_frame(top: np.ndarray, videos: pd.Index, users: pd.Index) -> pd.DataFrame:
    """Lists as ids. Each column is categorical: four bytes an entry instead of a whole string."""
    columns = {
        rank + 1: pd.Categorical.from_codes(top[:, rank], categories=videos)
        for rank in range(top.shape[1])
    }
    return pd.DataFrame(columns, index=users)
