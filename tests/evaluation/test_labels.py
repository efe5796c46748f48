"""Labels in an evaluation: which one judges, what NA does, and what cannot be compared."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import evaluation, events, hybrid
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import ProtocolMismatch, evaluate
from vidrec_utils.evaluation.layer_choice import audit_vectors
from vidrec_utils.evaluation.task import prepare
from vidrec_utils.recommender import FixedScores, Popularity, Random

N_VIDEOS = 60
IDS = [f"v{i:02d}" for i in range(N_VIDEOS)]


def platform(seed=0, n_users=80, per_user=40):
    """A platform on which people watch for longer what they like, and at most to the end."""
    rng = np.random.default_rng(seed)
    durations = np.round(2.0 * 10 ** rng.random(N_VIDEOS), 2)
    rows = []
    for user in range(n_users):
        taste = rng.normal(size=N_VIDEOS)
        for video in rng.permutation(N_VIDEOS)[:per_user]:
            wish = durations[video] ** 0.5 * np.exp(taste[video])
            ratio = wish / durations[video]
            ended = ratio > 1 and rng.random() > 0.2
            rows.append((f"u{user:02d}", IDS[video], 1.0 if ended else ratio))
    log = pd.DataFrame(rows, columns=["user_id", "video_id", "watch_ratio"])
    part = np.tile(np.arange(per_user), n_users)
    videos = pd.DataFrame({"duration_s": durations}, index=pd.Index(IDS, name="video_id"))
    return Split(log[part < 24], log[(part >= 24) & (part < 32)], log[part >= 32], videos, "rows")


SPLIT = platform()
MODEL = Popularity().fit(SPLIT)


def measured(label=None, split=SPLIT, **options):
    return evaluate(MODEL, split, label=label, progress=False, slices=False, **options)


def test_the_protocol_names_the_label_and_where_it_was_learned():
    plain = measured()
    assert plain.protocol.label == "quantile"  # since durations vary
    assert "relevant by the label quantile: watch time at or above the 75% quantile" in str(plain)
    assert "learned from 1,920 training exposures" in plain.protocol.relevant
    ratio = measured("ratio")
    assert ratio.protocol.label == "ratio"
    assert "; relevant: watch ratio >= 0.8 or liked; " in str(ratio)
    assert measured(threshold=0.8).protocol == ratio.protocol


@pytest.mark.parametrize("label", [name for name in events.LABELS if name != "quantile"])
def test_results_under_different_labels_refuse_to_be_compared(label):
    with pytest.raises(ProtocolMismatch, match=f"label: 'quantile' against '{label}'") as caught:
        evaluation.compare(measured("quantile"), measured(label))
    assert any(line.startswith("what counts as relevant") for line in caught.value.differences)


def test_labels_that_agree_on_every_exposure_are_still_two_labels():
    flat = replace(SPLIT, videos=SPLIT.videos.assign(duration_s=2.0))
    one, other = (measured(label, flat) for label in ("quantile", "seconds"))
    assert one.protocol.positives == other.protocol.positives
    with pytest.raises(ProtocolMismatch, match="label: 'quantile' against 'seconds'"):
        evaluation.compare(one, other)


def test_the_rule_is_learned_from_train_for_the_test_as_well():
    later = SPLIT.validation.assign(watch_ratio=SPLIT.validation["watch_ratio"] * 3)
    changed = replace(SPLIT, validation=later)
    for label in ("quantile", "seconds", "gain"):
        test, other = (prepare(split, on="test", label=label) for split in (SPLIT, changed))
        assert test.protocol.positives == other.protocol.positives
        assert test.protocol.relevant == other.protocol.relevant
        good = events.fit_label(SPLIT.train, SPLIT.videos, label).positives(SPLIT.test)
        assert test.relevant.sum() == good.sum()  # all are new to their users
    # a rule of one's own serves as well
    rule = events.fit_label(SPLIT.train, SPLIT.videos, "gain")
    assert measured(rule).protocol == measured("gain").protocol


def test_an_exposure_that_counts_neither_way_is_no_candidate():
    rule = events.fit_label(SPLIT.train, SPLIT.videos, "censored")
    label = rule.positives(SPLIT.validation)
    assert 20 < label.isna().sum() < len(label) / 2
    task = prepare(SPLIT, label="censored")
    candidates = pd.DataFrame(task.candidates(slice(None)), task.users, task.videos)
    rows = SPLIT.validation[SPLIT.validation["user_id"].isin(task.users)]
    for row, good in zip(rows.itertuples(), label[rows.index], strict=True):
        assert candidates.at[row.user_id, row.video_id] == pd.notna(good)
    # Listing nothing but such videos costs nothing: they are not listed at all.
    scores = pd.DataFrame(0.0, task.users, IDS)
    unknown = rows[label[rows.index].isna()]
    for row in unknown.itertuples():
        scores.at[row.user_id, row.video_id] = 1.0
    result = evaluate(FixedScores(scores).fit(SPLIT), SPLIT, label="censored", progress=False)
    listed = result.top.astype("str")
    for row in unknown.itertuples():
        assert row.video_id not in set(listed.loc[row.user_id])
    ranks = evaluation.ranks(FixedScores(scores).fit(SPLIT), SPLIT, label="censored")
    shown = SPLIT.train.groupby("user_id").size()
    n_neither = unknown.groupby("user_id").size()
    n_good = rows[label[rows.index].fillna(False).to_numpy(dtype=bool)].groupby("user_id").size()
    expected = N_VIDEOS - shown - n_neither.reindex(shown.index, fill_value=0) - n_good + 1
    got = ranks.groupby("user_id")["n_candidates"].first()
    assert (got == expected[got.index]).all()


def test_a_second_view_that_was_good_makes_the_video_relevant():
    views = pd.DataFrame({"user_id": "u", "video_id": ["a"] * 4 + ["b"] * 4})
    views["watch_ratio"] = [0.1, 0.2, 1.5, 2.0] * 2
    videos = pd.DataFrame({"duration_s": 10.0}, index=["a", "b", "c", "d"])
    later = pd.DataFrame({"user_id": "v", "video_id": ["c", "c", "d"]})
    later["watch_ratio"] = [1.0, 1.8, 1.0]
    split = Split(views, later, None, videos, "by hand")
    task = prepare(split, label="censored")
    assert task.relevant.toarray().tolist() == [[0, 0, 1, 0]]
    assert task.candidates(slice(None)).tolist() == [[True, True, True, False]]


def test_dislikes_are_not_relevant():
    watched = SPLIT.validation
    hated = watched.assign(disliked=watched["watch_ratio"] >= 0.8)
    split = replace(SPLIT, validation=hated)
    with pytest.raises(ValueError, match="No user of the validation part has a relevant video"):
        prepare(split, label="ratio")
    assert "and not disliked" in prepare(split, label="quantile").protocol.relevant


def test_a_label_that_the_training_part_cannot_have_is_refused():
    untimed = replace(SPLIT, videos=SPLIT.videos.drop(columns="duration_s"))
    assert measured(split=untimed).protocol.label == "ratio"
    with pytest.raises(ValueError, match="label 'seconds' compares seconds watched"):
        measured("seconds", untimed)
    with pytest.raises(ValueError, match="label is 'smell'"):
        measured("smell")


def test_whatever_chooses_takes_the_label():
    found = evaluation.search(Random, {"seed": [0, 1]}, SPLIT, label="gain", progress=False)
    own = evaluate(Random(0).fit(SPLIT), SPLIT, label="gain", progress=False)
    pd.testing.assert_series_equal(found.per_user[0], own.per_user["ndcg"], check_names=False)
    bench = evaluation.Bench(SPLIT, label="seconds")
    assert bench.measure(Popularity()).protocol.label == "seconds"
    rng = np.random.default_rng(0)
    vectors = pd.DataFrame(rng.normal(size=(N_VIDEOS, 4)), index=IDS)
    options = {"split": SPLIT, "geometries": ("raw", "centred"), "progress": False}
    recalls = {
        label: audit_vectors(vectors, label=label, **options).table["recall_validation"][0]
        for label in ("ratio", "seconds")
    }
    assert recalls["ratio"] != recalls["seconds"]
    fusion = hybrid.WeightedFusion([Popularity(), Random(0)])
    by_label = {
        label: hybrid.tune(fusion, SPLIT, steps=2, label=label, progress=False).table["ndcg"][0]
        for label in ("ratio", "seconds")
    }
    assert by_label["ratio"] != by_label["seconds"]


def test_stacking_learns_from_the_label_that_it_is_given():
    """One member lists short videos first: whether the ranker trusts it is up to the label."""
    durations = SPLIT.videos["duration_s"].to_numpy()
    users = SPLIT.train["user_id"].unique()
    table = pd.DataFrame(np.tile(-np.log(durations), (len(users), 1)), users, IDS)
    short = FixedScores(table, "short")
    split = replace(SPLIT, train=SPLIT.train.sample(frac=1, random_state=0))

    def trust(label):
        model = hybrid.Stacked([short, Random(0)], label=label, ordered=True).fit(split)
        return model.coefficients()[["short score", "short rank"]].sum()

    assert trust("ratio") > 0.3
    assert trust("seconds") < -0.3
    assert trust("seconds") < trust("quantile") < trust("ratio")


def test_stacking_neither_likes_nor_draws_what_the_label_cannot_judge(monkeypatch):
    could_be_drawn = []
    drawn = hybrid.stacking.drawn
    split = replace(SPLIT, train=SPLIT.train.sample(frac=1, random_state=0))
    late = np.arange(len(split.train)) >= len(split.train) - round(0.25 * len(split.train))
    rule = events.fit_label(split.train, split.videos, "censored")
    unjudged = split.train[late & rule.positives(split.train).isna().to_numpy()]
    assert len(unjudged) > 20

    def spying(seen, targets, negatives, rng, published=None):
        could_be_drawn.append(published.sum())
        return drawn(seen, targets, negatives, rng, published)

    monkeypatch.setattr(hybrid.stacking, "drawn", spying)
    members = [Popularity(), Random(0)]
    hybrid.Stacked(members, label="censored", ordered=True, negatives=60).fit(split)
    n_users = split.train.loc[late, "user_id"].nunique()
    assert sum(could_be_drawn) <= n_users * N_VIDEOS - len(unjudged) * 0.9
