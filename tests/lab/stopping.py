"""Runs the program and kills it at a named moment: ``python -m tests.lab.stopping MOMENT ARGUMENT…``.

The moments are those between which a run's state on the disk changes; with another name it is not killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from banbury.cli import main
from banbury.intake import tasks
from banbury.intake.unpack import Unpacker
from banbury.lab import store, workspace
from banbury.lab.database import Database


def die(*_: object) -> None:
    """End every process of the run at once."""
    os.killpg(0, signal.SIGKILL)


def at_call(owner: Any, name: str, *, after: bool, times: int = 1) -> None:
    """Die when ``owner.name`` is called for the ``times``-th time, before or after it does its work."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == times and not after:
            die()
        result = real(*arguments, **named)
        if calls == times:
            die()
        return result

    setattr(owner, name, wrapped)


MOMENTS: dict[str, Callable[[], None]] = {
    "before the tables are made": lambda: at_call(Database, "_open", after=False),
    "after the tables are made": lambda: at_call(Database, "_open", after=True),
    "a blob is written, its name is not": lambda: at_call(store.FileStore, "_place", after=False, times=1),
    "some members have their names": lambda: at_call(store.FileStore, "_place", after=True, times=40),
    "a release is kept, its custody is not": lambda: at_call(Database, "save_release", after=True),
    "the first results are there, their rows are not": lambda: at_call(store.FileStore, "flush", after=True),
    "the first rows are there": lambda: at_call(Database, "save", after=True),
    "results of a level are in memory only": lambda: at_call(Unpacker, "_take", after=True, times=90),
    "later rows are about to be written": lambda: at_call(Database, "save", after=False, times=3),
    "an evaluation is written, its name is not": lambda: at_call(workspace, "_place", after=False),
    "an evaluation has its name": lambda: at_call(workspace, "_place", after=True),
}

if __name__ == "__main__":
    tasks.TASK = "tests.lab.deadly_task:run"
    MOMENTS.get(sys.argv[1], lambda: None)()
    main(sys.argv[2:])
