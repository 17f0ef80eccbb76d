"""One item of work, from blob to checked result: the same task whichever engine runs it.

An engine worker (trusted) takes a shard of items, opens each blob from the store, has it examined by a sandboxed
process, checks what that process says, and keeps the members. It returns records; only the coordinator writes the
database. Everything is keyed by content, so running an item twice is harmless.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO

import msgspec
from msgspec import Struct

from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.inspect.kinds import LEAF_KINDS
from banbury.inspect.registry import inspectors
from banbury.intake import longtail
from banbury.intake.answers import Checked, Results, check_contents, decode
from banbury.intake.examine import Request
from banbury.lab.blobs import BlobStore
from banbury.lab.confined import end_all
from banbury.lab.sandbox import Limits
from banbury.lab.store import open_store
from banbury.lab.supervisor import Supervisor
from banbury.model.errors import EngineError, StoreError
from banbury.model.facts import Outcome, Result
from banbury.model.tree import Dissection

TASK = "banbury.intake.examine:run"


class Item(Struct, frozen=True, kw_only=True):
    """Work on one blob: dissect it or not, and pairs of (inspector, path). ``payload`` says that it is part of an image
    rather than a file of a tree, so that the long tail of formats is worth trying."""

    blob: str
    unpack: bool
    payload: bool
    work: list[tuple[str, str]]
    budget: Budget
    limits: Limits


class Done(Struct, frozen=True, kw_only=True):
    """What came of an item. ``digests`` names the content of each of the dissection's contents; ``trouble`` says why
    there is no dissection although one was asked for."""

    blob: str
    payload: bool
    kind: str
    unpacked: Dissection | None
    digests: list[str]
    trouble: str
    results: Results


def run_shard(items: list[Item], store_url: str, method: str) -> list[Done]:
    """Work through the items on this machine. The function that engines are given.

    ``method`` is the coordinator's :func:`method`; a worker of another one raises :class:`EngineError`, since its
    results would be kept under a name that is not theirs.
    """
    if method != local_method():
        raise EngineError(
            "a worker of the engine has other readers or inspectors than this program",
            hint="install the same version, with the same extras and tools, on every machine",
        )
    store = open_store(store_url)
    supervisor = _supervisor()
    return [run_item(supervisor, store, item) for item in items]


@cache
def local_method() -> str:
    """Names what this installation reads and inspects with: every reader, inspector and version, and the long tail."""
    tools = [sorted((n, t.version) for n, t in registry.items()) for registry in (readers(), inspectors())]
    return hashlib.sha256(msgspec.json.encode((*tools, longtail.method()))).hexdigest()


_supervisors: list[Supervisor] = []
_lock = threading.Lock()


def _supervisor() -> Supervisor:
    """This process's supervisor, started on first use."""
    with _lock:
        if not _supervisors:
            _supervisors.append(Supervisor(TASK))
        return _supervisors[0]


def shut_down() -> None:
    """End this process's sandboxed workers; a shard that is under way raises SandboxError."""
    end_all()
    with _lock:
        while _supervisors:
            _supervisors.pop().close()


def run_item(supervisor: Supervisor, store: BlobStore, item: Item) -> Done:
    """One item, however often its workers die: the step that kills one is recorded and left out of the next attempt."""
    unpack, trouble = item.unpack, ""
    work = list(item.work)
    dead: Results = []
    source = store.open(item.blob)
    try:
        with _spool() as spool:
            while True:
                os.ftruncate(spool.fileno(), 0)
                os.lseek(spool.fileno(), 0, os.SEEK_SET)
                request = Request(unpack=unpack, budget=item.budget, work=work)
                answers: list[Checked] = []
                accept = _acceptance(request, source, spool.fileno(), answers)
                sent = msgspec.msgpack.encode(request)
                reply = supervisor.run(sent, source, spool.fileno(), limits=item.limits, accept=accept)
                step, death = reply.step, reply.death
                if not death:
                    done = _kept(answers[-1], item, source, spool.fileno(), store, trouble, dead)
                    return _with_long_tail(done, item, source, store)
                tool = step.removeprefix("inspect ") if step.startswith("inspect ") else ""
                hit = [(t, p) for t, p in work if t == tool]
                if hit:
                    dead += [(t, p, _failed(t, death)) for t, p in hit]
                    work = [(t, p) for t, p in work if t != tool]
                elif unpack:
                    unpack, trouble = False, death
                else:
                    dead += [(t, p, _failed(t, death)) for t, p in work]
                    return Done(
                        blob=item.blob,
                        payload=item.payload,
                        kind="",
                        unpacked=None,
                        digests=[],
                        trouble=trouble or death,
                        results=dead,
                    )
    finally:
        os.close(source)


