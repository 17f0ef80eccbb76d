"""OpenPGP signatures as rpmsign puts them into packages, verified with keys that a build record declares.

One version 4 packet, RSA, over a binary document, in which nothing can be kept: beside the signed part it has the
issuer alone, which must be the end of the signed fingerprint.

Source: RFC 4880, sections 4.2, 5.2.3, 5.2.4 and 13.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from banbury.compare.equivalence.accounting import Refused
from banbury.formats.view import Buffer

_HASHES: Final[dict[int, tuple[str, hashes.HashAlgorithm]]] = {
    8: ("sha256", hashes.SHA256()), 9: ("sha384", hashes.SHA384()), 10: ("sha512", hashes.SHA512()),
}  # fmt: skip
_TIME, _ISSUER, _FINGERPRINT = 2, 16, 33


def verify(packet: bytes, pieces: Iterable[Buffer], keys: Iterable[str]) -> None:
    """Check a signature over ``pieces`` with ``keys`` (SubjectPublicKeyInfo, DER in hexadecimal). Raises ``Refused``
    where none of them made it, or where it is of another form."""
    body = _body(packet)
    if len(body) < 10 or body[:3] != b"\x04\x00\x01" or body[3] not in _HASHES:
        raise Refused("signature", "of a version or algorithm that is not decided")
    name, algorithm = _HASHES[body[3]]
    size = int.from_bytes(body[4:6], "big")
    signed = body[: 6 + size]
    at = 6 + size
    other = int.from_bytes(body[at : at + 2], "big")
    _check(dict(_subpackets(body[6:at])), dict(_subpackets(body[at + 2 : at + 2 + other])))
    at += 2 + other
    state = hashlib.new(name)
    for piece in (*pieces, signed, b"\x04\xff" + struct.pack(">I", len(signed))):
        state.update(piece)
    digest = state.digest()
    bits = int.from_bytes(body[at + 2 : at + 4], "big")
    value = body[at + 4 :]
    if (
        body[at : at + 2] != digest[:2]
        or len(value) != (bits + 7) // 8
        or int.from_bytes(value, "big").bit_length() != bits
    ):
        raise Refused("signature", "not over this package, or bytes behind it")
    for text in keys:
        try:
            key = serialization.load_der_public_key(bytes.fromhex(text))
            if isinstance(key, rsa.RSAPublicKey):
                whole = value.rjust(key.key_size // 8, b"\0")
                key.verify(whole, digest, padding.PKCS1v15(), utils.Prehashed(algorithm))
                return
        except (ValueError, InvalidSignature, UnsupportedAlgorithm):
            continue
    raise Refused("signature", "no declared key verifies it")


def _body(packet: bytes) -> bytes:
    """The body of the one packet that fills ``packet``."""
    if packet[:1] == b"\x89":
        start, size = 3, int.from_bytes(packet[1:3], "big")
    elif packet[:1] == b"\x88":
        start, size = 2, int.from_bytes(packet[1:2], "big")
    else:
        raise Refused("signature", "no packet of the form that rpmsign writes")
    if start + size != len(packet):
        raise Refused("signature", "more than one packet")
    return packet[start:]


def _subpackets(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at, seen = 0, set[int]()
    while at < len(raw):
        size = raw[at]
        if not 2 <= size < 192 or at + 1 + size > len(raw) or raw[at + 1] in seen:
            raise Refused("signature", "subpackets of another form")
        seen.add(raw[at + 1])
        yield raw[at + 1], raw[at + 2 : at + 1 + size]
        at += 1 + size


def _check(signed: dict[int, bytes], beside: dict[int, bytes]) -> None:
    fingerprint = signed.get(_FINGERPRINT, b"")
    issuers = [found[_ISSUER] for found in (signed, beside) if _ISSUER in found]
    if (
        not set(signed) <= {_TIME, _ISSUER, _FINGERPRINT}
        or not set(beside) <= {_ISSUER}
        or len(fingerprint) != 21
        or any(issuer != fingerprint[-8:] for issuer in issuers)
    ):
        raise Refused("signature", "with more in it than its time and who made it")
