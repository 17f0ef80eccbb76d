"""A made-up network of a country's size, from published shares: for trying out, for tests, never for a decision.

``data/generator_gb.toml`` holds what it draws from and says of each figure whether it was published or chosen. The same
seed and size give the same tables. What is not in that file and not published either: where sites stand within a place,
traffic, dates, the aggregation and core networks, who manages what, the sensitive places (all invented).
"""

from __future__ import annotations

import datetime as dt
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from banbury.decide.network import core, small
from banbury.decide.network.siting import Places, Sites, assign, places, scatter
from banbury.decide.network.writing import Draft
from banbury.model.errors import InputError

COUNTRIES = ("gb",)
SIZES = ("small", "medium", "full")
#: Sites of the size ``medium``, over all operators.
MEDIUM = 2000


class Operator(msgspec.Struct, forbid_unknown_fields=True):
    """A mobile operator: sites, and shares of vendors by generation."""

    name: str
    sites: int
    ran_4g: dict[str, float]
    ran_5g: dict[str, float]
    core: str
    core_sites: int
    ipsec: bool


class Fibre(msgspec.Struct, forbid_unknown_fields=True):
    """A full-fibre access network."""

    name: str
    exchanges: int
    premises: int
    olt: dict[str, float]


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What is drawn from: ``data/generator_*.toml``."""

    as_of: dt.date
    places: str
    exponent: float
    sites_5g: int
    operators: list[Operator]
    fibre: Fibre
    vendors: dict[str, dict[str, str]]


def settings(country: str) -> Settings:
    """The settings of a country."""
    text = (files("banbury.decide") / "data" / f"generator_{country}.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Settings)


def generate(country: str, out: Path, *, size: str = "full", seed: int = 2020, kind: str = "csv") -> dict[str, int]:
    """Write a made-up inventory into ``out``, which must be new or empty. Returns the number of rows by table.

    ``size``: ``small`` (30 elements with known answers), ``medium`` (2,000 cell sites) or ``full`` (73,000).
    ``kind``: ``csv`` or ``parquet``. Raises :class:`~banbury.model.errors.InputError`.
    """
    if country not in COUNTRIES or size not in SIZES or kind not in {"csv", "parquet"}:
        raise InputError(f"no generator for {country}, {size}, {kind}")
    said = settings(country)
    asserted = "banbury network generate (made up)"
    draft = Draft(asserted, said.as_of.isoformat())
    if size == "small":
        small.fill(draft)
    else:
        _fill(draft, said, seed, 1.0 if size == "full" else MEDIUM / sum(o.sites for o in said.operators))
    manifest = (
        f'name = "made-up network, {country}, {size}"\ncountry = "{country.upper()}"\nmade_up = true\nseed = {seed}\n'
    )
    draft.write(out, kind, manifest)
    return {path: draft.count(path) for path in draft.tables()}


def _fill(draft: Draft, said: Settings, seed: int, scale: float) -> None:
    where = places(said.places)
    add_vendors(draft, said)
    for number, operator in enumerate(said.operators):
        # A stream of its own for each operator, so that a change in one leaves the others as they were.
        rng = np.random.default_rng([seed, number])
        _mobile(draft, rng, said, where, operator, scale)
    _fibre(draft, np.random.default_rng([seed, 1000]), said, where, scale)
    _sensitive(draft, np.random.default_rng([seed, 2000]), where, max(3, round(40 * scale)))


def add_vendors(draft: Draft, said: Settings) -> None:
    """The legal entities."""
    for name, vendor in said.vendors.items():
        draft.add("vendors", id=name, **vendor)


def _ids(prefix: str, n: int) -> np.ndarray[Any, Any]:
    return np.array([f"{prefix}-{i:05d}" for i in range(1, n + 1)], dtype=object)


def _days(rng: np.random.Generator, n: int, first: str, last: str) -> np.ndarray[Any, Any]:
    span = (np.datetime64(last) - np.datetime64(first)).astype(int)
    return (np.datetime64(first) + rng.integers(0, span + 1, n)).astype(str).astype(object)


def _mobile(
    draft: Draft, rng: np.random.Generator, said: Settings, where: Places, operator: Operator, scale: float
) -> None:
    """An operator's cell sites with 4G, some with 5G; its aggregation; its core."""
    n = max(round(operator.sites * scale), 20)
    sites = scatter(rng, where, n, said.exponent, 60)
    share_5g = said.sites_5g / sum(o.sites for o in said.operators)
    some = max(round(n * share_5g), min(n, 120))
    chosen = np.sort(rng.choice(n, some, replace=False, p=sites.traffic))
    ran = _vendors(rng, sites, chosen, operator)
    tag = operator.name.lower()
    ids = _ids(f"{tag}-site", n)
    draft.add(
        "sites",
        id=ids,
        operator=operator.name,
        region=where.region[sites.place],
        lat=sites.lat,
        lon=sites.lon,
        **{"class": "access"},
    )
    hubs = core.transport(draft, sites, where, operator.name)
    core.network(draft, rng, said, where, operator, hubs)
    for tech, function, at, vendor in (
        ("4G", "ENB", np.arange(n), ran["4G"]),
        ("5G", "GNB", chosen, ran["5G"][chosen]),
    ):
        names = np.array([f"{ids[i]}-{function.lower()}" for i in at], dtype=object)
        first, last = ("2012-10-30", "2019-06-30") if tech == "4G" else ("2019-05-30", "2020-01-27")
        draft.add(
            "elements",
            id=names,
            site=ids[at],
            function=function,
            vendor=vendor,
            product=vendor + f" {tech} base station",
            release="2019.2",
            tech=tech,
            installed=_days(rng, len(at), first, last),
            managed_by=np.array([f"{tag}-ems-{v}" for v in vendor], dtype=object),
            supported_by=vendor,
            support_access="attended",
        )
        traffic = sites.traffic[at] / sites.traffic[at].sum()
        common = {"element": names, "operator": operator.name, "network": tech, "period": "2020"}
        draft.add("shares", metric="traffic", value=traffic, unit="fraction", **common)
        draft.add("shares", metric="sites", value=np.ones(len(at)), unit="count", **common)
        carrier = np.array([hubs[c] for c in sites.cluster[at]], dtype=object)
        draft.add("links", a=carrier, b=names, type="carries", encrypted="ipsec" if operator.ipsec else "no")


