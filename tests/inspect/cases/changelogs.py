"""Samples of packages' changelogs."""

from __future__ import annotations

from tests.inspect.case import Case

CHANGELOG = (
    b"dropbear (2020.81-3+deb11u1) bullseye-security; urgency=high\n\n  * Fix CVE-2021-36369 (and CVE-2023-48795).\n\n"
    b" -- A Person <a@example.org>  Fri, 01 Dec 2023 00:00:00 +0000\n\n"
    b"dropbear (0.44) unstable; urgency=low\n\n  * CAN-2004-2486; not XCVE-2001-0001, CVE-99-1.\n\n -- B\n"
)

CASES = [
    Case(
        "changelogs",
        "positive",
        "a changelog of two entries",
        make=lambda: CHANGELOG,
        expect=[
            {
                "fact": "package.changelog",
                "source": "dropbear",
                "version": "2020.81-3+deb11u1",
                "vulnerabilities": ["CVE-2004-2486", "CVE-2021-36369", "CVE-2023-48795"],
            }
        ],
    ),
    Case(
        "changelogs",
        "positive",
        "a source package's list of patches",
        path="x-1.0/debian/patches/series",
        make=lambda: (
            b"# CVE-2001-0001.patch\n\nfix-build.patch\nsecurity/0003-cve_2021_36369.diff -p1\nCVE-2023-48795.patch\n"
        ),
        expect=[
            {"fact": "package.patches", "patches": 3, "vulnerabilities": ["CVE-2021-36369", "CVE-2023-48795"]},
        ],
    ),
    Case("changelogs", "negative", "prose that names a vulnerability", make=lambda: b"Fixes CVE-2021-36369.\n" * 40),
    Case(
        "changelogs",
        "malformed",
        "a head cut short",
        make=lambda: CHANGELOG[:30],
        never=[{"fact": "package.changelog"}],
    ),
]
