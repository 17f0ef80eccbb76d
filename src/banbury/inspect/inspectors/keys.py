"""Keys and certificates anywhere: PEM, DER, SSH, Dropbear, WireGuard, key stores."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Final

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors import _keyparts as keyparts
from banbury.inspect.inspectors._keyfacts import (
    Certificate,
    CertificateRequest,
    KeyStore,
    Parameters,
    PrivateKey,
    PublicKey,
    SymmetricKey,
    Unread,
)
from banbury.inspect.inspectors._lines import clip
from banbury.inspect.inspectors._pem import blocks, certificate_fact, fact_of
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Span, Tri

_HITS: Final = 20_000
_LARGEST: Final = 1 << 16  # bytes of one DER structure
_TEXT: Final = frozenset({"text", "script", "html", "xml", "json", "pem"})

_SSH: Final = (b"AAAAB3NzaC1", b"AAAAC3NzaC1lZDI1NTE5", b"AAAAE2VjZHNhLXNoYTIt")
_SSH_LINE: Final = re.compile(rb"[A-Za-z0-9+/]{40,8000}={0,2}")
_DROPBEAR: Final = (b"\0\0\0\7ssh-rsa\0", b"\0\0\0\7ssh-dss\0", b"\0\0\0\x13ecdsa-sha2-nistp", b"\0\0\0\x0bssh-ed25519")
_WIREGUARD: Final = re.compile(rb"PrivateKey\s{0,8}=\s{0,8}([A-Za-z0-9+/]{43}=)")

#: What DER structures hold near their start (pattern, how far in it stands at most), by what they are.
_X509: Final = b"\xa0\x03\x02\x01\x02\x02"  # version 3, then the serial number
_PKCS1: Final = (b"\x02\x01\x00\x02\x82", b"\x02\x01\x00\x02\x81", b"\x02\x01\x00\x02\x41\x00")
_SPKI_RSA: Final = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03"
_SEC1_P256: Final = b"\x30\x77\x02\x01\x01\x04\x20"


def _offsets(file: FileView, pattern: bytes) -> Iterator[int]:
    at = file.view.find(pattern)
    for _ in range(_HITS):
        if at < 0:
            return
        yield at
        at = file.view.find(pattern, at + 1)


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


def _read(read: Callable[[bytes], keyparts.KeyParts], data: bytes) -> keyparts.KeyParts | None:
    try:
        return read(data)
    except Malformed:
        return None


class Keys(FileInspector):
    name = "keys"
    title = "Keys and certificates"
    question = "Which private keys, public keys and certificates does this file hold?"
    version = 1
    blind_spots = (
        "Keys in encodings of a vendor's own, encoded or encrypted, are not found.",
        "DER structures inside other files are found for X.509 version 3, RSA keys and P-256 SEC1 keys only.",
        "Encrypted private keys show no fingerprint, except OpenSSH's, whose public half is in clear.",
        "OpenPGP keys are found by their armour only, and not parsed.",
        "A key may be a test vector of a library: the container's kind is stated, its use is not known.",
    )
    references = (
        "RFC 7468 (PEM), RFC 5280 (X.509), RFC 8017, RFC 5915, RFC 5958 (private keys)",
        "RFC 4253 and OpenSSH PROTOCOL.key (SSH keys); Dropbear, signkey.c (host key files)",
        "RFC 7292 (PKCS #12); signify(1) for the keys of OpenWrt's package feeds",
    )
    facts = (
        Certificate,
        CertificateRequest,
        KeyStore,
        Parameters,
        PrivateKey,
        PublicKey,
        SymmetricKey,
        Unread,
    )

    def applies(self, file: FileView) -> bool:
        return len(file.view) >= 32

    def inspect(self, file: FileView) -> Iterator[Fact]:
        text = file.kind in _TEXT
        for block in blocks(file.view):
            fact = block if isinstance(block, Unread) else _pem_fact(block, file.kind)
            if fact is not None:
                yield fact
        yield from _ssh_lines(file)
        if text:
            yield from _wireguard(file)
            yield from _signify(file)
        else:
            yield from _dropbear(file)
            yield from _stores(file)
            yield from _der_structures(file)


def _pem_fact(block: object, container: str) -> Fact | None:
    from banbury.inspect.inspectors._pem import Block

    assert isinstance(block, Block)
    try:
        return fact_of(block, container)
    except Malformed:
        return None


def _ssh_lines(file: FileView) -> Iterator[Fact]:
    """OpenSSH public keys, as in authorized_keys, known_hosts and ``*.pub``."""
    for pattern in _SSH:
        for at in _offsets(file, pattern):
            match = _SSH_LINE.match(file.view.take(at, min(8192, len(file.view) - at)))
            if match is None:
                continue
            try:
                blob = base64.b64decode(match[0], validate=True)
                parts = keyparts.from_ssh(blob)
            except (binascii.Error, Malformed):
                continue
            yield _ssh_fact(file, at, match[0], blob, parts)


def _ssh_fact(file: FileView, at: int, encoded: bytes, blob: bytes, parts: keyparts.KeyParts) -> PublicKey:
    start = max(0, at - 512)
    before = file.view.take(start, at - start).rsplit(b"\n", 1)[-1].decode("utf-8", "replace")
    end = at + len(encoded)
    after = file.view.take(end, min(200, len(file.view) - end)).split(b"\n", 1)[0].decode("utf-8", "replace")
    print_ = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return PublicKey(
        format="OpenSSH",
        type=parts.type,
        bits=parts.bits,
        curve=parts.curve,
        fingerprint=parts.fingerprint,
        ssh_fingerprint=f"SHA256:{print_}",
        comment=clip(after),
        before=clip(before.rpartition(" ")[0].rpartition(" ")[0]) if " " in before.strip() else "",
        parsed=True,
        container=file.kind,
        at=Span(at, len(encoded)),
        text=clip(before + encoded.decode()),
    )


def _wireguard(file: FileView) -> Iterator[Fact]:
    for at in _offsets(file, b"PrivateKey"):
        match = _WIREGUARD.match(file.view.take(at, min(80, len(file.view) - at)))
        if match is None:
            continue
        secret = base64.b64decode(match[1])
        parts = _read(lambda s: keyparts.derive_modern("1.3.101.110", s), secret)
        yield PrivateKey(
            format="WireGuard",
            type="X25519",
            bits=256,
            fingerprint=parts.fingerprint if parts else "",
            encrypted=Tri.NO,
            parsed=parts is not None,
            container=file.kind,
            at=Span(at, match.end()),
            text="PrivateKey =",
        )


def _signify(file: FileView) -> Iterator[Fact]:
    """A key of signify or OpenWrt's usign: a comment line, then base64 of "Ed", eight bytes of number, the key."""
    if not file.view.startswith(b"untrusted comment:"):
        return
    lines = file.view.take(0, min(1024, len(file.view))).split(b"\n")
    try:
        raw = base64.b64decode(lines[1].strip() if len(lines) > 1 else b"", validate=True)
    except binascii.Error:
        return
    comment = clip(lines[0].decode("utf-8", "replace").partition(":")[2])
    at = Span(len(lines[0]) + 1, len(lines[1]) if len(lines) > 1 else 0)
    if raw[:2] == b"Ed" and len(raw) == 42:
        parts = keyparts.modern("1.3.101.112", raw[10:])
        yield PublicKey(
            format="signify",
            type=parts.type,
            bits=parts.bits,
            fingerprint=parts.fingerprint,
            comment=comment,
            parsed=True,
            container=file.kind,
            at=at,
            text=comment,
        )
    elif raw[:2] == b"Ed" and len(raw) == 104:
        parts = keyparts.modern("1.3.101.112", raw[72:])
        encrypted = Tri.NO if raw[4:8] == b"\0\0\0\0" else Tri.YES
        yield PrivateKey(
            format="signify",
            type=parts.type,
            bits=parts.bits,
            fingerprint=parts.fingerprint,
            encrypted=encrypted,
            parsed=True,
            container=file.kind,
            at=at,
            text=comment,
        )


