"""The equivalence benchmark: what a verdict costs, against hashing the same bytes and against diffoscope."""

from __future__ import annotations

import compileall
import datetime as dt
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import banbury
from banbury.bench import pairs, programs
from banbury.bench.contest import Contender, Contest, compete
from banbury.bench.meter import measure
from banbury.bench.report import BenchReport, Target
from banbury.lab.progress import Progress

_SHA, _OURS, _PEER = "sha256sum of both", "banbury equivalence", "diffoscope"
_PATIENCE = 900  # seconds of wall time for one run of the peer

Tell = Callable[[str], object]


def run(
    work: Path, cache: Path, *, repeats: int = 3, tell: Tell = lambda line: None, progress: Progress | None = None
) -> BenchReport:
    """Measure everything. Raises InputError where the inputs cannot be made."""
    folder = work / "pairs"
    folder.mkdir(parents=True, exist_ok=True)
    compileall.compile_dir(Path(banbury.__file__).parent, quiet=2)
    tell("make the pairs")
    library, program = pairs.library(folder), pairs.program(folder)
    archive = pairs.archive(folder, cache / "packages", progress)
    corpus, names = pairs.corpus(folder)
    contests = [
        _contest(f"A library of {library.size / 1e6:.0f} MB with another build-id", library, repeats, tell),
        _contest(f"A program of {program.size / 1e6:.2f} MB whose parts all moved", program, repeats, tell),
        _contest(
            f"A cpio.gz of {archive.size / 1e6:.0f} MB, repacked, with three files tampered with",
            archive,
            repeats,
            tell,
        ),
        _contest(f"{len(names)} pairs of the corpus in two folders", corpus, repeats, tell),
    ]
    return BenchReport(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        program=f"banbury {banbury.__version__}",
        machine=programs.machine(),
        repeats=repeats,
        contests=contests,
        targets=_targets(contests, (library, archive), program, names, corpus, tell),
    )


def _command(pair: pairs.TwoFiles, *more: str) -> list[str]:
    records = [x for r in reversed(pair.records or ()) for x in ("--record", str(r))]
    program = programs.beside_python("banbury") or "banbury"
    return [program, "equivalence", str(pair.shipped), str(pair.rebuilt), *records, "--quiet", *more]


def _peer(a: Path, b: Path) -> list[str]:
    return ["timeout", str(_PATIENCE), "diffoscope", "--no-progress", "--text", "/dev/null", str(a), str(b)]


def _contest(title: str, pair: pairs.TwoFiles, repeats: int, tell: Tell) -> Contest:
    there = shutil.which("diffoscope") is not None
    files = [str(p) for side in (pair.rebuilt, pair.shipped) for p in (side.iterdir() if side.is_dir() else [side])]
    contenders = [
        Contender(name=_SHA, make=lambda turn: ["sha256sum", *files], times=3),
        Contender(
            name=_OURS, make=lambda turn: _command(pair), statuses=(pair.status,), note="start of Python included"
        ),
    ]
    contest = compete(title, contenders, _SHA, repeats, tell)
    make = (lambda turn: _peer(pair.rebuilt, pair.shipped)) if there else None
    note = f"one run, at most {_PATIENCE} s; it decides nothing"
    peer = compete(title, [Contender(name=_PEER, make=make, statuses=(1,), note=note)], _PEER, 1, tell)
    return Contest(title=title, lines=[*contest.lines, *peer.lines], unit=_SHA)


def _targets(
    contests: list[Contest], pair: tuple[pairs.TwoFiles, pairs.TwoFiles], program: pairs.TwoFiles, names: list[str],
    corpus: pairs.TwoFiles, tell: Tell,
) -> list[Target]:  # fmt: skip
    library, archive = pair
    targets = []
    rate = 2 * library.size / _costs("compared", library)[0] / 1e6
    whole = 2 * library.size / _costs("verdicts", library)[0] / 1e6
    said = f"{rate:.0f} MB/s; {whole:.0f} MB/s with copying and hashing"
    targets.append(_target("same-layout ELF, both sides counted", said, "≥ 400 MB/s", rate >= 400))
    moved = statistics.median(_costs("verdicts", program)[0] for _ in range(3))
    targets.append(
        _target("program whose parts moved, in a running laboratory", f"{moved:.2f} s", "≤ 0.3 s", moved <= 0.3)
    )
    line = contests[2].line(_OURS)
    if line and line.cpu:
        named, memory = _named(archive), line.peak / 1e6
        measured = f"{line.cpu:.2f} s, {memory:.0f} MB, {len(named)} named"
        fine = line.cpu <= 2 and memory <= 300 and named == set(archive.changed)
        targets.append(_target("cpio.gz pair", measured, "≤ 2 s CPU, ≤ 300 MB, exactly the 3 files", fine))
    if shutil.which("diffoscope"):
        ours, theirs = statistics.median(_costs("verdicts", corpus)), statistics.median(_peers(names, corpus, tell))
        said = f"{theirs / ours:.0f} × less CPU ({theirs:.2f} s against {ours * 1000:.1f} ms)"
        targets.append(
            _target("one pair of the corpus, medians", said, "≥ 100 × less than diffoscope", theirs >= 100 * ours)
        )
    return targets


def _costs(what: str, pair: pairs.TwoFiles) -> list[float]:
    """CPU seconds of each verdict in one process that was started before, and without the sandbox."""
    records = [str(r) for r in reversed(pair.records or ())] if what == "verdicts" else []
    command = [sys.executable, "-m", "banbury.bench.runners", what, str(pair.shipped), str(pair.rebuilt), *records]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - no shell, our own words
    return [float(cost) for cost in json.loads(done.stdout)]


def _peers(names: list[str], corpus: pairs.TwoFiles, tell: Tell) -> list[float]:
    costs = []
    for name in names:
        tell(f"diffoscope on {name}")
        costs.append(measure(_peer(corpus.rebuilt / name, corpus.shipped / name)).cpu)
    return costs


def _named(pair: pairs.TwoFiles) -> set[str]:
    """Paths in the archive that our verdict says are not equivalent."""
    done = subprocess.run(_command(pair, "--json", "-"), capture_output=True, check=False)  # noqa: S603 - as above
    files = json.loads(done.stdout)["files"]
    return {f["path"].rsplit("!/", 1)[-1] for f in files if f["own"] in ("functional", "unexplained")}


def _target(what: str, measured: str, to_reach: str, reached: bool) -> Target:
    return Target(what=what, measured=measured, to_reach=to_reach, reached=reached)
