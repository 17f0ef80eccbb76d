"""What a sandboxed worker does with one blob: dissect it and run the inspectors, on one mapping of its bytes.

The functions here run inside the sandbox. Whatever they return is data from a process that hostile bytes may have taken
over, and is checked by the caller (:mod:`banbury.intake.tasks`).
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

import msgspec
from msgspec import Struct

from banbury.formats.dissect import dissect
from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.formats.view import View
from banbury.inspect.contract import FileInspector, FileView, Skip
from banbury.inspect.registry import inspectors
from banbury.model.errors import BanburyError, BudgetExceeded, Malformed
from banbury.model.facts import Outcome, Result
from banbury.model.tree import Dissection

#: Facts of one inspector on one file beyond this number are dropped, and the result says so.
FACT_LIMIT = 5000
#: The same for their size in bytes, as MessagePack.
FACT_BYTES = 8 << 20
#: From this size (bytes) on, a file of one repeated byte is not inspected.
FILL = 1 << 20
_ALWAYS = ("file-type",)


class Request(Struct, frozen=True, kw_only=True):
    """One blob's work: whether to dissect it, and which inspectors to run for which path (``""``: any)."""

    unpack: bool
    budget: Budget
    work: list[tuple[str, str]]


class Answer(Struct, frozen=True, kw_only=True):
    """What came of it. A pair of ``results`` with ``None`` says that the inspector does not apply."""

    kind: str = ""
    dissection: Dissection | None = None
    results: list[tuple[str, str, Result | None]]


def prepare() -> None:
    """Import everything a worker may need, in the process that workers are forked from."""
    import cryptography.hazmat.primitives.serialization
    import cryptography.x509  # noqa: F401
    import numpy  # noqa: F401

    readers()
    for inspector in inspectors().values():
        if isinstance(inspector, FileInspector):
            inspector.prepare()


def run(payload: bytes, data: mmap.mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """The task of :class:`banbury.lab.supervisor.Supervisor`: a request in, an answer out (both MessagePack)."""
    request = msgspec.msgpack.decode(payload, type=Request)
    view = View(data)
    dissection = None
    if request.unpack and len(view):
        step("unpack")
        dissection = dissect(view, spool, request.budget, carve=True)
    step("inspect file-type")
    plain = FileView(view)
    fill = len(view) >= FILL and view.run(0) == len(view)
    results = []
    by_path: dict[str, FileView] = {"": plain}
    for tool, path in request.work:
        step(f"inspect {tool}")
        file = by_path.get(path)
        if file is None:
            file = by_path[path] = _same_file(plain, path)
        results.append((tool, path, examine(tool, file, fill=fill and tool not in _ALWAYS)))
    step("answer")
    return msgspec.msgpack.encode(Answer(kind=plain.kind, dissection=dissection, results=results))


def _same_file(plain: FileView, path: str) -> FileView:
    """A view of the same bytes under a path that shares what was parsed already."""
    file = FileView(plain.view, path)
    file.__dict__.update({k: v for k, v in plain.__dict__.items() if k != "path"})
    return file


def examine(tool: str, file: FileView, *, fill: bool = False) -> Result | None:
    """One inspector on one file; ``None`` where it does not apply. Nothing but exhausted memory gets out of here.

    ``fill`` says that the file is one byte, repeated: there is nothing to see in it.
    """
    inspector = inspectors()[tool]
    assert isinstance(inspector, FileInspector)
    facts: list[dict[str, object]] = []
    room = FACT_BYTES
    outcome, why = Outcome.DONE, ""
    try:
        if not inspector.applies(file):
            return None
        if fill:
            raise Skip("one byte repeated, nothing else")  # noqa: TRY301
        for fact in inspector.inspect(file):
            if len(facts) >= FACT_LIMIT:
                outcome, why = Outcome.FAILED, f"more than {FACT_LIMIT} facts; the rest is not kept"
                break
            room -= len(msgspec.msgpack.encode(fact))
            if room < 0:
                outcome, why = Outcome.FAILED, f"more than {FACT_BYTES >> 20} MiB of facts; the rest is not kept"
                break
            facts.append(msgspec.to_builtins(fact))
    except Skip as reason:
        outcome, why = Outcome.SKIPPED, str(reason)
    except (Malformed, BudgetExceeded) as problem:
        outcome, why = Outcome.FAILED, str(problem)
    except MemoryError:
        raise
    except (Exception, RecursionError) as problem:  # noqa: BLE001 - an inspector's own fault costs this file one result
        text = str(problem) if isinstance(problem, BanburyError) else f"{type(problem).__name__}: {problem}"
        outcome, why = Outcome.FAILED, f"fault in the inspector: {text}"
    return Result(tool=tool, version=inspector.version, outcome=outcome, why=why[:300], facts=facts)
