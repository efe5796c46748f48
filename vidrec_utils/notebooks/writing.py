"""Bringing notebooks into the form in which they are committed."""

from __future__ import annotations

import ast
import copy
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from vidrec_utils import exercises, settings
from vidrec_utils.files import write_atomically
from vidrec_utils.notebooks.reading import committed_metadata, read_node

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_BAR = re.compile(r".*(\d+%\|.*\||\d+(?:\.\d+)?\w*\s*(?:\w+)?\s*\[\d+:\d\d).*")


def _is_progress(text: str) -> bool:
    """Tell whether a text of the error stream is progress bars and nothing else."""
    lines = [line for line in re.split(r"[\r\n]", text) if line.strip("\x1b[A ")]
    return all(_BAR.fullmatch(line) for line in lines)


def clean_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join what the kernel sent in pieces; drop progress bars and empty pieces.

    Parameters
    ----------
    outputs : list of NotebookNode
        The outputs of one code cell; they are not changed.
    """
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if (
            output.output_type == "stream"
            and last is not None
            and last.output_type == "stream"
            and last.name == output.name
        ):
            last.text += output.text
        else:
            joined.append(copy.deepcopy(output))
    return [
        output
        for output in joined
        if output.output_type != "stream"
        or (output.text and not (output.name == "stderr" and _is_progress(output.text)))
    ]


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook in the form in which it is committed.

    Cells are numbered, ids are `cell-00`, `cell-01`, ... (an exercise keeps `exercise-<name>`),
    streams are joined, progress bars, times of execution, widget state and editors' notes are
    dropped. Warnings stay: the contract is there to find them.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook; it is not changed.
    """
    result = copy.deepcopy(notebook)
    result.nbformat, result.nbformat_minor = 4, 5
    result.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    count = 0
    for index, cell in enumerate(result.cells):
        if not str(cell.get("id", "")).startswith("exercise-"):
            cell.id = f"cell-{index:02d}"
        cell.metadata = nbformat.from_dict(committed_metadata(cell.metadata))
        cell.source = cell.source.rstrip()
        if cell.cell_type != "code":
            cell.pop("attachments", None)
            continue
        count += cell.execution_count is not None
        cell.execution_count = count if cell.execution_count is not None else None
        cell.outputs = clean_outputs(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
    return result


def with_stubs(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return a notebook whose exercise cells hold the generated stubs.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook; it is not changed.
    name : str
        Its name, for example `"01_preprocessing"`.

    Raises
    ------
    KeyError
        If an exercise has no solution in `vidrec_utils/exercises`.
    """
    result = copy.deepcopy(notebook)
    for cell in result.cells:
        match = re.fullmatch(r"exercise-(\w+)", str(cell.get("id", "")))
        if match and cell.cell_type == "code":
            cell.source = exercises.stub(name, match.group(1)).rstrip()
    return result


def write(path: Path, notebook: NotebookNode) -> None:
    """Write a notebook, all of it or nothing, with a stable layout and a last line end."""
    write_atomically(path, nbformat.writes(notebook, version=4).rstrip("\n") + "\n")


def refresh(path: Path, name: str | None = None, cell_timeout_s: float | None = None) -> None:
    """Write the stubs, run the notebook, and write it back in the committed form.

    Parameters
    ----------
    path : Path
        The notebook. It stays as it was when a cell fails.
    name : str, optional
        The name whose exercises it holds, if not the file's own.
    cell_timeout_s : float, optional
        Seconds after which a cell has failed.

    Raises
    ------
    ValueError
        If the file is no notebook.
    vidrec_utils.notebooks.kernels.NotebookFailed
        If a cell fails; the error holds its text and traceback.
    """
    from vidrec_utils.notebooks import kernels  # takes a second to import

    build = (settings.repository() or path.resolve().parent) / "build"
    notebook = with_stubs(read_node(path), name or path.stem)
    # The copy lies in the folder of the original, so that relative paths mean the same.
    part = path.with_name(f".{path.stem}.refreshing.ipynb")
    write(part, notebook)
    try:
        limit_s = kernels.CELL_TIMEOUT_S if cell_timeout_s is None else cell_timeout_s
        executed, _ = kernels.execute(part, kernels.environment(build), limit_s)
    finally:
        part.unlink(missing_ok=True)
    write(path, normalise(executed))


def from_script(script: str, name: str) -> NotebookNode:
    r"""Make a notebook without outputs from a script with cells in percent form.

    `# %%` begins a code cell, `# %% [markdown]` a text cell (as comments or as one triple-quoted
    string), `# %% exercise-<name>` the cell that will hold an exercise's stub. Tags stand behind
    the marker as Jupytext writes them, `# %% tags=["check"]`; a check is collapsed.

    Parameters
    ----------
    script : str
        The script.
    name : str
        The notebook's name, for example `"01_preprocessing"`.

    Raises
    ------
    ValueError
        If there is no cell, or if code stands before the first one.
    KeyError
        If an exercise has no solution in `vidrec_utils/exercises`.
    """
    head, *pieces = re.split(r"(?m)^# %%(.*)$", script)
    if not pieces or re.sub(r'(?s)""".*?"""|#[^\n]*', "", head).strip():
        raise ValueError("Begin the script with a line `# %%` or `# %% [markdown]`.")
    cells = []
    for marker, source in zip(pieces[::2], pieces[1::2], strict=True):
        if "[markdown]" in marker:
            cell = nbformat.v4.new_markdown_cell(_markdown(source))
        else:
            cell = nbformat.v4.new_code_cell(source.strip("\n").rstrip())
        tags = re.search(r"tags=(\[.*?\])", marker)
        if tags:
            cell.metadata["tags"] = ast.literal_eval(tags[1])
        if cell.cell_type == "code" and "check" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True}
        if marker.strip().startswith("exercise-"):
            cell.id = marker.strip()
        cells.append(cell)
    return normalise(with_stubs(nbformat.v4.new_notebook(cells=cells), name))


def _markdown(source: str) -> str:
    text = source.strip()
    if text.startswith(('"""', 'r"""', "'''")):
        return str(ast.literal_eval(text)).strip()
    return re.sub(r"(?m)^# ?", "", text).strip()
