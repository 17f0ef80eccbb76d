"""Programs for UEFI (PE32 and PE32+): the same bytes, but for times, the checksum, debug identities and the signature.

Both files must have the same layout, and every byte but those of the named fields is exact: stub, Rich header, section
data, slack, gaps, overlay. Nothing that can be executed is let go. A signature must verify over its own file.

Sources: Microsoft PE Format; "Windows Authenticode Portable Executable Signature Format", version 1.0; UEFI
Specification 2.10, 2.1.1 and 32.2.4.
"""

from __future__ import annotations

import hashlib
import struct
from itertools import pairwise
from typing import Final

import numpy as np
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.cms import DIGESTS, Der, verified
from banbury.compare.equivalence.leaves.contract import Leaf, Pair
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.model import FileVerdict, Range
from banbury.formats.contract import clean_name
from banbury.formats.view import View

_LARGEST: Final = 1 << 30
_SECTION: Final = struct.Struct("<8sIIIIIIHHI")
_DEBUG: Final = struct.Struct("<IIHHIIII")
_EFI: Final = range(10, 14)
_INDIRECT: Final = bytes.fromhex("2b060104018237020104")
_PE_DATA: Final = bytes.fromhex("2b06010401823702010f")
_RUNS: Final = 0x20000020  # contains code, may be executed
_RESOURCES: Final = 4096  # folders of resources
_ENTRIES: Final = 1 << 16  # entries of all of them
_CERTIFICATES: Final = 4


class Section(Struct, frozen=True):
    """A section: where it is loaded (an address from the image's base), how many bytes it takes there, and where those
    stand that are in the file."""

    name: bytes
    address: int
    memory: int
    start: int
    size: int
    flags: int


class Field(Struct, frozen=True, order=True):
    """Bytes that may differ, and the rule that lets them."""

    start: int
    end: int
    rule: str


