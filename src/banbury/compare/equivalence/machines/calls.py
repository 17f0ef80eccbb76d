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
#: Of these names, and of those of MIPS, those that other libraries give to functions of their own, which return.
_COMMON = frozenset({"err", "errx", "verr", "verrx", "__assert"})
_OWN_VERSIONS = ("GLIBC_", "GCC_", "GLIBCXX_", "CXXABI_")
_MOST_STEPS = 20_000
_FEW = 8  # edges for each of these
NARROW = 32  # nodes of a graph that are looked at one by one rather than by array operations


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


class _Equations:
    """Those of the blocks that go from ``first`` to ``last``; ``value``: what is known of each so far. What changes is
    worked out in waves: wide ones by array operations, narrow ones, which are many where calls stand in a row, one by
    one."""

    def __init__(self, paths: Paths, first: Ints, last: Ints, block: Ints, clean: W, value: W) -> None:
        callee = paths.called[last]
        self.clean, self.value = clean, value
        self.entry = np.where(callee >= 0, block[np.maximum(callee, 0)], -1)
        self.follows = paths.falls[last] & (last + 1 < len(paths.writes))
        after = np.flatnonzero(self.follows)
        into = np.concatenate((block[paths.targets], after + 1))
        origin = np.concatenate((block[paths.sources], after))
        plain = (self.entry[origin] < 0) | (into != origin + 1)  # not the way back from a call
        callers = np.flatnonzero((self.entry >= 0) & self.follows)
        order = np.argsort(into[plain], kind="stable")
        self.to, self.source = into[plain][order], origin[plain][order]
        self.by_entry = callers[np.argsort(self.entry[callers], kind="stable")]
        self.entries = self.entry[self.by_entry]
        rows = np.arange(len(first) + 1)
        self.views = tuple(
            column.data
            for column in (
                value, clean, self.entry, self.follows, np.searchsorted(self.to, rows), self.source,
                np.searchsorted(self.entries, rows), self.by_entry,
            )
        )  # fmt: skip

    def wide(self, changed: Ints) -> Ints:
        """The blocks whose value changes because those of some have."""
        entry, value, clean = self.entry, self.value, self.clean
        index, back = spread(self.to, self.source, changed)
        returned = np.concatenate((spread(self.entries, self.by_entry, changed)[1], changed[changed > 0] - 1))
        returned = returned[(entry[returned] >= 0) & self.follows[returned]]
        touched = distinct(np.concatenate((back, returned)))
        before = value[touched]
        np.bitwise_or.at(value, back, value[changed[index]] & clean[back])
        value[returned] |= value[entry[returned]] & value[returned + 1] & clean[returned]
        changes: Ints = touched[value[touched] != before]
        return changes

    def is_narrow(self, changed: list[int]) -> bool:
        """Whether few blocks changed, which few depend on."""
        _, _, _, _, low, _, called, _ = self.views
        if len(changed) >= NARROW:
            return False
        return sum(low[x + 1] - low[x] + called[x + 1] - called[x] for x in changed) < _FEW * NARROW

    def narrow(self, changed: list[int]) -> list[int]:
        """The same of a few."""
        value, clean, entry, follows, low, source, called, callers = self.views
        before: dict[int, int] = {}
        for now, block in [(value[block], block) for block in changed]:
            for back in source[low[block] : low[block + 1]]:
                before.setdefault(back, value[back])
                value[back] |= now & clean[back]
        returned = [x for block in changed for x in callers[called[block] : called[block + 1]]]
        returned += [block - 1 for block in changed if block > 0]
        returned = [x for x in returned if entry[x] >= 0 and follows[x]]
        for back, now in [(x, value[entry[x]] & value[x + 1] & clean[x]) for x in returned]:
            before.setdefault(back, value[back])
            value[back] |= now
        return [block for block, old in before.items() if value[block] != old]


def _solved(paths: Paths, first: Ints, last: Ints, block: Ints, clean: W, value: W) -> W:
    """The least solution, by blocks that go from ``first`` to ``last``; all bits where it takes too long."""
    equations = _Equations(paths, first, last, block, clean, value)
    changed = np.flatnonzero(value).tolist()
    for _ in range(_MOST_STEPS):
        if not changed:
            break
        if equations.is_narrow(changed):
            changed = equations.narrow(changed)
        else:
            changed = equations.wide(np.array(changed, np.int64)).tolist()
    else:
        value[:] = ALL
    out = np.zeros(len(paths.writes), np.uint32)
    out[first] = value
    return out


def never_symbols(elf: ElfFile, names: frozenset[str] = NEVER) -> set[int]:
    """The numbers of undefined symbols of functions that do not return. One of a common name is the C library's where
    it has a version, and the file asks for no versions but those of GNU's libraries."""
    versions = elf.section_data(".gnu.version")
    known = all(name.startswith(_OWN_VERSIONS) for _, asked in elf.versions_needed for name in asked)
    out = set[int]()
    for index, symbol in enumerate(elf.dynamic_symbols):
        if symbol.name in names and not symbol.section:
            number = int.from_bytes(versions[2 * index : 2 * index + 2], "big" if elf.big else "little") & 0x7FFF
            if symbol.name not in _COMMON or (known and number > 1):
                out.add(index)
    return out


def never_slots(elf: ElfFile) -> set[int]:
    """The places of the global offset table that hold functions of other files that do not return."""
    symbols, out = never_symbols(elf), set[int]()
    for table in elf.sections:
        rows = elf.section_relocations(table)
        if rows is not None:
            some = np.isin(rows.symbols.astype(np.int64), list(symbols))
            out |= set(rows.offsets[some].tolist())
    return out
