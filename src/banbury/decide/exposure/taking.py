"""Precautions at work: which relations and labels of a network each takes away, where it holds, and where not and why.

What a precaution takes away depends on the inventory and the vendor alone, never on other precautions, so their order
does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from banbury.decide.exposure.closure import Closure, Start
from banbury.decide.exposure.graph import CLEAR, EDGES, Bools, Graph, Ints, Longs
from banbury.decide.exposure.precautions import Act, precautions
from banbury.decide.exposure.record import CLASSES, Applied, NotApplied
from banbury.decide.network.catalogue import functions

#: Names given for what a precaution does not hold for.
EXAMPLES = 5


@dataclass
class Taken:
    """What precautions take away: ``edges`` of the graph, ``holds`` by group and class, and of the vendor's own
    relations ``own`` by kind. ``each``: the same for each precaution."""

    ids: list[str]
    edges: Bools
    holds: np.ndarray[Any, np.dtype[np.bool_]]
    own: dict[str, Bools]
    each: list[Taken] = field(default_factory=list)

    @classmethod
    def nothing(cls, g: Graph) -> Taken:
        """No precaution."""
        own = {kind: np.zeros(g.n, dtype=bool) for kind in ("supplies", "supports", "supports-watched")}
        return cls([], np.zeros(len(g.kind), dtype=bool), np.zeros(g.holds.shape, dtype=bool), own)

    def add(self, other: Taken) -> None:
        """Take away what ``other`` does as well."""
        self.ids += other.ids
        self.edges |= other.edges
        self.holds |= other.holds
        for kind, mask in other.own.items():
            self.own[kind] |= mask
        self.each.append(other)

    def left(self, begin: Start) -> Start:
        """The vendor's own relations that are left."""
        return Start({kind: mask & ~self.own[kind] for kind, mask in begin.by_kind.items()})


def apply(g: Graph, begin: Start, closure: Closure, names: list[str]) -> tuple[Taken, list[Applied]]:
    """What the precautions ``names`` take away together, and what became of each.

    ``begin``: the vendor's own relations; ``closure``: what it reaches without precautions. All relations are taken
    away; counted are those that the vendor could use.
    """
    together = Taken.nothing(g)
    usable = used(closure, len(g.kind))
    held = np.logical_or.reduce([closure.held(power) for power in closure.powers])
    reports = []
    for name in names:
        one = _One(g, begin, usable, held, name)
        one.act()
        together.add(one.taken)
        reports.append(one.report())
    return together, reports


