"""TRX with two and four partitions, ASUS's tail, and damage."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, trx

ASUS = bytes((3, 0, 0, 4)) + b"RT-N66U".ljust(12, b"\0") + bytes(48)

CASES = [
    Case("trx", "positive", "v1", lambda: trx(PAYLOAD, OTHER), {"part0": PAYLOAD, "part1": OTHER}),
    Case(
        "trx",
        "positive",
        "v2",
        lambda: trx(b"loader", PAYLOAD, OTHER, b"more", version=2),
        {"part0": b"loader", "part1": PAYLOAD, "part2": OTHER, "part3": b"more"},
    ),
    Case("trx", "positive", "asus", lambda: trx(PAYLOAD, OTHER + ASUS), {"part1": OTHER}),
    Case("trx", "malformed", "no-offset", lambda: trx(PAYLOAD)[:16] + bytes(12) + trx(PAYLOAD)[28:]),
    Case("trx", "negative", "offsets", lambda: trx(PAYLOAD)[:16] + b"\xff\xff\xff\xff" + trx(PAYLOAD)[20:]),
    Case("trx", "negative", "version", lambda: trx(PAYLOAD)[:14] + b"\7" + trx(PAYLOAD)[15:]),
    Case("trx", "malformed", "crc", lambda: trx(PAYLOAD, OTHER)[:-1] + b"X", notes=frozenset({"checksum"})),
    Case("trx", "malformed", "short", lambda: trx(PAYLOAD, OTHER)[:3000], notes=frozenset({"truncated"})),
]
