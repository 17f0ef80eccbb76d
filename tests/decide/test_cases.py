"""Cases: the story of 2018 to 2020 on a made-up network, causes by comparison of rows, and files that are no case."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.decide.cases import read
from banbury.decide.cases.records import Answer, Case, Moment, last_day
from banbury.decide.cases.tell import tell
from banbury.decide.network.generate import generate
from banbury.decide.policy import trial
from banbury.decide.policy.pack import Trial
from banbury.model.errors import InputError


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[dt.date, dict[str, Answer]]:
    """The shipped case on the generated network: day → country → answer."""
    folder = tmp_path_factory.mktemp("network")
    generate("gb", folder / "n", size="medium", seed=2020, kind="parquet")
    told = tell(folder / "n", read.load("uk-2018-2020")).told
    return {t.moment.on: {a.country: a for a in t.answers} for t in told}


def test_what_each_countrys_rules_said_of_one_network(story: dict[dt.date, dict[str, Answer]]) -> None:
    """A reader who knows the story finds it: other countries' rules first, Britain's in 2020, and what changed."""
    said = {day: {c: (a.status, a.stance) for c, a in answers.items()} for day, answers in story.items()}
    july, december, february, may, january, last = story
    assert said[july]["GB"] == said[july]["AU"] == ("no rule in force", "none")
    assert said[december]["AU"] == ("violation", "excluded")
    assert said[february]["GB"] == ("no rule in force", "no decision")
    assert said[may]["GB"] == ("no rule in force", "risks can be mitigated")
    assert said[january]["GB"][0] != "no rule in force"
    assert said[january]["GB"][1] == "restricted"
    assert said[last]["GB"] == ("due", "excluded")
    assert story[may]["GB"].reported
    causes = [c.cause for c in story[last]["GB"].changes]
    assert causes == ["rule", "rule", "position"]
    assert [c.cause for c in story[january]["AU"].changes] == ["network"]


def test_a_date_that_passes_and_a_network_that_grows_are_told_apart(tmp_path: Path) -> None:
    day = dt.date(2018, 1, 1)
    tables = {
        "vendors": ({"id": "v", "name": "Huawei Technologies", "class": "high-risk", "jurisdiction": "CN"},),
        "elements": (
            {"id": "old", "function": "GNB", "vendor": "v", "tech": "5G", "installed": "2017-01-01"},
            {"id": "new", "function": "GNB", "vendor": "v", "tech": "5G", "installed": "2019-06-01"},
        ),
    }
    trial.draft(Trial("x", day, tables, ()), "x").write(tmp_path)
    moments = [Moment(dt.date.fromisoformat(d), "t") for d in ("2022-11-01", "2027-12-31", "2028-01-01")]
    told = tell(tmp_path, Case("c", "t", "t", {"GB": ["gb-2022"], "AU": ["au-2018"]}, moments, [])).told
    assert told[1].answers[1].changes == []
    caused = {(c.cause, c.text.partition(":")[0]) for c in told[2].answers[0].changes}
    assert ("date", "gb-2022 5g-removal") in caused
    assert all(cause == "date" for cause, _ in caused)
    early = [Moment(dt.date.fromisoformat(d), "t") for d in ("2018-12-01", "2019-07-01")]
    grown = tell(tmp_path, Case("c", "t", "t", {"AU": ["au-2018"]}, early, [])).told[1].answers[0].changes
    assert [c.cause for c in grown] == ["network"]
    assert "1 → 2" in grown[0].text


def test_a_month_counts_from_its_last_day() -> None:
    assert last_day("2020-02") == dt.date(2020, 2, 29)
    for bad in ("2020", "2020-13", "2020-2", "2020-02-30", "x"):
        with pytest.raises(ValueError, match=r"\S"):
            last_day(bad)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["moments"].reverse(), "order of their days"),
        (lambda c: c["records"].insert(0, c["records"][-1]), "order of their dates"),
        (lambda c: c["jurisdictions"].pop("GB"), "without a line in jurisdictions: GB"),
        (lambda c: c["jurisdictions"].update(GB=["gb-1999"]), "gb-1999"),
        (lambda c: c["records"][0].update(stance="excluded"), "has a stance"),
        (lambda c: c["records"][0].update(source=[]), "names no source"),
        (lambda c: c["records"][0].update(date="July"), "neither YYYY-MM"),
        (lambda c: c.update(extra=1), "extra"),
    ],
)
def test_a_file_that_is_no_case_is_named_in_a_line(change: Callable[[dict[str, Any]], None], said: str) -> None:
    case = msgspec.to_builtins(read.load("uk-2018-2020"), builtin_types=(dt.date,))
    change(case)
    with pytest.raises(InputError, match=said) as problem:
        read.convert(case, "c.toml")
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("content", [b"", b"id = ", b"\xff", b"a = " + b"[" * 5000, b"#" * (300 << 10)])
def test_a_file_that_is_no_toml_is_named_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"c\.toml"):
        read.load(str(tmp_path / "c.toml"))


def test_the_command(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(main, ["network", "generate", "--size", "small", "--out", str(tmp_path / "n")]).exit_code == 0
    done = run(main, ["network", "case", str(tmp_path / "n"), "--json", "-"])
    assert done.exit_code == 0
    assert json.loads(done.output)["told"][0]["moment"]["on"] == "2018-07-31"
    assert run(main, ["network", "case", str(tmp_path / "n"), "--case", "nobody"]).exit_code == 2
    assert run(main, ["network", "case", str(tmp_path / "none")]).exit_code == 2
