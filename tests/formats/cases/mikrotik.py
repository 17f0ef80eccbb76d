"""MikroTik packages."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, npk


def good() -> bytes:
    return npk({"bin/sh": PAYLOAD, "etc/version": b"6.49\n", "empty": b""})


CASES = [
    Case(
        "npk",
        "positive",
        "files",
        good,
        {"bin/sh": PAYLOAD, "etc/version": b"6.49\n", "empty": b"", "squashfs-4": OTHER},
    ),
    Case("npk", "negative", "type", lambda: good()[:8] + b"\xff\xff" + good()[10:]),
    Case("npk", "malformed", "short", lambda: good()[:-3000], notes=frozenset({"truncated"})),
    Case("npk", "malformed", "zlib", lambda: good().replace(b"\x78\x9c", b"\x78\x9d", 1)),
]
