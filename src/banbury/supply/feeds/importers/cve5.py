"""Records of the CVE list: CVE record format 5.x, with the containers of ADPs (CISA's: SSVC, KEV, CPE names).

Source: CVEProject/cve-schema, "CVE Record Format", 5.1. OpenSSL's own records (openssl/release-metadata, ``secjson``)
have the same form and carry no date: they are kept apart, as the source ``openssl``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field, structs

from banbury.model.supply import FeedKind
from banbury.supply.feeds import cpe, items, statements
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.cpe import Collected, Group
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
from banbury.supply.feeds.importers.nvd import Configuration, _group2, ssvc
from banbury.supply.feeds.items import Item, Vulnerability
from banbury.supply.feeds.query import Leaf, Stated
from banbury.supply.feeds.streams import Document

#: Platforms of the CVE list on which no embedded Linux is, by their first word, with the value of CPE's target_sw.
_OTHERS = {"windows": "windows", "macos": "macos"}  # "iOS" may be Cisco's


class Routine(Struct, frozen=True):
    """A function that is named."""

    name: str = ""


class Affected(Struct, frozen=True, rename="camel"):
    """What one entry says of one product."""

    vendor: str | None = None
    product: str | None = None
    versions: list[statements.Entry] = []
    default_status: str | None = None
    platforms: Any = None
    modules: Any = None
    package_name: Any = None
    cpes: list[str] = []
    program_files: list[str] = []
    program_routines: list[Routine] = []


class Other(Struct, frozen=True):
    """A metric that is not CVSS."""

    type: str = ""
    content: Any = None


class Metric(Struct, frozen=True, rename="camel"):
    """A metric."""

    v4: Scored | None = field(name="cvssV4_0", default=None)
    v31: Scored | None = field(name="cvssV3_1", default=None)
    v30: Scored | None = field(name="cvssV3_0", default=None)
    v2: Scored | None = field(name="cvssV2_0", default=None)
    other: Other | None = None


class Problem(Struct, frozen=True, rename="camel"):
    """A weakness."""

    cwe_id: str | None = None


class Problems(Struct, frozen=True):
    """Weaknesses."""

    descriptions: list[Problem] = []


class Provider(Struct, frozen=True, rename="camel"):
    """Whose container it is."""

    short_name: str = ""


class Container(Struct, frozen=True, rename="camel"):
    """What one organisation says."""

    affected: list[Affected] = []
    cpe_applicability: list[Configuration] = []
    descriptions: list[Text] = []
    rejected_reasons: list[Text] = []
    metrics: list[Metric] = []
    problem_types: list[Problems] = []
    provider_metadata: Provider = Provider()
    tags: list[str] = []
    title: str = ""


class Containers(Struct, frozen=True):
    """The CNA's container, and others'."""

    cna: Container = Container()
    adp: list[Container] = []


class Meta(Struct, frozen=True, rename="camel"):
    """Id, state and dates."""

    cve_id: str = ""
    state: str = ""
    date_published: str = ""
    date_updated: str = ""


class Record(Struct, frozen=True, rename="camel"):
    """A record."""

    cve_metadata: Meta
    containers: Containers = Containers()


def _build(raw: bytes, record: Record) -> Item:
    meta, cna = record.cve_metadata, record.containers.cna
    containers = [cna, *record.containers.adp]
    own = cna.provider_metadata.short_name == "openssl" and not meta.date_updated
    flags = ["rejected"] if meta.state == "REJECTED" else []
    tags = {tag for one in containers for tag in one.tags}
    flags += [name for name in ("disputed", "unsupported-when-assigned") if name in tags]
    found, files, routines = Collected(), dict[str, None](), dict[str, None]()
    found.system = _system(cna)
    for container in containers if "rejected" not in flags else ():
        found.voice = "" if container is cna else _voice(container)
        _container(container, found, files, routines)
    found.voice = ""
    named = any(_name(one.vendor, one.product) for container in containers for one in container.affected)
    if "rejected" not in flags:
        if not any(one.affected or one.cpe_applicability for one in containers):
            raise ValueError("a published record without a list of what is affected")
        if not found.ranges:
            _commits(containers, found)
    value, vector = best(_scores(containers))
    content = [m.other.content for one in containers for m in one.metrics if m.other and m.other.type == "ssvc"]
    return Vulnerability(
        "openssl" if own else "cve", items.identifier(meta.cve_id), items.day(meta.date_updated),
        items.day(meta.date_published), english(cna.descriptions or cna.rejected_reasons), value, vector, flags, [],
        ssvc(content), _weaknesses(containers), found.stated, list(found.ranges), found.trees, list(files),
        _exploited(containers), fingerprint(raw), routines=list(routines)[: items.LIST],
        silent=named and not found.stated and "rejected" not in flags,
    )  # fmt: skip


def _system(cna: Container) -> str:
    """The one other operating system that a CNA says all of what it lists is for, as CPE's ``target_sw``. CISA's
    container, which says the same in names of its own, leaves it out."""
    said = {_OTHERS.get(name, "") for block in cna.affected for name in _platforms(block.platforms)}
    return said.pop() if len(said) == 1 else ""


def _platforms(said: object) -> list[str]:
    """The first word of each platform; one that is none where nothing is said."""
    named = [str(one).strip().lower() for one in said[:50]] if isinstance(said, list) else []
    return ["" if "linux" in one else one.split(" ")[0][:40] for one in named] or [""]


def _voice(container: Container) -> str:
    """Who speaks in a container that is not the CNA's."""
    return items.text(container.provider_metadata.short_name.lower(), 40) or "adp"


