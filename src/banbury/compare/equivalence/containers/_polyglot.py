"""Files that are two formats at once: what one reader passes over is another's directory.

A ZIP is read from its end (APPNOTE.TXT 6.3.10, 4.3.16; CPython, ``zipfile._EndRecData``, takes a file with anything
before the archive and a comment of any length). So a tar or an image may be an application to ``python3 FILE`` or
``java -jar``, and the order of its members, which is free to tar, says which code stands where the directory points.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.compare.equivalence.containers.contract import Place, Work
from banbury.formats.view import View

_END: Final = b"PK\5\6"
_ZIP64: Final = b"PK\6\7"
_ENTRY: Final = b"PK\1\2"
_REACH: Final = 65535 + 22  # bytes from the end in which readers look for the end record
_FIRST: Final = (b"#!", b"MZ", b"\x7fELF")


def runs_from_its_start(view: View) -> bool:
    """Whether a file that is an archive by what stands further on is a program by its first bytes: to the kernel, to
    firmware, or to a shell, which reads lines."""
    return any(view.startswith(magic) for magic in _FIRST) or b"\n" in view.take(0, min(len(view), 100))


def directory_behind(work: Work) -> str:
    """Why a pair of another format than ZIP is one to a reader of ZIP as well; ``""`` where it is none, or where the
    archive lies within one member. To be asked when the members are listed."""
    for view, place, places in (
        (work.a, work.place_a, [m.a for m in work.members if m.a]),
        (work.b, work.place_b, [m.b for m in work.members if m.b]),
    ):
        for start, end in _directories(view):
            if not any(_holds(p, place.start + start, place.start + end) for p in places):
                return f"a ZIP's directory ends at {end}, and what it points to is not one member"
    return ""


def _holds(member: Place, start: int, end: int) -> bool:
    return not member.spool and member.start <= start and end <= member.start + member.length


def _directories(view: View) -> Iterator[tuple[int, int]]:
    """Where each archive begins that a reader might find at the end, and where its directory ends. Some go back by the
    directory's size (Python, Java), others (BusyBox's unzip, yauzl) go by its offset in the file alone."""
    at = max(len(view) - _REACH, 0)
    while (at := view.find(_END, at)) >= 0:
        if at + 22 <= len(view):
            size, offset = view.u32(at + 12), view.u32(at + 16)
            if at >= 20 and view.take(at - 20, 4) == _ZIP64:
                yield -1, at  # offsets elsewhere: not followed
            if size <= at and view.take(at - size, 4) == _ENTRY:
                yield at - size - offset, at
            if offset <= at and view.take(offset, 4) == _ENTRY:
                yield 0, at
        at += 1
