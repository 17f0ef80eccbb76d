"""Powers, kinds and rules as data: ``data/relations/kinds.toml`` and ``services.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from banbury.decide.exposure.record import CLASSES
from banbury.decide.network.catalogue import functions

ENTITY = "entity"


class Power(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is held over an element, and what it gives: for each capability the classes of data."""

    title: str
    read: str
    steer: str
    off: str
    unverified: bool = False

    def gives(self) -> list[tuple[str, str]]:
        """(capability, class) pairs, in a fixed order."""
        return [(name, c) for name in ("read", "steer", "off") for c in CLASSES if c in getattr(self, name)]


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of relation: a KIND b."""

    title: str
    from_table: str
    basis: str
    source: str
    unverified: bool = False


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"before": "from", "after": "to"}):
    """Who holds ``before`` over a, where a ``kind`` b, holds ``after`` over b."""

    kind: str
    before: str
    after: str


class Kinds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of ``kinds.toml``."""

    powers: dict[str, Power]
    kinds: dict[str, Kind]
    rules: list[Rule]


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to run an access network: pools of functions, and those that all user traffic passes."""

    title: str
    source: str
    pools: list[list[str]]
    user: list[list[str]]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((files("banbury.decide") / "data" / "relations" / name).read_text("utf-8"))


def parse(said: dict[str, Any]) -> Kinds:
    """Check and convert. Raises :class:`ValueError` naming what is wrong."""
    found = msgspec.convert(said, Kinds)
    for name, power in found.powers.items():
        if not set(power.read + power.steer + power.off) <= set(CLASSES):
            raise ValueError(f"power {name}: a class of data that is none")
    for name, kind in found.kinds.items():
        if kind.basis not in {"design", "attack"}:
            raise ValueError(f"kind {name}: basis {kind.basis!r}")
    for rule in found.rules:
        if rule.kind not in found.kinds or rule.after not in found.powers:
            raise ValueError(f"rule {rule}: unknown kind or power")
        if rule.before not in {ENTITY, *found.powers}:
            raise ValueError(f"rule {rule}: unknown power")
    return found


@cache
def kinds() -> Kinds:
    """Powers, kinds and rules that are shipped."""
    return parse(_read("kinds.toml"))


@cache
def services() -> dict[str, list[Service]]:
    """For each access network the ways to run it."""
    said = _read("services.toml")
    networks = msgspec.convert(said.pop("networks"), dict[str, list[str]])
    ways = msgspec.convert(said, dict[str, Service])
    known = functions()
    for name, way in ways.items():
        if not {f for pool in way.pools + way.user for f in pool} <= set(known):
            raise ValueError(f"service {name}: an unknown function")
    return {name: [ways[w] for w in chosen] for name, chosen in networks.items()}
