"""Claims on the end of support, on several days; the table itself; the declared support period."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from banbury.intake.submission import find_submission, receive
from banbury.lab.store import FileStore
from banbury.model.errors import InputError
from banbury.model.supply import Claim, Component, FeedKind, Identity, Snapshot, Standing, Support, Technique
from banbury.supply.feeds.query import Cycle, Release
from banbury.supply.products import products
from banbury.supply.support.claims import support, unclaimed
from banbury.supply.support.lines import Releases, later, strays
from banbury.supply.support.table import DERIVED, UNVERIFIED, every_listed, every_row, in_branch, listed
from banbury.supply.support.tags import Tags, patterns, released


class Feeds:
    """Made release cycles, in the form of endoflife.date."""

    def __init__(
        self, listed: dict[str, list[Cycle]], released: dict[str, str] | None = None, written: str = "2026-11-01"
    ) -> None:
        self.listed, self.written = listed, written
        self.released = released or {}

    def cycles(self, product: str) -> list[Cycle]:
        return self.listed.get(product, [])

    def products(self, kind: str, identifier: str) -> list[str]:
        return [identifier] if kind == "name" and identifier in self.listed else []

    def releases(self, product: str) -> list[Release]:
        return [Release(product=product, version=v, day=d) for v, d in self.released.items()]

    def snapshots(self) -> list[Snapshot]:
        return [
            Snapshot(sha256="ab" * 32, name="made", kind=FeedKind.SUPPORT, format="endoflife-products", importer=1,
                     records=1, ranges=0, refused=0, newest=self.written, imported=""),
        ]  # fmt: skip


def component(product: str, version: str, **more: str) -> Component:
    return Component(id=f"{product}@{version}", product=product, version=version, **more)  # type: ignore[arg-type]


def claims(product: str, version: str, day: str, **more: str) -> dict[Claim, Support]:
    return {claim.claim: claim for claim in support([component(product, version, **more)], day)}


def cycle(name: str, **more: object) -> Cycle:
    return Cycle(product="thing", cycle=name, source="endoflife.date", snapshot="ab" * 32, **more)  # type: ignore[arg-type]


def test_every_row_is_sourced_and_names_a_product_of_the_table() -> None:
    rows = every_row()
    assert len(rows) >= 200
    assert {row.claim for row in rows} == set(Claim)
    for row in rows:
        assert row.product in products(), row.product
        assert row.source
        if row.confidence != UNVERIFIED:
            assert row.source != "none found"
            assert row.address.startswith("https://"), row
            assert "2014" <= row.source_date <= row.read or len(row.source_date) == 4, row
    assert sum(row.confidence == UNVERIFIED for row in rows) <= 15


def test_what_is_inferred_from_a_list_of_releases_is_so_in_the_list() -> None:
    """The rule "it mends its newest line alone", where it is not the project's own words, holds in every release that
    the project has made in the ten years before the list was read."""
    checked = 0
    for row in every_row():
        if not row.lines or row.confidence != DERIVED:
            continue
        known = listed(row.product)
        assert known is not None, row.product
        covered = {version: day for version, day in known.days.items() if row.covers(version, "")}
        found = strays(Releases(covered, known.source_date), row.lines, row.depth, later(known.source_date, -120))
        assert not found, (row.product, found)
        checked += 1
    assert checked >= 30


def test_days_of_releases_are_days() -> None:
    for known in every_listed():
        assert known.product in products(), known.product
        assert known.days, known.product
        for day in known.days.values():
            dt.date.fromisoformat(day)
            assert day <= known.source_date, (known.product, day)


@pytest.mark.parametrize(
    ("day", "ended"), [("2022-02-02", False), ("2022-02-03", False), ("2022-02-04", True), ("2030-01-01", True)]
)
def test_the_last_day_of_support_is_a_day_of_support(day: str, ended: bool) -> None:
    claim = claims("linux", "4.4.302", day)[Claim.ANNOUNCED]
    assert (claim.ended, claim.end, claim.branch) == (ended, "2022-02-03", "4.4")


@pytest.mark.parametrize(
    ("product", "version", "ended", "end", "confidence"),
    [
        ("kea", "2.4.1", True, "2025-06-20", "stated"),  # 2.6 and 3.0 came: two newer stable branches
        ("kea", "3.0.1", None, "", "stated"),
        ("gcc", "12.3.0", True, "2025-07-11", "derived"),
        ("libgcc", "14.2.0", None, "", "stated"),
        ("chrony", "4.2", True, "2022-08-31", "derived"),
        ("util-linux", "2.38", None, "", "stated"),  # older lines get releases: only that newer ones exist
    ],
)
def test_rows_from_tags(product: str, version: str, ended: bool | None, end: str, confidence: str) -> None:
    claim = claims(product, version, "2026-11-22")[Claim.SUPERSEDED]
    assert (claim.ended, claim.end, claim.confidence) == (ended, end, confidence)
    assert claim.successor


def test_products_without_any_row_are_counted_in_the_page() -> None:
    """The page says how many products of the table nothing is known of, without feeds' cycles."""
    bare = [name for name in products() if not any(row.product == name for row in every_row())]
    page = (Path(__file__).resolve().parents[2] / "docs" / "support.md").read_text("utf-8")
    assert f"of the table's {len(products())}" in page
    assert len(bare) < 290


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
    claim = claims("mini-httpd", "1.19", "2026-11-22")[Claim.DEAD]
    assert (claim.ended, claim.confidence, claim.within) == (None, UNVERIFIED, False)


