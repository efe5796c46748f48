"""Why a model says what it says, and whether the explanation is right.

| name | what |
|---|---|
| `smallest_removal` | the fewest videos of a history without which another video comes first |
"""

from vidrec_utils.interpretability.counterfactuals import Counterfactual, smallest_removal

__all__ = ["Counterfactual", "smallest_removal"]
