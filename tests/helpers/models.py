"""Every recommender that a subject exports, and a small world in which each can be fitted.

A new class is found by itself. Only if it cannot be built without arguments, or is slow with its
defaults, it needs a line in `arguments`.
"""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

import vidrec_utils
from tests.helpers.events import library
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.recommender import Popularity, Random, Recommender


def recommenders() -> dict[str, type[Recommender]]:
    """Concrete recommenders in the `__all__` of every subject, by class name."""
    classes: dict[str, type[Recommender]] = {"Popularity": Popularity, "Random": Random}
    for folder in sorted(Path(vidrec_utils.__file__).parent.iterdir()):
        sources = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
        if not any("from vidrec_utils.recommender import" in source for source in sources):
            continue
        subject = importlib.import_module(f"vidrec_utils.{folder.name}")
        exported = (getattr(subject, name) for name in subject.__all__)
        for cls in filter(inspect.isclass, exported):
            if issubclass(cls, Recommender) and not inspect.isabstract(cls):
                classes[cls.__name__] = cls
    return classes


def groups(n_users: int = 40, n_videos: int = 20, seed: int = 0) -> SimpleNamespace:
    """Even users watch the first half of the videos, odd ones the second; the last is cold."""
    rng = np.random.default_rng(seed)
    half = n_videos // 2
    rows = [
        (f"u{u:02d}", v + half * (u % 2))
        for u in range(n_users)
        for v in rng.permutation(half - 1)[:5]
    ]
    return library(rows, range(n_videos), ratio=rng.uniform(0.5, 1, len(rows)))


def vectors(n_videos: int = 20, seed: int = 0) -> pd.DataFrame:
    """A vector for each video of `groups`, which points towards its half."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_videos, 4))
    values[:, 0] += np.where(np.arange(n_videos) < n_videos // 2, 3, -3)
    return pd.DataFrame(values, index=[str(v) for v in range(n_videos)], dtype="f4")


def documents(n_videos: int = 20) -> pd.Series:
    """Terms of each video of `groups`: its half, and one of four words."""
    terms = [(f"half{v // (n_videos // 2)}", f"word{v % 4}") for v in range(n_videos)]
    return pd.Series(terms, index=[str(v) for v in range(n_videos)], dtype=object)


def arguments() -> Mapping[str, Mapping[str, object]]:
    """Arguments of the classes that need some, or that are slow with their defaults."""
    members = [Random(), ItemKNN()]
    quick = {"epochs": 2, "progress": False}
    return {
        "ALS": {"factors": 4, "iterations": 3},
        "BPR": {"factors": 4, "epochs": 3},
        "ContentRecommender": {"vectors": vectors()},
        "Diversified": {"base": Popularity(), "vectors": vectors(), "k": 3, "depth": 6},
        "EndToEnd": {"source": "ids", "length": 6, "dim": 8, "least": 0.0, **quick},
        "FeatureFactorization": {"video_features": vectors(), "factors": 4, **quick},
        "InterestRecommender": {"vectors": vectors(), "interests": 2},
        "LearnedRanker": {"modalities": {"one": vectors(), "two": vectors(seed=1)}, "dims": 3},
        "RankFusion": {"models": members},
        "SASRec": {"length": 6, "dim": 8, "least": 0.0, **quick},
        "SequentialRules": {"gap_minutes": 90.0},  # the events of the world are an hour apart
        "Stacked": {"models": members},
        "TermRecommender": {"documents": documents()},
        "TwoTower": {"vectors": vectors(), "dim": 4, "hidden": 4, **quick},
        "WeightedFusion": {"models": members},
    }


def small(cls: type[Recommender]) -> Recommender:
    """Build a model that is quick to fit in the world of `groups`."""
    return cls(**arguments().get(cls.__name__, {}))
