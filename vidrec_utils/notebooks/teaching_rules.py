"""Rules on how a lesson teaches: checks apart from it, exercises, a quiz, and its figures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from vidrec_utils.notebooks.box_rules import assertions, compares_itself, draws_bars
from vidrec_utils.notebooks.lesson_rules import claims
from vidrec_utils.notebooks.reading import Breach, Cell, Notebook, images_in_html, words

KINDS = ("By hand", "In code", "Change and observe", "On your own data")
"""The exercises of a notebook, in order, as their texts begin."""
QUESTIONS = 5
OPTIONS = (3, 5)
BAR_SHARE = 1 / 3
_ANSWER = re.compile(
    r"(?s)<details>\s*<summary>[^<]+</summary>\s*?\n\s*\n(?P<reason>.+?)\n\s*\n?</details>"
)
_OPTION = re.compile(r"(?m)^\s{0,3}(\d)\. +\S")


def rule_checks(notebook: Notebook) -> Iterator[Breach]:
    """Assertions can fail, and stand in cells of their own, tagged `check` and collapsed."""
    for cell in notebook.code:
        asserted = assertions(cell.tree, notebook)
        asserts = bool(asserted or claims(cell, notebook))
        in_box = any(tag.startswith("box-") for tag in cell.tags)  # the rule box_check speaks of it
        if not in_box and any(
            compares_itself(each, notebook) or _is_constant(each) for each in asserted
        ):
            yield cell.number, "an assertion that cannot fail: a constant, or a thing and itself"
        if cell.exercise:
            continue
        if "check" not in cell.tags:
            if asserts:
                yield cell.number, "an assertion among the lesson's code; give it a cell `check`"
            continue
        if cell.metadata.get("jupyter", {}).get("source_hidden") is not True:
            yield cell.number, "a check that is not collapsed: set jupyter.source_hidden"
        if not asserts:
            yield cell.number, "a cell tagged check asserts nothing; readers do not see its code"


def _is_constant(asserted: ast.AST) -> bool:
    """Tell whether `assert True` or `claims.check(True, ...)` stands there."""
    if isinstance(asserted, ast.Call) and ast.unparse(asserted.func).endswith("claims.check"):
        asserted = next(iter(asserted.args), asserted)
    return isinstance(asserted, ast.Constant)


def rule_exercise_kinds(notebook: Notebook) -> Iterator[Breach]:
    """Four exercises: by hand, in code, change and observe, on your own data."""
    section = notebook.section("Exercises")
    if section is None:
        return  # the rule on order speaks of it
    kinds, marks = [], "|".join(KINDS)
    for passage in section.passages:
        if passage.cell.exercise:
            kinds.append("exercise")
        elif not passage.cell.is_code:
            kinds += re.findall(rf"\*\*({marks})\.\*\*", passage.text)
    if kinds != [entry for kind in KINDS for entry in (kind, "exercise")]:
        asked = ", ".join(f"**{kind}.**" for kind in KINDS)
        yield section.start, f"the exercises are these four, each before its cell: {asked}"


def rule_quiz(notebook: Notebook) -> Iterator[Breach]:
    """Five questions with their options in sight; a click opens the answer and its reason."""
    section = notebook.section("Quiz")
    if section is None:
        return  # the rule on order speaks of it
    for passage in section.passages:
        if "quiz" not in passage.cell.tags:
            yield passage.cell.number, "a cell of the quiz without the tag `quiz`"
    pieces = re.split(r"\*\*Question(?: \d)?\.\*\*", section.prose)[1:]
    if len(pieces) != QUESTIONS:
        yield section.start, f"{len(pieces)} questions begin with **Question.**; ask {QUESTIONS}"
    for number, piece in enumerate(pieces, start=1):
        problem = _question_problem(piece)
        if problem:
            yield section.start, f"question {number} {problem}"


def _question_problem(piece: str) -> str | None:
    """Say what a question of the quiz lacks, or None."""
    before, opening, _ = piece.partition("<details>")
    options = _OPTION.findall(before)
    if not OPTIONS[0] <= len(options) <= OPTIONS[1]:
        least, most = OPTIONS
        return f"shows {len(options)} options as a numbered list; allowed are {least} to {most}"
    answer = _ANSWER.search(opening + piece.partition("<details>")[2])
    if answer is None:
        return "has no <details> with a <summary>, an empty line, and the reason"
    right = re.match(r"\s*\*\*(\d)\.?\*\*", answer["reason"])
    if right is None or right[1] not in options:
        return "does not begin its answer with the number of an option in bold"
    if words(answer["reason"]) < 9:
        return "gives no reason for its answer"
    others = set(re.findall(r"(?:\*\*|\*)(\d)\.?(?:\*\*|\*)", answer["reason"]))
    lacking = sorted({*options} - others)
    if lacking:
        return f"does not say what is wrong with option {', '.join(lacking)}, as in *{lacking[0]}*"
    return None


def _figures(notebook: Notebook) -> list[Cell]:
    """List the cells of all figures; a clip and the image that stands in for it are one figure."""
    return [
        cell
        for cell, output in notebook.outputs
        if any(
            kind.startswith("image/") or (kind == "text/html" and images_in_html("".join(content)))
            for kind, content in output.get("data", {}).items()
        )
    ]


def rule_bar_charts(notebook: Notebook) -> Iterator[Breach]:
    """At most a third of the figures are bar charts."""
    figures = _figures(notebook)
    bars = sum(draws_bars(cell, notebook) for cell in figures)
    if bars > BAR_SHARE * len(figures):
        yield None, f"{bars} of {len(figures)} figures are bar charts (most: a third)"
