"""A distribution's own list (OSV) decides what its packages' versions mend; the orders of package managers."""

from __future__ import annotations

import functools
import json
import random
import shutil
import subprocess
from typing import Any

import pytest

from banbury.model.supply import Component, Identity, Match, Standing, State, Technique
from banbury.supply import packaged, versions
from banbury.supply.match import run
from tests.supply import feeds_made as made
from tests.supply.conftest import Bench
from tests.supply.matching import component, inventory


def package(product: str, version: str, number: str, *, manager: str = "dpkg", **rest: Any) -> Component:
    """A component that a package manager states."""
    kind = {"dpkg": "deb/debian", "apk": "apk/alpine"}[manager]
    said = Identity(product=product, technique=Technique.PACKAGE, standing=Standing.ASSERTED, version=version,
                    package=rest.pop("package", product))  # fmt: skip
    return component(product, version, manager=manager, package_version=number, purl=f"pkg:{kind}/{product}@{number}",
                     identities=[said], **rest)  # fmt: skip


HOST = package("base-files", "12.4", "12.4+deb12u5")


def osv(id_: str, ecosystem: str, name: str, *events: dict[str, str], **fields: Any) -> bytes:
    block = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    record = {"schema_version": "1.7.3", "id": id_, "modified": "2026-01-01T00:00:00Z", "affected": [block]}
    return json.dumps(record | {"upstream": ["CVE-2030-0001"]} | fields).encode()


def nvd(bench: Bench) -> None:
    """NVD counts every zlib before 1.3."""
    node = {"operator": "OR", "negate": False, "cpeMatch": [made.match("zlib:zlib", versionEndExcluding="1.3")]}
    bench.take(made.page(made.nvd("CVE-2030-0001", configurations=[{"nodes": [node]}])), "nvd")


def kinds(match: Match) -> set[str]:
    return {one.kind for one in match.reasons}


@pytest.mark.parametrize(
    ("number", "state", "kind"),
    [
        ("1:1.2.13.dfsg-1", State.CANDIDATE, "distribution-counts"),
        ("1:1.2.13.dfsg-1+deb12u1", State.FIXED, "distribution-fixed"),
        ("1:1.2.13.dfsg-1+deb12u2", State.FIXED, "distribution-fixed"),
        ("1.2.13.dfsg-2", State.CANDIDATE, "distribution-counts"),  # without the epoch it is older
    ],
)
def test_what_debian_mended(bench: Bench, number: str, state: State, kind: str) -> None:
    """The upstream version is in NVD's range whatever the revision is; Debian's list knows which revision mends it."""
    nvd(bench)
    fixed = {"introduced": "0"}, {"fixed": "1:1.2.13.dfsg-1+deb12u1"}
    bench.take(osv("DEBIAN-CVE-2030-0001", "Debian:12", "zlib", *fixed), "osv")
    zlib = package("zlib", "1.2.13", number, package="zlib1g", source="zlib")
    (match,) = run(inventory(HOST, zlib), bench.store).matches
    assert (match.vulnerability, match.state) == ("CVE-2030-0001", state)
    assert kind in kinds(match)
    assert "distribution-revision" not in kinds(match)
    if state is State.FIXED:
        (told,) = (one for one in match.reasons if one.kind == kind)
        assert told.evidence["package"] == "zlib"
        assert told.evidence["version"] == number
        assert told.evidence["range"] == "<1:1.2.13.dfsg-1+deb12u1"


@pytest.mark.parametrize(
    "components",
    [
        [package("zlib", "1.2.13", "1:1.2.13.dfsg-9", source="zlib")],  # which release, nothing says
        [HOST, package("zlib", "1.2.13", "1:1.2.13.dfsg-9+deb11u1", source="zlib")],  # of another release
        [HOST, component("zlib", "1.2.13")],  # no package
        [HOST, package("zlib", "1.2.13", "1:1.2.13.dfsg-9", source="zlib", mixed=True)],  # packages of two revisions
        [HOST, package("zlib", "1.2.13", "1:1.2.13.dfsg-9", source="zlib-ng")],  # another source
        [package("base-files", "12", "12ubuntu4.4"), package("zlib", "1.2.13", "1:1.2.13.dfsg-9", source="zlib")],
    ],
)
def test_of_which_it_says_nothing(bench: Bench, components: list[Component]) -> None:
    nvd(bench)
    fixed = {"introduced": "0"}, {"fixed": "1:1.2.13.dfsg-2"}
    bench.take(osv("DEBIAN-CVE-2030-0001", "Debian:12", "zlib", *fixed), "osv")
    (match,) = run(inventory(*components), bench.store).matches
    assert match.state is State.CANDIDATE
    assert not {kind for kind in kinds(match) if kind in ("distribution-fixed", "distribution-counts")}


