"""Choosing a pretrained model by a procedure: data, licence and budget first, then the score.

The table of a paper answers another question on other data. Few candidates are left after the first
three questions, and their differences are often noise. That a difference may be noise does not make
two candidates equal, however: the cheaper one is chosen where it is shown that it loses no more
than a margin.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, overload

import numpy as np
import pandas as pd

from vidrec_utils import arguments, reporting
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.embeddings import embed
from vidrec_utils.encoders import Encoder
from vidrec_utils.evaluation.comparison import compare_all
from vidrec_utils.evaluation.results import Result

COLUMNS = ("score", "low", "high")
EXCHANGES = 50
"""How often `selection_bias` exchanges settings, to see how far luck alone goes."""
VERDICTS = {
    "worse": "clearly worse than {best}",
    "cannot tell": "cannot tell whether it is worse than {best}",
}
_COLUMN = {"clip": "path", "sound": "path"}


@dataclass(frozen=True, eq=False)
class Choice:
    """The decision of `choose`, with its reasons.

    Attributes
    ----------
    name : str
        The candidate to use.
    reasons : tuple of str
        One sentence a step, in the order in which they were decided.
    table : DataFrame
        The candidates with a column `verdict`: why each was taken or not.
    """

    name: str
    reasons: tuple[str, ...]
    table: pd.DataFrame

    def __str__(self) -> str:
        return "\n".join(f"{i}. {reason}" for i, reason in enumerate(self.reasons, start=1))


def choose(
    candidates: pd.DataFrame,
    *,
    available: Iterable[str] | None = None,
    licences: Iterable[str] | None = None,
    max_seconds: float | None = None,
    max_memory_mb: float | None = None,
    baseline: str | None = None,
    results: Mapping[str, Result] | None = None,
    metric: str = "ndcg",
    level: float = 0.95,
    seed: int = 0,
    margin: float = 0.005,
) -> Choice:
    """Choose among candidates: what the data, the licence and the budget allow, then by score.

    Among those allowed, all that are shown to be no worse than the one with the best score by more
    than the margin count as good enough, and the cheapest of them is chosen. A candidate of which
    the data cannot tell is not good enough: it may be much worse. If the chosen one is not clearly
    better than the baseline, the baseline is chosen.

    Parameters
    ----------
    candidates : DataFrame
        Indexed by name. `score, low, high`: on **validation**, with its interval, higher is better.
        Optional: `seconds` and `memory_mb` (cost of the whole job; NaN is no cost), `needs` (the
        signal it reads, such as `"thumbnail"`; NA: nothing), `licence`.
    available : iterable of str, optional
        Signals that the data have; by default all that is needed.
    licences : iterable of str, optional
        Licences that may be used; by default any. Candidates without one (NA) are no one's.
    max_seconds, max_memory_mb : float, optional
        The budget.
    baseline : str, optional
        Name of the candidate to beat; it needs nothing to be chosen.
    results : mapping of str to Result, optional
        By candidate, its evaluation on validation. Then differences are tested in pairs on the
        same users, and corrected for their number. Without, they get an interval from the two
        intervals (see Notes), which is cruder.
    metric, level, seed
        Settings of the paired tests; see `compare_all`.
    margin : float
        The largest loss of score that would not matter, chosen before looking at the numbers.

    Raises
    ------
    ValueError
        If a column is missing, names repeat, a score is missing, a result was measured on the test,
        the margin is not positive, or nothing is left.

    Notes
    -----
    Without `results`, the interval of a difference `a - b` goes from
    `a - b - sqrt((a - low_a)^2 + (high_b - b)^2)` to `a - b + sqrt((high_a - a)^2 + (b - low_b)^2)`
    (Zou and Donner, Statistics in Medicine 27, 2008). It holds for independent scores; scores of
    the same users go up and down together, so that it is mostly wider than it has to be.

    Examples
    --------
    >>> candidates = pd.DataFrame(
    ...     {"score": [0.80, 0.79, 0.5], "low": [0.78, 0.77, 0.4], "high": [0.82, 0.81, 0.6]},
    ...     index=["large", "small", "popularity"],
    ... )
    >>> candidates["seconds"] = [60, 5, 0]
    >>> print(choose(candidates, baseline="popularity", margin=0.05))
    1. The best validation score of those left is large, 0.800 [0.780, 0.820].
    2. Not worse by more than 0.05: large, small; the cheapest of them is small.
    3. It is clearly better than the baseline, popularity, 0.500 [0.400, 0.600].

    These intervals are too wide to show that the small one loses no more than 0.01:

    >>> print(choose(candidates.drop(index="popularity"), margin=0.01))
    1. The best validation score of those left is large, 0.800 [0.780, 0.820].
    2. Not taken, as we cannot tell whether they are worse by more than 0.01: small.
    3. No other is shown to be as good as large: use that.
    """
    _check(candidates, results, baseline)
    arguments.positive(margin=margin)
    verdict = pd.Series("", index=candidates.index, dtype="str")
    reasons = []
    # 1. What the data, the licence and the budget rule out.
    for reason, out in _ruled_out(candidates, available, licences, max_seconds, max_memory_mb):
        out &= (verdict == "") & (candidates.index != baseline)
        verdict[out] = reason
        names = ", ".join(candidates.index[out]) or "nobody"
        reasons.append(f"{reason[0].upper()}{reason[1:]}: rules out {names}.")
    left = candidates[verdict == ""]
    if left.empty:
        raise ValueError(
            "No candidate is left:\n  " + "\n  ".join(reasons) + "\nWiden the budget, or add "
            "candidates and a baseline."
        )
    # 2. Of the others, the best score, and all that are shown to be no worse by the margin.
    best = left["score"].idxmax()
    reasons.append(f"The best validation score of those left is {_shown(left, best)}.")
    cases = _against(left, best, results, metric, level, seed, margin)
    for case, words in VERDICTS.items():
        verdict[cases.index[cases == case]] = words.format(best=best)
    equal = left.loc[[name for name in left.index if name == best or cases[name] == "not worse"]]
    unclear = ", ".join(cases.index[cases == "cannot tell"])
    if unclear:
        reasons.append(
            f"Not taken, as we cannot tell whether they are worse by more than {margin:g}: "
            f"{unclear}."
        )
    # 3. The cheapest of those.
    chosen = _cheapest(equal)
    others = ", ".join(equal.index.drop(chosen))
    reasons.append(
        f"Not worse by more than {margin:g}: {', '.join(equal.index)}; the cheapest of them is "
        f"{chosen}."
        if others
        else f"No other is shown to be as good as {chosen}: use that."
        if len(left) > 1
        else f"{chosen} is the only one left."
    )
    # 4. Unless the baseline is as good.
    if baseline is not None and chosen != baseline:
        pair = left.loc[[chosen, baseline]]
        if _is_worse(pair, chosen, results, metric, level, seed)[baseline]:
            reasons.append(f"It is clearly better than the baseline, {_shown(left, baseline)}.")
        else:
            reasons.append(f"It is not clearly better than the baseline {baseline}: use that.")
            chosen = baseline
    verdict[equal.index] = "not worse, but not as cheap"
    verdict[chosen] = "chosen"
    return Choice(str(chosen), tuple(reasons), candidates.assign(verdict=verdict))


def _ruled_out(
    candidates: pd.DataFrame,
    available: Iterable[str] | None,
    licences: Iterable[str] | None,
    max_seconds: float | None,
    max_memory_mb: float | None,
) -> Iterable[tuple[str, pd.Series]]:
    """Reasons, and for each which candidates it rules out."""
    empty = pd.Series(pd.NA, index=candidates.index, dtype="object")
    if available is not None:
        needs = candidates.get("needs", empty)
        yield "the data lack what it reads", needs.notna() & ~needs.isin(list(available))
    if licences is not None:
        yield (
            "its licence does not allow it",
            ~candidates.get("licence", empty).isin(list(licences)),
        )
    for column, limit, unit in (("seconds", max_seconds, "s"), ("memory_mb", max_memory_mb, "MB")):
        if limit is not None:
            taken = pd.to_numeric(candidates.get(column, empty)).astype(float)
            yield f"it takes more than {limit:g} {unit}", taken > limit


def _against(
    left: pd.DataFrame,
    best: str,
    results: Mapping[str, Result] | None,
    metric: str,
    level: float,
    seed: int,
    margin: float,
) -> pd.Series:
    """Of each other candidate: "not worse" than the best by the margin, "worse", "cannot tell"."""
    others = left.index.drop(best)
    if not len(others):
        return pd.Series(dtype="str")
    if results is None:
        ends = _unpaired(left.drop(best), left.loc[best])
        verdicts = [reporting.verdict(low, high, margin) for low, high in ends.to_numpy()]
        return pd.Series(verdicts, others, dtype="str").replace("better", "not worse")
    # under the names of the candidates, whatever the recommenders call themselves
    named = [replace(results[name], name=str(name)) for name in left.index]
    pairs = compare_all(named, metric, str(best), seed, level, margin=margin).set_index("a")
    worse = pairs["clear"] & (pairs["difference"] < 0)
    cases = np.select([pairs["not_worse"], worse], ["not worse", "worse"], "cannot tell")
    return pd.Series(cases, others, dtype="str")


def _is_worse(
    pair: pd.DataFrame,
    best: str,
    results: Mapping[str, Result] | None,
    metric: str,
    level: float,
    seed: int,
) -> pd.Series:
    """Of each other candidate, whether it is clearly worse, by however little."""
    if results is None:
        return _unpaired(pair.drop(best), pair.loc[best])["high"] < 0
    named = [replace(results[name], name=str(name)) for name in pair.index]
    pairs = compare_all(named, metric, str(best), seed, level)
    worse = pairs["clear"] & (pairs["difference"] < 0)
    return pd.Series(worse.to_numpy(), pair.index.drop(best))


def _unpaired(others: pd.DataFrame, best: pd.Series) -> pd.DataFrame:
    """Interval of each score minus the best one, from the intervals of the two: `low, high`."""
    gap = others["score"] - best["score"]
    down = np.hypot(others["score"] - others["low"], best["high"] - best["score"])
    up = np.hypot(others["high"] - others["score"], best["score"] - best["low"])
    return pd.DataFrame({"low": gap - down, "high": gap + up})


def _cheapest(equal: pd.DataFrame) -> str:
    """The least seconds, then the least memory, then the best score; no cost given is none."""
    costs = pd.DataFrame(
        {
            name: pd.to_numeric(equal.get(name, pd.Series(0.0, equal.index))).fillna(0.0)
            for name in ("seconds", "memory_mb")
        }
    )
    costs["score"] = -equal["score"]
    return costs.sort_values(["seconds", "memory_mb", "score"], kind="stable").index[0]


def _shown(frame: pd.DataFrame, name: str) -> str:
    return f"{name}, {reporting.interval(*frame.loc[name, list(COLUMNS)])}"


def _check(
    candidates: pd.DataFrame, results: Mapping[str, Result] | None, baseline: str | None
) -> None:
    lacking = [name for name in COLUMNS if name not in candidates]
    if lacking:
        raise ValueError(f"The candidates lack the columns {', '.join(lacking)}.")
    if candidates.index.has_duplicates:
        twice = candidates.index[candidates.index.duplicated()][0]
        raise ValueError(f"Two candidates are named {twice!r}.")
    if candidates[list(COLUMNS)].isna().any(axis=None):
        raise ValueError("Some candidates have no score: leave out what could not be evaluated.")
    if baseline is not None and baseline not in candidates.index:
        raise ValueError(f"The baseline {baseline!r} is not among the candidates.")
    if results is None:
        return
    for name in candidates.index:
        if name not in results:
            raise ValueError(f"There is no result for the candidate {name!r}.")
        if results[name].on != "validation":
            raise ValueError(
                f"{name!r} was evaluated on {results[name].on}: choose on validation, or the test "
                "will flatter what it chose."
            )


def cost(
    library: VideoLibrary,
    encoder: Encoder,
    of: Literal["title", "thumbnail", "clip", "sound"],
    n: int = 24,
    seed: int = 0,
) -> dict[str, float]:
    """Measure time and memory of an encoder on this machine: a few videos, from files to vectors.

    Parameters
    ----------
    library : VideoLibrary
    encoder : Encoder
    of : {"title", "thumbnail", "clip", "sound"}
        The column that the encoder reads.
    n, seed : int
        Number of videos to try, and the seed of their draw.

    Returns
    -------
    dict
        `seconds` for a thousand videos, nothing cached, and `memory_mb` of the weights in float32.

    Examples
    --------
    >>> from vidrec_utils.datasets import VideoLibrary
    >>> from vidrec_utils.text_encoders import TfidfEncoder
    >>> videos = pd.DataFrame({"video_id": list("abc"), "title": ["tea", "rain", "jazz"]})
    >>> views = pd.DataFrame({"user_id": ["u"], "video_id": ["a"]})
    >>> encoder = TfidfEncoder().fit(videos["title"])
    >>> cost(VideoLibrary(videos, views), encoder, "title")["seconds"] > 0
    True
    """
    ids = library.videos.index[library.videos[_COLUMN.get(of, of)].notna()]
    drawn = np.random.default_rng(seed).permutation(len(ids))[:n]
    few = library.subset(video_ids=ids[np.sort(drawn)])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        embed(few.subset(video_ids=few.videos.index[:2]), encoder, of, Path(folder), progress=False)
        start = time.perf_counter()
        embed(few, encoder, of, Path(folder), progress=False)
        taken = time.perf_counter() - start
    parameters = float(encoder.parameters or 0)
    return {
        "seconds": 1000 * taken / max(1, len(few.videos) - 2),
        "memory_mb": parameters * 4 / 2**20,
    }


@overload
def selection_bias(
    results: Sequence[Result],
    metric: str = "ndcg",
    divisions: int = 200,
    seed: int = 0,
    return_sd: Literal[False] = False,
) -> tuple[float, float]: ...


@overload
def selection_bias(
    results: Sequence[Result],
    metric: str = "ndcg",
    divisions: int = 200,
    seed: int = 0,
    *,
    return_sd: Literal[True],
) -> tuple[float, float, float]: ...


def selection_bias(
    results: Sequence[Result],
    metric: str = "ndcg",
    divisions: int = 200,
    seed: int = 0,
    return_sd: bool = False,
) -> tuple[float, ...]:
    """Measure how much better the best of several looks to the users who chose it.

    The users are divided at random into two halves; the result that is best on the one half is
    chosen there, and measured on the other, too.

    Many divisions remove the luck of the division, and of nothing else: all of them divide the same
    users. So what the chosen one is ahead of the mean of all on the *other* half, its excess, keeps
    the luck of these users. Where all settings are equally good its expectation is 0, but here it
    may well be above or below; `return_sd` says by how much, from one set of users to another.

    Parameters
    ----------
    results : sequence of Result
        Several settings, on the same users.
    metric : str
    divisions, seed : int
        Number of divisions, and the seed of their draw.
    return_sd : bool
        Also return the standard deviation that the excess has by luck alone, if all settings are
        equally good (see Notes). It takes as long as fifty more calls.

    Returns
    -------
    tuple of float
        Mean of the metric of the chosen one: on the users who chose it, and on the others. With
        `return_sd` also the standard deviation of the excess, which is the second number minus the
        mean of the metric over all results and users.

    Notes
    -----
    If all settings are equally good, it is chance which of them a value of a user belongs to. So
    each user's values are exchanged among the settings at random, and the excess is measured anew,
    fifty times (a randomisation test; Smucker, Allan, Carterette, CIKM 2007). An excess within two
    standard deviations of 0 shows nothing.

    Examples
    --------
    Of two models each is right for one of two users, so that either wins where it is chosen:

    >>> from dataclasses import replace
    >>> from vidrec_utils.datasets import Split
    >>> from vidrec_utils.evaluation import evaluate
    >>> from vidrec_utils.recommender import Popularity
    >>> train = pd.DataFrame({"user_id": ["u", "v"], "video_id": "a", "watch_ratio": 1.0})
    >>> test = train.assign(video_id=["b", "c"])
    >>> split = Split(train, train[:0], test, pd.DataFrame(index=["a", "b", "c"]), "by hand")
    >>> one = evaluate(Popularity().fit(split), split, k=1, on="test")
    >>> other = replace(one, per_user=one.per_user.assign(recall=1 - one.per_user["recall"]))
    >>> selection_bias([one, other], "recall")
    (1.0, 0.0)
    """
    for other in results[1:]:
        results[0].protocol.require_equal(other.protocol, results[0].name, other.name)
    values = np.column_stack([result.per_user[metric] for result in results])  # (users, results)
    on_choosing, on_fresh = _chosen_and_fresh(values, divisions, seed)
    if not return_sd:
        return on_choosing, on_fresh
    rng = np.random.default_rng([seed, 1])  # not the numbers that draw the divisions
    excesses = []
    for _ in range(EXCHANGES):
        exchanged = rng.permuted(values, axis=1)  # of each user, among the results
        excesses.append(_chosen_and_fresh(exchanged, divisions, seed)[1] - values.mean())
    return on_choosing, on_fresh, float(np.std(excesses, ddof=1))


def _chosen_and_fresh(values: np.ndarray, divisions: int, seed: int) -> tuple[float, float]:
    """Mean value of the column that is best on half of the rows: on these, and on the others."""
    rng = np.random.default_rng(seed)
    half = len(values) // 2
    pairs = []
    for _ in range(divisions):
        order = rng.permutation(len(values))
        choosing = values[order[:half]].mean(axis=0)  # (results,)
        fresh = values[order[half:]].mean(axis=0)  # (results,)
        pairs.append((choosing.max(), fresh[choosing.argmax()]))
    on_choosing, on_fresh = np.mean(pairs, axis=0)
    return float(on_choosing), float(on_fresh)
