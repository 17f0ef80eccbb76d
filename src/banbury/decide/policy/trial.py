"""A pack's own tests: small inventories written in the pack, and the rows that must come out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from banbury.decide.network import Network
from banbury.decide.network.tables import tables
from banbury.decide.network.writing import Draft
from banbury.decide.policy.assess import assess
from banbury.decide.policy.pack import Expected, Pack, Trial
from banbury.decide.policy.verdict import Verdict
from banbury.model.errors import InputError


def draft(trial: Trial, where: str) -> Draft:
    """The inventory of a trial. An element's site that is not given is made, of class access."""
    made = Draft("a test of the pack", trial.as_of.isoformat())
    rows: dict[str, list[dict[str, Any]]] = {name: [dict(r) for r in some] for name, some in trial.inventory.items()}
    sites = {row.get("id") for row in rows.get("sites", [])}
    for row in rows.get("elements", []):
        site = row.setdefault("site", f"site-{row.get('id')}")
        if site not in sites:
            sites.add(site)
            rows.setdefault("sites", []).append(
                {"id": site, "operator": row.get("operator", "Alpha"), "class": "access"}
            )
    for row in rows.get("vendors", []):
        row.setdefault("name", row.get("id"))
    for name, some in rows.items():
        if name not in tables():
            raise InputError(f"{where}: {name[:60]!r} is no table of an inventory")
        for row in some:
            try:
                made.add(name, **{key: None if value is None else str(value) for key, value in row.items()})
            except ValueError as problem:
                raise InputError(f"{where}: {problem}") from problem
    return made


def run(pack: Pack, trial: Trial) -> list[str]:
    """What a trial finds wrong with its pack, a line for each; none where every expected row is there."""
    where = f"pack {pack.id}, test {trial.name}"
    with tempfile.TemporaryDirectory(prefix="banbury-policy-") as scratch:
        folder = Path(scratch) / "network"
        draft(trial, where).write(folder)
        try:
            with Network.open(folder, as_of=trial.as_of) as network:
                found = assess(network, [pack]).verdicts
        except InputError as problem:
            raise InputError(f"{where}: {problem}") from problem
    return [
        f"{where}: expected {expected.rule} {expected.status} {expected.subject}, found "
        + "; ".join(_shown(v) for v in found if v.rule == expected.rule)
        for expected in trial.expect
        if not any(_matches(v, expected) for v in found)
    ]


def _shown(v: Verdict) -> str:
    return f"{v.subject}: {v.status}, {v.measured}, {v.due}, {v.assets[:10]}"


def _matches(v: Verdict, e: Expected) -> bool:
    return (
        v.rule == e.rule
        and v.status == e.status
        and e.subject in {"", v.subject}
        and (e.assets is None or list(e.assets) == v.assets)
        and (e.due is None or e.due == v.due)
        and (e.measured is None or (v.measured is not None and abs(e.measured - v.measured) < 1e-9))
    )
