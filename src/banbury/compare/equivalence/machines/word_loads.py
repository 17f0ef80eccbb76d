"""What an instruction that reads or writes a word of data, at a place that it says itself, does with it: which register
it loads the word into as a whole, whether it only writes it or compares it, or whether it uses it in a way that is not
known here, as of arithmetic, atomics, parts and vectors.

Sources: Intel SDM, volume 2; Arm ARM DDI 0487, C4; MIPS MD00086; Power ISA 2.07.
"""

from __future__ import annotations

from typing import Final

from banbury.compare.equivalence.machines.x86_64_absolute import PREFIXES
from banbury.compare.equivalence.machines.x86_64_carried import LOADS, UNKNOWN, VECTOR
from banbury.formats import _elf_types as t

NOTHING: Final = -1
#: x86-64: stores, comparisons, and operations whose result goes into memory.
_STORES: Final = frozenset(
    (0x00, 0x01, 0x08, 0x09, 0x10, 0x11, 0x18, 0x19, 0x20, 0x21, 0x28, 0x29, 0x30, 0x31, 0x38, 0x39, 0x3A, 0x3B, 0x80,
     0x81, 0x83, 0x84, 0x85, 0x88, 0x89, 0x8F, 0xC6, 0xC7, 0xFE, 0xFF)
)  # fmt: skip
_STORES_0F: Final = frozenset(
    (0x0D, 0x11, 0x13, 0x17, 0x18, 0x1F, 0x29, 0x2B, 0x7F, 0xC3, 0xD6, 0xE7, *range(0x90, 0xA0))
)
_VECTORS: Final = frozenset((0x10, 0x12, 0x16, 0x28, 0x6E, 0x6F, 0x7E))
#: Words that are loaded, and stores, by the highest six bits.
_RISC: Final = {
    t.EM_MIPS: ((35,), (*range(40, 47), 51, 57, 61)),
    t.EM_PPC: ((32, 33), (*range(36, 40), 44, 45, 47, *range(52, 56))),
}


def loaded(machine: int, big: bool, code: bytes) -> int:
    """The register into which the instruction ``code`` begins with loads the word; :data:`NOTHING`; ``UNKNOWN``."""
    if machine == t.EM_X86_64:
        return _x86(code)
    word = int.from_bytes(code[:4], "big" if big else "little")
    if machine == t.EM_AARCH64:
        return _a64(word)
    loads, stores = _RISC[machine]
    top = word >> 26
    if top in loads:
        return word >> (16 if machine == t.EM_MIPS else 21) & 31
    return NOTHING if top in stores else UNKNOWN


def _a64(word: int) -> int:
    if word & 0xFFC00000 in (0xF9400000, 0xF8400000):  # LDR, LDUR
        return word & 31 if word & 31 < 31 else NOTHING
    one, two = word & 0x3A000000 == 0x38000000, word & 0x3A000000 == 0x28000000
    if one and (word & 0xFFC00000 == 0xF9800000 or word & 0x00C00000 == 0 or word & 0x04C00000 == 0x04800000):
        return NOTHING  # PRFM, and stores
    return NOTHING if two and word & 0x00400000 == 0 else UNKNOWN


def _x86(code: bytes) -> int:
    at = 0
    while at < len(code) and code[at] in PREFIXES:
        at += 1
    rex = code[at] if code[at : at + 1] and code[at] & 0xF0 == 0x40 else 0
    at += bool(rex)
    first, second, third, fourth = code[at : at + 4].ljust(4, b"\0")
    led = (first == 0xC5 and third in _VECTORS) or (first == 0xC4 and second & 31 == 1 and fourth in _VECTORS)
    if led or (first == 0x0F and second in _VECTORS):
        return VECTOR
    if first == 0x0F and second >> 4 == 4:  # CMOVcc
        return third >> 3 & 7 | (rex & 4) << 1
    if first in LOADS:
        return second >> 3 & 7 | (rex & 4) << 1 if rex & 8 else UNKNOWN
    tests = first in (0xF6, 0xF7) and second >> 3 & 7 < 4  # TEST; NOT and NEG of memory
    return NOTHING if tests or first in _STORES or (first == 0x0F and second in _STORES_0F) else UNKNOWN
