"""What is explained: one number that an encoder, and a linear head on its vector, give to an item.

A class of a linear probe, a class of the network's own classifier and the score of a content
recommender all have this form, `s = w . v + b`, with `v` the encoder's vector (for a recommender:
centred and scaled to length 1). So every method of this room explains a class and a recommendation
alike.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import nn

from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.content_based.vectors import aligned
from vidrec_utils.encoders import HasNetwork
from vidrec_utils.encoders.batch_norm import batch_norms, estimate_batch_norm
from vidrec_utils.encoders.protocol import Encoder, WeightsInfo
from vidrec_utils.encoders.runtime import AcceleratedEncoder
from vidrec_utils.explanations import NotExplainable
from vidrec_utils.top_k import position
from vidrec_utils.video_encoders import FrameAverage

Items: TypeAlias = "Sequence[np.ndarray] | Sequence[str] | np.ndarray"


class NoGradients(TypeError):
    """The encoder cannot say how its output changes with its input."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear function of a vector, `w . v + b`.

    Attributes
    ----------
    name : str
        What the number is, for titles.
    weight : ndarray of float64, shape (dim,)
        w.
    bias : float
        b.
    center : ndarray of float64, shape (dim,), optional
        If given, `(v - center) / |v - center|` takes the place of v.

    Examples
    --------
    >>> Head("sum", np.array([1.0, 1.0]), bias=0.5).of_vectors(np.array([[2.0, 3.0]])).tolist()
    [5.5]
    """

    name: str
    weight: np.ndarray
    bias: float = 0.0
    center: np.ndarray | None = None

    def of_tensors(self, vectors: torch.Tensor) -> torch.Tensor:
        """Scores `(n,)` of vectors `(n, dim)`, with gradients."""
        if self.center is not None:
            shifted = vectors - torch.as_tensor(self.center, dtype=vectors.dtype)
            vectors = shifted / shifted.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return (
            vectors @ torch.tensor(np.ascontiguousarray(self.weight), dtype=vectors.dtype)
            + self.bias
        )

    def of_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Scores `(n,)` of vectors `(n, dim)`, float64."""
        return self.of_tensors(torch.tensor(np.asarray(vectors), dtype=torch.float64)).numpy()


def class_head(
    vectors: pd.DataFrame | np.ndarray, labels: pd.Series, label: object, strength: float = 0.01
) -> Head:
    """Fit a linear probe, and take its logit of one class.

    Parameters
    ----------
    vectors : DataFrame or ndarray, shape (n, dim)
        Vectors of the training items, an array in the order of `labels`; rows with NaN are left
        out.
    labels : Series
        Their classes.
    label : object
        The class that is explained.
    strength : float
        Inverse of the L2 penalty, as in `linear_probe.linear_probe`: columns are standardised.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or no item of this one.

    Examples
    --------
    >>> vectors = np.array([[0.0, 1.0], [0.1, 0.0], [1.0, 1.0], [0.9, 0.0]])
    >>> head = class_head(vectors, pd.Series(["cat", "cat", "dog", "dog"]), "dog", strength=1)
    >>> head.of_vectors(vectors).round(1).tolist()
    [-1.1, -0.9, 1.1, 0.9]
    """
    if not isinstance(vectors, pd.DataFrame):
        vectors = pd.DataFrame(np.asarray(vectors), index=labels.index)
    vectors = vectors.loc[vectors.index.isin(labels.dropna().index)].dropna()
    known = labels.loc[vectors.index]
    classes = sorted(known.unique())
    if label not in classes or len(classes) < 2:
        raise ValueError(
            f"No class {label!r} can be told from others here: the items with a vector are of "
            f"{classes}."
        )
    scaler = StandardScaler().fit(vectors.to_numpy(dtype=np.float64))
    with threadpool_limits(1):
        model = LogisticRegression(C=strength, max_iter=1000).fit(
            scaler.transform(vectors.to_numpy(dtype=np.float64)), known.to_numpy()
        )
    if len(classes) == 2:  # one row of coefficients, of the second class
        sign = 1.0 if label == classes[1] else -1.0
        weight, bias = sign * model.coef_[0], sign * float(model.intercept_[0])
    else:
        row = list(model.classes_).index(label)
        weight, bias = model.coef_[row], float(model.intercept_[row])
    # w . (v - m) / s + b = (w / s) . v + b - (w / s) . m
    weight = weight / scaler.scale_
    return Head(str(label), weight, bias - float(weight @ scaler.mean_))


