"""Files for a fixed address (ET_EXEC): numbers that may be addresses, in data and in code.

No relocation says which words are addresses. A number that lies in the first file's image is therefore taken for one:
it must be what the address map makes of it, so that one that stays equal although the map would move it is refused, and
so is every other change. Numbers outside the image are equal. (An address of code is where an instruction may begin;
any other number within code is a number.) What this cannot tell, a number that changed exactly as an address would, is
the assumption of the rule ``elf.moved-word``.

Sources: gABI (2013), chapter 5; System V ABI, AMD64 supplement, 3.5 (absolute addressing).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHF_WRITE, Part
from banbury.compare.equivalence.elf_pair import may_hold_literals, span
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.machines.contract import Mask, Sides, Spread
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_data import same_words
from banbury.compare.equivalence.relayout_items import labels
from banbury.compare.equivalence.relayout_lost import has_top
from banbury.compare.equivalence.relayout_map import AddressMap, is_template
from banbury.formats import _elf_types as t

U8 = npt.NDArray[np.uint8]
Entered = Callable[[Part, Ints, Mask], Mask]
_ROUNDS = 16
_UNWINDING = (".eh_frame", ".gcc_except_table")
_BEFORE = 8  # characters of a text before a word that ends it
_LONGEST = 65536  # bytes of one text


class Fixed:
    """The ambiguous words of one proof. ``plain``: sections of data without a grammar of their own."""

    def __init__(self, sides: Sides, entered: Entered) -> None:
        self.sides, self.entered = sides, entered
        self.plain: list[tuple[Part, Part]] = []
        self.numbers: list[tuple[Part, Ints]] = []  # what was taken for numbers
        image = sides.image
        assert image is not None
        self.low, self.high = image

    def may_be_address(self, values: Ints) -> Mask:
        """Which numbers may be addresses of the first file: in its sections or where they end, in code only where one
        may lead, and of unwinding tables, which only refer to each other, where they begin and end, where their entries
        do (C libraries' start files have the first of their own), and symbols."""
        out: Mask = np.zeros(len(values), bool)
        for part, _ in self.sides.pairs:
            if is_template(part):
                continue
            end = part.addr + part.size
            inner = (values >= part.addr) & (values <= end)
            if part.name in _UNWINDING:
                inner &= np.isin(values, np.append(self._records, (part.addr, end)))
            out |= inner
        for part, _, entries in self.sides.code:
            inside = np.flatnonzero((values >= part.addr) & (values < part.addr + part.size))
            out[inside] = self.entered(part, values[inside] - part.addr, entries)
        return out

    @cached_property
    def _records(self) -> Ints:
        """Addresses at which something in tables of unwinding may be found."""
        symbols = [s.value for s in self.sides.a.elf.symbols if s.section and s.value <= self.high]
        return distinct(np.array([*self.sides.records, *symbols], np.int64))

    # Code

    def immediates(self, bits: dict[int, U8]) -> None:
        """Enter the immediates that may be addresses, and free their bytes. Raises :class:`Refused`."""
        sides = self.sides
        for one, other, places, width, first, second in sides.immediates:
            good = self.may_be_address(first)
            at, old, new = places[good], first[good], second[good]
            sides.refs.add(f"{one.name}, immediates", old, new)
            for k in range(width):
                bits[one.index][at + k] = 255
            self._explain(one, other, at, at, width, old != new)
            self.numbers.append((one, first[~good]))
        for part in sides.spread:
            self._spread(part, bits)

    def _spread(self, part: Spread, bits: dict[int, U8]) -> None:
        """The same for numbers whose bits stand in several fields; one that is no address is equal in both files."""
        good = self.may_be_address(part.first)
        if (part.first != part.second)[~good].any():
            raise Refused(part.one.name, "a number of several instructions differs, and is no address")
        old, new = part.first[good], part.second[good]
        self.sides.refs.add(f"{part.one.name}, immediates", old, new)
        kept = good[part.owner]
        np.bitwise_or.at(bits[part.one.index], part.places[kept], part.bits[kept])
        changed = (part.first != part.second)[part.owner]
        at = distinct(part.places[kept & changed & (part.bits != 0)])
        self._explain(part.one, part.other, at, at, 1, np.ones(len(at), bool))
        self.numbers.append((part.one, part.first[~good]))

    # Data

    def words(self) -> None:
        """Enter the aligned words that may be addresses as references, and into the masks. Where one stands in the
        second file follows from the labels before it; the words themselves are labels. Raises :class:`Refused`."""
        sides = self.sides
        base, base_b = sides.refs.old, sides.refs.new
        old, new = base, base_b
        for _ in range(_ROUNDS):
            found = [self._find(one, other, old, new, sure=True) for one, other in self.plain]
            before = len(distinct(old))
            old = np.concatenate((base, *(f[2] for f in found)))
            new = np.concatenate((base_b, *(f[3] for f in found)))
            if len(distinct(old)) == before:
                break
        else:
            raise Refused("layout", "addresses in data that lead to ever more addresses")
        for one, other in self.plain:
            at, at_b, a, b = self._find(one, other, old, new, sure=False)
            sides.refs.add(f"{one.name}, words", a, b)
            sides.pointers += zip((at + one.addr).tolist(), a.tolist(), strict=True)
            for k in range(sides.word):
                sides.masks[one.index][at + k] = True
            self._explain(one, other, at, at_b, sides.word, a != b)

    def _find(self, one: Part, other: Part, old: Ints, new: Ints, *, sure: bool) -> tuple[Ints, Ints, Ints, Ints]:
        """Offsets of the words in both files and what they hold. ``sure``: only those between two labels that moved
        alike."""
        sides, width = self.sides, self.sides.word
        raw, raw_b = sides.raw[one.index]
        at = np.arange(-one.addr % width, len(raw) - width + 1, width, dtype=np.int64)
        at = at[~sides.masks[one.index][at]]
        a = same_words(raw, raw, at, width, sides.big)[0]
        good = self.may_be_address(a)
        good[good] = ~self._texts(one, raw, at[good])
        if not sure:
            self.numbers.append((one, a[~good]))
        at, a = at[good], a[good]
        shift = np.full(len(at), other.addr - one.addr, np.int64)
        if may_hold_literals(one):
            first, second = labels(one, other, old, new)
            shifts = second - first
            after = np.append(shifts[1:], other.addr + other.size - one.addr - one.size)
            index = np.searchsorted(first, at + one.addr, "right") - 1
            shift = shifts[index]
            if sure:
                good = shift == after[index]
                at, a, shift = at[good], a[good], shift[good]
        at_b = at + one.addr + shift - other.addr
        if ((at_b < 0) | (at_b + width > len(raw_b))).any():
            raise Refused(one.name, "a word that may be an address runs out of the section")
        return at, at_b, a, same_words(raw_b, raw_b, at_b, width, sides.big)[0]

    def _texts(self, one: Part, raw: U8, at: Ints) -> Mask:
        """Which words of data that is not written to are texts, or the ends of texts, and no addresses: no symbol has
        them, their bytes are characters, then zeros, and code makes the address of where the text begins, and does not
        read there at once. A text that begins with the word has the end of something before it, and code makes the
        address of what stands right behind the word; any other has at least eight characters before the word."""
        out = np.zeros(len(at), bool)
        if not len(at) or one.flags & SHF_WRITE or self.sides.big:
            return out
        width = self.sides.word
        held, made = self._made
        byte = raw[at[:, None] + np.arange(width)]
        letter = (byte >= 0x20) & (byte < 0x7F)
        shape = letter[:, 0] & ~letter[:, -1] & (letter | (byte == 0)).all(axis=1)
        shape &= (letter[:, :-1] >= letter[:, 1:]).all(axis=1) & (at >= _BEFORE)
        rows = np.flatnonzero(shape)
        whole = np.isin(at[rows] + one.addr, made) & np.isin(at[rows] + one.addr + width, made)
        whole &= raw[at[rows] - 1] == 0
        content = raw.tobytes()
        for row in np.flatnonzero(~whole).tolist():
            here = int(at[rows[row]])
            begin = content.rfind(b"\0", max(here - _LONGEST, 0), here) + 1
            if here - begin >= _BEFORE and is_text(content[begin:here]):
                whole[row] = begin + one.addr in self._beginnings
        index = np.searchsorted(held[0], at[rows] + one.addr, "right") - 1
        named = (index >= 0) & (at[rows] + one.addr < held[1][np.maximum(index, 0)]) if len(held[0]) else whole & False
        out[rows] = whole & ~named
        return out

    @cached_property
    def _beginnings(self) -> set[int]:
        return set(self._made[1].tolist())

    @cached_property
    def _made(self) -> tuple[tuple[Ints, Ints], Ints]:
        """From where to where symbols say that objects lie (as far as any does), and the addresses that code makes and
        does not read from or write to at once."""
        found = sorted((s.value, s.value + s.size) for s in self.sides.a.elf.symbols if s.section and s.size)
        begin, end = np.array(found, np.int64).reshape(-1, 2).T
        nothing = np.zeros(0, np.int64)
        made = distinct(np.concatenate([nothing, *(x[~reads] for _, _, x, reads in self.sides.at)]))
        read = np.concatenate([nothing, *(x[reads] for _, _, x, reads in self.sides.at)])
        if not len(begin):  # nothing says what is no object
            made = nothing
        return (begin, np.maximum.accumulate(end)), np.setdiff1d(made, read)

    def _explain(self, one: Part, other: Part, at: Ints, at_b: Ints, width: int, changed: Mask) -> None:
        if not changed.any():
            return
        here, there = (
            [Range(int(x) + part.offset, int(x) + part.offset + width) for x in places[changed]]
            for part, places in ((one, at), (other, at_b))
        )
        self.sides.pair.account.explain("elf.moved-word", here, there, one.name)

    # Under the map

    def finish(self, the_map: AddressMap) -> None:
        """Of 64-bit words, none at a multiple of four that is no word's, and none among AArch64's instructions (where
        it is a literal), may hold an address that moved: it would have been left behind."""
        self._in_code(the_map)
        if self.sides.word != 8:
            return
        whole = self.sides.a.header.machine == t.EM_AARCH64  # literals stand in code; no instruction is 16 zero bits
        for one, other in [*self.plain, *((x, y) for x, y, _ in self.sides.code if whole)]:
            raw = self.sides.raw[one.index][0]
            if len(raw) < 8:
                continue
            count = len(raw) - 7
            likely = np.zeros(count, bool)
            for top in {self.low >> 32, self.high >> 32}:  # no image is of more than 4 GiB
                found = has_top(raw, top, range(4, 8))
                likely |= found & (raw[3 : 3 + count] <= self.high >> 24 & 255) if top == self.high >> 32 else found
            at = np.flatnonzero(likely)
            mask = self.sides.masks.get(one.index, np.zeros(len(raw), bool))
            at = at[(one.code | ((at + one.addr) % 8 != 0)) & ((at + one.addr) % 4 == 0) & ~mask[at] & ~mask[at + 7]]
            value = same_words(raw, raw, at, 8, self.sides.big)[0] if not self.sides.big else at * 0
            good = self.may_be_address(value)
            at, value = at[good], value[good]
            made = the_map.many(value)
            lost = at[(made >= 0) & (made != value)]
            if len(lost):
                where = [Range(int(x) + one.offset, int(x) + one.offset + 8) for x in lost[:16]]
                raise Refused(
                    one.name, "what may be an address that moved stands where no word does", where, [span(other)]
                )

    def _in_code(self, the_map: AddressMap) -> None:
        """A number that lies in code and begins no instruction may be the address of data there: if that moved,
        it would have been left behind. Raises :class:`Refused`."""
        for one, values in self.numbers:
            for part, _, _ in self.sides.code:
                inside = values[(values >= part.addr) & (values < part.addr + part.size)]
                if (the_map.many(inside) != inside).any():
                    raise Refused(one.name, "a number may be the address of data among code that moved")
