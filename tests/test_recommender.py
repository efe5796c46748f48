"""The common interface: masks, ties, unknown users, cold videos, odd input."""

import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import recommender as rec


def events(*rows, **columns):
    """Interactions from (user, video) pairs and columns of signals."""
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"]).astype("str")
    return frame.assign(**columns)


def library(interactions, videos):
    return SimpleNamespace(
        interactions=interactions, videos=pd.DataFrame(index=pd.Index(videos, name="video_id"))
    )


PAIRS = events(("u", "b"), ("u", "c"), ("v", "c"), ("w", "a"), ("w", "c"), watch_ratio=1.0)
CATALOGUE = ["d", "c", "b", "a"]


def test_best_gives_the_same_as_arrays():
    model = rec.Popularity().fit(library(PAIRS, CATALOGUE))
    best, scores = model.best(["u", "w", "x"], k=3)
    assert best.tolist() == [[3, 0, -1], [2, 0, -1], [1, 2, 3]]
    assert scores.tolist() == [[1, 0, -np.inf], [1, 0, -np.inf], [3, 1, 1]]
    assert model.best([], k=3)[0].shape == (0, 3)


def test_popularity_ranks_excludes_and_breaks_ties():
    model = rec.Popularity().fit(library(PAIRS, CATALOGUE))
    assert model.score(["u"]).tolist() == [[0, 3, 1, 1]]
    got = model.recommend(["u", "v"], k=10)
    assert got["video_id"].tolist() == ["a", "d", "b", "a", "d"]
    assert got["rank"].tolist() == [1, 2, 1, 2, 3]
    assert got.columns.tolist() == ["user_id", "video_id", "rank", "score"]
    everything = model.recommend("u", k=3, exclude_seen=False)
    assert everything["video_id"].tolist() == ["c", "b", "a"]


def test_unknown_users_get_popularity_and_order_is_kept():
    model = rec.Popularity().fit(PAIRS)
    got = model.recommend(["nobody", "u"], k=1)
    assert got.to_numpy().tolist() == [["nobody", "c", 1, 3], ["u", "a", 1, 1]]


def test_everything_seen_gives_no_rows():
    pairs = events(("u", "a"), ("u", "b"), ("v", "a"))
    model = rec.Popularity().fit(pairs)
    got = model.recommend(["u", "v"])
    assert got.to_numpy().tolist() == [["v", "b", 1, 1.0]]  # one event, which weighs 1
    empty = model.recommend(["u"])
    assert len(empty) == 0
    assert empty.columns.tolist() == got.columns.tolist()
    assert len(model.recommend([])) == 0


def test_repeated_exposures_add_up_and_inputs_stay():
    pairs = events(("u", "a"), ("u", "a"), ("v", "b"), watch_ratio=[0.5, 0.75, 1.0])
    before = pairs.copy()
    model = rec.Popularity().fit(pairs)
    assert model.score(["u"]).tolist() == [[1.25, 1.0]]
    pd.testing.assert_frame_equal(pairs, before)


def test_integer_ids_and_a_split():
    split = SimpleNamespace(
        train=pd.DataFrame({"user_id": [1, 2], "video_id": [7, 8], "watch_ratio": 1.0}),
        videos=pd.DataFrame(index=["8", "9", "7"]),
    )
    model = rec.Popularity().fit(split)
    assert model.recommend(["1"], k=1)["video_id"].tolist() == ["8"]
    assert model.recommend([1], k=1)["video_id"].tolist() == ["8"]


@pytest.mark.parametrize("one", [1, np.int64(1), "1", np.str_("1")])
def test_one_id_alone_is_a_list_of_one(one):
    pairs = pd.DataFrame({"user_id": [1, 2], "video_id": [7, 8], "watch_ratio": 1.0})
    model = rec.Popularity().fit(pairs)
    assert model.recommend(one, k=1).to_numpy().tolist() == [["1", "8", 1, 1.0]]
    assert model.score(one).shape == (1, 2)
    assert model.recommend(i for i in (1, 2))["user_id"].tolist() == ["1", "2"]


