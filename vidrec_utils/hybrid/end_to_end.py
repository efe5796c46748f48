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

import copy
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from vidrec_utils import arguments, settings
from vidrec_utils.behavior_based.early_stopping import HeldOut
from vidrec_utils.behavior_based.sasrec import PAD, SASRec
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import evaluate
from vidrec_utils.events import Label
from vidrec_utils.hybrid.clip_networks import (
    ENCODERS,
    kept_inputs,
    prepare,
    rows_of,
    trainable_part,
)
from vidrec_utils.hybrid.cold_start import all_and_cold
from vidrec_utils.saving import Array, below

SOURCES = ("ids", "frozen", "joint")


class VideoVectors(nn.Module):
    """Vectors of videos by position in the catalogue, from their clips.

    Parameters
    ----------
    encoder : Module
        From prepared clips to features `(n, encoder.dim)`. It always runs in evaluation mode, so
        that a clip's features do not depend on the other clips of its batch.
    dim : int
        Length of the vectors.
    fresh : int
        How many clips of a step go through the encoder, drawn at random; the others keep the
        features that it computed the last time. 0: the encoder is frozen.
    """

    def __init__(self, encoder: nn.Module, dim: int, fresh: int):
        super().__init__()
        self.encoder = encoder.requires_grad_(fresh > 0)
        self.register_buffer("mean", torch.zeros(encoder.dim))
        self.register_buffer("scale", torch.ones(encoder.dim))
        self.out = nn.Linear(encoder.dim, dim)
        self.absent = nn.Parameter(torch.randn(dim) * 0.02)  # vector of a video without a clip
        nn.init.normal_(self.out.weight, std=0.1)
        self.fresh = fresh

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but keep the encoder in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def set_clips(self, inputs: tuple[torch.Tensor, ...], rows: torch.Tensor) -> Self:
        """Set prepared clips, and which of them each video has (-1: none)."""
        self.inputs = inputs
        self.rows = rows
        self.refresh()
        self.mean.copy_(self.features.mean(dim=0))
        self.scale.copy_(self.features.std(dim=0, correction=0).clamp_min(1e-6))
        return self

    @torch.no_grad()
    def refresh(self) -> None:
        """Run every clip through the encoder, as it is now."""
        device = self.mean.device
        batches = zip(*(tensor.split(32) for tensor in self.inputs), strict=True)
        features = [self.encoder(*(tensor.to(device) for tensor in batch)) for batch in batches]
        self.features = torch.cat(features)  # (n_clips, encoder.dim)

    def forward(self, videos: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` of videos by position."""
        rows = self.rows[videos]  # (n,)
        has_clip = rows >= 0  # (n,)
        vectors = self.absent.expand(len(videos), -1)  # (n, dim)
        if not has_clip.any():
            return vectors
        clips = rows[has_clip]  # (m,)
        features = self.features[clips]  # (m, encoder.dim), without gradient
        if self.fresh and self.training:
            # some clips go through the encoder, and their features have a gradient
            drawn = torch.randperm(len(clips))[: self.fresh]
            inputs = (tensor[clips[drawn.to(clips.device)].cpu()] for tensor in self.inputs)
            new = self.encoder(*(tensor.to(rows.device) for tensor in inputs))
            drawn = drawn.to(rows.device)
            features = features.index_copy(0, drawn, new)
            self.features[clips[drawn]] = new.detach()
        return vectors.index_copy(0, has_clip.nonzero()[:, 0], self.project(features))

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Vectors `(n, dim)` from features, standardised and scaled to length 1.

        So the vector of a black clip is no longer than that of any other.
        """
        return self.out(F.normalize((features - self.mean) / self.scale, dim=1))


class EndToEnd(SASRec):
    """A sequence recommender whose video vectors are learned, frozen, or trained from the pixels.

    Histories and targets are those of `SASRec`. The softmax of a step runs over the videos that its
    histories hold, each weighted by one over its probability to be among them (Horvitz, Thompson
    1952).

    The vector of a cold video with a clip comes from the encoder; all videos without a clip share a
    learned vector; with ids, cold videos come last. An unknown user gets the popularity answer, and
    so does a user without a history.

    Parameters
    ----------
    clips : mapping of str to uint8 (time, height, width, 3), optional
        RGB frames by `video_id`; `read_clips` makes one. Not needed for ids. A saved model does not
        hold them: set `clips` before fitting a loaded model again.
    source : {"joint", "frozen", "ids"}
        Whether the encoder is trained along, used as it is, or not used.
    encoder : {"slowfast_mini", "small"}
        The last stage of the course's pretrained SlowFast on top of its frozen lower stages, or a
        small network that starts from random weights (if frozen, its features are random).
    length, dim, heads, layers, dropout, epochs, batch_size, learning_rate, weight_decay, least
        As for `SASRec`.
    encoder_rate : float
        Learning rate of the encoder, smaller as it starts from pretrained weights.
    fresh : int
        How many clips go through the encoder in a step, drawn among those that the step needs; the
        others keep the features of the last time, and give no gradient to it.
    seed : int
        Initial weights, order and dropout are drawn with this seed.
    progress : bool
        Show a bar when fitting takes longer than two seconds.
    name : str, optional
        Shown in tables; default: the source.
    held_out, patience
        As for `SASRec`: a validation part that is cut from the data, and when training ends. After
        each epoch all clips are encoded once more to be ranked.

    Attributes
    ----------
    losses : list of float
        Mean loss of each epoch.
    training_history, best_epoch
        As for `SASRec`.

    Examples
    --------
    A trained model encodes clips that it has never seen:

    >>> log = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "video_id": ["a", "b", "a"]})
    >>> log["watch_ratio"] = 1.0
    >>> clips = {"a": np.zeros((8, 32, 32, 3), np.uint8), "b": np.full((8, 32, 32, 3), 9, np.uint8)}
    >>> model = EndToEnd(clips, encoder="small", dim=4, epochs=2, progress=False).fit(log)
    >>> model.encode([np.full((8, 32, 32, 3), 255, np.uint8)]).shape
    (1, 4)
    >>> len(model.losses)
    2
    """

    _array_arguments: ClassVar = ("clips",)
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
        held_out: float = 0.0,
        patience: int = 10,
    ):
        name = name or source
        super().__init__(
            length=length,
            dim=dim,
            heads=heads,
            layers=layers,
            dropout=dropout,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            least=least,
            held_out=held_out,
            patience=patience,
            seed=seed,
            progress=progress,
            name=name,
        )
        arguments.one_of(SOURCES, source=source)
        arguments.one_of(ENCODERS, encoder=encoder)
        arguments.positive(encoder_rate=encoder_rate)
        arguments.at_least(1, fresh=fresh)
        self._set_arguments(locals())
        self.knows_cold_videos = source != "ids"
        self.prepared: tuple[torch.Tensor, ...] | None = None

    def _work(self) -> float:
        """As for `SASRec`; an encoder that is trained along is always worth all threads."""
        return np.inf if self.source == "joint" else super()._work()

    def _train(self, sequences: np.ndarray, held_out: HeldOut | None) -> None:
        """Learn to predict each video of sequences `(users, length + 1)` from those before it."""
        device = settings.device()
        n = len(self.video_ids)
        self.vectors = self._source()
        # p_i, each video's share of the events, (n,)
        counts = torch.from_numpy(np.bincount(sequences[sequences >= 0], minlength=n)).to(device)
        share = counts / counts.sum().clamp_min(1)
        self.warm = (counts > 0).cpu().numpy()
        optimizer = torch.optim.AdamW(self._groups(), weight_decay=self.weight_decay)
        data = torch.from_numpy(sequences).to(device)
        self.losses = []

        def epoch() -> float:
            self.model.train()
            self.vectors.train()
            losses = []
            for batch in torch.randperm(len(data)).split(self.batch_size):
                loss = self._loss_of_both(data[batch.to(device)], share)
                # one step of AdamW, through the recommender into the encoder
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            self.losses.append(float(np.mean(losses)))
            if held_out is not None or self._hook is not None:
                self._show_epoch()
            return self.losses[-1]

        self._train_epochs(self.epochs if len(data) else 0, epoch, held_out)
        self._finish()

    def _loss_of_both(self, rows: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Mean loss of a batch `(batch, length + 1)`, whose gradient reaches the encoder."""
        # the videos of the batch, in the order of the catalogue, and their vectors
        videos = rows[rows != PAD].unique()  # (m,)
        vectors = self.vectors(videos)  # (m, dim): here the encoder runs
        table = torch.zeros(len(self.video_ids) + 1, self.dim, device=rows.device)
        table = table.index_copy(0, videos, vectors)
        # states of the transformer with these vectors as its table of videos
        watched = rows[:, :-1]  # (batch, length)
        target = rows[:, 1:]  # (batch, length)
        predicted = target != PAD  # positions that have a target
        states = functional_call(self.model, {"video.weight": table}, (watched,))
        # P(i in batch) = 1 - (1 - p_i)^events, (m,)
        probability = 1 - (1 - share[videos]) ** (rows != PAD).sum()
        # s_i - log P(i in batch), (targets, m)
        logits = states[predicted] @ vectors.T - torch.log(probability)
        return F.cross_entropy(logits, torch.searchsorted(videos, target[predicted]))

    def _show_epoch(self) -> None:
        """Write the table of videos after an epoch, for what looks at the model meanwhile.

        Training goes on with the features that it had, so that it does not depend on who looks.
        """
        features = getattr(self.vectors, "features", None)
        self._finish()
        if features is not None:
            self.vectors.features = features

    def _snapshot(self) -> dict[str, dict[str, torch.Tensor]]:
        members = {"model": self.model, "vectors": self.vectors}
        return {name: copy.deepcopy(member.state_dict()) for name, member in members.items()}

    def _put_back(self, weights: dict[str, dict[str, torch.Tensor]]) -> None:
        self.model.load_state_dict(weights["model"])
        self.vectors.load_state_dict(weights["vectors"])

    def _source(self) -> nn.Module:
        """The module that turns positions in the catalogue into vectors."""
        if self.source == "ids":
            table = nn.Embedding(len(self.video_ids), self.dim)
            nn.init.normal_(table.weight, std=0.02)
            return table.to(settings.device())
        rows = rows_of(self.clips or {}, list(self.video_ids))
        if not self.clips or (rows < 0).all():
            raise ValueError(
                "None of the videos has a clip: pass clips, by video_id (read_clips makes "
                "them; a loaded model does not hold them), or use source='ids'."
            )
        inputs = self.prepared or prepare(self.encoder, list(self.clips.values()))
        vectors = self._vectors().to(settings.device())
        return vectors.set_clips(inputs, torch.from_numpy(rows).to(settings.device()))

    def _vectors(self) -> VideoVectors:
        fresh = self.fresh if self.source == "joint" else 0
        return VideoVectors(trainable_part(self.encoder, self.seed), self.dim, fresh)

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters to train, with their learning rates."""
        others = [p for name, p in self.model.named_parameters() if name != "video.weight"]
        vectors = self.vectors.named_parameters()
        others += [p for name, p in vectors if not name.startswith("encoder.")]
        groups = [{"params": others, "lr": self.learning_rate}]
        if self.source == "joint":
            encoder = self.vectors.encoder.parameters()
            groups.append({"params": encoder, "lr": self.encoder_rate})
        return groups

    @torch.no_grad()
    def _finish(self) -> None:
        """Write the vectors of all videos into the table of the sequence model."""
        self.model.eval()
        self.vectors.eval()
        if self.source == "joint":
            self.vectors.refresh()
        catalogue = torch.arange(len(self.video_ids), device=settings.device())
        table = torch.cat([self.vectors(videos) for videos in catalogue.split(32)])  # (n, dim)
        self.model.video.weight.zero_()
        self.model.video.weight[:-1] = table

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
            inputs = (tensor.to(device) for tensor in prepare(self.encoder, clips))
            return self.vectors.project(self.vectors.encoder(*inputs)).cpu().numpy()

    def _state(self) -> dict[str, Array]:
        state = {**super()._state(), "losses": np.array(self.losses, dtype=np.float64)}
        if self.source != "ids":
            weights = self.vectors.state_dict()
            state |= {f"vectors.{name}": value.cpu().numpy() for name, value in weights.items()}
        return state

    def _restore(self, state: Mapping[str, Array]) -> None:
        super()._restore(state)
        self.losses = state["losses"].tolist()
        if self.source != "ids":
            weights = below(state, "vectors.").items()
            self.vectors = self._vectors().to(settings.device())
            self.vectors.load_state_dict(
                {name: torch.from_numpy(np.asarray(value)) for name, value in weights}
            )
            self.vectors.eval()


def source_models(
    clips: Mapping[str, np.ndarray], sources: Iterable[str] = SOURCES, **options: Any
) -> dict[str, EndToEnd]:
    """Make one model for each source of vectors; the frozen lower stages see each clip once.

    What these stages compute is rounded to 16 bits, kept on disk, and found by the clips' content.

    Parameters
    ----------
    clips : mapping of str to uint8 (time, height, width, 3)
        See `EndToEnd`.
    sources : iterable of str
        Some of "ids", "frozen" and "joint".
    **options
        For `EndToEnd`.

    Returns
    -------
    dict of str to EndToEnd
        Not fitted.

    Examples
    --------
    >>> clips = {"a": np.zeros((8, 32, 32, 3), np.uint8)}
    >>> models = source_models(clips, ("frozen", "joint"), encoder="small", dim=4)
    >>> models["frozen"].prepared is models["joint"].prepared
    True
    """
    models = {source: EndToEnd(clips, source, **options) for source in sources}
    seeing = [model for source, model in models.items() if source != "ids"]
    if clips and seeing:
        prepared = kept_inputs(seeing[0].encoder, clips)
        for model in seeing:
            model.prepared = prepared
    return models


def compare_sources(
    clips: Mapping[str, np.ndarray],
    split: Split,
    seeds: Iterable[int] = (0,),
    k: int = 10,
    on: str = "validation",
    metric: str = "ndcg",
    label: Label = None,
    **options: Any,
) -> pd.DataFrame:
    """Compare ids, frozen and jointly trained vectors with the same model, on the same split.

    Parameters
    ----------
    clips : mapping of str to uint8 (time, height, width, 3)
        See `EndToEnd`.
    split : Split
        The models are fitted on its `train`.
    seeds : iterable of int
        One model of each kind for each.
    k, on, metric, label
        See `evaluation.evaluate`.
    **options
        For `EndToEnd`.

    Returns
    -------
    DataFrame
        `source, seed, loss` (of the last epoch)`, all, cold`: the metric's mean over all users, and
        on cold videos (NaN where no user has one).

    Examples
    --------
    >>> from vidrec_utils.datasets import Split
    >>> train = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["a", "b"]})
    >>> later = pd.DataFrame({"user_id": ["ann", "bob"], "video_id": ["b", "a"]})
    >>> train["watch_ratio"] = later["watch_ratio"] = 1.0
    >>> split = Split(train, later, later, pd.DataFrame(index=["a", "b"]), "by hand")
    >>> clips = {"a": np.zeros((8, 32, 32, 3), np.uint8), "b": np.ones((8, 32, 32, 3), np.uint8)}
    >>> small = {"encoder": "small", "dim": 4, "epochs": 1, "progress": False}
    >>> table = compare_sources(clips, split, k=1, on="validation", **small)
    >>> print(table[["source", "all"]].to_string(index=False))  # one new video for each user
    source  all
       ids  1.0
    frozen  1.0
     joint  1.0
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
            result = evaluate(model, split, k, on, seed=seed, label=label)
            mean, mean_on_cold = all_and_cold(result, metric)
            loss = model.losses[-1] if model.losses else np.nan
            rows.append([source, seed, loss, mean, mean_on_cold])
    return pd.DataFrame(rows, columns=["source", "seed", "loss", "all", "cold"])
