"""What an exposure is made of: records. Every share is a fraction, 0 to 1; every list is in a fixed order."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from banbury.decide.exposure.law import Jurisdiction

Capability = Literal["read", "steer", "off"]
#: The classes of data, in the order of the catalogue's planes.
CLASSES = {
    "S": "signalling",
    "U": "user content",
    "K": "keys and identities",
    "L": "location",
    "I": "interception",
    "C": "control of other elements",
    "A": "availability",
}


class Vendor(msgspec.Struct, frozen=True):
    """Whose exposure it is. ``asked``: what was asked for; ``id`` and ``name``: the legal entity that this named;
    ``group``: its topmost owner on the date; ``entities``: every entity below that owner, all of which count as one;
    ``elements``: how many installed elements they made.
    """

    asked: str
    id: str
    name: str
    group: str
    entities: list[str]
    elements: int


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a path: ``source`` stands in relation ``kind`` to ``target``. The last step is ``holds``: its
    target is a class of data. ``attack``: it needs a weakness in the target. ``note``: what of it the inventory does
    not say.
    """

    kind: str
    source: str
    target: str
    attack: bool = False
    note: str = ""


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the vendor could do: one row for each operator, function, class of data and capability.

    ``id`` names it in this exposure, before and after. ``capability``: read, steer or (switch) off, of ``data``.
    ``strength``: how much of it the function holds (1 partly or indirectly, 2 yes, 3 above all; of availability: 1
    cells or premises, 2 an area, 3 the network). ``power``: what it would hold over the element: control, view, tap.
    ``elements`` of ``of`` elements of this function and operator are concerned. ``path``: a shortest way to one of
    them, from the vendor to the data; ``cut_short``: it is longer, and only its end is shown. ``ways``: how many
    other last steps lead to that same element. ``attack``: some step of the path needs a weakness.
    ``by_design``: how many of ``elements`` are reached by some way that needs none.
    """

    id: str
    operator: str
    function: str
    title: str
    capability: Capability
    data: str
    strength: int
    power: str
    elements: int
    of: int
    path: list[Step]
    ways: int
    by_design: int
    attack: bool = False
    cut_short: bool = False


class Reach(msgspec.Struct, frozen=True):
    """How many elements of one operator (``""``: of all) the vendor made, and over how many of them, its own and
    others', it would hold each power: control, tap (and no control), view (and neither)."""

    operator: str
    elements: int
    supplied: int
    control: int
    tap: int
    view: int


class Readable(msgspec.Struct, frozen=True):
    """How much of an access network's user traffic could be read. ``low``: what passes an access element that could
    be read, or all where each element of a pool that all of it passes could be; ``high``: all, where some element of
    such a pool could be (how traffic spreads over a pool is not said). ``covered``: how much of the network the
    inventory accounts for. ``pools``: the functions of those pools, with elements that could be read and elements
    there are.
    """

    operator: str
    network: str
    metric: str
    period: str
    low: float
    high: float
    covered: float
    pools: list[tuple[str, int, int]]


class Area(msgspec.Struct, frozen=True):
    """Loss in one region. ``share``: what the region is of the network by this metric; ``lost``: how much of the
    network is lost there, so that ``lost`` of ``share`` is the region's part. ``cells`` and ``cells_lost``: elements
    with a share.
    """

    region: str
    share: float
    lost: float
    cells: int
    cells_lost: int


class Loss(msgspec.Struct, frozen=True):
    """What one access network of one operator loses.

    ``low``: elements that are off, or have no way left to a working core. ``high``: as well as the capacity of the
    core that is off, as if none of its pools had any to spare. ``direct`` is the part of ``low`` whose own elements
    are off; ``dependent`` the part that loses its host or its way; ``core`` the part lost because a whole pool of the
    core is off. ``pools``: functions of the core with elements that are off and elements there are. ``squares`` and
    ``squares_lost``: squares of a tenth of a degree in which the network has elements, and those in which all are
    lost (elements at sites without coordinates are in none). ``areas``: by region, the worst first; ``areas_more``:
    regions that are not listed.
    """

    operator: str
    network: str
    metric: str
    period: str
    low: float
    high: float
    direct: float
    dependent: float
    core: float
    covered: float
    elements: int
    elements_lost: int
    squares: int
    squares_lost: int
    pools: list[tuple[str, int, int]]
    areas: list[Area]
    areas_more: int = 0


class Outage(msgspec.Struct, frozen=True):
    """What is lost if some elements are off. ``case``: ``made`` (all that the vendor made), ``supported`` (all that
    it made or supports: nothing stops on the day, but nobody repairs it) or ``reach`` (all that it could switch off,
    over any path); ``asked`` where a caller chose the elements. ``elements_off``: how many those are; ``fallen``: how
    many others stop with them. ``losses``: by operator, network and metric; ``losses_more``: rows that are not
    listed.
    """

    case: str
    title: str
    elements_off: int
    fallen: int
    losses: list[Loss]
    losses_more: int = 0


class Picture(msgspec.Struct, frozen=True):
    """The exposure with one set of precautions. ``claims_more``: claims that are not listed."""

    reach: list[Reach]
    readable: list[Readable]
    claims: list[Claim]
    outages: list[Outage]
    claims_more: int = 0


class NotApplied(msgspec.Struct, frozen=True):
    """Where a precaution does not hold: how many relations or elements of ``what``, and why; with some of their
    names."""

    what: str
    count: int
    why: str
    examples: list[str]


class Applied(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one precaution. ``state``: ``applied``, ``partly`` (it does not hold everywhere), ``not
    applied``, or ``nothing to act on``. ``cuts``: of what the vendor could use, how many relations of each kind it
    cuts, and ``holds X`` for elements that class X is taken out of. ``not_applied``: where it does not hold.
    ``needs``: what must be true and cannot be looked up here.
    """

    id: str
    title: str
    state: Literal["applied", "partly", "not applied", "nothing to act on"]
    cuts: dict[str, int]
    not_applied: list[NotApplied]
    needs: list[str]
    source: str
    read: str
    cost: str = ""


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the precautions do to one claim. ``state``: ``cut``; ``reduced`` (fewer elements); ``another way`` (the
    shown path is cut, another leads to as many elements); ``remains``. ``by``: the precautions that cut a step of the
    path shown before.
    """

    claim: str
    state: Literal["cut", "reduced", "another way", "remains"]
    before: int
    after: int
    by: list[str] = []


class Unknown(msgspec.Struct, frozen=True):
    """What the inventory does not say, how often, and what was taken for it."""

    what: str
    count: int
    taken: str


class Exposure(msgspec.Struct, frozen=True):
    """What a vendor could read, steer or switch off in a network, before and after precautions.

    ``inventory``: its digest. ``problems``: how many its check found, where they were accepted. ``evaluations``:
    digests of the releases whose evaluations say something of its elements. ``after`` and ``changes`` are of all
    ``precautions`` together; without any, ``after`` is null. ``jurisdiction`` stands beside, never within.
    """

    as_of: dt.date
    inventory: str
    made_up: bool
    vendor: Vendor
    before: Picture
    after: Picture | None
    precautions: list[Applied]
    changes: list[Change]
    jurisdiction: Jurisdiction
    unknown: list[Unknown]
    limits: list[str]
    problems: int = 0
    evaluations: list[str] = []
