"""A network under one or more policies: rows for each, side by side. Nothing is averaged over policies."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from banbury.decide.network import Network
from banbury.decide.policy import compile as compiler
from banbury.decide.policy import escape, groups
from banbury.decide.policy import pack as model
from banbury.decide.policy.pack import Pack
from banbury.decide.policy.read import load
from banbury.decide.policy.verdict import ORDER, Assessment, Known, Overall, Status, Verdict
from banbury.model.errors import InputError

NOTHING = "every operator"
LEFT_OUT = "the inventory holds no element of it"

#: How many elements a row names where nothing else is asked for.
LISTED = 100


def assess(network: Network, packs: Sequence[Pack], *, listed: int | None = LISTED) -> Assessment:
    """Hold ``network`` against ``packs`` as of the network's date. ``listed``: how many elements a row names at most
    (None: all of them); it counts them all. Raises :class:`InputError` for an ``sql`` rule that
    is no SELECT of the columns asked for.
    """
    lines, rows = [], []
    bare = _bare(network)
    for pack in packs:
        found = _judge(network, pack, listed, bare) if network.as_of >= pack.dates.in_force else []
        rows += found
        lines.append(_line(pack, found, network.as_of))
    return Assessment(network.as_of, network.digest, network.made_up, lines, rows, projected=_projected(network))


def _projected(network: Network) -> dt.date | None:
    """The day for which the inventory's elements speak, where the day asked about is later; else none."""
    day = network.sql("SELECT max(as_of) FROM elements WHERE projected")[0][0]
    return day if isinstance(day, dt.date) else None


def _bare(network: Network) -> list[str]:
    """Whose equipment the inventory leaves out: operators that have sites and not one element; every operator, where
    there is no element at all. No rule can be met by half an inventory."""
    if not network.sql("SELECT 1 FROM elements LIMIT 1"):
        return [NOTHING]
    found = network.sql(
        """SELECT DISTINCT operator FROM sites WHERE operator IS NOT NULL
        AND operator NOT IN (SELECT operator FROM elements WHERE operator IS NOT NULL) ORDER BY 1"""
    )
    return [str(row[0]) for row in found]


def assess_folder(
    folder: Path,
    policies: Sequence[str],
    as_of: str | None,
    *,
    accept_problems: bool = False,
    workspace: Path | None = None,
    listed: int | None = LISTED,
) -> Assessment:
    """The inventory in ``folder`` against the policies of these ids or files, as of a date (YYYY-MM-DD), with what the
    evaluations in ``workspace`` say of its releases.

    Raises :class:`InputError` where the inventory, a policy or the date cannot be used.
    """
    with opened(folder, policies, as_of, accept_problems=accept_problems, workspace=workspace) as (network, packs):
        return stated(network, packs, listed=listed)


@contextmanager
def opened(
    folder: Path,
    policies: Sequence[str],
    as_of: str | None,
    *,
    accept_problems: bool = False,
    workspace: Path | None = None,
) -> Iterator[tuple[Network, list[Pack]]]:
    """The inventory and the packs, as :func:`assess_folder` takes and refuses them."""
    try:
        day = None if as_of is None else dt.date.fromisoformat(as_of)
    except ValueError as problem:
        raise InputError(f"--as-of: {as_of[:40] if as_of else ''!r} is no date (YYYY-MM-DD)") from problem
    packs = [load(name) for name in dict.fromkeys(policies)]
    if len({pack.id for pack in packs}) < len(packs):
        raise InputError("two of the policies have one id")
    if workspace is not None and not workspace.is_dir():
        raise InputError(f"{workspace}: is no workspace")
    with Network.open(folder, as_of=day, accept_problems=accept_problems, workspace=workspace) as network:
        yield network, packs


def stated(network: Network, packs: Sequence[Pack], *, listed: int | None = LISTED) -> Assessment:
    """:func:`assess`, with what it rests on: problems that were accepted, evaluations that were used."""
    found = assess(network, packs, listed=listed)
    known = [
        Known(one.release, one.product, one.version, one.date, one.evidence, one.elements)
        for one in network.evaluations
    ]
    later = [
        f"{one.product or one.release[:16]} {one.version}: evaluated as of {one.date}, after {network.as_of}"
        for one in network.evaluations
        if one.elements and one.date > network.as_of
    ]
    return msgspec.structs.replace(
        found, problems=len(network.problems), evaluations=known, remarks=network.remarks + later
    )


def _line(pack: Pack, rows: list[Verdict], as_of: dt.date) -> Overall:
    counted = Counter(row.status for row in rows)
    status: str = next((s for s in ORDER if counted[s]), "not in force")
    note = ""
    if not rows:
        note = f"comes into force on {pack.dates.in_force}"
    elif pack.dates.until is not None and as_of >= pack.dates.until:
        note = f"superseded on {pack.dates.until}"
    if pack.legal_status == "proposal":
        note = f"{note}; a proposal, not law".lstrip("; ")
    return Overall(
        pack.id,
        pack.version,
        pack.title,
        pack.jurisdiction,
        pack.legal_status,
        status,
        {s: counted[s] for s in ORDER},
        note,
    )


