"""Ownership and law: records that stand apart from every figure of an exposure."""

from __future__ import annotations

import datetime as dt

import msgspec


class Law(msgspec.Struct, frozen=True):
    """One law: who is bound, who can compel, to what; ``read``: whether a secondary source gives it, or memory alone.
    ``review``: what the law gives the one compelled; empty where that was not entered."""

    country: str
    law: str
    clause: str
    date: dt.date
    who: str
    by: str
    duty: str
    source: str
    read: str
    review: str = ""


class Framework(msgspec.Struct, frozen=True):
    """A framework that takes ownership or law for a criterion."""

    name: str
    date: dt.date
    criterion: str
    source: str
    read: str


class Owner(msgspec.Struct, frozen=True, omit_defaults=True):
    """One legal entity of the group: where it is established, who owns it, and who says so as of when. ``role``: asked,
    owner, or affiliate. ``supplies`` and ``supports``: installed elements that it made, that it supports."""

    id: str
    name: str
    role: str
    country: str | None
    parent: str | None
    valid_from: dt.date | None
    valid_to: dt.date | None
    asserted_by: str
    as_of: dt.date | None
    supplies: int
    supports: int


class Jurisdiction(msgspec.Struct, frozen=True):
    """Ownership and law, a record of its own: nothing of it enters any figure, and no figure enters it.

    ``countries_without``: countries of the group for which no law was entered, which does not say that there is none.
    ``unknown``: entities whose country the inventory does not say.
    """

    owners: list[Owner]
    laws: list[Law]
    countries_without: list[str]
    unknown: list[str]
    frameworks: list[Framework]
