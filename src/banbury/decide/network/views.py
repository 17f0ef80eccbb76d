"""The relations that queries use, from the typed tables: owners resolved, functions classed, places joined."""

# ruff: noqa: S608 - the names in these queries are those of our own tables; an inventory's text is never among them
from __future__ import annotations

import datetime as dt

import duckdb

from banbury.decide.network.catalogue import PLANES, functions
from banbury.decide.network.relations import OWNERS


def catalogue(connection: duckdb.DuckDBPyConnection) -> None:
    """The table ``functions``."""
    planes = ", ".join(f"plane_{p.lower()} TINYINT" for p in PLANES)
    connection.execute(
        f"""CREATE TABLE functions (id VARCHAR, title VARCHAR, layer VARCHAR, class_gb VARCHAR, class_eu VARCHAR,
        {planes}, clear_unless VARCHAR, lowered_by VARCHAR[], inherits BOOLEAN, metric VARCHAR, source VARCHAR,
        unverified VARCHAR[])"""
    )
    rows = [
        [
            *(f.id, f.title, f.layer, f.class_gb, f.class_eu, *(f.planes[p] for p in PLANES)),
            *(f.clear_unless, list(f.lowered_by), f.inherits, f.metric, f.source, list(f.unverified)),
        ]
        for f in functions().values()
    ]
    # One parameter for each column: one for each cell takes longer than loading a small inventory.
    columns = [list(column) for column in zip(*rows, strict=True)]
    cells = ", ".join(f"unnest(${number})" for number in range(1, len(columns) + 1))
    connection.execute(f"INSERT INTO functions SELECT {cells}", columns)


#: Tables that a query sees as they are.
PLAIN = ("sites", "links", "sensitive", "assurance", "components")

_ELEMENTS = f"""
CREATE TABLE data_resolved AS
SELECT e.id, e.row, coalesce(e.operator, s.operator) AS operator, e.site, s.operator AS site_operator, s.region, s.lat,
    s.lon, s.class AS site_class, coalesce(z.classes, []::VARCHAR[]) AS sensitive, e.function,
    f.title AS function_title, f.layer, f.class_gb, f.class_eu,
    {", ".join(f"f.plane_{p.lower()}" for p in PLANES)}, f.clear_unless,
    e.vendor, e.product, e.release, e.release_sha256, e.tech, e.purchased, e.installed, e.planned_removal, e.managed_by,
    e.hosted_on, e.updated_by,
    e.supported_by, e.support_access, e.support_ends, e.asserted_by, e.as_of
FROM {{elements}} e
LEFT JOIN {{sites}} s ON s.id = e.site
LEFT JOIN (SELECT site, list(DISTINCT class ORDER BY class) AS classes FROM data_sensitive WHERE site IS NOT NULL
    GROUP BY site) z ON z.site = e.site
LEFT JOIN functions f ON f.id = e.function
"""

_OWNERS = f"""
CREATE OR REPLACE TABLE data_owners AS
WITH RECURSIVE valid AS (
    SELECT * FROM data_vendors
    WHERE id IS NOT NULL AND (valid_from IS NULL OR valid_from <= getvariable('as_of'))
        AND (valid_to IS NULL OR valid_to > getvariable('as_of'))
    QUALIFY row_number() OVER (PARTITION BY id ORDER BY row) = 1
), up AS (
    SELECT id, id AS at, parent, [id] AS chain, [name] AS names, [jurisdiction] AS countries,
        [class] AS classes FROM valid
    UNION ALL
    SELECT up.id, v.id, v.parent, list_append(up.chain, v.id), list_append(up.names, v.name),
        list_append(up.countries, v.jurisdiction),
        list_append(up.classes, v.class)
    FROM up JOIN valid v ON v.id = up.parent WHERE len(up.chain) < {OWNERS} AND NOT list_contains(up.chain, v.id)
), longest AS (
    SELECT * FROM up QUALIFY row_number() OVER (PARTITION BY id ORDER BY len(chain) DESC) = 1
)
SELECT v.row, v.id, v.name, v.parent, v.jurisdiction, coalesce(v.class, 'unknown') AS class, l.classes,
    l.at AS group_id, l.chain, l.names,
    list_sort(list_distinct(l.countries)) AS jurisdictions, v.valid_from, v.valid_to,
    v.asserted_by, v.as_of
FROM valid v JOIN longest l USING (id)
"""

