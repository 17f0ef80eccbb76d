"""Relocatable objects and kernel modules: the same sections, relocations and symbols, however they are numbered.

In an object every reference is a relocation: a place, a type, a symbol and an addend. Where sections are kept in the
file, how symbols are numbered, and whether debug information is there, is read by nobody who runs or links it. What
a section holds, which symbols there are, and what each relocation means is compared, without exception.

Sources: gABI (2013 draft), chapter 4; Linux ``kernel/module/main.c`` (``apply_relocations``, ``simplify_symbols``,
``layout_sections``), ``scripts/mod/modpost.c``.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.dwarf import compare_debug
from banbury.compare.equivalence.dwarf.sections import relocation_rows
from banbury.compare.equivalence.elf_debug_names import canonical, is_debug, numbered
from banbury.compare.equivalence.elf_map import SHT_STRTAB, SHT_SYMTAB, OwnedElf, Part
from banbury.compare.equivalence.elf_meta import compare_build_id, compare_section_names, compare_toolchain
from banbury.compare.equivalence.elf_noted import related
from banbury.compare.equivalence.elf_pair import Pair, span
from banbury.compare.equivalence.elf_same import compare_header
from banbury.compare.equivalence.elf_symbols import check_symbols, files_agree, symbols_of
from banbury.compare.equivalence.object_code import ObjectCode
from banbury.compare.equivalence.object_lengths import check_site
from banbury.compare.equivalence.object_texts import WARNINGS, Texts, texts_of
from banbury.formats import _elf_types as t

_GROUP, _NOTE, _NOBITS = 17, 7, 8
#: Types of sections that hold no numbers of symbols: the standard's, GNU's attributes, and the processors' (unwinding
#: and attributes of Arm and AArch64, MIPS' registers, options, flags and debug data).
_UNNUMBERED: Final = frozenset(
    {1, 3, 7, 8, 14, 15, 16, 0x6FFFFFF5, 0x70000001, 0x70000003, 0x70000005, 0x70000006, 0x7000000D, 0x7000001E,
     0x7000002A}
)  # fmt: skip
_OBJECT, _FUNCTION, _SECTION, _FILE = 1, 2, 3, 4
_RELOCATIONS: Final = (t.SHT_RELA, t.SHT_REL)
#: Tables of which only people read the texts: where a warning was written, and what a debug message says.
_SHOWN: Final = (WARNINGS, "__dyndbg")
#: What a symbol is: name, type and binding, visibility, section (its number among those compared), value, size.
Identity = tuple[str, int, int, object, int, int]


def compare_objects(pair: Pair) -> bool:
    """Compare two relocatable objects; every difference goes into the account. Returns whether texts moved. Raises
    :class:`Refused`."""
    comparison = _Objects(pair)
    comparison.run()
    return comparison.moved


class _Objects:
    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        if not pair.a.sections or not pair.b.sections:
            raise Refused("section headers", "an object without them")
        self.sides = [_Side(pair.a), _Side(pair.b)]
        self.texts: dict[int, Texts] = {}
        self.moved = False

    def run(self) -> None:
        one, other = self.sides
        if [_kind(p) for p in one.parts] != [_kind(p) for p in other.parts]:
            raise Refused("section headers", "the sections are not the same, or stand in another order")
        if one.laid != other.laid:
            raise Refused("section headers", "the sections stand in another order in the file")
        if [(_kind(p), p.link, p.info) for p in one.apart] != [(_kind(p), p.link, p.info) for p in other.apart]:
            raise Refused("section headers", "the tables of names have other headers")
        if _kind(one.table) != _kind(other.table):
            raise Refused(one.table.name, "its header differs")
        compare_header(self.pair, loaded=True)
        parts = list(zip(one.parts, other.parts, strict=True))
        for x, y in (pair for pair in parts if pair[0].type != _GROUP):
            self._links(x, y)
            self._content(x, y)
        self._debug()
        for x, y in (pair for pair in parts if pair[0].type == _GROUP):  # their members may be dropped
            self._links(x, y)
            self._content(x, y)
        self._symbols()
        for x, y in zip(one.parts, other.parts, strict=True):
            if x.type in _RELOCATIONS:
                self._relocations(x, y)
        compare_section_names(self.pair)

    # Debug information

    def _debug(self) -> None:
        one, other = self.sides
        shifted = any(texts.shifted for texts in self.texts.values())
        done = compare_debug(self.pair, one.debug, other.debug, None, self._text if shifted else None)
        left, left_b = ([n for n in s.debug if n not in done] for s in self.sides)
        if left_b:
            where = [span(other.debug[n]) for n in left_b]
            raise Refused(", ".join(left_b), "only one of the two files has it", [], where)
        if left:
            self.pair.account.explain("elf.debug-dropped", [span(one.debug[n]) for n in left], [])
        one.dropped = {one.debug[n].index for n in left}

    def _text(self, symbol: int, addend: int) -> int | None:
        """Where the text that a symbol of the first file plus an addend leads to stands in the second; ``None``: that
        is none of a section whose texts moved."""
        found = self.sides[0].identity(symbol)
        texts = self.texts.get(found[3]) if isinstance(found[3], int) else None
        return texts.place(found[4] + addend) if texts is not None and texts.shifted else None

    # Sections

    def _links(self, one: Part, other: Part) -> None:
        a, b = self.sides
        links = a.number(one.link), b.number(other.link)
        if one.type in _RELOCATIONS or (one.type != _GROUP and one.flags & 0x40):
            infos = a.number(one.info), b.number(other.info)
        elif one.type == _GROUP:
            infos = a.identity(one.info), b.identity(other.info)
        else:
            infos = one.info, other.info
        if links[0] != links[1] or infos[0] != infos[1]:
            raise Refused(one.name, "it is linked to another section or symbol")

    def _content(self, one: Part, other: Part) -> None:
        a, b = self.pair.a, self.pair.b
        if one.type in _RELOCATIONS:
            return
        if one.type == _GROUP:
            self._group(one, other)
            return
        if one.type not in _UNNUMBERED and not self._numbered_alike():
            raise Refused(one.name, "numbers of symbols that are not read here")
        if one.type == _NOBITS or a.data[one.offset : one.end] == b.data[other.offset : other.end]:
            if one.size != other.size:
                raise Refused(one.name, "its size differs")
            return
        if one.type == _NOTE and compare_build_id(self.pair, one, other):
            return
        if one.name == ".comment" and not one.loaded:
            compare_toolchain(self.pair, one, other)
            return
        texts = self.texts[self.sides[0].order[one.index]] = texts_of(self.pair, one, other)
        self.moved |= texts.shifted

    def _numbered_alike(self) -> bool:
        """Whether both files have the same bytes as their symbols, and sections of the same numbers for them."""
        tables = [s.elf.data[s.table.offset : s.table.end] for s in self.sides]
        indices = [([p.index for p in s.parts], {n: p.index for n, p in s.debug.items()}) for s in self.sides]
        return tables[0] == tables[1] and indices[0] == indices[1]

    def _group(self, one: Part, other: Part) -> None:
        if one.size % 4 or other.size % 4:
            raise Refused(one.name, "no list of sections", [span(one)], [span(other)])
        rows = []
        for side, part in zip(self.sides, (one, other), strict=True):
            order = ">" if side.elf.elf.big else "<"
            words = np.frombuffer(side.elf.data[part.offset : part.end], order + "u4").tolist()
            rows.append([words[0], *(side.number(w) for w in words[1:] if w not in side.dropped)] if words else [])
        if rows[0] != rows[1] or one.size % 4 or other.size % 4:
            raise Refused(one.name, "a group has other members", [span(one)], [span(other)])

    # Symbols

    def _symbols(self) -> None:
        one, other = self.sides
        for side in self.sides:
            why = check_symbols(side.elf, side.table)
            if why:
                raise Refused(side.table.name, why, [span(one.table)], [span(other.table)])
        whole = [[span(s.table), span(s.elf.sections[s.table.link])] for s in self.sides]
        raws = [tuple(s.elf.bytes(p) for p in (s.table, s.elf.sections[s.table.link])) for s in self.sides]
        alike = self._numbered_alike() and not self.texts and one.table.info == other.table.info
        if alike and raws[0] == raws[1]:
            return
        (order, named, files), (order_b, named_b, files_b) = self._listed(0), self._listed(1)
        local, local_b = Counter(order), Counter(order_b)
        if named != named_b or local_b - local:
            raise Refused(one.table.name, "symbols differ", *whole)
        if local - local_b and (not one.dropped or any(_is_mark(name) for name, *_ in local - local_b)):
            raise Refused(one.table.name, "symbols differ", *whole)
        sections, sections_b = self._of_sections(0), self._of_sections(1)
        if [place for place in sections if place in set(sections_b)] != sections_b:
            raise Refused(one.table.name, "symbols of sections differ", *whole)
        if not files_agree(self.pair, files, files_b):
            raise Refused(one.table.name, "names of source files differ and are neither declared nor temporary", *whole)
        if local - local_b and self._some_kept():
            raise Refused(one.table.name, "some local symbols that nothing refers to were dropped, and not all", *whole)
        if _alike_in_order(order, local_b) != _alike_in_order(order_b, local_b):
            raise Refused(one.table.name, "local symbols of one name are in another order", *whole)
        if raws[0] != raws[1]:
            self.pair.account.explain("elf.object-symbols", whole[0], whole[1])

    def _some_kept(self) -> bool:
        """Whether the second file has local symbols of functions or objects that no relocation needs: tools that drop
        such ones drop all."""
        side = self.sides[1]
        needed: set[int] = set()
        for part in side.parts:
            if part.type in _RELOCATIONS:
                needed.update(relocation_rows(side.elf, part)[:, 2].tolist())
        kinds = side.symbols["info"]
        own = np.flatnonzero((kinds >> 4 == 0) & np.isin(kinds & 15, (_OBJECT, _FUNCTION)))
        return any(row not in needed for row in own.tolist())

    def _listed(self, which: int) -> tuple[list[Identity], list[Identity], list[str]]:
        """Local symbols (without those of sections, and of debug information that the other has not) and symbols that
        others can name, both in their order, and the names of source files."""
        side = self.sides[which]
        local: list[Identity] = []
        named: list[Identity] = []
        files: list[str] = []
        for index in range(len(side.symbols)):
            found = self._identity(which, index)
            sort, bind = found[1] & 15, found[1] >> 4
            if sort == _FILE and not bind:
                if found[2:] != (0, 0xFFF1, 0, 0):
                    raise Refused(side.table.name, "the name of a source file that says more", [span(side.table)])
                files.append(found[0])
            elif bind:
                named.append(found)
            elif sort != _SECTION and int(side.symbols[index]["shndx"]) not in side.dropped:
                local.append(found)
            elif sort == _SECTION and (found[0], found[2], found[4], found[5]) != ("", 0, 0, 0):
                raise Refused(side.table.name, "a section's symbol that says more", [span(side.table)])
        return local, named, files

    def _of_sections(self, which: int) -> list[object]:
        """The sections that have a symbol, in its order, without debug information that the other file has not: what
        the symbol is of is all that it says. Linux looks for one without a section among what the kernel exports."""
        side = self.sides[which]
        found = [self._identity(which, n) for n in range(1, len(side.symbols))]
        places = [int(n) for n in side.symbols["shndx"][1:]]
        own = [(x[3], at) for x, at in zip(found, places, strict=True) if x[1] & 15 == _SECTION]
        numbers = [at for _, at in own]
        if len(set(numbers)) < len(numbers) or any(not 0 < at < len(side.elf.sections) for at in numbers):
            raise Refused(side.table.name, "a section's symbol of no section, or a second one", [span(side.table)])
        return [place for place, at in own if at not in side.dropped]

    def _identity(self, which: int, index: int) -> Identity:
        """What a symbol is; the first file's with the place of a text that moved."""
        found = self.sides[which].identity(index)
        if which or not self.texts or not isinstance(found[3], int):
            return found
        moved = self.texts.get(found[3])
        if moved is None or found[1] & 15 == _SECTION:
            return found
        return (*found[:4], moved.symbol(found[4]), moved.size(found[4], found[5]))

    # Relocations

    def _relocations(self, one: Part, other: Part) -> None:
        a, b = self.sides
        same = a.elf.data[one.offset : one.end] == b.elf.data[other.offset : other.end]
        if same and not self.texts and self._numbered_alike():
            return
        rows, rows_b = relocation_rows(a.elf, one), relocation_rows(b.elf, other)
        where = [span(one)], [span(other)]
        if len(rows) != len(rows_b) or not np.array_equal(rows[:, :2], rows_b[:, :2]):
            raise Refused(one.name, "its relocations are not the same", *where)
        for side, table in ((a, rows), (b, rows_b)):
            if len(table) and table[:, 2].max() >= len(side.symbols):
                raise Refused(one.name, "a relocation of no symbol", *where)
        pairs = np.unique(np.stack((rows[:, 2], rows_b[:, 2])), axis=1).T.tolist()
        if any(self._identity(0, x) != self._identity(1, y) for x, y in pairs):
            raise Refused(one.name, "a relocation refers to another symbol", *where)
        if self.texts:
            self._addends(one, other, rows)
        if not np.array_equal(rows[:, 3], rows_b[:, 3]):
            raise Refused(one.name, "a relocation has another addend", *where)
        if not same:
            self.pair.account.explain("elf.object-symbols", *where)

    def _addends(self, one: Part, other: Part, rows: np.typing.NDArray[np.int64]) -> None:
        """Move the addends of relocations against sections whose texts moved. Beside the name of a file, the kernel's
        table of warnings has a line and flags, which only the kernel reads, and shows."""
        a = self.sides[0]
        target = a.number(one.info)
        if target in self.texts:
            raise Refused(one.name, "it relocates texts that differ", [span(one)], [span(other)])
        for row in range(len(rows)):
            found = a.identity(int(rows[row, 2]))
            texts = self.texts.get(found[3]) if isinstance(found[3], int) else None
            if texts is None:
                continue
            self._no_name(one, found, rows[row], texts)
            if not texts.shifted:
                continue
            if one.type != t.SHT_RELA:
                raise Refused(one.name, "it refers to a text that moved, in a way that is not read here")
            held, old = a.elf.sections[one.info], int(rows[row, 3])
            warns = held.name == WARNINGS and not held.code
            rows[row, 3] = texts.addend(a.elf.header.machine, found, int(rows[row, 1]), old, warns=warns)
            lengths = texts.changed(old if found[1] & 15 == _SECTION else found[4] + old)
            if lengths and not (warns and not related(a.elf, held)):
                check_site(self._code, held, int(rows[row, 0]), lengths)

    @cached_property
    def _code(self) -> ObjectCode:
        return ObjectCode(self.pair.a, self.sides[0].table)

    def _no_name(self, one: Part, found: Identity, row: np.typing.NDArray[np.int64], texts: Texts) -> None:
        """A text that differs is no name in a table that the kernel or a linker reads (``__param``, ``__ksymtab``,
        events): those are in sections whose own names begin with ``_``. Raises :class:`Refused`."""
        elf = self.pair.a
        held = elf.sections[one.info]
        if not held.name.startswith("_") or held.name in _SHOWN:
            return
        addend = int(row[3])
        if one.type == t.SHT_REL:
            word = bytes(elf.data[held.offset : held.end][int(row[0]) : int(row[0]) + 4])
            addend = int.from_bytes(word, "big" if elf.elf.big else "little", signed=True)
        if texts.differs(addend if found[1] & 15 == _SECTION else found[4] + addend):
            raise Refused(held.name, "a name in a table that others read holds a declared value", [span(held)])


