"""What an operator's access networks lose if some elements are off: by traffic (or whatever is counted), and by
area."""

# ruff: noqa: S608 - the names in these queries are our own; an inventory's text is never among them
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from banbury.decide.exposure.dependence import dependence
from banbury.decide.exposure.graph import Bools, Floats, Graph, Ints, Longs, graph
from banbury.decide.exposure.kinds import Service, services
from banbury.decide.exposure.record import Area, Loss, Outage
from banbury.decide.network import Network

#: Rows of losses, and of regions in one of them.
LOSSES = 1000
AREAS = 100


@dataclass
class Parts:
    """Rows cut into parts by a number beside their group. ``part``: of each row, -1 where it has no number; ``group``
    and ``number``: of each part."""

    part: Longs
    group: Longs
    number: Longs


def _parts(group: Ints, number: Ints) -> Parts:
    known = number >= 0
    found, inverse = np.unique(group[known].astype(np.int64) << 32 | number[known], return_inverse=True)
    part = np.full(len(group), -1, dtype=np.int64)
    part[known] = inverse
    return Parts(part, found >> 32, found & 0xFFFFFFFF)


@dataclass
class Shares:
    """Rows of shares, in numbers. ``group``: index into ``groups`` (operator, network, metric, period, covered)."""

    element: Ints
    group: Ints
    share: Floats
    groups: list[tuple[str, str, str, str, float]]
    squares: Parts
    areas: Parts


def shares(g: Graph) -> Shares:
    """The shares of installed elements; kept with the graph."""
    if "shares" in g.cache:
        found: Shares = g.cache["shares"]
        return found
    numbered = """SELECT operator, network, metric, period, covered,
        (row_number() OVER (ORDER BY operator, network, metric, period) - 1)::INTEGER AS n FROM share_groups
        WHERE operator IS NOT NULL AND network IS NOT NULL AND metric IS NOT NULL AND period IS NOT NULL"""
    columns = g.network.columns(
        f"""SELECT i.n AS element, q.n AS grp, coalesce(s.share, 0)::DOUBLE AS share FROM shares s
        JOIN exposure_ids i ON i.id = s.element JOIN ({numbered}) q
        ON q.operator = s.operator AND q.network = s.network AND q.metric = s.metric AND q.period = s.period
        ORDER BY 2, 1"""
    )
    rows = g.network.sql(
        f"SELECT operator, network, metric, period, coalesce(covered, 0)::DOUBLE FROM ({numbered}) ORDER BY n"
    )
    element = np.ma.getdata(columns["element"]).astype(np.int32)
    group = np.ma.getdata(columns["grp"]).astype(np.int32)
    found = Shares(
        element,
        group,
        # Only an inventory with problems that were accepted has a share that is none.
        np.clip(np.nan_to_num(np.ma.getdata(columns["share"]).astype(np.float64)), 0.0, 1.0),
        [(str(o), str(n), str(m), str(p), float(c)) for o, n, m, p, c in rows],
        _parts(group, g.square[element]),
        _parts(group, g.region[element]),
    )
    g.cache["shares"] = found
    return found


def outage(
    network: Network | Graph, off: Bools, *, case: str = "asked", title: str = "the elements asked about"
) -> Outage:
    """What is lost if the elements ``off`` (a mask over a graph's elements, :func:`graph`) are switched off.

    Given a :class:`~banbury.decide.network.Network`, its graph is built first: several questions share one by being
    given the :class:`Graph`. Figures: :class:`~banbury.decide.exposure.record.Loss`.
    """
    g = graph(network) if isinstance(network, Network) else network
    works, fallen = dependence(g).fall(off)
    said = shares(g)
    count = len(said.groups)
    up = works[said.element]
    lost = ~up
    direct = np.bincount(said.group, weights=said.share * off[said.element], minlength=count)
    total = np.bincount(said.group, weights=said.share, minlength=count)
    gone = np.bincount(said.group, weights=said.share * lost, minlength=count)
    elements = np.bincount(said.group, minlength=count)
    dark = np.bincount(said.group, weights=lost, minlength=count)
    squares, squares_lost = _squares(said, lost)
    areas = _areas(g, said, lost)
    core = Core(g, ~works)
    rows = []
    for i, (operator, name, metric, period, covered) in enumerate(said.groups):
        if i >= LOSSES:
            break
        kept, pools = core.capacity(operator, name)
        # Where no core is left, what still has a way there is lost as well.
        by_core = total[i] - gone[i] if kept == 0.0 else 0.0
        low = min(float(gone[i] + by_core), 1.0)
        itself = min(float(direct[i]), low)
        dependent = min(float(gone[i] - direct[i]), low - itself)
        rows.append(
            Loss(
                operator=operator,
                network=name,
                metric=metric,
                period=period,
                low=low,
                high=min(low + max(float(total[i] - gone[i] - by_core), 0.0) * (1.0 - kept), 1.0),
                direct=itself,
                dependent=max(dependent, 0.0),
                core=max(low - itself - max(dependent, 0.0), 0.0) if kept == 0.0 else 0.0,
                covered=covered,
                elements=int(elements[i]),
                elements_lost=int(elements[i] if kept == 0.0 else dark[i]),
                squares=int(squares[i]),
                squares_lost=int(squares[i] if kept == 0.0 else squares_lost[i]),
                pools=pools,
                areas=areas[i][:AREAS],
                areas_more=max(len(areas[i]) - AREAS, 0),
            )
        )
    return Outage(case, title, int(off.sum()), int(fallen.sum()), rows, max(count - LOSSES, 0))


