"""Rules on the lesson: what a reader meets, in which order, and how each claim is backed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from vidrec_utils import exercises
from vidrec_utils.notebooks import techniques
from vidrec_utils.notebooks.formulas import display_formulas
from vidrec_utils.notebooks.reading import (
    Breach,
    Cell,
    Notebook,
    Section,
    fixed_title,
    literal_text,
    unparsed,
    visible,
    words,
)

SECTIONS = (3, 6)
EARLY = 5
ORDER_BEFORE = ["At a glance", "Set-up", "First result"]
ORDER_AFTER = ["Exercises", "Quiz", "Recap", "In practice", "Further reading"]
COMPARISONS = ("claims.better", "claims.not_worse")
"""Claims about a difference, which write their own message."""
LABELS = ["Question", "You will be able to", "Takes", "Needs", "Produces", "Previous", "Next"]
_VERB_LIST = """
    adapt add align analyse ask assess attend attribute augment balance blend build calibrate
    capture catch check choose clean cluster combine compare compress compute cut decide describe
    detect distinguish draw embed encode estimate evaluate explain explore extract fill find
    fine-tune fit follow forecast fuse gather give go group grow handle hear index initialise
    inspect interpret join judge keep know learn let link listen look make map mask match measure
    meet mix move observe open pick plan play pool predict prepare protect prove put rank read
    rebalance recommend reduce represent rerank retrieve reuse reweight run sample save scale score
    search see segment serve show simulate sort spend split spread start stop store stream study
    summarise take teach tell test trace track train transfer translate try tune turn understand
    update use visit walk watch weigh weight win work write"""
VERBS = frozenset(_VERB_LIST.split())


def rule_title(notebook: Notebook) -> Iterator[Breach]:
    """One first-level heading, at the top, that begins with a verb."""
    titles = [
        (cell.number, line[2:].strip())
        for cell in notebook.cells
        if not cell.is_code
        for line in visible(cell.source).splitlines()
        if line.startswith("# ")
    ]
    first = notebook.cells[0].source if notebook.cells else ""
    if not first.startswith("# ") or len(titles) != 1:
        yield (
            None,
            f"{len(titles)} headings of first level; one opens the notebook, no other exists",
        )
        return
    verb = titles[0][1].split()[0].strip(",:").casefold()
    if verb not in VERBS:
        yield 1, f"{verb!r} is no verb of the list; begin with one (or add it to VERBS)"


def rule_order(notebook: Notebook) -> Iterator[Breach]:
    """Glance, set-up, first result, body, exercises, quiz, recap, in practice, further reading."""
    kinds = [fixed_title(section.title) for section in notebook.sections]
    fixed = [kind for kind in kinds if kind]
    order = ORDER_BEFORE + ORDER_AFTER
    if notebook.name in techniques.NOT_YET_REWRITTEN and "Quiz" not in fixed:
        order.remove("Quiz")
    if fixed != order:
        lacking = [title for title in order if title not in fixed]
        yield (
            None,
            f"sections are missing: {', '.join(lacking)}"
            if lacking
            else f"sections stand as {', '.join(fixed)}; the order is {', '.join(order)}",
        )
    elif None in kinds[: len(ORDER_BEFORE)] + kinds[len(ORDER_BEFORE) - len(order) :]:
        yield None, "the body stands between 'First result' and 'Exercises', nowhere else"


def _labelled(text: str) -> dict[str, str]:
    """Return what follows each bold label such as `**Takes.**`, up to the next label."""
    pieces = re.split(r"\*\*([A-Z][\w -]*?)[.:]?\*\*[.:]?", text)
    return {
        name.strip(): content.strip()
        for name, content in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def _bullets(text: str) -> list[str]:
    return re.findall(r"(?m)^[-*] +(.+(?:\n {2,}\S.*)*)", text)


def _card(notebook: Notebook) -> dict[str, str]:
    section = notebook.section("At a glance")
    return _labelled(section.prose) if section else {}


def rule_card(notebook: Notebook) -> Iterator[Breach]:
    """The card: question, abilities, what it takes, needs and produces, previous and next."""
    section = notebook.section("At a glance")
    if section is None:
        return  # the rule on order speaks of it
    card = _card(notebook)
    for label in LABELS:
        if not card.get(label):
            yield section.start, f"the card has no **{label}.**"
    abilities = _bullets(card.get("You will be able to", ""))
    if card.get("You will be able to") and not 2 <= len(abilities) <= 6:
        yield (
            section.start,
            f"{len(abilities)} bullets under 'You will be able to'; allowed are 2 to 6",
        )
    takes = card.get("Takes", "")
    for what, pattern in (
        ("time", r"(?i)\b(minutes?|seconds?|min|s)\b"),
        ("memory", r"(?i)\b[MG]i?B\b"),
        ("device", r"\b[CG]PU\b"),
    ):
        if takes and not re.search(pattern, takes):
            yield section.start, f"**Takes.** does not say the {what}"


def rule_neighbours(notebook: Notebook) -> Iterator[Breach]:
    """Previous and next link to the notebooks before and after, or say none."""
    folder = notebook.root / "notebooks"
    others = {path.stem for path in folder.glob("[0-9][0-9]_*.ipynb")}
    ordered = sorted(others | {notebook.name})
    index = ordered.index(notebook.name)
    section, card = notebook.section("At a glance"), _card(notebook)
    for label, other in (
        ("Previous", ordered[index - 1] if index else None),
        ("Next", ordered[index + 1] if index + 1 < len(ordered) else None),
    ):
        text = card.get(label)
        if not text or section is None:
            continue
        link = re.search(r"\]\(([^)]+)\)", text)
        target = link.group(1) if link else None
        if other is None and (link or "none" not in text.casefold()):
            yield section.start, f"**{label}.** should say none: there is no such notebook"
        elif other is not None and target != f"{other}.ipynb":
            yield (
                section.start,
                f"**{label}.** should link to {other}.ipynb, not to {target or 'nothing'}",
            )


def rule_first_result(notebook: Notebook) -> Iterator[Breach]:
    """A figure or a sentence with a number within the first five code cells."""
    section = notebook.section("First result")
    if section is None:
        return  # the rule on order speaks of it
    cells = {cell.number for cell in notebook.code[:EARLY] if cell in section.code}
    drawn = any(image.cell.number in cells for image in notebook.images)
    printed = any(
        cell.number in cells and kind == "stdout" and re.search(r"\d", text) and words(text) > 3
        for cell, kind, text in notebook.texts()
    )
    if not drawn and not printed:
        yield (
            section.start,
            f"no figure and no sentence with a number in the first {EARLY} code cells",
        )


def _lesson(notebook: Notebook) -> list[Section]:
    return [section for section in notebook.sections if fixed_title(section.title) is None]


def _stages(section: Section) -> str:
    """Return the section's course as letters: p(redict), r(un), i(nterpret)."""
    marks = r"\*\*([PI])(?:redict|nterpret)\.\*\*"
    return "".join(
        "r" if passage.cell.is_code else "".join(re.findall(marks, passage.text)).lower()
        for passage in section.passages
    )


