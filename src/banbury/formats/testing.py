"""Helpers for tests of readers: read bytes in this process, without the sandbox."""

from __future__ import annotations

import os
import tempfile

from msgspec import Struct

from banbury.formats.contract import Reader
from banbury.formats.sink import Budget, SpoolSink
from banbury.formats.view import View
from banbury.model.errors import BudgetExceeded, Malformed
from banbury.model.tree import Dissection


class Read(Struct, frozen=True):
    """A dissection and the content of each entry that has one, by path."""

    dissection: Dissection
    contents: dict[str, bytes]


def read_bytes(reader: Reader, data: bytes, budget: Budget | None = None) -> Read | None:
    """Probe and read ``data`` as a whole; ``None`` where the reader does not claim it. As in the sandbox,
    ``Malformed`` and ``BudgetExceeded`` end the reading and stand in ``dissection.error``."""
    try:
        extent = reader.probe(View(data), 0)
    except Malformed:
        return None
    if extent is None:
        return None
    if not 0 < extent.length <= len(data):
        raise AssertionError(f"{reader.name}: extent {extent.length} of {len(data)} bytes")
    view = View(data, 0, extent.length)
    with tempfile.TemporaryFile() as spool:
        sink = SpoolSink(view, spool.fileno(), budget)
        error = ""
        try:
            reader.read(view, sink)
        except (Malformed, BudgetExceeded) as problem:
            error = str(problem)
        dissection = sink.finish(reader.name, error)
        contents: dict[str, bytes] = {}
        for content in dissection.contents:
            if content.stored:
                piece = data[content.start : content.start + content.length]
            else:
                piece = os.pread(spool.fileno(), content.length, content.start)
            contents[dissection.entries[content.member].path] = piece
    return Read(dissection, contents)
