"""A notebook starts fast: what it imports does not load packages that it may never need."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidrec_utils.notebooks.reading import read_node

REPO = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPO / "notebooks").glob("[0-9][0-9]_*.ipynb"))
HEAVY = (
    "torch._dynamo",  # the compiler, which torchvision loads: as much as torch itself
    "torchvision",
    "sympy",
    "transformers",
    "sentence_transformers",
    "pytorchvideo",
    "openvino",
    "onnxruntime",
    "captum",
    "ray",
)
WITH_TORCHVISION = ["torch._dynamo", "torchvision", "sympy"]
"""What `import torchvision` loads."""
COMPARED = {
    "02_text_encoders": [*WITH_TORCHVISION, "transformers"],  # where a GPT is put together by hand
    "03_image_encoders": WITH_TORCHVISION,
    "04_video_encoders": WITH_TORCHVISION,
    "11_interpretability": ["captum"],
}
"""What a notebook may load because it compares with that library itself."""
LOADED = f"""
import sys
print(*(name for name in {HEAVY} if name in sys.modules))
"""


def imports(path: Path) -> str:
    """The import statements of a notebook."""
    statements = [
        statement
        for cell in read_node(path).cells
        if cell.cell_type == "code"
        for statement in ast.parse(cell.source).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    return "\n".join(map(ast.unparse, statements))


def loaded(program: str) -> list[str]:
    """Heavy packages that are loaded after a program has run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program + LOADED],
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_of_a_notebook_load_nothing_heavy(path: Path) -> None:
    program = imports(path)
    assert "vidrec_utils" in program
    assert loaded(program) == COMPARED.get(path.stem, [])


def test_the_check_sees_what_is_loaded() -> None:
    assert loaded("import torchvision.ops") == WITH_TORCHVISION
