"""Labelled pairs in C++ whose layout moved and that throw, for MIPS, and for 32-bit Arm at a fixed address."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT
from tests.equivalence.pairs_moved_exceptions import CXX, SOURCE

FIXED = "-fno-pie", "-no-pie"
#: Name: architecture and options.
KINDS: dict[str, tuple[str, ...]] = {
    "mips": ("mips", "-fPIE", "-pie"),
    "mipsel": ("mipsel", "-fPIE", "-pie"),
    "mips-fixed": ("mips", *FIXED),
    "arm-fixed": ("arm", *FIXED),
    "arm-fixed-a32": ("arm", "-marm", *FIXED),
}
ORDER = {"mips": ">", "mipsel": "<", "arm": "<"}


@cache
def built(kind: str, version: str) -> bytes:
    arch, *flags = KINDS[kind]
    build.need(f"{build.PREFIX[arch]}g++")
    return build.program(arch, f'-DVERSION="{version}"', *CXX, *flags, source=SOURCE)


for _kind in KINDS:

    @harmless(f"moved-exceptions-{_kind}")
    def _(kind: str = _kind) -> Sample:
        return Sample(built(kind, SHORT), build.strip(built(kind, LONG), KINDS[kind][0]), *RECORDS)


Change = Callable[[bytes, bytes, str], bytes]


def each(name: str, note: str, *kinds: str) -> Callable[[Change], None]:
    """Register a change to the moved file."""

    def add(change: Change) -> None:
        for kind in kinds or KINDS:

            def make(kind: str = kind) -> Sample:
                new, old, arch = built(kind, LONG), built(kind, SHORT), KINDS[kind][0]
                bad = change(new, old, ORDER[arch])
                assert bad != new
                return Sample(old, build.strip(bad, arch), *RECORDS)

            make.__doc__ = note
            tampered(f"moved-exceptions-{kind}-{name}")(make)

    return add


def moved(new: bytes, old: bytes, section: str) -> list[tuple[int, int]]:
    """Where words of a section stand that moved with the layout, in both files."""
    (one, size), (two, _) = build.place(new, section), build.place(old, section)
    return [
        (one + k, two + k) for k in range(0, size - 3, 4) if new[one + k : one + k + 4] != old[two + k : two + k + 4]
    ]


@each("left-behind", "What code that an exception enters holds of an address is that before the layout moved.")
def _(new: bytes, old: bytes, order: str) -> bytes:
    at, was = moved(new, old, ".text")[-1]
    return build.put(new, at, old[was : was + 4])


@each("left-behind-first", "What other code holds of an address is.")
def _(new: bytes, old: bytes, order: str) -> bytes:
    at, was = moved(new, old, ".text")[0]
    return build.put(new, at, old[was : was + 4])


@each("frame", "A word of the unwinding table is another.", "mips", "mipsel", "mips-fixed")
def _(new: bytes, old: bytes, order: str) -> bytes:
    at = build.place(new, ".eh_frame")[0] + 0x40
    (word,) = struct.unpack_from(f"{order}I", new, at)
    return build.put(new, at, struct.pack(f"{order}I", word + 4 & 0xFFFFFFFF))


@each("pad", "A call enters another landing pad.", "mips", "mipsel", "mips-fixed")
def _(new: bytes, old: bytes, order: str) -> bytes:
    at, size = build.place(new, ".gcc_except_table")
    row = next(k for k in range(at, at + size) if new[k] == 0xFF and new[k + 6])
    return build.put(new, row + 6, bytes([new[row + 6] + 4]))


@each("types", "What is caught is what another clause caught.", "mips", "mipsel", "mips-fixed")
def _(new: bytes, old: bytes, order: str) -> bytes:
    at, size = build.place(new, ".gcc_except_table")
    end = at + size & ~3
    return build.put(new, end - 8, new[end - 4 : end] + new[end - 8 : end - 4])
