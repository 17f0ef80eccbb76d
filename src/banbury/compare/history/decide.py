"""The front door: a release's source and a repository in, a report out."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from banbury.compare.equivalence.recurse import copy_in, scratch
from banbury.compare.history.model import Listing, Part, Place, Request, SourceFile
from banbury.compare.history.report import FileStatus, HistoryReport, report
from banbury.compare.history.tree import compare_sources, strip_top
from banbury.compare.history.worker import TASK
from banbury.formats.contract import clean_name
from banbury.lab.regular import open_regular
from banbury.lab.supervisor import Supervisor
from banbury.model.errors import InputError

_STEP: Final = 1 << 20
_MOST: Final = 1_000_000  # files of a folder
_ROOM: Final = 4 << 30
_DEEPEST: Final = 4  # streams around an archive
_EXPLAINED: Final = 100  # changed texts that are told apart line by line
_TEXT: Final = 4 << 20


class _Side:
    """One source tree: what a worker said of it, and the open file that its contents stand in."""

    def __init__(self, listing: Listing, source: int, spool: int) -> None:
        self.listing, self.source, self.spool = listing, source, spool

    def read(self, place: Place) -> bytes:
        return os.pread(self.spool if place.spool else self.source, place.length, place.start)


def trace(release: Path, repository: Path, tag: str = "", regenerated: Path | None = None) -> HistoryReport:
    """Compare the source of ``release`` (a tarball, a zip or a folder) with a repository's ``tag`` (a git bundle, a git
    folder), or with a plain tree where no tag is given. ``regenerated`` is a tree in which the laboratory itself
    generated the files that the repository does not hold. Raises ``InputError`` for what cannot be used."""
    with Supervisor(TASK) as supervisor, ExitStack() as held:
        run = _Run(supervisor, held)
        ours = run.tree(release)
        theirs = run.history(repository, tag) if tag else run.tree(repository)
        again = run.tree(regenerated) if regenerated else None
        rows = compare_sources(
            strip_top(ours.listing.files),
            strip_top(theirs.listing.files) if not tag else theirs.listing.files,
            strip_top(again.listing.files) if again else [],
        )
        _explain(run, rows, ours, theirs)
    names = [clean_name(bytes(p))[0] for p in (release, repository)]
    notes = [*ours.listing.notes, *theirs.listing.notes]
    return report(names[0], names[1], tag, theirs.listing.found, rows, notes, regenerated is not None)


class _Run:
    def __init__(self, supervisor: Supervisor, held: ExitStack) -> None:
        self._supervisor, self._held = supervisor, held

    def tree(self, path: Path) -> _Side:
        """The files of a folder or archive."""
        if path.is_dir():
            source = self._held.enter_context(scratch())
            return self._asked(path, Request(task="folder", parts=_folder(path, source), room=_ROOM), source)
        source, part = self._single(path)
        side = self._asked(path, Request(task="archive", parts=[part], room=_ROOM), source)
        for _ in range(_DEEPEST):
            files = side.listing.files
            if len(files) != 1 or files[0].kind != "stream" or files[0].place is None:
                return side
            source = side.spool if files[0].place.spool else side.source
            inner = Part(path=part.path, place=Place(files[0].place.start, files[0].place.length))
            side = self._asked(path, Request(task="archive", parts=[inner], room=_ROOM), source)
        raise InputError(f"{path}: streams within streams and no archive")

    def history(self, path: Path, tag: str) -> _Side:
        """The files of a tag of a bundle or of a git folder."""
        if path.is_dir():
            inner = path / ".git" if (path / ".git").is_dir() else path
            if (inner / "objects" / "info" / "alternates").exists():
                raise InputError(f"{path}: the repository borrows objects from another; make a bundle of it with --all")
            source = self._held.enter_context(scratch())
            parts = _folder(inner, source, repository=True)
            if not any(p.path.startswith("objects/") for p in parts):
                raise InputError(f"{path}: there is no git repository in this folder")
            return self._asked(path, Request(task="repository", parts=parts, room=_ROOM, ref=tag), source)
        source, part = self._single(path)
        return self._asked(path, Request(task="bundle", parts=[part], room=_ROOM, ref=tag), source)

    def lines(self, parts: list[Part], source: int) -> list[list[str]]:
        """Texts two by two, told apart."""
        spool = self._held.enter_context(scratch())
        reply = self._supervisor.run(msgspec.msgpack.encode(Request(task="lines", parts=parts, room=0)), source, spool)
        if reply.death:
            return []
        found = msgspec.msgpack.decode(reply.payload, type=Listing).lines
        return found if len(found) * 2 == len(parts) else []

    def _single(self, path: Path) -> tuple[int, Part]:
        source = self._held.enter_context(scratch())
        try:
            with open_regular(path) as file:
                length = copy_in(file, source, 0)
        except OSError as problem:
            raise InputError(f"{path}: {problem.strerror}") from None
        return source, Part(path=clean_name(bytes(Path(path.name)))[0], place=Place(0, length))

    def _asked(self, path: Path, request: Request, source: int) -> _Side:
        spool = self._held.enter_context(scratch())
        kept: list[Listing] = []

        def accept(data: bytes) -> None:
            kept[:] = [_checked(data, os.fstat(source).st_size, os.fstat(spool).st_size)]

        reply = self._supervisor.run(msgspec.msgpack.encode(request), source, spool, accept=accept)
        if reply.death:
            raise InputError(f"{path}: the process that read it ended: {reply.death}")
        (listing,) = kept
        if listing.problem:
            raise InputError(f"{path}: {listing.problem}")
        return _Side(listing, source, spool)


def _checked(data: bytes, size: int, spooled: int) -> Listing:
    """A worker's answer, its places within what there is. Raises ``ValueError``."""
    try:
        listing = msgspec.msgpack.decode(data, type=Listing)
    except msgspec.MsgspecError as problem:
        raise ValueError(str(problem)) from None
    for file in listing.files:
        place = file.place
        if place and not 0 <= place.start <= place.start + place.length <= (spooled if place.spool else size):
            raise ValueError("a place outside of what there is")
    return listing


