"""The headers of two files whose layout moved: the same segments, around the same sections."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import PAGE, SHF_TLS, OwnedElf, Part
from banbury.compare.equivalence.elf_meta import after
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_map import AddressMap, is_template
from banbury.formats import _elf_types as t

Parts = list[tuple[Part, Part]]
#: Tags of the dynamic table: an address, and the size of what stands there.
_TABLES: Final = (
    (t.DT_RELA, t.DT_RELASZ), (t.DT_REL, t.DT_RELSZ), (t.DT_JMPREL, t.DT_PLTRELSZ), (t.DT_STRTAB, t.DT_STRSZ),
    (t.DT_RELR, t.DT_RELRSZ), (25, 27), (26, 28), (32, 33),
)  # fmt: skip
_LARGER: Final = (1 << 14, 1 << 16)  # bytes of pages of kernels that do not have the usual ones
_STEP: Final = 1 << 16  # bytes of the largest pages


def check_headers(pair: Pair, pairs: Parts, the_map: AddressMap) -> None:
    """The ELF header but for the entry (a reference) and the section table's place; each program header. Raises
    :class:`Refused`."""
    a, b = pair.a, pair.b
    for name in ("os_abi", "abi_version", "type", "machine", "version", "flags", "phoff", "phnum", "phentsize"):
        if getattr(a.header, name) != getattr(b.header, name):
            raise Refused("ELF header", f"e_{name} differs")
    spans, sizes = _Spans(pairs, the_map), _pages(a)
    for number, (x, y) in enumerate(zip(a.segments, b.segments, strict=True)):
        where = f"program header {number}"
        if (x.type, x.flags, x.align) != (y.type, y.flags, y.align) or x.paddr - x.vaddr != y.paddr - y.vaddr:
            raise Refused(where, "its type, flags, alignment or physical address differs")
        if not x.filesz and not _same_place(x.offset, x.vaddr, y.offset, y.vaddr):
            raise Refused(where, "it is empty and stands elsewhere in the file")
        if x.filesz and x.type != t.PT_LOAD and not (b.mapped(y) if a.mapped(x) else x.offset == y.offset):
            raise Refused(where, "what it describes is elsewhere in the file")
        _check_thread_local(where, x, y)
        _check_protected(where, x, y, pairs, sizes)
        spans.check(where, x, y)
    for one, other in pairs:
        empty = one.end == one.offset and after(a, one) != after(b, other)
        if empty and not _same_place(one.offset, one.addr, other.offset, other.addr):
            raise Refused(one.name, "it is empty and stands elsewhere in the file")
        if not one.size and not spans.between(one.addr, other.addr):
            raise Refused(one.name, "it is empty and stands between other sections")
    spans.tables(a, b)
    _check_extent(a, b, pairs)
    _check_apart(a, b, sizes)
    size = a.header.phnum * a.header.phentsize
    here = [Range(a.header.phoff, a.header.phoff + size), Range(0x18, 0x20)]
    pair.account.explain("elf.moved-section", here, here, "headers")


def _check_thread_local(where: str, x: t.Segment, y: t.Segment) -> None:
    """Code holds distances within thread-local memory, which follow from its size and its place within alignment."""
    if x.type != t.PT_TLS:
        return
    if (x.filesz, x.memsz) != (y.filesz, y.memsz) or (x.vaddr - y.vaddr) % max(x.align, 1):
        raise Refused(where, "thread-local memory differs, or is aligned otherwise")


def _check_protected(where: str, x: t.Segment, y: t.Segment, pairs: Parts, sizes: list[int]) -> None:
    """What is made read-only after relocation ends at the same place of a page, and shares its first and its last page
    with the same sections: the loader protects the whole of the first and leaves a part of the last one out. Where it
    ends with a larger page, it does in both."""
    if x.type != t.PT_GNU_RELRO:
        return
    ends = x.vaddr + x.memsz, y.vaddr + y.memsz
    if (ends[0] - ends[1]) % PAGE or any((ends[0] % size == 0) != (ends[1] % size == 0) for size in sizes):
        raise Refused(where, "the page that it ends in is not made read-only")
    for size in (PAGE, *(size for size in sizes if ends[0] % size == 0)):
        edges = []
        for side, segment in ((0, x), (1, y)):
            end = segment.vaddr + segment.memsz
            pages = (segment.vaddr - segment.vaddr % size, segment.vaddr), (end - end % size, end)
            edges.append([[k for k, p in enumerate(pairs) if _meets(p[side], *page)] for page in pages])
        if edges[0] != edges[1]:
            raise Refused(where, "its first or its last page holds other sections")


def _pages(a: OwnedElf) -> list[int]:
    """Sizes of larger pages that a file is laid out for (x86-64 has none: its loaders align for huge ones)."""
    align = max((load.align for load in a.elf.loads), default=0)
    return [size for size in _LARGER if size <= align and a.header.machine != t.EM_X86_64]


def _check_apart(a: OwnedElf, b: OwnedElf, sizes: list[int]) -> None:
    """Segments that share no page with the one before them share none in the other file: one would be mapped over."""
    for size in sizes:
        shared = [
            [y.vaddr // size <= (x.vaddr + x.memsz - 1) // size for x, y in pairwise(e.elf.loads)] for e in (a, b)
        ]
        if shared[0] != shared[1]:
            raise Refused("program headers", f"two segments share a page of {size >> 10} KiB in one file only")


def _meets(part: Part, start: int, end: int) -> bool:
    return bool(part.size) and not is_template(part) and part.addr < end and part.addr + part.size > start


def _same_place(offset: int, address: int, offset_b: int, address_b: int) -> bool:
    """Whether an empty stretch stands at the same place of the file, or moved as far there as in memory."""
    return offset == offset_b or offset_b - offset == address_b - address


def _check_extent(a: OwnedElf, b: OwnedElf, pairs: Parts) -> None:
    """The images' sizes differ by no more than texts and the alignment of segments make it: one with a hole takes
    address space that a small device has not."""
    first, second = (e.elf.loads[-1].vaddr + e.elf.loads[-1].memsz - e.elf.loads[0].vaddr for e in (a, b))
    grown = sum(abs(y.size - x.size) for x, y in pairs)
    step = max(_STEP, *(load.align for load in a.elf.loads))
    if abs(second - first) > grown + (len(a.elf.loads) + 1) * step:
        raise Refused("program headers", "one image has a hole that no alignment makes")


class _Spans:
    """What segments span. A segment begins with the byte at its first address and ends behind its last byte: where one
    section ends and another begins, only one of them is meant, and empty sections never are."""

    def __init__(self, pairs: Parts, the_map: AddressMap) -> None:
        self.map = the_map
        self.parts = [p for p in pairs if p[0].size and not is_template(p[0])]
        self.local = [p for p in pairs if p[0].size and p[0].flags & SHF_TLS]
        self.sorted = sorted(self.parts, key=lambda p: p[0].addr)
        self.begins = [x.addr for x, _ in self.sorted]

    def check(self, where: str, x: t.Segment, y: t.Segment) -> None:
        if bool(x.memsz) != bool(y.memsz) or bool(x.filesz) != bool(y.filesz):
            raise Refused(where, "it is empty in one file only")
        if not x.memsz:
            none = x.vaddr == y.vaddr == 0 and x.type not in (t.PT_LOAD, t.PT_DYNAMIC)
            if not none and self.map.within(x.vaddr) != y.vaddr:
                raise Refused(where, f"it is empty and stands elsewhere: {x.vaddr:#x}, {y.vaddr:#x}")
            return
        parts = self.local if x.type == t.PT_TLS else self.parts
        held = [p for p in parts if _within(p[0], x)]
        if held != [p for p in parts if _within(p[1], y)]:
            raise Refused(where, "it does not span the same sections")
        self._begin(where, x.vaddr, y.vaddr, held)
        if x.type == t.PT_TLS:
            return  # its sizes are equal
        if x.filesz:
            self._end(where, x, x.vaddr + x.filesz, y.vaddr + y.filesz, held, kind=0 if x.type == t.PT_LOAD else x.type)
        self._end(where, x, x.vaddr + x.memsz, y.vaddr + y.memsz, held, kind=x.type)

    def _begin(self, where: str, old: int, new: int, held: Parts) -> None:
        """With a section that it spans, or within one, or in the headers."""
        made = next((y.addr for x, y in held if x.addr == old), None)
        if new != (self.map.within(old) if made is None else made):
            _elsewhere(where, old, new)

    def _end(self, where: str, x: t.Segment, old: int, new: int, held: Parts, *, kind: int) -> None:
        """Behind a section that it spans, or within one, or in the headers. What is protected may take in the padding
        behind its last section up to a page's end; what is loaded from the file, zeros before the memory that is
        zero."""
        padded = kind == 0 or (kind == t.PT_GNU_RELRO and old % PAGE == new % PAGE == 0)
        if padded and held and self.between(old, new):
            return
        made = next((other.addr + other.size for one, other in held if one.addr + one.size == old), None)
        if made is None:
            last = self.map.within(old - 1)
            made = None if last is None else last + 1
        if new != made:
            _elsewhere(where, old, new)

    def tables(self, a: OwnedElf, b: OwnedElf) -> None:
        """What the dynamic linker goes through from an address and for a size: the same sections, and no gap between
        that only one file has."""
        for tag, size in _TABLES:
            at, at_b, length = a.elf.tag(tag), b.elf.tag(tag), a.elf.tag(size)
            if at is None or at_b is None or not length:
                continue
            last, end_b = self.map.within(at + length - 1), at_b + (b.elf.tag(size) or 0)
            if last is None or last + 1 != end_b:
                raise Refused(".dynamic", f"the table of tag {tag:#x} ends elsewhere: {at + length:#x}, {end_b:#x}")

    def between(self, old: int, new: int) -> bool:
        """Whether an address lies between two sections (or at the border of one), and between the same in both."""
        at = bisect_left(self.begins, old)
        before, behind = self.sorted[at - 1] if at else None, self.sorted[at] if at < len(self.sorted) else None
        if before is not None and before[0].addr + before[0].size > old:
            return False
        low = 0 if before is None else before[1].addr + before[1].size
        return low <= new and (behind is None or new <= behind[1].addr)


def _within(part: Part, segment: t.Segment) -> bool:
    return segment.vaddr <= part.addr and part.addr + part.size <= segment.vaddr + segment.memsz


def _elsewhere(where: str, old: int, new: int) -> None:
    raise Refused(where, f"it begins or ends elsewhere: {old:#x} in one file, {new:#x} in the other")
