"""What the coordinating process and its workers say to each other. Nothing that parses is imported here: who asks
need not load what answers.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.containers.contract import Member, Place
from banbury.compare.equivalence.model import BuildRecord, ChangedFunction, FileVerdict

#: The task of :class:`banbury.lab.supervisor.Supervisor` that answers.
TASK: Final = "banbury.compare.equivalence.worker:run"


class Asked(Struct, frozen=True, kw_only=True):
    """One pair: where both files stand in the input, their path (to choose by only), and hints from above.
    ``functions`` are those that were found to differ, where the pair is to be explained."""

    a: Place
    b: Place
    path: str = ""
    hints: list[str] = []
    functions: list[ChangedFunction] = []


class Request(Struct, frozen=True, kw_only=True):
    """Pairs to compare, the build records, and how many bytes of output there may be. ``task`` is ``compare``,
    ``explain`` (the answers are explanations), ``measure`` (they are bytes of program code of each ``b``) or ``read``
    (they say how the strict readers take each ``b``)."""

    pairs: list[Asked]
    record_a: BuildRecord | None
    record_b: BuildRecord | None
    room: int
    task: str = "compare"


class Read(Struct, frozen=True, kw_only=True):
    """What the strict reader of its format makes of one container: ``why`` it refuses it (``""``: it does not), whether
    it is of a kind that it never reads (``undecided``), the names in it, and what stands in it that other readers do
    not give (``odd``). ``format`` is ``""`` where no strict reader knows it."""

    format: str
    why: str = ""
    undecided: bool = False
    names: list[str] = []
    odd: list[str] = []


class Answer(Struct, frozen=True, kw_only=True):
    """The verdict on one pair beside its members, and the members. ``format`` is ``""`` where no reader knows it."""

    format: str
    verdict: FileVerdict
    members: list[Member] = []
