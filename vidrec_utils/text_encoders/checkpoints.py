"""From files to a network and its tokenizer, for each layout that checkpoints of text come in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

import torch

from vidrec_utils import settings
from vidrec_utils.encoders import (
    Entry,
    HubCheckpoint,
    LoadRequest,
    PackagedFile,
    WeightsError,
    WeightsInfo,
    WeightsNotAvailable,
    file_info,
    load_strictly,
    read_checkpoint,
    read_settings,
    read_tokenizer,
    renamed,
)
from vidrec_utils.encoders.network import build_seeded
from vidrec_utils.text_encoders.encoder import TextEncoder, digest_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

SETTINGS = ("config.json", "tokenizer_config.json", "tokenizer.json")

RENAMED = {r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"}
"""Names of a layer norm's scale and shift in the published checkpoints, and today's."""

# Heads for the tasks of pretraining, and buffers that today's network computes itself
_NOT_READ = re.compile(
    r"^(cls|lm_head|pooler)\.|(^|\.)embeddings\.position_ids$|^h\.\d+\.attn\.(masked_)?bias$"
)


class OpenedFile(Protocol):
    """A file in a format of its own that holds all of a language model."""

    config: PretrainedConfig

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer."""

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors, under the names of `transformers`."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel(Entry[TextEncoder]):
    """A language model of the catalogue.

    Attributes
    ----------
    kind : str
        Its family, as `model_type` in `config.json` names it.
    prefix : str
        What it was trained to read before each text.
    file_format : callable or None
        Opens the packaged file; None: a checkpoint in the layout of `transformers`.
    """

    packaged: PackagedFile | None = None
    published: HubCheckpoint | None = None
    random_needs_files: bool = True
    kind: str
    prefix: str = ""
    file_format: Callable[[Path], OpenedFile] | None = None

    def load(self, request: LoadRequest) -> TextEncoder:
        """The encoder that is asked for; errors as in `text_encoders.load`."""
        config, tokenizer, read_state, info = self._opened(request)
        state = None if request.weights == "random" else read_state()
        net = network(config, state, request.seed, info.file or self.name)
        info = WeightsInfo("random") if state is None else info
        return TextEncoder(
            self.name, net, tokenizer, info, request.device, request.max_tokens, self.prefix
        )

    def _opened(
        self, request: LoadRequest
    ) -> tuple[
        PretrainedConfig,
        PreTrainedTokenizerBase,
        Callable[[], dict[str, torch.Tensor]],
        WeightsInfo,
    ]:
        """Configuration, tokenizer, a function that reads the tensors, and where they come from."""
        source = request.weights
        if source == "random":  # the tokenizer may come from either
            installed = self.packaged and (self.packaged.find() or self.published is None)
            source = "packaged" if installed else "published"
        if source == "packaged" and self.packaged:
            file, info = self.packaged.verified()
            read = self.file_format
            if read is not None:
                opened = read(file)
                tokenizer = _shared_tokenizer(opened, read, file)
                return opened.config, tokenizer, opened.state, info
        elif source == "published" and self.published:
            folder = self.published.folder(
                f"text_encoders.load({self.name!r}, 'published', download=True)",
                request.download,
                tensors=request.weights != "random",
                instead=f"load({self.name!r})." if self.packaged else "load('minilm').",
            )
            file = self.published.file(folder)
            info = WeightsInfo(
                "published", file.name, self.published.sha256, self.published.licence
            )
        else:
            file = _weights_file(Path(source))
            info = file_info(file)
        config = read_config(file.parent, self.kind)
        return (
            config,
            read_tokenizer(file.parent),
            lambda: encoder_state(read_checkpoint(file)),
            info,
        )


_TOKENIZERS: WeakValueDictionary[tuple[object, Path], PreTrainedTokenizerBase] = (
    WeakValueDictionary()
)
"""Tokenizers that an encoder uses: they take seconds, and a large one 300 MB."""


def _shared_tokenizer(
    opened: OpenedFile, file_format: Callable[[Path], OpenedFile], file: Path
) -> PreTrainedTokenizerBase:
    """The tokenizer of a file whose hash is right, shared by all encoders that use it now."""
    tokenizer = _TOKENIZERS.get((file_format, file))
    if tokenizer is None:
        tokenizer = _TOKENIZERS[file_format, file] = opened.tokenizer()
        digest_of(tokenizer)
        settings.release_memory(collect=False)  # before the weights take their place
    return tokenizer


def _weights_file(folder: Path) -> Path:
    """The weights file of a folder that a caller names."""
    if not (folder / "config.json").is_file():
        raise WeightsNotAvailable(
            f"There is no checkpoint in {folder}: give a folder with config.json, "
            "tokenizer.json and model.safetensors, as save_pretrained writes it."
        )
    return folder / "model.safetensors"


def network(
    config: PretrainedConfig, state: dict[str, torch.Tensor] | None, seed: int, origin: str
) -> PreTrainedModel:
    """The network of a configuration, with the given tensors, or random ones drawn from a seed.

    Raises
    ------
    WeightsError
        If the configuration is impossible, or tensors are missing, left over or of another shape.
    """
    from transformers import AutoModel
    from transformers.initialization import no_init_weights

    extra = {"add_pooling_layer": False} if config.model_type == "bert" else {}
    with _refusing_settings(origin), nullcontext() if state is None else no_init_weights():
        net = build_seeded(
            lambda: AutoModel.from_config(config, dtype=torch.float32, **extra), seed
        )
    if state is not None:  # the tensors become the weights: nothing large is held twice
        load_strictly(net, state, origin, assign=True)
    return net


def read_config(folder: Path, kind: str) -> PretrainedConfig:
    """The configuration in a folder, which has to be of a family.

    Raises
    ------
    WeightsError
        If it cannot be read, or is of another family.
    """
    from transformers import AutoConfig

    read = read_settings(folder, kind=kind)
    with _refusing_settings(folder.name):
        return AutoConfig.for_model(kind).from_dict(read)


@contextmanager
def _refusing_settings(origin: str) -> Iterator[None]:
    """Turn what transformers raises for impossible settings, which is of any type, into words."""
    try:
        yield
    except Exception as error:
        raise WeightsError(
            f"config.json of {origin} makes no network: {type(error).__name__}: {error}. "
            "It was damaged or edited; take the file that belongs to the weights."
        ) from error


def encoder_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a published checkpoint that make vectors, under today's names.

    The authors' files hold the heads of pretraining too, name everything below `bert.` or
    `transformer.`, and call scale and shift of a layer norm `gamma` and `beta`.
    """
    named = renamed(state, RENAMED | {r"^(bert|transformer)\.": ""})
    return {name: tensor for name, tensor in named.items() if not _NOT_READ.search(name)}
