"""What a head is asked: one class, several tags, or a number; and how far off an answer is."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

TASKS = ("single", "multi", "regression")


class Task(ABC):
    """From labels to targets, from logits to a loss, and from logits to answers.

    Attributes
    ----------
    kind : str
        One of `TASKS`.
    outputs : int
        How many numbers the head gives for an example.
    """

    kind: ClassVar[str]
    outputs: int

    @abstractmethod
    def targets(self, labels: Iterable) -> torch.Tensor:
        """Labels as the loss wants them, one row an example."""

    @abstractmethod
    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        """Loss of each example, `(n,)`."""

    @abstractmethod
    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """What the logits say, in the units of the labels."""

    @abstractmethod
    def answer(self, said: np.ndarray) -> np.ndarray | list:
        """The answers that `probabilities` amount to."""

    @abstractmethod
    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """How good the answers are: the larger, the better."""

    @abstractmethod
    def told(self) -> dict[str, Any]:
        """What `restore` needs, as JSON can say it."""


class SingleLabel(Task):
    """Each example is of exactly one class. Cross-entropy; the score is accuracy.

    Parameters
    ----------
    classes : sequence
        All of them, in the order of the outputs.
    """

    kind = "single"

    def __init__(self, classes: Sequence):
        self.classes = list(classes)
        self.outputs = len(self.classes)

    def targets(self, labels: Iterable) -> torch.Tensor:
        """Place of each label among the classes, int64 `(n,)`."""
        places = {name: place for place, name in enumerate(self.classes)}
        found = []
        for row, label in enumerate(_values(labels)):
            if label not in places:
                raise ValueError(
                    f"Example {row} is of class {label!r}, which training does not know: its "
                    f"classes are {_some(self.classes)}. Give all of them as classes=[...], or "
                    "leave the example out."
                )
            found.append(places[label])
        return torch.tensor(found, dtype=torch.int64)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        """Cross-entropy; with smoothing, part of the target lies evenly on all classes."""
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Softmax, `(n, classes)`."""
        return logits.softmax(dim=1)

    def answer(self, said: np.ndarray) -> np.ndarray:
        """The likeliest class of each example."""
        return np.asarray(self.classes)[said.argmax(axis=1)]

    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """Accuracy."""
        return float((logits.argmax(dim=1) == targets).double().mean())

    def told(self) -> dict[str, Any]:
        """The classes."""
        return {"kind": self.kind, "classes": [_plain(name) for name in self.classes]}


class MultiLabel(Task):
    """Each example has any number of tags. Binary cross-entropy; the score is micro F1.

    Parameters
    ----------
    classes : sequence of str
        All tags, in the order of the outputs.
    """

    kind = "multi"

    def __init__(self, classes: Sequence[str]):
        self.classes = list(classes)
        self.outputs = len(self.classes)

    def targets(self, labels: Iterable) -> torch.Tensor:
        """1 for each tag of each example, float32 `(n, tags)`."""
        places = {name: place for place, name in enumerate(self.classes)}
        rows = tag_sets(labels)
        out = torch.zeros(len(rows), self.outputs)
        for row, tags in enumerate(rows):
            strange = [tag for tag in tags if tag not in places]
            if strange:
                raise ValueError(
                    f"Example {row} has the tag {strange[0]!r}, which training does not know: its "
                    f"tags are {_some(self.classes)}. Give all of them as classes=[...]."
                )
            out[row, [places[tag] for tag in tags]] = 1
        return out

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        """Mean over the tags; with smoothing, targets move towards one half."""
        soft = targets * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, soft, reduction="none").mean(dim=1)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Of each tag by itself, `(n, tags)`."""
        return logits.sigmoid()

    def answer(self, said: np.ndarray) -> list[tuple[str, ...]]:
        """All tags that are likelier than not."""
        return [tuple(np.asarray(self.classes)[row > 0.5].tolist()) for row in said]

    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """F1 over all pairs of example and tag; 1 where there is nothing to find nor to say."""
        said = logits > 0
        right = float((said & (targets > 0.5)).sum())
        total = float(said.sum() + targets.sum())
        return 2 * right / total if total else 1.0

    def told(self) -> dict[str, Any]:
        """The tags."""
        return {"kind": self.kind, "classes": [_plain(name) for name in self.classes]}


class Regression(Task):
    """Each example has a number. Squared error, in standard deviations; the score is R squared.

    Parameters
    ----------
    mean, scale : float
        Of the training labels.
    """

    kind = "regression"
    outputs = 1

    def __init__(self, mean: float, scale: float):
        self.mean, self.scale = float(mean), float(scale)
        self.classes: list = []

    def targets(self, labels: Iterable) -> torch.Tensor:
        """Standardised, float32 `(n,)`."""
        values = _numbers(labels)
        return torch.tensor((values - self.mean) / self.scale, dtype=torch.float32)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        """Squared error; there is nothing to smooth."""
        return (logits[:, 0] - targets).square()

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """In the labels' own units, `(n, 1)`."""
        return logits * self.scale + self.mean

    def answer(self, said: np.ndarray) -> np.ndarray:
        """`(n,)`."""
        return said[:, 0]

    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """Share of the variance that is explained; below 0: worse than their mean."""
        left = (logits[:, 0] - targets).square().sum()
        there = (targets - targets.mean()).square().sum()
        return float(1 - left / there) if there > 0 else float("nan")

    def told(self) -> dict[str, Any]:
        """Mean and scale."""
        return {"kind": self.kind, "mean": self.mean, "scale": self.scale}


