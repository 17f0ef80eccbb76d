"""The benchmark's measuring and reporting; its figures are nobody's test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from banbury.bench import BenchReport, programs
from banbury.bench.contest import Contender, Contest, Line, compete
from banbury.bench.meter import measure
from banbury.bench.report import Target

_BURN = "sum(i * i for i in range(1_500_000))"


def _python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_processes_left_behind_are_counted() -> None:
    """A command that leaves its work to an orphan is charged for it."""
    idle = measure(_python("pass"))
    command = _python(f"import subprocess, sys; subprocess.Popen([sys.executable, '-I', '-S', '-c', {_BURN!r}])")

    busy = measure(command)

    assert busy.status == 0
    assert busy.cpu > idle.cpu + 0.03


def test_several_runs_give_the_figure_of_one() -> None:
    """Short commands are measured together and divided."""
    one, many = measure(_python(_BURN)), measure(_python(_BURN), times=4)

    assert 0.3 * one.cpu < many.cpu < 3 * one.cpu


def test_failures_and_absent_programs_are_told() -> None:
    """The exit status comes through, and what could not be started is 127 with a reason."""
    assert measure(_python("raise SystemExit(5)")).status == 5

    absent = measure(["no-such-program"])
    assert absent.status == 127
    assert "no-such-program" in absent.output


def test_contest_goes_on_without_those_that_fail() -> None:
    """Contenders take turns; one that fails or is absent gets its reason, the others their medians."""
    told: list[str] = []
    prepared: list[int] = []

    contest = compete(
        "title",
        [
            Contender(name="unit", make=lambda turn: _python("pass"), ready=prepared.append),
            Contender(name="broken", make=lambda turn: _python("print('it broke'); raise SystemExit(1)")),
            Contender(name="absent", make=None, note="from elsewhere"),
        ],
        "unit",
        2,
        told.append,
    )

    assert prepared == [0, 1]
    assert told == ["title: unit, 1 of 2", "title: broken, 1 of 2", "title: unit, 2 of 2"]
    assert contest.ratio("unit") == 1
    assert [line.trouble for line in contest.lines] == ["", "exit status 1: it broke", "not installed"]
    assert contest.ratio("broken") is None


def test_report_is_a_page_with_every_line() -> None:
    """Targets say reached, not reached or not measured; ratios are to the contest's unit."""
    contest = Contest(
        title="A contest",
        unit="sha256sum",
        lines=[
            Line(name="sha256sum", cpu=0.02),
            Line(name="ours", cpu=0.5, wall=1.25, peak=64_000_000, spread=0.1, note="cold"),
            Line(name="theirs", trouble="not installed"),
        ],
    )
    targets = [
        Target(what=name, measured="1 ×", to_reach="≤ 2 ×", reached=reached)
        for name, reached in (("a", True), ("b", False), ("c", None))
    ]

    page = BenchReport(
        date="2026-01-31", program="banbury 0", machine="a machine", repeats=3, contests=[contest], targets=targets
    ).markdown()

    assert "| a | 1 × | ≤ 2 × | reached |" in page
    assert "| b | 1 × | ≤ 2 × | **not reached** |" in page
    assert "| c | 1 × | ≤ 2 × | not measured |" in page
    assert "| ours | 0.500 ± 5% | 25.0 | 1.25 | 64 | cold |" in page
    assert "| theirs | – | – | – | – | not installed |" in page


def test_programs_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """checksec.py and checksec.sh are both called checksec: the first line tells."""
    for folder, first in (("a", "#!/bin/bash\n"), ("b", "#!/usr/bin/python3\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "checksec").write_text(first)
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:{tmp_path / 'b'}")

    assert programs.checksec(b"python") == [str(tmp_path / "b" / "checksec")]
    assert programs.checksec(b"sh") == [str(tmp_path / "a" / "checksec")]


def test_unblob_gets_a_stand_in_for_sasquatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrapper passes everything on to unsquashfs but the options that only sasquatch knows."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "unsquashfs").write_text('#!/bin/sh\necho "$@"\n')
    (tools / "unsquashfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    if programs.shutil.which("sasquatch"):
        pytest.skip("SASQUATCH is installed: the stand-in is not made")

    env, note = programs.unblob_environment(tmp_path)

    done = measure(["sasquatch", "-le", "-d", "a folder", "image"], env=env)
    assert done.output.strip() == "-d a folder image"
    assert "unsquashfs in sasquatch's place" in note
