"""Code without what says where things stand: for telling which functions differ in files whose parts moved.

This is for showing, and proves nothing. Left out are the fields of calls and long jumps, those that make an address in
two halves, and words of literals that code reads by its own place. A difference that lies in such a field alone is not
seen, so that nobody is told that a function is another one where only its surroundings moved.

Sources: Arm ARM DDI 0487, C4; DDI 0406C, A5 and A6; MIPS MD00086; Power ISA 2.07.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.machines.x86_64_decoded import decode
from banbury.formats import _elf_types as t

Words = npt.NDArray[np.uint32]
_NEAR: Final = 64  # instructions within which both halves of an address stand
_LOW: Final = 1 << 16  # below, numbers are hardly addresses
_FIELDS: Final = {  # value under a mask, and the bits of the field
    t.EM_AARCH64: (
        (0x7C000000, 0x14000000, 0x03FFFFFF), (0x1F000000, 0x10000000, 0x60FFFFE0), (0x3B000000, 0x18000000, 0x00FFFFE0)
    ),
    t.EM_MIPS: (
        (0xF8000000, 0x08000000, 0x03FFFFFF), (0xFC000000, 0x3C000000, 0x0000FFFF), (0xFC1F0000, 0x04110000, 0x0000FFFF)
    ),
    t.EM_PPC: ((0xFC000000, 0x48000000, 0x03FFFFFC), (0xFC000000, 0x3C000000, 0x0000FFFF)),
    t.EM_ARM: (
        (0x0E000000, 0x0A000000, 0x00FFFFFF), (0x0FB00000, 0x03000000, 0x000F0FFF), (0x0F7F0000, 0x051F0000, 0x00800FFF)
    ),
}  # fmt: skip


def without(
    machine: int, big: bool, raw: bytes, *, thumb: bool = False, image: tuple[int, int] | None = None
) -> bytes:  # fmt: skip
    """``raw`` with what says where things stand zeroed; as it is for a machine that is not known. ``thumb``: T32 code;
    ``image``: from and to which address a program stands that has a fixed one. Raises :class:`code.NotDecoded`
    (x86-64)."""
    if machine == t.EM_X86_64:
        return _x86(raw, image)
    if machine not in _FIELDS or len(raw) < 4:
        return raw
    if thumb:
        return _thumb(raw)
    order = ">u4" if big else "<u4"
    words = np.frombuffer(raw, order, count=len(raw) // 4).astype(np.uint32)
    field = np.zeros(len(words), np.uint32)
    for mask, value, bits in _FIELDS[machine]:
        field[words & mask == value] |= np.uint32(bits)
    field |= _HALVES[machine](words) if machine in _HALVES else np.uint32(0)
    if machine == t.EM_ARM:
        at = np.flatnonzero(words & 0x0F7F0000 == 0x051F0000)
        distance = (words[at] & 0xFFF).astype(np.int64) * np.where(words[at] & 0x800000, 1, -1)
        _literals(field, at + 2 + distance // 4)
    return (words & ~field).astype(order).tobytes() + raw[len(words) * 4 :]


def _x86(raw: bytes, image: tuple[int, int] | None) -> bytes:
    out = np.frombuffer(raw, np.uint8) & ~np.where(decode(raw, 0).mask(), 255, 0).astype(np.uint8)
    if image is not None and len(raw) >= 4:
        values = sum(out[k : len(out) - 3 + k].astype(np.uint32) << np.uint32(8 * k) for k in range(4))
        at = np.flatnonzero((values >= max(image[0], _LOW)) & (values < image[1]))
        for k in range(4):
            out[at + k] = 0
    return out.tobytes()


def _near(
    words: Words, makes: npt.NDArray[np.bool_], into: npt.NDArray[Any], base: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Which words use a register (``base``) that one close before puts the upper part of an address ``into``."""
    out = np.zeros(len(words), bool)
    for back in range(1, min(_NEAR, len(words) - 1) + 1):
        out[back:] |= makes[:-back] & (into[:-back] == base[back:])
    return out


def _a64(words: Words) -> Words:
    pages = words & 0x9F000000 == 0x90000000
    used = (words & 0xFF800000 == 0x91000000) | (words & 0x3B000000 == 0x39000000)
    return np.where(used & _near(words, pages, words & 31, words >> 5 & 31), 0x003FFC00, 0).astype(np.uint32)


def _mips(words: Words) -> Words:
    base = words >> 21 & 31
    used = np.isin(words >> 26, (9, 13, *range(32, 47), 49, 53, 57, 61))
    makes = (words >> 26 == 15) | (words & 0xFFE00000 == 0x8F800000)  # also from the table of addresses
    near = (base == 28) | _near(words, makes, words >> 16 & 31, base)
    return np.where(used & near, 0xFFFF, 0).astype(np.uint32)


def _powerpc(words: Words) -> Words:
    base = words >> 16 & 31
    used = np.isin(words >> 26, (14, *range(32, 56)))
    near = (base == 30) | _near(words, words >> 26 == 15, words >> 21 & 31, base)
    ors = (words >> 26 == 24) & _near(words, words >> 26 == 15, words >> 21 & 31, words >> 21 & 31)
    return np.where((used & near) | ors, 0xFFFF, 0).astype(np.uint32)


_HALVES: Final = {t.EM_AARCH64: _a64, t.EM_MIPS: _mips, t.EM_PPC: _powerpc}


def _literals(field: Words, at: npt.NDArray[np.int64]) -> None:
    """Words that code reads by its own place."""
    field[at[(at >= 0) & (at < len(field))]] = 0xFFFFFFFF


def _thumb(raw: bytes) -> bytes:
    halves = np.frombuffer(raw, "<u2", count=len(raw) // 2)
    out = halves.copy()
    first, second = halves[:-1], halves[1:]
    for mask, value, mask2, value2, fields in (
        (0xF800, 0xF000, 0xC000, 0xC000, (0xF800, 0xD000)),  # BL and BLX
        (0xF800, 0xF000, 0xD000, 0x9000, (0xF800, 0xD000)),  # B.W
        (0xFB70, 0xF240, 0x8000, 0x0000, (0xFBF0, 0x8F00)),  # MOVW and MOVT
        (0xFF7F, 0xF85F, 0, 0, (0xFF7F, 0xF000)),  # LDR of a literal
    ):
        at = np.flatnonzero((first & mask == value) & (second & mask2 == value2))
        out[at] &= fields[0]
        out[at + 1] &= fields[1]
    words = np.zeros(len(raw) // 4 + 1, np.uint32)
    short = np.flatnonzero(halves & 0xF800 == 0x4800)
    long = np.flatnonzero(first & 0xFF7F == 0xF85F)
    distance = (second[long] & 0xFFF).astype(np.int64) * np.where(first[long] & 0x80, 1, -1)
    _literals(words, (short + 2) // 2 + (halves[short] & 0xFF))
    _literals(words, ((long + 2) // 2 * 4 + distance) // 4)
    keep = ~np.frombuffer(words.astype("<u4").tobytes(), "<u2")[: len(out)]
    left: bytes = (out & keep).tobytes()
    return left + raw[len(out) * 2 :]
