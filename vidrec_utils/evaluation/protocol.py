"""The protocol under which a number was measured: everything that it depends on.

The same ranking has an NDCG@10 of .29 or .45 by the choice of the ideal, and two papers' recall may
differ in the denominator alone. So a number without its protocol says nothing, and two numbers
under different protocols cannot be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

IDEALS = {
    "min(n, k)": "NDCG and MAP over min(n, k)",
    "n": "NDCG and MAP over all relevant",
    "k": "NDCG and MAP over k, however few are relevant",
}
"""What NDCG and MAP are divided by: the best list that k positions can hold, the best list of any
length, or k hits, which nobody with fewer relevant videos can reach."""

RECALLS = {"n": "recall over all relevant", "min(n, k)": "recall over min(n, k)"}
"""What recall divides the hits by."""

TIES = {
    "catalogue": "in catalogue order",
    "shuffled": "in one random order for all (seed {seed})",
    "mid-rank": "averaged over all their orders",
}
"""In which order equal scores are ranked; `evaluation.ties` has the formulas of the last."""


class ProtocolMismatch(ValueError):
    """Two results were measured under different protocols; `.differences` lists in what."""

    def __init__(self, message: str, differences: list[str]) -> None:
        super().__init__(message)
        self.differences = differences

    def __reduce__(self) -> tuple:
        """Pickle with both arguments."""
        return type(self), (str(self), self.differences)


LABELS = {
    "split": "split",
    "part": "evaluated part",
    "k": "length of the lists, k",
    "n_videos": "size of the catalogue",
    "masked": "what is masked",
    "relevant": "what counts as relevant",
    "label": "label",
    "candidates": "which videos could have been shown",
    "ideal": "ideal",
    "recall": "denominator of recall",
    "ties": "order of ties",
    "n_users": "number of users",
    "n_left_out": "number of users left out",
    "users": "users (hash of their ids)",
    "catalogue": "catalogue (hash of its ids)",
    "positives": "relevant videos of the users (hash)",
    "history": "videos masked for the users (hash)",
    "pool": "candidates of the users (hash)",
}
"""Names of the fields of a protocol in a message."""


@dataclass(frozen=True)
class Protocol:
    """Everything that the metrics of one evaluation depend on, apart from the recommender.

    Two protocols are equal if all fields are; `differences` names those that are not.

    Attributes
    ----------
    split, part : str
        Name of the split, and `"test"` or `"validation"`.
    k : int
        Nominal length of the lists.
    n_videos : int
        Size of the catalogue; all of it that could have been shown is ranked, nothing is sampled.
    masked : str
        The videos that are no candidates for a user since they were seen before, in words.
    relevant : str
        What counts as relevant, in words, with what the label learned from the training part.
    label : str
        Name of the label that judges the lists (see `events.labels`). With which weights, or by
        which label, a recommender was trained is no part of the protocol.
    ideal, recall, ties : str
        What NDCG and MAP are divided by, what recall is divided by, and in which order equal scores
        are ranked.
    candidates : str
        Which videos could have been shown, in words: those online by then, where this is known.
    n_users, n_left_out : int
        Users measured, and users of the part who have no relevant candidate.
    users, catalogue, positives, history, pool : str
        Hashes of the users' ids, the videos' ids (in order), the relevant pairs, the masked pairs
        and the candidates of all users: two splits of one name need not be the same.
    """

    split: str
    part: str
    k: int
    n_videos: int
    masked: str
    relevant: str
    label: str = ""
    candidates: str = ""
    ideal: str = IDEALS["min(n, k)"]
    recall: str = RECALLS["n"]
    ties: str = TIES["catalogue"]
    n_users: int = 0
    n_left_out: int = 0
    users: str = ""
    catalogue: str = ""
    positives: str = ""
    history: str = ""
    pool: str = ""

    def differences(self, other: Protocol) -> list[str]:
        """Name each field in which another protocol differs, with both values."""
        return [
            f"{label}: {getattr(self, name)!r} against {getattr(other, name)!r}"
            for name, label in LABELS.items()
            if getattr(self, name) != getattr(other, name)
        ]

    def require_equal(self, other: Protocol, one: str = "one", another: str = "another") -> None:
        """Refuse to go on where two protocols differ.

        Raises
        ------
        ProtocolMismatch
            If they do; the message names what differs, not only that something does.
        """
        differences = self.differences(other)
        if differences:
            lines = "\n".join(f"  {line}" for line in differences)
            raise ProtocolMismatch(
                f"The results of {one!r} and {another!r} are not comparable, since they were "
                f"measured under different protocols. They differ in\n{lines}\n"
                "Evaluate both with the same split and the same options.",
                differences,
            )

    @property
    def digest(self) -> str:
        """One hash of everything; equal protocols have equal digests."""
        return hash_ids([repr(getattr(self, name)) for name in LABELS])

    def __str__(self) -> str:
        total = self.n_users + self.n_left_out
        which = f" ({self.candidates})" if self.candidates else ""
        named = f" by the label {self.label}" if self.label not in ("", "ratio") else ""
        return (
            f"split {self.split!r}, {self.part}; k = {self.k}; candidates: all {self.n_videos} "
            f"videos{which} minus {self.masked}; relevant{named}: {self.relevant}; {self.recall}, "
            f"{self.ideal}; ties {self.ties}; {self.n_users} of {total} users, {self.n_left_out} "
            "without a relevant candidate left out"
        )


def hash_ids(texts: Iterable[str]) -> str:
    """Hash of ids, in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(str(text).encode() + b"\0")
    return digest.hexdigest()[:16]


def hash_pairs(matrix: sparse.csr_array) -> str:
    """Hash of where a matrix has entries, whatever their values."""
    matrix.sort_indices()
    digest = hashlib.sha256(matrix.indptr.astype("<i8").tobytes())
    digest.update(matrix.indices.astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def hash_blocks(blocks: Iterable[np.ndarray]) -> str:
    """Hash of a boolean matrix that comes in blocks of rows, whatever the size of the blocks."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(np.packbits(block, axis=1).tobytes())
    return digest.hexdigest()[:16]
