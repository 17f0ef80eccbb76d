"""What a sandboxed worker does for a comparison with a repository. Its answers are checked by :mod:`.decide`."""

from __future__ import annotations

import difflib
import mmap
from collections.abc import Callable
from typing import Final

import msgspec

from banbury.compare.history import trees
from banbury.compare.history.marks import marks, origins
from banbury.compare.history.model import Listing, Part, Request
from banbury.formats.registry import readers
from banbury.formats.view import View
from banbury.model.errors import BudgetExceeded, Malformed

TASK: Final = "banbury.compare.history.worker:run"
_LINES: Final = 4000  # lines of a text that are compared line by line
_SHOWN: Final = 60
_LONGEST: Final = 300  # characters of a line


def prepare() -> None:
    """Import everything a worker may need, in the process that workers are forked from."""
    import lz4.frame  # noqa: F401
    import zstandard  # noqa: F401

    readers()
    origins()
    marks()


def run(payload: bytes, data: mmap.mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """The task of :class:`banbury.lab.supervisor.Supervisor`: a request in, a listing out (both MessagePack)."""
    request = msgspec.msgpack.decode(payload, type=Request)
    step(request.task)
    try:
        listing = _listing(request, View(data, 0, len(data)), spool)
    except (Malformed, BudgetExceeded) as problem:
        listing = Listing(problem=str(problem))
    step("answer")
    return msgspec.msgpack.encode(listing)


def _listing(request: Request, view: View, spool: int) -> Listing:
    if request.task == "lines":
        return Listing(lines=[_told_apart(view, a, b) for a, b in trees.pairs(request.parts)])
    if request.task == "archive":
        (part,) = request.parts
        return trees.from_archive(view.sub(part.place.start, part.place.length), spool)
    if request.task == "folder":
        return trees.from_parts(view, request.parts)
    out = trees.Output(spool, request.room)
    return trees.from_repository(view, request.task, request.parts, request.ref, out)


def _told_apart(view: View, a: Part, b: Part) -> list[str]:
    """The first lines of a unified difference of two texts, each cut to a length."""
    sides = [view.take(p.place.start, p.place.length).decode("utf-8", "backslashreplace") for p in (a, b)]
    lines = [[line[:_LONGEST] for line in side.splitlines()[:_LINES]] for side in sides]
    out = []
    for line in difflib.unified_diff(lines[0], lines[1], "repository", "release", lineterm="", n=1):
        out.append(line)
        if len(out) >= _SHOWN:
            out.append("...")
            break
    return out[2:]
