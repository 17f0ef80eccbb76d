"""ISO 9660 with Rock Ridge, Joliet and El Torito."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers._disk import Paths, Placer, Run, merge, raw_of
from banbury.formats.readers._iso_boot import boot_images
from banbury.formats.readers._iso_rock import Posix, Rock
from banbury.formats.readers._iso_volume import (
    ASSOCIATED,
    DIRECTORY,
    FIRST,
    MULTI_EXTENT,
    SECTOR,
    Record,
    Volume,
    path_extents,
    read_record,
    read_volume,
)
from banbury.formats.view import View
from banbury.model.errors import BudgetExceeded, Malformed
from banbury.model.tree import Entry, Kind, Role

_SORTS = {1: Kind.FIFO, 2: Kind.CHAR, 4: Kind.DIR, 6: Kind.BLOCK, 8: Kind.FILE, 10: Kind.SYMLINK, 12: Kind.SOCKET}
_MOST_DESCRIPTORS = 64
_MOST_TREES = 4
_MOST_ITEMS = 1_000_000
Path = tuple[str, bytes]


class Item(Struct, frozen=True):
    """One name in a tree. ``runs`` are the file's bytes; ``problem`` says why they are not all."""

    path: Path
    record: Record
    posix: Posix
    runs: list[Run]
    size: int
    directory: bool
    problem: str

    @property
    def key(self) -> tuple[int, int]:
        """What makes two names the same content: where it starts, and its size."""
        return self.runs[0][0] if self.runs else -1, self.size


