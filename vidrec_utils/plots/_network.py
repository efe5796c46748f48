"""The diagram of a network: its modules as blocks, and which block feeds which, from one run.

The network is run once on an example. Forward hooks tell which module is at work, and a mode of
torch sees every function that is called on a tensor, so that additions and concatenations between
modules are seen, too. Nothing is read from names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from vidrec_utils.plots._blocks import Block, Diagram, Group

RESHAPES = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "transpose",
        "permute",
        "contiguous",
        "to",
        "type",
        "float",
        "squeeze",
        "unsqueeze",
        "detach",
        "clone",
        "expand",
        "expand_as",
        "movedim",
        "swapaxes",
        "chunk",
        "split",
        "unbind",
        "tensor_split",
        "t",
        "view_as",
        "moveaxis",
        "__get__",
    ]
)
"""Functions that only rearrange values: they are no block of a drawing."""

ACTIVATIONS = {
    "relu": "ReLU",
    "relu_": "ReLU",
    "relu6": "ReLU6",
    "gelu": "GELU",
    "silu": "SiLU",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "hardtanh": "hardtanh",
    "hardswish": "hard swish",
    "leaky_relu": "leaky ReLU",
}
SILENT = frozenset({"dropout", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout"})
SYMBOLS = {
    **dict.fromkeys(("add", "add_", "__add__", "__iadd__", "__radd__"), "+"),
    **dict.fromkeys(("mul", "mul_", "__mul__", "__imul__", "__rmul__"), "×"),
    **dict.fromkeys(("sub", "__sub__", "rsub", "__rsub__"), "-"),
    **dict.fromkeys(("cat", "concat", "concatenate"), "concat"),
    **dict.fromkeys(("matmul", "bmm", "__matmul__"), "matmul"),
    **dict.fromkeys(("scaled_dot_product_attention", "multi_head_attention_forward"), "attention"),
}
NORMS = {"BatchNorm": "BN", "LayerNorm": "LN", "GroupNorm": "GN", "InstanceNorm": "IN"}


@dataclass
class Call:
    """One call of a module: a module that is called twice has two."""

    module: nn.Module | None
    name: str
    above: Call | None
    children: list[Call] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    inputs: list[torch.Size] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)  # steps that made them

    def chain(self) -> list[Call]:
        """Calls from the outermost module (without the network itself) down to this one."""
        return [] if self.above is None else [*self.above.chain(), self]

    def inside(self, other: Call) -> bool:
        """Whether this call is another one, or happened while it ran."""
        return self is other or (self.above is not None and self.above.inside(other))


@dataclass
class Step:
    """One function that was called on tensors, while a module was at work."""

    number: int
    function: str
    detail: str
    call: Call
    sources: list[int]
    shapes: list[torch.Size]


def tensors(value: object) -> Iterator[torch.Tensor]:
    """Go through the tensors in nested lists, tuples, mappings and slices."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def numbers_in(value: object) -> Iterator[float]:
    """Go through the numbers among the positional arguments of a function."""
    positional = value[0] if isinstance(value, list) and value else ()
    yield from (v for v in positional if isinstance(v, int | float) and not isinstance(v, bool))


