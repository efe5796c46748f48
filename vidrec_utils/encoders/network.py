"""What all encoders around a PyTorch network share, whatever they encode."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Self, TypeVar, cast

import torch
from torch import nn

from vidrec_utils import settings
from vidrec_utils.encoders.batch_norm import batch_norms, estimate_batch_norm
from vidrec_utils.encoders.catalogue import LoadRequest
from vidrec_utils.encoders.download import PublishedFile
from vidrec_utils.encoders.protocol import WeightsInfo, batches
from vidrec_utils.encoders.weights import (
    fingerprint_of,
    load_strictly,
    read_checkpoint,
    unprefixed,
)

Network = TypeVar("Network", bound=nn.Module)


def build_seeded(build: Callable[[], Network], seed: int = 0) -> Network:
    """Build a network whose random weights are drawn with a seed; the global seed is not touched.

    Examples
    --------
    >>> one, same = (build_seeded(lambda: nn.Linear(2, 2), seed=3) for _ in range(2))
    >>> torch.equal(one.weight, same.weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def with_weights(
    build: Callable[[], Network], request: LoadRequest, published: PublishedFile, part: str = ""
) -> tuple[Network, WeightsInfo]:
    """Build a network, and load `"published"`, `"random"` or a file's weights.

    Parameters
    ----------
    build : callable
        Builds it untrained.
    request : LoadRequest
        What the caller asks for.
    published : PublishedFile
        Where `"published"` weights come from.
    part : str
        Name of the submodule that the file is a state dict of; empty: the network itself.

    Returns
    -------
    (nn.Module, WeightsInfo)
        The network in evaluation mode, and where its weights came from.

    Raises
    ------
    WeightsNotAvailable, WeightsError
        See `encoders.download.fetch` and `encoders.weights`.
    """
    if request.weights == "random":
        return build_seeded(build, request.seed).eval(), WeightsInfo("random")
    path, info = published.located(request)
    state = read_checkpoint(path)
    net = build_seeded(build).eval()
    inner = net.get_submodule(part)
    state = unprefixed(state, inner.state_dict())
    for key, value in inner.state_dict().items():
        if key.endswith("num_batches_tracked"):  # files from before 2018 do not count batches
            state.setdefault(key, torch.zeros_like(value))
    load_strictly(inner, state, path.name)
    return net, info


class NetworkEncoder:
    """An encoder around a PyTorch network.

    A subclass has `modality`, `dim`, `layers` and `preprocessing`, and prepares items (`prepare`);
    where its network has no method `vector`, it also says how vectors are made (`network_vectors`).

    Attributes
    ----------
    name, parameters, weights
        See `vidrec_utils.encoders.Encoder`.
    net : nn.Module
        The network, in evaluation mode.
    device : torch.device
        Where it lies.
    calibrated : bool
        Whether batch-norm statistics are trained or estimated; without any, true.
    """

    modality: str
    dim: int
    layers: tuple[str, ...]
    batch_size = 32

    def __init__(
        self,
        name: str,
        net: nn.Module,
        weights: WeightsInfo,
        device: torch.device | str | None = None,
    ):
        self.name = name
        self.weights = weights
        self.parameters = sum(p.numel() for p in net.parameters())
        self.device = torch.device(device) if device is not None else settings.device()
        self.net = net.eval().to(self.device)
        self.calibrated = weights.source != "random" or not batch_norms(net)

    @property
    def preprocessing(self) -> dict[str, object]:
        """Everything that is done to an item before the network sees it."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """Digest of the name, the values of all weights, and the preprocessing."""
        return fingerprint_of(self.net, self.name, self.dim, self.preprocessing)

    def prepare(self, items: Sequence) -> torch.Tensor:
        """The network's input for a batch, on the CPU."""
        raise NotImplementedError

    def network_inputs(self, items: Sequence) -> tuple[torch.Tensor, ...]:
        """The network's inputs for a batch: what `prepare` returns, alone."""
        return (self.prepare(items),)

    def network_vectors(self, net: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` of what `network_inputs` returned, by this network or a copy of it."""
        return cast(Callable[..., torch.Tensor], net.vector)(*inputs)

    def with_network(self, net: nn.Module, weights: WeightsInfo) -> Self:
        """A copy of the encoder around another network of the same architecture."""
        twin = copy.copy(self)
        twin.net = net.eval()
        twin.weights = weights
        twin.calibrated = True
        return twin

    def calibrate(self, items: Sequence, batch_size: int | None = None) -> Self:
        """Estimate the batch-norm statistics of a random network on items; returns itself.

        Without it a random network is no baseline; see `encoders.batch_norm`. A network without
        batch normalisation stays as it is.

        Raises
        ------
        ValueError
            If the weights are trained, since they bring their statistics, or fewer than 2 items are
            given.
        """
        if self.weights.source != "random":
            raise ValueError(
                f"{self.name} has {self.weights.source} weights, which bring their own "
                "batch-norm statistics; only random weights are calibrated."
            )
        if len(items) < 2:
            raise ValueError(
                f"{len(items)} {self.modality}s are too few to estimate statistics from."
            )
        if batch_norms(self.net):
            slices = batches(items, batch_size or self.batch_size)
            prepared = (self.network_inputs(batch)[0].to(self.device) for batch in slices)
            estimate_batch_norm(self.net, lambda x: self.network_vectors(self.net, x), prepared)
        self.calibrated = True
        return self

    def check_layer(self, layer: str) -> None:
        """Refuse a layer that is not one of `layers`, with a ValueError."""
        if layer not in self.layers:
            raise ValueError(
                f"{self.name} has no layer {layer!r}; choose from {', '.join(self.layers)}."
            )

    def infer(
        self, function: Callable[[torch.Tensor], torch.Tensor], prepared: torch.Tensor
    ) -> torch.Tensor:
        """Output of a part of the network, without gradients, float32 on the CPU.

        Raises
        ------
        RuntimeError
            If the weights are random and `calibrate` was not called.
        """
        if not self.calibrated:
            raise RuntimeError(
                f"Random weights need batch-norm statistics first: call encoder.calibrate with "
                f"{self.modality}s of your library, a few hundred if you have them."
            )
        with torch.inference_mode(), settings.precision(self.device):
            output = function(prepared.to(self.device)).float().cpu()
        return output.clone()  # a normal tensor, on which a head can be trained

    def outputs(
        self,
        function: Callable[[torch.Tensor], torch.Tensor],
        items: Sequence,
        batch_size: int,
        shape: tuple[int, ...] = (),
    ) -> torch.Tensor:
        """Output of a part of the network for items of any number, batch by batch; see `infer`.

        Parameters
        ----------
        function : callable
            From a prepared batch to its output.
        items : sequence
            As `prepare` takes them.
        batch_size : int
            Items in one forward pass.
        shape : tuple of int
            Shape of one item's output; needed only where there may be no items.
        """
        slices = batches(items, batch_size)
        outputs = [self.infer(function, self.prepare(batch)) for batch in slices]
        return torch.cat(outputs) if outputs else torch.empty(0, *shape)
