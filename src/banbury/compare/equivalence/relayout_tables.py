"""Jump tables: 32-bit differences between a place in code and the table's own label.

A label begins a table where its first word, added to the label, is the start of an instruction; the table goes on for
as long as that holds. Either every word of it follows the map, or the pair is refused: a table of which one word was
left behind is a redirected jump. (What compilers write for ``switch``: GCC and LLVM for x86-64, position-independent.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.elf_same import Pair
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_map import References

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
) -> None:
    """Find the tables of a section, add their entries to the references and mark their bytes. Raises ``Refused``."""
    begin = old - one.addr
    fits = begin + 4 <= len(raw)
    begin, base, base_b = begin[fits], old[fits], new[fits]
    if not len(begin):
        return
    likely = _starts(base + _words(raw, begin), code)
    tables = np.flatnonzero(likely)
    stops = [*begin[tables].tolist(), len(raw)]
    for number, index in enumerate(tables.tolist()):
        start, label, label_b = int(begin[index]), int(base[index]), int(base_b[index])
        at = np.arange(start, stops[number + 1] - 3, 4, dtype=np.int64)
        at = at[~(mask[at] | mask[at + 3])]
        targets = _words(raw, at) + label
        good = _starts(targets, code)
        count = len(good) if good.all() else int(np.argmin(good))
        at, targets = at[:count], targets[:count]
        there = at - start + label_b - other.addr
        if count and int(there[-1]) + 4 > len(raw_b):
            raise Refused(one.name, "a jump table runs out of its section")
        if count == 0:
            continue
        targets_b = _words(raw_b, there) + label_b
        if not np.array_equal(_moved(targets, code), targets_b):
            where = [Range(start + one.offset, start + one.offset + 4 * count)]
            raise Refused(one.name, "a jump table does not follow the address map", where)
        refs.add(f"{one.name}, jump table", targets, targets_b)
        for k in range(4):
            mask[at + k] = True
        there_at = label_b - other.addr + other.offset
        if not np.array_equal(raw[at], raw_b[there]):
            pair.account.explain(
                "elf.moved-table",
                [Range(start + one.offset, start + one.offset + 4 * count)],
                [Range(there_at, there_at + 4 * count)],
            )
