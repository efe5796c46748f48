"""Making stated probabilities true: one number that all logits are divided by.

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
"""Temperatures that are looked through; answers that are all right would ask for zero."""


def fit_temperature(logits: torch.Tensor, targets: torch.Tensor, kind: str = "single") -> float:
    """The temperature at which the log loss of `logits / temperature` is least.

    Accuracy does not change by it: the order of the classes stays.

    Parameters
    ----------
    logits : tensor, shape (n, outputs)
        Of examples that were not trained on.
    targets : tensor
        Class numbers `(n,)`, or 0 and 1 for each tag, `(n, outputs)`.
    kind : {"single", "multi"}
        Which of the two.

    Returns
    -------
    float
        Above 1: the answers were too sure. Within `RANGE`.

    Raises
    ------
    ValueError
        If there is no example.
    """
    if not len(logits):
        raise ValueError("There is no example to calibrate on.")
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        if kind == "multi":
            return float(F.binary_cross_entropy_with_logits(scaled, targets.double()))
        return float(F.cross_entropy(scaled, targets))

    bounds = tuple(map(math.log, RANGE))
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)
