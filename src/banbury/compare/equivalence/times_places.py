"""Where in a tree the paths of the table of times (``times.toml``) are: as names, and through links.

A tree may hold a file system in any folder, and a path may lead through linked folders: ``/etc/init.d`` may be a link,
and what starts ``/etc/init.d/sysfixtime`` goes through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.places import Files

_LINK: Final = "symbolic link"
_MOST: Final = 4096  # links, beside one for each name


def last(path: str) -> bytes:
    """The last name of a path."""
    return path.rpartition("/")[2].encode()


def leading(files: Files, paths: Iterable[str]) -> dict[str, list[bytes]]:
    """For each path of the table, what of the tree leads to it below any folder: names, and names through links."""
    wanted = list(dict.fromkeys(paths))
    ends: dict[bytes, list[tuple[str, bytes, bytes]]] = {}  # by last name: the path, its beginning, and the rest
    for path in wanted:
        parts = path.encode().split(b"/")
        for count in range(1, len(parts) + 1):
            start, rest = b"/".join(parts[:count]), b"/".join([b"", *parts[count:]]) if count < len(parts) else b""
            ends.setdefault(parts[count - 1], []).append((path, start, rest))
    out: dict[str, list[bytes]] = {path: [] for path in wanted}
    left = _MOST + len(files.entries)
    for name, entry in files.entries.items():
        for path, start, rest in ends.get(name.rpartition(b"/")[2], ()):
            if not (name == start or name.endswith(b"/" + start)):
                continue
            if not rest:
                out[path].append(name)
            elif entry.kind == _LINK and name + rest not in files.entries:
                left -= 1
                if left < 0:
                    raise Refused("times", "too many links to follow")
                out[path] += [name + rest] if files.resolve(name + rest) else []
    return out


def programs(files: Files, path: str) -> Iterator[bytes]:
    """A program by the end of its last name, wherever it stands: started by another name, it does the same."""
    end = last(path)
    for name, entry in files.entries.items():
        if not name.endswith(end) or entry.kind == "directory":
            continue
        if entry.kind != _LINK or not any(place.endswith(end) for place in files.resolve(name)):
            yield name


def beside(files: Files, name: bytes, below: str) -> Iterator[bytes]:
    """The folders ``below`` of every file system that a file may be of: those that begin at a folder above it."""
    while name:
        name = name.rpartition(b"/")[0]
        found = (name + b"/" if name else b"") + below.encode()
        if files.resolve(found):
            yield found
