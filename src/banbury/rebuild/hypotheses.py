"""Values that a shipped file may have been built with: read from it, from the source, or given by the recipe.

A hypothesis proves nothing. What counts is that a controlled rebuild with it makes the shipped file.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from banbury.rebuild.recipe import Recipe

_LOOKED_AT: Final = 64 << 20
_SHORT: Final = 3  # of each sort
_MONTHS: Final = {name.encode(): number for number, name in enumerate(calendar.month_abbr) if name}
_DATE: Final = re.compile(
    rb"(?<![\w])(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([ 0-3][0-9]) (19[7-9][0-9]|20[0-9]{2})(?!\d)"
)
_ISO: Final = re.compile(
    rb"(?<!\d)(19[7-9][0-9]|20[0-9]{2})-([01][0-9])-([0-3][0-9])(?:[T ]([0-2][0-9]):([0-5][0-9]):([0-5][0-9]))?"
)
_TIME: Final = re.compile(rb"(?<![\d:])([0-2][0-9]):([0-5][0-9]):([0-5][0-9])(?![\d:])")
_SIGNED: Final = re.compile(r"^ -- [^\n<]{0,200}<[^>\n]{0,200}>  ([A-Za-z0-9,:+ -]{10,60})$", re.MULTILINE)
_PATH_BYTES: Final = rb"(/[A-Za-z0-9._+~/-]{3,200}?)/"


class Hypothesis(Struct, frozen=True, kw_only=True):
    """``variable`` (an environment value's id, a variable's name, or ``changelog-entry``) may have had ``value``."""

    variable: str
    value: str
    origin: str


def hypotheses(recipe: Recipe, tree: Path, shipped: Path, rebuilt: Path | None) -> list[Hypothesis]:
    """What to try for a shipped file, in order; the recipe's own first."""
    found = [
        Hypothesis(variable=name, value=value, origin="the recipe")
        for name, values in recipe.hypotheses.items()
        for value in values
    ]
    found += _clocks(tree / "source" / "debian" / "changelog")
    with open(shipped, "rb") as file:
        data = file.read(_LOOKED_AT)
    known = b""
    if rebuilt is not None:
        with open(rebuilt, "rb") as file:
            known = file.read(_LOOKED_AT)
    found += _dates(data, known)
    if data.startswith(b"!<arch>\n") and data[24:36].strip().isdigit():
        found.append(
            Hypothesis(variable="clock", value=str(int(data[24:36])), origin="time of the archive's first member")
        )
    found += _roots(data, known, tree)
    seen: set[tuple[str, str]] = set()
    kept = []
    for one in found:
        if (one.variable, one.value) not in seen and _usable(one):
            seen.add((one.variable, one.value))
            kept.append(one)
    return kept


def _usable(one: Hypothesis) -> bool:
    if one.variable == "clock":
        return one.value.isascii() and one.value.isdigit() and 0 < int(one.value[:12]) < 1 << 32
    if one.variable == "build-path":
        parts = one.value.split("/")
        plain = re.fullmatch(r"(/[A-Za-z0-9._+~-]{1,80}){2,12}", one.value) is not None
        return plain and not {".", ".."} & set(parts) and parts[1] not in _SYSTEM
    if one.variable in ("host", "user"):
        return re.fullmatch(r"[a-z][a-z0-9.-]{2,60}", one.value) is not None
    return "\0" not in one.value and len(one.value) <= 8192


_SYSTEM: Final = frozenset(
    {"usr", "bin", "sbin", "lib", "lib32", "lib64", "etc", "proc", "dev", "sys", "var", "opt", "tmp"}
)


def _clocks(changelog: Path) -> list[Hypothesis]:
    """The date of the newest changelog entry, as Debian's tools read it."""
    try:
        if changelog.is_symlink():
            return []
        with open(changelog, "rb") as file:
            match = _SIGNED.search(file.read(1 << 16).decode("utf-8", "replace"))
        moment = parsedate_to_datetime(match[1]) if match else None
    except (OSError, ValueError, OverflowError, TypeError, IndexError):
        return []
    if moment is None:
        return []
    value = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    return [Hypothesis(variable="clock", value=str(value), origin="date of the newest changelog entry")]


def _dates(data: bytes, known: bytes) -> list[Hypothesis]:
    """Dates in the shipped file that the rebuilt one does not have."""
    days: list[tuple[int, int, int]] = []
    full: list[int] = []
    for match in _few(_DATE, data, known):
        days.append((int(match[3]), _MONTHS[match[1]], int(match[2])))
    for match in _few(_ISO, data, known):
        day = (int(match[1]), int(match[2]), int(match[3]))
        if match[4]:
            full += _moment(day, (int(match[4]), int(match[5]), int(match[6])))
        else:
            days.append(day)
    times = [(int(m[1]), int(m[2]), int(m[3])) for m in _few(_TIME, data, known)] or [(0, 0, 0)]
    full += [moment for day in days[:_SHORT] for time in times[:_SHORT] for moment in _moment(day, time)]
    return [Hypothesis(variable="clock", value=str(m), origin="a date in the shipped file") for m in full[: 2 * _SHORT]]


def _few(wanted: re.Pattern[bytes], data: bytes, known: bytes) -> list[re.Match[bytes]]:
    out: dict[bytes, re.Match[bytes]] = {}
    for number, match in enumerate(wanted.finditer(data)):
        if number > 2000 or len(out) >= _SHORT:
            break
        if match[0] not in out and match[0] not in known:
            out[match[0]] = match
    return list(out.values())


def _moment(day: tuple[int, int, int], time: tuple[int, int, int]) -> list[int]:
    try:
        return [calendar.timegm((*day, *time, 0, 0, 0))] if 1 <= day[1] <= 12 and 1 <= day[2] <= 31 else []
    except (ValueError, OverflowError):
        return []


def _roots(data: bytes, known: bytes, tree: Path) -> list[Hypothesis]:
    """Folders in the shipped file that stand before the name of one of the source's files."""
    from banbury.rebuild.tree import entries

    names = [e.path for e in entries(tree) if e.path.endswith((b".c", b".cc", b".cpp", b".h", b".s", b".S"))][:200]
    if not names:
        return []
    either = b"|".join(re.escape(n) for n in sorted(names, key=len, reverse=True))
    wanted = re.compile(_PATH_BYTES + b"(?:" + either + rb")(?![\w./-])")
    found = dict.fromkeys(m[1] for m in _few(wanted, data, known))
    return [
        Hypothesis(variable="build-path", value=r.decode("ascii"), origin="a path in the shipped file") for r in found
    ][:_SHORT]
