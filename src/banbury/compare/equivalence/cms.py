"""CMS signatures (Authenticode, signed jars) of which no byte is left that a declared key does not stand for.

One signer; its signature verifies with a declared key over the signed attributes, or over the content where there are
none. Each certificate in it was issued by a declared key, or by one of the others. Unsigned attributes, revocation
lists and second signers are refused: they could hold anything.

Sources: RFC 5652, chapters 5 and 10; RFC 5280, 4.1; RFC 8017, 8.2; ITU-T X.690, chapter 10.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_SIGNED: Final = bytes.fromhex("2a864886f70d010702")
_CONTENT_TYPE: Final = bytes.fromhex("2a864886f70d010903")
_DIGEST: Final = bytes.fromhex("2a864886f70d010904")
DIGESTS: Final[dict[bytes, str]] = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512(),
}  # fmt: skip
_RSA: Final = bytes.fromhex("2a864886f70d010101")
#: The algorithms that name a digest: of RSA, of elliptic curves.
_WITH: Final = {
    name: (bytes.fromhex(f"2a864886f70d0101{one:02x}"), bytes.fromhex(f"2a8648ce3d0403{other:02x}"))
    for name, one, other in (("sha256", 11, 2), ("sha384", 12, 3), ("sha512", 13, 4))
}
_MOST_CERTIFICATES: Final = 8
_LONGEST_NAME: Final = 16  # bytes of an object identifier


class Der:
    """A run of DER elements, taken one after another. Anything but the shortest form is refused."""

    def __init__(self, raw: bytes, where: str) -> None:
        self.raw, self.where, self.at = raw, where, 0

    @property
    def tag(self) -> int:
        """The next element's tag, -1 at the end."""
        return self.raw[self.at] if self.at < len(self.raw) else -1

    def whole(self, tag: int) -> bytes:
        """The next element, which must have this tag, with its header."""
        start = self.at
        self.take(tag)
        return self.raw[start : self.at]

    def take(self, tag: int) -> bytes:
        """The content of the next element, which must have this tag."""
        raw, at = self.raw, self.at
        if at + 2 > len(raw) or raw[at] != tag:
            raise Refused(self.where, "is not built as a signature of its kind is")
        size, body = raw[at + 1], at + 2
        if size >= 0x80:
            count = size - 0x80
            size = int.from_bytes(raw[body : body + count], "big")
            body += count
            if not 1 <= count <= 4 or body > len(raw) or size < (0x80 if count == 1 else 1 << 8 * (count - 1)):
                raise Refused(self.where, "has a length that is not in its one form")
        if body + size > len(raw):
            raise Refused(self.where, "ends before what it holds")
        self.at = body + size
        return raw[body : self.at]

    def into(self, tag: int) -> Der:
        """The next element, opened."""
        return Der(self.take(tag), self.where)

    def end(self) -> None:
        if self.at != len(self.raw):
            raise Refused(self.where, "holds more than it should")


class Signed(Struct, frozen=True, kw_only=True):
    """A signature that a declared key made: the type of its content and the content (``None``: detached), the digest's
    name."""

    kind: bytes
    content: bytes | None
    digest: str


def keys_of(declared: list[str]) -> list[PublicKey]:
    """Declared keys (SubjectPublicKeyInfo, DER in hexadecimal); what is none is left out."""
    out: list[PublicKey] = []
    for text in declared:
        try:
            key = serialization.load_der_public_key(bytes.fromhex(text))
        except (ValueError, UnsupportedAlgorithm):
            continue
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            out.append(key)
    return out


def made_by(key: PublicKey, signature: bytes, data: bytes, digest: str) -> bool:
    """Whether ``key`` made a signature (PKCS #1 v1.5 or ECDSA)."""
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), _HASHES[digest])
        else:
            key.verify(signature, data, ec.ECDSA(_HASHES[digest]))
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def verified(raw: bytes, where: str, declared: list[str], detached: bytes | None = None) -> Signed:
    """The signature in ``raw``, over its own content or over ``detached``. Raises :class:`Refused`."""
    outer = Der(raw, where)
    info = outer.into(0x30)
    outer.end()
    if info.take(6) != _SIGNED:
        raise Refused(where, "is no signed data")
    wrapped = info.into(0xA0)
    info.end()
    data = wrapped.into(0x30)
    wrapped.end()
    version = data.take(2)
    algorithms = data.into(0x31)
    digest = _algorithm(algorithms)
    algorithms.end()
    kind, content = _content(data.into(0x30))
    if (content is None) == (detached is None):
        raise Refused(where, "its content is not where it should be")
    keys = keys_of(declared)
    certificates = _certificates(data.take(0xA0), where, keys) if data.tag == 0xA0 else []
    signers = data.into(0x31)
    data.end()
    signer = signers.into(0x30)
    signers.end()
    payload = detached if content is None else Der(content, where).into(content[0]).raw if content else b""
    assert payload is not None
    if DIGESTS.get(digest) is None:
        raise Refused(where, "its digest is not known here")
    if version != (b"\3" if signer.raw[:3] == b"\2\1\3" else b"\1"):
        raise Refused(where, "is of an unknown version")
    _signer(signer, digest, kind, payload, keys, certificates)
    return Signed(kind=kind, content=content, digest=DIGESTS[digest])


