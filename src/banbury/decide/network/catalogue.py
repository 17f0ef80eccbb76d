"""The function catalogue: ``data/functions.toml``."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

import msgspec

#: The planes, in the order of the columns ``plane_s`` … ``plane_a``.
PLANES = "SUKLICA"
LAYERS = ("core", "access", "transport", "management", "virtualisation", "security", "interconnect", "interception")
GB = ("core", "core-in-some-cases", "access", "transmission", "unlisted")
EU = ("critical", "high", "moderate-high")


class Function(msgspec.Struct, frozen=True):
    """One network function: what it is and how it is classed. ``planes``: 0 to 3 for each of :data:`PLANES`.
    ``unverified``: the fields that were not read in their primary source.
    """

    id: str
    title: str
    layer: str
    class_gb: str
    class_eu: str
    planes: dict[str, int]
    source: str
    unverified: tuple[str, ...]
    clear_unless: str
    lowered_by: tuple[str, ...]
    inherits: bool
    metric: str


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    layer: str
    gb: str
    eu: str
    planes: str
    source: list[str]
    unverified: list[str] = []
    clear_unless: str = ""
    lowered_by: list[str] = []
    inherits: bool = False
    metric: str = ""


class _Defaults(msgspec.Struct, forbid_unknown_fields=True):
    unverified: list[str]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    defaults: _Defaults
    sources: dict[str, str]
    functions: dict[str, _Row]


def _planes(name: str, text: str) -> dict[str, int]:
    found = dict.fromkeys(PLANES, 0)
    for word in text.split():
        if not re.fullmatch(rf"[{PLANES}][123]", word) or found[word[0]]:
            raise ValueError(f"function {name}: planes: {word!r}")
        found[word[0]] = int(word[1])
    return found


def parse(text: str) -> dict[str, Function]:
    """The catalogue in TOML ``text``, by id. Raises :class:`ValueError` naming the function that is wrong."""
    file = msgspec.convert(tomllib.loads(text), _File)
    result = {}
    for name, row in file.functions.items():
        for field, value, known in (("layer", row.layer, LAYERS), ("gb", row.gb, GB), ("eu", row.eu, EU)):
            if value not in known:
                raise ValueError(f"function {name}: {field}: {value!r}")
        if not row.source or not set(row.source) <= set(file.sources):
            raise ValueError(f"function {name}: source: {row.source}")
        result[name] = Function(
            id=name,
            title=row.title,
            layer=row.layer,
            class_gb=row.gb,
            class_eu=row.eu,
            planes=_planes(name, row.planes),
            source="; ".join(file.sources[key] for key in row.source),
            unverified=tuple(dict.fromkeys([*file.defaults.unverified, *row.unverified])),
            clear_unless=row.clear_unless,
            lowered_by=tuple(row.lowered_by),
            inherits=row.inherits,
            metric=row.metric,
        )
    return result


@cache
def functions() -> dict[str, Function]:
    """The catalogue that is shipped, by id."""
    return parse((files("banbury.decide") / "data" / "functions.toml").read_text("utf-8"))
