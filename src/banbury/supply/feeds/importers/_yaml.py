"""YAML with bounds: no aliases (so that nothing grows by reference), no tags, no deep nesting."""

from __future__ import annotations

from typing import Any

import yaml

_DEPTH = 12
_NODES = 400_000
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(raw: bytes) -> object:
    """The value of a YAML document; dates stay text. ``ValueError`` or ``yaml.YAMLError`` where it is none."""
    depth = 0
    for count, event in enumerate(yaml.parse(raw.decode("utf-8"), Loader=_BASE)):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("an alias in YAML")  # noqa: TRY004 - it is the text that is bad
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH or count > _NODES:
            raise ValueError("YAML nested too deeply or too long")
    return yaml.load(raw.decode("utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader, with dates as text


class _Loader(_BASE):  # type: ignore[misc]
    """The safe loader without its dates: they are compared as text."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in _BASE.yaml_implicit_resolvers.items()
}
