"""Why this video, and why not that one: the reasons of a recommendation in words and as an image.

`explain` takes the exact summands that a model gives (`explanations.Explainable`), checks that the
model would recommend the video at all, and says them. `explain_absence` answers the second thing
that people ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vidrec_utils import arguments, plots, preprocessing
from vidrec_utils.behavior_based.sessions import SessionRecommender
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.explanations import (
    Explanation,
    HistoryExplainable,
    NotExplainable,
)
from vidrec_utils.hybrid.ensemble import Ensemble
from vidrec_utils.recommender import Recommender
from vidrec_utils.top_k import position

Titles = Mapping[str, str]
TRIED = 50
"""Videos of which `explain_absence` tries whether having watched them would help."""


class NotRecommended(ValueError):
    """The model would not recommend this video to this user."""


@dataclass(frozen=True, eq=False)
class Reasons(Explanation):
    """The reasons of a recommendation: an `Explanation` that knows its place and its words.

    Attributes
    ----------
    model : str
        Name of the recommender.
    rank : int
        Place of the video on the user's list, from 1.
    score : float
        The score that the model gives.
    titles : dict of str to str
        Titles of the videos; where one is missing, the id stands in its place.
    members : DataFrame
        Reasons of the members of an ensemble, see `Ensemble.reasons`.
    shared : Series of tuple
        Tags that the video shares with each video of the history, where the library has tags.
    """

    model: str = ""
    rank: int = 0
    score: float = float("nan")
    titles: dict[str, str] = field(default_factory=dict)
    members: pd.DataFrame | None = None
    shared: pd.Series | None = None

    @property
    def shares(self) -> pd.Series:
        """Share of each reason in all that speaks for the video, the largest first."""
        table = self.table[(self.table["contribution"] > 0) & (self.table["kind"] != "average")]
        values = table["contribution"].to_numpy(dtype=float)
        return pd.Series(values / max(values.sum(), 1e-12), index=table["reason"].to_numpy())

    def title(self, video_id: str) -> str:
        """Title of a video in quotes, or its id."""
        return f'"{self.titles.get(video_id, video_id)}"'

    def sentence(self, n: int = 2) -> str:
        """Say the reasons in words.

        Parameters
        ----------
        n : int
            Most reasons that are named.
        """
        arguments.at_least(1, n=n)
        start = f"{self.title(self.video_id)} is number {self.rank} on the list of {self.user_id}"
        largest = self.shares.head(n)
        if largest.empty:
            return f"{start}, although nothing speaks for it: everything else scores lower."
        kind = self.table["kind"].iloc[0] if self.members is None else "member"
        if kind == "member" and self.members is not None:
            return f"{start} by {_listed([self._member(name) for name in largest.index[:n]])}."
        if kind != "history":
            named = [f"{reason} ({share:.0%})" for reason, share in largest.items()]
            return f"{start} because of {_listed(named)}."
        if len(self.table) == 1:
            return f"{start} because of {self.title(str(largest.index[0]))}, the only one watched."
        named = [f"{self.title(str(v))} ({share:.0%})" for v, share in largest.items()]
        alike = [] if self.shared is None else self.shared.get(str(largest.index[0]), ())
        tail = f"; the first shares {_listed([f'#{tag}' for tag in alike])}" if len(alike) else ""
        return f"{start} because {self.user_id} watched {_listed(named)}{tail}."

    def _member(self, name: str) -> str:
        assert self.members is not None
        share = self.shares[name]
        rows = self.members[(self.members["member"] == name) & (self.members["kind"] == "history")]
        because = f", because of {self.title(rows['reason'].iloc[0])}" if len(rows) else ""
        return f"{name} ({share:.0%}{because})"

    def figure(self, library: VideoLibrary | None = None, n: int = 4) -> Figure:
        """Show the reasons: thumbnails where the library has them, else the contributions.

        Parameters
        ----------
        library : VideoLibrary, optional
            With thumbnails.
        n : int
            Most reasons that are shown.
        """
        arguments.at_least(1, n=n)
        table = self.table
        by_history = len(table) and (table["kind"] == "history").all()
        if by_history and library is not None and library.has("thumbnail"):
            listed = [str(video) for video in self.shares.index[:n]]
            captions = [f"because of: {self.shares[video]:.0%}" for video in listed]
            images = preprocessing.thumbnails(library, [*listed, self.video_id])
            return plots.contact_sheet(images, [*captions, f"number {self.rank}"], columns=n + 1)
        return self._contributions(n)

    def _contributions(self, n: int) -> Figure:
        """Each contribution as a step from the one before to the sum of all."""
        order = self.table["contribution"].abs().sort_values(ascending=False).index[:n]
        rows = self.table.loc[order]
        rest = self.total - rows["contribution"].sum()
        values = [*rows["contribution"], rest] if len(self.table) > n else [*rows["contribution"]]
        names = [self.titles.get(str(reason), str(reason)) for reason in rows["reason"]]
        names += [f"{len(self.table) - n} others"] if len(self.table) > n else []
        ends = np.cumsum(values)
        figure = Figure(figsize=(7, 0.4 * len(values) + 0.9), layout="constrained")
        axes = figure.add_subplot()
        for row, (value, end) in enumerate(zip(values, ends, strict=True)):
            colour = plots.PALETTE[0] if value >= 0 else plots.PALETTE[1]
            axes.annotate(
                "",
                (end, row),
                (end - value, row),
                arrowprops={"arrowstyle": "-|>", "color": colour},
            )
        axes.set_yticks(range(len(values)), [plots.safe_text(name, 40) for name in names])
        axes.set_ylim(len(values) - 0.4, -0.6)
        low, high = min(0, ends.min()), max(0, ends.max())
        axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low) or 1)
        axes.axvline(self.total, color="0.5", linewidth=1, linestyle="--")
        axes.set_xlabel(f"{self.total_name}, one reason after the other")
        return figure


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _titles(library: VideoLibrary | None, titles: Titles | None) -> dict[str, str]:
    if titles is not None:
        return {str(video): str(title) for video, title in titles.items()}
    if library is None or not library.has("title"):
        return {}
    known = library.videos["title"].dropna()
    return dict(zip(known.index.astype(str), known.astype(str), strict=True))


def _scores(model: Recommender, user_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a known user, NaN as -inf, and which videos the user has seen."""
    user = position(model.user_ids, user_id, "user")
    scores = np.array(model.score([user_id])[0], dtype=np.float64)
    scores[np.isnan(scores)] = -np.inf
    seen = np.zeros(len(scores), dtype=bool)
    seen[model.seen[[user]].indices] = True
    return scores, seen


