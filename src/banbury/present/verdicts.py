"""Verdicts of the equivalence comparison as sentences for a manager."""

from __future__ import annotations

from typing import Final

from banbury.compare.equivalence.model import Verdict

SAID: Final = {
    Verdict.IDENTICAL: "Both are the same, byte for byte.",
    Verdict.METADATA: "They differ only in data that cannot change what the programs do.",
    Verdict.RELAYOUT: "The programs do the same; some are laid out differently, and every reference was checked.",
    Verdict.REBUILD: "The differences vanish in a controlled rebuild with one named value changed.",
    Verdict.FUNCTIONAL: "They differ in what a program or the system would do.",
    Verdict.UNEXPLAINED: "Some differences could not be accounted for. They are not shown to be harmless.",
}


def said(verdict: Verdict) -> str:
    """A verdict as a sentence."""
    return SAID[verdict]
