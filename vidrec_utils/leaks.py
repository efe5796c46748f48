"""Detectors of leaks and biases that need only tables and vectors.

A leak is a sign that training knows the answers; a bias, that the answers ask for something else
than taste, such as `duration_bias`.

Each detector looks for one way in which that happens, and returns a `Finding`, which is true if
there is something to worry about. None proves the absence of leaks: *no alarm* means none of this
kind. `preprocessing.check_split` refuses a split that leaks; `evaluation.leaks` adds detectors that
score lists.

References
----------
Kaufman, Rosset, Perlich: Leakage in Data Mining. KDD 2011.
Ji, Sun, Zhang, Li: A Critical Study on Data Leakage in Recommender System Offline Evaluation. ACM
TOIS 41(3), 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from vidrec_utils.datasets import Split
from vidrec_utils.embeddings import Embeddings
from vidrec_utils.embeddings.geometry import unit_rows
from vidrec_utils.events import Label, exposure_durations, fit_label, shorter_first
from vidrec_utils.recommender import as_ids, blocks

SPLIT_NAMES = ("train", "validation", "test")
PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))

Cases = tuple[Sequence[Hashable] | np.ndarray, str]
"""What identifies each case, so that it counts once, and an example."""


@dataclass(frozen=True)
class Finding:
    """The answer of one detector; true if it raises an alarm.

    Attributes
    ----------
    leak : str
        Name of the leak that was looked for.
    alarm : bool
    n : int
        How many rows, groups, videos or trials show it; each counts once, however many parts it
        is in.
    detail : str
        A description of the cases, with an example.
    remedy : str
        How to mend it.
    where : str
        In which parts of the split it was seen, with the number in each. What is seen between
        several pairs of parts counts in each of them, so that these may add up to more than `n`.
    """

    leak: str
    alarm: bool
    n: int
    detail: str
    remedy: str = ""
    where: str = ""

    def __bool__(self) -> bool:
        return self.alarm

    def __str__(self) -> str:
        if not self.alarm:
            return f"{self.leak}: no alarm; {self.detail}"
        return f"{self.leak}: ALARM; {self.detail} {self.remedy}".rstrip()


def table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a frame: `leak, alarm, n, detail, remedy, where`."""
    columns = [field.name for field in fields(Finding)]
    return pd.DataFrame([vars(finding) for finding in findings], columns=columns)


def row_overlap(split: Split) -> Finding:
    """Rows of a later part that are in an earlier one, too; a row counts once.

    Rows of a log are the same if user, video and timestamp are; without timestamps, if user and
    video are: that may be somebody's second view, and is still an answer given away. Rows of a
    table of videos are the same if their index is.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> log = pd.DataFrame({"user_id": ["u", "u", "v"], "video_id": ["a", "b", "a"]})
    >>> videos = pd.DataFrame(index=["a", "b"])
    >>> bool(row_overlap(Split(log[:2], log[:0], log[2:], videos, "sound")))
    False
    >>> print(row_overlap(Split(log, log[:0], log[2:], videos, "leaky")).detail)
    1 rows are in two parts, such as in train and test: v/a.
    """

    def compare(earlier: pd.DataFrame, later: pd.DataFrame) -> Cases:
        columns = [c for c in ("user_id", "video_id", "timestamp") if c in earlier and c in later]
        known, asked = (_row_keys(rows, columns) for rows in (earlier, later))
        repeated = asked.isin(known)  # (rows of the later part,)
        first = next(iter(asked[repeated]), "")
        return np.flatnonzero(repeated), "/".join(map(str, first)) if columns else first

    return _finding(
        "row overlap",
        _over_pairs(split, compare, rows_of="later"),
        "rows are in two parts",
        "Drop them from training: a model need only remember.",
    )


