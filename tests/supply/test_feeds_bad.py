"""Feeds that are broken, hostile or in another form: what cannot be relied on changes nothing, and is told."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from banbury.model.errors import InputError
from banbury.supply.feeds.worker import Answer
from tests.supply import feeds_made as made
from tests.supply.conftest import Bench


def test_a_bad_record_costs_itself(bench: Bench) -> None:
    """It is counted, with its reason, and the others are there. JSON's not-a-number is none."""
    nodes = [{"cpeMatch": [{"criteria": "no name"}]}]
    deep: Any = []
    for _ in range(20):
        deep = {"operator": "AND", "cpeMatch": [made.match("a:b")] * 2, "children": [deep] if deep else []}
    bad = [
        made.nvd("not an id"),
        made.nvd("CVE-2030-0002", configurations=[{"nodes": nodes}]),
        made.nvd("CVE-2030-0003", published=5),
        made.nvd("CVE-2030-0004", metrics={"cvssMetricV2": [{"cvssData": {"baseScore": float("nan")}}]}),
        made.nvd("CVE-2030-0005", configurations=[{"nodes": [deep]}]),
    ]
    found = bench.take(made.page(made.nvd(), *bad, made.nvd("CVE-2030-0006")))
    (one,) = found.snapshots
    assert (one.records, one.refused) == (2, 5)
    assert len(found.remarks) == 5
    assert bench.ids("cpe:acme:router", "1") == ["CVE-2030-0001", "CVE-2030-0006"]


def _renamed(record: dict[str, Any], old: str) -> dict[str, Any]:
    """A record in which a field, wherever it is, has another name."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {(f"{key}New" if key == old else key): walk(inner) for key, inner in value.items()}
        return [walk(one) for one in value] if isinstance(value, list) else value

    found = walk(record)
    assert isinstance(found, dict)
    return found


def _in_form(form: str, number: int) -> dict[str, Any]:
    id_ = f"CVE-2030-{number}"
    if form == "1.1":
        found = json.loads(made.nvd1(id_))["CVE_Items"][0]
        assert isinstance(found, dict)
        return found
    if form == "5":
        return made.cve5(id_, defaultStatus="unaffected", versions=[{"version": "1.0", "status": "affected"}])
    return made.nvd(id_)


def _feed(form: str, records: list[dict[str, Any]]) -> bytes:
    if form == "1.1":
        return json.dumps({"CVE_data_type": "CVE", "CVE_Items": records}).encode()
    if form == "2.0":
        return made.page(*records)
    return b"".join(json.dumps(one).encode() + b"\n" for one in records)


@pytest.mark.parametrize(
    ("form", "field"),
    [("1.1", "configurations"), ("1.1", "nodes"), ("1.1", "cpe_match"), ("2.0", "configurations"),
     ("2.0", "nodes"), ("2.0", "cpeMatch"), ("5", "affected"), ("5", "versions")],
)  # fmt: skip
def test_a_feed_in_another_form_takes_nothing_away(bench: Bench, form: str, field: str) -> None:
    """A renamed field would leave every record without a version: it is loud, and what was there stays."""
    good = [_in_form(form, number) for number in range(1000, 1030)]
    name = {"1.1": "cpe:acme:os", "2.0": "cpe:acme:router", "5": "cna:linux:linux"}[form]
    bench.take(_feed(form, good), "good")
    before = bench.ids(name)
    assert len(before) == 30
    with pytest.raises(InputError, match=r"none of its 30 records states|most of its records cannot be read"):
        bench.take(_feed(form, [_renamed(one, field) for one in good]), "renamed")
    assert bench.ids(name) == before


def test_most_records_unreadable(bench: Bench) -> None:
    """It is no feed that is relied on, and one line says why; reasons that repeat are counted."""
    bad = [made.nvd(f"CVE-2030-{number}", published=5) for number in range(1000, 1030)]
    with pytest.raises(InputError, match=r"most of its records cannot be read \(30 of 31"):
        bench.take(made.page(made.nvd(), *bad), "1")
    assert bench.ids("cpe:acme:router") == []
    found = bench.take(made.page(*(made.nvd(f"CVE-2031-{n}") for n in range(1000, 1040)), *bad), "2")
    assert [one.refused for one in found.snapshots] == [30]
    assert len(found.remarks) == 1
    assert found.remarks[0].endswith("(30 times)")


def test_a_page_of_records_that_wait_is_a_feed(bench: Bench) -> None:
    """NVD's newest records have no configurations yet; that is no change of form."""
    waiting = []
    for number in range(1000, 1030):
        record = made.nvd(f"CVE-2030-{number}", vulnStatus="Awaiting Analysis")
        record.pop("configurations")
        waiting.append(record)
    assert [one.records for one in bench.take(made.page(*waiting)).snapshots] == [30]


