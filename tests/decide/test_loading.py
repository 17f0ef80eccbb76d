"""The quick way of loading finds fault wherever the thorough way does, and gives the same rows."""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from banbury.decide.network import Network
from banbury.decide.network.generate import generate
from banbury.decide.network.tables import tables

#: Cells that are wrong in some column or other, or near to it.
CELLS = (
    *("", " ", "x", " x", "x ", "0", "1", " 1", "-1", "1_0", "nan", "inf", "1e400", "0x1", "1e-3", "99", "181"),
    *("2020-01-28", "2020-1-28", "2020/01/28", "2020-02-30", "1066-01-01", "0000-00-00", "infinity", "epoch"),
    *(" 2020-01-28", "20200128", "2020-01-28 00:00:00", "2020-0a-01", "9999-12-31", "٢٠٢٠-٠١-٠١"),
    *("=1+1", "+1", "@x", "-x", "a\x07", "a\x1b[31m", "a\u200e", "a\u202eb", "é", "a\nb", 'a"b', "a,b", "\ufeffx"),
    *("a" * 1000, "a" * 1001, "é" * 1000, "é" * 1001, "NULL", "null", "true", "5G", "GNB", "gnb", "CN", "cn", "C"),
    *("hrv", "HRV", "hrv ", "Alpha-1", "Alpha-1-gnb", "access", "percent", "count", "2020-13", "2020-12", "20201"),
    *("\x85", "\x00", "\u00a0x", "\u00a0", "\t", "x\t", "\r", "a\rb", "\ud7ff", "\U000e0001"),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loading") / "small"
    generate("gb", folder, sites=100, seed=3)
    for name in ("elements", "links", "shares", "sites"):
        lines = (folder / f"{name}.csv").read_text().splitlines(keepends=True)
        keep = lines if name != "links" else lines[:40]
        (folder / f"{name}.csv").write_text("".join(keep))
    return folder


def put(folder: Path, chance: random.Random) -> tuple[str, int, str, str]:
    """Write one of the cells into a cell of one table."""
    name = chance.choice([n for n in tables() if (folder / f"{n}.csv").exists()])
    path = folder / f"{name}.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    row, column, cell = chance.randrange(1, len(rows)), chance.randrange(len(rows[0])), chance.choice(CELLS)
    rows[row][column] = cell
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        csv.writer(file, lineterminator=chance.choice(["\n", "\r\n"])).writerows(rows)
    return name, row, rows[0][column], cell


#: The first of them in a plain run, all of them in the slow gates.
SEEDS = [pytest.param(seed, marks=pytest.mark.slow if seed >= 6 else ()) for seed in range(40)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_quick_way_finds_what_the_thorough_way_finds(small: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = shutil.copytree(small, tmp_path / "n")
    where = [put(folder, chance) for _ in range(chance.choice([1, 1, 1, 2]))]
    found: list[Any] = []
    for thorough in (False, True):
        try:
            with Network.open(folder, accept_problems=True, thorough=thorough) as network:
                rows = {
                    name: network.sql(f"SELECT * FROM {name} ORDER BY ALL")
                    for name in ("elements", "shares", "links", "vendors", "sites", "sensitive", "assurance")
                }
                found.append((sorted(p.line() for p in network.problems), len(network.problems), rows))
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is the same
            found.append((str(problem), type(problem), {}))
    assert found[0] == found[1], where


def test_a_sound_inventory_is_loaded_quickly(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every test above would compare the thorough way with itself."""
    from banbury.decide.network import load

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(load, "_as_text", fail)
    with Network.open(small) as network:
        assert len(network.problems) == 0
