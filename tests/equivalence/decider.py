"""Deciding pairs of containers in this process, without the sandbox: the same task, called directly."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Callable
from typing import cast

from banbury.compare.equivalence import BuildRecord
from banbury.compare.equivalence.outcome import Outcome
from banbury.compare.equivalence.recurse import Recursion
from banbury.compare.equivalence.worker import run
from banbury.lab.supervisor import Reply, Supervisor


class _Here:
    """What a supervisor does, in this process."""

    def run(
        self, payload: bytes, source: int, spool: int, *, limits: object = None,
        accept: Callable[[bytes], None] | None = None,
    ) -> Reply:  # fmt: skip
        size = os.fstat(source).st_size
        data = mmap.mmap(source, size, prot=mmap.PROT_READ) if size else b""
        answer = run(payload, data, spool, lambda step: None)
        if accept is not None:
            accept(answer)
        return Reply(payload=answer)


def decided(a: bytes, b: bytes, record_a: BuildRecord | None = None, record_b: BuildRecord | None = None) -> Outcome:
    """The outcome for two files."""
    recursion = Recursion(cast(Supervisor, _Here()), record_a, record_b)
    return recursion.files([("file", io.BytesIO(a), io.BytesIO(b))])[0]
