"""VideoMAE, from the model hub: a transformer that learned by reconstructing masked patches.

Nine tenths of a clip's patches are masked, so that copying a neighbour does not help. Afterwards it
was fine-tuned to the classes of Kinetics.

References
----------
Tong, Song, Wang, Wang: VideoMAE. NeurIPS 2022 (arXiv:2203.12602).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrec_utils.encoders import (
    Entry,
    HubCheckpoint,
    LoadRequest,
    TimedContract,
    WeightsInfo,
    Windows,
    load_strictly,
    read_checkpoint,
    read_settings,
    renamed,
)
from vidrec_utils.encoders.network import build_seeded
from vidrec_utils.video_encoders.encoder import Framing, VideoEncoder
from vidrec_utils.video_encoders.published import TokenNet, check_contract, contract_for

if TYPE_CHECKING:
    from transformers import VideoMAEForVideoClassification

HUB = HubCheckpoint(
    "MCG-NJU/videomae-small-finetuned-kinetics",
    "1bf2b82c809609f5df1ea7648aee577e2e486b63",
    ("config.json", "preprocessor_config.json"),
    "CC-BY-NC-4.0",
    ("model.safetensors", "pytorch_model.bin"),
)
SMALL = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "num_labels": 400,
}
FRAMING = Framing(224, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), True)


RENAMED = {
    r"attention\.attention\.q_bias$": "attention.attention.query.bias",
    r"attention\.attention\.v_bias$": "attention.attention.value.bias",
}
"""Names in the published checkpoint, and those that `transformers` uses today."""


class VideoMAE(TokenNet):
    """VideoMAE with a classifier on top; the vector is the normalised mean of the tokens.

    Parameters
    ----------
    net : VideoMAEForVideoClassification
        With mean pooling, or with a class token.
    """

    def __init__(self, net: VideoMAEForVideoClassification):
        super().__init__()
        self.net = net
        self.channels = self.dim = int(net.config.hidden_size)

    def vector(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the classifier, `(batch, dim)`."""
        tokens = self.net.videomae(x.transpose(1, 2)).last_hidden_state
        return tokens[:, 0] if self.net.fc_norm is None else self.net.fc_norm(tokens.mean(dim=1))

    def tokens(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        """Patches after each quarter of the depth."""
        backbone, config = self.net.videomae, self.net.config
        tokens = backbone.embeddings(x.transpose(1, 2), None)  # (batch, patches, dim)
        layers = backbone.encoder.layer
        tokens = nn.Sequential(*layers[: len(layers) * (stage + 1) // 4])(tokens)
        side = config.image_size // config.patch_size
        grid = (config.num_frames // config.tubelet_size, side, side)
        return tokens.transpose(1, 2).unflatten(2, grid)  # (batch, dim, time, height, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net.classifier(self.vector(x))


def _framing(folder: Path) -> Framing:
    """The preprocessing in a folder with a checkpoint."""
    file = HUB.required(folder / "preprocessor_config.json")
    recipe = read_settings(folder, file.name)
    size, crop = recipe.get("size", 224), recipe.get("crop_size", 224)
    return Framing(
        int(crop["height"] if isinstance(crop, dict) else crop),
        int(size["shortest_edge"] if isinstance(size, dict) else size),
        tuple(recipe.get("image_mean", FRAMING.mean)),
        tuple(recipe.get("image_std", FRAMING.std)),
        antialias=True,
    )


def _untrained(config: dict[str, object], contract: TimedContract, seed: int) -> VideoMAE:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    check_contract("videomae_small", contract, (2, 16), (2, 16))
    sizes = {"num_frames": contract.frames, "image_size": contract.size}
    shape = VideoMAEConfig.from_dict(config | sizes)
    net = build_seeded(lambda: VideoMAEForVideoClassification(shape), seed)
    return VideoMAE(net.float().eval())


@dataclass(frozen=True, kw_only=True)
class VideoMAEEntry(Entry[VideoEncoder]):
    """VideoMAE of the catalogue."""

    published: HubCheckpoint
    contract: TimedContract

    def load(self, request: LoadRequest) -> VideoEncoder:
        """VideoMAE from the model hub, a folder as there, or untrained; errors as in `load`."""
        contract = contract_for(self.contract, request)
        if request.weights == "random":
            net = _untrained(SMALL, contract, request.seed)
            info, framing = WeightsInfo("random"), FRAMING
        else:
            config, file, info = self.published.opened(request, "video_encoders", "videomae")
            framing = _framing(file.parent)
            contract = self._contract_of(config, contract, request)
            net = _untrained(config, contract, request.seed)
            load_strictly(net.net, renamed(read_checkpoint(file), RENAMED), file.name)
        framing = framing.at(contract.size)
        windows = Windows(contract.window_s)
        return VideoEncoder(
            self.name, net, info, contract, request.device, framing=framing, windows=windows
        )

    def _contract_of(
        self, config: dict[str, object], contract: TimedContract, request: LoadRequest
    ) -> TimedContract:
        """The frames and size that a checkpoint was trained on, the only ones that it takes."""
        from transformers import VideoMAEConfig

        trained = VideoMAEConfig.from_dict(config)
        frames, size = int(trained.num_frames), int(trained.image_size)
        if (request.frames or frames, request.size or size) != (frames, size):
            raise ValueError(
                f"The published weights of {self.name} see {frames} frames of {size} pixels only, "
                f"not {contract.frames} of {contract.size}."
            )
        return replace(contract, frames=frames, size=size, read_size=max(128, size))


ENTRY = VideoMAEEntry(
    name="videomae_small",
    about={
        "family": "VideoMAE",
        "year": 2022,
        "parameters": 22_033_936,
        "gflops": 113.76,
        "dim": 384,
        "licence": HUB.licence,
        "pretrained_on": "Kinetics-400",
        "accuracy": 79.0,
        "accuracy_source": "top-1 %, 16x4, 5 x 3 views, MODEL_ZOO of MCG-NJU/VideoMAE",
    },
    published=HUB,
    contract=TimedContract(16, 224, 224, 7.5),
    smallest={"frames": 4, "size": 32},
)
