"""Claims on the end of support, on several days; the table itself; the declared support period."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from banbury.intake.submission import find_submission, receive
from banbury.lab.store import FileStore
from banbury.model.errors import InputError
from banbury.model.supply import Claim, Component, Support
from banbury.supply.feeds.query import Cycle, Release
from banbury.supply.products import products
from banbury.supply.support.claims import support, unclaimed
from banbury.supply.support.table import UNVERIFIED, every_row, in_branch


class Feeds:
    """Made release cycles, in the form of endoflife.date."""

    def __init__(self, listed: dict[str, list[Cycle]], released: dict[str, str] | None = None) -> None:
        self.listed = listed
        self.released = released or {}

    def cycles(self, product: str) -> list[Cycle]:
        return self.listed.get(product, [])

    def products(self, kind: str, identifier: str) -> list[str]:
        return [identifier] if kind == "name" and identifier in self.listed else []

    def releases(self, product: str) -> list[Release]:
        return [Release(product=product, version=v, day=d) for v, d in self.released.items()]


def component(product: str, version: str, **more: str) -> Component:
    return Component(id=f"{product}@{version}", product=product, version=version, **more)  # type: ignore[arg-type]


def claims(product: str, version: str, day: str, **more: str) -> dict[Claim, Support]:
    return {claim.claim: claim for claim in support([component(product, version, **more)], day)}


def cycle(name: str, **more: object) -> Cycle:
    return Cycle(product="thing", cycle=name, source="endoflife.date", **more)  # type: ignore[arg-type]


def test_every_row_is_sourced_and_names_a_product_of_the_table() -> None:
    listed = every_row()
    assert len(listed) >= 60
    assert {row.claim for row in listed} == set(Claim)
    for row in listed:
        assert row.product in products(), row.product
        assert row.source
        if row.confidence != UNVERIFIED:
            assert row.source != "none found"
            assert row.source_date, row
        if row.end:
            dt.date.fromisoformat(row.end)


@pytest.mark.parametrize(
    ("day", "ended"), [("2022-02-02", False), ("2022-02-03", False), ("2022-02-04", True), ("2030-01-01", True)]
)
def test_the_last_day_of_support_is_a_day_of_support(day: str, ended: bool) -> None:
    claim = claims("linux", "4.4.302", day)[Claim.ANNOUNCED]
    assert (claim.ended, claim.end, claim.branch) == (ended, "2022-02-03", "4.4")


def test_six_kinds_of_claim() -> None:
    day = "2026-11-22"
    assert claims("openssl", "1.0.2k", day)[Claim.ANNOUNCED].end == "2019-12-31"
    assert claims("linux", "3.3.8", day)[Claim.SUPERSEDED].ended is True
    assert claims("uclibc", "0.9.33.2", day)[Claim.DEAD].successor == "uclibc-ng"
    vxworks = claims("vxworks", "5.5.1", day)
    assert vxworks.keys() == {Claim.CONTRACT}
    assert vxworks[Claim.CONTRACT].ended is None
    assert "ask the vendor of the product for proof" in vxworks[Claim.CONTRACT].source
    assert claims("openwrt", "12.09", day)[Claim.OLDER].ended is True
    kept = claims("openssl", "1.1.1w", "2026-01-01", package_version="1.1.1w-0+deb11u4")
    assert (kept[Claim.ANNOUNCED].ended, kept[Claim.DISTRIBUTION].ended) == (True, False)
    assert Claim.DISTRIBUTION not in claims("openssl", "1.1.1w", "2026-01-01", package_version="1.1.1w-r0")


@pytest.mark.parametrize("version", ["3.1", "3.10", "3.101", "3.10-rc1", "3.100.2"])
def test_a_branch_is_not_another_that_begins_like_it(version: str) -> None:
    assert in_branch(version, "3.10") is (version in ("3.10", "3.10-rc1"))
    assert in_branch(version, "3.1") is (version == "3.1")


def test_what_is_unverified_asserts_nothing() -> None:
    """Dropbear: that a newer release exists is sourced, that older ones are not mended is not."""
    claim = claims("dropbear", "2019.78", "2026-11-22")[Claim.SUPERSEDED]
    assert (claim.ended, claim.confidence, claim.successor) == (None, UNVERIFIED, "2026.94")


def test_a_document_says_nothing_of_the_days_before_it() -> None:
    before, after = (claims("goahead", "2.5", day)[Claim.ANNOUNCED] for day in ("2026-11-21", "2026-11-22"))
    assert (before.ended, after.ended) == (None, True)


def test_cycles_of_the_feeds() -> None:
    listed = [
        cycle("2.1", eol="2027-06-30", latest="2.1.9", snapshot="ab" * 32),
        cycle("2.0", ended=True),
        cycle("1.9", eol="2020-01-31"),
    ]
    feeds = Feeds({"thing": listed}, {"2.1.8": "2026-05-01", "2.1.9": "2026-06-01", "2.1.10": "2026-12-01"})
    found = support(
        [component("thing", v) for v in ("2.1.8", "2.0.3", "1.9", "1.2", "2.10", "no version", "")], "2026-11-22",
        store=feeds, until="2030-12-31",
    )  # fmt: skip
    by_id = {claim.component: claim for claim in found}
    current = by_id["thing@2.1.8"]
    assert (current.ended, current.end, current.within) == (False, "2027-06-30", True)
    assert (current.released, current.behind) == ("2026-05-01", 1)  # 2.1.10 was not out on that day
    assert "ab" * 32 in current.source
    assert by_id["thing@2.0.3"].ended is True
    assert by_id["thing@1.9"].within is False  # it has ended already
    assert (by_id["thing@1.2"].claim, by_id["thing@1.2"].ended) == (Claim.OLDER, True)
    assert set(by_id) == {"thing@2.1.8", "thing@2.0.3", "thing@1.9", "thing@1.2"}
    early = support([component("thing", "1.2")], "2019-01-01", store=feeds)
    assert early[0].ended is None  # older than what was supported then: unknown


def test_a_feed_that_says_the_same_as_the_table_is_the_source() -> None:
    eol = [cycle("1.0.2", eol="2019-12-31", extended="2027-01-01")]
    (claim,) = support([component("openssl", "1.0.2k")], "2026-11-22", store=Feeds({"openssl": eol}))
    assert "endoflife.date" in claim.source
    assert "extended support until 2027-01-01" in claim.source
    other = [cycle("1.0.2", eol="2020-06-30")]
    assert len(support([component("openssl", "1.0.2k")], "2026-11-22", store=Feeds({"openssl": other}))) == 2


@pytest.mark.parametrize(("until", "within"), [("2027-06-30", False), ("2027-07-01", True), ("", False)])
def test_the_end_lies_within_the_declared_period(until: str, within: bool) -> None:
    feeds = Feeds({"thing": [cycle("2.1", eol="2027-06-30")]})
    (claim,) = support([component("thing", "2.1")], "2027-06-30", store=feeds, until=until)
    assert (claim.ended, claim.within) == (False, within)


def test_a_package_is_supported_as_long_as_its_distribution() -> None:
    feeds = Feeds({"debian": [cycle("12", eol="2026-06-10", extended="2028-06-30")]})
    listed = [component("debian", "12"), component("zlib", "1.2.13", purl="pkg:deb/debian/zlib1g@1:1.2.13")]
    found = [c for c in support(listed, "2026-11-22", store=feeds) if c.claim is Claim.DISTRIBUTION]
    assert [(c.component, c.end, c.ended) for c in found] == [("zlib@1.2.13", "2028-06-30", False)]


def test_what_nothing_is_known_of_is_said() -> None:
    listed = [component("vxworks", ""), component("no such product", "1"), component("linux", "\udcff" * 500)]
    found = support(listed, "2026-11-22")
    assert unclaimed(listed, found) == [listed[1].id, listed[2].id]
    assert [c.claim for c in found] == [Claim.CONTRACT]
    with pytest.raises(InputError, match="not a date"):
        support(listed, "yesterday")


def test_the_manifest_states_a_support_period(tmp_path: Path) -> None:
    (tmp_path / "box.bin").write_bytes(b"content")
    text = '[release]\nvendor = "V"\n%s\n[[artefact]]\npath = "box.bin"\nrole = "image"\n'
    store = FileStore(tmp_path / "store")
    ids = set()
    for line, stated in (("", ""), ("support_until = 2030-12-31", "2030-12-31"), ('support_until = "2030-12-31"', "")):
        (tmp_path / "release.toml").write_text(text % line)
        release = receive(find_submission(tmp_path / "release.toml"), store)
        assert release.support_until == ("2030-12-31" if line else "")
        ids.add(release.id)
        assert stated in release.support_until
    assert len(ids) == 2
    (tmp_path / "release.toml").write_text(text % 'support_until = "soon"')
    with pytest.raises(InputError, match="support_until"):
        find_submission(tmp_path / "release.toml")
