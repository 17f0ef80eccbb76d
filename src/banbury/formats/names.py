"""What is odd or hostile about the names, links and devices of a tree, noted the same way for every format."""

from __future__ import annotations

from banbury.formats.contract import Sink, clean_name
from banbury.model.tree import Entry, Kind

#: Linux's PATH_MAX; a longer path cannot be opened.
_PATH_MAX = 4096
#: Ancestors looked up for each entry; a deeper path is noted as odd instead.
_DEPTH = 128


class Names:
    """The names met so far in one tree. ``note`` each entry in the container's order, then ``finish``.

    Paths are compared without ``.`` and empty components. An absolute symbolic link counts from the tree's own root,
    as it does where the tree is a root file system, and so escapes only by ``..``.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._seen: dict[str, Kind] = {}
        self._links: dict[str, str] = {}

    def note(self, entry: Entry) -> None:
        """Note what is odd about ``entry`` in itself and beside those before it."""
        path = entry.path
        parts, climbs = _resolve([], path)
        if (entry.raw and clean_name(entry.raw)[1]) or (not parts and entry.kind is not Kind.DIR):
            self._sink.note(
                "odd-name",
                "empty, not UTF-8, with control bytes, or with text that looks like those escaped",
                path=path,
            )
        if climbs or entry.raw.startswith(b"/"):
            self._sink.note("path-traversal", "climbs out of the tree" if climbs else "an absolute path", path=path)
        if len(path) > _PATH_MAX or len(parts) > _DEPTH:
            self._sink.note("odd-name", f"{len(path)} characters, {len(parts)} components", path=path[:_PATH_MAX])
        elif self._links:
            self._behind_link(parts, path)
        key = "/".join(parts)
        before = self._seen.get(key)
        self._seen[key] = entry.kind
        if before is not None and not before is entry.kind is Kind.DIR:
            self._sink.note("duplicate-name", f"a {entry.kind} after a {before}", path=path)
        if entry.kind in {Kind.CHAR, Kind.BLOCK}:
            self._device(parts, entry)
        elif entry.link:
            self.link(entry)

    def _behind_link(self, parts: list[str], path: str) -> None:
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above in self._links:
                self._sink.note("path-traversal", f"lies behind the symbolic link {above}", path=path)
                return

    def _device(self, parts: list[str], entry: Entry) -> None:
        if parts[:1] != ["dev"]:
            major, minor = entry.rdev or (-1, -1)
            self._sink.note("device-node", f"{entry.kind} device {major}:{minor} outside dev", path=entry.path)

    def link(self, entry: Entry) -> None:
        """Note what is odd about a link's target; for readers that learn the target after the name."""
        parts, _ = _resolve([], entry.path)
        relative = entry.kind is Kind.SYMLINK and not entry.link.startswith("/")
        target, climbs = _resolve(parts[:-1] if relative else [], entry.link)
        if climbs:
            self._sink.note("link-escape", f"leads to {entry.link}", path=entry.path)
        if entry.kind is Kind.HARDLINK:
            return
        if target[: len(parts)] == parts:
            self._sink.note("link-loop", f"leads to itself: {entry.link}", path=entry.path)
        elif len(entry.link) <= _PATH_MAX:
            self._links["/".join(parts)] = "/".join(target)

    def finish(self) -> None:
        """Note every ring of symbolic links that lead straight to one another, once."""
        done: set[str] = set()
        for first in self._links:
            ring: dict[str, None] = {}
            at = first
            while at in self._links and at not in done:
                done.add(at)
                ring[at] = None
                at = self._links[at]
            if at in ring:
                self._sink.note("link-loop", f"one of a ring of symbolic links that returns to {at}", path=at)


def _resolve(base: list[str], path: str) -> tuple[list[str], bool]:
    """The components of ``path`` seen from ``base``, and whether it climbs above the root on its way."""
    if "." not in path:
        return base + [part for part in path.split("/") if part], False
    parts = list(base)
    climbs = False
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
            else:
                climbs = True
        elif part not in {"", "."}:
            parts.append(part)
    return parts, climbs
