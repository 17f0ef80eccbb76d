"""Headers of tar archives in every dialect, and the walk along them.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format",
"Storing Sparse Files" and "GNU Extensions to the Archive Format"; FreeBSD, tar(5).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterator

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed, Truncated

BLOCK = 512
ZERO = bytes(BLOCK)

#: Bytes of a long name and of a pax header that are read; more is malformed.
_NAME_LIMIT = 1 << 16
_PAX_LIMIT = 16 << 20
#: Bytes of one value of a global pax header, since every member repeats it.
_GLOBAL_LIMIT = 4096
#: Bytes of an owner's name that are kept (LOGIN_NAME_MAX of Linux is 256); of a longer one, its SHA-256.
_OWNER_LIMIT = 255
_SPACES = b"        "
_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
_XATTR = "SCHILY.xattr."
_KEPT = ("GNU.sparse.", _XATTR, "LIBARCHIVE.xattr.", "RHT.security.")
#: The pax keywords that are read, beside those that start with one of ``_KEPT``.
_KEYS = frozenset(("path", "linkpath", "size", "mtime", "uid", "gid", "uname", "gname"))


class Member(Struct, kw_only=True):
    """One member with its extensions applied. ``head`` is where its first extension header starts, ``data`` where its
    content does; ``stored`` bytes are there, then zeros to a multiple of 512, up to ``end``. ``own_size`` is what the
    ustar field says, where a pax record says otherwise; ``user`` and ``group`` are the owner's names, which
    archives of Version 7 do not have; ``pieces`` is the sparse map (offset, length) or ``None``."""

    head: int
    data: int
    end: int
    sort: bytes
    name: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    stored: int
    size: int
    rdev: tuple[int, int]
    pax: dict[str, bytes]
    own_size: int
    user: bytes = b""
    group: bytes = b""
    pieces: list[tuple[int, int]] | None = None
    lone_zero: bool = False


def number(field: bytes) -> int:
    """An octal or base-256 number; 0 where the field is blank."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field, "big")
        return value if field[0] == 0xFF else value & ~(0x80 << 8 * (len(field) - 1))
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit():
        raise Malformed(f"tar: {digits[:12]!r} is no octal number")
    try:
        return int(digits, 8)
    except ValueError as problem:
        raise Malformed(f"tar: {digits[:12]!r} is no octal number") from problem


def is_header(block: bytes) -> bool:
    """Whether the checksum of a 512-byte header matches; some old writers summed signed bytes."""
    try:
        stored = number(block[148:156])
    except Malformed:
        return False
    total = sum(block) - sum(block[148:156]) + 256
    if total == stored:
        return True
    return total - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127) == stored


