"""What encoders are asked for besides vectors: names, things and areas, as catalogue features.

`classify` names a picture as a whole, `detect` finds things and where they are, `segment` says how
much of a picture each kind of thing covers. `detection_features` turns
the latter two into one row a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torchvision.models import WeightsEnum, detection, segmentation

from vidrec_utils import settings
from vidrec_utils.encoders.download import PublishedFile
from vidrec_utils.encoders.pixels import checked
from vidrec_utils.encoders.protocol import WeightsInfo
from vidrec_utils.image_encoders import convolutional
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.image_encoders.preprocessing import Images

SMALLEST = 8
"""Pixels of a side below which a picture is enlarged before a detector looks."""


@dataclass(frozen=True)
class Finder:
    """How one of torchvision's detectors or segmenters is built and fetched.

    Attributes
    ----------
    task : {"detect", "segment"}
        What it does.
    build : callable
        Builds it untrained.
    torchvision : WeightsEnum
        Torchvision's entry: preprocessing, labels, measured accuracy.
    published : PublishedFile
        The file with its weights.
    metric : str
        Which of the measured numbers its accuracy is.
    """

    task: str
    build: Callable[..., nn.Module]
    torchvision: WeightsEnum
    published: PublishedFile
    metric: str


def _finder(
    task: str, build: Callable[..., nn.Module], weights: WeightsEnum, metric: str
) -> Finder:
    return Finder(task, build, weights, PublishedFile.of_torchvision(weights), metric)


FINDERS = {
    "ssdlite320_mobilenet_v3_large": _finder(
        "detect",
        partial(detection.ssdlite320_mobilenet_v3_large, weights_backbone=None),
        detection.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1,
        "box_map",
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _finder(
        "detect",
        partial(detection.fasterrcnn_mobilenet_v3_large_320_fpn, weights_backbone=None),
        detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
        "box_map",
    ),
    "lraspp_mobilenet_v3_large": _finder(
        "segment",
        partial(segmentation.lraspp_mobilenet_v3_large, weights_backbone=None),
        segmentation.LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
        "miou",
    ),
    "deeplabv3_mobilenet_v3_large": _finder(
        "segment",
        partial(segmentation.deeplabv3_mobilenet_v3_large, weights_backbone=None, aux_loss=True),
        segmentation.DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
        "miou",
    ),
}
YEAR = 2019  # of MobileNet-V3, which all of them stand on


class Detector:
    """A network that finds things in pictures; see `load_finder`.

    Attributes
    ----------
    name, task : str
        Its name in `finders()`, and `"detect"` or `"segment"`.
    labels : tuple of str
        What it can find, in the order of its outputs; the first is the background.
    weights : WeightsInfo
        Where its weights came from.
    """

    def __init__(
        self,
        name: str,
        net: nn.Module,
        weights: WeightsInfo,
        device: torch.device | str | None = None,
    ):
        self.name, self.weights = name, weights
        self.task = FINDERS[name].task
        self.labels = tuple(FINDERS[name].torchvision.meta["categories"])
        self.preset = FINDERS[name].torchvision.transforms()
        self.device = torch.device(device) if device is not None else settings.device()
        self.net = net.eval().to(self.device)
        self.parameters = sum(p.numel() for p in net.parameters())

    def prepare(self, images: Images) -> Iterator[torch.Tensor]:
        """Pictures one by one as the network wants them, float32 `(3, height, width)`."""
        for image in checked(images, "Image"):
            tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
            if min(tensor.shape[1:]) < SMALLEST or max(image.shape[:2]) > 8 * min(image.shape[:2]):
                tensor = _bearable(tensor)
            yield self.preset(tensor)


def finders() -> pd.DataFrame:
    """The catalogue of detectors and segmenters, and which weights are at hand now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `task, year, parameters, gflops` (a multiply and an add count as two)`,
        classes, licence, pretrained_on, accuracy, accuracy_source, available`.
    """
    rows = {}
    for name, finder in FINDERS.items():
        meta = finder.torchvision.meta
        file = finder.published
        ((data, metrics),) = meta["_metrics"].items()
        rows[name] = {
            "task": finder.task,
            "year": YEAR,
            "parameters": meta["num_params"],
            "gflops": round(2 * meta["_ops"], 2),
            "classes": len([c for c in meta["categories"][1:] if c != "N/A"]),
            "licence": file.licence,
            "pretrained_on": "COCO",
            "accuracy": metrics[finder.metric],
            "accuracy_source": f"{finder.metric} on {data}, torchvision {finder.torchvision}",
            "available": "published, random" if file.is_available() else "random",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def load_finder(
    name: str = "ssdlite320_mobilenet_v3_large",
    weights: str | Path = "published",
    device: torch.device | str | None = None,
    *,
    seed: int = 0,
    download: bool = False,
) -> Detector:
    """Load a detector or segmenter by its name in `finders()`.

    Parameters
    ----------
    name : str
        A name of `finders()`.
    weights : {"published", "random"} or path
        See `image_encoders.load`; no package carries these networks.
    device : torch.device or str, optional
        Default: `settings.device()`.
    seed : int
        For random weights, which find nothing that is there; they serve to try the plumbing.
    download : bool
        Whether published weights may be fetched when they are not at hand.

    Raises
    ------
    ValueError
        If there is none of that name.
    WeightsNotAvailable, WeightsError
        See `image_encoders.load`.
    """
    if name not in FINDERS:
        raise ValueError(f"There is no finder {name!r}; choose from {', '.join(FINDERS)}.")
    if weights == "packaged":
        raise ValueError(f"No package carries {name}: use weights='published'.")
    made = FINDERS[name]
    net, info = convolutional.with_weights(made.build, made.published, weights, seed, download)
    return Detector(name, net, info, device)


def classify(images: Images, encoder: ImageEncoder, k: int = 5) -> pd.DataFrame:
    """The k most probable ImageNet classes of each picture.

    Returns
    -------
    DataFrame
        Columns `image` (position), `rank` (from 1), `label`, `probability`.

    Raises
    ------
    ValueError
        If the encoder has no classifier, or k is not between 1 and the number of classes.
    """
    if encoder.net.classes and not 1 <= k <= encoder.net.classes:
        raise ValueError(f"k is {k}; {encoder.name} knows {encoder.net.classes} classes.")
    return encoder.top(images, k)


def detect(
    images: Images,
    detector: str | Detector = "ssdlite320_mobilenet_v3_large",
    threshold: float = 0.5,
    *,
    download: bool = False,
) -> pd.DataFrame:
    """Find things in pictures.

    Parameters
    ----------
    images : list of uint8 (height, width, 3)
        RGB; sizes may differ.
    detector : str or Detector
        A name of `finders()`, loaded with its published weights, or one from `load_finder`.
    threshold : float
        Least score, in [0, 1].
    download : bool
        Whether the published weights may be fetched when they are not at hand.

    Returns
    -------
    DataFrame
        A row a thing, by picture and falling score: `image` (position), `label`, `score`, `left,
        top, right, bottom` and `area`, all parts of the picture's sides or area, in [0, 1].

    Raises
    ------
    WeightsNotAvailable
        If the weights are not on this machine; names the remedy.
    ValueError
        If the model does not detect, the threshold is no score, or a picture is not uint8 RGB.
    """
    model = _of_task(detector, "detect", download)
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; scores lie between 0 and 1.")
    rows = []
    with torch.inference_mode():
        for place, tensor in enumerate(model.prepare(images)):
            found = {k: v.cpu() for k, v in model.net([tensor.to(model.device)])[0].items()}
            height, width = tensor.shape[1:]
            boxes = found["boxes"] / torch.tensor([width, height, width, height])
            for box, label, score in zip(boxes, found["labels"], found["scores"], strict=True):
                if score >= threshold:
                    left, top, right, bottom = box.clamp(0, 1).tolist()
                    area = (right - left) * (bottom - top)
                    corners = (left, top, right, bottom, area)
                    rows.append((place, model.labels[label], score.item(), *corners))
    columns = ["image", "label", "score", "left", "top", "right", "bottom", "area"]
    frame = pd.DataFrame(rows, columns=columns).astype({"image": int, "label": "str"})
    return frame.astype(dict.fromkeys(columns[2:], float)).sort_values(
        ["image", "score"], ascending=[True, False], ignore_index=True
    )


def segment(
    images: Images,
    segmenter: str | Detector = "lraspp_mobilenet_v3_large",
    *,
    download: bool = False,
) -> pd.DataFrame:
    """Say how much of each picture each kind of thing covers.

    Parameters
    ----------
    images : list of uint8 (height, width, 3)
        RGB; sizes may differ.
    segmenter : str or Detector
        A name of `finders()`, loaded with its published weights, or one from `load_finder`.
    download : bool
        Whether the published weights may be fetched when they are not at hand.

    Returns
    -------
    DataFrame
        A row for each class with at least one pixel, background included: `image` (position),
        `label`, `area` (part of the picture, adding up to 1 over a picture's rows).

    Raises
    ------
    WeightsNotAvailable
        If the weights are not on this machine; names the remedy.
    ValueError
        If the model does not segment, or a picture is not uint8 RGB.
    """
    model = _of_task(segmenter, "segment", download)
    rows = []
    with torch.inference_mode():
        for place, tensor in enumerate(model.prepare(images)):
            logits = model.net(tensor.unsqueeze(0).to(model.device))["out"]  # (1, classes, h, w)
            counts = logits.argmax(dim=1).flatten().bincount(minlength=len(model.labels)).cpu()
            for label in counts.nonzero().flatten().tolist():
                rows.append((place, model.labels[label], (counts[label] / counts.sum()).item()))
    frame = pd.DataFrame(rows, columns=["image", "label", "area"])
    return frame.astype({"image": int, "label": "str", "area": float})


def detection_features(found: pd.DataFrame, video_ids: Sequence[str]) -> pd.DataFrame:
    """What was found, as one row a video, to stand beside other catalogue features.

    Parameters
    ----------
    found : DataFrame
        From `detect` or `segment`; position `i` is a picture of `video_ids[i]`.
    video_ids : sequence of str
        The video of each picture; several pictures of one video are averaged.

    Returns
    -------
    DataFrame of float32
        Indexed by `video_id` in order of first appearance, zeros where nothing was found. Columns
        `count <label>` (things a picture; only for detections) and `area <label>` (part of the
        picture; where boxes overlap it may pass 1), labels in alphabetical order.

    Raises
    ------
    ValueError
        If `found` speaks of a picture that `video_ids` does not hold.
    """
    ids = pd.Series(list(video_ids), dtype="str")
    if len(found) and not found["image"].between(0, len(ids) - 1).all():
        raise ValueError(
            f"Picture {found['image'].max()} was found in, but only {len(ids)} video ids came: "
            "give one for each picture, in the same order."
        )
    pictures = ids.value_counts(sort=False)
    video = ids.loc[found["image"]].to_numpy()
    parts = []
    if "score" in found:
        parts.append(pd.crosstab(video, found["label"].to_numpy()).add_prefix("count "))
    areas = found.assign(video=video).pivot_table(
        index="video", columns="label", values="area", aggfunc="sum"
    )
    parts.append(areas.add_prefix("area "))
    joined = pd.concat([part.reindex(pictures.index) for part in parts], axis=1).fillna(0)
    joined.columns.name = None
    return joined.div(pictures, axis=0).rename_axis("video_id").astype("float32")


def _of_task(model: str | Detector, task: str, download: bool) -> Detector:
    name = model if isinstance(model, str) else model.name
    if name in FINDERS and FINDERS[name].task != task:
        other = [other for other, finder in FINDERS.items() if finder.task == task]
        raise ValueError(f"{name} does not {task}; choose from {', '.join(other)}.")
    return load_finder(model, download=download) if isinstance(model, str) else model


def _bearable(picture: torch.Tensor) -> torch.Tensor:
    """Bring a tiny or very long picture into a shape that the networks can halve five times."""
    height, width = picture.shape[1:]
    longest = 8 * min(height, width)
    picture = picture[:, : min(height, longest), : min(width, longest)]
    scale = -(-SMALLEST // min(picture.shape[1:]))
    return picture.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
