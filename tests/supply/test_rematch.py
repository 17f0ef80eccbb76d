"""Matching again: differences, decisions and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from msgspec import structs

from banbury.commands.vulnerabilities import vulnerabilities
from banbury.lab.database import Database
from banbury.model.errors import StoreError
from banbury.model.supply import Decision, Inventory, Justification, State, SupplyChain
from banbury.supply.feeds.store import FeedStore
from banbury.supply.match import run
from banbury.supply.match.rematch import decide, find, inventories, keep, rematch, remember
from tests.supply.matching import Feeds, component, inventory, leaf

ID = "CVE-2024-0001"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A fresh database."""
    return Database(f"sqlite:///{tmp_path / 'x.sqlite'}")


def made(release: str = "a" * 64, version: str = "7.38", **rest: object) -> Inventory:
    """An inventory with one component."""
    return structs.replace(inventory(component("curl", version, **rest)), release=release, label=f"made {version}")


def curl() -> Feeds:
    """Feeds with one record."""
    feeds = Feeds()
    feeds.say(ID, leaf("cpe:haxx:curl", "7", "8"))
    return feeds


def test_what_changed(database: Database) -> None:
    """New, gone and changed, with the feed that brought it; the second time nothing changed."""
    keep(database, made())
    feeds = curl()
    (one,) = rematch(database, feeds)  # type: ignore[arg-type]
    assert one.difference.first
    (one,) = rematch(database, feeds)  # type: ignore[arg-type]
    assert (one.difference.new, one.difference.gone, one.difference.changed) == ([], [], [])
    feeds.rows.clear()
    feeds.say("CVE-2024-0002", leaf("cpe:haxx:curl", "7", "8"))
    (one,) = rematch(database, feeds)  # type: ignore[arg-type]
    assert one.difference.new == [("CVE-2024-0002", "curl@7.38")]
    assert one.difference.gone == [(ID, "curl@7.38")]
    keep(database, made(patched=["CVE-2024-0002"]))
    (one,) = rematch(database, feeds)  # type: ignore[arg-type]
    (changed,) = one.difference.changed
    assert (changed.before, changed.after) == (State.CANDIDATE, State.FIXED)


def test_an_evaluation_is_a_matching(database: Database) -> None:
    """What came after an evaluation is new at the first matching again; a later evaluation hides nothing of it."""
    feeds = curl()

    def evaluated(*, fed: bool = True) -> None:
        keep(database, made())
        found = run(made(), feeds) if fed else None  # type: ignore[arg-type]
        chain = SupplyChain(inventory=made())
        if found:
            chain = structs.replace(chain, feeds=found.snapshots, matches=found.matches)
        remember(database, chain)

    evaluated(fed=False)
    evaluated()
    feeds.say("CVE-2024-0002", leaf("cpe:haxx:curl", "7", "8"))
    evaluated()
    (one,) = rematch(database, feeds)  # type: ignore[arg-type]
    assert (one.difference.first, one.difference.new) == (False, [("CVE-2024-0002", "curl@7.38")])
    assert (one.difference.gone, one.difference.changed) == ([], [])
    (one,) = rematch(database, feeds)  # type: ignore[arg-type]
    assert one.difference.new == []


def test_the_feed_that_came_is_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that was not there last time is named with its digest."""
    keep(database, made())
    feeds = curl()
    rematch(database, feeds)  # type: ignore[arg-type]
    more = [*feeds.snapshots(), structs.replace(feeds.snapshots()[0], sha256="f" * 64, name="newer")]
    monkeypatch.setattr(feeds, "snapshots", lambda: more)
    (one,) = rematch(database, feeds)  # type: ignore[arg-type]
    assert one.difference.by == ["newer " + "f" * 64]


def test_a_decision_is_carried_and_goes_stale(database: Database) -> None:
    """It holds on the same evidence, is carried to the next release as stale, and none is lost."""
    keep(database, made())
    feeds = curl()
    (one,) = rematch(database, feeds)  # type: ignore[arg-type]
    (match,) = one.matched.matches
    decide(
        database,
        Decision(
            vulnerability=ID, component=match.component, state=State.NOT_AFFECTED, why="not built", who="A. Analyst",
            when="2026-01-01T00:00:00Z", evidence=match.evidence, justification=Justification.CODE_NOT_PRESENT,
        ),
    )  # fmt: skip
    keep(database, made("b" * 64, "7.40"))
    first, second = rematch(database, feeds)  # type: ignore[arg-type]
    given, carried = first.matched.matches[0].decision, second.matched.matches[0].decision
    assert given is not None
    assert carried is not None
    assert (given.stale, given.who) == (False, "A. Analyst")
    assert (carried.component, carried.stale) == ("curl@7.38", True)
    feeds.say(ID, leaf("cna:curl:curl", "7", "8"), source="cve")
    first, _ = rematch(database, feeds)  # type: ignore[arg-type]
    assert first.matched.matches[0].decision.stale  # type: ignore[union-attr]
    newer = structs.replace(carried, component="curl@7.40", evidence=second.matched.matches[0].evidence, who="B",
                            when="2026-02-01T00:00:00Z", stale=False)  # fmt: skip
    decide(database, newer)
    again = rematch(database, feeds)  # type: ignore[arg-type]
    assert [item.decision.who for one in again for item in one.matched.matches if item.decision] == ["A. Analyst", "B"]


def test_decisions_cannot_be_changed(database: Database) -> None:
    """The database itself refuses."""
    database.add_decision(ID, "curl", b"{}")
    for statement in ("DELETE FROM decision", "UPDATE decision SET product = 'x'"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), database._engine.begin() as connection:
            connection.exec_driver_sql(statement)


def test_names_of_releases(database: Database) -> None:
    """By id, its beginning, or label; a label may mean two."""
    keep(database, made("a" * 64))
    keep(database, made("b" * 64))
    keep(database, made("b" * 64))
    assert len(inventories(database)) == 2
    assert [item.release[0] for item in find(database, "a" * 64)] == ["a"]
    assert [item.release[0] for item in find(database, "b" * 8)] == ["b"]
    assert len(find(database, "made 7.38")) == 2
    assert find(database, "b") == []


def test_a_damaged_record_is_said(database: Database) -> None:
    """Not a traceback."""
    database.save_inventory("a" * 64, "x", b"not zlib")
    with pytest.raises(StoreError, match="cannot be read"):
        inventories(database)


NVD = {
    "resultsPerPage": 1, "startIndex": 0, "totalResults": 1, "format": "NVD_CVE", "version": "2.0",
    "timestamp": "2026-01-01T00:00:00.000",
    "vulnerabilities": [{"cve": {
        "id": ID, "sourceIdentifier": "cve@mitre.org", "published": "2024-01-01T00:00:00.000",
        "lastModified": "2024-01-02T00:00:00.000", "vulnStatus": "Analyzed",
        "descriptions": [{"lang": "en", "value": "A flaw in curl."}], "metrics": {}, "references": [],
        "configurations": [{"nodes": [{"operator": "OR", "negate": False, "cpeMatch": [{
            "vulnerable": True, "criteria": "cpe:2.3:a:haxx:curl:*:*:*:*:*:*:*:*", "versionStartIncluding": "7.0",
            "versionEndExcluding": "8.0", "matchCriteriaId": "0"}]}]}]}}],
}  # fmt: skip


def asked(workspace: Path, *arguments: str) -> Result:
    """The command."""
    return CliRunner().invoke(vulnerabilities, [*arguments, "--workspace", str(workspace)])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with an inventory, and no feed."""
    from banbury.lab.workspace import Workspace

    with Workspace(tmp_path / "w") as opened:
        keep(opened.database, made())
    return tmp_path / "w"


