"""The moment people leave: a hazard over the seconds of a clip, from frame vectors and the log.

The hazard of a step of time is the chance that somebody who is still watching leaves in it. Cut
into steps, every view becomes rows of "still there" and at most one "left", and a logistic
regression on these rows is a *discrete-time hazard model*. Views that reach the end of the clip
are censored: they have no row that says "left", but all their rows count.

References
----------
Singer, Willett: It's About Time: Using Discrete-Time Survival Analysis to Study Duration and the
Timing of Events. Journal of Educational Statistics 18, 1993.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from vidrec_utils import arguments
from vidrec_utils.events import as_ids

EARLY_S = 0.5
"""Seconds at the beginning that have a level of their own: people swipe on more easily there."""


def at_risk(watched_s: np.ndarray, duration_s: np.ndarray, step_s: float) -> pd.DataFrame:
    """Cut views into steps of time: the rows of a discrete-time hazard model.

    Parameters
    ----------
    watched_s, duration_s : ndarray of float, shape (n,)
        Seconds watched, and of the clip. Who watched all of it is censored there.
    step_s : float
        Length of a step.

    Returns
    -------
    DataFrame
        `view` (position), `step` (from 0) and `left`, one row for each step that a view began.

    Raises
    ------
    ValueError
        If the step is not positive.

    Examples
    --------
    The first leaves after 0.7 s, the second watches to the end:

    >>> rows = at_risk(np.array([0.7, 1.0]), np.array([2.0, 1.0]), step_s=0.5)
    >>> rows.astype(int).to_numpy().tolist()
    [[0, 0, 0], [0, 1, 1], [1, 0, 0], [1, 1, 0]]
    """
    arguments.positive(step_s=step_s)
    ended = watched_s >= duration_s * (1 - 1e-6)
    seconds = np.minimum(watched_s, duration_s)
    # a view that left at t was at risk in step floor(t / step); one that ended, in all steps
    last = np.where(ended, np.ceil(duration_s / step_s - 1e-9) - 1, np.floor(seconds / step_s))
    counts = np.maximum(last, 0).astype(int) + 1
    view = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    left = (step == counts[view] - 1) & ~ended[view]
    return pd.DataFrame({"view": view, "step": step, "left": left})


class LeavingHazard:
    """The chance to leave in each step of a clip, for each user, by what is on the screen.

    The features of a user and a step are the principal components of the frame's vector, their
    products with the user's profile (the mean of what the user watched, weighted by how much longer
    than usual; without the view that is predicted), how long the clip has been on, and the clip's
    duration.

    Parameters
    ----------
    step_s : float
        Length of a step in seconds.
    dims : int
        Principal components of the frames.
    C : float
        Inverse strength of the ridge penalty.
    views : int
        Most views that it learns from; more are drawn from.
    seed : int
        They are drawn with this seed.

    Attributes
    ----------
    n_rows : int
        Rows that it was fitted on. Set by `fit`.

    Examples
    --------
    Everybody leaves a film of two seconds in its first one, or sees it to the end:

    >>> log = pd.DataFrame({"user_id": ["ann", "bob"] * 20, "video_id": "v"})
    >>> log["watch_ratio"] = [0.2, 1.0] * 20
    >>> frames = {"v": np.array([[1.0, 0.0], [0.0, 1.0]])}
    >>> model = LeavingHazard(step_s=1.0, dims=1).fit(log, pd.Series({"v": 2.0}), frames)
    >>> early, late = model.hazard("ann", "v")
    >>> bool(early > late)
    True
    """

    def __init__(
        self,
        step_s: float = 0.5,
        dims: int = 16,
        C: float = 0.1,
        views: int = 20_000,
        seed: int = 0,
    ):
        arguments.positive(step_s=step_s, C=C)
        arguments.at_least(1, dims=dims, views=views)
        self.step_s, self.dims, self.C = step_s, dims, C
        self.views, self.seed = views, seed

    def fit(
        self, log: pd.DataFrame, durations_s: pd.Series, frames: Mapping[str, np.ndarray]
    ) -> Self:
        """Learn from a log when people leave.

        Parameters
        ----------
        log : DataFrame
            `user_id, video_id, watch_ratio`; rows without a ratio or without frames are left out.
        durations_s : Series
            Seconds of each video.
        frames : mapping of str to ndarray, shape (steps, dim)
            Vectors of each video's frames, one for each step of `step_s` seconds (the last one is
            held where a clip has more steps).

        Raises
        ------
        ValueError
            If nobody left, or no view can be used.
        """
        known = as_ids(log["video_id"]).isin(list(frames)) & log["watch_ratio"].notna().to_numpy()
        events = log[known]
        if not len(events):
            raise ValueError(
                "No view has a watch ratio and frames, so nothing shows when to leave."
            )
        self.frames = {str(video): np.asarray(f, dtype=np.float32) for video, f in frames.items()}
        self.durations_s = durations_s.astype(float)
        self._reduce()
        video = as_ids(events["video_id"])
        gains = self._gains(events, video)
        self.user_ids = as_ids(events["user_id"]).unique()
        user = self.user_ids.get_indexer(as_ids(events["user_id"]))
        means = np.stack(
            [self.components[v].mean(axis=0) for v in self.video_ids]
        )  # (videos, dims)
        own = gains[:, None] * means[self.video_ids.get_indexer(video)]
        sums = np.zeros((len(self.user_ids), self.dims_))
        weight = np.zeros(len(self.user_ids))
        np.add.at(sums, user, own)
        np.add.at(weight, user, 1.0)
        self.profiles = sums / np.maximum(weight, 1)[:, None]
        rng = np.random.default_rng(self.seed)
        drawn = rng.permutation(len(events))[: self.views]
        # the profile of a training view leaves its own video out
        others = (sums[user] - own)[drawn] / np.maximum(weight[user] - 1, 1)[drawn, None]
        seconds = self.durations_s.reindex(video).to_numpy()[drawn]
        watched = events["watch_ratio"].to_numpy(dtype=float)[drawn] * seconds
        rows = at_risk(watched, seconds, self.step_s)
        self.n_rows = len(rows)
        if not rows["left"].any():
            raise ValueError("Nobody left before the end, so there is no hazard to learn.")
        chosen = np.asarray(video)[drawn]
        view, step = rows["view"].to_numpy(), rows["step"].to_numpy()
        z = self._at(chosen[view], step)  # (rows, dims)
        x = self._features(z, others[view], step, seconds[view])
        self.scaler = StandardScaler().fit(x)
        self.model = LogisticRegression(C=self.C, max_iter=500)
        self.model.fit(self.scaler.transform(x), rows["left"].to_numpy())
        return self

    def _reduce(self) -> None:
        """Principal components of all frames, each of variance 1."""
        self.video_ids = pd.Index(list(self.frames), dtype="str")
        everything = np.concatenate(list(self.frames.values()))
        self.dims_ = min(self.dims, *everything.shape)
        self.pca = PCA(self.dims_, whiten=True, random_state=self.seed).fit(everything)
        self.components = {v: self.pca.transform(f) for v, f in self.frames.items()}
        lengths = np.array([len(part) for part in self.components.values()])
        self._starts = np.cumsum(lengths) - lengths
        self._lengths = lengths
        self._all = np.concatenate(list(self.components.values()))

    def _gains(self, events: pd.DataFrame, video: pd.Index) -> np.ndarray:
        """How much longer each was watched than the video usually is."""
        ratio = events["watch_ratio"].clip(upper=1).to_numpy(dtype=float)
        usual = pd.Series(ratio).groupby(np.asarray(video)).transform("mean").to_numpy()
        return ratio - usual

    def _at(self, videos: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Components of what is on the screen, `(rows, dims)`."""
        row = self.video_ids.get_indexer(videos)
        return self._all[self._starts[row] + np.minimum(step, self._lengths[row] - 1)]

    def _features(
        self, z: np.ndarray, profiles: np.ndarray, step: np.ndarray, seconds: np.ndarray
    ) -> np.ndarray:
        begins = step * self.step_s
        time = np.column_stack([begins < EARLY_S, np.log1p(begins), np.log(seconds)])
        return np.hstack([time, z, z * profiles])

    def hazard(self, user_id: str, video_id: str) -> np.ndarray:
        """Chance to leave in each step of a clip, for somebody who is still there.

        Returns
        -------
        ndarray of float, shape (steps,)

        Raises
        ------
        KeyError
            If the user was not in the log, or the video has no frames.
        RuntimeError
            If the model is not fitted.
        """
        self._require(user_id, video_id)
        seconds = float(self.durations_s[video_id])
        step = np.arange(max(1, int(np.ceil(seconds / self.step_s - 1e-9))))
        z = self._at(np.repeat(video_id, len(step)), step)
        profile = self.profiles[[self.user_ids.get_loc(user_id)]].repeat(len(step), axis=0)
        x = self._features(z, profile, step, np.full(len(step), seconds))
        return self.model.predict_proba(self.scaler.transform(x))[:, 1]

    def staying(self, user_id: str, video_id: str) -> np.ndarray:
        """Chance to be still there at the end of each step, `(steps,)`; errors as `hazard`."""
        return np.cumprod(1 - self.hazard(user_id, video_id))

    def taste(self, user_id: str, video_id: str) -> np.ndarray:
        """What the screen alone does to the log odds of leaving, at one moment of a clip.

        The part of the prediction that comes from the frame and the user's profile: hazards of two
        steps differ by their time, too, and this leaves time out. Of shape `(steps,)`; errors as
        `hazard`.
        """
        self._require(user_id, video_id)
        seconds = float(self.durations_s[video_id])
        step = np.arange(max(1, int(np.ceil(seconds / self.step_s - 1e-9))))
        z = self._at(np.repeat(video_id, len(step)), step)
        profile = self.profiles[[self.user_ids.get_loc(user_id)]].repeat(len(step), axis=0)
        x = self.scaler.transform(self._features(z, profile, step, np.full(len(step), seconds)))
        return x[:, 3:] @ self.model.coef_[0, 3:]

    def _require(self, user_id: str, video_id: str) -> None:
        if not hasattr(self, "model"):
            raise RuntimeError("LeavingHazard is not fitted: call fit(...) first.")
        if user_id not in self.user_ids:
            raise KeyError(f"The user {user_id!r} was not in the log that it was fitted on.")
        if video_id not in self.frames:
            raise KeyError(f"The video {video_id!r} has no frames.")


