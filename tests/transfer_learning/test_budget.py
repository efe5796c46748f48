"""Few labels and many, the table that is committed, and the figures."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from tests.transfer_learning.tiny import TinyEncoder, coloured
from vidrec_utils.minitube.config import VERSION
from vidrec_utils.transfer_learning import (
    Way,
    budget,
    fine_tune,
    label_budget,
    plot_budget,
    plot_history,
    plot_reliability,
    print_provenance,
    recorded,
)

WAYS = {
    "probe": Way(lambda seed: TinyEncoder(), "probe", {"epochs": 5}),
    "from scratch": Way(lambda seed: TinyEncoder(seed, source="random"), "full", {"epochs": 2}),
}


@pytest.fixture(scope="module")
def table():
    clips, labels = coloured(36)
    rows = label_budget(WAYS, clips, labels, np.arange(36) // 2, (1, 3, None), (0, 1))
    return pd.DataFrame(rows)


def test_each_way_has_each_budget_and_seed(table):
    assert len(table) == 2 * 3 * 2
    assert (table.groupby(["per_class", "seed"])["n"].agg(lambda n: n.max() - n.min()) == 0).all()
    assert set(table["per_class"]) == {1, 3, 0}
    assert (table[table["per_class"] == 1]["n"] == 3).all()
    assert (table["accuracy"] == table["right"] / table["tested"]).all()
    for row in table.to_dict("records"):  # one answer and one group for each tested clip
        assert row["hits"].count("1") == row["right"]
        assert set(row["hits"]) <= {"0", "1"}
        assert len(row["hits"]) == len(row["group"]) == row["tested"]
        assert set(pd.Series(row["group"]).value_counts()) == {2}  # whole groups are held out
        assert row["kind"] == []
    most = table[table["per_class"] == 0]
    assert (most["n"] + most["tested"] == 36).all()
    for _, ways in table.groupby(["per_class", "seed"])["constant"]:
        assert len(set(ways)) == 1


def test_a_way_may_begin_with_a_probe():
    """Where nothing moves after it, the probe's answers are those of the way."""
    clips, labels = coloured(36)
    still = {"epochs": 1, "backbone_rate": 0.0, "head_rate": 0.0}
    ways = {
        "probe": Way(lambda seed: TinyEncoder(), "probe"),
        "probe first": Way(lambda seed: TinyEncoder(), "full", still, probe_first=True),
        "no probe": Way(lambda seed: TinyEncoder(), "full", still),
    }
    rows = label_budget(ways, clips, labels, np.arange(36) // 2, (None,), (0,))
    hits = {row["way"]: row["hits"] for row in rows}
    assert hits["probe first"] == hits["probe"] != hits["no probe"]


def test_kinds_go_with_the_tested_clips():
    """Groups 0 to 17 are called by their numbers: kinds and groups must agree, clip by clip."""
    clips, labels = coloured(36)
    groups = np.arange(36) // 2
    asked = ({"probe": WAYS["probe"]}, clips, labels, groups, (None,), (0,))
    (row,) = label_budget(*asked, kinds=[f"kind {g}" for g in groups])
    assert row["kind"] == [f"kind {g}" for g in row["group"]]


def test_the_constant_prediction_is_the_commonest_of_training():
    assert budget.constant_share(["b", "a", "b"], ["a", "b", "a", "c"]) == 0.25
    assert budget.constant_share(["b", "a"], ["a", "a", "b"]) == pytest.approx(2 / 3)  # the first


def test_it_goes_on_where_it_was_cut_off(table, tmp_path):
    clips, labels = coloured(36)
    asked = (WAYS, clips, labels, np.arange(36) // 2, (1, 3, None), (0, 1))
    rest = list(label_budget(*asked, done=table.iloc[:-2], checkpoints=tmp_path))[-2:]
    assert [row["way"] for row in rest] == ["probe", "from scratch"]
    np.testing.assert_allclose([r["accuracy"] for r in rest], table["accuracy"].iloc[-2:])
    assert len(list(tmp_path.iterdir())) == 2


def test_a_choice_is_made_on_groups_that_neither_train_nor_test(monkeypatch):
    clips, labels = coloured(36)
    groups = np.arange(36) // 2
    seen = []

    def watched(encoder, some, *rest, **numbers):
        model = fine_tune(encoder, some, *rest, **numbers)
        seen.append((some, model))
        return model

    monkeypatch.setattr(budget, "fine_tune", watched)
    rates = ({"head_rate": 1e-9, "epochs": 1}, {"head_rate": 0.1, "epochs": 30})
    ways = {"probe": Way(lambda seed: TinyEncoder(), "probe", {"dropout": 0.0}, rates)}
    asked = (ways, clips, labels, groups, (2, None), (0,))
    rows = list(label_budget(*asked, tried_on=(None,)))
    table = pd.DataFrame(rows)
    assert table["split"].tolist() == ["validation", "validation", "test", "test"]
    tried = table[table["split"] == "validation"]
    assert tried["accuracy"].iloc[1] > tried["accuracy"].iloc[0]
    assert [row["numbers"] for row in rows[2:]] == [{"dropout": 0.0, **rates[1]}] * 2

    def of(some):
        return {groups[next(i for i, clip in enumerate(clips) if clip is one)] for one in some}

    inner, train = of(seen[0][0]), of(seen[3][0])
    assert inner < train  # the groups chosen on are of the training part
    assert rows[0]["n"] + rows[0]["tested"] == rows[3]["n"]
    # nothing of what was measured is measured again, and what does not belong here is left out
    strange = table.assign(numbers=[{"epochs": 99}] * len(table))
    seen.clear()
    again = list(label_budget(*asked, tried_on=(None,), done=pd.concat([strange, table])))
    assert (again, seen) == (rows, [])
    rest = list(label_budget(*asked, tried_on=(None,), done=table.iloc[:3]))
    assert (rest[3]["right"], len(seen)) == (rows[3]["right"], 1)


def test_the_committed_choices_are_of_validation():
    tests, tried = recorded(), recorded(split="validation")
    assert len(tried)
    for (target, way, seed), mine in tests.groupby(["target", "way", "seed"]):
        there = tried[(tried[["target", "way", "seed"]] == [target, way, seed]).all(axis=1)]
        said = there["numbers"].map(str)
        means = there.groupby(said, sort=False)["accuracy"].mean()
        assert set(mine["numbers"].map(str)) == {means.idxmax()}


def test_the_committed_table_is_whole():
    found = recorded()
    assert found.attrs["command"] == "python benchmarks/fine_tuning.py --budget"
    motion = found[found["target"] == "motion"]
    ways = {"probe", "partial", "full", "probe, then full", "from scratch"}
    assert set(motion["way"]) == ways
    assert set(motion["per_class"]) == {1, 2, 5, 10, 0}
    titles = found[found["target"] == "category from titles"]
    assert set(titles["way"]) == {"probe", "LoRA"}
    faces = found[found["target"] == "category from thumbnails"]
    assert set(faces["way"]) == {"probe", "partial", "full"}
    assert (found.groupby(["target", "way", "per_class"])["seed"].nunique() == 3).all()
    assert found["constant"].between(0, 0.3).all()
    assert not found.duplicated(["target", "way", "per_class", "seed"]).any()
    assert (found["right"] / found["tested"]).to_numpy() == pytest.approx(found["accuracy"])
    assert found["hits"].map(lambda hits: hits.count("1")).equals(found["right"])
    assert found["group"].map(len).equals(found["tested"])
    assert (titles["kind"].map(len) == titles["tested"]).all()
    assert set(titles["kind"].explode()) == {"en", "zh"}
    clips = found.groupby(["target", "per_class", "seed"])["n"].nunique()
    assert (clips == 1).all()  # every way had the same clips


def test_a_record_is_written_as_the_committed_one(tmp_path):
    text = budget.RECORD.read_text(encoding="utf-8")
    record = json.loads(text)
    path = tmp_path / "record.json"
    budget.write_record(path, record["command"], record["rows"], record["world"])
    assert path.read_text(encoding="utf-8") == text
    budget.write_record(path, "python measure.py", record["rows"])  # measured today
    assert recorded(path).attrs == {"command": "python measure.py", "world": VERSION}


def test_a_record_of_another_world_is_read_and_says_so(tmp_path, capsys):
    """By hand: two runs on the version before, and what the sentence has to hold."""
    path, rows = tmp_path / "record.json", [{"split": "test", "numbers": {}, "accuracy": 0.5}] * 2
    budget.write_record(path, "python measure.py", rows, world=VERSION - 1)
    table = recorded(path)
    assert table["accuracy"].tolist() == [0.5, 0.5]
    said = partial(_printed, capsys)
    first, second = said(table)
    assert first.startswith(f"Recorded with `python measure.py` on MiniTube version {VERSION - 1}")
    assert f"version {VERSION}: do not compare" in second
    same = "Recorded with `python measure.py` on MiniTube version"
    assert said(table, version=VERSION - 1) == [f"{same} {VERSION - 1}."]
    table.attrs["world"] = 0  # nothing is known about it but its number
    assert said(table)[0] == f"{same} 0."
    path.write_text(json.dumps({"command": "python measure.py", "rows": rows}), encoding="utf-8")
    assert "unknown version" in said(recorded(path))[0]


def _printed(capsys, table, **options):
    print_provenance(table, **options)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("file", [budget.RECORD, budget.GAINS])
def test_the_committed_tables_are_of_today_s_world(capsys, file):
    (only,) = _printed(capsys, recorded(file))
    assert only.endswith(f"on MiniTube version {VERSION}.")


def test_figures(table):
    axes = plot_budget(table.assign(target="colour"), chance=1 / 3).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "3", "all"]
    assert len(axes.containers) == 2
    history = pd.DataFrame(
        {"train_loss": [2.0, 1.0], "valid_loss": [2.0, 1.5], "valid_score": [0.1, 0.4]}, [1, 2]
    )
    left, right = plot_history({"full": history}).axes
    assert len(left.lines) == 3  # training, validation, and the ring
    assert right.lines[0].get_ydata().tolist() == [0.1, 0.4]
    # the loss is lowest in the second of four epochs, the score highest in the last
    history = pd.DataFrame(
        {"train_loss": 1.0, "valid_loss": [2, 1, 1, 3], "valid_score": [0.1, 0.2, 0.3, 0.4]},
        [1, 2, 3, 4],
    )
    left, right = plot_history({"full": history, "again": history}).axes
    assert [line.get_xydata().tolist() for line in (left.lines[2], right.lines[1])] == [
        [[2, 1]],
        [[2, 0.2]],
    ]
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["full", "kept: lowest validation loss", "again"]
    bare = history.assign(valid_loss=np.nan, valid_score=np.nan)
    assert len(plot_history({"no validation": bare}).axes[0].lines) == 1
    said = pd.DataFrame({"a": [0.9, 0.8, 0.1, 0.3], "b": [0.1, 0.2, 0.9, 0.7]})
    axes = plot_reliability(list("abba"), {"before": said, "after": said}, bins=2).axes[0]
    assert len(axes.collections) == 2
    drawn = axes.collections[0].get_offsets()  # all are in the upper bin: 2 of 4 are right
    np.testing.assert_allclose(drawn, [[0.825, 0.5]])
    with pytest.raises(ValueError, match="no history"):
        plot_history({})
