"""Legacy U-Boot images: one payload, several, a script, and damaged headers."""

from __future__ import annotations

import struct

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, multi, uimage


def _broken(offset: int, value: bytes) -> bytes:
    data = bytearray(uimage())
    data[offset : offset + len(value)] = value
    return bytes(data)


CASES = [
    Case("uimage", "positive", "kernel", uimage, {"Linux-3.10": PAYLOAD}),
    Case("uimage", "positive", "name-with-slash", lambda: uimage(name=b"a/../b"), {"a_.._b": PAYLOAD}),
    Case("uimage", "positive", "no-name", lambda: uimage(name=b".."), {"payload": PAYLOAD}),
    Case(
        "uimage", "positive", "multi", lambda: multi(PAYLOAD[:4001], OTHER), {"image0": PAYLOAD[:4001], "image1": OTHER}
    ),
    Case(
        "uimage",
        "positive",
        "script",
        lambda: uimage(struct.pack(">II", 11, 0) + b"echo hello\n", kind=6),
        {"image0": b"echo hello\n"},
    ),
    Case("uimage", "negative", "implausible", lambda: uimage()[:28] + b"\xff" * 36 + PAYLOAD),
    Case("uimage", "malformed", "header-crc", lambda: _broken(16, b"\1"), notes=frozenset({"checksum"})),
    Case("uimage", "malformed", "data-crc", lambda: _broken(100, b"\0\0\0\0"), notes=frozenset({"checksum"})),
    Case("uimage", "malformed", "short", lambda: uimage()[:2000], notes=frozenset({"truncated"})),
]
