"""Which edited copies of real clips are found, and which different clips are taken for copies.

Quality, not speed. Every clip of two folders of real data, cut to at most a minute, is edited in
many ways: trimmed, cropped, captioned. Each edited copy is encoded anew as a file of its own, small
and with half of the frames, and looked for as `near_duplicates` would:

    python benchmarks/near_duplicates.py --data FOLDER --cache FOLDER

`--data` holds `video6-mini-redistributable` and `asl-gestures-ccby`, and `--cache` keeps the
fingerprints. Limits were chosen on every second clip, and the table has a column for the others.
Different clips are compared, too: all pairs of originals, all pairs of an edited copy and another
original, and successive parts of each long clip. The script fails if any is called a copy.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from side_by_side import Option, options

from vidrec_utils import video_io
from vidrec_utils.preprocessing.duplicates import candidate_pairs
from vidrec_utils.preprocessing.hashing import Fingerprint, fingerprint, perceptual_hash
from vidrec_utils.preprocessing.matching import MIN_MOTION, STATIC_MOTION, compare, is_copy
from vidrec_utils.preprocessing.windows import (
    compare_edited,
    edited_pairs,
    is_another_take,
    is_edited_copy,
)

Edit = Callable[[np.ndarray], np.ndarray]

SETS = ("video6-mini-redistributable", "asl-gestures-ccby")
LONGEST_S = 60.0
SIDE = 128
"""Length of the shorter side of the copies, in pixels."""
TEXT = "everybody talks about\nthis one clip"


def trimmed(start: float, end: float) -> Edit:
    return lambda frames: frames[
        round(start * len(frames)) : len(frames) - round(end * len(frames))
    ]


def cropped(left: float, top: float, right: float, bottom: float) -> Edit:
    def crop(frames: np.ndarray) -> np.ndarray:
        height, width = frames.shape[1:3]
        rows = slice(round(top * height), height - round(bottom * height))
        return frames[:, rows, round(left * width) : width - round(right * width)]

    return crop


def captioned(box: float = 0.0, at_top: bool = False) -> Edit:
    """Two lines of white letters with a black edge, or in a dark box over a share of the height."""

    def caption(frames: np.ndarray) -> np.ndarray:
        height, width = frames.shape[1:3]
        layer = Image.new("RGBA", (width, height))
        draw = ImageDraw.Draw(layer)
        share = box or 0.18
        middle = height * (share / 2 + 0.03 if at_top else 1 - share / 2 - 0.03)
        if box:
            top, bottom = middle - share / 2 * height, middle + share / 2 * height
            draw.rectangle((0.08 * width, top, 0.92 * width, bottom), (16, 16, 24, 255))
        draw.multiline_text(
            (width / 2, middle),
            TEXT,
            "white",
            ImageFont.load_default(max(8, round(height * share / 2.6))),
            "mm",
            align="center",
            stroke_width=0 if box else 2,
            stroke_fill="black",
        )
        pixels = np.asarray(layer).astype(np.float32)
        alpha = pixels[..., 3:] / 255
        return (frames * (1 - alpha) + pixels[..., :3] * alpha).round().astype(np.uint8)

    return caption


def both(first: Edit, second: Edit) -> Edit:
    return lambda frames: second(first(frames))


EDITS: dict[str, Edit] = {
    "re-encoded": lambda frames: frames,
    "start trimmed by 1/10": trimmed(0.1, 0),
    "start trimmed by 1/5": trimmed(0.2, 0),
    "end trimmed by 1/5": trimmed(0, 0.2),
    "both ends trimmed by 1/10": trimmed(0.1, 0.1),
    "start trimmed by 1/8, end by 1/20": trimmed(0.13, 0.05),
    "cropped by 1/20": cropped(0.025, 0.025, 0.025, 0.025),
    "cropped by 1/10": cropped(0.05, 0.05, 0.05, 0.05),
    "cropped by 1/10 on the left": cropped(0.1, 0, 0, 0),
    "cropped by 1/10 at the top": cropped(0, 0.1, 0, 0),
    "cropped by 1/10 on all sides": cropped(0.1, 0.1, 0.1, 0.1),
    "letters": captioned(),
    "box of 15% at the bottom": captioned(0.15),
    "box of 15% at the top": captioned(0.15, at_top=True),
    "box of 25% at the bottom": captioned(0.25),
    "cropped by 1/10, start trimmed by 1/10": both(trimmed(0.1, 0), cropped(*[0.05] * 4)),
    "box of 15%, start trimmed by 1/10": both(trimmed(0.1, 0), captioned(0.15)),
    "cropped by 1/10, box of 15%": both(cropped(*[0.05] * 4), captioned(0.15)),
}


def real_clips(data: Path) -> dict[str, Path]:
    """Name and file of each clip; both folders hold the signs, which count once."""
    clips: dict[str, Path] = {}
    for name in SETS:
        for path in sorted((data / name).rglob("*")):
            if path.suffix in (".mp4", ".mkv", ".webm"):
                clips.setdefault(path.stem, path)
    return dict(sorted(clips.items()))


def make_prints(path: Path, draft: Path) -> dict[str, Fingerprint]:
    """Fingerprints of the original and of its edited copies, each through a file."""
    info = video_io.probe(path)
    scale = SIDE / min(info.height, info.width)
    size = (round(info.height * scale), round(info.width * scale))
    frames, _ = video_io.read_clip(path, end_s=min(LONGEST_S, info.duration_s), size=size)
    thin = 2 if info.fps > 20 else 1
    frames, fps = frames[::thin], info.fps / thin
    if info.duration_s > LONGEST_S:
        video_io.write_clip(draft, frames, fps=fps, crf=20)
        path = draft
    prints = {"original": fingerprint(path)}
    for name, edit in EDITS.items():
        video_io.write_clip(draft, edit(frames), fps=fps, crf=28, preset="ultrafast")
        prints[name] = fingerprint(draft)
    return prints


def load_prints(data: Path, cache: Path) -> dict[str, dict[str, Fingerprint]]:
    """Read the fingerprints of all clips, and make those that the cache lacks."""
    prints = {}
    with tempfile.TemporaryDirectory() as drafts:
        for name, path in real_clips(data).items():
            kept = cache / f"{name}.npz"
            if not kept.exists():
                cache.mkdir(parents=True, exist_ok=True)
                save(kept, make_prints(path, Path(drafts, "copy.mp4")))
            prints[name] = read(kept)
    return prints


def save(path: Path, prints: dict[str, Fingerprint]) -> None:
    times = {
        f"{k}/times": np.array([p.duration_s, p.step_s]) for k, p in enumerate(prints.values())
    }
    images = {f"{k}/images": p.images for k, p in enumerate(prints.values())}
    np.savez_compressed(path, names=list(prints), **times, **images)


def read(path: Path) -> dict[str, Fingerprint]:
    with np.load(path) as kept:
        prints = {}
        for k, name in enumerate(kept["names"]):
            images = kept[f"{k}/images"]
            duration_s, step_s = kept[f"{k}/times"].tolist()
            prints[str(name)] = Fingerprint(duration_s, step_s, images, perceptual_hash(images))
    return prints


def pair_found(a: Fingerprint, b: Fingerprint) -> bool:
    """Whether `near_duplicates` would call two clips one."""
    clips = {"a": a, "b": b}
    match = compare_edited(a, b)
    if candidate_pairs(clips) and is_copy(*compare(a, b)) and not is_another_take(match):
        return True
    return bool(edited_pairs(clips)) and is_edited_copy(match)


def found_copies(prints: dict[str, dict[str, Fingerprint]]) -> pd.DataFrame:
    """Whether each edited copy is found: a row for each clip, a column for each edit."""
    return pd.DataFrame(
        {
            clip: {edit: pair_found(p["original"], p[edit]) for edit in EDITS if edit in p}
            for clip, p in prints.items()
        }
    ).T


def false_alarms(
    prints: dict[str, dict[str, Fingerprint]], edits: list[str]
) -> tuple[list[str], int, float]:
    """Different clips that are called copies, the number of pairs, and the closest changes."""
    originals = {clip: p["original"] for clip, p in prints.items()}
    n = len(originals) * (len(originals) - 1) // 2
    alarms, closest = alarms_among(originals, {})
    for edit in edits:
        copies = {f"{clip}, {edit}": p[edit] for clip, p in prints.items() if edit in p}
        n += len(copies) * (len(originals) - 1)
        more, motion = alarms_among(originals, copies)
        alarms, closest = alarms + more, max(closest, motion)
    return alarms, n, closest


def alarms_among(
    originals: dict[str, Fingerprint], copies: dict[str, Fingerprint]
) -> tuple[list[str], float]:
    """Pairs of an original and a copy of another clip (or two originals) that are called one."""
    clips = {**originals, **copies}
    plain, edited = set(candidate_pairs(clips)), set(edited_pairs(clips))
    alarms, closest = [], 0.0
    for a, b in sorted(plain | edited):
        if (a in copies) + (b in copies) != bool(copies) or a.split(",")[0] == b.split(",")[0]:
            continue
        match = compare_edited(clips[a], clips[b])
        closest = max(closest, match.change if match.motion >= MIN_MOTION / 2 else 0.0)
        looks = (a, b) in plain and is_copy(*compare(clips[a], clips[b]))
        looks = looks and not is_another_take(match)
        if looks or ((a, b) in edited and is_edited_copy(match)):
            alarms.append(f"{a} and {b}")
    return alarms, closest


def successive(clip: Fingerprint) -> Iterator[tuple[Fingerprint, Fingerprint]]:
    """Successive halves and thirds of a clip of at least six seconds."""
    for share in (2, 3) if clip.duration_s >= 6 else ():
        n = len(clip.images) // share
        pieces = [
            replace(
                clip,
                duration_s=n * clip.step_s,
                images=clip.images[k : k + n],
                hashes=clip.hashes[k : k + n],
            )
            for k in range(0, share * n, n)
        ]
        yield from pairwise(pieces)


def main() -> None:
    given = options(
        __doc__,
        data=Option("../shared/data", "folder with the two sets"),
        cache=Option("build/near_duplicates", "where fingerprints are kept"),
        edits=Option(list(EDITS), "edits whose copies are compared with other clips", EDITS),
    )
    prints = load_prints(Path(given.data), Path(given.cache))
    start = time.process_time()
    table = found_copies(prints)
    print(f"{len(prints)} clips, {time.process_time() - start:.0f} s of processor time", flush=True)
    print("| copy | found, clips that limits were chosen on | found, other clips |\n|---|---|---|")
    for edit in table:
        chosen, other = table[edit].iloc[::2].dropna(), table[edit].iloc[1::2].dropna()
        print(f"| {edit} | {chosen.sum()} of {len(chosen)} | {other.sum()} of {len(other)} |")
    missed = {edit: list(table.index[table[edit].eq(False)]) for edit in table}
    print("Not found:", *(f"{e}: {', '.join(m)}" for e, m in missed.items() if m), sep="\n  ")
    alarms, n, closest = false_alarms(prints, given.edits)
    pieces = [pair for p in prints.values() for pair in successive(p["original"])]
    alarms += [f"parts of a clip of {a.duration_s:.0f} s" for a, b in pieces if called_one(a, b)]
    print(f"{n} pairs of different clips, {len(pieces)} of parts: {len(alarms)} false alarms;")
    print(f"the closest changes of motion correlate by {closest:.3f}")
    sys.exit("\n".join(alarms))


def called_one(a: Fingerprint, b: Fingerprint) -> bool:
    """Whether two parts in which something moves are called one clip."""
    plain, match = compare(a, b), compare_edited(a, b)
    alike = plain[2] >= STATIC_MOTION and is_copy(*plain) and not is_another_take(match)
    return is_edited_copy(match) or alike


if __name__ == "__main__":
    main()
