"""The result of an equivalence comparison for a person: a few lines, or one page that needs no network.

The page is made like the evaluation's (:mod:`banbury.present.html`): everything from the files is data, autoescaped,
and the page's policy allows no script and no style but its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from banbury.compare.equivalence.model import Verdict
from banbury.compare.equivalence.report import EquivalenceReport, FileReport
from banbury.present.html import TEMPLATES
from banbury.present.text import clip, counted, grouped, hexdump, human, percent, safe

#: Files shown of each verdict, ranges of each rule, and what is listed in the terminal.
ROWS: Final = 500
_RANGES: Final = 6
_LISTED: Final = 25
_SAID: Final = {
    Verdict.IDENTICAL: "Both are the same, byte for byte.",
    Verdict.METADATA: "They differ only in data that cannot change what the programs do.",
    Verdict.RELAYOUT: "The programs do the same; some are laid out differently, and every reference was checked.",
    Verdict.REBUILD: "The differences vanish in a controlled rebuild with one named value changed.",
    Verdict.FUNCTIONAL: "They differ in what a program or the system would do.",
    Verdict.UNEXPLAINED: "Some differences could not be accounted for. They are not shown to be harmless.",
}
_LIMITS: Final = (
    "Equivalence ties the shipped files to the rebuilt ones, and so to the source they were built from. It says "
    "nothing of the source itself, nor of the compiler and tools that both builds trust, nor of what was not compared. "
    "Rules that rest on a declaration or an assumption are named below with it."
)


def said(verdict: Verdict) -> str:
    """A verdict as a sentence for a manager."""
    return _SAID[verdict]


def lines(found: EquivalenceReport) -> Iterator[str]:
    """The result for a terminal: the verdict, the numbers, and the first files that are not equivalent."""
    yield f"{found.verdict}: {said(found.verdict)}"
    counts = ", ".join(f"{n} {v}" for v, n in found.totals.files.items() if n)
    yield f"  files: {counts}"
    if found.totals.code:
        share = percent(found.totals.proved_code, found.totals.code)
        yield f"  program code shown to do the same: {share} of {human(found.totals.code)}"
    bad = [f for f in found.files if not f.own.equivalent]
    for file in bad[:_LISTED]:
        yield f"  {file.own}: {clip(file.path)}: {clip(reason(file))}"
    if len(bad) > _LISTED:
        yield f"  and {len(bad) - _LISTED} more"


def reason(file: FileReport) -> str:
    """Why a file is not equivalent, in one line."""
    parts = [change(c.what, c.a, c.b) for c in file.changes]
    if file.functions:
        names = [f.name or f"{f.b or f.a:#x}" for f in file.functions[:5]]
        parts.append(f"{counted(len(file.functions), 'function')} changed ({', '.join(names)})")
    parts += [f"{u.where}: {u.why}" for u in file.unexplained[:3]]
    return "; ".join(parts)


def change(what: str, a: str, b: str) -> str:
    """An attribute's change: rebuilt first, then shipped."""
    if what in ("added", "removed"):
        side = "only the shipped side has it" if what == "added" else "only the rebuilt side has it"
        return f"{side} ({b or a})"
    return f"{what} {a} rebuilt, {b} shipped"


def render(found: EquivalenceReport) -> str:
    """The page. Long tables are cut and say so; the JSON has everything."""
    style = (TEMPLATES / "report.css").read_text("utf-8")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else safe(value),
    )
    environment.filters.update(
        clip=clip, counted=counted, grouped=grouped, human=human, percent=percent, said=said, reason=reason,
        ranges=_ranges,
    )  # fmt: skip
    groups = _groups(found.files)
    context: dict[str, Any] = {
        "r": found,
        "groups": groups,
        "rows": ROWS,
        "limits": _LIMITS,
        "change": change,
        "dump": _dump,
        "style": Markup(style),  # noqa: S704 - our own file
        "style_hash": base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    }
    return environment.get_template("equivalence.html.j2").render(context)


def _groups(files: Iterable[FileReport]) -> dict[Verdict, list[FileReport]]:
    """Files by their own verdict, the worst first."""
    out: dict[Verdict, list[FileReport]] = {v: [] for v in reversed(Verdict)}
    for file in files:
        out[file.own].append(file)
    return {verdict: rows for verdict, rows in out.items() if rows}


def _dump(start: int, raw: str) -> list[str]:
    return list(hexdump(bytes.fromhex(raw), start))


def _ranges(ranges: list[Any]) -> str:
    shown = ", ".join(f"{r.start:#x}–{r.end:#x}" for r in ranges[:_RANGES])
    return f"{shown} and {len(ranges) - _RANGES} more" if len(ranges) > _RANGES else shown or "–"
