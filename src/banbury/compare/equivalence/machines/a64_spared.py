"""Registers of A64 code that a call certainly leaves alone although a call of its kind may change them.

A compiler that knows the function which it calls keeps values in registers that the function does not write (GCC's
``-fipa-ra``). Here the instructions are gone through that may run between the call and its return: the function's, and
those of the functions that it calls or goes on in. All that any of them may write is lost, and everything where one
goes on outside of the section or by a register, or asks the system for something.

Sources: GCC manual, -fipa-ra; AAPCS64 6.1.1; Arm ARM DDI 0487, C4.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import a64
from banbury.compare.equivalence.machines.flow import Graph

_MOST: Final = 1 << 11  # instructions that are gone through of one function
_MOST_OF_ALL: Final = 1 << 18
_HINTS: Final = 1 << 16 | 1 << 17 | 1 << 30  # what instructions that authenticate change


def may_write(all_: a64.Decoded) -> a64.W:
    """The registers that each instruction may write, of those that calls may change."""
    w = all_.words
    fields = np.zeros(len(w), np.uint32)
    for at in (0, 5, 10, 16):
        number = a64.field(w, at, 5)
        fields |= np.where(number < 31, np.uint32(1) << np.minimum(number, np.uint32(30)), np.uint32(0))
    unknown = (all_.writes == 0) & (all_.reads == fields)
    out = all_.writes | np.where(unknown, fields, np.uint32(0))
    out |= np.where(a64.is_(w, 0xFFFFF01F, 0xD503201F), np.uint32(_HINTS), np.uint32(0))
    out |= np.where(a64.is_(w, 0xFF000000, 0xD4000000), np.uint32(a64.CALLER_SAVED), np.uint32(0))
    return (out & np.uint32(a64.CALLER_SAVED)).astype(np.uint32)


def lost_by_calls(all_: a64.Decoded, called: Ints, edges: tuple[Ints, Ints], inside: a64.Flags) -> a64.W:
    """For each instruction that is a call: the registers that it may change. ``called``: where direct calls within the
    section lead (-1: none); ``edges``: where branches and exceptions lead, by instruction, in order of these;
    ``inside``: which operands relative to their own place lead to the section."""
    search = _Search(all_, called, edges, inside)
    out = np.where(all_.calls, np.uint32(a64.CALLER_SAVED), np.uint32(0)).astype(np.uint32)
    caught = np.isin(np.arange(len(out)), edges[0])  # an exception leaves nothing alone
    rows = np.flatnonzero((called >= 0) & ~caught)
    entries, index = np.unique(called[rows], return_inverse=True)
    lost = np.array([search.lost(entry) for entry in entries.tolist()], np.uint32)
    out[rows] = lost[index.reshape(-1)]
    return out


def returning(graph: Graph, falls: a64.Flags) -> a64.Flags:
    """Where instructions fall through: what follows a call that seems not to return, and is reached by nothing else, is
    what its compiler let follow there. ``falls``: which may, if all calls return."""
    reached = np.append(False, graph.falls[:-1])
    reached[graph.targets] = True
    out: a64.Flags = graph.falls | (falls & ~np.append(reached[1:], True))
    return out


class _Search:
    def __init__(self, all_: a64.Decoded, called: Ints, edges: tuple[Ints, Ints], inside: a64.Flags) -> None:
        self.size, self.left = len(all_.words), _MOST_OF_ALL
        self.may, self.calls, self.called = may_write(all_).data, all_.calls.data, called.data
        self.falls, self.to = all_.falls.data, edges[1].data
        self.away = (all_.indirect | (all_.branches & ~inside) | (all_.calls & (called < 0))).data
        self.low = np.searchsorted(edges[0], np.arange(self.size + 1)).data

    def lost(self, entry: int) -> int:
        """What a function that begins at ``entry`` may change."""
        mask, seen, ahead = 1 << 30, set[int](), [entry]
        while ahead:
            row = ahead.pop()
            if row in seen:
                continue
            seen.add(row)
            self.left -= 1
            if row >= self.size or self.away[row] or len(seen) > _MOST or self.left < 0:
                return a64.CALLER_SAVED
            mask |= self.may[row]
            ahead += self.to[self.low[row] : self.low[row + 1]].tolist()
            if self.calls[row]:
                ahead.append(self.called[row])
            if self.falls[row]:
                ahead.append(row + 1)
        return mask
