"""MiniTube: a video platform small enough to hold in the hand, with known ground truth.

A deterministic, seeded world that is rendered on first use and never downloaded: H.264 clips of .8
to 8 seconds and one to three shots, in which a *subject* (an OpenMoji sprite) moves over a *scene*
(a photograph) in a *motion* at a *pace*, to music in a *mood*; titles, tags and descriptions as
people type them; four weeks of exposures to simulated users whose tastes are known; and planted
dirt. `build` renders it, `datasets.load("minitube")` reads it, and `minitube.truth` says how it
really is, for checks alone. `run` lets a policy choose what people see, and says how they liked it.

How hard each task is, measured, stands in `data/README.md`;
`python benchmarks/minitube_difficulty.py` prints the figures.

Sprites: OpenMoji, the open-source emoji and icon project, CC BY-SA 4.0; rendered clips are adapted
material under the same licence. Photographs: scikit-image and scikit-learn.
"""

from vidrec_utils.minitube.config import VERSION, WorldConfig, world_config
from vidrec_utils.minitube.drawings import drawing
from vidrec_utils.minitube.runs import Policy, Run, Sessions, catalogue, run
from vidrec_utils.minitube.world import build

__all__ = [
    "VERSION",
    "Policy",
    "Run",
    "Sessions",
    "WorldConfig",
    "build",
    "catalogue",
    "drawing",
    "run",
    "world_config",
]