class Walk:
    """Iterate for members; afterwards ``end`` is the offset behind the end-of-archive blocks, or where the last whole
    member ends if there are none (``closed`` is false). Raises ``Malformed`` or ``Truncated`` at the first block that
    is neither a header nor an end. Of global pax headers only short values of :data:`_KEYS` count."""

    def __init__(self, view: View, start: int) -> None:
        self._view = view
        self._at = start
        self._globals: dict[str, bytes] = {}
        self.end = start
        self.closed = False
        self.label = b""
        self.comment = b""

    def __iter__(self) -> Iterator[Member]:
        lone = False
        while True:
            block = self._view.take(self._at, BLOCK)
            if block == ZERO:
                if self._view.startswith(ZERO, self._at + BLOCK) or not self._more(self._at + BLOCK):
                    self._close()
                    return
                # GNU tar stops at one zero block, others go on at the header behind it.
                lone = True
                self._at += BLOCK
                continue
            member = self._member()
            if member is None:
                continue
            member.lone_zero, lone = lone, False
            yield member
            if member.end > len(self._view):
                raise Truncated("tar: the content is cut short", offset=member.data)
            self._at = self.end = member.end

    def _more(self, at: int) -> bool:
        return at + BLOCK <= len(self._view) and is_header(self._view.take(at, BLOCK))

    def _close(self) -> None:
        self.closed = True
        self.end = min(self._at + 2 * BLOCK, len(self._view))
        if not self._view.startswith(ZERO, self._at + BLOCK):
            self.end = self._at + BLOCK

    def _member(self) -> Member | None:
        """The member at the cursor with the extension headers before it; ``None`` after headers without a member."""
        view, head = self._view, self._at
        name = link = b""
        pax: dict[str, bytes] = {}
        while True:
            block = view.take(self._at, BLOCK)
            if block == ZERO and self._at > head:
                self.end = self._at
                return None
            if not is_header(block):
                raise Malformed("tar: no header where one is due", offset=self._at)
            sort = block[156:157]
            if sort not in b"LKxgXV":
                return self._build(block, head, name, link, pax)
            body = self._body(block, sort)
            if sort == b"L":
                name = body.split(b"\0", 1)[0]
            elif sort == b"K":
                link = body.split(b"\0", 1)[0]
            elif sort == b"g":
                self._globals |= {
                    k: v for k, v in self._records(body).items() if k in _KEYS and len(v) <= _GLOBAL_LIMIT
                }
            elif sort == b"V":
                self.label = block[:100].split(b"\0", 1)[0]
            else:
                pax |= self._records(body)

    def _body(self, block: bytes, sort: bytes) -> bytes:
        """The content of an extension header; moves the cursor behind it."""
        size = number(block[124:136])
        limit = _PAX_LIMIT if sort in b"xgX" else _NAME_LIMIT
        if not 0 <= size <= limit:
            raise Malformed(f"tar: an extension header of {size} bytes", offset=self._at)
        body = self._view.take(self._at + BLOCK, size)
        self._at += BLOCK + size + -size % BLOCK
        return body

    def _records(self, body: bytes) -> dict[str, bytes]:
        """The pax records that matter here; the last of a name counts, but for the sparse map, which repeats."""
        found: dict[str, bytes] = {}
        sparse: list[bytes] = []
        at = 0
        while at < len(body) and body[at]:
            space = body.find(b" ", at, at + 12)
            length = int(body[at:space]) if space > at and body[at:space].isdigit() else 0
            if length < space - at + 3 or space <= at or at + length > len(body) or body[at + length - 1] != 10:
                raise Malformed("tar: a pax record that breaks its grammar", offset=self._at)
            key, equals, value = body[space + 1 : at + length - 1].partition(b"=")
            at += length
            if not equals:
                raise Malformed("tar: a pax record without a value", offset=self._at)
            word = key.decode("utf-8", "replace")
            if word in {"GNU.sparse.offset", "GNU.sparse.numbytes"}:
                sparse.append(value)
            elif word in _KEYS or word.startswith(_KEPT):
                found[word] = value
            elif word == "comment":
                self.comment = value
        if sparse:
            found["GNU.sparse.map"] = b",".join(sparse)
        return found

    def _build(self, block: bytes, head: int, name: bytes, link: bytes, pax: dict[str, bytes]) -> Member:
        fields = _HEADER.unpack_from(block)
        sort = fields[7]
        pax = self._globals | pax if self._globals else pax
        own = number(fields[4])
        stored = decimal(pax, "size", own)
        # A link's or a directory's size says nothing about content (POSIX: ignored, or space to reserve).
        if sort in {b"1", b"2", b"3", b"4", b"5", b"6"}:
            stored = 0
        if stored < 0:
            raise Malformed(f"tar: a member of {stored} bytes", offset=self._at)
        data = self._at + BLOCK
        member = Member(
            head=head,
            data=data,
            end=data + stored + -stored % BLOCK,
            sort=sort,
            name=pax.get("path") or name or _ustar_name(fields),
            link=pax.get("linkpath") or link or fields[8].split(b"\0", 1)[0],
            mode=number(fields[1]),
            uid=decimal(pax, "uid", number(fields[2])),
            gid=decimal(pax, "gid", number(fields[3])),
            mtime=decimal(pax, "mtime", number(fields[5])),
            stored=stored,
            size=stored,
            rdev=(number(fields[12]), number(fields[13])) if sort in {b"3", b"4"} else (0, 0),
            pax=pax,
            own_size=own,
            user=_owner(fields, 10, pax.get("uname")),
            group=_owner(fields, 11, pax.get("gname")),
        )
        if sort == b"S":
            _old_sparse(self._view, block, member)
        elif "GNU.sparse.major" in pax or "GNU.sparse.map" in pax:
            _pax_sparse(self._view, member)
        return member


