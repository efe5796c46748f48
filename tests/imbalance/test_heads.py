"""Heads equal scikit-learn's, weights equal repetition, and thresholds move as they should."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from vidrec_utils import imbalance
from vidrec_utils.imbalance.heads import LinearHead


def _three_classes(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    y = rng.choice(3, n, p=[0.7, 0.2, 0.1])
    return rng.normal(size=(n, 5)) + np.eye(3, 5)[y], y


def test_a_head_is_the_logistic_regression_of_scikit_learn() -> None:
    x, y = _three_classes()
    head = imbalance.fit_head(x, y, 3, l2=0.05)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    reference = LogisticRegression(C=1 / (0.05 * len(x)), max_iter=1000, tol=1e-8).fit(z, y)
    ours = head.logits(x).softmax(dim=1).numpy()
    np.testing.assert_allclose(ours, reference.predict_proba(z), atol=1e-4)


def test_weighting_a_row_is_repeating_it() -> None:
    x, y = _three_classes(40)
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    loss = partial(imbalance.focal_loss, gamma=0.0, weight=weights)
    one = torch.ones(5, dtype=torch.float64)
    frame = (0 * one, one)
    weighted = imbalance.fit_head(x, y, 3, loss, l2=0.1, frame=frame)
    rows = np.repeat(np.arange(len(y)), y + 1)  # class k stands there k + 1 times
    share = len(rows) / len(y)  # the mean loss is over more rows
    repeated = imbalance.fit_head(x[rows], y[rows], 3, l2=0.1 / share, frame=frame)
    np.testing.assert_allclose(weighted.weight, repeated.weight, atol=1e-3)


def test_a_class_without_a_row_is_named() -> None:
    x, y = _three_classes()
    with pytest.raises(ValueError, match="Class number 3 has no row"):
        imbalance.fit_head(x, y, 4)
    with pytest.raises(ValueError, match="90 vectors, but 89"):
        imbalance.fit_head(x, y[1:], 3)
    with pytest.raises(ValueError, match="l2"):
        imbalance.fit_head(x, y, 3, l2=0)


def test_normalized_heads_have_weights_of_one_length() -> None:
    x, y = _three_classes()
    head = imbalance.fit_head(x, y, 3).normalized()
    assert isinstance(head, LinearHead)
    np.testing.assert_allclose(head.weight.norm(dim=1), 1)
    assert (head.bias == 0).all()
    half = imbalance.fit_head(x, y, 3).normalized(tau=0)
    np.testing.assert_allclose(half.weight, imbalance.fit_head(x, y, 3).weight)


def test_a_hidden_layer_learns_what_a_line_cannot() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)  # exclusive or
    line = imbalance.fit_head(x, y, 2).logits(x).argmax(dim=1).numpy()
    layer = imbalance.fit_hidden(x, y, 2, epochs=400)
    assert (line == y).mean() < 0.7
    assert (layer.logits(x).argmax(dim=1).numpy() == y).mean() > 0.9
    again = imbalance.fit_hidden(x, y, 2, epochs=400)
    np.testing.assert_allclose(layer.features(x), again.features(x))


def test_equal_thresholds_choose_the_likeliest_and_priors_adjust_logits() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25]])
    assert imbalance.decide(p, np.ones(3)).tolist() == [0, 0]
    priors = np.array([0.8, 0.15, 0.05])
    adjusted = imbalance.adjust_logits(torch.log(torch.tensor(p)), torch.tensor(priors))
    assert imbalance.decide(p, priors).tolist() == adjusted.argmax(dim=1).tolist()


def test_moved_thresholds_are_never_worse_where_they_were_chosen() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(1)
    y = rng.choice(3, 400, p=[0.85, 0.1, 0.05])
    logits = rng.normal(size=(400, 3)) + 1.2 * np.eye(3)[y] + np.log([0.85, 0.1, 0.05])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    thresholds = imbalance.move_thresholds(p, y)
    assert thresholds.sum() == pytest.approx(1)
    before = f1_score(y, p.argmax(axis=1), average="macro")
    after = f1_score(y, imbalance.decide(p, thresholds), average="macro")
    assert after > before + 0.05
    assert thresholds[0] == thresholds.max()  # the frequent class has to be surest


def test_impossible_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 thresholds for 3 classes"):
        imbalance.decide(np.ones((1, 3)) / 3, np.ones(2))
    with pytest.raises(ValueError, match="threshold of class 1 is 0"):
        imbalance.decide(np.ones((1, 2)) / 2, np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="at least one"):
        imbalance.move_thresholds(np.ones((0, 2)), np.ones(0))