def _algorithm(der: Der) -> bytes:
    """The identifier of an algorithm whose parameters are absent or NULL."""
    inner = der.into(0x30)
    name = inner.take(6)
    if inner.tag >= 0 and inner.take(5):
        raise Refused(der.where, "an algorithm with parameters")
    inner.end()
    if len(name) > _LONGEST_NAME:
        raise Refused(der.where, "an algorithm that is none")
    return name


def _content(der: Der) -> tuple[bytes, bytes | None]:
    """(type, the content's element with its header, or ``None``)."""
    kind = der.take(6)
    if len(kind) > _LONGEST_NAME:
        raise Refused(der.where, "content that is none")
    content = der.take(0xA0) if der.tag == 0xA0 else None
    der.end()
    if content is not None:
        inner = Der(content, der.where)
        inner.whole(inner.tag)
        inner.end()
    return kind, content


def _certificates(raw: bytes, where: str, keys: list[PublicKey]) -> list[tuple[bytes, bytes]]:
    """(issuer, serial number) of each certificate; all were issued by declared keys or by one another."""
    der = Der(raw, where)
    out, waiting = [], []
    while der.tag >= 0:
        whole = der.whole(0x30)
        waiting.append(whole)
        out.append(_identity(whole, where))
        if len(waiting) > _MOST_CERTIFICATES:
            raise Refused(where, f"has more than {_MOST_CERTIFICATES} certificates")
    trusted = [*keys]
    while waiting:
        left = []
        for whole in waiting:
            found = _issued(whole, trusted)
            if found is None:
                left.append(whole)
            else:
                trusted.append(found)
        if len(left) == len(waiting):
            raise Refused(where, "holds a certificate that no declared key issued")
        waiting = left
    return out


def _identity(whole: bytes, where: str) -> tuple[bytes, bytes]:
    outer = Der(whole, where).into(0x30)
    body = outer.into(0x30)
    algorithm = outer.whole(0x30)
    outer.take(3)
    outer.end()
    if body.tag == 0xA0:
        body.take(0xA0)
    serial = body.take(2)
    if body.whole(0x30) != algorithm:
        raise Refused(where, "holds a certificate that names two algorithms")
    return body.whole(0x30), serial


def _issued(whole: bytes, trusted: list[PublicKey]) -> PublicKey | None:
    """A certificate's key, where one of ``trusted`` issued it."""
    try:
        certificate = x509.load_der_x509_certificate(whole)
        key = certificate.public_key()
        used = certificate.signature_hash_algorithm
        body, signature = certificate.tbs_certificate_bytes, certificate.signature
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) or used is None or used.name not in _HASHES:
        return None
    return key if any(made_by(issuer, signature, body, used.name) for issuer in trusted) else None


def _signer(
    der: Der, digest: bytes, kind: bytes, payload: bytes, keys: list[PublicKey], certificates: list[tuple[bytes, bytes]]
) -> None:
    """Check the one signer's information to its last byte, and its signature."""
    version = der.take(2)
    if version != (b"\3" if der.tag == 0x80 else b"\1"):
        raise Refused(der.where, "is of an unknown version")
    if der.tag == 0x80 and not certificates:
        if len(der.take(0x80)) > 32:
            raise Refused(der.where, "a key's identifier beyond reason")
    else:
        both = der.into(0x30)
        name = both.whole(0x30), both.take(2)
        both.end()
        if (certificates and name not in certificates) or len(name[0]) > 512 or len(name[1]) > 21:
            raise Refused(der.where, "a signer that none of its certificates names")
    if _algorithm(der) != digest:
        raise Refused(der.where, "names two digests")
    counted = hashlib.new(DIGESTS[digest], payload).digest()
    signed = payload
    if der.tag == 0xA0:
        attributes = der.take(0xA0)
        signed = _set(attributes)
        found = _attributes(Der(attributes, der.where))
        if found.get(_CONTENT_TYPE) != b"\x06" + bytes([len(kind)]) + kind:
            raise Refused(der.where, "its attributes are of another kind of content")
        if found.get(_DIGEST) != b"\x04" + bytes([len(counted)]) + counted:
            raise Refused(der.where, "is of other content")
    sort = _algorithm(der)
    if sort not in (_RSA, *_WITH[DIGESTS[digest]]):
        raise Refused(der.where, "an algorithm that is not decided")
    signature = der.take(4)
    der.end()
    chosen = ec.EllipticCurvePublicKey if sort == _WITH[DIGESTS[digest]][1] else rsa.RSAPublicKey
    if not any(made_by(key, signature, signed, DIGESTS[digest]) for key in keys if isinstance(key, chosen)):
        raise Refused(der.where, "no key that its build record declares verifies it")


def _set(body: bytes) -> bytes:
    """The attributes as they are signed: with the tag of a set (RFC 5652, 5.4)."""
    size = len(body)
    if size < 0x80:
        return bytes((0x31, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x31, 0x80 | len(length))) + length + body


def _attributes(der: Der) -> dict[bytes, bytes]:
    """Signed attributes by their type, each with one value."""
    out: dict[bytes, bytes] = {}
    while der.tag >= 0:
        one = der.into(0x30)
        name, value = one.take(6), one.take(0x31)
        one.end()
        if name in out:
            raise Refused(der.where, "has an attribute twice")
        out[name] = value
    return out
