"""x86-64: what :mod:`register_steps` says, and :mod:`carried` follows. See there.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2; AMD64 supplement, 3.2.1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import table
from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.machines.x86_64_absolute import PREFIXES, Operands, operands

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
NOWHERE: Final = -1 << 62  #: no branch
UNKNOWN: Final = -2  #: an instruction that is not known to put an address, or what it loads, anywhere
_RSI, _RDI = 1 << 6, 1 << 7
_GENERAL: Final = 0xFFFF & ~(1 << 4)  # all registers but the stack pointer
CALLER_SAVED: Final = sum(1 << r for r in (0, 1, 2, 6, 7, 8, 9, 10, 11))
#: Behind the last opcode: those behind 0F are 0F00 and more, behind 0F 38 1000, behind 0F 3A 1100; and of other maps.
_LAST: Final = 0x1300
_STORES: Final = table(
    (0x88, 0x89, 0xC6, 0xC7, 0x0F11, 0x0F13, 0x0F17, 0x0F29, 0x0F2B, 0x0F7F, 0x0FC3, 0x0FD6, 0x0FE7), _LAST
)
#: Of one byte, which only look at it or load it.
_BYTES: Final = table((0x38, 0x3A, 0x80, 0x84, 0x8A, 0xF6, 0x0FB6, 0x0FBE), _LAST)
_NO_MEMORY: Final = table((0x8D, 0x0F1F, 0x0F18, 0x0F0D), _LAST)
_STRINGS: Final = table((0xA4, 0xA5, 0xA6, 0xA7, 0xAC, 0xAD), _LAST)
_COMPARED: Final = table((0xA6, 0xA7, 0xAF), _LAST)  # also SCAS, but for a search for a byte
_LOADED: Final = table((0xAC, 0xAD), _LAST)  # LODS, which has no destination in memory
_ENDS: Final = table((0xE9, 0xEB, 0xC3, 0xC2), _LAST)  # not UD2 and HLT: who handles them may go on behind
_WORDS: Final = table((0x8B, 0x03, *range(0x0F40, 0x0F50)), _LAST)  # loads, CMOVcc
#: Two registers, or one and memory, in one: sums, differences, products and bits.
_SUMS_FIRST: Final = table((0x03, 0x0B, 0x13, 0x1B, 0x23, 0x2B, 0x33, 0x69, 0x6B, 0x0FAF), _LAST)
_SUMS_SECOND: Final = table((0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31), _LAST)
_STORED: Final = (0x68, 0x3D, 0xA9, 0xA3)  # put a number into memory, or compare with it
LOADS: Final = (0x03, 0x0B, 0x13, 0x1B, 0x23, 0x2B, 0x33, 0x87, 0x8B)  # into a register
#: Of two registers: into that of the ModRM byte's middle bits what the lower ones name (also by parts of it, and with
#: what is there), the other way round, and both (XCHG, CMPXCHG, XADD, SHLD, SHRD), which count as reading.
_INTO_FIRST: Final = table(
    (0x8B, 0x03, 0x0B, 0x13, 0x1B, 0x23, 0x2B, 0x33, 0x63, 0x69, 0x6B, 0x0FAF, *range(0x0F40, 0x0F50)), _LAST
)
_INTO_SECOND: Final = table((0x89, 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31), _LAST)
_BOTH: Final = table((0x86, 0x87, 0x0FB1, 0x0FC1, 0x0FA4, 0x0FA5, 0x0FAC, 0x0FAD), _LAST)
_CLEARS: Final = table((0x19, 0x1B, 0x29, 0x2B, 0x31, 0x33), _LAST)  # a register with itself
VECTOR: Final = 16  #: the registers of vectors
#: MOVD, PINSR, conversions, VPBROADCAST; MOVD, PEXTR.
_INWARD: Final = table((0x0F6E, 0x0FC4, 0x0F2A, 0x0F7B, 0x107A, 0x107B, 0x107C, 0x1120, 0x1122), _LAST)
_OUTWARD: Final = table((0x0F7E, 0x1114, 0x1115, 0x1116, 0x1117), _LAST)
#: PEXTRW, PMOVMSKB, MOVMSKPS, CVTTSD2SI and the like, which have the general register first.
_OUTWARD_FIRST: Final = table((0x0F2C, 0x0F2D, 0x0F50, 0x0FC5, 0x0FD7), _LAST)
_KMOV_IN, _KMOV_OUT = 0x0F92, 0x0F93  # of vector instructions alone
_PICKS: Final = table((0x10F2, 0x10F3, 0x10F5, 0x10F6, 0x10F7, 0x11F0), _LAST)  # of BMI
_CROSSES: Final = _INWARD | _OUTWARD
_STRING: Final = table((*range(0xA4, 0xA8), *range(0xAA, 0xB0)), _LAST)  # one, or many: they step and may repeat
_FIRST: Final = table((0x0D, 0x15, 0x1D, 0x25, 0x35), _LAST)  # bits of the first register, with a number
_ALONE: Final = table((0x63, 0xC1, 0xD1, 0xD3, 0x0FB8, 0x0FBC, 0x0FBD), _LAST)
_THREE: Final = table((0x10F0, 0x10F1, 0x10F6), _LAST)  # MOVBE, CRC32, ADCX, ADOX
#: What is known to do with general registers what is followed here, or nothing that matters: moves, sums, comparisons,
#: stacks, branches, bytes, bits that are tested; of two bytes and more also what has registers of vectors alone.
_KNOWN: Final = table(
    (
        *range(0x6C), *range(0x70, 0x86), *range(0x88, 0x8C), 0x8D, 0x8F, *range(0x98, 0xC8), *range(0xCA, 0xE4),
        0xE8, 0xE9, 0xEB, *range(0xF0, 0x100), *range(0x0F10, 0x0F20), 0x0F05, 0x0F0B, 0x0F0D, *range(0x0F28, 0x0F30),
        *range(0x0F40, 0x0FA2), 0x0FA3, 0x0FA8, 0x0FA9, 0x0FAB, 0x0FAF, 0x0FB0, 0x0FB3, 0x0FB6, 0x0FB7, 0x0FBA, 0x0FBB,
        0x0FBE, 0x0FBF, 0x0FC0, *range(0x0FC2, 0x0FC7), *range(0x0FC8, 0x1000), *range(0x1000, 0x1080),
        *range(0x10C8, 0x10D0), *range(0x10DB, 0x10E0), *range(0x1108, 0x1118), *range(0x1120, 0x1123),
        *range(0x1140, 0x1150), *range(0x1160, 0x1164), 0x11CC, 0x11CE, 0x11CF, 0x11DF,
    ),
    _LAST,
)  # fmt: skip
_RAX, _RDX, _RBP, _RSP = 1, 1 << 2, 1 << 5, 4
_WORD: Final = 8
#: Write a register that their memory or another gave.
_MADE: Final = table((0x63, 0x69, 0x6B, 0x0FB6, 0x0FB7, 0x0FBE, 0x0FBF), _LAST)


def steps(
    raw: U8, code: Code, has: Operands | None = None
) -> tuple[Ints, Ints, Ints, Ints, Mask, Ints, Mask, Ints, Ints, Ints, Mask, Ints, Ints, Ints, Ints, Ints, Ints, Ints]:
    """The members of :class:`register_steps.Steps` for ``raw``, whose instructions are ``code``, but for the last.
    ``has``: what they have for operands, if it is known."""
    found, count = has or operands(raw, code), len(code.starts)
    opcode, kind, second, wide = _opcodes(raw, code, found)
    adds = found.adds
    memory = np.where(adds, 0, _bit(found.base) | _bit(found.index) | _bit(found.scaled))
    byte = _BYTES[opcode] & ((opcode != 0x80) | (kind == 7)) & ((opcode != 0xF6) | (kind < 2))  # only looked at
    near = byte & (found.distance == 0)
    store = _STORES[opcode]
    reads: Ints = np.where(near | store | _NO_MEMORY[opcode], 0, memory)
    reads = reads | np.where(_STRINGS[opcode], _RSI, 0) | np.where(_COMPARED[opcode], _RDI, 0)
    register, plain = found.register, second >= 0
    reads |= _strange(found, (opcode, kind), second)
    parts, into = np.zeros(count, np.int64), np.zeros(count, np.int64)
    cleared = _CLEARS[opcode] & (second == register)
    one, other = _bit(register), np.where(plain & ~cleared, _bit(second), 0)
    for some, source, to in (
        (opcode == 0x8D, memory, register),
        ((opcode == 0x0FB7) | (opcode == 0x0FBF), other, register),
        (_INTO_FIRST[opcode], other, register),
        (_INTO_SECOND[opcode] & (other > 0), one, second),
    ):
        parts, into = np.where(some, source, parts), np.where(some, to, into)
    _crossed(raw, found, opcode, (reads, parts, into))
    reads |= np.where(into == _RSP, parts, 0)  # the stack pointer is not followed
    reads |= np.where(_BOTH[opcode] & plain, one | other, 0)
    short = (opcode > 0x90) & (opcode < 0x98) | (opcode == 0x90) & (found.low > 0)  # XCHG with the first register
    reads |= np.where(short, 1 | _bit(found.low), 0)
    call = (opcode == 0xE8) | ((opcode == 0xFF) & (kind >> 1 == 1))
    leads, callee = _targets(raw, code, opcode)
    call &= callee != np.append(code.starts[1:], len(raw))  # to the next instruction: it asks for its own address
    made = _MADE[opcode] & ~(found.half & ~found.whole)  # of 16 bits: the others stay
    kills = _bit(found.into) | np.where(made, _bit(register), 0) | np.where(call, CALLER_SAVED, 0)
    leaps = (opcode == 0xFF) & (kind >> 1 == 2)
    ends = leaps | _ENDS[opcode]
    parted = ((opcode == 0x8B) & ~wide) | np.isin(opcode, (0x63, 0x0FB7, 0x0FBF))
    parted &= (second < 0) & (found.distance >= 0) & (found.distance < _WORD)
    loads, gets = _fetched(opcode, kind, wide & (second < 0), register)
    return (
        reads, kills, parts, np.maximum(into, 0), ~ends, leads, leaps, code.starts,
        np.where(loads, memory, 0), gets, call, callee,
        *_joined(raw, found, (opcode, byte), one * ~cleared, other, _odd(raw, found, (opcode, kind), one, other)),
        *_stepped(raw, found, (opcode, kind), other), np.where(parted, memory, 0),
    )  # fmt: skip


def _strange(found: Operands, what: tuple[Ints, Ints], second: Ints) -> Ints:
    """The registers that instructions use in ways that are not known here, or make something of in registers that
    they do not name. ``what``: opcodes, and the three bits of the ModRM byte."""
    opcode, kind = what
    one = _bit(found.register)
    other: Ints = np.where(second >= 0, _bit(second), 0)
    led = (found.opcode == 0xC4) | (found.opcode == 0xC5) | (found.opcode == 0x62)
    unknown: Mask = ~_KNOWN[opcode] & ~led
    base: Mask = unknown & (opcode == 0x0FAE) & (second >= 0)  # WRFSBASE; fences have no register
    unknown &= (opcode != 0x0FAE) & found.has & ~_BOTH[opcode]
    out: Ints = np.where(unknown, one | other, 0)
    out |= np.where(base & (kind > 1) & (kind < 4), other, 0)
    out |= np.where((opcode == 0xF7) & (kind > 3), other | _RAX | np.where(kind > 5, _RDX, 0), 0)  # MUL, DIV
    return out | np.where(opcode == 0xC9, _RBP, 0)  # LEAVE


def _fetched(opcode: Ints, kind: Ints, memory: Mask, register: Ints) -> tuple[Mask, Ints]:
    """Loads of whole words, also with arithmetic, atomics and by vectors, and the registers that they are put into.
    ``memory``: those that have 64 bits of memory for an operand."""
    vector = np.isin(opcode, (0x0F10, 0x0F12, 0x0F16, 0x0F28, 0x0F6E, 0x0F6F, 0x0F7E))
    group = (opcode == 0xF7) & (kind > 3)
    plain = _WORDS[opcode] | _SUMS_FIRST[opcode] | np.isin(opcode, (0x87, 0x0FC1))
    out = (memory & (plain | group | (opcode == 0x0FB1))) | vector
    gets = np.where(vector, 1 << VECTOR, np.where(plain, _bit(register), _RAX | np.where(group, _RDX, 0)))
    return out, np.where(out, gets, 0)


def _stepped(raw: U8, found: Operands, what: tuple[Ints, Ints], other: Ints) -> tuple[Ints, Ints]:
    """The registers that are changed by a number where they are; and those that the kernel is called with."""
    (opcode, kind), c = what, np.concatenate((raw, np.zeros(32, np.uint8)))
    one = ((opcode == 0xFF) | (opcode == 0xFE)) & (kind < 2)  # INC, DEC
    stepped = np.where(found.adds & (found.distance != 0), _bit(found.base), np.where(one, other, 0))
    bits = ((opcode == 0x81) | (opcode == 0x83)) & np.isin(kind, (1, 2, 3, 4, 6))  # OR, ADC, SBB, AND, XOR
    bits &= ~((opcode == 0x83) & (kind == 1) & (c[found.at + found.skip + 1] == 0xFF))  # OR with -1: all is lost
    stepped |= np.where(bits, other, np.where(_FIRST[opcode], 1, 0))
    stepped |= _moved(opcode)
    asks = (opcode == 0x0F05) | (opcode == 0x0F34) | (opcode == 0xCD)  # SYSCALL, SYSENTER, INT
    return stepped, np.where(asks, _GENERAL, 0)


def _odd(raw: U8, found: Operands, what: tuple[Ints, Ints], one: Ints, other: Ints) -> Ints:
    """The registers with which an instruction does what nobody does with an address: they are exchanged, shifted,
    multiplied, or bits are picked. ``what``: opcodes, and the three bits of the ModRM byte."""
    opcode, kind = what
    group = (opcode == 0xF7) & (kind > 1)
    out = np.where(_ALONE[opcode] | group, other, 0)
    general = _BOTH[opcode] | (_THREE[opcode] & (found.opcode == 0x0F))
    out |= np.where(general, one | other, 0)
    short = (opcode > 0x90) & (opcode < 0x98) | (opcode == 0x90) & (found.low > 0)
    out |= np.where(short, 1 | _bit(found.low), 0)
    swapped = (opcode >= 0x0FC8) & (opcode < 0x0FD0) & (found.opcode == 0x0F)
    picked: Ints = np.zeros(len(opcode), np.int64)
    rows, low, named = _picked(raw, found, opcode)
    picked[rows] = (1 << low) | (1 << named)
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    before = np.where(found.at > 0, c[found.at - 1], np.uint8(0)).astype(np.int64)
    named = (opcode & 7) + np.where(before & 0xF0 == 0x40, (before & 1) << 3, 0)
    return out | np.where(swapped, _bit(named), 0) | picked


def _picked(raw: U8, found: Operands, opcode: Ints) -> tuple[Ints, Ints, Ints]:
    """Instructions of BMI with two registers: which they are, the last of each and that which its prefix names."""
    rows = np.flatnonzero(_PICKS[opcode] & found.has & ((found.opcode == 0xC4) | (found.opcode == 0x62)))
    c, at = np.concatenate((raw, np.zeros(32, np.uint8))), found.at[rows]
    modrm = c[at + found.skip[rows]]
    rows, at, modrm = (x[modrm >= 0xC0] for x in (rows, at, modrm))
    low = (modrm & 7).astype(np.int64) + 8 * (~c[at + 1] >> 5 & 1).astype(np.int64)
    return rows, low, (~c[at + 2] >> 3 & 15).astype(np.int64)


def _joined(
    raw: U8, found: Operands, what: tuple[Ints, Mask], one: Ints, other: Ints, odd: Ints
) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    """The registers that are added to another or to a number, or otherwise joined; those through which memory of more
    than a byte is read or written; and those that find such memory with another, or are used in an ``odd`` way.
    ``what``: opcodes, and which of them look at one byte."""
    opcode, byte = what
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    at, place = found.at, found.at + found.skip
    modrm, sib, rex = c[place], c[place + 1], np.where(at > 0, c[at - 1], np.uint8(0))
    vector = (found.opcode >= 0xC4) & (found.opcode <= 0xC5) | (found.opcode == 0x62)
    some = found.has & (modrm < 0xC0) & (modrm & 7 == 4)
    some &= (sib & 0x38 != 0x20) | vector | (rex & 0xF2 == 0x42)
    base = np.where(found.adds, 0, _bit(found.base))
    both = base | np.where(found.adds, 0, _bit(found.index) | _bit(found.scaled))
    third = (opcode == 0x69) | (opcode == 0x6B)  # a product with a number, which goes into a third register
    joins = np.where(_SUMS_FIRST[opcode] | _SUMS_SECOND[opcode], np.where(third, 0, one) | other, 0)
    joins = np.where((opcode == 0x8D) & (some | (found.distance != 0)), both, joins)
    wide = np.where(byte | _NO_MEMORY[opcode], 0, both)
    indexed = np.where(some, wide, 0) | odd
    return joins, wide | _moved(opcode) | odd, indexed


def _moved(opcode: Ints) -> Ints:
    """The registers by which string instructions find memory, and which they move on."""
    out: Ints = np.where(_STRINGS[opcode], _RSI, 0)
    return out | np.where(_STRING[opcode] & ~_LOADED[opcode], _RDI, 0)


def _crossed(raw: U8, found: Operands, opcode: Ints, out: tuple[Ints, Ints, Ints]) -> None:
    """Enter, in what is read, the parts and what they are put into, moves between general registers and those of
    vectors, which count as one; and what shifts and picks bits into another register."""
    reads, parts, into = out
    led = (found.opcode == 0xC4) | (found.opcode == 0xC5) | (found.opcode == 0x62)
    masks = led & found.has
    rows = np.flatnonzero((_CROSSES[opcode] & found.has) | (masks & (opcode == _KMOV_IN)))
    at = found.at[rows]
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    modrm, lead = c[at + found.skip[rows]], c[at]
    rows, at, modrm, lead = (x[modrm >= 0xC0] for x in (rows, at, modrm, lead))
    rex = np.where(at > 0, c[at - 1], np.uint8(0))
    vector = (lead == 0xC4) | (lead == 0x62)
    high = np.where(vector, ~c[at + 1] >> 5 & 1, np.where((rex & 0xF0 == 0x40) & (lead == 0x0F), rex & 1, 0))
    low = (modrm & 7).astype(np.int64) + 8 * high.astype(np.int64)
    kind = opcode[rows]
    inward, outward = _INWARD[kind] | (kind == _KMOV_IN), _OUTWARD[kind]
    parts[rows[inward]], into[rows[inward]] = 1 << low[inward], VECTOR
    parts[rows[outward]], into[rows[outward]] = 1 << VECTOR, low[outward]
    first = _OUTWARD_FIRST[opcode] & found.has
    parts[first], into[first] = 1 << VECTOR, found.register[first]
    masks &= opcode == _KMOV_OUT
    parts[masks], into[masks] = 1 << VECTOR, found.register[masks]
    rows, low, named = _picked(raw, found, opcode)
    reads[rows] |= (1 << low) | (1 << named)


def taken(code: bytes) -> int:
    """The register into which the instruction ``code`` begins with puts an address; -1: none, but into memory or to be
    looked at; :data:`UNKNOWN`."""
    at = 0
    while at < len(code) and code[at] in PREFIXES:
        at += 1
    rex = code[at] if code[at : at + 1] and code[at] & 0xF0 == 0x40 else 0
    opcode, modrm = code[at + bool(rex) : at + bool(rex) + 2].ljust(2, b"\0")
    if opcode == 0x8D:
        return modrm >> 3 & 7 | (rex & 4) << 1
    if 0xB8 <= opcode < 0xC0:
        return opcode & 7 | (rex & 1) << 3
    if opcode == 0x05:
        return 0
    straight = (modrm & 7 | (rex & 1) << 3) if modrm >= 0xC0 else -1
    if opcode == 0xC7 or (opcode == 0x81 and modrm >> 3 & 7 == 0):
        return straight
    return -1 if opcode in _STORED or (opcode == 0x81 and modrm >> 3 & 7 == 7) else UNKNOWN


def _opcodes(raw: U8, code: Code, found: Operands) -> tuple[Ints, Ints, Ints, Mask]:
    """By instruction: its opcode (with the map that it is of: see :data:`_LAST`), the three bits of its ModRM byte, the
    register in that byte's lower bits (-1: memory, or no such byte), and whether its operands are of 64 bits (by its
    prefix)."""
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    at, has, first = found.at, found.has, found.opcode
    before = np.where(at > code.starts, c[at - 1], np.uint8(0))
    high = np.where(before & 0xF0 == 0x40, before & 1, np.uint8(0))
    vector = (first == 0xC5) | (first == 0xC4) | (first == 0x62)
    last, modrm = c[at + found.skip - 1], c[at + found.skip]
    two = np.where(c[at + 1] == 0x38, 2, np.where(c[at + 1] == 0x3A, 3, 1))
    named = np.where(first == 0x0F, two, np.where(first == 0xC5, 1, c[at + 1] & np.where(first == 0xC4, 31, 7)))
    family = np.where((named > 0) & (named < 4), 0x0E + named, 0x12).astype(np.int64) << 8
    opcode = np.where((first == 0x0F) | vector, family | last.astype(np.int64), first)
    second = np.where(has & (modrm >> 6 == 3) & ~vector, (modrm & 7) + 8 * high.astype(np.int64), -1)
    kind: Ints = np.where(has, modrm >> 3 & 7, np.uint8(0)).astype(np.int64)
    return opcode, kind, second, before & 0xF8 == 0x48


def _targets(raw: U8, code: Code, opcode: Ints) -> tuple[Ints, Ints]:
    """The offsets that each branch and each call leads to."""
    row = np.searchsorted(code.starts, code.fields, "right") - 1
    kind, targets = opcode[row], code.targets(raw, 0)
    jumps = (kind >> 4 == 7) | (kind >> 4 == 0x0F8) | (kind == 0xE9) | (kind == 0xEB) | ((kind >= 0xE0) & (kind < 0xE4))
    out = []
    for some in (jumps, kind == 0xE8):
        leads = np.full(len(opcode), NOWHERE, np.int64)
        leads[row[some]] = targets[some]
        out.append(leads)
    return out[0], out[1]


def _bit(register: Ints) -> Ints:
    out: Ints = np.where((register >= 0) & (register < 16), 1 << np.clip(register, 0, 15), 0)
    return out
