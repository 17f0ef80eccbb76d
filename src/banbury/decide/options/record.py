"""Options side by side, as records. Amounts in the costs' currency; shares and parts 0 to 1; lists in a fixed order."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from banbury.decide.options.costs import Anchor
from banbury.decide.options.demands import Condition
from banbury.decide.options.figures import Supply

Family = Literal["accept", "mitigate", "policy", "cap", "ban"]
#: ``plan``: there is a schedule, and it keeps everything; ``nothing to do``: none is needed; ``infeasible``: proved
#: that there is none, with reasons; ``no answer``: not solved in the time given, and nothing is claimed.
State = Literal["plan", "nothing to do", "infeasible", "no answer"]


class Range(msgspec.Struct, frozen=True):
    """From the lowest anchor of every kind to the highest."""

    low: float
    high: float


class Line(msgspec.Struct, frozen=True):
    """What an option costs by one anchor, for the units of that anchor's kind alone. ``npv`` is discounted to the first
    year, ``outlay`` is not."""

    anchor: str
    kind: str
    units: int
    npv: Range
    outlay: Range
    sponsor: str
    date: str
    source: str
    read: str


class Step(msgspec.Struct, frozen=True):
    """Units that are swapped in a year."""

    year: int
    operator: str
    region: str
    kind: str
    vendor_from: str
    vendor_to: str
    units: int


class Standing(msgspec.Struct, frozen=True):
    """A policy at a year's end. ``status``: of its worst row; ``rules``: by rule the worst; ``by``: ``assess`` (the
    policy was held against the planned inventory) or ``model`` (against the schedule's own constraints; other rules not
    asked)."""

    year: int
    status: str
    rules: dict[str, str]
    by: str


class Verdicts(msgspec.Struct, frozen=True):
    """A policy over the years."""

    policy: str
    years: list[Standing]


class Exposed(msgspec.Struct, frozen=True):
    """A class of data. ``start``: the part exposed today; ``by_year``: at each year's end; ``years``: exposure-years,
    the area below that line from today's value on, one year wide each."""

    data: str
    title: str
    start: float
    by_year: list[float]
    years: float


class Worth(msgspec.Struct, frozen=True):
    """What the cost (at the reference anchors, in parts of units) falls by for one more of ``what``. ``how``: ``price
    at the margin`` (the first of it), or ``solved again`` (all of it)."""

    what: str
    year: int | None
    value: float
    how: str


class Option(msgspec.Struct, frozen=True):
    """One option. ``reasons``: sets of constraints that cannot hold together, none of which can be left out; ``short``:
    by how much, at least. ``earliest``: for a ban or a cap by a date, the first year that can be kept. ``cost`` is null
    where there is no plan. ``bound`` and ``gap``: at the reference anchors, no schedule costs less than ``bound``.
    ``dominated_by``: options that are nowhere worse on what is compared, and somewhere better.
    """

    id: str
    family: Family
    title: str
    text: str
    state: State
    reasons: list[list[str]]
    short: list[str]
    earliest: int | None
    cost: Range | None
    outlay: Range | None
    costs: list[Line]
    reference: float | None
    bound: float | None
    gap: float | None
    units: int
    schedule: list[Step]
    verdicts: list[Verdicts]
    exposure: list[Exposed]
    outage: list[Range]
    supply: list[Supply]
    must_be_true: list[str]
    prices: list[Worth]
    dominated_by: list[str] = []


class Cell(msgspec.Struct, frozen=True):
    """One point of the frontier: every access network at most ``cap`` from the end of ``by``; cost of the linear
    program (parts of units), from the lowest anchors to the highest; ``theirs``: vendor traffic-years left, access
    networks alike."""

    cap: float
    by: int
    state: Literal["plan", "infeasible", "no answer"]
    cost: Range | None
    theirs: float | None
    reasons: list[str]


class Flip(msgspec.Struct, frozen=True):
    """What would change an order. ``at``: the value of ``what`` at which it turns; ``low`` and ``high``: the range that
    the sources span; ``inside``: whether it turns within that range."""

    what: str
    options: list[str]
    at: float | None
    low: float | None
    high: float | None
    inside: bool
    text: str


class Held(msgspec.Struct, frozen=True):
    """What the policies cover today."""

    operator: str
    kind: str
    vendor: str
    units: int


class Asking(msgspec.Struct, frozen=True):
    """A policy that was asked for."""

    id: str
    version: int
    title: str
    jurisdiction: str
    legal_status: str


class Options(msgspec.Struct, frozen=True):
    """All of it. ``vendors``: whom the policies cover; ``compared``: what dominance is told by; ``disagreements``:
    where the policies, held against the planned inventory, say otherwise than the schedule's constraints (there should
    be none).
    """

    as_of: dt.date
    inventory: str
    made_up: bool
    problems: int
    first: int
    last: int
    currency: str
    price_year: int
    discount: float
    policies: list[Asking]
    vendors: list[str]
    held: list[Held]
    planned: int
    doubtful: int
    options: list[Option]
    frontier: list[Cell]
    flips: list[Flip]
    compared: list[str]
    anchors: list[Anchor]
    conditions: list[Condition]
    disagreements: list[str]
    limits: list[str]

    def exit_status(self) -> int:
        """0: everything was answered; 4: something was not in the time given."""
        late = any(o.state == "no answer" for o in self.options) or any(c.state == "no answer" for c in self.frontier)
        return 4 if late else 0
