"""The parts of an ELF file that are not loaded, or are loaded and read by nobody: one function per rule.

Each function looks at one pair of fields that differ and either enters all their differences under its rule, or
refuses. A field that breaks the rule's grammar is refused even where the two files break it alike... unless they
are equal: equal bytes need no rule.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import numpy as np

from banbury.compare.equivalence.dwarf import compare_debug, is_debug
from banbury.compare.equivalence.elf_map import SHT_STRTAB, SHT_SYMTAB, OwnedElf, Part
from banbury.compare.equivalence.elf_noted import read, related
from banbury.compare.equivalence.elf_pair import SHT_PROGBITS, Pair, compare_links, refuse_difference, span
from banbury.compare.equivalence.elf_symbols import check_symbols, compare_symbols, covered, symbols_of
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.model import BuildRecord, Range
from banbury.formats import _elf_types as t

NT_GNU_BUILD_ID = 3
_SIZES = (8, 16, 20)
_NOTE = 7
_STRINGS = 0x30  # SHF_MERGE, SHF_STRINGS
_FILE = re.compile(rb"[A-Za-z0-9._+-]{1,128}\.debug")
#: Sections of linked files, not loaded, that only linkers and debuggers read.
_TOOLS = {
    ".gnu_debuglink", ".gnu_debugaltlink", ".gdb_index", ".comment", ".gnu.attributes", ".ARM.attributes", ".pdr",
    ".mdebug.abi32",
}  # fmt: skip
_PROCEDURE = 8  # words of a descriptor
_MOST = 1 << 16  # numbers of a section that are looked up


# Build-id


def build_id_of_note(raw: bytes, big: bool, *, first: bool = True) -> tuple[int, int] | None:
    """Where the description of the only GNU build-id of a run of notes stands; ``None`` where the run is not made of
    well-formed notes to its last byte, has none or several, or (``first``) holds any other note."""
    at, found = 0, list[tuple[int, int]]()
    order = ">" if big else "<"
    while at < len(raw):
        if at + 12 > len(raw):
            return None
        name, desc, kind = struct.unpack_from(order + "III", raw, at)
        body = at + 12 + (name + 3 & ~3)
        end = body + desc
        if end > len(raw):
            return None
        if kind == NT_GNU_BUILD_ID and raw[at + 12 : body] == b"GNU\0":
            if desc not in _SIZES:
                return None
            found.append((body, end))
        elif first:
            return None
        at = end + 3 & ~3
    return found[0] if len(found) == 1 and at == len(raw) else None


def build_id(elf: OwnedElf) -> bytes:
    """The description of ``.note.gnu.build-id``, or ``b""``."""
    part = elf.by_name.get(".note.gnu.build-id")
    where = build_id_of_note(elf.bytes(part), elf.elf.big) if part and part.type == 7 else None
    return elf.bytes(part)[where[0] : where[1]] if part and where else b""


def compare_build_id(pair: Pair, one: Part, other: Part) -> bool:
    """The section of the build-id; false where it is not one."""
    if one.name != ".note.gnu.build-id":
        return False
    raw = [pair.a.bytes(one), pair.b.bytes(other)]
    found, found_b = (build_id_of_note(x, pair.a.elf.big) for x in raw)
    if found is None or found_b is None or (found != found_b and pair.a.header.type == t.ET_REL):
        return False
    (start, end), (start_b, end_b) = found, found_b
    if (
        start != start_b
        or raw[0][:4] + raw[0][8:start] != raw[1][:4] + raw[1][8:start]
        or raw[0][end:]
        or raw[1][end_b:]
    ):
        return False  # of another length, the header says so: each fills its section
    here = [Range(one.offset + start, one.offset + end)]
    there = [Range(other.offset + start, other.offset + end_b)]
    if one.size != other.size:
        here, there = [span(one)], [span(other)]
    if any(observes_build_id(x, part) for x, part in ((pair.a, one), (pair.b, other))):
        pair.account.refuse("elf.build-id", "the program names its own build-id: withdrawn", here, there)
    elif related(pair.a, one) if pair.a.header.type == t.ET_REL else read(pair.a, one):
        pair.account.refuse("elf.build-id", "the program refers to its own build-id: withdrawn", here, there)
    else:
        pair.account.explain("elf.build-id", here, there)
    return True


def observes_build_id(elf: OwnedElf, note: Part) -> bool:
    """Whether the file shows that it reads its own build-id: a symbol in the note, or the section's name as data."""
    for part in elf.sections:
        if part.type in (SHT_SYMTAB, t.SHT_DYNSYM):
            table = symbols_of(elf, part)
            inside = (table["value"] >= note.addr) & (table["value"] < note.addr + note.size)
            mine = (table["shndx"] == note.index) & (table["info"] & 15 != 3)
            if elf.header.type != t.ET_REL:
                mine &= inside
            if mine.any():
                return True
        elif part.loaded and part.type == 1 and elf.view.find(b"note.gnu.build-id", part.offset, part.end) >= 0:
            return True
    return False


