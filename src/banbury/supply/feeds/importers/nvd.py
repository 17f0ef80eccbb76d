"""NVD's records: the JSON 2.0 of its API and of feeds made from it, and the JSON 1.1 of the old yearly feeds.

NVD, "CVE API 2.0" (schema cve_api_json_2.0) and the CC0 configurations of anchore/nvd-data-overrides, which have the
same form; "CVE JSON 1.1 beta schema". Unknown fields are passed over; the raw record is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from banbury.model.supply import FeedKind
from banbury.supply.feeds import items
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.cpe import Collected, CpeMatch, Group
from banbury.supply.feeds.importers._records import (
    Scored,
    Text,
    alone,
    best,
    english,
    fingerprint,
    first_line_is_whole,
    in_array,
    in_lines,
    opens_with,
)
from banbury.supply.feeds.items import Item, Note, Vulnerability
from banbury.supply.feeds.streams import Document

#: NVD, "Vulnerability Statuses": in these, the configurations have been added.
_SETTLED = frozenset({"analyzed", "modified"})
_LICENCE = "public domain (work of the US government)"


class Metric(Struct, frozen=True, rename="camel"):
    """One rating."""

    cvss_data: Scored = Scored()
    options: list[dict[str, Any]] = []


class Metrics(Struct, frozen=True, rename="camel"):
    """Every rating of a record, by version of CVSS."""

    cvss_metric_v40: list[Metric] = field(name="cvssMetricV40", default_factory=list)
    cvss_metric_v31: list[Metric] = field(name="cvssMetricV31", default_factory=list)
    cvss_metric_v30: list[Metric] = field(name="cvssMetricV30", default_factory=list)
    cvss_metric_v2: list[Metric] = field(name="cvssMetricV2", default_factory=list)
    ssvc_v203: list[Any] = field(name="ssvcV203", default_factory=list)


class Node2(Struct, frozen=True, rename="camel"):
    """A node of a configuration."""

    operator: str = "OR"
    negate: bool = False
    cpe_match: list[CpeMatch] = []
    children: list[Node2] = []


class Configuration(Struct, frozen=True):
    """A configuration: nodes under one operator."""

    nodes: list[Node2] = []
    operator: str = "OR"
    negate: bool = False


class Tag(Struct, frozen=True):
    """What the CVE list says of a record as a whole."""

    tags: list[str] = []


class Record2(Struct, frozen=True, rename="camel"):
    """A record of JSON 2.0."""

    id: str = ""
    published: str = ""
    last_modified: str = ""
    vuln_status: str = ""
    cisa_exploit_add: str = ""
    descriptions: list[Text] = []
    metrics: Metrics = Metrics()
    weaknesses: list[Any] = []
    configurations: list[Configuration] = []
    cve_tags: list[Tag] = []


class Annotation(Struct, frozen=True):
    """What the overrides say of a record."""

    cve_id: str = ""
    description: str = ""
    modified: str = ""
    published: str = ""


class Wrapped(Struct, frozen=True):
    """A record as the API and the overrides wrap it."""

    cve: Record2 | None = None
    annotation: Annotation | None = field(name="_annotation", default=None)


def _group2(node: Node2) -> Group:
    return Group(node.operator, node.negate, node.cpe_match, [_group2(child) for child in node.children])


def _flags(record: Record2) -> list[str]:
    tags = {tag for one in record.cve_tags for tag in one.tags}
    status = record.vuln_status.lower()
    flags = [name for name in ("disputed", "unsupported-when-assigned") if name in tags]
    return flags + [name for name in ("rejected", "deferred") if status == name]


def _weaknesses(found: list[Any]) -> list[str]:
    """CWE names, of NVD's own form or of a plain list."""
    names: dict[str, None] = {}
    for one in found[:50]:
        inner = one.get("description") if isinstance(one, dict) else one
        for said in inner[:50] if isinstance(inner, list) else [inner]:
            name = said.get("value") if isinstance(said, dict) else said
            if isinstance(name, str) and name.startswith("CWE-"):
                names[items.text(name, 40)] = None
    return list(names)


