"""What the PDF shows, as plain data for its template: every text fit for the fonts, every table cut to a length that a
reader of paper bears. What is left out is counted on the page and complete in the JSON."""

from __future__ import annotations

import unicodedata
from typing import Any

import banbury
from banbury.model.evaluation import Evaluation, Finding, Severity
from banbury.present.changes import Changes, changes
from banbury.present.facts import Stated, by_tag, title, traits
from banbury.present.findings import RuleGroup, Touched, findings_by_touch, severity_counts, untouched
from banbury.present.gaps import Gap, Sort, gaps
from banbury.present.hardening import VALUES, Hardening, hardening, named
from banbury.present.inventory import Table, inventory
from banbury.present.pdfsupply import supply_content
from banbury.present.rebuilds import RebuildView, file_reason, rebuild_views
from banbury.present.text import BREAK, broken, clip, counted, escape, grouped, human, octal, percent, safe, with_breaks
from banbury.present.validation import Measured

#: Rows of the tables: those of page one, of gaps, findings of a rule, changes, programs, the inventory's.
_FIRST, _GAPS, _FINDINGS, _CHANGES, _PROGRAMS, _INVENTORY = 6, 60, 6, 25, 48, 20
_COLUMNS = 8
#: Images with a map of their own, and with a line.
MAPS = 4
_STRIPS = 60
#: The inventory's tables that the PDF prints; of the others it gives the number of rows.
_PRINTED = (
    "table-account-user",
    "table-account-credential",
    "table-key-private",
    "table-key-certificate",
    "table-startup-network-listener",
    "table-startup-console",
    "table-permission-set-id",
)
#: Characters that the fonts carried by typst have (tested): Latin, Greek, Cyrillic, punctuation, symbols.
_COVERED = (
    (0x20, 0x7E), (0xA1, 0x2FF), (0x370, 0x482), (0x48A, 0x4FF), (0x1E00, 0x1FFE), (0x2010, 0x2027), (0x2030, 0x205E),
    (0x2070, 0x209C), (0x20A0, 0x20C0), (0x2100, 0x2151), (0x2190, 0x23FF), (0x2460, 0x262F),
)  # fmt: skip
#: Files and assumptions listed of each image that was compared with a rebuild.
_REBUILD = 10
#: Characters of a word that fits any column.
_LONG = 24


def covered(character: str) -> bool:
    """Whether the PDF's fonts have this character, and it is drawn from left to right on its own."""
    code = ord(character)
    known = any(first <= code <= last for first, last in _COVERED)
    return known and character.isprintable() and unicodedata.category(character)[0] != "M"


def fit(value: Any) -> Any:
    """A tree of plain data with every text made safe and fit for the fonts; what they lack is written as escapes."""
    if isinstance(value, str):
        text = value if BREAK in value else _breakable(safe(value))
        if text.isascii():
            return text
        return "".join(c if c == BREAK or covered(c) else escape(c) for c in text)
    if isinstance(value, dict):
        return {key: fit(item) for key, item in value.items()}
    return [fit(item) for item in value] if isinstance(value, list) else value


def _breakable(text: str) -> str:
    """A sentence in which words too long for a line may break."""
    if len(text) <= _LONG and text.isascii():
        return text
    return " ".join(with_breaks(word) if _width(word) > _LONG else word for word in text.split(" "))


def _width(word: str) -> int:
    """About how many characters a word takes: what the fonts lack is written as an escape."""
    return len(word) if word.isascii() else sum(1 if covered(c) else 6 for c in word)


def content(evaluation: Evaluation, measured: Measured | None) -> dict[str, Any]:
    """Everything that the template prints."""
    facts = by_tag(evaluation)
    found = gaps(evaluation)
    return {
        "title": clip(title(evaluation.release), 120),
        "program": f"banbury {banbury.__version__}",
        "as_of": evaluation.as_of,
        "date": [int(part) for part in evaluation.as_of.split("-")],
        "baseline": clip(evaluation.comparison.baseline.label, 80) if evaluation.comparison else "",
        "identity": evaluation.release.id,
        "rules": evaluation.rules_digest,
        "traits": [[t.label, clip(t.value, 160)] for t in traits(evaluation, facts)],
        "coverage": _coverage(evaluation, found),
        "rebuilds": [_rebuild(v) for v in rebuild_views(evaluation)[:_STRIPS]],
        "supply": supply_content(evaluation),
        "findings": _findings(evaluation),
        "changes": _changes(evaluation, changes(evaluation)),
        "hardening": _hardening(hardening(facts)),
        "inventory": _inventory(facts),
        "artefacts": [
            [broken(a.name, 90), str(a.role), grouped(a.size), broken(a.sha256)]
            for a in evaluation.release.artefacts[:_STRIPS]
        ],
        "artefacts_more": max(len(evaluation.release.artefacts) - _STRIPS, 0),
        "delivery": _delivery(evaluation),
        "validation": _validation(measured),
        "sizes": {"maps": MAPS, "strips": _STRIPS},
    }