def _container(container: Container, found: Collected, files: dict[str, None], routines: dict[str, None]) -> None:
    for one in _gathered(container.affected):
        _product(one, found)
    for one in container.affected:
        files |= {items.text(name): None for name in one.program_files[: items.LIST] if name}
        routines |= {items.text(each.name): None for each in one.program_routines[: items.LIST] if each.name}
    for configuration in container.cpe_applicability:
        nodes = [_group2(node) for node in configuration.nodes]
        found.group(Group(configuration.operator, configuration.negate, [], nodes))


def _commits(containers: list[Container], found: Collected) -> None:
    """What a record speaks of that names commits alone: products, without a version."""
    for one in (block for container in containers for block in container.affected):
        said = [entry for entry in one.versions if statements.is_commit(entry)]
        name = _name(one.vendor, one.product)
        if name and said and any("affected" in (entry.status, one.default_status) for entry in said):
            found.leaf(Leaf(name, stated=Stated.NOT_STATED, says="commits"))


def _gathered(blocks: list[Affected]) -> list[Affected]:
    """The blocks, those put together that are one list of versions cut into pieces.

    CISA's containers once held a block for each entry of another container's list, each with that list's default
    status "affected": "affected, save from 6.1.94 on" beside "affected, save from 6.6.34 on" would be every version.
    """
    groups: dict[tuple[str, ...], list[Affected]] = {}
    for number, one in enumerate(blocks):
        versions = [entry for entry in one.versions if not statements.is_commit(entry)]
        key: tuple[str, ...] = (str(number),)
        if one.default_status == "affected" and len(versions) == 1 and not versions[0].changes:
            more = (one.platforms, one.modules, one.package_name)
            key = (one.vendor or "", one.product or "", *(items.text(str(each)) for each in more))
        groups.setdefault(key, []).append(one)
    return [_joined(group) if len(group) > 1 else group[0] for group in groups.values()]


def _joined(group: list[Affected]) -> Affected:
    entries = [entry for one in group for entry in one.versions]
    cpes = dict.fromkeys(name for one in group for name in one.cpes)
    return structs.replace(group[0], versions=entries, cpes=list(cpes))


