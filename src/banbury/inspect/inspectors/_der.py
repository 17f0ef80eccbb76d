"""A small reader and writer of DER (ITU-T X.690), enough for keys and the frame of a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.model.errors import Malformed

SEQUENCE: Final = 0x30
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = b"\x05\x00"
OID: Final = 0x06


class Node(Struct, frozen=True, array_like=True):
    """One value: its tag, where it starts (tag included), where its content starts and where it ends."""

    tag: int
    start: int
    body: int
    end: int


def node(data: bytes, at: int, end: int) -> Node:
    """The value at ``at``, which must end before ``end``. Lengths are definite and at most four bytes long."""
    if at + 2 > end:
        raise Malformed("DER value cut short", offset=at)
    tag, length, body = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or body + count > end:
            raise Malformed("DER length not read", offset=at)
        length = int.from_bytes(data[body : body + count], "big")
        body += count
    if body + length > end:
        raise Malformed("DER value longer than what holds it", offset=at)
    return Node(tag, at, body, body + length)


def children(data: bytes, parent: Node) -> Iterator[Node]:
    """The values inside ``parent``, one after another."""
    at = parent.body
    while at < parent.end:
        child = node(data, at, parent.end)
        yield child
        at = child.end


def root(data: bytes, tag: int = SEQUENCE) -> Node:
    """The first value of ``data``, which must have ``tag``."""
    return expect(node(data, 0, len(data)), tag)


def expect(value: Node, tag: int) -> Node:
    if value.tag != tag:
        raise Malformed(f"DER tag {value.tag:#x} where {tag:#x} belongs", offset=value.start)
    return value


def body(data: bytes, value: Node, tag: int) -> bytes:
    expect(value, tag)
    return data[value.body : value.end]


def integer(data: bytes, value: Node) -> int:
    return int.from_bytes(body(data, value, INTEGER), "big", signed=True)


def integers(data: bytes, parent: Node) -> list[int]:
    """The leading integers of a sequence."""
    out = []
    for child in children(data, parent):
        if child.tag != INTEGER:
            break
        out.append(integer(data, child))
    return out


def dotted(encoded: bytes) -> str:
    """An object identifier in dotted form."""
    numbers: list[int] = []
    value = 0
    for byte in encoded[:64]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            if not numbers:
                numbers += [min(value // 40, 2), value - 40 * min(value // 40, 2)]
            else:
                numbers.append(value)
            value = 0
    return ".".join(str(n) for n in numbers)


def write(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def write_integer(value: int) -> bytes:
    return write(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def write_oid(text: str) -> bytes:
    """An object identifier from its dotted form, of at least two numbers."""
    numbers = [int(n) for n in text.split(".")] if text else []
    if len(numbers) < 2:
        raise Malformed(f"object identifier {text!r} has not two numbers")
    out = bytearray()
    for number in (numbers[0] * 40 + numbers[1], *numbers[2:]):
        piece = [number & 0x7F]
        rest = number >> 7
        while rest:
            piece.append(0x80 | rest & 0x7F)
            rest >>= 7
        out += bytes(reversed(piece))
    return write(OID, bytes(out))
