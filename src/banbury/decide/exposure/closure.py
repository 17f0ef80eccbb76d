"""Typed closure: what follows from a vendor's hold, over rules that say which relation composes with which power.

A state is an element with a power over it. Relations and rules make arcs between states, in one sparse matrix that is
built once for a graph; a vendor's own relations (supplies, supports) are arcs from one more state, the entity. Breadth
first search then gives each state a shortest path. Precautions take arcs away, so what can be reached only gets less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from banbury.decide.exposure.graph import ACCESS, EDGES, Bools, Graph, Ints, Longs
from banbury.decide.exposure.kinds import ENTITY, kinds

#: Steps of a path that are shown.
STEPS = 64


@dataclass
class Arcs:
    """Arcs between states, rows by source. State ``p * n + e`` is power ``p`` over element ``e``; ``edge`` is the
    relation of the graph that an arc rests on."""

    powers: list[str]
    indptr: Longs
    target: Ints
    edge: Ints


@dataclass
class Start:
    """What the vendor itself holds: for each kind that begins at an entity the elements it stands in that relation
    to."""

    by_kind: dict[str, Bools]


@dataclass
class Closure:
    """Which states are reached. ``order``: those, in the order of the search; ``rank``: position in it, -1 where not
    reached (a nearer state has a smaller rank); ``parent``: state before, or the number of states for the entity.
    ``arcs``: those that were left."""

    powers: list[str]
    n: int
    order: Ints
    rank: Ints
    parent: Ints
    arcs: Arcs
    first: Ints

    def held(self, power: str) -> Bools:
        """The elements over which the power is held."""
        at = self.powers.index(power) * self.n
        return np.asarray(self.rank[at : at + self.n] >= 0)


def arcs(g: Graph) -> Arcs:
    """The arcs of a graph; kept with it."""
    if "arcs" in g.cache:
        found: Arcs = g.cache["arcs"]
        return found
    said = kinds()
    powers = list(said.powers)
    sources, targets, edges = [], [], []
    for rule in said.rules:
        if rule.before == ENTITY:
            continue
        rows = np.flatnonzero(g.kind == EDGES.index(rule.kind)).astype(np.int32)
        sources.append(g.source[rows] + np.int32(powers.index(rule.before) * g.n))
        targets.append(g.target[rows] + np.int32(powers.index(rule.after) * g.n))
        edges.append(rows)
    source, target = np.concatenate(sources), np.concatenate(targets)
    # By source, target and rule: the same inventory gives the same paths, and an arc is found by bisection.
    order = np.argsort(source.astype(np.int64) << 32 | target, kind="stable")
    counts = np.bincount(source, minlength=len(powers) * g.n)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    found = Arcs(powers, indptr, target[order], np.concatenate(edges)[order])
    g.cache["arcs"] = found
    return found


def start(g: Graph, entities: Bools) -> Start:
    """The relations of the vendor ``entities`` (a mask over the graph's vendors) itself."""
    made = entities[g.vendor]
    supported = entities[g.supporter] & (g.supporter >= 0) if len(entities) else np.zeros(g.n, dtype=bool)
    watched = supported & (g.access == ACCESS.index("attended"))
    free = supported & ~watched & (g.access != ACCESS.index("none"))
    return Start({"supplies": made, "supports": free, "supports-watched": watched})


def by_attack(g: Graph) -> Bools:
    """The relations that need a weakness; a mask over the graph's."""
    said = kinds().kinds
    codes = [i for i, name in enumerate(EDGES) if name in said and said[name].basis == "attack"]
    return np.isin(g.kind, codes)


def close(g: Graph, begin: Start, cut: Bools | None = None) -> Closure:
    """Every state that the vendor reaches. ``cut``: a mask over the graph's relations that are taken away."""
    base = arcs(g)
    if cut is not None and cut.any():
        keep = ~cut[base.edge]
        counts = np.concatenate([[0], np.cumsum(keep)])
        base = Arcs(base.powers, counts[base.indptr], base.target[keep], base.edge[keep])
    first = _first(g, begin, base.powers)
    states = len(base.powers) * g.n
    indices = np.concatenate([base.target, first]).astype(np.int32)
    indptr = np.append(base.indptr, len(indices)).astype(np.int32)
    matrix = csr_array((np.ones(len(indices)), indices, indptr), shape=(states + 1, states + 1))
    order, parent = breadth_first_order(matrix, states, directed=True, return_predecessors=True)
    rank = np.full(states, -1, dtype=np.int32)
    rank[order[1:]] = np.arange(len(order) - 1)
    return Closure(base.powers, g.n, order[1:], rank, parent[:states].astype(np.int32), base, first)


def _first(g: Graph, begin: Start, powers: list[str]) -> Ints:
    """States that follow from the vendor's own relations, each once, the strongest power first."""
    found = np.zeros(len(powers) * g.n, dtype=bool)
    for rule in kinds().rules:
        if rule.before == ENTITY:
            at = powers.index(rule.after) * g.n
            found[at : at + g.n] |= begin.by_kind[rule.kind]
    return np.flatnonzero(found).astype(np.int32)


def trail(closure: Closure, state: int) -> tuple[list[int], bool]:
    """The states on the path to ``state``, from the first after the entity; and whether it is longer than is shown."""
    root = len(closure.rank)
    found = [state]
    while (before := int(closure.parent[found[-1]])) != root:
        if len(found) >= STEPS:
            return found[::-1], True
        found.append(before)
    return found[::-1], False


def edge_between(closure: Closure, a: int, b: int) -> int:
    """The relation (its row in the graph) by which state ``b`` follows from ``a``: the first of several."""
    low, high = closure.arcs.indptr[a], closure.arcs.indptr[a + 1]
    return int(closure.arcs.edge[low + int(np.searchsorted(closure.arcs.target[low:high], b))])


def ways_in(closure: Closure, states: Longs) -> Longs:
    """For each state how many last steps lead to it from states that are held, the vendor's own relation among them."""
    flagged = np.full(len(closure.rank), -1, dtype=np.int32)
    flagged[states] = np.arange(len(states))
    at = np.flatnonzero(flagged[closure.arcs.target] >= 0)
    source = np.searchsorted(closure.arcs.indptr, at, side="right") - 1
    at = at[closure.rank[source] >= 0]
    found = np.bincount(flagged[closure.arcs.target[at]], minlength=len(states))
    own = flagged[closure.first]
    return np.asarray(found + np.bincount(own[own >= 0], minlength=len(states)), dtype=np.int64)
