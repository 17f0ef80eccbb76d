"""What was shown of an image, as the evaluation holds it, and as the report that stands beside it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable

from msgspec import Struct, structs

from banbury.compare.equivalence.explained import Environment
from banbury.compare.equivalence.model import Verdict, worst
from banbury.compare.equivalence.outcome import Outcome, flatten
from banbury.compare.equivalence.report import EquivalenceReport, encode, file_report, report, share
from banbury.compare.equivalence.rules import FOLDER, rules
from banbury.compare.rebuilds.matching import Unit
from banbury.compare.rebuilds.premises import merged
from banbury.compare.rebuilds.provenance import OWN
from banbury.model.evaluation import Node
from banbury.model.rebuild import Changed, ComparedFile, FileSystem, LeftOut, Premise, RebuildTotals, Rebuilt, Reliance
from banbury.model.tree import Kind


class Row(Struct, kw_only=True):
    """One shipped unit, how it was matched, its counterpart, of which artefact and by whom that is, and the outcome.
    ``programs`` are the contents of program code in it and in what came out of it: SHA-256, and bytes of code, 0 where
    that could not be measured."""

    unit: Unit
    how: str
    other: Unit | None
    outcome: Outcome
    artefact: int = -1
    builder: str = ""
    programs: dict[str, int] = {}


def compared(row: Row) -> bool:
    """Whether the contents of two files were looked at."""
    return row.other is not None and row.unit.node.kind in (Kind.FILE, Kind.CHUNK)


def stated(
    *,
    image: Node,
    rebuilds: list[Node],
    method: str,
    rows: list[Row],
    outcome: Outcome,
    records: tuple[bool, bool],
    left_out: list[LeftOut],
    file_systems: list[FileSystem],
    builders: list[str],
    tied: bool,
    source: bool,
    keep: Callable[[bytes], str],
    stated_of_themselves: list[Premise],
) -> Rebuilt:
    """The row of one image. The whole report is given to ``keep``."""
    whole = report(outcome, image.name, ", ".join(n.name for n in rebuilds[:5]))
    found = [Premise(kind=e.kind, subject=e.subject, rebuilt=e.a, shipped=e.b) for e in whole.environment]
    found = merged(stated_of_themselves, found)
    said = [Environment(kind=p.kind, subject=p.subject, a=p.rebuilt, b=p.shipped) for p in found]
    whole = structs.replace(whole, records=records, environment=said)
    files = [file for file in map(_file, rows) if file is not None]
    code = program_code(rows)
    proved, own = share(code.shown, code.size), code.own if source else 0
    totals = structs.replace(whole.totals, code=code.size, proved_code=code.shown, proved_share=proved)
    whole = structs.replace(whole, totals=totals)
    counts = Counter(f.verdict for f in files)
    return Rebuilt(
        image=image.id,
        method=method,
        verdict=str(whole.verdict),
        files_verdict=str(worst(*(Verdict(f.verdict) for f in files))),
        rebuilds=[n.id for n in rebuilds],
        records=records,
        totals=RebuildTotals(
            files={str(v): counts[str(v)] for v in Verdict}, code=code.size, proved_code=code.shown,
            proved_share=proved, source_code=own, source_share=share(own, code.size), unmeasured=len(code.unmeasured),
        ),
        premises=found,
        reliances=_reliances(whole),
        files=files,
        left_out=left_out,
        file_systems=file_systems,
        built_by=builders,
        tied=tied,
        rules_digest=rules_digest(),
        report=keep(encode(whole)),
    )  # fmt: skip


def _file(row: Row) -> ComparedFile | None:
    """A shipped unit; links and devices that are the same on both sides are not listed."""
    outcome, node = row.outcome, row.unit.node
    _, _, verdict = flatten(outcome)[0]
    if not _listed(row):
        return None
    content = worst(*(v for _, _, v in flatten(_without_changes(outcome)))) if outcome.content else None
    inside = [file_report(*item) for item in flatten(outcome)]
    why = [f"{u.where}: {u.why}" for f in inside for u in f.unexplained[:3]][:3]
    shown = _shown(row)
    code = sum(row.programs.values()) + (0 if shown else _beside(row))
    return ComparedFile(
        node=node.id,
        path=row.unit.path,
        verdict=str(verdict),
        how=row.how,
        content=str(content) if content else "",
        counterpart=row.other.node.locator if row.other else "",
        why="; ".join(why)[:600],
        changes=[Changed(what=c.what, rebuilt=c.a, shipped=c.b) for c in outcome.changes],
        rules=sorted({u.rule for f in inside for u in f.rules}),
        functions=sum(len(f.functions) for f in inside),
        unexplained_bytes=sum(f.unexplained_bytes for f in inside),
        code=code,
        proved_code=code if shown else 0,
        rebuilt_by=row.builder,
    )


class ProgramCode(Struct, frozen=True, kw_only=True):
    """Bytes of the program code of an image, each content once: of all of it, of what was shown to do the same, and of
    what of that is a rebuild of the laboratory's own; and the places of contents that were neither shown nor measured.
    """

    size: int
    shown: int
    own: int
    unmeasured: list[Row]


class _Program(Struct):
    """One content of program code: its size, the row of its first place, and what holds of all of them."""

    size: int
    first: Row
    shown: bool = True
    own: bool = True


def program_code(rows: list[Row]) -> ProgramCode:
    """The program code of an image. A content is shown where every place of it is: no copy of it adds to what is shown,
    and one that the rebuild does not have in that place takes it away. It is the laboratory's where every place is."""
    found: dict[str, _Program] = {}
    beside = 0
    for row in rows:
        if not _listed(row):
            continue
        shown = _shown(row)
        beside += 0 if shown else _beside(row)
        for digest, size in row.programs.items():
            program = found.setdefault(digest, _Program(size=size, first=row))
            program.size = max(program.size, size)
            program.shown &= shown
            program.own &= shown and row.builder == OWN
    return ProgramCode(
        size=sum(p.size for p in found.values()) + beside,
        shown=sum(p.size for p in found.values() if p.shown),
        own=sum(p.size for p in found.values() if p.own),
        unmeasured=[p.first for p in found.values() if not p.size and not p.shown],
    )


def _listed(row: Row) -> bool:
    """Whether a row is of a file, or of a link, device or folder that is not the same on both sides, or not known to
    be."""
    return row.unit.node.kind in (Kind.FILE, Kind.CHUNK) or bool(row.outcome.changes) or row.how == "several"


def _shown(row: Row) -> bool:
    """Whether a file, with all that is in it, was shown to be equivalent to what the rebuild has in its place."""
    return row.outcome.content is not None and flatten(row.outcome)[0][2].equivalent


def _beside(row: Row) -> int:
    """Bytes of code in what the comparison alone has opened; what a reader has is among the programs."""
    return 0 if row.unit.node.format else sum(file_report(*item).code for item in flatten(row.outcome)[1:])


def _without_changes(outcome: Outcome) -> Outcome:
    return Outcome(name=outcome.name, content=outcome.content)


def _reliances(whole: EquivalenceReport) -> list[Reliance]:
    """Rules that were used and rest on more than the consumers' documented behaviour, by id."""
    counts: Counter[str] = Counter()
    for file in whole.files:
        counts.update({u.rule for u in file.rules if u.tier != "sound"})
    out = []
    for rule, number in sorted(counts.items()):
        known = rules()[rule]
        text = known.assumption or "what the two build records declare"
        out.append(Reliance(rule=rule, title=known.title, tier=str(known.tier), text=text, files=number))
    return out


def rules_digest() -> str:
    """SHA-256 over the files of the equivalence rules in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.toml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
