"""Labels of every kind, good and bad, and stated probabilities."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from tests.transfer_learning.tiny import TinyEncoder, coloured
from vidrec_utils.evaluation import probability_scores
from vidrec_utils.transfer_learning import few, fine_tune, fit_temperature, hold_out, tasks

QUICK = {"epochs": 15, "batch_size": 6, "backbone_rate": 1e-2, "progress": False}


def test_single_label():
    task = tasks.task_for(["b", "a", "b"])
    assert task.kind == "single"
    assert task.classes == ["a", "b"]
    assert task.targets(["a", "b"]).tolist() == [0, 1]
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    each = task.loss(logits, torch.tensor([0, 0]), 0.0)
    assert each.tolist() == pytest.approx([math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))])
    smooth = task.loss(logits, torch.tensor([0, 0]), 0.1)
    assert smooth[0] == pytest.approx(0.95 * each[0] + 0.05 * each[1])
    assert task.score(logits, torch.tensor([0, 0])) == 0.5


def test_multi_label():
    task = tasks.task_for([("x", "y"), (), ("y",)])
    assert task.kind == "multi"
    assert task.targets(["x|y", pd.NA, ["y"]]).tolist() == [[1, 1], [0, 0], [0, 1]]
    loss = task.loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), 0.0)
    assert loss.tolist() == pytest.approx([math.log(2)])
    logits = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert task.score(logits, targets) == pytest.approx(2 * 2 / (3 + 2))
    assert task.predict(task.probabilities(logits).numpy()) == [("x",), ("x", "y")]


def test_regression():
    task = tasks.task_for([0.0, 1.0, 2.0])
    assert task.kind == "regression"
    assert task.targets([1.0]).tolist() == [0.0]
    logits = task.targets([0.0, 2.0])[:, None]
    assert task.probabilities(logits)[:, 0].tolist() == pytest.approx([0, 2], abs=1e-6)
    assert task.score(logits, task.targets([0.0, 2.0])) == pytest.approx(1)
    assert task.score(torch.zeros(2, 1), task.targets([0.0, 2.0])) == pytest.approx(0)


@pytest.mark.parametrize(
    "labels", [["a|b", "b"], [("a",), ("b",), ()], [1.0, 2.5], ["u", "v"], [3, 4]]
)
def test_a_task_comes_back_from_its_metadata(labels):
    task = tasks.task_for(labels)
    again = tasks.restore(task.metadata())
    assert type(again) is type(task)
    assert again.metadata() == task.metadata()
    assert torch.equal(again.targets(labels), task.targets(labels))


@pytest.mark.parametrize(
    ("labels", "options", "part"),
    [
        (["a"] * 4, {}, "All 4 labels are 'a'.*nothing to tell apart"),
        (["a", None, "b"], {}, "1 labels are missing, the first is example 1"),
        ([1.0, np.nan], {}, "no finite numbers, the first is example 1"),
        ([2.0, 2.0], {}, "All labels are 2"),
        ([(), ()], {}, "No example has a tag"),
        ([], {}, "no labels"),
        (["a", "b"], {"classes": ["a"]}, "'b' occurs in training, but is not among"),
        (["a", "b"], {"kind": "guess"}, "task is 'guess'"),
        ([1, 2], {"kind": "multi"}, "tags are a tuple of str"),
    ],
)
def test_bad_labels_are_refused_by_name(labels, options, part):
    with pytest.raises(ValueError, match=part):
        tasks.task_for(labels, **options)


def test_a_class_that_training_lacks():
    clips, labels = coloured(18)
    with pytest.raises(ValueError, match="Example 1 is of class 'violet', which training does not"):
        fine_tune(TinyEncoder(), clips, labels, validation=(clips[:2], ["red", "violet"]), **QUICK)
    every = ["blue", "green", "red", "violet"]
    with pytest.warns(UserWarning, match="No example in training has 'violet'"):
        model = fine_tune(TinyEncoder(), clips, labels, "full", classes=every, **QUICK)
    predicted = model.probabilities(clips)
    assert list(predicted.columns) == every
    assert predicted["violet"].max() < predicted.drop(columns="violet").max(axis=1).min()
    assert "violet" not in set(model.predict(clips))


def test_one_class_is_refused_by_fine_tune():
    clips, _ = coloured(4)
    with pytest.raises(ValueError, match="one class"):
        fine_tune(TinyEncoder(), clips, ["red"] * 4, **QUICK)


def test_clips_by_id_follow_the_labels():
    clips, labels = coloured(12)
    ids = [f"clip-{place}" for place in range(12)]
    named = dict(zip(ids, clips, strict=True))
    some = pd.Series(labels, ids).iloc[::-1].drop("clip-4")
    by_id = fine_tune(TinyEncoder(), named, some, **QUICK)
    target = [named[name] for name in some.index]
    by_position = fine_tune(TinyEncoder(), target, some.tolist(), **QUICK)
    np.testing.assert_array_equal(by_id.losses, by_position.losses)
    with pytest.raises(ValueError, match="labels as a Series by id"):
        fine_tune(TinyEncoder(), named, labels, **QUICK)
    with pytest.raises(ValueError, match="no clip for 1 labels, the first is 'clip-99'"):
        fine_tune(TinyEncoder(), named, some.rename({"clip-3": "clip-99"}), **QUICK)


def test_lengths_must_agree():
    clips, labels = coloured(6)
    with pytest.raises(ValueError, match="6 clips, but 5 labels"):
        fine_tune(TinyEncoder(), clips, labels[:5])
    with pytest.raises(ValueError, match="no clip was given"):
        fine_tune(TinyEncoder(), [], [])


def test_tags_are_learned():
    clips, colours = coloured(30)
    tags = [("warm",) if c == "red" else ("cold", c) for c in colours]
    model = fine_tune(TinyEncoder(), clips, tags, "full", **QUICK)
    test, names = coloured(12, seed=5)
    predicted = model.predict(test)
    right = [
        set(s) == ({"warm"} if c == "red" else {"cold", c})
        for s, c in zip(predicted, names, strict=True)
    ]
    assert np.mean(right) > 0.8
    assert list(model.probabilities(test).columns) == ["blue", "cold", "green", "warm"]


def test_numbers_are_learned():
    clips, _ = coloured(36)
    redness = pd.Series([clip[..., 0].mean() / 255 for clip in clips], dtype=float)
    model = fine_tune(TinyEncoder(), clips, redness, "full", **QUICK | {"epochs": 40})
    test, _ = coloured(12, seed=5)
    target = np.array([clip[..., 0].mean() / 255 for clip in test])
    assert np.corrcoef(model.predict(test), target)[0, 1] > 0.9
    assert model.history["train_loss"].iloc[-1] < 0.5
    with pytest.raises(ValueError, match="no probability"):
        model.calibrated(test, target)


def test_temperature_is_found_again():
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(0, 2, (20_000, 4)))
    drawn = [rng.choice(4, p=p) for p in logits.softmax(dim=1).numpy()]
    assert fit_temperature(logits * 3, torch.tensor(drawn)) == pytest.approx(3, rel=0.05)
    assert fit_temperature(logits / 2, torch.tensor(drawn)) == pytest.approx(0.5, rel=0.05)
    yes = torch.tensor(rng.random((20_000, 2))) < logits[:, :2].sigmoid()
    assert fit_temperature(logits[:, :2] * 2, yes, "multi") == pytest.approx(2, rel=0.05)


def test_temperature_mends_calibration_and_keeps_the_predictions():
    clips, labels = coloured(60)
    rng = np.random.default_rng(0)
    labels = [c if rng.random() < 0.7 else str(rng.choice(["red", "blue"])) for c in labels]
    model = fine_tune(
        TinyEncoder(), clips[:20], labels[:20], "full", **QUICK | {"epochs": 40, "smoothing": 0.0}
    )
    better = model.calibrated(clips[20:], labels[20:])
    assert model.temperature == 1 < better.temperature
    before = probability_scores(labels[20:], model.probabilities(clips[20:]))
    after = probability_scores(labels[20:], better.probabilities(clips[20:]))
    assert after["log_loss"] < before["log_loss"]
    assert after["accuracy"] == before["accuracy"]


def test_groups_are_not_torn_apart():
    labels = ["a"] * 12 + ["b"] * 12
    groups = [f"subject-{n // 3}" for n in range(24)]
    train, held = hold_out(labels, 0.3, groups, seed=1)
    assert sorted([*train, *held]) == list(range(24))
    assert not {groups[r] for r in train} & {groups[r] for r in held}
    assert {labels[r] for r in train} == {"a", "b"}
    assert 0 < len(held) <= 8
    again = hold_out(labels, 0.3, groups, seed=1)
    assert np.array_equal(again[1], held)
    with pytest.raises(ValueError, match="none can be held out"):
        hold_out(["a", "b"], 0.5)
    with pytest.raises(ValueError, match=r"validation is 1\.5"):
        hold_out(labels, 1.5)
    with pytest.raises(ValueError, match="validation is 1; a share lies between 0 and 1"):
        fine_tune(TinyEncoder(), *coloured(6), validation=1)


def test_few_takes_different_groups_first():
    labels = ["a"] * 6 + ["b"] * 3
    groups = [0, 0, 0, 0, 1, 2, 3, 3, 4]
    rows = few(labels, 3, groups, seed=0)
    assert {groups[r] for r in rows if labels[r] == "a"} == {0, 1, 2}
    assert [labels[r] for r in rows].count("b") == 3
    smaller = few(labels, 2, groups, seed=0)
    assert set(smaller) <= set(rows)
    assert {groups[r] for r in smaller if labels[r] == "b"} == {3, 4}
    assert len(few(labels, None)) == 9


def test_predictions_keep_the_index():
    clips, labels = coloured(6)
    model = fine_tune(TinyEncoder(), clips, labels, **QUICK)
    names = pd.Series(clips, index=list("uvwxyz"))
    assert list(model.probabilities(names).index) == list("uvwxyz")
    assert model.predict([]).shape == (0,)
