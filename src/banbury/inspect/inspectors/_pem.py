"""PEM blocks (RFC 7468, RFC 1421) anywhere in a file, and what is in them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from banbury.formats.view import View
from banbury.inspect.inspectors import _der as der
from banbury.inspect.inspectors import _keyparts as keys
from banbury.inspect.inspectors._certificate import certificate, request
from banbury.inspect.inspectors._keyfacts import (
    Certificate,
    CertificateRequest,
    Parameters,
    PrivateKey,
    PublicKey,
    SymmetricKey,
    Unread,
)
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Span, Tri

_LABEL: Final = re.compile(rb"-----BEGIN ([A-Za-z0-9 ]{3,40})-----(\r?\n|\\n|\\r\\n|\r)")
_LONGEST: Final = 1 << 16
_BLOCKS: Final = 20_000
_SHORTEST: Final = 24  # characters of base64; less is a label in a program or a placeholder in a manual
_NOISE: Final = re.compile(rb"[\"'][ \t]{0,8}\+?\s{0,80}[\"']|\\[rn]|[\s\"'\\,;]+")


class Block(Struct, frozen=True, kw_only=True):
    """One PEM block: where, its label, the bytes of its body (None where they are no base64), and its own headers."""

    at: Span
    label: str
    body: bytes | None
    text: bytes
    encrypted: bool


def blocks(view: View) -> Iterator[Block | Unread]:
    """Every PEM block of ``view`` that has a body. Labels without one, as programs hold them, are passed over."""
    at = view.find(b"-----BEGIN ")
    for _ in range(_BLOCKS):
        if at < 0:
            return
        block = _block(view, at)
        if block is not None:
            yield block
        at = view.find(b"-----BEGIN ", at + (block.at.length if block else 11))
    if at >= 0:
        yield Unread(why=f"more than {_BLOCKS} PEM headers", at=Span(at, 0))


def _block(view: View, at: int) -> Block | None:
    match = _LABEL.match(view.take(at, min(80, len(view) - at)))
    if match is None:
        return None
    label = match[1]
    start = at + match.end()
    closing = b"-----END " + label + b"-----"
    limit = min(len(view), start + _LONGEST)
    end = view.find(closing, start, limit)
    following = view.find(b"-----BEGIN ", start, limit if end < 0 else end)
    if following >= 0:
        end = -1
    stop = end if end >= 0 else min(following if following >= 0 else limit, start + _LONGEST)
    text = view.take(start, stop - start)
    payload, encrypted = _payload(text)
    letters = re.match(rb"[A-Za-z0-9+/]*", payload)
    if letters is None or letters.end() < _SHORTEST:
        return None
    body = _decode(payload) if end >= 0 else None
    length = (end + len(closing) if end >= 0 else start + min(len(text), letters.end())) - at
    return Block(at=Span(at, length), label=label.decode(), body=body, text=text, encrypted=encrypted)


def _payload(text: bytes) -> tuple[bytes, bool]:
    """The base64 of a body, without the headers of RFC 1421 and without what a program's source puts between lines,
    and whether those headers say that it is encrypted."""
    encrypted = False
    head = text[:1024]
    if b":" in head:
        parts = re.split(rb"(?:\r?\n|\\n){2}", text, maxsplit=1)
        encrypted = b"ENCRYPTED" in parts[0]
        text = parts[-1]
    return _NOISE.sub(b"", text), encrypted


def _decode(payload: bytes) -> bytes | None:
    # OpenPGP armour ends in a checksum of its own: "=" and four letters (RFC 9580, 6.1).
    payload = re.sub(rb"=[A-Za-z0-9+/]{4}$", b"", payload)
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error:
        return None


_PRIVATE: Final[dict[str, tuple[str, Callable[[bytes], keys.KeyParts]]]] = {
    "RSA PRIVATE KEY": ("PKCS#1", keys.from_pkcs1),
    "EC PRIVATE KEY": ("SEC1", keys.from_sec1),
    "DSA PRIVATE KEY": ("DSA", keys.from_dsa_private),
    "PRIVATE KEY": ("PKCS#8", keys.from_pkcs8),
    "OPENSSH PRIVATE KEY": ("OpenSSH", keys.from_openssh),
}


def _attempt(body: bytes | None, read: Callable[[bytes], keys.KeyParts]) -> tuple[keys.KeyParts, str]:
    """The parts of a key and, where they cannot be read, why."""
    if body is None:
        return keys.KeyParts(type=""), "the block is cut short or is no base64"
    try:
        return read(body), ""
    except Malformed as problem:
        return keys.KeyParts(type=""), str(problem)


def _private(block: Block, container: str) -> Fact:
    form, read = _PRIVATE.get(block.label, (block.label.removesuffix(" PRIVATE KEY"), keys.from_pkcs8))
    header = f"-----BEGIN {block.label}-----"
    if block.label == "ENCRYPTED PRIVATE KEY" or block.encrypted:
        form = "PKCS#8" if block.label.startswith("ENC") else form
        kind = block.label.split()[0] if block.label.split()[0] in {"RSA", "EC", "DSA"} else ""
        return PrivateKey(
            format=form,
            type=kind,
            encrypted=Tri.YES,
            parsed=block.body is not None,
            container=container,
            at=block.at,
            text=header,
        )
    parts, why = _attempt(block.body, read)
    encrypted = Tri.UNKNOWN if why else Tri.YES if parts.encrypted else Tri.NO
    return PrivateKey(
        format=form,
        type=parts.type or (block.label.split()[0] if form in {"PKCS#1", "DSA"} else ""),
        bits=parts.bits,
        curve=parts.curve,
        fingerprint=parts.fingerprint,
        encrypted=encrypted,
        parsed=why == "",
        why=why[:120],
        container=container,
        at=block.at,
        text=header,
    )


def certificate_fact(form: str, body: bytes | None, container: str, at: Span, text: str) -> Certificate:
    """The fact about one certificate in DER; ``body`` is None where there is none to read."""
    why = "the block is cut short or is no base64"
    if body is not None:
        try:
            parts = certificate(body)
        except Malformed as problem:
            why = str(problem)
        else:
            return Certificate(
                format=form,
                subject=parts.subject[:300],
                issuer=parts.issuer[:300],
                serial=parts.serial[:80],
                not_before=parts.not_before,
                not_after=parts.not_after,
                self_signed=parts.self_signed,
                ca=parts.ca,
                signature=parts.signature,
                names=parts.names,
                key_type=parts.key.type,
                bits=parts.key.bits,
                curve=parts.key.curve,
                fingerprint=parts.key.fingerprint,
                sha256=parts.sha256,
                parsed=True,
                container=container,
                at=at,
                text=text,
            )
    return Certificate(format=form, parsed=False, why=why[:120], container=container, at=at, text=text)


def _request(block: Block, container: str, header: str) -> Fact:
    try:
        subject, signature, key = request(block.body or b"")
    except Malformed as problem:
        why = str(problem)[:120]
        return CertificateRequest(format="PEM", parsed=False, why=why, container=container, at=block.at, text=header)
    return CertificateRequest(
        format="PEM",
        subject=subject[:300],
        signature=signature,
        key_type=key.type,
        bits=key.bits,
        fingerprint=key.fingerprint,
        parsed=True,
        container=container,
        at=block.at,
        text=header,
    )


def _parameters(block: Block, container: str, header: str) -> Fact:
    try:
        numbers = der.integers(block.body or b"", der.root(block.body or b""))
    except Malformed:
        numbers = []
    return Parameters(
        bits=numbers[0].bit_length() if numbers else 0,
        sha256=hashlib.sha256(block.body).hexdigest() if numbers and block.body else "",
        parsed=bool(numbers),
        container=container,
        at=block.at,
        text=header,
    )


def _static(block: Block, container: str, header: str) -> Fact:
    digits = re.sub(rb"[^0-9a-fA-F]", b"", block.text)
    raw = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
    digest = hashlib.sha256(raw).hexdigest()
    return SymmetricKey(
        format="OpenVPN static key",
        bits=len(raw) * 8,
        sha256=digest,
        parsed=len(raw) == 256,
        container=container,
        at=block.at,
        text=header,
    )


def _public(block: Block, container: str, header: str) -> Fact:
    def rsa_only(body: bytes) -> keys.KeyParts:
        numbers = der.integers(body, der.root(body))
        if len(numbers) != 2:
            raise Malformed("RSA public key has not two numbers")
        return keys.rsa(*numbers)

    parts, why = _attempt(block.body, rsa_only if block.label.startswith("RSA") else keys.from_spki)
    return PublicKey(
        format="PEM",
        type=parts.type,
        bits=parts.bits,
        curve=parts.curve,
        fingerprint=parts.fingerprint,
        parsed=why == "",
        why=why[:120],
        container=container,
        at=block.at,
        text=header,
    )


def fact_of(block: Block, container: str) -> Fact | None:
    """What a PEM block is; ``None`` for labels that name neither key nor certificate."""
    label, header = block.label, f"-----BEGIN {block.label}-----"
    found: Fact | None = None
    if label == "PGP PRIVATE KEY BLOCK":
        found = PrivateKey(format="OpenPGP", parsed=False, why="OpenPGP", container=container, at=block.at, text=header)
    elif label == "PGP PUBLIC KEY BLOCK":
        found = PublicKey(format="OpenPGP", parsed=False, why="OpenPGP", container=container, at=block.at, text=header)
    elif label.endswith("PRIVATE KEY"):
        found = _private(block, container)
    elif label in {"PUBLIC KEY", "RSA PUBLIC KEY"}:
        found = _public(block, container, header)
    elif label in {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}:
        body = block.body
        if label.startswith("TRUSTED") and body is not None:
            body = body[: der.root(body).end]  # OpenSSL appends its own trust settings
        found = certificate_fact("PEM", body, container, block.at, header)
    elif label in {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}:
        found = _request(block, container, header)
    elif label in {"DH PARAMETERS", "X9.42 DH PARAMETERS"}:
        found = _parameters(block, container, header)
    elif label.startswith("OpenVPN Static key"):
        found = _static(block, container, header)
    return found
