"""From a closure to claims: what could be read, steered or switched off, each with a shortest path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from banbury.decide.exposure.closure import Closure, edge_between, trail, ways_in
from banbury.decide.exposure.graph import EDGES, Bools, Graph, Longs
from banbury.decide.exposure.kinds import ENTITY, kinds
from banbury.decide.exposure.record import CLASSES, Capability, Change, Claim, Reach, Step
from banbury.decide.exposure.taking import Taken
from banbury.decide.network.catalogue import functions

#: Claims that are listed.
CLAIMS = 5000
#: Operators that are listed in a table of figures.
OPERATORS = 1000


@dataclass
class Found:
    """A claim before its path is written. ``state``: the state nearest to the vendor."""

    group: int
    capability: Capability
    data: str
    strength: int
    power: str
    elements: int
    by_design: int
    state: int


@dataclass
class Every:
    """All claims of a closure. ``rows``: the first :data:`CLAIMS`, the gravest first; ``total``: how many there are;
    ``counts``: by capability and class, for each group the elements concerned (0: no claim)."""

    rows: list[Found]
    total: int
    counts: dict[tuple[str, str], Longs]


def found(g: Graph, closure: Closure, design: Closure, taken: Taken) -> Every:
    """Every claim of a closure, the gravest first: what a function holds most of, then keys and interception before
    content, signalling and location, then reading before steering and switching off. ``design``: the closure over ways
    that need no weakness."""
    said = kinds().powers
    nearest = {power: _nearest(g, closure, power) for power in closure.powers}
    holds = np.where(taken.holds, 0, g.holds)
    pairs = sorted(
        {pair for power in said.values() for pair in power.gives()},
        key=lambda pair: ("KIUSLCA".index(pair[1]), ("read", "steer", "off").index(pair[0])),
    )
    counts, sure, columns = {}, {}, []
    for place, (capability, data) in enumerate(pairs):
        giving = [p for p in closure.powers if (capability, data) in said[p].gives()]
        strength = holds[:, list(CLASSES).index(data)].astype(np.int64)
        count = _count(g, closure, giving) * (strength > 0)
        counts[capability, data], sure[place] = count, _count(g, design, giving)
        states = _first_of(closure, [nearest[p] for p in giving])
        groups = np.flatnonzero(count)
        columns.append(np.array([-strength[groups], np.full(len(groups), place), groups, states[groups]]))
    table = np.concatenate(columns, axis=1)
    rows = []
    for strength, place, group, state in table[:, np.lexsort(table[2::-1])[:CLAIMS]].T.tolist():
        capability, data = pairs[place]
        power = closure.powers[state // g.n]
        held = (int(counts[capability, data][group]), int(sure[place][group]))
        rows.append(Found(group, capability, data, -strength, power, *held, state))
    return Every(rows, table.shape[1], counts)


def _first_of(closure: Closure, states: list[Longs]) -> Longs:
    """For each group the one of several states (-1: none) that is nearest to the vendor."""
    every = np.array(states)
    far = len(closure.rank)
    ranks = np.where(every >= 0, closure.rank[np.maximum(every, 0)], far) if far else every
    return np.asarray(np.take_along_axis(every, ranks.argmin(axis=0)[None], axis=0)[0])


def _count(g: Graph, closure: Closure, powers: list[str]) -> Longs:
    """For each group how many elements any of the powers is held over."""
    some = np.logical_or.reduce([closure.held(power) for power in powers])
    return np.bincount(g.group[some], minlength=len(g.group_size))


def _nearest(g: Graph, closure: Closure, power: str) -> Longs:
    """For each group the state of the power that is nearest to the vendor; -1 where it has none."""
    at = closure.powers.index(power) * g.n
    there = closure.order[(closure.order >= at) & (closure.order < at + g.n)][::-1]
    nearest = np.full(len(g.group_size), -1, dtype=np.int64)
    # Of several assignments to one place the last stands: the nearest.
    nearest[g.group[there - at]] = there
    return nearest


def written(g: Graph, closure: Closure, rows: list[Found], vendor: str, begin: dict[str, Bools]) -> list[Claim]:
    """Claims with their paths. ``begin``: the vendor's own relations."""
    if not rows:
        return []
    states = np.unique(np.array([f.state for f in rows], dtype=np.int64))
    ways = dict(zip(states.tolist(), ways_in(closure, states).tolist(), strict=True))
    trails = {int(s): trail(closure, int(s)) for s in states}
    names = g.names({s % g.n for states_, _ in trails.values() for s in states_})
    paths = {s: list(_steps(g, closure, t, names, vendor, begin)) for s, t in trails.items()}
    known = functions()
    claims = []
    for f in rows:
        function = g.functions[int(g.group_function[f.group])]
        last = Step("holds", names[f.state % g.n], CLASSES[f.data])
        path = [*paths[f.state], last]
        claims.append(
            Claim(
                id=name(g, f),
                operator=g.operators[int(g.group_operator[f.group])],
                function=function,
                title=known[function].title if function in known else function,
                capability=f.capability,
                data=CLASSES[f.data],
                strength=f.strength,
                power=f.power,
                elements=f.elements,
                of=int(g.group_size[f.group]),
                path=path,
                ways=ways[f.state] - 1,
                by_design=f.by_design,
                attack=any(step.attack for step in path),
                cut_short=trails[f.state][1],
            )
        )
    return claims


