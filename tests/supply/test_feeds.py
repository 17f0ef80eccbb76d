"""Feeds: every format is read, what is hostile or broken changes nothing, and the store answers from what was read."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from msgspec import structs

from banbury.cli import main
from banbury.model.errors import InputError, StoreError
from banbury.supply import versions
from banbury.supply.feeds import schema, status
from banbury.supply.feeds.query import Stated, Wanted
from banbury.supply.feeds.store import FeedStore
from tests.supply import feeds_made as made
from tests.supply.conftest import Bench

FEEDS = Path(__file__).resolve().parents[2] / ".." / "shared" / "feeds"


def test_every_format_is_told_by_its_content_and_read(bench: Bench) -> None:
    """Under a name that says nothing: format, records and ranges."""
    for number, (format_, data, records, ranges) in enumerate(made.ALL):
        found = bench.take(data, f"{number}.bin")
        assert [(one.format, one.records, one.ranges, one.refused) for one in found.snapshots] == [
            (format_, records, ranges, 0)
        ], (number, found)
    formats = {one.format for one in bench.store.snapshots()}
    assert len(bench.store.snapshots()) == len(made.ALL)
    assert formats == {format_ for format_, _, _, _ in made.ALL}


def test_release_dates_are_told_by_their_file_in_an_archive(bench: Bench) -> None:
    """endoflife.date's release data name the product by the file alone."""
    bench.take(made.tarred(**{"releases/acme.json": made.DATES}))
    assert [(one.version, one.day) for one in bench.store.releases("acme")] == [("2.0.1", "2029-02-01")]


@pytest.mark.parametrize("wrapping", sorted(made.WRAPPED))
def test_containers(bench: Bench, wrapping: str) -> None:
    """A feed in any container is the same feed."""
    found = bench.take(made.WRAPPED[wrapping](made.page(made.nvd())))
    assert [one.records for one in found.snapshots] == [1]
    assert found.passed == (1 if wrapping == "tar.gz" else 0)
    assert bench.ids("cpe:acme:router", "1.9") == ["CVE-2030-0001"]


def test_two_imports_of_one_file_are_one_snapshot(bench: Bench) -> None:
    """Named by its digest."""
    data = made.page(made.nvd())
    assert bench.take(data).fresh
    assert not bench.take(data, "other name").fresh
    assert [one.sha256 for one in bench.store.snapshots()] == [hashlib.sha256(data).hexdigest()]


