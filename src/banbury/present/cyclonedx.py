"""CycloneDX 1.6 (ECMA-424) and 1.7: the release, its components with the evidence for them, and every file with its
hash.

Written from the evaluation (and, where there is one, the inventory) alone, without a clock: the serial number is
derived from the release's identity, the time stamp is the evaluation's reference date.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Final

import msgspec

import banbury
from banbury.model.evaluation import Evaluation, Node
from banbury.model.release import Release
from banbury.model.supply import Inventory
from banbury.model.tree import Kind
from banbury.present.facts import title
from banbury.present.gaps import gaps
from banbury.present.parts import Method, Occurrence, Part, parts

NAMESPACE: Final = uuid.UUID("6f1c7a52-8a53-5c55-9f0e-6b0f2a3d9d11")
SPECS: Final = ("1.6", "1.7")
_LONGEST_VERSION: Final = 1024  # the schema's


def serial(release: Release) -> str:
    """The serial number of a release's bill: the same in every run."""
    return f"urn:uuid:{uuid.uuid5(NAMESPACE, release.id)}"


def render_cyclonedx(evaluation: Evaluation, spec: str = "1.6", inventory: Inventory | None = None) -> bytes:
    """The bill of materials as UTF-8 JSON, in one of :data:`SPECS`."""
    release = evaluation.release
    found = parts(evaluation, inventory)
    root = f"release:{release.id}"
    metadata: dict[str, Any] = {
        "timestamp": f"{evaluation.as_of}T00:00:00Z",
        "lifecycles": [{"phase": "post-build"}],
        "tools": {"components": [tool()]},
        "component": release_component(release, root),
    }
    if inventory is not None:
        metadata["properties"] = [
            {"name": "banbury:rules", "value": inventory.rules},
            {"name": "banbury:knowledge", "value": inventory.knowledge},
        ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": spec,
        "serialNumber": serial(release),
        "version": 1,
        "metadata": metadata,
        "components": [*(part_component(part) for part in found), *_files(evaluation)],
        "dependencies": _dependencies(root, found),
        # What is listed is what was recovered; whether that is all of it, nobody can tell from outside.
        "compositions": [{"aggregate": "incomplete" if gaps(evaluation) else "unknown", "assemblies": [root]}],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def tool() -> dict[str, Any]:
    """This program, as the tool that wrote a document."""
    return {"type": "application", "name": "banbury", "version": banbury.__version__}


def release_component(release: Release, reference: str) -> dict[str, Any]:
    """The release as the component that a document is about."""
    component: dict[str, Any] = {"type": "firmware", "bom-ref": reference, "name": release.product or title(release)}
    if release.version:
        component["version"] = version(release.version)
    if release.vendor:
        component["supplier"] = {"name": release.vendor}
    if len(release.artefacts) == 1:
        component["hashes"] = [{"alg": "SHA-256", "content": release.artefacts[0].sha256}]
    return component


def version(text: str) -> str:
    """A version as long as the schema lets it be."""
    return text if len(text) <= _LONGEST_VERSION else f"{text[: _LONGEST_VERSION - 1]}…"


def part_component(part: Part) -> dict[str, Any]:
    """One component with its evidence."""
    found: dict[str, Any] = {"type": part.type, "bom-ref": part.ref, "name": part.name}
    if part.version:
        found["version"] = version(part.version)
    if part.supplier:
        found["supplier"] = {"name": part.supplier}
    if part.license:
        found["licenses"] = [{"license": {"name": part.license}}]
    if part.purl:
        found["purl"] = part.purl
    if part.cpes:
        found["cpe"] = part.cpes[0]
    if part.patched:
        resolves = [{"type": "security", "id": name} for name in part.patched]
        found["pedigree"] = {"patches": [{"type": "backport", "resolves": resolves}]}
    found["evidence"] = _evidence(part)
    listed = [{"name": f"banbury:{name}", "value": value} for name, value in part.notes]
    if len(part.version) > _LONGEST_VERSION:
        listed.append({"name": "banbury:version", "value": part.version})
    listed += [{"name": "banbury:cpe", "value": name} for name in part.cpes[1:]]
    if listed:
        found["properties"] = listed
    return found


def _evidence(part: Part) -> dict[str, Any]:
    identities = []
    for field in ("name", "version") if part.version else ("name",):
        methods = [m for m in part.methods if m.of_version or field == "name"]
        if methods:
            confidence = _number(max(m.confidence for m in methods))
            listed = [_method(m) for m in methods]
            identities.append({"field": field, "confidence": confidence, "methods": listed})
    found: dict[str, Any] = {"identity": identities} if identities else {}
    return {**found, "occurrences": [_occurrence(o) for o in part.occurrences]}


def _method(method: Method) -> dict[str, Any]:
    found: dict[str, Any] = {"technique": method.technique, "confidence": _number(method.confidence)}
    return {**found, "value": method.value} if method.value else found


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else round(value, 4)


def _occurrence(occurrence: Occurrence) -> dict[str, Any]:
    found: dict[str, Any] = {"location": occurrence.location}
    if occurrence.start >= 0:
        found["offset"] = occurrence.start
    if occurrence.text:
        found["additionalContext"] = occurrence.text
    return found


def _dependencies(root: str, found: list[Part]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = [{"ref": root, "dependsOn": [part.ref for part in found]}]
    return [*listed, *({"ref": p.ref, **({"dependsOn": p.needs} if p.needs else {})} for p in found)]


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
