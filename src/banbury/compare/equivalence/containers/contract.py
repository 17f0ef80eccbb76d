"""What a container's comparator is given and what it states.

A comparator reads both sides strictly, so that every byte belongs to a field whose rule is known, and raises
:class:`~banbury.compare.equivalence.accounting.Refused` (or ``Malformed``) for anything else. It enters what differs
beside its members in ``Work.account``, and lists its members: content is compared here only for being equal.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Account, Refused
from banbury.compare.equivalence.model import BuildRecord, Range
from banbury.formats.contract import clean_name
from banbury.formats.view import Buffer, View

if TYPE_CHECKING:
    from banbury.compare.equivalence.tree import Tree

#: Hints that go with a member: the files in it must be equal byte for byte (a package's control archive), and a file
#: whose bytes must be equal (a maintainer script).
EXACT: Final = "exact"
BYTES: Final = "bytes"
#: A stream that may be compressed in another format on the other side.
ANY_STREAM: Final = "any-stream"
#: A part of a package, which the package's own tool reads.
PACKAGE: Final = "package"
#: What a kernel's decompressor unpacks: an image in memory, also where it begins as an ELF file does.
KERNEL: Final = "kernel"
_STEP: Final = 1 << 18
_RESIDENT: Final = 48 << 20  # bytes of the input that stay mapped in before they are let go


class Place(Struct, frozen=True, array_like=True):
    """``length`` bytes from ``start`` of the request's input or, where ``spool``, of its output."""

    start: int
    length: int
    spool: bool = False


class Change(Struct, frozen=True, kw_only=True):
    """A difference that the consumer sees: ``what`` is ``added``, ``removed`` or the attribute's name."""

    what: str
    a: str = ""
    b: str = ""


