"""ar archives, written field by field."""

from __future__ import annotations

from tests.formats.case import Case

MAGIC = b"!<arch>\n"


def member(name: bytes, data: bytes, *, size: int | None = None) -> bytes:
    length = len(data) if size is None else size
    out = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, 1_400_000_000, 0, 0, 0o100644, length) + data
    return out + b"\n" * (len(out) & 1)


def deb() -> bytes:
    return (
        MAGIC
        + member(b"debian-binary", b"2.0\n")
        + member(b"control.tar.gz", b"control")
        + member(b"data.tar.gz", b"data!")
    )


CASES = [
    Case(
        "ar",
        "positive",
        "Debian package",
        deb,
        {"debian-binary": b"2.0\n", "control.tar.gz": b"control", "data.tar.gz": b"data!"},
    ),
    Case(
        "ar",
        "positive",
        "GNU names and symbols",
        lambda: (
            MAGIC
            + member(b"/", b"\0\0\0\0")
            + member(b"//", b"a_name_longer_than_sixteen.o/\nanother_of_them_again.o/\n")
            + member(b"/0", b"first")
            + member(b"/30", b"second")
            + member(b"short.o/", b"third")
        ),
        {"a_name_longer_than_sixteen.o": b"first", "another_of_them_again.o": b"second", "short.o": b"third"},
    ),
    Case(
        "ar",
        "positive",
        "BSD names",
        lambda: MAGIC + member(b"#1/20", b"a_long_bsd_name.o\0\0\0object") + member(b"plain.o", b"x"),
        {"a_long_bsd_name.o": b"object", "plain.o": b"x"},
    ),
    Case(
        "ar",
        "positive",
        "hostile names",
        lambda: MAGIC + member(b"#1/16", b"../../etc/passwdroot") + member(b"a/", b"1") + member(b"a/", b"2"),
        {"../../etc/passwd": b"root", "a": b"2"},
        notes=frozenset({"path-traversal", "duplicate-name"}),
    ),
    Case("ar", "negative", "text", lambda: b"!<arch> is the magic of ar\n" * 9),
    Case("ar", "malformed", "cut", lambda: deb()[:-3], notes=frozenset({"truncated"})),
    Case(
        "ar",
        "malformed",
        "a long name without its table",
        lambda: MAGIC + member(b"/99", b"x"),
        notes=frozenset({"malformed"}),
    ),
    Case(
        "ar",
        "malformed",
        "a huge size",
        lambda: MAGIC + member(b"a", b"xy", size=1 << 31),
        notes=frozenset({"truncated"}),
    ),
    Case(
        "ar",
        "malformed",
        "thin",
        lambda: b"!<thin>\n" + member(b"a.o/", b"", size=900),
        notes=frozenset({"unsupported"}),
    ),
]
