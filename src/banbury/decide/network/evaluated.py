"""What a workspace's evaluations say of the releases that an inventory names.

An evaluation is about an element where the element's ``release_sha256`` is one of the evaluated images, or, where the
inventory does not say which image it is, where product and version are the same and the vendor is not another one. Two
evaluations of one name and of different images are about neither: which one runs is not known. A release that nothing
here is about stays unknown, and is never passed.

What an evaluation shows, as a level of ``assurance``:

``evaluation``   none: an established critical finding. limited: something was not read, not unpacked or not inspected,
    or there is an established high finding. moderate: all of it was read, and neither. An evaluation shows no more.
``equivalence``  of the image and its rebuild: sufficient: the whole image is identical or equivalent. moderate: every
    file in it is, the containers were not compared. limited: functional. none: unexplained. Several images: the
    weakest. An image without a rebuild: no row, which is unknown. A rebuild that is not the laboratory's own, or whose
    source was not handed in, ties nothing to a source: it shows limited at most.
"""

# ruff: noqa: S608 - the names in these queries are those of our own tables; an inventory's text is never among them
from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from banbury.decide.network.tables import LONGEST
from banbury.model.release import ArtefactRole, Release

#: The largest evaluation that is read, in bytes, and how many of a workspace.
FILE, FILES = 1 << 30, 10_000
_RANK = ("none", "limited", "moderate", "sufficient")


class _Coverage(msgspec.Struct):
    failed: int
    skipped: int


class _Ledger(msgspec.Struct):
    coverage: list[_Coverage]
    unread: list[msgspec.Raw]
    images: list[msgspec.Raw]
    not_unpacked: list[msgspec.Raw]
    limits_hit: list[str]


class _Finding(msgspec.Struct):
    severity: str
    grade: str


class _Rebuilt(msgspec.Struct):
    method: str
    verdict: str = ""
    tied: bool = False


class _Part(msgspec.Struct):
    product: str
    version: str = ""
    purl: str = ""
    supplier: str = ""


class _Inventory(msgspec.Struct):
    components: list[_Part]


class _Support(msgspec.Struct):
    ended: bool | None


class _Match(msgspec.Struct):
    state: str


class _Supply(msgspec.Struct):
    inventory: _Inventory
    matches: list[_Match] = []
    support: list[_Support] = []


class _Evaluation(msgspec.Struct):
    schema: str
    as_of: str
    release: Release
    ledger: _Ledger
    findings: list[_Finding]
    rebuilds: list[_Rebuilt] = []
    supply: _Supply | None = None


class Evaluated(msgspec.Struct, frozen=True):
    """One evaluation of the workspace. ``evidence``: kind → (level, the evidence's own words); ``elements``: how many
    of the inventory run that release.
    """

    release: str
    vendor: str
    product: str
    version: str
    images: list[str]
    date: dt.date
    evidence: dict[str, tuple[str, str]]
    parts: list[tuple[str, str, str, str]]
    elements: int = 0


def _text(value: str) -> str:
    return "".join(c if c.isprintable() else " " for c in value[:LONGEST]).strip().lstrip("=+-@")


def _evaluation(found: _Evaluation, unread: int) -> tuple[str, str]:
    established = [f.severity for f in found.findings if f.grade == "established"]
    critical, high = established.count("critical"), established.count("high")
    ledger = found.ledger
    failed = sum(c.failed + c.skipped for c in ledger.coverage)
    whole = not (ledger.unread or unread or ledger.not_unpacked or ledger.limits_hit or failed)
    level = "none" if critical else "limited" if high or not whole else "moderate"
    words = [f"{critical} critical and {high} high findings established"]
    if not whole:
        words.append("not all of it was read or inspected")
    if found.supply is not None:
        ended = sum(1 for s in found.supply.support if s.ended)
        affected = sum(1 for m in found.supply.matches if m.state == "affected")
        words.append(f"{ended} components past the end of their support, {affected} known vulnerabilities affect it")
    return level, "; ".join(words)


def _equivalence(found: _Evaluation) -> tuple[str, str] | None:
    images = sum(1 for a in found.release.artefacts if a.role is ArtefactRole.IMAGE)
    ranks = []
    for rebuilt in found.rebuilds:
        verdict = rebuilt.verdict
        if rebuilt.method == "none" or not verdict:
            return None
        if verdict == "identical" or verdict.startswith("equivalent/"):
            whole = 3 if rebuilt.method == "whole" else 2
            ranks.append((whole, verdict) if rebuilt.tied else (1, f"{verdict} to a rebuild that ties it to no source"))
        else:
            ranks.append((1 if verdict == "functional" else 0, verdict))
    if not ranks or len(ranks) < images:
        return None
    rank, verdict = min(ranks)
    return _RANK[rank], _text(verdict)


def _unread(ledger: _Ledger) -> int:
    total = 0
    for image in ledger.images:
        totals = msgspec.json.decode(image).get("totals", {})
        total += int(totals.get("unread", 0))
    return total


