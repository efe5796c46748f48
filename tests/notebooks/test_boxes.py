"""Boxes, checks, quiz and figures: what the rules on teaching see, and what they let pass."""

import json
from pathlib import Path

import pytest

from tests.notebooks import known_bad as make
from vidrec_utils import notebooks
from vidrec_utils.notebooks import techniques
from vidrec_utils.notebooks.formulas import display_formulas, legend, symbols

ROOT = Path(__file__).parents[2]
COURSE = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def good():
    return json.loads(make.GOOD.read_text(encoding="utf-8"))


@pytest.fixture
def judge(good, tmp_path):
    """A function that changes the good notebook and returns what it breaks, by rule."""
    for name in ("vidrec_utils/example.py", "tests/test_example.py", "notebooks/readme"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    path = tmp_path / "notebooks" / "07_example.ipynb"

    def judged(*changes, name="07_example"):
        def change(nb):
            for each in changes:
                each(nb)

        make.write(path, make.derive(good, change))
        broken = {}
        for violation in notebooks.check_notebook(path, name=name, root=tmp_path):
            broken.setdefault(violation.rule, []).append(violation.message)
        return {rule: "; ".join(messages) for rule, messages in broken.items()}

    return judged


def swap(old, new):
    return lambda nb: make.swap(nb, old, new)


def replace(part, source):
    """Replace the whole source of a cell."""

    def change(nb):
        make.find(nb, part)["source"] = source

    return change


# --- the toys that have to fail -----------------------------------------------------------------

TYPED = """figure, axes = plt.subplots()
for i, name in enumerate(["input", "convolution", "pooling"]):
    axes.add_patch(plt.Rectangle((i, 0), 0.8, 1))
    axes.text(i, 0.5, name)
plots.show(figure, alt="Three boxes in a row")"""
TYPED_BY_A_FUNCTION = """def block(axes, x, name):
    axes.add_patch(plt.Rectangle((x, 0), 0.8, 1))
    axes.text(x, 0.5, name)

figure, axes = plt.subplots()
block(axes, 0, "input")
plots.show(figure, alt="A box for the input")"""
WRAPPER = """def paired(a, b):
    \"\"\"Return what the package returns.\"\"\"
    kept = ~(np.isnan(a) | np.isnan(b))
    result = {call}
    return a[kept].mean(), result

mean_gap, t = paired(pairs[first], pairs[second])
print(f"{{first}} minus {{second}}: {{mean_gap:.2f}}")"""


FRAMED_WORDS = """figure, axes = plt.subplots()
axes.text(0.2, 0.5, "convolution", bbox={"fill": False})
plots.show(figure, alt="A word in a frame")"""


@pytest.mark.parametrize("source", [TYPED, TYPED_BY_A_FUNCTION, FRAMED_WORDS])
def test_a_drawing_of_typed_in_rectangles_fails(source, judge):
    rest = "first, second = table.mean().sort_values(ascending=False).index[:2]\n"
    rest += "pairs = table[[first, second]].dropna()\n"
    assert "box_drawing" in judge(replace("axes.axline", source))
    assert "typed in" in judge(replace("axes.axline", rest + source))["box_drawing"]


@pytest.mark.parametrize(
    "line",
    [
        "axes.add_patch(plt.Rectangle(pairs.mean(), *pairs.std()))",
        "[axes.add_patch(plt.Circle(row, 0.1)) for row in pairs.to_numpy()]",
        "axes.annotate('equal', (0.5, 0.5))",
    ],
)
def test_shapes_around_data_and_words_in_a_drawing_pass(line, judge):
    assert judge(swap("axes.axline((0, 0)", f"{line}\naxes.axline((0, 0)")) == {}


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("from scipy import stats", "stats.ttest_rel(a, b).statistic"),
        ("from scipy import stats", "(lambda f: f(a, b))(stats.ttest_rel)"),
        ("from vidrec_utils import evaluation", "evaluation.compare(a, b)"),
        ("from vidrec_utils.evaluation import compare", "compare(a, b)"),
    ],
)
def test_a_scratch_cell_that_wraps_the_package_fails(imports, call, judge):
    broken = judge(
        swap("from scipy import stats", f"from scipy import stats\n{imports}"),
        replace("def paired", WRAPPER.format(call=call)),
    )
    assert "write the step itself" in broken["box_scratch"]


