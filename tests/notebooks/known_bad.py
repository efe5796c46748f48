"""Notebooks that the contract is tested with, each derived from one that keeps it.

    python tests/notebooks/known_bad.py

builds `tests/notebooks/known_good/07_example.ipynb` from the script next to it and runs it on a
tiny library. `make_all` derives from it one notebook for each rule, which breaks that rule and no
other, and is named after it; `nbval_passes.ipynb` breaks several rules and passes nbval all the
same.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

GOOD = Path(__file__).parent / "known_good" / "07_example.ipynb"
JSON = dict[str, Any]
NBVAL_PASSES = {"plain_python", "swallowed", "exits", "background"}


def make_library(folder: Path) -> Path:
    """Write a library of 12 videos and 600 exposures, in which sport is watched longest."""
    rng = np.random.default_rng(0)
    categories = ["food", "music", "sport"]
    videos = pd.DataFrame(
        {
            "video_id": [f"v{i:02d}" for i in range(12)],
            "title": [f"{categories[i % 3]} clip {i}" for i in range(12)],
            "category": [categories[i % 3] for i in range(12)],
            "published_at": "2026-01-01T00:00:00Z",
            "duration_s": 2.0,
        }
    )
    shown = rng.integers(0, 12, 600)
    start = pd.Timestamp("2026-02-01", tz="UTC")
    interactions = pd.DataFrame(
        {
            "user_id": [f"u{i:02d}" for i in rng.integers(0, 40, 600)],
            "video_id": videos["video_id"].to_numpy()[shown],
            "timestamp": start + pd.to_timedelta(np.sort(rng.integers(0, 14 * 24, 600)), unit="h"),
            "watch_ratio": np.clip(rng.normal(0.35 + 0.15 * (shown % 3), 0.2), 0, 1).round(3),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    videos.to_csv(folder / "videos.csv", index=False)
    interactions.to_csv(folder / "interactions.csv", index=False)
    return folder


def text(cell: JSON) -> str:
    return "".join(cell["source"])


def find(notebook: JSON, part: str) -> JSON:
    """Return the first cell that contains a text."""
    return next(cell for cell in notebook["cells"] if part in text(cell))


def swap(notebook: JSON, old: str, new: str) -> None:
    """Replace a text in the first cell that contains it."""
    cell = find(notebook, old)
    cell["source"] = text(cell).replace(old, new, 1)


def add(notebook: JSON, lines: str, to: str = "plots.use_style()") -> None:
    """Append lines to the first code cell that contains a text."""
    cell = find(notebook, to)
    cell["source"] = f"{text(cell)}\n{lines}"


def insert(notebook: JSON, after: str, cell: JSON) -> None:
    """Put a cell behind the first that contains a text, and number all code cells anew."""
    index = notebook["cells"].index(find(notebook, after))
    cell = {"metadata": {}, **cell}
    if cell["cell_type"] == "code":
        cell = {"outputs": [], "execution_count": None, **cell}
    notebook["cells"].insert(index + 1, cell)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, start=1):
        cell["execution_count"] = number


def note(notebook: JSON, part: str, tags: list[str], **jupyter: bool) -> None:
    """Give tags and notes of JupyterLab to the first cell that contains a text."""
    tagged = {"tags": tags} if tags else {}
    find(notebook, part)["metadata"] = tagged | ({"jupyter": jupyter} if jupyter else {})


def code_cell(name: str, source: str) -> JSON:
    return {"cell_type": "code", "id": name, "source": source}


def text_cell(name: str, source: str) -> JSON:
    return {"cell_type": "markdown", "id": name, "source": source}


def output(notebook: JSON, part: str, **fields: Any) -> None:
    """Add an output to the first cell that contains a text."""
    find(notebook, part)["outputs"].append(fields)


def image(notebook: JSON) -> JSON:
    """Return the first output with an image."""
    cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    outputs = (out for cell in cells for out in cell["outputs"])
    return next(out for out in outputs if "image/png" in out.get("data", {}))


def bad_cells(nb: JSON) -> None:
    for i in range(60):
        insert(nb, "## Set-up", text_cell(f"more-{i}", "One more thing to know."))


def bad_code_total(nb: JSON) -> None:
    for i in range(14):
        lines = [f"note_{i}_{line} = {line}" for line in range(25)]
        insert(nb, "## In practice", text_cell(f"between-{i}", "And one more thing."))
        insert(nb, "## In practice", code_cell(f"long-{i}", "\n".join(lines)))
        insert(nb, "## In practice", code_cell(f"short-{i}", f"kept_{i} = {i}"))


def bad_order(nb: JSON) -> None:
    recap = find(nb, "## Recap")
    nb["cells"].remove(recap)
    nb["cells"].append(recap)


def bad_repeats(nb: JSON) -> None:
    add(nb, "def twice(x):\n    return 2 * x", to="rng =")
    add(nb, "def twice(x):\n    return x + x", to="best =")


def bad_alt(nb: JSON) -> None:
    image(nb)["metadata"] = {}


def bad_figure_size(nb: JSON) -> None:
    image(nb)["data"]["image/png"] = base64.b64encode(bytes(80_001)).decode()


def bad_first_result(nb: JSON) -> None:
    find(nb, "plots.watch_time")["outputs"] = []


def bad_executed(nb: JSON) -> None:
    find(nb, "share = np.mean")["execution_count"] = 1


def bad_skips(nb: JSON) -> None:
    find(nb, "share = np.mean")["metadata"] = {"tags": ["nbval-skip"]}


def bad_format(nb: JSON) -> None:
    nb["cells"][3]["id"] = nb["cells"][2]["id"]


def bad_metadata(nb: JSON) -> None:
    times = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
    find(nb, "share = np.mean")["metadata"] = {"execution": times}


def bad_claims(nb: JSON) -> None:
    swap(nb, find_line(nb, "assert share >"), "stable = share > 1 / len(means)")
    note(nb, "stable =", [])


def bad_box_images(nb: JSON) -> None:
    find(nb, "axes.axline")["outputs"] = []


def stdout(nb: JSON, words: str) -> None:
    output(nb, "plots.use_style", output_type="stream", name="stdout", text=words)


BAD: dict[str, Callable[[JSON], None]] = {
    "format": bad_format,
    "name": lambda nb: None,  # judged as "7_example"
    "cells": bad_cells,
    "cell_length": lambda nb: add(nb, "\n".join(f"# note {i}" for i in range(25))),
    "code_runs": lambda nb: [
        insert(nb, "share = np.mean", code_cell(f"extra-{i}", f"kept_{i} = len(draws)"))
        for i in range(2)
    ],
    "code_total": bad_code_total,
    "words": lambda nb: insert(nb, "## Set-up", text_cell("long", "and so it goes on " * 900)),
    "title": lambda nb: swap(nb, "# Judge a mean", "# The mean, judged"),
    "headings": lambda nb: swap(nb, "**Interpret.** The best", "#### Deep\n\n**Interpret.** The"),
    "order": bad_order,
    "card": lambda nb: swap(nb, "**Produces.** Nothing that is kept.\n", ""),
    "neighbours": lambda nb: swap(nb, "**Next.** none", "**Next.** [Eight](08_eight.ipynb)"),
    "load": lambda nb: swap(nb, "datasets.load()", 'datasets.load("minitube")'),
    "first_result": bad_first_result,
    "sections": lambda nb: swap(nb, "**Predict.** If", "If"),
    "claims": bad_claims,
    "assert_messages": lambda nb: swap(
        nb, find_line(nb, "assert share >"), "assert share > 1 / len(means)"
    ),
    "exercises": lambda nb: swap(nb, "...  # your code here", "return 0.5"),
    "recap": lambda nb: swap(nb, "\n" + find_line(nb, "- Categories that rank"), ""),
    "ending": lambda nb: swap(nb, "\n" + find_line(nb, "- Efron"), ""),
    "checks": lambda nb: note(nb, "assert means", []),
    "exercise_kinds": lambda nb: swap(nb, "**By hand.** Compute", "Compute"),
    "quiz": lambda nb: swap(nb, "<details><summary>Answer</summary>", "The answer:"),
    "bar_charts": lambda nb: add(nb, "figure.axes[0].bar([0], [1])", to="plots.watch_time"),
    "boxes": lambda nb: note(nb, "**Interpret.** The interval excludes", []),
    "box_formula": lambda nb: swap(nb, find_line(nb, "| $s$ | standard deviation of the d"), ""),
    "box_images": bad_box_images,
    "box_drawing": lambda nb: swap(
        nb, find_line(nb, "axes.plot(pairs"), "axes.add_patch(plt.Rectangle((0, 0), 1, 1))"
    ),
    "box_scratch": lambda nb: swap(nb, "gap = a - b", "gap = stats.ttest_rel(a, b)"),
    "box_check": lambda nb: swap(nb, "np.isclose(t, reference.statistic)", "np.isclose(t, t)"),
    "numbers": lambda nb: swap(nb, "Nothing of the kind", "The mean is 0.46. Nothing of the kind"),
    "repeats": bad_repeats,
    "plain_python": lambda nb: add(nb, "%matplotlib inline"),
    "prints": lambda nb: add(nb, "print(len(watched))"),
    "swallowed": lambda nb: add(nb, "try:\n    1 / 0\nexcept Exception:\n    pass"),
    "exits": lambda nb: add(nb, "exit()", to='"share_watched", share_watched'),
    "skips": bad_skips,
    "paths": lambda nb: add(nb, 'folder = "../data"'),
    "background": lambda nb: add(nb, "import threading\n\nthreading.Thread(target=str).start()"),
    "installs": lambda nb: add(nb, 'import pip\n\npip.main(["install", "numpy"])'),
    "offline": lambda nb: swap(
        nb, "Nothing of the kind", "![a far image](https://example.org/a.png) Nothing of the kind"
    ),
    "seeds": lambda nb: add(nb, "np.random.seed(0)"),
    "silenced": lambda nb: add(nb, 'import warnings\n\nwarnings.filterwarnings("ignore")'),
    "executed": bad_executed,
    "errors": lambda nb: output(
        nb, "use_style", output_type="error", ename="KeyError", evalue="'x'", traceback=["KeyError"]
    ),
    "warnings": lambda nb: output(
        nb, "use_style", output_type="stream", name="stderr", text="UserWarning: look out\n"
    ),
    "traces": lambda nb: stdout(nb, "The library is <object at 0x7f1234567890>.\n"),
    "alt": bad_alt,
    "figure_size": bad_figure_size,
    "file_size": lambda nb: stdout(nb, "The platform has one more exposure.\n" * 26_000),
    "widgets": lambda nb: output(
        nb,
        "use_style",
        output_type="display_data",
        metadata={},
        data={"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "bar"},
    ),
    "metadata": bad_metadata,
}


def find_line(notebook: JSON, start: str) -> str:
    """Return the first line that starts so."""
    lines = text(find(notebook, start)).splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith(start))
    return lines[index]


def bad_nbval_passes(nb: JSON) -> None:
    add(nb, "%no_such_magic\n!no_such_command")
    add(nb, "try:\n    1 / 0\nexcept:\n    pass", to="means =")
    add(nb, "import threading\n\nthreading.Thread(target=lambda: 1 / 0).start()", to="best =")
    add(nb, "exit()", to='"share_watched", share_watched')


def derive(good: JSON, change: Callable[[JSON], None]) -> JSON:
    """Return a changed copy of a notebook."""
    notebook = copy.deepcopy(good)
    change(notebook)
    return notebook


def write(path: Path, notebook: JSON) -> None:
    content = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text(content, encoding="utf-8", newline="\n")


def make_all(folder: Path) -> Path:
    """Write the notebook of each rule, and `nbval_passes.ipynb`, into a folder."""
    good = json.loads(GOOD.read_text(encoding="utf-8"))
    for rule, change in {**BAD, "nbval_passes": bad_nbval_passes}.items():
        write(folder / f"{rule}.ipynb", derive(good, change))
    return folder


def main() -> None:
    """Build the notebook that keeps the contract, and run it."""
    sys.path.insert(0, str(GOOD.parents[3]))
    from vidrec_utils import notebooks

    script = GOOD.with_suffix(".py").read_text(encoding="utf-8")
    notebooks.write(GOOD, notebooks.from_script(script, "07_example"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VIDREC_DATASET"] = str(make_library(Path(folder) / "library"))
        notebooks.refresh(GOOD)


if __name__ == "__main__":
    main()
