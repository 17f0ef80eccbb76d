"""The network page: one offline HTML file of what was judged, what a vendor could do, and which options there are.

Names come from an inventory and are data, autoescaped; places near sensitive ones are counted and never named; the page
allows no script, and no style but its own.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

import banbury
from banbury.decide.cases.records import Story
from banbury.decide.exposure.record import CLASSES
from banbury.decide.options.text import doubt
from banbury.decide.policy.text import bound
from banbury.decide.policy.verdict import Verdict
from banbury.present import page
from banbury.present.network.chosen import Chosen, money, span, turn
from banbury.present.network.exposed import Exposed, way
from banbury.present.network.judged import NAMES, Judged

_BADGE = {"violation": "high", "insufficient data": "low", "due": "medium", "met": "yes", "not in force": "info"}


class Basis(msgspec.Struct, frozen=True):
    """What the page rests on: the date (none where there are several), the inventory, and its problems."""

    as_of: dt.date | None
    inventory: str
    made_up: bool
    problems: int
    projected: dt.date | None = None


def render(
    title: str,
    *,
    judged: Judged | None = None,
    exposed: Exposed | None = None,
    chosen: Chosen | None = None,
    story: Story | None = None,
) -> str:
    """The page with the sections for which there is something; all of one inventory. Raises ValueError without any."""
    context: dict[str, Any] = {
        "title": title,
        "version": banbury.__version__,
        "basis": _basis(judged, exposed, chosen, story),
        "judged": judged,
        "exposed": exposed,
        "chosen": chosen,
        "story": story,
        "countries": [answer.country for answer in story.told[0].answers] if story else [],
        "classes": CLASSES,
        "names": NAMES,
        "badges": _BADGE,
    }
    style = page.read("report.css", "network.css")
    return page.render(
        "network.html.j2",
        context,
        style=style,
        figure=figure,
        way=way,
        part=part,
        span=span,
        money=money,
        turn=turn,
        doubt=doubt,
    )


def _basis(judged: Judged | None, exposed: Exposed | None, chosen: Chosen | None, story: Story | None) -> Basis:
    if judged is not None:
        a = judged.assessment
        return Basis(a.as_of, a.inventory, a.made_up, a.problems, a.projected)
    if exposed is not None:
        e = exposed.exposure
        return Basis(e.as_of, e.inventory, e.made_up, e.problems)
    if chosen is not None:
        o = chosen.options
        return Basis(o.as_of, o.inventory, o.made_up, o.problems)
    if story is not None:
        return Basis(None, story.inventory, story.made_up, story.problems)
    raise ValueError("a page without a section")


def number(value: float, unit: str) -> str:
    """A measured figure in its unit: shares in per cent, numbers grouped."""
    return f"{value:.1%}" if unit.startswith("share") else f"{value:,.0f}"


def figure(row: Verdict) -> str:
    """What a row measured, in words: the figure or its range, the unit, the limit."""
    if row.measured is None:
        return "not measured"
    high = "" if row.measured_high is None else f" to {number(row.measured_high, row.unit)}"
    unit = row.unit.partition(",")[0]
    limit = "" if row.limit is None else f", {bound(row.unit)} {number(row.limit, row.unit)}"
    return f"{number(row.measured, row.unit)}{high} {unit}{limit}"


def part(value: float) -> str:
    """A fraction in per cent."""
    return f"{value:.1%}"
