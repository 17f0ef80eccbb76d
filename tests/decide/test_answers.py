"""What the network commands answer: nothing is passed that is not there, and what is written is what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from banbury.commands.network import network as command
from banbury.decide import document
from banbury.decide.network.generate import generate
from banbury.decide.policy import read, trial
from banbury.model.errors import InputError

HOSTILE = "h\u202erv\u200b\x9b\U000e0041 <b>"
PACK = """
id: mine
version: 1
title: t
jurisdiction: GB
legal_status: advice
text: x
dates: { issued: 2019-01-01, in_force: 2019-01-01 }
applies: { vendor_class: [high-risk] }
sources: { s: { title: t, read: primary } }
rules: [{ id: r, kind: exclude, title: t, source: { ref: s, clause: c } }]
tests:
  - name: one
    as_of: 2020-01-01
    inventory: { vendors: [{ id: v, class: CLASS }], elements: [{ id: e, function: UDM, vendor: v }] }
    expect: [{ rule: r, status: violation, subject: Alpha, assets: [e], measured: 1 }]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers") / "n"
    generate("gb", folder, size="small", seed=1, kind="csv")
    return folder


def ask(*words: Any) -> tuple[int, str]:
    done = CliRunner().invoke(command, [str(word) for word in words])
    return done.exit_code, done.output


def rewritten(small: Path, to: Path, table: str, old: str, new: str) -> Path:
    shutil.copytree(small, to)
    file = to / f"{table}.csv"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")
    return to


def kept(small: Path, to: Path, table: str, start: str) -> Path:
    """The inventory with only those rows of ``table`` (and of ``shares``) that begin so."""
    shutil.copytree(small, to)
    for name in (table, "shares"):
        head, *rows = (to / f"{name}.csv").read_text("utf-8").splitlines()
        (to / f"{name}.csv").write_text("\n".join([head, *(r for r in rows if r.startswith(start))]) + "\n", "utf-8")
    (to / "links.csv").unlink()
    return to


@pytest.mark.parametrize("policy", sorted(read.shipped()))
def test_no_policy_is_met_by_an_inventory_without_elements(small: Path, tmp_path: Path, policy: str) -> None:
    folder = kept(small, tmp_path / "n", "elements", "nothing")
    status, said = ask("assess", folder, "--policy", policy, "--as-of", "2029-01-01", "--json", "-")
    found = json.loads(said)
    assert (status, found["policies"][0]["status"]) == (4, "insufficient data")
    assert {row["status"] for row in found["verdicts"]} == {"insufficient data"}


def test_an_operator_without_elements_is_named(small: Path, tmp_path: Path) -> None:
    folder = kept(small, tmp_path / "n", "elements", "Beta")
    rows = json.loads(ask("assess", folder, "--policy", "au-2018", "--json", "-")[1])["verdicts"]
    assert [(r["subject"], r["status"]) for r in rows] == [("Beta", "violation"), ("Alpha", "insufficient data")]


def test_a_later_day_is_said_to_be_a_projection(small: Path) -> None:
    said = ask("assess", small, "--policy", "gb-2020-01", "--as-of", "2023-02-01")[1]
    assert "a projection: the inventory speaks for 2020-01-28" in said
    assert "projection" not in ask("assess", small, "--policy", "gb-2020-01")[1]
    assert "comes into force on 2022-10-13" in ask("assess", small, "--policy", "gb-2022")[1]
    assert "2 vendors (at least 2)" in said


@pytest.mark.parametrize("kind", document.KINDS)
def test_an_answer_is_as_its_schema_says(small: Path, kind: Any) -> None:
    name = document.KINDS[kind][0]
    words: dict[str, tuple[Any, ...]] = {
        "assessment": ("assess", small, "--policy", "gb-2020-01", "--policy", "us-889"),
        "exposure": ("expose", small, "--vendor", "hrv", "--precaution", "ipsec"),
        "options": ("options", small, "--policy", "gb-2020-01", "--from", 2020, "--to", 2023),
        "case": ("case", small),
    }
    made = json.loads(ask(*words[name], "--json", "-")[1])
    assert made["schema"] == f"banbury/{name}/v1"
    for strict in (True, False):
        validator = jsonschema.Draft202012Validator(document.schema(kind, strict=strict))
        validator.check_schema(validator.schema)
        assert list(validator.iter_errors(made)) == []
        assert list(validator.iter_errors({"schema": made["schema"]}))
    published = Path(__file__).parents[2] / "docs" / "schema" / f"{name}-v1.json"
    assert published.read_text("utf-8") == document.published()[published.name]


