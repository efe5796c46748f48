"""A network drawn from its own modules and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from vidrec_utils import arguments
from vidrec_utils.plots._blocks import Block, Diagram, Group
from vidrec_utils.plots._layout import Layout, arrange, framed, frames_of
from vidrec_utils.plots._style import PALETTE, safe_text

if TYPE_CHECKING:
    from torch import nn

WIDTH = 9.0
"""Width of a notebook's column in inches."""

ROW, BOX, SIDE, HEAD = 0.74, 0.40, 0.25, 0.26
COLOURS = {
    "layer": PALETTE[0],
    "module": PALETTE[5],
    "pool": PALETTE[1],
    "attention": PALETTE[4],
    "merge": PALETTE[2],
    "step": "#888888",
    "input": "#888888",
}


def number_text(count: float) -> str:
    """Write a number of parameters in short: 9.5 k, 2.36 M."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= limit:
            return f"{count / limit:.3g}{unit}"
    return f"{count:g}"


def shape_text(shapes: Sequence[tuple[int, ...]]) -> str:
    """Write shapes without the batch: `64×56×56`."""
    return " / ".join("×".join(map(str, shape)) or "scalar" for shape in dict.fromkeys(shapes))


def architecture(
    network: nn.Module,
    example: object,
    depth: int | None = None,
    *,
    title: str = "",
    dark: bool = False,
    most: int = 30,
) -> Figure:
    """Draw a network as its modules are really called: blocks, branches, shapes, parameters.

    The network runs once on the example, in evaluation mode and without gradients. Hooks see its
    modules, and a mode of torch sees the functions between them, so residual connections,
    concatenations and lateral connections are found from the data flow. Norms and activations are
    drawn as part of the layer before them. Modules that are repeated in a row with the same
    settings and shapes are drawn once, with their number. A module with several inputs or
    outputs is always opened, because its pathways are what it is about. Chains that work on clips
    at different frame rates are drawn side by side, each with its frames and channels.

    Parameters
    ----------
    network : nn.Module
        Any module; neither its mode nor its weights change.
    example : tensor, tuple, list or dict
        What it is called with: a tensor or a list as its only argument, a tuple as its arguments,
        a dict as its named arguments. The first axis of the first tensor is the batch.
    depth : int, optional
        How many levels of modules are drawn: at 1 each child of the network is one block. If not
        given, the deepest level that needs at most `most` blocks.
    title : str
        The figure's message.
    dark : bool
        Draw light lines on a dark ground.
    most : int
        Blocks that a drawing may have where `depth` is not given.

    Returns
    -------
    matplotlib.figure.Figure
        One axes, at most 9 inches wide unless many branches lie side by side. Under each block
        stands the shape of its output without the batch (with it, where the network changed it):
        channels first, then frames, height and width where there are such axes.

    Raises
    ------
    ValueError
        If `depth` or `most` is below 1, the example holds no tensor, or the network calls no
        function of torch on it.

    Notes
    -----
    What a network does outside torch (NumPy, plain numbers) is not seen, and compiled modules are
    one block. The graph is that of this run: a branch that is not taken is not drawn.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2))
    >>> figure = architecture(network, torch.zeros(1, 3, 33, 33))
    >>> texts = [text.get_text() for text in figure.axes[0].texts]
    >>> [text for text in texts if "2d" in text]
    ['Conv2d 3×3, /2, ReLU', 'MaxPool2d 2×2, /2']
    >>> "8×16×16" in texts, "8×8×8" in texts
    (True, True)
    """
    from vidrec_utils.plots._network import read  # torch is only loaded when it is needed

    arguments.at_least(1, most=most, **({} if depth is None else {"depth": depth}))
    diagram = read(network, example, depth, most)
    return draw(diagram, title, dark)


class Canvas:
    """The axes in inches, from the top left, and where blocks stand on them."""

    def __init__(self, diagram: Diagram, title: str, dark: bool) -> None:
        self.diagram = diagram
        self.ground, self.ink = ("#1b1d21", "#e8e8e8") if dark else ("#ffffff", "#1a1a1a")
        self.faint = "#9aa0a6" if dark else "#6b6b6b"
        self.layout: Layout = arrange(diagram, fits=4, tallest=8)
        total = sum(self.layout.lanes)
        self.pitch = min(
            2.4, max(1.42, (WIDTH - 0.3) / total - SIDE * len(self.layout.lanes) / total)
        )
        self.box = self.pitch - 0.22
        self.size = 7.5 if self.pitch > 1.6 else 6.5
        self.offsets = []
        x = 0.15
        for count in self.layout.lanes:
            self.offsets.append(x)
            x += count * self.pitch + SIDE
        self.width = x + 0.05
        self.top = 0.3 + (0.3 if title else 0) + (0.42 if self.layout.pathways else 0)
        self.frames = [
            (group, column, blocks)
            for group in framed(diagram)
            for column in range(len(self.layout.lanes))
            if (blocks := [b for b in group.blocks if self.layout.column[b] == column])
            and self._is_apart(blocks)
        ]
        heads = {(c, min(self.layout.row[b] for b in blocks)) for _, c, blocks in self.frames}
        self.extra = {
            block: HEAD * sum(c == column and r <= self.layout.row[block] for c, r in heads)
            for block, column in self.layout.column.items()
        }
        lowest = max(self.layout.row[b] * ROW + self.extra[b] for b in diagram.blocks)
        self.height = self.top + lowest + BOX + 0.36
        figure = Figure(figsize=(self.width, self.height), facecolor=self.ground, layout="none")
        self.axes: Axes = figure.add_axes((0, 0, 1, 1), facecolor=self.ground)
        self.axes.set(xlim=(0, self.width), ylim=(self.height, 0), xticks=[], yticks=[])
        self.axes.grid(False)
        self.axes.spines[:].set_visible(False)
        self.figure = figure
        if title:
            self.text(0.15, 0.2, title, size=11, ha="left", colour=self.ink)

    def at(self, block: Block) -> tuple[float, float]:
        """Centre of a block."""
        layout = self.layout
        x = self.offsets[layout.column[block]] + (layout.lane[block] + 0.5) * self.pitch
        return x, self.top + layout.row[block] * ROW + self.extra[block] + BOX / 2

    def _is_apart(self, blocks: list[Block]) -> bool:
        """Whether nothing else stands between the blocks of a column."""
        layout = self.layout
        rows, lanes = [layout.row[b] for b in blocks], [layout.lane[b] for b in blocks]
        return not any(
            b not in blocks
            and layout.column[b] == layout.column[blocks[0]]
            and min(rows) <= layout.row[b] <= max(rows)
            and min(lanes) <= layout.lane[b] <= max(lanes)
            for b in self.diagram.blocks
        )

    def text(
        self, x: float, y: float, text: str, size: float, colour: str, **style: object
    ) -> None:
        """Write a line."""
        settings = {"ha": "center", "va": "center", **style}
        self.axes.text(x, y, safe_text(text), fontsize=size, color=colour, **settings)

    def line(self, points: list[tuple[float, float]], colour: str, arrow: bool = True) -> None:
        """Draw a connection through points, with an arrowhead at its end."""
        self.axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.1, zorder=1)
        if arrow:
            self.axes.annotate(
                "",
                points[-1],
                points[-2],
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": colour,
                    "linewidth": 1.1,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "mutation_scale": 8,
                },
                zorder=1,
            )


def tint(colour: str, ground: str, share: float) -> tuple[float, ...]:
    """Mix a colour into the ground."""
    pairs = zip(to_rgb(colour), to_rgb(ground), strict=True)
    return tuple(share * a + (1 - share) * b for a, b in pairs)


def draw(diagram: Diagram, title: str = "", dark: bool = False) -> Figure:
    """Draw a diagram."""
    canvas = Canvas(diagram, title, dark)
    for group, _, blocks in canvas.frames:
        _frame(canvas, group, blocks)
    for source, block in diagram.edges():
        _edge(canvas, source, block)
    for block in diagram.blocks:
        _block(canvas, block)
    for chain in canvas.layout.pathways:
        _pathway(canvas, chain)
    return canvas.figure


def _block(canvas: Canvas, block: Block) -> None:
    x, y = canvas.at(block)
    colour = COLOURS[block.kind]
    slim = block.kind in {"merge", "step", "input"} and not block.parameters
    half, tall = (canvas.box / 2 * (0.62 if slim else 1)), BOX * (0.62 if slim else 1)
    bottom = y + tall / 2
    canvas.axes.add_patch(
        FancyBboxPatch(
            (x - half, y - tall / 2),
            2 * half,
            tall,
            boxstyle=f"round,pad=0,rounding_size={tall / 2 if slim else 0.06}",
            facecolor=tint(colour, canvas.ground, 0.3 if block.kind != "module" else 0.42),
            edgecolor=colour if block.kind != "step" else canvas.faint,
            linewidth=1.0,
            zorder=2,
        )
    )
    fits = int(2 * half / (0.0081 * canvas.size))
    text = block.text if len(block.text) <= fits else _shorter(block.text, fits)
    times = f"  × {block.repeat}" if block.repeat > 1 else ""
    below = []
    if block.name:
        below.append(_last_names(block.name, fits - 10 - len(times)))
    if block.parameters:
        unit = " each" + times if times else "" if block.name else " parameters"
        below.append(number_text(block.parameters) + unit)
    elif times:
        below.append(times.strip())
    lift = 0.085 if below else 0
    canvas.text(x, y - lift, text, canvas.size, canvas.ink, zorder=3)
    if below:
        line = " · ".join(below)
        canvas.text(x, y + lift, line, canvas.size - 1, canvas.ink, zorder=3, alpha=0.8)
    if block.shapes:
        canvas.text(
            x - 0.06,
            bottom + 0.09,
            shape_text(block.shapes),
            canvas.size - 0.5,
            canvas.ink,
            ha="right",
            zorder=3,
        )


def _shorter(text: str, width: int) -> str:
    """Abbreviate class names until a text fits, then cut it."""
    for old, new in (("Adaptive", "Ad."), ("Conv2d", "Conv"), ("Conv3d", "Conv"), (", ", " ")):
        if len(text) > width:
            text = text.replace(old, new)
    return safe_text(text, width).replace(r"\$", "$")


def _last_names(name: str, width: int) -> str:
    """Keep as many of the last names of a path as fit."""
    pieces = name.split(".")
    while len(pieces) > 1 and len(".".join(pieces)) > max(width, 6):
        pieces = pieces[1:]
    text, width = ".".join(pieces), max(width, 12)
    return text if len(text) <= width else f"…{text[1 - width :]}"  # the end tells them apart


def _frame(canvas: Canvas, group: Group, blocks: list[Block]) -> None:
    """Frame the blocks of an opened module that stand in one column, under its name."""
    xs, ys = zip(*(canvas.at(b) for b in blocks), strict=True)
    left, right = min(xs) - canvas.box / 2 - 0.07, max(xs) + canvas.box / 2 + 0.13
    top, bottom = min(ys) - BOX / 2 - HEAD + 0.03, max(ys) + BOX / 2 + 0.2
    ground = tint(PALETTE[5], canvas.ground, 0.1)
    canvas.axes.add_patch(
        FancyBboxPatch(
            (left, top),
            right - left,
            bottom - top,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=ground,
            edgecolor=canvas.faint,
            linewidth=0.8,
            linestyle=(0, (4, 3)),
            zorder=0,
        )
    )
    times = f" × {group.repeat}" if group.repeat > 1 else ""
    more = "" if blocks[0] is group.blocks[0] else " (continued)"
    canvas.text(
        left + 0.08,
        top + 0.1,
        _fitting(f"{group.name.rpartition('.')[2]} {group.kind}", right - left, canvas.size)
        + times
        + more,
        canvas.size,
        canvas.ink if times else canvas.faint,
        ha="left",
        zorder=3,
        bbox={"facecolor": ground, "edgecolor": "none", "pad": 1.0},
        fontweight="bold" if times else "normal",
    )


def _fitting(text: str, width: float, size: float) -> str:
    """Cut a text to a width in inches."""
    return safe_text(text, int(width / (0.0081 * size)) - 6).replace(r"\$", "$")


def _height(block: Block) -> float:
    slim = block.kind in {"merge", "step", "input"} and not block.parameters
    return BOX * (0.62 if slim else 1)


def _edge(canvas: Canvas, source: Block, block: Block) -> None:
    layout = canvas.layout
    (x0, y0), (x1, y1) = canvas.at(source), canvas.at(block)
    start, end = y0 + _height(source) / 2, y1 - _height(block) / 2
    colour = canvas.faint
    if layout.column[source] != layout.column[block]:
        side = canvas.offsets[layout.column[block]] - SIDE / 2
        low, high = start + 0.27, canvas.top - 0.12
        canvas.line(
            [(x0, start), (x0, low), (side, low), (side, high), (x1, high), (x1, end)], colour
        )
        return

    def blocked(lane: float) -> bool:
        return any(
            layout.column[b] == layout.column[source]
            and layout.lane[b] == lane
            and layout.row[source] < layout.row[b] < layout.row[block]
            for b in canvas.diagram.blocks
        )

    if layout.lane[source] == layout.lane[block]:
        if not blocked(layout.lane[source]):
            canvas.line([(x0, start), (x1, end)], colour)
            return
        side = x0 + canvas.box / 2 + 0.07
        wide = canvas.box / 2 * (0.62 if _height(block) < BOX else 1)
        canvas.line(
            [(x0, start + 0.2), (side, start + 0.2), (side, y1), (x1 + wide, y1)],
            PALETTE[3],
        )
        return
    if not blocked(layout.lane[block]):  # sideways first, then down
        turn = y0 + BOX / 2 + 0.18 + 0.03 * (layout.lane[source] % 3)
        canvas.line([(x0, start), (x0, turn), (x1, turn), (x1, end)], colour)
    else:
        turn = end - 0.1 - 0.03 * (layout.lane[block] % 3)
        canvas.line([(x0, start), (x0, turn), (x1, turn), (x1, end)], colour)


def _pathway(canvas: Canvas, chain: list[Block]) -> None:
    """Write the frames and channels of a pathway over its lane."""
    x, _ = canvas.at(chain[0])
    shapes = [s for b in chain for s in b.shapes if len(s) == 4 and b.parameters]
    channels = [s[0] for s in shapes]
    y = canvas.top - 0.34
    canvas.text(x, y, f"pathway of {frames_of(chain)} frames", canvas.size + 1, canvas.ink)
    widths = f"{min(channels)} to {max(channels)} channels"
    canvas.text(x, y + 0.16, widths, canvas.size, canvas.ink)
