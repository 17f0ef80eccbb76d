"""Samples for identification by bytes."""

from __future__ import annotations

from tests.inspect.case import Case
from tests.inspect.elf_builder import Linked

NAME = "components"


def _program(*strings: bytes) -> bytes:
    return b"\x7fELF" + bytes(60) + b"\0" + b"\0".join(strings) + b"\0" + bytes(16)


def _is(name: str, content: bytes, **fields: object) -> Case:
    return Case(NAME, "positive", name, lambda: content, expect=[{"fact": "component.statement", **fields}])


_BUSYBOX = b"BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1)"
_LIBRARY = Linked(interp="", soname="libexample.so.1", rodata=b"\x002.10.1\x00", exports=("example_open",)).build

CASES = [
    _is(
        "own banner",
        _program(_BUSYBOX),
        product="busybox",
        version="1.35.0",
        evidence="banner",
        text="BusyBox v1.35.0",
        count=1,
    ),
    _is("twice the same", _program(_BUSYBOX, _BUSYBOX), product="busybox", version="1.35.0", count=2),
    _is("two versions", _program(_BUSYBOX, b"BusyBox v1.22.1 (x)"), product="busybox", version="1.22.1"),
    _is(
        "the version of a linked library",
        _program(b"OpenSSL 3.0.16 11 Feb 2025"),
        product="openssl",
        version="3.0.16",
        evidence="linked",
    ),
    _is(
        "the library itself",
        _program(b"OpenSSL 3.0.16 11 Feb 2025", b'OPENSSLDIR: "/usr/lib/ssl"'),
        product="openssl",
        version="3.0.16",
        evidence="banner",
    ),
    _is("a version as one number", _program(b"20914", b"xmlInitParser"), product="libxml2", version="2.9.14"),
    _is("script library", b"/*! jQuery v3.6.1 | (c) OpenJS Foundation */\n", product="jquery", version="3.6.1"),
    Case(
        NAME,
        "positive",
        "bare versions beside a product",
        lambda: _program(b"GNU coreutils", b"9.1", b"2.0", b"9.1"),
        expect=[
            {"fact": "component.statement", "product": "coreutils", "evidence": "presence", "version": ""},
            {"fact": "component.bare-versions", "versions": ["9.1", "2.0"]},
        ],
    ),
    Case(
        NAME,
        "positive",
        "a flood is cut and says so",
        lambda: _program(*(b"BusyBox v1.%d.0 x" % n for n in range(40))),
        expect=[{"fact": "component.cut", "rules": ["busybox-1"]}],
        never=[{"version": "1.39.0"}],
    ),
    Case(NAME, "negative", "prose that speaks of a product", lambda: b"Since BusyBox v1.35.0 this is fixed.\n" * 3),
    Case(
        NAME,
        "positive",
        "bare versions of a program that shows no product",
        lambda: _program(b"1.2.3", b"4.5.6"),
        expect=[{"fact": "component.bare-versions", "versions": ["1.2.3", "4.5.6"]}],
        never=[{"fact": "component.statement"}],
    ),
    Case(NAME, "negative", "bare versions in what is no program", lambda: b"\x001.2.3\0" * 9),
    Case(
        NAME,
        "negative",
        "a number longer than any version",
        lambda: _program(b"BusyBox v1." + b"1" * 5000),
        expect=[{"evidence": "banner"}],
    ),
    Case(NAME, "malformed", "cut in the banner", lambda: _program(_BUSYBOX)[:75], never=[{"evidence": "banner"}]),
    Case(NAME, "malformed", "an ELF header and a banner", lambda: b"\x7fELF\x07" + _BUSYBOX, never=[{"version": ""}]),
]
