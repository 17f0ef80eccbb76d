"""Boot code headers: eGON, ZyNOS, UEFI firmware volumes."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import PAYLOAD, egon, volume, zynos

CASES = [
    Case("egon", "positive", "spl", egon),
    Case("egon", "negative", "checksum", lambda: egon()[:-1] + b"\0"),
    Case("egon", "malformed", "short", lambda: egon()[:500]),
    Case("zynos", "positive", "compressed", zynos, {"content": PAYLOAD}),
    Case("zynos", "negative", "checksum", lambda: zynos()[:-1] + b"\0"),
    Case("zynos", "malformed", "short", lambda: zynos()[:500]),
    Case("uefi-fv", "positive", "volume", volume, notes=frozenset({"unsupported"}), read_share=0.0),
    Case("uefi-fv", "negative", "checksum", lambda: volume()[:8] + b"\1" + volume()[9:]),
    Case("uefi-fv", "malformed", "short", lambda: volume()[:600]),
]
