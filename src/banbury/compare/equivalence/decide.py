"""The front door: two paths and two build records in, a report out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from banbury.compare.equivalence.folders import compare_folders
from banbury.compare.equivalence.model import BuildRecord
from banbury.compare.equivalence.outcome import Outcome
from banbury.compare.equivalence.protocol import TASK
from banbury.compare.equivalence.recurse import Allowance, Catch, Recursion
from banbury.compare.equivalence.report import EquivalenceReport, report
from banbury.formats.contract import clean_name
from banbury.lab.regular import read_regular
from banbury.lab.supervisor import Supervisor
from banbury.model.errors import InputError

#: Pairs of files that a report explains, at most.
EXPLAINED: Final = 120


def decide(
    shipped: Path, rebuilt: Path, record_shipped: Path | None = None, record_rebuilt: Path | None = None, *,
    allowance: Allowance | None = None, tell: Callable[[str], None] | None = None,
    explain: int = EXPLAINED, catch: Catch | None = None,
) -> EquivalenceReport:  # fmt: skip
    """The report on two files or two folders; up to ``explain`` pairs that differ are explained. Raises ``InputError``
    for anything else, and for unusable records."""
    kinds = [_sort(path) for path in (shipped, rebuilt)]
    if kinds[0] != kinds[1]:
        raise InputError(f"{shipped} is a {kinds[0]} and {rebuilt} a {kinds[1]}: they cannot be compared")
    a, b = (_record(path) for path in (record_rebuilt, record_shipped))
    with Supervisor(TASK) as supervisor:
        run = Recursion(supervisor, a, b, allowance=allowance, tell=tell, explain=explain, catch=catch)
        outcome = compare_folders(run, rebuilt, shipped) if kinds[0] == "folder" else _files(run, rebuilt, shipped)
    return report(outcome, clean_name(bytes(shipped))[0], clean_name(bytes(rebuilt))[0], a, b)


def _files(run: Recursion, rebuilt: Path, shipped: Path) -> Outcome:
    try:
        with open(rebuilt, "rb") as one, open(shipped, "rb") as other:
            return run.files([(clean_name(bytes(Path(shipped.name)))[0], one, other)])[0]
    except OSError as problem:
        raise InputError(f"{problem.filename}: {problem.strerror}") from None


def _sort(path: Path) -> str:
    if path.is_dir():
        return "folder"
    if path.is_file():
        return "file"
    why = "neither a file nor a folder" if path.exists() else "there is no such file or folder"
    raise InputError(f"{path}: {why}")


def _record(path: Path | None) -> BuildRecord | None:
    if path is None:
        return None
    try:
        return BuildRecord.from_toml(read_regular(path).decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: this build record cannot be read: {problem}") from None
