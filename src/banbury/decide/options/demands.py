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
from banbury.decide.policy import compile as compiler
from banbury.decide.policy import pack as model
from banbury.decide.policy.pack import Pack


class Out(msgspec.Struct, frozen=True):
    """Elements that must be gone by the end of year ``by``. ``late``: the date had passed, or there is none; then
    it is the first year. ``restricted``: which they are tells where sensitive places are."""

    name: str
    policy: str
    by: int
    due: dt.date | None
    elements: frozenset[str]
    late: bool = False
    restricted: bool = False


class Share(msgspec.Struct, frozen=True):
    """A cap from the end of year ``by`` on. ``weight``: what each element takes from the share when it goes; ``about``:
    the network and the metric."""

    label: str
    about: tuple[str, str]
    policy: str
    by: int
    due: dt.date | None
    weight: dict[str, float]
    fixed: float
    whole: float
    limit: float
    at_limit: bool
    late: bool = False

    @property
    def name(self) -> str:
        """The cap in words."""
        sign = "below" if self.at_limit else "at most"
        return f"{self.label} {sign} {self.limit * 100:.6g} % of {' '.join(self.about)}"


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
    """What must be true besides, in words; and of how many elements."""

    policy: str
    rule: str
    text: str
    elements: int = 0


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
                got = Demands([], [], [], [])
                for rule in pack.rules:
                    self._rule(pack, rule, got)
                found[pack.id] = got
        finally:
            self.network.at(self.today)
        return found

    def _due(self, pack: Pack, rule: model.AnyRule) -> dt.date | None:
        """The last day on which what a rule forbids may be there; None: it must be gone already."""
        starts = max((d for d in (pack.dates.in_force, rule.in_force) if d is not None), default=pack.dates.in_force)
        before = starts - dt.timedelta(days=1) if starts > self.today else None
        days = [d for d in (rule.due, before) if d is not None]
        return max(days) if days else None

    def _rule(self, pack: Pack, rule: model.AnyRule, got: Demands) -> None:
        if pack.applies.everyone:
            text = f"{rule.title} (the policy is about every vendor: no swap settles it)"
            got.conditions.append(Condition(pack.id, rule.id, text))
            return
        if isinstance(rule, model.Requires | model.SupportRestriction | model.NoInstallAfter):
            got.conditions.append(Condition(pack.id, rule.id, rule.title))
            return
        due = self._due(pack, rule)
        by = self.horizon.by(due) if due is not None else -1
        if by > self.horizon.last - self.horizon.first:
            got.conditions.append(Condition(pack.id, rule.id, f"{rule.title}: due {due}, after the horizon"))
            return
        late, by = by < 0, max(by, 0)
        days = sorted({max(due or self.today, self.today), self.horizon.asked(len(self.horizon.years) - 1)})
        for day in days:
            self._at(pack, day)
            if isinstance(rule, model.ShareCap):
                for cap in caps(self.network, pack.id, rule, self.planned):
                    new = msgspec.structs.replace(cap, by=by, due=due, late=late)
                    if not any(same(new, old) for old in got.share):
                        got.share.append(new)
            elif isinstance(rule, model.Diversity):
                got.vendors += self._diversity(pack, rule, by) if day == days[0] else []
            else:
                self._out(pack, rule, by, due, late, got)

    def _at(self, pack: Pack, day: dt.date) -> None:
        """What rules read, as of a day."""
        self.network.at(day)
        for statement in compiler.tables(pack):
            self.network.connection.execute(statement)

    def _out(self, pack: Pack, rule: model.AnyRule, by: int, due: dt.date | None, late: bool, got: Demands) -> None:
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
            got.out.append(Out(f"{pack.id}/{rule.id}", pack.id, by, due, movable, late, secret))
        left = len([i for i in hit if i not in self.of and i not in self.planned])
        notes = [(left, f"{rule.title}: elements that another vendor's would not settle")]
        notes.append((len(unknown), f"{rule.title}: the inventory does not say what the rule needs"))
        for number, text in notes:
            condition = Condition(pack.id, rule.id, text, number)
            if number and condition not in got.conditions:
                got.conditions.append(condition)

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


def same(a: Share, b: Share) -> bool:
    """Whether two caps say the same, but for their date."""
    return (a.name, a.weight, a.fixed, a.whole) == (b.name, b.weight, b.fixed, b.whole)


