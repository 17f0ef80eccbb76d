"""The signature that Linux appends to a kernel module.

Sources: Linux ``include/linux/module_signature.h`` (layout) and ``scripts/sign-file.c``; RFC 5652, section 5
(SignedData). The DER is walked by hand, a fixed way down: such a signature holds no certificate.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed

MAGIC: Final = b"~Module signature appended~\n"
_HASHES: Final = {
    bytes.fromhex("2b0e03021a"): "sha1",
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
    bytes.fromhex("608648016503040204"): "sha224",
    bytes.fromhex("608648016503040208"): "sha3-256",
    bytes.fromhex("608648016503040209"): "sha3-384",
    bytes.fromhex("60864801650304020a"): "sha3-512",
}
_OLD_HASHES: Final = ("md4", "md5", "sha1", "rmd160", "sha256", "sha384", "sha512", "sha224")
_COMMON_NAME: Final = bytes.fromhex("550403")


class Signature(Struct, frozen=True):
    """Where the signature stands (``start`` to the end of the file), and whose it says it is. Not verified."""

    start: int
    signer: str
    serial: str
    hash: str
    note: str = ""


def module_signature(view: View) -> Signature | None:
    """The appended signature, or ``None``. One whose own structure cannot be read has a ``note`` and no signer."""
    size = len(view)
    tail = len(MAGIC) + 12
    if size < tail or not view.startswith(MAGIC, size - len(MAGIC)):
        return None
    info = size - tail
    _, old_hash, id_type, signer_size, key_size = view.take(info, 5)
    length = view.u32(info + 8, big=True)
    start = info - length - signer_size - key_size
    if start < 0:
        return Signature(info, "", "", "", "the signature is stated to be longer than the file")
    if id_type == 1:
        signer = view.take(start, signer_size).decode("utf-8", "backslashreplace")
        key = view.take(start + signer_size, key_size).hex()
        return Signature(start, signer, key, _OLD_HASHES[old_hash] if old_hash < len(_OLD_HASHES) else "")
    if id_type != 2:
        return Signature(start, "", "", "", f"a signature of type {id_type}")
    try:
        return Signature(start, *_pkcs7(view.take(info - length, min(length, 1 << 16))))
    except (Malformed, IndexError, ValueError) as problem:
        return Signature(start, "", "", "", f"its PKCS #7 structure cannot be read: {problem}")


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """(tag, content's start, content's end) of the DER element at ``at``."""
    if at + 2 > len(der):
        raise Malformed("DER ends early", offset=at)
    tag, length, start = der[at], der[at + 1], at + 2
    if length >= 0x80:
        width = length & 0x7F
        length = int.from_bytes(der[start : start + width], "big")
        start += width
        if not 1 <= width <= 4:
            raise Malformed("a DER length of this form is not allowed", offset=at)
    if start + length > len(der):
        raise Malformed("a DER element runs out of its parent", offset=at)
    return tag, start, start + length


def _children(der: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    out: list[tuple[int, int, int]] = []
    while start < end and len(out) < 64:
        out.append(_element(der[:end], start))
        start = out[-1][2]
    return out


def _pkcs7(der: bytes) -> tuple[str, str, str]:
    """(common name of the issuer, serial number or key identifier in hex, hash) of the first SignerInfo."""
    _, start, end = _element(der, 0)
    content = _children(der, start, end)[1]  # [0] EXPLICIT SignedData
    _, start, end = _element(der, content[1])
    signers = _children(der, start, end)[-1]
    _, start, end = _element(der, signers[1])
    _, sid, digest = _children(der, start, end)[:3]
    hash_oid = _children(der, digest[1], digest[2])[0]
    hash_name = _HASHES.get(der[hash_oid[1] : hash_oid[2]], "")
    if sid[0] != 0x30:  # [0] SubjectKeyIdentifier
        return "", der[sid[1] : sid[2]].hex(), hash_name
    issuer, serial = _children(der, sid[1], sid[2])[:2]
    return _common_name(der, issuer), der[serial[1] : serial[2]].hex(), hash_name


def _common_name(der: bytes, name: tuple[int, int, int]) -> str:
    for _, start, end in _children(der, name[1], name[2]):
        for _, first, last in _children(der, start, end):
            kind, value = _children(der, first, last)[:2]
            if der[kind[1] : kind[2]] == _COMMON_NAME:
                return der[value[1] : value[2]].decode("utf-8", "backslashreplace")
    return ""
