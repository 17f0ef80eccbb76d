"""SPDX 3.0.1 as JSON-LD: the release, its components with the evidence for them, and every file with its hash.

Source: the SPDX 3.0.1 specification (ISO/IEC 5962 successor), profiles Core, Software and SimpleLicensing, and its
JSON serialisation. Written without a clock: every identifier is derived from the release's identity, and the time of
creation is the evaluation's reference date.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import msgspec

import banbury
from banbury.model.evaluation import Evaluation
from banbury.model.supply import Inventory
from banbury.model.tree import Kind
from banbury.present.cyclonedx import NAMESPACE
from banbury.present.facts import title
from banbury.present.gaps import gaps
from banbury.present.parts import Occurrence, Part, parts

SPEC: Final = "3.0"
_CREATION: Final = "_:creation"
_PURPOSES: Final = {
    "application": "application",
    "firmware": "firmware",
    "library": "library",
    "operating-system": "operatingSystem",
    "framework": "framework",
    "file": "file",
    "device-driver": "deviceDriver",
}
#: A licence expression's grammar as far as its characters and words go (SPDX 3.0.1, annex "SPDX license expressions").
_LICENCE = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*\+?)(?: WITH [A-Za-z0-9][A-Za-z0-9.-]*)?"
_EXPRESSION = re.compile(rf"{_LICENCE}(?: (?:AND|OR) {_LICENCE}){{0,40}}\Z")
_LONGEST_EXPRESSION: Final = 512


class _Graph:
    """The elements of a document, and what they are called."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.elements: list[dict[str, Any]] = []
        self.suppliers: dict[str, str] = {}

    def name(self, kind: str, own: str) -> str:
        return f"{self.base}#{kind}-{quote(own, safe='')}"

    def add(self, kind: str, spdx_id: str, **fields: Any) -> str:
        kept = {key: value for key, value in fields.items() if value not in ("", [], None)}
        self.elements.append({"type": kind, "spdxId": spdx_id, "creationInfo": _CREATION, **kept})
        return spdx_id

    def relate(self, one: str, how: str, others: list[str], **fields: Any) -> None:
        if others:
            name = self.name("relationship", f"{len(self.elements)}")
            self.add("Relationship", name, **{"from": one}, relationshipType=how, to=others, **fields)


