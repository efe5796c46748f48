"""Metrics of RecTools, in an environment of its own: reads lists, writes a value for each user.

`metric_agreement.py` runs it with the Python that has RecTools. The task is an `.npz` with `lists`
(users, k), `relevant` (pairs of user and video, numbered from 0) and `k`; the answer holds the
metrics by name, one value for each user, in order.

    PYTHON_WITH_RECTOOLS benchmarks/rectools_metrics.py TASK.npz ANSWER.npz
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.metrics import MAP, MRR, NDCG, F1Beta, HitRate, Precision, Recall


def main() -> None:
    """Compute what RecTools has of our metrics, and name each as `name, divisor`."""
    task = np.load(sys.argv[1])
    lists, k = task["lists"], int(task["k"])
    users, ranks = np.nonzero(lists >= 0)
    offered = pd.DataFrame(
        {Columns.User: users, Columns.Item: lists[users, ranks], Columns.Rank: ranks + 1}
    )
    watched = pd.DataFrame(task["relevant"], columns=[Columns.User, Columns.Item])
    metrics = {
        "ndcg, min(n, k)": NDCG(k, divide_by_achievable=True),
        "ndcg, k": NDCG(k),
        "map, n": MAP(k),
        "map, k": MAP(k, divide_by_k=True),
        "recall, n": Recall(k),
        "precision": Precision(k),
        "f1, n": F1Beta(k),
        "hit_rate": HitRate(k),
        "mrr": MRR(k),
    }
    values = {
        name: metric.calc_per_user(offered, watched).sort_index().to_numpy()
        for name, metric in metrics.items()
    }
    np.savez(sys.argv[2], **values)


if __name__ == "__main__":
    main()
