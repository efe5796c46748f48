"""What a head predicts: one class, several tags, or a number; with its loss and its score."""

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
    """A kind of label: targets and loss for training, predictions and a score afterwards.

    Attributes
    ----------
    kind : str
        One of `TASKS`.
    outputs : int
        Number of outputs of the head for an example.
    classes : list
        Classes or tags, in the order of the outputs; empty for numbers.
    """

    kind: ClassVar[str]
    outputs: int
    classes: list

    @abstractmethod
    def targets(self, labels: Iterable) -> torch.Tensor:
        """Labels as tensors that the loss takes, one row for each example."""

    @abstractmethod
    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        """Loss of each example, `(n,)`."""

    @abstractmethod
    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits as probabilities, or as numbers in the units of the labels."""

    @abstractmethod
    def predict(self, probabilities: np.ndarray) -> np.ndarray | list:
        """The labels that probabilities amount to."""

    @abstractmethod
    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """Quality of the predictions: the larger, the better."""

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """What `restore` needs, in a form that JSON can represent."""


class ClassTask(Task):
    """One output for each class or tag.

    Parameters
    ----------
    classes : sequence
        All classes or tags, in the order of the outputs.
    """

    def __init__(self, classes: Sequence):
        self.classes = list(classes)
        self.outputs = len(self.classes)
        self.positions = {name: index for index, name in enumerate(self.classes)}

    def metadata(self) -> dict[str, Any]:
        """The classes."""
        return {"kind": self.kind, "classes": [_plain(name) for name in self.classes]}


class SingleLabel(ClassTask):
    """Each example has exactly one class. Cross-entropy; the score is accuracy.

    Examples
    --------
    >>> task = SingleLabel(["cat", "dog"])
    >>> task.targets(["dog", "cat", "dog"]).tolist()
    [1, 0, 1]
    """

    kind = "single"

    def targets(self, labels: Iterable) -> torch.Tensor:
        """Index of each label among the classes, int64 `(n,)`."""
        values = _values(labels)
        for row, label in enumerate(values):
            if label not in self.positions:
                raise ValueError(
                    f"Example {row} is of class {label!r}, which training does not know: its "
                    f"classes are {_listed(self.classes)}. Give all of them as classes=[...], or "
                    "leave the example out."
                )
        return torch.tensor([self.positions[label] for label in values], dtype=torch.int64)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        """Cross-entropy; with smoothing, a share of each target is spread over all classes."""
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Softmax, `(n, classes)`."""
        return logits.softmax(dim=1)

    def predict(self, probabilities: np.ndarray) -> np.ndarray:
        """The most probable class of each example."""
        return np.asarray(self.classes)[probabilities.argmax(axis=1)]

    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """Accuracy."""
        return float((logits.argmax(dim=1) == targets).double().mean())


class MultiLabel(ClassTask):
    """Each example has any number of tags. Binary cross-entropy; the score is micro F1."""

    kind = "multi"

    def targets(self, labels: Iterable) -> torch.Tensor:
        """1 for each tag of each example, float32 `(n, tags)`."""
        rows = tag_sets(labels)
        out = torch.zeros(len(rows), self.outputs)
        for row, tags in enumerate(rows):
            strange = [tag for tag in tags if tag not in self.positions]
            if strange:
                raise ValueError(
                    f"Example {row} has the tag {strange[0]!r}, which training does not know: its "
                    f"tags are {_listed(self.classes)}. Give all of them as classes=[...]."
                )
            out[row, [self.positions[tag] for tag in tags]] = 1
        return out

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        """Mean over the tags; with smoothing, targets move towards one half."""
        soft = targets * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, soft, reduction="none").mean(dim=1)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Sigmoid of each tag by itself, `(n, tags)`."""
        return logits.sigmoid()

    def predict(self, probabilities: np.ndarray) -> list[tuple[str, ...]]:
        """All tags with a probability above one half."""
        return [tuple(np.asarray(self.classes)[row > 0.5].tolist()) for row in probabilities]

    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """F1 over all pairs of example and tag; 1 if no tag is true and none is predicted."""
        predicted = logits > 0
        right = float((predicted & (targets > 0.5)).sum())
        total = float(predicted.sum() + targets.sum())
        return 2 * right / total if total else 1.0


class Regression(Task):
    """Each example has a number. Squared error, in standard deviations; the score is R squared.

    Parameters
    ----------
    mean, scale : float
        Mean and standard deviation of the training labels.
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
        """Numbers in the labels' own units, `(n, 1)`."""
        return logits * self.scale + self.mean

    def predict(self, probabilities: np.ndarray) -> np.ndarray:
        """Numbers `(n,)`."""
        return probabilities[:, 0]

    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """R squared, the share of variance explained; below 0: worse than predicting the mean."""
        residual = (logits[:, 0] - targets).square().sum()
        total = (targets - targets.mean()).square().sum()
        return float(1 - residual / total) if total > 0 else float("nan")

    def metadata(self) -> dict[str, Any]:
        """Mean and scale."""
        return {"kind": self.kind, "mean": self.mean, "scale": self.scale}


