"""Every comparator of single files: the modules of this package that have ``LEAVES``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import banbury.compare.equivalence.leaves as package
from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.leaves.contract import Leaf, Pair
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Verdict
from banbury.formats.view import View
from banbury.model.errors import Malformed


@cache
def leaves() -> tuple[Leaf, ...]:
    """All of them, by the name of their module."""
    found: list[Leaf] = []
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if not info.name.startswith("_") and info.name not in ("contract", "registry"):
            found += importlib.import_module(f"{package.__name__}.{info.name}").LEAVES
    return tuple(found)


def claimed_leaf(a: View, b: View) -> Leaf | None:
    """The first comparator whose format both files claim to be."""
    for leaf in leaves():
        try:
            if leaf.claims(a) and leaf.claims(b):
                return leaf
        except Malformed:
            continue
    return None


def decide(leaf: Leaf, a: View, b: View, record_a: BuildRecord | None, record_b: BuildRecord | None) -> FileVerdict:
    """The verdict on two different files. What cannot be read is unexplained."""
    pair = Pair(a, b, record_a, record_b)
    try:
        return leaf.compare(pair)
    except Refused as answer:
        pair.account.refuse(
            answer.where, answer.why, *(x if x else s for x, s in zip((answer.a, answer.b), pair.spans(), strict=True))
        )
    except Malformed as problem:
        pair.account.refuse(leaf.name, str(problem), *pair.spans())
    return pair.account.verdict(Verdict.UNEXPLAINED)
