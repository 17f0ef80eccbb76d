"""Exposure as it is told: names, order, hostile and very many rows, wrong data, and the page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.decide.exposure import assess_folder, precautions
from banbury.decide.exposure.kinds import kinds
from banbury.decide.exposure.kinds import parse as parse_kinds
from banbury.decide.exposure.precautions import parse as parse_precautions
from banbury.decide.exposure.text import lines
from banbury.decide.network.writing import Draft
from banbury.model.errors import InputError
from tests.decide.exposures import Build, cell, claim


def test_a_chain_of_twenty_thousand_is_followed_and_its_path_cut_short(build: Build) -> None:
    count = 20_000
    folder = build([{"id": "e00000", "function": "OSS", "vendor": "bad"}])
    with (folder / "elements.csv").open("a") as file:
        header = (folder / "elements.csv").read_text().splitlines()[0].split(",")
        for i in range(1, count):
            row = {"id": f"e{i:05d}", "site": "s", "function": "EMS" if i < count - 1 else "UDM", "vendor": "good",
                   "asserted_by": "x", "as_of": "2020-01-28", "managed_by": f"e{i - 1:05d}"}  # fmt: skip
            file.write(",".join(row.get(key, "") for key in header) + "\n")
    e = assess_folder(folder, "bad", ["segmented-management"])
    found = claim(e.before, "Op/UDM/read/K")
    assert found is not None
    assert found.cut_short
    assert len(found.path) < 100
    assert e.before.reach[0].control == count
    assert len(list(lines(e))) < 120


def test_the_same_rows_in_another_order_give_the_same_answer(small: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    for file in copy.glob("*.csv"):
        head, *rest = file.read_text().splitlines()
        file.write_text("\n".join([head, *rest[::-1]]) + "\n")
    one, two = (json.loads(as_text(folder)) for folder in (small, copy))
    assert one.pop("inventory") != two.pop("inventory")
    assert one == two


def as_text(folder: Path) -> str:
    result = CliRunner().invoke(
        main, ["network", "expose", str(folder), "--vendor", "hrv", "--precaution", "hsm", "--json", "-"]
    )
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vendor", "nobody"], "no vendor 'nobody' in the inventory"),
        (["--vendor", "hr"], "no vendor 'hr' in the inventory"),
        (["--vendor", "hrv", "--precaution", "hope"], "no precaution 'hope'"),
        (["--vendor", "hrv", "--as-of", "soon"], "is no date"),
        (["--vendor", "x\x1b[2J" * 50], "no vendor"),
    ],
)
def test_an_unknown_name_is_one_line_and_status_2(small: Path, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["network", "expose", str(small), *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1
    assert "\x1b" not in result.output


def test_a_name_of_two_entities_is_refused(build: Build) -> None:
    folder = build([cell("c")], vendors=[{"id": "other", "name": "GOOD ab", "jurisdiction": "FI"}])
    with pytest.raises(InputError, match="the name of 2 entities: good, other"):
        assess_folder(folder, "Good AB", [])
    assert assess_folder(folder, "other", []).vendor.entities == ["other"]


def test_hostile_names_do_not_reach_the_terminal(build: Build) -> None:
    name = "e\x1b]0;x\x07\u202e"
    folder = build([{"id": name, "function": "UDM", "vendor": "bad"}])
    result = CliRunner().invoke(main, ["network", "expose", str(folder), "--vendor", "bad", "--accept-problems"])
    assert result.exit_code == 0, result.output
    assert "the inventory has" in result.output
    assert not {"\x1b", "\x07", "\u202e"} & set(result.output)
    refused = CliRunner().invoke(main, ["network", "expose", str(folder), "--vendor", "bad"])
    assert refused.exit_code == 2


def test_text_is_bounded_where_everything_is_many(tmp_path: Path) -> None:
    draft = Draft("x" * 900, "2020-01-28")
    draft.add("vendors", id="bad", name="b" * 900)
    names = [f"{'n' * 300}{i}" for i in range(3000)]
    draft.add("sites", id=names, operator=names, region=names, **{"class": "access"})
    draft.add("elements", id=names, site=names, function="GNB", vendor="bad", tech="5G")
    draft.add(
        "shares",
        element=names,
        operator=names,
        network="5G",
        metric="traffic",
        value=1.0,
        unit="fraction",
        period="2020",
    )
    draft.write(tmp_path / "n")
    e = assess_folder(tmp_path / "n", "bad", ["ipsec"])
    text = list(lines(e))
    assert len(text) < 150
    assert max(map(len, text)) < 1200
    assert len(e.before.claims) == 5000
    assert e.before.claims_more > 0
    assert len(e.before.outages[0].losses) == 1000


def test_wrong_data_is_named() -> None:
    power = {"title": "t", "read": "S", "steer": "", "off": ""}
    kind = {"title": "t", "from_table": "links", "basis": "design", "source": "s"}
    good = {"powers": {"p": power}, "kinds": {"k": kind}, "rules": [{"kind": "k", "from": "entity", "to": "p"}]}
    assert parse_kinds(good).rules
    for wrong in (
        {**good, "powers": {"p": {**power, "read": "Z"}}},
        {**good, "kinds": {"k": {**kind, "basis": "hope"}}},
        {**good, "rules": [{"kind": "k", "from": "entity", "to": "q"}]},
        {**good, "rules": [{"kind": "k", "from": "q", "to": "p"}]},
    ):
        with pytest.raises(ValueError, match=r"power|kind|rule"):
            parse_kinds(wrong)
    text = '[x]\ntitle = "t"\nneeds = []\nsource = "s"\nread = "memory"\nacts = [{ on = "ACT" }]\n'
    assert parse_precautions(text.replace("ACT", "manages"))
    for wrong_text in (text, text.replace('"ACT"', '"holds"'), text.replace('"ACT"', '"vendor", layers = ["attic"]')):
        with pytest.raises(ValueError, match="precaution x"):
            parse_precautions(wrong_text)


PAGE = Path(__file__).resolve().parents[2] / "docs" / "exposure.md"


def test_the_page_shows_what_is_printed_and_every_precaution(small: Path) -> None:
    said = PAGE.read_text("utf-8")
    result = CliRunner().invoke(
        main, ["network", "expose", str(small), "--vendor", "hrv", "--precaution", "segmented-management"]
    )
    printed = result.output.splitlines()
    shown = said.partition("--vendor hrv --precaution segmented-management\n\n")[2].partition("\nAlpha loses")[0]
    rows = [line[4:] for line in shown.splitlines() if line.strip() and line.strip() != "…"]
    assert len(rows) > 10
    at = -1
    for row in rows:
        assert row in printed[at + 1 :], row
        at = printed.index(row, at + 1)
    assert all(f"`{name}`" in said for name in precautions())
    assert all(re.search(rf"\b{kind}\b", said) for kind in kinds().kinds)