@pytest.mark.parametrize(
    ("product", "version", "day", "ended", "end"),
    [
        # One line of releases: Dropbear 2014.64 came on 2014-07-27, and with it the end of 2014.63.
        ("dropbear", "2014.63", "2014-07-26", None, "2014-07-27"),
        ("dropbear", "2014.63", "2015-07-27", None, ""),  # a year without a release of an older one
        ("dropbear", "2014.63", "2015-07-28", True, "2014-07-27"),
        ("dropbear", "2026.94", "2026-07-23", None, ""),  # the newest: nobody promises anything
        ("dropbear", "2031.1", "2026-11-22", None, ""),  # newer than the list
        # Two lines of BusyBox: 1.24.0 came on 2015-10-12, the second after 1.22.
        ("busybox", "1.22.1", "2015-10-12", None, "2015-10-12"),
        ("busybox", "1.22.1", "2016-10-13", True, "2015-10-12"),
        ("dropbear", "2026.91", "2031-01-01", None, ""),
        ("busybox", "1.37.0", "2026-11-22", None, ""),
        # The project's own words: unbound's newest release is supported, as far as the list goes.
        ("unbound", "1.26.0", "2026-08-04", False, ""),
        ("unbound", "1.26.0", "2036-01-01", None, ""),
        ("unbound", "1.25.0", "2026-05-21", True, "2026-05-20"),
        # FRR mends a line for a year after its first release, PCRE2 a release for five years at least.
        ("frr", "10.4.2", "2026-07-20", False, "2026-07-20"),
        ("frr", "10.4.2", "2026-07-21", True, "2026-07-20"),
        ("pcre2", "10.42", "2027-12-12", False, "2027-12-12"),
        ("pcre2", "10.42", "2027-12-13", None, ""),
        # BIND 9.18 is supported until at least December 2025.
        ("bind", "9.18.28", "2025-12-31", False, "2025-12-31"),
        ("bind", "9.18.28", "2026-01-01", None, ""),
    ],
)
def test_ends_that_follow_from_releases(product: str, version: str, day: str, ended: bool | None, end: str) -> None:
    (claim,) = support([component(product, version)], day)
    assert (claim.ended, claim.end) == (ended, end)


def test_what_is_inferred_never_says_that_support_goes_on() -> None:
    for row in every_row():
        if row.confidence == DERIVED and row.lines:
            known = listed(row.product)
            assert known
            for version in list(known.days)[-3:]:
                assert all(
                    claim.ended is not False for claim in support([component(row.product, version)], known.source_date)
                )


