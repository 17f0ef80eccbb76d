"""Small feeds of every format, made here."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import zipfile
from typing import Any

import zstandard


def match(product: str, vulnerable: bool = True, version: str = "*", part: str = "a", **bounds: str) -> dict[str, Any]:
    """A ``cpeMatch`` of NVD's JSON 2.0."""
    return {"vulnerable": vulnerable, "criteria": f"cpe:2.3:{part}:{product}:{version}:*:*:*:*:*:*:*", **bounds}


def nvd(id_: str = "CVE-2030-0001", modified: str = "2030-01-02T00:00:00.000", **fields: Any) -> dict[str, Any]:
    """A record of NVD's JSON 2.0."""
    node = {"operator": "OR", "negate": False, "cpeMatch": [match("acme:router", versionEndExcluding="2.0")]}
    return {
        "id": id_,
        "published": "2030-01-01T00:00:00.000",
        "lastModified": modified,
        "vulnStatus": "Analyzed",
        "descriptions": [{"lang": "es", "value": "no"}, {"lang": "en", "value": "A made flaw."}],
        "metrics": {"cvssMetricV31": [{"cvssData": {"vectorString": "CVSS:3.1/AV:N", "baseScore": 9.8}}]},
        "weaknesses": [{"description": [{"lang": "en", "value": "CWE-78"}]}],
        "configurations": [{"nodes": [node]}],
        "someFieldOf2031": {"x": [1, 2, None]},
    } | fields


def page(*records: dict[str, Any]) -> bytes:
    """A page of NVD's API."""
    head = {"resultsPerPage": len(records), "startIndex": 0, "totalResults": len(records), "format": "NVD_CVE"}
    return json.dumps(
        head | {"timestamp": "2030-01-03T00:00:00", "vulnerabilities": [{"cve": r} for r in records]}
    ).encode()


def nvd1(id_: str = "CVE-2030-0002") -> bytes:
    """A yearly feed of NVD's JSON 1.1 with one record whose flaw needs a platform."""
    leaf = {"vulnerable": True, "cpe23Uri": "cpe:2.3:o:acme:os:1.0:rc1:*:*:*:*:*:*", "cpe_name": []}
    platform = {"vulnerable": False, "cpe23Uri": "cpe:2.3:h:acme:box:-:*:*:*:*:*:*:*", "cpe_name": []}
    children = [{"operator": "OR", "children": [], "cpe_match": [one]} for one in (leaf, platform)]
    record = {
        "cve": {
            "CVE_data_meta": {"ID": id_, "ASSIGNER": "x"},
            "description": {"description_data": [{"lang": "en", "value": '** DISPUTED ** Flaw with } and " in it'}]},
        },
        "configurations": {"nodes": [{"operator": "AND", "children": children, "cpe_match": []}]},
        "impact": {"baseMetricV2": {"cvssV2": {"vectorString": "AV:N", "baseScore": 5}}},
        "publishedDate": "2030-01-01T00:00Z",
        "lastModifiedDate": "2030-01-01T00:00Z",
    }
    head = {"CVE_data_type": "CVE", "CVE_data_numberOfCVEs": "1", "CVE_data_timestamp": "2030-01-02T00:00Z"}
    return json.dumps(head | {"CVE_Items": [record]}, indent=2).encode()


def cve5(id_: str = "CVE-2030-0003", **affected: Any) -> dict[str, Any]:
    """A record of the CVE list, as the kernel's CNA writes them, with CISA's container."""
    kernel = {
        "vendor": "Linux", "product": "Linux", "defaultStatus": "affected", "programFiles": ["net/ipv4/tcp.c"],
        "versions": [
            {"version": "4.10", "status": "affected"},
            {"version": "0", "lessThan": "4.10", "status": "unaffected", "versionType": "semver"},
            {"version": "5.10.5", "lessThanOrEqual": "5.10.*", "status": "unaffected", "versionType": "semver"},
            {"version": "5.11", "lessThanOrEqual": "*", "status": "unaffected"},
        ],
    }  # fmt: skip
    adp = {
        "providerMetadata": {"shortName": "CISA-ADP"},
        "metrics": [
            {"other": {"type": "ssvc", "content": {"options": [{"Exploitation": "active"}, {"Automatable": "yes"}]}}},
            {"other": {"type": "kev", "content": {"dateAdded": "2030-01-05"}}},
        ],
    }
    return {
        "dataType": "CVE_RECORD",
        "cveMetadata": {"cveId": id_, "state": "PUBLISHED", "dateUpdated": "2030-01-04T00:00:00.000Z"},
        "containers": {"cna": {"affected": [kernel | affected]}, "adp": [adp]},
    }


OSV = {
    "schema_version": "1.6.0", "id": "GHSA-aaaa-bbbb-cccc", "modified": "2030-02-01T00:00:00Z",
    "aliases": ["CVE-2030-0004"], "summary": "osv",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "Acme"}, "ranges": [
        {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "abcdefabcdef"}]},
        {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}]},
    ]}],
}  # fmt: skip

