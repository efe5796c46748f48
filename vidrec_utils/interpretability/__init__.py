"""Why a model says what it says, and whether the explanation is right.

| question | names |
|---|---|
| Which number is explained? | `Target`: `class_head`, `classifier_head`, `recommendation_head` |
| Where in an image or clip, by slopes? | `grad_cam`, `cam`, `saliency`, `integrated_gradients` |
| Where, by covering? | `occlude_space`, `occlude_time`, `occlude_tubes`, `occlude_sound` |
| Where, by attention? | `image_attention`, `token_attributions`, `attention_rollout` |
| Is the map right? | `deletion_insertion`, `faithfulness`, `randomized`, `agreement` |
| Does it point at the thing? | `localize`, `in_time`, `center_prior`, `compare_methods` |
| Which feature was it? | `shapley_values`, `ranker_shapley`, `feature_importances` |
| Why this video? | `explain`, with a sentence and a figure |
| Why is another one absent? | `explain_absence` |
| What would have to be different? | `smallest_removal` |
| When do people leave? | `LeavingHazard` |

Each line names what answers its question; `overlays` and `under_film` draw the answers.
"""

from vidrec_utils.interpretability.activation_maps import (
    cam,
    grad_cam,
    layer_gradients,
    map_layers,
)
from vidrec_utils.interpretability.attention import (
    attention_rollout,
    image_attention,
    token_attributions,
)
from vidrec_utils.interpretability.counterfactuals import Counterfactual, smallest_removal
from vidrec_utils.interpretability.faithfulness import (
    agreement,
    cells,
    deletion_insertion,
    faithfulness,
    mean_agreements,
    random_map,
)
from vidrec_utils.interpretability.figures import overlays, under_film
from vidrec_utils.interpretability.gradients import (
    baseline_items,
    completeness_error,
    integrated_gradients,
    saliency,
)
from vidrec_utils.interpretability.leaving import LeavingHazard, at_risk, shots_in_order
from vidrec_utils.interpretability.localization import (
    box_masks,
    center_prior,
    compare_methods,
    in_time,
    localize,
    recorded_attributions,
)
from vidrec_utils.interpretability.occlusion import (
    interrupted,
    occlude_sound,
    occlude_space,
    occlude_time,
    occlude_tubes,
)
from vidrec_utils.interpretability.reasons import (
    Absence,
    NotRecommended,
    Reasons,
    explain,
    explain_absence,
)
from vidrec_utils.interpretability.shapley import (
    Ranker,
    coalitions,
    dependence,
    feature_importances,
    member_groups,
    ranker_features,
    ranker_shapley,
    shapley_from_values,
    shapley_values,
)
from vidrec_utils.interpretability.targets import (
    Head,
    NoGradients,
    Target,
    class_head,
    classifier_head,
    randomized,
    recommendation_head,
)

__all__ = [
    "Absence",
    "Counterfactual",
    "Head",
    "LeavingHazard",
    "NoGradients",
    "NotRecommended",
    "Ranker",
    "Reasons",
    "Target",
    "agreement",
    "at_risk",
    "attention_rollout",
    "baseline_items",
    "box_masks",
    "cam",
    "cells",
    "center_prior",
    "class_head",
    "classifier_head",
    "coalitions",
    "compare_methods",
    "completeness_error",
    "deletion_insertion",
    "dependence",
    "explain",
    "explain_absence",
    "faithfulness",
    "feature_importances",
    "grad_cam",
    "image_attention",
    "in_time",
    "integrated_gradients",
    "interrupted",
    "layer_gradients",
    "localize",
    "map_layers",
    "mean_agreements",
    "member_groups",
    "occlude_sound",
    "occlude_space",
    "occlude_time",
    "occlude_tubes",
    "overlays",
    "random_map",
    "randomized",
    "ranker_features",
    "ranker_shapley",
    "recommendation_head",
    "recorded_attributions",
    "saliency",
    "shapley_from_values",
    "shapley_values",
    "shots_in_order",
    "smallest_removal",
    "token_attributions",
    "under_film",
]
