"""The books of one comparison: every difference is entered once, under a rule or as unexplained."""

from __future__ import annotations

from banbury.compare.equivalence.model import FileVerdict, Range, RuleUse, Unexplained, Verdict
from banbury.compare.equivalence.rules import rules

#: How many ranges of one entry are kept apart; more are joined into the range that spans them.
_MOST_RANGES = 64


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """This file or pair cannot be decided by the method at hand; ``where`` is the field that stands against it."""

    def __init__(self, where: str, why: str, a: list[Range] | None = None, b: list[Range] | None = None) -> None:
        super().__init__(f"{where}: {why}")
        self.where, self.why, self.a, self.b = where, why, a or [], b or []


class Undecided(Refused):
    """The same of what is of a version or kind that nothing here reads, whatever it holds."""


class Account:
    """Collects what was explained and what was not. ``observed`` holds the ids of rules that are withdrawn."""

    def __init__(self, observed: frozenset[str] = frozenset()) -> None:
        self.uses: dict[tuple[str, str], RuleUse] = {}
        self.open: list[Unexplained] = []
        self.notes: list[str] = []
        self.observed = observed

    def explain(self, rule: str, a: list[Range], b: list[Range], detail: str = "") -> None:
        """Enter a difference under ``rule``; as unexplained where that rule is withdrawn for this pair."""
        known = rules()[rule]
        if rule in self.observed:
            self.refuse(rule, "the program reads what this rule would leave out: withdrawn", a, b)
            return
        use = self.uses.get((rule, detail))
        if use:
            a, b = [*use.a, *a], [*use.b, *b]
        self.uses[rule, detail] = RuleUse(
            rule=rule, tier=known.tier, a=joined(a), b=joined(b), assumption=known.assumption, detail=detail
        )

    def refuse(self, where: str, why: str, a: list[Range] | None = None, b: list[Range] | None = None) -> None:
        """Enter a difference that nothing accounts for."""
        self.open.append(Unexplained(where=where, why=why, a=joined(a or []), b=joined(b or [])))

    def refused(self, answer: Refused) -> None:
        self.refuse(answer.where, answer.why, answer.a, answer.b)

    def take(self, other: Account) -> None:
        """Enter everything that another account of the same pair holds."""
        self.uses.update(other.uses)
        self.open += other.open
        self.notes += other.notes

    def verdict(self, best: Verdict) -> FileVerdict:
        """``best`` where everything is accounted for, else ``unexplained``."""
        return FileVerdict(
            verdict=Verdict.UNEXPLAINED if self.open else best,
            rules=[self.uses[key] for key in sorted(self.uses)],
            unexplained=self.open,
            notes=self.notes,
        )


def joined(ranges: list[Range]) -> list[Range]:
    """Ranges in order, touching ones joined; the closest ones too where there are too many to list."""
    out: list[Range] = []
    for item in sorted(ranges, key=lambda r: (r.start, r.end)):
        if out and item.start <= out[-1].end:
            out[-1] = Range(out[-1].start, max(out[-1].end, item.end))
        else:
            out.append(item)
    if len(out) <= _MOST_RANGES:
        return out
    gaps = sorted((out[i + 1].start - out[i].end for i in range(len(out) - 1)), reverse=True)
    least = gaps[_MOST_RANGES - 2]
    short = [out[0]]
    for item in out[1:]:
        if item.start - short[-1].end < max(least, 1) or len(short) >= _MOST_RANGES:
            short[-1] = Range(short[-1].start, item.end)
        else:
            short.append(item)
    return short
