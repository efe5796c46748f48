"""Tasks of image networks besides vectors: names, things and areas, as catalogue features.

`classify` names an image as a whole, `detect` finds things and where they are, `segment` says how
much of an image each kind of thing covers. `detection_features` turns
the latter two into one row a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from vidrec_utils import arguments, settings
from vidrec_utils.encoders import LoadRequest, PublishedFile, WeightsInfo
from vidrec_utils.encoders.network import with_weights
from vidrec_utils.encoders.pixels import checked
from vidrec_utils.encoders.torchvision_models import MODELS, TorchvisionWeights, builder
from vidrec_utils.image_encoders.encoder import ImageEncoder
from vidrec_utils.image_encoders.preprocessing import Images
from vidrec_utils.image_encoders.ssd import ObjectDetector

SMALLEST = 8
"""Pixels of a side below which an image is enlarged before a detector sees it."""


@dataclass(frozen=True)
class Finder:
    """How one of torchvision's detectors or segmenters is built and fetched.

    Attributes
    ----------
    task : {"detect", "segment"}
        What it does.
    build : callable
        Builds it untrained.
    torchvision : TorchvisionWeights
        Torchvision's entry: preprocessing, labels, measured accuracy.
    published : PublishedFile
        The file with its weights.
    metric : str
        Which of the measured numbers its accuracy is.
    """

    task: str
    build: Callable[..., nn.Module]
    torchvision: TorchvisionWeights
    published: PublishedFile
    metric: str


def _finder(
    task: str, build: Callable[..., nn.Module], weights: TorchvisionWeights, metric: str
) -> Finder:
    return Finder(task, build, weights, PublishedFile.of_torchvision(weights), metric)


FINDERS = {
    "ssdlite320_mobilenet_v3_large": _finder(
        "detect",
        builder("ssdlite320_mobilenet_v3_large", weights_backbone=None),
        TorchvisionWeights(
            "SSDLite320_MobileNet_V3_Large_Weights.COCO_V1",
            f"{MODELS}/ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
        ),
        "box_map",
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _finder(
        "detect",
        builder("fasterrcnn_mobilenet_v3_large_320_fpn", weights_backbone=None),
        TorchvisionWeights(
            "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1",
            f"{MODELS}/fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
        ),
        "box_map",
    ),
    "lraspp_mobilenet_v3_large": _finder(
        "segment",
        builder("lraspp_mobilenet_v3_large", weights_backbone=None),
        TorchvisionWeights(
            "LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1",
            f"{MODELS}/lraspp_mobilenet_v3_large-d234d4ea.pth",
        ),
        "miou",
    ),
    "deeplabv3_mobilenet_v3_large": _finder(
        "segment",
        builder("deeplabv3_mobilenet_v3_large", weights_backbone=None, aux_loss=True),
        TorchvisionWeights(
            "DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1",
            f"{MODELS}/deeplabv3_mobilenet_v3_large-fc3c493d.pth",
        ),
        "miou",
    ),
}
YEAR = 2019  # of MobileNet-V3, which all of them stand on


class Detector:
    """A network that finds things in images; see `load_finder`.

    Attributes
    ----------
    name, task : str
        Its name in `finders()`, and `"detect"` or `"segment"`.
    labels : tuple of str
        Kinds of things that it finds, in the order of its outputs; the first is the background.
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
        entry = FINDERS[name].torchvision.entry()
        self.labels = tuple(entry.meta["categories"])
        self.preset = entry.transforms()
        self.device = torch.device(device) if device is not None else settings.device()
        self.net = net.eval().to(self.device)
        self.parameters = sum(p.numel() for p in net.parameters())

    def prepare(self, images: Images) -> Iterator[torch.Tensor]:
        """Images one by one as the network wants them, float32 `(3, height, width)`."""
        for image in checked(images, "Image"):
            tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
            if min(tensor.shape[1:]) < SMALLEST or max(image.shape[:2]) > 8 * min(image.shape[:2]):
                tensor = _enlarged(tensor)
            yield self.preset(tensor)


