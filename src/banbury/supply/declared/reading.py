"""Reads the bills of materials of a submission, each in a sandboxed worker: they are as hostile as the rest of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from banbury.lab.blobs import BlobStore
from banbury.lab.sandbox import Limits
from banbury.lab.supervisor import Supervisor
from banbury.model.release import Artefact, ArtefactRole
from banbury.supply.declared.model import Bill
from banbury.supply.declared.read import TASK

_LIMITS: Final = Limits(cpu=120, wall=600, memory=3 << 30, output=1 << 20)


class Handed(Struct, frozen=True, kw_only=True):
    """A bill with the artefact that it is."""

    name: str
    sha256: str
    bill: Bill


def read_bills(artefacts: Sequence[Artefact], blobs: BlobStore) -> list[Handed]:
    """What each artefact with the role ``sbom`` says, in order. One that kills its reader is refused, with why."""
    wanted = [artefact for artefact in artefacts if artefact.role is ArtefactRole.SBOM]
    if not wanted:
        return []
    with Supervisor(TASK, limits=_LIMITS) as supervisor:
        return [Handed(name=a.name, sha256=a.sha256, bill=_read(supervisor, blobs, a.sha256)) for a in wanted]


def _read(supervisor: Supervisor, blobs: BlobStore, digest: str) -> Bill:
    source = blobs.open(digest)
    try:
        with tempfile.TemporaryFile() as spool:
            reply = supervisor.run(b"", source, spool.fileno(), accept=_accept)
    finally:
        os.close(source)
    if reply.death:
        return Bill(refused=f"reading it ended: {reply.death}")
    return msgspec.msgpack.decode(reply.payload, type=Bill)


def _accept(answer: bytes) -> None:
    try:
        msgspec.msgpack.decode(answer, type=Bill)
    except msgspec.MsgspecError as problem:
        raise ValueError(str(problem)) from None
