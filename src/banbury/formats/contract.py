"""What every container reader is, and where it writes.

A reader is one module under ``formats/readers`` with a module constant ``READERS``. It finds (``probe``) and it
reads (``read``). It writes only through its :class:`Sink`; it opens no file, follows no link, and raises only
:class:`~banbury.model.errors.Malformed` (or lets the sink's ``BudgetExceeded`` through).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

from msgspec import Struct

from banbury.formats.view import Buffer, View
from banbury.model.tree import Entry, Role


class Magic(Struct, frozen=True, array_like=True):
    """``pattern`` stands ``at`` bytes after the start of the format."""

    pattern: bytes
    at: int = 0


class Extent(Struct, frozen=True, array_like=True):
    """The format occupies ``length`` bytes from where it was probed. ``sure`` is false where only weak evidence
    (a short magic and plausible fields, no checksum and no trial decode) supports the claim."""

    length: int
    sure: bool = True


class Sink(Protocol):
    """Where a reader writes. Offsets are in bytes from the start of the reader's view."""

    def own(self, start: int, end: int, role: Role, name: str, member: int = -1) -> None:
        """State the owner of a run of bytes. The same statement twice is one; a partial overlap keeps the first
        and is noted. Runs nobody owns become padding (constant) or unread."""

    def entry(self, entry: Entry) -> int:
        """Add a member without content (directory, link, device) and return its index."""

    def file(self, entry: Entry, pieces: Iterable[Buffer]) -> int:
        """Add a member and stream its decoded content; return its index. Where ``pieces`` raises ``Malformed``, what
        came before it is kept, the content is marked incomplete, a note is made, and the reader goes on."""

    def slice(self, entry: Entry, start: int, end: int) -> int:
        """Add a member whose content stands verbatim in the container; owns those bytes. Returns its index."""

    def alias(self, entry: Entry, member: int) -> int:
        """Add a member (a hard link) with the same content as ``member``. Returns its index."""

    def note(self, code: str, detail: str, *, path: str = "", start: int = -1, end: int = -1) -> None:
        """Record something odd or hostile; ``code`` is one of ``NOTE_CODES``."""

    def check(self, what: str, expected: int, found: int) -> None:
        """Record the container's own count beside the reader's."""

    def property(self, name: str, value: str) -> None:
        """Record a fact of the header worth showing to a person."""


class Reader(ABC):
    """One container format."""

    name: ClassVar[str]
    title: ClassVar[str]
    #: Raised whenever the reader's output can change: cached dissections of older versions are recomputed.
    version: ClassVar[int]
    #: At least one of these must match before ``probe`` is called; empty: ``probe`` is tried on whole blobs only.
    magics: ClassVar[Sequence[Magic]]
    #: Whether to look for the format at any offset of an image (else only where a blob starts).
    carve: ClassVar[bool] = True
    #: Whether the members are files of a tree (a file system) rather than payloads (of a header, a stream);
    #: ``None`` for archives, which carry either: their names tell.
    holds_files: ClassVar[bool | None] = False
    references: ClassVar[Sequence[str]] = ()
    limitations: ClassVar[Sequence[str]] = ()

    @abstractmethod
    def probe(self, view: View, start: int) -> Extent | None:
        """Whether the format stands at ``start``, and how long it is. Cheap; ``None`` (or ``Malformed``) means no.
        The length must not exceed what is there unless the format is recognisably cut short: then the
        extent runs to the end of ``view`` and ``read`` notes ``truncated``."""

    @abstractmethod
    def read(self, view: View, sink: Sink) -> None:
        """Read the format from ``view``, which is exactly the extent that ``probe`` gave."""


#: What an escape of :func:`clean_name` looks like: a byte that is not printed as itself, or the backslash.
_ESCAPE = r"x(?:[01][0-9a-f]|5c|7f|[89a-f][0-9a-f])"
_LOOKS_ESCAPED = re.compile(rf"\\(?={_ESCAPE})")
_ESCAPED = re.compile(rf"\\{_ESCAPE}".encode())


def clean_name(raw: bytes) -> tuple[str, bytes]:
    """A name for people and, where that is not exactly the stored bytes, those bytes (for ``Entry.raw``).

    Two names are never shown as one: bytes that are no printable UTF-8 are written ``\\xNN``, and so is a backslash
    (``\\x5c``) behind which the name itself has what would be read as such an escape. :func:`stored_name` undoes it.
    """
    text = raw.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text, b""
    shown = "".join(c if c.isprintable() else _bytes_of(c) for c in _LOOKS_ESCAPED.sub(r"\\x5c", text))
    return shown, raw if shown != text else b""


def _bytes_of(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def stored_name(shown: str) -> bytes:
    """The bytes of a name that :func:`clean_name` has shown."""
    return _ESCAPED.sub(lambda m: bytes((int(m[0][2:], 16),)), shown.encode("utf-8"))