def ssvc(found: Any) -> list[str]:
    """``exploitation=none`` … of any form of SSVC's decision points: the options are looked for at every depth."""
    points: dict[str, str] = {}
    todo = [(found, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > 6 or len(points) > 8:
            break
        if isinstance(value, list):
            todo += [(one, depth + 1) for one in value[:50]]
        elif isinstance(value, dict):
            for key, inner in list(value.items())[:50]:
                name = str(key).lower().replace(" ", "").replace("technicalimpact", "technical impact")
                if isinstance(inner, str) and name in ("exploitation", "automatable", "technical impact"):
                    points.setdefault(name, items.text(inner.lower(), 20))
                elif isinstance(inner, list | dict):
                    todo.append((inner, depth + 1))
    return [f"{name}={points[name]}" for name in sorted(points)]


def _build2(raw: bytes, record: Record2, source: str, annotation: Annotation | None = None) -> Vulnerability:
    said = annotation or Annotation()
    metrics = record.metrics
    value, vector = best(
        [
            m.cvss_data
            for group in (metrics.cvss_metric_v40, metrics.cvss_metric_v31, metrics.cvss_metric_v30)
            for m in group
        ]
        + [m.cvss_data for m in metrics.cvss_metric_v2]
    )
    flags = _flags(record)
    found = Collected()
    for one in record.configurations if "rejected" not in flags else ():
        found.group(Group(one.operator, one.negate, [], [_group2(node) for node in one.nodes]))
    return Vulnerability(
        source, items.identifier(record.id or said.cve_id), items.day(record.last_modified or said.modified),
        items.day(record.published or said.published),
        english(record.descriptions) or items.text(said.description, items.SUMMARY), value, vector, flags, [],
        ssvc(metrics.ssvc_v203), _weaknesses(record.weaknesses), found.stated, list(found.ranges), found.trees, [],
        items.day(record.cisa_exploit_add), fingerprint(raw),
        silent=not found.stated and (annotation is not None or record.vuln_status.lower() in _SETTLED),
    )  # fmt: skip


def _wrapped(raw: bytes, wrapped: Wrapped) -> Item:
    if wrapped.cve is None:
        raise ValueError('a record without its "cve"')
    return _build2(raw, wrapped.cve, "nvd-overrides" if wrapped.annotation else "nvd", wrapped.annotation)


def _plain(raw: bytes, record: Record2) -> Item:
    return _build2(raw, record, "nvd")


def _page(envelope: dict[str, object]) -> Note:
    total = envelope.get("totalResults")
    start = envelope.get("startIndex") or 0
    whole = start == 0 and envelope.get("resultsPerPage") == total
    return Note("", items.day(envelope.get("timestamp")), total if whole and isinstance(total, int) else -1)


def _read2(document: Document) -> Iterator[tuple[bytes, Item]]:
    head = document.stream.peek(65536)
    if re.search(rb'"vulnerabilities"\s*:\s*\[', head):
        return in_array(document, (b"vulnerabilities",), Wrapped, _wrapped, _page)
    if re.search(rb'"cve_items"\s*:\s*\[', head):
        return in_array(document, (b"cve_items",), Record2, _plain)
    wrapped = re.search(rb'"cve"\s*:\s*\{', head) is not None
    if first_line_is_whole(head):
        return in_lines(document, Wrapped, _wrapped) if wrapped else in_lines(document, Record2, _plain)
    return alone(document, Wrapped, _wrapped) if wrapped else alone(document, Record2, _plain)


def _claims2(head: bytes, _: str) -> bool:
    if opens_with(head, rb'"CVE_data_type"|"dataType"\s*:\s*"CVE_RECORD"|"catalogVersion"'):
        return False
    return opens_with(
        head,
        rb'"format"\s*:\s*"NVD_CVE"|"vulnStatus"\s*:|"cve_items"\s*:\s*\[|"cve"\s*:\s*\{\s*"(?:id|configurations)"'
        rb'|"vulnerabilities"\s*:\s*\[\s*\{\s*"cve"\s*:|"_annotation"\s*:\s*\{',
    )


class Node1(Struct, frozen=True):
    """A node of JSON 1.1."""

    operator: str = "OR"
    negate: bool = False
    children: list[Node1] = []
    cpe_match: list[CpeMatch] = []


class Nodes1(Struct, frozen=True):
    """Configurations of JSON 1.1: there is a list, empty or not, in every record."""

    nodes: list[Node1]


class Meta1(Struct, frozen=True):
    """The id."""

    id: str = field(name="ID", default="")


class Texts1(Struct, frozen=True):
    """Descriptions."""

    description_data: list[Text] = []


class Problem1(Struct, frozen=True):
    """Weaknesses of one source."""

    description: list[Text] = []


class Problems1(Struct, frozen=True):
    """Weaknesses."""

    problemtype_data: list[Problem1] = []


class Cve1(Struct, frozen=True):
    """The CVE part of a record."""

    meta: Meta1 = field(name="CVE_data_meta", default=Meta1())
    description: Texts1 = Texts1()
    problemtype: Problems1 = Problems1()


class Base3(Struct, frozen=True, rename="camel"):
    """CVSS 3."""

    cvss_v3: Scored = field(name="cvssV3", default=Scored())


class Base2(Struct, frozen=True, rename="camel"):
    """CVSS 2."""

    cvss_v2: Scored = field(name="cvssV2", default=Scored())


class Impact1(Struct, frozen=True, rename="camel"):
    """Ratings."""

    base_metric_v3: Base3 = field(name="baseMetricV3", default=Base3())
    base_metric_v2: Base2 = field(name="baseMetricV2", default=Base2())


class Record1(Struct, frozen=True, rename="camel"):
    """A record of JSON 1.1."""

    cve: Cve1
    configurations: Nodes1
    impact: Impact1 = Impact1()
    published_date: str = ""
    last_modified_date: str = ""


def _group1(node: Node1) -> Group:
    return Group(node.operator, node.negate, node.cpe_match, [_group1(child) for child in node.children])


def _build1(raw: bytes, record: Record1) -> Item:
    cve = record.cve
    summary = english(cve.description.description_data)
    flags = [name for mark, name in (("** REJECT **", "rejected"), ("** DISPUTED **", "disputed")) if mark in summary]
    value, vector = best([record.impact.base_metric_v3.cvss_v3, record.impact.base_metric_v2.cvss_v2])
    found = Collected()
    for node in record.configurations.nodes if "rejected" not in flags else ():
        found.group(_group1(node))
    weaknesses = [d.value for problem in cve.problemtype.problemtype_data for d in problem.description]
    return Vulnerability(
        "nvd", items.identifier(cve.meta.id), items.day(record.last_modified_date), items.day(record.published_date),
        summary, value, vector, flags, [], [], _weaknesses(list(weaknesses)), found.stated, list(found.ranges),
        found.trees, [], "", fingerprint(raw),
        silent=not found.stated and bool(record.configurations.nodes) and "rejected" not in flags,
    )  # fmt: skip


def _note1(envelope: dict[str, object]) -> Note:
    count = str(envelope.get("CVE_data_numberOfCVEs", ""))
    return Note(
        "", items.day(envelope.get("CVE_data_timestamp")), int(count) if count.isdigit() and len(count) < 9 else -1
    )


def _read1(document: Document) -> Iterator[tuple[bytes, Item]]:
    return in_array(document, (b"CVE_Items",), Record1, _build1, _note1)


IMPORTERS = (
    Importer(
        name="nvd-json-2.0", version=2, kind=FeedKind.VULNERABILITIES, claims=_claims2, read=_read2, licence=_LICENCE
    ),
    Importer(
        name="nvd-json-1.1", version=2, kind=FeedKind.VULNERABILITIES,
        claims=lambda head, _: opens_with(head, rb'"CVE_Items"\s*:\s*\['), read=_read1, licence=_LICENCE,
    ),
)  # fmt: skip
