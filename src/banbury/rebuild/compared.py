"""Binary equivalence of two files, with build records, as a verdict and lines for a report."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.decide import decide
from banbury.compare.equivalence.model import BuildRecord, Verdict
from banbury.compare.equivalence.report import EquivalenceReport, FileReport
from banbury.rebuild.records import to_toml

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_%-]{0,120}")
_LINES: Final = 25


class Decided(Struct, frozen=True):
    """A verdict, and in which files and by which rules."""

    verdict: Verdict
    lines: list[str]
    report: EquivalenceReport


def compare(
    name: str, rebuilt: Path, shipped: Path, record_rebuilt: BuildRecord | None, record_shipped: BuildRecord | None
) -> Decided:
    """The verdict on two files that are both called ``name``; records count only where both sides have one."""
    plain = name.rpartition("/")[2]
    plain = plain if _PLAIN.fullmatch(plain) else "file"
    with tempfile.TemporaryDirectory(prefix="banbury-") as folder:
        sides = []
        for side, path in (("shipped", shipped), ("rebuilt", rebuilt)):
            (Path(folder) / side).mkdir()
            sides.append(Path(shutil.copyfile(path, Path(folder) / side / plain)))
        records: list[Path] = []
        if record_rebuilt is not None and record_shipped is not None:
            for side, record in (("shipped", record_shipped), ("rebuilt", record_rebuilt)):
                records.append(Path(folder) / f"{side}.toml")
                records[-1].write_text(to_toml(record), "utf-8")
        found = decide(sides[0], sides[1], *records)
    lines = [_line(f) for f in found.files if f.own is not Verdict.IDENTICAL]
    more = [f"and {len(lines) - _LINES} more"] if len(lines) > _LINES else []
    return Decided(found.verdict, lines[:_LINES] + more, found)


def _line(file: FileReport) -> str:
    parts = [f"{c.what} {c.a or '-'} / {c.b or '-'}" for c in file.changes]
    if file.functions:
        parts.append(f"{len(file.functions)} functions changed")
    parts += [f"{u.where}: {u.why}" for u in file.unexplained[:3]]
    if not parts:
        parts = sorted({f"{u.rule} ({u.detail})" if u.detail else u.rule for u in file.rules})[:6]
    return f"{file.own}: {file.path}: {'; '.join(parts)}"[:600]
