"""Text in frames: where there is writing, and what it says, in Chinese and English.

Two networks of PP-OCR: the first says for each pixel whether it belongs to a line of text, the
second reads a line as a row of characters, each step of which is one character or a blank (CTC).

    Liao and others: Real-time Scene Text Detection with Differentiable Binarization (2020)
    Graves and others: Connectionist Temporal Classification (2006)
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.encoders import PackagedFile, PackagedFiles
from vidrec_utils.encoders.pixels import checked
from vidrec_utils.encoders.runtime import compiled_file
from vidrec_utils.image_encoders.preprocessing import Images

_ORIGIN = {
    "package": "rapidocr_onnxruntime",
    "distribution": "rapidocr-onnxruntime",
    "licence": "Apache-2.0",
    "reader": "openvino",
}
LINES = PackagedFile(
    file="models/ch_PP-OCRv4_det_infer.onnx",
    sha256="d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    content="PP-OCRv4, finds lines of text",
    **_ORIGIN,
)
CHARACTERS = PackagedFile(
    file="models/ch_PP-OCRv4_rec_infer.onnx",
    sha256="48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    content="PP-OCRv4, reads lines of text",
    **_ORIGIN,
)
FILES = PackagedFiles((LINES, CHARACTERS))
is_available = FILES.is_available
SHORT_SIDE, MULTIPLE = 736, 32  # pixels to which an image is enlarged, and what its sides divide by
LINE_HEIGHT, LEAST_WIDTH = 48, 320  # pixels of a line as the second network sees it
PIXEL, LINE = 0.3, 0.5  # least probability of a pixel, and of a line on average
GROWN = 1.6  # how much a line is enlarged: the first network marks the middle of the letters
LEAST_SIDE = 3
COLUMNS = ["image", "text", "score", "left", "top", "right", "bottom"]


def collapse(steps: Sequence[int], blank: int = 0) -> list[int]:
    """Turn one character a step into a text: repetitions are joined, then blanks are dropped.

    Parameters
    ----------
    steps : sequence of int
        The most probable character of each step.
    blank : int
        The number that stands for no character.

    Examples
    --------
    >>> collapse([7, 7, 0, 7, 4, 4, 0])
    [7, 7, 4]
    """
    array = np.asarray(steps)
    new = np.ones(len(array), dtype=bool)
    new[1:] = array[1:] != array[:-1]
    return array[new & (array != blank)].tolist()


def _ordered(corners: np.ndarray) -> np.ndarray:
    """Corners of a rectangle from the upper left one clockwise."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = (half[np.argsort(half[:, 1], kind="stable")] for half in (by_x[:2], by_x[2:]))
    return np.array([left[0], right[0], right[1], left[1]], dtype=np.float32)


