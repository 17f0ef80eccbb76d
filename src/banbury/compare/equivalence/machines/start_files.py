"""The code of GCC's start files that has the end of data, aligned, in two registers at once: where a program's table of
clones for transactional memory begins and ends. It asks whether that is empty, and hands it to a library that may be
there, as nothing else does.

Sources: GCC, libgcc/crtstuff.c (``deregister_tm_clones``, ``register_tm_clones``), as in Debian 12's GCC 12; Intel
SDM, volume 2; Arm ARM DDI 0487.
"""

from __future__ import annotations

import re
from typing import Final

from banbury.compare.equivalence.machines.contract import U8
from banbury.formats import _elf_types as t

_LONGEST: Final = 96  # bytes
#: LEA of both, whether they differ, or by how many words; the library's function, if it is there; return. (The bytes
#: in groups are of jumps to the return.)
_X86_64: Final = re.compile(
    rb"\x48\x8d\x3d.{4}\x48\x8d(?:\x05.{4}\x48\x39\xf8"
    rb"|\x35.{4}\x48\x29\xfe\x48\x89\xf0\x48\xc1\xee\x3f\x48\xc1\xf8\x03\x48\x01\xc6\x48\xd1\xfe)"
    rb"\x74(.)\x48\x8b\x05.{4}\x48\x85\xc0\x74(.)[\x3e\xf2]?\xff\xe0",
    re.DOTALL,
)
_ADRP: Final = 0x9F000000
_ALL: Final = 0xFFFFFFFF
#: Instructions of AArch64, and which of their bits count.
_BEGIN: Final = ((0x90000000, _ADRP | 31), (0x91000000, 0xFFC003FF), (0x90000001, _ADRP | 31), (0x91000021, 0xFFC003FF))
_A64: Final = (
    (*_BEGIN, (0xEB00003F, _ALL), (0x540000C0, _ALL), (0x90000001, _ADRP | 31), (0xF9400021, 0xFFC003FF),
     (0xB4000061, _ALL), (0xAA0103F0, _ALL), (0xD61F0200, _ALL), (0xD65F03C0, _ALL)),
    (*_BEGIN, (0xCB000021, _ALL), (0xD37FFC22, _ALL), (0x8B810C41, _ALL), (0x9341FC21, _ALL), (0xB40000C1, _ALL),
     (0x90000002, _ADRP | 31), (0xF9400042, 0xFFC003FF), (0xB4000062, _ALL), (0xAA0203F0, _ALL), (0xD61F0200, _ALL),
     (0xD65F03C0, _ALL)),
)  # fmt: skip


def asks_for_clones(machine: int, raw: U8, place: int) -> bool:
    """Whether the instruction with the operand at an offset of the section ``raw`` is the first one of that code."""
    if machine == t.EM_X86_64 and place >= 3:
        code = raw[place - 3 : place - 3 + _LONGEST].tobytes()
        found = _X86_64.match(code)
        return found is not None and all(_returns(code, found.end(k) + found[k][0]) for k in (1, 2))
    if machine != t.EM_AARCH64:
        return False
    place &= -4
    words = raw[place : place + _LONGEST // 4 * 4]
    found_words = words[: len(words) // 4 * 4].view("<u4").tolist()
    return any(
        len(found_words) >= len(form) and all(x & mask == y for x, (y, mask) in zip(found_words, form, strict=False))
        for form in _A64
    )


def _returns(code: bytes, place: int) -> bool:
    return code[place : place + 1] == b"\xc3" or code[place : place + 2] == b"\xf3\xc3"
