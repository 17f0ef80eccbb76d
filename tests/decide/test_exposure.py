"""Exposure: the cases that have names, on inventories small enough for paper."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.decide.exposure import assess, assess_folder, graph, outage, precautions
from banbury.decide.exposure.kinds import kinds
from banbury.decide.exposure.kinds import parse as parse_kinds
from banbury.decide.exposure.precautions import parse as parse_precautions
from banbury.decide.exposure.record import Claim, Exposure, Loss, Outage, Picture
from banbury.decide.exposure.text import lines
from banbury.decide.exposure.vendors import entered
from banbury.decide.network import Network
from banbury.decide.network.generate import generate
from banbury.decide.network.writing import Draft
from banbury.model.errors import InputError


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exposure") / "small"
    generate("gb", folder, size="small")
    return folder


Rows = list[dict[str, Any]]
Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """An inventory of one operator from elements (id, function, vendor, and what else is given), links and more."""

    def make(elements: Rows, links: Rows = (), name: str = "n", **tables: Rows) -> Path:  # type: ignore[assignment]
        draft = Draft("a test", "2020-01-28")
        for vendor, parent, country in (("bad", "bad-group", "CN"), ("bad-group", None, "CN"), ("good", None, "SE")):
            draft.add("vendors", id=vendor, name=f"{vendor} AB", parent=parent, jurisdiction=country)
        draft.add("sites", id="s", operator="Op", region="North", lat=50.0, lon=0.0, **{"class": "core"})
        for row in elements:
            draft.add("elements", **{"site": "s", "vendor": "good", "tech": "common", "installed": "2019-01-01", **row})
        for row in links:
            draft.add("links", **row)
        for table, rows in tables.items():
            for row in rows:
                draft.add(table, **row)
        draft.write(tmp_path / name, "csv")
        return tmp_path / name

    return make


def cell(name: str, vendor: str = "good", **more: Any) -> dict[str, Any]:
    return {"id": name, "function": "GNB", "vendor": vendor, **more}


def traffic(*cells: str, operator: str = "Op", value: float | None = None) -> Rows:
    part = 1 / len(cells) if value is None else value
    common = {"operator": operator, "network": "5G", "metric": "traffic", "unit": "fraction", "period": "2020"}
    return [{"element": name, "value": part, **common} for name in cells]


def link(a: str, kind: str, b: str, encrypted: str | None = None) -> dict[str, Any]:
    return {"a": a, "b": b, "type": kind, "encrypted": encrypted}


def after(e: Exposure) -> Picture:
    assert e.after is not None
    return e.after


def claim(picture: Picture, name: str) -> Claim | None:
    return next((c for c in picture.claims if c.id == name), None)


def path(found: Claim | None) -> list[str]:
    assert found is not None
    return [f"{s.kind} {s.target}" for s in found.path]


def loss(picture: Picture, case: str, operator: str = "Op") -> Loss:
    found = next(o for o in picture.outages if o.case == case)
    return next(x for x in found.losses if x.operator == operator and x.metric == "traffic")


def test_flat_management_reaches_interception_and_segmentation_cuts_it(small: Path) -> None:
    e = assess_folder(small, "hrv", ["segmented-management"])
    before = claim(e.before, "Alpha/LI_ADMF/read/I")
    assert path(before) == [
        "supplies Alpha-ems-hrv",
        "management-access Alpha-oss",
        "manages Alpha-nfvi",
        "hosts Alpha-li",
        "holds interception",
    ]
    assert before is not None
    assert before.attack
    assert claim(after(e), "Alpha/LI_ADMF/read/I") is None
    change = next(c for c in e.changes if c.claim == "Alpha/LI_ADMF/read/I")
    assert (change.state, change.by) == ("cut", ["segmented-management"])
    alpha = [next(r for r in p.reach if r.operator == "Alpha") for p in (e.before, after(e))]
    assert [(r.supplied, r.control) for r in alpha] == [(6, 18), (6, 6)]
    # Beta has no such link: it is neither reached nor changed.
    assert not [c for c in e.before.claims if c.operator == "Beta" and c.attack]


def test_with_flat_management_exclusion_from_the_core_buys_nothing(small: Path) -> None:
    e = assess_folder(small, "hrv", ["core-exclusion-but-managers"])
    alpha = [next(r for r in p.reach if r.operator == "Alpha") for p in (e.before, after(e))]
    assert [(r.supplied, r.control) for r in alpha] == [(6, 18), (5, 18)]
    both = assess_folder(small, "hrv", ["core-exclusion-but-managers", "segmented-management"])
    row = next(r for r in after(both).reach if r.operator == "Alpha")
    # Its four cells, its manager, and the edge function that this still manages.
    assert (row.supplied, row.control) == (5, 6)


def test_a_longer_way_that_needs_no_weakness_is_told(build: Build) -> None:
    elements = [
        {"id": "ems", "function": "EMS", "vendor": "bad"},
        {"id": "oss", "function": "OSS", "managed_by": "ems"},
        {"id": "nms", "function": "NMS", "managed_by": "oss"},
        {"id": "udm", "function": "UDM", "managed_by": "nms"},
        {"id": "hss", "function": "HSS"},
    ]
    links = [link("ems", "management-access", "udm"), link("ems", "management-access", "hss")]
    e = assess_folder(build(elements, links), "bad", ["segmented-management"])
    found = [claim(e.before, f"Op/{f}/read/K") for f in ("UDM", "HSS")]
    assert [(c.attack, c.by_design, len(c.path)) for c in found if c] == [(True, 1, 3), (True, 0, 3)]
    change = next(c for c in e.changes if c.claim == "Op/UDM/read/K")
    assert (change.state, change.by) == ("another way", ["segmented-management"])
    assert len(path(claim(after(e), "Op/UDM/read/K"))) == 5
    assert claim(after(e), "Op/HSS/read/K") is None


def test_a_core_function_at_an_edge_site_is_core(small: Path) -> None:
    e = assess_folder(small, "hrv", ["core-exclusion"])
    made, left = loss(e.before, "made", "Alpha"), loss(after(e), "made", "Alpha")
    assert (made.low, made.direct, made.core) == pytest.approx((1.0, 0.4, 0.6))
    assert (left.low, left.high) == pytest.approx((0.4, 0.4))
    assert loss(e.before, "made", "Beta").low == pytest.approx(0.1)


def test_on_a_generated_network_segmentation_buys_what_exclusion_does_not(tmp_path: Path) -> None:
    """Vodafone's third of cells by one vendor, a core of others, flat management (made up but for shares)."""
    generate("gb", tmp_path / "n", size="medium", kind="parquet")
    with Network.open(tmp_path / "n") as network:
        g = graph(network)
        found = {}
        for names in ((), ("core-exclusion-but-managers",), ("segmented-management",)):
            e = assess(g, "huawei", names)
            picture = e.after or e.before
            row = next(r for r in picture.reach if r.operator == "Vodafone")
            read = next(r for r in picture.readable if (r.operator, r.network) == ("Vodafone", "4G"))
            keys = claim(picture, "Vodafone/HSS/read/K") is not None
            found[names] = (row.control / row.elements, keys, read.low)
        assert found[()] == found["core-exclusion-but-managers",]
        assert found[()] == (pytest.approx(1.0, abs=0.02), True, 1.0)
        assert found["segmented-management",] == (pytest.approx(0.25, abs=0.1), False, pytest.approx(1 / 3, abs=0.02))


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


