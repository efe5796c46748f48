"""Which attribution is right: faithfulness, localisation, agreement and cost, with intervals.

`python benchmarks/attributions.py --images 200 --clips 48` explains two networks on MiniTube.
EfficientNet-Lite0 (224 pixels, ImageNet's weights) sees one frame of each clip of one shot, a
quarter of the way through, under a linear probe of the category; explained are clips whose category
the probe names correctly in five folds. The I3D of this course sees 16 frames of 64 pixels, under a
linear probe of the motion; explained are clips of unseen subjects whose motion is named correctly.

Each method's maps are compared on the same clips: `faithfulness` (insertion minus deletion, in
units of the score), `pointing` (does the largest of 8 x 8 cells lie in the true box?), `inside`
(share of the positive values in the box), `agreement` (mean rank correlation with the other
methods), `shuffled` (rank correlation with the maps of the same network with shuffled weights),
`shuffled pointing`, and processor seconds for a clip. Differences to the centre prior and to
random maps have 95% intervals over subjects. `--write` records all in the package; a number of 0
leaves a network out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import options

from vidrec_utils import (
    datasets,
    encoders,
    image_encoders,
    preprocessing,
    settings,
    video_encoders,
    video_io,
)
from vidrec_utils import interpretability as ip
from vidrec_utils.intervals import mean_intervals
from vidrec_utils.linear_probe import stratified_folds
from vidrec_utils.minitube import truth
from vidrec_utils.video_encoders.encoder import frame_positions

RECORD = Path(ip.__file__).parent / "attributions.csv"
GRID = 8
SIZE = 128
"""Side of a clip in pixels."""

Maps = dict[str, np.ndarray]
MEASURES = ("pointing", "inside", "faithfulness", "shuffled pointing", "shuffled", "seconds")
COMPARED = (
    ("pointing", "centre"),
    ("pointing", "random"),
    ("inside", "centre"),
    ("faithfulness", "random"),
    ("faithfulness", "centre"),
)
"""Measures, and the idle map that each method is compared with."""


def folds_right(
    vectors: pd.DataFrame, labels: pd.Series, groups: pd.Series | None
) -> dict[str, ip.Head]:
    """Heads of the class of each item that a probe, fitted without it, names correctly."""
    heads = {}
    for train, test in stratified_folds(labels, groups, seed=settings.SEED):
        known = labels.iloc[train]
        own = {c: ip.class_head(vectors.loc[known.index], known, c) for c in sorted(known.unique())}
        for video in labels.index[test]:
            scores = {c: h.of_vectors(vectors.loc[[video]].to_numpy())[0] for c, h in own.items()}
            if max(scores, key=scores.get) == labels[video]:
                heads[video] = own[labels[video]]
    return heads


def boxes_of(known: truth.Truth, video: str, frames: np.ndarray) -> np.ndarray:
    """True boxes in some frames of a clip, `(frames, 4)`."""
    rows = known.boxes[known.boxes["video_id"] == video].set_index("frame")
    return rows.reindex(frames)[["left", "top", "right", "bottom"]].to_numpy(dtype=float)


def image_methods(fast: object) -> dict[str, Callable[[ip.Target, np.ndarray], np.ndarray]]:
    """Methods on images; occlusion runs on a faster runtime, as it needs no gradients."""

    def occluded(target: ip.Target, item: np.ndarray) -> np.ndarray:
        encoder = fast if target.encoder.weights.source != "random" else target.encoder
        return ip.occlude_space(ip.Target(encoder, target.head).scores, item, patch=32)

    return {
        "Grad-CAM": lambda t, x: ip.grad_cam(t, [x])[0],
        "Grad-CAM, stride 16": lambda t, x: ip.grad_cam(t, [x], "_blocks.10")[0],
        "integrated gradients": lambda t, x: np.abs(
            ip.integrated_gradients(t, [x], "blurred", 8)[0]
        ),
        "saliency": lambda t, x: ip.saliency(t, [x])[0],
        "occlusion": occluded,
    }


def clip_methods() -> dict[str, Callable[[ip.Target, np.ndarray], np.ndarray]]:
    """Methods on clips."""
    return {
        "Grad-CAM": lambda t, x: ip.grad_cam(t, [x])[0],
        "integrated gradients, frozen": lambda t, x: np.abs(
            ip.integrated_gradients(t, [x], "frozen", 8)[0]
        ),
        "saliency": lambda t, x: ip.saliency(t, [x])[0],
        "occlusion": lambda t, x: ip.occlude_space(t.scores, x, patch=32),
        "occlusion, frozen tubes": lambda t, x: ip.occlude_tubes(t.scores, x, patch=32, window=8),
    }


def resized(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A map on the grid of the boxes, by nearest neighbours."""
    if values.ndim < len(shape):
        values = np.broadcast_to(values, (shape[0], *values.shape))
    sides = zip(shape[-2:], values.shape[-2:], strict=True)
    rows, columns = (np.arange(n) * m // n for n, m in sides)
    return values[..., rows[:, None], columns]


def measured(maps: np.ndarray, boxes: np.ndarray) -> tuple[float, float]:
    """Pointing and share inside, the means over the frames that have a box."""
    masks = ip.box_masks(boxes, (SIZE, SIZE), SIZE)
    planes = resized(maps, masks.shape).reshape(-1, SIZE, SIZE)
    pairs = zip(planes, masks.reshape(-1, SIZE, SIZE), strict=True)
    rows = pd.DataFrame([ip.localize(plane, mask, GRID) for plane, mask in pairs if mask.any()])
    return float(rows["pointing"].mean()), float(rows["inside"].mean())


def compare(
    network: str,
    targets: dict[str, ip.Target],
    items: dict[str, np.ndarray],
    boxes: dict[str, np.ndarray],
    methods: dict[str, Callable[[ip.Target, np.ndarray], np.ndarray]],
    subjects: pd.Series,
    fast: object,
    baseline: str,
) -> pd.DataFrame:
    """All methods on the same items, and two that have not looked."""
    first = next(iter(targets.values()))
    calibration = list(items.values())[:32]
    shuffled = ip.randomized(first, calibration, seed=settings.SEED).encoder
    order = np.random.default_rng(settings.SEED).permutation(len(first.head.weight))
    rng = np.random.default_rng(settings.SEED)
    rows, stored = [], {}
    for video, target in targets.items():
        item = items[video]
        other = ip.Target(shuffled, ip.Head(target.name, target.head.weight[order]))
        shape = item.shape[:-1]
        maps: Maps = {}
        for name, method in methods.items():
            start = time.process_time()
            maps[name] = method(target, item)
            seconds = time.process_time() - start
            pointing, inside = measured(maps[name], boxes[video])
            untrained = method(other, item)
            rows.append(
                {
                    "video": video, "method": name, "pointing": pointing, "inside": inside,
                    "shuffled": ip.agreement(maps[name][None], untrained[None], GRID)[0],
                    "shuffled pointing": measured(untrained, boxes[video])[0], "seconds": seconds,
                }
            )  # fmt: skip
        idle = {"centre": ip.center_prior(shape), "random": ip.random_map(shape, rng, GRID)}
        for name, values in idle.items():
            pointing, inside = measured(values, boxes[video])
            rows.append({"video": video, "method": name, "pointing": pointing, "inside": inside})
        maps |= idle
        score = ip.Target(fast, target.head).scores
        for name, values in maps.items():
            curves = ip.deletion_insertion(score, item, values, GRID, 4, baseline)
            row = next(r for r in rows[::-1] if r["method"] == name)
            row["faithfulness"] = ip.faithfulness(curves)
            stored.setdefault(name, []).append(ip.cells(values, GRID))
    table = pd.DataFrame(rows)
    grids = {name: np.stack(values) for name, values in stored.items() if name not in idle}
    return summary(network, table, ip.mean_agreements(grids, GRID), subjects)


def summary(
    network: str, table: pd.DataFrame, agreements: pd.Series, subjects: pd.Series
) -> pd.DataFrame:
    """One row a method, with paired differences to the idle maps."""
    rows = []
    wide = {
        measure: table.set_index(["video", "method"])[measure].unstack("method")  # noqa: PD010
        for measure in MEASURES
    }
    groups = subjects[wide["pointing"].index]
    for method in table["method"].unique():
        row: dict[str, object] = {"network": network, "method": method, "clips": len(groups)}
        row |= {"subjects": groups.nunique(), "agreement": agreements.get(method, np.nan)}
        for measure, values in wide.items():
            row[measure] = values[method].mean()
        pairs = [(measure, measure, than) for measure, than in COMPARED]
        if method not in ("centre", "random"):
            pairs.append(("shuffled pointing", "pointing", "centre"))
        for measure, of, than in pairs:
            gaps = (wide[measure][method] - wide[of][than]).to_numpy()[:, None]
            ends = mean_intervals(gaps, groups, seed=settings.SEED)[0]
            names = [f"{measure} - {than}{end}" for end in ("", " low", " high")]
            row |= dict(zip(names, ends, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def image_part(library: datasets.VideoLibrary, known: truth.Truth, most: int) -> pd.DataFrame:
    """Frames and categories, EfficientNet-Lite0."""
    videos = known.videos.loc[known.videos.index.isin(library.videos.index)]
    one = videos.index[(videos["n_shots"] == 1) & videos.index.isin(known.boxes["video_id"])]
    frames, boxes = {}, {}
    for video in one:
        clip = video_io.read_clip(library.file(video), size=(SIZE, SIZE))[0]
        box = boxes_of(known, video, np.array([len(clip) // 4]))
        if np.isfinite(box).all():
            frames[video], boxes[video] = clip[len(clip) // 4], box[0]
    encoder = image_encoders.load("efficientnet_lite0")
    fast = encoders.accelerate(encoder)
    vectors = pd.DataFrame(encoder.encode(list(frames.values())), index=list(frames))
    labels = library.videos["category"].reindex(list(frames)).dropna().astype(object)
    heads = folds_right(vectors, labels, None)
    print(
        f"EfficientNet-Lite0 names {len(heads)} of {len(labels)} categories correctly.", flush=True
    )
    targets = {v: ip.Target(encoder, heads[v]) for v in sorted(heads)[:most]}
    methods = image_methods(fast)
    return compare(
        "efficientnet_lite0", targets, frames, boxes, methods, videos["subject"], fast, "blurred"
    )


def clip_part(library: datasets.VideoLibrary, known: truth.Truth, most: int) -> pd.DataFrame:
    """Clips and motions, the course's I3D."""
    labels = preprocessing.clip_labels(library).dropna().astype(object)
    clips, boxes = {}, {}
    for video in labels.index[labels.index.isin(known.boxes["video_id"])]:
        clip = video_io.read_clip(library.file(video), size=(SIZE, SIZE))[0]
        positions = frame_positions(len(clip), 16)
        clips[video], boxes[video] = clip[positions], boxes_of(known, video, positions)
    encoder = video_encoders.load("i3d_mini")
    vectors = pd.DataFrame(encoder.encode(list(clips.values())), index=list(clips))
    labels, subjects = labels[list(clips)], known.videos["subject"]
    heads = folds_right(vectors, labels, subjects[labels.index])
    print(f"The I3D names {len(heads)} of {len(labels)} motions correctly.")
    targets = {v: ip.Target(encoder, heads[v]) for v in sorted(heads)[:most]}
    return compare("i3d_mini", targets, clips, boxes, clip_methods(), subjects, encoder, "frozen")


def main() -> None:
    chosen = options(__doc__ or "", images=200, clips=48, write=False)
    library, _ = preprocessing.clean(datasets.load("minitube"))
    known = truth.load(library.root)
    rows = [image_part(library, known, chosen.images)] if chosen.images else []
    rows += [clip_part(library, known, chosen.clips)] if chosen.clips else []
    table = pd.concat(rows, ignore_index=True).round(4)
    columns = ["network", "method", *MEASURES]
    print(table[columns].round(3).to_string(index=False))
    if chosen.write:
        if RECORD.is_file():  # a network that was left out keeps its rows
            before = pd.read_csv(RECORD)
            before = before[~before["network"].isin(table["network"])]
            table = pd.concat([table, before], ignore_index=True)
        table.to_csv(RECORD, index=False)
        print(f"Recorded in {RECORD.name}.")


if __name__ == "__main__":
    main()
