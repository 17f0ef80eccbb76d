"""3GPP network resource model: ``ManagedElement`` of an element manager's export, as XML or JSON.

Read are the attributes of TS 28.622/28.623 ManagedElement: ``dnPrefix``, ``managedElementTypeList``, ``userLabel``,
``vendorName``, ``userDefinedState``, ``swVersion``, ``locationName``, ``managedBy``; and, where the export has it, the
type of function below it (``GNBDUFunction`` and so on). A document type declaration is refused before anything is
parsed, so there are no entities to expand and nothing outside is named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.parsers import expat

import msgspec

from banbury.decide.network.exports import Bench, read, read_json, text
from banbury.model.errors import InputError

#: Levels of elements that are followed, and characters of one attribute.
DEPTH = 64
LONG = 4096

#: Managed functions of TS 28.541, and what they are in the catalogue.
FUNCTIONS = {
    "gnbdufunction": "GNB_DU",
    "gnbcucpfunction": "GNB_CU_CP",
    "gnbcuupfunction": "GNB_CU_UP",
    "gnbcufunction": "GNB_CU",
    "enbfunction": "ENB",
    "nodebfunction": "NODEB",
    "rncfunction": "RNC",
    "btssitemgr": "BTS",
    "bssfunction": "BSC",
    "mmefunction": "MME",
    "servinggwfunction": "SGW",
    "pgwfunction": "PGW",
    "amffunction": "AMF",
    "smffunction": "SMF",
    "upffunction": "UPF",
    "ausffunction": "AUSF",
    "udmfunction": "UDM",
    "udrfunction": "UDR",
    "pcffunction": "PCF",
    "nrffunction": "NRF",
    "nssffunction": "NSSF",
    "seppfunction": "SEPP",
    "scpfunction": "SCP",
    "neffunction": "NEF",
    "nwdaffunction": "NWDAF",
}
ATTRIBUTES = {"vendorname", "swversion", "locationname", "managedby", "userlabel", "managedelementtypelist", "dnprefix"}


class _Element(msgspec.Struct):
    name: str
    attributes: dict[str, str]
    functions: list[str]


def from_file(path: Path, bench: Bench) -> None:
    """Read an export, XML or JSON by its first character."""
    data = read(path)
    found = _xml(path, data) if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else _json(path)
    if not found:
        raise InputError(f"{path.name}: no ManagedElement")
    for element in found:
        _enter(element, bench)


def _enter(element: _Element, bench: Bench) -> None:
    said = element.attributes
    where = text(said.get("locationname"))
    maker = text(said.get("vendorname"))
    vendor = maker.lower().replace(" ", "-")
    kinds = sorted({FUNCTIONS[f] for f in element.functions if f in FUNCTIONS})
    if not kinds:
        named = text(said.get("managedelementtypelist")) or "unknown"
        bench.miss(f"managed element of type {named[:60]!r}, which is no function of the catalogue")
        kinds = [FUNCTIONS.get(named.lower() + "function", FUNCTIONS.get(named.lower(), named))]
    if not where:
        bench.miss("managed element without locationName: its site is not known")
    else:
        bench.once("sites", where, {"operator": bench.operator, "class": bench.mapping.defaults.get("site_class", "")})
    if maker:
        bench.once("vendors", vendor, {"name": maker})
    base = text(said.get("dnprefix"))
    name = f"{base},{element.name}" if base else element.name
    for kind in kinds:
        bench.add(
            "elements",
            {
                "id": name if len(kinds) == 1 else f"{name}/{kind}",
                "site": where,
                "function": kind,
                "vendor": vendor,
                "release": said.get("swversion"),
                "managed_by": _last(said.get("managedby", "")),
            },
        )


def _last(name: str) -> str:
    """The value of the last part of a distinguished name; the text itself where it is none."""
    return name.rsplit(",", 1)[-1].rpartition("=")[2].strip()


class _Reader:
    """ManagedElements of an XML document, by expat; a document type declaration is refused when it begins."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[_Element] = []
        self._stack: list[str] = []
        self._open: list[tuple[int, _Element]] = []
        self._words: list[str] = []

    def refuse(self, *_: object) -> None:
        raise InputError(f"{self.file}: has a document type declaration, which is refused")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2].lower()
        if len(self._stack) >= DEPTH:
            raise InputError(f"{self.file}: more than {DEPTH} levels")
        self._stack.append(tag)
        self._words.clear()
        if tag == "managedelement":
            self._open.append((len(self._stack), _Element(text(attributes.get("id", "")), {}, [])))
        elif self._open and tag in FUNCTIONS:
            self._open[-1][1].functions.append(tag)

    def end(self, _: str) -> None:
        depth, tag = len(self._stack), self._stack.pop()
        said = "".join(self._words).strip()
        self._words.clear()
        if not self._open:
            return
        level, element = self._open[-1]
        # An attribute belongs to the managed element only directly below it, or below its "attributes".
        own = depth == level + 1 or (depth == level + 2 and self._stack[-1] == "attributes")
        if own and tag in ATTRIBUTES and said:
            element.attributes.setdefault(tag, said)
        elif own and tag == "id" and said and not element.name:
            element.name = text(said)
        if depth == level:
            self.found.append(self._open.pop()[1])

    def words(self, said: str) -> None:
        if len(self._words) < LONG:
            self._words.append(said[:LONG])


def _xml(path: Path, data: bytes) -> list[_Element]:
    reader = _Reader(path.name)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.words
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as problem:
        raise InputError(f"{path.name}: no XML: {problem}") from problem
    return reader.found


def _json(path: Path) -> list[_Element]:
    """ManagedElements of a JSON document: objects below a key ``ManagedElement``, wherever that stands."""
    found = []
    todo: list[tuple[str, Any]] = [("", read_json(path))]
    while todo:
        key, value = todo.pop()
        if isinstance(value, list):
            todo += [(key, item) for item in reversed(value)]
        elif isinstance(value, dict):
            if key == "managedelement":
                found.append(_object(value))
            todo += [(str(k).rpartition(":")[2].lower(), v) for k, v in reversed(value.items())]
    return found


def _object(value: dict[str, Any]) -> _Element:
    attributes = value.get("attributes")
    said = {**value, **(attributes if isinstance(attributes, dict) else {})}
    flat = {str(k).lower(): _scalar(v) for k, v in said.items()}
    functions = [str(k).rpartition(":")[2].lower() for k in said]
    return _Element(text(value.get("id")), {k: v for k, v in flat.items() if v}, functions)


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return text(value[0]) if value else ""
    return text(value)
