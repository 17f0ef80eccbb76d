"""A plan held against the policies at every year's end: by ``assess`` on the planned inventory, and by the
constraints."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from banbury.decide.network import Network
from banbury.decide.options.demands import Demands
from banbury.decide.options.record import Standing
from banbury.decide.options.shares import Share
from banbury.decide.policy.assess import assess
from banbury.decide.policy.pack import Pack
from banbury.decide.policy.verdict import ORDER

#: Places to which shares are compared, as in banbury.decide.policy.groups.
PLACES = 9


def _rank(status: str) -> int:
    return [str(s) for s in ORDER].index(status)


def by_assess(network: Network, packs: Sequence[Pack], year: int) -> dict[str, Standing]:
    """Each policy's standing, from its verdicts on the network as it is."""
    found = assess(network, packs, listed=1)
    rules: dict[str, dict[str, str]] = {p.id: {} for p in packs}
    for v in found.verdicts:
        mine = rules[v.policy]
        mine[v.rule] = min(mine.get(v.rule, v.status), v.status, key=_rank)
    return {line.policy: Standing(year, line.status, rules[line.policy], "assess") for line in found.policies}


def by_model(
    packs: Sequence[Pack], demands: Mapping[str, Demands], gone: frozenset[str], day: dt.date, year: int
) -> dict[str, Standing]:
    """The same from the demands alone, where ``gone`` are the elements that are swapped by then."""
    found = {}
    for pack in packs:
        rules: dict[str, str] = {}
        d = demands.get(pack.id)
        if day < pack.dates.in_force or d is None:
            found[pack.id] = Standing(year, "not in force", {}, "model")
            continue
        unmet = {c.rule for c in d.conditions if c.unmet}
        for out in d.out:
            if out.chosen or out.name.split("/", 1)[1] in unmet:
                continue
            _worse(rules, out.name.split("/", 1)[1], _status(not out.elements <= gone, out.due, day))
        for share in d.share:
            rule = share.label.split("/", 1)[1].partition(": ")[0]
            _worse(rules, rule, _status(_over(share, gone), share.due, day))
        worst = min(rules.values(), key=_rank, default="met")
        found[pack.id] = Standing(year, worst, rules, "model")
    return found


def _over(share: Share, gone: frozenset[str]) -> bool:
    left = sum(value for id_, value in share.weight.items() if id_ not in gone)
    part = round(min((left + share.fixed) / share.whole, 1.0), PLACES)
    return part >= share.limit if share.at_limit else part > share.limit


def _status(broken: bool, due: dt.date | None, day: dt.date) -> str:
    if not broken:
        return "met"
    return "due" if due is not None and day <= due else "violation"


def _worse(rules: dict[str, str], rule: str, status: str) -> None:
    rules[rule] = min(rules.get(rule, status), status, key=_rank)


def disagreements(option: str, said: Mapping[str, Standing], model: Mapping[str, Standing]) -> list[str]:
    """Where one calls a violation what the other does not, of the rules that the model has."""
    found = []
    for policy, standing in model.items():
        other = said.get(policy)
        if other is None or other.status == "not in force":
            continue
        for rule, status in standing.rules.items():
            theirs = other.rules.get(rule, "met")
            # What the inventory leaves open counts as theirs in a schedule, and is a matter of its own in a policy.
            same = {"violation", "insufficient data"} if status == "violation" else {"met", "due", "insufficient data"}
            if theirs not in same:
                found.append(
                    f"{option}, {standing.year}: {policy}/{rule}: the schedule says {status}, the policy {theirs}"
                )
    return found


def gone(swaps: Mapping[str, tuple[int, str]], position: int) -> frozenset[str]:
    """The elements that are swapped by the end of a year."""
    return frozenset(id_ for id_, (year, _) in swaps.items() if year <= position)
