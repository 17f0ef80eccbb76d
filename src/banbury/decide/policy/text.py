"""An assessment as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from banbury.decide.policy.verdict import ORDER, Assessment, Verdict

#: How many assets a line names.
NAMED = 5


def lines(found: Assessment) -> Iterator[str]:
    """Policy by policy: its line, then its rows, the worst first. Assets near sensitive places are only counted."""
    made_up = ", an inventory that was made up" if found.made_up else ""
    yield f"as of {found.as_of}, inventory {found.inventory[:16]}{made_up}"
    if found.projected is not None:
        yield f"a projection: the inventory speaks for {found.projected}, and only what it has planned changes after"
    if found.problems:
        yield resting(found.problems)
    for one in found.evaluations:
        said = "; ".join(f"{kind}: {level} ({words})" for kind, (level, words) in sorted(one.evidence.items()))
        yield f"{one.product or one.release[:16]} {one.version}, {one.elements:,} elements: {said}"
    yield from (f"not used: {remark}" for remark in found.remarks)
    for line in found.policies:
        note = f" ({line.note})" if line.note else ""
        yield ""
        yield f"{line.policy} [{line.legal_status}, {line.jurisdiction}]: {line.status}{note}"
        yield f"  {line.title}"
        rows = [v for v in found.verdicts if v.policy == line.policy]
        for row in sorted(rows, key=lambda v: ORDER.index(v.status)):
            yield f"  {row.status:17} {row.rule:22} {row.subject}: {_figure(row)}"


def resting(problems: int) -> str:
    """That an inventory has problems, in words."""
    return f"the inventory has {problems:,} problem{'s' * (problems != 1)}: this rests on what could be read of it"


def bound(unit: str) -> str:
    """What a row's limit is, by its unit: the least there must be, or the most there may be."""
    return "at least" if unit.endswith("at least") else "limit"


def _number(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit.startswith("share") else f"{value:,.0f}"


def _figure(v: Verdict) -> str:
    parts = []
    if v.measured is not None:
        high = "" if v.measured_high is None else f" to {_number(v.measured_high, v.unit)}"
        limit = "" if v.limit is None else f" ({bound(v.unit)} {_number(v.limit, v.unit)})"
        parts.append(f"{_number(v.measured, v.unit)}{high} {v.unit.partition(',')[0]}{limit}")
    if v.due is not None and v.status == "due":
        parts.append(f"due {v.due}")
    if v.text:
        parts.append(v.text)
    if v.assets and not v.restricted:
        named = v.assets[:NAMED]
        more = v.assets_total - len(named)
        parts.append(", ".join(named) + (f" and {more:,} more" if more > 0 else ""))
    return "; ".join(parts) or "-"
