"""Rules on the code of a notebook: what nbval would pass in silence, and what teaches badly."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from vidrec_utils.notebooks.reading import Breach, Cell, Notebook, literal_text, remote_images

AUTOMAGICS = frozenset(
    [
        "cd",
        "cls",
        "clear",
        "ls",
        "ll",
        "pwd",
        "cat",
        "cp",
        "mv",
        "rm",
        "mkdir",
        "who",
        "whos",
        "history",
        "pip",
        "conda",
    ]
)
SKIP_TAGS = frozenset(
    [
        "nbval-skip",
        "nbval-ignore-output",
        "nbval-check-output",
        "nbval-raises-exception",
        "nbval-test-listed",
        "skip-execution",
        "raises-exception",
        "skip",
        "no-execute",
    ]
)
GENERATORS = frozenset(
    [
        "default_rng",
        "Generator",
        "SeedSequence",
        "BitGenerator",
        "PCG64",
        "PCG64DXSM",
        "Philox",
        "SFC64",
        "MT19937",
    ]
)
TORCH_RANDOM = frozenset(
    ["rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"]
)
SENTENCES = re.compile(r"(\.sentence|\.sentences|reporting\.difference|exercises\.solution)$")
"""Functions and methods that return sentences."""
SEEDS = frozenset(["seed", "rng", "generator", "random_state"])


def _calls(notebook: Notebook, pattern: str, message: str) -> Iterator[Breach]:
    """Report all calls of what has a full name of this pattern; `{name}` stands for that name."""
    for cell, _, name in notebook.calls(pattern):
        yield cell.number, message.format(name=name)


def rule_plain_python(notebook: Notebook) -> Iterator[Breach]:
    """Every code cell is plain Python: no magics, no `!`, no `?`."""
    for cell in notebook.code:
        if cell.tree is None:
            magic = re.search(r"(?m)^\s*([%!?].*|.*\w\?+)$", cell.source)
            what = f"a magic or shell command ({magic.group(0).strip()!r})" if magic else "an error"
            yield cell.number, f"not plain Python: {what}"
    assigned = {node.id for _, node in notebook.nodes(ast.Name) if isinstance(node.ctx, ast.Store)}
    for cell, node in notebook.nodes(ast.Expr):
        if isinstance(node.value, ast.Name) and node.value.id in AUTOMAGICS - assigned:
            yield cell.number, f"{node.value.id!r} is a magic command; use Python"
    message = "get_ipython() is a magic under another name; use Python"
    yield from _calls(notebook, r".*get_ipython.*", message)


def rule_prints(notebook: Notebook) -> Iterator[Breach]:
    """Sentences are printed, not bare values; no bare number is a cell's result."""
    for cell, call, _ in notebook.calls("print"):
        spoken = any(
            isinstance(node, ast.Call) and SENTENCES.search(notebook.full_name(node.func))
            for argument in call.args
            for node in ast.walk(argument)
        )
        says = any(re.search(r"[^\W\d_]{2,}", literal_text(arg) or "") for arg in call.args)
        if not says and not spoken:
            yield (
                cell.number,
                "print a sentence that says what the value is: an f-string with words",
            )
    number = r"(np\.\w+\()?[-+]?(\d+\.?\d*|\.\d+|nan)(e[-+]?\d+)?\)?|tensor\([-+\d.e]+\)"
    for cell, output in notebook.outputs:
        text = "".join(output.get("data", {}).get("text/plain", "")).strip()
        if output.get("output_type") == "execute_result" and re.fullmatch(number, text):
            yield cell.number, f"the cell's result is the bare number {text}; print a sentence"


def _broad(notebook: Notebook, kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(notebook.full_name(k) in ("Exception", "BaseException") for k in kinds)


def rule_swallowed(notebook: Notebook) -> Iterator[Breach]:
    """No exception is swallowed."""
    for cell, handler in notebook.nodes(ast.ExceptHandler):
        raises = any(isinstance(node, ast.Raise) for node in ast.walk(handler))
        empty = all(
            isinstance(node, ast.Pass | ast.Continue)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            for node in handler.body
        )
        if handler.type is None or empty or (_broad(notebook, handler.type) and not raises):
            yield (
                cell.number,
                "an exception is swallowed; name its class and say what follows, or let it be",
            )
    yield from _calls(notebook, r"(contextlib\.)?suppress", "suppress() swallows an exception")


def rule_exits(notebook: Notebook) -> Iterator[Breach]:
    """Nothing ends the kernel: nbval would pass over the cells that are left."""
    ends = r"exit|quit|sys\.exit|os\.(_exit|abort|kill)|SystemExit"
    yield from _calls(notebook, ends, "{name}() ends the kernel")
    for cell, node in notebook.nodes(ast.Raise):
        if node.exc is not None and notebook.full_name(node.exc) in ("SystemExit", "exit", "quit"):
            yield cell.number, "raising SystemExit ends the kernel"


def rule_skips(notebook: Notebook) -> Iterator[Breach]:
    """No tag and no comment keeps a cell from being run and judged."""
    for cell in notebook.cells:
        tags = SKIP_TAGS & set(cell.metadata.get("tags", []))
        if tags:
            yield cell.number, f"the tag {', '.join(sorted(tags))} keeps the cell from being tested"
        if cell.is_code and re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source):
            yield cell.number, "a comment keeps nbval from testing the cell"


def foreign_path(text: str) -> bool:
    """Tell whether a string is an absolute path, a home folder, or climbs out of a folder."""
    return bool(
        re.match(r"/[\w.]|~([/\\]|$)|[A-Za-z]:[\\/](?!/)|\\\\\w|file:", text)
        or re.search(r"(^|[\\/])\.\.([\\/]|$)", text)
    )


