"""Exposure against a naive reference, on hundreds of random small networks in one inventory.

Each operator of the inventory is a network of its own; one vendor, with a daughter, is in all of them. The reference is
dictionaries and breadth first search in Python; its rules are written out here, and not read from the package's data.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest

from banbury.decide.exposure import Graph, assess, graph, outage
from banbury.decide.exposure.closure import close, start
from banbury.decide.exposure.precautions import precautions
from banbury.decide.exposure.record import CLASSES, Exposure
from banbury.decide.exposure.taking import apply
from banbury.decide.exposure.vendors import resolve
from banbury.decide.network import Network
from banbury.decide.network.catalogue import functions
from banbury.decide.network.writing import Draft

NETWORKS = 300
FUNCTIONS = (
    *("GNB", "ENB", "EMS", "OSS", "NFVI", "UDM", "HSS", "MME", "UPF", "LI_ADMF", "AGGREGATION_ROUTER", "CORE_ROUTER"),
    *("SEGW", "HSM", "UPDATE_SERVER", "SUPPORT_ACCESS"),
)
KINDS = ("carries", "connects", "manages", "hosts", "updates", "supports", "management-access")
POWERS = {
    "control": {"read": "SUKLI", "steer": "SUIC", "off": "A"},
    "view": {"read": "SL"},
    "tap": {"read": "SUL", "steer": "U"},
}

#: What holding a power over one element gives over another that it stands in a relation to.
GAINED = {
    **{("control", k): "control" for k in ("manages", "hosts", "updates", "supports", "management-access")},
    ("control", "watched"): "view",
    ("control", "carries"): "tap",
    ("tap", "carries"): "tap",
}

Edge = tuple[str, str, str]


@dataclass
class Made:
    """What one random network says."""

    elements: dict[str, dict[str, str | None]] = field(default_factory=dict)
    links: dict[Edge, str | None] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)


def make(rng: random.Random, operator: str) -> Made:
    made = Made()
    names = [f"{operator}-{i}" for i in range(rng.randint(1, 9))]
    for i, name in enumerate(names):
        made.elements[name] = {
            "function": rng.choice(FUNCTIONS),
            "vendor": rng.choice(["bad", "bad-uk", "good", "good", "fair", "fair"]),
            "supported_by": rng.choice(["bad", "good", None, None]),
            "support_access": rng.choice(["none", "attended", "unattended", "unknown", None]),
            # Only upwards: a circle of these is a problem of the inventory.
            "managed_by": rng.choice(names[:i]) if i and rng.random() < 0.4 else None,
            "hosted_on": rng.choice(names[:i]) if i and rng.random() < 0.3 else None,
            "release": rng.choice(["1", "2"]),
        }
        if made.elements[name]["function"] in {"GNB", "ENB"}:
            made.shares[name] = 0.1
    for _ in range(rng.randint(0, 3 * len(names))):
        a, b = rng.choice(names), rng.choice(names)
        if a != b:
            made.links[a, b, rng.choice(KINDS)] = rng.choice(["no", "ipsec", "macsec", "tls", "unknown", None])
    return made


@pytest.fixture(scope="module")
def said() -> dict[str, Made]:
    rng = random.Random(20200128)
    return {f"o{i:03d}": make(rng, f"o{i:03d}") for i in range(NETWORKS)}


@pytest.fixture(scope="module")
def g(said: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Graph:
    folder = tmp_path_factory.mktemp("random") / "network"
    draft = Draft("a test", "2020-01-28")
    for name, parent in (("bad-group", None), ("bad", "bad-group"), ("bad-uk", "bad"), ("good", None), ("fair", None)):
        draft.add("vendors", id=name, name=name.upper(), parent=parent, jurisdiction="SE", **{"class": "other"})
    rng = random.Random(7)
    for operator, made in said.items():
        draft.add("sites", id=operator, operator=operator, region="R", lat=50.0, lon=0.0, **{"class": "core"})
        for name, row in rng.sample(list(made.elements.items()), len(made.elements)):
            draft.add("elements", id=name, site=operator, product="P", tech="common", installed="2019-01-01", **row)
        for (a, b, kind), encrypted in made.links.items():
            draft.add("links", a=a, b=b, type=kind, encrypted=encrypted)
        for name, value in made.shares.items():
            draft.add(
                "shares", element=name, operator=operator, network="4G", metric="traffic", value=value,
                unit="fraction", period="2020",
            )  # fmt: skip
    evidence = {"product": "P", "kind": "equivalence", "finding_set": "x", "date": "2020-01-01"}
    draft.add("assurance", release="1", level="sufficient", **evidence)
    draft.add("assurance", release="2", level="moderate", **evidence)
    draft.write(folder, "parquet")
    return graph(Network.open(folder))


def edges(made: Made) -> list[Edge]:
    """(a, b, kind); carriers' kind says whether what they carry is in clear."""
    found = []
    for name, row in made.elements.items():
        for column, kind in (("managed_by", "manages"), ("hosted_on", "hosts")):
            if row[column]:
                found.append((str(row[column]), name, kind))
    for (a, b, kind), encrypted in made.links.items():
        if kind == "carries" and encrypted in {"ipsec", "tls"}:
            found.append((a, b, "protected"))
        elif kind == "supports" and made.elements[b]["support_access"] == "attended":
            found.append((a, b, "watched"))
        else:
            found.append((a, b, kind))
    return found


