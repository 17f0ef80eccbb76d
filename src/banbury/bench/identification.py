"""Identification by bytes, measured on whole sets of packages: development and held out, and beside a peer, in one run.

    report = identification.run(work, tell=print)     # an IdentificationReport
    report.markdown()

What is right is decided by :mod:`banbury.bench.components`; which packages are in a set, by
:mod:`banbury.bench.pools`; what the peer is given and how it is read, by :mod:`banbury.bench.peer`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

import banbury
from banbury.bench import images, peer, pools, programs
from banbury.bench.components import Measured, Unit, measure
from banbury.bench.report import Target
from banbury.model.errors import InputError
from banbury.supply.knowledge import bundle

Tell = Callable[[str], object]


class Row(Struct, frozen=True, kw_only=True):
    """One set's figures. ``carriers`` count one package for each product; ``all`` every package that was chosen."""

    pool: pools.Pool
    carriers: Tally
    all: Tally
    mb: float
    speed: float


class Tally(Struct, frozen=True, kw_only=True):
    """Counts over units. ``holds``: those whose programs hold the version as text; ``held``: the right ones of them.
    ``good``/``bad``: versions asserted of the package's own product, right and wrong. ``corrected``: packages right,
    versions right and wrong with the truth corrected (:mod:`banbury.bench.truth`)."""

    units: int
    named: int
    right: int
    holds: int
    held: int
    good: int
    bad: int
    corrected: tuple[int, int, int]