def rule_sections(notebook: Notebook) -> Iterator[Breach]:
    """Three to six sections, each of them predict, run, interpret."""
    sections = _lesson(notebook)
    if not SECTIONS[0] <= len(sections) <= SECTIONS[1]:
        yield (
            None,
            f"{len(sections)} sections in the body; allowed are {SECTIONS[0]} to {SECTIONS[1]}",
        )
    for section in sections:
        if not re.fullmatch(r"r*(pr+ir*)+", _stages(section)):
            yield section.start, f"{section.title!r} is not **Predict.**, code, **Interpret.**"


def claims(cell: Cell, notebook: Notebook) -> list[tuple[ast.AST, ast.AST | None]]:
    """List the assertions of a code cell, each with its message or None."""
    assertions: list[tuple[ast.AST, ast.AST | None]] = []
    for node in ast.walk(cell.tree) if cell.tree else ():
        if isinstance(node, ast.Assert):
            assertions.append((node, node.msg))
        elif isinstance(node, ast.Call):
            name = notebook.full_name(node.func)
            if name.endswith("claims.check"):
                messages = [word.value for word in node.keywords if word.arg == "message"]
                assertions.append((node, [*node.args[1:2], *messages, None][0]))
            elif name.endswith(COMPARISONS):
                own = ast.Constant("the difference, its interval, and what the text must say")
                assertions.append((node, own))
    return assertions