def reached(made: Made, without: str = "") -> dict[tuple[str, str], int]:
    """(element, power) and how many relations away from the vendor it is: typed breadth first search."""
    at: dict[tuple[str, str], int] = {}
    for name, row in made.elements.items():
        if str(row["vendor"]).startswith("bad"):
            at[name, "control"] = 1
        if row["supported_by"] == "bad":
            if row["support_access"] in {"unattended", "unknown", None}:
                at[name, "control"] = 1
            elif row["support_access"] == "attended":
                at[name, "view"] = 1
    out = defaultdict(list)
    for a, b, kind in edges(made):
        if kind != without:
            out[a].append((b, kind))
    front = sorted(at)
    while front:
        following = []
        for name, power in front:
            for b, kind in out[name]:
                gained = GAINED.get((power, kind))
                if gained and (b, gained) not in at:
                    at[b, gained] = at[name, power] + 1
                    following.append((b, gained))
        front = following
    return at


def holding(made: Made, name: str, data: str) -> int:
    """How much of a class of data an element holds."""
    function = functions()[str(made.elements[name]["function"])]
    if data == "U" and function.clear_unless:
        carried = [k for a, _, k in edges(made) if a == name and k in {"carries", "protected"}]
        if carried and "carries" not in carried:
            return 0
    return function.planes[data]


def capabilities(made: Made, without: str = "") -> dict[tuple[str, str, str], int]:
    """(element, capability, class) and the shortest distance at which it is had."""
    found: dict[tuple[str, str, str], int] = {}
    for (name, power), distance in reached(made, without).items():
        for capability, classes in POWERS[power].items():
            for data in classes:
                if holding(made, name, data):
                    key = (name, capability, data)
                    found[key] = min(distance, found.get(key, distance))
    return found


def test_claims_are_those_of_the_reference_and_paths_are_shortest_and_real(said: dict[str, Made], g: Graph) -> None:
    exposure = assess(g, "bad-uk")
    assert exposure.before.claims_more == 0
    claims = defaultdict(list)
    for claim in exposure.before.claims:
        claims[claim.operator].append(claim)
    seen = Counter()
    for operator, made in said.items():
        wanted = capabilities(made)
        counts = Counter((made.elements[n]["function"], c, CLASSES[d]) for n, c, d in wanted)
        sure = Counter((made.elements[n]["function"], d, c) for n, d, c in capabilities(made, "management-access"))
        design: Counter[tuple[str, str, str]] = Counter()
        found = Counter()
        real = set(edges(made))
        for claim in claims[operator]:
            found[claim.function, claim.capability, claim.data] += claim.elements
            assert claim.attack == any(s.kind == "management-access" for s in claim.path)
            design[claim.function, claim.capability, next(k for k, v in CLASSES.items() if v == claim.data)] += (
                claim.by_design
            )
            steps = claim.path
            assert steps[0].source == "bad-uk"
            assert steps[-1].kind == "holds"
            assert steps[-1].target == claim.data
            assert [s.target for s in steps[:-1]] == [s.source for s in steps[1:]]
            named = {"supports-watched": "watched"}
            for step in steps[1:-1]:
                assert (step.source, step.target, named.get(step.kind, step.kind)) in real, claim
                seen[step.kind] += 1
            data = next(k for k, v in CLASSES.items() if v == claim.data)
            # The path shown is a shortest one, and of the elements that the claim is of the nearest (routers are told
            # apart by what they pass as well).
            assert len(steps) - 1 == wanted[steps[-1].source, claim.capability, data]
            ends = [
                wanted[n, claim.capability, data]
                for n in made.elements
                if (n, claim.capability, data) in wanted and made.elements[n]["function"] == claim.function
            ]
            assert len(steps) - 1 == min(ends) or functions()[claim.function].clear_unless, claim
        assert found == counts, operator
        assert +design == sure, operator
    assert set(seen) >= {"manages", "hosts", "updates", "supports", "management-access", "carries"}


def test_a_precaution_and_a_relation_less_never_add_a_capability(said: dict[str, Made], g: Graph) -> None:
    _, entities = resolve(g, "bad")
    begin = start(g, entities)
    full = close(g, begin)
    rng = np.random.default_rng(3)
    for _ in range(20):
        less = close(g, begin, rng.random(len(g.kind)) < 0.2)
        assert not ((less.rank >= 0) & (full.rank < 0)).any()
        assert (less.rank >= 0).sum() < (full.rank >= 0).sum()
    for name in precautions():
        before, after = (counted(e) for e in (assess(g, "bad"), assess(g, "bad", [name])))
        assert all(after[key] <= before[key] for key in after), name
        taken, _ = apply(g, begin, full, [name])
        left = close(g, taken.left(begin), taken.edges)
        assert not ((left.rank >= 0) & (full.rank < 0)).any(), name
    together = list(precautions())
    assert assess(g, "bad", together).after == assess(g, "bad", together[::-1]).after


