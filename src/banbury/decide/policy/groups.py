"""Rules about a whole: caps on a share, and how many vendors there are. SQL gives figures, and these give verdicts.

A figure that the inventory leaves open is a range. A limit is breached where the least it can be breaches it, and met
where the most it can be does not; between the two there is insufficient data.
"""

# ruff: noqa: S608 - see banbury.decide.policy.compile
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from banbury.decide.policy import pack as model
from banbury.decide.policy.compile import ids, listed, scope
from banbury.decide.policy.pack import Pack

#: Decimal places to which shares are held against a limit: sums of fractions carry rounding.
PLACES = 9
_TECH = {"mobile": ("2G", "3G", "4G", "5G")}


class Figure(msgspec.Struct, frozen=True):
    """One measured figure against its limit. ``state``: breach, met or open."""

    subject: str
    state: str
    low: float | None
    high: float | None
    limit: float
    assets: list[str]
    total: int
    unit: str
    text: str = ""


def cap(rule: model.ShareCap, most: int | None) -> str:
    """The SQL of a cap: operator, region, vendor group, covered, open, whole, missing, period, how many
    elements of theirs and the first ``most`` of them, and those of which it is not known.

    A shared element counts in each operator's share with that operator's own row. The period is the latest that is not
    after the date, else the first. What fractions leave unaccounted is ``missing``. Sites that are counted are counted
    once, however many elements stand there; an element that is planned or removed counts nowhere.
    """
    keys = "operator, region" if "region" in rule.group else "operator"
    region = "e.region" if "region" in rule.group else "NULL::VARCHAR"
    cell = "CASE unit WHEN 'count' THEN site ELSE id END"
    each = rule.reading == "per-vendor"
    vendor = "vendor_group" if each else "NULL::VARCHAR"
    covered = "CASE WHEN bool_or(covered) THEN true WHEN bool_or(covered IS NULL) THEN NULL ELSE false END"
    # An element has one row; only sites have several, and are counted once.
    cells = "SELECT operator, region, value, covered, covered IS NULL AS doubt FROM parts"
    theirs = f"SELECT operator, region, {vendor} AS vendor, value FROM parts WHERE covered"
    if rule.metric == "sites":
        cells = f"""SELECT operator, region, {cell} AS cell, max(value) AS value, {covered} AS covered,
            bool_or(covered IS NULL) AS doubt FROM parts GROUP BY ALL"""
        theirs = f"""SELECT operator, region, {vendor} AS vendor, {cell} AS cell, max(value) AS value FROM parts
            WHERE covered GROUP BY ALL"""
    same = "w.operator = {0}.operator" + (" AND w.region IS NOT DISTINCT FROM {0}.region" if "region" in keys else "")
    return f"""WITH taken AS (
            SELECT operator, coalesce(
                max(period) FILTER (period <= left(getvariable('as_of')::VARCHAR, length(period))),
                min(period)) AS period
            FROM shares WHERE network = '{rule.network}' AND metric = '{rule.metric}' GROUP BY operator),
        parts AS (
            SELECT s.operator, s.period, s.unit, s.value, e.id, {region} AS region, e.site, e.vendor_group, e.covered
            FROM shares s JOIN taken t ON t.operator = s.operator AND t.period = s.period
            JOIN policy_elements e ON e.id = s.element AND e.status = 'installed'
            WHERE s.network = '{rule.network}' AND s.metric = '{rule.metric}'),
        kind AS (SELECT s.operator, any_value(s.unit) AS unit, any_value(s.period) AS period FROM shares s
            JOIN taken t ON t.operator = s.operator AND t.period = s.period
            WHERE s.network = '{rule.network}' AND s.metric = '{rule.metric}' GROUP BY s.operator),
        missing AS (SELECT k.operator, k.period, CASE k.unit WHEN 'fraction' THEN
                greatest(0, round(1 - coalesce((SELECT sum(value) FROM parts p WHERE p.operator = k.operator), 0), 12))
                ELSE 0 END AS missing FROM kind k),
        cells AS ({cells}),
        whole AS (SELECT {keys}, sum(value) AS whole, coalesce(sum(value) FILTER (covered), 0) AS covered,
            coalesce(sum(value) FILTER ({"doubt" if each else "covered IS NULL"}), 0) AS doubt FROM cells GROUP BY ALL),
        own AS (SELECT {keys}, vendor, sum(value) AS covered FROM
            ({theirs}) GROUP BY ALL),
        named({keys}, vendor, total, ids) AS (
            SELECT {keys}, {vendor}, {ids("covered", most)} FROM parts WHERE covered GROUP BY ALL),
        unsaid({keys}, total, ids) AS (
            SELECT {keys}, {ids("covered IS NULL", most)} FROM parts WHERE covered IS NULL GROUP BY ALL)
        SELECT m.operator, {"w.region" if "region" in keys else "NULL"}, o.vendor, coalesce(o.covered, 0), w.doubt,
            w.whole, m.missing, m.period,
            coalesce(n.total, 0), coalesce(n.ids, []), coalesce(u.total, 0), coalesce(u.ids, [])
        FROM missing m LEFT JOIN whole w ON w.operator = m.operator
        LEFT JOIN own o ON {same.format("o")}
        LEFT JOIN named n ON {same.format("n")} AND n.vendor IS NOT DISTINCT FROM o.vendor
        LEFT JOIN unsaid u ON {same.format("u")}
        ORDER BY ALL"""


