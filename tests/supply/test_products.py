"""The product table: ids, names and their sources."""

from __future__ import annotations

import re

import pytest

from banbury.supply import products as table
from banbury.supply.products import MANAGERS, by_name, by_package, products

#: CycloneDX 1.6, component types.
TYPES = {"application", "library", "framework", "operating-system", "firmware", "device-driver", "platform", "data"}


def test_rows_are_whole() -> None:
    """Ids, types, package URLs and pairs have their forms, and every row and name says who uses it."""
    assert len(products()) >= 250
    for row in products().values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", row.id), row.id
        assert row.type in TYPES, row.id
        assert row.upstream.startswith(("https://", "http://")), row.id
        assert re.fullmatch(r"pkg:[a-z]+/[^@]+", row.purl), row.id
        assert row.sources, row.id
        assert any(map(row.packages, MANAGERS)) or row.names() or row.note, row.id
        for pair, source in (row.cpes | row.cna).items():
            assert re.fullmatch(r"[^:\\\s]+:[^\\\s]+", pair), pair
            assert pair == pair.lower(), pair
            assert source, pair


def test_a_name_has_one_product() -> None:
    """No name of a feed is claimed by two products unless both say why."""
    for name, claims in by_name().items():
        if len(claims) > 1:
            assert all(products()[claim].shared.get(name) for claim in claims), (name, claims)


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_package_has_one_product(manager: str) -> None:
    """No exact name of a package is claimed twice for the same versions, and every name leads to its own product."""
    seen: dict[str, str] = {}
    for row in products().values():
        for name in row.packages(manager):
            assert seen.setdefault(name, row.id) == row.id, (manager, name)
            if "*" not in name and "@" not in name:
                assert by_package(manager, name, "1.0") == row.id, (manager, name)


@pytest.mark.parametrize(
    ("manager", "name", "version", "source", "product"),
    [
        ("opkg", "libc", "0.9.33.2-1", "package/libs/toolchain", "uclibc"),
        ("opkg", "libc", "1.1.24-2", "package/libs/toolchain", "musl"),
        ("opkg", "libc", "1.0.14-1", "package/libs/toolchain", "uclibc-ng"),
        ("opkg", "kmod-usb-core", "3.10.49-1", "package/kernel/linux", "linux"),
        ("opkg", "kmod-ath9k", "3.10.49+2014-05-22-1", "package/kernel/mac80211", "linux-backports"),
        ("opkg", "kmod", "30-1", "", "kmod"),
        ("opkg", "libopenssl", "1.0.1j-1", "package/libs/openssl", "openssl"),
        ("apk", "libopenssl3", "3.0.15-r1", "", "openssl"),  # OpenWrt 24.10
        ("apk", "sqlite-libs", "3.45.3-r1", "sqlite", "sqlite"),  # Alpine, by the origin that its database states
        ("apk", "linux-lts", "6.6.41-r0", "linux-lts", "linux"),
        ("apk", "libexpat", "2.6.2-r0", "expat", "expat"),
        ("dpkg", "kernel-image-6.1.0-50-marvell-di", "6.1.176-1", "", "linux"),  # debian-installer 12
        ("dpkg", "mmc-modules-6.1.0-50-marvell-di", "6.1.176-1", "", "linux"),
        ("dpkg", "busybox-udeb", "1:1.35.0-4+deb12u1", "", "busybox"),
        ("dpkg", "libcrypto3-udeb", "3.0.20-1~deb12u2", "", "openssl"),
        ("opkg", "libpolarssl", "1.3.8-1", "", "mbedtls"),
        ("opkg", "libpcre2-8", "10.40-1", "", "pcre2"),
        ("opkg", "base-files", "156-r43416", "package/base-files", ""),
        ("dpkg", "libssl3", "3.0.11-1~deb12u2", "openssl", "openssl"),
        ("dpkg", "libc6", "2.36-9", "glibc", "glibc"),
        ("rpm", "libcurl-minimal", "8.0-1", "curl-8.0-1.src.rpm", "curl"),
        ("opkg", "no-such-thing", "1", "", ""),
    ],
)
def test_packages(manager: str, name: str, version: str, source: str, product: str) -> None:
    """Names of packages lead to products; what is not in the table leads nowhere."""
    assert by_package(manager, name, version, source) == product


def test_nothing_by_likeness() -> None:
    """A collision of names is told apart."""
    assert by_package("npm", "mongoose") == ""
    assert "cpe:mongoosejs:mongoose" not in by_name()
    assert by_name()["cpe:cesanta:mongoose"] == ("mongoose",)
    assert products()["uclibc"].cpes.keys().isdisjoint(products()["uclibc-ng"].cpes)
    assert products()["u-boot-tools"].cpes == {}


def test_package_url() -> None:
    """Versions are percent-encoded."""
    assert products()["dropbear"].package_url("2015.67") == "pkg:generic/dropbear@2015.67"
    assert products()["dropbear"].package_url("1+2 3") == "pkg:generic/dropbear@1%2B2%203"
    assert len(table.digest()) == 64
