"""The flattened device tree's structure block as plain data.

Source: Devicetree Specification 0.4, chapter 5 (Flattened Devicetree (DTB) Format).
"""

from __future__ import annotations

import struct

from msgspec import Struct

from banbury.formats.contract import clean_name
from banbury.formats.view import View
from banbury.model.errors import Malformed

MAGIC = b"\xd0\x0d\xfe\xed"
HEADER = struct.Struct(">10I")
_BEGIN, _END, _PROP, _NOP, _STOP = 1, 2, 3, 4, 9
_DEPTH = 64
_NODES = 200_000
_NAME = 256


class Header(Struct, frozen=True, array_like=True):
    """The header's fields, in their order; offsets and sizes in bytes from the tree's start."""

    magic: int
    total: int
    structure: int
    strings: int
    reserved: int
    version: int
    compatible: int
    cpu: int
    strings_size: int
    structure_size: int


class Node(Struct):
    """A node: its path's parts, and of each property where its value starts and how long it is."""

    path: tuple[str, ...]
    props: dict[str, tuple[int, int]]
    children: list[Node]

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else ""

    def child(self, name: str) -> Node | None:
        return next((c for c in self.children if c.name == name), None)


class Tree(Struct):
    """The root, how many nodes there are, and where the structure block ends."""

    root: Node
    nodes: int
    end: int


def read_header(view: View, start: int) -> Header:
    """The header at ``start``. ``Malformed`` where its fields contradict each other."""
    header = Header(*view.unpack(HEADER, start))
    size = header.structure_size or header.total - header.structure
    if not (
        1 <= header.compatible <= header.version <= 64
        and header.total >= 40
        and 28 <= header.reserved <= header.total
        and header.structure % 4 == 0
        and 28 <= header.structure <= header.structure + size <= header.total
        and 28 <= header.strings <= header.strings + header.strings_size <= header.total
    ):
        raise Malformed("device tree: offsets outside the tree", offset=start)
    return header


def parse(view: View, header: Header) -> Tree:
    """The tree whose first byte is the view's first. ``Malformed`` where a token is none or nodes do not match."""
    at = header.structure
    end = min(len(view), header.structure + header.structure_size if header.structure_size else header.total)
    root: Node | None = None
    stack: list[Node] = []
    count = 0
    names: dict[int, str] = {}
    while True:
        token = view.u32(at, big=True)
        at += 4
        if at > end:
            raise Malformed("device tree: no end token", offset=at)
        if token == _BEGIN:
            name, at = _node_name(view, at, end)
            count += 1
            if len(stack) >= _DEPTH or count > _NODES or (root is not None and not stack):
                raise Malformed("device tree: too deep, too many nodes, or two roots", offset=at)
            node = Node((*stack[-1].path, name) if stack else (), {}, [])
            if stack:
                stack[-1].children.append(node)
            else:
                root = node
            stack.append(node)
        elif token == _PROP and stack:
            length, offset = view.u32(at, big=True), view.u32(at + 4, big=True)
            if at + 8 + length > end:
                raise Malformed("device tree: a property passes the end", offset=at)
            stack[-1].props.setdefault(_string(view, header, offset, names), (at + 8, length))
            at += 8 + (length + 3) // 4 * 4
        elif token == _END and stack:
            stack.pop()
        elif token == _STOP and not stack and root is not None:
            return Tree(root, count, at)
        elif token != _NOP:
            raise Malformed(f"device tree: token {token:#x} out of place", offset=at - 4)


def _node_name(view: View, at: int, end: int) -> tuple[str, int]:
    stop = view.find(b"\0", at, min(end, at + _NAME))
    if stop < 0:
        raise Malformed("device tree: a node's name has no end", offset=at)
    return clean_name(view.take(at, stop - at))[0], (stop + 4) // 4 * 4


def _string(view: View, header: Header, offset: int, names: dict[int, str]) -> str:
    name = names.get(offset)
    if name is None:
        if offset >= (header.strings_size or header.total):
            raise Malformed("device tree: a property's name lies outside the strings", offset=offset)
        name = clean_name(view.cstring(header.strings + offset, _NAME))[0]
        names[offset] = name
    return name


def text(view: View, node: Node | None, name: str) -> str:
    """A string property, several strings joined by a comma, ``""`` where it is absent. At most 400 characters."""
    if node is None or name not in node.props:
        return ""
    start, length = node.props[name]
    raw = view.take(start, min(length, 400)).rstrip(b"\0")
    shown = ", ".join(p.decode("utf-8", "backslashreplace") for p in raw.split(b"\0"))
    return "".join(c if c.isprintable() else "?" for c in shown)


def number(view: View, node: Node, name: str) -> int | None:
    """A property of one cell (4 bytes) or two."""
    start, length = node.props.get(name, (0, 0))
    if length == 4:
        return view.u32(start, big=True)
    return view.u64(start, big=True) if length == 8 else None
