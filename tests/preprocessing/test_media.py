import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vidrec_utils.datasets import VideoLibrary
from vidrec_utils.preprocessing.media import (
    _quantile,
    check_media,
    estimate_sigma,
    files_to_inspect,
    judge,
    noise_level,
    repair_durations,
    survey,
    thumbnails,
    treat_media,
)

from .conftest import moving, scene

STATUS = {
    "first": "ok",
    "reversed": "ok",
    "other way": "ok",
    "second": "ok",
    "noisy": "noisy",
    "black": "black",
    "black too": "black",
    "frozen": "frozen",
    "one frame": "ok",
    "error page": "broken",
    "error page too": "broken",
    "empty": "broken",
    "exact copy": "ok",
    "recoded": "ok",
    "gone": "absent",
    "cut": "broken",
}


def test_every_kind_of_file_gets_its_row(dirty):
    media = check_media(dirty, progress=False)
    assert media["status"].to_dict() == STATUS
    assert media.loc["empty", "reason"] == "empty"
    assert media.loc["error page", "reason"] == "not_a_video"
    assert media.loc["first", "width"] == 64
    assert media.loc["first", "duration_s"] == pytest.approx(24 / 16)
    assert media.loc[["empty", "gone"], "luma_mean"].isna().all()


def test_a_survey_also_makes_fingerprints_but_not_of_black_clips(dirty):
    media, prints = survey(dirty, progress=False)
    assert media["status"].to_dict() == STATUS
    unseen = ("broken", "absent", "black")
    assert set(prints) == {v for v, status in STATUS.items() if status not in unseen}


@pytest.mark.parametrize("sigma", [5.0, 15.0, 30.0])
def test_sigma_is_recovered(sigma):
    rng = np.random.default_rng(0)
    smooth = scene(3, 128).mean(axis=-1)
    assert estimate_sigma(smooth + rng.normal(0, sigma, smooth.shape)) == pytest.approx(
        sigma, rel=0.05
    )
    frames = np.stack([smooth + rng.normal(0, sigma, smooth.shape) for _ in range(6)])
    assert noise_level(frames) == pytest.approx(sigma, rel=0.05)


def test_texture_is_no_noise():
    texture = np.random.default_rng(0).normal(128, 40, (64, 64))
    assert estimate_sigma(texture) > 30
    assert noise_level(np.repeat(texture[None], 5, axis=0)) == 0.0
    assert estimate_sigma(np.zeros((2, 2))) == 0.0


def test_dark_is_not_black():
    night = np.zeros((4, 64, 64, 3), dtype=np.uint8)
    night[:, 30:40, 30:40] = 200  # a lamp of 2.4% of the picture
    night[1::2] += 3
    assert judge(night)["status"] == "ok"
    assert judge(np.full((4, 64, 64, 3), 16, dtype=np.uint8))["status"] == "black"
    assert judge(moving(1, "still"))["status"] == "frozen"
    assert judge(moving(1, "still", frames=1))["status"] == "ok"


def test_actions_are_taken_and_reported(dirty):
    media = check_media(dirty, progress=False)
    videos, log, report = treat_media(dirty.videos, dirty.interactions, media)
    gone = [v for v, status in STATUS.items() if status in ("broken", "black")]
    assert set(videos.index) == set(STATUS) - set(gone)
    assert not log["video_id"].isin(gone).any()
    of_videos = report[report["table"] == "videos"].set_index("id")
    assert set(of_videos.index) == {v for v, status in STATUS.items() if status != "ok"}
    assert of_videos.loc["noisy", "action"] == "kept, noted"
    assert of_videos.loc["error page", "problem"] == "broken file: not_a_video"
    assert of_videos.loc["noisy", "row"] == list(STATUS).index("noisy") + 2
    exposures = dirty.interactions["video_id"].isin(gone).sum()
    assert (report["table"] == "interactions").sum() == exposures


def test_other_actions(dirty):
    media = check_media(dirty, progress=False)
    videos, log, _ = treat_media(
        dirty.videos, dirty.interactions, media, {"broken": "no_media", "black": "keep"}
    )
    assert len(videos) == len(dirty.videos)
    assert videos.loc[["empty", "cut"], "path"].isna().all()
    assert videos.loc["black", "path"] == "black.mp4"
    assert len(log) == len(dirty.interactions)
    for wrong in ({"broken": "mend"}, {"blurred": "drop"}):
        with pytest.raises(ValueError, match="statuses are"):
            treat_media(videos, log, media, wrong)


def test_durations_are_read_from_the_files():
    videos = pd.DataFrame({"duration_s": [2000.0, np.nan, 2.1, 9.0]}, index=list("abcd"))
    media = pd.DataFrame({"duration_s": [2.0, 3.0, 2.0, np.nan]}, index=list("abcd"))
    cleaned, report = repair_durations(videos, media)
    assert list(cleaned["duration_s"]) == [2.0, 3.0, 2.1, 9.0]
    assert list(report["id"]) == ["a", "b"]
    assert list(report["problem"]) == ["duration contradicts the file", "duration missing"]
    assert videos.loc["a", "duration_s"] == 2000.0


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_quantiles_are_those_of_numpy(n, share):
    values = np.random.default_rng(n).normal(size=(1, n)).astype(np.float32)
    kept = values.copy()
    assert _quantile(values, share) == pytest.approx(np.quantile(values[0], share), abs=1e-6)
    assert np.array_equal(values, kept)


def test_files_to_inspect_are_the_first_of_each_status():
    media = pd.DataFrame({"status": ["ok", "noisy", "broken", "noisy", "absent", "noisy"]})
    assert list(files_to_inspect(media, most=2).index) == [2, 1, 3]
    assert list(files_to_inspect(media.iloc[[0, 4]], most=1).index) == [0]


def test_thumbnails_are_none_where_no_image_can_be_read(tmp_path):
    Image.new("RGB", (6, 4), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_text("not an image", encoding="utf-8")
    videos = pd.DataFrame(
        {
            "video_id": ["good", "bad", "none", "gone"],
            "thumbnail": ["good.png", "bad.jpg", None, "gone.jpg"],
        }
    )
    log = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})
    library = VideoLibrary(videos, log, root=tmp_path)
    good, *others = thumbnails(library, ["good", "bad", "none", "gone"])
    assert good.shape == (4, 6, 3)
    assert (good == [255, 0, 0]).all()
    assert others == [None, None, None]
