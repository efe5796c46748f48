"""Helpers behind the course *Pretrained Models for Video Recommendation*.

Each notebook of `notebooks/` is backed by the module of the same name here; what several
notebooks share (`minitube`, `datasets`, `video_io`, `embeddings`, `recommender`, `plots`,
`settings`) lives beside them. Import the module that you need: the package itself imports
nothing heavy.
"""

import warnings

# Bars are drawn as text where JupyterLab has no widgets: no reason to greet a reader with a warning
warnings.filterwarnings("ignore", message="IProgress not found")

__version__ = "0.1.0"
