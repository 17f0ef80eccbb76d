"""CycloneDX 1.6 (ECMA-424): the release, the packages that its own databases list, and every file with its hash.

Written from the evaluation alone, without a clock: the serial number is derived from the release's identity.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

import banbury
from banbury.model.evaluation import Evaluation, Fact, Node
from banbury.model.tree import Kind

_NAMESPACE = uuid.UUID("6f1c7a52-8a53-5c55-9f0e-6b0f2a3d9d11")
#: purl types of the package managers (package-url specification, PURL-TYPES); the others have none of their own.
_PURL = {"dpkg": "deb", "apk": "apk", "rpm": "rpm", "python": "pypi", "npm": "npm", "luarocks": "luarocks"}
_PACKAGE = "package.installed"


def render_cyclonedx(evaluation: Evaluation) -> bytes:
    """The bill of materials as UTF-8 JSON."""
    release = evaluation.release
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, release.id)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "banbury", "version": banbury.__version__}],
            },
            "component": _release(evaluation),
        },
        "components": [*_packages(evaluation), *_files(evaluation)],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _release(evaluation: Evaluation) -> dict[str, Any]:
    release = evaluation.release
    component: dict[str, Any] = {"type": "firmware", "bom-ref": f"release:{release.id}"}
    component["name"] = release.product or release.artefacts[0].name
    if release.version:
        component["version"] = release.version
    if release.vendor:
        component["supplier"] = {"name": release.vendor}
    if len(release.artefacts) == 1:
        component["hashes"] = [{"alg": "SHA-256", "content": release.artefacts[0].sha256}]
    return component


def _packages(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for node, fact in _facts(evaluation, _PACKAGE):
        name, version = str(fact.get("name", "")), str(fact.get("version", ""))
        reference = f"package:{node.where}:{name}:{version}:{fact.get('architecture', '')}"
        if not name or reference in seen:
            continue
        seen.add(reference)
        component: dict[str, Any] = {"type": "library", "bom-ref": reference, "name": name, "version": version}
        if purl := _purl(fact, name, version):
            component["purl"] = purl
        component["evidence"] = {
            "identity": [{"field": "name", "confidence": 1, "methods": [_method(fact)]}],
            "occurrences": [_occurrence(node, fact)],
        }
        component["properties"] = [{"name": "banbury:manager", "value": str(fact.get("manager", ""))}]
        yield component


def _method(fact: Fact) -> dict[str, Any]:
    return {"technique": "manifest-analysis", "confidence": 1, "value": str(fact.get("database", ""))}


def _occurrence(node: Node, fact: Fact) -> dict[str, Any]:
    occurrence: dict[str, Any] = {"location": node.locator}
    at = fact.get("at")
    if isinstance(at, (list, tuple)):
        occurrence["offset"] = at[0]
    return occurrence


def _purl(fact: Fact, name: str, version: str) -> str:
    kind = _PURL.get(str(fact.get("manager", "")))
    if kind is None:
        return ""
    namespace = {"deb": "debian/", "apk": "alpine/"}.get(kind, "")
    architecture = str(fact.get("architecture", ""))
    qualifier = f"?arch={quote(architecture, safe='')}" if architecture and kind in ("deb", "apk", "rpm") else ""
    return f"pkg:{kind}/{namespace}{quote(name, safe='')}@{quote(version, safe='')}{qualifier}"


def _files(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Each distinct content that is a leaf, at all its places."""
    places: dict[str, list[Node]] = {}
    for node in evaluation.nodes:
        if node.sha256 and not node.format and node.kind is Kind.FILE:
            places.setdefault(node.sha256, []).append(node)
    for digest, nodes in places.items():
        yield {
            "type": "file",
            "bom-ref": f"file:{digest}",
            "name": nodes[0].name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "evidence": {"occurrences": [{"location": n.locator} for n in nodes]},
        }


def _facts(evaluation: Evaluation, tag: str) -> Iterator[tuple[Node, Fact]]:
    for node in evaluation.nodes:
        file = evaluation.files.get(node.sha256)
        for fact in [*(file.facts if file else []), *node.facts]:
            if fact["fact"] == tag:
                yield node, fact