def test_a_scratch_cell_that_calls_a_network_made_by_the_package_fails(judge):
    broken = judge(
        swap("pairs = table", "network = stats.norm(0, 1)\npairs = table"),
        swap("gap = a - b", "gap = network(a - b)"),
    )
    assert "network" in broken["box_scratch"]


@pytest.mark.parametrize(
    "check",
    [
        "assert t == t",
        "assert np.allclose(paired(a, b), paired(a, b))",
        'claims.check(np.isclose(t, t), "the same is the same")',
        "np.testing.assert_allclose(t, t)",
        "assert True",
        "assert t > 0",
        "assert np.isfinite(t)",
        "theirs = t\nassert np.isclose(t, theirs)",
        "assert reference.statistic > 0",
        "assert stats.ttest_rel(pairs[first], pairs[second]).statistic > 0",
    ],
)
def test_a_check_that_compares_nothing_with_the_package_fails(check, judge):
    assert "box_check" in judge(replace("reference = stats", check))


@pytest.mark.parametrize(
    "check",
    [
        "theirs = stats.ttest_rel(pairs[first], pairs[second])\nassert abs(theirs[0] - t) < 1e-9",
        "np.testing.assert_allclose(t, stats.ttest_rel(pairs[first], pairs[second])[0])",
        'claims.check(np.isclose(t, stats.ttest_rel(pairs[first], pairs[second])[0]), "ours")',
    ],
)
def test_a_check_against_the_reference_passes_in_any_form(check, judge):
    assert "box_check" not in judge(replace("reference = stats", check))


@pytest.mark.parametrize(
    "bars",
    [
        "axes.bar(range(len(gaps)), gaps)",
        "axes.barh(range(len(gaps)), gaps)",
        "gap.plot(kind='bar')",
        "gap.plot.bar()",
        "plots.bars_with_intervals(frame, 'mean', 'low', 'high')",
        "draw = plots.bars_with_intervals(frame)",
    ],
)
def test_a_bar_chart_as_a_look_inside_fails(bars, judge):
    broken = judge(swap("axes.hist(gaps, bins=20)", bars))
    assert {"box_images", "bar_charts"} == {*broken}


def test_a_clip_and_its_still_are_one_figure(judge):
    data = {"text/html": '<img src="data:image/webp;base64,AAAA" alt="a short noisy clip">'}
    both = data | {"image/jpeg": "AAAA", "text/plain": "a short noisy clip"}
    notes = {"image/jpeg": {"alt": "a short noisy clip"}}

    def show(nb):
        fields = {"output_type": "display_data", "metadata": notes, "data": both}
        make.output(nb, "plots.use_style", **fields)

    second = swap("axes.axline((0, 0)", "axes.bar([0], pairs)\naxes.axline((0, 0)")
    assert "2 of 5 figures" in judge(show, second)["bar_charts"]


def test_bars_drawn_by_a_function_of_the_notebook_count(judge):
    broken = judge(
        swap("plots.use_style()", "plots.use_style()\ndef tall(axes, x):\n    axes.bar([0], x)"),
        swap("axes.hist(gaps, bins=20)", "tall(axes, gaps)"),
    )
    assert "bar chart" in broken["box_images"]


@pytest.mark.parametrize(("n", "fails"), [(4, True), (5, False), (15, False), (16, True)])
def test_the_core_step_takes_5_to_15_lines(n, fails, judge):
    lines = ["def paired(a, b):", "    # comments do not count", '    """Nor does this."""', ""]
    lines += [f"    step_{i} = a - b" for i in range(n - 3)]
    lines += ["    return step_0, a", "mean_gap, t = paired(pairs[first], pairs[second])"]
    broken = judge(replace("def paired", "\n".join(lines)))
    assert ("lines of code" in broken.get("box_scratch", "")) == fails


