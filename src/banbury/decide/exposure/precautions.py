"""Precautions as data: ``data/precautions.toml``.

A precaution takes away relations (edges) or classes of data that a function holds (labels); it multiplies nothing.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from banbury.decide.exposure.kinds import kinds
from banbury.decide.exposure.record import CLASSES
from banbury.decide.network.catalogue import GB, LAYERS
from banbury.model.errors import InputError


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a precaution takes away; see the head of ``precautions.toml``."""

    on: str
    classes: str = ""
    lowered_by: str = ""
    clear_unless: str = ""
    layers: list[str] = []
    classes_gb: list[str] = []
    alternate: bool = False


class Precaution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A precaution as it is shipped."""

    title: str
    acts: list[Act]
    needs: list[str]
    source: str
    read: Literal["primary", "secondary", "memory"]
    holds_if: Literal["", "release-equivalent", "other-segw", "other-hsm", "pair"] = ""
    cost: str = ""


@cache
def precautions() -> dict[str, Precaution]:
    """Those that are shipped, by id. Raises :class:`ValueError` naming the one that is wrong."""
    return parse((files("banbury.decide") / "data" / "precautions.toml").read_text("utf-8"))


def parse(text: str) -> dict[str, Precaution]:
    """Read and check. Raises :class:`ValueError`, :class:`msgspec.ValidationError`."""
    found = msgspec.convert(tomllib.loads(text), dict[str, Precaution])
    for name, precaution in found.items():
        for act in precaution.acts:
            if act.on not in {"holds", "vendor", *kinds().kinds}:
                raise ValueError(f"precaution {name}: acts on {act.on!r}")
            if act.on == "holds" and not (act.classes and set(act.classes) <= set(CLASSES)):
                raise ValueError(f"precaution {name}: classes {act.classes!r}")
            if not set(act.layers) <= set(LAYERS) or not set(act.classes_gb) <= set(GB):
                raise ValueError(f"precaution {name}: a layer or class that is none")
    return found


def chosen(names: list[str]) -> list[str]:
    """The ids asked for, each once. Raises :class:`InputError` for one that is unknown."""
    known = precautions()
    for name in names:
        if name not in known:
            raise InputError(f"no precaution {name[:60]!r}; there are {', '.join(known)}")
    return list(dict.fromkeys(names))