# What is not loaded


def compare_unloaded(pair: Pair, moved: Callable[[int], int | None] | None = None) -> None:
    """Every section that is not loaded, and the table of sections. ``moved`` maps addresses of the first file to the
    second's where their layouts differ."""
    if not pair.a.sections or not pair.b.sections or pair.b.lent:
        return
    ours, theirs = _unloaded(pair.a), _unloaded(pair.b)
    if ours is None or theirs is None:
        pair.account.refuse("section headers", "two sections that are not loaded have the same name")
        return
    done = compare_debug(pair, ours, theirs, moved)
    left, left_b = ({n: p for n, p in side.items() if n not in done} for side in (ours, theirs))
    _compare_only_one(pair, left, left_b)
    for name in [n for n in left if n in left_b]:
        _compare_one(pair, left[name], left_b[name], moved)
    _compare_table(pair, left, left_b)


def _unloaded(elf: OwnedElf) -> dict[str, Part] | None:
    parts = [p for p in elf.sections[1:] if not p.loaded]
    named = {p.name: p for p in parts}
    return named if len(named) == len(parts) else None


def _compare_only_one(pair: Pair, ours: dict[str, Part], theirs: dict[str, Part]) -> None:
    """Sections that only one file has: a symbol table and its strings, where no consumer of the file needs them."""
    for elf, mine, others, first in ((pair.a, ours, theirs, True), (pair.b, theirs, ours, False)):
        extra = {name for name in mine if name not in others}
        if not extra:
            continue
        debug = {name for name in extra if is_debug(name) or name in _TOOLS}
        if first and debug:
            dropped = [span(mine[name]) for name in debug]
            pair.account.explain("elf.debug-dropped", dropped, [])
            extra -= debug
        elif not first:
            extra -= _added(pair, {name: mine[name] for name in extra})
        if not extra:
            continue
        if extra == {".symtab", ".strtab"} and elf.header.type != t.ET_REL:
            why = check_symbols(elf, mine[".symtab"])
            if not why:
                found = [span(mine[".symtab"]), span(mine[".strtab"])]
                pair.account.explain("elf.strip-state", found if first else [], [] if first else found)
                continue
        else:
            why = "only one of the two files has it"
        ranges = [span(mine[n]) for n in extra]
        pair.account.refuse(", ".join(sorted(extra)), why, ranges if first else [], [] if first else ranges)


def _added(pair: Pair, extra: dict[str, Part]) -> set[str]:
    """Of the sections that only the shipped file has those that a rule accounts for: a link to debug information, and
    the names of the toolchain that its build record declares."""
    done = set()
    extra = {n: p for n, p in extra.items() if (p.type, p.flags & ~_STRINGS, p.addr, p.link) == (SHT_PROGBITS, 0, 0, 0)}
    if (part := extra.get(".gnu_debuglink")) is not None and _target(pair.b.bytes(part)):
        pair.account.explain("elf.debuglink", [], [span(part)], "only in the shipped file")
        done.add(part.name)
    if (part := extra.get(".comment")) is not None and _is_declared(pair.b, part, pair.record_b):
        pair.account.explain("elf.comment", [], [span(part)])
        done.add(part.name)
    return done


