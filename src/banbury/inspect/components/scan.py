"""The pass itself: triggers by the scanner, then each rule's pattern on a window around each trigger."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from msgspec import Struct

from banbury.formats.view import View
from banbury.inspect.components.engines import Found, Scanner, scanner_class
from banbury.inspect.components.rules import (
    BARE,
    BARE_TRIGGERS,
    NAMED,
    NAMED_BEFORE,
    NAMED_NUMBER,
    NAMED_TRIGGERS,
    NOTE,
    NOTE_TRIGGER,
    Evidence,
    Rule,
    patterns,
    rules,
)
from banbury.inspect.components.triggers import LONGEST, WIDEST, Trigger, compiled, literal_trigger

#: Different versions that one rule may state of one content, and bare or named versions of one content.
VERSIONS: Final = 16
BARE_VERSIONS: Final = 64
_MARGIN: Final = 8  # a pattern may look a few bytes past its match
_BARE: Final = compiled(BARE)
_NAMED: Final = compiled(NAMED)
_NUMBER: Final = compiled(NAMED_NUMBER)
_NOTE: Final = compiled(NOTE)
_NOTE_BYTES: Final = 1024
#: The C strings next to a version that stands alone: compilers keep a function's texts together, and pad them.
_BESIDE: Final = 72
_BEFORE: Final = re.compile(rb"([\x09\x0a\x20-\x7e]{2,%d})\x00{1,16}\Z" % _BESIDE)
_AFTER: Final = re.compile(rb"[\x00\n]\x00{0,15}([\x09\x0a\x20-\x7e]{2,%d})" % _BESIDE)


class Statement(Struct, kw_only=True):
    """One rule's word on one version (``""``: presence). ``count`` matches; the first lies at ``start``."""

    rule: Rule
    evidence: Evidence
    version: str
    start: int
    length: int
    matched: bytes
    count: int = 1


class Bare(Struct, frozen=True, kw_only=True):
    """A version that stands alone as a C string. ``before``, ``after``: the strings next to it, shortened."""

    version: str
    start: int
    before: str = ""
    after: str = ""


class Named(Struct, frozen=True, kw_only=True):
    """A version behind a word. ``start`` is the word's."""

    name: str
    version: str
    start: int


class Scanned(Struct, kw_only=True):
    """What one content showed. ``notes``: packages' notes, each with its offset. ``cut``: rules (``bare``, ``named``
    for those versions) of which there was more."""

    statements: list[Statement]
    bare: list[Bare]
    cut: list[str]
    named: list[Named] = []
    notes: list[tuple[int, bytes]] = []


@cache
def scanner() -> Scanner:
    """This process's scanner with all rules, built on first use."""
    return scanner_class()(all_triggers())


def prepare() -> None:
    """Compile everything."""
    scanner()
    patterns()
    _needed()


@cache
def all_triggers() -> tuple[Trigger, ...]:
    """The triggers of all rules in order, then those of bare versions, of named ones and of notes, then those of the
    literals that rules need beside their match."""
    return (
        *(r.trigger for r in rules()),
        *BARE_TRIGGERS,
        *NAMED_TRIGGERS,
        NOTE_TRIGGER,
        *map(literal_trigger, _needed()),
    )


@cache
def _needed() -> dict[bytes, int]:
    """Every literal that some rule needs, with the number of its trigger."""
    first = len(rules()) + len(BARE_TRIGGERS) + len(NAMED_TRIGGERS) + 1
    return {text: first + n for n, text in enumerate(sorted({text for rule in rules() for text in rule.needs}))}


def scan(view: View, *, text: bool, bare: bool = False, by: Scanner | None = None) -> Scanned:
    """Everything that the rules see in a content. ``text``: it is lines of text rather than a program. ``bare``: it is
    a program; state the versions that stand alone whatever else there is, those behind words, and packages' notes.

    Work is bounded: at most 4,096 occurrences of a trigger are tried, each on a window of at most 1 KiB.
    """
    found = (by or scanner()).scan(view)
    out = Scanned(statements=[], bare=[], cut=[])
    every, compiled_all = rules(), patterns()
    for number in sorted(n for n in found if n < len(every)):
        rule = every[number]
        if rule.text if text else rule.binary:
            full = _try(view, rule, compiled_all[number], found[number], out.statements)
            if full or number in found.cut:
                out.cut.append(rule.id)
    out.statements = [s for s in out.statements if _settle(view, found, s)]
    if bare or any(s.rule.bare for s in out.statements):
        _bare(view, found, out)
    if bare:
        _named(view, found, out)
        _notes(view, found, out)
    return out


