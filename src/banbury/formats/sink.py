"""The sink that readers write to: a spool with budgets, and an ownership map that must partition the container."""

from __future__ import annotations

import os
from collections.abc import Iterable

from msgspec import Struct

from banbury.formats.view import Buffer, View
from banbury.model.errors import BadChecksum, BudgetExceeded, Malformed, SandboxError, Truncated
from banbury.model.tree import (
    NOTE_CODES,
    Check,
    Content,
    Dissection,
    Entry,
    Note,
    Region,
    Role,
)

_NAME = 200  # characters of a region's or check's name
_PROPERTIES = 1000


class Budget(Struct, frozen=True, kw_only=True):
    """What one reader may write for one container. ``ratio`` (output to input) counts past ``ratio_floor`` bytes."""

    output: int = 4 << 30
    entries: int = 250_000
    ratio: int = 250
    ratio_floor: int = 64 << 20
    notes: int = 1000
    regions: int = 4_000_000
    checks: int = 10_000

    def sliced(self, size: int) -> int:
        """How many bytes of a container of ``size`` bytes its stored members may hold in all. Honest ones do not
        overlap; dishonest ones would make much out of little."""
        return max(self.ratio_floor, 4 * size)


def _code(problem: Malformed) -> str:
    """The note's code for what stopped a member's decoding."""
    if isinstance(problem, Truncated):
        return "truncated"
    return "checksum" if isinstance(problem, BadChecksum) else "malformed"


class SpoolSink:
    """Collects one dissection. Decoded content goes to ``spool``, an open file descriptor, one after another."""

    def __init__(self, view: View, spool: int, budget: Budget | None = None) -> None:
        self._view = view
        self._spool = spool
        self._budget = budget or Budget()
        self._written = 0
        self._sliced = 0
        self._regions: dict[tuple[int, int], Region] = {}
        self._entries: list[Entry] = []
        self._contents: list[Content] = []
        self._content: dict[int, Content] = {}
        self._notes: list[Note] = []
        self._dropped_notes = 0
        self._dropped_checks = 0
        self._checks: list[Check] = []
        self._properties: dict[str, str] = {}

    def own(self, start: int, end: int, role: Role, name: str, member: int = -1) -> None:
        start, end = max(start, 0), min(end, len(self._view))
        if start < end:
            if len(self._regions) >= self._budget.regions:
                raise BudgetExceeded(f"more than {self._budget.regions} regions")
            self._regions.setdefault((start, end), Region(start, end, role, name[:_NAME], member))

    def entry(self, entry: Entry) -> int:
        if len(self._entries) >= self._budget.entries:
            self.note("bomb", f"more than {self._budget.entries} members")
            raise BudgetExceeded(f"more than {self._budget.entries} members")
        self._entries.append(entry)
        return len(self._entries) - 1

    def file(self, entry: Entry, pieces: Iterable[Buffer]) -> int:
        index = self.entry(entry)
        start, complete = self._written, True
        try:
            for piece in pieces:
                self._write(piece)
        except Malformed as problem:
            complete = False
            self.note(_code(problem), str(problem), path=entry.path)
        except BudgetExceeded as problem:
            self._keep(Content(index, start, self._written - start, stored=False, complete=False))
            self.note("bomb", str(problem), path=entry.path)
            raise
        self._keep(Content(index, start, self._written - start, stored=False, complete=complete))
        return index

    def slice(self, entry: Entry, start: int, end: int) -> int:
        if not 0 <= start <= end <= len(self._view):
            raise Malformed(f"{entry.path}: content {start}..{end} lies outside the container", offset=start)
        if (start, end) not in self._regions:  # the same slice again costs nothing; overlapping ones do
            self._sliced += end - start
            if self._sliced > self._budget.sliced(len(self._view)):
                self.note("bomb", "members overlap one another many times over", path=entry.path)
                raise BudgetExceeded("overlapping members pass the budget")
        index = self.entry(entry)
        self.own(start, end, Role.MEMBER, "content", index)
        self._keep(Content(index, start, end - start, stored=True))
        return index

    def alias(self, entry: Entry, member: int) -> int:
        index = self.entry(entry)
        of = self._content.get(member)
        if of is not None:
            self._keep(Content(index, of.start, of.length, of.stored, of.complete))
        return index

    def _keep(self, content: Content) -> None:
        self._contents.append(content)
        self._content[content.member] = content

    def note(self, code: str, detail: str, *, path: str = "", start: int = -1, end: int = -1) -> None:
        if code not in NOTE_CODES:
            raise ValueError(f"unknown note code {code!r}")
        if len(self._notes) < self._budget.notes:
            self._notes.append(Note(code=code, detail=detail[:400], path=path, start=start, end=end))
        else:
            self._dropped_notes += 1

    def check(self, what: str, expected: int, found: int) -> None:
        if len(self._checks) < self._budget.checks:
            self._checks.append(Check(what=what[:_NAME], expected=expected, found=found))
        else:
            self._dropped_checks += 1

    def property(self, name: str, value: str) -> None:
        if len(self._properties) < _PROPERTIES:
            self._properties[name[:_NAME]] = value[:400]

    def _write(self, piece: Buffer) -> None:
        total = self._written + len(piece)
        if total > self._budget.output:
            raise BudgetExceeded(f"output passes the budget of {self._budget.output} bytes")
        if total > self._budget.ratio_floor and total > self._budget.ratio * len(self._view):
            raise BudgetExceeded(f"output passes {self._budget.ratio} times the input")
        data = memoryview(piece)
        while data:
            try:
                done = os.write(self._spool, data)
            except OSError as problem:
                if problem.errno == 27:  # EFBIG: the kernel's own limit on the spool
                    raise BudgetExceeded("output passes the sandbox's file size limit") from problem
                raise SandboxError(f"spool: {problem.strerror}") from problem
            data = data[done:]
        self._written = total

    def finish(self, format_name: str, error: str = "") -> Dissection:
        """The dissection, its regions made a partition of the container."""
        if self._dropped_notes:
            self._notes.append(Note(code="bomb", detail=f"{self._dropped_notes} more notes were not kept"))
        if self._dropped_checks:
            self._notes.append(Note(code="bomb", detail=f"{self._dropped_checks} more checks were not kept"))
        return Dissection(
            format=format_name,
            size=len(self._view),
            regions=self._partition(),
            entries=self._entries,
            contents=self._contents,
            notes=self._notes,
            checks=self._checks,
            properties=self._properties,
            error=error[:400],
        )

    def _partition(self) -> list[Region]:
        """Sort the stated regions, let the first of two overlapping ones keep its bytes, and fill what is left."""
        out: list[Region] = []
        position = 0
        overlaps = 0
        for region in sorted(self._regions.values(), key=lambda r: (r.start, -r.end)):
            if region.end <= position:
                overlaps += 1
                continue
            if region.start < position:
                overlaps += 1
                region = Region(position, region.end, region.role, region.name, region.member)  # noqa: PLW2901
            self._fill(out, position, region.start)
            out.append(region)
            position = region.end
        self._fill(out, position, len(self._view))
        if overlaps:
            self.note("overlap", f"{overlaps} stated regions overlap others")
        return out

    def _fill(self, out: list[Region], start: int, end: int) -> None:
        if start >= end:
            return
        if self._view.run(start, end) == end - start:
            out.append(Region(start, end, Role.PADDING, f"fill {self._view.u8(start):#04x}"))
        else:
            out.append(Region(start, end, Role.UNREAD, "unclaimed"))