def test_a_newer_importer_reads_the_same_file_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since keys and records may differ; the snapshot stays one, and until then it is called outdated."""
    data = made.page(made.nvd())
    bench.take(data)
    monkeypatch.setattr(versions, "ORDER", versions.ORDER + 1)
    assert status.read(bench.store.path).loaded[0].outdated
    again = bench.take(data)
    assert (again.fresh, again.stored) == (True, 1)
    assert len(bench.store.snapshots()) == 1
    assert bench.ids("cpe:acme:router", "1.9") == ["CVE-2030-0001"]
    assert not status.read(bench.store.path).loaded[0].outdated


def test_a_newer_record_takes_the_place_of_an_older_one(bench: Bench) -> None:
    """By the day of its last change, whatever the order of the imports; a rejected one is withdrawn."""
    bench.take(made.page(made.nvd(), made.nvd("CVE-2030-0002")), "1")
    first = bench.store.snapshots()[0].sha256
    newer = made.nvd(modified="2031-01-01T00:00:00", descriptions=[{"lang": "en", "value": "newer"}])
    assert bench.take(made.page(newer), "2").stored == 1
    old = bench.take(made.page(made.nvd(modified="2029-01-01T00:00:00")), "3")
    assert (old.stored, old.older) == (0, 1)
    assert bench.store.advisories(["CVE-2030-0001"])["CVE-2030-0001"][0].summary == "newer"
    assert [(one.id, one.what) for one in bench.store.changed_since(first)] == [("CVE-2030-0001", "changed")]
    gone = bench.take(made.page(made.nvd(modified="2032-01-01T00:00:00", vulnStatus="Rejected")), "4")
    assert gone.withdrawn == 1
    assert bench.ids("cpe:acme:router", "1.0") == ["CVE-2030-0002"]
    assert [(one.id, one.what) for one in bench.store.changed_since(first)] == [("CVE-2030-0001", "withdrawn")]
    with pytest.raises(InputError, match="no snapshot"):
        bench.store.changed_since("0" * 64)


def test_the_answer_names_its_snapshot_and_the_raw_record(bench: Bench) -> None:
    """Every result can be traced to a file and to the bytes of its record."""
    data = made.page(made.nvd(), made.nvd("CVE-2030-0002"))
    bench.take(data)
    (hit,) = [
        one
        for one in bench.store.candidates([Wanted("x", "cpe:acme:router", versions.key("1"))])
        if one.advisory.id.endswith("2")
    ]
    assert hit.advisory.snapshot == hashlib.sha256(data).hexdigest()
    assert json.loads(bench.store.record(hit.advisory.number))["cve"]["someFieldOf2031"] == {"x": [1, 2, None]}
    assert (hit.advisory.cvss, hit.advisory.vector, hit.advisory.weaknesses) == (9.8, "CVSS:3.1/AV:N", ["CWE-78"])
    assert hit.leaf.says == "<2.0"


def test_bounds(bench: Bench) -> None:
    """Ends that are included, left out, absent; exact versions with and without an update; no version."""

    def record(number: int, **kwargs: Any) -> dict[str, Any]:
        nodes = [{"operator": "OR", "cpeMatch": [made.match("acme:router", **kwargs)]}]
        return made.nvd(f"CVE-2030-{number}", configurations=[{"nodes": nodes}])

    bench.take(
        made.page(
            record(1001, versionStartIncluding="1.2", versionEndIncluding="1.4"),
            record(1002, versionStartExcluding="1.2", versionEndExcluding="1.4"),
            record(1003, version="1.3"),
            record(1004, version="*"),
            record(1005, version="-"),
            record(1006, vulnerable=False, version="1.3"),
            record(1007, versionEndExcluding="see the advisory"),
        )
    )
    every = ["CVE-2030-1004", "CVE-2030-1005", "CVE-2030-1007"]
    assert bench.ids("cpe:acme:router", "1.2") == sorted(["CVE-2030-1001", *every])
    assert bench.ids("cpe:acme:router", "1.3") == sorted(["CVE-2030-1001", "CVE-2030-1002", "CVE-2030-1003", *every])
    assert bench.ids("cpe:acme:router", "1.3p1") == sorted(["CVE-2030-1001", "CVE-2030-1002", "CVE-2030-1003", *every])
    assert bench.ids("cpe:acme:router", "1.4") == sorted(["CVE-2030-1001", *every])
    assert bench.ids("cpe:acme:router", "1.4.1") == every
    assert len(bench.ids("cpe:acme:router")) == 6
    stated = {h.advisory.id: h.leaf.stated for h in bench.store.candidates([Wanted("x", "cpe:acme:router")])}
    assert stated["CVE-2030-1005"] == stated["CVE-2030-1007"] == Stated.NOT_STATED
    assert stated["CVE-2030-1004"] == Stated.EVERY


def test_a_configuration_keeps_its_tree(bench: Bench) -> None:
    """What AND joins comes with the leaves that are not vulnerable; an update is part of the version."""
    bench.take(made.nvd1())
    (hit,) = bench.store.candidates([Wanted("x", "cpe:acme:os", versions.key("1.0-rc1"))])
    assert hit.configuration is not None
    assert hit.configuration.operator == "AND"
    assert [leaf.name for child in hit.configuration.children for leaf in child.leaves] == [
        "cpe:acme:os",
        "cpe:acme:box",
    ]
    assert hit.advisory.flags == ["disputed"]
    assert bench.ids("cpe:acme:os", "1.0") == []
    assert bench.ids("cpe:acme:box") == []


@pytest.mark.parametrize(
    ("version", "found"),
    [("4.9.9", 0), ("4.10", 1), ("4.19.3", 1), ("5.10.4", 1), ("5.10.5", 0), ("5.10.99", 0), ("5.11", 0), ("6.1", 0)],
)
def test_the_kernels_own_ranges(bench: Bench, version: str, found: int) -> None:
    """The first entry that holds a version decides, else the default (CVE record format 5.1)."""
    bench.take(json.dumps(made.cve5()).encode())
    assert len(bench.ids("cna:linux:linux", version)) == found


def test_what_cisa_adds(bench: Bench) -> None:
    """Decision points, the day of listing, the kernel's files."""
    bench.take(json.dumps(made.cve5()).encode())
    (head,) = bench.store.advisories(["CVE-2030-0003"])["CVE-2030-0003"]
    assert head.ssvc == ["automatable=yes", "exploitation=active"]
    assert bench.store.kev(["CVE-2030-0003"])["CVE-2030-0003"].added == "2030-01-05"
    assert bench.store.files(["CVE-2030-0003"]) == {"CVE-2030-0003": ["net/ipv4/tcp.c"]}


