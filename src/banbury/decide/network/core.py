"""The made-up inside of an operator: aggregation, core functions, virtualisation and who manages what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from banbury.decide.network.siting import Places, Sites
from banbury.decide.network.writing import Draft

if TYPE_CHECKING:
    from banbury.decide.network.plan import Plan
    from banbury.decide.network.settings import Operator, Settings

#: What every core site has, and what stands in the first two alone.
EVERYWHERE = ("MME", "SGW", "PGW", "DNS")
TWICE = ("HSS", "PCRF", "DRA", "OCS", "SBC", "PCSCF", "SCSCF", "LI_MDF")
#: Who makes what is not the core vendor's.
OTHERS = {"OCS": "oracle", "DRA": "oracle", "DNS": "cisco", "LI_MDF": "nokia"}
#: Radio vendors that make routers for cell sites, and the part of sites that a radio link serves: made up.
ROUTERS = ("ericsson", "huawei", "nokia")
RADIO = 0.125


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
        updated_by=[f"{tag}-update-{'juniper' if c % 2 else 'cisco'}" for c in range(count)],
        support_access="attended",
    )
    return names


def backhaul(draft: Draft, rng: np.random.Generator, one: Plan) -> None:
    """A router at every cell site, which its cluster's aggregation router carries, one in eight over a radio link.

    In every other cluster the router is of the radio vendor where that makes routers.
    """
    sites, tag, n = one.sites, one.tag, len(one.ids)
    own = np.isin(one.ran["4G"], ROUTERS) & (sites.cluster % 2 == 1)
    vendor = np.where(own, one.ran["4G"], "cisco").astype(object)
    common: dict[str, Any] = {"tech": "transport", "support_access": "attended"}
    routers = one.ids + "-router"
    draft.add(
        "elements",
        id=routers,
        site=one.ids,
        function="CELL_SITE_ROUTER",
        vendor=vendor,
        product=vendor + " cell site router",
        release=np.array(["7.1", "7.2"], dtype=object)[sites.cluster % 2],
        installed="2016-01-01",
        managed_by=f"{tag}-ems-" + vendor,
        updated_by=f"{tag}-update-" + vendor,
        supported_by=vendor,
        **common,
    )
    hub = np.array(one.hubs, dtype=object)[sites.cluster]
    link = {"type": "carries", "encrypted": "ipsec" if one.operator.ipsec else "no"}
    radio = rng.random(n) < RADIO
    links = one.ids[radio] + "-microwave"
    draft.add(
        "elements",
        id=links,
        site=one.ids[radio],
        function="MICROWAVE",
        vendor="nokia",
        product="nokia microwave link",
        release="4.0",
        installed="2014-01-01",
        managed_by=f"{tag}-ems-nokia",
        updated_by=f"{tag}-update-nokia",
        supported_by="nokia",
        **common,
    )
    draft.add("links", a=hub[radio], b=links, **link)
    draft.add("links", a=links, b=routers[radio], **link)
    draft.add("links", a=hub[~radio], b=routers[~radio], **link)


def management(draft: Draft, operator: str, site: str, vendors: list[str]) -> None:
    """Element managers, one for each vendor, below one operational support system; each vendor's server of updates and
    remote support; the operator's jump host.

    Nothing here separates the vendors' management networks: from an element manager the operator's systems can be
    reached, which is the case that a precaution would change.
    """
    tag = operator.lower()
    common = {"site": site, "tech": "common", "installed": "2014-01-01"}
    draft.add("elements", id=f"{tag}-oss", function="OSS", vendor="oracle", product="OSS", release="12", **common)
    draft.add(
        "elements", id=f"{tag}-jump", function="JUMP_HOST", vendor="oracle", product="jump host", release="8", **common
    )
    draft.add("links", a=f"{tag}-jump", b=f"{tag}-oss", type="management-access", encrypted="tls")
    for vendor in vendors:
        draft.add(
            "elements",
            id=f"{tag}-update-{vendor}",
            function="UPDATE_SERVER",
            vendor=vendor,
            product=f"{vendor} software distribution",
            release="2019.1",
            managed_by=f"{tag}-oss",
            supported_by="huawei-uk" if vendor == "huawei" else vendor,
            support_access="attended",
            **common,
        )
        draft.add("links", a=f"{tag}-update-{vendor}", b=f"{tag}-ems-{vendor}", type="updates", encrypted="tls")
        draft.add(
            "elements",
            id=f"{tag}-ems-{vendor}",
            function="EMS",
            vendor=vendor,
            product=f"{vendor} element manager",
            release="2019.2",
            managed_by=f"{tag}-oss",
            updated_by=f"{tag}-update-{vendor}",
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
        manager = {}
        if vendor != "ciena":
            manager = {"managed_by": f"{tag}-ems-{vendor}", "updated_by": f"{tag}-update-{vendor}"}
        product = f"{vendor} {function}"
        draft.add("elements", id=name, function=function, vendor=vendor, product=product, **common, **manager, **more)

    add(f"{site}-router", "CORE_ROUTER", "cisco")
    add(f"{site}-segw", "SEGW", "juniper")
    add(f"{site}-firewall", "FIREWALL", "juniper")
    add(f"{site}-otn", "OTN", "ciena")
    add(f"{site}-nfvi", "NFVI", operator.core, supported_by=operator.core, support_access="attended")
    add(f"{site}-vim", "VIM", operator.core)
    draft.add("links", a=f"{site}-vim", b=f"{site}-nfvi", type="manages", encrypted="tls")
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
