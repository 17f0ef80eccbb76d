"""The long tail of formats: what no reader here claims is offered to ``unblob``, in a sandboxed process of its own.

It opens one level; what comes out goes through our own readers and inspectors again. Its report of chunks becomes the
ownership map, with one difference: a chunk that it names but that nothing came out of is unread.
(unblob is MIT-licensed and is run, never imported.)
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import msgspec
from msgspec import Struct, field

from banbury.formats.contract import clean_name
from banbury.lab.blobs import BlobStore
from banbury.lab.confined import run_confined
from banbury.model.tree import Content, Dissection, Entry, Kind, Note, Region, Role

FORMAT = "unblob"
#: Blobs smaller than this many bytes are not worth a process of their own.
LEAST = 4096
_WALL = 600
_MEMORY = 6 << 30
_MAX_FILES = 100_000
_REPORT_LIMIT = 64 << 20
_HANDLER = re.compile(r"[A-Za-z0-9_.-]{1,60}")
#: The programs that unblob calls (``unblob --show-external-dependencies``).
_EXTRACTORS = (
    *("7z", "debugfs", "fsck.erofs", "jefferson", "lz4", "lziprecover", "lzop", "partclone.restore", "sasquatch"),
    *("sasquatch-v4be", "simg2img", "ubireader_extract_files", "ubireader_extract_images", "unar", "zstd"),
)


@cache
def tools() -> dict[str, str]:
    """The version of unblob and which of the programs it calls are there; empty where unblob is not installed."""
    try:
        found = {"longtail:unblob": metadata.version("unblob")}
    except metadata.PackageNotFoundError:
        return {}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    for name in _EXTRACTORS:
        found[f"longtail:{name}"] = "present" if shutil.which(name, path=path) else "absent"
    return found


class _Chunk(Struct, frozen=True, kw_only=True):
    start: int
    end: int
    name: str
    padding: bool
    known: bool
    errors: list[str]


def open_long_tail(source: int, store: BlobStore, output: int) -> tuple[Dissection, list[str]] | None:
    """Offer the open file ``source`` to unblob, which may write ``output`` bytes. Returns the dissection and the digest
    of each content, or ``None`` where unblob is absent or knows nothing in it."""
    if not tools():
        return None
    with tempfile.TemporaryDirectory(prefix="banbury-tail-") as name:
        folder = Path(name)
        size = _copy(source, folder / "input")
        program = Path(sys.executable).parent / "unblob"
        argv = [str(program), "-d", "1", "-p", "1", "--report", str(folder / "report.json"), "-e", str(folder / "out")]
        ran = run_confined([*argv, str(folder / "input")], folder, output=output, wall=_WALL, memory=_MEMORY)
        chunks = _chunks(folder / "report.json", size)
        if not any(c.known for c in chunks):
            return None
        builder = _Builder(store, size, folder)
        for chunk in chunks:
            builder.add(chunk, alone=len(chunks) == 1 and chunk.end - chunk.start == size)
        return builder.result(ran.death)


def _copy(source: int, target: Path) -> int:
    size = os.fstat(source).st_size
    with target.open("wb") as out:
        at = 0
        while at < size and (sent := os.copy_file_range(source, out.fileno(), size - at, at)):
            at += sent
    return size


class _Extraction(Struct, frozen=True, kw_only=True):
    """Why a chunk could not be extracted, as unblob reports it."""

    type_name: str = field(name="__typename__", default="failed")
    dependencies: list[str] = []


class _Stated(Struct, frozen=True, kw_only=True):
    """One of unblob's reports on a file; only those on chunks have offsets."""

    type_name: str = field(name="__typename__", default="")
    start_offset: int = -1
    end_offset: int = -1
    handler_name: str = ""
    extraction_reports: list[_Extraction] = []


class _Of(Struct, frozen=True):
    depth: int = -1


class _Task(Struct, frozen=True):
    """What unblob did with one path; ``depth`` 0 is what it was given, and need not come first."""

    task: _Of = _Of()
    reports: list[_Stated] = []


def _chunks(report: Path, size: int) -> list[_Chunk]:
    """The chunks of unblob's report that lie in order within the blob; anything else in it is ignored."""
    try:
        tasks = msgspec.json.decode(_read_regular(report), type=list[_Task])
    except (OSError, msgspec.MsgspecError, RecursionError):
        return []
    stated = (r for task in tasks if task.task.depth == 0 for r in task.reports)
    listed = sorted(stated, key=lambda r: r.start_offset)
    chunks = []
    position = 0
    for entry in listed:
        start, end = entry.start_offset, entry.end_offset
        if not position <= start < end <= size:
            continue
        position = end
        name = entry.handler_name
        padding = entry.type_name == "PaddingChunkReport" or name == "padding"
        errors = [_error(e) for e in entry.extraction_reports[:10]]
        known = bool(_HANDLER.fullmatch(name)) and not padding
        chunks.append(_Chunk(start=start, end=end, name=name, padding=padding, known=known, errors=errors))
    return chunks


