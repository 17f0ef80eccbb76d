"""JFFS2 images built node by node."""

from __future__ import annotations

import lzma
import struct
import zlib

import lzallright

from tests.formats.case import Case

TEXT = b"".join(b"line %d of a text that packs well\n" % n for n in range(100))
REGULAR, DIRECTORY, SYMLINK, CHAR = 0o100644, 0o040755, 0o120777, 0o020600
BLOCK = 64 << 10


def crc(data: bytes) -> int:
    return zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


def rtime(data: bytes) -> bytes:
    """The same run coding as the reader undoes, greedy."""
    out, last, pos = bytearray(), [0] * 256, 0
    while pos < len(data):
        value = data[pos]
        out.append(value)
        pos += 1
        back, last[value] = last[value], pos
        run = 0
        while back < pos < len(data) and data[pos] == data[back] and run < 255:
            pos, back, run = pos + 1, back + 1, run + 1
        out.append(run)
    return bytes(out)


def raw_lzma(data: bytes) -> bytes:
    chain = [{"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": 0x2000}]
    return lzma.compress(data, lzma.FORMAT_RAW, filters=chain)


PACK = {
    0: lambda d: d,
    1: lambda d: b"",
    2: rtime,
    6: zlib.compress,
    7: lambda d: lzallright.LZOCompressor().compress(d),
    8: raw_lzma,
    0x15: lambda d: (alone := lzma.compress(d, lzma.FORMAT_ALONE))[:5] + alone[13:],
}


class Image:
    """Nodes in the order they are written."""

    def __init__(self, big: bool = False) -> None:
        self.order = ">" if big else "<"
        self.data = bytearray()
        self.version = 0

    def node(self, kind: int, body: bytes, stated: int | None = None) -> int:
        """Append a node; returns where. ``stated`` replaces its length."""
        total = 12 + len(body) if stated is None else stated
        head = struct.pack(self.order + "HHI", 0x1985, kind, total)
        at = len(self.data)
        self.data += head + struct.pack(self.order + "I", crc(head)) + body
        self.data += b"\xff" * (-len(self.data) % 4)
        return at

    def clean(self) -> None:
        self.node(0x2003, b"")

    def dirent(self, parent: int, ino: int, name: bytes, kind: int = 8, version: int | None = None) -> int:
        self.version += 1
        number = self.version if version is None else version
        body = struct.pack(self.order + "IIIIBB2x", parent, number, ino, 1000, len(name), kind)
        head = struct.pack(self.order + "HHI", 0x1985, 0xE001, 40 + len(name))
        whole = head + struct.pack(self.order + "I", crc(head)) + body
        body += struct.pack(self.order + "II", crc(whole), crc(name))
        return self.node(0xE001, body + name)

    def inode(
        self,
        ino: int,
        data: bytes = b"",
        *,
        mode: int = REGULAR,
        version: int = 1,
        offset: int = 0,
        size: int | None = None,
        compr: int = 0,
        dsize: int | None = None,
        packed: bytes | None = None,
    ) -> int:
        """``size`` is the file's, ``dsize`` what the node states, ``packed`` replaces the compressed data."""
        packed = PACK[compr](data) if packed is None else packed
        size = offset + len(data) if size is None else size
        length = len(data) if dsize is None else dsize
        body = struct.pack(self.order + "IIIHHI", ino, version, mode, 10, 20, size)
        body += struct.pack(self.order + "IIIIIIBBH", 1, 1234, 3, offset, len(packed), length, compr, 0, 0)
        head = struct.pack(self.order + "HHI", 0x1985, 0xE002, 68 + len(packed))
        whole = head + struct.pack(self.order + "I", crc(head)) + body
        return self.node(0xE002, body + struct.pack(self.order + "II", crc(packed), crc(whole)) + packed)

    def _sealed(self, kind: int, fields: bytes, data: bytes = b"") -> None:
        """A node whose fixed part ends with its own checksum."""
        head = struct.pack(self.order + "HHI", 0x1985, kind, 16 + len(fields) + len(data))
        whole = head + struct.pack(self.order + "I", crc(head)) + fields
        self.node(kind, fields + struct.pack(self.order + "I", crc(whole)) + data)

    def attribute(self, xid: int, prefix: int, name: bytes, value: bytes) -> None:
        data = name + b"\0" + value
        fields = struct.pack(self.order + "IIBBHI", xid, 1, prefix, len(name), len(value), crc(data))
        self._sealed(0xE008, fields, data + bytes(-len(data) % 4))  # Linux passes over others

    def attach(self, ino: int, xid: int, sequence: int = 0) -> None:
        self._sealed(0xE009, struct.pack(self.order + "III", ino, xid, sequence))

    def summary(self, nodes: list[int]) -> None:
        """A summary of the dirents and inodes at ``nodes``, with its marker; it counts from the image's start."""
        o, body = self.order, b""
        for at in nodes:
            _, kind, total, _ = struct.unpack_from(o + "HHII", self.data, at)
            first, second, third = struct.unpack_from(o + "III", self.data, at + 12)
            if kind == 0xE002:
                body += struct.pack(o + "HIIII", kind, first, second, at, total)
            else:
                name = self.data[at + 40 : at + 40 + self.data[at + 28]]
                body += struct.pack(o + "HIIIIIBB", kind, total, at, first, second, third, len(name), 8) + name
        body += struct.pack(o + "II", len(self.data), 0x02851885)
        head = struct.pack(o + "HHI", 0x1985, 0x2006, 32 + len(body))
        fixed = struct.pack(o + "IIII", len(nodes), 12, 0, crc(body))
        whole = head + struct.pack(o + "I", crc(head)) + fixed
        self.node(0x2006, fixed + struct.pack(o + "I", crc(whole[:24])) + body)

    def done(self) -> bytes:
        return bytes(self.data + b"\xff" * (-len(self.data) % BLOCK))


