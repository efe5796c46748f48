"""Every recommender that a subject exports, and a small world in which each can be fitted."""

import inspect
from types import SimpleNamespace

import numpy as np
import pandas as pd

from tests.helpers.events import library
from vidrec_utils import behavior_based, content_based, hybrid
from vidrec_utils.recommender import Popularity, Random, Recommender

SUBJECTS = (content_based, behavior_based, hybrid)


def recommenders(*subjects) -> dict[str, type[Recommender]]:
    """Concrete recommenders in the `__all__` of subjects, by class name."""
    exported = [getattr(subject, name) for subject in subjects for name in subject.__all__]
    return {
        cls.__name__: cls
        for cls in exported
        if inspect.isclass(cls) and issubclass(cls, Recommender) and not inspect.isabstract(cls)
    }


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


ARGUMENTS = {
    "ContentRecommender": lambda: (vectors(),),
    "Diversified": lambda: (Popularity(), vectors()),
    "InterestRecommender": lambda: (vectors(), 2),
    "LearnedRanker": lambda: ({"one": vectors(), "two": vectors(seed=1)},),
    "TermRecommender": lambda: (documents(),),
    "SequentialRules": lambda: (5, 90.0),  # the events of the world are an hour apart
    "Stacked": lambda: ([Random(), behavior_based.ItemKNN()],),
}
"""Positional arguments of the classes that cannot be built from defaults."""


def small(cls: type[Recommender]) -> Recommender:
    """A model for the world of `groups`; extend `ARGUMENTS` for a class that needs arguments."""
    return cls(*ARGUMENTS.get(cls.__name__, tuple)())
