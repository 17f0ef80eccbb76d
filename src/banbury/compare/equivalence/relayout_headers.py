"""The headers of two files whose layout moved: the same segments, around the same sections."""

from __future__ import annotations

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import PAGE, OwnedElf, Part
from banbury.compare.equivalence.elf_meta import after
from banbury.compare.equivalence.elf_same import Pair
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_map import AddressMap
from banbury.formats import _elf_types as t

Parts = list[tuple[Part, Part]]


def check_headers(pair: Pair, pairs: Parts, the_map: AddressMap) -> None:
    """The ELF header but for the entry (a reference) and the section table's place; each program header. Raises
    :class:`Refused`."""
    a, b = pair.a, pair.b
    for name in ("os_abi", "abi_version", "type", "machine", "version", "flags", "phoff", "phnum", "phentsize"):
        if getattr(a.header, name) != getattr(b.header, name):
            raise Refused("ELF header", f"e_{name} differs")
    for number, (x, y) in enumerate(zip(a.segments, b.segments, strict=True)):
        where = f"program header {number}"
        if (x.type, x.flags, x.align) != (y.type, y.flags, y.align) or x.paddr - x.vaddr != y.paddr - y.vaddr:
            raise Refused(where, "its type, flags, alignment or physical address differs")
        _check_thread_local(where, x, y)
        if not x.filesz and not _same_place(x.offset, x.vaddr, y.offset, y.vaddr):
            raise Refused(where, "it is empty and stands elsewhere in the file")
        _check_protected(where, x, y)
        if _members(a, x) != _members(b, y):
            raise Refused(where, "it does not span the same sections")
        for point, point_b in (
            (x.vaddr, y.vaddr),
            (x.vaddr + x.filesz, y.vaddr + y.filesz),
            (x.vaddr + x.memsz, y.vaddr + y.memsz),
        ):
            _check_point(where, x.type, point, point_b, pairs, the_map)
    for one, other in pairs:
        empty = one.end == one.offset and after(a, one) != after(b, other)
        if empty and not _same_place(one.offset, one.addr, other.offset, other.addr):
            raise Refused(one.name, "it is empty and stands elsewhere in the file")
        if not one.size:
            _check_point(one.name, 0, one.addr, other.addr, pairs, the_map)
    size = a.header.phnum * a.header.phentsize
    here = [Range(a.header.phoff, a.header.phoff + size), Range(0x18, 0x20)]
    pair.account.explain("elf.moved-section", here, here, "headers")


def _check_thread_local(where: str, x: t.Segment, y: t.Segment) -> None:
    """Code holds distances within thread-local memory, which follow from its size and its place within alignment."""
    if x.type != t.PT_TLS:
        return
    if (x.filesz, x.memsz) != (y.filesz, y.memsz) or (x.vaddr - y.vaddr) % max(x.align, 1):
        raise Refused(where, "thread-local memory differs, or is aligned otherwise")


def _check_protected(where: str, x: t.Segment, y: t.Segment) -> None:
    """What is made read-only after relocation ends at the same place of a page: the loader leaves a part of one out."""
    if x.type == t.PT_GNU_RELRO and (x.vaddr + x.memsz - y.vaddr - y.memsz) % PAGE:
        raise Refused(where, "the page that it ends in is not made read-only")


def _same_place(offset: int, address: int, offset_b: int, address_b: int) -> bool:
    """Whether an empty stretch stands at the same place of the file, or moved as far there as in memory."""
    return offset == offset_b or offset_b - offset == address_b - address


def _members(elf: OwnedElf, segment: t.Segment) -> list[str]:
    end = segment.vaddr + segment.memsz
    return [p.name for p in elf.sections if p.loaded and p.size and segment.vaddr <= p.addr and p.addr + p.size <= end]


def _check_point(where: str, kind: int, old: int, new: int, pairs: Parts, the_map: AddressMap) -> None:
    """An end of a segment: where a section begins or ends, the same in both; or what the map makes of it."""
    allowed = {the_map.one(old)} - {None}
    for one, other in pairs:
        if one.addr == old:
            allowed.add(other.addr)
        if one.addr + one.size == old:
            allowed.add(other.addr + other.size)
    if old == new == 0 and kind not in (t.PT_LOAD, t.PT_DYNAMIC):
        return
    if new in allowed:
        return
    within = any(y.addr < new < y.addr + y.size for _, y in pairs)
    if kind == t.PT_GNU_RELRO and not allowed and old % PAGE == new % PAGE == 0 and not within:
        return
    raise Refused(where, f"it begins or ends elsewhere: {old:#x} in one file, {new:#x} in the other")