def tree(image: Image) -> dict[str, bytes]:
    """A small tree with every compressor; returns its files."""
    image.clean()
    image.dirent(1, 2, b"etc", 4)
    image.inode(2, mode=DIRECTORY)
    files: dict[str, bytes] = {}
    for number, name in {0: "none", 2: "rtime", 6: "zlib", 7: "lzo", 8: "lzma", 0x15: "lzma too"}.items():
        image.dirent(2, 10 + number, name.encode())
        image.inode(10 + number, TEXT, compr=number)
        files[f"etc/{name}"] = TEXT
    image.dirent(1, 3, b"link", 10)
    image.inode(3, b"etc/none", mode=SYMLINK)
    image.dirent(1, 4, b"dev", 4)
    image.inode(4, mode=DIRECTORY)
    image.dirent(4, 5, b"console", 2)
    image.inode(5, struct.pack(image.order + "H", 0x0501), mode=CHAR)
    image.dirent(1, 10, b"none too")
    image.dirent(1, 6, b"empty")
    image.inode(6)
    return files | {"none too": TEXT, "empty": b""}


def plain(big: bool = False) -> tuple[bytes, dict[str, bytes]]:
    image = Image(big)
    files = tree(image)
    # Written in pieces: a hole, a later version over the middle, a run of zeros at the end.
    image.dirent(1, 7, b"pieces")
    image.inode(7, b"a" * 1000, version=1)
    image.inode(7, b"c" * 500, version=3, offset=2000)
    image.inode(7, b"b" * 100, version=4, offset=950)
    image.inode(7, b"", version=5, offset=2500, dsize=700, size=3200, compr=1)
    files["pieces"] = b"a" * 950 + b"b" * 100 + bytes(950) + b"c" * 500 + bytes(700)
    return image.done(), files


def overwritten() -> tuple[bytes, dict[str, bytes]]:
    """Older versions and a deleted file beside what is current."""
    image = Image()
    image.clean()
    image.dirent(1, 2, b"file")
    image.inode(2, b"old", version=1)
    image.inode(2, b"new content", version=2)
    image.dirent(1, 3, b"secret")
    image.inode(3, b"deleted, but still here")
    image.dirent(1, 0, b"secret")
    image.dirent(1, 4, b"moved")
    image.inode(4, b"x")
    image.dirent(1, 5, b"moved")
    image.inode(5, b"won")
    return image.done(), {"file": b"new content", "moved": b"won"}


def bad_lengths() -> bytes:
    """A node that states more than there is, one that states nothing, and one whose data do not decode."""
    image = Image()
    image.clean()
    image.node(0xE002, bytes(20), stated=1 << 31)
    image.node(0xE001, bytes(20), stated=12)
    image.dirent(1, 2, b"file")
    image.inode(2, bytes(4096), compr=6, packed=b"not zlib")
    return image.done()


def bad_checksum() -> bytes:
    data = bytearray(plain()[0])
    data[data.index(b"line 50 of")] ^= 1
    return bytes(data)


CASES = [
    Case("jffs2", "positive", "little-endian", lambda: plain()[0], plain()[1]),
    Case("jffs2", "positive", "big-endian", lambda: plain(big=True)[0], plain(big=True)[1]),
    Case("jffs2", "positive", "overwritten", lambda: overwritten()[0], overwritten()[1], frozenset({"hidden"})),
    Case("jffs2", "negative", "magic alone", lambda: b"\x85\x19\x01\xe0" + bytes(100)),
    Case("jffs2", "malformed", "lengths", bad_lengths, notes=frozenset({"malformed"})),
    Case("jffs2", "malformed", "checksum", bad_checksum, notes=frozenset({"checksum"})),
]
