"""Declared texts of equal length in two files without a section table, whose loaded bytes are otherwise equal.

Nothing names the sections, so each text is shown to be one: it stands in a segment that nobody writes to, in no table
that the loader reads and under no relocation; code makes the address of its first byte (or an exported object is just
this text), calls nothing there and stores the address nowhere; and where the segment holds code too, it stands behind
all code that the file's tables know, whose last is that of DT_FINI. Anything else is refused.

Sources: gABI (2013 draft) chapter 5; GNU ld's default linker script (the order of ``.init``, ``.text``, ``.fini`` and
``.rodata``); System V ABI, MIPS supplement, chapter 5.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.elf_references import calls_into, known_machine, pointed, taken
from banbury.compare.equivalence.literals import declared_texts
from banbury.compare.equivalence.model import Range
from banbury.formats import _elf_types as t
from banbury.model.errors import Malformed

_FREE: Final = {t.PT_LOAD, t.PT_GNU_RELRO, 0x6474E551}  # of segments: those that are no table of a loader's; the stack
_MOST: Final = 256  # texts: each is looked for in all code
_FUNCTIONS: Final = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
_OBJECT: Final = 1
#: Tables of the dynamic linker, by tag; and of some the tag of their size.
_TABLES: Final = {
    t.DT_STRTAB: t.DT_STRSZ, t.DT_SYMTAB: 0, t.DT_HASH: 0, t.DT_GNU_HASH: 0, t.DT_VERSYM: 0, t.DT_VERNEED: 0,
    t.DT_VERDEF: 0, t.DT_RELA: t.DT_RELASZ, t.DT_REL: t.DT_RELSZ, t.DT_JMPREL: t.DT_PLTRELSZ, t.DT_RELR: t.DT_RELRSZ,
    25: 27, 26: 28, 32: 33,
}  # fmt: skip


def explain_texts(pair: Pair, start: int, end: int, left: list[Range]) -> list[Range]:
    """Enter the declared texts among the differing ranges ``left`` of the bytes ``start`` to ``end`` that one segment
    maps; returns what remains. Refused texts are entered with their reason."""
    if not pair.declared.differ or not left:
        return left
    raw = bytes(pair.a.data[start:end])
    other = bytearray(raw)  # but for what is accounted for already
    for run in left:
        other[run.start - start : run.end - start] = pair.b.data[run.start : run.end]
    found, rest = declared_texts(raw, bytes(other), pair.declared)
    out = [Range(r.start + start, r.end + start) for r in rest]
    proof = _Proof(pair.a)
    for run, names in found:
        where = Range(run.start + start, run.end + start)
        why = proof.refusal(raw, start, run)
        if why:
            pair.account.notes.append(f"a declared text at {where.start:#x} is not taken: {why}")
            out.append(where)
        else:
            pair.account.explain("elf.declared-literal", [where], [where], ", ".join(sorted(set(names))))
            pair.account.explain("elf.bare-text", [where], [where])
    return sorted(out, key=lambda r: r.start)


class _Proof:
    """What the first file's tables say; its bytes are the second's but for texts."""

    def __init__(self, elf: OwnedElf) -> None:
        self.elf = elf
        self.known: dict[int, str] = {}

    def refusal(self, raw: bytes, start: int, run: Range) -> str:
        """Why the text around ``run`` in the bytes ``raw`` at ``start`` is not shown to be one, or ``""``."""
        first, stop = raw.rfind(b"\0", 0, run.start) + 1, raw.find(b"\0", run.start)
        if first == 0 or stop < 0:
            return "it has no end"
        if first not in self.known:
            if len(self.known) == _MOST:
                return "too many texts differ"
            try:
                self.known[first] = self._refusal(first + start, stop + 1 + start)
            except Malformed as error:
                self.known[first] = f"a table of the dynamic linker cannot be read: {error}"
        return self.known[first]

    def _refusal(self, first: int, behind: int) -> str:
        if not known_machine(self.elf):
            return "references of this machine's code are not known here"
        load = next(x for x in self.elf.elf.loads if x.offset <= first and behind <= x.offset + x.filesz)
        address = first - load.offset + load.vaddr
        stop = address + behind - first
        why = self._written(load, address, stop)
        if not why and load.flags & t.PF_X:
            why = self._among_code(load, address)
        if not why and calls_into(self.elf, *self._code, address, stop):  # old programs may run whatever they may read
            why = "code jumps there"
        if why or self._exported(address, behind - first):
            return why
        if pointed(self.elf, self._code, address):
            return "its address is stored in data: it may be called"
        return taken(self.elf, self._code, address)

    def _written(self, load: t.Segment, address: int, stop: int) -> str:
        """Why the bytes between two addresses may be read by a loader, or change."""
        if load.flags & t.PF_W:
            return "the program may write there"
        if any(low < stop and address < high for low, high in self._tables):
            return "it is in a table of the loader's"
        if not self.elf.elf.symbols_complete:
            return "not all dynamic symbols are known"
        places = self._relocated
        return "the dynamic linker changes it" if ((places + 8 > address) & (places < stop)).any() else ""

    def _among_code(self, load: t.Segment, address: int) -> str:
        """Why what stands at an address of a segment that holds code may be code."""
        (low, high), bounds = self._code, [self.elf.elf.tag(tag) for tag in (12, 13)]
        if any(x is None or not load.vaddr <= x < load.vaddr + load.filesz for x in bounds):
            return "the segment holds code, and no DT_INIT and DT_FINI say where"
        return "" if low < high < address else "it is not behind the code that is known"

    def _exported(self, address: int, size: int) -> bool:
        symbols = [s for s in self.elf.elf.dynamic_symbols if s.section and s.value == address]
        return bool(symbols) and all(s.info & 15 == _OBJECT and s.size == size for s in symbols)

    @cached_property
    def _tables(self) -> list[tuple[int, int]]:
        """Addresses of what loaders read: each segment that is no PT_LOAD, each table, and what lies between tables."""
        elf = self.elf.elf
        out = [(s.vaddr, s.vaddr + s.memsz) for s in self.elf.segments if s.type not in _FREE and s.memsz]
        out += [(x.vaddr, x.vaddr + 64 + 56 * len(self.elf.segments)) for x in elf.loads if x.offset == 0]
        starts = {tag: elf.tag(tag) for tag in _TABLES}
        held = [(x, x + ((elf.tag(_TABLES[tag]) or 1) if _TABLES[tag] else 1)) for tag, x in starts.items() if x]
        symbols = starts[t.DT_SYMTAB]
        if symbols:
            held.append((symbols, symbols + elf.symbol_count.count * t.SYM[elf.key].size))
        for load in elf.loads:  # those of one segment stand together
            inside = [(x, y) for x, y in held if load.vaddr <= x < load.vaddr + load.memsz]
            if inside and not load.flags & t.PF_W:
                out.append((min(x for x, _ in inside), max(y for _, y in inside)))
        return out + held

    @cached_property
    def _relocated(self) -> npt.NDArray[np.int64]:
        """Places that the dynamic linker writes to."""
        elf = self.elf.elf
        found = [r.offsets.astype(np.int64) for r in elf.relocations]
        found.append(np.array(elf.relative_addresses, np.int64))
        return np.concatenate(found)

    @cached_property
    def _code(self) -> tuple[int, int]:
        """The first and the last address of code that the header, the dynamic table and the dynamic symbols know; of a
        last function without a size, its first byte."""
        elf = self.elf.elf
        roots = [self.elf.header.entry, elf.tag(12), elf.tag(13)]
        known = {x & ~1 for x in roots if x}
        for symbol in elf.dynamic_symbols:
            if symbol.info & 15 in _FUNCTIONS and symbol.value:
                known |= {symbol.value & ~1, (symbol.value & ~1) + symbol.size}
        return (min(known), max(known)) if known else (0, 0)
