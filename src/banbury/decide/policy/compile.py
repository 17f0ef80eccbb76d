"""Rules into SQL. Conditions are three-valued, as SQL is: null is "the inventory does not say".

Nothing of an inventory is ever part of a query's text, and of a pack only what :mod:`banbury.decide.policy.read` has
held against a closed list (functions, classes, countries, words of small letters) - and the query of an ``sql`` rule.
"""

# ruff: noqa: S608 - see above
from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import Any

from banbury.decide.network.views import STATUS
from banbury.decide.policy import pack as model
from banbury.decide.policy.pack import Applies, Pack
from banbury.decide.policy.read import chosen

#: Ranks of the levels of evidence; unknown has none.
LEVELS = {"none": 0, "limited": 1, "moderate": 2, "sufficient": 3}
#: Mean radius of the earth, kilometres (IUGG).
EARTH = 6371.0088


def listed(values: Iterable[str]) -> str:
    """``'a', 'b'``; an empty list matches nothing."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values) or "NULL"


def _day(value: dt.date) -> str:
    return f"DATE '{value.isoformat()}'"


def _named(words: Iterable[str], text: str) -> str:
    # The words were held against [a-z0-9 ]+, so they are no pattern. Whole words: "zte" is not in "azte".
    pattern = "|".join(words)
    return f"regexp_matches(lower({text}), '(^|[^a-z0-9])({pattern})([^a-z0-9]|$)')"


def _is_one(a: Applies) -> str:
    """SQL: is the entity ``p``, an owner of ``l.id`` or that itself, one of those the pack is about?"""
    if a.everyone:
        return "true"
    parts = []
    if a.vendor_class:
        # That an owner's class is not said leaves the entity's own to count; its own unknown class is unknown.
        parts.append(
            f"CASE WHEN p.class IN ({listed(a.vendor_class)}) THEN true WHEN p.class = 'unknown' AND p.id = l.id "
            "THEN NULL ELSE false END"
        )
    if a.names:
        parts.append(_named(a.names, "p.name || ' / ' || p.id"))
    if a.jurisdictions:
        parts.append(f"p.jurisdiction IN ({listed(a.jurisdictions)})")
    return "(" + " OR ".join(parts) + ")"


def _some(expression: str) -> str:
    """SQL: three-valued OR over rows."""
    return f"CASE WHEN bool_or({expression}) THEN true WHEN bool_or(({expression}) IS NULL) THEN NULL ELSE false END"


#: The columns of ``policy_elements``, each with its SQL.
COLUMNS = {
    **{name: f"e.{name}" for name in ("id", "operator", "site", "region", "lat", "lon", "site_class", "sensitive")},
    **{name: f"e.{name}" for name in ("function", "layer", "tech", "vendor")},
    "vendor_group": "coalesce(v.group_id, e.vendor)",
    "covered": "{covered}",
    "status": STATUS,
    **{name: f"e.{name}" for name in ("purchased", "installed", "planned_removal", "managed_by", "product", "release")},
    **{name: f"e.{name}" for name in ("release_sha256", "as_of", "support_access")},
    "supporter": "s.covered",
}


def tables(pack: Pack, queries: Iterable[str] | None = None) -> list[str]:
    """The statements that make what the rules read: ``policy_vendors`` (id, group_id, covered), ``policy_parts`` and
    ``policy_elements``, the last with those columns alone that a word of ``queries`` may name (None: all of them).
    """
    a = pack.applies
    absent = "true" if a.everyone else "NULL"
    supplier = f"CASE WHEN {_named(a.names, 'k.supplier')} THEN true END" if a.names else "NULL::BOOLEAN"
    rebadged = "false"
    if a.components:
        # What no bill of materials says is no ground for doubt here; a component ban asks for the bill.
        roles = listed(a.components)
        rebadged = f"""EXISTS (SELECT 1 FROM policy_parts k WHERE k.product = e.product AND k.release = e.release
            AND k.covered AND k.role IN ({roles}))"""
    covered = f"CASE WHEN v.id IS NULL THEN {absent} ELSE v.covered END OR {rebadged}"
    words = {word for query in queries or () for word in re.findall(r"\w+|\*", query)} | {"id", "operator", "status"}
    # A star that is no multiplication asks for every column.
    every = queries is None or any(isinstance(rule, model.Sql) and "*" in rule.query for rule in pack.rules)
    columns = ", ".join(
        f"{sql.replace('{covered}', covered)} AS {name}" for name, sql in COLUMNS.items() if every or name in words
    )
    supporter = "LEFT JOIN policy_vendors s ON s.id = e.supported_by" if every or "supporter" in words else ""
    return [
        f"""CREATE OR REPLACE TEMP TABLE policy_vendors AS
        SELECT l.id, any_value(l.group_id) AS group_id, {_some(_is_one(a))} AS covered
        FROM (SELECT id, group_id, unnest(chain) AS up FROM vendors) l JOIN vendors p ON p.id = l.up GROUP BY l.id""",
        f"""CREATE OR REPLACE TEMP TABLE policy_parts AS
        SELECT k.product, k.release, k.role, CASE WHEN k.vendor IS NULL THEN {supplier} ELSE v.covered END AS covered
        FROM components k LEFT JOIN policy_vendors v ON v.id = k.vendor""",
        f"""CREATE OR REPLACE TEMP TABLE policy_elements AS SELECT {columns}
        FROM data_resolved e LEFT JOIN policy_vendors v ON v.id = e.vendor {supporter}
        WHERE {STATUS} <> 'removed'""",
    ]


def scope(pack: Pack, rule: model.Rule, e: str = "e") -> str:
    """SQL: is the element ``e`` one that the rule is about?"""
    parts = ["true"]
    if rule.where.functions:
        names = chosen(pack.definitions.function_class[rule.where.functions])
        parts.append(f"{e}.function IN ({listed(names)})")
    if rule.where.sites:
        sites = pack.definitions.site_class[rule.where.sites]
        # A site without an entry among the sensitive places is taken to be none: that is what the table is for.
        parts.append(
            f"({e}.site_class IN ({listed(sites.site)}) OR list_has_any({e}.sensitive, [{listed(sites.sensitive)}]))"
            if sites.site
            else f"list_has_any({e}.sensitive, [{listed(sites.sensitive)}])"
        )
    if rule.where.tech:
        parts.append(f"{e}.tech IN ({listed(rule.where.tech)})")
    return "(" + " AND ".join(parts) + ")"


def _hits(pack: Pack, rule: model.Rule, hit: str, *, inside: str = "", joins: str = "", planned: str = "") -> str:
    """One row for each element: operator, id, planned, day, inside (in scope), hit."""
    within = inside or scope(pack, rule)
    return f"""SELECT e.operator, e.id, {planned or "e.status = 'planned'"} AS planned, e.installed AS day,
        {within} AS inside, ({within} AND {hit}) AS hit
        FROM policy_elements e {joins} WHERE e.status IN ({listed(rule.counts)})"""


def _exclude(pack: Pack, rule: model.Exclude | model.RemoveBy) -> str:
    return _hits(pack, rule, "e.covered")


def _no_install_after(pack: Pack, rule: model.NoInstallAfter) -> str:
    day = _day(rule.date)
    # What was there, as said on a day before the limit, was not put in after it.
    there = f"WHEN e.status = 'installed' AND e.as_of <= {day} THEN false"
    bought = f"WHEN e.installed <= {day} THEN false" if rule.by == "purchased" else ""
    late = f"CASE WHEN e.{rule.by} IS NOT NULL THEN e.{rule.by} > {day} {bought} {there} END"
    return _hits(
        pack,
        rule,
        f"e.covered AND {late}",
        planned=f"coalesce(e.{rule.by} > getvariable('as_of'), e.status = 'planned')",
    )


def _cell(axis: str) -> str:
    # A point on the unit sphere; the cells are cubes with an edge of the largest distance, so what is near lies in
    # the same or a neighbouring one, at poles and at the 180th meridian as elsewhere.
    return {
        "x": "cos(radians(lat)) * cos(radians(lon))",
        "y": "cos(radians(lat)) * sin(radians(lon))",
        "z": "sin(radians(lat))",
    }[axis]


def _keep_away(pack: Pack, rule: model.KeepAway) -> str:
    classes = listed(rule.classes)
    own = "NULL" if rule.km is None else str(float(rule.km))
    chord = f"2 * sin(least(km / (2 * {EARTH}), pi() / 2))"
    points = ", ".join(f"{_cell(a)} AS {a}" for a in "xyz")
    grid = ", ".join(f"floor({a} / w.edge)::INTEGER AS c{a}" for a in "xyz")
    near = f"""WITH place AS (SELECT {points}, {chord} AS reach FROM
            (SELECT lat, lon, coalesce(radius, {own}) AS km FROM sensitive
                WHERE class IN ({classes}) AND lat IS NOT NULL)
            WHERE km IS NOT NULL),
        w AS (SELECT greatest(max(reach), 1e-6) AS edge FROM place),
        s AS (SELECT q.id, x, y, z, {grid} FROM (SELECT id, {points} FROM sites WHERE lat IS NOT NULL) q, w),
        p AS (SELECT x, y, z, reach, {", ".join(f"c{a} + d{a}.i AS c{a}" for a in "xyz")}
            FROM (SELECT q.*, {grid} FROM place q, w), range(-1, 2) dx(i), range(-1, 2) dy(i), range(-1, 2) dz(i))
        SELECT DISTINCT s.id AS site FROM s JOIN p USING (cx, cy, cz)
        WHERE (s.x - p.x)**2 + (s.y - p.y)**2 + (s.z - p.z)**2 <= p.reach**2"""
    placed = f"EXISTS (SELECT 1 FROM sensitive WHERE class IN ({classes}) AND lat IS NOT NULL"
    open_ends = f"""CASE WHEN {placed} AND coalesce(radius, {own}) IS NULL AND site IS NULL) THEN NULL
        WHEN e.lat IS NULL AND {placed}) THEN NULL ELSE false END"""
    hit = f"""(CASE WHEN list_has_any(e.sensitive, [{classes}]) OR n.site IS NOT NULL THEN true ELSE {open_ends} END)"""
    return _hits(pack, rule, f"e.covered AND {hit}", joins=f"LEFT JOIN ({near}) n ON n.site = e.site")


def _replace_manager(pack: Pack, rule: model.ReplaceManagerBy) -> str:
    inside = scope(pack, rule)
    # Who manages what has no manager any more is not known, as it is not where none is said.
    managed = f"SELECT e.*, {inside} AS inside FROM policy_elements e WHERE e.status IN ({listed(rule.counts)})"
    return f"""SELECT any_value(m.operator) AS operator, m.id, false AS planned, NULL::DATE AS day,
            {_some("u.inside")} AS inside, {_some("u.inside AND m.covered")} AS hit
        FROM ({managed}) u JOIN policy_elements m ON m.id = u.managed_by
        WHERE u.inside IS NOT false AND m.status = 'installed' GROUP BY m.id
        UNION ALL
        SELECT operator, id, false, NULL, inside, NULL FROM ({managed})
        WHERE inside IS NOT false AND (managed_by IS NULL
            OR managed_by NOT IN (SELECT id FROM policy_elements WHERE status = 'installed'))"""


def _component_ban(pack: Pack, rule: model.ComponentBan) -> str:
    role = (
        f"CASE WHEN role IN ({listed(rule.roles)}) THEN true WHEN coalesce(role, 'unknown') <> 'unknown' THEN false END"
    )
    bill = f"""SELECT product, release, {_some(f"covered AND {role}")} AS hit FROM policy_parts GROUP BY ALL"""
    # Left join: a product without a bill of materials is null, which is "cannot tell".
    return _hits(pack, rule, "b.hit", joins=f"LEFT JOIN ({bill}) b ON b.product = e.product AND b.release = e.release")


def _support(pack: Pack, rule: model.SupportRestriction) -> str:
    parts = ["e.supporter"] if rule.by_them else []
    if rule.access:
        known = "nullif(e.support_access, 'unknown')"
        way = f"{known} IN ({listed(rule.access)})"
        # Access in such a way matters where it is theirs.
        parts.append(f"({way} AND e.supporter)" if not rule.by_them else way)
    return _hits(pack, rule, f"({' OR '.join(parts)})")


def _same_release(a: str, e: str) -> str:
    """SQL: is evidence ``a`` about the release of element ``e``? By product and release; where both say what image it
    is, by that as well: evidence of another image of the same name is none of this one.
    """
    return (
        f"{a}.product = {e}.product AND {a}.release = {e}.release AND ({a}.vendor IS NULL OR {a}.vendor = {e}.vendor) "
        f"AND ({a}.release_sha256 IS NULL OR {e}.release_sha256 IS NULL OR {a}.release_sha256 = {e}.release_sha256)"
    )


def _as_is(r: str, e: str) -> str:
    keys = ("vendor", "product", "release")
    return (
        " AND ".join(f"{r}.{key} = {e}.{key}" for key in keys)
        + f" AND {r}.release_sha256 IS NOT DISTINCT FROM {e}.release_sha256"
    )


def _requires(pack: Pack, rule: model.Requires) -> str:
    rank = "CASE level " + " ".join(f"WHEN '{name}' THEN {n}" for name, n in LEVELS.items()) + " END"
    fresh = (
        "" if rule.max_age_days is None else f"AND date + {rule.max_age_days}::INTEGER >= getvariable('as_of')::DATE"
    )
    evidence = f"""SELECT product, release, release_sha256, vendor, max({rank}) AS rank FROM assurance
        WHERE kind IN ({listed(rule.evidence)}) AND date <= getvariable('as_of')
        AND (expires IS NULL OR expires >= getvariable('as_of')) {fresh} GROUP BY ALL"""
    best = f"""SELECT e.vendor, e.product, e.release, e.release_sha256, max(a.rank) AS rank
        FROM (SELECT DISTINCT vendor, product, release, release_sha256 FROM policy_elements) e JOIN ({evidence}) a
        ON {_same_release("a", "e")} GROUP BY ALL"""
    since = "true"
    if rule.since is not None:
        day = _day(rule.since)
        since = f"""(CASE WHEN e.installed IS NOT NULL THEN e.installed >= {day}
            WHEN e.status = 'installed' AND e.as_of < {day} THEN false END)"""
    inside = f"({scope(pack, rule)} AND e.covered AND {since})"
    return _hits(
        pack, rule, f"r.rank < {LEVELS[rule.level]}", inside=inside, joins=f"LEFT JOIN ({best}) r ON {_as_is('r', 'e')}"
    )


def _sql(pack: Pack, rule: model.Sql) -> str:
    # What it names is an element of the pack's network, so that no text of its own gets into a report.
    return f"""SELECT e.operator, e.id, false AS planned, NULL::DATE AS day, true AS inside,
        CASE WHEN e.id IS NULL THEN error('names what is no element of that operator') ELSE q.hit::BOOLEAN END AS hit
        FROM (SELECT operator::VARCHAR AS operator, id::VARCHAR AS id, hit FROM ({rule.query}
        )) q LEFT JOIN policy_elements e ON e.id = q.id AND e.operator IS NOT DISTINCT FROM q.operator"""


_COMPILERS: dict[type[Any], Callable[[Pack, Any], str]] = {
    model.Exclude: _exclude,
    model.RemoveBy: _exclude,
    model.NoInstallAfter: _no_install_after,
    model.KeepAway: _keep_away,
    model.ReplaceManagerBy: _replace_manager,
    model.ComponentBan: _component_ban,
    model.SupportRestriction: _support,
    model.Requires: _requires,
    model.Sql: _sql,
}


def ids(condition: str, most: int | None) -> str:
    """SQL: how many elements meet ``condition``, and the first ``most`` of their ids (all of them: None)."""
    some = f"list(id ORDER BY id) FILTER ({condition})" if most is None else f"min(id, {most}) FILTER ({condition})"
    return f"count(*) FILTER ({condition}), coalesce({some}, [])"


def hits(pack: Pack, rule: model.AnyRule, most: int | None) -> str:
    """The SQL of a rule about elements, grouped: operator, how many in scope, and for each outcome how many elements
    and the ids of the first ``most``.

    Columns: operator, inside, hits, their ids, planned, their ids, the first day of those, unknown, their ids.
    """
    return f"""WITH h AS ({_COMPILERS[type(rule)](pack, rule)})
        SELECT operator, count(*) FILTER (inside IS NOT false) AS inside, {ids("hit AND NOT planned", most)},
            {ids("hit AND planned", most)}, min(day) FILTER (hit AND planned) AS day, {ids("hit IS NULL", most)}
        FROM h GROUP BY operator ORDER BY operator"""
