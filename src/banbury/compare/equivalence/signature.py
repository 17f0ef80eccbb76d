"""The signature that the kernel's build appends to a module, taken off where it is exactly what that build writes.

It must be a detached CMS signature by one signer, without certificates and attributes (nothing can be kept in it),
and verify over what stands before it with a key that the side's build record declares.

Sources: Linux ``scripts/sign-file.c``, ``kernel/module_signature.c`` (every field but the type and the length is 0);
RFC 5652, chapter 5; RFC 8017, 8.2; ITU-T X.690, chapter 10.
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

MAGIC: Final = b"~Module signature appended~\n"
_INFO: Final = bytes((0, 0, 2, 0, 0, 0, 0, 0))
_SIGNED: Final = bytes.fromhex("06092a864886f70d010702")
_DATA: Final = bytes.fromhex("300b06092a864886f70d010701")
_HASHES: Final[dict[bytes, type[hashes.HashAlgorithm]]] = {
    bytes.fromhex("608648016503040201"): hashes.SHA256,
    bytes.fromhex("608648016503040202"): hashes.SHA384,
    bytes.fromhex("608648016503040203"): hashes.SHA512,
}
#: How the signer's algorithm may be named (RFC 8017, A.2.4): RSA alone, or with the digest.
_RSA: Final = {
    name: (bytes.fromhex("2a864886f70d010101"), bytes.fromhex(f"2a864886f70d0101{number:02x}"))
    for name, number in zip(_HASHES, (11, 12, 13), strict=True)
}


class Signature(Struct, frozen=True):
    """Where the signature stands, and what verifying it takes."""

    where: Range
    digest: bytes
    value: bytes

    def verified_by(self, payload: bytes, keys: list[str]) -> bool:
        """Whether one of ``keys`` (SubjectPublicKeyInfo, DER in hexadecimal) made it. Fingerprints cannot tell."""
        for text in keys:
            try:
                key = serialization.load_der_public_key(bytes.fromhex(text))
                if isinstance(key, rsa.RSAPublicKey):
                    key.verify(self.value, payload, padding.PKCS1v15(), _HASHES[self.digest]())
                    return True
            except (ValueError, InvalidSignature, UnsupportedAlgorithm):
                continue
        return False


def unsigned(view: View) -> tuple[View, Signature | None]:
    """What stands before the signature, and the signature; the whole and ``None`` where there is none. Raises
    :class:`Refused` for a signature that the kernel's build does not write."""
    size = len(view)
    if size < len(MAGIC) or not view.startswith(MAGIC, size - len(MAGIC)):
        return view, None
    info = size - len(MAGIC) - 12
    if info < 0 or view.take(info, 8) != _INFO:
        raise Refused("module signature", "its description is not one that the kernel accepts")
    length = struct.unpack(">I", view.take(info + 8, 4))[0]
    start = info - length
    if not 32 <= length <= 1 << 16 or start < 0:
        raise Refused("module signature", "its length is none that a signature has")
    digest, value = _cms(view.take(start, length))
    return view.sub(0, start), Signature(Range(start, size), digest, value)


class _Der:
    """A run of DER elements, taken one after another."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, tag: int) -> bytes:
        """The content of the next element, which must have this tag."""
        body, end = _element(self.raw, self.at)
        if body < 0 or self.raw[self.at] != tag:
            raise Refused("module signature", "it is not what the kernel's build writes")
        self.at = end
        return self.raw[body:end]

    def end(self) -> None:
        if self.at != len(self.raw):
            raise Refused("module signature", "it holds more than one detached signature")


def _inside(raw: bytes, tag: int) -> _Der:
    """The only element of ``raw``, opened."""
    outer = _Der(raw)
    body = outer.take(tag)
    outer.end()
    return _Der(body)


def _algorithm(raw: bytes) -> bytes:
    """The object identifier of an algorithm whose parameters are absent or NULL."""
    inner = _Der(raw)
    name = inner.take(6)
    if inner.at != len(raw) and raw[inner.at :] != b"\x05\0":
        raise Refused("module signature", "an algorithm with parameters")
    return name


def _cms(raw: bytes) -> tuple[bytes, bytes]:
    """(digest algorithm, signature) of a detached signature by one signer without certificates or attributes."""
    outer = _inside(raw, 0x30)
    if outer.take(6) != _SIGNED[2:]:
        raise Refused("module signature", "it is no signed data")
    signed = _inside(_inside(outer.raw[outer.at :], 0xA0).raw, 0x30)
    version = signed.take(2)
    digest = _algorithm(_inside(signed.take(0x31), 0x30).raw)
    if b"\x30" + bytes((11,)) + signed.take(0x30) != _DATA:
        raise Refused("module signature", "it is not detached")
    signer = _inside(signed.take(0x31), 0x30)
    signed.end()
    own = signer.take(2)
    by_key = signer.raw[signer.at : signer.at + 1] == b"\x80"
    if own != version or own != (b"\3" if by_key else b"\1"):
        raise Refused("module signature", "its version is not the one that it must have")
    if by_key:
        if len(signer.take(0x80)) > 32:
            raise Refused("module signature", "a key's identifier beyond reason")
    else:
        _name(signer.take(0x30))
    again = _algorithm(signer.take(0x30))
    if _algorithm(signer.take(0x30)) not in _RSA.get(digest, ()):
        raise Refused("module signature", "an algorithm that is none of RSA with its digest")
    value = signer.take(4)
    signer.end()
    if again != digest or digest not in _HASHES:
        raise Refused("module signature", "its digest is not known here, or two are named")
    return digest, value


def _name(raw: bytes) -> None:
    """An issuer and a serial number; the kernel looks the key up by them. At most 512 bytes, serial at most 20."""
    both = _Der(raw)
    issuer, serial = both.take(0x30), both.take(2)
    both.end()
    if len(issuer) > 512 or len(serial) > 21:
        raise Refused("module signature", "a signer's name beyond reason")


def _element(raw: bytes, at: int) -> tuple[int, int]:
    """(start of the content, end) of the element at ``at``, or (-1, -1)."""
    end = len(raw)
    if at + 2 > end or raw[at] & 0x1F == 0x1F:
        return -1, -1
    length, body = raw[at + 1], at + 2
    if length >= 0x80:
        count = length - 0x80
        if not 1 <= count <= 4 or body + count > end or raw[body] == 0:
            return -1, -1
        length, body = int.from_bytes(raw[body : body + count], "big"), body + count
        if length < 0x80:
            return -1, -1
    return (body, body + length) if body + length <= end else (-1, -1)
