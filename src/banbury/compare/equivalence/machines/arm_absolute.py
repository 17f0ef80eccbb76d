"""Absolute addresses in 32-bit Arm code, in files for a fixed address: words of literal pools, and pairs of moves.

A literal is an address or a number. A move of a lower half (``MOVW``) and one of an upper half (``MOVT``) of the same
register make a number together; each upper half is followed backwards over all paths to the lower halves that it may
complete, and every such pair is one number. What of these numbers may be an address is :mod:`relayout_fixed`'s to say.

Source: Arm ARM DDI 0406C, A8.8.102 (MOV, immediate), A8.8.106 (MOVT), A8.8.64 (LDR, literal); AAELF32, 4.6.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.a64 import field, is_
from banbury.compare.equivalence.machines.arm_code import Body
from banbury.compare.equivalence.machines.contract import Mask, Sides, Spread
from banbury.compare.equivalence.machines.flow import Graph, follow, spread
from banbury.compare.equivalence.relayout_data import same_words

W = npt.NDArray[np.uint32]
_NONE: Final = 255
_MOST_STEPS: Final = 2048  # instructions between the two halves of a number
_NEAR: Final = 12  # the same, where a function's address is only guessed from them
_LOWER, _UPPER = 1, 2


@dataclass(frozen=True)
class Moves:
    """By node: 1 for a move of a lower half and 2 for that of an upper half, its register and its 16 bits."""

    kind: npt.NDArray[np.uint8]
    register: Ints
    value: Ints

    @classmethod
    def of(cls, body: Body) -> Moves:
        first = body.halves.astype(np.int64)
        second, word = np.append(first[1:], 0), body.words.astype(np.int64)
        parts = first & 15, first >> 10 & 1, second >> 12 & 7, second & 0xFF
        t32 = parts[0] << 12 | parts[1] << 11 | parts[2] << 8 | parts[3]
        a32 = (word >> 16 & 15) << 12 | word & 0xFFF
        kind = np.zeros(len(body.place), np.uint8)
        for number, narrow, wide in ((_LOWER, 0xF240, 0x03000000), (_UPPER, 0xF2C0, 0x03400000)):
            kind[: body.count][(first & 0xFBF0 == narrow) & (second & 0x8000 == 0)] = number
            kind[body.count :][(word & 0x0FF00000 == wide) & (word >> 28 != 15)] = number
        return cls(kind, np.concatenate((second >> 8 & 15, word >> 12 & 15)), np.concatenate((t32, a32)))


@dataclass(frozen=True)
class Pairs:
    """Numbers of two halves: the rows of the moves, and both files' numbers. ``alone``: what upper halves begin that no
    lower half is known for."""

    lower: Ints
    upper: Ints
    made: Ints
    made_b: Ints
    alone: Ints


def pairs(body: Body, other: Body, graph: Graph, nodes: Ints, image: tuple[int, int]) -> Pairs:
    """The numbers in reach of the ``image`` that the code of ``nodes`` makes of halves. Raises :class:`Refused`."""
    ours, theirs = Moves.of(body), Moves.of(other)
    kind, register = ours.kind[nodes], ours.register[nodes]
    value, value_b = ours.value[nodes], theirs.value[nodes]
    top = value << 16
    users = np.flatnonzero((kind == _UPPER) & (top <= image[1]) & (top + 0x10000 > image[0]))
    words = body.words[np.minimum(body.place[nodes] // 4, len(body.words) - 1)]
    condition = np.where(body.thumb[nodes], 14, words >> 28).astype(np.int64)
    user, lower, opened = _origins(graph, users, register, kind == _LOWER, condition)
    bare = users[opened]
    changed = bare[value[bare] != value_b[bare]]
    if len(changed):
        raise body.refuse("an upper half changed, and not all that it completes is known", body.place[nodes[changed]])
    halves = np.flatnonzero((kind == _LOWER) & (value != value_b))
    read = follow(graph, halves + 1, register[halves], register[halves])
    lost = read.escapes[(kind[read.escapes] != _UPPER) | (register[read.escapes] != read.escaped)]
    if len(lost):
        raise body.refuse("a lower half changed that is more than a half", body.place[nodes[lost]])
    upper = users[user]
    made, made_b = ((v[upper] << 16) + v[lower] for v in (value, value_b))
    alone = np.setdiff1d(bare, upper)
    return Pairs(lower, upper, made, made_b, distinct(top[alone]))


def _origins(graph: Graph, users: Ints, register: Ints, makes: Mask, condition: Ints) -> tuple[Ints, Ints, Ints]:
    """The rows that put a lower half into the register of each of ``users`` on any path: as numbers of users, and rows;
    and the users that a path may reach without one. What is done on the same condition is taken to be done together."""
    order = np.argsort(graph.targets, kind="stable")
    into, origin = graph.targets[order], graph.sources[order]
    joins = np.zeros(graph.size, bool)
    joins[graph.targets] = True
    who, at = np.arange(len(users)), users
    found: list[Ints] = []
    rows: list[Ints] = []
    opened = np.zeros(len(users), bool)
    seen = np.zeros(0, np.int64)
    for _ in range(_MOST_STEPS):
        if not len(at):
            break
        index, back = spread(into, origin, at)
        fall = (at > 0) & graph.falls[np.maximum(at - 1, 0)]
        lost = ~fall
        lost[index] = False
        opened[who[lost]] = True
        at, who = np.concatenate((at[fall] - 1, back)), np.concatenate((who[fall], who[index]))
        wanted = register[users[who]]
        hit = makes[at] & (register[at] == wanted)
        found.append(who[hit])
        rows.append(at[hit])
        certain = (graph.writes[at] >> np.minimum(wanted, 31).astype(np.uint32)) & np.uint32(1) == 1
        opened[who[certain & ~hit]] = True
        going = ~certain & ~(hit & (condition[at] == condition[users[who]]))
        at, who = at[going], who[going]
        key = who * graph.size + at
        key, first = np.unique(key, return_index=True)
        fresh = ~(joins[at[first]] & np.isin(key, seen))
        at, who = at[first][fresh], who[first][fresh]
        seen = np.concatenate((seen, (who * graph.size + at)[joins[at]]))
    else:
        raise Refused("code", "its paths are too long to follow")
    empty = np.zeros(0, np.int64)
    one, two = (np.concatenate([empty, *x]) for x in (found, rows))
    if len(one):
        one, two = np.unique(np.stack((one, two)), axis=1)
    return one, two, np.flatnonzero(opened)


def likely(body: Body, nodes: Ints) -> Ints:
    """Numbers of two halves that stand close together: for finding functions, of which nothing rests on them."""
    moves = Moves.of(body)
    kind, register, value = moves.kind[nodes], moves.register[nodes], moves.value[nodes]
    at = np.flatnonzero(kind == _UPPER)
    out = [np.zeros(0, np.int64)]
    going = np.ones(len(at), bool)
    for back in range(1, _NEAR):
        before = np.maximum(at - back, 0)
        same = going & (at >= back) & (kind[before] == _LOWER) & (register[before] == register[at])
        out.append((value[at[same]] << 16) + value[before[same]])
        going &= ~same
    return np.concatenate(out)


def masks(body: Body, nodes: Ints) -> npt.NDArray[np.uint8]:
    """Of moves of halves, the bits of the four bytes that hold the half."""
    t32, a32 = np.array([0x0F, 0x04, 0xFF, 0x70]), np.array([0xFF, 0x0F, 0x0F, 0x00])
    return np.where(body.thumb[nodes][:, None], t32, a32).astype(np.uint8)


# Addresses before their object


@dataclass(frozen=True)
class Uses:
    """By node, as masks of registers: what is the base or index of an access to memory, what is added to something;
    and the register into which a sum is put (255: none)."""

    memory: W
    added: W
    into: Ints


def _bit(register: W) -> W:
    return np.where(register < 15, np.uint32(1) << np.minimum(register, 31), 0).astype(np.uint32)


def uses(body: Body) -> Uses:
    """How registers are used for finding data."""
    narrow, wide = _t32(body.halves), _a32(body.words)
    memory, added = (np.concatenate((narrow[k], wide[k])).astype(np.uint32) for k in (0, 1))
    return Uses(memory, added, np.concatenate((narrow[2], wide[2])))


def _t32(h: W) -> tuple[W, W, Ints]:
    second = np.append(h[1:], np.uint32(0)).astype(np.uint32)
    w = h << np.uint32(16) | second
    r0, r3, r6 = (field(h, at, 3) for at in (0, 3, 6))
    memory, added = np.zeros(len(h), np.uint32), np.zeros(len(h), np.uint32)
    into = np.full(len(h), _NONE, np.int64)
    narrow = is_(h, 0xF000, 0x5000)
    memory[narrow] = (_bit(r3) | _bit(r6))[narrow]
    based = is_(h, 0xE000, 0x6000) | is_(h, 0xF000, 0x8000)
    memory[based] = _bit(r3)[based]
    several = is_(h, 0xF000, 0xC000)
    memory[several] = _bit(field(h, 8, 3))[several]
    plain, high = is_(h, 0xFC00, 0x1800), is_(h, 0xFF00, 0x4400)
    added[plain], into[plain] = (_bit(r3) | _bit(r6))[plain], r0[plain]
    d = r0 | field(h, 4, 4) & np.uint32(8)
    added[high], into[high] = (_bit(d) | _bit(field(h, 3, 4)))[high], d[high]
    n, m = _bit(field(w, 16, 4)), _bit(field(w, 0, 4))
    single = is_(w, 0xFE000000, 0xF8000000)
    indexed = single & is_(w, 0x00800FC0, 0)
    memory[single] = n[single]
    memory[indexed] = (n | m)[indexed]
    wide = is_(w, 0xFE000000, 0xE8000000) | is_(w, 0xEE000000, 0xEC000000)
    memory[wide] = n[wide]
    shifted = is_(w, 0xFFE00000, 0xEB000000) | is_(w, 0xFFE00000, 0xEBA00000) | is_(w, 0xFFE00000, 0xEBC00000)
    added[shifted], into[shifted] = (n | m)[shifted], field(w, 8, 4)[shifted]
    return memory, added, into


def _a32(w: W) -> tuple[W, W, Ints]:
    n, m, d = _bit(field(w, 16, 4)), _bit(field(w, 0, 4)), field(w, 12, 4)
    memory, added = np.zeros(len(w), np.uint32), np.zeros(len(w), np.uint32)
    into = np.full(len(w), _NONE, np.int64)
    single = is_(w, 0x0C000000, 0x04000000) & ~is_(w, 0x0E000010, 0x06000010)
    half = is_(w, 0x0E000090, 0x90) & ~is_(w, 0x60, 0)
    block = is_(w, 0x0E000000, 0x08000000) | is_(w, 0x0E000000, 0x0C000000)
    memory[single | half | block] = n[single | half | block]
    indexed = (single & is_(w, 0x02000000, 0x02000000)) | (half & is_(w, 0x00400000, 0))
    memory[indexed] = (n | m)[indexed]
    plain = is_(w, 0x0E000000, 0) & ~is_(w, 0x90, 0x90)
    sums = plain & (is_(w, 0x01E00000, 0x00800000) | is_(w, 0x01E00000, 0x00400000) | is_(w, 0x01E00000, 0x00600000))
    added[sums], into[sums] = (n | m)[sums], d[sums]
    return memory, added, into


def indexed(body: Body, graph: Graph, nodes: Ints, rows: Ints, registers: Ints) -> Ints:
    """Rows where what is in ``registers`` before ``rows`` finds data, as it is or with something added to it."""
    used = uses(body)
    memory, added, into = used.memory[nodes], used.added[nodes], used.into[nodes]
    nothing = np.zeros(len(rows), np.int64)
    at = distinct(follow(replace(graph, reads=memory | added), rows, registers, nothing).escapes)
    sums = at[(added[at] != 0) & (into[at] < 15)]
    more = follow(replace(graph, reads=memory), sums + 1, into[sums], np.zeros(len(sums), np.int64))
    return distinct(np.concatenate((at[memory[at] != 0], more.escapes)))


# All of them


@dataclass(frozen=True)
class Made:
    """Numbers that code makes: the rows after which they are in ``registers``, and both files' numbers."""

    rows: Ints
    registers: Ints
    old: Ints
    new: Ints


