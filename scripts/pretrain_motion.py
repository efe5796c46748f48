"""Train the course's own small video networks on clips that teach motion.

    python scripts/pretrain_motion.py slowfast_mini
    python scripts/pretrain_motion.py two_stream_mini i3d_mini --threads 2

No package carries weights that were trained on video, so these are made here, from clips that
`motion_corpus.py` renders: other sprites, scenes, motions and seed than MiniTube's. For each model
the weights (safetensors), a record (JSON: data, recipe, curve, scores, versions) and a model card
are written to `vidrec_utils/video_encoders/mini/weights`, or to `--output`. MiniTube is never
used here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from motion_corpus import (
    MOTIONS,
    VERSION,
    Corpus,
    build,
    mirrored,
    quarter_turned,
    reversed_in_time,
)
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from vidrec_utils import settings
from vidrec_utils.encoders.batch_norm import batch_norms
from vidrec_utils.files import sha256
from vidrec_utils.video_encoders import VideoEncoder, mini

WEIGHTS = Path(mini.__file__).parent / "weights"
RECIPES = {
    "slowfast_mini": {"steps": 1500, "batch": 16, "rate": 3e-3, "weight_decay": 0.02},
    "two_stream_mini": {"steps": 6000, "batch": 16, "rate": 2e-3, "weight_decay": 0.02},
    "i3d_mini": {"steps": 1200, "batch": 16, "rate": 1.5e-3, "weight_decay": 0.02},
}
ABOUT = {
    "slowfast_mini": "A SlowFast (Feichtenhofer et al. 2019) as pytorchvideo builds it, of fewer\n"
    "channels and blocks, trained from nothing. Its fast path sees what changes between frames.",
    "two_stream_mini": "The temporal stream of a Two-Stream network (Simonyan, Zisserman 2014):\n"
    "EfficientNet-Lite0's first eleven blocks over 15 steps of optical flow, started from\n"
    "ImageNet's filters. The spatial stream beside it is the same blocks as they came.",
    "i3d_mini": "An I3D (Carreira, Zisserman 2017): EfficientNet-Lite0's first eleven blocks, the\n"
    "last eight of them inflated to three frames at the centre tap, then trained.",
}
CLIPS = {"train": 22 * 300, "validation": 22 * 30}


def label_map(changed: Callable[[str], str]) -> torch.Tensor:
    """For each motion, the position in `MOTIONS` of the one that it turns into."""
    return torch.tensor([MOTIONS.index(changed(name)) for name in MOTIONS])


REVERSAL, MIRROR, TURN = map(label_map, (reversed_in_time, mirrored, quarter_turned))


def augmented(
    clips: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Play backwards, mirror, turn and recolour clips at random; the labels follow.

    Parameters
    ----------
    clips : uint8 tensor, shape (batch, time, height, width, 3)
        Not changed.
    labels : int64 tensor, shape (batch,)
        Positions in `MOTIONS`.
    rng : numpy.random.Generator
        Decides for each clip.
    """
    clips, labels = clips.clone(), labels.clone()
    for i in range(len(clips)):
        if rng.random() < 0.5:
            clips[i], labels[i] = clips[i].flip(0), REVERSAL[labels[i]]
        if rng.random() < 0.5:
            clips[i], labels[i] = clips[i].flip(2), MIRROR[labels[i]]
        for _ in range(int(rng.integers(4))):
            clips[i], labels[i] = torch.rot90(clips[i], 1, (1, 2)), TURN[labels[i]]
        colours = clips[i].float()[..., torch.from_numpy(rng.permutation(3))]
        if rng.random() < 0.3:
            colours = 255 - colours
        middle = colours.mean()
        contrast, light = rng.uniform(0.5, 1.3), rng.uniform(-40, 40)
        clips[i] = ((colours - middle) * contrast + middle + light).clamp(0, 255).to(torch.uint8)
    return clips, labels


