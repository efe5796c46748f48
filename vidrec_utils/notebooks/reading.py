"""A notebook as the rules see it: cells, sections, syntax trees, outputs."""

from __future__ import annotations

import ast
import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat

from vidrec_utils import settings

Breach = tuple[int | None, str]
"""What a rule finds: the cell's number, or None for the whole notebook, and what to do."""


@dataclass(frozen=True)
class Violation:
    """One way in which a notebook breaks the contract.

    Attributes
    ----------
    rule : str
        Name of the rule.
    cell : int or None
        Position among all cells, from 1; None when the whole notebook is meant.
    message : str
        What is wrong and what to do.
    """

    rule: str
    cell: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.cell or '-'}: {self.rule}: {self.message}"


def committed_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is committed of a cell's metadata: its tags, and that a check is collapsed."""
    tags = metadata.get("tags")
    result: dict[str, Any] = {"tags": tags} if tags else {}
    if "check" in result.get("tags", []) and metadata.get("jupyter", {}).get("source_hidden"):
        result["jupyter"] = {"source_hidden": True}
    return result


@dataclass(frozen=True)
class Cell:
    """One cell; `number` counts all cells from 1."""

    number: int
    kind: str
    source: str
    id: str
    metadata: dict[str, Any]
    outputs: list[dict[str, Any]]
    execution_count: int | None

    @property
    def is_code(self) -> bool:
        """Whether this is a code cell."""
        return self.kind == "code"

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not blank."""
        return [line for line in self.source.splitlines() if line.strip()]

    @cached_property
    def tree(self) -> ast.Module | None:
        """The syntax tree, or None where the cell is not plain Python."""
        try:
            return ast.parse(self.source) if self.is_code else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # nested too deeply
            return None

    @property
    def tags(self) -> list[str]:
        """The cell's tags."""
        return self.metadata.get("tags", [])

    @property
    def aside(self) -> bool:
        """Whether this cell checks a claim, grades an exercise or belongs to the quiz."""
        return bool({"check", "quiz"} & set(self.tags)) or self.source.startswith(
            "exercises.check("
        )

    @property
    def exercise(self) -> str | None:
        """The exercise whose stub this cell holds, or None."""
        match = re.fullmatch(r"exercise-(\w+)", self.id)
        return match.group(1) if match and self.is_code else None


@dataclass(frozen=True)
class Passage:
    """A stretch of one cell inside one section."""

    cell: Cell
    text: str


@dataclass
class Section:
    """What stands under one heading of second level."""

    title: str
    start: int
    passages: list[Passage] = field(default_factory=list)

    @property
    def prose(self) -> str:
        """All text of the section without code cells."""
        return "\n\n".join(passage.text for passage in self.passages if not passage.cell.is_code)

    @property
    def code(self) -> list[Cell]:
        """The section's code cells."""
        return [passage.cell for passage in self.passages if passage.cell.is_code]


@dataclass(frozen=True)
class Image:
    """An image in an output: its cell, MIME type, size in bytes and description."""

    cell: Cell
    kind: str
    size: int
    alt: str


def read_node(path: Path) -> nbformat.NotebookNode:
    """Read a notebook for running it.

    Raises
    ------
    ValueError
        If the file is no notebook of format 4; it names the file.
    """
    raw = Notebook.read(path).raw
    if type(raw.get("nbformat")) is not int or raw["nbformat"] != 4:
        raise ValueError(f"{path} is not a notebook of format 4: {raw.get('nbformat')!r}.")
    for number, cell in enumerate(raw["cells"], start=1):
        lacking = [name for name in ("cell_type", "source", "metadata") if name not in cell]
        if lacking:
            raise ValueError(f"{path} is not a notebook: cell {number} has no {lacking[0]}.")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # whatever a damaged file can cause has one meaning
        words = str(error) or type(error).__name__
        raise ValueError(f"{path} is not a notebook: {words}.") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ValueError
        If it is not JSON, or nested too deeply; it names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a notebook: {error}.") from error


def _problems(raw: Any) -> Iterator[str]:
    """What in a file is not of the type that it has in a notebook, as clauses."""
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if not isinstance(cells, list):
        yield "it has no cells"
        return
    if not isinstance(raw.get("metadata", {}), dict):
        yield "its metadata are no mapping"
        return
    for name in ("kernelspec", "language_info"):
        if not isinstance(raw.get("metadata", {}).get(name, {}), dict):
            yield f"{name} in its metadata is no mapping"
    for number, cell in enumerate(cells, start=1):
        yield from (f"cell {number} {problem}" for problem in _cell_problems(cell))


