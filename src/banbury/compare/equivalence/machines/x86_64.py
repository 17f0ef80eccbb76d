"""Instruction boundaries and pc-relative fields of x86-64 code, for a whole section at once.

The length of the instruction at *every* offset is computed with array operations (a superset disassembly); the sweep
then follows the lengths from the section's start. Nothing but lengths and the place of the two kinds of reference
(a relative branch, a displacement from the instruction pointer) is decoded. An opcode that is not known, undefined
or not 64-bit stops the sweep, and the section is refused.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 and appendix A.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Code, Ints, NotDecoded
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.contract import BELOW, CodePair, Kinds, Machine, Mask, Sides
from banbury.compare.equivalence.machines.returned import moved_apart
from banbury.compare.equivalence.machines.x86_64_absolute import Operands, absolute, operands
from banbury.compare.equivalence.machines.x86_64_counted import counted, made
from banbury.compare.equivalence.machines.x86_64_jumped import jumped
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_data import same_words
from banbury.compare.equivalence.relayout_map import AddressMap
from banbury.compare.equivalence.relayout_tables import jump_tables

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_MODRM, _IMM8, _IZ, _BAD, _IMM16, _REL8, _REL32, _SPECIAL = 1, 2, 4, 8, 16, 32, 64, 128


def _table(**groups: str) -> U8:
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


_ONE: Final = _table(
    modrm="00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 63 69 6b 80 81 83-8e c0 c1 c6 c7 d0-d3 d8-df f6 f7 fe ff 8f",
    imm8="04 0c 14 1c 24 2c 34 3c 6a 6b 80 83 a8 b0-b7 c0 c1 c6 cd c8 e4-e7",
    iz="05 0d 15 1d 25 2d 35 3d 68 69 81 a9 c7 b8-bf",
    imm16="c2 ca c8",
    rel8="70-7f e0-e3 eb",
    rel32="e8 e9",
    bad="06 07 0e 16 17 1e 1f 27 2f 37 3f 60 61 82 9a ce d4 d5 d6 ea 26 2e 36 3e 64-67 f0 f2 f3 40-4f",
    special="a0-a3 f6 f7 b8-bf",
)
_TWO: Final = _table(
    modrm="00-03 0d 10-1f 20-23 28-2f 40-6f 70-76 78 79 7c-7f 90-9f a3-a5 ab-af b0-c7 d0-ff",
    imm8="70-73 a4 ac ba c2 c4-c6",
    rel32="80-8f",
    bad="04 0a 0c 0e 0f 24-27 36 38-3f 7a 7b a6 a7",
)
_VEX1: Final = (_TWO | _MODRM).astype(np.uint8) & np.uint8(_MODRM | _IMM8)
_VEX1[0x77] = 0
_EVEX1: Final = (_VEX1 | _MODRM).astype(np.uint8)
_PREFIX: Final = np.zeros(256, bool)
_PREFIX[[0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF0]] = True
#: ModRM to bytes of displacement (mod 0, rm 4 aside, whose SIB byte decides).
_DISP: Final = np.array(
    [0 if m >> 6 in (0, 3) and (m & 0xC7) != 5 else 1 if m >> 6 == 1 else 4 for m in range(256)], np.uint8
)
_SIB: Final = np.array([m >> 6 != 3 and m & 7 == 4 for m in range(256)])
_CHUNK: Final = 1 << 16
_MARGIN: Final = 32
_STRUCTURE: Final = 1 << 16  # bytes; no member of a structure lies further from its beginning


class X86(Machine):
    """x86-64 in the proof (System V ABI, AMD64 supplement, 4.4)."""

    fixed = True
    kinds = Kinds(
        relative=frozenset({8}),
        resolver=frozenset({37}),
        lazy=frozenset({7}),
        symbolic=frozenset({1, 5, 6, 16, 17, 18, 36}),
    )

    def __init__(self, sides: Sides) -> None:
        super().__init__(sides)
        self.counted: list[tuple[str, Ints, Ints]] = []  # section, addresses that it makes, what it adds to them
        self.decoded: list[tuple[Part, U8, Code, Operands]] = []

    def finish(self, the_map: AddressMap) -> None:
        """Nothing is found by its distance from an address that moved otherwise."""
        for name, base, total in self.counted:
            if moved_apart(the_map, base, total):
                raise Refused(name, "what is added to an address may be the distance of what moved against it")

    def code(self, one: Part, other: Part) -> CodePair:
        raw, raw_b = self.sides.raw[one.index]
        try:
            code = decode(raw.data, one.addr)
        except NotDecoded as answer:
            where = Range(one.offset + answer.offset, one.offset + answer.offset + 1)
            raise Refused(one.name, f"code that cannot be decoded: {answer}", [where]) from answer
        if self.sides.image is None:
            _no_distances(one, raw, code.starts)
        bits = np.where(code.mask(), 255, 0).astype(np.uint8)
        targets = code.targets(raw, one.addr)
        reads = raw[np.maximum(code.fields - 2, 0)] != 0x8D  # all but lea
        self.sides.at.append((one, code.fields, targets, reads & (code.widths == 4)))
        found = operands(raw, code)
        self.decoded.append((one, raw, code, found))
        self.sides.instructions[one.index] = code
        known, places = made(raw, code, one.addr, found)
        self.counted.append((one.name, *counted(raw, one.addr, found, known, places)))
        hidden = jumped(raw, code, one.addr, found, known)
        if len(hidden):
            spots = [Range(int(x) + one.offset, int(x) + one.offset + 1) for x in hidden[:16]]
            raise Refused(one.name, "a jump into the middle of an instruction", spots)
        if self.sides.image is not None:
            self._absolute(one, other, code)
        return CodePair(targets, code.targets(raw_b, other.addr), bits, code.boundaries())

    def _absolute(self, one: Part, other: Part, code: Code) -> None:
        """Enter the fields that may hold an absolute address. Compilers let indices begin elsewhere than at 0, so that
        a displacement may lie before its table: one that leads to code, to no section or below the image is refused, if
        it is larger than a structure."""
        raw, raw_b = self.sides.raw[one.index]
        found, operands_of = absolute(raw, code), self.decoded[-1][3]
        for at, width in ((found.displacements, 4), (found.immediates, 4), (found.wide, 8)):
            old, new = same_words(raw, raw_b, at, width, big=False)
            if width == 4:
                old, new = (x.astype(np.uint32).astype(np.int32).astype(np.int64) for x in (old, new))
            if at is found.displacements:
                self._outside(one, at, old)
            rows = np.searchsorted(code.starts, at, "right") - 1
            reads = (operands_of.opcode[rows] != 0x8D) & (at is found.displacements)  # all but lea
            self.sides.at.append((one, at, old, reads))
            self.sides.immediates.append((one, other, at, width, old, new))

    def _outside(self, one: Part, at: Ints, value: Ints) -> None:
        low, high = self.sides.image or (0, 0)
        strange = (value >= min(low - BELOW, _STRUCTURE)) & (value <= high)
        for part, _ in self.sides.pairs:
            if not part.code:
                strange &= (value < part.addr) | (value > part.addr + part.size)
        if strange.any():
            where = [Range(int(x) + one.offset, int(x) + one.offset + 4) for x in at[strange][:16]]
            raise Refused(one.name, "a displacement that may be an address before its object", where)

    def entered(self, one: Part, offsets: Ints, entries: Mask) -> Mask:
        """A reference may also lead behind a lock prefix, as the C library's own code does."""
        raw = self.sides.raw[one.index][0]
        locked: Mask = entries[offsets] | ((offsets > 0) & entries[offsets - 1] & (raw[offsets - 1] == 0xF0))
        return locked

    def tables(self, one: Part, other: Part, old: Ints, new: Ints) -> None:
        sides = self.sides
        jump_tables(
            sides.pair, one, other, *sides.raw[one.index], old, new, sides.code, sides.refs, sides.masks[one.index]
        )


