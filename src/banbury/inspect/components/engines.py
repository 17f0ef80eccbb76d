"""The two scanners: Hyperscan, and RE2 where Hyperscan is not there. Both report the same.

A scanner is given triggers (:mod:`banbury.inspect.components.triggers`) and reports for each the offsets at which it
ends, in rising order, the first ``most`` of them. Sources: Hyperscan developer's reference 5.4, "Runtime"; RE2,
``re2/set.h``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, Protocol

from banbury.formats.view import View
from banbury.inspect.components.triggers import LONGEST, Trigger

#: Bytes scanned at a time, without the overlap.
PIECE: Final = 4 << 20
#: Occurrences of one trigger looked at in one content; where there are more the result says so.
MOST: Final = 4096
#: Occurrences beyond ``MOST`` after which a scanner is built anew without the triggers that flood it, and how often.
_FLOOD, _REBUILDS = 50_000, 4

#: Put behind a piece so that a set of patterns always matches something.
_MARK: Final = b"banbury:end-of-piece"

#: The environment variable that chooses: ``hyperscan``, ``re2``, or nothing for whichever there is.
CHOICE: Final = "BANBURY_SCANNER"


class Found(dict[int, list[int]]):
    """For each trigger that is there, by its number, the ends of its first ``MOST`` occurrences; ``cut`` names those
    that have more. Of one that is not there, none."""

    def __init__(self) -> None:
        super().__init__()
        self.cut: set[int] = set()

    def __missing__(self, which: int) -> list[int]:
        return []


class Scanner(Protocol):
    """Finds triggers in a content."""

    name: str

    def scan(self, view: View) -> Found:
        """The ends of all occurrences."""


class HyperscanScanner:
    """Hyperscan in block mode, all triggers at once."""

    name = "hyperscan"

    def __init__(self, triggers: Sequence[Trigger]) -> None:
        self._triggers = list(triggers)
        self._once = frozenset(i for i, t in enumerate(triggers) if t.once)
        self._whole = self._database(range(len(triggers)))

    def _database(self, which: Sequence[int]) -> Any:
        import hyperscan

        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        every = hyperscan.HS_FLAG_DOTALL
        once = every | hyperscan.HS_FLAG_SINGLEMATCH
        database.compile(
            expressions=[self._triggers[i].pattern for i in which],
            ids=list(which),
            flags=[once if self._triggers[i].once else every for i in which],
        )
        return database

    def scan(self, view: View) -> Found:
        found = Found()
        database, rebuilds, wasted = self._whole, 0, 0
        begin, size = 0, len(view)
        skip = base = 0
        once = self._once
        flooding: set[int] = set()

        def on_match(which: int, _start: int, end: int, _flags: int, _context: object) -> None:
            nonlocal wasted
            if which in once:
                found.setdefault(which, [base + end])
                return
            if end <= skip:
                return  # it lies whole in the overlap: the piece before has it
            ends = found.setdefault(which, [])
            if len(ends) < MOST:
                ends.append(base + end)
            else:
                wasted += 1
                flooding.add(which)

        while begin < size:
            base = max(0, begin - LONGEST)
            skip = begin - base
            piece = view.mem(base, min(begin + PIECE, size) - base)
            database.scan(piece, match_event_handler=on_match)
            found.cut |= flooding
            if wasted > _FLOOD and rebuilds < _REBUILDS:
                rebuilds, wasted = rebuilds + 1, 0
                left = [i for i in range(len(self._triggers)) if i not in found.cut]
                if not left:
                    break
                database = self._database(left)
            begin += PIECE
        return found


class Re2Scanner:
    """RE2: one set that says which triggers there are in a piece, then a search for each of those."""

    name = "re2"

    def __init__(self, triggers: Sequence[Trigger]) -> None:
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.dot_nl = True
        options.log_errors = False
        options.max_mem = 256 << 20
        self._set = re2.Set.SearchSet(options)
        for trigger in triggers:
            self._set.Add(trigger.pattern)
        self._set.Add(_MARK)
        self._set.Compile()
        self._each = [re2.compile(t.pattern, options) for t in triggers]
        self._once = [t.once for t in triggers]

    def scan(self, view: View) -> Found:
        found = Found()
        size = len(view)
        for begin in range(0, size, PIECE):
            base = max(0, begin - LONGEST)
            skip = begin - base
            piece = view.take(base, min(begin + PIECE, size) - base)
            # A set that runs out of memory answers as if nothing matched: the mark shows whether it looked.
            there = self._set.Match(piece + _MARK) or range(len(self._each))
            for which in sorted(there):
                if which < len(self._each):
                    self._search(found, which, piece, base, skip)
        return found

    def _search(self, found: Found, which: int, piece: bytes, base: int, skip: int) -> None:
        pattern, at = self._each[which], 0
        if self._once[which]:
            if which not in found and (first := pattern.search(piece)) is not None:
                found[which] = [base + first.end()]
            return
        while (match := pattern.search(piece, at)) is not None:
            at = match.start() + 1
            if match.end() <= skip:
                continue
            ends = found.setdefault(which, [])
            if len(ends) >= MOST:
                found.cut.add(which)
                return
            ends.append(base + match.end())


def scanner_class() -> type[HyperscanScanner] | type[Re2Scanner]:
    """Which scanner this process uses: the one that ``BANBURY_SCANNER`` names, else Hyperscan where it is installed."""
    wanted = os.environ.get(CHOICE, "")
    if wanted == Re2Scanner.name:
        return Re2Scanner
    return HyperscanScanner if _has_hyperscan() else Re2Scanner


@cache
def _has_hyperscan() -> bool:
    try:
        import hyperscan  # noqa: F401
    except ImportError:
        return False
    return True
