"""Two files of the same layout: everything at the same place, equal but for what is explained where it differs.

The walk goes from one difference to the next. Each is given to the explainers in turn, which state how far they account
for both files from there, or nothing; the walk goes on behind that. What nobody accounts for ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from banbury.compare.equivalence.containers.contract import Work
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

_BLOCK: Final = 1 << 18
_THINGS: Final = 4096
#: Given the place of a difference and how far everything is accounted for; returns how far it accounts, or 0.
Explainer = Callable[[int, int], int]


def next_difference(a: View, b: View, at: int) -> int:
    """The first place from ``at`` on at which two equally long views differ, or -1."""
    size = len(a)
    while at < size:
        length = min(_BLOCK, size - at)
        one, other = a.mem(at, length), b.mem(at, length)
        if one != other:
            return at + int(np.argmax(np.frombuffer(one, np.uint8) != np.frombuffer(other, np.uint8)))
        at += length
    return -1


def walk(work: Work, explainers: Sequence[Explainer], where: str) -> None:
    """Account for all differences between the two sides, which must be of one length."""
    if len(work.a) != len(work.b):
        work.account.refuse(
            where,
            f"{len(work.a)} bytes against {len(work.b)}: another layout, which is not compared for this format",
            [Range(0, len(work.a))],
            [Range(0, len(work.b))],
        )
        return
    done = things = 0
    while (at := next_difference(work.a, work.b, done)) >= 0:
        stop = next((s for s in (explain(at, done) for explain in explainers) if s > at), 0)
        things += 1
        if not stop or things > _THINGS:
            rest = [Range(at, len(work.a))]
            work.account.refuse(where, f"differs from {at:#x} on by what nothing accounts for", rest, rest)
            return
        done = stop
