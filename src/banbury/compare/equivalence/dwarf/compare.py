"""Debug information of two files: every byte equal, or an offset, an address or a text that corresponds.

Nothing here leaves the second file any freedom: its records are those of the first; offsets lead to the same records;
texts are the first file's with declared values replaced; each text of its tables is referred to, or is the first's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.dwarf.info import InfoWalker
from banbury.compare.equivalence.dwarf.line import LineWalker
from banbury.compare.equivalence.dwarf.sections import LARGEST, Debug, Placed, read_debug
from banbury.compare.equivalence.dwarf.shape import (
    ADDRESS,
    ENTRY,
    I64,
    LINE_STRING,
    LINES,
    LIST,
    LOCAL,
    NAMES,
    STRING,
    TEXT,
    Walk,
    walked,
)  # fmt: skip
from banbury.compare.equivalence.dwarf.tables import Tables
from banbury.compare.equivalence.elf_debug_names import PREFIXES, canonical, is_debug
from banbury.compare.equivalence.elf_map import SHF_COMPRESSED, SHT_SYMTAB, OwnedElf, Part
from banbury.compare.equivalence.elf_pair import Pair, span
from banbury.compare.equivalence.elf_symbols import symbols_of
from banbury.compare.equivalence.literals import is_text
from banbury.model.errors import BudgetExceeded, Malformed

Moved = Callable[[int], int | None]
#: Bytes of texts that are compared at most: texts that overlap would be read again and again.
_MOST_TEXT: Final = 1 << 30
_STRINGS: Final = {".debug_str": STRING, ".debug_line_str": LINE_STRING}


class _Section(Struct):
    name: str
    a: Debug
    b: Debug
    walks: tuple[Walk, Walk] | None = None

    @property
    def kind(self) -> str:
        """The name without the number of one that occurs again."""
        return self.name.partition("#")[0]

    @property
    def equal(self) -> bool:
        return self.a.raw == self.b.raw


def compare_debug(
    pair: Pair,
    ours: dict[str, Part],
    theirs: dict[str, Part],
    moved: Moved | None,
    placed: Placed | None = None,
) -> set[str]:
    """Compare the sections of debug information that both files have, as far as they differ.

    ``ours`` and ``theirs``: the sections that are not loaded, by name. ``placed``: what says where the texts of an
    object went that its relocations lead to. Returns the names that are dealt with, of both
    files. Differences go into the account; what is no debug information as DWARF says is refused there.
    """
    named_a, named_b = ({canonical(n): n for n in side if n.startswith(PREFIXES)} for side in (ours, theirs))
    common = [n for n in named_a if n in named_b]
    done = {n for name in common for n in (named_a[name], named_b[name])}
    for name in common:
        done |= {p + side[name] for p in (".rela", ".rel") for side in (named_a, named_b)}
    done &= ours.keys() | theirs.keys()
    both: dict[str, tuple[Part, Part, Part | None, Part | None]] = {
        n: (ours[named_a[n]], theirs[named_b[n]], None, None) for n in common
    }
    try:
        tables = [_tables(ours, named_a), _tables(theirs, named_b)]
        both = {n: (*row[:2], tables[0].get(n), tables[1].get(n)) for n, row in both.items()}
        _ordered(common, [n for n in named_b if n in named_a])
        for row in both.values():
            _linked(pair, *row)
        if all(_untouched(pair, *row) for row in both.values()) and moved is None and placed is None:
            return done
        _Comparison(pair, both, moved, placed).run()
    except Refused as answer:
        whole = [span(r[0]) for r in both.values()], [span(r[1]) for r in both.values()]
        pair.account.refuse(answer.where, answer.why, answer.a or whole[0], answer.b or whole[1])
    except (Malformed, BudgetExceeded) as problem:
        whole = [span(r[0]) for r in both.values()], [span(r[1]) for r in both.values()]
        pair.account.refuse("debug information", str(problem), *whole)
    return done


def _tables(side: dict[str, Part], named: dict[str, str]) -> dict[str, Part]:
    out = {}
    for name, own in named.items():
        found = [side[t + own] for t in (".rela", ".rel") if t + own in side]
        if len(found) > 1:
            raise Refused(own, "two tables relocate it")
        if found:
            out[name] = found[0]
    return out


def _ordered(ours: list[str], theirs: list[str]) -> None:
    if ours != theirs:
        raise Refused("debug information", "its sections stand in another order")


def _linked(pair: Pair, one: Part, other: Part, table: Part | None, table_b: Part | None) -> None:
    """Links of section headers lead nowhere, and those of relocations to the symbols and to their section; what is
    packed has an alignment of its header. Nothing else may stand there."""
    for elf, part, own in ((pair.a, one, table), (pair.b, other, table_b)):
        if part.link or part.info or (part.flags & SHF_COMPRESSED and part.align not in (1, 4, 8)):
            raise Refused(part.name, "its header says more than debug information's does")
        if own is None:
            continue
        symbols = elf.sections[own.link] if own.link < len(elf.sections) else None
        if symbols is None or symbols.type != SHT_SYMTAB or own.info != part.index:
            raise Refused(own.name, "it does not relocate its section by the file's symbols")
    if table and table_b and _header(table) != _header(table_b):
        raise Refused(table.name, "its header differs")


def _header(part: Part) -> tuple[int, ...]:
    return part.type, part.flags, part.addr, part.align, part.entsize


def _untouched(pair: Pair, one: Part, other: Part, table: Part | None, table_b: Part | None) -> bool:
    """Whether a section and its relocations are the same bytes under the same header."""
    if (table is None) != (table_b is None):
        return False
    rows = [(one, other)] + ([(table, table_b)] if table and table_b else [])
    return all(
        x.name == y.name and _header(x) == _header(y)
        and pair.a.data[x.offset : x.end] == pair.b.data[y.offset : y.end]
        for x, y in rows
    )  # fmt: skip


class _Comparison:
    def __init__(
        self,
        pair: Pair,
        both: dict[str, tuple[Part, Part, Part | None, Part | None]],
        moved: Moved | None,
        placed: Placed | None,
    ) -> None:
        self.pair, self.moved = pair, moved
        self.sections: dict[str, _Section] = {}
        rooms = [LARGEST, LARGEST]
        for name, (one, other, table, table_b) in both.items():
            if (table is None) != (table_b is None):
                raise Refused(one.name, "only one of the two is relocated", [span(one)], [span(other)])
            a = read_debug(pair.a, one, table, rooms[0], placed)
            b = read_debug(pair.b, other, table_b, rooms[1])
            rooms = [rooms[0] - len(a.raw), rooms[1] - len(b.raw)]
            heads = [(d.part.type, d.flags, d.align, d.part.addr, d.part.entsize) for d in (a, b)]
            if heads[0] != heads[1]:
                raise Refused(one.name, "its header differs", [span(one)], [span(other)])
            self.sections[name] = _Section(name, a, b)

    def run(self) -> None:
        names = set()
        if self.moved is not None or not all(s.equal for s in self.sections.values()):
            names = self._records()
        for section in self.sections.values():
            self._relocations(section)
        self._enter(names)

    # Records

    def _records(self) -> set[str]:
        order = ">" if self.pair.a.elf.big else "<"
        tables = Tables(order, 8 if self.pair.a.elf.is64 else 4, moved=self.moved is not None)
        abbrev = self.sections.get(".debug_abbrev")
        if abbrev and not abbrev.equal:
            raise Refused(".debug_abbrev", "it differs", [span(abbrev.a.part)], [span(abbrev.b.part)])
        plans = abbrev.a.raw if abbrev else b""
        by_name: dict[str, Callable[[bytes], Walk]] = {
            ".debug_info": InfoWalker(plans, order, types=False, moved=self.moved is not None),
            ".debug_types": InfoWalker(plans, order, types=True, moved=self.moved is not None),
            ".debug_line": LineWalker(order, moved=self.moved is not None),
            ".debug_aranges": tables.aranges,
            ".debug_ranges": tables.ranges,
            ".debug_rnglists": tables.lists,
            ".debug_loclists": tables.locations,
            ".debug_addr": tables.addr,
            ".debug_frame": tables.frame,
            ".debug_str_offsets": tables.offsets,
            ".debug_macro": tables.macro,
            ".debug_pubnames": tables.names,
            ".debug_pubtypes": tables.names,
            ".debug_gnu_pubnames": tables.gnu_names,
            ".debug_gnu_pubtypes": tables.gnu_names,
        }
        for name, section in sorted(self.sections.items(), key=lambda item: item[0] != ".debug_info"):
            if name not in _STRINGS:
                walk = by_name.get(section.kind, tables.plain)
                if section.equal and section.kind in (".debug_loclists", ".debug_frame"):
                    walk = tables.plain
                section.walks = walked(name, walk, section.a.raw, section.b.raw)
            if name == ".debug_info" and section.walks:
                tables.located = section.walks[0].value[section.walks[0].kind == LIST]
        info = self.sections.get(".debug_info")
        names: set[str] = set()
        for section in self.sections.values():
            if section.walks:
                self._fields(section, info)
                names |= self._inline(section)
        for name, kind in _STRINGS.items():
            names |= self._strings(name, kind)
        return names

    def _fields(self, section: _Section, info: _Section | None) -> None:
        """References, line programs and addresses correspond."""
        assert section.walks
        one, other = section.walks
        lines = self.sections.get(".debug_line")
        there = info.walks if info else None
        units = section.kind not in (".debug_info", ".debug_types")
        own = there if units else section.walks
        for kind, target in ((LOCAL, own), (ENTRY, there), (LINES, lines.walks if lines else None)):
            rows = one.kind == kind
            if rows.any():
                self._lead_alike(section, kind, (one.value[rows], other.value[rows]), target, units=units)
        rows = one.kind == LIST
        if not np.array_equal(one.value[rows], other.value[rows]):
            raise Refused(section.name, "a list of locations stands elsewhere")
        rows = one.kind == ADDRESS
        self._addresses(section, one.value[rows], other.value[rows])

    def _lead_alike(
        self, section: _Section, kind: int, values: tuple[I64, I64], target: tuple[Walk, Walk] | None, *, units: bool
    ) -> None:
        ranks = []
        for value, walk in zip(values, target or (), strict=False):
            places = walk.units if units or kind == LINES else walk.entries
            rank = np.searchsorted(places, value)
            safe = np.minimum(rank, max(len(places) - 1, 0))
            if not len(places) or (places[safe] != value).any():
                raise Refused(section.name, f"a {NAMES[kind]} leads to no record")
            ranks.append(rank)
        if len(ranks) != 2 or not np.array_equal(ranks[0], ranks[1]):
            raise Refused(section.name, f"a {NAMES[kind]} leads to another record")

    def _addresses(self, section: _Section, old: I64, new: I64) -> None:
        both = np.unique(np.stack((old, new)), axis=1) if (old != new).any() else np.zeros((2, 0), np.int64)
        mask = (1 << 64) - 1
        for x, y in both.T.tolist():
            if x != y and (self.moved is None or self.moved(x & mask) != y & mask):
                raise Refused(section.name, f"the address {x & mask:#x} became {y & mask:#x}")

    # Texts

    def _inline(self, section: _Section) -> set[str]:
        assert section.walks
        one, other = section.walks
        names: set[str] = set()
        rows = np.flatnonzero(one.kind == TEXT).tolist()
        for row in rows:
            texts = [w.raw[int(w.at[row]) : int(w.at[row] + w.size[row]) - 1] for w in (one, other)]
            names |= self._text(section.name, *texts)
        return names

    def _text(self, where: str, old: bytes, new: bytes) -> set[str]:
        """The names of the declared values that make ``new`` of ``old``. Raises :class:`Refused`."""
        if old == new:
            return set()
        if not is_text(new):
            raise Refused(where, "a text that is not plain")
        made, names = self.pair.declared.apply(old) if self.pair.declared.differ else (old, [])
        if made == new:
            return set(names)
        records = self.pair.record_a, self.pair.record_b
        if all(r and text.decode("latin-1") in r.producers for r, text in zip(records, (old, new), strict=True)):
            return {"producer"}
        raise Refused(where, f"a text that is not declared: {new[:60].decode('latin-1')!r}")

    def _strings(self, name: str, kind: int) -> set[str]:
        section = self.sections.get(name)
        walks = [s.walks for s in self.sections.values() if s.walks]
        none = np.zeros(0, np.int64)
        old, new = (np.concatenate([none, *(w[n].value[w[n].kind == kind] for w in walks)]) for n in (0, 1))
        if section is None:
            if len(old):
                raise Refused(name, "it is referred to, and not there")
            return set()
        if not len(section.a.raw) and not len(section.b.raw):
            return set()
        raws = section.a.raw, section.b.raw
        if any(r[-1:] != b"\0" for r in raws):
            raise Refused(name, "its last text has no end", [span(section.a.part)], [span(section.b.part)])
        names: set[str] = set()
        room = _MOST_TEXT
        for x, y in np.unique(np.stack((old, new)), axis=1).T.tolist():
            if not (0 <= x < len(raws[0]) and 0 <= y < len(raws[1])):
                raise Refused(name, "a reference leads out of it")
            text, text_b = (r[at : r.index(b"\0", at)] for r, at in zip(raws, (x, y), strict=True))
            room -= len(text) + len(text_b)
            if room < 0:
                raise Refused(name, "more text than is compared here")
            names |= self._text(name, text, text_b)
        unused = [self._unused(*side) for side in ((section.a, old), (section.b, new))]
        known = [set(r.split(b"\0")) for r in raws] if unused[0] or unused[1] else [set(), set()]
        made = {self.pair.declared.apply(text)[0] for text in unused[0] - known[1]}
        if not made <= known[1] or not unused[1] - known[0] <= {self.pair.declared.apply(t)[0] for t in known[0]}:
            raise Refused(
                name, "it holds a text that nothing refers to", [span(section.a.part)], [span(section.b.part)]
            )
        return names

    @staticmethod
    def _unused(side: Debug, used: I64) -> set[bytes]:
        """Texts of a table that nothing refers to (by their beginning)."""
        ends = np.flatnonzero(np.frombuffer(side.raw, np.uint8) == 0)
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
        alone = ~np.isin(starts, used)
        return {side.raw[x:y] for x, y in zip(starts[alone].tolist(), ends[alone].tolist(), strict=True)}

    # Relocations

    def _relocations(self, section: _Section) -> None:
        """The same places are relocated, in the same way, against the same symbols."""
        a, b = section.a, section.b
        if a.table is None or b.table is None:
            return
        if len(a.relocations) != len(b.relocations) or not np.array_equal(a.relocations[:, 1], b.relocations[:, 1]):
            raise Refused(a.table.name, "its relocations are not the same", [span(a.table)], [span(b.table)])
        places = [_ranked(d, w) for d, w in zip((a, b), section.walks or (None, None), strict=True)]
        symbols = [_identities(e, d) for e, d in ((self.pair.a, a), (self.pair.b, b))]
        if not np.array_equal(places[0], places[1]) or symbols[0] != symbols[1]:
            raise Refused(a.table.name, "its relocations are not the same", [span(a.table)], [span(b.table)])

    def _enter(self, names: Iterable[str]) -> None:
        account = self.pair.account
        for section in self.sections.values():
            a, b = section.a, section.b
            here, there = ([span(d.part)] + ([span(d.table)] if d.table else []) for d in (a, b))
            if a.part.flags != b.part.flags or a.part.name != b.part.name:
                account.explain("elf.debug-compression", here, there, section.name)
            if self.pair.a.data[a.part.offset : a.part.end] == self.pair.b.data[b.part.offset : b.part.end]:
                continue
            if section.equal and not a.part.flags & 0x800 == 0 == b.part.flags & 0x800:
                account.explain("elf.debug-compression", here, there, section.name)
            elif not section.equal:
                account.explain("elf.debug-information", here, there, ", ".join(sorted(names)))


def _ranked(side: Debug, walk: Walk | None) -> I64:
    """Places of relocations as they are in both files: bytes outside fields before them, and fields before them."""
    places = side.relocations[:, 0]
    if walk is None or not len(walk.at):
        return places
    before = np.searchsorted(walk.at, places, "right")
    sizes = np.concatenate((np.zeros(1, np.int64), np.cumsum(walk.size)))
    starts = np.concatenate((np.zeros(1, np.int64), walk.at))[before]
    ends = np.concatenate((np.zeros(1, np.int64), walk.at + walk.size))[before]
    inside = places < ends
    rank = np.where(inside, places - starts, places - sizes[before] + (1 << 40))
    return before * (1 << 48) + rank


def _identities(elf: OwnedElf, side: Debug) -> list[tuple[object, ...]]:
    """What each relocation refers to: a section's or a symbol's name, and what else a symbol says."""
    assert side.table
    table = elf.sections[side.table.link]
    names = elf.bytes(elf.sections[table.link])
    symbols = symbols_of(elf, table)
    cache: dict[int, tuple[object, ...]] = {}
    out = []
    for index in side.relocations[:, 2].tolist():
        if index not in cache:
            row = symbols[index]
            at, place = int(row["name"]), int(row["shndx"])
            text = names[at : names.index(b"\0", at)]
            where = canonical(elf.sections[place].name) if 0 < place < len(elf.sections) else place
            debug = isinstance(where, str) and is_debug(where)
            cache[index] = (text, where, int(row["info"]), -1 if debug else int(row["value"]))
        out.append(cache[index])
    return out
