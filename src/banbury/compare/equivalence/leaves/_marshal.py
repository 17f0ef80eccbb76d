"""CPython's marshalled code objects, read into values that are equal exactly when two objects are.

Nothing is built that the interpreter would run: a value is a number, the same for equal objects of both files
(:class:`Values`), so that sharing in hostile input costs nothing. Only what compilers write is known: code, tuples,
frozen sets, strings, numbers and the four constants. A flag or an encoding that the interpreter's own writer does not
give for a value is refused.

Source: CPython 2.7 and 3.6 to 3.13, ``Python/marshal.c`` (``r_object``, ``w_object``) and ``PyCode_New``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

_DEPTH: Final = 100
_FILES: Final = 64  # distinct file names in one module
_FLAG: Final = 0x80
_STRINGS: Final = {0x75: 4, 0x74: 4, 0x61: 4, 0x41: 4, 0x7A: 1, 0x5A: 1}  # u t a A z Z: bytes of the length
_SINGLE: Final = {0x4E: "None", 0x54: "True", 0x46: "False", 0x2E: "..."}
#: Fields of a code object: i an integer, b bytes, t a tuple of constants, n a tuple of names, s a string, F the file.
_OLD: Final = "argcount:i nlocals:i stacksize:i flags:i code:b consts:t names:n varnames:n freevars:n cellvars:n"
_TAIL: Final = " file:F name:s line:i lines:b"
_LAYOUTS: Final = {
    "2.7": _OLD + _TAIL,
    "3.6": _OLD.replace("nlocals", "kwonly:i nlocals") + _TAIL,
    "3.8": _OLD.replace("nlocals", "posonly:i kwonly:i nlocals") + _TAIL,
    "3.11": "argcount:i posonly:i kwonly:i stacksize:i flags:i code:b consts:t localsplus:n kinds:b"
    " file:F name:s qualname:s line:i lines:b exceptions:b",
}
_LAYOUTS["3.11"] = _LAYOUTS["3.11"].replace("consts:t localsplus", "consts:t names:n localsplus")
LAYOUTS: Final = {
    version: [(part.split(":")[0], part.split(":")[1]) for part in fields.split()]
    for version, fields in _LAYOUTS.items()
}


class Values:
    """Values by number, for both files of a pair: equal rows have equal numbers."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []
        self._known: dict[tuple[object, ...], int] = {}

    def add(self, *row: object) -> int:
        number = self._known.setdefault(row, len(self.rows))
        if number == len(self.rows):
            self.rows.append(row)
        return number


class Found(Struct, frozen=True):
    """A code object: its value and where it stands."""

    value: int
    at: int
    end: int