def render_spdx(evaluation: Evaluation, inventory: Inventory | None = None) -> bytes:
    """The bill of materials as UTF-8 JSON-LD."""
    release = evaluation.release
    graph = _Graph(f"urn:uuid:{uuid.uuid5(NAMESPACE, f'spdx {release.id}')}")
    agent = graph.add("SoftwareAgent", graph.name("agent", "banbury"), name="banbury")
    used = graph.add("Tool", graph.name("tool", "banbury"), name=f"banbury {banbury.__version__}")
    root = _release(graph, evaluation)
    files = _files(graph, evaluation)
    listed = parts(evaluation, inventory)
    names = {part.ref: _part(graph, part, files) for part in listed}
    whole = "incomplete" if gaps(evaluation) else "noAssertion"
    graph.relate(root, "contains", [*names.values(), *files.values()], completeness=whole)
    for part in listed:
        graph.relate(names[part.ref], "dependsOn", [names[need] for need in part.needs if need in names])
    said = [e["spdxId"] for e in graph.elements]
    sbom = graph.add(
        "software_Sbom",
        graph.name("sbom", "release"),
        rootElement=[root],
        element=said,
        software_sbomType=["analyzed"],
        profileConformance=["core", "software", "simpleLicensing"],
    )
    graph.add(
        "SpdxDocument",
        graph.name("document", "release"),
        name=f"{title(release)} {release.version}".strip(),
        rootElement=[sbom],
        element=[*said, sbom],
        profileConformance=["core", "software", "simpleLicensing"],
        comment=_method(inventory),
    )
    creation = {
        "type": "CreationInfo",
        "@id": _CREATION,
        "specVersion": "3.0.1",
        "created": f"{evaluation.as_of}T00:00:00Z",
        "createdBy": [agent],
        "createdUsing": [used],
    }
    document = {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": [creation, *graph.elements]}
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _method(inventory: Inventory | None) -> str:
    if inventory is None:
        return "The components that the release states itself."
    return f"Recovered from the bytes. Rules sha256:{inventory.rules}; knowledge sha256:{inventory.knowledge}."


def _release(graph: _Graph, evaluation: Evaluation) -> str:
    release = evaluation.release
    return graph.add(
        "software_Package",
        graph.name("release", release.id),
        name=release.product or title(release),
        software_packageVersion=release.version,
        software_primaryPurpose="firmware",
        suppliedBy=_supplier(graph, release.vendor),
        verifiedUsing=[_hash(a.sha256) for a in release.artefacts] if len(release.artefacts) == 1 else [],
    )


def _supplier(graph: _Graph, name: str) -> str:
    if not name:
        return ""
    if name not in graph.suppliers:
        own = graph.name("supplier", str(uuid.uuid5(NAMESPACE, name)))
        graph.suppliers[name] = graph.add("Organization", own, name=name)
    return graph.suppliers[name]


def _hash(digest: str) -> dict[str, str]:
    return {"type": "Hash", "algorithm": "sha256", "hashValue": digest}


def _files(graph: _Graph, evaluation: Evaluation) -> dict[str, str]:
    """Each distinct content that is a leaf: its digest and its element."""
    found: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    for node in evaluation.nodes:
        if node.sha256 and not node.format and node.kind is Kind.FILE:
            places.setdefault(node.sha256, []).append(node.locator)
    for digest, locators in places.items():
        found[digest] = graph.add(
            "software_File",
            graph.name("file", digest),
            name=locators[0] or "(no name)",
            verifiedUsing=[_hash(digest)],
            software_primaryPurpose="file",
            comment="also at: " + "; ".join(locators[1:]) if len(locators) > 1 else "",
        )
    return found


def _part(graph: _Graph, part: Part, files: dict[str, str]) -> str:
    identifiers = [
        {"type": "ExternalIdentifier", "externalIdentifierType": "cpe23", "identifier": c} for c in part.cpes
    ]
    package = graph.add(
        "software_Package",
        graph.name("package", part.ref),
        name=part.name,
        software_packageVersion=part.version,
        software_packageUrl=part.purl,
        software_primaryPurpose=_PURPOSES.get(part.type, "other"),
        suppliedBy=_supplier(graph, part.supplier),
        externalIdentifier=identifiers,
        software_sourceInfo="; ".join(dict.fromkeys(_says(part))),
        comment="\n".join(f"{name}: {value}" for name, value in part.notes),
    )
    seen = dict.fromkeys(files[o.sha256] for o in part.occurrences if o.sha256 in files)
    graph.relate(package, "hasEvidence", list(seen))
    for number, occurrence in enumerate(part.occurrences):
        name = graph.name("evidence", f"{part.ref}/{number}")
        graph.add("Annotation", name, annotationType="other", subject=package, statement=_statement(occurrence))
    if part.license:
        graph.relate(package, "hasDeclaredLicense", [_licence(graph, part)])
    return package


def _says(part: Part) -> Iterator[str]:
    for method in part.methods:
        yield f"{method.technique} (confidence {method.confidence:g}){': ' + method.value if method.value else ''}"
    for name in part.patched:
        yield f"package data names {name} as patched"


def _statement(occurrence: Occurrence) -> str:
    offset = f" at byte {occurrence.start}" if occurrence.start >= 0 else ""
    content = f" of content sha256:{occurrence.sha256}" if occurrence.sha256 else ""
    return f"seen in {occurrence.location}{offset}{content}" + (f": {occurrence.text}" if occurrence.text else "")


def _licence(graph: _Graph, part: Part) -> str:
    """What the package states as its licence: an expression where it is written as one, else as text."""
    name = graph.name("licence", part.ref)
    if len(part.license) <= _LONGEST_EXPRESSION and _EXPRESSION.match(part.license):
        kind, field = "simplelicensing_LicenseExpression", "simplelicensing_licenseExpression"
    else:
        kind, field = "simplelicensing_SimpleLicensingText", "simplelicensing_licenseText"
    return graph.add(kind, name, **{field: part.license})
