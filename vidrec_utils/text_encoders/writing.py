"""Text generation, which models of the GPT family were trained for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence

from vidrec_utils import arguments
from vidrec_utils.encoders import batches
from vidrec_utils.text_encoders.encoder import TextEncoder, Texts, check_texts

EXAMPLES = {
    "How to bake sourdough bread at home": ("bread", "baking", "food"),
    "My cat learns a new trick": ("cat", "pets", "training"),
}
RECORD = Path(__file__).with_name("written_tags.json")


def check_writes(encoder: TextEncoder) -> None:
    """Refuse an encoder that was not trained to predict the next token.

    Raises
    ------
    ValueError
        If it is of another family than GPT.
    """
    if encoder.net.config.model_type not in ("gpt2", "llama"):
        raise ValueError(f"{encoder.name} does not write; take a model of the GPT family.")


def next_tokens(
    encoder: TextEncoder, prompt: str, k: int = 5, temperature: float = 1.0
) -> pd.Series:
    """List the most probable next tokens of a text.

    Parameters
    ----------
    encoder : TextEncoder
        See `complete`.
    prompt : str
        The text so far.
    k : int
        How many are listed.
    temperature : float
        The logits are divided by it before the softmax: below 1 the likely tokens become more
        likely, above 1 all become more alike.

    Returns
    -------
    Series of float named `"probability"`
        Indexed by token, as it is written, with its blank; the most probable first.

    Raises
    ------
    ValueError
        If the encoder is of another family, the prompt is blank, or the temperature not positive.

    References
    ----------
    Radford and others: Language Models are Unsupervised Multitask Learners. 2019. Ackley, Hinton,
    Sejnowski: A Learning Algorithm for Boltzmann Machines. Cognitive Science 9, 1985 (temperature).

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> writer = text_encoders.load("smollm2")  # doctest: +SKIP
    >>> next_tokens(writer, "How to bake", k=1).round(2).to_dict()  # doctest: +SKIP
    {' a': 0.39}
    """
    check_writes(encoder)
    arguments.positive(temperature=temperature)
    arguments.at_least(1, k=k)
    if not prompt.strip():
        raise ValueError("The prompt is blank; give a text that can be continued.")
    logits = _logits(encoder, [encoder.tokenizer(prompt)["input_ids"]])[0]  # (vocabulary,)
    chances, ids = (logits / temperature).softmax(-1).topk(k)
    index = pd.Index([encoder.tokenizer.decode([int(i)]) for i in ids], name="token")
    return pd.Series(chances.numpy(), index=index, name="probability")


def _logits(encoder: TextEncoder, ids: list[list[int]]) -> torch.Tensor:
    """Logits of the token behind each sequence of ids, `(sequences, vocabulary)`."""
    lengths = torch.tensor([len(one) for one in ids])
    padded = pad_sequence([torch.tensor(one) for one in ids], batch_first=True)
    mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
    with torch.inference_mode():
        output = encoder.net(
            input_ids=padded.to(encoder.device), attention_mask=mask.to(encoder.device)
        )
        last = output.last_hidden_state[torch.arange(len(ids)), lengths - 1]  # (sequences, dim)
        return (last @ encoder.net.get_input_embeddings().weight.T).float().cpu()


def label_likelihoods(
    texts: Texts, labels: Sequence[str], encoder: TextEncoder, prompt: str, batch_size: int = 16
) -> pd.DataFrame:
    """Compute how likely each label is to come behind a prompt about a text.

    Parameters
    ----------
    texts : sequence of str
        Titles, for example.
    labels : sequence of str
        What could come next, each written as it would stand there; a blank is put before it.
    encoder : TextEncoder
        See `complete`.
    prompt : str
        A text with the title at `{}`, which ends right before the label.
    batch_size : int
        Prompts in one forward pass.

    Returns
    -------
    DataFrame of float
        Log-likelihood: the sum over the tokens of the label of the logarithm of the probability of
        each, given all before it. A row a text (a Series keeps its index), a column a label.

    Raises
    ------
    ValueError
        If the encoder is of another family, there is no label, one is named twice, or the prompt
        has no `{}`.
    TypeError
        If a text is not a string.

    References
    ----------
    Brown and others: Language Models are Few-Shot Learners. NeurIPS 2020 (arXiv:2005.14165),
    section 2.4.

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> writer = text_encoders.load("smollm2")  # doctest: +SKIP
    >>> title, prompt = "My cat sleeps", "Title: {}. Category:"
    >>> table = label_likelihoods([title], ["animals", "food"], writer, prompt)  # doctest: +SKIP
    >>> table.idxmax(axis=1).tolist()  # doctest: +SKIP
    ['animals']
    """
    check_writes(encoder)
    labels = check_texts(labels)
    if not labels or len({*labels}) < len(labels):
        raise ValueError(f"Labels must be given, and each once; these are {labels}.")
    if "{}" not in prompt:
        raise ValueError(f"The prompt {prompt!r} has no {{}} for the text to stand at.")
    index = texts.index if isinstance(texts, pd.Series) else None
    read = encoder.tokenizer
    prompts = [read(prompt.replace("{}", text))["input_ids"] for text in check_texts(texts)]
    answers = [read(" " + label, add_special_tokens=False)["input_ids"] for label in labels]
    scores = torch.zeros(len(prompts), len(labels), dtype=torch.float64)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # less padding
    for rows in batches(order, batch_size):
        known: dict[tuple[int, ...], torch.Tensor] = {}  # what labels share is computed once
        for column, answer in enumerate(answers):
            for step, token in enumerate(answer):
                before = tuple(answer[:step])
                if before not in known:
                    behind = [prompts[i] + list(before) for i in rows]
                    known[before] = _logits(encoder, behind).log_softmax(-1)
                scores[rows, column] += known[before][:, token].double()
    return pd.DataFrame(scores.numpy(), index=index, columns=labels)


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
    check_writes(encoder)
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


def recorded_tags() -> dict[str, tuple[str, ...]]:
    """Read the tags that `write_tags` gave to MiniTube's titles, which takes minutes.

    They are recorded with `python benchmarks/written_tags.py`.

    Returns
    -------
    dict of str to tuple of str
        Tags by title, in the order of writing.

    Examples
    --------
    >>> recorded_tags()["A forgotten history of the surprise"]
    ('history', 'surprise', 'history of surprise')
    """
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    return {title: tuple(tags) for title, tags in record.items()}
