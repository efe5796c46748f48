"""The search of settings: planted optima, planted logs, and what it has to say."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import behavior_based
from vidrec_utils.behavior_based import ALS, GRIDS, ItemKNN
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import compare, evaluate, search
from vidrec_utils.recommender import Recommender

N = 40
QUIET = {"progress": False}

# --- a recommender whose quality is known ---------------------------------------------------------


class Planted(Recommender):
    """The share of users who find their video first is `1 - |log10 x - 2| / 4`, less for odd y."""

    def __init__(self, x: float = 1.0, y: str = "even", name: str = "planted"):
        if x > 10_000:
            raise ValueError("x is at most 10000.")
        self._set_arguments(locals())

    def share(self) -> float:
        return max(0.0, 1 - abs(np.log10(self.x) - 2) / 4 - (self.y == "odd") / 4)

    def right(self, users):
        return users < round(self.share() * N)

    def _score(self, users):
        scores = np.zeros((len(users), len(self.video_ids)), dtype=np.float32)
        scores[:, 0] = 1  # "seen", which is masked, and then the first of the others
        scores[:, 1] = 0.5
        right = self.right(users)
        scores[np.flatnonzero(right), 1 + users[right]] = 2
        return scores


def planted_split():
    users = [f"u{i:02}" for i in range(N)]
    videos = ["seen", *(f"v{i:02}" for i in range(N))]
    train = pd.DataFrame({"user_id": users, "video_id": "seen", "watch_ratio": 1.0})
    later = train.assign(video_id=videos[1:])
    return Split(train, later, None, pd.DataFrame(index=videos), "planted")


def searched(grid, build=Planted, **options):
    return search(build, grid, planted_split(), k=1, metric="recall", **QUIET | options)


def test_a_list_is_continued_until_its_best_value_is_inside():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = searched({"x": [1.0, 10.0]})
    assert result.settings == {"x": 100.0}
    assert result.table["x"].tolist() == [1, 10, 100, 1000]  # 100 is inside once 1000 is worse
    assert result.table["metric"].tolist() == pytest.approx([0.5, 0.75, 1, 0.75], abs=0.03)
    assert result.notes == ()
    assert result.table["chosen"].tolist() == [False, False, True, False]
    assert result.table["start"].tolist() == [True, False, False, False]
    assert result.model.x == 100
    assert result.model.score(["u39"]).argmax() == 40
    falling = searched({"x": [1.0, 10.0][::-1]})
    assert falling.settings == {"x": 100.0}


@pytest.mark.parametrize(("widen", "best"), [(0, 1.0), (1, 10.0)])
def test_a_best_value_at_the_end_is_said(widen, best):
    with pytest.warns(UserWarning, match="is at the end of what was tried") as caught:
        result = searched({"x": [0.1, 1.0]}, start={"x": 0.1}, widen=widen)
    assert result.settings == {"x": best}
    assert result.notes == (str(caught[0].message),)
    added = f", {widen} of them added" if widen else ""
    assert f"The best x, {best:g}" in result.notes[0]
    assert f"(0.1 to {best:g}{added}); try values beyond it." in result.notes[0]


def test_the_end_that_a_model_sets_is_said():
    class Rising(Planted):
        def share(self):
            return np.log10(self.x) / 8

    with pytest.warns(UserWarning, match=r"it goes no further: x is at most 10000\."):
        result = searched({"x": [100.0, 1000.0]}, Rising)
    assert result.settings == {"x": 10_000.0}


def test_zero_is_a_natural_end_and_words_have_none():
    class Falling(Planted):
        def __init__(self, x: float = 0.0, y: str = "even", name: str = "falling"):
            self._set_arguments(locals())

        def share(self):
            return 1 / (1 + self.x) - (self.y == "odd") / 4

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = searched({"x": [0.0, 1.0], "y": ["odd", "even"]}, Falling)
    assert result.settings == {"x": 0.0, "y": "even"}


def test_one_standard_error_takes_the_simplest_by_hand():
    """Against 39 users of 40: two lost and one gained are within, two lost are not.

    The differences of the first are -1, -1, 1 and 37 zeros: mean -.025, standard error .0438; those
    of the second -1, -1 and 38 zeros: mean -.05, standard error .0349.
    """

    class ByHand(Planted):
        def right(self, users):
            if self.x == 80:
                return (users < 1) | (users > 2)  # everybody finds the first video
            return users < (39 if self.x == 90 else 37)

    grid = {"x": [70.0, 80.0, 90.0, 100.0]}
    options = {"build": ByHand, "start": {"x": 90.0}}
    result = searched(grid, **options)
    differences = result.table.set_index("x")["difference"].to_dict()
    assert differences == pytest.approx({90: 0, 70: -0.05, 80: -0.025, 100: -0.05})
    assert result.settings == {"x": 90.0}
    assert searched(grid, rule="one_se", **options).settings == {"x": 80.0}
    assert searched(grid, margin=0.01, **options).settings == {"x": 90.0}
    tolerant = searched(grid, margin=0.06, **options)
    assert tolerant.settings == {"x": 70.0}
    assert tolerant.best["x"] == 90


def test_a_grid_finds_what_single_steps_miss():
    class Together(Planted):
        """Only both at once are right."""

        def share(self):
            return 1.0 if (self.x, self.y) == (10.0, "odd") else 0.5 if self.y == "even" else 0.2

    grid = {"x": [1.0, 10.0, 100.0], "y": ["even", "odd"]}
    assert searched(grid, Together).settings["y"] == "even"
    assert searched(grid, Together, method="grid").settings == {"x": 10.0, "y": "odd"}
    assert len(searched(grid, Together, method="grid").table) == 6


def test_a_start_that_collapses_is_said_and_a_choice_that_does_warns():
    result = searched({"x": [1e-3, 100.0, 1000.0]}, start={"x": 1e-3})
    assert result.table["x"].tolist() == [1e-3, 100, 1000]
    assert result.table["collapsed"].tolist() == [True, False, False]
    assert "With the settings of the start (x=0.001) planted collapses" in " ".join(result.notes)
    assert "collapses" in str(result)
    with pytest.warns(UserWarning, match="Even with the chosen settings, planted gives nearly"):
        searched({"x": [1e-4, 1e-3]}, start={"x": 1e-4}, widen=0)


def test_the_bars_and_warnings_of_trials_are_quiet(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searched({"y": ["even", "odd"], "x": [0.001, 100.0, 1000.0]})
    assert capfd.readouterr().err == ""


def test_seeds_are_averaged():
    class Lucky(Planted):
        def __init__(self, x: float = 1.0, seed: int = 0, name: str = "lucky"):
            self._set_arguments(locals())

        def share(self):
            return 0.5 + 0.25 * self.seed

        y = "even"

    table = searched({"x": [1.0]}, Lucky, seeds=[0, 1, 2]).table
    assert table["metric"].tolist() == pytest.approx([0.75])
    assert searched({"x": [1.0]}, Lucky, seeds=[2]).model.seed == 2
    with pytest.raises(ValueError, match="Planted has no setting seed"):
        searched({"x": [1.0]}, seeds=[0, 1])


def test_users_may_be_drawn():
    result = searched({"x": [1.0, 100.0, 1e4]}, max_users=7, seed=3)
    assert len(result.per_user) == 7
    assert result.settings == {"x": 100.0}


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({}, {}, "grid is empty"),
        ({"x": []}, {}, "grid is empty"),
        ({"x": [1.0, 1.0]}, {}, "lists a value of x twice"),
        ({"x": [1.0, 3.0, 2.0]}, {}, "neither rise nor fall"),
        ({"z": [1.0]}, {}, "Planted has no setting 'z'"),
        ({"x": [1.0]}, {"start": {"y": "odd"}}, "The grid has no setting 'y'"),
        ({"x": [1.0]}, {"rule": "two_se"}, "rule is 'two_se'"),
        ({"x": [1.0]}, {"method": "random"}, "method is 'random'"),
        ({"x": [1.0]}, {"margin": -1}, "margin is -1"),
        ({"x": [1.0]}, {"seeds": []}, "seeds is empty"),
    ],
)
def test_search_refuses_what_makes_no_sense(grid, options, message):
    with pytest.raises(ValueError, match=message):
        searched(grid, **options)
    with pytest.raises(KeyError, match="no metric 'fame'"):
        search(Planted, {"x": [1.0]}, planted_split(), metric="fame", **QUIET)


# --- planted logs: dense and sparse ---------------------------------------------------------------


def planted_log(n_users, n_videos, n_events, steep, seed):
    """Six groups of users, each with a sixth of the videos; some videos are popular with all."""
    rng = np.random.default_rng(seed)
    popular = rng.permutation((1.0 + np.arange(n_videos)) ** -steep)
    rows = []
    for user in range(n_users):
        own = np.arange(n_videos) % 6 == user % 6
        odds = np.where(own, 5.4, 0.1) * popular
        drawn = rng.choice(n_videos, n_events, replace=False, p=odds / odds.sum())
        rows += [(f"u{user}", f"v{video}") for video in rng.permutation(drawn)]
    log = pd.DataFrame(rows, columns=["user_id", "video_id"]).assign(watch_ratio=1.0)
    number, held = log.groupby("user_id").cumcount(), max(1, n_events // 5)
    parts = [log[number >= 2 * held], log[number < held], log[number.between(held, 2 * held - 1)]]
    return Split(*parts, pd.DataFrame(index=[f"v{i}" for i in range(n_videos)]), "planted")


LOGS = {"dense": (120, 60, 24, 1.0, 0), "sparse": (300, 150, 5, 0.6, 1)}
BUILDS = {"ALS": partial(ALS, factors=8, iterations=6), "ItemKNN": ItemKNN}


@pytest.fixture(scope="module")
def chosen():
    """What is chosen on each log, of the default grids; warnings do not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {}
        for log, numbers in LOGS.items():
            split = planted_log(*numbers)
            for name, build in BUILDS.items():
                grid = {
                    key: values
                    for key, values in GRIDS[name].items()
                    if key not in ("factors", "iterations")
                }
                found[name, log] = (split, search(build, grid, split, **QUIET))
    return found


