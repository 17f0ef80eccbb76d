"""Which registers a called function may leave as they were, and whether it returns at all.

A mask for each block of instructions: bit *r* where register *r* may reach a return unchanged from there, bit 31 where
a return can be reached. It is the least solution of the equations of the blocks, so that what loops for ever or ends
in a call that does not return has no bits. What is not known (an indirect branch) has all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.flow import spread
from banbury.formats.elf import ElfFile

W = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]
ALL = 0xFFFFFFFF

#: Functions of C libraries that do not return (POSIX.1-2017; LSB Core 5.0; Itanium C++ ABI).
NEVER = frozenset({
    "abort", "exit", "_exit", "_Exit", "quick_exit", "pthread_exit", "__stack_chk_fail",
    "__assert_fail", "__assert", "__fortify_fail", "__chk_fail", "longjmp", "_longjmp", "siglongjmp", "__longjmp_chk",
    "err", "errx", "verr", "verrx", "__cxa_throw", "__cxa_rethrow", "__cxa_bad_cast", "_Unwind_Resume",
    "__cxa_throw_bad_array_new_length", "__cxa_end_cleanup", "_ZSt9terminatev",
})  # fmt: skip
_MOST_STEPS = 20_000


@dataclass(frozen=True)
class Paths:
    """``ends``: the mask of an instruction after which nothing follows, or that goes on where the graph does not say
    (0: it traps); ``called``: the instruction that a call leads to (-1: no call within the section); ``after``: what a
    call elsewhere leaves (its mask), ``ALL`` for what is no such call."""

    writes: W
    falls: Flags
    sources: Ints
    targets: Ints
    called: Ints
    after: W
    ends: W


def kept(paths: Paths) -> W:
    """The mask of every instruction that is called from within the section; 0 for the others."""
    size = len(paths.writes)
    if not size:
        return paths.writes
    calls = np.flatnonzero(paths.called >= 0)
    lead = np.zeros(size + 1, bool)
    lead[[0, size]] = True
    lead[paths.targets] = True
    lead[paths.called[calls]] = True
    for cut in (paths.sources, calls, np.flatnonzero(~paths.falls), np.flatnonzero(paths.after != ALL)):
        lead[cut + 1] = True
    first = np.flatnonzero(lead)[:-1]
    block = np.cumsum(lead)[:size] - 1
    last = np.append(first[1:], size) - 1
    clean = ~np.bitwise_or.reduceat(paths.writes, first) & paths.after[last]
    value = np.where(~paths.falls[last], paths.ends[last], 0).astype(np.uint32) & clean
    return _solved(paths, first, last, block, clean, value)


def _solved(paths: Paths, first: Ints, last: Ints, block: Ints, clean: W, value: W) -> W:
    """The least solution, by blocks that go from ``first`` to ``last``; all bits where it takes too long."""
    size = len(paths.writes)
    callee = paths.called[last]
    entry = np.where(callee >= 0, block[np.maximum(callee, 0)], -1)
    follows = paths.falls[last] & (last + 1 < size)
    into = np.concatenate((block[paths.targets], np.flatnonzero(follows) + 1))
    origin = np.concatenate((block[paths.sources], np.flatnonzero(follows)))
    plain = (entry[origin] < 0) | (into != origin + 1)  # not the way back from a call
    callers = np.flatnonzero((entry >= 0) & follows)
    order = np.argsort(into[plain], kind="stable")
    to, source = into[plain][order], origin[plain][order]
    by_entry = callers[np.argsort(entry[callers], kind="stable")]
    entries = entry[by_entry]
    changed = np.flatnonzero(value)
    for _ in range(_MOST_STEPS):
        if not len(changed):
            break
        index, back = spread(to, source, changed)
        returned = np.concatenate((spread(entries, by_entry, changed)[1], changed[changed > 0] - 1))
        returned = returned[(entry[returned] >= 0) & follows[returned]]
        touched = distinct(np.concatenate((back, returned)))
        before = value[touched]
        np.bitwise_or.at(value, back, value[changed[index]] & clean[back])
        value[returned] |= value[entry[returned]] & value[returned + 1] & clean[returned]
        changed = touched[value[touched] != before]
    else:
        value[:] = ALL
    out = np.zeros(size, np.uint32)
    out[first] = value
    return out


def never_slots(elf: ElfFile) -> set[int]:
    """The places of the global offset table that hold functions that do not return."""
    symbols, out = elf.dynamic_symbols, set[int]()
    for table in elf.sections:
        rows = elf.section_relocations(table)
        if rows is not None:
            for place, index in zip(rows.offsets.tolist(), rows.symbols.tolist(), strict=True):
                if index < len(symbols) and symbols[index].name in NEVER:
                    out.add(place)
    return out
