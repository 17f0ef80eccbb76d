"""SARIF 2.1.0 (OASIS standard, 27 March 2020, with errata 01): the findings, for tools that track results.

A finding's fingerprint goes into ``partialFingerprints`` (section 3.27.17) and its state against the baseline into
``baselineState`` (3.27.24); evidence is a byte region (3.30.11 and 12) in an artefact. Artefacts are nested as the
release nests them (3.24.3). What was not checked is a notification of the tool (3.20.21), so that a reader of SARIF
alone sees it too.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

import banbury
from banbury.judge.rules import Rule, rules
from banbury.model.evaluation import Evaluation, Evidence, Finding, Node, Severity, Status
from banbury.present.gaps import Gap, gaps
from banbury.present.text import clip

_LEVEL = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
_STATE = {Status.NEW: "new", Status.PERSISTS: "unchanged", Status.GONE: "absent"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render_sarif(evaluation: Evaluation) -> bytes:
    """The findings of an evaluation (and those gone since the baseline) as one SARIF log, UTF-8 JSON."""
    gone = evaluation.comparison.gone if evaluation.comparison else []
    shown = [*evaluation.findings, *gone]
    used = sorted({f.rule for f in shown} & rules().keys())
    index = {name: i for i, name in enumerate(used)}
    artefacts = _Artefacts(evaluation.nodes)
    driver = {
        "name": "Banbury",
        "version": banbury.__version__,
        "semanticVersion": banbury.__version__,
        "rules": [_rule(rules()[name]) for name in used],
    }
    results = [_result(f, index, artefacts) for f in shown]
    run = {
        "tool": {"driver": driver},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [_notification(g, artefacts) for g in gaps(evaluation)],
            }
        ],
        "columnKind": "unicodeCodePoints",
        "artifacts": artefacts.listed,
        "results": results,
        "properties": {"release": evaluation.release.label, "rulesDigest": evaluation.rules_digest},
    }
    return msgspec.json.format(msgspec.json.encode({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}), indent=1)


class _Artefacts:
    """The run's artefacts: those that evidence lies in and what they are nested in, each once."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._index: dict[int, int] = {}
        self.listed: list[dict[str, Any]] = []

    def location(self, node: int) -> dict[str, Any]:
        """An artifactLocation object (3.4) for a node. One that is known by its offset alone has no URI (3.24.2)."""
        found: dict[str, Any] = {"index": self._of(node)}
        if uri := self._uri(self._nodes[node]):
            found["uri"] = uri
        return found

    def _of(self, node: int) -> int:
        missing = []
        at = node
        while at >= 0 and at not in self._index:
            missing.append(at)
            at = self._nodes[at].parent
        for number in reversed(missing):
            self._index[number] = len(self.listed)
            self.listed.append(self._artefact(self._nodes[number]))
        return self._index[node]

    def _artefact(self, node: Node) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if uri := self._uri(node):
            found["location"] = {"uri": uri}
        if node.parent >= 0:
            found["parentIndex"] = self._index[node.parent]
            if node.start >= 0:
                found["offset"] = node.start
        else:
            found["roles"] = ["analysisTarget"]
        if node.sha256:
            found["length"] = node.size
            found["hashes"] = {"sha-256": node.sha256}
        found["description"] = {"text": plain(clip(node.locator, 1000))}
        return found

    @staticmethod
    def _uri(node: Node) -> str:
        return "" if node.kind == "chunk" else relative_uri(node.name)


def relative_uri(name: str) -> str:
    """A name as a relative-path reference (RFC 3986, 4.2). One with dot segments, or that starts with a slash, is
    written as a single segment, so that nothing that resolves it can be led out of the container."""
    steps = name.split("/")
    plain_path = bool(steps[0]) and not any(step in (".", "..") for step in steps)
    uri = quote(name, safe="/!@+,=" if plain_path else "!@+,=")
    # A name of dots alone is a dot segment whatever is encoded in it.
    return f"{uri}%2F" if name in (".", "..") else uri


def plain(text: str) -> str:
    """Text for a plain text message: braces doubled (3.11.5), and nothing in it that could pass for a link (3.11.6).
    A backslash before the bracket would be the standard's way, but viewers make links of that too."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.id,
        "shortDescription": {"text": plain(rule.title)},
        "fullDescription": {"text": plain(rule.why)},
        "help": {"text": plain(f"{rule.remedy} What it misses: {' '.join(rule.misses)}")},
        "defaultConfiguration": {"level": _LEVEL[rule.severity]},
        "properties": {
            "severity": str(rule.severity),
            "grade": str(rule.grade),
            "sources": rule.source,
            "tags": sorted({rule.touches, *(f"external/cwe/cwe-{n}" for n in rule.cwe)}),
        },
    }


def _result(finding: Finding, index: dict[str, int], artefacts: _Artefacts) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVEL[finding.severity],
        "message": {"text": plain(finding.message) or plain(finding.title)},
        "partialFingerprints": {f"banbury/v{finding.recipe}": finding.id},
        "properties": {"severity": str(finding.severity), "grade": str(finding.grade), "where": finding.where},
    }
    # The nodes of a finding that is gone are those of the baseline: they are not in this run's artefacts.
    nested = None if finding.status is Status.GONE else artefacts
    locations = [_location(e, nested) for e in finding.evidence]
    if locations:
        result["locations"] = locations[:1]
    if len(locations) > 1:
        result["relatedLocations"] = [{"id": i, **place} for i, place in enumerate(locations[1:], 1)]
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if finding.status is not None:
        result["baselineState"] = _STATE[finding.status]
    return result


def _location(evidence: Evidence, artefacts: _Artefacts | None) -> dict[str, Any]:
    place = {"uri": relative_uri(evidence.locator)} if artefacts is None else artefacts.location(evidence.node)
    physical: dict[str, Any] = {"artifactLocation": place}
    if evidence.start >= 0:
        physical["region"] = {"byteOffset": evidence.start, "byteLength": evidence.length}
        if evidence.text:
            physical["region"]["snippet"] = {"text": evidence.text}
    return {
        "physicalLocation": physical,
        "logicalLocations": [{"fullyQualifiedName": evidence.locator}],
        **({"properties": {"sha256": evidence.sha256}} if evidence.sha256 else {}),
    }


def _notification(gap: Gap, artefacts: _Artefacts) -> dict[str, Any]:
    """A thing that was not checked."""
    notification: dict[str, Any] = {
        "level": "warning",
        "message": {"text": plain(f"Not checked, {gap.sort}: {clip(gap.reason, 500)}")},
        "properties": {"sort": str(gap.sort), "tool": gap.tool},
    }
    if gap.node >= 0:
        physical: dict[str, Any] = {"artifactLocation": artefacts.location(gap.node)}
        if gap.start >= 0:
            physical["region"] = {"byteOffset": gap.start, "byteLength": gap.length}
        notification["locations"] = [{"physicalLocation": physical}]
    return notification
