"""Tar archives (ustar, pax, GNU): the tree that extraction by root makes.

Mode, owner (number and name), device, link and extended attributes are exact; times, order and blocking are free, and
so is the dialect where it says the same, but for what dpkg and opkg read. Numbers must stand in one of the forms that
archivers write. Sparse members, global headers and unknown types are refused.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._polyglot import runs_from_its_start
from banbury.compare.equivalence.containers.contract import EXACT, PACKAGE, Comparator, Free, Place, Work, zero
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.places import SECOND
from banbury.compare.equivalence.tree import Node, Tree, compare_trees, plain_name
from banbury.formats.view import View

BLOCK: Final = 512
_KINDS: Final = {
    b"0": "file", b"1": "hard link", b"2": "symbolic link", b"3": "character device",
    b"4": "block device", b"5": "directory", b"6": "fifo",
}  # fmt: skip
_OWN: Final = {"uname": "user", "gname": "group"}  # names of pax records that fields of a header have others for
_HEADERS: Final = "header's "  # before what only a header says: no record may be called so
_TIMES: Final = frozenset(("mtime", "atime", "ctime"))
_LAST: Final = 1 << 31  # seconds since 1970 that fit into 32 bits with a sign
_LARGEST: Final = 8**11  # bytes, and more than eleven octal digits say
_LONGEST: Final = 1 << 20  # bytes of a pax header or long name
_PARTS: Final = re.compile(rb"(control|data)\.tar(\.(gz|xz|zst|bz2|lzma))?")
_EXTENDED: Final = re.compile(rb"(.*/)?PaxHeaders(\.[0-9]+)?(/.*)?|\./\./@PaxHeader", re.DOTALL)
_ORDER: Final = ("tar.mtime", "tar.pax-name", "tar.dialect", "tar.extended-times", "tar.long-name")
_LONG: Final[dict[object, str]] = {b"L": "path", b"K": "linkpath"}
_SYSTEM: Final = (b"", b"root", b"wheel")  # names of the owner that archivers give to long names


class Header(Struct, kw_only=True):
    """One 512-byte header with every field checked for its form."""

    at: int
    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    kind: bytes
    link: bytes
    dialect: str
    uname: bytes
    gname: bytes
    rdev: tuple[int, int]

    def fixed(self) -> dict[str, object]:
        return {"mode": self.mode, "uid": self.uid, "gid": self.gid, "user": self.uname, "group": self.gname}


def read_header(view: View, at: int) -> Header:
    """The header at ``at``. Raises ``Refused`` where a field has no form that archivers write."""
    raw = view.take(at, BLOCK)
    magic = raw[257:265]
    if magic not in (b"ustar\x0000", b"ustar  \0"):
        raise Refused(f"header at {at}", "neither ustar nor GNU", [Range(at, at + BLOCK)])
    posix = magic == b"ustar\x0000"
    checksum = raw[148:156]
    total = sum(raw[:148]) + sum(raw[156:]) + 256
    if checksum not in (b"%06o\0 " % total, b"%07o\0" % total):
        raise Refused(f"header at {at}", "its checksum is wrong or in another form", [Range(at + 148, at + 156)])
    if any(raw[500:] if posix else raw[345:]):
        raise Refused(f"header at {at}", "bytes that must be zero are not", [Range(at + 345, at + BLOCK)])
    name = _text(raw, 0, 100, at)
    prefix = _text(raw, 345, 155, at) if posix else b""
    kind = raw[156:157]
    device = kind in (b"3", b"4")
    rdev = (_device(raw, 329, at, device), _device(raw, 337, at, device))
    return Header(
        at=at,
        name=prefix + b"/" + name if prefix else name,
        mode=_number(raw, 100, 8, at),
        uid=_number(raw, 108, 8, at),
        gid=_number(raw, 116, 8, at),
        size=_number(raw, 124, 12, at),
        mtime=_number(raw, 136, 12, at),
        kind=kind,
        link=_text(raw, 157, 100, at),
        dialect="ustar" if posix else "gnu",
        uname=_text(raw, 265, 32, at),
        gname=_text(raw, 297, 32, at),
        rdev=rdev,
    )


def _text(raw: bytes, start: int, size: int, at: int) -> bytes:
    field = raw[start : start + size]
    text = field.rstrip(b"\0")
    if b"\0" in text:
        raise Refused(f"header at {at}", "bytes behind the end of a text", [Range(at + start, at + start + size)])
    return text


def _number(raw: bytes, start: int, size: int, at: int) -> int:
    """Octal digits and one zero byte or, of 8 bytes, six digits, a space and a zero; or base 256 where it must be."""
    field = raw[start : start + size]
    if field[-1:] == b"\0" and field[:-1].isdigit() and not {*field} & {0x38, 0x39}:
        return int(field[:-1], 8)
    if size == 8 and field[-2:] == b" \0" and field[:-2].isdigit() and not {*field} & {0x38, 0x39}:
        return int(field[:-2], 8)
    if size == 12 and field[-1:] == b" " and field[:-1].isdigit() and not {*field} & {0x38, 0x39}:
        return int(field[:-1], 8)
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
        if value >= 8 ** (size - 1):
            return value
    raise Refused(f"header at {at}", "a number in an odd form", [Range(at + start, at + start + size)])


def _device(raw: bytes, start: int, at: int, device: bool) -> int:
    if raw[start : start + 8] == bytes(8) and not device:
        return 0
    value = _number(raw, start, 8, at)
    if value and not device:
        where = [Range(at + start, at + start + 8)]
        raise Refused(f"header at {at}", "a device number where there is no device", where)
    return value


class _Reader:
    """Reads one archive to its last byte."""

    def __init__(self, view: View, base: int, spool: bool = False, *, exact: bool = True) -> None:
        """``exact``: the forms in which names and times are stated count (see :func:`_compare`)."""
        self.view, self.base, self.spool, self.exact = view, base, spool, exact
        self.tree = Tree()
        self.dialects: set[str] = set()
        self.blocking = Range(0, 0)

    def read(self) -> Tree:
        view, size, at = self.view, len(self.view), 0
        if size % BLOCK:
            raise Refused("archive", "not a whole number of blocks")
        while at < size and view.u8(at):
            at = self._member(at)
        if size - at < 2 * BLOCK:
            raise Refused("archive", "no end mark of two zero blocks")
        zero(view, at, size, "end of archive")
        self.blocking = Range(at + 2 * BLOCK, size)
        return self.tree

    def _member(self, at: int) -> int:
        pax: dict[str, bytes] = {}
        extra: dict[str, object] = {"extensions": 0}
        free: list[Free] = []
        head = read_header(self.view, at)
        while head.kind in (b"x", b"L", b"K"):
            body = self._body(head)
            where = Range(head.at, body.end)
            if head.kind == b"x":
                if pax:
                    raise Refused(f"header at {at}", "two pax headers for one member")
                pax = _records(self.view.take(body.start, head.size), body.start)
                if not self.exact and _plain(head, pax):
                    free.append(Free("tar.extended-times", (head.name, head.mode, head.mtime), where))
                else:
                    _extended(head, extra, free)
            else:
                _long_name(self.view, head, body, pax)
                if not self.exact and _usual(head):
                    free.append(Free("tar.long-name", (head.kind, head.mode, head.uname, head.gname), where))
                else:
                    extra |= {f"long name's {n}": v for n, v in (*head.fixed().items(), ("mtime", head.mtime))}
            at = _rounded(body.end)
            head = read_header(self.view, at)
        size = self._size(head, pax)
        self._add(head, size, pax, extra, free)
        return _rounded(at + BLOCK + size)

    def _body(self, head: Header) -> Range:
        if head.size > _LONGEST:
            raise Refused(f"header at {head.at}", f"a header of {head.size} bytes")
        body = Range(head.at + BLOCK, head.at + BLOCK + head.size)
        zero(self.view, body.end, _rounded(body.end), "padding")
        if head.link or head.rdev != (0, 0):
            raise Refused(f"header at {head.at}", "an extension header that is a link or device")
        self.dialects.add(head.dialect)
        return body

    def _size(self, head: Header, pax: dict[str, bytes]) -> int:
        """The size of a member's content, in bytes. Readers that do not know pax go by the header, so that a record
        may only repeat it, or say what no header can."""
        size = _decimal(pax.pop("size")) if "size" in pax else head.size
        if size != head.size and not (size >= _LARGEST and head.size == 0):
            raise Refused(f"header at {head.at}", f"a size of {head.size}, and of {size} in its pax header")
        return size

    def _add(self, head: Header, size: int, pax: dict[str, bytes], extra: dict[str, object], free: list[Free]) -> None:
        kind = _KINDS.get(head.kind)
        if kind is None:
            raise Refused(f"header at {head.at}", f"members of type {head.kind!r} are not decided")
        self.dialects.add(head.dialect)
        # A reader that passes over extended headers (BusyBox) takes what the member's own header says.
        own = {**head.fixed(), "path": head.name, "linkpath": head.link}
        hidden = {f"{_HEADERS}{n}": own[_OWN.get(n, n)] for n in pax if _OWN.get(n, n) in own}
        for key in _usual_names(free):
            if own[key] in (pax[key][:99], pax[key][:100]):  # as archivers write it
                at = head.at + (0 if key == "path" else 157)
                free.append(Free("tar.long-name", (key, hidden.pop(f"{_HEADERS}{key}")), Range(at, at + 100)))
        name, link = pax.pop("path", head.name), pax.pop("linkpath", head.link)
        if kind != "directory" and name.endswith(b"/"):  # GNU tar and libarchive make a directory of it
            raise Refused(f"header at {head.at}", f"a {kind} with the name of a directory")
        if kind != "file" and size:
            raise Refused(f"header at {head.at}", f"a {kind} with content")
        if link and kind not in ("hard link", "symbolic link"):
            raise Refused(f"header at {head.at}", f"a {kind} with a link's target")
        fixed = head.fixed() | {n: _decimal(pax.pop(n)) for n in ("uid", "gid") if n in pax}
        fixed |= {new: pax.pop(old) for old, new in (("uname", "user"), ("gname", "group")) if old in pax}
        if kind.endswith("device"):
            fixed["device"] = f"{head.rdev[0]}:{head.rdev[1]}"
        if link:
            fixed["link"] = link
        times = tuple((n, pax.pop(n)) for n in sorted(_TIMES) if n in pax)
        free.append(Free("tar.mtime", (head.mtime, times), Range(head.at + 136, head.at + 148)))
        if late := [
            t for t in (head.mtime, *(int(value.partition(b".")[0]) for _, value in times)) if not 0 <= t < _LAST
        ]:
            extra["times that some readers cannot keep"] = (
                late  # dpkg, and tar where time has 32 bits, end with an error
            )
        if not self.exact:
            free.append(Free("tar.dialect", head.dialect, Range(head.at + 257, head.at + 265)))
            if self.view.u8(head.at + 345):
                free.append(Free("tar.long-name", "prefix", Range(head.at + 345, head.at + 500)))
        start = head.at + BLOCK
        zero(self.view, start + size, _rounded(start + size), "padding")
        self.view.mem(start, size)
        self.tree.add(
            Node(
                name=name,
                kind=kind,
                attributes={**fixed, **extra, **hidden, **{f"pax {n}": v for n, v in pax.items()}},
                place=Place(self.base + start, size, self.spool) if kind == "file" else None,
                free=tuple(sorted(free, key=lambda field: _ORDER.index(field.rule))),
                time=_changed(head.mtime, times),
                hints=_hints(plain_name(name)),
            )
        )


def _changed(stated: int, times: tuple[tuple[str, bytes], ...]) -> object:
    """A member's time in nanoseconds. A reader that does not know pax takes the header's, so that both must agree for
    it to be one."""
    more = dict(times).get("mtime")
    if more is None:
        return stated * SECOND
    whole, _, part = more.partition(b".")
    return stated * SECOND + int(part.ljust(9, b"0")) if whole.isdigit() and int(whole) == stated else (stated, more)


def _usual_names(free: list[Free]) -> list[str]:
    """What GNU tar's members have stated as archivers write them."""
    kinds = (f.value[0] for f in free if f.rule == "tar.long-name" and isinstance(f.value, tuple))
    return [_LONG[kind] for kind in kinds]


