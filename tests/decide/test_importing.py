"""Exports of other systems: what they say comes in, what they lack is said, what is hostile is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.decide.network import Network
from banbury.decide.network.importing import Done, bring_in
from banbury.model.errors import InputError

SITE = {
    "slug": "leeds-1",
    "name": "Leeds 1",
    "region": {"slug": "north"},
    "latitude": 53.8,
    "longitude": -1.55,
    "tenant": None,
}
DEVICE = {
    "name": "enb-1",
    "site": {"slug": "leeds-1"},
    "role": {"slug": "enodeb"},
    "device_type": {"model": "BTS 1", "manufacturer": {"slug": "acme", "name": "Acme"}},
    "platform": {"slug": "v1"},
    "custom_fields": {"installed": "2019-01-01", "technology": "4G"},
}
NRM = """<?xml version="1.0"?>
<bulkCmConfigDataFile xmlns="http://www.3gpp.org/ftp/specs/archive/32_series/32.615#configData"
 xmlns:xn="x" xmlns:gn="g">
<configData><xn:SubNetwork id="1"><xn:ManagedElement id="ME-1"><xn:attributes><xn:vendorName>Acme</xn:vendorName>
<xn:swVersion>v2</xn:swVersion><xn:locationName>leeds-1</xn:locationName>
<xn:managedBy>DC=x,ManagementNode=ems-1</xn:managedBy>
</xn:attributes><gn:GNBDUFunction id="1"><gn:attributes><gn:vendorName>wrong</gn:vendorName></gn:attributes>
</gn:GNBDUFunction></xn:ManagedElement></xn:SubNetwork></configData></bulkCmConfigDataFile>"""


def bring(tmp_path: Path, form: str, *texts: str | bytes) -> Done:
    files = []
    for i, text in enumerate(texts):
        files.append(tmp_path / f"in{i}")
        files[-1].write_bytes(text.encode() if isinstance(text, str) else text)
    return bring_in(files, form, tmp_path / "out", mapping=None, operator="Alpha", as_of="2020-01-28", asserted_by="")


def test_netbox_json_becomes_an_inventory_without_problems(tmp_path: Path) -> None:
    done = bring(tmp_path, "netbox-json", json.dumps({"count": 1, "results": [SITE]}), json.dumps([DEVICE]))

    assert done.rows == {"sites": 1, "elements": 1, "vendors": 1}
    with Network.open(tmp_path / "out") as network:
        assert network.sql(
            "SELECT id, site, operator, region, lat, function, vendor, product, release, tech, asserted_by"
            " FROM elements"
        ) == [("enb-1", "leeds-1", "Alpha", "north", 53.8, "ENB", "acme", "BTS 1", "v1", "4G", "netbox-json: in0, in1")]


def test_netbox_csv(tmp_path: Path) -> None:
    sites = "Name,Slug,Region,Latitude,Longitude\nLeeds 1,leeds-1,north,53.8,-1.55\n"
    devices = (
        "name,site,role,manufacturer,device_type,platform,cf_installed\nenb-1,leeds-1,eNodeB,Acme,BTS 1,v1,2019-01-01\n"
    )
    bring(tmp_path, "netbox-csv", sites, devices)

    with Network.open(tmp_path / "out") as network:
        assert network.sql("SELECT id, function, vendor, installed::VARCHAR, lat FROM elements") == [
            ("enb-1", "ENB", "acme", "2019-01-01", 53.8)
        ]


def test_what_an_export_does_not_say_is_not_guessed(tmp_path: Path) -> None:
    """A role that means nothing stays as it is, is remarked on, and the check names the row."""
    done = bring(
        tmp_path, "netbox-json", json.dumps([SITE, DEVICE, {**DEVICE, "name": "n", "role": {"slug": "patch-panel"}}])
    )

    assert any("patch-panel" in remark for remark in done.remarks)
    result = CliRunner().invoke(main, ["network", "check", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "row 3, column function: 'patch-panel'" in result.output


def test_managed_elements_in_xml_and_json_are_the_same(tmp_path: Path) -> None:
    record = {
        "SubNetwork": {
            "ManagedElement": [
                {
                    "id": "ME-1",
                    "attributes": {
                        "vendorName": "Acme",
                        "swVersion": "v2",
                        "locationName": "leeds-1",
                        "managedBy": ["DC=x,ManagementNode=ems-1"],
                    },
                    "GNBDUFunction": [{"id": "1"}],
                }
            ]
        }
    }
    found = []
    for name, text in (("xml", NRM), ("json", json.dumps(record))):
        (tmp_path / name).mkdir()
        bring(tmp_path / name, "3gpp-nrm", text)
        with Network.open(tmp_path / name / "out", accept_problems=True) as network:
            found.append(network.sql("SELECT id, site, function, vendor, release, managed_by FROM elements"))
            assert [p.check for p in network.problems if not p.note] == ["dangling"], "ems-1 is not in the export"
    assert found[0] == found[1] == [("ME-1", "leeds-1", "GNB_DU", "acme", "v2", "ems-1")]


HOSTILE = {
    "document type": NRM.replace("?>", '?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
    "levels": "<a>" * 100,
    "no XML": NRM[:300],
    "no ManagedElement": "<a/>",
    "no JSON": "{" * 100_000,
    "no JSON: ": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_managed_elements_are_refused_in_one_line(tmp_path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bring(tmp_path, "3gpp-nrm", HOSTILE[message])
    assert not (tmp_path / "out").exists()


def test_a_bill_of_materials_becomes_components(tmp_path: Path) -> None:
    bom = {
        "bomFormat": "CycloneDX",
        "metadata": {"component": {"name": "BTS 1", "version": "v1"}},
        "components": [
            {
                "name": "libx",
                "version": "1",
                "supplier": {"name": "Acme"},
                "components": [{"name": "liby", "version": "2"}],
            },
            {"name": "libx", "version": "1", "supplier": {"name": "Acme"}},
        ],
    }
    done = bring(tmp_path, "cyclonedx", json.dumps(bom))

    assert done.rows == {"components": 2}
    assert done.remarks == ["1 × component without supplier"]
    for broken in ({}, {**bom, "metadata": {}}, {**bom, "components": 3} | {"bomFormat": "x"}):
        with pytest.raises(InputError):
            bring(tmp_path, "cyclonedx", json.dumps(broken))


def test_the_day_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("[]")
    result = CliRunner().invoke(
        main,
        [
            "network",
            "import",
            str(tmp_path / "in"),
            "--form",
            "netbox-json",
            "--as-of",
            "now",
            "--out",
            str(tmp_path / "o"),
        ],
    )
    assert result.exit_code == 2
    assert "no date" in result.stderr