def imported(workspace: Path) -> None:
    """Import one made record of NVD."""
    from banbury.supply.feeds.importing import Importing

    feed = workspace.parent / "nvd.json"
    feed.write_text(json.dumps(NVD), "utf-8")
    with FeedStore(workspace / "feeds.db", create=True) as store, Importing(store) as importing:
        importing.file(feed, name="nvd")


def test_no_feed_is_loud(workspace: Path) -> None:
    """Never "0 vulnerabilities"."""
    result = asked(workspace, "made 7.38")
    assert result.exit_code == 2
    assert "none" not in result.output
    with FeedStore(workspace / "feeds.db", create=True):
        pass
    result = asked(workspace, "made 7.38")
    assert (result.exit_code, "no vulnerability feed" in result.output) == (2, True)


def test_the_command(workspace: Path) -> None:
    """JSON with the digests of its inputs, the same twice; statuses; a decision that closes the match."""
    imported(workspace)
    result = asked(workspace, "aaaaaaaa", "--json", "-", "--fail-on", "candidate")
    assert result.exit_code == 1, result.output
    told = json.loads(result.output)
    (release,) = told["releases"]
    assert [item["vulnerability"] for item in release["matches"]] == [ID]
    assert len(told["inputs"]["feeds"]) == 1
    assert {len(told["inputs"][key]) for key in ("products", "reasons")} == {64}
    assert asked(workspace, "aaaaaaaa", "--json", "-").output == asked(workspace, "aaaaaaaa", "--json", "-").output
    assert asked(workspace, "aaaaaaaa", "--fail-on", "affected").exit_code == 0
    assert asked(workspace, "--all").exit_code == 0
    decision = ("--decide", ID, "curl@7.38", "--state", "not affected", "--why", "not reachable", "--who", "A. Analyst")
    assert asked(workspace, "aaaaaaaa", *decision).exit_code == 2  # no justification
    done = asked(workspace, "aaaaaaaa", *decision, "--justification", "vulnerable_code_not_in_execute_path",
                 "--fail-on", "candidate")  # fmt: skip
    assert (done.exit_code, "A. Analyst decided" in done.output) == (0, True)
    assert "1 component; 1 not affected" in done.output  # the decision counts
    assert asked(workspace, "aaaaaaaa", *decision[:4], "affected", *decision[5:], "--justification",
                 "component_not_present").exit_code == 2  # fmt: skip


def test_the_day_of_an_import_changes_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same feeds, imported at another time: the same bytes."""
    imported(workspace)
    first = asked(workspace, "aaaaaaaa", "--json", "-").output
    (workspace / "feeds.db").unlink()
    monkeypatch.setattr("banbury.supply.feeds.importing.time.strftime", lambda *_: "2031-01-01T00:00:00Z")
    imported(workspace)
    again = json.loads(asked(workspace, "aaaaaaaa", "--json", "-").output)
    told = json.loads(first)
    again["releases"][0].pop("difference")
    told["releases"][0].pop("difference")
    assert again == told


@pytest.mark.parametrize(
    "arguments", [(), ("nowhere",), ("aaaaaaaa", "--all"), ("aaaaaaaa", "--decide", "CVE-1-1", "curl@7.38")]
)
def test_what_cannot_be_used(workspace: Path, arguments: tuple[str, ...]) -> None:
    """One line, status 2."""
    imported(workspace)
    result = asked(workspace, *arguments)
    assert (result.exit_code, "Traceback" in result.output) == (2, False)
