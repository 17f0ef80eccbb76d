"""JFFS2 with summaries of erase blocks, as sumtool writes them, and what a change beside that looks like.

See :mod:`tests.equivalence.consumer_pairs_tools`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from banbury.compare.corpus.trees import CAPABILITY, Node, base
from banbury.compare.corpus.writers import jffs2
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import harmless, tampered
from tests.equivalence.pairs import Sample

_MARK = 0x02851885
_BLOCK = 65536


def summarised(raw: bytes, change: Callable[[bytearray, bytearray], None] | None = None) -> bytes:
    """A little-endian image with a summary at the end of each erase block, as sumtool writes it (Linux,
    fs/jffs2/summary.h). ``change``: done to the list of each and to its head before the checksums."""
    out = bytearray(raw)
    for start in range(0, len(raw), _BLOCK):
        rows, at, count, marker = bytearray(), start, 0, 0
        while raw[at : at + 2] == b"\x85\x19":
            kind, total = struct.unpack_from("<HI", raw, at + 2)
            one, version, third = struct.unpack_from("<3I", raw, at + 12)
            if kind == 0xE001:
                rows += struct.pack("<H5I", kind, total, at - start, one, version, third) + raw[at + 28 : at + 30]
                rows += raw[at + 40 : at + total]
            elif kind != 0x2003:
                rows += struct.pack("<H4I", kind, one, version, at - start, total)
            count, marker = count + (kind != 0x2003), 12 if kind == 0x2003 else marker
            at += total + 3 & ~3
        head = bytearray(struct.pack("<III", count, marker, 0))
        if change:
            change(rows, head)
        size = start + _BLOCK - at
        rows += b"\xff" * (size - 40 - len(rows)) + struct.pack("<II", at - start, _MARK)
        node = struct.pack("<HHI", 0x1985, 0x2006, size)
        node += struct.pack("<I", jffs2.crc(node)) + head + struct.pack("<I", jffs2.crc(rows))
        out[at : start + _BLOCK] = node + struct.pack("<I", jffs2.crc(node[:24])) + rows
    return bytes(out)


def _small() -> bytes:
    return jffs2.write({"bin": Node(kind="dir", mode=0o755), "bin/run": Node(data=TEXT, mode=0o755), "b": Node()})


@harmless("jffs2-summary")
def _() -> Sample:
    tree = base()
    return Sample(summarised(jffs2.write(tree, first=7)), summarised(jffs2.write(tree)))


@harmless("jffs2-summary-one-side")
def _() -> Sample:
    return Sample(_small(), summarised(_small()))


def _renamed(rows: bytearray, head: bytearray) -> None:
    at = rows.index(b"run")
    rows[at : at + 3] = b"rum"


@tampered("jffs2-summary-name")
def _() -> Sample:
    """Mounted by its summary, a file has another name than when its nodes are read."""
    return Sample(summarised(_small()), summarised(_small(), _renamed))


def _dropped(rows: bytearray, head: bytearray) -> None:
    del rows[-18:]
    head[0] -= 1


@tampered("jffs2-summary-shorter")
def _() -> Sample:
    """The last node is not in the summary: its file is not there."""
    return Sample(summarised(_small()), summarised(_small(), _dropped))


def _uncleaned(rows: bytearray, head: bytearray) -> None:
    head[4] = 16


@tampered("jffs2-summary-marker")
def _() -> Sample:
    return Sample(summarised(_small()), summarised(_small(), _uncleaned))


@tampered("jffs2-summary-in-content")
def _() -> Sample:
    """Content that ends where a block of flash does, with the mark of a summary: Linux reads nodes from within it."""
    end = struct.pack("<II", 0, _MARK)

    def made(first: str, size: int) -> bytes:
        flash = jffs2.Flash()
        for name in (first, "b" if first == "a" else "a"):
            flash.add(name, Node(data=b"x" * size if name == "a" else b"y" * 100 + end), packed=False)
        return flash.done()

    at = made("a", 100).index(end) + 8
    size = 100 + -at % 4096
    honest, hidden = made("b", size), made("a", size)
    assert hidden.index(end) % 4096 == 4088
    return Sample(honest, hidden)


# Attributes

#: An access list: of the owner, of user 33, of the group, the mask, of others.
_LIST = ((1, 6, None), (2, 4, 33), (4, 0, None), (0x10, 6, None), (0x20, 0, None))


def _listed(entries: Iterable[tuple[int, int, int | None]], order: str) -> bytes:
    out = struct.pack(order + "I", 1)
    for tag, rights, owner in entries:
        out += struct.pack(order + "HH", tag, rights) + (b"" if owner is None else struct.pack(order + "I", owner))
    return out


def _attributed(entries: Iterable[tuple[int, int, int | None]] = _LIST, *, big: bool = False, rounded: bool = True,
                version: int = 1) -> bytes:  # fmt: skip
    """A key with an access list, and a program with a capability."""
    flash = jffs2.Flash(big=big)
    flash.version = version
    flash.add("key", Node(data=TEXT, mode=0o660))
    flash.add("run", Node(data=TEXT, mode=0o755))
    flash.attribute("key", 1, b"", _listed(entries, ">" if big else "<"), prefix=3, rounded=rounded)
    flash.attribute("run", 2, b"capability", CAPABILITY, prefix=2, rounded=rounded)
    return flash.done()


for _big in (False, True):
    _order = "big" if _big else "little"

    @harmless(f"jffs2-access-list-{_order}-endian")
    def _(big: bool = _big) -> Sample:
        return Sample(_attributed(big=big), _attributed(big=big, version=7))

    @tampered(f"jffs2-attribute-passed-over-{_order}-endian")
    def _(big: bool = _big) -> Sample:
        """The lengths of the attributes' nodes are not multiples of four: Linux passes over them."""
        return Sample(_attributed(big=big), _attributed(big=big, rounded=False))


@tampered("jffs2-access-list-tag")
def _() -> Sample:
    """A list that Linux does not take: who opens the file gets an error."""
    return Sample(_attributed(), _attributed([*_LIST, (0x40, 0, None)]))


@tampered("jffs2-access-list-rights")
def _() -> Sample:
    return Sample(_attributed(), _attributed([*_LIST[:4], (0x20, 6, None)]))
