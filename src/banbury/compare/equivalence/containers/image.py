"""Images that are a row of parts, and vendors' headers: parts at the same places, everything between them equal.

The formats' readers say where the parts are; nothing of what they say is trusted for more. Every byte outside of the
parts must be equal in both images at the same place, headers and checksums too, or constant fill where a part became
shorter or longer. So a header with a checksum over a part that differs is ``unexplained`` until its format has a
comparator of its own; a checksum that is the same on both sides, and so wrong on one, is looked for in its usual forms.
"""

from __future__ import annotations

from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._sums import standing
from banbury.compare.equivalence.containers.contract import Place, Work
from banbury.compare.equivalence.model import Range
from banbury.formats.dissect import dissect
from banbury.formats.sink import Budget
from banbury.formats.view import View
from banbury.model.tree import Dissection

_LARGEST: Final = 512 << 20  # bytes of an image that is searched for parts
_FILLS: Final = (0x00, 0xFF)
_DIFFER: Final = "headers, checksums or bytes that nobody reads differ"
_NO_FILL: Final = "no constant fill where a part is of another size"
#: What a driver or an archiver reads as a tree of names, not a boot loader as parts at places.
_TREES: Final = frozenset((
    "ar", "cpio", "cpio-binary", "cramfs", "ext", "fat", "iso9660", "jffs2", "minix", "npk", "romfs", "squashfs", "tar",
    "tar-v7", "ubi", "ubifs", "yaffs", "zip",
))  # fmt: skip
_DAMAGE: Final = frozenset(("malformed", "truncated", "checksum", "bomb", "loop", "encrypted"))


def compare_image(work: Work) -> str:
    """Compare two images part by part. Returns the reader's name. Raises ``Refused`` where that is not possible."""
    if max(len(work.a), len(work.b)) > _LARGEST:
        raise Refused("image", f"more than {_LARGEST >> 20} MiB without a format that is decided")
    one, other = (_parts(view) for view, _ in work.sides)
    if one[0] != other[0]:
        raise Refused("image", f"{one[0] or 'no format'} against {other[0] or 'no format'}")
    ours, theirs = one[1], other[1]
    if [p[:2] for p in ours] != [p[:2] for p in theirs]:
        raise Refused("image", "other parts, or parts at other places")
    _between(work, [(s, e) for s, _, e, _ in ours], [(s, e) for s, _, e, _ in theirs])
    spans = [[(start, end) for start, _, end, _ in parts] for parts in (ours, theirs)]
    if work.a.startswith(b"#!"):
        raise Refused("image", "a script: it says what becomes of the parts")
    for found in (standing(work.a, spans[0], work.b, spans[1]), standing(work.b, spans[1], work.a, spans[0])):
        if found:
            work.account.refuse("checksum", f"outside of the parts stands {found}")
    work.account.explain("image.parts", [Range(0, len(work.a))], [Range(0, len(work.b))], one[0])
    for (start, _, end, path), (_, _, stop, _) in zip(ours, theirs, strict=True):
        places = Place(work.place_a.start + start, end - start), Place(work.place_b.start + start, stop - start)
        work.member(path.encode(), *places)
    return one[0]


def _parts(view: View) -> tuple[str, list[tuple[int, str, int, str]]]:
    """The format, and of each part its start, format, end and path; in order, none overlapping another."""
    found = dissect(view, -1, Budget(output=0), carve=True)  # nothing is written: members must stand in the image
    damage = [note.detail for note in found.notes if note.code in _DAMAGE]
    if found.format in _TREES:
        raise Refused("file", f"differs, and {found.format} is not decided")
    if not found.format or found.error or damage:
        raise Refused(
            "file", "; ".join(["differs, and is of no format that is decided", found.error, *damage[:2]]).strip("; ")
        )
    if any(not content.stored or not content.complete for content in found.contents):
        raise Refused("file", f"differs, and {found.format} is not decided")
    if any(not check.ok for check in found.checks):
        raise Refused("checksum", f"of {found.format} does not match")
    out = sorted(_part(found, number) for number in range(len(found.contents)))
    end = 0
    for start, _, stop, _ in out:
        if start < end:
            raise Refused("image", "parts that overlap")
        end = stop
    if not out or (out[0][0] == 0 and out[0][2] == len(view)):
        raise Refused("file", f"differs, and {found.format} is not decided")
    return found.format, out


def _part(found: Dissection, number: int) -> tuple[int, str, int, str]:
    content = found.contents[number]
    entry = found.entries[content.member]
    return content.start, entry.format, content.start + content.length, entry.path


def _between(work: Work, ours: list[tuple[int, int]], theirs: list[tuple[int, int]]) -> None:
    """What lies before, between and behind the parts."""
    starts = [start for start, _ in ours]
    gaps_a = list(zip([0, *(end for _, end in ours)], [*starts, len(work.a)], strict=True))
    gaps_b = list(zip([0, *(end for _, end in theirs)], [*starts, len(work.b)], strict=True))
    for one, other in zip(gaps_a, gaps_b, strict=True):
        ranges = Range(*one), Range(*other)
        if one == other:
            a = Place(work.place_a.start + one[0], one[1] - one[0])
            b = Place(work.place_b.start + other[0], other[1] - other[0])
            if not work.same(a, b):
                work.account.refuse("between parts", _DIFFER, [ranges[0]], [ranges[1]])
            continue
        fills = {_fill(work.a, *one), _fill(work.b, *other)} - {None}
        if len(fills) > 1 or not fills <= set(_FILLS):
            work.account.refuse("between parts", _NO_FILL, [ranges[0]], [ranges[1]])
        else:
            work.account.explain("image.fill", [ranges[0]], [ranges[1]])


def _fill(view: View, start: int, end: int) -> int | None:
    """The byte that fills a stretch, ``None`` of an empty one, -1 where it is not constant."""
    if start >= end:
        return None
    return view.u8(start) if view.run(start, end) == end - start else -1
