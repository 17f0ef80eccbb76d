"""A network as arrays: elements by number, what they hold, and the relations between them.

Elements are those installed on the date, numbered from 0 in the order of their ids, so that results do not depend on
the order of rows. A million elements and three million links are numbered by the database, and never become Python
objects.
"""

# ruff: noqa: S608 - the names in these queries are our own; an inventory's text is never among them
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from banbury.decide.exposure.record import CLASSES, Unknown
from banbury.decide.network import Network
from banbury.decide.network.catalogue import functions

Ints = np.ndarray[Any, np.dtype[np.int32]]
Longs = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

#: Relations between elements as they are held here; ``carries-protected`` and ``connects`` matter to outages alone.
EDGES = (
    "manages",
    "hosts",
    "updates",
    "supports",
    "supports-watched",
    "management-access",
    "carries",
    "carries-protected",
    "connects",
)
#: Protection that ends beyond the element that carries: it reads nothing. MACsec ends in that element.
PROTECTED = ("ipsec", "tls")
#: What an element passes on for others, of those functions that see content unless it is protected.
CLEAR, CIPHERTEXT = 1, 2
ACCESS = ("none", "attended", "unattended", "unknown")


@dataclass
class Graph:
    """The network in numbers. ``operator`` … ``supporter`` index the lists of names; -1: the inventory does not say.

    ``access``: index into :data:`ACCESS`. ``source``, ``target``, ``kind`` (index into :data:`EDGES`) and ``unsaid``
    (its protection is not said): the relations, one row each. ``holds``: for each group and class how much it holds,
    where a group (``group`` of an element) is all that is of one operator, one function and, where what a function
    sees turns on protection, one of :data:`CLEAR`, :data:`CIPHERTEXT` and 0 (it carries nothing here). ``cache``:
    what is derived once.
    """

    network: Network
    n: int
    operator: Ints
    function: Ints
    vendor: Ints
    supporter: Ints
    access: Ints
    region: Ints
    square: Ints
    operators: list[str]
    functions: list[str]
    vendors: list[str]
    regions: list[str]
    source: Ints
    target: Ints
    kind: Ints
    unsaid: Bools
    group: Ints
    group_operator: Longs
    group_function: Longs
    group_size: Longs
    group_passes: Longs
    holds: np.ndarray[Any, np.dtype[np.int8]]
    unknown: list[Unknown]
    cache: dict[str, Any] = field(default_factory=dict)

    def names(self, elements: Any) -> dict[int, str]:
        """The ids of some elements."""
        wanted = sorted({int(e) for e in elements})
        found: dict[int, str] = {}
        for i in range(0, len(wanted), 20_000):
            part = wanted[i : i + 20_000]
            found |= dict(
                self.network.connection.execute(
                    "SELECT n, id FROM exposure_nodes WHERE n IN (SELECT unnest($1::INTEGER[]))", [part]
                ).fetchall()
            )
        return found

    def mask(self, ids: list[str]) -> Bools:
        """A mask of the elements with these ids; others are passed over."""
        found = np.zeros(self.n, dtype=bool)
        rows = self.network.connection.execute(
            "SELECT n FROM exposure_nodes WHERE id IN (SELECT unnest($1::VARCHAR[]))", [ids]
        ).fetchall()
        found[[r[0] for r in rows]] = True
        return found


def graph(network: Network) -> Graph:
    """The network's installed elements and their relations as of its date. Seconds for a million elements; the
    exposures of several vendors and precautions share it."""
    _nodes(network)
    lists = {key: _list(network, key) for key in ("operator", "function", "entity", "region")}
    columns = _fetch(network)
    n = len(columns["operator"])
    source, target, kind, unsaid = _edges(network, n)
    found = Graph(
        network=network,
        n=n,
        operator=columns["operator"],
        function=columns["function"],
        vendor=columns["vendor"],
        supporter=columns["supporter"],
        access=columns["access"],
        region=columns["region"],
        square=columns["square"],
        operators=lists["operator"],
        functions=lists["function"],
        vendors=lists["entity"],
        regions=lists["region"],
        source=source,
        target=target,
        kind=kind,
        unsaid=unsaid,
        group=np.zeros(n, dtype=np.int32),
        group_operator=np.zeros(0, dtype=np.int64),
        group_function=np.zeros(0, dtype=np.int64),
        group_size=np.zeros(0, dtype=np.int64),
        group_passes=np.zeros(0, dtype=np.int64),
        holds=np.zeros((0, len(CLASSES)), dtype=np.int8),
        unknown=[],
    )
    _groups(found)
    found.unknown = _unknown(found)
    return found