def rule_claims(notebook: Notebook) -> Iterator[Breach]:
    """Every interpretation has an assertion in the code cell before or after it."""
    for section in _lesson(notebook):
        passages = section.passages
        for index, passage in enumerate(passages):
            if passage.cell.is_code or "**Interpret.**" not in passage.text:
                continue
            around = passages[max(index - 1, 0) : index] + passages[index + 1 : index + 2]
            code = [other.cell for other in around if other.cell.is_code]
            if not any(claims(cell, notebook) for cell in code):
                yield (
                    passage.cell.number,
                    "nothing is asserted in the code cell before or after this interpretation",
                )


def rule_assert_messages(notebook: Notebook) -> Iterator[Breach]:
    """Every assertion has a message that teaches."""
    advice = "an assertion without a message of four words or more; say what it means"
    return (
        (cell.number, advice)
        for cell in notebook.code
        for _, text in claims(cell, notebook)
        if words(literal_text(text) or "") < 4
    )


def rule_exercises(notebook: Notebook) -> Iterator[Breach]:
    """Two exercises or more: each cell is the generated stub, its check comes next."""
    section = notebook.section("Exercises")
    try:
        known = exercises.names(notebook.subject)
    except KeyError as error:
        yield section.start if section else None, str(error.args[0])
        return
    cells = [cell for cell in notebook.code if cell.exercise]
    inside = {cell.number for cell in section.code} if section else set()
    if len(cells) < 2 or [cell.exercise for cell in cells] != known:
        here = ", ".join(str(cell.exercise) for cell in cells) or "none"
        message = f"the notebook has the exercises {here}; its module has {', '.join(known)}"
        yield section.start if section else None, message
    for cell in cells:
        if cell.number not in inside:
            yield cell.number, "an exercise outside of 'Exercises'"
        if cell.exercise not in known:
            continue
        if cell.source.strip() != exercises.stub(notebook.subject, cell.exercise).strip():
            yield cell.number, f"not the stub of {cell.exercise}; run `--refresh`, which writes it"
        later = [other for other in notebook.code if other.number > cell.number][:1]
        call = f'exercises.check("{notebook.subject}", "{cell.exercise}", {cell.exercise})'
        if not later or ast.unparse(ast.parse(call)) not in unparsed(later[0]):
            yield cell.number, f"the next code cell should be `{call}`"


def _stems(text: str) -> set[str]:
    return {word[:5].casefold() for word in re.findall(r"[^\W\d_]{4,}", visible(text))}


def rule_recap(notebook: Notebook) -> Iterator[Breach]:
    """The recap mirrors the card: bullet by bullet, with a word in common."""
    section = notebook.section("Recap")
    abilities = _bullets(_card(notebook).get("You will be able to", ""))
    if section is None or not abilities:
        return  # the rules on order and card speak of it
    points = _bullets(section.prose)
    if len(points) != len(abilities):
        yield (
            section.start,
            f"{len(points)} bullets in the recap, {len(abilities)} abilities in the card",
        )
        return
    for number, (ability, point) in enumerate(zip(abilities, points, strict=True), start=1):
        if not _stems(ability) & _stems(point):
            yield section.start, f"bullet {number} has no word in common with the card's"


def rule_ending(notebook: Notebook) -> Iterator[Breach]:
    """'In practice' says something; 'Further reading' lists two sources or more."""
    practice, reading = notebook.section("In practice"), notebook.section("Further reading")
    if practice and words(practice.prose) < 40:
        yield practice.start, "under 40 words on what changes at production scale"
    if reading and len(_bullets(reading.prose)) < 2:
        yield reading.start, "fewer than two bullets with sources"


_NUMBER = re.compile(r"[-+−±≈~<>≤≥=$€]*(\d[\d.,']*|\.\d+)(%|x|×|s|ms|min|h|k|M|MB|GB|kB|px|fps)?")


