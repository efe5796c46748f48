"""The protocol under which a number was measured: everything that it depends on.

The same ranking has an NDCG@10 of .29 or .45 by the choice of the ideal, and two papers' recall may
differ in the denominator alone. So a number without its protocol says nothing, and two numbers
under different protocols cannot be compared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pandas as pd
from scipy import sparse

IDEAL = "recall over all relevant, NDCG and MAP over min(n, k)"
TIES = {"catalogue": "in catalogue order", "shuffled": "in one random order for all (seed {seed})"}


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
    "n_videos": "number of candidates",
    "masked": "what is masked",
    "relevant": "what counts as relevant",
    "ideal": "ideal",
    "ties": "order of ties",
    "n_users": "number of users",
    "n_left_out": "number of users left out",
    "users": "users (hash of their ids)",
    "catalogue": "catalogue (hash of its ids)",
    "positives": "relevant videos of the users (hash)",
    "history": "videos masked for the users (hash)",
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
        Size of the catalogue, all of which is ranked: no candidates are sampled.
    masked : str
        The videos that are no candidates for a user, in words.
    relevant, ideal, ties : str
        What counts as relevant, which ideal the normalised metrics divide by, and in which order
        equal scores are ranked.
    n_users, n_left_out : int
        Users measured, and users of the part who have no relevant candidate.
    users, catalogue, positives, history : str
        Hashes of the users' ids, the videos' ids (in order), the relevant pairs and the masked
        pairs: two splits of one name need not be the same.
    """

    split: str
    part: str
    k: int
    n_videos: int
    masked: str
    relevant: str
    ideal: str = IDEAL
    ties: str = TIES["catalogue"]
    n_users: int = 0
    n_left_out: int = 0
    users: str = ""
    catalogue: str = ""
    positives: str = ""
    history: str = ""

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
        return _hash([repr(getattr(self, name)) for name in LABELS])

    def __str__(self) -> str:
        total = self.n_users + self.n_left_out
        return (
            f"split {self.split!r}, {self.part}; k = {self.k}; candidates: all {self.n_videos} "
            f"videos minus {self.masked}; relevant: {self.relevant}; {self.ideal}; ties "
            f"{self.ties}; {self.n_users} of {total} users, {self.n_left_out} without a relevant "
            "candidate left out"
        )


def fingerprints(
    users: pd.Index, videos: pd.Index, relevant: sparse.csr_array, seen: sparse.csr_array
) -> dict[str, str]:
    """Hashes of the four things that the name of a split leaves open, as fields of `Protocol`."""
    return {
        "users": _hash(users),
        "catalogue": _hash(videos),
        "positives": _hash_pairs(relevant),
        "history": _hash_pairs(seen),
    }


def _hash(texts: pd.Index | list[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(str(text).encode() + b"\0")
    return digest.hexdigest()[:16]


def _hash_pairs(matrix: sparse.csr_array) -> str:
    """Hash of where a matrix has entries, whatever their values."""
    matrix.sort_indices()
    digest = hashlib.sha256(matrix.indptr.astype("<i8").tobytes())
    digest.update(matrix.indices.astype("<i8").tobytes())
    return digest.hexdigest()[:16]