def _judge(network: Network, pack: Pack, listed: int | None, bare: Sequence[str]) -> list[Verdict]:
    rules = [_Rule(network, pack, rule, listed, bare) for rule in pack.rules]
    for statement in compiler.tables(pack, [query for rule in rules for query in rule.queries()]):
        network.connection.execute(statement)
    return [row for rule in rules for row in rule.verdicts()]


class _Rule:
    """One rule of one pack on one network."""

    def __init__(
        self, network: Network, pack: Pack, rule: model.AnyRule, listed: int | None, bare: Sequence[str]
    ) -> None:
        self.network = network
        self.bare = bare
        self.listed = listed
        self.pack = pack
        self.rule = rule
        source = pack.sources[rule.source.ref]
        self.source = f"{source.title}, {rule.source.clause}" + (
            ""
            if source.read == "primary"
            else f" ({source.read} source)"
            if source.read == "secondary"
            else " (from memory, unverified)"
        )

    def _row(self, status: Status, subject: str, **more: Any) -> Verdict:
        known: dict[str, Any] = {"measured": None, "limit": None, "due": self.rule.due, "assets": [], "unit": ""}
        return Verdict(
            policy=self.pack.id,
            rule=self.rule.id,
            status=status,
            subject=subject,
            source=self.source,
            restricted=isinstance(self.rule, model.KeepAway) or self._secret(),
            **{**known, **more},
        )

    def _secret(self) -> bool:
        name = self.rule.where.sites
        return bool(name and self.pack.definitions.site_class[name].sensitive)

    def _breach(self) -> tuple[Status, dt.date | None]:
        """What a breach is on the date: one, or due."""
        first, last, day = self.rule.in_force, self.rule.due, self.network.as_of
        if last is not None and day <= last:
            return "due", last
        if first is not None and day < first:
            return "due", first - dt.timedelta(days=1)
        return "violation", last

    def queries(self) -> list[str]:
        """What it asks."""
        rule, most = self.rule, self.listed
        if isinstance(rule, model.ShareCap):
            return [groups.cap(rule, most), groups.without_shares(rule)]
        if isinstance(rule, model.Diversity):
            return [groups.count(self.pack, rule, most)]
        return [compiler.hits(self.pack, rule, most)]

    def verdicts(self) -> list[Verdict]:
        """The rows; at least one."""
        lacking = [self._row("insufficient data", operator, text=LEFT_OUT, in_scope=0) for operator in self.bare]
        if NOTHING in self.bare:
            return lacking
        return [*self._judged(), *lacking]

    def _judged(self) -> list[Verdict]:
        rule = self.rule
        found = [self._ask(query) for query in self.queries()]
        if isinstance(rule, model.ShareCap):
            without = [row[0] for row in found[1]]
            rows = list(self._figures(groups.caps(rule, found[0], without, self.listed)))
        elif isinstance(rule, model.Diversity):
            rows = list(self._figures(groups.counts(rule, found[0])))
        else:
            rows = list(self._elements(found[0]))
        if rows:
            return rows
        status: Status = "insufficient data" if rule.expect else "met"
        return [self._row(status, NOTHING, text="nothing in the inventory is in its scope", in_scope=0)]

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        try:
            if isinstance(self.rule, model.Sql):
                escape.check(self.network, self.rule.query)
                return self.network.sql(query, seconds=escape.SECONDS)
            return self.network.sql(query)
        except InputError as problem:
            raise InputError(f"pack {self.pack.id}, rule {self.rule.id}: {problem}") from problem
        except duckdb.Error as problem:
            raise InputError(f"pack {self.pack.id}, rule {self.rule.id}: {str(problem)[:200]}") from problem

    def _figures(self, figures: Iterator[groups.Figure]) -> Iterator[Verdict]:
        for f in figures:
            status, due = {"met": ("met", self.rule.due), "open": ("insufficient data", self.rule.due)}.get(
                f.state, self._breach()
            )
            yield self._row(
                status,  # type: ignore[arg-type]
                f.subject,
                measured=f.low,
                measured_high=f.high if f.high != f.low else None,
                limit=float(f.limit),
                due=due,
                assets=f.assets,
                assets_total=f.total,
                unit=f.unit,
                text=f.text,
            )

    def _elements(self, found: list[tuple[Any, ...]]) -> Iterator[Verdict]:
        unit = "elements"
        for operator, inside, hits, hit, plans, planned, day, doubts, unknown in found:
            common = {"limit": 0.0, "unit": unit, "in_scope": inside}
            if not inside and self.rule.expect:
                yield self._row("insufficient data", operator, text="none of its elements is in the scope", **common)
                continue
            if hits:
                status, due = self._breach()
                named = {"assets": hit, "assets_total": hits}
                yield self._row(status, operator, measured=float(hits), **named, **{**common, "due": due})
            if plans:
                named = {"assets": planned, "assets_total": plans}
                text = "planned: a breach when it is carried out"
                yield self._row("due", operator, measured=float(plans), text=text, **named, **{**common, "due": day})
            if doubts:
                named = {"assets": unknown, "assets_total": doubts}
                yield self._row(
                    "insufficient data",
                    operator,
                    measured=float(hits),
                    measured_high=float(hits + doubts),
                    text="the inventory does not say what the rule needs of these",
                    **named,
                    **common,
                )
            if not (hits or plans or doubts):
                yield self._row("met", operator, measured=0.0, **common)
