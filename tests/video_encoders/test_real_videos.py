"""Real clips, with their codecs and sizes, through every video encoder of the catalogue.

All clips of signs, and one of each class. Networks are small and untrained where no package carries
their weights: what counts is that nothing about a real file makes them fail.
"""

import numpy as np
import pandas as pd
import pytest

from tests.helpers import real_data
from vidrec_utils import video_encoders, video_io
from vidrec_utils.video_encoders import shots
from vidrec_utils.video_encoders.catalogue import CATALOGUE

SIGNS, CLASSES = "asl-gestures-ccby", "video6-mini-redistributable"


@pytest.fixture(scope="module")
def files():
    """All clips of signs, and the smallest one of each class."""
    signs = real_data.require(SIGNS)
    classes = real_data.require(CLASSES)
    table = pd.read_csv(classes / "clips.csv")
    table["bytes"] = [(classes / path).stat().st_size for path in table["path"]]
    each = table.sort_values("bytes").groupby("label").head(1)
    assert len(each) == 6
    found = [signs / path for path in pd.read_csv(signs / "clips.csv")["path"]]
    return found + [classes / path for path in each["path"]]


@pytest.fixture(scope="module")
def clips(files):
    """Sixteen frames of each, of the shape that the file has."""
    return [video_io.sample_frames(file, n=16, size=72) for file in files]


@pytest.mark.parametrize("name", CATALOGUE.entries)
def test_every_encoder_takes_real_clips(name, clips, files):
    packaged = "packaged" in video_encoders.available().loc[name, "available"]
    small = {} if packaged else CATALOGUE[name].smallest
    weights = "packaged" if packaged else "random"
    encoder = video_encoders.load(name, weights, "cpu", **small)
    if not encoder.calibrated:
        encoder.calibrate(clips[:4])
    vectors = encoder.encode(clips)
    assert vectors.shape == (len(files), encoder.dim)
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors.round(4), axis=0)) > len(files) // 2
    contract = encoder.frame_contract  # and as `embed` reads them
    read = video_io.sample_frames(files[-1], n=contract.frames, size=contract.read_size)
    assert np.isfinite(encoder.encode([read])).all()


@pytest.mark.parametrize("place", [0, -1, -2])
def test_shots_of_real_clips(files, place):
    found = shots.shot_boundaries(files[place])
    assert found["start_frame"].iloc[0] == 0
    assert (found["end_s"] > found["start_s"]).all()
