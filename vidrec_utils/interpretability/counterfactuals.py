"""Counterfactuals: what must have been different for another video to come first.

References
----------
Kaffes, Sacharidis, Giannopoulos: Model-Agnostic Counterfactual Explanations of Recommendations.
UMAP 2021 (the smallest set of the user's interactions without which the recommendation changes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from vidrec_utils import arguments
from vidrec_utils.behavior_based import EASE, ItemKNN
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.explanations import HistoryExplainable, NotExplainable
from vidrec_utils.top_k import position

LINEAR = (EASE, ItemKNN)
"""Models whose score is a sum over the history in which no summand depends on another one."""


@dataclass(frozen=True)
class Counterfactual:
    """A part of a history without which another video comes first.

    Attributes
    ----------
    user_id : str
        Whose recommendation it is.
    video_id : str
        What comes first with the whole history.
    removed : tuple of str
        Videos of the history, those that matter most first.
    instead : str
        What comes first without them. What was removed is still not recommended.
    is_smallest : bool
        Whether it is certain that no smaller part does.
    """

    user_id: str
    video_id: str
    removed: tuple[str, ...]
    instead: str
    is_smallest: bool

    def sentence(self, titles: Mapping[str, str] | None = None) -> str:
        """Say it in words.

        Parameters
        ----------
        titles : mapping of str to str, optional
            Titles by video; where one is missing, the id stands in its place.

        Examples
        --------
        >>> found = Counterfactual("ann", "v1", ("v2", "v3"), "v4", True)
        >>> print(found.sentence({"v1": "Cats", "v2": "Dogs", "v4": "Birds"}))
        Without "Dogs" and "v3" in the history, "Birds" would come first, not "Cats".
        """
        names = [f'"{(titles or {}).get(video, video)}"' for video in self.removed]
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        first, other = (f'"{(titles or {}).get(v, v)}"' for v in (self.video_id, self.instead))
        return f"Without {listed} in the history, {other} would come first, not {first}."


def smallest_removal(
    model: SessionRecommender, user_id: str, budget: int = 20_000
) -> Counterfactual | None:
    """Find the fewest videos of a history without which another video comes first.

    For EASE and ItemKNN the answer is exact and quick. Their score of video v is a sum
    `sum_i w_i b_iv` over the history, so the lead of the first video over another candidate c is
    the sum of `d_i = w_i (b_i,first - b_ic)`. To turn it round with the fewest removals, the
    largest `d_i` go first; the candidate for which the fewest suffice decides. For other models,
    such as ALS, each removal changes what the others are worth: there removals are found by greedy
    search, and all smaller ones are tried as far as the budget reaches. Whatever is returned was
    scored again.

    Parameters
    ----------
    model : SessionRecommender
        Fitted; it must score any history, and explain scores by the history.
    user_id : str
        Known, with a history.
    budget : int
        Most histories that the search scores; without meaning for EASE and ItemKNN.

    Returns
    -------
    Counterfactual or None
        None if the same video comes first whatever is removed, the popularity answer to an empty
        history included, or if the search found nothing.

    Raises
    ------
    KeyError
        If the user is unknown.
    NotExplainable
        If the model's scores do not come from a history of videos, or this user has none.
    ValueError
        If the budget is not positive.

    Examples
    --------
    Ann is recommended c, because of a; without it, the answer would be d, because of b.

    >>> import pandas as pd
    >>> pairs = {"ann": "ab", "bob": "ac", "cat": "ac", "dan": "bd", "eve": "ac", "fay": "bd"}
    >>> log = pd.DataFrame([(u, v) for u, watched in pairs.items() for v in watched])
    >>> log.columns = ["user_id", "video_id"]
    >>> found = smallest_removal(EASE(1.0).fit(log.assign(watch_ratio=1.0)), "ann")
    >>> found.video_id, found.removed, found.instead
    ('c', ('a',), 'd')
    """
    arguments.at_least(1, budget=budget)
    history = _History.of(model, user_id)
    first = history.first(np.ones(len(history.columns), dtype=bool))
    if first is None:
        return None
    removal = (
        _exact(history, first) if isinstance(model, LINEAR) else _searched(history, first, budget)
    )
    if removal is None:
        return None
    removed, smallest = removal
    kept = np.ones(len(history.columns), dtype=bool)
    kept[removed] = False
    instead = history.first(kept)
    assert instead is not None
    assert instead != first
    ids = model.video_ids
    return Counterfactual(
        str(user_id),
        ids[first],
        tuple(ids[history.columns[removed]]),
        ids[instead],
        smallest,
    )


@dataclass(frozen=True)
class _History:
    """A user's history, of which summands can be taken away."""

    model: SessionRecommender
    columns: np.ndarray  # (length,), columns of the catalogue
    weights: np.ndarray  # (length,)
    hidden: np.ndarray  # columns that are never recommended

    @classmethod
    def of(cls, model: SessionRecommender, user_id: str) -> _History:
        row = position(model.user_ids, user_id, "user")
        if not isinstance(model, HistoryExplainable):
            raise NotExplainable(
                f"{type(model).__name__} does not say what its scores owe to the videos of a "
                "history. Take EASE, ItemKNN, ALS or SequentialRules."
            )
        history = model.history[[row]].tocoo()
        if not len(history.col):
            raise NotExplainable(
                f"User {user_id!r} has no history that {type(model).__name__} can use, so there is "
                "nothing to take away: the answer is what is popular."
            )
        return cls(model, history.col, history.data, model.seen[[row]].indices)

    def scores(self, kept: np.ndarray) -> np.ndarray:
        """Scores `(n_videos,)` with a part of the history; -inf for what the user was shown."""
        columns, weights = self.columns[kept], self.weights[kept]
        if len(columns):
            scores = np.array(self.model._score_history(columns, weights), dtype=np.float32)
        else:  # nobody is known, and the answer is what is popular
            scores = np.array(self.model.score_next([]), dtype=np.float32)
        scores[np.isnan(scores)] = -np.inf
        scores[self.hidden] = -np.inf
        return scores

    def first(self, kept: np.ndarray) -> int | None:
        """Column of what is recommended first; None if nothing can be."""
        scores = self.scores(kept)
        best = int(scores.argmax())  # of equal ones, the first of the catalogue
        return best if scores[best] > -np.inf else None