@pytest.mark.parametrize(
    ("said", "inside", "outside"),
    [
        ("Fixed in OpenSSL 1.0.2zc-dev (Affected 1.0.2-1.0.2zb)", ["1.0.2", "1.0.2zb"], ["1.0.1j", "1.0.2zc"]),
        (">= 1.1.0, < 1.4.1", ["1.1.0", "1.4.0"], ["1.0.9", "1.4.1"]),
        ("< 0.0.48", ["0.0.47"], ["0.0.48"]),
        ("5.x", ["5.0", "5.99"], ["4.9", "6.0"]),
        ("2.4 and earlier", ["2.4", "1.0"], ["2.4.1"]),
        ("before 2.5", ["2.4.9"], ["2.5"]),
        ("17.1.0-17.12.12", [], ["17.2"]),
        ("17.1.0 - 17.12.12", ["17.2"], ["17.12.13"]),
        ("3.0.0 p8", ["3.0.0p8"], ["3.0.0p9"]),
        ("Fixed in OpenSSL 1.0.2y (Affected 1.0.2s-1.0.2x)", ["1.0.2s", "1.0.2x"], ["1.0.2r", "1.0.2y", "1.0.1"]),
        ("Fixed in OpenSSL 3.0.1 (Affected 3.0.0)", ["3.0.0"], ["3.0.1"]),
        ("Snapdragon X5 LTE Modem", ["1.0"], []),
    ],
)
def test_what_cnas_write_for_a_version(bench: Bench, said: str, inside: list[str], outside: list[str]) -> None:
    """The forms that are understood; all else is a statement without a version."""
    record = made.cve5(
        vendor="A Corp", product="B", defaultStatus="unaffected", versions=[{"version": said, "status": "affected"}]
    )
    bench.take(json.dumps(record).encode())
    for version in inside:
        assert bench.ids("cna:a_corp:b", version) == ["CVE-2030-0003"], version
    for version in outside:
        assert bench.ids("cna:a_corp:b", version) == [], version


def _cisa(*blocks: dict[str, Any], id_: str = "CVE-2030-0003") -> dict[str, Any]:
    """A record whose CNA says nothing that can be ordered, with blocks of CISA's container."""
    record = made.cve5(id_)
    record["containers"]["cna"]["affected"] = [{"vendor": "n/a", "product": "n/a", "versions": []}]
    linux = {"vendor": "linux", "product": "linux_kernel", "cpes": ["cpe:2.3:o:linux:linux_kernel:*:*:*:*:*:*:*:*"]}
    record["containers"]["adp"] = [
        {"providerMetadata": {"shortName": "CISA-ADP"}, "affected": [linux | block for block in blocks]}
    ]
    return record


