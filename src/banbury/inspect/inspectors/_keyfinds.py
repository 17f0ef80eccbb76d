"""Keys in binary form: Dropbear's host keys, key stores, and DER structures at any offset of a file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final

from banbury.inspect.contract import FileView
from banbury.inspect.inspectors import _keyparts as keyparts
from banbury.inspect.inspectors._keyfacts import KeyStore, PrivateKey, PublicKey
from banbury.inspect.inspectors._pem import certificate_fact
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Span, Tri

Parse = Callable[[bytes], keyparts.KeyParts]

_HITS: Final = 100_000
_LARGEST: Final = 1 << 16  # bytes of one DER structure

_DROPBEAR: Final = (b"\0\0\0\7ssh-rsa\0", b"\0\0\0\7ssh-dss\0", b"\0\0\0\x13ecdsa-sha2-nistp", b"\0\0\0\x0bssh-ed25519")
#: What DER structures hold near their start (pattern, how far in it stands at most), by what they are.
_X509: Final = b"\xa0\x03\x02\x01\x02\x02"  # version 3, then the serial number
_PKCS1: Final = (b"\x02\x01\x00\x02\x82", b"\x02\x01\x00\x02\x81", b"\x02\x01\x00\x02\x41\x00")
_SPKI_RSA: Final = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03"
_SEC1_P256: Final = b"\x30\x77\x02\x01\x01\x04\x20"


def offsets(file: FileView, pattern: bytes) -> Iterator[int]:
    """Every place where ``pattern`` stands. Raises ``Malformed`` past 100 000 of them."""
    at = file.view.find(pattern)
    for _ in range(_HITS):
        if at < 0:
            return
        yield at
        at = file.view.find(pattern, at + 1)
    raise Malformed(f"more than {_HITS} places look like a key")


def _enclosing(file: FileView, inner: int) -> tuple[int, bytes] | None:
    """The DER sequence whose content starts at ``inner``: where it starts, and its bytes."""
    for header in (4, 3, 2):
        start = inner - header
        if start < 0 or file.view.u8(start) != 0x30:
            continue
        first = file.view.u8(start + 1)
        if first != {4: 0x82, 3: 0x81}.get(header, first) or (header == 2 and first >= 0x80):
            continue
        length = int.from_bytes(file.view.take(start + 2, header - 2), "big") if header > 2 else first
        if length < 0x80 and header > 2:
            continue
        if 16 <= length <= _LARGEST and inner + length <= len(file.view):
            return start, file.view.take(start, header + length)
    return None


def read(parse: Parse, data: bytes) -> keyparts.KeyParts | None:
    """What ``parse`` makes of ``data``, or ``None`` where it is no such key."""
    try:
        return parse(data)
    except Malformed:
        return None


def dropbear(file: FileView) -> Iterator[Fact]:
    if not any(file.view.startswith(magic) for magic in _DROPBEAR) or len(file.view) > 1 << 14:
        return
    blob = file.view.take(0, len(file.view))
    fields, _ = keyparts.ssh_strings(blob, 8)
    public = {b"ssh-rsa": 3, b"ssh-dss": 5, b"ssh-ed25519": 1}.get(fields[0] if fields else b"", 3)
    parts = read(keyparts.from_ssh, blob)
    if parts is None and len(fields) < 2:
        return
    if len(fields) <= public and parts is not None:
        return  # the public half alone: not a host key file
    yield PrivateKey(
        format="Dropbear",
        type=parts.type if parts else "",
        bits=parts.bits if parts else 0,
        curve=parts.curve if parts else "",
        fingerprint=parts.fingerprint if parts else "",
        encrypted=Tri.NO,
        parsed=parts is not None,
        container=file.kind,
        at=Span(0, len(blob)),
        text=fields[0].decode("latin-1")[:40],
    )


def stores(file: FileView) -> Iterator[Fact]:
    head = file.view.take(0, min(64, len(file.view)))
    if head[:4] in (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce") and head[4:8] in (b"\0\0\0\1", b"\0\0\0\2"):
        name = "JKS" if head[0] == 0xFE else "JCEKS"
        yield KeyStore(format=name, entries=int.from_bytes(head[8:12], "big"), at=Span(0, len(file.view)))
    elif re.match(
        rb"\x30(?:\x82..|\x83...|\x80|\x81.)\x02\x01\x03\x30.{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", head, re.S
    ):
        yield KeyStore(format="PKCS#12", at=Span(0, len(file.view)))


def der_structures(file: FileView) -> Iterator[Fact]:
    """Certificates and RSA or P-256 keys in DER, at any offset of a binary file."""
    taken: list[tuple[int, int]] = []
    for at in offsets(file, _X509):
        inner = _enclosing(file, at)
        outer = _enclosing(file, inner[0]) if inner else None
        if outer is None:
            continue
        fact = certificate_fact("DER", outer[1], file.kind, Span(outer[0], len(outer[1])), "")
        if fact.parsed:
            taken.append((outer[0], outer[0] + len(outer[1])))
            yield fact
    for pattern in _PKCS1:
        for at in offsets(file, pattern):
            start, data = _enclosing(file, at) or (0, b"")
            yield from _der_private(file, "PKCS#1", start, data, keyparts.from_pkcs1)
    for at in offsets(file, _SEC1_P256):
        data = file.view.take(at, min(121, len(file.view) - at))
        yield from _der_private(file, "SEC1", at, data, keyparts.from_sec1)
    yield from _der_public(file, taken)


def _der_private(file: FileView, form: str, start: int, data: bytes, parse: Parse) -> Iterator[Fact]:
    parts = read(parse, data)
    if parts is not None:
        yield PrivateKey(
            format=form,
            type=parts.type,
            bits=parts.bits,
            curve=parts.curve,
            fingerprint=parts.fingerprint,
            encrypted=Tri.NO,
            parsed=True,
            container=file.kind,
            at=Span(start, len(data)),
        )


def _der_public(file: FileView, taken: list[tuple[int, int]]) -> Iterator[Fact]:
    for at in offsets(file, _SPKI_RSA):
        before = bisect_right(taken, (at, len(file.view))) - 1
        if before >= 0 and at < taken[before][1]:
            continue  # the key of a certificate that was stated
        start, data = _enclosing(file, at) or (0, b"")
        parts = read(keyparts.from_spki, data)
        if parts is not None:
            yield PublicKey(
                format="DER",
                type=parts.type,
                bits=parts.bits,
                fingerprint=parts.fingerprint,
                parsed=True,
                container=file.kind,
                at=Span(start, len(data)),
            )