def empty_part(split: Split) -> Finding:
    """Parts without a row that are not meant to be empty.

    With an empty training part every model answers in the order of the catalogue, and is measured
    all the same; with an empty validation nothing can be chosen honestly. A part that is meant to
    be empty is given as None, or asked for with a share of 0 (see `datasets.Split`).

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> log = pd.DataFrame({"user_id": ["u", "v"], "video_id": ["a", "b"]})
    >>> videos = pd.DataFrame(index=["a", "b"])
    >>> bool(empty_part(Split(log[:1], None, log[1:], videos, "no validation")))
    False
    >>> empty_part(Split(log[:0], None, log, videos, "nothing to train on")).where
    'train'
    """
    rows = {name: len(getattr(split, name)) for name in SPLIT_NAMES}
    empty = [name for name in SPLIT_NAMES if not rows[name] and name not in split.left_out]
    sizes = " / ".join(f"{n:,}" for n in rows.values())
    return Finding(
        "empty part",
        bool(empty),
        len(empty),
        f"{' and '.join(empty) or 'no part'} without a row; train, validation and test have "
        f"{sizes} rows{_coarseness(split)}.",
        "Give finer timestamps, the rows in order (split_by_time(..., ordered=True)), other "
        "shares, or a random split (split_stratified, split_grouped); a part that is meant to be "
        "empty is None in datasets.Split.",
        ", ".join(empty),
    )


def _coarseness(split: Split) -> str:
    """How many times share how many rows, if several do."""
    frames = [getattr(split, name) for name in SPLIT_NAMES]
    known = [frame["timestamp"].dropna() for frame in frames if "timestamp" in frame]
    times = pd.concat([frame for frame in known if len(frame)]) if any(map(len, known)) else None
    if times is None or times.nunique() > len(times) / 2:
        return ""
    return f", with {times.nunique():,} different timestamps in all"


def time_travel(split: Split) -> Finding:
    """Rows of an earlier part that are not older than a later part's first row; each counts once.

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> log = pd.DataFrame({"user_id": list("uvw"), "video_id": list("abc")})
    >>> log["timestamp"] = pd.to_datetime(["2025-01-01", "2025-01-02", "2025-01-03"])
    >>> videos = pd.DataFrame(index=["a", "b", "c"])
    >>> bool(time_travel(Split(log[:2], log[:0], log[2:], videos, "sound")))
    False
    >>> time_travel(Split(log[1:], log[:0], log[:1], videos, "leaky")).n
    2
    """

    def compare(earlier: pd.DataFrame, later: pd.DataFrame) -> Cases:
        begin = _utc(later["timestamp"]).min()
        times = _utc(earlier["timestamp"])
        late = (times >= begin).to_numpy()  # (rows of the earlier part,)
        example = f"{times[late].max()} where the later part begins at {begin}"
        return np.flatnonzero(late), example

    return _finding(
        "time travel",
        _over_pairs(split, compare, rows_of="earlier"),
        "rows are not older than what is to be predicted",
        "Split at one time for everybody: preprocessing.split_by_time.",
    )


def group_overlap(split: Split, by: str) -> Finding:
    """Groups, such as uploaders, with rows in two parts.

    Parameters
    ----------
    split : Split
        A split of a log, or of videos.
    by : str
        Column of the rows or of the videos that names the group; NA belongs to none.
    """

    def compare(earlier: pd.DataFrame, later: pd.DataFrame) -> Cases:
        known, asked = (column_of(rows, split.videos, by).dropna() for rows in (earlier, later))
        shared = sorted(set(known) & set(asked), key=str)
        return shared, str(next(iter(shared), ""))

    return _finding(
        "group overlap",
        _over_pairs(split, compare),
        f"groups of {by} are in two parts",
        "Keep groups whole: preprocessing.split_grouped.",
    )


def duplicate_videos(split: Split, originals: Mapping[str, str]) -> Finding:
    """Copies of one video in two parts, under two names.

    Parameters
    ----------
    split : Split
        A split of a log, where the same id may be in all parts, or of videos.
    originals : mapping of str to str
        For each copy, the id of the video that it is a copy of.
    """

    def compare(earlier: pd.DataFrame, later: pd.DataFrame) -> Cases:
        known, asked = (_videos(rows) for rows in (earlier, later))
        named = {originals.get(video, video): video for video in sorted(known)}
        copies = [
            video
            for video in sorted(asked.difference(known))
            if originals.get(video, video) in named
        ]
        examples = (f"{named[originals.get(video, video)]} and {video}" for video in copies)
        return copies, next(examples, "")

    return _finding(
        "duplicate videos",
        _over_pairs(split, compare),
        "videos are copies of a video of an earlier part",
        "Merge copies before splitting: preprocessing.clean does.",
    )


