"""What an option takes for granted, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from banbury.decide.exposure import precautions as known_precautions
from banbury.decide.options import money
from banbury.decide.options.costs import Costs
from banbury.decide.options.demands import Condition, Demands
from banbury.decide.options.record import Step
from banbury.decide.options.specs import Spec


def must_be_true(
    costs: Costs,
    demands: Mapping[str, Demands],
    spec: Spec,
    steps: Sequence[Step],
    precautions: Sequence[str],
    planned: int,
) -> list[str]:
    """What must be true, and nobody here can check."""
    said: list[str] = []
    if spec.family == "accept":
        return ["somebody who may do so accepts the exposure as it stands, for all of these years"]
    if spec.family == "mitigate":
        known = known_precautions()
        free = money.precautions(costs, precautions, 1, 1)[3]
        said = [f"{name}: {need}" for name in precautions for need in known[name].needs]
        return said + [f"{name}: costs nothing here, since it has no price" for name in free]
    if planned:
        said.append(f"{planned:,} planned elements are ordered of another vendor, which costs no more")
    kinds = sorted({s.kind for s in steps})
    for kind in kinds:
        k = costs.kinds[kind]
        said.append(
            f"crews swap {k.crew:.0%} of an operator's units of kind {kind} a year, in the country and each region"
        )
    peaks: dict[tuple[str, str], dict[int, int]] = {}
    for s in steps:
        mine = peaks.setdefault((s.vendor_to, s.kind), {})
        mine[s.year] = mine.get(s.year, 0) + s.units
    for (vendor, kind), years in sorted(peaks.items()):
        said.append(f"{vendor} delivers {max(years.values()):,} units of kind {kind} in its fullest year")
    some = [c for p in spec.policies for c in demands[p].conditions]
    return said + [_condition(c) for c in sorted(set(some))]


def _condition(c: Condition) -> str:
    return f"{c.policy}/{c.rule}: {c.text}" + (f" ({c.elements:,} elements)" if c.elements else "")
