"""Transfer learning: initialise, change the head, fine-tune, evaluate.

`fine_tune(encoder, clips, labels, strategy)` trains a copy of an encoder of clips, images or texts,
and returns predictions, vectors, and the encoder with its new weights. The strategies
(`strategies`) say what is trained and how fast; all of them run one loop (`training.train`), and
frozen modules are run once for each clip (`frozen`).
`fine_tune_folder` does the same from a folder of videos. `inflate_encoder` makes a video encoder of
any 2D CNN, and `flow_network` one that takes optical flow. `label_budget` measures how much
labelled data is needed.
"""

from vidrec_utils.transfer_learning.adapters import (
    InflatedEncoder,
    InflatedFrames,
    flow_network,
    inflate_encoder,
    inflation_gaps,
)
from vidrec_utils.transfer_learning.backbone import Backbone, Prepared, prepare_once, units
from vidrec_utils.transfer_learning.budget import (
    GAINS,
    Way,
    label_budget,
    print_provenance,
    recorded,
)
from vidrec_utils.transfer_learning.calibration import fit_temperature
from vidrec_utils.transfer_learning.checkpoints import CheckpointError
from vidrec_utils.transfer_learning.figures import (
    plot_budget,
    plot_gains,
    plot_history,
    plot_reliability,
)
from vidrec_utils.transfer_learning.fine_tuning import FineTuned, fine_tune, load
from vidrec_utils.transfer_learning.folder import fine_tune_folder, labelled_files
from vidrec_utils.transfer_learning.holdout import few, hold_out
from vidrec_utils.transfer_learning.recommendations import (
    explained,
    mean_percentile,
    mean_watch_ratio,
    over_worlds,
    print_gains,
    recommendation_gains,
    side_by_side,
    vectors_of,
)
from vidrec_utils.transfer_learning.strategies import STRATEGIES
from vidrec_utils.transfer_learning.training import (
    Recipe,
    TrainingDiverged,
    train,
    warmup_cosine,
)
from vidrec_utils.transfer_learning.trials import (
    Trial,
    differences,
    print_differences,
    print_scores,
    spread,
    two_directions,
)

__all__ = [
    "GAINS",
    "STRATEGIES",
    "Backbone",
    "CheckpointError",
    "FineTuned",
    "InflatedEncoder",
    "InflatedFrames",
    "Prepared",
    "Recipe",
    "TrainingDiverged",
    "Trial",
    "Way",
    "differences",
    "explained",
    "few",
    "fine_tune",
    "fine_tune_folder",
    "fit_temperature",
    "flow_network",
    "hold_out",
    "inflate_encoder",
    "inflation_gaps",
    "label_budget",
    "labelled_files",
    "load",
    "mean_percentile",
    "mean_watch_ratio",
    "over_worlds",
    "plot_budget",
    "plot_gains",
    "plot_history",
    "plot_reliability",
    "prepare_once",
    "print_differences",
    "print_gains",
    "print_provenance",
    "print_scores",
    "recommendation_gains",
    "recorded",
    "side_by_side",
    "spread",
    "train",
    "two_directions",
    "units",
    "vectors_of",
    "warmup_cosine",
]
