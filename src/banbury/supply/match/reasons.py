"""The published table of reasons, ``data/reasons.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from hashlib import sha256
from importlib.resources import files

from msgspec import Struct, convert

from banbury.model.supply import Justification, Reason, State


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of reason: ``state`` is what it makes of a candidate (``None``: it only informs), ``vex`` the
    justification that goes with it, ``yocto`` the status of Yocto's ``CVE_STATUS`` (``""`` where it has none)."""

    kind: str
    title: str
    state: State | None = None
    vex: Justification | None = None
    yocto: str = ""


@cache
def reasons() -> dict[str, Row]:
    """Every row by its kind."""
    table = tomllib.loads((files("banbury.supply") / "data" / "reasons.toml").read_text("utf-8"))
    return {row.kind: row for row in convert(table["reason"], list[Row])}


@cache
def digest() -> str:
    """The SHA-256 of the table."""
    return sha256((files("banbury.supply") / "data" / "reasons.toml").read_bytes()).hexdigest()


def reason(kind: str, says: str, **evidence: str) -> Reason:
    """A reason of a kind that the table has; ``KeyError`` where it has none."""
    return Reason(kind=reasons()[kind].kind, says=says, evidence=evidence)


#: Which settles a candidate where several speak: what is fixed is fixed whether or not it is built.
_ORDER = (State.FIXED, State.NOT_AFFECTED, State.ANALYST)


def settled(found: list[Reason]) -> tuple[State, Justification | None]:
    """The state that the reasons make of a candidate, and the justification of the first that makes it so."""
    rows = [reasons()[item.kind] for item in found]
    for state in _ORDER:
        for row in rows:
            if row.state is state:
                return state, row.vex
    return State.CANDIDATE, None