def finders() -> pd.DataFrame:
    """List the detectors and segmenters, and which weights are available now.

    Returns
    -------
    DataFrame
        Indexed by `name`: `task, year, parameters, gflops` (a multiply and an add count as two)`,
        classes, licence, pretrained_on, accuracy, accuracy_source, available`.

    Examples
    --------
    >>> finders().loc["lraspp_mobilenet_v3_large", ["task", "classes"]].to_dict()
    {'task': 'segment', 'classes': 20}
    """
    rows = {}
    for name, finder in FINDERS.items():
        meta = finder.torchvision.entry().meta
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
        Seed of random weights, which find nothing sensible; they serve to try the pipeline.
    download : bool
        Whether published weights may be fetched when they are not available.

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
    request = LoadRequest(name, weights, seed=seed, download=download)
    net, info = with_weights(FINDERS[name].build, request, FINDERS[name].published)
    return Detector(name, net, info, device)


def classify(images: Images, encoder: ImageEncoder, k: int = 5) -> pd.DataFrame:
    """Find the k most probable ImageNet classes of each image.

    Returns
    -------
    DataFrame
        Columns `image` (position), `rank` (from 1), `label`, `probability`.

    Raises
    ------
    ValueError
        If the encoder has no classifier, or k is not between 1 and the number of classes.

    Examples
    --------
    >>> from skimage import data
    >>> from vidrec_utils import image_encoders
    >>> encoder = image_encoders.load("efficientnet_lite0", size=128)
    >>> classify([data.coffee()], encoder, k=1)["label"].item()
    'espresso'
    """
    if encoder.net.classes and not 1 <= k <= encoder.net.classes:
        raise ValueError(f"k is {k}; {encoder.name} knows {encoder.net.classes} classes.")
    return encoder.top(images, k)


def detect(
    images: Images,
    detector: str | Detector | ObjectDetector = "ssdlite320_mobilenet_v3_large",
    threshold: float = 0.5,
    *,
    download: bool = False,
) -> pd.DataFrame:
    """Find things in images.

    Parameters
    ----------
    images : list of uint8 (height, width, 3)
        RGB; sizes may differ.
    detector : str, Detector or ObjectDetector
        A name of `finders()`, loaded with its published weights, one from `load_finder`, or the
        one from `load_detector`, whose weights came with a package.
    threshold : float
        Least score, in [0, 1].
    download : bool
        Whether the published weights may be fetched when they are not available.

    Returns
    -------
    DataFrame
        A row a thing, by image and falling score: `image` (position), `label`, `score`, `left,
        top, right, bottom` and `area`, all parts of the image's sides or area, in [0, 1].

    Raises
    ------
    WeightsNotAvailable
        If the weights are not on this machine; names the remedy.
    ValueError
        If the model does not detect, the threshold is no score, or an image is not uint8 RGB.

    Examples
    --------
    >>> untrained = load_finder("ssdlite320_mobilenet_v3_large", "random")
    >>> len(detect([np.zeros((40, 40, 3), np.uint8)], untrained, threshold=0.9))
    0
    """
    if isinstance(detector, ObjectDetector):
        return detector.find(images, threshold)
    model = _of_task(detector, "detect", download)
    arguments.share(threshold=threshold)
    rows = []
    with torch.inference_mode():
        for position, tensor in enumerate(model.prepare(images)):
            output = model.net([tensor.to(model.device)])[0]
            height, width = tensor.shape[1:]
            boxes = output["boxes"].cpu() / torch.tensor([width, height, width, height])
            corners, scores = boxes.clamp(0, 1).tolist(), output["scores"].tolist()
            for label, score, box in zip(output["labels"].tolist(), scores, corners, strict=True):
                rows.append((position, model.labels[label], score, *box))
    columns = ["image", "label", "score", "left", "top", "right", "bottom"]
    frame = pd.DataFrame(rows, columns=columns).astype({"image": int, "label": "str"})
    frame = frame.astype(dict.fromkeys(columns[2:], float)).query("score >= @threshold")
    area = (frame["right"] - frame["left"]) * (frame["bottom"] - frame["top"])
    return frame.assign(area=area).sort_values(
        ["image", "score"], ascending=[True, False], ignore_index=True
    )


def surest_labels(
    images: Images,
    detector: str | Detector | ObjectDetector,
    threshold: float = 0.5,
) -> list[str]:
    """Name the surest thing in each image with its score, or say that there is none.

    Parameters
    ----------
    images, detector, threshold
        See `detect`.

    Returns
    -------
    list of str
        One text an image, such as `"person 74%"` or `"nothing"`.

    Examples
    --------
    >>> untrained = load_finder("ssdlite320_mobilenet_v3_large", "random")
    >>> surest_labels([np.zeros((40, 40, 3), np.uint8)], untrained, threshold=0.9)
    ['nothing']
    """
    things = detect(images, detector, threshold).drop_duplicates("image")
    triples = zip(things["image"], things["label"], things["score"], strict=True)
    named = {position: f"{label} {score:.0%}" for position, label, score in triples}
    return [named.get(position, "nothing") for position in range(len(images))]


