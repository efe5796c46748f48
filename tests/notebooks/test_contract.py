"""The notebook contract: the course keeps it, and what breaks it is caught for the right reason."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.notebooks import known_bad as make
from vidrec_utils import notebooks
from vidrec_utils.notebooks import form_rules
from vidrec_utils.notebooks.__main__ import main
from vidrec_utils.notebooks.code_rules import foreign_path
from vidrec_utils.notebooks.lesson_rules import numbers

ROOT = Path(__file__).parents[2]
COURSE = sorted((ROOT / "notebooks").glob("*.ipynb"))
GOOD = make.GOOD


@pytest.fixture(scope="session")
def known_bad(tmp_path_factory):
    """The folder of the notebooks that each break one rule."""
    return make.make_all(tmp_path_factory.mktemp("known_bad"))


@pytest.fixture(scope="module")
def good():
    return json.loads(GOOD.read_text(encoding="utf-8"))


@pytest.fixture
def root(tmp_path):
    """A course's folder with the module, the tests and the folder that a notebook asks for."""
    for name in ("vidrec_utils/example.py", "tests/test_example.py", "notebooks/readme"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    return tmp_path


def broken(path, root, name="07_example"):
    return {violation.rule for violation in notebooks.check_notebook(path, name=name, root=root)}


# --- the course ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", COURSE, ids=[path.stem for path in COURSE])
def test_the_course_keeps_the_contract(path):
    assert [str(violation) for violation in notebooks.check_notebook(path)] == []


def test_nothing_is_written_in_two_notebooks():
    found = notebooks.check_course(COURSE)
    shared = {p.stem: [str(v) for v in vs if v.rule == "repeats"] for p, vs in found.items()}
    assert not any(shared.values()), shared


# --- known-bad notebooks ------------------------------------------------------------------------


def test_the_good_notebook_breaks_no_rule(root):
    assert [str(v) for v in notebooks.check_notebook(GOOD, root=root)] == []


def test_the_tests_of_a_notebook_may_be_a_folder_that_holds_some(root):
    (root / "tests/test_example.py").unlink()
    assert broken(GOOD, root) == {"name"}
    (root / "tests/example").mkdir()
    assert broken(GOOD, root) == {"name"}
    (root / "tests/example/test_parts.py").touch()
    assert broken(GOOD, root) == set()


def test_there_is_a_known_bad_notebook_for_every_rule(known_bad):
    assert {path.stem for path in known_bad.glob("*.ipynb")} == {*notebooks.RULES, "nbval_passes"}


@pytest.mark.parametrize("rule", notebooks.RULES)
def test_each_known_bad_notebook_breaks_its_own_rule_and_no_other(rule, known_bad, root):
    name = "7_example" if rule == "name" else "07_example"
    assert broken(known_bad / f"{rule}.ipynb", root, name) == {rule}


def test_the_good_notebook_is_the_one_that_its_script_makes(good):
    script = GOOD.with_suffix(".py").read_text(encoding="utf-8")
    made = notebooks.from_script(script, "07_example")
    assert [cell.source for cell in made.cells] == [make.text(cell) for cell in good["cells"]]
    assert [cell.id for cell in made.cells] == [cell["id"] for cell in good["cells"]]


def test_nbval_passes_over_what_the_contract_finds(known_bad, root, tmp_path):
    path = known_bad / "nbval_passes.ipynb"
    assert broken(path, root) == make.NBVAL_PASSES
    library = make.make_library(tmp_path / "library")
    copied = tmp_path / "nbval_passes.ipynb"
    copied.write_bytes(path.read_bytes())
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval-lax",
            "-q",
            "-p",
            "no:cacheprovider",
            copied.name,
        ],
        env={
            **os.environ,
            "VIDREC_DATASET": str(library),
            "PYTHONPATH": os.pathsep.join(p for p in paths if p),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


def test_nbval_keeps_away_from_the_notebook_that_is_only_judged():
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "--collect-only", "-q", str(GOOD.parent)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, result.stdout + result.stderr


# --- other ways to break a rule -----------------------------------------------------------------

CODE_VARIANTS = [
    ("plain_python", "!ls"),
    ("plain_python", "%%timeit\nlen(watched)"),
    ("plain_python", "len?"),
    ("plain_python", "pwd"),
    ("plain_python", "get_ipython().run_line_magic('cd', 'data')"),
    ("prints", "print(f'{len(watched)}')"),
    ("prints", "print(watched, 7)"),
    ("swallowed", "try:\n    1 / 0\nexcept:\n    watched"),
    ("swallowed", "try:\n    1 / 0\nexcept ZeroDivisionError:\n    ..."),
    ("swallowed", "try:\n    1 / 0\nexcept (ValueError, BaseException) as error:\n    str(error)"),
    ("swallowed", "import contextlib\nwith contextlib.suppress(ValueError):\n    1 / 0"),
    ("exits", "import sys\nsys.exit(0)"),
    ("exits", "from os import _exit\n_exit(0)"),
    ("exits", "raise SystemExit(0)"),
    ("exits", "quit()"),
    ("skips", "# NBVAL_SKIP"),
    ("skips", "#NBVAL_IGNORE_OUTPUT"),
    ("skips", "# PYTEST_VALIDATE_IGNORE_OUTPUT"),
    ("paths", "'/data/videos.csv'"),
    ("paths", "r'C:\\data'"),
    ("paths", "'~/videos'"),
    ("paths", "f'{library.name}/../other'"),
    ("paths", "from pathlib import Path\nPath.home()"),
    ("background", "import subprocess\nsubprocess.run(['true'])"),
    ("background", "import os\nos.system('true')"),
    ("background", "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor()"),
    ("installs", "# pip install numpy"),
    ("offline", "from urllib.request import urlopen\nurlopen('https://example.org')"),
    ("offline", "library.encoder('resnet', weights='published')"),
    ("seeds", "np.random.rand(3)"),
    ("seeds", "np.random.default_rng()"),
    ("seeds", "import random\nrandom.choice([1, 2])"),
    ("seeds", "import torch\ntorch.randn(3)"),
    ("seeds", "import torch\ntorch.manual_seed()"),
    ("seeds", "watched.sample(3)"),
    ("seeds", "from torch.utils.data import DataLoader\nDataLoader(watched, shuffle=True)"),
    ("seeds", "from sklearn.model_selection import train_test_split\ntrain_test_split(watched)"),
    ("silenced", "import warnings\nwarnings.simplefilter('ignore')"),
    ("load", "datasets.load()"),
    ("load", "datasets.load(needs='path')"),
    ("assert_messages", "assert library.name, library"),
    ("assert_messages", "claims.check(library.name, 'no')"),
]


def cell_for(lines):
    """The cell that lines are added to: assertions to a check, all others to the set-up."""
    asserts = lines.startswith(("assert ", "claims."))
    return "assert means" if asserts else "plots.use_style()"


@pytest.mark.parametrize(("rule", "lines"), CODE_VARIANTS)
def test_other_code_that_breaks_a_rule(rule, lines, good, root):
    path = root / "notebooks" / "07_example.ipynb"
    make.write(path, make.derive(good, lambda nb: make.add(nb, lines, to=cell_for(lines))))
    assert broken(path, root) == {rule}


@pytest.mark.parametrize(
    "lines",
    [
        "print(f'There are {len(watched)} exposures')",
        "print('a', 'sentence', len(watched))",
        "print(exercises.solution('example', 'mean_watch'))",
        "from vidrec_utils import reporting\nprint(f'{reporting.sentences(watched)}.')",
        "try:\n    len(watched)\nexcept TypeError as error:\n    print(f'No length: {error}')",
        "'a/b'.split('/')",
        "f'{library.name}/clips'",
        "'https://example.org/page'",
        "np.random.default_rng(0)",
        "import torch\ntorch.manual_seed(0)\ntorch.randn(3)",
        "import torch\ntorch.randn(3, generator=torch.Generator().manual_seed(0))",
        "watched.sample(3, random_state=0)",
        "from torch.utils.data import DataLoader\nDataLoader(watched, shuffle=False)",
        "import warnings\nwarnings.filterwarnings('ignore', message='a known one')",
        "claims.check(library.name, 'this is why it has to hold')",
    ],
)
def test_code_that_breaks_no_rule(lines, good, root):
    path = root / "notebooks" / "07_example.ipynb"
    make.write(path, make.derive(good, lambda nb: make.add(nb, lines, to=cell_for(lines))))
    assert broken(path, root) == set()


@pytest.mark.parametrize(
    ("call", "rules"),
    [
        ('datasets.load(needs="title")', set()),
        ('datasets.load(needs=("title", "path"))', set()),
        ('datasets.load("minitube", needs="path")', {"load"}),
        ('datasets.load(needs="path", statistics=True)', {"load"}),
        ("datasets.load()\nreal = datasets.load(datasets.REAL_CLIPS)", set()),
        ("datasets.load()\nother = datasets.load(datasets.WORLDS[0])", {"load"}),
        ("datasets.load(datasets.REAL_CLIPS)", {"load"}),
    ],
)
def test_signals_that_a_notebook_needs_may_stand_in_the_call(call, rules, good, root):
    path = root / "notebooks" / "07_example.ipynb"
    make.write(path, make.derive(good, lambda nb: make.swap(nb, "datasets.load()", call)))
    assert broken(path, root) == rules


def html(text):
    return lambda nb: make.output(
        nb, "use_style", output_type="display_data", metadata={}, data={"text/html": text}
    )


@pytest.mark.parametrize("call", ["better(lead)", "not_worse(lead, 0.005, library)"])
def test_a_claim_about_a_difference_backs_an_interpretation_without_a_message(call, good, root):
    check = 'claims.check((frame["high"] > frame["low"]).all(), '
    check += '"an interval without width means no resampling")'
    path = root / "notebooks" / "07_example.ipynb"
    make.write(path, make.derive(good, lambda nb: make.swap(nb, check, "len(frame)")))
    assert broken(path, root) == {"claims", "checks"}
    make.write(path, make.derive(good, lambda nb: make.swap(nb, check, f"claims.{call}")))
    assert broken(path, root) == set()


TITLES = ("# Judge", "## At a", "## Set-up", "## First", "## Recap", "## In practice", "## Further")
NOTEBOOK_VARIANTS = [
    ("alt", html('<img src="data:image/webp;base64,AAAA">')),
    ("alt", html('<video src="data:video/mp4;base64,AAAA"></video>')),
    ("figure_size", html(f'<img src="data:image/gif;base64,{"A" * 110_000}" alt="a dark film">')),
    ("offline", html('<img src="https://example.org/a.png" alt="a far image">')),
    ("widgets", html("<script>alert(1)</script>")),
    ("widgets", lambda nb: nb["metadata"].update(widgets={"state": {}})),
    ("metadata", lambda nb: nb["metadata"]["language_info"].update(version="3.11.7")),
    ("metadata", lambda nb: nb["metadata"]["kernelspec"].update(name="my-kernel")),
    ("traces", lambda nb: make.stdout(nb, "Written to /home/somebody/videos.\n")),
    ("traces", lambda nb: make.stdout(nb, "Written to C:\\Users\\somebody.\n")),
    ("warnings", lambda nb: make.stdout(nb, "x.py:1: FutureWarning: soon\n")),
    ("format", lambda nb: nb.update(nbformat_minor=4)),
    ("format", lambda nb: nb["cells"][0].update(cell_type="other")),
    ("paths", lambda nb: make.swap(nb, "Nothing of the kind", "See [it](../README.md)")),
    ("neighbours", lambda nb: make.swap(nb, "**Previous.** none", "**Previous.** [a](06_a.ipynb)")),
    ("card", lambda nb: make.swap(nb, "the CPU is enough", "nothing else is needed")),
    ("sections", lambda nb: [make.swap(nb, old, f"#{old}") for old in ("## Attach", "## Rank")]),
    ("cells", lambda nb: [make.note(nb, title, ["quiz"]) for title in TITLES]),
    ("metadata", lambda nb: make.note(nb, "best =", ["look"], source_hidden=True)),
    (
        "metadata",
        lambda nb: make.note(
            nb, "assert means", ["check"], source_hidden=True, outputs_hidden=True
        ),
    ),
    ("recap", lambda nb: make.swap(nb, make.find_line(nb, "- Resampling"), "- Voilà.")),
    (
        "prints",
        lambda nb: make.output(
            nb,
            "use_style",
            output_type="execute_result",
            execution_count=2,
            metadata={},
            data={"text/plain": "np.float64(0.5)"},
        ),
    ),
]


@pytest.mark.parametrize(("rule", "change"), NOTEBOOK_VARIANTS)
def test_other_notebooks_that_break_a_rule(rule, change, good, root):
    path = root / "notebooks" / "07_example.ipynb"
    make.write(path, make.derive(good, change))
    assert rule in broken(path, root)
    if rule != "format":
        assert broken(path, root) == {rule}


def test_a_collapsed_check_cell_keeps_the_contract_and_its_form(good, root):
    path = root / "notebooks" / "07_example.ipynb"
    make.write(
        path,
        make.derive(good, lambda nb: make.note(nb, "assert means", ["check"], source_hidden=True)),
    )
    assert broken(path, root) == set()
    notebook = nbformat.read(path, as_version=4)
    assert notebooks.normalise(notebook) == notebook


@pytest.mark.parametrize("tag", ["check", "quiz"])
def test_check_and_quiz_cells_count_neither_as_cells_nor_as_lines(tag, good, root):
    path = root / "notebooks" / "07_example.ipynb"

    def change(nb, tags):
        for i in range(60):
            lines = "\n".join(f"checked_{i}_{j} = {j}" for j in range(7))
            make.insert(nb, "## In practice", make.text_cell(f"text-{i}", "It holds."))
            make.insert(nb, "## In practice", make.code_cell(f"check-{i}", lines))
            for cell in nb["cells"]:
                if cell["id"] in (f"check-{i}", f"text-{i}"):
                    cell["metadata"] = {"tags": tags}

    make.write(path, make.derive(good, lambda nb: change(nb, [tag])))
    collapsed = {"checks"} if tag == "check" else set()  # these are not
    assert broken(path, root) - collapsed == {"cell_length"}  # the median is about all code cells
    make.write(path, make.derive(good, lambda nb: change(nb, ["other"])))
    assert broken(path, root) == {"cell_length", "cells", "code_total"}


def test_check_cells_may_follow_two_code_cells(good, root):
    path = root / "notebooks" / "07_example.ipynb"
    extra = make.code_cell("extra", 'assert draws, "there has to be a draw at least"')
    extra["metadata"] = {"tags": ["check"], "jupyter": {"source_hidden": True}}
    make.write(path, make.derive(good, lambda nb: make.insert(nb, "share = np.mean", extra)))
    assert broken(path, root) == set()


def test_imports_of_the_set_up_are_no_lines_of_code(good, root):
    path = root / "notebooks" / "07_example.ipynb"
    imports = "from vidrec_utils import (\n    " + ",\n    ".join("abcdefgh") + ",\n)"

    def total(part):
        make.write(path, make.derive(good, lambda nb: make.add(nb, imports, to=part)))
        return form_rules.code_lines(notebooks.Notebook.read(path))

    assert total("means =") == total("plots.use_style()") + len(imports.splitlines())


def test_a_notebook_not_yet_deepened_may_be_short_until_it_is_long(good, root, monkeypatch):
    def shorten(nb):
        del nb["cells"][-25:]

    path = root / "notebooks" / "07_example.ipynb"
    monkeypatch.setattr(form_rules, "NOT_YET_DEEPENED", {"07_example"})
    make.write(path, make.derive(good, shorten))
    assert {"cells", "words"}.isdisjoint(broken(path, root))
    make.write(path, good)
    (violation,) = notebooks.check_notebook(path, root=root)
    assert "take it out of NOT_YET_DEEPENED" in violation.message
    monkeypatch.setattr(form_rules, "NOT_YET_DEEPENED", frozenset())
    make.write(path, make.derive(good, shorten))
    assert {"cells", "words"} <= broken(path, root)


def test_every_notebook_not_yet_deepened_exists():
    assert {path.stem for path in COURSE} >= form_rules.NOT_YET_DEEPENED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is 0.46 here.", ["0.46"]),
        ("about 46% of them, or 46 %", ["46%", "46%"]),
        ("by 5 percent", ["5%"]),
        ("all 320 clips", ["320"]),
        ("1,000 users (−0.5) and ≈.05", ["1,000", "−0.5", "≈.05"]),
        ("between 0.5 and 10–20", ["0.5", "10", "20"]),
        ("in 60s", ["60s"]),
        ("measured `0.46`", ["0.46"]),
        ("measured $0.46$", ["0.46"]),
        ("3 of 4 clips, two cores", []),
        ("ResNet-50, recall@10, H.264, I3D and F1 since 2015", []),
        ("with `k=10`, `16` frames and `watch_ratio >= 0.5`", []),
        ("the formula $s = 0.5 x$", []),
        ("## The 40 cells\n\n```\nx = 0.5\n```", []),
        ("[page 12](https://example.org/12)", []),
        ("12. twelfth point", []),
    ],
)
def test_numbers_in_prose(text, found):
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("/data", True),
        ("~", True),
        ("D:/videos", True),
        ("\\\\server\\share", True),
        ("a/../b", True),
        ("file:///x", True),
        ("/", False),
        ("a..b", False),
        ("data/clips", False),
        ("https://example.org", False),
        ("s://", False),
        ("~3 seconds", False),
    ],
)
def test_foreign_paths(text, foreign):
    assert foreign_path(text) is foreign


