"""Names in texts: found in a list (`Gazetteer`), or by a trained network (`EntityTagger`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import emoji
import pandas as pd
import torch

from vidrec_utils import settings
from vidrec_utils.encoders import (
    HubCheckpoint,
    WeightsInfo,
    load_strictly,
    read_checkpoint,
    read_tokenizer,
    renamed,
)
from vidrec_utils.files import sha256
from vidrec_utils.text_encoders.checkpoints import RENAMED, read_config
from vidrec_utils.text_encoders.encoder import Texts, check_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

COLUMNS = ["text", "entity", "kind", "start", "end", "score"]
NER = HubCheckpoint(
    "dslim/bert-base-NER",
    "d1a3e8f13f8c3566299d95fcfc9a8d2382a9affc",
    ("config.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
    "MIT",  # without a hash: compared with the name that the hub gives the file
)
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


class Gazetteer:
    """Finds the names of a list in texts: the baseline of named-entity recognition.

    It learns nothing and knows nothing beyond its list, so a name that is also a word ("apple") is
    found wherever the word stands. Case does not matter; of overlapping names the longest wins.
    Names in scripts with blanks match whole words only.

    Parameters
    ----------
    names : mapping of str to str
        Kind (or any other thing to tell, as a canonical name) by name.

    Raises
    ------
    ValueError
        If there is no name, or a blank one.

    Examples
    --------
    >>> gazetteer = Gazetteer({"Paris": "city", "cat": "animal"})
    >>> gazetteer.find(["A cat in paris"])[["entity", "kind"]].to_numpy().tolist()
    [['cat', 'animal'], ['paris', 'city']]
    """

    def __init__(self, names: Mapping[str, str]):
        if not names or not all(name.strip() for name in names):
            raise ValueError("A gazetteer needs names, none of them blank.")
        self._kinds = {name.casefold(): kind for name, kind in names.items()}
        longest_first = sorted(self._kinds, key=lambda name: (-len(name), name))
        self._pattern = re.compile("|".join(map(self._matching, longest_first)), re.IGNORECASE)

    def find(self, texts: Texts) -> pd.DataFrame:
        """Find all names in texts.

        Returns
        -------
        DataFrame
            A row for each name: `text` (position, or the index of a Series), `entity` (as written),
            `kind`, `start`, `end` (characters) and `score`, here always 1.
        """
        index = texts.index if isinstance(texts, pd.Series) else range(len(texts))
        rows = []
        for label, text in zip(index, check_texts(texts), strict=True):
            for match in self._pattern.finditer(text):
                kind = self._kinds[match.group().casefold()]
                rows.append((label, match.group(), kind, match.start(), match.end(), 1.0))
        return pd.DataFrame(rows, columns=COLUMNS)

    @staticmethod
    def _matching(name: str) -> str:
        if _UNSPACED.search(name) or not re.search(r"\w", name):  # Chinese, emoji: no blanks
            return re.escape(name)
        return rf"(?<!\w){re.escape(name)}(?!\w)"


def emoji_names(characters: Iterable[str] | None = None) -> dict[str, str]:
    """Map English and Chinese names of emoji to the English one: a small bilingual lexicon.

    Parameters
    ----------
    characters : iterable of str, optional
        Which emoji; default all. Skin tones and flags of countries are left out.

    Returns
    -------
    dict of str to str
        English name by English name, Chinese name and the character itself.

    References
    ----------
    The Unicode Consortium: Common Locale Data Repository, as the package `emoji` carries it.

    Examples
    --------
    >>> emoji_names(["🐈"])
    {'cat': 'cat', '🐈': 'cat', '猫': 'cat'}
    """
    emoji.config.load_language("zh")
    chosen = emoji.EMOJI_DATA if characters is None else characters
    names: dict[str, str] = {}
    for character in chosen:
        entry = emoji.EMOJI_DATA.get(character, {})
        english = entry.get("en", "").strip(":").replace("_", " ").lower()
        country = any("\U0001f1e6" <= sign <= "\U0001f1ff" for sign in character)
        if not english or "skin tone" in english or country:
            continue
        names.setdefault(english, english)
        names.setdefault(character, english)
        chinese = entry.get("zh", "").strip(":").replace("_", "")
        if chinese:
            names.setdefault(chinese, english)
    return names


class EntityTagger:
    """A network of the BERT family that predicts for each token whether it is part of a name.

    Attributes
    ----------
    weights : WeightsInfo
        Where they come from.
    kinds : tuple of str
        Kinds of names that it finds; the published one finds persons, organisations, locations and
        other names.

    References
    ----------
    Devlin, Chang, Lee, Toutanova: BERT. NAACL 2019 (arXiv:1810.04805), section 5.3.
    """

    def __init__(
        self,
        net: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        weights: WeightsInfo,
        device: torch.device | str | None = None,
    ):
        self.device = torch.device(device) if device is not None else settings.device()
        self.net = net.eval().to(self.device)
        self.tokenizer = tokenizer
        self.weights = weights
        self.labels = [label for _, label in sorted(net.config.id2label.items())]
        self.kinds = tuple(sorted({label[2:] for label in self.labels if label != "O"}))

    def find(self, texts: Texts, max_tokens: int = 256) -> pd.DataFrame:
        """Find all names, as `Gazetteer.find` does; `score` is the lowest of a name's tokens."""
        index = texts.index if isinstance(texts, pd.Series) else range(len(texts))
        rows = []
        for label, text in zip(index, check_texts(texts), strict=True):
            if text.strip():
                rows += [(label, *name) for name in self._names_in(text, max_tokens)]
        return pd.DataFrame(rows, columns=COLUMNS)

    def _names_in(self, text: str, max_tokens: int) -> list[tuple[str, str, int, int, float]]:
        read = self.tokenizer(
            text, truncation=True, max_length=max_tokens, return_offsets_mapping=True,
            return_tensors="pt",
        )  # fmt: skip
        offsets = read.pop("offset_mapping")[0].tolist()
        with torch.inference_mode():
            logits = self.net(**read.to(self.device)).logits[0]
            chances = logits.softmax(-1).cpu()  # (tokens, kinds)
        spans: list[list] = []
        for (start, end), chance in zip(offsets, chances, strict=True):
            best = self.labels[int(chance.argmax())]
            if start == end or best == "O":
                spans.append([])  # special tokens and other words end a name
            elif spans and spans[-1] and best[2:] == spans[-1][0] and _goes_on(best, spans, start):
                spans[-1][2:] = [end, min(spans[-1][3], float(chance.max()))]
            else:
                spans.append([best[2:], start, end, float(chance.max())])
        return [(text[a:b], kind, a, b, score) for kind, a, b, score in filter(None, spans)]