def _cell_problems(cell: Any) -> Iterator[str]:
    if not isinstance(cell, dict):
        yield "is no mapping"
        return
    if not _is_text(cell.get("source", "")):
        yield "has a source that is no text"
    for name in ("cell_type", "id"):
        if not isinstance(cell.get(name, ""), str):
            yield f"has a {name} that is no text"
    if not isinstance(cell.get("execution_count"), int | None):
        yield "has an execution_count that is no number"
    metadata = cell.get("metadata", {})
    if not isinstance(metadata, dict):
        yield "has metadata that are no mapping"
    elif not _is_list_of(metadata.get("tags", []), str):
        yield "has tags that are no list of texts"
    elif not isinstance(metadata.get("jupyter", {}), dict):
        yield "has metadata of jupyter that are no mapping"
    outputs = cell.get("outputs", [])
    if not _is_list_of(outputs, dict):
        yield "has outputs that are no list of mappings"
    else:
        yield from (f"has an output whose {name}" for each in outputs for name in _wrong(each))


def _wrong(output: dict[str, Any]) -> Iterator[str]:
    """Parts of an output that are of another type, as clauses."""
    for name in ("output_type", "name", "ename", "evalue"):
        if not isinstance(output.get(name, ""), str):
            yield f"{name} is no text"
    if not _is_text(output.get("text", "")):
        yield "text is no text"
    for name in ("data", "metadata"):
        if not isinstance(output.get(name, {}), dict):
            yield f"{name} are no mapping"
            return
    for kind, content in output.get("data", {}).items():
        if kind.startswith(("text/", "image/")) and not _is_text(content):
            yield f"{kind} is no text"
        notes = output.get("metadata", {}).get(kind, {})
        if not isinstance(notes, dict) or not isinstance(notes.get("alt", ""), str):
            yield f"metadata of {kind} are no mapping"
    if not isinstance(output.get("metadata", {}).get("alt", ""), str):
        yield "alt is no text"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or _is_list_of(value, str)


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


