"""The ELF parser: what the loader and the dynamic linker see, and the sections where there are any.

Everything is read on demand. Tables that the dynamic linker uses are found through PT_DYNAMIC and by address, as it
finds them, never through section headers, which many firmware files lack. Nothing in the file is trusted: sizes
and counts are bounded by the file, names by a budget.

Sources: System V ABI, edition 4.1 and the gABI draft of 2013, chapters 4 and 5; Linux ``fs/binfmt_elf.c``; glibc
``elf/get-dynamic-info.h`` (of equal dynamic tags the last counts).
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING

from banbury.formats import _elf_types as t
from banbury.formats._elf_notes import NT_GNU_BUILD_ID, gnu_properties, read_notes
from banbury.formats._elf_types import ElfNote, Header, Section, Segment, StringTable, Symbol, SymbolCount
from banbury.formats.view import View
from banbury.model.errors import Malformed

if TYPE_CHECKING:
    from banbury.formats._elf_relocs import Relocations

_MOST_AUX = 1 << 16


class ElfFile:
    """One ELF file of either class and byte order, for any machine. Offsets are in bytes from the view's start.

    The constructor raises ``Malformed`` where there is no readable ELF header; each property raises it where its
    own table cannot be read.
    """

    def __init__(self, view: View) -> None:
        if not view.startswith(b"\x7fELF"):
            raise Malformed("this is not an ELF file", offset=0)
        ident = view.take(0, 16)
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise Malformed(f"ELF class {ident[4]}, data encoding {ident[5]} do not exist", offset=4)
        self.view = view
        self.is64 = ident[4] == 2
        self.big = ident[5] == 2
        #: What chooses a field layout: (64-bit, big-endian).
        self.key = (int(self.is64), int(self.big))
        fields = view.unpack(t.HEADER[self.key], 16)
        self.header = Header(64 if self.is64 else 32, self.big, ident[7], ident[8], *fields)

    # Segments

    @cached_property
    def segments(self) -> list[Segment]:
        """The program headers; ``[]`` where there are none."""
        header, layout = self.header, t.PHDR[self.key]
        count = header.phnum
        if count == 0xFFFF and self._section_zero:  # PN_XNUM
            count = self._section_zero[7]
        if not header.phoff or not count:
            return []
        if header.phentsize != layout.size:
            raise Malformed(f"a program header of {header.phentsize} bytes", offset=header.phoff)
        raw = self.view.mem(header.phoff, count * layout.size)
        if self.is64:
            return [Segment(k, f, o, v, p, fs, ms, a) for k, f, o, v, p, fs, ms, a in layout.iter_unpack(raw)]
        return [Segment(k, f, o, v, p, fs, ms, a) for k, o, v, p, fs, ms, f, a in layout.iter_unpack(raw)]

    @cached_property
    def loads(self) -> list[Segment]:
        """The PT_LOAD segments, by address."""
        return sorted((s for s in self.segments if s.type == t.PT_LOAD), key=lambda s: s.vaddr)

    def segment(self, kind: int) -> Segment | None:
        """The last segment of this type: the one that counts for the kernel where there are several."""
        return self._last.get(kind)

    @cached_property
    def _last(self) -> dict[int, Segment]:
        return {s.type: s for s in self.segments}

    @cached_property
    def _starts(self) -> list[int]:
        return [s.vaddr for s in self.loads]

    def span_of(self, address: int) -> tuple[int, int]:
        """(file offset, bytes from there to the end of what its PT_LOAD holds in the file) of an address in memory.
        Raises ``Malformed`` where the file does not hold it."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0:
            load = self.loads[index]
            delta = address - load.vaddr
            room = min(load.filesz, len(self.view) - load.offset) - delta
            if room > 0:
                return load.offset + delta, room
        raise Malformed(f"address {address:#x} is not in the file")

    def offset_of(self, address: int, length: int = 1) -> int:
        """File offset of ``length`` bytes at an address. Raises ``Malformed`` where the file does not hold them all."""
        offset, room = self.span_of(address)
        if length > room:
            raise Malformed(f"{length} bytes at address {address:#x} are not all in the file", offset=offset)
        return offset

    @cached_property
    def interpreter(self) -> str:
        """PT_INTERP: the path of the dynamic linker, or ``""``."""
        segment = self.segment(t.PT_INTERP)
        if segment is None or segment.offset >= len(self.view):
            return ""
        return _text(self.view.cstring(segment.offset, min(segment.filesz, 4096)))

    # Sections

    @cached_property
    def _section_zero(self) -> tuple[int, ...]:
        """The fields of section header 0, which holds the counts that do not fit in the ELF header; ``()`` if none."""
        layout, at = t.SHDR[self.key], self.header.shoff
        if not at or self.header.shentsize != layout.size or at + layout.size > len(self.view):
            return ()
        return self.view.unpack(layout, at)

    @cached_property
    def section_count(self) -> int:
        """How many section headers the file states."""
        if self.header.shnum == 0 and self._section_zero:
            return self._section_zero[5]
        return self.header.shnum if self.header.shoff else 0

    @cached_property
    def section_state(self) -> str:
        """``present``, ``absent`` or ``broken`` (stated, but not wholly in the file, or of another size)."""
        if not self.section_count:
            return "absent" if not self.header.shnum else "broken"
        size = t.SHDR[self.key].size
        whole = self.header.shoff + self.section_count * size <= len(self.view)
        return "present" if whole and self.header.shentsize == size else "broken"

    @cached_property
    def sections(self) -> list[Section]:
        """The section headers; ``[]`` where they are absent or broken."""
        if self.section_state != "present":
            return []
        layout = t.SHDR[self.key]
        raw = list(layout.iter_unpack(self.view.mem(self.header.shoff, self.section_count * layout.size)))
        index = self.header.shstrndx
        if index == 0xFFFF:  # SHN_XINDEX
            index = raw[0][6]
        names = StringTable(self._piece(raw[index][4], raw[index][5]) if index < len(raw) else b"")
        return [Section(names.at(n), *rest) for n, *rest in raw]

    @cached_property
    def _by_name(self) -> dict[str, Section]:
        return {s.name: s for s in reversed(self.sections)}

    def section(self, name: str) -> Section | None:
        """The first section of this name."""
        return self._by_name.get(name)

    def content(self, section: Section) -> memoryview:
        """The bytes of a section. Raises ``Truncated`` where they are not all in the file."""
        if section.type in (t.SHT_NULL, t.SHT_NOBITS):
            return self.view.mem(0, 0)
        return self.view.mem(section.offset, section.size)

    def section_data(self, name: str) -> bytes:
        """The bytes of the first section of this name; ``b""`` where there is none or it is not in the file."""
        section = self.section(name)
        if section is None or section.type == t.SHT_NOBITS:
            return b""
        return self._piece(section.offset, section.size)

    def _piece(self, offset: int, size: int) -> bytes:
        return self.view.take(offset, size) if offset + size <= len(self.view) else b""

    @cached_property
    def comments(self) -> list[str]:
        """The strings of ``.comment``: what the compilers and the assembler wrote about themselves."""
        return _strings(self.section_data(".comment")[:65536])

    @cached_property
    def modinfo(self) -> list[tuple[str, str]]:
        """(key, value) of each string of a Linux kernel module's ``.modinfo``."""
        pairs = (text.partition("=") for text in _strings(self.section_data(".modinfo")))
        return [(key, value) for key, _, value in pairs]

    @cached_property
    def symbols(self) -> list[Symbol]:
        """The symbols of the first SHT_SYMTAB section; ``[]`` where there is none (a stripped file)."""
        for section in self.sections:
            if section.type == t.SHT_SYMTAB:
                linked = self.sections[section.link] if section.link < len(self.sections) else None
                names = StringTable(self._piece(linked.offset, linked.size) if linked else b"")
                return self._symbols(section.offset, section.size // t.SYM[self.key].size, names)
        return []

    def _symbols(self, offset: int, count: int, names: StringTable) -> list[Symbol]:
        from banbury.formats._elf_symbols import read_symbols

        return read_symbols(self, offset, count, names)

    # The dynamic section

    @cached_property
    def dynamic(self) -> list[tuple[int, int]]:
        """(tag, value) up to DT_NULL, which is left out; ``[]`` where there is no PT_DYNAMIC. It is looked for at the
        segment's address, as the dynamic linker does, and at its file offset where no PT_LOAD holds that."""
        segment = self.segment(t.PT_DYNAMIC)
        if segment is None:
            return []
        try:
            offset, room = self.span_of(segment.vaddr)
        except Malformed:
            offset, room = segment.offset, min(segment.filesz, len(self.view) - segment.offset)
        layout = t.DYN[self.key]
        out: list[tuple[int, int]] = []
        for tag, value in layout.iter_unpack(self.view.mem(offset, max(room, 0) // layout.size * layout.size)):
            if tag == 0:
                break
            out.append((tag, value))
        return out

    @cached_property
    def _tags(self) -> dict[int, int]:
        return dict(self.dynamic)

    def tag(self, tag: int) -> int | None:
        """The value of a dynamic tag; of several the last."""
        return self._tags.get(tag)

    @cached_property
    def strings(self) -> StringTable:
        """The dynamic string table. Raises ``Malformed`` where DT_STRTAB is not in the file."""
        return self._string_table()

    @cached_property
    def _symbol_names(self) -> StringTable:
        """The same table, apart, so that what it ``missed`` are symbols' names alone."""
        return self._string_table()

    def _string_table(self) -> StringTable:
        address = self.tag(t.DT_STRTAB)
        if address is None:
            return StringTable(b"")
        offset, room = self.span_of(address)
        size = min(room, self._tags.get(t.DT_STRSZ, room))
        return StringTable(self.view.take(offset, size), lambda: self.view.take(offset, room))

    def _named(self, tag: int) -> list[str]:
        return [self.strings.at(value) for found, value in self.dynamic if found == tag]

    @cached_property
    def needed(self) -> list[str]:
        """DT_NEEDED: the libraries that it asks for, in order."""
        return self._named(t.DT_NEEDED)

    @cached_property
    def soname(self) -> str:
        return "".join(self._named(t.DT_SONAME)[-1:])

    @cached_property
    def rpath(self) -> str:
        """DT_RPATH as stored, or ``""``."""
        return "".join(self._named(t.DT_RPATH)[-1:])

    @cached_property
    def runpath(self) -> str:
        """DT_RUNPATH as stored, or ``""``."""
        return "".join(self._named(t.DT_RUNPATH)[-1:])

    @cached_property
    def flags(self) -> int:
        """DT_FLAGS, or 0."""
        return self._tags.get(t.DT_FLAGS, 0)

    @cached_property
    def flags_1(self) -> int:
        """DT_FLAGS_1, or 0."""
        return self._tags.get(t.DT_FLAGS_1, 0)

    @cached_property
    def symbol_count(self) -> SymbolCount:
        """How many dynamic symbols there are, and how that is known."""
        from banbury.formats._elf_symbols import count_dynamic

        return count_dynamic(self)

    @cached_property
    def dynamic_symbols(self) -> list[Symbol]:
        """The dynamic symbols, the null symbol first; ``[]`` where there are none."""
        address = self.tag(t.DT_SYMTAB)
        if address is None:
            return []
        return self._symbols(self.offset_of(address), self.symbol_count.count, self._symbol_names)

    @cached_property
    def symbols_complete(self) -> bool:
        """Whether every dynamic symbol that the dynamic linker can reach was read, and every name of one."""
        if not self.dynamic_symbols:
            return self.tag(t.DT_SYMTAB) is None
        return self.symbol_count.complete and not self._symbol_names.missed

    @cached_property
    def imports(self) -> frozenset[str]:
        """Names of the dynamic symbols that another file must provide."""
        return frozenset(s.name for s in self.dynamic_symbols if s.section == 0 and s.name)

    @cached_property
    def exports(self) -> frozenset[str]:
        """Names of the global and weak dynamic symbols that this file provides."""
        return frozenset(s.name for s in self.dynamic_symbols if s.section != 0 and s.name and s.info >> 4)

    @cached_property
    def exported(self) -> tuple[list[str], bool]:
        """The names of ``exports``, sorted, and whether these are all; read alone where no other symbols were."""
        address = self.tag(t.DT_SYMTAB)
        if address is None or "dynamic_symbols" in self.__dict__:
            return sorted(self.exports), self.symbols_complete
        from banbury.formats._elf_symbols import exported_names

        names = self._string_table()
        found = exported_names(self, self.offset_of(address), self.symbol_count.count, names)
        return found, self.symbol_count.complete and not names.missed

    @cached_property
    def relocations(self) -> list[Relocations]:
        """The dynamic relocation tables. Raises ``Malformed`` where one is not wholly in the file."""
        from banbury.formats._elf_relocs import dynamic_relocations

        return dynamic_relocations(self)

    @cached_property
    def relative_addresses(self) -> list[int]:
        """The addresses listed by DT_RELR."""
        from banbury.formats._elf_relocs import relative_addresses

        return relative_addresses(self)

    @cached_property
    def mips_got(self) -> list[tuple[int, int]]:
        """(address, symbol index) of each global entry of a MIPS global offset table."""
        from banbury.formats._elf_relocs import mips_got

        return mips_got(self)

    def section_relocations(self, section: Section) -> Relocations | None:
        """The relocations that a section of type SHT_REL or SHT_RELA holds; ``None`` for any other, or one not wholly
        in the file."""
        from banbury.formats._elf_relocs import Relocations

        if section.type not in (t.SHT_REL, t.SHT_RELA) or section.offset + section.size > len(self.view):
            return None
        return Relocations(self, section.name, section.type == t.SHT_RELA, section.offset, section.size)

    @cached_property
    def versions_needed(self) -> list[tuple[str, list[str]]]:
        """(library, names of the versions asked of it) from DT_VERNEED."""
        address = self.tag(t.DT_VERNEED)
        if address is None:
            return []
        at, room = self.span_of(address)
        end, big, view, out, left = at + room, self.big, self.view, list[tuple[str, list[str]]](), _MOST_AUX
        while at + 16 <= end and left > 0:
            count, name, aux, step = (
                view.u16(at + 2, big),
                view.u32(at + 4, big),
                view.u32(at + 8, big),
                view.u32(at + 12, big),
            )
            names: list[str] = []
            here = at + aux
            for _ in range(min(count, left)):
                if here + 16 > end:
                    break
                names.append(self.strings.at(view.u32(here + 8, big)))
                left -= 1
                skip = view.u32(here + 12, big)
                if not skip:
                    break
                here += skip
            out.append((self.strings.at(name), names))
            left -= 1
            if not step:
                break
            at += step
        return out

    # Notes

    @cached_property
    def notes(self) -> list[ElfNote]:
        """The notes of the PT_NOTE segments, or of the note sections where there are none."""
        runs = [(s.offset, s.filesz, s.align) for s in self.segments if s.type == t.PT_NOTE]
        if not runs:
            runs = [(s.offset, s.size, s.align) for s in self.sections if s.type == t.SHT_NOTE]
        return read_notes(self.view, self.big, runs)

    @cached_property
    def build_id(self) -> str:
        """The GNU build id in hexadecimal, or ``""``."""
        found = (n.desc for n in self.notes if n.type == NT_GNU_BUILD_ID and n.owner == "GNU")
        return next(found, b"")[:64].hex()

    @cached_property
    def properties(self) -> dict[int, bytes]:
        """The properties of the note ``.note.gnu.property``."""
        return gnu_properties(self.notes, self.big, self.is64)

    # Extent

    def end_of_file(self) -> int:
        """Where the last structure of the file ends: header, tables, segments, sections. More than the view's length
        where the file is cut short; less where something is appended."""
        header = self.header
        end = 64 if self.is64 else 52
        try:
            if self.segments:
                end = max(end, header.phoff + len(self.segments) * header.phentsize)
            end = max([end, *(s.offset + s.filesz for s in self.segments if s.filesz)])
        except Malformed:
            end = max(end, header.phoff + header.phnum * header.phentsize)
        if self.section_count and header.shentsize == t.SHDR[self.key].size:
            end = max(end, header.shoff + self.section_count * header.shentsize)
        held = (s.offset + s.size for s in self.sections if s.type not in (t.SHT_NULL, t.SHT_NOBITS) and s.size)
        return max([end, *held])


def elf_extent(view: View) -> int:
    """Length in bytes of the ELF file that starts ``view``, at most the view's own. Raises ``Malformed`` where there
    is no ELF header."""
    return min(ElfFile(view).end_of_file(), len(view))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _strings(raw: bytes) -> list[str]:
    return [_text(part) for part in raw.split(b"\0") if part]
