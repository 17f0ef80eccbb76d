"""TP-Link headers of both versions, with a boot loader and without, whole and damaged."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, tplink, tplink2

TREE = {"kernel": PAYLOAD, "rootfs": OTHER}
FAR = PAYLOAD * 5  # reaches past where the root file system is said to be

CASES = [
    Case("tplink", "positive", "v1", tplink, TREE),
    Case(
        "tplink",
        "positive",
        "boot",
        lambda: tplink(boot=b"U-Boot 1.1.4" * 900),
        {"boot": b"U-Boot 1.1.4" * 900, "firmware": tplink()},
    ),
    Case("tplink", "negative", "vendor", lambda: tplink()[:20] + b"\x01" + tplink()[21:]),
    Case("tplink", "negative", "offsets", lambda: tplink()[:128] + b"\0\0\0\1" + tplink()[132:]),
    Case("tplink", "malformed", "md5", lambda: tplink()[:-1] + b"X", notes=frozenset({"checksum"})),
    Case("tplink", "malformed", "overlap", lambda: tplink(FAR, OTHER), notes=frozenset({"overlap"})),
    Case("tplink", "malformed", "short", lambda: tplink()[:3000], notes=frozenset({"truncated"})),
    Case("tplink-v2", "positive", "v2", tplink2, TREE),
    Case("tplink-v2", "negative", "mark", lambda: tplink2()[:0x8C] + b"\0\0" + tplink2()[0x8E:]),
    Case("tplink-v2", "malformed", "md5", lambda: tplink2()[:-1] + b"X", notes=frozenset({"checksum"})),
]
