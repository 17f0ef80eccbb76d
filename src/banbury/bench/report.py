"""The benchmark's result as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from banbury.bench.contest import Contest, Line


class Target(Struct, frozen=True, kw_only=True):
    """Something to reach: ``reached`` is None where it could not be measured."""

    what: str
    measured: str
    to_reach: str
    reached: bool | None


class BenchReport(Struct, frozen=True, kw_only=True):
    """All contests of one run and the targets read off them."""

    date: str
    program: str
    machine: str
    repeats: int
    contests: list[Contest]
    targets: list[Target]

    def markdown(self) -> str:
        """The tables, ready to paste."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"Measured on {self.date} with {self.program}. {self.machine}."
        yield ""
        yield (
            f"CPU is user and system time of a command with all its child processes; each figure is the median of "
            f"{self.repeats} runs taken in turns, ± is half the range. The machine was not idle: compare the ratios."
        )
        yield ""
        yield "| what | measured | to reach | |"
        yield "|---|---|---|---|"
        for target in self.targets:
            mark = {True: "reached", False: "**not reached**", None: "not measured"}[target.reached]
            yield f"| {target.what} | {target.measured} | {target.to_reach} | {mark} |"
        for contest in self.contests:
            yield ""
            yield f"### {contest.title}"
            yield ""
            yield f"| command | CPU s | × {contest.unit} | wall s | peak MB | note |"
            yield "|---|---|---|---|---|---|"
            yield from (_row(line, contest) for line in contest.lines)


def _row(line: Line, contest: Contest) -> str:
    if line.trouble:
        return f"| {line.name} | – | – | – | – | {'; '.join(filter(None, (line.trouble, line.note)))} |"
    ratio = contest.ratio(line.name)
    times = f"{ratio:.1f}" if ratio is not None else "–"
    figure = f"{line.cpu:.3f}" if line.cpu < 1 else f"{line.cpu:.2f}"
    peak = f"{line.peak / 1e6:.0f}" if line.peak else "–"
    return f"| {line.name} | {figure} ± {line.spread / 2:.0%} | {times} | {line.wall:.2f} | {peak} | {line.note} |"
