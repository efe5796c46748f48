"""Reading copies: formulas as MathML, checks left out, clips that play on a click."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from vidrec_utils.course.pages import formulas_in, mathml, reading_copy

COURSE = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TEXT = r"""# Weigh $a_u$

It costs \$5, `$code$` and $x | y$:

$$
\bar{d} = \frac{1}{n} \sum_{u=1}^{n} (a_u * b_u) * c
$$

| symbol | meaning |
|---|---|
| $a_u$ | a vector in $\mathbb{R}^{n}$ |

```
$$no formula$$
```
"""


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def markdown(text):
    return nbformat.v4.new_markdown_cell(text)


def clip(n_frames, kind="WEBP"):
    noise = np.random.default_rng(0).integers(0, 255, (n_frames, 16, 16, 3), dtype=np.uint8)
    frames = [Image.fromarray(frame) for frame in noise]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=100)
    return base64.b64encode(file.getvalue()).decode("ascii")


def shows(html):
    output = nbformat.v4.new_output("display_data", data={"text/html": html})
    return nbformat.v4.new_code_cell("show()", outputs=[output])


class Tags(HTMLParser):
    """Counts elements and checks that formulas are closed where they were opened."""

    def __init__(self, page):
        super().__init__()
        self.counts = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1


def test_every_formula_becomes_mathml():
    page = reading_copy(notebook(markdown(TEXT)), "00_read", set())
    assert len(formulas_in(TEXT)) == Tags(page).counts["math"] == 5
    assert page.count('display="block"') - page.count('[display="block"]') == 1
    assert page.count("<td>") == 2
    assert "FORMULA" not in page
    assert "<merror" not in page
    assert "$code$" in page
    assert "$$no formula$$" in page
    assert "mathjax" not in page.lower()
    assert re.search(r'id="Weigh-[^"<]*"', page)


@pytest.mark.parametrize("path", COURSE, ids=[path.stem for path in COURSE])
def test_the_formulas_of_the_course_are_understood(path):
    cells = nbformat.read(path, as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    page = reading_copy(notebook(*map(markdown, texts)), path.stem, set())
    assert Tags(page).counts.get("math", 0) == sum(len(formulas_in(text)) for text in texts)
    assert "<merror" not in page
    assert not re.search(r"\$\$|FORMULA\d", re.sub(r"(?s)<(code|pre)\b.*?</\1>", "", page))


@pytest.mark.parametrize("formula", [r"\nosuchcommand{x}", r"\frac{1}{", r"\left( x"])
def test_a_formula_that_is_not_understood_is_named(formula):
    with pytest.raises(ValueError, match="is not understood") as caught:
        mathml(formula)
    assert repr(formula) in str(caught.value)
    with pytest.raises(ValueError, match="00_read: The formula"):
        reading_copy(notebook(markdown(f"See ${formula}$ here.")), "00_read", set())


def test_checks_are_left_out():
    check = nbformat.v4.new_code_cell("assert secret", metadata={"tags": ["check"]})
    given = notebook(markdown("# Read"), check, nbformat.v4.new_code_cell("kept = 1"))
    page = reading_copy(given, "00_read", set())
    assert "secret" not in page
    assert "kept" in page
    assert len(given.cells) == 3


def test_answers_stand_inside_of_what_a_click_opens():
    questions = [
        f"**Question.** {n}?\n\n1. a\n2. b\n\n<details><summary>Answer</summary>\n\n**{n}.** Since "
        f"$x_{n}$ is *right*.\n\n</details>\n\nBetween."
        for n in (1, 2)
    ]
    page = reading_copy(notebook(markdown("\n\n".join(questions))), "00_read", set())
    hidden = re.findall(r"(?s)<details><summary>Answer</summary>(.*?)</details>", page)
    assert [re.search(r"<strong>(\d)\.</strong>", text)[1] for text in hidden] == ["1", "2"]
    assert all("<em>right</em>" in text and "<math" in text for text in hidden)
    assert not any("Between" in text or "Question" in text for text in hidden)
    assert page.count("<details") == page.count("</details>") == 2


def test_a_clip_shows_a_still_and_plays_on_a_click():
    data = clip(3)
    tag = f'<img src="data:image/webp;base64,{data}" alt="A noisy clip.">'
    page = reading_copy(notebook(shows(tag)), "00_read", set())
    (details,) = re.findall(r'(?s)<details class="clip">.*?</details>', page)
    tags = re.findall(r"<img [^>]*>", details)
    still, moving = [re.search(r'base64,([^"]+)"', tag)[1] for tag in tags]
    assert all('alt="A noisy clip."' in tag for tag in tags)
    assert details.index("<summary>") < details.index(still) < details.index("</summary>")
    assert moving == data
    with Image.open(io.BytesIO(base64.b64decode(still))) as image:
        assert (getattr(image, "n_frames", 1), image.size) == (1, (16, 16))


def test_still_images_and_controls_stay_as_they_are():
    data = clip(1)
    tag = f'<img src="data:image/webp;base64,{data}" alt="A still.">'
    page = reading_copy(notebook(shows(tag + "<video autoplay loop></video>")), "00_read", set())
    assert '<details class="clip">' not in page
    assert page.count(data) == 1
    assert "<video controls loop" in page
    assert "autoplay" not in page
