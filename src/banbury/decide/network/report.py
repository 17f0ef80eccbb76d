"""The result of a check, as a record and as lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from banbury.decide.network.network import Network


def record(folder: Path) -> dict[str, Any]:
    """Check the inventory in ``folder``: problems and notes that are named, and how many there are in all.

    Raises :class:`~banbury.model.errors.InputError` where the tables cannot be read.
    """
    with Network.open(folder, accept_problems=True) as network:
        found = network.problems
        return {
            "inventory": network.digest,
            "tables": {
                name: {"sha256": digest, "rows": network.rows[name]} for name, digest in network.digests.items()
            },
            "as_of": network.as_of.isoformat(),
            "made_up": network.made_up,
            "total": len(found),
            "total_notes": found.notes,
            "problems": [msgspec.to_builtins(p) | {"line": p.line()} for p in found if not p.note],
            "notes": [msgspec.to_builtins(p) | {"line": p.line()} for p in found if p.note],
            "unlisted": [
                {"check": check, "table": table, "column": column, "more": more}
                for check, table, column, more in found.unlisted()
            ],
        }


def lines(found: dict[str, Any]) -> list[str]:
    """The same to be read."""
    said = [f"{problem['line']}" for problem in found["problems"]]
    said += [f"note: {problem['line']}" for problem in found["notes"]]
    said += [
        f"… and {more['more']:,} more of {more['check']} in {more['table']}"
        + (f", column {more['column']}" if more["column"] else "")
        for more in found["unlisted"]
    ]
    rows = ", ".join(f"{name} {table['rows']:,}" for name, table in found["tables"].items())
    said.append(f"rows: {rows}")
    if found["made_up"]:
        said.append("this inventory says of itself that it is made up")
    total, notes = found["total"], found["total_notes"]
    said.append(
        f"{total:,} problem{'' if total == 1 else 's'}, {notes:,} note{'' if notes == 1 else 's'}; "
        f"as of {found['as_of']}; inventory {found['inventory']}"
    )
    return said
