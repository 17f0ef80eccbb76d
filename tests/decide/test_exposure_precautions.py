"""Exposure after precautions: what each of them cuts, what it leaves, and where it is not applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from banbury.decide.exposure import assess, assess_folder, graph
from banbury.decide.network import Network
from banbury.decide.network.generate import generate
from tests.decide.exposures import Build, Rows, after, cell, claim, link, loss, path, traffic


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
