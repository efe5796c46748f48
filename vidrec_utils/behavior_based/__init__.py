"""Recommending from behaviour alone: what people who watched this also watched.

No model here needs a file or a title, only who watched what, and when; a video that nobody watched
is therefore invisible to all of them.

- `signal_weights`: the weights of events by one signal alone (watching, liking, sharing, ...).
- `label_table`, `duration_table`, `liking_aucs`, `agreement_table`: what duration does to a label.
- `WindowedPopularity`, `DecayedPopularity`: what is popular now.
- `ItemKNN`, `EASE`: from video to video, by counting and in closed form.
- `ALS`, `BPR`: vectors of users and videos, by least squares and by pairs.
- `SASRec`: a transformer over the order of what was watched. Its loss is `chunked_softmax`, or
  `sampled_softmax` for large catalogues.
- `EpochRecommender`: what `ALS`, `BPR` and `SASRec` share: a validation part, early stopping, and a
  hook after each epoch.
- `SequentialRules`: what followed what within a session. It, `ItemKNN`, `EASE`, `ALS` and `SASRec`
  answer for the present session of anybody: `recommend_next`. `shuffled_order` makes the control
  of a model of order.
- `next_questions`, `next_ndcg`: the next video of a session as a question. `order_trials` trains
  one transformer on the log as it is and on shuffled ones, and reads the record of such trials.

`explanations` shows the lists of very different people, with the reasons. `GRIDS` holds settings of
each model to try on validation with `evaluation.search`: no default serves dense and sparse logs.
"""

from vidrec_utils.behavior_based.als import ALS
from vidrec_utils.behavior_based.bpr import BPR
from vidrec_utils.behavior_based.early_stopping import EpochRecommender
from vidrec_utils.behavior_based.ease import EASE, ease_weights
from vidrec_utils.behavior_based.grids import GRIDS
from vidrec_utils.behavior_based.label_tables import (
    agreement_table,
    duration_table,
    label_table,
    liking_aucs,
)
from vidrec_utils.behavior_based.neighbours import ItemKNN, cosine_neighbours
from vidrec_utils.behavior_based.next_video import next_ndcg, next_questions
from vidrec_utils.behavior_based.popularity import DecayedPopularity, WindowedPopularity
from vidrec_utils.behavior_based.row_solvers import solve_rows
from vidrec_utils.behavior_based.sasrec import SASRec, SequenceModel
from vidrec_utils.behavior_based.sessions import (
    SequentialRules,
    SessionRecommender,
    session_numbers,
    shuffled_order,
)
from vidrec_utils.behavior_based.signals import SIGNALS, available_signals, signal_weights
from vidrec_utils.behavior_based.softmax import chunked_softmax, sampled_softmax

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "GRIDS",
    "SIGNALS",
    "DecayedPopularity",
    "EpochRecommender",
    "ItemKNN",
    "SASRec",
    "SequenceModel",
    "SequentialRules",
    "SessionRecommender",
    "WindowedPopularity",
    "agreement_table",
    "available_signals",
    "chunked_softmax",
    "cosine_neighbours",
    "duration_table",
    "ease_weights",
    "label_table",
    "liking_aucs",
    "next_ndcg",
    "next_questions",
    "sampled_softmax",
    "session_numbers",
    "shuffled_order",
    "signal_weights",
    "solve_rows",
]
