"""Exports of other systems into tables.

An importer states only what the export says. What an inventory needs and the export lacks is left out (a device whose
role means no known function keeps the role as its function, so that the check names the row) and remarked on.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Callable
from importlib.resources import files as package_files
from pathlib import Path

import msgspec

from banbury.decide.network import cyclonedx, netbox, nrm
from banbury.decide.network.exports import Bench, Mapping, read
from banbury.decide.network.tables import LONGEST, tables
from banbury.decide.network.writing import Draft
from banbury.model.errors import InputError

_IMPORTERS: dict[str, Callable[[Path, Bench], None]] = {
    "netbox-json": netbox.from_json,
    "netbox-csv": netbox.from_csv,
    "3gpp-nrm": nrm.from_file,
    "cyclonedx": cyclonedx.from_file,
}


class Done(msgspec.Struct):
    """What came in: rows by table, and what could not be told."""

    rows: dict[str, int]
    remarks: list[str]


def _mapping(path: Path | None) -> Mapping:
    try:
        if path is None:
            said = (package_files("banbury.decide") / "data" / "mapping_netbox.toml").read_text("utf-8")
        else:
            said = read(path).decode("utf-8")
        return msgspec.convert(tomllib.loads(said), Mapping)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as problem:
        raise InputError(f"{path.name if path else 'mapping'}: {str(problem)[:200]}") from problem


def bring_in(
    paths: list[Path], form: str, out: Path, *, mapping: Path | None, operator: str, as_of: str, asserted_by: str
) -> Done:
    """Read ``paths`` as ``form`` and write tables into ``out``. Raises :class:`InputError`.

    ``as_of``: the day for which the exports speak, YYYY-MM-DD.
    """
    try:
        dt.date.fromisoformat(as_of)
    except ValueError as problem:
        raise InputError(f"--as-of: {as_of[:40]!r} is no date (YYYY-MM-DD)") from problem
    bench = Bench(_mapping(mapping), operator)
    for path in paths:
        _IMPORTERS[form](path, bench)
    draft = Draft(asserted_by or f"{form}: {', '.join(p.name for p in paths)}"[:LONGEST], as_of)
    for name, rows in bench.rows.items():
        if rows:
            columns = {key: [row.get(key) for row in rows] for key in tables()[name].columns if key not in draft.common}
            draft.add(name, **columns)
    draft.write(out, as_text=True)
    remarks = [f"{count:,} × {what}" for what, count in sorted(bench.missing.items())]
    return Done({name: draft.count(name) for name in draft.tables()}, remarks)
