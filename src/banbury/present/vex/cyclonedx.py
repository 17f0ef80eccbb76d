"""CycloneDX VEX (ECMA-424, vulnerabilities): a document of its own that points into the release's bill."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from banbury.model.supply import Justification, Match, State
from banbury.present.cyclonedx import release_component, serial, tool, version
from banbury.present.parts import clean, cpe
from banbury.present.vex.assessment import Assessment, Subject, feeds, from_feeds, justification, reasons, state

_STATES: Final = {
    State.CANDIDATE: "in_triage",
    State.ANALYST: "in_triage",
    State.AFFECTED: "exploitable",
    State.NOT_AFFECTED: "not_affected",
    State.FIXED: "resolved",
}
#: CycloneDX has other justifications than VEX' five; these say no more than those do.
_JUSTIFICATIONS: Final = {
    Justification.COMPONENT_NOT_PRESENT: "code_not_present",
    Justification.CODE_NOT_PRESENT: "code_not_present",
    Justification.CODE_NOT_CONTROLLABLE: "code_not_reachable",
    Justification.CODE_NOT_EXECUTED: "code_not_reachable",
    Justification.MITIGATED: "protected_by_mitigating_control",
}


def render_cyclonedx_vex(assessment: Assessment, spec: str = "1.6") -> bytes:
    """The document as UTF-8 JSON."""
    release = assessment.release
    subjects = {subject.ref: subject for subject, _ in assessment.rows}
    bill = f"urn:cdx:{serial(release).removeprefix('urn:uuid:')}/1"
    properties = [{"name": "banbury:feed", "value": text} for text in feeds(assessment)]
    properties += [{"name": "banbury:matches-without-component", "value": str(assessment.skipped)}]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": spec,
        "serialNumber": f"urn:uuid:{assessment.identity}",
        "version": 1,
        "metadata": {
            "timestamp": assessment.timestamp,
            "tools": {"components": [tool()]},
            "component": release_component(release, f"release:{release.id}"),
            "properties": properties,
        },
        "components": [_component(subject) for _, subject in sorted(subjects.items())],
        "externalReferences": [{"type": "bom", "url": bill, "comment": "the release's bill of materials"}],
        "vulnerabilities": [_vulnerability(assessment, number, *row) for number, row in enumerate(assessment.rows)],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _component(subject: Subject) -> dict[str, Any]:
    component = subject.component
    found: dict[str, Any] = {"type": component.type, "bom-ref": subject.ref}
    found["name"] = clean(component.product) or "(no name)"
    if component.version:
        found["version"] = version(clean(component.version))
    names = [name for pair in component.cpes if (name := cpe(pair, component.version, component.type))]
    if names:
        found["cpe"] = names[0]
    if component.purl:
        found["purl"] = clean(component.purl)
    return found


def _vulnerability(assessment: Assessment, number: int, subject: Subject, match: Match) -> dict[str, Any]:
    found: dict[str, Any] = {"bom-ref": f"vulnerability-{number}", "id": clean(match.vulnerability)}
    found["source"] = {"name": ", ".join(from_feeds(assessment, match)) or "(no feed)"}
    if match.aliases:
        found["references"] = [
            {"id": clean(alias), "source": {"name": found["source"]["name"]}} for alias in dict.fromkeys(match.aliases)
        ]
    if match.cvss >= 0:
        found["ratings"] = [_rating(match)]
    if match.summary:
        found["description"] = clean(match.summary)
    found["analysis"] = _analysis(match)
    found["affects"] = [{"ref": subject.ref}]
    listed = [("flag", flag) for flag in match.flags]
    listed += [("exploited", match.exploited)] if match.exploited else []
    listed += [("epss", f"{match.epss:g}")] if match.epss >= 0 else []
    if listed:
        found["properties"] = [{"name": f"banbury:{name}", "value": clean(value)} for name, value in listed]
    return found


def _rating(match: Match) -> dict[str, Any]:
    found: dict[str, Any] = {"score": match.cvss}
    for start, method in (("CVSS:4", "CVSSv4"), ("CVSS:3.1", "CVSSv31"), ("CVSS:3.0", "CVSSv3"), ("AV:", "CVSSv2")):
        if match.vector.startswith(start):
            found["method"] = method
    if match.vector:
        found["vector"] = clean(match.vector)
    return found


def _analysis(match: Match) -> dict[str, Any]:
    now = state(match)
    found: dict[str, Any] = {"state": _STATES[now]}
    if now is State.NOT_AFFECTED and (why := justification(match)) is not None:
        found["justification"] = _JUSTIFICATIONS[why]
    if any("fixed" in reason.evidence for reason in match.reasons) and now is State.AFFECTED:
        found["response"] = ["update"]
    if detail := reasons(match):
        found["detail"] = detail
    return found
