"""From labels to recommendations: what fine-tuned vectors are worth to a recommender.

References
----------
Zou, Donner: Construction of confidence intervals for the sum of parameters (MOVER). Statistics in
Medicine 27 (2008), equation 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from vidrec_utils.evaluation import compare, evaluate
from vidrec_utils.transfer_learning.bodies import Body, Inputs, prepare_once, vectors

if TYPE_CHECKING:
    from vidrec_utils.datasets import Split
    from vidrec_utils.evaluation import Comparison, Result
    from vidrec_utils.recommender import Recommender


def mean_watch_ratio(interactions: pd.DataFrame, least: int = 5) -> pd.Series:
    """Mean watch ratio of each video with at least so many exposures, as labels for a regression.

    Give the training part of a split alone: later exposures would tell what is to be foretold.
    """
    found = interactions.groupby("video_id")["watch_ratio"].agg(["mean", "count"])
    return found.loc[found["count"] >= least, "mean"].astype(float)


def vectors_of(encoder: Any, items: Mapping[str, Any]) -> pd.DataFrame:
    """Vectors of an encoder, a row an id; items that `prepare_once` made are not prepared again."""
    body = Body(encoder)
    made = vectors(body.to(body.device), Inputs(body.prepare, list(items.values())), body.device)
    return pd.DataFrame(made.numpy(), index=list(items))


def recommendation_gains(
    encoders: Mapping[str, Any],
    clips: Mapping[str, np.ndarray],
    recommender: Callable[[pd.DataFrame], Recommender],
    split: Split,
    k: int = 10,
    seed: int = 0,
) -> tuple[dict[str, Result], list[Comparison]]:
    """Recommend with each encoder's vectors, and compare with those of the first, user by user.

    Encoders that prepare clips alike (a fine-tuned one and its original) share what was prepared.

    Parameters
    ----------
    encoders : mapping
        By name; the first is what the others are compared with.
    clips : mapping
        By video id.
    recommender : callable
        Of vectors, a recommender.
    split : Split
        Trained on its training part, compared by NDCG on its test part.
    k, seed : int
        Length of the lists; of the bootstrap.

    Returns
    -------
    results : dict of str to Result
        By name.
    comparisons : list of Comparison
        One for each encoder but the first.
    """
    ready = prepare_once(next(iter(encoders.values())), clips, progress=False)
    found = {}
    for name, encoder in encoders.items():
        model = recommender(vectors_of(encoder, ready))
        model.name = name
        found[name] = evaluate(model.fit(split), split, k, "test", seed)
    first, *others = found.values()
    return found, [compare(other, first, seed=seed) for other in others]


def explained(
    facts: pd.DataFrame,
    numbers: pd.Series,
    groups: pd.Series | None = None,
    folds: int = 10,
    seed: int = 0,
) -> float:
    """Share of the numbers' variance that a linear model of categorical facts foretells.

    Parameters
    ----------
    facts : DataFrame
        Categories, a row an id.
    numbers : Series
        By id.
    groups : Series, optional
        By id: those of one group, such as a subject, are foretold together, from other groups.
    folds, seed : int
        Parts, of which each is foretold from the others; of their choice.

    Returns
    -------
    float
        R^2; below 0: worse than the mean number.
    """
    columns = pd.get_dummies(facts.reindex(numbers.index).astype("str"))
    together = None if groups is None else groups.reindex(numbers.index).to_numpy()
    parts = (KFold if groups is None else GroupKFold)(folds, shuffle=True, random_state=seed)
    said = cross_val_predict(RidgeCV(), columns, numbers, groups=together, cv=parts)
    return float(r2_score(numbers, said))


def over_worlds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean gain over several platforms, with an interval, for each way to fine-tune.

    Platforms and trained networks are taken as fixed, only users are drawn: nothing is said of
    other platforms or another training. From the intervals `l_i, u_i` of the
    gains `d_i` of n platforms, which are independent, the mean's interval goes from
    `mean - sqrt(sum (d_i - l_i)^2) / n` to `mean + sqrt(sum (u_i - d_i)^2) / n` (Zou and Donner).

    Parameters
    ----------
    table : DataFrame
        `target, strategy, vectors`, and `more, low, high` on one platform; a row for each.

    Returns
    -------
    DataFrame
        A row a way, named as `"motion, full, both"`: `mean, low, high`, and on how many platforms
        the gain's own interval is above zero (`better`) or below (`worse`), of how many (`worlds`).

    Raises
    ------
    ValueError
        If the table lacks a column.
    """
    wanted = {"target", "strategy", "vectors", "more", "low", "high"}
    lacking = sorted(wanted - set(table.columns))
    if lacking:
        raise ValueError(f"The table of gains lacks the column {', '.join(lacking)}.")
    rows = {}
    for names, part in table.groupby(["target", "strategy", "vectors"], sort=False):
        mean, n = part["more"].mean(), len(part)
        rows[", ".join(names)] = {
            "mean": mean,
            "low": mean - np.sqrt(np.square(part["more"] - part["low"]).sum()) / n,
            "high": mean + np.sqrt(np.square(part["high"] - part["more"]).sum()) / n,
            "better": int((part["low"] > 0).sum()),
            "worse": int((part["high"] < 0).sum()),
            "worlds": n,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def tell_gains(table: pd.DataFrame) -> None:
    """Print gains whose intervals are clear of zero, a line each, and how many are not."""
    clear = table[(table["low"] > 0) | (table["high"] < 0)]
    for way, row in clear.iterrows():
        which = row["better"] if row["mean"] > 0 else row["worse"]
        print(
            f"{way}: {row['mean']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]; by itself clear "
            f"of zero on {which:.0f} of {row['worlds']:.0f} platforms."
        )
    print(f"The other {len(table) - len(clear)} of {len(table)} intervals hold zero.")
