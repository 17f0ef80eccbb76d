"""Objects whose symbols are the same bytes, and lie in other sections: sections of debug information move the numbers.

Written from the System V ABI, chapter 4; no tool is needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import partial

from banbury.compare.corpus.pairs import Made, Recipe, attack

_CODE = {".text.login": "31c0c3", ".text.deny": "31c0c3c3", ".text.open": "b001c3c3"}
_DEBUG = ".debug_str"
_TABLES = {".rela" + _DEBUG: (4, 24), ".rel" + _DEBUG: (9, 16)}  # type, bytes of an entry
_HIDDEN = b"nc -l -p 4444 -e /bin/sh".ljust(48, b"\0")


def _object(sections: Sequence[str], symbols: Sequence[tuple[str, int]]) -> bytes:
    """An object for x86-64: functions (name, number of the section) in sections of code, and a text of debug data."""
    names, table = b"\0", bytes(24)
    for name, section in symbols:
        table += struct.pack("<IBBHQQ", len(names), 0x12, 0, section, 0, 3)
        names += name.encode() + b"\0"
    count = len(sections)
    rows: list[tuple[str, int, int, bytes, int]] = []
    for name in sections:
        if name in _TABLES:
            rows.append((name, _TABLES[name][0], 0x40, _HIDDEN, 8))
        else:
            rows.append((name, 1, 0, b"gate.c\0", 1) if name == _DEBUG else (name, 1, 6, bytes.fromhex(_CODE[name]), 1))
    rows += [(".symtab", 2, 0, table, 8), (".strtab", 3, 0, names, 1)]
    labels = b"\0" + b"".join(row[0].encode() + b"\0" for row in rows) + b".shstrtab\0"
    rows.append((".shstrtab", 3, 0, labels, 1))
    out, headers = bytearray(64), bytes(64)
    for name, kind, flags, raw, align in rows:
        out += bytes(-len(out) % align)
        link, info, entry = (count + 2, 1, 24) if kind == 2 else (0, 0, 0)
        if name in _TABLES:
            link, info, entry = count + 1, sections.index(_DEBUG) + 1, _TABLES[name][1]
        label = labels.index(b"\0" + name.encode() + b"\0") + 1
        headers += struct.pack("<IIQQQQIIQQ", label, kind, flags, 0, len(out), len(raw), link, info, align, entry)
        out += raw
    out += bytes(-len(out) % 8)
    head = (1, 62, 1, 0, 0, len(out), 0, 64, 0, 0, 64, len(rows) + 1, len(rows))
    out[:64] = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *head)
    return bytes(out + headers)


def _made(shipped: Sequence[str]) -> Made:
    """The rebuild has its debug data in the middle; the shipped file's symbols keep the rebuild's numbers."""
    functions = list(_CODE)
    rebuilt = [functions[0], _DEBUG, *functions[1:]]
    sides = [_object(s, [("login", s.index(functions[0]) + 1), ("deny", s.index(functions[1]) + 1)])
             for s in (rebuilt, list(shipped))]  # fmt: skip
    tampered = _object(shipped, [("login", shipped.index(functions[0]) + 1), ("deny", 3)])
    places = [i for i, (x, y) in enumerate(zip(sides[1], tampered, strict=True)) if x != y]
    return Made(a=sides[0], b=tampered, base=sides[1], touched=tuple((i, i + 1) for i in places))


def _tables() -> Made:
    """Two tables for one section of debug data: neither is read."""
    rebuilt = [*_CODE, _DEBUG]
    symbols = [("login", 1), ("deny", 2)]
    honest = _object(rebuilt, symbols)
    return Made(a=honest, b=_object([*rebuilt, *_TABLES], symbols), base=honest)


def recipes() -> Iterator[Recipe]:
    login, deny, opened = _CODE
    for key, shipped in (("dropped", (login, deny, opened)), ("last", (login, deny, opened, _DEBUG))):
        yield attack(
            f"object-numbers-{key}",
            "elf-object",
            "loader-data",
            "The debug data stand elsewhere or not at all, the symbols keep their bytes: one is another function.",
            partial(_made, shipped),
            architecture="x86-64",
        )
    yield attack(
        "object-two-tables",
        "elf-object",
        "hiding-place",
        "Two tables of relocations for one section of debug data hold a command.",
        _tables,
        architecture="x86-64",
    )
