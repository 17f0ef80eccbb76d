"""What of an image was compared with nothing, for the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from banbury.compare.equivalence.model import Verdict
from banbury.compare.equivalence.outcome import Outcome
from banbury.compare.rebuilds.matching import Match
from banbury.compare.rebuilds.stating import Row, compared, program_code
from banbury.model.evaluation import Node
from banbury.model.rebuild import LeftOut, NotCompared
from banbury.model.tree import Kind

_NAMED: Final = 5


def uncompared(
    root: Node, match: Match, rows: list[Row], outcome: Outcome, gone: list[LeftOut]
) -> Iterable[NotCompared]:
    """What of an image (its node is ``root``) was compared with nothing; ``gone`` is what is left out of it."""
    if not match.whole:
        why = "what lies beside and around its files: the rebuild is files, not an image"
        yield NotCompared(node=root.id, why=why)
    elif outcome.content and outcome.content.own.verdict is Verdict.UNEXPLAINED:
        first = next(iter(outcome.content.own.unexplained), None)
        why = f"what lies beside and around its files: {first.why if first else 'it was not taken apart'}"
        yield NotCompared(node=root.id, why=why)
    for lacks in sorted({row.lacks for row in gone}):
        here = [row for row in gone if row.lacks == lacks]
        named = ", ".join(row.path for row in here[:_NAMED])
        more = f" and {len(here) - _NAMED} more" if len(here) > _NAMED else ""
        why = f"{len(here)} files of the rebuild are not in {lacks or 'the image'}: {named}{more}"
        yield NotCompared(node=root.id, why=why)
    bare = [row for row in rows if compared(row) and row.other and row.other.node.mode < 0 <= row.unit.node.mode]
    if bare and not match.whole:
        why = f"modes and owners of {len(bare)} files: what was handed in as a folder or alone has none"
        yield NotCompared(node=root.id, why=why)
    if found := program_code(rows).unmeasured:
        named = ", ".join(row.unit.path for row in found[:_NAMED])
        why = f"{len(found)} programs whose code could not be measured, and is not in the share of it: {named}"
        yield NotCompared(node=found[0].unit.node.id, why=why)
    renamed = [row for row in rows if _elsewhere(row)]
    if renamed:
        shown = ", ".join(f"{r.unit.path} is {r.other.node.name}" for r in renamed[:_NAMED] if r.other)
        more = f" and {len(renamed) - _NAMED} more" if len(renamed) > _NAMED else ""
        yield NotCompared(node=root.id, why=f"the names of files that were handed in without a place: {shown}{more}")
    for row in rows:
        if row.how == "nothing":
            folder = row.unit.node.kind is Kind.DIR
            why = f"the rebuild has no {'folder of this path' if folder else 'file of this path or content'}"
            if row.unit.node.rdev is not None:
                why = "the rebuild has no device of this path (a folder holds none: hand in an archive or file system)"
            yield NotCompared(node=row.unit.node.id, why=why, length=max(row.unit.node.size, 0))
        elif compared(row) and not row.unit.node.complete:
            yield NotCompared(node=row.unit.node.id, why="its content could not be decoded to its end")


def _elsewhere(row: Row) -> bool:
    """Whether a file has the content of one that was handed in alone under another name."""
    alone = row.how == "content" and row.other is not None and row.other.piece and not row.unit.piece
    return alone and row.other is not None and row.unit.path.rpartition("/")[2] != row.other.node.name
