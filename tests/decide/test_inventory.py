"""Inventories: what is loaded, what is named by row and column, what is refused."""

from __future__ import annotations

import csv
import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.decide.network import Network
from banbury.decide.network.generate import generate
from banbury.decide.network.relations import on_circles
from banbury.decide.network.tables import published, tables
from banbury.model.errors import InputError

#: A row of elements: id, function, vendor, installed, managed_by, hosted_on.
ROW = "{},Alpha-1,,{},{},p,1,,5G,,{},,{},{},,,,,x,2020-01-28\n"
SHARE = "{},{},5G,traffic,{},fraction,{},x,2020-01-28\n"
#: Rows of the elements of the small inventory, the header counted.
LAST = 31


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small, tmp_path / "copy")


def element(
    name: str, function: str = "GNB", vendor: str = "hrv", day: str = "2019-01-01", manager: str = "", host: str = ""
) -> str:
    return ROW.format(name, function, vendor, day, manager, host)


def append(folder: Path, table: str, *rows: str | bytes) -> None:
    with (folder / f"{table}.csv").open("ab") as file:
        for row in rows:
            file.write(row.encode() if isinstance(row, str) else row)


def problems(folder: Path) -> list[tuple[str, str, int, str]]:
    """(check, file, row, column) of every problem that is named."""
    with Network.open(folder, accept_problems=True) as network:
        assert len(network.problems) >= len([p for p in network.problems if not p.note])
        return [(p.check, p.file, p.row, p.column) for p in network.problems if not p.note]


def test_a_hand_made_inventory_is_clean_and_answers_what_paper_answers(small: Path) -> None:
    with Network.open(small) as network:
        assert len(network.problems) == 0
        assert network.made_up
        shares = network.sql(
            """SELECT s.operator, s.metric, round(sum(s.share), 6) FROM shares s JOIN elements e ON e.id = s.element
            WHERE e.vendor_class = 'high-risk' GROUP BY ALL ORDER BY ALL"""
        )
        assert shares == [
            ("Alpha", "sites", 0.4),
            ("Alpha", "traffic", 0.4),
            ("Beta", "sites", 0.25),
            ("Beta", "traffic", 0.1),
        ]
        at_edge = network.sql("SELECT id FROM elements WHERE class_gb = 'core' AND site_class = 'access'")
        assert at_edge == [("Alpha-upf-edge",)]
        affiliate = network.sql("SELECT DISTINCT vendor_group, jurisdictions FROM elements WHERE vendor = 'hrv-uk'")
        assert affiliate == [("hrv-group", ["CN", "GB"])]
        assert network.sql("SELECT id FROM elements WHERE 'military' IN sensitive") == [("Beta-1-gnb",)]