def classifier_head(encoder: Encoder, index: int, name: str = "") -> Head:
    """Take one class of the classifier that a network brings.

    Parameters
    ----------
    encoder : Encoder
        With a network that ends in a linear layer on its vector, such as EfficientNet-Lite0.
    index : int
        Number of the class.
    name : str
        Its name; default: its number.

    Raises
    ------
    ValueError
        If the network has no such layer or class.

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> encoder = image_encoders.load("efficientnet_lite0", size=32)
    >>> image = np.zeros((1, 32, 32, 3), np.uint8)
    >>> head = classifier_head(encoder, 5)
    >>> bool(np.isclose(head.of_vectors(encoder.encode(image)), encoder.classify(image)[0, 5]))
    True
    """
    net = getattr(encoder, "net", None)
    layers = [] if net is None else [m for m in net.modules() if isinstance(m, nn.Linear)]
    dim = getattr(encoder, "dim", None)
    if not layers or layers[-1].in_features != dim:
        raise ValueError(
            f"{encoder.name} has no linear classifier on its vector. Fit one with class_head."
        )
    if not 0 <= index < layers[-1].out_features:
        raise ValueError(f"{encoder.name} has the classes 0 to {layers[-1].out_features - 1}.")
    weight = layers[-1].weight[index].detach().cpu().numpy().astype(np.float64)
    bias = 0.0 if layers[-1].bias is None else float(layers[-1].bias[index].detach())
    return Head(name or f"class {index}", weight, bias)


def recommendation_head(model: ContentRecommender, user_id: str) -> Head:
    """Take the score that a content recommender gives a user's videos, as a function of a vector.

    Parameters
    ----------
    model : ContentRecommender
        Fitted on the vectors of the encoder that is explained.
    user_id : str
        Known, with a history that has vectors.

    Raises
    ------
    KeyError
        If the user is unknown.
    NotExplainable
        If the user has no profile, and gets what is popular.

    Examples
    --------
    >>> vectors = pd.DataFrame({"x": [1.0, 1, 0], "y": [0.0, 0, 1]}, index=list("abc"))
    >>> log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"], "watch_ratio": [1.0]})
    >>> class Library:
    ...     videos, interactions = pd.DataFrame(index=list("abc")), log
    >>> model = ContentRecommender(vectors).fit(Library())
    >>> head = recommendation_head(model, "ann")
    >>> bool(np.allclose(head.of_vectors(vectors.to_numpy()), model.score(["ann"])[0]))
    True
    """
    user = position(model.user_ids, user_id, "user")
    if not model.profiled[user]:
        raise NotExplainable(
            f"User {user_id!r} has watched nothing that has a vector, so the answer is what is "
            "popular, whatever a video shows."
        )
    vectors = aligned(model.vectors, model.video_ids)
    present = vectors[~model.missing]
    center = present.mean(axis=0, dtype=np.float64) if model.center else np.zeros(vectors.shape[1])
    profile = model.profiles[user].astype(np.float64)
    return Head(f"score for {user_id}", profile, 0.0, center)


