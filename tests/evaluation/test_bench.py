"""The bench of a notebook: what it prints is what `evaluate` and `compare` return."""

import pandas as pd
import pytest

from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import Bench, compare, evaluate
from vidrec_utils.recommender import Popularity, Random

START = pd.Timestamp("2025-03-01", tz="UTC")


def log(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"])
    return frame.assign(timestamp=START, watch_ratio=1.0)


@pytest.fixture
def split():
    users, videos = [f"u{i}" for i in range(8)], [str(i) for i in range(9)]
    train = log([(u, v) for i, u in enumerate(users) for v in videos[: 1 + i % 3]])
    test = log([(u, videos[3 + i % 5]) for i, u in enumerate(users)])
    return Split(train, log([("u0", "4")]), test, pd.DataFrame(index=videos), "by hand")


def test_what_is_printed_is_what_is_returned(split, capsys):
    bench = Bench(split, k=3, seed=5)
    popular, chance = bench.score(Popularity(), "test"), bench.score(Random(seed=1), "test")
    same = evaluate(Popularity().fit(split), split, 3, "test", 5)
    pd.testing.assert_frame_equal(popular.per_user, same.per_user)
    mean, low, high = same.interval("ndcg")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"popularity: NDCG@3 {mean:.3f} [{low:.3f}, {high:.3f}] on test."
    comparison, again = bench.compare(popular, chance), compare(popular, chance, "ndcg", 5)
    assert (comparison.low, comparison.high) == (again.low, again.high)
    assert f"popularity minus random: {again.difference:+.4f}" in capsys.readouterr().out
    bench.compare(popular, chance, "cold videos")
    assert "on cold videos." in capsys.readouterr().out


def test_it_measures_on_validation_by_default(split, capsys):
    bench = Bench(split, k=2, metric="recall")
    assert len(bench.score(Popularity()).per_user) == 1
    assert "RECALL@2" in capsys.readouterr().out
