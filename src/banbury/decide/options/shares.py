"""Shares of access networks as caps see them: what each covered element takes from a share, what is open, the whole."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec

from banbury.decide.network import Network
from banbury.decide.policy import pack as model


class Share(msgspec.Struct, frozen=True):
    """A cap from the end of year ``by`` on. ``weight``: what each element takes from the share when it goes; ``about``:
    the network and the metric."""

    label: str
    about: tuple[str, str]
    policy: str
    by: int
    due: dt.date | None
    weight: dict[str, float]
    fixed: float
    whole: float
    limit: float
    at_limit: bool
    late: bool = False

    @property
    def name(self) -> str:
        """The cap in words."""
        sign = "below" if self.at_limit else "at most"
        return f"{self.label} {sign} {self.limit * 100:.6g} % of {' '.join(self.about)}"


def same(a: Share, b: Share) -> bool:
    """Whether two caps say the same, but for their date."""
    return (a.name, a.weight, a.fixed, a.whole) == (b.name, b.weight, b.fixed, b.whole)


def caps(network: Network, policy: str, rule: model.ShareCap, planned: frozenset[str]) -> Iterator[Share]:
    """One cap for each group that the rule is about, on the network's date, from ``policy_elements``.

    What the inventory leaves open counts as theirs: a plan is to keep the cap whatever the open figures are.
    """
    region = "e.region" if "region" in rule.group else "NULL::VARCHAR"
    each = rule.reading == "per-vendor"
    maker = "CASE WHEN covered THEN vendor_group END" if each else "NULL"
    rows = network.sql(_PARTS.format(network=rule.network, metric=rule.metric, region=region, maker=maker))
    whole: dict[tuple[str, str | None], float] = {}
    open_: dict[tuple[str, str | None], float] = {}
    theirs: dict[tuple[str, str | None, str | None], dict[str, float]] = {}
    missing: dict[str, float] = {}
    for operator, place, vendor, id_, value, covered, doubt, lacking, once in rows:
        key = (str(operator), place)
        missing[str(operator)] = lacking
        # A site with the elements of several vendors has a row for each, and is counted once.
        whole[key] = whole.get(key, 0.0) + (value if once else 0.0)
        if covered is None or (each and doubt):
            open_[key] = open_.get(key, 0.0) + value
        if covered and id_ not in planned:
            mine = theirs.setdefault((*key, vendor if each else None), {})
            mine[id_] = mine.get(id_, 0.0) + value
    for (operator, place, vendor), weight in sorted(theirs.items(), key=lambda item: str(item[0])):
        subject = " / ".join(x for x in (operator, place, vendor) if x)
        total = whole[operator, place] + missing[operator]
        if total <= 0:
            continue
        fixed = open_.get((operator, place), 0.0) + missing[operator]
        label, about = f"{policy}/{rule.id}: {subject}", (rule.network, rule.metric)
        yield Share(label, about, policy, 0, None, weight, fixed, total, rule.max, rule.breach == ">=")


# One row for each counted cell (a site where sites are counted, else an element): the first of the covered elements
# there.
_PARTS = """WITH taken AS (
        SELECT operator, coalesce(max(period) FILTER (period <= left(getvariable('as_of')::VARCHAR, length(period))),
            min(period)) AS period
        FROM shares WHERE network = '{network}' AND metric = '{metric}' GROUP BY operator),
    parts AS (
        SELECT s.operator, s.unit, s.value, e.id, {region} AS region, e.site, e.vendor_group, e.covered
        FROM shares s JOIN taken t ON t.operator = s.operator AND t.period = s.period
        JOIN policy_elements e ON e.id = s.element AND e.status = 'installed'
        WHERE s.network = '{network}' AND s.metric = '{metric}'),
    sums AS (SELECT operator, CASE any_value(unit) WHEN 'fraction' THEN greatest(0, round(1 - sum(value), 12)) ELSE 0.0
        END AS missing FROM parts GROUP BY operator),
    cells AS (SELECT *, CASE WHEN '{metric}' = 'sites' AND unit = 'count' THEN site ELSE id END AS cell,
        {maker} AS maker FROM parts)
    SELECT p.operator, p.region, p.maker, coalesce(min(p.id) FILTER (p.covered), min(p.id)), max(p.value),
        CASE WHEN bool_or(p.covered) THEN true WHEN bool_or(p.covered IS NULL) THEN NULL ELSE false END,
        bool_or(p.covered IS NULL), any_value(m.missing),
        row_number() OVER (PARTITION BY p.operator, p.region, p.cell ORDER BY p.maker) = 1
    FROM cells p JOIN sums m ON m.operator = p.operator
    GROUP BY p.operator, p.region, p.cell, p.maker
    ORDER BY ALL"""


def everywhere(network: Network, planned: frozenset[str]) -> list[Share]:
    """A cap for each operator's access network and each metric that the inventory has, of all that any policy
    covers."""
    network.connection.execute(
        """CREATE OR REPLACE TEMP TABLE policy_elements AS SELECT e.*, c.covered FROM elements e
        JOIN option_cover c ON c.id = e.id WHERE e.status <> 'removed'"""
    )
    pairs = network.sql("SELECT DISTINCT network, metric FROM shares ORDER BY 1, 2")
    found = []
    for net, metric in pairs:
        rule = model.ShareCap(
            id=f"{net.lower()}-{metric}",
            title="",
            source=model.Reference("", ""),
            network=net,
            metric=metric,
            max=1.0,
            breach=">",
            reading="collective",
        )
        found += list(caps(network, "cap", rule, planned))
    return found