OSV_YAML = b"""id: OSV-2030-1
modified: 2030-02-01T00:00:00Z
summary: yaml
affected:
- package: {name: zlib, ecosystem: OSS-Fuzz}
  versions: [v1.2.11, v1.2.12]
"""

KEV = {
    "catalogVersion": "2030.01.01", "dateReleased": "2030-01-06T00:00:00Z", "count": 1,
    "vulnerabilities": [{"cveID": "CVE-2030-0001", "dateAdded": "2030-01-05", "dueDate": "2030-02-01",
                         "knownRansomwareCampaignUse": "Known", "vulnerabilityName": "A made flaw"}],
}  # fmt: skip

KEV_CSV = (
    b"cveID,vendorProject,product,vulnerabilityName,dateAdded,shortDescription,requiredAction,dueDate,"
    b'knownRansomwareCampaignUse\nCVE-2030-0009,V,P,"A name, with\na line",2031-01-01,s,r,2031-02-01,Unknown\n'
)

EPSS = b"#model_version:v2030,score_date:2030-01-07T00:00:00+0000\ncve,epss,percentile\nCVE-2030-0001,0.5,0.9\n"

CURL = (
    b"# page\n@vuln = (\n"
    b'    "CVE-2030-0005.html|7.1|7.9|A bug \\@ home|CVE-2030-0005|20300101|20291201|CWE-1: x|0|TLS|-|lib|low|u",\n'
    b"    );\n"
)

KERNEL = b"""
CVEs fixed in 3.12:
  CVE-2013-0001: 201f99f170df14ba52ea4c52847779042b7a623b in the first release

CVEs fixed in 3.12.5:
  CVE-2013-0002: 201f99f170df14ba52ea4c52847779042b7a623b fixed

Outstanding CVEs:
  CVE-2013-0003: (unk) open
"""

PRODUCT = b"""---
title: Acme
permalink: /acme
identifiers:
  - cpe: cpe:2.3:a:acme:router
releases:
  - releaseCycle: "2.0"
    releaseDate: 2029-01-01
    eol: false
    latest: "2.0.1"
    lts: true
  - releaseCycle: 1.10
    releaseDate: 2020-01-01
    eol: 2025-01-01 # a comment
---
> text
"""

DATES = b'{"releases": {}, "versions": {"2.0.1": {"name": "2.0.1", "date": "2029-02-01"}}}'

DEBIAN = (
    b"version,codename,series,created,release,eol,eol-lts,eol-elts\n"
    b"12,Bookworm,bookworm,2021-08-14,2023-06-10,2026-06-10,2028-06-30,2033-06-30\n"
)

RETIRE = {
    "acme.js": {"npmname": "acme", "vulnerabilities": [
        {"below": "1.9.0b1", "atOrAbove": "1.2", "cwe": ["CWE-79"], "severity": "low",
         "identifiers": {"summary": "js", "CVE": ["CVE-2030-0006"]}}], "extractors": {}},
}  # fmt: skip

#: (format, bytes, records, ranges) of each.
ALL: list[tuple[str, bytes, int, int]] = [
    ("nvd-json-2.0", page(nvd()), 1, 1),
    ("nvd-json-2.0", json.dumps({"feed": "x", "cve_items": [nvd()]}).encode(), 1, 1),
    ("nvd-json-2.0", json.dumps(nvd()).encode(), 1, 1),
    ("nvd-json-2.0", b'{"_annotation": {"cve_id": "CVE-2030-0008"}, "cve": {"configurations": []}}', 1, 0),
    ("nvd-json-1.1", nvd1(), 1, 2),
    ("cve-5", json.dumps(cve5()).encode(), 1, 2),
    ("cve-5", b"\n".join(json.dumps(cve5(f"CVE-2030-{n}")).encode() for n in range(1000, 1003)), 3, 6),
    ("cve-5", json.dumps([cve5()], indent=1).encode(), 1, 2),
    ("osv-json", json.dumps(OSV).encode(), 1, 2),
    ("osv-yaml", OSV_YAML, 1, 2),
    ("kev-json", json.dumps(KEV).encode(), 1, 0),
    ("kev-csv", KEV_CSV, 1, 0),
    ("epss-csv", EPSS, 1, 0),
    ("epss-csv", EPSS.partition(b"\n")[2], 1, 0),
    ("curl-vuln.pm", CURL, 1, 1),
    ("kernel-streams", KERNEL, 3, 3),
    ("endoflife-products", PRODUCT, 2, 0),
    ("distro-info", DEBIAN, 1, 0),
    ("retire.js", json.dumps(RETIRE).encode(), 1, 1),
]  # fmt: skip


def tarred(**members: bytes) -> bytes:
    """A tar of the members; ``__`` in a name is a slash."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(data: bytes, name: str = "feed", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of one member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, data)
    return out.getvalue()


WRAPPED = {
    "gzip": gzip.compress,
    "two gzips": lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]),
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zip": zipped,
    "stored zip": lambda data: zipped(data, method=zipfile.ZIP_STORED),
    "zip in zip": lambda data: zipped(zipped(data), "inner.zip"),
    "tar.gz": lambda data: gzip.compress(tarred(x__README=b"read me", x__feed=data)),
}