class TextReader:
    """PP-OCRv4, whose two networks came with the package `rapidocr-onnxruntime`.

    Raises
    ------
    WeightsNotAvailable, WeightsError
        If the package is not installed, or its files are others.
    ImportError
        If OpenVINO is not installed.
    """

    def __init__(self) -> None:
        (lines, characters), self.weights = FILES.verified()
        self._find = compiled_file(lines)
        self._read = compiled_file(characters)
        self._alphabet = _alphabet(characters)

    def map(self, image: np.ndarray) -> np.ndarray:
        """Return for each pixel the probability that it belongs to text.

        Returns
        -------
        ndarray of float32
            Shape of the enlarged image, whose shorter side has 736 pixels.
        """
        (pixels,) = checked([image], "Image")
        factor = max(1.0, SHORT_SIDE / min(pixels.shape[:2]))
        height, width = (
            max(MULTIPLE, round(int(side * factor) / MULTIPLE) * MULTIPLE)
            for side in pixels.shape[:2]
        )
        enlarged = cv2.resize(pixels, (width, height))[:, :, ::-1]  # the network was shown BGR
        values = (enlarged.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)
        return np.array(self._find([values])[0][0, 0])

    def lines(self, image: np.ndarray) -> list[np.ndarray]:
        """Find lines of text: the four corners of each, in pixels, clockwise from the upper left.

        They may be tilted. The order is from top to bottom, then from left to right.
        """
        probable = self.map(image)
        scale = np.array(image.shape[1::-1]) / probable.shape[::-1]
        marked = cv2.dilate((probable > PIXEL).astype(np.uint8), np.ones((2, 2), np.uint8))
        contours, _ = cv2.findContours(marked, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        lines = []
        for contour in contours:
            middle, (width, height), angle = cv2.minAreaRect(contour)
            if min(width, height) < LEAST_SIDE:
                continue
            inside = np.zeros(probable.shape, np.uint8)
            corners = cv2.boxPoints((middle, (width, height), angle))
            cv2.fillPoly(inside, [corners.astype(np.int32)], 1)
            if cv2.mean(probable, inside)[0] < LINE:
                continue
            margin = 2 * width * height * GROWN / (2 * (width + height))  # area / length
            grown = cv2.boxPoints((middle, (width + margin, height + margin), angle))
            lines.append(_ordered(grown) * scale)
        return sorted(lines, key=lambda line: (round(line[0, 1] / 10), line[0, 0]))

    def read_line(self, line: np.ndarray) -> tuple[str, float]:
        """Read one line of text.

        Parameters
        ----------
        line : ndarray of uint8, shape (height, width, 3)
            RGB, with the line from left to right.

        Returns
        -------
        (str, float)
            The text, and the mean probability of its characters; 0 where there are none.
        """
        (pixels,) = checked([line], "Image")
        width = int(np.ceil(LINE_HEIGHT * pixels.shape[1] / pixels.shape[0]))
        small = cv2.resize(pixels, (max(1, width), LINE_HEIGHT))[:, :, ::-1]
        values = np.zeros((1, 3, LINE_HEIGHT, max(width, LEAST_WIDTH)), np.float32)
        values[0, :, :, : small.shape[1]] = small.transpose(2, 0, 1) / 127.5 - 1
        probable = self._read([values])[0][0]  # (steps, characters)
        best = probable.argmax(axis=1)
        kept = [i for i, k in enumerate(best) if k and (not i or best[i - 1] != k)]
        text = "".join(self._alphabet[k] for k in collapse(best))
        return text, float(probable.max(axis=1)[kept].mean()) if kept else 0.0

    def read(self, images: Images, threshold: float = 0.5) -> pd.DataFrame:
        """Find and read the text in images.

        Parameters
        ----------
        images : list of uint8 (height, width, 3)
            RGB; sizes may differ.
        threshold : float
            Least mean probability of the characters of a line, in [0, 1].

        Returns
        -------
        DataFrame
            A row a line: `image` (position), `text`, `score`, and `left, top, right, bottom` of
            the upright box around it, in shares of the image's sides.

        Raises
        ------
        ValueError
            If the threshold is no score, or an image is not uint8 RGB.
        """
        arguments.share(threshold=threshold)
        rows = []
        for position, image in enumerate(checked(images, "Image")):
            for corners in self.lines(image):
                text, score = self.read_line(_straight(image, corners))
                if text.strip() and score >= threshold:
                    sides = np.array(image.shape[1::-1])
                    low, high = (corners.min(0) / sides, corners.max(0) / sides)
                    rows.append((position, text, score, *low.clip(0, 1), *high.clip(0, 1)))
        frame = pd.DataFrame(rows, columns=COLUMNS).astype({"image": int, "text": "str"})
        return frame.astype(dict.fromkeys(COLUMNS[2:], float))


def _straight(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Cut a tilted rectangle out of an image; one that is much higher than wide is turned."""
    width = int(
        max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3]))
    )
    height = int(
        max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))
    )
    width, height = max(width, 1), max(height, 1)
    goal = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turn = cv2.getPerspectiveTransform(corners.astype(np.float32), goal)
    cut = cv2.warpPerspective(
        image, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.ascontiguousarray(np.rot90(cut)) if height >= 1.5 * width else cut


def _alphabet(path: object) -> list[str]:
    """The characters that the second network knows: the blank, those of its file, and a space."""
    import onnx

    properties = onnx.load(str(path), load_external_data=False).metadata_props
    characters = next(p.value for p in properties if p.key == "character").splitlines()
    return ["", *characters, " "]


def load_text_reader() -> TextReader:
    """Load PP-OCRv4, which finds and reads Chinese and English text and came with a package.

    Raises
    ------
    WeightsNotAvailable
        If the package `rapidocr-onnxruntime` is not installed; names the remedy.
    WeightsError
        If a file is damaged or another one.

    Examples
    --------
    >>> white = np.full((64, 64, 3), 255, np.uint8)
    >>> load_text_reader().lines(white) if is_available() else []
    []
    """
    return TextReader()
