"""Fine-tuning: cached features against re-run ones, and our training step against a plain loop.

Three claims, each measured in one process and in turns, after both sides gave the same result:

- a probe of ten epochs on features that are stored (`embeddings.embed` keeps them) is at least ten
  times as fast as one that runs the frozen network on every batch of every epoch. With the pass
  that computes them counted in, ten epochs cannot be saved more than nine passes of ten: a factor
  of 10 is the limit then, and 7.5 is claimed;
- ten epochs of partial fine-tuning take at most half as long with the outputs of the frozen part
  cached in one pass, as `fine_tune` does it, as with the whole network in every step;
- a full fine-tuning step of `transfer_learning.train` takes no longer than that of the same model,
  optimiser, schedule and order of clips in a plain loop (a ratio of 0.95 or more, by processor
  time).

    python benchmarks/fine_tuning.py --repeats 5

And no claim about speed, but the table behind the label-budget curves of notebook 05, in pieces,
each of which goes on where the last one ended:

    python benchmarks/fine_tuning.py --budget --seeds 0 --minutes 2.5
"""

from __future__ import annotations

import json
import time
from functools import cache, partial
from unittest import mock

import numpy as np
import pandas as pd
import torch
from side_by_side import REPEATS, Option, claim, options, ratio, timed
from torch.nn import functional as F

from vidrec_utils import (
    datasets,
    image_encoders,
    preprocessing,
    settings,
    text_encoders,
    video_encoders,
    video_io,
)
from vidrec_utils.files import write_atomically
from vidrec_utils.hybrid import read_clips
from vidrec_utils.minitube import truth
from vidrec_utils.minitube.config import VERSION
from vidrec_utils.transfer_learning import budget, frozen, training
from vidrec_utils.transfer_learning.backbone import (
    Backbone,
    Features,
    Inputs,
    prepare_once,
    vectors,
)
from vidrec_utils.transfer_learning.fine_tuning import FineTuned, Head, Tuned, fine_tune
from vidrec_utils.transfer_learning.strategies import choose, eval_modules
from vidrec_utils.transfer_learning.tasks import SingleLabel

EPOCHS = 10
CACHED, COMPUTED, PARTIAL, STEP = 10.0, 0.75 * EPOCHS, 2.0, 0.95


@cache
def world():
    """MiniTube, cleaned, and the subject of each video, to be kept apart."""
    library, _ = preprocessing.clean(datasets.load("minitube"))
    return library, truth.load(library.root).videos["subject"]


@cache
def motion_labels():
    """Motions that people wrote down for some of the clips."""
    return preprocessing.clip_labels(world()[0]).dropna()


def category_labels(ids):
    """Categories of the videos whose category is known."""
    category = world()[0].videos["category"].reindex(ids)
    return category[category != "unknown"].dropna()


@cache
def annotated_clips():
    """The middle two seconds of the clips with a motion, read once."""
    library, _ = world()
    return read_clips(library.subset(video_ids=motion_labels().index), short="stretch")


def target_data(target: str):
    """Items by id, and their labels."""
    library, _ = world()
    ids = library.videos.index
    if target == "motion":
        return annotated_clips(), motion_labels()
    if target == "category":
        return annotated_clips(), category_labels(motion_labels().index)
    if target == "category from titles":
        return library.videos["title"].fillna("").to_dict(), category_labels(ids)
    faces = {v: video_io.read_image(library.file(v, of="thumbnail")) for v in ids}
    return faces, category_labels(ids)


def rates(which: str, *values: float) -> tuple[dict, ...]:
    """Choices of one learning rate."""
    return tuple({which: value} for value in values)


LOADERS = {
    "motion": lambda seed: video_encoders.load("two_stream_mini", device="cpu"),
    "category": lambda seed: video_encoders.load("two_stream_mini", device="cpu"),
    "category from titles": lambda seed: text_encoders.load("minilm", max_tokens=16, device="cpu"),
    "category from thumbnails": lambda seed: image_encoders.load(
        "efficientnet_lite0", size=128, device="cpu"
    ),
}
"""The pretrained encoder for each target."""


def untrained(seed: int):
    """The encoder of clips with random weights."""
    return video_encoders.load("two_stream_mini", weights="random", seed=seed, device="cpu")


