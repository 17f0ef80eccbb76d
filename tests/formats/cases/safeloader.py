"""SafeLoader images, whole and with a bad sum, a bad table, or cut short."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, safeloader


def good() -> bytes:
    return safeloader(partition_table=b"partition fs-uboot base 0x0", os_image=PAYLOAD, file_system=OTHER)


CASES = [
    Case("tplink-safeloader", "positive", "three", good, {"os-image": PAYLOAD, "file-system": OTHER}),
    Case("tplink-safeloader", "negative", "no-table", lambda: good().replace(b"fwup-ptn", b"fwup-qtn")),
    Case("tplink-safeloader", "negative", "past-end", lambda: good().replace(b"size 0x01388", b"size 0x91388")),
    Case("tplink-safeloader", "malformed", "md5", lambda: good()[:-1] + b"X", notes=frozenset({"checksum"})),
    Case("tplink-safeloader", "malformed", "short", lambda: good()[:9000], notes=frozenset({"truncated"})),
]