def _rank(scores: np.ndarray, hidden: np.ndarray, video: int) -> int:
    """Place of a video among those that may be listed; of equal ones the first comes first."""
    shown = ~hidden
    before = scores > scores[video]
    before[:video] |= scores[:video] == scores[video]
    return int((before & shown).sum()) + 1


def explain(
    recommender: Recommender,
    user_id: str,
    video_id: str,
    *,
    k: int = 10,
    library: VideoLibrary | None = None,
    titles: Titles | None = None,
) -> Reasons:
    """Explain why a recommender puts a video on a user's list.

    Parameters
    ----------
    recommender : Recommender
        Fitted. Its scores must be sums: over a history (EASE, ItemKNN, ALS, content), over terms or
        features, or over the members of an ensemble.
    user_id, video_id : str
        Whose recommendation, and which.
    k : int
        Length of the list.
    library : VideoLibrary, optional
        Gives titles, and the tags that two videos share.
    titles : mapping of str to str, optional
        Titles by video, instead of the library's.

    Returns
    -------
    Reasons
        The summands of the score, with `.sentence()` and `.figure(library)`.

    Raises
    ------
    KeyError
        If the user or the video is unknown.
    NotRecommended
        If the model would not put this video on the list: it was watched, or others score higher.
    NotExplainable
        If the model, or its answer for this user, has no reasons.

    Examples
    --------
    >>> from vidrec_utils.behavior_based import EASE
    >>> pairs = {"ann": "ab", "bob": "ac", "cat": "ac", "dan": "bd"}
    >>> log = pd.DataFrame([(u, v) for u, watched in pairs.items() for v in watched])
    >>> log.columns = ["user_id", "video_id"]
    >>> model = EASE(1.0).fit(log.assign(watch_ratio=1.0))
    >>> print(explain(model, "ann", "c", titles={"a": "Cats", "c": "Birds"}).sentence())
    "Birds" is number 1 on the list of ann because ann watched "Cats" (100%).
    """
    arguments.at_least(1, k=k)
    scores, seen = _scores(recommender, str(user_id))
    video = position(recommender.video_ids, video_id, "video")
    names = _titles(library, titles)
    rank = _rank(scores, seen, video)
    if seen[video] or rank > k or scores[video] == -np.inf:
        where = (
            "the user has watched it"
            if seen[video]
            else f"it is number {rank} of {int((~seen).sum())}, and the list has {k}"
        )
        raise NotRecommended(
            f"{recommender.name} would not recommend {video_id!r} to {user_id!r}: {where}. Ask "
            "explain_absence, which says what is in its way."
        )
    explanation = recommender.explain(str(user_id), str(video_id))
    members = None
    if isinstance(recommender, Ensemble):
        members = recommender.reasons(str(user_id), str(video_id))
    return Reasons(
        explanation.user_id,
        explanation.video_id,
        explanation.table,
        explanation.total_name,
        recommender.name,
        rank,
        float(scores[video]),
        names,
        members,
        _shared_tags(library, str(video_id), explanation.table),
    )


