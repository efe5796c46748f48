"""Ranking every candidate for every user, against what the users then liked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.evaluation.metrics import accuracy, list_means, metrics
from vidrec_utils.evaluation.results import Result
from vidrec_utils.recommender import Recommender, as_ids, blocks, hide, interaction_matrix, top_k

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split


def positives(interactions: pd.DataFrame, threshold: float = 0.8) -> pd.Series:
    """Which exposures ended well: watched to at least `threshold`, or liked.

    Parameters
    ----------
    interactions : DataFrame
        Columns `watch_ratio` and `liked`; one of them may be absent or all NA. An NA signal says
        nothing, so it never makes a positive.
    threshold : float
        Least watch ratio.

    Returns
    -------
    Series of bool
        Aligned with `interactions`.

    Raises
    ------
    ValueError
        If there are interactions, and neither signal in any of them.
    """
    none = pd.Series(np.nan, index=interactions.index)
    watched = pd.to_numeric(interactions.get("watch_ratio", none)).astype("Float64")
    liked = interactions.get("liked", none).astype("boolean")
    if len(interactions) and watched.isna().all() and liked.isna().all():
        raise ValueError(
            "These interactions have neither watch_ratio nor liked, so nothing tells a good "
            "recommendation from a bad one. Add one of the two columns."
        )
    good = (watched >= threshold).fillna(False) | liked.fillna(False)
    return good.astype(bool).rename("positive")


def evaluate(
    recommender: Recommender,
    split: Split,
    k: int = 10,
    on: str = "test",
    seed: int = 0,
    slices: bool = True,
    threshold: float = 0.8,
) -> Result:
    """Rank all videos for all users of the evaluated part, and measure the first k.

    Candidates of a user are all videos of `split.videos` that the user was not shown before the
    evaluated part: in train, and for `on="test"` in validation too. The masks come from the split,
    so they are the same for every recommender. Users without a relevant video among their
    candidates are left out, and counted. Memory is bounded: users are scored in blocks.

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
        For the bootstrap.
    slices : bool
        Also keep light, heavy and new users, and cold videos.
    threshold : float
        See `positives`.

    Raises
    ------
    ValueError
        If the part is empty, or no user in it has a relevant candidate (as when the recommender's
        training data hold the test), or k is not positive.
    """
    if on not in ("test", "validation"):
        raise ValueError(f"on is {on!r}; choose 'test' or 'validation'.")
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1.")
    target = getattr(split, on)
    if not len(target):
        raise ValueError(f"The {on} part of the split {split.name!r} has no interactions.")
    known = split.train
    if on == "test" and len(split.validation):
        known = pd.concat([known, split.validation], ignore_index=True)
    videos = as_ids(split.videos.index)
    every = as_ids(target["user_id"]).unique().sort_values()  # users who could be evaluated
    seen = _counts(known[as_ids(known["user_id"]).isin(every)], every, videos)
    crowd = as_ids(known["user_id"]).unique()
    shows = _counts(known, crowd, videos)
    exposures = np.asarray(shows.sum(axis=0)).ravel()
    audience = np.bincount(shows.indices, minlength=len(videos))  # users, each counted once
    relevant = _counts(target[positives(target, threshold).to_numpy()], every, videos)
    relevant = _without(relevant, seen)
    n_relevant = np.diff(relevant.indptr)
    kept = np.flatnonzero(n_relevant)
    if not len(kept):
        raise ValueError(
            f"No user of the {on} part has a relevant video that is new to them: nothing to "
            "measure. Check the split, the threshold, and that train does not hold the test."
        )
    users, seen, relevant = every[kept], seen[kept], relevant[kept]
    top, hits, candidates = _rank(recommender, users, videos, seen, relevant, k)
    per_user = metrics(hits, n_relevant[kept], k)
    per_user["accuracy"] = accuracy(hits, n_relevant[kept], candidates, (top >= 0).sum(axis=1))
    surprise = -np.log2((audience + 1) / (len(crowd) + 1))
    per_user["novelty"] = list_means(surprise, top)
    per_user["popularity"] = list_means(exposures, top)
    per_user["n_relevant"], per_user["n_known"] = n_relevant[kept], seen.sum(axis=1).astype(int)
    per_user.index = users.rename("user_id")
    shown = np.maximum(per_user["n_known"].to_numpy(), 1)
    history = (seen @ exposures) / shown
    history = np.where(per_user["n_known"] > 0, history, np.nan)
    parts = {}
    if slices:
        cold = _cold(relevant, hits, top, exposures, k, per_user)
        parts = {**_user_slices(per_user), "cold videos": cold}
    return Result(
        name=recommender.name,
        k=k,
        on=on,
        seed=seed,
        protocol=_protocol(split, on, k, threshold, len(videos), len(kept), len(every)),
        per_user=per_user,
        history=pd.Series(history, index=per_user.index),
        coverage=len(np.unique(top[top >= 0])) / len(videos),
        top=_top_frame(top, videos, users),
        slices=parts,
        n_left_out=len(every) - len(kept),
        digest=_digest(users, videos, relevant),
    )


def _rank(
    recommender: Recommender,
    users: pd.Index,
    videos: pd.Index,
    seen: sparse.csr_array,
    relevant: sparse.csr_array,
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of `videos` on each list (-1: none left), which are hits, number of candidates."""
    columns = videos.get_indexer(recommender.video_ids)
    same = np.array_equal(columns, np.arange(len(videos)))
    top = np.full((len(users), min(k, len(videos))), -1, dtype=np.int32)
    hits = np.zeros(top.shape, dtype=bool)
    for block in blocks(len(users), len(videos)):
        scores = recommender.score(users[block])
        if not same:  # a catalogue of its own: what it lacks is never recommended
            whole = np.full((len(scores), len(videos)), -np.inf, dtype=np.float32)
            whole[:, columns[columns >= 0]] = scores[:, columns >= 0]
            scores = whole
        hide(scores, seen, np.arange(block.start, block.stop))
        best = top_k(scores, k)
        valid = np.take_along_axis(scores, best, axis=1) > -np.inf
        truth = relevant[block].toarray() > 0
        top[block] = np.where(valid, best, -1)
        hits[block] = np.take_along_axis(truth, best, axis=1) & valid
    return top, hits, len(videos) - np.diff(seen.indptr)


