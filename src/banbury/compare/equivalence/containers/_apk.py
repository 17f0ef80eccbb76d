"""The signing block of an Android package: verified over its own archive with keys that the build record declares.

Every byte of the block is a size, a signature that verifies, what it is over, or zero padding. Blocks of other kinds
(stamps of a shop, notes of build tools) are refused.

Sources: Android, "APK Signature Scheme v2" and "v3" (source.android.com); AOSP ``apksig``, ``ApkSigningBlockUtils``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

MAGIC: Final = b"APK Sig Block 42"
_WHERE: Final = "APK signing block"
_PADDING: Final = 0x42726577
_SCHEMES: Final = {0x7109871A: 2, 0xF05368C0: 3, 0x1B93AD61: 3}
#: Algorithm: (digest, "pss", "pkcs1" or "ecdsa")
_ALGORITHMS: Final = {
    0x0101: ("sha256", "pss"), 0x0102: ("sha512", "pss"), 0x0103: ("sha256", "pkcs1"), 0x0104: ("sha512", "pkcs1"),
    0x0201: ("sha256", "ecdsa"), 0x0202: ("sha512", "ecdsa"),
}  # fmt: skip
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {"sha256": hashes.SHA256(), "sha512": hashes.SHA512()}
_CHUNK: Final = 1 << 20
_PAGE: Final = 4096
_MOST: Final = 10  # signers, signatures


def block_start(view: View, start: int, end: int) -> int:
    """Where the signing block begins in the bytes between the members and the central directory; -1 where they are not
    one block, or zeros up to a multiple of 4096 and one block."""
    if end - start < 32 or not view.startswith(MAGIC, end - 16):
        return -1
    at = end - 8 - view.u64(end - 24)
    if not start <= at <= end - 32 or view.u64(at) != end - at - 8:
        return -1
    if at == start or (
        at - start < _PAGE and at % _PAGE == 0 and view.run(start, at) == at - start and not view.u8(start)
    ):
        return at
    return -1


def verify(view: View, start: int, end: int, keys: list[str]) -> None:
    """Refuse a block of which not every byte is accounted for and signed with a declared key."""
    seen: set[int] = set()
    counted: dict[str, bytes] = {}
    at = start + 8
    while at < end - 24:
        size, number = view.u64(at), view.u32(at + 8)
        if not 4 <= size <= end - 24 - at - 8 or number in seen:
            raise _odd("its parts do not fill it, or one occurs twice", at, end)
        seen.add(number)
        value = view.take(at + 12, size - 4)
        if number in _SCHEMES:
            _scheme(view, value, _SCHEMES[number], (start, end), keys, counted)
        elif number != _PADDING or value.strip(b"\0"):
            raise _odd(f"a part that is not decided ({number:#x})", at, at + 8 + size)
        at += 8 + size
    if not seen & _SCHEMES.keys():
        raise _odd("it holds no signature", start, end)


def _odd(why: str, start: int, end: int) -> Refused:
    return Refused(_WHERE, why, [Range(start, end)])


class _Run:
    """A run of bytes that is taken part by part."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.raw):
            raise Refused(_WHERE, "a part is longer than what holds it")
        self.at += size
        return self.raw[self.at - size : self.at]

    def part(self) -> _Run:
        return _Run(self.take(self.number()))

    def parts(self) -> Iterator[_Run]:
        """The parts of a list that fills the run."""
        count = 0
        while self.at < len(self.raw):
            yield self.part()
            count += 1
            if count > _MOST:
                raise Refused(_WHERE, f"more than {_MOST} of one kind")

    def end(self) -> None:
        if self.at != len(self.raw):
            raise Refused(_WHERE, "a part holds more than it should")


def _scheme(
    view: View, value: bytes, scheme: int, block: tuple[int, int], keys: list[str], counted: dict[str, bytes]
) -> None:
    outer = _Run(value)
    signers = list(outer.part().parts())
    outer.end()
    if not signers:
        raise Refused(_WHERE, "it has no signer")
    for signer in signers:
        _signer(view, signer, scheme, block, keys, counted)


def _signer(
    view: View, signer: _Run, scheme: int, block: tuple[int, int], keys: list[str], counted: dict[str, bytes]
) -> None:
    """Check one signer: its key is declared, its signatures verify, and they are over this archive."""
    data = signer.part().raw
    versions = signer.take(8) if scheme == 3 else b""
    signatures = {}
    for one in signer.part().parts():
        algorithm = one.number()
        if algorithm in signatures:
            raise Refused(_WHERE, "two signatures of one algorithm")
        signatures[algorithm] = one.part().raw
        one.end()
    key = signer.part().raw
    signer.end()
    if key.hex() not in {k.lower() for k in keys}:
        raise Refused(_WHERE, "no key that its build record declares made it")
    inner = _Run(data)
    digests = {}
    for one in inner.part().parts():
        algorithm = one.number()
        if algorithm in digests:
            raise Refused(_WHERE, "two digests of one algorithm")
        digests[algorithm] = one.part().raw
    inner.part()  # certificates: signed, like all that follows
    if scheme == 3 and inner.take(8) != versions:
        raise Refused(_WHERE, "states two ranges of versions of Android")
    if not signatures or signatures.keys() != digests.keys() or signatures.keys() - _ALGORITHMS.keys():
        raise Refused(_WHERE, "algorithms that are not decided, or that its digests do not have")
    for algorithm, signature in signatures.items():
        name, sort = _ALGORITHMS[algorithm]
        if not _made_by(key, signature, data, name, sort):
            raise Refused(_WHERE, "a signature does not verify")
        if name not in counted:
            counted[name] = contents(view, *block, name)
        if digests[algorithm] != counted[name]:
            raise Refused(_WHERE, "it is of another archive")


def _made_by(raw: bytes, signature: bytes, data: bytes, name: str, sort: str) -> bool:
    digest = _HASHES[name]
    try:
        key = serialization.load_der_public_key(raw)
        if isinstance(key, rsa.RSAPublicKey) and sort == "pss":
            key.verify(signature, data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        elif isinstance(key, rsa.RSAPublicKey) and sort == "pkcs1":
            key.verify(signature, data, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and sort == "ecdsa":
            key.verify(signature, data, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def contents(view: View, start: int, end: int, name: str) -> bytes:
    """The digest of an archive without its block: of its members, its directory, and its end as it was without one."""
    tail = len(view) - 22
    last = bytearray(view.take(tail, 22))
    struct.pack_into("<I", last, 16, start)
    found = []
    for piece in (view.mem(0, start), view.mem(end, tail - end), memoryview(last)):
        for at in range(0, len(piece), _CHUNK):
            chunk = piece[at : at + _CHUNK]
            counted = hashlib.new(name, b"\xa5" + struct.pack("<I", len(chunk)))
            counted.update(chunk)
            found.append(counted.digest())
    return hashlib.new(name, b"\x5a" + struct.pack("<I", len(found)) + b"".join(found)).digest()
