"""Keys and certificates for the sample, the same on every machine and at every build.

No key is kept in the repository: each is derived from its name. They guard nothing, and everybody can derive them.
"""

from __future__ import annotations

import base64
import hashlib
import random
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

# Order of the group of NIST P-256, FIPS 186-5.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _seed(name: str) -> bytes:
    return hashlib.sha256(b"banbury sample key: " + name.encode()).digest()


def ed25519_key(name: str) -> ed25519.Ed25519PrivateKey:
    """The Ed25519 key of that name."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(_seed(name))


def p256_key(name: str) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of that name."""
    return ec.derive_private_key(int.from_bytes(_seed(name)) % (_P256_ORDER - 1) + 1, ec.SECP256R1())


def rsa_key(name: str, bits: int) -> rsa.RSAPrivateKey:
    """The RSA key of that name and size (bits of the modulus)."""
    source = random.Random(_seed(name))  # noqa: S311 - reproducible is what it must be
    exponent = 65537
    while True:
        p, q = _prime(source, bits // 2), _prime(source, bits // 2)
        if p != q and (p - 1) % exponent and (q - 1) % exponent:
            break
    d = pow(exponent, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(exponent, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key()


def _prime(source: random.Random, bits: int) -> int:
    while True:
        # The two highest bits make the product of two primes exactly twice as long.
        candidate = source.getrandbits(bits) | 3 << (bits - 2) | 1
        if all(candidate % small for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)) and _probable(
            candidate, source
        ):
            return candidate


def _probable(n: int, source: random.Random, rounds: int = 24) -> bool:
    """Miller-Rabin, FIPS 186-5 appendix B.3.1."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(rounds):
        x = pow(source.randrange(2, n - 1), odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def private_pem(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS #8 PEM (RFC 7468 section 10)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def traditional_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The same key in the older encoding of RFC 5915: other bytes, no other key."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def public_pem(key: PrivateKey) -> bytes:
    """The public half as PEM (RFC 7468 section 13)."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def dropbear_host_key(name: str) -> bytes:
    """The Ed25519 key of that name in dropbear's file format: two SSH strings (RFC 4251 section 5), the algorithm's
    name and the 32-byte seed with the public key."""
    key = ed25519_key(name)
    raw = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return b"".join(len(part).to_bytes(4) + part for part in (b"ssh-ed25519", raw))


def ssh_public_line(name: str) -> bytes:
    """The public key of that name as a line of an authorized_keys file (RFC 8709 section 4)."""
    raw = ed25519_key(name).public_key().public_bytes_raw()
    blob = b"".join(len(part).to_bytes(4) + part for part in (b"ssh-ed25519", raw))
    return b"ssh-ed25519 " + base64.b64encode(blob) + f" {name}@example.com\n".encode()


def certificate(common_name: str, key: PrivateKey, years: tuple[int, int], *, authority: bool = False) -> bytes:
    """A self-signed certificate in PEM, valid from 1 January of the first year to that of the second."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Networks"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(_seed(common_name)[:8]) | 1)
        .not_valid_before(datetime(years[0], 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(years[1], 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signed = builder.sign(key, None)
    elif isinstance(key, rsa.RSAPrivateKey):
        signed = builder.sign(key, hashes.SHA256())
    else:
        signed = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)  # RFC 6979
    return signed.public_bytes(serialization.Encoding.PEM)
