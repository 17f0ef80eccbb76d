"""What stops when elements are off: hosts, ways to the core, and pools of core functions.

An element works while it is not off, one of its hosts works (where it has any), and some element that carries its
traffic works (where it has any), so on up to where the carrying ends: a site whose backhaul is off is off, and a
second host or a second way keeps it. Carriers that are joined (``connects``) stand in for each other. A core function
that is joined to carriers needs one of them. Managers, timing and power are not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from banbury.decide.exposure.graph import EDGES, Bools, Graph, Ints, Longs
from banbury.decide.network.catalogue import functions


@dataclass
class Ways:
    """A relation of which any one is enough, as a matrix: who serves whom; ``tops``: who is served by nobody."""

    indptr: Longs
    target: Ints
    tops: Bools

    def works(self, up: Bools) -> Bools:
        """The elements that work: up, and served over elements that are up from one that nobody serves."""
        n = len(up)
        keep = up[self.target]
        counts = np.concatenate([[0], np.cumsum(keep)])
        first = np.flatnonzero(self.tops & up).astype(np.int32)
        indices = np.concatenate([self.target[keep], first])
        indptr = np.append(counts[self.indptr], len(indices)).astype(np.int32)
        matrix = csr_array((np.ones(len(indices)), indices, indptr), shape=(n + 1, n + 1))
        order = breadth_first_order(matrix, n, directed=True, return_predecessors=False)
        found = np.zeros(n, dtype=bool)
        found[order[1:]] = True
        return found

    def below(self, begin: Bools) -> Bools:
        """The elements that one of ``begin`` serves, over any number of steps, itself among them."""
        return Ways(self.indptr, self.target, begin).works(np.ones(len(begin), dtype=bool))


def _ways(n: int, source: Ints, target: Ints, sideways: tuple[Ints, Ints] | None = None) -> Ways:
    """``sideways``: pairs that serve each other, without being served by it."""
    served = np.zeros(n, dtype=bool)
    served[target] = True
    tops = ~served
    if sideways is not None:
        source, target = np.concatenate([source, sideways[0]]), np.concatenate([target, sideways[1]])
    order = np.argsort(source, kind="stable")
    counts = np.bincount(source, minlength=n)
    found = Ways(np.concatenate([[0], np.cumsum(counts)]), target[order], tops)
    left = ~found.works(np.ones(n, dtype=bool))
    if left.any():
        # Circles that nothing serves from outside: each of their members stands for the way onwards.
        found.tops = tops | (left & _sources(found, left))
    return found


def _sources(ways: Ways, among: Bools) -> Bools:
    """The elements of circles (strong components) into which no way leads from outside."""
    n = len(among)
    row = np.repeat(np.arange(n, dtype=np.int64), np.diff(ways.indptr))
    # Each once, and in order: scipy 1.17's strong components do not end where an entry of the matrix is there twice.
    pairs = np.unique(row << 32 | ways.target)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pairs >> 32, minlength=n))])
    matrix = csr_array((np.ones(len(pairs)), (pairs & 0xFFFFFFFF).astype(np.int32), indptr), shape=(n, n))
    _, component = connected_components(matrix, directed=True, connection="strong")
    outside = component[row] != component[ways.target]
    entered = np.zeros(n, dtype=bool)
    entered[component[ways.target[outside]]] = True
    return np.asarray(among & ~entered[component])


@dataclass
class Dependence:
    """What each element needs: hosts, carriers, and (core functions) the carriers that they are joined to."""

    hosts: Ways
    carriers: Ways
    joined: tuple[Ints, Ints]
    needs_joint: Bools

    def fall(self, off: Bools) -> tuple[Bools, Bools]:
        """(elements that work, elements that would but for their host or way) where ``off`` are off."""
        hosted = self.hosts.works(~off)
        works = self.carriers.works(hosted)
        if self.needs_joint.any():
            joint = np.zeros(len(off), dtype=bool)
            carrier, function = self.joined
            joint[function[works[carrier]]] = True
            works = works & (joint | ~self.needs_joint)
        return works, ~works & ~off


def dependence(g: Graph) -> Dependence:
    """The dependence of a graph; kept with it."""
    if "dependence" in g.cache:
        found: Dependence = g.cache["dependence"]
        return found

    def rows(*names: str) -> Longs:
        codes = [EDGES.index(name) for name in names]
        return np.flatnonzero(np.isin(g.kind, codes))

    host, carry, join = rows("hosts"), rows("carries", "carries-protected"), rows("connects")
    carries = np.zeros(g.n, dtype=bool)
    carries[g.source[carry]] = True
    a, b = g.source[join], g.target[join]
    both = carries[a] & carries[b]
    sideways = (np.concatenate([a[both], b[both]]), np.concatenate([b[both], a[both]]))
    one = carries[a] ^ carries[b]
    carrier = np.where(carries[a], a, b)[one]
    function = np.where(carries[a], b, a)[one]
    core = np.isin(g.function, _core(g))[function]
    needs = np.zeros(g.n, dtype=bool)
    needs[function[core]] = True
    found = Dependence(
        _ways(g.n, g.source[host], g.target[host]),
        _ways(g.n, g.source[carry], g.target[carry], sideways),
        (carrier[core], function[core]),
        needs,
    )
    g.cache["dependence"] = found
    return found


def _core(g: Graph) -> list[Any]:
    known = functions()
    return [i for i, name in enumerate(g.functions) if name in known and known[name].layer == "core"]
