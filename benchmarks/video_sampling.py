"""Eight frames of a minute of video: ours by seeking, pytorchvideo's and PyAV's by decoding all.

Makes a 60 s clip of 320x240 pixels at 30 frames a second, once with a keyframe every 250 frames
(x264's default) and once every 30, and times three ways to get the same eight frames, one after
the other in each round, in one process:

    python benchmarks/video_sampling.py

The script fails when pixels differ or when ours is not at least five times faster than
`EncodedVideo.get_clip` with subsampling. pytorchvideo needs about 2 GB of memory for it.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
from side_by_side import REPEATS, options, pytorchvideo_frames, rounds

from vidrec_utils import video_io

SECONDS, FPS, WIDTH, HEIGHT, N = 60, 30, 320, 240, 8
REQUIRED = 5.0


def scene(seed: int = 0) -> Iterator[np.ndarray]:
    """A textured background that scrolls, with a moving disc: work for an encoder, but no noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 8, 3))
    texture = np.kron(coarse, np.ones((16, 16, 1))).astype(np.uint8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for i in range(SECONDS * FPS):
        frame = np.roll(texture, -i, axis=1)[:, :WIDTH].copy()
        row = HEIGHT / 2 + 80 * np.sin(i / 17)
        column = WIDTH / 2 + 120 * np.cos(i / 23)
        frame[(rows - row) ** 2 + (columns - column) ** 2 < 900] = (255, 200, i % 256)
        yield frame


def decode_all(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]
    return np.stack([on_display(frames, timestamp) for timestamp in timestamps()])


def pytorchvideo(path: Path) -> np.ndarray:
    frames = pytorchvideo_frames(path)
    count = frames.shape[1]
    chosen = [int(count * (i + 0.5) / N) for i in range(N)]
    return frames[:, chosen].permute(1, 2, 3, 0).numpy().astype(np.uint8)


def timestamps() -> list[float]:
    return [SECONDS * (i + 0.5) / N for i in range(N)]


def on_display(frames: list[tuple[float, np.ndarray]], timestamp: float) -> np.ndarray:
    return max((f for f in frames if f[0] <= timestamp + 1e-6), key=lambda f: f[0])[1]


def both_clocks() -> np.ndarray:
    """Seconds by the clock and of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def compare(path: Path, repeats: int) -> dict[str, np.ndarray]:
    """Median seconds of each way by both clocks, after checking that the pixels agree."""
    ways = {
        "ours": partial(video_io.sample_frames, path, N),
        "PyAV, decode all": partial(decode_all, path),
        "pytorchvideo": partial(pytorchvideo, path),
    }
    expected = decode_all(path)
    for name, way in ways.items():
        if not np.array_equal(way(), expected):
            raise SystemExit(f"{name} gives other pixels than decoding all.")
    taken = rounds(ways, repeats, both_clocks)
    return {name: np.median(seconds, axis=0) for name, seconds in taken.items()}


def main() -> None:
    repeats = options(__doc__, repeats=REPEATS).repeats
    warnings.filterwarnings("ignore", category=FutureWarning)
    least = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        for gop in (250, 30):
            path = video_io.write_clip(Path(folder) / f"{gop}.mp4", scene(), FPS, gop=gop)
            medians = compare(path, repeats)
            for name, (clock, processor) in medians.items():
                by_clock, by_processor = clock / medians["ours"][0], processor / medians["ours"][1]
                if name == "pytorchvideo":
                    least = min(least, by_clock, by_processor)
                print(
                    f"keyframe every {gop:3d}: {name:16s} {1000 * clock:7.0f} ms "
                    f"({by_clock:5.1f} x ours), processor {1000 * processor:7.0f} ms "
                    f"({by_processor:5.1f} x ours)"
                )
    print(f"All pixels are equal. pytorchvideo takes at least {least:.1f} times as long as ours.")
    if least < REQUIRED:
        raise SystemExit(f"That is less than the {REQUIRED:.0f} times that the course claims.")


if __name__ == "__main__":
    main()