class Target:
    """A number that is explained: an encoder with a head on its vector.

    Parameters
    ----------
    encoder : Encoder
        Trained or calibrated. Methods that only compare scores take any; those that need gradients
        want a PyTorch network.
    head : Head
        A head for vectors of the encoder's length.

    Raises
    ------
    ValueError
        If the dimensions differ.

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> encoder = image_encoders.load("efficientnet_lite0", size=32)
    >>> target = Target(encoder, classifier_head(encoder, 5))
    >>> image = np.zeros((1, 32, 32, 3), np.uint8)
    >>> bool(np.isclose(target.scores(image), encoder.classify(image)[0, 5]))
    True
    """

    def __init__(self, encoder: Encoder, head: Head):
        if len(head.weight) != encoder.dim:
            raise ValueError(
                f"The head {head.name!r} takes vectors of {len(head.weight)} numbers; those of "
                f"{encoder.name} have {encoder.dim}."
            )
        self.encoder, self.head = encoder, head

    @property
    def name(self) -> str:
        """What the number is."""
        return self.head.name

    @property
    def network(self) -> nn.Module:
        """The PyTorch network.

        Raises
        ------
        NoGradients
            If there is none, or it runs where no gradient can be computed.
        RuntimeError
            If its random weights were not calibrated.
        """
        encoder = self.encoder
        if isinstance(encoder, AcceleratedEncoder):
            raise NoGradients(
                f"{encoder.name} runs on {encoder.runtime}, which computes no gradients. Explain "
                "the original, `encoder.encoder`, or use occlusion, which needs scores only."
            )
        if not isinstance(encoder, HasNetwork):
            raise NoGradients(
                f"{encoder.name} has no PyTorch network, so there are no gradients. Use occlusion, "
                "which needs scores only."
            )
        if not encoder.calibrated:
            raise RuntimeError(f"{encoder.name} has random weights; call encoder.calibrate first.")
        return encoder.net

    @property
    def channel_axis(self) -> int:
        """Axis of the colours in prepared items: 2 where an image network sees frames, else 1."""
        return 2 if isinstance(self.encoder, FrameAverage) else 1

    def scores(self, items: Items) -> np.ndarray:
        """Scores of items as the encoder takes them, float64 `(n,)`; no gradients are needed."""
        return self.head.of_vectors(self.encoder.encode(items))

    def prepare(self, items: Items) -> torch.Tensor:
        """The network's input for items; see `encoders.NetworkEncoder.prepare`."""
        self.network  # noqa: B018  # raises where there is none
        return self.encoder.network_inputs(items)[0]

    def __call__(self, prepared: torch.Tensor) -> torch.Tensor:
        """Scores `(n,)` of prepared items, with gradients."""
        vectors = self.encoder.network_vectors(self.network, prepared.to(self.encoder.device))
        return self.head.of_tensors(vectors)

    def with_head(self, head: Head) -> Target:
        """The same encoder under another head."""
        return Target(self.encoder, head)

    def gradient(self, prepared: torch.Tensor) -> torch.Tensor:
        """Gradient of each item's score with respect to its prepared input, of the same shape."""
        x = prepared.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self(x).sum(), x)
        return gradient


def randomized(target: Target, items: Items, seed: int = 0, batch_size: int = 4) -> Target:
    """Copy a target with the weights of its network and head shuffled: it has learned nothing.

    Every weight tensor keeps its values and loses their order, so that its scale stays the same.
    Batch-norm statistics are estimated anew; without that, activations fade and the maps would be
    those of a broken network, not of an untrained one.

    Parameters
    ----------
    target : Target
        With a PyTorch network. Not changed.
    items : sequence
        Two items or more, from which batch-norm statistics are estimated.
    seed : int
        The orders are drawn with this seed.
    batch_size : int
        Items at once.

    References
    ----------
    Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: Sanity Checks for Saliency Maps. NeurIPS 2018
    (arXiv:1810.03292).

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> encoder = image_encoders.load("efficientnet_lite0", size=32)
    >>> target = Target(encoder, classifier_head(encoder, 5))
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    >>> bool(np.allclose(randomized(target, images).scores(images), target.scores(images)))
    False
    """
    net = copy.deepcopy(target.network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:  # biases and batch norms keep their values
                order = torch.randperm(parameter.numel(), generator=generator)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    encoder = target.encoder.with_network(net, WeightsInfo("random"))
    encoder.calibrated = True
    if batch_norms(net):
        batches = (
            encoder.network_inputs(items[start : start + batch_size])[0].to(encoder.device)
            for start in range(0, len(items), batch_size)
        )
        estimate_batch_norm(net, lambda x: encoder.network_vectors(net, x), batches)
    weight = np.random.default_rng(seed).permutation(target.head.weight)
    center = target.head.center
    if center is not None:  # the centre of what this network computes
        center = encoder.encode(items).mean(axis=0, dtype=np.float64)
    return Target(encoder, replace(target.head, weight=weight, center=center))
