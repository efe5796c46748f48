"""Protocols that refuse, corrected comparisons, slices, full ranks, the choice, and bad input."""

import tracemalloc
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from vidrec_utils import evaluation, reporting
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation.protocol import LABELS, Protocol, ProtocolMismatch
from vidrec_utils.recommender import Popularity, Random, Recommender


class Constant(Recommender):
    """The same score for everything."""

    name = "constant"

    def _fit(self, matrix):
        pass

    def _score(self, users):
        return np.zeros((len(users), len(self.video_ids)), np.float32)


def simulated(n_users=120, n_videos=30, seed=0, per_user=12):
    """Low video numbers are watched to the end more often; two categories."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{i:04d}" for i in range(n_users)], per_user),
            "number": np.concatenate(
                [rng.permutation(n_videos)[:per_user] for _ in range(n_users)]
            ),
        }
    )
    frame["video_id"] = [f"v{i:04d}" for i in frame["number"]]
    odds = 0.9 - frame.pop("number") / n_videos * 0.8
    frame["watch_ratio"] = (rng.random(len(frame)) < odds).astype(float)
    part = np.tile(np.arange(per_user), n_users)
    videos = pd.DataFrame({"category": ["even", "odd"] * (n_videos // 2)})
    videos.index = pd.Index([f"v{i:04d}" for i in range(n_videos)], name="video_id")
    return Split(frame[part < 6], frame[part == 6], frame[part > 6], videos, "simulated")


SPLIT = simulated()


def result(model=None, split=SPLIT, **options):
    return evaluation.evaluate(
        (model or Popularity()).fit(split), split, **{"on": "test"} | options
    )


def test_every_field_of_a_protocol_is_compared():
    assert list(LABELS) == [field.name for field in fields(Protocol)]


def test_a_protocol_names_what_differs():
    a = result()
    changes = {
        "length of the lists, k: 10 against 5": result(k=5),
        "evaluated part: 'test' against 'validation'": result(on="validation"),
        "what counts as relevant: 'watch ratio >= 0.8": result(threshold=0.5),
        "order of ties: 'in catalogue order' against 'in one random": result(ties="shuffled"),
        "order of ties: 'in catalogue order' against 'averaged": result(ties="mid-rank"),
        "ideal: 'NDCG and MAP over min(n, k)' against": result(ideal="n"),
        "denominator of recall: 'recall over all": result(recall="min(n, k)"),
        "what is masked: 'those shown to the user in train and": result(masked="train"),
        "split: 'simulated' against 'other'": result(split=replace(SPLIT, name="other")),
        "catalogue (hash": result(split=replace(SPLIT, videos=SPLIT.videos.iloc[::-1])),
        "relevant videos of the users (hash": result(split=simulated(seed=1)),
        "videos masked for the users (hash": result(
            split=replace(SPLIT, train=SPLIT.train.iloc[:-1])
        ),
    }
    for part, b in changes.items():
        with pytest.raises(ProtocolMismatch, match="not comparable") as caught:
            evaluation.compare(a, b)
        assert any(line.startswith(part) for line in caught.value.differences), part
        assert part in str(caught.value)
        with pytest.raises(ProtocolMismatch):
            evaluation.leaderboard([a, replace(b, name="b")])
    only = result(k=5).protocol.differences(a.protocol)
    assert only == ["length of the lists, k: 5 against 10"]
    assert a.protocol == result(Random(0)).protocol
    assert a.digest == result(Random(0)).digest


def test_the_protocol_is_printed_with_numbers():
    a, b = result(), result(Random(0))
    for text in (
        str(a),
        a.report(),
        a.report("cold videos", ["recall"]),
        str(evaluation.compare(a, b)),
        a.table().attrs["protocol"],
        evaluation.leaderboard([a, b]).attrs["protocol"],
        evaluation.compare_all([a, b]).attrs["protocol"],
    ):
        assert "k = 10; candidates: all 30 videos (no times of publication are known)" in text
        assert ") minus those shown to the user in train and validation" in text
    assert "cold videos" in a.report("cold videos")
    with pytest.raises(KeyError, match="choose from 'all', 'light users'"):
        a.table("rainy days")


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.04, 0.01, np.nan, 0.03], [0.06, 0.03, np.nan, 0.06]),
        ([0.6, 0.7], [1, 1]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holm_by_hand(p, expected):
    np.testing.assert_allclose(evaluation.holm(p), expected)
    with pytest.raises(ValueError, match="between 0 and 1"):
        evaluation.holm([0.1, 1.2])


def test_holm_keeps_false_alarms_rare_and_uncorrected_tests_do_not():
    p = np.random.default_rng(0).random((4000, 8))  # nothing differs
    corrected = np.array([evaluation.holm(row) for row in p])
    assert (p.min(axis=1) < 0.05).mean() > 0.3
    assert (corrected.min(axis=1) < 0.05).mean() == pytest.approx(0.05, abs=0.012)


def named(model, name):
    model.name = name
    return model


def test_compare_all():
    results = [result(named(Random(seed), f"random {seed}")) for seed in range(4)] + [result()]
    against = evaluation.compare_all(results, "recall", against="popularity")
    assert against["clear"].all()
    assert (against["difference"] < 0).all()
    pairs = evaluation.compare_all(results[:4], "recall")
    assert len(pairs) == 6
    assert not pairs["clear"].any()
    assert (pairs["p_holm"] >= pairs["p_value"]).all()
    signs = evaluation.compare_all(results[:4], "recall", test="signs")
    np.testing.assert_allclose(signs["p_value"], pairs["p_value"], atol=0.05)
    alone = evaluation.compare(results[0], results[3], "recall")
    row = pairs.set_index(["a", "b"]).loc["random 0", "random 3"]
    for name in ("difference", "low", "high", "p_value", "n_users"):
        assert row[name] == pytest.approx(getattr(alone, name)), name
    with pytest.raises(ValueError, match="no result 'x'"):
        evaluation.compare_all(results, against="x")
    with pytest.raises(ValueError, match="named 'popularity'"):
        evaluation.compare_all([result(), result()])
    with pytest.raises(ValueError, match="at least 2"):
        evaluation.compare_all([result()])
    with pytest.raises(ValueError, match="choose from 'bootstrap', 'signs'"):
        evaluation.compare(results[0], results[1], test="t")


def test_sign_test_equals_the_enumeration():
    from itertools import product

    from vidrec_utils.evaluation.comparison import _signs

    differences = np.array([0.5, 0.25, -0.1, 0.3, 0.0, 0.2, 0.4])
    sums = [abs(np.dot(signs, differences)) for signs in product([-1, 1], repeat=7)]
    exact = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    assert _signs(differences, 40_000, 0) == pytest.approx(exact, abs=0.01)


def test_slices_of_videos():
    got = result(by="category", k=5)
    assert [name for name in got.slices if name.startswith("category")] == [
        "category: even",
        "category: odd",
    ]
    both = [got.slices[f"category: {name}"]["n_relevant"] for name in ("even", "odd")]
    total = both[0].add(both[1], fill_value=0)
    pd.testing.assert_series_equal(
        total, got.per_user["n_relevant"], check_dtype=False, check_names=False
    )
    head, tail = got.slices["head videos"], got.slices["tail videos"]
    total = head["n_relevant"].add(tail["n_relevant"], fill_value=0)
    np.testing.assert_array_equal(total, got.per_user["n_relevant"])
    shares = got.list_share
    np.testing.assert_allclose(shares["head videos"] + shares["tail videos"], 1)
    np.testing.assert_allclose(shares["category: even"] + shares["category: odd"], 1)
    with pytest.raises(KeyError, match="no column 'mood'"):
        result(by="mood")
    lead = evaluation.compare(result(), result(Random(0)), "recall", which="tail videos")
    assert lead.n_users == len(result().slices["tail videos"])


def test_diversity_is_a_metric_where_vectors_are_given():
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 5)), index=SPLIT.videos.index)
    got = result(vectors=vectors)
    assert got.table().loc["diversity", "n_users"] == len(got.per_user)
    other = result(Random(0), vectors=vectors)
    assert evaluation.compare(got, other, "diversity").metric == "diversity"
    with pytest.raises(ValueError, match="no metric 'diversity' in both"):
        evaluation.compare(got, result(Random(0)), "diversity")


def test_slices_have_the_diversity_of_their_own_lists():
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 5)), index=SPLIT.videos.index)
    got = result(Constant(), by="category", vectors=vectors)
    for which in got.slices:
        assert got.table(which).loc["diversity", "n_users"] == len(got.rows(which))
    light = got.slices["light users"]["diversity"]
    pd.testing.assert_series_equal(light, got.per_user.loc[light.index, "diversity"])
    # By hand: equal scores list the first ten even videos that the user has not seen.
    even = SPLIT.videos.index[SPLIT.videos["category"] == "even"]
    known, unit = SPLIT.known("test"), vectors.div(np.linalg.norm(vectors, axis=1), axis=0)
    for user, diversity in got.slices["category: even"]["diversity"].head(5).items():
        rows = unit.loc[even.difference(known["video_id"][known["user_id"] == user])[:10]]
        cosines = (rows @ rows.T).to_numpy()[np.triu_indices(len(rows), 1)]
        assert diversity == pytest.approx(1 - cosines.mean(), rel=1e-5)


def test_shuffled_ties_free_a_constant_scorer_from_the_catalogue():
    plain = result(Constant())
    mixed = [result(Constant(), ties="shuffled", seed=seed) for seed in range(20)]
    chance = 10 / (30 - 7)  # ten of those that a user was not shown before
    means = [r.per_user["recall"].mean() for r in mixed]
    assert np.mean(means) == pytest.approx(chance, abs=0.03)
    # this catalogue is sorted by what is liked: its order is worth something
    assert plain.per_user["recall"].mean() > np.mean(means) + 0.03
    assert (result(ties="shuffled").per_user["recall"] != result().per_user["recall"]).mean() < 0.3


def test_ranks_agree_with_the_lists():
    model = Random(3).fit(SPLIT)
    ranks = evaluation.ranks(model, SPLIT, on="test")
    seen = pd.concat([SPLIT.train, SPLIT.validation])
    for user in ("u0003", "u0057"):
        mine = ranks[ranks["user_id"] == user]
        out = set(seen.loc[seen["user_id"] == user, "video_id"]) | set(mine["video_id"])
        scores = pd.Series(model.score(user)[0], index=model.video_ids)
        rivals = scores.drop(list(out))
        for row in mine.itertuples():
            assert row.rank == 1 + (rivals > scores[row.video_id]).sum()
            assert row.n_candidates == len(rivals) + 1
    first = ranks.groupby("user_id")["rank"].min()
    hit = evaluation.evaluate(model, SPLIT, k=1, on="test").per_user["hit_rate"]
    pd.testing.assert_series_equal(
        first.eq(1).astype(float), hit, check_names=False, check_index_type=False
    )
    ties = evaluation.ranks(
        Constant().fit(SPLIT), SPLIT, on="test"
    )  # in the order of the catalogue
    assert (ties["rank"] <= ties["n_candidates"]).all()
    assert ties["rank"].nunique() > 5


def test_ranks_of_videos_outside_the_recommenders_catalogue_are_last():
    few = SPLIT.train[SPLIT.train["video_id"] < "v0010"]
    ranks = evaluation.ranks(Popularity().fit(few), SPLIT)
    outside = ranks["video_id"] >= "v0010"
    assert (ranks.loc[outside, "rank"] == ranks.loc[outside, "n_candidates"]).all()


def test_memory_does_not_grow_with_the_matrix(monkeypatch):
    monkeypatch.setattr("vidrec_utils.recommender.BLOCK_VALUES", 2**17)
    split = simulated(n_users=1500, n_videos=3000)
    model = Constant().fit(split)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        evaluation.evaluate(model, split, k=10, slices=False, progress=False)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    matrix = 1500 * 3000 * 4  # 18 MB of scores, and half as much of hits
    assert peak < 0.6 * matrix, f"{peak / 1e6:.1f} MB were taken, the matrix has {matrix / 1e6} MB"


# Bad input ---------------------------------------------------------------------------------------


def tiny(train, test, videos):
    def frame(pairs):
        rows = pd.DataFrame(pairs, columns=["user_id", "video_id", "watch_ratio"])
        return rows.astype({"watch_ratio": float})

    index = pd.Index(videos, name="video_id")
    return Split(frame(train), None, frame(test), pd.DataFrame(index=index), "tiny")


def test_an_empty_test_is_an_error():
    with pytest.raises(ValueError, match="test part of the split 'simulated' has no interactions"):
        result(split=replace(SPLIT, test=SPLIT.test.iloc[:0]))


def test_nothing_liked_is_an_error():
    dull = SPLIT.test.assign(watch_ratio=0.0)
    with pytest.raises(ValueError, match="nothing to measure"):
        result(split=replace(SPLIT, test=dull))


def test_one_user_and_one_video():
    split = tiny([["u", "a", 1]], [["u", "b", 1]], ["a", "b"])
    got = result(split=split, k=5)
    assert got.per_user["recall"].tolist() == [1]
    assert got.table().loc["ndcg", ["mean", "low", "high"]].tolist() == [1, 1, 1]
    compared = evaluation.compare(got, got)
    assert (compared.difference, compared.n_users) == (0, 1)
    alone = tiny([["v", "a", 1]], [["u", "a", 1]], ["a"])
    assert result(split=alone).per_user["precision"].tolist() == [1 / 10]
    assert evaluation.ranks(Popularity().fit(alone), alone, "test")["n_candidates"].tolist() == [1]


def test_ids_as_integers_in_one_table_and_texts_in_another():
    mixed = tiny([[1, 10, 1], [2, 11, 1]], [["1", "11", 1], ["2", "12", 1]], [10, 11, 12])
    texts = tiny(
        [["1", "10", 1], ["2", "11", 1]], [["1", "11", 1], ["2", "12", 1]], ["10", "11", "12"]
    )
    a, b = result(split=mixed, k=2), result(split=texts, k=2)
    pd.testing.assert_frame_equal(a.per_user, b.per_user)
    assert a.protocol == b.protocol


def test_duplicate_exposures_count_once_as_relevant():
    once = result(k=3)
    twice = result(split=replace(SPLIT, test=pd.concat([SPLIT.test, SPLIT.test])), k=3)
    pd.testing.assert_frame_equal(once.per_user, twice.per_user)


def test_missing_signals_are_no_dislike_and_no_like():
    test = SPLIT.test.copy()
    test.loc[test.index[::2], "watch_ratio"] = np.nan
    left = test.dropna(subset="watch_ratio")
    a = result(split=replace(SPLIT, test=test), k=3).per_user
    b = result(split=replace(SPLIT, test=left), k=3).per_user
    pd.testing.assert_frame_equal(a, b)
    with pytest.raises(ValueError, match="neither watch_ratio nor liked"):
        result(split=replace(SPLIT, test=test.assign(watch_ratio=np.nan)))


def test_scores_of_nan_are_never_recommended():
    class Broken(Constant):
        def _score(self, users):
            return np.full((len(users), len(self.video_ids)), np.nan, np.float32)

    got = result(Broken())
    assert got.top.isna().all(axis=None)
    assert got.per_user["recall"].eq(0).all()
    assert got.per_user["novelty"].isna().all()
    assert got.coverage == 0


def test_options_are_checked():
    with pytest.raises(ValueError, match="ties is 'lucky'"):
        result(ties="lucky")


# Choosing ----------------------------------------------------------------------------------------

CANDIDATES = pd.DataFrame(
    {
        "score": [0.10, 0.13, 0.14, 0.145, 0.30, 0.25],
        "low": [0.09, 0.12, 0.13, 0.135, 0.29, 0.24],
        "high": [0.11, 0.139, 0.15, 0.155, 0.31, 0.26],
        "seconds": [0, 5, 20, 90, 4000, 30],
        "memory_mb": [1, 100, 400, 900, 9000, 300],
        "needs": [pd.NA, "title", "thumbnail", "path", "path", "audio"],
        "licence": [pd.NA, "MIT", "Apache-2.0", "MIT", "MIT", "MIT"],
    },
    index=["popularity", "text", "image", "video", "giant", "sound"],
)
SIGNALS = ["title", "thumbnail", "path"]


def test_choice_by_data_budget_score_and_cost():
    got = evaluation.choose(
        CANDIDATES, available=SIGNALS, max_seconds=100, max_memory_mb=1000, baseline="popularity"
    )
    assert got.name == "video"  # image is cheaper, but may be worse by more than 0.005
    assert got.table.loc["image", "verdict"] == "cannot tell whether it is worse than video"
    assert "Not taken, as we cannot tell whether they are worse by more than 0.005: image." in (
        got.reasons
    )
    # image minus video: -0.005 [-0.0191, 0.0091], by hand from the two intervals
    got = evaluation.choose(
        CANDIDATES, available=SIGNALS, max_seconds=100, max_memory_mb=1000, baseline="popularity",
        margin=0.02,
    )  # fmt: skip
    assert got.name == "image"
    verdict = got.table["verdict"]
    assert verdict["sound"] == "the data lack what it reads"
    assert verdict["giant"] == "it takes more than 100 s"
    assert verdict["text"] == "clearly worse than video"
    assert verdict["video"] == "not worse, but not as cheap"
    assert verdict["image"] == "chosen"
    assert "clearly better than the baseline" in str(got)
    assert evaluation.choose(CANDIDATES).name == "giant"
    free = evaluation.choose(CANDIDATES, licences=["Apache-2.0"], baseline="popularity")
    assert free.name == "image"
    assert "rules out text, video, giant, sound" in str(free)
    small = evaluation.choose(CANDIDATES, available=SIGNALS, max_memory_mb=200)
    assert small.name == "text"


def test_the_baseline_stays_when_nothing_is_clearly_better():
    close = CANDIDATES.assign(low=0.05)
    got = evaluation.choose(close, available=["title"], max_seconds=100, baseline="popularity")
    assert got.name == "popularity"
    alone = evaluation.choose(CANDIDATES, available=[], max_seconds=0, baseline="popularity")
    assert alone.name == "popularity"


def test_choice_by_paired_tests():
    models = [Popularity(), Random(0)]
    split = simulated(n_users=800)
    results = {m.name: result(m, split, on="validation") for m in models}
    table = evaluation.leaderboard(results.values()).rename(columns={"mean": "score"})
    got = evaluation.choose(table, results=results, metric="ndcg", baseline="random")
    assert got.name == table["score"].idxmax() == "popularity"
    with pytest.raises(ValueError, match="evaluated on test"):
        evaluation.choose(table, results={m.name: result(m) for m in models})
    with pytest.raises(ValueError, match="no result for"):
        evaluation.choose(table, results={})


def shifted(result, name, by, noise, seed):
    """A result whose users have the same NDCG, shifted, and noise of mean zero."""
    values = result.per_user["ndcg"]
    drawn = np.random.default_rng(seed).normal(size=len(values)) * noise
    ndcg = values + by + drawn - drawn.mean()
    return replace(result, name=name, per_user=result.per_user.assign(ndcg=ndcg))


def test_a_cheap_candidate_of_which_nothing_is_known_is_not_chosen():
    """The cheap one loses 0.004: with little noise that is no more than 0.01, with much unknown."""
    best = result(split=simulated(n_users=400), on="validation")
    table = pd.DataFrame({"seconds": [60, 5]}, index=["large", "small"])
    for noise, chosen in ((0.01, "small"), (0.5, "large")):
        results = {"large": best, "small": shifted(best, "small", -0.004, noise, 0)}
        board = evaluation.leaderboard(
            [replace(r, name=name) for name, r in results.items()]
        ).rename(columns={"mean": "score"})
        got = evaluation.choose(table.join(board), results=results, margin=0.01)
        assert got.name == chosen
    assert got.table.loc["small", "verdict"] == "cannot tell whether it is worse than large"
    with pytest.raises(ValueError, match="margin is 0"):
        evaluation.choose(CANDIDATES, margin=0)


def test_non_inferiority_by_hand():
    """Differences of mean d and spread s have the interval d +- 1.96 s / sqrt(n), nearly."""
    best = result(split=simulated(n_users=400), on="validation")
    n = len(best.per_user)
    got = evaluation.compare(shifted(best, "other", -0.002, 0.03, 1), best, margin=0.005)
    spread = (shifted(best, "x", 0, 0.03, 1).per_user["ndcg"] - best.per_user["ndcg"]).std()
    half = 1.96 * spread / np.sqrt(n)
    assert got.difference == pytest.approx(-0.002)
    assert (got.low, got.high) == pytest.approx((-0.002 - half, -0.002 + half), abs=4e-4)
    assert got.verdict == "cannot tell" if got.low <= -0.005 else "not worse"
    z = (-0.002 + 0.005) / (spread / np.sqrt(n))  # how far the margin lies from the mean
    assert got.p_not_worse == pytest.approx(norm.sf(z), abs=0.01)
    assert (got.p_not_worse < 0.025) == (got.low > -0.005)
    assert evaluation.compare(best, best).p_not_worse is None
    assert "we cannot tell" in evaluation.compare(shifted(best, "x", 0, 0.5, 2), best).outcome()


def test_wrong_claims_of_not_worse_are_rare():
    """The truth is a loss of exactly the margin: 2.5% of all samples may say "not worse"."""
    rng = np.random.default_rng(0)
    losses = rng.normal(-0.005, 0.1, size=(400, 200))  # 400 samples of 200 users
    draws = evaluation.bootstrap_means(losses.T, 1000, seed=0)  # (1000, 400)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    verdicts = [reporting.verdict(*ends, margin=0.005) for ends in zip(low, high, strict=True)]
    assert np.mean(np.isin(verdicts, ["not worse", "better"])) < 0.05
    # What only asks that the interval reach zero says "no worse" nearly always.
    assert (high >= 0).mean() > 0.8


def test_compare_all_with_a_margin():
    best = result(split=simulated(n_users=400), on="validation")
    others = [shifted(best, f"noise {s}", -0.001, s, 1) for s in (0.01, 0.6)]
    pairs = evaluation.compare_all([best, *others], against=best.name, margin=0.005)
    assert pairs["not_worse"].tolist() == [True, False]
    assert pairs["p_not_worse_holm"].tolist() == pytest.approx(
        evaluation.holm(pairs["p_not_worse"]).tolist()
    )
    assert not pairs["clear"].iloc[1]  # neither shown to be worse, nor shown not to be
    assert "not_worse" not in evaluation.compare_all([best, *others])


def test_choice_of_nothing_and_other_mistakes():
    with pytest.raises(ValueError, match="No candidate is left"):
        evaluation.choose(CANDIDATES.drop(index="popularity"), available=[])
    with pytest.raises(ValueError, match="lack the columns low, high"):
        evaluation.choose(CANDIDATES[["score"]])
    with pytest.raises(ValueError, match="no score"):
        evaluation.choose(CANDIDATES.assign(score=np.nan))
    with pytest.raises(ValueError, match="'text'"):
        evaluation.choose(pd.concat([CANDIDATES, CANDIDATES.loc[["text"]]]))
    with pytest.raises(ValueError, match="'x' is not among"):
        evaluation.choose(CANDIDATES, baseline="x")
