"""Conjugate gradients for many rows: each against the textbook's loop and a dense solution."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from tests.helpers.models import groups
from vidrec_utils.behavior_based import ALS
from vidrec_utils.behavior_based import conjugate_gradients as module

UNOBSERVED, EMPTY = 0.3, 7
conjugate_gradients = module.conjugate_gradients


def problem(n_rows=40, n_columns=30, factors=5, seed=0):
    """Weights of a sparse matrix, fixed vectors, ridges and a start; one row has no entries."""
    rng = np.random.default_rng(seed)
    dense = rng.uniform(0.5, 3, (n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < 0.3)
    dense[EMPTY] = 0
    extra = sparse.csr_array(dense.astype("f4"))
    fixed = rng.normal(size=(n_columns, factors)).astype("f4")
    ridge = rng.uniform(0.5, 2, n_rows).astype("f4")
    start = rng.normal(size=(n_rows, factors)).astype("f4")
    return extra, fixed, UNOBSERVED, ridge, start


def systems(extra, fixed, unobserved, ridge):
    """A and b of each row, formed in float64 as the paper writes them."""
    fixed = fixed.astype("f8")
    for row, r in zip(extra.toarray().astype("f8"), ridge.astype("f8"), strict=True):
        confidence = np.diag(unobserved + row)
        left = fixed.T @ confidence @ fixed + r * np.eye(fixed.shape[1])
        yield left, fixed.T @ confidence @ (row > 0)


def textbook(left, right, x, steps):
    """Hestenes' and Stiefel's loop for one system."""
    residual = right - left @ x
    direction = residual
    for _ in range(steps):
        step = residual @ residual / (direction @ left @ direction)
        x = x + step * direction
        after = residual - step * left @ direction
        direction = after + (after @ after) / (residual @ residual) * direction
        residual = after
    return x


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_steps_are_those_of_the_textbook(steps):
    extra, fixed, unobserved, ridge, start = problem()
    got = conjugate_gradients(extra, fixed, unobserved, ridge, start, steps)
    for row, (left, right) in enumerate(systems(extra, fixed, unobserved, ridge)):
        expected = textbook(left, right, start[row].astype("f8"), steps) if row != EMPTY else 0
        np.testing.assert_allclose(got[row], expected, rtol=1e-3, atol=1e-4)


def test_enough_steps_solve_every_row():
    extra, fixed, unobserved, ridge, start = problem()
    got = conjugate_gradients(extra, fixed, unobserved, ridge, start, 30)
    for row, (left, right) in enumerate(systems(extra, fixed, unobserved, ridge)):
        np.testing.assert_allclose(got[row], np.linalg.solve(left, right), atol=2e-5)
    assert not got[EMPTY].any()


def test_a_solution_is_not_left_again():
    """No division by 0 spoils a row whose residual is nothing."""
    extra, fixed, unobserved, ridge, start = problem()
    solution = conjugate_gradients(extra, fixed, unobserved, ridge, start, 30)
    further = conjugate_gradients(extra, fixed, unobserved, ridge, solution, 30)
    np.testing.assert_allclose(further, solution, atol=1e-5)


@pytest.mark.parametrize(("entries", "values"), [(1, 1), (50, 10**6), (10**6, 12)])
def test_blocks_change_nothing(monkeypatch, entries, values):
    arguments = problem()
    before = [np.array(a.data if sparse.issparse(a) else a) for a in arguments]
    whole = conjugate_gradients(*arguments, 3)
    monkeypatch.setattr(module, "ENTRIES_AT_ONCE", entries)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", values)
    np.testing.assert_allclose(conjugate_gradients(*arguments, 3), whole, rtol=1e-5, atol=1e-6)
    for argument, values_before in zip(arguments, before, strict=True):
        kept = argument.data if sparse.issparse(argument) else argument
        np.testing.assert_array_equal(kept, values_before)


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (1, 1)])
def test_nothing_to_solve(shape):
    empty, ones = sparse.csr_array(shape, dtype="f4"), np.ones((max(shape), 2), dtype="f4")
    n, m = shape
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = conjugate_gradients(empty, ones[:m], 0.5, ones[:n, 0], ones[:n], 2)
    assert got.shape == (n, 2)
    assert not got.any()


def test_steps_and_cholesky_reach_the_same_objective():
    options = {"factors": 4, "iterations": 20, "regularization": 0.02, "unobserved": 0.2}
    exact, by_steps = (ALS(cg_steps=c, **options).fit(groups()) for c in (None, 3))
    assert by_steps.objective() == pytest.approx(exact.objective(), rel=1e-3)
