"""The records, field layouts and numbers of ELF that the parser works with.

Sources: System V Application Binary Interface, edition 4.1 and the gABI draft of 2013, chapters 4 and 5;
the MIPS, ARM, AArch64 and x86-64 processor supplements; the GNU extensions as in binutils' include/elf/common.h.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout
from typing import Final

from msgspec import Struct

from banbury.model.errors import Malformed

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_PHDR, PT_TLS = 1, 2, 3, 4, 6, 7
PT_GNU_EH_FRAME, PT_GNU_STACK, PT_GNU_RELRO, PT_GNU_PROPERTY = 0x6474E550, 0x6474E551, 0x6474E552, 0x6474E553
PT_MIPS_ABIFLAGS = 0x70000003
PF_X, PF_W, PF_R = 1, 2, 4

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4

SHT_NULL, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOTE, SHT_NOBITS, SHT_REL, SHT_DYNSYM = 0, 2, 3, 4, 7, 8, 9, 11
SHF_EXECINSTR = 4

EM_386, EM_MIPS, EM_PPC, EM_PPC64, EM_S390, EM_ARM, EM_X86_64, EM_AARCH64 = 3, 8, 20, 21, 22, 40, 62, 183
EM_RISCV, EM_LOONGARCH, EM_ALPHA = 243, 258, 0x9026

DT_NEEDED, DT_PLTRELSZ, DT_PLTGOT, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ = 1, 2, 3, 4, 5, 6, 7, 8
DT_STRSZ, DT_SYMENT, DT_SONAME, DT_RPATH, DT_REL, DT_RELSZ, DT_PLTREL, DT_DEBUG = 10, 11, 14, 15, 17, 18, 20, 21
DT_TEXTREL, DT_JMPREL, DT_BIND_NOW, DT_RUNPATH, DT_FLAGS, DT_RELRSZ, DT_RELR = 22, 23, 24, 29, 30, 35, 36
DT_GNU_HASH, DT_VERSYM, DT_FLAGS_1 = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFB
DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
DT_MIPS_LOCAL_GOTNO, DT_MIPS_SYMTABNO, DT_MIPS_GOTSYM = 0x7000000A, 0x70000011, 0x70000013
DF_TEXTREL, DF_BIND_NOW = 4, 8
DF_1_NOW, DF_1_PIE = 1, 0x08000000

#: Tags whose value is an address of a table in memory (used to bound a table by the next one).
ADDRESS_TAGS: Final = frozenset(
    (DT_HASH, DT_STRTAB, DT_RELA, DT_REL, DT_JMPREL, DT_RELR, DT_GNU_HASH, DT_VERSYM, DT_VERDEF, DT_VERNEED, DT_PLTGOT)
)


class Header(Struct, frozen=True, gc=False):
    """The ELF header, gABI figure 4-3, with ``phnum``, ``shnum`` and ``shstrndx`` as stored."""

    bits: int  # 32 or 64
    big: bool
    os_abi: int
    abi_version: int
    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class Segment(Struct, frozen=True, gc=False):
    """A program header, gABI figure 5-1. Offsets and sizes are in bytes."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


class Section(Struct, frozen=True, gc=False):
    """A section header, gABI figure 4-8, with its name looked up."""

    name: str
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int


class Symbol(Struct, frozen=True, gc=False):
    """A symbol, gABI figure 4-15. ``section`` is 0 (SHN_UNDEF) for one that another file provides."""

    name: str
    value: int
    size: int
    info: int
    other: int
    section: int

    @property
    def bind(self) -> int:
        """0 local, 1 global, 2 weak."""
        return self.info >> 4

    @property
    def type(self) -> int:
        """0 none, 1 object, 2 function, 3 section, 4 file, 6 thread-local, 10 indirect function."""
        return self.info & 15


class ElfNote(Struct, frozen=True, gc=False):
    """A note, gABI figure 5-3: owner's name, type, description, and where the description stands in the file."""

    owner: str
    type: int
    desc: bytes
    offset: int


class SymbolCount(Struct, frozen=True, gc=False):
    """How many dynamic symbols there are, by which table, and whether that covers every symbol that the
    dynamic linker can reach (through a hash table or a relocation)."""

    count: int
    complete: bool
    source: str


#: By (64-bit, big-endian).
HEADER: Final = {
    (w, b): Layout((">" if b else "<") + ("HHIQQQIHHHHHH" if w else "HHIIIIIHHHHHH")) for w in (0, 1) for b in (0, 1)
}
PHDR: Final = {(w, b): Layout((">" if b else "<") + ("IIQQQQQQ" if w else "IIIIIIII")) for w in (0, 1) for b in (0, 1)}
SHDR: Final = {
    (w, b): Layout((">" if b else "<") + ("IIQQQQIIQQ" if w else "IIIIIIIIII")) for w in (0, 1) for b in (0, 1)
}
DYN: Final = {(w, b): Layout((">" if b else "<") + ("qQ" if w else "iI")) for w in (0, 1) for b in (0, 1)}
SYM: Final = {(w, b): Layout((">" if b else "<") + ("IBBHQQ" if w else "IIIBBH")) for w in (0, 1) for b in (0, 1)}


class StringTable:
    """NUL-terminated strings by offset. Strings may overlap (a suffix may be shared), but their total length is
    bounded, so that a hostile table cannot make every name as long as the table.

    ``beyond`` gives the table together with what follows it: the dynamic linker does not heed DT_STRSZ, so a name
    may start or end past it. ``missed`` is set once a string was asked for that is in neither.
    """

    __slots__ = ("_beyond", "_budget", "_cache", "data", "missed")

    LONGEST: Final = 1 << 16

    def __init__(self, data: bytes, beyond: Callable[[], bytes] | None = None) -> None:
        self.data = data
        self.missed = False
        self._beyond = beyond
        self._cache: dict[int, str] = {}
        self._budget = 4 * len(data) + self.LONGEST

    def at(self, offset: int) -> str:
        """The string at ``offset``; ``""`` outside the table. Bytes that are not UTF-8 are written ``\\xNN``.
        Raises ``Malformed`` where the strings asked for overlap beyond reason."""
        known = self._cache.get(offset)
        if known is not None:
            return known
        data = self.data
        end = data.find(b"\0", offset, offset + self.LONGEST)
        if end < 0:
            if self._beyond:
                self.data, self._beyond = self._beyond(), None
                self._budget = 4 * len(self.data) + self.LONGEST
                return self.at(offset)
            if offset >= len(data):
                self.missed = True
                return ""
            end = min(offset + self.LONGEST, len(data))
        self._budget -= end - offset
        if self._budget < 0:
            raise Malformed("the names of a string table overlap beyond reason", offset=offset)
        text = data[offset:end].decode("utf-8", "backslashreplace")
        self._cache[offset] = text
        return text
