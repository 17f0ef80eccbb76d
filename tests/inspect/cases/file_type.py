"""Samples for the inspector of file types."""

from __future__ import annotations

import random

from tests.inspect.case import Case
from tests.inspect.elf_builder import Linked

NAME = "file-type"


def _is(name: str, content: bytes, **fields: object) -> Case:
    return Case(NAME, "positive", name, lambda: content, expect=[{"fact": "file.type", **fields}])


_NOISE = random.Random(7).randbytes(70_000)

CASES = [
    _is("empty", b"", kind="empty", size=0),
    _is("shell-script", b"#!/bin/sh -e\necho\n", kind="script", interpreter="/bin/sh -e", lines=2, line_ends="lf"),
    _is("crlf-text", b"a = 1\r\nb = 2\r\n", kind="text", encoding="ascii", line_ends="crlf", lines=2),
    _is("utf-8-text", "Straße\n".encode(), kind="text", encoding="utf-8"),
    _is("8-bit-text", b"Stra\xdfe und mehr Text in Latin-1\n", kind="text", encoding="8-bit"),
    _is("utf-16-text", "key=value\r\n".encode("utf-16"), kind="text", encoding="utf-16", line_ends="crlf"),
    _is("mixed-lines", b"a\r\nb\nc", kind="text", line_ends="mixed"),
    _is("html", b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html></html>", kind="html"),
    _is("json", b' {"a": [1, 2]}', kind="json"),
    _is("pem", b"subject\n-----BEGIN RSA PRIVATE KEY-----\nMII\n", kind="pem"),
    _is("noise", _NOISE, kind="data", evenness="high"),
    _is("zeros", bytes(5000), kind="data", evenness="constant", entropy=0.0),
    _is("short-data", b"\0\1\2\3", kind="data", evenness="cannot tell"),
    _is("elf", Linked().build(), kind="elf"),
    Case(
        NAME,
        "negative",
        "a text that speaks of a key holds none",
        lambda: b"Put -----BEGIN RSA PRIVATE KEY----- at the top.\n",
        expect=[{"kind": "pem"}],
    ),
    Case(NAME, "negative", "an ini file is not JSON", lambda: b"[network]\nip=1\n", expect=[{"kind": "json"}]),
    Case(
        NAME,
        "malformed",
        "brackets without end",
        lambda: b"[" * 4000,
        never=[{"kind": "json"}, {"kind": "data"}],
    ),
    Case(NAME, "malformed", "a bare script mark", lambda: b"#!", never=[{"interpreter": "#!"}]),
    Case(NAME, "malformed", "half a gzip magic", lambda: b"\x1f\x8b", never=[{"kind": "gzip"}]),
]
