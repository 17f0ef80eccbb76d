"""What is said of a release's source and of the repository that it is compared with."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from banbury.compare.history.repository import Found


class Place(Struct, frozen=True, array_like=True):
    """``length`` bytes from ``start`` of the request's input or, where ``spool``, of its output."""

    start: int
    length: int
    spool: bool = False


class Part(Struct, frozen=True, kw_only=True):
    """A file handed to a worker. ``mode`` and ``link`` as :class:`SourceFile` has them."""

    path: str
    place: Place
    kind: str = "file"
    mode: int = -1
    link: str = ""


class Request(Struct, frozen=True, kw_only=True):
    """``task``: ``archive`` (one part: a tarball or zip), ``folder`` (its files), ``bundle`` (one part), ``repository``
    (the files of a git folder), ``lines`` (parts two by two: texts to tell apart). ``ref`` names the tag."""

    task: str
    parts: list[Part]
    room: int
    ref: str = ""


class SourceFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of a source tree. ``kind``: ``file``, ``link``, ``submodule`` or ``special`` (a device or the like).

    ``executable``: any execute bit, or ``None`` where the container does not say. ``plain``: the digest (SHA-256) with
    CR LF as LF, where that differs. ``origins`` and ``marks``: ids of the tables' rows whose patterns its text meets.
    ``opaque``: it is neither text nor of a format that says what it holds; ``broken``: a compressed file or archive
    that does not decode."""

    path: str
    kind: str = "file"
    size: int = 0
    executable: bool | None = None
    sha256: str = ""
    plain: str = ""
    link: str = ""
    place: Place | None = None
    text: bool = False
    origins: list[str] = []
    marks: list[tuple[str, int]] = []
    opaque: bool = False
    broken: str = ""


class Listing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker's answer: the files; what it could not read (``problem`` then says why); and what the tag led to."""

    files: list[SourceFile] = []
    problem: str = ""
    notes: list[str] = []
    found: Found | None = None
    lines: list[list[str]] = []


class Status(StrEnum):
    """How a file of the release stands to the repository's."""

    SAME = "same"
    LINE_ENDS = "line ends"
    REGENERATED = "regenerated"
    MODE = "mode"
    CHANGED = "changed"
    ADDED = "only in the release"
    MISSING = "only in the repository"
