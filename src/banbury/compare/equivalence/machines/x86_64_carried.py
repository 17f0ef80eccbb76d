"""x86-64: what :mod:`carried` follows. See there.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2; AMD64 supplement, 3.2.1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.machines.x86_64_absolute import PREFIXES, behind_prefixes, operands, shape

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
NOWHERE: Final = -1 << 62  #: no branch
UNKNOWN: Final = -2  #: an instruction that is not known to put an address, or what it loads, anywhere
_RSI, _RDI = 1 << 6, 1 << 7
CALLER_SAVED: Final = sum(1 << r for r in (0, 1, 2, 6, 7, 8, 9, 10, 11))
_STORES: Final = (0x88, 0x89, 0xC6, 0xC7)
_STORES_0F: Final = (0x11, 0x13, 0x17, 0x29, 0x2B, 0x7F, 0xC3, 0xD6, 0xE7)
_BYTES: Final = (0x38, 0x3A, 0x80, 0x84, 0x8A, 0xF6)  # of one byte, which only look at it or load it
_NO_MEMORY: Final = (0x8D, 0x0F1F, 0x0F18, 0x0F0D)
_STRINGS: Final = (0xA4, 0xA5, 0xA6, 0xA7, 0xAC, 0xAD)
_STORED: Final = (0x68, 0x3D, 0xA9, 0xA3)  # put a number into memory, or compare with it
_LOADS: Final = (0x03, 0x0B, 0x13, 0x1B, 0x23, 0x2B, 0x33, 0x87, 0x8B)  # into a register
_MADE: Final = (0x63, 0x69, 0x6B, 0x0FB6, 0x0FB7, 0x0FBE, 0x0FBF)  # write a register that their memory or another gave


def steps(raw: U8, code: Code) -> tuple[Ints, Ints, Ints, Ints, Mask, Ints, Mask, Ints, Ints, Ints, Mask, Ints]:
    """The members of :class:`carried.Steps` for ``raw``, whose instructions are ``code``, but for the last."""
    found, count = operands(raw, code), len(code.starts)
    opcode, kind, second, wide = _opcodes(raw, code)
    adds = found.adds
    memory = np.where(adds, 0, _bit(found.base) | _bit(found.index))
    near = (np.isin(opcode, _BYTES) | np.isin(opcode, (0x0FB6, 0x0FBE))) & (found.distance == 0)
    store = np.isin(opcode, _STORES) | np.isin(opcode, [0x0F00 | k for k in _STORES_0F])
    reads = np.where(near | store | np.isin(opcode, _NO_MEMORY), 0, memory)
    reads |= np.where(np.isin(opcode, _STRINGS), _RSI, 0) | np.where(np.isin(opcode, (0xA6, 0xA7)), _RDI, 0)
    register, plain = found.register, second >= 0
    parts, into = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for some, source, to in (
        (opcode == 0x8D, memory, register),
        ((opcode == 0x8B) & plain, _bit(second), register),
        ((opcode == 0x89) & plain, _bit(register), second),
        ((opcode == 0x03) & plain, _bit(second), register),
        ((opcode == 0x01) & plain, _bit(register), second),
        (opcode >> 4 == 0x0F4, np.where(plain, _bit(second), 0), register),  # CMOVcc
        ((opcode == 0x87) & plain, _bit(register), second),
    ):
        parts, into = np.where(some, source, parts), np.where(some, to, into)
    call = (opcode == 0xE8) | ((opcode == 0xFF) & np.isin(kind, (2, 3)))
    kills = _bit(found.into) | np.where(np.isin(opcode, _MADE), _bit(register), 0) | np.where(call, CALLER_SAVED, 0)
    leaps = (opcode == 0xFF) & np.isin(kind, (4, 5))
    ends = leaps | np.isin(opcode, (0xE9, 0xEB, 0xC3, 0xC2, 0xF4, 0x0F0B))
    loads = wide & (second < 0) & (np.isin(opcode, (0x8B, 0x03)) | (opcode >> 4 == 0x0F4))
    leads, callee = _targets(raw, code, opcode)
    return (
        reads, kills, parts, np.maximum(into, 0), ~ends, leads, leaps, code.starts,
        np.where(loads, memory, 0), np.where(loads, _bit(register), 0), call, callee,
    )  # fmt: skip


def taken(code: bytes, loads: bool) -> int:
    """The register into which the instruction ``code`` begins with puts an address or, if it ``loads``, what it loads;
    -1: none, but into memory or to be looked at; :data:`UNKNOWN`."""
    at = 0
    while at < len(code) and code[at] in PREFIXES:
        at += 1
    rex = code[at] if code[at : at + 1] and code[at] & 0xF0 == 0x40 else 0
    rest = code[at + bool(rex) : at + bool(rex) + 3].ljust(3, b"\0")
    return _loaded(rest, rex) if loads else _put(rest, rex)


def _put(code: bytes, rex: int) -> int:
    """See :func:`taken`: an address."""
    opcode, modrm = code[0], code[1]
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


def _loaded(code: bytes, rex: int) -> int:
    """See :func:`taken`: what is loaded."""
    chosen = code[0] == 0x0F and code[1] >> 4 == 4  # CMOVcc
    if chosen or code[0] in _LOADS:
        return code[2 if chosen else 1] >> 3 & 7 | (rex & 4) << 1
    return -1


def _opcodes(raw: U8, code: Code) -> tuple[Ints, Ints, Ints, Mask]:
    """By instruction: its opcode (behind 0F as 0F00 and more; of vector instructions those of 0F), the three bits of
    its ModRM byte, the register in that byte's lower bits (-1: memory, or no such byte), and whether its operands are
    of 64 bits (by its prefix)."""
    c = np.concatenate((raw, np.zeros(32, np.uint8))).astype(np.int64)
    narrow = c.astype(np.uint8)
    at = behind_prefixes(narrow, code.starts)
    skip, has = shape(narrow, at)
    before = c[np.maximum(at - 1, 0)]
    high = np.where((at > code.starts) & (before & 0xF0 == 0x40), before & 1, 0)
    vector = np.isin(c[at], (0xC5, 0xC4, 0x62))
    last = c[at + skip - 1]
    opcode = np.where((c[at] == 0x0F) | vector, 0x0F00 | last, c[at])
    modrm = c[at + skip]
    second = np.where(has & (modrm >> 6 == 3) & ~vector, (modrm & 7) + 8 * high, -1)
    wide = (at > code.starts) & (before & 0xF8 == 0x48)
    return opcode, np.where(has, modrm >> 3 & 7, 0), second, wide


def _targets(raw: U8, code: Code, opcode: Ints) -> tuple[Ints, Ints]:
    """The offsets that each branch and each call leads to."""
    row = np.searchsorted(code.starts, code.fields, "right") - 1
    kind, targets = opcode[row], code.targets(raw, 0)
    jumps = (kind >> 4 == 7) | (kind >> 4 == 0x0F8) | np.isin(kind, (0xE9, 0xEB)) | ((kind >= 0xE0) & (kind < 0xE4))
    out = []
    for some in (jumps, kind == 0xE8):
        leads = np.full(len(opcode), NOWHERE, np.int64)
        leads[row[some]] = targets[some]
        out.append(leads)
    return out[0], out[1]


def _bit(register: Ints) -> Ints:
    out: Ints = np.where((register >= 0) & (register < 16), 1 << np.clip(register, 0, 15), 0)
    return out