def future_videos(split: Split) -> Finding:
    """Views of videos that were not published yet."""
    published = split.videos.get("published_at")
    evidence = {}
    for name in SPLIT_NAMES:
        rows = getattr(split, name)
        if published is not None and {"timestamp", "video_id"} <= set(rows):
            early = (
                _utc(rows["timestamp"]) < _utc(rows["video_id"].map(published))
            ).to_numpy()  # (rows,)
            cases = [(name, row) for row in np.flatnonzero(early)]
            evidence[name] = (cases, f"a view of {next(iter(rows['video_id'][early]), None)}")
    return _finding(
        "future videos",
        evidence,
        "views are older than their video",
        "Correct the times, or drop these rows: preprocessing.clean reports them.",
    )


def duration_bias(
    interactions: pd.DataFrame,
    videos: pd.DataFrame | None = None,
    label: Label | pd.Series = None,
    margin: float = 0.02,
    seed: int = 0,
) -> Finding:
    """Whether a label can be predicted from the videos' durations alone, whatever they show.

    Measured by the AUC of "the shorter video first" over all exposures: one half is what a label
    has that duration says nothing about. A recommender that is trained or judged by another label
    may win by preferring short videos, or long ones. The alarm is raised if the AUC lies at least
    `margin` from one half, and its 95% interval excludes one half; the interval resamples videos,
    since a duration belongs to a video with all its exposures.

    Parameters
    ----------
    interactions : DataFrame
        One row per exposure.
    videos : DataFrame, optional
        The catalogue, with `duration_s`, unless the interactions have that.
    label : str, LabelRule or Series of bool, optional
        The label, see `events.fit_label`; a rule's name is fitted to `interactions`. Or a column of
        the log, such as the likes, aligned with `interactions`; NA counts neither way.
    margin : float
        Distance from one half that would matter.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Finding
        `n` counts the exposures with a duration and a label, or is 0 without an alarm.

    Examples
    --------
    Everybody watches for five seconds, which is the half of the short videos:

    >>> ids = [f"v{i}" for i in range(100)]
    >>> videos = pd.DataFrame({"duration_s": [10.0, 40.0] * 50}, index=ids)
    >>> log = pd.DataFrame({"user_id": "ann", "video_id": videos.index})
    >>> log["watch_ratio"] = 5 / videos["duration_s"].to_numpy()
    >>> from vidrec_utils.events import fit_label
    >>> half = fit_label(log, videos, "ratio", threshold=0.5)
    >>> finding = duration_bias(log, videos, half)
    >>> finding.alarm, finding.detail[-54:]
    (True, 'an AUC of 1.000 [1.000, 1.000], where .5 says nothing.')
    """
    if isinstance(label, pd.Series):
        name, positive = str(label.name or "given"), label
    else:
        rule = fit_label(interactions, videos, label)
        name, positive = rule.label, rule.positives(interactions)
    durations = exposure_durations(interactions, videos)
    labelled = ~np.isnan(durations) & positive.notna().to_numpy()
    if len(np.unique(durations[labelled])) < 2:
        detail = f"no two exposures differ in duration, so it predicts nothing of the label {name}."
        return Finding("duration predicts the label", False, 0, detail)
    ids = as_ids(interactions["video_id"])
    auc, low, high = shorter_first(durations, positive.array, ids, seed=seed)
    if np.isnan(auc):
        detail = f"all exposures with a duration are alike by the label {name}."
        return Finding("duration predicts the label", False, 0, detail)
    alarm = abs(auc - 0.5) >= margin and not low <= 0.5 <= high
    detail = (
        f'"the shorter video first" alone predicts the label {name} with an AUC of {auc:.3f} '
        f"[{low:.3f}, {high:.3f}], where .5 says nothing."
    )
    remedy = (
        f"{'Short' if auc > 0.5 else 'Long'} videos succeed by this label for their duration. "
        "Judge and train by watch times among videos of like duration: label='quantile'."
    )
    return Finding(
        "duration predicts the label", alarm, int(labelled.sum()) if alarm else 0, detail, remedy
    )


