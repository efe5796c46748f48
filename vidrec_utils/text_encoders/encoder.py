"""A language model with its tokenizer around it: from strings to float32 vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from vidrec_utils import settings
from vidrec_utils.encoders import (
    WeightsInfo,
    batches,
    fingerprint_of,
)
from vidrec_utils.encoders.network import NetworkEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Texts = Sequence[str] | pd.Series


class TextEncoder(NetworkEncoder):
    """A network of the BERT or GPT family that turns a text into one vector.

    A text is cut into tokens, the network gives each token a vector that depends on the others, and
    the mean over tokens is scaled to length 1. Of a text longer than `max_tokens` only the
    beginning is read. A text without anything to read (empty, or blanks only) gets the zero vector,
    which resembles nothing. What the vocabulary lacks (most emoji, rare scripts) is read as one
    "unknown" token, so that texts which differ only there get the same vector.

    Attributes
    ----------
    name, modality, dim, parameters, weights
        See `vidrec_utils.encoders.Encoder`.
    max_tokens : int
        How much of a text is read, prefix and special tokens included.
    prefix : str
        Text that the network was trained to see before each text; it counts in the mean, too.
    layers : tuple of str
        Layers for `activations`: `"embeddings"`, then `"layer1"` up to the last, whose mean over
        tokens is what `encode` scales to length 1.
    """

    modality = "text"

    def __init__(
        self,
        name: str,
        net: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        weights: WeightsInfo,
        device: torch.device | str | None = None,
        max_tokens: int = 256,
        prefix: str = "",
    ):
        if not 4 <= max_tokens <= net.config.max_position_embeddings:
            raise ValueError(
                f"max_tokens is {max_tokens}; {name} reads 4 to "
                f"{net.config.max_position_embeddings} tokens."
            )
        super().__init__(name, net, weights, device)
        self.max_tokens = int(max_tokens)
        self.prefix = prefix
        self.layers = (
            "embeddings",
            *(f"layer{i + 1}" for i in range(net.config.num_hidden_layers)),
        )
        self.dim = int(net.config.hidden_size)
        self.tokenizer = tokenizer
        self._tokenizer_digest = digest_of(tokenizer)

    @property
    def preprocessing(self) -> dict[str, object]:
        """Everything that is done to a text before and after the network sees it."""
        return {
            "tokenizer": self._tokenizer_digest[:16],
            "max_tokens": self.max_tokens,
            "prefix": self.prefix,
            "pooling": "mean over tokens",
            "length": 1,
        }

    @property
    def values_per_item(self) -> int:
        """Values of the token embeddings of the longest text that is read."""
        return self.max_tokens * self.dim

    @property
    def fingerprint(self) -> str:
        """Digest of the name, the values of all weights, the tokenizer and the pooling."""
        return fingerprint_of(
            self.net, self.name, self.dim, self.preprocessing, self._tokenizer_digest
        )

    def encode(self, texts: Texts, batch_size: int = 32) -> np.ndarray:
        """Vectors of texts.

        Parameters
        ----------
        texts : sequence of str
            Any length, any script.
        batch_size : int
            Texts in one forward pass; no effect on the values beyond 1e-5.

        Returns
        -------
        ndarray of float32, shape (n, dim)
            Rows of length 1, or of zeros for blank texts.

        Raises
        ------
        TypeError
            If an item is not a string; the message says which.
        """
        texts = check_texts(texts)
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        ids = self._ids(texts)
        # texts of similar length in one batch: less padding to compute
        order = sorted(
            (i for i, text in enumerate(texts) if text.strip()), key=lambda i: -len(ids[i])
        )
        with torch.inference_mode(), settings.precision(self.device):
            for rows in batches(order, batch_size):
                tokens, mask = (part.to(self.device) for part in _padded([ids[i] for i in rows]))
                readable = torch.ones(len(rows), 1, device=self.device)
                out[rows] = self.network_vectors(self.net, tokens, mask, readable).cpu().numpy()
        return out

    def activations(self, texts: Texts, layer: str, batch_size: int = 32) -> torch.Tensor:
        """Output of one layer for each token, before pooling.

        Parameters
        ----------
        texts : sequence of str
            Any length, any script.
        layer : str
            One of `layers`.
        batch_size : int
            Texts in one forward pass.

        Returns
        -------
        tensor of float32, shape (n, dim, tokens)
            On the CPU; NaN behind the end of the shorter texts, and for the whole of a blank one.

        Raises
        ------
        ValueError
            If there is no such layer.
        TypeError
            If an item is not a string.
        """
        self.check_layer(layer)
        texts = check_texts(texts)
        ids = self._ids(texts)
        longest = max(map(len, ids), default=0)
        out = torch.full((len(texts), self.dim, longest), torch.nan)
        rows = [i for i, text in enumerate(texts) if text.strip()]
        with torch.inference_mode(), settings.precision(self.device):
            for chunk in batches(rows, batch_size):
                batch, mask = (part.to(self.device) for part in _padded([ids[i] for i in chunk]))
                output = self.net(input_ids=batch, attention_mask=mask, output_hidden_states=True)
                states = output.hidden_states[self.layers.index(layer)].float().cpu()
                for row, state in zip(chunk, states, strict=True):  # state: (tokens, dim)
                    out[row, :, : len(ids[row])] = state[: len(ids[row])].T
        return out

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text as the network reads them."""
        return self.tokenizer.convert_ids_to_tokens(self._ids(check_texts([text]))[0])

    def reading(self, texts: Texts) -> pd.DataFrame:
        """Measure how well texts fit into the vocabulary and the window.

        Returns
        -------
        DataFrame
            A row a text (a Series keeps its index): `tokens` (special ones not counted), `unknown`
            (share of tokens outside the vocabulary) and `cut` (whether the end was not read).
        """
        index = texts.index if isinstance(texts, pd.Series) else None
        texts = check_texts(texts)
        unknown = self.tokenizer.unk_token_id
        before = self.tokenizer(self.prefix, add_special_tokens=False)["input_ids"]
        room = self.max_tokens - self.tokenizer.num_special_tokens_to_add() - len(before)
        rows = []
        for text in texts:
            ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            lost = sum(i == unknown for i in ids)  # never in GPT-2, which falls back to bytes
            rows.append((len(ids), lost / max(len(ids), 1), len(ids) > room))
        return pd.DataFrame(rows, columns=["tokens", "unknown", "cut"], index=index)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        texts = [self.prefix + text for text in texts]
        return self.tokenizer(texts, truncation=True, max_length=self.max_tokens)["input_ids"]

    def network_inputs(self, texts: Texts) -> tuple[torch.Tensor, ...]:
        """Token ids and mask `(n, tokens)`, and `(n, 1)`: whether there is anything to read."""
        tokens, mask = _padded(self._ids(list(texts)))
        return tokens, mask, torch.tensor([[bool(text.strip())] for text in texts])

    def network_vectors(self, net: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """Unit vectors `(n, dim)` of what `network_inputs` returned; zeros for blank texts."""
        tokens, mask, readable = inputs
        width = int(mask.sum(dim=1).max())  # the longest text of this batch
        tokens, mask = tokens[:, :width], mask[:, :width]
        states = net(input_ids=tokens, attention_mask=mask).last_hidden_state
        pooled = mean_pool(states.float(), mask)  # (n, dim)
        return nn.functional.normalize(pooled, dim=1) * readable


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens of each text, padding left out.

    Parameters
    ----------
    states : tensor, shape (batch, tokens, dim)
        One vector a token.
    mask : tensor, shape (batch, tokens)
        1 for tokens, 0 for padding.

    Returns
    -------
    tensor, shape (batch, dim)
        Zeros for a text without tokens.

    Examples
    --------
    >>> states = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]]])
    >>> mean_pool(states, torch.tensor([[1, 1, 0]])).tolist()  # the third token is padding
    [[2.0, 1.0]]

    References
    ----------
    Reimers, Gurevych: Sentence-BERT. EMNLP 2019 (arXiv:1908.10084), section 3.
    """
    weights = mask.unsqueeze(-1).to(states.dtype)  # (batch, tokens, 1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def _padded(ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of several texts, each of shape `(len(ids), longest)`."""
    tokens = [torch.tensor(one, dtype=torch.long) for one in ids]
    masks = [torch.ones_like(one) for one in tokens]  # masked: any id serves as padding
    return pad_sequence(tokens, batch_first=True), pad_sequence(masks, batch_first=True)


def check_texts(texts: Texts) -> list[str]:
    """Return texts as a list of strings.

    Raises
    ------
    TypeError
        If they are one string instead of a list, or an item is something else than a string.
    """
    if isinstance(texts, str):
        raise TypeError("One string was given instead of a list: encode([text]).")
    texts = list(texts)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"Text {position} is {text!r} of type {type(text).__name__}, but must be a string; "
                "leave missing titles out (titles.dropna()) or give an empty string."
            )
    # half a character, as a cut in the middle of an emoji leaves it, cannot be tokenized
    return [text.encode("utf-8", "replace").decode() for text in texts]


_DIGESTS: WeakKeyDictionary[PreTrainedTokenizerBase, str] = WeakKeyDictionary()


def digest_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of a tokenizer's rules and vocabulary, without padding and truncation.

    It is computed once for each tokenizer: for a vocabulary of 250,000 entries it takes a second
    and 100 MB.
    """
    if tokenizer not in _DIGESTS:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        rules.pop("padding", None)
        rules.pop("truncation", None)
        text = json.dumps(rules, sort_keys=True)
        _DIGESTS[tokenizer] = hashlib.sha256(text.encode()).hexdigest()
    return _DIGESTS[tokenizer]
