"""A squarified treemap of the tree (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000): geometry only.

A container's inside is drawn over the container's area, whatever it unpacks to: areas compare within one frame.
"""

from __future__ import annotations

from msgspec import Struct

from banbury.present.tree import CATEGORIES, Branch, category

WIDTH, HEIGHT = 1000.0, 420.0
_HEAD = 13.0
_LIMIT = 700


class Tile(Struct, frozen=True, kw_only=True):
    """One rectangle: a frame with a name on top (``frame``), or a coloured area. ``target`` is a node or -1."""

    x: float
    y: float
    width: float
    height: float
    frame: bool
    category: str
    label: str
    branch: Branch
    target: int


_Rect = tuple[float, float, float, float]


def treemap(roots: list[Branch]) -> list[Tile]:
    """Tiles from the outside in; small branches are drawn whole, in the colour of most of their bytes."""
    tiles: list[Tile] = []
    todo: list[tuple[Branch, _Rect, int]] = []
    top: _Rect = (0.0, 0.0, WIDTH, HEIGHT)
    todo += [(b, r, 0) for b, r in _squarify(roots, top)]
    at = 0
    while at < len(todo):  # breadth first, so that the limit cuts the smallest
        branch, rect, depth = todo[at]
        at += 1
        x, y, width, height = rect
        inner = (x + 1.5, y + _HEAD, width - 3, height - _HEAD - 1.5)
        inside = _inside(branch)
        opens = bool(inside) and width > 46 and height > 34 and depth < 12 and len(todo) < _LIMIT
        tiles.append(_tile(branch, rect, frame=opens))
        if opens:
            todo += [(b, r, depth + 1) for b, r in _squarify(inside, inner) if r[2] >= 1.5 and r[3] >= 1.5]
    return tiles


def _inside(branch: Branch) -> list[Branch]:
    """What is drawn in a frame: the branches below and, where they are less than the whole, the rest of its bytes."""
    inside = [b for b in branch.below.values() if b.size > 0]
    rest = branch.size - sum(b.size for b in inside)
    if inside and rest > 0:
        inside.append(Branch(name="(rest)", node=branch.node, kind=branch.kind, size=rest))
    return inside


def _tile(branch: Branch, rect: _Rect, *, frame: bool) -> Tile:
    x, y, width, height = (round(v, 1) for v in rect)
    fits = int((width - 6) / 5.6)
    label = branch.name if height >= 11 and len(branch.name) <= fits else ""
    if not label and height >= 11 and fits >= 6:
        label = branch.name[: fits - 1] + "…"
    return Tile(
        x=x,
        y=y,
        width=width,
        height=height,
        frame=frame,
        category=_category(branch),
        label=label,
        branch=branch,
        target=branch.node.id if branch.node else -1,
    )


def _category(branch: Branch) -> str:
    """That of most of its bytes. The rest of a container is no file: it is its padding, headers and gaps, or a
    kernel's own code."""
    if branch.weight:
        return CATEGORIES[max(range(len(CATEGORIES)), key=lambda i: branch.weight[i])]
    return "kernel" if CATEGORIES[category(branch)] == "kernel" else "rest"


def _squarify(branches: list[Branch], rect: _Rect) -> list[tuple[Branch, _Rect]]:
    """Divide ``rect`` among branches by size, rows as square as can be."""
    items = sorted((b for b in branches if b.size > 0), key=lambda b: (-b.size, b.name))[:_LIMIT]
    total = sum(b.size for b in items)
    x, y, width, height = rect
    if not items or width <= 0 or height <= 0:
        return []
    scale = width * height / total
    areas = [b.size * scale for b in items]
    out: list[tuple[Branch, _Rect]] = []
    start = 0
    while start < len(items) and width > 0.01 and height > 0.01:
        side = min(width, height)
        end = _row_end(areas, start, side)
        row = sum(areas[start:end])
        thick = row / side
        along = 0.0
        for i in range(start, end):
            length = areas[i] / thick if thick else 0.0
            if width >= height:
                out.append((items[i], (x, y + along, thick, length)))
            else:
                out.append((items[i], (x + along, y, length, thick)))
            along += length
        if width >= height:
            x, width = x + thick, width - thick
        else:
            y, height = y + thick, height - thick
        start = end
    return out


def _row_end(areas: list[float], start: int, side: float) -> int:
    """How far a row goes: until one more tile would make its worst one less square."""
    total = areas[start]
    worst = _ratio(areas[start], areas[start], total, side)
    end = start + 1
    while end < len(areas):
        total += areas[end]
        ratio = _ratio(areas[start], areas[end], total, side)
        if ratio > worst:
            break
        worst = ratio
        end += 1
    return end


def _ratio(largest: float, smallest: float, total: float, side: float) -> float:
    if smallest <= 0 or total <= 0:
        return float("inf")
    square = side * side
    return max(square * largest / (total * total), total * total / (square * smallest))
