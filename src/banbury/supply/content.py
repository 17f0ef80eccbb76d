"""A content that is asked what it is, and what it answers with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from banbury.model.evaluation import Fact
from banbury.model.supply import Identity, Standing, Technique

#: What a state between releases calls itself (OpenWrt's DISTRIB_RELEASE: ``Bleeding Edge`` to 2015, then ``SNAPSHOT``).
_BETWEEN: Final = re.compile(r"(?i)\b(?:bleeding edge|snapshot|trunk)\b")


class Content(Struct, frozen=True, kw_only=True):
    """One content's facts, its sort (``kind``), and where it stands. ``within`` are the stretches that are contents of
    their own."""

    sha256: str
    facts: Sequence[Fact]
    where: str = ""
    names: Sequence[str] = ()
    kind: str = ""
    within: Sequence[tuple[int, int]] = ()


def numbered(version: str) -> bool:
    """Whether it is a version at all: a code name is none."""
    return any(c.isdigit() for c in version)


def identity(
    content: Content, product: str, technique: Technique, standing: Standing, *, version: str = "", low: str = "",
    high: str = "", versions: Sequence[str] = (), rule: str = "", fact: Fact | None = None, start: int = -1,
    matched: str = "",
) -> Identity:  # fmt: skip
    """An identity that a content shows: where ``fact`` stands, or at ``start``."""
    at = fact.get("at") if fact else None
    span = (int(at[0]), int(at[1])) if isinstance(at, (list, tuple)) and len(at) == 2 else (start, len(matched))
    return Identity(
        product=product,
        technique=technique,
        standing=standing,
        version=version if numbered(version) else "",
        low=low,
        high=high,
        versions=list(versions),
        snapshot=bool(_BETWEEN.search(version)),
        rule=rule or (str(fact.get("rule", "")) if fact else ""),
        sha256=content.sha256,
        where=content.where,
        start=span[0],
        length=span[1] if span[0] >= 0 else 0,
        matched=(str(fact.get("text", "")) if fact else matched)[:120],
    )
