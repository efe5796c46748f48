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


def difference(low, high, **more):
    """A difference with an interval, as a comparison has it."""
    middle = (low + high) / 2
    return SimpleNamespace(a="new", b="old", difference=middle, low=low, high=high, **more)


def test_the_three_outcomes_of_a_difference():
    assert claims.outcome(difference(0.01, 0.03), margin=0.005).endswith(
        ": better, as the interval lies above zero."
    )
    assert claims.outcome(difference(-0.004, 0.03), margin=0.005).endswith(
        ": not worse by more than 0.005."
    )
    assert "we cannot tell" in claims.outcome(difference(-0.0107, 0.0157), margin=0.005)
    # the margin of a comparison is used if no other is named
    assert "not worse" in claims.outcome(difference(-0.004, 0.03, margin=0.005))
    assert "we cannot tell" in claims.outcome(difference(-0.004, 0.03, margin=0.005), margin=0.001)


def test_not_clearly_worse_is_no_proof_of_not_worse():
    """These intervals of former notebooks reach above zero; each was read as "no worse"."""
    for low, high in ((-0.0065, 0.0150), (-0.0107, 0.0157)):
        with pytest.raises(AssertionError, match="includes zero does not show that nothing is lo"):
            claims.not_worse(difference(low, high), margin=0.005)
    claims.not_worse(difference(-0.0039, 0.0131), margin=0.005)
    claims.not_worse(difference(0.01, 0.02), margin=0.005)
    with pytest.raises(ValueError, match="Say by how much new may be worse than old"):
        claims.not_worse(difference(-0.001, 0.02))
    with pytest.raises(ValueError, match="margin is -1"):
        claims.not_worse(difference(-0.001, 0.02), margin=-1)
    with pytest.raises(AssertionError, match="must say that new is worse"):
        claims.not_worse(difference(-0.03, -0.02, margin=0.005))


def test_better_is_an_interval_above_zero():
    claims.better(difference(0.001, 0.02))
    with pytest.raises(AssertionError, match="do not show that new is better, nor that it is not"):
        claims.better(difference(-0.001, 0.02))
    with pytest.raises(AssertionError, match="must say that new is worse"):
        claims.better(difference(-0.02, -0.001))


def test_on_other_data_a_failing_difference_is_a_sentence(capsys):
    mine = SimpleNamespace(name="mine", root=None)
    claims.not_worse(difference(-0.02, 0.02), 0.005, mine)
    claims.better(difference(-0.02, 0.02), mine)
    assert capsys.readouterr().out.count("This does not hold on 'mine': new minus old: ") == 2
