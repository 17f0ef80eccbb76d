"""Git's object store, read without git: packs (with or without their index), bundles' packs, and loose objects.

Every object that is used is verified against its name, which is the SHA-1 (or, in such repositories, SHA-256) of its
type, size and content; an index is taken for a hint where to look and for nothing else.

Sources: git documentation, gitformat-pack(5) ("pack-*.pack files have the following format", "Deltified
representation", "pack-*.idx files"), gitformat-loose(5).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import OrderedDict
from typing import Final

from banbury.formats.view import View
from banbury.model.errors import BudgetExceeded, Malformed, Truncated

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
_OFS, _REF = 6, 7
TYPES: Final = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
_LARGEST: Final = 512 << 20  # bytes of one object
_OUTPUT: Final = 8 << 30  # bytes of all objects together
_CHAIN: Final = 4096  # deltas upon one another
_KEPT: Final = 64 << 20  # bytes of objects kept for the deltas upon them
_COUNT: Final = 20_000_000  # objects of a pack
_STEP: Final = 1 << 16


class Pack:
    """One pack. ``offsets`` says where the object of a name starts, from the index or, without one, from a reading of
    the whole pack (then ``get`` has its answer from :meth:`Store._scan`)."""

    def __init__(self, view: View, width: int) -> None:
        magic, version, count = struct.unpack(">4sII", view.take(0, 12))
        if magic != b"PACK" or version not in (2, 3):
            raise Malformed("no pack of version 2 or 3")
        if count > min(_COUNT, len(view)):
            raise Malformed("a pack with more objects than bytes")
        self.view, self.count, self.end = view, count, len(view) - width
        if self.end < 12:
            raise Truncated("a pack without its checksum")

    def head(self, at: int) -> tuple[int, int, int]:
        """Type, size and where the data begins, of the object at ``at``."""
        byte = self.view.u8(at)
        at += 1
        kind, size, shift = (byte >> 4) & 7, byte & 15, 4
        while byte & 0x80:
            if shift > 60:
                raise Malformed("an object's size beyond reason")
            byte = self.view.u8(at)
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        if size > _LARGEST:
            raise BudgetExceeded(f"an object of {size} bytes")
        return kind, size, at

    def base(self, at: int, start: int) -> tuple[int, int]:
        """Where the base of an offset delta starts, whose object starts at ``start``; and where its data begins."""
        byte = self.view.u8(at)
        at += 1
        distance = byte & 0x7F
        while byte & 0x80:
            byte = self.view.u8(at)
            at += 1
            distance = ((distance + 1) << 7) | (byte & 0x7F)
            if distance > start:
                raise Malformed("a delta whose base is outside of the pack")
        if not 12 <= start - distance < start:
            raise Malformed("a delta whose base is outside of the pack")
        return start - distance, at

    def inflate(self, at: int, size: int) -> tuple[bytes, int]:
        """The data at ``at``, which must have ``size`` bytes, and where it ends."""
        stream = zlib.decompressobj()
        out = bytearray()
        position = at
        try:
            while not stream.eof:
                piece = self.view.mem(position, min(_STEP, self.end - position))
                if not len(piece):
                    raise Truncated("an object that does not end")
                position += len(piece)
                out += stream.decompress(piece, size + 1 - len(out))
                while stream.unconsumed_tail and len(out) <= size and not stream.eof:
                    out += stream.decompress(stream.unconsumed_tail, size + 1 - len(out))
                if len(out) > size:
                    raise Malformed("an object with more data than it states")
        except zlib.error as problem:
            raise Malformed(f"an object that cannot be decompressed: {problem}") from None
        if len(out) != size:
            raise Malformed("an object with less data than it states")
        return bytes(out), position - len(stream.unused_data)


class Store:
    """All objects of a repository. ``get`` verifies; what it returns is what the name says."""

    def __init__(self, *, sha256: bool = False) -> None:
        self._hash = hashlib.sha256 if sha256 else hashlib.sha1
        self.width = 32 if sha256 else 20
        self._packs: list[Pack] = []
        self._where: dict[bytes, tuple[int, int]] = {}
        self._loose: dict[bytes, View] = {}
        self._kept: OrderedDict[tuple[int, int], tuple[int, bytes]] = OrderedDict()
        self._held = 0
        self._spent = 0

    def add_loose(self, name: bytes, view: View) -> None:
        """A loose object by its name (binary)."""
        self._loose[name] = view

    def add_pack(self, view: View, index: View | None) -> None:
        """A pack; without ``index`` it is read whole to learn the names of its objects."""
        pack = Pack(view, self.width)
        self._packs.append(pack)
        number = len(self._packs) - 1
        if index is not None:
            self._indexed(number, index)
        else:
            self._scan(number)

    def _indexed(self, number: int, index: View) -> None:
        if index.take(0, 8) != b"\xfftOc\0\0\0\x02":
            raise Malformed("no pack index of version 2")
        count = index.u32(8 + 255 * 4, True)
        if count != self._packs[number].count:
            raise Malformed("an index of another pack")
        names = index.take(8 + 1024, count * self.width)
        places = index.take(8 + 1024 + count * (self.width + 4), count * 4)
        far = 8 + 1024 + count * (self.width + 8)
        for k, (near,) in enumerate(struct.iter_unpack(">I", places)):
            large = near & 0x80000000
            place = index.unpack(struct.Struct(">Q"), far + 8 * (near & 0x7FFFFFFF))[0] if large else near
            self._where.setdefault(names[k * self.width : (k + 1) * self.width], (number, place))

    def _scan(self, number: int) -> None:
        """Read a pack from its first object to its last. Deltas upon objects that come later are tried again."""
        pack = self._packs[number]
        at = 12
        waiting: list[int] = []
        for _ in range(pack.count):
            start = at
            kind, size, at = pack.head(start)
            if kind == _REF:
                at += self.width
            elif kind == _OFS:
                _, at = pack.base(at, start)
            data, at = pack.inflate(at, size)
            self._spend(size)
            if kind in TYPES:
                self._where.setdefault(self.name(kind, data), (number, start))
            elif kind in (_OFS, _REF):
                waiting.append(start)
            else:
                raise Malformed(f"an object of type {kind}")
        if at != pack.end:
            raise Malformed("bytes between the last object and the pack's checksum")
        self._settle(number, waiting)

    def _settle(self, number: int, waiting: list[int]) -> None:
        for _ in range(_CHAIN):
            left = []
            for start in waiting:
                try:
                    kind, data = self._read(number, start)
                except KeyError:
                    left.append(start)
                    continue
                self._where.setdefault(self.name(kind, data), (number, start))
            if not left or len(left) == len(waiting):
                break  # what is left builds upon objects that are not here
            waiting = left

    def name(self, kind: int, data: bytes) -> bytes:
        """The name of an object."""
        return self._hash(TYPES[kind] + b" %d\0" % len(data) + data).digest()

    def _spend(self, size: int) -> None:
        self._spent += size
        if self._spent > _OUTPUT:
            raise BudgetExceeded("the repository's objects are too large in all")

    def get(self, name: bytes, wanted: int) -> bytes:
        """The content of an object of one type. Raises ``Malformed`` where it is missing or not what it should be."""
        if name in self._loose:
            kind, data = self._inflate_loose(self._loose[name])
        elif name in self._where:
            try:
                kind, data = self._read(*self._where[name])
            except KeyError:
                raise Malformed(f"object {name.hex()} builds upon one that is not there") from None
        else:
            raise Malformed(f"object {name.hex()} is not there")
        if kind != wanted:
            raise Malformed(f"object {name.hex()} is of another type than {TYPES[wanted].decode()}")
        if self.name(kind, data) != name:
            raise Malformed(f"object {name.hex()} has content of another name")
        return data

    def kind(self, name: bytes) -> int:
        """The type of an object that is there."""
        for kind in TYPES:
            try:
                self.get(name, kind)
            except Malformed:
                continue
            return kind
        raise Malformed(f"object {name.hex()} is not there")

    def _inflate_loose(self, view: View) -> tuple[int, bytes]:
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(view.mem(0, len(view)), _LARGEST + 64)
        except zlib.error as problem:
            raise Malformed(f"a loose object that cannot be decompressed: {problem}") from None
        self._spend(len(data))
        head, zero, body = data.partition(b"\0")
        word, _, size = head.partition(b" ")
        kinds = {v: k for k, v in TYPES.items()}
        if not zero or word not in kinds or size != b"%d" % len(body) or not stream.eof:
            raise Malformed("a loose object of another form")
        return kinds[word], body

    def _read(self, number: int, start: int) -> tuple[int, bytes]:
        """The object at a place, its deltas applied. Raises ``KeyError`` where a base is not there."""
        deltas: list[tuple[tuple[int, int], bytes]] = []
        place = (number, start)
        while place not in self._kept:
            pack = self._packs[place[0]]
            kind, size, at = pack.head(place[1])
            before = place
            if kind == _OFS:
                base, at = pack.base(at, place[1])
                place = (place[0], base)
            elif kind == _REF:
                name = pack.view.take(at, self.width)
                at += self.width
                if name in self._loose:
                    self._keep(place := (-1, int.from_bytes(name, "big")), self._inflate_loose(self._loose[name]))
                else:
                    place = self._where[name]
            data, _ = pack.inflate(at, size)
            self._spend(size)
            if kind in TYPES:
                self._keep(before, (kind, data))
                place = before
                break
            if kind not in (_OFS, _REF):
                raise Malformed(f"an object of type {kind}")
            deltas.append((before, data))
            if len(deltas) > _CHAIN:
                raise Malformed("deltas upon deltas without end")
        kind, data = self._kept[place]
        for where, delta in reversed(deltas):
            data = apply(delta, data)
            self._spend(len(data))
            self._keep(where, (kind, data))
        return kind, data

    def _keep(self, place: tuple[int, int], found: tuple[int, bytes]) -> None:
        self._kept[place] = found
        self._held += len(found[1])
        while self._held > _KEPT and len(self._kept) > 1:
            _, (_, old) = self._kept.popitem(last=False)
            self._held -= len(old)


def _varint(delta: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(delta) or shift > 60:
            raise Malformed("a delta that is cut short")
        byte = delta[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def apply(delta: bytes, base: bytes) -> bytes:
    """A delta applied to its base (gitformat-pack(5), "Deltified representation")."""
    old, at = _varint(delta, 0)
    new, at = _varint(delta, at)
    if old != len(base):
        raise Malformed("a delta upon another base")
    if new > _LARGEST:
        raise BudgetExceeded(f"an object of {new} bytes")
    out = bytearray()
    while at < len(delta):
        code = delta[at]
        at += 1
        if code & 0x80:
            offset, size, at = _copied(delta, code, at)
            if offset + size > len(base):
                raise Malformed("a delta that copies from outside of its base")
            out += base[offset : offset + size]
        elif code:
            if at + code > len(delta):
                raise Malformed("a delta that is cut short")
            out += delta[at : at + code]
            at += code
        else:
            raise Malformed("a delta with a reserved instruction")
        if len(out) > new:
            raise Malformed("a delta that makes more than it states")
    if len(out) != new:
        raise Malformed("a delta that makes less than it states")
    return bytes(out)


def _copied(delta: bytes, code: int, at: int) -> tuple[int, int, int]:
    value = 0
    for bit in range(7):
        if code >> bit & 1:
            if at >= len(delta):
                raise Malformed("a delta that is cut short")
            value |= delta[at] << (8 * bit)
            at += 1
    offset, size = value & 0xFFFFFFFF, value >> 32
    return offset, size or 0x10000, at