def test_missing_ids_are_refused_and_counted():
    videos = pd.DataFrame(index=["a", "b"])
    for users in (["u", None, "v", None], [1, np.nan, 2, np.nan]):
        frame = pd.DataFrame({"user_id": users, "video_id": list("aabb"), "watch_ratio": 1.0})
        split = SimpleNamespace(train=frame, videos=videos)
        for data in (frame, library(frame, ["a", "b"]), split):
            with pytest.raises(ValueError, match=r"2 of 4 .* no user_id.* row 1.*ing\.clean"):
                rec.Popularity().fit(data)
    frame = events(("u", "a"), ("v", None)).assign(video_id=["a", None])
    with pytest.raises(ValueError, match=r"1 of 2 .* no video_id"):
        rec.Popularity().fit(frame)
    with pytest.raises(ValueError, match="user ids asked for are missing"):
        rec.Popularity().fit(PAIRS).recommend(None)


def test_own_weights():
    by_series = rec.Popularity().fit(PAIRS, weights=pd.Series([5.0, 0, 0, 0, 0]))
    assert by_series.recommend("x", k=1)["video_id"].tolist() == ["b"]
    by_function = rec.Popularity().fit(PAIRS, weights=lambda f: (f["video_id"] == "a") * 1.0)
    assert by_function.recommend("x", k=1)["video_id"].tolist() == ["a"]
    with pytest.raises(ValueError, match="finite"):
        rec.Popularity().fit(PAIRS, weights=pd.Series([np.nan] * 5))


def test_no_events_at_all():
    model = rec.Popularity().fit(library(PAIRS.iloc[:0], CATALOGUE))
    assert model.recommend("u", k=2)["video_id"].tolist() == ["d", "c"]


def test_random_is_the_same_in_any_batch_and_uniform():
    videos = [f"v{i}" for i in range(400)]
    model = rec.Random(seed=3).fit(library(PAIRS.iloc[:0], videos))
    users = [f"u{i}" for i in range(50)]
    scores = model.score(users)
    np.testing.assert_array_equal(scores[7:9], model.score(users[7:9]))
    assert not np.array_equal(
        scores, rec.Random(seed=4).fit(library(PAIRS[:0], videos)).score(users)
    )
    assert abs(scores.mean() - 0.5) < 0.01
    assert abs(scores.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(scores)[np.triu_indices(50, 1)]).mean() < 0.06  # 0.04 by chance


def test_given_scores_are_given(tmp_path):
    scores = pd.DataFrame([[1.0, 3.0], [-2.0, np.nan]], index=["u", "x"], columns=["b", "a"])
    model = rec.FixedScores(scores, name="oracle").fit(library(PAIRS, CATALOGUE))
    expected = [[-2, -2, 1, 3], [-2, -2, -2, -2], [-2, -2, -2, -2]]
    for one in (model, rec.load(model.save(tmp_path))):
        assert one.score(["u", "x", "nobody"]).tolist() == expected
        assert one.name == "oracle"
    numbers = rec.FixedScores(pd.DataFrame([[5.0]], index=[1], columns=[7]))
    pairs = pd.DataFrame({"user_id": [1], "video_id": [7]})
    assert numbers.fit(pairs).score([1]).tolist() == [[5.0]]


def test_blocks_do_not_change_the_answer(monkeypatch):
    model = rec.Random().fit(library(PAIRS, CATALOGUE))
    users = ["u", "x", "v", "w"]
    whole = model.recommend(users, k=3)
    monkeypatch.setattr(rec, "BLOCK_VALUES", 5)
    pd.testing.assert_frame_equal(whole, model.recommend(users, k=3))


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"2 events have a video_id.*'a'"):
        rec.Popularity().fit(library(events(("u", "a"), ("u", "b")), ["c"]))
    with pytest.raises(ValueError, match="catalogue is empty"):
        rec.Popularity().fit(PAIRS.iloc[:0])
    with pytest.raises(ValueError, match=r"'c' more than once"):
        rec.Popularity().fit(library(PAIRS, ["a", "b", "c", "c"]))
    with pytest.raises(TypeError, match="VideoLibrary"):
        rec.Popularity().fit([1, 2])
    with pytest.raises(RuntimeError, match="not fitted"):
        rec.Popularity().score(["u"])
    with pytest.raises(ValueError, match="at least 1"):
        rec.Popularity().fit(PAIRS).recommend("u", k=0)


