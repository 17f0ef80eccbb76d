"""Networks that several tests of policy ask about."""

from __future__ import annotations

from pathlib import Path

import pytest

from banbury.decide.network.generate import generate
from banbury.decide.network.writing import Draft
from tests.decide.exposures import Build, Rows


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks") / "small"
    generate("gb", folder, size="small")
    return folder


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """An inventory of one operator from elements (id, function, vendor, and what else is given), links and more."""

    def make(elements: Rows, links: Rows = (), name: str = "n", **tables: Rows) -> Path:  # type: ignore[assignment]
        draft = Draft("a test", "2020-01-28")
        for vendor, parent, country in (("bad", "bad-group", "CN"), ("bad-group", None, "CN"), ("good", None, "SE")):
            draft.add("vendors", id=vendor, name=f"{vendor} AB", parent=parent, jurisdiction=country)
        draft.add("sites", id="s", operator="Op", region="North", lat=50.0, lon=0.0, **{"class": "core"})
        for row in elements:
            draft.add("elements", **{"site": "s", "vendor": "good", "tech": "common", "installed": "2019-01-01", **row})
        for row in links:
            draft.add("links", **row)
        for table, rows in tables.items():
            for row in rows:
                draft.add(table, **row)
        draft.write(tmp_path / name, "csv")
        return tmp_path / name

    return make
