"""Cut and shrink the real clips that come with the package, and describe them.

    python scripts/real_clips.py [--source FOLDER]      # under a minute

The sources are two collections of free footage, which are not part of this repository:
`asl-gestures-ccby` (intel-iot-devkit/sample-videos, CC BY 4.0) and `video6-mini-redistributable`
(among others DroneDetectionThesis/Drone-detection-dataset and mdn/learning-area, CC0 1.0). They are
looked for in the folder given, else in the one that `VIDREC_REAL_DATA` names, else in
`../shared/data` beside the repository. What is written is the library
`vidrec_utils/datasets/real_clips`, with its attribution and the hashes of its media. Titles and
descriptions were written for the course, from looking at the frames. Nothing is made up about who
watched the clips, so there are no interactions.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pandas as pd
from PIL import Image

from vidrec_utils import video_io
from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.datasets._library import CONTENT_ALONE
from vidrec_utils.files import sha256

REPOSITORY = Path(__file__).resolve().parents[1]
TARGET = REPOSITORY / "vidrec_utils" / "datasets" / "real_clips"
LONGER_SIDE = 224
QUALITY = 20
"""x264's constant rate factor."""

NOTE = (
    "Ten short real clips that come with the package. Nobody's watching of them is known or made "
    "up, so only content can be compared."
)


@dataclass(frozen=True)
class Origin:
    """Where clips come from, and under which licence."""

    folder: str
    author: str
    url: str
    license: str
    license_url: str


INTEL = Origin(
    "asl-gestures-ccby",
    "Intel Corporation",
    "https://github.com/intel-iot-devkit/sample-videos",
    "CC BY 4.0",
    "https://creativecommons.org/licenses/by/4.0/",
)
DRONES = Origin(
    "video6-mini-redistributable",
    "Fredrik Svanström (DroneDetectionThesis)",
    "https://github.com/DroneDetectionThesis/Drone-detection-dataset",
    "CC0 1.0",
    "https://creativecommons.org/publicdomain/zero/1.0/",
)
MDN = Origin(
    "video6-mini-redistributable",
    "Mozilla and contributors to MDN",
    "https://github.com/mdn/learning-area",
    "CC0 1.0",
    "https://creativecommons.org/publicdomain/zero/1.0/",
)


@dataclass(frozen=True)
class Clip:
    """One clip: which frames and pixels of which file, and what one sees there.

    Attributes
    ----------
    origin : Origin
        Where it comes from.
    file : str
        Path in the origin's folder.
    frames : tuple of int
        First frame, and the one after the last.
    box : tuple of int
        Left, top, width and height of the part that is shown, in pixels.
    thumbnail : float
        Position of the thumbnail in the clip, from 0 to 1.
    title, tags, category, description : str
        As a platform would have them.
    """

    origin: Origin
    file: str
    frames: tuple[int, int]
    box: tuple[int, int, int, int]
    thumbnail: float
    title: str
    tags: str
    category: str
    description: str


CLIPS = {
    "airplane_lands": Clip(
        *(DRONES, "airplane/v_airplane_002.mp4", (212, 301), (190, 160, 440, 352), 1.0),
        "Turboprop on its way to the runway",
        "airplane|airport|landing",
        "in the air",
        "An airliner approaches over flat land; after a cut it glides into the picture from the "
        "left, larger, with its wheels down.",
    ),
    "bird_circles": Clip(
        *(DRONES, "bird/v_bird_048.mp4", (164, 242), (60, 0, 440, 352), 0.2),
        "A bird circles above bare trees",
        "bird|sky|trees",
        "in the air",
        "A dark bird in front of a deep blue sky, in two shots that look nearly the same.",
    ),
    "helicopter_passes": Clip(
        *(DRONES, "helicopter/v_helicopter_007.mp4", (0, 90), (0, 0, 640, 512), 0.0),
        "Police helicopter over the rooftops",
        "helicopter|police|sky",
        "in the air",
        "The camera follows a helicopter to the right; roofs pass below it, and one building has a "
        "sign with the letter D.",
    ),
    "cars_meet": Clip(
        *(INTEL, "car-detection.mp4", (192, 229), (0, 0, 768, 432), 0.45),
        "Two cars pass each other",
        "cars|road|traffic",
        "on the road",
        "Seen from above by a camera that does not move: a silver car drives down the picture, a "
        "red one up.",
    ),
    "man_leaves": Clip(
        *(INTEL, "one-by-one-person-detection.mp4", (425, 455), (0, 0, 768, 432), 0.0),
        "He turns round and leaves the room",
        "man|room|walking",
        "people",
        "A man in black stands in front of a round table, seen from behind, and walks out of the "
        "picture on the right.",
    ),
    "sign_again": Clip(
        *(INTEL, "again.mkv", (0, 77), (150, 40, 320, 320), 0.5),
        "How to sign AGAIN",
        "sign language|hands|man",
        "people",
        "A man in a hoodie with the word MISFITS signs the word AGAIN in American Sign Language.",
    ),
    "sign_learn": Clip(
        *(INTEL, "learn.mkv", (0, 61), (80, 0, 480, 480), 0.55),
        "How to sign LEARN",
        "sign language|hands|woman",
        "people",
        "A woman in an orange hoodie signs the word LEARN in American Sign Language.",
    ),
    "bottle_put_down": Clip(
        *(INTEL, "bottle-detection.mp4", (1030, 1119), (0, 0, 640, 360), 0.6),
        "A third bottle joins the row",
        "bottles|hand|water",
        "on the table",
        "A hand puts a bottle of water next to two others, lets go of it and leaves.",
    ),
    "bottles_taken": Clip(
        *(INTEL, "bottle-detection.mp4", (450, 539), (0, 0, 640, 360), 0.6),
        "Two bottles go, one stays",
        "bottles|hands|water",
        "on the table",
        "Two hands reach down, take two of three bottles of water and lift them out of the "
        "picture.",
    ),
    "toy_pig_nears": Clip(
        *(MDN, "toy/learning-area__pig.webm", (80, 170), (12, 0, 696, 480), 0.6),
        "Face to face with a toy pig",
        "toy|pig|closeup",
        "on the table",
        "The camera approaches a small pink pig on a wooden board until it nearly fills the "
        "picture.",
    ),
}


