"""Names are the field's words: no name of the package or of a notebook holds one that they replace.

Whole words of snake_case and CamelCase names are compared: of modules, functions, classes,
parameters, attributes, local variables and import aliases. What may keep such a word stands in
`name_exceptions.toml`, with the reason.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
GLOSSARY = {
    "place places": "index, position",
    "filling none": "padding, PAD; or the name of what is absent",
    "body bodies": "backbone",
    "parts of_parts": "members, Ensemble",
    "given": "FixedScores; fixed, requested",
    "from_history history_reasons": "SessionRecommender, Explainable",
    "rivals competitors": "candidates, negatives",
    "flattery": "selection_bias",
    "far_apart unlike_users": "contrasting_users",
    "why portrait portraits": "explained_list",
    "said told": "predicted; described, metadata",
    "wanted": "target",
    "resting still rests": "frozen, eval_modules",
    "some every found there": "sample; all, total; the name of the thing itself",
    "moment moments": "timestamp",
    "picture pictures": "image",
    "trying looking combining": "the noun of the job: figures, inspection, trials",
}
INSTEAD = {old: new for words, new in GLOSSARY.items() for old in words.split()}
IN_ATTENTION = {"mix": "qkv", "network": "feed_forward"}
"""Words that only an attention block must not use."""
EXCEPTIONS = tomllib.loads((REPO / "tests/name_exceptions.toml").read_text(encoding="utf-8"))

Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def words(name: str) -> list[str]:
    """Split a name: `HTMLPage_of2` becomes html, page, of, 2."""
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def replaced(name: str, glossary: dict[str, str] = INSTEAD) -> list[str]:
    """List the words of the glossary in a name."""
    joined = f"_{'_'.join(words(name))}_"
    return [old for old in glossary if f"_{old}_" in joined]


def names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Go through the names that a piece of code defines, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, Scope):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.id if isinstance(node, ast.Name) else node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name, node.lineno


def is_attention(block: ast.ClassDef) -> bool:
    """Tell whether a class is an attention block: it names queries, keys and values."""
    return any({"qkv", "attention"} & {*words(name)} for name, _ in names(block))


def hits(source: str) -> Iterator[tuple[str, int, str]]:
    """Find names with words of the glossary: name, line, and what to write instead."""
    tree = ast.parse(source)
    for name, line in names(tree):
        yield from ((name, line, INSTEAD[word]) for word in replaced(name))
    for block in ast.walk(tree):
        if isinstance(block, ast.ClassDef) and is_attention(block):
            for name, line in names(block):
                yield from ((name, line, IN_ATTENTION[w]) for w in replaced(name, IN_ATTENTION))


def sources() -> Iterator[tuple[str, str]]:
    """Go through the code of the package and of the notebooks, with the file's name."""
    for path in sorted((REPO / "vidrec_utils").rglob("*.py")):
        yield path.relative_to(REPO).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((REPO / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield path.relative_to(REPO).as_posix(), "\n".join(code)


def all_hits() -> dict[tuple[str, str], str]:
    """Map (file, name) to a sentence, for names and for the names of modules."""
    sentences = {}
    for file, source in sources():
        for name, line, instead in hits(source):
            sentences[file, name] = f"{file}:{line}: {name}: write {instead}"
        for part in Path(file).with_suffix("").parts:
            for word in replaced(part):
                sentences[file, part] = f"{file}: {part}: write {INSTEAD[word]}"
    return sentences


def test_no_name_holds_a_word_that_the_glossary_replaces():
    excepted = {(entry["file"], entry["name"]) for entry in EXCEPTIONS.get("exception", [])}
    sentences = all_hits()
    new = [sentence for key, sentence in sentences.items() if key not in excepted]
    assert not new, "\n".join(new)
    assert excepted <= sentences.keys(), "these exceptions are no longer needed"


def test_exceptions_are_few_and_have_a_reason():
    entries = EXCEPTIONS.get("exception", [])
    assert len(entries) <= 20
    for entry in entries:
        assert {*entry} == {"file", "name", "reason"}
        assert len(entry["reason"].split()) >= 4, entry


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, Scope | ast.Module):
            yield ast.get_docstring(node) or ""


def of_parameters(source: str) -> list[str]:
    """List the lines of docstrings that describe a parameter or result and begin with "Of"."""
    pattern = re.compile(r"(?m)^( *)\S.*\n\1 {4,}(Of\b.*)$")
    return [match[2] for text in _texts(ast.parse(source)) for match in pattern.finditer(text)]


def test_no_description_of_a_parameter_begins_with_of():
    lines = [f"{file}: {line}" for file, source in sources() for line in of_parameters(source)]
    assert not lines, "begin with what the parameter is or does:\n" + "\n".join(lines)


# --- what the rules find ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "def frame_places(): ...",
        "class OfParts: ...",
        "class FromHistory: ...",
        "def f(*, wanted=3): ...",
        "found, rest = 1, 2",
        "model.body = 1",
        "self._someModules: int = 3",
        "import numpy as told",
        "try: ...\nexcept ValueError as why: ...",
        "for place in range(3): ...",
        "[every for every in range(3)]",
        "with open('x') as there: ...",
        "NONE = 0",
        "lambda moment: 0",
        "class Block:\n    def __init__(self):\n        self.qkv = 1\n        self.network = 2",
    ],
)
def test_a_replaced_word_is_found_in_any_name(code):
    assert len({name for name, *_ in hits(code)}) == 1


@pytest.mark.parametrize(
    "code",
    [
        "placement = somebody = counterparts = therefore = 1",
        "x = found",
        "x = node.body",
        "f(wanted=3)",
        "class Net:\n    network = 3",
        "'place'",
    ],
)
def test_other_names_and_mere_uses_are_allowed(code):
    assert [*hits(code)] == []


def test_a_description_that_begins_with_of_is_found():
    text = '"""Do.\n\n    Parameters\n    ----------\n    a : int\n        Of all.\n    """'
    assert of_parameters(f"def f(a):\n    {text}") == ["Of all."]
    assert of_parameters(f"def f(a):\n    {text.replace('Of all', 'The sum of all')}") == []
