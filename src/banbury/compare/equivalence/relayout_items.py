"""Data whose texts changed their length: the stretches that moved, and why.

The labels of a section are the addresses in it that anything refers to. Between two labels lies an item. Where the
shift stays the same from one item to the next, bytes are equal. Where it changes (a *break*), the item before
must be text in which a declared value was replaced, or the linker's padding must have changed with the alignment of
what follows; nothing else can change a shift.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.literals import declared_texts, is_text
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_before import Before
from banbury.compare.equivalence.relayout_map import Piece
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.compare.equivalence.relayout_pools import Pool
from banbury.compare.equivalence.relayout_strayed import Gone

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
#: A text that changed its length: its address in the first file, and its length with the NUL in both.
Text = tuple[int, int, int]
_MOST_ALIGN = 64
_LONGEST = 65536  # bytes of one text
_LABELS = 64  # in one text
_NO_TEXT = re.compile(rb"[^\t\n\r\x20-\x7e]")


def labels(one: Part, other: Part, old: Ints, new: Ints) -> tuple[Ints, Ints]:
    """The labels of a section in both files, in order, from all references. Raises :class:`Refused` where one label
    means two things, or their order changed."""
    inside = (old >= one.addr) & (old < one.addr + one.size)
    pairs = np.unique(np.stack((old[inside], new[inside]), axis=1), axis=0)
    first = np.array([[one.addr, other.addr]], np.int64)
    if not len(pairs) or pairs[0, 0] != one.addr:
        pairs = np.concatenate((first, pairs))
    good = (pairs[:, 1] >= other.addr) & (pairs[:, 1] < other.addr + other.size)
    if pairs[0, 1] != other.addr or not good.all():
        raise Refused(one.name, "a reference leaves the section in one of the files")
    if (np.diff(pairs[:, 0]) <= 0).any() or (np.diff(pairs[:, 1]) <= 0).any():
        raise Refused(one.name, "two references to one place lead to different places, or the order changed")
    return pairs[:, 0], pairs[:, 1]


def constant(one: Part, other: Part, old: Ints, new: Ints) -> bool:
    """Whether a section moved as a whole."""
    shift = other.addr - one.addr
    return one.size == other.size and bool((new - old == shift).all())


def pieces_of(one: Part, other: Part, old: Ints, new: Ints) -> list[Piece]:
    """The stretches of a section that have one shift each."""
    shifts = new - old
    cuts = np.flatnonzero(np.diff(shifts)) + 1
    begin = [0, *cuts.tolist()]
    out = []
    for number, index in enumerate(begin):
        last = number + 1 == len(begin)
        end = one.addr + one.size if last else int(old[begin[number + 1]])
        end_b = other.addr + other.size if last else int(new[begin[number + 1]])
        shift = int(shifts[index])
        out.append(Piece(int(old[index]), min(end, end_b - shift), shift))
    return out


def compare_items(
    pair: Pair,
    parts: tuple[Part, Part],
    sides: tuple[U8, U8],
    split: tuple[Ints, Ints],
    before: Before,
    marks: tuple[Mask, Mask],
    objects: Objects | Pool,
    gone: Gone,
) -> list[Text]:
    """Compare the contents of a section that moved in pieces. ``sides``: its bytes, the first file's with every
    reference already replaced by the second file's; ``split``: its labels; ``before``: the addresses that code makes;
    ``marks``: which bytes are references, and which of these are of tables of jumps; ``objects``: of the first file,
    or its pool of texts where it has no symbols; ``gone``: texts that stand elsewhere.
    Returns the texts that changed their length: see :data:`Text`. Raises :class:`Refused`."""
    (one, other), (a, b), (old, new), (words, tables) = parts, sides, split, marks
    texts: list[Text] = []
    whole = a.tobytes(), b.tobytes()
    begin = np.append(old - one.addr, one.size)
    begin_b = np.append(new - other.addr, other.size)
    for index in sorted({*_suspects(a, b, begin, begin_b), *gone.items((begin, begin_b))}):
        x1, x2, y1, y2 = (int(v) for v in (begin[index], begin[index + 1], begin_b[index], begin_b[index + 1]))
        item, item_b = gone.cut(0, a, x1, x2), gone.cut(1, b, y1, y2)
        lost, came = gone.within(0, x1, x2), gone.within(1, y1, y2)
        same = len(item) == len(item_b) and _same_length(pair, one, other, item, item_b, x1, y1)
        if same and not lost and not came:
            continue
        shut = x2 < len(a) and y2 < len(b) and not a[x2] and not b[y2]
        grown = 0 if same else _item(pair, one, other, item, item_b, (x1, y1), shut=shut)
        if grown:
            content = item.rstrip(b"\0")
            first = content.rfind(b"\0") + 1
            found = _named(one, whole, (begin, begin_b), (x1 + first, y1 + first))
            texts += found
            if isinstance(objects, Pool):
                objects.member(found[0][0] - one.addr)
            else:
                behind = lost[0][0] if lost else x2
                objects.alone(one, one.addr + x1 + first, len(content) - first + 1, one.addr + behind)
        last = index + 2 == len(begin)
        shift, after = int(new[index] - old[index]), 0 if last else int(new[index + 1] - old[index + 1])
        if not last and (shift != after or lost or came):
            inside = bool(x1 and a[x1 - 1] and not words[x1 - 1])
            before.check_meant(one, a, words, (x1, x2, int(begin[index + 2])), inside)
            before.check(one, a, words, (int(old[index + 1]), one.addr + int(begin[index + 2])))
        if lost or came:
            gone.check_gap((x1, x2, y1, y2), grown)
            _beside(one, objects, index, (one.addr + x1, one.addr + x2), item if came else None)
        elif last:
            _tail(pair, one, other, len(item_b) - len(item) - grown)
        else:
            ends = np.flatnonzero(tables[x1:x2])
            table = item[int(ends[-1]) + 1 :] if len(ends) else None
            _apart(one, objects, index, (one.addr + x1, one.addr + x2), (item, table), (shift, after, grown))
            _padding(pair, one, other, shift + grown, after, int(old[index + 1]), (x2, y2))
    return texts


def _apart(
    one: Part,
    objects: Objects | Pool,
    index: int,
    item: tuple[int, int],
    raw: tuple[bytes, bytes | None],
    shifts: tuple[int, int, int],
) -> None:
    """Whether the padding behind an item (its addresses and bytes, with what of these is behind a table of jumps in it)
    may have changed as it did. ``shifts``: before, behind, and by how much the item is longer. Raises
    :class:`Refused`."""
    shift, after, grown = shifts
    if shift + grown == after:
        return
    if isinstance(objects, Objects):
        objects.apart(one, *item)
        if after < shift + grown:
            objects.ended(one, item, *raw)
    elif not grown:
        objects.apart(index)


def _beside(one: Part, objects: Objects | Pool, index: int, item: tuple[int, int], came: bytes | None) -> None:
    """Whether a text may have gone from behind an item (its addresses), or have come there (``came``: then the item's
    bytes). Raises :class:`Refused`."""
    if isinstance(objects, Objects):
        objects.apart(one, *item)
        if came is not None:
            objects.ended(one, item, came)
    elif came is not None:
        objects.border(index)


def _named(one: Part, whole: tuple[bytes, bytes], begin: tuple[Ints, Ints], at: tuple[int, int]) -> list[Text]:
    """The text that holds the offsets ``at`` of both files, from where it begins and from each label in it, up to its
    NUL: a linker lets a text that ends as another does be the end of that one. Raises :class:`Refused`."""
    low = max(at[0] - _LONGEST, 0)
    before = _NO_TEXT.sub(b"\0", whole[0][low : at[0]])
    start = low + before.rfind(b"\0") + 1
    ends = [side.find(b"\0", x, x + _LONGEST) for side, x in zip(whole, at, strict=True)]
    rows = np.arange(*np.searchsorted(begin[0], (start, max(ends[0], at[0]) + 1), "left"))
    if min(ends) < 0 or start == low > 0 or len(rows) > _LABELS:
        raise Refused(one.name, "a text that changed its length is too long, or referred to in too many places")
    labelled = len(rows) and int(begin[0][rows[0]]) == start
    out = [] if labelled else [(one.addr + start, ends[0] - start + 1, ends[1] - at[1] + at[0] - start + 1)]
    for row in rows.tolist():
        x, y = int(begin[0][row]), int(begin[1][row])
        out.append((one.addr + x, ends[0] - x + 1, ends[1] - y + 1))
    return out


def _suspects(a: U8, b: U8, begin: Ints, begin_b: Ints) -> list[int]:
    """The items after which the shift changes, and those whose bytes are not all equal."""
    shifts = begin_b - begin
    cuts = (np.flatnonzero(np.diff(shifts)) + 1).tolist()
    found: set[int] = set()
    start = 0
    for cut in [*cuts, len(begin) - 1] if not cuts or cuts[-1] != len(begin) - 1 else cuts:
        x0, y0 = int(begin[start]), int(begin_b[start])
        size = min(int(begin[cut]) - x0, int(begin_b[cut]) - y0)
        at = np.flatnonzero(a[x0 : x0 + size] != b[y0 : y0 + size]) + x0
        found |= set((np.searchsorted(begin, at, "right") - 1).tolist())
        if int(begin[cut]) - x0 != int(begin_b[cut]) - y0:
            found.add(cut - 1)
        start = cut
    return sorted(found)


def _same_length(pair: Pair, one: Part, other: Part, a: bytes, b: bytes, at: int, at_b: int) -> bool:
    """Whether an item differs only by declared texts of equal length, which are then entered."""
    explained, left = declared_texts(a, b, pair.declared)
    if left:
        return False
    for run, names in explained:
        here = [Range(run.start + at + one.offset, run.end + at + one.offset)]
        there = [Range(run.start + at_b + other.offset, run.end + at_b + other.offset)]
        pair.account.explain("elf.declared-literal", here, there, ", ".join(sorted(set(names))))
    return True


def _tail(pair: Pair, one: Part, other: Part, more: int) -> None:
    """The section may end in more zeros than the rebuilt one: nothing refers to them (the proof has refused addresses
    of the section's end). Fewer are refused: they may have been an object's."""
    if more == 0:
        return
    if not 0 < more <= _MOST_ALIGN:
        raise Refused(one.name, "the end of the section moved, and not by a declared text")
    end = other.end
    pair.account.explain("elf.moved-tail", [], [Range(end - more, end)], one.name)


def _item(pair: Pair, one: Part, other: Part, a: bytes, b: bytes, at: tuple[int, int], *, shut: bool) -> int:
    """How many bytes longer the item's content is in the second file. Its padding is zero in both. ``shut``: the byte
    behind it is the NUL of its text, which another label leads to (an empty text shared with it)."""
    content, content_b = a.rstrip(b"\0"), b.rstrip(b"\0")
    where = (
        [Range(at[0] + one.offset, at[0] + one.offset + len(a))],
        [Range(at[1] + other.offset, at[1] + other.offset + len(b))],
    )
    if content == content_b:
        return 0
    texts = content.split(b"\0")
    made = [pair.declared.apply(text) if is_text(text) else (text, []) for text in texts]
    if b"\0".join(m[0] for m in made) != content_b or not (shut or min(len(a) - len(content), len(b) - len(content_b))):
        raise Refused(one.name, "an item differs by more than a declared text", *where)
    if any(len(text) != len(m[0]) for text, m in zip(texts[:-1], made, strict=False)):
        raise Refused(one.name, "data without a label stands behind a text that changed its length", *where)
    names = ", ".join(sorted({n for m in made for n in m[1]}))
    pair.account.explain("elf.moved-literal", *where, names)
    return len(content_b) - len(content)


def _padding(pair: Pair, one: Part, other: Part, shift: int, after: int, label: int, at: tuple[int, int]) -> None:
    """Whether the padding before ``label`` changed as a linker changes it: the shift before was not a multiple of the
    alignment of what follows, the shift after is the next one that is."""
    if shift == after:
        return
    align = 2
    while align <= min(_MOST_ALIGN, max(one.align, 1)):
        if shift % align and after % align == 0 and abs(after - shift) < align and label % align == 0:
            here = [Range(at[0] + one.offset - 1, at[0] + one.offset)]
            pair.account.explain("elf.moved-padding", here, [Range(at[1] + other.offset - 1, at[1] + other.offset)])
            return
        align *= 2
    raise Refused(one.name, "an item moved, and neither a declared text nor an alignment says why")