def _with_long_tail(done: Done, item: Item, source: int, store: BlobStore) -> Done:
    """Where no reader claims an image's payload and its sort says nothing either: another try."""
    mine = done.unpacked
    unknown = mine is not None and mine.format == "" and done.kind not in LEAF_KINDS
    if not (item.payload and unpacked_here(done) and unknown and mine is not None and mine.size >= longtail.LEAST):
        return done
    found = longtail.open_long_tail(source, store, item.budget.output)
    if found is None:
        return done
    return msgspec.structs.replace(done, unpacked=found[0], digests=found[1])


def unpacked_here(done: Done) -> bool:
    """Whether the item asked for a dissection and got one."""
    return done.unpacked is not None and not done.trouble


def _failed(tool: str, why: str) -> Result:
    return Result(tool=tool, version=0, outcome=Outcome.FAILED, why=why)


def _acceptance(request: Request, source: int, spool: int, into: list[Checked]) -> Callable[[bytes], None]:
    """What looks at a worker's answer to ``request``, and puts it ``into`` the list where it can be."""

    def accept(data: bytes) -> None:
        size = os.fstat(source).st_size
        answer = decode(data, unpack=request.unpack, work=request.work, budget=request.budget, size=size)
        if answer.dissection is not None:
            check_contents(answer.dissection, request.budget, os.fstat(spool).st_size)
        into.append(answer)

    return accept


def _kept(
    answer: Checked,
    item: Item,
    source: int,
    spool: int,
    store: BlobStore,
    trouble: str,
    dead: Results,
) -> Done:
    digests = _keep(answer.dissection, source, spool, store) if answer.dissection is not None else []
    return Done(
        blob=item.blob,
        payload=item.payload,
        kind=answer.kind,
        unpacked=answer.dissection,
        digests=digests,
        trouble=trouble,
        results=dead + answer.results,
    )


def _keep(dissection: Dissection, source: int, spool: int, store: BlobStore) -> list[str]:
    """Put every content into the store; returns the digests in order. Hashing happens here, outside the sandbox."""
    known: dict[tuple[int, int, bool], str] = {}
    digests: list[str] = []
    with _mapped(source) as stored, _mapped(spool) as decoded:
        for content in dissection.contents:
            key = (content.start, content.length, content.stored)
            if key not in known:
                buffer = stored if content.stored else decoded
                with buffer[content.start : content.start + content.length] as piece:
                    known[key] = store.put(piece)
            digests.append(known[key])
    return digests


@contextmanager
def _spool() -> Iterator[IO[bytes]]:
    """A file without a name to unpack into."""
    try:
        file = tempfile.TemporaryFile(prefix="banbury-spool-", buffering=0)  # noqa: SIM115 - closed below
    except OSError as problem:
        raise StoreError(f"no place for temporary files: {problem.strerror}", hint="make room, or set TMPDIR") from None
    with file:
        yield file


@contextmanager
def _mapped(handle: int) -> Iterator[memoryview]:
    size = os.fstat(handle).st_size
    if size == 0:
        yield memoryview(b"")
        return
    with mmap.mmap(handle, size, prot=mmap.PROT_READ) as data, memoryview(data) as view:
        yield view
