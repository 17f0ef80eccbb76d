"""Makes the corpus: every recipe of every module, lazily, kept for the process's life."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import Struct

from banbury.compare.corpus import recipes as package
from banbury.compare.corpus.groups import GROUPS
from banbury.compare.corpus.pairs import LAB, VENDOR, VERDICTS, Missing, Pair, Recipe, Unavailable


class Choice(Struct, frozen=True, kw_only=True):
    """Which pairs to make; an empty field means all. ``pure``: only what needs no tool but Python (some seconds)."""

    ids: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    architectures: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    pure: bool = False

    def takes(self, recipe: Recipe) -> bool:
        wanted = (
            (self.ids, recipe.id),
            (self.formats, recipe.format),
            (self.architectures, recipe.architecture),
            (self.groups, recipe.group),
            (self.kinds, recipe.kind),
        )
        return all(not chosen or value in chosen for chosen, value in wanted) and (recipe.pure or not self.pure)


@cache
def recipes() -> dict[str, Recipe]:
    """Every recipe by its id, in a fixed order. Raises ValueError where two share an id or a label is unknown."""
    found: dict[str, Recipe] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if info.name.startswith("_"):
            continue
        for recipe in importlib.import_module(f"{package.__name__}.{info.name}").recipes():
            if recipe.id in found:
                raise ValueError(f"two recipes are named {recipe.id!r}")
            if recipe.group not in GROUPS or not recipe.expected <= set(VERDICTS):
                raise ValueError(f"{recipe.id}: unknown group or verdict")
            found[recipe.id] = recipe
    return found


@cache
def _made(name: str) -> Pair | Unavailable:
    recipe = recipes()[name]
    try:
        made = recipe.make()
    except Missing as problem:
        return Unavailable(
            id=name,
            format=recipe.format,
            architecture=recipe.architecture,
            group=recipe.group,
            tampered=recipe.tampered,
            reason=str(problem),
        )
    return Pair(
        id=name,
        format=recipe.format,
        architecture=recipe.architecture,
        a=made.a,
        b=made.b,
        record_a=made.record_a or LAB,
        record_b=made.record_b or VENDOR,
        expected=recipe.expected,
        tampered=recipe.tampered,
        group=recipe.group,
        note=recipe.note,
        base=made.base,
        touched=made.touched,
        changes=made.changes,
        trials=made.trials,
        behaviour=made.behaviour,
        well_formed=made.well_formed,
    )


def generate(out: Path | None = None, only: Choice | None = None) -> Iterator[Pair | Unavailable]:
    """The pairs that ``only`` chooses, one after another, made when they are asked for.

    The same machine gives the same bytes every time. A pair that cannot be made here is an :class:`Unavailable`, never
    left out. With ``out``, each pair is also written to ``out/<id>/rebuilt`` and ``out/<id>/shipped``, and their
    labels and build records to ``out/labels.json``.
    """
    labels: list[dict[str, object]] = []
    for recipe in recipes().values():
        if only is not None and not only.takes(recipe):
            continue
        pair = _made(recipe.id)
        if out is not None:
            labels.append(_written(out, pair))
        yield pair
    if out is not None:
        (out / "labels.json").write_text(json.dumps(labels, indent=1, sort_keys=True) + "\n", "utf-8")


def _written(out: Path, pair: Pair | Unavailable) -> dict[str, object]:
    if isinstance(pair, Unavailable):
        return {"id": pair.id, "unavailable": pair.reason}
    folder = out / pair.id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rebuilt").write_bytes(pair.a)
    (folder / "shipped").write_bytes(pair.b)
    return {
        "id": pair.id,
        "format": pair.format,
        "architecture": pair.architecture,
        "group": pair.group,
        "kind": pair.kind,
        "tampered": pair.tampered,
        "expected": sorted(pair.expected, key=VERDICTS.index),
        "note": pair.note,
        "record_a": dict(pair.record_a),
        "record_b": dict(pair.record_b),
    }
