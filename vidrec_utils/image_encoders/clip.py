"""CLIP as an encoder: pictures and sentences in one space, so that words can name pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.encoders.weights import WeightsError, WeightsNotAvailable
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.image_encoders.preparing import Images, Recipe
from vidrec_utils.image_encoders.transformers_nets import CLIP_TOKENS, ClipNet


class ClipEncoder(ImageEncoder):
    """CLIP: `encode` for pictures, `encode_texts` for sentences, `zero_shot` for both.

    Parameters
    ----------
    name, net, weights, device, recipe
        As for `ImageEncoder`.
    folder : Path or None
        Where the tokenizer lies; without it there are no texts.
    """

    def __init__(
        self,
        name: str,
        net: ClipNet,
        weights: WeightsInfo,
        device: torch.device | str | None = None,
        *,
        recipe: Recipe,
        folder: Path | None = None,
    ):
        super().__init__(name, net, weights, device, recipe=recipe)
        self._folder = folder
        self._tokenizer = None

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of sentences, float32 `(n, dim)`, comparable by cosine with those of pictures.

        Of a long text the first 77 tokens are read.

        Raises
        ------
        TypeError
            If one string came instead of a list, or something that is no string.
        WeightsNotAvailable
            If no tokenizer came with the weights, as for random ones.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("Wanted is a list of strings: encode_texts(['a cat', 'a dog']).")
        if not len(texts):
            return np.empty((0, self.dim), dtype=np.float32)
        told = self._tokenize(list(texts))
        with torch.inference_mode():
            ids, mask = (told[key].to(self.device) for key in ("input_ids", "attention_mask"))
            return self.net.texts(ids, mask).float().cpu().numpy()

    def zero_shot(
        self, images: Images, labels: Sequence[str], template: str = "a photo of {}"
    ) -> pd.DataFrame:
        """Probability of each label for each picture, without a single example.

        Parameters
        ----------
        images : list of uint8 (height, width, 3)
            Pictures.
        labels : sequence of str
            What to choose from.
        template : str
            The sentence that a label is put into.

        Returns
        -------
        DataFrame
            A row a picture, a column a label; rows sum to 1.
        """
        texts = self.encode_texts([template.format(label) for label in labels])
        pictures = self.encode(images)
        cosine = _unit(pictures) @ _unit(texts).T  # (pictures, labels)
        scale = self.net.net.logit_scale.detach().exp().item()
        chances = torch.from_numpy(cosine * scale).softmax(dim=1).numpy()
        return pd.DataFrame(chances, columns=list(labels))

    def _tokenize(self, texts: list[str]) -> dict[str, torch.Tensor]:
        from transformers import AutoTokenizer

        if self._folder is None:
            raise WeightsNotAvailable(
                f"{self.name} with {self.weights.source} weights has no tokenizer; sentences need "
                "weights='published'."
            )
        if self._tokenizer is None:
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            except (OSError, ValueError, KeyError) as error:
                raise WeightsError(
                    f"The tokenizer in {self._folder.name} cannot be read: {error}"
                ) from error
        most = min(CLIP_TOKENS, self.net.net.config.text_config.max_position_embeddings)
        return self._tokenizer(
            texts, padding=True, truncation=True, max_length=most, return_tensors="pt"
        )


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)