def task_for(labels: Iterable, kind: str = "auto", classes: Sequence | None = None) -> Task:
    """Make the task that fits the training labels.

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

    Examples
    --------
    >>> task = task_for(["calm", "wild", "calm"])
    >>> task.classes
    ['calm', 'wild']
    >>> task.targets(["wild", "calm"]).tolist()
    [1, 0]
    >>> task_for([("red", "fast"), ("red",)]).kind
    'multi'
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
        tags = sorted({tag for example in tag_sets(values) for tag in example})
        if not tags:
            raise ValueError("No example has a tag, so there is nothing to learn.")
        return MultiLabel(_all_of(classes, tags, "tags"))
    names = sorted(set(_values(values)), key=lambda name: (str(type(name)), name))
    if len(names) < 2:
        raise ValueError(
            f"All {len(values)} labels are {names[0]!r}: with one class there is nothing to tell "
            "apart. Add examples of another class."
        )
    return SingleLabel(_all_of(classes, names, "classes"))


def restore(metadata: dict[str, Any]) -> Task:
    """Make a task from what `Task.metadata` returned."""
    kinds = {task.kind: task for task in (SingleLabel, MultiLabel, Regression)}
    return kinds[metadata["kind"]](**{k: v for k, v in metadata.items() if k != "kind"})


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
            raise ValueError(f"Example {len(out)} has {label!r}; tags are a tuple of str.")
    return out


def _kind_of(label: object) -> str:
    if isinstance(label, (tuple, list, set, frozenset)):
        return "multi"
    return "regression" if isinstance(label, (float, np.floating)) else "single"


def _refuse(bad: Iterable[bool], what: str) -> None:
    rows = np.flatnonzero(list(bad))
    if len(rows):
        raise ValueError(
            f"{len(rows)} labels are {what}, the first is example {rows[0]}; leave those examples "
            "out."
        )


def _values(labels: Iterable) -> list:
    values = list(labels)
    _refuse(map(pd.isna, values), "missing")
    return values


def _numbers(labels: Iterable) -> np.ndarray:
    values = np.asarray(list(labels), dtype=float)
    _refuse(~np.isfinite(values), "no finite numbers")
    return values


def _all_of(classes: Sequence | None, occurring: list, what: str) -> list:
    if classes is None:
        return occurring
    strange = [name for name in occurring if name not in list(classes)]
    if strange:
        raise ValueError(f"{strange[0]!r} occurs in training, but is not among the {what} given.")
    absent = [name for name in classes if name not in occurring]
    if absent:
        warnings.warn(
            f"No example in training has {_listed(absent)}: nothing teaches what they look like.",
            UserWarning,
            stacklevel=4,
        )
    return list(classes)


def _listed(names: Sequence, most: int = 8) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _plain(name: object) -> object:
    return name.item() if isinstance(name, np.generic) else name
