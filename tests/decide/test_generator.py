"""The generator: deterministic, near the shares that it was asked for, clean by its own checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from banbury.decide.network import Network
from banbury.decide.network.generate import generate
from banbury.decide.network.settings import settings
from banbury.model.errors import InputError


def obtained(network: Network) -> dict[tuple[str, str, str], dict[str, float]]:
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for operator, tech, metric, vendor, share in network.sql(
        """SELECT s.operator, s.network, s.metric, e.vendor, sum(s.share) FROM shares s JOIN elements e
        ON e.id = s.element GROUP BY ALL"""
    ):
        found.setdefault((operator, tech, metric), {})[vendor] = share
    return found


def check_shares(network: Network) -> None:
    said = settings("gb")
    found = obtained(network)
    wanted = {(o.name, "4G"): o.ran_4g for o in said.operators} | {(o.name, "5G"): o.ran_5g for o in said.operators}
    for (operator, tech), target in wanted.items():
        for metric in ("sites", "traffic"):
            assert found[operator, tech, metric] == pytest.approx(target, abs=0.02), (operator, tech, metric)
    assert found["Openreach", "fttp", "premises"] == pytest.approx(said.fibre.olt, abs=0.02)


def test_a_medium_network_is_clean_and_near_its_shares(tmp_path: Path) -> None:
    generate("gb", tmp_path / "a", size="medium", seed=5)
    with Network.open(tmp_path / "a") as network:
        assert len(network.problems) == 0
        assert network.problems.notes == 0
        check_shares(network)
        assert network.sql("SELECT count(*) FROM elements WHERE function IS NULL OR site_class IS NULL") == [(0,)]
        cores = network.sql("SELECT operator, count(*) FROM sites WHERE class = 'core' GROUP BY 1")
        assert all(2 <= n <= 8 for _, n in cores)
        assert len(cores) == 4


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate("gb", tmp_path / name, size="medium", seed=seed)
    one, same, other = (
        {p.name: p.read_bytes() for p in (tmp_path / name).iterdir() if p.suffix == ".csv"} for name in "abc"
    )
    assert one == same
    assert one["elements.csv"] != other["elements.csv"]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        generate("gb", tmp_path, size="small")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_full_network_in_seconds(tmp_path: Path) -> None:
    import time

    before = time.process_time()
    rows = generate("gb", tmp_path / "full", kind="parquet")
    assert time.process_time() - before < 15
    assert rows["sites"] >= 73_000
    with Network.open(tmp_path / "full") as network:
        assert len(network.problems) == 0
        check_shares(network)


def test_shared_radio_networks_have_a_row_for_each_operator(tmp_path: Path) -> None:
    """MBNL's 3G and the 4G of CTIL and Beacon: one element, one host, two denominators, each of which is a whole."""
    generate("gb", tmp_path / "a", sites=4000, seed=5)
    with Network.open(tmp_path / "a") as network:
        pairs = network.sql(
            """SELECT network, list(DISTINCT operator ORDER BY operator), count(DISTINCT element) > 50 FROM (
            SELECT *, count(*) OVER (PARTITION BY element) AS n FROM shares WHERE metric = 'traffic')
            WHERE n = 2 GROUP BY network ORDER BY 1"""
        )
        assert pairs == [("3G", ["EE", "Three"], True), ("4G", ["O2", "Vodafone"], True)]
        whole = network.sql("SELECT DISTINCT operator, round(covered, 6) FROM share_groups WHERE network = '3G'")
        assert sorted(whole) == [("EE", 1.0), ("Three", 1.0)]
        hosts = network.sql("SELECT DISTINCT operator FROM elements WHERE tech = '3G' ORDER BY 1")
        assert hosts == [("EE",), ("Three",)]


def test_every_cell_is_carried_managed_updated_and_supported(tmp_path: Path) -> None:
    generate("gb", tmp_path / "a", size="medium", seed=5)
    with Network.open(tmp_path / "a") as network:
        cells = "FROM elements WHERE layer = 'access' AND function <> 'OLT'"
        lacking = "id NOT IN (SELECT b FROM links WHERE type = 'carries') OR updated_by IS NULL OR managed_by IS NULL"
        assert network.sql(f"SELECT count(*) {cells} AND ({lacking} OR supported_by IS NULL)") == [(0,)]
        kinds = {row[0] for row in network.sql("SELECT DISTINCT type FROM links")}
        assert kinds >= {"carries", "manages", "updates", "supports", "management-access"}
        known = network.sql("SELECT DISTINCT kind FROM assurance ORDER BY 1")
        assert known == [("audit",), ("equivalence",), ("evaluation",)]
        unknown = network.sql(
            """SELECT count(*) FROM (SELECT DISTINCT product, release FROM elements) e ANTI JOIN assurance a
            ON a.product = e.product AND a.release = e.release"""
        )
        assert unknown[0][0] > 0, "some releases are unknown"
        figures = network.manifest["figures"]
        assert {f["state"] for f in figures} == {"published", "reported", "made up"}