@dataclass(frozen=True)
class Code:
    """A section of code taken apart, in both files. ``loads``: rows that load a literal into a core register."""

    sides: Sides
    one: Part
    other: Part
    bodies: tuple[Body, Body]
    nodes: Ints
    graph: Graph
    loads: Ints

    def words(self, at: Ints) -> tuple[Ints, Ints]:
        """The words at some offsets, in both files."""
        out = same_words(*self.sides.raw[self.one.index], at, 4, big=False)
        return out[0] & 0xFFFFFFFF, out[1] & 0xFFFFFFFF


def enter(code: Code, joined: Ints) -> tuple[Made, Ints, Ints]:
    """Enter all numbers of a section that may be addresses: those of literals but for the ``joined`` ones, and those of
    halves. Returns what code makes within the image; numbers that are compared as such and may be addresses; and what
    upper halves begin that nothing is known to complete. Raises :class:`Refused`."""
    sides, body, nodes = code.sides, code.bodies[0], code.nodes
    image = sides.image
    assert image is not None
    places = body.all.literal[nodes[code.loads]]
    whole = ~np.isin(places, joined) & (places >= 0) & (places + 4 <= code.one.size)
    rows, places = code.loads[whole], places[whole]
    away = body.all.literal[nodes[leaving(body)[nodes]]]
    at = distinct(np.concatenate((places, away[away + 4 <= code.one.size])))
    sides.immediates.append((code.one, code.other, at, 4, *code.words(at)))
    rest = np.setdiff1d(_literals(body, nodes), np.concatenate((at, joined)))
    rest = rest[rest + 4 <= code.one.size]
    found = pairs(body, code.bodies[1], code.graph, nodes, image)
    _halves(code, found)
    old, new = (np.concatenate(x) for x in zip(code.words(places), (found.made, found.made_b), strict=True))
    rows = np.concatenate((rows, found.upper))
    register = np.concatenate((body.all.into[nodes], np.zeros(0, np.uint8)))[rows].astype(np.int64)
    register[len(places) :] = Moves.of(body).register[nodes[found.upper]]
    inside = (old >= image[0]) & (old <= image[1])
    made = Made(rows[inside] + 1, register[inside], old[inside], new[inside])
    _before(code, made)
    return made, code.words(rest)[0], found.alone


