"""What the rules of a policy ask of a schedule: equipment out by a date, shares under a cap from a date, vendors left.

Of each rule the policy's own SQL says which elements and shares it is about (:mod:`banbury.decide.policy.compile`,
:mod:`banbury.decide.policy.groups`). What no swap can settle (evidence, support, purchases) is a condition, in words.
"""

# ruff: noqa: S608 - the names in these queries are of a closed list, held by banbury.decide.policy.read
from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec

from banbury.decide.network import Network
from banbury.decide.options.shares import Share, caps, same
from banbury.decide.policy import compile as compiler
from banbury.decide.policy import pack as model
from banbury.decide.policy.pack import Pack


class Out(msgspec.Struct, frozen=True):
    """Elements that must be gone by the end of year ``by``. ``late``: the date had passed, or there is none; then
    it is the first year. ``restricted``: which they are tells where sensitive places are. ``chosen``: others would do
    as well."""

    name: str
    policy: str
    by: int
    due: dt.date | None
    elements: frozenset[str]
    late: bool = False
    restricted: bool = False
    chosen: bool = False


class Vendors(msgspec.Struct, frozen=True):
    """How many vendors there must be in an operator's scope from the end of year ``by``. ``there``: groups there
    that no policy is about; ``elements``: the covered ones in the scope.
    """

    name: str
    policy: str
    by: int
    operator: str
    there: frozenset[str]
    elements: frozenset[str]
    least: int
    trusted: int


class Condition(msgspec.Struct, frozen=True, order=True):
    """What must be true besides, in words; and of how many elements. ``unmet``: no schedule can keep the whole rule."""

    policy: str
    rule: str
    text: str
    elements: int = 0
    unmet: bool = False


class Demands(msgspec.Struct):
    """All that policies ask."""

    out: list[Out]
    share: list[Share]
    vendors: list[Vendors]
    conditions: list[Condition]


class Horizon(msgspec.Struct, frozen=True):
    """From the first year to the last, both included."""

    first: int
    last: int

    @property
    def years(self) -> list[int]:
        """The years."""
        return list(range(self.first, self.last + 1))

    def by(self, due: dt.date) -> int:
        """The position of the last year whose end is not after ``due``; below 0 where that was before the first."""
        return due.year - self.first - (0 if (due.month, due.day) == (12, 31) else 1)

    def end(self, position: int) -> dt.date:
        """The last day of a year."""
        return dt.date(self.first + position, 12, 31)

    def asked(self, position: int) -> dt.date:
        """The day on which a year is judged: the first after it, when what was due on its last is late."""
        return dt.date(self.first + position + 1, 1, 1)


class _When(msgspec.Struct, frozen=True):
    """When a rule binds: its last day, the year's position, whether that had passed, and the days to ask about."""

    due: dt.date | None
    by: int
    late: bool
    days: tuple[dt.date, ...]