@pytest.mark.parametrize(
    ("version", "claim", "end"),
    [
        ("2.4.20", Claim.OLDER, ""),
        ("2.6.10", Claim.SUPERSEDED, ""),
        ("2.6.21.5", Claim.SUPERSEDED, "2007-08-04"),
        ("2.6.31", Claim.SUPERSEDED, "2010-07-05"),
        ("2.6.32.71", Claim.ANNOUNCED, "2016-03-12"),
        ("2.6.36.4brcmarm", Claim.SUPERSEDED, "2011-02-17"),
        ("3.4.11-rt19", Claim.SUPERSEDED, "2016-10-26"),
        ("3.10.14", Claim.ANNOUNCED, "2017-11-04"),
        ("4.1.52", Claim.ANNOUNCED, "2018-05-28"),
        ("4.4.198", Claim.ANNOUNCED, "2022-02-03"),
    ],
)
def test_kernels_that_board_support_packages_stay_on(version: str, claim: Claim, end: str) -> None:
    (found,) = support([component("linux", version)], "2026-11-22")
    assert (found.claim, found.ended, found.end, found.within) == (claim, True, end, False)


def test_a_kernel_that_another_project_maintains() -> None:
    """Linux 4.19 of kernel.org has ended; the Civil Infrastructure Platform's has not. Both claims stand."""
    text = "Linux version 4.19.198-cip55 (builder@host) (gcc"
    shown = Identity(
        product="linux", technique=Technique.BANNER, standing=Standing.ASSERTED, version="4.19.198", matched=text
    )
    plain, marked = component("linux", "4.19.198"), component("linux", "4.19.198", identities=[shown])  # type: ignore[arg-type]
    assert Claim.DISTRIBUTION not in {claim.claim for claim in support([plain], "2026-11-22")}
    (claim,) = [one for one in support([marked], "2026-11-22") if one.claim is Claim.DISTRIBUTION]
    assert (claim.ended, claim.end) == (False, "2028-10-22")
    assert [one.ended for one in support([marked], "2028-10-23") if one.claim is Claim.DISTRIBUTION] == [None]


def test_a_document_says_nothing_of_the_days_before_it() -> None:
    before, after = (claims("goahead", "2.5", day)[Claim.ANNOUNCED] for day in ("2026-11-21", "2026-11-22"))
    assert (before.ended, after.ended) == (None, True)


