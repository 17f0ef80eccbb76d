"""What a case holds, and what is told of it."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from typing import Literal

import msgspec

from banbury.decide.policy.verdict import Assessment

Kind = Literal["position", "assurance", "finding", "commitment", "cost"]
#: What a country's position comes to. ``none`` is said of a moment before any position.
Stance = Literal["none", "no decision", "considering", "risks can be mitigated", "restricted", "excluded"]
Cause = Literal["rule", "network", "date", "position"]

_DAY = re.compile(r"\d{4}-\d{2}(-\d{2})?")


def last_day(text: str) -> dt.date:
    """The last day that ``text`` (YYYY-MM or YYYY-MM-DD, ISO 8601) may mean. Raises ValueError."""
    if not _DAY.fullmatch(text):
        raise ValueError(f"{text[:20]!r} is neither YYYY-MM nor YYYY-MM-DD")
    if len(text) == len("YYYY-MM-DD"):
        return dt.date.fromisoformat(text)
    first = dt.date.fromisoformat(f"{text}-01")
    return first.replace(day=calendar.monthrange(first.year, first.month)[1])


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One public record. ``date``: YYYY-MM-DD, or YYYY-MM where the source gives no day. ``by``: who said or did it.
    ``stance``: a position's. ``reported``: it was not published; the source relates it. ``sponsor``: who paid for a
    figure. ``source``: who printed it. ``read``: whether the original was read, or what a secondary source says of it.
    """

    date: str
    country: str
    kind: Kind
    by: str
    says: str
    source: list[str]
    read: Literal["primary", "secondary"] = "secondary"
    stance: Stance | None = None
    reported: bool = False
    sponsor: str = ""

    def __post_init__(self) -> None:
        last_day(self.date)
        if not self.source:
            raise ValueError(f"the record of {self.date} names no source")
        if (self.stance is not None) != (self.kind == "position"):
            raise ValueError(f"the record of {self.date}: a position has a stance, and nothing else has one")


class Moment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A day that is asked about, and why that day."""

    on: dt.date
    title: str


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Public records, the days asked about, and which packs are each country's (``jurisdictions``: country → ids)."""

    id: str
    title: str
    text: str
    jurisdictions: dict[str, list[str]]
    moments: list[Moment]
    records: list[Record]

    def __post_init__(self) -> None:
        days = [last_day(r.date) for r in self.records]
        if days != sorted(days):
            raise ValueError("the records are not in the order of their dates")
        asked = [m.on for m in self.moments]
        if not asked or asked != sorted(set(asked)):
            raise ValueError("the moments are not in the order of their days, or there are none")
        if unknown := {r.country for r in self.records} - set(self.jurisdictions):
            raise ValueError(f"countries without a line in jurisdictions: {', '.join(sorted(unknown))}")


class Change(msgspec.Struct, frozen=True):
    """What made a country's answer another than at the moment before. ``cause``: a ``rule`` came or went; the
    ``network`` (or what is known of it) is another; only a ``date`` passed; the government's ``position`` is another.
    """

    cause: Cause
    text: str


class Answer(msgspec.Struct, frozen=True):
    """One country at one moment. ``status``: the worst of the packs in force, or ``no rule in force``; ``policies``:
    those packs. ``stance`` and ``reported``: the last position known on the day. ``changes``: since the moment before.
    """

    country: str
    status: str
    policies: list[str]
    stance: Stance
    reported: bool
    changes: list[Change]


class Told(msgspec.Struct, frozen=True):
    """One moment: records new since the one before, the answers, and the assessment they rest on."""

    moment: Moment
    records: list[Record]
    answers: list[Answer]
    assessment: Assessment


class Story(msgspec.Struct, frozen=True):
    """A case told of one inventory. ``problems``: how many its check found, where they were accepted."""

    case: str
    title: str
    text: str
    inventory: str
    made_up: bool
    told: list[Told]
    problems: int = 0
