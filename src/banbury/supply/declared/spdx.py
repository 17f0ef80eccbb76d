"""SPDX 2.2 and 2.3 (JSON and tag-value) and SPDX 3.0 (JSON-LD)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from banbury.supply.declared.model import Declared, Draft, Refused

SPECS_2: Final = ("SPDX-2.2", "SPDX-2.3")
SPECS_3: Final = ("3.0.0", "3.0.1")
#: A package and what SPDX 3 derives from it.
_PACKAGES_3: Final = frozenset(("software_Package", "ai_AIPackage", "dataset_DatasetPackage"))
_NEEDS: Final = {"DEPENDS_ON": False, "DEPENDENCY_OF": True}  # whether the other one is that which needs
_NOTHING: Final = frozenset(("NOASSERTION", "NONE", ""))
_TAG = re.compile(r"([A-Za-z][A-Za-z0-9]*):[ \t]*(.*)", re.DOTALL)


def read_json_2(document: dict[str, Any]) -> Draft:
    """Read a decoded document of SPDX 2."""
    draft = _draft_2(document.get("spdxVersion"))
    described = {d for d in _list(document.get("documentDescribes")) if isinstance(d, str)}
    for item in _records(draft, document.get("relationships"), "relationships"):
        one, how, other = (item.get(k) for k in ("spdxElementId", "relationshipType", "relatedSpdxElement"))
        if isinstance(one, str) and isinstance(how, str) and isinstance(other, str):
            _relate(draft, one, how, other, described)
    packages = list(_records(draft, document.get("packages"), "packages"))
    listed = _listed_files(document.get("files"))
    _finish(draft, [_package(draft, item) for item in packages], described, listed)
    return draft


def _draft_2(spec: object) -> Draft:
    draft = Draft("SPDX", spec if isinstance(spec, str) else "")
    if draft.spec not in SPECS_2:
        raise Refused(f"SPDX {draft.spec[:40]!r} is not known (known are SPDX-2.2, SPDX-2.3, 3.0): not read")
    return draft


def _finish(draft: Draft, packages: list[Declared], described: set[str], files: int) -> None:
    """Keep the packages. One that alone is described is what the document is about, no part of it."""
    subject = next(iter(described)) if len(described) == 1 and len(packages) > 1 else ""
    draft.files += files
    for package in packages:
        if subject and package.ref == subject:
            draft.subject = package.name
        else:
            draft.add(package)


def _relate(draft: Draft, one: str, how: str, other: str, described: set[str]) -> None:
    if how == "DESCRIBES" and one == "SPDXRef-DOCUMENT":
        described.add(other)
    elif how in _NEEDS:
        first, second = (other, one) if _NEEDS[how] else (one, other)
        draft.depends(draft.text(first, "a reference"), [draft.text(second, "a reference")])


def _listed_files(value: object) -> int:
    return len(value) if isinstance(value, list) else 0


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _records(draft: Draft, value: object, what: str) -> Iterator[dict[str, Any]]:
    if value is not None and not isinstance(value, list):
        draft.remark(f"{what} is no list: passed over")
    for item in _list(value):
        if isinstance(item, dict):
            yield item
        else:
            draft.remark(f"an entry of {what} is no object: passed over")


def _said(draft: Draft, value: object, what: str) -> str:
    text = draft.text(value, what)
    return "" if text in _NOTHING else text


def _package(draft: Draft, item: dict[str, Any]) -> Declared:
    purl, cpes = "", []
    for reference in _records(draft, item.get("externalRefs"), "externalRefs"):
        kind, locator = reference.get("referenceType"), draft.text(reference.get("referenceLocator"), "a reference")
        if kind == "purl" and not purl:
            purl = locator
        elif kind in ("cpe23Type", "cpe22Type"):
            cpes.append(locator)
    supplier = _said(draft, item.get("supplier"), "a supplier")
    declared = _said(draft, item.get("licenseDeclared"), "a licence")
    return Declared(
        name=draft.text(item.get("name"), "a name"),
        version=_said(draft, item.get("versionInfo"), "a version"),
        type=draft.text(item.get("primaryPackagePurpose"), "a purpose"),
        purl=purl,
        cpes=cpes,
        supplier=supplier.partition(":")[2].strip() or supplier,
        license=declared or _said(draft, item.get("licenseConcluded"), "a licence"),
        ref=draft.text(item.get("SPDXID"), "a reference"),
    )


_FIELDS: Final = {
    "PackageName": "name",
    "SPDXID": "SPDXID",
    "PackageVersion": "versionInfo",
    "PackageSupplier": "supplier",
    "PackageLicenseDeclared": "licenseDeclared",
    "PackageLicenseConcluded": "licenseConcluded",
    "PrimaryPackagePurpose": "primaryPackagePurpose",
}
#: Tags that begin another element: what follows is none of the package's.
_OTHERS: Final = frozenset(("FileName", "SnippetSPDXID", "LicenseID", "Relationship", "Annotator", "Reviewer"))


def read_tags(text: str) -> Draft:
    """Read a tag-value document of SPDX 2 (section 5 of the specification's annexes)."""
    draft: Draft | None = None
    packages: list[dict[str, Any]] = []
    described: set[str] = set()
    now: dict[str, Any] | None = None
    files = 0
    for tag, value in _tags(text):
        if tag == "SPDXVersion":
            draft = _draft_2(value)
        if draft is None:
            continue
        if tag == "PackageName":
            now = {"name": value}
            packages.append(now)
        elif tag in _OTHERS:
            files += tag == "FileName"
            now = now if tag == "Relationship" else None
            if tag == "Relationship" and len(words := value.split()) >= 3:
                _relate(draft, words[0], words[1], words[2], described)
        elif now is not None:
            _field(now, tag, value)
    if draft is None:
        raise Refused("the text states no SPDXVersion: not read")
    _finish(draft, [_package(draft, item) for item in packages], described, files)
    return draft


def _field(package: dict[str, Any], tag: str, value: str) -> None:
    if tag in _FIELDS:
        package.setdefault(_FIELDS[tag], value)
    elif tag == "ExternalRef" and len(words := value.split(None, 2)) == 3:
        reference = {"referenceType": words[1], "referenceLocator": words[2]}
        package.setdefault("externalRefs", []).append(reference)


def _tags(text: str) -> Iterator[tuple[str, str]]:
    """Each tag with its value; a value in ``<text>`` may have several lines."""
    at, end = 0, len(text)
    while at < end:
        stop = text.find("\n", at)
        stop = end if stop < 0 else stop
        line = text[at:stop]
        if not line.startswith("#") and (found := _TAG.match(line)):
            tag, value = found[1], found[2].strip()
            if value.startswith("<text>"):
                opened = text.index("<text>", at) + len("<text>")
                closed = text.find("</text>", opened)
                if closed < 0:
                    raise Refused("a <text> has no end: not read")
                value = text[opened:closed]
                stop = text.find("\n", closed)
                stop = end if stop < 0 else stop
            yield tag, value
        at = stop + 1


def read_json_3(document: dict[str, Any]) -> Draft:
    """Read a decoded document of SPDX 3 (the compact form that its context defines)."""
    graph = document.get("@graph")
    elements = [e for e in (graph if isinstance(graph, list) else [document]) if isinstance(e, dict)]
    spec = next((e.get("specVersion") for e in elements if _type(e) == "CreationInfo"), None)
    draft = Draft("SPDX", spec if isinstance(spec, str) else "")
    if draft.spec not in SPECS_3:
        raise Refused(f"SPDX {draft.spec[:40]!r} is not known (known are SPDX-2.2, SPDX-2.3, 3.0): not read")
    names = {e.get("spdxId"): e.get("name") for e in elements if isinstance(e.get("spdxId"), str)}
    roots = {r for e in elements if _type(e) == "software_Sbom" for r in _list(e.get("rootElement")) if _is(r)}
    packages, files = [], 0
    licences: dict[str, str] = {}
    for element in elements:
        kind = _type(element)
        files += kind == "software_File"
        if kind in _PACKAGES_3:
            packages.append(element)
        elif kind in ("Relationship", "LifecycleScopedRelationship"):
            _relate_3(draft, element)
        elif kind.startswith("simplelicensing_") and _is(element.get("spdxId")):
            said = element.get("simplelicensing_licenseExpression") or element.get("simplelicensing_licenseText")
            licences[element["spdxId"]] = draft.text(said, "a licence")
    owned = _licences(elements)
    listed = [_package_3(draft, e, names, licences.get(owned.get(str(e.get("spdxId")), ""), "")) for e in packages]
    _finish(draft, listed, roots, files)
    return draft


def _is(value: object) -> bool:
    return isinstance(value, str)


def _type(element: dict[str, Any]) -> str:
    kind = element.get("type", element.get("@type"))
    return kind if isinstance(kind, str) else ""


def _licences(elements: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in elements:
        if element.get("relationshipType") in ("hasDeclaredLicense", "hasConcludedLicense"):
            one, others = element.get("from"), _list(element.get("to"))
            if isinstance(one, str) and others and isinstance(others[0], str):
                found.setdefault(one, others[0])
    return found


def _relate_3(draft: Draft, element: dict[str, Any]) -> None:
    one = element.get("from")
    if element.get("relationshipType") == "dependsOn" and isinstance(one, str):
        others = [draft.text(other, "a reference") for other in _list(element.get("to")) if isinstance(other, str)]
        draft.depends(draft.text(one, "a reference"), others)


def _package_3(draft: Draft, element: dict[str, Any], names: dict[Any, Any], licence: str) -> Declared:
    purl, cpes = draft.text(element.get("software_packageUrl"), "a package URL"), []
    for item in _records(draft, element.get("externalIdentifier"), "externalIdentifier"):
        kind, text = item.get("externalIdentifierType"), draft.text(item.get("identifier"), "an identifier")
        if kind in ("packageUrl", "packageURL") and not purl:
            purl = text
        elif kind in ("cpe22", "cpe23"):
            cpes.append(text)
    supplier = element.get("suppliedBy")
    return Declared(
        name=draft.text(element.get("name"), "a name"),
        version=_said(draft, element.get("software_packageVersion"), "a version"),
        type=draft.text(element.get("software_primaryPurpose"), "a purpose"),
        purl=purl,
        cpes=cpes,
        supplier=draft.text(names.get(supplier), "a supplier") if isinstance(supplier, str) else "",
        license=licence,
        ref=draft.text(element.get("spdxId"), "a reference"),
    )