def main() -> None:
    """Write the library."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    given = os.environ.get("VIDREC_REAL_DATA")
    default = Path(given).expanduser() if given else REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--source", type=Path, default=default, help="folder of the collections")
    build(parser.parse_args().source, TARGET)


def build(source: Path, target: Path) -> None:
    """Cut all clips from a folder of collections, and write the library into a target.

    Raises
    ------
    FileNotFoundError
        If a source is absent; the message names it and where it comes from.
    """
    with tempfile.TemporaryDirectory() as made:
        described = [describe(source, Path(made), name) for name in CLIPS]
        nothing = pd.DataFrame({column: [] for column in ("user_id", "video_id", "timestamp")})
        notes = {CONTENT_ALONE: NOTE}
        library = VideoLibrary(
            pd.DataFrame(described), nothing, root=made, name="real_clips", notes=notes
        )
        shutil.rmtree(target, ignore_errors=True)
        library.save(target)
    target.with_name(f".{target.name}.lock").unlink(missing_ok=True)
    (target / "ATTRIBUTION.md").write_text(attribution(), encoding="utf-8")
    media = sorted([*target.glob("clips/*"), *target.glob("thumbnails/*")])
    lines = [f"{sha256(file)}  {file.relative_to(target).as_posix()}\n" for file in media]
    (target / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    print(f"Wrote {len(CLIPS)} clips with all that belongs to them into {target}: {size:,} bytes.")


def describe(source: Path, folder: Path, name: str) -> dict[str, str | float]:
    """Write a clip and its thumbnail into a folder, and return its row of the table of videos."""
    clip = CLIPS[name]
    file = source / clip.origin.folder / clip.file
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is absent. Get {clip.file} from {clip.origin.url}, or name the folder of the "
            "collections with --source."
        )
    path, thumbnail = f"clips/{name}.mp4", f"thumbnails/{name}.jpg"
    rate = write(file, clip, folder / path)
    (folder / thumbnail).parent.mkdir(exist_ok=True)
    picture = video_io.thumbnail(folder / path, LONGER_SIDE, at=clip.thumbnail)
    picture.save(folder / thumbnail, "JPEG", quality=88)
    return {
        "video_id": name,
        "title": clip.title,
        "tags": clip.tags,
        "category": clip.category,
        "description": clip.description,
        "language": "en",
        "duration_s": video_io.probe(folder / path).duration_s,
        "path": path,
        "thumbnail": thumbnail,
        "author": clip.origin.author,
        "license": clip.origin.license,
        "source": f"{clip.origin.url}, {Path(clip.file).name}",
        "source_start_s": round(float(clip.frames[0] / rate), 2),
    }


def write(file: Path, clip: Clip, target: Path) -> Fraction:
    """Write the chosen frames and pixels of a file, shrunk, and return its frames per second."""
    left, top, width, height = clip.box
    scale = LONGER_SIDE / max(width, height)
    size = tuple(2 * round(side * scale / 2) for side in (width, height))  # H.264: even sides

    def shrunk() -> Iterator[np.ndarray]:
        for frame in islice(container.decode(video=0), *clip.frames):
            part = frame.to_image().crop((left, top, left + width, top + height))
            yield np.asarray(part.resize(size, Image.Resampling.LANCZOS))

    with av.open(str(file)) as container:
        rate = Fraction(container.streams.video[0].average_rate).limit_denominator(100)
        video_io.write_clip(target, shrunk(), rate, crf=QUALITY, preset="veryslow")
    return rate


def attribution() -> str:
    """Say of each clip who made it, its licence, where it was found, and what was changed."""
    lines = [
        "# Who made the real clips",
        "",
        "The clips in `clips/` and the thumbnails in `thumbnails/` are parts of works of others,",
        "and stay under the licences of those works, which are not that of the code. All of them",
        "were changed: a few seconds, and in some a part of the picture, were cut out, shrunk to",
        f"at most {LONGER_SIDE} pixels and encoded again as H.264 without sound. A thumbnail is",
        "one frame. Titles, tags, categories and descriptions in `videos.csv` were written for",
        "this course, not by the authors, and no author endorses the course. Whoever passes the",
        "clips on keeps this page with them. It was made by `scripts/real_clips.py`.",
        "",
        "| clip | author | licence | source | first frame, frames | part shown |",
        "|---|---|---|---|---|---|",
    ]
    for name, clip in CLIPS.items():
        origin, (first, stop), (left, top, width, height) = clip.origin, clip.frames, clip.box
        lines.append(
            f"| `{name}` | {origin.author} | [{origin.license}]({origin.license_url}) "
            f"| [{Path(clip.file).name}]({origin.url}) | {first}, {stop - first} "
            f"| {width}x{height} from ({left}, {top}) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