class IdentificationReport(Struct, frozen=True, kw_only=True):
    """Everything of one run."""

    date: str
    program: str
    machine: str
    rows: list[Row]
    beside: list[peer.Beside]
    images: list[images.Image] = []
    knowledge: str

    def targets(self) -> list[Target]:
        """The goals, read off the worst held-out set."""
        held = [row for row in self.rows if row.pool.use != "development"]
        out: list[Target] = []
        if held:
            worst = min(held, key=lambda row: _ratio(row.carriers.right, row.carriers.units))
            loose = min(held, key=lambda row: _ratio(row.all.good, row.all.good + row.all.bad))
            stated = loose.all.good + loose.all.bad
            out = [
                _target(f"product and version right, {worst.pool.name}", *_right(worst.carriers), 90),
                _target(f"versions asserted right, {loose.pool.name}", loose.all.good, stated, 98),
            ]
        slowest = min(row.speed for row in self.rows)
        out.append(_at_least("speed of the pass, slowest set", slowest, "MB/s CPU", 300))
        for beside in self.beside:
            known = beside.shares[-1].ours
            out.append(_target(f"{beside.pool}, {peer.KNOWN}", known.right, beside.shares[-1].packages, 90))
            if beside.theirs.cpu:
                what = f"CPU of {peer.PROGRAM} over ours, {beside.pool}"
                out.append(_at_least(what, beside.ratio(), "×", 150))
        return [
            *out,
            *(_target(f"products found in {i.name} by bytes alone", i.named, i.packages, 80) for i in self.images),
        ]

    def markdown(self) -> str:
        """The tables, ready to paste."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"Measured on {self.date} with {self.program}. {self.machine}."
        yield ""
        yield "| what | measured | to reach | |"
        yield "|---|---|---|---|"
        for target in self.targets():
            mark = {True: "reached", False: "**not reached**", None: "not measured"}[target.reached]
            yield f"| {target.what} | {target.measured} | {target.to_reach} | {mark} |"
        yield ""
        yield from _table(self.rows)
        yield ""
        for beside in self.beside:
            yield from peer.table(beside)
            yield ""
        yield from images.table(self.images)


def run(
    work: Path,
    *,
    only: Sequence[str] = (),
    firmware: Sequence[Path] = (),
    examine: images.Examine | None = None,
    tell: Tell = lambda line: None,
    details: bool = False,
) -> IdentificationReport:
    """Measure every set, or those of the suites in ``only``. Raises :class:`InputError` where a set cannot be had."""
    chosen = [p for p in pools.data().set if not only or p.suite in only]
    if not chosen:
        suites = ", ".join(sorted({p.suite for p in pools.data().set}))
        raise InputError(f"no set is of {', '.join(only)}", hint=f"There are sets of these suites: {suites}.")
    rows, beside = [], []
    for pool in chosen:
        packages = pools.fetch(pool, work / "packages", tell)
        tell(f"{pool.name}: {len(packages)} packages")
        measured = measure([path for _, path in packages], bundle.default(pool.without)[0], tell)
        if details:
            if pool.use != "development":
                raise InputError(f"{pool.name} is held out: what was missed in it is not shown")
            for line in measured.details():
                tell(line)
        rows.append(_row(pool, [c for c, _ in packages], measured))
        if pool.peer:
            beside.append(peer.compare(pool, packages, measured.units, work, tell))
    return IdentificationReport(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        program=f"banbury {banbury.__version__}",
        machine=programs.machine(),
        rows=rows,
        beside=beside,
        images=_images(firmware, work, examine, tell),
        knowledge=bundle.default()[1],
    )


def _images(firmware: Sequence[Path], work: Path, examine: images.Examine | None, tell: Tell) -> list[images.Image]:
    if examine is None:
        return []
    return [found for path in firmware if (found := images.measure(path, work, examine, tell)) is not None]


def _row(pool: pools.Pool, chosen: Sequence[pools.Chosen], measured: Measured) -> Row:
    carriers = {c.package for c in chosen if c.carrier}
    units = [unit for unit in measured.units if unit.programs]
    return Row(
        pool=pool,
        carriers=tally([unit for unit in units if unit.package in carriers]),
        all=tally(units),
        mb=measured.size / 1e6,
        speed=measured.size / 1e6 / max(measured.cpu, 1e-9),
    )


def tally(units: Sequence[Unit]) -> Tally:
    """The counts over units."""
    corrected = [u.sorted_out([*u.asserted, *u.wrong]) for u in units]
    return Tally(
        units=len(units),
        named=sum(u.named for u in units),
        right=sum(u.right for u in units),
        holds=sum(u.holds for u in units),
        held=sum(u.right for u in units if u.holds),
        good=sum(bool(u.asserted) for u in units),
        bad=sum(len(u.wrong) for u in units),
        corrected=(
            sum(right and not wrong for right, wrong in corrected),
            sum(right for right, _ in corrected),
            sum(wrong for _, wrong in corrected),
        ),
    )


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| set | use | packages | product named | product and version right | … of those that hold it as text | of the versions asserted, right | truth corrected: product and version right | of the versions asserted, right | MB/s CPU |"  # noqa: E501
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        for what, found in (("one for each product", row.carriers), ("all", row.all)):
            speed = f"{row.speed:.0f} on {row.mb:.0f} MB" if found is row.all else ""
            yield (
                f"| {row.pool.name} | {row.pool.use} | {found.units}, {what} | {share(found.named, found.units)} "
                f"| {share(found.right, found.units)} | {found.held} of {share(found.holds, 0)} "
                f"({_percent(found.held, found.holds)}) | {share(found.good, found.good + found.bad)} "
                f"| {share(found.corrected[0], found.units)} "
                f"| {share(found.corrected[1], sum(found.corrected[1:]))} | {speed} |"
            )


def share(part: int, whole: int) -> str:
    """A count, and its share of the whole where there is one."""
    return f"{part} ({_percent(part, whole)})" if whole else str(part)


def _right(found: Tally) -> tuple[int, int]:
    return found.right, found.units


def _percent(part: int, whole: int) -> str:
    return f"{100 * _ratio(part, whole):.1f} %"


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _target(what: str, part: int, whole: int, least: int) -> Target:
    return Target(
        what=what,
        measured=f"{part} of {share(whole, 0)} = {_percent(part, whole)}",
        to_reach=f"≥ {least} %",
        reached=100 * _ratio(part, whole) >= least,
    )


def _at_least(what: str, figure: float, unit: str, least: float) -> Target:
    return Target(what=what, measured=f"{figure:.0f} {unit}", to_reach=f"≥ {least:g} {unit}", reached=figure >= least)
