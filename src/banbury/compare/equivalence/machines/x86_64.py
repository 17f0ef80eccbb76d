"""x86-64 in the proof that two ELF files of different layout are the same.

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
from banbury.compare.equivalence.machines.x86_64_decoded import decode
from banbury.compare.equivalence.machines.x86_64_jumped import jumped
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_data import same_words
from banbury.compare.equivalence.relayout_map import AddressMap
from banbury.compare.equivalence.relayout_tables import jump_tables

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_STRUCTURE: Final = 1 << 16  # bytes; no member of a structure lies further from its beginning
_FAR: Final = 1 << 21  # bytes below the image from where on nothing begins that LEA makes the address of
_BEHIND: Final = 1 << 12  # bytes behind an object at which an index that is always negative may begin


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
        self.strange: list[tuple[Part, Ints, Ints]] = []  # displacements that lead to no data, and where they stand

    def finish(self, the_map: AddressMap) -> None:
        """Nothing is found by its distance from an address that moved otherwise."""
        self._outside(the_map)
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
        self.sides.straight.append((one, targets[reads]))
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
        """Enter the fields that may hold an absolute address."""
        raw, raw_b = self.sides.raw[one.index]
        operands_of = self.decoded[-1][3]
        found = absolute(raw, code, operands_of)
        for at, width in ((found.displacements, 4), (found.immediates, 4), (found.wide, 8)):
            old, new = same_words(raw, raw_b, at, width, big=False)
            if width == 4:
                old, new = (x.astype(np.uint32).astype(np.int32).astype(np.int64) for x in (old, new))
            rows = np.searchsorted(code.starts, at, "right") - 1
            leads = operands_of.opcode[rows] == 0x8D
            if at is found.displacements:
                self._keep_strange(one, at, old, leads, leads & ~operands_of.whole[rows])
            self.sides.at.append((one, at, old, ~leads & (at is found.displacements)))  # all but lea
            self.sides.immediates.append((one, other, at, width, old, new))

    def _keep_strange(self, one: Part, at: Ints, value: Ints, leads: Flags, half: Flags) -> None:
        """Compilers let indices begin elsewhere than at 0, so that a displacement may lie before its object: note those
        that lead to code, to no section or below the image, if they are larger than a structure. Below the image, one
        of a ``half`` LEA is a number: it makes 32 bits, which are no pointer in a file of 64 bits; far below, that of
        any LEA (``leads``), which reads nothing there."""
        low, high = self.sides.image or (0, 0)
        strange = (value >= min(low - BELOW, _STRUCTURE)) & (value <= high)
        strange &= ~(half & (value < low)) & ~(leads & (value < low - _FAR))
        for part, _ in self.sides.pairs:
            if not part.code:
                strange &= (value < part.addr) | (value > part.addr + part.size)
        self.strange.append((one, at[strange], value[strange]))

    def _outside(self, the_map: AddressMap) -> None:
        """Refuse what may be an address before its object (or a little behind it), unless nothing moved that lies
        behind (or a little before): then it is right whatever its object is, for it is the same in both files."""
        moved = max((piece.end for piece in the_map.pieces if piece.shift), default=-1 << 62)
        for one, at, value in self.strange:
            some = at[value < moved + _BEHIND]
            if len(some):
                where = [Range(int(x) + one.offset, int(x) + one.offset + 4) for x in some[:16]]
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
