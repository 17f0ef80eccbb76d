"""From any encoding of a key to its public half: type, size, and one canonical SubjectPublicKeyInfo.

The fingerprint is the SHA-256 of that structure (RFC 5280, 4.1.2.7) written anew, so that a certificate, a private key
and a public key of one pair have the same fingerprint whatever encoding each came in. Sources: RFC 8017 A.1 (RSA),
RFC 5915 and RFC 5480 (elliptic curves), RFC 5208 and RFC 5958 (PKCS #8), RFC 3279 (DSA), RFC 8410 (Curve25519, 448),
RFC 4253 6.6 and RFC 5656 (SSH), OpenSSH PROTOCOL.key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from banbury.inspect.inspectors import _der as der
from banbury.model.errors import Malformed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurve

_RSA: Final = "1.2.840.113549.1.1.1"
_RSA_PSS: Final = "1.2.840.113549.1.1.10"
_DSA: Final = "1.2.840.10040.4.1"
_DH: Final = frozenset({"1.2.840.113549.1.3.1", "1.2.840.10046.2.1"})
_EC: Final = "1.2.840.10045.2.1"
_CURVES: Final = {
    "1.2.840.10045.3.1.1": ("P-192", 192),
    "1.3.132.0.33": ("P-224", 224),
    "1.2.840.10045.3.1.7": ("P-256", 256),
    "1.3.132.0.34": ("P-384", 384),
    "1.3.132.0.35": ("P-521", 521),
    "1.3.132.0.10": ("secp256k1", 256),
    "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256),
    "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384),
    "1.3.36.3.3.2.8.1.1.13": ("brainpoolP512r1", 512),
}
_SSH_CURVES: Final = {b"nistp256": "1.2.840.10045.3.1.7", b"nistp384": "1.3.132.0.34", b"nistp521": "1.3.132.0.35"}
_MODERN: Final = {
    "1.3.101.110": ("X25519", 256),
    "1.3.101.111": ("X448", 448),
    "1.3.101.112": ("Ed25519", 256),
    "1.3.101.113": ("Ed448", 448),
}
_MAX_BITS: Final = 65536


class KeyParts(Struct, frozen=True, kw_only=True):
    """The public half of a key. ``bits`` is the size of its modulus, prime or curve; ``spki`` is empty where the
    public half cannot be had (encrypted, or an algorithm not known here)."""

    type: str
    bits: int = 0
    curve: str = ""
    spki: bytes = b""
    encrypted: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, hexadecimal, or ``""``."""
        return hashlib.sha256(self.spki).hexdigest() if self.spki else ""


def _spki(algorithm: bytes, key: bytes) -> bytes:
    return der.write(der.SEQUENCE, der.write(der.SEQUENCE, algorithm) + der.write(der.BIT_STRING, b"\0" + key))


def rsa(n: int, e: int) -> KeyParts:
    if n <= 0 or e <= 0 or n.bit_length() > _MAX_BITS:
        raise Malformed("RSA key out of range")
    key = der.write(der.SEQUENCE, der.write_integer(n) + der.write_integer(e))
    return KeyParts(type="RSA", bits=n.bit_length(), spki=_spki(der.write_oid(_RSA) + der.NULL, key))


def dsa(p: int, q: int, g: int, y: int) -> KeyParts:
    if min(p, q, g, y) <= 0 or max(p, q, g, y).bit_length() > _MAX_BITS:
        raise Malformed("DSA key out of range")
    parameters = der.write(der.SEQUENCE, b"".join(der.write_integer(i) for i in (p, q, g)))
    return KeyParts(type="DSA", bits=p.bit_length(), spki=_spki(der.write_oid(_DSA) + parameters, der.write_integer(y)))


def ec(curve: str, point: bytes) -> KeyParts:
    """A key on the named ``curve`` (dotted identifier); a compressed ``point`` is expanded where possible."""
    name, bits = _CURVES.get(curve, (curve, 0))
    if point[:1] in (b"\x02", b"\x03"):
        point = _expand(name, point)
    return KeyParts(type="EC", bits=bits, curve=name, spki=_spki(der.write_oid(_EC) + der.write_oid(curve), point))


def modern(oid: str, key: bytes) -> KeyParts:
    name, bits = _MODERN[oid]
    return KeyParts(type=name, bits=bits, spki=_spki(der.write_oid(oid), key))