def caps(network: Network, policy: str, rule: model.ShareCap, planned: frozenset[str]) -> Iterator[Share]:
    """One cap for each group that the rule is about, on the network's date, from ``policy_elements``.

    What the inventory leaves open counts as theirs: a plan is to keep the cap whatever the open figures are.
    """
    region = "e.region" if "region" in rule.group else "NULL::VARCHAR"
    each = rule.reading == "per-vendor"
    rows = network.sql(_PARTS.format(network=rule.network, metric=rule.metric, region=region))
    whole: dict[tuple[str, str | None], float] = {}
    open_: dict[tuple[str, str | None], float] = {}
    theirs: dict[tuple[str, str | None, str | None], dict[str, float]] = {}
    missing: dict[str, float] = {}
    for operator, place, vendor, id_, value, covered, doubt, lacking in rows:
        key = (str(operator), place)
        missing[str(operator)] = lacking
        whole[key] = whole.get(key, 0.0) + value
        if covered is None or (each and doubt):
            open_[key] = open_.get(key, 0.0) + value
        if covered and id_ not in planned:
            mine = theirs.setdefault((*key, vendor if each else None), {})
            mine[id_] = mine.get(id_, 0.0) + value
    for (operator, place, vendor), weight in sorted(theirs.items(), key=lambda item: str(item[0])):
        subject = " / ".join(x for x in (operator, place, vendor) if x)
        total = whole[operator, place] + missing[operator]
        if total <= 0:
            continue
        fixed = open_.get((operator, place), 0.0) + missing[operator]
        label, about = f"{policy}/{rule.id}: {subject}", (rule.network, rule.metric)
        yield Share(label, about, policy, 0, None, weight, fixed, total, rule.max, rule.breach == ">=")


# One row for each counted cell (a site where sites are counted, else an element): the first of the covered elements
# there.
_PARTS = """WITH taken AS (
        SELECT operator, coalesce(max(period) FILTER (period <= left(getvariable('as_of')::VARCHAR, length(period))),
            min(period)) AS period
        FROM shares WHERE network = '{network}' AND metric = '{metric}' GROUP BY operator),
    parts AS (
        SELECT s.operator, s.unit, s.value, e.id, {region} AS region, e.site, e.vendor_group, e.covered
        FROM shares s JOIN taken t ON t.operator = s.operator AND t.period = s.period
        JOIN policy_elements e ON e.id = s.element AND e.status = 'installed'
        WHERE s.network = '{network}' AND s.metric = '{metric}'),
    sums AS (SELECT operator, CASE any_value(unit) WHEN 'fraction' THEN greatest(0, round(1 - sum(value), 12)) ELSE 0.0
        END AS missing FROM parts GROUP BY operator)
    SELECT p.operator, p.region, min(p.vendor_group) FILTER (p.covered),
        coalesce(min(p.id) FILTER (p.covered), min(p.id)), max(p.value),
        CASE WHEN bool_or(p.covered) THEN true WHEN bool_or(p.covered IS NULL) THEN NULL ELSE false END,
        bool_or(p.covered IS NULL), any_value(m.missing)
    FROM parts p JOIN sums m ON m.operator = p.operator
    GROUP BY p.operator, p.region, CASE WHEN '{metric}' = 'sites' AND p.unit = 'count' THEN p.site ELSE p.id END
    ORDER BY ALL"""


def everywhere(network: Network, planned: frozenset[str]) -> list[Share]:
    """A cap for each operator's access network and each metric that the inventory has, of all that any policy
    covers."""
    network.connection.execute(
        """CREATE OR REPLACE TEMP TABLE policy_elements AS SELECT e.*, c.covered FROM elements e
        JOIN option_cover c ON c.id = e.id WHERE e.status <> 'removed'"""
    )
    pairs = network.sql("SELECT DISTINCT network, metric FROM shares ORDER BY 1, 2")
    found = []
    for net, metric in pairs:
        rule = model.ShareCap(
            id=f"{net.lower()}-{metric}",
            title="",
            source=model.Reference("", ""),
            network=net,
            metric=metric,
            max=1.0,
            breach=">",
            reading="collective",
        )
        found += list(caps(network, "cap", rule, planned))
    return found
