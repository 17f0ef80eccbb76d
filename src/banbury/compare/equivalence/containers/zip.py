"""ZIP archives: jar, wheel, apk and plain ones.

Readers differ in which of the two places they believe in that state a member's name, size and method; so both must
agree, local headers must follow one another without gaps from the first byte to the central directory, and no name may
occur twice. Comments, encryption, several disks and ZIP64 are refused. An APK's signing block may lie in
the gap before the central directory, where it verifies.

Source: APPNOTE.TXT 6.3.10, sections 4.3 and 4.4; Info-ZIP's extra fields 0x5455 and 0x7875.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._apk import block_start, verify
from banbury.compare.equivalence.containers._jar import MANIFEST, settle, stream_differs
from banbury.compare.equivalence.containers._zip_stated import owner, stated
from banbury.compare.equivalence.containers.contract import Comparator, Free, Place, Spool, Work
from banbury.compare.equivalence.containers.streams import inflated
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.tree import Node, Tree, compare_trees, order_matters
from banbury.formats.view import Buffer, View

_END: Final = struct.Struct("<IHHHHIIH")
_CENTRAL: Final = struct.Struct("<IHHHHHHIIIHHHHHII")
_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
#: Level of DEFLATE, undefined for stored members (Info-ZIP sets it there too), and whether a descriptor follows.
_FREE_FLAGS: Final = 0x000E
_KNOWN_FLAGS: Final = 0x080E
_DESCRIPTOR: Final = 0x0008
_UTF8: Final = 0x0800
_TIMES: Final = 0x5455
_TIMES_NTFS: Final = 0x000A
_NTFS: Final = struct.pack("<IHH", 0, 1, 24)  # and the times of change, access and creation (APPNOTE, 4.5.5)
#: Versions of the specification that the usual writers say they know (jar, Python, libarchive, Info-ZIP, 7-Zip), and of
#: which no reader makes anything. Others tell some readers how a name is coded (unzip 6.0, Ext_ASCII_TO_Native).
_WRITERS: Final = (10, 20, 30, 45, 63)
_RECORD: Final = re.compile(rb"[^/]+\.dist-info/RECORD")
_LONGEST: Final = 8 << 20  # bytes of a RECORD
_STEP: Final = 1 << 20
_PATH: Final = 4096  # bytes
_MARK: Final = b"PK\x07\x08"
#: Members that readers map or find by their place: nested archives (Spring Boot, The Executable Jar Format, Nested
#: JARs), what tells an EPUB or OpenDocument file (EPUB 3.3, OCF, 4.3), and the payload of an update of Android.
_ARCHIVES: Final = (b"PK\3\4", b"PK\5\6", b"CrAU")
_MAPPED: Final = re.compile(rb"(?:.*/)?(?:payload\.bin|[^/]*\.(?:jar|war|zip|apk|apex))|mimetype", re.DOTALL)
_UPDATE: Final = b"META-INF/com/android/metadata"


class _Entry(Struct, kw_only=True):
    """One record of the central directory with its local header: places in the archive."""

    at: int
    made: int
    needed: int
    flags: int
    method: int
    time: int
    crc: int
    packed: int
    size: int
    internal: int
    external: int
    name: bytes
    extra: tuple[tuple[int, bytes], ...]
    local: int
    extra_local: tuple[tuple[int, bytes], ...] = ()
    ahead: tuple[int, int, int] = (0, 0, 0)
    start: int = 0
    end: int = 0
    marked: bool = True


def _entries(view: View, raw: bool) -> tuple[list[_Entry], tuple[int, int] | None]:
    """The members, and where an APK's signing block stands (``raw``: it may)."""
    at = len(view) - _END.size
    sign, disk, first, here, count, size, start, comment = view.unpack(_END, at)
    if sign != 0x06054B50 or disk or first or here != count or comment or start + size != at:
        raise Refused(
            "end of central directory", "a comment, a gap, several disks, or no end at all", [Range(at, len(view))]
        )
    out = []
    place = start
    for _ in range(count):
        sign, made, needed, flags, method, time, date, crc, packed, whole, *rest = view.unpack(_CENTRAL, place)
        length, more, note, part, internal, external, local = rest
        if sign != 0x02014B50 or note or part:
            raise Refused(f"central record at {place}", "no record, or one with a comment")
        names = place + _CENTRAL.size
        entry = _Entry(
            at=place, made=made, needed=needed, flags=flags, method=method, time=date << 16 | time, crc=crc,
            packed=packed, size=whole, internal=internal, external=external, name=view.take(names, length),
            extra=_extra(view.take(names + length, more)), local=local,
        )  # fmt: skip
        out.append(entry)
        place = names + length + more
    if view.startswith(b"PK\6\7", at - 20):
        raise Refused("end of central directory", "a locator of ZIP64 before it", [Range(at - 20, at)])
    if place != at:
        raise Refused("central directory", "its records do not fill it", [Range(place, at)])
    end = 0
    for entry in sorted(out, key=lambda e: e.local):
        if entry.local != end:
            raise Refused(f"local header at {entry.local}", "a gap or an overlap before it", [Range(end, entry.local)])
        end = _local(view, entry)
    if end == start:
        return out, None
    block = block_start(view, end, start) if raw else -1
    if block < 0:
        raise Refused("central directory", "bytes before it that belong to no member", [Range(end, start)])
    return out, (block, start)


