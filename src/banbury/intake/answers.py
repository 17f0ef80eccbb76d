"""What a sandboxed process answers, checked before any of it is believed.

Hostile bytes may have taken the process over: its answer is input like any other. What passes is of the types that
readers and inspectors state, answers what was asked and no more, lies within the blob and the spool, and is of bounded
size. Whether it is *true* cannot be checked; SECURITY.md says what that means.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from operator import or_
from typing import Any

import msgspec
from msgspec import Raw, Struct

from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.inspect.kinds import KINDS
from banbury.inspect.registry import inspectors
from banbury.intake.examine import FACT_BYTES, FACT_LIMIT
from banbury.model.facts import Fact, Outcome, Result
from banbury.model.tree import NOTE_CODES, Dissection

_TEXT = 1000  # characters of a reason, a note or a property
_PROPERTIES = 1000
#: Formats that no reader is named after: a leaf, and a row of chunks.
_OWN_FORMATS = ("", "image")

Results = list[tuple[str, str, Result | None]]


class Unsound(ValueError):  # noqa: N818
    """A sandboxed process answered something that cannot be."""


class _Wire(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer with its results still packed: hostile ones must not grow in memory before they are looked at."""

    kind: str = ""
    dissection: Dissection | None = None
    results: list[tuple[str, str, Raw]]


class _WireResult(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tool: str
    version: int
    outcome: Outcome
    why: str = ""
    facts: list[Raw] = []


class Checked(Struct, frozen=True, kw_only=True):
    """An answer that can be."""

    kind: str
    dissection: Dissection | None
    results: Results


def decode(data: bytes, *, unpack: bool, work: Sequence[tuple[str, str]], budget: Budget, size: int) -> Checked:
    """The answer to a request for ``unpack`` and ``work`` on a blob of ``size`` bytes. Raises :class:`Unsound`.

    Where the contents lie is checked by :func:`check_contents`, once nothing writes to the spool.
    """
    try:
        wire = msgspec.msgpack.decode(data, type=_Wire)
        results = [(tool, path, _result(tool, raw)) for tool, path, raw in wire.results]
    except (msgspec.MsgspecError, RecursionError, OverflowError) as problem:
        raise Unsound(str(problem)[:200]) from problem
    if [(tool, path) for tool, path, _ in results] != list(work):
        raise Unsound("results are not those that were asked for")
    if wire.kind not in KINDS:
        raise Unsound("no such kind of file")
    if wire.dissection is not None:
        if not unpack:
            raise Unsound("a dissection that nobody asked for")
        _check_dissection(wire.dissection, budget, size)
    elif unpack and size:
        raise Unsound("no dissection")
    return Checked(kind=wire.kind, dissection=wire.dissection, results=results)


@cache
def _facts_of(tool: str) -> Any:
    """The union of every fact that an inspector can state."""
    types: Sequence[type[Fact]] = inspectors()[tool].facts
    return reduce(or_, types)


def _result(tool: str, raw: Raw) -> Result | None:
    if len(raw) > FACT_BYTES + (1 << 20):
        raise Unsound(f"{tool}: a result of {len(raw)} bytes")
    inspector = inspectors().get(tool)
    wire = msgspec.msgpack.decode(raw, type=_WireResult | None)
    if wire is None:
        return None
    if inspector is None or wire.tool != tool or wire.version != inspector.version:
        raise Unsound("a result of another tool")
    if len(wire.why) > _TEXT or len(wire.facts) > FACT_LIMIT:
        raise Unsound(f"{tool}: too much")
    facts = [_fact(tool, fact) for fact in wire.facts]
    return Result(tool=tool, version=wire.version, outcome=wire.outcome, why=wire.why, facts=facts)


def _fact(tool: str, raw: Raw) -> dict[str, object]:
    fact: Fact = msgspec.msgpack.decode(raw, type=_facts_of(tool))
    if fact.at is not None and min(fact.at.start, fact.at.length) < 0:
        raise Unsound(f"{tool}: a place before the file")
    plain: dict[str, object] = msgspec.to_builtins(fact)
    return plain


def _check_dissection(dissection: Dissection, budget: Budget, size: int) -> None:
    if dissection.size != size:
        raise Unsound("wrong size")
    if dissection.format not in _OWN_FORMATS and dissection.format not in readers():
        raise Unsound("no such format")
    if len(dissection.entries) > budget.entries or len(dissection.contents) > len(dissection.entries):
        raise Unsound("more members than the budget allows")
    if len(dissection.notes) > budget.notes + 100 or len(dissection.checks) > budget.checks:
        raise Unsound("more notes than the budget allows")
    if any(n.code not in NOTE_CODES or len(n.detail) > _TEXT for n in dissection.notes):
        raise Unsound("a note that no reader makes")
    pairs = dissection.properties.items()
    if len(pairs) > _PROPERTIES or any(len(k) + len(v) > _TEXT for k, v in pairs) or len(dissection.error) > 4 * _TEXT:
        raise Unsound("properties too long")
    _check_regions(dissection)


def _check_regions(dissection: Dissection) -> None:
    position = 0
    members = len(dissection.entries)
    for region in dissection.regions:
        if region.start != position or region.end <= position or not -1 <= region.member < members:
            raise Unsound(f"regions do not partition the container at {position:#x}")
        if len(region.name) > _TEXT:
            raise Unsound("a region with a name too long")
        position = region.end
    if dissection.regions and position != dissection.size:
        raise Unsound("regions do not reach the end")


def check_contents(dissection: Dissection, budget: Budget, spooled: int) -> None:
    """Raise :class:`Unsound` unless every content lies within blob or spool, and together they are no more than was
    written and than a container can hold: overlapping ones would fill the store out of nothing."""
    distinct: set[tuple[int, int, bool]] = set()
    members: set[int] = set()
    for content in dissection.contents:
        limit = dissection.size if content.stored else spooled
        inside = content.start >= 0 and content.length >= 0 and content.start + content.length <= limit
        if not inside or not 0 <= content.member < len(dissection.entries) or content.member in members:
            raise Unsound("content outside the container")
        members.add(content.member)
        distinct.add((content.start, content.length, content.stored))
    if sum(length for _, length, stored in distinct if not stored) > spooled:
        raise Unsound("contents overlap in the spool")
    if sum(length for _, length, stored in distinct if stored) > budget.sliced(dissection.size):
        raise Unsound("contents overlap in the container")
