"""Text encoders: from a title to a vector, and other tasks of language models.

`load("minilm")` gives a small sentence encoder of the BERT family, `load("multilingual-e5-small")`
one for about a hundred languages, and `load("smollm2")` a small model of the GPT family; their
weights came with Python packages, so that they work offline, and `weights="random"` gives the same
networks untrained. `load("tfidf")` counts words and is the baseline to beat.
`load("bert-base-uncased", "published")` and `load("gpt2", "published")` read their authors'
checkpoints. `available()` is the catalogue.

Tasks: `zero_shot` (categories without training), `keywords` and `write_tags`
(tags where there are none), `tag_shares` (how good such tags are), `Sentiment` (of comments),
`Gazetteer` and `load_tagger` (names).
"""

from vidrec_utils.encoders import WeightsError, WeightsNotAvailable
from vidrec_utils.text_encoders.catalogue import available, load
from vidrec_utils.text_encoders.comparison import against_random
from vidrec_utils.text_encoders.encoder import TextEncoder, mean_pool
from vidrec_utils.text_encoders.entities import EntityTagger, Gazetteer, emoji_names, load_tagger
from vidrec_utils.text_encoders.heads import attention_maps, head_patterns
from vidrec_utils.text_encoders.sentiment import Sentiment
from vidrec_utils.text_encoders.tasks import keywords, tag_hits, tag_shares, zero_shot
from vidrec_utils.text_encoders.tfidf import TfidfEncoder, words
from vidrec_utils.text_encoders.writing import (
    complete,
    label_likelihoods,
    next_tokens,
    write_tags,
)

__all__ = [
    "EntityTagger",
    "Gazetteer",
    "Sentiment",
    "TextEncoder",
    "TfidfEncoder",
    "WeightsError",
    "WeightsNotAvailable",
    "against_random",
    "attention_maps",
    "available",
    "complete",
    "emoji_names",
    "head_patterns",
    "keywords",
    "label_likelihoods",
    "load",
    "load_tagger",
    "mean_pool",
    "next_tokens",
    "tag_hits",
    "tag_shares",
    "words",
    "write_tags",
    "zero_shot",
]