class Program:
    """One program's headers. ``end``: where its certificates begin, the file's end where it has none."""

    def __init__(self, view: View) -> None:
        self.view = view
        coff = view.u32(0x3C) + 4
        if coff < 0x44 or not view.startswith(b"PE\0\0", coff - 4):
            raise Refused("header", "is none of a PE program")
        count, self.options = view.u16(coff + 2), coff + 20
        size, magic = view.u16(coff + 16), view.u16(self.options)
        self.directories = self.options + {0x10B: 96, 0x20B: 112}.get(magic, 1 << 40)
        self.known = view.u32(self.directories - 4)
        table = self.options + size
        if self.known > 16 or self.directories + 8 * self.known > table:
            raise Refused("header", "its directories do not fit into it")
        if view.u16(self.options + 68) not in _EFI:
            raise Refused("subsystem", "is none of UEFI", [Range(self.options + 68, self.options + 70)])
        self.sections = []
        for n in range(count):
            _, memory, address, stored, start, *_, flags = view.unpack(_SECTION, table + n * _SECTION.size)
            raw = view.take(table + n * _SECTION.size, 8)
            view.mem(start if stored else 0, stored)
            self.sections.append(Section(raw.rstrip(b"\0"), address, memory, start, stored, flags))
        self.headers = table + count * _SECTION.size
        self.end = len(view)
        at, size = self.directory(4)
        if at or size:
            inside = max([self.headers, *(s.start + s.size for s in self.sections)])
            if at % 8 or at < inside or size < 16 or at + size != len(view):
                raise Refused("certificates", "do not stand at the file's end", [Range(min(at, len(view)), len(view))])
            self.end = at
        self.fields: list[Field] = [
            Field(coff + 4, coff + 8, "pe.time"),
            Field(self.options + 64, self.options + 68, "pe.checksum"),
        ]
        if self.known > 4:
            self.fields.append(Field(self.directories + 32, self.directories + 40, "pe.signature"))
        self.paths: list[tuple[int, bytes]] = []
        self._apart()
        self._inner()

    @property
    def signed(self) -> bool:
        return self.end != len(self.view)

    def directory(self, number: int) -> tuple[int, int]:
        """(place, size) of a data directory."""
        if number >= self.known:
            return 0, 0
        return self.view.u32(self.directories + 8 * number), self.view.u32(self.directories + 8 * number + 4)

    def _apart(self) -> None:
        """Refuse sections that share bytes, and an entry that lies in none of code: firmware looks at no flags, so that
        what is let go in one place could be executed in another."""
        for spans in (
            [(0, self.headers), *((s.start, s.start + s.size) for s in self.sections if s.size)],
            [(0, self.headers), *((s.address, s.address + (s.memory or s.size)) for s in self.sections)],
        ):
            spans.sort()
            if any(end > start for (_, end), (start, _) in pairwise(spans)):
                raise Refused("sections", "share bytes, in the file or in memory")
        entry = self.view.u32(self.options + 16)
        if entry and not any(s.flags & _RUNS and 0 <= entry - s.address < s.size for s in self.sections):
            raise Refused("entry", "lies in no section of code", [Range(self.options + 16, self.options + 20)])

    def place(self, address: int, size: int) -> int:
        """Where loaded bytes stand in the file, in a section that holds no code."""
        for s in self.sections:
            if s.address <= address and address + size <= s.address + s.size:
                if s.flags & _RUNS:
                    raise Refused(clean_name(s.name)[0], "holds code and data that may differ")
                return s.start + address - s.address
        raise Refused("header", f"a directory at {address:#x} that lies in no section")

    def _inner(self) -> None:
        """The fields within sections."""
        at, size = self.directory(0)
        if size:
            self._time(self.place(at, 40) + 4)
        at, size = self.directory(2)
        if size:
            self._resources(self.place(at, size), size)
        at, size = self.directory(6)
        if size % _DEBUG.size or size > 64 * _DEBUG.size:
            raise Refused("debug directory", "has a size that no number of entries has")
        if size:
            start = self.place(at, size)
            for entry in range(start, start + size, _DEBUG.size):
                self._time(entry + 4)
                self._debug(entry)

    def _time(self, at: int) -> None:
        self.fields.append(Field(at, at + 4, "pe.time"))

    def _debug(self, entry: int) -> None:
        """The identity and the path of a CodeView entry of the form RSDS; every other kind is exact."""
        *_, kind, size, address, at = self.view.unpack(_DEBUG, entry)
        if kind != 2 or size < 25 or not self.view.startswith(b"RSDS", at):
            return
        if not address or self.place(address, size) != at:
            raise Refused("debug directory", "its data are not where it says", [Range(entry, entry + 28)])
        path = self.view.take(at + 24, size - 24)
        if path.find(b"\0") != len(path) - 1 or not is_text(path[:-1]):
            raise Refused("debug data", "hold no plain path", [Range(at + 24, at + size)])
        self.fields.append(Field(at + 4, at + 20, "pe.debug-id"))
        self.fields.append(Field(at + 24, at + size, "pe.debug-path"))
        self.paths.append((at + 24, path[:-1]))

    def _resources(self, base: int, size: int) -> None:
        """The time of each folder of resources. Folders are met once."""
        waiting, seen, left = [0], {0}, _ENTRIES
        while waiting:
            at = waiting.pop()
            if at + 16 > size or len(seen) > _RESOURCES:
                raise Refused("resources", "folders outside of their section, or too many")
            self._time(base + at + 4)
            count = self.view.u16(base + at + 12) + self.view.u16(base + at + 14)
            left -= count
            if at + 16 + 8 * count > size or left < 0:
                raise Refused("resources", "a folder with more entries than there are")
            for n in range(count):
                below = self.view.u32(base + at + 20 + 8 * n)
                if below >> 31 and (below := below & 0x7FFFFFFF) not in seen:
                    seen.add(below)
                    waiting.append(below)

    def masked(self) -> bytearray:
        """The file up to its certificates, without the bytes that may differ."""
        out = bytearray(self.view.mem(0, self.end))
        last = 0
        for field in sorted(self.fields):
            if field.start < last or field.end > self.end:
                raise Refused("header", "fields that overlap", [Range(field.start, field.end)])
            last = field.end
            out[field.start : field.end] = bytes(field.end - field.start)
        return out

    def checksum(self) -> int:
        """What the header's checksum should be: 16-bit sums with carry, without itself, and the length."""
        raw = bytearray(self.view.mem(0, len(self.view)))
        raw[self.options + 64 : self.options + 68] = bytes(4)
        raw += bytes(len(raw) % 2)
        total = int(np.frombuffer(raw, "<u2").sum(dtype=np.uint64))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return total + len(self.view)

    def digest(self, name: str) -> bytes:
        """The digest that a signature is over: all bytes but the checksum, the certificates and where they stand."""
        sums, where = self.options + 64, self.directories + 32
        counted = hashlib.new(name)
        for start, end in ((0, sums), (sums + 4, where), (where + 8, self.end)):
            counted.update(self.view.mem(start, end - start))
        return counted.digest()

    def verify(self, keys: list[str]) -> None:
        """Refuse certificates of which one does not verify with a declared key, or that something follows."""
        at = self.end
        count = 0
        while at < len(self.view):
            count += 1
            if count > _CERTIFICATES:
                raise Refused("certificates", f"more than {_CERTIFICATES}", [Range(at, len(self.view))])
            size, revision, kind = struct.unpack("<IHH", self.view.take(at, 8))
            if revision != 0x200 or kind != 2 or size < 16:
                raise Refused("certificates", "of a kind that is not decided", [Range(at, len(self.view))])
            raw = self.view.take(at + 8, size - 8)
            outer = Der(raw, "certificates")
            outer.take(0x30)
            end = at + size + 7 & ~7
            rest = raw[outer.at :] + self.view.take(at + size, end - at - size)
            if len(rest) > 7 or rest.strip(b"\0") or size not in (8 + outer.at, end - at):
                raise Refused("certificates", "bytes behind one that it does not cover", [Range(at, end)])
            self._authenticode(raw[: outer.at], keys)
            at = end

    def _authenticode(self, raw: bytes, keys: list[str]) -> None:
        found = verified(raw, "signature", keys)
        if found.kind != _INDIRECT or found.content is None:
            raise Refused("signature", "is none of a program")
        content = Der(found.content, "signature").into(0x30)
        data = content.into(0x30)
        info = content.into(0x30)
        content.end()
        algorithm = info.into(0x30)
        if data.take(6) != _PE_DATA or DIGESTS.get(algorithm.take(6)) != found.digest:
            raise Refused("signature", "is none of a program")
        if info.take(4) != self.digest(found.digest):
            raise Refused("signature", "is of another program")
        info.end()


