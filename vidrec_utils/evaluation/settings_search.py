"""Searching the settings of a recommender on validation, since no default serves every log.

What suits a dense log (MovieLens: hundreds of events a user) fails on a sparse one (short videos: a
handful), and an untuned baseline makes anything else look good. `search` tries settings on
validation, goes beyond the ends of a grid where the best lies there, and says what it could not
settle. The test part is never looked at.

References
----------
Rendle, Zhang, Koren: On the Difficulty of Evaluating Baselines. 2019 (arXiv:1905.01395).
Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 2nd ed. 2009, section 7.10 (the
one-standard-error rule).
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from vidrec_utils import arguments, reporting
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation.metrics import bootstrap_means
from vidrec_utils.evaluation.ranking import evaluate
from vidrec_utils.evaluation.results import Result, percentile_interval
from vidrec_utils.events import Label, fit_label
from vidrec_utils.recommender import EventWeights, Recommender, as_ids

Value: TypeAlias = bool | int | float | str | None
Settings: TypeAlias = dict[str, Value]

RESAMPLES = 1000
SLIVER_WARNING = r".* entries of lists \(coverage "


@dataclass(frozen=True, eq=False)
class Search:
    """The settings that `search` tried, and those that it chose.

    Attributes
    ----------
    settings : dict
        The chosen value of each setting.
    model : Recommender
        Built with them, and the first seed; fitted on `split.train`.
    table : DataFrame
        One row for each combination tried, in the order of trial: the settings; the `metric` on
        validation, `low, high` (95% bootstrap interval); `difference, difference_low,
        difference_high`, this row minus the best one on the same users; `coverage` (share of the
        catalogue on at least one list); `collapsed` (nearly everybody gets the same list, see
        `Result.sliver`); `seconds` to fit and rank; `start`, `chosen`.
    per_user : DataFrame
        The metric of each user (rows) under each combination (columns: positions in `table`).
    metric : str
        Name and length of the lists, such as `"ndcg@10"`.
    notes : tuple of str
        What the search could not settle: a best value at the end of its grid, settings that
        collapse. A sentence each.
    """

    settings: Settings
    model: Recommender
    table: pd.DataFrame
    per_user: pd.DataFrame
    metric: str
    notes: tuple[str, ...]

    @property
    def best(self) -> pd.Series:
        """The row of the best metric on validation; with a margin it need not be the chosen one."""
        return self.table.loc[self.table["metric"].idxmax()]

    def __str__(self) -> str:
        chosen = self.table[self.table["chosen"]].iloc[0]
        start = self.table[self.table["start"]].iloc[0]
        n, users = len(self.table), len(self.per_user)
        lines = [
            f"{self.model.name}: {_words(self.settings)} of {n} combinations tried, by "
            f"{self.metric} of {users:,} users of validation."
        ]
        for name, row in {"chosen": chosen, "start": start}.items():
            value = reporting.interval(row["metric"], row["low"], row["high"], ".4f")
            lines.append(f"{name}: {value}, coverage {row['coverage']:.1%}")
        return "\n".join([*lines, *self.notes])


def search(
    build: Callable[..., Recommender],
    grid: Mapping[str, Sequence[Value]],
    split: Split,
    *,
    k: int = 10,
    metric: str = "ndcg",
    method: Literal["coordinate", "grid"] = "coordinate",
    start: Mapping[str, Value] | None = None,
    rule: Literal["best", "one_se"] = "best",
    margin: float = 0.0,
    widen: int = 2,
    seeds: Sequence[int] = (0,),
    weights: EventWeights | None = None,
    max_users: int | None = None,
    seed: int = 0,
    label: Label = None,
    progress: bool = True,
) -> Search:
    """Try the settings of a recommender on validation, and choose among them.

    By coordinates, one setting after the other takes its best value while all others stay as they
    are, again and again until nothing changes; by `"grid"`, all combinations are tried. Where the
    best value of a number is the first or last of its list, the list is continued as a geometric
    series, up to `widen` times at each end. What is left at an end is said in a warning.

    Models are fitted on `split.train` and measured on `split.validation`, all on the same users;
    the test part is never looked at. The metric of the chosen settings is a little too good, since
    they were chosen by it: measure them on the test, once. `refit(result.model, split)` gives the
    model that has learned from train and validation.

    Parameters
    ----------
    build : callable
        A class, or a function, that takes the settings by keyword and returns a recommender.
    grid : mapping of str to sequence
        Values to try for each setting. List them from the simplest or cheapest on, such as few
        factors before many and strong regularisation before weak, and numbers in rising or falling
        order. `behavior_based.GRIDS` has one for each model there.
    split : Split
    k, metric : int, str
        Length of the lists, and a metric per user of `evaluate`; higher is better.
    method : {"coordinate", "grid"}
    start : mapping, optional
        Settings to begin with, which the others are compared with, too. Default: the defaults of
        `build`; a setting without one begins with the middle of its values.
    rule : {"best", "one_se"}
        The best combination, or the simplest one that is no more than one standard error of their
        paired difference worse. The simplest is the one whose values stand first in their lists
        (least sum of positions).
    margin : float
        Combinations that are worse than the best one by no more than this count as equally good,
        and the simplest of them is chosen.
    widen : int
        Values that may be added at each end of a list.
    seeds : sequence of int
        Models with a `seed` are fitted with each of these, and the metric of a user is averaged.
    weights : Series or callable, optional
        Event weights, as for `Recommender.fit`.
    max_users : int, optional
        If validation has more users, this many are drawn.
    seed : int
        Seed of the bootstrap, and of the users that are drawn.
    label : str or LabelRule, optional
        The label that judges; see `evaluate`. The models are trained with `weights`.
    progress : bool
        Show a bar when it takes longer than two seconds.

    Returns
    -------
    Search

    Raises
    ------
    ValueError
        If the grid is empty, lists a value twice or numbers out of order, `build` has no such
        setting, or there is nothing to measure.
    KeyError
        If there is no such metric.

    Warns
    -----
    UserWarning
        If the best value of a setting is at the end of its list, or the chosen settings give
        nearly everybody the same list. The sentences are in `Search.notes`.

    Examples
    --------
    Ten days ago everybody watched `cat`, and since yesterday they turn to `dog`, so that what is
    popular now is a better guess for newcomers the faster the past is forgotten:

    >>> from vidrec_utils.behavior_based import DecayedPopularity
    >>> times = pd.to_datetime(["2025-03-01"] * 3 + ["2025-03-10"], utc=True)
    >>> log = pd.DataFrame(
    ...     {"user_id": list("abcd"), "video_id": ["cat"] * 3 + ["dog"], "timestamp": times}
    ... ).assign(watch_ratio=1.0)
    >>> later = log[-1:].assign(user_id="new", timestamp=times[-1] + pd.Timedelta("1h"))
    >>> split = Split(log, later, None, pd.DataFrame(index=["cat", "dog"]), "by hand")
    >>> result = search(DecayedPopularity, {"half_life_days": [100.0, 10.0, 1.0]}, split, k=1)
    >>> result.settings, result.table.loc[result.table["start"], "metric"].item()
    ({'half_life_days': 1.0}, 0.0)
    """
    arguments.one_of(("coordinate", "grid"), method=method)
    arguments.one_of(("best", "one_se"), rule=rule)
    arguments.at_least(0, margin=margin, widen=widen)
    space = _Space(grid, build, start, widen)
    with tqdm(desc="search", unit="setting", delay=2, leave=False, disable=not progress) as bar:
        trials = _Trials(build, split, k, metric, seeds, weights, max_users, seed, label, bar)
        product = space.product() if method == "grid" else ()
        current = max([space.start, *product], key=trials.mean)
        before = None
        while current != before:  # each of the settings in turn, until none changes
            before = current
            for name in space.lists:
                current = _best_along(name, current, space, trials.mean)
        return _chosen(trials, space, rule, margin)


def _best_along(
    name: str, current: Settings, space: _Space, mean: Callable[[Settings], float]
) -> Settings:
    """Give one setting its best value, and go beyond the ends of its list where that lies there."""
    while True:
        line = [current | {name: value} for value in space.lists[name]]
        best = max([current, *line], key=mean)  # of equal ones the present value, then the first
        if not space.rises_outwards(name, best, mean) or not space.widened(name, best[name]):
            return best


class _Space:
    """The values of each setting; lists of numbers can be continued at both ends."""

    def __init__(
        self,
        grid: Mapping[str, Sequence[Value]],
        build: Callable[..., Recommender],
        start: Mapping[str, Value] | None,
        widen: int,
    ) -> None:
        if not grid or not all(len(values) for values in grid.values()):
            raise ValueError("The grid is empty: give at least one setting, each with values.")
        self.build, self.widen = build, widen
        self.lists = {name: list(values) for name, values in grid.items()}
        for name, values in self.lists.items():
            _require_order(name, values)
        self.added: dict[tuple[str, bool], int] = {}  # values added at the first and the last end
        self.refused: dict[str, str] = {}  # why a setting goes no further
        defaults, anything = _defaults(build)
        for name in [*grid, *(start or {})]:
            if name not in grid or not (anything or name in defaults):
                owner = "The grid" if name not in grid else _name(build)
                raise ValueError(f"{owner} has no setting {name!r}.")
        middle = {name: values[len(values) // 2] for name, values in self.lists.items()}
        empty = inspect.Parameter.empty
        own = {name: v for name, v in defaults.items() if name in grid and v is not empty}
        self.start: Settings = middle | own | dict(start or {})
        for name, value in self.start.items():
            self.lists[name] = _with(self.lists[name], value)

    def product(self) -> Iterator[Settings]:
        """All combinations of the values."""
        for values in itertools.product(*map(tuple, self.lists.values())):
            yield dict(zip(self.lists, values, strict=True))

    def at_end(self, name: str, value: Value) -> bool | None:
        """Whether a value is the first (True) or the last (False) number of its list, or neither.

        A list of one value has no ends, and 0 is the natural end of what cannot be negative.
        """
        values = self.lists[name]
        if len(values) < 2 or _numbers(values) is None or value == 0:
            return None
        return True if value == values[0] else False if value == values[-1] else None

    def rises_outwards(
        self, name: str, settings: Settings, mean: Callable[[Settings], float]
    ) -> bool:
        """Whether a value lies at an end of its list and is better than the one before the end."""
        first = self.at_end(name, settings[name])
        if first is None:
            return False
        inner = self.lists[name][1 if first else -2]
        return mean(settings) > mean(settings | {name: inner})

    def widened(self, name: str, value: Value) -> bool:
        """Continue the list of a setting beyond the end at which a value lies; False if not."""
        first = self.at_end(name, value)
        if first is None or self.added.get((name, first), 0) >= self.widen:
            return False
        new = _beyond(self.lists[name], first)
        if new is None or name in self.refused:
            return False
        try:
            self.build(**{**self.start, name: new})
        except ValueError as error:  # an end that the model itself sets
            self.refused[name] = str(error)
            return False
        self.lists[name].insert(0 if first else len(self.lists[name]), new)
        self.added[name, first] = self.added.get((name, first), 0) + 1
        return True

    def position(self, settings: Settings) -> int:
        """Sum of the positions of the values in their lists: the larger, the less simple."""
        return sum(self.lists[name].index(value) for name, value in settings.items())

    def notes(self, best: Settings, mean: Callable[[Settings], float]) -> list[str]:
        """A sentence for each number whose best value is at the end of what was tried."""
        notes = []
        for name, value in best.items():
            if not self.rises_outwards(name, best, mean):
                continue
            values = self.lists[name]
            added = sum(n for (other, _), n in self.added.items() if other == name)
            text = f"The best {name}, {_value(value)}, is at the end of what was tried "
            text += f"({_value(values[0])} to {_value(values[-1])}"
            text += f", {added} of them added)" if added else ")"
            reason = self.refused.get(name)
            text += f"; it goes no further: {reason}" if reason else "; try values beyond it."
            notes.append(text)
        return notes


@dataclass(frozen=True, eq=False)
class _Trial:
    """One combination as measured: the metric of each user, averaged over the seeds."""

    settings: Settings
    per_user: pd.Series
    coverage: float
    collapsed: bool
    seconds: float


class _Trials:
    """Combinations that were measured on validation, each once."""

    def __init__(
        self,
        build: Callable[..., Recommender],
        split: Split,
        k: int,
        metric: str,
        seeds: Sequence[int],
        weights: EventWeights | None,
        max_users: int | None,
        seed: int,
        label: Label,
        bar: tqdm,
    ) -> None:
        known = inspect.signature(build).parameters
        if not len(seeds) or ("seed" not in known and len(seeds) > 1):
            raise ValueError(
                "seeds is empty; give at least one."
                if not len(seeds)
                else f"{_name(build)} has no setting seed, so several seeds change nothing."
            )
        self.build, self.k, self.metric, self.weights, self.seed = build, k, metric, weights, seed
        self.options = {"progress": False} if "progress" in known else {}
        self.seeds = [{"seed": int(one)} if "seed" in known else {} for one in seeds]
        self.split = _of_users(split, max_users, seed)
        self.label = fit_label(split.train, split.videos, label)
        self.trials: dict[tuple[Value, ...], _Trial] = {}
        self.bar = bar

    def __getitem__(self, settings: Settings) -> _Trial:
        """Fit and evaluate a combination, unless that was done before."""
        key = tuple(settings.values())
        if key not in self.trials:
            began, results, collapsed = time.perf_counter(), [], False
            for chance in self.seeds:
                model = self.fitted(settings, chance)
                results.append(self._evaluated(model))
                collapsed |= not model.same_for_all and bool(results[-1].sliver(model.user_ids))
            seconds = time.perf_counter() - began
            values = pd.concat([result.per_user[self.metric] for result in results], axis=1)
            coverage = float(np.mean([result.coverage for result in results]))
            mean = values.mean(axis=1)  # (n_users,)
            self.trials[key] = _Trial(dict(settings), mean, coverage, collapsed, seconds)
            self.bar.update()
        return self.trials[key]

    def mean(self, settings: Settings) -> float:
        return float(self[settings].per_user.mean())

    def fitted(self, settings: Settings, chance: Mapping[str, int]) -> Recommender:
        model = self.build(**{**self.options, **settings, **chance})
        return model.fit(self.split, self.weights)

    def _evaluated(self, model: Recommender) -> Result:
        with warnings.catch_warnings():  # of a sliver of the catalogue: a column of the table
            warnings.filterwarnings("ignore", SLIVER_WARNING, UserWarning)
            result = evaluate(
                model,
                self.split,
                self.k,
                on="validation",
                seed=self.seed,
                slices=False,
                progress=False,
                label=self.label,
            )
        if self.metric not in result.metrics:
            raise KeyError(
                f"There is no metric {self.metric!r}; choose from {', '.join(result.metrics)}."
            )
        return result

    def per_user(self) -> pd.DataFrame:
        columns = [trial.per_user for trial in self.trials.values()]
        return pd.concat(columns, axis=1, keys=range(len(columns)))

    def table(self) -> pd.DataFrame:
        """One row for each combination, with intervals over the same resampled users."""
        rows = [
            {
                **trial.settings,
                "coverage": trial.coverage,
                "collapsed": trial.collapsed,
                "seconds": trial.seconds,
            }
            for trial in self.trials.values()
        ]
        table = pd.DataFrame(rows)
        values = self.per_user().to_numpy()  # (n_users, n_combinations)
        draws = bootstrap_means(values, RESAMPLES, self.seed)  # (resamples, n_combinations)
        means = np.nanmean(values, axis=0)
        best = int(means.argmax())
        low, high = percentile_interval(draws, 0.95)
        table["metric"], table["low"], table["high"] = means, low, high
        low, high = percentile_interval(draws - draws[:, [best]], 0.95)
        table["difference"] = means - means[best]
        return table.assign(difference_low=low, difference_high=high)


def _chosen(trials: _Trials, space: _Space, rule: str, margin: float) -> Search:
    """Choose the best combination, or the simplest of those that count as equally good."""
    table, per_user = trials.table(), trials.per_user()
    combinations = [trial.settings for trial in trials.trials.values()]
    chosen = best = int(table["metric"].argmax())
    if rule == "one_se" or margin > 0:
        differences = per_user.sub(per_user[best], axis=0)  # (n_users, n_combinations)
        errors = (differences.std(ddof=1) / np.sqrt(differences.count())).fillna(0).to_numpy()
        allowed = np.maximum(margin, errors if rule == "one_se" else 0)
        equal = np.flatnonzero(table["difference"].to_numpy() >= -allowed)
        order = [(space.position(combinations[i]), -table.at[i, "metric"]) for i in equal]
        chosen = int(equal[order.index(min(order))])
    table["start"], table["chosen"] = table.index == 0, table.index == chosen
    settings = combinations[chosen]
    model = trials.fitted(settings, trials.seeds[0])
    loud = space.notes(combinations[best], trials.mean)
    if table.at[chosen, "collapsed"]:
        loud.append(
            f"Even with the chosen settings, {model.name} gives nearly everybody the same list "
            f"(coverage {table.at[chosen, 'coverage']:.2%}); compare it with popularity."
        )
    for note in loud:
        warnings.warn(note, UserWarning, stacklevel=3)
    silent = []
    if table.at[0, "collapsed"] and not table.at[chosen, "collapsed"]:
        silent.append(
            f"With the settings of the start ({_words(combinations[0])}) {model.name} collapses: "
            f"nearly everybody gets the same list (coverage {table.at[0, 'coverage']:.2%})."
        )
    metric = f"{trials.metric}@{trials.k}"
    return Search(settings, model, table, per_user, metric, (*loud, *silent))


def _defaults(build: Callable[..., Recommender]) -> tuple[Settings, bool]:
    """The settings of a callable that have defaults, and whether it takes any other, too."""
    parameters = inspect.signature(build).parameters.values()
    anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    return {one.name: one.default for one in parameters}, anything


def _numbers(values: Sequence[Value]) -> list[float] | None:
    """The values, if all of them are numbers."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(values) else None


