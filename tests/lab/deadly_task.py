"""The workers' real task, but for two files: whoever inspects them dies, as by a fault in native code, or never ends.

Imported by a Dask worker (as a preload), it makes that worker's supervisor use it.
"""

from __future__ import annotations

import ctypes
import mmap
import time
from collections.abc import Callable

from banbury.intake import examine, tasks

CRASH = b"this file kills whoever inspects it"
ENDLESS = b"whoever inspects this file never ends"
prepare = examine.prepare


def dask_setup(worker: object) -> None:
    """Called by Dask in its worker."""
    tasks.TASK = "tests.lab.deadly_task:run"


def run(payload: bytes, data: mmap.mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """As :func:`banbury.intake.examine.run`."""
    if data[:] == CRASH:
        step("inspect scripts")
        ctypes.string_at(0)
    if data[:] == ENDLESS:
        step("inspect scripts")
        time.sleep(3600)
    return examine.run(payload, data, spool, step)
