"""CycloneDX, JSON 1.2 to 1.7 (ECMA-424) and XML of the same versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from xml.parsers import expat

from banbury.supply.declared.model import Declared, Draft, Refused

SPECS: Final = ("1.2", "1.3", "1.4", "1.5", "1.6", "1.7")
_NAMESPACE: Final = "http://cyclonedx.org/schema/bom/"
_DEPTH: Final = 200
_TEXT: Final = 16 << 20  # characters of one element's text that are gathered


def read_json(document: dict[str, Any]) -> Draft:
    """Read a decoded document."""
    spec = document.get("specVersion")
    draft = Draft("CycloneDX", spec if isinstance(spec, str) else "")
    if draft.spec not in SPECS:
        raise Refused(f"CycloneDX {draft.spec[:40]!r} is not known (known are {SPECS[0]} to {SPECS[-1]}): not read")
    if document.get("vulnerabilities") and not document.get("components"):
        raise Refused("it lists vulnerabilities and no component: it is VEX, no bill of materials")
    metadata = document.get("metadata")
    about = metadata.get("component") if isinstance(metadata, dict) else None
    if isinstance(about, dict):
        draft.subject = draft.text(about.get("name"), "the subject's name")
        waiting = list(_records(draft, about.get("components"), "components"))
    else:
        waiting = []
    waiting += _records(draft, document.get("components"), "components")
    waiting.reverse()
    while waiting:  # nested components, in the order of the document, without recursion
        item = waiting.pop()
        draft.add(_component(draft, item))
        waiting += reversed(list(_records(draft, item.get("components"), "components")))
    for item in _records(draft, document.get("dependencies"), "dependencies"):
        needed = item.get("dependsOn")
        listed = needed if isinstance(needed, list) else []
        ref = draft.text(item.get("ref"), "a dependency's reference")
        draft.depends(ref, [draft.text(other, "a dependency's reference") for other in listed])
    return draft


def _records(draft: Draft, value: object, what: str) -> Iterator[dict[str, Any]]:
    if value is None:
        return
    if not isinstance(value, list):
        draft.remark(f"{what} is no list: passed over")
        return
    for item in value:
        if isinstance(item, dict):
            yield item
        else:
            draft.remark(f"an entry of {what} is no object: passed over")


def _component(draft: Draft, item: dict[str, Any]) -> Declared:
    name, group = draft.text(item.get("name"), "a name"), draft.text(item.get("group"), "a group")
    supplier = item.get("supplier")
    cpe = draft.text(item.get("cpe"), "a CPE name")
    return Declared(
        name=f"{group}/{name}" if group else name,
        version=draft.text(item.get("version"), "a version"),
        type=draft.text(item.get("type"), "a type"),
        purl=draft.text(item.get("purl"), "a package URL"),
        cpes=[cpe] if cpe else [],
        supplier=draft.text(supplier.get("name"), "a supplier") if isinstance(supplier, dict) else "",
        license=_license(draft, item.get("licenses")),
        ref=draft.text(item.get("bom-ref"), "a reference"),
    )


def _license(draft: Draft, value: object) -> str:
    said = []
    for item in value if isinstance(value, list) else []:
        if not isinstance(item, dict):
            continue
        inner = item.get("license")
        text = item.get("expression")
        if isinstance(inner, dict):
            text = inner.get("id") or inner.get("name")
        said.append(draft.text(text, "a licence"))
    return draft.text(", ".join(filter(None, said[:50])), "a licence")


def read_xml(data: bytes) -> Draft:
    """Read the bytes of an XML document. A document type (and with it every entity) is refused."""
    reader = _Xml()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(data, True)
    except expat.ExpatError as problem:
        raise Refused(f"the XML is not well formed: {str(problem)[:100]}") from None
    if reader.draft is None:
        raise Refused("the XML is no bill of materials")
    return reader.draft


class _Xml:
    """What the parser calls: a stack of open elements, one of open components."""

    def __init__(self) -> None:
        self.draft: Draft | None = None
        self.path: list[str] = []
        self.open: list[dict[str, Any]] = []
        self.pieces: list[str] = []
        self.length = 0
        self.needing = ""
        self.begun = 0
        self.read: list[tuple[int, Declared]] = []

    def doctype(self, *_: object) -> None:
        raise Refused("the XML has a document type: not read")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if self.draft is None:
            self._root(namespace, local)
        if len(self.path) >= _DEPTH:
            raise Refused(f"the XML is nested more than {_DEPTH} deep: not read")
        draft = self._draft()
        if local == "component":
            fields = {"bom-ref": attributes.get("bom-ref"), "type": attributes.get("type")}
            self.open.append({**fields, "subject": self.path[-1:] == ["metadata"], "number": self.begun})
            self.begun += 1
        elif local == "dependency":
            ref = draft.text(attributes.get("ref"), "a dependency's reference")
            if self.path[-1:] == ["dependency"]:
                draft.depends(self.needing, [ref])
            else:
                self.needing = ref
                draft.depends(ref, [])
        self.path.append(local)
        self.pieces, self.length = [], 0

    def _root(self, namespace: str, local: str) -> None:
        spec = namespace.removeprefix(_NAMESPACE)
        if local != "bom" or spec == namespace:
            raise Refused("the XML is no CycloneDX bill of materials")
        if spec not in SPECS:
            raise Refused(f"CycloneDX {spec[:40]!r} is not known (known are {SPECS[0]} to {SPECS[-1]}): not read")
        self.draft = Draft("CycloneDX XML", spec)

    def _draft(self) -> Draft:
        assert self.draft is not None
        return self.draft

    def characters(self, text: str) -> None:
        self.length += len(text)
        if self.length > _TEXT:
            raise Refused("the XML has a text of more than 16 MiB: not read")
        self.pieces.append(text)

    def end(self, name: str) -> None:
        local = self.path.pop()
        parent = self.path[-1] if self.path else ""
        draft = self._draft()
        if local == "component" and self.open:
            item = self.open.pop()
            found = _component(draft, item)
            if item["subject"]:
                draft.subject = found.name
            else:
                self.read.append((item["number"], found))
        elif not self.path:  # inner components end before outer ones
            for _, found in sorted(self.read, key=lambda row: row[0]):
                draft.add(found)
        elif self.open:
            self._field(local, parent, "".join(self.pieces).strip())
        self.pieces, self.length = [], 0

    def _field(self, local: str, parent: str, text: str) -> None:
        item = self.open[-1]
        if parent == "component" and local in ("name", "group", "version", "purl", "cpe"):
            item[local] = text
        elif parent == "supplier" and local == "name" and self.path[-2:-1] == ["component"]:
            item["supplier"] = {"name": text}
        elif parent == "license" and local in ("id", "name"):
            item.setdefault("licenses", []).append({"license": {"id": text}})
        elif parent == "licenses" and local == "expression":
            item.setdefault("licenses", []).append({"expression": text})
