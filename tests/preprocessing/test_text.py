import unicodedata

import numpy as np
import pandas as pd
import pytest

from vidrec_utils.preprocessing.text import clean_tags, clean_text, normalize_tags, normalize_text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  two\t\nlines  ", "two lines"),
        ("Ｃａｔ １２", "Cat 12"),  # full-width letters
        ("cafe\u0301", "caf\u00e9"),  # e and a combining accent are one letter
        ("a\u200bb\ufeffc\u00add", "abcd"),  # zero-width space, byte order mark, soft hyphen
        ("x\x00y\x7fz", "x y z"),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("wow!!!! really??", "wow! really?"),
        ("wait...... what", "wait... what"),
        ("3.14 and v1.2", "3.14 and v1.2"),
        ("太好了！！！再来，好吗？", "太好了！再来，好吗？"),  # East Asian marks stay as they are
        ("ＡＢＣ教程", "ABC教程"),
        ("", ""),
    ],
)
def test_normal_form(before, after):
    assert normalize_text(before) == after


def test_joined_emoji_and_words_that_need_joiners_stay_whole():
    astronaut = "\U0001f469\u200d\U0001f680"
    assert normalize_text(f"go {astronaut}!") == f"go {astronaut}!"
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert normalize_text(persian) == persian
    assert normalize_text("ca\u200dt") == "cat"


def test_emoji_can_be_named_or_removed():
    assert normalize_text("My 🐱 sleeps", emoji="name") == "My cat face sleeps"
    assert normalize_text("My 🐱 sleeps", emoji="remove") == "My sleeps"
    assert normalize_text("My 🐱 sleeps") == "My 🐱 sleeps"


def test_case():
    assert normalize_text("BEST CLIP EVER", case="sentence") == "Best clip ever"
    assert normalize_text("NASA", case="lower") == "nasa"
    assert normalize_text("iPhone Review", case="sentence") == "iPhone Review"
    with pytest.raises(ValueError, match="sentence"):
        normalize_text("x", case="upper")
    with pytest.raises(ValueError, match="emoji"):
        normalize_text("x", emoji="translate")


def test_normalizing_twice_changes_nothing():
    rng = np.random.default_rng(0)
    pool = [chr(c) for c in (*range(32, 127), 0x200B, 0x200D, 0x301, 0xFF01, 0x4F60, 0x1F431, 0x2E)]
    for _ in range(300):
        text = "".join(rng.choice(pool, 20))
        once = normalize_text(text)
        assert normalize_text(once) == once, repr(text)
        assert unicodedata.is_normalized("NFC", once)


def test_tags_are_lower_case_joined_and_unique():
    assert normalize_tags("Cat|#cat|ＣＡＴ|big_cat|big-cat||") == ("cat", "big cat")
    assert normalize_tags(["Kitty", "cat"], synonyms={"kitty": "cat"}) == ("cat",)
    assert normalize_tags("猫|STRASSE|straße") == ("猫", "strasse")


def test_columns_are_cleaned_and_reported():
    videos = pd.DataFrame(
        {"title": ["Fine", " b  c ", "\u200b", np.nan], "tags": ["A|a", np.nan, "|", "ok"]},
        index=pd.Index(["v1", "v2", "v3", "v4"], name="video_id"),
    ).astype("str")
    before = videos.copy()
    cleaned, report = clean_text(videos)
    assert list(cleaned["title"].fillna("-")) == ["Fine", "b c", "-", "-"]
    assert list(report["id"]) == ["v2", "v3"]
    assert list(report["row"]) == [3, 4]
    assert list(report["action"]) == ["normalized", "set to missing"]
    cleaned, report = clean_tags(videos)
    assert list(cleaned["tags"].fillna("-")) == ["a", "-", "-", "ok"]
    assert list(report["id"]) == ["v1", "v3"]
    pd.testing.assert_frame_equal(videos, before)


def test_absent_columns_are_passed_over():
    videos = pd.DataFrame({"x": [1]}, index=["v"])
    for function in (clean_text, clean_tags):
        cleaned, report = function(videos)
        pd.testing.assert_frame_equal(cleaned, videos)
        assert report.empty
