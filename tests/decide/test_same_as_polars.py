"""Every kind of rule on random inventories, against polars: gaps, planned and removed, owners, images, places."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from banbury.decide.network import Network
from banbury.decide.network.writing import Draft
from banbury.decide.policy.assess import LEFT_OUT, assess
from banbury.decide.policy.verdict import Assessment
from tests.decide.test_policy import COVERED, GROUPS, VENDORS, pack

DAY = "2020-06-01"
RULES = {
    "no-install": "kind: no_install_after, date: 2020-02-01, counts: [installed, planned]",
    "no-purchase": "kind: no_install_after, date: 2020-02-01, by: purchased",
    "keep-away": "kind: keep_away, classes: [military], km: 2",
    "manager": "kind: replace_manager_by, where: {functions: access}, due: 2020-05-01",
    "parts": "kind: component_ban",
    "support": "kind: support_restriction",
    "way": "kind: support_restriction, by_them: false, access: [unattended]",
    "either": "kind: support_restriction, access: [unattended]",
    "evidence": "kind: requires, evidence: [evaluation, audit], level: moderate, max_age_days: 60",
    "tech": "kind: exclude, where: {tech: [5G]}, counts: [installed, planned]",
    "one-vendor": (
        "kind: diversity, where: {functions: access}, min_vendors: 0, max_covered: 1, group: [operator, region]"
    ),
    "each": (
        "kind: share_cap, network: 5G, metric: sites, max: 0.5, breach: '>=', reading: per-vendor, "
        "group: [operator, region]"
    ),
}
NAMES = list(RULES)
OWNED = pl.DataFrame(
    {"vendor": list(COVERED), "covered": list(COVERED.values()), "group": [GROUPS[v] for v in COVERED]}
)
RELEASES = [(p, r) for p in ("box", "case") for r in ("1", "2")]
#: Kilometres in a degree of the equator.
DEGREE = 111.195


def drawn(chance: random.Random) -> dict[str, list[dict[str, Any]]]:
    """An inventory: what matters to the rules, and gaps in all of it."""
    days = (None, "2020-01-01", "2020-02-01", "2020-02-02", "2020-06-01", "2020-06-02")
    vendors = list(COVERED)
    sites: list[dict[str, Any]] = [
        {"id": f"s{i}", "operator": chance.choice("AB"), "region": chance.choice("NS"), "class": "access",
         "lat": chance.choice([0.0, 0.0, 0.01, None]), "lon": chance.choice([0.0, 0.01, 0.0185, 0.03])}
        for i in range(8)
    ]  # fmt: skip
    for site in sites:
        if site["lat"] is None:
            site["lon"] = None
    managers: list[dict[str, Any]] = [
        {"id": f"m{i}", "site": "s0", "operator": o, "function": "EMS", "vendor": chance.choice(vendors),
         "installed": chance.choice(["2019-01-01", "2020-06-02"]),
         "planned_removal": chance.choice([None, "2020-06-01"])}
        for i, o in enumerate("AABB")
    ]  # fmt: skip
    managers = [m for m in managers if m["planned_removal"] is None or m["installed"] < m["planned_removal"]]
    elements = []
    for i in range(chance.randint(1, 25)):
        product, release = chance.choice(RELEASES)
        bought, put = sorted([chance.choice(days) or "", chance.choice(days) or ""])
        gone = chance.choice([None, None, "2020-06-01", "2020-06-02"])
        row = {"id": f"e{i:02}", "site": chance.choice(sites)["id"], "function": chance.choice(["GNB", "GNB", "OLT"]),
               "vendor": chance.choice(vendors), "product": chance.choice([product, product, None]), "release": release,
               "tech": chance.choice(["5G", "4G", None]), "purchased": bought or None, "installed": put or None,
               "planned_removal": gone if not put or gone is None or put <= gone else None,
               "managed_by": chance.choice([None, *(m["id"] for m in managers)]),
               "supported_by": chance.choice([None, *vendors]),
               "release_sha256": chance.choice([None, None, "a" * 64, "b" * 64]),
               "support_access": chance.choice([None, "none", "attended", "unattended", "unknown"])}  # fmt: skip
        elements.append(row)
    shares = [
        {"element": e["id"], "operator": next(s["operator"] for s in sites if s["id"] == e["site"]), "network": "5G",
         "metric": "sites", "value": 1, "unit": "count", "period": "2020"}
        for e in elements if chance.random() < 0.7
    ]  # fmt: skip
    evidence: list[dict[str, Any]] = [
        {"product": p, "release": r, "kind": chance.choice(["evaluation", "audit", "scheme"]), "finding_set": str(n),
         "level": chance.choice(["none", "limited", "moderate", "sufficient", "unknown"]),
         "vendor": chance.choice([None, *vendors]), "release_sha256": chance.choice([None, None, "a" * 64]),
         "date": chance.choice(["2020-01-01", "2020-04-02", "2020-04-03", "2020-06-01", "2020-06-02"]),
         "expires": chance.choice([None, None, "2020-06-01", "2020-06-02"])}
        for n in range(chance.randint(0, 16)) for p, r in [chance.choice(RELEASES)]
    ]  # fmt: skip
    for row in evidence:
        if row["expires"] is not None and row["expires"] < row["date"]:
            row["expires"] = None
    bill = [
        {"product": p, "release": r, "component": str(n), "vendor": chance.choice([None, *vendors]),
         "role": chance.choice([None, "essential", "substantial", "other", "unknown"])}
        for n in range(chance.randint(0, 8)) for p, r in [chance.choice(RELEASES)]
    ]  # fmt: skip
    places: list[dict[str, Any]] = [
        {"id": "p0", "class": "military", "lat": 0.0, "lon": 0.0, "radius": chance.choice([None, 1.0, 3.0])},
        {"id": "p1", "class": chance.choice(["military", "nuclear"]), "site": chance.choice(sites)["id"]},
    ]
    return {"vendors": [{"name": v["id"], **v} for v in VENDORS], "sites": sites, "elements": [*managers, *elements],
            "shares": shares, "assurance": evidence, "components": bill,
            "sensitive": chance.sample(places, chance.randint(0, 2))}  # fmt: skip


def said(folder: Path, tables: dict[str, list[dict[str, Any]]]) -> Assessment:
    draft = Draft("a test", DAY)
    for name, rows in tables.items():
        for row in rows:
            draft.add(name, **row)
    draft.write(folder)
    made = pack(*RULES.values())
    with Network.open(folder, as_of=dt.date.fromisoformat(DAY)) as network:
        return assess(network, [made])


def frame(rows: list[dict[str, Any]], *columns: str) -> pl.DataFrame:
    return pl.DataFrame([{c: row.get(c) for c in columns} for row in rows], schema=dict.fromkeys(columns, pl.String))


def some(column: str) -> pl.Expr:
    """Three-valued OR over a group."""
    value = pl.col(column)
    return pl.when(value.any()).then(True).when(value.is_null().any()).then(None).otherwise(False).alias(column)


def independent(t: dict[str, list[dict[str, Any]]]) -> set[tuple[Any, ...]]:
    sites = pl.DataFrame(t["sites"], schema_overrides={"lat": pl.Float64, "lon": pl.Float64}, infer_schema_length=None)
    e = frame(t["elements"], "id", "site", "function", "vendor", "product", "release", "tech", "purchased", "installed",
              "planned_removal", "managed_by", "supported_by", "release_sha256", "support_access")  # fmt: skip
    e = e.join(sites.rename({"id": "site"}).drop("class"), on="site").join(OWNED, on="vendor")
    supporter = OWNED.select(pl.col("vendor").alias("supported_by"), pl.col("covered").alias("theirs"))
    e = e.join(supporter, on="supported_by", how="left")
    own = frame(t["elements"], "id", "operator").rename({"operator": "mine"})
    e = e.join(own, on="id").with_columns(operator=pl.coalesce("mine", "operator"))
    e = e.filter((pl.col("planned_removal") > DAY).fill_null(True) | (pl.col("installed") > DAY))
    e = e.with_columns(planned=(pl.col("installed") > DAY).fill_null(False))
    now = e.filter(~pl.col("planned"))
    out: set[tuple[Any, ...]] = set()

    def enter(rule: str, of: pl.DataFrame, hit: pl.Expr, planned: pl.Expr | None = None) -> None:
        found = of.select(
            "operator", "id", hit.alias("hit"), (planned if planned is not None else pl.lit(False)).alias("p")
        )
        for (operator,) in found.select("operator").unique().rows():
            mine = found.filter(pl.col("operator") == operator)
            groups = {
                "violation": mine.filter(pl.col("hit") & ~pl.col("p")), "due": mine.filter(pl.col("hit") & pl.col("p")),
                "insufficient data": mine.filter(pl.col("hit").is_null()),
            }  # fmt: skip
            for status, rows in groups.items():
                if len(rows):
                    out.add((rule, operator, status, tuple(sorted(rows["id"]))))
            if not any(len(rows) for rows in groups.values()):
                out.add((rule, operator, "met", ()))

    covered = pl.col("covered")
    enter("tech", e, pl.col("tech").is_in(["5G"]) & covered, pl.col("planned"))
    late = pl.col("installed") > "2020-02-01"
    enter("no-install", e, covered & late, pl.col("planned"))
    # The rows speak for the day itself, so what has no date may have come after the limit.
    bought: Any = pl.when(pl.col("purchased").is_not_null()).then(pl.col("purchased") > "2020-02-01")
    bought = bought.when(pl.col("installed") <= "2020-02-01").then(pl.lit(False)).otherwise(None)
    enter("no-purchase", now, covered & bought)
    enter("support", now, pl.col("theirs"))
    way = pl.when(pl.col("support_access") != "unknown").then(pl.col("support_access") == "unattended")
    enter("way", now, way & pl.col("theirs"))
    enter("either", now, way | pl.col("theirs"))
    enter("keep-away", now, covered & _near(t, now))
    bills = frame(t["components"], "product", "release", "vendor", "role").join(OWNED, on="vendor", how="left")
    weight: Any = pl.when(pl.col("role").is_in(["essential", "substantial"])).then(True)
    weight = weight.when(pl.col("role") == "other").then(pl.lit(False)).otherwise(None)
    bills = bills.with_columns(bill=covered & weight).group_by("product", "release").agg(some("bill"))
    enter("parts", now.join(bills, on=["product", "release"], how="left"), pl.col("bill"))
    _evidence(t, now, enter)
    _managers(now, e, enter)
    _groups(t, now, out)
    return out


def _near(t: dict[str, list[dict[str, Any]]], now: pl.DataFrame) -> pl.Expr:
    military = [p for p in t["sensitive"] if p["class"] == "military"]
    served = [p["site"] for p in military if p.get("site")]
    points = [p for p in military if p.get("lat") is not None]
    near = pl.lit(False)
    for p in points:
        # All of it lies within 4 km of the equator's zero, where the earth is flat enough.
        away = ((pl.col("lat") - p["lat"]) ** 2 + (pl.col("lon") - p["lon"]) ** 2).sqrt() * DEGREE
        near = near | (away <= (2.0 if p["radius"] is None else p["radius"]))
    return pl.when(pl.col("site").is_in(served)).then(True).otherwise(near)


def _evidence(t: dict[str, list[dict[str, Any]]], now: pl.DataFrame, enter: Any) -> None:
    ranks = {"none": 0, "limited": 1, "moderate": 2, "sufficient": 3}
    best: dict[str, int | None] = {}
    for row in now.rows(named=True):
        ranked = [
            ranks[a["level"]] for a in t["assurance"]
            if a["kind"] != "scheme" and (a["product"], a["release"]) == (row["product"], row["release"])
            and a["vendor"] in {None, row["vendor"]} and a["level"] in ranks
            and (a["release_sha256"] is None or row["release_sha256"] in {None, a["release_sha256"]})
            and "2020-04-02" <= a["date"] <= DAY and (a["expires"] is None or a["expires"] >= DAY)
        ]  # fmt: skip
        best[row["id"]] = max(ranked, default=None)
    known = pl.DataFrame({"id": list(best), "rank": list(best.values())}, schema={"id": pl.String, "rank": pl.Int64})
    enter("evidence", now.join(known, on="id"), pl.col("covered") & (pl.col("rank") < 2))


def _managers(now: pl.DataFrame, e: pl.DataFrame, enter: Any) -> None:
    access = now.filter(pl.col("function") == "GNB")
    used = now.filter(pl.col("id").is_in(access["managed_by"].drop_nulls().to_list()))
    orphans = access.filter(~pl.col("managed_by").is_in(used["id"].to_list()).fill_null(False))
    both = pl.concat([
        used.select("operator", "id", pl.col("covered").alias("x")),
        orphans.select("operator", "id", pl.lit(None, dtype=pl.Boolean).alias("x")),
    ])  # fmt: skip
    enter("manager", both, pl.col("x"))


def _groups(t: dict[str, list[dict[str, Any]]], now: pl.DataFrame, out: set[tuple[Any, ...]]) -> None:
    keys = ["operator", "region"]
    for (operator, region), mine in now.filter(pl.col("function") == "GNB").group_by(keys):
        least = mine.filter(pl.col("covered"))["group"].n_unique()
        most = mine.filter(pl.col("covered").fill_null(True))["group"].n_unique()
        status = "violation" if least > 1 else "met" if most <= 1 else "insufficient data"
        out.add(("one-vendor", f"{operator} / {region}", status, least))
    shares = frame(t["shares"], "element").rename({"element": "id"}).join(now, on="id")
    for (operator, region), mine in shares.group_by(keys):
        whole = mine["site"].n_unique()
        doubt = mine.filter(pl.col("covered").is_null())["site"].n_unique()
        groups = mine.filter(pl.col("covered"))["group"].unique().to_list()
        for group in groups or [None]:
            low = (
                mine.filter(pl.col("covered") & (pl.col("group") == group))["site"].n_unique() / whole if group else 0.0
            )
            high = min(low + doubt / whole, 1.0)
            status = "violation" if low >= 0.5 else "met" if high < 0.5 else "insufficient data"
            subject = " / ".join(x for x in (operator, region, group) if x)
            out.add(("each", subject, status, round(low, 9)))


#: The first of them in a plain run, all of them in the slow gates.
SEEDS = [pytest.param(seed, marks=pytest.mark.slow if seed >= 16 else ()) for seed in range(40)]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_has_the_same_rows(tmp_path: Path, seed: int) -> None:
    tables = drawn(random.Random(seed))
    found = said(tmp_path / "n", tables)
    got: set[tuple[Any, ...]] = set()
    for v in found.verdicts:
        rule = NAMES[int(v.rule[1:])]
        if rule in {"one-vendor", "each"}:
            if v.measured is not None:
                got.add((rule, v.subject, v.status, v.measured))
        elif v.subject != "every operator" and v.text != LEFT_OUT:
            got.add((rule, v.subject, v.status, tuple(v.assets)))
            assert v.assets_total == len(v.assets)
    assert got == independent(tables)
