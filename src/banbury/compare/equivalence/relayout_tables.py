"""Jump tables: 32-bit differences between a place in code and the table's own label.

A label begins a table where its first word, added to the label, is the start of an instruction; the table goes on for
as long as that holds. Either every word of it follows the map, or the pair is refused: a table of which one word was
left behind is a redirected jump. (What compilers write for ``switch``: GCC and LLVM for x86-64, position-independent.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_map import AddressMap, References
from banbury.formats import _elf_types as t

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Codes = list[tuple[Part, Part, Mask]]


def _words(raw: U8, at: Ints) -> Ints:
    out = np.zeros(len(at), np.int64)
    for k in range(4):
        out |= raw[at + k].astype(np.int64) << (8 * k)
    return out.astype(np.uint32).astype(np.int32).astype(np.int64)


def _starts(addresses: Ints, code: Codes) -> Mask:
    """Which addresses are the start of an instruction."""
    out = np.zeros(len(addresses), bool)
    for part, _, starts in code:
        inside = (addresses >= part.addr) & (addresses < part.addr + part.size)
        out[inside] = starts[addresses[inside] - part.addr]
    return out


def _moved(addresses: Ints, code: Codes) -> Ints:
    out = addresses.copy()
    for part, other, _ in code:
        inside = (addresses >= part.addr) & (addresses < part.addr + part.size)
        out[inside] += other.addr - part.addr
    return out


def jump_tables(
    pair: Pair,
    one: Part,
    other: Part,
    raw: U8,
    raw_b: U8,
    old: Ints,
    new: Ints,
    code: Codes,
    refs: References,
    mask: Mask,
    *,
    unused: bool = False,
) -> None:
    """Find the tables of a section, add their entries to the references and mark their bytes. ``unused``: there may be
    tables whose first entry, which is never used, is zero; at least two are others. Raises ``Refused``."""
    begin = old - one.addr
    fits = begin + 4 <= len(raw)
    begin, base, base_b = begin[fits], old[fits], new[fits]
    if not len(begin):
        return
    likely = _starts(base + _words(raw, begin), code)
    behind_zero = _behind_zero(raw, begin, base, code) & ~likely if unused else likely & False
    tables = np.flatnonzero(likely | behind_zero)
    if not len(tables):
        return
    at, owner = _runs(begin[tables] + 4 * behind_zero[tables], len(raw), mask)
    targets = _words(raw, at) + base[tables][owner]
    keep = _leading(_starts(targets, code), owner, len(tables))
    at, owner, targets = at[keep], owner[keep], targets[keep]
    there = at - begin[tables][owner] + base_b[tables][owner] - other.addr
    if (there + 4 > len(raw_b)).any() or (there < 0).any():
        raise Refused(one.name, "a jump table runs out of its section")
    targets_b = _words(raw_b, there) + base_b[tables][owner]
    wrong = np.flatnonzero(_moved(targets, code) != targets_b)
    if len(wrong):
        where = [Range(int(x) + one.offset, int(x) + one.offset + 4) for x in at[wrong[:64]]]
        raise Refused(one.name, "a jump table does not follow the address map", where)
    behind = begin[tables] + 4 * (np.bincount(owner, minlength=len(tables)) + behind_zero[tables])
    _check_ends(one, other, raw_b, behind, base[tables] - one.addr, base_b[tables] - other.addr, code)
    refs.add(f"{one.name}, jump tables", targets, targets_b)
    for k in range(4):
        mask[at + k] = True
    changed = _words(raw, at) != _words(raw_b, there)
    if changed.any():
        pair.account.explain("elf.moved-table", _spans(at[changed] + one.offset), _spans(there[changed] + other.offset))


def _behind_zero(raw: U8, begin: Ints, base: Ints, code: Codes) -> Mask:
    """Which labels have a word of zero, and behind it two that are distances from the label to instructions."""
    out: Mask = begin + 12 <= len(raw)
    begin = np.where(out, begin, 0)
    out &= _words(raw, begin) == 0
    for at in (4, 8):
        out &= _starts(base + _words(raw, begin + at), code)
    return out


def _check_ends(one: Part, other: Part, raw_b: U8, behind: Ints, base: Ints, base_b: Ints, code: Codes) -> None:
    """No table goes on in the second file where it ends in the first: there its words would be looked at by nobody."""
    place = behind - base + base_b
    fits = (place + 4 <= len(raw_b)) & ~np.isin(behind, base)
    place, start = place[fits], base_b[fits]
    target = _words(raw_b, place) + start + other.addr
    longer = np.zeros(len(place), bool)
    for _, part, starts in code:
        inside = (target >= part.addr) & (target < part.addr + part.size)
        longer[inside] |= starts[target[inside] - part.addr]
    if longer.any():
        where = [Range(int(x) + other.offset, int(x) + other.offset + 4) for x in place[longer][:16]]
        raise Refused(one.name, "a jump table is longer in the second file", [], where)


def check_distances(
    one: Part, raw: U8, big: bool, old: Ints, mask: Mask, the_map: AddressMap, numbers: Callable[[int], bool]
) -> None:
    """Refuse a table of distances to data that were left behind. LLVM writes a table of constant addresses as 32-bit
    distances from the table's own label (RelLookupTableConverter). A label begins one where its first two words, added
    to it, lead to places of the image outside of the item; no word of it may lead to what moved against the label.
    ``numbers``: whether the words at a label are known to be no distances."""
    inside = distinct(old[(old >= one.addr) & (old + 8 <= one.addr + one.size) & (old % 4 == 0)])
    if not len(inside):
        return
    words = raw[: len(raw) // 4 * 4].view(">u4" if big else "<u4").astype(np.int64)
    words -= (words >> 31) << 32
    stops = np.append(inside[1:], one.addr + one.size)
    shifts = the_map.many(inside) - inside
    at = (inside - one.addr) // 4

    def away(label: Ints, stop: Ints, target: Ints) -> Mask:
        out: Mask = ((target < label) | (target >= stop)) & (the_map.many(target) >= 0)
        return out

    first, second = inside + words[at], inside + words[at + 1]
    likely = away(inside, stops, first) & away(inside, stops, second) & (stops - inside >= 8) & ~mask[inside - one.addr]
    for index in np.flatnonzero(likely).tolist():
        label, stop = inside[index : index + 1], stops[index : index + 1]
        target = label + words[at[index] : at[index] + int(stop[0] - label[0]) // 4]
        leading = np.logical_and.accumulate(away(label, stop, target))
        if (leading & (the_map.many(target) - target != shifts[index])).any() and not numbers(int(label[0])):
            where = [Range(int(label[0]) - one.addr + one.offset, int(stop[0]) - one.addr + one.offset)]
            raise Refused(one.name, "words that may be distances to what moved against them", where)


def check_code_distances(one: Part, raw: U8, machine: int, old: Ints, the_map: AddressMap) -> None:
    """Refuse a table of distances to data that stands among code (hand-written code has such): a label in code whose
    first words (on AArch64 the first, which is no instruction), added to it, lead to data that moved against it."""
    count = 1 if machine == t.EM_AARCH64 else 2
    label = distinct(old[(old >= one.addr) & (old + 4 * count <= one.addr + one.size)])
    likely, left = np.ones(len(label), bool), np.zeros(len(label), bool)
    shift = the_map.many(label) - label
    for k in range(count):
        target = label + _words(raw, label - one.addr + 4 * k)
        made = the_map.many(target)
        likely &= ((target < one.addr) | (target >= one.addr + one.size)) & (made >= 0)
        left |= made - target != shift
    lost = label[likely & left]
    if len(lost):
        where = [Range(int(x) - one.addr + one.offset, int(x) - one.addr + one.offset + 8) for x in lost[:16]]
        raise Refused(one.name, "words among code that may be distances to what moved against it", where)


def _runs(starts: Ints, size: int, mask: Mask) -> tuple[Ints, Ints]:
    """The places of all words from each start to the next start, and which start each belongs to; a word that is
    known to be another reference ends its run."""
    stops = np.append(starts[1:], size)
    counts = np.maximum((stops - starts) // 4, 0)
    owner = np.repeat(np.arange(len(starts)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    at = np.repeat(starts, counts) + 4 * (np.arange(len(owner)) - first)
    keep = _leading(~(mask[at] | mask[at + 3]), owner, len(starts))
    return at[keep], owner[keep]


def _leading(good: Mask, owner: Ints, count: int) -> Mask:
    """Which elements stand in their owner's run before its first element that is not good."""
    bad = np.concatenate((np.zeros(1, np.int64), np.cumsum(~good)))
    begin = np.searchsorted(owner, np.arange(count))
    out: Mask = bad[1:] == bad[begin[owner]]
    return out


def _spans(places: Ints) -> list[Range]:
    """Words at sorted places as ranges."""
    cuts = np.flatnonzero(np.diff(places) != 4)
    starts, ends = np.append(places[:1], places[cuts + 1]), np.append(places[cuts], places[-1:]) + 4
    return [Range(int(x), int(y)) for x, y in zip(starts, ends, strict=True)]
