"""Ranking every candidate for every user, against what the users then liked."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from vidrec_utils import arguments
from vidrec_utils.datasets import Split
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.evaluation.metrics import accuracy, diversity, list_means, list_metrics
from vidrec_utils.evaluation.results import Result
from vidrec_utils.evaluation.slices import (
    list_share,
    popularity_groups,
    user_slices,
    value_groups,
)
from vidrec_utils.evaluation.task import Task, prepare
from vidrec_utils.evaluation.ties import TieGroups, expected_hits, expected_metrics, tie_groups
from vidrec_utils.events import Label
from vidrec_utils.recommender import EventWeights, Recommender, blocks, top_k


def evaluate(
    recommender: Recommender,
    split: Split,
    k: int | Sequence[int] = 10,
    on: str = "validation",
    seed: int = 0,
    slices: bool = True,
    threshold: float | None = None,
    by: str | None = None,
    vectors: Embeddings | pd.DataFrame | None = None,
    ties: str = "catalogue",
    progress: bool = True,
    *,
    label: Label = None,
    ideal: str = "min(n, k)",
    recall: str = "n",
    masked: str | pd.DataFrame = "known",
) -> Result:
    """Rank all videos for each user of the evaluated part, and measure the first k.

    Candidates of a user are all videos of `split.videos` that could have been shown by then:
    published not later than the user's last event in the evaluated part, and not shown to the user
    before that part (in train, and for `on="test"` in validation too). A video without a time of
    publication counts as published, and so does one that the user was shown in the part, whatever
    its clock says. The candidates come from the split, so they are the same for every recommender.
    Users without a relevant video among their candidates are left out, and counted. Memory is
    bounded: users are scored in blocks, and of each block only the lists are kept.

    Parameters
    ----------
    recommender : Recommender
        Fitted, on the training part (or for a final test on train and validation, see `refit`).
        Videos outside its catalogue are never recommended, but count as relevant.
    split : Split
        `train, validation, test` (frames of interactions) and `videos`.
    k : int or sequence of int
        Length of the lists; more than the catalogue is cut to it only in `top`. Of several, all are
        measured in one pass: the result is that of the longest, and its `at(k)` gives the others.
    on : {"validation", "test"}
        The part to predict. Choose models on validation; look at test once.
    seed : int
        For the bootstrap, and for shuffled ties.
    slices : bool
        Also measure groups of users and of videos; `evaluation.slices` defines them.
    threshold : float, optional
        Least watch ratio of a relevant video, for the label `ratio` (default .8).
    by : str, optional
        Column of `split.videos`, such as `"category"`, whose values become slices, too.
    vectors : Embeddings or DataFrame, optional
        One row a video; adds the metric `diversity` of the lists.
    ties : {"catalogue", "shuffled", "mid-rank"}
        Whether equal scores are ranked in the order of the catalogue, in one random order, or in
        all orders, over which metrics of hits are averaged (see `evaluation.ties`). What describes
        the lists themselves (novelty, popularity, diversity, coverage, `top`) is then that of the
        catalogue's order.
    progress : bool
        Show a bar when it takes more than ten seconds.
    label : str or LabelRule, optional
        The label that judges: which exposures of the part are relevant; see `events.fit_label`,
        also for the default. Its rule is fitted to the training part, for the test, too. A video
        whose exposures it calls NA is neither relevant nor a candidate. The recommender was
        trained by weights, or by a label of its own; that the two agree is nobody's duty but the
        caller's.
    ideal : {"min(n, k)", "n", "k"}
        What NDCG and MAP are divided by, with n relevant videos: the best list that k positions can
        hold, the best list of any length, or k hits.
    recall : {"n", "min(n, k)"}
        What recall is divided by.
    masked : {"known", "train"} or DataFrame
        The events whose videos are no candidates for their users: all before the evaluated part,
        those of train alone, or the given ones (where `split` holds only a part of what happened).

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
    >>> later = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, later, None, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> result = evaluate(Popularity().fit(split), split, k=(1, 2))
    >>> result.at(1).per_user["recall"].to_dict()
    {'u': 1.0, 'v': 1.0, 'w': 0.0}
    >>> result.per_user["recall"].to_dict()
    {'u': 1.0, 'v': 1.0, 'w': 1.0}
    """
    lengths = _lengths(k)
    options = {"ideal": ideal, "recall": recall}
    task = prepare(
        split, lengths[-1], on, threshold, ties, seed, label=label, masked=masked, **options
    )
    groups = popularity_groups(task.exposures) if slices else {}
    groups |= value_groups(split.videos, by) if by is not None else {}
    order = np.arange(len(task.videos))  # of the columns: which of two equal scores comes first
    if ties == "shuffled":
        order = np.random.default_rng(seed).permutation(order)
    everything = {"all": np.ones(len(task.videos), dtype=bool)}
    lists = rank(recommender, task, everything | groups, order, ties == "mid-rank", progress)
    shorter: dict[int, Result] = {}
    for length in lengths:
        tables = {name: _measure(task, one, length, options) for name, one in lists.items()}
        if vectors is not None:
            for name, table in tables.items():
                table["diversity"] = diversity(vectors, task.videos, lists[name].top[:, :length])
        per_user, top = tables.pop("all"), lists["all"].top[:, :length]
        result = Result(
            name=recommender.name,
            k=length,
            on=on,
            seed=seed,
            protocol=replace(task.protocol, k=length),
            per_user=per_user,
            history=_popularity_of_histories(task),
            coverage=_n_listed(top, len(task.videos)) / len(task.videos),
            top=_top_frame(top, task.videos, per_user.index),
            slices=(user_slices(per_user) if slices else {}) | tables,
            list_share=pd.DataFrame(list_share(groups, top), index=per_user.index),
            shorter=dict(shorter),
            hits=_hits_frame(lists["all"].hits[:, :length], per_user.index),
        )
        shorter[length] = result
    # Whom a model does not know gets its one answer for unknown users, by design.
    sliver = "" if recommender.same_for_all else result.sliver(recommender.user_ids)
    if sliver:
        warnings.warn(sliver, UserWarning, stacklevel=2)
    return result


def _n_listed(top: np.ndarray, n_videos: int) -> int:
    """How many videos are on at least one list."""
    listed = np.zeros(n_videos + 1, dtype=bool)
    listed[top] = True  # an empty position, -1, marks the last place
    return int(np.count_nonzero(listed[:-1]))


def _lengths(k: int | Sequence[int]) -> list[int]:
    """Lengths of lists, each once, from the shortest.

    Raises
    ------
    ValueError
        If there is none, or one is below 1.
    """
    lengths = sorted({int(one) for one in np.atleast_1d(k)})
    if not lengths:
        raise ValueError("k is empty; give the length of the lists, such as 10 or (5, 10, 20).")
    arguments.at_least(1, k=lengths[0])
    return lengths


def refit(
    recommender: Recommender, split: Split, weights: EventWeights | None = None
) -> Recommender:
    """A copy of a recommender, fitted on train and validation, for the final test.

    Once settings are chosen on validation, its events are the latest that are known before the
    test, and as good for learning as any. The recommender that is given stays as it is. What
    stopped early on a validation part has none left to stop on: build it with the number of epochs
    that it found (`best_epoch`) before you refit it.

    Parameters
    ----------
    recommender : Recommender
        Its settings are kept, fitted or not.
    split : Split
        Without a validation part, its train alone.
    weights : Series or callable, optional
        Weight of each event of `split.known("test")`; see `Recommender.fit`.

    Returns
    -------
    Recommender
        The same class, name and settings.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.recommender import Popularity
    >>> log = pd.DataFrame({"user_id": ["u", "v", "w"], "video_id": ["a", "b", "b"]})
    >>> log["watch_ratio"] = 1.0
    >>> split = Split(log[:1], log[1:2], log[2:], pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> model = Popularity().fit(split)
    >>> model.popularity.tolist(), refit(model, split).popularity.tolist()
    ([1.0, 0.0, 0.0], [1.0, 1.0, 0.0])
    """
    known = replace(split, train=split.known("test"), validation=None)
    # Recommenders that are made of others fit these, so the copy must have its own.
    return copy.deepcopy(recommender).fit(known, weights)


def ranks(
    recommender: Recommender,
    split: Split,
    on: str = "validation",
    threshold: float | None = None,
    progress: bool = True,
    *,
    label: Label = None,
) -> pd.DataFrame:
    """Rank of every relevant video among all candidates of its user that are not relevant.

    Other relevant videos of the user are taken out, so that each has the same negatives whether
    candidates are sampled or not (see `evaluation.sampled`). Of equal scores those earlier in the
    catalogue rank higher; videos outside the recommender's catalogue rank last. What is relevant is
    the matter of `threshold` and `label`, as in `evaluate`.

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
    >>> later = train.assign(video_id=["b", "b", "c"])
    >>> split = Split(train, later, None, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> ranks(Popularity().fit(split), split)
      user_id video_id  rank  n_candidates
    0       u        b     1             2
    1       v        b     1             2
    2       w        c     2             2
    """
    task = prepare(split, 1, on, threshold, label=label)
    rows = []
    for block, scores, candidates in _scored(recommender, task, progress):
        for number, user in enumerate(range(block.start, block.stop)):
            relevant = _columns(task.relevant, user)
            rank, n = _ranks(scores[number], relevant, candidates[number])
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


def _ranks(row: np.ndarray, relevant: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, int]:
    """Rank of each relevant column among the negatives, and the number of candidates of each."""
    is_negative = candidates.copy()  # (n_videos,)
    is_negative[relevant] = False
    negatives = np.flatnonzero(is_negative)
    own = row[relevant, None]  # (relevant, 1)
    other = row[negatives]  # (negatives,)
    # A negative ranks above with a higher score, or with an equal one earlier in the catalogue.
    above = (other > own) | ((other == own) & (negatives < relevant[:, None]))
    last = len(negatives) + 1
    return np.where(own[:, 0] > -np.inf, 1 + above.sum(axis=1), last), last


def _scored(
    recommender: Recommender, task: Task, progress: bool
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Blocks of users, their scores over the catalogue, and their candidates, `(users, n_videos)`.

    A score of -inf says that the video cannot be recommended.
    """
    columns = task.videos.get_indexer(recommender.video_ids)
    same = np.array_equal(columns, np.arange(len(task.videos)))
    n = len(task.videos)
    bar = tqdm(total=len(task.users), desc="ranking", unit="user", delay=10, disable=not progress)
    with bar:
        # half of the usual block, since parts of it are copied for the groups of videos
        for block in blocks(len(task.users), 2 * n):
            scores = recommender.score(task.users[block])
            if not same:  # a catalogue of its own: what it lacks is never recommended
                whole = np.full((len(scores), n), -np.inf, dtype=np.float32)
                whole[:, columns[columns >= 0]] = scores[:, columns >= 0]
                scores = whole
            candidates = task.candidates(block)
            scores[np.isnan(scores) | ~candidates] = -np.inf
            yield block, scores, candidates
            bar.update(len(scores))


class Lists(NamedTuple):
    """Lists of the best videos of one group of videos, for the users with a relevant one there.

    `users` are positions in the task; `top` holds columns of the catalogue, -1 where none is left,
    and `hits` says which of them are relevant, both `(users, k)`; `n_relevant` and `n_candidates`
    count the group, `(users,)`. `groups` is there for `ties="mid-rank"`.
    """

    users: np.ndarray
    top: np.ndarray
    hits: np.ndarray
    n_relevant: np.ndarray
    n_candidates: np.ndarray
    groups: TieGroups | None


def rank(
    recommender: Recommender,
    task: Task,
    groups: Mapping[str, np.ndarray],
    order: np.ndarray,
    mid_rank: bool = False,
    progress: bool = False,
) -> dict[str, Lists]:
    """Rank the candidates of each group of videos, scoring each user once.

    Parameters
    ----------
    recommender : Recommender
    task : Task
    groups : mapping of str to ndarray of bool, shape (n_videos,)
        The videos that compete with each other.
    order : ndarray of int, shape (n_videos,)
        Columns of the catalogue in the order in which equal scores are ranked.
    mid_rank : bool
        Also count the groups of equal scores.
    progress : bool
        Show a bar when it takes more than ten seconds.
    """
    columns = {name: order[group[order]] for name, group in groups.items()}
    n_relevant = {
        name: np.asarray(task.relevant @ group.astype(np.int32)) for name, group in groups.items()
    }  # each (users,)
    by_block: dict[str, list[Lists]] = {name: [] for name in groups}
    for block, scores, candidates in _scored(recommender, task, progress):
        for name, own in columns.items():
            asked = n_relevant[name][block] > 0
            users = np.arange(block.start, block.stop)[asked]
            part, possible = _part(scores, asked, own), _part(candidates, asked, own)
            by_block[name].append(_best(task, users, part, possible, own, mid_rank))
    # what is joined is dropped, so that no more than one group is held twice
    return {name: _joined(by_block.pop(name)) for name in groups}


def _part(array: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Marked rows, and columns in their order; no copy is made of what is all of them."""
    if not rows.all():
        array = array[rows]
    if np.array_equal(columns, np.arange(array.shape[1])):
        return array
    return np.take(array, columns, axis=1)  # a fraction of the time of `array[:, columns]`


def _best(
    task: Task,
    users: np.ndarray,
    scores: np.ndarray,
    candidates: np.ndarray,
    columns: np.ndarray,
    mid_rank: bool,
) -> Lists:
    """Lists of some users, from their scores of some columns of the catalogue."""
    best = top_k(scores, task.protocol.k)  # positions in `columns`, (users, k)
    valid = np.take_along_axis(scores, best, axis=1) > -np.inf
    relevant = task.relevant[users]
    top = columns[best]  # back to the catalogue's columns
    hits = _among(top, relevant) & valid
    own = relevant[:, columns]
    return Lists(
        users=users,
        top=np.where(valid, top, -1).astype(np.int32),
        hits=hits,
        n_relevant=np.diff(own.indptr),
        n_candidates=candidates.sum(axis=1),
        groups=tie_groups(scores, own, best, hits) if mid_rank else None,
    )


def _joined(blocks: list[Lists]) -> Lists:
    """Lists of several blocks of users as one."""
    tied = [lists.groups for lists in blocks if lists.groups is not None]
    return Lists(
        users=np.concatenate([lists.users for lists in blocks]),
        top=np.concatenate([lists.top for lists in blocks]),
        hits=np.concatenate([lists.hits for lists in blocks]),
        n_relevant=np.concatenate([lists.n_relevant for lists in blocks]),
        n_candidates=np.concatenate([lists.n_candidates for lists in blocks]),
        groups=TieGroups(*map(np.concatenate, zip(*tied, strict=True))) if tied else None,
    )


def _among(best: np.ndarray, relevant: sparse.csr_array) -> np.ndarray:
    """Whether each column of a list is an entry of its row, without making the rows dense."""
    n = relevant.shape[1]
    rows = np.arange(len(best), dtype=np.int64)[:, None]  # (users, 1)
    pairs = relevant.tocoo()
    # One number for each pair of row and column; the relevant ones sorted, to be searched.
    keys = np.sort(pairs.row.astype(np.int64) * n + pairs.col)
    asked = rows * n + best  # (users, k)
    if not len(keys):
        return np.zeros(asked.shape, dtype=bool)
    nearest = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return keys[nearest] == asked


def _columns(matrix: sparse.csr_array, row: int) -> np.ndarray:
    return matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]


def _measure(task: Task, lists: Lists, k: int, options: Mapping[str, str]) -> pd.DataFrame:
    """Metrics of each user who has a list, from its first k positions."""
    top, hits = lists.top[:, :k], lists.hits[:, :k]
    if lists.groups is None:
        per_user = list_metrics(hits, lists.n_relevant, k, **options)
        n_hits = hits.sum(axis=1)
    else:
        groups = TieGroups(*(array[:, :k] for array in lists.groups))
        per_user = expected_metrics(groups, lists.n_relevant, k, **options)
        n_hits = expected_hits(groups)
    listed = (top >= 0).sum(axis=1)
    per_user["accuracy"] = accuracy(n_hits, lists.n_relevant, lists.n_candidates, listed)
    # Self-information of each video, in bits: (n_videos,)
    surprise = -np.log2((task.audience + 1) / (task.n_crowd + 1))
    per_user["novelty"] = list_means(surprise, top)
    per_user["popularity"] = list_means(task.exposures, top)
    per_user["n_relevant"] = lists.n_relevant
    per_user["n_known"] = _n_known(task)[lists.users]
    return per_user.set_axis(task.users[lists.users].rename("user_id"))


def _n_known(task: Task) -> np.ndarray:
    """Events of each user before the evaluated part, int `(n_users,)`."""
    return np.asarray(task.known.sum(axis=1)).astype(int)


def _popularity_of_histories(task: Task) -> pd.Series:
    """Mean popularity of what each user was shown before; NaN for new users."""
    n = _n_known(task)
    means = (task.known @ task.exposures) / np.maximum(n, 1)
    return pd.Series(np.where(n > 0, means, np.nan), index=task.users.rename("user_id"))


def _top_frame(top: np.ndarray, videos: pd.Index, users: pd.Index) -> pd.DataFrame:
    """Lists as ids. Each column is categorical: four bytes an entry instead of a whole string."""
    columns = {
        rank + 1: pd.Categorical.from_codes(top[:, rank], categories=videos)
        for rank in range(top.shape[1])
    }
    return pd.DataFrame(columns, index=users)


def _hits_frame(hits: np.ndarray, users: pd.Index) -> pd.DataFrame:
    """Whether the video at each rank of each list is relevant, with the ranks as columns."""
    return pd.DataFrame(hits, index=users, columns=range(1, hits.shape[1] + 1))
