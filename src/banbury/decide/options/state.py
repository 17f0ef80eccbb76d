"""The inventory as a plan leaves it at the end of a year: what is swapped is another vendor's, and managed by that
one's manager. The policies and the exposure are then asked of it as of any other inventory.
"""

# ruff: noqa: S608 - the names in these queries are our own; an inventory's text goes in as parameters
from __future__ import annotations

import datetime as dt
from types import TracebackType

from banbury.decide.network import Network

#: What a swap changes, where the inventory has such a column.
CHANGED = ("vendor", "product", "release", "release_sha256", "supported_by", "managed_by", "updated_by")
#: From this year's position on: a planned element is ordered elsewhere from the outset.
OUTSET = -1


class State:
    """Puts the network into the state of a plan, and back. Use as a context manager."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.today = network.as_of
        run = network.connection.execute
        there = {row[0] for row in run("DESCRIBE data_resolved").fetchall()}
        self.columns = [c for c in CHANGED if c in there]
        run(
            f"""CREATE OR REPLACE TEMP TABLE option_original AS SELECT r.id, r.operator, r.function,
            {", ".join("r." + c for c in self.columns)}
            FROM data_resolved r JOIN option_cover c ON c.id = r.id WHERE c.covered"""
        )
        # The manager and the update server that an operator has for such a vendor's function, else for the vendor.
        peers = ", ".join(f"min(e.{c}) AS {c}" for c in ("managed_by", "updated_by") if c in self.columns)
        for name, keys in (("option_peer", "operator, function, vendor"), ("option_peer_any", "operator, vendor")):
            run(
                f"""CREATE OR REPLACE TEMP TABLE {name} AS SELECT {keys}, {peers} FROM elements e
                JOIN option_cover c USING (id) WHERE c.covered = false AND e.status <> 'removed' GROUP BY ALL"""
            )
        self.plan({})

    def plan(self, swaps: dict[str, tuple[int, str]]) -> None:
        """Take a plan: for each element the position of its year, and the vendor that comes."""
        run = self.network.connection.execute
        run("CREATE OR REPLACE TEMP TABLE option_plan (id VARCHAR, year INTEGER, vendor VARCHAR)")
        if swaps:
            ids = sorted(swaps)
            run(
                "INSERT INTO option_plan SELECT unnest($ids), unnest($years), unnest($vendors)",
                {"ids": ids, "years": [swaps[i][0] for i in ids], "vendors": [swaps[i][1] for i in ids]},
            )

    def at(self, position: int, day: dt.date) -> Network:
        """The network after the swaps of all years up to ``position``, as of ``day``."""
        sets = []
        for column in self.columns:
            if column == "vendor":
                new = "p.vendor"
            elif column == "supported_by":
                new = "CASE WHEN o.supported_by IS NOT NULL THEN p.vendor END"
            elif column in {"managed_by", "updated_by"}:
                new = f"CASE WHEN o.{column} IS NOT NULL THEN coalesce(k.{column}, a.{column}) END"
            else:
                new = "NULL"
            sets.append(f"{column} = CASE WHEN p.id IS NULL THEN o.{column} ELSE {new} END")
        self.network.connection.execute(
            f"""UPDATE data_resolved r SET {", ".join(sets)} FROM option_original o
            LEFT JOIN option_plan p ON p.id = o.id AND p.year <= {int(position)}
            LEFT JOIN option_peer k ON k.operator = o.operator AND k.function = o.function AND k.vendor = p.vendor
            LEFT JOIN option_peer_any a ON a.operator = o.operator AND a.vendor = p.vendor
            WHERE r.id = o.id"""
        )
        return self.network.at(day)

    def restore(self) -> None:
        """The inventory as it was, on the day it was asked for."""
        self.plan({})
        self.at(OUTSET - 1, self.today)

    def __enter__(self) -> State:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()
