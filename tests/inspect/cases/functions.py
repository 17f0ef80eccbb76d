"""Samples for the inspector of functions and applets."""

from __future__ import annotations

from banbury.inspect.names import pack
from tests.inspect.case import Case
from tests.inspect.elf_builder import Linked

NAME = "functions"
_PROGRAM = Linked(imports=("printf", "system"))
_APPLETS = [b"[", b"[[", b"ash", b"awk", b"cat", b"cp", b"dd", b"ls", b"wget"]


def _busybox(names: list[bytes]) -> bytes:
    return _PROGRAM.build() + b"BusyBox v1.22.1 (2014)\0" + b"\0".join(names) + b"\0\0rest"


CASES = [
    Case(NAME, "positive", "imports", _PROGRAM.build, expect=[{"fact": "elf.functions", "complete": False}]),
    Case(
        NAME,
        "positive",
        "applets",
        lambda: _busybox(_APPLETS),
        expect=[{"fact": "busybox.applets", "applets": [name.decode() for name in _APPLETS]}],
    ),
    Case(NAME, "negative", "a text", lambda: b"BusyBox v1.22.1 [\0[[\0ash\0"),
    Case(
        NAME,
        "negative",
        "no table of applets",
        lambda: _busybox([b"[", b"[[", b"zcat", b"ash", b"cat"]),
        expect=[{"fact": "busybox.applets"}],
    ),
    Case(NAME, "malformed", "cut in the header", lambda: _PROGRAM.build()[:40]),
]
assert pack(["a"]) != pack(["b"])
