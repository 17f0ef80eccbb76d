"""Geometry of the report's figures: they encode the ledger directly, so they are drawn here, not by a chart library."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from banbury.model.evaluation import Evaluation, ImageMap, Node

WIDTH = 1000.0
_ROW_HEIGHT = 16.0
_ROW_GAP = 2.0


class Box(Struct, frozen=True, kw_only=True):
    """One rectangle of an image's map. Coordinates are in the figure's own units."""

    x: float
    y: float
    width: float
    height: float
    fate: str
    title: str
    group: int
    target: int


class MapFigure(Struct, frozen=True, kw_only=True):
    """An image drawn as rows of equal length in bytes, first byte top left."""

    boxes: list[Box]
    width: float
    height: float
    row_bytes: int
    labels: list[tuple[float, str]]


def draw_map(image: ImageMap, evaluation: Evaluation) -> MapFigure:
    """The map of one image, each stretch coloured by its fate; neighbours too thin to see are drawn as one."""
    rows = 1 if image.size < 4096 else min(40, max(8, image.size // (96 << 10)))
    row_bytes = -(-image.size // rows)
    boxes: list[Box] = []
    groups: dict[int, int] = {}
    for start, end, fate, name, node in _visible(image, row_bytes):
        top = _top_container(evaluation.nodes, node)
        group = groups.setdefault(top, len(groups))
        title = f"{start:#x}–{end:#x} · {end - start} bytes · {fate} · {name}"
        boxes += _boxes(start, end, row_bytes, fate, title, group, node)
    labels = [(_y(r) + _ROW_HEIGHT - 4, f"{r * row_bytes:#010x}") for r in range(0, rows, max(1, rows // 10))]
    return MapFigure(boxes=boxes, width=WIDTH, height=_y(rows), row_bytes=row_bytes, labels=labels)


def _y(row: int) -> float:
    return row * (_ROW_HEIGHT + _ROW_GAP)


def _boxes(start: int, end: int, row_bytes: int, fate: str, title: str, group: int, node: int) -> Iterator[Box]:
    while start < end:
        row = start // row_bytes
        stop = min(end, (row + 1) * row_bytes)
        scale = WIDTH / row_bytes
        yield Box(
            x=round((start - row * row_bytes) * scale, 2),
            y=_y(row),
            width=round(max((stop - start) * scale, 0.4), 2),
            height=_ROW_HEIGHT,
            fate=fate,
            title=title,
            group=group % 4,
            target=node,
        )
        start = stop


def _visible(image: ImageMap, row_bytes: int) -> Iterator[tuple[int, int, str, str, int]]:
    """Stretches wide enough to see; runs of thinner ones are merged by fate, and unread ones never disappear."""
    least = max(row_bytes // 700, 1)
    pending: list[tuple[int, int, str, str, int]] = []
    for stretch in image.stretches:
        item = (stretch.start, stretch.end, str(stretch.fate), stretch.name, stretch.node)
        if stretch.end - stretch.start >= least or stretch.fate == "unread":
            yield from _fold(pending)
            pending = []
            yield item
        else:
            pending.append(item)
            if pending[-1][1] - pending[0][0] >= least:
                yield from _fold(pending)
                pending = []
    yield from _fold(pending)


def _fold(items: list[tuple[int, int, str, str, int]]) -> Iterator[tuple[int, int, str, str, int]]:
    if not items:
        return
    if len(items) == 1:
        yield items[0]
        return
    widest = max(items, key=lambda i: i[1] - i[0])
    yield items[0][0], items[-1][1], widest[2], f"{len(items)} short stretches, the longest {widest[3]}", widest[4]


def _top_container(nodes: list[Node], node: int) -> int:
    """The child of the artefact through which a node is reached (or the artefact itself)."""
    while nodes[node].depth > 1:
        node = nodes[node].parent
    return node


class Part(Struct, frozen=True, kw_only=True):
    """A stretch of an image as its outline lists it: everything that one direct member or field of it covers."""

    start: int
    end: int
    fate: str
    name: str
    node: int
    opened: int


def outline(image: ImageMap, evaluation: Evaluation) -> list[Part]:
    """The image in a few rows: neighbouring stretches that belong to one direct member of the image are one part."""
    parts: list[Part] = []
    for stretch in image.stretches:
        top = _top_container(evaluation.nodes, stretch.node)
        inside = top != image.node
        name = evaluation.nodes[top].name if inside else stretch.name
        fate = "container" if inside and evaluation.nodes[top].format else str(stretch.fate)
        opened = stretch.end - stretch.start if str(stretch.fate) == "opened" else 0
        last = parts[-1] if parts else None
        if last is not None and (last.node, last.name, last.fate) == (top, name, fate):
            parts[-1] = Part(
                start=last.start, end=stretch.end, fate=fate, name=name, node=top, opened=last.opened + opened
            )
        else:
            parts.append(Part(start=stretch.start, end=stretch.end, fate=fate, name=name, node=top, opened=opened))
    return parts
