"""A vendor's bill of materials: every format, hostile ones, and what differs from what was found."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from banbury.lab.store import FileStore
from banbury.model.release import Artefact, ArtefactRole
from banbury.model.supply import Component, Identity, Inventory, Standing, Technique
from banbury.present.cyclonedx import render_cyclonedx
from banbury.present.spdx import render_spdx
from banbury.supply.declared.compare import Compared, compare_declared, normal
from banbury.supply.declared.model import Bill, Declared
from banbury.supply.declared.read import read_bill
from banbury.supply.declared.reading import Handed, read_bills
from tests.present import example
from tests.supply import exported

CDX: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "metadata": {"component": {"type": "firmware", "name": "Box"}},
    "components": [
        {"type": "library", "bom-ref": "a", "group": "org", "name": "outer", "version": "1", "components": [
            {"type": "library", "bom-ref": "b", "name": "inner", "version": "2", "purl": "pkg:generic/inner@2"}]},
        {"type": "application", "bom-ref": "c", "name": "busybox", "version": "1.36.1", "supplier": {"name": "S"},
         "cpe": "cpe:2.3:a:busybox:busybox:1.36.1:*:*:*:*:*:*:*", "licenses": [{"license": {"id": "GPL-2.0-only"}}]},
        {"type": "file", "name": "/etc/passwd"},
    ],
    "dependencies": [{"ref": "a", "dependsOn": ["b", "c"]}],
}  # fmt: skip
XML = b"""<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.4" version="1"><metadata><component
 type="firmware"><name>Box</name></component></metadata><components><component type="library" bom-ref="a"><group>org
</group><name>outer</name><version>1</version><components><component type="library" bom-ref="b"><name>inner</name>
<version>2</version><purl>pkg:generic/inner@2</purl></component></components></component><component type="application"
 bom-ref="c"><supplier><name>S</name></supplier><name>busybox</name><version>1.36.1</version><licenses><license>
