"""What was shown of an image, as the evaluation holds it, and as the report that stands beside it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable

from msgspec import Struct, structs

from banbury.compare.equivalence.explained import Environment
from banbury.compare.equivalence.model import Verdict, worst
from banbury.compare.equivalence.recurse import Outcome, flatten
from banbury.compare.equivalence.report import EquivalenceReport, encode, file_report, report, share
from banbury.compare.equivalence.rules import FOLDER, rules
from banbury.compare.rebuilds.matching import Unit
from banbury.compare.rebuilds.premises import merged
from banbury.compare.rebuilds.provenance import OWN
from banbury.model.evaluation import Node
from banbury.model.rebuild import Changed, ComparedFile, FileSystem, LeftOut, Premise, RebuildTotals, Rebuilt, Reliance
from banbury.model.tree import Kind


class Row(Struct, kw_only=True):
    """One shipped unit, how it was matched, its counterpart, of which artefact and by whom that is, and the outcome."""

    unit: Unit
    how: str
    other: Unit | None
    outcome: Outcome
    artefact: int = -1
    builder: str = ""


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
    code, proved = sum(f.code for f in files), sum(f.proved_code for f in files)
    counts = Counter(f.verdict for f in files)
    own = sum(f.proved_code for f in files if f.rebuilt_by == OWN) if source else 0
    return Rebuilt(
        image=image.id,
        method=method,
        verdict=str(whole.verdict),
        files_verdict=str(worst(*(Verdict(f.verdict) for f in files))),
        rebuilds=[n.id for n in rebuilds],
        records=records,
        totals=RebuildTotals(
            files={str(v): counts[str(v)] for v in Verdict}, code=code, proved_code=proved,
            proved_share=share(proved, code), source_code=own, source_share=share(own, code),
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
    if node.kind not in (Kind.FILE, Kind.CHUNK) and not outcome.changes:
        return None
    content = worst(*(v for _, _, v in flatten(_without_changes(outcome)))) if outcome.content else None
    inside = [file_report(*item) for item in flatten(outcome)]
    why = [f"{u.where}: {u.why}" for f in inside for u in f.unexplained[:3]][:3]
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
        code=sum(f.code for f in inside),
        proved_code=sum(f.proved_code for f in inside),
        rebuilt_by=row.builder,
    )


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
