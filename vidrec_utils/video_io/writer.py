"""Writing clips: H.264 that every browser plays, the same bytes for the same frames."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from os import PathLike
from pathlib import Path

import av
import numpy as np

from vidrec_utils.files import draft_folder

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}


def write_clip(
    path: str | PathLike[str],
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    crf: int = 23,
    preset: str = "veryfast",
    gop: int | None = None,
) -> Path:
    """Write frames as an H.264 clip (yuv420p, index in front), atomically.

    The same frames and settings give the same bytes with the same version of the encoder: one
    thread, no clock, no random identifier. H.264 with 4:2:0 colour needs even sides, so an odd
    width or height is made even by repeating the last column or row.

    Parameters
    ----------
    path
        Target, `.mp4`, `.m4v`, `.mov` or `.mkv`. Missing folders are made; an older file of that
        name is replaced when the new one is complete. What killed writers of the same clip left
        behind is removed.
    frames
        uint8 frames of shape (height, width, 3), RGB, all of one size: an array
        (n, height, width, 3) or any iterable, which is consumed one frame at a time.
    fps
        Frames per second.
    crf
        Constant rate factor: 0 (largest file) to 51 (worst image).
    preset
        x264's compromise between time and size, `"ultrafast"` to `"veryslow"`.
    gop
        Largest distance of two keyframes in frames; x264's default is 250.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    ValueError
        If there are no frames, or one has another shape or type, or `fps`, `crf` or the suffix
        is invalid.

    Examples
    --------
    >>> import tempfile
    >>> from vidrec_utils import video_io
    >>> frames = np.zeros((3, 32, 48, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     info = video_io.probe(write_clip(Path(folder, "black.mp4"), frames, fps=2))
    >>> info.n_frames, info.duration_s, (info.height, info.width)
    (3, 1.5, (32, 48))
    """
    path = Path(path)
    container = FORMATS.get(path.suffix.lower())
    if container is None:
        raise ValueError(f"{path}: the name of a clip ends in one of {', '.join(FORMATS)}.")
    rate = Fraction(fps).limit_denominator(65535)
    if rate <= 0:
        raise ValueError(f"fps is {fps}; give a number above 0.")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf is {crf}; give 0 (best image) to 51 (smallest file).")

    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write.")
    first = _checked(first, None, 0)

    with draft_folder(path) as folder:
        draft = folder / "clip"
        _encode(draft, container, chain([first], remaining), first.shape, rate, crf, preset, gop)
        draft.replace(path)
    return path


def _encode(
    draft: Path,
    container: str,
    frames: Iterable[np.ndarray],
    shape: tuple[int, ...],
    rate: Fraction,
    crf: int,
    preset: str,
    gop: int | None,
) -> None:
    height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    options = {"fflags": "+bitexact"}
    if container != "matroska":
        options["movflags"] = "+faststart"
    with av.open(str(draft), "w", format=container, container_options=options) as output:
        # x264's macroblock tree gives other bytes from run to run at widths such as 96 or 112.
        codec = {"crf": str(crf), "preset": preset, "x264-params": "mbtree=0"}
        stream = output.add_stream("libx264", rate=rate, options=codec)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        if gop is not None:
            stream.codec_context.gop_size = gop
        scaler = av.video.reformatter.VideoReformatter()
        for number, image in enumerate(frames):
            image = _even(_checked(image, shape, number))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = scaler.reformat(frame, format="yuv420p", threads=1)
            frame.pts, frame.time_base = number, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _checked(image: np.ndarray, shape: tuple[int, ...] | None, number: int) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"frame {number} is {image.dtype} of shape {image.shape}; "
            "give uint8 of shape (height, width, 3)."
        )
    if shape is not None and image.shape != shape:
        raise ValueError(
            f"frame {number} has shape {image.shape}, the first one {shape}; "
            "give all frames one size."
        )
    return image


def _even(image: np.ndarray) -> np.ndarray:
    rows, columns = image.shape[0] % 2, image.shape[1] % 2
    if rows or columns:
        image = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)