@dataclass(frozen=True)
class Notebook:
    """A notebook file with what the rules need to judge it.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        The name under which it is judged, without suffix; normally the file's own.
    root : Path
        The course's root folder, which holds `vidrec_utils/`, `tests/` and `notebooks/`.
    raw : dict
        The file's JSON.
    """

    path: Path
    name: str
    root: Path
    raw: dict[str, Any]

    @classmethod
    def read(cls, path: Path, name: str | None = None, root: Path | None = None) -> Notebook:
        """Read a notebook.

        Raises
        ------
        ValueError
            If the file is not JSON with cells, or holds something of another type than a notebook
            does; it names the file and the cell.
        """
        raw = read_json(path)
        problem = next(_problems(raw), None)
        if problem is not None:
            raise ValueError(f"{path} is not a notebook: {problem}.")
        return cls(path, name or path.stem, root or settings.repository() or Path.cwd(), raw)

    @property
    def subject(self) -> str:
        """The name without its number."""
        return re.sub(r"^\d+_", "", self.name)

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells in order."""
        return [
            Cell(
                number=number,
                kind=cell.get("cell_type", ""),
                source="".join(cell.get("source", "")),  # a string or a list of lines
                id=cell.get("id", ""),
                metadata=cell.get("metadata", {}),
                outputs=cell.get("outputs", []),
                execution_count=cell.get("execution_count"),
            )
            for number, cell in enumerate(self.raw["cells"], start=1)
        ]

    @property
    def code(self) -> list[Cell]:
        """The code cells in order."""
        return [cell for cell in self.cells if cell.is_code]

    @property
    def outputs(self) -> list[tuple[Cell, dict[str, Any]]]:
        """All outputs in order, each with its cell."""
        return [(cell, output) for cell in self.code for output in cell.outputs]

    @cached_property
    def head(self) -> list[Passage]:
        """What stands before the first heading of second level."""
        return self._split[0]

    @cached_property
    def sections(self) -> list[Section]:
        """The sections in order."""
        return self._split[1]

    @cached_property
    def _split(self) -> tuple[list[Passage], list[Section]]:
        head: list[Passage] = []
        sections: list[Section] = []
        for cell in self.cells:
            pieces = [cell.source] if cell.is_code else re.split(r"(?m)^(?=## )", cell.source)
            for piece in pieces:
                text = piece
                if not cell.is_code and piece.startswith("## "):
                    title, _, text = piece.partition("\n")
                    sections.append(Section(title[3:].strip(), cell.number))
                if text.strip():
                    (sections[-1].passages if sections else head).append(Passage(cell, text))
        return head, sections

    def section(self, title: str) -> Section | None:
        """Return the section of a fixed title, or None."""
        return next((s for s in self.sections if fixed_title(s.title) == title), None)

    def prose(self, *without: str) -> list[Passage]:
        """Return the passages of text, but not those of the named sections of the contract."""
        sections = (s for s in self.sections if fixed_title(s.title) not in without)
        passages = [*self.head, *(passage for s in sections for passage in s.passages)]
        return [passage for passage in passages if not passage.cell.is_code]

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Full names of what the notebook imports, by the name that it uses."""
        imports = [item for _, node in self.nodes(ast.Import) for item in node.names]
        renamed = {item.asname: item.name for item in imports if item.asname}
        tops = {item.name.partition(".")[0] for item in imports if not item.asname}
        members = {
            item.asname or item.name: f"{node.module}.{item.name}"
            for _, node in self.nodes(ast.ImportFrom)
            for item in node.names
        }
        return renamed | {top: top for top in tops} | members

    def full_name(self, node: ast.AST) -> str:
        """Return the dotted name of an expression with imports resolved; "" if it has none."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ".".join(["", *reversed(names)]) if names else ""
        return ".".join([self.aliases.get(node.id, node.id), *reversed(names)])

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[tuple[Cell, Any]]:
        """Go through the syntax nodes of given kinds in all code cells."""
        for cell in self.code:
            for node in ast.walk(cell.tree) if cell.tree else ():
                if isinstance(node, kinds):
                    yield cell, node

    def calls(self, pattern: str = ".*") -> Iterator[tuple[Cell, ast.Call, str]]:
        """Go through all calls of what has a full name of this pattern, and give that name."""
        for cell, node in self.nodes(ast.Call):
            name = self.full_name(node.func)
            if re.fullmatch(pattern, name):
                yield cell, node, name

    def texts(self) -> Iterator[tuple[Cell, str, str]]:
        """Go through the text in all outputs, as (cell, stream or MIME type, text)."""
        embedded = r"data:[\w/+-]+;base64,[\w+/=\s]*"
        for cell, output in self.outputs:
            if output.get("output_type") == "stream":
                yield cell, output.get("name", ""), "".join(output.get("text", ""))
            for kind, content in output.get("data", {}).items():
                if kind.startswith("text/"):
                    yield cell, kind, re.sub(embedded, "", "".join(content))

    @cached_property
    def images(self) -> list[Image]:
        """All images in outputs."""
        images = []
        for cell, output in self.outputs:
            for kind, content in output.get("data", {}).items():
                text = "".join(content)
                if kind.startswith("image/"):
                    notes = output.get("metadata", {})
                    alt = notes.get(kind, {}).get("alt", "") or notes.get("alt", "")
                    size = len(text.encode()) if kind == "image/svg+xml" else _decoded(text)
                    images.append(Image(cell, kind, size, alt))
                elif kind == "text/html":
                    images += [Image(cell, *image[:3]) for image in images_in_html(text)]
        return images


class _ImageParser(HTMLParser):
    """Collects images and films from HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[tuple[str, int, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that shows something."""
        values = {key: value or "" for key, value in attrs}
        if tag in ("img", "video", "source", "svg"):
            source = values.get("src", "")
            data = re.match(r"data:([\w/+-]+);base64,", source)
            size = _decoded(source[data.end() :]) if data else 0
            kind = data.group(1) if data else tag
            alt = values.get("alt") or values.get("aria-label") or values.get("title") or ""
            if tag != "source" or data:
                self.images.append((kind, size, alt, source if not data else ""))


def remote_images(text: str) -> list[str]:
    """List the addresses of images in HTML or Markdown that need a network."""
    sources = [image[3] for image in images_in_html(text)]
    sources += re.findall(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)", text)
    return [source for source in sources if re.match(r"(?i)(https?:)?//", source)]


def images_in_html(text: str) -> list[tuple[str, int, str, str]]:
    """List the images in HTML as (kind, size in bytes, description, address if outside)."""
    parser = _ImageParser()
    parser.feed(text)
    return parser.images


def _decoded(text: str) -> int:
    try:
        return len(base64.b64decode("".join(text.split())))
    except ValueError:
        return len(text)


FIXED_TITLES = {
    "at a glance": "At a glance",
    "set-up": "Set-up",
    "setup": "Set-up",
    "set up": "Set-up",
    "first result": "First result",
    "exercises": "Exercises",
    "quiz": "Quiz",
    "recap": "Recap",
    "in practice": "In practice",
    "further reading": "Further reading",
}


def fixed_title(title: str) -> str | None:
    """Return which of the contract's sections a heading opens, or None for one of the body."""
    return FIXED_TITLES.get(title.partition(":")[0].strip().casefold())


def visible(markdown: str) -> str:
    """Return the words that a reader sees: no code fences, link targets, HTML or formulas."""
    text = re.sub(r"(?ms)^(```|~~~).*?^\1", " ", markdown)
    text = re.sub(r"(?s)<!--.*?-->", " ", text)
    text = re.sub(r"<[^>\n]+>", " ", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"(?m)^\s*\|?[\s:|-]+\|?\s*$", " ", text)


def words(markdown: str) -> int:
    """Count the words that a reader sees."""
    return len(re.findall(r"[^\W_][\w'’.@-]*", visible(markdown)))


def literal_text(node: ast.AST | None) -> str | None:
    """Return the fixed text of a string or f-string, None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        fixed = (literal_text(part) or " " for part in node.values)
        return "".join(fixed)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = literal_text(node.left), literal_text(node.right)
        return None if None in sides else "".join(sides)
    return None


def unparsed(cell: Cell) -> str:
    """Return the code of a cell in one spelling, so that two cells can be compared."""
    return ast.unparse(cell.tree) if cell.tree else ""
