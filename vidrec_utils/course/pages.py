"""Reading copies: executed notebooks as HTML pages that need no network."""

from __future__ import annotations

import base64
import copy
import html
import io
import re
from typing import TYPE_CHECKING

import nbformat
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from vidrec_utils.notebooks.kernels import Run

_READING_COPY = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
"""
_STYLE = """<style>
details:not(.clip) { margin: 0.5em 0 1.5em; }
details:not(.clip) > summary { cursor: pointer; }
details.clip > summary { cursor: pointer; list-style-position: outside; }
details.clip > summary > img { display: block; }
details.clip[open] > summary > img { display: none; }
.jp-InputArea-editor { overflow-x: auto; }
.jp-OutputArea-output pre { word-break: normal; overflow-wrap: anywhere; }
math[display="block"] { margin: 1em 0; overflow-x: auto; }
</style>
"""
_FORMULA = re.compile(
    r"(?P<code>(?ms:^(?P<fence>```|~~~).*?^(?P=fence))|(?P<ticks>`+)[^`].*?(?P=ticks))"
    r"|(?s:\$\$(?P<display>.+?)\$\$)"
    r"|(?<![\\\w$])\$(?P<inline>(?=\S)[^$\n]*?[^\s\\$])\$(?!\w)"
)
_ANSWER = re.compile(r"(<details><summary>[^<]*</summary>)\s*</details>")
_END_OF_ANSWER = "<!-- end of answer -->"
"""Stands for `</details>`: nbconvert closes each piece of HTML on its own, so that an answer below
`<summary>` would stand outside, for all to see, and a lone closing tag would be lost."""
_CLIP = re.compile(r'<img\b[^>]*?\bsrc="data:image/(?:avif|webp|gif);base64,(?P<data>[^"]+)"[^>]*>')


def reading_copy(notebook: nbformat.NotebookNode, name: str, among: set[str]) -> str:
    """One HTML page that can be read without a network, images and formulas included.

    Formulas are MathML. Check cells are left out: they are for those who run the notebook. A clip
    shows its first frame, and plays when a reader clicks on it; answers open on a click, too.

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
        The page.

    Raises
    ------
    ValueError
        If a formula cannot become MathML; it names the formula.
    """
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    from vidrec_utils.notebooks.writing import clean_outputs

    page = copy.deepcopy(notebook)
    page.cells = [cell for cell in page.cells if "check" not in cell.metadata.get("tags", [])]
    formulas: list[str] = []
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = _set_apart(cell.source, formulas, name)
            cell.source = re.sub(r"(?m)^</details>$", _END_OF_ANSWER, cell.source)
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
    text = exporter.from_notebook_node(page, resources={"metadata": {"name": name}})[0]
    text = _ANSWER.sub(r"\1", text).replace(_END_OF_ANSWER, "</details>")
    text = _put_back(text, formulas)
    text = re.sub(r"(<video\b[^>]*?)\sautoplay(?:=\"[^\"]*\")?(?=[\s>])", r"\1 controls", text)
    return _CLIP.sub(_on_click, text).replace("</head>", f"{_STYLE}</head>", 1)


def mathml(formula: str, display: bool = False) -> str:
    r"""Turn a formula in TeX into MathML.

    Parameters
    ----------
    formula : str
        Without its dollar signs.
    display : bool
        Whether it stands on a line of its own.

    Raises
    ------
    ValueError
        If the formula is not understood, or a command of it is unknown.

    Examples
    --------
    >>> mathml("x").partition("<mrow>")[2]
    '<mi>x</mi></mrow></math>'
    """
    from latex2mathml import converter

    try:
        known = re.sub(r"\\arg(?![A-Za-z])", r"\\operatorname{arg}", formula.strip())
        result = converter.convert(known, display="block" if display else "inline")
    except Exception as error:  # whatever a broken formula can cause has one meaning
        reason = str(error) or type(error).__name__
        raise ValueError(f"The formula {formula!r} is not understood: {reason}.") from error
    unknown = re.search(r"\\[A-Za-z]+", html.unescape(re.sub(r"<[^>]*>", " ", result)))
    if unknown or "<merror" in result:
        what = unknown[0] if unknown else "a part of it"
        raise ValueError(f"The formula {formula!r} is not understood: {what} is unknown.")
    return result


def formulas_in(markdown: str) -> list[tuple[str, bool]]:
    """List the formulas in a text, each with whether it stands on a line of its own."""
    return [
        (match["display"] or match["inline"], bool(match["display"]))
        for match in _FORMULA.finditer(markdown)
        if not match["code"]
    ]


def _set_apart(markdown: str, formulas: list[str], name: str) -> str:
    """Replace the formulas in a text by words that no converter changes; append their MathML."""

    def replace(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        try:
            formulas.append(mathml(match["display"] or match["inline"], bool(match["display"])))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        return f"FORMULA{len(formulas) - 1}FORMULA"

    return _FORMULA.sub(replace, markdown)


def _put_back(page: str, formulas: list[str]) -> str:
    """Put MathML where its word stands; inside of a tag, such as a heading's anchor, its number."""

    def replace(match: re.Match[str]) -> str:
        if match["tag"]:
            return re.sub(r"FORMULA(\d+)FORMULA", r"formula-\1", match[0])
        return formulas[int(match["number"])]

    if not formulas:
        return page
    return re.sub(
        r"(?P<tag><[^<>]*FORMULA\d+FORMULA[^<>]*>)|FORMULA(?P<number>\d+)FORMULA", replace, page
    )


def _on_click(tag: re.Match[str]) -> str:
    """Put a clip behind its first frame, which a reader clicks on; leave other images alone."""
    try:
        image = Image.open(io.BytesIO(base64.b64decode(tag["data"])))
    except UnidentifiedImageError:  # a kind that this Pillow cannot read; browsers may
        return tag[0]
    with image:
        if getattr(image, "n_frames", 1) < 2:
            return tag[0]
        first_frame = io.BytesIO()
        image.convert("RGB").save(first_frame, "WEBP", quality=80)
    source = f"data:image/webp;base64,{base64.b64encode(first_frame.getvalue()).decode('ascii')}"
    first = re.sub(r'\bsrc="[^"]+"', f'src="{source}"', tag[0], count=1)
    clip = tag[0].replace("<img", '<img loading="lazy"', 1)
    return f'<details class="clip"><summary>{first}Play the clip</summary>{clip}</details>'


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
