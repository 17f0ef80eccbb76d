"""Inventories small enough for paper, and how their exposure is asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from banbury.decide.exposure.record import Claim, Exposure, Loss, Picture

Rows = list[dict[str, Any]]
Build = Callable[..., Path]


def cell(name: str, vendor: str = "good", **more: Any) -> dict[str, Any]:
    return {"id": name, "function": "GNB", "vendor": vendor, **more}


def traffic(*cells: str, operator: str = "Op", value: float | None = None) -> Rows:
    part = 1 / len(cells) if value is None else value
    common = {"operator": operator, "network": "5G", "metric": "traffic", "unit": "fraction", "period": "2020"}
    return [{"element": name, "value": part, **common} for name in cells]


def link(a: str, kind: str, b: str, encrypted: str | None = None) -> dict[str, Any]:
    return {"a": a, "b": b, "type": kind, "encrypted": encrypted}


def after(e: Exposure) -> Picture:
    assert e.after is not None
    return e.after


def claim(picture: Picture, name: str) -> Claim | None:
    return next((c for c in picture.claims if c.id == name), None)


def path(found: Claim | None) -> list[str]:
    assert found is not None
    return [f"{s.kind} {s.target}" for s in found.path]


def loss(picture: Picture, case: str, operator: str = "Op") -> Loss:
    found = next(o for o in picture.outages if o.case == case)
    return next(x for x in found.losses if x.operator == operator and x.metric == "traffic")