class Reader:
    """Rules into demands, for one network and horizon. Leaves the network at the date it had."""

    def __init__(self, network: Network, horizon: Horizon, planned: frozenset[str], of: dict[str, int]) -> None:
        self.network = network
        self.horizon = horizon
        self.planned = planned
        self.of = of
        self.today = network.as_of

    def read(self, packs: list[Pack]) -> dict[str, Demands]:
        """The demands of each pack, by its id."""
        found = {}
        try:
            for pack in packs:
                found[pack.id] = self._pack(pack)
        finally:
            self.network.at(self.today)
        return found

    def _due(self, pack: Pack, rule: model.AnyRule) -> dt.date | None:
        """The last day on which what a rule forbids may be there; None: it must be gone already."""
        starts = max((d for d in (pack.dates.in_force, rule.in_force) if d is not None), default=pack.dates.in_force)
        before = starts - dt.timedelta(days=1) if starts > self.today else None
        days = [d for d in (rule.due, before) if d is not None]
        return max(days) if days else None

    def _pack(self, pack: Pack) -> Demands:
        """The demands of one pack, rule by rule in its order. Each day is asked about once for all rules."""
        parts = {rule.id: Demands([], [], [], []) for rule in pack.rules}
        tasks: dict[dt.date, list[tuple[model.AnyRule, _When]]] = {}
        for rule in pack.rules:
            when = self._when(pack, rule, parts[rule.id])
            if when is not None:
                for day in when.days:
                    tasks.setdefault(day, []).append((rule, when))
        for day in sorted(tasks):
            self._at(pack, day)
            for rule, when in tasks[day]:
                self._rule(pack, rule, when, day, parts[rule.id])
        some = parts.values()
        return Demands(
            [o for d in some for o in d.out],
            [s for d in some for s in d.share],
            [v for d in some for v in d.vendors],
            [c for d in some for c in d.conditions],
        )

    def _when(self, pack: Pack, rule: model.AnyRule, got: Demands) -> _When | None:
        """When a rule binds; None where no schedule can meet it, and then a condition says so."""
        said = ""
        if pack.applies.everyone:
            said = f"{rule.title} (the policy is about every vendor: no swap settles it)"
        elif isinstance(rule, model.Requires | model.SupportRestriction | model.NoInstallAfter):
            said = rule.title
        due = self._due(pack, rule)
        by = self.horizon.by(due) if due is not None else -1
        if not said and by > self.horizon.last - self.horizon.first:
            said = f"{rule.title}: due {due}, after the horizon"
        if said:
            got.conditions.append(Condition(pack.id, rule.id, said))
            return None
        days = {max(due or self.today, self.today), self.horizon.asked(len(self.horizon.years) - 1)}
        return _When(due, max(by, 0), by < 0, tuple(sorted(days)))

    def _rule(self, pack: Pack, rule: model.AnyRule, when: _When, day: dt.date, got: Demands) -> None:
        if isinstance(rule, model.ShareCap):
            for cap in caps(self.network, pack.id, rule, self.planned):
                new = msgspec.structs.replace(cap, by=when.by, due=when.due, late=when.late)
                if not any(same(new, old) for old in got.share):
                    got.share.append(new)
        elif isinstance(rule, model.Diversity):
            if day == when.days[0]:
                got.vendors += self._diversity(pack, rule, when.by)
                self._most(pack, rule, when, got)
        else:
            self._out(pack, rule, when, got)

    def _at(self, pack: Pack, day: dt.date) -> None:
        """What rules read, as of a day."""
        self.network.at(day)
        for statement in compiler.tables(pack):
            self.network.connection.execute(statement)

    def _out(self, pack: Pack, rule: model.AnyRule, when: _When, got: Demands) -> None:
        hit: set[str] = set()
        unknown: set[str] = set()
        for _, _, _, there, _, planned, _, _, open_ in self.network.sql(compiler.hits(pack, rule, None)):
            hit |= {*there, *planned}
            unknown |= set(open_)
        movable = frozenset(i for i in hit if i in self.of)
        old = next((o for o in got.out if o.name == f"{pack.id}/{rule.id}"), None)
        secret = isinstance(rule, model.KeepAway) or bool(
            rule.where.sites and pack.definitions.site_class[rule.where.sites].sensitive
        )
        if movable and old is not None:
            got.out.remove(old)
            movable |= old.elements
        if movable:
            name = f"{pack.id}/{rule.id}"
            got.out.append(Out(name, pack.id, when.by, when.due, movable, when.late, secret))
        left = len([i for i in hit if i not in self.of and i not in self.planned])
        notes = [(left, f"{rule.title}: elements that another vendor's would not settle", True)]
        notes.append((len(unknown), f"{rule.title}: the inventory does not say what the rule needs", False))
        for number, text, unmet in notes:
            condition = Condition(pack.id, rule.id, text, number, unmet)
            if number and condition not in got.conditions:
                got.conditions.append(condition)

    def _most(self, pack: Pack, rule: model.Diversity, when: _When, got: Demands) -> None:
        """Of more vendors than may be there, those with fewest elements go."""
        if rule.max_covered is None:
            return
        inside = compiler.scope(pack, rule)
        region = "region" if "region" in rule.group else "NULL::VARCHAR"
        rows = self.network.sql(
            f"""SELECT operator, {region} AS region, vendor_group, list(id ORDER BY id)
            FROM (SELECT e.*, {inside} AS inside FROM policy_elements e WHERE e.status = 'installed')
            WHERE inside AND covered GROUP BY ALL ORDER BY 1, 2, len(list(id)) DESC, 3"""
        )
        seen: dict[tuple[str, str | None], int] = {}
        surplus: set[str] = set()
        for operator, place, _, ids in rows:
            seen[operator, place] = seen.get((operator, place), 0) + 1
            if seen[operator, place] > rule.max_covered:
                surplus |= {i for i in ids if i in self.of}
        if surplus:
            name = f"{pack.id}/{rule.id}"
            got.out.append(Out(name, pack.id, when.by, when.due, frozenset(surplus), when.late, chosen=True))
            text = f"{rule.title}: of the vendors it is about, those with most elements are the ones that stay"
            got.conditions.append(Condition(pack.id, rule.id, text))

    def _diversity(self, pack: Pack, rule: model.Diversity, by: int) -> Iterator[Vendors]:
        inside = compiler.scope(pack, rule)
        region = "region" if "region" in rule.group else "NULL::VARCHAR"
        rows = self.network.sql(
            f"""SELECT operator, {region} AS region,
                coalesce(list(DISTINCT vendor_group ORDER BY vendor_group) FILTER (NOT covered), []),
                coalesce(list(id ORDER BY id) FILTER (covered), [])
            FROM (SELECT e.*, {inside} AS inside FROM policy_elements e WHERE e.status = 'installed')
            WHERE inside GROUP BY ALL ORDER BY 1, 2"""
        )
        for operator, place, there, theirs in rows:
            name = f"{pack.id}/{rule.id}: {operator}{f' / {place}' if place else ''}"
            ids = frozenset(i for i in theirs if i in self.of)
            yield Vendors(name, pack.id, by, str(operator), frozenset(there), ids, rule.min_vendors, rule.min_trusted)