def test_the_neighbours_are_the_notebooks_before_and_after(good, root):
    folder = root / "notebooks"
    (folder / "06_before.ipynb").touch()
    (folder / "09_after.ipynb").touch()
    path = folder / "07_example.ipynb"
    make.write(path, good)
    found = [v.message for v in notebooks.check_notebook(path, root=root)]
    assert len(found) == 2
    assert "06_before.ipynb" in found[0]
    assert "09_after.ipynb" in found[1]

    def link(nb):
        make.swap(nb, "**Previous.** none", "**Previous.** [Before](06_before.ipynb)")
        make.swap(nb, "**Next.** none", "**Next.** [After](09_after.ipynb)")

    make.write(path, make.derive(good, link))
    assert broken(path, root) == set()


def test_what_stands_in_two_notebooks_is_named_with_both_places(good, root):
    paths = [root / "notebooks" / f"0{number}_example.ipynb" for number in (7, 8)]
    for number, path in enumerate(paths):

        def define(nb, number=number):
            make.add(nb, f"def helper(x):\n    return x + {number}", to="rng =")

        make.write(path, make.derive(good, define))
    found = notebooks.check_course(paths, root=root)
    assert [v for v in found[paths[0]] if v.rule == "repeats"] == []
    repeats = [str(v) for v in found[paths[1]] if v.rule == "repeats"]
    assert any("function helper stands in 07_example, cell 17" in text for text in repeats)


