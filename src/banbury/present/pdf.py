"""The report as PDF, set by typst from fonts that it carries: no clock, no system font, so the same bytes every time.

The evaluation reaches the template as JSON data and is never parsed as markup, so no name in a release can be
anything but text. Characters that the carried fonts lack are shown as escapes.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import banbury
from banbury.model.evaluation import Evaluation, Finding
from banbury.present import figures, tables
from banbury.present.text import human, percent, safe

_TEMPLATE = Path(__file__).parent / "templates" / "report.typ"
#: Rows of the longer tables; what is left out is counted on the page and complete in the JSON.
_ROWS = 60
_COLOURS = {"structure": "#d9a53a", "padding": "#d5dae0", "unread": "#c8322b"}
_OPENED = ("#2a7f8e", "#4b9c79", "#5a7fb5", "#8a7ab0")


def render_pdf(evaluation: Evaluation) -> bytes:
    """The PDF's bytes."""
    import typst

    data = msgspec.json.encode(_printable(_content(evaluation)))
    sources: dict[str, bytes | str] = {"main.typ": _TEMPLATE.read_bytes(), "data.json": data}
    for number, image in enumerate(evaluation.ledger.images):
        sources[f"map-{number}.svg"] = _svg(figures.draw_map(image, evaluation)).encode()
    compiled: Any = typst.compile(sources, ignore_system_fonts=True, format="pdf")  # type: ignore[call-overload]
    return bytes(compiled)


@cache
def _covered(character: str) -> bool:
    """Whether the fonts that typst carries are known to have the character: Latin, Greek, Cyrillic, punctuation."""
    code = ord(character)
    known = code < 0x0530 or 0x1E00 <= code < 0x2070 or 0x20A0 <= code < 0x20C0 or 0x2190 <= code < 0x2300
    return known and unicodedata.category(character)[0] != "M"


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        text = safe(value)
        return "".join(c if _covered(c) else f"\\u{ord(c):04x}" for c in text) if not text.isascii() else text
    if isinstance(value, dict):
        return {k: _printable(v) for k, v in value.items()}
    return [_printable(v) for v in value] if isinstance(value, list) else value


def _content(evaluation: Evaluation) -> dict[str, Any]:
    ledger = evaluation.ledger
    return {
        "label": evaluation.release.label,
        "program": f"banbury {banbury.__version__}",
        "as_of": evaluation.as_of,
        "baseline": evaluation.comparison.baseline.label if evaluation.comparison else "",
        "artefacts": [[a.name, str(a.role), str(a.size), a.sha256] for a in evaluation.release.artefacts],
        "images": [_image(evaluation, number) for number in range(len(ledger.images))],
        "unread": _unread(evaluation),
        "coverage": [[c.title, str(c.done), str(c.failed), str(c.skipped)] for c in ledger.coverage],
        "trouble": [f"{t.tool}: {t.why}" for t in ledger.not_unpacked] + ledger.limits_hit,
        "checks": [ledger.checks_ok, len(ledger.checks_failed)],
        "contents": [ledger.contents, human(ledger.content_bytes)],
        "severities": tables.severity_counts(evaluation.findings),
        "touched": [_touched(t) for t in tables.findings_by_touch(evaluation)],
        "hardening": _hardening(evaluation),
        "changes": _changes(evaluation),
        "inventory": [[t.title, str(t.total)] for t in tables.inventory(evaluation)],
        "identity": evaluation.release.id,
        "rules": evaluation.rules_digest,
        "rows": _ROWS,
    }


def _image(evaluation: Evaluation, number: int) -> dict[str, Any]:
    image = evaluation.ledger.images[number]
    parts = figures.outline(image, evaluation)
    return {
        "name": image.name,
        "size": str(image.size),
        "totals": {k: percent(v, image.size) for k, v in image.totals.items()},
        "map": f"map-{number}.svg",
        "parts": [[f"{p.start:#x}", f"{p.end:#x}", str(p.end - p.start), p.name, p.fate] for p in parts[:_ROWS]],
        "more": max(len(parts) - _ROWS, 0),
    }


def _unread(evaluation: Evaluation) -> dict[str, Any]:
    rows = []
    for stretches in [*(i.stretches for i in evaluation.ledger.images), evaluation.ledger.unread]:
        for s in stretches:
            if s.fate == "unread":
                where = evaluation.nodes[s.node].where
                rows.append([where, f"{s.start:#x}", str(s.end - s.start), f"{s.entropy:.2f}", s.name])
    return {"rows": rows[:_ROWS], "more": max(len(rows) - _ROWS, 0)}


def _touched(part: tables.Touched) -> dict[str, Any]:
    return {"name": part.name, "count": part.count, "rules": [_rule(g) for g in part.groups]}


def _rule(group: tables.RuleGroup) -> dict[str, Any]:
    return {
        "title": group.rule.title,
        "severity": str(group.rule.severity),
        "grade": str(group.rule.grade),
        "why": group.rule.why,
        "remedy": group.rule.remedy,
        "id": group.rule.id,
        "findings": [_finding(f) for f in group.findings[:12]],
        "more": max(len(group.findings) - 12, 0),
    }


def _finding(finding: Finding) -> dict[str, str]:
    first = finding.evidence[0] if finding.evidence else None
    at = f"{first.locator} at {first.start:#x}" if first and first.start >= 0 else first.locator if first else ""
    return {"message": finding.message, "at": at, "status": str(finding.status or "")}


def _hardening(evaluation: Evaluation) -> dict[str, Any]:
    matrix = tables.hardening(evaluation)
    rows = [
        [m.replace("_", " "), *(str(t.get(v, 0)) for v in tables.VALUES)]
        for m, t in zip(matrix.measures, matrix.totals, strict=True)
    ]
    return {"programs": len(matrix.programs), "rows": rows, "values": list(tables.VALUES)}


def _changes(evaluation: Evaluation) -> dict[str, Any]:
    comparison = evaluation.comparison
    if comparison is None:
        return {}
    counts: dict[str, int] = {}
    for change in comparison.changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
    return {
        "unchanged": comparison.unchanged,
        "counts": [[k, str(v)] for k, v in sorted(counts.items())],
        "new": [f"{f.title}: {f.where}" for f in evaluation.findings if f.status == "new"][:_ROWS],
        "gone": [f"{f.title}: {f.where}" for f in comparison.gone][:_ROWS],
        "limits": comparison.limits,
    }


def _svg(figure: figures.MapFigure) -> str:
    """The map as SVG. Only numbers and our own colours are in it."""
    boxes = "".join(
        f'<rect x="{b.x}" y="{b.y}" width="{b.width}" height="{b.height}" '
        f'fill="{_COLOURS.get(b.fate, _OPENED[b.group])}"/>'
        for b in figure.boxes
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {figure.width} {figure.height}" '
        f'width="{figure.width}" height="{figure.height}">{boxes}</svg>'
    )