def _require_order(name: str, values: Sequence[Value]) -> None:
    """Refuse a value that is listed twice, and numbers that neither rise nor fall."""
    if len(set(values)) < len(values):
        raise ValueError(f"The grid lists a value of {name} twice: {list(values)}.")
    numbers = _numbers(values)
    if numbers and numbers not in (sorted(numbers), sorted(numbers, reverse=True)):
        raise ValueError(
            f"The values of {name} neither rise nor fall: {numbers}. Put them in order, the "
            "simplest or cheapest first."
        )


def _with(values: list[Value], value: Value) -> list[Value]:
    """Values with one more: in its order among numbers, at the end of another list."""
    if value in values:
        return values
    numbers = _numbers([*values, value])
    if numbers is None:
        return [*values, value]
    falls = len(values) > 1 and numbers[0] > numbers[1]
    return [*sorted(numbers, reverse=falls)]


def _beyond(values: Sequence[Value], first: bool) -> float | None:
    """Continue a list of numbers as a geometric series at one end; None if that gives no other.

    Examples
    --------
    >>> _beyond([1, 3, 9], first=False), _beyond([0.1, 1.0], first=True)
    (27, 0.01)
    """
    numbers = _numbers(values)
    if numbers is None:
        return None
    end, before = (numbers[0], numbers[1]) if first else (numbers[-1], numbers[-2])
    if end * before < 0:
        return None
    new = end * (end / before if before else 2)
    new = round(new) if isinstance(end, int) else float(f"{new:.3g}")
    return None if new == end or not np.isfinite(new) else new


def _of_users(split: Split, most: int | None, seed: int) -> Split:
    """The split with at most so many users of validation, drawn at random."""
    users = as_ids(split.validation["user_id"])
    different = users.unique().sort_values()
    if most is None or len(different) <= most:
        return split
    arguments.at_least(1, max_users=most)
    drawn = np.random.default_rng(seed).permutation(len(different))[:most]
    kept = users.isin(different[drawn])
    return dataclasses.replace(split, validation=split.validation[kept])


def _words(settings: Settings) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in settings.items())


def _value(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name(build: Callable[..., Recommender]) -> str:
    return getattr(build, "__name__", repr(build))