def test_ipsec_cuts_reading_and_not_switching_off(build: Build) -> None:
    elements = [cell("c"), {"id": "agg", "function": "AGGREGATION_ROUTER", "vendor": "bad"}]
    links = [link("agg", "carries", "c", "no")]
    e = assess_folder(build(elements, links, shares=traffic("c")), "bad", ["ipsec"])
    assert path(claim(e.before, "Op/GNB/read/U")) == ["supplies agg", "carries c", "holds user content"]
    assert claim(e.before, "Op/AGGREGATION_ROUTER (clear)/read/U")
    assert not [c for c in after(e).claims if c.data == "user content"]
    assert [r.low for r in e.before.readable + after(e).readable] == [1.0, 0.0]
    assert loss(e.before, "made").low == loss(after(e), "made").low == 1.0
    assert "the inventory holds none for Op" in e.precautions[0].needs[-1]


def test_ipsec_ends_at_the_vendors_own_gateway_and_is_not_applied(build: Build) -> None:
    elements = [
        cell("c"),
        {"id": "agg", "function": "AGGREGATION_ROUTER", "vendor": "bad"},
        {"id": "gate", "function": "SEGW", "vendor": "bad"},
    ]
    e = assess_folder(build(elements, [link("agg", "carries", "c", "no")]), "bad", ["ipsec"])
    assert e.precautions[0].state == "not applied"
    assert e.precautions[0].not_applied[0].why == "every SEGW of the operator is this vendor's own"
    assert after(e).claims == e.before.claims


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


