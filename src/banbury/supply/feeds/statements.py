"""Which versions a record of the CVE list or of OSV calls affected, as ranges of keys.

CVE record format 5.1, ``affected[].versions``: the status of a version is that of the first entry that holds it, else
``defaultStatus``. OSV 1.6, ``affected[].ranges[].events``. Commits are no versions and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from banbury.supply import versions
from banbury.supply.feeds.items import text
from banbury.supply.feeds.query import TOP, Leaf, Stated

_ENTRIES: Final = 4000
_COMMIT: Final = re.compile(r"(?:(?=[0-9a-f]*[a-f])[0-9a-f]{12,64}|(?=[0-9]{0,7}[a-f])[0-9a-f]{10,11})\Z")
EVERY: Final = frozenset({"*", "all", "all versions", "all version", "any", "all releases"})
_ZERO: Final = frozenset({"", "0", "*", "-", "n/a", "unspecified", "unknown", "all", "any", "none"})
_COMPARED: Final = re.compile(r"(<=|>=|<|>|=)\s*v?([0-9][^\s,<>=]*)")
_SERIES: Final = re.compile(r"v?([0-9][0-9.]*?)\.?[x*](?:\.[x*])*\Z", re.IGNORECASE)
_UP_TO: Final = re.compile(
    r"(?:v(?:ersions?)?\s*)?([0-9]\S*?),?\s+(?:and|or)\s+(?:earlier|prior|below|older|lower|before)\b.*\Z",
    re.IGNORECASE,
)
_BEFORE: Final = re.compile(
    r"(?:all )?(?:versions?\s*)?(?:before|prior to|earlier than|below)\s+(?:version )?v?([0-9]\S*)\Z", re.IGNORECASE
)
_FROM_TO: Final = re.compile(r"v?([0-9][0-9a-z.]*)\s*(?:-|–|to|through|up to|~)\s+v?([0-9][0-9a-z.]*)\Z", re.IGNORECASE)

#: OpenSSL's own way until 2022 (openssl.org/news/vulnerabilities.xml).
_AFFECTED: Final = re.compile(
    r"Fixed in OpenSSL [0-9a-z.-]{1,24} \(Affected ([0-9][0-9a-z.]{0,20})(?:-([0-9][0-9a-z.]{0,20}))?\)\Z"
)


class Changed(Struct, frozen=True):
    """A point within a range at which the status changes."""

    at: str = ""
    status: str = ""


class Entry(Struct, frozen=True, rename="camel"):
    """One entry of ``versions``."""

    version: str = ""
    status: str = "unknown"
    version_type: str | None = None
    less_than: str | None = None
    less_than_or_equal: str | None = None
    changes: list[Changed] | None = None


class Span(Struct, frozen=True):
    """A range of keys and how the feed wrote its ends."""

    low: bytes = b""
    high: bytes = TOP
    from_: str = ""
    to: str = ""

    def leaf(self, name: str, stated: int = Stated.RANGE) -> Leaf:
        says = text(f"{self.from_} {self.to}".strip()) or "*"
        if stated == Stated.RANGE and not self.low and self.high == TOP:
            stated = Stated.EVERY
        return Leaf(name, self.low, self.high, stated, says=says)


def affected(name: str, entries: list[Entry], default: str) -> list[Leaf]:
    """Leaves for the versions that the entries and the default status call affected.

    Where an entry says "affected" in words that cannot be ordered, a leaf without version says so.
    """
    if len(entries) > _ENTRIES:
        raise ValueError(f"more than {_ENTRIES} entries of versions")
    scheme = versions.scheme_of(name)
    ordered = [entry for entry in entries if not is_commit(entry)]
    if entries and not ordered:  # commits alone: the default status is of the commits, and says nothing of versions
        return []
    entries = ordered
    found: list[Leaf] = []
    parts: list[tuple[str, Span]] = []
    for entry in entries:
        try:
            parts += _parts(entry, scheme)
        except ValueError:
            if entry.status == "affected":
                found.append(Leaf(name, stated=Stated.NOT_STATED, says=text(entry.version)))
    if default != "affected" and all(status == "affected" for status, _ in parts):
        spans = [span for _, span in parts]
    else:
        spans = _first_wins(parts, default)
    only = {entry.version for entry in entries if not (entry.less_than or entry.less_than_or_equal)}
    return found + [
        span.leaf(name, Stated.EXACT if span.from_ in only and not span.to else Stated.RANGE)
        for span in spans
        if span.low < span.high
    ]


def is_commit(entry: Entry) -> bool:
    """Whether an entry speaks of a commit, which is no version."""
    bounds = (entry.version, entry.less_than, entry.less_than_or_equal)
    return entry.version_type == "git" or any(bound and _COMMIT.match(bound.strip()) for bound in bounds)


def _first_wins(parts: list[tuple[str, Span]], default: str) -> list[Span]:
    left = [Span()]
    found: list[Span] = []
    for status, span in parts:
        outside: list[Span] = []
        for piece in left:
            low, high = max(piece.low, span.low), min(piece.high, span.high)
            if low >= high:
                outside.append(piece)
                continue
            if status == "affected":
                found.append(
                    Span(
                        low, high, span.from_ if low == span.low else piece.from_,
                        span.to if high == span.high else piece.to,
                    )
                )  # fmt: skip
            if piece.low < low:
                outside.append(Span(piece.low, low, piece.from_, _end_before(span.from_)))
            if high < piece.high:
                outside.append(Span(high, piece.high, _start_after(span.to, span.from_), piece.to))
        left = outside
        if len(left) > _ENTRIES:
            raise ValueError("statements on versions that fall into too many pieces")
    return _merged(found + left) if default == "affected" else found


def _merged(spans: list[Span]) -> list[Span]:
    """The same versions in as few ranges as they need."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda one: one.low):
        if merged and span.low <= merged[-1].high:
            last = merged[-1]
            longer = span if span.high > last.high else last
            merged[-1] = Span(last.low, longer.high, last.from_, longer.to)
        else:
            merged.append(span)
    return merged


