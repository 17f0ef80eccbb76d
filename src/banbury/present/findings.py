"""Findings as the reports group them: by what they touch, then by rule."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from banbury.judge.rules import TOUCHES, Rule, rules
from banbury.model.evaluation import Evaluation, Finding, Grade, Severity, Status

_SEVERITIES = list(Severity)


class RuleGroup(Struct, frozen=True, kw_only=True):
    """The findings of one rule. A rule that this program does not know has only what its findings say of it."""

    id: str
    title: str
    severity: Severity
    grade: Grade
    why: str
    remedy: str
    cwe: list[int]
    source: list[str]
    misses: list[str]
    findings: list[Finding]
    fresh: int


class Touched(Struct, frozen=True, kw_only=True):
    """Everything found that touches one part of the product."""

    name: str
    anchor: str
    groups: list[RuleGroup]
    count: int
    by_severity: dict[str, int]
    fresh: int


def findings_by_touch(evaluation: Evaluation) -> list[Touched]:
    """Findings by what they touch, in the fixed order (then what a newer rule may name); rules of one part by
    severity, then name. New findings stand before those that persist. Every finding is in it exactly once."""
    parts: dict[str, dict[str, list[Finding]]] = {name: {} for name in TOUCHES}
    for finding in evaluation.findings:
        parts.setdefault(finding.touches, {}).setdefault(finding.rule, []).append(finding)
    return [_touched(number, name, by_rule) for number, (name, by_rule) in enumerate(parts.items()) if by_rule]


def untouched(evaluation: Evaluation) -> list[str]:
    """The parts of the product that no finding touches."""
    found = {f.touches for f in evaluation.findings}
    return [name for name in TOUCHES if name not in found]


def _touched(number: int, name: str, by_rule: dict[str, list[Finding]]) -> Touched:
    groups = [_group(rules().get(rule), found) for rule, found in by_rule.items()]
    groups.sort(key=lambda g: (_SEVERITIES.index(g.severity), g.id))
    everything = [f for found in by_rule.values() for f in found]
    return Touched(
        name=name,
        anchor=f"touch-{number}",
        groups=groups,
        count=len(everything),
        by_severity=severity_counts(everything),
        fresh=_fresh(everything),
    )


def _group(rule: Rule | None, found: list[Finding]) -> RuleGroup:
    first = found[0]
    return RuleGroup(
        id=first.rule,
        title=rule.title if rule else first.title,
        severity=min((f.severity for f in found), key=_SEVERITIES.index),
        grade=first.grade,
        why=rule.why if rule else "",
        remedy=rule.remedy if rule else "",
        cwe=rule.cwe if rule else [],
        source=rule.source if rule else [],
        misses=rule.misses if rule else [],
        findings=sorted(found, key=lambda f: f.status is not Status.NEW),
        fresh=_fresh(found),
    )


def _fresh(found: list[Finding]) -> int:
    return sum(f.status is Status.NEW for f in found)


def severity_counts(found: list[Finding]) -> dict[str, int]:
    """How many findings of each severity, every severity named, the worst first."""
    count = Counter(str(f.severity) for f in found)
    return {str(s): count[str(s)] for s in Severity}


def worst(found: list[Finding]) -> Severity:
    """The highest severity among some findings."""
    return min((f.severity for f in found), key=_SEVERITIES.index)