def test_commits_say_nothing_of_versions(bench: Bench) -> None:
    """A block of commits with the default "affected" (CVE-2024-36905) is not every version."""
    commits = {"version": "1da177e4c3f", "lessThan": "2552c9d9440f", "status": "affected", "versionType": "custom"}
    bench.take(json.dumps(_cisa({"defaultStatus": "affected", "versions": [commits]})).encode())
    assert bench.ids("cpe:linux:linux_kernel", "6.1.176") == []
    key = versions.key("6.1.176", versions.scheme_of("cna:linux:linux_kernel"))
    (hit,) = bench.store.candidates([Wanted("x", "cna:linux:linux_kernel", key)])
    assert (hit.leaf.stated, hit.leaf.says) == (Stated.NOT_STATED, "commits")  # it is told all the same


def test_a_list_cut_into_blocks_is_one_list(bench: Bench) -> None:
    """CVE-2024-36971: a block for each entry, each "affected, save in …": together a list, not every version."""
    spans = [("0", "4.6"), ("5.15.161", "5.16"), ("6.1.94", "6.2"), ("6.6.34", "6.7"), ("6.10", "*")]
    blocks = [
        {"defaultStatus": "affected", "versions": [{"version": low, "lessThan": high, "status": "unaffected"}]}
        for low, high in spans
    ]
    bench.take(json.dumps(_cisa(*blocks)).encode())
    for name in ("cpe:linux:linux_kernel", "cna:linux:linux_kernel"):
        for version, there in (("4.5", 0), ("4.9.1", 1), ("6.1.93", 1), ("6.1.176", 0), ("6.3", 1), ("6.12", 0)):
            assert len(bench.ids(name, version)) == there, version
    apart = [block | {"platforms": [name]} for block, name in zip(blocks[1:3], ("a", "b"), strict=True)]
    bench.take(json.dumps(_cisa(*apart, id_="CVE-2030-0009")).encode(), "apart")
    assert "CVE-2030-0009" in bench.ids("cpe:linux:linux_kernel", "6.1.176")  # another platform's list


def test_any_version_of_names_that_have_one(bench: Bench) -> None:
    """CVE-2024-20072: ``*`` beside CPE names of 19.07, 21.02 and 23.05 is those three."""
    cpes = [f"cpe:2.3:o:openwrt:openwrt:{version}:*:*:*:*:*:*:*" for version in ("19.07.0", "21.02", "23.05")]
    block = {"vendor": "openwrt", "product": "openwrt", "cpes": cpes, "defaultStatus": "unknown"}
    bench.take(json.dumps(_cisa(block | {"versions": [{"version": "*", "status": "affected"}]})).encode())
    assert bench.ids("cpe:openwrt:openwrt", "21.02") == ["CVE-2030-0003"]
    assert bench.ids("cpe:openwrt:openwrt", "14.07") == []


def test_osv(bench: Bench) -> None:
    """Ranges of versions, aliases; commits give none."""
    bench.take(json.dumps(made.OSV).encode(), "1")
    bench.take(made.OSV_YAML, "2")
    assert [bench.ids("osv:pypi:acme", v) for v in ("1.1", "1.2", "2.5")] == [
        ["GHSA-aaaa-bbbb-cccc"], [], ["GHSA-aaaa-bbbb-cccc"]
    ]  # fmt: skip
    assert [one.id for one in bench.store.advisories(["CVE-2030-0004"])["CVE-2030-0004"]] == ["GHSA-aaaa-bbbb-cccc"]
    assert bench.ids("osv:oss-fuzz:zlib", "1.2.11") == ["OSV-2030-1"]


