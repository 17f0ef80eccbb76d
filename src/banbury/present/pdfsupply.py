"""What the PDF shows of the supply chain, as plain data for its template."""

from __future__ import annotations

from typing import Any, Final

from banbury.model.evaluation import Evaluation
from banbury.present.supply import ComponentRow, MatchRow, SupplyView, bill_lines, supply_view
from banbury.present.text import broken, clip, counted, grouped

#: Rows of the tables: the first page's, matches, claims, discrepancies, components, feeds.
_FIRST: Final = 5
_MATCHES, _SUPPORT, _DECLARED, _COMPONENTS, _FEEDS = 40, 30, 30, 60, 12


def supply_content(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that the template prints; empty for an evaluation without a supply chain."""
    view = supply_view(evaluation)
    if view is None:
        return {}
    chain = view.chain
    return {
        "matched": view.matched,
        "lacking": view.lacking,
        "sentences": view.sentences,
        "tiles": [[grouped(n), text, lacking and n > 0] for n, text, _, lacking in view.tiles],
        "first": [_match(m) for m in view.matches[:_FIRST]],
        "matches": [_match(m) for m in view.matches[:_MATCHES]],
        "matches_more": max(len(view.matches) - _MATCHES, 0),
        "settled": _settled(view),
        "unmatched": len(chain.unmatched),
        "feeds": [_feed(f.feed, str(f.kind), f.records, f.newest, f.age) for f in view.feeds[:_FEEDS]],
        "feeds_more": max(len(view.feeds) - _FEEDS, 0),
        "support": [
            [broken(s.row.name, 60), s.says, str(s.claim.claim), broken(s.claim.source, 140), s.pressing]
            for s in view.support[:_SUPPORT]
        ],
        "support_more": max(len(view.support) - _SUPPORT, 0),
        "unclaimed": len(chain.unclaimed),
        "bills": [clip(line, 300) for line in bill_lines(chain)][:_DECLARED],
        "declared": [
            [broken(d.kind, 20), broken(d.name, 60), broken(d.declared, 40), broken(d.found, 40), broken(d.says, 160)]
            for d, _ in view.discrepancies[:_DECLARED]
        ],
        "declared_more": max(len(view.discrepancies) - _DECLARED, 0),
        "components": [_component(row) for row in view.components[:_COMPONENTS]],
        "components_more": max(len(view.components) - _COMPONENTS, 0),
    }


def _match(row: MatchRow) -> list[str]:
    match = row.match
    score = f"{match.cvss:.1f}" if match.cvss >= 0 else ""
    epss = f"{match.epss:.3f}" if match.epss >= 0 else ""
    name = broken(match.vulnerability, 40)
    return [name, broken(row.row.name, 60), str(row.state), match.exploited[:10], epss, score, broken(row.why, 130)]


def _settled(view: SupplyView) -> str:
    return counted(len(view.settled), "match is settled", "matches are settled") if view.settled else ""


def _feed(name: str, kind: str, records: int, newest: str, age: int) -> list[str]:
    return [broken(name, 60), kind, grouped(records), newest[:10] or "not dated", grouped(age) if age >= 0 else ""]


def _component(row: ComponentRow) -> list[str]:
    known = [f"{n} {state}" for state, n in row.counts.items() if n and state not in ("not affected", "fixed")]
    known += [f"{row.exploited} exploited"] if row.exploited else []
    known += [f"support: {row.ended}"] if row.ended else []
    known += ["sources disagree"] if row.component.disagreements else []
    runs = ", ".join(short for short, _ in row.conditions)
    return [broken(row.name, 70), row.grade, broken(row.techniques, 60), runs, broken(", ".join(known), 120)]