# --- boxes that are owed ------------------------------------------------------------------------


def tag(part, *tags):
    return lambda nb: make.find(nb, part)["metadata"].update(tags=list(tags))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (tag("axes.axline", "box-paired-difference"), "one more tag"),
        (tag("axes.axline", "box-paired-difference", "drawing", "look"), "one more tag"),
        (tag("axes.axline", "box-paired-difference", "look"), "the order is"),
        (tag("axes.axline"), "the order is"),
        (tag("axes.axline", "box-paired-difference", "idea"), "text cell"),
        (tag("How wide should"), "it is idea, then check"),
        (tag("How wide should", "box-other", "idea"), "enter the box 'other'"),
    ],
)
def test_a_box_with_its_parts_out_of_order_is_named(change, says, judge):
    assert says in judge(change)["boxes"]


def test_a_box_that_is_owed_and_lacking_is_named(judge, monkeypatch):
    owed = techniques.Owed(("paired-difference", "bootstrap"), ("standard-error",))
    monkeypatch.setitem(techniques.OWED, "example", owed)
    assert judge() == {"boxes": "there is no box of bootstrap: tag its cells box-bootstrap"}
    monkeypatch.delitem(techniques.OWED, "example")
    assert "enter 'example' in OWED" in judge()["boxes"]


def test_every_notebook_says_what_it_owes_within_the_limit():
    subjects = {path.stem.partition("_")[2] for path in COURSE}
    assert subjects | {"example"} == techniques.OWED.keys()
    for owed in techniques.OWED.values():
        assert len(owed.full) <= techniques.MOST_FULL
        assert len({*owed.full, *owed.short}) == len(owed.full + owed.short)


def test_the_list_of_notebooks_that_are_not_yet_rewritten_only_shrinks():
    assert len(techniques.NOT_YET_REWRITTEN) <= 10
    assert {path.stem for path in COURSE} >= techniques.NOT_YET_REWRITTEN


def test_a_notebook_that_keeps_all_rules_leaves_the_list(judge, monkeypatch):
    monkeypatch.setattr(techniques, "NOT_YET_REWRITTEN", {"07_example"})
    assert "take it out of NOT_YET_REWRITTEN" in judge()["boxes"]
    assert judge(swap("**By hand.** Compute", "Compute")) == {}


# --- formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"y_t = \sum_{i} \alpha_i x_i", {"y", "t", r"\alpha", "i", "x"}),
        (r"\hat{y} = \hat y + \bar{d}", {r"\hat{y}", r"\bar{d}"}),
        (r"\mathbf{X} \in \mathbb{R}^{n \times d}", {r"\mathbf{X}", "n", "d"}),
        (r"\operatorname{softmax}(Q K^T / \sqrt{d_k}) V", {"Q", "K", "d", "k", "V"}),
        (r"P\left(r^\top x \neq 0\right) = \frac{\theta}{\pi}", {"r", "x", r"\theta", r"\pi"}),
        (r"\mathbb{E}[e^{-x}] + \text{the rest}", {"x"}),
        (r"\mathcal{L} = -\log p_y", {r"\mathcal{L}", "p", "y"}),
        (r"I_x u + I_y v + I_t = 0", {"I", "x", "u", "y", "v", "t"}),
    ],
)
def test_symbols_of_a_formula(formula, expected):
    assert symbols(formula) == expected


def test_a_legend_explains_what_has_words_beside_it():
    table = "| symbol | meaning |\n|---|---|\n| $x, y$ | two vectors |\n| $r$ | |\n| $s$ | $t$ |"
    assert legend(table) == {"x", "y"}
    assert legend("$x$ is a vector") == set()


def test_display_formulas_stand_between_two_dollars_outside_of_code():
    assert display_formulas("a $b$ $$c$$\n\n$$\nd\n$$\n```\n$$e$$\n```") == ["c", "d"]


