"""A Java class's constant pool, and the walk over what refers to it.

Each constant has a number that stands for its value, not its place: equal values of two files have equal numbers where
both pools share one :class:`Numbers`. What is referred to is noted, so that constants nobody uses are found.

Source: The Java Virtual Machine Specification, Java SE 22 edition, 4.4 (constant pool) and 4.7.23 (BootstrapMethods).
"""

from __future__ import annotations

import struct
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

#: tag: (name, bytes behind the tag, tags of what it refers to; None where the bytes are the value)
TAGS: Final[dict[int, tuple[str, int, tuple[tuple[int, ...], ...] | None]]] = {
    3: ("integer", 4, None), 4: ("float", 4, None), 5: ("long", 8, None), 6: ("double", 8, None),
    7: ("class", 2, ((1,),)), 8: ("string", 2, ((1,),)), 9: ("field", 4, ((7,), (12,))),
    10: ("method", 4, ((7,), (12,))), 11: ("interface method", 4, ((7,), (12,))),
    12: ("name and type", 4, ((1,), (1,))),
    15: ("method handle", 3, None), 16: ("method type", 2, ((1,),)), 17: ("dynamic", 4, None),
    18: ("invokedynamic", 4, None), 19: ("module", 2, ((1,),)), 20: ("package", 2, ((1,),)),
}  # fmt: skip
LOADABLE: Final = (3, 4, 5, 6, 7, 8, 15, 16, 17)
_DEPTH: Final = 60


class Numbers:
    """Numbers for values, for both files of a pair."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], int] = {}

    def of(self, *row: object) -> int:
        return self._known.setdefault(row, len(self._known))


class Pool:
    """The constants of one file. ``value(index, tags)`` gives a constant's number, and notes that it is used."""

    def __init__(self, view: View, at: int, numbers: Numbers) -> None:
        self.numbers = numbers
        self.start = at
        self.tags: list[int] = [0]
        self.raw: list[bytes] = [b""]
        self.places: list[int] = [at]
        self._values: dict[int, int] = {}
        self.used: set[int] = set()
        self.bootstraps: list[tuple[int, tuple[int, ...]]] = []
        self.bootstraps_used: dict[int, int] = {}
        count = view.u16(at, big=True)
        at += 2
        while len(self.tags) < count:
            tag = view.u8(at)
            if tag == 1:
                size = 2 + view.u16(at + 1, big=True)
                raw = view.take(at + 3, size - 2)
            elif tag in TAGS:
                size = TAGS[tag][1]
                raw = view.take(at + 1, size)
            else:
                raise Refused("constant pool", f"a constant of the unknown kind {tag}", [Range(at, at + 1)])
            wide = tag in (5, 6)
            self.tags += [tag, 0][: 1 + wide]
            self.raw += [raw, b""][: 1 + wide]
            self.places += [at, at][: 1 + wide]
            at += 1 + size
        if not count or len(self.tags) != count:
            raise Refused("constant pool", "its count is not that of its constants", [Range(self.start, at)])
        self.end = at

    def odd(self, index: int, why: str) -> Refused:
        at = self.places[index] if index < len(self.places) else self.start
        return Refused(f"constant {index}", why, [Range(at, at + 1)])

    def text(self, index: int) -> bytes:
        """The bytes of a text constant."""
        self.value(index, (1,))
        return self.raw[index]

    def value(self, index: int, tags: tuple[int, ...], depth: int = 0) -> int:
        """The number of a constant, which must be of one of ``tags``."""
        if not 0 < index < len(self.tags) or self.tags[index] not in tags:
            raise self.odd(index, "is not there, or not of the kind that its place asks for")
        if depth > _DEPTH:
            raise self.odd(index, "refers to itself, or too far")
        known = self._values.get(index)
        if known is None:
            known = self._values[index] = self._number(index, depth)
        self.used.add(index)
        return known

    def optional(self, index: int, tags: tuple[int, ...]) -> int:
        return self.value(index, tags) if index else -1

    def _number(self, index: int, depth: int) -> int:
        tag, raw = self.tags[index], self.raw[index]
        if tag == 1:
            return self.numbers.of("text", raw)
        name, _, parts = TAGS[tag]
        if parts is not None:
            indexes = struct.unpack(f">{len(parts)}H", raw)
            return self.numbers.of(name, *[self.value(i, t, depth + 1) for i, t in zip(indexes, parts, strict=True)])
        if tag == 15:
            kind, of = struct.unpack(">BH", raw)
            if not 1 <= kind <= 9:
                raise self.odd(index, "is a method handle of no known kind")
            return self.numbers.of(name, kind, self.value(of, (9,) if kind < 5 else (10, 11), depth + 1))
        if tag in (17, 18):
            which, of = struct.unpack(">HH", raw)
            return self.numbers.of(name, self.bootstrap(which, index, depth + 1), self.value(of, (12,), depth + 1))
        return self.numbers.of(name, raw)

    def bootstrap(self, which: int, index: int, depth: int) -> int:
        """The number of a bootstrap method with its arguments."""
        if which >= len(self.bootstraps) or depth > _DEPTH:
            raise self.odd(index, "refers to no bootstrap method, or to itself")
        known = self.bootstraps_used.get(which)
        if known is None:
            method, arguments = self.bootstraps[which]
            given = [self.value(a, LOADABLE, depth + 1) for a in arguments]
            known = self.numbers.of("bootstrap", self.value(method, (15,), depth + 1), *given)
            self.bootstraps_used[which] = known
        return known

    def unused(self) -> list[int]:
        """Numbers of the constants that nothing refers to, sorted. (Noting them uses them.)"""
        left = [i for i, tag in enumerate(self.tags) if tag and i not in self.used]
        numbers = sorted(self.value(i, (self.tags[i],)) for i in left)
        if len(self.bootstraps_used) != len(self.bootstraps):
            raise Refused("BootstrapMethods", "a bootstrap method that nothing refers to")
        return numbers

    def check_dynamic(self) -> None:
        """Refuse two dynamic constants of one value: each is computed by itself."""
        found = [self.value(i, (17,)) for i, tag in enumerate(self.tags) if tag == 17]
        if len(set(found)) != len(found):
            raise Refused("constant pool", "one dynamic constant twice")
