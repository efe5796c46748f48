"""Claims: errors on the embedded world, sentences on other data."""

from types import SimpleNamespace

import pytest

from vidrec_utils import claims


def test_a_claim_that_holds_says_nothing(capsys):
    assert claims.check(1 < 2, "one is less than two") is True
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("library", [None, SimpleNamespace(name="minitube-small-0")])
def test_a_claim_that_fails_on_the_embedded_world_is_an_error(library):
    with pytest.raises(AssertionError, match="because of this"):
        claims.check(False, "because of this", library)


def test_a_claim_that_fails_on_other_data_is_a_sentence(capsys):
    assert claims.check(False, "because of this", SimpleNamespace(name="mine")) is False
    assert capsys.readouterr().out == "This does not hold on 'mine': because of this\n"


def test_the_embedded_world_is_known_by_its_place_too(tmp_path):
    library = SimpleNamespace(name="library", root=tmp_path / "library")
    assert not claims.embedded(library)
    (tmp_path / "world.json").touch()
    assert claims.embedded(library)


def test_a_signal_that_is_lacking_is_named_in_a_sentence(capsys):
    library = SimpleNamespace(name="mine", has={"title": True, "path": False}.get)
    assert claims.given(library, "title") is True
    assert capsys.readouterr().out == ""
    assert claims.given(library, "title", "path") is False
    assert capsys.readouterr().out == (
        "The library mine has no path, so there is nothing to show here.\n"
    )