def _nodes(network: Network) -> None:
    run = network.connection.execute
    run(
        """CREATE OR REPLACE TEMP TABLE exposure_nodes AS
        SELECT (row_number() OVER (ORDER BY id) - 1)::INTEGER AS n, id, coalesce(operator, '') AS operator,
            coalesce(function, '') AS function, coalesce(vendor, '') AS vendor, supported_by,
            coalesce(support_access, 'unknown') AS support_access, coalesce(region, '') AS region, lat, lon,
            product, release, release_sha256, managed_by, hosted_on, updated_by
        FROM elements_now WHERE id IS NOT NULL"""
    )
    run("CREATE OR REPLACE TEMP TABLE exposure_ids AS SELECT id, n FROM exposure_nodes")
    for key in ("operator", "function", "region"):
        run(
            f"""CREATE OR REPLACE TEMP TABLE exposure_{key} AS
            SELECT (row_number() OVER (ORDER BY name) - 1)::INTEGER AS n, name
            FROM (SELECT DISTINCT {key} AS name FROM exposure_nodes)"""
        )
    run(
        """CREATE OR REPLACE TEMP TABLE exposure_entity AS
        SELECT (row_number() OVER (ORDER BY name) - 1)::INTEGER AS n, name FROM (
            SELECT vendor AS name FROM exposure_nodes UNION SELECT id FROM vendors
            UNION SELECT supported_by FROM exposure_nodes WHERE supported_by IS NOT NULL) WHERE name IS NOT NULL"""
    )


def _list(network: Network, key: str) -> list[str]:
    return [row[0] for row in network.sql(f"SELECT name FROM exposure_{key} ORDER BY n")]


def _fetch(network: Network) -> dict[str, Ints]:
    access = " ".join(f"WHEN '{name}' THEN {i}" for i, name in enumerate(ACCESS))
    found = network.columns(
        f"""SELECT o.n AS operator, f.n AS function, v.n AS vendor, coalesce(s.n, -1) AS supporter,
            CASE support_access {access} ELSE 3 END::INTEGER AS access, r.n AS region,
            coalesce((floor((lat + 90) * 10) * 3600 + floor((lon + 180) * 10) % 3600)::INTEGER, -1) AS square
        FROM exposure_nodes e JOIN exposure_operator o ON o.name = e.operator
        JOIN exposure_function f ON f.name = e.function JOIN exposure_entity v ON v.name = e.vendor
        JOIN exposure_region r ON r.name = e.region LEFT JOIN exposure_entity s ON s.name = e.supported_by
        ORDER BY e.n"""
    )
    return {key: np.ma.getdata(value).astype(np.int32) for key, value in found.items()}