@pytest.mark.parametrize(
    ("name", "log"), [("ALS", "dense"), ("ALS", "sparse"), ("ItemKNN", "dense")]
)
def test_the_chosen_settings_beat_the_defaults_on_the_test(chosen, name, log):
    split, result = chosen[name, log]
    options = {"on": "test", "slices": False, **QUIET}
    default = evaluate(BUILDS[name]().fit(split), split, **options)
    tuned = evaluate(result.model, split, **options)
    assert compare(tuned, default).low > 0.01


def test_dense_and_sparse_logs_want_different_settings(chosen):
    dense, sparse = chosen["ALS", "dense"][1], chosen["ALS", "sparse"][1]
    assert sparse.settings["regularization"] > dense.settings["regularization"]
    assert chosen["ItemKNN", "sparse"][1].settings["shrinkage"] > 0


def test_the_search_never_sees_the_test_and_changes_nothing(chosen):
    split, result = chosen["ItemKNN", "sparse"]
    before = split.train.copy()
    blind = Split(split.train, split.validation, None, split.videos, "planted")
    grid = dict(GRIDS["ItemKNN"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = search(ItemKNN, grid, blind, **QUIET)
    pd.testing.assert_frame_equal(
        again.table.drop(columns="seconds"), result.table.drop(columns="seconds")
    )
    pd.testing.assert_frame_equal(split.train, before)
    assert grid == dict(GRIDS["ItemKNN"])


def test_the_table_holds_what_evaluate_measures(chosen):
    split, result = chosen["ItemKNN", "dense"]
    measured = evaluate(result.model, split, on="validation", slices=False, **QUIET)
    row = result.table[result.table["chosen"]].iloc[0]
    assert row["metric"] == pytest.approx(measured.per_user["ndcg"].mean())
    assert row["coverage"] == measured.coverage
    assert row["metric"] == result.best["metric"] == result.table["metric"].max()
    assert (result.table["difference"] <= 0).all()


@pytest.mark.parametrize("name", GRIDS)
def test_default_grids_fit_their_models(name):
    model = getattr(behavior_based, name)
    for setting, values in GRIDS[name].items():
        assert [getattr(model(**{setting: value}), setting) for value in values] == list(values)
    split = planted_log(20, 12, 6, 1.0, 0)
    if name == "DecayedPopularity":
        times = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(split.train.index, unit="h")
        split = replace(split, train=split.train.assign(timestamp=times))
    cheap = {setting: values[:1] for setting, values in GRIDS[name].items()}
    start = {setting: values[0] for setting, values in cheap.items()}
    result = search(model, cheap, split, start=start, **QUIET)
    assert isinstance(result.model, model)
    assert result.settings == start
