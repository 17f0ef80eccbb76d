"""The options of one network under some policies, over some years: solved, measured, and put side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from banbury.decide.exposure import precautions as known_precautions
from banbury.decide.network import Network
from banbury.decide.options import compare, demands, estate, linear, money, prices, schedule, shares
from banbury.decide.options.build import Built, Shop
from banbury.decide.options.costs import Costs, costs_limits, load
from banbury.decide.options.demands import Demands, Horizon
from banbury.decide.options.measure import Measure, Measured
from banbury.decide.options.problem import Ints
from banbury.decide.options.record import (
    Asking,
    Held,
    Line,
    Option,
    Options,
    Range,
    Step,
)
from banbury.decide.options.schedule import Plan
from banbury.decide.options.shares import Share
from banbury.decide.options.specs import Spec, plain_ban, plain_cap, specs
from banbury.decide.options.state import OUTSET, State
from banbury.decide.options.words import must_be_true
from banbury.decide.policy.pack import Pack
from banbury.decide.policy.read import load as load_pack
from banbury.model.errors import InputError

#: The longest horizon, in years, and how many of the policies' vendors exposure is asked of.
LONGEST, VENDORS = 25, 3
#: Part of the time that the options' schedules may take; then the frontier and what flips; each schedule by itself.
SOLVING, PRICES, AFTER = 0.5, 0.6, 0.8


class Study:
    """One run. ``seconds``: how long solving may take in all; what is not solved by then is said not to be."""

    def __init__(self, network: Network, packs: Sequence[Pack], costs: Costs, horizon: Horizon, seconds: float) -> None:
        self.network, self.packs, self.costs, self.horizon = network, list(packs), costs, horizon
        self.started, self.seconds = linear.clock(), seconds
        self.memo: schedule.Memo = {}
        estate.cover(network, packs)
        self.estate = estate.read(network, costs)
        self.demands: dict[str, Demands] = demands.Reader(network, horizon, self.estate.planned, self.estate.of).read(
            self.packs
        )
        self.shares: list[Share] = shares.everywhere(network, self.estate.planned)
        self.shop = Shop(self.estate, costs, horizon)
        self.vendors = _vendors(self.estate)
        self.today = network.as_of
        self.disagreements: list[str] = []
        self.precautions = [
            name for name, p in known_precautions().items() if not any(act.on == "vendor" for act in p.acts)
        ]

    def left(self, part: float) -> float:
        """Seconds until that part of the time is over."""
        return self.seconds * part - (linear.clock() - self.started)

    def run(self) -> Options:
        """All of it."""
        wanted = specs(self.packs, self.demands, self.shares, self.estate, self.horizon)
        solved = [(spec, *self.solve(spec, self.left(SOLVING))) for spec in wanted]
        solved = self._earliest(solved)
        found = []
        elsewhere = self._elsewhere()
        with State(self.network) as state:
            measure = Measure(self.network, self.packs, self.demands, self.vendors, self.horizon, state)
            for spec, built, plan in solved:
                found.append(self._option(spec, built, plan, measure, elsewhere))
        options = compare.dominated(found)
        more = compare.Comparison(self.shop, self.shares, self.left(AFTER), self.memo)
        frontier = more.frontier()
        flips = more.flips(options, {spec.id: spec for spec, _, _ in solved}, self.left(1.0))
        conditions = sorted({c for d in self.demands.values() for c in d.conditions})
        return Options(
            as_of=self.today,
            inventory=self.network.digest,
            made_up=self.network.made_up,
            problems=len(self.network.problems),
            first=self.horizon.first,
            last=self.horizon.last,
            currency=self.costs.currency,
            price_year=self.costs.price_year,
            discount=self.costs.discount.rate,
            policies=[Asking(p.id, p.version, p.title, p.jurisdiction, p.legal_status) for p in self.packs],
            vendors=self.vendors,
            held=self._held(),
            planned=len(self.estate.planned),
            doubtful=self.estate.doubtful,
            options=options,
            frontier=frontier,
            flips=flips,
            compared=compare.COMPARED,
            anchors=list(self.costs.anchors),
            conditions=conditions,
            disagreements=self.disagreements,
            limits=costs_limits(self.costs),
        )

    def solve(self, spec: Spec, seconds: float) -> tuple[Built, Plan]:
        """The schedule of an option."""
        built = self.shop.build(spec.asked)
        if built.blocked:
            return built, Plan("infeasible", reasons=built.blocked)
        return built, schedule.plan(built.problem, seconds, memo=self.memo)

    def _earliest(self, solved: list[tuple[Spec, Built, Plan]]) -> list[tuple[Spec, Built, Plan]]:
        """After each plain cap or ban that cannot be, the first year by which it can; where that is none of them
        yet."""
        found: list[tuple[Spec, Built, Plan]] = []
        ids = {spec.id for spec, _, _ in solved}
        for spec, built, plan in solved:
            found.append((spec, built, plan))
            if plan.state != "infeasible" or spec.family not in {"cap", "ban"}:
                continue
            year = self.first_year(spec)
            if year is not None and (other := self._plain(spec, year)).id not in ids:
                ids.add(other.id)
                found.append((other, *self.solve(other, self.left(SOLVING))))
        families = list(dict.fromkeys(spec.family for spec, _, _ in solved))
        return sorted(found, key=lambda f: (families.index(f[0].family), -(f[0].cap or 0), f[0].by))

    def first_year(self, spec: Spec) -> int | None:
        """The position of the first year by which a plain cap or ban can be; None where none was found in time."""
        for by in range(spec.by + 1, len(self.horizon.years)):
            built = self.shop.build(self._plain(spec, by).asked)
            if not built.blocked and schedule.feasible(built.problem, self.left(SOLVING)):
                return by
        return None

    def _plain(self, spec: Spec, by: int) -> Spec:
        if spec.family == "ban":
            return plain_ban(self.estate, by, self.horizon)
        return plain_cap(self.shares, spec.cap if spec.cap is not None else 0.0, by, self.horizon)

    def swaps(self, built: Built, choice: Ints) -> dict[str, tuple[int, str]]:
        """The year and the new vendor of each element that a plan swaps; planned ones come from elsewhere at once."""
        year = built.problem.year_of()
        found: dict[str, tuple[int, str]] = {}
        for u, c in enumerate(choice):
            if c < built.problem.choices - 1:
                to = (int(year[c]), built.vendor(u, int(c)))
                found.update(dict.fromkeys(self.estate.units[u].elements, to))
        return found

    def _elsewhere(self) -> dict[str, tuple[int, str]]:
        """Planned elements of the policies' vendors, ordered of the nearest other vendor."""
        if not self.estate.planned:
            return {}
        kinds = estate.kind_of(self.costs)
        rows = self.network.sql("SELECT id, operator, function FROM elements WHERE status = 'planned'")
        found = {}
        for id_, operator, function in rows:
            makers = self.estate.makers.get((str(operator), kinds.get(function, "")), [])
            if id_ in self.estate.planned and makers:
                found[id_] = (OUTSET, makers[0][0])
        return found

    def _option(
        self, spec: Spec, built: Built, plan: Plan, measure: Measure, elsewhere: dict[str, tuple[int, str]]
    ) -> Option:
        swaps: dict[str, tuple[int, str]] = {}
        if plan.choice is not None and spec.family not in {"accept", "mitigate"}:
            swaps = {**elsewhere, **self.swaps(built, plan.choice)}
        cost, outlay, lines = self._money(spec, built, plan)
        known = plan.choice is not None
        used = self.precautions if spec.family == "mitigate" else []
        found = measure.plan(spec.id, swaps, used) if known else Measured([], [], [], [])
        self.disagreements += found.disagreements
        steps = self._steps(built, plan)
        units = sum(s.units for s in steps)
        label = {"infeasible": "infeasible", "time": "no answer"}.get(plan.state, "plan" if units else "nothing to do")
        if spec.family == "mitigate":
            label = "plan"
        return Option(
            id=spec.id,
            family=spec.family,
            title=spec.title,
            text=spec.text,
            state=label,  # type: ignore[arg-type]
            reasons=[list(r) for r in plan.reasons],
            short=list(plan.short),
            earliest=self._year(spec) if plan.state == "infeasible" else None,
            cost=cost,
            outlay=outlay,
            costs=lines,
            reference=round(plan.cost, 2) if known else None,
            bound=round(plan.bound, 2) if known else None,
            gap=round(plan.gap, 9) if known else None,
            units=units,
            schedule=steps,
            verdicts=found.verdicts,
            exposure=measure.exposed(found.lefts),
            outage=[Range(x.outage_low, x.outage_high) for x in found.lefts],
            supply=found.supply,
            must_be_true=must_be_true(
                self.costs, self.demands, spec, steps, self.precautions, len(self.estate.planned)
            ),
            prices=prices.worths(self.costs, built, plan, self.started + self.seconds * PRICES, self.memo)
            if known
            else [],
        )

    def _year(self, spec: Spec) -> int | None:
        if spec.family not in {"cap", "ban"}:
            return None
        by = self.first_year(spec)
        return None if by is None else self.horizon.first + by

    def _money(self, spec: Spec, built: Built, plan: Plan) -> tuple[Range | None, Range | None, list[Line]]:
        if plan.choice is None:
            return None, None, []
        if spec.family == "mitigate":
            operators = len({u.operator for u in self.estate.units})
            npv, outlay, lines, _ = money.precautions(self.costs, self.precautions, operators, len(self.horizon.years))
            return npv, outlay, lines
        some = money.amounts(self.shop, built, plan.choice)
        return *money.spans(self.costs, some), money.lines(self.costs, some)

    def _steps(self, built: Built, plan: Plan) -> list[Step]:
        if plan.choice is None:
            return []
        year = built.problem.year_of()
        count: dict[tuple[int, str, str, str, str, str], int] = {}
        for u, c in enumerate(plan.choice):
            if c < built.problem.choices - 1:
                unit = self.estate.units[u]
                place = (unit.operator, unit.region, unit.kind, unit.vendor, built.vendor(u, int(c)))
                key = (self.horizon.years[int(year[c])], *place)
                count[key] = count.get(key, 0) + 1
        return [Step(*key, n) for key, n in sorted(count.items())]

    def _held(self) -> list[Held]:
        count: dict[tuple[str, str, str], int] = {}
        for u in self.estate.units:
            key = (u.operator, u.kind, u.vendor)
            count[key] = count.get(key, 0) + 1
        return [Held(*key, n) for key, n in sorted(count.items())]


