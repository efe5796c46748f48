"""The strategies of the course in one table, on any library: content, behaviour, and both.

`measure` goes through them in the same way on each library: settings are chosen on validation, the
model is fitted anew on train and validation, and the test is looked at once. `recorded` reads what
`benchmarks/real_data.py` measured on MiniTube and on three real logs, which takes an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.behavior_based import ALS, EASE, GRIDS, DecayedPopularity, ItemKNN
from vidrec_utils.content_based import ContentRecommender, TermRecommender, combine, documents
from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.evaluation import Result, compare, evaluate, refit, search
from vidrec_utils.hybrid.features import modalities
from vidrec_utils.hybrid.fusion import WeightedFusion, tune
from vidrec_utils.hybrid.stacking import Stacked
from vidrec_utils.recommender import Popularity, Random, Recommender

RECORD = Path(__file__).with_name("strategies.csv")
STRATEGIES = (
    "random",
    "popularity",
    "recent popularity",
    "words",
    "content",
    "ItemKNN",
    "EASE",
    "ALS",
    "fusion",
    "stacking",
)
"""In the order of the course: baselines, content, behaviour, both."""
PAIRS = (
    ("recent popularity", "popularity"),
    ("content", "popularity"),
    ("content", "words"),
    ("EASE", "popularity"),
    ("EASE", "ItemKNN"),
    ("EASE", "ALS"),
    ("EASE", "content"),
    ("fusion", "content"),
    ("fusion", "EASE"),
    ("stacking", "fusion"),
    ("stacking", "EASE"),
)
"""Which strategies are compared, on the same users."""
ALS_GRID = {
    "unobserved": GRIDS["ALS"]["unobserved"][:4],
    "factors": GRIDS["ALS"]["factors"],
}
"""Fewer settings of ALS than in `GRIDS`, to bound the time."""


@dataclass(frozen=True)
class Measured:
    """What the strategies reached on one library.

    Attributes
    ----------
    scores : DataFrame
        A row for each strategy: `strategy, mean, low, high` of NDCG@10 on the test with its 95%
        interval over users, `cold` (the mean over videos without an earlier event, NaN where the
        test has none), and `settings`, as chosen on validation.
    differences : DataFrame
        A row for each of `PAIRS`: `strategy, against, mean, low, high`, paired over users.
    users, videos : int
        Users who were measured, and size of the catalogue.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    users: int
    videos: int


