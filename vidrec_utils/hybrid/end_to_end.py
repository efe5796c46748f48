"""A video encoder trained together with the recommender that uses its vectors.

The same sequence model, loop and loss with three kinds of video vectors: learned for each id,
computed once by a network that stays as it is, or by one that is trained along. So what differs
between the results is where the vectors come from, and nothing else.

References
----------
Ni et al.: A Content-Driven Micro-Video Recommendation Dataset at Scale (MicroLens). 2023
(arXiv:2309.15379).
Yuan et al.: Where to Go Next for Recommender Systems? ID- vs. Modality-based Recommender Models
Revisited. SIGIR 2023 (arXiv:2303.13835).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from tqdm.auto import tqdm

from vidrec_utils import settings
from vidrec_utils.behavior_based import SASRec
from vidrec_utils.behavior_based.sasrec import PAD
from vidrec_utils.evaluation import evaluate
from vidrec_utils.hybrid.clip_networks import ENCODERS, cut, prepare, rows_of

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split

SOURCES = ("ids", "frozen", "joint")


class VideoVectors(nn.Module):
    """Vectors of videos by place in the catalogue, from their clips.

    Parameters
    ----------
    encoder : Module
        From prepared clips to vectors `(n, encoder.dim)`. It always runs as in evaluation, so that
        a clip's vector does not depend on which others are in its batch.
    dim : int
        Length of the vectors wanted.
    fresh : int
        How many clips of a step go through the encoder, drawn at random; the others keep what came
        out of it the last time. 0: the encoder stays as it is.
    """

    def __init__(self, encoder: nn.Module, dim: int, fresh: int):
        super().__init__()
        self.encoder = encoder.requires_grad_(fresh > 0)
        self.register_buffer("mean", torch.zeros(encoder.dim))
        self.register_buffer("scale", torch.ones(encoder.dim))
        self.out = nn.Linear(encoder.dim, dim)
        self.absent = nn.Parameter(torch.randn(dim) * 0.02)  # of a video without a clip
        nn.init.normal_(self.out.weight, std=0.1)
        self.fresh = fresh

    def train(self, mode: bool = True) -> VideoVectors:
        """As ever, but the encoder keeps its statistics."""
        super().train(mode)
        self.encoder.eval()
        return self

    def give(self, inputs: tuple[torch.Tensor, ...], rows: torch.Tensor) -> VideoVectors:
        """Hand over prepared clips, and which of them each video has (-1: none)."""
        self.inputs, self.rows = inputs, rows
        self.refresh()
        self.mean.copy_(self.features.mean(dim=0))
        self.scale.copy_(self.features.std(dim=0, correction=0).clamp_min(1e-6))
        return self

    @torch.no_grad()
    def refresh(self) -> None:
        """Let every clip go through the encoder, as it is now."""
        device = self.mean.device
        parts = zip(*(part.split(32) for part in self.inputs), strict=True)
        found = [self.encoder(*(p.to(device) for p in part)) for part in parts]
        self.features = torch.cat(found)  # (clips, encoder.dim)

    def forward(self, videos: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` of videos by place."""
        rows = self.rows[videos]  # (n,)
        there = rows >= 0
        vectors = self.absent.expand(len(videos), -1)  # (n, dim)
        if not there.any():
            return vectors
        clips = rows[there]
        found = self.features[clips]  # (clips, encoder.dim)
        if self.fresh and self.training:
            drawn = torch.randperm(len(clips))[: self.fresh]
            inputs = (part[clips[drawn.to(clips.device)].cpu()] for part in self.inputs)
            new = self.encoder(*(part.to(rows.device) for part in inputs))
            drawn = drawn.to(rows.device)
            found = found.index_copy(0, drawn, new)
            self.features[clips[drawn]] = new.detach()
        return vectors.index_copy(0, there.nonzero()[:, 0], self.shorten(found))

    def shorten(self, found: torch.Tensor) -> torch.Tensor:
        """Centred features of length 1, made `(n, dim)`: a black clip is no longer than others."""
        return self.out(F.normalize((found - self.mean) / self.scale, dim=1))