def _measured(token: str) -> bool:
    """Tell whether a word of prose is a number that should have been computed."""
    token = token.rstrip(".,;:!?…").lstrip("…")
    match = _NUMBER.fullmatch(token)
    if not match:
        return False
    digits, unit = match.group(1).rstrip(".,"), match.group(2)
    year = re.fullmatch(r"(19|20)\d\d", digits) and not unit
    return bool(unit) or not (year or re.fullmatch(r"\d", digits))


def numbers(markdown: str) -> list[str]:
    """List the numbers in a text that only a computation could have given.

    Allowed are single digits, years, names with digits in them (ResNet-50, recall@10, H.264),
    numbers inside code or a formula together with something else, and whole numbers in code.
    """
    text = re.sub(r"(?m)^#{1,6} .*$", " ", re.sub(r"(?ms)^(```|~~~).*?^\1", " ", markdown))
    lone = re.compile(r"[-+−±]?(\d+[.,]\d+|\.\d+|\d+%)%?")
    computed = []
    for mark in ("`", "$"):
        spans = re.findall(rf"\{mark}([^{mark}\n]+)\{mark}", text)
        computed += [span for span in spans if lone.fullmatch(span.strip())]
        text = re.sub(rf"\{mark}[^{mark}\n]+\{mark}", " code ", text)
    text = re.sub(r"\[[^\]]*\]\([^)]*\)", " link ", text)
    text = re.sub(r"https?://\S+", " link ", text)
    text = re.sub(r"(?m)^\s*\d+\. ", " ", visible(text))
    text = re.sub(r"(?<=\d)\s+(%|per ?cent\b)", "%", text)
    tokens = re.split(r"[\s()\[\]{}\"“”*_/|]|(?<=\d%)[–-](?=\d)|(?<=\d)[–-](?=\d)", text)
    return computed + [token for token in tokens if token and _measured(token)]


def _without_sources(markdown: str) -> str:
    """Drop the sentences, list items and table rows that link a source."""
    pieces = re.split(r"(\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.)\s)|(?<=[.!?:;])\s+)", markdown)
    return "".join(" " if re.search(r"\]\(https?://", piece) else piece for piece in pieces)


def _digits(text: str) -> set[str]:
    """Return the numbers in a text without signs, separators of thousands and units."""
    matches = re.findall(r"\d[\d,]*(?:\.\d+)?|\.\d+", text)
    return {number.replace(",", "").rstrip(".") for number in matches}


def _printed(section: Section, notebook: Notebook) -> set[str]:
    """Return the numbers that the code cells of a section print or show in tables."""
    inside = {cell.number for cell in section.code}
    texts = [text for cell, kind, text in notebook.texts() if cell.number in inside]
    return {number for text in texts for number in _digits(re.sub(r"<[^>]*>", " ", text))}


def rule_numbers(notebook: Notebook) -> Iterator[Breach]:
    """Every number in the prose is printed in its section, in a formula, or links its source."""
    sections = [(None, notebook.head), *((s, s.passages) for s in notebook.sections)]
    for section, passages in sections:
        if section and fixed_title(section.title) in ("At a glance", "Further reading"):
            continue
        printed = _printed(section, notebook) if section else set()
        for passage in passages:
            if passage.cell.is_code:
                continue
            spans = re.findall(r"\$([^$\n]+)\$", re.sub(r"(?s)\$\$.+?\$\$", " ", passage.text))
            inline = [span for span in spans if re.search(r"[^\s\d.,%+-]", span)]
            formulas = " ".join(display_formulas(passage.text) + inline)
            prose = re.sub(r"(?s)\$\$.+?\$\$", " ", _without_sources(passage.text))
            backed = printed | _digits(formulas)
            typed = [n for n in numbers(prose) if not _digits(n) <= backed]
            if typed:
                yield (
                    passage.cell.number,
                    f"numbers typed into the text: {', '.join(typed)}; print them in a code cell "
                    "of the section, or link their source",
                )


def rule_headings(notebook: Notebook) -> Iterator[Breach]:
    """Headings go down one level at a time."""
    for passage in notebook.prose():
        levels = [len(m) for m in re.findall(r"(?m)^(#{1,6}) ", visible(passage.text))]
        steps = pairwise([2 if passage not in notebook.head else 1, *levels])
        if any(after > before + 1 for before, after in steps):
            yield passage.cell.number, "a heading skips a level"