CASES: dict[str, tuple[Callable[[Path], None], list[tuple[str, str, int, str]]]] = {
    "unknown function": (
        lambda d: append(d, "elements", element("n", function="GNBB")),
        [("function", "elements.csv", LAST + 1, "function")],
    ),
    "two vendors claim an element": (
        lambda d: append(d, "elements", element("Alpha-1-gnb", vendor="other")),
        [("claims", "elements.csv", LAST + 1, "vendor"), ("duplicate", "elements.csv", LAST + 1, "id")],
    ),
    "names that lead nowhere": (
        lambda d: append(d, "elements", element("n", vendor="nobody", manager="none", host="none")),
        [("dangling", "elements.csv", LAST + 1, c) for c in ("vendor", "managed_by", "hosted_on")],
    ),
    "a circle of hosts, and one that leads into it": (
        lambda d: append(
            d,
            "elements",
            element("a", host="b"),
            element("b", host="c"),
            element("c", host="a"),
            element("d", host="a"),
        ),
        [("circle", "elements.csv", LAST + 1 + i, "hosted_on") for i in range(3)],
    ),
    "its own manager": (
        lambda d: append(d, "elements", element("a", manager="a")),
        [("circle", "elements.csv", LAST + 1, "managed_by")],
    ),
    "dates": (
        lambda d: append(
            d, "elements", *(element(f"n{i}", day=day) for i, day in enumerate(["2020-02-30", "1066-01-01"]))
        ),
        [("type", "elements.csv", LAST + 1, "installed"), ("range", "elements.csv", LAST + 2, "installed")],
    ),
    "formula and control text": (
        lambda d: append(d, "elements", element("=cmd()"), element("a\x07")),
        [("formula", "elements.csv", LAST + 1, "id"), ("control", "elements.csv", LAST + 2, "id")],
    ),
    "a cell of 10 MB, and the row after it": (
        lambda d: append(d, "elements", element("z" * 10_000_000), element("n", function="?")),
        [("csv", "elements.csv", LAST + 1, ""), ("function", "elements.csv", LAST + 2, "function")],
    ),
    "a line that is no text, short and long lines, and the row after them": (
        lambda d: append(d, "elements", b"\xff\n", "a,b\n", "a" + ",b" * 40 + "\n", element("n", function="?")),
        [
            ("csv", "elements.csv", LAST + 1, "as_of"),
            ("csv", "elements.csv", LAST + 2, "as_of"),
            ("csv", "elements.csv", LAST + 3, ""),
            ("function", "elements.csv", LAST + 4, "function"),
        ],
    ),
    "more than the whole": (
        lambda d: append(d, "shares", SHARE.format("Alpha-upf-edge", "Alpha", "0.01", "2020")),
        [("shares", "shares.csv", 2, "value")],
    ),
    "negative, not finite, no period": (
        lambda d: append(
            d,
            "shares",
            SHARE.format("Alpha-oss", "X", "-0.1", "2020"),
            SHARE.format("Alpha-oss", "Y", "nan", "2020"),
            SHARE.format("Alpha-oss", "Z", "0", "2020-13"),
        ),
        [
            ("type", "shares.csv", 39, "value"),
            ("range", "shares.csv", 38, "value"),
            ("value", "shares.csv", 40, "period"),
        ],
    ),
    "coordinates": (
        lambda d: append(d, "sites", "n1,A,,95,0,access,x,2020-01-28\n", "n2,A,,5,,access,x,2020-01-28\n"),
        [("range", "sites.csv", 22, "lat"), ("coordinates", "sites.csv", 23, "lat, lon")],
    ),
    "who says so, and when": (
        lambda d: append(d, "sites", "n1,A,,5,0,access,,\n"),
        [("asserted", "sites.csv", 22, "asserted_by"), ("required", "sites.csv", 22, "as_of")],
    ),
    "two owners at once": (
        lambda d: append(d, "vendors", "hrv,again,third,CN,,2010-01-01,,x,2020-01-28\n"),
        [("claims", "vendors.csv", 7, "parent")],
    ),
    "a misspelt column": (
        lambda d: (d / "elements.csv").write_text(
            (d / "elements.csv").read_text().replace("planned_removal", "planed_removal", 1)
        ),
        [("column", "elements.csv", 0, "planed_removal")],
    ),
    "a misspelt table": (lambda d: (d / "share.csv").write_text("x\n"), [("file", "share.csv", 0, "")]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_problem_is_named_by_file_row_and_column(copy: Path, name: str) -> None:
    edit, expected = CASES[name]
    edit(copy)

    assert sorted(problems(copy)) == sorted(expected)
    with pytest.raises(InputError, match="problem"):
        Network.open(copy)


def test_a_chain_of_owners_is_bounded(copy: Path) -> None:
    append(
        copy, "vendors", *(f"k{i},k,k{i + 1},CN,,,,x,2020-01-28\n" for i in range(40)), "k40,k,,CN,,,,x,2020-01-28\n"
    )

    assert {(c, f) for c, f, _, _ in problems(copy)} == {("owners", "vendors.csv")}


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "no column function, vendor": lambda d: (d / "elements.csv").write_text("id,site\n"),
    "not separated by commas": lambda d: (d / "elements.csv").write_text("id;site\n"),
    "no elements.csv": lambda d: (d / "elements.csv").unlink(),
    "which one is meant": lambda d: (d / "elements.parquet").write_bytes(b"x"),
    "cannot be read": lambda d: ((d / "links.csv").unlink(), (d / "links.parquet").write_bytes(b"PAR1" + b"\xff" * 99)),
    "is empty": lambda d: append(d, "elements", "\n", element("n")),
    "not a regular file": lambda d: ((d / "links.csv").unlink(), (d / "links.csv").mkdir()),
    "network.toml": lambda d: (d / "network.toml").write_text("[" * 5000),
}


@pytest.mark.parametrize("message", UNUSABLE)
def test_what_cannot_be_read_is_said_in_one_line(copy: Path, message: str) -> None:
    UNUSABLE[message](copy)

    with pytest.raises(InputError, match=message):
        Network.open(copy, accept_problems=True)


def test_many_problems_are_listed_up_to_a_bound_and_counted_whole(copy: Path) -> None:
    append(copy, "elements", *(element(f"n{i}", function="?") for i in range(1000)))

    result = CliRunner().invoke(main, ["network", "check", str(copy)])

    assert result.exit_code == 1
    assert result.output.count("no function of the catalogue") == 20
    assert "980 more of function in elements" in result.output
    assert "1,000 problems" in result.output


def test_status_of_the_command(small: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["network", "check", str(small)]).exit_code == 0
    assert CliRunner().invoke(main, ["network", "check", str(tmp_path)]).exit_code == 2


def test_parquet_gives_the_same_rows_as_csv(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        generate("gb", tmp_path / kind, size="small", kind=kind)
    with Network.open(tmp_path / "csv") as one, Network.open(tmp_path / "parquet") as other:
        for relation in ("elements", "shares", "links", "vendors", "sites", "sensitive"):
            query = f"SELECT * FROM {relation} ORDER BY row"
            assert one.sql(query) == other.sql(query)
            assert one.sql(query)


def test_a_query_is_one_select_and_opens_nothing(small: Path) -> None:
    with Network.open(small) as network:
        for query in (
            "DROP TABLE data_sites",
            "SELECT 1; SELECT 2",
            "SET enable_external_access = true",
            f"SELECT * FROM read_csv('{small / 'sites.csv'}')",
            f"COPY (SELECT 1) TO '{small / 'x'}'",
            "nonsense",
        ):
            with pytest.raises(InputError):
                network.sql(query)
        assert network.sql("SELECT count(*) FROM sites WHERE operator = $o", {"o": "Alpha"}) == [(11,)]
        assert network.columns("SELECT id FROM elements")["id"].shape == (30,)
    assert not (small / "x").exists()


def test_the_date_that_is_asked_about(copy: Path) -> None:
    """Status, owners and whether a row is a projection follow the date."""
    append(copy, "elements", element("later", day="2021-06-01"))
    append(copy, "vendors", "sold,s,third,FI,,,2021-01-01,x,2020-01-28\n", "sold,s,hrv,FI,,2021-01-01,,x,2020-01-28\n")
    append(copy, "elements", element("sold-1", vendor="sold"))
    with Network.open(copy) as network:
        query = "SELECT id, status, projected, vendor_group FROM elements WHERE id IN ('later', 'sold-1') ORDER BY id"
        assert network.as_of == dt.date(2020, 1, 28)
        assert network.sql(query) == [("later", "planned", False, "hrv-group"), ("sold-1", "installed", False, "third")]
        network.at(dt.date(2021, 6, 1))
        assert network.sql(query) == [
            ("later", "installed", True, "hrv-group"),
            ("sold-1", "installed", True, "hrv-group"),
        ]


def test_a_folder_with_a_wildcard_in_its_name(small: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small, tmp_path / "a[*]?'b")
    with Network.open(folder) as network, Network.open(small) as other:
        assert network.digest == other.digest


def test_circles_equal_those_that_walking_finds() -> None:
    rng = np.random.default_rng(7)
    for n in (1, 2, 5, 40, 40, 40):
        up = rng.integers(-1, n, n)
        walked = []
        for start in range(n):
            at = start
            for _ in range(n):
                at = up[at] if at >= 0 else -1
                if at == start:
                    walked.append(start)
                    break
        assert on_circles(up).tolist() == walked


def test_the_schema_holds_for_what_is_generated(small: Path) -> None:
    """The published schema is valid, and what the loader takes is what the schema takes."""
    schema = json.loads(published())
    jsonschema.Draft202012Validator.check_schema(schema)
    document = {}
    for name, table in tables().items():
        if (small / f"{name}.csv").exists():
            with (small / f"{name}.csv").open(newline="") as file:
                document[name] = [
                    {k: float(v) if table.columns[k].type == "number" else v for k, v in row.items() if v}
                    for row in csv.DictReader(file)
                ]
    jsonschema.validate(document, schema)
    document["elements"][0]["tech"] = "6H"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)
