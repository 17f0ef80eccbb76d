"""Objects: the length of a text that changed, as a number of the code that refers to it (see ``relayout_lengths``)."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import NotDecoded
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.machines.numbers import numbers
from banbury.compare.equivalence.machines.resized import Places
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.object_code import ObjectCode
from banbury.compare.equivalence.relayout_fields import fields
from banbury.formats import _elf_types as t

_ADDED: Final = (14, 15, 24)  # PowerPC: addi, addis, ori


def check_site(code: ObjectCode, part: Part, at: int, lengths: Set[int]) -> None:
    """Whether what stands around the relocated place ``at`` of a section has nothing to do with the length of the text
    that it refers to (``lengths``: the numbers that a program may have for it), and does not read that text itself.
    ``code``: that of the object. Raises :class:`Refused`."""
    elf, raw = code.elf, np.frombuffer(code.elf.data[part.offset : part.end], np.uint8)
    where = [Range(part.offset + at, part.offset + at + 4)]
    machine, big = elf.header.machine, elf.elf.big
    if part.index not in code.base:
        found = fields(raw, at, 8 if elf.elf.is64 else 4, big, ()) | fields(raw, at, 4, big, ())  # of either size
        if part.name == ".got2":  # PowerPC: code finds its own texts by addresses in it
            for one in (p for p in elf.sections if p.code and p.size):
                found |= set(numbers(machine, big, np.frombuffer(elf.data[one.offset : one.end], np.uint8)).tolist())
    else:
        if _reads(machine, raw, at):
            raise Refused(part.name, "a text that changed its length is read by itself, perhaps copied in part", where)
        place = code.base[part.index] + at
        try:
            found, function = code.decoded(code.stretches(place), np.array(sorted(lengths), np.int64))
            read = function.read(Places([place]))
        except NotDecoded as answer:
            raise Refused(part.name, f"code that cannot be decoded: {answer}", where) from answer
        if read:
            why = "a text that changed its length is read through a register of this function"
            raise Refused(part.name, why, where)
    if (found | _constants(elf)) & lengths:
        raise Refused(part.name, "the length of a text that changed may be a number beside its address", where)


def _constants(elf: OwnedElf) -> set[int]:
    """The numbers of the compiler's pools of constants, of which code may take several at once."""
    out: set[int] = set()
    for part in elf.sections:
        if part.name.startswith(".rodata.cst"):
            raw = np.frombuffer(elf.data[part.offset : part.end], np.uint8)
            widths = (1, 2, 4, 8) if part.name[11:] in ("2", "4") else (2, 4, 8)  # structures of small fields
            for width in widths:
                kind = f"{'>' if elf.elf.big else '<'}u{width}"
                out |= set(raw[: len(raw) // width * width].view(kind).tolist())
    return out


def _reads(machine: int, raw: np.typing.NDArray[np.uint8], at: int) -> bool:
    """Whether the instruction at a relocated place does anything but make an address."""
    if machine == t.EM_X86_64:
        one, two = (int(raw[at - k]) if at >= k else 0 for k in (1, 2))
        return not (0xB8 <= one <= 0xBF or one == 0x68 or two == 0xC7)
    if machine == t.EM_PPC:
        return int(raw[at & ~3]) >> 2 not in _ADDED
    return False
