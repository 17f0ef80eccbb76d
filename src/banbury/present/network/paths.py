"""The ways of a vendor to data, drawn: columns of boxes from it to classes of data, before and after precautions.

One picture holds the shortest paths of one operator's gravest claims. The picture of afterwards keeps every box of the
one before in its place; what can no longer be reached is drawn pale, so that the eye sees what was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec
from markupsafe import Markup

from banbury.decide.exposure.record import CLASSES, Claim, Picture
from banbury.present.network.svg import admitted
from banbury.present.text import clip

#: Claims in one picture, and operators with a picture of their own.
CLAIMS: Final = 9
OPERATORS: Final = 6
_WIDE, _HIGH, _GAP, _BETWEEN = 168, 30, 96, 14
_LABEL: Final = 24
#: The column of the classes of data, behind all others.
_LAST: Final = 1000
_INK, _SOFT, _PALE, _BAD, _DATA = "#1a1f25", "#5a6672", "#c9d0d7", "#b3361f", "#2f6f9f"


class Node(msgspec.Struct, frozen=True):
    """A box: its column from the vendor, its name, and whether it is a class of data."""

    column: int
    name: str
    data: bool


class Edge(msgspec.Struct, frozen=True):
    """An arrow between two boxes; ``attack``: it needs a weakness in what it reaches."""

    source: Node
    target: Node
    kind: str
    attack: bool


class Drawn(msgspec.Struct, frozen=True):
    """One operator's pictures. ``gone``: how many of its claims drawn before are cut afterwards."""

    operator: str
    before: Markup
    after: Markup | None
    claims: int
    gone: int


def pictures(before: Picture, after: Picture | None) -> list[Drawn]:
    """The gravest claims of each operator as pictures, before and (where there is one) after."""
    operators = list(dict.fromkeys(claim.operator for claim in before.claims))[:OPERATORS]
    return [_operator(operator, before, after) for operator in operators]


def _operator(operator: str, before: Picture, after: Picture | None) -> Drawn:
    chosen = _grave([c for c in before.claims if c.operator == operator])
    edges = _edges(chosen)
    if after is None:
        return Drawn(operator, _draw(edges, []), None, len(chosen), 0)
    ids = {claim.id for claim in chosen}
    left = [claim for claim in after.claims if claim.id in ids]
    return Drawn(operator, _draw(edges, []), _draw(_edges(left), edges), len(chosen), len(chosen) - len(left))


def _grave(claims: Sequence[Claim]) -> list[Claim]:
    """The first claims (the gravest stand first), one of each class of data and function before a second."""
    seen: set[tuple[str, str]] = set()
    first: list[Claim] = []
    second: list[Claim] = []
    for claim in claims:
        (second if (claim.function, claim.data) in seen else first).append(claim)
        seen.add((claim.function, claim.data))
    return (first + second)[:CLAIMS]


def _edges(claims: Sequence[Claim]) -> list[Edge]:
    found: dict[tuple[Node, Node, str], Edge] = {}
    for claim in claims:
        at = Node(0, claim.path[0].source, data=False) if claim.path else None
        for column, step in enumerate(claim.path, 1):
            data = step.kind == "holds"
            to = Node(_LAST if data else column, CLASSES.get(step.target, step.target), data)
            if at is not None:
                found.setdefault((at, to, step.kind), Edge(at, to, step.kind, step.attack))
            at = to
    return list(found.values())


def _places(edges: Sequence[Edge]) -> dict[Node, tuple[float, float]]:
    """Where each box stands: its column, and down it in the order of first use."""
    columns: dict[int, list[Node]] = {}
    for edge in edges:
        for node in (edge.source, edge.target):
            stack = columns.setdefault(node.column, [])
            if node not in stack:
                stack.append(node)
    tall = max((len(nodes) for nodes in columns.values()), default=0) * (_HIGH + _BETWEEN)
    order = {column: number for number, column in enumerate(sorted(columns))}
    places = {}
    for column, nodes in columns.items():
        top = (tall - len(nodes) * (_HIGH + _BETWEEN)) / 2 + 22
        for row, node in enumerate(nodes):
            places[node] = (4.0 + order[column] * (_WIDE + _GAP), top + row * (_HIGH + _BETWEEN))
    return places


