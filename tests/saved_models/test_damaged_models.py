"""Models whose files were damaged, or edited by somebody who renewed the hashes, of all classes."""

from pathlib import Path

import pytest

from tests.helpers.damaged_models import try_damaged, try_edited
from vidrec_utils import recommender

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The models of this folder in the format of today."""
    root = tmp_path_factory.mktemp("models")
    saved = sorted(file.parent for file in FOLDER.glob("*/model.json"))
    return [recommender.load(folder).save(root / folder.name) for folder in saved]


def test_damaged_models_are_refused_or_score_as_before(models: list[Path], tmp_path: Path) -> None:
    outcomes = try_damaged(models, count=150, seed=0, folder=tmp_path)
    assert outcomes["refused"] > 130


def test_edited_models_are_refused_or_can_score(models: list[Path], tmp_path: Path) -> None:
    outcomes = try_edited(models, count=150, seed=0, folder=tmp_path)
    assert outcomes["refused"] > 60
    assert outcomes["scores"] > 20  # another weight, say, that a model could have learned
