"""Importing a feed's file: read by a sandboxed worker, checked here, and stored in one transaction.

What is there stays as it was where anything goes wrong: a feed that ends early, is of no known format, or holds no
record changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from banbury.lab.sandbox import Limits
from banbury.lab.supervisor import Supervisor
from banbury.model.errors import InputError, StoreError
from banbury.model.supply import Snapshot
from banbury.supply.feeds.items import Item
from banbury.supply.feeds.store import FeedStore
from banbury.supply.feeds.worker import TASK, Answer
from banbury.supply.feeds.writing import Writer, known_snapshots

_LIMITS: Final = Limits(cpu=3600, wall=7200, memory=2 << 30, output=32 << 30)
_BATCH: Final = 512 << 20
_ITEMS: Final = msgspec.msgpack.Decoder(list[Item])


class Imported(Struct, frozen=True, kw_only=True):
    """What an import came to. ``fresh`` is false where the same file was imported before: nothing was done.

    ``stored`` counts the records that are new or changed, ``older`` those of which a newer form is there already.
    ``remarks``: reasons of refusals (the first ones) and what else a person should know.
    """

    snapshots: list[Snapshot]
    fresh: bool
    stored: int = 0
    older: int = 0
    withdrawn: int = 0
    passed: int = 0
    remarks: list[str] = []


class Importing:
    """Imports files into a store, with one sandboxed worker for all of them."""

    def __init__(self, store: FeedStore) -> None:
        self._store = store
        self._supervisor = Supervisor(TASK, limits=_LIMITS)

    def __enter__(self) -> Importing:
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.close()

    def file(self, path: Path, *, name: str = "", licence: str = "") -> Imported:
        """Import one file. ``name`` is kept instead of the file's own, ``licence`` instead of the format's.

        Raises :class:`InputError` where the file cannot be relied on, or is no feed; the store is then unchanged.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as problem:
            raise InputError(f"{path}: {problem.strerror}") from problem
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{path}: no file: a feed comes as one")
            return self._open_file(descriptor, path, name or path.name, licence)
        finally:
            os.close(descriptor)

    def _open_file(self, descriptor: int, path: Path, name: str, licence: str) -> Imported:
        size, digest = _digest(descriptor, path)
        if not size:
            raise InputError(f"{path}: an empty file is no feed")
        known = known_snapshots(self._store, digest)
        if known:
            return Imported(snapshots=known, fresh=False)
        with tempfile.TemporaryFile(buffering=0) as spool:
            answer = self._read(descriptor, spool.fileno(), path)
            if answer.trouble:
                raise InputError(
                    f"{path}: {answer.trouble}", hint="nothing was changed; what was imported before stands"
                )
            if not answer.known:
                raise InputError(f"{path}: no format of a feed that is known", hint="see banbury feeds import --help")
            return self._store_batches(spool.fileno(), digest, name, licence, path)

    def _read(self, descriptor: int, spool: int, path: Path) -> Answer:
        payload = msgspec.msgpack.encode(_LIMITS.output - (1 << 20))
        reply = self._supervisor.run(payload, descriptor, spool)
        if reply.death:
            raise InputError(
                f"{path}: reading it failed ({reply.death}; in {reply.step or 'the beginning'})",
                hint="nothing was changed; what was imported before stands",
            )
        with suppress(msgspec.MsgspecError):
            return msgspec.msgpack.decode(reply.payload, type=Answer)
        raise InputError(f"{path}: the answer of the process that read it is not sound")

    def _store_batches(self, spool: int, digest: str, name: str, licence: str, path: Path) -> Imported:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            with self._store.begin() as connection:
                writer = Writer(connection, sha256=digest, name=name, licence=licence, imported=at)
                for batch in _batches(spool):
                    writer.add(batch)
                totals = writer.end()
                if why := writer.unsound():
                    raise InputError(f"{path}: {why}", hint="nothing was changed; what was imported before stands")
                if not sum(one.records for one in totals.snapshots):
                    why = f" ({totals.remarks[0]})" if totals.remarks else ""
                    raise InputError(
                        f"{path}: no record could be read{why}", hint="nothing was changed; a feed is never empty"
                    )
        except (msgspec.MsgspecError, ValueError) as problem:
            raise InputError(f"{path}: what its reader says of it is not sound: {str(problem)[:200]}") from problem
        return Imported(
            snapshots=totals.snapshots, fresh=True, stored=totals.stored, older=totals.older,
            withdrawn=totals.withdrawn, passed=totals.passed, remarks=totals.remarks,
        )  # fmt: skip


def _digest(descriptor: int, path: Path) -> tuple[int, str]:
    """(size, SHA-256) of an open file."""
    digest = hashlib.sha256()
    size = 0
    try:
        while piece := os.pread(descriptor, 1 << 20, size):
            digest.update(piece)
            size += len(piece)
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from problem
    return size, digest.hexdigest()


def _batches(spool: int) -> Iterator[list[Item]]:
    """The batches that a worker wrote; ``ValueError`` where they are cut off."""
    at, end = 0, os.fstat(spool).st_size
    while at < end:
        length = int.from_bytes(os.pread(spool, 4, at), "little")
        if length > min(_BATCH, end - at - 4):
            raise ValueError("a batch longer than what is there")
        pieces, at = [], at + 4
        while length:
            piece = os.pread(spool, length, at)
            if not piece:
                raise StoreError("the spool is gone")
            pieces.append(piece)
            at += len(piece)
            length -= len(piece)
        yield _ITEMS.decode(b"".join(pieces))