class EndToEnd(SASRec):
    """A sequence recommender whose video vectors are learned, given, or trained from the pixels.

    What is read and guessed is as in `SASRec`. The softmax of a step runs over the videos that its
    histories hold, each weighted by one over its chance to be among them (Horvitz, Thompson 1952).

    A cold video with a clip has the vector that the encoder gives it; one without a clip has a
    learned vector that all such videos share; with ids, cold videos come last. An unknown user gets
    the popularity answer, and so does a user without a history.

    Parameters
    ----------
    clips : mapping of str to uint8 (time, height, width, 3), optional
        RGB frames by `video_id`; `read_clips` makes one. Not needed for ids. A saved model does not
        hold them: set `clips` before fitting a loaded model again.
    source : {"joint", "frozen", "ids"}
        Whether the encoder is trained along, used as it is, or not used.
    encoder : {"slowfast_mini", "small"}
        The last stage of the course's pretrained SlowFast on top of its frozen lower stages, or a
        small network that starts from random weights (which, frozen, are random features).
    length, dim, heads, layers, dropout, epochs, batch_size, learning_rate, weight_decay, least
        As for `SASRec`.
    encoder_rate : float
        Learning rate of the encoder, smaller as it starts from something.
    fresh : int
        How many clips go through the encoder in a step, drawn among those that the step needs; the
        others keep what came out of it the last time, and give no gradient to it.
    seed : int
        Of first weights, order and dropout.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str, optional
        Shown in tables; default: the source.

    Attributes
    ----------
    losses : list of float
        Mean loss of each epoch.
    """

    _learned: ClassVar = ("histories", "warm")

    def __init__(
        self,
        clips: Mapping[str, np.ndarray] | None = None,
        source: str = "joint",
        encoder: str = "slowfast_mini",
        length: int = 20,
        dim: int = 32,
        heads: int = 2,
        layers: int = 1,
        dropout: float = 0.1,
        epochs: int = 20,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        least: float = 0.5,
        encoder_rate: float = 3e-4,
        fresh: int = 48,
        seed: int = 0,
        progress: bool = True,
        name: str | None = None,
    ):
        super().__init__(
            length, dim, heads, layers, dropout, epochs, batch_size, learning_rate, weight_decay,
            least, seed, progress, name or source,
        )  # fmt: skip
        for label, value, known in (("source", source, SOURCES), ("encoder", encoder, ENCODERS)):
            if value not in known:
                raise ValueError(
                    f"{label} is {value!r}; choose from {', '.join(map(repr, known))}."
                )
        if not encoder_rate > 0:
            raise ValueError(f"encoder_rate is {encoder_rate}; it must be positive.")
        if fresh < 1:
            raise ValueError(f"fresh is {fresh}; it must be at least 1.")
        self.clips, self.source, self.encoder = clips, source, encoder
        self.prepared: tuple[torch.Tensor, ...] | None = None
        self.encoder_rate, self.fresh = encoder_rate, int(fresh)

    def _work(self) -> float:
        """As for `SASRec`; an encoder that is trained along is always worth all threads."""
        return np.inf if self.source == "joint" else super()._work()

    def _train(self, whole: np.ndarray) -> None:
        """Guess each video of the histories `(users, length + 1)` from those before it."""
        device, n = settings.device(), len(self.video_ids)
        vectors_of = self.vectors = self._source()
        counts = torch.from_numpy(np.bincount(whole[whole >= 0], minlength=n)).to(device)
        share = counts / counts.sum().clamp_min(1)
        self.warm = (counts > 0).cpu().numpy()
        optimizer = torch.optim.AdamW(self._groups(), weight_decay=self.weight_decay)
        data = torch.from_numpy(whole).to(device)
        self.losses = []
        self.model.train()
        vectors_of.train()
        steps = max(1, -(-len(data) // self.batch_size)) * (self.epochs if len(data) else 0)
        bar = tqdm(total=steps, desc=self.name, delay=2, leave=False, disable=not self.progress)
        for _ in range(self.epochs if len(data) else 0):
            losses = []
            for batch in torch.randperm(len(data)).split(self.batch_size):
                rows = data[batch.to(device)]  # (batch, length + 1)
                videos = rows[rows != PAD].unique()  # (m,) in the order of the catalogue
                vectors = vectors_of(videos)  # (m, dim): here the encoder runs
                table = torch.zeros(n + 1, self.dim, device=device)
                table = table.index_copy(0, videos, vectors)
                there = rows[:, 1:] != PAD
                watched = (rows[:, :-1],)
                states = functional_call(self.model, {"video.weight": table}, watched)[there]
                chance = 1 - (1 - share[videos]) ** (rows != PAD).sum()  # to be in this batch
                logits = states @ vectors.T - torch.log(chance)  # (guesses, m)
                loss = F.cross_entropy(logits, torch.searchsorted(videos, rows[:, 1:][there]))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # through the recommender into the encoder
                optimizer.step()
                losses.append(loss.item())
                bar.update()
            self.losses.append(float(np.mean(losses)))
        bar.close()
        self._finish()

    def _source(self) -> nn.Module:
        """What gives vectors of videos, by place in the catalogue."""
        if self.source == "ids":
            table = nn.Embedding(len(self.video_ids), self.dim)
            nn.init.normal_(table.weight, std=0.02)
            return table.to(settings.device())
        rows = rows_of(self.clips or {}, list(self.video_ids))
        if not self.clips or (rows < 0).all():
            raise ValueError(
                "None of the videos has a clip: hand clips over, by video_id (read_clips makes "
                "them; a loaded model does not hold them), or use source='ids'."
            )
        inputs = self.prepared or prepare(self.encoder, list(self.clips.values()))
        vectors = self._vectors().to(settings.device())
        return vectors.give(inputs, torch.from_numpy(rows).to(settings.device()))

    def _vectors(self) -> VideoVectors:
        fresh = self.fresh if self.source == "joint" else 0
        return VideoVectors(cut(self.encoder, self.seed), self.dim, fresh)

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters to train, with their rates."""
        found = [p for name, p in self.model.named_parameters() if name != "video.weight"]
        encoder = getattr(self.vectors, "encoder", None)
        inside = {id(p) for p in encoder.parameters()} if encoder is not None else set()
        found += [p for p in self.vectors.parameters() if id(p) not in inside]
        groups = [{"params": found, "lr": self.learning_rate}]
        if self.source == "joint":
            groups.append({"params": list(encoder.parameters()), "lr": self.encoder_rate})
        return groups

    @torch.no_grad()
    def _finish(self) -> None:
        """Write every video's vector where the sequence model looks for it."""
        self.model.eval()
        self.vectors.eval()
        if self.source == "joint":
            self.vectors.refresh()
        every = torch.arange(len(self.video_ids), device=settings.device())
        self.model.video.weight.zero_()
        self.model.video.weight[:-1] = torch.cat([self.vectors(part) for part in every.split(32)])

    def _predict(self, histories: np.ndarray) -> np.ndarray:
        scores = super()._predict(histories)
        if self.source == "ids" and self.warm.any():
            lowest = scores[:, self.warm].min(axis=1, keepdims=True)
            scores[:, ~self.warm] = np.nextafter(lowest, np.float32(-np.inf))
        return scores

    def encode(self, clips: list[np.ndarray]) -> np.ndarray:
        """Vectors `(n, dim)` of clips, new ones too, as this model sees them.

        Raises
        ------
        ValueError
            If the model knows only ids.
        """
        self._require_fit()
        if self.source == "ids":
            raise ValueError("A model of ids cannot encode clips; use source='joint' or 'frozen'.")
        device = settings.device()
        with torch.no_grad():
            inputs = tuple(part.to(device) for part in prepare(self.encoder, clips))
            return self.vectors.shorten(self.vectors.encoder(*inputs)).cpu().numpy()

    def parameters(self) -> dict[str, Any]:
        """What the constructor was given, without the clips."""
        return {name: v for name, v in super().parameters().items() if name != "clips"}

    def _state(self) -> dict[str, np.ndarray | sparse.csr_array]:
        kept = {**super()._state(), "losses": np.array(self.losses, dtype=np.float64)}
        if self.source != "ids":
            state = self.vectors.state_dict()
            kept |= {f"vectors.{name}": value.cpu().numpy() for name, value in state.items()}
        return kept

    def _restore(self, state: Mapping[str, np.ndarray | sparse.csr_array]) -> None:
        super()._restore(state)
        self.losses = state["losses"].tolist()
        if self.source != "ids":
            found = {
                name.removeprefix("vectors."): torch.from_numpy(np.asarray(value))
                for name, value in state.items()
                if name.startswith("vectors.")
            }
            self.vectors = self._vectors().to(settings.device())
            self.vectors.load_state_dict(found)
            self.vectors.eval()


def compare_sources(
    clips: Mapping[str, np.ndarray],
    split: Split,
    seeds: Iterable[int] = (0,),
    k: int = 10,
    on: str = "test",
    metric: str = "ndcg",
    **options: Any,
) -> pd.DataFrame:
    """Ids, frozen and jointly trained vectors with the same model, on the same split.

    Parameters
    ----------
    clips, split : mapping, Split
        See `EndToEnd`.
    seeds : iterable of int
        One model of each kind for each.
    k, on, metric
        See `evaluation.evaluate`.
    **options
        For `EndToEnd`.

    Returns
    -------
    DataFrame
        `source, seed, loss` (of the last epoch)`, all, cold`: the metric's mean over all users, and
        on cold videos (NaN where no user has one).
    """
    rows = []
    prepared = None
    for seed in seeds:
        for source in SOURCES:
            model = EndToEnd(clips, source, seed=seed, **options)
            if source != "ids" and clips:  # the frozen lower stages see each clip once
                prepared = prepared or prepare(model.encoder, list(clips.values()))
                model.prepared = prepared
            model.fit(split)
            result = evaluate(model, split, k, on, seed=seed)
            cold = result.slices.get("cold videos")
            rest = float(cold[metric].mean()) if cold is not None and len(cold) else np.nan
            last = model.losses[-1] if model.losses else np.nan
            mean = float(result.per_user[metric].mean())
            rows.append({"source": source, "seed": seed, "loss": last, "all": mean, "cold": rest})
    return pd.DataFrame(rows)