def measure(
    library: VideoLibrary,
    split: Split,
    only: Iterable[str] = STRATEGIES,
    *,
    max_users: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Measured:
    """Choose the settings of each strategy on validation, and measure it once on the test.

    Words are counted (BM25 of tags, category, title and description); content is the profile over
    all that the packaged encoders read of the library (`modalities`); the neighbours, EASE, ALS and
    the half-life of popularity are searched on validation; fusion adds content, EASE and ALS with
    weights tuned on validation, and stacking learns from the later events how far to trust each.

    Parameters
    ----------
    library : VideoLibrary
        Cleaned.
    split : Split
        With a validation part.
    only : iterable of str
        Some of `STRATEGIES`.
    max_users : int
        Settings are tried on so many users of validation at most.
    seed : int
        Seed of users that are drawn, of models that start at random, and of intervals.
    progress : bool
        Show bars.

    Returns
    -------
    Measured

    Raises
    ------
    ValueError
        If a strategy is unknown, or there is nothing to measure.

    Examples
    --------
    Two groups of people watch what their group watches:

    >>> user, step = np.tile(np.arange(24), 4), np.repeat(np.arange(4), 24)
    >>> video = user % 2 * 6 + (user // 2 + step) % 6
    >>> log = pd.DataFrame({"user_id": user, "video_id": video}).astype(str)
    >>> log["timestamp"] = pd.date_range("2025-01-01", periods=len(log), freq="h", tz="UTC")
    >>> log["watch_ratio"] = 1.0
    >>> videos = pd.DataFrame({"video_id": [str(n) for n in range(12)]})
    >>> library = VideoLibrary(videos=videos, interactions=log)
    >>> split = Split(log[:48], log[48:72], log[72:], videos.set_index("video_id"), "in order")
    >>> table = measure(library, split, ["popularity", "EASE"], progress=False).scores
    >>> bool(table["mean"].iloc[1] > table["mean"].iloc[0])
    True
    """
    names = list(only)
    for name in names:
        arguments.one_of(STRATEGIES, strategy=name)
    build = _Builder(library, split, max_users, seed, progress)
    rows, results = [], {}
    for name in names:
        model, settings = build(name)
        result = evaluate(refit(model, split), split, on="test", seed=seed, progress=progress)
        results[name] = result
        mean, low, high = result.interval("ndcg")
        cold = result.interval("ndcg", "cold videos")[0]
        rows.append(
            {
                "strategy": name,
                "mean": mean,
                "low": low,
                "high": high,
                "cold": cold,
                "settings": settings,
            }
        )
    if not results:
        raise ValueError(f"only is empty; name some of {', '.join(STRATEGIES)}.")
    users = len(next(iter(results.values())).per_user)
    return Measured(pd.DataFrame(rows), _differences(results, seed), users, len(split.videos))


def recorded() -> Mapping[str, Measured]:
    """Read what was measured on MiniTube and on real logs, by the name of the library.

    Returns
    -------
    dict of str to Measured
        MiniTube first.

    Examples
    --------
    >>> table = recorded()["MovieLens-latest-small"].scores
    >>> table["strategy"].iloc[0]
    'random'
    """
    table = pd.read_csv(RECORD)
    return {str(name): _read(rows) for name, rows in table.groupby("library", sort=False)}


def by_pair(
    measured: Mapping[str, Measured], pairs: Iterable[tuple[str, str]] = PAIRS
) -> dict[str, pd.DataFrame]:
    """Rearrange differences for `plots.forest`: a table for each pair, a row for each library.

    Parameters
    ----------
    measured : mapping of str to Measured
        By the name of the library.
    pairs : iterable of (str, str)
        Some of `PAIRS`.

    Returns
    -------
    dict of str to DataFrame
        By `"a minus b"`; rows by library with the columns `mean, low, high`.

    Examples
    --------
    >>> table = by_pair(recorded(), [("EASE", "popularity")])["EASE minus popularity"]
    >>> bool(table.loc["MiniTube", "low"] > 0)
    True
    """
    tables = {}
    for a, b in pairs:
        rows = {}
        for name, one in measured.items():
            known = one.differences.set_index(["strategy", "against"])
            if (a, b) in known.index:
                rows[name] = known.loc[(a, b), ["mean", "low", "high"]].astype(float)
        tables[f"{a} minus {b}"] = pd.DataFrame(rows).T
    return tables


def record(measured: Mapping[str, Measured]) -> None:
    """Write what `recorded` reads.

    Parameters
    ----------
    measured : mapping of str to Measured
        By the name of the library.
    """
    frames = []
    for name, one in measured.items():
        both = pd.concat([one.scores, one.differences], ignore_index=True)
        both.insert(0, "library", name)
        frames.append(both.assign(users=one.users, videos=one.videos))
    columns = ["library", "strategy", "against", "mean", "low", "high", "cold", "settings"]
    table = pd.concat(frames, ignore_index=True)[[*columns, "users", "videos"]]
    table.to_csv(RECORD, index=False, float_format="%.5f", lineterminator="\n")


class _Builder:
    """Recommenders by name; what several need is made once.

    Parameters
    ----------
    library, split, max_users, seed, progress
        See `measure`.
    """

    def __init__(
        self, library: VideoLibrary, split: Split, max_users: int, seed: int, progress: bool
    ):
        self.library, self.split, self.seed = library, split, seed
        self.max_users, self.progress = max_users, progress
        self._built: dict[str, tuple[Recommender, str]] = {}

    def __call__(self, name: str) -> tuple[Recommender, str]:
        """A recommender that is not fitted, and its settings in words."""
        if name not in self._built:
            model, settings = self._kinds()[name]()
            model.name = name
            self._built[name] = model, settings
        return self._built[name]

    def _kinds(self) -> dict[str, Callable[[], tuple[Recommender, str]]]:
        return {
            "random": lambda: (Random(seed=self.seed), ""),
            "popularity": lambda: (Popularity(), ""),
            "recent popularity": partial(
                self._searched, DecayedPopularity, GRIDS["DecayedPopularity"]
            ),
            "words": lambda: (TermRecommender(documents(self.split.videos)), "bm25"),
            "content": self._content,
            "ItemKNN": partial(self._searched, ItemKNN, GRIDS["ItemKNN"]),
            "EASE": partial(self._searched, EASE, GRIDS["EASE"]),
            "ALS": partial(self._searched, partial(ALS, progress=False, seed=self.seed), ALS_GRID),
            "fusion": self._fusion,
            "stacking": self._stacking,
        }

    def _searched(self, kind: Callable[..., Recommender], grid: Mapping) -> tuple[Recommender, str]:
        chosen = search(
            kind,
            grid,
            self.split,
            max_users=self.max_users,
            seed=self.seed,
            progress=self.progress,
        )
        return chosen.model, ", ".join(f"{key} {value}" for key, value in chosen.settings.items())

    def _content(self) -> tuple[Recommender, str]:
        tables: dict[str, Embeddings | pd.DataFrame] = modalities(self.library)
        return ContentRecommender(combine(tables)), " + ".join(tables)

    def _members(self) -> list[Recommender]:
        return [self(name)[0] for name in ("content", "EASE", "ALS")]

    def _fusion(self) -> tuple[Recommender, str]:
        fusion = WeightedFusion(self._members())
        tuned = tune(
            fusion,
            self.split,
            steps=10,
            max_users=self.max_users,
            seed=self.seed,
            progress=self.progress,
        )
        return tuned.fusion, ", ".join(f"{name} {w:.1f}" for name, w in tuned.weights.items())

    def _stacking(self) -> tuple[Recommender, str]:
        return Stacked(self._members(), seed=self.seed), "linear"


def _differences(results: Mapping[str, Result], seed: int) -> pd.DataFrame:
    rows = []
    for a, b in PAIRS:
        if a in results and b in results:
            one = compare(results[a], results[b], seed=seed)
            rows.append(
                {
                    "strategy": a,
                    "against": b,
                    "mean": one.difference,
                    "low": one.low,
                    "high": one.high,
                }
            )
    return pd.DataFrame(rows, columns=["strategy", "against", "mean", "low", "high"])


def _read(rows: pd.DataFrame) -> Measured:
    pairs = rows["against"].notna()
    scores = rows.loc[~pairs, ["strategy", "mean", "low", "high", "cold", "settings"]]
    differences = rows.loc[pairs, ["strategy", "against", "mean", "low", "high"]]
    return Measured(
        scores.fillna({"settings": ""}).reset_index(drop=True),
        differences.reset_index(drop=True),
        int(rows["users"].iloc[0]),
        int(rows["videos"].iloc[0]),
    )


def of_users(split: Split, n: int, seed: int = 0) -> Split:
    """Keep the validation and test events of so many users, drawn at random; train stays whole.

    Parameters
    ----------
    split : Split
    n : int
        Users of each part at most.
    seed : int
        Users are drawn with this seed.

    Returns
    -------
    Split

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": ["u", "v", "w"], "video_id": ["a", "b", "b"]})
    >>> split = Split(log, log, log, pd.DataFrame(index=["a", "b"]), "the same three times")
    >>> few = of_users(split, 2)
    >>> len(few.train), len(few.validation), len(few.test)
    (3, 2, 2)
    """
    arguments.at_least(1, n=n)
    rng = np.random.default_rng(seed)

    def reduced(frame: pd.DataFrame) -> pd.DataFrame:
        users = np.unique(frame["user_id"].to_numpy(dtype=str))
        drawn = rng.permutation(users)[:n]
        return frame[frame["user_id"].isin(drawn)]

    validation = None if split.validation is None else reduced(split.validation)
    return replace(split, validation=validation, test=reduced(split.test))
