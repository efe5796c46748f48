"""Transfer learning: initialise, change the head, fine-tune, evaluate."""

from vidrec_utils.transfer_learning.bodies import units
from vidrec_utils.transfer_learning.calibration import fit_temperature
from vidrec_utils.transfer_learning.checkpoints import CheckpointError
from vidrec_utils.transfer_learning.splitting import few, hold_out
from vidrec_utils.transfer_learning.strategies import STRATEGIES
from vidrec_utils.transfer_learning.training import (
    Recipe,
    TrainingDiverged,
    train,
    warmup_cosine,
)
from vidrec_utils.transfer_learning.tuning import FineTuned, fine_tune, load

__all__ = [
    "STRATEGIES",
    "CheckpointError",
    "FineTuned",
    "Recipe",
    "TrainingDiverged",
    "few",
    "fine_tune",
    "fit_temperature",
    "hold_out",
    "load",
    "train",
    "units",
    "warmup_cosine",
]
