"""Small packs and networks for the tests of policies and options."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from banbury.decide.network import Network
from banbury.decide.policy import read, trial
from banbury.decide.policy.assess import assess
from banbury.decide.policy.pack import Pack, Trial
from banbury.decide.policy.verdict import Assessment, Verdict

HEAD = """
id: test
version: 1
title: a test
jurisdiction: GB
legal_status: advice
text: a test
dates: { issued: 2020-01-01, in_force: 2020-01-01 }
applies: { vendor_class: [high-risk] }
definitions:
  function_class: { core: { class_gb: [core] }, access: { functions: [GNB] } }
sources: { s: { title: S, read: primary } }
rules:
"""
RULE = "{{ id: r{0}, title: t, source: {{ ref: s, clause: c }}, {1} }}"
CAP = "kind: share_cap, network: 5G, metric: {}, max: {}, breach: '{}', reading: {}, group: [{}]"

Rows = dict[str, list[dict[str, Any]]]


def pack(*rules: str, head: str = HEAD) -> Pack:
    return read.parse(head + "\n".join("  - " + RULE.format(i, rule) for i, rule in enumerate(rules)), "test.yaml")


def write(folder: Path, tables: Rows, said: str = "2020-06-01") -> None:
    rows = trial.draft(Trial("x", dt.date.fromisoformat(said), {k: tuple(v) for k, v in tables.items()}, ()), "x")
    rows.write(folder)


def judged(folder: Path, tables: Rows, made: Pack, as_of: str = "2020-06-01", said: str = "2020-06-01") -> Assessment:
    write(folder, tables, said)
    with Network.open(folder, as_of=dt.date.fromisoformat(as_of)) as network:
        return assess(network, [made])


def cap(metric: str, limit: float, breach: str = ">", reading: str = "collective", group: str = "operator") -> str:
    return CAP.format(metric, limit, breach, reading, group)


VENDORS = [
    {"id": "hrv", "class": "high-risk", "jurisdiction": "CN"},
    {"id": "hrv2", "class": "high-risk", "jurisdiction": "CN"},
    {"id": "other", "class": "other", "jurisdiction": "SE"},
    {"id": "unsaid"},
    {"id": "affiliate", "parent": "hrv", "jurisdiction": "GB"},
]


def cells(*rows: tuple[str, str, float], **more: Any) -> Rows:
    """5G cells (id, vendor, traffic as a fraction) of Alpha."""
    return {
        "vendors": VENDORS,
        "elements": [{"id": i, "function": "GNB", "vendor": v, "tech": "5G", **more} for i, v, _ in rows],
        "shares": [share(i, part) for i, _, part in rows],
    }


def share(element: str, value: float, operator: str = "Alpha", metric: str = "traffic", unit: str = "fraction") -> Any:
    return {
        "element": element,
        "operator": operator,
        "network": "5G",
        "metric": metric,
        "value": value,
        "unit": unit,
        "period": "2020",
    }


def only(found: Assessment) -> Verdict:
    assert len(found.verdicts) == 1, found.verdicts
    return found.verdicts[0]
