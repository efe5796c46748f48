"""Models that the version of commit cdef2ba saved load and score the same; see make.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from vidrec_utils import recommender, saving

FOLDER = Path(__file__).parent
MODELS = sorted(file.parent.name for file in FOLDER.glob("*/model.json"))
ASKED = ["u0", "u3", "nobody"]  # two known users and an unknown one


@pytest.fixture(scope="module")
def scores():
    with np.load(FOLDER / "scores.npz") as file:
        return dict(file)


def test_no_model_is_missing(scores):
    assert len(MODELS) >= 29
    assert set(MODELS) == set(scores)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_saved_before_scores_as_it_did(name, scores, tmp_path):
    model = recommender.load(FOLDER / name)
    expected = scores[name]
    assert expected.shape == (3, 10)
    np.testing.assert_allclose(model.score(ASKED), expected, rtol=1e-6, atol=1e-6)

    # saved again, it is a model of today, and still the same
    again = recommender.load(model.save(tmp_path))
    np.testing.assert_array_equal(again.score(ASKED), model.score(ASKED))
    assert again.name == model.name
    assert again.parameters() == model.parameters()


def test_a_trained_slowfast_keeps_the_names_of_its_arrays(tmp_path):
    """The weights themselves are too large to keep: ones of the same names and shapes load."""
    shapes = json.loads((FOLDER / "slowfast_shapes.json").read_text())
    description, arrays = saving.read(FOLDER / "end_to_end_joint")
    description["parameters"] |= {"encoder": "slowfast_mini", "source": "frozen"}
    learned = {
        name: array for name, array in arrays.items() if not name.startswith("state.vectors")
    }
    weights = {
        f"state.{name}": np.ones(shape, dtype=np.float32)
        for name, shape in shapes.items()
        if name.startswith("vectors.")
    }
    assert len(weights) > 80
    model = recommender.load(saving.write(tmp_path, description, {**learned, **weights}))
    for values in model.vectors.state_dict().values():
        assert (values == 1).all()
