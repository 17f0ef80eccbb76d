"""Hostile folders: copied, digested and searched without following a link or trusting a name.

All of it runs when no process of the build is left, so that nothing changes underneath.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from banbury.formats.contract import clean_name
from banbury.model.errors import InputError

_STEP: Final = 1 << 20
_NAMES: Final = 500_000
_DEPTH: Final = 200


class Entry(Struct, frozen=True):
    """One name below a folder: its path (bytes, relative), and what lstat says."""

    path: bytes
    mode: int
    size: int


def entries(top: Path) -> Iterator[Entry]:
    """Every name below a folder, a folder before what is in it, in order. Raises ``InputError`` at a bound."""
    waiting = [(b"", 0)]
    count = 0
    root = os.fsencode(top)
    while waiting:
        at, depth = waiting.pop()
        if depth > _DEPTH:
            raise InputError(f"folders more than {_DEPTH} deep")
        names = sorted(os.listdir(os.path.join(root, at)))
        below = []
        for name in names:
            path = os.path.join(at, name)
            found = os.lstat(os.path.join(root, path))
            count += 1
            if count > _NAMES:
                raise InputError(f"more than {_NAMES} names in a folder")
            if stat.S_ISDIR(found.st_mode):
                below.append((path, depth + 1))
            yield Entry(path, found.st_mode, found.st_size)
        waiting += reversed(below)


def digest_file(path: bytes | Path) -> str:
    """SHA-256 of a regular file, not through a link. Raises ``OSError``."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "not a regular file", path)
        counted = hashlib.sha256()
        while piece := file.read(_STEP):
            counted.update(piece)
    return counted.hexdigest()


def digest_tree(top: Path) -> tuple[str, int, int]:
    """SHA-256 over the kinds, names, executable bits and contents below a folder; number of files, and their bytes."""
    counted = hashlib.sha256()
    files, size = 0, 0
    root = os.fsencode(top)
    for entry in entries(top):
        full = os.path.join(root, entry.path)
        what = b"dir"
        if stat.S_ISREG(entry.mode):
            try:
                what = b"file %d %s" % (bool(entry.mode & 0o100), digest_file(full).encode())
            except PermissionError:
                what = b"unreadable"
            files, size = files + 1, size + entry.size
        elif stat.S_ISLNK(entry.mode):
            what = b"link " + os.readlink(full)
        elif not stat.S_ISDIR(entry.mode):
            what = b"special %o" % stat.S_IFMT(entry.mode)
        counted.update(b"%d %s %d %s\n" % (len(entry.path), entry.path, len(what), what))
    return counted.hexdigest(), files, size


def copy_tree(source: Path, target: Path, *, reverse: bool = False) -> None:
    """Copy a source tree: files, folders and links with their times; set-user bits go. Names are created in order,
    or in reversed order. Raises ``InputError`` for what a source tree does not hold."""
    try:
        _copy(os.fsencode(source), os.fsencode(target), list(entries(source)), reverse)
    except OSError as problem:
        raise InputError(f"the source tree cannot be copied: {problem.strerror}") from None


def _copy(root: bytes, goal: bytes, found: list[Entry], reverse: bool) -> None:
    folders = [e for e in found if stat.S_ISDIR(e.mode)]
    os.mkdir(goal, 0o755)
    for entry in folders:
        os.mkdir(os.path.join(goal, entry.path), 0o700)
    for entry in reversed(found) if reverse else found:
        one, other = os.path.join(root, entry.path), os.path.join(goal, entry.path)
        if stat.S_ISREG(entry.mode):
            shutil.copyfile(one, other, follow_symlinks=False)
        elif stat.S_ISLNK(entry.mode):
            os.symlink(os.readlink(one), other)
        elif not stat.S_ISDIR(entry.mode):
            raise InputError(f"{clean_name(entry.path)[0]}: a source tree holds files, folders and links only")
    for entry in [*(e for e in found if not stat.S_ISDIR(e.mode)), *reversed(folders)]:
        one, other = os.path.join(root, entry.path), os.path.join(goal, entry.path)
        known = os.lstat(one)
        if not stat.S_ISLNK(entry.mode):
            os.chmod(other, (stat.S_IMODE(entry.mode) & 0o777) | 0o600)
        os.utime(other, ns=(known.st_mtime_ns, known.st_mtime_ns), follow_symlinks=False)


def pattern(glob: str) -> re.Pattern[bytes]:
    """A glob over a relative path: ``*`` and ``?`` within a name, ``**`` for any folders. What lies between two stars
    is taken where it fits first (an atomic group), so that no glob takes longer than its length times the path's."""
    given = glob.split("/")
    parts = [part for part, before in zip(given, ["", *given], strict=False) if not part == before == "**"]
    if parts[-1] == "**":
        parts.append("*")
    runs: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(_name(part))
    first, *others = ["/".join(run) for run in runs]
    text = first + ("/" if first and others else "")
    for other in others[:-1]:
        text += f"(?>(?:[^/]+/)*?{other}/)"
    if others:
        text += f"(?:[^/]+/)*{others[-1]}"
    return re.compile(text.encode("utf-8", "surrogateescape"), re.DOTALL)


def _name(part: str) -> str:
    """One name's part of a glob."""
    first, *others = [re.escape(piece).replace(r"\?", "[^/]") for piece in part.split("*")]
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{piece})" for piece in others[:-1] if piece) + f"[^/]*{others[-1]}"


class Taken(Struct, frozen=True, kw_only=True):
    """An output that was taken out: the path it has in the build, a name, and where its copy is."""

    name: str
    sha256: str
    size: int
    mode: int
    copy: Path


def take(top: Path, globs: list[str], into: Path, *, largest: int) -> tuple[list[Taken], list[str]]:
    """Copy what the globs name out of a build's folder; and what is refused, each in a line."""
    wanted = [pattern(glob) for glob in globs]
    taken: list[Taken] = []
    refused: list[str] = []
    room = largest
    root = os.fsencode(top)
    into.mkdir(parents=True, exist_ok=True)
    for entry in entries(top):
        if not any(p.fullmatch(entry.path) for p in wanted) or stat.S_ISDIR(entry.mode):
            continue
        name = clean_name(entry.path)[0]
        if not stat.S_ISREG(entry.mode):
            kind = "a link" if stat.S_ISLNK(entry.mode) else "no regular file"
            refused.append(f"{name}: {kind}: not taken")
            continue
        room -= entry.size
        if room < 0 or len(taken) >= 10_000:
            refused.append(f"{name}: more output than is taken")
            continue
        # a number, not the build's name: nothing of it becomes a path here
        copy = into / f"{len(taken):05}"
        full = os.path.join(root, entry.path)
        shutil.copyfile(full, copy, follow_symlinks=False)
        mode = stat.S_IMODE(entry.mode)
        taken.append(Taken(name=name, sha256=digest_file(copy), size=entry.size, mode=mode, copy=copy))
    return taken, refused
