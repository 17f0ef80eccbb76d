"""Device trees and FIT images, with data inside and behind the tree."""

from __future__ import annotations

import struct

from tests.formats.case import Case
from tests.formats.headers import PAYLOAD, dtb, fdt, fit


def _deep() -> bytes:
    data = bytearray(fdt({"a": 1}))
    nodes = struct.pack(">I", 1) + b"x\0\0\0"
    body = bytes(data[:64]) + nodes * 5000 + bytes(data[64:])
    return _resized(body, 5000 * len(nodes))


def _resized(body: bytes, more: int) -> bytes:
    fields = list(struct.unpack(">10I", body[:40]))
    fields[1] += more
    fields[3] += more
    fields[9] += more
    return struct.pack(">10I", *fields) + body[40:]


CASES = [
    Case("fdt", "positive", "tree", dtb),
    Case("fdt", "positive", "fit", fit, {"kernel-1": PAYLOAD, "fdt-1": b"tree" * 40}),
    Case("fdt", "positive", "external", lambda: fit(external=True), {"kernel-1": PAYLOAD}),
    Case("fdt", "negative", "offsets", lambda: dtb()[:8] + b"\xff" * 4 + dtb()[12:]),
    Case("fdt", "malformed", "deep", _deep),
    Case("fdt", "malformed", "hash", lambda: fit().replace(PAYLOAD[:8], b"tampered"), notes=frozenset({"checksum"})),
    Case("fdt", "malformed", "short", lambda: fit()[:2000], notes=frozenset({"truncated"})),
    Case("fdt", "malformed", "external-short", lambda: fit(external=True)[:-1000], notes=frozenset({"truncated"})),
]
