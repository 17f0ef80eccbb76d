"""What a plan leaves at every year's end: exposure, outage, the policies' verdicts, who supplies what.

What was measured once is not measured again: two options that leave the same, at dates between which nothing in the
policies or the inventory changes, share one measurement.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from banbury.decide.exposure.record import CLASSES
from banbury.decide.network import Network
from banbury.decide.options import figures, judged
from banbury.decide.options.demands import Demands, Horizon
from banbury.decide.options.record import Exposed, Standing, Verdicts
from banbury.decide.options.state import OUTSET, State
from banbury.decide.policy import pack as model
from banbury.decide.policy.pack import Pack

#: With more elements than this, the policies are held against the inventory at the last year's end alone, and in
#: the years before the schedule's constraints say how it stands.
CHEAP = 300_000

Swaps = Mapping[str, tuple[int, str]]


class Measured(msgspec.Struct, frozen=True):
    """A plan's consequences, by year."""

    lefts: list[figures.Left]
    verdicts: list[Verdicts]
    supply: list[figures.Supply]
    disagreements: list[str]


class Measure:
    """Measures the plans of one study. Use within ``state``'s context."""

    def __init__(
        self,
        network: Network,
        packs: Sequence[Pack],
        demands: Mapping[str, Demands],
        vendors: Sequence[str],
        horizon: Horizon,
        state: State,
    ) -> None:
        self.network, self.packs, self.demands, self.vendors = network, packs, demands, vendors
        self.horizon, self.state = horizon, state
        self.today = network.as_of
        self.dates = self._dates()
        self.yearly = any(isinstance(r, model.Requires) and r.max_age_days is not None for p in packs for r in p.rules)
        self.cheap = network.rows["elements"] <= CHEAP
        self._left: dict[tuple[str, ...], figures.Left] = {}
        self._said: dict[tuple[str, ...], dict[str, Standing]] = {}
        self.start = figures.left(state.at(OUTSET - 1, self.today), vendors, [])

    def _dates(self) -> list[dt.date]:
        """Days on which a policy or the inventory says something else than the day before."""
        found = {d for p in self.packs for d in (p.dates.in_force, p.dates.until) if d is not None}
        for rule in (r for p in self.packs for r in p.rules):
            days = (rule.in_force, rule.due, getattr(rule, "date", None), getattr(rule, "since", None))
            # A day's last moment counts: what is due on it is late on the next.
            found |= {d + dt.timedelta(days=n) for d in days if d is not None for n in (0, 1)}
        queries = (
            "SELECT DISTINCT unnest([purchased, installed, planned_removal, support_ends]) FROM elements",
            "SELECT DISTINCT unnest([valid_from, valid_to]) FROM data_vendors",
            "SELECT DISTINCT unnest([date, expires]) FROM assurance",
        )
        for query in queries:
            found |= {row[0] for row in self.network.sql(query) if row[0] is not None}
        periods = [row[0] for row in self.network.sql("SELECT DISTINCT period FROM shares")]
        found |= {dt.date(int(p[:4]), int(p[5:7] or 1), 1) for p in periods}
        return sorted(d for d in found if d > self.today)

    def _phase(self, day: dt.date) -> str:
        """Which of the days have come."""
        return str(day.year) if self.yearly else str(sum(d <= day for d in self.dates))

    def plan(self, option: str, swaps: Swaps, precautions: Sequence[str]) -> Measured:
        """What a plan leaves. ``swaps``: for each element the position of its year, and the vendor that comes."""
        self.state.plan(dict(swaps))
        lefts, supply, told = [], [], []
        rows: dict[str, list[Standing]] = {p.id: [] for p in self.packs}
        last = len(self.horizon.years) - 1
        for n, year in enumerate(self.horizon.years):
            day = self.horizon.asked(n)
            gone = judged.gone(swaps, n)
            what = sorted((i, swaps[i][1]) for i in gone)
            key = (hashlib.sha256(repr(what).encode()).hexdigest(), self._phase(day))
            again = (*key, *precautions)
            modelled = judged.by_model(self.packs, self.demands, gone, day, year)
            if again not in self._left or key not in self._said or n == last:
                self.state.at(n, day)
            if again not in self._left:
                self._left[again] = figures.left(self.network, self.vendors, precautions)
            lefts.append(self._left[again])
            if self.cheap or n == last:
                if key not in self._said:
                    self._said[key] = judged.by_assess(self.network, self.packs, year)
                said = {p: msgspec.structs.replace(s, year=year) for p, s in self._said[key].items()}
                told += judged.disagreements(option, said, modelled)
            else:
                said = modelled
            for policy, standing in said.items():
                rows[policy].append(standing)
            if n == last:
                supply = figures.supply(self.network)
        return Measured(lefts, [Verdicts(p, some) for p, some in rows.items()], supply, told)

    def exposed(self, lefts: Sequence[figures.Left]) -> list[Exposed]:
        """By class of data; the area below the line from today's value through the years' ends."""
        found = []
        for key, title in CLASSES.items() if lefts else ():
            values = [x.read[key] for x in lefts]
            before = [max(self.start.read[key], values[0]), *values[:-1]]
            area = sum((a + b) / 2 for a, b in zip(before, values, strict=True))
            found.append(Exposed(key, title, self.start.read[key], values, round(area, 6)))
        return found
