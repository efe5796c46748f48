"""The same encoder on a faster runtime: OpenVINO in place of eager PyTorch, on a CPU.

OpenVINO compiles the whole network for this processor. The vectors are those of the encoder up to
rounding (below 1e-4 of their length), but not to the last bit, so they have a fingerprint and
a store of their own.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vidrec_utils import arguments, settings
from vidrec_utils.encoders.protocol import (
    ClipEncoder,
    Encoder,
    FrameContract,
    HasNetwork,
    Layered,
    Tunable,
    batches,
)

if TYPE_CHECKING:
    import torch

    from vidrec_utils.encoders.windows import Windows

RUNTIMES = ("openvino",)


class AcceleratedEncoder:
    """An encoder whose network runs elsewhere; layers and preprocessing are the original's.

    It has what every encoder has; whatever else the original offers is found at `encoder`.

    Attributes
    ----------
    encoder : Tunable
        The original, whose network is a PyTorch module.
    runtime : str
        `"openvino"`, and its version.
    """

    def __init__(self, encoder: Tunable, runtime: str):
        self.encoder = encoder
        self.runtime = runtime
        self.name = f"{encoder.name}-openvino"
        self.modality = encoder.modality
        self.dim = encoder.dim
        self.parameters = encoder.parameters
        self.weights = encoder.weights
        self.values_per_item = encoder.values_per_item
        self.layers = encoder.layers if isinstance(encoder, Layered) else ()

    @property
    def preprocessing(self) -> dict[str, object]:
        """The original's, and the runtime."""
        return {**(self.encoder.preprocessing or {}), "runtime": self.runtime}

    @property
    def fingerprint(self) -> str:
        """Digest of the original's and the runtime with its version."""
        return hashlib.sha256(f"{self.encoder.fingerprint} {self.runtime}".encode()).hexdigest()

    @property
    def frame_contract(self) -> FrameContract:
        """The original's, of clips."""
        return cast(ClipEncoder, self.encoder).frame_contract

    @property
    def windows(self) -> Windows | None:
        """The original's, of clips."""
        return getattr(self.encoder, "windows", None)

    def activations(self, batch: list, layer: str) -> torch.Tensor:
        """Output of one of the original's layers, computed by PyTorch."""
        return cast(Layered, self.encoder).activations(batch, layer)

    def encode(self, batch: list) -> np.ndarray:
        """Vectors of a batch, float32 `(n, dim)`."""
        raise NotImplementedError


class _AcceleratedImages(AcceleratedEncoder):
    """An encoder of images or clips: the original prepares, in another thread where it can."""

    def __init__(self, encoder: Tunable, runtime: str):
        super().__init__(encoder, runtime)
        self._compiled: Callable | None = None

    def prepare(self, batch: list) -> torch.Tensor:
        """The network's input for a batch, on the CPU."""
        return self.encoder.network_inputs(batch)[0]

    def encode_prepared(self, prepared: torch.Tensor) -> np.ndarray:
        """Vectors of what `prepare` returned, float32 `(n, dim)`."""
        values = np.ascontiguousarray(prepared.numpy())
        if self._compiled is None:  # the first batch shows the shape of items
            self._compiled = _compiled(vector_network(self.encoder), prepared)
        return np.array(self._compiled([values])[0], dtype=np.float32)

    def encode(self, batch: list, batch_size: int = 8) -> np.ndarray:
        """Vectors of a batch, float32 `(n, dim)`."""
        if not len(batch):
            return np.empty((0, self.dim), dtype=np.float32)
        prepared = (self.prepare(list(part)) for part in batches(batch, batch_size))
        return np.concatenate([self.encode_prepared(part) for part in prepared])


class _AcceleratedTexts(AcceleratedEncoder):
    """An encoder of texts: the original's tokens and pooling around a compiled network."""

    def __init__(self, encoder: Tunable, runtime: str):
        super().__init__(encoder, runtime)
        self._twin = encoder.with_network(_compiled_states(encoder.net), encoder.weights)

    def encode(self, batch: list) -> np.ndarray:
        """Vectors of texts, float32 `(n, dim)`."""
        return self._twin.encode(batch)


