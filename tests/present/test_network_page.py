"""The network page: what decides stands first, names are data in text and in pictures, and nothing is fetched."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from banbury.decide.cases.read import load as load_case
from banbury.decide.cases.tell import tell
from banbury.decide.exposure import assess_folder
from banbury.decide.network.generate import generate
from banbury.decide.options.record import Flip
from banbury.decide.policy import trial
from banbury.decide.policy.assess import opened
from banbury.decide.policy.pack import Trial
from banbury.decide.policy.verdict import Verdict
from banbury.present.network.chosen import turn
from banbury.present.network.exposed import exposed
from banbury.present.network.judged import decides, judged
from banbury.present.network.page import render
from banbury.present.network.svg import admitted

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{}</svg>'
ATTACK = '"><script>window.owned=1</script><img src=x onerror=window.owned=1>'
DAY = "2020-07-31"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network") / "n"
    generate("gb", folder, size="small", seed=1, kind="csv")
    return folder


@pytest.fixture(scope="module")
def page(network: Path) -> str:
    with opened(network, ["gb-2020-01", "gb-2020-07", "de-2024"], DAY) as (held, packs):
        shown = judged(held, packs)
    could = assess_folder(network, "hrv", ["segmented-management"], None)
    return render("A network", judged=shown, exposed=exposed(could), story=tell(network, load_case("uk-2018-2020")))


def test_verdicts_shares_ways_and_the_case_are_there(page: str, open_page: Any) -> None:
    opened = open_page(page, scripts=False)
    text = opened.page.inner_text("body")
    assert "Alpha, cap-5g-traffic: due, by 2023-01-28. 40.0% share of 5G traffic, limit 35.0%" in text
    assert "Beta, cap-5g-traffic" not in text.partition("All rows")[0]
    assert "not in force" in text
    assert "not named here" in text  # what stands at a sensitive place is counted
    assert "are cut." in text
    assert opened.page.locator("figure.chart svg").count() >= 5
    assert opened.page.locator("#case table.case tbody tr").count() == 7
    assert opened.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert opened.said == []


def _hostile(folder: Path) -> Path:
    tables: dict[str, tuple[dict[str, Any], ...]] = {
        "vendors": ({"id": "v", "name": ATTACK, "class": "high-risk", "jurisdiction": "CN"}, {"id": "o"}),
        "sites": ({"id": "s", "operator": ATTACK, "region": ATTACK, "class": "access", "lat": 51.5, "lon": 0.1},),
        "elements": (
            {"id": ATTACK + "1", "site": "s", "function": "GNB", "vendor": "v", "tech": "5G"},
            {"id": ATTACK + "2", "site": "s", "function": "GNB", "vendor": "o", "tech": "5G"},
            {"id": ATTACK + "3", "site": "s", "function": "UDM", "vendor": "v"},
        ),
        "shares": tuple(
            {"element": ATTACK + n, "operator": ATTACK, "network": "5G", "metric": "traffic", "value": 0.5}
            | {"unit": "fraction", "period": "2019"}
            for n in "12"
        ),
    }
    trial.draft(Trial("x", dt.date(2020, 6, 1), tables, ()), "x").write(folder)
    return folder


def test_names_of_an_inventory_run_nothing_and_fetch_nothing(tmp_path: Path, open_page: Any) -> None:
    folder = _hostile(tmp_path / "n")
    with opened(folder, ["gb-2020-01"], DAY) as (held, packs):
        shown = judged(held, packs)
    assert shown.caps[0].heat is not None
    html = render(ATTACK, judged=shown, exposed=exposed(assess_folder(folder, "v", [], None)))
    shown_page = open_page(html)
    assert shown_page.page.evaluate("() => window.owned") is None
    assert shown_page.page.locator("script, img").count() == 0
    assert [url.partition("#")[0] for url in shown_page.asked] == [shown_page.page.url.partition("#")[0]]
    assert shown_page.said == []
    assert "<script>" in shown_page.page.inner_text("body")


@pytest.mark.parametrize(
    "inside",
    [
        "<script>1</script>",
        "<foreignObject/>",
        '<image href="x"/>',
        '<a href="x"/>',
        '<g onload="x"/>',
        '<g style="x"/>',
        '<rect fill="url(http://example.com/x#y)"/>',
        '<rect fill="x url(#y)"/>',
        "<style>x</style>",
        '<use href="#x"/>',
    ],
)
def test_a_picture_holds_nothing_but_a_drawing(inside: str) -> None:
    with pytest.raises(ValueError, match="picture"):
        admitted(SVG.format(inside))


def test_two_pictures_share_no_id() -> None:
    one, two = (admitted(SVG.format('<g id="a"><rect fill="url(#a)"/></g>')) for _ in range(2))
    assert one != two
    assert one.count('-a"') == 1
    assert one.count("-a)") == 1


def _row(rule: str, status: Any, subject: str, measured: float) -> Verdict:
    return Verdict("p", rule, status, subject, measured, 0.35, None, [], "s", "share of x")


def test_the_rows_that_decide_are_the_worst_and_one_of_each_rule_first() -> None:
    rows = [
        _row("a", "violation", "small", 0.36),
        _row("a", "violation", "large", 0.9),
        _row("b", "violation", "other", 0.4),
        _row("c", "met", "kept", 0.1),
        _row("d", "due", "later", 0.5),
    ]
    assert [(r.rule, r.subject) for r in decides(rows)] == [
        ("a", "large"),
        ("b", "other"),
        ("a", "small"),
        ("d", "later"),
    ]
    assert decides([rows[3]]) == [rows[3]]
    assert decides([]) == []


def test_a_page_says_what_it_rests_on_and_each_source_once(network: Path) -> None:
    with opened(network, ["gb-2020-01"], "2023-02-01") as (held, packs):
        shown = judged(held, packs)
    html = render("A network", judged=shown)
    assert "A projection: the inventory speaks for 2020-01-28" in html
    (policy,) = shown.policies
    assert len(policy.sources) == len(set(policy.sources)) < len(policy.rows)
    assert html.count(f"<li>{policy.sources[0]}") == 1


def test_no_region_is_hit_where_nothing_is_lost(network: Path) -> None:
    shown = exposed(assess_folder(network, "third", [], None))
    rows = [lost for off in shown.outages for lost in off.losses]
    assert any(lost.before.high == 0 and lost.before.areas and not lost.hit for lost in rows)
    assert all(lost.hit or lost.gone for lost in rows if lost.before.low > 0)
    core = [lost for off in exposed(assess_folder(network, "hrv", [], None)).outages for lost in off.losses]
    assert next(lost.gone for lost in core if lost.before.core > 0) == ["UPF 1 of 1"]


def test_what_turns_an_order_is_in_its_unit() -> None:
    crews, cost = (Flip(what, ["a"], 0.3, 0.1, 1.0, True, "") for what in ("crews", "cost of radio"))
    assert (turn(crews, 0.35, "GBP"), turn(cost, 1_127_092.0, "GBP"), turn(cost, None, "GBP")) == (
        "35%",
        "£1.13 m",
        "–",
    )
