"""What would have to be swapped: the equipment that the policies cover, as units of one visit each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from banbury.decide.network import Network
from banbury.decide.network.catalogue import functions
from banbury.decide.options.costs import Costs
from banbury.decide.policy import compile as compiler
from banbury.decide.policy.pack import Pack
from banbury.model.errors import InputError

NO_REGION = "no region"


class Unit(msgspec.Struct, frozen=True):
    """What one visit swaps: all that is covered at a site of one kind, or one element. ``refresh``: the year in which
    it would be bought anew anyway; None where nobody says when it was installed.
    """

    operator: str
    region: str
    kind: str
    vendor: str
    refresh: int | None
    elements: tuple[str, ...]


class Estate(msgspec.Struct, frozen=True):
    """``of``: the unit of each covered element. ``planned``: covered elements that are not there yet; they are ordered
    elsewhere, and need no swap. ``makers``: by operator and kind, vendors that no policy covers, the nearest first:
    (vendor, already in that operator's network for that kind). ``doubtful``: elements of which no policy can tell.
    """

    units: list[Unit]
    of: dict[str, int]
    planned: frozenset[str]
    makers: dict[tuple[str, str], list[tuple[str, bool]]]
    groups: dict[str, str]
    doubtful: int


def kind_of(costs: Costs) -> dict[str, str]:
    """The kind of each function of the catalogue, where the costs have one."""
    found = {}
    for name, function in functions().items():
        fits = [k for k, kind in costs.kinds.items() if function.layer in kind.layers]
        exact = [k for k in fits if not costs.kinds[k].metrics or function.metric in costs.kinds[k].metrics]
        if exact or fits:
            found[name] = (exact or fits)[0]
    return found


def cover(network: Network, packs: Sequence[Pack]) -> None:
    """Make ``option_cover`` (id, covered): whether any of the packs covers an element; null is "cannot tell". Packs
    about every vendor are left out: another vendor is no way out of them.
    """
    run = network.connection.execute
    run("CREATE OR REPLACE TEMP TABLE option_cover AS SELECT id, false AS covered FROM elements")
    run("CREATE OR REPLACE TEMP TABLE option_vendors AS SELECT id, false AS covered FROM vendors")
    for pack in packs:
        if pack.applies.everyone:
            continue
        for statement in compiler.tables(pack):
            run(statement)
        run(
            """CREATE OR REPLACE TEMP TABLE option_cover AS SELECT c.id, c.covered OR p.covered AS covered
            FROM option_cover c LEFT JOIN policy_elements p ON p.id = c.id WHERE c.covered OR p.id IS NOT NULL"""
        )
        run(
            """CREATE OR REPLACE TEMP TABLE option_vendors AS SELECT c.id, c.covered OR p.covered AS covered
            FROM option_vendors c JOIN policy_vendors p ON p.id = c.id"""
        )


def read(network: Network, costs: Costs) -> Estate:
    """The estate, from ``option_cover``. Raises :class:`InputError` where the costs lack a kind."""
    kinds = kind_of(costs)
    rows = network.sql(
        """SELECT e.id, e.operator, e.site, e.region, e.function, e.vendor_group, year(e.installed), e.status
        FROM elements e JOIN option_cover c ON c.id = e.id WHERE c.covered AND e.status <> 'removed' ORDER BY e.id"""
    )
    joined = _joined(network, kinds)
    members: dict[tuple[str, ...], list[tuple[str, str | None, str, str, int | None]]] = defaultdict(list)
    planned = []
    for id_, operator, site, region, function, vendor, installed, status in rows:
        if status == "planned":
            planned.append(id_)
            continue
        kind = kinds.get(function)
        if kind is None:
            raise InputError(f"costs: no kind for the layer of {function}", hint="docs/options.md says what kinds are")
        at = site if costs.kinds[kind].per == "site" and site is not None else f"element {id_}"
        key = joined.get(id_) or (str(operator), str(at), kind)
        members[key].append((id_, region, kind, vendor, installed))
    units: list[Unit] = []
    of: dict[str, int] = {}
    for key, some in members.items():
        kind = some[0][2]
        years = [year for *_, year in some if year is not None]
        refresh = round(sum(years) / len(years)) + costs.kinds[kind].life if years else None
        vendors = sorted({vendor for *_, vendor, _ in some})
        for id_, *_ in some:
            of[id_] = len(units)
        ids = tuple(id_ for id_, *_ in some)
        units.append(Unit(key[0], some[0][1] or NO_REGION, kind, "+".join(vendors), refresh, ids))
    groups = dict(network.sql("SELECT id, group_id FROM vendors"))
    doubt = network.sql("SELECT count(*) FROM option_cover WHERE covered IS NULL")[0][0]
    return Estate(units, of, frozenset(planned), _makers(network, kinds), groups, doubt)


def _joined(network: Network, kinds: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Elements that one count of sites sees as one site go together, whoever runs them: their unit's key."""
    rows = network.sql(
        """SELECT s.operator, e.site, list(DISTINCT e.id ORDER BY e.id),
            list(DISTINCT {'o': e.operator, 'f': e.function})
        FROM shares s JOIN elements e ON e.id = s.element JOIN option_cover c ON c.id = e.id
        WHERE c.covered AND s.metric = 'sites' AND s.unit = 'count' AND e.site IS NOT NULL AND e.status <> 'removed'
        GROUP BY s.operator, e.site HAVING count(DISTINCT e.id) > 1 ORDER BY 1, 2"""
    )
    parent: dict[str, str] = {}

    def top(x: str) -> str:
        while parent.setdefault(x, x) != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for _, _, ids, about in rows:
        if len({(a["o"], kinds.get(a["f"])) for a in about}) < 2:
            continue
        for other in ids[1:]:
            a, b = sorted((top(ids[0]), top(other)))
            parent[b] = a
    found: dict[str, tuple[str, ...]] = {}
    what = {i: (o, f) for i, o, f in network.sql("SELECT id, operator, function FROM elements")} if parent else {}
    for id_ in parent:
        first = top(id_)
        operator, function = what[first]
        found[id_] = (str(operator), f"joined {first}", kinds.get(function, ""))
    return found


def _makers(network: Network, kinds: dict[str, str]) -> dict[tuple[str, str], list[tuple[str, bool]]]:
    """For each operator and kind the vendors that no policy covers and that make such a thing in the inventory."""
    rows = network.sql(
        """SELECT e.operator, e.function, e.vendor, count(*) FROM elements e
        JOIN option_cover c ON c.id = e.id JOIN option_vendors v ON v.id = e.vendor
        WHERE c.covered = false AND v.covered = false AND e.status <> 'removed' GROUP BY ALL ORDER BY ALL"""
    )
    own: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    all_: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for operator, function, vendor, number in rows:
        kind = kinds.get(function)
        if kind is not None:
            own[str(operator), kind][vendor] += number
            all_[kind][vendor] += number
    operators = [str(row[0]) for row in network.sql("SELECT DISTINCT operator FROM elements ORDER BY 1")]
    found = {}
    for operator in operators:
        for kind in sorted(set(kinds.values())):
            mine = own.get((operator, kind), {})
            near = sorted(mine, key=lambda v: (-mine[v], v))
            far = sorted(set(all_[kind]) - set(mine), key=lambda v: (-all_[kind][v], v))
            found[operator, kind] = [(v, True) for v in near] + [(v, False) for v in far]
    return found
