"""One contest: several commands on the same bytes, taken in turns, compared by the median of their processor time."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from banbury.bench.meter import Usage, measure

Make = Callable[[int], list[str]]


class Contender(Struct, frozen=True, kw_only=True):
    """``make(turn)`` gives the command for a turn, or is None where the program is not installed. ``ready(turn)`` puts
    things in order before, unmeasured. ``times`` runs are measured together where one is too short. ``statuses`` are
    the exit statuses that count as success."""

    name: str
    make: Make | None
    ready: Callable[[int], object] = lambda turn: None
    env: Mapping[str, str] | None = None
    times: int = 1
    statuses: Sequence[int] = (0,)
    note: str = ""


class Line(Struct, frozen=True, kw_only=True):
    """One contender's result. ``cpu`` and ``wall`` are medians in seconds, ``spread`` the range of ``cpu`` over its
    median; ``trouble`` says why there are none."""

    name: str
    cpu: float = 0.0
    wall: float = 0.0
    peak: int = 0
    spread: float = 0.0
    note: str = ""
    trouble: str = ""


class Contest(Struct, frozen=True, kw_only=True):
    """A title, the lines, and which of them the others are measured in (``unit``)."""

    title: str
    lines: list[Line]
    unit: str

    def ratio(self, name: str, of: str = "") -> float | None:
        """CPU of a line in units of another (by default the contest's)."""
        ours, theirs = self.line(name), self.line(of or self.unit)
        if ours is None or theirs is None or ours.trouble or theirs.trouble or not theirs.cpu:
            return None
        return ours.cpu / theirs.cpu

    def line(self, name: str) -> Line | None:
        return next((line for line in self.lines if line.name == name), None)


def compete(
    title: str, contenders: Sequence[Contender], unit: str, repeats: int, tell: Callable[[str], object]
) -> Contest:
    """Every contender once a turn, ``repeats`` turns; a failure is reported and its contender left out from then on."""
    taken: dict[str, list[Usage]] = {}
    trouble = {c.name: "not installed" for c in contenders if c.make is None}
    for turn in range(repeats):
        for contender in contenders:
            if contender.make is None or contender.name in trouble:
                continue
            tell(f"{title}: {contender.name}, {turn + 1} of {repeats}")
            contender.ready(turn)
            usage = measure(contender.make(turn), env=contender.env, times=contender.times)
            if usage.status not in contender.statuses:
                trouble[contender.name] = f"exit status {usage.status}: {last_line(usage.output)}"
                continue
            taken.setdefault(contender.name, []).append(usage)
    lines = [_line(c, taken.get(c.name, []), trouble.get(c.name, "")) for c in contenders]
    return Contest(title=title, lines=lines, unit=unit)


def fresh(path: Path) -> Path:
    """The path with nothing there."""
    shutil.rmtree(path, ignore_errors=True)
    return path


def last_line(text: str) -> str:
    """The last line that says something, short."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "no output"


def _line(contender: Contender, usages: Sequence[Usage], trouble: str) -> Line:
    if trouble or not usages:
        return Line(name=contender.name, note=contender.note, trouble=trouble or "not measured")
    cpu = [usage.cpu for usage in usages]
    middle = statistics.median(cpu)
    return Line(
        name=contender.name,
        cpu=middle,
        wall=statistics.median(usage.wall for usage in usages),
        peak=max(usage.peak for usage in usages),
        spread=(max(cpu) - min(cpu)) / middle if middle else 0.0,
        note=contender.note,
    )
