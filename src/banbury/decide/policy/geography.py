"""Where a policy's capped shares are: by region, and by area for a map. For pictures; verdicts come from the rules.

An area is a cell of a grid, never a place: its share is rounded, a cell with few sites is left out, and the table of
sensitive places is not read.
"""

# ruff: noqa: S608 - the names are those of our own tables and of the catalogue of rules
from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from banbury.decide.network import Network
from banbury.decide.policy import compile as compiler
from banbury.decide.policy import pack as model
from banbury.decide.policy.assess import assess
from banbury.decide.policy.pack import Pack

#: The grid, in degrees, and the fewest sites of an operator that a cell may show.
LAT, LON, FEWEST = 0.5, 0.8, 5
#: A share in an area is rounded to this.
STEP: Final = 0.05


class RegionalShare(msgspec.Struct, frozen=True):
    """What a capped share would be in one region (0 to 1), least and most; the cap itself may be a national one."""

    policy: str
    rule: str
    operator: str
    region: str
    low: float
    high: float
    limit: float


class Area(msgspec.Struct, frozen=True):
    """One cell of one operator: its south-west corner in degrees, and the covered share of its part of the network,
    rounded to 0.05."""

    operator: str
    lat: float
    lon: float
    share: float


def regional(network: Network, packs: Sequence[Pack]) -> list[RegionalShare]:
    """The capped shares of ``packs`` by operator and region, whatever the caps' own grouping."""
    found = []
    for pack in packs:
        caps = [
            msgspec.structs.replace(rule, group=("operator", "region"), in_force=None)
            for rule in pack.rules
            if isinstance(rule, model.ShareCap)
        ]
        if not caps or network.as_of < pack.dates.in_force:
            continue
        for row in assess(network, [msgspec.structs.replace(pack, rules=tuple(caps))]).verdicts:
            operator, _, region = row.subject.partition(" / ")
            region = region.partition(" / ")[0]
            if row.measured is not None and row.limit is not None and region:
                high = row.measured if row.measured_high is None else row.measured_high
                found.append(RegionalShare(pack.id, row.rule, operator, region, row.measured, high, row.limit))
    return found


def areas(network: Network, pack: Pack) -> tuple[model.ShareCap | None, list[Area]]:
    """For a map: ``pack``'s first cap, and the share of it in each cell that is large enough. Empty without a cap."""
    rule = next((r for r in pack.rules if isinstance(r, model.ShareCap)), None)
    if rule is None:
        return None, []
    for statement in compiler.tables(pack):
        network.connection.execute(statement)
    rows = network.sql(
        f"""SELECT s.operator, floor(e.lat / {LAT}) * {LAT}, floor(e.lon / {LON}) * {LON},
            coalesce(sum(s.value) FILTER (e.covered), 0) / sum(s.value)
        FROM shares s JOIN policy_elements e ON e.id = s.element AND e.status = 'installed'
        WHERE s.network = '{rule.network}' AND s.metric = '{rule.metric}' AND e.lat IS NOT NULL AND e.lon IS NOT NULL
        GROUP BY ALL HAVING count(DISTINCT e.site) >= {FEWEST} AND sum(s.value) > 0 ORDER BY ALL"""
    )
    return rule, [Area(str(o), float(lat), float(lon), round(share / STEP) * STEP) for o, lat, lon, share in rows]


def ground(network: Network) -> list[tuple[float, float]]:
    """The cells (south-west corners) in which the inventory has any site: the shape of the country, and no more."""
    rows = network.sql(
        f"""SELECT DISTINCT floor(lat / {LAT}) * {LAT}, floor(lon / {LON}) * {LON} FROM sites
        WHERE lat IS NOT NULL AND lon IS NOT NULL ORDER BY ALL"""
    )
    return [(float(lat), float(lon)) for lat, lon in rows]