#: SQL: what an element is on the date asked about.
STATUS = """CASE WHEN e.installed > getvariable('as_of') THEN 'planned'
         WHEN e.planned_removal <= getvariable('as_of') THEN 'removed' ELSE 'installed' END"""

_VIEWS = f"""
CREATE VIEW vendors AS SELECT * FROM data_owners;
CREATE VIEW elements AS
SELECT e.*, coalesce(v.name, e.vendor) AS vendor_name, coalesce(v.group_id, e.vendor) AS vendor_group,
    coalesce(v.chain, [e.vendor]) AS vendor_chain, coalesce(v.jurisdictions, []::VARCHAR[]) AS jurisdictions,
    CASE WHEN list_contains(v.classes, 'designated') THEN 'designated'
         WHEN list_contains(v.classes, 'high-risk') THEN 'high-risk' ELSE coalesce(v.class, 'unknown')
         END AS vendor_class,
    {STATUS} AS status,
    coalesce(getvariable('as_of') > e.as_of, false) AS projected
FROM data_resolved e LEFT JOIN data_owners v ON v.id = e.vendor;
CREATE VIEW elements_now AS SELECT * FROM elements WHERE status = 'installed';
CREATE VIEW share_groups AS
SELECT operator, network, metric, period, any_value(unit) AS unit, sum(value) AS total,
    CASE any_value(unit) WHEN 'fraction' THEN sum(value) ELSE 1.0 END AS covered, count(*) AS rows
FROM data_parts GROUP BY operator, network, metric, period;
"""

_SHARES = """
CREATE TABLE data_parts AS
SELECT row, element, operator, network, metric, period,
    CASE unit WHEN 'percent' THEN value / 100 ELSE value END AS value,
    CASE unit WHEN 'percent' THEN 'fraction' ELSE unit END AS unit, asserted_by, as_of
FROM data_shares;
CREATE TABLE shares AS
SELECT *, CASE unit WHEN 'fraction' THEN value ELSE
    value / nullif(sum(value) OVER (PARTITION BY operator, network, metric, period), 0) END AS share
FROM data_parts;
"""


#: The first of the rows with one id, where there may be several.
_FIRST = "(SELECT * FROM data_{0} WHERE row IN (SELECT min(row) FROM data_{0} WHERE id IS NOT NULL GROUP BY id))"


def build(connection: duckdb.DuckDBPyConnection, as_of: dt.date, *, single: bool = False) -> None:
    """Make every relation; the table ``functions`` and the typed tables are there. ``single``: no id is there twice."""
    for name in PLAIN:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM data_{name}")
    elements, sites = ("data_elements", "data_sites") if single else (_FIRST.format("elements"), _FIRST.format("sites"))
    connection.execute(_ELEMENTS.format(elements=elements, sites=sites))
    _drop(connection, "elements")
    connection.execute(_SHARES)
    _drop(connection, "shares")
    at(connection, as_of)
    connection.execute(_VIEWS)


def at(connection: duckdb.DuckDBPyConnection, as_of: dt.date) -> None:
    """Set the date asked about, and resolve who owns whom on it."""
    connection.execute(f"SET VARIABLE as_of = DATE '{as_of.isoformat()}'")
    connection.execute(_OWNERS)


def _drop(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Let go of a typed table, which is a view where it was loaded quickly."""
    kind = connection.execute(
        "SELECT table_type FROM information_schema.tables WHERE table_name = $n", {"n": f"data_{name}"}
    ).fetchone()
    connection.execute(f"DROP {'VIEW' if kind and kind[0] == 'VIEW' else 'TABLE'} data_{name}")
    connection.execute(f"DROP TABLE IF EXISTS read_{name}")
