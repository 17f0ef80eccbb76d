"""The result of an equivalence comparison for a person: a few lines, or one page that needs no network and no script.

The page is made like the evaluation's (:mod:`banbury.present.page`): everything from the files is data, autoescaped,
and the page's policy allows no script and no style but its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from banbury.compare.equivalence.model import Verdict
from banbury.compare.equivalence.report import EquivalenceReport, FileReport
from banbury.present import page
from banbury.present.sidebyside import HexRow, hex_rows
from banbury.present.text import clip, counted, human, percent
from banbury.present.verdicts import SAID, said

#: Files shown in full of each verdict, names in a list, ranges of each rule, and what is listed in the terminal.
ROWS: Final = 300
NAMES: Final = 500
_RANGES: Final = 6
_LISTED: Final = 25
_DECIDING: Final = 15
_FIRST: Final = 3
#: What of a reason is a name, a number or a quotation: it tells no sorts of reasons apart.
_NAMED: Final = re.compile(r"0x[0-9a-f]+|[0-9]+|“[^”]*”|\"[^\"]*\"|'[^']*'|\([^()]*\)")
#: What a manager must know that no verdict says.
LIMITS: Final = [
    "that the reviewed source is free of faults or back doors: of the source itself, equivalence says nothing",
    "that the compiler and the tools are honest: both builds trust them",
    "anything about what was not compared: files that only one side has, containers that are not taken apart",
    "that two files which differ do harm: “unexplained” means that it was not shown, not that it is wrong",
]


def lines(found: EquivalenceReport) -> Iterator[str]:
    """The result for a terminal: the verdict, the numbers, and the first files that are not equivalent."""
    yield f"{found.verdict}: {said(found.verdict)}"
    for sentence in premises(found):
        yield f"  {sentence}"
    counts = ", ".join(f"{n} {v}" for v, n in found.totals.files.items() if n)
    yield f"  files: {counts}"
    if found.totals.code:
        share = percent(found.totals.proved_code, found.totals.code)
        yield f"  program code shown to do the same: {share} of {human(found.totals.code)}"
    cut = False
    for used in assumptions(found):
        where = "" if len(found.files) == 1 else f" ({counted(used.files, 'file')})"
        first, more, _ = used.text.partition(". ")
        cut |= bool(more)
        yield f"  rests on {used.tier} {used.rule}{where}: {first}{more and '. …'}"
    if cut:
        yield "  each in full, with what an adversary can do where it does not hold: --html or --json"
    bad = [f for f in found.files if not f.own.equivalent]
    groups: dict[tuple[Verdict, str], list[FileReport]] = {}
    for file in bad:
        groups.setdefault((file.own, reason(file)), []).append(file)
    listed = list(groups.items())[:_LISTED]
    for (own, why), files in listed:
        more = f" and {counted(len(files) - 1, 'more file')}" if len(files) > 1 else ""
        yield f"  {own}: {clip(files[0].path)}{more}: {clip(why)}"
    if len(groups) > _LISTED:
        yield f"  and {len(bad) - sum(len(files) for _, files in listed)} more"


def premises(found: EquivalenceReport) -> list[str]:
    """What should be known before any difference is read: the two were not built from the same."""
    versions = [e for e in found.environment if e.kind == "version"]
    tools = [e for e in found.environment if e.kind == "toolchain"]
    out = []
    if versions:
        first = versions[0]
        more = f", and {counted(len(versions) - 1, 'more package')}" if len(versions) > 1 else ""
        out.append(
            f"Source version differs: {clip(first.subject)} is {clip(first.a)} rebuilt, {clip(first.b)} shipped{more}."
        )
    if tools:
        first = tools[0]
        out.append(
            f"Environment not reproduced: {clip(first.subject)} was made by {clip(first.a)} rebuilt, "
            f"{clip(first.b)} shipped."
        )
    if out:
        out.append("Differences of code are then to be expected; rebuild the same version with the same tools first.")
    if lengths := [e for e in found.environment if e.kind == "length"]:
        said = ", ".join(f"{clip(e.subject)} ({clip(e.a)} rebuilt, {clip(e.b)} shipped)" for e in lengths[:4])
        out.append(
            f"A declared value has another length: {said}. What stands behind it in a program has moved, which "
            "often cannot be decided; under values of the shipped ones' lengths nothing need move: rebuild so."
        )
    return out


def within(path: str) -> str:
    """A path without the name of what was handed in, which is the same for all."""
    return path.partition("!/")[2] or path


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
    return f"{what} {a or '(none)'} rebuilt, {b or '(none)'} shipped"


class Assumed(Struct, frozen=True, kw_only=True):
    """An assumption or declaration that the verdict rests on, and in how many files."""

    rule: str
    title: str
    tier: str
    text: str
    files: int


def assumptions(found: EquivalenceReport) -> list[Assumed]:
    """What the verdict rests on beside the consumers' documented behaviour, most used first."""
    counts: dict[str, int] = {}
    for file in found.files:
        for rule in {u.rule for u in file.rules if u.tier != "sound"}:
            counts[rule] = counts.get(rule, 0) + 1
    out = []
    for rule, number in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        known = found.rules.get(rule, {})
        text = known.get("assumption") or "Rests on what the two build records declare."
        tier, title = str(known.get("tier", "")), str(known.get("title", rule))
        out.append(Assumed(rule=rule, title=title, tier=tier, text=text, files=number))
    return out


