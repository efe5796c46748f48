"""Embedding files: ours against the bare forward pass, and against the usual loop of each library.

Three ways to the vectors of the same files, by the same network, in one process and in turns:

- bare: the network alone, on tensors that are ready in memory; no loop over files can be faster;
- ours: `embeddings.embed` from files into an empty store, with decoding, hashing and writing; once
  on PyTorch, once through `accelerate` (then the bare pass runs on the same runtime);
- usual: for images PIL, torchvision's transforms and a `DataLoader`; for clips pytorchvideo's
  `EncodedVideo.get_clip`, subsampling, transforms and a `DataLoader`; the network in PyTorch.

    python benchmarks/embedding_throughput.py --repeats 5

The claims: at least 0.9 of the bare pass's throughput, and at least twice the usual loop's.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from side_by_side import ratio, rounds
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from vidrec_utils import datasets, embeddings, image_encoders, settings, video_encoders, video_io
from vidrec_utils.encoders import accelerate
from vidrec_utils.video_encoders.encoder import frame_positions

OF_BARE, OF_USUAL = 0.9, 2.0


def stepwise(encoder):
    """A copy of an encoder, whose items `embed` prepares in another thread."""

    def encode_prepared(prepared: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return encoder.network_vectors(encoder.net, prepared).numpy()

    twin = copy.copy(encoder)
    twin.encode_prepared = encode_prepared
    return twin


class Thumbnails(Dataset):
    """The usual loop: PIL opens, torchvision transforms."""

    def __init__(self, paths, size):
        self.paths = paths
        self.transform = v2.Compose(
            [
                v2.Resize(size, antialias=True),
                v2.CenterCrop(size),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32),
                v2.Normalize([127.0] * 3, [128.0] * 3),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB"))


class Clips(Dataset):
    """The usual loop: pytorchvideo decodes the clip, then frames are chosen and transformed."""

    def __init__(self, paths, frames, size):
        self.paths, self.frames = paths, frames
        self.transform = v2.Compose(
            [
                v2.Resize(size, antialias=True),
                v2.CenterCrop(size),
                v2.Normalize([127.0] * 3, [128.0] * 3),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        from pytorchvideo.data.encoded_video import EncodedVideo

        video = EncodedVideo.from_path(str(self.paths[index]), decode_audio=False)
        frames = video.get_clip(0, float(video.duration))["video"]  # (3, time, height, width)
        video.close()
        chosen = frames[:, frame_positions(frames.shape[1], self.frames)]
        return self.transform(chosen.transpose(0, 1)).transpose(0, 1)


def usual(dataset: Dataset, forward: Callable, batch_size: int) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([forward(b).numpy() for b in DataLoader(dataset, batch_size)])


def compare(name, library, encoder, of, dataset, batch_size, repeats) -> list[str]:
    """Time all ways in turns; returns the claims that do not hold."""
    eager, fast = stepwise(encoder), accelerate(encoder)
    paths = [library.file(i, of="thumbnail" if of == "thumbnail" else "path") for i in library.ids]
    contract = encoder.frame_contract if of == "clip" else None
    read = (
        video_io.read_image
        if contract is None
        else lambda p: video_io.sample_frames(p, n=contract.frames, size=contract.read_size)
    )
    ready = [
        encoder.prepare([read(p) for p in paths[start : start + batch_size]])
        for start in range(0, len(paths), batch_size)
    ]

    def ours(one) -> np.ndarray:
        with tempfile.TemporaryDirectory() as root:
            got = embeddings.embed(library, one, of, Path(root), batch_size, progress=False)
            return np.array(got.vectors)

    def forward(batch: torch.Tensor) -> torch.Tensor:
        return encoder.network_vectors(encoder.net, batch)

    def bare(one) -> np.ndarray:
        return np.concatenate([one.encode_prepared(batch) for batch in ready])

    ways = {
        "bare, PyTorch": lambda: bare(eager),
        "ours, PyTorch": lambda: ours(eager),
        "bare, OpenVINO": lambda: bare(fast),
        "ours, OpenVINO": lambda: ours(fast),
        "usual loop": lambda: usual(dataset, forward, batch_size),
    }
    reference = bare(eager)
    for way, run in ways.items():  # warms up, too
        if way != "usual loop" and not np.allclose(run(), reference, atol=1e-2):
            raise SystemExit(f"{name}: {way} gives other vectors than the bare pass.")
    taken = rounds(ways, repeats)
    print(f"{name}: {len(paths)} files, batches of {batch_size}")
    for way, seconds in taken.items():
        print(f"  {way:15s} {1000 * statistics.median(seconds) / len(paths):7.1f} ms an item")
    failed = []
    for runtime in ("PyTorch", "OpenVINO"):
        of_bare = ratio(taken[f"bare, {runtime}"], taken[f"ours, {runtime}"])
        of_usual = ratio(taken["usual loop"], taken[f"ours, {runtime}"])
        print(f"  {runtime}: {of_bare:.2f} of the bare pass, {of_usual:.2f} times the usual loop")
        if runtime == "PyTorch" and of_bare < OF_BARE:
            failed.append(f"{name}: {of_bare:.2f} of the bare pass, claimed is {OF_BARE}")
        if runtime == "OpenVINO" and of_usual < OF_USUAL:
            failed.append(f"{name}: {of_usual:.2f} times the usual loop, claimed is {OF_USUAL}")
    return failed


class Sample:
    """The first good videos of a library, as `embed` takes it."""

    def __init__(self, library, of: str, n: int):
        self.library, self.ids = library, []
        for video_id in library.videos.index:
            try:
                path = library.file(video_id, of="thumbnail" if of == "thumbnail" else "path")
                video_io.read_image(path) if of == "thumbnail" else video_io.sample_frames(path, 2)
            except (ValueError, OSError):
                continue
            if path not in {library.file(i, of="path") for i in self.ids}:
                self.ids.append(video_id)
            if len(self.ids) == n:
                break
        self.videos = library.videos.loc[self.ids]

    def file(self, video_id, of="path"):
        return self.library.file(video_id, of=of)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--thumbnails", type=int, default=384)
    parser.add_argument("--library", help="a folder or name; default: the course's")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(settings.threads())
    library = datasets.load(options.library)
    failed = []
    image = image_encoders.load("efficientnet_lite0", size=224, device="cpu")
    sample = Sample(library, "thumbnail", options.thumbnails)
    paths = [sample.file(i, of="thumbnail") for i in sample.ids]
    failed += compare(
        "efficientnet_lite0, thumbnails at 224",
        *(sample, image, "thumbnail", Thumbnails(paths, 224), 32, options.repeats),
    )
    video = video_encoders.load("efficientnet_lite0_3d", frames=8, size=160, device="cpu")
    sample = Sample(library, "clip", options.clips)
    paths = [sample.file(i) for i in sample.ids]
    failed += compare(
        "efficientnet_lite0_3d, clips of 8 x 160",
        *(sample, video, "clip", Clips(paths, 8, 160), 8, options.repeats),
    )
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
