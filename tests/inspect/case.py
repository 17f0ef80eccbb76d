"""The shape of an inspector's samples; every inspector has some in ``tests/inspect/cases``, in a list ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from banbury.model.tree import Entry


@dataclass(frozen=True)
class Case:
    """``make`` builds a file's content, or ``entries`` stand for a container's entries. Each of ``expect`` (a fact's
    tag and some of its fields) must be among the facts of a positive sample; a negative one has no facts, or, where
    ``expect`` is given, exactly none that match it; a malformed one must fail with Malformed, or state no wrong fact:
    none of ``never`` may match."""

    inspector: str
    sort: str  # "positive", "negative" or "malformed"
    name: str
    make: Callable[[], bytes] | None = None
    path: str = ""
    entries: list[Entry] | None = None
    expect: list[dict[str, object]] = field(default_factory=list)
    never: list[dict[str, object]] = field(default_factory=list)
