"""The base of every fact an inspector can state, and the outcome of asking for one."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Span(Struct, frozen=True, array_like=True):
    """``length`` bytes from ``start`` of the inspected file."""

    start: int
    length: int


class Fact(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="fact"):
    """A typed observation about one file. It holds no severity and no policy.

    Subclasses set ``tag="group.name"`` and add fields of plain types (str, int, bool, lists and dicts of them,
    string enumerations). ``at`` is where in the file it was seen; ``text`` is at most 120 characters found there.
    """

    at: Span | None = None
    text: str = ""


class Tri(StrEnum):
    """The three values of a measure: a file that cannot show it is not a file without it."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "cannot tell"


class Outcome(StrEnum):
    """What became of one inspector on one file."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One tool on one file: its outcome, why if not done, and the facts as plain data (each with its ``fact`` tag)."""

    tool: str
    version: int
    outcome: Outcome
    why: str = ""
    facts: list[dict[str, object]] = []