class IsoReader(Reader):
    """ISO 9660. Where the disc holds several trees, the one its consumers prefer is read (Rock Ridge, then Joliet);
    files that only another tree names are added below ``[Joliet]`` or ``[ISO 9660]``."""

    name = "iso9660"
    title = "ISO 9660 file system"
    version = 1
    holds_files = True
    magics = (Magic(b"CD001\x01", FIRST * SECTOR + 1),)
    references = (
        "ECMA-119",
        "IEEE P1281 (SUSP) and P1282 (Rock Ridge)",
        "Microsoft, Joliet Specification 1.0",
        "Phoenix and IBM, El Torito 1.0",
    )
    limitations = (
        "UDF on the same disc is noted, not read.",
        "Files compressed with zisofs are given as stored; interleaved files are incomplete.",
        "Multi-volume sets and later sessions are not joined.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        if not view.startswith(b"CD001\x01", start + FIRST * SECTOR + 1):
            return None
        for window_at in (FIRST, FIRST + 1):  # the primary descriptor comes first, but for odd discs
            at = start + window_at * SECTOR
            if view.startswith(b"\x01CD001\x01", at):
                volume = read_volume(view, at)
                return Extent(min(volume.blocks * volume.block, len(view) - start), sure=volume.both)
        return None

    def read(self, view: View, sink: Sink) -> None:
        volumes, catalogues = _descriptors(view, sink)
        if not volumes:
            raise Malformed("no volume descriptor can be read")
        primary = volumes[0]
        sink.property("label", primary.label)
        sink.property("trees", ", ".join(v.name for v in volumes))
        if len(view) < primary.blocks * primary.block:
            sink.note("truncated", f"{len(view)} of {primary.blocks * primary.block} bytes are there")
        if view.run(0, min(FIRST * SECTOR, len(view))) < FIRST * SECTOR:
            sink.note("hidden", "the system area before the descriptors is not constant", start=0, end=FIRST * SECTOR)
        if len(volumes) > _MOST_TREES:
            sink.note("bomb", f"{len(volumes)} volume descriptors; only {_MOST_TREES} trees are read")
        trees = [_Tree(view, volume, sink) for volume in volumes[:_MOST_TREES]]
        for tree in trees:
            tree.walk()
        chosen = trees[0]
        if chosen.rock.skip < 0:
            chosen = next((t for t in trees if t.volume.name == "Joliet"), chosen)
        elif chosen.rock.skip >= 0:
            sink.property("names", "Rock Ridge")
        out = _Out(view, sink)
        for item in chosen.items:
            out.add(item, "")
        for tree in trees:
            if tree is not chosen:
                out.compare(chosen, tree)
        boot_images(view, catalogues, primary.block, out.members, out.placer, sink)
        out.finish()


def _descriptors(view: View, sink: Sink) -> tuple[list[Volume], list[int]]:
    """The volumes, the primary one first, and the blocks of boot catalogues. Notes UDF's descriptors behind them."""
    volumes: list[Volume] = []
    catalogues: list[int] = []
    ended = False
    for number in range(FIRST, FIRST + _MOST_DESCRIPTORS):
        at = number * SECTOR
        if view.startswith(b"CD001", at + 1) and not ended:
            sink.own(at, at + SECTOR, Role.HEADER, "volume descriptor")
            sort = view.u8(at)
            ended = sort == 255
            if sort in {1, 2}:
                try:
                    volumes.append(read_volume(view, at))
                except Malformed as problem:
                    sink.note("malformed", str(problem), start=at)
            elif sort == 0 and view.startswith(b"EL TORITO", at + 7):
                catalogues.append(view.u32(at + 0x47))
        elif any(view.startswith(magic, at + 1) for magic in (b"BEA01", b"NSR02", b"NSR03", b"TEA01")):
            sink.own(at, at + SECTOR, Role.HEADER, "UDF volume recognition")
            if view.startswith(b"NSR0", at + 1):
                sink.note("unsupported", "the disc holds a UDF file system too; its tree is not read", start=at)
        else:
            break
    volumes.sort(key=lambda v: v.name != "ISO 9660")
    for volume in volumes:
        if not volume.both:
            sink.note("mismatch", f"the halves of both-endian numbers differ ({volume.name})", start=volume.at)
    return volumes, catalogues


class _Tree:
    """One volume's directory tree, listed without adding anything to the sink but the owners of its structures."""

    def __init__(self, view: View, volume: Volume, sink: Sink) -> None:
        self.view, self.volume, self.sink = view, volume, sink
        self.joliet = volume.name == "Joliet"
        self.rock = Rock(view, volume.block, sink)
        self.paths = Paths(len(view))
        self.items: list[Item] = []
        self.seen: set[int] = set()
        self.left = 2 * len(view)  # bytes of directories: they are disjoint, or it is an attack
        self.unequal = 0

    def walk(self) -> None:
        """Breadth first from the root directory."""
        root = self.volume.root
        queue: deque[tuple[int, int, Path]] = deque([(root.extent, root.size, ("", b""))])
        while queue:
            extent, size, path = queue.popleft()
            if extent in self.seen:
                self.sink.note("loop", f"the directory at block {extent} has two names", path=path[0])
                continue
            self.seen.add(extent)
            try:
                for item in self._directory(extent, size, path):
                    self.items.append(item)
                    if len(self.items) > _MOST_ITEMS:
                        self.sink.note("bomb", f"more than {_MOST_ITEMS} names")
                        raise BudgetExceeded(f"more than {_MOST_ITEMS} names")
                    if item.directory:
                        queue.append((*self._place(item), item.path))
            except Malformed as problem:
                self.sink.note("malformed", str(problem), path=path[0], start=extent * self.volume.block)
        if self.unequal:
            self.sink.note("mismatch", f"the halves of both-endian numbers differ in {self.unequal} records")
        self._path_tables()

    def _place(self, item: Item) -> tuple[int, int]:
        """(block, bytes) of a directory; one moved elsewhere states its size in its own first record."""
        if item.posix.child < 0:
            return item.record.extent, item.record.size
        try:
            at = item.posix.child * self.volume.block
            record, _ = read_record(self.view.mem(at, 255), 0)
        except Malformed:
            return item.posix.child, self.volume.block
        return item.posix.child, record.size

    def _records(self, extent: int, size: int) -> Iterator[Record]:
        """The records of a directory; none crosses the end of a sector (6.8.1.1)."""
        start = extent * self.volume.block
        self.left -= size
        if self.left < 0:
            raise Malformed("directories overlap", offset=start)
        data = self.view.mem(start, size)
        self.sink.own(start, start + size, Role.TABLE, f"directory ({self.volume.name})")
        at = 0
        while at < size:
            if not data[at]:
                at = (at // SECTOR + 1) * SECTOR
                continue
            record, length = read_record(data, at)
            self.unequal += not record.both
            yield record
            at += length

    def _directory(self, extent: int, size: int, parent: Path) -> Iterator[Item]:
        runs: list[Run] = []
        problem = ""
        for number, record in enumerate(self._records(extent, size)):
            if record.name in {b"\0", b"\1"}:
                if number == 0 and not parent[0] and not self.joliet:
                    self.rock.start(record.system)
                self._posix(record, parent)
                continue
            if record.flags & ASSOCIATED:
                self.sink.note("unsupported", "an associated file (resource fork)", path=parent[0])
                continue
            if record.interleaved:
                problem = "the file is interleaved"
            runs.append((record.extent * self.volume.block, record.size))
            if record.flags & MULTI_EXTENT:
                continue
            item = self._item(record, parent, runs, problem)
            if not item.posix.relocated:
                yield item
            runs, problem = [], ""

    def _item(self, record: Record, parent: Path, runs: list[Run], problem: str) -> Item:
        posix = self._posix(record, parent)
        name = posix.name or self._plain(record.name)
        if not name or b"/" in name or b"\0" in name:
            self.sink.note("odd-name", "a name that is empty or holds a slash or NUL", path=parent[0])
        directory = bool(record.flags & DIRECTORY) or posix.child >= 0
        size = sum(length for _, length in runs)
        return Item(
            self.paths.join(parent, name), record, posix, merge(runs, size) if size else [], size, directory, problem
        )

    def _posix(self, record: Record, parent: Path) -> Posix:
        try:
            return self.rock.read(record.system)
        except Malformed as problem:
            self.sink.note("malformed", str(problem), path=parent[0])
            return Posix()

    def _plain(self, name: bytes) -> bytes:
        """A name without its version; without the dot of an empty extension."""
        if self.joliet:
            text = name.decode("utf-16-be", "surrogatepass" if len(name) % 2 == 0 else "replace")
            return text.split(";", 1)[0].encode("utf-8", "surrogatepass")
        bare = name.split(b";", 1)[0]
        return bare[:-1] if bare.endswith(b".") and len(bare) > 1 else bare

    def _path_tables(self) -> None:
        """Own both path tables and compare the directories that they name with the tree's."""
        volume = self.volume
        for place, big in ((volume.path_little, False), (volume.path_big, True)):
            try:
                named = path_extents(self.view, volume, big)
            except Malformed as problem:
                self.sink.note("malformed", f"path table: {problem}")
                continue
            start = place * volume.block
            self.sink.own(start, start + volume.path_size, Role.TABLE, "path table")
            if named != self.seen:
                self.sink.note(
                    "mismatch",
                    f"a path table ({volume.name}) names {len(named)} directories, the tree {len(self.seen)}",
                    start=start,
                )


class _Out:
    """Adds items to the sink."""

    def __init__(self, view: View, sink: Sink) -> None:
        self.sink = sink
        self.names, self.placer = Names(sink), Placer(view, sink)
        self.members: dict[int, tuple[int, int]] = {}  # first byte: member, size
        self.extents: dict[tuple[int, int], None] = {}
        self.zisofs = 0

    def add(self, item: Item, prefix: str) -> None:
        posix = item.posix
        kind = _SORTS.get(posix.mode >> 12, Kind.FILE) if posix.mode >= 0 else Kind.FILE
        kind = Kind.DIR if item.directory else Kind.FILE if kind is Kind.DIR else kind
        path = (prefix + item.path[0], prefix.encode() + item.path[1])
        entry = Entry(
            path=path[0],
            raw=raw_of(path),
            kind=kind,
            size=item.size if kind is Kind.FILE else 0,
            mode=posix.mode & 0o7777 if posix.mode >= 0 else -1,
            uid=posix.uid,
            gid=posix.gid,
            mtime=posix.mtime if posix.mtime != -1 else item.record.mtime,
            link=clean_name(posix.link)[0] if kind is Kind.SYMLINK else "",
            inode=posix.serial,
            rdev=posix.rdev if kind in {Kind.CHAR, Kind.BLOCK} else None,
        )
        self.names.note(entry)
        if kind is not Kind.FILE:
            self.sink.entry(entry)
            return
        self.zisofs += posix.zisofs
        member = self.placer.place(entry, item.runs, item.problem)
        for run in item.runs:
            self.extents[run] = None
        if item.runs:
            self.members.setdefault(item.key[0], (member, item.size))

    def compare(self, chosen: _Tree, other: _Tree) -> None:
        """Files that one tree names and the other does not: noted, and those of the other tree added."""
        here = {item.key for item in chosen.items if item.size and not item.directory}
        extra = [item for item in other.items if item.size and not item.directory and item.key not in here]
        there = {item.key for item in other.items}
        missing = len(here - there)
        if extra or missing:
            names = f"{other.volume.name} names {len(extra)} files that the other tree does not, and lacks {missing}"
            self.sink.note("mismatch", names, path=extra[0].path[0] if extra else "")
        for item in extra:
            self.add(item, f"[{other.volume.name}]/")

    def finish(self) -> None:
        self.names.finish()
        if self.zisofs:
            self.sink.note("unsupported", f"{self.zisofs} files are compressed (zisofs); their stored bytes are given")
        position = overlaps = 0
        for start, length in sorted(self.extents):
            overlaps += start < position
            position = max(position, start + length)
        if overlaps:
            self.sink.note("overlap", f"{overlaps} extents overlap others")


READERS: list[Reader] = [IsoReader()]
