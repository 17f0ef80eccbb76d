"""A made release through the whole of it: inventory, matches of every state, support, declared against found, reports.

The image, its bill of materials and the feeds are made here; nothing in them is of a real product's making but names.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.judge.engine import Facts, judge
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, close, components, evaluate
from banbury.model.evaluation import Evaluation
from banbury.model.supply import Claim, Component, Inventory, State, SupplyChain, Support, Technique
from banbury.present.cyclonedx import render_cyclonedx
from banbury.present.document import encode
from banbury.present.gaps import Sort, gaps
from banbury.present.html import render_html
from banbury.present.schema import schema
from banbury.supply.feeds.importing import Importing
from banbury.supply.feeds.store import FeedStore
from tests.images import router, tar_of, uimage
from tests.inspect.elf_builder import Linked
from tests.present.visible import visible
from tests.supply.feeds_made import match, nvd, page

AS_OF = "2026-03-01"
APPLETS = b"\0".join(name.encode() for name in ("[", "[[", "ash", "awk", "cat", "cp", "dd", "ls", "wget"))
BUSYBOX = Linked(imports=("printf", "system")).build() + b"BusyBox v1.22.1 (2014-11-30)\0" + APPLETS + b"\0\0rest"
DROPBEAR = Linked().build() + b"\0SSH-2.0-dropbear_2014.63\0Dropbear server v%s https://matt.ucc.asn.au/dropbear/\0"
STATUS = b"".join(
    f"Package: {name}\nVersion: {version}\nStatus: install user installed\nArchitecture: mips\n\n".encode()
    for name, version in (("busybox", "1.19.4-7"), ("dropbear", "2014.63-1"), ("zlib", "1.2.8-1"))
)
CHANGELOG = b"dropbear (2014.63-1) stable; urgency=high\n\n  * CVE-2030-0004 is fixed.\n\n -- A <a@example.org>  x\n"
KERNEL = b"\0Linux version 3.10.49 (a@b) (gcc version 4.8.3 (GCC) ) #1 Sun Nov 30 01:08:40 UTC 2014\n\0" * 2
FILES = {
    "bin/busybox": BUSYBOX,
    "usr/sbin/dropbear": DROPBEAR,
    "usr/lib/opkg/status": STATUS,
    "usr/share/doc/dropbear/changelog.Debian": CHANGELOG,
    "boot/kernel": KERNEL,
    "etc/init.d/S50dropbear": b"#!/bin/sh\n/usr/sbin/dropbear -F -p 22\n",
}
BILL = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "components": [
        {"type": "library", "name": "zlib", "version": "1.2.11"},
        {"type": "library", "name": "openssl", "version": "3.0.13"},
    ],
}
MANIFEST = """
[release]
vendor = "Example"
product = "Box"
version = "1.0"
support_until = 2030-01-01
[[artefact]]
path = "image.bin"
role = "image"
[[artefact]]
path = "bill.json"
role = "sbom"
"""


def _or(*leaves: dict[str, object]) -> dict[str, object]:
    return {"operator": "OR", "negate": False, "cpeMatch": list(leaves)}


def _said(text: str) -> list[dict[str, str]]:
    return [{"lang": "en", "value": text}]


BUSY = match("busybox:busybox", versionEndIncluding="1.30.0")
WINDOWS = match("microsoft:windows", vulnerable=False, part="o")
BOARD = match("acme:board", vulnerable=False, part="h")
SSH = match("dropbear_ssh_project:dropbear_ssh", versionEndExcluding="2016.74")
RECORDS = [
    nvd("CVE-2030-0001", configurations=[{"nodes": [_or(SSH)]}]),
    nvd(
        "CVE-2030-0002", descriptions=_said("The wget applet runs a command."), configurations=[{"nodes": [_or(BUSY)]}]
    ),
    nvd("CVE-2030-0003", configurations=[{"operator": "AND", "nodes": [_or(BUSY), _or(WINDOWS)]}]),
    nvd("CVE-2030-0004", configurations=[{"nodes": [_or(SSH)]}]),
    nvd("CVE-2030-0005", configurations=[{"operator": "AND", "nodes": [_or(SSH), _or(BOARD)]}]),
]
KEV = {
    "title": "CISA Catalog of Known Exploited Vulnerabilities",
    "catalogVersion": "2026.01.01",
    "dateReleased": "2026-01-01T00:00:00.0000Z",
    "count": 1,
    "vulnerabilities": [
        {
            "cveID": "CVE-2030-0001",
            "vendorProject": "Example",
            "product": "SSH",
            "vulnerabilityName": "Example",
            "dateAdded": "2026-01-01",
            "shortDescription": "x",
            "requiredAction": "x",
            "dueDate": "2026-02-01",
            "knownRansomwareCampaignUse": "Unknown",
            "notes": "",
        }
    ],
}


def _submission(folder: Path) -> Path:
    folder.mkdir()
    (folder / "image.bin").write_bytes(router("1.0", FILES))
    (folder / "bill.json").write_text(json.dumps(BILL))
    (folder / "release.toml").write_text(MANIFEST)
    return folder


def _feeds(folder: Path) -> Path:
    store = folder / "feeds.db"
    (folder / "nvd.json").write_bytes(page(*RECORDS))
    (folder / "kev.json").write_text(json.dumps(KEV))
    with FeedStore(store, create=True) as opened, Importing(opened) as importing:
        for name in ("nvd.json", "kev.json"):
            importing.file(folder / name, name=name, licence="")
    return store


class Made(msgspec.Struct):
    """The release evaluated with feeds, and without."""

    root: Path
    told: Evaluation
    blind: Evaluation
    html: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp("supply")
    release = _submission(root / "release")
    feeds = _feeds(root)
    try:
        with Workspace(root / "w") as workspace:
            blind = evaluate(release, workspace, options=Options(as_of=AS_OF))
            told = evaluate(release, workspace, options=Options(as_of=AS_OF, feeds=feeds))
            yield Made(root=root, told=told, blind=blind, html=render_html(told, workspace.blobs))
    finally:
        close()


def test_the_inventory_holds_each_part_with_what_shows_it(made: Made) -> None:
    assert made.told.supply is not None
    found = {c.id: c for c in made.told.supply.inventory.components}
    assert set(found) == {"busybox@1.19.4", "busybox@1.22.1", "dropbear@2014.63", "linux@3.10.49", "zlib@1.2.8"}
    assert {i.technique for i in found["dropbear@2014.63"].identities} >= {Technique.PACKAGE, Technique.BANNER}
    assert found["dropbear@2014.63"].facts == ["listens", "started"]
    assert found["dropbear@2014.63"].patched == ["CVE-2030-0004"]
    (says,) = found["busybox@1.22.1"].disagreements
    assert "opkg states busybox 1.19.4-7" in says
    shown = next(i for i in found["busybox@1.22.1"].identities if i.technique is Technique.BANNER)
    assert BUSYBOX[shown.start : shown.start + shown.length].startswith(b"BusyBox v1.22.1")


def test_a_match_of_every_state(made: Made) -> None:
    assert made.told.supply is not None
    found = {(m.vulnerability, m.component): m for m in made.told.supply.matches}
    ssh = "dropbear@2014.63"
    assert found["CVE-2030-0001", ssh].state is State.CANDIDATE
    assert found["CVE-2030-0001", ssh].exploited == "2026-01-01"
    assert found["CVE-2030-0002", "busybox@1.22.1"].state in (State.AFFECTED, State.CANDIDATE)
    assert "applet-present" in {r.kind for r in found["CVE-2030-0002", "busybox@1.22.1"].reasons}
    assert found["CVE-2030-0003", "busybox@1.22.1"].state is State.NOT_AFFECTED
    assert found["CVE-2030-0004", ssh].state is State.FIXED
    assert found["CVE-2030-0005", ssh].state is State.ANALYST
    assert made.told.supply.matches[0] is found["CVE-2030-0001", ssh]  # what is exploited stands first


def test_support_and_what_was_declared(made: Made) -> None:
    assert made.told.supply is not None
    ended = {s.component for s in made.told.supply.support if s.ended}
    assert "linux@3.10.49" in ended
    found = {(d.kind, d.name) for d in made.told.supply.discrepancies}
    assert {("version", "zlib"), ("absent", "openssl"), ("undeclared", "dropbear")} <= found


def test_the_rules_that_read_it(made: Made) -> None:
    rules = {f.rule for f in made.told.findings if f.rule.startswith("supply.")}
    assert rules == {
        "supply.exploited-running-candidate",
        "supply.support-announced-derived",
        "supply.support-superseded-derived",
        "supply.undeclared",
        "supply.declared-version",
        "supply.disagreement",
    }
    worst = next(f for f in made.told.findings if f.rule == "supply.exploited-running-candidate")
    assert worst.severity == "high"
    assert worst.evidence[0].sha256
    assert "CVE-2030-0001" in worst.message


def _claim(kind: Claim, confidence: str, ended: bool | None = True, component: str = "x@1.0") -> Support:
    return Support(component=component, claim=kind, ended=ended, confidence=confidence, source="a document")


@pytest.mark.parametrize(
    ("claims", "rule", "grade"),
    [
        ([_claim(Claim.ANNOUNCED, "stated")], "supply.support-ended", "established"),
        ([_claim(Claim.ANNOUNCED, "derived")], "supply.support-announced-derived", "indicated"),
        ([_claim(Claim.DEAD, "stated")], "supply.support-dead", "established"),
        ([_claim(Claim.SUPERSEDED, "stated")], "supply.support-superseded", "established"),
        ([_claim(Claim.SUPERSEDED, "derived")], "supply.support-superseded-derived", "indicated"),
        ([_claim(Claim.OLDER, "stated")], "supply.support-older", "indicated"),
        ([_claim(Claim.DISTRIBUTION, "stated")], "supply.support-distribution", "established"),
        ([_claim(Claim.CONTRACT, "stated", ended=None)], "supply.support-contract", "indicated"),
        # of several, the strongest alone
        ([_claim(Claim.OLDER, "stated"), _claim(Claim.SUPERSEDED, "derived"), _claim(Claim.DEAD, "stated")],
         "supply.support-dead", "established"),
        ([_claim(Claim.SUPERSEDED, "derived", ended=None), _claim(Claim.OLDER, "derived")],
         "supply.support-older", "indicated"),
        ([_claim(Claim.DEAD, "unverified", ended=None)], "", ""),
        ([_claim(Claim.ANNOUNCED, "stated"), _claim(Claim.DISTRIBUTION, "stated", ended=False)], "", ""),
    ],
)  # fmt: skip
def test_each_kind_of_claim_has_a_rule_of_its_own(claims: list[Support], rule: str, grade: str, made: Made) -> None:
    """What is derived is not called established, and no title says more than the claim."""
    thing = Component(id="x@1.0", product="x", version="1.0")
    inventory = Inventory(release="r", label="l", rules="", knowledge="", components=[thing])
    chain = SupplyChain(inventory=inventory, support=claims)
    first = made.told
    ledger = msgspec.structs.replace(first.ledger, images=[], unread=[])
    facts = Facts(nodes=first.nodes[:1], files={}, containers={}, ledger=ledger, payload=[True], supply=chain)
    found = [f for f in judge(facts, dt.date(2026, 1, 1)) if f.rule.startswith("supply.support")]
    assert [(f.rule, str(f.grade)) for f in found] == ([(rule, grade)] if rule else [])


def test_without_a_feed_it_says_so_loudly(made: Made) -> None:
    assert made.blind.supply is not None
    assert made.blind.supply.matches == []
    assert "supply.no-feed" in {f.rule for f in made.blind.findings}
    assert any(g.sort is Sort.NOT_MATCHED for g in gaps(made.blind))
    assert {f.rule for f in made.told.findings} & {"supply.no-feed"} == set()


def test_the_page_tells_a_manager_and_an_analyst(made: Made) -> None:
    text = visible(made.html)
    for told in (
        "No known vulnerability is shown to affect" if "affected" not in text else "known vulnerabilit",
        "1 is known to be exploited",
        "CVE-2030-0001",
        "by its version alone (nvd: cpe:dropbear_ssh_project:dropbear_ssh <2016.74)",
        "package data of opkg name CVE-2030-0004 as fixed",
        "sources disagree",
        "bill.json (CycloneDX 1.5) declares 2 components",
        "dropbear 2014.63 listens started",
    ):
        assert told in text, told
    assert re.search(r"(?<![\d.])0 (?:known )?vulnerabilit", text) is None


def test_the_document_keeps_to_its_schema_and_comes_back(made: Made) -> None:
    document = json.loads(encode(made.told))
    problems = jsonschema.Draft202012Validator(schema(strict=True)).iter_errors(document)
    assert [p.message for p in problems] == []
    assert msgspec.json.decode(encode(made.told), type=Evaluation) == made.told
    bill = json.loads(render_cyclonedx(made.told))
    assert {"dropbear", "busybox", "linux", "zlib"} <= {c["name"] for c in bill["components"]}


def test_it_is_a_function_of_bytes_feeds_and_date(made: Made, tmp_path: Path) -> None:
    feeds = _feeds(tmp_path)  # imported again, at another time
    with Workspace(tmp_path / "w") as workspace:
        again = evaluate(made.root / "release", workspace, options=Options(as_of=AS_OF, feeds=feeds))
    assert encode(again) == encode(made.told)


def test_components_alone_and_an_evaluation_after_it_agree(made: Made, tmp_path: Path) -> None:
    image = made.root / "release" / "image.bin"
    with Workspace(tmp_path / "w") as workspace:
        alone = components(image, workspace)
        bare = components(image, workspace, package_databases=False)
        evaluated = evaluate(image, workspace, options=Options(as_of=AS_OF))
    assert evaluated.supply is not None
    assert [c.id for c in alone.components] == [c.id for c in evaluated.supply.inventory.components]
    assert {c.id for c in bare.components} == {"busybox@1.22.1", "dropbear@2014.63", "linux@3.10.49"}


def test_the_command_reads_a_file_an_image_and_a_tree(made: Made, tmp_path: Path) -> None:
    tree = tmp_path / "root"
    for name, data in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tree / "bin" / "sh").symlink_to("busybox")
    found = {}
    for name, path in (
        ("tree", tree),
        ("file", tree / "bin" / "busybox"),
        ("image", made.root / "release" / "image.bin"),
    ):
        result = CliRunner().invoke(main, ["components", str(path), "--json", "-", "-q"])
        assert result.exit_code == 0, result.output
        inventory = msgspec.json.decode(result.stdout_bytes, type=Inventory)
        found[name] = {c.id for c in inventory.components}
    assert found["file"] == {"busybox@1.22.1"}
    assert found["tree"] == found["image"]
    result = CliRunner().invoke(main, ["components", str(tree)])
    assert "sources disagree" in result.output
    assert CliRunner().invoke(main, ["components", str(tmp_path / "nothing")]).exit_code == 2


def test_an_image_of_nothing_known_is_no_lack(tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(uimage(tar_of({"a.txt": b"text\n" * 100})))
    try:
        with Workspace(tmp_path / "w") as workspace:
            evaluation = evaluate(tmp_path / "image.bin", workspace, options=Options(as_of=AS_OF))
    finally:
        close()
    assert evaluation.supply is not None
    assert evaluation.supply.inventory.components == []
    assert not any(f.rule.startswith("supply.") for f in evaluation.findings)
