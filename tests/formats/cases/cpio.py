"""cpio archives, written field by field."""

from __future__ import annotations

import struct

from tests.formats.case import Case

FILE, DIR, LINK, CHAR = 0o100644, 0o040755, 0o120777, 0o020600


def newc(
    name: bytes,
    data: bytes = b"",
    *,
    mode: int = FILE,
    ino: int = 1,
    nlink: int = 1,
    rdev: tuple[int, int] = (0, 0),
    magic: bytes = b"070701",
    check: int = 0,
    size: int | None = None,
) -> bytes:
    """One record of the newc form (070701) or, with ``magic``, of the crc form."""
    length = len(data) if size is None else size
    values = (ino, mode, 0, 0, nlink, 1_400_000_000, length, 8, 1, *rdev, len(name) + 1, check)
    out = magic + b"".join(b"%08X" % v for v in values) + name + b"\0"
    out += bytes(-len(out) % 4) + data
    return out + bytes(-len(out) % 4)


def crc(name: bytes, data: bytes) -> bytes:
    return newc(name, data, magic=b"070702", check=sum(data))


def odc(name: bytes, data: bytes = b"", mode: int = FILE) -> bytes:
    head = b"070707" + b"".join(b"%06o" % v for v in (1, 2, mode, 0, 0, 1, 0))
    return head + b"%011o%06o%011o" % (1_400_000_000, len(name) + 1, len(data)) + name + b"\0" + data


def binary(name: bytes, data: bytes = b"", mode: int = FILE, order: str = "<") -> bytes:
    time, size = 1_400_000_000, len(data)
    values = (0o070707, 1, 2, mode, 0, 0, 1, 0, time >> 16, time & 0xFFFF, len(name) + 1, size >> 16, size & 0xFFFF)
    out = struct.pack(order + "13H", *values) + name + b"\0"
    out += bytes(len(out) & 1) + data
    return out + bytes(len(out) & 1)


END = newc(b"TRAILER!!!", mode=0)


def _pad(archive: bytes) -> bytes:
    return archive + bytes(-len(archive) % 512)


def initramfs() -> bytes:
    return _pad(
        newc(b".", mode=DIR)
        + newc(b"bin", mode=DIR)
        + newc(b"bin/busybox", mode=0o104755, ino=7, nlink=3)
        + newc(b"bin/sh", ino=7, nlink=3, mode=0o104755)
        + newc(b"bin/ash", b"\x7fELF and so on", ino=7, nlink=3, mode=0o104755)
        + newc(b"dev/console", mode=CHAR, rdev=(5, 1))
        + newc(b"init", b"/bin/sh", mode=LINK)
        + newc(b"empty")
        + END
    )


def two_archives() -> bytes:
    return _pad(newc(b"kernel/x86/microcode/GenuineIntel.bin", b"microcode") + END) + _pad(newc(b"init", b"#!") + END)


def hostile() -> bytes:
    return _pad(
        newc(b"../../etc/passwd", b"root::0:0")
        + newc(b"/etc/shadow", b"root::")
        + newc(b"x/sda", mode=CHAR, rdev=(8, 0))
        + newc(b"up", b"../../..", mode=LINK)
        + newc(b"a", b"b", mode=LINK)
        + newc(b"b", b"a", mode=LINK)
        + newc(b"twice", b"1")
        + newc(b"twice", b"2")
        + newc(b"bell\x07", b"ding")
        + newc(b"dir", b"payload", mode=DIR)
        + END
    )


_BASH = {"bin/ash": b"\x7fELF and so on", "bin/sh": b"\x7fELF and so on", "bin/busybox": b"\x7fELF and so on"}
_TRAVERSAL = {"../../etc/passwd": b"root::0:0", "etc/shadow": b"root::", "bell\\x07": b"ding", "twice": b"2"}
_HOSTILE = frozenset(
    ("path-traversal", "device-node", "link-escape", "link-loop", "duplicate-name", "odd-name", "hidden")
)

CASES = [
    Case("cpio", "positive", "initramfs with hard links", initramfs, {**_BASH, "empty": b""}),
    Case(
        "cpio",
        "positive",
        "two archives in a row",
        two_archives,
        {"kernel/x86/microcode/GenuineIntel.bin": b"microcode", "init": b"#!"},
    ),
    Case("cpio", "positive", "hostile names", hostile, _TRAVERSAL, notes=_HOSTILE, read_share=0.99),
    Case("cpio", "positive", "odc", lambda: odc(b"a/b", b"text") + odc(b"TRAILER!!!", mode=0), {"a/b": b"text"}),
    Case("cpio", "positive", "crc", lambda: crc(b"a", b"text\xff") + crc(b"TRAILER!!!", b""), {"a": b"text\xff"}),
    Case("cpio", "negative", "magic in text", lambda: b"070701 is the magic of newc, 070707 that of odc" * 9),
    Case("cpio", "negative", "no file type", lambda: newc(b"a", b"b", mode=0o150644) + END),
    Case("cpio", "malformed", "no trailer", lambda: newc(b"a", b"1234") + newc(b"b"), notes=frozenset({"truncated"})),
    Case("cpio", "malformed", "cut content", lambda: newc(b"a", b"x" * 999)[:500], notes=frozenset({"truncated"})),
    Case(
        "cpio",
        "malformed",
        "a size of 4 GiB",
        lambda: newc(b"a", b"x" * 999, size=0xFFFFFFFF) + END,
        notes=frozenset({"truncated"}),
    ),
    Case(
        "cpio",
        "malformed",
        "wrong sum",
        lambda: newc(b"a", b"b", magic=b"070702", check=1) + END,
        notes=frozenset({"checksum"}),
    ),
    *(
        Case(
            "cpio-binary",
            "positive",
            f"order {order}",
            lambda o=order: b"".join(
                binary(*record, order=o)
                for record in ((b"d", b"", DIR), (b"d/odd", b"123"), (b"d/even", b"1234"), (b"TRAILER!!!", b"", 0))
            ),
            {"d/odd": b"123", "d/even": b"1234"},
        )
        for order in "<>"
    ),
    Case("cpio-binary", "negative", "magic and noise", lambda: b"\xc7\x71" + bytes(range(256))),
    Case(
        "cpio-binary",
        "malformed",
        "no trailer",
        lambda: b"".join(binary(b"f%d" % n, b"data") for n in range(5)),
        notes=frozenset({"truncated"}),
    ),
]
