"""Made-up mobile networks: cell sites with 4G, some with 5G, shared radio networks, and what carries them.

First every operator is planned (where it stands, whose kit a site has), then masts are shared, then rows are written: a
shared element is the host's, and each operator has a row of shares of its own for it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from scipy.spatial import cKDTree

from banbury.decide.network import core
from banbury.decide.network.plan import Plan
from banbury.decide.network.settings import Operator, Settings, Sharing
from banbury.decide.network.siting import DEGREE, Floats, Ints, Places, Sites, assign, scatter
from banbury.decide.network.writing import Draft

#: The furthest that two operators' sites stand from each other and are made one mast, kilometres.
NEAR = 10.0
#: Days between which elements of a generation were installed.
DAYS = {"3G": ("2008-01-01", "2015-12-31"), "4G": ("2012-10-30", "2019-06-30"), "5G": ("2019-05-30", "2020-01-27")}
FUNCTIONS = {"4G": "ENB", "5G": "GNB"}


class Pairs(msgspec.Struct):
    """Sites of a host whose element of a generation serves a guest's site as well."""

    sharing: Sharing
    host: Plan
    guest: Plan
    at: Ints
    guests: Ints


def plan(rng: np.random.Generator, said: Settings, where: Places, operator: Operator, scale: float) -> Plan:
    """Where an operator's sites stand, and whose kit each one has."""
    n = max(round(operator.sites * scale), 20)
    sites = scatter(rng, where, n, said.exponent, 60)
    share_5g = said.sites_5g / sum(o.sites for o in said.operators)
    some = max(round(n * share_5g), min(n, 120))
    chosen = np.sort(rng.choice(n, some, replace=False, p=sites.traffic))
    ran = _vendors(rng, sites, chosen, operator)
    ids = numbered(f"{operator.name.lower()}-site", n)
    return Plan(operator, rng, sites, ids, ran, {"4G": np.arange(n), "5G": chosen})


def numbered(prefix: str, n: int) -> np.ndarray[Any, Any]:
    """``prefix-00001`` and on."""
    return np.array([f"{prefix}-{i:05d}" for i in range(1, n + 1)], dtype=object)


def days(rng: np.random.Generator, n: int, first: str, last: str) -> np.ndarray[Any, Any]:
    """``n`` days drawn between two."""
    span = int((np.datetime64(last) - np.datetime64(first)).astype(int))
    text = (np.datetime64(first) + np.arange(span + 1)).astype(str).astype(object)
    return np.asarray(text[rng.integers(0, span + 1, n)], dtype=object)


def _vendors(
    rng: np.random.Generator, sites: Sites, chosen: Ints, operator: Operator
) -> dict[str, np.ndarray[Any, Any]]:
    """The vendor of every site by generation; where both generations ask for the same shares, one vendor for both."""
    count = int(sites.cluster.max()) + 1

    def by_cluster(at: Ints) -> list[Floats]:
        cluster, traffic = sites.cluster[at], sites.traffic[at]
        return [
            np.bincount(cluster, minlength=count) / len(at),
            np.bincount(cluster, weights=traffic, minlength=count) / traffic.sum(),
        ]

    every = by_cluster(np.arange(len(sites.cluster)))
    fifth = by_cluster(chosen)
    found: dict[str, np.ndarray[Any, Any]] = {}
    if operator.ran_4g == operator.ran_5g:
        one = assign(rng, np.array(every + fifth), operator.ran_4g)
        picks = {"4G": one, "5G": one}
    else:
        picks = {
            "4G": assign(rng, np.array(every), operator.ran_4g),
            "5G": assign(rng, np.array(fifth), operator.ran_5g),
        }
    for tech, target in (("4G", operator.ran_4g), ("5G", operator.ran_5g)):
        found[tech] = np.array(list(target), dtype=object)[picks[tech][sites.cluster]]
    return found


def share(rng: np.random.Generator, sharing: Sharing, one: Plan, other: Plan) -> list[Pairs]:
    """Which masts two operators share, and who is host. The guest's site moves to the host's mast."""
    points = _kilometres(one.sites)
    distance, nearest = cKDTree(points).query(_kilometres(other.sites), distance_upper_bound=NEAR)
    near = np.isfinite(distance) & (rng.random(len(nearest)) < sharing.part)
    if not sharing.vendor:
        near[near] = one.ran[sharing.tech][nearest[near]] == other.ran[sharing.tech][near]
    guests = np.flatnonzero(near)
    mine, first = np.unique(nearest[guests], return_index=True)
    theirs = guests[first]
    first_hosts = np.arange(len(mine)) % 2 == 0 if sharing.west is None else one.sites.lon[mine] < sharing.west
    found = [
        Pairs(sharing, one, other, mine[first_hosts], theirs[first_hosts]),
        Pairs(sharing, other, one, theirs[~first_hosts], mine[~first_hosts]),
    ]
    for pairs in found:
        pairs.guest.sites.lat[pairs.guests] = pairs.host.sites.lat[pairs.at]
        pairs.guest.sites.lon[pairs.guests] = pairs.host.sites.lon[pairs.at]
        if not sharing.vendor:
            pairs.guest.at[sharing.tech] = np.setdiff1d(pairs.guest.at[sharing.tech], pairs.guests)
    return found