UPDATED: Rows = [
    {"id": "server", "function": "UPDATE_SERVER", "vendor": "bad"},
    {"id": "udm", "function": "UDM", "product": "P", "release": "1"},
]


@pytest.mark.parametrize(
    ("evidence", "state"),
    [
        ({}, "applied"),
        (None, "not applied"),
        ({"release": "2"}, "not applied"),
        ({"product": "Q"}, "not applied"),
        ({"kind": "evaluation"}, "not applied"),
        ({"level": "moderate"}, "not applied"),
        ({"level": "unknown"}, "not applied"),
        ({"date": "2020-03-01"}, "not applied"),
        ({"expires": "2020-01-01"}, "not applied"),
        ({"vendor": "bad"}, "not applied"),
        ({"vendor": "good"}, "applied"),
        ({"verdict": "equivalent/by-rebuild"}, "applied"),
        ({"verdict": "unexplained"}, "not applied"),
        ({"release_sha256": "0" * 64}, "not applied"),
    ],
)
def test_an_update_is_cut_by_a_verdict_for_this_release_alone(
    build: Build, evidence: dict[str, str] | None, state: str
) -> None:
    row = {"product": "P", "release": "1", "kind": "equivalence", "finding_set": "f", "level": "sufficient"}
    rows = [] if evidence is None else [{**row, "date": "2020-01-01", **evidence}]
    # The later evidence must not move the date that is asked about.
    folder = build(UPDATED, [link("server", "updates", "udm")], assurance=rows)
    e = assess_folder(folder, "bad", ["verified-build"], "2020-01-28")
    assert claim(e.before, "Op/UDM/read/K")
    assert e.precautions[0].state == state
    assert (claim(after(e), "Op/UDM/read/K") is None) == (state == "applied")
    if state != "applied":
        assert e.precautions[0].not_applied[0].examples == ["udm"]
        assert "unknown, not passed" in e.precautions[0].not_applied[0].why


@pytest.mark.parametrize(
    ("day", "level", "state"),
    [
        ("2019-12-01", "none", "applied"),
        ("2020-01-01", "none", "not applied"),
        ("2020-01-02", "limited", "not applied"),
    ],
)
def test_of_several_verdicts_the_latest_counts_and_of_a_day_the_weakest(
    build: Build, day: str, level: str, state: str
) -> None:
    row = {"product": "P", "release": "1", "kind": "equivalence"}
    rows = [
        {**row, "finding_set": "f", "level": "sufficient", "date": "2020-01-01"},
        {**row, "finding_set": "g", "level": level, "date": day},
    ]
    folder = build(UPDATED, [link("server", "updates", "udm")], assurance=rows)
    assert assess_folder(folder, "bad", ["verified-build"]).precautions[0].state == state


def test_shares_that_are_none_stay_within_the_whole(build: Build) -> None:
    shares = traffic("c", value=-5.0) + traffic("d", value=7.0)
    e = assess_folder(build([cell("c", "bad"), cell("d", "bad")], shares=shares), "bad", [], accept_problems=True)
    found = loss(e.before, "made")
    assert 0 <= found.low <= found.high <= 1
    assert e.problems


def test_a_verified_build_says_nothing_of_the_vendors_own_elements(build: Build) -> None:
    row = {"product": "P", "release": "1", "kind": "equivalence", "finding_set": "f", "level": "sufficient"}
    own = [{"id": "udm", "function": "UDM", "product": "P", "release": "1", "vendor": "bad"}]
    e = assess_folder(build(own, assurance=[{**row, "date": "2020-01-01"}]), "bad", ["verified-build"])
    assert e.precautions[0].state == "nothing to act on"
    assert claim(after(e), "Op/UDM/read/K")


