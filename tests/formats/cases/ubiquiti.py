"""Ubiquiti images."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, ubnt


def good() -> bytes:
    return ubnt(kernel=PAYLOAD, rootfs=OTHER)


CASES = [
    Case("ubiquiti", "positive", "two", good, {"kernel": PAYLOAD, "rootfs": OTHER}),
    Case("ubiquiti", "negative", "header-crc", lambda: b"OPEN" + good()[4:]),
    Case(
        "ubiquiti",
        "malformed",
        "part-crc",
        lambda: good()[:2000] + b"\0\0" + good()[2002:],
        notes=frozenset({"checksum"}),
    ),
    Case("ubiquiti", "malformed", "short", lambda: good()[:-300], notes=frozenset({"truncated"})),
]