def _compare_one(pair: Pair, one: Part, other: Part, moved: Callable[[int], int | None] | None) -> None:
    same = (one.type, one.flags, one.addr, one.align, one.entsize) == (
        other.type, other.flags, other.addr, other.align, other.entsize,
    )  # fmt: skip
    if not same:
        pair.account.refuse(one.name, "its header differs")
        return
    if one.end == one.offset and after(pair.a, one) != after(pair.b, other):
        pair.account.refuse(one.name, "it is empty and stands elsewhere")
    if one.type != SHT_SYMTAB:
        compare_links(pair, one, other)
    equal = pair.a.data[one.offset : one.end] == pair.b.data[other.offset : other.end]
    if one.name == ".shstrtab" and one.index == pair.a.header.shstrndx and other.index == pair.b.header.shstrndx:
        return  # compared with the table of sections
    if one.type == SHT_SYMTAB:
        compare_symbols(pair, one, other, moved)
    elif one.type == SHT_STRTAB and _is_names(pair, one, other):
        return  # compared with the symbols
    elif one.name == ".pdr" and moved is not None and pair.a.header.machine == t.EM_MIPS and not pair.a.elf.is64:
        _procedures(pair, one, other, moved)
    elif not equal:
        _UNLOADED.get(one.name, _no_rule)(pair, one, other)
    elif moved is not None and one.type in (SHT_PROGBITS, _NOTE) and one.name != ".comment":
        _left_behind(pair, one, moved)


