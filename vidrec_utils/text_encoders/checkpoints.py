"""From files to a network and its tokenizer, for each layout that checkpoints of text come in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vidrec_utils.encoders import weights as weights_io
from vidrec_utils.encoders.weights import WeightsError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# Heads for the tasks of pretraining, and buffers that today's network computes itself
_NOT_READ = re.compile(
    r"^(cls|lm_head|pooler)\.|(^|\.)embeddings\.position_ids$|^h\.\d+\.attn\.(masked_)?bias$"
)


def network(
    config: PretrainedConfig, state: dict[str, torch.Tensor] | None, seed: int, origin: str
) -> PreTrainedModel:
    """The network of a configuration, with the given tensors, or random ones drawn from a seed.

    Raises
    ------
    WeightsError
        If tensors are missing, left over or of another shape.
    """
    from transformers import AutoModel

    extra = {"add_pooling_layer": False} if config.model_type == "bert" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = AutoModel.from_config(config, dtype=torch.float32, **extra)
    if state is not None:
        weights_io.load_strictly(net, state, origin)
    return net


def read_config(folder: Path, kind: str) -> PretrainedConfig:
    """The configuration in a folder, which has to be of a family.

    Raises
    ------
    WeightsError
        If it cannot be read, or is of another family.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"config.json in {folder.name} cannot be read: {error}") from error
    if config.model_type != kind:
        raise WeightsError(
            f"{folder.name} is a checkpoint of another model: {config.model_type!r}, wanted is "
            f"{kind!r}."
        )
    return config


def read_tokenizer(folder: Path, **options: Any) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"The tokenizer in {folder.name} cannot be read: {error}") from error


def body(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a published checkpoint that make vectors, under today's names.

    The authors' files hold the heads of pretraining too, name everything below `bert.` or
    `transformer.`, and call scale and shift of a layer norm `gamma` and `beta`.
    """
    named = {re.sub(r"^(bert|transformer)\.", "", k): v for k, v in renamed(state).items()}
    return {name: tensor.float() for name, tensor in named.items() if not _NOT_READ.search(name)}


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict with today's names of a layer norm's scale and shift."""
    names = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    return {
        re.sub(r"LayerNorm\.(gamma|beta)$", lambda m: names[m.group()], key): tensor
        for key, tensor in state.items()
    }
