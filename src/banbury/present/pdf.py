"""The report as PDF, set by typst from fonts that it carries: no clock, no system font, so the same bytes every time.

The evaluation reaches the template as JSON data and is never parsed as markup, so no name in a release can be
anything but text. The file is tagged and archival (PDF/UA-1, ISO 14289-1; PDF/A-2a, ISO 19005-2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from banbury.model.evaluation import Evaluation, ImageMap
from banbury.present import figures
from banbury.present.gaps import unread_inside
from banbury.present.pdfdata import MAPS, content, fit
from banbury.present.text import broken, grouped, human, percent
from banbury.present.validation import Measured

_TEMPLATE = Path(__file__).parent / "templates" / "report.typ"
_STANDARDS = ["a-2a", "ua-1"]
_PARTS, _STRIPS, _BOXES = 24, 60, 1500
_COLOURS = {"structure": "#d39a2c", "padding": "#d3d9df", "unread": "#c8302a"}
_HUES = ("#2f7f93", "#4f9a6c", "#5b7fbe", "#8b73b3", "#3d8f86", "#7b8a45")
_FATES = ("opened", "structure", "padding", "unread")


def render_pdf(evaluation: Evaluation, measured: Measured | None = None) -> bytes:
    """The PDF's bytes. ``measured`` is how well the detectors do on the sample, where that was measured."""
    import typst

    sources, images = _figures(evaluation)
    data = {
        **content(evaluation, measured),
        "images": images,
        "images_more": max(len(evaluation.ledger.images) - _STRIPS, 0),
    }
    sources["main.typ"] = _TEMPLATE.read_bytes()
    sources["data.json"] = msgspec.json.encode(fit(data))
    options: dict[str, Any] = {"ignore_system_fonts": True, "format": "pdf"}
    try:
        compiled: Any = typst.compile(sources, **options, pdf_standards=_STANDARDS)  # type: ignore[call-overload]
    except typst.TypstError:
        # A text that the standards do not allow must not cost the report: it is set again as an ordinary PDF.
        compiled = typst.compile(sources, **options)
    return bytes(compiled)


def _figures(evaluation: Evaluation) -> tuple[dict[str, bytes | str], list[dict[str, Any]]]:
    """The drawings by file name, and what the template needs to know of each image. Where there are many, those with
    most unread bytes come first, and have a map."""
    images = list(evaluation.ledger.images)
    inside = unread_inside(evaluation)
    if len(images) > MAPS:
        images.sort(key=lambda i: (-i.totals.get("unread", 0), -inside.get(i.node, 0)))
    sources: dict[str, bytes | str] = {}
    shown = []
    for number, image in enumerate(images[:_STRIPS]):
        strip = figures.draw_map(image, evaluation, rows=1, limit=200)
        sources[f"strip-{number}.svg"] = _svg(strip).encode()
        entry = _image(image, number, inside.get(image.node, 0))
        if number < MAPS:
            figure = figures.draw_map(image, evaluation, limit=_BOXES)
            sources[f"map-{number}.svg"] = _svg(figure).encode()
            parts = figures.outline(image, evaluation)
            entry["map"] = f"map-{number}.svg"
            entry["row"] = f"{grouped(figure.row_bytes)} ({figure.row_bytes:#x})"
            entry["height"] = figure.height / figure.width
            entry["parts"] = [_part(p, evaluation) for p in parts[:_PARTS]]
            entry["more"] = max(len(parts) - _PARTS, 0)
        shown.append(entry)
    return sources, shown


def _image(image: ImageMap, number: int, inside: int) -> dict[str, Any]:
    return {
        "name": broken(image.name, 90),
        "plain": image.name[:90],
        "size": grouped(image.size),
        "shares": [percent(image.totals.get(fate, 0), image.size) for fate in _FATES],
        "unread": image.totals.get("unread", 0),
        "inside": human(inside) if inside else "",
        "strip": f"strip-{number}.svg",
        "map": "",
    }


def _part(part: figures.Part, evaluation: Evaluation) -> list[str]:
    length = part.end - part.start
    fate = part.fate
    if fate == "container":
        fate = f"{evaluation.nodes[part.node].format}: {percent(part.opened, length)} came out as content"
        fate += f", {grouped(part.unread)} bytes unread" if part.unread else ""
    colour = _COLOURS.get(part.fate, _HUES[part.hue])
    return [f"{part.start:#x}", f"{part.end:#x}", grouped(length), broken(part.name, 80), fate, colour]


def _svg(figure: figures.MapFigure) -> str:
    """The map as SVG. Only numbers and our own colours are in it."""
    boxes = "".join(
        f'<rect x="{b.x}" y="{b.y}" width="{b.width}" height="{b.height}" fill="{_COLOURS.get(b.fate, _HUES[b.hue])}"/>'
        for b in figure.boxes
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {figure.width} {figure.height}" '
        f'width="{figure.width}" height="{figure.height}">{boxes}</svg>'
    )
