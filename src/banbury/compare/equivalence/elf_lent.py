"""A shipped file without a section table, beside a rebuilt file that has one.

The loader reads no section table, and one that a vendor ships is a claim that is checked against the segments. So a
table can be *lent* to the shipped file: the rebuilt file's, of what is loaded. It is written behind the shipped
file's last byte, and the file is then read and held to all that a file is held to that came with such a table. Before
that, every byte of the shipped file itself belongs to the ELF header, the program headers or a PT_LOAD, and a gap
between these is zero: the file has nothing that is not loaded.

Sources: gABI (2013 draft) chapters 4 and 5; Linux ``fs/binfmt_elf.c``; OpenWrt ``tools/sstrip`` (what it leaves).
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.elf_pair import Pair, refuse_difference
from banbury.compare.equivalence.literals import differences, runs
from banbury.compare.equivalence.model import Range
from banbury.formats import _elf_types as t
from banbury.formats.view import View

#: What a co-processor asks for: Linux remoteproc finds it by this name (remoteproc_elf_loader.c, find_table).
_RESOURCES: Final = ".resource_table"

#: Where the places of sections may differ: by index, the address, offset and size in the shipped file.
Places = dict[int, tuple[int, int, int]]


def lendable(a: OwnedElf, b: OwnedElf) -> bool:
    """Whether the rebuilt file ``a`` has a section table and the shipped file ``b`` has none."""
    return bool(a.sections) and not b.sections and a.header.type != t.ET_REL


def lent(pair: Pair, places: Places | None = None) -> Pair:
    """The pair with the rebuilt file's table of loaded sections lent to the shipped file, and what was dropped entered.
    ``places``: where they stand in the shipped file, if not at the same places. Raises :class:`Refused` where the
    shipped file's segments or dynamic table say otherwise, or its header states a table."""
    a, b = pair.a, pair.b
    if b.header.shoff or b.header.shnum or b.header.shstrndx or b.header.shentsize not in (0, a.header.shentsize):
        raise Refused("section headers", "stated, although there are none")
    if a.sections[a.header.shstrndx].loaded:
        raise Refused("section names", "they are loaded, and the shipped file has no section table")
    if any(part.name == _RESOURCES for part in a.sections):
        raise Refused(_RESOURCES, "it is found by its section's name, and the shipped file has no section table")
    made = _with_table(a, b, places or {})
    made.lent = True
    fields, _ = _fields(a)
    dropped = [Range(f.start, f.end) for f in a.fields if f.kind == "shdrs"]
    dropped += [Range(p.offset, p.end) for p in a.sections[1:] if not p.loaded and p.end > p.offset]
    pair.account.explain("elf.sections-dropped", [*fields, *dropped], fields)
    return msgspec.structs.replace(pair, b=made)


def _fields(elf: OwnedElf) -> tuple[list[Range], str]:
    """Where the header says where the table is (e_shoff; e_shentsize, e_shnum, e_shstrndx), and the word's layout."""
    place, tail, word = (0x28, 0x3A, 8) if elf.elf.is64 else (0x20, 0x2E, 4)
    return [Range(place, place + word), Range(tail, tail + 6)], "Q" if word == 8 else "I"


def _with_table(a: OwnedElf, b: OwnedElf, places: Places) -> OwnedElf:
    """``b`` with a table of ``a``'s loaded sections, of the same numbers; the others are there by name only."""
    names = a.sections[a.header.shstrndx]
    table = bytearray()
    start = -(-b.size // 8) * 8
    layout = t.SHDR[a.elf.key]
    for part in a.sections:
        row = (part.name_at, *(0,) * 9) if part.index else (0,) * 10
        if part.index == a.header.shstrndx:
            row = (part.name_at, names.type, 0, 0, start, names.size, 0, 0, 1, 0)
        elif part.loaded:
            addr, offset, size = places.get(part.index, (part.addr, part.offset, part.size))
            row = (
                part.name_at, part.type, part.flags, addr, offset, size, part.link, part.info, part.align, part.entsize,
            )  # fmt: skip
        table += layout.pack(*row)
    content = a.bytes(names)
    at = -(-(start + len(content)) // 8) * 8
    raw = bytearray(b.data)
    raw += bytes(start - len(raw)) + content + bytes(at - start - len(content)) + table
    order = ">" if b.elf.big else "<"
    (first, second), word = _fields(b)
    struct.pack_into(order + word, raw, first.start, at)
    struct.pack_into(order + "HHH", raw, second.start, layout.size, len(a.sections), a.header.shstrndx)
    return OwnedElf(View(bytes(raw)))


def compare_bare_header(pair: Pair) -> None:
    """The ELF header and the program headers, of one layout: all but the fields of the table are equal."""
    a, b = pair.a, pair.b
    free = {p for field in _fields(a)[0] for p in range(field.start, field.end)}
    found = differences(a.data[: a.header.ehsize], b.data[: b.header.ehsize])
    other = [Range(p, p + 1) for p in found.tolist() if p not in free]
    if other:
        pair.account.refuse("ELF header", "no field of the header may differ", other, other)
    where = a.header.phoff, a.header.phoff + a.header.phnum * a.header.phentsize
    refuse_difference(pair, "program headers", "no field of them may differ", where, where)
    _between(pair)


def _between(pair: Pair) -> None:
    """What segments map and no section describes: the same bytes in both files."""
    a, b = pair.a, pair.b
    owned = sorted((f.start, f.end) for f in a.fields if f.kind != "gap")
    for load in a.elf.loads:
        at, end = load.offset, load.offset + load.filesz
        for start, stop in [*owned, (end, end)]:
            if at < min(start, end):
                found = differences(a.data[at : min(start, end)], b.data[at : min(start, end)])
                where = runs(found, at)
                if where:
                    pair.account.refuse("gap", "loaded bytes in no section differ", where, where)
            at = max(at, stop)
