"""An encoder of clips so small that a whole fine-tuning run takes a moment."""

from __future__ import annotations

import copy
import hashlib

import numpy as np
import torch
from torch import nn

from vidrec_utils.encoders import FrameContract, WeightsInfo
from vidrec_utils.encoders.weights import state_digest


class TinyNet(nn.Module):
    """Two convolutions with batch norm, the mean over all places, and linear layers."""

    def __init__(self, width: int = 8):
        super().__init__()
        blocks = []
        for before in (3, width):
            conv = nn.Conv3d(before, width, 3, padding=1, bias=False)
            blocks.append(nn.Sequential(conv, nn.BatchNorm3d(width), nn.ReLU(), nn.Dropout(0.1)))
        self.blocks = nn.ModuleList(blocks)
        self.mix = nn.Linear(width, width)
        self.classify = nn.Linear(width, 5)  # has no part in the vector
        self.dim = width

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.mix(x.mean(dim=(2, 3, 4)))


class TinyEncoder:
    """Clips of uint8 `(time, height, width, 3)`, taken as they are."""

    name, modality = "tiny", "video"
    frame_contract = FrameContract(2, 4)
    preprocessing, values_per_item = None, frame_contract.n_values

    def __init__(
        self, seed: int = 0, width: int = 8, source: str = "packaged", dropout: float = 0.1
    ):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = TinyNet(width).eval()
        for module in self.net.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
        self.dim, self.device = width, torch.device("cpu")
        self.parameters = sum(p.numel() for p in self.net.parameters())
        self.weights, self.calibrated = WeightsInfo(source), source != "random"

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256((self.name + state_digest(self.net)).encode()).hexdigest()

    def prepare(self, clips) -> torch.Tensor:
        stacked = torch.from_numpy(np.stack(list(clips))).float()
        return stacked.permute(0, 4, 1, 2, 3) / 127.5 - 1

    def network_inputs(self, clips) -> tuple[torch.Tensor, ...]:
        return (self.prepare(clips),)

    def network_vectors(self, net, x) -> torch.Tensor:
        return net.vector(x)

    def with_network(self, net, weights):
        twin = copy.copy(self)
        twin.net, twin.weights, twin.calibrated = net.eval(), weights, True
        return twin

    def encode(self, clips) -> np.ndarray:
        with torch.no_grad():
            return self.net.vector(self.prepare(clips)).numpy()


class Watched(TinyEncoder):
    """Counts the clips that it prepares."""

    prepared = 0

    def prepare(self, clips):
        Watched.prepared += len(clips)
        return super().prepare(clips)


class Brighter(TinyEncoder):
    """Prepares them otherwise."""

    def prepare(self, clips):
        return super().prepare(clips) + 1


def coloured(n: int = 24, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    """Noisy clips that are mostly red, green or blue, in turns, and the names of the colours."""
    rng = np.random.default_rng(seed)
    clips, labels = [], []
    for place in range(n):
        clip = rng.integers(0, 160, (2, 4, 4, 3))
        clip[..., place % 3] += 90
        clips.append(clip.astype(np.uint8))
        labels.append(["red", "green", "blue"][place % 3])
    return clips, labels
