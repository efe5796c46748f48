"""The chunked and the sampled softmax, against PyTorch's own and the whole catalogue."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.helpers.events import library
from tests.helpers.models import groups
from vidrec_utils.behavior_based import SASRec, sasrec
from vidrec_utils.behavior_based.softmax import chunked_softmax, sampled_softmax


def drawn(n, n_videos, dim=5, seed=0):
    random = torch.Generator().manual_seed(seed)
    states = torch.randn(n, dim, generator=random, dtype=torch.float64).requires_grad_()
    table = torch.randn(n_videos, dim, generator=random, dtype=torch.float64).requires_grad_()
    targets = torch.randint(n_videos, (n,), generator=random)
    return states, table, targets


@pytest.mark.parametrize("chunk_values", [1, 30, 65, 10**6])
def test_chunks_give_the_loss_and_gradient_of_the_whole(chunk_values):
    states, table, targets = drawn(23, 13)
    expected = F.cross_entropy(states @ table.T, targets)
    expected_slopes = torch.autograd.grad(3 * expected, (states, table))
    loss = chunked_softmax(states, table, targets, chunk_values)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * loss, (states, table)), expected_slopes)


def test_chunks_bound_the_memory(monkeypatch):
    """No product of states and vectors is larger than a chunk."""
    sizes = []
    product = torch.Tensor.__matmul__

    def measured(left, right):
        result = product(left, right)
        sizes.append(result.numel())
        return result

    states, table, targets = drawn(1000, 50)
    monkeypatch.setattr(torch.Tensor, "__matmul__", measured)
    chunked_softmax(states, table, targets, chunk_values=500).backward()
    assert max(sizes) <= 500
    assert len(sizes) == 2 * 100


def gap(correct: bool, m: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean difference of the sampled gradient and the full one, and its standard error."""
    states, table, targets = drawn(6, 8, seed=1)
    full = torch.autograd.grad(F.cross_entropy(states @ table.T, targets), table)[0]
    q = torch.arange(1.0, 9, dtype=torch.float64)
    log_q = (q / q.sum()).log()
    correction = log_q if correct else torch.full_like(log_q, -np.log(8))
    random = torch.Generator().manual_seed(2)
    gaps = []
    for _ in range(repeats):
        negatives = torch.multinomial(log_q.exp(), m, replacement=True, generator=random)
        loss = sampled_softmax(states, table, targets, negatives, correction)
        gaps.append(torch.autograd.grad(loss, table)[0] - full)
    gaps = torch.stack(gaps)
    return gaps.mean(dim=0).numpy(), (gaps.std(dim=0) / repeats**0.5).numpy()


def test_the_corrected_sample_has_the_gradient_of_the_whole():
    mean, error = gap(correct=True, m=2000, repeats=100)
    assert (np.abs(mean) < 4.5 * error + 1e-3).all()
    assert np.abs(mean).max() < 2e-3
    wrong, _ = gap(correct=False, m=2000, repeats=10)
    assert np.abs(wrong).max() > 2e-2


def test_copies_of_the_target_are_no_negatives():
    states, table = torch.zeros(1, 2), torch.ones(3, 2)
    log_q = torch.full((3,), 1 / 3).log()
    negatives = torch.tensor([0, 0, 1])
    loss = sampled_softmax(states, table, torch.tensor([0]), negatives, log_q)
    torch.testing.assert_close(loss, torch.tensor(2.0).log())  # 1 + one of three that stands for 1


# --- SASRec ------------------------------------------------------------------------------------


def test_trimming_changes_neither_loss_nor_gradient():
    """Histories of many lengths: the loss is that of the padded batch as a whole."""
    torch.manual_seed(0)
    model = SASRec(length=40, dim=8, dropout=0.0, progress=False)
    model.video_ids = range(30)
    model.model = sasrec.SequenceModel(30, 40, 8, 2, 2, 0.0).double()
    rows = torch.full((12, 41), sasrec.PAD)
    for row, length in enumerate([2, 3, 8, 9, 10, 16, 17, 20, 33, 40, 41, 2]):
        rows[row, :length] = torch.randint(30, (length,))
    log_q = torch.full((30,), 1 / 30).log()
    loss, n = model._loss(rows, log_q)
    watched, target = rows[:, :-1], rows[:, 1:]
    states = model.model(watched)[target != sasrec.PAD]
    expected = F.cross_entropy(model.model.logits(states), target[target != sasrec.PAD])
    assert n == (target != sasrec.PAD).sum()
    torch.testing.assert_close(loss, expected)
    parameters = list(model.model.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters)
    )


def test_at_most_half_of_what_is_computed_is_padding(monkeypatch):
    """Half of the users have 9 events, the others 200."""
    rng = np.random.default_rng(0)
    rows = [(f"u{u:02d}", v) for u in range(16) for v in rng.integers(0, 30, [9, 200][u % 2])]
    computed, useful = [], []
    forward = sasrec.SequenceModel.forward

    def counted(self, watched):
        computed.append(watched.numel())
        useful.append(int((watched != sasrec.PAD).sum()))
        return forward(self, watched)

    monkeypatch.setattr(sasrec.SequenceModel, "forward", counted)
    model = SASRec(length=200, dim=4, epochs=1, batch_size=16, progress=False)
    model.fit(library(rows, range(30)))
    assert sum(useful) >= 0.9 * sum(computed)
    computed.clear()
    useful.clear()
    model.score(model.user_ids)
    assert sum(useful) >= 0.5 * sum(computed)


def test_a_sample_learns_the_same_order():
    circles = [[(start + step) % 6 for step in range(5)] for start in range(6)] * 8
    rows = [(f"u{u:02d}", v) for u, circle in enumerate(circles) for v in circle]
    model = SASRec(
        length=5, dim=16, epochs=80, batch_size=16, dropout=0.0, learning_rate=3e-3,
        loss="sampled", n_negatives=4, progress=False,
    )  # fmt: skip
    model.fit(library(rows, range(6)))
    for video in range(6):
        best = model.recommend_next([video], k=1)["video_id"].item()
        assert int(best) == (video + 1) % 6


def test_the_loss_is_checked():
    with pytest.raises(ValueError, match="loss is 'hinge'"):
        SASRec(loss="hinge")
    with pytest.raises(ValueError, match="n_negatives"):
        SASRec(n_negatives=0)
    assert len(SASRec(loss="sampled", length=6, dim=8, epochs=2).fit(groups()).video_ids) == 20
