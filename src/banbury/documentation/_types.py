"""The fields of a fact in words: name, type, default."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import inspect as schema

from banbury.documentation._markdown import table
from banbury.model.facts import Fact, Span

_PLAIN: dict[type[schema.Type], str] = {
    schema.StrType: "text",
    schema.IntType: "whole number",
    schema.FloatType: "number",
    schema.BoolType: "true or false",
    schema.NoneType: "null",
    schema.AnyType: "anything",
}
#: Fields that every fact has, described once in the index.
COMMON = frozenset(Fact.__struct_fields__)


def tag_of(kind: type[Fact]) -> str:
    """The name of a fact, as it stands in its field ``fact``."""
    return str(_struct(kind).tag)


def fields_table(kind: type[Fact]) -> str:
    """A row for each field that this fact has of its own."""
    rows = [(f"`{f.encode_name}`", words(f.type), _default(f)) for f in _struct(kind).fields if f.name not in COMMON]
    return table(("field", "type", "value if left out"), rows)


def _struct(kind: type[Fact]) -> schema.StructType:
    info = schema.type_info(kind)
    assert isinstance(info, schema.StructType)
    return info


def words(kind: schema.Type) -> str:
    """A type in words."""
    if type(kind) in _PLAIN:
        return _PLAIN[type(kind)]
    match kind:
        case schema.EnumType(cls=members):
            text = "one of " + ", ".join(f"`{member.value}`" for member in members)
        case schema.UnionType(types=parts):
            text = " or ".join(words(part) for part in parts)
        case schema.ListType(item_type=item) | schema.VarTupleType(item_type=item):
            text = f"list of {words(item)}"
        case schema.TupleType(item_types=parts):
            text = "[" + ", ".join(words(part) for part in parts) + "]"
        case schema.DictType(key_type=key, value_type=value):
            text = f"table from {words(key)} to {words(value)}"
        case schema.LiteralType(values=values):
            text = "one of " + ", ".join(f"`{value}`" for value in values)
        case schema.StructType():
            text = "[offset, length]" if kind.cls is Span else _record(kind)
        case _:
            raise TypeError(f"no words for a field of {kind}")
    return text


def _record(kind: schema.StructType) -> str:
    return "record of " + ", ".join(f"`{f.encode_name}` ({words(f.type)})" for f in kind.fields)


def _default(entry: schema.Field) -> str:
    value: Any = entry.default
    if entry.default_factory is not msgspec.NODEFAULT:
        value = entry.default_factory()
    if value is msgspec.NODEFAULT:
        return "(always there)"
    return f"`{json.dumps(msgspec.to_builtins(value), ensure_ascii=False)}`"