def _curve(name: str) -> EllipticCurve:
    from cryptography.hazmat.primitives.asymmetric import ec as lib

    table: dict[str, Callable[[], EllipticCurve]] = {
        "P-192": lib.SECP192R1,
        "P-224": lib.SECP224R1,
        "P-256": lib.SECP256R1,
        "P-384": lib.SECP384R1,
        "P-521": lib.SECP521R1,
        "secp256k1": lib.SECP256K1,
        "brainpoolP256r1": lib.BrainpoolP256R1,
        "brainpoolP384r1": lib.BrainpoolP384R1,
        "brainpoolP512r1": lib.BrainpoolP512R1,
    }
    if name not in table:
        raise Malformed(f"curve {name} is not known")
    return table[name]()


def _expand(name: str, point: bytes) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    curve = _curve(name)
    try:
        key = EllipticCurvePublicKey.from_encoded_point(curve, point)
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise Malformed(f"point on {name}: {problem}") from problem


def _derive_point(curve: str, secret: bytes) -> bytes:
    """The public point of a private key that does not bring it along."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import derive_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    lib = _curve(_CURVES.get(curve, (curve, 0))[0])
    try:
        key = derive_private_key(int.from_bytes(secret, "big"), lib).public_key()
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise Malformed(f"private key on {curve}: {problem}") from problem


def derive_modern(oid: str, secret: bytes) -> KeyParts:
    """Curve25519 and 448 keys: the public half of ``secret``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, x448, x25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    makers: dict[str, Callable[[bytes], Any]] = {
        "1.3.101.110": x25519.X25519PrivateKey.from_private_bytes,
        "1.3.101.111": x448.X448PrivateKey.from_private_bytes,
        "1.3.101.112": ed25519.Ed25519PrivateKey.from_private_bytes,
        "1.3.101.113": ed448.Ed448PrivateKey.from_private_bytes,
    }
    try:
        public = makers[oid](secret).public_key()
        return modern(oid, public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise Malformed(f"{_MODERN[oid][0]} key: {problem}") from problem


def _algorithm(data: bytes, value: der.Node) -> tuple[str, list[der.Node]]:
    parts = list(der.children(data, der.expect(value, der.SEQUENCE)))
    if not parts:
        raise Malformed("algorithm without an identifier")
    return der.dotted(der.body(data, parts[0], der.OID)), parts[1:]


def from_spki(data: bytes) -> KeyParts:
    """A SubjectPublicKeyInfo, in DER."""
    parts = list(der.children(data, der.root(data)))
    if len(parts) != 2:
        raise Malformed("public key information has not two parts")
    oid, parameters = _algorithm(data, parts[0])
    key = der.body(data, parts[1], der.BIT_STRING)[1:]
    if oid in {_RSA, _RSA_PSS}:
        numbers = der.integers(key, der.root(key))
        if len(numbers) != 2:
            raise Malformed("RSA public key has not two numbers")
        return rsa(numbers[0], numbers[1])
    if oid == _EC and parameters and parameters[0].tag == der.OID:
        return ec(der.dotted(data[parameters[0].body : parameters[0].end]), key)
    if oid == _DSA and parameters and parameters[0].tag == der.SEQUENCE:
        domain = der.integers(data, parameters[0])
        if len(domain) == 3:
            return dsa(domain[0], domain[1], domain[2], der.integer(key, der.root(key, der.INTEGER)))
    if oid in _MODERN:
        return modern(oid, key)
    name = "DH" if oid in _DH else "EC" if oid == _EC else oid
    return KeyParts(type=name, spki=data[: der.root(data).end])


def from_pkcs1(data: bytes) -> KeyParts:
    """An RSAPrivateKey; its two primes must make its modulus."""
    numbers = der.integers(data, der.root(data))
    if len(numbers) < 9 or numbers[0] not in {0, 1}:
        raise Malformed("RSA private key has not nine numbers")
    n, e, p, q = numbers[1], numbers[2], numbers[4], numbers[5]
    size = n.bit_length()
    if size > _MAX_BITS or (numbers[0] == 0 and (p.bit_length() + q.bit_length() > size + 1 or p * q != n)):
        raise Malformed("RSA private key whose primes do not make its modulus")
    return rsa(n, e)


def from_dsa_private(data: bytes) -> KeyParts:
    numbers = der.integers(data, der.root(data))
    if len(numbers) != 6:
        raise Malformed("DSA private key has not six numbers")
    return dsa(*numbers[1:5])


def from_sec1(data: bytes, curve: str = "") -> KeyParts:
    """An ECPrivateKey; ``curve`` is the one that its wrapper names."""
    parts = list(der.children(data, der.root(data)))
    if len(parts) < 2 or der.integer(data, parts[0]) != 1:
        raise Malformed("EC private key without version and secret")
    secret, point = der.body(data, parts[1], der.OCTET_STRING), b""
    for part in parts[2:]:
        if part.tag == 0xA0:
            inner = der.node(data, part.body, part.end)
            curve = der.dotted(data[inner.body : inner.end]) if inner.tag == der.OID else curve
        elif part.tag == 0xA1:
            point = der.body(data, der.node(data, part.body, part.end), der.BIT_STRING)[1:]
    if not curve:
        return KeyParts(type="EC")
    return ec(curve, point or _derive_point(curve, secret))


def from_pkcs8(data: bytes) -> KeyParts:
    """A PrivateKeyInfo (not encrypted)."""
    parts = list(der.children(data, der.root(data)))
    if len(parts) < 3:
        raise Malformed("private key information is incomplete")
    oid, parameters = _algorithm(data, parts[1])
    key = der.body(data, parts[2], der.OCTET_STRING)
    if oid in {_RSA, _RSA_PSS}:
        return from_pkcs1(key)
    if oid == _EC:
        named = parameters and parameters[0].tag == der.OID
        return from_sec1(key, der.dotted(data[parameters[0].body : parameters[0].end]) if named else "")
    if oid == _DSA and parameters:
        domain = der.integers(data, parameters[0])
        secret = der.integer(key, der.root(key, der.INTEGER))
        if len(domain) != 3 or domain[0].bit_length() > 4096 or domain[0] <= 1 or not 0 < secret < domain[0]:
            raise Malformed("DSA key out of range")
        return dsa(domain[0], domain[1], domain[2], pow(domain[2], secret, domain[0]))
    if oid in _MODERN:
        return derive_modern(oid, der.body(key, der.root(key, der.OCTET_STRING), der.OCTET_STRING))
    return KeyParts(type="DH" if oid in _DH else oid)


def ssh_strings(blob: bytes, limit: int) -> tuple[list[bytes], int]:
    """Up to ``limit`` length-prefixed strings from the start of ``blob`` and where they end."""
    out: list[bytes] = []
    at = 0
    while len(out) < limit and at + 4 <= len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + size > len(blob):
            break
        out.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    return out, at


def from_ssh(blob: bytes) -> KeyParts:
    """A public key as SSH sends it, which is also how a Dropbear host key and an OpenSSH one begin."""
    fields, _ = ssh_strings(blob, 6)
    kind = fields[0] if fields else b""
    if kind == b"ssh-rsa" and len(fields) >= 3:
        return rsa(int.from_bytes(fields[2], "big"), int.from_bytes(fields[1], "big"))
    if kind == b"ssh-dss" and len(fields) >= 5:
        return dsa(*(int.from_bytes(f, "big") for f in fields[1:5]))
    if kind == b"ssh-ed25519" and len(fields) >= 2 and len(fields[1]) in {32, 64}:
        return modern("1.3.101.112", fields[1][-32:])  # Dropbear keeps secret and public half together
    if kind.startswith((b"ecdsa-sha2-nistp", b"sk-ecdsa-sha2-nistp")) and len(fields) >= 3 and fields[1] in _SSH_CURVES:
        return ec(_SSH_CURVES[fields[1]], fields[2])
    raise Malformed(f"SSH key of type {kind[:32]!r} is not read")


def from_openssh(body: bytes) -> KeyParts:
    """The public half of an ``OPENSSH PRIVATE KEY``, which is in clear even where the private half is encrypted."""
    magic = b"openssh-key-v1\0"
    if not body.startswith(magic):
        raise Malformed("OpenSSH key without its magic")
    rest = body[len(magic) :]
    fields, at = ssh_strings(rest, 3)
    if len(fields) != 3:
        raise Malformed("OpenSSH key cut short")
    blob, _ = ssh_strings(rest[at + 4 :], 1)
    parts = from_ssh(blob[0] if blob else b"")
    return KeyParts(
        type=parts.type, bits=parts.bits, curve=parts.curve, spki=parts.spki, encrypted=fields[0] != b"none"
    )
