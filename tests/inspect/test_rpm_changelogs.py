"""Vulnerabilities that the changelog in an RPM header names."""

from __future__ import annotations

import struct

from banbury.inspect.inspectors._rpmdb import header
from banbury.inspect.inspectors.changelogs import vulnerabilities


def blob(count: int, texts: bytes) -> bytes:
    """A header with a name and ``count`` texts of a changelog (tag 1082)."""
    store = b"openssl\0" + texts
    entries = struct.pack(">IIII", 1000, 6, 0, 1) + struct.pack(">IIII", 1082, 8, 8, count)
    return struct.pack(">II", 2, len(store)) + entries + store


def named(count: int, texts: bytes) -> list[str]:
    """The ids that are found in it."""
    changes = header(blob(count, texts)).get("changes")
    assert isinstance(changes, bytes)
    return vulnerabilities(changes)


def test_each_text_counts_and_what_follows_does_not() -> None:
    texts = b"- fix CVE-2030-0001\0- a long entry " + b"x" * 9000 + b" CVE-2030-0002\0CVE-2030-9999\0"
    assert named(2, texts) == ["CVE-2030-0001", "CVE-2030-0002"]
    assert named(3, texts) == ["CVE-2030-0001", "CVE-2030-0002", "CVE-2030-9999"]
    assert named(1, b"no fix of XCVE-2030-0003\0") == []


def test_a_count_beyond_the_header_ends_with_it() -> None:
    assert named(0xFFFFFFFF, b"CVE-2030-0001\0CVE-2030-0002") == ["CVE-2030-0001", "CVE-2030-0002"]
    assert named(0, b"CVE-2030-0001\0") == []