def _end_before(start: str) -> str:
    """How a range ends where one that begins with ``start`` cuts it off."""
    if start.startswith(">="):
        return f"<{start[2:]}"
    return f"<={start[1:]}" if start.startswith(">") else f"<{start}"


def _start_after(end: str, start: str) -> str:
    if end.startswith("<="):
        return f">{end[2:]}"
    return f">={end[1:]}" if end.startswith("<") else f">{start}"


def _parts(entry: Entry, scheme: str) -> list[tuple[str, Span]]:
    if not entry.less_than and not entry.less_than_or_equal:
        return [(entry.status, span) for span in spoken(entry.version, scheme)]
    low, from_ = b"", ""
    if entry.version.strip().lower() not in _ZERO:
        low, from_ = versions.key(entry.version, scheme), f">={entry.version}"
    span = Span(low, *_ends(entry, scheme, from_))
    if not entry.changes:
        return [(entry.status, span)]
    return _changing(entry, span, scheme)


def _ends(entry: Entry, scheme: str, from_: str) -> tuple[bytes, str, str]:
    end = entry.less_than or entry.less_than_or_equal or ""
    if end in ("*", "unspecified") or end.lower() in EVERY:
        return TOP, from_, ""
    inclusive = not entry.less_than
    if end.endswith(("*", ".x")):
        return versions.prefix_end(end.rstrip("x"), scheme), from_, f"<={end}"
    bound = versions.key(end, scheme)
    return (versions.after(bound), from_, f"<={end}") if inclusive else (bound, from_, f"<{end}")


def _changing(entry: Entry, span: Span, scheme: str) -> list[tuple[str, Span]]:
    points = sorted((versions.key(change.at, scheme), change.at, change.status) for change in entry.changes or [])
    found: list[tuple[str, Span]] = []
    low, from_, status = span.low, span.from_, entry.status
    for at, says, becomes in points:
        if low < at < span.high:
            found.append((status, Span(low, at, from_, f"<{says}")))
            low, from_ = at, f">={says}"
        status = becomes
    return [*found, (status, Span(low, span.high, from_, span.to))]