def _claims(view: View) -> bool:
    return view.startswith(b"MZ") and view.startswith(b"PE\0\0", view.u32(0x3C))


def _compare(pair: Pair) -> FileVerdict:
    if max(len(pair.a), len(pair.b)) > _LARGEST:
        raise Refused("file", f"more than {_LARGEST >> 20} MiB")
    a, b = Program(pair.a), Program(pair.b)
    if a.fields != b.fields:
        raise Refused("layout", "times, debug data or directories stand at other places")
    ours, theirs = a.masked(), b.masked()
    _level(a, b, ours, theirs)
    if ours != theirs:
        raise _differing(a, ours, theirs)
    for field in a.fields:
        span = field.end - field.start
        one, other = a.view.take(field.start, span), b.view.take(field.start, span)
        if one != other and field.rule not in ("pe.signature", "pe.debug-path"):
            pair.account.explain(field.rule, [Range(field.start, field.end)], [Range(field.start, field.end)])
    _paths(pair, a, b)
    _checksums(pair, a, b)
    _signatures(pair, a, b)
    return pair.proved()


def _level(a: Program, b: Program, ours: bytearray, theirs: bytearray) -> None:
    """A signed file is filled with zeros up to a multiple of eight bytes; the other one may lack them."""
    for short, signed, other in ((ours, b, theirs), (theirs, a, ours)):
        more = len(other) - len(short)
        if 0 < more < 8 and signed.signed and not other[len(short) :].strip(b"\0"):
            short.extend(bytes(more))


def _differing(a: Program, ours: bytearray, theirs: bytearray) -> Refused:
    """Where two programs differ beside what may: the first and the last place, and their section."""
    size = min(len(ours), len(theirs))
    places = np.flatnonzero(np.frombuffer(ours, np.uint8, size) != np.frombuffer(theirs, np.uint8, size))
    if not len(places):
        return Refused("end", "more bytes than the other", [Range(size, len(ours))], [Range(size, len(theirs))])
    first, last = int(places[0]), int(places[-1]) + 1
    named = [clean_name(s.name)[0] for s in a.sections if s.start < last and first < s.start + s.size]
    inside = ", ".join(named[:4]) or ("header" if first < a.headers else "gap")
    where = [Range(first, last)]
    return Refused(inside, f"{len(places)} bytes differ", where, where)


def _paths(pair: Pair, a: Program, b: Program) -> None:
    for (at, old), (_, new) in zip(a.paths, b.paths, strict=True):
        if old != new:
            made, root = pair.rooted(old)
            where = [Range(at, at + len(old))]
            if made != new:
                raise Refused("debug data", "a path that is not in the declared root", where, where)
            pair.account.explain("pe.debug-path", where, where, root)


def _checksums(pair: Pair, a: Program, b: Program) -> None:
    """Each side's checksum is right or not filled in; or it is the same wrong one."""
    at = a.options + 64
    stated = [side.view.u32(at) for side in (a, b)]
    right = [value in (0, side.checksum()) for value, side in zip(stated, (a, b), strict=True)]
    if not all(right) and (any(right) or stated[0] != stated[1]):
        raise Refused("checksum", "is wrong", [Range(at, at + 4)], [Range(at, at + 4)])


def _signatures(pair: Pair, a: Program, b: Program) -> None:
    """Account for signatures that differ; each must verify with a key that its own side declares."""
    if not a.signed and not b.signed:
        return
    tails = [side.view.take(side.end, len(side.view) - side.end) for side in (a, b)]
    for side, keys in zip((a, b), pair.keys, strict=True):
        if side.signed:
            side.verify(keys)
    if tails[0] != tails[1]:
        one, other = ([Range(side.end, len(side.view))] if side.signed else [] for side in (a, b))
        detail = "" if a.signed and b.signed else "only one of the two is signed"
        pair.account.explain("pe.signature", one, other, detail)


LEAVES: Final = [Leaf(name="pe", claims=_claims, compare=_compare)]
