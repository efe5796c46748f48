"""Temperature scaling: one number that all logits are divided by, so that probabilities fit.

References
----------
Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017
(arXiv:1706.04599), section 4.2.
"""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

RANGE = (0.05, 20.0)
"""Range of temperatures; if all predictions are right, the best one would be zero."""


def fit_temperature(logits: torch.Tensor, targets: torch.Tensor, kind: str = "single") -> float:
    """The temperature at which the log loss of `logits / temperature` is least.

    It does not change the accuracy, because the order of the classes stays.

    Parameters
    ----------
    logits : tensor, shape (n, outputs)
        Logits of examples that were not trained on.
    targets : tensor
        Class numbers `(n,)`, or 0 and 1 for each tag, `(n, outputs)`.
    kind : {"single", "multi"}
        Whether targets are classes or tags.

    Returns
    -------
    float
        Above 1: the predictions were too confident. Within `RANGE`.

    Raises
    ------
    ValueError
        If there is no example.

    Examples
    --------
    Three predictions of four are right, but each claims 98%:

    >>> logits = torch.tensor([[4.0, 0.0]] * 4)
    >>> temperature = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))
    >>> bool(temperature > 1), round(float((logits / temperature).softmax(1)[0, 0]), 2)
    (True, 0.75)
    """
    if not len(logits):
        raise ValueError("There is no example to calibrate on.")
    logits = logits.double()

    # L(T) = -1/n sum_i log softmax(z_i / T)[y_i], minimised over log T
    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        if kind == "multi":
            return float(F.binary_cross_entropy_with_logits(scaled, targets.double()))
        return float(F.cross_entropy(scaled, targets))

    bounds = tuple(map(math.log, RANGE))
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)
