"""Imputation of missing values, with a stated strategy per column, learned from training rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from vidrec_utils.preprocessing.report import file_rows, join_reports, make_report

DEFAULT_STRATEGIES: dict[str, str] = {
    "title": "from_tags",
    "tags": "from_title",
    "category": "from_tags",
    "language": "unknown",
    "duration_s": "median",
}
"""Default strategies of `fill_missing`; columns that a table lacks are skipped."""

STRATEGIES = (
    "keep",
    "drop",
    "constant",
    "unknown",
    "most_frequent",
    "median",
    "mean",
    "from_tags",
    "from_title",
    "probe",
)
_CONSTANTS = {"title": "untitled", "description": ""}
_IMPUTED = ("most_frequent", "median", "mean")
_FILLED = {
    "constant": "filled with a constant",
    "unknown": "marked unknown",
    "most_frequent": "filled with the commonest",
    "median": "filled with the median",
    "mean": "filled with the mean",
    "from_tags": "filled from tags",
    "from_title": "filled from title",
    "probe": "filled from file",
}


class MissingValues(TransformerMixin, BaseEstimator):
    """Fill missing values of the videos table, one strategy per column.

    Strategies learn (a median, the commonest category, which tags go with which category) in
    `fit`: fit on training rows only, and transform the others with what was learned.

    Parameters
    ----------
    strategies : mapping of column to strategy, optional
        Default `DEFAULT_STRATEGIES`. A strategy is one of

        - `"keep"`: leave it missing; `"drop"`: drop the row;
        - `"constant"`: a fixed text (`"untitled"` for a title, else empty), or a pair
          `("constant", value)`; `"unknown"`: the text `"unknown"`;
        - `"most_frequent"`, `"median"`, `"mean"`: of the training rows (scikit-learn's
          `SimpleImputer`);
        - `"from_tags"`: a title is made of the tags; any other column is predicted from them by
          multinomial naive Bayes, `"unknown"` where no tag is known from training;
        - `"from_title"` (for tags): the tags known from training that occur in the title;
        - `"probe"` (for `duration_s`): read from the file by `probe`.
    indicators : bool
        Add a boolean column `<column>_was_missing` for each column with a strategy other than
        keep or drop: that a value was missing may itself be informative.
    probe : callable, optional
        `probe(video_id) -> float` for the strategy `"probe"`; an error or NaN leaves it missing.

    Attributes
    ----------
    learned_ : dict
        What was learned in `fit`, by column.

    Examples
    --------
    >>> train = pd.DataFrame({"duration_s": [1.0, 2.0, 9.0]})
    >>> filler = MissingValues({"duration_s": "median"}).fit(train)
    >>> filler.transform(pd.DataFrame({"duration_s": [5.0, None]}))["duration_s"].tolist()
    [5.0, 2.0]
    """

    def __init__(
        self,
        strategies: Mapping[str, Any] | None = None,
        indicators: bool = False,
        probe: Callable[[str], float] | None = None,
    ) -> None:
        self.strategies = strategies
        self.indicators = indicators
        self.probe = probe

    def fit(self, videos: pd.DataFrame, y: object = None) -> Self:
        """Learn from these rows what the strategies need.

        Raises
        ------
        ValueError
            If a strategy is unknown or cannot work on its column.
        """
        self.learned_: dict[str, Any] = {}
        for column, strategy in self._plan().items():
            _check_strategy(column, strategy, videos, self.probe)
            if column in videos:
                self.learned_[column] = _learn(videos, column, strategy)
        return self

    def transform(self, videos: pd.DataFrame) -> pd.DataFrame:
        """Fill (or drop) and return a new frame."""
        return self.transform_with_report(videos)[0]

    def transform_with_report(self, videos: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Fill the missing values and report each filled value with its row.

        Returns
        -------
        cleaned, report : DataFrame
            The filled table, and one report row for each value that was missing and not kept. A
            placeholder such as "unknown" is reported as marked, not as filled.
        """
        check_is_fitted(self, "learned_")
        cleaned, reports, dropped = videos.copy(), [], np.zeros(len(videos), dtype=bool)
        for column, strategy in self._plan().items():
            if column not in videos:
                continue
            missing = videos[column].isna().to_numpy()
            if self.indicators and strategy not in ("keep", "drop"):
                cleaned[f"{column}_was_missing"] = missing
            if strategy == "keep" or not missing.any():
                continue
            if strategy == "drop":
                dropped |= missing
                reports.append(_report(videos, missing, column, "row dropped", None))
                continue
            values = self._values(videos.loc[missing], column, strategy)
            cleaned[column] = _put(cleaned[column], missing, values)
            reports.append(_report(videos, missing, column, _actions(values, strategy), values))
        return cleaned.loc[~dropped], join_reports(reports)

    def _plan(self) -> dict[str, Any]:
        return dict(DEFAULT_STRATEGIES if self.strategies is None else self.strategies)

    def _values(self, rows: pd.DataFrame, column: str, strategy: object) -> pd.Series:
        """Return the values for `column` of these rows, all of which lack it."""
        learned, name = self.learned_.get(column), _name(strategy)
        if name in _IMPUTED:
            values = learned.transform(rows[[column]].astype(object)).ravel()
        elif name == "from_tags" and column == "title":
            values = [_title_from_tags(tags) for tags in rows["tags"]]
        elif name == "from_tags":
            values = _predict_from_tags(learned, rows["tags"])
        elif name == "from_title":
            values = [_tags_in_title(title, learned) for title in rows["title"]]
        elif name == "probe":
            values = [_probed(self.probe, video_id) for video_id in rows.index]
        else:
            values = [learned] * len(rows)
        return pd.Series(values, index=rows.index, dtype=object)


