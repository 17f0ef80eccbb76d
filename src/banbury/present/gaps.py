"""What was not checked, as one list: everything in the ledger that says "not", with its place and reason.

Every report opens with this list, and the JSON holds it as ``ledger.not_checked``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from banbury.model.evaluation import Container, Evaluation, Fate, Node, Stretch
from banbury.model.facts import Outcome
from banbury.model.supply import FeedKind, SupplyChain
from banbury.model.tree import Kind
from banbury.present.text import counted
from banbury.supply.feeds.status import ages, warnings


class Sort(StrEnum):
    """In which way something was not checked. The order is that of the reports."""

    UNREAD = "unread bytes"  # no reader could say what they are
    NOT_OPENED = "not opened"  # a container, or something that may be one, stayed shut
    PARTLY = "read in part"  # reading stopped before the end, or left a feature out
    FAILED = "inspection failed"
    SKIPPED = "inspection skipped"
    LIMITED = "inspection limited"  # done, but not on all of the file
    COUNT = "count disagrees"  # a container states another number than was found in it
    LIMIT = "limit reached"
    NOT_COMPARED = "not compared with a rebuild"
    NOT_TIED = "not tied to the source"
    NOT_MATCHED = "not matched with vulnerabilities"
    NOT_MAPPED = "not mapped"  # an artefact whose bytes the ledger does not account for


#: What a reader notes where it left something shut.
_SHUT = {"unsupported", "encrypted", "bomb", "truncated"}


#: Components named in one line.
_NAMED = 6


class Gap(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was not checked. ``node`` is its (first) place or -1; ``start`` and ``length`` are bytes of its
    content; ``entropy`` is in bits per byte; ``tool`` is the reader or inspector; ``reason`` is for people."""

    sort: Sort
    reason: str
    node: int = -1
    where: str = ""
    start: int = -1
    length: int = 0
    entropy: float = -1.0
    tool: str = ""


def gaps(evaluation: Evaluation) -> list[Gap]:
    """Everything that was not checked, by sort, then in the order of the tree."""
    order = list(Sort)
    return sorted(_gaps(evaluation), key=lambda g: order.index(g.sort))


def _gaps(evaluation: Evaluation) -> Iterator[Gap]:
    first = first_places(evaluation)
    ledger = evaluation.ledger
    for image in ledger.images:
        # Offsets of an image's map count from the image, whatever lies in between.
        yield from (_unread(evaluation, s, image.node) for s in image.stretches if s.fate is Fate.UNREAD)
    yield from (_unread(evaluation, s, s.node) for s in ledger.unread)
    for trouble in ledger.not_unpacked:
        yield Gap(sort=Sort.NOT_OPENED, tool=trouble.tool, reason=trouble.why)
    for digest, container in evaluation.containers.items():
        yield from _container(container, first.get(digest))
    for digest, file in evaluation.files.items():
        node = first.get(digest)
        for trouble in file.trouble:
            sort = {Outcome.FAILED: Sort.FAILED, Outcome.SKIPPED: Sort.SKIPPED}.get(trouble.outcome, Sort.LIMITED)
            yield _at(node, Gap(sort=sort, tool=trouble.tool, reason=trouble.why))
    for node in evaluation.nodes:
        if not node.complete and node.kind in (Kind.FILE, Kind.CHUNK):
            yield _at(node, Gap(sort=Sort.PARTLY, reason="the content could not be decoded to its end"))
    yield from (Gap(sort=Sort.LIMIT, reason=text) for text in ledger.limits_hit)
    for left in ledger.not_compared:
        node = evaluation.nodes[left.node] if left.node >= 0 else None
        sort = Sort.NOT_TIED if left.of == "source" else Sort.NOT_COMPARED
        yield _at(node, Gap(sort=sort, length=left.length, reason=left.why))
    yield from _not_matched(evaluation.supply, first, evaluation.as_of)
    mapped = {image.node for image in ledger.images}
    for root in (n for n in evaluation.nodes if n.parent < 0 and n.id not in mapped):
        yield _at(root, Gap(sort=Sort.NOT_MAPPED, length=root.size, reason="handed in beside the images"))


def _not_matched(supply: SupplyChain | None, first: dict[str, Node], as_of: str) -> Iterator[Gap]:
    """What was not held against any feed of vulnerabilities, in a line each: all of it, some components, a bill."""
    if supply is None or not (supply.inventory.components or supply.bills):
        return
    if not supply.matched:
        says = "no vulnerability feed was loaded: nothing is said of known vulnerabilities"
        yield Gap(sort=Sort.NOT_MATCHED, reason=says)
    elif supply.unmatched:
        names = ", ".join(supply.unmatched[:_NAMED])
        more = f" and {len(supply.unmatched) - _NAMED} more" if len(supply.unmatched) > _NAMED else ""
        says = (
            f"of {counted(len(supply.unmatched), 'component')} no loaded feed speaks by any known name: {names}{more}"
        )
        yield Gap(sort=Sort.NOT_MATCHED, reason=says)
    asked = [feed for feed in supply.feeds if feed.kind is not FeedKind.SUPPORT]
    for says in warnings(ages(asked, as_of)):
        yield Gap(sort=Sort.NOT_MATCHED, reason=f"what became known after the newest record of a feed: {says}")
    for bill in supply.bills:
        if bill.refused:
            reason = f"{bill.name}: {bill.refused}"
            yield _at(first.get(bill.sha256), Gap(sort=Sort.NOT_OPENED, tool="bill of materials", reason=reason))


def _unread(evaluation: Evaluation, stretch: Stretch, base: int) -> Gap:
    return Gap(
        sort=Sort.UNREAD,
        reason=stretch.name,
        node=base,
        where=evaluation.nodes[stretch.node].where,
        start=stretch.start,
        length=stretch.end - stretch.start,
        entropy=stretch.entropy,
    )


def _container(container: Container, node: Node | None) -> Iterator[Gap]:
    reasons = [container.error] if container.error else []
    for note in container.notes:
        if note.code in _SHUT and note.detail not in reasons:
            reasons.append(f"{note.code}: {note.path + ': ' if note.path else ''}{note.detail}")
    for reason in reasons:
        yield _at(node, Gap(sort=Sort.PARTLY, tool=container.format, reason=reason))
    for check in container.checks:
        if not check.ok:
            reason = f"{check.what}: stated {check.expected}, found {check.found}"
            yield _at(node, Gap(sort=Sort.COUNT, tool=container.format, reason=reason))


def _at(node: Node | None, gap: Gap) -> Gap:
    if node is None:
        return gap
    return Gap(
        sort=gap.sort,
        reason=gap.reason,
        node=node.id,
        where=node.where,
        length=gap.length,
        tool=gap.tool,
        start=gap.start,
    )


def unread_inside(evaluation: Evaluation) -> dict[int, int]:
    """For every artefact (its node), how many bytes of what came out of it nobody could read. They are counted beside
    its own bytes: an archive can be opened to the last byte, and what was in it stay shut."""
    found: dict[int, int] = {}
    for stretch in evaluation.ledger.unread:
        root = stretch.node
        while evaluation.nodes[root].parent >= 0:
            root = evaluation.nodes[root].parent
        found[root] = found.get(root, 0) + stretch.end - stretch.start
    return found


def first_places(evaluation: Evaluation) -> dict[str, Node]:
    """The first place of every content, by its SHA-256."""
    found: dict[str, Node] = {}
    for node in evaluation.nodes:
        if node.sha256:
            found.setdefault(node.sha256, node)
    return found
