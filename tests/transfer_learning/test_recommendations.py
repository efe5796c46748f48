"""How much fine-tuned vectors improve a recommender."""

import numpy as np
import pandas as pd
import pytest

from tests.transfer_learning.tiny import Brighter, Watched, coloured
from vidrec_utils import datasets, preprocessing, video_encoders
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.hybrid import read_clips
from vidrec_utils.minitube.config import VERSION
from vidrec_utils.transfer_learning import (
    GAINS,
    explained,
    mean_watch_ratio,
    over_worlds,
    plot_gains,
    print_gains,
    recommendation_gains,
    recommendations,
    recorded,
    side_by_side,
)

TARGETS = ("motion", "tags", "watch ratio", "watch percentile")


def test_what_facts_explain():
    ids = range(40)
    facts = pd.DataFrame({"one": [i % 2 for i in ids], "other": [i % 4 for i in ids]}, ids)
    facts.loc[99] = 0  # of an id without a number
    numbers = pd.Series([3.0 * (i % 4 == 1) for i in ids], ids)
    assert explained(facts, numbers) == pytest.approx(1, abs=0.01)
    noise = pd.Series(np.random.default_rng(0).normal(size=40), ids)
    assert explained(facts, noise) < 0.2
    # what only tells groups apart explains nothing of groups that were not seen
    of_group = pd.Series([i // 4 for i in ids], ids)
    named = pd.DataFrame({"group": of_group})
    numbers = of_group.map(dict(enumerate(np.random.default_rng(1).normal(size=10))))
    assert explained(named, numbers) > 0.5 > 0.1 > explained(named, numbers, of_group)


def test_watch_ratios_of_few_exposures_are_no_labels():
    log = pd.DataFrame({"video_id": ["a", "a", "b", "b"], "watch_ratio": [0.2, 0.4, 0.9, np.nan]})
    assert mean_watch_ratio(log, least=2).to_dict() == pytest.approx({"a": 0.3})


def test_each_encoder_recommends_with_its_own_vectors(monkeypatch):
    clips = dict(zip("abcdef", coloured(6)[0], strict=True))
    encoders = {"one": Watched(0), "tuned": Watched(1), "other": Brighter(0), "wide": Watched(0, 9)}
    seen = {}

    class Model:
        def __init__(self, vectors):
            self.vectors = vectors

        def fit(self, split):
            seen[self.name] = self.vectors
            return self

    parts = set()

    def evaluate(model, split, k, on, seed, label):
        parts.add(on)
        assert label == "ratio"
        return model.name

    monkeypatch.setattr(recommendations, "evaluate", evaluate)
    monkeypatch.setattr(recommendations, "compare", lambda a, b, seed: (a, b))
    results, found = recommendation_gains(encoders, clips, Model, split=None, label="ratio")
    assert results == {name: name for name in encoders}
    assert found == [("tuned", "one"), ("other", "one"), ("wide", "one")]
    for name, encoder in encoders.items():
        assert list(seen[name].index) == list("abcdef")
        np.testing.assert_allclose(seen[name], encoder.encode(list(clips.values())), atol=1e-5)
    # all for the first, one to see that the next is alike, all again after another preparation
    Watched.prepared = 0
    two = {name: encoders[name] for name in ("one", "tuned")}
    recommendation_gains(two, clips, Model, split=None, label="ratio")
    assert Watched.prepared <= 6 + 1 + 2
    assert parts == {"validation"}
    recommendation_gains(
        {"one": encoders["one"]}, clips, Model, split=None, on="test", label="ratio"
    )
    assert parts == {"validation", "test"}  # the test is looked at by name only


def test_gains_over_worlds():
    """By hand: gains 1 and 3, half widths 3 and 4 below and 6 and 8 above."""
    one = {"target": "t", "strategy": "full", "vectors": "both"}
    rows = [one | {"more": 1.0, "low": -2.0, "high": 7.0}, one | {"more": 3, "low": -1, "high": 11}]
    other = one | {"vectors": "tuned"}
    rows += [other | {"more": -2.0, "low": -3.0, "high": -1.0}]
    rows += [other | {"more": 2.0, "low": 1.0, "high": 3.0}]
    found = over_worlds(pd.DataFrame(rows))
    assert found.index.tolist() == ["t, full, both", "t, full, tuned"]
    assert found.iloc[0].tolist() == [2.0, 2 - 5 / 2, 2 + 10 / 2, 0, 0, 2]
    assert found.iloc[1].tolist() == pytest.approx([0, -(2**0.5) / 2, 2**0.5 / 2, 1, 1, 2])
    with pytest.raises(ValueError, match="lacks the column high, more"):
        over_worlds(pd.DataFrame(rows).drop(columns=["more", "high"]))


def test_the_interval_over_worlds_is_that_of_drawing_users_in_each():
    rng = np.random.default_rng(0)
    users = [rng.normal(mean, 0.2, 400) for mean in (0.0, 0.02, 0.05)]
    draws = [[rng.choice(u, len(u)).mean() for _ in range(4000)] for u in users]
    rows = [
        {"target": "t", "strategy": "s", "vectors": "v", "more": u.mean(),
         "low": np.quantile(d, 0.025), "high": np.quantile(d, 0.975)}
        for u, d in zip(users, draws, strict=True)
    ]  # fmt: skip
    found = over_worlds(pd.DataFrame(rows)).iloc[0]
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=5e-4)


def test_gains_that_exclude_zero_are_printed(capsys):
    table = pd.DataFrame(
        {"mean": [0.02, -0.03, 0.01], "low": [0.01, -0.04, 0.0], "high": [0.03, -0.02, 0.02],
         "better": [2, 0, 1], "worse": [0, 1, 0], "worlds": [5, 5, 5]}, ["a", "b", "c"]
    )  # fmt: skip
    print_gains(table)
    assert capsys.readouterr().out.splitlines() == [
        "a: +0.0200 [+0.0100, +0.0300]; the interval excludes zero on 2 of 5 platforms.",
        "b: -0.0300 [-0.0400, -0.0200]; the interval excludes zero on 1 of 5 platforms.",
        "The other 1 of 3 intervals contain zero.",
    ]


def test_figure_of_gains():
    table = pd.DataFrame(
        {"mean": [0.1, -0.2, 0.3], "low": [0.0, -0.4, 0.2], "high": [0.3, -0.1, 0.4]},
        ["motion, full, tuned", "motion, full, both", "tags, full, tuned"],
    )
    axes = plot_gains(table).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["motion, full", "tags, full"]
    tuned, both = axes.containers
    assert tuned.lines[0].get_xdata().tolist() == [0.1, 0.3]
    assert both.lines[0].get_xdata().tolist() == [-0.2]
    ends = [segment[:, 0].tolist() for segment in tuned.lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[0.0, 0.3], [0.2, 0.4]])
    with pytest.raises(ValueError, match="no gain"):
        plot_gains(table.iloc[:0])


