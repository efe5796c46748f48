"""The softmax over a catalogue, from the videos of one batch alone, and its log-Q correction.

The softmax loss of a user with scores `s_j` who watched video i is `-s_i + log sum_j exp(s_j)`. In
a batch the other users' videos stand for the catalogue. They come as often as they are watched, so
popular ones are pushed down too often, unless each is weighted by one over how many copies of it a
batch is expected to hold: `s_j - log(m q_j)`, with m others in the batch and share q_j of events.

References
----------
Bengio, Senécal: Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic
Language Model. IEEE Transactions on Neural Networks 19, 2008.
Yi et al.: Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations. RecSys
2019.
Khrylchenko et al.: Correcting the LogQ Correction. RecSys 2025 (arXiv:2507.09331): the watched
video is no sample, it is always there, so its own score must not be corrected.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vidrec_utils import arguments

CORRECTIONS = {"logq": -1.0, "none": 0.0, "wrong sign": 1.0}
"""What `log(m q)` is multiplied with; the last one only shows what goes wrong."""


def in_batch_softmax(
    scores: torch.Tensor,
    videos: torch.Tensor,
    log_q: torch.Tensor,
    correction: str = "logq",
    weights: torch.Tensor | None = None,
    shown: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean softmax loss of a batch whose own videos stand for the catalogue.

    Copies of a user's video among the others are left out for that user: the term of the watched
    video stands in the sum once, as in the softmax over the catalogue. So the corrected sum has
    exactly the expectation of the full one, and the loss and its gradient tend to those of the full
    softmax as the batch grows (a quotient of two means has a bias of order 1 / batch).

    Parameters
    ----------
    scores : Tensor, shape (batch, batch)
        Score of the user of event r for the video of event c; the diagonal holds the watched ones.
    videos : Tensor of int64, shape (batch,)
        Which video each event has.
    log_q : Tensor, shape (batch,)
        Logarithm of the share of events that each of these videos has.
    correction : {"logq", "none", "wrong sign"}
        The last two only to compare.
    weights : Tensor, shape (batch,), optional
        How much each event counts in the mean; default: all alike.
    shown : Tensor of bool, shape (batch, batch), optional
        Whether the video of event c could have been shown to the user of event r. A video that
        could not is left out of the user's sum, which then stands for the sum over those that
        could. Default: all could.

    Returns
    -------
    Tensor
        One number; 0 for a batch of one, where there is no other video.

    Raises
    ------
    ValueError
        If there is no such correction.

    Examples
    --------
    The one other video has half of the events: it stands for two, and the loss is -ln 1/(1 + 2).

    >>> scores, videos = torch.zeros(2, 2), torch.tensor([0, 1])
    >>> log_q = torch.log(torch.tensor([0.5, 0.5]))
    >>> print(f"{in_batch_softmax(scores, videos, log_q):.4f}")  # ln 3
    1.0986
    """
    arguments.one_of(CORRECTIONS, correction=correction)
    n = len(scores)
    m = max(n - 1, 1)  # others in the batch
    # each event's own video, which the user watched: the diagonal, (batch, batch)
    own = torch.eye(n, dtype=torch.bool, device=scores.device)
    # the same video from another event: no negative for this user, (batch, batch)
    copies = (videos[:, None] == videos[None, :]) & ~own
    left_out = copies if shown is None else copies | (~shown & ~own)  # (batch, batch)
    # log(m q_j), the log of how many copies of video j a batch is expected to hold, (batch,)
    expected = log_q + torch.log(torch.tensor(m, dtype=scores.dtype))
    # s_j - log(m q_j) for the others, (batch, batch)
    others = scores + CORRECTIONS[correction] * expected[None, :]
    # the watched video is no sample: its s_i stays as it is
    logits = torch.where(own, scores, others).masked_fill(left_out, -torch.inf)
    # mean over the events of -s_i + log(exp(s_i) + sum_j exp(s_j - log(m q_j)))
    return weighted_mean(logits, torch.arange(n, device=scores.device), weights)


