"""The report as one HTML file that needs no server, no network and nothing beside it.

Everything from the submission goes through autoescaping and :func:`banbury.present.text.safe`; the page's own policy
allows no script but the one it carries (by hash) and no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import banbury
from banbury.lab.store import BlobStore, mapped
from banbury.model.errors import StoreError
from banbury.model.evaluation import Evaluation, Evidence
from banbury.present import figures, tables
from banbury.present.text import hexdump, human, octal, percent, safe

TEMPLATES = Path(__file__).parent / "templates"
#: Hex dumps shown in all, and bytes of each; the JSON and the store have the rest.
DUMP_LIMIT = 400
_DUMP_BYTES = 96
TREE_LIMIT = 30_000


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else safe(value),
    )
    environment.filters.update(human=human, percent=percent, octal=octal)
    return environment


def render_html(evaluation: Evaluation, store: BlobStore) -> str:
    """The whole report. Bytes for the evidence's hex dumps are read from ``store``."""
    style = (TEMPLATES / "report.css").read_text("utf-8")
    script = (TEMPLATES / "report.js").read_text("utf-8")
    pinned = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    context: dict[str, Any] = {
        "e": evaluation,
        "version": banbury.__version__,
        "style": Markup(style),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "script_hash": pinned,
        "maps": [
            (i, figures.draw_map(i, evaluation), figures.outline(i, evaluation)) for i in evaluation.ledger.images
        ],
        "touched": tables.findings_by_touch(evaluation),
        "severities": tables.severity_counts(evaluation.findings),
        "hardening": tables.hardening(evaluation),
        "inventory": tables.inventory(evaluation),
        "tree": tables.tree(evaluation),
        "tree_limit": TREE_LIMIT,
        "dump": _Dumper(store).dump,
        "dump_limit": DUMP_LIMIT,
        "changes": _changes(evaluation),
    }
    return _environment().get_template("report.html.j2").render(context)


def _changes(evaluation: Evaluation) -> dict[str, list[Any]]:
    if evaluation.comparison is None:
        return {}
    kinds: dict[str, list[Any]] = {k: [] for k in ("added", "removed", "changed", "similar", "moved", "attributes")}
    for change in evaluation.comparison.changes:
        kinds[change.kind].append(change)
    return kinds


class _Dumper:
    """Hex dumps of evidence, a bounded number of them."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._left = DUMP_LIMIT

    def dump(self, evidence: Evidence) -> list[str]:
        """The first bytes of the evidence; nothing where it has no offset or the limit is reached."""
        if evidence.start < 0 or evidence.length <= 0 or self._left <= 0:
            return []
        self._left -= 1
        try:
            with mapped(self._store, evidence.sha256) as data:
                length = min(evidence.length, _DUMP_BYTES)
                return list(hexdump(bytes(data[evidence.start : evidence.start + length]), evidence.start))
        except StoreError:
            return []
