"""ZIP archives, written field by field."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from dataclasses import dataclass, field

import zstandard

from tests.formats.case import Case

TEXT = b"".join(b"line %d\n" % n for n in range(900))


def _deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def _lzma(data: bytes) -> bytes:
    alone = lzma.compress(data, lzma.FORMAT_ALONE, preset=0)
    return struct.pack("<BBH", 24, 1, 5) + alone[:5] + alone[13:]


PACK = {
    0: lambda data: data,
    8: _deflate,
    12: bz2.compress,
    14: _lzma,
    93: lambda data: zstandard.ZstdCompressor().compress(data),
    95: lzma.compress,
}


@dataclass
class Part:
    """One member. ``local`` overrides fields of the local header; ``flags`` bit 3 adds a data descriptor."""

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    local: dict[str, object] = field(default_factory=dict)
    listed: bool = True
    wide: bool = False
    extra: bytes = b""
    same_as: int = -1


def build(
    parts: list[Part], *, comment: bytes = b"", count: int | None = None, before: bytes = b"", gap: bytes = b""
) -> bytes:
    """An archive of ``parts``; offsets count from behind ``before``, ``gap`` stands before the directory."""
    body, offsets, listing = b"", [], b""
    for part in parts:
        packed = PACK.get(part.method, PACK[0])(part.data)
        crc, sizes = zlib.crc32(part.data), (len(packed), len(part.data))
        offset = offsets[part.same_as] if part.same_as >= 0 else len(body)
        offsets.append(offset)
        if part.same_as < 0:
            seen = {
                "name": part.name,
                "method": part.method,
                "crc": crc,
                "packed": sizes[0],
                "size": sizes[1],
            } | part.local
            if part.flags & 8:
                seen |= {"crc": 0, "packed": 0, "size": 0}
            values = (seen["crc"], seen["packed"], seen["size"], len(seen["name"]), len(part.extra))
            body += struct.pack("<4s5HIIIHH", b"PK\3\4", 20, part.flags, seen["method"], 0x6000, 0x44CE, *values)
            body += bytes(seen["name"]) + part.extra + packed
            if part.flags & 8:
                body += struct.pack("<4sIII", b"PK\7\x08", crc, *sizes)
        extra = part.extra
        fields = (*sizes, offset)
        if part.wide:
            extra += struct.pack("<HHQQQ", 1, 24, sizes[1], sizes[0], offset)
            fields = (0xFFFFFFFF,) * 3
        if part.listed:
            head = (
                20 | 3 << 8,
                20,
                part.flags,
                part.method,
                0x6000,
                0x44CE,
                crc,
                *fields[:2],
                len(part.name),
                len(extra),
                0,
            )
            listing += (
                struct.pack("<4s6HIIIHHHHHII", b"PK\1\2", *head, 0, 0, part.mode << 16, fields[2]) + part.name + extra
            )
    number = sum(p.listed for p in parts) if count is None else count
    body += gap
    end = b""
    stated = (number, number, len(listing), len(body))
    if any(p.wide for p in parts):
        at = len(body) + len(listing)
        end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, number, number, len(listing), len(body))
        end += struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
        stated = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    end += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, *stated, len(comment)) + comment
    return before + body + listing + end


def _overlap() -> bytes:
    """The second member's local header and content lie inside the stored content of the first."""
    inner = build([Part(b"inner", TEXT)])[: -(46 + 5 + 22)]
    archive = build([Part(b"outer", inner, method=0), Part(b"inner", TEXT, same_as=0)])
    at = archive.rindex(b"PK\1\2")
    return archive[: at + 42] + struct.pack("<I", 30 + 5) + archive[at + 46 :]


def two_ends() -> bytes:
    """The comment of one archive's end record holds another directory and end record, whose offsets count from the
    first byte too."""
    second = build([Part(b"b", b"2")])
    at = second.index(b"PK\1\2")
    local, listing, end = second[:at], second[at:-22], second[-22:]
    first = build([Part(b"a", TEXT)])
    base = len(first)
    comment = (
        local + listing[:42] + struct.pack("<I", base) + listing[46:] + end[:16] + struct.pack("<IH", base + at, 0)
    )
    return first[:-2] + struct.pack("<H", len(comment)) + comment


_ONE = [Part(b"a", TEXT)]

