"""Small steps of training run on one thread, large ones on all, and nothing stays changed."""

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
