"""What a container reader yields: members, who owns each byte, checks and notes.

An *entry* is a member of a container (a file, a directory, a link, a chunk carved out of an image).
A *region* says which one thing a run of the container's bytes belongs to. The regions of a
:class:`Dissection` partition the container: every byte has exactly one owner.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """What a run of bytes is, seen from the container it lies in."""

    MEMBER = "member"  # content of a member, stored or compressed
    HEADER = "header"  # a header, with every field known to the reader
    TABLE = "table"  # the format's own metadata: inode tables, directories, trees
    CHECK = "check"  # a checksum or signature
    PADDING = "padding"  # constant fill (one repeated byte), erased flash included
    UNREAD = "unread"  # nobody could say what this is, or reading it failed


class Region(Struct, frozen=True, array_like=True):
    """Bytes ``start`` to ``end`` (exclusive, from the container's first byte) have this owner.

    ``member`` is the index of the entry whose content the bytes hold, or -1.
    """

    start: int
    end: int
    role: Role
    name: str
    member: int = -1


class Kind(StrEnum):
    """The type of an entry. ``CHUNK`` is a stretch carved out of an image: it has no name of its own."""

    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHAR = "char"
    BLOCK = "block"
    FIFO = "fifo"
    SOCKET = "socket"
    CHUNK = "chunk"


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One member as its container describes it. Nothing here has been followed or trusted.

    ``path`` is for people: UTF-8 with undecodable or control bytes written ``\\xNN``, and a backslash that would be
    read as the start of such an escape ``\\x5c``, so that two names are never one; no leading slash, as stored
    otherwise (``..`` stays). ``raw`` holds the name's own bytes where ``path`` is not exactly those.
    ``mode`` is the permission bits with setuid, setgid and sticky (octal 07777) or -1 where the format has none;
    ``mtime`` is in seconds since 1970 UTC, or -1; ``link`` is a link's target as stored;
    ``inode`` tells hard links of one file apart from copies, or is -1. ``size`` is what the container
    states, in bytes. ``user`` and ``group`` are the names of the owner, where the format states names.
    """

    path: str
    kind: Kind
    raw: bytes = b""
    size: int = 0
    mode: int = -1
    uid: int = -1
    gid: int = -1
    mtime: int = -1
    link: str = ""
    inode: int = -1
    rdev: tuple[int, int] | None = None
    user: str = ""
    group: str = ""
    xattrs: dict[str, bytes] = {}
    format: str = ""  # for a chunk: the name of the reader that claimed it


class Content(Struct, frozen=True, array_like=True):
    """Where the bytes of entry ``member`` are: ``length`` bytes from ``start`` of the container (``stored``)
    or of the reader's spool (not ``stored``). ``complete`` is false where decoding stopped early."""

    member: int
    start: int
    length: int
    stored: bool
    complete: bool = True


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something odd or hostile that a reader met and survived. ``code`` is from :data:`NOTE_CODES`."""

    code: str
    detail: str
    path: str = ""
    start: int = -1
    end: int = -1


class Check(Struct, frozen=True, kw_only=True):
    """The container's own statement about itself (``expected``) beside what the reader counted (``found``)."""

    what: str
    expected: int
    found: int

    @property
    def ok(self) -> bool:
        return self.expected == self.found


#: Every code a reader may note, with what it means.
NOTE_CODES: dict[str, str] = {
    "path-traversal": "a name that climbs out of its tree (``..`` or an absolute path)",
    "link-escape": "a link whose target lies outside the tree",
    "link-loop": "links that lead back to themselves",
    "device-node": "a character or block device in the tree",
    "duplicate-name": "two members with the same name; readers of this format differ in which one wins",
    "odd-name": "a name that is empty, not UTF-8, or holds control bytes or separators",
    "bomb": "output out of proportion to its input; unpacking stopped at the budget",
    "sparse": "a member that states more bytes than it stores",
    "truncated": "the container ends before its own structures say it does",
    "malformed": "a structure that breaks the format's grammar",
    "checksum": "a stored checksum does not match its bytes",
    "unsupported": "a feature of the format that this reader does not read",
    "overlap": "two structures claim the same bytes",
    "hidden": "bytes that the format's usual consumers never look at, and that are not constant fill",
    "mismatch": "two places that state the same fact state different ones",
    "encrypted": "content that is encrypted",
    "loop": "a structure that refers back to itself",
}


class Dissection(Struct, frozen=True, kw_only=True):
    """Everything one reader says about one blob.

    ``format`` is the reader's name, ``""`` where no reader claims the blob; ``error`` is set where reading stopped
    early, and what stands before it remains. ``properties`` are the header's facts worth showing (strings only).
    """

    format: str
    size: int
    regions: list[Region]
    entries: list[Entry]
    contents: list[Content]
    notes: list[Note]
    checks: list[Check]
    properties: dict[str, str]
    error: str = ""