def _kilometres(sites: Sites) -> Floats:
    # Flat: good enough within 10 km on one island.
    return np.column_stack([sites.lat * DEGREE, sites.lon * DEGREE * np.cos(np.radians(54.0))])


def write(draft: Draft, said: Settings, where: Places, one: Plan, shared: list[Pairs]) -> None:
    """The rows of one operator: sites, aggregation, core, backhaul, and the radio elements of its own."""
    operator, sites = one.operator, one.sites
    draft.add(
        "sites",
        id=one.ids,
        operator=operator.name,
        region=where.region[sites.place],
        lat=sites.lat,
        lon=sites.lon,
        **{"class": "access"},
    )
    one.hubs = core.transport(draft, sites, where, operator.name)
    core.network(draft, one.rng, said, where, operator, one.hubs)
    core.backhaul(draft, one.rng, one)
    for tech, at in one.at.items():
        guests = np.concatenate([p.guests for p in shared if p.guest is one and p.sharing.tech == tech] or [at[:0]])
        whole = float(sites.traffic[np.union1d(at, guests)].sum())
        _cells(draft, one, tech, FUNCTIONS[tech], at, one.ran[tech][at])
        names = _names(one, FUNCTIONS[tech], at)
        shares(draft, one, tech, names, sites.traffic[at] / whole)
        carried(draft, one, at, names)
        for pairs in shared:
            if pairs.guest is one and pairs.sharing.tech == tech:
                names = _names(pairs.host, FUNCTIONS[tech], pairs.at)
                shares(draft, one, tech, names, sites.traffic[pairs.guests] / whole)
                carried(draft, one, pairs.guests, names)


def write_venture(draft: Draft, shared: list[Pairs]) -> None:
    """Elements of a venture's own, each at its host's site; both operators have shares of every one of them."""
    total: dict[str, float] = {}
    for pairs in shared:
        for who, at in ((pairs.host, pairs.at), (pairs.guest, pairs.guests)):
            name = who.operator.name
            total[name] = total.get(name, 0.0) + float(who.sites.traffic[at].sum())
    for pairs in shared:
        if not len(pairs.at):
            continue
        sharing = pairs.sharing
        vendor = np.full(len(pairs.at), sharing.vendor, dtype=object)
        _cells(draft, pairs.host, sharing.tech, sharing.function, pairs.at, vendor)
        names = _names(pairs.host, sharing.function, pairs.at)
        for who, at in ((pairs.host, pairs.at), (pairs.guest, pairs.guests)):
            shares(draft, who, sharing.tech, names, who.sites.traffic[at] / total[who.operator.name])
            carried(draft, who, at, names)


def _names(one: Plan, function: str, at: Ints) -> np.ndarray[Any, Any]:
    return np.array([f"{name}-{function.lower()}" for name in one.ids[at]], dtype=object)


def _cells(draft: Draft, one: Plan, tech: str, function: str, at: Ints, vendor: np.ndarray[Any, Any]) -> None:
    draft.add(
        "elements",
        id=_names(one, function, at),
        site=one.ids[at],
        function=function,
        vendor=vendor,
        product=vendor + f" {tech} base station",
        # One release in a cluster: a region is upgraded as a whole.
        release=np.array(["2018.4", "2019.2", "2019.3"], dtype=object)[one.sites.cluster[at] % 3],
        tech=tech,
        installed=days(one.rng, len(at), *DAYS[tech]),
        managed_by=f"{one.tag}-ems-" + vendor,
        updated_by=f"{one.tag}-update-" + vendor,
        supported_by=vendor,
        support_access="attended",
    )


def shares(draft: Draft, one: Plan, tech: str, names: np.ndarray[Any, Any], traffic: Floats) -> None:
    """An operator's shares of elements, its own or another's."""
    common = {"element": names, "operator": one.operator.name, "network": tech, "period": "2020"}
    draft.add("shares", metric="traffic", value=traffic, unit="fraction", **common)
    draft.add("shares", metric="sites", value=1.0, unit="count", **common)


def carried(draft: Draft, one: Plan, at: Ints, names: np.ndarray[Any, Any]) -> None:
    """The router at an operator's own site carries the elements."""
    link = {"type": "carries", "encrypted": "ipsec" if one.operator.ipsec else "no"}
    draft.add("links", a=one.ids[at] + "-router", b=names, **link)