def _extra(raw: bytes) -> tuple[tuple[int, bytes], ...]:
    out = []
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise Refused("extra field", "does not fill its place")
        kind, size = struct.unpack_from("<HH", raw, at)
        if at + 4 + size > len(raw) or kind == 1:
            raise Refused("extra field", "does not fill its place, or is of ZIP64")
        out.append((kind, raw[at + 4 : at + 4 + size]))
        at += 4 + size
    if len({kind for kind, _ in out}) != len(out):
        raise Refused("extra field", "two of one kind")
    return tuple(out)


def _local(view: View, entry: _Entry) -> int:
    """Check a local header against its central record; returns where the member ends."""
    at = entry.local
    sign, needed, flags, method, time, date, crc, packed, size, length, more = view.unpack(_LOCAL, at)
    name = view.take(at + _LOCAL.size, length)
    same = (0x04034B50, entry.needed, entry.flags, entry.method, entry.time, entry.name)
    if (sign, needed, flags, method, date << 16 | time, name) != same:
        where = [Range(at, at + 30)]
        raise Refused(f"local header at {at}", "states something else than the central directory", where)
    if entry.flags & ~_KNOWN_FLAGS or entry.method not in (0, 8) or (entry.method == 0 and entry.flags & _DESCRIPTOR):
        raise Refused(f"local header at {at}", f"flags {entry.flags:#x} or method {entry.method} are not decided")
    entry.extra_local = _extra(view.take(at + _LOCAL.size + length, more))
    entry.start = at + _LOCAL.size + length + more
    entry.end = end = entry.start + entry.packed
    view.mem(entry.start, entry.packed)
    stated = (entry.crc, entry.packed, entry.size)
    entry.ahead = (crc, packed, size)
    if not entry.flags & _DESCRIPTOR:
        if (crc, packed, size) != stated:
            raise Refused(f"local header at {at}", "states another checksum or size than the central directory")
        return end
    if (crc, packed, size) not in ((0, 0, 0), (0, 0, entry.size), stated):
        raise Refused(f"local header at {at}", "states another checksum or size than the central directory")
    raw = struct.pack("<III", *stated)
    if view.startswith(_MARK + raw, end):
        return end + 16
    if view.startswith(raw, end) and not raw.startswith(_MARK):
        entry.marked = False
        return end + 12
    raise Refused(f"descriptor at {end}", "is not there, or states something else")


def _content(view: View, entry: _Entry) -> Iterator[Buffer]:
    """A member's bytes, with its checksum and size."""
    crc = size = 0
    if entry.method:
        pieces: Iterator[Buffer] = inflated(view, entry.start, entry.end)
    else:
        pieces = iter([view.mem(entry.start, entry.packed)])
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        if size > entry.size:
            break
        yield piece
    if (crc, size) != (entry.crc, entry.size):
        raise Refused(f"member at {entry.local}", "its checksum or size is wrong", [Range(entry.start, entry.end)])


