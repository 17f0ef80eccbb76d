"""Relocation tables of an ELF file, as arrays.

Sources: gABI chapter 4 (relocation) and the DT_RELR proposal of 2018; MIPS ABI supplement, chapter 5 (global
offset table) and the 64-bit object file specification, section 2.9 (the split ``r_info``).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from banbury.formats import _elf_types as t
from banbury.formats.view import View
from banbury.model.errors import Malformed

if TYPE_CHECKING:
    from banbury.formats.elf import ElfFile

Array = npt.NDArray[np.uint64]


class Relocations:
    """One table: ``count`` entries at ``offset`` of the file, each with its own addend where ``rela``.

    ``name`` is the dynamic tag or the section that it comes from; ``offsets``, ``symbols``, ``types`` and
    ``addends`` are arrays of equal length (``offsets`` are addresses, or offsets in a section in a relocatable
    file).
    """

    def __init__(self, elf: ElfFile, name: str, rela: bool, offset: int, size: int) -> None:
        self.name = name
        self.rela = rela
        self.offset = offset
        self._is64 = elf.is64
        self._big = elf.big
        self._mips64 = elf.is64 and elf.header.machine == t.EM_MIPS and not elf.big
        self._view: View = elf.view
        self.entry = (8 if elf.is64 else 4) * (3 if rela else 2)
        self.count = size // self.entry

    @cached_property
    def _table(self) -> npt.NDArray[np.void]:
        word = (">" if self._big else "<") + ("u8" if self._is64 else "u4")
        fields = [("offset", word), ("info", word)]
        if self.rela:
            fields.append(("addend", word.replace("u", "i")))
        raw = self._view.mem(self.offset, self.count * self.entry)
        return np.frombuffer(raw, np.dtype(fields))

    @cached_property
    def offsets(self) -> Array:
        return self._table["offset"].astype(np.uint64)

    @cached_property
    def symbols(self) -> Array:
        """Index of each entry's symbol; 0 where it has none."""
        info = self._table["info"]
        if not self._is64:
            return (info >> 8).astype(np.uint64)
        return (info & 0xFFFFFFFF if self._mips64 else info >> 32).astype(np.uint64)

    @cached_property
    def types(self) -> Array:
        """Processor-specific type. On 64-bit MIPS: the three types of an entry, first one lowest."""
        info = self._table["info"]
        if not self._is64:
            return (info & 0xFF).astype(np.uint64)
        if self._mips64:  # bytes: symbol (4), special symbol, type 3, type 2, type
            return ((info >> 56) | ((info >> 40) & 0xFF00) | ((info >> 24) & 0xFF0000)).astype(np.uint64)
        return (info & 0xFFFFFFFF).astype(np.uint64)

    @cached_property
    def addends(self) -> npt.NDArray[np.int64]:
        """Zero throughout for a table without addends: they stand where the relocation applies."""
        if not self.rela:
            return np.zeros(self.count, np.int64)
        return self._table["addend"].astype(np.int64)


def dynamic_relocations(elf: ElfFile) -> list[Relocations]:
    """The tables DT_REL, DT_RELA and DT_JMPREL. Raises ``Malformed`` where one is not wholly in the file."""
    out: list[Relocations] = []
    for name, at, sized, rela in (
        ("DT_REL", t.DT_REL, t.DT_RELSZ, False),
        ("DT_RELA", t.DT_RELA, t.DT_RELASZ, True),
        ("DT_JMPREL", t.DT_JMPREL, t.DT_PLTRELSZ, elf.tag(t.DT_PLTREL) == t.DT_RELA),
    ):
        address, size = elf.tag(at), elf.tag(sized)
        if address is None or not size:
            continue
        offset, room = elf.span_of(address)
        if size > room:
            raise Malformed(f"the table {name} runs out of its segment", offset=offset)
        out.append(Relocations(elf, name, rela, offset, size))
    return out


def relative_addresses(elf: ElfFile) -> list[int]:
    """The addresses that DT_RELR says to relocate by the load address."""
    address, size = elf.tag(t.DT_RELR), elf.tag(t.DT_RELRSZ)
    if address is None or not size:
        return []
    offset, room = elf.span_of(address)
    if size > room:
        raise Malformed("the table DT_RELR runs out of its segment", offset=offset)
    width = 8 if elf.is64 else 4
    words = np.frombuffer(elf.view.mem(offset, size // width * width), (">u" if elf.big else "<u") + str(width))
    out: list[int] = []
    base = 0
    for word in words.tolist():
        if word & 1 == 0:
            out.append(word)
            base = word + width
            continue
        bits = word >> 1
        while bits:
            low = bits & -bits
            out.append(base + width * (low.bit_length() - 1))
            bits ^= low
        base += width * (8 * width - 1)
        if len(out) > len(elf.view):
            raise Malformed("DT_RELR lists more addresses than the file has bytes", offset=offset)
    return out


def mips_got(elf: ElfFile) -> list[tuple[int, int]]:
    """(address, symbol index) of every global entry of a MIPS global offset table; ``[]`` on other machines.
    The loader fills these without relocations: symbol DT_MIPS_GOTSYM + i belongs to entry DT_MIPS_LOCAL_GOTNO + i."""
    tags = [elf.tag(x) for x in (t.DT_PLTGOT, t.DT_MIPS_LOCAL_GOTNO, t.DT_MIPS_GOTSYM, t.DT_MIPS_SYMTABNO)]
    if elf.header.machine != t.EM_MIPS or None in tags:
        return []
    got, local, first, end = (x or 0 for x in tags)
    end = min(end, elf.symbol_count.count)
    width = 8 if elf.is64 else 4
    return [(got + width * (local + i - first), i) for i in range(first, end)]