class Reader:
    """One file's objects. ``name`` maps a file name to the one it is compared by."""

    def __init__(self, view: View, at: int, layout: str, values: Values, name: Callable[[bytes], bytes]) -> None:
        self.raw, self.at, self.values = view.take(0, len(view)), at, values
        self.old = layout == "2.7"
        self.fields = LAYOUTS[layout]
        self.renamed = name
        self.refs: list[int | None] = []
        self.interned: list[int] = []
        self.marks: list[int] = []  # how each object was written, for telling encodings apart
        self.orders: list[tuple[int, ...]] = []  # of frozen sets
        self.codes: list[Found] = []
        self.files: dict[bytes, list[Range]] = {}
        self._of_names: set[int] = set()  # tuples that hold nothing but names

    def module(self) -> int:
        """The file's one object, which must be code and end with the file."""
        if self.at >= len(self.raw) or self.raw[self.at] & 0x7F != 0x63:
            raise self._odd("is no code object")
        value = self._object(0)
        if self.at != len(self.raw):
            raise Refused("end", "bytes behind the object", [Range(self.at, len(self.raw))])
        return value

    def _odd(self, why: str) -> Refused:
        return Refused(f"object at {self.at}", why, [Range(self.at, min(self.at + 1, len(self.raw)))])

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.raw):
            raise self._odd("is longer than the file")
        out = self.raw[self.at : end]
        self.at = end
        return out

    def _number(self) -> int:
        return int.from_bytes(self._take(4), "little", signed=True)

    def _count(self, size: int = 4) -> int:
        """A count of things of at least one byte each."""
        count = int.from_bytes(self._take(size), "little", signed=size == 4)
        if not 0 <= count <= len(self.raw) - self.at:
            raise self._odd("has more parts than the file has bytes")
        return count

    def _object(self, depth: int) -> int:
        if depth > _DEPTH:
            raise self._odd(f"lies deeper than {_DEPTH} objects")
        if self.at >= len(self.raw):
            raise self._odd("is not there")
        first = self.raw[self.at]
        kind, flag = first & 0x7F, bool(first & _FLAG)
        if flag and (self.old or kind in _SINGLE or kind == 0x72):
            raise self._odd("is marked for sharing, which it cannot be")
        self.at += 1
        self.marks.append(first)
        slot = len(self.refs)
        if flag:
            self.refs.append(None)
        value = self._value(kind, depth)
        if flag:
            self.refs[slot] = value
        return value

    def _value(self, kind: int, depth: int) -> int:
        if kind == 0x63:
            return self._code(depth)
        if kind in (0x28, 0x29) and not (self.old and kind == 0x29):
            count = self._count(4 if kind == 0x28 else 1)
            return self.values.add("tuple", *[self._object(depth + 1) for _ in range(count)])
        if kind in _STRINGS or kind == 0x73:
            return self._string(kind)
        if kind in (0x72, 0x52):
            return self._reference(kind)
        if kind == 0x3E:
            return self._set(depth)
        return self._plain(kind)

    def _reference(self, kind: int) -> int:
        if (kind == 0x52) != self.old:
            raise self._odd("is of a kind that this version does not know")
        number = self._number()
        known = self.interned if self.old else self.refs
        found = known[number] if 0 <= number < len(known) else None
        if found is None or self.values.rows[found][0] == "code":
            raise self._odd("refers to no object before it, or to code")
        self.marks.append(number)
        return found

    def _string(self, kind: int) -> int:
        if self.old and kind not in (0x73, 0x74, 0x75):
            raise self._odd("is of a kind that this version does not know")
        at = self.at
        raw = self._take(self._count(_STRINGS.get(kind, 4)))
        if kind == 0x73 or (self.old and kind == 0x74):
            value = self.values.add("bytes", raw)
            if kind == 0x74:
                self.interned.append(value)
            return value
        try:
            raw.decode("utf-8" if kind in (0x75, 0x74) else "ascii", "surrogatepass")
        except UnicodeDecodeError:
            raise Refused(f"text at {at}", "is not in the encoding that its kind says", [Range(at, self.at)]) from None
        return self.values.add("text", raw)

    def _plain(self, kind: int) -> int:
        """A number, or one of the four constants."""
        if kind in _SINGLE:
            return self.values.add(_SINGLE[kind])
        if kind == 0x69:
            return self.values.add("int", self._number())
        if kind == 0x49 and self.old:
            wide = int.from_bytes(self._take(8), "little", signed=True)
            if -(1 << 31) <= wide < 1 << 31:
                raise self._odd("is a small number in a wide form")
            return self.values.add("int", wide)
        if kind == 0x67:
            return self.values.add("float", self._take(8))
        if kind == 0x79:
            return self.values.add("complex", self._take(16))
        if kind == 0x6C:
            return self._long()
        raise self._odd("is of a kind that compilers do not write")

    def _long(self) -> int:
        count = self._number()
        if 2 * abs(count) > len(self.raw) - self.at:
            raise self._odd("has more digits than the file has bytes")
        raw = self._take(2 * abs(count))
        high = raw[1::2]
        if high and (max(high) > 0x7F or raw[-2:] == b"\0\0"):
            raise self._odd("is a number that is not in its one form")
        if not self.old and abs(count) < 4:
            value = sum(int.from_bytes(raw[i : i + 2], "little") << 15 * (i // 2) for i in range(0, len(raw), 2))
            if -(1 << 31) <= (value if count > 0 else -value) < 1 << 31:
                raise self._odd("is a small number in a long form")
        return self.values.add("long", count, raw)

    def _set(self, depth: int) -> int:
        parts = tuple(self._object(depth + 1) for _ in range(self._count()))
        if len(set(parts)) != len(parts):
            raise self._odd("is a set that holds a value twice")
        if {self.values.rows[p][0] for p in parts} in ({"text"}, {"bytes"}):  # of one kind: in 2.7, 'a' equals u'a'
            self.orders.append(parts)
            return self.values.add("set", *sorted(parts))
        return self.values.add("set", *parts)

    def _code(self, depth: int) -> int:
        start = self.at - 1
        row: list[object] = []
        for name, sort in self.fields:
            row.append(self._number() if sort == "i" else self._field(name, sort, depth))
        value = self.values.add("code", *row)
        self.codes.append(Found(value, start, self.at))
        return value

    def _field(self, name: str, sort: str, depth: int) -> int:
        at, mark = self.at, len(self.marks)
        value = self._object(depth + 1)
        row = self.values.rows[value]
        text = "bytes" if self.old or sort == "b" else "text"
        good = row[0] == ("tuple" if sort in "tn" else text)
        if sort == "n":
            good = good and (value in self._of_names or self._all_names(row, text))
            self._of_names.add(value)
        if not good:
            raise Refused(f"code object: {name}", "is of another kind than it must be", [Range(at, self.at)])
        if sort != "F":
            return value
        del self.marks[mark + 1 :]
        self.marks[mark] = -1
        assert isinstance(row[1], bytes)
        return self._file(row[1], Range(at, self.at))

    def _all_names(self, row: tuple[object, ...], text: str) -> bool:
        return all(self.values.rows[part][0] == text for part in row[1:] if isinstance(part, int))

    def _file(self, path: bytes, where: Range) -> int:
        self.files.setdefault(path, []).append(where)
        if len(self.files) > _FILES:
            raise self._odd(f"names more than {_FILES} files")
        return self.values.add("file", self.renamed(path))