def _hints(name: bytes) -> tuple[str, ...]:
    found = _PARTS.fullmatch(name)
    return (*((EXACT,) if found[1] == b"control" else ()), PACKAGE) if found else ()


def _plain(head: Header, pax: dict[str, bytes]) -> bool:
    """Whether a pax header states times alone, and is itself as archivers write it."""
    usual = head.mode in (0, 0o644) and not (head.uid or head.gid or head.uname or head.gname)
    return usual and pax.keys() <= _TIMES and head.mtime < _LAST and _EXTENDED.fullmatch(head.name) is not None


def _usual(head: Header) -> bool:
    """Whether the header of a long name is as archivers write it."""
    names = head.uname in _SYSTEM and head.gname in _SYSTEM
    return names and head.mode in (0, 0o644) and not (head.uid or head.gid or head.mtime)


def _extended(head: Header, extra: dict[str, object], free: list[Free]) -> None:
    """Enter the header of a pax header."""
    extra |= {f"pax {_HEADERS}{n}": v for n, v in head.fixed().items()}
    if head.mtime >= _LAST:
        extra["pax header's time"] = head.mtime  # as below
    extra["pax header's name"] = re.sub(rb"PaxHeaders\.[0-9]+/", b"PaxHeaders/", head.name)
    extra["extensions"] = 1
    free.append(Free("tar.mtime", head.mtime, Range(head.at + 136, head.at + 148)))
    free.append(Free("tar.pax-name", head.name, Range(head.at, head.at + 100)))