def _squares(said: Shares, lost: Bools) -> tuple[Longs, Longs]:
    """For each group: squares that hold its elements, and those in which every one is lost."""
    parts = said.squares
    working = np.zeros(len(parts.group), dtype=bool)
    working[parts.part[(parts.part >= 0) & ~lost]] = True
    count = len(said.groups)
    return np.bincount(parts.group, minlength=count), np.bincount(parts.group[~working], minlength=count)


def _areas(g: Graph, said: Shares, lost: Bools) -> list[list[Area]]:
    """For each group its regions, the one that loses most first. A pool of the core that is off is no region's loss."""
    parts, count = said.areas, len(said.areas.group)
    share = np.bincount(parts.part, weights=said.share, minlength=count)
    gone = np.bincount(parts.part, weights=said.share * lost, minlength=count)
    cells = np.bincount(parts.part, minlength=count)
    dark = np.bincount(parts.part, weights=lost, minlength=count)
    rows: list[list[Area]] = [[] for _ in said.groups]
    order = np.lexsort((np.arange(count), -gone))
    for i in order[parts.group[order] < LOSSES].tolist():
        region = g.regions[int(parts.number[i])]
        rows[int(parts.group[i])].append(Area(region, float(share[i]), float(gone[i]), int(cells[i]), int(dark[i])))
    return rows


class Core:
    """Pools of core functions by operator: how many elements there are, and how many of them are ``bad``."""

    def __init__(self, g: Graph, bad: Bools) -> None:
        count = len(g.functions)
        code = g.operator.astype(np.int64) * max(count, 1) + g.function
        wanted = np.isin(g.function, [i for i, f in enumerate(g.functions) if f in _pooled()])
        found, inverse = np.unique(code[wanted], return_inverse=True)
        number = np.bincount(inverse, minlength=len(found))
        gone = np.bincount(inverse, weights=bad[wanted], minlength=len(found))
        self._there: dict[str, dict[str, tuple[int, int]]] = {}
        for pair, n, k in zip(found.tolist(), number.tolist(), gone.tolist(), strict=True):
            operator, function = divmod(pair, max(count, 1))
            self._there.setdefault(g.operators[operator], {})[g.functions[function]] = (int(k), int(n))

    def ways(self, operator: str, network: str) -> list[Service]:
        """The ways to run the network of which the operator has anything."""
        there = self._there.get(operator, {})
        return [way for way in services().get(network, []) if any(f in there for pool in way.pools for f in pool)]

    def pool(self, operator: str, pool: list[str]) -> tuple[int, int]:
        """(bad, all) elements of a pool."""
        there = self._there.get(operator, {})
        pairs = [there[f] for f in pool if f in there]
        return sum(k for k, _ in pairs), sum(n for _, n in pairs)

    def capacity(self, operator: str, network: str) -> tuple[float, list[tuple[str, int, int]]]:
        """(part of the core that is left, pools with bad and all elements): of the best way to run the network the
        least of its pools; 1 where the inventory holds no such core."""
        best, pools = -1.0, []
        for way in self.ways(operator, network):
            found = [("/".join(p), *self.pool(operator, p)) for p in way.pools]
            found = [row for row in found if row[2]]
            left = min(1.0 - bad / there for _, bad, there in found)
            best = max(best, left)
            pools += found
        return (best if best >= 0 else 1.0), pools


def _pooled() -> set[str]:
    return {f for ways in services().values() for way in ways for pool in way.pools + way.user for f in pool}