def fill_missing(
    videos: pd.DataFrame,
    strategies: Mapping[str, Any] | None = None,
    *,
    fit_on: pd.DataFrame | None = None,
    indicators: bool = False,
    probe: Callable[[str], float] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill missing values of the videos table in one call; see `MissingValues`.

    Parameters
    ----------
    videos : DataFrame
        Indexed by video id. Not changed.
    strategies, indicators, probe
        See `MissingValues`.
    fit_on : DataFrame, optional
        The rows to learn from, such as the training videos; by default all of `videos`.

    Returns
    -------
    cleaned, report : DataFrame
        The filled table and one row for each value filled or row dropped.

    Examples
    --------
    >>> videos = pd.DataFrame(
    ...     {"tags": ["meow", "meow", "woof", "meow"], "category": ["cats", "cats", "dogs", None]},
    ...     index=pd.Index(["v1", "v2", "v3", "v4"], name="video_id"),
    ... )
    >>> cleaned, report = fill_missing(videos, {"category": "from_tags"})
    >>> cleaned.loc["v4", "category"], report["action"].tolist()
    ('cats', ['filled from tags'])
    """
    filler = MissingValues(strategies, indicators, probe)
    filler.fit(videos if fit_on is None else fit_on)
    return filler.transform_with_report(videos)


def _name(strategy: object) -> str:
    return strategy[0] if isinstance(strategy, tuple) else str(strategy)


def _actions(values: pd.Series, strategy: object) -> np.ndarray:
    """Name per value what was done: filled, left, or marked where no tag was informative."""
    action = np.where(values.isna(), "left missing", _FILLED[_name(strategy)])
    if _name(strategy) == "from_tags":
        for mark in ("unknown", "untitled"):
            action = np.where(values == mark, f"marked {mark}", action)
    return action


def _check_strategy(column: str, strategy: object, videos: pd.DataFrame, probe: object) -> None:
    name = _name(strategy)
    if name not in STRATEGIES:
        raise ValueError(
            f"The strategy for column {column!r} is {strategy!r}; "
            f"choose one of {', '.join(STRATEGIES)}."
        )
    if name == "probe" and probe is None:
        raise ValueError(
            f"Column {column!r} is to be probed from the files: pass probe=, a function from "
            "video id to value."
        )
    if name in ("median", "mean") and column in videos:
        numeric = pd.api.types.is_numeric_dtype(videos[column].dtype)
        if not numeric and videos[column].notna().any():
            raise ValueError(f"Column {column!r} holds text; {name!r} needs numbers.")
    source = {"from_tags": "tags", "from_title": "title"}.get(name)
    if source and column in videos and source not in videos:
        raise ValueError(f"Column {column!r} is to be filled {name!r}, but {source!r} is absent.")


def _learn(videos: pd.DataFrame, column: str, strategy: object) -> object:
    name = _name(strategy)
    if name in _IMPUTED:
        values = videos[[column]].astype(object)
        if name != "most_frequent":
            values = values.astype(float)
        # An all-missing column has nothing to learn from; it is kept, and stays missing.
        return SimpleImputer(strategy=name, keep_empty_features=True).fit(values)
    if name == "from_tags" and column != "title":
        return _fit_from_tags(videos, column)
    if name == "from_title":
        tags = videos[column].dropna().str.split("|").explode()
        return tuple(sorted({tag for tag in tags if tag}, key=lambda tag: (-len(tag), tag)))
    if name == "constant":
        return strategy[1] if isinstance(strategy, tuple) else _CONSTANTS.get(column, "")
    return "unknown" if name == "unknown" else None


def _split(text: str) -> list[str]:
    """Split the tags of one video; a named function, because a lambda would not pickle."""
    return [tag for tag in text.split("|") if tag]


def _fit_from_tags(videos: pd.DataFrame, column: str) -> Pipeline | None:
    known = videos.dropna(subset=["tags", column])
    known = known[known["tags"].astype("str").str.strip("|") != ""]
    if known.empty:
        return None
    model = make_pipeline(
        CountVectorizer(tokenizer=_split, token_pattern=None, lowercase=False), MultinomialNB()
    )
    return model.fit(known["tags"], known[column].astype(object))


def _predict_from_tags(model: Pipeline | None, tags: pd.Series) -> np.ndarray:
    if model is None:
        return np.full(len(tags), "unknown", dtype=object)
    texts = tags.fillna("")
    known_tags = model.named_steps["countvectorizer"].transform(texts).sum(axis=1)
    return np.where(np.asarray(known_tags).ravel() > 0, model.predict(texts), "unknown")


def _title_from_tags(tags: object) -> str:
    text = ", ".join(_split(tags)) if isinstance(tags, str) else ""
    return text[:1].upper() + text[1:] or "untitled"


def _tags_in_title(title: object, known: tuple[str, ...]) -> str | None:
    if not isinstance(title, str):
        return None
    return "|".join(tag for tag in known if _occurs(tag.casefold(), title.casefold())) or None


def _occurs(tag: str, title: str) -> bool:
    """Whether a title contains a tag as a word; scripts without blanks need no word border."""
    if tag not in title or not tag.isascii():  # most pairs end here, without a pattern
        return tag in title
    # [^\W_] is a letter or a digit
    return re.search(rf"(?<![^\W_]){re.escape(tag)}(?![^\W_])", title) is not None


def _probed(probe: Callable[[str], float], video_id: str) -> float:
    try:
        return float(probe(video_id))
    except (ValueError, OSError, TypeError):
        return float("nan")


def _put(column: pd.Series, missing: np.ndarray, values: pd.Series) -> pd.Series:
    filled = column.astype(object)
    filled[missing] = values.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.to_numeric(filled).astype(float)
    return filled.where(filled.notna(), None).astype(
        "str" if column.dtype == object else column.dtype
    )


def _report(
    videos: pd.DataFrame,
    missing: np.ndarray,
    column: str,
    action: str | np.ndarray,
    values: pd.Series | None,
) -> pd.DataFrame:
    return make_report(
        "videos",
        file_rows(videos, missing),
        videos.index[missing],
        column,
        f"{column} missing",
        action,
        None,
        values,
    )
