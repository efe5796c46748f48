"""Metrics by hand and against scikit-learn; the protocol; intervals that cover the truth."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from vidrec_utils import evaluation
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.datasets import Split
from vidrec_utils.recommender import FixedScores, Popularity, Random, Recommender, top_k


class Fixed(Recommender):
    """Scores given by hand: a frame of users x videos."""

    name = "fixed"

    def __init__(self, scores):
        self.given = scores

    def _fit(self, matrix):
        pass

    def _score(self, users):
        return self.given.loc[self.user_ids[users], self.video_ids].to_numpy("f4")

    def _score_unknown(self, user_ids):
        return self.given.loc[user_ids, self.video_ids].to_numpy("f4")


def events(text, **columns):
    """Interactions from "user video ratio" triples."""
    rows = [line.split() for line in text.split(",") if line.strip()]
    frame = pd.DataFrame(rows, columns=["user_id", "video_id", "watch_ratio"])
    return frame.astype({"user_id": "str", "video_id": "str", "watch_ratio": float}).assign(
        **columns
    )


def split_of(train, test, videos, validation=""):
    table = pd.DataFrame(index=pd.Index(list(videos), name="video_id"))
    return Split(events(train), events(validation), events(test), table, "by hand")


SPLIT = split_of(
    train="u a 1, v a 0.1, v b 1, w c 1",
    test="u b 0.9, u d 1, u a 1, u e 0.2, v c 0.1, w e 0.8, w e 1, x a 1",
    videos="abcdef",
)
SCORES = pd.DataFrame(
    [
        # a  b  c  d  e  f
        [9, 2, 3, 1, 0, 5],  # u saw a: f c b d e; relevant b, d
        [0, 0, 1, 0, 0, 0],  # v: nothing relevant
        [3, 4, 9, 5, 2, 1],  # w saw c: d b a e f; relevant e
        [6, 5, 4, 3, 2, 1],  # x is new: a b c d e f; relevant a
    ],
    index=list("uvwx"),
    columns=list("abcdef"),
)


def result(k=3, split=SPLIT, scores=SCORES, **options):
    return evaluate(Fixed(scores).fit(split), split, k=k, **options)


def evaluate(model, split, k=10, on="test", **options):
    """`evaluation.evaluate`, on the test unless something else is asked for."""
    return evaluation.evaluate(model, split, k, on, **options)


def test_metrics_by_hand():
    got = result(k=3)
    users = got.per_user
    assert users.index.tolist() == ["u", "w", "x"]
    assert got.n_left_out == 1
    assert got.top.loc["u"].tolist() == ["f", "c", "b"]
    assert got.top.loc["w"].tolist() == ["d", "b", "a"]
    assert got.hits.loc["u"].tolist() == [False, False, True]
    assert got.hits.loc["x"].tolist() == [True, False, False]
    expected = {
        "hit_rate": [1, 0, 1],
        "precision": [1 / 3, 0, 1 / 3],
        "recall": [1 / 2, 0, 1],
        "f1": [2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2), 0, 2 * (1 / 3) / (4 / 3)],
        "ndcg": [(1 / 2) / (1 + 1 / np.log2(3)), 0, 1],
        "mrr": [1 / 3, 0, 1],
        "map": [(1 / 3) / 2, 0, 1],
        # of u's 5 candidates f, c are wrongly on the list and d wrongly off
        "accuracy": [2 / 5, 1 / 5, 4 / 6],
        "n_relevant": [2, 1, 1],
        "n_known": [1, 1, 0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(users[name], values, err_msg=name)


def test_novelty_popularity_coverage_and_lift_by_hand():
    got = result(k=3)
    # shown in train: a twice, b and c once; three users
    bits = {v: -np.log2((n + 1) / 4) for v, n in zip("abcdef", [2, 1, 1, 0, 0, 0], strict=True)}
    novelty = [np.mean([bits[v] for v in row]) for row in ("fcb", "dba", "abc")]
    np.testing.assert_allclose(got.per_user["novelty"], novelty)
    np.testing.assert_allclose(got.per_user["popularity"], [2 / 3, 3 / 3, 4 / 3])
    table = got.table()
    assert table.loc["coverage", "mean"] == 5 / 6
    assert np.isnan(table.loc["coverage", "low"])
    # histories: u watched a (2 shows), w watched c (1 show), x has none
    # only these two count: their lists have 2/3 and 3/3, on average 5/6, their histories 3/2
    np.testing.assert_allclose(table.loc["popularity_lift", "mean"], (5 / 6) / 1.5 - 1)
    assert (table["n_users"].drop("popularity_lift") == 3).all()
    assert table.loc["popularity_lift", "n_users"] == 2  # x has no history to lift from


def short_lists():
    """Results of a full catalogue and of two of its four videos, which leave u no list."""
    split = split_of(
        train="u a 1, u b 1, v a 1, w b 1, w c 1", test="u c 1, v b 1, w a 1", videos="abcd"
    )
    part = split.train[split.train["video_id"].isin(["a", "b"])]
    full, partial = (evaluate(Popularity().fit(data), split, k=2) for data in (split, part))
    assert partial.top.loc["u"].isna().all()
    return full, partial


def test_empty_lists_are_left_out_of_means_and_counts():
    _, partial = short_lists()
    table = partial.table()
    # u has no list; v's is b, w's is a, each shown to 2 of 3 users
    bits = -np.log2((2 + 1) / (3 + 1))
    np.testing.assert_allclose(table.loc["novelty", ["mean", "low", "high"]].astype(float), bits)
    assert table.loc["novelty", "n_users"] == 2
    assert table.loc["ndcg", "n_users"] == 3
    cold = result().table("cold videos")
    # cold are d, e, f, all of which u and w are offered, with one relevant video each
    assert cold.loc["accuracy", "n_users"] == 2
    np.testing.assert_allclose(cold.loc["accuracy", ["mean", "low", "high"]].astype(float), 1 / 3)


def test_compare_leaves_out_users_without_a_value():
    full, partial = short_lists()
    got = evaluation.compare(partial, full, "novelty")
    # b and a have 2 viewers, c 1, d none: full lists are v: b, c and w: a, d (ties by catalogue)
    two, one, none = -np.log2(np.array([3, 2, 1]) / 4)
    np.testing.assert_allclose(got.difference, (2 * two - (two + one) / 2 - (two + none) / 2) / 2)
    assert got.n_users == 2
    assert got.low <= got.difference <= got.high < 0
    nothing = dataclasses.replace(partial, per_user=partial.per_user.assign(novelty=np.nan))
    with pytest.raises(ValueError, match="no user has a novelty in both"):
        evaluation.compare(nothing, full, "novelty")


def test_slices_by_hand():
    split = split_of(
        train="u a 1, u b 1, u c 1, v a 1, w a 1, w b 1",
        test="u d 1, v b 1, v d 1, w c 1, x a 1",
        videos="abcde",
    )
    scores = pd.DataFrame(1.0, index=list("uvwx"), columns=list("abcde"))
    scores.loc["v", ["c", "e"]] = 3, 2
    got = result(k=1, split=split, scores=scores)
    assert got.slices["light users"].index.tolist() == ["v", "w"]
    assert got.slices["heavy users"].index.tolist() == ["u"]
    assert got.slices["new users"].index.tolist() == ["x"]
    # d and e have no event. Alone they give u the list d, and v, who likes e more, the list e
    cold = got.slices["cold videos"]
    assert cold.index.tolist() == ["u", "v"]
    assert cold["recall"].tolist() == [1, 0]
    assert cold["accuracy"].tolist() == [1, 0]
    assert got.table("cold videos").loc["hit_rate", "mean"] == 0.5
    # the head is a, the video with most events, so the tail is b to e: u d, v c, w c
    tail = got.slices["tail videos"]
    assert tail["recall"].to_dict() == {"u": 1, "v": 0, "w": 1}
    # among all videos the lists are u d, v c, w c and x a
    assert got.list_share["cold videos"].tolist() == [1, 0, 0, 0]
    assert got.list_share["head videos"].tolist() == [0, 0, 0, 1]
    assert evaluation.by_slice(got)["list_share"]["tail videos"] == 0.75
    assert len(result(k=2, split=split, scores=scores, slices=False).slices) == 0


def test_k_beyond_the_catalogue():
    got = result(k=50)
    assert got.top.shape == (3, 6)
    assert got.top.loc["u"].isna().tolist() == [False] * 5 + [True]
    assert got.per_user["recall"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(got.per_user["precision"], [2 / 50, 1 / 50, 1 / 50])
    np.testing.assert_allclose(got.per_user["mrr"], [1 / 3, 1 / 4, 1])


def test_ndcg_and_map_equal_scikit_learn():
    rng = np.random.default_rng(1)
    truth = rng.random((200, 30)) < 0.2
    truth[:, 0] |= ~truth.any(axis=1)
    scores = rng.permuted(np.tile(np.arange(30.0), (200, 1)), axis=1)
    for k in (1, 5, 30):
        best = top_k(scores, k)
        got = evaluation.list_metrics(np.take_along_axis(truth, best, 1), truth.sum(axis=1), k)
        per_user = [ndcg_score(truth[[i]], scores[[i]], k=k) for i in range(200)]
        np.testing.assert_allclose(got["ndcg"], per_user)
        best_first = np.take_along_axis(truth, top_k(scores, 1), 1)[:, 0]
        if k == 1:
            np.testing.assert_allclose(got["precision"], best_first)
    lrap = label_ranking_average_precision_score(truth, scores)  # MAP over the whole list
    np.testing.assert_allclose(got["map"].mean(), lrap)


def test_positives_with_missing_signals():
    frame = events("u a 0.8, u b 0.79, u c 0.1")
    assert evaluation.positives(frame).tolist() == [True, False, False]
    liked = pd.array([None, False, True], dtype="boolean")
    assert evaluation.positives(frame.assign(liked=liked)).tolist() == [True, False, True]
    only = frame.assign(watch_ratio=np.nan, liked=liked)
    assert evaluation.positives(only).tolist() == [False, False, True]
    assert evaluation.positives(only.drop(columns="watch_ratio")).tolist() == [False, False, True]
    assert evaluation.positives(frame, threshold=0.1).all()


def test_positives_without_ratios_and_likes():
    frame = events("u a 0, u b 0, u c 0").drop(columns="watch_ratio")
    shared = frame.assign(shared=pd.array([True, False, None], dtype="boolean"))
    assert evaluation.positives(shared).tolist() == [True, False, False]
    assert evaluation.positives(shared.assign(comment=[None, "why?", " "])).tolist() == [1, 1, 0]
    with pytest.warns(UserWarning, match="all events count alike"):
        assert evaluation.positives(frame.assign(watch_ratio=np.nan)).all()
    assert evaluation.positives(frame.iloc[:0]).tolist() == []


def test_the_protocol_says_what_a_success_is():
    words = {}
    for name in ("watch_ratio", "shared", "nothing"):
        split = split_of("u a 1, v b 1", "u b 1, v a 1", "ab")
        for part in ("train", "validation", "test"):
            frame = getattr(split, part).rename(columns={"watch_ratio": name})
            split = dataclasses.replace(split, **{part: frame})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = evaluate(Popularity().fit(split), split, k=1)
        words[name] = result.protocol.relevant
    assert words == {
        "watch_ratio": "watch ratio >= 0.8 or liked",
        "shared": "shared or commented on",
        "nothing": "every exposure, since no signal says how it ended",
    }


def test_a_part_without_the_signal_of_training_is_refused():
    split = split_of("u a 1, v b 1", "u b 1, v a 1", "ab")
    split = dataclasses.replace(split, test=split.test.drop(columns="watch_ratio"))
    with pytest.raises(ValueError, match="test part have neither watch_ratio nor liked, shared"):
        evaluate(Popularity().fit(split), split, k=1)


def test_an_empty_training_part_is_refused_before_anything_is_ranked():
    split = split_of("", "u b 1, v a 1", "ab")
    with pytest.raises(
        ValueError, match="training part of the split 'by hand' has no interactions"
    ):
        evaluate(Popularity().fit(split), split, k=1)


def test_seen_in_validation_is_no_candidate_in_test():
    split = split_of("u a 1", "u b 1, u c 1", "abcd", validation="u c 1")
    scores = pd.DataFrame([[4, 1, 3, 2]], index=["u"], columns=list("abcd"))
    on_test = evaluate(Fixed(scores).fit(split), split, k=2)
    assert on_test.top.loc["u"].tolist() == ["d", "b"]
    assert on_test.per_user.loc["u", "n_relevant"] == 1
    on_validation = evaluate(Fixed(scores).fit(split), split, k=2, on="validation")
    assert on_validation.top.loc["u"].tolist() == ["c", "d"]


def test_videos_outside_the_recommenders_catalogue_cannot_be_hit():
    split = split_of("u a 1, v b 1, v c 1", "u d 1, u b 1", "dcba")
    known_only = Popularity().fit(split.train)
    got = evaluate(known_only, split, k=4)
    assert got.top.loc["u"].dropna().tolist() == ["c", "b"]
    assert got.per_user.loc["u", "recall"] == 0.5


def test_accuracy_counts_only_filled_places():
    _, partial = short_lists()
    # u: nothing listed, c missed of c, d; v: b listed, correctly, of b, c, d; w: a of a, d
    np.testing.assert_allclose(partial.per_user["accuracy"], [1 / 2, 1, 1])
    # candidates b to f, catalogue a, b: only c is relevant, and only b, wrongly, on the list
    split = split_of("u a 1, v b 1", "u c 1", "abcdef")
    got = evaluate(Popularity().fit(split.train), split, k=5)
    np.testing.assert_allclose(got.per_user["accuracy"], [3 / 5])
    many = simulated(n_users=60)
    few = many.train[many.train["video_id"] < "v04"]
    values = evaluate(Popularity().fit(few), many).per_user["accuracy"]
    assert values.between(0, 1).all()


def test_lift_compares_lists_and_histories_of_the_same_users():
    _, partial = short_lists()
    # u has no list. v was shown a, which 2 users were, and is offered b, which 2 were; w was
    # shown b (2) and c (1), on average 1.5, and is offered a (2): (2 + 2) / (2 + 1.5) - 1
    table = partial.table()
    np.testing.assert_allclose(table.loc["popularity_lift", "mean"], 4 / 3.5 - 1)
    assert table.loc["popularity_lift", "n_users"] == 2


def test_blocks_do_not_change_the_result(monkeypatch):
    whole = result()
    monkeypatch.setattr("vidrec_utils.recommender.BLOCK_VALUES", 7)
    pd.testing.assert_frame_equal(result().per_user, whole.per_user)


def test_bootstrap_matches_the_normal_interval_and_its_seed():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 2))
    values[::3, 1] = np.nan
    draws = evaluation.bootstrap_means(values, 4000, seed=1)
    expected = np.nanstd(values, axis=0) / np.sqrt((~np.isnan(values)).sum(axis=0))
    np.testing.assert_allclose(draws.std(axis=0), expected, rtol=0.05)
    np.testing.assert_allclose(draws.mean(axis=0), np.nanmean(values, axis=0), atol=0.005)
    np.testing.assert_array_equal(draws, evaluation.bootstrap_means(values, 4000, seed=1))


def simulated(n_users=300, n_videos=40, seed=0):
    """A world in which low video numbers are liked more."""
    rng = np.random.default_rng(seed)
    users = np.repeat([f"u{i}" for i in range(n_users)], 12)
    videos = np.concatenate([rng.permutation(n_videos)[:12] for _ in range(n_users)])
    ratio = (rng.random(len(users)) < 0.9 - videos / n_videos * 0.8).astype(float)
    frame = pd.DataFrame({"user_id": users, "watch_ratio": ratio})
    frame["video_id"] = [f"v{v:02d}" for v in videos]
    part = np.tile(np.arange(12), n_users)
    videos = pd.DataFrame(index=sorted(set(frame["video_id"])))
    return Split(frame[part < 7], frame[part == 7], frame[part > 7], videos, "simulated")


def test_compare_finds_a_planted_difference_and_no_other():
    split = simulated()
    popular = evaluate(Popularity().fit(split), split)
    chance = [evaluate(Random(seed).fit(split), split) for seed in (0, 1)]
    better = evaluation.compare(popular, chance[0], "recall")
    assert better.low > 0
    assert better.p_value < 0.001
    np.testing.assert_allclose(
        better.difference, popular.per_user["recall"].mean() - chance[0].per_user["recall"].mean()
    )
    same = evaluation.compare(chance[0], chance[1], "recall")
    assert same.low < 0 < same.high
    assert same.p_value > 0.05
    itself = evaluation.compare(popular, popular)
    assert (itself.difference, itself.p_value) == (0, 1)
    assert "popularity minus random" in str(better)


def test_other_protocols_refuse_comparison():
    split = simulated()
    model = Popularity().fit(split)
    a = evaluate(model, split)
    for b in (
        evaluate(model, split, k=5),
        evaluate(model, split, on="validation"),
        evaluate(model, split, threshold=0.5),
        evaluate(model, simulated(seed=1)),
    ):
        with pytest.raises(ValueError, match="not comparable"):
            evaluation.compare(a, b)
    with pytest.raises(ValueError, match="no metric"):
        evaluation.compare(a, a, "auc")


def test_table_and_sentence():
    got = result()
    table = got.table()
    assert table.columns.tolist() == ["mean", "low", "high", "n_users"]
    inside = table.drop(index="coverage").dropna()
    assert (inside["low"] <= inside["mean"]).all()
    assert (inside["mean"] <= inside["high"]).all()
    assert "all 6 videos" in str(got.protocol)
    assert "1 without a relevant candidate left out" in str(got.protocol)
    assert "fixed: NDCG@3" in str(got)
    assert got.interval("ndcg") == tuple(table.loc["ndcg", ["mean", "low", "high"]])


def test_errors_say_what_is_wrong():
    model = Fixed(SCORES).fit(SPLIT)
    with pytest.raises(ValueError, match="choose from 'test', 'validation'"):
        evaluate(model, SPLIT, on="train")
    with pytest.raises(ValueError, match="validation part of the split 'by hand' has no"):
        evaluate(model, SPLIT, on="validation")
    with pytest.raises(ValueError, match="at least 1"):
        evaluate(model, SPLIT, k=0)
    leaked = split_of("u a 1, u b 1", "u b 1", "abc")
    with pytest.raises(ValueError, match="train does not hold the test"):
        evaluate(Popularity().fit(leaked), leaked)
    with pytest.raises(ValueError, match="'z'"):
        evaluate(model, split_of("u a 1", "u z 1", "abc"))


def many(n_users, n_videos):
    """A split in which each user watched one video and then another."""
    train = pd.DataFrame({"user_id": [f"u{n}" for n in range(n_users)], "video_id": "v0"})
    train["watch_ratio"] = 1.0
    test = train.assign(video_id=[f"v{1 + n % (n_videos - 1)}" for n in range(n_users)])
    videos = pd.DataFrame(index=[f"v{n}" for n in range(n_videos)])
    return Split(train, None, test, videos, "by hand")


def test_lists_from_a_sliver_of_the_catalogue_are_told():
    split = many(n_users=200, n_videos=300)
    ones = pd.DataFrame(1.0, index=split.test["user_id"], columns=split.videos.index)
    words = r"fixed scores recommends 10 of 300 videos in 2,000 entries of lists \(coverage 3.33%\)"
    with pytest.warns(UserWarning, match=words):
        result = evaluate(FixedScores(ones).fit(split), split, progress=False)
    assert result.coverage == pytest.approx(10 / 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # 15 different videos are 5% of 300; popularity gives all the same list by design
        evaluate(FixedScores(ones).fit(split), split, k=15, progress=False)
        evaluate(Random().fit(split), split, progress=False)
        popular = evaluate(Popularity().fit(split), split, progress=False)
    assert popular.sliver().startswith("popularity recommends 10 of 300 videos")


def test_one_answer_for_unknown_users_is_no_surprise():
    split = many(n_users=200, n_videos=300)
    strangers = dataclasses.replace(split, train=split.train.assign(user_id="somebody else"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(ItemKNN().fit(strangers), strangers, progress=False)
    assert result.sliver() != ""


def test_few_lists_are_no_sliver():
    """Ten entries hold ten videos at most, whatever the catalogue."""
    split = many(n_users=1, n_videos=3000)
    ones = pd.DataFrame(1.0, index=split.test["user_id"], columns=split.videos.index)
    result = evaluate(FixedScores(ones).fit(split), split, progress=False)
    assert result.sliver() == ""