def _draw(edges: Sequence[Edge], background: Sequence[Edge]) -> Markup:
    """The picture: ``edges`` in full, what only ``background`` has in pale."""
    places = _places(background or edges)
    if not places:
        return Markup("")
    extra = {node: place for node, place in _places(edges).items() if node not in places}
    lowest = max(y for _, y in places.values()) + _HIGH + _BETWEEN
    for number, node in enumerate(extra):
        places[node] = (extra[node][0], lowest + number * (_HIGH + _BETWEEN))
    lit = {node for edge in edges for node in (edge.source, edge.target)}
    width = max(x for x, _ in places.values()) + _WIDE + 4
    height = max(y for _, y in places.values()) + _HIGH + 8
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" role="img">']
    keys = {(e.source, e.target, e.kind) for e in edges}
    named: set[tuple[Node, str]] = set()
    for edge in [*edges, *(e for e in background if (e.source, e.target, e.kind) not in keys)]:
        name = edge.kind != "holds" and (edge.source, edge.kind) not in named
        named.add((edge.source, edge.kind))
        parts.append(_arrow(edge, places, pale=(edge.source, edge.target, edge.kind) not in keys, name=name))
    parts += [_box(node, place, pale=bool(background) and node not in lit) for node, place in places.items()]
    return admitted("".join([*parts, "</svg>"]))


def _arrow(edge: Edge, places: dict[Node, tuple[float, float]], *, pale: bool, name: bool) -> str:
    x, y = places[edge.source]
    to_x, to_y = places[edge.target]
    x, y, to_y = x + _WIDE, y + _HIGH / 2, to_y + _HIGH / 2
    colour = _PALE if pale else _BAD if edge.attack else _SOFT
    middle = (x + to_x) / 2
    dash = ' stroke-dasharray="4 3"' if edge.attack or pale else ""
    line = f'<path d="M{x:.1f},{y:.1f}C{middle:.1f},{y:.1f} {middle:.1f},{to_y:.1f} {to_x - 5:.1f},{to_y:.1f}" '
    line += f'fill="none" stroke="{colour}" stroke-width="1.4"{dash}/>'
    head = f"{to_x:.1f},{to_y:.1f} {to_x - 6:.1f},{to_y - 3.5:.1f} {to_x - 6:.1f},{to_y + 3.5:.1f}"
    line += f'<polygon points="{head}" fill="{colour}"/>'
    if not name:
        return line
    said = escape(edge.kind.replace("-", " "))
    return f'{line}<text x="{x + 3:.1f}" y="{y - 5:.1f}" font-size="9.5" fill="{colour}">{said}</text>'


def _box(node: Node, place: tuple[float, float], *, pale: bool) -> str:
    x, y = place
    edge = _PALE if pale else _BAD if node.column == 0 else _DATA if node.data else _INK
    fill = "#ffffff" if pale else "#fbe9e5" if node.column == 0 else "#e3edf4" if node.data else "#f4f6f8"
    ink = _PALE if pale else _INK
    name = escape(clip(node.name, _LABEL) if len(node.name) <= _LABEL else f"{clip(node.name[: _LABEL - 1])}…")
    return (
        f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{_WIDE}" height="{_HIGH}" rx="4" fill="{fill}" stroke="{edge}"/>'
        f'<text x="{x + _WIDE / 2:.1f}" y="{y + _HIGH / 2 + 4:.1f}" font-size="11.5" text-anchor="middle" fill="{ink}">'
        f"<title>{escape(clip(node.name))}</title>{name}</text></g>"
    )
