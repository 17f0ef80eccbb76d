"""The seven rules of :mod:`banbury.bench.network` in polars, written for themselves: nothing of the policies is used.

For inventories of the generator only: every date, vendor class and share is there, and owners are followed.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
from scipy.spatial import cKDTree

from banbury.decide.network.catalogue import functions

DAY = dt.date(2020, 1, 28)
PLACES = ("national-security", "military", "nuclear", "government")
ACCESS = ("GNB", "ENB", "NODEB")
EARTH = 6371.0088


def load(folder: Path) -> dict[str, pl.DataFrame]:
    """The tables that the rules need."""
    return {
        name: pl.read_parquet(folder / f"{name}.parquet")
        for name in ("sites", "elements", "shares", "vendors", "sensitive")
    }


def _owned(vendors: pl.DataFrame) -> tuple[dict[str, bool], dict[str, str]]:
    parent = dict(zip(vendors["id"], vendors["parent"], strict=True))
    kind = dict(zip(vendors["id"], vendors["class"], strict=True))
    covered, group = {}, {}
    for name in parent:
        chain = [name]
        while (above := parent[chain[-1]]) is not None:
            chain.append(above)
        covered[name] = any(kind[one] == "high-risk" for one in chain)
        group[name] = chain[-1]
    return covered, group


def rules(t: dict[str, pl.DataFrame]) -> list[tuple[str, str, str, float]]:
    """Rule, operator, status, measured; sorted."""
    covered, group = _owned(t["vendors"])
    sites = t["sites"].select(pl.col("id").alias("site"), pl.col("operator").alias("of"), "lat", "lon")
    e = (
        t["elements"]
        .join(sites, on="site", how="left")
        .with_columns(
            operator=pl.coalesce("operator", "of"),
            covered=pl.col("vendor").replace_strict(covered, return_dtype=pl.Boolean),
            group=pl.col("vendor").replace_strict(group, return_dtype=pl.String),
        )
    )
    e = e.filter((pl.col("planned_removal") > DAY).fill_null(True))
    now = e.filter((pl.col("installed") <= DAY).fill_null(True))
    core = [name for name, f in functions().items() if f.class_gb == "core"]
    out: list[tuple[str, str, str, float]] = []

    def counted(rule: str, bad: str, some: pl.Expr) -> None:
        found = now.group_by("operator").agg(some.sum())
        for operator, n in found.rows():
            out.append((rule, operator, bad if n else "met", float(n)))

    counted("core", "violation", pl.col("covered") & pl.col("function").is_in(core))
    counted("out", "due", pl.col("covered") & pl.col("function").is_in(ACCESS) & (pl.col("tech") == "5G"))
    counted("new", "violation", pl.col("covered") & (pl.col("installed") > dt.date(2019, 12, 31)))
    out += _shares(t, now)
    near = _near(t, sites)
    counted("near", "violation", pl.col("covered") & pl.col("site").is_in(near))
    access = (
        now.filter(pl.col("function").is_in(ACCESS))
        .group_by("operator")
        .agg(pl.col("group").n_unique(), pl.col("group").filter(~pl.col("covered")).n_unique().alias("others"))
    )
    for operator, vendors, others in access.rows():
        out.append(("two", operator, "met" if vendors >= 2 else "violation", float(vendors)))
        out.append(("two", operator, "met" if others >= 1 else "violation", float(others)))
    return sorted(out)


def _shares(t: dict[str, pl.DataFrame], now: pl.DataFrame) -> list[tuple[str, str, str, float]]:
    five = (
        t["shares"]
        .filter(pl.col("network") == "5G")
        .select("element", pl.col("operator").alias("whose"), "metric", "value")
    )
    five = five.join(now.select("id", "covered", "site"), left_on="element", right_on="id")
    out = []
    for metric in ("traffic", "sites"):
        some = five.filter(pl.col("metric") == metric)
        if metric == "sites":
            some = some.group_by("whose", "site").agg(pl.col("value").max(), pl.col("covered").any())
        found = some.group_by("whose").agg(
            pl.col("value").filter(pl.col("covered")).sum().alias("theirs"), pl.col("value").sum().alias("whole")
        )
        for operator, theirs, whole in found.rows():
            share = round(theirs / whole, 9)
            out.append((metric, operator, "violation" if share > 0.35 else "met", round(share, 6)))
    return out


def _near(t: dict[str, pl.DataFrame], sites: pl.DataFrame) -> list[str]:
    places = t["sensitive"].filter(pl.col("class").is_in(PLACES))
    served = places["site"].drop_nulls().to_list()
    places = places.drop_nulls("lat")
    tree = cKDTree(_points(sites))
    reach = 2 * np.sin(places["radius"].to_numpy() / (2 * EARTH))
    hits = tree.query_ball_point(_points(places), reach)
    ids = sites["site"].to_numpy()
    return sorted({*served, *(str(ids[i]) for some in hits for i in some)})


def _points(frame: pl.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    lat, lon = np.radians(frame["lat"].to_numpy()), np.radians(frame["lon"].to_numpy())
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