def _goes_on(label: str, spans: list[list], start: int) -> bool:
    """Whether a token belongs to the name before it: marked as inside, or a piece of its word."""
    return label.startswith("I-") or start == spans[-1][2]


def load_tagger(
    device: torch.device | str | None = None, *, download: bool = False
) -> EntityTagger:
    """Load the published tagger of names, `dslim/bert-base-NER` (MIT; CoNLL-2003, English news).

    Raises
    ------
    WeightsNotAvailable
        If it is not on this machine; names the remedy.
    WeightsError
        If the files are damaged or of another model.
    """
    from transformers import BertForTokenClassification

    folder = NER.folder(
        "text_encoders.load_tagger(download=True)",
        download,
        instead="text_encoders.Gazetteer, which finds the names of a list.",
    )
    file = NER.file(folder)
    config = read_config(folder, "bert")
    net = BertForTokenClassification._from_config(config, dtype=torch.float32)
    state = renamed(read_checkpoint(file), RENAMED)
    unused = ("bert.pooler.", "bert.embeddings.position_ids")
    state = {key: tensor for key, tensor in state.items() if not key.startswith(unused)}
    load_strictly(net, state, file.name)
    info = WeightsInfo("published", file.name, sha256(file), NER.licence)
    return EntityTagger(net, read_tokenizer(folder), info, device)