def _no_distances(one: Part, raw: U8, starts: Ints) -> None:
    """Refuse 64-bit immediates that would have fitted into 32 bits: compilers write them only where a linker puts a
    distance (the large and medium models, R_X86_64_GOTOFF64 and GOTPC64), which is not enumerated here."""
    at = starts[starts + 10 <= len(raw)]
    at = at[((raw[at] & 0xF8) == 0x48) & ((raw[at + 1] & 0xF8) == 0xB8)]
    value = np.zeros(len(at), np.uint64)
    for k in range(8):
        value |= raw[at + 2 + k].astype(np.uint64) << np.uint64(8 * k)
    short = at[np.abs(value.astype(np.int64).astype(np.float64)) < 1 << 31]
    if len(short):
        where = [Range(int(x) + one.offset, int(x) + one.offset + 10) for x in short[:16]]
        raise Refused(one.name, "an immediate of 64 bits that may be a distance", where)


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
        length, field, width = _lengths(piece)
        found, position = _follow(length, position - base, min(_CHUNK, size - base), base)
        at = np.array(found, np.int64)
        has = width[at] > 0
        starts.append(at + base)
        fields.append(np.where(has, at + field[at], -1) + np.where(has, base, 0))
        widths.append(width[at].astype(np.int64))
    if position != size:
        raise NotDecoded(size, "the last instruction runs out of the section")
    return Code.of(data, address, _joined(starts), _joined(fields), _joined(widths))


