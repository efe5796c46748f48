"""The questions of an evaluation: which users, which candidates, and which are relevant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation.protocol import TIES, Protocol, fingerprints
from vidrec_utils.recommender import as_ids, interaction_matrix


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

    Examples
    --------
    >>> views = pd.DataFrame({"watch_ratio": [0.9, 0.2, 0.2], "liked": [None, True, False]})
    >>> positives(views).tolist()
    [True, True, False]
    """
    absent = pd.Series(np.nan, index=interactions.index)
    watched = pd.to_numeric(interactions.get("watch_ratio", absent)).astype("Float64")
    liked = interactions.get("liked", absent).astype("boolean")
    if len(interactions) and watched.isna().all() and liked.isna().all():
        raise ValueError(
            "These interactions have neither watch_ratio nor liked, so nothing tells a good "
            "recommendation from a bad one. Add one of the two columns."
        )
    good = (watched >= threshold).fillna(False) | liked.fillna(False)
    return good.astype(bool).rename("positive")


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
        If an option is impossible, the part is empty, or no user in it has a relevant candidate.
    """
    arguments.one_of(("test", "validation"), on=on)
    arguments.at_least(1, k=k)
    arguments.one_of(TIES, ties=ties)
    target = getattr(split, on)
    if not len(target):
        raise ValueError(f"The {on} part of the split {split.name!r} has no interactions.")
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
    good = target[positives(target, threshold).to_numpy()]
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
            relevant=f"watch ratio >= {threshold:g} or liked",
            ties=TIES[ties].format(seed=seed),
            n_users=len(users),
            n_left_out=len(asked) - len(users),
            **fingerprints(users, videos, relevant, seen),
        ),
    )


def _without(a: sparse.csr_array, b: sparse.csr_array) -> sparse.csr_array:
    """Entries of `a` where `b` has none, as ones."""
    left = sparse.csr_array((a > 0).astype(np.int8) - (a > 0).multiply(b > 0).astype(np.int8))
    left.eliminate_zeros()
    return left
