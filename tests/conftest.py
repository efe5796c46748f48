"""What all tests share: no network, no screen, and no settings from the person who runs them."""

import os

import pytest

# A notebook that is there to be judged, not to be run: nbval must not collect it.
collect_ignore_glob = ["notebooks/known_good/*.ipynb"]

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
for variable in ("VIDREC_DATASET", "VIDREC_PROFILE", "VIDREC_DEVICE"):
    os.environ.pop(variable, None)


@pytest.fixture
def one_thread():
    """PyTorch with a single thread: more of them only wait for one another in small steps."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