def _strings(node: ast.AST, inner: bool = False) -> Iterator[tuple[str, bool]]:
    """Go through string literals, telling whether each begins the string that it is part of."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value, not inner
    elif isinstance(node, ast.JoinedStr):
        for index, part in enumerate(node.values):
            yield from _strings(part, inner=index > 0)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def rule_paths(notebook: Notebook) -> Iterator[Breach]:
    """No absolute path, no home folder, no `..`: a notebook runs from any clean clone."""
    for cell in notebook.cells:
        if cell.is_code:
            texts = [
                text if first else f"x{text}"
                for text, first in (_strings(cell.tree) if cell.tree else ())
            ]
        else:
            texts = re.findall(r"\]\(\s*<?([^)\s>]+)", cell.source)
        for text in texts:
            if foreign_path(text):
                yield (
                    cell.number,
                    f"the path {text!r} leaves the course; use `settings` or the library",
                )
    homes = r".*(\.expanduser|Path\.home)"
    yield from _calls(notebook, homes, "a home folder differs on every machine")


def rule_background(notebook: Notebook) -> Iterator[Breach]:
    """No thread, no process: nbval does not see what fails there."""
    kinds = (
        r"(threading|_thread|multiprocessing|subprocess|concurrent\.futures)\..+"
        r"|os\.(system|popen|fork|spawn\w*|exec\w*)|asyncio\.(create_task|create_subprocess\w*)"
    )
    message = "{name}() runs where a failure goes unseen; call a function of vidrec_utils"
    yield from _calls(notebook, kinds, message)


def rule_installs(notebook: Notebook) -> Iterator[Breach]:
    """No installation from a notebook: requirements.txt holds what is needed."""
    for cell in notebook.code:
        imports = any(name.split(".")[0] == "pip" for name in notebook.aliases.values())
        if re.search(r"\b(pip3?|conda|mamba|uv)\s+(pip\s+)?install\b", cell.source) or (
            imports and re.search(r"\bpip\b", cell.source)
        ):
            yield cell.number, "put what is needed into requirements.txt"


def rule_offline(notebook: Notebook) -> Iterator[Breach]:
    """Nothing is fetched: the course runs without a network."""
    kinds = re.compile(
        r"(requests|httpx|urllib\.request|ftplib|http\.client)\..+|.*\b(urlopen|urlretrieve)"
        r"|torch\.hub\..+|.*load_state_dict_from_url|huggingface_hub\..+|datasets\.fetch|.*pooch\..+"
        r"|vidrec_utils\.datasets\.fetch"
    )
    for cell, call, name in notebook.calls():
        weights = [word.value for word in call.keywords if word.arg == "weights"]
        published = any(literal_text(value) in ("published", "DEFAULT") for value in weights)
        if kinds.fullmatch(name) or published:
            yield (cell.number, f"{name}() needs a network; use what is available")
    for cell in notebook.cells:
        texts = [] if cell.is_code else [cell.source]
        for output in cell.outputs:
            texts.append("".join(output.get("data", {}).get("text/html", "")))
        for source in [source for text in texts for source in remote_images(text)]:
            yield cell.number, f"the image {source} needs a network"


def _keywords(call: ast.Call) -> set[str]:
    return {word.arg or "" for word in call.keywords}


def _unseeded(cell: Cell, call: ast.Call, name: str, seeded: set[int]) -> str | None:
    """Say what is random without a seed of its own in a call, or None."""
    package, _, last = name.rpartition(".")
    seeds = SEEDS & _keywords(call)
    if package == "numpy.random":
        if last not in GENERATORS:
            return f"np.random.{last} draws from hidden state; use np.random.default_rng(seed)"
        if last == "default_rng" and not call.args and not call.keywords:
            return "default_rng() without a seed gives other numbers in each run"
    if package == "random" and (last != "Random" or not call.args):
        return f"random.{last} draws from hidden state; use np.random.default_rng(seed)"
    if name in ("torch.seed", "torch.random.seed") or (last == "manual_seed" and not call.args):
        return f"{last}() without a seed gives other numbers in each run"
    if package == "torch" and last in TORCH_RANDOM and not seeds and cell.number not in seeded:
        return f"torch.{last} without generator=; pass one, or call torch.manual_seed in this cell"
    if last == "DataLoader" and not seeds and cell.number not in seeded:
        shuffles = [w.value for w in call.keywords if w.arg == "shuffle"]
        if any(getattr(value, "value", True) for value in shuffles):
            return "a DataLoader that shuffles needs generator=torch.Generator().manual_seed(seed)"
    if last in ("sample", "train_test_split", "shuffle", "resample") and not seeds:
        is_random = package != "" or last != "sample"
        if is_random and not package.startswith(("rng", "generator")):
            return f"{last}() without {' or '.join(sorted(SEEDS))} gives other results in each run"
    return None


def rule_seeds(notebook: Notebook) -> Iterator[Breach]:
    """The seed is passed explicitly to everything random."""
    seeded = {cell.number for cell, _, _ in notebook.calls(r".*\.manual_seed")}
    for cell, call, name in notebook.calls():
        message = _unseeded(cell, call, name, seeded)
        if message:
            yield cell.number, message


def rule_silenced(notebook: Notebook) -> Iterator[Breach]:
    """No blanket silence: a warning is repaired, or named by its message or class."""
    for cell, call, _ in notebook.calls(r"warnings\.(filterwarnings|simplefilter)"):
        action = literal_text(call.args[0]) if call.args else None
        named = len(call.args) > 1 or {"message", "category", "module"} & _keywords(call)
        if action == "ignore" and not named:
            yield cell.number, "all warnings are silenced; repair their cause"
    hiding = r"logging\.disable|contextlib\.redirect_stderr"
    yield from _calls(notebook, hiding, "{name}() hides what a reader should see")
