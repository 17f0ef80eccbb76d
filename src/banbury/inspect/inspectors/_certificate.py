"""One X.509 certificate or request, in DER, as plain fields (RFC 5280, RFC 2986)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from banbury.inspect.inspectors import _der as der
from banbury.inspect.inspectors._keyparts import KeyParts, from_spki
from banbury.model.errors import Malformed
from banbury.model.facts import Tri

_SIGNATURES: Final = {
    "1.2.840.113549.1.1.2": "md2WithRSA",
    "1.2.840.113549.1.1.4": "md5WithRSA",
    "1.2.840.113549.1.1.5": "sha1WithRSA",
    "1.3.14.3.2.29": "sha1WithRSA",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.2.840.113549.1.1.11": "sha256WithRSA",
    "1.2.840.113549.1.1.12": "sha384WithRSA",
    "1.2.840.113549.1.1.13": "sha512WithRSA",
    "1.2.840.10040.4.3": "dsaWithSha1",
    "2.16.840.1.101.3.4.3.2": "dsaWithSha256",
    "1.2.840.10045.4.1": "ecdsaWithSha1",
    "1.2.840.10045.4.3.2": "ecdsaWithSha256",
    "1.2.840.10045.4.3.3": "ecdsaWithSha384",
    "1.2.840.10045.4.3.4": "ecdsaWithSha512",
    "1.3.101.112": "Ed25519",
}


class CertificateParts(Struct, frozen=True, kw_only=True):
    """What a certificate states. Times are ISO 8601, UTC; a field that could not be read is empty."""

    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    self_signed: Tri
    ca: Tri
    signature: str
    names: list[str]
    key: KeyParts
    sha256: str


def _key(data: bytes, spki: der.Node) -> KeyParts:
    try:
        return from_spki(data[spki.start : spki.end])
    except Malformed:
        return KeyParts(type="", spki=data[spki.start : spki.end])


def _frame(data: bytes, first: int) -> tuple[list[der.Node], der.Node]:
    """The fields of the signed part from its ``first`` on (after the optional version), and the algorithm."""
    whole = list(der.children(data, der.root(data)))
    if len(whole) != 3:
        raise Malformed("a signed structure has three parts")
    fields = list(der.children(data, der.expect(whole[0], der.SEQUENCE)))
    if fields and fields[0].tag == 0xA0:
        fields = fields[1:]
    if len(fields) < first:
        raise Malformed("a signed structure is incomplete")
    return fields, whole[1]


def _signature(data: bytes, algorithm: der.Node) -> str:
    oid = der.node(data, algorithm.body, algorithm.end)
    dotted = der.dotted(der.body(data, oid, der.OID))
    return _SIGNATURES.get(dotted, dotted)


def _refusals() -> tuple[type[Exception], ...]:
    """Everything that the library raises about certificates that it does not accept."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        OverflowError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    )


def _attempt(read: Callable[[], str]) -> str:
    """A text that the library reads lazily; it refuses some encodings that devices nevertheless ship."""
    try:
        return read()
    except _refusals():
        return ""


def _name(name: Any) -> str:
    return str(name.rfc4514_string())


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def certificate(data: bytes) -> CertificateParts:
    """The fields of one certificate; ``data`` is exactly it. Raises ``Malformed`` where its frame cannot be read."""
    from cryptography import x509

    fields, algorithm = _frame(data, 6)
    serial = der.integer(data, fields[0])
    issuer, subject, spki = fields[2], fields[4], fields[5]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of serial numbers that break RFC 5280: devices ship them
        try:
            lib = x509.load_der_x509_certificate(data)
        except _refusals() as problem:
            raise Malformed(f"certificate: {problem}") from problem
        return _parts(data, lib, serial, (issuer, subject, spki), algorithm)


def _parts(
    data: bytes, lib: Any, serial: int, fields: tuple[der.Node, der.Node, der.Node], algorithm: der.Node
) -> CertificateParts:
    issuer, subject, spki = fields
    self_issued = data[issuer.start : issuer.end] == data[subject.start : subject.end]
    return CertificateParts(
        subject=_attempt(lambda: _name(lib.subject)),
        issuer=_attempt(lambda: _name(lib.issuer)),
        serial=f"{serial:x}",
        not_before=_attempt(lambda: _time(lib.not_valid_before_utc)),
        not_after=_attempt(lambda: _time(lib.not_valid_after_utc)),
        self_signed=_self_signed(lib) if self_issued else Tri.NO,
        ca=_is_ca(lib),
        signature=_signature(data, algorithm),
        names=_names(lib),
        key=_key(data, spki),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _self_signed(lib: Any) -> Tri:
    from cryptography.exceptions import InvalidSignature

    try:
        lib.verify_directly_issued_by(lib)
    except InvalidSignature:
        return Tri.NO
    except _refusals():
        return Tri.UNKNOWN
    return Tri.YES


def _extension(lib: Any, kind: Any) -> Any:
    from cryptography import x509

    try:
        return lib.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_ca(lib: Any) -> Tri:
    """By basic constraints; a certificate of version 1 has none and may be used as a CA's all the same."""
    from cryptography import x509

    try:
        constraints = _extension(lib, x509.BasicConstraints)
        if constraints is not None:
            return Tri.YES if constraints.ca else Tri.NO
        version3 = lib.version is x509.Version.v3
    except _refusals():
        return Tri.UNKNOWN
    return Tri.NO if version3 else Tri.UNKNOWN


def _names(lib: Any) -> list[str]:
    from cryptography import x509

    try:
        names = _extension(lib, x509.SubjectAlternativeName)
    except _refusals():
        return []
    return [str(getattr(n, "value", ""))[:255] for n in list(names or [])[:20]]


def request(data: bytes) -> tuple[str, str, KeyParts]:
    """A certification request's subject, signature algorithm and key."""
    from cryptography import x509

    whole = list(der.children(data, der.root(data)))
    if len(whole) != 3:
        raise Malformed("a request has three parts")
    fields = list(der.children(data, der.expect(whole[0], der.SEQUENCE)))
    if len(fields) < 3:
        raise Malformed("a request is incomplete")
    try:
        lib = x509.load_der_x509_csr(data)
    except _refusals() as problem:
        raise Malformed(f"request: {problem}") from problem
    return _attempt(lambda: _name(lib.subject)), _signature(data, whole[1]), _key(data, fields[2])
