"""What each country's rules said of one network at each moment of a case, and what changed the answer.

The network is one inventory throughout, asked as of each day; the packs are those in force on the day and not yet
replaced. A change is put down to a cause by comparing rows, never by reading the records: a pack that came or went (and
what the one that went would still say); a row whose figure changed (the network did); a row whose status changed with
the same figure (a date passed).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from banbury.decide.cases.records import Answer, Case, Cause, Change, Moment, Record, Stance, Story, Told, last_day
from banbury.decide.network import Network
from banbury.decide.policy.assess import assess
from banbury.decide.policy.pack import Pack
from banbury.decide.policy.read import load as load_pack
from banbury.decide.policy.verdict import ORDER, Assessment, Verdict

#: A country for which no pack of the case is in force on the day.
NO_RULE = "no rule in force"


def tell(folder: Path, case: Case, *, accept_problems: bool = False) -> Story:
    """``case`` told of the inventory in ``folder``. Raises :class:`InputError` where the inventory cannot be used."""
    told: list[Told] = []
    packs = {country: [load_pack(p) for p in ids] for country, ids in case.jurisdictions.items()}
    with Network.open(folder, as_of=case.moments[0].on, accept_problems=accept_problems) as network:
        for moment in case.moments:
            told.append(_at(network.at(moment.on), case, packs, moment, told[-1] if told else None))
        return Story(case.id, case.title, case.text, network.digest, network.made_up, told, len(network.problems))


def _at(network: Network, case: Case, packs: dict[str, list[Pack]], moment: Moment, before: Told | None) -> Told:
    every = [p for own in packs.values() for p in own]
    found = assess(network, [p for p in every if in_force(p, moment.on)])
    gone = [p for p in every if before and p.id in _ids(before) and not in_force(p, moment.on)]
    late = {line.policy: line.status for line in assess(network, gone).policies}
    since = before.moment.on if before else dt.date.min
    known = [r for r in case.records if last_day(r.date) <= moment.on]
    new = [r for r in known if last_day(r.date) > since]
    answers = [_answer(country, packs[country], known, found, before, late) for country in case.jurisdictions]
    return Told(moment, new, answers, found)


def in_force(pack: Pack, day: dt.date) -> bool:
    """Whether ``pack`` speaks on ``day``: it has begun, and no other has taken its place."""
    return pack.dates.in_force <= day and (pack.dates.until is None or day < pack.dates.until)


def _ids(told: Told) -> set[str]:
    return {line.policy for line in told.assessment.policies}


def _answer(
    country: str,
    packs: list[Pack],
    known: list[Record],
    found: Assessment,
    before: Told | None,
    late: dict[str, str],
) -> Answer:
    own = [line for line in found.policies if line.policy in {p.id for p in packs}]
    status = next((s for s in ORDER if any(line.status == s for line in own)), NO_RULE)
    stance, reported = _stance(country, known)
    now = Answer(country, status, [line.policy for line in own], stance, reported, [])
    if before is None:
        return now
    was = next(a for a in before.answers if a.country == country)
    changes = list(_changes(was, now, before.assessment, found, late))
    return Answer(country, status, now.policies, stance, reported, changes)


def _stance(country: str, known: list[Record]) -> tuple[Stance, bool]:
    for record in reversed(known):
        if record.country == country and record.stance is not None:
            return record.stance, record.reported
    return "none", False


def _changes(was: Answer, now: Answer, before: Assessment, found: Assessment, late: dict[str, str]) -> Iterator[Change]:
    for policy in was.policies:
        if policy not in now.policies:
            yield Change("rule", f"{policy} is no longer in force; on this day it would say: {late[policy]}")
    for policy in now.policies:
        if policy not in was.policies:
            line = next(p for p in found.policies if p.policy == policy)
            yield Change("rule", f"{policy} came into force: {line.status}")
        else:
            yield from _rows(policy, before, found)
    if (was.stance, was.reported) != (now.stance, now.reported):
        yield Change("position", f"{_said(was.stance, was.reported)} → {_said(now.stance, now.reported)}")


def _said(stance: Stance, reported: bool) -> str:
    return f"{stance} (reported)" if reported else stance


def _rows(policy: str, before: Assessment, found: Assessment) -> Iterator[Change]:
    """Rows of one pack that are other than before, summed up by cause, rule and status."""
    old, new = _by_row(policy, before), _by_row(policy, found)
    seen: dict[tuple[Cause, str, str], list[str]] = {}
    for rule, subject in sorted(old.keys() | new.keys()):
        a, b = old.get((rule, subject)), new.get((rule, subject))
        if _quiet(_status(a), _status(b)):
            continue
        same = a is not None and b is not None and _figures(a) == _figures(b)
        if _status(a) != _status(b):
            seen.setdefault(("date" if same else "network", rule, f"{_status(a)} → {_status(b)}"), []).append(subject)
        elif not same and a and b and a.measured is not None and b.measured is not None:
            figure = f"{subject} {_figure(a)} → {_figure(b)} {b.unit.partition(',')[0]}".rstrip()
            seen.setdefault(("network", rule, f"still {_status(b)}"), []).append(figure)
    for (cause, rule, what), subjects in seen.items():
        yield Change(cause, f"{policy} {rule}: {what}: {', '.join(subjects)}")


def _quiet(before: str, after: str) -> bool:
    """Whether two statuses of a row tell nothing: still open, or a scope that was empty without a word."""
    return before == after == "insufficient data" or {before, after} <= {"met", "no row"}


def _status(row: Verdict | None) -> str:
    return "no row" if row is None else row.status


def _figures(row: Verdict) -> tuple[float | None, float | None]:
    return row.measured, row.measured_high


def _figure(row: Verdict) -> str:
    assert row.measured is not None
    return f"{row.measured:.1%}" if row.unit.startswith("share") else f"{row.measured:,.0f}"


def _by_row(policy: str, found: Assessment) -> dict[tuple[str, str], Verdict]:
    """(rule, subject) → the row with the worst status."""
    rows: dict[tuple[str, str], Verdict] = {}
    for row in found.verdicts:
        key = (row.rule, row.subject)
        if row.policy == policy and (key not in rows or ORDER.index(row.status) < ORDER.index(rows[key].status)):
            rows[key] = row
    return rows
