"""Missing modalities: each way by hand, gaps drawn fairly, the comparison on planted tastes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from vidrec_utils import datasets
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.hybrid import FillMissing, TwoTower, compare_missing, lose, missing

NAN = np.nan


def small():
    """Title has mean 2 and deviation 1 for all but c, clip mean (10, 5) and deviation (2, 0)."""
    title = pd.DataFrame({"x": [1.0, 3, NAN, 2]}, index=list("abcd"))
    clip = pd.DataFrame({"p": [8.0, 12, 9], "q": [5.0, 5, NAN]}, index=["a", "c", "e"])
    return {"title": title, "clip": clip}


def test_columns_and_rows_of_all_modalities():
    got = FillMissing("mean").fit_transform(small())
    assert got.index.tolist() == list("abcde")
    assert got.columns.tolist() == ["title 0", "clip 0", "clip 1"]
    assert got.to_numpy().dtype == np.float32


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [[-1, -1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        # zero in the features' own units: (0 - 2) / s, (0 - 10) / 2, (0 - 5) / 1
        ("zero", [[-1, -1, 0], [1, -5, -5], [-2, 1, 0], [0, -5, -5], [-2, -5, -5]]),
        ("drop", [[-1, -1, 0], [NAN] * 3, [NAN] * 3, [NAN] * 3, [NAN] * 3]),
        ("learned", [[-1, -1, 0], [1, NAN, NAN], [NAN, 1, 0], [0, NAN, NAN], [NAN] * 3]),
    ],
)
def test_each_way_by_hand(how, expected):
    got = FillMissing(how).fit_transform(small()).to_numpy()
    scale = np.sqrt(2 / 3)  # deviation of 1, 3, 2
    expected = np.array(expected, dtype=float)
    expected[:, 0] /= scale
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_predicted_is_the_ridge_regression():
    rng = np.random.default_rng(0)
    title = pd.DataFrame(rng.normal(size=(200, 3)))
    clip = pd.DataFrame(title.to_numpy() @ rng.normal(size=(3, 2)) + rng.normal(0, 0.1, (200, 2)))
    fill = FillMissing("predicted", ridge=0.05).fit({"title": title, "clip": clip})
    gone = clip.copy()
    gone.iloc[:20] = NAN
    got = fill.transform({"title": title, "clip": gone}).to_numpy()
    x = (title - title.mean()) / title.std(ddof=0)
    y = (clip - clip.mean()) / clip.std(ddof=0)
    model = Ridge(alpha=0.05 * 200, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(got[:20, 3:], model.predict(x[:20]), atol=1e-5)
    np.testing.assert_allclose(got[20:, 3:], y[20:], atol=1e-5)
    nothing = {"title": title.iloc[:1] * NAN, "clip": clip.iloc[:1] * NAN}
    np.testing.assert_array_equal(fill.transform(nothing), 0)


def test_means_come_from_fit_and_inputs_stay():
    tables = small()
    before = {name: table.copy() for name, table in tables.items()}
    fill = FillMissing("mean").fit(tables)
    new = {"title": pd.DataFrame({"x": [2.0]}, index=["n"]), "clip": tables["clip"].iloc[:0]}
    np.testing.assert_allclose(fill.transform(new), [[0, 0, 0]])
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, before[name])


@pytest.mark.parametrize("how", missing.HOWS)
def test_without_gaps_all_ways_agree(how):
    rng = np.random.default_rng(0)
    tables = {m: pd.DataFrame(rng.normal(2, 3, (9, 2))) for m in ("title", "clip")}
    joined = pd.concat(list(tables.values()), axis=1).to_numpy()
    expected = (joined - joined.mean(axis=0)) / joined.std(axis=0)
    np.testing.assert_allclose(FillMissing(how).fit_transform(tables), expected, rtol=1e-5)


def test_what_cannot_be_filled():
    for make, complaint in (
        (lambda: FillMissing("guess"), "'drop', 'zero'"),
        (lambda: FillMissing(ridge=0), "positive"),
        (lambda: FillMissing().fit({}), "no modality"),
        (lambda: FillMissing().fit({"clip": small()["clip"] * NAN}), "No video has .* 'clip'"),
        (lambda: FillMissing().fit({"t": small()["title"].set_axis(list("aabc"))}), "'a' twice"),
        (lambda: FillMissing().fit(small()).transform({"clip": small()["clip"]}), "fitted on were"),
        (lambda: lose(small(), 1.5), "between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=complaint):
            make()


def test_gaps_are_as_many_as_wanted_and_somebody_keeps_something():
    tables = {m: pd.DataFrame(np.ones((100, 2))) for m in ("title", "clip")}
    got = lose(tables, 0.3, seed=1, keep_one=False)
    assert [frame.isna().all(axis=1).sum() for frame in got.values()] == [30, 30]
    kept = lose(tables, 0.7, seed=1)
    gone = np.array([frame.isna().all(axis=1) for frame in kept.values()])
    assert not gone.all(axis=0).any()
    pd.testing.assert_frame_equal(lose(tables, 0.7, seed=1)["clip"], kept["clip"])
    assert not lose(tables, 0.7, seed=2)["clip"].equals(kept["clip"])
    assert tables["clip"].notna().all(axis=None)


def planted(n_users=40, n_videos=40, seed=0):
    """Even users like even videos; each modality tells the kind; the last ten are cold."""
    rng = np.random.default_rng(seed)
    kind = np.where(np.arange(n_videos) % 2, -1.0, 1.0)
    ids = [str(v) for v in range(n_videos)]
    tables = {
        m: pd.DataFrame(np.c_[kind + rng.normal(0, 0.1, n_videos), rng.normal(size=n_videos)], ids)
        for m in ("title", "clip")
    }

    def events(first, last, each):
        rows = [
            (f"u{u:02d}", str(v), 1.0, pd.Timestamp("2025-03-01", tz="UTC"))
            for u in range(n_users)
            for v in rng.choice(np.arange(first + u % 2, last, 2), each, replace=False)
        ]
        return pd.DataFrame(rows, columns=["user_id", "video_id", "watch_ratio", "timestamp"])

    train, test = events(0, 30, 5), events(30, 40, 2)
    videos = pd.DataFrame(index=ids)
    return tables, datasets.Split(train, train.iloc[:0], test, videos, "planted")


def test_dropped_videos_cost_and_filled_ones_cost_less():
    tables, split = planted()
    table = compare_missing(
        tables,
        split,
        lambda vectors, seed: ContentRecommender(vectors),
        share=0.5,
        seeds=(0, 1),
        on="test",
    )
    assert table["how"].tolist() == ["nothing missing", *missing.HOWS] * 2
    mean = table.groupby("how")["cold"].mean()
    assert mean["nothing missing"] > mean["mean"] > mean["drop"]
    assert mean["predicted"] > mean["drop"]
    lost = [lose(tables, 0.5, seed) for seed in (0, 1)]
    lacking = [
        np.any([frame.isna().any(axis=1) for frame in one.values()], axis=0).mean() for one in lost
    ]
    assert table.attrs == {"hidden": 0.5, "incomplete": np.mean(lacking)}
    assert table.attrs["incomplete"] == pytest.approx(1 - 0.5 ** len(tables), abs=0.15)
    again = compare_missing(
        tables,
        split,
        lambda vectors, seed: ContentRecommender(vectors),
        ["mean"],
        0.5,
        (1,),
        on="test",
    )
    assert (
        again.iloc[1].tolist() == table[(table.how == "mean") & (table.seed == 1)].iloc[0].tolist()
    )


def test_a_model_may_learn_what_to_put_there():
    tables, split = planted()
    library = SimpleNamespace(interactions=split.train, videos=split.videos)
    vectors = FillMissing("learned").fit_transform(lose(tables, 0.4))
    model = TwoTower(vectors, dim=8, hidden=16, epochs=10, batch_size=64).fit(library)
    assert np.isfinite(model.score(["u00", "u01"])).all()
    assert np.abs(model.state["absent"]).min() > 0