@pytest.mark.parametrize(
    "words",
    [
        ("assess", "--policy", "gb-2020-01"),
        ("expose", "--vendor", "hrv"),
        ("options", "--policy", "gb-2020-01", "--from", 2020, "--to", 2022),
        ("case",),
    ],
)
def test_no_answer_writes_characters_that_mislead(small: Path, tmp_path: Path, words: tuple[Any, ...]) -> None:
    folder = rewritten(small, tmp_path / "n", "sites", "Alpha,", f"{HOSTILE},")
    rewritten_shares = (folder / "shares.csv").read_text("utf-8").replace(",Alpha,", f",{HOSTILE},")
    (folder / "shares.csv").write_text(rewritten_shares, "utf-8")
    for out in (("--json", "-"), ()):
        status, said = ask(words[0], folder, *words[1:], "--accept-problems", *out)
        assert status in {0, 1, 4}
        assert not {"\u202e", "\u200b", "\x9b", "\U000e0041"} & set(said)
        if out:
            assert HOSTILE in json.dumps(json.loads(said), ensure_ascii=False)


def test_vendors_of_unknown_class_are_no_cheap_option(small: Path, tmp_path: Path) -> None:
    folder = rewritten(small, tmp_path / "n", "vendors", "high-risk", "unknown")
    said = ask("options", folder, "--policy", "gb-2020-01", "--from", 2020, "--to", 2021)[1]
    assert "elements the inventory does not say whether a policy covers them" in said


def test_a_page_on_standard_output_is_a_page_alone(small: Path) -> None:
    said = ask("assess", small, "--policy", "gb-2020-01", "--html", "-")[1]
    assert said.startswith("<!doctype html>")
    assert said.rstrip().endswith("</html>")


def test_a_pack_of_ones_own_and_its_tests(tmp_path: Path) -> None:
    good, bad, wrong = (tmp_path / f"{name}.yaml" for name in ("good", "bad", "wrong"))
    good.write_text(PACK.replace("CLASS", "high-risk"))
    bad.write_text(PACK.replace("CLASS", "other"))
    wrong.write_text(PACK.replace("id: mine", "id: gb-2020-01"))
    assert ask("policy", good, "us-889")[0] == 0
    status, said = ask("policy", bad)
    assert (status, "test one: expected r violation Alpha, found Alpha: met" in said) == (1, True)
    assert "is a shipped pack's" in ask("policy", wrong)[1]
    made = read.parse(PACK.replace("CLASS", "nonsense"), "x")
    with pytest.raises(InputError, match="pack mine, test one:"):
        trial.run(made, made.tests[0])


def test_a_figure_that_was_not_measured_is_not_the_one_expected() -> None:
    made = read.parse(
        PACK.replace("CLASS", "high-risk")
        .replace("kind: exclude", CAP)
        .replace("status: violation", "status: insufficient data")
        .replace(", assets: [e]", "")
        .replace("UDM", "GNB"),
        "x",
    )
    assert trial.run(made, made.tests[0])


CAP = "kind: share_cap, network: 5G, metric: traffic, max: 0.3, breach: '>', reading: collective"


def test_netbox_says_which_states_it_did_not_read(tmp_path: Path) -> None:
    device = {
        "role": {"slug": "gnb"},
        "device_type": {"model": "m", "manufacturer": {"slug": "v"}},
        "site": {"slug": "s"},
    }
    devices = [
        device | {"name": "a", "status": {"value": "planned"}},
        device | {"name": "b", "status": {"value": "active"}},
    ]
    (tmp_path / "x.json").write_text(json.dumps(devices))
    said = ask(
        "import", tmp_path / "x.json", "--form", "netbox-json", "--as-of", "2020-01-01", "--out", tmp_path / "o"
    )[1]
    assert "1 × device with status 'planned'" in said
    assert "active" not in said
