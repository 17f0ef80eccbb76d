"""Anchors of cost, speed of crews and prices of precautions: data with sponsors (``data/costs.toml``)."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from banbury.model.errors import InputError

Read = Literal["primary", "secondary", "memory", "assumption"]
#: The largest file of costs, in bytes.
SIZE = 256 << 10


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of unit: what is swapped in one visit. ``crew``: part of an operator's units of the kind that can be
    swapped in a year. ``life`` in years; ``at_refresh``: part of an anchor that is left at natural refresh.
    """

    title: str
    per: Literal["site", "element"]
    layers: tuple[str, ...]
    metrics: tuple[str, ...]
    life: int
    at_refresh: float
    crew: float
    crew_low: float
    crew_high: float
    crew_units: float
    read: Read
    note: str = ""


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one unit of ``kind`` costs, from ``low`` to ``high``, who says so and who paid for saying it."""

    id: str
    kind: str
    low: float
    high: float
    sponsor: str
    date: str
    source: str
    read: Read


class Discount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The yearly rate by which later costs count less."""

    rate: float
    sponsor: str
    date: str
    source: str
    read: Read


class NewVendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a vendor that is new to an operator costs more, and how much of it there is."""

    premium: float
    sponsor: str
    date: str
    source: str
    read: Read
    supply: float
    max_share: float


class Precaution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a precaution costs one operator over the horizon: once, and each year."""

    id: str
    once_low: float
    once_high: float
    yearly_low: float
    yearly_high: float
    sponsor: str
    date: str
    source: str
    read: Read


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. Amounts in ``currency`` of ``price_year``."""

    currency: str
    price_year: int
    discount: Discount
    kinds: dict[str, Kind]
    new_vendor: NewVendor
    anchors: tuple[Anchor, ...]
    precautions: tuple[Precaution, ...] = ()

    def span(self, kind: str) -> tuple[float, float]:
        """The lowest and the highest anchor of a kind."""
        of = [a for a in self.anchors if a.kind == kind]
        return min(a.low for a in of), max(a.high for a in of)

    def reference(self, kind: str) -> float:
        """The geometric mean of the lowest and the highest: what a schedule is optimised by."""
        low, high = self.span(kind)
        return math.sqrt(low * high)

    def factor(self, kind: str, refresh: int | None, year: int) -> float:
        """The part of an anchor that a swap in ``year`` costs, where natural refresh is in ``refresh`` (None: not
        known, and then one). An anchor is an average over equipment of every age: what a swap costs with half a life
        to go."""
        k = self.kinds[kind]
        lost = k.life / 2 if refresh is None else min(max(refresh - year, 0), k.life)
        return k.at_refresh + (1.0 - k.at_refresh) * lost / (k.life / 2)


def parse(text: str, name: str) -> Costs:
    """Costs from TOML. Raises :class:`InputError`, which says what is wrong."""
    try:
        found = msgspec.convert(tomllib.loads(text), Costs)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as problem:
        raise InputError(f"costs {name}: {str(problem)[:300]}") from problem
    _check(found, name)
    return found


def _check(costs: Costs, name: str) -> None:
    for where, good, said in _rules(costs):
        if not good:
            raise InputError(f"costs {name}: {where[:80]}: {said}")


def _rules(costs: Costs) -> Iterator[tuple[str, bool, str]]:
    """What must hold: where, whether it does, and what it is. Comparisons with a NaN do not hold."""
    yield "discount.rate", 0 <= costs.discount.rate <= 0.5, "a fraction from 0 to 0.5"
    new = costs.new_vendor
    good = 0 <= new.premium <= 5 and 0 < new.supply <= 1 and 0 < new.max_share <= 1
    yield "new_vendor", good, "premium from 0 to 5; supply and max_share above 0, to 1"
    for key, kind in costs.kinds.items():
        good = 1 <= kind.life <= 100 and 0 <= kind.at_refresh <= 1 and 0 < kind.crew_units < 1e9
        yield f"kinds.{key}", good, "life from 1 to 100, at_refresh from 0 to 1, crew_units above 0"
        good = 0 <= kind.crew_low <= kind.crew_high <= 1 and 0 <= kind.crew <= 1
        yield f"kinds.{key}", good, "crews are fractions from 0 to 1, crew_low not above crew_high"
        yield f"kinds.{key}", any(a.kind == key for a in costs.anchors), "has no anchor"
    ids = [*(a.id for a in costs.anchors), *(p.id for p in costs.precautions)]
    yield "anchors and precautions", len(set(ids)) == len(ids), "an id is there twice"
    for anchor in costs.anchors:
        yield f"anchor {anchor.id}", anchor.kind in costs.kinds, f"kind {anchor.kind[:40]!r} is not there"
        yield f"anchor {anchor.id}", 0 < anchor.low <= anchor.high < 1e12, "amounts above 0, low not above high"
    for p in costs.precautions:
        good = 0 <= p.once_low <= p.once_high < 1e12 and 0 <= p.yearly_low <= p.yearly_high < 1e12
        yield f"precaution {p.id}", good, "amounts from 0, low not above high"


@cache
def shipped() -> Costs:
    """The costs that come with the laboratory."""
    return parse((files("banbury.decide") / "data" / "costs.toml").read_text("utf-8"), "costs.toml")


def load(path: Path | None) -> Costs:
    """The costs in ``path``, else the shipped ones. Raises :class:`InputError`."""
    if path is None:
        return shipped()
    try:
        if path.stat().st_size > SIZE:
            raise InputError(f"costs {path.name}: larger than {SIZE >> 10} KiB")
        return parse(path.read_text("utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"costs {path.name}: {problem}") from problem


def costs_limits(costs: Costs) -> list[str]:
    """What the figures rest on, in words: for every report."""
    known = {a.kind for a in costs.anchors if a.read != "assumption"}
    assumed = sorted({a.kind for a in costs.anchors} - known)
    anchors = "No anchor is the right one: they differ by who paid for them."
    if assumed:
        anchors += f" For {', '.join(assumed)} there is none but an assumption."
    schedule = (
        "A schedule is the cheapest at the geometric mean of each kind's lowest and highest anchor; where kinds share "
        "no constraint, it is the cheapest at every anchor."
    )
    return [
        schedule,
        anchors,
        "Equipment of the same vendors at one radio site is swapped in one visit, whatever its generation.",
        "A year's swaps are done at its end; a deadline within a year must be kept at the end of the year before.",
        "Loss of service, delay of new networks, jobs and trade are not costed.",
    ]
