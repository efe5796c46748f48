"""The hazard of leaving: rows by hand, and a planted hazard that is found again."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.interpretability import LeavingHazard, at_risk


def test_rows_by_hand() -> None:
    rows = at_risk(np.array([0.0, 0.5, 1.2, 9.0]), np.array([1.0, 1.0, 1.2, 1.0]), 0.5)
    steps = rows.groupby("view")["step"].max().tolist()
    assert steps == [0, 1, 2, 1]  # left at once; in the second step; 1.2 s are three steps
    assert rows.groupby("view")["left"].sum().tolist() == [1, 1, 0, 0]
    with pytest.raises(ValueError, match="step_s"):
        at_risk(np.ones(1), np.ones(1), 0)


def planted(seed: int = 0, views: int = 12_000):
    """Two kinds of users and frames; who sees the other kind leaves four times as fast."""
    rng = np.random.default_rng(seed)
    kinds = {f"v{n}": rng.integers(0, 2, 8) for n in range(40)}  # of each step of half a second
    noise = rng.normal(0, 0.1, (2, 6))
    frames = {
        v: np.where(own[:, None] == 1, 1.0, -1.0) * np.ones(6) + noise[own]
        for v, own in kinds.items()
    }
    users = rng.integers(0, 2, 60)
    rows = []
    for _ in range(views):
        user, video = rng.integers(60), f"v{rng.integers(40)}"
        hazards = np.where(kinds[video] == users[user], 0.08, 0.32)
        leaves = rng.random(8) < hazards
        seconds = 0.5 * (leaves.argmax() + rng.random()) if leaves.any() else 4.0
        rows.append((f"u{user}", video, seconds / 4))
    log = pd.DataFrame(rows, columns=["user_id", "video_id", "watch_ratio"])
    durations = pd.Series(4.0, index=list(kinds))
    return log, durations, frames, kinds, users


def test_a_planted_hazard_is_found() -> None:
    log, durations, frames, kinds, users = planted()
    model = LeavingHazard(dims=2).fit(log, durations, frames)
    alike, different = [], []
    for user in range(20):
        for video in list(kinds)[:20]:
            hazard = model.hazard(f"u{user}", video)
            alike.extend(hazard[kinds[video] == users[user]])
            different.extend(hazard[kinds[video] != users[user]])
    assert abs(np.mean(alike) - 0.08) < 0.04
    assert abs(np.mean(different) - 0.32) < 0.06
    video = next(v for v, own in kinds.items() if 2 <= own.sum() <= 6)
    taste = model.taste("u0", video)
    assert taste[kinds[video] == users[0]].max() < taste[kinds[video] != users[0]].min()
    staying = model.staying("u0", video)
    assert (np.diff(staying) < 0).all()
    assert staying[0] == pytest.approx(1 - model.hazard("u0", video)[0])


def test_ends_are_censored_and_not_exits() -> None:
    log, durations, frames, _, _ = planted(views=3000)
    cut = log.assign(watch_ratio=log["watch_ratio"].clip(upper=1))
    model = LeavingHazard(dims=2).fit(cut, durations, frames)
    assert model.hazard("u0", "v0")[-1] < 0.5  # many reach the end, and none leaves there


def test_what_it_cannot_do_is_said() -> None:
    log, durations, frames, _, _ = planted(views=200)
    with pytest.raises(RuntimeError, match="not fitted"):
        LeavingHazard().hazard("u0", "v0")
    model = LeavingHazard(dims=2).fit(log, durations, frames)
    with pytest.raises(KeyError, match="'nobody'"):
        model.hazard("nobody", "v0")
    with pytest.raises(KeyError, match="'none'"):
        model.hazard("u0", "none")
    with pytest.raises(ValueError, match="Nobody left"):
        LeavingHazard().fit(log.assign(watch_ratio=1.0), durations, frames)
    with pytest.raises(ValueError, match="No view"):
        LeavingHazard().fit(log.assign(video_id="other"), durations, frames)
