"""The build attributes of a 32-bit Arm file that say how its code makes addresses.

Source: Addenda to, and Errata in, the ABI for the Arm Architecture, chapter 3 (tags, and their values).
"""

from __future__ import annotations

import struct
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import OwnedElf

_TYPE: Final = 0x70000003  # SHT_ARM_ATTRIBUTES
_ARCH, _R9, _DATA, _COMPATIBLE = 6, 14, 15, 32
_TEXTS: Final = (4, 5, 65, 67)
_SMALL: Final = (11, 12, 16)  # v6-M, v6S-M, v8-M.baseline: no instruction with half an address


def check(elf: OwnedElf) -> None:
    """Raise :class:`Refused` where code finds data by their distance from a register that no function makes, or may
    make an address byte by byte."""
    for part in elf.sections:
        if part.type == _TYPE:
            found = attributes(elf.bytes(part), elf.elf.big)
            if found.get(_R9) == 1 or found.get(_DATA) == 2:
                raise Refused(part.name, "data are found by their distance from a static base, which is not followed")
            if found.get(_ARCH) in _SMALL:
                raise Refused(part.name, "code that may make addresses byte by byte, which is not followed")


def attributes(raw: bytes, big: bool) -> dict[int, int]:
    """The numbers that the public attributes of the whole file state, by tag; those up to what cannot be read."""
    out: dict[int, int] = {}
    at = 1
    while raw[:1] == b"A" and at + 4 <= len(raw):
        (size,) = struct.unpack_from(">I" if big else "<I", raw, at)
        end = min(at + size, len(raw))
        name = raw.find(b"\0", at + 4, end)
        if size < 5 or name < 0:
            break
        if raw[at + 4 : name] == b"aeabi":
            _file(raw, name + 1, end, big, out)
        at = end
    return out


def _file(raw: bytes, at: int, end: int, big: bool, out: dict[int, int]) -> None:
    while at + 5 <= end:
        (size,) = struct.unpack_from(">I" if big else "<I", raw, at + 1)
        stop = min(at + size, end)
        if size < 5:
            return
        if raw[at] == 1:  # of the whole file
            _pairs(raw, at + 5, stop, out)
        at = stop


def _pairs(raw: bytes, at: int, end: int, out: dict[int, int]) -> None:
    while at < end:
        tag, at = _number(raw, at, end)
        value = 0
        if tag not in _TEXTS and (tag <= _COMPATIBLE or not tag & 1):
            value, at = _number(raw, at, end)
        if tag in _TEXTS or tag == _COMPATIBLE or (tag > _COMPATIBLE and tag & 1):
            stop = raw.find(b"\0", at, end)
            at = stop + 1 if stop >= 0 else end
        out.setdefault(tag, value)


def _number(raw: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        value |= (raw[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not raw[at - 1] & 0x80 or shift > 63:
            break
    return value, at
