"""The supply chain of a release on a day: its inventory, held against the feeds that are loaded.

A function of the inventory, the feeds' snapshots, the analysts' decisions and the day. No byte of a submission is read
here, and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from banbury.model.supply import Bill, Decision, Inventory, Snapshot, SupplyChain
from banbury.supply.declared.compare import compare_declared
from banbury.supply.declared.reading import Handed
from banbury.supply.feeds.store import FeedStore
from banbury.supply.match.engine import Matched, run
from banbury.supply.support.claims import support, unclaimed


def supply_chain(
    inventory: Inventory,
    as_of: str,
    feeds: Path | None,
    *,
    until: str = "",
    decisions: Sequence[Decision] = (),
    bills: Sequence[Handed] = (),
) -> SupplyChain:
    """Everything that is known on the day ``as_of`` (ISO 8601). ``feeds`` is the feed store's file, ``None`` where
    there is none; ``until`` the last day for which the product's support is declared, or ``""``; ``bills`` the bills
    of materials that were handed in.
    """
    declared = compare_declared(bills, inventory)
    matched = None
    if feeds is not None:
        with FeedStore(feeds) as store:
            matched = run(inventory, store, decisions)
            claims = support(inventory.components, as_of, store=store, until=until)
    else:
        claims = support(inventory.components, as_of, until=until)
    return SupplyChain(
        inventory=inventory,
        feeds=[_undated(feed) for feed in matched.snapshots] if matched else [],
        matches=matched.matches if matched else [],
        unmatched=_unmatched(matched),
        support=claims,
        unclaimed=unclaimed(inventory.components, claims),
        bills=[_bill(one) for one in bills],
        discrepancies=declared.discrepancies,
    )


def _undated(snapshot: Snapshot) -> Snapshot:
    """A snapshot without the time of its import, which says nothing of its content."""
    return structs.replace(snapshot, imported="")


def _bill(handed: Handed) -> Bill:
    bill = handed.bill
    return Bill(
        name=handed.name,
        sha256=handed.sha256,
        format=f"{bill.format} {bill.spec}".strip(),
        listed=len(bill.components) + bill.unlisted,
        refused=bill.refused,
        remarks=bill.remarks,
    )


def _unmatched(matched: Matched | None) -> list[str]:
    return matched.unmatched if matched else []
