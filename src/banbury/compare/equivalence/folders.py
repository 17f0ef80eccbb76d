"""Two folders: what they hold, without following anything, and their files compared in batches."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from banbury.compare.equivalence.accounting import Account, Refused
from banbury.compare.equivalence.containers.contract import Change, shown
from banbury.compare.equivalence.model import FileVerdict, Verdict
from banbury.compare.equivalence.outcome import Content, Outcome, unexplained
from banbury.compare.equivalence.places import Entry, Files
from banbury.compare.equivalence.recurse import Recursion
from banbury.compare.equivalence.times import differences, told
from banbury.compare.equivalence.vouched import is_signature, wrong
from banbury.formats.contract import clean_name
from banbury.model.errors import InputError

_KINDS: Final = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "character device", stat.S_IFBLK: "block device",
}  # fmt: skip
_MOST: Final = 2_000_000
_BATCH: Final = 64  # files put into one input
_BATCH_BYTES: Final = 64 << 20


#: FS_IOC_GETFLAGS, and what chattr(1) sets that changes what can be done with a file: secure deletion, undelete,
#: synchronous, immutable, append only, no dump, no access times, journaled data, synchronous folder, top of the tree,
#: names without case (Linux, include/uapi/linux/fs.h).
_GETFLAGS: Final = 0x80086601
_FLAGS: Final = 0x3 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x4000 | 0x10000 | 0x20000 | 0x40000000


def _flags(path: bytes) -> int:
    """A file's or folder's flags, 0 where its file system has none, -1 where it cannot be read."""
    try:
        with _handle(path) as file:
            return int.from_bytes(fcntl.ioctl(file, _GETFLAGS, bytes(8))[:4], sys.byteorder) & _FLAGS
    except InputError:
        return -1
    except OSError:
        return 0


@contextmanager
def _supported() -> Iterator[None]:
    """Where a file system keeps no attributes, there are none."""
    try:
        yield
    except OSError as problem:
        if problem.errno != errno.EOPNOTSUPP:
            raise


class _Item:
    """One name below a folder."""

    def __init__(self, path: bytes) -> None:
        found = os.lstat(path)
        self.path, self.kind = path, _KINDS.get(stat.S_IFMT(found.st_mode), "unknown")
        self.time = found.st_mtime_ns  # only for what programs are known to decide by it
        self.size, self.link = found.st_size, (found.st_dev, found.st_ino, found.st_nlink)
        self.attributes: dict[str, object] = {"mode": f"{stat.S_IMODE(found.st_mode):04o}"}
        self.attributes |= {"uid": found.st_uid, "gid": found.st_gid}
        if self.kind == "symbolic link":
            self.attributes["link"] = os.readlink(path)
            del self.attributes["mode"]
        elif self.kind.endswith("device"):
            self.attributes["device"] = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        if self.kind in ("file", "directory") and (flags := _flags(path)):
            self.attributes["flags"] = f"{flags:#x}" if flags > 0 else "not readable"
        with _supported():
            for name in os.listxattr(path, follow_symlinks=False):
                self.attributes[f"xattr {name}"] = os.getxattr(path, name, follow_symlinks=False)


def compare_folders(run: Recursion, a: Path, b: Path) -> Outcome:
    """The outcome for two folders, their members in order of name. Raises ``InputError`` for what cannot be read."""
    try:
        ours, theirs = _items(os.fsencode(a)), _items(os.fsencode(b))
    except OSError as problem:
        raise InputError(f"{problem.filename!r}: {problem.strerror}") from None
    whole = Content(format="folder", own=_times(run, ours, theirs))
    files: list[tuple[Outcome, bytes, bytes, int]] = []
    signed: list[tuple[Outcome, str]] = []
    decided = _decided(ours, theirs)
    for name in sorted({*ours, *theirs}):
        one, other = ours.get(name), theirs.get(name)
        outcome = Outcome(name=clean_name(name)[0], changes=[*_changes(one, other), *decided.pop(name, ())])
        whole.members.append(outcome)
        if one is None or other is None:
            continue
        if one.kind == other.kind == "file":
            outcome.size_a, outcome.size_b = one.size, other.size
            files.append((outcome, one.path, other.path, one.size + other.size))
            signed += ((outcome, key) for key in one.attributes.keys() & other.attributes.keys() if is_signature(key))
        elif one.kind == "unknown" or other.kind == "unknown":
            outcome.content = unexplained("of a type that is not known")
    for name, changes in decided.items():  # by names that lead through links
        whole.members.append(Outcome(name=clean_name(name)[0], changes=changes))
    _compare_files(run, files)
    top = Outcome(name=clean_name(os.fsencode(b.name))[0] or ".", content=whole)
    run.settle(
        top, ((o, partial(_open, path)) for o, _, path, _ in files if o.sha256_a == o.sha256_b and not o.changes)
    )
    for outcome, key in signed:
        if outcome.sha256_a != outcome.sha256_b and not any(c.what == key for c in outcome.changes):
            outcome.changes.append(wrong(key))
    return top


def _times(run: Recursion, ours: dict[bytes, _Item], theirs: dict[bytes, _Item]) -> FileVerdict:
    """What is let go beside names, attributes and content: times, and that is an assumption."""
    account = Account(run.observed)
    moved = sorted(name for name in ours.keys() & theirs.keys() if ours[name].time != theirs[name].time)
    if moved:
        more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
        account.explain("folder.time", [], [], f"{clean_name(moved[0])[0]}{more}")
    return account.verdict(Verdict.METADATA if account.uses else Verdict.IDENTICAL)


def _items(root: bytes) -> dict[bytes, _Item]:
    """Every name below a folder; links are not followed. Names of one file are listed with each of them."""
    out: dict[bytes, _Item] = {b".": _Item(os.path.realpath(root))}
    waiting = [b""]
    while waiting:
        at = waiting.pop()
        for entry in os.listdir(os.path.join(root, at) if at else root):
            name = os.path.join(at, entry) if at else entry
            item = out[name] = _Item(os.path.join(root, name))
            if item.kind == "directory":
                waiting.append(name)
            if len(out) > _MOST:
                raise InputError(f"more than {_MOST} names in a folder")
    groups: dict[tuple[int, int, int], list[bytes]] = {}
    for name, item in out.items():
        if item.kind == "file" and item.link[2] > 1:
            groups.setdefault(item.link, []).append(name)
    for names in groups.values():
        if len(names) > 1:
            for name in names:
                out[name].attributes["names"] = b"\0".join(sorted(names))
    return out


def _changes(one: _Item | None, other: _Item | None) -> list[Change]:
    if one is None or other is None:
        known = one or other
        assert known is not None
        return [Change(what="removed", a=known.kind) if one else Change(what="added", b=known.kind)]
    if one.kind != other.kind:
        return [Change(what="type", a=one.kind, b=other.kind)]
    names = sorted({*one.attributes, *other.attributes})
    values = [(n, one.attributes.get(n), other.attributes.get(n)) for n in names]
    return [Change(what=n, a=shown(x), b=shown(y)) for n, x, y in values if x != y]


def _decided(ours: dict[bytes, _Item], theirs: dict[bytes, _Item]) -> dict[bytes, list[Change]]:
    """What programs would do otherwise on one side, by the times of its files."""
    found: dict[bytes, list[Change]] = {}
    try:
        for act, a, b in differences(_files(ours), _files(theirs)):
            found.setdefault(act.first, []).append(Change(what=act.what, a=told(a), b=told(b)))
    except Refused as answer:
        return {b".": [Change(what="times", a=str(answer))]}
    return found


def _files(side: dict[bytes, _Item]) -> Files:
    entries: dict[bytes, Entry] = {}
    for name, item in side.items():
        link = item.attributes.get("link")
        target = os.fsencode(link) if isinstance(link, (str, bytes)) else b""
        if name != b".":
            entries[name] = Entry(item.kind, item.time, item.size, target)

    def head(path: bytes) -> bytes:
        with _open(side[path].path) as file:
            return file.read(16)

    return Files(entries, head)


def _compare_files(run: Recursion, files: list[tuple[Outcome, bytes, bytes, int]]) -> None:
    batch: list[tuple[Outcome, bytes, bytes, int]] = []
    size = 0
    for item in files:
        if batch and (len(batch) >= _BATCH or size + item[3] > _BATCH_BYTES):
            _compare_batch(run, batch)
            batch, size = [], 0
        batch.append(item)
        size += item[3]
    if batch:
        _compare_batch(run, batch)


def _compare_batch(run: Recursion, batch: list[tuple[Outcome, bytes, bytes, int]]) -> None:
    with ExitStack() as opened:
        named = [(o.name, opened.enter_context(_open(a)), opened.enter_context(_open(b))) for o, a, b, _ in batch]
        for (outcome, *_), found in zip(batch, run.files(named, beside=True), strict=True):
            outcome.content, outcome.samples = found.content, found.samples
            outcome.size_a, outcome.size_b = found.size_a, found.size_b
            outcome.sha256_a, outcome.sha256_b = found.sha256_a, found.sha256_b
            run.stands(found, outcome)


def _open(path: bytes) -> IO[bytes]:
    """A regular file, not through a link, never waiting."""
    with _handle(path) as handle:
        return os.fdopen(os.dup(handle), "rb")


@contextmanager
def _handle(path: bytes) -> Iterator[int]:
    """A file or folder, open for reading, not through a link, never waiting."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        raise InputError(f"{path!r}: {problem.strerror}") from None
    try:
        yield handle
    finally:
        os.close(handle)