# --- the registry of classes --------------------------------------------------------------------


def test_a_class_is_registered_when_it_is_defined(tmp_path):
    class Longest(rec.Recommender):
        def _score(self, users):
            return np.tile([len(video) for video in self.video_ids], (len(users), 1))

    pairs = events(("u", "a"), ("u", "bbb"))
    again = rec.load(Longest().fit(pairs).save(tmp_path))
    assert type(again) is Longest
    assert again.score("u").tolist() == [[1, 3]]


def test_the_room_of_a_class_is_found_in_a_fresh_process():
    """Nothing but `recommender` is imported before: loading must not depend on the caller."""
    folder = Path(__file__).parent / "saved_models" / "diversified_fusion"
    code = f"from vidrec_utils import recommender; print(recommender.load({str(folder)!r}).name)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "weighted fusion, diverse"


@pytest.mark.parametrize(
    "key", ["os.system", "vidrec_utils", "vidrec_utils.nowhere.Model", "this.s"]
)
def test_no_name_of_a_file_is_imported(key, monkeypatch):
    imported = []
    monkeypatch.setattr(rec.importlib, "import_module", imported.append)
    assert rec._class_of(key) is None
    assert imported == []


def test_the_tables_of_renamed_names_name_what_there_is():
    for key in rec.RENAMED_CLASSES.values():
        assert rec._class_of(rec.PACKAGE + key) is not None
    for key, names in rec.RENAMED_PARAMETERS.items():
        parameters = inspect.signature(rec._class_of(rec.PACKAGE + key)).parameters
        assert set(names.values()) <= set(parameters)
        assert not set(names) & set(parameters)
    for key in rec.RENAMED_ARRAYS:
        assert rec._class_of(rec.PACKAGE + key) is not None


def test_names_of_older_files_hold_for_subclasses(monkeypatch):
    class Base(rec.Popularity):
        _learned = ("weights",)

        def __init__(self, size=1):
            self.size = size

        def _fit(self, matrix):
            self.weights = np.arange(2)

    class Derived(Base):
        pass

    base = rec.class_key(Base).removeprefix(rec.PACKAGE)
    monkeypatch.setitem(rec.RENAMED_PARAMETERS, base, {"width": "size"})
    monkeypatch.setitem(rec.RENAMED_ARRAYS, base, {"w": "weights"})
    model = Derived(size=3).fit(PAIRS)
    description, arrays = model.description(), model.packed()
    description["parameters"] = {"width": 3}
    arrays["state.w"] = arrays.pop("state.weights")
    again = rec.Recommender.unpacked(description, arrays, "a file")
    assert again.size == 3
    assert again.weights.tolist() == [0, 1]


def test_a_model_that_learns_has_somewhere_to_learn():
    with pytest.raises(TypeError, match="neither _fit nor _fit_events"):

        class Forgetful(rec.Recommender):
            _learned = ("weights",)

            def _fitt(self, matrix):
                self.weights = matrix

            def _score(self, users):
                return self.weights


def test_a_constructor_keeps_its_arguments_as_plain_numbers():
    class Base(rec.Popularity):
        def __init__(self, size: int = 1, rate: float = 0.5, name: str = "base"):
            double = 2 * size  # no argument
            self._set_arguments(locals())

    class Derived(Base):
        def __init__(self, full: bool = False, limit: int | None = None):
            super().__init__(size=4, name="derived")
            self._set_arguments(locals())

    base = Base(np.int64(3), np.float32(0.25))
    assert base.parameters() == {"size": 3, "rate": 0.25, "name": "base"}
    assert [type(value) for value in base.parameters().values()] == [int, float, str]
    assert not hasattr(base, "double")
    model = Derived(np.True_)
    assert model.parameters() == {"full": True, "limit": None}
    assert type(model.full) is bool
    assert (model.size, model.rate, model.name) == (4, 0.5, "derived")  # kept by the base