def near_duplicates(
    split: Split,
    hashes: pd.Series | pd.DataFrame | None = None,
    vectors: Embeddings | pd.DataFrame | None = None,
    max_bits: float = 4,
    min_cosine: float = 0.995,
) -> Finding:
    """Videos of a later part that resemble another video of training, under another name.

    Parameters
    ----------
    split : Split
        A split of a log, or of videos (indexed by `video_id`).
    hashes : Series or DataFrame of int, optional
        Perceptual hashes by `video_id`, as many columns as frames were hashed.
    vectors : Embeddings or DataFrame, optional
        Embeddings by `video_id`. Give hashes, vectors, or both (then both must agree).
    max_bits : float
        Largest mean number of differing bits of a frame's hash.
    min_cosine : float
        Least cosine, without centring.

    Raises
    ------
    ValueError
        If neither hashes nor vectors are given.

    Examples
    --------
    Somebody uploads the video `a` again, as `c`:

    >>> log = pd.DataFrame({"user_id": list("uvw"), "video_id": list("abc")})
    >>> vectors = pd.DataFrame([[1.0, 0.0], [0.0, 1.0], [2.0, 0.01]], index=list("abc"))
    >>> split = Split(log[:2], log[:0], log[2:], pd.DataFrame(index=list("abc")), "by hand")
    >>> near_duplicates(split, vectors=vectors).where
    'train and test: 1'
    """
    if hashes is None and vectors is None:
        raise ValueError("Give hashes or vectors of the videos: names alone do not tell copies.")
    tables = [
        (source is hashes, _table_of(source)) for source in (hashes, vectors) if source is not None
    ]
    ids = tables[0][1].index.intersection(tables[-1][1].index)
    training = _videos(split.train)
    evidence = {}
    for name in ("validation", "test"):
        new = ids[ids.isin(_videos(getattr(split, name)).difference(training))]
        copies = list(_copies(tables, ids[ids.isin(training)], new, max_bits, min_cosine))
        examples = (f"{copy}, which resembles {original}" for copy, original in copies)
        evidence[f"train and {name}"] = ([copy for copy, _ in copies], next(examples, ""))
    return _finding(
        "duplicate videos",
        evidence,
        "videos that training lacks resemble one that it has",
        "Merge copies before splitting: preprocessing.clean does.",
    )


def future_features(
    features: pd.DataFrame,
    interactions: pd.DataFrame,
    cut: pd.Timestamp,
    as_of: pd.Series | None = None,
    least: float = 0.3,
) -> Finding:
    """Counts that know what happened after the cut, such as the views of the whole period.

    A count made before the cut says nothing about later views that earlier views do not say. So a
    column is accused if, earlier views held fixed, it still goes with later ones (partial rank
    correlation of at least `least`), and is closer to the views of the whole period than to the
    earlier ones.

    Parameters
    ----------
    features : DataFrame
        Numeric columns by `video_id`: counts and rates that grow with time.
    interactions : DataFrame
        The log before and after the cut: `video_id, timestamp`.
    cut : Timestamp
        When the time begins that is to be predicted.
    as_of : Series of Timestamp, optional
        When each row (by `video_id`), or each column (by its name), was computed: later than the
        cut needs no statistics.
    least : float
        Partial rank correlation that raises the alarm.

    Examples
    --------
    Five videos are viewed 1, 3, 2, 3 and 2 times before the cut, and 1 to 5 times later:

    >>> before, later = list("abbbccdddee"), list("abbcccddddeeeee")
    >>> begin, cut = pd.Timestamp("2025-01-01"), pd.Timestamp("2025-01-03")
    >>> log = pd.DataFrame({"video_id": before + later})
    >>> log["timestamp"] = [begin] * len(before) + [cut] * len(later)
    >>> views = pd.DataFrame({"before": pd.Series(before).value_counts()})
    >>> views["today"] = log["video_id"].value_counts()
    >>> print(future_features(views, log, cut).detail)
    of 2 columns: today (partial rank correlation 0.98).
    """
    past = interactions["timestamp"] < cut
    ids = as_ids(features.index)
    counts = [
        as_ids(part["video_id"]).value_counts()
        for part in (interactions[past], interactions[~past])
    ]
    before, after = (count.reindex(ids, fill_value=0).to_numpy(float) for count in counts)
    accused = []
    for name in features.select_dtypes("number"):
        values = features[name].to_numpy(float)
        present = ~np.isnan(values)
        values, earlier, later = values[present], before[present], after[present]
        # earlier views held fixed, does the column still go with the later ones?
        partial = _partial_spearman(values, later, earlier)
        closer = _spearman(values, earlier + later) > _spearman(values, earlier)
        if partial >= least and closer:
            accused.append(f"{name} (partial rank correlation {partial:.2f})")
    if as_of is not None:
        late = as_of[as_of > cut]
        accused += [f"{name} (as of {computed})" for name, computed in late.items()]
    listed = ", ".join(accused[:3]) or "none of the columns knows later views"
    return Finding(
        "future features",
        bool(accused),
        len(accused),
        f"of {features.shape[1]} columns: {listed}.",
        "Compute them from events before the cut.",
    )


