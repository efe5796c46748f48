"""What each notebook owes its readers: the techniques that it teaches in boxes.

A *full* box gives the idea, the formula with its legend, a drawing, the core step from scratch,
a check, a look inside and how to read it. A *short* box gives the idea, the formula with its
legend, and a worked example that is asserted. `box_rules.py` judges them.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_FULL = 5
"""Most techniques of one notebook that get a full box."""


@dataclass(frozen=True)
class Owed:
    """The boxes of one notebook, each by the name in its tag `box-<name>`.

    Attributes
    ----------
    full, short : tuple of str
        Names of the techniques with a full and with a short box.
    """

    full: tuple[str, ...] = ()
    short: tuple[str, ...] = ()


OWED: dict[str, Owed] = {
    "tour": Owed(
        full=("displacement-maps",),
        short=(
            "content-score",
            "item-neighbours",
            "ndcg",
            "confidence-interval",
            "cross-entropy",
        ),
    ),
    "preprocessing": Owed(
        full=("perceptual-hash", "denoising", "augmentation"),
        short=("missing-values", "robust-outliers", "splits"),
    ),
    "text_encoders": Owed(
        full=("subwords", "attention", "masked-words", "next-word", "prompting"),
        short=("tfidf", "contrast", "quantised-weights", "entities", "sentiment"),
    ),
    "image_encoders": Owed(
        full=("convolution", "vgg", "residual", "inception", "detection"),
        short=(
            "batch-norm",
            "segmentation",
            "text-in-frames",
            "calibration",
            "t-sne",
            "contrastive",
            "vector-geometry",
        ),
    ),
    "video_encoders": Owed(
        full=("optical-flow", "two-stream", "i3d", "slowfast", "temporal-localisation"),
        short=("frame-average", "correlation", "shots", "pareto-front", "sound"),
    ),
    "transfer_learning": Owed(
        full=("training-loop", "freezing", "lora", "temperature"),
        short=(
            "warmup-cosine",
            "rate-finder",
            "label-smoothing",
            "weight-decay",
            "early-stopping",
            "probe-first",
            "inflation",
        ),
    ),
    "evaluation": Owed(
        full=("ranking-metrics", "bootstrap", "calibration", "sampled-metrics", "leaks"),
        short=(
            "coverage",
            "novelty",
            "popularity-lift",
            "diversity",
            "non-inferiority",
            "holm",
            "f1-averages",
            "slices",
        ),
    ),
    "content_based": Owed(
        full=("term-weights", "cosine-profile", "interests", "learned-ranker", "mmr"),
        short=("balanced-join", "half-life", "dislike"),
    ),
    "behavior_based": Owed(
        full=("item-knn", "ease", "als", "bpr", "sasrec"),
        short=(
            "popularity-window",
            "duration-label",
            "event-weights",
            "ials-forms",
            "session-rules",
        ),
    ),
    "hybrid": Owed(
        full=("stacking", "two-towers", "log-q", "feature-factorisation", "end-to-end"),
        short=("fusion", "missing-modalities", "newcomers"),
    ),
    "imbalance": Owed(
        full=(
            "focal-loss",
            "logit-adjustment",
            "resampling",
            "inverse-propensity",
            "doubly-robust",
        ),
        short=(
            "class-weights",
            "threshold-moving",
            "decoupled-head",
            "position-bias",
            "calibrated-lists",
        ),
    ),
    "interpretability": Owed(
        full=(
            "grad-cam",
            "integrated-gradients",
            "occlusion-in-time",
            "ease-influence",
            "shapley",
        ),
        short=("deletion", "rollout", "leaving", "permutation", "pointing"),
    ),
    "example": Owed(full=("paired-difference",), short=("standard-error",)),
}
"""By subject. `example` is the notebook that the rules are tested with."""

NOT_YET_REWRITTEN: frozenset[str] = frozenset()
"""Notebooks that the rules on teaching do not judge yet. The list only shrinks."""
