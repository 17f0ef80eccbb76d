"""Labelled pairs of files that gate every equivalence verdict: harmless variance, and tampering of every known kind.

Nothing here is shipped as a binary: pairs are written by Python or compiled from the sources in this package, when
they are asked for. ``docs/equivalence-corpus.md`` lists them.
"""

from __future__ import annotations

from banbury.compare.corpus.generator import Choice, generate, recipes
from banbury.compare.corpus.groups import ATTACKS, CAUSES, GROUPS
from banbury.compare.corpus.measure import Table, by_diffoscope, identical_only, measure
from banbury.compare.corpus.pairs import ACCEPTED, REFUSED, VERDICTS, BuildRecord, Pair, Recipe, Unavailable, stray

__all__ = [
    "ACCEPTED",
    "ATTACKS",
    "CAUSES",
    "GROUPS",
    "REFUSED",
    "VERDICTS",
    "BuildRecord",
    "Choice",
    "Pair",
    "Recipe",
    "Table",
    "Unavailable",
    "by_diffoscope",
    "generate",
    "identical_only",
    "measure",
    "recipes",
    "stray",
]
