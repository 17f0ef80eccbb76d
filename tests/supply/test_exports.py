"""Bills of materials and VEX in every format, held to the formats' own schemas and models."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from msgspec import structs
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

import banbury
from banbury.model.errors import InputError
from banbury.model.evaluation import Evaluation
from banbury.model.supply import Component, Reason, Snapshot
from banbury.present.cyclonedx import render_cyclonedx
from banbury.present.parts import cpe, references
from banbury.present.spdx import render_spdx
from banbury.present.vex.assessment import Assessment, assess, feeds, reasons
from banbury.present.vex.csaf import render_csaf
from banbury.present.vex.cyclonedx import render_cyclonedx_vex
from banbury.present.vex.openvex import render_openvex
from tests.present import example
from tests.supply import exported

SCHEMAS = {"1.6": SchemaVersion.V1_6, "1.7": SchemaVersion.V1_7}


@pytest.fixture(scope="module")
def small() -> Evaluation:
    return example.small()


@pytest.fixture(scope="module")
def made(small: Evaluation) -> Assessment:
    components = exported.inventory().components
    return assess(small.release, small.as_of, components, exported.matches(), exported.snapshots())


@pytest.fixture(scope="module")
def hostile() -> Assessment:
    inventory, matches = exported.hostile()
    evaluation = example.hostile()
    return assess(evaluation.release, evaluation.as_of, inventory.components, matches, exported.snapshots())


# --- bills of materials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["1.6", "1.7"])
def test_cyclonedx_keeps_to_the_schema(spec: str, small: Evaluation) -> None:
    validator = JsonStrictValidator(SCHEMAS[spec])
    assert validator.validate_str(render_cyclonedx(small, spec, exported.inventory()).decode()) is None
    bad = render_cyclonedx(example.hostile(), spec, exported.hostile()[0])
    assert validator.validate_str(bad.decode()) is None
    references = [c["bom-ref"] for c in json.loads(bad)["components"]]
    assert len(references) == len(set(references))
    assert bad == render_cyclonedx(example.hostile(), spec, exported.hostile()[0])


def test_cyclonedx_has_the_evidence(small: Evaluation) -> None:
    bill = json.loads(render_cyclonedx(small, "1.7", exported.inventory()))
    busybox, glibc, vxworks = bill["components"][:3]
    assert busybox["cpe"] == "cpe:2.3:a:busybox:busybox:1.35.0:*:*:*:*:*:*:*"
    version = next(i for i in busybox["evidence"]["identity"] if i["field"] == "version")
    assert [m["technique"] for m in version["methods"]] == ["binary-analysis", "manifest-analysis"]  # no linked library
    assert busybox["evidence"]["occurrences"][0]["offset"] == 4711
    assert busybox["pedigree"]["patches"][0]["resolves"][0]["id"] == "CVE-2022-28391"
    assert vxworks["cpe"].startswith("cpe:2.3:o:windriver:vxworks:*:")
    assert "identity" not in vxworks["evidence"]
    needs = {d["ref"]: d.get("dependsOn") for d in bill["dependencies"]}
    assert needs[busybox["bom-ref"]] == [glibc["bom-ref"]]


def test_spdx_is_what_the_model_reads(small: Evaluation) -> None:
    spdx = pytest.importorskip("spdx_python_model", reason="NO SPDX MODEL: SPDX 3 is not validated")
    for evaluation, inventory in ((small, exported.inventory()), (example.hostile(), exported.hostile()[0])):
        data = render_spdx(evaluation, inventory)
        assert data == render_spdx(evaluation, inventory)
        _, read = spdx.load_data(json.loads(data))
        assert not read.missing_ids
        names = [e.get("spdxId") for e in json.loads(data)["@graph"][1:]]
        assert len(names) == len(set(names))
        assert sum(type(o).__name__ == "software_Package" for o in read.objects) == len(inventory.components) + 1
    broken = json.loads(data)
    next(e for e in broken["@graph"] if e["type"] == "SpdxDocument")["rootElements"] = []
    with pytest.raises(Exception, match="rootElements"):
        spdx.load_data(broken)


def test_spdx_states_evidence_and_licences(small: Evaluation) -> None:
    graph = json.loads(render_spdx(small, exported.inventory()))["@graph"]
    kinds = {e["type"] for e in graph}
    assert {"simplelicensing_LicenseExpression", "simplelicensing_SimpleLicensingText"} <= kinds
    assert any("at byte 4711" in e.get("statement", "") for e in graph)
    busybox = next(e for e in graph if e.get("name") == "busybox")
    assert "CVE-2022-28391" in busybox["software_sourceInfo"]
    depends = next(e for e in graph if e.get("relationshipType") == "dependsOn")
    assert depends["from"] == busybox["spdxId"]


@pytest.mark.parametrize(
    ("pair", "version", "name"),
    [
        ("gnu:glibc", "2.36", "cpe:2.3:a:gnu:glibc:2.36:*:*:*:*:*:*:*"),
        ("a+b:c d", "1.0~rc1", r"cpe:2.3:a:a\+b:c_d:1.0\~rc1:*:*:*:*:*:*:*"),
        ("x:y", "-", r"cpe:2.3:a:x:y:\-:*:*:*:*:*:*:*"),
        ("x:y", "é", ""),
        ("x", "1", ""),
        ("x:y\n", "1", ""),
    ],
)
def test_cpe_names(pair: str, version: str, name: str) -> None:
    assert cpe(pair, version) == name


def test_no_two_references_are_the_same() -> None:
    ids = ["same", "same", "same#2", "\udcff", "\\udcff", "same"]
    refs = references([Component(id=name, product="x", version="") for name in ids])
    assert len(set(refs)) == len(ids)


# --- VEX -------------------------------------------------------------------------------------------------------------

RENDERERS: list[Callable[[Assessment], bytes]] = [render_cyclonedx_vex, render_openvex, render_csaf]


@pytest.mark.parametrize("render", RENDERERS)
def test_vex_is_the_same_every_time_and_names_its_feeds(
    render: Callable[[Assessment], bytes], made: Assessment
) -> None:
    data = render(made)
    assert data == render(made)
    for snapshot in exported.snapshots():
        assert snapshot.sha256 in data.decode()
        assert snapshot.newest in data.decode()


def test_reasons_are_sentences(made: Assessment) -> None:
    """A range and a version that stand side by side are no longer range; an undated feed is said to be one."""
    found = [Reason(kind="version-in-range", says="nvd: cpe:zlib:zlib <=1.2.12"),
             Reason(kind="distribution-revision", says="1.2.8-1 is the distribution's own revision")]  # fmt: skip
    match = structs.replace(exported.matches()[0], reasons=found, why="")
    assert "<=1.2.12. 1.2.8-1 is the distribution's own revision. " in reasons(match)
    undated = structs.replace(made.snapshots[0], newest="")
    (said,) = feeds(structs.replace(made, snapshots=[undated]))
    assert ", not dated, sha256:" in said


def test_no_feed_is_no_document(small: Evaluation) -> None:
    kev: list[Snapshot] = exported.snapshots()[1:]
    for snapshots in ([], kev):
        with pytest.raises(InputError, match="no vulnerability feed"):
            assess(small.release, small.as_of, [], [], snapshots)
    nothing = assess(small.release, small.as_of, [], [], exported.snapshots())
    assert json.loads(render_cyclonedx_vex(nothing))["vulnerabilities"] == []
    for render in (render_openvex, render_csaf):
        with pytest.raises(InputError, match="no vulnerability matches"):
            render(nothing)


@pytest.mark.parametrize("name", ["made", "hostile"])
def test_cyclonedx_vex_keeps_to_the_schema(name: str, request: pytest.FixtureRequest) -> None:
    data = render_cyclonedx_vex(request.getfixturevalue(name)).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data) is None


def test_cyclonedx_vex_states(made: Assessment) -> None:
    found = {(v["id"], v["affects"][0]["ref"]): v for v in json.loads(render_cyclonedx_vex(made))["vulnerabilities"]}
    states = {key: v["analysis"]["state"] for key, v in found.items()}
    assert states == {
        ("CVE-2022-48174", "component:busybox@1.35.0"): "in_triage",
        ("CVE-2022-28391", "component:busybox@1.35.0"): "resolved",
        ("CVE-2021-42376", "component:busybox@1.35.0"): "not_affected",
        ("CVE-2021-42377", "component:busybox@1.35.0"): "not_affected",
        ("CVE-2022-30065", "component:busybox@1.35.0"): "not_affected",  # an analyst's decision
        ("CVE-2022-30065", "component:glibc@2.36"): "in_triage",  # one whose evidence has changed
        ("CVE-2023-4911", "component:glibc@2.36"): "exploitable",
        ("OSV-2020-1", "component:vxworks@"): "in_triage",
    }
    decided = found["CVE-2022-30065", "component:busybox@1.35.0"]["analysis"]
    assert decided["justification"] == "protected_by_mitigating_control"
    assert "A. Analyst, 2026-05-01" in decided["detail"]


_IRI = {"type": "string", "pattern": r"^[a-z][a-z0-9+.-]*:\S+$"}
_TEXT = {"type": "string", "minLength": 1}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}


def _record(required: str, **fields: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required.split(), "properties": fields}


#: OpenVEX 0.2.0 as its specification's tables of fields have it.
_IDENTIFIERS = _record("", **{"purl": _TEXT, "@cpe23": _TEXT, "@cpe22": _TEXT})
_SUB = _record("", **{"@id": _IRI, "identifiers": _IDENTIFIERS, "hashes": {"type": "object"}})
_PRODUCT = _record("@id", **_SUB["properties"], subcomponents={"type": "array", "items": _SUB, "uniqueItems": True})
_LABELS = ["component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
           "vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist"]  # fmt: skip
_STATEMENT = _record(
    "vulnerability products status",
    vulnerability=_record(
        "name",
        name=_TEXT,
        description=_TEXT,
        aliases={"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    ),
    products={"type": "array", "items": _PRODUCT, "minItems": 1},
    status={"enum": ["not_affected", "affected", "fixed", "under_investigation"]},
    status_notes=_TEXT,
    justification={"enum": _LABELS},
    impact_statement=_TEXT,
    action_statement=_TEXT,
)
_STATEMENT["allOf"] = [
    {
        "if": {"properties": {"status": {"const": "not_affected"}}},
        "then": {"oneOf": [{"required": ["justification"]}, {"required": ["impact_statement"]}]},
        "else": {"not": {"anyOf": [{"required": ["justification"]}, {"required": ["impact_statement"]}]}},
    },
    {"if": {"properties": {"status": {"const": "affected"}}}, "then": {"required": ["action_statement"]}},
]
OPENVEX = _record(
    "@context @id author timestamp version statements",
    **{"@context": {"const": "https://openvex.dev/ns/v0.2.0"}, "@id": _IRI},
    author=_TEXT,
    timestamp=_TIME,
    version={"type": "integer", "minimum": 1},
    tooling=_TEXT,
    statements={"type": "array", "items": _STATEMENT, "minItems": 1, "uniqueItems": True},
)


@pytest.mark.parametrize("name", ["made", "hostile"])
def test_openvex_keeps_to_the_specification(name: str, request: pytest.FixtureRequest) -> None:
    document = json.loads(render_openvex(request.getfixturevalue(name)))
    assert [e.message for e in jsonschema.Draft202012Validator(OPENVEX).iter_errors(document)] == []


def test_openvex_states(made: Assessment) -> None:
    statements = json.loads(render_openvex(made))["statements"]
    assert [s["status"] for s in statements if s["vulnerability"]["name"] == "CVE-2022-48174"] == [
        "under_investigation"
    ]
    assert [s["status"] for s in statements].count("affected") == 1
    assert {s.get("justification") for s in statements if s["status"] == "not_affected"} == {
        "vulnerable_code_not_present", "inline_mitigations_already_exist", None,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["made", "hostile"])
def test_csaf_passes_the_mandatory_tests(name: str, request: pytest.FixtureRequest) -> None:
    """Schema and mandatory tests (CSAF 2.0, section 6.1), by the package ``csaf``."""
    if importlib.util.find_spec("csaf") is None:
        pytest.skip("NO CSAF VALIDATOR: CSAF documents are not validated (package csaf)")
    report = importlib.import_module("csaf.csaf.v20").validate(json.loads(render_csaf(request.getfixturevalue(name))))
    failed = [r for r in report.results if not r.passed and r.group in ("schema", "mandatory")]
    assert failed == []


def test_csaf_states(made: Assessment) -> None:
    document = json.loads(render_csaf(made))
    assert document["document"]["category"] == "csaf_vex"
    by_name = {v.get("cve") or v["ids"][0]["text"]: v for v in document["vulnerabilities"]}
    assert set(by_name["CVE-2022-48174"]["product_status"]) == {"under_investigation"}
    assert by_name["CVE-2022-30065"]["product_status"].keys() == {"known_not_affected", "under_investigation"}
    assert by_name["CVE-2021-42376"]["flags"][0]["label"] == "vulnerable_code_not_present"
    assert by_name["CVE-2021-42377"]["threats"][0]["category"] == "impact"
    assert by_name["CVE-2023-4911"]["remediations"][0]["product_ids"] == ["CSAFPID-2:0"]
    assert by_name["CVE-2023-4911"]["threats"][0]["category"] == "exploit_status"
    affected = [v for v in by_name.values() if "known_affected" in v["product_status"]]
    assert len(affected) == 1  # no candidate is called affected
    assert by_name["OSV-2020-1"]["ids"]


# --- recorded --------------------------------------------------------------------------------------------------------


class _Text(SingleFileSnapshotExtension):
    _write_mode = WriteMode.TEXT
    _file_extension = "txt"
    file_extension = "txt"


@pytest.mark.parametrize("render", RENDERERS)
def test_vex_as_recorded(
    render: Callable[[Assessment], bytes], made: Assessment, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banbury, "__version__", "0.0.0")
    assert render(made).decode() == snapshot(extension_class=_Text)