def _vendors(
    rng: np.random.Generator, sites: Sites, chosen: np.ndarray[Any, np.dtype[np.int64]], operator: Operator
) -> dict[str, np.ndarray[Any, Any]]:
    """The vendor of every site by generation; where both generations ask for the same shares, one vendor for both."""
    count = int(sites.cluster.max()) + 1

    def by_cluster(at: np.ndarray[Any, np.dtype[np.int64]]) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
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


def _fibre(draft: Draft, rng: np.random.Generator, said: Settings, where: Places, scale: float) -> None:
    """Exchanges with optical line terminals."""
    fibre = said.fibre
    n = max(round(fibre.exchanges * scale), 100)
    sites = scatter(rng, where, n, 1.0, 60)
    ids = _ids(f"{fibre.name.lower()}-exchange", n)
    count = int(sites.cluster.max()) + 1
    premises = np.maximum(np.round(sites.traffic * fibre.premises * scale), 1)
    measures = np.array(
        [
            np.bincount(sites.cluster, minlength=count) / n,
            np.bincount(sites.cluster, weights=premises, minlength=count) / premises.sum(),
        ]
    )
    vendor = np.array(list(fibre.olt), dtype=object)[assign(rng, measures, fibre.olt)[sites.cluster]]
    draft.add(
        "sites",
        id=ids,
        operator=fibre.name,
        region=where.region[sites.place],
        lat=sites.lat,
        lon=sites.lon,
        **{"class": "exchange"},
    )
    core.management(draft, fibre.name, ids[0], list(fibre.olt))
    names = np.array([f"{i}-olt" for i in ids], dtype=object)
    draft.add(
        "elements",
        id=names,
        site=ids,
        function="OLT",
        vendor=vendor,
        product=vendor + " OLT",
        release="2019.2",
        tech="fttp",
        installed=_days(rng, n, "2016-01-01", "2020-01-27"),
        managed_by=np.array([f"{fibre.name.lower()}-ems-{v}" for v in vendor], dtype=object),
        supported_by=vendor,
        support_access="attended",
    )
    draft.add(
        "shares",
        element=names,
        operator=fibre.name,
        network="fttp",
        metric="premises",
        value=premises,
        unit="count",
        period="2020",
    )
    draft.add(
        "shares",
        element=names,
        operator=fibre.name,
        network="fttp",
        metric="traffic",
        value=sites.traffic,
        unit="fraction",
        period="2020",
    )


def _sensitive(draft: Draft, rng: np.random.Generator, where: Places, n: int) -> None:
    """Invented places: drawn around towns, named by number, none of them real."""
    at = rng.integers(0, len(where.name), n)
    classes = ("national-security", "military", "nuclear", "government", "cni-safety")
    draft.add(
        "sensitive",
        id=_ids("invented", n),
        lat=np.round(where.lat[at] + rng.normal(0, 0.1, n), 4),
        lon=np.round(where.lon[at] + rng.normal(0, 0.15, n), 4),
        radius=np.round(rng.uniform(0.5, 5, n), 1),
        **{"class": rng.choice(np.array(classes, dtype=object), n)},
    )