def render(found: EquivalenceReport, second: Mapping[str, str] | None = None) -> str:
    """The page. Long tables are cut and say so; the JSON has everything. ``second``: another tool's output by path."""
    files = _files(found.files)
    deciding, deciding_more = _deciding(found)
    context: dict[str, Any] = {
        "r": found,
        **files,
        "deciding": deciding,
        "deciding_more": deciding_more,
        "premises": premises(found),
        "assumed": assumptions(found),
        "rows": ROWS,
        "names_limit": NAMES,
        "bad": sum(not f.own.equivalent for f in found.files),
        "verdict_said": {str(v): text for v, text in SAID.items()},
        "marks": {"=": "same", "~": "moved", "!": "changed", "-": "removed", "+": "added", "…": "fold"},
        "limits": LIMITS,
        "change": change,
        "hex": _hex,
        "second": second or {},
    }
    style = page.read("report.css", "equivalence.css")
    return page.render(
        "equivalence.html.j2", context, style=style, said=said, reason=reason, ranges=_ranges, within=within
    )


class Deciding(Struct, frozen=True, kw_only=True):
    """Files that the verdict comes from for one reason: the first of them, how many there are, and why (of several
    that differ in names and places alone, as it is of the first)."""

    first: list[FileReport]
    files: int
    why: str


def _deciding(found: EquivalenceReport) -> tuple[list[Deciding], int]:
    """What the verdict comes from, a row for each sort of reason: what is handed in first, then where most program code
    is. Also how many further sorts there are."""
    worst = [f for f in found.files if f.own is found.verdict]
    groups: dict[tuple[object, ...], list[FileReport]] = {}
    for file in sorted(worst, key=lambda f: ("!/" in f.path, -f.code, f.path)):
        groups.setdefault(_sort(file), []).append(file)
    rows = [Deciding(first=g[:_FIRST], files=len(g), why=reason(g[0])) for g in groups.values()]
    return rows[:_DECIDING], max(len(rows) - _DECIDING, 0)


def _sort(file: FileReport) -> tuple[object, ...]:
    """What reasons have in common, whatever they name and wherever it is."""
    whys = sorted({_NAMED.sub("", u.why) for u in file.unexplained})
    return (tuple(sorted({c.what for c in file.changes})), bool(file.functions), *whys)


def _files(files: Iterable[FileReport]) -> dict[str, Any]:
    """Files by what is to be said of them: those to look at each, those of one side as lists, those that were shown to
    be equivalent by the rules that account for them, and the names of the others."""
    look: dict[Verdict, list[FileReport]] = {Verdict.UNEXPLAINED: [], Verdict.FUNCTIONAL: []}
    alone: dict[str, list[FileReport]] = {"added": [], "removed": []}
    same: list[FileReport] = []
    shown: dict[tuple[Verdict, tuple[str, ...]], list[FileReport]] = {}
    for file in files:
        what = file.changes[0].what if len(file.changes) == 1 else ""
        if what in alone:
            alone[what].append(file)
        elif not file.own.equivalent:
            look[file.own].append(file)
        elif file.own is Verdict.IDENTICAL:
            same.append(file)
        else:
            shown.setdefault((file.own, tuple(sorted({u.rule for u in file.rules}))), []).append(file)
    groups = sorted(shown.items(), key=lambda item: (-len(item[1]), item[0][0], item[0][1]))
    return {"look": {v: f for v, f in look.items() if f}, "alone": alone, "same": same, "shown": groups}


def _hex(start_a: int, a: str, start_b: int, b: str) -> list[HexRow]:
    return hex_rows(start_a, bytes.fromhex(a), start_b, bytes.fromhex(b))


def _ranges(ranges: list[Any]) -> str:
    shown = ", ".join(f"{r.start:#x}–{r.end:#x}" for r in ranges[:_RANGES])
    return f"{shown} and {len(ranges) - _RANGES} more" if len(ranges) > _RANGES else shown or "–"