def ways(target: str) -> dict[str, budget.Way]:
    """The ways that are compared; each has three to seven sets of numbers to choose from."""
    load, longer = LOADERS[target], {"epochs": 8}
    wide = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
    probe = budget.Way(load, "probe", {}, rates("head_rate", 1e-5, *wide, 1e-2))
    if target == "category from titles":
        lora = rates("backbone_rate", 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
        return {"probe": probe, "LoRA": budget.Way(load, "lora", longer, lora)}
    compared = {
        "probe": probe,
        "partial": budget.Way(load, "partial", longer, rates("backbone_rate", *wide, 1e-2, 3e-2)),
        "full": budget.Way(load, "full", longer, rates("backbone_rate", *wide, 1e-2)),
        "probe, then full": budget.Way(
            load, "full", longer | {"head_rate": 3e-4}, rates("backbone_rate", *wide, 1e-2), True
        ),
        "from scratch": budget.Way(untrained, "full", {}, (
            {"epochs": 30, "backbone_rate": 1e-2}, {"epochs": 100, "backbone_rate": 1e-2},
            {"epochs": 300, "backbone_rate": 1e-2},
        )),
    }  # fmt: skip
    left_out = {
        "category": ("partial", "probe, then full", "from scratch"),
        "category from thumbnails": ("probe, then full", "from scratch"),
    }
    return {name: way for name, way in compared.items() if name not in left_out.get(target, ())}


BUDGETS = {
    "motion": (1, 2, 5, 10, None),
    "category": (None,),
    "category from titles": (None,),
    "category from thumbnails": (None,),
}
SEEDS = (0, 1, 2)


def write_budget(targets: list[str], seeds: list[int], minutes: float) -> None:
    """Measure for some minutes; targets go into the record once all their seeds are there."""
    _, subject = world()
    began = time.monotonic()
    folder = settings.cache_dir() / f"label-budget-{VERSION}"
    for target in targets:
        items, labels = target_data(target)
        items = prepare_once(LOADERS[target](0), items, progress=False)
        kinds = world()[0].videos["language"].reindex(labels.index).fillna("unknown")
        for seed in seeds:
            part = folder / f"{target}-{seed}.json"
            before = json.loads(part.read_text(encoding="utf-8")) if part.is_file() else []
            rows = []
            measured = budget.label_budget(
                ways(target), [items[v] for v in labels.index], labels.to_numpy(),
                subject.reindex(labels.index).to_numpy(), BUDGETS[target], [seed],
                tried_on=[b for b in (5, None) if b in BUDGETS[target]],
                kinds=kinds.tolist() if target.endswith("titles") else None,
                done=pd.DataFrame(before), checkpoints=folder / target,
            )  # fmt: skip
            for row in measured:
                rows.append(row)
                if row in before:
                    continue
                print(target, *(f"{n}={v}" for n, v in row.items()), flush=True)
                write_atomically(part, json.dumps(rows))
                if time.monotonic() - began > 60 * minutes:
                    raise SystemExit("Not all is done yet; run the same command again to go on.")
            write_atomically(part.with_suffix(".whole"), json.dumps(rows))
    record = json.loads(budget.RECORD.read_text(encoding="utf-8"))
    earlier = record["rows"] if record.get("world") == VERSION else []  # one world, one record
    record = []
    for target in BUDGETS:  # rows measured now, and the rows of other targets unchanged
        files = [folder / f"{target}-{seed}.whole" for seed in SEEDS]
        if target in targets and all(file.is_file() for file in files):
            rows = [r for file in files for r in json.loads(file.read_text(encoding="utf-8"))]
        else:
            rows = [row for row in earlier if row["target"] == target]
        if not rows:
            raise SystemExit(f"The record waits for {target}, which this world has not yet.")
        record += [{"target": target, **row} for row in rows]
    budget.write_record(budget.RECORD, "python benchmarks/fine_tuning.py --budget", record)
    print("The record holds all targets of which all seeds are done.")


def noisy_clips(n: int) -> tuple[list[np.ndarray], list[str]]:
    """Noisy clips; what they show does not change how long they take."""
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 255, (16, 64, 64, 3)).astype(np.uint8) for _ in range(n)]
    return clips, ["one", "other"] * (n // 2)


def compare_probes(repeats: int) -> list[str]:
    """A head on vectors computed once, and on a frozen network that runs for each batch."""
    encoder = video_encoders.load("slowfast_mini", device="cpu")
    clips, labels = noisy_clips(32)
    recipe = training.Recipe(epochs=EPOCHS, head_rate=1e-2, patience=None)
    task = SingleLabel(["one", "other"])
    backbone = Backbone(encoder).requires_grad_(False)
    prepared, targets = Inputs(backbone.prepare, clips), task.targets(labels)
    compute = partial(vectors, backbone, prepared, torch.device("cpu"))
    start = compute()

    def probe(inputs: Inputs, network: Backbone | None = None) -> torch.Tensor:
        head = Head(start, 2, recipe.dropout)
        groups = [{"parameters": list(head.named_parameters()), "rate": recipe.head_rate}]
        training.train(
            head if network is None else Tuned(network, head), inputs, targets, task, groups,
            recipe, eval_modules=() if network is None else (network,), progress=False,
        )  # fmt: skip
        return head.linear.weight.detach()

    ways = {
        "kept": lambda: probe(Features(start)),
        "computed": lambda: probe(Features(compute())),
        "re-run": lambda: probe(prepared, backbone),
    }
    ends = [way() for way in ways.values()]
    if not all(torch.allclose(end, ends[-1], atol=1e-3) for end in ends):
        raise SystemExit("The probes end with different heads.")
    taken = timed(f"A probe of {len(clips)} clips, {EPOCHS} epochs:", ways, repeats)
    kept, computed = (ratio(taken["re-run"], taken[way]) for way in ("kept", "computed"))
    failed = claim("kept features against the network in each epoch", kept, CACHED)
    return failed + claim("the same, with the one pass that computes them", computed, COMPUTED)


def compare_partial(repeats: int) -> list[str]:
    """The last block, on cached outputs of the blocks below it and on the whole network."""
    encoder = video_encoders.load("two_stream_mini", device="cpu")
    clips, labels = noisy_clips(32)
    ready = list(prepare_once(encoder, dict(enumerate(clips)), progress=False).values())

    def kept() -> FineTuned:
        return fine_tune(
            encoder, ready, labels, "partial", epochs=EPOCHS, patience=None, progress=False
        )

    def whole() -> FineTuned:
        with mock.patch.object(frozen, "find", return_value=None):
            return kept()

    if not np.allclose(kept().losses, whole().losses, rtol=1e-3):
        raise SystemExit("The two trainings differ.")
    title = f"Partial fine-tuning, {len(clips)} clips, {EPOCHS} epochs:"
    taken = timed(title, {"kept": kept, "whole": whole}, repeats)
    faster = ratio(taken["whole"], taken["kept"])
    return claim("outputs of the frozen part kept, against the whole network", faster, PARTIAL)


def compare_steps(repeats: int) -> list[str]:
    """Full fine-tuning by our loop and by a plain one, from the same start."""
    encoder = video_encoders.load("slowfast_mini", device="cpu")
    clips, labels = noisy_clips(32)
    recipe = training.Recipe(epochs=1, batch_size=8, dropout=0.0, patience=None)
    task = SingleLabel(["one", "other"])
    first = Backbone(encoder)
    inputs, targets = Inputs(first.prepare, clips), task.targets(labels)
    start = vectors(first, inputs, torch.device("cpu"))
    orders = training.epoch_batches(len(clips), recipe, 0)

    def begin() -> tuple[Tuned, list[dict]]:
        backbone = Backbone(encoder)
        head = Head(start, 2, 0.0)
        groups = choose(backbone, inputs.batch(np.array([0])), "full", recipe)
        for module in backbone.modules():  # the loops differ in how they draw: nothing is drawn
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        return Tuned(backbone, head), [
            *groups,
            {"parameters": list(head.named_parameters()), "rate": recipe.head_rate},
        ]

    def ours(model: Tuned, groups: list[dict]) -> Tuned:
        training.train(
            model, inputs, targets, task, groups, recipe,
            eval_modules=eval_modules(model.backbone, "frozen"), progress=False,
        )  # fmt: skip
        return model

    def plain(model: Tuned, groups: list[dict]) -> Tuned:
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        optimizer = training.adamw(groups, recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: training.warmup_cosine(step, len(orders), recipe.warmup)
        )
        trained = [parameter for group in groups for _, parameter in group["parameters"]]
        for step in orders:
            rows = torch.as_tensor(step[0])
            logits = model(*inputs.batch(step[0]))
            loss = F.cross_entropy(logits, targets[rows], label_smoothing=recipe.smoothing)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
            optimizer.step()
            schedule.step()
        return model.eval()

    ends = [loop(*begin()) for loop in (ours, plain)]
    with torch.no_grad():
        one, other = (end(*inputs.batch(np.arange(8))) for end in ends)
    if not torch.allclose(one, other, atol=1e-3):
        raise SystemExit("The two loops end with different networks.")
    begun = [begin() for _ in range(2 * repeats)]  # made before anything is timed
    taken = timed(
        f"Full fine-tuning, {len(orders)} steps of {recipe.batch_size} clips:",
        {"ours": lambda: ours(*begun.pop()), "plain": lambda: plain(*begun.pop())},
        repeats, "ms a step", 1000 / len(orders),
        clock=time.process_time,  # of this process: neighbours do not count
    )  # fmt: skip
    return claim("our loop against a plain one", ratio(taken["plain"], taken["ours"]), STEP)


def main() -> None:
    chosen = options(
        __doc__,
        repeats=REPEATS,
        budget=Option(False, "the label-budget table instead"),
        targets=Option(list(BUDGETS), choices=BUDGETS),
        seeds=Option(list(SEEDS), choices=SEEDS),
        minutes=Option(240.0, "of the table, in this run"),
    )
    torch.set_num_threads(1)
    if chosen.budget:
        write_budget(chosen.targets, chosen.seeds, chosen.minutes)
        return
    failed = compare_probes(max(chosen.repeats // 2, 1)) + compare_partial(chosen.repeats)
    failed += compare_steps(chosen.repeats)
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
