"""What a policy says of a network: rows, and one line for each policy."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

Status = Literal["violation", "due", "met", "insufficient data"]
#: From the worst.
ORDER: tuple[Status, ...] = ("violation", "insufficient data", "due", "met")


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row. ``measured`` in ``unit``; where the inventory leaves it open, it is the least it can be, and
    ``measured_high`` the most. ``limit``: what it may be at most (``at least``: in the text of ``unit``).
    ``due``: the last day on which it may be so. ``assets``: the ids of the elements it is about, in their order, the
    first of them where there are many; ``assets_total``: how many there are. ``restricted``: the assets tell where
    sensitive places are.
    """

    policy: str
    rule: str
    status: Status
    subject: str
    measured: float | None
    limit: float | None
    due: dt.date | None
    assets: list[str]
    source: str
    unit: str
    measured_high: float | None = None
    in_scope: int | None = None
    text: str = ""
    assets_total: int = 0
    restricted: bool = False

    def __post_init__(self) -> None:
        if self.status not in ORDER:
            raise ValueError(self.status)


class Overall(msgspec.Struct, frozen=True):
    """One policy's line. ``status``: the worst of its rows; ``not in force`` on the date (and then it has no rows).
    ``rows``: how many of each status.
    """

    policy: str
    version: int
    title: str
    jurisdiction: str
    legal_status: str
    status: str
    rows: dict[str, int]
    note: str


class Known(msgspec.Struct, frozen=True):
    """An evaluation of the workspace: what it is about, its evidence (kind: level and its own words), and how many
    elements of the inventory run that release."""

    release: str
    product: str
    version: str
    date: dt.date
    evidence: dict[str, tuple[str, str]]
    elements: int


class Assessment(msgspec.Struct, frozen=True):
    """Verdicts of one or more policies on a network, side by side. ``inventory``: its digest;
    ``problems``: how many its check found, where they were accepted. ``evaluations``: of
    the workspace, where one was given; ``remarks``: which of them were not used, and why. ``projected``: where the day
    asked about is later than the inventory, the last day for which its elements speak: what it has planned is then
    taken as done, and nothing else as changed."""

    as_of: dt.date
    inventory: str
    made_up: bool
    policies: list[Overall]
    verdicts: list[Verdict]
    problems: int = 0
    evaluations: list[Known] = []
    remarks: list[str] = []
    projected: dt.date | None = None

    def exit_status(self) -> int:
        """0 nothing is violated or open, 1 a violation, 4 insufficient data (or no policy in force on the date)."""
        found = {line.status for line in self.policies}
        if "violation" in found:
            return 1
        return 4 if "insufficient data" in found or found <= {"not in force"} else 0