def _tree(view: View, spool: Spool, raw: bool) -> tuple[Tree, list[bytes], tuple[int, int] | None]:
    """The archive's members, their names as the local headers follow one another, and where its signing block stands.
    ``raw``: it is an APK; that keeps method, extra fields and alignment exact."""
    tree = Tree()
    entries, block = _entries(view, raw)
    update = any(entry.name in (_UPDATE, _UPDATE + b".pb") for entry in entries)  # it states the members' places
    for entry in entries:
        if b"\\" in entry.name or entry.name.startswith(b"/"):
            raise Refused(f"central record at {entry.at}", "a name that leads elsewhere on some systems")
        folder = entry.name.endswith(b"/")
        if folder and entry.size:
            raise Refused(f"central record at {entry.at}", "a folder with content")
        place = spool.put(_content(view, entry))
        mapped = _mapped(entry, spool.read(place.start, min(place.length, 4)), update)
        timed = (_TIMES, _TIMES_NTFS)
        known = {n: [(k, v) for k, v in e if k not in timed] for n, e in (("c", entry.extra), ("l", entry.extra_local))}
        times = tuple((k, v) for k, v in (*entry.extra, *entry.extra_local) if k in timed)
        _check_times(entry)
        usual = entry.made & 0xFF in _WRITERS and not raw
        made = entry.made & 0xFF00 | _WRITERS[0] if usual else entry.made
        tree.add(
            Node(
                name=entry.name,
                kind="directory" if folder else "file",
                attributes={
                    "system and version that made it": made,
                    "version needed": 20 if entry.needed == 10 and not raw else entry.needed,
                    "external attributes": f"{entry.external:#010x}",
                    "internal attributes": entry.internal & ~1,
                    "flags": entry.flags & ~_FREE_FLAGS,
                    "extra fields": known,
                    **_stored_as(entry, raw),
                    **mapped,
                    **_link(entry, place, spool),
                },
                stated={
                    **stated(entry.name, entry.made, entry.needed, entry.external, entry.internal, entry.flags & _UTF8),
                    **owner(known),
                    **_stored_as(entry, raw),
                    **({} if mapped == {"method": 0} else mapped),  # as it is, it can be used there
                    **_link(entry, place, spool),
                },
                place=None if folder else place,
                time=(entry.time, times),
                free=(
                    Free("zip.time", (entry.time, times), Range(entry.at + 12, entry.at + 16)),
                    Free("zip.encoding", entry.made, Range(entry.at + 4, entry.at + 5)),
                    Free("zip.text-mark", entry.internal & 1, Range(entry.at + 36, entry.at + 38)),
                    Free(
                        "zip.encoding",
                        (entry.method, entry.flags & _FREE_FLAGS, entry.needed, entry.ahead, _digest(view, entry)),
                        Range(entry.local, entry.end),
                    ),
                ),
            )
        )
    return tree, [e.name for e in sorted(entries, key=lambda e: e.local)], block


def _stored_as(entry: _Entry, raw: bool) -> dict[str, object]:
    """How a member is stored, where readers act on it."""
    of_apk = {"method": entry.method, **_alignment(entry)} if raw else {}
    return {**of_apk, **({} if entry.marked else {"descriptor": "without its mark"})}


def _mapped(entry: _Entry, head: bytes, update: bool) -> dict[str, object]:
    """Of a member that is used where it stands, how it is stored; where something states it, its place too."""
    if not (update or head in _ARCHIVES or _MAPPED.fullmatch(entry.name)):
        return {}
    exact = update or entry.name == b"mimetype"
    return {"method": entry.method, **({"place": entry.start, "size": entry.packed} if exact else {})}


def _link(entry: _Entry, place: Place, spool: Spool) -> dict[str, object]:
    """Where a member leads that unzip makes a symbolic link of (Info-ZIP: made on Unix, mode in the upper half)."""
    if entry.external >> 28 != 0xA:
        return {}
    if place.length > _PATH:
        raise Refused(f"member at {entry.local}", "a link to more than a path")
    return {"link": spool.read(place.start, place.length)}


def _alignment(entry: _Entry) -> dict[str, object]:
    """Whether an APK's stored member can be mapped: tables by four bytes, libraries by pages of either size."""
    units = (4, 4096, 16384) if entry.name.endswith(b".so") else (4,)
    return {} if entry.method else {f"aligned to {unit}": entry.start % unit == 0 for unit in units}


def _digest(view: View, entry: _Entry) -> tuple[int, int]:
    """What tells two encodings of one content apart (for the books only)."""
    data = view.mem(entry.start, entry.packed)
    return zlib.crc32(data), zlib.adler32(data)


