"""Java classes: equal through their constant pools, with debug data that one side has and the other was built without.

Constants may stand in another order where everything that refers to them refers to equal ones, and so may attributes.
Line numbers, names of
local variables and the source's name may be absent from one side as a whole (``javac -g:none``); where both have them
they are exact. An attribute that is not known is exact to the byte, and only in classes whose pools are so too, for
nobody knows what it refers to.

Source: The Java Virtual Machine Specification, Java SE 22 edition, chapter 4 (class file versions 45 to 66).
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.leaves._classattributes import KNOWN
from banbury.compare.equivalence.leaves._classcode import Cursor, instructions
from banbury.compare.equivalence.leaves._classpool import Numbers, Pool
from banbury.compare.equivalence.leaves.contract import Leaf, Pair
from banbury.compare.equivalence.model import ChangedFunction, FileVerdict, Range
from banbury.formats.contract import clean_name
from banbury.formats.view import View

_LARGEST: Final = 64 << 20
DEBUG: Final = (b"SourceFile", b"LineNumberTable", b"LocalVariableTable", b"LocalVariableTypeTable")
_NAMES: Final = frozenset((*(n for known in KNOWN.values() for n in known), b"Code", b"Record", b"BootstrapMethods"))
_NAMED: Final = 250  # changed methods whose names are shown
_PLAIN_FILE: Final = re.compile(rb"[\w$+-]{1,200}\.[a-z]{1,10}")
_PLAIN_NAME: Final = re.compile(rb"[\w$]{1,200}")
_PLAIN_TYPE: Final = re.compile(rb"\[{0,9}(?:[BCDFIJSZ]|L[\w$/-]{1,400};)")
_PLAIN_GENERIC: Final = re.compile(rb"[\w$/;<>\[.:*+-]{1,2000}")


class Attribute(Struct, frozen=True):
    """An attribute: its name, the number of its value, the attributes in it; ``debug``: it is debug data, and
    why that is none that compilers write."""

    name: bytes
    number: int
    below: tuple[Attribute, ...] = ()
    debug: bool = False
    odd: str = ""


class Part(Struct, frozen=True):
    """A field or method: name and type, access flags with name and type as numbers, place, attributes."""

    name: tuple[bytes, bytes]
    row: tuple[int, int, int]
    at: int
    end: int
    attributes: tuple[Attribute, ...]


class ClassFile:
    """One class, read to its last byte."""

    def __init__(self, view: View, numbers: Numbers) -> None:
        self.view = view
        self.version = view.take(4, 4)
        self.pool = pool = Pool(view, 8, numbers)
        self.pool_digest = hashlib.sha256(view.mem(8, pool.end - 8)).digest()
        at = pool.end
        access, this, above, count = (view.u16(at + 2 * n, big=True) for n in range(4))
        self._bootstraps(self._past_members(at + 8 + 2 * count))
        self.head = (
            access, pool.value(this, (7,)), pool.optional(above, (7,)),
            *(pool.value(view.u16(at + 8 + 2 * n, big=True), (7,)) for n in range(count)),
        )  # fmt: skip
        self.fields, at = self._parts(at + 8 + 2 * count, "field")
        self.methods, at = self._parts(at, "method")
        self.attributes, at = self._attributes(at, "class")
        if at != len(view):
            raise Refused("end", "bytes behind the class", [Range(at, len(view))])
        self.unused = pool.unused()
        pool.check_dynamic()

    def _past_members(self, at: int) -> int:
        """Where the class's own attributes start."""
        for _ in range(2):
            count = self.view.u16(at, big=True)
            at += 2
            for _ in range(count):
                attributes = self.view.u16(at + 6, big=True)
                at += 8
                for _ in range(attributes):
                    at += 6 + self.view.u32(at + 2, big=True)
        return at

    def _bootstraps(self, at: int) -> None:
        """Read the table of bootstrap methods, which constants refer to."""
        found = False
        count = self.view.u16(at, big=True)
        at += 2
        for _ in range(count):
            size = self.view.u32(at + 2, big=True)
            if self.pool.text(self.view.u16(at, big=True)) == b"BootstrapMethods":
                if found:
                    raise Refused("BootstrapMethods", "occurs twice", [Range(at, at + 6)])
                found = True
                self.pool.bootstraps = _bootstraps(self.view.take(at + 6, size))
            at += 6 + size

    def _parts(self, at: int, place: str) -> tuple[list[Part], int]:
        out = []
        count = self.view.u16(at, big=True)
        at += 2
        for _ in range(count):
            start = at
            access, name, kind = (self.view.u16(at + 2 * n, big=True) for n in range(3))
            row = access, self.pool.value(name, (1,)), self.pool.value(kind, (1,))
            called = self.pool.text(name), self.pool.text(kind)
            attributes, at = self._attributes(at + 6, place)
            out.append(Part(called, row, start, at, attributes))
        return out, at

    def _attributes(self, at: int, place: str) -> tuple[tuple[Attribute, ...], int]:
        out = []
        count = self.view.u16(at, big=True)
        at += 2
        for _ in range(count):
            size = self.view.u32(at + 2, big=True)
            name = self.pool.text(self.view.u16(at, big=True))
            out.append(self._attribute(place, name, self.view.take(at + 6, size)))
            at += 6 + size
        return _once(out), at

    def _attribute(self, place: str, name: bytes, raw: bytes) -> Attribute:
        cursor = Cursor(raw, self.pool, name.decode() if name in _NAMES else "attribute")
        if place == "method" and name == b"Code":
            return self._code(cursor)
        if place == "class" and name == b"BootstrapMethods":
            return Attribute(name, -1)
        if place == "class" and name == b"Record":
            return self._record(cursor)
        reader = KNOWN[place].get(name)
        if reader is None:
            return Attribute(name, self.pool.numbers.of("opaque", place, name, raw, self.pool_digest))
        reader(cursor)
        odd = ""
        if name == b"SourceFile" and not _PLAIN_FILE.fullmatch(self.pool.text(int.from_bytes(raw, "big"))):
            odd = "the source's name is no plain file name"
        return Attribute(name, cursor.end(), (), name == b"SourceFile", odd)

    def _nested(self, cursor: Cursor, place: str, code: tuple[int, set[int]] | None = None) -> tuple[Attribute, ...]:
        """Attributes within an attribute."""
        out = []
        for _ in range(int.from_bytes(cursor.take(2), "big")):
            name = self.pool.text(int.from_bytes(cursor.take(2), "big"))
            raw = cursor.take(int.from_bytes(cursor.take(4), "big"))
            if code and name in DEBUG[1:]:
                out.append(self._debug(name, raw, *code))
            else:
                out.append(self._attribute(place, name, raw))
        return _once(out)

    def _record(self, cursor: Cursor) -> Attribute:
        below = []
        for place in range(cursor.number(2)):
            inner = Cursor(b"", self.pool, "component")
            inner.kept += [place, *(self.pool.value(int.from_bytes(cursor.take(2), "big"), (1,)) for _ in range(2))]
            below.append(Attribute(b"component", inner.end(), self._nested(cursor, "component")))
        return Attribute(b"Record", cursor.end(), tuple(below))

    def _code(self, cursor: Cursor) -> Attribute:
        cursor.number(2)
        room = cursor.number(2)
        size = int.from_bytes(cursor.take(4), "big")
        if not 0 < size < 1 << 16:
            raise Refused("Code", f"{size} bytes of code")
        masked, values, starts = instructions(cursor.take(size), self.pool)
        cursor.kept += [masked, values]
        for _ in range(cursor.number(2)):
            for _ in range(3):
                cursor.number(2)
            cursor.refer(7, optional=True)
        starts.add(size)
        below = self._nested(cursor, "code", (room, starts))
        return Attribute(b"Code", cursor.end(), below)

    def _debug(self, name: bytes, raw: bytes, room: int, starts: set[int]) -> Attribute:
        """A table of line numbers or local variables of code whose instructions stand at ``starts``."""
        cursor = Cursor(raw, self.pool, name.decode())
        odd = ""
        seen = set()
        for _ in range(cursor.number(2)):
            if name == b"LineNumberTable":
                row: tuple[object, ...] = (cursor.number(2), cursor.number(2))
                good = row[0] in starts
            else:
                start, length = cursor.number(2), cursor.number(2)
                text, kind = (self.pool.text(cursor.refer(1)) for _ in range(2))
                row = (start, length, text, kind, cursor.number(2))
                shape = _PLAIN_TYPE if name == b"LocalVariableTable" else _PLAIN_GENERIC
                good = {start, start + length} <= starts and row[4] < room
                good = good and bool(_PLAIN_NAME.fullmatch(text) and shape.fullmatch(kind))
            if not good or row in seen:
                odd = "an entry that compilers do not write"
            seen.add(row)
        return Attribute(name, cursor.end(), (), True, odd)


