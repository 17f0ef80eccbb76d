"""FAT12, FAT16 and FAT32 with long names."""

from __future__ import annotations

from collections import deque

import numpy as np

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.names import Names
from banbury.formats.readers._disk import (
    USED,
    Blocks,
    Paths,
    Placer,
    Run,
    leftovers,
    merge,
    note_hidden,
    raw_of,
)
from banbury.formats.readers._fat_boot import BROKEN, END, Boot, Fat, first_entry, read_boot
from banbury.formats.readers._fat_names import Listing, Record, listing
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_DIRECTORY_LIMIT = 65536 * 32  # bytes: Linux reads no more records of one directory (fs/fat, FAT_MAX_DIR_ENTRIES)
Path = tuple[str, bytes]


class FatReader(Reader):
    """FAT as Linux's vfat reads it."""

    name = "fat"
    title = "FAT12/FAT16/FAT32 file system"
    version = 1
    holds_files = True
    magics = (Magic(b"\x55\xaa", 510), Magic(b"FAT12   ", 54), Magic(b"FAT16   ", 54), Magic(b"FAT32   ", 82))
    references = ("Microsoft, FAT32 File System Specification 1.03 (2000)", "Linux Documentation/filesystems/vfat.rst")
    limitations = (
        "exFAT is not read.",
        "Times carry no zone and are taken as UTC; names without a long form are taken as code page 437.",
        "Deleted files are counted, not recovered; their clusters are noted as hidden where not overwritten.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        boot = read_boot(view, start)
        room = len(view) - start
        if room < boot.table + 4 or not first_entry(view, start, boot):
            return None
        return Extent(min(boot.length, room), sure=boot.named)

    def read(self, view: View, sink: Sink) -> None:
        boot = read_boot(view, 0)
        fat = Fat(view, boot)
        sink.property("type", f"FAT{boot.bits}")
        sink.property("cluster size", f"{boot.cluster} bytes")
        if len(view) < boot.length:
            sink.note("truncated", f"{len(view)} of {boot.length} bytes are there")
        _reserved(view, boot, sink)
        _tables(view, boot, sink)
        room = max(0, len(view) - boot.data) // boot.cluster
        blocks = Blocks(boot.cluster, min(boot.clusters, room), boot.data)
        walk = _Walk(view, boot, fat, blocks, sink)
        walk.tree()
        walk.finish()
        free = fat.free[2 : 2 + blocks.count]
        odd = leftovers(view, blocks, sink)
        note_hidden(sink, odd & free, blocks, "free clusters")
        note_hidden(sink, odd & ~free, blocks, "clusters in use that no file's content reaches")
        self._check(view, boot, fat, sink)

    @staticmethod
    def _check(view: View, boot: Boot, fat: Fat, sink: Sink) -> None:
        """FAT32's own count of free clusters."""
        if boot.info and view.startswith(b"RRaA", boot.info) and view.startswith(b"rrAa", boot.info + 484):
            stated = view.u32(boot.info + 488)
            if stated != 0xFFFFFFFF:
                sink.check("free clusters", stated, int(np.count_nonzero(fat.free[2:])))


def _reserved(view: View, boot: Boot, sink: Sink) -> None:
    """The sectors before the tables: the boot sector, its copy, the information sector; others are hidden bytes."""
    known = [(0, 512)]
    sink.own(0, 512, Role.HEADER, "boot sector")
    if boot.info:
        sink.own(boot.info, boot.info + 512, Role.HEADER, "information sector")
        known.append((boot.info, boot.info + 512))
    if boot.backup:
        same = view.startswith(view.take(0, 90), boot.backup)
        if not same and view.run(boot.backup, boot.backup + 512) < 512:
            sink.note("mismatch", "the copy of the boot sector differs", start=boot.backup, end=boot.backup + 512)
        for at in (boot.backup, boot.backup + boot.info if boot.info else 0):
            if at and at + 512 <= boot.table and view.run(at, at + 512) < 512:
                sink.own(at, at + 512, Role.HEADER, "copy of the boot sector")
                known.append((at, at + 512))
    position = 0
    for start, end in [*sorted(known), (boot.table, boot.table)]:
        if position < start and view.run(position, start) < start - position:
            sink.note("hidden", "reserved sectors are not constant", start=position, end=start)
        position = max(position, end)


def _tables(view: View, boot: Boot, sink: Sink) -> None:
    used = -(-(boot.clusters + 2) * boot.bits // 8)
    first = view.mem(boot.table, used)
    for number in range(boot.tables):
        at = boot.table + number * boot.table_size
        sink.own(at, at + used, Role.TABLE, "allocation table")
        if number and at + used <= len(view) and bytes(view.mem(at, used)) != bytes(first):
            sink.note("mismatch", "the copies of the allocation table differ", start=at, end=at + used)
        tail = boot.table_size - used
        if tail and at + boot.table_size <= len(view) and view.run(at + used, at + boot.table_size) < tail:
            sink.note("hidden", "the allocation table is followed by data", start=at + used, end=at + boot.table_size)


class _Walk:
    def __init__(self, view: View, boot: Boot, fat: Fat, blocks: Blocks, sink: Sink) -> None:
        self.view, self.boot, self.fat, self.blocks, self.sink = view, boot, fat, blocks, sink
        self.names, self.paths, self.placer = Names(sink), Paths(len(view)), Placer(view, sink)
        self.deleted = self.orphans = self.behind = 0
        self.crossed = 0
        self.crossed_path = ""
        self.again = 4 * boot.clusters + 1000  # steps along clusters that another chain holds: else quadratic

    def tree(self) -> None:
        """Breadth first from the root directory."""
        boot = self.boot
        queue: deque[tuple[int, Path, int]] = deque()
        if boot.bits == 32:
            queue.append((boot.root_cluster, ("", b""), 0))
        else:
            self.sink.own(boot.root, boot.root + boot.root_size, Role.TABLE, "root directory")
            size = min(boot.root_size, max(0, len(self.view) - boot.root))
            self._members(listing(self.view.take(boot.root, size)), ("", b""), 0, queue)
        while queue:
            cluster, path, parent = queue.popleft()
            found = listing(self._directory(cluster, path[0]))
            if path[0] and found.dots not in {(cluster, parent), (-1, -1)}:
                self.sink.note("mismatch", "the directory's . or .. names another directory", path=path[0])
            self._members(found, path, cluster if path[0] else 0, queue)
        self.names.finish()

    def _directory(self, cluster: int, path: str) -> bytes:
        """The bytes of a directory: its whole chain, each cluster of which may be read once."""
        pieces: list[bytes] = []
        size = self.boot.cluster
        total = 0
        try:
            while cluster != END:
                self._inside(cluster)
                count, after = self.fat.run(cluster)
                if total + count * size > _DIRECTORY_LIMIT:
                    self.sink.note("malformed", f"a directory of more than {_DIRECTORY_LIMIT} bytes", path=path)
                    break
                if self.blocks.claim_each(cluster - 2, count):
                    self.sink.note("loop", "a directory's clusters belong to something else already", path=path)
                    break
                at = self.boot.data + (cluster - 2) * size
                self.sink.own(at, at + count * size, Role.TABLE, "directory")
                pieces.append(self.view.take(at, count * size))
                total += count * size
                cluster = after
        except Malformed as problem:
            self.sink.note("malformed", str(problem), path=path)
        return b"".join(pieces)

    def _inside(self, cluster: int) -> None:
        if cluster == BROKEN or not 2 <= cluster < self.boot.clusters + 2:
            raise Malformed("a chain leads to a free, bad or missing cluster")

    def _members(self, found: Listing, parent: Path, own: int, queue: deque[tuple[int, Path, int]]) -> None:
        self.deleted += found.deleted
        self.orphans += found.orphans
        self.behind += found.behind
        for record in found.records:
            if record.label:
                self.sink.property("label", record.name.decode())
                continue
            try:
                path = self.paths.join(parent, record.name)
            except Malformed as problem:
                self.sink.note("malformed", str(problem), path=parent[0])
                continue
            if b"/" in record.name:
                self.sink.note("odd-name", "a name that holds a slash", path=path[0])
            self._add(record, path)
            if record.directory:
                queue.append((record.cluster, path, own))

    def _add(self, record: Record, path: Path) -> None:
        entry = Entry(
            path=path[0],
            raw=raw_of(path),
            kind=Kind.DIR if record.directory else Kind.FILE,
            size=0 if record.directory else record.size,
            mtime=record.mtime,
        )
        self.names.note(entry)
        if record.directory:
            self.sink.entry(entry)
            return
        runs, problem = self._chain(record, path[0])
        self.placer.place(entry, merge(runs, sum(r[1] for r in runs) if problem else record.size), problem)

    def _chain(self, record: Record, path: str) -> tuple[list[Run], str]:
        """The byte runs of a file, and why they end early ("" where they do not)."""
        size = self.boot.cluster
        need = -(-record.size // size)
        cluster = record.cluster or END
        out: list[Run] = []
        left = record.size
        try:
            while cluster != END:
                self._inside(cluster)
                count, after = self.fat.run(cluster)
                take = min(count, need)
                taken = self.blocks.claim(cluster - 2, take) + self.blocks.claim(cluster - 2 + take, count - take, USED)
                if taken:
                    self._cross(path)
                at = self.boot.data + (cluster - 2) * size
                if take:
                    out.append((at, min(take * size, left)))
                    left -= out[-1][1]
                    self._slack(out[-1], left)
                elif taken:
                    break
                need -= take
                cluster = after
        except Malformed as problem:
            return out, str(problem) if left else ""
        return out, f"the chain ends {left} bytes early" if left else ""

    def _cross(self, path: str) -> None:
        self.crossed += 1
        self.crossed_path = self.crossed_path or path
        self.again -= 1
        if self.again < 0:
            raise Malformed("the chains of files share clusters")

    def _slack(self, run: Run, left: int) -> None:
        """Count bytes behind the end of a file in its last cluster."""
        end = sum(run)
        tail = -(end - self.boot.data) % self.boot.cluster
        if left == 0 and tail and end + tail <= len(self.view):
            rest = self.view.take(end, tail)
            if rest != rest[:1] * tail:
                self.placer.slack_files += 1
                self.placer.slack += tail

    def finish(self) -> None:
        """Note what was counted."""
        self.placer.finish("clusters")
        if self.crossed:
            self.sink.note(
                "overlap", f"{self.crossed} times a file's chain runs into another's", path=self.crossed_path
            )
        if self.deleted:
            self.sink.note("hidden", f"{self.deleted} directory records are marked deleted")
        if self.orphans:
            self.sink.note("malformed", f"{self.orphans} long names belong to no file")
        if self.behind:
            self.sink.note("hidden", f"{self.behind} bytes stand behind the end marks of directories")


READERS: list[Reader] = [FatReader()]
