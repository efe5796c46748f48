"""Reading copies: executed notebooks as HTML pages that need no network."""

from __future__ import annotations

import copy
import html
import re
from typing import TYPE_CHECKING

import nbformat

if TYPE_CHECKING:
    from vidrec_utils.notebooks.kernels import Run

_READING_COPY = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- if resources.has_math -%}{{ super() }}{%- endif -%}
{%- endblock -%}
"""


def reading_copy(notebook: nbformat.NotebookNode, name: str, among: set[str]) -> str:
    """One HTML page that can be read without a network, images included.

    Parameters
    ----------
    notebook : NotebookNode
        With outputs; it is not changed.
    name : str
        Title of the page.
    among : set of str
        Names of notebooks with a reading copy: links to their files become links to their pages.

    Returns
    -------
    str
        The page. Only one with formulas asks for a script (MathJax) from outside; without a
        network its formulas stay readable as TeX.
    """
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    from vidrec_utils.notebooks.writing import clean_outputs

    page = copy.deepcopy(notebook)
    has_math = False
    for cell in page.cells:
        if cell.cell_type == "markdown":
            has_math |= re.search(r"\$[^$\s][^$]*\$|\\\(|\\\[", _prose(cell.source)) is not None
            cell.source = re.sub(
                r"\]\(([\w-]+)\.ipynb(#[^)\s]*)?\)",
                lambda link: f"]({link[1]}.html{link[2] or ''})" if link[1] in among else link[0],
                cell.source,
            )
        elif cell.cell_type == "code":
            cell.outputs = clean_outputs(cell.outputs)  # nobody reads progress bars
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"reading_copy.html.j2": _READING_COPY})],
        template_file="reading_copy.html.j2",
        embed_images=True,
    )
    resources = {"metadata": {"name": name}, "has_math": has_math}
    return exporter.from_notebook_node(page, resources=resources)[0]


def relink(page: str, among: set[str]) -> str:
    """Let the links between reading copies lead to pages that exist.

    Parameters
    ----------
    page : str
        A reading copy.
    among : set of str
        Names of notebooks that have a page. A link to any other leads to the notebook itself.

    Returns
    -------
    str
        The page with its links, and nothing else, changed.
    """
    return re.sub(
        r'(<a\b[^>]*\bhref=")(\d\d_[\w-]+)\.(?:ipynb|html)(?=["#])',
        lambda link: f"{link[1]}{link[2]}.{'html' if link[2] in among else 'ipynb'}",
        page,
    )


def _prose(markdown: str) -> str:
    """Markdown without its code, where a dollar sign is no formula."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", markdown, flags=re.DOTALL)


def index_page(runs: list[Run]) -> str:
    """The list of all reading copies, as an HTML page."""
    rows = "\n".join(
        f'<tr><td><a href="{html.escape(run.name)}.html">{html.escape(run.title or run.name)}</a>'
        f"</td><td>{run.seconds / 60:.1f}</td><td>{run.peak_memory_mb / 1000:.1f}</td></tr>"
        for run in runs
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pretrained Models for Video Recommendation</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto;
padding: 0 1rem; }} td, th {{ padding: .25rem 1rem .25rem 0; text-align: left; }}</style></head>
<body><h1>Pretrained Models for Video Recommendation</h1>
<table><tr><th>Notebook</th><th>Minutes to run</th><th>Peak memory, GB</th></tr>
{rows}
</table></body></html>
"""
