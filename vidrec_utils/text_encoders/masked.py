"""A small BERT that is trained in seconds: guess the hidden words of a text from the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from vidrec_utils import arguments
from vidrec_utils.encoders.network import build_seeded
from vidrec_utils.text_encoders.encoder import Texts, check_texts
from vidrec_utils.text_encoders.tfidf import words

if TYPE_CHECKING:
    from transformers import BertForMaskedLM

PAD, UNKNOWN, MASK = 0, 1, 2
SPECIAL = ("[PAD]", "[UNK]", "[MASK]")
IGNORED = -100
"""Label of a position that does not count in the loss, as PyTorch and transformers have it."""


@dataclass(eq=False)
class MaskedModel:
    """A two-layer network of the BERT family over a vocabulary of whole words.

    Attributes
    ----------
    net : BertForMaskedLM
        The network of `transformers`, in evaluation mode.
    vocabulary : list of str
        The word of each id; the first three are padding, unknown and the mask.
    losses : DataFrame
        Indexed by `step`: `training`, the mean over the steps since the last row, and `held_out`,
        both in nats for a hidden word.
    """

    net: BertForMaskedLM
    vocabulary: list[str]
    losses: pd.DataFrame = field(default_factory=pd.DataFrame)

    def ids(self, texts: Texts) -> torch.Tensor:
        """Ids of the words of texts, int64 `(n, longest)`, filled up with padding."""
        numbers = {word: number for number, word in enumerate(self.vocabulary)}
        rows = [[numbers.get(w, UNKNOWN) for w in words(text)] for text in check_texts(texts)]
        longest = min(max(map(len, rows), default=0), self.net.config.max_position_embeddings)
        padded = [(row + [PAD] * longest)[:longest] for row in rows]
        return torch.tensor(padded, dtype=torch.long)

    def guesses(self, text: str, position: int, k: int = 3) -> pd.Series:
        """Hide one word of a text and list the most probable words for its place.

        Parameters
        ----------
        text : str
            A text.
        position : int
            Which of its words is hidden, from 0.
        k : int
            How many words are listed.

        Returns
        -------
        Series of float named `"probability"`
            Indexed by word, the most probable first.

        Raises
        ------
        IndexError
            If the text has no such word.
        """
        ids = self.ids([text])
        if not 0 <= position < ids.shape[1]:
            raise IndexError(f"{text!r} has {ids.shape[1]} words; there is none at {position}.")
        ids[0, position] = MASK
        with torch.inference_mode():
            logits = self.net(input_ids=ids, attention_mask=(ids != PAD).long()).logits
        chances, best = logits[0, position].softmax(-1).topk(k)
        index = pd.Index([self.vocabulary[i] for i in best], name="word")
        return pd.Series(chances.numpy(), index=index, name="probability")

    def ranks(self, texts: Texts) -> pd.DataFrame:
        """Rank each word of some texts among all words when it alone is hidden.

        Parameters
        ----------
        texts : sequence of str
            Words outside of the vocabulary are left out.

        Returns
        -------
        DataFrame
            A row for each word, in the order of reading: `text` (position, or the index of a
            Series), `word`, and `rank`, 1 for the network's first guess.
        """
        index = texts.index if isinstance(texts, pd.Series) else range(len(texts))
        rows = []
        for label, row in zip(index, self.ids(texts), strict=True):
            kept = (row > MASK).nonzero()[:, 0]
            if not len(kept):
                continue
            hidden = row.repeat(len(kept), 1)  # one copy for each word that is hidden
            hidden[torch.arange(len(kept)), kept] = MASK
            with torch.inference_mode():
                logits = self.net(input_ids=hidden, attention_mask=(hidden != PAD).long()).logits
            here = logits[torch.arange(len(kept)), kept]  # (kept, vocabulary)
            own = here.gather(1, row[kept][:, None])
            ranks = (here > own).sum(dim=1) + 1
            rows += [
                (label, self.vocabulary[i], int(rank))
                for i, rank in zip(row[kept], ranks, strict=True)
            ]
        return pd.DataFrame(rows, columns=["text", "word", "rank"])


def hide_words(
    ids: torch.Tensor, n_words: int, generator: torch.Generator, share: float = 0.15
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose words to be guessed, and hide them as BERT's authors did.

    Of the chosen words eight in ten become the mask, one in ten a random word, and one in ten
    stays.

    Parameters
    ----------
    ids : tensor of int, shape (batch, words)
        Ids of `MaskedModel`; special ones are never chosen.
    n_words : int
        Size of the vocabulary, special ones included.
    generator : torch.Generator
        What chance is drawn with.
    share : float
        Probability with which a word is chosen.

    Returns
    -------
    hidden, labels : tensor of int, shape (batch, words)
        What the network reads, and the true id at chosen positions (`IGNORED` at all others).

    References
    ----------
    Devlin, Chang, Lee, Toutanova: BERT. NAACL 2019 (arXiv:1810.04805), section 3.1.

    Examples
    --------
    >>> ids = torch.tensor([[5, 6, 7, 0]])
    >>> hidden, labels = hide_words(ids, 9, torch.Generator().manual_seed(0), share=1.0)
    >>> labels.tolist()  # padding is not guessed
    [[5, 6, 7, -100]]
    """
    arguments.share(share=share)
    chance, kind = (torch.rand(ids.shape, generator=generator) for _ in range(2))
    chosen = (chance < share) & (ids > MASK)
    labels = torch.where(chosen, ids, IGNORED)
    random = torch.randint(MASK + 1, n_words, ids.shape, generator=generator)
    hidden = torch.where(chosen & (kind < 0.8), MASK, ids)
    return torch.where(chosen & (kind >= 0.8) & (kind < 0.9), random, hidden), labels


