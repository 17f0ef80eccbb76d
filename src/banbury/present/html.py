"""The report as one HTML file that needs no server, no network and nothing beside it.

Everything from the submission goes through autoescaping and :func:`banbury.present.text.safe`; the page's own policy
allows no script and no style but those it carries (by hash), and no request to anywhere. Long tables are cut: the page
says how much is left out, and the JSON has it.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

import banbury
from banbury.inspect.registry import inspectors
from banbury.lab.blobs import BlobStore, mapped
from banbury.model.errors import StoreError
from banbury.model.evaluation import Evaluation, ImageMap
from banbury.present import figures, page, treemap
from banbury.present.changes import changes
from banbury.present.facts import by_tag, title, traits
from banbury.present.findings import findings_by_touch, severity_counts, untouched
from banbury.present.gaps import Sort, gaps, unread_inside
from banbury.present.hardening import VALUES, hardening, named
from banbury.present.inventory import inventory
from banbury.present.rebuilds import file_reason, rebuild_views
from banbury.present.supply import bill_lines, supply_view
from banbury.present.text import hexdump
from banbury.present.tree import tree
from banbury.present.treelist import render_tree
from banbury.present.validation import Measured

#: Hex dumps shown in all, and bytes of each; the JSON and the store have the rest.
DUMP_LIMIT = 600
_DUMP_BYTES = 96
TREE_LIMIT = 60_000
#: Rows of the page's tables.
_ROWS = {
    "gap_rows": 300,
    "part_rows": 60,
    "change_rows": 1000,
    "program_rows": 1500,
    "match_rows": 400,
    "settled_rows": 150,
    "support_rows": 400,
    "component_rows": 1500,
    "evidence_rows": 16,
    "loose_rows": 120,
}
#: Findings in the page, about, and the least of each rule.
_FINDINGS, _LEAST_FINDINGS = 4000, 25
#: Images with a map of their own (the others have their strip), and rectangles of all maps together.
_MAPS, _BOXES = 60, 16_000
#: Images with a strip.
_STRIPS = 500
_CATEGORIES = {
    "program": "programs and libraries",
    "kernel": "kernel and modules",
    "script": "scripts",
    "text": "text, settings, keys",
    "media": "web pages and media",
    "data": "other data",
    "rest": "no file: padding, headers, gaps",
}


_FILTERS: Final[dict[str, Any]] = {
    "file_reason": file_reason,
    "measure": named,
    "position": lambda values, value: list(values).index(value),
    "share": lambda part, whole: max(1, round(100 * part / whole)) if whole else 0,
}


class DrawnImage(Struct, frozen=True, kw_only=True):
    """One image with its strip and, for the first of them, its map. ``inside`` counts unread bytes of what came out."""

    image: ImageMap
    strip: figures.MapFigure
    figure: figures.MapFigure | None
    parts: list[figures.Part]
    inside: int


def render_html(evaluation: Evaluation, store: BlobStore, measured: Measured | None = None) -> str:
    """The whole report. Bytes for the evidence's hex dumps are read from ``store``; ``measured`` is how well the
    detectors do on the sample, where that was measured with the method of this evaluation."""
    context: dict[str, Any] = {
        "e": evaluation,
        "nodes": evaluation.nodes,
        "title": title(evaluation.release),
        "version": banbury.__version__,
        "dump": _Dumper(store).dump,
        **_ROWS,
        **_coverage(evaluation),
        **_facts(evaluation),
        **_findings(evaluation),
        **_tree(evaluation),
        "maps": drawn_images(evaluation),
        "image_count": len(evaluation.ledger.images),
        "changes": changes(evaluation),
        "rebuilds": rebuild_views(evaluation),
        "supply": supply_view(evaluation),
        "bill_lines": list(bill_lines(evaluation.supply)) if evaluation.supply else [],
        "measured": measured,
        "scores": {row.rule: row for row in measured.rows} if measured else {},
    }
    style, script = page.read("report.css") + _widths(), page.read("report.js")
    return page.render("report.html.j2", context, style=style, script=script, **_FILTERS)


def _widths() -> str:
    """A class for each width in per cent: the policy allows no style in an attribute."""
    return "".join(f".w{n}{{width:{n}%}}" for n in range(101))


def _coverage(evaluation: Evaluation) -> dict[str, Any]:
    found = gaps(evaluation)
    images = evaluation.ledger.images
    return {
        "gaps": found,
        "by_sort": {str(sort): [g for g in found if g.sort is sort] for sort in Sort},
        "total": sum(i.size for i in images),
        "inside": sum(s.end - s.start for s in evaluation.ledger.unread),
        "lost": sum(i.totals.get("unread", 0) for i in images),
        "blind_spots": _blind_spots,
    }


def _blind_spots(tool: str) -> list[str]:
    inspector = inspectors().get(tool)
    return list(inspector.blind_spots) if inspector else []


def _facts(evaluation: Evaluation) -> dict[str, Any]:
    facts = by_tag(evaluation)
    matrix = hardening(facts)
    return {
        "traits": traits(evaluation, facts),
        "hardening": matrix,
        "values": VALUES,
        "search_paths": any(p.search_path for p in matrix.programs),
        "inventory": inventory(facts),
    }


def _findings(evaluation: Evaluation) -> dict[str, Any]:
    touched = findings_by_touch(evaluation)
    rules = sum(len(t.groups) for t in touched)
    few = len(evaluation.findings) <= _FINDINGS
    return {
        "touched": touched,
        "untouched": untouched(evaluation),
        "severities": severity_counts(evaluation.findings),
        "finding_rows": _FINDINGS if few else max(_LEAST_FINDINGS, _FINDINGS // max(rules, 1)),
    }


def _tree(evaluation: Evaluation) -> dict[str, Any]:
    roots = tree(evaluation)
    markup, left_out = render_tree(roots, TREE_LIMIT)
    return {
        "tree": markup,
        "tree_left_out": left_out,
        "tiles": treemap.treemap(roots),
        "treemap_size": (treemap.WIDTH, treemap.HEIGHT),
        "categories": _CATEGORIES,
    }


def drawn_images(evaluation: Evaluation) -> list[DrawnImage]:
    """Every image drawn; where there are many, those with most unread bytes first."""
    images = list(evaluation.ledger.images)
    inside = unread_inside(evaluation)
    if len(images) > 3:
        images.sort(key=lambda i: (-i.totals.get("unread", 0), -inside.get(i.node, 0)))
    limit = max(150, _BOXES // max(len(images), 1))
    return [
        DrawnImage(
            image=image,
            strip=figures.draw_map(image, evaluation, rows=1, limit=120),
            figure=figures.draw_map(image, evaluation, limit=limit) if number < _MAPS else None,
            parts=figures.outline(image, evaluation) if number < _MAPS else [],
            inside=inside.get(image.node, 0),
        )
        for number, image in enumerate(images[:_STRIPS])
    ]


class _Dumper:
    """Hex dumps of evidence, a bounded number of them."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._left = DUMP_LIMIT

    def dump(self, digest: str, start: int, length: int) -> list[str]:
        """The first bytes of a stretch; nothing where it has no offset, is not in the store or the limit is reached."""
        if start < 0 or length <= 0 or self._left <= 0:
            return []
        self._left -= 1
        try:
            with mapped(self._store, digest) as data:
                return list(hexdump(bytes(data[start : start + min(length, _DUMP_BYTES)]), start))
        except StoreError:
            return []