def _alike_in_order(local: list[Identity], known: Counter[Identity]) -> dict[str, list[Identity]]:
    """Symbols of one name that are ``known``, in their order: who looks for a name takes the first one, or the one of a
    number (Linux ``kernel/module/kallsyms.c``, ``kernel/livepatch/core.c``). Linkers take marks by their places."""
    out: dict[str, list[Identity]] = {}
    for found in local:
        if found in known and not _is_mark(found[0]):
            out.setdefault(found[0], []).append(found)
    return {name: rows for name, rows in out.items() if len(rows) > 1}


def _is_mark(name: str) -> bool:
    """Whether a symbol says what is code and what is data (AAELF32 4.5.5, AAELF64 5.5.4): linkers go by it."""
    return name[:1] == "$" and name[1:2].isalpha() and name[2:3] in ("", ".")


class _Side:
    """One file: the sections that are compared one by one, and those of debug information."""

    def __init__(self, elf: OwnedElf) -> None:
        self.elf = elf
        tables = [p for p in elf.sections if p.type == SHT_SYMTAB]
        if len(tables) != 1 or not 0 < tables[0].link < len(elf.sections):
            raise Refused(".symtab", "an object without a table of symbols, or with several")
        self.table = tables[0]
        apart = {0, self.table.index, self.table.link, elf.header.shstrndx}
        debug = [p for p in elf.sections if p.index and is_debug(p.name)]
        self.debug = numbered(debug)
        if len(self.debug) != len(debug) or any(p.loaded for p in debug):
            raise Refused("debug information", "two tables relocate one section, or a section is loaded")
        strings = elf.sections[self.table.link]
        if strings.type != SHT_STRTAB or is_debug(strings.name):
            raise Refused(strings.name, "is no table of symbols' names alone")
        self.parts = [p for p in elf.sections if p.index not in apart and not is_debug(p.name)]
        self.apart = [strings, elf.sections[elf.header.shstrndx]]
        self.order = {p.index: n for n, p in enumerate(self.parts)}
        self.dropped: set[int] = set()
        self._check_places()
        self.symbols = symbols_of(elf, self.table)
        self._names = elf.bytes(strings)
        self._known: dict[int, Identity] = {}

    def _check_places(self) -> None:
        """Each section stands where its alignment puts it behind what is before it: no place says anything."""
        sections, fields = self.elf.sections, self.elf.fields
        close = {after.index: gap.end - gap.start for gap, after in pairwise(fields) if gap.kind == "gap"}
        if close.pop(-1, 0) >= 8:
            raise Refused("section headers", "more zeros before them than their alignment takes")
        before = self.elf.header.ehsize
        laid = sorted(
            sections[1:], key=lambda part: (part.offset, part.end, part.index)
        )  # LLVM's table of names stands last
        self.laid = [self.number(part.index) for part in laid if part.index in self.order]
        for part in laid:
            align = max(part.align, 1)
            follows = part.offset in (before, -(-before // align) * align)
            if not follows and (part.end == part.offset or part.offset % align or close.get(part.index, 0) >= align):
                raise Refused(part.name, "it does not stand where its alignment puts it")
            before = max(before, part.end)

    def number(self, index: int) -> object:
        """The number of a section among those compared; its name where it is none of them."""
        if index in self.order:
            return self.order[index]
        if index == 0:
            return None
        return canonical(self.elf.sections[index].name) if 0 < index < len(self.elf.sections) else index

    def identity(self, index: int) -> Identity:
        """What symbol ``index`` is. Raises :class:`Refused` where there is none."""
        if index not in self._known:
            if not 0 <= index < len(self.symbols):
                raise Refused(self.table.name, "a symbol beyond its end")
            name, info, other, place, value, size = (
                int(self.symbols[index][c]) for c in ("name", "info", "other", "shndx", "value", "size")
            )
            end = self._names.find(b"\0", name)
            if end < 0:
                raise Refused(self.table.name, "a symbol's name has no end")
            where = ("reserved", place) if place == 0 or place >= 0xFF00 else self.number(place)
            text = self._names[name:end].decode("latin-1")
            self._known[index] = text, info, other, place if place == 0xFFF1 else where, value, size
        return self._known[index]


def _kind(part: Part) -> tuple[object, ...]:
    return part.name, part.type, part.flags, part.addr, part.align, part.entsize
