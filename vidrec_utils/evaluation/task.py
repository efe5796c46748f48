"""The questions of an evaluation: which users, which candidates, and which are relevant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation.protocol import TIES, Protocol, fingerprints
from vidrec_utils.events import (
    NO_SIGNAL,
    as_ids,
    event_weights,
    interaction_matrix,
    signals,
    warn_once,
)


def positives(interactions: pd.DataFrame, threshold: float = 0.8) -> pd.Series:
    """Which exposures ended well: watched to at least `threshold`, or liked.

    A log that has neither watch ratios nor likes is taken for what it is: if it has shares or
    comments, exposures that were shared or commented on ended well; if it has no signal at all,
    every exposure did, and a warning says so once (see `events.event_weights`, which counts alike).

    Parameters
    ----------
    interactions : DataFrame
        Columns `watch_ratio`, `liked`, `shared`, `comment`, each optional. An NA signal says
        nothing, so it never makes a positive.
    threshold : float
        Least watch ratio.

    Returns
    -------
    Series of bool
        Aligned with `interactions`.

    Examples
    --------
    >>> views = pd.DataFrame({"watch_ratio": [0.9, 0.2, 0.2], "liked": [None, True, False]})
    >>> positives(views).tolist()
    [True, True, False]
    """
    if len(interactions) and not signals(interactions):
        warn_once(NO_SIGNAL)
    return ended_well(interactions, threshold)


def ended_well(interactions: pd.DataFrame, threshold: float) -> pd.Series:
    """Which exposures ended well, as `positives`, without the warning."""
    available = signals(interactions)
    if not available:
        return pd.Series(True, index=interactions.index, name="positive")
    if not {"watch_ratio", "liked"} & set(available):
        return (event_weights(interactions) > 0).rename("positive")
    absent = pd.Series(np.nan, index=interactions.index)
    watched = pd.to_numeric(interactions.get("watch_ratio", absent)).astype("Float64")
    liked = interactions.get("liked", absent).astype("boolean")
    good = (watched >= threshold).fillna(False) | liked.fillna(False)
    return good.astype(bool).rename("positive")


def success(interactions: pd.DataFrame, threshold: float) -> str:
    """What `positives` takes for an exposure that ended well, in words.

    Examples
    --------
    >>> success(pd.DataFrame({"user_id": ["u"], "video_id": ["a"]}), threshold=0.8)
    'every exposure, since no signal says how it ended'
    """
    available = signals(interactions)
    if {"watch_ratio", "liked"} & set(available):
        return f"watch ratio >= {threshold:g} or liked"
    if available:
        return "shared or commented on"
    return "every exposure, since no signal says how it ended"


@dataclass(frozen=True, eq=False)
class Task:
    """The questions of one evaluation, the same for every recommender; see `prepare`.

    Attributes
    ----------
    users, videos : Index of str
        Users with a relevant candidate, and the catalogue.
    seen, relevant : csr_array, shape (n_users, n_videos)
        Masked videos (number of events) and relevant ones (ones) of each of these users.
    exposures, audience : ndarray, shape (n_videos,)
        Known events of each video, and known users who were shown it.
    n_crowd : int
        Number of known users, evaluated or not.
    protocol : Protocol
    """

    users: pd.Index
    videos: pd.Index
    seen: sparse.csr_array
    relevant: sparse.csr_array
    exposures: np.ndarray
    audience: np.ndarray
    n_crowd: int
    protocol: Protocol

    @property
    def n_relevant(self) -> np.ndarray:
        """Relevant videos of each user, int `(n_users,)`."""
        return np.diff(self.relevant.indptr)


def prepare(
    split: Split,
    k: int = 10,
    on: str = "test",
    threshold: float = 0.8,
    ties: str = "catalogue",
    seed: int = 0,
) -> Task:
    """Work out who is asked, what is masked and what is right; arguments as for `evaluate`.

    Raises
    ------
    ValueError
        If an option is impossible, the part or the training part is empty, the part has no signal
        while training has one, or no user in the part has a relevant candidate.
    """
    arguments.one_of(("test", "validation"), on=on)
    arguments.at_least(1, k=k)
    arguments.one_of(TIES, ties=ties)
    target = getattr(split, on)
    if not len(target):
        raise ValueError(f"The {on} part of the split {split.name!r} has no interactions.")
    if not len(split.train):
        raise ValueError(
            f"The training part of the split {split.name!r} has no interactions, so every "
            "recommender would answer in the order of the catalogue. "
            "preprocessing.check_split says what is wrong with a split."
        )
    _require_one_kind_of_signal(split, on)
    known = split.train
    if on == "test" and len(split.validation):
        known = pd.concat([known, split.validation], ignore_index=True)
    videos = as_ids(split.videos.index)
    asked = as_ids(target["user_id"]).unique().sort_values()  # users who could be evaluated
    # Masks: what each of them was shown before the evaluated part.
    seen = interaction_matrix(known[as_ids(known["user_id"]).isin(asked)], 1, asked, videos)
    # Popularity of the videos among everybody who is known.
    crowd = as_ids(known["user_id"]).unique()
    shows = interaction_matrix(known, 1, crowd, videos)
    # Relevance: what ended well in the evaluated part, and is new to the user.
    good = target[ended_well(target, threshold).to_numpy()]
    relevant = _without(interaction_matrix(good, 1, asked, videos), seen)
    kept = np.flatnonzero(np.diff(relevant.indptr))
    if not len(kept):
        raise ValueError(
            f"No user of the {on} part has a relevant video that is new to them: nothing to "
            "measure. Check the split, the threshold, and that train does not hold the test."
        )
    users, seen, relevant = asked[kept], seen[kept], relevant[kept]
    before = "train" if on == "validation" else "train and validation"
    return Task(
        users=users,
        videos=videos,
        seen=seen,
        relevant=relevant,
        exposures=np.asarray(shows.sum(axis=0)).ravel(),
        audience=np.bincount(shows.indices, minlength=len(videos)),
        n_crowd=len(crowd),
        protocol=Protocol(
            split=split.name,
            part=on,
            k=k,
            n_videos=len(videos),
            masked=f"those shown to the user in {before}",
            relevant=success(target, threshold),
            ties=TIES[ties].format(seed=seed),
            n_users=len(users),
            n_left_out=len(asked) - len(users),
            **fingerprints(users, videos, relevant, seen),
        ),
    )


def _require_one_kind_of_signal(split: Split, on: str) -> None:
    """Refuse a part that has no signal where the rest of the log has one."""
    known = signals(split.train)
    if known and not signals(getattr(split, on)):
        raise ValueError(
            f"The exposures of the {on} part have neither watch_ratio nor liked, shared or "
            f"comment, though those of the training part have {known[0]}, so nothing tells a good "
            "recommendation from a bad one."
        )


def _without(a: sparse.csr_array, b: sparse.csr_array) -> sparse.csr_array:
    """Entries of `a` where `b` has none, as ones."""
    left = sparse.csr_array((a > 0).astype(np.int8) - (a > 0).multiply(b > 0).astype(np.int8))
    left.eliminate_zeros()
    return left