def _shared_tags(
    library: VideoLibrary | None, video_id: str, table: pd.DataFrame
) -> pd.Series | None:
    """Tags that a video has in common with each video of the history."""
    if library is None or not library.has("tags") or not (table["kind"] == "history").any():
        return None
    tags = library.videos["tags"]
    own = set(_tags(tags.get(video_id)))
    history = table.loc[table["kind"] == "history", "reason"].astype(str)
    shared = [tuple(t for t in _tags(tags.get(video)) if t in own) for video in history]
    return pd.Series(shared, index=history.to_numpy(), dtype=object)


def _tags(text: object) -> list[str]:
    return text.replace("|", " ").replace(",", " ").split() if isinstance(text, str) else []


Obstacle = Literal["watched", "no information", "listed", "outscored"]


@dataclass(frozen=True, eq=False)
class Absence:
    """Why a video is not on a user's list.

    Attributes
    ----------
    user_id, video_id : str
        Whose list, and which video.
    obstacle : {"watched", "no information", "listed", "outscored"}
        What is in its way: it was watched, the model knows nothing about it, nothing (it is on the
        list), or other videos.
    rank : int
        Its place among the videos that could be listed.
    k : int
        Length of the list.
    gap : float
        Score of the last video on the list, minus its own; 0 or less if it is on the list.
    last : str
        The last video on the list.
    table : DataFrame
        What each reason of either video contributes: `kind, reason, contribution, to_last,
        difference`, the one that holds the video back most first. Empty where the model has none.
    remedy : str or None
        A video that, had the user watched it, would put this one on the list, or closest to it.
    rank_with_remedy : int or None
        The place that it would have then, by scoring again.
    titles : dict of str to str
        Titles of the videos.
    """

    user_id: str
    video_id: str
    obstacle: Obstacle
    rank: int
    k: int
    gap: float
    last: str
    table: pd.DataFrame
    remedy: str | None = None
    rank_with_remedy: int | None = None
    titles: dict[str, str] = field(default_factory=dict)

    def title(self, video_id: str) -> str:
        """Title of a video in quotes, or its id."""
        return f'"{self.titles.get(video_id, video_id)}"'

    def sentence(self) -> str:
        """Say it in words."""
        name = self.title(self.video_id)
        if self.obstacle == "watched":
            return f"{name} is not recommended to {self.user_id}, who has watched it."
        if self.obstacle == "listed":
            return f"{name} is on the list of {self.user_id}, as number {self.rank}."
        if self.obstacle == "no information":
            return (
                f"{name} is not recommended to {self.user_id}: nobody has watched it, and the "
                "model knows nothing else about it."
            )
        text = (
            f"{name} is number {self.rank} for {self.user_id}, and the list has {self.k}: its "
            f"score is {self.gap:.3g} below that of {self.title(self.last)}"
        )
        against = self.table[self.table["difference"] < 0] if len(self.table) else self.table
        if len(against) and against["kind"].iloc[0] == "history":
            text += f", for which {self.title(str(against['reason'].iloc[0]))} speaks more"
        if self.remedy is not None and self.rank_with_remedy is not None:
            text += (
                f". Had {self.user_id} watched {self.title(self.remedy)}, it would be number "
                f"{self.rank_with_remedy}"
            )
        return f"{text}."