def _joined(pieces: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


def _follow(length: U8, position: int, end: int, base: int) -> tuple[list[int], int]:
    """Offsets of the instructions from ``position`` on, and where the first one past ``end`` starts."""
    steps = length.tolist()
    found: list[int] = []
    add = found.append
    while position < end:
        step = steps[position]
        if not step:
            raise NotDecoded(base + position, "an instruction that is not known")
        add(position)
        position += step
    return found, base + position


def _lengths(c: U8) -> tuple[U8, U8, U8]:
    """For each offset: length (0: unknown), where its pc-relative field is, and the field's width (0: none)."""
    size = len(c) - 16
    prefix = _PREFIX[c]
    count, wide_operand, wide_address = _prefixes(c, prefix)
    base, kind, field, width, immediate = _opcodes(c)
    here = np.arange(len(c), dtype=np.int32)
    at = np.minimum(here + count, len(c) - 1)
    rex = (c[at] & 0xF0) == 0x40
    full = rex & ((c[at] & 8) != 0)
    opcode = np.minimum(at + rex, len(c) - 1)
    lead = (count + rex).astype(np.uint8)
    out = base[opcode]
    bad = out == 0
    kinds = kind[opcode]
    sized = (kinds & _IZ) != 0
    out = out + lead + np.where(sized, np.where(wide_operand & ~full, 2, 4), 0).astype(np.uint8)
    first = c[opcode]
    out += np.where(full & (first >= 0xB8) & (first <= 0xBF) & (immediate[opcode] == 1), 4, 0).astype(np.uint8)
    memory = immediate[opcode] == 2
    out += np.where(memory, np.where(wide_address, 4, 8), 0).astype(np.uint8)
    out[bad | (out > 15) | (count > 8)] = 0
    out[size:] = np.where(out[size:] > 0, out[size:], 0)
    return out, (field[opcode] + lead).astype(np.uint8), width[opcode]


def _prefixes(
    c: U8, prefix: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """For each offset: how many legacy prefixes stand from there on, and whether 66 or 67 is among them."""
    size = len(c)
    here = np.arange(size, dtype=np.int32)
    stop = np.where(prefix, size, here)
    after = np.minimum.accumulate(stop[::-1])[::-1]
    count = (after - here).astype(np.int32)
    out = []
    for value in (0x66, 0x67):
        total = np.concatenate((np.zeros(1, np.int32), np.cumsum(c == value, dtype=np.int32)))
        out.append(total[np.minimum(after, size)] > total[here])
    return count, out[0], out[1]


def _opcodes(c: U8) -> tuple[U8, U8, U8, U8, U8]:
    """For each offset taken as an opcode without prefixes: length less operand-sized immediates (0: unknown), flags,
    the pc-relative field's place and width, and 1 for ``mov r, imm`` (B8-BF), 2 for a direct memory offset."""
    size = len(c)
    n1, n2, n3, n4 = (np.concatenate((c[k:], np.zeros(k, np.uint8))) for k in (1, 2, 3, 4))
    kind = _ONE[c]
    skip = np.ones(size, np.uint8)  # bytes up to and with the opcode
    two = np.flatnonzero(c == 0x0F)
    kind[two] = _TWO[n1[two]]
    skip[two] = 2
    for second, flags in ((0x38, _MODRM), (0x3A, _MODRM | _IMM8)):
        three = two[n1[two] == second]
        kind[three] = flags
        skip[three] = 3
    _vector(c, n1, n2, n3, n4, kind, skip)
    here = np.arange(size, dtype=np.int32)
    place = np.minimum(here + skip, size - 1)
    modrm = c[place]
    has = (kind & _MODRM) != 0
    sib = has & _SIB[modrm]
    byte = c[np.minimum(place + 1, size - 1)]
    disp = np.where(has, _DISP[modrm], 0).astype(np.uint8)
    disp[sib & ((modrm >> 6) == 0) & ((byte & 7) == 5)] = 4
    rip = has & ((modrm & 0xC7) == 5)
    test = has & (c >= 0xF6) & (c <= 0xF7) & ((modrm & 0x38) <= 8)
    kind[test & (c == 0xF6)] |= _IMM8
    kind[test & (c == 0xF7)] |= _IZ
    length = skip + has + sib + disp
    length += ((kind & _IMM8) != 0).astype(np.uint8) + 2 * ((kind & _IMM16) != 0).astype(np.uint8)
    rel8, rel32 = (kind & _REL8) != 0, (kind & _REL32) != 0
    length += rel8.astype(np.uint8) + 4 * rel32.astype(np.uint8)
    xbegin = (c == 0xC7) & (modrm == 0xF8)
    strange = ((c == 0x8F) | (c == 0xC7) | (c == 0xC6)) & ((modrm & 0x38) != 0) & ~((c != 0x8F) & (modrm == 0xF8))
    length[((kind & _BAD) != 0) | strange] = 0
    field = np.where(rip | xbegin, skip + 1, skip).astype(np.uint8)
    width = np.where(rip | rel32 | xbegin, 4, np.where(rel8, 1, 0)).astype(np.uint8)
    special = (kind & _SPECIAL) != 0
    extra = np.where(special & (c >= 0xB8) & (c <= 0xBF), 1, np.where(special & (c <= 0xA3), 2, 0)).astype(np.uint8)
    return length.astype(np.uint8), kind, field, width, extra


def _vector(c: U8, n1: U8, n2: U8, n3: U8, n4: U8, kind: U8, skip: U8) -> None:
    """Enter the VEX and EVEX forms: C5, C4 and 62, whose maps are 0F, 0F 38 and 0F 3A."""
    short = np.flatnonzero(c == 0xC5)
    kind[short], skip[short] = _VEX1[n2[short]], 3
    for lead, maps, opcode, one, total in ((0xC4, n1 & 0x1F, n3, _VEX1, 4), (0x62, n1 & 7, n4, _EVEX1, 5)):
        found = np.flatnonzero(c == lead)
        chosen = maps[found]
        kinds = np.full(len(found), _BAD, np.uint8)
        kinds[chosen == 1] = one[opcode[found]][chosen == 1]
        kinds[chosen == 2] = _MODRM
        kinds[chosen == 3] = _MODRM | _IMM8
        if lead == 0x62:
            kinds[(chosen == 5) | (chosen == 6)] = _MODRM
        kind[found], skip[found] = kinds, total
