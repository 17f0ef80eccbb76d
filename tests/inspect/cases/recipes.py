"""Samples of recipes of build systems, and of patches beside them."""

from __future__ import annotations

from tests.inspect.case import Case

MAKEFILE = b"""include $(TOPDIR)/rules.mk

PKG_NAME:=dropbear
PKG_VERSION:=2020.81
PKG_RELEASE:=3  # comment
"""
RECIPE = b"""require busybox.inc
PR = "r2"
SRC_URI = "https://busybox.net/downloads/busybox-${PV}.tar.bz2;name=tarball \\
           file://0001-fix.patch \\
           file://sub/CVE-2022-48174.patch;striplevel=1 \\
           file://not-applied.patch;apply=no \\
           file://defconfig"
SRC_URI:append:class-native = " file://native-only.patch"
SRC_URI += "file://CVE-2023-42364.patch"
"""
PATCH = b"""From 1 Mon Sep 17 00:00:00 2001
Subject: [PATCH] awk: fix a use after free
 (CVE-2021-42378)

It is not CVE-2001-0001.

CVE: CVE-2021-42379 CVE-2021-42380
Upstream-Status: Backport
---
diff --git a/x b/x
+Subject: CVE-2001-0002
"""

CASES = [
    Case(
        "recipes",
        "positive",
        "a Makefile of OpenWrt",
        path="package/network/services/dropbear/Makefile",
        make=lambda: MAKEFILE,
        expect=[
            {"fact": "source.recipe", "system": "openwrt", "name": "dropbear", "version": "2020.81", "release": "3"}
        ],
    ),
    Case(
        "recipes",
        "positive",
        "one that computes its version",
        path="package/x/Makefile",
        make=lambda: MAKEFILE.replace(b"2020.81", b"$(BASE).1").replace(b":=3", b":=$(AUTORELEASE)"),
        expect=[{"fact": "source.recipe", "system": "openwrt", "name": "dropbear", "version": "", "release": ""}],
    ),
    Case(
        "recipes",
        "positive",
        "a recipe of Yocto",
        path="meta/recipes-core/busybox/busybox_1.36.1.bb",
        make=lambda: RECIPE,
        expect=[
            {
                "fact": "source.recipe",
                "system": "yocto",
                "name": "busybox",
                "version": "1.36.1",
                "release": "r2",
                "patches": ["0001-fix.patch", "CVE-2022-48174.patch", "CVE-2023-42364.patch"],
                "includes": ["busybox.inc"],
            }
        ],
    ),
    Case(
        "recipes",
        "positive",
        "a patch with a tag and a subject",
        path="package/busybox/patches/0003-cve_2021_42386.patch",
        make=lambda: PATCH,
        expect=[
            {
                "fact": "source.patch",
                "vulnerabilities": ["CVE-2021-42378", "CVE-2021-42379", "CVE-2021-42380", "CVE-2021-42386"],
            }
        ],
    ),
    Case("recipes", "negative", "a patch that names none", path="p/patches/001-fix", make=lambda: b"--- a\n+++ b\n"),
    Case("recipes", "negative", "another Makefile", path="src/Makefile", make=lambda: b"PKG_NAME:=x\nall:\n"),
    Case(
        "recipes",
        "malformed",
        "a list that does not end",
        path="busybox_1.0.bb",
        make=lambda: b'SRC_URI = "file://CVE-2022-1000.patch \\\n' * 2000,
        never=[{"fact": "source.patch"}],
    ),
]
