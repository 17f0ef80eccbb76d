"""What the generator draws from: ``data/generator_*.toml``, with what is said of each figure."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from importlib.resources import files
from typing import Literal

import msgspec

#: (published, reported or made up; by whom, and what is in doubt)
Said = tuple[Literal["published", "reported", "made up"], str]


class Operator(msgspec.Struct, forbid_unknown_fields=True):
    """A mobile operator: sites, and shares of vendors by generation."""

    name: str
    sites: int
    ran_4g: dict[str, float]
    ran_5g: dict[str, float]
    core: str
    core_sites: int
    ipsec: bool
    figures: dict[str, Said]


class Sharing(msgspec.Struct, forbid_unknown_fields=True):
    """A radio network that two operators share. ``vendor``: the venture's own kit; empty: the host's, where both have
    the same vendor. ``part``: of the sites that have a neighbour of the other's. ``west``: degrees of longitude, west
    of which the first operator is host; without it they take turns.
    """

    name: str
    operators: tuple[str, str]
    tech: str
    function: str
    part: float
    figures: dict[str, Said]
    vendor: str = ""
    west: float | None = None


class Fibre(msgspec.Struct, forbid_unknown_fields=True):
    """A full-fibre access network."""

    name: str
    exchanges: int
    premises: int
    olt: dict[str, float]
    figures: dict[str, Said]


class Evidence(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of a part of the releases of some vendors."""

    of: list[str]
    kind: str
    level: str
    verdict: str
    date: str
    part: float
    figures: Said
    finding_set: str = ""


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """``data/generator_*.toml``."""

    as_of: dt.date
    places: str
    exponent: float
    sites_5g: int
    figures: dict[str, Said]
    operators: list[Operator]
    sharing: list[Sharing]
    fibre: Fibre
    assurance: list[Evidence]
    vendors: dict[str, dict[str, str]]


def settings(country: str) -> Settings:
    """The settings of a country."""
    text = (files("banbury.decide") / "data" / f"generator_{country}.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Settings)


def figures(said: Settings) -> str:
    """Every figure with its value, state and source, as ``[[figures]]`` of a ``network.toml``."""
    parts = []
    some: list[Settings | Operator | Sharing | Fibre] = [said, *said.operators, *said.sharing, said.fibre]
    for of in some:
        for key, (state, source) in of.figures.items():
            value = getattr(of, key)
            if isinstance(value, dict):
                value = ", ".join(f"{name} {share:.1%}" for name, share in value.items())
            elif isinstance(value, tuple):
                value = ", ".join(value)
            row = {"of": getattr(of, "name", "all"), "figure": key, "value": str(value), "state": state}
            row["source"] = source
            parts.append("[[figures]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in row.items()))
    return "\n".join(parts)
