"""A made-up network of a country's size, from published shares: for trying out, for tests, never for a decision.

``data/generator_gb.toml`` holds what it draws from and says of each figure whether it was published or chosen. The same
seed and size give the same tables. What is not in that file and not published either: where sites stand within a place,
traffic, dates, the aggregation and core networks, who manages what, the sensitive places (all invented).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from banbury.decide.network import core, mobile, small
from banbury.decide.network.mobile import days, numbered
from banbury.decide.network.plan import Plan
from banbury.decide.network.settings import Settings, figures, settings
from banbury.decide.network.siting import Places, assign, places, scatter
from banbury.decide.network.writing import Draft
from banbury.model.errors import InputError

COUNTRIES = ("gb",)
SIZES = ("small", "medium", "full")
#: Sites of the size ``medium``, over all operators.
MEDIUM = 2000
#: The least and most cell sites that can be asked for.
MOST = (100, 2_000_000)


def generate(
    country: str, out: Path, *, size: str = "full", seed: int = 2020, kind: str = "csv", sites: int | None = None
) -> dict[str, int]:
    """Write a made-up inventory into ``out``, which must be new or empty. Returns the number of rows by table.

    ``size``: ``small`` (30 elements with known answers), ``medium`` (2,000 cell sites) or ``full`` (73,000); ``sites``:
    another number of cell sites in place of it. ``kind``: ``csv`` or ``parquet``.
    Raises :class:`~banbury.model.errors.InputError`.
    """
    if country not in COUNTRIES or size not in SIZES or kind not in {"csv", "parquet"}:
        raise InputError(f"no generator for {country}, {size}, {kind}")
    if sites is not None and not MOST[0] <= sites <= MOST[1]:
        raise InputError(f"--sites: from {MOST[0]:,} to {MOST[1]:,}")
    said = settings(country)
    asserted = "banbury network generate (made up)"
    draft = Draft(asserted, said.as_of.isoformat())
    many = sum(o.sites for o in said.operators)
    figured = ""
    if size == "small" and sites is None:
        small.fill(draft)
    else:
        _fill(draft, said, seed, (sites or (many if size == "full" else MEDIUM)) / many)
        figured = "\n" + figures(said)
    name = size if sites is None else f"{sites} sites"
    manifest = (
        f'name = "made-up network, {country}, {name}"\ncountry = "{country.upper()}"\nmade_up = true\nseed = {seed}\n'
    )
    draft.write(out, kind, manifest + figured)
    return {path: draft.count(path) for path in draft.tables()}


def _fill(draft: Draft, said: Settings, seed: int, scale: float) -> None:
    where = places(said.places)
    add_vendors(draft, said)
    # A stream of its own for each operator, so that a change in one leaves the others as they were.
    plans = {
        o.name: mobile.plan(np.random.default_rng([seed, number]), said, where, o, scale)
        for number, o in enumerate(said.operators)
    }
    shared = []
    for number, sharing in enumerate(said.sharing):
        one, other = (plans[name] for name in sharing.operators)
        shared.append(mobile.share(np.random.default_rng([seed, 500 + number]), sharing, one, other))
    of_hosts = [pairs for some in shared for pairs in some if not pairs.sharing.vendor]
    for one in plans.values():
        mobile.write(draft, said, where, one, of_hosts)
    for some in shared:
        if some[0].sharing.vendor:
            mobile.write_venture(draft, some)
    _fibre(draft, np.random.default_rng([seed, 1000]), said, where, scale)
    _sensitive(draft, np.random.default_rng([seed, 2000]), where, max(3, round(40 * scale)), list(plans.values()))
    _assurance(draft, np.random.default_rng([seed, 3000]), said)


def add_vendors(draft: Draft, said: Settings) -> None:
    """The legal entities."""
    for name, vendor in said.vendors.items():
        draft.add("vendors", id=name, **vendor)


def _fibre(draft: Draft, rng: np.random.Generator, said: Settings, where: Places, scale: float) -> None:
    """Exchanges with optical line terminals."""
    fibre = said.fibre
    n = max(round(fibre.exchanges * scale), 100)
    sites = scatter(rng, where, n, 1.0, 60)
    ids = numbered(f"{fibre.name.lower()}-exchange", n)
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
        installed=days(rng, n, "2016-01-01", "2020-01-27"),
        managed_by=f"{fibre.name.lower()}-ems-" + vendor,
        updated_by=f"{fibre.name.lower()}-update-" + vendor,
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


def _sensitive(draft: Draft, rng: np.random.Generator, where: Places, n: int, plans: list[Plan]) -> None:
    """Invented places: drawn around towns, named by number, none of them real. Some are served by one site."""
    at = rng.integers(0, len(where.name), n)
    classes = ("national-security", "military", "nuclear", "government", "cni-safety")
    draft.add(
        "sensitive",
        id=numbered("invented", n),
        lat=np.round(where.lat[at] + rng.normal(0, 0.1, n), 4),
        lon=np.round(where.lon[at] + rng.normal(0, 0.15, n), 4),
        radius=np.round(rng.uniform(0.5, 5, n), 1),
        **{"class": rng.choice(np.array(classes, dtype=object), n)},
    )
    served = [str(rng.choice(one.ids)) for one in plans for _ in range(max(n // 20, 1))]
    draft.add(
        "sensitive",
        id=numbered("invented-served", len(served)),
        site=served,
        **{"class": rng.choice(np.array(classes, dtype=object), len(served))},
    )


def _assurance(draft: Draft, rng: np.random.Generator, said: Settings) -> None:
    """What is known of a part of the releases; of the others nothing is, which is unknown and never passed."""
    releases = sorted(draft.distinct("elements", ("vendor", "product", "release")))
    for number, known in enumerate(said.assurance):
        rows = [r for r in releases if r[0] in known.of]
        for vendor, product, release in rows:
            if known.part < 1 and rng.random() >= known.part:
                continue
            draft.add(
                "assurance",
                vendor=vendor,
                product=product,
                release=release,
                kind=known.kind,
                finding_set=known.finding_set or f"made up, {number + 1}",
                level=known.level,
                verdict=known.verdict,
                date=known.date,
            )
