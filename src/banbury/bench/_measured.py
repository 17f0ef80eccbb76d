"""Runs a command in a process of its own and reports what it took: see :mod:`banbury.bench.meter`.

Started by its path, so that it loads nothing but this. Arguments: the number of an open file to write the figures to
(JSON), how often to run the command, the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

_PR_SET_CHILD_SUBREAPER = 36


def run(report: int, times: int, command: Sequence[str]) -> None:
    """Run the command, wait for every process it left behind, write the figures."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.set_inheritable(report, False)
    start = time.monotonic()
    status = 0
    for _ in range(times):
        try:
            status = status or subprocess.run(command, check=False).returncode  # noqa: S603 - the benchmark's command
        except OSError as problem:
            sys.stderr.write(f"{command[0]}: {problem.strerror}\n")
            status = 127
    wall = time.monotonic() - start
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A child counts this process's own size until it becomes its program: below that, nothing can be said.
    own = _own_peak()
    figures = {
        "cpu": (used.ru_utime + used.ru_stime) / times,
        "wall": wall / times,
        "peak": used.ru_maxrss * 1024 if used.ru_maxrss > own * 1.05 else 0,
        "status": status,
    }
    os.write(report, json.dumps(figures).encode())


def _own_peak() -> int:
    """This program's peak size in KiB (proc(5), VmHWM); getrusage would count what the process was before it too."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
