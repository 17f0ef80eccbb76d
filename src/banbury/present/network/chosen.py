"""Options side by side, for the page: cost against exposure, the frontier of cap and deadline, and shares over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import msgspec
from markupsafe import Markup

from banbury.decide.options.record import Cell, Flip, Option, Options, Range
from banbury.present.network.charts import drawn, named, of

#: The class of data of the scatter, and rows of a schedule in the page.
SCATTERED: Final = "U"
STEPS: Final = 120
_INK, _SOFT, _PALE, _BAD, _BLUE = "#1a1f25", "#5a6672", "#aeb7c0", "#b3361f", "#2f6f9f"


class Year(msgspec.Struct, frozen=True):
    """Units swapped in one year."""

    year: int
    units: int


class Row(msgspec.Struct, frozen=True):
    """One option with what the page adds: units by year, its outage at the end of the last year, and the numbers of the
    options that dominate it."""

    option: Option
    by_year: list[Year]
    outage: Range | None
    dominated_by: list[int]


class Chosen(msgspec.Struct, frozen=True):
    """What the page shows of options."""

    options: Options
    rows: list[Row]
    scatter: Markup | None
    over_time: Markup | None
    frontier: Markup | None
    titles: dict[str, str]


def chosen(found: Options) -> Chosen:
    """The pictures and tables of ``found``."""
    numbers = {option.id: number for number, option in enumerate(found.options, 1)}
    rows = [
        Row(o, _by_year(o), o.outage[-1] if o.outage else None, [numbers[i] for i in o.dominated_by if i in numbers])
        for o in found.options
    ]
    titles = {option.id: option.title for option in found.options}
    return Chosen(found, rows, scatter(found), over_time(found), frontier(found.frontier, found.currency), titles)


def _by_year(option: Option) -> list[Year]:
    units: dict[int, int] = {}
    for step in option.schedule:
        units[step.year] = units.get(step.year, 0) + step.units
    return [Year(year, units[year]) for year in sorted(units)]


def money(value: float, currency: str) -> str:
    """An amount, rounded to what its source can bear: three digits."""
    sign = {"GBP": "£", "EUR": "€", "USD": "$"}.get(currency, f"{currency} ")
    for unit, name in ((1e9, " bn"), (1e6, " m"), (1e3, " k")):
        if abs(value) >= unit:
            return f"{sign}{value / unit:.3g}{name}"
    return f"{sign}{value:.0f}"


def span(cost: Range | None, currency: str) -> str:
    """A range of amounts."""
    if cost is None:
        return "–"
    low, high = money(cost.low, currency), money(cost.high, currency)
    return low if low == high else f"{low} to {high}"


def turn(flip: Flip, value: float | None, currency: str) -> str:
    """A value of what turns an order, in its unit: crews are parts of the units a year, all else is money."""
    if value is None:
        return "–"
    return f"{value:.0%}" if flip.what.startswith("crews") else money(value, currency)


def scatter(found: Options) -> Markup | None:
    """Cost, from the lowest anchors to the highest, against exposure-years, for options with a plan, by number."""
    rows = []
    for number, option in enumerate(found.options, 1):
        years = next((e.years for e in option.exposure if e.data == SCATTERED), None)
        if option.cost is None or years is None:
            continue
        rows.append(
            {
                "option": str(number),
                "years": years,
                "low": option.cost.low / 1e6,
                "high": option.cost.high / 1e6,
                "middle": (option.cost.low + option.cost.high) / 2e6,
                "dominated": bool(option.dominated_by),
            }
        )
    if not rows:
        return None
    base = alt.Chart(of(rows)).encode(
        y=alt.Y("years:Q", title="exposure-years of user content", scale=alt.Scale(zero=True)),
        color=alt.condition("datum.dominated", alt.value(_PALE), alt.value(_BLUE)),
    )
    title = f"cost to {found.last}, {found.currency} million, lowest to highest anchor"
    # Few ticks: on this scale those that are chosen by themselves run into each other.
    scale = alt.Scale(type="symlog", constant=10)
    ticks = alt.Axis(values=[a * 10**b for b in range(7) for a in (1, 3)])
    line = base.mark_rule(strokeWidth=3, opacity=0.75).encode(
        x=alt.X("low:Q", title=title, scale=scale, axis=ticks), x2="high:Q"
    )
    ends = base.mark_point(filled=True, size=36, opacity=1).encode(x="low:Q")
    other = base.mark_point(filled=True, size=36, opacity=1).encode(x="high:Q")
    text = base.mark_text(align="left", dx=7, fontSize=11, fontWeight="bold").encode(x="high:Q", text="option:N")
    return drawn((line + ends + other + text).properties(width=620, height=320))


def over_time(found: Options) -> Markup | None:
    """Exposure of user content at each year's end, by option."""
    rows: list[dict[str, Any]] = []
    for number, option in enumerate(found.options, 1):
        for e in option.exposure:
            if e.data == SCATTERED and option.state in ("plan", "nothing to do"):
                for year, value in enumerate([e.start, *e.by_year], found.first - 1):
                    rows.append(
                        {
                            "option": f"{number} {named(option.title)}",
                            "year": "today" if year < found.first else str(year),
                            "part": value,
                        }
                    )
    if not rows:
        return None
    chart = (
        alt.Chart(of(rows))
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("year:O", title=None, sort=None, axis=alt.Axis(labelAngle=0, grid=False)),
            y=alt.Y("part:Q", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("option:N", title=None, sort=None, scale=alt.Scale(scheme="tableau10")),
            strokeDash=alt.StrokeDash("option:N", title=None, sort=None),
        )
    )
    return drawn(chart.properties(width=560, height=240))


def frontier(cells: Sequence[Cell], currency: str) -> Markup | None:
    """Cap by deadline: what the cheapest schedule costs, or that there is none."""
    rows = [
        {
            "cap": f"{cell.cap:.0%}",
            "by": str(cell.by),
            "order": -cell.cap,
            "cost": (cell.cost.low + cell.cost.high) / 2 if cell.cost else None,
            "text": span(cell.cost, currency) if cell.cost else cell.state,
        }
        for cell in cells
    ]
    if not rows:
        return None
    base = alt.Chart(of(rows)).encode(
        x=alt.X("by:N", title="from the end of", axis=alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False)),
        y=alt.Y("cap:N", title="cap", sort=alt.EncodingSortField("order"), axis=alt.Axis(domain=False, ticks=False)),
    )
    cells_drawn = base.mark_rect(stroke="#ffffff", strokeWidth=2).encode(
        color=alt.Color("cost:Q", legend=None, scale=alt.Scale(range=["#f6f3ee", "#7fb0d3"], interpolate="rgb"))
    )
    none = base.transform_filter("datum.cost === null").mark_rect(color="#e7d3cf", stroke="#ffffff", strokeWidth=2)
    text = base.mark_text(fontSize=10.5).encode(
        text="text:N", color=alt.condition("datum.cost === null", alt.value(_BAD), alt.value(_INK))
    )
    return drawn((cells_drawn + none + text).properties(width=alt.Step(118), height=alt.Step(30)))