def _once(attributes: list[Attribute]) -> tuple[Attribute, ...]:
    """Attributes of one place. Only tables of lines and variables may stand twice (4.7.12 to 4.7.14): of any other,
    machines take the last, or refuse the class."""
    names = [a.name for a in attributes if a.name not in DEBUG[1:]]
    if len(set(names)) != len(names):
        raise Refused("attributes", "one that stands twice")
    return tuple(attributes)


def _bootstraps(raw: bytes) -> list[tuple[int, tuple[int, ...]]]:
    """(method handle, arguments) of each bootstrap method, as indexes."""
    if len(raw) < 2 or len(raw) % 2:
        raise Refused("BootstrapMethods", "is shorter than what it holds")
    words = struct.unpack(f">{len(raw) // 2}H", raw)
    out = []
    at = 1
    for _ in range(words[0]):
        if at + 2 > len(words) or at + 2 + words[at + 1] > len(words):
            raise Refused("BootstrapMethods", "is shorter than what it holds")
        out.append((words[at], words[at + 2 : at + 2 + words[at + 1]]))
        at += 2 + words[at + 1]
    if at != len(words):
        raise Refused("BootstrapMethods", "holds more than its parts")
    return out


_Flat = tuple[object, ...]


def _flat(attributes: tuple[Attribute, ...], without: frozenset[bytes]) -> _Flat:
    """Attributes as they are compared: in the order of their numbers, for theirs in the file says nothing."""
    kept = [a for a in attributes if not (a.debug and a.name in without)]
    return tuple(sorted((a.number, a.name, _flat(a.below, without)) for a in kept))


