"""Finds the formats inside an image that has no table of contents.

Every stretch that a reader claims becomes a chunk (a member that stands verbatim in the image, to be dissected in its
turn); erased flash and fill become padding, text becomes a member of its own, and the rest stays unread, with a few
words on what it looks like. The earliest claim that its reader confirms wins; at the same offset the sure one, then the
longest, then the one with the longest magic.

The cost is linear in the image whatever it holds. Each reader may waste, on places it looks at and refuses (and on
claims that decode to many times their size), 64 MiB and 16 bytes for each byte scanned; an image that makes it waste
more (thousands of fake headers) is noted as a ``bomb``.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from msgspec import Struct

from banbury.formats._scan import WINDOW, Hit, Scanner
from banbury.formats._stretch import account
from banbury.formats.contract import Extent, Reader, Sink
from banbury.formats.registry import readers as all_readers
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind

_STAKE = 64 << 20
_RATE = 16
_FAIR = 64  # bytes of work for each byte of a confirmed claim; what a reader needs beyond that is a waste too
_PROBE = 4096  # bytes: what looking at a place costs at least


class Claim(Struct, frozen=True, array_like=True):
    """``reader`` says that ``start`` to ``end`` is its format. ``weight`` is the length of the magic that led there."""

    start: int
    end: int
    reader: Reader
    sure: bool
    weight: int

    @property
    def rank(self) -> tuple[bool, int, int]:
        return self.sure, self.end - self.start, self.weight


class _Metered(View):
    """A view that counts the bytes looked at, in ``work[0]``. The count repeats exactly, as a clock would not."""

    __slots__ = ("work",)

    def __init__(self, view: View, work: list[int]) -> None:
        super().__init__(view._buf, view._start, view._end)
        self.work = work

    def _at(self, offset: int, length: int) -> int:
        self.work[0] += length
        return super()._at(offset, length)

    def charge(self, work: int) -> None:
        self.work[0] += work

    def sub(self, offset: int, length: int) -> View:
        spent = self.work[0]
        window = _Metered(super().sub(offset, length), self.work)
        self.work[0] = spent
        return window

    def find(self, pattern: bytes, start: int = 0, end: int | None = None) -> int:
        hit = super().find(pattern, start, end)
        stop = hit if hit >= 0 else min(len(self), len(self) if end is None else end)
        self.work[0] += max(0, stop - start)
        return hit


class Found(Struct):
    """What :func:`claims` reports beside the claims: readers that were starved, and how many places each left out."""

    starved: dict[str, int]

    def report(self, sink: Sink) -> None:
        """Note each reader that was starved."""
        for name, places in self.starved.items():
            sink.note("bomb", f"{places} places that look like {name} were not tried: too many were false")


@cache
def _scanner(names: tuple[str, ...] | None) -> Scanner:
    chosen = all_readers()
    if names is None:
        return Scanner([r for r in chosen.values() if r.carve])
    return Scanner([chosen[n] for n in names if n in chosen])


def probe(reader: Reader, view: View, start: int, weight: int) -> Claim | None:
    """The reader's claim at ``start``, or ``None``. An extent that is empty or passes the end is no claim."""
    try:
        extent: Extent | None = reader.probe(view, start)
    except Malformed:
        return None
    if extent is None or not 0 < extent.length <= len(view) - start:
        return None
    return Claim(start, start + extent.length, reader, extent.sure, weight)