def _rounded(at: int) -> int:
    return -(-at // BLOCK) * BLOCK


def _decimal(raw: bytes) -> int:
    if not raw.isdigit() or len(raw) > 18 or (raw[:1] == b"0" and raw != b"0"):
        raise Refused("pax header", "a number that is none, or with zeros before it")
    return int(raw)


def _long_name(view: View, head: Header, body: Range, into: dict[str, bytes]) -> None:
    raw = view.take(body.start, head.size)
    key = _LONG[head.kind]
    if head.name != b"././@LongLink" or raw[-1:] != b"\0" or b"\0" in raw[:-1] or key in into or len(raw) < 2:
        raise Refused(f"header at {head.at}", "a long name in another form than GNU tar's")
    into[key] = raw[:-1]


def _records(raw: bytes, start: int) -> dict[str, bytes]:
    """The records of a pax header: ``length key=value\\n``, to the last byte."""
    out: dict[str, bytes] = {}
    at = 0
    while at < len(raw):
        space = raw.find(b" ", at, at + 12)
        digits = raw[at:space] if space > at else b""
        length = int(digits) if digits.isdigit() and digits[:1] != b"0" else 0
        record = raw[space + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or record[-1:] != b"\n" or at + length > len(raw) or not key:
            raise Refused("pax header", "a record that is none", [Range(start + at, start + len(raw))])
        name = key.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")  # other bytes, another name
        if name in out or name.startswith(("GNU.sparse", _HEADERS)):
            why = f"{name} twice, or a sparse file, or named as a header's field"
            raise Refused("pax header", why, [Range(start + at, start + at + length)])
        if name in _TIMES and not re.fullmatch(rb"-?[0-9]{1,12}(\.[0-9]{1,9})?", value):
            raise Refused("pax header", f"{name} is no time", [Range(start + at, start + at + length)])
        out[name] = value
        at += length
    return out


def read_tree(view: View, base: int, *, exact: bool = True) -> tuple[Tree, set[str], Range]:
    """The tree of one archive, its dialects, and the zero bytes behind its end mark. ``base``: where the view starts
    in the input that places refer to; ``exact``: the forms of names and times count."""
    reader = _Reader(view, base, exact=exact)
    return reader.read(), reader.dialects, reader.blocking


def _compare(work: Work) -> None:
    if any(runs_from_its_start(view) for view, _ in work.sides):
        raise Refused("archive", "its first bytes are a program's")
    # dpkg knows no pax headers, and opkg not all forms: what a package is made of states everything in the same form
    exact = PACKAGE in work.hints
    (a, dialects_a, tail_a), (b, dialects_b, tail_b) = (read_tree(v, p.start, exact=exact) for v, p in work.sides)
    if not exact and any(plain_name(n) == b"debian-binary" for n in (*a.nodes, *b.nodes)):
        exact = True
        (a, dialects_a, tail_a), (b, dialects_b, tail_b) = (read_tree(v, p.start) for v, p in work.sides)
    if exact:
        work.exactly("archive", {"dialect": sorted(dialects_a)}, {"dialect": sorted(dialects_b)})
    if tail_a.end - tail_a.start != tail_b.end - tail_b.start:
        work.account.explain("tar.blocking", [tail_a], [tail_b])
    proved = {n: "deb.md5sums" for n in (*a.nodes, *b.nodes) if "md5sums" in work.hints and plain_name(n) == b"md5sums"}
    compare_trees(work, a, b, order="tar.order", parents=True, proved=proved)


def _claims(view: View) -> bool:
    return len(view) >= BLOCK and view.take(257, 5) == b"ustar"


COMPARATORS: Final = [Comparator(name="tar", claims=_claims, compare=_compare)]