def leaving(body: Body) -> Mask:
    """Which nodes jump to the address that a literal holds."""
    first, second = body.halves, np.append(body.halves[1:], np.uint32(0))
    t32 = (first & 0xFF7F == 0xF85F) & (second >> 12 == 15)
    a32 = is_(body.words, 0x0F7FF000, 0x051FF000)
    out: Mask = np.concatenate((t32, a32)) & (body.all.literal >= 0)
    return out


def _literals(body: Body, nodes: Ints) -> Ints:
    """The words of all literals."""
    place, length = body.all.literal[nodes], body.all.length[nodes]
    out = [place[(place >= 0) & (length > k)] // 4 * 4 + k for k in (0, 4)]
    return distinct(np.concatenate(out))


def _halves(code: Code, found: Pairs) -> None:
    body, nodes = code.bodies[0], code.nodes
    rows = np.stack((found.lower, found.upper), axis=1).reshape(-1)
    places = body.place[nodes[rows]]
    at = (places[:, None] + np.arange(4)).reshape(-1)
    owner = np.repeat(np.arange(len(found.made)), 8)
    bits = masks(body, nodes[rows]).reshape(-1)
    code.sides.spread.append(Spread(code.one, code.other, at, bits, owner, found.made, found.made_b))


def _before(code: Code, made: Made) -> None:
    """A number that lies in code finds no data: it might be an address before its object. Raises :class:`Refused`."""
    some = np.zeros(len(made.old), bool)
    for part, _ in code.sides.pairs:
        if part.code:
            some |= (made.old >= part.addr) & (made.old < part.addr + part.size)
    body, nodes = code.bodies[0], code.nodes
    lost = indexed(body, code.graph, nodes, made.rows[some], made.registers[some])
    if len(lost):
        raise body.refuse("an address that may lie before its object", body.place[nodes[lost]])