def _ustar_name(fields: tuple[bytes, ...]) -> bytes:
    name = fields[0].split(b"\0", 1)[0]
    # GNU's own dialect ("ustar  ") keeps other things where POSIX has the prefix.
    prefix = fields[14].split(b"\0", 1)[0] if fields[9][:6] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _owner(fields: tuple[bytes, ...], field: int, record: bytes | None) -> bytes:
    """The name that a header's field or a pax record gives the owner; both, where they are two: readers of this format
    differ in which one wins."""
    name = fields[field].split(b"\0", 1)[0] if fields[9][:5] == b"ustar" else b""
    if not record or record == name:
        return name
    if len(record) > _OWNER_LIMIT:
        record = hashlib.sha256(record).hexdigest().encode()
    return name + b" or " + record if name else record


def decimal(pax: dict[str, bytes], key: str, default: int) -> int:
    """A pax number; its fraction, if any, is dropped."""
    text = pax.get(key)
    if text is None:
        return default
    whole = text.partition(b".")[0]
    digits = whole[1:] if whole[:1] == b"-" else whole
    if not digits.isdigit() or len(digits) > 20:
        raise Malformed(f"tar: {key} is {text[:20]!r}")
    return int(whole)


def _old_sparse(view: View, block: bytes, member: Member) -> None:
    """The old GNU form: four pieces in the header, and blocks of 21 more behind it."""
    pieces = _slots(block, 386, 4)
    more = block[482]
    at = member.data
    while more:
        block = view.take(at, BLOCK) if at + BLOCK <= len(view) else b""
        if not block:
            raise Truncated("tar: the sparse map is cut short", offset=at)
        pieces += _slots(block, 0, 21)
        more = block[504]
        at += BLOCK
    member.size = number(view.take(member.data - BLOCK + 483, 12))
    member.end += at - member.data
    member.data = at
    member.pieces = pieces


def _slots(block: bytes, at: int, count: int) -> list[tuple[int, int]]:
    slots = [block[at + 24 * i : at + 24 * i + 24] for i in range(count)]
    return [(number(s[:12]), number(s[12:])) for s in slots if s.strip(b"\0 ")]


def _pax_sparse(view: View, member: Member) -> None:
    """The pax forms 0.0 and 0.1 (a map in the header) and 1.0 (a map of decimal lines before the content)."""
    pax = member.pax
    member.name = pax.get("GNU.sparse.name") or member.name
    member.size = decimal(pax, "GNU.sparse.realsize", decimal(pax, "GNU.sparse.size", member.size))
    if pax.get("GNU.sparse.major") == b"1":
        text, used = _map_lines(view, member)
        member.data += used
        member.stored -= used
    else:
        text = pax.get("GNU.sparse.map", b"").split(b",")
    values = [int(t) for t in text if t.isdigit() and len(t) <= 20]
    if len(values) != len(text) or len(values) % 2:
        raise Malformed("tar: the sparse map breaks its grammar", offset=member.data)
    member.pieces = list(zip(values[::2], values[1::2], strict=True))


def _map_lines(view: View, member: Member) -> tuple[list[bytes], int]:
    limit = min(member.stored, _PAX_LIMIT)
    text = view.take(member.data, min(limit, BLOCK))
    first, newline, _ = text.partition(b"\n")
    if not newline or not first.isdigit() or len(first) > 10:
        raise Malformed("tar: the sparse map breaks its grammar", offset=member.data)
    wanted = 2 * int(first)
    if 2 * wanted > limit:
        raise Malformed("tar: the sparse map is larger than its member", offset=member.data)
    while text.count(b"\n") <= wanted:
        if len(text) >= limit:
            raise Malformed("tar: the sparse map has no end", offset=member.data)
        text = view.take(member.data, min(limit, 2 * len(text)))
    lines = text.split(b"\n", wanted + 1)
    used = sum(len(line) + 1 for line in lines[: wanted + 1])
    return lines[1 : wanted + 1], used + -used % BLOCK


def xattrs(pax: dict[str, bytes]) -> dict[str, bytes]:
    """Extended attributes among pax records, as star, GNU tar and libarchive write them."""
    found: dict[str, bytes] = {}
    for key, value in pax.items():
        if key.startswith(_XATTR):
            found[key[len(_XATTR) :]] = value
        elif key.startswith("LIBARCHIVE.xattr."):
            try:
                found.setdefault(key[17:], base64.b64decode(value + b"=" * (-len(value) % 4)))
            except (binascii.Error, ValueError):
                found.setdefault(key[17:], value)
        elif key == "RHT.security.selinux":
            found.setdefault("security.selinux", value)
    return found
