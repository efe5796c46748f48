"""Losses equal their papers' formulas, computed by hand, and the Bayes rule on known Gaussians."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.nn import functional

from vidrec_utils import imbalance

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [-3.0, 1.0, 0.0]])
TARGETS = torch.tensor([0, 2, 1])


def test_focal_loss_by_hand() -> None:
    # p = (.6, .4): -(1 - .6)^2 log .6 and, for the other class, -(1 - .4)^2 log .4
    logits = torch.log(torch.tensor([[0.6, 0.4], [0.6, 0.4]]))
    by_hand = (-(0.4**2) * np.log(0.6) - 0.6**2 * np.log(0.4)) / 2
    assert float(imbalance.focal_loss(logits, torch.tensor([0, 1]))) == pytest.approx(by_hand)
    weighted = (-0.25 * 0.4**2 * np.log(0.6) - 0.75 * 0.6**2 * np.log(0.4)) / 2
    weight = torch.tensor([0.25, 0.75])
    loss = imbalance.focal_loss(logits, torch.tensor([0, 1]), weight=weight)
    assert float(loss) == pytest.approx(weighted)


def test_focal_loss_without_focus_is_the_cross_entropy() -> None:
    loss = imbalance.focal_loss(LOGITS, TARGETS, gamma=0)
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, TARGETS))


def test_focal_loss_is_finite_and_has_a_gradient_where_the_model_is_sure() -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = imbalance.focal_loss(logits, torch.tensor([0, 0]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(200.0)  # (0 + 400) / 2
    assert torch.isfinite(logits.grad).all()


def test_effective_numbers_are_a_geometric_series() -> None:
    for beta in (0.0, 0.5, 0.999):
        by_hand = [sum(beta**k for k in range(n)) for n in (1, 7, 400)]
        np.testing.assert_allclose(imbalance.effective_numbers([1, 7, 400], beta), by_hand)
    # towards 1 each example counts
    near = imbalance.effective_numbers([3, 1000], 1 - 1e-12)
    np.testing.assert_allclose(near, [3, 1000], rtol=1e-6)


def test_class_balanced_weights_are_inverse_and_one_on_average() -> None:
    weights = imbalance.class_balanced_weights([1000, 10, 1], beta=0.9)
    assert weights.mean() == pytest.approx(1)
    numbers = imbalance.effective_numbers([1000, 10, 1], beta=0.9)
    np.testing.assert_allclose(weights * numbers, (weights * numbers)[0])
    np.testing.assert_allclose(imbalance.class_balanced_weights([5, 500], beta=0), [1, 1])


def test_logit_adjusted_loss_is_the_papers() -> None:
    # Menon et al., equation 10: log(1 + sum over y' != y of (pi_y' / pi_y)^tau exp(f_y' - f_y))
    priors, tau = torch.tensor([0.7, 0.2, 0.1]), 1.5
    terms = []
    for row, y in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True):
        others = [k for k in range(3) if k != y]
        ratio = [(priors[k] / priors[y]) ** tau * np.exp(row[k] - row[y]) for k in others]
        terms.append(np.log1p(sum(float(one) for one in ratio)))
    loss = imbalance.logit_adjusted_loss(LOGITS, TARGETS, priors, tau)
    assert float(loss) == pytest.approx(np.mean(terms), rel=1e-5)
    counted = imbalance.logit_adjusted_loss(LOGITS, TARGETS, 50 * priors, tau)
    torch.testing.assert_close(counted, loss)  # counts do as well as shares


def test_adjusted_logits_are_the_bayes_rule_of_the_balanced_error() -> None:
    # Two Gaussians of unit width at -1 and +1, 19 to 1: the likelihoods alone decide, so the border
    # of the balanced error lies in the middle, that of the plain error at log(19) / 2.
    shares = np.array([0.95, 0.05])
    x = np.linspace(-3, 3, 601)
    joint = shares * np.stack([norm.pdf(x, -1), norm.pdf(x, 1)], axis=1)
    logits = torch.log(torch.tensor(joint))
    adjusted = imbalance.adjust_logits(logits, torch.tensor(shares))
    rare = adjusted.argmax(dim=1).numpy() == 1
    assert (rare == (x > 0))[np.abs(x) > 0.01].all()
    plain = logits.argmax(dim=1).numpy() == 1
    border = np.log(19) / 2
    assert (plain == (x > border))[np.abs(x - border) > 0.01].all()


def test_training_with_adjustment_finds_the_same_border() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(20_000) < 0.05).astype(np.int64)
    x = torch.tensor(rng.normal(2.0 * labels - 1), dtype=torch.float64)
    y, priors = torch.tensor(labels), torch.tensor([0.95, 0.05], dtype=torch.float64)
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)  # slope and offset
    optimizer = torch.optim.LBFGS([line], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = torch.stack([torch.zeros_like(x), line[0] * x + line[1]], dim=1)
        loss = imbalance.logit_adjusted_loss(logits, y, priors)
        loss.backward()
        return loss

    optimizer.step(closure)
    slope, offset = line.detach().tolist()
    # the log of the likelihoods' ratio is 2 x
    assert slope == pytest.approx(2, abs=0.2)
    assert offset == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("counts", [[3, 0], [3, -1], [2.0, np.nan]])
def test_a_class_without_examples_is_named(counts: list) -> None:
    with pytest.raises(ValueError, match="Class 1 has"):
        imbalance.class_balanced_weights(counts)
    with pytest.raises(ValueError, match="Class 1 has"):
        imbalance.adjust_logits(torch.zeros(1, 2), torch.tensor(counts))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="beta is 1"):
        imbalance.effective_numbers([1, 2], beta=1)
    with pytest.raises(ValueError, match="gamma"):
        imbalance.focal_loss(LOGITS, TARGETS, gamma=-1)
    with pytest.raises(ValueError, match="the batch is empty"):
        imbalance.focal_loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="one number a class"):
        imbalance.effective_numbers([])


def test_inputs_are_not_changed() -> None:
    logits, priors = LOGITS.clone(), torch.tensor([5.0, 3.0, 2.0])
    imbalance.focal_loss(logits, TARGETS)
    imbalance.logit_adjusted_loss(logits, TARGETS, priors)
    imbalance.adjust_logits(logits, priors)
    torch.testing.assert_close(logits, LOGITS)
    assert priors.tolist() == [5.0, 3.0, 2.0]