def _counts(events: pd.DataFrame, users: pd.Index, videos: pd.Index) -> sparse.csr_array:
    """Number of events of each pair, without stored zeros."""
    return interaction_matrix(events, np.ones(len(events)), users, videos)


def _without(a: sparse.csr_array, b: sparse.csr_array) -> sparse.csr_array:
    """Entries of `a` where `b` has none, as ones."""
    left = sparse.csr_array((a > 0).astype(np.int8) - (a > 0).multiply(b > 0).astype(np.int8))
    left.eliminate_zeros()
    return left


def _user_slices(per_user: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Users by what is known of them: new (nothing), light (up to the median), heavy (above)."""
    known = per_user["n_known"]
    old = known > 0
    median = known[old].median() if old.any() else 0
    return {
        "light users": per_user[old & (known <= median)],
        "heavy users": per_user[known > median],
        "new users": per_user[~old],
    }


def _cold(
    relevant: sparse.csr_array,
    hits: np.ndarray,
    top: np.ndarray,
    exposures: np.ndarray,
    k: int,
    per_user: pd.DataFrame,
) -> pd.DataFrame:
    """Metrics when only videos without a known event count as relevant."""
    cold = exposures == 0
    n_cold = np.asarray(relevant @ cold.astype(np.int32)).ravel()
    frame = metrics(hits & cold[top] & (top >= 0), n_cold, k).set_axis(per_user.index)
    rest = per_user[["novelty", "popularity", "n_known"]]
    return frame.join(rest).assign(n_relevant=n_cold, accuracy=np.nan)[n_cold > 0]


def _top_frame(top: np.ndarray, videos: pd.Index, users: pd.Index) -> pd.DataFrame:
    ids = np.append(videos.to_numpy(dtype=object), None)[top]  # -1 takes the last
    return pd.DataFrame(ids, index=users.rename("user_id"), columns=range(1, top.shape[1] + 1))


def _protocol(
    split: Split, on: str, k: int, threshold: float, n_videos: int, n_users: int, n_all: int
) -> str:
    before = "train" if on == "validation" else "train and validation"
    return (
        f"split {split.name!r}, {on}; k = {k}; candidates: all {n_videos} videos minus those shown "
        f"to the user in {before}; relevant: watch ratio >= {threshold:g} or liked; recall over "
        f"all relevant, NDCG and MAP over min(n, k); ties in catalogue order; {n_users} of {n_all} "
        f"users, {n_all - n_users} without a relevant candidate left out"
    )


def _digest(users: pd.Index, videos: pd.Index, relevant: sparse.csr_array) -> str:
    digest = hashlib.sha256()
    for ids in (users, videos):
        digest.update("\0".join(ids).encode())
    relevant.sort_indices()
    digest.update(
        relevant.indptr.astype("<i8").tobytes() + relevant.indices.astype("<i8").tobytes()
    )
    return digest.hexdigest()
