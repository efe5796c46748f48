"""Splits into training, validation and test.

A split is honest if the model could have been trained at the time of the question. Every
splitter here makes new frames and leaves the caller's alone; `check_split` looks for the ways in
which the future, or the same thing under another name, leaks into training.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from vidrec_utils import leaks
from vidrec_utils.datasets import LibraryError, Split, VideoLibrary
from vidrec_utils.events import times_of
from vidrec_utils.preprocessing.duplicates import resolve

ROW_ORDER = "row order"
"""Name of a split whose rows were cut as they are ordered."""
DRAWN = ("stratified", "grouped")
"""How the names of splits begin whose parts are drawn at random, whatever the time."""


class LeakError(ValueError):
    """A split leaks; `.leaks` is the frame of `check_split` with every leak that was found."""

    def __init__(self, message: str, findings: pd.DataFrame) -> None:
        super().__init__(message)
        self.leaks = findings

    def __reduce__(self) -> tuple:
        """Pickle with both arguments."""
        return type(self), (str(self), self.leaks)


def split_by_time(
    interactions: pd.DataFrame,
    videos: pd.DataFrame,
    *,
    validation: float | str | pd.Timestamp = 0.1,
    test: float | str | pd.Timestamp = 0.1,
    ordered: bool = False,
) -> Split:
    """Split at two timestamps that hold for everybody: the past trains, the future tests.

    Parameters
    ----------
    interactions, videos : DataFrame
        The log and the table of videos. Not changed.
    validation, test : float, str or Timestamp
        Share of the exposures (the latest go to test, the ones before to validation), or the
        timestamp at which the part begins. Rows of the same timestamp stay together. A share of 0
        is a part that is meant to be empty.
    ordered : bool
        The rows are in the order in which things happened: cut them by row. Then timestamps may be
        absent, or coarse; those that there are must not contradict the order.

    Returns
    -------
    Split
        Named `"global time"`, or `"row order"`; `videos` as given.

    Raises
    ------
    ValueError
        If a timestamp is missing, a share is impossible, validation begins after test, or the rows
        are `ordered` and their timestamps are not.

    Warns
    -----
    UserWarning
        If so many rows share a timestamp that a part has less than half or more than twice the rows
        asked for; `check_split` refuses it if there is none at all.

    Examples
    --------
    >>> times = pd.date_range("2025-03-01", periods=10, freq="D", tz="UTC")
    >>> log = pd.DataFrame({"user_id": "anna", "video_id": list("abcdefghij"), "timestamp": times})
    >>> videos = pd.DataFrame(index=pd.Index(list("abcdefghij"), name="video_id"))
    >>> split = split_by_time(log, videos, validation=0.1, test=0.2)
    >>> "".join(split.train["video_id"]), "".join(split.validation["video_id"])
    ('abcdefg', 'h')
    >>> split_by_time(log, videos, validation=0, test="2025-03-09").test["video_id"].tolist()
    ['i', 'j']
    """
    if ordered:
        return _split_by_row(interactions, videos, validation, test)
    times = _times(interactions)
    if isinstance(test, float | int):
        later = test
        _check_shares(validation if isinstance(validation, float | int) else 0.0, test)
    test_from = _start_of(times, test, 0.0)
    if not isinstance(test, float | int):
        later = float((times >= test_from).mean()) if len(times) else 0.0
        if isinstance(validation, float | int) and not 0 <= validation < 1 - later:
            raise ValueError(
                f"Share validation={validation} leaves nothing for training, since test from "
                f"{test_from} on holds {later:.1%} of the exposures; give a number from 0 to less "
                f"than {1 - later:.3f}, or a later start of test."
            )
    validation_from = _start_of(times, validation, later)
    if validation_from > test_from:
        raise ValueError(f"Validation begins at {validation_from}, after test at {test_from}.")
    split = Split(
        train=_part(interactions, times < validation_from),
        validation=_part(interactions, (times >= validation_from) & (times < test_from)),
        test=_part(interactions, times >= test_from),
        videos=videos,
        name="global time",
        left_out=_left_out(validation=validation, test=test),
    )
    _warn_of_sizes(split, times, validation=validation, test=test)
    return split


def leave_last_out(
    interactions: pd.DataFrame,
    videos: pd.DataFrame,
    *,
    min_interactions: int = 3,
    ordered: bool = False,
) -> Split:
    """Keep each user's last exposure for test and the last but one for validation.

    Common in the literature and generous to the model: while one user is tested, others' later
    exposures are in training, which `check_split` reports as time travel.

    Parameters
    ----------
    interactions, videos : DataFrame
        Not changed.
    min_interactions : int
        Users with fewer exposures stay in training whole.
    ordered : bool
        The rows of each user are in the order in which things happened: the last row is the last
        exposure. Then timestamps may be absent, or coarse; those that there are must not contradict
        the order.

    Returns
    -------
    Split
        Named `"leave last out"`, or `"leave last out, row order"`.

    Raises
    ------
    ValueError
        If a timestamp is missing, or the rows are `ordered` and their timestamps are not.

    Warns
    -----
    UserWarning
        If timestamps do not tell which exposure was the last of more than a tenth of the users.

    Examples
    --------
    >>> times = pd.to_datetime(["2025-03-01", "2025-03-02", "2025-03-03", "2025-03-04"], utc=True)
    >>> users = ["anna", "anna", "anna", "ben"]
    >>> log = pd.DataFrame({"user_id": users, "video_id": list("abca"), "timestamp": times})
    >>> videos = pd.DataFrame(index=pd.Index(list("abc"), name="video_id"))
    >>> split = leave_last_out(log, videos)
    >>> split.test[["user_id", "video_id"]].to_numpy().tolist()
    [['anna', 'c']]
    >>> split.train["user_id"].tolist()  # ben has too few exposures to be divided
    ['anna', 'ben']
    """
    if ordered:
        _require_order(interactions, by_user=True)
        times = pd.Series(0, index=interactions.index)
    else:
        times = _times(interactions)
    # By position: logs that were put together with pd.concat repeat their index.
    log = pd.DataFrame({"user_id": interactions["user_id"].to_numpy(), "time": times.array})
    log = log.sort_values(["user_id", "time"], kind="stable")
    groups = log.groupby("user_id")
    from_end = groups.cumcount(ascending=False)
    enough = groups["user_id"].transform("size") >= min_interactions
    if not ordered:
        _warn_of_ties(log["time"], from_end.where(enough, 2))
    rank = from_end.where(enough, 2).sort_index()
    return Split(
        train=_part(interactions, rank >= 2),
        validation=_part(interactions, rank == 1),
        test=_part(interactions, rank == 0),
        videos=videos,
        name="leave last out, row order" if ordered else "leave last out",
    )


def ready_made_split(
    train: pd.DataFrame,
    test: pd.DataFrame,
    validation: pd.DataFrame | None = None,
    videos: pd.DataFrame | None = None,
    *,
    name: str = "ready-made",
) -> Split:
    """Take a split that somebody else has made, such as the one that a paper was measured on.

    Two tables of who watched what are enough, without times and without a validation part. Such a
    split is evaluated on its test by name: `evaluation.evaluate(model.fit(split), split,
    on="test")`. To choose settings, hold out a part of train first and give it as `validation`;
    `evaluation.refit` then fits the chosen model on both.

    Parameters
    ----------
    train, test : DataFrame
        Interactions with at least `user_id` and `video_id`, as a file has them; see
        `datasets.VideoLibrary` for what is made of them. Not changed.
    validation : DataFrame, optional
        Likewise; without it the split has none.
    videos : DataFrame, optional
        The catalogue, with `video_id` as a column or as the index; default: all videos that occur
        in any part, which is what most published protocols rank.
    name : str
        Named in the protocol of every result.

    Returns
    -------
    Split

    Raises
    ------
    LibraryError
        If an id or a column of ids is missing, or a video is not in the catalogue.

    Examples
    --------
    >>> train = pd.DataFrame({"user_id": [1, 1, 2], "video_id": [10, 11, 10]})
    >>> test = pd.DataFrame({"user_id": [1, 2], "video_id": [12, 11]})
    >>> split = ready_made_split(train, test, name="published")
    >>> split.summary()["interactions"].to_dict()
    {'train': 3, 'validation': 0, 'test': 2}
    >>> split.videos.index.tolist()
    ['10', '11', '12']
    >>> check_split(split).empty
    True
    """
    frames = {"train": train, "test": test}
    if validation is not None:
        frames["validation"] = validation
    tidied = {part: _tidied(part, frame, videos) for part, frame in frames.items()}
    if videos is None:
        tables = [library.videos for library in tidied.values()]
        catalogue = pd.concat(tables).sort_index()
        catalogue = catalogue[~catalogue.index.duplicated()]
    else:
        catalogue = tidied["train"].videos
    rows = {part: library.interactions for part, library in tidied.items()}
    return Split(rows["train"], rows.get("validation"), rows["test"], catalogue, name)


def split_stratified(
    frame: pd.DataFrame,
    videos: pd.DataFrame,
    *,
    by: str,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> Split:
    """Split rows at random so that each part has the classes in the same shares.

    For classifying videos pass the videos themselves: `split_stratified(videos, videos, ...)`.

    Parameters
    ----------
    frame : DataFrame
        The rows to split: interactions, or videos. Not changed.
    videos : DataFrame
        The table of videos; `by` is looked up here when `frame` lacks it.
    by : str
        Column of classes. Classes that are too small to be divided stay in training whole: those
        with fewer than three rows, and, where a part is to have fewer rows than there are
        classes, the smallest ones, until each of the rest can have a row. So the parts keep the
        requested size.
    validation, test : float
        Shares of all rows.
    seed : int
        Seed of the draw.

    Returns
    -------
    Split
        Named `"stratified by ..."`.

    Raises
    ------
    ValueError
        If the shares are impossible, or the classes that can be divided have too few rows.
    KeyError
        If there is no such column.

    Examples
    --------
    >>> ids = pd.Index([f"v{k}" for k in range(20)], name="video_id")
    >>> videos = pd.DataFrame({"category": ["cats"] * 10 + ["dogs"] * 10}, index=ids)
    >>> split = split_stratified(videos, videos, by="category", validation=0.2, test=0.2)
    >>> split.test["category"].value_counts().to_dict()
    {'cats': 2, 'dogs': 2}
    """
    _check_shares(validation, test)
    classes = leaks.column_of(frame, videos, by).astype(object).fillna("(missing)")
    labels = pd.factorize(classes.to_numpy(), sort=True)[0]
    divisible = np.flatnonzero(np.bincount(labels)[labels] >= 3) if len(labels) else labels
    number = len(labels)
    kept, tested = _divide(divisible, labels, round(test * number), seed, f"test={test}", by)
    kept, validated = _divide(
        kept, labels, round(validation * number), seed + 1, f"validation={validation}", by
    )
    left_out = _left_out(validation=validation, test=test)
    return _by_positions(frame, videos, validated, tested, f"stratified by {by}", left_out)


def split_grouped(
    frame: pd.DataFrame,
    videos: pd.DataFrame,
    *,
    by: str,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> Split:
    """Split so that no group is in two parts, to test on subjects or uploaders never seen.

    Parameters
    ----------
    frame, videos
        See `split_stratified`.
    by : str
        Column of groups, such as `"uploader"`, or one that the caller added, such as the subject.
        Rows without a group each count as a group of their own.
    validation, test : float
        Shares of the **groups**.
    seed : int
        Seed of the draw.

    Returns
    -------
    Split
        Named `"grouped by ..."`.

    Raises
    ------
    ValueError
        If there are fewer than three groups.

    Examples
    --------
    >>> ids = pd.Index([f"v{k}" for k in range(8)], name="video_id")
    >>> videos = pd.DataFrame({"uploader": list("aabbccdd")}, index=ids)
    >>> split = split_grouped(videos, videos, by="uploader", validation=0.25, test=0.25)
    >>> [len(split.train), len(split.validation), len(split.test)]
    [4, 2, 2]
    >>> set(split.train["uploader"]) & set(split.test["uploader"])
    set()
    """
    _check_shares(validation, test)
    codes = pd.factorize(leaks.column_of(frame, videos, by))[0]
    lonely = codes < 0
    codes[lonely] = codes.max(initial=-1) + 1 + np.arange(lonely.sum())
    number = len(np.unique(codes))
    if number < 3:
        raise ValueError(f"Column {by!r} has fewer than three groups; there is nothing to split.")
    rest = np.arange(len(frame))
    chosen = {}
    for name, share in (("test", test), ("validation", validation)):
        if share == 0:
            chosen[name] = rest[:0]
            continue
        size = max(1, round(share * number))
        splitter = GroupShuffleSplit(n_splits=1, test_size=size, random_state=seed)
        stay, leave = next(splitter.split(rest, groups=codes[rest]))
        chosen[name], rest = rest[leave], rest[stay]
    left_out = _left_out(validation=validation, test=test)
    validated, tested = chosen["validation"], chosen["test"]
    return _by_positions(frame, videos, validated, tested, f"grouped by {by}", left_out)


def check_split(
    split: Split,
    *,
    by: str | None = None,
    duplicates: pd.DataFrame | None = None,
    time: bool | None = None,
    strict: bool = True,
) -> pd.DataFrame:
    """Look for leaks between the parts of a split, and for parts that are empty by accident.

    Parameters
    ----------
    split : Split
        A split of interactions, or of videos.
    by : str, optional
        A column whose groups must not be in two parts; taken from the split's name when that says
        `"grouped by ..."`.
    duplicates : DataFrame, optional
        `video_id`, `kept_id`, as `near_duplicates` gives it: copies of one video must not be in
        two parts under two names. For a split of a log, where the same video may be in all
        parts, only a pair of *different* ids counts.
    time : bool, optional
        Whether training must lie before the rest; by default for splits of a log that are not
        random by design (`"stratified"` and `"grouped"` are) nor cut by row.
    strict : bool
        Raise when there is a finding; False returns the frame.

    Returns
    -------
    DataFrame
        One row per kind of finding, as `leaks.table` gives it: `leak` (`"empty part"`,
        `"time travel"`, `"row overlap"`, `"future videos"`, `"group overlap"`,
        `"duplicate videos"`), `n` (parts, rows, groups or videos), `detail` with an example,
        `remedy`, `where` with the parts of the split.

    Raises
    ------
    LeakError
        If `strict` and there is a finding; its message lists all.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": list("uvw"), "video_id": list("abc")})
    >>> log["timestamp"] = pd.to_datetime(["2025-01-01", "2025-01-02", "2025-01-03"])
    >>> videos = pd.DataFrame(index=["a", "b", "c"])
    >>> check_split(Split(log[:2], None, log[2:], videos, "sound")).empty
    True
    >>> leaky = Split(log[1:], None, log[:1], videos, "leaky")
    >>> check_split(leaky, strict=False)[["leak", "n", "where"]]
              leak  n              where
    0  time travel  2  train and test: 2
    """
    if by is None and split.name.startswith("grouped by "):
        by = split.name.removeprefix("grouped by ")
    if time is None:
        time = not split.name.startswith((*DRAWN, ROW_ORDER))
    findings = [leaks.row_overlap(split), leaks.future_videos(split)]
    if time and "timestamp" in split.train:
        findings.insert(0, leaks.time_travel(split))
    if by is not None:
        findings.append(leaks.group_overlap(split, by))
    if duplicates is not None and not duplicates.empty:
        findings.append(leaks.duplicate_videos(split, resolve(duplicates)))
    findings.insert(0, leaks.empty_part(split))
    alarms = [finding for finding in findings if finding]
    if strict and alarms:
        lines = [f"  {alarm.leak} ({alarm.where}): {alarm.detail}" for alarm in alarms]
        verdict = "leaks"
        if alarms[0].leak == "empty part":
            lines[0] += f" {alarms[0].remedy}"
            verdict = "is not usable"
        text = f"The split {split.name!r} {verdict}:\n" + "\n".join(lines)
        raise LeakError(text, leaks.table(alarms))
    return leaks.table(alarms)


def _times(interactions: pd.DataFrame) -> pd.Series:
    times = times_of(
        interactions,
        "so nothing shows what came first. Give the times, or say ordered=True if the rows are in "
        "the order in which things happened",
    )
    lacking = int(times.isna().sum())
    if lacking:
        raise ValueError(
            f"{lacking:,} of {len(times):,} interactions have no timestamp; clean the log with "
            "fix_timestamps(..., strategy='drop') before splitting by time."
        )
    return times


def _split_by_row(
    interactions: pd.DataFrame,
    videos: pd.DataFrame,
    validation: float | str | pd.Timestamp,
    test: float | str | pd.Timestamp,
) -> Split:
    """Split rows that are in order at two positions."""
    if not (isinstance(validation, float | int) and isinstance(test, float | int)):
        raise ValueError(
            f"validation={validation!r} and test={test!r}: rows are cut by shares, so give "
            "numbers, or leave ordered=True away."
        )
    _check_shares(validation, test)
    _require_order(interactions)
    n = len(interactions)
    test_from = n - round(test * n)
    validation_from = n - round((validation + test) * n)
    return Split(
        train=interactions.iloc[:validation_from],
        validation=interactions.iloc[validation_from:test_from],
        test=interactions.iloc[test_from:],
        videos=videos,
        name=ROW_ORDER,
        left_out=_left_out(validation=validation, test=test),
    )


def _require_order(interactions: pd.DataFrame, by_user: bool = False) -> None:
    """Refuse rows whose timestamps contradict their order."""
    if "timestamp" not in interactions or interactions["timestamp"].isna().all():
        return
    times = times_of(interactions, "").reset_index(drop=True)
    users = interactions["user_id"].reset_index(drop=True) if by_user else pd.Series(0, times.index)
    latest = times.groupby(users).cummax()
    early = np.flatnonzero(times < latest)
    if len(early):
        row = int(early[0])
        raise ValueError(
            f"ordered=True says that rows are in the order in which things happened, but row {row} "
            f"(from 0) is of {times[row]}, and one before it of {latest[row]}; there are "
            f"{len(early):,} such rows. Sort the rows, or leave ordered=True away."
        )


def _left_out(**shares: object) -> tuple[str, ...]:
    """Parts of which nothing is asked for."""
    return tuple(part for part, share in shares.items() if share == 0)


def _warn_of_sizes(split: Split, times: pd.Series, **shares: float | str | pd.Timestamp) -> None:
    """Say so if rows of one time, which stay together, make a part much smaller or larger."""
    texts = []
    for part, share in shares.items():
        asked = round(share * len(times)) if isinstance(share, float | int) else 0
        rows = len(getattr(split, part))
        if asked and not asked / 2 <= rows <= 2 * asked:
            texts.append(f"{part} has {rows:,} rows instead of {asked:,}")
    if texts:
        most = times.value_counts()
        shared = f"{most.iloc[0]:,} are of {most.index[0]}"
        warnings.warn(
            f"Timestamps are too coarse for these shares: {', '.join(texts)} (train has "
            f"{len(split.train):,}), since rows of one time stay together, and {shared}. Give "
            "finer times, other shares, or ordered=True if the rows are in the order in which "
            "things happened.",
            UserWarning,
            stacklevel=3,
        )


def _warn_of_ties(times: pd.Series, from_end: pd.Series) -> None:
    """Say so if times do not tell the last exposures; rows are sorted by user and time."""
    tested = from_end.to_numpy() == 0
    same = times.to_numpy()[1:] == times.to_numpy()[:-1]  # as the row before it
    tied = np.append(False, same) & (from_end.to_numpy() < 2)
    users = np.cumsum(np.append(False, from_end.to_numpy()[:-1] == 0))
    doubtful = len(np.unique(users[tied]))
    if doubtful > 0.1 * tested.sum():
        warnings.warn(
            f"The times of {doubtful:,} of {tested.sum():,} users do not tell which exposure was "
            "the last, or the last but one, since several have the same timestamp: the order of "
            "the rows decides. Give finer times, or say ordered=True if the rows are in the order "
            "in which things happened.",
            UserWarning,
            stacklevel=3,
        )


def _tidied(part: str, frame: pd.DataFrame, videos: pd.DataFrame | None) -> VideoLibrary:
    """A part as a library has it, or an error that names the part, the row and the column."""
    ids = {"user_id", "video_id"}
    if not ids <= set(frame.columns):
        lacking = " and no ".join(sorted(ids - set(frame.columns)))
        raise LibraryError(f"The {part} part has no column {lacking}; rename the columns of ids.")
    rows = frame if "timestamp" in frame else frame.assign(timestamp=pd.NaT)
    if videos is None:
        videos = pd.DataFrame({"video_id": frame["video_id"].dropna().unique()})
    elif "video_id" not in videos:
        videos = videos.rename_axis("video_id")
    library = VideoLibrary(videos, rows, name=part, sources={"interactions": part})
    library.check()
    return library


def _start_of(times: pd.Series, part: float | str | pd.Timestamp, later: float) -> pd.Timestamp:
    """Return the start of a part that holds a share of all rows, the share `later` following it."""
    if isinstance(part, float | int):
        ordered = np.sort(times.to_numpy())
        first = len(ordered) - round((part + later) * len(ordered))
        if first >= len(ordered):
            return times.max() + pd.Timedelta(1, "us")
        return pd.Series(ordered[first : first + 1]).astype(times.dtype).iloc[0]
    start = pd.Timestamp(part)
    return start.tz_localize("UTC") if start.tzinfo is None else start.tz_convert("UTC")


def _check_shares(validation: float, test: float) -> None:
    # Written with `not`, it also refuses NaN.
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ValueError(
            f"Shares validation={validation} and test={test} leave nothing for training; give "
            "numbers from 0 that sum to less than 1."
        )


def _divide(
    positions: np.ndarray, labels: np.ndarray, number: int, seed: int, share: str, by: str
) -> tuple[np.ndarray, np.ndarray]:
    """Take `number` of the positions away, stratified; returns what stays and what is taken.

    Rows stay whose class has a single row here, or is not among the `number` largest of all rows.
    """
    if number == 0:
        return positions, np.array([], dtype=int)
    here = np.bincount(labels[positions], minlength=labels.max() + 1)
    # The size in all rows, so that validation and test take from the same classes.
    by_size = np.argsort(-np.bincount(labels), kind="stable")
    chosen = by_size[here[by_size] >= 2][:number]
    divided = np.isin(labels[positions], chosen)
    small, positions = positions[~divided], positions[divided]
    if number > len(positions) - len(chosen):
        raise ValueError(
            f"{share} asks for {number:,} rows, but the classes of {by!r} that are large enough "
            f"to be divided have {len(positions):,}, of which each of these {len(chosen):,} "
            "classes keeps one for training; give a smaller share, or merge small classes."
        )
    stay, taken = train_test_split(
        positions, test_size=number, stratify=labels[positions], random_state=seed
    )
    return np.sort(np.concatenate([small, stay])), np.sort(taken)


def _by_positions(
    frame: pd.DataFrame,
    videos: pd.DataFrame,
    validation: np.ndarray,
    test: np.ndarray,
    name: str,
    left_out: tuple[str, ...],
) -> Split:
    part_of = np.zeros(len(frame), dtype=np.int8)
    part_of[validation], part_of[test] = 1, 2
    train, middle, last = (frame.iloc[np.flatnonzero(part_of == k)] for k in range(3))
    return Split(train, middle, last, videos, name, left_out)


def _part(interactions: pd.DataFrame, mask: pd.Series) -> pd.DataFrame:
    return interactions.loc[mask.to_numpy(dtype=bool)]


def subset_of(split: Split, exposures: pd.DataFrame) -> pd.Series:
    """Name the part of a split to which each exposure belongs.

    Parameters
    ----------
    split : Split
        A split of the log that the exposures come from, or of the videos: then an exposure belongs
        to the part of its video.
    exposures : DataFrame
        Rows of that log, with its index and `video_id`.

    Returns
    -------
    Series of str
        With the index of the exposures: `"train"`, `"validation"`, `"test"`, or `"left out"`.

    Examples
    --------
    >>> times = pd.date_range("2025-03-01", periods=5, freq="D", tz="UTC")
    >>> log = pd.DataFrame({"user_id": list("aabbb"), "video_id": "v", "timestamp": times})
    >>> videos = pd.DataFrame(index=pd.Index(["v"], name="video_id"))
    >>> subset_of(split_by_time(log, videos, validation=0.2, test=0.2), log.tail(3)).tolist()
    ['train', 'validation', 'test']
    """
    part = pd.Series("left out", exposures.index)
    for name in leaks.SPLIT_NAMES:
        rows = getattr(split, name)
        if rows is None:
            continue
        of_log = "user_id" in rows
        keys = exposures.index if of_log else pd.Index(exposures["video_id"])
        part[keys.isin(rows.index)] = name
    return part


def describe_split(split: Split) -> str:
    """Describe in a sentence the sizes of a split's parts and its leaks.

    Examples
    --------
    >>> times = pd.date_range("2025-03-01", periods=5, freq="D", tz="UTC")
    >>> log = pd.DataFrame({"user_id": list("aabbb"), "video_id": "v", "timestamp": times})
    >>> videos = pd.DataFrame(index=pd.Index(["v"], name="video_id"))
    >>> describe_split(split_by_time(log, videos, validation=0.2, test=0.2))
    'global time: 3 / 1 / 1 rows, no leak.'
    >>> groups = videos.reindex(list("vwxyz")).assign(uploader=list("abcde"))
    >>> drawn = split_grouped(groups, groups, by="uploader", validation=0.2, test=0.2)
    >>> describe_split(drawn)  # it promises nothing about time
    'grouped by uploader: 3 / 1 / 1 rows, no leak (time was not checked).'
    """
    sizes = " / ".join(f"{len(getattr(split, part)):,}" for part in leaks.SPLIT_NAMES)
    findings = check_split(split, strict=False)
    names = findings["leak"][findings["leak"] != "empty part"]
    verdict = f"leaks by {' and '.join(names)}" if len(names) else "no leak"
    if not len(names) and split.name.startswith(DRAWN):
        verdict = "no leak (time was not checked)"
    empty = findings["where"][findings["leak"] == "empty part"]
    lack = f", nothing in {empty.iloc[0]}" if len(empty) else ""
    return f"{split.name}: {sizes} rows, {verdict}{lack}."
