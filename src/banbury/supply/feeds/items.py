"""What an importer makes of a feed: typed records, passed from the sandboxed worker to the store as MessagePack."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from banbury.supply.feeds.query import Leaf, Node

#: Bounds on what a record may hold; longer texts are cut, longer lists too (and that is a fault of the record).
SUMMARY: Final = 600
TEXT: Final = 256
LIST: Final = 4096
#: Leaves of one record; the largest known has about 9,000.
LEAVES: Final = 100_000
DEPTH: Final = 8

_ID = re.compile(r"[A-Za-z][A-Za-z0-9]{1,23}[-:][A-Za-z0-9:._-]{1,60}\Z")
#: Control characters, line and paragraph ends, what turns the direction of writing, lone surrogates.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?")


class Range(Struct, frozen=True, array_like=True):
    """A vulnerable leaf; ``configuration`` is an index into the record's trees, or -1 where the leaf decides alone."""

    leaf: Leaf
    configuration: int = -1


class Vulnerability(Struct, array_like=True, tag=1):
    """See :class:`banbury.supply.feeds.query.Advisory`. ``stated`` counts the statements on versions that the record
    holds, before those that say the same twice are merged; ``exploited`` is the day on which the record says that it
    was listed as exploited; ``block`` and ``index`` say where the raw record stands. ``silent``: it should state which
    versions are affected, and does not."""

    source: str
    id: str
    modified: str
    published: str
    summary: str
    cvss: float
    vector: str
    flags: list[str]
    aliases: list[str]
    ssvc: list[str]
    weaknesses: list[str]
    stated: int
    ranges: list[Range]
    trees: list[Node]
    files: list[str]
    exploited: str
    digest: bytes = b""
    block: int = -1
    index: int = -1
    routines: list[str] = []
    silent: bool = False


class ExploitedRow(Struct, frozen=True, array_like=True, tag=2):
    """See :class:`banbury.supply.feeds.query.Exploited`."""

    id: str
    added: str
    due: str
    ransomware: bool
    name: str


class ProbabilityRow(Struct, frozen=True, array_like=True, tag=3):
    """See :class:`banbury.supply.feeds.query.Probability`."""

    id: str
    score: float
    percentile: float
    day: str


class CycleRow(Struct, frozen=True, array_like=True, tag=4):
    """See :class:`banbury.supply.feeds.query.Cycle`; ``at`` is its place in the feed's order."""

    product: str
    cycle: str
    at: int
    released: str = ""
    eol: str = ""
    ended: bool | None = None
    support: str = ""
    support_ended: bool | None = None
    extended: str = ""
    extended_ended: bool | None = None
    discontinued: str = ""
    lts: bool = False
    latest: str = ""
    latest_released: str = ""
    codename: str = ""


class ProductRow(Struct, frozen=True, array_like=True, tag=5):
    """A product with cycles: its name in the feed, and identifiers as (kind, text)."""

    product: str
    title: str
    identifiers: list[tuple[str, str]]


class ReleaseRow(Struct, frozen=True, array_like=True, tag=6):
    """A version of a product, and its day."""

    product: str
    version: str
    day: str


class Refused(Struct, frozen=True, array_like=True, tag=7):
    """A record that could not be read, and why."""

    why: str


class Note(Struct, frozen=True, array_like=True, tag=8):
    """Something that a person should know of the feed as a whole. ``day`` dates the whole feed, where it has a date;
    ``claimed`` is how many records it says it has."""

    says: str = ""
    day: str = ""
    claimed: int = -1


class Block(Struct, frozen=True, array_like=True, tag=9):
    """Raw records of the vulnerabilities before it, together in one Zstandard frame; ``ends`` is where each ends."""

    number: int
    ends: list[int]
    data: bytes


class Begin(Struct, frozen=True, array_like=True, tag=10):
    """What follows is of this importer."""

    importer: str


class Passed(Struct, frozen=True, array_like=True, tag=11):
    """A file of an archive that is of no known format (a README, a licence), and was passed over."""

    name: str


Item = (
    Vulnerability | ExploitedRow | ProbabilityRow | CycleRow | ProductRow | ReleaseRow | Refused | Note | Block | Begin
    | Passed
)  # fmt: skip


def text(value: object, limit: int = TEXT) -> str:
    """A value as text in bounds, on one line, without control characters; anything but a string or number is ``""``."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    plain = value if isinstance(value, str) else str(value)
    if len(plain) > limit:
        plain = plain[:limit]
    return plain if plain.isprintable() else _HIDDEN.sub(" ", plain)


def day(value: object) -> str:
    """A date or time as ISO 8601, cut to seconds; ``""`` where it is none."""
    found = _DATE.match(value) if isinstance(value, str) else None
    return found[0].replace(" ", "T") if found else ""


def identifier(value: object) -> str:
    """An advisory's id; ``ValueError`` where it has not the form of one."""
    if isinstance(value, str) and _ID.match(value):
        return value
    raise ValueError(f"no id of an advisory: {text(value, 40)!r}")


def score(value: object) -> float:
    """A CVSS base score; -1 where it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 10 else -1.0
