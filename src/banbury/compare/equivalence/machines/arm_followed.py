"""Where an address goes in the registers of one function of 32-bit Arm: what :mod:`carried` does for other processors,
with the distances that compilers add to the address of one object to find others (GCC manual, -fsection-anchors).

A function may be entered at each place within it whose address something has, or that is called, with all that is held
anywhere: what it goes there by (a return, a function that it calls) need not show where to.

Source: Arm ARM DDI 0406C, A5, A6, A8.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import arm_steps, carried
from banbury.compare.equivalence.machines.arm_code import Body
from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.flow import Graph, spread
from banbury.compare.equivalence.machines.resized import Places, Resized
from banbury.compare.equivalence.machines.x86_64_carried import UNKNOWN
from banbury.formats import _elf_types as t

_MOST: Final = 32  # addresses that are told apart in one register before an instruction
_REGISTERS: Final = 15
_ALL: Final = 0xFFFFFFFF
_LEAPT, _LOADED, _ENTERED = -1, -2, -3  # ways that nothing shows, as rows
_Span = tuple[int, int]  # the lowest and the highest that an address may be
_Held = tuple[int, int, _Span | None]  # a row, a register, and the address in it before the row (``None``: not known)
_BACK: Final = 8  # instructions in front of a sum in which its index is made
_UNDER: Final = 4  # and those that one before them may put under a condition
_WORK: Final = 32  # steps that are followed for each instruction of a function, on average
_LEAST: Final = 1 << 12  # and those of a small one


class Code:
    """The code of a section: its ``nodes`` in the order of their places, the ``graph`` of these, and the nodes to which
    addresses lead (``roots``)."""

    def __init__(self, raw: U8, body: Body, nodes: Ints, graph: Graph, roots: Ints) -> None:
        self.raw, self.body, self.nodes, self.graph, self.roots = raw, body, nodes, graph, roots
        self.made: dict[int, tuple[int, int]] = {}  # by place: the register that an address is put into, and it
        self.loaded: dict[int, int] = {}

    def puts(self, places: Ints, registers: Ints, addresses: Ints) -> None:
        """Instructions at places put addresses into registers."""
        every = zip(places.tolist(), registers.tolist(), addresses.tolist(), strict=True)
        self.made |= {place: (register, address) for place, register, address in every}

    def gets(self, places: Ints) -> None:
        """Instructions at places, of A32, read memory at addresses that they make."""
        for place, word in zip(places.tolist(), self.body.words[places // 4].tolist(), strict=True):
            plain = word & 0x0C500000 == 0x04100000  # LDR
            self.loaded[place] = (word >> 12 & 15) if plain else -1 if word & 0x00100000 == 0 else UNKNOWN

    def function(self, stretches: Sequence[tuple[int, int]], wanted: Resized) -> Function:
        """The function that has these stretches (offsets, from and to)."""
        return Function(self, [(low, high, 0) for low, high in stretches], wanted)

    def onward(self, row: int) -> list[int]:
        """The rows that may follow one, also by tables of branches and landing pads."""
        sources, targets = self._edges
        low, high = bisect_left(sources, row), bisect_right(sources, row)
        after = [row + 1] if self.graph.falls[row] and row + 1 < self.graph.size else []
        return after + targets[low:high].tolist()

    def leaps(self, row: int) -> bool:
        """Whether a row branches to where a register says, and no table is known for it."""
        node, al = self.nodes[row], self.body.all
        return bool(self.known.use.leaps[row] and not al.jumps[node] and not al.tables[node])

    @cached_property
    def joins(self) -> frozenset[int]:
        """Rows to which others than the one before lead: branches, calls, and what goes by addresses."""
        entries = np.concatenate((self.roots, self.body.leads[self.nodes]))
        called = np.flatnonzero(np.isin(self.nodes, entries))
        return frozenset(self.graph.targets.tolist()) | frozenset(called.tolist())

    @cached_property
    def entries(self) -> memoryview:
        """Rows whose address something has, or that are called; not what is behind calls that do not return."""
        body = self.body
        called = body.leads[self.nodes[body.all.calls[self.nodes]]]
        known = np.concatenate((np.setdiff1d(self.roots, body.dead), called))
        return np.flatnonzero(np.isin(self.nodes, known)).data

    @cached_property
    def _edges(self) -> tuple[memoryview, memoryview]:
        return self.graph.sources.data, self.graph.targets.data

    @cached_property
    def pads(self) -> _Pads:
        index, pads = spread(*self.body.thrown, self.nodes)
        out: dict[int, list[int]] = {}
        calls, to = self.body.place[self.nodes[index]], self.body.place[pads]
        for call, pad in zip(calls.tolist(), to.tolist(), strict=True):
            out.setdefault(call, []).append(pad)
        return _Pads(out)

    @cached_property
    def known(self) -> arm_steps.Rows:
        return arm_steps.rows_of(self.body, self.nodes, self.graph)

    @cached_property
    def rows(self) -> carried.Rows:
        return carried.Rows(self.known.steps, np.zeros(0, np.int64))


class _Seen:
    """Which addresses were seen in each register before each row, and crossing to elsewhere. Of texts one that is not
    known stands for all others; where ``tables`` are followed, what is known of one may count more."""

    def __init__(self, *, tables: bool) -> None:
        self.tables = tables
        self.known: dict[tuple[int, int], set[_Span | None]] = {}

    def enter(self, row: int, register: int, address: _Span | None) -> tuple[bool, _Span | None]:
        """Whether an address is new before a row, and what it is taken for."""
        known = self.known.setdefault((row, register), set())
        if len(known) > _MOST:
            address = None
        new = address not in known and (self.tables or None not in known)
        known.add(address)
        return new, address

    def cross(self, way: int, register: int, address: _Span | None) -> tuple[bool, _Span | None]:
        """The same of what goes elsewhere, of texts without knowing the address any more."""
        return self.enter(way, register, address if self.tables else None)


class _Pads:
    """What calls leave (nothing but what the graph says), and the landing pads that they may enter."""

    anywhere = False

    def __init__(self, pads: Mapping[int, list[int]]) -> None:
        self.known = pads

    def bound(self, callee: int) -> int:
        return 0

    def left(self, place: int, callee: int) -> int:
        return 0

    def never(self, place: int, callee: int) -> frozenset[int] | None:
        return None

    def kept(self, place: int) -> bool:
        return False

    def foreign(self, callee: int) -> bool:
        return False

    def finds(self, callee: int) -> bool:
        return False

    def pads(self, place: int) -> list[int]:
        return self.known.get(place, [])


class Function(carried.Function):
    """One function's code."""

    def __init__(self, code: Code, stretches: Sequence[tuple[int, int, int]], wanted: Resized) -> None:
        super().__init__(t.EM_ARM, False, code.raw, code.rows, stretches, code.pads)
        self.code, self.wanted = code, wanted
        self.left = _LEAST + _WORK * sum(end - begin for begin, end in self.pieces)

    def read(self, uses: Places) -> bool:
        begun: list[_Held] = []
        for row, at in map(self._row, uses.made):
            if row < 0 or (at not in self.code.made and at not in self.code.loaded):
                return True
            begun += self._put(row, at)
        for row, at in map(self._row, uses.loaded):
            register = self.code.loaded.get(at, -1) if row >= 0 else -1
            if register == UNKNOWN:
                return True
            begun += [(to, register, None) for to in self.code.onward(row) if register >= 0]
        for row, at in map(self._row, uses.tables):
            found = self._walk(self._put(row, at), tables=True) if row >= 0 else []
            if found is None:
                return True
            begun += found
        return self._walk(begun) is None

    def _taken(self, at: int, *, loads: bool) -> int:
        if at in self.code.loaded:
            return self.code.loaded[at] if loads else -1
        return -1 if loads else self.code.made.get(at, (UNKNOWN, 0))[0]

    def _put(self, row: int, at: int) -> list[_Held]:
        register, address = self.code.made.get(at, (-1, 0))
        return [(to, register, (address, address)) for to in self.code.onward(row) if register >= 0]

    def _walk(self, begun: Sequence[_Held], *, tables: bool = False) -> list[_Held] | None:
        """Follow what is held until it is written. ``None``: a text is read, or what is done is not known; of
        ``tables``: a word that holds the address of one is read in parts. Returns, of tables, what is loaded from such
        words."""
        seen = _Seen(tables=tables)
        waiting, out = list(begun), list[_Held]()
        while waiting:
            if self.left < len(waiting):
                return None
            row, register, address = waiting.pop()
            self.left -= 1
            new, address = seen.enter(row, register, address)
            if not new:
                continue
            bit = 1 << register
            if self.code.known.odd[row] & bit and not tables:
                return None
            through = self.code.known.use.base[row] | self.code.known.use.index[row]
            if self.code.known.use.loads[row] and through & bit:
                found = self._loads(row, register, address, seen)
                if found is None:
                    return None
                out += found
            kept = [] if self.rows.kills[row] & bit else [(register, address)]
            kept += self._makes(row, register, address)
            waiting += [x for into, what in kept for x in self._onward(row, into, what, seen, _LEAPT)]
            entered, address = seen.cross(_ENTERED, register, address)
            waiting += [(to, register, address) for to in (self.hidden if entered else [])]
        return out

    def _onward(self, row: int, register: int, address: _Span | None, seen: _Seen, way: int) -> list[_Held]:
        """What a row leaves in a register, before those that may follow; behind a branch to where nothing says, once
        for each ``way`` of getting there, before all of the function."""
        out = [(to, register, address) for to in self.code.onward(row)]
        if self.code.leaps(row):
            new, address = seen.cross(way, register, address)
            out += [(to, register, address) for to in (self._blocks() if new else [])]
        return out

    @cached_property
    def hidden(self) -> list[int]:
        """The rows at which the function may be entered but for its first one."""
        known, out = self.code.entries, list[int]()
        for begin, end in self.pieces:
            out += known[bisect_left(known, begin + 1) : bisect_left(known, end)]
        return out

    def _loads(self, row: int, register: int, address: _Span | None, seen: _Seen) -> list[_Held] | None:
        """What a load through a register gives, see :meth:`_walk`."""
        tables = seen.tables
        use, added, width = self.code.known.use, self.code.known.added, int(self.code.known.use.width[row])
        here = None
        if use.base[row] == 1 << register and not use.index[row]:
            if use.apart[row] == 1:
                here = address
            elif use.apart[row] == 0 and added.base[row] == register:
                here = _moved(address, int(added.distance[row]))
        if not tables and use.byte[row] and use.near[row]:
            return []
        if here is not None:
            low, size = here[0], here[1] - here[0] + width
            if width == arm_steps.MOST:  # several registers: from there, or up to there
                low, size = low - width, size + width
            if not (self.wanted.holds if tables else self.wanted.meets)(low, size):
                return []
        if not tables:
            return None
        if use.byte[row]:
            return []
        if not use.word[row]:
            return None if here is not None or width == arm_steps.MOST else []
        gets = self.rows.gets[row]
        some = [into for into in range(_REGISTERS) if gets >> into & 1]
        return [x for into in some for x in self._onward(row, into, None, seen, _LOADED)]

    def _makes(self, row: int, register: int, address: _Span | None) -> list[tuple[int, _Span | None]]:
        """The registers into which something is put that is made of what a register has, and the address."""
        known, bit = self.code.known, 1 << register
        out: list[tuple[int, _Span | None]] = []
        if known.steps.stepped[row] & bit:
            out.append((register, self._stepped(row, register, address)))
        if not self.rows.parts[row] & bit:
            return out
        into = self.rows.into[row]
        if known.added.base[row] == register and known.added.into[row] == into:
            return [*out, (into, _moved(address, int(known.added.distance[row])))]
        if known.use.copies[row]:
            return [*out, (into, address)]
        most = self._index(row, register)
        return [*out, (into, _moved(address, 0, most) if most >= 0 else None)]

    def _stepped(self, row: int, register: int, address: _Span | None) -> _Span | None:
        """The address in a register that a load or store has moved on; by single bytes nobody knows how often."""
        use, added = self.code.known.use, self.code.known.added
        if use.byte[row]:
            return None
        return _moved(address, int(added.step[row])) if added.back[row] == register else None

    def _index(self, row: int, register: int) -> int:
        """The largest number that a sum adds to a register, which is small and no negative one; -1: not known. What
        puts it into its register stands before, with nothing between that other paths lead to or a condition holds."""
        known, nodes, graph = self.code.known, self.code.nodes, self.code.graph
        use, body = known.use, self.code.body
        first, second, shifted = int(use.first[row]), int(use.second[row]), int(use.shifted[row])
        index = second if first == register else first if second == register and not shifted else -1
        if (
            index < 0
            or index == register
            or row < _BACK + _UNDER
            or body.under[nodes[row - _BACK - _UNDER : row]].any()
        ):
            return -1
        conditional = body.all.conditional[nodes[row - _BACK : row + 1]]
        if conditional.any():
            return -1
        for before in range(row - 1, row - _BACK, -1):
            if before + 1 in self.code.joins or not graph.falls[before]:
                return -1
            if graph.writes[before] >> index & 1:
                most = int(use.most[before])
                whole = int(use.gets[before]) == 1 << index if use.loads[before] else int(use.made[before]) == index
                return most << shifted if most >= 0 and whole else -1
        return -1


def _moved(address: _Span | None, distance: int, more: int = 0) -> _Span | None:
    """An address with a distance added; what runs over the end of all addresses is not known."""
    if address is None:
        return None
    low = (address[0] + distance) & _ALL
    high = low + address[1] - address[0] + more
    return (low, high) if high <= _ALL else None
