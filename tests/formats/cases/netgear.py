"""Netgear's CHK and DNI."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, chk, dni

CASES = [
    Case("netgear-chk", "positive", "two", chk, {"kernel": PAYLOAD, "rootfs": OTHER}),
    Case("netgear-chk", "positive", "large", lambda: chk(b"\xff" * 200_000, b""), {"kernel": b"\xff" * 200_000}),
    Case("netgear-chk", "negative", "length", lambda: chk()[:4] + b"\xff" + chk()[5:]),
    Case("netgear-chk", "malformed", "sum", lambda: chk()[:-1] + b"X", notes=frozenset({"checksum"})),
    Case("netgear-chk", "malformed", "short", lambda: chk()[:6000], notes=frozenset({"truncated"})),
    Case("netgear-dni", "positive", "one", dni, {"firmware": PAYLOAD}),
    Case("netgear-dni", "negative", "text", lambda: b"device: a list of devices\nand more\n" * 20),
    Case("netgear-dni", "malformed", "sum", lambda: dni()[:-1] + bytes([dni()[-1] ^ 1]), notes=frozenset({"checksum"})),
]