def popularity_drift(
    split: Split, part: str = "test", least: float = 0.5, draws: int = 20, seed: int = 0
) -> Finding:
    """Whether what was popular before is popular in the part, by Spearman's rank correlation.

    How high it should be depends on the number of events, and on how fast tastes move, so it is
    compared with what is usual here. Where all rows of training (for the test, of validation, too)
    lie before the part, the last of them, as many as the part has, are compared with it, and with
    as many before them. Else, as in a random split, training and the part are compared, and random
    parts of the same sizes. A sound split comes near to what is usual; one that a script has mixed
    up, or one after which everything changed, does not.

    Parameters
    ----------
    split : Split
    part : str
        `"validation"` or `"test"`.
    least : float
        Share of the usual correlation below which there is an alarm.
    draws, seed : int
        Number of random parts to compare with, and the seed of their draw.

    References
    ----------
    Rank correlations of .97 in a sound and .34 in a faulty split of MovieLens-1M are reported for a
    published comparison that the fault had decided.
    """
    known, later = split.train, getattr(split, part)
    if part == "test" and len(split.validation):
        known = pd.concat([known, split.validation])
    if _precedes(known, later):
        recent, earlier, later = _windows(known, later)
        seen = _agreement(recent, later)
        usual = _agreement(earlier, recent)
        against = "one period earlier"
    else:
        both = pd.concat([split.train["video_id"], later["video_id"]], ignore_index=True)
        seen = _agreement(split.train["video_id"], later["video_id"])
        usual = 0.0
        rng = np.random.default_rng(seed)
        n = len(split.train)
        for _ in range(draws):
            shuffled = both.iloc[rng.permutation(len(both))]
            usual += _agreement(shuffled.iloc[:n], shuffled.iloc[n:]) / draws
        against = "in random parts of these sizes"
    alarm = bool(usual > 0.1 and seen < least * usual)
    return Finding(
        "popularity drift",
        alarm,
        int(alarm),
        f"what was popular before the {part} and what is in it have a rank correlation of "
        f"{seen:.2f}; {against} it is {usual:.2f}.",
        "Look at how the parts were made, and at what changed between them.",
    )


def column_of(rows: pd.DataFrame, videos: pd.DataFrame, by: str) -> pd.Series:
    """A column of rows of a log or of videos, looked up among the videos if the rows lack it.

    Raises
    ------
    KeyError
        If neither has it.
    """
    if by in rows:
        return rows[by]
    if by not in videos:
        raise KeyError(f"There is no column {by!r} in the rows to split, nor in the videos.")
    return pd.Series(rows.get("video_id", rows.index), index=rows.index).map(videos[by])


def _over_pairs(
    split: Split,
    compare: Callable[[pd.DataFrame, pd.DataFrame], Cases],
    rows_of: str | None = None,
) -> dict[str, Cases]:
    """Cases and an example, `compare(earlier, later)`, of each two parts with rows.

    With `rows_of` ("earlier" or "later") the cases are positions of rows in that part, and get its
    name, so that a row is the same case in every pair of parts.
    """
    evidence = {}
    for earlier, later in PAIRS:
        if not len(getattr(split, earlier)) or not len(getattr(split, later)):
            continue
        cases, example = compare(getattr(split, earlier), getattr(split, later))
        if rows_of is not None:
            part = earlier if rows_of == "earlier" else later
            cases = [(part, row) for row in cases]
        evidence[f"{earlier} and {later}"] = (cases, example)
    return evidence


def _finding(leak: str, evidence: Mapping[str, Cases], what: str, remedy: str) -> Finding:
    """An alarm if there is any case in the evidence: where -> cases and an example."""
    shown = {where: cases for where, cases in evidence.items() if len(cases[0])}
    n = len({case for cases, _ in shown.values() for case in cases})
    examples = (f", such as in {where}: {example}" for where, (_, example) in shown.items())
    detail = f"{n:,} {what}{next(examples, '')}."
    where = ", ".join(f"{names}: {len(cases):,}" for names, (cases, _) in shown.items())
    return Finding(leak, bool(shown), n, detail, remedy, where)


