"""The shape of a reader's samples. Every reader has ``tests/formats/cases/<module>.py`` with a list ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """``make`` builds the input (it may call pytest.skip where a tool is absent). ``tree`` maps the path of each
    expected file to its content; ``notes`` are codes that must be noted, ``clean`` says that no others may be."""

    reader: str
    sort: str  # "positive", "negative" or "malformed"
    name: str
    make: Callable[[], bytes]
    tree: dict[str, bytes] = field(default_factory=dict)
    notes: frozenset[str] = frozenset()
    clean: bool = True
    #: Share of bytes that must not be ``unread`` in a positive case.
    read_share: float = 1.0
