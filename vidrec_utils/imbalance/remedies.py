"""Remedies against the loop in which what was shown is shown again: wrappers of a policy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from vidrec_utils import arguments
from vidrec_utils.minitube import Policy, Sessions


class Exploring:
    """Mixes a policy with one that shows any available video: `p = (1 - share) p + share / n`.

    Every available video then has a chance of at least `share / n` of being first, so that the log
    can tell what the policy alone would never have tried, with weights of at most
    `n / share` (see `inverse_propensity`).

    Parameters
    ----------
    policy : Policy
        What chooses otherwise.
    share : float
        Share of the first slots that explore, above 0 and at most 1.

    Raises
    ------
    ValueError
        If the share is out of its range.

    Examples
    --------
    >>> class Sure:
    ...     def scores(self, sessions):
    ...         return np.array([[100.0, 0.0]])
    ...     def learn(self, log):
    ...         pass
    >>> now = pd.DatetimeIndex(["2025-03-03"])
    >>> sessions = Sessions(0, np.array(["eve"]), now, pd.Index(["a", "b"]), np.ones((1, 2), bool))
    >>> np.exp(Exploring(Sure(), 0.1).scores(sessions)).round(3).tolist()
    [[0.95, 0.05]]
    """

    def __init__(self, policy: Policy, share: float = 0.1) -> None:
        arguments.positive(share=share)
        arguments.share(share=share)
        self.policy, self.share = policy, share

    def scores(self, sessions: Sessions) -> np.ndarray:
        """Log-probabilities of the mixture; -inf for what is not available."""
        available = sessions.available
        logits = np.where(available, self.policy.scores(sessions), -np.inf).astype(np.float64)
        mixed = np.full(available.shape, -np.inf)
        possible = np.isfinite(logits).any(axis=1)
        own = (
            log_softmax(logits[possible], axis=1) + np.log1p(-self.share)
            if self.share < 1
            else (np.full((int(possible.sum()), available.shape[1]), -np.inf))
        )
        any_video = np.log(self.share) - np.log(available[possible].sum(axis=1, keepdims=True))
        mixed[possible] = np.logaddexp(own, any_video)
        return np.where(available, mixed, -np.inf)

    def learn(self, log: pd.DataFrame) -> None:
        """Pass the log on."""
        self.policy.learn(log)


class Discounting:
    """Takes from a policy's logits in proportion to the log of how often each video was shown.

    `logit - strength log(1 + n_v)`, with `n_v` the exposures of video v so far. With a strength of
    1, and if what the policy says grew in proportion to the exposures, that growth is undone.

    Parameters
    ----------
    policy : Policy
        What chooses otherwise.
    strength : float
        0 changes nothing.

    Raises
    ------
    ValueError
        If the strength is negative.

    Examples
    --------
    >>> class Indifferent:
    ...     def scores(self, sessions):
    ...         return np.zeros(sessions.available.shape)
    ...     def learn(self, log):
    ...         pass
    >>> policy = Discounting(Indifferent(), 1.0)
    >>> policy.learn(pd.DataFrame({"video_id": ["a", "a", "a"]}))
    >>> now = pd.DatetimeIndex(["2025-03-03"])
    >>> sessions = Sessions(0, np.array(["eve"]), now, pd.Index(["a", "b"]), np.ones((1, 2), bool))
    >>> np.exp(policy.scores(sessions)).round(2).tolist()  # 1 / (1 + 3), and 1
    [[0.25, 1.0]]
    """

    def __init__(self, policy: Policy, strength: float = 0.5) -> None:
        arguments.at_least(0, strength=strength)
        self.policy, self.strength = policy, strength
        self._shown = pd.Series(dtype=float)

    def scores(self, sessions: Sessions) -> np.ndarray:
        """Discounted logits."""
        shown = self._shown.reindex(sessions.video_ids, fill_value=0).to_numpy()
        return self.policy.scores(sessions) - self.strength * np.log1p(shown)

    def learn(self, log: pd.DataFrame) -> None:
        """Count what was shown, and pass the log on."""
        self._shown = self._shown.add(log["video_id"].value_counts(), fill_value=0)
        self.policy.learn(log)


class Welcoming:
    """Adds a bonus to a policy's logits for videos that were published a short time ago.

    Parameters
    ----------
    policy : Policy
        What chooses otherwise.
    published_at : Series of datetime
        When each video went online, by `video_id`.
    bonus : float
        Added to the logits of newcomers: they become `exp(bonus)` times as likely against others.
    days : float
        For so long a video is a newcomer.

    Raises
    ------
    ValueError
        If the bonus is negative or the days are not positive.

    Examples
    --------
    >>> class Indifferent:
    ...     def scores(self, sessions):
    ...         return np.zeros(sessions.available.shape)
    ...     def learn(self, log):
    ...         pass
    >>> published = pd.Series(pd.to_datetime(["2025-01-01", "2025-03-01"], utc=True), ["a", "b"])
    >>> now = pd.DatetimeIndex(["2025-03-03"], tz="UTC")
    >>> sessions = Sessions(0, np.array(["eve"]), now, pd.Index(["a", "b"]), np.ones((1, 2), bool))
    >>> Welcoming(Indifferent(), published, bonus=2.0).scores(sessions).tolist()
    [[0.0, 2.0]]
    """

    def __init__(
        self, policy: Policy, published_at: pd.Series, bonus: float = 1.0, days: float = 7.0
    ) -> None:
        arguments.at_least(0, bonus=bonus)
        arguments.positive(days=days)
        self.policy, self.published_at = policy, published_at
        self.bonus, self.days = bonus, days

    def scores(self, sessions: Sessions) -> np.ndarray:
        """Logits with the bonus."""
        online = pd.DatetimeIndex(self.published_at.reindex(sessions.video_ids))
        age = sessions.timestamps.to_numpy()[:, None] - online.to_numpy()[None]
        fresh = (age >= pd.Timedelta(0)) & (age < pd.Timedelta(days=self.days))
        return self.policy.scores(sessions) + self.bonus * fresh

    def learn(self, log: pd.DataFrame) -> None:
        """Pass the log on."""
        self.policy.learn(log)