def _validation(measured: Measured | None) -> str:
    if measured is None:
        return "The detectors were not measured with these rules and tools in this workspace."
    t = measured.total
    return (
        f"Measured with these rules and tools on {clip(measured.sample, 120)}, with planted, labelled weaknesses: "
        f"precision {percent(t.found, t.found + t.false)} ({t.found} right, {t.false} false), recall "
        f"{percent(t.found, t.found + t.missed)} ({t.missed} missed). What a release holds beyond what was planted "
        "there, this does not measure."
    )


def _delivery(evaluation: Evaluation) -> str:
    release = evaluation.release
    parts = [
        f"by {release.delivered_by}" if release.delivered_by else "",
        f"on {release.delivered}" if release.delivered else "",
        f"under these terms: {release.terms}" if release.terms else "",
    ]
    return clip(" ".join(p for p in parts if p), 400).rstrip(".")


def _coverage(evaluation: Evaluation, found: list[Gap]) -> dict[str, Any]:
    ledger = evaluation.ledger
    total = sum(i.size for i in ledger.images)
    lost = sum(i.totals.get("unread", 0) for i in ledger.images)
    count = {sort: sum(g.sort is sort for g in found) for sort in Sort}
    done = sum(c.done for c in ledger.coverage)
    return {
        "count": len(found),
        "statement": (
            f"{percent(total - lost, total)} of {counted(total, 'byte')} of images is opened or named; "
            f"{counted(ledger.contents, 'distinct content')} ({human(ledger.content_bytes)}) came out of them, on "
            f"which {counted(done, 'inspection was', 'inspections were')} done. "
            f"{counted(ledger.checks_ok, 'count', 'counts')} that containers state of themselves agree with what was "
            "read."
        ),
        "tiles": [
            [human(lost), "of the images unread"],
            [human(sum(s.end - s.start for s in ledger.unread)), "unread of what came out of them"],
            [grouped(count[Sort.NOT_OPENED] + count[Sort.PARTLY]), "contents not opened, or in part"],
            [grouped(count[Sort.FAILED]), "inspections failed"],
            [grouped(count[Sort.SKIPPED] + count[Sort.LIMITED]), "inspections skipped or limited"],
            [grouped(count[Sort.COUNT] + count[Sort.LIMIT]), "counts disagree, or limits reached"],
        ],
        "first": [_gap(g, evaluation) for g in found[:_FIRST]],
        "rows": [_gap(g, evaluation) for g in found[:_GAPS]],
        "more": max(len(found) - _GAPS, 0),
        "inspectors": [[c.title, grouped(c.done), grouped(c.failed), grouped(c.skipped)] for c in ledger.coverage],
    }


def _rebuild(view: RebuildView) -> dict[str, Any]:
    counts = ", ".join(f"{n} {v}" for v, n in view.counts)
    code = f"{view.claim}: {view.share} of {view.code}." if view.row.totals else ""
    rests = [f"{clip(r.title, 120)} ({r.tier}): {clip(r.text, 300)}" for r in view.row.reliances[:_REBUILD]]
    return {
        "name": broken(view.name, 90),
        "equivalent": view.equivalent,
        "verdict": view.verdict,
        "sentence": view.sentence,
        "method": f"{view.method}. {code} {f'Files: {counts}.' if counts else ''}".strip(),
        "premises": [*view.notes, *view.premises[:6]],
        "rests": rests,
        "files": [
            [broken(f.path, 110), f.verdict if f.how != "nothing" else "only shipped", clip(file_reason(f), 200)]
            for f in view.files[:_REBUILD]
        ],
        "more": max(len(view.files) - _REBUILD, 0),
    }


def _gap(gap: Gap, evaluation: Evaluation) -> list[str]:
    where = evaluation.nodes[gap.node].locator if gap.node >= 0 else ""
    span = f" at {gap.start:#x}, {counted(gap.length, 'byte')}" if gap.start >= 0 else ""
    tool = f"{gap.tool}: " if gap.tool else ""
    return [str(gap.sort), broken(where, 120), f"{tool}{clip(gap.reason, 140)}{span}"]


def _findings(evaluation: Evaluation) -> dict[str, Any]:
    touched = findings_by_touch(evaluation)
    severities = severity_counts(evaluation.findings)
    worst = [g for t in touched for g in t.groups if g.severity in ("critical", "high")]
    worst.sort(key=lambda g: (list(severities).index(str(g.severity)), g.id))
    compared = evaluation.comparison is not None
    return {
        "count": grouped(len(evaluation.findings)),
        "severities": [[name, grouped(number)] for name, number in severities.items()],
        "compared": compared,
        "matrix": [_matrix_row(t, compared=compared) for t in touched],
        "untouched": ", ".join(untouched(evaluation)),
        "worst": [[str(g.severity), clip(g.title, 90), grouped(len(g.findings)), grouped(g.fresh)] for g in worst[:9]],
        "worst_more": max(len(worst) - 9, 0),
        "touched": [_touched(t) for t in touched],
    }


def _matrix_row(part: Touched, *, compared: bool) -> list[str]:
    counts = [grouped(n) if n else "" for n in part.by_severity.values()]
    row = [part.name.capitalize(), *counts, grouped(part.count)]
    return [*row, grouped(part.fresh) if part.fresh else ""] if compared else row


