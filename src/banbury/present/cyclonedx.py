"""CycloneDX 1.6 (ECMA-424): the release, the components that it states itself, and every file with its hash.

Written from the evaluation alone, without a clock: the serial number is derived from the release's identity, the time
stamp is the evaluation's reference date.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

import banbury
from banbury.model.evaluation import Evaluation, Grade, Node
from banbury.model.tree import Kind
from banbury.present.components import Component, Proof, components
from banbury.present.facts import by_tag, title
from banbury.present.gaps import gaps

_NAMESPACE = uuid.UUID("6f1c7a52-8a53-5c55-9f0e-6b0f2a3d9d11")
_CONFIDENCE = {Grade.ESTABLISHED: 1, Grade.INDICATED: 0.5}
#: The name at the start of a dependency, before a version condition or alternatives.
_DEPENDENCY = re.compile(r"\s*([^\s(|:,<>=~]+)")


def render_cyclonedx(evaluation: Evaluation) -> bytes:
    """The bill of materials as UTF-8 JSON."""
    release = evaluation.release
    found = [(f"component-{n}", c) for n, c in enumerate(components(by_tag(evaluation)))]
    root = f"release:{release.id}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, release.id)}",
        "version": 1,
        "metadata": {
            "timestamp": f"{evaluation.as_of}T00:00:00Z",
            "lifecycles": [{"phase": "post-build"}],
            "tools": {"components": [{"type": "application", "name": "banbury", "version": banbury.__version__}]},
            "component": _release(evaluation, root),
        },
        "components": [*(_component(ref, c) for ref, c in found), *_files(evaluation)],
        "dependencies": _dependencies(root, found),
        # What is listed is what the release says of itself; whether that is all of it, nobody can tell from outside.
        "compositions": [{"aggregate": "incomplete" if gaps(evaluation) else "unknown", "assemblies": [root]}],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _release(evaluation: Evaluation, reference: str) -> dict[str, Any]:
    release = evaluation.release
    component: dict[str, Any] = {"type": "firmware", "bom-ref": reference, "name": release.product or title(release)}
    if release.version:
        component["version"] = release.version
    if release.vendor:
        component["supplier"] = {"name": release.vendor}
    if len(release.artefacts) == 1:
        component["hashes"] = [{"alg": "SHA-256", "content": release.artefacts[0].sha256}]
    return component


def _component(reference: str, component: Component) -> dict[str, Any]:
    found: dict[str, Any] = {"type": component.type, "bom-ref": reference, "name": component.name}
    if component.version:
        found["version"] = component.version
    if component.supplier:
        found["supplier"] = {"name": component.supplier}
    if component.license:
        found["licenses"] = [{"license": {"name": component.license}}]
    if component.purl:
        found["purl"] = component.purl
    confidence = _CONFIDENCE[component.grade]
    techniques = {p.technique: p for p in component.evidence}
    methods = [
        {"technique": p.technique, "confidence": confidence, **({"value": p.value} if p.value else {})}
        for p in techniques.values()
    ]
    fields = ["name", "version"] if component.version else ["name"]
    found["evidence"] = {
        "identity": [{"field": field, "confidence": confidence, "methods": methods} for field in fields],
        "occurrences": [_occurrence(p) for p in component.evidence],
    }
    properties = {"manager": component.manager, "architecture": component.architecture}
    listed = [{"name": f"banbury:{name}", "value": value} for name, value in properties.items() if value]
    if listed:
        found["properties"] = listed
    return found


def _occurrence(proof: Proof) -> dict[str, Any]:
    found: dict[str, Any] = {"location": proof.locator}
    if proof.start >= 0:
        found["offset"] = proof.start
    return found


def _dependencies(root: str, found: list[tuple[str, Component]]) -> list[dict[str, Any]]:
    """What each package states that it needs, where a package of that name is listed by the same manager."""
    by_name: dict[tuple[str, str], str] = {}
    for reference, component in found:
        by_name.setdefault((component.manager, component.name), reference)
    listed: list[dict[str, Any]] = [{"ref": root, "dependsOn": [reference for reference, _ in found]}]
    for reference, component in found:
        needs = set()
        for text in component.depends:
            name = _DEPENDENCY.match(text)
            if name and (known := by_name.get((component.manager, name[1]))) and known != reference:
                needs.add(known)
        listed.append({"ref": reference, **({"dependsOn": sorted(needs)} if needs else {})})
    return listed


def _files(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Each distinct content that is a leaf, at all its places."""
    compared = {file.node: file.verdict for row in evaluation.rebuilds for file in row.files}
    places: dict[str, list[Node]] = {}
    for node in evaluation.nodes:
        if node.sha256 and not node.format and node.kind is Kind.FILE:
            places.setdefault(node.sha256, []).append(node)
    for digest, nodes in places.items():
        verdicts = sorted({compared[n.id] for n in nodes if n.id in compared})
        listed = [{"name": "banbury:rebuild", "value": verdict} for verdict in verdicts]
        yield {
            "type": "file",
            "bom-ref": f"file:{digest}",
            "name": nodes[0].name or "(no name)",
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "evidence": {"occurrences": [{"location": n.locator} for n in nodes]},
            **({"properties": listed} if listed else {}),
        }
