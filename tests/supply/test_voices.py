"""Where two sources of one vulnerability do not agree on a component's versions, the match says so, and who decided."""

from __future__ import annotations

import json

import pytest

from banbury.model.supply import Reason, State
from banbury.supply.match import run
from tests.supply import feeds_made as made
from tests.supply.conftest import Bench
from tests.supply.matching import Feeds, component, inventory, leaf, only

NVD = "cpe:lighttpd:lighttpd"
CNA = "cna:lighttpd:lighttpd"


def kinds(reasons: list[Reason]) -> dict[str, Reason]:
    return {one.kind: one for one in reasons}


def test_a_source_that_does_not_count_the_version_is_told() -> None:
    feeds = Feeds()
    feeds.say("CVE-2030-0001", leaf(NVD, "", "1.5"), source="nvd-overrides")
    feeds.say("CVE-2030-0001", leaf(NVD, "1.0", "1.3"), leaf(NVD, at="1.3.9"), source="cve")
    match = only(feeds, component("lighttpd", "1.4.35"))
    told = kinds(match.reasons)["sources-disagree"]
    assert told.says == "nvd-overrides: <1.5 counts 1.4.35, which decided; cve: >=1.0 <1.3, 1.3.9 does not count it"
    assert told.evidence == {"count": "nvd-overrides", "deny": "cve", "decided": "nvd-overrides"}
    assert match.state is State.CANDIDATE


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("cve", leaf("cpe:acme:other", "1.0", "1.3")),  # of another product
        ("cve", leaf(NVD)),  # without a bound: it counts the version too
        ("kernel-4.4", leaf(NVD, "1.0", "1.3")),  # a list of another stream
        ("nvd", leaf(NVD, "1.0", "1.3")),  # a second range of the same voice
    ],
)
def test_what_is_no_disagreement(source: str, said: object) -> None:
    feeds = Feeds()
    feeds.say("CVE-2030-0001", leaf(NVD, "", "1.5"))
    feeds.say("CVE-2030-0001", said, source=source)  # type: ignore[arg-type]
    assert "sources-disagree" not in kinds(only(feeds, component("lighttpd", "1.4.35")).reasons)


def test_a_record_that_one_source_rejects_is_told() -> None:
    feeds = Feeds()
    feeds.say("CVE-2030-0001", leaf(NVD, "", "1.5"))
    feeds.say("CVE-2030-0001", leaf(NVD), source="cve", flags=["rejected"])
    told = kinds(only(feeds, component("lighttpd", "1.4.35")).reasons)
    assert told["source-rejects"].evidence == {"rejects": "cve", "decided": "nvd"}


def test_other_ends_are_told() -> None:
    """Both count the version; the operator must know which release mends it."""
    feeds = Feeds()
    feeds.say("CVE-2030-0001", leaf(NVD, "", "1.4.36"))
    feeds.say("CVE-2030-0001", leaf(NVD, "1.0", "1.5"), source="cve")
    told = kinds(only(feeds, component("lighttpd", "1.4.35")).reasons)
    assert told["ranges-differ"].evidence == {"nvd": "<1.4.36", "cve": ">=1.0 <1.5"}
    assert "sources-disagree" not in told


def _record(cna: str, cisa: str) -> bytes:
    """A CNA that says "fixed in ``cna``", and CISA's container that says another."""

    def block(fixed: str) -> dict[str, object]:
        entry = {"version": "0", "lessThan": fixed, "status": "affected", "versionType": "semver"}
        return {"vendor": "lighttpd", "product": "lighttpd", "versions": [entry], "defaultStatus": "unaffected",
                "cpes": ["cpe:2.3:a:lighttpd:lighttpd:*:*:*:*:*:*:*:*"]}  # fmt: skip

    record = made.cve5("CVE-2030-0003")
    record["containers"]["cna"]["affected"] = [block(cna)]
    record["containers"]["adp"] = [{"providerMetadata": {"shortName": "CISA-ADP"}, "affected": [block(cisa)]}]
    return json.dumps(record).encode()