def test_the_committed_gains_are_whole_and_chosen_on_validation():
    tests, tried = recorded(GAINS), recorded(GAINS, split="validation")
    assert tests.attrs["command"] == "python benchmarks/fine_tuned_recommendations.py"
    keys = ["world", "target", "strategy", "vectors"]
    asked = {(target, how) for target in TARGETS for how in ("partial", "full")}
    asked |= {("motion", "probe"), ("shuffled motion", "full")}  # the controls
    assert set(zip(tests["target"], tests["strategy"], strict=True)) == asked
    assert len(tests) == 5 * 10 * 2
    assert set(tests["vectors"]) == {"tuned", "both"}
    assert not tests.duplicated(keys).any()
    for key, (_, chosen) in zip(tests[keys].itertuples(index=False), tests.iterrows(), strict=True):
        there = tried[(tried[keys] == list(key)).all(axis=1)]
        assert chosen["numbers"] == there.loc[there["ndcg"].idxmax(), "numbers"]
    assert (tests["low"] <= tests["more"]).all()
    assert (tests["more"] <= tests["high"]).all()
    assert (tests["ndcg"] - tests["before"]).to_numpy() == pytest.approx(tests["more"])
    assert (tests.groupby("world")["before"].agg(np.ptp) == 0).all()  # of one baseline


def test_the_committed_gains_are_to_what_this_code_recommends_with():
    assert recorded(GAINS).attrs["world"] == VERSION
    library, _ = preprocessing.clean(datasets.load("minitube"))
    clips = read_clips(library, short="stretch")
    split = preprocessing.split_by_time(
        library.interactions, library.videos, validation=0.1, test=0.2
    )
    encoders = {"as it came": video_encoders.load("two_stream_mini")}
    found, _ = recommendation_gains(encoders, clips, ContentRecommender, split, on="test")
    recorded_value = recorded(GAINS).query("world == 0")["before"].iloc[0]
    assert found["as it came"].interval("ndcg")[0] == pytest.approx(recorded_value, abs=1e-3)


def test_vectors_side_by_side_are_centred_and_of_length_one():
    one = pd.DataFrame([[3.0, 0.0], [1.0, 0.0]], index=["a", "b"])
    other = pd.DataFrame([[0.0, 9.0], [0.0, 5.0]], index=["b", "a"])
    both = side_by_side(one, other)
    np.testing.assert_allclose(both, [[1, 0, 0, -1], [-1, 0, 0, 1]])
    assert list(both.index) == ["a", "b"]
    with pytest.raises(ValueError, match="different ids"):
        side_by_side(one, other.rename(index={"b": "c"}))
