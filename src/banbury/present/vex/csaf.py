"""CSAF 2.0 (OASIS, 18 November 2022), profile 5: VEX (category ``csaf_vex``).

The product tree holds the release as vendor, product and version, and each component as a product that is a default
component of it. The laboratory is no vendor: its category of publisher is ``other`` unless it is told another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

import banbury
from banbury.model.errors import InputError
from banbury.model.release import Release
from banbury.model.supply import Match, State
from banbury.present.facts import title
from banbury.present.parts import clean, cpe
from banbury.present.vex.assessment import ACTION, Assessment, Subject, feeds, from_feeds, justification, reasons, state

_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,}\Z")
_PURL = re.compile(r"pkg:[A-Za-z.\-+][A-Za-z0-9.\-+]*/.{5,}\Z")
#: Words that mandatory test 6.1.31 refuses in the name of a version: it is then only in the product's name.
_RANGE = re.compile(r"[<>]|\b(?:after|all|before|earlier|later|prior|versions)\b", re.IGNORECASE)
_RELEASE: Final = "CSAFPID-0"
_STATUSES: Final = {
    State.CANDIDATE: "under_investigation",
    State.ANALYST: "under_investigation",
    State.AFFECTED: "known_affected",
    State.NOT_AFFECTED: "known_not_affected",
    State.FIXED: "fixed",
}


class Publisher(Struct, frozen=True, kw_only=True):
    """Who issues the document (section 3.2.1.8). ``namespace`` is a URI that the publisher controls."""

    name: str = "a laboratory that runs banbury"
    namespace: str = "https://laboratory.invalid"
    category: str = "other"


def render_csaf(assessment: Assessment, publisher: Publisher | None = None) -> bytes:
    """The document as UTF-8 JSON. Raises :class:`InputError` where no vulnerability matches: the profile needs one."""
    if not assessment.rows:
        raise InputError("no vulnerability matches this release: the CSAF VEX profile has no document without one")
    subjects = list({subject.ref: subject for subject, _ in assessment.rows}.values())
    products = {subject.ref: f"CSAFPID-{number}" for number, subject in enumerate(subjects, 1)}
    by_id: dict[str, list[tuple[str, Match]]] = {}
    for subject, match in assessment.rows:
        by_id.setdefault(match.vulnerability, []).append((f"{products[subject.ref]}:0", match))
    document = {
        "document": _document(assessment, publisher or Publisher()),
        "product_tree": _tree(assessment.release, [(products[s.ref], s) for s in subjects]),
        "vulnerabilities": [_vulnerability(assessment, name, rows) for name, rows in by_id.items()],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _document(assessment: Assessment, publisher: Publisher) -> dict[str, Any]:
    day = assessment.timestamp
    listed = [{"category": "general", "title": "Feed", "text": text} for text in feeds(assessment)]
    limits = "Under investigation means that a version matches; it does not mean that the release is affected."
    return {
        "category": "csaf_vex",
        "csaf_version": "2.0",
        "lang": "en",
        "title": f"Vulnerabilities in {clean(assessment.release.label)}",
        "publisher": {
            "category": publisher.category,
            "name": clean(publisher.name),
            "namespace": clean(publisher.namespace),
        },
        "notes": [{"category": "legal_disclaimer", "title": "How to read this", "text": limits}, *listed],
        "tracking": {
            "id": f"banbury-{assessment.identity}",
            "status": "interim",
            "version": "1",
            "initial_release_date": day,
            "current_release_date": day,
            "revision_history": [{"date": day, "number": "1", "summary": "Written from the matches of this day."}],
            "generator": {"date": day, "engine": {"name": "banbury", "version": banbury.__version__}},
        },
    }


def _tree(release: Release, subjects: list[tuple[str, Subject]]) -> dict[str, Any]:
    name = clean(release.label) or "(no name)"
    hashes = [
        {"filename": clean(a.name) or "(no name)", "file_hashes": [{"algorithm": "sha256", "value": a.sha256}]}
        for a in release.artefacts
        if a.sha256
    ]
    product = {"product_id": _RELEASE, "name": name, "product_identification_helper": {"hashes": hashes}}
    inner: dict[str, Any] = {"product": product}
    if not _RANGE.search(release.version):
        inner = {"branches": [_branch("product_version", release.version, product=product)]}
    branch = _branch("product_name", release.product or title(release), **inner)
    branch = _branch("vendor", release.vendor or "(not stated)", branches=[branch])
    relationships = [
        {
            "category": "default_component_of",
            "product_reference": own,
            "relates_to_product_reference": _RELEASE,
            "full_product_name": {"product_id": f"{own}:0", "name": f"{subject.title} in {name}"},
        }
        for own, subject in subjects
    ]
    listed = [_product(own, subject) for own, subject in subjects]
    return {"branches": [branch], "full_product_names": listed, "relationships": relationships}


def _branch(category: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"category": category, "name": clean(name) or "(not stated)", **fields}


def _product(own: str, subject: Subject) -> dict[str, Any]:
    component = subject.component
    found: dict[str, Any] = {"product_id": own, "name": subject.title}
    helper: dict[str, Any] = {}
    names = [name for pair in component.cpes if (name := cpe(pair, component.version, component.type))]
    if names:
        helper["cpe"] = names[0]
    if _PURL.match(component.purl):
        helper["purl"] = clean(component.purl)
    return {**found, "product_identification_helper": helper} if helper else found


def _vulnerability(assessment: Assessment, name: str, rows: list[tuple[str, Match]]) -> dict[str, Any]:
    first = rows[0][1]
    source = ", ".join(from_feeds(assessment, first)) or "feed"
    known = bool(_CVE.match(name))
    found: dict[str, Any] = {"cve": name} if known else {}
    others = dict.fromkeys(other for other in first.aliases if other and other != name)
    if ids := [*([] if known else [name]), *others]:
        found["ids"] = [{"system_name": source, "text": clean(text)} for text in ids]
    found["notes"] = [{"category": "description", "text": clean(first.summary) or "No description in the feeds."}]
    found["notes"] += _notes(rows)
    status: dict[str, list[str]] = {}
    for product, match in rows:
        status.setdefault(_STATUSES[state(match)], []).append(product)
    found["product_status"] = status
    found |= _flags(rows)
    affected = status.get("known_affected", [])
    if affected:
        found["remediations"] = [{"category": "none_available", "details": ACTION, "product_ids": affected}]
    threats = _threats(rows)
    return {**found, "threats": threats} if threats else found


def _notes(rows: Iterable[tuple[str, Match]]) -> list[dict[str, str]]:
    return [
        {"category": "details", "title": f"{product}: {state(match)}", "text": said}
        for product, match in rows
        if (said := reasons(match))
    ]


def _flags(rows: list[tuple[str, Match]]) -> dict[str, Any]:
    labels: dict[str, list[str]] = {}
    for product, match in rows:
        why = justification(match)
        if state(match) is State.NOT_AFFECTED and why is not None:
            labels.setdefault(str(why), []).append(product)
    flags = [{"label": label, "product_ids": products} for label, products in labels.items()]
    return {"flags": flags} if flags else {}


def _threats(rows: list[tuple[str, Match]]) -> list[dict[str, Any]]:
    threats: list[dict[str, Any]] = [
        {"category": "impact", "details": reasons(match) or "No reason was given.", "product_ids": [product]}
        for product, match in rows
        if state(match) is State.NOT_AFFECTED and justification(match) is None
    ]
    days = sorted({match.exploited for _, match in rows if match.exploited})
    if days:
        listed = [product for product, match in rows if match.exploited]
        said = f"Listed as known to be exploited since {clean(days[0])}."
        threats.append({"category": "exploit_status", "details": said, "product_ids": listed})
    return threats
