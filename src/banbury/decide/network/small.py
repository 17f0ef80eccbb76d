"""Thirty elements of two operators, by hand, with answers that can be worked out on paper.

Alpha has ten 5G cells of equal traffic, four of them by the high-risk vendor: 40 % of sites and of traffic. One of its
user plane functions, by that vendor, stands at a cell site: still core. Its management is flat. Beta has eight cells,
two by that vendor, of which one serves a sensitive place: 25 % of sites, 10 % of traffic. Its core is of others.
"""

from __future__ import annotations

from banbury.decide.network.writing import Draft


def fill(draft: Draft) -> None:
    """Enter all of it."""
    for name, parent, country, kind in (
        ("hrv-group", None, "CN", "high-risk"),
        ("hrv", "hrv-group", "CN", "high-risk"),
        ("hrv-uk", "hrv", "GB", None),
        ("other", None, "SE", "other"),
        ("third", None, "FI", "other"),
    ):
        draft.add("vendors", id=name, name=f"{name} (made up)", parent=parent, jurisdiction=country, **{"class": kind})
    _cells(draft, "Alpha", ["hrv"] * 4 + ["other"] * 6, [0.1] * 10)
    _cells(draft, "Beta", ["hrv-uk"] * 2 + ["third"] * 6, [0.05] * 2 + [0.15] * 6)
    for operator in ("Alpha", "Beta"):
        draft.add(
            "sites", id=f"{operator}-core", operator=operator, region="South", lat=51.5, lon=-0.1, **_class("core")
        )
    draft.add("sensitive", id="invented-1", site="Beta-1", **_class("military"))
    for row in (
        ("Alpha-ems-hrv", "Alpha-core", "EMS", "hrv", "Alpha-oss", None),
        ("Alpha-ems-other", "Alpha-core", "EMS", "other", "Alpha-oss", None),
        ("Alpha-oss", "Alpha-core", "OSS", "third", None, None),
        ("Alpha-nfvi", "Alpha-core", "NFVI", "other", None, None),
        ("Alpha-udm", "Alpha-core", "UDM", "other", None, "Alpha-nfvi"),
        ("Alpha-amf", "Alpha-core", "AMF", "other", None, "Alpha-nfvi"),
        ("Alpha-upf-edge", "Alpha-3", "UPF", "hrv", "Alpha-ems-hrv", None),
        ("Alpha-li", "Alpha-core", "LI_ADMF", "third", None, "Alpha-nfvi"),
        ("Beta-ems-hrv-uk", "Beta-core", "EMS", "hrv-uk", None, None),
        ("Beta-ems-third", "Beta-core", "EMS", "third", None, None),
        ("Beta-nfvi", "Beta-core", "NFVI", "third", None, None),
        ("Beta-udm", "Beta-core", "UDM", "third", None, "Beta-nfvi"),
    ):
        draft.add(
            "elements",
            **dict(zip(("id", "site", "function", "vendor", "managed_by", "hosted_on"), row, strict=True)),
            product=f"{row[3]} {row[2]}",
            release="1",
            tech="common",
            installed="2019-01-01",
        )
    for a, b, kind in (
        ("Alpha-ems-hrv", "Alpha-oss", "management-access"),
        ("Alpha-oss", "Alpha-nfvi", "manages"),
        ("Alpha-nfvi", "Alpha-li", "hosts"),
    ):
        draft.add("links", a=a, b=b, type=kind, encrypted="no")


def _class(name: str) -> dict[str, str]:
    return {"class": name}


def _cells(draft: Draft, operator: str, vendors: list[str], traffic: list[float]) -> None:
    for i, (vendor, part) in enumerate(zip(vendors, traffic, strict=True), 1):
        site, element = f"{operator}-{i}", f"{operator}-{i}-gnb"
        region = "North" if i % 2 else "South"
        lat, lon = 53.0 + i / 10, -1.0 - i / 10
        draft.add("sites", id=site, operator=operator, region=region, lat=lat, lon=lon, **_class("access"))
        draft.add(
            "elements",
            id=element,
            site=site,
            function="GNB",
            vendor=vendor,
            product=f"{vendor} gNB",
            release="1",
            tech="5G",
            installed="2019-06-01",
            managed_by=f"{operator}-ems-{vendor}",
        )
        common = {"element": element, "operator": operator, "network": "5G", "period": "2020"}
        draft.add("shares", metric="traffic", value=part, unit="fraction", **common)
        draft.add("shares", metric="sites", value=1.0, unit="count", **common)
