"""Rules on what is committed beside the code: outputs, figures, metadata, sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vidrec_utils.notebooks.reading import Notebook, Violation, committed_metadata, words

FIGURE_BYTES = 80_000
NOTEBOOK_BYTES = 900_000
METADATA = {"kernelspec": {"display_name", "language", "name"}, "language_info": {"name"}}


def rule_executed(notebook: Notebook) -> Iterator[Violation]:
    """Committed executed: every code cell has its number, in order from 1."""
    counts = [cell.execution_count for cell in notebook.code]
    if counts != list(range(1, len(counts) + 1)):
        message = f"the cells were run as {counts}; refresh the notebook"
        yield Violation("executed", None, message)


def rule_errors(notebook: Notebook) -> Iterator[Violation]:
    """No cell has failed."""
    for cell in notebook.code:
        for output in cell.outputs:
            if output.get("output_type") == "error":
                message = f"the output is an error: {output.get('ename')}: {output.get('evalue')}"
                yield Violation("errors", cell.number, message)


def rule_warnings(notebook: Notebook) -> Iterator[Violation]:
    """No warning and nothing else on the error stream is left in the outputs."""
    for cell, kind, text in notebook.texts():
        found = re.search(r"\b[A-Z]\w*Warning\b", text)
        if kind == "stderr" or found:
            line = found.group(0) if found else text.strip().partition("\n")[0][:60]
            yield Violation("warnings", cell.number, f"a warning is left in the output: {line}")


def rule_traces(notebook: Notebook) -> Iterator[Violation]:
    """No path and no memory address of the machine that ran the notebook."""
    pattern = re.compile(
        r"(?<![\w.:/])/(?:home|root|Users|tmp|var|opt|mnt|work)/[\w.-]+|\b[A-Z]:\\\w+"
        r"|site-packages|\bat 0x[0-9A-Fa-f]{6,}"
    )
    for cell, _, text in notebook.texts():
        found = pattern.search(text)
        if found:
            message = f"the output shows {found.group(0)!r}, which differs on every machine"
            yield Violation("traces", cell.number, message)


def rule_alt(notebook: Notebook) -> Iterator[Violation]:
    """Every picture is described."""
    for picture in notebook.pictures:
        if words(picture.alt) < 3:
            message = f"a figure without description (alt={picture.alt!r}); use plots.show"
            yield Violation("alt", picture.cell.number, message)
    for cell in notebook.cells:
        if not cell.is_code and re.search(r"!\[\s*\]\(", cell.source):
            yield Violation("alt", cell.number, "a picture in the text without description")


def rule_figure_size(notebook: Notebook) -> Iterator[Violation]:
    """Every figure is below 80 kB."""
    for picture in notebook.pictures:
        if picture.size > FIGURE_BYTES:
            message = f"a figure of {picture.size:,} bytes (most: {FIGURE_BYTES:,}); use plots.show"
            yield Violation("figure_size", picture.cell.number, message)


def rule_file_size(notebook: Notebook) -> Iterator[Violation]:
    """The notebook is below 900 kB."""
    size = notebook.path.stat().st_size
    if size > NOTEBOOK_BYTES:
        message = f"{size:,} bytes (most: {NOTEBOOK_BYTES:,}); show fewer or smaller things"
        yield Violation("file_size", None, message)


def rule_widgets(notebook: Notebook) -> Iterator[Violation]:
    """No widgets and no scripts, which are dead where notebooks are browsed."""
    if "widgets" in notebook.raw.get("metadata", {}):
        yield Violation("widgets", None, "the notebook holds widget state; refresh it")
    for cell in notebook.code:
        for output in cell.outputs:
            kinds = [
                kind
                for kind in output.get("data", {})
                if "widget" in kind or kind.startswith("application/")
            ]
            if kinds or "<script" in "".join(output.get("data", {}).get("text/html", "")):
                message = f"the output is alive only in a running kernel ({', '.join(kinds)})"
                yield Violation("widgets", cell.number, message)


def rule_metadata(notebook: Notebook) -> Iterator[Violation]:
    """No times of execution, no editor's notes, the kernel python3; only checks are hidden."""
    for cell in notebook.cells:
        allowed = committed_metadata(cell.metadata)
        extra = sorted(key for key in cell.metadata if cell.metadata[key] != allowed.get(key))
        if extra:
            message = f"metadata {', '.join(extra)}; refresh the notebook"
            yield Violation("metadata", cell.number, message)
    metadata = {k: v for k, v in notebook.raw.get("metadata", {}).items() if k != "widgets"}
    extra = sorted(set(metadata) - set(METADATA))
    for key, allowed in METADATA.items():
        extra += sorted(f"{key}.{name}" for name in set(metadata.get(key, {})) - allowed)
    kernel = metadata.get("kernelspec", {}).get("name")
    if extra or kernel != "python3":
        what = f"metadata {', '.join(extra)}" if extra else f"the kernel {kernel!r}"
        yield Violation("metadata", None, f"{what}; refresh the notebook")


RULES = [
    rule_executed,
    rule_errors,
    rule_warnings,
    rule_traces,
    rule_alt,
    rule_figure_size,
    rule_file_size,
    rule_widgets,
    rule_metadata,
]