@pytest.mark.parametrize("idea", ["The mean of differences.", "It is $a - b$.", "$$1 + 1$$"])
def test_an_idea_without_a_display_formula_is_named(idea, judge):
    broken = judge(replace("Subtract first, and average", idea))
    assert "has no formula" in broken["box_formula"]


# --- checks, quiz, exercises, numbers -----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda nb: make.note(nb, "assert means", ["check"]), "not collapsed"),
        (lambda nb: make.note(nb, "best =", ["check"], source_hidden=True), "asserts nothing"),
        (lambda nb: make.add(nb, "np.testing.assert_allclose(1, 1)", to="best ="), "lesson's code"),
    ],
)
def test_checks_stand_apart_and_collapsed(change, says, judge):
    broken = judge(change)
    assert says in broken.pop("checks")
    assert broken == {}


@pytest.mark.parametrize(
    "check",
    [
        'assert share == share, "the share is what it is"',
        'assert np.isclose(share, share), "the share is what it is"',
        'claims.check(share == share, "the share is what it is")',
        'assert True, "this is always as it should be"',
        'claims.check(True, "this is always as it should be")',
    ],
)
def test_an_assertion_that_cannot_fail_fails_outside_of_boxes(check, judge, good):
    old = make.find_line(good, "assert share >")
    broken = judge(lambda nb: make.swap(nb, old, check))
    assert "cannot fail" in broken["checks"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("**Question.** Why are", "Why are", "4 questions"),
        ("3. A user may be drawn only once.\n", "", "shows 2 options"),
        ("<summary>Answer</summary>\n\n**1.**", "<summary>Answer</summary>\n**1.**", "empty line"),
        ("**1.** Drawing exposures", "Drawing exposures", "the number of an option in bold"),
        ("**1.** Drawing exposures", "**7.** Drawing exposures", "the number of an option"),
        ("*2* is true and no reason.", "", "option 2"),
    ],
)
def test_each_question_of_the_quiz_is_complete(old, new, says, judge):
    assert says in judge(swap(old, new))["quiz"]


def test_the_exercises_are_of_four_kinds_in_order(judge):
    broken = judge(swap("**Change and observe.**", "**In code.**"))
    assert broken.keys() == {"exercise_kinds"}


@pytest.mark.parametrize(
    ("sentence", "fails"),
    [
        ("The mean is 0.46.", True),
        ("The mean is 0.46 ([their table](https://example.org/paper)).", False),
        ("The mean is 0.46. It rose ([their table](https://example.org/paper)).", True),
        ("| model | 0.46 | [paper](https://example.org/paper) |", False),
        ("- Theirs is 0.46, as [they say](https://example.org/paper).\n- Ours is 0.47.", True),
        ("$$x = 0.23 + 0.23 = 0.46$$\n\nIt is 0.46.", False),
        ("$$0.46$$\n\nIt is 0.47.", True),
        (r"If $\cos\theta = 0.9$, then 0.9 is meant.", False),
        ("If it is $0.9$, then 0.9 is meant.", True),
        (r"For $d$ and $e$ there are $7 \cdot 7 = 49$ maps, 49 in all.", False),
        ("Between $5$ and $x$ stands 0.46.", True),
        ("Between $5$ stands 0.46 and $x$.", True),
    ],
)
def test_numbers_in_prose_have_a_source_or_a_formula(sentence, fails, judge):
    broken = judge(swap("Nothing of the kind", f"\n\n{sentence}\n\nNothing of the kind"))
    assert broken.keys() == ({"numbers"} if fails else set())


def test_numbers_in_prose_may_be_those_that_the_section_prints(judge, good):
    printed = "".join(make.find(good, "share = np.mean")["outputs"][0]["text"])
    number = printed.split(" is first in ")[1].split()[0]
    here = swap("The share is the honest form", f"It is {number}. The share is the honest form")
    elsewhere = swap("Nothing of the kind", f"It is {number}. Nothing of the kind")
    assert judge(here) == {}
    assert judge(elsewhere).keys() == {"numbers"}