<id>GPL-2.0-only</id></license></licenses><cpe>cpe:2.3:a:busybox:busybox:1.36.1:*:*:*:*:*:*:*</cpe></component>
<component type="file"><name>/etc/passwd</name></component></components><dependencies><dependency ref="a">
<dependency ref="b"/><dependency ref="c"/></dependency></dependencies></bom>"""
SPDX: dict[str, Any] = {
    "spdxVersion": "SPDX-2.3",
    "packages": [
        {"SPDXID": "SPDXRef-box", "name": "Box"},
        {"SPDXID": "SPDXRef-a", "name": "org/outer", "versionInfo": "1"},
        {"SPDXID": "SPDXRef-b", "name": "inner", "versionInfo": "2", "externalRefs": [
            {"referenceType": "purl", "referenceLocator": "pkg:generic/inner@2"}]},
        {"SPDXID": "SPDXRef-c", "name": "busybox", "versionInfo": "1.36.1", "supplier": "Organization: S",
         "licenseDeclared": "GPL-2.0-only", "externalRefs": [{"referenceType": "cpe23Type",
         "referenceLocator": "cpe:2.3:a:busybox:busybox:1.36.1:*:*:*:*:*:*:*"}]},
    ],
    "files": [{"fileName": "/etc/passwd"}],
    "relationships": [
        {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-box"},
        {"spdxElementId": "SPDXRef-a", "relationshipType": "DEPENDS_ON", "relatedSpdxElement": "SPDXRef-b"},
        {"spdxElementId": "SPDXRef-c", "relationshipType": "DEPENDENCY_OF", "relatedSpdxElement": "SPDXRef-a"},
    ],
}  # fmt: skip
TAGS = b"""SPDXVersion: SPDX-2.2
# a comment
PackageName: Box
SPDXID: SPDXRef-box
PackageName: org/outer
SPDXID: SPDXRef-a
PackageVersion: 1
PackageComment: <text>PackageName: not one
PackageVersion: 9</text>
PackageName: inner
SPDXID: SPDXRef-b
PackageVersion: 2
ExternalRef: PACKAGE-MANAGER purl pkg:generic/inner@2
FileName: /etc/passwd
SPDXID: SPDXRef-file
PackageName: busybox
SPDXID: SPDXRef-c
PackageVersion: 1.36.1
PackageSupplier: Organization: S
PackageLicenseDeclared: GPL-2.0-only
ExternalRef: SECURITY cpe23Type cpe:2.3:a:busybox:busybox:1.36.1:*:*:*:*:*:*:*
Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-box
Relationship: SPDXRef-a DEPENDS_ON SPDXRef-b
Relationship: SPDXRef-c DEPENDENCY_OF SPDXRef-a
"""
FORMS = {"cyclonedx": json.dumps(CDX).encode(), "xml": XML, "spdx": json.dumps(SPDX).encode(), "tags": TAGS}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_bill_in_every_format(form: str) -> None:
    bill = read_bill(FORMS[form])
    assert (bill.refused, bill.subject, bill.files, bill.dependencies) == ("", "Box", 1, 2)
    assert [(c.name, c.version) for c in bill.components] == [("org/outer", "1"), ("inner", "2"), ("busybox", "1.36.1")]
    assert bill.components[1].purl == "pkg:generic/inner@2"
    busybox = bill.components[2]
    assert busybox.cpes == ["cpe:2.3:a:busybox:busybox:1.36.1:*:*:*:*:*:*:*"]
    assert (busybox.supplier, busybox.license) == ("S", "GPL-2.0-only")
    assert bill.remarks == []


def test_what_is_exported_is_read_again() -> None:
    inventory = exported.inventory()
    for data in (render_cyclonedx(example.small(), "1.7", inventory), render_spdx(example.small(), inventory)):
        bill = read_bill(data)
        assert [(c.name, c.version) for c in bill.components] == [(c.product, c.version) for c in inventory.components]
        assert bill.components[0].purl == inventory.components[0].purl
        assert bill.components[0].license == "GPL-2.0-only"
        assert bill.files > 0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no bill of materials"),
        (b"\x7fELF", "no bill of materials"),
        (b"{", "damaged"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "9.9"}', "'9.9' is not known"),
        (b'{"bomFormat": "CycloneDX", "specVersion": 1.6}', "is not known"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.4", "vulnerabilities": [{}]}', "no bill of materials"),
        (b'{"spdxVersion": "SPDX-4"}', "'SPDX-4' is not known"),
        (b'{"@graph": [{"type": "CreationInfo", "specVersion": "4.0"}]}', "'4.0' is not known"),
        (b"SPDXVersion: SPDX-2.9\n", "'SPDX-2.9' is not known"),
        (b"[" * 100_000, "nested|damaged|no object"),
        (b'{"bomFormat": "CycloneDX", "a": ' + b"[" * 100_000, "nested|damaged"),
        (b"<a/>", "no CycloneDX"),
        (b'<bom xmlns="http://cyclonedx.org/schema/bom/7"/>', "'7' is not known"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><bom xmlns="http://cyclonedx.org/schema/bom/1.4">&b;</bom>', "document type"),
        (b'<bom xmlns="http://cyclonedx.org/schema/bom/1.4">' + b"<a>" * 100_000, "deep"),
        (b'<bom xmlns="http://cyclonedx.org/schema/bom/1.4"><components>', "not well formed"),
        (b"SPDXVersion: SPDX-2.3\nPackageComment: <text>never closed\n", "no end"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "x": "\xff"}', "damaged"),
    ],
)
def test_what_cannot_be_read_says_why_in_a_line(data: bytes, why: str) -> None:
    import re

    bill = read_bill(data)
    assert re.search(why, bill.refused), bill.refused
    assert len(bill.refused) < 200
    assert bill.components == []


def test_hostile_bills_lose_nothing() -> None:
    ring = [{"ref": f"r{n}", "dependsOn": [f"r{(n + 1) % 50_000}"]} for n in range(50_000)]
    deep: dict[str, Any] = {"name": "deepest"}
    for _ in range(200):
        deep = {"name": "x", "components": [deep]}
    odd = [
        {"bom-ref": "same", "name": "one"},
        {"bom-ref": "same", "name": "two"},
        {"bom-ref": "same", "name": "three"},
        {"name": "n" * 10_000_000, "version": "v" * 10_000_000},
        {"name": 7, "version": ["1"], "cpe": {}, "licenses": "x", "supplier": []},
        "text",
        None,
        deep,
    ]
    data = json.dumps({**CDX, "components": odd, "dependencies": ring}).encode()
    began = time.process_time()
    bill = read_bill(data)
    assert time.process_time() - began < 5
    assert len(bill.components) == 5 + 201
    assert max(len(c.name) for c in bill.components) < 1000
    said = "\n".join(bill.remarks)
    assert "'same' stands 3 times" in said
    assert "10000000 characters" in said
    assert "50000 components" in said
    assert "no object" in said
    assert bill.components[-1].name == "deepest"


def test_many_remarks_are_counted() -> None:
    data = json.dumps({**CDX, "components": [1] * 5000}).encode()
    bill = read_bill(data)
    assert bill.remarks[-1] == "and 4900 more remarks"


def test_a_bill_is_read_in_a_sandboxed_worker(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    artefacts = []
    for name, data in {"good.json": FORMS["cyclonedx"], "bad.json": b"{"}.items():
        digest = store.put(data)
        artefacts.append(Artefact(name=name, role=ArtefactRole.SBOM, sha256=digest, size=len(data)))
    artefacts.append(Artefact(name="i", role=ArtefactRole.IMAGE, sha256=artefacts[0].sha256, size=1))
    good, bad = read_bills(artefacts, store)
    assert good.bill == read_bill(FORMS["cyclonedx"])
    assert "damaged" in bad.bill.refused


# --- compared --------------------------------------------------------------------------------------------------------


def found(product: str, version: str, **more: Any) -> Component:
    asserted = Identity(
        product=product, technique=Technique.BANNER, standing=more.pop("standing", Standing.ASSERTED),
        where="image!x", package=more.pop("package", ""),
    )  # fmt: skip
    return Component(id=f"{product}@{version}", product=product, version=version, identities=[asserted], **more)


def compared(declared: list[Declared], components: list[Component], **more: Any) -> Compared:
    inventory = Inventory(release="r", label="l", rules="", knowledge="", components=components)
    return compare_declared([Handed(name="v.json", sha256="", bill=Bill(components=declared, **more))], inventory)


@pytest.mark.parametrize(
    ("declared", "component", "how"),
    [
        (Declared(name="x", purl="pkg:deb/debian/libc6@2.36-9?arch=armhf"),
         found("glibc", "2.36", purl="pkg:deb/debian/libc6@2.36-9"), "package URL"),
        (Declared(name="x", cpes=["cpe:2.3:a:busybox:busybox:1.36.1:*:*:*:*:*:*:*"]),
         found("busybox", "1.36.1", cpes=["busybox:busybox"]), "CPE name"),
        (Declared(name="x", cpes=["cpe:/a:gnu:glibc:2.36"]), found("glibc", "2.36", cpes=["gnu:glibc"]), "CPE name"),
        (Declared(name="libc6", purl="pkg:deb/debian/libc6@2.36-9"), found("glibc", "2.36"), "the table of products"),
        (Declared(name="Linux Kernel"), found("linux", "5.10"), "the table of products"),
        (Declared(name="Acme_Agent"), found("acme-agent", "1"), "the same name"),
        (Declared(name="org/kmod-x"), found("thing", "1", package="kmod-x"), "the same name"),
    ],
)  # fmt: skip
def test_how_a_pair_was_matched_is_said(declared: Declared, component: Component, how: str) -> None:
    result = compared([declared], [component])
    if how == "the table of products" and not result.pairs:
        pytest.fail(f"not matched: {declared}")
    assert [(p.component, p.how) for p in result.pairs] == [(component.id, how)]
    assert result.discrepancies == []


def test_the_four_discrepancies() -> None:
    listed = [
        Declared(name="busybox", version="1.36.1"),
        Declared(name="dropbear", version="2022.83"),
        Declared(name="openssl", version="1.1.1k"),
        Declared(name="zlib", version="1.2.11"),
        Declared(name="zlib", version="1.2.11"),  # twice the same is once
    ]
    there = [
        found("busybox", "1.19.4", facts=["started"]),
        found("openssl", "1.1.1k"),
        found("zlib", "1.2.11", facts=["loaded-by-started"]),
        found("curl", "7.68.0", facts=["setuid"]),
        found("guessed", "1", standing=Standing.CANDIDATE),
        found("linux", "5.10", type="operating-system"),
    ]
    result = compared(listed, there)
    assert [(d.kind, d.name, d.declared, d.found) for d in result.discrepancies] == [
        ("absent", "dropbear", "2022.83", ""),
        ("undeclared", "curl", "", "7.68.0"),
        ("undeclared", "linux", "", "5.10"),
        ("unused", "openssl", "1.1.1k", "1.1.1k"),
        ("version", "busybox", "1.36.1", "1.19.4"),
    ]
    assert all(d.says for d in result.discrepancies)


def test_what_a_started_program_needs_is_used() -> None:
    there = [
        found("openvpn", "2.3.4", facts=["started"], depends=["openssl@1"]),
        found("openssl", "1", depends=["zlib@1", "openssl@1"]),
        found("zlib", "1"),
        found("nano", "1"),
    ]
    listed = [Declared(name=component.product, version=component.version) for component in there]
    assert [d.name for d in compared(listed, there).discrepancies] == ["nano"]


def test_nothing_is_unused_where_nobody_knows_what_starts() -> None:
    assert compared([Declared(name="openssl", version="1")], [found("openssl", "1")]).discrepancies == []


@pytest.mark.parametrize(
    ("declared", "version", "package", "same"),
    [
        ("1.35.0", "1.35.0", "", True),
        ("1:1.35.0-4", "1.35.0", "1:1.35.0-4", True),
        ("2.36-9+deb12u4", "2.36", "", True),
        ("v1.35", "1.35.0", "", True),
        ("1.35.1", "1.35.0", "", False),
        ("1.35.0", "", "", True),  # what was not found cannot differ
        ("", "1.35.0", "", True),
        ("unknown", "1.35.0", "", False),
    ],
)
def test_versions(declared: str, version: str, package: str, same: bool) -> None:
    component = found("busybox", version, manager="dpkg" if package else "", package_version=package)
    kinds = [d.kind for d in compared([Declared(name="busybox", version=declared)], [component]).discrepancies]
    assert kinds == ([] if same else ["version"])


def test_one_of_two_versions_that_is_declared_hides_the_other_not() -> None:
    both = [found("openssl", "1.0.2k"), found("openssl", "1.1.1k")]
    result = compared([Declared(name="openssl", version="1.1.1k")], both)
    assert [(d.kind, d.found) for d in result.discrepancies] == [("undeclared", "1.0.2k")]


def test_a_bill_that_cannot_be_read_declares_nothing() -> None:
    result = compared([], [found("curl", "1")], refused="the JSON is damaged")
    assert (result.discrepancies, result.refused) == ([], ["v.json: the JSON is damaged"])
    empty = compared([], [found("curl", "1")])
    assert [d.kind for d in empty.discrepancies] == ["undeclared"]
    assert empty.remarks == ["v.json: it lists no component"]


def test_hostile_names_are_compared() -> None:
    listed = [Declared(name=t, version=t, purl=f"pkg:{t}", cpes=[f"cpe:2.3:{t}", f"cpe:/{t}"]) for t in example.HOSTILE]
    result = compared(listed, [found("zzz", t) for t in example.HOSTILE])
    assert len([d for d in result.discrepancies if d.kind == "absent"]) == len(listed)
    assert normal("  Foo_bar.BAZ ") == "foo-bar-baz"
