"""Values followed through registers, over every path of a section of code at once.

A *definition* puts a value with a label into a register; its *users* are the instructions that add their own part of
an address to it. All definitions are followed in step, each until the register is written again. Where two values
with different labels meet in one register the value becomes ``MIXED`` and is followed as that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints

W = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]
MIXED = -2
_NOTHING: Final = np.zeros(0, np.int64)
_UNSEEN = -1
#: Places visited for each instruction of the section, on average, before the search is given up.
_MOST = 64
_MOST_STEPS = 50_000


#: Registers are numbered from 0; from here on the words of the stack frame in which registers are kept.
SLOTS = 32
_WIDTH = 1 << 13


def key(at: Ints, register: Ints) -> Ints:
    """A place and a register (or slot) as one number."""
    out: Ints = at * _WIDTH + register
    return out


@dataclass(frozen=True)
class Graph:
    """Instructions by number. ``uses``: the register of which an instruction is a user (255: none). ``sources`` and
    ``targets``: where it leads besides falling through, sorted by source.

    ``moves``: (:func:`key` of a place and what is copied there, what it is copied into), sorted; ``kills``: sorted keys
    of places and slots that are written there; ``frames``: where the stack pointer changes.
    """

    reads: W
    writes: W
    uses: npt.NDArray[np.uint8]
    falls: Flags
    sources: Ints
    targets: Ints
    moves: tuple[Ints, Ints] = field(default_factory=lambda: (_NOTHING, _NOTHING))
    kills: Ints = field(default_factory=lambda: _NOTHING)
    frames: Flags | None = None
    slots: int = 0

    @property
    def size(self) -> int:
        return len(self.reads)

    def written(self, at: Ints, register: Ints) -> Flags:
        """Whether what was in a register or slot is lost at a place."""
        out = _bit(self.writes[at], register)
        if self.slots:
            out |= (register >= SLOTS) & _member(self.kills, key(at, register))
        return out

    def reframed(self, at: Ints, register: Ints) -> Flags:
        """Whether a slot is no longer found because the stack pointer changes."""
        if not self.slots or self.frames is None:
            return np.zeros(len(at), bool)
        out: Flags = (register >= SLOTS) & self.frames[at]
        return out


@dataclass(frozen=True)
class Found:
    """``users`` with their ``labels``, and the labels that ``escaped`` (were read by something else), with where."""

    users: Ints
    labels: Ints
    escaped: Ints
    escapes: Ints


def _bit(mask: W, register: Ints) -> Flags:
    shift = np.minimum(register, 31).astype(np.uint32)  # no mask has bit 31
    out: Flags = ((mask >> shift) & np.uint32(1) == 1) & (register < 31)
    return out


def _member(keys: Ints, wanted: Ints) -> Flags:
    if not len(keys):
        return np.zeros(len(wanted), bool)
    out: Flags = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
    return out


def spread(sources: Ints, targets: Ints, at: Ints) -> tuple[Ints, Ints]:
    """For each of ``at`` every target of its edges, which are sorted by source: (index into ``at``, target)."""
    low, high = np.searchsorted(sources, at, "left"), np.searchsorted(sources, at, "right")
    count = high - low
    index = np.repeat(np.arange(len(at)), count)
    first = np.repeat(low - (np.cumsum(count) - count), count)
    return index, targets[first + np.arange(len(index))]


class _Seen:
    """Which label went through each (place where paths join, register)."""

    def __init__(self, size: int, joins: Ints, slots: int) -> None:
        self.number = np.full(size + 1, -1, np.int64)
        self.number[joins] = np.arange(len(joins))
        self.width = SLOTS + slots
        self.label = np.full(max(len(joins), 1) * self.width, _UNSEEN, np.int64)


def follow(graph: Graph, places: Ints, registers: Ints, labels: Ints) -> Found:
    """Follow the values that are in ``registers`` before the instructions at ``places``. Raises ``Refused``."""
    seen = _Seen(graph.size, distinct(graph.targets), graph.slots)
    left = _MOST * (graph.size + 1000)
    at, reg, lab = places, registers, labels
    users: list[tuple[Ints, Ints]] = []
    escapes: list[tuple[Ints, Ints]] = []
    wait = np.zeros((3, 0), np.int64)
    for _ in range(_MOST_STEPS):
        if not (len(at) or wait.shape[1]):
            break
        at, reg, lab = (np.concatenate((x, y)) for x, y in zip((at, reg, lab), wait, strict=True))
        inside = (at >= 0) & (at < graph.size)
        at, reg, lab = at[inside], reg[inside], lab[inside]
        at, reg, lab, wait = _joined(seen, at, reg, lab)
        left -= len(at)
        if left < 0:
            raise Refused("code", "its paths are too many to follow")
        use = graph.uses[at] == reg
        users.append((at[use], lab[use]))
        out = _bit(graph.reads[at], reg)
        escapes.append((at[out], lab[out]))
        index, into = spread(*graph.moves, key(at, reg))
        live = ~(graph.written(at, reg) | graph.reframed(at, reg))
        at, reg, lab = (np.concatenate((x[live], y)) for x, y in ((at, at[index]), (reg, into), (lab, lab[index])))
        index, to = spread(graph.sources, graph.targets, at)
        fall = graph.falls[at]
        reg, lab = np.concatenate((reg[fall], reg[index])), np.concatenate((lab[fall], lab[index]))
        at = np.concatenate((at[fall] + 1, to))
    else:
        raise Refused("code", "its paths are too long to follow")
    used, by = (np.concatenate([u[k] for u in users] or [np.zeros(0, np.int64)]) for k in (0, 1))
    where, escaped = (np.concatenate([e[k] for e in escapes] or [np.zeros(0, np.int64)]) for k in (0, 1))
    return Found(*_settled(used, by), escaped, where)


def _settled(users: Ints, labels: Ints) -> tuple[Ints, Ints]:
    """Each user once; ``MIXED`` where it was reached with two labels."""
    order = np.lexsort((labels, users))
    users, labels = users[order], labels[order]
    first = np.ones(len(users), bool)
    first[1:] = users[1:] != users[:-1]
    last = np.append(first[1:], True)[: len(users)]
    same = labels[first] == labels[last]
    return users[first], np.where(same, labels[first], MIXED)


def _joined(seen: _Seen, at: Ints, reg: Ints, lab: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Enter the values at joins, and keep those that are new there; what came twice in this step waits."""
    number = seen.number[at]
    plain = number < 0
    if plain.all():
        return at, reg, lab, np.zeros((3, 0), np.int64)
    joins = np.flatnonzero(~plain)
    keys = number[joins] * seen.width + reg[joins]
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    again = joins[~first]
    waits = np.stack((at[again], reg[again], lab[again]))
    joins, keys = joins[first], keys[first]
    known, now = seen.label[keys], lab[joins]
    fresh = known == _UNSEEN
    mixed = ~fresh & (known != now) & (known != MIXED)
    made = np.where(fresh, now, MIXED)
    go = fresh | mixed
    seen.label[keys[go]] = made[go]
    keep = np.flatnonzero(plain)
    return (
        np.concatenate((at[keep], at[joins[go]])),
        np.concatenate((reg[keep], reg[joins[go]])),
        np.concatenate((lab[keep], made[go])),
        waits,
    )