def _dropbear(file: FileView) -> Iterator[Fact]:
    if not any(file.view.startswith(magic) for magic in _DROPBEAR) or len(file.view) > 1 << 14:
        return
    blob = file.view.take(0, len(file.view))
    fields, _ = keyparts.ssh_strings(blob, 8)
    public = {b"ssh-rsa": 3, b"ssh-dss": 5, b"ssh-ed25519": 1}.get(fields[0] if fields else b"", 3)
    parts = _read(keyparts.from_ssh, blob)
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


def _stores(file: FileView) -> Iterator[Fact]:
    head = file.view.take(0, min(64, len(file.view)))
    if head[:4] in (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce") and head[4:8] in (b"\0\0\0\1", b"\0\0\0\2"):
        name = "JKS" if head[0] == 0xFE else "JCEKS"
        yield KeyStore(format=name, entries=int.from_bytes(head[8:12], "big"), at=Span(0, len(file.view)))
    elif re.match(
        rb"\x30(?:\x82..|\x83...|\x80|\x81.)\x02\x01\x03\x30.{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", head, re.S
    ):
        yield KeyStore(format="PKCS#12", at=Span(0, len(file.view)))


def _der_structures(file: FileView) -> Iterator[Fact]:
    """Certificates and RSA or P-256 keys in DER, at any offset of a binary file."""
    taken: list[tuple[int, int]] = []
    for at in _offsets(file, _X509):
        inner = _enclosing(file, at)
        outer = _enclosing(file, inner[0]) if inner else None
        if outer is None:
            continue
        fact = certificate_fact("DER", outer[1], file.kind, Span(outer[0], len(outer[1])), "")
        if fact.parsed:
            taken.append((outer[0], outer[0] + len(outer[1])))
            yield fact
    for pattern, form, read in (
        *((p, "PKCS#1", keyparts.from_pkcs1) for p in _PKCS1),
        (_SEC1_P256, "SEC1", keyparts.from_sec1),
    ):
        for at in _offsets(file, pattern):
            start, data = (at, file.view.take(at, min(121, len(file.view) - at))) if form == "SEC1" else (0, b"")
            if form != "SEC1":
                start, data = _enclosing(file, at) or (0, b"")
            parts = _read(read, data)
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
    yield from _der_public(file, taken)


def _der_public(file: FileView, taken: list[tuple[int, int]]) -> Iterator[Fact]:
    for at in _offsets(file, _SPKI_RSA):
        if any(start <= at < end for start, end in taken):
            continue
        start, data = _enclosing(file, at) or (0, b"")
        parts = _read(keyparts.from_spki, data)
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


INSPECTORS = (Keys(),)
