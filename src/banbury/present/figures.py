"""The map of an image's bytes: geometry only. It encodes the ledger directly, so it is drawn here, by no chart library.

A row is a power of two of bytes, so that the boundaries of erase blocks and partitions fall where the eye sees them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from msgspec import Struct

from banbury.model.evaluation import Evaluation, Fate, ImageMap, Node

WIDTH = 1000.0
#: Hues that tell neighbouring parts of an image apart.
HUES = 6
_ROWS = 40
_LEAST_ROW = 32
_BOXES = 3000


class Box(Struct, frozen=True, kw_only=True):
    """One rectangle of an image's map. Coordinates are in the figure's own units. ``target`` is a node."""

    x: float
    y: float
    width: float
    height: float
    fate: str
    hue: int
    title: str
    target: int


class Label(Struct, frozen=True, kw_only=True):
    """A text on the map, at its baseline."""

    x: float
    y: float
    text: str
    fate: str = ""


class MapFigure(Struct, frozen=True, kw_only=True):
    """An image drawn as rows of equal length in bytes, first byte top left."""

    boxes: list[Box]
    width: float
    height: float
    row_bytes: int
    offsets: list[Label]
    names: list[Label]


class Part(Struct, frozen=True, kw_only=True):
    """A stretch of an image as its outline lists it: everything that one direct member or field of it covers.

    ``fate`` is that of all its bytes, or ``container``; ``opened`` and ``unread`` count bytes.
    """

    start: int
    end: int
    fate: str
    name: str
    node: int
    hue: int
    opened: int
    unread: int


class _Piece(Struct, frozen=True):
    """A run of bytes that is drawn as one."""

    start: int
    end: int
    fate: str
    name: str
    node: int


def draw_map(
    image: ImageMap, evaluation: Evaluation, *, rows: int = 0, pitch: float = 13.0, limit: int = _BOXES
) -> MapFigure:
    """The map of one image, each stretch coloured by its fate; neighbours too thin to see are drawn as one, as unread
    if any of them is. ``rows`` 0 chooses their number; ``pitch`` is their distance in the figure's units; at
    most about ``limit`` rectangles are drawn."""
    row_bytes = -(-image.size // rows) if rows else row_length(image.size)
    row_bytes = max(row_bytes, 1)
    count = max(1, -(-image.size // row_bytes))
    height = pitch - 1.5 if count > 1 else pitch
    tops = _tops(image, evaluation.nodes)
    boxes: list[Box] = []
    pieces = _visible(image, row_bytes, limit)
    for piece in pieces:
        hue = tops[piece.node][1]
        title = f"{piece.start:#x}–{piece.end:#x}, {piece.end - piece.start} bytes, {piece.fate}: {piece.name}"
        boxes += _boxes(piece, row_bytes, pitch, height, hue, title)
    step = max(1, count // 10)
    offsets = [
        Label(x=0, y=round(r * pitch + height - 2.5, 1), text=f"{r * row_bytes:#x}") for r in range(0, count, step)
    ]
    names = _names(outline(image, evaluation), pieces, row_bytes, pitch, height)
    return MapFigure(
        boxes=boxes, width=WIDTH, height=round(count * pitch, 1), row_bytes=row_bytes, offsets=offsets, names=names
    )


def row_length(size: int) -> int:
    """Bytes to a row: the least power of two that gives at most :data:`_ROWS` rows."""
    length = _LEAST_ROW
    while length * _ROWS < size:
        length *= 2
    return length


def _boxes(piece: _Piece, row_bytes: int, pitch: float, height: float, hue: int, title: str) -> Iterator[Box]:
    scale = WIDTH / row_bytes
    start = piece.start
    while start < piece.end:
        row = start // row_bytes
        stop = min(piece.end, (row + 1) * row_bytes)
        # A stretch narrower than the eye sees is drawn wider, but never past the row's end.
        width = min(max((stop - start) * scale, 1.2), WIDTH)
        yield Box(
            x=round(min((start - row * row_bytes) * scale, WIDTH - width), 2),
            y=round(row * pitch, 1),
            width=round(width, 2),
            height=height,
            fate=piece.fate,
            hue=hue,
            title=title,
            target=piece.node,
        )
        start = stop


def _visible(image: ImageMap, row_bytes: int, limit: int) -> list[_Piece]:
    """Stretches wide enough to see, the thinner ones folded, so that there are never too many to draw."""
    least = max(row_bytes // 600, 1)
    pieces = list(_folded(image, least))
    while len(pieces) > limit:
        least *= 2
        pieces = list(_folded(image, least))
    return pieces


def _folded(image: ImageMap, least: int) -> Iterator[_Piece]:
    pending: list[_Piece] = []
    for s in image.stretches:
        piece = _Piece(s.start, s.end, str(s.fate), s.name, s.node)
        if s.end - s.start >= least:
            yield from _fold(pending)
            pending = []
            yield piece
            continue
        pending.append(piece)
        if piece.end - pending[0].start >= least:
            yield from _fold(pending)
            pending = []
    yield from _fold(pending)


def _fold(pieces: list[_Piece]) -> Iterator[_Piece]:
    if len(pieces) <= 1:
        yield from pieces
        return
    unread = [p for p in pieces if p.fate == "unread"]
    widest = max(unread or pieces, key=lambda p: p.end - p.start)
    lost = f", {sum(p.end - p.start for p in unread)} bytes of them unread" if unread else ""
    name = f"{len(pieces)} short stretches{lost}, the longest {widest.name}"
    yield _Piece(pieces[0].start, pieces[-1].end, widest.fate, name, widest.node)


def top_member(nodes: list[Node], node: int) -> int:
    """The child of the artefact through which a node is reached (or the artefact itself)."""
    while nodes[node].depth > 1:
        node = nodes[node].parent
    return node


def _tops(image: ImageMap, nodes: list[Node]) -> dict[int, tuple[int, int]]:
    """For every owner of a stretch, the direct member of the image that it is reached through, and that one's hue."""
    hues: dict[int, int] = {}
    found: dict[int, tuple[int, int]] = {}
    for stretch in image.stretches:
        if stretch.node not in found:
            top = top_member(nodes, stretch.node)
            found[stretch.node] = top, hues.setdefault(top, len(hues)) % HUES
    return found


