"""What a sandboxed worker does with a feed's file: unpack it, tell its formats, read its records, write them out.

The functions here run inside the sandbox. What they write is data from a process that a hostile feed may have taken
over; :mod:`banbury.supply.feeds.importing` checks its form and its bounds. A worker can misstate a feed, as the feed
itself can, and nothing else.

The spool is a sequence of batches: 4 bytes of length (little-endian), then a list of items as MessagePack.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from mmap import mmap
from typing import Final

import msgspec
import zstandard

from banbury.model.errors import BanburyError, SandboxError
from banbury.supply.feeds.items import Begin, Block, Item, Passed, Vulnerability
from banbury.supply.feeds.registry import claimed, importers
from banbury.supply.feeds.streams import Budget, Document, documents

TASK: Final = "banbury.supply.feeds.worker:run"
_HEAD: Final = 1 << 16
_BATCH: Final = 2000
_BLOCK: Final = 1 << 18
#: An archive with this many unknown files in front of the first known one is none of ours.
_UNKNOWN: Final = 10_000


class Answer(msgspec.Struct, frozen=True):
    """How it went: ``trouble`` is why the file cannot be relied on, ``""`` where it can."""

    trouble: str
    known: int


def prepare() -> None:
    """Import everything that a worker may need, in the process that workers are forked from."""
    importers()


def run(payload: bytes, data: mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """The task of :class:`banbury.lab.supervisor.Supervisor`: a feed's file in, batches of items in the spool."""
    room = msgspec.msgpack.decode(payload, type=int)
    out = _Out(spool, room)
    known = 0
    trouble = ""
    try:
        for number, document in enumerate(documents(data, Budget())):
            step(f"document {number}")
            known += _document(document, out)
            if not known and number > _UNKNOWN:
                break
        out.end()
    except SandboxError:
        raise
    except BanburyError as problem:
        trouble = str(problem) or "it is damaged"
    except RecursionError:
        trouble = "it is nested too deeply"
    return msgspec.msgpack.encode(Answer(trouble, known))


def _document(document: Document, out: _Out) -> int:
    """Read one document; returns whether its format is known."""
    head = document.stream.peek(_HEAD)
    importer = claimed(head, document.name)
    if importer is None:
        if document.name:
            out.add(b"", Passed(document.name[:200]))
        return 0
    out.begin(importer.name)
    for raw, item in importer.read(document):
        out.add(raw, item)
    return 1


class _Out:
    """Items on their way to the spool, and raw records on their way into blocks."""

    def __init__(self, spool: int, room: int) -> None:
        self._spool = spool
        self._room = room
        self._items: list[Item] = []
        self._encoder = msgspec.msgpack.Encoder()
        self._compressor = zstandard.ZstdCompressor(level=1, write_content_size=True)
        self._raw: list[bytes] = []
        self._held = 0
        self._block = 0
        self._importer = ""

    def begin(self, importer: str) -> None:
        if importer != self._importer:
            self._importer = importer
            self.add(b"", Begin(importer))

    def add(self, raw: bytes, item: Item) -> None:
        if raw and isinstance(item, Vulnerability):
            item.block, item.index = self._block, len(self._raw)
            self._raw.append(raw)
            self._held += len(raw)
        self._items.append(item)
        if self._held >= _BLOCK:
            self._close_block()
        if len(self._items) >= _BATCH:
            self._flush()

    def end(self) -> None:
        self._close_block()
        self._flush()

    def _close_block(self) -> None:
        if not self._raw:
            return
        ends, at = [], 0
        for raw in self._raw:
            at += len(raw)
            ends.append(at)
        self._items.append(Block(self._block, ends, self._compressor.compress(b"".join(self._raw))))
        self._block += 1
        self._raw, self._held = [], 0
        self._flush()

    def _flush(self) -> None:
        if not self._items:
            return
        data = self._encoder.encode(self._items)
        self._items = []
        self._room -= len(data) + 4
        if self._room < 0:
            raise SandboxError("more output than is allowed")
        for part in (len(data).to_bytes(4, "little"), data):
            view = memoryview(part)
            while view:
                try:
                    view = view[os.write(self._spool, view) :]
                except OSError as problem:
                    raise SandboxError(str(problem)) from problem
