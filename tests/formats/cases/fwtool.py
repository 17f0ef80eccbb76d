"""OpenWrt's metadata and signature trailers."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import PAYLOAD, metadata, signature

CASES = [
    Case(
        "openwrt-metadata",
        "positive",
        "metadata",
        lambda: metadata(PAYLOAD),
        {"metadata.json": b'{  "metadata_version": "1.1" }'},
    ),
    Case("openwrt-metadata", "positive", "signature", lambda: signature(PAYLOAD), {"signature": signature(b"")[:-16]}),
    Case("openwrt-metadata", "negative", "no-trailer", lambda: bytes(8) + b'{"a": 1}'),
    Case("openwrt-metadata", "negative", "wrong-size", lambda: metadata(b"")[:-1] + b"\1"),
    Case("openwrt-metadata", "malformed", "cut", lambda: metadata(PAYLOAD)[:-3]),
]
