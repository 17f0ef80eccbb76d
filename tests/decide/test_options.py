"""Options of whole networks: the United Kingdom in hindsight, the policies' own verdict of every plan, bad input."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.decide.document import as_json
from banbury.decide.network import Network
from banbury.decide.network.generate import generate
from banbury.decide.options import costs as prices
from banbury.decide.options import estate, money, schedule, text
from banbury.decide.options.build import Shop
from banbury.decide.options.demands import Horizon
from banbury.decide.options.record import Option, Options
from banbury.decide.options.specs import plain_ban
from banbury.decide.options.study import study, study_folder
from banbury.decide.policy import read, trial
from banbury.decide.policy.pack import Trial
from banbury.model.errors import InputError
from tests.decide import packs


@pytest.fixture(scope="module")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("medium") / "n"
    generate("gb", folder, size="medium")
    return folder


@pytest.fixture(scope="module")
def uk(medium: Path) -> Options:
    return study_folder(medium, ["gb-2020-01", "gb-2022"], 2021, 2027)


def option(found: Options, name: str) -> Option:
    return next(o for o in found.options if o.id == name)


@pytest.mark.slow
def test_a_ban_by_2023_cannot_be_and_by_2027_can(uk: Options) -> None:
    # The direction of 2022 has removals at the end of 2023 and of 2027.
    early, late = option(uk, "ban-2023"), option(uk, "ban-2027")
    assert early.state == "infeasible"
    assert early.cost is None
    radio = [f"crews: EE / radio in {year}" for year in (2021, 2022, 2023)]
    assert ["deadline: ban by the end of 2023", *radio] in early.reasons
    assert early.earliest == 2024
    assert any("units miss deadline: ban by the end of 2023" in text for text in early.short)
    assert late.state == "plan"
    assert late.gap is not None
    assert late.gap <= 0.001
    assert ("gb-2022", "met") in [(v.policy, v.years[-1].status) for v in late.verdicts]


def test_the_cost_of_a_ban_is_what_was_said_in_2020(tmp_path: Path) -> None:
    # Half a thousand million (BT, for the cap) to two thousand million pounds (the government, for removal).
    generate("gb", tmp_path / "n")
    with Network.open(tmp_path / "n") as network:
        estate.cover(network, [read.load("gb-2020-01")])
        held = estate.read(network, prices.shipped())
    shop = Shop(held, prices.shipped(), Horizon(2021, 2027))
    built = shop.build(plain_ban(held, 6, shop.horizon).asked)
    found = schedule.plan(built.problem, 30)
    assert found.choice is not None
    assert found.gap <= 0.001
    amounts = money.amounts(shop, built, found.choice)
    _, outlay = money.spans(shop.costs, amounts)
    assert 0.5e9 <= outlay.low < outlay.high <= 2e9, outlay
    for line in money.lines(shop.costs, amounts):
        assert line.sponsor
        assert line.source
        assert line.date
        assert line.read == ("secondary" if line.kind == "radio" else "assumption")


def test_every_plan_is_what_the_policies_say_of_it(uk: Options) -> None:
    assert uk.disagreements == []
    wanted = option(uk, "policy-gb-2022")
    assert wanted.state == "plan"
    (mine,) = [v for v in wanted.verdicts if v.policy == "gb-2022"]
    assert [s.status for s in mine.years] == ["not in force", *["due"] * 5, "met"]
    assert {s.by for s in mine.years} == {"assess"}
    accept = option(uk, "accept")
    statuses = {v.policy: [s.status for s in v.years] for v in accept.verdicts}
    assert statuses["gb-2020-01"][-1] == "violation"
    assert statuses["gb-2022"] == ["not in force", "due", *["violation"] * 5]
    # A ban leaves EE with one radio vendor: what one policy asks, another forbids, and both are told.
    ban = next(v for v in option(uk, "ban-2027").verdicts if v.policy == "gb-2020-01")
    assert ban.years[-1].rules["second-vendor"] == "violation"


def test_what_is_left_falls_and_supply_narrows(uk: Options) -> None:
    accept, ban = option(uk, "accept"), option(uk, "ban-2027")
    for before, after in zip(accept.exposure, ban.exposure, strict=True):
        assert after.data == before.data
        assert after.years <= before.years + 1e-9
        assert len(after.by_year) == 7
    assert ban.outage[-1].high == 0
    assert accept.outage[-1].low > 0.1
    ee = {o.id: next(s for s in o.supply if (s.operator, s.network) == ("EE", "5G")).hhi for o in (accept, ban)}
    assert ee["ban-2027"] == 1.0 > ee["accept"]
    assert sum(s.units for s in ban.schedule) == ban.units == sum(h.units for h in uk.held)


def test_no_option_on_the_list_is_hidden_and_none_is_scored(uk: Options) -> None:
    assert {o.family for o in uk.options} == {"accept", "mitigate", "policy", "cap", "ban"}
    costed = {o.id for o in uk.options if o.cost is not None}
    for o in uk.options:
        assert set(o.dominated_by) <= costed
        assert o.must_be_true or o.state == "infeasible"
        assert bool(o.reasons) == (o.state == "infeasible")
    assert not any("score" in name for name in Option.__struct_fields__)


def test_the_frontier_costs_more_where_more_is_asked(uk: Options) -> None:
    cells = {(c.cap, c.by): c for c in uk.frontier}
    for (cap, by), cell in cells.items():
        for (other, later), easier in cells.items():
            if other >= cap and later >= by and cell.cost is not None:
                assert easier.cost is not None
                assert easier.cost.low <= cell.cost.low * 1.001 + 1
        assert bool(cell.reasons) == (cell.state == "infeasible")
    assert cells[0.0, 2023].state == "infeasible"
    assert cells[0.0, 2027].state == "plan"


def test_what_turns_an_order_turns_it(medium: Path, uk: Options) -> None:
    crews = next(f for f in uk.flips if f.what == "crews" and f.options == ["ban-2023"])
    assert crews.at is not None
    assert crews.at > 0.3
    with Network.open(medium) as network:
        packs, horizon = [read.load("gb-2020-01"), read.load("gb-2022")], Horizon(2021, 2027)
        estate.cover(network, packs)
        held = estate.read(network, prices.shipped())
    for part, good in ((crews.at, True), (crews.at - 0.01, False)):
        shop = Shop(held, prices.shipped(), horizon, part)
        assert schedule.feasible(shop.build(plain_ban(held, 2, horizon).asked).problem, 30) is good


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    folder = network(tmp_path, cells(("hrv", 0.1), ("hrv", 0.3), ("hrv2", 0.1), ("o", 0.5)))
    made = pack(tmp_path, CAP.format(">", "per-vendor"), "kind: remove_by, due: 2023-12-31")
    a, b = (as_json(study_folder(folder, [made], 2021, 2023)) for _ in range(2))
    assert a == b
    assert json.loads(a)["options"]


HEAD = packs.HEAD.replace("sources:", "  site_class: { military: { sensitive: [military] } }\nsources:")


def pack(folder: Path, *rules: str) -> str:
    made = HEAD + "\n".join(
        f"  - {{ id: r{i}, title: t, source: {{ ref: s, clause: c }}, {rule} }}" for i, rule in enumerate(rules)
    )
    (folder / "test.yaml").write_text(made, "utf-8")
    return str(folder / "test.yaml")


def network(folder: Path, tables: dict[str, list[dict[str, Any]]]) -> Path:
    rows = trial.draft(Trial("x", dt.date(2020, 6, 1), {k: tuple(v) for k, v in tables.items()}, ()), "x")
    rows.write(folder / "n")
    return folder / "n"


VENDORS = [{"id": "hrv", "class": "high-risk"}, {"id": "hrv2", "class": "high-risk"}, {"id": "o", "class": "other"}]


def cells(*parts: tuple[str, float]) -> dict[str, list[dict[str, Any]]]:
    """5G cells of Alpha, each at a site of its own: vendor and share."""
    ids = [f"c{i}" for i in range(len(parts))]
    common = {"operator": "Alpha", "network": "5G", "metric": "traffic", "unit": "fraction", "period": "2020"}
    return {
        "vendors": VENDORS,
        "elements": [
            {"id": i, "function": "GNB", "vendor": v, "tech": "5G"} for i, (v, _) in zip(ids, parts, strict=True)
        ],
        "shares": [{"element": i, "value": s, **common} for i, (_, s) in zip(ids, parts, strict=True)],
    }


CAP = "kind: share_cap, network: 5G, metric: traffic, max: 0.3, breach: '{}', reading: {}, due: 2021-12-31"


@pytest.mark.parametrize(
    ("breach", "reading", "units"),
    [(">", "collective", 1), (">=", "collective", 2), (">", "per-vendor", 0), (">=", "per-vendor", 1)],
)
def test_caps_are_compared_as_the_policy_does(tmp_path: Path, breach: str, reading: str, units: int) -> None:
    # 0.3 + 0.1 of two vendors: together over, each at or below the very limit.
    tables = cells(("hrv", 0.1), ("hrv", 0.1), ("hrv", 0.1), ("hrv2", 0.1), ("o", 0.6))
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, CAP.format(breach, reading))], 2021, 2023)
    wanted = option(found, "policy-test")
    assert wanted.units == units
    assert found.disagreements == []
    assert wanted.verdicts[0].years[-1].status == "met"


def test_a_deadline_within_a_year_is_kept_at_the_end_of_the_year_before() -> None:
    horizon = Horizon(2021, 2027)
    days = (dt.date(2023, 1, 28), dt.date(2023, 12, 30), dt.date(2023, 12, 31), dt.date(2020, 6, 1))
    assert [horizon.by(day) for day in days] == [1, 1, 2, -2]
    assert horizon.asked(2) == dt.date(2024, 1, 1)


def test_a_shared_cell_counts_for_both_and_is_swapped_once(tmp_path: Path) -> None:
    tables = cells(("hrv", 0.4), ("o", 0.6))
    tables["shares"] += [{**s, "operator": "Beta"} for s in tables["shares"]]
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, CAP.format(">", "collective"))], 2021, 2022)
    wanted = option(found, "policy-test")
    assert wanted.units == 1
    assert found.disagreements == []


def test_two_vendors_at_one_site_are_counted_for_each_and_the_site_once(tmp_path: Path) -> None:
    # Of four sites the second vendor has two, one of them together with the first: a half, where 0.45 is the most.
    tables: dict[str, list[dict[str, Any]]] = {
        "vendors": VENDORS,
        "sites": [{"id": f"s{i}", "operator": "Alpha", "class": "access"} for i in range(4)],
        "elements": [
            {"id": i, "site": s, "function": "GNB", "vendor": v, "tech": "5G"}
            for i, s, v in (
                ("a", "s0", "hrv"),
                ("b", "s0", "hrv2"),
                ("c", "s1", "hrv2"),
                ("d", "s2", "o"),
                ("e", "s3", "o"),
            )
        ],
    }
    common = {"operator": "Alpha", "network": "5G", "metric": "sites", "value": 1, "unit": "count", "period": "2020"}
    tables["shares"] = [{"element": e["id"], **common} for e in tables["elements"]]
    rule = CAP.format(">", "per-vendor").replace("traffic", "sites").replace("max: 0.3", "max: 0.45")
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, rule)], 2021, 2022)
    assert option(found, "policy-test").units == 1
    assert option(found, "policy-test").verdicts[0].years[-1].status == "met"
    assert found.disagreements == []


def test_of_too_many_vendors_one_stays(tmp_path: Path) -> None:
    tables = cells(("hrv", 0.1), ("hrv", 0.1), ("hrv2", 0.4), ("o", 0.4))
    rule = "kind: diversity, where: { functions: access }, min_vendors: 0, max_covered: 1, due: 2022-12-31"
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, rule)], 2021, 2023)
    wanted = option(found, "policy-test")
    assert [(s.vendor_from, s.units) for s in wanted.schedule] == [("hrv2", 1)]
    assert wanted.verdicts[0].years[-1].status == "met"
    assert found.disagreements == []


def test_what_the_inventory_leaves_open_is_no_plan(tmp_path: Path) -> None:
    tables = cells(("hrv", 0.2), ("unsaid", 0.4), ("o", 0.4))
    tables["vendors"] = [*VENDORS, {"id": "unsaid"}]
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, CAP.format(">", "collective"))], 2021, 2022)
    wanted = option(found, "policy-test")
    assert wanted.state == "infeasible"
    assert wanted.reasons[0][1] == "nothing that is swapped changes it"
    assert found.doubtful == 1


def test_names_that_hold_separators_are_names(tmp_path: Path) -> None:
    tables = cells(("hrv", 0.5), ("hrv", 0.1), ("o", 0.4))
    for row in (*tables["elements"], *tables["shares"]):
        row["operator"] = "A / radio / x: y"
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, CAP.format(">", "collective"))], 2021, 2022)
    assert option(found, "policy-test").units == 1
    assert found.disagreements == []


def test_what_is_planned_is_ordered_elsewhere_and_costs_no_swap(tmp_path: Path) -> None:
    tables = cells(("hrv", 0.2), ("hrv", 0.4), ("o", 0.4))
    tables["elements"][1]["installed"] = "2021-03-01"
    rule = "kind: exclude, where: { functions: access }, counts: [installed, planned], due: 2022-12-31"
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, rule)], 2021, 2023)
    wanted = option(found, "policy-test")
    assert wanted.units == 1
    assert found.planned == 1
    assert any("1 planned elements" in text for text in wanted.must_be_true)
    assert wanted.verdicts[0].years[-1].status == "met"
    assert option(found, "accept").verdicts[0].years[-1].status == "violation"


def test_no_other_vendor_is_a_named_reason(tmp_path: Path) -> None:
    tables = cells(("hrv", 0.5), ("hrv2", 0.5))
    rule = "kind: remove_by, where: { functions: access }, due: 2022-12-31"
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, rule)], 2021, 2023)
    wanted = option(found, "policy-test")
    assert wanted.state == "infeasible"
    assert wanted.reasons == [["no other vendor of radio site is in the inventory"]]


def test_two_vendors_must_be_left(tmp_path: Path) -> None:
    tables = cells(("hrv", 0.3), ("hrv", 0.3), ("o", 0.4))
    tables["vendors"] = [*VENDORS, {"id": "third", "class": "other"}]
    for vendor in ("third", "o"):
        far = {"id": f"far-{vendor}", "function": "GNB", "vendor": vendor, "operator": "Beta", "tech": "5G"}
        tables["elements"].append(far)
    rules = (
        "kind: remove_by, where: { functions: access }, due: 2023-12-31",
        "kind: diversity, where: { functions: access }, min_vendors: 2, due: 2023-12-31",
    )
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, *rules)], 2021, 2023)
    wanted = option(found, "policy-test")
    assert wanted.state == "plan"
    assert {s.vendor_to for s in wanted.schedule} == {"o", "third"}
    assert wanted.verdicts[0].years[-1].rules == {"r0": "met", "r1": "met"}


def test_places_of_secrets_are_not_told(tmp_path: Path) -> None:
    tables = cells(("hrv", 0.5), ("o", 0.5))
    tables["sites"] = [{"id": "secret-mast", "operator": "Alpha", "class": "access", "region": "North"}]
    tables["elements"][0]["site"] = "secret-mast"
    tables["sensitive"] = [{"id": "x", "class": "military", "site": "secret-mast"}]
    rule = "kind: keep_away, classes: [military], due: 2022-12-31"
    found = study_folder(network(tmp_path, tables), [pack(tmp_path, rule)], 2021, 2023)
    assert option(found, "policy-test").units == 1
    assert b"secret-mast" not in as_json(found)
    assert "secret-mast" not in "\n".join(text.lines(found))


def run(*args: str) -> Any:
    return CliRunner().invoke(main, ["network", "options", *args])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--from", "2025", "--to", "2021"), "wrong way round"),
        (("--from", "2019", "--to", "2021"), "before the inventory"),
        (("--from", "2021", "--to", "2080"), "more than 25 years"),
    ],
)
def test_bad_years_are_one_clear_line(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    generate("gb", tmp_path / "n", size="small")
    done = run(str(tmp_path / "n"), "--policy", "gb-2020-01", *args)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_policy_that_no_schedule_can_meet_is_refused(tmp_path: Path) -> None:
    generate("gb", tmp_path / "n", size="small")
    done = run(str(tmp_path / "n"), "--policy", "jp-2018", "--from", "2021", "--to", "2023")
    assert done.exit_code == 2
    assert "no rule that a schedule could meet" in done.output


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    folder = network(tmp_path, {"vendors": VENDORS})
    with pytest.raises(InputError, match=r"no sites|no sites\.csv|needed|no elements"):
        study_folder(folder, ["gb-2020-01"], 2021, 2023)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('currency = "GBP"', "currency = 7"),
        ("rate = 0.035", "rate = nan"),
        ("low = 40_000", "low = -1"),
        ("crew = 0.30", "crew = 1.5"),
        ('kind = "radio"\nlow = 40_000', 'kind = "nothing"\nlow = 40_000'),
        ("[discount]", "[discount"),
    ],
)
def test_bad_costs_are_refused(tmp_path: Path, old: str, new: str) -> None:
    shipped = (Path(prices.__file__).parents[1] / "data" / "costs.toml").read_text("utf-8")
    assert old in shipped
    (tmp_path / "c.toml").write_text(shipped.replace(old, new, 1), "utf-8")
    with pytest.raises(InputError, match="costs"):
        prices.load(tmp_path / "c.toml")


def test_every_figure_has_a_source_or_is_an_assumption() -> None:
    costs = prices.shipped()
    figures: list[Any] = [*costs.anchors, *costs.precautions, costs.discount, costs.new_vendor]
    for figure in figures:
        assert figure.sponsor
        assert figure.source
        assert figure.date
        assert figure.read == "assumption" or "assumption" not in figure.source
    assert {k.read for k in costs.kinds.values()} == {"assumption"}


def test_the_answer_is_printed_and_bounded(medium: Path, uk: Options) -> None:
    said = list(text.lines(uk))
    assert len(said) < 400
    assert any(line.startswith("accept") for line in said)
    done = run(str(medium), "--policy", "gb-2020-07", "--from", "2021", "--to", "2022", "--json", "-")
    assert done.exit_code == 0
    assert json.loads(done.output)["first"] == 2021


def test_no_time_is_said(medium: Path) -> None:
    with Network.open(medium) as opened:
        found = study(opened, [read.load("gb-2020-07")], prices.shipped(), 2021, 2023, 0.0)
    assert found.exit_status() == 4
    late = [o for o in found.options if o.state == "no answer"]
    assert late
    assert all(o.cost is None and not o.schedule for o in late)
