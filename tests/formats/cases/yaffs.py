"""YAFFS images built chunk by chunk."""

from __future__ import annotations

import struct

from tests.formats.case import Case

FILE, SYMLINK, DIRECTORY, HARDLINK, SPECIAL = range(1, 6)
TEXT = b"".join(b"line %d of a text\n" % n for n in range(500))


class Image:
    """Chunks in the order they are written. ``old`` makes YAFFS1 (page 512, spare 16)."""

    def __init__(self, page: int = 2048, spare: int = 64, tags: int = 0, big: bool = False, old: bool = False) -> None:
        self.page, self.spare, self.tags, self.old = page, spare, tags, old
        self.order = ">" if big else "<"
        self.sequence = 0x1000
        self.data = bytearray()

    def chunk(self, obj: int, number: int, data: bytes, length: int | None = None) -> None:
        stated = len(data) if length is None else length
        area = self._old(obj, number, stated) if self.old else self._new(obj, number, stated)
        self.data += data.ljust(self.page, b"\xff") + area

    def _new(self, obj: int, number: int, length: int) -> bytes:
        words = struct.pack(self.order + "IIII", self.sequence, obj, number, length)
        return (b"\xff" * self.tags + words).ljust(self.spare, b"\xff")

    def _old(self, obj: int, number: int, length: int) -> bytes:
        first = number | (length & 0x3FF) << 22
        second = obj | (length >> 10 & 3) << 30
        raw = struct.pack("<II", first, second)
        code = 0
        for bit in range(64):
            if raw[bit // 8] >> bit % 8 & 1:
                code ^= bit + 1
        raw = struct.pack("<II", first, second | code << 18)
        return raw[:4] + b"\xff\xff" + raw[4:6] + b"\xff" * 3 + raw[6:] + b"\xff" * 3

    def header(
        self,
        obj: int,
        parent: int,
        name: bytes,
        sort: int,
        *,
        mode: int = 0o644,
        size: int = 0,
        link: bytes = b"",
        target: int = 0,
        rdev: int = 0,
        shadows: int = 0,
        shrinks: int = 0,
        xattrs: bytes = b"",
    ) -> None:
        kinds = {FILE: 0o100000, DIRECTORY: 0o040000, SYMLINK: 0o120000}
        head = struct.pack(self.order + "IIH256s2xIIIIIII", sort, parent, 0xFFFF, name,
                           kinds.get(sort, 0) | mode, 10, 20, 1, 1234, 3, size & 0xFFFFFFFF)  # fmt: skip
        head += struct.pack(self.order + "I160sI32xIIII", target, link, rdev, size >> 32, 0, shadows, shrinks)
        self.chunk(obj, 0, head + xattrs, 0xFFFF if not self.old else 0xFFF)

    def file(self, obj: int, parent: int, name: bytes, data: bytes, size: int | None = None) -> None:
        self.header(obj, parent, name, FILE, size=len(data) if size is None else size)
        for number in range(-(-len(data) // self.page)):
            self.chunk(obj, number + 1, data[number * self.page : (number + 1) * self.page])


def tree(image: Image) -> tuple[bytes, dict[str, bytes]]:
    image.header(257, 1, b"etc", DIRECTORY, mode=0o755)
    image.file(258, 257, b"text", TEXT)
    image.file(259, 1, b"empty", b"")
    image.header(260, 1, b"link", SYMLINK, link=b"etc/text", mode=0o777)
    image.header(261, 1, b"hard", HARDLINK, target=258)
    image.header(262, 1, b"dev", DIRECTORY, mode=0o755)
    image.header(263, 262, b"console", SPECIAL, mode=0o020600, rdev=0x0501)
    return bytes(image.data), {"etc/text": TEXT, "hard": TEXT, "empty": b""}


def rewritten() -> tuple[bytes, dict[str, bytes]]:
    """Later blocks of higher sequence lie before earlier ones: overwriting, shrinking, deleting, renaming over."""
    image = Image()
    image.sequence = 0x1002
    image.chunk(257, 1, b"N" * 2048)
    image.header(257, 1, b"file", FILE, size=3000, shrinks=1)
    image.header(258, 4, b"deleted", FILE, size=5)
    image.header(259, 1, b"target", FILE, size=3, shadows=260)
    image.header(261, 1, b"holes", FILE, size=5000)
    late = bytes(image.data)
    image.data.clear()
    image.sequence = 0x1001
    image.file(257, 1, b"file", b"O" * 9000)
    image.file(258, 1, b"secret", b"hello")
    image.file(259, 1, b"source", b"src")
    image.file(260, 1, b"target", b"old")
    image.chunk(261, 2, b"h" * 2048)
    early = bytes(image.data)
    # The image must start with a header in the root directory.
    image.data.clear()
    image.sequence = 0x1000
    image.header(300, 1, b"dir", DIRECTORY, mode=0o755)
    first = bytes(image.data)
    files = {"file": b"N" * 2048 + b"O" * 952, "target": b"src", "holes": bytes(2048) + b"h" * 2048 + bytes(904)}
    return first + late + early, files


def cyclic() -> bytes:
    image = Image()
    image.header(257, 1, b"a", DIRECTORY)
    image.header(258, 259, b"b", DIRECTORY)
    image.header(259, 258, b"c", DIRECTORY)
    image.header(260, 1, b"../up", FILE, size=1 << 40)
    image.header(261, 1, b"a", FILE)
    image.header(262, 1, b"self", HARDLINK, target=262)
    image.header(263, 999, b"lost", FILE)
    return bytes(image.data)


LAYOUTS = {
    "2048+64 le": lambda: Image(tags=2),
    "2048+64 be": lambda: Image(tags=2, big=True),
    "512+16 le": lambda: Image(512, 16),
    "4096+224 be": lambda: Image(4096, 224, 30, big=True),
    "yaffs1": lambda: Image(512, 16, old=True),
}
CASES = [
    *(
        Case("yaffs", "positive", name, lambda make=make: tree(make())[0], tree(make())[1])
        for name, make in LAYOUTS.items()
    ),
    Case("yaffs", "positive", "rewritten", lambda: rewritten()[0], rewritten()[1], frozenset({"hidden"})),
    Case("yaffs", "negative", "header alone", lambda: bytes(tree(Image())[0][:2048]) + bytes(64)),
    Case(
        "yaffs",
        "malformed",
        "cyclic",
        cyclic,
        notes=frozenset({"hidden", "malformed", "path-traversal", "duplicate-name", "sparse"}),
    ),
]
