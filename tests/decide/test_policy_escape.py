"""Rules in SQL: what they may read, what is refused, and that they are broken off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from banbury.decide.network import Network
from banbury.decide.policy import escape
from banbury.decide.policy.assess import assess
from banbury.model.errors import InputError
from tests.decide.packs import cells, judged, only, pack, write

ATTACKS = (
    "SELECT 1) x; DROP TABLE shares; --",
    "SELECT operator, id, true AS hit FROM policy_elements; SELECT 1",
    "SELECT content, '', true FROM read_text('/etc/hostname')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "COPY shares TO '/tmp/x'",
    "ATTACH '/tmp/x'",
    "INSTALL httpfs",
    "PRAGMA database_list",
    "SET memory_limit = '1TB'",
    "CALL enable_logging()",
    "WITH x AS (DELETE FROM policy_elements RETURNING *) SELECT operator, id, false AS hit FROM x",
    (
        "WITH x AS (INSERT INTO policy_vendors VALUES ('a', 'b', true) RETURNING *) "
        "SELECT '' AS operator, id, true AS hit FROM x"
    ),
    "SELECT operator, id, true AS hit FROM query('SELECT * FROM policy_elements')",
    "SELECT name AS operator, value AS id, true AS hit FROM duckdb_settings()",
    "SELECT operator, id, getenv('PATH') IS NULL AS hit FROM policy_elements",
    "SELECT operator, id, write_log('x') IS NULL AS hit FROM policy_elements",
    "SELECT operator, id, length(repeat('x', 4000000000)) > 1 AS hit FROM policy_elements",
    "SELECT operator, id, length(printf('%2000000000d', 1)) > 1 AS hit FROM policy_elements",
    "SELECT operator, id, len(range(1000000000)) > 1 AS hit FROM policy_elements",
    "SELECT operator, id, len(list_transform([1], lambda x: x)) > 1 AS hit FROM policy_elements",
    "SELECT operator, id, true AS hit FROM policy_elements, range(1000000000000)",
    "SELECT table_name AS operator, '' AS id, true AS hit FROM information_schema.tables",
    "SELECT id AS operator, id, true AS hit FROM data_resolved",
    "SELECT * FROM (SHOW TABLES)",
    "DESCRIBE elements",
    "SELECT * FROM arrow_scan(1::POINTER, 2::POINTER, 3::POINTER)",
    "SELECT operator, chr(27) || id AS id, true AS hit FROM policy_elements",
    "SELECT operator, 'no element' AS id, true AS hit FROM policy_elements",
    "SELECT 'another' AS operator, id, true AS hit FROM policy_elements",
    "SELECT operator, id, 'perhaps' AS hit FROM policy_elements",
    "SELECT 1 AS a",
    "SELECT operator, id, true AS hit FROM policy_elements WHERE " + " OR ".join(["true"] * 5000),
    "SELECT " + "(" * 4000 + "1" + ")" * 4000,
)


@pytest.fixture(scope="module")
def one_cell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one cell, by a covered vendor."""
    folder = tmp_path_factory.mktemp("escape") / "n"
    write(folder, cells(("a", "hrv", 1.0)))
    return folder


@pytest.mark.parametrize("query", ATTACKS)
def test_the_sql_escape_refuses(one_cell: Path, query: str) -> None:
    """And what it tried leaves no trace: the rule after it sees the whole network."""
    rule = "kind: sql, reviewed_by: x, query: " + json.dumps(query)
    with Network.open(one_cell) as network:
        with pytest.raises(InputError, match="pack test, rule r0"):
            assess(network, [pack(rule)])
        assert only(assess(network, [pack("kind: exclude, where: {functions: access}")])).assets == ["a"]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT operator, id, covered AS hit FROM policy_elements",
        "WITH n AS (SELECT operator, id FROM policy_elements WHERE covered) SELECT operator, id, true AS hit FROM n",
        (
            "SELECT operator, id, vendor IN (SELECT v.id FROM vendors v WHERE jurisdiction = 'CN') AS hit "
            "FROM policy_elements"
        ),
    ],
)
def test_the_sql_escape_reads(tmp_path: Path, query: str) -> None:
    rule = "kind: sql, reviewed_by: x, query: " + json.dumps(query)
    assert only(judged(tmp_path / "n", cells(("a", "hrv", 1.0)), pack(rule))).assets == ["a"]


@pytest.mark.parametrize(
    "query",
    [
        (
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) "
            "SELECT '' AS operator, '' AS id, max(n) > 1 AS hit FROM x"
        ),
        "SELECT a.operator, a.id, true AS hit FROM policy_elements a"
        + "".join(f" CROSS JOIN functions f{i}" for i in range(30)),
    ],
)
def test_the_sql_escape_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    monkeypatch.setattr(escape, "SECONDS", 0.5)
    rule = "kind: sql, reviewed_by: x, query: " + json.dumps(query)
    with pytest.raises(InputError, match="rule r0: query: broken off"):
        judged(tmp_path / "n", cells(("a", "hrv", 1.0)), pack(rule))
