"""A vendor's exposure in a network, before and after precautions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from banbury.decide.exposure import claims
from banbury.decide.exposure.closure import Closure, Start, arcs, by_attack, close, start
from banbury.decide.exposure.dependence import dependence
from banbury.decide.exposure.graph import Bools, Graph, graph
from banbury.decide.exposure.outage import LOSSES, Core, outage, shares
from banbury.decide.exposure.precautions import chosen
from banbury.decide.exposure.record import CLASSES, Applied, Change, Exposure, Outage, Picture, Readable, Vendor
from banbury.decide.exposure.taking import Taken, apply
from banbury.decide.exposure.vendors import jurisdiction, resolve
from banbury.decide.network import Network
from banbury.decide.network.catalogue import functions
from banbury.model.errors import InputError

LIMITS = [
    "What could be done, not what is done or meant: nothing here asserts an intention or a backdoor.",
    "Only what the inventory states is followed; a relation that it leaves out is not there.",
    "Steps marked as attack assume that the element reached has a weakness: nothing here tested it.",
    "What a function holds, and what each power gives, are judgements (docs/exposure.md says which).",
    "A 5G element on a 4G core is not tied to the 4G cell beside it; managers, timing and power are in no outage.",
]


def assess(network: Network | Graph, vendor: str, precautions: Sequence[str] = ()) -> Exposure:
    """What ``vendor`` (an entity's id, or its whole name) with its whole group could do, before and after
    ``precautions`` (ids) together.

    Given a :class:`~banbury.decide.network.Network`, its graph is built first; many questions share one by being
    given the :class:`Graph` (:func:`banbury.decide.exposure.graph`). Raises :class:`InputError` for an unknown vendor
    or precaution.
    """
    names = chosen(list(precautions))
    g = graph(network) if isinstance(network, Network) else network
    who, entities = resolve(g, vendor)
    begin = start(g, entities)
    nothing = Taken.nothing(g)
    first = close(g, begin)
    attack = by_attack(g)
    found = claims.found(g, first, close(g, begin, attack), nothing)
    before = _picture(g, who, begin, first, found, nothing)
    after: Picture | None = None
    applied: list[Applied] = []
    changed: list[Change] = []
    if names:
        taken, applied = apply(g, begin, first, names)
        left = taken.left(begin)
        second = close(g, left, taken.edges)
        later = claims.found(g, second, close(g, left, taken.edges | attack), taken)
        after = _picture(g, who, left, second, later, taken)
        changed = claims.changes(g, found, later, first, taken, begin.by_kind)
    return Exposure(
        as_of=g.network.as_of,
        inventory=g.network.digest,
        made_up=g.network.made_up,
        vendor=who,
        before=before,
        after=after,
        precautions=applied,
        changes=changed,
        jurisdiction=jurisdiction(g, who),
        unknown=g.unknown,
        limits=LIMITS,
        problems=len(g.network.problems),
        evaluations=[one.release for one in g.network.evaluations if one.elements],
    )


def prepared(network: Network) -> Graph:
    """The graph of a network with everything that is derived from the inventory alone."""
    g = graph(network)
    arcs(g)
    dependence(g)
    shares(g)
    return g


def closure_and_outage(g: Graph, vendor: str) -> tuple[int, int]:
    """(elements that the vendor reaches, elements that fall if what it made is off): the two alone, to be measured."""
    begin = start(g, resolve(g, vendor)[1])
    reached = close(g, begin)
    off = outage(g, begin.by_kind["supplies"])
    return int((reached.held("control") | reached.held("tap") | reached.held("view")).sum()), off.fallen


def assess_folder(
    folder: Path,
    vendor: str,
    precautions: Sequence[str],
    as_of: str | None = None,
    *,
    accept_problems: bool = False,
    workspace: Path | None = None,
) -> Exposure:
    """The same of the inventory in ``folder``, as of a date (YYYY-MM-DD). ``workspace``: a folder of ``banbury
    evaluate``, whose evaluations say what is known of releases.

    Raises :class:`InputError` where inventory, vendor, precaution or date cannot be used.
    """
    chosen(list(precautions))
    try:
        day = None if as_of is None else dt.date.fromisoformat(as_of)
    except ValueError as problem:
        raise InputError(f"--as-of: {(as_of or '')[:40]!r} is no date (YYYY-MM-DD)") from problem
    if workspace is not None and not workspace.is_dir():
        raise InputError(f"{workspace}: is no workspace")
    with Network.open(folder, as_of=day, accept_problems=accept_problems, workspace=workspace) as network:
        return assess(network, vendor, precautions)


def _picture(g: Graph, who: Vendor, begin: Start, closure: Closure, found: claims.Every, taken: Taken) -> Picture:
    made = begin.by_kind["supplies"]
    return Picture(
        reach=claims.reach(g, closure, made),
        readable=readable(g, closure, taken),
        claims=claims.written(g, closure, found.rows, who.id, begin.by_kind),
        outages=_outages(g, begin, closure),
        claims_more=found.total - len(found.rows),
    )


def _outages(g: Graph, begin: Start, closure: Closure) -> list[Outage]:
    made = begin.by_kind["supplies"]
    supported = made | begin.by_kind["supports"] | begin.by_kind["supports-watched"]
    cases: list[tuple[str, str, Bools]] = [
        ("made", "all that the vendor made is switched off", made),
        ("supported", "all that it made or supports fails, with nobody to repair it", supported),
        ("reach", "all that it could switch off, over any path", closure.held("control")),
    ]
    return [outage(g, off, case=case, title=title) for case, title, off in cases]


def ends_content(g: Graph) -> Bools:
    """The elements at which protection of content ends, whatever protects the way to them: all but those that only see
    what passes unprotected (a central unit, but not a router)."""
    known = functions()
    return np.array([not (f in known and known[f].clear_unless) for f in g.functions], dtype=bool)[g.function]


def readable(g: Graph, closure: Closure, taken: Taken) -> list[Readable]:
    """How much user traffic could be read, by operator and access network."""
    content = (np.where(taken.holds, 0, g.holds)[:, list(CLASSES).index("U")] > 0)[g.group]
    seen = (closure.held("control") | closure.held("tap")) & content
    said = shares(g)
    passes = dependence(g).carriers.below(seen & ends_content(g)) | seen
    part = np.bincount(said.group, weights=said.share * passes[said.element], minlength=len(said.groups))
    core = Core(g, seen)
    rows = []
    for i, (operator, network, metric, period, covered) in enumerate(said.groups[:LOSSES]):
        low, pools, some = float(part[i]), [], False
        ways = core.ways(operator, network)
        whole = []
        for way in ways:
            found = [("/".join(p), *core.pool(operator, p)) for p in way.user]
            found = [row for row in found if row[2]]
            pools += found
            some |= any(bad for _, bad, _ in found)
            whole.append(any(bad == there for _, bad, there in found))
        # Traffic takes one of the ways: it is all seen where each of them has a pool that is seen whole.
        if whole and all(whole):
            low = 1.0
        rows.append(
            Readable(operator, network, metric, period, min(low, 1.0), 1.0 if some else min(low, 1.0), covered, pools)
        )
    return rows