def test_cycles_of_the_feeds() -> None:
    listed = [
        cycle("2.1", eol="2027-06-30", latest="2.1.9"),
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
    found = support([component("openssl", "1.0.2k")], "2026-11-22", store=Feeds({"openssl": eol}))
    (claim,) = [one for one in found if one.claim is Claim.ANNOUNCED]
    assert "endoflife.date" in claim.source
    assert "extended support until 2027-01-01" in claim.source
    other = Feeds({"openssl": [cycle("1.0.2", eol="2020-06-30")]})
    found = support([component("openssl", "1.0.2k")], "2026-11-22", store=other)
    assert [one.end for one in found if one.claim is Claim.ANNOUNCED] == ["2019-12-31", "2020-06-30"]


def test_a_cycle_that_goes_on_says_nothing_of_an_old_release_where_only_the_newest_is_mended() -> None:
    """SQLite's cycle is "3", which goes on; the project supports its latest release alone."""
    feeds = Feeds({"sqlite": [cycle("3", ended=False)]}, {"3.7.2": "2010-08-23", "3.7.3": "2010-10-08"}, "2026-11-22")
    (old,) = support([component("sqlite", "3.7.2")], "2026-11-22", store=feeds)
    assert (old.claim, old.ended, old.end, old.successor) == (Claim.SUPERSEDED, True, "2010-10-08", "3.7.3")
    new = support([component("sqlite", "3.7.3")], "2026-11-22", store=feeds)
    assert {claim.claim: claim.ended for claim in new} == {Claim.SUPERSEDED: None, Claim.ANNOUNCED: False}


def test_what_the_table_cannot_tell_does_not_hide_what_a_feed_can() -> None:
    """mini_httpd: the table's row is unverified; a feed whose oldest cycle is newer and has ended can tell."""
    feeds = Feeds({"linux": [cycle("4.9", eol="2023-01-07")], "mini-httpd": [cycle("1.30", eol="2018-10-26")]})
    found = support([component("mini-httpd", "1.19")], "2026-11-22", store=feeds)
    assert {claim.claim: claim.ended for claim in found} == {Claim.DEAD: None, Claim.OLDER: True}
    found = support([component("linux", "3.10.49")], "2026-11-22", store=feeds)  # the table tells more
    assert {claim.claim: claim.ended for claim in found} == {Claim.ANNOUNCED: True}


@pytest.mark.parametrize(
    ("flag", "day", "ended"),
    [
        (True, "2026-10-31", None),  # the feed is of the day after: it says nothing of the days before
        (True, "2026-11-01", True),
        (False, "2014-05-01", False),
        (False, "2026-12-01", False),
        (False, "2026-12-02", None),  # a month later it is no longer current
        (None, "2026-11-01", None),
    ],
)
def test_a_flag_holds_as_long_as_its_feed_is_current(flag: bool | None, day: str, ended: bool | None) -> None:
    (claim,) = support([component("thing", "2.0")], day, store=Feeds({"thing": [cycle("2.0", ended=flag)]}))
    assert (claim.ended, claim.source_date) == (ended, "2026-11-01")


@pytest.mark.parametrize(("until", "within"), [("2027-06-30", False), ("2027-07-01", True), ("", False)])
def test_the_end_lies_within_the_declared_period(until: str, within: bool) -> None:
    feeds = Feeds({"thing": [cycle("2.1", eol="2027-06-30")]})
    (claim,) = support([component("thing", "2.1")], "2027-06-30", store=feeds, until=until)
    assert (claim.ended, claim.within) == (False, within)


def by_distribution(listed: list[Component], store: Feeds | None = None, until: str = "") -> list[Support]:
    found = support(listed, "2026-11-22", store=store, until=until)
    return [claim for claim in found if claim.claim in (Claim.DISTRIBUTION, Claim.CONTRACT)]


def test_a_package_is_supported_as_long_as_its_distribution() -> None:
    feeds = Feeds({"debian": [cycle("12", eol="2026-06-10", extended="2028-06-30")]})
    package = component("zlib", "1.2.13", purl="pkg:deb/debian/zlib1g@1:1.2.13")
    (claim,) = by_distribution([component("debian", "12"), package], feeds, "2030-01-01")
    assert (claim.component, claim.end, claim.ended, claim.within) == ("zlib@1.2.13", "2028-06-30", False, True)
    found = by_distribution([component("debian", "12"), package])  # without a feed, by the table
    assert [(c.claim, c.end, c.ended) for c in found] == [(Claim.DISTRIBUTION, "2028-06-30", False)]


def test_support_by_subscription_is_a_contract() -> None:
    """Ubuntu 18.04: everybody's support ended in 2023, what is paid for goes on. The second maintains nothing here."""
    package = component("curl", "7.58.0", purl="pkg:deb/ubuntu/curl@7.58.0-2ubuntu3")
    for feeds in (None, Feeds({"ubuntu": [cycle("18.04", eol="2023-05-31", extended="2030-04-30")]})):
        found = by_distribution([component("ubuntu", "18.04"), package], feeds, "2035-01-01")
        assert [(c.claim, c.end, c.ended, c.within) for c in found] == [
            (Claim.DISTRIBUTION, "2023-05-31", True, False),
            (Claim.CONTRACT, "2030-04-30", None, False),
        ]


def test_what_a_distribution_does_not_mend() -> None:
    """Debian 11 no longer mends Libreswan, nor Python 2.7; of Samba it mends a part."""
    for product, version, end, ended in (
        ("libreswan", "4.3", "2024-06-03", True),
        ("python", "2.7.18", "2024-09-29", True),
        ("python", "3.9.2", "2026-08-31", True),
        ("samba", "4.13.13", "2026-08-31", True),
    ):
        package = component(product, version, package_version=f"{version}-1+deb11u3")
        found = support([package], "2026-11-22")
        (claim,) = [one for one in found if one.claim is Claim.DISTRIBUTION]
        assert (claim.end, claim.ended) == (end, ended), product
    assert "domain controller" in claim.source
    feeds = Feeds({"debian": [cycle("13", eol="2028-08-09", extended="2030-06-30")]})
    package = component("isc-dhcp", "4.4.3", package_version="4.4.3-P1-8+deb13u1")
    assert [one.ended for one in by_distribution([package], feeds)] == [True]


def test_which_release_a_package_is_from_may_not_be_known() -> None:
    """Two releases of a distribution in one image: a package is of the one that its version names, else of either."""
    hosts = [component("debian", "8"), component("debian", "12")]
    purl = "pkg:deb/debian/zlib1g"
    unmarked = component("zlib", "1.2.8", purl=purl, package_version="1:1.2.8.dfsg-2+b1")
    assert [(c.branch, c.ended) for c in by_distribution([*hosts, unmarked])] == [("12", None), ("8", None)]
    marked = component("zlib", "1.2.8", purl=purl, package_version="1:1.2.8.dfsg-2+deb8u1")
    assert [(c.claim, c.branch, c.ended) for c in by_distribution([*hosts, marked])] == [
        (Claim.DISTRIBUTION, "8", True), (Claim.CONTRACT, "8", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("1.1.1w-0+deb11u4", "11"),
        ("1.1.1k-1+deb11u1~bpo10+1", ""),  # a back-port: the release whose name it bears does not mend it
        ("7.88.1-10~deb12u3", "12"),
        ("1.1.1-1ubuntu2.1~18.04.23", "18.04"),
        ("5.4-0ubuntu0.20.04.1", "20.04"),
        ("1.36.1-r0", ""),
    ],
)
def test_the_release_that_a_packages_version_names(version: str, release: str) -> None:
    found = by_distribution([component("thing", "1", package_version=version)])
    assert f"{found[0].claim} {found[0].branch}" == f"{Claim.DISTRIBUTION} {release}" if release else not found


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
    (tmp_path / "release.toml").write_text((text % "").replace('"image"', '"firmware"'))
    with pytest.raises(InputError, match="firmware") as refused:
        find_submission(tmp_path / "release.toml")
    assert refused.value.hint == "role: image, source, rebuild, declaration, sbom"


@pytest.mark.parametrize(
    ("name", "claim"), [("Barrier Breaker", Claim.OLDER), ("Chaos Calmer", Claim.ANNOUNCED), ("x", None)]
)
def test_a_release_that_is_known_by_its_code_name(name: str, claim: Claim | None) -> None:
    shown = Identity(
        product="openwrt", technique=Technique.METADATA, standing=Standing.ASSERTED,
        matched=f'DISTRIB_RELEASE="{name}"',
    )  # fmt: skip
    found = support([component("openwrt", "", identities=[shown])], "2026-11-22")  # type: ignore[arg-type]
    assert [(one.claim, one.ended, one.behind) for one in found] == ([(claim, True, -1)] if claim else [])


def test_age_and_releases_behind() -> None:
    days = {
        "1.30.0": "2018-12-30",
        "1.31": "2019-06-10",
        "1.32-rc1": "2020-01-01",
        "1.9": "2007-12-24",
        "2.0": "2030-01-01",
    }
    found = support(
        [component("thing", v) for v in ("1.30", "1.31", "1.33", "2.0", "2.1", "1.1")], "2026-11-22",
        store=Feeds({"thing": [cycle("1", eol="2030-01-01"), cycle("2", eol="2030-01-01")]}, days),
    )  # fmt: skip
    assert {claim.component: (claim.released, claim.behind) for claim in found} == {
        "thing@1.30": ("2018-12-30", 1),  # 1.30 is 1.30.0; a release candidate is no release
        "thing@1.31": ("2019-06-10", 0),
        "thing@1.33": ("", 0),  # 2.0 is of another branch
        "thing@2.0": ("2030-01-01", 0),
        "thing@2.1": ("", -1),  # newer than all that are known: nothing can be said
        "thing@1.1": ("", 3),
    }


def test_releases_from_tags() -> None:
    tags = Tags(
        product="thing", repository="a/b", pattern=r"V_(\d+_\d+)_P(\d+)", version=r"\1p\2", leave=["2001-01-01"]
    )
    lines = ["V_9_8_P1 2024-07-01", "V_9_8_P1-x 2024-07-02", "V_1_0_P1 2001-01-01", "V_9_9_P1 ", "other 2024-01-01"]
    assert released(lines, tags) == {"9.8p1": "2024-07-01"}
    converted = [f"V_{n}_0_P1 2010-01-01" for n in range(10, 18)]
    assert released([*converted, *lines], tags) == {"9.8p1": "2024-07-01"}
    named = {one.product for one in patterns()}
    assert named == {one.product for one in every_listed()} - {"hostapd", "wpa-supplicant"}
