"""Modalities of a library that lacks some; their components; lists with the share of content."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import datasets, hybrid, video_io
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender

START = pd.Timestamp("2025-03-01", tz="UTC")


def log(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"])
    times = START + pd.to_timedelta(np.arange(len(frame)), "h")
    return frame.assign(timestamp=times, watch_ratio=1.0)


@pytest.fixture
def platform():
    """Even users watch even videos, odd ones odd videos, more and more new ones."""
    rows = [
        (f"u{user}", str(video))
        for turn in range(12)
        for user in range(10)
        for video in [2 * ((turn + 3 * user) % 15) + user % 2]
    ]
    videos = [str(v) for v in range(30)]
    vectors = pd.DataFrame({"side": [(-1.0) ** int(v) for v in videos]}, index=videos)
    vectors["noise"] = np.random.default_rng(0).normal(0, 0.1, 30)
    return SimpleNamespace(interactions=log(rows), videos=pd.DataFrame(index=videos)), vectors


def test_what_a_library_lacks_is_left_out_and_said(tmp_path, capsys):
    videos = pd.DataFrame(
        {"category": ["music", "music", "sport"], "tags": ["a|b", "a|c", None]},
        index=pd.Index(["1", "2", "3"], name="video_id"),
    )
    (tmp_path / "videos.csv").write_text(videos.to_csv(), encoding="utf-8")
    log([("u", "1"), ("u", "2")]).to_csv(tmp_path / "interactions.csv", index=False)
    library = datasets.load_folder(tmp_path)
    tables = hybrid.modalities(library)
    assert list(tables) == ["words"]
    assert tables["words"].columns.tolist() == ["category=music", "tags=a"]
    printed = capsys.readouterr().out
    assert all(f"has no {what}" in printed for what in ("title", "thumbnail", "path"))
    (tmp_path / "videos.csv").write_text("video_id\n1\n2\n3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no content to recommend by"):
        hybrid.modalities(datasets.load_folder(tmp_path))


def test_titles_are_read_where_there_are_some(tmp_path):
    (tmp_path / "videos.csv").write_text("video_id,title\n1,a cat\n2,a dog\n", encoding="utf-8")
    log([("u", "1"), ("u", "2")]).to_csv(tmp_path / "interactions.csv", index=False)
    tables = hybrid.modalities(datasets.load_folder(tmp_path))
    assert list(tables) == ["title"]
    assert tables["title"].vectors.shape == (2, 384)


def test_sound_is_heard_where_a_clip_has_some(tmp_path):
    """Two clips: both silent, then one of them with a tone."""
    frames = np.zeros((16, 64, 64, 3), dtype=np.uint8)
    frames[:, :, 32:] = 200
    for name in ("1", "2"):
        video_io.write_clip(tmp_path / f"{name}.mp4", frames, fps=16)
    (tmp_path / "videos.csv").write_text("video_id,path\n1,1.mp4\n2,2.mp4\n", encoding="utf-8")
    log([("u", "1"), ("u", "2")]).to_csv(tmp_path / "interactions.csv", index=False)
    assert list(hybrid.modalities(datasets.load_folder(tmp_path))) == ["clip"]
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    video_io.write_clip(tmp_path / "2.mp4", frames, fps=16, sound=tone, sound_rate=16_000)
    tables = hybrid.modalities(datasets.load_folder(tmp_path))
    assert list(tables) == ["clip", "sound"]
    heard = tables["sound"].frame().notna().all(axis=1)
    assert heard.to_dict() == {"1": False, "2": True}


def test_a_list_shows_its_reasons_and_the_members_that_lift_it(platform):
    library, vectors = platform
    content = ContentRecommender(vectors, name="content")
    model = hybrid.Stacked([content, ItemKNN(name="neighbours")]).fit(library)
    lists = hybrid.explained_lists(model, ["u0", "u3"], k=3, reasons=2)
    assert lists["user_id"].tolist() == ["u0"] * 5 + ["u3"] * 5
    reasons = lists["caption"].str.startswith("because of ")
    assert reasons.tolist() == [True, True, False, False, False] * 2
    assert (lists[reasons & (lists["user_id"] == "u0")]["video_id"].astype(int) % 2 == 0).all()
    listed = model.recommend("u3", 3)["video_id"]
    shown = lists[~reasons & (lists["user_id"] == "u3")]
    assert shown["video_id"].tolist() == listed.tolist()
    table = model.explain("u3", listed.iloc[0]).table
    lifts = table[table["kind"] == "member"].set_index("reason")["contribution"].clip(lower=0)
    assert f"content {lifts['content'] / lifts.sum():.0%}" in shown["caption"].iloc[0].split(", ")


def test_components_keep_what_varies_most():
    rng = np.random.default_rng(0)
    side = rng.choice([-1.0, 1.0], 50)  # six of eight columns tell which side a video is on
    table = pd.DataFrame(rng.normal(0, 0.1, (50, 8)), index=[str(i) for i in range(50)])
    table.iloc[:, 2:] += side[:, None]
    table.loc["7"] = np.nan
    small = hybrid.shortened({"a": table, "b": table[[0, 1]]}, dims=4)
    assert small["a"].shape == (49, 4)
    assert small["b"].shape == (49, 2)
    assert "7" not in small["a"].index
    agreement = small["a"].iloc[:, 0] * np.delete(side, 7)
    assert (agreement > 0).all() or (agreement < 0).all()
    assert small["a"].var().is_monotonic_decreasing
    with pytest.raises(ValueError, match="at least 1"):
        hybrid.shortened({"a": table}, dims=0)
    with pytest.raises(ValueError, match="No video has the modality 'a'"):
        hybrid.shortened({"a": table * np.nan})
