"""Where an address goes in the registers of one function of 32-bit Arm: what :mod:`carried` does for other processors,
with the distances that compilers add to the address of one object to find others (GCC manual, -fsection-anchors).

Source: Arm ARM DDI 0406C, A5, A6, A8.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import arm_steps, carried
from banbury.compare.equivalence.machines.arm_code import Body
from banbury.compare.equivalence.machines.contract import U8, Wanted
from banbury.compare.equivalence.machines.flow import Graph, spread
from banbury.compare.equivalence.machines.x86_64_carried import UNKNOWN
from banbury.formats import _elf_types as t

_MOST: Final = 32  # addresses that are told apart in one register before an instruction
_REGISTERS: Final = 15
_ALL: Final = 0xFFFFFFFF
_Held = tuple[int, int, int | None]  # a row, a register, and the address in it before the row (``None``: not known)


class Code:
    """The code of a section: its ``nodes`` in the order of their places, and the ``graph`` of these."""

    def __init__(self, raw: U8, body: Body, nodes: Ints, graph: Graph) -> None:
        self.raw, self.body, self.nodes, self.graph = raw, body, nodes, graph
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

    def function(self, stretches: Sequence[tuple[int, int]], wanted: Wanted) -> Function:
        """The function that has these stretches (offsets, from and to)."""
        return Function(self, [(low, high, 0) for low, high in stretches], wanted)

    def onward(self, row: int) -> list[int]:
        """The rows that may follow one, also by tables of branches and landing pads."""
        sources, targets = self._edges
        low, high = bisect_left(sources, row), bisect_right(sources, row)
        after = [row + 1] if self.graph.falls[row] and row + 1 < self.graph.size else []
        return after + targets[low:high].tolist()

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


class _Pads:
    """What calls leave (nothing but what the graph says), and the landing pads that they may enter."""

    anywhere = False

    def __init__(self, pads: Mapping[int, list[int]]) -> None:
        self.known = pads

    def left(self, place: int, callee: int) -> int:
        return 0

    def pads(self, place: int) -> list[int]:
        return self.known.get(place, [])


class Function(carried.Function):
    """One function's code."""

    def __init__(self, code: Code, stretches: Sequence[tuple[int, int, int]], wanted: Wanted) -> None:
        super().__init__(t.EM_ARM, False, code.raw, code.rows, stretches, code.pads)
        self.code, self.wanted = code, wanted

    def read(
        self,
        made: Iterable[int],
        loaded: Iterable[int],
        tables: Iterable[int] = (),
        words: Iterable[int] = (),
        beside: Iterable[int] = (),
    ) -> bool:
        begun: list[_Held] = []
        for row, at in map(self._row, made):
            if row < 0 or (at not in self.code.made and at not in self.code.loaded):
                return True
            begun += self._put(row, at)
        for row, at in map(self._row, loaded):
            register = self.code.loaded.get(at, -1) if row >= 0 else -1
            if register == UNKNOWN:
                return True
            begun += [(to, register, None) for to in self.code.onward(row) if register >= 0]
        for row, at in map(self._row, tables):
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
        return [(to, register, address) for to in self.code.onward(row) if register >= 0]

    def _walk(self, begun: Sequence[_Held], *, tables: bool = False) -> list[_Held] | None:
        """Follow what is held until it is written. ``None``: a text is read; of ``tables``: a word that holds the
        address of one is read in parts. Returns, of tables, what is loaded from such words."""
        seen: dict[tuple[int, int], set[int | None]] = {}
        waiting, out = list(begun), list[_Held]()
        while waiting:
            row, register, address = waiting.pop()
            known = seen.setdefault((row, register), set())
            if len(known) > _MOST:
                address = None
            if address in known:
                continue
            known.add(address)
            bit = 1 << register
            if self.code.known.odd[row] & bit and not tables:
                return None
            if (self.code.known.use.base[row] | self.code.known.use.index[row]) & bit and self.code.known.use.loads[
                row
            ]:
                found = self._loads(row, register, address, tables=tables)
                if found is None:
                    return None
                out += found
            kept = [(to, address) for to in ([] if self.rows.kills[row] & bit else [register])]
            kept += self._makes(row, register, address)
            waiting += [(to, into, what) for to in self.code.onward(row) for into, what in kept]
        return out

    def _loads(self, row: int, register: int, address: int | None, *, tables: bool) -> list[_Held] | None:
        """What a load through a register gives, see :meth:`_walk`."""
        use, added, width = self.code.known.use, self.code.known.added, int(self.code.known.use.width[row])
        here = address
        if address is not None and added.base[row] == register:
            here = (address + int(added.distance[row])) & _ALL
        elif address is not None and not added.parts[row] & 1 << register:
            here = None
        if here is not None and width == arm_steps.MOST:  # several registers: from there, or up to there
            here, width = here - width, 2 * width
        if not tables:
            if use.byte[row] and use.near[row]:
                return []
            return None if here is None or self.wanted.meets(here, width) else []
        single = not use.index[row]
        if here is not None and single and not self.wanted.holds(here, width):
            return []
        if use.byte[row]:
            return []
        if not use.word[row]:
            return None if here is not None and single else []
        gets = self.rows.gets[row]
        return [(to, into, None) for to in self.code.onward(row) for into in range(_REGISTERS) if gets >> into & 1]

    def _makes(self, row: int, register: int, address: int | None) -> list[tuple[int, int | None]]:
        """The registers into which something is put that is made of what a register has, and the address."""
        known, bit = self.code.known, 1 << register
        added = known.added
        out: list[tuple[int, int | None]] = []
        if known.steps.stepped[row] & bit:
            moved = address is not None and added.back[row] == register and not known.use.byte[row]
            out.append(
                (register, (address + int(added.step[row])) & _ALL if moved and address is not None else address)
            )
        if not self.rows.parts[row] & bit:
            return out
        into = self.rows.into[row]
        if address is None:
            return [*out, (into, None)]
        if added.base[row] == register and added.into[row] == into:
            return [*out, (into, (address + int(added.distance[row])) & _ALL)]
        plain = bool(added.parts[row] & bit) and added.whole[row] == into
        return [*out, (into, address if plain else None)]
