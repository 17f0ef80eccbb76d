"""Buffalo's encrypted form and Xiaomi's HDR1."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, buffalo, xiaomi


def good() -> bytes:
    return xiaomi(**{"firmware.bin": PAYLOAD, "uboot.bin": OTHER})


CASES = [
    Case("buffalo", "positive", "encrypted", buffalo, notes=frozenset({"encrypted"}), read_share=0.0),
    Case("buffalo", "negative", "text", lambda: b"start\0 of something else" * 100),
    Case("buffalo", "malformed", "short", lambda: buffalo()[:2000]),
    Case("xiaomi-hdr1", "positive", "two", good, {"firmware.bin": PAYLOAD, "uboot.bin": OTHER}),
    Case("xiaomi-hdr1", "negative", "no-blob", lambda: good().replace(b"\xbe\xba\0\0", b"\xbe\xbb\0\0")),
    Case(
        "xiaomi-hdr1", "malformed", "crc", lambda: good()[:100] + b"\0\0" + good()[102:], notes=frozenset({"checksum"})
    ),
]
