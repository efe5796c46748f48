"""Exercises of `08_behavior_based`: a similarity, event weights, signs of EASE, and sessions."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from vidrec_utils import datasets


def similarity_by_hand() -> float:
    """Return the shrunk cosine of two videos, computed on paper, to two digits or more.

    Three people weigh video i with 3, 4 and 0, and video j with 3, 0 and 4. The shrinkage is 5.
    """
    # solution
    return 9 / (5 * 5 + 5)
    # end solution


def check_similarity_by_hand(function: Callable[[], float]) -> str:
    """Check the number that `similarity_by_hand` returns."""
    answer = function()
    assert not math.isclose(answer, 9 / 25, abs_tol=0.005), (
        "that is the plain cosine; add the shrinkage to the product of the lengths."
    )
    assert not math.isclose(answer, 9 / 54, abs_tol=0.005), (
        "the length of (3, 4, 0) is the root of 9 + 16, not their sum of 7."
    )
    assert not math.isclose(answer, 9 / 35, abs_tol=0.005), (
        "the shrinkage is added once to the product of the lengths, not to each length."
    )
    assert not math.isclose(answer, 9, abs_tol=0.005), (
        "9 is the numerator, what the first person adds; divide it by the lengths and shrinkage."
    )
    assert math.isclose(answer, 0.3, abs_tol=0.005), (
        f"only the first person weighs both, 3 times 3; both lengths are 5. Yours is {answer}."
    )
    return "9 of 30: one common viewer of three, and a shrinkage that asks for more evidence."


WRONG_SIMILARITY_BY_HAND = [
    (lambda: 0.36, "plain cosine"),
    (lambda: 9 / 54, "root of 9"),
    (lambda: 9 / 35, "added once"),
    (lambda: 9.0, "the numerator"),
    (lambda: 0.5, "3 times 3"),
]


def weigh(log: pd.DataFrame, like: float = 2.0) -> pd.Series:
    """Return watch ratio cut to 0..1, plus `like` where `liked`; what is NA adds nothing."""
    # solution
    watched = log["watch_ratio"].clip(0, 1).fillna(0)
    liked = log["liked"].astype("Float64").fillna(0).astype(float)
    return watched + like * liked
    # end solution


def _log() -> pd.DataFrame:
    """Five events: watched in part, played twice, only a like, nothing known, skipped."""
    return pd.DataFrame(
        {
            "watch_ratio": [0.5, 2.0, np.nan, np.nan, 0.0],
            "liked": pd.array([False, True, True, None, None], dtype="boolean"),
        },
        index=[7, 3, 5, 1, 9],
    )


def check_weigh(function: Callable[..., pd.Series]) -> str:
    """Check an attempt at `weigh` on five events, two of them partly unknown."""
    log = _log()
    got = function(log, like=2.0)
    assert isinstance(got, pd.Series), "return a Series, one weight for each event."
    assert len(got) == len(log), (
        f"there are {len(log)} events and {len(got)} weights: an event that lacks a signal is "
        "still an event, with what is known of it."
    )
    assert log.equals(_log()), "the caller's log was changed; compute new columns instead."
    assert got.index.equals(log.index), "keep the index of the log, or the weights go astray."
    assert not got.isna().any(), (
        "a weight is NA: a number plus NA is NA, so fill what is unknown with 0 before adding."
    )
    values = got.astype(float).to_numpy()
    assert values[1] != 4.0, "played twice is not twice the taste: cut the watch ratio to 1."
    assert values[0] == 0.5, f"watched to one half and not liked weighs 0.5, yours is {values[0]}."
    assert values[1] == 3.0, f"watched to the end and liked weighs 1 + 2, yours is {values[1]}."
    assert values[2] == 2.0, (
        f"an event of which only a like is known weighs 2, yours is {values[2]}."
    )
    assert values[3] == values[4] == 0.0, "what is unknown or skipped weighs 0, not less."
    tripled = function(log, like=3.0).astype(float).to_numpy()
    assert tripled[2] == 3.0, "use the argument `like`, not a number of your own."
    return "every event has a weight, and not knowing is not the same as disliking."


def _dropped(log: pd.DataFrame, like: float = 2.0) -> pd.Series:
    known = log.dropna()
    return known["watch_ratio"].clip(0, 1) + like * known["liked"].astype(float)


def _disliked(log: pd.DataFrame, like: float = 2.0) -> pd.Series:
    liked = log["liked"].map({True: 1.0, False: 0.0}).astype(float).fillna(-1.0)
    return log["watch_ratio"].clip(0, 1).fillna(0) + like * liked


def _overwrites(log: pd.DataFrame, like: float = 2.0) -> pd.Series:
    log["watch_ratio"] = log["watch_ratio"].clip(0, 1).fillna(0)
    return weigh(log, like)


WRONG_WEIGH = [
    (lambda log, like=2.0: log["watch_ratio"].clip(0, 1) + like * log["liked"], "is NA"),
    (
        lambda log, like=2.0: (
            log["watch_ratio"].fillna(0) + like * log["liked"].fillna(False).astype(float)
        ),
        "not twice the taste",
    ),
    (lambda log, like=2.0: log["watch_ratio"].clip(0, 1).fillna(0), "weighs 1 + 2"),
    (lambda log, like=2.0: weigh(log, like).to_numpy(), "return a Series"),
    (lambda log, like=2.0: weigh(log, like).reset_index(drop=True), "keep the index"),
    (_dropped, "still an event"),
    (_disliked, "not less"),
    (lambda log, like=2.0: weigh(log), "argument `like`"),
    (_overwrites, "was changed"),
    (lambda log, like=2.0: print(weigh(log, like)), "returns nothing"),
]


def negative_share(x: np.ndarray, l2: float) -> float:
    """Return the share of EASE's free weights that are below 0, for `x` (users, videos).

    Free are all weights off the diagonal. Solve for them with NumPy: `P = (X'X + l2 I)^-1`, and
    `B_ij = -P_ij / P_jj`.
    """
    # solution
    inverse = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    weights = -inverse / np.diag(inverse)
    return float((weights[~np.eye(len(weights), dtype=bool)] < 0).mean())
    # end solution


def _histories() -> np.ndarray:
    """Weights of forty people and six videos, some of which are watched more often."""
    rng = np.random.default_rng(0)
    return (rng.random((40, 6)) < [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).astype(float)


def check_negative_share(function: Callable[[np.ndarray, float], float]) -> str:
    """Check an attempt at `negative_share` on forty people, for two strengths."""
    x = _histories()
    before = x.copy()
    got = float(function(x, 5.0))
    assert np.array_equal(x, before), "the caller's matrix was changed; work on a new one."
    expected = negative_share(x, 5.0)
    assert not math.isclose(got, 1 - expected), (
        "the sign is turned round: B is *minus* P_ij / P_jj."
    )
    assert not math.isclose(got, (30 * expected + 6) / 36), (
        "your share counts the diagonal, where -P_jj / P_jj is always -1; leave these out."
    )
    assert not math.isclose(got, 30 * expected / 36), (
        "your share is one of all weights; the six on the diagonal are fixed at 0, so leave them "
        "out of the count."
    )
    strong, least = float(function(x, 500.0)), negative_share(x, 500.0)
    assert not math.isclose(strong, negative_share(x, 1e-9)), (
        "`l2` is not used: add `l2 * np.eye(n)` to `x.T @ x`."
    )
    for value, right, l2 in [(got, expected, 5), (strong, least, 500)]:
        assert math.isclose(value, right, abs_tol=1e-6), (
            f"for l2 = {l2} the share is {right:.3f}, yours is {value:.3f}."
        )
    return "the stronger the penalty, the more EASE is like a count, which has no minus."


def _all_weights(x: np.ndarray, l2: float, diagonal: bool) -> float:
    inverse = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    weights = -inverse / np.diag(inverse)
    if not diagonal:
        np.fill_diagonal(weights, 0)
    return float((weights < 0).mean())


def _overwrites_matrix(x: np.ndarray, l2: float) -> float:
    share = negative_share(x, l2)
    x[0] = 0
    return share


WRONG_NEGATIVE_SHARE = [
    (lambda x, l2: _all_weights(x, l2, diagonal=True), "counts the diagonal"),
    (lambda x, l2: _all_weights(x, l2, diagonal=False), "out of the count"),
    (lambda x, l2: 1 - negative_share(x, l2), "sign is turned round"),
    (lambda x, l2: negative_share(x, 1e-9), "`l2` is not used"),
    (lambda x, l2: 0.0, "the share is"),
    (_overwrites_matrix, "was changed"),
]


def sessions_with_more(library: datasets.VideoLibrary, gap_minutes: float = 30.0) -> float:
    """Return the share of sessions that hold two events or more.

    Sort `library.interactions` by `user_id` and `timestamp`. A session begins with the first event
    of a user, and after each pause of more than `gap_minutes`. Do not use `session_id`.
    """
    # solution
    log = library.interactions.sort_values(["user_id", "timestamp"], kind="stable")
    pause = log.groupby("user_id")["timestamp"].diff()
    begins = pause.isna() | (pause > pd.Timedelta(minutes=gap_minutes))
    sizes = begins.cumsum().value_counts()
    return float((sizes > 1).mean())
    # end solution


def _five_videos(folder: Path) -> datasets.VideoLibrary:
    """Five videos, and two people with five sessions, two of which hold more than one event."""
    titles = {"title": [f"Video {number}" for number in range(5)]}
    videos = pd.DataFrame(titles, pd.Index([f"v{number}" for number in range(5)], name="video_id"))
    minutes = {"ann": [0, 10, 40, 100], "bob": [105, 200, 220, 400]}
    rows = [(user, minute) for user, times in minutes.items() for minute in times]
    log = pd.DataFrame(rows, columns=["user_id", "minute"])
    log["video_id"] = [f"v{number % 5}" for number in range(len(log))]
    start = pd.Timestamp("2026-02-01", tz="UTC")
    log["timestamp"] = [start + pd.Timedelta(minutes=minute) for minute in log.pop("minute")]
    log = log.sample(frac=1, random_state=1)  # rows of a log need not be in order
    videos.to_csv(folder / "videos.csv")
    log.to_csv(folder / "interactions.csv", index=False)
    return datasets.load_folder(folder)


def check_sessions_with_more(function: Callable[[datasets.VideoLibrary, float], float]) -> str:
    """Check an attempt at `sessions_with_more` on a folder of five videos."""
    with TemporaryDirectory() as folder:
        library = _five_videos(Path(folder))
        before = library.interactions.copy()
        got, longer = float(function(library, 30.0)), float(function(library, 70.0))
        assert library.interactions.equals(before), (
            "the log of the library was changed; work on a copy, as `sort_values` returns one."
        )
    assert not math.isclose(got, 5 / 8), (
        "that is the share of the events; count each session once, however long it is."
    )
    assert not math.isclose(got, 3 / 4), (
        "bob came five minutes after ann had left: a new user always begins a session."
    )
    assert not math.isclose(got, 1 / 3), (
        "a pause of exactly 30 minutes is not *more* than 30: it does not end a session."
    )
    assert math.isclose(got, 2 / 5), (
        f"ann has sessions of three and one, bob of one, two and one; so 2/5, yours is {got:.3f}."
    )
    assert math.isclose(longer, 2 / 4), (
        f"if only a pause of more than 70 minutes counts, ann has one session of four and bob "
        f"three, one of them of two: 2/4, yours is {longer:.3f}. Is `gap_minutes` used?"
    )
    return "where most sessions hold one event, no model of sessions has anything to read."


def _by_gap(library: datasets.VideoLibrary, gap_minutes: float, users: bool = True) -> pd.Series:
    keys = ["user_id", "timestamp"] if users else ["timestamp"]
    log = library.interactions.sort_values(keys, kind="stable")
    pause = log.groupby("user_id")["timestamp"].diff() if users else log["timestamp"].diff()
    begins = pause.isna() | (pause > pd.Timedelta(minutes=gap_minutes))
    return begins.cumsum()


def _of_events(library: datasets.VideoLibrary, gap_minutes: float = 30.0) -> float:
    session = _by_gap(library, gap_minutes)
    return float((session.map(session.value_counts()) > 1).mean())


def _of_all_users(library: datasets.VideoLibrary, gap_minutes: float = 30.0) -> float:
    return float((_by_gap(library, gap_minutes, users=False).value_counts() > 1).mean())


def _adds_a_column(library: datasets.VideoLibrary, gap_minutes: float = 30.0) -> float:
    library.interactions["minute"] = library.interactions["timestamp"].dt.minute
    return sessions_with_more(library, gap_minutes)


WRONG_SESSIONS_WITH_MORE = [
    (_of_events, "share of the events"),
    (_of_all_users, "a new user always"),
    (lambda library, gap_minutes=30.0: sessions_with_more(library, 29.9), "exactly 30"),
    (lambda library, gap_minutes=30.0: sessions_with_more(library, 30.0), "`gap_minutes` used"),
    (_adds_a_column, "was changed"),
    (lambda library, gap_minutes=30.0: 1.0, "three and one"),
]