def without_shares(rule: model.ShareCap) -> str:
    """The SQL of the operators that run such a network and have no row of shares for it."""
    tech = listed([*_TECH.get(rule.network, (rule.network,)), "common"])
    return f"""SELECT DISTINCT operator FROM policy_elements WHERE status = 'installed' AND layer = 'access'
        AND coalesce(tech, 'common') IN ({tech}) AND operator NOT IN
        (SELECT operator FROM shares WHERE network = '{rule.network}' AND metric = '{rule.metric}') ORDER BY 1"""


def _over(value: float, rule: model.ShareCap) -> bool:
    value = round(value, PLACES)
    return value > rule.max if rule.breach == ">" else value >= rule.max


def caps(rule: model.ShareCap, rows: list[tuple[Any, ...]], lacking: list[str], most: int | None) -> Iterator[Figure]:
    """Verdicts of a cap, from the rows of :func:`cap` and :func:`without_shares`."""
    unit = f"share of {rule.network} {rule.metric}, {rule.reading}; breach is {rule.breach} the limit"
    for operator, region, vendor, covered, doubt, whole, missing, period, theirs, named, doubts, unsaid in rows:
        subject = " / ".join(str(part) for part in (operator, region, vendor) if part is not None)
        if "region" in rule.group and region is None:
            subject = f"{operator} / no region"
        total = (whole or 0.0) + missing
        text = f"shares of {period}" + (f"; {missing:.1%} of the network is not accounted for" if missing else "")
        if total <= 0:
            yield Figure(subject, "open", None, None, rule.max, [], 0, unit, f"{text}; they make nothing")
            continue
        low, high = min(covered / total, 1.0), min((covered + (doubt or 0.0) + missing) / total, 1.0)
        low, high = round(low, PLACES), round(high, PLACES)
        state = "breach" if _over(low, rule) else "open" if _over(high, rule) else "met"
        assets, number = (named + unsaid, theirs + doubts) if state == "open" else (named, theirs)
        yield Figure(subject, state, low, high, rule.max, assets[:most], number, unit, text)
    for operator in lacking:
        yield Figure(operator, "open", None, None, rule.max, [], 0, unit, "the inventory has no shares of it")


def count(pack: Pack, rule: model.Diversity, most: int | None) -> str:
    """The SQL of a diversity rule: operator, region, vendors, others and theirs (least and most), how many elements of
    theirs, the first ``most`` of them.
    """
    region = "region" if "region" in rule.group else "NULL::VARCHAR"
    # First vendor by vendor, then their number: counting different ones among all the elements takes ten times as long.
    return f"""WITH g AS (
            SELECT operator, {region} AS region, vendor_group, bool_or(inside) AS sure,
                bool_or(inside AND NOT covered) AS other, bool_or(covered IS NOT true) AS perhaps_other,
                bool_or(inside AND covered) AS theirs, bool_or(covered IS NOT false) AS perhaps_theirs
            FROM (SELECT e.*, {scope(pack, rule)} AS inside FROM policy_elements e WHERE e.status = 'installed')
            WHERE inside IS NOT false GROUP BY ALL),
        n AS (SELECT operator, region, count(*) FILTER (sure) AS vendors, count(*) AS vendors_most,
                count(*) FILTER (other) AS others, count(*) FILTER (perhaps_other) AS others_most,
                count(*) FILTER (theirs) AS theirs, count(*) FILTER (perhaps_theirs) AS theirs_most
            FROM g GROUP BY ALL),
        named(operator, region, total, ids) AS (
            SELECT operator, {region} AS region, {ids("true", most)} FROM policy_elements e
            WHERE e.status = 'installed' AND e.covered AND {scope(pack, rule)} GROUP BY ALL)
        SELECT n.*, coalesce(d.total, 0), coalesce(d.ids, [])
        FROM n LEFT JOIN named d ON d.operator = n.operator AND d.region IS NOT DISTINCT FROM n.region ORDER BY 1, 2"""


def counts(rule: model.Diversity, rows: list[tuple[Any, ...]]) -> Iterator[Figure]:
    """Verdicts of a diversity rule: one for each of its limbs."""
    for operator, region, some, all_, others, others_most, theirs, theirs_most, total, named in rows:
        subject = (
            f"{operator} / {region if region is not None else 'no region'}" if "region" in rule.group else operator
        )
        limbs = [
            (rule.min_vendors, some, all_, "vendors, at least"),
            (rule.min_trusted, others, others_most, "vendors that the policy is not about, at least"),
        ]
        found = [
            ("breach" if high < least else "met" if low >= least else "open", low, high, least, unit)
            for least, low, high, unit in limbs
            if least
        ]
        most = rule.max_covered
        if most is not None:
            state = "breach" if theirs > most else "met" if theirs_most <= most else "open"
            found.append((state, theirs, theirs_most, most, "vendors that the policy is about, at most"))
        for state, low, high, limit, unit in found:
            met = state == "met"
            yield Figure(subject, state, low, high, limit, [] if met else named, 0 if met else total, unit)
