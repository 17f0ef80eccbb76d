"""The order of versions: hard pairs of projects' own releases, and what any order must be."""

from __future__ import annotations

import hashlib
import json
import tarfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banbury.supply import versions

FEEDS = Path(__file__).resolve().parents[2] / ".." / "shared" / "feeds"

#: (earlier, later, scheme): releases of real projects, each with where its order comes from.
HARD = [
    ("1.0.2k", "1.0.2zg", ""),  # OpenSSL, news/openssl-1.0.2-notes: after z come za, zb, …
    ("1.0.2z", "1.0.2za", ""),  # the same
    ("1.0.1", "1.0.1a", ""),  # OpenSSL: the letter is a patch of the release
    ("0.9.8zh", "1.0.0", ""),  # OpenSSL
    ("0.9.7-beta3", "0.9.7", ""),  # OpenSSL, CVE-2002-0657
    ("1.1.1-pre9", "1.1.1", ""),  # OpenSSL
    ("2.80test5", "2.80rc1", ""),  # dnsmasq: test releases, then candidates
    ("2.80rc1", "2.80", ""),  # dnsmasq
    ("2.9", "2.10", ""),  # numbers are not text
    ("9.2", "9.2p1", ""),  # OpenSSH portable
    ("6.6.1p1", "6.7p1", ""),  # OpenSSH portable
    ("4.2.8p9", "4.2.8p15", ""),  # ntp
    ("4.2.8p1-beta1", "4.2.8p1", ""),  # ntp
    ("4.1-ESV-R9", "4.1-ESV-R15-P1", "isc"),  # ISC DHCP
    ("4.1-ESV-R15", "4.1-ESV-R15-P1", "isc"),  # ISC DHCP
    ("9.9.4b1", "9.9.4", "isc"),  # BIND: betas
    ("9.9.4rc1", "9.9.4-P1", "isc"),  # BIND: patches
    ("7-sr0610", "7-sr0620", "windriver"),  # VxWorks 7
    ("7", "7-sr0610", "windriver"),  # VxWorks 7
    ("6.9.4.11", "6.9.4.12", "windriver"),  # VxWorks, CVE-2019-12256
    ("1.21.0-rc0", "1.21.0", ""),  # BusyBox
    ("1.00-pre10", "1.00", ""),  # BusyBox
    ("2.6.32-rc3", "2.6.32", ""),  # Linux
    ("2.6.32", "2.6.32.1", ""),  # Linux
    ("3.9", "3.14", ""),  # Linux
    ("0.53", "2011.54", ""),  # Dropbear: numbers, then years
    ("2016.05-rc3", "2016.05", ""),  # U-Boot
    ("1.3.4", "2009.01", ""),  # U-Boot: numbers, then dates
    ("1.9.0b1", "1.9.0", ""),  # jQuery, CVE-2012-6708
    ("2.8.123d", "2.8.123e", ""),  # gSOAP
    ("0.94.13", "0.94.14rc21", "boa"),  # Boa
    ("2023d", "2024a", ""),  # tz
    ("1.9.5p1", "1.9.5p2", ""),  # sudo
    ("6b", "9c", ""),  # libjpeg
    ("8u202", "8u292", "java"),  # OpenJDK
    ("1.8.31p2", "1.9.0", ""),  # sudo: a patch of an old release
    ("2.4.7", "2.4.10", ""),  # pppd
    ("v4.14.98-12-g1a2b3c4d5e", "4.14.99", ""),  # git describe(1): commits after a tag
    ("4.14.98", "v4.14.98-12-g1a2b3c4d5e", ""),  # the same
    ("1:1.0", "2:0.9", ""),  # deb-version(7): the epoch counts first
    ("1.2~rc1", "1.2", ""),  # deb-version(7): the tilde is before the end
    ("2012-10-05", "2013-01-31", ""),  # dates
]

EQUAL = [
    ("1.0", "1.0.0", ""),
    ("07.0.07", "7.0.7", ""),  # Hirschmann HiOS in CVE-2019-12256
    ("v1.33.1", "1.33.1", ""),
    ("0.94.14rc21", "0.94.14.21", "boa"),  # the banner, and the CPE dictionary
    ("1.8.0:update_292", "8u292", "java"),
    ("OpenSSL 1.0.2K", "1.0.2k", ""),
    ("0:1.2", "1.2", ""),
    ("1.0-rc1", "1.0.0RC1", ""),
]

VERSION = st.one_of(
    st.from_regex(
        r"[0-9]{1,4}(\.[0-9]{1,4}){0,4}((-|_|~|\+)?(rc|p|beta|a|b|zg|test|pre|r|sr)[0-9]{0,3}){0,2}", fullmatch=True
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40).map(lambda text: text + "7"),
)


def test_there_are_as_many_hard_pairs_as_the_study_had() -> None:
    """At least 33 pairs and 4 equalities."""
    assert len(HARD) >= 33
    assert len(EQUAL) >= 4


@pytest.mark.parametrize(("earlier", "later", "scheme"), HARD)
def test_hard_pairs(earlier: str, later: str, scheme: str) -> None:
    """The earlier release is before the later one, and not the other way round."""
    assert versions.compare(earlier, later, scheme) == -1
    assert versions.compare(later, earlier, scheme) == 1


