"""The end of support where a project names no day: what it follows from, a list of the project's releases.

Two rules: a project mends its newest so many *lines* of releases (``lines``), or a line for so many months after its
first release (``months``). A line is what agrees in its first ``depth`` numbers; with 0 every release is one.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from bisect import bisect_right
from functools import cached_property
from typing import Final

from msgspec import Struct

from banbury.supply.support.table import STATED, UNVERIFIED, Row
from banbury.supply.versions import key

#: A release that its project did not mean for use: it supersedes nothing and counts for nothing.
_BEFORE = re.compile(r"(?i)alpha|beta|pre|rc|dev|test|snapshot|[0-9][ab][0-9]")

#: So many months of no release on an older line show that the habit was kept this time too.
HABIT: Final = 12
#: A tag without a day of its own is of the clock's nought.
_UNSET = "1970-01-02"


class End(Struct, frozen=True, kw_only=True):
    """Whether support has ended (``None``: cannot be told), its last day or ``""``, and what to go to or ``""``.
    ``since``: the day that has passed, where it cannot be told whether support ended with it."""

    ended: bool | None = None
    end: str = ""
    since: str = ""
    successor: str = ""


class Releases:
    """A product's releases with their days (ISO 8601): all that a list of the day ``until`` has. Versions that have no
    order are left out."""

    def __init__(self, days: dict[str, str], until: str, scheme: str = "") -> None:
        self.until, self.scheme = until, scheme
        keyed = {}
        for version, day in days.items():
            if day > _UNSET and not _BEFORE.search(version) and (own := self._key(version)):
                keyed[own] = (day, version)
        self.keyed = dict(sorted(keyed.items()))

    def _key(self, version: str) -> bytes:
        try:
            return key(version, self.scheme)
        except ValueError:
            return b""

    @cached_property
    def keys(self) -> list[bytes]:
        return list(self.keyed)

    def day(self, version: str) -> str:
        """The day of a version's release, ``""`` where unknown. 1.30 is 1.30.0."""
        return self.keyed.get(self._key(version), ("", ""))[0]

    def newer(self, version: str, day: str, within: str = "") -> int:
        """How many releases newer than a version were out on a day; those that begin with ``within`` alone. -1: the
        version is newer than all that are known, or has no order, so that nothing can be said."""
        own = self._key(version)
        if not own or not self.keys or own > self.keys[-1]:
            return -1
        later = self.keys[bisect_right(self.keys, own) :]
        found = [self.keyed[one] for one in later]
        return sum(1 for when, name in found if when <= day and (not within or _in(name, within)))

    def newest(self, day: str) -> str:
        """The newest version that was out on a day, ``""`` where none is known."""
        return next((name for when, name in reversed(self.keyed.values()) if when <= day), "")

    def lines(self, depth: int) -> dict[bytes, str]:
        """The day of the first release of each line, by the line's key, oldest line first."""
        return self._lines.setdefault(depth, self._first(depth))

    @cached_property
    def _lines(self) -> dict[int, dict[bytes, str]]:
        return {}

    def _first(self, depth: int) -> dict[bytes, str]:
        firsts: dict[bytes, str] = {}
        for when, name in self.keyed.values():
            line = self._key(line_of(name, depth))
            firsts[line] = min(when, firsts.get(line, when))
        return dict(sorted(firsts.items()))


def _in(version: str, branch: str) -> bool:
    return version == branch or (version.startswith(branch) and not version[len(branch)].isdigit())


def line_of(version: str, depth: int) -> str:
    """The line of a version: its first ``depth`` numbers; 0: the version itself."""
    numbers = re.findall(r"[0-9]+", version)[:depth]
    return ".".join(numbers) if numbers else version


def end_of(row: Row, version: str, releases: Releases, day: str) -> End:
    """When support of a version ends by a row's rule, as it stands on a day (ISO 8601).

    Where the project's own words are the rule, it has ended from the day after on, and has not on days that the list of
    releases covers. Where the rule is what the project has done, it has ended when a year has passed in which that was
    seen to be so again, on the day that is asked about and in the list; that it has not is never said: what is newest
    today may not be tomorrow, and nobody promises anything by habit.
    """
    if not releases.keys or not version or row.confidence == UNVERIFIED:
        return End()
    successor = releases.newest(day)
    stated = row.confidence == STATED
    end = _last(row, version, releases)
    if not end:
        return End(ended=False if stated and _covered(row, version, releases, day) else None, successor=successor)
    if day <= end:
        return End(ended=False if stated else None, end=end, successor=successor)
    if row.minimum or not (stated or min(day, releases.until) > later(end, HABIT)):
        return End(since=end, successor=successor)
    return End(ended=True, end=end, successor=successor)


def _covered(row: Row, version: str, releases: Releases, day: str) -> bool:
    """Whether a version of a newest line is in the list, and the day within it."""
    return bool(row.lines and releases.day(version) and day <= releases.until)


def _last(row: Row, version: str, releases: Releases) -> str:
    line = releases._key(line_of(version, row.depth))
    firsts = releases.lines(row.depth)
    if not line:
        return ""
    if row.months:
        return later(firsts[line], row.months) if line in firsts else ""
    newer = sorted(when for one, when in firsts.items() if one > line)
    return newer[row.lines - 1] if len(newer) >= row.lines else ""


def later(day: str, months: int) -> str:
    """The same day so many months on, or the last of that month."""
    first = dt.date.fromisoformat(day)
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return dt.date(year, month + 1, min(first.day, calendar.monthrange(year, month + 1)[1])).isoformat()


def strays(releases: Releases, lines: int, depth: int, since: str) -> list[str]:
    """Releases since a day that a rule does not allow for: made on a line that had ``lines`` newer ones already."""
    firsts = releases.lines(depth)
    found = []
    for when, name in releases.keyed.values():
        line = releases._key(line_of(name, depth))
        newer = sum(1 for one, first in firsts.items() if one > line and first < when)
        if when >= since and newer >= lines:
            found.append(name)
    return found
