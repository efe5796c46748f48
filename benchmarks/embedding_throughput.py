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

import copy
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from side_by_side import REPEATS, Option, options, pytorchvideo_frames, ratio, timed
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from vidrec_utils import datasets, embeddings, image_encoders, settings, video_encoders, video_io
from vidrec_utils.encoders import accelerate
from vidrec_utils.video_encoders.encoder import frame_positions

OF_BARE, OF_USUAL = 0.9, 2.0
COLUMNS = {"thumbnail": "thumbnail", "clip": "path"}
"""The column of a library that names the files of a kind."""


def stepwise(encoder):
    """A copy of an encoder, whose items `embed` prepares in another thread."""

    def encode_prepared(prepared: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return encoder.network_vectors(encoder.net, prepared).numpy()

    twin = copy.copy(encoder)
    twin.encode_prepared = encode_prepared
    return twin


class Files(Dataset):
    """The usual loop: open a file, and transform it by torchvision."""

    def __init__(self, paths, opened, size):
        self.paths, self.opened = paths, opened
        self.transform = v2.Compose(
            [
                v2.Resize(size, antialias=True),
                v2.CenterCrop(size),
                v2.PILToTensor(),  # frames are tensors already
                v2.ToDtype(torch.float32),
                v2.Normalize([127.0] * 3, [128.0] * 3),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = self.transform(self.opened(self.paths[index]))
        return image.movedim(-3, 0)  # (3, height, width), or (3, frames, height, width)


def thumbnail(path):
    """PIL opens an image."""
    with Image.open(path) as image:
        return image.convert("RGB")


def frames_of(path, count):
    """pytorchvideo decodes a clip, then frames are chosen, `(count, 3, height, width)`."""
    frames = pytorchvideo_frames(path)
    return frames[:, frame_positions(frames.shape[1], count)].transpose(0, 1)


def usual(dataset: Dataset, forward: Callable, batch_size: int) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([forward(b).numpy() for b in DataLoader(dataset, batch_size)])


def compare(name, library, encoder, of, read, opened, size, batch_size, repeats) -> list[str]:
    """Time all ways in turns; returns the claims that do not hold."""
    eager, fast = stepwise(encoder), accelerate(encoder)
    paths = [library.file(v, COLUMNS[of]) for v in library.videos.index]
    dataset = Files(paths, opened, size)
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
    title = f"{name}: {len(paths)} files, batches of {batch_size}"
    taken = timed(title, ways, repeats, "ms an item", 1000 / len(paths))
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


def sample(library, of: str, read: Callable, n: int) -> datasets.VideoLibrary:
    """The first `n` videos of a library whose files can be read, each file once."""
    chosen: dict[Path, str] = {}
    for video_id in library.videos.index:
        try:
            path = library.file(video_id, COLUMNS[of])
            read(path)
        except (ValueError, OSError):
            continue
        chosen.setdefault(path, video_id)
        if len(chosen) == n:
            break
    return library.subset(chosen.values())


def main() -> None:
    chosen = options(
        __doc__,
        repeats=REPEATS,
        clips=32,
        thumbnails=384,
        library=Option(None, "a folder or name; default: the course's"),
    )
    warnings.filterwarnings("ignore")
    torch.set_num_threads(settings.threads())
    library = datasets.load(chosen.library)
    image = image_encoders.load("efficientnet_lite0", size=224, device="cpu")
    thumbnails = sample(library, "thumbnail", video_io.read_image, chosen.thumbnails)
    failed = compare(
        "efficientnet_lite0, thumbnails at 224", thumbnails, image, "thumbnail",
        video_io.read_image, thumbnail, 224, 32, chosen.repeats,
    )  # fmt: skip
    video = video_encoders.load("efficientnet_lite0_3d", frames=8, size=160, device="cpu")
    contract = video.frame_contract
    read = partial(video_io.sample_frames, n=contract.frames, size=contract.read_size)
    clips = sample(library, "clip", read, chosen.clips)
    failed += compare(
        "efficientnet_lite0_3d, clips of 8 x 160", clips, video, "clip",
        read, partial(frames_of, count=8), 160, 8, chosen.repeats,
    )  # fmt: skip
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
