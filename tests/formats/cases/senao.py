"""Senao headers, with the CAPWAP header and without."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import PAYLOAD, senao

CASES = [
    Case("senao", "positive", "kernel", senao, {"firmware": PAYLOAD}),
    Case("senao", "positive", "combined", lambda: senao(combined=True, pad=0), {"firmware": PAYLOAD}),
    Case("senao", "positive", "odd", lambda: senao(PAYLOAD[:1001], pad=5000), {"firmware": PAYLOAD[:1001]}),
    Case("senao", "negative", "checksum", lambda: b"\1" + senao()[1:]),
    Case("senao", "malformed", "md5", lambda: senao()[:500] + b"\0\0" + senao()[502:], notes=frozenset({"checksum"})),
    Case("senao", "malformed", "short", lambda: senao()[:900], notes=frozenset({"truncated"})),
]
