"""Blocks of a diagram, who feeds whom, and how repeated ones are folded. No torch, no drawing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Block:
    """One box of a diagram.

    Parameters
    ----------
    text : str
        What it is: a layer with its kernel, a module's class, or a function.
    name : str
        Its name in the network.
    kind : str
        `input`, `layer`, `pool`, `attention`, `module`, `merge` or `step`: its colour and form.
    call : object
        The opened module that holds it.
    parameters : int
        Number of parameters of one of its repetitions.
    addition : str, optional
        What it adds to the block before it, if it may be drawn as part of that.
    """

    text: str
    name: str
    kind: str
    call: Any
    parameters: int = 0
    addition: str | None = None
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    sources: list[Block] = field(default_factory=list)
    repeat: int = 1
    group: Group | None = None


@dataclass(eq=False)
class Group:
    """An opened module: a frame around its blocks."""

    name: str
    kind: str
    signature: str
    above: Group | None
    level: int
    blocks: list[Block] = field(default_factory=list)
    repeat: int = 1

    def exits(self, diagram: Diagram) -> list[Block]:
        """List the blocks whose output leaves the group."""
        return [
            b
            for b in self.blocks
            if any(f not in self.blocks for f in diagram.followers(b)) or not diagram.followers(b)
        ]

    def entries(self) -> list[Block]:
        """List the blocks outside whose output enters the group."""
        return list(
            dict.fromkeys(s for b in self.blocks for s in b.sources if s not in self.blocks)
        )


@dataclass(eq=False)
class Diagram:
    """Blocks in order of execution, and the opened modules that hold them."""

    blocks: list[Block]
    groups: list[Group]

    def followers(self, block: Block) -> list[Block]:
        """List the blocks that a block feeds."""
        return [other for other in self.blocks if block in other.sources]

    def edges(self) -> Iterator[tuple[Block, Block]]:
        """Go through the pairs of blocks of which the first feeds the second."""
        return ((source, block) for block in self.blocks for source in block.sources)

    def remove(self, block: Block, instead: Block) -> None:
        """Take a block out; what it fed is fed by another one."""
        for other in self.blocks:
            if block in other.sources:
                kept = [instead if s is block else s for s in other.sources]
                other.sources = list(dict.fromkeys(s for s in kept if s is not other))
        self.blocks = [b for b in self.blocks if b is not block]
        for group in self.groups:
            group.blocks = [b for b in group.blocks if b is not block]

    def attach(self) -> None:
        """Draw norms and activations as part of the block before them."""
        for block in list(self.blocks):
            if block.addition is None or len(block.sources) != 1:
                continue
            (before,) = block.sources
            alone = self.followers(before) == [block] and before.kind != "input"
            if block.addition == "" and not block.parameters:  # dropout: nothing to draw
                self.remove(block, before)
            elif alone and before.group is block.group:
                before.text += f", {block.addition}"
                before.parameters += block.parameters
                self.remove(block, before)

    def fold(self) -> None:
        """Draw a module or a block that is repeated in a row once, with its number."""
        for group in list(self.groups):
            if group in self.groups:
                while following := self._same_after(group):
                    group.repeat += 1
                    (exit_,) = group.exits(self)
                    for block in list(following.blocks):
                        self.remove(block, exit_)
                    self.groups = [g for g in self.groups if g.blocks]
        for block in list(self.blocks):
            if block not in self.blocks or block.kind in {"merge", "input"}:
                continue
            while len(after := self.followers(block)) == 1 and _same(block, after[0]):
                block.repeat += 1
                self.remove(after[0], block)

    def _same_after(self, group: Group) -> Group | None:
        """Return the next module if it is the same as this one and fed by it alone."""
        exits = group.exits(self)
        if len(exits) != 1:
            return None
        for other in self.groups:
            if (
                other is not group
                and other.signature == group.signature
                and other.above is group.above
                and other.entries() == exits
                and all(
                    f in other.blocks for f in self.followers(exits[0]) if f not in group.blocks
                )
                and len(other.exits(self)) == 1
            ):
                return other
        return None


def _same(block: Block, after: Block) -> bool:
    """Whether two blocks in a row are the same layer or module."""
    return (
        after.sources == [block]
        and after.kind != "step"
        and (block.text, block.parameters, block.shapes, block.group)
        == (after.text, after.parameters, after.shapes, after.group)
    )
