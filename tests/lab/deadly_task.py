"""The workers' real task, but for one file: whoever inspects that one dies, as by a fault in native code.

Imported by a Dask worker (as a preload), it makes that worker's supervisor use it.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable

from banbury.intake import examine, tasks

CRASH = b"this file kills whoever inspects it"
prepare = examine.prepare


def dask_setup(worker: object) -> None:
    """Called by Dask in its worker."""
    tasks.TASK = "tests.lab.deadly_task:run"


def run(payload: bytes, data: mmap.mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """As :func:`banbury.intake.examine.run`."""
    if data[:] == CRASH:
        step("inspect scripts")
        ctypes.string_at(0)
    return examine.run(payload, data, spool, step)
