"""Keys and certificates anywhere: PEM, DER, SSH, Dropbear, WireGuard, key stores."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
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
from banbury.inspect.inspectors._keyfinds import der_structures, dropbear, offsets, read, stores
from banbury.inspect.inspectors._lines import at_most, clip
from banbury.inspect.inspectors._pem import Block, blocks, fact_of
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Span, Tri

_TEXT: Final = frozenset({"text", "script", "html", "xml", "json", "pem"})

_SSH: Final = (b"AAAAB3NzaC1", b"AAAAC3NzaC1lZDI1NTE5", b"AAAAE2VjZHNhLXNoYTIt")
_SSH_LINE: Final = re.compile(rb"[A-Za-z0-9+/]{40,8000}={0,2}")
_WIREGUARD: Final = re.compile(rb"PrivateKey\s{0,8}=\s{0,8}([A-Za-z0-9+/]{43}=)")


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
        yield from at_most(self._keys(file), 40_000)

    @staticmethod
    def _keys(file: FileView) -> Iterator[Fact]:
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
            yield from dropbear(file)
            yield from stores(file)
            yield from der_structures(file)


def _pem_fact(block: Block, container: str) -> Fact | None:
    try:
        return fact_of(block, container)
    except Malformed:
        return None


def _ssh_lines(file: FileView) -> Iterator[Fact]:
    """OpenSSH public keys, as in authorized_keys, known_hosts and ``*.pub``."""
    for pattern in _SSH:
        end = 0
        for at in offsets(file, pattern):
            match = _SSH_LINE.match(file.view.take(at, min(8192, len(file.view) - at))) if at >= end else None
            if match is None:
                continue
            end = at + match.end()  # what looks like a key inside of this one is none
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
    for at in offsets(file, b"PrivateKey"):
        match = _WIREGUARD.match(file.view.take(at, min(80, len(file.view) - at)))
        if match is None:
            continue
        secret = base64.b64decode(match[1])
        parts = read(lambda s: keyparts.derive_modern("1.3.101.110", s), secret)
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


INSPECTORS = (Keys(),)