class _Search:
    """One pass over ``start`` to ``end`` of a view: hits in, confirmed claims out, in order of their start."""

    def __init__(
        self, view: View, scanner: Scanner, accept: Callable[[Claim], bool] | None, without: Reader | None = None
    ) -> None:
        self._view = view
        self._scanner = scanner
        self._accept = accept
        self._without = without
        self._work = [0]
        self._metered = _Metered(view, self._work)
        self._spent: dict[int, int] = {}
        self._scanned = 0
        self._heap: list[Hit] = []
        self.starved: dict[str, int] = {}

    def run(self, start: int, end: int) -> Iterator[Claim]:
        position = start
        at = start
        while at < end or self._heap:
            if at < end:
                stop = min(at + WINDOW, end)
                self._scanned += stop - at
                self._gather(at, stop, position)
                at = stop
            # A format that starts before this has all its anchors in what was scanned.
            horizon = at - self._scanner.reach if at < end else end
            while self._heap and self._heap[0].start < horizon:
                claim = self._best(position)
                if claim is not None:
                    yield claim
                    position = claim.end
                    at = max(at, position)

    def _gather(self, at: int, stop: int, position: int) -> None:
        """Put a window's hits on the heap; of a reader that has little left to waste only as many as it can try. False
        headers come by the million, and each that is pushed has its price."""
        limit = _STAKE + _RATE * self._scanned
        room = {order: (limit - spent) // _PROBE + 1 for order, spent in self._spent.items()}
        skipped: Counter[int] = Counter()
        for hit in self._scanner.hits(self._view, at, stop):
            if hit.start < position:
                continue
            left = room.get(hit.order, 1)
            if left <= 0:
                skipped[hit.order] += 1
                continue
            if hit.order in room:
                room[hit.order] = left - 1
            heapq.heappush(self._heap, hit)
        for order, count in skipped.items():
            name = self._scanner.readers[order].name
            self.starved[name] = self.starved.get(name, 0) + count

    def _best(self, position: int) -> Claim | None:
        """Take every hit at the lowest start off the heap and return the best confirmed claim there."""
        start = self._heap[0].start
        best: Claim | None = None
        tried: set[int] = set()
        while self._heap and self._heap[0].start == start:
            hit = heapq.heappop(self._heap)
            if start < position or hit.order in tried:
                continue
            tried.add(hit.order)
            claim = self._try(hit)
            if claim is not None and (best is None or claim.rank > best.rank):
                best = claim
        return best

    def _try(self, hit: Hit) -> Claim | None:
        reader = self._scanner.readers[hit.order]
        if reader is self._without:
            return None
        spent = self._spent.get(hit.order, 0)
        if spent > _STAKE + _RATE * self._scanned:
            self.starved[reader.name] = self.starved.get(reader.name, 0) + 1
            return None
        self._work[0] = 0
        claim = probe(reader, self._metered, hit.start, hit.length)
        if claim is not None and (self._accept is None or self._accept(claim)):
            excess = self._work[0] - _FAIR * (claim.end - claim.start)
            if excess > 0:
                self._spent[hit.order] = spent + excess
            return claim
        self._spent[hit.order] = spent + self._work[0] + _PROBE
        return None


def claims(
    view: View,
    start: int,
    end: int,
    found: Found,
    *,
    names: Sequence[str] | None = None,
    accept: Callable[[Claim], bool] | None = None,
    without: Reader | None = None,
) -> Iterator[Claim]:
    """Confirmed claims between ``start`` and ``end``, ascending and apart from each other.

    ``names`` limits the readers, ``without`` is not asked; ``accept`` may refuse a claim (its reader pays as for a
    refused probe). Claims reach to ``end`` at most, since the readers see nothing behind it.
    """
    scanner = _scanner(tuple(names) if names is not None else None)
    window = view if end == len(view) else view.sub(0, end)
    search = _Search(window, scanner, accept, without)
    yield from search.run(start, end)
    found.starved |= search.starved


def carve(
    view: View,
    sink: Sink,
    start: int,
    end: int,
    *,
    accept: Callable[[Claim], bool] | None = None,
    without: Reader | None = None,
) -> None:
    """Search ``start`` to ``end`` and give every byte of it an owner in ``sink`` (see the module)."""
    found = Found({})
    place(view, sink, start, end, claims(view, start, end, found, accept=accept, without=without))
    found.report(sink)


def place(view: View, sink: Sink, start: int, end: int, found: Iterable[Claim]) -> None:
    """Make chunks of the claims, in order, and account for what lies between them."""
    position = start
    for claim in found:
        account(view, sink, position, claim.start)
        chunk(sink, claim)
        position = claim.end
    account(view, sink, position, end)


def chunk(sink: Sink, claim: Claim) -> int:
    """Add the claimed stretch as a chunk and return its index."""
    name = claim.reader.name
    entry = Entry(path=f"{claim.start:08x}-{name}", kind=Kind.CHUNK, size=claim.end - claim.start, format=name)
    return sink.slice(entry, claim.start, claim.end)
