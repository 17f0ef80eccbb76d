"""What a comparison found, as a tree: one outcome for each name, with what is in it."""

from __future__ import annotations

from msgspec import Struct

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.explained import Explanation
from banbury.compare.equivalence.model import FileVerdict, Unexplained, Verdict, worst

#: Some bytes of both sides, each with its offset.
Sample = tuple[int, bytes, int, bytes]


class Content(Struct, kw_only=True):
    """What was shown of two contents: the verdict on them beside their members, and the members. ``explained`` is for a
    person, where they were not shown to be equivalent."""

    format: str
    own: FileVerdict
    members: list[Outcome] = []
    explained: Explanation | None = None


class Outcome(Struct, kw_only=True):
    """One name in both trees, or in one: what the container says of it (``changes``) and its content (shared between
    names with the same content). Sizes in bytes, -1 where there is none; digests of content that differs.
    ``sample`` holds the differing bytes of both sides that a report may show."""

    name: str
    size_a: int = -1
    size_b: int = -1
    sha256_a: str = ""
    sha256_b: str = ""
    changes: list[Change] = []
    content: Content | None = None
    code: int = 0
    samples: list[Sample] = []

    @property
    def own(self) -> Verdict:
        """The verdict on this file beside what is in it."""
        of_content = self.content.own.verdict if self.content else Verdict.IDENTICAL
        return worst(of_content, Verdict.FUNCTIONAL) if self.changes else of_content


def unexplained(why: str) -> Content:
    """The content that nothing was shown of."""
    own = FileVerdict(verdict=Verdict.UNEXPLAINED, unexplained=[Unexplained(where="file", why=why)])
    return Content(format="", own=own)


def flatten(outcome: Outcome, path: str = "") -> list[tuple[str, Outcome, Verdict]]:
    """Every outcome with its path and its verdict, members counted in; a container before what is in it."""
    whole = f"{path}!/{outcome.name}" if path else outcome.name
    below = [flatten(m, whole) for m in (outcome.content.members if outcome.content else [])]
    verdict = worst(outcome.own, *(rows[0][2] for rows in below))
    return [(whole, outcome, verdict), *(row for rows in below for row in rows)]
