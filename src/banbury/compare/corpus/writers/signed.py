"""Signatures: RSA keys from a seed, CMS as the kernel's sign-file writes it, and modules signed with it.

RFC 5652 (SignedData), RFC 8017 (RSASSA-PKCS1-v1_5); Linux, scripts/sign-file.c and include/linux/module_signature.h.
The keys are 1024 bits, for speed: they protect nothing.
"""

from __future__ import annotations

import hashlib
import random
import struct
from functools import cache

from msgspec import Struct

_SHA256 = bytes.fromhex("608648016503040201")
_RSA = bytes.fromhex("2a864886f70d010101")
_SIGNED, _DATA = bytes.fromhex("2a864886f70d010702"), bytes.fromhex("2a864886f70d010701")


class Key(Struct, frozen=True):
    """An RSA key: name of its owner, modulus, private exponent."""

    name: str
    n: int
    d: int

    @property
    def public(self) -> str:
        """The SubjectPublicKeyInfo, DER in hexadecimal, as a build record declares it."""
        key = der(0x30, number(self.n), number(65537))
        return der(0x30, der(0x30, der(6, _RSA), der(5)), der(3, b"\0" + key)).hex()

    def sign(self, data: bytes) -> bytes:
        """PKCS #1 v1.5 with SHA-256."""
        size = (self.n.bit_length() + 7) // 8
        info = der(0x30, der(0x30, der(6, _SHA256), der(5)), der(4, hashlib.sha256(data).digest()))
        padded = b"\0\1" + b"\xff" * (size - len(info) - 3) + b"\0" + info
        return pow(int.from_bytes(padded, "big"), self.d, self.n).to_bytes(size, "big")

    def verify(self, data: bytes, signature: bytes) -> bool:
        value = pow(int.from_bytes(signature, "big"), 65537, self.n)
        return value.to_bytes(len(signature), "big").endswith(hashlib.sha256(data).digest())


def der(tag: int, *parts: bytes) -> bytes:
    """A DER value."""
    body = b"".join(parts)
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body


