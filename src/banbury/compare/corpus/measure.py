"""How a decider does on the corpus: tampered pairs that it accepts, harmless ones that it refuses.

A decider takes a pair and returns a verdict (one of ``VERDICTS``). Two are here to compare with: one that knows only
identity, and diffoscope, which decides nothing: its exit status says whether files differ at all.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from banbury.compare.corpus.generator import Choice, generate
from banbury.compare.corpus.pairs import ACCEPTED, VERDICTS, Pair, Unavailable

Decider = Callable[[Pair], str]


class Row(Struct, kw_only=True):
    """Counts for one format or group."""

    name: str
    pairs: int = 0
    tampered: int = 0
    accepted: int = 0  # tampered pairs that were called equivalent: each is a hole
    harmless: int = 0
    refused: int = 0  # harmless pairs that were not called equivalent
    honest: int = 0
    overrated: int = 0  # honest but different pairs that were called equivalent against their label


class Table(Struct, kw_only=True):
    """The whole measurement. ``seconds`` is CPU time of this process and its children in deciding."""

    formats: dict[str, Row]
    groups: dict[str, Row]
    total: Row
    accepted: list[str]
    refused: list[str]
    overrated: list[str]
    unlabelled: dict[str, str]
    unavailable: dict[str, str]
    seconds: float

    def text(self) -> str:
        """The table for people."""
        names = ("tampered", "accepted", "harmless", "refused", "honest", "overrated")
        head = " " * 24 + "".join(f"{name:>10}" for name in names)
        lines = [head]
        for title, rows in (("by format", self.formats), ("by group", self.groups), ("total", {"": self.total})):
            lines.append(f"-- {title}")
            for row in rows.values():
                counts = "".join(f"{getattr(row, name):>10}" for name in names)
                lines.append(f"{row.name:24}{counts}")
        lines.append(f"{len(self.unavailable)} pairs could not be made here; {self.seconds:.1f} s")
        return "\n".join(lines)


def measure(decider: Decider, only: Choice | None = None, pairs: Iterable[Pair | Unavailable] | None = None) -> Table:
    """Ask ``decider`` about every pair (``pairs``, or those that ``only`` chooses) and count.

    Raises ValueError where it returns something that is no verdict.
    """
    table = Table(
        formats={},
        groups={},
        total=Row(name="all"),
        accepted=[],
        refused=[],
        overrated=[],
        unlabelled={},
        unavailable={},
        seconds=0,
    )
    for pair in generate(only=only) if pairs is None else pairs:
        if isinstance(pair, Unavailable):
            table.unavailable[pair.id] = pair.reason
            continue
        start = _spent()
        verdict = decider(pair)
        table.seconds += _spent() - start
        if verdict not in VERDICTS:
            raise ValueError(f"{pair.id}: {verdict!r} is no verdict")
        _count(table, pair, verdict)
    return table


def _count(table: Table, pair: Pair, verdict: str) -> None:
    rows = (
        table.formats.setdefault(pair.format, Row(name=pair.format)),
        table.groups.setdefault(pair.group, Row(name=pair.group)),
        table.total,
    )
    yes = verdict in ACCEPTED
    wrong = {"tampered": yes, "harmless": not yes, "honest": yes and verdict not in pair.expected}[pair.kind]
    for row in rows:
        row.pairs += 1
        row.tampered += pair.kind == "tampered"
        row.harmless += pair.kind == "harmless"
        row.honest += pair.kind == "honest"
        row.accepted += wrong and pair.kind == "tampered"
        row.refused += wrong and pair.kind == "harmless"
        row.overrated += wrong and pair.kind == "honest"
    if wrong:
        {"tampered": table.accepted, "harmless": table.refused, "honest": table.overrated}[pair.kind].append(pair.id)
    elif verdict not in pair.expected:
        table.unlabelled[pair.id] = verdict


def _spent() -> float:
    import resource

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def identical_only(pair: Pair) -> str:
    """The least decider: the same bytes, or nothing is known."""
    return "identical" if pair.a == pair.b else "unexplained"


def by_diffoscope(pair: Pair) -> str:
    """diffoscope's exit status as a verdict: 0 is identical, all else unexplained. Raises FileNotFoundError where it is
    not installed."""
    program = shutil.which("diffoscope")
    if program is None:
        raise FileNotFoundError("diffoscope is not installed")
    with tempfile.TemporaryDirectory(prefix="banbury-corpus-") as scratch:
        names = [str(Path(scratch) / name) for name in ("rebuilt", "shipped")]
        for name, data in zip(names, (pair.a, pair.b), strict=True):
            Path(name).write_bytes(data)
        done = subprocess.run([program, "--timeout", "120", *names], capture_output=True, check=False)  # noqa: S603
    return "identical" if done.returncode == 0 else "unexplained"
