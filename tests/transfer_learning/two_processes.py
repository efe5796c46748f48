"""What `test_processes.py` runs alone, and under torchrun in two processes: writes its results."""

import json
import sys
from pathlib import Path

import torch

from tests.transfer_learning.tiny import TinyEncoder, coloured
from vidrec_utils.transfer_learning import fine_tune, processes

if __name__ == "__main__":
    torch.set_num_threads(1)
    clips, labels = coloured(27)  # the last batch has 3: shares differ in size
    model = fine_tune(
        TinyEncoder(dropout=0.0), clips, labels, "full", epochs=3, batch_size=6, accumulate=2,
        dropout=0.0, backbone_rate=1e-2, validation=coloured(7, seed=1), progress=False,
        checkpoint=Path(sys.argv[1]) / f"state-{processes.join()[1]}.safetensors",
    )  # fmt: skip
    rank, world = processes.join()
    found = {
        "world": world,
        "losses": model.losses.tolist(),
        "valid": model.history["valid_loss"].tolist(),
        "vector": model.encode(clips[:2]).ravel().tolist(),
    }
    (Path(sys.argv[1]) / f"found-{world}-{rank}.json").write_text(json.dumps(found))
