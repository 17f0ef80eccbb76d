"""Notes of an ELF file, and the properties that one of them lists.

Sources: gABI chapter 5 (note section); "Linux Extensions to gABI", section 2.1.7 (.note.gnu.property);
the x86 and AArch64 processor supplements (feature bits).
"""

from __future__ import annotations

from collections.abc import Iterator

from banbury.formats._elf_types import ElfNote
from banbury.formats.view import View
from banbury.model.errors import Malformed

MOST_NOTES = 4096
NT_GNU_ABI_TAG, NT_GNU_BUILD_ID, NT_GNU_PROPERTY = 1, 3, 5


def read_notes(view: View, big: bool, runs: list[tuple[int, int, int]]) -> list[ElfNote]:
    """The notes in each (offset, size, alignment), at most ``MOST_NOTES``; a broken note ends its run."""
    out: list[ElfNote] = []
    for offset, size, align in dict.fromkeys(runs):
        try:
            for note in _run(view, big, offset, size, 8 if align == 8 else 4):
                if len(out) >= MOST_NOTES:
                    return out
                out.append(note)
        except Malformed:
            continue
    return out


def _run(view: View, big: bool, offset: int, size: int, align: int) -> Iterator[ElfNote]:
    end = min(offset + size, len(view))
    while offset + 12 <= end:
        name_size, desc_size, kind = view.u32(offset, big), view.u32(offset + 4, big), view.u32(offset + 8, big)
        desc = offset + 12 + name_size
        desc += -(desc - offset) % align
        if desc + desc_size > end:
            return
        owner = view.cstring(offset + 12, min(name_size, 64)).decode("latin-1")
        yield ElfNote(owner, kind, view.take(desc, min(desc_size, 4096)), desc)
        offset = desc + desc_size + -desc_size % align


def gnu_properties(notes: list[ElfNote], big: bool, is64: bool) -> dict[int, bytes]:
    """Type to data of each property in the notes of type NT_GNU_PROPERTY_TYPE_0; the first of a type counts."""
    align = 8 if is64 else 4
    out: dict[int, bytes] = {}
    for note in notes:
        if note.owner != "GNU" or note.type != NT_GNU_PROPERTY:
            continue
        view, at = View(note.desc), 0
        while at + 8 <= len(view):
            kind, size = view.u32(at, big), view.u32(at + 4, big)
            if at + 8 + size > len(view):
                break
            out.setdefault(kind, view.take(at + 8, size))
            at += 8 + size
            at += -at % align
    return out