def accelerate(encoder: Encoder, runtime: str = "openvino") -> AcceleratedEncoder:
    """An encoder of the same protocol whose network runs on OpenVINO, on the CPU in float32.

    The first batch takes some seconds longer: the network is compiled then.

    Parameters
    ----------
    encoder : Encoder
        Trained or calibrated, with a PyTorch network (`HasNetwork`). Not changed.
    runtime : {"openvino"}
        The one runtime; on two cores it was faster than ONNX Runtime for every network measured.

    Returns
    -------
    AcceleratedEncoder
        Its `name`, `fingerprint` and `preprocessing` contain the runtime, so its vectors are kept
        apart from the original's. Layers for an audit are computed by the original.

    Raises
    ------
    ValueError
        If the runtime is unknown.
    ImportError
        If OpenVINO is not installed; names the remedy.
    TypeError
        If the encoder has no network.
    RuntimeError
        If its random weights were not calibrated.

    Examples
    --------
    >>> from vidrec_utils import image_encoders
    >>> accelerate(image_encoders.load("pixels"))
    Traceback (most recent call last):
    TypeError: pixels cannot be accelerated: it has no PyTorch network. Use it as it is.
    """
    arguments.one_of(RUNTIMES, runtime=runtime)
    if importlib.util.find_spec("openvino") is None:
        raise ImportError(
            "OpenVINO is not installed, so encoders run on PyTorch only. Run `pip install openvino`"
            ", or leave accelerate(...) out: the vectors are the same up to rounding."
        )
    import openvino

    if not isinstance(encoder, HasNetwork):
        raise TypeError(
            f"{encoder.name} cannot be accelerated: it has no PyTorch network. Use it as it is."
        )
    if not encoder.calibrated:
        raise RuntimeError(f"{encoder.name} has random weights; call encoder.calibrate first.")
    kind = _AcceleratedTexts if encoder.modality == "text" else _AcceleratedImages
    return kind(cast(Tunable, encoder), f"openvino {openvino.__version__.split('-')[0]}")


def milliseconds(encoder: Encoder, batch: list, repeats: int = 5) -> float:
    """Measure how long an encoder takes for an item, preprocessing included, in ms.

    The fastest run counts: others are slower because of whatever else the machine is doing.

    Parameters
    ----------
    encoder : Encoder
        Random weights take as long as trained ones; calibrate them first.
    batch : list
        Items as `encode` takes them, in one call.
    repeats : int
        Runs that are timed, after one that is not.

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> counts = text_encoders.load("tfidf").fit(["a cat", "a dog"])
    >>> milliseconds(counts, ["a bird"], repeats=1) > 0
    True
    """
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        encoder.encode(batch)
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:]) / len(batch)


def vector_network(encoder: Tunable) -> torch.nn.Module:
    """Wrap an encoder's network as a module from prepared items to vectors.

    Parameters
    ----------
    encoder : Tunable
        An encoder around a network; its weights are shared, not copied.

    Examples
    --------
    >>> import torch
    >>> from vidrec_utils import video_encoders
    >>> network = vector_network(video_encoders.load("slowfast_mini"))
    >>> network(torch.zeros(1, 3, 16, 64, 64)).shape
    torch.Size([1, 768])
    """
    import torch

    class Vectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = encoder.net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return encoder.network_vectors(self.net, x)

    return Vectors().eval()


def _compiled_states(net: torch.nn.Module) -> torch.nn.Module:
    """A language model whose last hidden states are computed by OpenVINO."""
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.net(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.ones(2, 8, dtype=torch.long)
    compiled = _compiled(States().eval(), {"input_ids": ids, "attention_mask": ids})

    class CompiledStates(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
            states = compiled([input_ids.numpy(), attention_mask.numpy()])[0]
            return SimpleNamespace(last_hidden_state=torch.from_numpy(np.array(states)))

    return CompiledStates()


def _compiled(module: torch.nn.Module, example: torch.Tensor | dict[str, torch.Tensor]) -> Callable:
    """A network compiled for batches of any size, in float32 whatever the processor prefers."""
    import openvino
    import torch

    shapes = None
    if isinstance(example, torch.Tensor):
        shapes = [openvino.PartialShape([-1, *example.shape[1:]])]
        example = example[:1].contiguous()
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: shapes of items are fixed, and it is tested
        model = openvino.convert_model(module, example_input=example, input=shapes)
    return _core().compile_model(model, "CPU", _options())


@functools.cache
def _core() -> Any:
    """The one core of OpenVINO in this process, which lives as long as the process.

    A core sets an alternate stack for signals and puts the former one back when it ends. If a
    younger core has set its own by then, that one puts back a stack that no longer exists, and the
    next signal, such as the end of a child process, ends this process without a word (OpenVINO
    2026.4).
    """
    import openvino

    return openvino.Core()


def _options() -> dict[str, object]:
    """How OpenVINO runs a network: in float32 whatever the processor prefers."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": settings.threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }


def compiled_file(path: Path) -> Callable:
    """Compile a network file (ONNX or TFLite) with OpenVINO, on the CPU in float32.

    Parameters
    ----------
    path : Path
        The file; check its hash first.

    Returns
    -------
    callable
        Takes a list of arrays and returns the outputs in their order.

    Raises
    ------
    ImportError
        If OpenVINO is not installed; names the remedy.
    """
    if importlib.util.find_spec("openvino") is None:
        raise ImportError(f"OpenVINO reads {path.name}. Run `pip install openvino`.")
    return _core().compile_model(_core().read_model(path), "CPU", _options())