def counted(e: Exposure) -> Counter[str]:
    picture = e.after or e.before
    return Counter({c.id: c.elements for c in picture.claims})


def test_changes_say_what_became_of_each_claim(said: dict[str, Made], g: Graph) -> None:
    exposure = assess(g, "bad", ["segmented-management", "watched-support"])
    assert exposure.after is not None
    after = {c.id: c for c in exposure.after.claims}
    states = Counter(change.state for change in exposure.changes)
    assert {c.id for c in exposure.before.claims} == {c.claim for c in exposure.changes}
    assert set(states) == {"cut", "reduced", "another way", "remains"}
    shown = {c.id: c for c in exposure.before.claims}
    for change in exposure.changes:
        assert change.after == (after[change.claim].elements if change.claim in after else 0)
        assert (change.state == "cut") == (change.after == 0)
        if change.by and change.after == change.before:
            assert after[change.claim].path != shown[change.claim].path
        if not change.by and change.after:
            assert len(after[change.claim].path) == len(shown[change.claim].path)


def lost(made: Made, off: set[str]) -> set[str]:
    """Elements that do not work: reference for outages."""
    names = list(made.elements)
    every = edges(made)
    hosts = {(a, b) for a, b, k in every if k == "hosts"}
    carries = {(a, b) for a, b, k in every if k in {"carries", "protected"}}
    carriers = {a for a, _ in carries}
    joins = {(a, b) for a, b, k in every if k == "connects"}
    joins |= {(b, a) for a, b in joins}
    sideways = {(a, b) for a, b in joins if a in carriers and b in carriers}

    def below(some: set[str], pairs: set[tuple[str, str]], among: set[str]) -> set[str]:
        found, front = set(some), list(some)
        while front:
            at = front.pop()
            for a, b in pairs:
                if a == at and b in among and b not in found:
                    found.add(b)
                    front.append(b)
        return found

    def works(served: set[tuple[str, str]], pairs: set[tuple[str, str]], up: set[str]) -> set[str]:
        everything = set(names)
        tops = everything - {b for _, b in served}
        left = everything - below(tops, pairs, everything)
        for name in left:
            # A circle that nothing outside leads into stands for the way onwards.
            above = {n for n in names if name in below({n}, pairs, everything)}
            if all(n in below({name}, pairs, everything) for n in above):
                tops = tops | {name}
        return below(tops & up, pairs, up)

    up = works(hosts, hosts, set(names) - off)
    up = works(carries, carries | sideways, up)
    down = set(names) - up
    for name in names:
        row = made.elements[name]
        if functions()[str(row["function"])].layer == "core" and name not in carriers:
            near = {a for a, b in joins if b == name and a in carriers}
            if near and not near & up:
                down.add(name)
    return down


def expected(made: Made, off: set[str]) -> tuple[float, float]:
    """(low, high) of the 4G network, which needs a working MME and a working HSS, as far as it has any."""
    down = lost(made, off)
    kept = 1.0
    for function in ("MME", "HSS"):
        there = [n for n, row in made.elements.items() if row["function"] == function]
        if there:
            kept = min(kept, sum(n not in down for n in there) / len(there))
    gone = sum(v for n, v in made.shares.items() if n in down)
    total = sum(made.shares.values())
    low = total if kept == 0 else gone
    return low, low + (total - low) * (1 - kept)


def test_outages_are_those_of_the_reference(said: dict[str, Made], g: Graph) -> None:
    rng = random.Random(5)
    falls = 0
    for _ in range(4):
        off = {n for made in said.values() for n in made.elements if rng.random() < 0.3}
        found = outage(g, g.mask(sorted(off)))
        assert found.elements_off == len(off)
        rows = {loss.operator: loss for loss in found.losses}
        fallen = 0
        for operator, made in said.items():
            mine = off & set(made.elements)
            fallen += len(lost(made, mine) - mine)
            if made.shares:
                low, high = expected(made, mine)
                assert (rows[operator].low, rows[operator].high) == pytest.approx((low, high)), operator
                assert rows[operator].direct + rows[operator].dependent + rows[operator].core == pytest.approx(low)
        assert found.fallen == fallen
        falls += fallen
    assert falls > 100


def test_more_off_never_loses_less(g: Graph) -> None:
    rng = np.random.default_rng(11)
    for _ in range(10):
        some = rng.random(g.n) < 0.2
        more = some | (rng.random(g.n) < 0.2)
        for a, b in zip(outage(g, some).losses, outage(g, more).losses, strict=True):
            assert a.low <= b.low + 1e-12
            assert a.high <= b.high + 1e-12
