"""Matching with real feeds, where they are: versions whose answer was known before the program was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.model.supply import Match, Parts, State
from banbury.supply.feeds.importing import Importing
from banbury.supply.feeds.store import FeedStore
from banbury.supply.match import run
from tests.supply.matching import component, inventory

FEEDS = Path(__file__).resolve().parents[2] / ".." / "shared" / "feeds"
USED = (
    "openssl-secjson.jsonl.gz",
    "curl/vuln.pm",
    "nvd/nvd2-samples.jsonl",
    "nvd/nvdcve-1.1-2022.json.gz",
    "kev/known_exploited_vulnerabilities-2025-08.json",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeedStore]:
    """Some real feeds, imported once."""
    missing = [name for name in USED if not (FEEDS / name).exists()]
    if missing:
        pytest.skip(f"real feeds are not here ({', '.join(missing)}): matching is not checked against them")
    path = tmp_path_factory.mktemp("feeds") / "feeds.db"
    with FeedStore(path, create=True) as opened:
        with Importing(opened) as importing:
            for name in USED:
                importing.file(FEEDS / name)
        yield opened


def states(store: FeedStore, product: str, version: str, *parts: Parts) -> dict[str, Match]:
    """The matches of one component, by id."""
    found = run(inventory(component(product, version), parts=parts), store).matches
    return {item.vulnerability: item for item in found}


@pytest.mark.parametrize(
    ("product", "version", "there", "not_there"),
    [
        # openssl.org/news/vulnerabilities.html: Heartbleed to 1.0.1f; FREAK fixed in 1.0.1k
        ("openssl", "1.0.1f", "CVE-2014-0160", "CVE-2022-3602"),
        ("openssl", "1.0.1j", "CVE-2015-0204", "CVE-2014-0160"),
        ("openssl", "1.0.1k", "CVE-2016-0800", "CVE-2015-0204"),
        # curl.se/docs/vulnerabilities.html: 7.17.1 to 7.38.0; 7.69.0 to 8.3.0
        ("curl", "7.38.0", "CVE-2014-3707", "CVE-2023-38545"),
        ("curl", "7.39.0", "CVE-2016-0755", "CVE-2014-3707"),
        ("curl", "8.3.0", "CVE-2023-38545", "CVE-2014-3707"),
        # zlib.net/ChangeLog.txt: fixed in 1.2.12 and 1.2.13
        ("zlib", "1.2.8", "CVE-2022-37434", "CVE-2022-3602"),
        ("zlib", "1.2.12", "CVE-2022-37434", "CVE-2018-25032"),
    ],
)
def test_known_answers(store: FeedStore, product: str, version: str, there: str, not_there: str) -> None:
    """What the projects themselves say of these versions."""
    found = states(store, product, version)
    open_ = {id_ for id_, item in found.items() if item.state not in (State.NOT_AFFECTED, State.FIXED)}
    assert there in open_
    assert not_there not in open_


def test_awk_without_awk(store: FeedStore) -> None:
    """NVD's text of 2022 on BusyBox's awk: decided by the applets (CVE-2022-30065)."""
    with_awk = Parts(component="busybox@1.35.0", applets=["ash", "awk"], complete={"applets": True})
    without = Parts(component="busybox@1.35.0", applets=["ash", "cat"], complete={"applets": True})
    assert states(store, "busybox", "1.35.0", with_awk)["CVE-2022-30065"].state is State.AFFECTED
    assert states(store, "busybox", "1.35.0", without)["CVE-2022-30065"].state is State.NOT_AFFECTED


def test_exploited_comes_first(store: FeedStore) -> None:
    """GoAhead's CVE-2017-17562 is in KEV; a component that no feed names is told."""
    matched = run(
        inventory(component("goahead", "3.6.4"), component("odhcpd", "1.0"), component("zlib", "1.2.8")), store
    )
    assert matched.matches[0].vulnerability == "CVE-2017-17562"
    assert matched.matches[0].exploited
    assert "odhcpd@1.0" in matched.unmatched
    assert len({snapshot.sha256 for snapshot in matched.snapshots}) == len(USED)
