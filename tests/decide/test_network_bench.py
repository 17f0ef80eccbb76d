"""The benchmark of networks runs, and its seven rules have the same answers in polars."""

from __future__ import annotations

from pathlib import Path

import pytest

from banbury.bench import network


@pytest.mark.slow
def test_seven_rules_are_the_same_in_polars(tmp_path: Path) -> None:
    report = network.run(tmp_path, sites=3000, repeats=1, tell=lambda _: None)
    assert report.agreed is True
    text = report.markdown()
    assert "| assess, 7 rules |" in text
    assert {t.what for t in report.taken} >= {"load and check, csv", "load and check, parquet"}
    assert all(t.peak > 0 for t in report.taken)
