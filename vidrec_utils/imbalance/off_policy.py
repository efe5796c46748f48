"""What a policy is worth, estimated from the log of another one.

In a row of the log a policy chose one of several actions `a`, such as the first video of a session,
with a known probability `mu(a|x)`, and a reward `r` was seen. Another policy would have chosen the
same with the probability `pi(a|x)`. All estimates are of the mean reward under `pi`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """An estimated mean reward.

    Attributes
    ----------
    value : float
        The estimate.
    standard_error : float
        Standard error of the value, from the spread between the rows, or between groups of rows. It
        knows nothing of the bias that clipping, a wrong propensity or a wrong model brings.
    effective_size : float
        `(sum w)^2 / sum w^2` of the rows' weights: so many rows of equal weight would be as good.
    clipped : float
        Share of the rows whose weight was cut.
    """

    value: float
    standard_error: float
    effective_size: float
    clipped: float = 0.0

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Approximate confidence interval of the normal distribution, by default for 95%.

        Examples
        --------
        >>> Estimate(1.0, 0.5, 100.0).interval(2.0)
        (0.0, 2.0)
        """
        return self.value - z * self.standard_error, self.value + z * self.standard_error


def naive(rewards: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """The mean reward of the log, as if the other policy had chosen the same.

    Parameters
    ----------
    rewards : ndarray, shape (n,)
        What was seen.
    groups : ndarray, shape (n,), optional
        Rows of one group, such as a user's, are not independent of each other.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If there is no row, or a reward is NaN.

    Examples
    --------
    >>> naive(np.array([0.0, 1.0, 1.0, 0.0])).value
    0.5
    """
    rewards = _numbers(rewards=rewards)["rewards"]
    return _mean(rewards, np.ones(len(rewards)), 0.0, groups)


def inverse_propensity(
    rewards: np.ndarray,
    target: np.ndarray,
    logged: np.ndarray,
    limit: float | None = None,
    groups: np.ndarray | None = None,
) -> Estimate:
    """Inverse-propensity weighting: a choice that the log makes too rarely counts more.

    `V = 1/n sum_i w_i r_i` with `w_i = pi(a_i|x_i) / mu(a_i|x_i)`, and with `min(w_i, limit)` where
    a limit is given: less variance for some bias.

    Parameters
    ----------
    rewards : ndarray, shape (n,)
        What was seen.
    target : ndarray, shape (n,)
        Probabilities of the logged choices under the policy that is estimated, 0 to 1.
    logged : ndarray, shape (n,)
        Probabilities with which the log's policy made them, above 0.
    limit : float, optional
        Largest weight.
    groups : ndarray, shape (n,), optional
        Rows of one group, such as a user's, are not independent of each other.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If lengths differ, there is no row, something is NaN, or a probability is out of its range.

    References
    ----------
    Horvitz, Thompson: A Generalization of Sampling Without Replacement From a Finite Universe.
    JASA 1952. Clipping: Ionides: Truncated Importance Sampling. JCGS 2008.

    Examples
    --------
    The log showed video A three times of four, with rewards 1, and B once, with reward 0. A policy
    that always shows B is worth nothing; one that tosses a coin, one half.

    >>> rewards, logged = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.75, 0.75, 0.75, 0.25])
    >>> inverse_propensity(rewards, np.array([0.0, 0.0, 0.0, 1.0]), logged).value
    0.0
    >>> inverse_propensity(rewards, np.full(4, 0.5), logged).value
    0.5
    """
    rows = _numbers(rewards=rewards, target=target, logged=logged)
    weights, clipped = _weights(rows, limit)
    return _mean(weights * rows["rewards"], weights, clipped, groups)


def self_normalized(
    rewards: np.ndarray,
    target: np.ndarray,
    logged: np.ndarray,
    limit: float | None = None,
    groups: np.ndarray | None = None,
) -> Estimate:
    """Self-normalized inverse-propensity weighting: the weighted mean of the rewards.

    `V = sum_i w_i r_i / sum_i w_i`. Weights that happen to be large raise numerator and denominator
    alike, and the estimate never leaves the range of the rewards.

    Parameters
    ----------
    rewards, target, logged, limit, groups
        See `inverse_propensity`.

    Returns
    -------
    Estimate
        Its standard error is that of a ratio, to the first order.

    Raises
    ------
    ValueError
        See `inverse_propensity`; also if all weights are 0, as the log then never made a choice
        that the policy would make.

    References
    ----------
    Swaminathan, Joachims: The Self-Normalized Estimator for Counterfactual Learning. NIPS 2015,
    equation 6.

    Examples
    --------
    >>> rewards, logged = np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.25, 0.25])
    >>> self_normalized(rewards, np.full(3, 0.5), logged).value  # weights 1, 2, 2
    0.2
    """
    rows = _numbers(rewards=rewards, target=target, logged=logged)
    weights, clipped = _weights(rows, limit)
    total = weights.sum()
    if total == 0:
        raise ValueError(
            f"All {len(weights)} weights are 0: the log never made a choice that the policy would "
            "make, so it says nothing about it. Take a policy closer to the log's, or another log."
        )
    value = float(weights @ rows["rewards"] / total)
    # to the first order, V - v is the sum of w_i (r_i - v) / sum w
    residuals = _summed(weights * (rows["rewards"] - value), groups)
    error = np.sqrt((residuals**2).sum()) / total
    return Estimate(value, float(error), _effective(weights), clipped)


def doubly_robust(
    rewards: np.ndarray,
    target: np.ndarray,
    logged: np.ndarray,
    predicted: np.ndarray,
    expected: np.ndarray,
    limit: float | None = None,
    groups: np.ndarray | None = None,
) -> Estimate:
    """A model's guess of the policy's worth, corrected by weighting where the model was wrong.

    `V = 1/n sum_i [ q(x_i, pi) + w_i (r_i - q(x_i, a_i)) ]`. It is unbiased if the propensities are
    right, or if the model is.

    Parameters
    ----------
    rewards, target, logged, limit, groups
        See `inverse_propensity`.
    predicted : ndarray, shape (n,)
        `q(x_i, a_i)`: the reward that a model expects of the logged choice. The model must not have
        learned from the same rows.
    expected : ndarray, shape (n,)
        `q(x_i, pi) = sum_a pi(a|x_i) q(x_i, a)`: what it expects of the policy's choice.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        See `inverse_propensity`.

    References
    ----------
    Dudík, Langford, Li: Doubly Robust Policy Evaluation and Learning. ICML 2011, equation 2.

    Examples
    --------
    A model that is always right leaves nothing to correct.

    >>> rewards, expected = np.array([1.0, 0.0]), np.array([0.7, 0.3])
    >>> target, logged = np.array([0.1, 0.9]), np.array([0.5, 0.5])
    >>> doubly_robust(rewards, target, logged, rewards, expected).value
    0.5
    """
    rows = _numbers(
        rewards=rewards, target=target, logged=logged, predicted=predicted, expected=expected
    )
    weights, clipped = _weights(rows, limit)
    corrections = weights * (rows["rewards"] - rows["predicted"])
    return _mean(rows["expected"] + corrections, weights, clipped, groups)


def _numbers(**columns: np.ndarray) -> dict[str, np.ndarray]:
    """Columns as floats of one length, without NaN."""
    numbers = {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
    shapes = {name: column.shape for name, column in numbers.items()}
    first = numbers["rewards"]
    if first.ndim != 1 or len(set(shapes.values())) > 1:
        raise ValueError(f"All columns need one number for each row of the log; shapes: {shapes}.")
    if not len(first):
        raise ValueError("The log has no row, so there is nothing to estimate from.")
    for name, column in numbers.items():
        wrong = np.flatnonzero(~np.isfinite(column))
        if len(wrong):
            raise ValueError(
                f"{name} is {column[wrong[0]]} in row {wrong[0]}: leave such rows out."
            )
    return numbers


def _weights(rows: dict[str, np.ndarray], limit: float | None) -> tuple[np.ndarray, float]:
    """`w_i`, cut at a limit, and the share that was cut."""
    target, logged = rows["target"], rows["logged"]
    for name, column, least in (("target", target, 0.0), ("logged", logged, np.nextafter(0, 1))):
        wrong = np.flatnonzero((column < least) | (column > 1))
        if len(wrong):
            raise ValueError(
                f"{name} is {column[wrong[0]]} in row {wrong[0]}, which is no probability of a "
                + ("choice." if name == "target" else "choice that was made: it lies above 0.")
            )
    weights = target / logged
    if limit is None:
        return weights, 0.0
    if not limit > 0:
        raise ValueError(f"limit is {limit}; the largest weight lies above 0.")
    return np.minimum(weights, limit), float((weights > limit).mean())


def _mean(
    terms: np.ndarray, weights: np.ndarray, clipped: float, groups: np.ndarray | None
) -> Estimate:
    """Mean of the rows' terms, with the standard error between rows or groups."""
    value = float(terms.mean())
    deviations = _summed(terms - value, groups)
    error = np.sqrt((deviations**2).sum()) / len(terms)
    return Estimate(value, float(error), _effective(weights), clipped)


def _summed(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Sums of values by group; the values themselves without groups."""
    if groups is None:
        return values
    groups = np.asarray(groups)
    if groups.shape != values.shape:
        raise ValueError(
            f"groups has shape {groups.shape}; give one name for each of the {len(values)} rows."
        )
    _, number = np.unique(groups, return_inverse=True)
    return np.bincount(number, weights=values)


def _effective(weights: np.ndarray) -> float:
    """Kish's effective number of rows; 0 if nothing has a weight."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0
