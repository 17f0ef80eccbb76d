"""tar archives, written field by field."""

from __future__ import annotations

import struct

from tests.formats.case import Case

END = bytes(1024)


def header(
    name: bytes,
    size: int = 0,
    sort: bytes = b"0",
    *,
    link: bytes = b"",
    mode: int = 0o644,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    device: tuple[int, int] = (0, 0),
    size_field: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """One header block. ``tail`` replaces what stands from offset 345 on (the prefix, or GNU's fields)."""
    block = bytearray(
        struct.pack(
            "100s8s8s8s12s12s8s1s100s8s32s32s8s8s167s",
            name,
            b"%07o" % mode,
            b"%07o" % 1000,
            b"%07o" % 100,
            size_field or b"%011o" % size,
            b"%011o" % 1_400_000_000,
            b" " * 8,
            sort,
            link,
            magic,
            b"root",
            b"root",
            b"%07o" % device[0],
            b"%07o" % device[1],
            tail or prefix,
        )
    )
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", sort: bytes = b"0", **more: object) -> bytes:
    return header(name, len(data), sort, **more) + pad(data)  # type: ignore[arg-type]


def record(key: str, value: bytes) -> bytes:
    """One pax record: its own length, in decimal, stands before it."""
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def pax(records: dict[str, bytes], sort: bytes = b"x") -> bytes:
    return member(b"PaxHeaders/x", b"".join(record(k, v) for k, v in records.items()), sort)


def gnu(name: bytes, data: bytes = b"", sort: bytes = b"0", **more: object) -> bytes:
    return member(name, data, sort, magic=b"ustar  \0", **more)


def old_sparse() -> bytes:
    """Five bytes at 1024 and "end" at 70000, of 80000 bytes: the second piece in an extension block."""
    slots = struct.pack("12s12s", b"%011o" % 1024, b"%011o" % 5) + bytes(72)
    tail = bytes(41) + slots + b"\1" + b"%011o" % 80000 + b"\0"
    more = struct.pack("12s12s", b"%011o" % 70000, b"%011o" % 3) + bytes(488)
    return header(b"holes", 8, b"S", magic=b"ustar  \0", tail=tail) + more + pad(b"12345end")


SPARSE = bytes(1024) + b"12345" + bytes(70000 - 1029) + b"end" + bytes(80000 - 70003)
_MAP = b"2\n1024\n5\n70000\n3\n"


def pax_sparse(version: str) -> bytes:
    common = {"GNU.sparse.name": b"holes"}
    if version == "1.0":
        keys = {"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", **common, "GNU.sparse.realsize": b"80000"}
        return pax(keys) + member(b"GNUSparseFile.0/holes", pad(_MAP) + b"12345end")
    if version == "0.1":
        keys = {
            **common,
            "GNU.sparse.size": b"80000",
            "GNU.sparse.numblocks": b"2",
            "GNU.sparse.map": b"1024,5,70000,3",
        }
        return pax(keys) + member(b"GNUSparseFile.0/holes", b"12345end")
    body = record("GNU.sparse.size", b"80000") + record("GNU.sparse.numblocks", b"2")
    for offset, length in ((b"1024", b"5"), (b"70000", b"3")):
        body += record("GNU.sparse.offset", offset) + record("GNU.sparse.numbytes", length)
    return member(b"PaxHeaders/x", body, b"x") + member(b"holes", b"12345end")


def long_names() -> bytes:
    return (
        gnu(b"././@LongLink", b"d/" + b"n" * 200 + b"\0", b"L")
        + gnu(b"d/nnnn", b"gnu")
        + gnu(b"././@LongLink", b"d/" + b"n" * 200 + b"\0", b"K")
        + gnu(b"hard", sort=b"1", link=b"d/nnnn")
        + pax({"path": "d/ünï".encode(), "mtime": b"1400000000.25", "SCHILY.xattr.security.capability": b"\1\0\0\2"})
        + member(b"d/uni", b"pax")
        + member(b"name", b"ustar", prefix=b"a/prefix")
        + member(b"big", b"256", size_field=b"\x80" + bytes(10) + b"\3")
        + END
    )


def hostile() -> bytes:
    return (
        member(b"../../etc/passwd", b"root")
        + member(b"/etc/shadow", b"root")
        + member(b"out", sort=b"2", link=b"../outside")
        + member(b"out/through", b"link")
        + member(b"hda", sort=b"4", device=(3, 0))
        + member(b"same", b"1")
        + member(b"./same", b"2")
        + member(b"bad\xff", b"utf")
        + member(b"padded", b"1")[:-3]
        + b"xyz"
        + END
    )


def smuggle() -> bytes:
    """The extension says 1024 bytes and the header 0: some readers see ``smuggled`` as a member."""
    return pax({"size": b"1024"}) + header(b"outer", 0) + header(b"smuggled") + bytes(512) + END


_HOSTILE_NOTES = frozenset(("path-traversal", "link-escape", "device-node", "duplicate-name", "odd-name", "hidden"))


def lone_zero() -> bytes:
    return member(b"seen", b"1") + bytes(512) + member(b"unseen", b"2") + END


CASES = [
    Case(
        "tar",
        "positive",
        "long names in every dialect",
        long_names,
        {"d/" + "n" * 200: b"gnu", "hard": b"gnu", "d/ünï": b"pax", "a/prefix/name": b"ustar", "big": b"256"},
    ),
    Case(
        "tar", "positive", "old GNU sparse", lambda: old_sparse() + END, {"holes": SPARSE}, notes=frozenset({"sparse"})
    ),
    *(
        Case(
            "tar",
            "positive",
            f"sparse {version}",
            lambda v=version: pax_sparse(v) + member(b"next", b"1") + END,
            {"holes": SPARSE, "next": b"1"},
            notes=frozenset({"sparse"}),
        )
        for version in ("0.0", "0.1", "1.0")
    ),
    Case(
        "tar",
        "positive",
        "types",
        lambda: (
            member(b"dir/", sort=b"5", mode=0o1777)
            + member(b"dir/suid", b"x", mode=0o4755)
            + member(b"hard", sort=b"1", link=b"./dir/suid")
            + member(b"sym", sort=b"2", link=b"dir/suid")
            + member(b"dev/tty", sort=b"3", device=(5, 0))
            + member(b"fifo", sort=b"6")
            + member(b"contiguous", b"7", b"7")
            + END
            + bytes(2048)
        ),
        {"dir/suid": b"x", "hard": b"x", "contiguous": b"7"},
    ),
    Case(
        "tar",
        "positive",
        "global pax header",
        lambda: pax({"comment": b"0123abcd"}, b"g") + member(b"a", b"b") + END,
        {"a": b"b"},
    ),
    Case(
        "tar",
        "positive",
        "hostile names",
        hostile,
        {"../../etc/passwd": b"root", "etc/shadow": b"root", "same": b"1", "./same": b"2", "bad\\xff": b"utf"},
        notes=_HOSTILE_NOTES,
        read_share=0.8,
    ),
    Case(
        "tar",
        "positive",
        "two sizes",
        smuggle,
        {"outer": header(b"smuggled") + bytes(512)},
        notes=frozenset({"mismatch"}),
    ),
    Case(
        "tar", "positive", "a lone zero block", lone_zero, {"seen": b"1", "unseen": b"2"}, notes=frozenset({"hidden"})
    ),
    Case("tar", "negative", "wrong checksum", lambda: b"A" + member(b"name", b"data")[1:] + END),
    Case("tar", "negative", "magic alone", lambda: bytes(257) + b"ustar\x0000" + bytes(248)),
    Case("tar", "malformed", "no end", lambda: member(b"a", b"b"), notes=frozenset({"truncated"})),
    Case("tar", "malformed", "cut content", lambda: member(b"a", b"b" * 2000)[:1500], notes=frozenset({"truncated"})),
    Case(
        "tar",
        "malformed",
        "a sparse file of 1 TB",
        lambda: pax({"GNU.sparse.size": b"1%012d" % 0, "GNU.sparse.map": b"0,5"}) + member(b"bomb", b"12345") + END,
        notes=frozenset({"sparse", "malformed"}),
    ),
    Case(
        "tar",
        "malformed",
        "a hard link to nothing",
        lambda: member(b"a", sort=b"1", link=b"absent") + END,
        notes=frozenset({"malformed"}),
    ),
    Case(
        "tar",
        "malformed",
        "a pax record of no length",
        lambda: member(b"a", b"b") + member(b"x", b"0 path=b\n", b"x") + member(b"c") + END,
        notes=frozenset({"truncated"}),
    ),
    Case(
        "tar",
        "malformed",
        "a pax record without a space",
        lambda: member(b"a", b"b") + member(b"x", record("path", b"b") + b"7" * 600, b"x") + member(b"c") + END,
        notes=frozenset({"truncated"}),
    ),
    Case(
        "tar-v7",
        "positive",
        "files and directories",
        lambda: member(b"d/", sort=b"\0", magic=b"") + member(b"d/f", b"v7", sort=b"\0", magic=b"") + END,
        {"d/f": b"v7"},
    ),
    Case("tar-v7", "negative", "zeros", lambda: bytes(4096)),
    Case("tar-v7", "negative", "text", lambda: b"0000644 0001750 0000144 " * 99),
    Case(
        "tar-v7", "malformed", "cut", lambda: member(b"f", b"v7" * 999, magic=b"")[:700], notes=frozenset({"truncated"})
    ),
]
