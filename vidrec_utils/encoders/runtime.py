"""The same encoder on a faster runtime: OpenVINO in place of eager PyTorch, on a CPU.

OpenVINO compiles the whole network for the processor at hand. The vectors are those of the encoder
up to rounding (below 1e-4 of their length), but not to the last bit, so they have a fingerprint and
a store of their own.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import time
import warnings
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec_utils import settings

if TYPE_CHECKING:
    import torch

    from vidrec_utils.encoders.weights import Encoder

RUNTIMES = ("openvino",)
METHODS = ("vector", "features")  # of an encoder's net, from prepared items to vectors


class AcceleratedEncoder:
    """An encoder whose network runs elsewhere; everything else is asked of the original.

    Attributes
    ----------
    encoder : Encoder
        The original.
    runtime : str
        `"openvino"`, and its version.
    """

    def __init__(self, encoder: Encoder, runtime: str):
        self.encoder = encoder
        self.runtime = runtime
        self.name = f"{encoder.name}-openvino"

    def __getattr__(self, name: str) -> Any:
        if name == "encoder":  # while unpickling
            raise AttributeError(name)
        return getattr(self.encoder, name)

    @property
    def preprocessing(self) -> dict[str, object]:
        """The original's, and the runtime."""
        return {**(getattr(self.encoder, "preprocessing", None) or {}), "runtime": self.runtime}

    @property
    def fingerprint(self) -> str:
        """Digest of the original's and the runtime with its version."""
        return hashlib.sha256(f"{self.encoder.fingerprint} {self.runtime}".encode()).hexdigest()

    def encode(self, batch: list) -> np.ndarray:
        """Vectors of a batch, float32 `(n, dim)`."""
        raise NotImplementedError


class _Prepared(AcceleratedEncoder):
    """Of pictures or clips: prepared by the original, in another thread where `embed` can."""

    def __init__(self, encoder: Encoder, runtime: str):
        super().__init__(encoder, runtime)
        self._compiled: Any = None

    def encode_prepared(self, prepared: torch.Tensor) -> np.ndarray:
        """Vectors of what `prepare` made, float32 `(n, dim)`."""
        values = np.ascontiguousarray(prepared.numpy())
        if self._compiled is None:  # the first batch shows of which shape items are
            method = next(m for m in METHODS if hasattr(self.encoder.net, m))
            self._compiled = _compiled(_call(self.encoder.net, method), prepared)
        return np.array(self._compiled([values])[0], dtype=np.float32)

    def encode(self, batch: list, batch_size: int = 8) -> np.ndarray:
        """Vectors of a batch, float32 `(n, dim)`."""
        parts = [
            self.encode_prepared(self.encoder.prepare(batch[start : start + batch_size]))
            for start in range(0, len(batch), batch_size)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), dtype=np.float32)


class _Text(AcceleratedEncoder):
    """Of texts: the original's tokens and pooling around a compiled network."""

    def __init__(self, encoder: Encoder, runtime: str):
        import torch

        super().__init__(encoder, runtime)
        ids = torch.ones(2, 8, dtype=torch.long)
        compiled = _compiled(_states(encoder.net), {"input_ids": ids, "attention_mask": ids})

        def net(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
            states = compiled([input_ids.numpy(), attention_mask.numpy()])[0]
            return SimpleNamespace(last_hidden_state=torch.from_numpy(np.array(states)))

        self._twin = copy.copy(encoder)
        self._twin.net = net

    def encode(self, batch: list) -> np.ndarray:
        """Vectors of texts, float32 `(n, dim)`."""
        return self._twin.encode(batch)


def accelerate(encoder: Encoder, runtime: str = "openvino") -> AcceleratedEncoder:
    """An encoder of the same protocol whose network runs on OpenVINO, on the CPU in float32.

    The first batch takes some seconds longer: the network is compiled then.

    Parameters
    ----------
    encoder : Encoder
        With trained or calibrated weights; of pictures or clips with `prepare` and a `net` that has
        `vector` or `features`, of texts with a transformers `net` and `tokenizer`. Not changed.
    runtime : {"openvino"}
        The one runtime; on two cores it was faster than ONNX Runtime for every network measured.

    Returns
    -------
    AcceleratedEncoder
        Its `name`, `fingerprint` and `preprocessing` tell the runtime, so its vectors are kept
        apart from the original's. Layers for an audit, and all else, are still the original's.

    Raises
    ------
    ValueError
        If the runtime is unknown.
    ImportError
        If OpenVINO is not installed; names the remedy.
    TypeError
        If the encoder is not made like that.
    RuntimeError
        If its random weights were not calibrated.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime is {runtime!r}; choose from {', '.join(RUNTIMES)}.")
    if importlib.util.find_spec("openvino") is None:
        raise ImportError(
            "OpenVINO is not installed, so encoders run on PyTorch only. Run `pip install openvino`"
            ", or leave accelerate(...) out: the vectors are the same up to rounding."
        )
    import openvino

    if not getattr(encoder, "calibrated", True):
        raise RuntimeError(f"{encoder.name} has random weights; call encoder.calibrate first.")
    told = f"openvino {openvino.__version__.split('-')[0]}"
    net = getattr(encoder, "net", None)
    if encoder.modality == "text" and net is not None and hasattr(encoder, "tokenizer"):
        return _Text(encoder, told)
    if hasattr(encoder, "prepare") and any(hasattr(net, method) for method in METHODS):
        return _Prepared(encoder, told)
    raise TypeError(
        f"{encoder.name} cannot be accelerated: it has no network with `vector` or `features` that "
        "takes what `prepare` makes. Use it as it is."
    )


def milliseconds(encoder: Encoder, batch: Sequence[Any], repeats: int = 5) -> float:
    """Time that an encoder takes an item, preprocessing included, in ms.

    The fastest run counts: what makes others slower is whatever else the machine is at.

    Parameters
    ----------
    encoder : Encoder
        Random weights take as long as trained ones; calibrate them first.
    batch : sequence
        Items as `encode` takes them, in one call.
    repeats : int
        Runs that are timed, after one that is not.
    """
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        encoder.encode(batch)
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:]) / len(batch)


def _call(net: torch.nn.Module, method: str) -> torch.nn.Module:
    """A module whose forward is one method of another."""
    import torch

    class Call(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return getattr(self.net, method)(x)

    return Call().eval()


def _states(net: torch.nn.Module) -> torch.nn.Module:
    """A module from tokens to their last states."""
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.net(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return States().eval()


def _compiled(module: torch.nn.Module, example: Any) -> Any:
    """A network compiled for batches of any size, in float32 whatever the processor prefers."""
    import openvino
    import torch

    if isinstance(example, dict):
        options = {"example_input": example}
    else:
        shape = openvino.PartialShape([-1, *example.shape[1:]])
        options = {"example_input": example[:1].contiguous(), "input": [shape]}
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: shapes of items are fixed, and it is tested
        model = openvino.convert_model(module, **options)
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": settings.threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    return openvino.Core().compile_model(model, "CPU", options)