def test_a_text_that_looks_like_the_end_of_a_record(bench: Bench) -> None:
    """Where the next record begins is proved by parsing, not by what a text says."""
    trap = '}, {"cve": {"id": "CVE-2030-6666", "lastModified": "2031-01-01", "configurations": []}}, {"cve": {"id": "'
    texts = [{"lang": "en", "value": trap}]
    records = [made.nvd(f"CVE-2030-{1000 + n}", descriptions=texts, cisaExploitAdd=trap) for n in range(200)]
    (one,) = bench.take(made.page(*records)).snapshots
    assert (one.records, one.refused) == (200, 0)
    assert bench.store.advisories(["CVE-2030-6666"]) == {}


def _record_of(size: int) -> bytes:
    return made.page(made.nvd(descriptions=[{"lang": "en", "value": "x" * size}]))


HOSTILE = {
    "empty": b"",
    "no format": b"hello\n",
    "no record": made.page(),
    "cut off": made.page(made.nvd(), made.nvd("CVE-2030-0002"))[:-200],
    "cut off behind its records": made.page(made.nvd())[:-1],
    "cut off lines": json.dumps(made.cve5()).encode() + b"\n" + json.dumps(made.cve5("CVE-2030-4")).encode()[:-9],
    "cut off gzip": gzip.compress(made.page(made.nvd()))[:-9],
    "damaged gzip": gzip.compress(made.page(made.nvd()))[:-9] + bytes(9),
    "something behind the gzip": gzip.compress(made.page(made.nvd())) + b"x",
    "deep brackets": b'{"format": "NVD_CVE", "vulnerabilities": [' + b"[" * 200_000,
    "deep record": b'{"format": "NVD_CVE", "vulnerabilities": [{"cve": '
    + b'{"a":' * 50_000
    + b"1"
    + b"}" * 50_002
    + b"]}",
    "a record without end": b'{"format": "NVD_CVE", "vulnerabilities": [{"cve": {"id": "' + b"a" * (33 << 20),
    "many containers": made.zipped(made.zipped(made.zipped(made.zipped(made.zipped(made.page(made.nvd())))))),
    "a damaged tar": made.tarred(a=made.page(made.nvd()))[:100] + b"9" + made.tarred(a=made.page(made.nvd()))[101:],
    "a tar cut off": made.tarred(a=made.page(made.nvd()))[:700],
    "an encrypted zip": made.zipped(made.page(made.nvd()))[:6] + b"\1" + made.zipped(made.page(made.nvd()))[7:],
    "curl that runs": made.CURL.replace(b"A bug", b"@{[system 1]}"),
    "curl without end": made.CURL.replace(b");", b""),
    "a YAML bomb": b"---\nreleases: &a [1]\n" + b"".join(b"x%d: [*a, *a]\n" % n for n in range(9)),
    "only bad records": made.page(made.nvd("x")),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_what_cannot_be_relied_on_changes_nothing(bench: Bench, case: str) -> None:
    """One line, and what was there is there still."""
    bench.take(made.page(made.nvd("CVE-2029-0001")), "before")
    before = bench.folder.joinpath("feeds.db").read_bytes()
    with pytest.raises(InputError) as refused:
        bench.take(HOSTILE[case])
    assert "\n" not in str(refused.value)
    assert bench.ids("cpe:acme:router", "1.0") == ["CVE-2029-0001"]
    assert bench.folder.joinpath("feeds.db").read_bytes() == before


def test_long_texts_are_cut_and_kept(bench: Bench) -> None:
    """A text of 10 MB is a summary of its beginning, and whole in the raw record; control characters are blanks."""
    bench.take(_record_of(10 << 20))
    (head,) = bench.store.advisories(["CVE-2030-0001"])["CVE-2030-0001"]
    assert len(head.summary) == 600
    assert len(bench.store.record(head.number)) > 10 << 20
    text = [{"lang": "en", "value": "a\x1b[31mb\u202ec\nd"}]
    bench.take(made.page(made.nvd("CVE-2030-0009", descriptions=text)), "2")
    assert bench.store.advisories(["CVE-2030-0009"])["CVE-2030-0009"][0].summary == "a [31mb c d"


def test_names_in_archives_lead_nowhere(bench: Bench, tmp_path: Path) -> None:
    """A path that climbs is a text."""
    data = made.tarred(**{"../../../escaped": made.page(made.nvd())})
    assert bench.take(data).snapshots[0].records == 1
    assert not list(tmp_path.parent.rglob("escaped"))


def test_a_duplicate_key_and_a_duplicate_record(bench: Bench) -> None:
    """The last of two keys counts, as in every JSON parser; of two records the one that was changed last."""
    newer = made.nvd(modified="2031-01-01T00:00:00", descriptions=[{"lang": "en", "value": "newer"}])
    data = made.page(newer, made.nvd()).replace(b'"id": "CVE', b'"id": "x", "id": "CVE')
    found = bench.take(data)
    assert (found.snapshots[0].records, found.stored, found.older) == (2, 1, 1)
    assert bench.store.advisories(["CVE-2030-0001"])["CVE-2030-0001"][0].summary == "newer"


LIES: dict[str, list[Any]] = {
    "no importer": [[10, "nothing"]],
    "items of no importer": [[7, "why"]],
    "no item": [[99, 1]],
    "an id that is none": [
        [10, "cve-5"], [1, "cve", "<b>", *[""] * 3, 1.0, "", *[[]] * 4, 1, [], [], [], "", b"", 0, 0]
    ],
    "a long summary": [
        [10, "cve-5"], [1, "cve", "CVE-2030-1", "", "", "x" * 601, 1.0, "", *[[]] * 4, 1, [], [], [], "", b"", 0, 0]
    ],
    "a tree that is not there": [
        [10, "cve-5"],
        [1, "cve", "CVE-2030-1", "", "", "", 1.0, "", *[[]] * 4, 1, [[["n"], 3]], [], [], "", b"", 0, 0],
    ],
    "a block out of bounds": [[10, "cve-5"], [9, -5, [1], b""]],
}  # fmt: skip


@pytest.mark.parametrize("case", [*sorted(LIES), "cut off"])
def test_a_worker_that_lies_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """What a worker says is checked: a feed may have taken it over."""
    data = msgspec.msgpack.encode(LIES.get(case, []))
    length = 1 << 30 if case == "cut off" else len(data)

    def read(source: int, spool: int, path: Path) -> Answer:
        os.write(spool, length.to_bytes(4, "little") + data)
        return Answer("", 1)

    monkeypatch.setattr(bench.importing, "_read", read)
    before = bench.folder.joinpath("feeds.db").read_bytes()
    with pytest.raises(InputError, match="not sound"):
        bench.take(b"anything")
    assert bench.folder.joinpath("feeds.db").read_bytes() == before
