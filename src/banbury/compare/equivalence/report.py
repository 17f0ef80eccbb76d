"""The result of one comparison as data: what ``banbury equivalence --json`` writes and the page is made of."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

import banbury
from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.explained import Environment, Explanation
from banbury.compare.equivalence.model import (
    BuildRecord,
    ChangedFunction,
    FileVerdict,
    RuleUse,
    Unexplained,
    Verdict,
)
from banbury.compare.equivalence.outcome import Outcome, flatten
from banbury.compare.equivalence.rules import rules

SCHEMA_VERSION: Final = 1


class Sample(Struct, frozen=True, kw_only=True):
    """Some of the bytes that nothing accounts for: both sides (hexadecimal) from one offset, at most 160 bytes."""

    start: int
    a: str
    b: str


class FileReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of either side. ``verdict`` counts what is in it, ``own`` does not. ``path`` leads through containers by
    ``!/``. Sizes in bytes, -1 where the side has no such file; digests (SHA-256) where the contents were compared."""

    path: str
    verdict: Verdict
    own: Verdict
    format: str = ""
    size_a: int = -1
    size_b: int = -1
    sha256_a: str = ""
    sha256_b: str = ""
    changes: list[Change] = []
    rules: list[RuleUse] = []
    unexplained_bytes: int = 0
    unexplained: list[Unexplained] = []
    functions: list[ChangedFunction] = []
    notes: list[str] = []
    code: int = 0
    proved_code: int = 0
    samples: list[Sample] = []
    explained: Explanation | None = None


class Totals(Struct, frozen=True, kw_only=True):
    """``files``: number by own verdict; ``bytes``: of the shipped files by own verdict, containers not counted;
    ``code`` and ``proved_code``: bytes of code in shipped ELF files, and those of them shown to do the same;
    ``proved_share``: their ratio, 0 to 1, never rounded up; null where there is no code."""

    files: dict[str, int]
    bytes: dict[str, int]
    unexplained_bytes: int
    code: int
    proved_code: int
    proved_share: float | None


class EquivalenceReport(Struct, frozen=True, kw_only=True):
    """The whole. ``rules`` are those used, with their published text; ``records`` say whether a side declared one.
    ``rests_on``: the tiers of those rules, ``sound``, ``declared`` or ``assumption``; none for what is identical.
    ``environment`` comes before any difference: what says that the two were not built from the same."""

    schema: int
    banbury: str
    rebuilt: str
    shipped: str
    records: tuple[bool, bool]
    verdict: Verdict
    rests_on: list[str] = []
    totals: Totals
    environment: list[Environment] = []
    files: list[FileReport]
    rules: dict[str, dict[str, Any]]


def report(
    outcome: Outcome,
    shipped: str,
    rebuilt: str,
    record_a: BuildRecord | None = None,
    record_b: BuildRecord | None = None,
) -> EquivalenceReport:
    """The report on a comparison of ``rebuilt`` (a) with ``shipped`` (b)."""
    rows = flatten(outcome)
    files = [file_report(path, found, verdict) for path, found, verdict in rows]
    used = sorted({use.rule for f in files for use in f.rules})
    known = rules()
    return EquivalenceReport(
        schema=SCHEMA_VERSION,
        banbury=banbury.__version__,
        rebuilt=rebuilt,
        shipped=shipped,
        records=(record_a is not None, record_b is not None),
        verdict=rows[0][2],
        rests_on=sorted({use.tier for f in files for use in f.rules}),
        totals=_totals(files, {p for p, o, _ in rows if o.content and o.content.members}),
        environment=_environment(files),
        files=files,
        rules={rule: msgspec.to_builtins(known[rule]) for rule in used if rule in known},
    )


def file_report(path: str, found: Outcome, verdict: Verdict) -> FileReport:
    """What is said of one name: ``verdict`` counts what is in it."""
    own = found.content.own if found.content else FileVerdict(verdict=Verdict.IDENTICAL)
    code = own.code or found.code
    return FileReport(
        path=path,
        verdict=verdict,
        own=found.own,
        format=found.content.format if found.content else "",
        size_a=found.size_a,
        size_b=found.size_b,
        sha256_a=found.sha256_a,
        sha256_b=found.sha256_b,
        changes=found.changes,
        rules=own.rules,
        unexplained_bytes=own.unexplained_bytes,
        unexplained=own.unexplained,
        functions=own.functions,
        notes=own.notes,
        code=code,
        proved_code=own.proved_code if own.code else code if found.content else 0,
        samples=[Sample(start=at, a=a.hex(), b=b.hex()) for at, a, _, b in found.samples],
        explained=found.content.explained if found.content else None,
    )


def _environment(files: list[FileReport]) -> list[Environment]:
    """What explanations say of the two builds, each statement once; of toolchains, the first file that shows it."""
    found: dict[tuple[str, ...], Environment] = {}
    for file in files:
        for said in file.explained.environment if file.explained else []:
            subject = "" if said.kind == "toolchain" else said.subject
            found.setdefault((said.kind, subject, said.a, said.b), said)
    return sorted(found.values(), key=lambda e: (e.kind != "version", e.subject))


def share(part: int, whole: int) -> float | None:
    """A ratio to four places, cut and not rounded, so that 1 means all of it; ``None`` of nothing."""
    return part * 10_000 // whole / 10_000 if whole else None


def _totals(files: list[FileReport], containers: set[str]) -> Totals:
    count = {str(v): 0 for v in Verdict}
    size = {str(v): 0 for v in Verdict}
    for file in files:
        count[file.own] += 1
        if file.path not in containers:
            size[file.own] += max(file.size_b, 0)
    code, proved = sum(f.code for f in files), sum(f.proved_code for f in files)
    return Totals(
        files=count,
        bytes=size,
        unexplained_bytes=sum(f.unexplained_bytes for f in files),
        code=code,
        proved_code=proved,
        proved_share=share(proved, code),
    )


def encode(found: EquivalenceReport) -> bytes:
    """The report as indented JSON, the same bytes for the same result."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