class Recorder(TorchFunctionMode):
    """What a network does with tensors: each function, its module, and where its inputs came from.

    Parameters
    ----------
    network : nn.Module
        The network that will run.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.root = self.call = Call(network, "", None)
        self.steps: list[Step] = []
        self.maker: dict[int, int] = {}  # by id of a tensor
        self.alive: list[torch.Tensor] = []  # else an id could be given to another tensor
        named = [*network.named_parameters(), *network.named_buffers()]
        self.constants = {id(tensor): name.rpartition(".")[2] for name, tensor in named}

    def record(self, function: str, detail: str, inputs: object, outputs: object) -> None:
        """Note a function whose inputs depend on the example."""
        incoming, outgoing = [*tensors(inputs)], [*tensors(outputs)]
        known = [self.maker[id(t)] for t in incoming if id(t) in self.maker]
        names = [self.constants[id(t)] for t in incoming if id(t) in self.constants]
        self.alive += outgoing
        if not known:  # a function of parameters alone: what it makes keeps their name
            if names:
                self.constants.update({id(t): names[0] for t in outgoing})
            return
        if not outgoing:
            return
        sources = [*dict.fromkeys(known)]
        if len(sources) == 1 and function in SYMBOLS and not detail:
            numbers = [f"{v:g}" for v in numbers_in(inputs)]
            detail = (names or numbers or [""])[0]
        self.add(function, detail, sources, outgoing)

    def add(self, function: str, detail: str, sources: list[int], outputs: list) -> None:
        """Append a step, and remember that it made these tensors."""
        shapes = [t.shape for t in outputs]
        step = Step(len(self.steps), function, detail, self.call, sources, shapes)
        self.steps.append(step)
        self.call.steps.append(step)
        self.alive += outputs
        self.maker.update({id(t): step.number for t in outputs})

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", str(func))
        detail = index_text(args[1]) if name == "__getitem__" else ""
        outputs = args[0] if name == "__setitem__" else result
        self.record(name, detail, [args, kwargs], outputs)
        return result

    def enter(self, module: nn.Module, name: str, inputs: object) -> None:
        """Note that a module begins to work."""
        call = Call(module, name, self.call, inputs=[t.shape for t in tensors(inputs)])
        self.call.children.append(call)
        self.call = call

    def leave(self, inputs: object, outputs: object) -> None:
        """Note that it has ended; if it was compiled, it becomes a step as a whole."""
        made = [*tensors(outputs)]
        if made and any(id(t) not in self.maker for t in made):
            self.record("module", "", inputs, outputs)
        self.call.outputs = [*dict.fromkeys(self.maker[id(t)] for t in made if id(t) in self.maker)]
        self.call = self.call.above or self.call


def index_text(index: object) -> str:
    """Write an index as in code, `[:, :, ::4]`."""

    def one(item: object) -> str:
        if isinstance(item, slice):
            ends = [("" if v is None else str(v)) for v in (item.start, item.stop, item.step)]
            return ":".join(ends[:2] if item.step is None else ends)
        if item is None or isinstance(item, int):
            return str(item)
        return "…"

    items = index if isinstance(index, tuple) else (index,)
    return f"[{', '.join(one(item) for item in items)}]"


def run(network: nn.Module, example: object) -> Recorder:
    """Run a network once, in evaluation mode and without gradients, and record it.

    The training flags of its modules are restored, and no hook stays behind.
    """
    if not any(True for _ in tensors(example)):
        raise ValueError(f"The example holds no tensor: {type(example).__name__}; pass a tensor.")
    recorder = Recorder(network)
    training = {module: module.training for module in network.modules()}
    hooks = []
    for name, module in network.named_modules():
        if name:
            hooks.append(
                module.register_forward_pre_hook(
                    lambda module, args, kwargs, name=name: recorder.enter(
                        module, name, [args, kwargs]
                    ),
                    with_kwargs=True,
                )
            )
            hooks.append(
                module.register_forward_hook(
                    lambda module, args, kwargs, output: recorder.leave([args, kwargs], output),
                    with_kwargs=True,
                )
            )
    for number, tensor in enumerate(tensors(example)):
        recorder.add("input", str(number), [], [tensor])
    inputs = len(recorder.steps)
    args = example if isinstance(example, tuple) else (example,)
    try:
        network.eval()
        with torch.no_grad(), recorder:
            output = network(**example) if isinstance(example, dict) else network(*args)
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in training.items():
            module.training = flag
    recorder.root.outputs = [
        recorder.maker[id(t)] for t in tensors(output) if id(t) in recorder.maker
    ]
    if len(recorder.steps) == inputs:
        raise ValueError(
            f"{type(network).__name__} calls no function of torch on the example; "
            "pass a tensor, a tuple of arguments, a list, or a dict of named arguments."
        )
    return recorder


def layer_text(module: nn.Module) -> str:
    """Describe a layer: its class, kernel, stride and groups."""
    text = type(module).__name__
    for key, abbreviation in NORMS.items():
        if key in text:
            return abbreviation
    if not isinstance(module, nn.Module) or not hasattr(module, "kernel_size"):
        return text
    axes = int(match[1]) if (match := re.search(r"(\d)d$", text)) else 1

    def each(value: object) -> tuple:
        return tuple(value) if isinstance(value, tuple | list) else (value,) * axes

    kernel, stride = each(module.kernel_size), each(getattr(module, "stride", None) or 1)
    text += " " + "×".join(map(str, kernel))
    if set(stride) != {1}:
        text += ", /" + (str(stride[0]) if len(set(stride)) == 1 else "×".join(map(str, stride)))
    groups = getattr(module, "groups", 1)
    if groups > 1:
        text += ", depthwise" if groups == module.in_channels else f", {groups} groups"
    return text


def addition(call: Call) -> str | None:
    """Name what a leaf adds to the block before it: a norm or an activation, "" for nothing."""
    module = call.module
    kind = type(module).__name__
    if isinstance(module, nn.Identity) or "Dropout" in kind or "DropPath" in kind:
        return ""
    if "StochasticDepth" in kind:
        return ""
    if any(key in kind for key in NORMS):
        return layer_text(module)
    activation = type(module).__module__ == "torch.nn.modules.activation"
    return kind if activation and "Attention" not in kind else None


def step_addition(step: Step) -> str | None:
    """As `addition`, for a function that is called between modules."""
    if step.function in ACTIVATIONS:
        return ACTIVATIONS[step.function]
    return "" if step.function in SILENT else None


def weights(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def is_wrapper(call: Call) -> bool:
    """Whether a module holds one layer with its norm and activation, and nothing else."""
    if not call.children:
        return False
    leaves = [c for c in descendants(call) if not c.children]
    layers = [leaf for leaf in leaves if addition(leaf) is None]
    between = [s for c in [call, *descendants(call)] if c.children for s in c.steps]
    own = all(step_addition(s) is not None or s.function in RESHAPES for s in between)
    return len(layers) == 1 and own


def descendants(call: Call) -> Iterator[Call]:
    """Go through all calls that happened inside a call."""
    for child in call.children:
        yield child
        yield from descendants(child)


class Reading:
    """A recorded run as a diagram, with modules opened to a depth."""

    def __init__(self, recorder: Recorder, depth: int) -> None:
        self.recorder, self.depth = recorder, depth
        self.batch = recorder.steps[0].shapes[0][:1]
        self.used = {source for step in recorder.steps for source in step.sources}
        self.wrappers: set[int] = set()
        self.open_: dict[int, bool] = {id(recorder.root): True}

    def is_open(self, call: Call) -> bool:
        """Whether the insides of a call are drawn."""
        if id(call) not in self.open_:
            level = len(call.chain())
            if is_wrapper(call):
                self.wrappers.add(id(call))
                self.open_[id(call)] = True
            else:
                several = len(call.outputs) > 1 or len(self.entering(call)) > 1
                self.open_[id(call)] = bool(call.children) and (level < self.depth or several)
        return self.open_[id(call)]

    def entering(self, call: Call) -> set[int]:
        """Steps outside a call from which its own steps take their inputs."""
        steps = [s for c in [call, *descendants(call)] for s in c.steps]
        return {
            source
            for step in steps
            for source in step.sources
            if not self.recorder.steps[source].call.inside(call)
        }

    def owner(self, step: Step) -> Call | Step | None:
        """Return the call or step that is a block for a step; None if it only rearranges."""
        for call in step.call.chain():
            if not self.is_open(call):
                return call
        plain = step.function in RESHAPES
        if step.function == "__getitem__":
            plain = not re.search("::|,", step.detail)  # one of several outputs
        return None if plain else step

    def group(self, call: Call) -> Call:
        """Return the innermost opened module that is no mere wrapper of one layer."""
        while id(call) in self.wrappers and call.above is not None:
            call = call.above
        return call

    def name(self, call: Call) -> str:
        """Name a block, by its wrapper if it has one."""
        while call.above is not None and id(call.above) in self.wrappers:
            call = call.above
        return call.name

    def block(self, owner: Call | Step) -> Block:
        """Make the block of a closed module or of a function."""
        if isinstance(owner, Call):
            assert owner.module is not None
            extra = addition(owner) if not owner.children else None
            above = owner.above or owner
            kind = "module" if owner.children else kind_of(type(owner.module).__name__)
            text = layer_text(owner.module)
            return Block(
                text, self.name(owner), kind, self.group(above), weights(owner.module), extra
            )
        if owner.function == "input":
            return Block("input", "", "input", self.recorder.root)
        text = SYMBOLS.get(owner.function, owner.function.strip("_"))
        if owner.function == "__getitem__":
            text = owner.detail
        elif len(owner.sources) < 2 and owner.detail:
            text = f"{text} {owner.detail}"
        elif owner.function in ACTIVATIONS:
            text = ACTIVATIONS[owner.function]
        kind = "merge" if len(owner.sources) > 1 and text in {"+", "×", "-", "concat"} else "step"
        return Block(text, "", kind, self.group(owner.call), 0, step_addition(owner))

    def diagram(self) -> Diagram:
        """Draw the blocks together: edges, additions to blocks, repeated blocks."""
        blocks: dict[int, Block] = {}
        ends: dict[int, list[Block]] = {}  # blocks that a step's output comes from
        for step in self.recorder.steps:
            owner = self.owner(step)
            if owner is None:
                ends[step.number] = list(
                    dict.fromkeys(b for source in step.sources for b in ends[source])
                )
                continue
            block = blocks.get(id(owner))
            if block is None:
                block = blocks[id(owner)] = self.block(owner)
            for source in step.sources:
                for before in ends[source]:
                    if before is not block and before not in block.sources:
                        block.sources.append(before)
            ends[step.number] = [block]
            block.shapes = self.shapes_of(owner, step)
        diagram = Diagram(list(blocks.values()), self.groups(list(blocks.values())))
        diagram.attach()
        diagram.fold()
        return diagram

    def shapes_of(self, owner: Call | Step, step: Step) -> list[tuple[int, ...]]:
        """Shapes that a block puts out, without the batch; the batch stays if it has changed."""
        steps = [step]
        if isinstance(owner, Call) and owner.outputs:
            steps = [self.recorder.steps[n] for n in owner.outputs if n in self.used] or [
                self.recorder.steps[owner.outputs[0]]
            ]
        shapes = [s for step in steps for s in step.shapes[:1]]
        return [tuple(s[1:] if s[:1] == self.batch else s) for s in shapes]

    def groups(self, blocks: list[Block]) -> list[Group]:
        """List the opened modules, outermost first, each with its blocks."""
        groups: dict[int, Group] = {}
        for block in blocks:
            for call in block.call.chain():
                if id(call) not in groups:
                    shapes = str([tuple(s) for s in call.inputs])
                    made = str([self.recorder.steps[n].shapes for n in call.outputs])
                    groups[id(call)] = Group(
                        call.name,
                        type(call.module).__name__,
                        f"{call.module!r} {shapes} {made}",
                        groups.get(id(call.above)),
                        len(call.chain()),
                    )
                groups[id(call)].blocks.append(block)
            block.group = groups.get(id(block.call))
        return sorted(groups.values(), key=lambda group: group.level)


def kind_of(name: str) -> str:
    """Sort a layer by its class: what its colour says."""
    if "Attention" in name:
        return "attention"
    if "Conv" in name or name in {"Linear", "Bilinear", "Embedding"}:
        return "layer"
    return "pool" if "Pool" in name else "step"


def read(network: nn.Module, example: object, depth: int | None, most: int) -> Diagram:
    """Return the diagram of a network at a depth, or at the deepest with at most so many blocks."""
    recorder = run(network, example)
    if depth is not None:
        return Reading(recorder, depth).diagram()
    best = Reading(recorder, 1).diagram()
    for level in range(2, 7):
        deeper = Reading(recorder, level).diagram()
        if len(deeper.blocks) > most:
            break
        best = deeper
    return best