def spoken(statement: str, scheme: str) -> list[Span]:
    """The ranges that a text means: one version, ``5.10.x``, ``>= 1.0, < 1.2``, ``1.2 and earlier``, ``before 2``.

    Raises ``ValueError`` for all else: it is not guessed what it means.
    """
    said = statement.strip()
    if len(said) > versions.LONGEST:
        raise ValueError("a text")
    if said.lower() in EVERY:
        return [Span()]
    if said[:1] in ("<", ">", "="):
        return [_compared(said, scheme)]
    for form, meaning in _FORMS:
        if found := form.match(said):
            return [meaning(scheme, *found.groups())]
    if _PROSE.search(_SUFFIX.sub("", said)):
        raise ValueError("a text")
    low, high = versions.any_update(said, scheme)
    return [Span(low, high, statement)]


def _series(scheme: str, stem: str) -> Span:
    return Span(versions.key(stem, scheme), versions.prefix_end(stem, scheme), f"{stem}.*")


def _up_to(scheme: str, last: str) -> Span:
    return Span(b"", versions.after(versions.key(last, scheme)), "", f"<={last}")


def _earlier(scheme: str, fixed: str) -> Span:
    return Span(b"", versions.key(fixed, scheme), "", f"<{fixed}")


def _from_to(scheme: str, first: str, last: str) -> Span:
    return Span(versions.key(first, scheme), versions.after(versions.key(last, scheme)), f">={first}", f"<={last}")


def _affected(scheme: str, first: str, last: str | None) -> Span:
    return _from_to(scheme, first, last or first)


_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[..., Span]], ...]] = (
    (_SERIES, _series),
    (_UP_TO, _up_to),
    (_BEFORE, _earlier),
    (_FROM_TO, _from_to),
    (_AFFECTED, _affected),
)
_SUFFIX: Final = re.compile(r"\s+(?=(?:rc|p|patch|sp|sr|beta|alpha|update|build|r)\s?[0-9])", re.IGNORECASE)
_PROSE: Final = re.compile(r"\s|,|<|>")


def _compared(said: str, scheme: str) -> Span:
    pairs = _COMPARED.findall(said)
    if not pairs or re.sub(r"[\s,]", "", _COMPARED.sub("", said)):
        raise ValueError("a text")
    low, high, from_, to = b"", TOP, "", ""
    for sign, version in pairs:
        bound = versions.key(version, scheme)
        if sign in (">=", ">", "="):
            low, from_ = (versions.after(bound) if sign == ">" else bound), f"{sign}{version}"
        if sign in ("<=", "<", "="):
            high, to = (bound if sign == "<" else versions.after(bound)), f"{sign}{version}"
    return Span(low, high, from_, to)


class Event(Struct, frozen=True):
    """One event of an OSV range."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None


def between(name: str, events: list[Event]) -> list[Leaf]:
    """Leaves for the events of one OSV range: a range opens at ``introduced`` and ends at the next fix after it."""
    if len(events) > _ENTRIES:
        raise ValueError(f"more than {_ENTRIES} events")
    scheme = versions.scheme_of(name)
    points: list[tuple[bytes, int, str]] = []
    for event in events:
        if event.introduced is not None:
            points.append((_start(event.introduced, scheme), 1, event.introduced))
        if event.fixed is not None:
            points.append((versions.key(event.fixed, scheme), 0, f"<{event.fixed}"))
        if event.last_affected is not None:
            points.append((versions.after(versions.key(event.last_affected, scheme)), 0, f"<={event.last_affected}"))
    found: list[Leaf] = []
    since: tuple[bytes, str] | None = None
    for bound, opens, says in sorted(points):
        if opens and since is None:
            since = bound, f">={says}" if bound else ""
        elif not opens and since is not None:
            found.append(Span(since[0], bound, since[1], says).leaf(name))
            since = None
    if since is not None:
        found.append(Span(since[0], TOP, since[1], "").leaf(name))
    return found


def _start(version: str, scheme: str) -> bytes:
    return b"" if version == "0" else versions.key(version, scheme)