def test_cisas_container_is_a_voice_of_its_own(bench: Bench) -> None:
    """Through import and store: a CNA's range against CISA's, in one record; and NVD's override beside them."""
    bench.take(_record("1.4.10", "1.5"))
    (match,) = run(inventory(component("lighttpd", "1.4.35")), bench.store).matches
    told = kinds(match.reasons)["sources-disagree"]
    assert told.evidence == {"count": "cisa-adp", "deny": "cve", "decided": "cisa-adp"}
    nvd = made.nvd("CVE-2030-0003", configurations=[
        {"nodes": [{"operator": "OR", "negate": False,
                    "cpeMatch": [made.match("lighttpd:lighttpd", versionEndExcluding="1.4.20")]}]}
    ])  # fmt: skip
    bench.take(made.page(nvd), "nvd")
    (match,) = run(inventory(component("lighttpd", "1.4.35")), bench.store).matches
    assert kinds(match.reasons)["sources-disagree"].evidence["deny"] == "cve nvd"
    (match,) = run(inventory(component("lighttpd", "1.4.15")), bench.store).matches
    both = kinds(match.reasons)
    assert both["sources-disagree"].evidence == {"count": "cisa-adp nvd", "deny": "cve", "decided": "cisa-adp nvd"}
    assert both["ranges-differ"].evidence == {"cisa-adp": "<1.5", "nvd": "<1.4.20"}
    assert run(inventory(component("lighttpd", "1.6")), bench.store).matches == []


def test_another_system_that_a_cna_names(bench: Bench) -> None:
    """A CNA that lists Windows alone (CVE-2023-7235), and CISA's copy of it: not on Linux. NVD's range without that
    condition keeps it a candidate, and the disagreement is told."""
    record = json.loads(_record("1.5", "1.5"))
    record["containers"]["cna"]["affected"][0]["platforms"] = ["Windows"]
    bench.take(json.dumps(record).encode(), "cve")
    parts = component("linux", "3.10.49"), component("lighttpd", "1.4.35")
    (match,) = run(inventory(*parts), bench.store).matches
    assert (match.state, kinds(match.reasons)["narrowed-absent"].evidence["needs"]) == (
        State.NOT_AFFECTED,
        "target_sw=windows",
    )
    node = {
        "operator": "OR",
        "negate": False,
        "cpeMatch": [made.match("lighttpd:lighttpd", versionEndExcluding="1.4.36")],
    }
    bench.take(made.page(made.nvd("CVE-2030-0003", configurations=[{"nodes": [node]}])), "nvd")
    (match,) = run(inventory(*parts), bench.store).matches
    assert match.state is State.CANDIDATE
    assert kinds(match.reasons)["sources-disagree"].evidence == {
        "count": "nvd",
        "deny": "cisa-adp cve",
        "decided": "nvd",
    }


def test_a_platform_that_is_no_system_or_one_of_several(bench: Bench) -> None:
    record = json.loads(_record("1.5", "1.5"))
    for number, platforms in enumerate((["Windows", "Linux"], ["x86"], [], None, ["Windows", ""])):
        record["cveMetadata"]["cveId"] = f"CVE-2030-1{number:03}"
        record["containers"]["cna"]["affected"][0]["platforms"] = platforms
        bench.take(json.dumps(record).encode(), f"cve{number}")
    found = run(inventory(component("linux", "3.10.49"), component("lighttpd", "1.4.35")), bench.store).matches
    assert [one.state for one in found] == [State.CANDIDATE] * 5


def test_a_commit_with_a_blank_is_no_version(bench: Bench) -> None:
    """CISA's container of CVE-2021-47503 has "f8dccc1bdea7 " as a version."""
    record = json.loads(_record("1.5", "1.5"))
    entry = {"version": "1dccc1bdea7f ", "lessThan": "953926205741", "status": "affected", "versionType": "custom"}
    record["containers"]["cna"]["affected"] = []
    record["containers"]["adp"][0]["affected"][0]["versions"] = [entry]
    bench.take(json.dumps(record).encode(), "cve")
    (match,) = run(inventory(component("lighttpd", "1.4.35")), bench.store).matches
    assert "version-not-stated" in kinds(match.reasons)