def _left_behind(pair: Pair, one: Part, moved: Callable[[int], int | None]) -> None:
    """Refuse what is not loaded, is equal and holds addresses that moved: those of probes (SystemTap's notes) or of
    procedures (MIPS ``.pdr``), by which tools change or read the running program."""
    elf = pair.a.elf
    raw, width = pair.a.bytes(one), 8 if elf.is64 else 4
    order = ">" if elf.big else "<"
    if len(raw) < width:
        return
    words = np.concatenate(
        [
            np.frombuffer(raw, f"{order}u{width}", offset=k, count=(len(raw) - k) // width)
            for k in range(0, width, 4)
            if len(raw) - k >= width
        ]
    )
    end = max((load.vaddr + load.memsz for load in elf.loads), default=0)
    likely = np.unique(words[words < end])
    if len(likely) > _MOST or any(moved(value) not in (None, value) for value in likely.tolist()):
        pair.account.refuse(one.name, "it may hold addresses that moved, and is equal", [span(one)], [])


def _procedures(pair: Pair, one: Part, other: Part, moved: Callable[[int], int | None]) -> None:
    """MIPS' descriptors of procedures: eight words each, of which the first is the address (0: taken out by the
    linker). Source: GNU as, gas/config/tc-mips.c (s_mips_end); System V ABI, MIPS supplement, 5-4."""
    order = ">" if pair.a.elf.big else "<"
    ours, theirs = (np.frombuffer(elf.bytes(part), f"{order}u4") for elf, part in ((pair.a, one), (pair.b, other)))
    if one.type != SHT_PROGBITS or len(ours) != len(theirs) or len(ours) % _PROCEDURE:
        _no_rule(pair, one, other)
        return
    ours, theirs = (words.reshape(-1, _PROCEDURE) for words in (ours, theirs))
    places = zip(ours[:, 0].tolist(), theirs[:, 0].tolist(), strict=True)
    if (ours[:, 1:] != theirs[:, 1:]).any() or any((moved(x) if x else 0) != y for x, y in places):
        why = "a procedure is described in another way, or as standing elsewhere"
        pair.account.refuse(one.name, why, [span(one)], [span(other)])
    elif (ours != theirs).any():
        pair.account.explain("elf.procedures", [span(one)], [span(other)])


def after(elf: OwnedElf, part: Part) -> int:
    """How far behind the section before it in the table a section begins."""
    return part.offset - elf.sections[part.index - 1].end


def _is_names(pair: Pair, one: Part, other: Part) -> bool:
    """Whether these are the strings of the symbol tables, and of nothing else."""
    users = [p for p in pair.a.sections[1:] if p.link == one.index]
    others = [p for p in pair.b.sections[1:] if p.link == other.index]
    return [p.type for p in users] == [p.type for p in others] == [SHT_SYMTAB]


def _no_rule(pair: Pair, one: Part, other: Part) -> None:
    why = "bytes that are not loaded differ, and no rule covers them"
    refuse_difference(pair, one.name, why, (one.offset, one.end), (other.offset, other.end))


def _debuglink(pair: Pair, one: Part, other: Part) -> None:
    names = [_target(elf.bytes(part)) for elf, part in ((pair.a, one), (pair.b, other))]
    own = [build_id(elf).hex()[2:].encode() + b".debug" for elf in (pair.a, pair.b)]
    if not all(names) or (names[0] != names[1] and names != own):
        _no_rule(pair, one, other)
        return
    pair.account.explain("elf.debuglink", [span(one)], [span(other)])


def _target(raw: bytes) -> bytes:
    """The name of the file that a debug link names, if it is a plain one and padding and a checksum follow; else
    nothing."""
    name, _, _ = raw.partition(b"\0")
    at = len(name) + 4 & ~3
    good = _FILE.fullmatch(name) and len(raw) == at + 4 and not any(raw[len(name) : at])
    return name if good else b""


def _debugaltlink(pair: Pair, one: Part, other: Part) -> None:
    names = [pair.a.bytes(one).partition(b"\0"), pair.b.bytes(other).partition(b"\0")]
    (name, _, first), (name_b, _, second) = names
    if name != name_b or not name or not is_text(name) or len(first) != 20 or len(second) != 20:
        _no_rule(pair, one, other)
        return
    pair.account.explain(
        "elf.debugaltlink", [Range(one.end - 20, one.end)], [Range(other.end - 20, other.end)], name.decode()
    )


def _is_declared(elf: OwnedElf, part: Part, record: BuildRecord | None) -> bool:
    """Whether a section holds nothing but names of producers that the file's build record declares."""
    raw = elf.bytes(part)
    producers = {p.encode() for p in record.producers} if record else set()
    return raw.endswith(b"\0") and set(raw[:-1].split(b"\0")) <= producers


def compare_toolchain(pair: Pair, one: Part, other: Part) -> None:
    """A section of producers' names (``.comment``)."""
    for elf, part, record in ((pair.a, one, pair.record_a), (pair.b, other, pair.record_b)):
        if not _is_declared(elf, part, record):
            why = "names a producer that this file's build record does not declare"
            pair.account.refuse(one.name, why, [span(one)], [span(other)])
            return
    pair.account.explain("elf.comment", [span(one)], [span(other)])


_UNLOADED: dict[str, Callable[[Pair, Part, Part], None]] = {
    ".gnu_debuglink": _debuglink,
    ".gnu_debugaltlink": _debugaltlink,
    ".comment": compare_toolchain,
}


# The table of sections


def _compare_table(pair: Pair, ours: dict[str, Part], theirs: dict[str, Part]) -> None:
    """Section headers: the partition has checked places and sizes, the comparison everything else; names may be stored
    elsewhere in the table of names, which must hold nothing but them."""
    a, b = pair.a, pair.b
    if [p.name for p in a.sections if p.loaded] != [p.name for p in b.sections if p.loaded]:
        pair.account.refuse("section headers", "the loaded sections are not the same")
    common = [n for n in ours if n in theirs], [n for n in theirs if n in ours]
    if common[0] != common[1]:
        pair.account.refuse("section headers", "the sections that are not loaded stand in another order")
    compare_section_names(pair)


def compare_section_names(pair: Pair) -> None:
    """The table of sections as bytes: names may be stored in another order, in a table that holds nothing but them."""
    a, b = pair.a, pair.b
    for elf in (a, b):
        names = elf.sections[elf.header.shstrndx]
        known = [p.name_at for p in elf.sections]
        for table in elf.sections:
            if table.type == SHT_SYMTAB and table.link == names.index:
                known += symbols_of(elf, table)["name"].tolist()
        if not covered(elf.bytes(names), known):
            pair.account.refuse(names.name, "holds more than the names of sections", [span(names)], [span(names)])
    for what, (x0, x1), (y0, y1) in (
        ("section headers", _table(a), _table(b)),
        (".shstrtab", _names(a), _names(b)),
    ):
        if a.data[x0:x1] != b.data[y0:y1]:
            pair.account.explain("elf.section-table", [Range(x0, x1)], [Range(y0, y1)], what)


def _table(elf: OwnedElf) -> tuple[int, int]:
    return elf.header.shoff, elf.header.shoff + elf.header.shnum * elf.header.shentsize


def _names(elf: OwnedElf) -> tuple[int, int]:
    part = elf.sections[elf.header.shstrndx]
    return part.offset, part.end
