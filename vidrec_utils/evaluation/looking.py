"""What a notebook shows of an evaluation, in one call each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from vidrec_utils.evaluation.classification import classification_scores, probability_scores
from vidrec_utils.evaluation.results import Result


def lines(table: pd.DataFrame, digits: int = 3) -> str:
    """Rows of a table with `mean, low, high` as text: `name: mean [low, high]`, one a line."""
    return "\n".join(
        f"  {name}: {row['mean']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
        for name, row in table.iterrows()
    )


def rare_or_other(category: pd.Series, least: int = 20) -> pd.Series:
    """Labels of a question with a rare answer: the rarest category of some size, or `"other"`.

    Raises
    ------
    ValueError
        If no category has `least` videos.
    """
    counts = category.value_counts()
    if counts.max() < least:
        raise ValueError(f"No category has {least} videos; the largest has {counts.max()}.")
    rare = counts[counts >= least].index[-1]
    return category.eq(rare).fillna(False).map({True: rare, False: "other"})


def compare_classifiers(
    models: Mapping[str, ClassifierMixin],
    vectors: pd.DataFrame,
    labels: pd.Series,
    folds: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Cross-validate classifiers on the same folds.

    Parameters
    ----------
    models : mapping of str to classifier
        With `predict_proba`.
    vectors : DataFrame
        By video; rows with NaN are left out.
    labels : Series
        By video; only videos with both take part.
    folds, seed : int
        Stratified parts, and how they are drawn.

    Returns
    -------
    DataFrame
        One row a model: `accuracy`; `mean, low, high` of the balanced accuracy; `ece`.
    """
    vectors = vectors.dropna()
    labels = labels.dropna()
    ids = vectors.index[vectors.index.isin(labels.index)]
    x, y = vectors.loc[ids].to_numpy(), labels.loc[ids].to_numpy()
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
    rows = {}
    for name, model in models.items():
        odds = cross_val_predict(model, x, y, cv=cut, method="predict_proba")
        odds = pd.DataFrame(odds, columns=sorted(set(y)))
        scores = classification_scores(y, odds.idxmax(axis=1), seed=seed)
        rows[name] = {
            "accuracy": scores.loc["accuracy", "mean"],
            **scores.loc["balanced_accuracy"],
            "ece": probability_scores(y, odds)["ece"],
        }
    return pd.DataFrame(rows).T


def flattery(
    results: Sequence[Result], metric: str = "ndcg", divisions: int = 200, seed: int = 0
) -> tuple[float, float]:
    """What choosing and reporting on the same users adds.

    The users are divided at random into two halves, the result that is best on the one is chosen
    there, and looked at on the other.

    Parameters
    ----------
    results : sequence of Result
        Several settings, on the same users.
    metric : str
    divisions, seed : int
        How often the users are divided, and how.

    Returns
    -------
    tuple of float
        Mean of the metric of the chosen one: on the users who chose it, and on the others.
    """
    for other in results[1:]:
        results[0].protocol.require_equal(other.protocol, results[0].name, other.name)
    values = np.column_stack([result.per_user[metric] for result in results])
    rng, n = np.random.default_rng(seed), len(values)
    told = []
    for _ in range(divisions):
        order = rng.permutation(n)
        here, there = (values[part].mean(axis=0) for part in (order[: n // 2], order[n // 2 :]))
        told.append((here.max(), there[here.argmax()]))
    chosen, fresh = np.mean(told, axis=0)
    return float(chosen), float(fresh)


def by_slice(
    result: Result, metric: str = "ndcg", names: Iterable[str] | None = None
) -> pd.DataFrame:
    """One row a slice that has users: `mean, low, high, n_users` of one metric."""
    chosen = result.slices if names is None else names
    rows = {name: result.table(name).loc[metric] for name in chosen if len(result.rows(name))}
    return pd.DataFrame(rows).T.rename_axis("slice")
