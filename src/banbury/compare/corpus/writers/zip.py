"""zip archives in control of both directories (PKWARE APPNOTE 6.3, 4.3), and the APK signing block between them."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence

from msgspec import Struct

from banbury.compare.corpus.writers.signed import Key, certificate


class Part(Struct, frozen=True, kw_only=True):
    """One member. ``mode``: type and permission bits of the external attributes; ``stamp``: DOS date and time.

    ``local``: the name that the local header has instead; ``crc``: instead of the right one; ``encoded``: the stored
    content, instead of the compressed one.
    """

    name: str
    data: bytes = b""
    mode: int = 0o100644
    stamp: int = 0x5A21_6000
    method: int = 8
    level: int = 6
    descriptor: bool = False
    extra: bytes = b""
    local_extra: bytes = b""
    comment: bytes = b""
    local: str = ""
    crc: int | None = None
    encoded: bytes | None = None
    flags: int = 0


def _stored(part: Part) -> bytes:
    if part.encoded is not None:
        return part.encoded
    if part.method == 0:
        return part.data
    engine = zlib.compressobj(part.level, zlib.DEFLATED, -15)
    return engine.compress(part.data) + engine.flush()


def write(
    parts: Sequence[Part],
    *,
    prefix: bytes = b"",
    gap: bytes = b"",
    block: bytes = b"",
    comment: bytes = b"",
    tail: bytes = b"",
    listed: Sequence[int] | None = None,
    shifted: bool = True,
) -> bytes:
    """An archive. ``prefix`` stands before it, ``gap`` before the second local header, ``block`` before the central
    directory, ``tail`` behind the end; ``listed``: the indexes that the central directory has, in its order."""
    out = bytearray(prefix)
    rows = []
    base = 0 if shifted else len(prefix)
    for index, part in enumerate(parts):
        if index == 1:
            out += gap
        raw, crc = _stored(part), zlib.crc32(part.data) if part.crc is None else part.crc
        flags = part.flags | (8 if part.descriptor else 0)
        name = (part.local or part.name).encode()
        at = len(out) - base
        stated = (0, 0, 0) if part.descriptor else (crc, len(raw), len(part.data))
        time, date = part.stamp & 0xFFFF, part.stamp >> 16
        out += struct.pack(
            "<4sHHHHHIIIHH", b"PK\3\4", 20, flags, part.method, time, date, *stated, len(name), len(part.local_extra)
        )
        out += name + part.local_extra + raw
        if part.descriptor:
            out += struct.pack("<4sIII", b"PK\7\x08", crc, len(raw), len(part.data))
        central = part.name.encode()
        rows.append(
            struct.pack(
                "<4sHHHHHHIIIHHHHHII",
                b"PK\1\2",
                0x0314,
                20,
                flags,
                part.method,
                time,
                date,
                crc,
                len(raw),
                len(part.data),
                len(central),
                len(part.extra),
                len(part.comment),
                0,
                0,
                part.mode << 16,
                at,
            )
            + central
            + part.extra
            + part.comment
        )
    out += block
    chosen = [rows[i] for i in (range(len(rows)) if listed is None else listed)]
    directory = b"".join(chosen)
    start = len(out) - base
    out += directory + struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, len(chosen), len(chosen), len(directory), start, len(comment)
    )
    return bytes(out + comment + tail)


def signing_block(pairs: Sequence[tuple[int, bytes]]) -> bytes:
    """An APK signing block of (id, value) pairs (Android, "APK Signature Scheme v2")."""
    body = b"".join(struct.pack("<QI", len(value) + 4, number) + value for number, value in pairs)
    size = len(body) + 8 + 16
    return struct.pack("<Q", size) + body + struct.pack("<Q", size) + b"APK Sig Block 42"


def scheme_v2(signer: Key, bare: bytes) -> bytes:
    """The value of scheme v2 for an archive without its block: RSA PKCS #1 v1.5 with SHA-256 (algorithm 0x0103)."""
    tail = len(bare) - 22
    (directory,) = struct.unpack_from("<I", bare, tail + 16)
    chunks = [
        piece[at : at + (1 << 20)]
        for piece in (bare[:directory], bare[directory:tail], bare[tail:])
        for at in range(0, len(piece), 1 << 20)
    ]
    each = b"".join(hashlib.sha256(b"\xa5" + struct.pack("<I", len(c)) + c).digest() for c in chunks)
    digest = hashlib.sha256(b"\x5a" + struct.pack("<I", len(chunks)) + each).digest()
    number = struct.pack("<I", 0x0103)
    data = _part(_part(number + _part(digest))) + _part(_part(certificate(signer))) + _part(b"")
    one = _part(data) + _part(_part(number + _part(signer.sign(data)))) + _part(bytes.fromhex(signer.public))
    return _part(_part(one))


def _part(raw: bytes) -> bytes:
    return struct.pack("<I", len(raw)) + raw
