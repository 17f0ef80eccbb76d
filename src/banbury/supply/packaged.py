"""The orders in which package managers compare their own versions, as keys that compare as bytes.

A distribution's list of what it mended speaks of its packages' versions, epoch and revision included: 3.0.11-1~deb12u2
is before 3.0.11-1. No order of upstream versions knows that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_EPOCH: Final = re.compile(r"([0-9]{1,9}):(.+)\Z")
_RUNS: Final = re.compile(r"([^0-9]*)([0-9]*)")
_TILDE, _END = b"\x01", b"\x02"
#: Of bytes that are no letter: they sort after all letters.
_OTHER: Final = 0x80

_APK: Final = re.compile(
    r"([0-9]+(?:\.[0-9]+)*)([a-z]?)((?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*)(?:~[0-9a-f]+)?(?:-r([0-9]+))?\Z"
)
_SUFFIX: Final = re.compile(r"_([a-z]+)([0-9]*)")
_SUFFIXES: Final = {
    "alpha": 0x10, "beta": 0x11, "pre": 0x12, "rc": 0x13, "cvs": 0x30, "svn": 0x31, "git": 0x32, "hg": 0x33, "p": 0x34,
}  # fmt: skip
_APK_END, _REVISION, _LETTER, _NUMBER = b"\x20", b"\x28", b"\x40", b"\x50"


def dpkg(text: str) -> bytes:
    """Debian's order (deb-version(7), "Sorting algorithm"), which is Ubuntu's and opkg's too. ``ValueError`` where the
    text is no version of a package."""
    epoch, rest = 0, text.strip()
    if found := _EPOCH.match(rest):
        epoch, rest = int(found[1]), found[2]
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, ""
    if not upstream or ":" in rest or not rest.isascii() or not rest.isprintable() or " " in rest:
        raise ValueError("no version of a package")
    return _number(epoch) + _part(upstream) + _part(revision or "0")


def _part(text: str) -> bytes:
    out = []
    for word, digits in _RUNS.findall(text):
        if word or digits:
            out += [b"".join(map(_character, word)), _END, _number(int(digits or 0))]
    return b"".join(out) + _END


def _character(one: str) -> bytes:
    if one == "~":
        return _TILDE
    return bytes([ord(one) if one.isalpha() else _OTHER + ord(one)])


def _number(value: int) -> bytes:
    size = (value.bit_length() + 7) >> 3
    return bytes([size]) + value.to_bytes(size, "big")


def apk(text: str) -> bytes:
    """Alpine's order (apk-package(5), "pkgver"; apk-tools, version.c). ``ValueError`` for what it does not take, and
    for a number with a nought before it after the first dot, which apk compares as a fraction."""
    found = _APK.match(text.strip())
    if found is None or re.search(r"\.0[0-9]", found[1]):
        raise ValueError("no version of a package")
    out = [_NUMBER + _number(int(part)) for part in found[1].split(".")]
    out += [_LETTER + found[2].encode()] if found[2] else []
    out += [bytes([_SUFFIXES[name]]) + _number(int(number or 0)) for name, number in _SUFFIX.findall(found[3])]
    out += [_REVISION + _number(int(found[4]))] if found[4] else []
    return b"".join(out) + _APK_END


#: By scheme (:mod:`banbury.supply.versions`).
ORDERS: Final[dict[str, Callable[[str], bytes]]] = {"dpkg": dpkg, "apk": apk}
#: By the beginning of a name in a feed.
ECOSYSTEMS: Final = {"osv:debian": "dpkg", "osv:ubuntu": "dpkg", "osv:alpine": "apk"}


def scheme_of(name: str) -> str:
    """The scheme of a distribution's package in a feed (``osv:debian:12:openssl``), ``""`` for all others."""
    if not name.startswith("osv:"):
        return ""
    return ECOSYSTEMS.get(":".join(name.split(":", 2)[:2]), "")
