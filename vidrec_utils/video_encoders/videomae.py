"""VideoMAE, from the model hub: a transformer that learned by filling in what was hidden from it.

Nine tenths of a clip's patches are hidden, so that copying a neighbour does not help. Afterwards it
was told the classes of Kinetics.

References
----------
Tong, Song, Wang, Wang: VideoMAE. NeurIPS 2022 (arXiv:2203.12602).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vidrec_utils.encoders import weights as weights_io
from vidrec_utils.encoders.download import hub_folder
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.encoders.weights import WeightsError, WeightsNotAvailable
from vidrec_utils.video_encoders.encoder import Framing, TimedContract, VideoEncoder
from vidrec_utils.video_encoders.published import (
    TokenNet,
    Wanted,
    check_contract,
    contract_for,
    digest_of,
    not_packaged,
)

if TYPE_CHECKING:
    from transformers import VideoMAEForVideoClassification

REPO = "MCG-NJU/videomae-small-finetuned-kinetics"
REVISION = "1bf2b82c809609f5df1ea7648aee577e2e486b63"
FILES = ("model.safetensors", "pytorch_model.bin")  # the first that there is
SETTINGS = ("config.json", "preprocessor_config.json")
SMALL = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "num_labels": 400,
}
FRAMING = Framing(224, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), True)
CONTRACT = TimedContract(16, 224, 224, 7.5)


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
        """What the classifier is given, `(batch, dim)`."""
        tokens = self.net.videomae(x.transpose(1, 2)).last_hidden_state
        return tokens[:, 0] if self.net.fc_norm is None else self.net.fc_norm(tokens.mean(dim=1))

    def tokens(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        """Patches after each quarter of the depth."""
        body = self.net.videomae
        tokens = body.embeddings(x.transpose(1, 2), None)
        for layer in body.encoder.layer[: len(body.encoder.layer) * (stage + 1) // 4]:
            tokens = layer(tokens)
        told = self.net.config
        side = told.image_size // told.patch_size
        places = (told.num_frames // told.tubelet_size, side, side)
        return tokens.transpose(1, 2).unflatten(2, places)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, classes)`."""
        return self.net.classifier(self.vector(x))


def at_hand() -> list[str]:
    """Values for `load`'s `weights` that need no network now; damage is told when loading."""
    try:
        there = _folder(download=False) is not None
    except WeightsError:
        there = True
    return ["published", "random"] if there else ["random"]


def load(contract: TimedContract, wanted: Wanted) -> VideoEncoder:
    """VideoMAE from the model hub, a folder as there, or untrained; errors as in `load`."""
    if wanted.weights == "packaged":
        raise not_packaged(wanted.name)
    folder, path, info = None, None, WeightsInfo("random")
    if wanted.weights == "published":
        folder = _folder(wanted.download)
        if folder is None:
            raise WeightsNotAvailable(
                f"The published weights of {wanted.name} are not at hand and were not asked for on "
                f"the network. With a network, run once: video_encoders.load({wanted.name!r}, "
                "'published', download=True); or give the path of a folder that holds them."
            )
    elif wanted.weights != "random":
        folder = Path(wanted.weights)
    told, framing = _settings(folder)
    contract = contract_for(contract, wanted)
    if folder is not None:
        own = replace(contract, frames=told["num_frames"], size=told["image_size"])
        own = replace(own, read_size=max(128, own.size))
        for asked, has in ((wanted.frames, own.frames), (wanted.size, own.size)):
            if asked not in (None, has):
                _check_fixed(wanted.name, contract, own)
        contract = own
        path = next((folder / n for n in FILES if (folder / n).is_file()), None)
        if path is None:
            raise WeightsNotAvailable(
                f"There is no {FILES[0]} in {folder}: give a folder as in the repository {REPO}."
            )
        digest = digest_of(path, wanted.sha256)
        published = wanted.weights == "published"
        licence = "CC-BY-NC-4.0" if published else None
        info = WeightsInfo("published" if published else "file", path.name, digest, licence)
    check_contract(wanted.name, contract, (2, 16), (2, 16))
    net = _built(told, contract, wanted.seed)
    if path is not None:
        state = renamed(weights_io.read_checkpoint(path))
        weights_io.load_strictly(net.net, state, path.name)
    return VideoEncoder(
        wanted.name, net, info, contract, wanted.device, framing=framing.at(contract.size)
    )


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a published checkpoint under the names that `transformers` uses today."""
    return {
        re.sub(
            r"attention\.attention\.([qv])_bias$",
            lambda match: f"attention.attention.{'query' if match[1] == 'q' else 'value'}.bias",
            key,
        ): tensor.float()
        for key, tensor in state.items()
    }


def _folder(download: bool) -> Path | None:
    """Folder of the authors' checkpoint, or None; the weights in the first form that there is."""

    def look(name: str, download: bool) -> Path | None:
        files = [*SETTINGS, name]
        return hub_folder(REPO, files, revision=REVISION, download=download)

    for name in FILES:
        if (folder := look(name, download=False)) is not None:
            return folder
    if not download:
        return None
    first, second = FILES
    try:
        return look(first, download=True)
    except WeightsNotAvailable as error:
        if "(404)" not in str(error) or first not in str(error):
            raise
    return look(second, download=True)


def _settings(folder: Path | None) -> tuple[dict[str, object], Framing]:
    """The network's settings and its preprocessing: from a folder's two files, or the usual."""
    from transformers import VideoMAEConfig

    if folder is None:
        return VideoMAEConfig.from_dict(SMALL).to_dict(), FRAMING
    found = []
    for name in SETTINGS:
        if not (folder / name).is_file():
            raise WeightsNotAvailable(
                f"There is no {name} in {folder}: give a folder as in the repository {REPO}."
            )
        try:
            found.append(json.loads((folder / name).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{name} in {folder.name} cannot be read: {error}") from error
    told, recipe = found
    if told.get("model_type") != "videomae":
        raise WeightsError(
            f"{folder.name} is a checkpoint of another model: {told.get('model_type')!r}, wanted "
            "is 'videomae'."
        )
    size, crop = recipe.get("size", 224), recipe.get("crop_size", 224)
    framing = Framing(
        int(crop["height"] if isinstance(crop, dict) else crop),
        int(size["shortest_edge"] if isinstance(size, dict) else size),
        tuple(recipe.get("image_mean", FRAMING.mean)),
        tuple(recipe.get("image_std", FRAMING.std)),
        antialias=True,
    )
    return VideoMAEConfig.from_dict(told).to_dict(), framing


def _built(told: dict[str, object], contract: TimedContract, seed: int) -> VideoMAE:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig.from_dict(
        told | {"num_frames": contract.frames, "image_size": contract.size}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VideoMAE(VideoMAEForVideoClassification(config).float().eval())


def _check_fixed(name: str, contract: TimedContract, own: TimedContract) -> None:
    if (contract.frames, contract.size) != (own.frames, own.size):
        raise ValueError(
            f"The published weights of {name} see {own.frames} frames of {own.size} pixels only, "
            f"not {contract.frames} of {contract.size}."
        )
