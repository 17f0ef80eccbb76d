"""The vocabulary of binary equivalence: verdicts, the rules used, and the two build records.

Nothing here reads bytes. Ranges are half-open, in bytes from the file's start.
"""

from __future__ import annotations

import re
import time
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from banbury.compare.equivalence import declarable
from banbury.model.errors import InputError


class Verdict(StrEnum):
    """How two files relate, best first. A whole has the worst verdict of its parts (:func:`worst`)."""

    IDENTICAL = "identical"
    METADATA = "equivalent/metadata"
    RELAYOUT = "equivalent/relayout"
    REBUILD = "equivalent/by-rebuild"
    FUNCTIONAL = "functional"
    UNEXPLAINED = "unexplained"

    @property
    def equivalent(self) -> bool:
        """Whether the two files were shown to do the same."""
        return _ORDER[self] <= _ORDER[Verdict.REBUILD]


_ORDER: Final = {verdict: rank for rank, verdict in enumerate(Verdict)}


def worst(*verdicts: Verdict) -> Verdict:
    """The weakest of some verdicts; ``identical`` of none."""
    return max(verdicts, key=_ORDER.__getitem__, default=Verdict.IDENTICAL)


class Range(Struct, frozen=True, array_like=True):
    """Bytes ``start`` to ``end`` (exclusive) of one file."""

    start: int
    end: int


class RuleUse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule, applied: what it accounts for in each file and what that rests on.

    ``tier`` is ``sound`` (nothing is assumed beyond the consumer's behaviour), ``declared`` (values come from the two
    build records) or ``assumption`` (``assumption`` says which). ``detail`` is what a report should show, such
    as the two values.
    """

    rule: str
    tier: str
    a: list[Range] = []
    b: list[Range] = []
    assumption: str = ""
    detail: str = ""


class Unexplained(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bytes that differ and that no rule accounts for, or that could not be read (``why``). ``where`` is the field."""

    where: str
    why: str
    a: list[Range] = []
    b: list[Range] = []


class ChangedFunction(Struct, frozen=True, kw_only=True):
    """A function that differs: its name (or ``""``), and its addresses and sizes in bytes; size 0: absent there."""

    name: str
    a: int
    b: int
    size_a: int
    size_b: int


class FileVerdict(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The verdict on one pair of files. ``notes`` are sentences for a person; ``proved_code`` is the number of bytes
    of loaded code of the second file that were shown to do the same."""

    verdict: Verdict
    rules: list[RuleUse] = []
    unexplained: list[Unexplained] = []
    functions: list[ChangedFunction] = []
    notes: list[str] = []
    proved_code: int = 0
    code: int = 0

    @property
    def unexplained_bytes(self) -> int:
        """Bytes of the second file (or, where it has none there, of the first) that nothing accounts for."""
        return sum(_covered(u.b) or _covered(u.a) for u in self.unexplained)


def _covered(ranges: list[Range]) -> int:
    return sum(r.end - r.start for r in ranges)


_MOST: Final = 512  # values that a record declares
_LONGEST: Final = 4096  # characters of one


class BuildRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one side's build declares about itself. The only source of values that may differ between the sides.

    ``roots``: absolute directories that it was built in, one per ``name``; ``clock``: seconds since 1970 UTC
    (SOURCE_DATE_EPOCH); ``dates``: strings written from the clock, by name; ``versions``: version strings, by name;
    ``producers``: the toolchain's strings as they stand in ``.comment``; ``host``, ``user``: names written into files;
    ``keys``: the public keys that sign (SubjectPublicKeyInfo, DER in hexadecimal; a fingerprint verifies nothing);
    ``observes``: ids of rules whose bytes the reviewed source reads back (self-observation): they are withdrawn.
    """

    roots: dict[str, str] = {}
    clock: int | None = None
    dates: dict[str, str] = {}
    versions: dict[str, str] = {}
    producers: list[str] = []
    host: str = ""
    user: str = ""
    keys: list[str] = []
    observes: list[str] = []

    @classmethod
    def from_toml(cls, text: str) -> BuildRecord:
        """A record from TOML. Raises ``InputError`` where it has other keys, types, or values too short to be told
        apart from chance."""
        try:
            record = msgspec.toml.decode(text, type=cls)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InputError(f"this build record cannot be used: {error}") from error
        record.check()
        return record

    def check(self) -> None:
        """Raise ``InputError`` where a declared value is unusable as evidence, or there are too many."""
        values = [*self.roots.values(), *self.dates.values(), *self.versions.values(), *self.producers, *self.keys]
        if len(values) + len(self.observes) > _MOST or any(len(value) > _LONGEST for value in values):
            raise InputError(f"more than {_MOST} declared values, or one of more than {_LONGEST} characters")
        for name, root in self.roots.items():
            if (
                not re.fullmatch(r"(/[\x21-\x2e\x30-\x7e]+)+", root)
                or {".", ".."} & set(root.split("/"))
                or len(root) < 4
            ):
                raise InputError(f"the build root {name} is no absolute directory of its own: {root!r}")
        if self.clock is not None and not 0 <= self.clock < 1 << 33:
            raise InputError(f"the clock is no time since 1970: {self.clock}")
        for name, value in {**self.dates, **self.versions}.items():
            if len(value) < 3 or not value.isascii() or not value.isprintable():
                raise InputError(f"the declared value {name} is too short or not plain text: {value!r}")


class Substitution(Struct, frozen=True):
    """``old`` in the first file may stand as ``new`` in the second. ``root``: only as a whole leading path."""

    name: str
    old: bytes
    new: bytes
    root: bool


def substitutions(a: BuildRecord | None, b: BuildRecord | None) -> list[Substitution]:
    """The declared differences: values of the same name in both records that are not equal; longest first. A value
    that could be more than what it is declared to be (:mod:`declarable`) replaces nothing."""
    if a is None or b is None:
        return []
    a.check()
    b.check()
    out = []
    for group, old, new, usable in (
        ("root", a.roots, b.roots, declarable.root),
        ("date", a.dates, b.dates, declarable.date),
        ("version", a.versions, b.versions, declarable.version),
        ("name", _names(a), _names(b), None),
        ("clock", _clock(a), _clock(b), None),
    ):
        for name in old.keys() & new.keys():
            pair = old[name], new[name]
            fits = usable is None or all(map(usable, pair))
            if pair[0] != pair[1] and fits and (group != "version" or declarable.alike(*pair)):
                out.append(Substitution(f"{group} {name}", pair[0].encode(), pair[1].encode(), group == "root"))
    return sorted(out, key=lambda s: (-len(s.old), s.name))


#: How compilers, scripts and date(1) write the clock (C17, 6.10.8.1; ISO 8601; POSIX.1-2017, date), in UTC.
_STAMPS: Final = {
    "__DATE__": "%b %e %Y", "__TIME__": "%H:%M:%S", "day": "%Y-%m-%d", "second": "%Y-%m-%dT%H:%M:%SZ",
    "date": "%a %b %e %H:%M:%S UTC %Y",
}  # fmt: skip


def _clock(record: BuildRecord) -> dict[str, str]:
    """The clock as it is written into programs; nothing where it is not declared."""
    if record.clock is None:
        return {}
    return {name: time.strftime(form, time.gmtime(record.clock)) for name, form in _STAMPS.items()}


def _names(record: BuildRecord) -> dict[str, str]:
    """Who built and where, as one: an account's or a host's name alone may be one that a program means."""
    found = declarable.builder(record.user, record.host)
    return {"user@host": f"{record.user}@{record.host}"} if found else {}
