"""The facts about keys and certificates. A private key's body stands in none of them."""

from __future__ import annotations

from msgspec import field

from banbury.model.facts import Fact, Tri


class PrivateKey(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="key.private"):
    """A private key. ``format`` is its encoding (PKCS#1, PKCS#8, SEC1, DSA, OpenSSH, Dropbear, OpenPGP, WireGuard);
    ``fingerprint`` the SHA-256 of its public half's SubjectPublicKeyInfo, "" where that is not to be had;
    ``container`` the kind of file it lies in. ``parsed`` is false where its body could not be read."""

    format: str
    type: str = ""
    bits: int = 0
    curve: str = ""
    fingerprint: str = ""
    encrypted: Tri = Tri.UNKNOWN
    parsed: bool
    why: str = ""
    container: str = ""


class PublicKey(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="key.public"):
    """A public key: PEM, DER, OpenSSH line, signify or OpenPGP. ``comment`` is what follows it on its line,
    ``before`` what precedes it there (a host's name in known_hosts, options in authorized_keys)."""

    format: str
    type: str = ""
    bits: int = 0
    curve: str = ""
    fingerprint: str = ""
    ssh_fingerprint: str = ""
    comment: str = ""
    before: str = ""
    parsed: bool
    why: str = ""
    container: str = ""


class Certificate(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="key.certificate"):
    """An X.509 certificate. ``sha256`` is that of its DER, ``fingerprint`` that of its SubjectPublicKeyInfo."""

    format: str
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    not_before: str = ""
    not_after: str = ""
    self_signed: Tri = Tri.UNKNOWN
    ca: Tri = Tri.UNKNOWN
    signature: str = ""
    names: list[str] = field(default_factory=list)
    key_type: str = ""
    bits: int = 0
    curve: str = ""
    fingerprint: str = ""
    sha256: str = ""
    parsed: bool
    why: str = ""
    container: str = ""


class CertificateRequest(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="key.request"):
    """A certification request (PKCS #10)."""

    format: str
    subject: str = ""
    signature: str = ""
    key_type: str = ""
    bits: int = 0
    fingerprint: str = ""
    parsed: bool
    why: str = ""
    container: str = ""


class Parameters(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="key.parameters"):
    """Diffie-Hellman parameters; ``bits`` is the size of the prime, ``sha256`` that of their DER."""

    bits: int = 0
    sha256: str = ""
    parsed: bool
    container: str = ""


class SymmetricKey(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="key.symmetric"):
    """A static key shared by both ends (OpenVPN); ``sha256`` is that of its bytes."""

    format: str
    bits: int = 0
    sha256: str = ""
    parsed: bool
    container: str = ""


class KeyStore(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="key.store"):
    """A file that holds keys under a password of its own: PKCS#12, JKS, JCEKS. ``entries`` is -1 where unknown."""

    format: str
    entries: int = -1


class Unread(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="key.unread"):
    """The search for keys stopped at ``at`` because a limit was reached."""

    why: str
