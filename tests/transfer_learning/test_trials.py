"""Trials on one division of the data, and how their results are printed."""

import numpy as np
import pandas as pd
import pytest

from tests.transfer_learning.tiny import Brighter, TinyEncoder, Watched, coloured
from vidrec_utils.transfer_learning import (
    Trial,
    differences,
    few,
    fine_tune,
    hold_out,
    prepare_once,
    print_differences,
    print_scores,
    spread,
    trials,
    two_directions,
)


@pytest.fixture(scope="module")
def trial():
    clips, labels = coloured(36)
    ids = [f"clip-{index}" for index in range(36)]
    groups = pd.Series([index // 2 for index in range(36)], ids)
    labels = pd.Series(labels, ids).where(pd.Series(ids, ids) != "clip-5")
    return Trial(dict(zip(ids, clips, strict=True)), labels, groups)


def test_groups_stay_together_and_what_has_no_label_stays_out(trial):
    assert not set(trial.groups[trial.train]) & set(trial.groups[trial.test])
    assert "clip-5" not in trial.train.union(trial.test)
    assert len(trial.train) + len(trial.test) == 35
    assert trial.labels[trial.sample(2)].value_counts().tolist() == [2, 2, 2]
    assert list(trial.sample(None)) == list(trial.train)


def test_scores_have_intervals(trial, capsys):
    model = trial.tune(TinyEncoder(), "full", epochs=10, backbone_rate=1e-2)
    table = trial.scores({"full": model})
    right = model.predict(trial.held_out()) == trial.labels[trial.test].to_numpy()
    assert table.loc["full", "mean"] == right.mean()
    assert table.loc["full", "low"] <= right.mean() <= table.loc["full", "high"]
    print_scores(pd.DataFrame({"mean": [0.5], "low": [0.25], "high": [0.75]}, ["x"]))
    assert capsys.readouterr().out == "x: 50% [25%, 75%] right.\n"


class Says:
    """Predicts what it was made with."""

    def __init__(self, labels_):
        self.labels_ = labels_

    def predict(self, items):
        return self.labels_


def test_models_are_compared_on_the_same_items(trial, capsys):
    truth = trial.labels[trial.test].to_numpy()
    lies = np.where(truth == "red", "green", "red")
    half = np.where(np.arange(len(truth)) % 2, truth, lies)
    table = trial.scores({"none": Says(lies), "half": Says(half), "same": Says(lies)})
    share = (np.arange(len(truth)) % 2).mean()
    assert table["mean"].tolist() == [0, share, 0]
    assert table.loc["none", ["than", "more"]].isna().all()
    assert table.loc["half", "more"] == share
    assert table.loc["half", "more_low"] == table.loc["half", "low"] > 0
    assert table.loc["same", ["more", "more_low", "more_high"]].tolist() == [0, 0, 0]
    # all wrong: Wilson's interval for none of so many groups, z^2 / (n + z^2)
    z2, n = 1.959964**2, trial.groups[trial.test].nunique()
    assert table.loc["same", "high"] == pytest.approx(z2 / (n + z2))
    print_scores(table.iloc[[2]])
    assert capsys.readouterr().out == (
        f"same: 0% [0%, {z2 / (n + z2):.0%}] right; +0 [+0, +0] points against none.\n"
    )


def grouped_trial(groups, n=240):
    ids = [f"clip-{i:03d}" for i in range(n)]
    labels = pd.Series(["red", "green"] * (n // 2), ids)
    return Trial(dict.fromkeys(ids, 0), labels, pd.Series(groups, ids))


def test_intervals_resample_groups():
    """Of each subject all clips are right, or all are wrong: a clip more says nothing more."""
    trial = grouped_trial([i // 8 for i in range(240)])  # 30 subjects
    subject = trial.groups[trial.test]
    truth = trial.labels[trial.test].to_numpy()
    other = np.where(truth == "red", "green", "red")
    easy = subject.isin(subject.unique()[::2]).to_numpy()
    table = trial.scores({"easy ones": Says(np.where(easy, truth, other))})
    share, n = easy.mean(), subject.nunique()
    half = 1.96 * np.sqrt(share * (1 - share) / n)
    assert table["low"].iloc[0] == pytest.approx(share - half, abs=0.06)
    assert table["high"].iloc[0] == pytest.approx(share + half, abs=0.06)
    # Were clips independent, the interval would be nearly three times as narrow.
    apart = grouped_trial([None] * 240)
    apart.train, apart.test = trial.train, trial.test
    alone = apart.scores({"easy ones": Says(np.where(easy, truth, other))})
    width = (table["high"] - table["low"]) / (alone["high"] - alone["low"])
    assert width.iloc[0] == pytest.approx(np.sqrt(8), rel=0.25)


def test_clips_without_a_group_are_held_out_like_others():
    trial = grouped_trial([None] * 240)
    assert len(trial.test) == pytest.approx(0.35 * 240, abs=2)
    assert len(trial.sample(5)) == 10
    groups = [None, "x", None, "x", None, "y"]
    _, held = hold_out([1] * 6, 0.5, groups)
    assert {1, 3} <= set(held) or not {1, 3} & set(held)
    assert set(few(list("aaaabb"), 2, groups, seed=0)) >= {4, 5}
    chosen = [set(few(["a"] * 6, 4, groups, seed)) for seed in range(20)]
    assert all(not {1, 3} <= rows for rows in chosen)  # five groups: x is taken once


def test_the_constant_answer_is_the_commonest_class_of_training():
    ids = list("abcdef")
    trial = Trial(dict.fromkeys(ids, 0), pd.Series(list("xxxyyx"), ids), pd.Series(ids, ids))
    trial.train, trial.test = pd.Index(list("abcd")), pd.Index(list("ef"))
    assert trial.constant() == 0.5


def test_unseen_items_share_no_group_with_the_few(trial):
    unseen, few = trial.unseen(2), trial.sample(2)
    assert len(unseen)
    assert set(unseen) < set(trial.train)
    assert not set(trial.groups[unseen]) & set(trial.groups[few])
    others = trial.train.difference(unseen)
    assert set(trial.groups[others]) == set(trial.groups[few])


def test_where_every_group_was_seen_the_other_items_are_given_with_a_warning():
    clips, labels = coloured(24)
    groups = pd.Series([index % 6 for index in range(24)])
    trial = Trial(dict(enumerate(clips)), pd.Series(labels), groups)
    few = trial.sample(6)
    assert set(groups[few]) == set(groups[trial.train])
    with pytest.warns(UserWarning, match="none is unseen"):
        left = trial.unseen(6)
    assert list(left) == [i for i in trial.train if i not in set(few)]
    assert len(left)


def test_validation_of_a_trial_is_of_other_groups(trial, monkeypatch):
    passed = {}
    monkeypatch.setattr(trials, "fine_tune", lambda *_, **options: passed.update(options))
    trial.tune(TinyEncoder(), validation=0.25)
    assert passed["groups"] == trial.groups[trial.train].tolist()


class Mean:
    """Answers by the brightness of the first frame, or of all."""

    def __init__(self, first):
        self.first = first

    def predict(self, clips):
        seen = [clip[0].mean() if self.first else clip.mean() for clip in clips]
        return np.where(np.array(seen) > 100, "falls", "rises")


def test_mirrors_are_of_the_other_class():
    dark, bright = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 220, np.uint8)
    up, down = np.concatenate([dark, bright]), np.concatenate([bright, dark])
    ids = list("abcdefgh")
    clips = {i: down if index % 2 else up for index, i in enumerate(ids)}
    labels = pd.Series(["rises", "falls"] * 4, ids)
    trial = Trial(clips, labels, pd.Series(range(8), ids))
    table = trial.mirror_scores({"first": Mean(True), "average": Mean(False)})
    assert table["mean"].tolist() == [1.0, 0.5]
    # each pair of clip and mirror is half right, whichever pairs are drawn
    assert table.loc["average", ["low", "high"]].tolist() == [0.5, 0.5]


def runs(*rows):
    """Rows `way, per_class, seed, hits, group` as a table of one target."""
    table = pd.DataFrame(rows, columns=["way", "per_class", "seed", "hits", "group"])
    return table.assign(target="x", constant=0.25)


def test_differences_are_taken_on_the_same_clips(capsys):
    """Two clips of each subject, of which `a` gets one more than `b`: .5 in whatever is drawn."""
    one, two = [0, 0, 1, 1], [1, 1, 2, 2]
    table = runs(
        ("a", 2, 0, "1111", one), ("b", 2, 0, "1010", one),
        ("b", 2, 1, "0001", two), ("a", 2, 1, "1011", two),
        ("a", 0, 0, "10", [0, 1]), ("b", 0, 0, "01", [0, 1]),
        ("a", 1, 0, "10", [0, 1]), ("b", 1, 0, "00", [0, 1]),
    )  # fmt: skip
    found = differences(table, "a", "b")
    assert found.index.tolist() == [1, 2, 0]
    assert found.loc[2].tolist() == [0.5] * 5
    # one of two subjects, or both: the difference is 0, .5 or 1; of the last pair -1, 0 or 1
    assert found.loc[1, ["mean", "low", "high"]].tolist() == [0.5, 0.0, 1.0]
    assert found.loc[0, ["mean", "low", "high"]].tolist() == [0.0, -1.0, 1.0]
    print_differences({"a": found.loc[[1, 0]]}, "b")
    assert capsys.readouterr().out == (
        "1 label per class: a minus b: +0.500 [+0.000, +1.000]; seeds from +0.500 to +0.500.\n"
        "All labels: a minus b: +0.000 [-1.000, +1.000]; seeds from +0.000 to +0.000.\n"
    )


def test_seeds_that_disagree_are_told_and_a_subject_is_drawn_in_all_of_them():
    """A subject is .5 ahead on one seed and .5 behind on the other: 0, whoever is drawn."""
    table = runs(
        ("a", 1, 0, "1010", [0, 0, 1, 1]), ("b", 1, 0, "0000", [0, 0, 1, 1]),
        ("a", 1, 1, "0000", [0, 0, 1, 1]), ("b", 1, 1, "0101", [0, 0, 1, 1]),
    )  # fmt: skip
    row = differences(table, "a", "b").loc[1]
    assert row.tolist() == [0.0, 0.0, 0.0, -0.5, 0.5]
    assert differences(table[table["way"] == "a"], "a", "b").empty


def test_spread_resamples_subjects(capsys):
    table = runs(
        ("b", 0, 0, "1100", [0, 0, 1, 1]), ("b", 0, 1, "1100", [0, 0, 1, 1]),
        ("a", 0, 0, "0101", [0, 0, 1, 1]), ("a", 5, 0, "1111", [0, 0, 1, 1]),
    )  # fmt: skip
    row = spread(table, "x")
    assert row.index.tolist() == ["b", "a"]
    assert row.loc["b"].tolist() == [0.5, 0.0, 1.0]  # one subject is right, the other wrong
    assert row.loc["a"].tolist() == [0.5, 0.5, 0.5]  # each subject is half right
    with_it = spread(table.assign(constant=[0.2, 0.4, 0.2, 0.9]), "x", constant="same")
    assert with_it.index.tolist() == ["same", "b", "a"]
    assert with_it.loc["same", "mean"] == pytest.approx(0.3)
    assert with_it.loc["same", ["low", "high"]].isna().all()
    print_scores(with_it.loc[["same", "a"]])
    assert capsys.readouterr().out == "same: 30% right.\na: 50% [50%, 50%] right.\n"
    with pytest.raises(ValueError, match="no column 'constant'"):
        spread(table.drop(columns="constant"), "x", constant="same")
    with pytest.raises(ValueError, match="which clips were classified correctly"):
        spread(table.drop(columns="hits"), "x")


def test_spread_of_one_kind():
    kinds = [["zh", "en", "en", "zh"]] * 2
    table = runs(("a", 0, 0, "1001", [0, 1, 2, 3]), ("b", 0, 0, "1010", [0, 1, 2, 3]))
    table = table.assign(kind=kinds)
    assert spread(table, "x", kind="zh")["mean"].tolist() == [1.0, 0.5]
    assert spread(table, "x", kind="en")["mean"].tolist() == [0.0, 0.5]
    with pytest.raises(ValueError, match="No clip of 'x' is of the kind 'fr'"):
        spread(table, "x", kind="fr")
    with pytest.raises(ValueError, match="leave kind out"):
        spread(table, "x", kind="zh", constant="same")


def test_a_trial_of_prepared_clips_gives_the_same_and_prepares_once():
    frames, colours = coloured(12)
    clips, index = dict(zip("abcdefghijkl", frames, strict=True)), list("abcdefghijkl")
    labels, groups = pd.Series(list(colours), index), pd.Series(index, index)
    encoder = Watched(0)
    plain = Trial(clips, labels, groups).tune(encoder, "full", epochs=2)
    Watched.prepared = 0
    trial = Trial(prepare_once(encoder, clips), labels, groups)
    model = trial.tune(encoder, "full", epochs=2)
    table = trial.scores({"full": model})
    assert Watched.prepared <= 12 + 1 + 2  # each once, one to learn the size, one a use to compare
    np.testing.assert_allclose(model.losses, plain.losses, rtol=1e-6)
    held = [clips[name] for name in trial.test]
    np.testing.assert_allclose(model.logits(trial.held_out()), plain.logits(held), atol=1e-5)
    np.testing.assert_allclose(model.encode(trial.held_out()), plain.encode(held), atol=1e-5)
    assert table["mean"].iloc[0] == np.mean(plain.predict(held) == labels[trial.test])
    pair = labels[labels.isin(sorted(set(colours))[:2])]
    trials = [Trial(c, pair, groups, seed=0) for c in (clips, prepare_once(encoder, clips))]
    scores = [t.mirror_scores({"probe": t.tune(encoder, epochs=1)}) for t in trials]
    pd.testing.assert_frame_equal(*scores)


def test_what_another_encoder_prepared_is_not_taken():
    clips, labels = coloured(12)
    prepared = prepare_once(TinyEncoder(0), dict(enumerate(clips)))
    other = fine_tune(Brighter(0), list(prepared.values()), labels, epochs=1, progress=False)
    same = fine_tune(Brighter(0), clips, labels, epochs=1, progress=False)
    np.testing.assert_array_equal(other.losses, same.losses)
    np.testing.assert_array_equal(other.logits(list(prepared.values())), same.logits(clips))


def test_what_does_not_fit_and_what_is_text_comes_back_as_it_is():
    clips = dict(enumerate(coloured(3)[0]))
    assert prepare_once(TinyEncoder(0), clips, kept=1000) == clips
    assert prepare_once(TinyEncoder(0), {}) == {}
    assert prepare_once(TinyEncoder(0), {"a": "a title"}) == {"a": "a title"}


def test_two_directions():
    clips = {name: np.arange(3)[:, None, None, None] * np.ones((3, 2, 2, 3)) for name in "abcd"}
    labels = pd.Series(["up", "down", None, "up"], list("abcd"))
    films, names = two_directions(clips, labels, {"in": "out", "up": "down"})
    assert names.to_dict() == {"a": "up", "b": "down", "d": "up"}
    assert all(films[name] is clips[name] for name in "abd")
    films, names = two_directions(clips, labels, {"up": "left"})
    assert names.tolist() == ["forwards", "backwards"] * 2
    assert [film[0, 0, 0, 0] for film in films.values()] == [0, 2, 0, 2]
    assert clips["b"][0, 0, 0, 0] == 0