CASES = [
    *(
        Case("zip", "positive", f"method {m}", lambda m=m: build([Part(b"d/f", TEXT, method=m)]), {"d/f": TEXT})
        for m in PACK
    ),
    Case(
        "zip",
        "positive",
        "types and descriptors",
        lambda: build(
            [
                Part(b"dir/", method=0, mode=0o40755),
                Part(b"dir/suid", TEXT, flags=8, mode=0o104755),
                Part(b"link", b"dir/suid", method=0, mode=0o120777),
                Part(b"empty", method=0),
            ],
            comment=b"a release",
        ),
        {"dir/suid": TEXT, "empty": b""},
    ),
    Case(
        "zip",
        "positive",
        "ZIP64",
        lambda: build([Part(b"a", TEXT, wide=True), Part(b"b", b"2")]),
        {"a": TEXT, "b": b"2"},
    ),
    Case("zip", "positive", "empty", lambda: build([])),
    Case(
        "zip",
        "positive",
        "hostile names",
        lambda: build(
            [
                Part(b"../../etc/passwd", b"root"),
                Part(b"/abs", b"1"),
                Part(b"..\\..\\win", b"2"),
                Part(b"a", b"3"),
                Part(b"a", b"4"),
                Part(b"up", b"../..", method=0, mode=0o120777),
            ]
        ),
        {"../../etc/passwd": b"root", "abs": b"1", "a": b"4"},
        notes=frozenset({"path-traversal", "odd-name", "duplicate-name", "link-escape"}),
    ),
    Case(
        "zip",
        "positive",
        "local header of another name",
        lambda: build([Part(b"good.txt", TEXT, local={"name": b"evil.exe"})]),
        {"good.txt": TEXT},
        notes=frozenset({"mismatch"}),
    ),
    Case(
        "zip",
        "positive",
        "a member in no directory",
        lambda: build([Part(b"a", TEXT), Part(b"secret", b"hidden", listed=False), Part(b"b", b"2")]),
        {"a": TEXT, "secret": b"hidden", "b": b"2"},
        notes=frozenset({"hidden"}),
    ),
    Case(
        "zip",
        "positive",
        "bytes before the directory",
        lambda: build(_ONE, gap=b"payload"),
        {"a": TEXT},
        notes=frozenset({"hidden"}),
        read_share=0.95,
    ),
    Case(
        "zip",
        "positive",
        "encrypted",
        lambda: build([Part(b"a", TEXT, flags=1), Part(b"b", b"2")]),
        {"b": b"2"},
        notes=frozenset({"encrypted"}),
    ),
    Case(
        "zip",
        "positive",
        "two entries of one content",
        lambda: build([Part(b"a", TEXT), Part(b"b", TEXT, same_as=0, local={})]),
        {"a": TEXT, "b": TEXT},
        notes=frozenset({"overlap"}),
    ),
    Case("zip", "positive", "overlapping members", _overlap, {}, notes=frozenset({"overlap"})),
    Case(
        "zip",
        "positive",
        "an archive in the comment of another",
        two_ends,
        {"b": b"2"},
        notes=frozenset({"mismatch", "hidden"}),
        read_share=0.9,
    ),
    Case("zip", "negative", "text", lambda: b"PK\3\4 is the magic of ZIP\n" * 9),
    Case("zip", "negative", "a lone end record far away", lambda: b"PK\3\4" + bytes(100) + build([])),
    Case(
        "zip",
        "malformed",
        "cut",
        lambda: build([Part(b"a", TEXT), Part(b"b", TEXT)])[:-90],
        notes=frozenset({"truncated"}),
    ),
    Case("zip", "malformed", "wrong count", lambda: build(_ONE, count=7), notes=frozenset({"mismatch"})),
    Case(
        "zip",
        "malformed",
        "wrong CRC-32",
        lambda: build(_ONE).replace(struct.pack("<I", zlib.crc32(TEXT)), b"\1\2\3\4"),
        notes=frozenset({"checksum"}),
    ),
    Case(
        "zip",
        "malformed",
        "no local header",
        lambda: build([Part(b"x", b"1"), *_ONE]).replace(b"PK\3\4", b"PK\3\5", 2).replace(b"PK\3\5", b"PK\3\4", 1),
        notes=frozenset({"malformed"}),
    ),
    Case(
        "zip",
        "malformed",
        "unknown method",
        lambda: build([Part(b"a", TEXT, method=6)]),
        notes=frozenset({"unsupported"}),
    ),
]
