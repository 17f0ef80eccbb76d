"""Charts of a network: heat map against the caps, shares over time, areas, and options. Drawn by Altair, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import altair as alt
import vl_convert
from markupsafe import Markup

from banbury.decide.exposure.record import Readable
from banbury.decide.policy.geography import LAT, LON, Area, RegionalShare
from banbury.decide.policy.timeline import Point
from banbury.present.network.svg import admitted
from banbury.present.text import clip

_INK, _SOFT, _LINE = "#1a1f25", "#5a6672", "#d9dfe5"
#: Below the cap, at it, and above: colours that are told apart without red and green.
_COLOURS: Final = ["#2f6f9f", "#f6f3ee", "#b3361f"]
_NAME: Final = 40
#: Operators in one picture, and regions of a heat map.
MOST: Final = 12
REGIONS: Final = 40


def drawn(chart: Any) -> Markup:
    """A chart as SVG for a page."""
    made = (
        chart.configure(
            background="#ffffff", font="system-ui, sans-serif", padding={"left": 24, "top": 4, "right": 64, "bottom": 4}
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_SOFT, titleColor=_SOFT, gridColor=_LINE, domainColor=_LINE, tickColor=_LINE, labelLimit=220
        )
        .configure_legend(labelColor=_SOFT, titleColor=_SOFT)
        .configure_header(labelColor=_INK, titleColor=_SOFT, labelFontSize=13, labelFontWeight="bold")
    )
    return admitted(vl_convert.vegalite_to_svg(made.to_dict()))


def named(value: object) -> str:
    """A name from the inventory, fit for a label."""
    return clip(value, _NAME)


def of(rows: Iterable[dict[str, Any]]) -> alt.InlineData:
    """Rows as a chart's data."""
    return alt.InlineData(values=list(rows))


def heat(shares: Sequence[RegionalShare]) -> Markup | None:
    """Operator by region for one cap: the share, coloured by how far it is from the cap; none where there is none."""
    operators = sorted({s.operator for s in shares})[:MOST]
    regions = sorted({s.region for s in shares if s.operator in operators})[:REGIONS]
    rows = [
        {
            "operator": named(s.operator),
            "region": named(s.region),
            "over": s.low - s.limit,
            "text": _range(s.low, s.high),
            "dark": abs(s.low - s.limit) > 0.3,
        }
        for s in shares
        if s.operator in operators and s.region in regions
    ]
    if not rows:
        return None
    limit = shares[0].limit
    base = alt.Chart(of(rows)).encode(
        x=alt.X("region:N", title=None, axis=alt.Axis(orient="top", labelAngle=-35, domain=False, ticks=False)),
        y=alt.Y("operator:N", title=None, axis=alt.Axis(domain=False, ticks=False)),
    )
    colour = alt.Scale(domain=[-limit, 0, 1 - limit], range=_COLOURS, interpolate="rgb")
    cells = base.mark_rect(stroke="#ffffff", strokeWidth=2).encode(color=alt.Color("over:Q", scale=colour, legend=None))
    text = base.mark_text(fontSize=11).encode(
        text="text:N", color=alt.condition("datum.dark", alt.value("#ffffff"), alt.value(_INK))
    )
    return drawn((cells + text).properties(width=alt.Step(66), height=alt.Step(34)))


def over_time(points: Sequence[Point]) -> Markup | None:
    """The shares under one cap over the years, with the cap and its last day."""
    subjects = sorted({p.subject for p in points if p.share > 0})[:MOST]
    rows = [
        {"subject": named(p.subject), "day": p.day.isoformat(), "share": p.share}
        for p in points
        if p.subject in subjects
    ]
    if not rows:
        return None
    limit, due = points[0].limit, points[0].due
    lines = (
        alt.Chart(of(rows))
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("day:T", title=None, axis=alt.Axis(format="%Y", tickCount="year", grid=False)),
            y=alt.Y("share:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color(
                "subject:N", title=None, scale=alt.Scale(scheme="tableau10"), legend=alt.Legend(orient="top")
            ),
            strokeDash=alt.StrokeDash("subject:N", legend=None),
        )
    )
    cap = alt.Chart(of([{"y": limit}])).mark_rule(color=_COLOURS[-1], strokeDash=[5, 3]).encode(y="y:Q")
    said = (
        alt.Chart(of([{"y": limit, "text": f"cap {limit:.0%}"}]))
        .mark_text(align="left", dx=4, dy=-6, color=_COLOURS[-1], fontSize=11)
        .encode(x=alt.value(0), y="y:Q", text="text:N")
    )
    layers = [lines, cap, said]
    if due is not None:
        last = alt.Chart(of([{"day": due.isoformat(), "text": f"by {due}"}]))
        layers.append(last.mark_rule(color=_INK, strokeDash=[2, 2]).encode(x="day:T"))
        layers.append(
            last.mark_text(align="right", dx=-4, color=_INK, fontSize=11).encode(
                x="day:T", y=alt.value(8), text="text:N"
            )
        )
    return drawn(alt.layer(*layers).properties(width=520, height=200))


