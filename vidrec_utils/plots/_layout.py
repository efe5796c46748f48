"""Positions of the blocks of a diagram: rows by order of flow, lanes for branches and pathways."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypeAlias

from vidrec_utils.plots._blocks import Block, Diagram, Group

Chain: TypeAlias = list[Block]


@dataclass
class Layout:
    """Where each block is drawn.

    Parameters
    ----------
    row, lane : dict
        Row from the top, and lane from the left, of each block within its column.
    column : dict
        Column of each block; a long network goes on at the top of the next one.
    lanes : list of float
        Number of lanes of each column.
    rows : int
        Rows of the longest column.
    pathways : list of lists of blocks
        Chains that run side by side at different frame rates.
    """

    row: dict[Block, float]
    lane: dict[Block, float]
    column: dict[Block, int]
    lanes: list[float]
    rows: float
    pathways: list[Chain]


def ranks(diagram: Diagram) -> dict[Block, int]:
    """Row of each block: below all that feed it, and as close as it can be to what it feeds."""
    first: dict[Block, int] = {}
    for block in diagram.blocks:
        first[block] = max((first[s] + 1 for s in block.sources), default=0)
    bottom = max(first.values())
    last: dict[Block, int] = {}
    for block in reversed(diagram.blocks):
        after = [last[f] for f in diagram.followers(block)]
        last[block] = min(after) - 1 if after else (bottom if block.sources else 0)
    return last


def _beside(diagram: Diagram, block: Block) -> bool:
    """Whether something that shares a source with a block runs past it."""
    above = {block}
    for other in reversed(diagram.blocks):
        if any(f in above for f in diagram.followers(other)):
            above.add(other)
    below = {block}
    for other in diagram.blocks:
        if any(s in below for s in other.sources):
            below.add(other)
    return any(b not in above | below and set(b.sources) & above for b in diagram.blocks)


def chains(diagram: Diagram) -> list[Chain]:
    """Divide a diagram into chains, each drawn straight down in one lane.

    A block with several inputs goes on from the deepest one; but a concatenation beside which
    another pathway runs goes on from its first input, as the other is a lateral connection. A block
    with several followers goes on to the one with the longest way before it joins another chain.
    """
    depth: dict[Block, int] = {}
    for block in diagram.blocks:
        depth[block] = max((depth[s] + 1 for s in block.sources), default=0)

    def main_source(block: Block) -> Block | None:
        if block.text.startswith("concat") and _beside(diagram, block):
            return block.sources[0]
        return max(block.sources, key=lambda s: depth[s], default=None)

    main = {block: main_source(block) for block in diagram.blocks}
    way: dict[Block, int] = {}
    after: dict[Block, Block | None] = {}
    for block in reversed(diagram.blocks):
        own = [f for f in diagram.followers(block) if main[f] is block]
        following = max(own, key=lambda f: way[f]) if own else None
        after[block], way[block] = following, 1 + (way[following] if following else 0)
    result, seen = [], set()
    for block in diagram.blocks:
        if block in seen:
            continue
        chain: Chain = []
        member: Block | None = block
        while member is not None:
            chain.append(member)
            seen.add(member)
            member = after[member]
        result.append(chain)
    return result


def frames_of(chain: Chain) -> int:
    """Number of frames at which most blocks of a chain work; 0 if it sees no clips."""
    counts = Counter(s[1] for b in chain for s in b.shapes if len(s) == 4 and b.parameters)
    return counts.most_common(1)[0][0] if counts else 0


def lanes(diagram: Diagram, rank: dict[Block, int]) -> tuple[dict[Block, float], list[Chain]]:
    """Lane of each block, and the pathways: chains that work on clips at different frame rates.

    Pathways stand side by side, fewest frames first, with a lane for lateral connections between.
    """
    ordered = sorted(chains(diagram), key=len, reverse=True)
    home = {block: chain for chain in ordered for block in chain}

    def before(chain: Chain) -> list[Chain]:
        return [home[s] for s in chain[0].sources]

    def after(chain: Chain) -> list[Chain]:
        return [home[f] for f in diagram.followers(chain[-1])]

    lateral = [
        chain
        for chain in ordered
        if any(
            b is not a and rank[b[-1]] > rank[chain[-1]] + 1 and len(b) > len(chain)
            for b in before(chain)
            for a in after(chain)
        )
    ]
    pathways = [c for c in ordered if len(c) > 2 and frames_of(c) and c not in lateral]
    pathways.sort(key=frames_of)
    if len({frames_of(c) for c in pathways}) < 2:
        pathways = []
    gap = 2 if lateral and pathways else 1
    taken: dict[float, list[tuple[int, int]]] = {}
    lane: dict[Block, float] = {}

    def put(chain: Chain, position: float) -> None:
        # the lane is kept free for the connections at its ends, too
        top = min([rank[chain[0]], *(rank[s] + 1 for s in chain[0].sources)])
        ends = (rank[f] - 1 for f in diagram.followers(chain[-1]))
        bottom = max([rank[chain[-1]], *ends])
        while any(a <= bottom and top <= b for a, b in taken.get(position, [])):
            position += 1
        taken.setdefault(position, []).append((top, bottom))
        lane.update(dict.fromkeys(chain, position))

    for number, chain in enumerate(pathways or ordered[:1]):
        put(chain, gap * number)
    for chain in [c for c in ordered if c[0] not in lane and c not in lateral]:
        put(chain, max((lane[b[0]] + 1 for b in before(chain) if b[0] in lane), default=0))
    for chain in [c for c in lateral if c[0] not in lane]:
        ends = [lane[c[0]] for c in (*before(chain), *after(chain)) if c[0] in lane]
        put(chain, sum(ends) / len(ends) if ends else 0)
    return lane, pathways


def arrange(diagram: Diagram, fits: int, tallest: int) -> Layout:
    """Place the blocks in rows, lanes and columns.

    Parameters
    ----------
    diagram : Diagram
        With at least one block.
    fits : int
        Lanes that fit side by side.
    tallest : int
        Rows from which on a network is continued in another column, where that fits.
    """
    rank = ranks(diagram)
    lane, pathways = lanes(diagram, rank)
    bottom = max(rank.values())
    width = max(lane.values()) + 1
    columns = min(int(fits // width), -(-(bottom + 1) // tallest))
    cuts = _cuts(diagram, rank, bottom, max(1, columns))
    column = {b: sum(rank[b] >= cut for cut in cuts) for b in diagram.blocks}
    starts = [0, *cuts]
    ends = [*cuts, bottom + 1]
    row = {b: float(rank[b] - starts[column[b]]) for b in diagram.blocks}
    count = [1 + max(lane[b] for b in diagram.blocks if column[b] == c) for c in range(len(starts))]
    rows = max(e - s for s, e in zip(starts, ends, strict=True))
    return Layout(row, lane, column, count, rows, pathways)


def _cuts(diagram: Diagram, rank: dict[Block, int], bottom: int, columns: int) -> list[int]:
    """Rows at which a new column begins: only one connection may cross, and no repeated module."""

    def is_free(row: int) -> bool:
        crossing = [s for s, b in diagram.edges() if rank[s] < row <= rank[b]]
        repeated = [[rank[b] for b in g.blocks] for g in diagram.groups if g.repeat > 1]
        return len(crossing) == 1 and not any(min(r) < row <= max(r) for r in repeated)

    free = [row for row in range(1, bottom + 1) if is_free(row)]
    cuts: list[int] = []
    for number in range(1, columns):
        target = number * (bottom + 1) / columns
        options = [row for row in free if not cuts or row > cuts[-1]]
        if options:
            cuts.append(min(options, key=lambda row: abs(row - target)))
    return cuts


def framed(diagram: Diagram) -> list[Group]:
    """List opened modules that get a frame: the innermost, or repeated, with several blocks."""
    above = {g.above for g in diagram.groups if len(g.blocks) > 1 and g.above is not None}
    return [g for g in diagram.groups if len(g.blocks) > 1 and (g not in above or g.repeat > 1)]
