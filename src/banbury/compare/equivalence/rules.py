"""The rules of equivalence are data: TOML files beside this module, read and checked once.

A rule says which differing bytes it accounts for (``statement``), who consumes the file and why that consumer cannot
tell (``consumer``, ``argument``), when it does not hold (``withdrawn_if``), and which test pairs hold it to that:
at least one ``positive`` and one ``tampered``, by the names that the tests give their pairs.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parent / "rules"


class Tier(StrEnum):
    """What a rule rests on."""

    SOUND = "sound"
    DECLARED = "declared"
    ASSUMPTION = "assumption"


class EquivalenceRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published rule. ``assumption`` must be given for (and only for) the tier ``assumption``."""

    id: str
    title: str
    format: str
    tier: Tier
    consumer: str
    statement: str
    argument: str
    source: list[str]
    positive: list[str]
    tampered: list[str]
    withdrawn_if: str = ""
    assumption: str = ""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    rule: list[EquivalenceRule]


@cache
def rules() -> dict[str, EquivalenceRule]:
    """Every rule by its id. Raises ``ValueError`` for a rule set that contradicts itself."""
    found: dict[str, EquivalenceRule] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        for rule in msgspec.toml.decode(path.read_bytes(), type=_File).rule:
            if rule.id in found:
                raise ValueError(f"two rules are called {rule.id}")
            if bool(rule.assumption) != (rule.tier is Tier.ASSUMPTION):
                raise ValueError(f"{rule.id}: a rule that assumes something says what, and no other does")
            found[rule.id] = rule
    return found
