"""Exercises: one source for solution and stub, and answers that help."""

import importlib.util
import sys

import pytest

from tests.helpers.exercise_faults import problems
from vidrec_utils import exercises
from vidrec_utils.exercises import example


@pytest.mark.parametrize("subject", exercises.available())
def test_every_solution_passes_every_stub_fails_every_mistake_gets_its_hint(subject):
    assert problems(subject) == []


def test_stub_keeps_signature_and_docstring_and_drops_the_solution():
    assert exercises.stub("example", "mean_watch") == (
        "def mean_watch(ratios: list[float]) -> float:\n"
        '    """Return the mean watch ratio, leaving out exposures without one (NaN).\n'
        "\n"
        "    An empty list, or one of NaN alone, has the mean NaN.\n"
        "    For example, `[0.5, nan, 1.0]` gives 0.75.\n"
        '    """\n'
        "    ...  # your code here"
    )


def test_solution_is_the_source_without_its_marks():
    text = exercises.solution("00_example", "mean_watch")
    assert "known = [ratio" in text
    assert "# solution" not in text
    assert "# end solution" not in text


def attempt(source: str):
    namespace = {}
    exec(source, namespace)
    return namespace["mean_watch"]


def test_check_prints_a_sentence_and_returns_whether_it_is_right(capsys):
    assert exercises.check("example", "mean_watch", example.mean_watch)
    assert not exercises.check("example", "mean_watch", lambda ratios: 7.0)
    right, wrong = capsys.readouterr().out.splitlines()
    assert right.startswith("Correct: a signal that is missing")
    assert wrong == "Not yet: for [0.5, 1.0] the mean is 0.75, yours is 7.0."


@pytest.mark.parametrize("body", ["...", "...  # another comment", "pass", '"""Other text."""'])
def test_an_open_stub_is_named_as_such(body):
    answer = exercises.grade(
        "example", "mean_watch", attempt(f"def mean_watch(ratios):\n    {body}")
    )
    assert not answer.correct
    assert "your code here" in answer.message


def test_an_error_in_the_attempt_becomes_a_sentence_with_type_and_line():
    source = "def mean_watch(ratios):\n    total = sum(ratios)\n    return total / undefined"
    message = exercises.grade("example", "mean_watch", attempt(source)).message
    assert "NameError" in message
    assert "line 3 of your function" in message


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("raise AssertionError('mine')", "stopped with AssertionError: mine"),
        ("raise SystemExit", "stopped with SystemExit"),
        ("return mean_watch(ratios)", "RecursionError"),
        ("return 'text'", "could not use what your function returned"),
    ],
)
def test_nothing_that_an_attempt_does_escapes(body, part):
    answer = exercises.grade(
        "example", "mean_watch", attempt(f"def mean_watch(ratios):\n    {body}")
    )
    assert not answer.correct
    assert part in answer.message


def test_a_result_in_place_of_the_function_is_pointed_out():
    assert "the function itself" in exercises.grade("example", "mean_watch", 0.5).message


def test_unknown_names_list_what_there_is():
    with pytest.raises(KeyError, match="example"):
        exercises.load("no_such_notebook")
    with pytest.raises(KeyError, match="mean_watch"):
        exercises.stub("example", "no_such_exercise")
    with pytest.raises(KeyError, match="mean_watch"):
        exercises.check("example", "no_such_exercise", example.mean_watch)


FAULTY = '''
def half(value):
    # solution
    return value / 3
    # end solution


def check_half(function):
    assert function(2) == 1, "half of 2 is 1"


WRONG_HALF = [(lambda value: value / 2, "half"), (lambda value: 0, "elephant")]


def third(value):
    """Return a third."""
    result = value
    # solution
    result = value / 3
    # end solution
    return result
'''


@pytest.fixture
def faulty(tmp_path):
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("faulty", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["faulty"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["faulty"]


def test_problems_finds_each_fault(faulty):
    found = "\n".join(problems(faulty))
    for part in (
        "half: the solution fails: half of 2 is 1",
        "half: the docstring",
        "half: wrong answer 1 passes",
        "half: wrong answer 2 should get 'elephant'",
        "third: check_third is missing",
    ):
        assert part in found


def test_code_after_the_solution_stays_in_the_stub(faulty):
    assert exercises.stub(faulty, "third").splitlines()[-2:] == [
        "    ...  # your code here",
        "    return result",
    ]


def test_a_missing_mark_is_named(faulty, tmp_path):
    text = FAULTY.replace("    # end solution\n", "", 1)
    (tmp_path / "faulty.py").write_text(text, encoding="utf-8")
    import linecache

    linecache.clearcache()
    with pytest.raises(ValueError, match="end solution"):
        exercises.stub(faulty, "half")