def _of_repository(path: str) -> bool:
    """Whether a file of a git folder is read: references, loose objects, packs with their indexes."""
    if path.startswith("objects/pack/"):
        return path.endswith((".pack", ".idx"))
    return path in ("config", "packed-refs") or path.startswith(("refs/", "objects/"))


def _folder(root: Path, source: int, *, repository: bool = False) -> list[Part]:
    """Put the files below a folder into an open file, in order of name; links are listed and not followed."""
    parts: list[Part] = []
    at = 0
    base = os.fsencode(root)
    waiting = [b""]
    try:
        while waiting:
            above = waiting.pop()
            for name in sorted(os.listdir(os.path.join(base, above) if above else base)):
                relative = os.path.join(above, name) if above else name
                path = clean_name(relative)[0]
                found = os.lstat(os.path.join(base, relative))
                if stat.S_ISDIR(found.st_mode):
                    if repository or relative != b".git":  # the release's own repository is no part of its source
                        waiting.append(relative)
                elif repository and not _of_repository(path):
                    continue
                elif stat.S_ISLNK(found.st_mode):
                    link = clean_name(os.readlink(os.path.join(base, relative)))[0]
                    parts.append(Part(path=path, place=Place(at, 0), kind="link", link=link))
                elif stat.S_ISREG(found.st_mode):
                    handle = os.open(os.path.join(base, relative), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                    with os.fdopen(handle, "rb") as file:
                        length = copy_in(file, source, at)
                    mode = stat.S_IMODE(found.st_mode)
                    parts.append(Part(path=path, place=Place(at, length), mode=mode))
                    at += length
                else:
                    parts.append(Part(path=path, place=Place(at, 0), kind="special"))
                if len(parts) > _MOST:
                    raise InputError(f"{root}: more than {_MOST} files")
    except OSError as problem:
        raise InputError(f"{root}: {problem.strerror}") from None
    return sorted(parts, key=lambda p: p.path)


def _explain(run: _Run, rows: list[FileStatus], ours: _Side, theirs: _Side) -> None:
    """Say which lines differ in texts that both sides have."""
    chosen: list[tuple[int, SourceFile, SourceFile]] = []
    mine = {f.path: f for f in strip_top(ours.listing.files)}
    others = {f.path: f for f in strip_top(theirs.listing.files)} | {f.path: f for f in theirs.listing.files}
    for number, row in enumerate(rows):
        a, b = others.get(row.path), mine.get(row.path)
        if row.told_apart and a and b and a.place and b.place and max(a.size, b.size) <= _TEXT:
            chosen.append((number, a, b))
    with scratch() as source:
        parts, at = [], 0
        for _, a, b in chosen[:_EXPLAINED]:
            for side, file in ((theirs, a), (ours, b)):
                assert file.place is not None
                content = side.read(file.place)
                os.pwrite(source, content, at)
                parts.append(Part(path=file.path, place=Place(at, len(content))))
                at += len(content)
        if parts:
            for (number, _, _), lines in zip(chosen, run.lines(parts, source), strict=False):
                rows[number] = msgspec.structs.replace(rows[number], lines=lines)