def segment(
    images: Images,
    segmenter: str | Detector = "lraspp_mobilenet_v3_large",
    *,
    download: bool = False,
) -> pd.DataFrame:
    """Measure how much of each image each kind of thing covers.

    Parameters
    ----------
    images : list of uint8 (height, width, 3)
        RGB; sizes may differ.
    segmenter : str or Detector
        A name of `finders()`, loaded with its published weights, or one from `load_finder`.
    download : bool
        Whether the published weights may be fetched when they are not available.

    Returns
    -------
    DataFrame
        A row for each class with at least one pixel, background included: `image` (position),
        `label`, `area` (part of the image, adding up to 1 over an image's rows).

    Raises
    ------
    WeightsNotAvailable
        If the weights are not on this machine; names the remedy.
    ValueError
        If the model does not segment, or an image is not uint8 RGB.
    """
    model = _of_task(segmenter, "segment", download)
    rows = []
    with torch.inference_mode():
        for position, tensor in enumerate(model.prepare(images)):
            logits = model.net(tensor.unsqueeze(0).to(model.device))["out"]  # (1, classes, h, w)
            counts = logits.argmax(dim=1).flatten().bincount(minlength=len(model.labels)).cpu()
            for label in counts.nonzero().flatten().tolist():
                rows.append((position, model.labels[label], (counts[label] / counts.sum()).item()))
    frame = pd.DataFrame(rows, columns=["image", "label", "area"])
    return frame.astype({"image": int, "label": "str", "area": float})


def detection_features(detections: pd.DataFrame, video_ids: Sequence[str]) -> pd.DataFrame:
    """Turn what was detected into one row a video, to join with other features of the catalogue.

    Parameters
    ----------
    detections : DataFrame
        From `detect` or `segment`; position `i` is an image of `video_ids[i]`.
    video_ids : sequence of str
        The video of each image; several images of one video are averaged.

    Returns
    -------
    DataFrame of float32
        Indexed by `video_id` in order of first appearance, zeros where nothing was found. Columns
        `count <label>` (things an image; only for detections) and `area <label>` (share of the
        image; where boxes overlap it may pass 1), labels in alphabetical order.

    Raises
    ------
    ValueError
        If `detections` names an image that `video_ids` does not hold.
    """
    ids = pd.Series(list(video_ids), dtype="str")
    if len(detections) and not detections["image"].between(0, len(ids) - 1).all():
        raise ValueError(
            f"There are detections in image {detections['image'].max()}, but only {len(ids)} video "
            "ids: give one for each image, in the same order."
        )
    images = ids.value_counts(sort=False)
    video = ids.loc[detections["image"]].to_numpy()
    tables = []
    if "score" in detections:
        tables.append(pd.crosstab(video, detections["label"].to_numpy()).add_prefix("count "))
    areas = detections.assign(video=video).pivot_table(
        index="video", columns="label", values="area", aggfunc="sum"
    )
    tables.append(areas.add_prefix("area "))
    joined = pd.concat([table.reindex(images.index) for table in tables], axis=1).fillna(0)
    joined.columns.name = None
    return joined.div(images, axis=0).rename_axis("video_id").astype("float32")


def _of_task(model: str | Detector, task: str, download: bool) -> Detector:
    name = model if isinstance(model, str) else model.name
    if name in FINDERS and FINDERS[name].task != task:
        other = [other for other, finder in FINDERS.items() if finder.task == task]
        raise ValueError(f"{name} does not {task}; choose from {', '.join(other)}.")
    return load_finder(model, download=download) if isinstance(model, str) else model


def _enlarged(image: torch.Tensor) -> torch.Tensor:
    """Bring a tiny or very long image into a shape that the networks can halve five times."""
    height, width = image.shape[1:]
    longest = 8 * min(height, width)
    image = image[:, : min(height, longest), : min(width, longest)]
    scale = -(-SMALLEST // min(image.shape[1:]))
    return image.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
