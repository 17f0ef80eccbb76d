"""Files of a source tree, as a worker states them: from an archive, from a folder's files, from a repository.

Runs inside the sandbox; nothing is written but the worker's own output, and nothing of the tree is run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from typing import Final

from banbury.compare.history.marks import marks_of, origin_of, takes_part
from banbury.compare.history.model import Listing, Part, Place, SourceFile
from banbury.compare.history.repository import BLOB, LINK, SUBMODULE, bundle, folder, resolve, walk
from banbury.formats._leaves import leaf_end
from banbury.formats.contract import clean_name
from banbury.formats.dissect import dissect
from banbury.formats.readers._tar import is_header
from banbury.formats.registry import readers
from banbury.formats.sink import Budget, SpoolSink
from banbury.formats.view import Buffer, View
from banbury.model.errors import BudgetExceeded, Malformed
from banbury.model.tree import Content, Kind

_HEAD: Final = 1 << 16
_TEXT: Final = 4 << 20  # bytes of a text in which marks are looked for
_LOOKED: Final = 16 << 20  # bytes of a binary file whose format is looked at
#: Formats that are a way to pack one content.
_STREAMS: Final = frozenset(("gzip", "xz", "bzip2", "lzma", "lzip", "zstd", "lz4", "lzop", "zlib"))


class Output:
    """The worker's output file: contents behind one another, up to ``room`` bytes."""

    def __init__(self, handle: int, room: int) -> None:
        self.handle, self._room, self.end = handle, room, 0

    def put(self, data: bytes) -> Place:
        """Keep one content; returns where it is."""
        if self.end + len(data) > self._room:
            raise BudgetExceeded("the source tree is too large")
        done = 0
        while done < len(data):
            done += os.pwrite(self.handle, data[done:], self.end + done)
        self.end += len(data)
        return Place(self.end - len(data), len(data), True)


def describe(path: str, data: bytes, place: Place | None, executable: bool | None) -> SourceFile:
    """One regular file."""
    text = b"\0" not in data[:_HEAD] and _is_text(data[:_HEAD])
    plain = data.replace(b"\r\n", b"\n") if text and b"\r\n" in data else None
    origin = origin_of(path, data[:_HEAD])
    opaque, broken = (False, "") if text or not data else _opaque(data)
    return SourceFile(
        path=path,
        size=len(data),
        executable=executable,
        sha256=hashlib.sha256(data).hexdigest(),
        plain=hashlib.sha256(plain).hexdigest() if plain is not None else "",
        place=place,
        text=text,
        origins=[origin] if origin else [],
        marks=marks_of(path, data[:_TEXT]) if text and takes_part(path) else [],
        opaque=opaque,
        broken=broken,
    )


def _is_text(head: bytes) -> bool:
    """UTF-8 or another superset of ASCII with few control bytes."""
    odd = sum(head.count(c) for c in (*range(7), *range(14, 27), *range(28, 32), 127))
    return odd * 200 <= len(head)


class _Nowhere(SpoolSink):
    """A sink that counts what is decoded and keeps none of it."""

    def _write(self, piece: Buffer) -> None:
        total = self._written + len(piece)
        if total > self._budget.output:
            raise BudgetExceeded("it decodes to too much")
        self._written = total


def _opaque(data: bytes) -> tuple[bool, str]:
    """Whether nothing here knows what a binary file holds; and why a compressed one does not decode."""
    if len(data) > _LOOKED:
        return True, ""
    view = View(data)
    for reader in readers().values():
        if not any(view.startswith(m.pattern, m.at) for m in reader.magics):
            continue
        if reader.name not in _STREAMS:
            return False, ""
        sink = _Nowhere(view, -1, Budget(output=64 << 20, entries=10_000))
        try:
            extent = reader.probe(view, 0)
            if extent is None:
                return True, "its header is damaged"
            reader.read(view.sub(0, extent.length), sink)
        except (Malformed, BudgetExceeded) as problem:
            return True, str(problem)
        bad = [n.detail for n in sink.finish("").notes if n.code in ("malformed", "truncated", "checksum")]
        bad += [f"{len(data) - extent.length} bytes behind its end"] if extent.length < len(data) else []
        return True, bad[0] if bad else ""
    return not (leaf_end(view) or view.startswith(b"\x7fELF")), ""


