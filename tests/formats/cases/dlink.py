"""SEAMA, WRGG03, and the encrypted forms."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, dns, encrpted, seama, shrs, wrgg

ENCRYPTED = frozenset({"encrypted"})

CASES = [
    Case("seama", "positive", "two", lambda: seama(PAYLOAD, OTHER), {"image0": PAYLOAD, "image1": OTHER}),
    Case("seama", "negative", "meta", lambda: seama(PAYLOAD).replace(b"signature=", b"signature\1")),
    Case("seama", "malformed", "md5", lambda: seama(PAYLOAD)[:-1] + b"\0", notes=frozenset({"checksum"})),
    Case("seama", "malformed", "short", lambda: seama(PAYLOAD)[:3000], notes=frozenset({"truncated"})),
    Case("wrgg", "positive", "big", wrgg, {"firmware": PAYLOAD}),
    Case("wrgg", "positive", "little", lambda: wrgg(big=False), {"firmware": PAYLOAD}),
    Case("wrgg", "negative", "signature", lambda: bytes(32) + wrgg()[32:]),
    Case("wrgg", "malformed", "md5", lambda: wrgg()[:-1] + b"\0", notes=frozenset({"checksum"})),
    Case("dlink-dns", "positive", "two", lambda: dns(PAYLOAD[:4999]), {"kernel": PAYLOAD[:4999], "initrd": OTHER}),
    Case("dlink-dns", "negative", "offset", lambda: b"\1" + dns()[1:]),
    Case("dlink-dns", "malformed", "sum", lambda: dns()[:200] + b"\0\0" + dns()[202:], notes=frozenset({"checksum"})),
    Case("dlink-dns", "malformed", "short", lambda: dns()[:2000], notes=frozenset({"truncated"})),
    Case("dlink-shrs", "positive", "encrypted", shrs, notes=ENCRYPTED, read_share=0.2),
    Case("dlink-shrs", "negative", "not-zero", lambda: shrs()[:0x100] + b"\1" + shrs()[0x101:]),
    Case("dlink-shrs", "malformed", "digest", lambda: shrs()[:-1] + b"\1", notes=frozenset({"checksum"})),
    Case("dlink-encrpted-img", "positive", "encrypted", encrpted, notes=ENCRYPTED, read_share=0.0),
    Case("dlink-encrpted-img", "negative", "empty", lambda: b"encrpted_img" + bytes(4)),
    Case("dlink-encrpted-img", "malformed", "short", lambda: encrpted()[:1000], notes=ENCRYPTED),
]
