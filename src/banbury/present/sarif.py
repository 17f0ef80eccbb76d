"""SARIF 2.1.0 (OASIS standard, 27 March 2020): the findings, for tools that track results.

A finding's fingerprint goes into ``partialFingerprints`` (section 3.27.17) and its state against the baseline into
``baselineState`` (3.27.24); evidence is a byte region (3.30.11 and 12) in an artefact named by its locator.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

import banbury
from banbury.judge.rules import Rule, rules
from banbury.model.evaluation import Evaluation, Evidence, Finding, Severity, Status

_LEVEL = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
_STATE = {Status.NEW: "new", Status.PERSISTS: "unchanged", Status.GONE: "absent"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"


def render_sarif(evaluation: Evaluation) -> bytes:
    """The findings of an evaluation (and those gone since the baseline) as one SARIF log, UTF-8 JSON."""
    gone = evaluation.comparison.gone if evaluation.comparison else []
    shown = [*evaluation.findings, *gone]
    used = sorted({f.rule for f in shown} & rules().keys())
    index = {name: i for i, name in enumerate(used)}
    driver = {
        "name": "Banbury",
        "version": banbury.__version__,
        "rules": [_rule(rules()[name]) for name in used],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(f, index) for f in shown],
        "properties": {"release": evaluation.release.label, "rulesDigest": evaluation.rules_digest},
    }
    return msgspec.json.format(msgspec.json.encode({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}), indent=1)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.remedy},
        "defaultConfiguration": {"level": _LEVEL[rule.severity]},
        "properties": {
            "severity": str(rule.severity),
            "grade": str(rule.grade),
            "tags": [rule.touches, *(f"external/cwe/cwe-{n}" for n in rule.cwe)],
        },
    }


def _result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVEL[finding.severity],
        "message": {"text": finding.message},
        "locations": [_location(e) for e in finding.evidence[:1]],
        "relatedLocations": [_location(e) for e in finding.evidence[1:]],
        "partialFingerprints": {f"banbury/v{finding.recipe}": finding.id},
        "properties": {"severity": str(finding.severity), "grade": str(finding.grade), "where": finding.where},
    }
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if finding.status is not None:
        result["baselineState"] = _STATE[finding.status]
    return result


def _location(evidence: Evidence) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(evidence.locator, safe="/!@+,=")}}
    if evidence.start >= 0:
        physical["region"] = {"byteOffset": evidence.start, "byteLength": evidence.length}
        if evidence.text:
            physical["region"]["snippet"] = {"text": evidence.text}
    location: dict[str, Any] = {"physicalLocation": physical}
    if evidence.sha256:
        location["properties"] = {"sha256": evidence.sha256}
    return location
