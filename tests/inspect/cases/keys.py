"""Samples of keys and certificates, made once with fixed seeds where the library allows it."""

from __future__ import annotations

import base64
import datetime
import hashlib
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from tests.inspect.case import Case

EC_KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def fingerprint(key: Any) -> str:
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    data = key.private_bytes(Encoding.PEM, form, encryption)
    assert isinstance(data, bytes)
    return data


@cache
def certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "router.example")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(EC_KEY.public_key())
        .serial_number(0x1234)
        .not_valid_before(datetime.datetime(2014, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2034, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("router.example")]), critical=False)
        .sign(EC_KEY, hashes.SHA256())
    )


def ssh_string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def armoured(label: str, body: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.b64encode(body).decode()}\n-----END {label}-----\n".encode()


def dropbear_ed25519() -> bytes:
    public = ED_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return ssh_string(b"ssh-ed25519") + ssh_string(bytes(range(32)) + public)


def dropbear_ecdsa() -> bytes:
    point = EC_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return ssh_string(b"ecdsa-sha2-nistp256") + ssh_string(b"nistp256") + ssh_string(point) + ssh_string(b"\x12" * 8)


def authorized_key() -> bytes:
    line = ED_KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return b'# admins\nfrom="10.0.0.1" ' + line + b" vendor@factory\n"


def wireguard() -> bytes:
    return b"[Interface]\nPrivateKey = " + base64.b64encode(bytes(range(32))) + b"\n"


_FP = fingerprint(EC_KEY)
_ELF = b"\x7fELF" + bytes(200)

CASES = [
    Case(
        "keys",
        "positive",
        "PKCS#8 and public key of one pair",
        lambda: pem(EC_KEY) + EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        expect=[
            {"fact": "key.private", "format": "PKCS#8", "type": "EC", "bits": 256, "fingerprint": _FP, "parsed": True},
            {"fact": "key.public", "fingerprint": _FP, "curve": "P-256"},
        ],
    ),
    Case(
        "keys",
        "positive",
        "SEC1 with Windows line ends",
        lambda: pem(EC_KEY, PrivateFormat.TraditionalOpenSSL).replace(b"\n", b"\r\n"),
        expect=[{"format": "SEC1", "fingerprint": _FP, "encrypted": "no", "text": "-----BEGIN EC PRIVATE KEY-----"}],
    ),
    Case(
        "keys",
        "positive",
        "encrypted",
        lambda: pem(EC_KEY, PrivateFormat.PKCS8, b"secret") + pem(ED_KEY, PrivateFormat.OpenSSH),
        expect=[
            {"format": "PKCS#8", "encrypted": "yes", "fingerprint": ""},
            {"format": "OpenSSH", "type": "Ed25519", "encrypted": "no", "fingerprint": fingerprint(ED_KEY)},
        ],
    ),
    Case(
        "keys",
        "positive",
        "certificate, PEM in a program's source",
        lambda: b'x = "' + certificate().public_bytes(Encoding.PEM).replace(b"\n", b"\\n") + b'";',
        expect=[
            {
                "fact": "key.certificate",
                "subject": "CN=router.example",
                "serial": "1234",
                "not_after": "2034-01-01T00:00:00Z",
                "self_signed": "yes",
                "ca": "yes",
                "signature": "ecdsaWithSha256",
                "names": ["router.example"],
                "fingerprint": _FP,
            }
        ],
    ),
    Case(
        "keys",
        "positive",
        "DER inside a binary",
        lambda: (
            _ELF
            + certificate().public_bytes(Encoding.DER)
            + EC_KEY.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
            + bytes(9)
        ),
        expect=[
            {"fact": "key.certificate", "format": "DER", "fingerprint": _FP, "container": "elf"},
            {"fact": "key.private", "format": "SEC1", "fingerprint": _FP},
        ],
    ),
    Case(
        "keys",
        "positive",
        "request",
        lambda: (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "r")]))
            .sign(EC_KEY, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        ),
        expect=[{"fact": "key.request", "subject": "CN=r", "fingerprint": _FP}],
    ),
    Case(
        "keys",
        "positive",
        "Dropbear Ed25519",
        dropbear_ed25519,
        path="etc/dropbear/dropbear_ed25519_host_key",
        expect=[{"fact": "key.private", "format": "Dropbear", "fingerprint": fingerprint(ED_KEY)}],
    ),
    Case(
        "keys",
        "positive",
        "Dropbear ECDSA",
        dropbear_ecdsa,
        expect=[{"format": "Dropbear", "type": "EC", "bits": 256, "fingerprint": _FP}],
    ),
    Case(
        "keys",
        "positive",
        "authorized_keys",
        authorized_key,
        expect=[
            {
                "fact": "key.public",
                "format": "OpenSSH",
                "fingerprint": fingerprint(ED_KEY),
                "comment": "vendor@factory",
                "before": 'from="10.0.0.1"',
            }
        ],
    ),
    Case(
        "keys",
        "positive",
        "WireGuard",
        wireguard,
        expect=[{"fact": "key.private", "format": "WireGuard", "parsed": True, "text": "PrivateKey ="}],
    ),
    Case(
        "keys",
        "positive",
        "OpenVPN static key",
        lambda: (
            b"-----BEGIN OpenVPN Static key V1-----\n"
            + b"\n".join([b"0123456789abcdef" * 2] * 16)
            + b"\n-----END OpenVPN Static key V1-----\n"
        ),
        expect=[{"fact": "key.symmetric", "bits": 2048, "parsed": True}],
    ),
    Case(
        "keys",
        "positive",
        "Java key store",
        lambda: b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\3" + bytes(64),
        expect=[{"fact": "key.store", "format": "JKS", "entries": 3}],
    ),
    Case(
        "keys",
        "negative",
        "labels in a library",
        lambda: _ELF + b"-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0-----BEGIN CERTIFICATE-----\0",
    ),
    Case(
        "keys",
        "negative",
        "placeholder",
        lambda: b"# paste here:\n-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n",
    ),
    Case(
        "keys",
        "malformed",
        "body cut short",
        lambda: pem(EC_KEY)[:120],
        never=[{"parsed": True}],
    ),
    Case(
        "keys",
        "malformed",
        "body of noise",
        lambda: (
            b"-----BEGIN RSA PRIVATE KEY-----\n"
            + base64.b64encode(bytes(range(200)))
            + b"\n-----END RSA PRIVATE KEY-----\n"
        ),
        never=[{"parsed": True}, {"encrypted": "no"}],
    ),
    Case(
        "keys",
        "malformed",
        "curve without a proper identifier",
        lambda: armoured(
            "PUBLIC KEY",
            EC_KEY.public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            .replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("0608ffffffffffffffff")),
        ),
        never=[{"parsed": True}],
    ),
]
