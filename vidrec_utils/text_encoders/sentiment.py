"""Whether a comment praises or complains, learned from what its writers did."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

from vidrec_utils.encoders import Encoder


class Sentiment:
    """A number from -1 (complaint) to 1 (praise) for each comment.

    Nobody has to label comments: who writes one has also watched to the end, or left. Each event is
    ranked by its behaviour among all events, from -1 to 1, and from the comments' vectors a ridge
    regression (a *linear probe*) learns that rank. So the sentiment means "written by people who
    stay longer than most": 0 is the middle viewer, whatever the words.

    Parameters
    ----------
    encoder : Encoder
        An encoder of texts. With one of several languages, sentiment that was learned in one
        language carries over to the others.
    regularization : float
        Strength of the ridge (scikit-learn's `alpha`).

    References
    ----------
    Alain, Bengio: Understanding intermediate layers using linear classifier probes. ICLR workshop
    2017 (arXiv:1610.01644).

    Examples
    --------
    >>> from vidrec_utils import text_encoders
    >>> comments = pd.Series(["great film", "boring film", "great", "boring"])
    >>> words = text_encoders.load("tfidf").fit(comments)
    >>> sentiment = Sentiment(words, 0.1).fit(comments, pd.Series([0.9, 0.1, 0.8, 0.2]))
    >>> scores = sentiment(pd.Series(["great", "boring"]))
    >>> bool(scores[0] > 0 > scores[1])
    True
    """

    def __init__(self, encoder: Encoder, regularization: float = 1.0):
        self.encoder = encoder
        self.regularization = float(regularization)
        self._probe: Ridge | None = None

    def fit(self, comments: pd.Series, behaviour: pd.Series) -> Self:
        """Learn from comments and what their writers did; returns itself.

        Parameters
        ----------
        comments : Series of str
            Missing where an event has no comment.
        behaviour : Series of float
            With the same index, larger for liking more: the watch ratio, or a sum of signals. It
            should cover *all* events, since those without a comment show what is usual; missing
            values are left out.

        Raises
        ------
        ValueError
            If no two comments remain, or their behaviour does not differ.
        """
        values = pd.to_numeric(behaviour, errors="coerce").astype("float64")
        ranks = 2 * values.rank(pct=True) - 1
        ranks = ranks[self._written(comments).reindex(ranks.index, fill_value=False)].dropna()
        if ranks.nunique() < 2:
            raise ValueError(
                f"The behaviour of the {len(ranks)} events with a comment does not differ; give "
                "the watch ratio of more events."
            )
        vectors = self._vectors(comments[ranks.index])
        self._probe = Ridge(alpha=self.regularization).fit(vectors, ranks)
        return self

    def __call__(self, comments: pd.Series) -> pd.Series:
        """Sentiment of comments.

        Returns
        -------
        Series of float64 named `"sentiment"`
            In -1..1, aligned with the comments; NaN where there is none, or nothing that the
            encoder can read. Fits `recommender.event_weights(..., sentiment=...)`.

        Raises
        ------
        RuntimeError
            If `fit` was not called.
        """
        if self._probe is None:
            raise RuntimeError("Sentiment has to be learned first: call fit(comments, behaviour).")
        comments = pd.Series(comments)
        out = pd.Series(np.nan, index=comments.index, dtype="float64", name="sentiment")
        written = self._written(comments).to_numpy()
        if written.any():
            vectors = self._vectors(comments[written])
            predicted = self._probe.predict(vectors).clip(-1, 1)
            out[written] = np.where(vectors.any(axis=1), predicted, np.nan)
        return out

    def _vectors(self, comments: pd.Series) -> np.ndarray:
        """Each distinct comment is encoded once: people repeat each other."""
        codes, distinct = pd.factorize(comments.astype("str"))
        return self.encoder.encode(list(distinct))[codes]

    @staticmethod
    def _written(comments: pd.Series) -> pd.Series:
        return comments.notna() & (comments.astype("str").str.strip() != "")