def _utc(times: pd.Series) -> pd.Series:
    """Times that can be compared with others: without a zone they are taken for UTC."""
    times = pd.to_datetime(times, utc=True) if times.isna().all() else times
    if pd.api.types.is_datetime64_any_dtype(times.dtype) and times.dt.tz is None:
        return times.dt.tz_localize("UTC")
    return times


def _row_keys(rows: pd.DataFrame, columns: list[str]) -> pd.Index:
    """What identifies each row; ids as text, so that 7 and "7" are the same."""
    if not columns:
        return as_ids(rows.index)
    keys = rows[columns]
    ids = {name: as_ids(keys[name]) for name in columns if name != "timestamp"}
    return pd.MultiIndex.from_frame(keys.assign(**ids))


def _table_of(source: Embeddings | pd.Series | pd.DataFrame) -> pd.DataFrame:
    """Hashes or vectors as a frame by id, without missing rows."""
    frame = pd.DataFrame(source if isinstance(source, pd.Series | pd.DataFrame) else source.frame())
    return frame.set_axis(as_ids(frame.index)).dropna()


def _videos(part: pd.DataFrame) -> pd.Index:
    """Ids of the videos in a part of a log, or of a table of videos."""
    return as_ids(part.get("video_id", part.index)).unique()


def _copies(
    tables: list[tuple[bool, pd.DataFrame]],
    known: pd.Index,
    new: pd.Index,
    max_bits: float,
    min_cosine: float,
) -> Iterator[tuple[str, str]]:
    """Each new video that resembles a known one by all tables, with the first such one."""
    if not len(known):
        return
    widest = max(frame.shape[1] if hashed else 1 for hashed, frame in tables)
    for block in blocks(len(new), len(known) * widest):
        same = np.ones((len(new[block]), len(known)), dtype=bool)
        for hashed, frame in tables:
            one, other = frame.loc[new[block]].to_numpy(), frame.loc[known].to_numpy()
            same &= _near_hashes(one, other, max_bits) if hashed else _near(one, other, min_cosine)
        for row in np.flatnonzero(same.any(axis=1)):
            yield new[block][row], known[same[row].argmax()]


def _near_hashes(one: np.ndarray, other: np.ndarray, max_bits: float) -> np.ndarray:
    one, other = one.astype(np.uint64), other.astype(np.uint64)
    return np.bitwise_count(one[:, None] ^ other[None]).mean(axis=-1) <= max_bits


def _near(one: np.ndarray, other: np.ndarray, min_cosine: float) -> np.ndarray:
    return unit_rows(one) @ unit_rows(other).T >= min_cosine


def _precedes(known: pd.DataFrame, later: pd.DataFrame) -> bool:
    """Whether there are times, and all that is known lies before the later part."""
    if not len(later) or "timestamp" not in known or "timestamp" not in later:
        return False
    return bool(known["timestamp"].max() <= later["timestamp"].min())


def _windows(known: pd.DataFrame, later: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Videos of the last known rows, of as many before them, and of as many of the later part."""
    size = min(len(later), len(known) // 2)
    known, later = (rows.sort_values("timestamp", kind="stable") for rows in (known, later))
    videos = known["video_id"].iloc[len(known) - 2 * size :]
    return videos.iloc[size:], videos.iloc[:size], later["video_id"].iloc[:size]


def _agreement(before: pd.Series, after: pd.Series) -> float:
    """Rank correlation of how often each video that occurs before occurs before and after."""
    one, other = (pd.Series(as_ids(ids)).value_counts() for ids in (before, after))
    return _spearman(one.to_numpy(), other.reindex(one.index, fill_value=0).to_numpy())


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; 0 where one of the two does not vary."""
    return _pearson(rankdata(a), rankdata(b)) if len(a) > 2 else 0.0


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    a = a - a.mean()
    b = b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 1e-9 * len(a) else 0.0


def _partial_spearman(a: np.ndarray, b: np.ndarray, fixed: np.ndarray) -> float:
    """Rank correlation of what a third variable does not explain, linearly in the ranks."""
    if len(a) < 4:
        return 0.0
    a, b, fixed = (rankdata(values) for values in (a, b, fixed))
    basis = np.column_stack([np.ones(len(fixed)), fixed])  # (n, 2)
    residuals = [v - basis @ np.linalg.lstsq(basis, v, rcond=None)[0] for v in (a, b)]
    return _pearson(*residuals)
