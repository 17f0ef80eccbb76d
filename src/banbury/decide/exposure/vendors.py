"""Whose exposure: a name to a legal entity and its group; and the record of law and ownership, which stands apart."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec
import numpy as np

from banbury.decide.exposure.graph import Bools, Graph
from banbury.decide.exposure.law import Framework, Jurisdiction, Law, Owner
from banbury.decide.exposure.record import Vendor
from banbury.model.errors import InputError

#: Names offered where one is unknown.
OFFERED = 8


class _Laws(msgspec.Struct, forbid_unknown_fields=True):
    laws: list[Law]
    frameworks: list[Framework]


@cache
def entered() -> _Laws:
    """``data/jurisdictions.toml``."""
    text = (files("banbury.decide") / "data" / "jurisdictions.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Laws, strict=False)


def resolve(g: Graph, asked: str) -> tuple[Vendor, Bools]:
    """The legal entity whose id, or else whose whole name (small and capital letters alike), is ``asked``, with its
    group; and the mask of the group over the graph's vendors.

    Raises :class:`InputError` where nothing, or more than one entity, is of that name.
    """
    rows = g.network.sql("SELECT id, name, group_id FROM vendors ORDER BY id")
    found = [row for row in rows if row[0] == asked]
    found = found or [row for row in rows if row[1] is not None and row[1].casefold() == asked.casefold()]
    if not found:
        counts = np.bincount(g.vendor, minlength=len(g.vendors)) if g.n else np.zeros(len(g.vendors))
        most = [g.vendors[i] for i in np.argsort(-counts, kind="stable")[:OFFERED] if counts[i]]
        raise InputError(
            f"no vendor {asked[:60]!r} in the inventory; most elements are by {', '.join(most) or 'nobody'}"
        )
    if len(found) > 1:
        raise InputError(
            f"{asked[:60]!r} is the name of {len(found):,} entities: {', '.join(r[0] for r in found[:OFFERED])}"
        )
    name, title, group = found[0]
    entities = [row[0] for row in rows if row[2] == group]
    members = set(entities)
    mask = np.array([v in members for v in g.vendors], dtype=bool)
    made = int(mask[g.vendor].sum()) if g.n else 0
    return Vendor(asked, name, title or name, group, entities, made), mask


def jurisdiction(g: Graph, vendor: Vendor) -> Jurisdiction:
    """Who owns the entities of the group, where they are established, and the laws entered for those countries."""
    made = np.bincount(g.vendor, minlength=len(g.vendors))
    supported = np.bincount(g.supporter[g.supporter >= 0], minlength=len(g.vendors))
    at = {name: i for i, name in enumerate(g.vendors)}
    rows = g.network.sql(
        """SELECT id, name, parent, jurisdiction, valid_from, valid_to, asserted_by, as_of FROM vendors
        WHERE group_id = $group ORDER BY len(chain), id""",
        {"group": vendor.group},
    )
    above = g.network.sql("SELECT chain FROM vendors WHERE id = $id", {"id": vendor.id})[0][0]
    owners = [
        Owner(
            id=name,
            name=title or name,
            role="asked" if name == vendor.id else "owner" if name in above else "affiliate",
            country=country,
            parent=parent,
            valid_from=first,
            valid_to=last,
            asserted_by=said or "",
            as_of=day,
            supplies=int(made[at[name]]) if name in at else 0,
            supports=int(supported[at[name]]) if name in at else 0,
        )
        for name, title, parent, country, first, last, said, day in rows
    ]
    countries = {owner.country for owner in owners if owner.country}
    day = g.network.as_of
    laws = [law for law in entered().laws if law.country in countries and law.date <= day]
    return Jurisdiction(
        owners=owners,
        laws=laws,
        countries_without=sorted(countries - {law.country for law in entered().laws}),
        unknown=[owner.id for owner in owners if not owner.country],
        frameworks=[f for f in entered().frameworks if f.date <= day],
    )