class Member(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member of either side or both. ``equal``: its content is the same byte for byte (or it has none).
    ``code`` is the number of bytes of program code where an equal member is an ELF file."""

    path: str
    a: Place | None = None
    b: Place | None = None
    equal: bool = False
    changes: list[Change] = []
    hints: list[str] = []
    code: int = 0


class Spool:
    """Writes output behind one another into an open file, up to ``room`` bytes."""

    def __init__(self, handle: int, room: int) -> None:
        self._handle, self._room, self.end = handle, room, 0

    def put(self, pieces: Iterable[Buffer]) -> Place:
        """Write all pieces; returns where they are. Raises ``Refused`` where there is no room for them."""
        start = self.end
        for piece in pieces:
            size = len(piece)
            if self.end + size > self._room:
                raise Refused("content", f"more than {self._room >> 20} MiB of output in one step")
            done = 0
            while done < size:
                done += os.pwrite(self._handle, memoryview(piece)[done:], self.end + done)
            self.end += size
        return Place(start, self.end - start, True)

    def read(self, start: int, length: int) -> bytes:
        return os.pread(self._handle, length, start)


class Work:
    """One pair of containers: both sides, the books, and what was found so far. ``path`` is for choosing only."""

    def __init__(
        self, data: bytes | mmap.mmap, a: Place, b: Place, spool: Spool, *, hints: Iterable[str] = (),
        record_a: BuildRecord | None = None, record_b: BuildRecord | None = None, path: str = "",
    ) -> None:  # fmt: skip
        self.data, self.place_a, self.place_b, self.spool, self.path = data, a, b, spool, path
        self.a = View(data, a.start, a.start + a.length)
        self.b = View(data, b.start, b.start + b.length)
        self.record_a, self.record_b = record_a, record_b
        self.hints = frozenset(hints)
        withdrawn = (*(record_a.observes if record_a else ()), *(record_b.observes if record_b else ()))
        self.account = Account(frozenset(withdrawn))
        self.members: list[Member] = []
        self.tree: Tree | None = None  # the second side's members, where they are a tree's
        self._touched = 0

    @property
    def sides(self) -> tuple[tuple[View, Place], tuple[View, Place]]:
        return (self.a, self.place_a), (self.b, self.place_b)

    def read(self, place: Place, at: int, length: int) -> bytes:
        """Bytes ``at`` to ``at + length`` of a place, fewer at its end."""
        length = min(length, place.length - at)
        start = place.start + at
        if place.spool:
            found = self.spool.read(start, length)
        else:
            self._let_go(length)
            found = bytes(memoryview(self.data)[start : start + length])
        if len(found) != length:
            raise Refused("content", "a place outside of what there is")
        return found

    def _let_go(self, length: int) -> None:
        """What was read of a large input need not stay in memory."""
        self._touched += length
        if self._touched > _RESIDENT and isinstance(self.data, mmap.mmap):
            self._touched = 0
            self.data.madvise(mmap.MADV_DONTNEED)

    def same(self, a: Place, b: Place) -> bool:
        """Whether two places hold the same bytes."""
        if a.length != b.length:
            return False
        if a == b:
            return True
        return all(self.read(a, at, _STEP) == self.read(b, at, _STEP) for at in range(0, a.length, _STEP))

    def all_of(self, place: Place, limit: int) -> bytes:
        """A whole place. Raises ``Refused`` where it has more than ``limit`` bytes."""
        if place.length > limit:
            raise Refused("content", f"{place.length} bytes where at most {limit} are read at once")
        return self.read(place, 0, place.length)

    def member(
        self, raw: bytes, a: Place | None, b: Place | None, *, changes: Iterable[Change] = (), hints: Iterable[str] = ()
    ) -> Member:
        """List a member, with whether both sides' content is equal."""
        equal = (a is None and b is None) or (a is not None and b is not None and self.same(a, b))
        found = Member(path=clean_name(raw)[0], a=a, b=b, equal=equal, changes=list(changes), hints=sorted({*hints}))
        self.members.append(found)
        return found

    def exactly(self, where: str, fields_a: Mapping[str, object], fields_b: Mapping[str, object]) -> None:
        """Refuse each field that differs between the two headers."""
        for name in [*fields_a, *(n for n in fields_b if n not in fields_a)]:
            if fields_a.get(name) != fields_b.get(name):
                self.account.refuse(
                    f"{where}: {name}", f"{shown(fields_a.get(name))} against {shown(fields_b.get(name))}"
                )

    def free(self, fields_a: Mapping[str, Free], fields_b: Mapping[str, Free]) -> None:
        """Enter each free field that differs under the rule that names it; both sides have the same fields or not."""
        for name in {**fields_a, **fields_b}:
            one, other = fields_a.get(name), fields_b.get(name)
            if one is None or other is None or one.value != other.value:
                known = one or other
                assert known is not None
                a, b = ([r for r in (side.range,) if r.end > r.start] if side else [] for side in (one, other))
                self.account.explain(known.rule, a, b)


class Free(Struct, frozen=True):
    """A field that may differ under ``rule``: its value, and where it stands in its file."""

    rule: str
    value: object
    range: Range


def shown(value: object) -> str:
    """A field's value for a person, bounded; ``absent`` for ``None``."""
    if value is None:
        return "absent"
    text = clean_name(value)[0] if isinstance(value, bytes) else str(value)
    return text if len(text) <= 200 else f"{text[:160]}... ({len(text)} characters)"


def zero(view: View, start: int, end: int, where: str) -> None:
    """Refuse bytes that are not zero."""
    if end > start and (view.u8(start) or view.run(start, end) < end - start):
        raise Refused(where, "padding that is not zero", [Range(start, end)])


class Comparator(Struct, frozen=True, kw_only=True):
    """One format: its name, whether bytes claim to be it, and how a pair is compared. ``ends``: where it says itself
    that it ends, which may be before the view does; 0 of what is not of the format."""

    name: str
    claims: Callable[[View], bool]
    compare: Callable[[Work], None]
    ends: Callable[[View], int] | None = None