def _exact(history: _History, first: int) -> tuple[np.ndarray, bool] | None:
    """Fewest removals in a sum over the history, and that they are."""
    alone = [
        history.model._score_history(history.columns[[i]], history.weights[[i]])
        for i in range(len(history.columns))
    ]
    summands = np.stack(alone).astype(np.float64)  # w_i b_iv  (length, n_videos)
    candidates = np.setdiff1d(np.arange(summands.shape[1]), [*history.hidden, first])
    lead = summands[:, [first]] - summands[:, candidates]  # d_i  (length, candidates)
    order = np.argsort(-lead, axis=0, kind="stable")
    # what is left of the lead after the k largest are gone  (length + 1, candidates)
    gone = np.cumsum(np.take_along_axis(lead, order, axis=0), axis=0)
    left = lead.sum(axis=0) - np.vstack([np.zeros(len(candidates)), gone])
    # of equal scores, the first of the catalogue comes first
    turned = (left < 0) | ((left == 0) & (candidates < first))
    turned[-1] = False  # an empty history is answered otherwise
    needed = np.where(turned.any(axis=0), turned.argmax(axis=0), len(lead) + 1)
    least = needed.min(initial=len(lead) + 1)
    for candidate in np.argsort(needed, kind="stable"):
        if needed[candidate] > len(lead):
            break
        removed = order[: needed[candidate], candidate]
        if _changes(history, first, removed):  # rounding can undo what is nearly a tie
            return removed, bool(needed[candidate] == least)
    everything = np.argsort(-summands[:, first], kind="stable")
    if _changes(history, first, everything):
        return everything, bool(least > len(lead))
    return None


def _searched(history: _History, first: int, budget: int) -> tuple[np.ndarray, bool] | None:
    """Removals found greedily, then smaller ones as far as the budget reaches."""
    length = len(history.columns)
    greedy: list[int] = []
    spent = 0
    while len(greedy) < length:
        if _changes(history, first, np.array(greedy, dtype=int)):
            break
        rest = [i for i in range(length) if i not in greedy]
        spent += len(rest)
        if spent > budget:
            return None
        leads = [_lead(history, first, [*greedy, i]) for i in rest]
        greedy.append(rest[int(np.argmin(leads))])
    if not _changes(history, first, np.array(greedy, dtype=int)):
        return None
    for size in range(1, len(greedy)):
        if spent + comb(length, size) > budget:
            return np.array(greedy), False
        for removed in _subsets(length, size):
            spent += 1
            if _changes(history, first, removed):
                return removed, True
    return np.array(greedy), True


def _subsets(length: int, size: int) -> Iterator[np.ndarray]:
    """All sets of so many positions."""
    return (np.array(chosen) for chosen in combinations(range(length), size))


def _kept(history: _History, removed: np.ndarray | list[int]) -> np.ndarray:
    kept = np.ones(len(history.columns), dtype=bool)
    kept[removed] = False
    return kept


def _changes(history: _History, first: int, removed: np.ndarray) -> bool:
    """Whether another video comes first without a part of the history."""
    return len(removed) > 0 and history.first(_kept(history, removed)) not in (first, None)


def _lead(history: _History, first: int, removed: list[int]) -> float:
    """How far the first video is ahead of the next one, negative if it is behind."""
    scores = history.scores(_kept(history, removed))
    others = np.delete(scores, first)
    return float(scores[first] - others.max(initial=-np.inf))