def batches(
    corpus: Corpus, size: int, steps: int, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield augmented batches; every clip is seen once before any is seen twice."""
    rounds = size * steps // len(corpus.motions) + 1
    order = np.concatenate([rng.permutation(len(corpus.motions)) for _ in range(rounds)])
    for step in range(steps):
        chosen = np.sort(order[step * size : (step + 1) * size])
        clips = torch.from_numpy(corpus.clips[chosen])
        yield augmented(clips, torch.from_numpy(corpus.motions[chosen]), rng)


def score(model: VideoEncoder, corpus: Corpus, size: int = 32) -> dict[str, float]:
    """Compute loss and accuracy on a part of the corpus, in its order, without augmentation."""
    model.net.eval()
    losses, right = [], 0
    for start in range(0, len(corpus.motions), size):
        labels = torch.from_numpy(corpus.motions[start : start + size])
        with torch.inference_mode():
            logits = model.net(model.prepare(list(corpus.clips[start : start + size])))
        losses.append(functional.cross_entropy(logits, labels, reduction="sum").item())
        right += int((logits.argmax(1) == labels).sum())
    return {"loss": sum(losses) / len(corpus.motions), "accuracy": right / len(corpus.motions)}


def train(
    model: VideoEncoder, data: dict[str, Corpus], recipe: dict[str, float], seed: int
) -> list[dict[str, float]]:
    """Train in place by AdamW with a one-cycle rate; return the learning curve."""
    rng = np.random.default_rng(seed)
    net, steps = model.net, int(recipe["steps"])
    for module in batch_norms(net):
        module.momentum = 0.1  # with EfficientNet's .01, statistics lag behind in so few steps
    trained = [p for p in net.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe["weight_decay"]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe["rate"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe["rate"], steps, pct_start=0.2)
    curve, running = [], []
    bar = tqdm(batches(data["train"], int(recipe["batch"]), steps, rng), total=steps)
    for step, (clips, labels) in enumerate(bar, start=1):
        net.train()
        loss = functional.cross_entropy(net(model.prepare(list(clips.numpy()))), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        schedule.step()
        running.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(running[-50:]):.3f}")
        if step % 250 == 0 or step == steps:
            held_out = score(model, data["validation"])
            curve.append({"step": step, "train_loss": float(np.mean(running)), **held_out})
            tqdm.write(f"step {step}: {curve[-1]}")
            running = []
    return curve


def rounded(net: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of a network in half precision, in which it is saved."""
    state = net.state_dict().items()
    return {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state}


def write(name: str, model: VideoEncoder, record: dict[str, object], folder: Path) -> None:
    """Write weights, record and model card."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.safetensors"
    save_file(rounded(mini.trained_part(model.net)), file)
    record = {**record, "sha256": sha256(file)}
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(card(record), encoding="utf-8")


def card(record: dict[str, object]) -> str:
    """Write the model card that belongs to a record, as Markdown."""
    name, data, recipe, scores = (
        record["name"], record["data"], record["recipe"], record["scores"]
    )  # fmt: skip
    right = scores["validation"]["accuracy"]
    curve = "\n".join(
        f"| {p['step']} | {p['train_loss']:.3f} | {p['loss']:.3f} | {p['accuracy']:.3f} |"
        for p in record["curve"]
    )
    return f"""# {name}

{ABOUT[name]}

**What it is not.** It has never seen Kinetics or any other film of people. What it knows is how
drawn things move over textures; use it to learn with and to test with. On real footage it is no
encoder for a platform: on 99 clips of seven topics a linear probe on what was trained here (of
Two-Stream, the temporal stream) was at or below a colour histogram, partial fine-tuning of
`slowfast_mini` did not change that, and the direction of time in arbitrary films was at chance. It
does see the movement of a camera. For a platform take `lite0_appearance_motion`, and for real
motion the published weights of a larger network.

**Trained on** {data["clips"]["train"]:,} clips ({len(data["classes"])} motions, 16 frames of 64
pixels) that `scripts/motion_corpus.py` renders from seed {data["seed"]}: OpenMoji sprites (CC BY-SA
4.0) that MiniTube does not use, over procedural textures, in motions that MiniTube does not have.
Time reversal, mirroring, quarter turns (the labels follow) and recolouring augment them.

**Recipe.** {recipe["optimizer"]}, {recipe["steps"]:,} steps of {recipe["batch"]} clips, rate
{recipe["rate"]:g}, weight decay {recipe["weight_decay"]:g}, seed {recipe["seed"]}; it took
{record["minutes"]:g} minutes on {record["threads"]} thread of a busy machine with two cores.

**Score.** Accuracy {right:.2f} on {data["clips"]["validation"]:,} clips with sprites and textures
that training did not see; chance is {scores["chance"]:.2f}. What it gives on MiniTube is measured
in the notebook on video encoders.

| step | training loss | validation loss | validation accuracy |
|---|---|---|---|
{curve}

**Again:** `python scripts/pretrain_motion.py {name}`. **Licence:** MIT, as the course; the ImageNet
filters that `i3d_mini` and `two_stream_mini` start from are EfficientNet-Lite0's (Apache-2.0).
"""


def main() -> None:
    """Train the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", choices=list(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=settings.threads())
    parser.add_argument("--corpus", type=Path, default=settings.cache_dir() / "motion-corpus")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="folder of what is written")
    parser.add_argument("--steps", type=int, help="other than the recipe's, to try things out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = {part: build(options.corpus, part, n) for part, n in CLIPS.items()}
    for name in options.models:
        recipe = RECIPES[name] | ({"steps": options.steps} if options.steps else {})
        model = mini.untrained(name, len(MOTIONS), seed=options.seed)
        started = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            curve = train(model, data, recipe, options.seed)
        kept = mini.trained_part(model.net)
        kept.load_state_dict(rounded(kept))  # so that the score is that of the file
        scores = score(model, data["validation"])
        write(
            name,
            model,
            {
                "name": name,
                "data": {"corpus": VERSION, "clips": CLIPS, "seed": 1234, "classes": MOTIONS},
                "recipe": recipe | {"optimizer": "AdamW, one cycle", "seed": options.seed},
                "scores": {"validation": scores, "chance": 1 / len(MOTIONS)},
                "curve": curve,
                "minutes": round((time.perf_counter() - started) / 60, 1),
                "threads": options.threads,
                "versions": {p: metadata.version(p) for p in ("torch", "pytorchvideo", "numpy")},
            },
            options.output,
        )


if __name__ == "__main__":
    main()