def _try(
    view: View, rule: Rule, pattern: re.Pattern[bytes], ends: list[int], out: list[Statement]
) -> bool:  # fmt: skip
    """Confirm a rule at each trigger; whether there were more versions than are kept."""
    seen: dict[str, Statement] = {}
    reached, more = -1, False
    for end in ends:
        start = end - rule.trigger.length
        if start < reached:
            continue  # it lies in the match before
        base = max(0, start - WIDEST)
        window = view.take(base, min(end + WIDEST + _MARGIN, len(view)) - base)
        match = _covering(pattern, window, start - base, end - base)
        if match is None:
            continue
        reached = base + match.end()
        version = rule.version_of(match["version"]) if rule.evidence is not Evidence.PRESENCE else ""
        known = seen.get(version)
        if known is not None:
            known.count += 1
        elif len(seen) < VERSIONS:
            seen[version] = Statement(
                rule=rule,
                evidence=rule.evidence,
                version=version,
                start=base + match.start(),
                length=match.end() - match.start(),
                matched=match[0],
            )
        else:
            more = True
    out += seen.values()
    return more


def _covering(pattern: re.Pattern[bytes], window: bytes, start: int, end: int) -> re.Match[bytes] | None:
    """The pattern's match in the window that holds ``start`` to ``end``."""
    for match in pattern.finditer(window):
        if match.start() <= start and match.end() >= end:
            return match
        if match.start() > start:
            return None
    return None


def _settle(view: View, found: Found, statement: Statement) -> bool:
    """Give a statement the evidence that the rest of the content lets it have; whether anything is left of it."""
    rule = statement.rule
    if not rule.needs or any(_stands(view, found, text) for text in rule.needs):
        return True
    if rule.otherwise is None:
        return False
    statement.evidence = rule.otherwise
    return True


def _stands(view: View, found: Found, text: bytes) -> bool:
    """Whether a literal that a rule needs is in the content: of a long one the scanner looked for the beginning."""
    return _needed()[text] in found and (len(text) <= LONGEST or view.find(text) >= 0)


def _bare(view: View, found: Found, out: Scanned) -> None:
    first = len(rules())
    places = sorted(
        end - trigger.length for number, trigger in enumerate(BARE_TRIGGERS, first) for end in found[number]
    )
    seen: dict[str, int] = {}
    for start in places:
        window = view.take(start, min(64, len(view) - start))
        match = _BARE.match(window)
        if match is not None:
            seen.setdefault(match["version"].decode("latin-1"), start + match.start("version"))
    if len(seen) > BARE_VERSIONS or any(n in found.cut for n in range(first, first + len(BARE_TRIGGERS))):
        out.cut.append("bare")
    out.bare = [_with_neighbours(view, v, at) for v, at in list(seen.items())[:BARE_VERSIONS]]


def _with_neighbours(view: View, version: str, at: int) -> Bare:
    start, end = max(0, at - _BESIDE - 16), at + len(version)
    before = _BEFORE.search(view.take(start, at - start).removesuffix(b"v"))
    after = _AFTER.match(view.take(end, min(_BESIDE + 16, len(view) - end)))
    return Bare(
        version=version,
        start=at,
        before=before[1].decode("ascii") if before else "",
        after=after[1].decode("ascii") if after else "",
    )


def _named(view: View, found: Found, out: Scanned) -> None:
    first = len(rules()) + len(BARE_TRIGGERS)
    numbers = range(first, first + len(NAMED_TRIGGERS))
    starts = sorted(
        end - trigger.length for number, trigger in zip(numbers, NAMED_TRIGGERS, strict=True) for end in found[number]
    )
    seen: dict[tuple[str, str], int] = {}
    reached = -1
    for start in starts:
        if start < reached:
            continue
        base = max(0, start - NAMED_BEFORE)
        window = view.take(base, min(start + 64, len(view)) - base)
        if _NUMBER.match(window, start - base + 2) is None:
            continue  # two bytes before the number: most are none, and the whole pattern costs more
        match = _covering(_NAMED, window, start - base, start - base + 1)
        if match is not None:
            reached = base + match.end()
            word, version = match["name"].decode("latin-1"), match["version"].decode("latin-1")
            seen.setdefault((word, version), base + match.start())
    if len(seen) > BARE_VERSIONS or any(n in found.cut for n in numbers):
        out.cut.append("named")
    out.named = [Named(name=name, version=v, start=at) for (name, v), at in list(seen.items())[:BARE_VERSIONS]]


def _notes(view: View, found: Found, out: Scanned) -> None:
    for end in found[len(rules()) + len(BARE_TRIGGERS) + len(NAMED_TRIGGERS)][:VERSIONS]:
        start = end - NOTE_TRIGGER.length
        match = _NOTE.match(view.take(start, min(_NOTE_BYTES, len(view) - start)))
        if match is not None:
            out.notes.append((start + match.start("json"), match["json"]))
