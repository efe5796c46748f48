"""Detection of videos uploaded twice: byte for byte, or re-encoded, trimmed, cropped, captioned.

Popular clips are re-uploaded. Left in, copies split the statistics of one video over several ids,
fill a list of recommendations with one clip, and let a model meet its test clips in training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from vidrec_utils.datasets import LibraryError, VideoLibrary
from vidrec_utils.files import sha256
from vidrec_utils.preprocessing.hashing import (
    Fingerprint,
    fingerprints,
    hamming,
    in_parallel,
)
from vidrec_utils.preprocessing.matching import (
    MAX_HAMMING,
    MAX_SHIFT_S,
    MAX_TRIM,
    MIN_MOTION,
    compare,
    is_copy,
)
from vidrec_utils.preprocessing.report import file_rows, join_reports, make_report
from vidrec_utils.preprocessing.windows import (
    compare_edited,
    edited_pairs,
    is_another_take,
    is_edited_copy,
)

DUPLICATE_COLUMNS = ["video_id", "kept_id", "kind", "hamming", "motion"]

CANDIDATE_HAMMING = 12.0
DURATION_TOLERANCE = 0.12
_PROBES = 4
_BLOCK = 1024


def exact_duplicates(
    library: VideoLibrary, *, exclude: Iterable[str] = (), progress: bool = True
) -> pd.DataFrame:
    """Find files that are equal byte for byte, by their SHA-256.

    Empty files are broken, not copies of each other, and are skipped, as are absent files.

    Parameters
    ----------
    library : VideoLibrary
        Only files of equal size are read.
    exclude : iterable of str
        Videos to leave out, such as broken ones: error pages saved as videos are all equal.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per copy: `video_id`, `kept_id` (the earliest published of its group), `kind`
        (`"exact"`), `hamming` 0 and `motion` 1.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    >>> videos = pd.DataFrame({"video_id": ["v1", "v2", "v3"], "path": ["a", "b", "c"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, content in {"a": "same", "b": "else", "c": "same"}.items():
    ...         _ = Path(folder, name).write_text(content)
    ...     library = VideoLibrary(videos, log, root=folder)
    ...     copies = exact_duplicates(library, progress=False)
    >>> copies[["video_id", "kept_id"]].to_numpy().tolist()
    [['v3', 'v1']]
    """
    sizes = {}
    with_file = library.videos.index[library.videos["path"].notna()]
    for video_id in with_file.difference(list(exclude), sort=False):
        with contextlib.suppress(LibraryError, OSError):  # no such file, nothing to compare
            sizes[video_id] = library.file(video_id).stat().st_size
    size = pd.Series(sizes, dtype="int64")
    twins = list(size.index[(size > 0) & size.duplicated(keep=False)])
    digests = in_parallel(lambda v: _checksum(library, v), twins, "checksums", progress)
    digest = {v: value for v, value in zip(twins, digests, strict=True) if value is not None}
    twins = list(digest)
    first: dict[str, str] = {}
    rows = []
    for video_id in _by_age(library.videos, twins):
        kept = first.setdefault(digest[video_id], video_id)
        if kept != video_id:
            rows.append((video_id, kept, "exact", 0.0, 1.0))
    return _duplicate_frame(rows)


def _checksum(library: VideoLibrary, video_id: str) -> str | None:
    """Return a file's checksum, or None where it cannot be read."""
    try:
        return sha256(library.file(video_id))
    except (LibraryError, OSError):
        return None


def near_duplicates(
    library: VideoLibrary,
    prints: Mapping[str, Fingerprint] | None = None,
    *,
    exclude: Iterable[str] = (),
    max_hamming: float = MAX_HAMMING,
    min_motion: float = MIN_MOTION,
    max_shift_s: float = MAX_SHIFT_S,
    edited: bool = True,
    progress: bool = True,
) -> pd.DataFrame:
    """Find clips that show the same thing at the same time, however they are encoded.

    Two stages. **Candidates**: four hashes per clip are compared with those of all clips of
    similar length, and with all hashes of longer clips from which it may have been trimmed. A
    perceptual hash distinguishes scenes, but not two takes of one scene.
    **Verification** of each candidate pair, after shifting it in time to where it fits best:
    the mean Hamming distance of all frames, and the correlation of *motion*, that is of each
    frame minus the median frame of its clip. Takes that share a background have uncorrelated
    motion, a clip and its reversal as well; a re-encoding keeps it. Two takes of one gesture by one
    person may have it in common, but not its changes from frame to frame (`is_another_take`).

    Then **edited copies** are looked for in the same two stages: of four frames of each clip 81
    windows are hashed, which lack 0, 5 or 10% at each edge, and the upper and lower two thirds.
    What is alike in one of these is aligned in space and time, and is a copy if its motion and the
    changes of motion from frame to frame correlate. See `windows`.

    A copy is mapped to the earliest published clip that it matches **directly**: similar pairs are
    not chained, so A~B and B~C do not make C a copy of A.

    On 32 real clips of 1.5 s to a minute on which limits were not chosen, nine in ten edited copies
    were found: all 32 trimmed by a fifth, 31 cropped by a tenth, 29 with a caption in a box and 28
    in letters alone; no two different clips were called copies. **Not found**: copies of clips in
    which next to nothing moves, if they are cropped or captioned; copies trimmed by more than a
    fifth, or of which each clip has something that the other lacks; copies both cropped and
    captioned; mirrored, slowed and picture-in-picture copies. See `benchmarks/README.md`.

    Parameters
    ----------
    library : VideoLibrary
        The library with its files; dates decide which copy is kept.
    prints : mapping, optional
        Fingerprints from `fingerprints` or `survey`; computed here by default.
    exclude : iterable of str
        Videos to leave out, such as black ones, which all look alike.
    max_hamming : float
        Largest mean number of differing bits per frame, of 64.
    min_motion : float
        Smallest correlation of motion, -1 to 1, see `is_copy`.
    max_shift_s : float
        Largest shift in time that is tried, in seconds (at least one step of the longer clip's
        grid).
    edited : bool
        Also look for cropped and captioned copies, see `windows`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per copy: `video_id`, `kept_id`, `kind` (`"near"`), `hamming`, `motion`.

    Examples
    --------
    >>> frames = np.full((8, 32, 32), 60, dtype=np.uint8)
    >>> for t in range(8):  # a bright square moves to the right
    ...     frames[t, 12:20, 3 * t : 3 * t + 8] = 250
    >>> clip = Fingerprint.of_frames(frames, duration_s=0.5)
    >>> darker = Fingerprint.of_frames(frames - 20, duration_s=0.5)
    >>> prints = {"v1": clip, "v2": darker, "v3": clip.reversed()}
    >>> ids = pd.Index(list(prints), name="video_id")
    >>> log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    >>> library = VideoLibrary(pd.DataFrame(index=ids), log)
    >>> near_duplicates(library, prints)[["video_id", "kept_id"]].to_numpy().tolist()
    [['v2', 'v1']]
    """
    if prints is None:
        prints, _ = fingerprints(library, exclude=exclude, progress=progress)
    skip = set(exclude)
    ids = [v for v in _by_age(library.videos, prints) if v not in skip]
    clips = {v: prints[v] for v in ids}
    limits = max_hamming, min_motion
    matches: dict[str, dict[str, tuple[float, float]]] = {v: {} for v in ids}
    for older, newer in candidate_pairs(clips):
        facts = compare(clips[older], clips[newer], max_shift_s)
        if is_copy(*facts, *limits):
            match = compare_edited(clips[older], clips[newer], max_shift_s, *limits)
            if not is_another_take(match):
                matches[newer][older] = facts[:2]
    for older, newer in edited_pairs(clips) if edited else []:
        if older not in matches[newer]:
            match = compare_edited(clips[older], clips[newer], max_shift_s, *limits)
            if is_edited_copy(match, *limits):
                matches[newer][older] = match.distance, match.motion
    rows, copies = [], set()
    for video_id in ids:
        kept = {older: facts for older, facts in matches[video_id].items() if older not in copies}
        if kept:
            best = min(kept, key=lambda older: kept[older][0])
            copies.add(video_id)
            rows.append((video_id, best, "near", *kept[best]))
    return _duplicate_frame(rows)


def candidate_pairs(
    prints: Mapping[str, Fingerprint], max_hamming: float = CANDIDATE_HAMMING
) -> list[tuple[str, str]]:
    """Find pairs of clips of similar length whose four hashes are close, in blocks.

    Clips are sorted by length, so that each block is compared with its neighbours only; a block of
    1,024 x 1,024 pairs is one XOR and one count of bits. Where lengths differ by more than
    `MAX_SHIFT_S`, but by no more than `MAX_TRIM` of the longer clip, the four hashes of the shorter
    are compared at every offset that a trimmed copy may have.

    Parameters
    ----------
    prints : mapping
        Video id to fingerprint.
    max_hamming : float
        Largest mean distance of the four hashes, in bits of 64.

    Returns
    -------
    list of (str, str)
        Pairs in the order of the mapping.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (2, 8, 32, 32), dtype=np.uint8)
    >>> first, other = (Fingerprint.of_frames(frames, duration_s=0.5) for frames in noise)
    >>> candidate_pairs({"v1": first, "v2": other, "v3": first})
    [('v1', 'v3')]
    """
    ids = list(prints)
    if len(ids) < 2:
        return []
    durations = np.array([prints[v].duration_s for v in ids])
    order = np.argsort(durations, kind="stable")
    durations = durations[order]
    codes = np.stack([_code(prints[ids[i]]) for i in order])  # (n, 4)
    longest = np.searchsorted(durations, durations * (1 + DURATION_TOLERANCE) + 0.1, "right")
    pairs: list[tuple[int, int]] = []
    for a in range(0, len(ids), _BLOCK):
        rows = slice(a, min(a + _BLOCK, len(ids)))
        for b in range(a, longest[rows.stop - 1], _BLOCK):
            columns = slice(b, min(b + _BLOCK, len(ids)))
            bits = sum(
                hamming(codes[rows, None, k], codes[None, columns, k]).astype(np.uint16)
                for k in range(_PROBES)
            )
            i, j = np.nonzero(bits <= max_hamming * _PROBES)
            i, j = i + a, j + b
            near = (i < j) & (j < longest[i])
            pairs += zip(order[i[near]], order[j[near]], strict=True)
    pairs += _trimmed_pairs([prints[ids[i]] for i in order], order, max_hamming)
    return [
        (ids[min(pair)], ids[max(pair)]) for pair in sorted({tuple(sorted(pair)) for pair in pairs})
    ]


def _trimmed_pairs(
    prints: list[Fingerprint], order: np.ndarray, max_hamming: float
) -> list[tuple[int, int]]:
    """Pairs, as entries of `order`, of which one clip may be trimmed; prints sorted by length."""
    durations = np.array([clip.duration_s for clip in prints])
    codes = np.stack([_code(clip) for clip in prints])
    times = np.stack([(_probes(clip) + 0.5) * clip.step_s for clip in prints])  # (n, 4) seconds
    first = np.searchsorted(durations, durations * (1 - MAX_TRIM), "left")
    last = np.searchsorted(durations, durations - MAX_SHIFT_S, "left")
    pairs = []
    for k, clip in enumerate(prints):
        shorter = slice(first[k], last[k])
        if shorter.start >= shorter.stop:
            continue
        most = int((clip.duration_s - durations[shorter.start]) / clip.step_s) + 1
        bits = np.full(shorter.stop - shorter.start, 64.0)
        for offset in range(most + 1):
            at = (times[shorter] / clip.step_s).astype(int) + offset
            at = np.minimum(at, len(clip.hashes) - 1)
            bits = np.minimum(bits, hamming(codes[shorter], clip.hashes[at]).mean(axis=1))
        pairs += [(order[k], order[i + shorter.start]) for i in np.flatnonzero(bits <= max_hamming)]
    return pairs


def compare_pairs(pairs: Iterable[tuple[Fingerprint, Fingerprint]]) -> pd.DataFrame:
    """Compare pairs of clips, and decide for each pair whether it is one video.

    Parameters
    ----------
    pairs : iterable of (Fingerprint, Fingerprint)
        The pairs to compare.

    Returns
    -------
    DataFrame
        One row per pair, in order: `hamming` (mean differing bits per frame, of 64), `motion`
        (correlation of what moves), `size` (how much moves, in grey levels; see `compare`) and
        `copy` (bool, see `is_copy`).

    Examples
    --------
    >>> frames = np.full((8, 32, 32), 60, dtype=np.uint8)
    >>> for t in range(8):  # a bright square moves to the right
    ...     frames[t, 12:20, 3 * t : 3 * t + 8] = 250
    >>> clip = Fingerprint.of_frames(frames, duration_s=0.5)
    >>> compare_pairs([(clip, clip), (clip, clip.reversed())])["copy"].tolist()
    [True, False]
    """
    facts = [compare(a, b) for a, b in pairs]
    table = pd.DataFrame(facts, columns=["hamming", "motion", "size"], dtype=float)
    return table.assign(copy=np.array([is_copy(*fact) for fact in facts], dtype=bool))


def _code(a: Fingerprint) -> np.ndarray:
    """Hashes of four frames at equal fractions of the clip, shape (4,)."""
    return a.hashes[_probes(a)]


def _probes(a: Fingerprint) -> np.ndarray:
    """Indices of four frames at equal fractions of the clip."""
    return ((np.arange(_PROBES) + 0.5) / _PROBES * len(a.hashes)).astype(int)


def merge_duplicates(
    library: VideoLibrary, duplicates: pd.DataFrame
) -> tuple[VideoLibrary, pd.DataFrame]:
    """Remove copies and give their interactions to the video that is kept.

    Rows of the log are never merged: a user who saw both copies has two exposures of one video.

    Parameters
    ----------
    library : VideoLibrary
        Not changed.
    duplicates : DataFrame
        With `video_id`, `kept_id`, `kind`, as `exact_duplicates` and `near_duplicates` give it;
        several tables may be concatenated. A kept id that is itself a copy is resolved further.

    Returns
    -------
    library : VideoLibrary
        Without the copies.
    report : DataFrame
        One row per removed video and per re-pointed interaction.

    Raises
    ------
    ValueError
        If the library lacks a video that is to be kept.
    """
    videos, log, report = merge_tables(library.videos, library.interactions, duplicates)
    return library.subset(videos.index, log), report


def merge_tables(
    videos: pd.DataFrame, interactions: pd.DataFrame, duplicates: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Do what `merge_duplicates` does, on plain tables.

    Returns
    -------
    videos, interactions, report : DataFrame
        New tables with their index unchanged.
    """
    kept = resolve(duplicates)
    lost = sorted(set(kept.values()) - set(videos.index))
    if lost:
        raise ValueError(
            f"Copies are to be replaced by {', '.join(map(repr, lost[:5]))}, which the library "
            "does not have; pass duplicates that were found in this library."
        )
    gone = videos.index.isin(list(kept))
    kinds = duplicates.drop_duplicates("video_id").set_index("video_id")["kind"]
    ids = videos.index[gone]
    removed = make_report(
        "videos",
        file_rows(videos, gone),
        ids,
        "video_id",
        [f"{kinds[v]} duplicate" for v in ids],
        "removed, the earliest kept",
        ids,
        [kept[v] for v in ids],
    )
    moved = interactions["video_id"].isin(list(kept)).to_numpy()
    targets = interactions["video_id"].map(kept)
    repointed = make_report(
        "interactions",
        file_rows(interactions, moved),
        interactions.loc[moved, "user_id"],
        "video_id",
        "exposure of a duplicate",
        "re-pointed to the kept video",
        interactions.loc[moved, "video_id"],
        targets[moved],
    )
    watched = interactions["video_id"].where(~moved, targets).astype("str")
    return (
        videos.loc[~gone],
        interactions.assign(video_id=watched),
        join_reports([removed, repointed]),
    )


def resolve(duplicates: pd.DataFrame) -> dict[str, str]:
    """Map each copy to the video that is finally kept, following chains of several tables."""
    direct = dict(zip(duplicates["video_id"], duplicates["kept_id"], strict=True))
    final = {}
    for copy in direct:
        target, seen = direct[copy], {copy}
        while target in direct and target not in seen:
            seen.add(target)
            target = direct[target]
        if target != copy and target not in seen:
            final[copy] = target
    return final


def _by_age(videos: pd.DataFrame, ids: Iterable[str]) -> list[str]:
    """Ids in the order of publication, then of id; an unknown date comes last."""
    chosen = videos.loc[list(ids)]
    frame = pd.DataFrame({"at": chosen["published_at"], "id": chosen.index}, index=chosen.index)
    return list(frame.sort_values(["at", "id"], na_position="last")["id"])


def _duplicate_frame(rows: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=DUPLICATE_COLUMNS)
    kinds = {"video_id": "str", "kept_id": "str", "kind": "str", "hamming": float, "motion": float}
    return frame.astype(kinds)