def _check_times(entry: _Entry) -> None:
    """An extended timestamp: a byte of flags, and four bytes for each time that they announce, in the directory for all
    of them (libarchive) or for the first alone. Times of NTFS: one attribute of three times of eight bytes."""
    for (kind, raw), central in (*((x, True) for x in entry.extra), *((x, False) for x in entry.extra_local)):
        if kind == _TIMES:
            flags = raw[0] if raw else 8
            sizes = {5 if central else 0, 1 + 4 * (flags & 7).bit_count()}
            if flags & ~7 or len(raw) not in sizes or not flags & 1:
                raise Refused(f"central record at {entry.at}", "a timestamp in an odd form")
        if kind == _TIMES_NTFS and not (len(raw) == 32 and raw.startswith(_NTFS)):
            raise Refused(f"central record at {entry.at}", "times of NTFS in an odd form")


def _directory(view: View) -> int:
    """Where the end record says that the central directory begins."""
    return min(view.u32(len(view) - _END.size + 16), len(view)) if len(view) >= _END.size else 0


def _compare(work: Work) -> None:
    views = [view for view, _ in work.sides]
    raw = any(view.find(b"AndroidManifest.xml", _directory(view)) >= 0 for view in views)
    (a, stored_a, block_a), (b, stored_b, block_b) = (_tree(view, work.spool, raw) for view in views)
    _blocks(work, block_a, block_b)
    _stored(work, (a, stored_a), (b, stored_b))
    proved = {n: "whl.record" for n in a.nodes if _RECORD.fullmatch(n) and all(_recorded(work, t, n) for t in (a, b))}
    compare_trees(work, a, b, order="zip.order", proved=proved | settle(work, a, b))


def _stored(work: Work, a: tuple[Tree, list[bytes]], b: tuple[Tree, list[bytes]]) -> None:
    """The order of the local headers, by which a reader of the stream goes (JarInputStream, BusyBox)."""
    if stream_differs(a[1], b[1]) and any(n.upper() == MANIFEST for tree, _ in (a, b) for n in tree.nodes):
        work.account.refuse(
            "order", "the first members differ: a reader of the stream takes manifest and signatures there"
        )
    ours, theirs = ([n for n in mine if n in other[0].nodes] for (_, mine), other in ((a, b), (b, a)))
    if ours == theirs:
        return
    if odd := order_matters(a[0], b[0]):
        work.account.refuse("order", f"of the local headers: {odd}")
    work.account.explain("zip.order", [Range(0, len(work.a))], [Range(0, len(work.b))])


def _blocks(work: Work, a: tuple[int, int] | None, b: tuple[int, int] | None) -> None:
    """Account for the signing blocks of an APK; each must verify with a key that its own side declares."""
    raw = []
    for view, block, record in ((work.a, a, work.record_a), (work.b, b, work.record_b)):
        if block:
            verify(view, *block, record.keys if record else [])
        raw.append(view.take(block[0], block[1] - block[0]) if block else b"")
    if raw[0] != raw[1]:
        here, there = ([Range(*block)] if block else [] for block in (a, b))
        work.account.explain("apk.signature", here, there, "" if a and b else "only one of the two is signed")


def _recorded(work: Work, tree: Tree, name: bytes) -> bool:
    """Whether a wheel's RECORD lists exactly the wheel's files, each once, with its SHA-256 and size."""
    node = tree.nodes.get(name)
    if node is None or node.place is None or node.place.length > _LONGEST:
        return False
    wanted = {name + b",,"}
    for other in tree.nodes.values():
        if other.place is not None and other is not node:
            counted = hashlib.sha256()
            for at in range(0, other.place.length, _STEP):
                counted.update(work.read(other.place, at, _STEP))
            coded = base64.urlsafe_b64encode(counted.digest()).rstrip(b"=")
            wanted.add(b"%b,sha256=%b,%d" % (other.name, coded, other.place.length))
    found = work.all_of(node.place, _LONGEST).replace(b"\r\n", b"\n")
    return found.endswith(b"\n") and sorted(found[:-1].split(b"\n")) == sorted(wanted)


COMPARATORS: Final = [
    Comparator(
        name="zip", claims=lambda v: v.startswith(b"PK") and v.take(2, 2) in (b"\3\4", b"\5\6"), compare=_compare
    )
]