def _touched(part: Touched) -> dict[str, Any]:
    return {"name": part.name.capitalize(), "count": grouped(part.count), "rules": [_rule(g) for g in part.groups]}


def _rule(group: RuleGroup) -> dict[str, Any]:
    about = [group.id, *(f"CWE-{c}" for c in group.cwe), *group.source]
    return {
        "title": clip(group.title, 160),
        "severity": str(group.severity),
        "grade": str(group.grade),
        "count": grouped(len(group.findings)),
        "fresh": group.fresh,
        "why": group.why,
        "remedy": group.remedy,
        "about": " · ".join(about),
        "findings": [_finding(f) for f in group.findings[:_FINDINGS]],
        "more": max(len(group.findings) - _FINDINGS, 0),
    }


def _finding(finding: Finding) -> list[str]:
    first = finding.evidence[0] if finding.evidence else None
    at = f" at {first.start:#x}, {counted(first.length, 'byte')}" if first and first.start >= 0 else ""
    return [
        str(finding.status or ""),
        clip(finding.message, 220),
        broken(first.locator if first else finding.where),
        at,
    ]


def _changes(evaluation: Evaluation, found: Changes | None) -> dict[str, Any]:
    if found is None or evaluation.comparison is None:
        return {}
    everything = sorted(evaluation.comparison.changes, key=lambda c: -abs(c.after_size - c.before_size))
    return {
        "total": grouped(found.total),
        "unchanged": grouped(evaluation.comparison.unchanged),
        "counts": [[grouped(len(g.changes)), g.title] for g in found.groups],
        "findings": [grouped(len(found.fresh)), grouped(found.persist), grouped(len(found.gone))],
        "folders": [
            [broken(f.name, 90), grouped(f.total), ", ".join(f"{n} {k}" for k, n in f.counts.items()), _grown(f.grown)]
            for f in found.folders[:_CHANGES]
        ],
        "folders_more": max(len(found.folders) - _CHANGES, 0),
        "largest": [
            [
                c.kind,
                broken(c.after or c.before, 110),
                _size(c.before_sha256, c.before_size),
                _size(c.after_sha256, c.after_size),
            ]
            for c in everything[:_CHANGES]
        ],
        "new": _by_rule(found.fresh),
        "gone": _by_rule(found.gone),
        "limits": [clip(t) for t in evaluation.comparison.limits],
    }


def _grown(size: int) -> str:
    return f"{'+' if size > 0 else '−' if size < 0 else ''}{human(abs(size))}"


def _size(digest: str, size: int) -> str:
    return human(size) if digest else ""


def _by_rule(found: list[Finding]) -> list[list[str]]:
    """A line for each rule: severity, title, number of findings, the first places."""
    rules: dict[str, list[Finding]] = {}
    for finding in found:
        rules.setdefault(finding.rule, []).append(finding)
    order = list(Severity)
    lines = sorted(rules.values(), key=lambda f: (order.index(f[0].severity), f[0].rule))
    return [
        [str(f[0].severity), clip(f[0].title, 120), grouped(len(f)), ", ".join(broken(x.where, 90) for x in f[:3])]
        for f in lines
    ]


def _hardening(matrix: Hardening) -> dict[str, Any]:
    return {
        "count": counted(len(matrix.programs), "program, library or module", "programs, libraries and modules"),
        "measures": [named(m) for m in matrix.measures],
        "totals": [[t.get(value, 0) for value in VALUES] for t in matrix.totals],
        "values": list(VALUES),
        "left_out": ", ".join(named(m) for m in matrix.left_out),
        "programs": [
            [broken(p.node.name or p.node.where, 60), octal(p.node.mode), p.type, *(c.value for c in p.cells)]
            for p in matrix.programs[:_PROGRAMS]
        ],
        "more": max(len(matrix.programs) - _PROGRAMS, 0),
    }


def _inventory(facts: dict[str, list[Stated]]) -> dict[str, Any]:
    tables = inventory(facts)
    return {
        "printed": [_printed(t) for t in tables if t.anchor in _PRINTED],
        "counts": "; ".join(f"{t.title[0].lower()}{t.title[1:]} ({grouped(t.total)})" for t in tables),
    }


def _printed(table: Table) -> dict[str, Any]:
    columns = [*table.columns[:_COLUMNS], "where"]
    rows = [[*r.cells[:_COLUMNS], r.node.name or r.node.where] for r in table.rows[:_INVENTORY]]
    return {
        "title": table.title,
        "columns": columns,
        "weights": [_weight(columns[i], [r[i] for r in rows]) for i in range(len(columns))],
        "rows": [[broken(c, 60) for c in r] for r in rows],
        "more": max(table.total - _INVENTORY, 0),
    }


def _weight(heading: str, cells: list[str]) -> float:
    """A column's share of the width: its longest cell in characters, within bounds that leave room for the others."""
    word = max(len(w) for w in heading.split())
    return min(max([word, *(len(c) for c in cells)]), 26) + 1.5
