"""What a notebook shows of an evaluation: slices, selection bias, classifiers and costs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from tests.helpers.sounds import notes, write_sound
from vidrec_utils import audio_encoders, encoders, evaluation
from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.recommender import Popularity, Random


def world(seed=0, n_users=200, n_videos=40):
    rng = np.random.default_rng(seed)
    users = np.repeat([f"u{i:03d}" for i in range(n_users)], 10)
    videos = np.concatenate([rng.permutation(n_videos)[:10] for _ in range(n_users)])
    log = pd.DataFrame({"user_id": users, "video_id": [f"v{v:02d}" for v in videos]})
    log["watch_ratio"] = rng.random(len(log))
    part = np.tile(np.arange(10), n_users)
    index = pd.Index([f"v{v:02d}" for v in range(n_videos)], name="video_id")
    return Split(
        log[part < 5], log[part == 5], log[part > 5], pd.DataFrame(index=index), "simulated"
    )


SPLIT = world()


def test_by_slice():
    result = evaluation.evaluate(Popularity().fit(SPLIT), SPLIT, k=5)
    table = evaluation.by_slice(result)
    assert set(table.index) <= set(result.slices)
    assert "new users" not in table.index  # there are none
    assert table.loc["tail videos", "mean"] == result.table("tail videos").loc["ndcg", "mean"]


def test_selection_bias_of_equals_and_of_a_real_difference():
    results = [
        replace(evaluation.evaluate(Random(s).fit(SPLIT), SPLIT, k=5), name=f"{s}")
        for s in range(20)
    ]
    chosen, fresh = evaluation.selection_bias(results)
    means = [result.per_user["ndcg"].mean() for result in results]
    assert chosen > np.mean(means) + 0.01
    assert fresh < chosen - 0.01
    ahead = replace(results[0], per_user=results[0].per_user + 1, name="ahead")
    chosen, fresh = evaluation.selection_bias([*results[1:], ahead])
    assert chosen == pytest.approx(fresh, abs=0.005)
    with pytest.raises(ValueError, match="not comparable"):
        evaluation.selection_bias(
            [results[0], evaluation.evaluate(Random(0).fit(SPLIT), SPLIT, k=3)]
        )


def test_the_excess_varies_with_the_users_as_its_sd_says(monkeypatch):
    """Settings that are all alike: over many worlds the excess is 0, give or take the sd."""
    monkeypatch.setattr("vidrec_utils.evaluation.model_choice.EXCHANGES", 10)
    result = evaluation.evaluate(Popularity().fit(SPLIT), SPLIT, k=5, on="test")
    rng = np.random.default_rng(0)
    n, excesses, sds = len(result.per_user), [], []
    for seed in range(200):
        values = rng.normal(size=(n, 8)) + 0.3 * rng.normal(size=(n, 1))  # some users are easy
        settings = [
            replace(result, per_user=result.per_user.assign(ndcg=column)) for column in values.T
        ]
        chosen, fresh, sd = evaluation.selection_bias(
            settings, divisions=20, seed=seed, return_sd=True
        )
        assert (chosen, fresh) == evaluation.selection_bias(settings, divisions=20, seed=seed)
        excesses.append(fresh - values.mean())
        sds.append(sd)
    spread = np.std(excesses)
    assert abs(np.mean(excesses)) < 3 * spread / np.sqrt(200)
    assert spread == pytest.approx(np.sqrt(np.mean(np.square(sds))), rel=0.15)
    # More divisions of the same users do not make the excess smaller.
    more = evaluation.selection_bias(settings, divisions=400, seed=0)[1] - values.mean()
    assert abs(more - excesses[-1]) < spread


def test_rare_or_other():
    category = pd.Series(["a"] * 30 + ["b"] * 20 + ["c"] * 3 + [None])
    got = evaluation.rare_or_other(category)
    assert got.value_counts().to_dict() == {"other": 34, "b": 20}
    with pytest.raises(ValueError, match="No category has 50 videos"):
        evaluation.rare_or_other(category, least=50)


def test_compare_classifiers():
    rng = np.random.default_rng(0)
    labels = pd.Series(np.where(np.arange(300) % 10 == 0, "rare", "other"))
    vectors = pd.DataFrame(rng.normal(size=(300, 3)))
    vectors[0] += (labels == "rare") * 1.5
    vectors.loc[7] = np.nan
    got = evaluation.compare_classifiers(
        {
            "constant": DummyClassifier(strategy="prior"),
            "weighted": LogisticRegression(class_weight="balanced"),
        },
        vectors,
        labels,
    )
    assert got.loc["constant", "mean"] == 0.5
    assert got.loc["constant", "accuracy"] == pytest.approx(269 / 299)
    assert got.loc["weighted", "low"] > 0.6
    assert got.loc["weighted", "ece"] > got.loc["constant", "ece"] + 0.02


def test_classifiers_are_tested_on_groups_that_they_do_not_know():
    """Vectors that name the subject and nothing else: known subjects are easy, others are not."""
    rng = np.random.default_rng(1)
    subject = pd.Series(np.arange(300) // 6)  # 50 subjects with six videos each
    rare = rng.permutation(50) < 15
    labels = pd.Series(np.where(rare[subject], "rare", "other"))
    vectors = pd.get_dummies(subject).astype(float) * 5
    model = {"regression": LogisticRegression()}
    alone = evaluation.compare_classifiers(model, vectors, labels)
    apart = evaluation.compare_classifiers(model, vectors, labels, groups=subject)
    assert alone.loc["regression", "mean"] > 0.95
    assert apart.loc["regression", "mean"] < 0.6
    noise = pd.DataFrame(rng.normal(size=(300, 3)))
    noise[0] += 2 * (labels == "rare") + np.repeat(rng.normal(size=50), 6)
    widths = []
    for groups in (None, subject):
        got = evaluation.compare_classifiers(model, noise, labels, groups=groups)
        widths.append(got.loc["regression", "high"] - got.loc["regression", "low"])
    assert widths[1] > 1.2 * widths[0]
    without = subject.astype("float").where(subject > 4)  # five subjects are not known
    got = evaluation.compare_classifiers(model, vectors, labels, groups=without)
    assert np.isfinite(got.loc["regression", "mean"])
    with pytest.raises(ValueError, match="2 groups cannot fill 5 folds"):
        evaluation.compare_classifiers(model, vectors, labels, groups=subject % 2)


def test_held_out_probabilities_are_those_of_the_table():
    rng = np.random.default_rng(0)
    labels = pd.Series(np.where(np.arange(60) % 3 == 0, "rare", "other"))
    vectors = pd.DataFrame(rng.normal(size=(60, 2)))
    vectors[0] += (labels == "rare") * 2
    vectors.loc[7] = np.nan
    model = {"regression": LogisticRegression()}
    got = evaluation.held_out_probabilities(model, vectors, labels)["regression"]
    assert got.index.tolist() == [number for number in range(60) if number != 7]
    np.testing.assert_allclose(got.sum(axis=1), 1)
    right = got.idxmax(axis=1) == labels.drop(7)
    table = evaluation.compare_classifiers(model, vectors, labels)
    assert table.loc["regression", "accuracy"] == pytest.approx(right.mean())
    twins = pd.Series(np.arange(60) // 2)  # two neighbours in a row are never apart
    apart = evaluation.held_out_probabilities(model, vectors, labels, groups=twins)["regression"]
    assert not np.allclose(apart, got)


def test_differences():
    frame = pd.DataFrame({"user_id": ["u", "v"], "video_id": ["a", "b"], "n_candidates": 50})
    got = evaluation.sampled.differences(frame.assign(rank=[1, 2]), frame.assign(rank=[9, 30]))
    assert got.index.tolist() == ["all", "99 drawn", "20 drawn", "10 drawn", "5 drawn"]
    assert got.loc["all", "mean"] == 1
    assert got.loc["5 drawn", "mean"] < 0.5


def test_cost_times_an_encoder():
    library = SimpleNamespace(
        videos=pd.DataFrame({"title": ["one", "two", "three", None]}, index=list("abcd"))
    )

    def subset(video_ids):
        return SimpleNamespace(videos=library.videos.loc[list(video_ids)], subset=subset)

    library.subset = subset

    class Encoder:
        name, modality, dim, parameters, fingerprint = "counting", "text", 2, 2**20, "counting-1"
        preprocessing, values_per_item = None, 1
        weights = encoders.WeightsInfo(source="none", file="", sha256="", licence="MIT")

        def encode(self, batch):
            return np.zeros((len(batch), 2), np.float32)

    got = evaluation.cost(library, Encoder(), "title")
    assert got["seconds"] > 0
    assert got["memory_mb"] == 4


def test_the_cost_of_sound(tmp_path):
    for name in "abcd":
        write_sound(tmp_path / f"{name}.mp4", notes(1.0, 16_000), 16_000, frames=5)
    videos = pd.DataFrame({"video_id": [*"abcde"], "path": [*(f"{n}.mp4" for n in "abcd"), None]})
    log = pd.DataFrame({"user_id": ["ann"], "video_id": ["a"]})
    library = VideoLibrary(videos, log, root=tmp_path)
    got = evaluation.cost(library, audio_encoders.load("log_mel"), "sound")
    assert got["seconds"] > 0
    assert got["memory_mb"] == 0