def _names(parts: list[Part], pieces: list[_Piece], row_bytes: int, pitch: float, height: float) -> list[Label]:
    """Names of the parts that are large enough to hold them, in their first row that has room; each with the fate of
    the bytes that it is written over."""
    starts = [p.start for p in pieces]
    out = []
    for part in parts:
        row = part.start // row_bytes
        x = (part.start - row * row_bytes) * WIDTH / row_bytes
        end = min(part.end, (row + 1) * row_bytes) - row * row_bytes
        room = end * WIDTH / row_bytes - x
        if room < 120 and part.end >= (row + 2) * row_bytes:
            row, x, room = row + 1, 0.0, WIDTH
        name = f"{part.name}, {part.fate}" if part.fate != "container" else part.name
        if room > 6.2 * len(name) + 12 and len(name) <= 60:
            under = int(row * row_bytes + (x + 20) * row_bytes / WIDTH)
            fate = pieces[max(bisect_right(starts, under) - 1, 0)].fate
            out.append(Label(x=round(x + 5, 1), y=round(row * pitch + height - 2.5, 1), text=name, fate=fate))
    return out[:60]


def outline(image: ImageMap, evaluation: Evaluation) -> list[Part]:
    """The image in a few rows: neighbouring stretches that belong to one direct member of the image are one part."""
    runs: list[tuple[tuple[int, str, str, int], int, int, int, int]] = []
    tops = _tops(image, evaluation.nodes)
    for stretch in image.stretches:
        top, _ = tops[stretch.node]
        inside = top != image.node
        name = evaluation.nodes[top].name if inside else stretch.name
        fate = "container" if inside and evaluation.nodes[top].format else str(stretch.fate)
        size = stretch.end - stretch.start
        opened = size if stretch.fate is Fate.OPENED else 0
        unread = size if stretch.fate is Fate.UNREAD else 0
        key = (top, name, fate, tops[stretch.node][1])
        if runs and runs[-1][0] == key:
            _, start, _, before, lost = runs[-1]
            runs[-1] = (key, start, stretch.end, before + opened, lost + unread)
        else:
            runs.append((key, stretch.start, stretch.end, opened, unread))
    return [
        Part(start=start, end=end, fate=fate, name=name, node=top, hue=hue, opened=opened, unread=unread)
        for (top, name, fate, hue), start, end, opened, unread in runs
    ]