def unproved(graph: Graph, users: Ints, registers: Ints, labels: Ints, defines: Ints, unknown: Flags) -> Ints:
    """Some of the users to which a path may lead that does *not* come from a definition of its label; none where every
    path of every user does. Followed backwards; where it is not empty, none of the users is proved.

    ``defines``: the label that an instruction gives to the register it writes (-1: none). ``unknown``: places that may
    be entered from where the graph does not say.
    """
    places, copied = graph.moves[0] // _WIDTH, graph.moves[0] % _WIDTH
    back_keys = key(places, graph.moves[1])
    order = np.argsort(back_keys, kind="stable")
    backwards = back_keys[order], copied[order]
    order = np.argsort(graph.targets, kind="stable")
    into, origin = graph.targets[order], graph.sources[order]
    seen = _Seen(graph.size, distinct(graph.targets), graph.slots)
    left = _MOST * (graph.size + 1000)
    at, reg, lab, who = users, registers, labels, users
    for _ in range(_MOST_STEPS):
        if not len(at):
            break
        # ``at`` is entered with the value: every way into it must bring it
        left -= len(at)
        if left < 0:
            raise Refused("code", "its paths are too many to follow")
        number = seen.number[at]
        join = number >= 0
        keys = np.where(join, number * seen.width + reg, -1 - np.arange(len(at)))
        first, inverse = np.unique(keys, return_index=True, return_inverse=True)[1:]
        known = np.where(join, seen.label[np.maximum(keys, 0)], _UNSEEN)
        bad = unknown[at] | (lab != lab[first[inverse]]) | ((known != _UNSEEN) & (known != lab))
        if bad.any():
            return np.asarray(who[bad])
        seen.label[keys[join]] = lab[join]
        first = first[known[first] == _UNSEEN]
        at, reg, lab, who = at[first], reg[first], lab[first], who[first]
        index, back = spread(into, origin, at)
        fall = (at > 0) & graph.falls[np.maximum(at - 1, 0)]
        lost = ~fall
        lost[index] = False
        if lost.any():  # nothing that is known leads here
            return np.asarray(who[lost])
        at = np.concatenate((at[fall] - 1, back))
        reg, lab, who = (np.concatenate((x[fall], x[index])) for x in (reg, lab, who))
        at, reg = _unmoved(graph, backwards, at, reg)
        written = graph.written(at, reg)
        wrong = (written & ((defines[at] != lab) | (reg >= SLOTS))) | graph.reframed(at, reg)
        if wrong.any():
            return np.asarray(who[wrong])
        at, reg, lab, who = (x[~written] for x in (at, reg, lab, who))
    else:
        raise Refused("code", "its paths are too long to follow")
    return np.zeros(0, np.int64)


def _unmoved(graph: Graph, backwards: tuple[Ints, Ints], at: Ints, register: Ints) -> tuple[Ints, Ints]:
    """Where a value was copied into a register or slot: the place after the instruction before, with what it was
    copied from; other places as they are."""
    keys, copied = backwards
    if not len(keys):
        return at, register
    wanted = key(at, register)
    index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, np.where(keys[index] == wanted, copied[index], register)
