"""What the attention heads of a network look at, measured over many texts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from vidrec_utils.text_encoders.encoder import TextEncoder, Texts, check_texts

PATTERNS = ("token before", "token after", "itself", "first token", "last token")


def attention_maps(encoder: TextEncoder, text: str) -> torch.Tensor:
    """Attention weights of each layer and head for one text.

    Parameters
    ----------
    encoder : TextEncoder
        A network of the BERT or GPT family; it is left as it was.
    text : str
        Any text that is not blank.

    Returns
    -------
    tensor of float32, shape (layers, heads, queries, keys)
        On the CPU; queries and keys are the tokens of `encoder.tokens(text)`, and the weights of
        each query sum to 1. A network of the GPT family gives later tokens a weight of 0.

    Raises
    ------
    ValueError
        If the text is blank.

    References
    ----------
    Vaswani and others: Attention Is All You Need. NeurIPS 2017 (arXiv:1706.03762).

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> attention_maps(text_encoders.load("minilm"), "a cat").shape  # with [CLS] and [SEP]
    torch.Size([6, 12, 4, 4])
    """
    if not text.strip():
        raise ValueError("A blank text has no tokens that could attend to each other.")
    net = encoder.net
    usual = net.config._attn_implementation
    net.set_attn_implementation("eager")  # the fast ones do not return the weights
    try:
        ids, mask, _ = encoder.network_inputs([text])
        with torch.inference_mode():
            output = net(
                input_ids=ids.to(encoder.device), attention_mask=mask.to(encoder.device),
                output_attentions=True,
            )  # fmt: skip
    finally:
        net.set_attn_implementation(usual)
    return torch.cat(output.attentions).float().cpu()


def head_patterns(encoder: TextEncoder, texts: Texts) -> pd.DataFrame:
    """Measure how much attention each head gives to neighbours and to the ends of a text.

    Parameters
    ----------
    encoder : TextEncoder
        A network of the BERT or GPT family.
    texts : sequence of str
        Some dozens, each with three tokens or more.

    Returns
    -------
    DataFrame
        Indexed by `layer` and `head`, both from 1; one column for each of `PATTERNS`, the mean over
        texts and queries of the attention weight that goes there. The ends themselves are no
        queries, for each of the last two columns. `uniform` is the weight that a head would give to
        one token if it looked at all alike.

    Raises
    ------
    ValueError
        If there is no text, or one is too short.

    References
    ----------
    Clark, Khandelwal, Levy, Manning: What Does BERT Look At? 2019 (arXiv:1906.04341).

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> table = head_patterns(text_encoders.load("minilm"), ["a cat on a mat"])
    >>> len(table), list(table.index.names)
    (72, ['layer', 'head'])
    """
    rows, uniform = [], []
    for text in check_texts(texts):
        maps = attention_maps(encoder, text).numpy()  # (layers, heads, queries, keys)
        if maps.shape[-1] < 3:
            raise ValueError(f"{text!r} has {maps.shape[-1]} tokens; give texts of 3 or more.")
        rows.append(
            [
                np.diagonal(maps, -1, 2, 3).mean(axis=2),
                np.diagonal(maps, 1, 2, 3).mean(axis=2),
                np.diagonal(maps, 0, 2, 3).mean(axis=2),
                maps[:, :, 1:-1, 0].mean(axis=2),
                maps[:, :, 1:-1, -1].mean(axis=2),
            ]
        )
        uniform.append(1 / maps.shape[-1])
    if not rows:
        raise ValueError("There is no text to look at.")
    mean = np.mean(rows, axis=0)  # (patterns, layers, heads)
    index = pd.MultiIndex.from_product(
        [range(1, mean.shape[1] + 1), range(1, mean.shape[2] + 1)], names=["layer", "head"]
    )
    table = pd.DataFrame(mean.reshape(len(PATTERNS), -1).T, index, list(PATTERNS))
    return table.assign(uniform=np.mean(uniform))
