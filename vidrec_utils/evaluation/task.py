"""The questions of an evaluation: which users, which candidates, and which are relevant."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils import arguments
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation.protocol import (
    IDEALS,
    RECALLS,
    TIES,
    Protocol,
    hash_blocks,
    hash_ids,
    hash_pairs,
)
from vidrec_utils.events import (
    Label,
    LabelRule,
    as_ids,
    fit_label,
    interaction_matrix,
    published_by,
    signals,
    times_of,
)
from vidrec_utils.recommender import blocks


@dataclass(frozen=True, eq=False)
class Task:
    """The questions of one evaluation, the same for every recommender; see `prepare`.

    Attributes
    ----------
    users, videos : Index of str
        Users with a relevant candidate, and the catalogue.
    seen, known, shown, relevant : csr_array, shape (n_users, n_videos)
        Numbers of events of each of these users and each video: those that mask the video, those
        before the evaluated part, those in it; and ones at the relevant videos.
    unjudged : csr_array, shape (n_users, n_videos)
        Entries at the videos that were shown in the evaluated part, and that the label can call
        neither relevant nor irrelevant (NA): they are no candidates.
    until : Series of times, length n_users
        Each user's last event in the evaluated part; NaT where unknown.
    catalogue : DataFrame
        The videos of the split; `published_at` says when they went online.
    exposures, audience : ndarray, shape (n_videos,)
        Known events of each video, and known users who were shown it.
    n_crowd : int
        Number of known users, evaluated or not.
    rule : LabelRule
        What counts as a success, fitted to the training part.
    protocol : Protocol
    """

    users: pd.Index
    videos: pd.Index
    seen: sparse.csr_array
    known: sparse.csr_array
    shown: sparse.csr_array
    relevant: sparse.csr_array
    unjudged: sparse.csr_array
    until: pd.Series
    catalogue: pd.DataFrame
    exposures: np.ndarray
    audience: np.ndarray
    n_crowd: int
    rule: LabelRule
    protocol: Protocol

    @property
    def n_relevant(self) -> np.ndarray:
        """Relevant videos of each user, int `(n_users,)`."""
        return np.diff(self.relevant.indptr)

    def candidates(self, users: slice | np.ndarray) -> np.ndarray:
        """Videos that could have been recommended to users, bool `(users, n_videos)`.

        A candidate was published by the user's last event in the evaluated part, and the user had
        not seen it before. What a user was shown in the part was evidently online, whatever a wrong
        clock says. A video that the label cannot judge is none: listed, it would count as a miss,
        and so as irrelevant.

        Parameters
        ----------
        users : slice or ndarray of int
            Some of the users; all at once could fill the memory.
        """
        online = published_by(self.catalogue, self.until.iloc[users])  # (users, n_videos)
        online[self.shown[users].nonzero()] = True
        online[self.seen[users].nonzero()] = False
        online[self.unjudged[users].nonzero()] = False
        return online

    def hidden(self) -> sparse.csr_array:
        """Ones where a video is no candidate for a user, `(n_users, n_videos)`."""
        rows = [
            sparse.csr_array(~self.candidates(block))
            for block in blocks(len(self.users), len(self.videos))
        ]
        return sparse.csr_array(sparse.vstack(rows))


def prepare(
    split: Split,
    k: int = 10,
    on: str = "validation",
    threshold: float | None = None,
    ties: str = "catalogue",
    seed: int = 0,
    *,
    label: Label = None,
    ideal: str = "min(n, k)",
    recall: str = "n",
    masked: str | pd.DataFrame = "known",
) -> Task:
    """Work out who is asked, what the candidates are, and what is right; see `evaluate`.

    The label's rule is fitted to the training part, for the test as for validation: a choice on
    validation and its test then mean the same by a success, and neither part tells what it is
    judged by.

    Raises
    ------
    ValueError
        If an option is impossible, the training part lacks what the label compares, the part or
        the training part is empty, the part has no signal while training has one, or no user in the
        part has a relevant candidate.
    """
    arguments.one_of(("test", "validation"), on=on)
    arguments.at_least(1, k=k)
    arguments.one_of(TIES, ties=ties)
    arguments.one_of(IDEALS, ideal=ideal)
    arguments.one_of(RECALLS, recall=recall)
    _require_events(split, on)
    _require_one_kind_of_signal(split, on)
    target, known_log = getattr(split, on), split.known(on)
    rule = fit_label(split.train, split.videos, label, threshold=threshold)
    masking_log, masked_in = _masking_log(split, on, masked)
    videos = as_ids(split.videos.index)
    asked = as_ids(target["user_id"]).unique().sort_values()  # users who could be evaluated

    def counted(log: pd.DataFrame) -> sparse.csr_array:
        """Events of the asked users, (asked, n_videos)."""
        return interaction_matrix(log[as_ids(log["user_id"]).isin(asked)], 1, asked, videos)

    seen = counted(masking_log)
    # Popularity of the videos among everybody who is known.
    crowd = as_ids(known_log["user_id"]).unique()
    shows = interaction_matrix(known_log, 1, crowd, videos)
    # Relevance: what ended well in the evaluated part, and is new to the user.
    positive = rule.positives(target)
    good = target[positive.fillna(False).to_numpy(dtype=bool)]
    relevant = _without(counted(good), seen)
    # An exposure that the label cannot judge counts neither way, unless another one was good.
    unjudged = _without(counted(target[positive.isna().to_numpy()]), relevant)
    kept = np.flatnonzero(np.diff(relevant.indptr))
    if not len(kept):
        raise ValueError(
            f"No user of the {on} part has a relevant video that is new to them: nothing to "
            "measure. Check the split, the label, and that train does not hold the test."
        )
    task = Task(
        users=asked[kept],
        videos=videos,
        seen=seen[kept],
        known=counted(known_log)[kept],
        shown=counted(target)[kept],
        relevant=relevant[kept],
        unjudged=unjudged[kept],
        until=_last_events(split, on).reindex(asked[kept]),
        catalogue=split.videos,
        exposures=np.asarray(shows.sum(axis=0)).ravel(),
        audience=np.bincount(shows.indices, minlength=len(videos)),
        n_crowd=len(crowd),
        rule=rule,
        protocol=Protocol(
            split=split.name,
            part=on,
            k=k,
            n_videos=len(videos),
            masked=f"those shown to the user in {masked_in}",
            relevant=rule.describe(target),
            label=rule.label,
            ideal=IDEALS[ideal],
            recall=RECALLS[recall],
            ties=TIES[ties].format(seed=seed),
            n_users=len(kept),
            n_left_out=len(asked) - len(kept),
        ),
    )
    return replace(task, protocol=_with_fingerprints(task, on))


def _with_fingerprints(task: Task, on: str) -> Protocol:
    """The protocol, with what the name of a split leaves open: the candidates, and hashes."""
    candidates = (task.candidates(block) for block in blocks(len(task.users), len(task.videos)))
    return replace(
        task.protocol,
        candidates=_which_were_online(task, on),
        users=hash_ids(task.users),
        catalogue=hash_ids(task.videos),
        positives=hash_pairs(task.relevant),
        history=hash_pairs(task.seen),
        pool=hash_blocks(candidates),
    )


def _which_were_online(task: Task, on: str) -> str:
    """Which videos of the catalogue could have been shown, in words."""
    if not _knows_publication(task.catalogue):
        return "no times of publication are known"
    if task.until.isna().all():
        return f"the {on} has no times, so those of publication say nothing"
    published = pd.to_datetime(task.catalogue["published_at"], utc=True).array
    words = f"if published by the user's last event in the {on}"
    unknown = int(published.isna().sum())
    if unknown:
        words += f"; {unknown} without a time of publication count as published"
    users, videos = task.shown.nonzero()
    early = published[videos] > task.until.array[users]
    if early.any():
        n = len(np.unique(videos[early]))
        words += f"; {n} that were shown before their time of publication are kept"
    return words


def _knows_publication(videos: pd.DataFrame) -> bool:
    """Whether the catalogue says of any video when it was published."""
    return "published_at" in videos and bool(videos["published_at"].notna().any())


def _last_events(split: Split, on: str) -> pd.Series:
    """Time of each user's last event in a part, in UTC; NaT where it is unknown, or not needed."""
    target = getattr(split, on)
    users = as_ids(target["user_id"])
    timed = "timestamp" in target and target["timestamp"].notna().any()
    if not timed or not _knows_publication(split.videos):
        return pd.Series(pd.NaT, index=users.unique(), dtype="datetime64[ns, UTC]")
    times = times_of(target, "so nothing shows which videos were online")
    return pd.Series(times.array, index=users).groupby(level=0).max()


def _masking_log(split: Split, on: str, masked: str | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The events whose videos are no candidates for their users, and the words for them."""
    if isinstance(masked, pd.DataFrame):
        return masked, "a log of its own"
    arguments.one_of(("known", "train"), masked=masked)
    if masked == "train" or on == "validation":
        return split.train, "train"
    return split.known(on), "train and validation"


def _require_events(split: Split, on: str) -> None:
    """Refuse a split whose part, or training part, is empty."""
    if not len(getattr(split, on)):
        other = "test" if on == "validation" else "validation"
        hint = f' Say on="{other}" to measure on its {other}.' if len(getattr(split, other)) else ""
        raise ValueError(f"The {on} part of the split {split.name!r} has no interactions.{hint}")
    if not len(split.train):
        raise ValueError(
            f"The training part of the split {split.name!r} has no interactions, so every "
            "recommender would answer in the order of the catalogue. "
            "preprocessing.check_split says what is wrong with a split."
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