def _product(one: Affected, found: Collected) -> None:
    """The statements on one product: under the names of the CVE list, and under those of its CPE names."""
    names = [name] if (name := _name(one.vendor, one.product)) else []
    parts: dict[str, cpe.Name] = {}
    for criteria in one.cpes[: items.LIST]:
        try:
            parsed = cpe.parse(criteria)
        except ValueError:  # CPE 2.2 URIs and free text: the names of the list remain
            continue
        parts.setdefault(parsed.name, parsed)
        if not one.versions:
            found.leaf(cpe.leaf(criteria, None, None, None, None, True))
    default = one.default_status or "unknown"
    if one.cpes and (exact := _exact(one)):  # "*", and the versions in the CPE names
        for each in [*names, *parts]:
            for version, update in exact:
                found.leaf(cpe.exact(each, version, update))
        return
    if len(names + list(parts)) * len(one.versions) > items.LEAVES:
        raise ValueError("too many names times versions")
    for each in names:
        _leaves(each, one.versions, default, found)
    for each in parts if one.versions else ():
        _leaves(each, one.versions, default, found)


def _exact(one: Affected) -> dict[tuple[str, str], None]:
    """The versions and updates of the CPE names, where the list of versions holds "*" alone and each name has one."""
    if len(one.versions) != 1 or one.versions[0].status != "affected" or one.default_status == "affected":
        return {}
    entry = one.versions[0]
    if entry.version.strip().lower() not in statements.EVERY or entry.less_than or entry.less_than_or_equal:
        return {}
    found: dict[tuple[str, str], None] = {}
    products = set()
    for criteria in one.cpes[: items.LIST]:
        try:
            name = cpe.parse(criteria)
        except ValueError:
            return {}
        products.add(name.name)
        if name.version in ("*", "-", "") or len(products) > 1:
            return {}
        found[name.version, name.update] = None
    return found


def _leaves(name: str, entries: list[statements.Entry], default: str, found: Collected) -> None:
    for leaf in statements.affected(name, entries, default):
        found.leaf(leaf)


def _name(vendor: str | None, product: str | None) -> str:
    """``cna:vendor:product``; ``""`` where the list has no names."""
    cleaned = [re.sub(r"[\s:]+", "_", items.text(part or "").strip().lower()) for part in (vendor, product)]
    return "" if cleaned[1] in ("", "n/a") else f"cna:{cleaned[0] or 'n/a'}:{cleaned[1]}"[: items.TEXT]


def _scores(containers: list[Container]) -> list[Scored]:
    metrics = [metric for one in containers for metric in one.metrics]
    found = [m.v4 for m in metrics] + [m.v31 for m in metrics] + [m.v30 for m in metrics] + [m.v2 for m in metrics]
    return [one for one in found if one is not None]


def _weaknesses(containers: list[Container]) -> list[str]:
    names = {d.cwe_id: None for one in containers for problem in one.problem_types for d in problem.descriptions}
    return [items.text(name, 40) for name in names if name and name.startswith("CWE-")][:50]


def _exploited(containers: list[Container]) -> str:
    """The day on which CISA's container says that the vulnerability was listed as exploited."""
    for one in containers:
        for metric in one.metrics:
            if metric.other and metric.other.type == "kev" and isinstance(metric.other.content, dict):
                return items.day(metric.other.content.get("dateAdded"))
    return ""


def _read(document: Document) -> Iterator[tuple[bytes, Item]]:
    head = document.stream.peek(65536)
    if head.lstrip().startswith(b"["):
        return in_array(document, (b"",), Record, _build)
    return in_lines(document, Record, _build) if first_line_is_whole(head) else alone(document, Record, _build)


def _claims(head: bytes, _: str) -> bool:
    if head.lstrip().startswith(b"["):
        return re.match(rb'\s*\[\s*\{\s*"(?:dataType|cveMetadata|containers)"', head) is not None
    return opens_with(head, rb'"dataType"\s*:\s*"CVE_RECORD"|"cveMetadata"\s*:\s*\{|\A\s*\{\s*"containers"\s*:\s*\{')


IMPORTERS = (
    Importer(
        name="cve-5", version=5, kind=FeedKind.VULNERABILITIES, claims=_claims, read=_read, rank=10,
        licence="terms of use of the CVE Program (CISA's containers: CC0)",
    ),
)  # fmt: skip
