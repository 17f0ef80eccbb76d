"""Hardening as a matrix: programs by measures, each cell with its reason and, where it was counted, its share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from banbury.judge.rules import fact_defaults
from banbury.model.evaluation import Fact, Node
from banbury.model.facts import Tri
from banbury.present.facts import Stated

HARDENING = "elf.hardening"
#: What a cell can say, best first.
VALUES = ("yes", "partial", "no", "cannot tell", "not applicable")
_ORDER = ("nx", "pie", "relro", "canary", "fortify", "no_wx", "no_textrel")
#: The measures' names as the field writes them.
NAMES = {
    "nx": "NX",
    "pie": "PIE",
    "relro": "RELRO",
    "canary": "canary",
    "fortify": "FORTIFY",
    "no_wx": "no W+X",
    "no_textrel": "no TEXTREL",
    "ibt": "IBT",
    "shstk": "SHSTK",
    "bti": "BTI",
    "pac": "PAC",
}
_TYPES = {
    "executable": "program",
    "position-independent executable": "program",
    "shared object": "library",
    "position-independent executable or shared object": "program or library",
    "relocatable object": "object",
    "kernel module": "module",
    "kernel image": "kernel",
}


class Cell(Struct, frozen=True, kw_only=True):
    """One measure of one program. ``share`` is like ``3/120``: functions, or calls, that have it of all that could."""

    value: str
    why: str
    share: str


class Program(Struct, frozen=True, kw_only=True):
    """One row: a content at its first place, with how many places it has."""

    node: Node
    places: int
    type: str
    cells: list[Cell]
    search_path: str

    def count(self, value: str) -> int:
        """How many measures have this value."""
        return sum(cell.value == value for cell in self.cells)


class Hardening(Struct, frozen=True, kw_only=True):
    """The matrix. ``totals`` counts each value by measure; ``left_out`` are measures that apply to no program."""

    measures: list[str]
    programs: list[Program]
    totals: list[dict[str, int]]
    left_out: list[str]


def hardening(facts: dict[str, list[Stated]]) -> Hardening:
    """Programs by measures, those with most gaps first."""
    first: dict[str, Stated] = {}
    places: Counter[str] = Counter()
    for stated in facts.get(HARDENING, []):
        first.setdefault(stated.node.sha256, stated)
        places[stated.node.sha256] += 1
    types = {s.node.sha256: str(s.fact.get("type", "")) for s in facts.get("elf.identity", [])}
    defaults = fact_defaults().get(HARDENING, {})
    filled = {digest: {**defaults, **stated.fact} for digest, stated in first.items()}
    every = _measures(filled.values())
    measures = [m for m in every if any(f.get(m) != "not applicable" for f in filled.values())]
    programs = [
        _program(first[digest].node, fact, measures, places[digest], types.get(digest, ""))
        for digest, fact in filled.items()
    ]
    programs.sort(key=lambda p: (-p.count("no"), -p.count("partial"), p.node.where))
    return Hardening(
        measures=measures,
        programs=programs,
        totals=[dict(Counter(p.cells[i].value for p in programs)) for i in range(len(measures))],
        left_out=[m for m in every if m not in measures],
    )


def named(measure: str) -> str:
    """A measure's name as the field writes it."""
    return NAMES.get(measure, measure.replace("_", " "))


def _measures(filled: Iterable[Fact]) -> list[str]:
    """The fields that hold a measure's value, the usual ones first."""
    found: dict[str, None] = {}
    for fact in filled:
        for name, value in fact.items():
            if isinstance(value, str) and value in VALUES:
                found.setdefault(name, None)
    return [m for m in _ORDER if m in found] + [m for m in found if m not in _ORDER]


def _program(node: Node, fact: Fact, measures: list[str], places: int, kind: str) -> Program:
    why = fact.get("why")
    reasons = why if isinstance(why, dict) else {}
    shares = _shares(fact)
    cells = [
        Cell(value=str(fact.get(m, Tri.UNKNOWN)), why=str(reasons.get(m, "")), share=shares.get(m, ""))
        for m in measures
    ]
    path = str(fact.get("runpath") or fact.get("rpath") or "")
    return Program(node=node, places=places, type=_TYPES.get(kind, kind), cells=cells, search_path=path)


def _shares(fact: Fact) -> dict[str, str]:
    shares = {}
    held, every = fact.get("canary_functions"), fact.get("functions")
    if isinstance(held, int) and isinstance(every, int) and every > 0:
        shares["canary"] = f"{held}/{every}"
    checked, unchecked = fact.get("fortified"), fact.get("unfortified")
    if isinstance(checked, list) and isinstance(unchecked, list) and checked:
        shares["fortify"] = f"{len(checked)}/{len(checked) + len(unchecked)}"
    return shares