def test_a_security_module_takes_keys_and_leaves_the_rest(build: Build) -> None:
    own = [{"id": "udm", "function": "UDM", "vendor": "bad"}, {"id": "amf", "function": "AMF", "vendor": "bad"}]
    e = assess_folder(build(own), "bad", ["hsm"])
    assert claim(after(e), "Op/UDM/read/K") is None
    assert claim(after(e), "Op/UDM/read/L")
    assert claim(after(e), "Op/AMF/read/K"), "session keys lie in no module"
    theirs = [*own, {"id": "hsm", "function": "HSM", "vendor": "bad"}]
    e = assess_folder(build(theirs, name="m"), "bad", ["hsm"])
    assert e.precautions[0].state == "not applied"


@pytest.mark.parametrize(
    ("access", "power"),
    [("none", ""), ("attended", "view"), ("unattended", "control"), ("unknown", "control"), (None, "control")],
)
def test_support_by_how_it_is_watched(build: Build, access: str | None, power: str) -> None:
    row = {"id": "oss", "function": "OSS", "supported_by": "bad", "support_access": access}
    folder = build([row, {"id": "udm", "function": "UDM", "managed_by": "oss"}])
    e = assess_folder(folder, "bad", [])
    assert {c.power for c in e.before.claims} == ({power} if power else set())
    assert bool(claim(e.before, "Op/UDM/read/K")) == (power == "control")
    for precaution, left in (("watched-support", power and "view"), ("operator-run-support", "")):
        e = assess_folder(folder, "bad", [precaution])
        assert {c.power for c in after(e).claims} == ({left} if left and (power == "view") else set())


def test_a_second_vendor_takes_half_of_each_pool(build: Build) -> None:
    pool = [{"id": f"amf{i}", "function": "AMF", "vendor": "bad"} for i in range(4)]
    e = assess_folder(
        build([cell("c"), *pool, {"id": "udm", "function": "UDM", "vendor": "bad"}], shares=traffic("c")),
        "bad",
        ["second-vendor"],
    )
    assert e.precautions[0].state == "partly"
    assert e.precautions[0].not_applied[0].examples == ["udm"]
    assert (e.before.reach[0].supplied, after(e).reach[0].supplied) == (5, 3)


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


def test_a_chain_of_twenty_thousand_is_followed_and_its_path_cut_short(build: Build) -> None:
    count = 20_000
    folder = build([{"id": "e00000", "function": "OSS", "vendor": "bad"}])
    with (folder / "elements.csv").open("a") as file:
        header = (folder / "elements.csv").read_text().splitlines()[0].split(",")
        for i in range(1, count):
            row = {"id": f"e{i:05d}", "site": "s", "function": "EMS" if i < count - 1 else "UDM", "vendor": "good",
                   "asserted_by": "x", "as_of": "2020-01-28", "managed_by": f"e{i - 1:05d}"}  # fmt: skip
            file.write(",".join(row.get(key, "") for key in header) + "\n")
    e = assess_folder(folder, "bad", ["segmented-management"])
    found = claim(e.before, "Op/UDM/read/K")
    assert found is not None
    assert found.cut_short
    assert len(found.path) < 100
    assert e.before.reach[0].control == count
    assert len(list(lines(e))) < 120