class _One:
    """One precaution at work."""

    def __init__(self, g: Graph, begin: Start, usable: Bools, held: Bools, name: str) -> None:
        self.g = g
        self.usable = usable
        self.held = held
        self.held_of = np.bincount(g.group[held], minlength=len(g.group_size))
        self.begin = begin
        self.name = name
        self.precaution = precautions()[name]
        self.taken = Taken.nothing(g)
        self.taken.ids = [name]
        self.cuts: dict[str, int] = {}
        self.not_applied: list[NotApplied] = []
        self.more_needs: list[str] = []

    def act(self) -> None:
        for act in self.precaution.acts:
            if act.on == "holds" and act.clear_unless:
                self._ciphertext(act)
            elif act.on == "holds":
                self._holds(act)
            elif act.on == "vendor":
                self._vendor(act)
            else:
                self._kind(act)

    def report(self) -> Applied:
        cut, left = sum(self.cuts.values()), sum(row.count for row in self.not_applied)
        state: Literal["applied", "partly", "not applied", "nothing to act on"] = (
            ("partly" if left else "applied") if cut else ("not applied" if left else "nothing to act on")
        )
        p = self.precaution
        return Applied(
            id=self.name,
            title=p.title,
            state=state,
            cuts=self.cuts,
            not_applied=self.not_applied,
            needs=p.needs + self.more_needs,
            source=p.source,
            read=p.read,
            cost=p.cost,
        )

    def _count(self, what: str, number: int) -> None:
        if number:
            self.cuts[what] = self.cuts.get(what, 0) + number

    def _refuse(self, what: str, elements: Longs, count: int, why: str) -> None:
        if count:
            names = self.g.names(elements[:EXAMPLES])
            self.not_applied.append(NotApplied(what, count, why, [names[int(e)] for e in elements[:EXAMPLES]]))

    def _kind(self, act: Act) -> None:
        """Cut relations of one kind, from the vendor itself and between elements."""
        g = self.g
        if act.on in self.begin.by_kind:
            mask = self.begin.by_kind[act.on]
            self.taken.own[act.on] |= mask
            self._count(act.on, int(mask.sum()))
        if act.on not in EDGES:
            return
        rows = np.flatnonzero(g.kind == EDGES.index(act.on))
        good, why = self._where(g.target[rows])
        self.taken.edges[rows[good]] = True
        self._count(act.on, int(self.usable[rows[good]].sum()))
        left = rows[~good & self.usable[rows]]
        self._refuse(act.on, np.unique(g.target[left]).astype(np.int64), len(left), why)

    def _where(self, elements: Ints) -> tuple[Bools, str]:
        """Where the precaution's condition holds, for each of ``elements``; and why it does not elsewhere."""
        condition = self.precaution.holds_if
        if condition == "release-equivalent":
            why = "the inventory holds no equivalence verdict for the release: unknown, not passed"
            return equivalent(self.g)[elements], why
        if condition in {"other-segw", "other-hsm"}:
            function = condition.removeprefix("other-").upper()
            good = self._other(function)[self.g.operator[elements]]
            return np.asarray(good), f"every {function} of the operator is this vendor's own"
        return np.ones(len(elements), dtype=bool), ""

    def _other(self, function: str) -> Bools:
        """The operators that have such an element of somebody else, or have none; the latter are told what they
        need."""
        g = self.g
        is_one = np.isin(g.function, [i for i, f in enumerate(g.functions) if f == function])
        count = len(g.operators)
        there = np.bincount(g.operator[is_one], minlength=count)
        theirs = np.bincount(g.operator[is_one & self.begin.by_kind["supplies"]], minlength=count)
        lacking = [g.operators[i] for i in np.flatnonzero(there == 0)]
        if lacking:
            more = f" and {len(lacking) - EXAMPLES:,} more" if len(lacking) > EXAMPLES else ""
            self.more_needs.append(
                f"a {function} that this vendor does not make: the inventory holds none for "
                f"{', '.join(lacking[:EXAMPLES])}{more}"
            )
        return np.asarray((there == 0) | (theirs < there))

    def _holds(self, act: Act) -> None:
        """Take classes of data out of the groups whose function says that this lowers it."""
        g = self.g
        known = functions()
        lowered = [i for i, f in enumerate(g.functions) if f in known and act.lowered_by in known[f].lowered_by]
        groups = np.flatnonzero(np.isin(g.group_function, lowered))
        where = self._other("HSM")[g.group_operator[groups]]
        for c in act.classes:
            column = list(CLASSES).index(c)
            there = g.holds[groups, column] > 0
            self.taken.holds[groups[there & where], column] = True
            self._count(f"holds {c}", int(self.held_of[groups[there & where]].sum()))
            bad = groups[there & ~where]
            elements = np.flatnonzero(np.isin(g.group, bad) & self.held)
            self._refuse(f"holds {c}", elements, len(elements), "every HSM of the operator is this vendor's own")

    def _ciphertext(self, act: Act) -> None:
        """Take content out of the groups that carry traffic in clear, of which this precaution has protected all."""
        g = self.g
        known = functions()
        named = [i for i, f in enumerate(g.functions) if f in known and known[f].clear_unless == act.clear_unless]
        left = (g.kind == EDGES.index("carries")) & ~self.taken.edges
        open_ = np.zeros(len(g.group_size), dtype=bool)
        open_[g.group[g.source[left]]] = True
        groups = np.flatnonzero(np.isin(g.group_function, named) & (g.group_passes == CLEAR) & ~open_)
        for c in act.classes:
            column = list(CLASSES).index(c)
            there = groups[g.holds[groups, column] > 0]
            self.taken.holds[there, column] = True
            self._count(f"holds {c}", int(self.held_of[there].sum()))

    def _vendor(self, act: Act) -> None:
        """Make elements somebody else's: they are neither supplied nor supported by this vendor any more."""
        g = self.g
        known = functions()
        fits = [
            i
            for i, f in enumerate(g.functions)
            if f in known
            and (not act.layers or known[f].layer in act.layers)
            and (not act.classes_gb or known[f].class_gb in act.classes_gb)
        ]
        made = self.begin.by_kind["supplies"] & np.isin(g.function, fits)
        if act.alternate:
            made = self._alternate(made)
        for kind, mask in self.begin.by_kind.items():
            self.taken.own[kind] |= mask & made
            self._count(kind, int((mask & made).sum()))

    def _alternate(self, made: Bools) -> Bools:
        """Every second of the vendor's elements of one operator and function, by name, as many as leave it no more than
        half. A lone element cannot be halved."""
        g = self.g
        pool = g.operator.astype(np.int64) * max(len(g.functions), 1) + g.function
        _, pool = np.unique(pool, return_inverse=True)
        size = np.bincount(pool)
        lone = np.flatnonzero(made & (size[pool] == 1))
        self._refuse("supplies", lone, len(lone), "it is the only one of its operator and function")
        at = np.flatnonzero(made)
        order = at[np.argsort(pool[at], kind="stable")]
        first = np.concatenate([[True], pool[order][1:] != pool[order][:-1]]) if len(order) else np.zeros(0, dtype=bool)
        begins = np.flatnonzero(first)
        place = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
        # The vendor keeps the first of each two; where others already make some, it may keep more of its own.
        theirs = np.bincount(pool[made], minlength=len(size))
        surplus = np.maximum(theirs - (size + 1) // 2, 0)
        odd = (place % 2 == 1) & (place // 2 < surplus[pool[order]])
        found = np.zeros(g.n, dtype=bool)
        found[order[odd]] = True
        return found


def used(closure: Closure, edges: int) -> Bools:
    """The relations that what is held could be used over: those of a state that is reached, by any rule."""
    source = np.repeat(closure.rank >= 0, np.diff(closure.arcs.indptr))
    found = np.zeros(edges, dtype=bool)
    found[closure.arcs.edge[source]] = True
    return found


def equivalent(g: Graph) -> Bools:
    """The elements whose release has, on the date, sufficient evidence that it is what its reviewed source builds.

    By product and release; where the evidence names an image or a vendor, the element must be of it. Of several the
    latest counts, of one day the weakest; evidence whose own verdict is another word than its level is not sufficient.
    Kept with the graph.
    """
    if "equivalent" in g.cache:
        known: Bools = g.cache["equivalent"]
        return known
    rows = g.network.columns(
        """WITH evidence AS (SELECT *, level = 'sufficient'
                AND (verdict IS NULL OR verdict = 'identical' OR starts_with(verdict, 'equivalent/')) AS good
            FROM assurance WHERE kind = 'equivalence' AND date <= getvariable('as_of')
            AND (expires IS NULL OR expires >= getvariable('as_of'))),
        about AS (SELECT e.n, a.date, a.good FROM exposure_nodes e JOIN evidence a
            ON a.product = e.product AND a.release = e.release AND (a.vendor IS NULL OR a.vendor = e.vendor)
            AND (a.release_sha256 IS NULL OR a.release_sha256 = e.release_sha256))
        SELECT n FROM (SELECT n, date, bool_and(good) AS good FROM about GROUP BY n, date
            QUALIFY row_number() OVER (PARTITION BY n ORDER BY date DESC) = 1) WHERE good"""
    )
    found = np.zeros(g.n, dtype=bool)
    found[np.ma.getdata(rows["n"])] = True
    g.cache["equivalent"] = found
    return found
