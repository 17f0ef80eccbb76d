"""zip archives."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import Made, Recipe, attack, harmless
from banbury.compare.corpus.trees import text
from banbury.compare.corpus.writers.zip import Part, write

EVIL = b"import os; os.system('nc -l -p 4444')\n"
CODE = b"\xca\xfe\xba\xbe" + text(2_000, "class")
LATER = 0x5B42_7000
_SAME = frozenset[str]()


def _parts() -> list[Part]:
    return [
        Part(name="gate/config.xml", data=b"<gate><port>443</port></gate>\n"),
        Part(name="gate/run.sh", data=b"#!/bin/sh\nexec gate\n", mode=0o100755),
        Part(name="gate/data.bin", data=text(5_000, "zip")),
    ]


def _later(parts: Sequence[Part]) -> list[Part]:
    return [but(part, stamp=LATER) for part in parts]


def but(part: Part, **more: Any) -> Part:
    fields = {name: getattr(part, name) for name in Part.__struct_fields__}
    return Part(**{**fields, **more})


def _with(index: int, **more: Any) -> list[Part]:
    parts = _later(_parts())
    parts[index] = but(parts[index], **more)
    return parts


def _zip(b: bytes, changes: frozenset[str] | None = _SAME, good: bool = True) -> Made:
    return Made(a=write(_parts()), b=b, base=write(_later(_parts())), changes=changes, well_formed=good)


def _zip_attacks() -> Iterator[tuple[str, str, str, Made]]:
    script = "gate/run.sh"
    evil = _parts()[1].data.replace(b"gate", b"evil")
    yield (
        "content",
        "content",
        "A script runs another program.",
        _zip(write(_with(1, data=evil)), frozenset({f"{script}:content"})),
    )
    yield (
        "mode",
        "attribute",
        "A script is setuid.",
        _zip(write(_with(1, mode=0o104755)), frozenset({f"{script}:mode"})),
    )
    yield (
        "link",
        "attribute",
        "A text became a symbolic link.",
        _zip(write(_with(0, mode=0o120777, data=b"/etc/shadow", method=0)), None),
    )
    more = Part(name="gate/extra.sh", data=EVIL, stamp=LATER, mode=0o100755)
    yield (
        "extra",
        "extra-member",
        "One more script.",
        _zip(write([*_later(_parts()), more]), frozenset({"gate/extra.sh:+"})),
    )
    again = Part(name=script, data=EVIL, stamp=LATER, mode=0o100755)
    yield (
        "duplicate",
        "extra-member",
        "A second member of the same name.",
        _zip(write([*_later(_parts()), again]), None),
    )
    unlisted = [*_later(_parts()), more]
    yield (
        "unlisted",
        "mismatch",
        "The central directory does not list a member that streaming readers unpack.",
        _zip(write(unlisted, listed=(0, 1, 2)), None),
    )
    yield (
        "name-mismatch",
        "mismatch",
        "The local header has another name than the central directory.",
        _zip(write(_with(1, local="gate/rc.d")), None),
    )
    yield (
        "method-mismatch",
        "mismatch",
        "The content was packed with bytes behind the end of its stream.",
        _zip(write(_with(1, encoded=_packed(_parts()[1].data) + EVIL)), None),
    )
    yield "crc", "checksum", "A member's checksum is wrong.", _zip(write(_with(2, crc=1)), None, good=False)
    yield (
        "prefix",
        "hidden-space",
        "Bytes stand before the archive, as in a self-extracting one.",
        _zip(write(_later(_parts()), prefix=b"#!/bin/sh\n" + EVIL), None),
    )
    yield "gap", "hidden-space", "Bytes stand between members.", _zip(write(_later(_parts()), gap=EVIL), None)
    yield (
        "before-directory",
        "hidden-space",
        "Bytes stand before the central directory.",
        _zip(write(_later(_parts()), block=EVIL), None),
    )
    yield "comment", "hidden-space", "The archive has a comment.", _zip(write(_later(_parts()), comment=EVIL))
    yield "member-comment", "hidden-space", "A member has a comment.", _zip(write(_with(0, comment=EVIL)))
    unknown = struct.pack("<HH", 0xBEEF, len(EVIL)) + EVIL
    yield (
        "extra-field",
        "hidden-space",
        "A member has an extra field that nothing reads.",
        _zip(write(_with(0, extra=unknown, local_extra=unknown))),
    )
    yield (
        "trailing",
        "trailing",
        "Bytes stand behind the archive.",
        _zip(write(_later(_parts()), tail=EVIL), None, good=False),
    )
    path = b"gate/rc.d"
    body = struct.pack("<BI", 1, zlib.crc32(b"gate/run.sh")) + path
    renamed = struct.pack("<HH", 0x7075, len(body)) + body
    yield (
        "unicode-name",
        "mismatch",
        "An extra field gives the member another name, which some readers use.",
        _zip(write(_with(1, extra=renamed)), None),
    )
    yield (
        "climb",
        "extra-member",
        "A name climbs out of the folder.",
        _zip(write([*_later(_parts()), but(more, name="../../etc/cron.d/x")]), frozenset({"../../etc/cron.d/x:+"})),
    )
    yield (
        "encrypted",
        "header",
        "A member is marked as encrypted: readers skip it.",
        _zip(write(_with(2, flags=1)), None, good=False),
    )


def _packed(data: bytes) -> bytes:
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def _zip_same() -> Iterator[tuple[str, str, str, bytes]]:
    parts = _parts()
    yield "time", "clock", "Members have other times.", write(_later(parts))
    yield "order", "order", "Members stand in another order.", write(parts[::-1])
    yield "level", "compression", "Compressed at another level.", write([but(p, level=1) for p in parts])
    yield "stored", "compression", "Not compressed.", write([but(p, method=0) for p in parts])
    yield (
        "descriptor",
        "compression",
        "Sizes stand behind the contents, as streaming writers do.",
        write([but(p, descriptor=True) for p in parts]),
    )
    stamp = struct.pack("<HHBI", 0x5455, 5, 1, 1_600_000_000)
    yield (
        "extended-time",
        "clock",
        "Times stand in extra fields as well.",
        write([but(p, extra=stamp, local_extra=stamp) for p in parts]),
    )


def _given(made: Made) -> Made:
    return made


def recipes() -> Iterator[Recipe]:
    for name, group, note, made in _zip_attacks():
        yield attack(f"zip-{name}", "zip", group, note, partial(_given, made))
    for name, group, note, data in _zip_same():
        yield harmless(
            f"zip-same-{name}", "zip", group, note, partial(_given, Made(a=write(_parts()), b=data, changes=_SAME))
        )
