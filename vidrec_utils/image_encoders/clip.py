"""CLIP as an encoder: images and sentences in one space, so that words can name images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vidrec_utils.embeddings.geometry import unit_rows
from vidrec_utils.encoders import (
    HubCheckpoint,
    WeightsInfo,
    WeightsNotAvailable,
    read_tokenizer,
)
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.image_encoders.preprocessing import Images, Recipe
from vidrec_utils.image_encoders.vision_transformers import ClipNet, VisionTransformer

CLIP_TOKENS = 77


class ClipEncoder(ImageEncoder):
    """CLIP: `encode` for images, `encode_texts` for sentences, `zero_shot` for both.

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
        device: torch.device | str | None,
        recipe: Recipe,
        folder: Path | None = None,
    ):
        super().__init__(name, net, weights, device, recipe=recipe)
        self._folder = folder
        self._tokenizer = None

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of sentences, float32 `(n, dim)`, comparable by cosine with those of images.

        Only the first 77 tokens of a long text are read.

        Raises
        ------
        TypeError
            If one string is given instead of a list, or an item is not a string.
        WeightsNotAvailable
            If no tokenizer came with the weights, as for random ones.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("Give a list of strings: encode_texts(['a cat', 'a dog']).")
        if not len(texts):
            return np.empty((0, self.dim), dtype=np.float32)
        tokens = self._tokenize(list(texts))
        with torch.inference_mode():
            ids, mask = (tokens[key].to(self.device) for key in ("input_ids", "attention_mask"))
            return self.net.texts(ids, mask).float().cpu().numpy()

    def zero_shot(
        self, images: Images, labels: Sequence[str], template: str = "a photo of {}"
    ) -> pd.DataFrame:
        """Probability of each label for each image, without a single example.

        Parameters
        ----------
        images : list of uint8 (height, width, 3)
            RGB images.
        labels : sequence of str
            Labels to choose from.
        template : str
            Sentence with `{}` for the label.

        Returns
        -------
        DataFrame
            A row for each image, a column for each label; rows sum to 1.
        """
        texts = self.encode_texts([template.format(label) for label in labels])
        cosine = unit_rows(self.encode(images)) @ unit_rows(texts).T  # (images, labels)
        scale = self.net.net.logit_scale.detach().exp().item()
        chances = torch.from_numpy(cosine * scale).softmax(dim=1).numpy()
        return pd.DataFrame(chances, columns=list(labels))

    def _tokenize(self, texts: list[str]) -> dict[str, torch.Tensor]:
        if self._folder is None:
            raise WeightsNotAvailable(
                f"{self.name} with {self.weights.source} weights has no tokenizer; sentences need "
                "weights='published'."
            )
        if self._tokenizer is None:
            self._tokenizer = read_tokenizer(self._folder)
        most = min(CLIP_TOKENS, self.net.net.config.text_config.max_position_embeddings)
        return self._tokenizer(
            texts, padding=True, truncation=True, max_length=most, return_tensors="pt"
        )


def _clip(config: dict[str, object]) -> ClipNet:
    from transformers import CLIPConfig, CLIPModel

    return ClipNet(CLIPModel(CLIPConfig.from_dict(config)))


ENTRY = VisionTransformer(
    name="clip_vit_b32",
    kind="clip",
    about={
        "family": "CLIP (vision transformer)",
        "year": 2021,
        "parameters": 151_277_313,
        "gflops": 8.73,
        "dim": 512,
        "licence": "MIT",
        "pretrained_on": "400 million pairs of pictures and captions",
        "accuracy": 63.2,
        "accuracy_source": "ImageNet top-1 % without examples: table 11 of arXiv:2103.00020",
    },
    published=HubCheckpoint(
        "openai/clip-vit-base-patch32",
        "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        ("config.json", "tokenizer_config.json", "tokenizer.json"),
        "MIT",
        ("pytorch_model.bin",),
        "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
    ),
    recipe=Recipe(
        224,
        224,
        "bicubic",
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    sizes=range(224, 225),
    build=_clip,
    wrap=ClipEncoder,
)
