"""Exposure: the cases that have names, on inventories small enough for paper."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from banbury.decide.exposure import assess, assess_folder, graph, outage
from banbury.decide.exposure.record import Outage
from banbury.decide.exposure.text import lines
from banbury.decide.exposure.vendors import entered
from banbury.decide.network import Network
from tests.decide.exposures import Build, after, cell, link, loss, traffic


def test_a_core_function_at_an_edge_site_is_core(small: Path) -> None:
    e = assess_folder(small, "hrv", ["core-exclusion"])
    made, left = loss(e.before, "made", "Alpha"), loss(after(e), "made", "Alpha")
    assert (made.low, made.direct, made.core) == pytest.approx((1.0, 0.4, 0.6))
    assert (left.low, left.high) == pytest.approx((0.4, 0.4))
    assert loss(e.before, "made", "Beta").low == pytest.approx(0.1)


@pytest.mark.parametrize("asked", ["hrv", "hrv-uk", "hrv-group", "HRV (made up)"])
def test_an_affiliate_is_its_group(small: Path, asked: str) -> None:
    e = assess_folder(small, asked, [])
    assert e.vendor.entities == ["hrv", "hrv-group", "hrv-uk"]
    assert e.vendor.elements == 9


@pytest.mark.parametrize(
    ("homes", "low"), [(("bad",), 1.0), (("bad", "good"), 0.0), (("bad", "bad"), 1.0), (("good",), 0.0)]
)
def test_a_cell_falls_with_its_last_way(build: Build, homes: tuple[str, ...], low: float) -> None:
    """The cell hangs on a router at its site, that on aggregation routers: any of them is enough."""
    carriers = [{"id": f"agg{i}", "function": "AGGREGATION_ROUTER", "vendor": v} for i, v in enumerate(homes)]
    elements = [cell("c"), {"id": "csr", "function": "CELL_SITE_ROUTER"}, *carriers]
    links = [link(c["id"], "carries", "csr") for c in carriers] + [link("csr", "carries", "c")]
    e = assess_folder(build(elements, links, shares=traffic("c")), "bad", [])
    found = loss(e.before, "made")
    assert (found.low, found.dependent, found.direct) == (low, low, 0.0)
    assert (found.squares, found.squares_lost, found.areas[0].region) == (1, int(low), "North")


def test_two_hosts_and_two_halves_of_a_pool(build: Build) -> None:
    hosts = [{"id": "h1", "function": "NFVI", "vendor": "bad"}, {"id": "h2", "function": "NFVI"}]
    pool = [{"id": f"amf{i}", "function": "AMF", "hosted_on": f"h{i}"} for i in (1, 2)]
    spare = {"id": "upf", "function": "UPF"}
    links = [link("h1", "hosts", "upf"), link("h2", "hosts", "upf")]
    e = assess_folder(build([cell("c"), *hosts, *pool, spare], links, shares=traffic("c")), "bad", [])
    found = loss(e.before, "made")
    # One AMF of two falls with its host; the UPF has another. With no capacity to spare half of the traffic is lost.
    assert (found.low, found.high) == (0.0, 0.5)
    assert ("AMF", 1, 2) in found.pools
    assert ("UPF", 0, 1) in found.pools


@pytest.mark.parametrize(("encrypted", "seen"), [("ipsec", 0), ("tls", 0), ("macsec", 1), ("unknown", 1), (None, 1)])
def test_what_is_not_said_is_not_protected(build: Build, encrypted: str | None, seen: int) -> None:
    elements = [cell("c"), {"id": "agg", "function": "AGGREGATION_ROUTER", "vendor": "bad"}]
    e = assess_folder(build(elements, [link("agg", "carries", "c", encrypted)]), "bad", [])
    assert e.before.reach[0].tap == seen
    assert any(u.what.startswith("protection") for u in e.unknown) == (encrypted in {"unknown", None})


def test_content_of_a_split_base_station_is_read_where_its_protection_ends(build: Build) -> None:
    elements = [{"id": "cu", "function": "GNB_CU", "vendor": "bad"}, {"id": "du", "function": "GNB_DU"}]
    e = assess_folder(build(elements, [link("cu", "carries", "du", "ipsec")], shares=traffic("du")), "bad", [])
    assert e.before.readable[0].low == 1.0
    other = [{"id": "cu", "function": "GNB_CU"}, {"id": "du", "function": "GNB_DU", "vendor": "bad"}]
    e = assess_folder(build(other, [link("cu", "carries", "du", "no")], "m", shares=traffic("du")), "bad", [])
    assert e.before.readable[0].high == 0.0


def test_shares_that_are_none_stay_within_the_whole(build: Build) -> None:
    shares = traffic("c", value=-5.0) + traffic("d", value=7.0)
    e = assess_folder(build([cell("c", "bad"), cell("d", "bad")], shares=shares), "bad", [], accept_problems=True)
    found = loss(e.before, "made")
    assert 0 <= found.low <= found.high <= 1
    assert e.problems


def test_a_shared_cell_counts_for_each_operator(build: Build) -> None:
    shares = traffic("c", operator="Op", value=0.5) + traffic("c", operator="Guest", value=0.2)
    e = assess_folder(build([cell("c", "bad")], shares=shares), "bad", [])
    assert [loss(e.before, "made", o).low for o in ("Op", "Guest")] == [0.5, 0.2]
    assert loss(e.before, "made", "Guest").covered == pytest.approx(0.2)


def test_planned_and_removed_elements_are_not_there(build: Build) -> None:
    elements = [cell("c", "bad", installed="2021-01-01"), cell("d", "bad", planned_removal="2020-01-01"), cell("e")]
    folder = build(elements, shares=traffic("c", "d", "e"))
    assert assess_folder(folder, "bad", []).before.reach[0].supplied == 0
    assert assess_folder(folder, "bad", [], "2021-06-01").before.reach[0].supplied == 1


def test_circles_of_every_kind_end(build: Build) -> None:
    names = [f"e{i}" for i in range(6)]
    elements = [
        {"id": n, "function": "AGGREGATION_ROUTER", "vendor": "bad" if i == 0 else "good"} for i, n in enumerate(names)
    ]
    kinds = ("carries", "connects", "manages", "hosts", "updates", "supports", "management-access")
    links = [link(a, k, b) for k in kinds for a, b in zip(names, names[1:] + names[:1], strict=True)]
    e = assess_folder(build(elements, links), "bad", ["ipsec", "second-vendor"])
    assert e.before.reach[0].control == 6


def test_who_can_compel_changes_no_figure(small: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    file = copy / "vendors.csv"
    file.write_text(file.read_text().replace(",CN,", ",SE,"))
    one, two = assess_folder(small, "hrv", ["ipsec"]), assess_folder(copy, "hrv", ["ipsec"])
    assert (one.before, one.after, one.precautions) == (two.before, two.after, two.precautions)
    assert {law.country for law in one.jurisdiction.laws} == {"CN", "GB"}
    assert {law.country for law in two.jurisdiction.laws} == {"GB"}
    assert two.jurisdiction.countries_without == ["SE"]
    assert [(o.id, o.role, o.supplies) for o in one.jurisdiction.owners] == [
        ("hrv-group", "owner", 0),
        ("hrv", "asked", 6),
        ("hrv-uk", "affiliate", 3),
    ]


def test_laws_are_those_of_the_date(build: Build) -> None:
    folder = build([cell("c", "bad")])
    assert {law.date.year for law in assess_folder(folder, "bad", []).jurisdiction.laws} == {2017}
    later = assess_folder(folder, "bad", [], "2024-01-01").jurisdiction.laws
    assert max(law.date.year for law in later) == 2023
    assert {law.read for law in entered().laws} <= {"primary", "secondary", "memory"}


def test_an_empty_inventory_and_one_without_links(build: Build) -> None:
    folder = build([cell("later", "bad", installed="2030-01-01")])
    e = assess_folder(folder, "bad", ["second-vendor", "ipsec", "hsm", "verified-build"])
    assert (e.before.claims, e.before.reach[0].elements) == ([], 0)
    assert {p.state for p in e.precautions} == {"nothing to act on"}
    assert list(lines(e))


def test_an_outage_is_asked_with_a_mask(small: Path) -> None:
    with Network.open(small) as network:
        g = graph(network)
        found = outage(g, g.mask(["Beta-1-gnb", "no such element"]))
        assert (found.elements_off, found.fallen) == (1, 0)
        assert isinstance(outage(network, g.mask([])), Outage)
        assert [x.low for x in found.losses if x.operator == "Beta" and x.metric == "traffic"] == pytest.approx([0.05])
        assert assess(g, "hrv") == assess(network, "hrv")
