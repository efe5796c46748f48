"""Claims: errors on the embedded world, sentences on other data."""

from types import SimpleNamespace

import pytest

from vidrec_utils import claims


def test_a_claim_that_holds_says_nothing(capsys):
    assert claims.check(1 < 2, "one is less than two") is None  # or a cell would end in `True`
    assert capsys.readouterr().out == ""


def test_a_claim_that_fails_on_the_embedded_world_is_an_error(tmp_path):
    (tmp_path / "world.json").touch()
    (tmp_path / "truth").mkdir()
    library = SimpleNamespace(name="minitube-small-0", root=tmp_path / "library")
    for about in (None, library):
        with pytest.raises(AssertionError, match="because of this"):
            claims.check(False, "because of this", about)


def test_a_claim_that_fails_on_other_data_is_a_sentence(capsys):
    claims.check(False, "because of this", SimpleNamespace(name="mine", root=None))
    assert capsys.readouterr().out == "This does not hold on 'mine': because of this\n"


def test_the_embedded_world_is_known_by_its_place_not_its_name(tmp_path):
    # A copy that somebody saved keeps the name, but has no truth next to it.
    library = SimpleNamespace(name="minitube-small-0", root=tmp_path / "library")
    assert not claims.embedded(library)
    assert not claims.embedded(SimpleNamespace(name="minitube-small-0", root=None))
    (tmp_path / "world.json").touch()
    assert not claims.embedded(library)
    (tmp_path / "truth").mkdir()
    assert claims.embedded(library)


def test_a_signal_that_is_lacking_is_named_in_a_sentence(capsys):
    library = SimpleNamespace(name="mine", has={"title": True, "path": False}.get)
    assert claims.has(library, "title") is True
    assert capsys.readouterr().out == ""
    assert claims.has(library, "title", "path") is False
    assert capsys.readouterr().out == (
        "The library mine has no path, so there is nothing to show here.\n"
    )
