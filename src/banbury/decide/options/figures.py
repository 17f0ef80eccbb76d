"""What is left of a vendor in a state of the network: exposure by class of data, outage, and who supplies what."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from banbury.decide.exposure import graph
from banbury.decide.exposure.assess import assess
from banbury.decide.exposure.record import CLASSES, Exposure, Picture
from banbury.decide.network import Network
from banbury.decide.network.catalogue import functions


class Left(msgspec.Struct, frozen=True):
    """Parts, 0 to 1. ``read``: by class of data (see docs/options.md); ``outage``: of traffic or premises, least and
    most, where all that the vendors made is off."""

    read: dict[str, float]
    outage_low: float
    outage_high: float


class Supplier(msgspec.Struct, frozen=True):
    """A vendor group's part of an operator's access network."""

    vendor: str
    share: float


class Supply(msgspec.Struct, frozen=True):
    """Who supplies an operator's access network: parts, and their squares' sum (Herfindahl-Hirschman, 0 to 1)."""

    operator: str
    network: str
    metric: str
    hhi: float
    shares: list[Supplier]


def left(network: Network, vendors: Sequence[str], precautions: Sequence[str]) -> Left:
    """The exposure to ``vendors`` (ids of groups): their parts added, at most 1; where there are several, an upper
    bound."""
    read = dict.fromkeys(CLASSES, 0.0)
    low = high = 0.0
    g = graph(network)
    for vendor in vendors:
        found = assess(g, vendor, precautions)
        picture = found.after or found.before
        for name, part in _read(network, picture).items():
            read[name] = min(read[name] + part, 1.0)
        some = _outage(found, picture)
        low, high = min(low + some[0], 1.0), min(high + some[1], 1.0)
    read["A"] = low
    return Left({k: round(v, 9) for k, v in read.items()}, round(low, 9), round(high, 9))


def _read(network: Network, picture: Picture) -> dict[str, float]:
    """S, K, L, I: of the elements whose function holds the class (strength 2 and above), the part that could be read;
    U: the traffic that could be read, access networks alike; C: the part of all elements under control. Steps that need
    a weakness are not counted."""
    found: dict[str, float] = {}
    held = dict.fromkeys(CLASSES, 0)
    known = functions()
    for function, number in network.sql("SELECT function, count(*) FROM elements_now GROUP BY 1"):
        for plane, strength in known[function].planes.items() if function in known else ():
            if strength >= 2 and plane in held:
                held[plane] += number
    titles = {title: key for key, title in CLASSES.items()}
    seen = dict.fromkeys(CLASSES, 0)
    for claim in picture.claims:
        key = titles.get(claim.data, claim.data)
        if claim.capability == "read" and claim.strength >= 2 and not claim.attack and key in seen:
            seen[key] += claim.elements
    for key in ("S", "K", "L", "I"):
        found[key] = min(seen[key] / held[key], 1.0) if held[key] else 0.0
    rows = [r for r in picture.readable if r.metric in {"traffic", "premises"}]
    found["U"] = _mean([(r.operator, r.network, r.low) for r in rows])
    every = next((r for r in picture.reach if not r.operator), None)
    found["C"] = every.control / every.elements if every is not None and every.elements else 0.0
    return found


def _mean(rows: list[tuple[str, str, float]]) -> float:
    """The mean over access networks; of one with several metrics, theirs first."""
    by: dict[tuple[str, str], list[float]] = {}
    for operator, network, value in rows:
        by.setdefault((operator, network), []).append(value)
    return sum(sum(v) / len(v) for v in by.values()) / len(by) if by else 0.0


def _outage(found: Exposure, picture: Picture) -> tuple[float, float]:
    made = next((o for o in picture.outages if o.case == "made"), None)
    rows = [r for r in made.losses if r.metric in {"traffic", "premises"}] if made else []
    return _mean([(r.operator, r.network, r.low) for r in rows]), _mean([(r.operator, r.network, r.high) for r in rows])


def supply(network: Network) -> list[Supply]:
    """The suppliers of each operator's access networks, by traffic (else premises, else sites), on the network's
    date."""
    rows = network.sql(
        """SELECT s.operator, s.network, s.metric, e.vendor_group, sum(s.share) FROM shares s
        JOIN elements_now e ON e.id = s.element GROUP BY ALL ORDER BY ALL"""
    )
    order = {"traffic": 0, "subscribers": 1, "premises": 2, "sites": 3}
    best: dict[tuple[str, str], str] = {}
    for operator, net, metric, _, _ in rows:
        best[operator, net] = min(best.get((operator, net), metric), metric, key=lambda m: order.get(m, 9))
    parts: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for operator, net, metric, vendor, share in rows:
        if metric == best[operator, net]:
            parts.setdefault((operator, net), []).append((vendor, float(share or 0.0)))
    found = []
    for (operator, net), some in parts.items():
        total = sum(share for _, share in some) or 1.0
        shares = sorted((Supplier(v, round(s / total, 6)) for v, s in some), key=lambda x: (-x.share, x.vendor))
        hhi = round(sum((s / total) ** 2 for _, s in some), 6)
        found.append(Supply(operator, net, best[operator, net], hhi, shares))
    return found