def test_exploitation(bench: Bench) -> None:
    """A newer catalogue takes the place of an older one whole; an older one changes nothing."""
    bench.take(json.dumps(made.KEV).encode(), "1")
    bench.take(made.EPSS, "2")
    assert bench.store.kev(["CVE-2030-0001"])["CVE-2030-0001"].ransomware
    assert bench.store.epss(["CVE-2030-0001"])["CVE-2030-0001"].score == 0.5
    assert bench.take(made.KEV_CSV, "3").withdrawn == 1
    assert set(bench.store.kev(["CVE-2030-0001", "CVE-2030-0009"])) == {"CVE-2030-0009"}
    again = bench.take(json.dumps(made.KEV).encode() + b" ", "4")
    assert "older" in again.remarks[0]
    assert set(bench.store.kev(["CVE-2030-0001", "CVE-2030-0009"])) == {"CVE-2030-0009"}


def test_projects_own_tables(bench: Bench) -> None:
    """curl's, the kernel streams', retire.js's."""
    for number, data in enumerate((made.CURL, made.KERNEL, json.dumps(made.RETIRE).encode())):
        bench.take(data, str(number))
    assert [bench.ids("curl:curl", v) for v in ("7.0", "7.1", "7.9", "7.9.1")] == [
        [], ["CVE-2030-0005"], ["CVE-2030-0005"], []
    ]  # fmt: skip
    assert bench.ids("kernel:linux", "3.12.4") == ["CVE-2013-0002", "CVE-2013-0003"]
    assert bench.ids("kernel:linux", "3.12.5") == ["CVE-2013-0003"]
    assert bench.ids("kernel:linux", "3.13") == []
    assert len(bench.ids("osv:npm:acme", "1.8.9")) == 1
    assert bench.ids("osv:npm:acme", "1.9.0") == []


def test_support(bench: Bench) -> None:
    """Cycles in the feed's order, with dates or words; identifiers."""
    bench.take(made.PRODUCT, "1")
    bench.take(made.DEBIAN, "2")
    two, one = bench.store.cycles("acme")
    assert (two.cycle, two.eol, two.ended, two.lts, two.latest) == ("2.0", "", False, True, "2.0.1")
    assert (one.eol, one.ended) == ("2025-01-01", None)
    assert bench.store.products("cpe", "acme:router") == ["acme"]
    (bookworm,) = bench.store.cycles("distro-info:debian")
    assert (bookworm.cycle, bookworm.eol, bookworm.extended) == ("12", "2026-06-10", "2033-06-30")


def test_what_is_no_store(tmp_path: Path) -> None:
    """An absent file, another file, a newer schema."""
    with pytest.raises(InputError, match="no feed store"):
        FeedStore(tmp_path / "absent.db")
    (tmp_path / "text.db").write_bytes(b"x" * 5000)
    with pytest.raises(InputError, match="no feed store"):
        FeedStore(tmp_path / "text.db")
    with FeedStore(tmp_path / "new.db", create=True) as store, store.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="schema"):
        FeedStore(tmp_path / "new.db")


def test_a_store_of_the_first_schema_is_brought_up_to_date(bench: Bench) -> None:
    """What it holds stays; what came with later schemas is there."""
    bench.take(made.page(made.nvd()))
    held = bench.store.snapshots()
    with bench.store.begin() as connection:
        for statement in (
            "DROP INDEX record_exploited",
            "DROP TABLE routine",
            "ALTER TABLE snapshot DROP COLUMN parts",
            "ALTER TABLE leaf DROP COLUMN voice",
            "PRAGMA user_version = 1",
        ):
            connection.exec_driver_sql(statement)
    with FeedStore(bench.store.path) as store:
        assert store.snapshots() == [structs.replace(one, parts=[]) for one in held]
        assert store.routines(["CVE-2030-0001"]) == {}
        with store.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA user_version").scalar() == schema.SCHEMA_VERSION
            tables = sa.inspect(connection)
            assert "record_exploited" in {index["name"] for index in tables.get_indexes("record")}


