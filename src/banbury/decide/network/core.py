"""The made-up inside of an operator: aggregation, core functions, virtualisation and who manages what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from banbury.decide.network.siting import Places, Sites
from banbury.decide.network.writing import Draft

if TYPE_CHECKING:
    from banbury.decide.network.generate import Operator, Settings

#: What every core site has, and what stands in the first two alone.
EVERYWHERE = ("MME", "SGW", "PGW", "DNS")
TWICE = ("HSS", "PCRF", "DRA", "OCS", "SBC", "PCSCF", "SCSCF", "LI_MDF")
#: Who makes what is not the core vendor's.
OTHERS = {"OCS": "oracle", "DRA": "oracle", "DNS": "cisco", "LI_MDF": "nokia"}


def transport(draft: Draft, sites: Sites, where: Places, operator: str) -> list[str]:
    """An aggregation site with a router for each cluster. Returns the routers' ids, by cluster."""
    tag = operator.lower()
    count = int(sites.cluster.max()) + 1
    names = [f"{tag}-agg-{c + 1:03d}" for c in range(count)]
    member = [int(np.flatnonzero(sites.cluster == c)[0]) if (sites.cluster == c).any() else 0 for c in range(count)]
    number = np.maximum(np.bincount(sites.cluster, minlength=count), 1)
    lat = np.bincount(sites.cluster, weights=sites.lat, minlength=count) / number
    lon = np.bincount(sites.cluster, weights=sites.lon, minlength=count) / number
    held = np.bincount(sites.cluster, minlength=count) > 0
    draft.add(
        "sites",
        id=[f"{n}-site" for n in names],
        operator=operator,
        region=where.region[sites.place[member]],
        lat=np.round(np.where(held, lat, sites.lat[member]), 5),
        lon=np.round(np.where(held, lon, sites.lon[member]), 5),
        **{"class": "aggregation"},
    )
    draft.add(
        "elements",
        id=names,
        site=[f"{n}-site" for n in names],
        function="AGGREGATION_ROUTER",
        vendor=["juniper" if c % 2 else "cisco" for c in range(count)],
        product="aggregation router",
        release="2019.2",
        tech="transport",
        installed="2015-06-01",
        managed_by=[f"{tag}-ems-{'juniper' if c % 2 else 'cisco'}" for c in range(count)],
        support_access="attended",
    )
    return names


def management(draft: Draft, operator: str, site: str, vendors: list[str]) -> None:
    """Element managers, one for each vendor, below one operational support system; access of each vendor's support.

    Nothing here separates the vendors' management networks: from an element manager the operator's systems can be
    reached, which is the case that a precaution would change.
    """
    tag = operator.lower()
    common = {"site": site, "tech": "common", "installed": "2014-01-01"}
    draft.add("elements", id=f"{tag}-oss", function="OSS", vendor="oracle", product="OSS", release="12", **common)
    for vendor in vendors:
        draft.add(
            "elements",
            id=f"{tag}-ems-{vendor}",
            function="EMS",
            vendor=vendor,
            product=f"{vendor} element manager",
            release="2019.2",
            managed_by=f"{tag}-oss",
            supported_by="huawei-uk" if vendor == "huawei" else vendor,
            support_access="unattended",
            **common,
        )
        draft.add(
            "elements",
            id=f"{tag}-support-{vendor}",
            function="SUPPORT_ACCESS",
            vendor=vendor,
            product=f"{vendor} remote support",
            release="1",
            supported_by="huawei-uk" if vendor == "huawei" else vendor,
            support_access="unattended",
            **common,
        )
        draft.add("links", a=f"{tag}-support-{vendor}", b=f"{tag}-ems-{vendor}", type="supports", encrypted="tls")
        draft.add("links", a=f"{tag}-ems-{vendor}", b=f"{tag}-oss", type="management-access", encrypted="tls")


def network(
    draft: Draft, rng: np.random.Generator, said: Settings, where: Places, operator: Operator, hubs: list[str]
) -> None:
    """Core sites in the largest places, each with virtualisation and functions on it; the routers that join it all."""
    tag = operator.name.lower()
    at = np.argsort(-where.population)[: operator.core_sites]
    sites = [f"{tag}-core-{i + 1}" for i in range(len(at))]
    lat, lon = where.lat[at] + rng.normal(0, 0.03, len(at)), where.lon[at] + rng.normal(0, 0.03, len(at))
    draft.add(
        "sites",
        id=sites,
        operator=operator.name,
        region=where.region[at],
        lat=np.round(lat, 5),
        lon=np.round(lon, 5),
        **{"class": "core"},
    )
    makers = sorted({*operator.ran_4g, *operator.ran_5g, operator.core, "cisco", "juniper", *OTHERS.values()})
    management(draft, operator.name, sites[0], makers)
    for i, site in enumerate(sites):
        _core_site(draft, operator, tag, i, site)
    for i, hub in enumerate(hubs):
        link = {"type": "carries", "encrypted": "ipsec" if operator.ipsec else "no"}
        for k in {i % len(sites), (i + 1) % len(sites)}:
            draft.add("links", a=f"{sites[k]}-router", b=hub, **link)
    for i, site in enumerate(sites[:-1]):
        draft.add("links", a=f"{site}-router", b=f"{sites[i + 1]}-router", type="connects", encrypted="no")


def _core_site(draft: Draft, operator: Operator, tag: str, i: int, site: str) -> None:
    common: dict[str, Any] = {"site": site, "tech": "common", "installed": "2016-04-01", "release": "2019.2"}

    def add(name: str, function: str, vendor: str, **more: Any) -> None:
        manager = {} if vendor in {"ciena"} else {"managed_by": f"{tag}-ems-{vendor}"}
        product = f"{vendor} {function}"
        draft.add("elements", id=name, function=function, vendor=vendor, product=product, **common, **manager, **more)

    add(f"{site}-router", "CORE_ROUTER", "cisco")
    add(f"{site}-segw", "SEGW", "juniper")
    add(f"{site}-firewall", "FIREWALL", "juniper")
    add(f"{site}-otn", "OTN", "ciena")
    add(f"{site}-nfvi", "NFVI", operator.core)
    for function in EVERYWHERE + (TWICE if i < 2 else ()):
        vendor = OTHERS.get(function, operator.core)
        add(f"{site}-{function.lower()}", function, vendor, hosted_on=f"{site}-nfvi", supported_by=vendor)
        draft.add("links", a=f"{site}-router", b=f"{site}-{function.lower()}", type="connects", encrypted="no")
    if i == 0:
        add(f"{site}-nfvo", "NFVO", operator.core)
        add(f"{site}-li_admf", "LI_ADMF", "nokia", hosted_on=f"{site}-nfvi")
        add(f"{site}-internet", "INTERNET_GATEWAY", "juniper")
        draft.add("links", a=f"{tag}-oss", b=f"{site}-nfvo", type="manages", encrypted="tls")
    draft.add("links", a=f"{tag}-core-1-nfvo", b=f"{site}-nfvi", type="manages", encrypted="tls")
