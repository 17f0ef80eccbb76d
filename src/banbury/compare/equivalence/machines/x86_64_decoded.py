"""Where the instructions of x86-64 code begin and where their references stand, for a whole section at once.

The length of the instruction at *every* offset is computed with array operations (a superset disassembly); the sweep
then follows the lengths from the section's start. Nothing but lengths and the place of the two kinds of reference
(a relative branch, a displacement from the instruction pointer) is decoded. An opcode that is not known, undefined
or not 64-bit stops the sweep.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 and appendix A.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import table
from banbury.compare.equivalence.code import Code, Ints, NotDecoded

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_MODRM, _IMM8, _IZ, _BAD, _IMM16, _REL8, _REL32, _SPECIAL = 1, 2, 4, 8, 16, 32, 64, 128


def _flags(**groups: str) -> U8:
    """A table of flags by opcode from lists of hexadecimal numbers and ranges."""
    flags = {
        "modrm": _MODRM, "imm8": _IMM8, "iz": _IZ, "bad": _BAD, "imm16": _IMM16, "rel8": _REL8, "rel32": _REL32,
        "special": _SPECIAL,
    }  # fmt: skip
    out = np.zeros(256, np.uint8)
    for name, text in groups.items():
        for item in text.split():
            low, _, high = item.partition("-")
            out[int(low, 16) : int(high or low, 16) + 1] |= flags[name]
    return out


_ONE: Final = _flags(
    modrm="00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 63 69 6b 80 81 83-8e c0 c1 c6 c7 d0-d3 d8-df f6 f7 fe ff 8f",
    imm8="04 0c 14 1c 24 2c 34 3c 6a 6b 80 83 a8 b0-b7 c0 c1 c6 cd c8 e4-e7",
    iz="05 0d 15 1d 25 2d 35 3d 68 69 81 a9 c7 b8-bf",
    imm16="c2 ca c8",
    rel8="70-7f e0-e3 eb",
    rel32="e8 e9",
    bad="06 07 0e 16 17 1e 1f 27 2f 37 3f 60 61 82 9a ce d4 d5 d6 ea 26 2e 36 3e 64-67 f0 f2 f3 40-4f",
    special="a0-a3 f6 f7 b8-bf",
)
_TWO: Final = _flags(
    modrm="00-03 0d 10-1f 20-23 28-2f 40-6f 70-76 78 79 7c-7f 90-9f a3-a5 ab-af b0-c7 d0-ff",
    imm8="70-73 a4 ac ba c2 c4-c6",
    rel32="80-8f",
    bad="04 0a 0c 0e 0f 24-27 36 38-3f 7a 7b a6 a7",
)
_VEX1: Final = (_TWO | _MODRM).astype(np.uint8) & np.uint8(_MODRM | _IMM8)
_VEX1[0x77] = 0
_EVEX1: Final = (_VEX1 | _MODRM).astype(np.uint8)
#: By opcode, what the lists above say, and whether it is a legacy prefix.
_OPCODE: Final = _ONE.tobytes()
_PREFIX: Final = table((0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF0)).tobytes()
#: ModRM to bytes of displacement (mod 0, rm 4 aside, whose SIB byte decides), and to whether there is a SIB byte.
_DISP: Final = bytes(0 if m >> 6 in (0, 3) and (m & 0xC7) != 5 else 1 if m >> 6 == 1 else 4 for m in range(256))
_SIB: Final = bytes(m >> 6 != 3 and m & 7 == 4 for m in range(256))
#: Flags to bytes of immediates that have one size.
_IMMEDIATE: Final = bytes(
    (k & _IMM8 != 0) + 2 * (k & _IMM16 != 0) + (k & _REL8 != 0) + 4 * (k & _REL32 != 0) for k in range(256)
)
_HALF, _WORD = np.uint8(2), np.uint8(4)
_CHUNK: Final = 1 << 16
_MARGIN: Final = 32
_DOUBLINGS: Final = 3  # one step of the sweep goes over eight instructions


class _Opcodes(NamedTuple):
    """Of each offset taken as an opcode without prefixes: the ``length`` of the instruction less immediates of the
    operand's size (0: unknown), its flags (``kind``), the bytes up to and with the opcode (``skip``), and what would be
    its ``modrm`` byte."""

    length: U8
    kind: U8
    skip: U8
    modrm: U8


def decode(raw: bytes | memoryview, address: int) -> Code:
    """The instructions of a section of code at ``address``. Raises :class:`NotDecoded` at the first unknown one."""
    data = np.frombuffer(raw, np.uint8)
    size = len(data)
    padded = np.concatenate((data, np.zeros(_MARGIN, np.uint8)))
    starts, fields, widths = [], [], []
    position = 0
    for base in range(0, size, _CHUNK):
        if position >= base + _CHUNK:
            continue
        piece = padded[base : min(base + _CHUNK, size) + _MARGIN]
        length, before, opcodes = _lengths(piece)
        at, position = _follow(length, position - base, min(_CHUNK, size - base), base)
        field, width = _fields(piece, at, before[at], opcodes)
        starts.append(at + base)
        fields.append(np.where(width > 0, at + field, -1) + np.where(width > 0, base, 0))
        widths.append(width)
    if position != size:
        raise NotDecoded(size, "the last instruction runs out of the section")
    return Code.of(data, address, _joined(starts), _joined(fields), _joined(widths))


def _joined(pieces: list[Ints]) -> Ints:
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


def _follow(length: U8, position: int, end: int, base: int) -> tuple[Ints, int]:
    """Offsets of the instructions from ``position`` on, and where the first one past ``end`` starts."""
    last = len(length) - 1
    here = np.arange(len(length), dtype=np.int64)
    far = length
    for _ in range(_DOUBLINGS):  # no more than 8 * 15 bytes: it fits into a byte
        far = far + far[np.minimum(here + far, last)]
    steps = far.tobytes()
    found: list[int] = []
    add = found.append
    while position < end and steps[position]:
        add(position)
        position += steps[position]
    rows = np.array(found, np.int64)
    columns = [rows]
    for _ in range((1 << _DOUBLINGS) - 1):
        rows = np.minimum(rows + length[rows], last)
        columns.append(rows)
    at = np.stack(columns, axis=1).ravel()
    beyond = at[at >= end]
    at = at[at < end]
    unknown = at[length[at] == 0]
    if len(unknown) or position < end:
        raise NotDecoded(base + int(unknown[0] if len(unknown) else position), "an instruction that is not known")
    return at, base + (int(beyond[0]) if len(beyond) else position)


def _fields(c: U8, at: Ints, before: U8, opcodes: _Opcodes) -> tuple[Ints, Ints]:
    """Of the instructions at some offsets, with so many bytes ``before`` their opcodes: where the pc-relative field is,
    and its width (0: none)."""
    place = at + before
    kind, modrm = opcodes.kind[place], opcodes.modrm[place]
    counted = ((kind & _MODRM) != 0) & ((modrm & 0xC7) == 5) | ((c[place] == 0xC7) & (modrm == 0xF8))  # XBEGIN
    far = counted | ((kind & _REL32) != 0)
    width = np.where(far, 4, np.where((kind & _REL8) != 0, 1, 0))
    return before.astype(np.int64) + opcodes.skip[place] + counted, width


def _lengths(c: U8) -> tuple[U8, U8, _Opcodes]:
    """For each offset: the length of the instruction (0: unknown), and the bytes before its opcode; and what is said of
    opcodes."""
    opcodes = _opcodes(c)
    rex = (c & 0xF0) == 0x40
    full = (c & 0xF8) == 0x48
    length, kind, opcode = (np.where(rex, _shifted(x), x) for x in (opcodes.length, opcodes.kind, c))
    bad = length == 0
    length += rex
    sized = (kind & _IZ) != 0
    moved = (kind & _SPECIAL) != 0
    length += (full & moved & (opcode >= 0xB8) & (opcode <= 0xBF)) * _WORD
    memory = moved & (opcode >= 0xA0) & (opcode <= 0xA3)
    at, after, wide_operand, wide_address = _prefixes(c)
    count = np.minimum(after - at, _MARGIN).astype(np.uint8)
    behind = length[after] + count
    behind += (sized[after] & ~(wide_operand & ~full[after])) * _HALF + sized[after] * _HALF
    behind += memory[after] * _WORD + (memory[after] & ~wide_address) * _WORD
    modrm = np.where(rex, _shifted(opcodes.modrm), opcodes.modrm)
    begins = (opcode[after] == 0xC7) & (modrm[after] == 0xF8) & wide_operand & ~full[after]  # XBEGIN with two bytes
    behind[bad[after] | (behind > 15) | (count > 8) | begins] = 0
    length += sized * _WORD + memory * (_WORD + _WORD)
    length[bad | (length > 15)] = 0
    length[at] = behind
    before = rex.astype(np.uint8)
    before[at] = count + rex[after]
    return length, before, opcodes


def _shifted(x: U8) -> U8:
    """What the next offset has; at the last one what itself has."""
    return np.concatenate((x[1:], x[-1:]))


def _prefixes(c: U8) -> tuple[Ints, Ints, Flags, Flags]:
    """The offsets of legacy prefixes, the offset behind all that follow one another from there on, and whether 66 or 67
    is among these."""
    at = np.flatnonzero(np.frombuffer(c.tobytes().translate(_PREFIX), np.uint8))
    if not len(at):
        return at, at, np.zeros(0, bool), np.zeros(0, bool)
    ends = np.flatnonzero(np.append(at[1:] != at[:-1] + 1, True))  # the last of each run
    last = ends[np.searchsorted(ends, np.arange(len(at)))]
    after = np.minimum(at[last] + 1, len(c) - 1)
    among = []
    for value in (0x66, 0x67):
        total = np.append(0, np.cumsum(c[at] == value))
        among.append(total[last + 1] > total[:-1])
    return at, after, among[0], among[1]


def _opcodes(c: U8) -> _Opcodes:
    """What is said of each offset taken as an opcode without prefixes."""
    raw = c.tobytes()
    kind = np.frombuffer(raw.translate(_OPCODE), np.uint8).copy()
    ahead = [np.concatenate((c[k:], np.zeros(k, np.uint8))) for k in range(7)]
    skip = np.ones(len(c), np.uint8)
    modrm, sib = ahead[1].copy(), ahead[2].copy()
    for some, total, kinds in _longer(c, ahead):
        kind[some], skip[some] = kinds, total
        modrm[some], sib[some] = ahead[total][some], ahead[total + 1][some]
    has = (kind & _MODRM) != 0
    form = modrm.tobytes()
    length = skip + has
    length += np.frombuffer(form.translate(_DISP), np.uint8) * has
    scaled = has & (np.frombuffer(form.translate(_SIB), np.uint8) == 1)
    length += scaled
    length += (scaled & (modrm < 64) & (sib & 7 == 5)) * _WORD
    group = has & ((c & 0xFE) == 0xF6) & ((modrm & 0x38) <= 8)
    kind[group & (c == 0xF6)] |= _IMM8
    kind[group & (c == 0xF7)] |= _IZ
    length += np.frombuffer(kind.tobytes().translate(_IMMEDIATE), np.uint8)
    held = modrm & 0x38 != 0
    strange = ((c == 0x8F) & held) | ((c & 0xFE == 0xC6) & held & (modrm != 0xF8))
    length[((kind & _BAD) != 0) | strange] = 0
    return _Opcodes(length, kind, skip, modrm)


def _longer(c: U8, ahead: list[U8]) -> list[tuple[Ints, int, U8]]:
    """Opcodes of several bytes: where they begin, how many bytes they have, and their flags. VEX and EVEX (C5, C4 and
    62) have the maps of 0F, 0F 38 and 0F 3A."""
    two = np.flatnonzero(c == 0x0F)
    out = [(two, 2, _TWO[ahead[1][two]])]
    for second, flags in ((0x38, _MODRM), (0x3A, _MODRM | _IMM8)):
        three = two[ahead[1][two] == second]
        out.append((three, 3, np.full(len(three), flags, np.uint8)))
    short = np.flatnonzero(c == 0xC5)
    out.append((short, 3, _VEX1[ahead[2][short]]))
    for lead, mask, one, total in ((0xC4, 0x1F, _VEX1, 4), (0x62, 7, _EVEX1, 5)):
        found = np.flatnonzero(c == lead)
        chosen = ahead[1][found] & mask
        kinds = np.full(len(found), _BAD, np.uint8)
        kinds[chosen == 1] = one[ahead[total - 1][found]][chosen == 1]
        kinds[chosen == 2] = _MODRM
        kinds[chosen == 3] = _MODRM | _IMM8
        if lead == 0x62:
            kinds[(chosen == 5) | (chosen == 6)] = _MODRM
        out.append((found, total, kinds))
    return out