def hidden_examples(
    model: MaskedModel, texts: Texts, seed: int = 0, most: int = 3
) -> dict[str, list[str]]:
    """Show texts, and what the network reads of each once words are hidden.

    Parameters
    ----------
    model : MaskedModel
        Its vocabulary splits the texts into words.
    texts : sequence of str
        Those with the most hidden words are chosen; texts with an unknown word come last.
    seed : int
        Seed of the draw of hidden words.
    most : int
        At most so many texts.

    Returns
    -------
    dict of str to list of str
        Words by `"title <n>"` and `"what the network reads of title <n>"`, with n from 1.

    Examples
    --------
    >>> model = train_masked(["a cat sat on a mat"] * 2, ["a cat"], steps=1, report_steps=1, dim=8)
    >>> shown = hidden_examples(model, ["a cat sat on a mat"])
    >>> shown["title 1"]
    ['a', 'cat', 'sat', 'on', 'a', 'mat']
    >>> len(shown["what the network reads of title 1"])
    6
    """
    ids = model.ids(texts)
    generator = torch.Generator().manual_seed(seed)
    hidden, labels = hide_words(ids, len(model.vocabulary), generator)
    n_hidden = torch.where((ids == UNKNOWN).any(dim=1), 0, (labels >= 0).sum(dim=1))
    shown = {}
    for row in n_hidden.argsort(descending=True, stable=True)[:most].tolist():
        for name, source in (("title", ids), ("what the network reads of title", hidden)):
            words_of_row = [model.vocabulary[i] for i in source[row] if i != PAD]
            shown[f"{name} {row + 1}"] = words_of_row
    return shown


def train_masked(
    texts: Texts,
    held_out: Texts,
    seed: int = 0,
    *,
    steps: int = 300,
    batch_size: int = 96,
    report_steps: int = 20,
    dim: int = 64,
    least: int = 2,
) -> MaskedModel:
    """Train a two-layer BERT on the hidden words of some texts.

    Parameters
    ----------
    texts, held_out : sequence of str
        What is trained on, and what only the loss is measured on.
    seed : int
        Initial weights, batches and hidden words are drawn with this seed; there is no dropout.
    steps : int
        Steps of AdamW, with a learning rate that rises and then falls to 0.
    batch_size : int
        Texts in one step, drawn anew for each.
    report_steps : int
        After so many steps the losses are written down.
    dim : int
        Width of the network; it has two layers of four heads.
    least : int
        A word has to stand so often in the texts to be in the vocabulary.

    Raises
    ------
    ValueError
        If no word stands often enough, or a number is not positive.

    References
    ----------
    Devlin, Chang, Lee, Toutanova: BERT. NAACL 2019 (arXiv:1810.04805).

    Examples
    --------
    >>> texts = ["cat eats fish", "cow eats grass"] * 20
    >>> model = train_masked(texts, texts[:4], steps=80, batch_size=20, dim=32)
    >>> model.guesses("cow eats grass", 2, k=1).index[0]
    'grass'
    """
    from transformers import BertConfig, BertForMaskedLM

    arguments.at_least(
        1, steps=steps, batch_size=batch_size, report_steps=report_steps, dim=dim, least=least
    )
    counts = pd.Series([w for text in check_texts(texts) for w in words(text)]).value_counts()
    vocabulary = [*SPECIAL, *sorted(counts.index[counts >= least])]
    if len(vocabulary) == len(SPECIAL):
        raise ValueError(f"No word stands {least} times in these {len(texts)} texts.")
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=dim, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=4 * dim, max_position_embeddings=32, pad_token_id=PAD,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = MaskedModel(build_seeded(lambda: BertForMaskedLM(config), seed), vocabulary)
    model.losses = _train(model, texts, held_out, seed, steps, batch_size, report_steps)
    model.net.eval()
    return model


def _train(
    model: MaskedModel,
    texts: Texts,
    held_out: Texts,
    seed: int,
    steps: int,
    batch_size: int,
    report_steps: int,
) -> pd.DataFrame:
    """Run the steps of `train_masked`; returns the losses."""
    net, ids, rows = model.net, model.ids(texts), []
    generator = torch.Generator().manual_seed(seed)
    test = model.ids(held_out)
    test_hidden, test_labels = hide_words(test, len(model.vocabulary), generator)
    optimizer = torch.optim.AdamW(net.parameters(), lr=6e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps, pct_start=0.1)
    recent: list[float] = []
    for step in range(1, steps + 1):
        net.train()
        batch = ids[torch.randperm(len(ids), generator=generator)[:batch_size]]
        hidden, labels = hide_words(batch, len(model.vocabulary), generator)
        loss = net(input_ids=hidden, attention_mask=(batch != PAD).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % report_steps == 0:
            net.eval()
            with torch.inference_mode():
                mask = (test != PAD).long()
                own = net(input_ids=test_hidden, attention_mask=mask, labels=test_labels).loss
            rows.append((step, float(np.mean(recent)), own.item()))
            recent = []
    return pd.DataFrame(rows, columns=["step", "training", "held_out"]).set_index("step")