def task_for(labels: Iterable, kind: str = "auto", classes: Sequence | None = None) -> Task:
    """Make the task that training labels ask for.

    Parameters
    ----------
    labels : iterable, n
        Classes; tags (tuples, lists, sets, or strings joined by `|` where `kind` is "multi"); or
        numbers.
    kind : {"auto", "single", "multi", "regression"}
        `"auto"`: collections are tags, floats are numbers, everything else is a class.
    classes : sequence, optional
        All classes or tags, where training may lack some; by default those that occur, sorted. A
        class that training lacks gets an output which nothing taught, and a warning.

    Raises
    ------
    ValueError
        If there are no labels, one is missing, only one class occurs, or all numbers are equal.
    """
    values = list(labels)
    if not values:
        raise ValueError("There are no labels to learn from.")
    if kind == "auto":
        kind = _kind_of(values[0])
    if kind not in TASKS:
        raise ValueError(f"task is {kind!r}; choose from 'auto', {', '.join(map(repr, TASKS))}.")
    if kind == "regression":
        numbers = _numbers(values)
        if not numbers.std() > 0:
            raise ValueError(f"All labels are {numbers[0]:g}: there is nothing to learn.")
        return Regression(numbers.mean(), numbers.std())
    if kind == "multi":
        there = sorted({tag for tags in tag_sets(values) for tag in tags})
        if not there:
            raise ValueError("No example has a tag, so there is nothing to learn.")
        return MultiLabel(_all_of(classes, there, "tags"))
    there = sorted(set(_values(values)), key=lambda name: (str(type(name)), name))
    if len(there) < 2:
        raise ValueError(
            f"All {len(values)} labels are {there[0]!r}: with one class there is nothing to tell "
            "apart. Add examples of another class."
        )
    return SingleLabel(_all_of(classes, there, "classes"))


def restore(told: dict[str, Any]) -> Task:
    """Make a task from what `Task.told` said."""
    if told["kind"] == "regression":
        return Regression(told["mean"], told["scale"])
    return {"single": SingleLabel, "multi": MultiLabel}[told["kind"]](told["classes"])


def tag_sets(labels: Iterable) -> list[tuple[str, ...]]:
    """Tags of each example: collections as they are, strings split at `|`, NA is no tags."""
    out = []
    for label in labels:
        if isinstance(label, str):
            out.append(tuple(part for part in label.split("|") if part))
        elif isinstance(label, (tuple, list, set, frozenset)):
            out.append(tuple(label))
        elif pd.isna(label):
            out.append(())
        else:
            raise ValueError(f"Example {len(out)} has {label!r}; wanted are tags: a tuple of str.")
    return out


def _kind_of(label: object) -> str:
    if isinstance(label, (tuple, list, set, frozenset)):
        return "multi"
    return "regression" if isinstance(label, (float, np.floating)) else "single"


def _values(labels: Iterable) -> list:
    values = list(labels)
    lacking = [row for row, label in enumerate(values) if pd.isna(label)]
    if lacking:
        raise ValueError(
            f"{len(lacking)} labels are missing, the first is example {lacking[0]}; leave those "
            "examples out."
        )
    return values


def _numbers(labels: Iterable) -> np.ndarray:
    values = np.asarray(list(labels), dtype=float)
    strange = np.flatnonzero(~np.isfinite(values))
    if len(strange):
        raise ValueError(
            f"{len(strange)} labels are no finite numbers, the first is example {strange[0]}; "
            "leave those examples out."
        )
    return values


def _all_of(classes: Sequence | None, there: list, what: str) -> list:
    if classes is None:
        return there
    strange = [name for name in there if name not in list(classes)]
    if strange:
        raise ValueError(f"{strange[0]!r} occurs in training, but is not among the {what} given.")
    absent = [name for name in classes if name not in there]
    if absent:
        warnings.warn(
            f"No example in training has {_some(absent)}: nothing teaches what they look like.",
            UserWarning,
            stacklevel=4,
        )
    return list(classes)


def _some(names: Sequence, most: int = 8) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _plain(name: object) -> object:
    return name.item() if isinstance(name, np.generic) else name
