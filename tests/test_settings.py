"""Threads fit the size of a step, number formats the processor, and nothing stays changed."""

from itertools import product

import pytest
import torch
from threadpoolctl import threadpool_info

from vidrec_utils import settings


def pools():
    return [pool["num_threads"] for pool in threadpool_info()]


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_small_steps_have_one_thread():
    before = pools()
    with settings.threads_for(1e6):
        assert torch.get_num_threads() == 1
        assert set(pools()) == {1}
    assert torch.get_num_threads() == 2
    assert pools() == before


def test_large_steps_keep_their_threads():
    before = pools()
    with settings.threads_for(settings.SMALL_STEP):
        assert torch.get_num_threads() == 2
        assert pools() == before


def test_an_error_gives_the_threads_back():
    with pytest.raises(KeyError), settings.threads_for(1):
        raise KeyError("lost")
    assert torch.get_num_threads() == 2


SETS = ("DEFAULT", "AVX2", "AVX512", "AVX512_BF16", "SVE256", "VSX", "Z VECTOR")
DEVICES = ("cpu", "cuda", "mps")
TYPES = (torch.float32, torch.float16, torch.bfloat16)
OVER_TIME = (torch.contiguous_format, torch.channels_last_3d)
OTHER = (torch.preserve_format, torch.channels_last)


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("layout", OVER_TIME + OTHER)
def test_only_bfloat16_filters_over_time_on_avx512_are_kept_from_onednn(instructions, layout):
    for device, dtype in product(DEVICES, TYPES):
        training = settings.training_format(instructions, torch.device(device), dtype, layout)
        wrong = (
            instructions.startswith("AVX512")
            and device == "cpu"
            and dtype == torch.bfloat16
            and layout in OVER_TIME
        )
        assert training.dtype == dtype
        assert training.onednn != wrong
        assert ("AVX-512" in training.warning) == wrong


def filter_gradient(dtype, layout, width, allowed=True):
    """Gradient of a filter that is longer in time than the clip."""
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(8, width, 3, padding=1).to(memory_format=layout)
    clips = torch.randn(5, 8, 2, 4, 4).contiguous(memory_format=layout)
    with settings.onednn(allowed), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        out = convolution(clips)
        out.backward(torch.randn(out.shape).to(out.dtype))
    return convolution.weight.grad


@pytest.mark.parametrize("layout", OVER_TIME)
@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize("dtype", TYPES)
def test_gradients_are_right_on_this_processor(dtype, layout, width):
    cpu = torch.device("cpu")
    training = settings.training_format(settings.instruction_set(), cpu, dtype, layout)
    exact = filter_gradient(torch.float32, torch.contiguous_format, width)
    gradient = filter_gradient(training.dtype, layout, width, training.onednn)
    assert (gradient - exact).norm() < 0.02 * exact.norm()


def test_onednn_is_given_back():
    before = torch.backends.mkldnn.enabled
    with pytest.raises(KeyError), settings.onednn(False):
        raise KeyError(torch.backends.mkldnn.enabled)
    for allowed in (True, False):
        with settings.onednn(allowed):
            assert torch.backends.mkldnn.enabled == (before and allowed)
    assert torch.backends.mkldnn.enabled == before


def test_avx512_is_seen_where_pytorch_is_restricted(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    assert settings.instruction_set() == "AVX512"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": False})
    assert settings.instruction_set() == "AVX2"


def test_memory_is_given_back_where_the_c_library_can(monkeypatch):
    settings.release_memory()
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)  # is not called there
    settings.release_memory(collect=False)
