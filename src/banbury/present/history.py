"""The result of a comparison with a repository's history for a person: a few lines, or one page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from banbury.compare.history.report import FileStatus, HistoryReport
from banbury.present import page
from banbury.present.text import clip

ROWS: Final = 1000
_LISTED: Final = 25
_SAID: Final = {
    "same": "All that the release holds is the tag's, byte for byte.",
    "regenerated": "All that the release holds is the tag's, or was generated again from it and is the same.",
    "differs": "The release holds source that nothing shows to be the tag's.",
}
LIMITS: Final = (
    "A release that is its tag is as good as the review of that tag. Nothing here says who may write to the "
    "repository. Signatures of tags are named and not verified. A file that is recognised as generated is not shown "
    "to be what the tool writes, unless it was generated again. The repository's own test inputs can carry a payload "
    "as well."
)


def said(verdict: str) -> str:
    """A verdict as a sentence."""
    return _SAID[verdict]


def lines(found: HistoryReport) -> Iterator[str]:
    """The result for a terminal."""
    yield f"{found.verdict}: {said(found.verdict)}"
    if found.found:
        yield f"  {origin(found)}"
    yield "  files: " + ", ".join(f"{n} {s}" for s, n in found.counts.items() if n)
    by_path = {f.path: f for f in found.files}
    for path in found.unverified[:_LISTED]:
        yield f"  {clip(path)}: {remark(found, by_path[path])}"
    if len(found.unverified) > _LISTED:
        yield f"  and {len(found.unverified) - _LISTED} more"


def origin(found: HistoryReport) -> str:
    """The commit in words."""
    at = found.found
    assert at is not None
    when = time.strftime("%Y-%m-%d", time.gmtime(at.when)) if at.when >= 0 else "at no stated time"
    signed = "with a signature that was not verified" if at.signed else "not signed"
    return f"{clip(at.ref)} is commit {at.commit[:16]} of {when} ({signed}): {clip(at.subject)}"


def remark(found: HistoryReport, row: FileStatus) -> str:
    """What is to be said of one file that is not shown to be the tag's."""
    parts = [str(row.status)]
    if row.twice:
        parts.append("there is more than one file of this name")
    if row.kind == "submodule":
        parts.append("its content is in another repository")
    for mark, line in row.marks:
        parts.append(f"line {line}: {found.tables[mark]['title']}")
    if row.origin:
        parts.append(f"looks like what {found.tables[row.origin]['tool']} writes")
    elif row.build:
        parts.append("a build reads or runs it")
    if row.broken:
        parts.append(f"a packed file that does not decode ({clip(row.broken)})")
    elif row.opaque:
        parts.append("nothing here knows what it holds")
    return "; ".join(parts)


def render(found: HistoryReport) -> str:
    """The page. Long tables are cut and say so; the JSON has everything."""
    by_path = {f.path: f for f in found.files}
    context: dict[str, Any] = {
        "r": found,
        "open": [by_path[path] for path in found.unverified],
        "odd": [f for f in found.files if (f.broken or f.opaque) and f.path not in set(found.unverified)],
        "rows": ROWS,
        "limits": LIMITS,
        "remark": remark,
        "origin": origin,
    }
    return page.render("history.html.j2", context, style=page.read("report.css"), said=said)