def test_a_new_feed_hides_no_old_one(bench: Bench) -> None:
    """Each feed has its own newest record and age; of two files of one feed the newer counts, and the older is told of;
    a date after the import makes nothing new."""
    bench.take(made.page(made.nvd("CVE-2030-0001", modified="2022-10-20T00:00:00.000")), "base")
    bench.take(json.dumps(made.cve5("CVE-2030-0002") | {"x": 1}).encode().replace(b"2030-01", b"2026-11"), "cve")
    found = {one.feed: one for one in status.read(bench.store.path, "2026-11-22").feeds}
    assert (found["nvd"].newest, found["nvd"].age, found["nvd"].old) == ("2022-10-20", 1494, True)
    assert not found["cve"].old
    (warned,) = status.warnings(found.values())
    assert warned.startswith("nvd (vulnerabilities): its newest record is 1494 days old")
    mixed = [made.nvd("CVE-2030-0003", modified="2026-11-20T00:00:00.000"), made.nvd("CVE-2030-0004", "2099-01-01")]
    bench.take(made.page(*mixed), "delta")
    nvd = next(one for one in status.read(bench.store.path, "2026-11-22").feeds if one.feed == "nvd")
    assert (nvd.newest, nvd.since, nvd.files, nvd.old) == ("2026-11-20", "2022-10-20", 2, False)
    said = "\n".join(status.lines(status.read(bench.store.path, "2027-01-31")))
    assert (
        "nvd: vulnerabilities, 3 records in 2 files; newest record 2026-11-20, 72 days old (OLD: more than 30)" in said
    )
    assert "the oldest of the files ends on 2022-10-20" in said


def test_ecosystems_of_osv_are_feeds_of_their_own(bench: Bench) -> None:
    """An export of one of them that is old is not hidden by another."""
    for ecosystem, day in (("Debian:12", "2024-01-01"), ("OSS-Fuzz", "2026-11-20")):
        package = {"package": {"ecosystem": ecosystem, "name": "x"}, "versions": ["1.0"]}
        record = {"schema_version": "1.6.0", "id": f"GHSA-{day}", "modified": f"{day}T00:00:00Z", "affected": [package]}
        bench.take(json.dumps(record).encode(), f"osv-{day}")
    found = {one.feed: one.newest for one in status.read(bench.store.path, "2026-11-22").feeds}
    assert found == {"osv debian": "2024-01-01", "osv oss-fuzz": "2026-11-20"}


def test_the_commands(tmp_path: Path) -> None:
    """Import and status; nothing loaded, an empty file and an unknown one are loud and leave no empty store."""
    run = CliRunner().invoke
    feed, empty = tmp_path / "feed", tmp_path / "empty"
    feed.write_bytes(made.page(made.nvd()))
    empty.write_bytes(b"")
    at = ["--workspace", str(tmp_path / "w")]
    assert run(main, ["feeds", "status", *at]).exit_code == 2
    refused = run(main, ["feeds", "import", str(empty), *at])
    assert refused.exit_code == 2
    assert "empty" in refused.output
    assert not (tmp_path / "w" / "feeds.db").exists()
    done = run(main, ["feeds", "import", str(feed), "--licence", "mine", *at])
    assert done.exit_code == 0, done.output
    assert "1 records, 1 ranges" in done.output
    found = json.loads(run(main, ["feeds", "status", "--json", "-", *at]).stdout)
    (loaded,) = found["loaded"]
    assert (loaded["snapshot"]["records"], loaded["snapshot"]["licence"]) == (1, "mine")
    assert "exploited" in found["missing"]
    assert "no feed on exploited" in run(main, ["feeds", "status", *at]).output


NO_SOCKETS = """
import sys, socket
def refuse(event, args):
    if event == "socket.connect" or event == "socket.bind" or event == "socket.getaddrinfo":
        raise SystemExit(f"opened the network: {event} {args}")
    if event == "socket.__new__" and args[1] not in (-1, socket.AF_UNIX):
        raise SystemExit(f"made a socket: {args}")
sys.addaudithook(refuse)
from banbury.cli import main
main()
"""