def number(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


@cache
def key(name: str) -> Key:
    """The key of ``name``; the same every time."""
    source = random.Random(f"corpus key {name}")  # noqa: S311 - a key that protects nothing
    p, q = (_prime(source) for _ in range(2))
    return Key(name, p * q, pow(65537, -1, (p - 1) * (q - 1)))


def _prime(source: random.Random) -> int:
    while True:
        n = source.getrandbits(512) | 1 << 511 | 1 << 510 | 1
        if (
            n % 65537 != 1
            and all(n % p for p in (3, 5, 7, 11, 13, 17, 19, 23))
            and all(pow(a, n - 1, n) == 1 for a in (2, 3, 5, 7))
        ):
            return n


def cms(signer: Key, data: bytes, *, extra: bytes = b"") -> bytes:
    """A detached signature without certificates or attributes; ``extra`` stands in an unsigned attribute."""
    sha256 = der(0x30, der(6, _SHA256), der(5))
    issuer = der(0x30, der(0x31, der(0x30, der(6, b"\x55\x04\x03"), der(12, signer.name.encode()))))
    info = [
        number(1),
        der(0x30, issuer, number(signer.n % (1 << 64))),
        sha256,
        der(0x30, der(6, _RSA), der(5)),
        der(4, signer.sign(data)),
    ]
    if extra:
        info.append(der(0xA1, der(0x30, der(6, b"\x2a\x03"), der(0x31, der(4, extra)))))
    signed = der(0x30, number(1), der(0x31, sha256), der(0x30, der(6, _DATA)), der(0x31, der(0x30, *info)))
    return der(0x30, der(6, _SIGNED), der(0xA0, signed))


def certificate(owner: Key, issuer: Key | None = None) -> bytes:
    """An X.509 certificate for ``owner``, issued by itself or by another (RFC 5280, 4.1)."""
    by = issuer or owner
    algorithm = der(0x30, der(6, bytes.fromhex("2a864886f70d01010b")), der(5))
    times = der(0x30, der(23, b"200101000000Z"), der(23, b"491231235959Z"))
    body = der(
        0x30, der(0xA0, number(2)), number(owner.n % (1 << 64)), algorithm, _name(by), times, _name(owner),
        bytes.fromhex(owner.public),
    )  # fmt: skip
    return der(0x30, body, algorithm, der(3, b"\0" + by.sign(body)))


def _name(of: Key) -> bytes:
    return der(0x30, der(0x31, der(0x30, der(6, b"\x55\x04\x03"), der(12, of.name.encode()))))


def enveloped(
    signer: Key, kind: bytes, content: bytes | None, payload: bytes, *, more: bytes = b"", unsigned: bytes = b""
) -> bytes:
    """A signature with signed attributes and the signer's own certificate, as Authenticode and jarsigner write it.

    ``kind``: type of the content; ``content``: the content's element, ``None`` where it is detached; ``payload``: what
    the digest is over; ``more``: further certificates; ``unsigned``: stands in an unsigned attribute."""
    sha256 = der(0x30, der(6, _SHA256), der(5))
    attributes = b"".join(
        sorted(
            (
                der(0x30, der(6, bytes.fromhex("2a864886f70d010903")), der(0x31, der(6, kind))),
                der(
                    0x30,
                    der(6, bytes.fromhex("2a864886f70d010904")),
                    der(0x31, der(4, hashlib.sha256(payload).digest())),
                ),
            )
        )
    )
    info = [
        number(1),
        der(0x30, _name(signer), number(signer.n % (1 << 64))),
        sha256,
        der(0xA0, attributes),
        der(0x30, der(6, _RSA), der(5)),
        der(4, signer.sign(der(0x31, attributes))),
    ]
    if unsigned:
        info.append(der(0xA1, der(0x30, der(6, b"\x2a\x03"), der(0x31, der(4, unsigned)))))
    inner = der(0x30, der(6, kind), *([der(0xA0, content)] if content is not None else []))
    certificates = der(0xA0, certificate(signer), more)
    signed = der(0x30, number(1), der(0x31, sha256), inner, certificates, der(0x31, der(0x30, *info)))
    return der(0x30, der(6, _SIGNED), der(0xA0, signed))


def authenticode(signer: Key, digest: bytes, *, more: bytes = b"", unsigned: bytes = b"") -> bytes:
    """A program's signature ("Windows Authenticode Portable Executable Signature Format", version 1.0)."""
    image = der(0x30, der(3, b"\0"), der(0xA0, der(0xA2, der(0x80))))
    data = der(0x30, der(6, bytes.fromhex("2b06010401823702010f")), image)
    info = der(0x30, der(0x30, der(6, _SHA256), der(5)), der(4, digest))
    content = der(0x30, data, info)
    kind = bytes.fromhex("2b060104018237020104")
    return enveloped(signer, kind, content, data + info, more=more, unsigned=unsigned)


def module(body: bytes, signer: Key, *, between: bytes = b"", extra: bytes = b"", padding: bytes = bytes(3)) -> bytes:
    """A kernel module with a signature appended; ``between``: bytes between the two that the footer does not count."""
    signature = cms(signer, body, extra=extra)
    footer = bytes((0, 0, 2, 0, 0)) + padding + struct.pack(">I", len(signature))
    return body + between + signature + footer + b"~Module signature appended~\n"


def openpgp(signer: Key, data: bytes) -> bytes:
    """A version 4 OpenPGP signature packet over a binary document (RFC 4880, section 5.2.3), as rpmsign makes it."""
    fingerprint = hashlib.sha1(signer.public.encode(), usedforsecurity=False).digest()
    hashed = bytes((22, 33, 4)) + fingerprint + bytes((5, 2)) + struct.pack(">I", 1_600_000_000)
    head = bytes((4, 0, 1, 8)) + struct.pack(">H", len(hashed)) + hashed
    whole = data + head + b"\x04\xff" + struct.pack(">I", len(head))
    value = int.from_bytes(signer.sign(whole), "big")
    issuer = bytes((9, 16)) + fingerprint[-8:]
    body = head + struct.pack(">H", len(issuer)) + issuer + hashlib.sha256(whole).digest()[:2]
    body += struct.pack(">H", value.bit_length()) + value.to_bytes((value.bit_length() + 7) // 8, "big")
    return b"\x89" + struct.pack(">H", len(body)) + body
