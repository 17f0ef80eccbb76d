"""Small headers: ar, legacy U-Boot images, flattened device trees, and RPM headers.

ar(5); U-Boot, include/image.h; Devicetree Specification 0.4, chapter 5; rpm.org, "RPM V4 Package format".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Union


def ar_member(
    name: str, data: bytes, *, mtime: int = 0, uid: int = 0, gid: int = 0, mode: int = 0o100644, fill: bytes = b"\n"
) -> bytes:
    """One member with its header of 60 bytes."""
    head = f"{name:<16}{mtime:<12}{uid:<6}{gid:<6}{mode:<8o}{len(data):<10}`\n".encode()
    return head + data + (fill if len(data) % 2 else b"")


def ar(members: Sequence[bytes]) -> bytes:
    return b"!<arch>\n" + b"".join(members)


def uimage(
    data: bytes,
    *,
    name: str = "Linux-6.1.55",
    time: int = 1_600_000_000,
    load: int = 0x80008000,
    entry: int = 0x80008000,
    kind: int = 2,
    compression: int = 1,
    architecture: int = 5,
    wrong: int = 0,
) -> bytes:
    """A legacy image with both its checksums right (unless ``wrong``)."""
    body = struct.pack(
        ">5I4B32s",
        time,
        len(data),
        load,
        entry,
        zlib.crc32(data) ^ wrong,
        5,
        architecture,
        kind,
        compression,
        name.encode(),
    )
    check = zlib.crc32(struct.pack(">II", 0x27051956, 0) + body)
    return struct.pack(">II", 0x27051956, check) + body + data


Value = Union[bytes, str, int]  # noqa: UP007 - a recursive alias, evaluated at run time
Fields = dict[str, "Value | Fields"]


class _Tree:
    def __init__(self, reverse: bool) -> None:
        self.strings, self.offsets, self.reverse = b"", dict[str, int](), reverse

    def collect(self, node: Fields) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                self.collect(value)
            elif key not in self.offsets:
                self.offsets[key] = 0

    def lay(self) -> None:
        for key in list(self.offsets)[:: -1 if self.reverse else 1]:
            self.offsets[key] = len(self.strings)
            self.strings += key.encode() + b"\0"

    def emit(self, name: str, node: Fields, fill: bytes, nops: int = 0) -> bytes:
        out = struct.pack(">I", 1) + name.encode() + bytes(4 - len(name) % 4) + struct.pack(">I", 4) * nops
        for key, value in node.items():
            if isinstance(value, dict):
                continue
            raw = value.encode() + b"\0" if isinstance(value, str) else value
            raw = struct.pack(">I", raw) if isinstance(raw, int) else raw
            out += struct.pack(">III", 3, len(raw), self.offsets[key]) + raw + (fill * 4)[: -len(raw) % 4]
        for key, value in node.items():
            if isinstance(value, dict):
                out += self.emit(key, value, fill)
        return out + struct.pack(">I", 2)


def fdt(
    root: Fields,
    *,
    reverse: bool = False,
    room: bytes = b"",
    reserved: Sequence[tuple[int, int]] = (),
    cpu: int = 0,
    nops: int = 0,
    fill: bytes = b"\0",
    hidden_string: bytes = b"",
) -> bytes:
    """A device tree. ``reverse``: strings in the other order; ``room``: bytes behind the last block, within the stated
    size; ``nops``: tokens that do nothing; ``fill``: padding of values; ``hidden_string``: one that nothing uses."""
    tree = _Tree(reverse)
    tree.collect(root)
    tree.lay()
    structure = tree.emit("", root, fill, nops) + struct.pack(">I", 9)
    strings = tree.strings + hidden_string
    memory = b"".join(struct.pack(">QQ", *row) for row in (*reserved, (0, 0)))
    at = 40 + len(memory)
    end = at + len(structure) + len(strings)
    head = struct.pack(
        ">10I", 0xD00DFEED, end + len(room), at, at + len(structure), 40, 17, 16, cpu, len(strings), len(structure)
    )
    return head + memory + structure + strings + room


def rpm_header(
    tags: Sequence[tuple[int, int, Sequence[bytes] | Sequence[int] | bytes]], *, region: int, gap: bytes = b""
) -> bytes:
    """A header structure with its immutable region. Types: 3 to 5 numbers, 6 and 8 and 9 strings, 7 bytes.
    ``gap``: bytes that no tag has."""
    index, store = [], bytearray()
    for tag, kind, value in sorted(tags, key=lambda row: row[0]):
        width = {3: 2, 4: 4, 5: 8}.get(kind, 1)
        store += bytes(-len(store) % width)
        start = len(store)
        if kind == 7:
            assert isinstance(value, bytes)
            store += value
            count = len(value)
        elif kind in (3, 4, 5):
            for number in value:
                assert isinstance(number, int)
                store += number.to_bytes(width, "big")
            count = len(value)
        else:
            for part in value:
                assert isinstance(part, bytes)
                store += part + b"\0"
            count = len(value)
        index.append(struct.pack(">IIII", tag, kind, start, count))
    store += gap
    trailer = struct.pack(">IIiI", region, 7, -16 * (len(index) + 1), 16)
    index.insert(0, struct.pack(">IIII", region, 7, len(store), 16))
    store += trailer
    return struct.pack(">4sIII", b"\x8e\xad\xe8\x01", 0, len(index), len(store)) + b"".join(index) + bytes(store)


def rpm_lead(name: str) -> bytes:
    return struct.pack(">4sBBHH66sHH16x", b"\xed\xab\xee\xdb", 3, 0, 0, 1, name.encode(), 1, 5)