def shots_in_order(
    model: LeavingHazard,
    user_ids: Sequence[str],
    shots: pd.DataFrame,
    liking: pd.DataFrame,
    least: float = 0.0,
    fps: float = 16.0,
) -> pd.Series:
    """How often a hazard orders two shots of a film as the user likes them.

    The first and the last shot of each film are compared by what the screen does to the log odds of
    leaving (`LeavingHazard.taste`) in the middle of each.

    Parameters
    ----------
    model : LeavingHazard
        Fitted.
    user_ids : sequence of str
        Users; those without a liking are left out.
    shots : DataFrame
        Indexed by `video_id` and `shot`: `first_frame`, `end_frame`.
    liking : DataFrame
        Users x (`video_id`, `shot`): how much each likes each shot, from somebody who knows.
    least : float
        Pairs of shots whose likings differ by less are left out.
    fps : float
        Frames a second.

    Returns
    -------
    Series of float
        By user: the share of films whose two shots are in the right order. Chance is one half. A
        user without a pair that differs enough is left out.

    Raises
    ------
    ValueError
        If no film has two shots.

    Examples
    --------
    A film of two shots, of which Ann likes the second, and leaves the first:

    >>> log = pd.DataFrame({"user_id": ["ann", "bob"] * 20, "video_id": "v"})
    >>> log["watch_ratio"] = [0.2, 1.0] * 20
    >>> frames = {"v": np.array([[1.0, 0.0], [0.0, 1.0]])}
    >>> model = LeavingHazard(step_s=1.0, dims=1).fit(log, pd.Series({"v": 2.0}), frames)
    >>> index = pd.MultiIndex.from_tuples([("v", 0), ("v", 1)], names=["video_id", "shot"])
    >>> shots = pd.DataFrame({"first_frame": [0, 16], "end_frame": [16, 32]}, index)
    >>> liking = pd.DataFrame([[-1.0, 1.0]], index=["ann"], columns=index)
    >>> shots_in_order(model, ["ann"], shots, liking).to_dict()
    {'ann': 1.0}
    """
    films = {}
    for video, own in shots.groupby(level="video_id", sort=False):
        middles = own[["first_frame", "end_frame"]].mean(axis=1).to_numpy() / fps
        if len(own) > 1 and video in model.frames:
            ends = (middles[[0, -1]] / model.step_s).astype(int)
            films[video] = np.minimum(ends, int(model.durations_s[video] / model.step_s - 1e-9))
    films = {video: ends for video, ends in films.items() if ends[0] != ends[1]}
    if not films:
        raise ValueError("No film has two shots that lie in different steps.")
    shares = {}
    for user in user_ids:
        if user not in liking.index:
            continue
        of_user = liking.loc[user]
        right = []
        for video, ends in films.items():
            likes = of_user[video].to_numpy()
            if abs(likes[-1] - likes[0]) < least:
                continue
            stays = -model.taste(user, video)[ends]
            right.append((stays[1] > stays[0]) == (likes[-1] > likes[0]))
        if right:
            shares[user] = float(np.mean(right))
    return pd.Series(shares, dtype=float)
