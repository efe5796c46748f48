"""Text generation, which models of the GPT family were trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from vidrec_utils.text_encoders.encoder import TextEncoder, Texts, check_texts

EXAMPLES = {
    "How to bake sourdough bread at home": ("bread", "baking", "food"),
    "My cat learns a new trick": ("cat", "pets", "training"),
}


def complete(encoder: TextEncoder, prompt: str, max_new_tokens: int = 16, stop: str = "\n") -> str:
    """Continue a text, each time by the most probable next token.

    Parameters
    ----------
    encoder : TextEncoder
        A model of the GPT family (`smollm2`, `gpt2`), whose output layer is its table of token
        vectors.
    prompt : str
        The text so far.
    max_new_tokens : int
        At most this many are added.
    stop : str
        Ends the text, and is left out.

    Returns
    -------
    str
        Only what was added.

    Raises
    ------
    ValueError
        If the encoder is of another family, or the prompt is blank or too long.

    References
    ----------
    Radford and others: Language Models are Unsupervised Multitask Learners. 2019.
    """
    if encoder.net.config.model_type not in ("gpt2", "llama"):
        raise ValueError(f"{encoder.name} does not write; take a model of the GPT family.")
    (prompt,) = check_texts([prompt])
    ids = encoder.tokenizer(prompt)["input_ids"]
    room = encoder.net.config.max_position_embeddings - max_new_tokens
    if not prompt.strip() or len(ids) > room:
        raise ValueError(f"The prompt has {len(ids)} tokens; {encoder.name} takes 1 to {room}.")
    table = encoder.net.get_input_embeddings().weight  # (vocabulary, dim)
    added: list[int] = []
    step, past = torch.tensor([ids], device=encoder.device), None
    with torch.inference_mode():
        for _ in range(max_new_tokens):
            output = encoder.net(input_ids=step, past_key_values=past, use_cache=True)
            past = output.past_key_values
            logits = table @ output.last_hidden_state[0, -1]  # (vocabulary,)
            following = int(logits.argmax())
            if following == encoder.tokenizer.eos_token_id:
                break
            added.append(following)
            if stop in encoder.tokenizer.decode(added):
                break
            step = torch.tensor([[following]], device=encoder.device)
    return encoder.tokenizer.decode(added).partition(stop)[0].strip()


def write_tags(
    titles: Texts,
    encoder: TextEncoder,
    examples: Mapping[str, Sequence[str]] | None = None,
) -> pd.Series:
    """Let a model of the GPT family write tags for titles, after a few examples in its prompt.

    Nothing holds it to the truth: a small model likes to repeat the examples.

    Parameters
    ----------
    titles : sequence of str
        A few; each takes a second or so on a CPU.
    encoder : TextEncoder
        See `complete`.
    examples : mapping of str to sequence of str, optional
        Titles with good tags; default `EXAMPLES`.

    Returns
    -------
    Series of tuple of str
        Tags in the order of writing, each once; a Series keeps its index.

    References
    ----------
    Brown and others: Language Models are Few-Shot Learners. NeurIPS 2020 (arXiv:2005.14165).

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> writer = text_encoders.load("smollm2")  # doctest: +SKIP
    >>> write_tags(["Bowling for beginners"], writer)[0]  # doctest: +SKIP
    ('bowling', 'beginners')
    >>> write_tags([" "], text_encoders.load("minilm"))[0]  # a blank title is not sent to it
    ()
    """
    shown = "".join(
        f"Title: {title}\nTags: {', '.join(tags)}\n"
        for title, tags in (EXAMPLES if examples is None else examples).items()
    )
    index = titles.index if isinstance(titles, pd.Series) else None
    rows = []
    for title in check_texts(titles):
        line = " ".join(title.split())
        written = complete(encoder, f"{shown}Title: {line}\nTags:") if line else ""
        written = written.replace("\uff0c", ",")
        tags = (tag.strip(" .,\u3001").lower() for tag in written.split(","))
        rows.append(tuple(dict.fromkeys(tag for tag in tags if tag)))
    return pd.Series(rows, index=index, dtype=object)