def _one(path: Path) -> Evaluated:
    if not path.is_file() or path.stat().st_size > FILE:
        raise ValueError("no regular file, or larger than 1 GiB")
    found = msgspec.json.decode(path.read_bytes(), type=_Evaluation)
    if found.schema != "banbury/evaluation/v1":
        raise ValueError(f"is of the form {found.schema[:40]}")
    release = found.release
    evidence = {"evaluation": _evaluation(found, _unread(found.ledger))}
    equivalence = _equivalence(found)
    if equivalence is not None:
        evidence["equivalence"] = equivalence
    parts = [] if found.supply is None else found.supply.inventory.components
    return Evaluated(
        release=release.id,
        vendor=release.vendor,
        product=release.product,
        version=release.version,
        images=[a.sha256 for a in release.artefacts if a.role is ArtefactRole.IMAGE],
        date=dt.date.fromisoformat(found.as_of),
        evidence=evidence,
        parts=sorted({(_text(p.product), _text(p.version), _text(p.supplier), _text(p.purl)) for p in parts}),
    )


def read(workspace: Path) -> tuple[list[Evaluated], list[str]]:
    """The evaluations in ``workspace``, and a line for each that could not be read."""
    found, remarks = [], []
    for path in sorted((workspace / "evaluations").glob("*/evaluation.json"))[:FILES]:
        try:
            found.append(_one(path))
        except (OSError, ValueError, TypeError, AttributeError, msgspec.MsgspecError, RecursionError) as problem:
            remarks.append(f"evaluation {_text(path.parent.name)[:100]}: not used: {_text(str(problem))[:200]}")
    return found, remarks


_ABOUT = """
WITH r AS (SELECT vendor, product, release, release_sha256, count(*) AS elements FROM data_resolved GROUP BY ALL),
by_image AS (SELECT i.n, r.* FROM r JOIN evaluated_images i ON i.sha = r.release_sha256),
by_name AS (
    SELECT e.n, r.*, count(*) OVER (PARTITION BY r.vendor, r.product, r.release) AS claims
    FROM r JOIN evaluated e ON e.product = r.product AND e.version = r.release
    LEFT JOIN data_owners v ON v.id = r.vendor
    WHERE r.release_sha256 IS NULL AND (e.vendor = '' OR list_contains(
        list_transform(list_concat(coalesce(v.chain, [r.vendor]), coalesce(v.names, [])), lambda x: lower(x)),
        lower(e.vendor))))
SELECT n, vendor, product, release, release_sha256, elements, false AS doubt FROM by_image
UNION ALL SELECT n, vendor, product, release, release_sha256, elements, claims > 1 FROM by_name ORDER BY ALL"""


def join(connection: duckdb.DuckDBPyConnection, some: list[Evaluated]) -> tuple[list[Evaluated], list[str]]:
    """Enter what evaluations say into ``assurance`` and ``components``. Returns them with the number of elements that
    each is about, and remarks."""
    connection.execute(
        "CREATE TEMP TABLE evaluated (n INTEGER, vendor VARCHAR, product VARCHAR, version VARCHAR);"
        "CREATE TEMP TABLE evaluated_images (n INTEGER, sha VARCHAR)"
    )
    for n, one in enumerate(some):
        connection.execute("INSERT INTO evaluated VALUES (?, ?, ?, ?)", [n, one.vendor, one.product, one.version])
        for image in {one.release, *one.images}:
            connection.execute("INSERT INTO evaluated_images VALUES (?, ?)", [n, image])
    counts, remarks = [0] * len(some), []
    for table in ("assurance", "components"):
        connection.execute(f"CREATE TABLE data_{table}_found AS SELECT * FROM {table} LIMIT 0")
    for n, vendor, product, release, sha, elements, doubt in connection.execute(_ABOUT).fetchall():
        if doubt:
            remarks.append(
                f"{_text(product)} {_text(release)}: evaluations of different images; which one runs is not said"
            )
            continue
        counts[n] += elements
        _enter(connection, some[n], {"vendor": vendor, "product": product, "release": release, "release_sha256": sha})
    for table in ("assurance", "components"):
        connection.execute(
            f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM data_{table} UNION ALL SELECT * FROM data_{table}_found"
        )
    joined = [msgspec.structs.replace(one, elements=counts[n]) for n, one in enumerate(some)]
    return joined, sorted(set(remarks))


def _enter(connection: duckdb.DuckDBPyConnection, one: Evaluated, about: dict[str, Any]) -> None:
    said = {"asserted_by": "banbury evaluate", "as_of": one.date}
    rows = [
        ("assurance", {**about, "kind": kind, "finding_set": one.release, "level": level, "verdict": words,
                       "date": one.date, **said})
        for kind, (level, words) in one.evidence.items()
    ]  # fmt: skip
    # Whose a component is and what weight it has, an evaluation does not say; nor that there are no others.
    bill = [(product, version, supplier, purl) for product, version, supplier, purl in one.parts if product]
    rows += [
        ("components", {"product": about["product"], "release": about["release"], "component": product,
                        "version": version or None, "supplier": supplier or None, "purl": purl or None,
                        "role": "unknown", **said})
        for product, version, supplier, purl in [*bill, ("(what was not identified)", "", "", "")]
    ]  # fmt: skip
    for table, row in rows:
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO data_{table}_found ({columns}) VALUES ({marks})", list(row.values()))
