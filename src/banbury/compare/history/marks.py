"""The two tables of this room, as data: where files come from that no repository holds, and what deserves a look.

``origins.toml``: files that release tools generate, recognised by name and text, with how to check each. To be
recognised is no excuse: such a file stays unverified until it was generated again.
``marks.toml``: constructs in files that take part in a build, through which a build can be subverted.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

_HERE: Final = Path(__file__).parent


class Origin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files whose whole path meets ``path`` and whose first 64 KiB meet ``text`` (regular expressions; an empty one
    meets everything) come from ``tool``; ``check`` says how that is verified."""

    id: str
    title: str
    tool: str
    path: str
    text: str = ""
    check: str
    source: str


class Mark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A construct (``text``) in files whose whole path meets ``path``: why it deserves a person's eyes."""

    id: str
    title: str
    path: str
    text: str
    why: str
    source: str


class _Origins(Struct, frozen=True, forbid_unknown_fields=True):
    origin: list[Origin]
    left_out: str


class _Marks(Struct, frozen=True, forbid_unknown_fields=True):
    mark: list[Mark]
    build: str


@cache
def origins() -> dict[str, Origin]:
    """Every origin by its id, in the table's order (the first that is met counts)."""
    return {o.id: o for o in _origins().origin}


def may_be_left_out(path: str) -> bool:
    """Whether releases leave files of this path out because no build reads them (``left_out`` of the table)."""
    return bool(_compiled(_origins().left_out).fullmatch(path.encode("utf-8", "surrogateescape")))


@cache
def _origins() -> _Origins:
    return msgspec.toml.decode((_HERE / "origins.toml").read_bytes(), type=_Origins)


@cache
def marks() -> dict[str, Mark]:
    """Every mark by its id."""
    return {m.id: m for m in _marks().mark}


@cache
def _marks() -> _Marks:
    return msgspec.toml.decode((_HERE / "marks.toml").read_bytes(), type=_Marks)


@cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.M)


def origin_of(path: str, head: bytes) -> str:
    """The id of the first origin that a file meets, or ``""``. ``head``: its first 64 KiB."""
    name = path.encode("utf-8", "surrogateescape")
    for origin in origins().values():
        if _compiled(origin.path).fullmatch(name) and (not origin.text or _compiled(origin.text).search(head)):
            return origin.id
    return ""


def takes_part(path: str) -> bool:
    """Whether a file of this path is read or run by a build (``build`` of the table)."""
    return bool(_compiled(_marks().build).fullmatch(path.encode("utf-8", "surrogateescape")))


def marks_of(path: str, text: bytes) -> list[tuple[str, int]]:
    """The ids of the marks that a file meets, each with the number of the first line (from 1)."""
    name = path.encode("utf-8", "surrogateescape")
    out = []
    for mark in marks().values():
        if _compiled(mark.path).fullmatch(name) and (met := _compiled(mark.text).search(text)):
            out.append((mark.id, text.count(b"\n", 0, met.start()) + 1))
    return out
