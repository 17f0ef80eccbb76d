"""The JSON Schema (draft 2020-12) of the equivalence report, made from the types that write it."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from banbury.compare.equivalence.report import SCHEMA_VERSION, EquivalenceReport

NAME: Final = f"equivalence-v{SCHEMA_VERSION}.json"


def schema(*, strict: bool = False) -> dict[str, Any]:
    """The schema. ``strict`` allows no field that it does not name (for tests: published documents may gain fields)."""
    (root,), parts = msgspec.json.schema_components([EquivalenceReport], ref_template="#/$defs/{name}")
    definitions: dict[str, Any] = dict(parts)
    for definition in definitions.values():
        if text := definition.get("description"):
            plain = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", " ".join(text.split()))
            definition["description"] = plain.replace("``", "`")
        if strict and "properties" in definition:
            definition["additionalProperties"] = False
    definitions["EquivalenceReport"]["properties"]["schema"] = {"const": SCHEMA_VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:banbury:equivalence:v{SCHEMA_VERSION}",
        "title": "Banbury equivalence report",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def published() -> str:
    """The text of the published schema."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=1).decode() + "\n"
