"""Reasons for scores that are sums over a user's history."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import pandas as pd
from scipy import sparse

from vidrec_utils.recommender import Recommender, explanation, position


class HistoryReasons(Recommender):
    """A score that is the sum, over a user's videos, of a weight times an influence."""

    matrix: sparse.csr_array

    def explain(self, user_id: str, video_id: str) -> pd.DataFrame:
        """Split a score exactly into what each video of the user's history gave to it.

        Returns
        -------
        DataFrame
            `video_id, weight` (the user's with that video)`, similarity` (its influence on the
            video that is explained; 0 if it has none)`, contribution` (their product), largest
            first. The contributions add up to the score.

        Raises
        ------
        KeyError
            If the user or the video is unknown.
        ValueError
            If the user got the popularity answer.
        """
        user = position(self.user_ids, user_id, "user")
        video = position(self.video_ids, video_id, "video")
        history = self.matrix[[user]].tocoo()
        if not len(history.data):
            raise ValueError(
                f"User {user_id!r} has no event with any weight: the answer is what is popular."
            )
        influence = self._influence(user, video, history.col)
        weights = self._weigh(history.data)
        return explanation(self.video_ids[history.col], weights, influence)

    def _weigh(self, values: np.ndarray) -> np.ndarray:
        """Weights of a history as the score counts them; default: as they are."""
        return values

    @abstractmethod
    def _influence(self, user: int, video: int, columns: np.ndarray) -> np.ndarray:
        """What a unit of weight with each of these videos gives to the score of one."""
