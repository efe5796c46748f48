"""The systems of ALS, row by row: each against a dense solution in float64."""

import numpy as np
import pytest
from scipy import sparse

from vidrec_utils.behavior_based import row_solvers, solve_rows


def problem(factors, seed=0, ridge=(0.1, 1.0)):
    """Rows of 0 to 30 entries, the fixed vectors of 30 columns, and a ridge for each row."""
    rng = np.random.default_rng(seed)
    dense = rng.uniform(0.2, 4, (70, 30)) * (rng.random((70, 30)) < np.linspace(0, 1, 70)[:, None])
    fixed = rng.normal(size=(30, factors)).astype("f4")
    return sparse.csr_array(dense.astype("f4")), fixed, rng.uniform(*ridge, 70).astype("f4")


def dense_solutions(extra, fixed, unobserved, ridge):
    """Hu's equation 4 with a diagonal matrix of confidences."""
    fixed, solutions = fixed.astype("f8"), []
    for row, r in zip(extra.toarray().astype("f8"), ridge.astype("f8"), strict=True):
        confidence = np.diag(unobserved + row)
        left = fixed.T @ confidence @ fixed + r * np.eye(fixed.shape[1])
        solutions.append(np.linalg.solve(left, fixed.T @ confidence @ (row > 0)))
    return np.array(solutions)


@pytest.mark.parametrize("factors", [1, 4, 16, 40])
def test_rows_equal_dense_solutions(factors):
    """Of 1 factor no row is short, of 40 all are."""
    extra, fixed, ridge = problem(factors)
    lengths = np.diff(extra.indptr)
    assert lengths.min() == 0
    assert lengths.max() == 30
    expected = dense_solutions(extra, fixed, 0.3, ridge)
    got = solve_rows(extra, fixed, 0.3, ridge)
    np.testing.assert_allclose(got, expected, atol=3e-5)
    assert not got[lengths == 0].any()
    zeros = np.zeros((70, factors), dtype="f4")
    by_steps = solve_rows(extra, fixed, 0.3, ridge, zeros, cg_steps=4 * factors)
    np.testing.assert_allclose(by_steps, got, atol=2e-3)
    np.testing.assert_array_equal(
        solve_rows(extra, fixed, 0.3, ridge, cg_steps=2),
        solve_rows(extra, fixed, 0.3, ridge, zeros, cg_steps=2),
    )


def test_both_systems_give_one_solution(monkeypatch):
    extra, fixed, ridge = problem(16)
    monkeypatch.setattr(row_solvers, "SHORT", 0.0)
    by_factors = solve_rows(extra, fixed, 0.3, ridge)
    monkeypatch.setattr(row_solvers, "SHORT", 2.0)
    by_entries = solve_rows(extra, fixed, 0.3, ridge)
    np.testing.assert_allclose(by_entries, by_factors, atol=2e-5)


@pytest.mark.parametrize("short", [0.0, 2.0])
def test_little_regularization_and_vectors_that_depend_on_each_other(monkeypatch, short):
    """More factors than columns: `Y'Y` has no inverse, and the ridge alone makes A solvable."""
    monkeypatch.setattr(row_solvers, "SHORT", short)
    extra, fixed, ridge = problem(40, ridge=(0.001, 0.01))
    fixed *= 0.3  # as long as learned vectors are
    got = solve_rows(extra, fixed, 0.1, ridge).astype("f8") @ fixed.T
    expected = dense_solutions(extra, fixed, 0.1, ridge) @ fixed.T
    np.testing.assert_allclose(got, expected, atol=5e-3)


@pytest.mark.parametrize("values", [1, 40, 1000])
def test_blocks_change_nothing(monkeypatch, values):
    extra, fixed, ridge = problem(16)
    whole = solve_rows(extra, fixed, 0.3, ridge)
    monkeypatch.setattr(row_solvers, "PADDED_VALUES", values)
    np.testing.assert_allclose(solve_rows(extra, fixed, 0.3, ridge), whole, atol=1e-5)


def test_blocks_hold_every_row_with_entries_once():
    lengths = np.array([0, 3, 50, 12, 1, 13, 0, 12])
    blocks = list(row_solvers.row_blocks(lengths, factors=16))
    assert sorted(np.concatenate(blocks)) == [1, 2, 3, 4, 5, 7]
    for block in blocks:  # short rows have at most 12 entries
        assert len({*(lengths[block] > 12)}) == 1
    assert not list(row_solvers.row_blocks(np.zeros(3, dtype=int), factors=16))
