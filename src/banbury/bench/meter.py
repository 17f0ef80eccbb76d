"""Measures a command: processor time of its whole family of processes, which a busy machine does not distort.

A process of its own does the measuring. It takes in orphans (prctl(2), PR_SET_CHILD_SUBREAPER) and waits for every
last one, so that workers which outlive their parent count too; then its children's resource usage (getrusage(2)) is
the command's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

_PROCESS = Path(__file__).with_name("_measured.py")


class Usage(Struct, frozen=True, kw_only=True):
    """What a command took: ``cpu`` (user and system) and ``wall`` in seconds, ``peak`` resident bytes of its largest
    process (0: too small to tell), its exit status, and the end of what it wrote."""

    cpu: float
    wall: float
    peak: int
    status: int
    output: str = ""


def measure(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, times: int = 1
) -> Usage:
    """Run the command ``times`` times, one after another; the figures are for one of them."""
    with tempfile.TemporaryFile() as report, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - no shell, arguments are the benchmark's
            [sys.executable, "-I", str(_PROCESS), str(report.fileno()), str(times), *command],
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[report.fileno()],
        )
        process.wait()
        report.seek(0)
        figures = json.loads(report.read() or b"null")
        output.seek(max(0, output.seek(0, os.SEEK_END) - 4000))
        text = output.read().decode(errors="replace")
    if figures is None:
        return Usage(cpu=0.0, wall=0.0, peak=0, status=127, output=text)
    return Usage(**figures, output=text)
