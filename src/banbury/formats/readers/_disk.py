"""What the readers of disk-like file systems share: which block belongs to whom, holes, path growth, left-overs.

A block map keeps two bits for every block: ``USED`` (a structure points at it) and ``READ`` (and its bytes
were read as what they are). What is not ``READ`` and not constant fill is a hiding place, and is said to be one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from banbury.formats.contract import Sink, clean_name
from banbury.formats.view import Buffer, View
from banbury.model.errors import BudgetExceeded, Malformed
from banbury.model.tree import Entry, Role

USED, READ = 1, 2
_ZEROS = bytes(1 << 20)

#: (offset in bytes, or -1 for a hole; length in bytes); a file is a list of them in order.
Run = tuple[int, int]
#: (first logical block of the file, first block of the file system, number of blocks).
Extent = tuple[int, int, int]
Pointers = npt.NDArray[np.unsignedinteger[Any]]


class Holes:
    """How many bytes of zeros that nobody stored one container may yield, all its files together.

    A sparse file costs its author nothing, so it must not cost the reader the rest of the container: past the
    limit the file is cut (its content is incomplete) and reading goes on with the next.
    """

    def __init__(self, size: int) -> None:
        self.left = max(256 << 20, 4 * size)

    def zeros(self, length: int) -> Iterator[Buffer]:
        """``length`` zero bytes. Raises ``Malformed`` where that passes the limit."""
        if length > self.left:
            raise Malformed(f"a hole of {length} bytes is not expanded: the container's limit for holes is reached")
        self.left -= length
        while length > 0:
            piece = min(length, len(_ZEROS))
            yield _ZEROS if piece == len(_ZEROS) else _ZEROS[:piece]
            length -= piece


class Paths:
    """Joins names to paths; bounds depth, length and the sum of lengths, which nested directories make quadratic."""

    def __init__(self, size: int) -> None:
        self._left = max(64 << 20, 8 * size)

    def join(self, parent: tuple[str, bytes], name: bytes) -> tuple[str, bytes]:
        """The path below ``parent`` (both as ``Entry.path`` and stored bytes). Raises ``Malformed`` past 4096 bytes
        (Linux's PATH_MAX) and ``BudgetExceeded`` where all paths together pass the limit."""
        shown, raw = clean_name(name)[0], name
        if parent[0]:
            shown, raw = f"{parent[0]}/{shown}", parent[1] + b"/" + name
        if len(raw) > 4096:
            raise Malformed(f"a path of {len(raw)} bytes")
        self._left -= len(raw)
        if self._left < 0:
            raise BudgetExceeded("the paths of the tree take more bytes than the container allows for")
        return shown, raw


def raw_of(path: tuple[str, bytes]) -> bytes:
    """What ``Entry.raw`` holds: the stored bytes where the shown path is not exactly those."""
    return b"" if path[0].encode() == path[1] else path[1]


class Blocks:
    """The block map: ``count`` blocks of ``size`` bytes, the first at ``base`` (bytes from the view's start).

    Where structures claim the same blocks over and over (64 times the container), runs are no longer marked but all
    called taken: no honest file system gets there, and marking on would cost the square of the input.
    """

    def __init__(self, size: int, count: int, base: int = 0) -> None:
        self.size = size
        self.count = count
        self.base = base
        self.map: npt.NDArray[np.uint8] = np.zeros(count, np.uint8)
        self._work = 64 * count + (1 << 20)

    def claim(self, first: int, count: int = 1, bits: int = USED | READ) -> int:
        """Mark blocks; how many of them were in use already. Blocks outside the map are left out."""
        start, end = max(first, 0), min(first + count, self.count)
        if end - start == 1:  # most files are small: an index is ten times cheaper than a slice
            before = int(self.map[start])
            self.map[start] = before | bits
            return before & USED
        if start >= end:
            return 0
        self._work -= end - start
        if self._work < 0:
            return count
        part = self.map[start:end]
        taken = int(np.count_nonzero(part & USED))
        part |= bits
        return taken

    def claim_each(self, first: int, count: int) -> int:
        """As :meth:`claim`, and whatever happened before: for directories, which must not go unread."""
        end = min(first + count, self.count)
        return sum(self.claim(block) for block in range(max(first, 0), end))

    @property
    def exhausted(self) -> bool:
        """Whether claims went on past the limit: the map is then incomplete."""
        return self._work < 0

    def claim_bytes(self, offset: int, length: int, bits: int = USED | READ) -> int:
        """Mark every block that the bytes touch."""
        if length <= 0:
            return 0
        first = (offset - self.base) // self.size
        return self.claim(first, (offset - self.base + length - 1) // self.size - first + 1, bits)


def constant_blocks(view: View, offset: int, size: int, count: int) -> npt.NDArray[np.bool_]:
    """For each of ``count`` blocks of ``size`` bytes (a multiple of 8) from ``offset``: is it one repeated byte?"""
    out = np.ones(count, np.bool_)
    step = max(1, len(_ZEROS) // size)
    for at in range(0, count, step):
        number = min(step, count - at)
        data = view.mem(offset + at * size, number * size)
        if bytes(data) == _ZEROS[: len(data)]:  # a copy and one memcmp: comparing a memoryview is ten times slower
            continue
        words = np.frombuffer(data, "<u8").reshape(number, size // 8)
        firsts = words[:, 0]
        same = np.all(words == words[:, :1], axis=1)
        out[at : at + number] = same & (firsts == (firsts & np.uint64(0xFF)) * np.uint64(0x0101010101010101))
    return out


def runs_of(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, end) of every stretch of true values."""
    edges = np.flatnonzero(np.diff(mask.view(np.int8), prepend=np.int8(0), append=np.int8(0)))
    pairs = edges.reshape(-1, 2).tolist()
    return [(int(a), int(b)) for a, b in pairs]


def leftovers(view: View, blocks: Blocks, sink: Sink) -> npt.NDArray[np.bool_]:
    """The blocks nobody read whose bytes are not constant; the constant ones become padding of ``sink``."""
    if blocks.exhausted:
        sink.note("bomb", "structures claim the same blocks over and over; not all of them are marked as read")
    unread = (blocks.map & READ) == 0
    odd = np.zeros(blocks.count, np.bool_)
    for first, end in runs_of(unread):
        at = blocks.base + first * blocks.size
        constant = constant_blocks(view, at, blocks.size, end - first)
        odd[first:end] = ~constant
        for start, stop in runs_of(constant):
            _own_fill(view, sink, at + start * blocks.size, at + stop * blocks.size)
    return odd


def _own_fill(view: View, sink: Sink, start: int, end: int) -> None:
    """Own constant blocks as padding; where fills of different bytes meet, one region each."""
    while start < end:
        length = view.run(start, end)
        sink.own(start, start + length, Role.PADDING, "free blocks")
        start += length


def note_hidden(sink: Sink, odd: npt.NDArray[np.bool_], blocks: Blocks, what: str) -> None:
    """Note once that blocks hold bytes no consumer of the file system reads."""
    count = int(np.count_nonzero(odd))
    if count:
        first = int(odd.argmax())
        start = blocks.base + first * blocks.size
        sink.note(
            "hidden",
            f"{count} {what} hold {count * blocks.size} bytes that are not constant fill, the first at {start:#x}",
            start=start,
            end=start + blocks.size,
        )


def merge(runs: Iterable[Run], size: int) -> list[Run]:
    """Runs joined where they are adjacent, cut or filled with a hole to exactly ``size`` bytes."""
    out: list[Run] = []
    done = 0
    for start, length in runs:
        take = min(length, size - done)
        if take <= 0:
            break
        done += take
        if out:
            before, had = out[-1]
            if start == before + had if before >= 0 else start < 0:
                out[-1] = (before, had + take)
                continue
        out.append((start, take))
    if done < size:
        if out and out[-1][0] < 0:
            out[-1] = (-1, out[-1][1] + size - done)
        else:
            out.append((-1, size - done))
    return out


def stretches(pointers: Pointers, logical: int) -> list[Extent]:
    """Extents of consecutive non-zero block pointers, the first of which is the file's block ``logical``."""
    used = np.flatnonzero(pointers)
    if not used.size:
        return []
    places = pointers[used].astype(np.int64)
    breaks = np.flatnonzero((np.diff(places) != 1) | (np.diff(used) != 1)) + 1
    starts = np.concatenate(([0], breaks))
    lengths = np.diff(np.concatenate((starts, [used.size])))
    return list(zip((used[starts] + logical).tolist(), places[starts].tolist(), lengths.tolist(), strict=True))


def indirect(
    direct: Pointers, roots: Sequence[int], per: int, node: Callable[[int], Pointers]
) -> tuple[list[Extent], str]:
    """The extents of a classic Unix block map, and what was wrong with it ("" where nothing).

    ``roots`` are the single, double and further indirect blocks; ``node`` gives the ``per`` pointers of one, and must
    raise ``Malformed`` for a block it has given before: that alone bounds the work.
    """
    out = stretches(direct, 0)
    first = len(direct)
    try:
        for depth, root in enumerate(roots, 1):
            stack = [(root, first, depth)] if root else []
            while stack:
                block, logical, level = stack.pop()
                pointers = node(block)
                if level == 1:
                    out += stretches(pointers, logical)
                    continue
                span = per ** (level - 1)
                used = np.flatnonzero(pointers)[::-1].tolist()
                stack += [(int(pointers[i]), logical + i * span, level - 1) for i in used]
            first += per**depth
    except Malformed as problem:
        return out, str(problem)
    return out, ""


def runs_to(extents: list[Extent], size: int, blocks: Blocks) -> list[Run]:
    """Extents as byte runs with holes between them, up to ``size`` bytes. Blocks past the end are marked as used and
    not as read: nobody reads them."""
    block = blocks.size
    need = -(-size // block)
    out: list[Run] = []
    done = 0
    for first, place, count in extents:
        if first >= need:
            blocks.claim(place, count, USED)
            continue
        if first > done:
            out.append((-1, (first - done) * block))
        take = min(count, need - first)
        out.append((blocks.base + place * block, take * block))
        if take < count:
            blocks.claim(place + take, count - take, USED)
        done = first + take
    return out


class Placer:
    """Puts files made of runs into a sink: as slices where they stand in one piece, else streamed."""

    def __init__(self, view: View, sink: Sink, blocks: Blocks | None = None) -> None:
        self.view, self.sink, self.blocks = view, sink, blocks
        self.holes = Holes(len(view))
        self.overlaps = 0
        self.overlap_path = ""
        self.slack = 0
        self.slack_files = 0

    def place(self, entry: Entry, runs: list[Run], problem: str = "") -> int:
        """Add ``entry`` with the content in ``runs`` (as :func:`merge` gives them). ``problem`` says why the runs stop
        short of the file: the content is then incomplete."""
        if not problem and len(runs) <= 1 and (not runs or self._inside(*runs[0])):
            start, length = runs[0] if runs else (0, 0)
            member = self.sink.slice(entry, start, start + length)
        else:
            empty = sum(length for start, length in runs if start < 0)
            if empty > 16 << 20:
                self.sink.note("sparse", f"{empty} of {entry.size} bytes are not stored", path=entry.path)
            member = self.sink.file(entry, self._pieces(runs, problem))
            for start, length in runs:
                if start >= 0:
                    self.sink.own(start, start + length, Role.MEMBER, "content", member)
        if self.blocks is not None:
            self._claim(entry, runs, self.blocks)
        return member

    def _inside(self, start: int, length: int) -> bool:
        return start >= 0 and start + length <= len(self.view)

    def _pieces(self, runs: list[Run], problem: str) -> Iterator[Buffer]:
        for start, length in runs:
            if start < 0:
                yield from self.holes.zeros(length)
            elif start + length > len(self.view):
                if start < len(self.view):
                    yield self.view.rest(start)
                raise Malformed(f"content at {start:#x} lies past the end of the container", offset=start)
            else:
                yield self.view.mem(start, length)
        if problem:
            raise Malformed(problem)

    def _claim(self, entry: Entry, runs: list[Run], blocks: Blocks) -> None:
        taken = 0
        for start, length in runs:
            if start >= 0:
                taken += blocks.claim_bytes(start, length)
        if taken:
            self.overlaps += taken
            self.overlap_path = self.overlap_path or entry.path
        if runs and runs[-1][0] >= 0:
            end = sum(runs[-1])
            tail = -(end - blocks.base) % blocks.size
            if tail and end + tail <= len(self.view):
                rest = self.view.take(end, tail)
                if rest != rest[:1] * tail:
                    self.slack_files += 1
                    self.slack += tail

    def finish(self, unit: str, *, shared: bool = False) -> None:
        """Note what was met: blocks with two owners (unless the format shares them), bytes behind files' ends."""
        if self.overlaps and not shared:
            self.sink.note("overlap", f"{self.overlaps} {unit} belong to two files", path=self.overlap_path)
        if self.slack_files:
            self.sink.note(
                "hidden", f"{self.slack_files} files are followed by data in their last {unit[:-1]}: {self.slack} bytes"
            )
