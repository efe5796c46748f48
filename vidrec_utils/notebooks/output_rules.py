"""Rules on what is committed together with the code: outputs, figures, metadata, sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vidrec_utils.notebooks.reading import Breach, Notebook, committed_metadata, words

FIGURE_BYTES = 80_000
NOTEBOOK_BYTES = 900_000
METADATA = {"kernelspec": {"display_name", "language", "name"}, "language_info": {"name"}}


def rule_executed(notebook: Notebook) -> Iterator[Breach]:
    """Committed executed: every code cell has its number, in order from 1."""
    counts = [cell.execution_count for cell in notebook.code]
    if counts != list(range(1, len(counts) + 1)):
        yield None, f"the cells were run as {counts}; refresh the notebook"


def rule_errors(notebook: Notebook) -> Iterator[Breach]:
    """No cell has failed."""
    return (
        (cell.number, f"the output is an error: {output.get('ename')}: {output.get('evalue')}")
        for cell, output in notebook.outputs
        if output.get("output_type") == "error"
    )


def rule_warnings(notebook: Notebook) -> Iterator[Breach]:
    """No warning and nothing else on the error stream is left in the outputs."""
    for cell, kind, text in notebook.texts():
        match = re.search(r"\b[A-Z]\w*Warning\b", text)
        if kind == "stderr" or match:
            line = match.group(0) if match else text.strip().partition("\n")[0][:60]
            yield cell.number, f"a warning is left in the output: {line}"


def rule_traces(notebook: Notebook) -> Iterator[Breach]:
    """No path and no memory address of the machine that ran the notebook."""
    pattern = re.compile(
        r"(?<![\w.:/])/(?:home|root|Users|tmp|var|opt|mnt|work)/[\w.-]+|\b[A-Z]:\\\w+"
        r"|site-packages|\bat 0x[0-9A-Fa-f]{6,}"
    )
    for cell, _, text in notebook.texts():
        match = pattern.search(text)
        if match:
            yield (
                cell.number,
                f"the output shows {match.group(0)!r}, which differs on every machine",
            )


def rule_alt(notebook: Notebook) -> Iterator[Breach]:
    """Every image is described."""
    for image in notebook.images:
        if words(image.alt) < 3:
            yield (
                image.cell.number,
                f"a figure without description (alt={image.alt!r}); use plots.show",
            )
    for cell in notebook.cells:
        if not cell.is_code and re.search(r"!\[\s*\]\(", cell.source):
            yield cell.number, "an image in the text without description"


def rule_figure_size(notebook: Notebook) -> Iterator[Breach]:
    """Every figure is below 80 kB."""
    advice = f"(most: {FIGURE_BYTES:,}); use plots.show"
    return (
        (image.cell.number, f"a figure of {image.size:,} bytes {advice}")
        for image in notebook.images
        if image.size > FIGURE_BYTES
    )


def rule_file_size(notebook: Notebook) -> Iterator[Breach]:
    """The notebook is below 900 kB."""
    size = notebook.path.stat().st_size
    if size > NOTEBOOK_BYTES:
        yield None, f"{size:,} bytes (most: {NOTEBOOK_BYTES:,}); show fewer or smaller things"


def rule_widgets(notebook: Notebook) -> Iterator[Breach]:
    """No widgets and no scripts, which are dead where notebooks are browsed."""
    if "widgets" in notebook.raw.get("metadata", {}):
        yield None, "the notebook holds widget state; refresh it"
    for cell, output in notebook.outputs:
        data = output.get("data", {})
        kinds = [kind for kind in data if "widget" in kind or kind.startswith("application/")]
        if kinds or "<script" in "".join(data.get("text/html", "")):
            yield (
                cell.number,
                f"the output is alive only in a running kernel ({', '.join(kinds)})",
            )


def rule_metadata(notebook: Notebook) -> Iterator[Breach]:
    """No times of execution, no editor's notes, the kernel python3; only checks are hidden."""
    for cell in notebook.cells:
        allowed = committed_metadata(cell.metadata)
        extra = sorted(key for key in cell.metadata if cell.metadata[key] != allowed.get(key))
        if extra:
            yield cell.number, f"metadata {', '.join(extra)}; refresh the notebook"
    metadata = {k: v for k, v in notebook.raw.get("metadata", {}).items() if k != "widgets"}
    extra = sorted(set(metadata) - set(METADATA))
    for key, allowed in METADATA.items():
        extra += sorted(f"{key}.{name}" for name in set(metadata.get(key, {})) - allowed)
    kernel = metadata.get("kernelspec", {}).get("name")
    if extra or kernel != "python3":
        what = f"metadata {', '.join(extra)}" if extra else f"the kernel {kernel!r}"
        yield None, f"{what}; refresh the notebook"