def explain_absence(
    recommender: Recommender,
    user_id: str,
    video_id: str,
    *,
    k: int = 10,
    library: VideoLibrary | None = None,
    titles: Titles | None = None,
) -> Absence:
    """Say what keeps a video from a user's list, and what would bring it there.

    Parameters
    ----------
    recommender : Recommender
        Fitted. Reasons and a remedy are given where its scores are sums over a history.
    user_id, video_id : str
        Whose list, and which video.
    k : int
        Length of the list.
    library : VideoLibrary, optional
        Gives titles.
    titles : mapping of str to str, optional
        Titles by video, instead of the library's.

    Raises
    ------
    KeyError
        If the user or the video is unknown.

    Examples
    --------
    >>> from vidrec_utils.behavior_based import EASE
    >>> pairs = {"ann": "ab", "bob": "ac", "cat": "ac", "dan": "bd", "eve": "de"}
    >>> log = pd.DataFrame([(u, v) for u, watched in pairs.items() for v in watched])
    >>> log.columns = ["user_id", "video_id"]
    >>> model = EASE(1.0).fit(log.assign(watch_ratio=1.0))
    >>> answer = explain_absence(model, "ann", "e", k=1)
    >>> answer.obstacle, answer.rank, answer.remedy, answer.rank_with_remedy
    ('outscored', 3, 'd', 2)
    """
    arguments.at_least(1, k=k)
    user_id, video_id = str(user_id), str(video_id)
    scores, seen = _scores(recommender, user_id)
    video = position(recommender.video_ids, video_id, "video")
    rank = _rank(scores, seen, video)
    open_to = np.flatnonzero(~seen)
    order = open_to[np.argsort(-scores[open_to], kind="stable")]
    last = int(order[min(k, len(order)) - 1]) if len(order) else video
    gap = (
        float(scores[last] - scores[video]) if np.isfinite(scores[[last, video]]).all() else np.inf
    )
    obstacle: Obstacle = "outscored"
    if seen[video]:
        obstacle = "watched"
    elif rank <= k:
        obstacle = "listed"
    elif not recommender.knows_cold_videos and not recommender.popularity[video]:
        obstacle = "no information"
    table, remedy, better = pd.DataFrame(), None, None
    if obstacle == "outscored":
        table = _compared(recommender, user_id, video_id, recommender.video_ids[last])
        remedy, better = _remedy(recommender, user_id, video, seen, rank)
    return Absence(
        user_id, video_id, obstacle, rank, k, gap, str(recommender.video_ids[last]), table,
        remedy, better, _titles(library, titles),
    )  # fmt: skip


def _compared(model: Recommender, user_id: str, video_id: str, last: str) -> pd.DataFrame:
    """Contributions to a video and to the last one on the list."""
    try:
        own, other = (model.explain(user_id, v).table for v in (video_id, last))
    except NotExplainable:
        return pd.DataFrame()
    keys = ["kind", "reason"]
    merged = own[[*keys, "contribution"]].merge(
        other[[*keys, "contribution"]].rename(columns={"contribution": "to_last"}), "outer", keys
    )
    merged = merged.fillna({"contribution": 0.0, "to_last": 0.0})
    merged["difference"] = merged["contribution"] - merged["to_last"]
    return merged.sort_values("difference", kind="stable").reset_index(drop=True)


def _remedy(
    model: Recommender, user_id: str, video: int, seen: np.ndarray, rank: int
) -> tuple[str | None, int | None]:
    """The video that would help most if it had been watched, and the place that results."""
    if not (isinstance(model, HistoryExplainable) and isinstance(model, SessionRecommender)):
        return None, None
    user = position(model.user_ids, user_id, "user")
    history = model.history[[user]].tocoo()
    if not len(history.col):
        return None, None
    candidates = np.flatnonzero(~seen & (np.arange(len(seen)) != video))
    influence = np.asarray(model._influence(user, video, candidates))
    tried = candidates[np.argsort(-influence, kind="stable")[:TRIED]]
    weight = np.float32(np.median(history.data))
    best: tuple[str | None, int | None] = (None, None)
    for candidate in tried[influence[np.argsort(-influence, kind="stable")[:TRIED]] > 0]:
        columns = np.append(history.col, candidate)
        scores = np.array(
            model._score_history(columns, np.append(history.data, weight)), dtype=np.float64
        )
        scores[np.isnan(scores)] = -np.inf
        hidden = seen.copy()
        hidden[candidate] = True
        reached = _rank(scores, hidden, video)
        if reached < (rank if best[1] is None else best[1]):
            best = (str(model.video_ids[candidate]), reached)
    return best
