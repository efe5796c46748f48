"""Two processes of torchrun do what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = "tests.transfer_learning.two_processes"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Results of one process, and of both of two."""
    folder = tmp_path_factory.mktemp("processes")
    quiet = {name: v for name, v in os.environ.items() if name not in ("WORLD_SIZE", "RANK")}
    environment = quiet | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", SCRIPT]
    for command in (["-m", SCRIPT], launch):
        done = subprocess.run(
            [sys.executable, *command, str(folder)], cwd=ROOT, env=environment, timeout=120,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    return {file.stem: json.loads(file.read_text()) for file in folder.glob("found-*.json")}


def test_two_processes_take_the_steps_of_one(found):
    one, first = found["found-1-0"], found["found-2-0"]
    assert (one["world"], first["world"]) == (1, 2)
    assert len(one["losses"]) == 9  # 27 clips, 6 at a time, two parts a step: 3 steps an epoch
    np.testing.assert_allclose(first["losses"], one["losses"], atol=1e-4)
    np.testing.assert_allclose(first["valid"], one["valid"], atol=1e-4)
    np.testing.assert_allclose(first["vector"], one["vector"], atol=1e-3)
    assert one["losses"][-1] < one["losses"][0]  # and they are steps of learning


def test_both_processes_end_with_the_same_network(found):
    assert found["found-2-0"]["vector"] == found["found-2-1"]["vector"]
    assert found["found-2-0"]["losses"] == found["found-2-1"]["losses"]
