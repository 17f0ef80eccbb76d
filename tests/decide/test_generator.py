"""The generator: deterministic, near the shares that it was asked for, clean by its own checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from banbury.decide.network import Network
from banbury.decide.network.generate import generate, settings
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
