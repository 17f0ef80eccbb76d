"""Broadcom's image tag and CyberTAN's header."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, cybertan, imagetag, trx

CASES = [
    Case("bcm-imagetag", "positive", "stock", imagetag, {"rootfs": OTHER, "kernel": PAYLOAD}),
    Case("bcm-imagetag", "negative", "letters", lambda: imagetag()[:62] + b"x" + imagetag()[63:]),
    Case("bcm-imagetag", "malformed", "crc", lambda: imagetag()[:-1] + b"\0", notes=frozenset({"checksum"})),
    Case("bcm-imagetag", "malformed", "short", lambda: imagetag()[:2000], notes=frozenset({"truncated"})),
    Case("cybertan", "positive", "trx", lambda: cybertan(trx(PAYLOAD)), {"firmware.trx": trx(PAYLOAD)}),
    Case("cybertan", "negative", "no-trx", lambda: cybertan(PAYLOAD)),
    Case("cybertan", "malformed", "short", lambda: cybertan(trx(PAYLOAD))[:40]),
]
