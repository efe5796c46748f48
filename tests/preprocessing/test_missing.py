import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from vidrec_utils.preprocessing.missing import MissingValues, fill_missing


@pytest.fixture
def videos():
    frame = pd.DataFrame(
        {
            "title": ["A red cat", np.nan, "Dog days", np.nan, "Cats and dogs"],
            "tags": ["cat|red", "cat", "dog", np.nan, np.nan],
            "category": ["animals", np.nan, "pets", "pets", np.nan],
            "duration_s": [2.0, np.nan, 4.0, 9.0, np.nan],
        },
        index=pd.Index(list("abcde"), name="video_id"),
    )
    text = {"title": "str", "tags": "str", "category": "str"}
    return frame.astype(text)


def test_defaults_fill_with_what_is_known(videos):
    before = videos.copy()
    cleaned, report = fill_missing(videos)
    assert cleaned.loc["b", "title"] == "Cat"
    assert cleaned.loc["d", "title"] == "untitled"
    assert cleaned.loc["b", "category"] == "animals"  # the tag cat goes with animals
    assert cleaned.loc["e", "category"] == "unknown"  # no tags, so nothing to predict from
    assert list(cleaned["duration_s"]) == [2.0, 4.0, 4.0, 9.0, 4.0]
    assert pd.isna(cleaned.loc["e", "tags"])  # "cat" is no word of "Cats and dogs"
    assert set(report["column"]) == {"title", "tags", "category", "duration_s"}
    assert report.loc[report["column"] == "title", "row"].tolist() == [3, 5]
    actions = report.groupby("column")["action"].agg(list)
    assert actions["title"] == ["filled from tags", "marked untitled"]
    assert actions["category"] == ["filled from tags", "marked unknown"]
    assert actions["tags"] == ["left missing", "left missing"]
    assert set(actions["duration_s"]) == {"filled with the median"}
    assert list(cleaned.dtypes) == list(videos.dtypes)
    pd.testing.assert_frame_equal(videos, before)


def test_what_is_learned_comes_from_training_rows_only(videos):
    filler = MissingValues({"duration_s": "median", "category": "most_frequent"})
    filler.fit(videos.loc[["a", "b"]])
    cleaned = filler.transform(videos.loc[["c", "d", "e"]])
    assert cleaned.loc["e", "duration_s"] == 2.0  # not 6.5, the median of the rows transformed
    assert cleaned.loc["e", "category"] == "animals"
    again, _ = fill_missing(videos, {"duration_s": "median"}, fit_on=videos.loc[["a", "b"]])
    assert again.loc["e", "duration_s"] == 2.0


def test_other_strategies(videos):
    cleaned, report = fill_missing(
        videos,
        {"title": "drop", "category": ("constant", "misc"), "duration_s": "mean", "tags": "keep"},
    )
    assert list(cleaned.index) == ["a", "c", "e"]
    assert cleaned.loc["e", "category"] == "misc"
    assert cleaned.loc["e", "duration_s"] == 5.0
    assert set(report.loc[report["column"] == "title", "action"]) == {"row dropped"}
    cleaned, report = fill_missing(videos, {"category": "unknown"}, indicators=True)
    assert list(report["action"]) == ["marked unknown", "marked unknown"]
    assert list(cleaned["category_was_missing"]) == [False, True, False, False, True]


def test_tags_found_in_titles_are_whole_words():
    videos = pd.DataFrame(
        {
            "title": ["x", "The cat, again", "Concatenate", "我的猫很可爱"],
            "tags": ["cat|猫", np.nan, np.nan, np.nan],
        }
    ).astype("str")
    cleaned, _ = fill_missing(videos, {"tags": "from_title"})
    assert cleaned["tags"].fillna("-").tolist() == ["cat|猫", "cat", "-", "猫"]


def test_durations_can_be_probed(videos):
    def probe(video_id):
        if video_id == "b":
            raise ValueError("broken")
        return 7.5

    cleaned, report = fill_missing(videos, {"duration_s": "probe"}, probe=probe)
    assert pd.isna(cleaned.loc["b", "duration_s"])
    assert cleaned.loc["e", "duration_s"] == 7.5
    assert list(report["action"]) == ["left missing", "filled from file"]


def test_mistakes_are_named(videos):
    with pytest.raises(ValueError, match="most_frequent"):
        fill_missing(videos, {"title": "guess"})
    with pytest.raises(ValueError, match="needs numbers"):
        fill_missing(videos, {"title": "median"})
    with pytest.raises(ValueError, match="probe="):
        fill_missing(videos, {"duration_s": "probe"})
    with pytest.raises(ValueError, match="'tags' is absent"):
        fill_missing(videos.drop(columns="tags"), {"category": "from_tags"})
    with pytest.raises(ValueError, match="not fitted"):
        MissingValues().transform(videos)


def test_it_is_a_scikit_learn_estimator(videos):
    filler = clone(MissingValues({"duration_s": "median"}, indicators=True))
    assert filler.get_params()["indicators"] is True
    assert filler.fit_transform(videos)["duration_s"].notna().all()


def test_empty_columns_and_frames(videos):
    videos["duration_s"] = np.nan
    videos["tags"] = videos["tags"].mask(videos["tags"].notna())
    cleaned, _ = fill_missing(videos)
    assert cleaned.loc["b", "category"] == "unknown"
    assert cleaned.loc["b", "title"] == "untitled"
    empty, report = fill_missing(videos.iloc[:0], fit_on=videos)
    assert empty.empty
    assert report.empty
