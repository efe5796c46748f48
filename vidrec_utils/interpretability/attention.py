"""Which patches and which tokens a transformer's score comes from, by its attention.

Attention weights say where one layer looks. `attention_rollout` follows them through all layers;
`weighted_attention` lets each head count only as far as the score depends on it.

References
----------
Abnar, Zuidema: Quantifying Attention Flow in Transformers. ACL 2020 (arXiv:2005.00928).
Chefer, Gur, Wolf: Generic Attention-model Explainability for Interpreting Bi-Modal and
Encoder-Decoder Transformers. ICCV 2021 (arXiv:2103.15679).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import nn

from vidrec_utils import arguments
from vidrec_utils.interpretability.targets import NoGradients, Target
from vidrec_utils.text_encoders import TextEncoder

Way = Literal["integrated", "occlusion", "weighted attention", "rollout"]
WAYS = ("integrated", "occlusion", "weighted attention", "rollout")


def attention_rollout(maps: np.ndarray | torch.Tensor) -> np.ndarray:
    """Follow attention through all layers of a transformer.

    In each layer, half of what a token becomes is itself (the residual connection), and half is
    what it attends to, as a mean over the heads.

    Parameters
    ----------
    maps : array or tensor, shape (layers, heads, tokens, tokens)
        Attention weights; those of each query sum to 1.

    Returns
    -------
    ndarray of float64, shape (tokens, tokens)
        Row i: the share of each input token in output token i; rows sum to 1.

    Raises
    ------
    ValueError
        If the shape is another one.

    Examples
    --------
    One layer, in which both tokens look at the second one:

    >>> attention_rollout(np.array([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    weights = np.asarray(maps, dtype=np.float64)
    if weights.ndim != 4 or weights.shape[2] != weights.shape[3]:
        raise ValueError(
            "Attention of all layers has shape (layers, heads, tokens, tokens), not "
            f"{weights.shape}."
        )
    flow = np.eye(weights.shape[-1])
    for layer in weights:
        flow = (0.5 * np.eye(len(flow)) + 0.5 * layer.mean(axis=0)) @ flow
    return flow


@contextmanager
def _readable(net: nn.Module) -> Iterator[nn.Module]:
    """Let a network of the library `transformers` return its attention weights."""
    inner: Any = net if hasattr(net, "set_attn_implementation") else getattr(net, "net", None)
    if not hasattr(inner, "set_attn_implementation"):
        raise ValueError(
            f"{type(net).__name__} shows no attention; take a transformer such as 'dinov2_small' "
            "or 'minilm'."
        )
    usual = inner.config._attn_implementation
    inner.set_attn_implementation("eager")  # the fast ones do not return the weights
    try:
        yield inner
    finally:
        inner.set_attn_implementation(usual)


def _relevance(
    score: torch.Tensor, attentions: Sequence[torch.Tensor], way: str
) -> tuple[np.ndarray, ...]:
    """Rollout or gradient-weighted attention `(tokens, tokens)` of one item."""
    if way == "rollout":
        return (attention_rollout(torch.stack([a[0].detach() for a in attentions]).cpu()),)
    gradients = torch.autograd.grad(score.sum(), list(attentions))
    relevance = np.eye(attentions[0].shape[-1])
    for weights, gradient in zip(attentions, gradients, strict=True):
        # A-bar = mean over heads of (dy/dA * A), what speaks against it cut off
        product = (weights * gradient)[0].detach().clamp(min=0).mean(dim=0).double().cpu().numpy()
        relevance = relevance + product @ relevance
    return (relevance,)


def image_attention(
    target: Target, items: Sequence[np.ndarray], way: str = "weighted attention"
) -> np.ndarray:
    """Where in images a vision transformer found what speaks for a score.

    Parameters
    ----------
    target : Target
        With a vision transformer that reads its vector from the class token, such as
        `"dinov2_small"`.
    items : sequence of uint8 (height, width, 3)
        Images.
    way : {"weighted attention", "rollout"}
        Rollout does not know the score: it is the same for every class.

    Returns
    -------
    ndarray of float32, shape (n, rows, columns)
        One number for each patch.

    Raises
    ------
    ValueError
        If the network shows no attention, or there is no such way.
    NoGradients
        If the encoder has none.
    """
    arguments.one_of(("weighted attention", "rollout"), way=way)
    net, maps = target.network, []
    with _readable(net) as inner:
        for item in items:
            prepared = target.prepare([item]).to(target.encoder.device)
            output = inner(pixel_values=prepared, output_attentions=True)
            vector = output.last_hidden_state[:, 0]
            (relevance,) = _relevance(target.head.of_tensors(vector), output.attentions, way)
            patches = relevance[0, 1:]  # what the class token got from each patch
            maps.append(patches.reshape(round(len(patches) ** 0.5), -1))
    return np.array(maps, dtype=np.float32)


def token_attributions(
    target: Target, text: str, way: Way = "integrated", steps: int = 32
) -> pd.DataFrame:
    """What each token of a text contributes to a score.

    Parameters
    ----------
    target : Target
        With a text encoder around a network of the BERT family.
    text : str
        Not blank.
    way : {"integrated", "occlusion", "weighted attention", "rollout"}
        Integrated gradients on the token embeddings, from zeros: the values add up to the score
        minus that of a text without content. Or the fall of the score when a token is masked, so
        that no other token attends to it. Or attention, see `image_attention`; it has no sign.
    steps : int
        Points of the integral.

    Returns
    -------
    DataFrame
        `token` and `value`, in the order of the text; special tokens and the encoder's prefix are
        among them.

    Raises
    ------
    ValueError
        If the text is blank, or there is no such way.
    NoGradients
        If the encoder is no text encoder with a PyTorch network.

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> from vidrec_utils.interpretability.targets import class_head
    >>> encoder = text_encoders.load("minilm")
    >>> texts = ["a cat", "my cats", "a train", "old trains"]
    >>> labels = pd.Series(["animal", "animal", "traffic", "traffic"])
    >>> target = Target(encoder, class_head(encoder.encode(texts), labels, "animal", strength=1))
    >>> table = token_attributions(target, "the cat on a chair")
    >>> table.loc[table["value"].idxmax(), "token"]
    'cat'
    """
    arguments.one_of(WAYS, way=way)
    arguments.at_least(1, steps=steps)
    encoder = target.encoder
    if not isinstance(encoder, TextEncoder):
        raise NoGradients(
            f"{encoder.name} is no text encoder with a network, so it has no tokens to explain."
        )
    if not text.strip():
        raise ValueError("A blank text has no tokens to explain.")
    net = target.network
    ids, mask, _ = encoder.network_inputs([text])
    ids, mask = ids.to(encoder.device), mask.to(encoder.device)
    if way == "occlusion":
        values = _token_occlusion(target, net, ids, mask)
    elif way == "integrated":
        values = _token_integral(target, net, ids, mask, steps)
    else:
        with _readable(net) as inner:
            output = inner(input_ids=ids, attention_mask=mask, output_attentions=True)
            score = target.head.of_tensors(_pooled(output.last_hidden_state, mask))
            (relevance,) = _relevance(score, output.attentions, way)
        values = relevance.mean(axis=0)  # the vector is the mean over the tokens
    tokens = encoder.tokenizer.convert_ids_to_tokens(ids[0].tolist())
    return pd.DataFrame({"token": tokens, "value": np.asarray(values, dtype=float)})


def _pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask[..., None].to(states.dtype)
    mean = (states * weights).sum(dim=1) / weights.sum(dim=1)
    return nn.functional.normalize(mean, dim=1)


def _token_occlusion(
    target: Target, net: nn.Module, ids: torch.Tensor, mask: torch.Tensor
) -> np.ndarray:
    length = ids.shape[1]
    masks = mask.repeat(length + 1, 1)  # the last row keeps all tokens
    masks[torch.arange(length), torch.arange(length)] = 0
    with torch.inference_mode():
        states = net(input_ids=ids.repeat(length + 1, 1), attention_mask=masks).last_hidden_state
        scores = target.head.of_tensors(_pooled(states, masks)).double().cpu().numpy()
    return scores[-1] - scores[:-1]


def _token_integral(
    target: Target, net: nn.Module, ids: torch.Tensor, mask: torch.Tensor, steps: int
) -> np.ndarray:
    from captum.attr import IntegratedGradients

    embedding: Callable[[torch.Tensor], torch.Tensor] = net.get_input_embeddings()
    words = embedding(ids).detach()  # (1, tokens, dim)

    def score(inputs: torch.Tensor) -> torch.Tensor:
        masks = mask.expand(len(inputs), -1)
        states = net(inputs_embeds=inputs, attention_mask=masks).last_hidden_state
        return target.head.of_tensors(_pooled(states, masks))

    values = IntegratedGradients(score).attribute(
        words, baselines=torch.zeros_like(words), n_steps=steps, internal_batch_size=8
    )
    return values.sum(dim=2)[0].detach().double().cpu().numpy()