def _edges(network: Network, n: int) -> tuple[Ints, Ints, Ints, Bools]:
    """Source, target, kind and whether its protection is not said; ordered, each once."""
    code = {name: i for i, name in enumerate(EDGES)}
    protected = ", ".join(f"'{p}'" for p in PROTECTED)
    parts = [
        f"SELECT n AS b, {column} AS a, {code[kind]} AS kind, false AS unsaid FROM exposure_nodes "
        f"WHERE {column} IS NOT NULL"
        for column, kind in (("managed_by", "manages"), ("hosted_on", "hosts"), ("updated_by", "updates"))
    ]
    # Everything else of a link's type is a kind of the same name.
    plain = " ".join(
        f"WHEN '{k}' THEN {code[k]}" for k in ("manages", "hosts", "updates", "management-access", "connects")
    )
    rows = network.columns(
        f"""WITH said AS (
            SELECT i.n AS a, p.b, p.kind, p.unsaid FROM ({" UNION ALL ".join(parts)}) p
            JOIN exposure_ids i ON i.id = p.a
            UNION ALL
            SELECT x.n, y.n, CASE l.type {plain}
                WHEN 'supports' THEN CASE y.support_access WHEN 'attended' THEN {code["supports-watched"]}
                    ELSE {code["supports"]} END
                WHEN 'carries' THEN CASE WHEN l.encrypted IN ({protected}) THEN {code["carries-protected"]}
                    ELSE {code["carries"]} END END,
                coalesce(l.encrypted, 'unknown') IN ('unknown', 'other')
            FROM links l JOIN exposure_ids x ON x.id = l.a JOIN exposure_nodes y ON y.id = l.b)
        SELECT a::INTEGER AS a, b::INTEGER AS b, kind::INTEGER AS kind, unsaid FROM said
        WHERE kind IS NOT NULL AND a <> b"""
    )
    a, b, kind = (np.ma.getdata(rows[key]).astype(np.int64) for key in ("a", "b", "kind"))
    # Each relation once, in order of its ends and kind: as one number (elements are fewer than 2^31).
    key, place = np.unique((a * n + b) * len(EDGES) + kind, return_inverse=True)
    unsaid = np.zeros(len(key), dtype=bool)
    unsaid[place[np.ma.getdata(rows["unsaid"]).astype(bool)]] = True
    ends, kinds = np.divmod(key, len(EDGES))
    source, target = np.divmod(ends, max(n, 1))
    return source.astype(np.int32), target.astype(np.int32), kinds.astype(np.int32), unsaid


def planes(names: list[str]) -> np.ndarray[Any, np.dtype[np.int8]]:
    """How much of each class the functions hold; a function that the catalogue has not holds nothing that is known."""
    known = functions()
    return np.array([[known[f].planes[c] if f in known else 0 for c in CLASSES] for f in names], dtype=np.int8).reshape(
        len(names), len(CLASSES)
    )


def _groups(g: Graph) -> None:
    """Group the elements, and state what each group holds."""
    known = functions()
    by_link = np.array([bool(known[f].clear_unless) if f in known else False for f in g.functions], dtype=bool)
    clear = EDGES.index("carries")
    out = np.zeros((2, g.n), dtype=bool)
    for row, kind in enumerate((clear, EDGES.index("carries-protected"))):
        out[row, g.source[g.kind == kind]] = True
    # Content passes in clear unless the inventory says of everything it carries that it is protected.
    passes = np.where(out[0], CLEAR, np.where(out[1], CIPHERTEXT, 0)) * (by_link[g.function] if g.n else 0)
    code = (g.operator.astype(np.int64) * max(len(g.functions), 1) + g.function) * 3 + passes
    found, group, size = np.unique(code, return_inverse=True, return_counts=True)
    g.group = group.astype(np.int32)
    g.group_size = size
    g.group_operator, g.group_function = np.divmod(found // 3, max(len(g.functions), 1))
    g.group_passes = found % 3
    g.holds = planes(g.functions)[g.group_function]
    g.holds[g.group_passes == CIPHERTEXT, list(CLASSES).index("U")] = 0


def _unknown(g: Graph) -> list[Unknown]:
    """What of the graph the inventory does not say, and what is taken for it."""
    kind = {name: g.kind == i for i, name in enumerate(EDGES)}
    managed = np.zeros(g.n, dtype=bool)
    managed[g.target[kind["manages"]]] = True
    speaks = np.zeros(len(g.operators), dtype=bool)
    speaks[g.operator[g.source[kind["management-access"]]]] = True
    rows = [
        ("protection of a link that carries traffic", int((kind["carries"] & g.unsaid).sum()), "none"),
        (
            "how a supporter's access is watched",
            int(((g.supporter >= 0) & (g.access == ACCESS.index("unknown"))).sum()),
            "unattended access",
        ),
        ("who supports an element", int((g.supporter < 0).sum()), "nobody from outside: the exposure may be greater"),
        ("what manages an element", int((~managed).sum()), "nothing: the exposure may be greater"),
        (
            "which management interfaces can be reached, for a whole operator",
            int((~speaks).sum()),
            "none: the exposure may be greater",
        ),
        ("coordinates of an element's site", int((g.square < 0).sum()), "in no square of the area"),
    ]
    return [Unknown(what, count, taken) for what, count, taken in rows if count]