def test_no_code_path_opens_the_network(tmp_path: Path) -> None:
    """Import and status in a process that ends where a socket other than a local pair is made, or connected."""
    feed = tmp_path / "feed"
    feed.write_bytes(made.page(made.nvd()))
    for words in (["import", str(feed)], ["status"]):
        command = [sys.executable, "-c", NO_SOCKETS, "feeds", *words, "--workspace", str(tmp_path / "w")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    probe = NO_SOCKETS.partition("from banbury")[0] + "socket.socket(socket.AF_INET)"
    caught = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert "made a socket" in caught.stderr  # the watch itself works


#: Real feeds, with what INDEX.md and independent counts say of them: (file, format, records, ranges or None).
REAL = [
    ("nvd/nvd2-samples.jsonl", "nvd-json-2.0", 8, None),
    ("nvd/nvdcve-1.1-2022.json.gz", "nvd-json-1.1", 15_454, 122_769),
    ("nvd-overrides.jsonl.gz", "nvd-json-2.0", 32_184, 97_775),
    ("curl/vuln.pm", "curl-vuln.pm", 206, 206),
    ("kev/known_exploited_vulnerabilities-2025-08.json", "kev-json", 1_404, 0),
    ("kev/known_exploited_vulnerabilities-2026-07.csv", "kev-csv", 1_647, 0),
    ("openssl-secjson.jsonl.gz", "cve-5", 272, None),  # and one that is not a record
    ("eol/endoflife-products.tar.gz", "endoflife-products", 8_351, 0),
    ("js/retirejs-jsrepository-v4.json", "retire.js", 723, 723),
]


@pytest.mark.slow
def test_real_feeds(bench: Bench) -> None:
    """Counts of what others wrote, cross-footed."""
    if not FEEDS.exists():
        pytest.skip(f"{FEEDS} is not there: no real feeds to count")
    for path, format_, records, ranges in REAL:
        (one,) = bench.importing.file(FEEDS / path).snapshots
        assert (one.format, one.records) == (format_, records), path
        assert ranges is None or one.ranges == ranges, path
    assert sum(not name.startswith("distro-info") for name in bench.store.products()) == 464
    assert "CVE-2021-42386" in bench.ids("cpe:busybox:busybox", "1.30.1")
    assert "CVE-2021-42386" not in bench.ids("cpe:busybox:busybox", "1.34.0")
    assert len(bench.ids("cna:openssl:openssl", "1.0.2k")) > len(bench.ids("cna:openssl:openssl", "1.0.2zg"))


@pytest.mark.slow
def test_the_kernels_records(bench: Bench) -> None:
    """CISA's Vulnrichment: 44,130 records, of which 3,680 are the kernel's and 3,675 name files."""
    path = FEEDS / "vulnrichment-2024-10.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: no records of the CVE list to count")
    (one,) = bench.importing.file(path).snapshots
    assert (one.records, one.refused) == (44_130, 0)
    with bench.store.begin() as connection:
        named = connection.exec_driver_sql(
            "SELECT count(DISTINCT record) FROM leaf JOIN product ON number = product WHERE name = 'cna:linux:linux'"
        ).scalar()
        files = connection.exec_driver_sql("SELECT count(DISTINCT record) FROM file").scalar()
    assert 3_600 < int(named or 0) <= 3_700
    assert int(files or 0) >= 3_675


def test_one_bad_file_among_several(tmp_path: Path) -> None:
    """It is said, the others are imported, and the exit status tells."""
    for name, data in (("1", made.page(made.nvd())), ("2", b"no feed at all"), ("3", json.dumps(made.KEV).encode())):
        (tmp_path / name).write_bytes(data)
    arguments = ["feeds", "import", *(str(tmp_path / name) for name in "123"), "--feeds", str(tmp_path / "f.db")]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, "1 of 3 files could not be imported" in done.output) == (2, True)
    with FeedStore(tmp_path / "f.db") as store:
        assert [one.format for one in store.snapshots()] == ["nvd-json-2.0", "kev-json"]
