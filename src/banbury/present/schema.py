"""The JSON Schema (draft 2020-12) of ``evaluation.json``, made from the types that write it.

Facts are plain data in the document, told apart by their field ``fact``; the schema of each is that of the type which
its inspector states. A fact that a later version adds is allowed: a reader passes over tags that it does not know.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from banbury.inspect.registry import inspectors
from banbury.model.evaluation import SCHEMA
from banbury.present.document import Document

#: Where the schema is kept in the repository.
PUBLISHED = Path("docs") / "schema" / "evaluation-v1.json"
_REFERENCE = "#/$defs/{name}"


def schema(*, strict: bool = False) -> dict[str, Any]:
    """The schema. ``strict`` allows no field and no fact that it does not name (for tests: published documents may
    gain fields)."""
    (root,), parts = msgspec.json.schema_components([Document], schema_hook=_other, ref_template=_REFERENCE)
    facts = {
        tag: msgspec.json.schema_components([kind], schema_hook=_other, ref_template=_REFERENCE)
        for tag, kind in fact_types().items()
    }
    definitions: dict[str, Any] = dict(parts)
    for tag, (_, more) in facts.items():
        name = fact_types()[tag].__name__
        own = {key: f"{tag}:{key}" for key, value in more.items() if definitions.get(key, value) != value}
        named = _renamed(more, own)
        definitions |= {own.get(key, key): value for key, value in named.items() if key != name}
        definitions[f"fact:{tag}"] = _fact(named[name])
    definitions["Fact"] = _any_fact(sorted(facts), strict=strict)
    for name in ("Node", "File"):
        definitions[name]["properties"]["facts"]["items"] = {"$ref": "#/$defs/Fact"}
    for definition in definitions.values():
        _tidy(definition, strict=strict)
    definitions["Document"]["properties"]["schema"] = {"const": SCHEMA}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
        "title": "Banbury evaluation",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """A schema in which the types of a fact are referred to by other names, where theirs are taken."""
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    old = value.removeprefix(_REFERENCE.format(name="")) if isinstance(value, str) else ""
    return _REFERENCE.format(name=names[old]) if old in names and old != value else value


def fact_types() -> dict[str, type[msgspec.Struct]]:
    """The type of every fact that an inspector can state, by tag."""
    found: dict[str, type[msgspec.Struct]] = {}
    for inspector in inspectors().values():
        for kind in inspector.facts:
            found[str(kind.__struct_config__.tag)] = kind
    return dict(sorted(found.items()))


def write_schema(path: Path = PUBLISHED) -> None:
    """Write the published schema to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(published())


def published() -> bytes:
    """The published schema's bytes."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=1) + b"\n"


def _other(kind: type) -> dict[str, Any]:
    if kind is object:
        return {"description": "any value"}
    raise NotImplementedError(kind)


def _fact(definition: dict[str, Any]) -> dict[str, Any]:
    """A fact as the document holds it: the inspector's type, and ``by``, the inspector."""
    definition["properties"]["by"] = {"type": "string", "description": "The inspector that states it."}
    definition["required"] = [*definition.get("required", []), "by"]
    return definition


def _any_fact(tags: list[str], *, strict: bool) -> dict[str, Any]:
    tag: dict[str, Any] = {"type": "string", "description": "What sort of fact this is: group.name."}
    if strict:
        tag["enum"] = tags
    return {
        "title": "Fact",
        "description": "A typed observation about one file. The field `fact` says which type.",
        "type": "object",
        "properties": {"fact": tag, "by": {"type": "string"}},
        "required": ["fact", "by"],
        "allOf": [
            {
                "if": {"properties": {"fact": {"const": name}}, "required": ["fact"]},
                "then": {"$ref": f"#/$defs/fact:{name}"},
            }
            for name in tags
        ],
    }


def _tidy(definition: dict[str, Any], *, strict: bool) -> None:
    """Docstrings as one line without reST's marks; in the strict form, no other fields."""
    if text := definition.get("description"):
        plain = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", " ".join(text.split()))
        definition["description"] = plain.replace("``", "`")
    if strict and "properties" in definition and "allOf" not in definition:
        definition["additionalProperties"] = False


if __name__ == "__main__":
    write_schema()