def cells(areas: Sequence[Area], ground: Sequence[tuple[float, float]], limit: float) -> Markup | None:
    """A map by area: one small map for each operator that has a share anywhere, over the cells that have any site."""
    operators = sorted({a.operator for a in areas if a.share > 0})[:MOST]
    shown = [a for a in areas if a.operator in operators]
    if not shown:
        return None
    rows = [_cell(named(a.operator), a.lat, a.lon, a.share - limit) for a in shown]
    rows += [_cell(named(o), lat, lon, None) for o in operators for lat, lon in ground]
    south, north = min(r["south"] for r in rows), max(r["north"] for r in rows)
    west, east = min(r["west"] for r in rows), max(r["east"] for r in rows)
    # A degree of longitude is narrower than one of latitude, by the cosine of the latitude.
    wide = (east - west) * math.cos(math.radians((south + north) / 2))
    colour = alt.Scale(domain=[-limit, 0, 1 - limit], range=_COLOURS, interpolate="rgb")
    base = alt.Chart().encode(
        x=alt.X("west:Q", axis=None, scale=alt.Scale(domain=[west, east], nice=False)),
        x2="east:Q",
        y=alt.Y("south:Q", axis=None, scale=alt.Scale(domain=[south, north], nice=False)),
        y2="north:Q",
    )
    land = base.transform_filter("datum.over === null").mark_rect(color="#e8ecf0", stroke="#ffffff", strokeWidth=0.5)
    share = (
        base.transform_filter("datum.over !== null")
        .mark_rect(stroke="#ffffff", strokeWidth=0.5)
        .encode(color=alt.Color("over:Q", scale=colour, legend=None))
    )
    height = 300
    width = max(60, min(420, height * wide / (north - south)))
    chart = alt.layer(land, share, data=of(rows)).properties(width=width, height=height)
    return drawn(chart.facet(facet=alt.Facet("operator:N", title=None), columns=4))


def _cell(operator: str, lat: float, lon: float, over: float | None) -> dict[str, Any]:
    return {"operator": operator, "west": lon, "east": lon + LON, "south": lat, "north": lat + LAT, "over": over}


def readable(before: Sequence[Readable], after: Sequence[Readable] | None) -> Markup | None:
    """How much of each network's user traffic could be read, before and after; a range where that is open."""
    rows = []
    for when, found in (("before", before), ("after", after or ())):
        for r in [r for r in found if r.metric != "sites"][: 3 * MOST]:
            name = named(f"{r.operator} {r.network} {r.metric}")
            rows.append({"network": name, "when": when, "low": r.low, "high": r.high, "text": _range(r.low, r.high)})
    if not rows:
        return None
    order = ["before", "after"] if after is not None else ["before"]
    base = alt.Chart(of(rows)).encode(
        y=alt.Y("network:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False)),
        yOffset=alt.YOffset("when:N", sort=order),
    )
    colour = alt.Scale(domain=["before", "after"], range=[_COLOURS[-1], _COLOURS[0]])
    legend = alt.Legend(orient="top") if after is not None else None
    axis = alt.Axis(format="%", tickCount=5, orient="top")
    low = base.mark_bar(height=9).encode(
        x=alt.X("low:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=axis),
        color=alt.Color("when:N", title=None, scale=colour, legend=legend),
    )
    high = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", color=alt.Color("when:N", scale=colour))
    text = base.mark_text(align="left", dx=5, fontSize=10, color=_INK).encode(x="high:Q", text="text:N")
    return drawn((low + high + text).properties(width=520, height=alt.Step(14)))


def _range(low: float, high: float) -> str:
    return f"{low:.0%}" if high - low < 0.005 else f"{low:.0%} to {high:.0%}"