@pytest.mark.parametrize("content", ["no json", "[]", '{"cells": 3}', '{"cells": [3]}', "\udcff"])
def test_what_is_no_notebook_is_named(content, tmp_path):
    path = tmp_path / "07_example.ipynb"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"07_example\.ipynb is not a notebook"):
        notebooks.check_notebook(path)


@pytest.mark.parametrize("cells", [[], [{}], [{"cell_type": "code"}]])
def test_a_nearly_empty_notebook_is_judged_without_an_error(cells, tmp_path):
    path = tmp_path / "07_example.ipynb"
    make.write(path, {"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})
    assert "cells" in broken(path, tmp_path)


# --- the committed form -------------------------------------------------------------------------

BAR = "\r  0%|          | 0/3 [00:00<?, ?it/s]\r100%|██████████| 3/3 [00:00<00:00, 42.9it/s]\n"


def stream(name, text):
    return nbformat.v4.new_output("stream", name=name, text=text)


def with_outputs(*outputs):
    cell = nbformat.v4.new_code_cell("f()", outputs=list(outputs), execution_count=7)
    cell.metadata = nbformat.from_dict({"execution": {}, "scrolled": True, "tags": ["a"]})
    text = nbformat.v4.new_markdown_cell("text  \n\n")
    notebook = nbformat.v4.new_notebook(cells=[text, cell])
    notebook.metadata = nbformat.from_dict({"widgets": {}, "kernelspec": {"name": "other"}})
    return notebook


def test_normalise_drops_what_belongs_to_one_machine_or_one_run():
    notebook = with_outputs(
        stream("stderr", BAR),
        stream("stdout", "one\n"),
        stream("stdout", "two\n"),
    )
    before = copy.deepcopy(notebook)
    result = notebooks.normalise(notebook)
    assert notebook == before
    assert [cell.id for cell in result.cells] == ["cell-00", "cell-01"]
    assert result.cells[0].source == "text"
    assert result.cells[1].metadata == {"tags": ["a"]}
    assert result.cells[1].execution_count == 1
    assert [(o.name, o.text) for o in result.cells[1].outputs] == [("stdout", "one\ntwo\n")]
    assert set(result.metadata) == {"kernelspec", "language_info"}
    assert result.metadata.kernelspec.name == "python3"
    assert notebooks.normalise(result) == result
    nbformat.validate(result)


@pytest.mark.parametrize("bar", ["12it [00:00, 90it/s]\r", "clips:  50%|█    | 1/2 [00:01<00:01]"])
def test_normalise_knows_progress_bars_of_other_forms(bar):
    assert notebooks.normalise(with_outputs(stream("stderr", bar))).cells[1].outputs == []


@pytest.mark.parametrize("text", ["x.py:3: UserWarning: look\n", BAR + "UserWarning: look\n"])
def test_normalise_keeps_warnings_for_the_contract_to_find(text):
    (output,) = notebooks.normalise(with_outputs(stream("stderr", text))).cells[1].outputs
    assert output.text == text


def test_from_script_takes_comments_and_strings_and_places_stubs():
    script = (
        '"""What this is."""\n# a remark\n\n# %% [markdown]\n# # Read\n#\n# one\n\n'
        '# %% [markdown]\n"""\ntwo \'quoted\'\n"""\n\n# %%\n\nx = 1\n\ny = 2\n\n'
        "# %% exercise-mean_watch\nold = 3\n"
    )
    notebook = notebooks.from_script(script, "07_example")
    assert [cell.source for cell in notebook.cells[:3]] == [
        "# Read\n\none",
        "two 'quoted'",
        "x = 1\n\ny = 2",
    ]
    assert notebook.cells[3].id == "exercise-mean_watch"
    assert notebook.cells[3].source.endswith("...  # your code here")
    nbformat.validate(notebook)


@pytest.mark.parametrize("script", ["", "x = 1", "x = 1\n# %%\ny = 2"])
def test_from_script_refuses_code_outside_of_cells(script):
    with pytest.raises(ValueError, match="Begin the script"):
        notebooks.from_script(script, "07_example")


def test_from_script_names_an_unknown_exercise():
    with pytest.raises(KeyError, match="mean_watch"):
        notebooks.from_script("# %% exercise-nothing\n", "07_example")


# --- the command --------------------------------------------------------------------------------


def test_refresh_writes_stubs_and_outputs_that_keep_the_contract(good, root, monkeypatch):
    monkeypatch.setenv("VIDREC_DATASET", str(make.make_library(root / "library")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def spoil(nb):
        make.swap(nb, "...  # your code here", "return 0.5")
        for cell in nb["cells"]:
            cell.update({"outputs": [], "execution_count": None} if "outputs" in cell else {})

    path = root / "notebooks" / "07_example.ipynb"
    make.write(path, make.derive(good, spoil))
    assert {"exercises", "executed", "first_result"} <= broken(path, root)
    assert main(["--refresh", str(path)]) == 0
    assert broken(path, root) == set()
    assert sorted(p.name for p in path.parent.iterdir()) == ["07_example.ipynb", "readme"]
    content = path.read_text(encoding="utf-8")
    assert content.endswith("}\n")
    assert "\\u" not in content


def test_refresh_leaves_a_failing_notebook_as_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = tmp_path / "07_example.ipynb"
    notebooks.write(path, notebooks.from_script("# %%\n1 / 0\n", "07_example"))
    before = path.read_bytes()
    assert main(["--refresh", str(path)]) == 1
    message = capsys.readouterr().err
    assert "ZeroDivisionError" in message
    assert "left as it was" in message
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["07_example.ipynb"]


def test_check_prints_file_cell_rule_and_message(known_bad, capsys):
    path = known_bad / "swallowed.ipynb"
    assert main(["--check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("swallowed.ipynb:5: swallowed: an exception is swallowed" in line for line in lines)
    assert lines[-1].startswith(f"1 notebooks, {len(notebooks.RULES)} rules, ")


def test_from_script_writes_the_notebook(tmp_path, capsys):
    script = tmp_path / "script.py"
    script.write_text("# %%\nx = 1\n", encoding="utf-8")
    path = tmp_path / "07_example.ipynb"
    assert main(["--from-script", str(script), str(path)]) == 0
    assert nbformat.read(path, as_version=4).cells[0].source == "x = 1"
    assert main(["--from-script", str(script)]) == 2
    assert main(["--from-script", str(tmp_path / "absent.py"), str(path)]) == 2


def test_every_rule_says_what_it_asks_for(capsys):
    assert main(["--rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(notebooks.RULES)
    assert all(len(line) > 30 and line.endswith(".") for line in lines)
