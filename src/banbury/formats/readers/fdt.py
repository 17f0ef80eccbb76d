"""Flattened device trees, and U-Boot's FIT images, which are device trees that hold kernels, trees and RAM disks.

Source: Devicetree Specification 0.4, chapter 5; Flat Image Tree specification 0.8, chapters 2 and 3 (image nodes, hash
nodes, configurations, external data), also as U-Boot, doc/usage/fit/source_file_format.rst.
"""

from __future__ import annotations

import hashlib

from banbury.formats.contract import Extent, Magic, Reader, Sink, stored_name
from banbury.formats.readers._fdt import MAGIC, Header, Node, Tree, number, parse, read_header, text
from banbury.formats.readers._firmware import check_digest, check_number, crc32, file_name
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_HASHES = ("md5", "sha1", "sha256", "sha384", "sha512")
_BLOCK = 1 << 20
_SHOWN = 64  # configurations and images listed as properties


class Fdt(Reader):
    """A device tree. Where its root has a node ``images`` (a FIT image), each image's data is a member."""

    name = "fdt"
    title = "flattened device tree, FIT image"
    version = 1
    magics = (Magic(MAGIC),)
    references = (
        "Devicetree Specification 0.4, chapter 5",
        "Flat Image Tree specification 0.8",
        "U-Boot, doc/usage/fit/source_file_format.rst",
    )
    limitations = (
        "Only CRC-32, MD5, SHA-1 and SHA-2 hashes are checked, others noted as unsupported. Signatures are only named.",
        "Of a device tree only model, compatible, boot arguments and flash partitions are shown.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        header = read_header(view, start)
        there = len(view) - start
        if view.u32(start + header.structure, big=True) not in (1, 4):
            return None
        if header.structure_size:
            last = header.structure + header.structure_size - 4
            if last + 4 <= there and view.u32(start + last, big=True) != 9:
                return None
        if header.total > there:
            return Extent(there, sure=False)
        end = header.total
        if view.find(b"data-size\0", start + header.strings, start + header.strings + header.strings_size) >= 0:
            tree = view.sub(start, there)
            images = parse(tree, header).root.child("images")
            for node in images.children if images else []:
                span = _external(tree, header, node)
                end = max(end, min(there, sum(span))) if span else end
        return Extent(end)

    def read(self, view: View, sink: Sink) -> None:
        header = read_header(view, 0)
        sink.own(0, 40 if header.version >= 17 else 28, Role.HEADER, "device tree header")
        sink.property("version", str(header.version))
        if header.total > len(view):
            sink.note("truncated", f"{header.total} bytes stated, {len(view)} there")
        sink.own(header.strings, header.strings + header.strings_size, Role.TABLE, "property names")
        _reservations(view, sink, header)
        try:
            tree = parse(view, header)
        except Malformed:
            sink.own(header.structure, header.structure + header.structure_size, Role.UNREAD, "damaged structure block")
            raise
        images = tree.root.child("images")
        data = _fit(view, sink, header, tree, images) if images is not None and images.children else []
        if not data:
            _plain(view, sink, tree)
        position = header.structure
        for start, end in sorted(d for d in data if d[0] < tree.end):
            sink.own(position, start, Role.TABLE, "structure block")
            position = max(position, end)
        sink.own(position, tree.end, Role.TABLE, "structure block")


def _reservations(view: View, sink: Sink, header: Header) -> None:
    """Own the memory reservation block: pairs of 8 bytes up to a pair of zeros."""
    at = header.reserved
    while at + 16 <= min(header.structure, len(view)):
        at += 16
        if not any(view.take(at - 16, 16)):
            break
    sink.own(header.reserved, at, Role.TABLE, "memory reservations")


def _plain(view: View, sink: Sink, tree: Tree) -> None:
    sink.property("type", "device tree")
    sink.property("nodes", str(tree.nodes))
    for name in ("model", "compatible"):
        if value := text(view, tree.root, name):
            sink.property(name, value)
    if value := text(view, tree.root.child("chosen"), "bootargs"):
        sink.property("boot arguments", value)
    labels: list[str] = []
    pending = [tree.root]
    while pending:
        node = pending.pop()
        if node.name.startswith("partition@") and (label := text(view, node, "label")):
            labels.append(label)
        pending += reversed(node.children)
    if labels:
        sink.property("flash partitions", ", ".join(labels))


def _external(view: View, header: Header, node: Node) -> tuple[int, int] | None:
    """Start and length of data outside the tree (FIT, "external data"), or ``None``."""
    size, position, offset = (number(view, node, n) for n in ("data-size", "data-position", "data-offset"))
    if size is None:
        return None
    if position is not None:
        return position, size
    return ((header.total + 3) // 4 * 4 + offset, size) if offset is not None else None


def _fit(view: View, sink: Sink, header: Header, tree: Tree, images: Node) -> list[tuple[int, int]]:
    """Add the members of a FIT image and return where their data is."""
    sink.property("type", "FIT image")
    if value := text(view, tree.root, "description"):
        sink.property("description", value)
    taken: list[tuple[int, int]] = []
    for index, node in enumerate(images.children):
        span = node.props.get("data") or _external(view, header, node)
        shown = [f"{n} {v}" for n in ("type", "os", "arch", "compression", "description") if (v := text(view, node, n))]
        if index < _SHOWN:
            sink.property(f"image {node.name}"[:80], "; ".join(shown))
        if span is None:
            continue
        start, end = span[0], min(sum(span), len(view))
        path = file_name(stored_name(node.name), f"image{index}")[0]
        if end < sum(span) or start > end:
            sink.note("truncated", f"{path}: data at {start:#x}, {span[1]} bytes, passes the end", path=path)
        if start >= end:
            continue
        if start < 40 or any(start < e and s < end for s, e in taken[-8:]):
            sink.note("overlap", f"{path}: data at {start:#x} is another's", path=path)
            continue
        taken.append((start, end))
        sink.slice(Entry(path=path, kind=Kind.FILE, size=span[1]), start, end)
        _verify(view, sink, node, path, start, end)
    _configurations(view, sink, tree.root.child("configurations"))
    return taken


def _verify(view: View, sink: Sink, node: Node, path: str, start: int, end: int) -> None:
    """Check the hash nodes of an image; name its signatures and cipher."""
    for child in node.children[:16]:
        kind = child.name.split("@")[0].split("-")[0]
        algorithm = text(view, child, "algo")
        if kind.startswith("hash"):
            at, length = child.props.get("value", (0, 0))
            _hash(view, sink, f"{path}: {algorithm}", algorithm, view.take(at, min(length, 64)), start, end)
        elif kind.startswith("signature"):
            sink.property(f"signature of {path}"[:80], f"{algorithm}; key {text(view, child, 'key-name-hint')}")
        elif kind == "cipher":
            sink.note("encrypted", f"{path}: {algorithm}", path=path, start=start, end=end)


def _hash(view: View, sink: Sink, what: str, algorithm: str, value: bytes, start: int, end: int) -> None:
    if algorithm == "crc32" and len(value) == 4:
        check_number(sink, what, int.from_bytes(value, "big"), crc32(view, start, end))
    elif algorithm in _HASHES:
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for at in range(start, end, _BLOCK):
            digest.update(view.mem(at, min(_BLOCK, end - at)))
        check_digest(sink, what, value, digest.digest())
    else:
        sink.note("unsupported", f"{what}: hash not checked")


def _configurations(view: View, sink: Sink, node: Node | None) -> None:
    if node is None:
        return
    if value := text(view, node, "default"):
        sink.property("default configuration", value)
    for child in node.children[:_SHOWN]:
        shown = [f"{n} {v}" for n in ("description", "kernel", "fdt", "ramdisk", "firmware", "loadables") if
                 (v := text(view, child, n))]  # fmt: skip
        signed = [c.name for c in child.children if c.name.startswith("signature")]
        sink.property(f"configuration {child.name}"[:80], "; ".join(shown + (["signed"] if signed else [])))


READERS = (Fdt(),)