def _read_regular(path: Path) -> bytes:
    """A file that hostile code may have put there: no link is followed, no pipe waited for, no flood read."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _REPORT_LIMIT:
            return b""
        return stream.read(_REPORT_LIMIT)


def _error(entry: _Extraction) -> str:
    missing = ", ".join(entry.dependencies[:10])
    return f"needs {missing}, which is not installed"[:200] if missing else entry.type_name[:200]


class _Builder:
    """Collects what came out as a dissection. Files are opened without following links."""

    def __init__(self, store: BlobStore, size: int, folder: Path) -> None:
        self._store = store
        self._size = size
        self._folder = folder
        self._root = folder / "out" / "input_extract"
        self._regions: list[Region] = []
        self._entries: list[Entry] = []
        self._contents: list[Content] = []
        self._digests: list[str] = []
        self._notes: list[Note] = []
        self._position = 0

    def add(self, chunk: _Chunk, *, alone: bool) -> None:
        self._gap(chunk.start)
        before = len(self._contents)
        if chunk.known:
            folder = self._root if alone else self._root / f"{chunk.start}-{chunk.end}.{chunk.name}_extract"
            prefix = "" if alone else f"{chunk.start:08x}-{chunk.name}/"
            for path in _walk(folder, self._folder):
                self._member(path, prefix + os.fsdecode(os.path.relpath(path, folder)))
        opened = len(self._contents) > before
        role = Role.PADDING if chunk.padding else Role.MEMBER if opened and not chunk.errors else Role.UNREAD
        why = f": {'; '.join(chunk.errors) or 'nothing came out'}" if role is Role.UNREAD and chunk.known else ""
        name = f"{chunk.name or 'unknown'}{why}"
        self._regions.append(Region(chunk.start, chunk.end, role, name[:200]))
        self._position = chunk.end
        if chunk.known and role is Role.UNREAD:
            self._notes.append(Note(code="unsupported", detail=name[:300], start=chunk.start, end=chunk.end))

    def _gap(self, end: int) -> None:
        if self._position < end:
            self._regions.append(Region(self._position, end, Role.UNREAD, "unclaimed"))
            self._position = end

    def _member(self, path: Path, name: str) -> None:
        if len(self._entries) >= _MAX_FILES:
            return
        shown, raw = clean_name(os.fsencode(name))
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            target, _ = clean_name(os.fsencode(os.readlink(path)))
            self._entries.append(Entry(path=shown, raw=raw, kind=Kind.SYMLINK, link=target))
        elif stat.S_ISDIR(status.st_mode):
            self._entries.append(Entry(path=shown, raw=raw, kind=Kind.DIR))
        elif stat.S_ISREG(status.st_mode):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as stream:
                digest, size = _keep(stream.fileno(), self._store)
            self._entries.append(Entry(path=shown, raw=raw, kind=Kind.FILE, size=size))
            self._contents.append(Content(len(self._entries) - 1, 0, size, stored=False))
            self._digests.append(digest)

    def result(self, death: str) -> tuple[Dissection, list[str]]:
        self._gap(self._size)
        dissection = Dissection(
            format=FORMAT,
            size=self._size,
            regions=self._regions,
            entries=self._entries,
            contents=self._contents,
            notes=self._notes,
            checks=[],
            properties={"read by": f"unblob {tools().get('longtail:unblob', '')}"},
            error=death,
        )
        return dissection, self._digests


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    """Everything below a folder in a fixed order; links are not followed, neither below it nor on the way from ``root``
    to it: whatever ran here may have left a link to a folder of this machine."""
    if folder.resolve() != root.resolve() / folder.relative_to(root):
        return
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files + folders):
            yield Path(here) / name


def _keep(handle: int, store: BlobStore) -> tuple[str, int]:
    size = os.fstat(handle).st_size
    if size == 0:
        return store.put(b""), 0
    with mmap.mmap(handle, size, prot=mmap.PROT_READ) as data, memoryview(data) as view:
        return store.put(view), size


def method() -> str:
    """Names the way the long tail is read on this machine."""
    return hashlib.sha256(msgspec.json.encode(sorted(tools().items()))).hexdigest()[:16]