def name(g: Graph, f: Found) -> str:
    """A claim's name: operator, function, what passes it, capability, class."""
    passes = ("", " (clear)", " (ciphertext)")[int(g.group_passes[f.group])]
    operator, function = int(g.group_operator[f.group]), int(g.group_function[f.group])
    return f"{g.operators[operator]}/{g.functions[function]}{passes}/{f.capability}/{f.data}"


def _steps(
    g: Graph,
    closure: Closure,
    found_trail: tuple[list[int], bool],
    names: dict[int, str],
    vendor: str,
    begin: dict[str, Bools],
) -> Iterator[Step]:
    said = kinds()
    states, cut_short = found_trail
    if not cut_short:
        first = states[0]
        power = closure.powers[first // g.n]
        element = first % g.n
        kind = _first_kind(power, element, begin)
        yield Step(kind, vendor, names[element], said.kinds[kind].basis == "attack")
    for a, b in pairwise(states):
        edge = edge_between(closure, a, b)
        kind = EDGES[int(g.kind[edge])]
        note = "its protection is not said" if kind == "carries" and g.unsaid[edge] else ""
        yield Step(kind, names[a % g.n], names[b % g.n], said.kinds[kind].basis == "attack", note)


def _first_kind(power: str, element: int, begin: dict[str, Bools]) -> str:
    """The relation of the vendor itself from which its power over an element follows: the first of several."""
    return next(r.kind for r in kinds().rules if r.before == ENTITY and r.after == power and begin[r.kind][element])


def changes(
    g: Graph, before: Every, after: Every, closure: Closure, taken: Taken, begin: dict[str, Bools]
) -> list[Change]:
    """What became of each of the first :data:`CLAIMS` claims of before."""
    rows = []
    for f in before.rows:
        count = int(after.counts[f.capability, f.data][f.group])
        by = _cut_by(g, closure, f, taken, begin)
        # The shown path is gone where a step of it is; what is left then has another.
        state = "cut" if not count else "reduced" if count < f.elements else "another way" if by else "remains"
        rows.append(Change(name(g, f), state, f.elements, count, by))  # type: ignore[arg-type]
    return rows


def _cut_by(g: Graph, closure: Closure, f: Found, taken: Taken, begin: dict[str, Bools]) -> list[str]:
    """The precautions that cut a step of the claim's path."""
    states, cut_short = trail(closure, f.state)
    edges = [edge_between(closure, a, b) for a, b in pairwise(states)]
    column = list(CLASSES).index(f.data)
    element = states[0] % g.n
    kind = "" if cut_short else _first_kind(closure.powers[states[0] // g.n], element, begin)
    rows = []
    for one in taken.each:
        first = bool(kind) and bool(one.own[kind][element])
        if first or one.holds[f.group, column] or any(one.edges[e] for e in edges):
            rows.append(one.ids[0])
    return rows


def reach(g: Graph, closure: Closure, made: Bools) -> list[Reach]:
    """How far it reaches, over all operators and for each."""
    control = closure.held("control")
    tap = closure.held("tap") & ~control
    view = closure.held("view") & ~control & ~tap
    masks = (np.ones(g.n, dtype=bool), made, control, tap, view)
    count = len(g.operators)
    by = [np.bincount(g.operator[m], minlength=count).tolist() for m in masks]
    rows: list[Any] = [Reach("", *(int(m.sum()) for m in masks))]
    if count > 1:
        rows += [
            Reach(g.operators[i], *(b[i] for b in by))
            for i in range(min(count, OPERATORS))
            if by[2][i] + by[3][i] + by[4][i]
        ]
    return rows