def full_softmax(
    scores: torch.Tensor,
    videos: torch.Tensor,
    weights: torch.Tensor | None = None,
    shown: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean softmax loss over the whole catalogue.

    Parameters
    ----------
    scores : Tensor, shape (batch, n_videos)
        Scores of all videos.
    videos : Tensor of int64, shape (batch,)
        The video that each user watched.
    weights : Tensor, shape (batch,), optional
        How much each event counts in the mean; default: all alike.
    shown : Tensor of bool, shape (batch, n_videos), optional
        Whether each video could have been shown to each user; the others are left out of the sum.

    Examples
    --------
    Without any preference the loss is the logarithm of the number of videos:

    >>> print(f"{full_softmax(torch.zeros(1, 4), torch.tensor([2])):.4f}")  # ln 4
    1.3863
    """
    # mean over the users of -s_i + log sum_j exp(s_j)
    if shown is not None:
        own = F.one_hot(videos, scores.shape[1]).bool()
        scores = scores.masked_fill(~(shown | own), -torch.inf)
    return weighted_mean(scores, videos, weights)


def weighted_mean(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Cross-entropies of `targets`, `(batch,)`, averaged with `weights`, `sum w l / sum w`."""
    if weights is None:
        return F.cross_entropy(logits, targets)
    losses = F.cross_entropy(logits, targets, reduction="none")  # (batch,)
    return (weights * losses).sum() / weights.sum()


def gradient_gap(
    joint: torch.Tensor,
    correction: str = "logq",
    batch: int = 1024,
    repeats: int = 50,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the gradient of `in_batch_softmax` is from the full softmax's, on average.

    The scores themselves are the parameters, drawn at random; each batch draws events from a known
    table, so nothing but the sampling makes a difference.

    Parameters
    ----------
    joint : Tensor, shape (n_users, n_videos)
        Share of events that each user has with each video; scaled to add up to 1.
    correction : {"logq", "none", "wrong sign"}
        See `in_batch_softmax`.
    batch, repeats : int
        Events of a batch; number of batches.
    seed : int
        Scores and events are drawn with it; the global state of PyTorch stays as it is.

    Returns
    -------
    mean, error : Tensor, shape (n_users, n_videos)
        Mean difference of the gradients with respect to each score, and its standard error.

    Examples
    --------
    In standard errors, on one user whose four videos are watched 8, 2, 1 and 1 times:

    >>> popular = torch.tensor([[8.0, 2.0, 1.0, 1.0]])
    >>> for correction in ("logq", "none"):
    ...     mean, error = gradient_gap(popular, correction, batch=256, repeats=20)
    ...     print(correction, "biased" if (mean.abs() / error).max() > 10 else "unbiased")
    logq unbiased
    none biased
    """
    random = torch.Generator().manual_seed(seed)
    joint = joint.double() / joint.sum()  # (n_users, n_videos)
    log_q = joint.sum(dim=0).log()  # (n_videos,)
    scores = torch.randn(joint.shape, dtype=torch.float64, generator=random).requires_grad_()
    gaps = []
    for _ in range(repeats):
        # events (user, video) as often as the table says, each (batch,)
        event = torch.multinomial(joint.flatten(), batch, replacement=True, generator=random)
        user = event // joint.shape[1]
        video = event % joint.shape[1]
        # gradients of both losses on the same events, (n_users, n_videos)
        sampled = in_batch_softmax(scores[user][:, video], video, log_q[video], correction)
        (sampled_gradient,) = torch.autograd.grad(sampled, scores)
        (exact_gradient,) = torch.autograd.grad(full_softmax(scores[user], video), scores)
        gaps.append(sampled_gradient - exact_gradient)
    gaps = torch.stack(gaps)  # (repeats, n_users, n_videos)
    return gaps.mean(dim=0), gaps.std(dim=0) / repeats**0.5
