"""People in photographs: where one is, and which pixels are the person.

Two networks of MediaPipe, whose files come out of its wheel: `pose_detection` finds people and
says how they stand; `pose_landmark_full` sees the square around one of them and returns a mask and
39 points of the body (33 are published as its landmarks).

    Bazarevsky and others: BlazePose: On-device Real-time Body Pose Tracking (2020),
    arXiv:2006.10204
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidrec_utils import arguments
from vidrec_utils.encoders import PackagedFile, PackagedFiles
from vidrec_utils.encoders.pixels import checked
from vidrec_utils.encoders.runtime import compiled_file
from vidrec_utils.image_encoders.boxes import non_maximum_suppression

_ORIGIN = {
    "package": "mediapipe_models",  # a folder that scripts/set_up.py makes out of the wheel
    "distribution": "mediapipe",
    "licence": "Apache-2.0",
    "reader": "openvino",
}
DETECTION = PackagedFile(
    file="pose_detection.tflite",
    sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    content="MediaPipe's detector of people",
    **_ORIGIN,
)
LANDMARKS = PackagedFile(
    file="pose_landmark_full.tflite",
    sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    content="MediaPipe's mask and points of a person",
    **_ORIGIN,
)
FILES = PackagedFiles((DETECTION, LANDMARKS))
is_available = FILES.is_available
SIDE, CROP = 224, 256  # pixels of the squares that the two networks see
OVERLAP = 0.3
LANDMARK_COUNT = 33
_GRIDS = ((28, 2), (14, 2), (7, 6))  # cells a side, anchors a cell
_ENLARGED = 1.25
"""Factor by which the circle around a person is enlarged before the second network sees it."""


@dataclass(frozen=True)
class Person:
    """Somebody in an image.

    Attributes
    ----------
    score : float
        How sure the detector is, in [0, 1].
    box : ndarray of float, shape (4,)
        Around the face and shoulders: left, top, right, bottom, in pixels of the image.
    hips, reach : ndarray of float, shape (2,)
        Middle of the hips, and a point of the circle around them that holds the whole body.
    """

    score: float
    box: np.ndarray
    hips: np.ndarray
    reach: np.ndarray


@dataclass(frozen=True)
class Silhouette:
    """A person's pixels and points.

    Attributes
    ----------
    mask : ndarray of float32, shape (height, width)
        For the whole image: how sure the network is that a pixel is the person, in [0, 1].
    landmarks : ndarray of float, shape (33, 2)
        Points of the body in pixels of the image, in MediaPipe's order (0: nose, 11 and 12:
        shoulders, 23 and 24: hips).
    presence : float
        How sure the network is that the square holds a person, in [0, 1].
    """

    mask: np.ndarray
    landmarks: np.ndarray
    presence: float


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -80, 80)))


def _centres() -> np.ndarray:
    """Centres of the detector's 2,254 anchors in shares of the square, `(2254, 2)`."""
    centres = []
    for cells, each in _GRIDS:
        steps = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)  # row by row
        centres.append(np.repeat(grid, each, axis=0))
    return np.concatenate(centres)


class PersonFinder:
    """MediaPipe's two networks for people, read by OpenVINO.

    Raises
    ------
    WeightsNotAvailable, WeightsError
        If the files are not installed, or are others.
    ImportError
        If OpenVINO is not installed.
    """

    def __init__(self) -> None:
        (detection, landmarks), self.weights = FILES.verified()
        self._detect = compiled_file(detection)
        self._follow = compiled_file(landmarks)
        self._anchors = _centres()

    def find(self, image: np.ndarray, threshold: float = 0.5) -> list[Person]:
        """Find people in an image, the surest first.

        Parameters
        ----------
        image : ndarray of uint8, shape (height, width, 3)
            RGB.
        threshold : float
            Least score, in [0, 1].
        """
        arguments.share(threshold=threshold)
        (pixels,) = checked([image], "Image")
        height, width = pixels.shape[:2]
        side = max(height, width)
        corner = np.array([side - width, side - height]) / 2  # black bars around a longer side
        square = np.zeros((side, side, 3), np.uint8)
        top, left = int(corner[1]), int(corner[0])
        square[top : top + height, left : left + width] = pixels
        small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        outputs = self._detect([(small[None] / 127.5 - 1).astype(np.float32)])
        raw, scores = outputs[0][0], _sigmoid(outputs[1][0, :, 0])
        sure = np.flatnonzero(scores >= threshold)
        # Four corners' numbers and four points for each anchor, all relative to its centre
        numbers = raw[sure].reshape(len(sure), 6, 2) / SIDE
        centres = self._anchors[sure]
        points = (numbers[:, [0, 2, 3]] + centres[:, None]) * side - (left, top)
        half = numbers[:, 1] * side / 2
        boxes = np.concatenate([points[:, 0] - half, points[:, 0] + half], axis=1)
        kept = non_maximum_suppression(boxes, scores[sure], OVERLAP)
        return [Person(float(scores[sure[k]]), boxes[k], points[k, 1], points[k, 2]) for k in kept]

    def outline(self, image: np.ndarray, person: Person) -> Silhouette:
        """Return which pixels are the person, and where the points of the body lie.

        Parameters
        ----------
        image : ndarray of uint8, shape (height, width, 3)
            The image in which `find` found the person.
        person : Person
            One of those.
        """
        (pixels,) = checked([image], "Image")
        up = person.reach - person.hips
        right = np.array([-up[1], up[0]])  # a quarter turn, as y grows downwards
        corners = np.array([person.hips, person.hips + up, person.hips + right])
        corners = person.hips + (corners - person.hips) * _ENLARGED
        goal = np.array([[0.5, 0.5], [0.5, 0.0], [1.0, 0.5]]) * CROP
        to_crop = cv2.getAffineTransform(corners.astype(np.float32), goal.astype(np.float32))
        crop = cv2.warpAffine(pixels, to_crop, (CROP, CROP))
        outputs = self._follow([(crop[None] / 255).astype(np.float32)])
        numbers, presence, mask = outputs[0][0], outputs[1][0, 0], outputs[2][0, :, :, 0]
        back = cv2.invertAffineTransform(to_crop)
        whole = (pixels.shape[1], pixels.shape[0])
        whole_mask = cv2.warpAffine(_sigmoid(mask).astype(np.float32), back, whole)
        points = numbers.reshape(-1, 5)[:LANDMARK_COUNT, :2]
        return Silhouette(whole_mask, points @ back[:, :2].T + back[:, 2], float(presence))


def load_person_finder() -> PersonFinder:
    """Load MediaPipe's networks for people.

    Raises
    ------
    WeightsNotAvailable
        If their files are not installed; names the remedy.
    WeightsError
        If a file is damaged or another one.

    Examples
    --------
    >>> black = np.zeros((64, 64, 3), np.uint8)
    >>> load_person_finder().find(black) if is_available() else []
    []
    """
    return PersonFinder()
