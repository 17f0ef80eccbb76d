"""Who owns each byte of an ELF file, and whether the loader sees what the section table says.

The map is a partition: the ELF header, the program headers, each section's content, the section headers, and gaps,
which must be zero. Anything else is refused: overlapping structures, bytes after the last structure, a loaded
section that its segment does not map where the section header says (the "clean copy" attack), segments that share
a page of memory, a symbol or string table that the dynamic section finds elsewhere than the section table does.

Sources: gABI (2013 draft) chapters 4 and 5; Linux ``fs/binfmt_elf.c``, ``elf_map`` and ``set_brk``.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import pairwise

import numpy as np
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.model import Range
from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.formats.view import View
from banbury.model.errors import Malformed

PT_TLS, PT_NULL = 7, 0
SHF_WRITE, SHF_ALLOC, SHF_EXEC, SHF_MERGE, SHF_STRINGS, SHF_TLS, SHF_COMPRESSED = 1, 2, 4, 0x10, 0x20, 0x400, 0x800
SHT_NOBITS, SHT_DYNAMIC, SHT_SYMTAB, SHT_STRTAB = 8, 6, 2, 3
PAGE = 4096

#: Program headers that describe memory: each must lie within a PT_LOAD at the same place of the file.
_WITHIN = {
    t.PT_DYNAMIC, t.PT_INTERP, t.PT_NOTE, t.PT_PHDR, t.PT_TLS, t.PT_GNU_EH_FRAME, t.PT_GNU_RELRO, t.PT_GNU_PROPERTY,
    t.PT_MIPS_ABIFLAGS, 0x70000000, 0x70000001,
}  # fmt: skip


class Field(Struct, frozen=True, gc=False):
    """One owner: ``key`` is unique in the file; ``kind`` is ``ehdr``, ``phdrs``, ``shdrs``, ``section`` or ``gap``."""

    start: int
    end: int
    kind: str
    key: str
    index: int = -1


class Part(Struct, frozen=True, gc=False):
    """A section header with its index and unresolved name."""

    index: int
    name: str
    name_at: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int

    @property
    def loaded(self) -> bool:
        return bool(self.flags & SHF_ALLOC)

    @property
    def end(self) -> int:
        return self.offset + (0 if self.type in (0, SHT_NOBITS) else self.size)

    @property
    def code(self) -> bool:
        return self.loaded and bool(self.flags & SHF_EXEC)


class OwnedElf:
    """An ELF file every byte of which has one owner. The constructor raises :class:`Refused` where it has not."""

    lent = False  # whether its section table is another file's, see elf_lent

    def __init__(self, view: View) -> None:
        self.view = view
        self.size = len(view)
        self.data = view.mem(0, self.size)
        try:
            self.elf = ElfFile(view)
            self.header = self.elf.header
            self.segments = self.elf.segments
            self.sections = self._read_sections()
            self._check_header()
            self.fields = self._partition()
            self._check_segments()
            for part in self.sections:
                self._check_part(part)
            self._check_dynamic()
        except Malformed as error:
            raise Refused("file", f"not a well-formed ELF file: {error}") from error

    # Reading

    def _read_sections(self) -> list[Part]:
        elf, header = self.elf, self.header
        if header.shoff == 0 and header.shnum == 0 and header.shstrndx == 0:
            return []
        if elf.section_state != "present" or header.shnum == 0 or header.shstrndx >= header.shnum:
            raise Refused("section headers", "stated but not readable, or of the extended kind")
        raw = list(t.SHDR[elf.key].iter_unpack(self.view.mem(header.shoff, header.shnum * header.shentsize)))
        names = self.view.take(raw[header.shstrndx][4], raw[header.shstrndx][5])
        if raw[header.shstrndx][1] != SHT_STRTAB or names[:1] != b"\0" or names[-1:] != b"\0":
            raise Refused("section names", "the table of names is no string table")
        out = []
        for index, (name, *rest) in enumerate(raw):
            if name >= len(names):
                raise Refused(f"section header {index}", "its name is outside the table of names")
            text = names[name : names.index(b"\0", name)].decode("latin-1")
            out.append(Part(index, text, name, *rest))
        if any(raw[0]):
            raise Refused("section header 0", "not all zero")
        return out

    def bytes(self, part: Part) -> bytes:
        return bytes(self.data[part.offset : part.end])

    @cached_property
    def by_name(self) -> dict[str, Part]:
        """Sections by name, where the name occurs once."""
        seen: dict[str, Part] = {}
        twice = set()
        for part in self.sections[1:]:
            if part.name in seen:
                twice.add(part.name)
            seen[part.name] = part
        return {name: part for name, part in seen.items() if name not in twice}

    @property
    def code_bytes(self) -> int:
        if not self.sections:
            return sum(s.filesz for s in self.segments if s.type == t.PT_LOAD and s.flags & t.PF_X)
        return sum(p.size for p in self.sections if p.code and p.type != SHT_NOBITS)

    # The header

    def _check_header(self) -> None:
        elf, header = self.elf, self.header
        wide = elf.is64
        if any(self.data[9:16]) or self.data[6] != 1 or header.version != 1:
            raise Refused("ELF header", "identification padding or version is not as the standard says")
        if header.ehsize != (64 if wide else 52):
            raise Refused("ELF header", "states another size than it has")
        if header.phnum == 0xFFFF or (header.phnum == 0) != (header.phoff == 0):
            raise Refused("ELF header", "the place and the number of program headers disagree")
        if header.type not in (t.ET_REL, t.ET_EXEC, t.ET_DYN) or (header.type == t.ET_REL) == bool(self.segments):
            raise Refused("ELF header", "no relocatable object, executable or shared object")
        if not self.sections and not self.segments:
            raise Refused("ELF header", "neither sections nor segments")

    # The partition

    def _partition(self) -> list[Field]:
        header = self.header
        out = [Field(0, header.ehsize, "ehdr", "ELF header")]
        if header.phnum:
            out.append(Field(header.phoff, header.phoff + header.phnum * header.phentsize, "phdrs", "program headers"))
        if self.sections:
            end = header.shoff + header.shnum * header.shentsize
            out.append(Field(header.shoff, end, "shdrs", "section headers"))
            seen: dict[str, int] = {}
            for part in self.sections[1:]:
                count = seen[part.name] = seen.get(part.name, 0) + 1
                key = part.name if count == 1 else f"{part.name}#{count}"
                if part.end > part.offset:
                    out.append(Field(part.offset, part.end, "section", key, part.index))
                if part.end > self.size:
                    raise Refused(key, "runs out of the file")
        else:
            out += self._loads_as_fields(out)
        return self._with_gaps(sorted(out, key=lambda f: (f.start, f.end)))

    def _loads_as_fields(self, taken: list[Field]) -> list[Field]:
        """Where there are no sections: what each PT_LOAD maps, less the headers."""
        out = []
        for number, load in enumerate(self.elf.loads):
            start, end = load.offset, load.offset + load.filesz
            for field in sorted(taken, key=lambda f: f.start):
                if field.start == start:
                    start = field.end
            if start < end:
                out.append(Field(start, end, "section", f"load {number}", -1))
        return out

    def _with_gaps(self, owned: list[Field]) -> list[Field]:
        out: list[Field] = []
        at = 0
        for number, field in enumerate(owned):
            if field.start < at:
                raise Refused(field.key, f"overlaps {out[-1].key}", [Range(field.start, min(at, field.end))])
            if field.start > at:
                out.append(self._gap(at, field.start, number))
            out.append(field)
            at = field.end
        if at > self.size:
            raise Refused(out[-1].key, "runs out of the file")
        if at < self.size:
            raise Refused("end of file", "bytes after the last structure", [Range(at, self.size)])
        return out

    def _gap(self, start: int, end: int, number: int) -> Field:
        if np.frombuffer(self.data[start:end], np.uint8).any():
            raise Refused("gap", "bytes between structures that are not zero", [Range(start, end)])
        return Field(start, end, "gap", f"gap {number}")

    # What the loader sees

    def _check_segments(self) -> None:
        end = -1
        given = [s.vaddr for s in self.segments if s.type == t.PT_LOAD]
        if given != sorted(given):
            raise Refused("program headers", "PT_LOAD segments are not in order of address")
        for load in self.elf.loads:
            if load.filesz > load.memsz or load.offset + load.filesz > self.size:
                raise Refused("program headers", "a segment holds more of the file than of memory, or runs out of it")
            if load.memsz == 0 or (load.vaddr - load.offset) % max(PAGE, load.align):
                raise Refused("program headers", "a segment is empty or not congruent with its place in the file")
            if load.vaddr // PAGE * PAGE < end:
                raise Refused("program headers", "two segments share a page of memory")
            end = -(-(load.vaddr + load.memsz) // PAGE) * PAGE
            if end > 1 << (64 if self.elf.is64 else 32):
                raise Refused("program headers", "a segment wraps around the address space")
        for segment in self.segments:
            if segment.type in _WITHIN and segment.filesz and not self.mapped(segment):
                raise Refused("program headers", f"segment of type {segment.type:#x} lies in no PT_LOAD at that place")

    def mapped(self, segment: t.Segment) -> bool:
        """Whether a segment lies within a PT_LOAD, in the file as in memory."""
        return any(
            load.vaddr <= segment.vaddr
            and segment.vaddr + segment.filesz <= load.vaddr + load.filesz
            and segment.vaddr - load.vaddr == segment.offset - load.offset
            for load in self.elf.loads
        )

    def _check_part(self, part: Part) -> None:
        if part.index == 0 or self.header.type == t.ET_REL:
            return
        if not part.loaded:
            if any(part.offset < s.offset + s.filesz and part.end > s.offset for s in self.elf.loads):
                raise Refused(part.name, "a segment maps it, although its header says that it is not loaded")
            return
        if part.addr % max(part.align, 1):
            raise Refused(part.name, "does not stand where its alignment says")
        if part.size == 0 or (part.type == SHT_NOBITS and part.flags & SHF_TLS):
            return
        for load in self.elf.loads:
            inside = load.vaddr <= part.addr and part.addr + part.size <= load.vaddr + load.memsz
            if not inside:
                continue
            if part.type == SHT_NOBITS:
                if part.addr >= load.vaddr + load.filesz:
                    return
            elif part.addr + part.size <= load.vaddr + load.filesz and (
                part.addr - load.vaddr == part.offset - load.offset
            ):
                if bool(part.flags & SHF_EXEC) and not load.flags & t.PF_X:
                    raise Refused(part.name, "code that its segment does not map as code")
                return
        raise Refused(part.name, "the loader does not map it where the section header says")

    @cached_property
    def _loaded_at(self) -> dict[int, Part]:
        return {p.addr: p for p in self.sections if p.loaded and p.size}

    def _check_dynamic(self) -> None:
        """Each table that the dynamic linker finds must be the section of its kind, of the size stated there."""
        dynamic = self.elf.segment(t.PT_DYNAMIC)
        if dynamic is None or not self.sections:
            return
        part = next((p for p in self.sections if p.type == SHT_DYNAMIC), None)
        if part is None or (part.addr, part.offset, part.size) != (dynamic.vaddr, dynamic.offset, dynamic.filesz):
            raise Refused(".dynamic", "the segment and the section of the dynamic table are not the same")
        for tag, kinds in _TABLES.items():
            address = self.elf.tag(tag)
            if address is not None:
                found = self._loaded_at.get(address)
                if found is None or found.type not in kinds:
                    raise Refused(".dynamic", f"tag {tag:#x} leads to no section of its kind")

    def section_at(self, address: int) -> Part | None:
        """The loaded section that holds ``address``; the first one, if several do."""
        begins, parts = self._by_address
        if begins:
            index = bisect_right(begins, address) - 1
            return parts[index] if index >= 0 and address < parts[index].addr + parts[index].size else None
        return next((part for part in parts if part.addr <= address < part.addr + part.size), None)

    @cached_property
    def _by_address(self) -> tuple[list[int], list[Part]]:
        """What occupies memory, by its address, and where each begins; as the table has it, without that, where some of
        it overlaps."""
        held = [p for p in self.sections if p.loaded and p.size and not (p.type == SHT_NOBITS and p.flags & SHF_TLS)]
        parts = sorted(held, key=lambda part: part.addr)
        if any(one.addr + one.size > after.addr for one, after in pairwise(parts)):
            return [], held
        return [part.addr for part in parts], parts


_TABLES = {
    t.DT_STRTAB: {SHT_STRTAB},
    t.DT_SYMTAB: {t.SHT_DYNSYM},
    t.DT_HASH: {5},
    t.DT_GNU_HASH: {0x6FFFFFF6},
    t.DT_VERSYM: {0x6FFFFFFF},
    t.DT_VERNEED: {0x6FFFFFFE},
    t.DT_VERDEF: {0x6FFFFFFD},
}