def from_archive(view: View, spool: int) -> Listing:
    """The files of a tarball or zip; of a compressed stream, the one content, called ``stream`` (to be asked again)."""
    found = dissect(view, spool, Budget(output=4 << 30, entries=1_000_000), carve=False)
    cut = [n.detail for n in found.notes if n.code in ("truncated", "malformed", "checksum", "bomb", "hidden")]
    if not found.format:
        return Listing(problem="it is no archive that is known here")
    if found.error or cut:
        return Listing(problem=f"the {found.format} archive cannot be read whole: {found.error or cut[0]}")
    if found.format in _STREAMS:
        if len(found.contents) != 1:
            return Listing(problem=f"{len(found.contents)} {found.format} streams behind one another, which tools join")
        (content,) = found.contents
        return Listing(files=[SourceFile(path="stream", kind="stream", place=_place(content))])
    notes = [f"{n.code}: {n.path} {n.detail}" for n in found.notes][:50]
    contents = {c.member: c for c in found.contents}
    files = []
    for number, entry in enumerate(found.entries):
        path = entry.path.removeprefix("./")
        if entry.kind is Kind.SYMLINK:
            files.append(SourceFile(path=path, kind="link", link=entry.link))
        elif entry.kind in (Kind.FILE, Kind.HARDLINK):
            executable = bool(entry.mode & 0o111) if entry.mode >= 0 else None
            held = contents.get(number)
            data = _content(view, spool, held) if held else b""
            files.append(describe(path, data, _place(held) if held else None, executable))
        elif entry.kind is not Kind.DIR:
            notes.append(f"{path}: a {entry.kind.value} device or the like in a source archive")
            files.append(SourceFile(path=path, kind="special"))
    if found.format == "tar":
        files += [SourceFile(path=name, kind="special") for name in _dumps(view)]
    return Listing(files=files, notes=notes)


def _dumps(view: View) -> list[str]:
    """Members of a tar that some tools pass over or make folders of, and others (Python's tarfile, and so pip) unpack
    as files: labels and directory dumps of GNU tar."""
    sorts = bytes(view.mem(0, len(view))[156::512])
    places = [512 * found.start() for found in re.finditer(rb"[VD]", sorts)]
    heads = [view.take(at, 512) for at in places if at + 512 <= len(view)]
    return [clean_name(head[:100].rstrip(b"\0"))[0] for head in heads if is_header(head)]


def _place(content: Content) -> Place:
    return Place(content.start, content.length, not content.stored)


def _content(view: View, spool: int, content: Content) -> bytes:
    if content.stored:
        return view.take(content.start, content.length)
    pieces = []
    at, end = content.start, content.start + content.length
    while at < end:
        piece = os.pread(spool, end - at, at)
        if not piece:
            raise Malformed("content that is not there")
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)


def from_parts(data: View, parts: list[Part]) -> Listing:
    """The files of a folder, which were put into the input one after another."""
    files = []
    for part in parts:
        if part.kind != "file":
            files.append(SourceFile(path=part.path, kind=part.kind, link=part.link))
            continue
        content = data.take(part.place.start, part.place.length)
        executable = bool(part.mode & 0o111) if part.mode >= 0 else None
        files.append(describe(part.path, content, part.place, executable))
    return Listing(files=files)


def from_repository(data: View, task: str, parts: list[Part], ref: str, out: Output) -> Listing:
    """The files of a tag's or commit's tree."""
    views = {p.path: data.sub(p.place.start, p.place.length) for p in parts}
    store, refs = bundle(next(iter(views.values()))) if task == "bundle" else folder(views)
    found = resolve(store, refs, ref)
    files = []
    for raw, mode, name in walk(store, found.commit):
        path = clean_name(raw)[0]
        if mode == SUBMODULE:
            files.append(SourceFile(path=path, kind="submodule", link=name.hex()))
            continue
        content = store.get(name, BLOB)
        if mode == LINK:
            files.append(SourceFile(path=path, kind="link", link=clean_name(content)[0]))
        else:
            files.append(describe(path, content, out.put(content), bool(mode & 0o111)))
    return Listing(files=files, found=found)


def pairs(parts: list[Part]) -> Iterator[tuple[Part, Part]]:
    """Parts two by two."""
    return zip(parts[::2], parts[1::2], strict=True)