def _vendors(some: estate.Estate) -> list[str]:
    """The groups of the vendors that are to go, those with most units first."""
    count: dict[str, int] = {}
    for u in some.units:
        for vendor in u.vendor.split("+"):
            count[vendor] = count.get(vendor, 0) + 1
    return sorted(count, key=lambda v: (-count[v], v))[:VENDORS]


def study(network: Network, packs: Sequence[Pack], costs: Costs, first: int, last: int, seconds: float) -> Options:
    """The options of ``network`` under ``packs`` from year ``first`` to ``last``, solving no longer than ``seconds``.

    Raises :class:`InputError` where years, inventory or policies leave nothing to plan.
    """
    if first > last:
        raise InputError(f"--from {first} --to {last}: the years are the wrong way round")
    if first < network.as_of.year:
        raise InputError(f"--from {first}: before the inventory, which is as of {network.as_of}")
    if last - first >= LONGEST:
        raise InputError(f"--from {first} --to {last}: more than {LONGEST} years")
    if not network.sql("SELECT 1 FROM elements_now LIMIT 1") or not network.sql("SELECT 1 FROM sites LIMIT 1"):
        raise InputError("the inventory has no sites with equipment")
    return Study(network, packs, costs, Horizon(first, last), seconds).run()


def study_folder(
    folder: Path,
    policies: Sequence[str],
    first: int,
    last: int,
    *,
    costs: Path | None = None,
    seconds: float = 120.0,
    accept_problems: bool = False,
) -> Options:
    """The same of the inventory in ``folder`` and policies by id or file; ``costs``: a file instead of the shipped
    ones."""
    packs = [load_pack(name) for name in dict.fromkeys(policies)]
    if len({pack.id for pack in packs}) < len(packs):
        raise InputError("two of the policies have one id")
    chosen = load(costs)
    if first > last:
        raise InputError(f"--from {first} --to {last}: the years are the wrong way round")
    with Network.open(folder, accept_problems=accept_problems) as network:
        return study(network, packs, chosen, first, last, seconds)
