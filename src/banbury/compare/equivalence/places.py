"""Paths in a tree and where they lead: through symbolic links, within the tree, as the system follows them.

Source: path_resolution(7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

SECOND: Final = 1_000_000_000  # nanoseconds
_HOPS: Final = 40  # links in one path, as Linux follows them
_WAYS: Final = 8  # places that one link may mean


class Entry(Struct, frozen=True):
    """One name in a tree. ``kind`` is ``file`` (hard links too), ``directory``, ``symbolic link`` or another; ``time``
    is that of the last change in nanoseconds since 1970, or anything that can only be compared."""

    kind: str
    time: object
    size: int = 0
    target: bytes = b""


class Files:
    """A tree as far as times decide anything in it. ``entries``: by path, without ``./`` and slashes at either end;
    ``head``: the first bytes of a file (16 or more, fewer where it is shorter)."""

    def __init__(self, entries: Mapping[bytes, Entry], head: Callable[[bytes], bytes]) -> None:
        self.entries, self.head = entries, head
        self._found: dict[bytes, list[bytes]] = {}
        self.newest: dict[bytes, object] = {}  # what was worked out of times below a folder

    def resolve(self, path: bytes) -> list[bytes]:
        """Where a path leads; nothing where that is out of the tree, or cannot be told. Several places where a link
        begins at the root: a tree may hold a file system in a folder."""
        if path not in self._found:
            self._found[path] = self._resolve(path)
        return self._found[path]

    def _resolve(self, path: bytes) -> list[bytes]:
        out: set[bytes] = set()
        waiting = [path]
        for _ in range(_HOPS * _WAYS):
            if not waiting:
                return sorted(out)
            whole, more = self._step(waiting.pop())
            waiting += more
            if not more and whole in self.entries:
                out.add(whole)
        return []

    def _step(self, path: bytes) -> tuple[bytes, list[bytes]]:
        """Follow the first link of a path: where it ends, or what it leads on to."""
        at: list[bytes] = []
        parts = [p for p in path.split(b"/") if p not in (b"", b".")]
        for number, part in enumerate(parts):
            if part == b"..":
                del at[-1:]
                continue
            at.append(part)
            entry = self.entries.get(b"/".join(at))
            if entry is not None and entry.kind == "symbolic link":
                rest = [entry.target, *parts[number + 1 :]]
                roots = [at[:n] for n in range(len(at))] if entry.target.startswith(b"/") else [at[:-1]]
                return b"", [b"/".join([*root, *rest]) for root in roots[:_WAYS]]
        return b"/".join(at), []

    def seconds(self, path: bytes) -> object:
        """When what stands at a path that is no link was last changed."""
        time = self.entries[path].time
        return time // SECOND if isinstance(time, int) else time