def _order(side: ClassFile, without: frozenset[bytes]) -> list[bytes]:
    """The attributes' names in the order of the file."""
    every = [side.attributes, *(p.attributes for p in (*side.fields, *side.methods))]
    return [a.name for attributes in every for a in _every(attributes) if not (a.debug and a.name in without)]


def _every(attributes: tuple[Attribute, ...]) -> list[Attribute]:
    return [found for a in attributes for found in (a, *_every(a.below))]


def _claims(view: View) -> bool:
    return view.startswith(b"\xca\xfe\xba\xbe") and 45 <= view.u16(6, big=True) <= 66


def _compare(pair: Pair) -> FileVerdict:
    if max(len(pair.a), len(pair.b)) > _LARGEST:
        raise Refused("file", f"more than {_LARGEST >> 20} MiB")
    numbers = Numbers()
    a, b = ClassFile(pair.a, numbers), ClassFile(pair.b, numbers)
    if a.version != b.version:
        raise Refused("version", "asks for another version of Java", [Range(4, 8)], [Range(4, 8)])
    without = _stripped(pair, a, b)
    pools = [Range(8, a.pool.end)], [Range(8, b.pool.end)]
    if a.unused != b.unused:
        pair.account.refuse("constant pool", "constants that nothing refers to differ", *pools)
    if (a.head, _flat(a.attributes, without)) != (b.head, _flat(b.attributes, without)):
        pair.account.refuse("class", "its flags, ancestors or attributes differ", *pair.spans())
    if _members(a.fields, without) != _members(b.fields, without):
        pair.account.refuse("fields", "differ", *pair.spans())
    if _members(a.methods, without) != _members(b.methods, without):
        return pair.changed(_changed(a.methods, b.methods, without), "methods differ")
    if a.pool_digest != b.pool_digest:
        pair.account.explain("class.pool-order", *pools)
    if _order(a, without) != _order(b, without):
        pair.account.explain(
            "class.attribute-order", [Range(pools[0][0].end, len(pair.a))], [Range(pools[1][0].end, len(pair.b))]
        )
    return pair.proved()


def _members(parts: list[Part], without: frozenset[bytes]) -> list[_Flat]:
    return [(p.row, _flat(p.attributes, without)) for p in parts]


def _changed(a: list[Part], b: list[Part], without: frozenset[bytes]) -> list[ChangedFunction]:
    """The methods that differ or that one side only has; all of them where only their order differs."""
    sides = [{p.row[1:]: p for p in parts} for parts in (a, b)]
    out: list[ChangedFunction] = []
    moved: list[ChangedFunction] = []
    for row in {**sides[0], **sides[1]}:
        one, other = (side.get(row) for side in sides)
        found = ChangedFunction(
            name=_shown(one or other) if len(out) + len(moved) < _NAMED else "",
            a=one.at if one else 0, b=other.at if other else 0,
            size_a=one.end - one.at if one else 0, size_b=other.end - other.at if other else 0,
        )  # fmt: skip
        same = one and other and _members([one], without) == _members([other], without)
        (moved if same else out).append(found)
    return out or moved


def _shown(part: Part | None) -> str:
    return clean_name(b"".join(part.name)[:400])[0] if part else ""


def _stripped(pair: Pair, a: ClassFile, b: ClassFile) -> frozenset[bytes]:
    """The debug data that one side has and the other has nowhere, entered under their rule."""
    sides = []
    for one in (a, b):
        found = _every(one.attributes)
        for part in one.methods:
            found += _every(part.attributes)
        sides.append([f for f in found if f.debug])
    names = [{f.name for f in side} for side in sides]
    without = frozenset(names[0] ^ names[1])
    for side in sides:
        for found_one in side:
            if found_one.name in without and found_one.odd:
                raise Refused(found_one.name.decode(), found_one.odd)
    if without:
        detail = ", ".join(sorted(n.decode() for n in without))
        pair.account.explain("class.debug", [Range(0, len(pair.a))], [Range(0, len(pair.b))], detail)
    return without


LEAVES: Final = [Leaf(name="class", claims=_claims, compare=_compare)]
