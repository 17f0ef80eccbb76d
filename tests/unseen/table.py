"""Rows, counted by variation."""

from __future__ import annotations

from collections.abc import Callable

from tests.unseen.measure import Row
from tests.unseen.plan import VARIATIONS


def table(rows: list[Row]) -> str:
    """Pairs, refused ones and their share by variation, in Markdown. Pairs of equal files show nothing and are left
    out; so are refused ones of which the compiler made other code (a text or its length is in it)."""
    lines = [
        "| what differs | pairs | refused | share | other code | equal files |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    order = [v.name for v in VARIATIONS]
    names = sorted({r.variation for r in rows}, key=lambda n: (order.index(n) if n in order else len(order), n))
    for name in names:
        lines.append(_line(name, rows, lambda r, name=name: r.variation == name))  # type: ignore[misc]
    for name, group in GROUPS.items():
        lines.append(_line(f"**{name}**", rows, group))
    return "\n".join(lines) + "\n"


def _line(name: str, rows: list[Row], group: Callable[[Row], bool]) -> str:
    inside = [row for row in rows if group(row)]
    equal = sum(row.verdict == "identical" for row in inside)
    code = sum(bool(row.code) for row in inside)
    refused = sum(row.refused and not row.code for row in inside)
    pairs = len(inside) - equal - code
    share = f"{100 * refused / pairs:.1f} %" if pairs else ""
    return f"| {name} | {pairs} | {refused} | {share} | {code or ''} | {equal or ''} |"


def _length(row: Row) -> bool:
    return "longer" in row.variation.split(", ") or "shorter" in row.variation


def _text(row: Row) -> bool:
    """Whether a text of another length is in what is loaded: a path is in few programs."""
    return _length(row) and (row.moved or not row.variation.startswith("path"))


#: What documents tell apart: nothing moves, a text of another length, the build-id.
GROUPS: dict[str, Callable[[Row], bool]] = {
    "texts of equal length, debug information, stripping, packaging": lambda r: (
        not _text(r) and not r.variation.startswith("build-id")
    ),
    "a text of another length": _text,
    "build-id": lambda r: r.variation.startswith("build-id"),
    "all": lambda _: True,
}
