"""The length of a text that changed, as a number of the program: ``sizeof``, ``strlen`` and copies of so many bytes.

A compiler writes the length of a text beside its address (``fwrite``, ``memcpy``) or copies it by loads of fixed size.
Where the text became longer, such a number has to change; one that did not would cut the text, or read beyond it. What
the number belongs to cannot be told, so a text is refused whose length (in the rebuilt file, whose numbers are its
compiler's; of a text that became shorter also the other one) stands as an immediate in a function that makes its
address, or in a field beside a word that holds it, and one that is read in any other way than by its address.

Sources: GCC manual, -fbuiltin; Intel SDM, volume 2; Arm ARM DDI 0487 and DDI 0406C; MIPS MD00086; Power ISA 2.07.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines import carried_together
from banbury.compare.equivalence.machines.carried import Function
from banbury.compare.equivalence.machines.contract import Mask, Sides
from banbury.compare.equivalence.machines.handed import Failures
from banbury.compare.equivalence.machines.numbers import numbers
from banbury.compare.equivalence.machines.resized import Held, Places, Resized, Room
from banbury.compare.equivalence.machines.stretches import Bounds, Stretches
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_before import Before
from banbury.compare.equivalence.relayout_fields import Apart, fields
from banbury.compare.equivalence.relayout_functions import Functions
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.compare.equivalence.relayout_uses import Element, Extents, constants, holders, pointers
from banbury.compare.equivalence.text_measures import parts, whole
from banbury.formats import _elf_types as t

_MOST: Final = 1 << 20  # uses of tables that hold texts, and elements of tables, that are looked at
_ANYTHING: Final = Resized(np.zeros(1, np.int64), np.full(1, 1 << 33), ())
_MADE_OF: Final = ("indexed", "joins", "stepped")  # see :meth:`carried.Function.joined`
_AT_ONCE: Final = 1 << 18  # bytes of code that are looked at together


def check_lengths(
    sides: Sides,
    objects: Objects,
    texts: list[tuple[int, int, int]],
    before: Before,
    added: Callable[[], tuple[Ints, Ints, Mask]],
) -> None:
    """Raises :class:`Refused` for a text (its address, and its lengths with the NUL) whose length may be a number of
    the program, and for an address ``before`` what moved through which something may be read. ``sides.at`` and
    ``sides.pointers`` say where addresses stand, ``added`` what is made of them."""
    if texts or before.suffixes or before.far:
        _Check(sides, objects, texts, before, added()).run()


@dataclass
class _Function:
    """One that uses texts: those ``made`` and those ``loaded`` by a pointer (offsets in it), where it makes an address
    ``before`` what moved, or ``far`` from it (``targets``: these addresses), or that of ``tables`` that hold a text,
    and in which ``words`` (which instructions that say where these are use ``exactly``, and whose address is made
    ``beside``), each text's number with where it is used, and which elements of tables hold one; where each text's
    address is made (or loaded) that may only name a file (``named``), and the texts that are used ``otherwise``."""

    made: set[int] = field(default_factory=set)
    before: set[int] = field(default_factory=set)
    far: set[int] = field(default_factory=set)
    targets: set[int] = field(default_factory=set)
    loaded: set[int] = field(default_factory=set)
    tables: set[int] = field(default_factory=set)
    words: set[int] = field(default_factory=set)
    exactly: set[int] = field(default_factory=set)
    beside: set[int] = field(default_factory=set)
    texts: dict[int, int] = field(default_factory=dict)
    elements: set[Element] = field(default_factory=set)
    named: dict[int, set[tuple[int, bool]]] = field(default_factory=dict)
    otherwise: set[int] = field(default_factory=set)

    def uses(self) -> Places:
        return Places(self.made, self.loaded, self.tables, self.exactly, self.beside)


class _Check:
    def __init__(
        self,
        sides: Sides,
        objects: Objects,
        texts: list[tuple[int, int, int]],
        before: Before,
        added: tuple[Ints, Ints, Mask],
    ) -> None:
        self.sides, self.objects, self.before, self.added = sides, objects, before, added
        self.starts, self.sizes, new = np.array(sorted(set(texts)), np.int64).reshape(-1, 3).T
        #: Which changed: not the end of a text behind all values that did, to which a reference of its own leads.
        self.changed = self.sizes != new
        self.addresses = frozenset(self.starts.tolist())
        self.code = Functions(sides, objects)
        self.failures = Failures(sides)
        self.lengths = [self._measures(*text) for text in sorted(set(texts))]
        self.made = [*sides.at, *_sums(sides, added)]
        self.extents = Extents(sides, objects)
        self.sorted: dict[int, tuple[memoryview, Ints, Mask]] = {}  # what each section makes, by its places
        self.functions: dict[tuple[int, int, int], _Function] = {}

    def _measures(self, address: int, size: int, size_b: int) -> set[int]:
        part = self.sides.a.section_at(address)
        old = b""
        if part is not None and part.index in self.sides.raw:
            at = address - part.addr
            old = self.sides.raw[part.index][0][at : at + size - 1].tobytes()
        new = self.sides.pair.declared.apply(old)[0]
        if old != new:
            self.changed[self.starts == address] = True
        return whole(size, size_b) | parts(old, new) | (parts(new, old) if size_b < size else set())

    def run(self) -> None:
        for number, (one, places, targets, reads) in enumerate(self.made):
            index, found = self._of(targets)
            if reads[found].any():
                where = [Range(int(x) + one.offset, int(x) + one.offset + 1) for x in places[found][reads[found]][:16]]
                raise Refused(
                    one.name, "a text that changed its length is read by itself, perhaps copied in part", where
                )
            for text, at in zip(index.tolist(), places[found].tolist(), strict=True):
                function = self._function(one, at)
                function.made.add(at)
                function.texts[text] = at
                if number < len(self.sides.at):
                    function.named.setdefault(text, set()).add((at, False))
                else:  # something was added to an address, which may lead into the text
                    function.otherwise.add(text)
        if self.before.suffixes or self.before.far:
            self._in_front()
        words, addresses = pointers(self.sides)
        index, found = self._of(addresses)
        if len(found):
            self._held(words[found], index)
            _beside(self.sides, self.objects, words, (index, found), self.lengths)
        parts = {one.index: one for one, _, _, _ in self.made}
        for number, group in groupby(sorted(self.functions), key=lambda x: x[0]):
            self._section(parts[number], [(low, high) for _, low, high in group])

    def _of(self, targets: Ints) -> tuple[Ints, Ints]:
        """For each target that lies in a text that changed: the text's number and the target's."""
        index = np.searchsorted(self.starts, targets, "right") - 1
        safe = np.maximum(index, 0)
        if not len(self.starts):
            return index[:0], index[:0]
        inside = (index >= 0) & (targets < self.starts[safe] + self.sizes[safe]) & self.changed[safe]
        found = np.flatnonzero(inside)
        return index[found], found

    def _in_front(self) -> None:
        """Functions that make an address in front of what moved, or anywhere within a text: each is found, and none
        adds to it or, close before what moved, reads there by itself (what they do with it in registers, see
        :meth:`_check`)."""
        where = self.before.far | self.before.suffixes
        wanted = np.array(sorted(where), np.int64)
        near = np.isin(wanted, np.array(sorted(self.before.suffixes), np.int64))
        count = np.zeros(len(wanted), np.int64)
        base, total, read = self.added
        some = np.isin(wanted, base[(total != base) | read]) & near
        for one, places, targets, reads in self.sides.at:
            rows = np.flatnonzero(np.isin(targets, wanted))
            which = np.searchsorted(wanted, targets[rows])
            np.add.at(count, which, 1)
            some[which[reads[rows] & near[which]]] = True
            columns = places[rows], near[which], targets[rows]
            for at, close, target in zip(*(x.tolist() for x in columns), strict=True):
                function = self._function(one, at)
                (function.before if close else function.far).add(at)
                if not close:
                    function.targets.add(target)
        stored = self.sides.a.header.machine == t.EM_PPC  # several instructions may load one word
        least = [1 if stored else self.before.count(x) for x in wanted.tolist()]
        wrong = wanted[some | (count < least)].tolist()
        if wrong:
            raise _in_front([where[x] for x in wrong[:16]])

    def _held(self, words: Ints, texts: Ints) -> None:
        """Functions that use a text by a word that holds its address."""
        targets = np.concatenate([x for _, _, x, _ in self.made])
        order = np.argsort(targets, kind="stable")
        targets = targets[order]
        begin = [0, *accumulate(len(x) for _, _, x, _ in self.made)]
        left, ordered = _MOST, targets.data
        for holder in holders(self.sides, self.extents, words, texts):
            count = (holder.high - holder.low) // self.sides.word
            element = Element((holder.place - holder.low) // self.sides.word, count)
            low, high = bisect_left(ordered, holder.low), bisect_left(ordered, holder.high)
            left -= high - low
            if left < 0:
                raise Refused("code", "texts that changed their length are used in too many places to look at")
            for number in order[low:high].tolist():
                which = bisect_right(begin, number) - 1
                one, places, made, reads = self.made[which]
                row = number - begin[which]
                at = int(places[row])
                function = self._function(one, at)
                function.texts[holder.text] = at
                function.elements.add(element)
                function.tables.add(at)
                function.words.add(holder.place)
                exact = holder.place <= int(made[row]) < holder.place + self.sides.word
                if reads[row] and (exact or self._indexed(one, at)):
                    function.loaded.add(at)
                if exact and which < len(self.sides.at) and not (reads[row] and self._indexed(one, at)):
                    (function.exactly if reads[row] else function.beside).add(at)
                if count == 1 and reads[row] and made[row] == holder.place:
                    function.named.setdefault(holder.text, set()).add((at, True))
                else:
                    function.otherwise.add(holder.text)

    def _indexed(self, one: Part, at: int) -> bool:
        """Whether the operand of a load, at an offset, may be of an element that a register says."""
        machine = self.sides.a.header.machine
        if machine == t.EM_X86_64:
            return int(self.sides.raw[one.index][0][at - 1]) & 0xC7 != 5  # relative to the instruction pointer
        return machine in (t.EM_MIPS, t.EM_PPC)

    def _function(self, one: Part, at: int) -> _Function:
        key = one.index, *self.code.bounds(one, at)
        if key not in self.functions:
            self.functions[key] = _Function()
        return self.functions[key]

    def _section(self, one: Part, functions: list[Bounds]) -> None:
        """Look at the functions of a section, so many at a time."""
        wanted = np.array(sorted(set().union(*self.lengths)), np.int64)
        arm = self.sides.a.header.machine == t.EM_ARM
        left = [(bounds, self.code.stretches(one, bounds)) for bounds in functions]
        while left:
            sizes = np.cumsum([sum(high - low for low, high in stretches) for _, stretches in left])
            some = max(1, int(np.searchsorted(sizes, _AT_ONCE)))
            code = None if arm else self._decoded(one, {x for _, stretches in left[:some] for x in stretches}, wanted)
            unread = set[Bounds]() if code is None else self._unread(one, left[:some], code)
            for bounds, stretches in left[:some]:
                self._check(one, bounds, stretches, code, unread=bounds in unread)
            left = left[some:]

    def _unread(self, one: Part, functions: list[tuple[Bounds, list[Bounds]]], code: Stretches) -> set[Bounds]:
        """Functions of which it is told at once that nothing is read through the address of a text, or made of one in
        front of what moved."""
        followed, which = list[Function](), list[Bounds]()
        read, biased, far = (list[dict[int, int]]() for _ in range(3))
        try:
            for bounds, stretches in functions:
                function, looked = self.functions[one.index, *bounds], self._carried(one, stretches, code)
                begun = looked.held(function.uses()), looked.held(Places(function.before)), looked.put(function.far)
                if begun[0] is not None and begun[1] is not None and begun[2] is not None:
                    followed.append(looked)
                    which.append(bounds)
                    for into, found in zip((read, biased, far), begun, strict=True):
                        into.append(found or {})
        except NotDecoded:  # each will say so of itself
            return set()
        unmet = [
            carried_together.unmet(followed, read, ("reads",)),
            carried_together.unmet(followed, biased, ("reads", *_MADE_OF)),
            carried_together.unmet(followed, far, _MADE_OF, direct=True),
        ]
        return {bounds for bounds, *found in zip(which, *unmet, strict=True) if all(found)}

    def _decoded(self, one: Part, stretches: set[Bounds], wanted: Ints) -> Stretches:
        raw = self.sides.raw[one.index][0]
        try:
            return Stretches(
                self.sides.a.header.machine, self.sides.big, raw, one.addr, stretches, wanted, self.sides.image
            )
        except NotDecoded as answer:
            raise _unknown(one, min(stretches)) from answer

    def _check(
        self, one: Part, bounds: Bounds, stretches: list[Bounds], code: Stretches | None, *, unread: bool
    ) -> None:
        """``unread``: it is known that nothing is read through an address."""
        function = self.functions[one.index, *bounds]
        known: set[int] = set()
        for stretch in stretches:
            thumb = self.objects.is_thumb(one.addr + stretch[0])
            known |= _numbers(self.sides, one, stretch, code, thumb, strides=bool(function.texts))
        addresses = self._addresses(one, bounds)
        if len(addresses[0]) * len(function.elements) > _MOST:
            raise Refused(one.name, "texts that changed their length are in too many tables to look at")
        known |= constants(self.sides, self.extents, addresses, function.elements, self.addresses)
        for text, at in function.texts.items():
            if known & self.lengths[text] and not self._names_file(one, bounds, text, stretches):
                where = [Range(at + one.offset, at + one.offset + 1)]
                raise Refused(one.name, "the length of a text that changed may be a number of this function", where)
        if unread:
            return
        biased = False
        try:
            wanted = Resized(self.starts, self.sizes, sorted(function.words))
            held = self._held_by(one, stretches, code, wanted)
            front = held if code is not None else self._held_by(one, stretches, code, _ANYTHING)
            read = held.read(function.uses())
            biased = bool(function.before) and front.read(Places(function.before))
            biased = biased or front.joined(function.before) or front.joined(function.far, room=self._room(function))
        except NotDecoded:
            read = True
        if not read and biased:
            raise _in_front(
                [Range(x + one.offset, x + one.offset + 1) for x in sorted(function.before | function.far)[:16]]
            )
        if read:
            where = [Range(bounds[0] + one.offset, bounds[1] + one.offset)]
            raise Refused(one.name, "a text that changed its length is read through a register of this function", where)

    def _room(self, function: _Function) -> Room:
        """How far all texts that a function has the addresses of reach around these."""
        low, high = tuple(zip(*(self.before.room[x] for x in function.targets), strict=True)) or ((0,), (0,))
        return Room(max(low), min(high))

    def _held_by(self, one: Part, stretches: list[Bounds], code: Stretches | None, wanted: Resized) -> Held:
        """What says where a function's addresses go; 32-bit Arm's tells what is read by them."""
        if code is None:
            return self.sides.functions[one.index](stretches, wanted)
        return self._carried(one, stretches, code)

    def _carried(self, one: Part, stretches: list[Bounds], code: Stretches) -> Function:
        begun, labels = self.code.begun(one, stretches), self.code.labels(one, stretches)
        return code.function(stretches, self.code.called(one), begun=begun, labels=labels)

    def _names_file(self, one: Part, bounds: Bounds, text: int, stretches: list[Bounds]) -> bool:
        """Whether a function uses a text for nothing but the name of a file in assertions that failed, see
        :mod:`handed`, and no number of its length stands shortly before such a call."""
        function, raw, machine = self.functions[one.index, *bounds], self.sides.raw[one.index][0], self.sides.a.header
        if text in function.otherwise:
            return False
        code, thumb = self.sides.instructions.get(one.index), self.objects.is_thumb(one.addr + bounds[0])
        for at, loads in function.named[text]:
            end = self.failures.call(raw, one.addr, at, loads=loads, thumb=thumb, code=code)
            if end is None:
                return False
            low = max(low for low, high in stretches if low <= at < high)
            low = self.failures.before(raw, at, low, code, thumb=thumb)
            try:
                found = numbers(machine.machine, self.sides.big, raw[low:end], self.sides.image, thumb=thumb)
            except NotDecoded:
                return False
            if set(found.tolist()) & self.lengths[text]:
                return False
        return True

    def _addresses(self, one: Part, bounds: tuple[int, int]) -> tuple[Ints, Mask]:
        """The addresses that the code of a function makes, and whether it reads there."""
        if one.index not in self.sorted:
            own = [(places, targets, reads) for part, places, targets, reads in self.made if part is one]
            places, targets, reads = (np.concatenate(x) for x in zip(*own, strict=True))
            order = np.argsort(places, kind="stable")
            self.sorted[one.index] = places[order].data, targets[order], reads[order]
        ordered, targets, reads = self.sorted[one.index]
        low, high = bisect_left(ordered, bounds[0]), bisect_left(ordered, bounds[1])
        return targets[low:high], reads[low:high]


def _sums(sides: Sides, added: tuple[Ints, Ints, Mask]) -> Iterator[tuple[Part, Ints, Ints, Mask]]:
    """What code makes of addresses by adding to them, in the places where it makes these."""
    base, total, reads = added
    order = np.argsort(base, kind="stable")
    base, total, reads = base[order], total[order], reads[order]
    for one, places, targets, _ in sides.at:
        low, high = np.searchsorted(base, targets, "left"), np.searchsorted(base, targets, "right")
        count = high - low
        at = np.repeat(low - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))
        yield one, np.repeat(places, count), total[at], reads[at]


def _numbers(
    sides: Sides, one: Part, where: Bounds, code: Stretches | None, thumb: bool | None, *, strides: bool
) -> set[int]:
    """The numbers of a stretch, of those that are looked for (without those by which loops step over arrays, if it is
    asked for ``strides``); of 32-bit Arm (without ``code``) all."""
    raw = sides.raw[one.index][0]
    try:
        if code is None:
            found = numbers(sides.a.header.machine, sides.big, raw[where[0] : where[1]], sides.image, thumb=thumb)
            return set(found.tolist())
        places, values = code.numbers(where)
    except NotDecoded as answer:
        raise _unknown(one, where) from answer
    if sides.strides is None or not strides or not len(values):
        return set(values.tolist()) if len(values) else set()
    sizes = np.concatenate([sides.strides(one, number) for number in distinct(values).tolist()])
    return set(values[~np.isin(places, sizes)].tolist())


def _in_front(where: list[Range]) -> Refused:
    return Refused(
        "code",
        "an address in front of what moved may mean an element before it, and is read through or added to",
        where,
    )


def _unknown(one: Part, where: Bounds) -> Refused:
    why = "a text that changed its length is used where no function's beginning is known"
    return Refused(one.name, why, [Range(where[0] + one.offset, where[1] + one.offset)])


def _beside(sides: Sides, objects: Objects, places: Ints, texts: tuple[Ints, Ints], lengths: list[set[int]]) -> None:
    """Fields of data beside a word that holds a text's address. ``places``: of words that hold addresses; ``texts``:
    numbers of texts, and of the words that hold their addresses."""
    index, found = texts
    held: dict[int, set[int]] = {}
    apart = Apart(objects.starts, objects.ends, sides.word)
    for text, place in zip(index.tolist(), places[found].tolist(), strict=True):
        part = sides.a.section_at(place)
        if part is None or part.index not in sides.raw or part.name.startswith(".got"):
            continue
        if part.index not in held:
            own = places[(places >= part.addr) & (places < part.addr + part.size)]
            held[part.index] = set((own - part.addr).tolist())
        at, known = place - part.addr, held[part.index] | {x - part.addr for x in apart.around(place)}
        if fields(sides.raw[part.index][0], at, sides.word, sides.big, known) & lengths[text]:
            where = [Range(at + part.offset, at + part.offset + sides.word)]
            raise Refused(part.name, "the length of a text that changed may stand beside its address", where)