@pytest.mark.parametrize(("one", "other", "scheme"), EQUAL)
def test_equal_versions(one: str, other: str, scheme: str) -> None:
    """Two spellings of one release have one key."""
    assert versions.key(one, scheme) == versions.key(other, scheme)


@given(VERSION, VERSION)
@settings(max_examples=400, deadline=None)
def test_no_key_begins_another(one: str, other: str) -> None:
    """So that a bound just above a version includes it, and nothing else; order of bytes makes the rest."""
    a, b = versions.key(one), versions.key(other)
    assert a == b or not (a.startswith(b) or b.startswith(a))
    assert (versions.after(a) <= b) == (a < b)
    assert a < versions.TOP


@given(VERSION)
@settings(max_examples=300, deadline=None)
def test_what_is_added_to_a_version(text: str) -> None:
    """A candidate is before a release, a patch level and a further number after it; the series holds all of them."""
    if text[-1].isdigit():
        key = versions.key(text)
        assert versions.key(text + "rc1") < key < versions.key(text + "p1") < versions.key(text + ".1")
        low, high = versions.any_update(text)
        assert low <= versions.key(text + "rc1") < versions.key(text + "p1") < high <= versions.key(text + ".1")


def test_series() -> None:
    """``5.10.*`` ends above every release of 5.10 and below 5.11-rc1."""
    end = versions.prefix_end("5.10.*")
    assert versions.key("5.10") < versions.key("5.10.0") or versions.key("5.10") == versions.key("5.10.0")
    assert versions.key("5.10.999") < end < versions.key("5.11-rc1")
    assert versions.key("5.0.21") < versions.prefix_end("5.0.*") < versions.key("5.1")


@pytest.mark.parametrize("text", ["", "n/a", "*", "9" * 129, "1" + "a1" * 100, "1.0\n", "1.é", "unspecified", "1\0"])
def test_what_is_no_version_has_no_key(text: str) -> None:
    """Prose, controls, and lengths that only an attacker writes."""
    with pytest.raises(ValueError, match="no version"):
        versions.key(text)


def test_the_longest_numbers_are_ordered() -> None:
    """128 digits are a number."""
    assert versions.key("1" * 127) < versions.key("1" * 128) < versions.key("2" * 128)


@pytest.mark.parametrize(
    ("text", "manager", "upstream"),
    [
        ("1:9.2p1-2+deb12u3", "dpkg", "9.2p1"),
        ("1.1.1n-0+deb11u5", "dpkg", "1.1.1n"),
        ("2.3.3op2-3+deb11u6", "dpkg", "2.3.3op2"),
        ("1.2.3+dfsg-1", "dpkg", "1.2.3"),
        ("3.11.2+really3.10.1-1", "dpkg", "3.10.1"),
        ("2012-10-05-1", "opkg", "2012-10-05"),
        ("1.19.4-6", "opkg", "1.19.4"),
        ("1.36.1-r2", "apk", "1.36.1"),
        ("1.36.1-r2", "opkg", "1.36.1"),
        ("2.17-326.el7_9", "rpm", "2.17"),
        ("1.0.2k-fips", "", "1.0.2k-fips"),
    ],
)
def test_revisions_of_package_managers(text: str, manager: str, upstream: str) -> None:
    """What a distribution adds is taken off, and nothing of the upstream version."""
    assert versions.upstream(text, manager) == upstream


def test_a_change_of_any_key_is_a_change_of_the_order() -> None:
    """Stored keys must not outlive the code that made them: with another digest, ``versions.ORDER`` goes up."""
    keys = b"".join(versions.key(text, scheme) for one, other, scheme in HARD + EQUAL for text in (one, other))
    table = repr(sorted((name, str(one.rewrite), str(one.names)) for name, one in versions.schemes().items()))
    digest = hashlib.sha256(keys + table.encode()).hexdigest()[:16]
    assert (versions.ORDER, digest) == (1, "891391d402912d2d")


def test_schemes_are_used_for_their_names() -> None:
    """Every scheme names who uses it and who says so."""
    for scheme in versions.schemes().values():
        assert scheme.source
        assert all(versions.scheme_of(name) == scheme.name for name in scheme.names)
    assert versions.scheme_of("cpe:busybox:busybox") == ""


@pytest.mark.parametrize(
    ("product", "branches"),
    [
        ("openssl", ["1.0.1", "1.0.2", "1.1.0", "1.1.1", "3.0"]),
        ("haproxy", ["2.4.", "2.6."]),
        ("php", ["7.4.", "8.0."]),
    ],
)
def test_the_order_is_that_of_the_release_days(product: str, branches: list[str]) -> None:
    """In a branch, later releases have later versions (endoflife.date's release data, which nobody here wrote)."""
    path = FEEDS / "eol" / "release-data.tar.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: no release data to compare the order with")
    with tarfile.open(path) as archive:
        member = archive.extractfile(f"releases/{product}.json")
        assert member is not None
        table = json.load(member)["versions"]
    for branch in branches:
        named = {name: row["date"] for name, row in table.items() if name.startswith(branch)}
        ordered = sorted(named, key=versions.key)
        assert len(ordered) > 2
        for one, other in pairwise(ordered):
            assert named[one] <= named[other], (one, other)