def test_the_same_rows_in_another_order_give_the_same_answer(small: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    for file in copy.glob("*.csv"):
        head, *rest = file.read_text().splitlines()
        file.write_text("\n".join([head, *rest[::-1]]) + "\n")
    one, two = (json.loads(as_text(folder)) for folder in (small, copy))
    assert one.pop("inventory") != two.pop("inventory")
    assert one == two


def as_text(folder: Path) -> str:
    result = CliRunner().invoke(
        main, ["network", "expose", str(folder), "--vendor", "hrv", "--precaution", "hsm", "--json", "-"]
    )
    assert result.exit_code == 0, result.output
    return result.stdout


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vendor", "nobody"], "no vendor 'nobody' in the inventory"),
        (["--vendor", "hr"], "no vendor 'hr' in the inventory"),
        (["--vendor", "hrv", "--precaution", "hope"], "no precaution 'hope'"),
        (["--vendor", "hrv", "--as-of", "soon"], "is no date"),
        (["--vendor", "x\x1b[2J" * 50], "no vendor"),
    ],
)
def test_an_unknown_name_is_one_line_and_status_2(small: Path, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["network", "expose", str(small), *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1
    assert "\x1b" not in result.output


def test_a_name_of_two_entities_is_refused(build: Build) -> None:
    folder = build([cell("c")], vendors=[{"id": "other", "name": "GOOD ab", "jurisdiction": "FI"}])
    with pytest.raises(InputError, match="the name of 2 entities: good, other"):
        assess_folder(folder, "Good AB", [])
    assert assess_folder(folder, "other", []).vendor.entities == ["other"]


def test_hostile_names_do_not_reach_the_terminal(build: Build) -> None:
    name = "e\x1b]0;x\x07\u202e"
    folder = build([{"id": name, "function": "UDM", "vendor": "bad"}])
    result = CliRunner().invoke(main, ["network", "expose", str(folder), "--vendor", "bad", "--accept-problems"])
    assert result.exit_code == 0, result.output
    assert "the inventory has" in result.output
    assert not {"\x1b", "\x07", "\u202e"} & set(result.output)
    refused = CliRunner().invoke(main, ["network", "expose", str(folder), "--vendor", "bad"])
    assert refused.exit_code == 2


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


def test_text_is_bounded_where_everything_is_many(tmp_path: Path) -> None:
    draft = Draft("x" * 900, "2020-01-28")
    draft.add("vendors", id="bad", name="b" * 900)
    names = [f"{'n' * 300}{i}" for i in range(3000)]
    draft.add("sites", id=names, operator=names, region=names, **{"class": "access"})
    draft.add("elements", id=names, site=names, function="GNB", vendor="bad", tech="5G")
    draft.add(
        "shares",
        element=names,
        operator=names,
        network="5G",
        metric="traffic",
        value=1.0,
        unit="fraction",
        period="2020",
    )
    draft.write(tmp_path / "n")
    e = assess_folder(tmp_path / "n", "bad", ["ipsec"])
    text = list(lines(e))
    assert len(text) < 150
    assert max(map(len, text)) < 1200
    assert len(e.before.claims) == 5000
    assert e.before.claims_more > 0
    assert len(e.before.outages[0].losses) == 1000


def test_wrong_data_is_named() -> None:
    power = {"title": "t", "read": "S", "steer": "", "off": ""}
    kind = {"title": "t", "from_table": "links", "basis": "design", "source": "s"}
    good = {"powers": {"p": power}, "kinds": {"k": kind}, "rules": [{"kind": "k", "from": "entity", "to": "p"}]}
    assert parse_kinds(good).rules
    for wrong in (
        {**good, "powers": {"p": {**power, "read": "Z"}}},
        {**good, "kinds": {"k": {**kind, "basis": "hope"}}},
        {**good, "rules": [{"kind": "k", "from": "entity", "to": "q"}]},
        {**good, "rules": [{"kind": "k", "from": "q", "to": "p"}]},
    ):
        with pytest.raises(ValueError, match=r"power|kind|rule"):
            parse_kinds(wrong)
    text = '[x]\ntitle = "t"\nneeds = []\nsource = "s"\nread = "memory"\nacts = [{ on = "ACT" }]\n'
    assert parse_precautions(text.replace("ACT", "manages"))
    for wrong_text in (text, text.replace('"ACT"', '"holds"'), text.replace('"ACT"', '"vendor", layers = ["attic"]')):
        with pytest.raises(ValueError, match="precaution x"):
            parse_precautions(wrong_text)


PAGE = Path(__file__).resolve().parents[2] / "docs" / "exposure.md"


def test_the_page_shows_what_is_printed_and_every_precaution(small: Path) -> None:
    said = PAGE.read_text("utf-8")
    result = CliRunner().invoke(
        main, ["network", "expose", str(small), "--vendor", "hrv", "--precaution", "segmented-management"]
    )
    printed = result.output.splitlines()
    shown = said.partition("--vendor hrv --precaution segmented-management\n\n")[2].partition("\nAlpha loses")[0]
    rows = [line[4:] for line in shown.splitlines() if line.strip() and line.strip() != "…"]
    assert len(rows) > 10
    at = -1
    for row in rows:
        assert row in printed[at + 1 :], row
        at = printed.index(row, at + 1)
    assert all(f"`{name}`" in said for name in precautions())
    assert all(re.search(rf"\b{kind}\b", said) for kind in kinds().kinds)