def test_an_advisory_on_several_vulnerabilities_is_a_match_of_each(bench: Bench) -> None:
    """One of them is named as fixed by package data: the other is not, and neither is an alias of the other."""
    ids = {"upstream": ["CVE-2030-0001", "CVE-2030-0002"]}
    bench.take(osv("DSA-5000-1", "Debian:12", "zlib", {"introduced": "0"}, {"fixed": "1:2-1"}, **ids))
    zlib = package("zlib", "1.2.13", "1:1.2.13.dfsg-1", source="zlib", patched=["CVE-2030-0002"])
    found = {one.vulnerability: one for one in run(inventory(HOST, zlib), bench.store).matches}
    assert {id_: one.state for id_, one in found.items()} == {
        "CVE-2030-0001": State.CANDIDATE,
        "CVE-2030-0002": State.ANALYST,  # the changelog names it, and Debian's list counts this version
    }
    assert found["CVE-2030-0001"].aliases == ["DSA-5000-1"]


def test_alpine(bench: Bench) -> None:
    nvd(bench)
    bench.take(osv("ALPINE-CVE-2030-0001", "Alpine:v3.19", "zlib", {"introduced": "0"}, {"fixed": "1.2.13-r1"}), "osv")
    host = package("alpine-release", "3.19.1", "3.19.1-r0", manager="apk")
    for number, state in (("1.2.13-r0", State.CANDIDATE), ("1.2.13-r1", State.FIXED)):
        zlib = package("zlib", "1.2.13", number, manager="apk")
        (match,) = run(inventory(host, zlib), bench.store).matches
        assert match.state is state


def test_before_the_flaw(bench: Bench) -> None:
    nvd(bench)
    events = {"introduced": "1:1.2.14-1"}, {"fixed": "1:1.2.15-1"}
    bench.take(osv("DEBIAN-CVE-2030-0001", "Debian:12", "zlib", *events), "osv")
    (match,) = run(inventory(HOST, package("zlib", "1.2.13", "1:1.2.13.dfsg-1")), bench.store).matches
    assert (match.state, match.justification) == (State.NOT_AFFECTED, "vulnerable_code_not_present")


def test_the_order_of_dpkg() -> None:
    """As dpkg itself says, on made versions."""
    if not (tool := shutil.which("dpkg")):
        pytest.skip("NO DPKG: its order is not compared with its own")
    chosen = random.Random(7)
    parts = ["1", "2", "10", "0", "00", "~", "~rc", "+", ".", "-", "a", "Z", "dfsg", "+deb12u", "1:", "0:"]
    made_up = {f"{chosen.choice('123')}{''.join(chosen.choices(parts, k=chosen.randint(0, 6)))}" for _ in range(400)}
    valid = []
    for text in sorted(made_up):
        try:
            valid.append((packaged.dpkg(text), text))
        except ValueError:
            continue
    assert len(valid) > 150
    for one, other in [chosen.sample(valid, 2) for _ in range(120)]:
        sign = "lt" if one[0] < other[0] else "eq" if one[0] == other[0] else "gt"
        done = subprocess.run([tool, "--compare-versions", one[1], sign, other[1]], check=False, capture_output=True)
        assert done.returncode == 0 or b"error" in done.stderr, (one[1], sign, other[1])


def test_the_order_of_apk() -> None:
    """By the rules of apk-package(5)."""
    ordered = [
        "1.2_alpha",
        "1.2_alpha2",
        "1.2_beta",
        "1.2_pre1",
        "1.2_rc1",
        "1.2",
        "1.2-r1",
        "1.2-r10",
        "1.2_git20240101",
        "1.2_p1",
        "1.2_p1-r1",
        "1.2a",
        "1.2a-r1",
        "1.2b",
        "1.2.0",
        "1.2.1",
        "1.2.10",
        "1.10",
        "10.0",
    ]
    keys = [packaged.apk(text) for text in ordered]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    for text in ("", "x", "1.2-1", "1.02", "1.2_rc1x"):
        with pytest.raises(ValueError, match="no version"):
            packaged.apk(text)


def test_names_choose_the_order() -> None:
    compare = functools.partial(versions.key, scheme=versions.scheme_of("osv:debian:12:zlib"))
    assert compare("1:1.0-1") > compare("2.0-1")
    assert compare("1.0-1~deb12u1") < compare("1.0-1")
    assert versions.scheme_of("osv:debian12:zlib") == versions.scheme_of("osv:oss-fuzz:debian:x") == ""
