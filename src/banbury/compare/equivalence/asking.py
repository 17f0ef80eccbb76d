"""What workers are asked beside verdicts: explanations for a person, and how much program code there is."""

from __future__ import annotations

import os
import tempfile

import msgspec

from banbury.compare.equivalence.containers.contract import Place
from banbury.compare.equivalence.explained import Explanation
from banbury.compare.equivalence.model import BuildRecord
from banbury.compare.equivalence.protocol import Asked, Looked, Read, Request, Wanted
from banbury.lab.sandbox import Limits
from banbury.lab.supervisor import Supervisor

Records = tuple[BuildRecord | None, BuildRecord | None]


def explanation(
    supervisor: Supervisor, limits: Limits, source: int, asked: Asked, records: Records = (None, None)
) -> Explanation:
    """What may be shown of one pair in the open file ``source``; a note where the worker did not survive it."""
    kept: list[Explanation] = []

    def accept(data: bytes) -> None:
        kept[:] = msgspec.msgpack.decode(data, type=list[Explanation])
        if len(kept) != 1:
            raise ValueError("another number of answers than of questions")

    request = Request(pairs=[asked], record_a=records[0], record_b=records[1], room=0, task="explain")
    with tempfile.TemporaryFile(prefix="banbury-", buffering=0) as spool:
        payload = msgspec.msgpack.encode(request)
        reply = supervisor.run(payload, source, spool.fileno(), limits=limits, accept=accept)
    return Explanation(notes=[f"could not be explained: {reply.death}"]) if reply.death else kept[0]


def reading(supervisor: Supervisor, limits: Limits, source: int, spool: int, place: Place, room: int) -> Read:
    """How its strict reader takes the container at a place of an open file, with ``room`` bytes of output."""
    kept: list[Read] = []

    def accept(data: bytes) -> None:
        kept[:] = msgspec.msgpack.decode(data, type=list[Read])
        if len(kept) != 1:
            raise ValueError("another number of answers than of questions")

    request = Request(pairs=[Asked(a=place, b=place)], record_a=None, record_b=None, room=room, task="read")
    reply = supervisor.run(msgspec.msgpack.encode(request), source, spool, limits=limits, accept=accept)
    return Read(format="file", why=f"the process that read it ended: {reply.death}") if reply.death else kept[0]


def measured(supervisor: Supervisor, limits: Limits, source: int, spool: int, places: list[Place]) -> list[int]:
    """Bytes of program code at places of the open file ``source``; 0 of a place that its worker did not survive."""
    if not places:
        return []
    kept: list[int] = []

    def accept(data: bytes) -> None:
        kept[:] = msgspec.msgpack.decode(data, type=list[int])
        if len(kept) != len(places) or any(not 0 <= n <= p.length for n, p in zip(kept, places, strict=True)):
            raise ValueError("sizes that no file has")

    asked = [Asked(a=Place(0, 0), b=place) for place in places]
    request = Request(pairs=asked, record_a=None, record_b=None, room=0, task="measure")
    os.ftruncate(spool, 0)
    payload = msgspec.msgpack.encode(request)
    if not supervisor.run(payload, source, spool, limits=limits, accept=accept).death:
        return kept
    if len(places) == 1:
        return [0]
    return [n for place in places for n in measured(supervisor, limits, source, spool, [place])]


def looked(
    supervisor: Supervisor, limits: Limits, source: int, spool: int, places: list[Place], wanted: list[Wanted],
    room: int,
) -> list[Looked]:  # fmt: skip
    """What of ``wanted`` the contents at places of an open file tell of, with ``room`` bytes of output."""
    kept: list[Looked] = []

    def accept(data: bytes) -> None:
        kept[:] = msgspec.msgpack.decode(data, type=list[Looked])
        if len(kept) != len(places) or any(
            not 0 <= n < len(wanted) for one in kept for n in (*(n // 2 for n in one.found), *one.named)
        ):
            raise ValueError("not what was asked for")

    asked = [Asked(a=place, b=place) for place in places]
    request = Request(pairs=asked, record_a=None, record_b=None, room=room, task="look", wanted=wanted)
    os.ftruncate(spool, 0)
    reply = supervisor.run(msgspec.msgpack.encode(request), source, spool, limits=limits, accept=accept)
    if not reply.death:
        return kept
    if len(places) == 1:
        return [Looked(why=f"the process that looked through it ended: {reply.death}")]
    return [one for place in places for one in looked(supervisor, limits, source, spool, [place], wanted, room)]
