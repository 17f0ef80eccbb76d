"""Assessments, exposures, options and stories as JSON documents, and the JSON Schema (draft 2020-12) of each, made from
the types that write them.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import msgspec

from banbury.decide.cases.records import Story
from banbury.decide.exposure.record import Exposure
from banbury.decide.options.record import Options
from banbury.decide.policy.verdict import Assessment

#: What is written as a document.
Document: TypeAlias = Assessment | Exposure | Options | Story

VERSION: Final = 1
#: What each document is called, and what it is.
KINDS: Final[dict[type[msgspec.Struct], tuple[str, str]]] = {
    Assessment: ("assessment", "Banbury: a network under policies"),
    Exposure: ("exposure", "Banbury: what a vendor could do in a network"),
    Options: ("options", "Banbury: options for a network"),
    Story: ("case", "Banbury: a public case told of a network"),
}
#: What JSON does not escape, and a terminal or an eye would take for something else: C1 controls, format characters.
_FORMAT = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def tag(kind: type[msgspec.Struct]) -> str:
    """What the field ``schema`` of a document says."""
    return f"banbury/{KINDS[kind][0]}/v{VERSION}"


def as_json(record: Document) -> bytes:
    """``record`` as JSON (UTF-8), keys in a fixed order, the first ``schema``; control and format characters are
    escaped."""
    built = {"schema": tag(type(record)), **msgspec.to_builtins(record)}
    text = msgspec.json.format(msgspec.json.encode(built), indent=2).decode()
    return _FORMAT.sub(lambda found: _escaped(found[0]), text).encode()


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def schema(kind: type[msgspec.Struct], *, strict: bool = False) -> dict[str, Any]:
    """The schema of one kind of document. ``strict`` allows no field that it does not name (for tests: published
    documents may gain fields)."""
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    definitions: dict[str, Any] = dict(parts)
    for definition in definitions.values():
        if text := definition.get("description"):
            plain = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", " ".join(text.split()))
            definition["description"] = plain.replace("``", "`")
        if strict and "properties" in definition:
            definition["additionalProperties"] = False
    top = definitions[kind.__name__]
    top["properties"] = {"schema": {"const": tag(kind)}, **top["properties"]}
    top["required"] = ["schema", *top["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{tag(kind).replace('/', ':')}",
        "title": KINDS[kind][1],
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def published() -> dict[str, str]:
    """The published schemas: name of the file, and its text."""
    return {
        f"{name}-v{VERSION}.json": msgspec.json.format(msgspec.json.encode(schema(kind)), indent=1).decode() + "\n"
        for kind, (name, _) in KINDS.items()
    }
