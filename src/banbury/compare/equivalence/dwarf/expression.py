"""Addresses within DWARF expressions. Source: DWARF 5, section 7.7.1; GCC's extensions, ``include/dwarf2.def``."""

from __future__ import annotations

from typing import Final

from banbury.compare.equivalence.dwarf.reader import after_leb, uleb

#: Operands of each operation: a number of bytes, ``a`` address, ``u`` LEB128, ``b`` block after a LEB128 size,
#: ``c`` block after a one-byte size.
_OPERANDS: Final[dict[int, str]] = {
    0x08: "1", 0x09: "1", 0x0A: "2", 0x0B: "2", 0x0C: "4", 0x0D: "4", 0x0E: "8", 0x0F: "8", 0x10: "u", 0x11: "u",
    0x15: "1", 0x23: "u", 0x28: "2", 0x2F: "2", 0x90: "u", 0x91: "u", 0x92: "uu", 0x93: "u", 0x94: "1", 0x95: "1",
    0x98: "2", 0x99: "4", 0x9D: "uu", 0x9E: "b", 0xA1: "u", 0xA2: "u", 0xA3: "b", 0xA4: "uc", 0xA5: "uu", 0xA6: "1u",
    0xA7: "1u", 0xA8: "u", 0xA9: "u", 0xF3: "b", 0xF4: "uc", 0xF5: "uu", 0xF6: "1u", 0xF7: "u", 0xF9: "u", 0xFA: "4",
    0xFB: "u", 0xFC: "u",
}  # fmt: skip
_NONE: Final = frozenset((0x06, *range(0x12, 0x15), *range(0x16, 0x23), *range(0x24, 0x28), *range(0x29, 0x2F),
                          *range(0x30, 0x90), 0x96, 0x97, 0x9B, 0x9C, 0x9F, 0xE0, 0xF0))  # fmt: skip
for _op in range(0x70, 0x90):
    _OPERANDS[_op] = "u"


def addresses(raw: bytes, at: int, end: int, width: int) -> list[tuple[int, int]]:
    """(place, size) of each address, of ``width`` bytes, in the expression ``at`` to ``end``. What is no known
    expression has none: then its bytes are compared as they stand."""
    return [(place, width) for place in _read(raw, at, end, width) or ()]


def _read(raw: bytes, at: int, end: int, width: int) -> list[int] | None:
    out = []
    while at < end:
        op = raw[at]
        at += 1
        if op == 0x03:
            out.append(at)
            at += width
        elif op in _OPERANDS:
            for operand in _OPERANDS[op]:
                at = _after(raw, at, operand)
        elif op not in _NONE:
            return None
    return out if at == end else None


def _after(raw: bytes, at: int, operand: str) -> int:
    if operand == "u":
        return after_leb(raw, at)
    if operand == "b":
        size, at = uleb(raw, at)
        return at + size
    if operand == "c":
        return at + 1 + raw[at]
    return at + int(operand)
